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
from distributed import Client, LocalCluster
from fsspec.implementations.memory import MemoryFileSystem
from PIL import Image
from support.buckets import Bucket
from support.system import free_port

from fastdiff_dask.compat.fast_diff_py import FastDifPy
from fastdiff_dask.config import IndexSettings
from fastdiff_dask.errors import FastDiffError, StoreLockedError, UsageError
from fastdiff_dask.outputs.json_file import write_json
from fastdiff_dask.outputs.store_state import describe_store
from fastdiff_dask.stages import index
from fastdiff_dask.stages.index import index_images, list_images
from fastdiff_dask.stages.listing.roots import resolve_roots
from fastdiff_dask.storage import locks
from fastdiff_dask.storage.files import Files
from fastdiff_dask.storage.store import Store
from fastdiff_dask.testing import simulate_images
from fastdiff_dask.urls import ChangedError, fetch

COMMAND = [sys.executable, "-m", "fastdiff_dask"]

SUPPORT = Path(__file__).parents[1] / "support"


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


def test_the_same_result_as_on_a_disk(collection, tmp_path, client, monkeypatch):
    here, there = tmp_path / "here.json", tmp_path / "there.json"
    local = job(str(tmp_path / "photos"), str(tmp_path / "store"), here, client)
    remote = job(f"{collection.url}/photos/", f"{collection.url}/job/store", there, client)
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
    again = job(f"{collection.url}/photos", f"{collection.url}/job/store", tmp_path / "again.json", client)
    assert (again["images_read"], again["tiles_resumed"]) == (0, again["tiles"])
    assert "writer.json" not in Files(f"{collection.url}/job/store").names()
    assert f"{again['tiles']} of {again['tiles']} tiles are done" in describe_store(f"{collection.url}/job/store")
    # metadata is fetched some partitions at a time
    opened = Store(f"{collection.url}/job/store")
    paths = opened.read_images(["path"])
    for at_once in (1, 3):
        monkeypatch.setattr("fastdiff_dask.storage.store._PARTITIONS_AT_ONCE", at_once)
        assert opened.read_images(["path"]).equals(paths)
    assert len(paths) == 28
    # the stores hold the same
    with (
        FastDifPy(tmp_path / "photos", store=tmp_path / "store", block_size=8, client=client, verbose=False) as a,
        FastDifPy(given, store=f"{collection.url}/job/store", block_size=8, client=client, verbose=False) as b,
    ):
        one, other = a.images.compute(), b.images.compute()
        columns = ["path", "size", "width", "height", "error", "content_hash", "hash_0", "hash_key"]
        assert one[columns].equals(other[columns])
        np.testing.assert_array_equal(a.thumbnails.compute(), b.thumbnails.compute())
        matrix = b.mse(persist=True).compute()
        np.testing.assert_array_equal(a.mse().compute(), matrix)
        assert len(Files(f"{collection.url}/job/store/arrays.zarr/mse-rotations").names()) > 1
        np.testing.assert_array_equal(b.mse(persist=True).compute(), matrix)


# -- killed and resumed ------------------------------------------------------------------------------------------------


def test_stores_there_are_compared(collection, tmp_path, client):
    photos, out = f"{collection.url}/photos", tmp_path / "out.json"
    job(photos, f"{collection.url}/a", out, client)
    job(photos, str(tmp_path / "b"), out, client)
    pairs = set()
    for place in (f"{collection.url}/both", str(tmp_path / "both")):
        with FastDifPy.from_stores(
            f"{collection.url}/a", tmp_path / "b", store=place, client=client, verbose=False
        ) as db:
            assert db.index_the_dirs().new == 2 * 28
            db.first_loop_iteration()
            db.second_loop_iteration()
            found = db.result()
            # every picture is in both
            assert sum(row.a == row.b and row.mse == 0 for row in found.pairs.itertuples()) == 27
            pairs.add(tuple(zip(found.pairs.a, found.pairs.b, found.pairs.mse, strict=True)))
    assert len(pairs) == 1


