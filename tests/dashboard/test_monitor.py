"""A store seen from outside equals its contents, whatever state it is in, and looking costs little."""

import base64
import io
import json
import shutil
import socket
import subprocess
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from distributed import Client
from PIL import Image

import fastdiff_dask as fd
from fastdiff_dask.config import CompareSettings, ThumbnailSettings
from fastdiff_dask.dashboard.monitor import Monitor
from fastdiff_dask.dashboard.page_texts import found_text, header_text, progress_text, workers_text
from fastdiff_dask.dashboard.snapshot import Snapshot, VerifyProgress
from fastdiff_dask.dashboard.tile_map import MOST_CELLS, Tiles, block_cells
from fastdiff_dask.kernels.grid import Axis, plan_tiles
from fastdiff_dask.runtime.activity import recorded, stage
from fastdiff_dask.storage.comparisons import Comparison
from fastdiff_dask.storage.derived.verdicts import SAME_PICTURE, SIMILAR, write_verdicts
from fastdiff_dask.storage.pairs import read_pairs
from fastdiff_dask.storage.schema import VERDICTS
from fastdiff_dask.storage.store import Store
from fastdiff_dask.testing import simulate_images


def job(folder: Path, client: Client) -> fd.FastDifPy:
    """Do a job over 29 images, two of which cannot be read."""
    simulate_images(folder / "photos", images=20, duplicates=7, size=(40, 30))
    (folder / "photos" / "a.jpg").touch()
    (folder / "photos" / "b.jpg").write_text("no picture")
    db = fd.FastDifPy(folder / "photos", store=folder / "store", client=client, block_size=8, verbose=False)
    db.index_the_dirs()
    db.first_loop_iteration()
    db.second_loop_iteration(sub_block=4, tile_side=1)
    return db


@pytest.fixture(scope="module")
def finished(tmp_path_factory, client):
    folder = tmp_path_factory.mktemp("finished")
    job(folder, client).close()
    return folder / "store"


@pytest.fixture
def store(finished, tmp_path):
    """A copy of a finished store, in which nothing is told of the stages that were run."""
    copy = shutil.copytree(finished, tmp_path / "store", ignore=shutil.ignore_patterns("activity"))
    return Store(copy.as_posix())


def look(store: Store | str) -> Snapshot:
    return Monitor(store if isinstance(store, str) else store.url, reading=60).snapshot()


def marks(store: Store) -> Path:
    """Folder of what marks finished tiles."""
    return next(Path(store.url).glob("arrays.zarr/comparisons/*/*/compared"))


def test_a_finished_store(store):
    snapshot = look(store)
    assert (snapshot.problem, snapshot.writing, snapshot.stage, snapshot.interrupted) == (None, False, None, False)
    assert (snapshot.images, snapshot.images_read, snapshot.errors, snapshot.errors_of) == (29, 29, 2, 4)
    assert {error.path for error in snapshot.latest} == {"a.jpg", "b.jpg"}
    assert all("not an image" in error.error or "empty" in error.error for error in snapshot.latest)
    assert snapshot.blocks.state() == ["done"] * 4
    (one,) = snapshot.comparisons
    (plan,) = Comparison(store, CompareSettings()).plans()
    assert (one.tiles, one.done, one.running) == (len(plan.tiles), len(plan.tiles), 0)
    assert one.title == "difference (MSE) ≤ 200"
    assert (one.similar, one.pairs, one.pairs_done) == (plan.counts[:, 0].sum(), 27 * 13, 27 * 13)
    assert one.cells.pairs.tolist() == plan.counts[:, 1].tolist()
    assert one.cells.similar.tolist() == plan.counts[:, 0].tolist()
    assert (snapshot.rates, snapshot.totals, snapshot.workers) == ([], {}, [])
    found = snapshot.found
    assert found.paths in {(a, b) for a, b in similar_paths(store)}
    assert 0 <= float(found.about.removeprefix("difference ")) <= 200
    for path, url in zip(found.paths, found.urls, strict=True):
        pixels = np.asarray(Image.open(io.BytesIO(base64.b64decode(url.removeprefix("data:image/png;base64,")))))
        assert (pixels == store.arrays.thumbnail_rows(np.array([number_of(store, path)]))[0]).all()


