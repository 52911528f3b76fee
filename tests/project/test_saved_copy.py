"""Stores in memory: the same results, saved now and then, and what a kill leaves is a store."""

import json
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from distributed import LocalCluster

import fastdiff_dask as fd
from fastdiff_dask.outputs.json_file import write_json
from fastdiff_dask.project.saved_copy import SavedCopy
from fastdiff_dask.storage.files import Files
from fastdiff_dask.storage.store import Store
from fastdiff_dask.testing import simulate_images

JOB = """
import sys
from pathlib import Path
from fastdiff_dask.compat.fast_diff_py import FastDifPy

folder, kill_at = Path(sys.argv[1]), sys.argv[2]
from fastdiff_dask.storage.files import Files
import os, re, signal
original, left = Files.write, [int(sys.argv[3])]

def write(self, name, *data):
    if self.local and self.root.endswith("store") and re.search(kill_at, name):
        if not left[0]:
            os.kill(os.getpid(), signal.SIGKILL)
        left[0] -= 1
    original(self, name, *data)

Files.write = write
options = {"threads": 2, "block_size": 4, "dashboard_address": "127.0.0.1:0", "verbose": False}
with FastDifPy(folder / "photos", store=folder / "store", in_memory=True, update_timeout=1e-9, **options) as db:
    with db.writing():
        db.index_the_dirs()
        db.first_loop_iteration(compute_hash=True)
        db.second_loop_iteration(sub_block=4, tile_side=1)
"""


def result(path: Path) -> tuple[dict, dict]:
    content = json.loads(path.read_text())
    return content, content.pop("stats")


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("memory")
    simulate_images(folder / "photos", images=14, duplicates=5, size=(32, 32))
    with fd.FastDifPy(folder / "photos", store=folder / "whole", block_size=4, threads=2, verbose=False) as db:
        db.index_the_dirs()
        db.first_loop_iteration(compute_hash=True)
        db.second_loop_iteration(sub_block=4, tile_side=1)
        write_json(db.result(), str(folder / "whole.json"))
    return folder


def test_the_same_result_and_a_copy_that_is_the_store(photos, tmp_path):
    options = {"block_size": 4, "threads": 2, "dashboard_address": "127.0.0.1:0", "verbose": False}
    with fd.FastDifPy(photos / "photos", store=tmp_path / "store", in_memory=True, **options) as db:
        db.index_the_dirs()
        assert db.store_url.startswith("memory://")
        assert db.config.state == "indexed_dirs"
        db.first_loop_iteration(compute_hash=True)
        db.second_loop_iteration(sub_block=4, tile_side=1)
        write_json(db.result(), str(tmp_path / "out.json"))
        inner = {name: size for name, (size, _) in Files(db.store_url).tree().items()}
    assert result(tmp_path / "out.json")[0] == result(photos / "whole.json")[0]
    saved = {name: size for name, (size, _) in Files(str(tmp_path / "store")).tree().items()}
    of_process = ("writer", "run", "activity")
    assert {name: size for name, size in saved.items() if not name.startswith(of_process)} == {
        name: size for name, size in inner.items() if not name.startswith(of_process)
    }
    # and on the disk it goes on, with nothing left to do, and in memory again
    for in_memory in (False, True):
        with fd.FastDifPy.from_store(tmp_path / "store", in_memory=in_memory, threads=1) as again:
            again.index_the_dirs()
            again.first_loop_iteration()
            again.second_loop_iteration()
            assert again.images_read == 0
            assert again.result().stats["tiles_resumed"] == again.result().stats["tiles"]
            assert len(again.pairs) == len(result(photos / "whole.json")[0]["pairs"]) > 3


@pytest.mark.parametrize(
    ("kill_at", "times"),
    [
        (r"images\.parquet", 2),
        (r"^arrays\.zarr/zarr\.json", 0),
        (r"^arrays\.zarr/zarr\.json", 1),
        (r"signatures/c\.", 1),
        (r"thumbnails/c\.", 0),
        (r"thumbnails/c\.", 3),
        (r"comparisons/.*zarr\.json", 2),
        (r"compared/c\.", 0),
        (r"compared/c\.", 7),
    ],
)
def test_killed_while_it_saves(photos, tmp_path, kill_at, times):
    (tmp_path / "photos").symlink_to(photos / "photos")
    program = [sys.executable, "-c", JOB, str(tmp_path)]
    done = subprocess.run([*program, kill_at, str(times)], capture_output=True, text=True, check=False)
    assert done.returncode == -9, done.stderr
    blocks = tiles = 0
    if Store.exists(str(tmp_path / "store")):
        store = Store(str(tmp_path / "store"))
        blocks = len(store.finished_blocks())
        tiles = len([name for name in store.files.tree() if "/compared/c." in name])
    if "thumbnails" in kill_at:
        assert blocks == times
    if "compared" in kill_at:
        assert tiles == times
    options = {"threads": 2, "block_size": 4, "dashboard_address": "127.0.0.1:0", "verbose": False}
    folders = {"directory_a": tmp_path / "photos", "store": tmp_path / "store"}
    with fd.FastDifPy(**folders, in_memory=True, update_timeout=1e-9, **options) as db:
        db.index_the_dirs()
        db.first_loop_iteration(compute_hash=True)
        db.second_loop_iteration(sub_block=4, tile_side=1)
        write_json(db.result(), str(tmp_path / "out.json"))
    content, stats = result(tmp_path / "out.json")
    assert json.dumps(content).replace(str(tmp_path), "") == json.dumps(result(photos / "whole.json")[0]).replace(
        str(photos), ""
    )
    assert stats["images_read"] == 19 - sum(min(4, 19 - 4 * block) for block in range(blocks))
    assert stats["tiles_resumed"] == tiles