def test_a_comparison_of_stores_there_is_killed_and_goes_on(collection, tmp_path, client):
    photos, both = f"{collection.url}/photos", f"{collection.url}/both"
    for name in ("a", "b"):
        job(photos, f"{collection.url}/{name}", tmp_path / "out.json", client)
    command = [*COMMAND, "compare", f"{collection.url}/a", f"{collection.url}/b", "--block-size", "4"]
    options = ["--threads", "1", "--dashboard-address", "127.0.0.1:0"]
    for sign in ("images.parquet/", "arrays.zarr/thumbnails/c.", "arrays.zarr/comparisons/"):
        run = subprocess.Popen([*command, *options, "--store", both], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        while not collection.keys(f"both/{sign}"):
            assert run.poll() is None, run.communicate()
            time.sleep(0.05)  # the server serves the run meanwhile
        run.kill()
        run.communicate()
    results = []
    for store in (both, f"{collection.url}/whole"):
        out = tmp_path / f"{len(results)}.json"
        subprocess.run(
            [*command, *options, "--store", store, "--json", str(out)], check=True, capture_output=True, timeout=200
        )
        content = json.loads(out.read_text())
        del content["stats"]
        results.append(content)
    assert len(results[0]["pairs"]) > 27
    assert results[0] == results[1]


def test_killed_at_many_moments_of_all_stages(collection, tmp_path):
    driver = SUPPORT / "remote_kill_driver.py"
    command = [sys.executable, str(driver), f"{collection.url}/photos/2024", collection.url, str(tmp_path)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    reports = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(reports) == 4
    for report in reports:
        assert report["killed by"] == signal.SIGKILL, report
        assert report["resumed"] == 0, report
        assert report["bytes equal"], report
        # 19 images in blocks of 8
        rows = sum(min(8, 19 - block * 8) for block in report["blocks"])
        assert report["stats"]["images_read"] == 19 - rows, report
        assert report["stats"]["tiles_resumed"] == report["tiles"], report
    assert [len(report["blocks"]) for report in reports] == [0, 0, 2, 3]
    assert [report["tiles"] for report in reports] == [0, 0, 0, 2]
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
        while not collection.keys(sign):
            assert run.poll() is None, run.communicate()
            time.sleep(0.05)  # the server serves the run meanwhile
        run.kill()
        run.communicate()
    assert collection.keys("store/writer.json")
    done = len([key for key in collection.keys("store/arrays.zarr/thumbnails/") if "/c." in key])
    out, here = tmp_path / "there.json", tmp_path / "here.json"
    last = find(*arguments, "--json", str(out), environment={})
    printed, said = last.communicate(timeout=200)
    assert last.returncode == 0, said
    assert "27 compared" in printed
    result = json.loads(out.read_text())
    assert result.pop("stats")["images_read"] == 28 - 4 * done == 0
    with FastDifPy(tmp_path / "photos", store=tmp_path / "store", block_size=4, threads=2, verbose=False) as db:
        db.index_the_dirs()
        db.first_loop_iteration()
        db.second_loop_iteration()
        assert db.verify() > 0
        write_json(db.result(), str(here))
    local = json.loads(here.read_text())
    del local["stats"]
    assert json.dumps(result) == json.dumps(local).replace(str(tmp_path), collection.url)


# -- what changes between runs -----------------------------------------------------------------------------------------


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


def test_keys_with_two_colons(bucket, tmp_path, client):
    """In fsspec's own addresses they join two file systems."""
    bucket.put("a::b.png", picture(1))
    bucket.put("zip::c/d::e.png", picture(1))
    assert job(bucket.url, str(tmp_path / "store"), tmp_path / "one.json", client)["images_read"] == 2
    found = json.loads((tmp_path / "one.json").read_text())
    assert not found["errors"]
    assert [(pair["a"], pair["b"]) for pair in found["pairs"]] == [
        (f"{bucket.url}/a::b.png", f"{bucket.url}/zip::c/d::e.png")
    ]


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
        {"min_size": 6, "max_size": 11},
    ):
        counts = []
        for root in (str(tmp_path / "p"), f"{bucket.url}/p"):
            paths = tuple(f"{root}/{path}" for path in options.get("ignore_paths", ()))
            settings = IndexSettings(**(options | {"ignore_paths": paths}))
            store = Store.open_or_create(
                f"memory://{uuid.uuid4().hex}", {"a": [root], "b": []}, FastDifPy(root).settings.thumbnails
            )
            roots = resolve_roots({"a": [root], "b": []})
            rows = [(row.path, row.size) for row in list_images(roots, settings)]
            found = index_images(store, roots, settings)
            assert not found.unused
            counts.append((rows, found.ignored))
        assert counts[0] == counts[1], options
        assert len(counts[0][0]) + sum(counts[0][1].values()) == (12 if options.get("recursive", True) else 5)
        wrong = (f"{root}/ski", f"{root}2")
        assert index_images(store, roots, IndexSettings(ignore_paths=wrong)).unused == wrong


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
    with pytest.raises(UsageError, match=r"a folder with other files .*not a store"), Store.lock(f"{bucket.url}/other"):
        pass


# -- the lease ---------------------------------------------------------------------------------------------------------


def lease_of(bucket: Bucket, **changes: object) -> dict:
    """The lease of a store at the top of a bucket; put there with some changes."""
    held = json.loads(bucket.objects.get_object(Bucket=bucket.name, Key="writer.json")["Body"].read())
    if changes:
        bucket.put("writer.json", json.dumps(held | changes).encode())
    return held


def test_two_clients_at_once(bucket, tmp_path):
    """The second one is refused at once, by the command line too; afterwards nothing is left of the lease."""
    bucket.put("photos/a.png", picture(1))
    with Store.lock(f"{bucket.url}/store"):
        assert locks.is_leased(Files(f"{bucket.url}/store"))
        with pytest.raises(StoreLockedError, match=f"written by process {os.getpid()} on "):
            Store.lock(f"{bucket.url}/store").__enter__()
        second = find(f"{bucket.url}/photos", "--store", f"{bucket.url}/store", environment={})
        _, said = second.communicate(timeout=200)
        assert second.returncode == 1
        assert said.count("\n") == 1, said
        assert f"is being written by process {os.getpid()} on" in said
    assert bucket.keys("store") == []
    assert not locks.is_leased(Files(f"{bucket.url}/store"))
    with Store.lock(f"{bucket.url}/store"):
        pass


def test_the_lease_of_a_dead_process_of_this_machine_ends_with_it(bucket):
    code = """
import os, sys
from fastdiff_dask.storage.store import Store
held = Store.lock(sys.argv[1])
held.__enter__()
os.kill(os.getpid(), 9)
"""
    assert subprocess.run([sys.executable, "-c", code, bucket.url], check=False).returncode == -signal.SIGKILL
    dead = lease_of(bucket)
    with Store.lock(bucket.url):
        assert lease_of(bucket)["process"] == os.getpid()
        # another process has its number by now
        lease_of(bucket, process=os.getpid(), started=dead["started"] - 1000, token=dead["token"])
        with Store.lock(bucket.url):
            pass


def test_the_lease_of_another_machine_ends_when_it_is_not_renewed(bucket, monkeypatch):
    with Store.lock(bucket.url):
        held = lease_of(bucket)
    # its clock is of no interest
    bucket.put("writer.json", json.dumps(held | {"host": "elsewhere", "time": 0.0}).encode())
    with pytest.raises(StoreLockedError, match="on elsewhere; wait for it to end"):
        Store.lock(bucket.url).__enter__()
    monkeypatch.setattr("fastdiff_dask.storage.locks.ENDED", 2.0)
    time.sleep(3.5)
    taken: list[locks.Held] = []
    refused: list[Exception] = []
    together, end = threading.Barrier(6), threading.Event()

    def take() -> None:
        together.wait()
        try:
            with Store.lock(bucket.url) as one:
                taken.append(one)
                end.wait(30)
        except StoreLockedError as error:
            refused.append(error)

    takers = [threading.Thread(target=take) for _ in range(6)]
    for taker in takers:
        taker.start()
    while len(refused) < 5 and any(taker.is_alive() for taker in takers):
        time.sleep(0.05)
    end.set()
    for taker in takers:
        taker.join()
    assert (len(taken), len(refused)) == (1, 5)
    assert bucket.keys() == []


def test_a_lease_is_renewed_while_it_is_held(bucket, monkeypatch):
    monkeypatch.setattr("fastdiff_dask.storage.locks.ENDED", 6.0)
    monkeypatch.setattr("fastdiff_dask.storage.locks.RENEWED", 0.5)
    with Store.lock(bucket.url) as held:
        lease_of(bucket, host="elsewhere")  # whose life cannot be looked at from here
        time.sleep(7.5)
        with pytest.raises(StoreLockedError):
            Store.lock(bucket.url).__enter__()
        held.check()


def test_who_lost_the_lease_writes_nothing_more(bucket, tmp_path, client, monkeypatch):
    monkeypatch.setattr("fastdiff_dask.storage.locks.RENEWED", 0.2)
    looks = []
    look = locks._Lease._is_ours
    monkeypatch.setattr(locks._Lease, "_is_ours", lambda self: looks.append(look(self)) or looks[-1])
    for number in range(3):
        bucket.put(f"photos/{number}.png", picture(number))
    url = f"{bucket.url}/store"
    other = {"process": 7, "host": "elsewhere", "token": "0" * 32}
    with FastDifPy(f"{bucket.url}/photos", store=url, client=client, verbose=False) as db:
        lost = "taken from this process and is held by process 7 on elsewhere"
        with pytest.raises(StoreLockedError, match=lost), db.writing():  # noqa: PT012
            db.index_the_dirs()
            while False not in looks:  # the holder may have looked just before, and write its own once more
                bucket.put("store/writer.json", json.dumps(other).encode())
                time.sleep(0.1)
            db.first_loop_iteration()
    # it belongs to the other one
    assert json.loads(Files(url).read("writer.json")) == other
    assert Store(url).finished_blocks() == set()


def test_who_loses_the_lease_within_a_stage_stops_there(bucket, client, monkeypatch):
    monkeypatch.setattr("fastdiff_dask.storage.locks.RENEWED", 0.05)
    for number in range(60):
        bucket.put(f"photos/{number}.png", picture(number))
    url = f"{bucket.url}/store"
    with FastDifPy(f"{bucket.url}/photos", store=url, client=client, block_size=2, verbose=False) as db, db.writing():
        db.index_the_dirs()
    done = threading.Event()

    def take() -> None:
        while not done.is_set() and not Store(url).finished_blocks():
            time.sleep(0.01)
        while not done.is_set():  # the holder may have looked just before, and write its own once more
            bucket.put("store/writer.json", b"{}")
            time.sleep(0.02)

    taker = threading.Thread(target=take)
    with FastDifPy(f"{bucket.url}/photos", store=url, client=client, block_size=2, verbose=False) as db:
        taker.start()
        with pytest.raises(StoreLockedError, match="taken from this process"):
            db.first_loop_iteration()
        done.set()
        taker.join()
    assert 0 < len(Store(url).finished_blocks()) < 30


@pytest.mark.parametrize("moment", ["while folders are listed", "when rows are written"])
def test_who_loses_the_lease_within_the_index_writes_nothing_more(bucket, client, monkeypatch, moment):
    monkeypatch.setattr("fastdiff_dask.storage.locks.RENEWED", 0.05)
    bucket.put("photos/0.png", picture(0))
    url = f"{bucket.url}/store"
    with FastDifPy(f"{bucket.url}/photos", store=url, client=client, verbose=False) as db:
        db.index_the_dirs()
        before = {key: bucket.get(key) for key in bucket.keys("store") if not key.endswith("/run")}
        bucket.put("photos/1.png", picture(1))

        def lose() -> None:
            """Another process takes the store over, as it does when this one was stopped for a minute."""
            other = json.dumps({"process": 7, "host": "elsewhere", "token": "0" * 32}).encode()
            for _ in range(5):  # the holder may have looked just before, and write its own once more
                bucket.put("store/writer.json", other)
                time.sleep(0.1)

        module, name = (index, "_walk") if moment == "while folders are listed" else (Store, "write_partition")
        original = getattr(module, name)

        def interrupted(*arguments, **options):
            if name == "_walk":
                found = original(*arguments, **options)
                lose()
                return found
            lose()
            Files(url).begin_run()  # as the other one does before it writes
            return original(*arguments, **options)

        monkeypatch.setattr(module, name, interrupted)
        error = StoreLockedError if name == "_walk" else FastDiffError
        with pytest.raises(error, match=r"taken from this process|another one has begun"):
            db.index_the_dirs()
    after = {key: bucket.get(key) for key in bucket.keys("store") if not key.endswith("/run")}
    assert after.pop("store/writer.json")
    assert after == before


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ({"ls": lambda fs, path, detail=True, **_: []}, "what was written is not listed"),
        ({"cat_file": lambda fs, path, **_: b""}, "what was written is not read back"),
        ({"pipe_file": lambda fs, path, value, **_: MemoryFileSystem.pipe_file(fs, path, value)}, "is created again"),
        ({"rm": lambda fs, path, **_: None}, "what was removed is listed"),
        ({"info": lambda fs, path, **_: MemoryFileSystem.info(fs, path) | {"created": None}}, "does not tell when"),
    ],
)
def test_what_a_backend_cannot_do_is_found_out(fault, message):
    """Real faults of a real backend: before anything is written into a store."""
    files = Files(f"memory://{uuid.uuid4().hex}")
    files._fs = type("Faulty", (MemoryFileSystem,), fault | {"cachable": False})()
    with pytest.raises(UsageError, match=f"no store can be kept at memory://.*{message}"):
        locks.check_backend(files)