def similar_paths(store: Store) -> list[tuple[str, str]]:
    comparison = Comparison(store, CompareSettings())
    paths = [path for block in range(store.blocks) for path in store.read_partition(block, ["path"]).path]
    return [(paths[a], paths[b]) for pairs in read_pairs(comparison, comparison.plans()) for a, b, *_ in pairs.tolist()]


def number_of(store: Store, path: str) -> int:
    (number,) = (
        block * 8 + row
        for block in range(store.blocks)
        for row, other in enumerate(store.read_partition(block, ["path"]).path)
        if other == path
    )
    return number


def test_stages_that_nobody_saw_are_shown_by_their_means_and_workers_keep_their_counts(finished):
    """As with a comparison that takes less time than lies between two looks."""
    snapshot = look(finished.as_posix())
    (worker,) = snapshot.workers
    assert worker.name == "0"  # as Dask has it
    assert worker.address.startswith("inproc://")
    assert (worker.done.images, worker.done.errors, worker.done.pairs) == (29, 2, 27 * 13)
    totals = snapshot.totals
    assert (totals["thumbnails"].amount, totals["compare"].amount) == (29, 27 * 13)
    read, compared = ([point for point in snapshot.rates if getattr(point, name) > 0] for name in ("images", "pairs"))
    for points, amount, (_, seconds) in ((read, 29, totals["thumbnails"]), (compared, 27 * 13, totals["compare"])):
        start, end = points
        assert end.time - start.time == pytest.approx(seconds)
        assert max(start[1:], key=lambda rate: rate > 0) == max(end[1:], key=lambda rate: rate > 0)
        assert max(rate for rate in start[1:] if rate > 0) == pytest.approx(amount / seconds)
    assert read[1].time < compared[0].time
    between = [point for point in snapshot.rates if read[1].time < point.time < compared[0].time]
    assert between
    assert np.isnan([point[1:] for point in between]).all()


def test_the_curves_end_with_the_work(store):
    monitor = Monitor(store.url)
    with stage(store.files, "thumbnails") as run, Store.lock(store.url):
        assert monitor.snapshot(0).rates == []  # nothing is known before the first task has ended
        with recorded(store.files, run, "thumbnails", block=1, start=0, stop=8) as amounts:
            amounts.images = 8
            time.sleep(0.01)
        assert len(monitor.snapshot(0).rates) == 1
    ended = json.loads(store.files.read("activity/run.json"))["ended"]
    for _ in range(3):
        first, last = monitor.snapshot(0).rates
        assert first.images == last.images > 0
        assert last.time == ended
        time.sleep(0.01)
    with stage(store.files, "verify", 3):
        assert len(monitor.snapshot(0).rates) == 2
    with Store.lock(store.url), stage(store.files, "compare") as run:
        with recorded(store.files, run, "compare", tile=1) as amounts:
            amounts.pairs = 10
        rates = monitor.snapshot(0).rates
    assert [rate.pairs > 0 for rate in rates] == [False, False, False, True]
    assert np.isnan(rates[2][1:]).all()


def test_stages_of_another_process_do_not_count(store):
    with stage(store.files, "compare") as run, recorded(store.files, run, "compare", tile=1) as amounts:
        amounts.pairs = 5
    assert look(store).workers[0].done.pairs == 5
    written = json.loads(store.files.read("activity/run.json"))
    store.files.write("activity/run.json", json.dumps(written | {"process": written["process"] + 1}).encode())
    with stage(store.files, "compare"):
        assert look(store).workers == []


@pytest.mark.parametrize("content", [b"", b"[]", b'{"run": 1}', b"[" * 100_000, b'{"stages": [[1]], "works": [{}]}'])
def test_damaged_sums_of_earlier_stages_are_left_out(store, content):
    with stage(store.files, "thumbnails") as run, recorded(store.files, run, "thumbnails", block=1) as amounts:
        amounts.images = 5
    with stage(store.files, "compare") as run:
        assert look(store).totals["thumbnails"].amount == 5
        if content.startswith(b"{"):
            content = json.dumps({"run": run} | json.loads(content)).encode()
        store.files.write("activity/earlier.json", content)
        assert "thumbnails" not in look(store).totals


