"""Activity of tasks, in the store and on Dask's own pages."""

import json
import threading
import time
from pathlib import Path

import pytest
from distributed import Client, LocalCluster
from distributed.utils import color_of

import fastdiff_dask as fd
from fastdiff_dask.runtime.activity import Amounts, Work, read_activity, recorded, stage
from fastdiff_dask.storage.files import Files
from fastdiff_dask.testing import simulate_images


@pytest.fixture
def files(tmp_path):
    return Files(str(tmp_path / "store"))


def test_tasks_are_recorded_while_they_run_and_when_they_end(files):
    with stage(files, "compare") as run:
        with recorded(files, run, "compare", tile=3) as amounts:
            (work,) = read_activity(files)[1]
            assert (work.stage, work.running, work.done) == ("compare", {"tile": 3}, Amounts())
            amounts.pairs, amounts.similar = 100, 2
        with recorded(files, run, "compare", tile=4) as amounts:
            amounts.pairs = 50
        with pytest.raises(ZeroDivisionError), recorded(files, run, "compare", tile=5):
            _ = 1 / 0
        kept = recorded(files, run, "compare", tile=6)
        other = threading.Thread(target=kept.__enter__)
        other.start()
        other.join()
        state, works = read_activity(files)
        assert (state["stage"], state["ended"]) == ("compare", None)
    assert read_activity(files)[0]["ended"] > 0
    mine, its = sorted(works, key=lambda work: work.running is not None)
    assert (mine.done.tasks, mine.done.pairs, mine.done.similar, mine.running) == (2, 150, 2, None)
    assert mine.done.seconds > 0
    assert (its.done, its.running) == (Amounts(), {"tile": 6})
    assert (mine.process, mine.host) == (its.process, its.host)
    assert mine.thread != its.thread


def test_only_the_last_run_counts(files):
    with stage(files, "thumbnails") as old, recorded(files, old, "thumbnails", block=1) as amounts:
        amounts.images = 5
    with stage(files, "compare") as new:
        assert read_activity(files)[1] == []
        with recorded(files, old, "thumbnails", block=2):  # a task of a client that was killed goes on
            pass
        assert read_activity(files)[1] == []
        with recorded(files, new, "compare", tile=1):
            pass
        (work,) = read_activity(files)[1]
        assert (work.done.tasks, work.done.images) == (1, 0)
    with recorded(files, "", "compare", tile=2):  # not asked for
        pass
    assert read_activity(files)[1] == [work]


def test_what_cannot_be_written_fails_no_task(files):
    with stage(files, "compare") as run:
        files.remove("activity")
        files.write("activity", b"no folder")
        with recorded(files, run, "compare", tile=1) as amounts:
            amounts.pairs = 1
    assert read_activity(files) == (None, [])


@pytest.mark.parametrize("content", [b"", b"nonsense", b"[]", b"3", b'{"run": 1}', b"[" * 100_000, b"\xff"])
def test_damaged_files_are_left_out(files, content):
    with stage(files, "compare") as run, recorded(files, run, "compare", tile=1):
        files.write("activity/other.json", content)
        assert len(read_activity(files)[1]) == 1
        files.write("activity/run.json", content)
        assert read_activity(files) == (None, [])


@pytest.mark.parametrize("value", ["1e999", "-1", "NaN", "9" * 400, '"5"', "null", "[]"])
def test_amounts_that_are_none_are_left_out(files, value):
    with stage(files, "compare") as run, recorded(files, run, "compare", tile=1):
        (name,) = (name for name in files.names("activity") if name != "run.json")
        written = json.loads(files.read(f"activity/{name}"))
        written["done"]["pairs"] = "HERE"
        files.write(f"activity/{name}", json.dumps(written).replace('"HERE"', value).encode())
        assert read_activity(files)[1] == []
        files.write(
            "activity/run.json", files.read("activity/run.json").replace(b'"process": ', b'"process": 1e999, "": ')
        )
        assert read_activity(files) == (None, [])


