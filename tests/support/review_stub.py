"""A server of the review page with made-up groups: as many as wanted, at once, without a store."""

import io
import json
import threading
import time
from contextlib import suppress
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlparse

import numpy as np
from PIL import Image

import fastdiff_dask

FILES = Path(fastdiff_dask.__file__).parent / "templates" / "review"
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'"
)
TYPES = {".html": "text/html", ".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}
VERDICTS = ["same file", "same pixels", "same picture", "not looked at", "similar"]
FOLDERS = ["", "2019/summer", "2019/summer/phone", "2020", "backup/old disk/pictures"]


@cache
def picture(number: int, longest: int) -> bytes:
    rng = np.random.default_rng(number)
    small = Image.fromarray(rng.integers(0, 255, (6, 8, 3), dtype=np.uint8))
    content = io.BytesIO()
    small.resize((longest, longest * 3 // 4), Image.Resampling.BICUBIC).save(content, "WEBP", quality=70)
    return content.getvalue()


class Groups:
    """Groups of two, some of more, whose facts follow from their numbers."""

    def __init__(self, groups: int) -> None:
        self.counts = [2 if n % 7 else 3 + n % 5 for n in range(groups)]
        self.firsts = np.concatenate([[0], np.cumsum(self.counts)]).tolist()
        self.marks: dict[int, str] = {}
        self.apart: set[int] = set()
        self.revision, self.result, self.down = 1, 1, False
        self.changed = threading.Condition()

    def verdict(self, group: int) -> str:
        return VERDICTS[min(4, group * 5 // max(1, len(self.counts)))]

    def change(self) -> dict[str, Any]:
        with self.changed:
            self.revision += 1
            self.changed.notify_all()
        return {"revision": self.revision, "marks": self.totals()}

    def totals(self) -> dict[str, int]:
        kept = sum(mark == "keep" for mark in self.marks.values())
        gone = [n for n, mark in self.marks.items() if mark == "remove"]
        return {"keep": kept, "remove": len(gone), "bytes": sum(2_000_000 + n for n in gone)}

    def state(self) -> dict[str, Any]:
        return {
            "revision": self.revision,
            "result": self.result,
            "store": "/stores/made-up",
            "common": "/home/someone/Pictures",
            "sides": False,
            "finding": None,
            "measure": "MSE",
            "question": "difference ≤ 200 with rotations",
            "groups": len(self.counts),
            "images": self.firsts[-1],
            "verdicts": self.runs(self.chosen({})),
            "formats": [[".jpg", 10], [".png", 3]],
            "folders": [[name, 100] for name in FOLDERS],
            "marks": self.totals(),
            "apart": len(self.apart),
            "job": None,
            "journals": [],
        }

    def chosen(self, asked: dict[str, str]) -> list[int]:
        wanted = list(range(len(self.counts)))
        return [n for n in wanted if self.verdict(n) == asked["verdict"]] if asked.get("verdict") else wanted

    def runs(self, ids: list[int]) -> list[list[Any]]:
        places = np.minimum(4, np.array(ids, np.int64) * 5 // max(1, len(self.counts)))
        numbers = np.bincount(places, minlength=5).tolist()
        return [[name, number] for name, number in zip(VERDICTS, numbers, strict=True) if number]

    def group(self, group: int) -> dict[str, Any]:
        images = []
        for place in range(self.counts[group]):
            n = self.firsts[group] + place
            images.append(
                {
                    "n": n,
                    "v": f"{n:x}",
                    "name": f"IMG_{20190700 + group}{'' if not place else f' ({place})' if n % 3 else ' - Copy'}.jpg",
                    "folder": FOLDERS[(group + place * (group % 3)) % len(FOLDERS)],
                    "width": 4000 if not place else 4000 >> (group % 2),
                    "height": 3000 if not place else 3000 >> (group % 2),
                    "size": 2_000_000 + n,
                    "date": f"2019-07-{1 + group % 28:02}T12:{place:02}:00",
                    "format": ".jpg",
                    "side": None,
                    "mark": self.marks.get(n),
                    "suggest": "remove" if place else "keep",
                    "verdict": self.verdict(group) if place else None,
                    "value": float(group % 200) / (1 + place) if place else None,
                    "turn": 90 if place and group % 11 == 1 else 0,
                    "mirror": False,
                    "apart": n in self.apart,
                    "gone": False,
                }
            )
        return {"id": group, "verdict": self.verdict(group), "more": 0, "images": images}

    def answer(self, path: str, asked: dict[str, str], given: dict[str, Any] | None) -> Any:
        match path:
            case "state":
                return self.state()
            case "groups":
                ids = self.chosen(asked)
                return {
                    "revision": self.revision,
                    "ids": ids,
                    "counts": [self.counts[n] for n in ids],
                    "verdicts": self.runs(ids),
                }
            case "groups/details":
                return {"groups": [self.group(int(n)) for n in asked["ids"].split(",")]}
            case "events":
                with self.changed:
                    self.changed.wait_for(lambda: self.revision != int(asked["revision"]), 20)
                return {"revision": self.revision}
            case "marks":
                for n, mark in given["marks"].items():
                    self.marks.pop(int(n), None)
                    if mark:
                        self.marks[int(n)] = mark
                return self.change()
            case "apart":
                for n, _ in given["pairs"]:
                    (self.apart.add if given["on"] else self.apart.discard)(n)
                return self.change()
        return None


def serve(groups: Groups) -> tuple[str, ThreadingHTTPServer]:
    """Serve groups in a thread; gives the address of the page, and the server to shut down."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: Any) -> None:
            """Keep quiet."""

        def do_GET(self) -> None:
            self.respond(None)

        def do_POST(self) -> None:
            self.respond(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))

        def respond(self, given: dict[str, Any] | None) -> None:
            url = urlparse(self.path)
            path = url.path.removeprefix("/token/")
            asked = {name: values[0] for name, values in parse_qs(url.query).items()}
            if groups.down:
                self.close_connection = True
                return
            if path.startswith("api/"):
                answer = groups.answer(path.removeprefix("api/"), asked, given)
                self.give(200 if answer else 404, "application/json", json.dumps(answer or {"error": "no"}).encode())
            elif path.startswith(("thumb/", "picture/")):
                kind, number = path.split("/")
                self.give(200, "image/webp", picture(int(number) % 97, 256 if kind == "thumb" else 2000), cached=True)
            else:
                file = FILES / (path or "index.html")
                there = file.is_file()
                self.give(
                    200 if there else 404, TYPES.get(file.suffix, "text/plain"), file.read_bytes() if there else b""
                )

        def give(self, code: int, kind: str, content: bytes, cached: bool = False) -> None:
            self.send_response(code)
            self.send_header("Content-Type", f"{kind}; charset=utf-8" if "image" not in kind else kind)
            self.send_header("Content-Length", str(len(content)))
            self.send_header("Content-Security-Policy", POLICY)
            self.send_header("Cache-Control", "max-age=3600" if cached else "no-store")
            self.end_headers()
            with suppress(ConnectionError):  # a page that went away
                self.wfile.write(content)

    class Server(ThreadingHTTPServer):
        def handle_error(self, *_: Any) -> None:
            """Keep quiet of pages that went away."""

    server = Server(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return f"http://127.0.0.1:{server.server_port}/token/", server


if __name__ == "__main__":
    print(serve(Groups(100_000))[0], flush=True)
    time.sleep(1e6)
