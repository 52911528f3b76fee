"""Pictures and stores behind URLs, against an S3 server on loopback: the same results, interrupted or not."""

import contextlib
import http.server
import io
import json
import os
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import fsspec
import numpy as np
import pytest
from conftest import Bucket, free_port
from distributed import Client, LocalCluster
from fsspec.implementations.memory import MemoryFileSystem
from PIL import Image

from fastdiff_dask import locks
from fastdiff_dask.catalog import index_images, list_images
from fastdiff_dask.config import IndexSettings
from fastdiff_dask.errors import FastDiffError, StoreLockedError, UsageError
from fastdiff_dask.files import Files
from fastdiff_dask.project import FastDifPy
from fastdiff_dask.remote import ChangedError, fetch
from fastdiff_dask.results import write_json
from fastdiff_dask.roots import resolve_roots
from fastdiff_dask.status import describe_store
from fastdiff_dask.store import Store
from fastdiff_dask.testing import simulate_images

COMMAND = [sys.executable, "-m", "fastdiff_dask"]


def picture(seed: int, kind: str = "PNG") -> bytes:
    """A picture that is like no other one."""
    content = io.BytesIO()
    blocks = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), np.uint8)
    Image.fromarray(blocks.repeat(8, 0).repeat(8, 1)).save(content, kind)
    return content.getvalue()


def job(photos: str, store: str, out: Path, client: Client | None = None, **options) -> dict:
    """Run all stages; the result without its figures is in the file."""
    with FastDifPy(photos, store=store, client=client, block_size=8, verbose=False, **options) as db, db.writing():
        db.index_the_dirs()
        db.first_loop_iteration(compute_hash=True)
        db.second_loop_iteration(sub_block=8, tile_side=1)
        write_json(db.result(), str(out))
    content = json.loads(out.read_text())
    stats = content.pop("stats")
    out.write_text(json.dumps(content))
    return stats


@pytest.fixture
def collection(bucket, tmp_path) -> Bucket:
    """A bucket with the pictures of tmp_path / 'photos' below photos/, one of them broken."""
    simulate_images(tmp_path / "photos" / "2024", images=14, duplicates=5, size=(80, 60))
    simulate_images(tmp_path / "photos" / "2025", images=6, duplicates=2, size=(80, 60), seed=1)
    (tmp_path / "photos" / "bad.jpg").write_text("no picture")
    (tmp_path / "photos" / "note.txt").write_text("no picture either")
    bucket.upload(tmp_path / "photos", "photos")
    bucket.put("photos/empty/", b"")
    return bucket


def test_the_same_result_as_on_a_disk(collection, tmp_path, client):
    here, there = tmp_path / "here.json", tmp_path / "there.json"
    local = job(str(tmp_path / "photos"), str(tmp_path / "store"), here, client)
    remote = job(f"{collection.url}/photos/", f"{collection.url}/work/store", there, client)
    given = f"{collection.url}/photos"
    assert there.read_text().replace(f"{given}/", given) == here.read_text().replace(
        str(tmp_path / "photos"), given
    ).replace(f"{given}/", given)
    assert local["images_read"] == remote["images_read"] == 28
    assert local["tiles"] == remote["tiles"] > 3
    assert json.loads(there.read_text())["files"] == {
        "found": 29,
        "compared": 27,
        "errors": 1,
        "ignored": {"no image by its extension": 1},
    }
    # nothing is left to do, and the lease is gone
    again = job(f"{collection.url}/photos", f"{collection.url}/work/store", tmp_path / "again.json", client)
    assert (again["images_read"], again["tiles_resumed"]) == (0, again["tiles"])
    assert "writer.json" not in Files(f"{collection.url}/work/store").names()
    assert f"{again['tiles']} of {again['tiles']} tiles are done" in describe_store(f"{collection.url}/work/store")
    # the stores hold the same
    with (
        FastDifPy(tmp_path / "photos", store=tmp_path / "store", block_size=8, client=client, verbose=False) as a,
        FastDifPy(given, store=f"{collection.url}/work/store", block_size=8, client=client, verbose=False) as b,
    ):
        one, other = a.images.compute(), b.images.compute()
        columns = ["path", "size", "width", "height", "error", "content_hash", "hash_0", "hash_key"]
        assert one[columns].equals(other[columns])
        np.testing.assert_array_equal(a.thumbnails.compute(), b.thumbnails.compute())
        matrix = b.mse(persist=True).compute()
        np.testing.assert_array_equal(a.mse().compute(), matrix)
        assert len(Files(f"{collection.url}/work/store/arrays.zarr/mse-rotations").names()) > 1
        np.testing.assert_array_equal(b.mse(persist=True).compute(), matrix)


# -- killed and resumed --------------------------------------------------------------------------------------------------