# -- what goes wrong ---------------------------------------------------------------------------------------------------


def test_errors_are_one_line(bucket, s3_environment):
    bucket.put("photos/a.png", picture(1))
    photos, store = f"{bucket.url}/photos", f"{bucket.url}/store"
    nobody = {"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": "", "AWS_CONFIG_FILE": "/"}
    down = {"AWS_ENDPOINT_URL": f"http://127.0.0.1:{free_port()}"}
    runs = [
        (find(*arguments, environment=environment), message)
        for arguments, environment, message in (
            (("s3://no-such-bucket/photos",), {}, "no folder 's3://no-such-bucket/photos', or nothing in it"),
            ((f"{bucket.url}/nothing",), {}, "or nothing in it; check the address"),
            ((photos, "--store", "s3://no-such-bucket/store"), {}, "no bucket or container for a store at"),
            ((photos, "--store", store), nobody, "cannot be read (NoCredentialsError: Unable to locate credentials)"),
            ((photos, "--store", store), down, "cannot be read (EndpointConnectionError: Could not connect"),
            ((photos, "--store", "s3://key:word@b/store"), {}, "s3://…@b has a password in it"),
        )
    ]
    for run, message in runs:
        printed, said = run.communicate(timeout=200)
        assert run.returncode == 2, said
        assert message in said
        assert said.count("\n") == 1, said
        assert not printed
        assert "word@" not in said
    # fsspec's own configuration is enough
    names = {"AWS_ENDPOINT_URL": "FSSPEC_S3_ENDPOINT_URL"}
    names |= {"AWS_ACCESS_KEY_ID": "FSSPEC_S3_KEY", "AWS_SECRET_ACCESS_KEY": "FSSPEC_S3_SECRET"}
    own = {new: s3_environment[old] for old, new in names.items()} | {"AWS_CONFIG_FILE": "/", "AWS_ENDPOINT_URL": ""}
    run = find(photos, "--store", store, "--quiet", environment=nobody | own)
    printed, said = run.communicate(timeout=200)
    assert (run.returncode, printed, said) == (0, "", "")
    content = b"".join(
        bucket.objects.get_object(Bucket=bucket.name, Key=key)["Body"].read() for key in bucket.keys("store")
    )
    assert s3_environment["AWS_ENDPOINT_URL"].encode() not in content


