"""Requests to the server of the review page, as a browser sends them."""

import http.client
import json
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlencode, urlsplit

from support.system import wait_for


class Answer(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Page:
    """The addresses of a page: questions, decisions, pictures."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.parts = urlsplit(url)

    def ask(self, method: str, path: str, body: bytes | None = None, headers: dict[str, str] | None = None) -> Answer:
        """Send a request as it is; a path from the root begins with a slash."""
        connection = http.client.HTTPConnection(self.parts.hostname, self.parts.port, timeout=60)
        try:
            path = path if path.startswith("/") else self.parts.path + path
            connection.request(method, path, body, headers or {})
            response = connection.getresponse()
            return Answer(response.status, dict(response.getheaders()), response.read())
        finally:
            connection.close()

    def get(self, path: str, **query: Any) -> Any:
        answer = self.ask("GET", f"{path}?{urlencode(query)}" if query else path)
        assert answer.status == 200, answer
        return answer.json

    def post(self, path: str, status: int = 200, **values: Any) -> Any:
        answer = self.ask("POST", path, json.dumps(values).encode(), {"Content-Type": "application/json"})
        assert answer.status == status, answer
        return answer.json

    def apply(self, action: str, status: int = 200, **values: Any) -> Any:
        """Agree to the plan of the marks as it is now, or to another one."""
        plan = self.post("api/plan")
        seen = {name: plan[name] for name in ("files", "plan")}
        return self.post("api/apply", status, action=action, **seen | values)

    def images(self, **conditions: Any) -> dict[str, dict[str, Any]]:
        """The images of all groups by name."""
        found = {}
        ids = self.get("api/groups", **conditions)["ids"]
        for start in range(0, len(ids), 200):
            asked = ",".join(map(str, ids[start : start + 200]))
            for group in self.get("api/groups/details", ids=asked)["groups"]:
                found |= {image["name"]: image | {"group": group["id"]} for image in group["images"]}
        return found

    def job(self) -> dict[str, Any]:
        """Wait for the end of a job."""
        wait_for(lambda: not self.get("api/state")["job"]["running"])
        return self.get("api/state")["job"]


class Server:
    """A server in a process of its own."""

    def __init__(self, store: Path, *options: str) -> None:
        command = [sys.executable, "-m", "fastdiff_dask", "review", str(store), "--no-browser", *options]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        line = self.process.stdout.readline()
        assert " at http://" in line, self.process.communicate()
        self.page = Page(line.split()[-1])

    def end(self, number: int) -> tuple[str, str]:
        self.process.send_signal(number)
        return self.process.communicate(timeout=60)