def test_only_what_is_new_is_read(store, tmp_path, monkeypatch):
    (plan,) = Comparison(store, CompareSettings()).plans()
    for tile in (3, 5):
        (marks(store) / f"c.{tile}.0").rename(tmp_path / f"kept-{tile}")
    monitor = Monitor(store.url, reading=60)
    (one,) = monitor.snapshot().comparisons
    assert (one.done, one.cells.state().count("pending")) == (len(plan.tiles) - 2, 2)
    assert one.pairs_done == one.pairs - plan.pairs(3) - plan.pairs(5)
    read: list[int] = []
    counts = Comparison.tile_counts
    monkeypatch.setattr(
        Comparison, "tile_counts", lambda self, part, tiles: (read.extend(tiles), counts(self, part, tiles))[1]
    )
    monkeypatch.setattr(Store, "read_partition", lambda *_: pytest.fail("errors were counted already"))
    (tmp_path / "kept-3").rename(marks(store) / "c.3.0")
    assert monitor.snapshot(0).comparisons[0].done == len(plan.tiles) - 1
    assert monitor.snapshot(0).comparisons[0].done == len(plan.tiles) - 1
    assert read == [3]
    assert monitor.snapshot(60) is monitor.snapshot(60)


def test_a_second_generation_and_a_second_comparison(client, tmp_path):
    done = job(tmp_path, client)
    monitor = Monitor(done.store_url, reading=60)
    before = monitor.snapshot().comparisons[0]
    simulate_images(tmp_path / "photos" / "new", images=3, duplicates=0, size=(40, 30), seed=9)
    (tmp_path / "photos" / "a.jpg").unlink()
    done.index_the_dirs()
    snapshot = monitor.snapshot(0)
    assert (snapshot.images, snapshot.images_read, snapshot.errors) == (32, 29, 1)
    assert snapshot.blocks.state() == ["done"] * 4 + ["pending"]
    done.first_loop_iteration()
    done.second_loop_iteration(sub_block=4, tile_side=1)
    done.second_loop_iteration(500, sub_block=4, tile_side=1)
    snapshot = monitor.snapshot(0)
    assert [one.title for one in snapshot.comparisons] == ["difference (MSE) ≤ 200", "difference (MSE) ≤ 500"]
    for one in snapshot.comparisons:
        assert one.done == one.tiles
        assert one.pairs == one.pairs_done == 30 * 29 // 2
        # all of the matrix above the diagonal, once
        area = (one.cells.right - one.cells.left) * (one.cells.bottom - one.cells.top)
        assert one.cells.right.max() == one.cells.bottom.max() == 30
        assert area.sum() > 30 * 30 / 2
    assert snapshot.comparisons[0].tiles > before.tiles


def test_what_runs_and_how_fast(store):
    files, name = store.files, Comparison(store, CompareSettings()).name
    for tile in (3, 5, 6):
        (marks(store) / f"c.{tile}.0").unlink()
    with stage(files, "compare") as run, Store.lock(store.url):
        with recorded(files, run, "compare", tile=6) as amounts:
            amounts.pairs = 1000
            time.sleep(0.02)
        with recorded(files, run, "compare", comparison=name, part="generations-0-1", tile=3):
            monitor = Monitor(store.url, reading=60)
            snapshot = monitor.snapshot()
            assert (snapshot.writing, snapshot.stage, snapshot.interrupted) == (True, "compare", False)
            (one,) = snapshot.comparisons
            assert one.running == 1
            assert one.cells.state()[3] == "running"
            assert one.cells.state().count("pending") == 2
            (worker,) = snapshot.workers
            assert 1000 < worker.pairs_rate < 50_000
            assert snapshot.rates[-1].pairs == worker.pairs_rate
            assert np.isnan(snapshot.rates[-1].images)
            assert 0 < snapshot.seconds_left < 60
            time.sleep(0.2)
            assert snapshot.totals["compare"].amount == 1000
            assert monitor.snapshot(0).workers[0].pairs_rate < worker.pairs_rate / 2  # it takes longer than the last
        # what is not of this store, or no tile, is nowhere on the map
        for what in ({"comparison": name, "part": "x", "tile": 3}, {"comparison": name, "tile": "3"}, {"tile": True},
                     {"comparison": name, "part": "generations-0-1", "tile": 10**9}):  # fmt: skip
            with recorded(files, run, "compare", **what):
                assert monitor.snapshot(0).comparisons[0].running == 0
    snapshot = monitor.snapshot(0)
    assert (snapshot.writing, snapshot.stage, snapshot.seconds_left) == (False, None, None)