def test_a_server_that_goes_away(bucket, tmp_path):
    """Finished work stays; the error is one line."""
    bucket.put("a.png", picture(1))
    down = {"AWS_ENDPOINT_URL": f"http://127.0.0.1:{free_port()}"}
    done = subprocess.run(
        [*COMMAND, "status", f"{bucket.url}/store"],
        env=os.environ | down,
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "cannot be reached (EndpointConnectionError" in done.stderr
    assert "check the credentials and the network" in done.stderr


@pytest.mark.parametrize("arguments", [("status",), ("dashboard",), ("compare", "{store}"), ("export", "out.csv")])
def test_commands_over_stores_without_credentials(bucket, arguments, tmp_path):
    bucket.put("store/arrays.zarr/zarr.json", b"{}")
    store = f"{bucket.url}/store"
    arguments = [arguments[0], store, *(text.format(store=f"{bucket.url}/other") for text in arguments[1:])]
    done = subprocess.run(
        [*COMMAND, *arguments],
        env=os.environ | {"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": "", "AWS_CONFIG_FILE": "/"},
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
        cwd=tmp_path,
    )
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "NoCredentialsError" in done.stderr
    assert "check the credentials" in done.stderr


# -- workers -----------------------------------------------------------------------------------------------------------


def test_workers_read_and_write_by_themselves(collection, tmp_path):
    out = tmp_path / "there.json"
    stats = job(f"{collection.url}/photos/2025", f"{collection.url}/store", out, workers=1, threads=2)
    assert stats["images_read"] == 8
    assert len(json.loads(out.read_text())["pairs"]) == 2


@pytest.mark.parametrize(
    ("missing", "message"),
    [
        ("package", r"pip install 'fastdiff_dask\[s3\]'"),
        ("credentials", "NoCredentialsError.*see that it has the packages and credentials"),
    ],
)
def test_workers_that_cannot_use_the_address(bucket, tmp_path, monkeypatch, missing, message):
    bucket.put("photos/a.png", picture(1))
    nobody = {"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": "", "AWS_CONFIG_FILE": "/"}
    lacks = {"preload": "import sys; sys.modules['s3fs'] = None"} if missing == "package" else {"env": nobody}
    with (
        LocalCluster(
            n_workers=1, threads_per_worker=1, dashboard_address="127.0.0.1:0", host="127.0.0.1", **lacks
        ) as cluster,
        Client(cluster) as client,
        FastDifPy(f"{bucket.url}/photos", store=tmp_path / "store", client=client, verbose=False) as db,
    ):
        db.index_the_dirs()
        with pytest.raises(UsageError, match=f"worker tcp://.* cannot be used: .*{message}"):
            db.first_loop_iteration()
        # a worker that came after all were asked finds out by itself
        monkeypatch.setattr(db._origin, "check_visible", lambda client, store: None)
        with pytest.raises(FastDiffError, match=f"a worker on .* cannot read s3://.*{message}"):
            db.first_loop_iteration()
        assert db.images_read == 0
        assert Store(str(tmp_path / "store")).finished_blocks() == set()


def test_pictures_in_memory(tmp_path, client):
    """They are read by this process for its decoder."""
    folder, fs = uuid.uuid4().hex, fsspec.filesystem("memory")
    for number in range(70):
        fs.pipe(f"/{folder}/{number:02}.png", picture(number % 69))
    fs.pipe(f"/{folder}/bad.png", b"no picture")
    store = f"memory://{folder}-store"
    stats = job(f"memory://{folder}", store, tmp_path / "out.json", client)
    found = json.loads((tmp_path / "out.json").read_text())
    assert stats["images_read"] == 71
    assert [(pair["a"], pair["b"]) for pair in found["pairs"]] == [
        (f"memory://{folder}/00.png", f"memory://{folder}/69.png")
    ]
    assert [error["path"] for error in found["errors"]] == [f"memory://{folder}/bad.png"]
    with (
        LocalCluster(
            processes=False, protocol="tcp", n_workers=1, dashboard_address="127.0.0.1:0", host="127.0.0.1"
        ) as cluster,
        Client(cluster) as other,
    ):
        for root, where in ((f"memory://{folder}", str(tmp_path / "store")), (str(tmp_path), store)):
            with pytest.raises(UsageError, match=r"in memory; (name a folder|leave out in_memory)"):
                _ = FastDifPy(root, store=where, client=other, verbose=False).client


# -- a slow server -----------------------------------------------------------------------------------------------------


@pytest.fixture
def web(tmp_path) -> Iterator[tuple[str, list[int]]]:
    """Address of tmp_path / 'web' on a web server, and with each request the number of files that are asked for then.

    Each file takes a fifth of a second, "hangs" ten.
    """
    (tmp_path / "web").mkdir()
    lock, waiting, numbers = threading.Lock(), set(), []

    class Handler(http.server.SimpleHTTPRequestHandler):
        def do_GET(self) -> None:
            if not self.path.endswith("/"):
                with lock:
                    waiting.add(self.path)
                    numbers.append(len(waiting))
                time.sleep(10 if "hangs" in self.path else 0.2)
                with lock:
                    waiting.discard(self.path)
            with contextlib.suppress(ConnectionError):
                super().do_GET()

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), lambda *request: Handler(*request, directory=str(tmp_path / "web"))
    )
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/", numbers
    server.shutdown()
    server.server_close()