def test_rates_fall_when_a_task_takes_longer_than_the_last_one():
    work = Work("r", "compare", running={}, last=Amounts(tasks=1, pairs=100, seconds=2.0))
    assert work.rate("pairs", 1.0) == 50
    assert work.rate("pairs", 10.0) == 10
    work.running = None
    assert work.rate("pairs", 1.0) == 50
    assert work.rate("pairs", 10.0) == 0
    assert Work("r", "compare", running={}).rate("pairs", 0.0) == 0


def test_a_task_is_recorded_by_two_small_files(files, monkeypatch):
    """Nothing is read or listed for it, and the file does not grow from task to task."""
    calls = []
    for name in ("write", "read", "names", "remove"):
        original = getattr(Files, name)

        def called(self, *arguments, name=name, original=original):
            calls.append((name, *arguments))
            return original(self, *arguments)

        monkeypatch.setattr(Files, name, called)
    with stage(files, "compare") as run:
        for tile in range(100):
            calls.clear()
            with recorded(files, run, "compare", tile=tile):
                pass
            assert [name for name, *_ in calls] == ["write", "write"]
            assert all(len(content) < 1000 for _, _, content in calls)


def job(tmp_path: Path, client: Client, block_size: int = 8) -> None:
    """Run all stages that make tasks."""
    options = {"store": tmp_path / "store", "client": client, "block_size": block_size, "verbose": False}
    with fd.FastDifPy(tmp_path / "photos", **options) as db:
        db.index_the_dirs()
        db.first_loop_iteration()
        db.first_loop_iteration(compute_hash=True)
        db.mse(persist=True)
        db.second_loop_iteration(sub_block=8, tile_side=1)


def test_stages_have_names_and_colours_of_their_own(tmp_path, client):
    simulate_images(tmp_path / "photos", images=20, duplicates=5, size=(40, 30))
    job(tmp_path, client, block_size=64)

    def names(dask_scheduler) -> tuple[set[str], set[str]]:
        return set(dask_scheduler.task_prefixes), set(dask_scheduler.task_groups)

    stages = {"thumbnail", "commit", "hash", "plan", "compare", "mse-tile"}
    prefixes, _ = client.run_on_scheduler(names)
    assert prefixes >= stages
    assert len({color_of(stage) for stage in stages}) == len(stages)


def test_throughput_of_workers_elsewhere(tmp_path):
    simulate_images(tmp_path / "photos", images=18, duplicates=5, size=(40, 30))
    (tmp_path / "photos" / "broken.jpg").touch()
    with (
        LocalCluster(2, threads_per_worker=1, host="127.0.0.1", dashboard_address="127.0.0.1:0") as cluster,
        Client(cluster, set_as_default=False) as elsewhere,
    ):
        job(tmp_path, elsewhere)
        _, works = read_activity(Files(str(tmp_path / "store")))
        assert {work.stage for work in works} == {"compare"}
        assert sum(work.done.tasks for work in works) == 6
        assert {work.worker for work in works} <= set(elsewhere.scheduler_info(n_workers=-1)["workers"])

        def metrics(dask_worker) -> tuple[float, float]:
            now = dask_worker.metrics
            return now["pairs/s"](dask_worker), now["read errors"](dask_worker)

        found = elsewhere.run(metrics, workers=list({work.worker for work in works}))
        assert all(rate > 0 for rate, _ in found.values())

        def on_the_page(dask_scheduler) -> list[bool]:
            return [{"images/s", "pairs/s"} <= set(worker.metrics) for worker in dask_scheduler.workers.values()]

        end = time.monotonic() + 60
        while not any(elsewhere.run_on_scheduler(on_the_page)):  # at the next heartbeat
            assert time.monotonic() < end
            time.sleep(0.1)


def test_not_more_is_read_than_may_be(files, monkeypatch):
    """A file of gigabytes in a store from someone else is not loaded to find that it is too large."""
    read = []

    def first_bytes(self, name, most=None):
        content = original(self, name, most)
        read.append(len(content))
        return content

    original = Files.read
    monkeypatch.setattr(Files, "read", first_bytes)
    with stage(files, "compare") as run, recorded(files, run, "compare", tile=1):
        files.write("activity/other.json", b" " * 10_000_000)
        assert len(read_activity(files)[1]) == 1
    assert max(read) < 100_000
