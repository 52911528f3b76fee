"""Lacks of workers are said before any work: the package, its version, the store, the pictures."""

import contextlib
import json
import os
import shutil
import subprocess
import sys
import textwrap
import time

import psutil
import pytest
from distributed import Client, LocalCluster
from support.removals import picture, save

import fastdiff_dask as fd
from fastdiff_dask.runtime import workers
from fastdiff_dask.runtime.connection import connect_by_file, embedded_client
from fastdiff_dask.storage.store import Store

# Hides the package from a Python process until it is uploaded as an archive.
HIDDEN = """
    import sys, zipimport
    class Hidden:
        @staticmethod
        def find_spec(name, path=None, target=None):
            if name != "fastdiff_dask":
                return None
            for place in sys.path:
                if place.endswith("fastdiff_dask.zip"):
                    return zipimport.zipimporter(place).find_spec(name)
            raise ModuleNotFoundError("No module named 'fastdiff_dask'", name=name)
    sys.meta_path.insert(0, Hidden)
"""


@pytest.fixture
def scheduler():
    with LocalCluster(n_workers=0, dashboard_address="127.0.0.1:0", host="127.0.0.1") as local:
        yield local.scheduler_address


@contextlib.contextmanager
def worker(scheduler, folder, *prefix, **environment):
    """A worker process, as somebody would start it on another machine."""
    arguments = [scheduler, "--nthreads", "1", "--no-nanny", "--no-dashboard", "--host", "127.0.0.1"]
    command = [*prefix, sys.executable, "-m", "distributed.cli.dask_worker", *arguments]
    process = subprocess.Popen(
        [*command, "--local-directory", str(folder / "scratch")],
        env=os.environ | environment,
        stderr=subprocess.DEVNULL,
    )
    try:
        with Client(scheduler, set_as_default=False) as client:
            client.wait_for_workers(1, timeout=120)
            yield client
    finally:
        process.terminate()
        process.wait(20)


def job(tmp_path, client):
    db = fd.FastDifPy(tmp_path / "photos", store=tmp_path / "store", client=client, verbose=False)
    db.index_the_dirs()
    return db


def test_a_worker_without_the_package_and_the_helper_that_uploads_it(scheduler, tmp_path, simulated):
    (tmp_path / "hidden").mkdir()
    (tmp_path / "hidden" / "sitecustomize.py").write_text(textwrap.dedent(HIDDEN))
    with worker(scheduler, tmp_path, PYTHONPATH=str(tmp_path / "hidden")) as client:
        with pytest.raises(fd.UsageError, match=r"no fastdiff_dask \(ModuleNotFoundError.*upload_package"):
            job(tmp_path, client)
        assert not Store.exists(str(tmp_path / "store"))
        fd.upload_package(client)
        (place,) = client.run(lambda: __import__("fastdiff_dask").__file__).values()
        assert "fastdiff_dask.zip" in place
        with job(tmp_path, client) as db:
            db.first_loop_iteration(compute_hash=True)
            db.second_loop_iteration()
            assert len(db.get_duplicates()[0]) == 5
            assert db.errors.empty


def test_a_worker_of_another_version(tmp_path, simulated, monkeypatch):
    with (
        LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address="127.0.0.1:0") as local,
        Client(local, set_as_default=False) as client,
    ):
        workers.check_package(client)
        monkeypatch.setattr("fastdiff_dask.runtime.workers.__version__", "99.0")
        with pytest.raises(fd.UsageError, match=r"has fastdiff_dask 0\.\d.*this process has 99\.0"):
            job(tmp_path, client)


def test_pictures_that_workers_do_not_see(scheduler, tmp_path, simulated):
    hide = ["unshare", "--mount", "sh", "-c", f'mount -t tmpfs none "{tmp_path}/photos" && exec "$@"', "sh"]
    if not shutil.which("unshare") or subprocess.run([*hide, "true"], stderr=subprocess.DEVNULL).returncode:
        pytest.skip("file systems cannot be hidden from a process here (unshare, mount)")
    with worker(scheduler, tmp_path, *hide) as client:
        db = job(tmp_path, client)
        with pytest.raises(fd.UsageError, match=r"does not see .*photos/\w+\.jpg.*same path"):
            db.first_loop_iteration()
        with pytest.raises(fd.UsageError, match=r"does not see .*photos/\w+\.jpg.*same path"):
            db.estimate()
        assert db.images_read == 0
        assert not db.store.finished_blocks()
        assert db.errors.empty