def test_files_are_fetched_ahead_and_within_the_time_limit(web, tmp_path, client):
    pytest.importorskip("aiohttp", reason="aiohttp is not installed")
    for number in range(40):
        (tmp_path / "web" / f"{number:02}.png").write_bytes(picture(number))
    url, numbers = web
    with FastDifPy(url, store=tmp_path / "store", client=client, verbose=False, time_limit=2.5) as db:
        assert db.index_the_dirs().new == 40
        numbers.clear()
        db.first_loop_iteration()
        # the two threads read two files at a time; the others are fetched meanwhile
        assert max(numbers) > 2
        assert db.errors.empty
        (tmp_path / "web" / "hangs.png").write_bytes(picture(41))
        assert db.index_the_dirs().new == 1
        db.first_loop_iteration()
        error = "reading took longer than 2.5 s; a higher time limit tries again"
        assert db.errors.error.tolist() == [error]


def test_a_store_that_lost_objects(bucket, tmp_path, client):
    """As on a disk: what is damaged is named, in one line."""
    for number in range(20):
        bucket.put(f"photos/{number:02}.png", picture(number))
    job(f"{bucket.url}/photos", f"{bucket.url}/store", tmp_path / "out.json", client)
    store = Store(f"{bucket.url}/store")
    bucket.delete("store/images.parquet/block-00000001.parquet")
    with pytest.raises(FastDiffError, match=r"is damaged: images.parquet/block-00000000.parquet or one of the next 2"):
        store.read_images(["path"])
    bucket.put("store/arrays.zarr/thumbnails/c.0.0.0.0", b"cut short")
    with pytest.raises(FastDiffError, match="is damaged: thumbnails of block 0 cannot be read"):
        store.arrays.thumbnail_rows(np.array([3]))