def test_killed_at_many_moments_of_all_stages(collection, tmp_path):
    driver = Path(__file__).with_name("remote_kill_driver.py")
    command = [sys.executable, str(driver), f"{collection.url}/photos/2024", collection.url, str(tmp_path)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    reports = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(reports) == 5
    for report in reports:
        assert report["killed by"] == signal.SIGKILL, report
        assert report["resumed"] == 0, report
        assert report["bytes equal"], report
        # 19 images in blocks of 8
        rows = sum(min(8, 19 - block * 8) for block in report["blocks"])
        assert report["stats"]["images_read"] == 19 - rows, report
        assert report["stats"]["tiles_resumed"] == report["tiles"], report
    assert [len(report["blocks"]) for report in reports] == [0, 0, 0, 2, 3]
    assert [report["tiles"] for report in reports] == [0, 0, 0, 0, 2]
    assert reports[0]["stats"]["tiles"] == 6


def find(*arguments: str, environment: dict[str, str]) -> subprocess.Popen[str]:
    command = [*COMMAND, "find", *arguments, "--dashboard-address", "127.0.0.1:0"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen(command, env=os.environ | environment, text=True, **pipes)


def test_the_command_is_killed_and_goes_on(collection, tmp_path):
    """One run after the other is killed; each finds what the one before has finished, and its lease ended with it."""
    arguments = [f"{collection.url}/photos", "--store", f"{collection.url}/store", "--block-size", "4"]
    signs = ("store/images.parquet/", "store/arrays.zarr/thumbnails/c.", "store/arrays.zarr/comparisons/")
    for sign in signs:
        run = find(*arguments, "--threads", "1", environment={})
        while not any(key.startswith(sign) for key in collection.keys("store")):
            assert run.poll() is None, run.communicate()
            time.sleep(0.01)
        run.kill()
        run.communicate()
    assert "store/writer.json" in collection.keys()
    done = len([key for key in collection.keys("store/arrays.zarr/thumbnails/") if "/c." in key])
    out, here = tmp_path / "there.json", tmp_path / "here.json"
    last = find(*arguments, "--json", str(out), environment={})
    printed, said = last.communicate(timeout=60)
    assert last.returncode == 0, said
    assert "27 compared" in printed
    result = json.loads(out.read_text())
    assert result.pop("stats")["images_read"] == 28 - 4 * done == 0
    with FastDifPy(tmp_path / "photos", store=tmp_path / "store", block_size=4, threads=2, verbose=False) as db:
        db.index_the_dirs()
        db.first_loop_iteration()
        db.second_loop_iteration()
        write_json(db.result(), str(here))
    local = json.loads(here.read_text())
    del local["stats"]
    assert json.dumps(result) == json.dumps(local).replace(str(tmp_path), collection.url)


# -- what changes between runs -------------------------------------------------------------------------------------------


def test_objects_are_added_changed_and_removed(bucket, tmp_path, client):
    for number in range(6):
        bucket.put(f"{number}.png", picture(number))
    first = job(bucket.url, f"memory://{tmp_path.name}", tmp_path / "one.json", client)
    assert first["images_read"] == 6
    bucket.put("sub/6.png", picture(0))  # a copy
    bucket.put("1.png", picture(11) + b"changed")
    bucket.delete("2.png")
    second = job(bucket.url, f"memory://{tmp_path.name}", tmp_path / "two.json", client)
    assert (second["images"], second["images_read"]) == (6, 2)
    found = json.loads((tmp_path / "two.json").read_text())
    assert [(pair["a"], pair["b"]) for pair in found["pairs"]] == [(f"{bucket.url}/0.png", f"{bucket.url}/sub/6.png")]
    assert not found["errors"]


def test_objects_that_cannot_be_read_cost_a_row_each(bucket, tmp_path, client):
    """One is archived, one is gone and one is replaced after they were listed; they are read when they can be."""
    for number in range(4):
        bucket.put(f"{number}.png", picture(number), **({"StorageClass": "GLACIER"} if number == 1 else {}))
    bucket.put("empty.png", b"")
    options = {"store": tmp_path / "store", "client": client, "verbose": False}
    with FastDifPy(bucket.url, **options) as db:
        db.index_the_dirs()
        bucket.delete("2.png")
        bucket.put("3.png", picture(3) + b"longer")
        db.first_loop_iteration()
        assert dict(zip(db.errors.path, db.errors.error, strict=True)) == {
            f"{bucket.url}/1.png": "PermissionError: Permission denied",
            f"{bucket.url}/2.png": "FileNotFoundError: No such file or directory",
            f"{bucket.url}/3.png": "the file changed after it was listed; run again",
            f"{bucket.url}/empty.png": "UnidentifiedImageError: not an image, or of a kind that Pillow cannot read",
        }
    with FastDifPy(bucket.url, **options) as db:
        counts = db.index_the_dirs()
        assert (counts.new, counts.changed, counts.unchanged, counts.vanished) == (0, 1, 3, 1)
        db.first_loop_iteration()
        assert db.images_read == 1
        assert db.errors.path.tolist() == [f"{bucket.url}/1.png", f"{bucket.url}/empty.png"]
        # nothing changes the object itself
        bucket.objects.restore_object(Bucket=bucket.name, Key="1.png", RestoreRequest={"Days": 1})
        db.index_the_dirs()
        db.first_loop_iteration()
        assert db.images_read == 2
        assert db.errors.path.tolist() == [f"{bucket.url}/empty.png"]


def test_a_change_of_equal_size_is_seen(bucket):
    bucket.put("a", b"one")
    listed = bucket.objects.list_objects_v2(Bucket=bucket.name)["Contents"][0]["LastModified"]
    mtime_ns = int(listed.timestamp()) * 10**9
    assert fetch(f"{bucket.url}/a", 3, mtime_ns) == b"one"
    assert fetch(f"{bucket.url}/a", 3, mtime_ns + 7) == b"one"  # this server tells seconds
    assert fetch(f"{bucket.url}/a", 3, 0) == b"one"
    for size, time_ns in ((3, mtime_ns - 10**9), (3, mtime_ns + 2 * 10**9), (4, mtime_ns)):
        with pytest.raises(ChangedError):
            fetch(f"{bucket.url}/a", size, time_ns)


def test_the_rules_are_the_same_as_on_a_disk(bucket, tmp_path):
    names = ["a.jpg", "b.JPG", "c.txt", "sub/d.png", "sub/deep/e.jpg", "thumbs/f.jpg", "thumbs/g.txt", "sub/x.jpg"]
    names += ["skip/h.jpg", "skipped.jpg", "sub/skip/i.jpg", "ü ñ.jpg"]
    for name in names:
        (tmp_path / "p" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "p" / name).write_bytes(name.encode())
    bucket.upload(tmp_path / "p", "p")
    for options in (
        {},
        {"recursive": False},
        {"extensions": (".jpg",)},
        {"ignore_names": ("thumbs", "x.*")},
        {"ignore_paths": ("skip", "sub/deep/e.jpg")},
        {"ignore_names": ("sub",), "ignore_paths": ("sub/deep",)},
    ):
        counts = []
        for root in (str(tmp_path / "p"), f"{bucket.url}/p"):
            paths = tuple(f"{root}/{path}" for path in options.get("ignore_paths", ()))
            settings = IndexSettings(**(options | {"ignore_paths": paths}))
            store = Store.open_or_create(
                f"memory://{uuid.uuid4().hex}", {"a": [root], "b": []}, FastDifPy(root).thumbnail_settings
            )
            roots = resolve_roots({"a": [root], "b": []})
            rows = [(row.path, row.size) for row in list_images(roots, settings)]
            counts.append((rows, index_images(store, roots, settings).ignored))
        assert counts[0] == counts[1], options
        assert len(counts[0][0]) + sum(counts[0][1].values()) == (12 if options.get("recursive", True) else 5)


def test_addresses_of_roots(bucket, tmp_path):
    bucket.put("photos/a.jpg", b"a")
    bucket.put("photos/sub/b.jpg", b"b")
    bucket.put("photos2/c.jpg", b"c")
    assert [root.absolute for root in resolve_roots({"a": [f"{bucket.url}/photos/", bucket.url]})] == [
        bucket.url,
        f"{bucket.url}/photos",
    ]
    # listed once, though one is within the other
    roots = resolve_roots({"a": [bucket.url, f"{bucket.url}/photos"], "b": []})
    assert sorted(row.size for row in list_images(roots, IndexSettings())) == [1, 1, 1]
    assert {row.path for row in list_images(roots, IndexSettings())} == {"a.jpg", "sub/b.jpg", "photos2/c.jpg"}
    (tmp_path / "d.jpg").write_bytes(b"d")
    assert resolve_roots({"a": [f"file://{tmp_path}"]})[0].absolute == str(tmp_path.resolve())
    assert len(resolve_roots({"a": [f"{bucket.url}/photos"], "b": [f"{bucket.url}/photos2", str(tmp_path)]})) == 3
    for a, b, message in (
        (f"{bucket.url}/photos", f"{bucket.url}/photos/sub", "one is inside the other"),
        (f"{bucket.url}/photos", bucket.url, "one is inside the other"),
        (f"{bucket.url}/photos/a.jpg", None, "is not a folder"),
        (f"{bucket.url}/pho", None, "no folder .*, or nothing in it"),
        ("s3://user:word@bucket", None, "has a password in it"),
        ("zip://a::s3://b", None, "no simple address"),
        ("nothing://a", None, "cannot be used"),
    ):
        with pytest.raises(UsageError, match=message):
            resolve_roots({"a": [a], "b": [] if b is None else [b]})
    with pytest.raises(UsageError, match="inside the photo folder"):
        FastDifPy(f"{bucket.url}/photos", store=f"{bucket.url}/photos/store")
    with pytest.raises(UsageError, match="mount it and name the folder"):
        FastDifPy(f"{bucket.url}/photos", store="sftp://nowhere/store")
    bucket.put("other/file", b"")
    with pytest.raises(UsageError, match="a folder with other files .*not a store"), Store.lock(f"{bucket.url}/other"):
        pass
