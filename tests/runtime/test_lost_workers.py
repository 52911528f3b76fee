"""Lost workers are told, in a line each."""

import os
import re
import signal
import threading
import time

import distributed
import pytest

import fastdiff_dask as fd
from fastdiff_dask.runtime import lost_workers
from fastdiff_dask.testing import simulate_images

LOOPBACK = {"host": "127.0.0.1", "dashboard_address": "127.0.0.1:0"}


def until(there, lines):
    end = time.monotonic() + 60
    while not any(re.search(there, line) for line in lines):
        assert time.monotonic() < end, lines
        time.sleep(0.05)


def test_a_killed_worker_and_the_time_without_any_are_told(monkeypatch):
    monkeypatch.setattr(lost_workers, "_LOOK", 0.05)
    lines = []
    with (
        distributed.LocalCluster(n_workers=2, threads_per_worker=1, **LOOPBACK) as local,
        distributed.Client(local, set_as_default=False) as client,
    ):
        with lost_workers.lost_workers_told(client, lines.append):
            time.sleep(0.5)
            assert lines == []
            local.scale(1)
            until(r"The worker at tcp://127\.0\.0\.1:\d+ was lost; .* \(1 worker left\)", lines)
            local.scale(0)
            until(r"\(0 workers left\)", lines)
            until("No worker is left: waiting for one", lines)
            local.scale(1)
            until("1 worker came; the work goes on", lines)
        told = len(lines)
        local.scale(0)
        time.sleep(0.5)
        assert len(lines) == told


def test_threads_of_this_process_are_not_watched(client):
    before = threading.active_count()
    with lost_workers.lost_workers_told(client, pytest.fail):
        assert not [one for one in threading.enumerate() if one.name == "fastdiff_dask-workers"]
        assert threading.active_count() <= before


@pytest.mark.parametrize("verbose", [None, False])
def test_a_worker_that_dies_during_a_stage_gets_a_line(verbose, tmp_path, monkeypatch, capfd):
    monkeypatch.setattr(lost_workers, "_LOOK", 0.05)
    simulate_images(tmp_path / "photos", images=60, duplicates=2)
    with (
        distributed.LocalCluster(n_workers=2, threads_per_worker=1, **LOOPBACK) as local,
        distributed.Client(local, set_as_default=False) as client,
        fd.FastDifPy(tmp_path / "photos", store=tmp_path / "s", client=client, block_size=1, verbose=verbose) as db,
    ):
        db.index_the_dirs()
        victim = next(iter(client.run(os.getpid).values()))
        killer = threading.Timer(0.5, os.kill, (victim, signal.SIGKILL))
        killer.start()
        db.first_loop_iteration()
        killer.join()
    assert ("was lost" in capfd.readouterr().err) == (verbose is None)
