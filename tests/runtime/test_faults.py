"""Workers, schedulers and clients that are killed: real processes, SIGKILL, and what a second run does after it."""

import subprocess

import pytest
from distributed import Client
from support.faults import Progress, command, finish, result, scheduler, workers
from support.kill_driver import BLOCK_SIZE

import fastdiff_dask as fd

READING = r"activity/.*json"  # a task that reads says so first
PARTITION, SIGNATURES, THUMBNAILS = r"block-00000003\.parquet", r"arrays\.zarr/signatures/c\.3", r"thumbnails/c\.3"
PLAN, PAIRS, TILE = r"order-a/c\.0|order-a/c/0", r"pairs-5/zarr\.json", r"compared/c\.5"


@pytest.fixture(scope="module")
def cluster(tmp_path_factory, faults):
    """A scheduler and two workers that are started again when they die."""
    folder = tmp_path_factory.mktemp("cluster")
    with scheduler(folder) as (_, address), workers(address, folder, faults):
        yield address


@pytest.mark.parametrize(
    ("pattern", "action"),
    [
        (READING, "kill after"),
        (SIGNATURES, "kill"),
        pytest.param(THUMBNAILS, "kill after", marks=pytest.mark.slow),
        (PLAN, "kill after"),
        pytest.param(PAIRS, "kill after", marks=pytest.mark.slow),
        (TILE, "kill after"),
    ],
)
def test_a_worker_is_killed(pattern, action, cluster, faults, whole, tmp_path):
    faults.set(pattern, action)
    done = finish(command(whole.photos, tmp_path / "store", tmp_path / "out.json", cluster))
    assert faults.met() == 1
    # others go on with its work, and nobody needs to know
    assert (done.returncode, done.stderr) == (0, "")
    assert result(tmp_path / "out.json")[0] == whole.json
    assert Progress(tmp_path / "store", whole.images).images_left == 0


@pytest.mark.parametrize("pattern", [PARTITION, PLAN, pytest.param(TILE, marks=pytest.mark.slow)])
def test_the_client_is_killed_and_the_next_one_is_there_at_once(pattern, cluster, faults, whole, tmp_path):
    faults.set(pattern, "wait")
    arguments = command(whole.photos, tmp_path / "store", tmp_path / "out.json", cluster)
    client = subprocess.Popen(arguments)
    faults.wait()
    client.kill()
    client.wait()
    # a task of it is in the middle of its commit, and goes on when the next client is at work
    progress = Progress(tmp_path / "store", whole.images)
    second = subprocess.Popen(arguments, stderr=subprocess.PIPE, text=True)
    faults.wait_for_run(tmp_path / "store", 1)
    faults.file.unlink()
    assert second.communicate(timeout=1200)[1] == ""
    assert second.returncode == 0
    content, stats = result(tmp_path / "out.json")
    assert content == whole.json
    # what other tasks of the dead client ended meanwhile is not done again either
    assert progress.images_left >= stats["images_read"]
    assert progress.tiles <= stats["tiles_resumed"]
    assert not progress.redone()


@pytest.mark.parametrize("pattern", [THUMBNAILS, TILE])
def test_the_scheduler_is_killed(pattern, faults, whole, tmp_path):
    with scheduler(tmp_path) as (process, address), workers(address, tmp_path, faults):
        faults.set(pattern, "wait")
        client = subprocess.Popen(
            command(whole.photos, tmp_path / "store", tmp_path / "out.json", address), stderr=subprocess.PIPE, text=True
        )
        faults.wait()
        process.kill()
        message = client.communicate(timeout=120)[1]
        faults.clear()
    assert client.returncode == 1
    assert message == (
        "fastdiff-dask: the connection to the scheduler was lost; finished work is kept, the same command goes on\n"
    )
    progress = Progress(tmp_path / "store", whole.images)
    assert progress.blocks
    with scheduler(tmp_path) as (_, address), workers(address, tmp_path, faults, 1):
        again = finish(command(whole.photos, tmp_path / "store", tmp_path / "out.json", address))
    assert (again.returncode, again.stderr) == (0, "")
    content, stats = result(tmp_path / "out.json")
    assert content == whole.json
    progress.check(stats)


def test_a_worker_is_killed_while_it_hashes(cluster, faults, whole, tmp_path):
    hashes = []
    for fault in (True, False):
        with Client(cluster, set_as_default=False) as client:
            options = {"store": tmp_path / str(fault), "client": client, "block_size": BLOCK_SIZE, "verbose": False}
            with fd.FastDifPy(whole.photos, **options) as db:
                db.index_the_dirs()
                db.first_loop_iteration()
                read = db.images_read
                if fault:
                    faults.set(PARTITION, "kill after")
                db.first_loop_iteration(compute_hash=True)
                assert (db.images_read, faults.met()) == (read, int(fault))
                hashes.append(db.store.read_images(["path", "hash_key"]))
                if fault:
                    written = (tmp_path / "True" / "images.parquet" / "block-00000003.parquet").stat().st_mtime_ns
                    db.first_loop_iteration(compute_hash=True)
                    now = (tmp_path / "True" / "images.parquet" / "block-00000003.parquet").stat().st_mtime_ns
                    assert now == written
        faults.clear()
    assert hashes[0].hash_key.notna().sum() == 49
    assert hashes[0].equals(hashes[1])


def test_a_worker_is_killed_while_it_copies(cluster, faults, whole, tmp_path):
    results = []
    with Client(cluster, set_as_default=False) as client:
        options = {"client": client, "block_size": BLOCK_SIZE, "verbose": False}
        for name in ("a", "b"):
            with fd.FastDifPy(whole.photos, store=tmp_path / name, **options) as db:
                db.index_the_dirs()
                db.first_loop_iteration()
        for fault in (True, False):
            faults.clear()
            if fault:
                faults.set(rf"True/arrays\.zarr/{THUMBNAILS}", "kill after")
            with fd.FastDifPy.from_stores(tmp_path / "a", tmp_path / "b", store=tmp_path / str(fault), **options) as db:
                db.index_the_dirs()
                db.first_loop_iteration()
                db.second_loop_iteration()
                results.append(db.pairs)
            assert faults.met() == int(fault)
    assert len(results[0]) > 49
    assert results[0].equals(results[1])
