"""Full disks, disks that fail now and then, workers without memory, two clients at once, and strangers' ports."""

import errno
import re
import shutil
import socket
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
from support.faults import Progress, command, end, finish, result, scheduler, workers

import fastdiff_dask as fd
from fastdiff_dask.config import CompareSettings
from fastdiff_dask.kernels.bounds import SearchCounts
from fastdiff_dask.kernels.hashes import HashSettings
from fastdiff_dask.runtime.connection import connect
from fastdiff_dask.storage.comparisons import Comparison
from fastdiff_dask.storage.files import Files
from fastdiff_dask.storage.pairs import PairWriter, read_pairs
from fastdiff_dask.storage.store import Store
from fastdiff_dask.tasks.hash_block import hash_block
from fastdiff_dask.tasks.plan_part import plan_part
from fastdiff_dask.tasks.read_block import read_part


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 0.6 MB, and what makes it larger."""
    place = tmp_path / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=600k", "tmpfs", str(place)]
    if not shutil.which("mount") or subprocess.run(mount, stderr=subprocess.DEVNULL, check=False).returncode:
        pytest.skip("no file system can be mounted here (mount -t tmpfs)")
    yield place, lambda: subprocess.run(["mount", "-o", "remount,size=64m", str(place)], check=True)
    subprocess.run(["umount", "--lazy", str(place)], check=True)


def test_a_full_disk(small_disk, whole, tmp_path):
    place, enlarge = small_disk
    arguments = command(whole.photos, place / "store", tmp_path / "out.json")
    full = finish(arguments)
    assert full.returncode == 1
    assert full.stderr.startswith("fastdiff-dask: no space left for the store ")
    assert full.stderr.count("\n") == 1
    progress = Progress(place / "store", whole.images)
    assert 0 < len(progress.blocks) < 7
    assert not list((place / "store" / "arrays.zarr").rglob("*.partial"))
    enlarge()
    assert finish(arguments).stderr == ""
    content, stats = result(tmp_path / "out.json")
    assert content == whole.json
    progress.check(stats)


@pytest.fixture(scope="module")
def disturbed(tmp_path_factory, faults):
    """Two workers with little memory."""
    folder = tmp_path_factory.mktemp("disturbed")
    with (
        scheduler(folder, DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES="1") as (_, address),
        workers(address, folder, faults, 2, "--memory-limit", "700 MB"),
    ):
        yield address


def test_a_store_on_which_writes_fail_now_and_then(disturbed, faults, whole, tmp_path):
    faults.set(r"arrays\.zarr|images\.parquet", "error", times=1000, share=10)
    done = finish(command(whole.photos, tmp_path / "store", tmp_path / "out.json", disturbed))
    assert (done.returncode, done.stderr) == (0, "")
    assert faults.met() > 0
    assert result(tmp_path / "out.json")[0] == whole.json


def test_a_store_on_which_writes_fail_always(disturbed, faults, whole, tmp_path):
    arguments = command(whole.photos, tmp_path / "store", tmp_path / "out.json", disturbed)
    faults.set(r"signatures/c\.3", "error", times=1000)
    done = finish(arguments)
    assert done.returncode == 1
    assert done.stderr.startswith("fastdiff-dask: task thumbnail-")
    assert "Input/output error" in done.stderr
    assert done.stderr.count("\n") == 1
    assert faults.met() == 4  # three more attempts
    faults.clear()
    time.sleep(0.5)  # tasks that had begun
    progress = Progress(tmp_path / "store", whole.images)
    assert 0 < len(progress.blocks) < 7
    assert finish(arguments).stderr == ""
    content, stats = result(tmp_path / "out.json")
    assert content == whole.json
    progress.check(stats)


def measure_with_faults():
    """A compare function that needs more memory than a small worker has; by value, as workers do not see the tests."""

    def too_much(a, b):
        import os
        import pathlib
        import time

        import numpy as np

        if pathlib.Path(os.environ["FAULTS"]).exists():
            hoard = [np.ones(1 << 27, np.uint8) for _ in range(16)]
            time.sleep(len(hoard))
        return np.abs(a[:, None].astype(int) - b[None]).mean(axis=(2, 3, 4))

    return too_much


def test_a_worker_that_runs_out_of_memory(disturbed, faults, simulated, tmp_path):
    def run(client):
        with fd.FastDifPy(
            tmp_path / "photos", store=tmp_path / "store", client=client, block_size=8, verbose=False
        ) as db:
            db.index_the_dirs()
            db.first_loop_iteration()
            db.second_loop_iteration(5.0, compare=measure_with_faults())
            return db.images_read, db.get_duplicates()

    faults.set("nothing", "memory")
    with connect(disturbed) as client:
        with pytest.raises(
            fd.FastDiffError, match=r"^2 workers died .* run out of memory; use workers with more memory"
        ):
            run(client)
        faults.clear()
        client.wait_for_workers(1, timeout=30)
        read, (clusters, _) = run(client)
    assert read == 0
    assert len(clusters) == 5


@pytest.mark.parametrize(
    "attempt", [0, *(pytest.param(number, marks=pytest.mark.slow) for number in range(1, 10))], ids=str
)
def test_two_clients_at_once(attempt, whole, tmp_path):
    arguments = command(whole.photos, tmp_path / "store", tmp_path / "out.json")
    both = [subprocess.Popen(arguments, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    messages = {process: process.communicate(timeout=60)[1] for process in both}
    assert sorted(process.returncode for process in both) == [0, 1]
    (refused,) = (process for process in both if process.returncode == 1)
    (other,) = (process for process in both if process is not refused)
    # "another process" until the other one has written who it is
    writer = f"(process {other.pid} on {re.escape(socket.gethostname())}|another process)"
    assert re.search(f"is being written by {writer}; wait for it to end", messages[refused])
    assert messages[refused].count("\n") == 1
    assert result(tmp_path / "out.json")[0] == whole.json


def test_tasks_of_a_run_that_has_ended_write_nothing(tmp_path, simulated, client):
    url = str(tmp_path / "store")
    with fd.FastDifPy(tmp_path / "photos", store=url, client=client, block_size=8, verbose=False) as db:
        db.index_the_dirs()
        db.first_loop_iteration()
        run = db.store.files.begin_run()
        present = db.store.files.begin_run()

    def written():
        return {path: path.stat().st_mtime_ns for path in (tmp_path / "store").rglob("*") if path.is_file()}

    before = written()
    settings, store = CompareSettings(), Store(url, run)
    for task in (
        lambda: hash_block(url, 0, HashSettings(amount=0), run),
        lambda: store.write_partition(0, store.read_partition(0)),
        lambda: store.arrays.write_plain("thumbnails", 0, store.arrays.read_thumbnails(0)),
        lambda: plan_part(url, settings, 1, 0, run=run),
        lambda: Comparison(store, settings).begin(None),
        store.files.begin_run,
    ):
        with pytest.raises(fd.FastDiffError, match="run of this task has ended"):
            task()
    assert written() == before
    part = plan_part(url, settings, 1, 0, run=present)
    # an attempt of the same run, by a worker that was taken for dead
    with pytest.raises(fd.FastDiffError, match="run of this task has ended"):
        Comparison(Store(url, present), settings).begin(part)
    assert plan_part(url, settings, 1, 0, run=present) == part


def test_a_worker_that_came_late(tmp_path, simulated, client):
    url = str(tmp_path / "store")
    with fd.FastDifPy(tmp_path / "photos", store=url, client=client, block_size=8, verbose=False) as db:
        db.index_the_dirs()
        run = db.store.files.begin_run()
        arguments = (0, 0, 8, db.settings.reading, None)
    with pytest.raises(fd.FastDiffError, match=r"a worker on .* has fastdiff_dask \d.*, the client has 99\.0; install"):
        read_part(url, *arguments, "99.0-abc")
    with pytest.raises(fd.FastDiffError, match=r"a worker on .* does not see the store at .*unseen; mount it there"):
        read_part(url + "unseen", *arguments, run)
    assert len(read_part(url, *arguments, run).records) == 8
    (tmp_path / "photos").rename(tmp_path / "unmounted")
    with pytest.raises(
        fd.FastDiffError, match=r"does not see the folder .*photos any more, or not yet, or it is empty; mount it"
    ):
        read_part(url, *arguments, run)


def test_a_folder_that_goes_away_is_no_error_of_its_pictures(tmp_path, simulated, client):
    with fd.FastDifPy(tmp_path / "photos", store=tmp_path / "store", client=client, block_size=8) as db:
        db.index_the_dirs()
        (tmp_path / "photos").rename(tmp_path / "unmounted")
        with pytest.raises(fd.FastDiffError, match=r"does not see the folder .*photos any more"):
            db.first_loop_iteration()
        (tmp_path / "photos").mkdir()  # a mount point without its disk
        with pytest.raises(fd.FastDiffError, match=r"photos any more, or not yet, or it is empty; mount it"):
            db.first_loop_iteration()
        (tmp_path / "photos").rmdir()
        (tmp_path / "unmounted").rename(tmp_path / "photos")
        db.first_loop_iteration()
        assert len(db.errors) == 0


def test_a_store_that_cannot_be_read_for_a_moment(tmp_path, simulated, client, monkeypatch):
    url = str(tmp_path / "store")
    with fd.FastDifPy(tmp_path / "photos", store=url, client=client, block_size=8, verbose=False) as db:
        db.index_the_dirs()
        run = db.store.files.begin_run()
        limits = db.settings.reading
    read, faults = Files.read, []

    def failing(files, name):
        if not faults:
            faults.append(name)
            raise OSError(errno.EIO, "Input/output error")
        return read(files, name)

    monkeypatch.setattr(Files, "read", failing)
    assert len(read_part(url, 0, 0, 8, limits, None, run).records) == 8
    assert faults.pop() == "arrays.zarr/zarr.json"
    with pytest.raises(
        fd.FastDiffError, match=r"cannot be read \(.*Input/output error\); check the disk and the rights"
    ):
        Store(url)


def test_addresses_at_which_no_scheduler_listens(disturbed, monkeypatch):
    monkeypatch.setattr("fastdiff_dask.runtime.connection._ANSWERS", 2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        for address, message, seconds in (
            ("tcp://nosuchname.invalid:1", "no host '?nosuchname.invalid'? is known here", 8),
            ("tcp://", "is no address of a scheduler; name it like tcp://host:8786", 1),
            ("127.0.0.1", "is no address of a scheduler", 1),
            (f"tcp://127.0.0.1:{silent.getsockname()[1]}", "no Dask scheduler answers at", 4),
        ):
            start = time.monotonic()
            with pytest.raises(fd.UsageError, match=message):
                connect(address)
            assert time.monotonic() - start < seconds
    with connect(disturbed) as client:
        worker = next(iter(client.scheduler_info()["workers"]))
    with pytest.raises(fd.UsageError, match=r"listens no scheduler \(Worker\)"):
        connect(worker)


def test_a_scheduler_of_another_version(disturbed, monkeypatch):
    monkeypatch.setattr("distributed.__version__", "2020.1.0")
    with pytest.raises(fd.UsageError, match=r"has distributed 2\d.*this process has 2020\.1\.0; install the same"):
        connect(disturbed)


def test_the_command_line_says_it_in_one_line(tmp_path, simulated):
    command = [
        sys.executable,
        "-m",
        "fastdiff_dask",
        "find",
        str(tmp_path / "photos"),
        "--scheduler",
        "tcp://nosuchname.invalid:1",
    ]
    done = finish(command)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1


def test_all_workers_are_gone(faults, simulated, tmp_path, monkeypatch):
    monkeypatch.setattr("fastdiff_dask.runtime.waves._WORKERLESS", 1.0)
    with (
        scheduler(tmp_path) as (_, address),
        workers(address, tmp_path, faults, 1) as process,
        connect(address) as client,
    ):
        faults.set("thumbnails/c", "wait")
        ending = threading.Thread(target=lambda: (faults.wait(), end(process)))
        ending.start()
        with fd.FastDifPy(tmp_path / "photos", store=tmp_path / "store", client=client, verbose=False) as db:
            db.index_the_dirs()
            with pytest.raises(fd.FastDiffError, match="has had no workers for 1 s; start some with 'dask worker'"):
                db.first_loop_iteration()
        ending.join()


def test_a_tile_that_a_worker_taken_for_dead_committed_is_left_as_it_is(tmp_path, simulated, client):
    with fd.FastDifPy(tmp_path / "photos", store=tmp_path / "store", client=client, verbose=False) as db:
        db.index_the_dirs()
        db.first_loop_iteration()
        db.second_loop_iteration()
        found = db.pairs
        comparison = Comparison(db.store, CompareSettings())
        (plan,) = comparison.plans()
        counts, pairs = plan.counts[0], np.concatenate(list(read_pairs(comparison, [plan])))
        assert len(pairs) == counts[0] == 5
        before = {path: path.stat().st_mtime_ns for path in (tmp_path / "store").rglob("c.*")}
        writer = PairWriter(comparison, plan.part, 0)
        writer.add(pairs)
        writer.commit(SearchCounts(*counts[1:].tolist()))
        assert {path: path.stat().st_mtime_ns for path in (tmp_path / "store").rglob("c.*")} == before
        assert db.pairs.equals(found)