def test_a_store_that_workers_do_not_see(scheduler, tmp_path, simulated):
    (tmp_path / "store").mkdir()
    hide = ["unshare", "--mount", "sh", "-c", f'mount -t tmpfs none "{tmp_path}/store" && exec "$@"', "sh"]
    if not shutil.which("unshare") or subprocess.run([*hide, "true"], stderr=subprocess.DEVNULL).returncode:
        pytest.skip("file systems cannot be hidden from a process here (unshare, mount)")
    with fd.FastDifPy(tmp_path / "photos", store=tmp_path / "store", dashboard_address="127.0.0.1:0") as db:
        db.index_the_dirs()
        db.first_loop_iteration()
    with worker(scheduler, tmp_path, *hide) as client:
        db = job(tmp_path, client)
        with pytest.raises(fd.UsageError, match=r"does not see .*store,"):
            db.second_loop_iteration()


def test_processes_of_our_own(tmp_path, simulated):
    with fd.FastDifPy(
        tmp_path / "photos", store=tmp_path / "s", workers=2, threads=1, dashboard_address="127.0.0.1:0", verbose=False
    ) as db:
        info = db.client.scheduler_info(n_workers=-1)["workers"]
        assert [worker["nthreads"] for worker in info.values()] == [1, 1]
        assert all(address.startswith("tcp://127.0.0.1:") for address in info)
        assert len(set(db.client.run(os.getpid).values()) | {os.getpid()}) == 3
        db.index_the_dirs()
        db.first_loop_iteration()
        db.second_loop_iteration()
        assert len(db.get_duplicates()[0]) == 5


def test_threads_of_processes_share_the_cores():
    client = embedded_client(processes=1, dashboard_address="127.0.0.1:0")
    try:
        assert sum(client.nthreads().values()) == os.cpu_count()
    finally:
        client.close()
        client.cluster.close()


@pytest.mark.parametrize("option", ["workers", "threads"])
def test_workers_of_our_own_beside_a_client_of_another(option, tmp_path, simulated, scheduler):
    with (
        Client(scheduler, set_as_default=False) as other,
        pytest.raises(fd.UsageError, match=f"{option} is for a client that is started here"),
    ):
        fd.FastDifPy(tmp_path / "photos", client=other, **{option: 2})


def test_the_file_of_a_scheduler(scheduler, tmp_path):
    (tmp_path / "scheduler.json").write_text(json.dumps({"type": "Scheduler", "address": scheduler}))
    with connect_by_file(str(tmp_path / "scheduler.json")) as client:
        assert client.scheduler.address == scheduler


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "cannot be read"),
        ("text", "is no scheduler file"),
        ("{}", "is no scheduler file"),
        ("[]", "is no scheduler"),
    ],
)
def test_what_is_no_file_of_a_scheduler(content, message, tmp_path):
    if content is not None:
        (tmp_path / "scheduler.json").write_text(content)
    with pytest.raises(fd.UsageError, match=message):
        connect_by_file(str(tmp_path / "scheduler.json"))


def test_a_worker_that_goes_away_while_it_is_asked(monkeypatch):
    class Gone:
        def run(self, *_, **__):
            raise OSError("connection closed")

    workers.check_package(Gone())


def test_a_worker_that_is_killed_while_it_is_asked():
    with (
        LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address="127.0.0.1:0") as local,
        Client(local, set_as_default=False) as client,
    ):
        assert workers._on_all(client, os._exit, 1) == {}


def test_workers_that_are_killed_while_they_start_are_one_line(tmp_path):
    """Beside them the resource tracker of multiprocessing is killed, whose successor knows no semaphore."""
    save(tmp_path / "photos" / "a.png", picture(1))
    command = [sys.executable, "-m", "fastdiff_dask", "find", str(tmp_path / "photos"), "--workers", "2", "--quiet"]
    command += ["--store", str(tmp_path / "store")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        parent, end = psutil.Process(process.pid), time.monotonic() + 60
        while process.poll() is None and time.monotonic() < end:
            with contextlib.suppress(psutil.Error):
                for child in parent.children(recursive=True):
                    if time.time() - child.create_time() > 0.5:
                        child.kill()
            time.sleep(0.02)
        process.terminate()
        out, error = process.communicate()
    assert (process.returncode, out) == (1, "")
    (line,) = error.splitlines()
    assert line.startswith("fastdiff-dask: no Dask cluster could be started here")
