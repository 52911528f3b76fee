"""Thousands of broken files, and odd names: each is compared, an error with its reason, or ignored by a rule."""

import io
import json
import os
import socket
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fastdiff_dask.images.opening import image_extensions
from fastdiff_dask.testing import simulate_photo

KINDS = {
    "avif": {},
    "bmp": {},
    "dds": {},
    "gif": {},
    "ico": {},
    "jp2": {},
    "jpg": {},
    "jxl": {},
    "heic": {},
    "pcx": {},
    "png": {},
    "ppm": {},
    "qoi": {},
    "sgi": {},
    "tga": {"compression": "tga_rle"},
    "tif": {"compression": "tiff_lzw"},
    "webp": {},
}
TRUNCATIONS, FLIPS = 30, 100


@pytest.fixture(scope="module")
def corpus(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("corpus")
    image_extensions()  # registers the formats of the extras
    rng = np.random.default_rng(4)
    image = Image.fromarray(simulate_photo(rng, 48, 36))
    for kind, options in KINDS.items():
        buffer = io.BytesIO()
        name = f"good.{kind}"
        try:
            image.save(folder / name, **options)
        except ValueError:  # an extra that is not installed
            continue
        buffer = (folder / name).read_bytes()
        for cut in range(TRUNCATIONS):
            (folder / f"cut-{cut}.{kind}").write_bytes(buffer[: len(buffer) * cut // TRUNCATIONS])
        for flip in range(FLIPS):
            damaged = bytearray(buffer)
            for _ in range(1 + flip % 5):
                damaged[rng.integers(0, len(damaged))] ^= 1 << rng.integers(0, 8)
            (folder / f"flip-{flip}.{kind}").write_bytes(damaged)
    return folder


def run(*arguments: object, code: int = 0) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "fastdiff_dask", *map(os.fspath, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, errors="surrogateescape", timeout=200)
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    return done


def test_broken_files_of_all_formats(corpus, tmp_path):
    files = sum(path.is_file() for path in corpus.iterdir())
    assert files >= 2000
    done = run("find", corpus, "--store", tmp_path / "store", "--json", tmp_path / "found.json", "--time-limit", "20")
    found = json.loads((tmp_path / "found.json").read_text())
    counts = found["files"]
    assert counts["found"] == files
    assert counts["compared"] + counts["errors"] + sum(counts["ignored"].values()) == files
    assert counts["errors"] == len(found["errors"]) > 500
    assert counts["compared"] > 500
    assert all(row["error"] and "\n" not in row["error"] for row in found["errors"])
    failed = {Path(row["path"]).name for row in found["errors"]}
    assert not [name for name in failed if name.startswith("good")]
    # of every format the empty file is an error
    assert {f"cut-0.{path.suffix[1:]}" for path in corpus.glob("good.*")} <= failed
    # nothing but our own lines: decoders complain on the terminal by themselves
    assert all(
        line.startswith(("Dashboard", "Progress", "Store", "Index", " ")) or not line
        for line in done.stderr.splitlines()
    )
    again = run("find", corpus, "--store", tmp_path / "store", "--json", tmp_path / "again.json")
    assert "(0 new" in again.stderr
    assert json.loads((tmp_path / "again.json").read_text())["errors"] == found["errors"]


def chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png(width: int, height: int, bits: int, data: bytes, *chunks: bytes) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, bits, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + b"".join(chunks) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def test_hostile_files_and_odd_names(tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    image = Image.fromarray(simulate_photo(np.random.default_rng(1), 60, 40))
    names = [
        b"two\nlines.png",
        b"tab\tand\rreturn.png",
        "🏞️ landscape.png".encode(),
        b"x" * 251 + b".png",
        b"not \xff\xfe utf-8.png",
        b" leading and trailing .png",
        b"-rf.png",
        b"'quotes\" and $(dollar).png",
        b"[markup] \x1b[31mred.png",
    ]
    for number, name in enumerate(names):
        picture = image.resize((60 + number, 40))
        with open(os.path.join(os.fsencode(folder), name), "wb") as file:  # noqa: PTH118, PTH123
            picture.save(file, "PNG")
    good = [os.fsdecode(os.path.join(os.fsencode(folder), name)) for name in names]  # noqa: PTH118
    (folder / "wrong-extension.jpg").write_bytes((folder / os.fsdecode(names[6])).read_bytes() + b" ")
    good.append(str(folder / "wrong-extension.jpg"))

    bad = {
        "empty.jpg": b"",
        "text.gif": b"hello",
        "huge.png": png(60_000, 60_000, 8, zlib.compress(bytes(1000))),
        "bomb.png": png(13_000, 13_000, 8, zlib.compress(bytes(1 << 20)) * 3),
        "text-bomb.png": png(8, 8, 8, b"", chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(1 << 28)))),
    }
    for name, content in bad.items():
        (folder / name).write_bytes(content)
    (folder / "folder.jpg").mkdir()
    os.mkfifo(folder / "pipe.jpg")
    (folder / "broken-link.jpg").symlink_to("nowhere")
    (folder / "notes.txt").write_text("no picture")
    with socket.socket(socket.AF_UNIX) as listener:
        at_home = os.getcwd()  # noqa: PTH109 - names of sockets are short
        os.chdir(folder)
        listener.bind("socket.jpg")
        os.chdir(at_home)
        done = run("find", folder, "--store", tmp_path / "store", "--json", tmp_path / "found.json")
    found = json.loads((tmp_path / "found.json").read_text())
    assert {Path(row["path"]).name for row in found["errors"]} == {*bad, "broken-link.jpg"}
    assert found["files"]["compared"] == len(good)
    assert sum(found["files"]["ignored"].values()) == 3  # the pipe, the socket, the text
    in_pairs = {row[side] for row in found["pairs"] for side in ("a", "b")}
    assert in_pairs == set(good)  # all are the same picture, and JSON gives the names back exactly
    for name in in_pairs:
        assert os.path.exists(os.fsencode(name))  # noqa: PTH110
    assert "\x1b[31m" not in done.stdout
    rows = {Path(row["path"]).name: row["error"] for row in found["errors"]}
    assert rows["huge.png"] == "more than 178956970 pixels; a higher pixel limit reads it"
    assert "UnidentifiedImageError" in rows["empty.jpg"]


def test_a_file_without_permission(tmp_path, monkeypatch):
    folder = tmp_path / "photos"
    folder.mkdir()
    for number in range(3):
        Image.new("RGB", (20, 20), (number * 100, 0, 0)).save(folder / f"{number}.png")
    (folder / "1.png").chmod(0)
    for path in (tmp_path, *tmp_path.parents[:3]):
        path.chmod(0o755)
    if os.geteuid() == 0:
        # the superuser reads everything, so the decoder becomes somebody else as soon as it has loaded what it needs
        (tmp_path / "sitecustomize.py").write_text(
            "import os, sys\n"
            "if 'fastdiff_dask.images.decoder_process' in ' '.join(sys.orig_argv):\n"
            "    import fastdiff_dask.images.decoder_process, fastdiff_dask.images.opening\n"
            "    fastdiff_dask.images.opening.image_extensions()\n"
            "    os.seteuid(65534)\n"
        )
        monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    run("find", folder, "--store", tmp_path / "store", "--json", tmp_path / "found.json")
    found = json.loads((tmp_path / "found.json").read_text())
    assert found["errors"] == [{"path": str(folder / "1.png"), "error": "PermissionError: Permission denied"}]
    assert found["files"]["compared"] == 2