def test_the_second_look_is_shown(store):
    snapshot = look(store)
    assert (snapshot.verify, snapshot.shown) == (None, {})
    assert "Verify: not begun" in progress_text(snapshot)
    monitor = Monitor(store.url)
    monitor.snapshot()
    columns = ["a", "b", "verdict", "block", "size", "made"]
    looks = [(0, 1, SAME_PICTURE, 1.0, 512, 0), (0, 2, SIMILAR, 60.0, 256, 0)]
    write_verdicts(store, pd.DataFrame(looks, columns=columns))
    counts = {"same picture": 1, "similar": 1}
    assert monitor.snapshot(0).verify == VerifyProgress(2, 2, counts)
    store.records.write_shown(CompareSettings(), {"similar": 1, "same file": 7, "cats": 3})
    with stage(store.files, "verify", 10) as run:
        with recorded(store.files, run, "verify", pairs=4) as amounts:
            assert "4 pairs to look at" in workers_text(monitor.snapshot(0))
            amounts.pairs = 4
            # a look at more pixels counts for one of them
            write_verdicts(store, pd.DataFrame([(0, 2, SAME_PICTURE, 2.0, 512, 0)], columns=columns))
        snapshot = monitor.snapshot(0)
        assert snapshot.verify == VerifyProgress(4, 10, {"same picture": 2})
        assert snapshot.seconds_left > 0
        assert "Running: looking at similar pairs once more; about" in header_text(store.url, snapshot)
        text = progress_text(snapshot)
        assert "4 of 10 pairs looked at; found so far: 2 same picture" in text
        assert "value='0.4000'" in text
        assert "Pairs of the result shown last: 7 same file, 1 similar<" in text
        assert "Found last: same picture<" in found_text(snapshot)
        assert all(path in found_text(snapshot) for path in snapshot.found.paths)
    for path in (Path(store.url) / VERDICTS).iterdir():
        path.unlink()
    with stage(store.files, "compare"):
        assert monitor.snapshot(0).verify is None


def test_blocks_that_are_read(store):
    (Path(store.url) / "arrays.zarr" / "thumbnails" / "c.2.0.0.0").unlink()
    with stage(store.files, "thumbnails") as run:
        with recorded(store.files, run, "thumbnails", block=2, start=0, stop=8) as amounts:
            snapshot = look(store)
            assert snapshot.blocks.state() == ["done", "done", "running", "done"]
            assert snapshot.images_read == 21
            amounts.images, amounts.errors = 8, 1
        snapshot = look(store)
        assert snapshot.workers[0].done.images == 8
        assert snapshot.workers[0].images_rate > 0
        assert snapshot.seconds_left > 0


def test_a_run_that_was_killed_is_known(store):
    dead = subprocess.Popen(["true"])
    dead.wait()
    run = {"run": "x", "stage": "compare", "process": dead.pid, "started": time.time(), "ended": None}
    for host, writing in ((socket.gethostname(), False), ("elsewhere", False)):
        store.files.write("activity/run.json", json.dumps(run | {"host": host}).encode())
        snapshot = look(store)
        assert (snapshot.writing, snapshot.interrupted, snapshot.stage) == (writing, True, None)
    # on another machine, a worker that was heard of
    store.files.remove("activity")
    with stage(store.files, "compare") as number:
        with recorded(store.files, number, "compare", tile=1):
            pass
        store.files.write("activity/run.json", json.dumps(run | {"host": "elsewhere", "run": number}).encode())
        assert look(store).writing


def test_stores_that_come_and_go(store, tmp_path):
    monitor = Monitor(str(tmp_path / "later"))
    assert "no store at" in monitor.snapshot().problem
    Store.open_or_create(str(tmp_path / "later"), {"a": ["x"], "b": []}, ThumbnailSettings())
    snapshot = monitor.snapshot(0)
    assert (snapshot.problem, snapshot.images, snapshot.comparisons) == (None, 0, [])
    with Store.lock(str(tmp_path / "later")):
        assert monitor.snapshot(0).writing
    assert not monitor.snapshot(0).writing
    monitor = Monitor(store.url, reading=60)
    assert monitor.snapshot().errors == 2
    shutil.rmtree(store.url)
    assert "no store at" in monitor.snapshot(0).problem