def test_saved_after_so_many_seconds(photos, tmp_path, monkeypatch):
    saves = []
    monkeypatch.setattr(SavedCopy, "save", lambda self: saves.append(time.monotonic()))
    options = {"block_size": 1, "threads": 1, "dashboard_address": "127.0.0.1:0", "verbose": False}
    counts = {}
    for seconds in (1e-9, 1e6):
        saves.clear()
        store = tmp_path / f"store-{seconds}"
        with (
            fd.FastDifPy(photos / "photos", store=store, in_memory=True, update_timeout=seconds, **options) as db,
            db.writing(),
        ):
            db.index_the_dirs()
            saves.clear()
            db.first_loop_iteration()
        counts[seconds] = len(saves)
    assert counts == {1e-9: 20, 1e6: 1}  # after each of 19 images, and at the end of the stage


def test_markers_are_not_ahead_of_what_they_mark(tmp_path):
    """A store that is written while it is saved, again and again: no tile or block is there without its parts."""
    memory = f"memory://saving/{tmp_path.name}"
    store, copy = Files(memory), Files(str(tmp_path / "copy"))
    ended = threading.Event()

    def write() -> None:
        for number in range(300):
            store.write(f"arrays.zarr/signatures/c.{number}.0", b"%d" % number)
            store.write(f"arrays.zarr/thumbnails/c.{number}.0.0.0", b"%d" % number)
            time.sleep(0.001)
        ended.set()

    writer = threading.Thread(target=write)
    saved = SavedCopy(memory, str(tmp_path / "copy"))
    writer.start()
    seen = []
    while not ended.is_set():
        saved.save()
        names = copy.tree()
        markers = [name.split("/")[-1].split(".")[1] for name in names if "thumbnails" in name]
        assert all(f"arrays.zarr/signatures/c.{number}.0" in names for number in markers)
        seen.append(len(markers))
    writer.join()
    saved.save()
    assert len(copy.tree()) == 600
    assert len({*seen}) > 5
    store.remove("arrays.zarr/thumbnails/c.7.0.0.0")
    saved.save()
    assert len(copy.tree()) == 599


def test_workers_elsewhere_cannot_see_it(photos, tmp_path):
    with (
        LocalCluster(n_workers=1, dashboard_address="127.0.0.1:0", host="127.0.0.1") as cluster,
        cluster.get_client() as client,
        pytest.raises(fd.UsageError, match=r"see no store in memory; leave out in_memory= or a client= of"),
    ):
        fd.FastDifPy(photos / "photos", store=tmp_path / "store", in_memory=True, client=client)


def test_one_process_at_a_time(photos, tmp_path):
    options = {"store": tmp_path / "store", "in_memory": True, "threads": 1}
    with fd.FastDifPy(photos / "photos", **options) as db, db.writing():
        db.index_the_dirs()
        with (
            fd.FastDifPy(photos / "photos", store=tmp_path / "store", threads=1) as other,
            pytest.raises(fd.StoreLockedError),
        ):
            other.index_the_dirs()


def test_on_the_command_line(photos, tmp_path):
    command = [sys.executable, "-m", "fastdiff_dask", "find", str(photos / "photos")]
    command += ["--store", str(tmp_path / "store")]
    command += ["--in-memory", "--dashboard-address", "127.0.0.1:0"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert f"Store: {tmp_path / 'store'}" in done.stderr
    assert "19 compared" in done.stdout
    again = fd.FastDifPy.from_store(tmp_path / "store")
    assert again.config.state == "second_loop_done"
    assert json.loads((tmp_path / "store" / "settings.json").read_text())["settings"]["in_memory"] is True


def test_the_matrix_is_saved_as_well(photos, tmp_path):
    options = {"store": tmp_path / "store", "in_memory": True, "dashboard_address": "127.0.0.1:0", "verbose": False}
    with fd.FastDifPy(photos / "photos", **options) as db:
        db.index_the_dirs()
        db.first_loop_iteration()
        wanted = db.mse(persist=True).compute()
    assert [path for path in (tmp_path / "store" / "arrays.zarr").iterdir() if path.name.startswith("mse")]
    with fd.FastDifPy.from_store(tmp_path / "store", dashboard_address="127.0.0.1:0", verbose=False) as db:
        assert (db.mse(persist=True).compute() == wanted).all()


def test_saved_as_soon_as_somebody_asks_to_stop(photos, tmp_path, monkeypatch):
    """The second signal ends it at once."""
    saved = []
    monkeypatch.setattr(SavedCopy, "save_after", lambda self, seconds: saved.append(seconds))
    monkeypatch.setattr("fastdiff_dask.project.session.is_asked", lambda: len(saved) >= 2)
    options = {"store": tmp_path / "store", "in_memory": True, "dashboard_address": "127.0.0.1:0", "verbose": False}
    with fd.FastDifPy(photos / "photos", block_size=2, **options) as db:
        db.index_the_dirs()
        db.first_loop_iteration()
    assert saved[:4] == [30.0, 30.0, 0.0, 0.0]