def test_a_store_behind_a_url(store):
    import fsspec

    memory = fsspec.filesystem("memory")
    memory.put(store.url, "/monitored", recursive=True)
    try:
        snapshot = look("memory://monitored")
        assert (snapshot.images_read, snapshot.errors) == (29, 2)
        assert snapshot.comparisons[0].done == snapshot.comparisons[0].tiles > 0
        assert snapshot.comparisons[0].similar == look(store).comparisons[0].similar > 0
        memory.rm("/monitored/writer.json")  # which a folder keeps, and an object store does not
        monitor = Monitor("memory://monitored")
        assert not monitor.snapshot().writing
        files = Store("memory://monitored").files
        with (
            Store.lock("memory://monitored"),
            stage(files, "compare") as run,
            recorded(files, run, "compare", tile=1),
        ):
            snapshot = monitor.snapshot(0)
            assert (snapshot.writing, snapshot.stage, len(snapshot.workers)) == (True, "compare", 1)
        assert not monitor.snapshot(0).writing
    finally:
        memory.rm("/monitored", recursive=True)


def test_a_store_in_a_bucket_that_another_process_writes(store, bucket, tmp_path):
    key = f"store/{(marks(store) / 'c.3.0').relative_to(store.url)}"
    content = (marks(store) / "c.3.0").read_bytes()
    (marks(store) / "c.3.0").unlink()
    (Path(store.url) / "writer.json").unlink()
    bucket.upload(Path(store.url), "store")
    monitor = Monitor(f"{bucket.url}/store", reading=60)
    snapshot = monitor.snapshot()
    assert (snapshot.problem, snapshot.images_read, snapshot.errors, snapshot.writing) == (None, 29, 2, False)
    assert snapshot.comparisons[0].cells.state()[3] == "pending"
    bucket.put(key, content)
    (one,) = monitor.snapshot(0).comparisons
    assert (one.done, one.similar) == (one.tiles, look(str(tmp_path / "store")).comparisons[0].similar + content[0])
    before = bucket.keys()
    monitor.snapshot(0)
    assert bucket.keys() == before  # it writes nothing


@pytest.mark.parametrize(("parts", "side"), [([(200_000, 256)], 2), ([(100_000, 256), *[(500, 256)] * 60], 4)])
def test_very_many_tiles_are_few_cells(parts, side):
    maps = []
    for number in range(len(parts)):
        axis = Axis(tuple(parts[: number + 1]))
        tiles = plan_tiles((Axis(tuple(parts[:number])).sub_blocks(), axis.sub_blocks()), None, side)
        maps.append(Tiles(axis, axis, tiles))
    total = sum(len(part.done) for part in maps)
    images = sum(number for number, _ in parts)
    assert sum(int(part.planned.sum()) for part in maps) == images * (images - 1) // 2
    rng = np.random.default_rng(0)
    for part in maps:
        part.done[:] = rng.random(len(part.done)) < 0.5
        part.similar[part.done] = 3
        part.pairs[part.done] = part.planned[part.done]
    running = int(np.flatnonzero(~maps[0].done)[0])
    start = time.perf_counter()
    cells = Tiles.cells(maps, [(0, running)])
    assert time.perf_counter() - start < 1
    assert len(cells.left) <= 2 * MOST_CELLS
    assert cells.tiles.sum() == total > MOST_CELLS
    done = sum(int(part.done.sum()) for part in maps)
    assert (cells.done.sum(), cells.similar.sum(), cells.running.sum()) == (done, 3 * done, 1)
    assert cells.pairs.sum() == sum(int(part.planned[part.done].sum()) for part in maps)
    assert cells.state().count("running") == 1
    assert cells.right.max() == cells.bottom.max() == images


def test_very_many_blocks_are_few_cells():
    cells = block_cells(10_000, set(range(5000)) | {20_000}, {4999, 5000, 5001, -1})
    assert len(cells.left) == MOST_CELLS
    assert (cells.tiles.sum(), cells.done.sum(), cells.running.sum()) == (10_000, 5000, 2)
    assert len(block_cells(0, [], []).left) == 0
