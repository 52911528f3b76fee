"""On clients from elsewhere: given, current, processes; and what goes wrong there."""

import gc
import pickle
import re
import socket
import subprocess
import sys
import time
import warnings

import distributed
import pytest

import fastdiff_dask as fd
from fastdiff_dask.runtime import connection, waves, workers
from fastdiff_dask.testing import simulate_images

LOOPBACK = {"dashboard_address": "127.0.0.1:0", "worker_dashboard_address": "127.0.0.1:0"}


@pytest.fixture(scope="module")
def processes():
    with (
        distributed.LocalCluster(n_workers=2, threads_per_worker=1, **LOOPBACK) as local,
        distributed.Client(local, set_as_default=False) as client,
    ):
        yield client


def test_processes_give_the_same_as_threads(processes, tmp_path, simulated):
    by_processes = fd.find_duplicates(tmp_path / "photos", store=tmp_path / "s1", client=processes, block_size=3)
    by_threads = fd.find_duplicates(tmp_path / "photos", store=tmp_path / "s2", dashboard_address="127.0.0.1:0")
    assert by_processes.pairs.equals(by_threads.pairs)
    assert by_processes.clusters == by_threads.clusters
    assert processes.status == "running"


def test_dense_matrix_on_processes(processes, tmp_path, simulated):
    with fd.FastDifPy(tmp_path / "photos", store=tmp_path / "store", client=processes, block_size=4) as db:
        db.index_the_dirs()
        db.first_loop_iteration()
        db.second_loop_iteration()
        matrix = processes.compute(db.mse()).result()
        assert int((matrix <= 200).sum()) == 17 + 2 * len(db.pairs)


def test_the_current_client_is_used(tmp_path, simulated, capsys):
    with (
        distributed.LocalCluster(processes=False, n_workers=1, threads_per_worker=1, **LOOPBACK) as local,
        distributed.Client(local) as client,
    ):
        with fd.FastDifPy(tmp_path / "photos", store=tmp_path / "store") as db:
            assert db.client is client
            db.index_the_dirs()
            db.first_loop_iteration()
        assert client.status == "running"
        assert "Dashboard" not in capsys.readouterr().err
        names = client.run_on_scheduler(lambda dask_scheduler: set(dask_scheduler.task_prefixes))
        assert {"thumbnail", "commit"} <= names


def test_an_embedded_client_ends_and_stays_out_of_the_way(tmp_path, simulated):
    with fd.FastDifPy(tmp_path / "photos", store=tmp_path / "store", threads=1) as db:
        client = db.client
        assert db.client is client
        assert connection.current_client() is None
        assert re.fullmatch(r"http://127\.0\.0\.1:\d+/status", connection.dashboard_link(client))
        assert workers.capacity(client).threads == 1
    assert client.status == "closed"


def test_a_port_that_is_taken_just_then(monkeypatch):
    with socket.socket() as other, warnings.catch_warnings(record=True) as caught:
        other.bind(("127.0.0.1", 0))
        other.listen()
        warnings.simplefilter("always")
        monkeypatch.setattr("fastdiff_dask.runtime.connection._DASHBOARD_PORT", other.getsockname()[1])
        monkeypatch.setattr("fastdiff_dask.runtime.connection._is_free", lambda port: True)  # as it was a moment before
        client = connection.embedded_client(1)
        link = connection.dashboard_link(client)
        client.close()
        client.cluster.close()
        gc.collect()
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+/status", link)
    assert f":{connection._DASHBOARD_PORT}/" not in link
    assert caught == []  # nor of the socket that could not be bound, which Dask leaves open


def test_a_store_in_memory_needs_workers_in_this_process(processes, tmp_path, simulated):
    with pytest.raises(fd.UsageError, match="cannot see a store in memory"):
        fd.find_duplicates(tmp_path / "photos", store="memory://unseen", client=processes)


def test_a_cluster_without_workers(tmp_path, simulated, monkeypatch):
    monkeypatch.setattr(distributed.Client, "wait_for_workers", lambda *_, **__: None)
    with (
        distributed.LocalCluster(n_workers=0, processes=False, dashboard_address="127.0.0.1:0") as local,
        distributed.Client(local, set_as_default=False) as client,
        pytest.raises(fd.FastDiffError, match="has no workers; start some"),
    ):
        fd.find_duplicates(tmp_path / "photos", store=tmp_path / "store", client=client)


def test_waves_bound_what_is_in_flight_and_cancel_the_rest(processes):
    submitted, done, most = [], 0, 0

    def submit(number):
        submitted.append(number)
        return [processes.submit(divmod, number, 0 if number == 50 else 1, key=f"wave-{number}")]

    def run():
        nonlocal done, most
        for _ in waves.run_in_waves(processes, range(1000), submit, in_flight=5):
            done += 1
            most = max(most, len(submitted) - done)

    with pytest.raises(fd.FastDiffError, match=r"task wave-50 failed \(ZeroDivisionError.*the same command goes on"):
        run()
    assert most <= 6
    assert len(submitted) < 100


def test_workers_that_join_get_work(monkeypatch):
    monkeypatch.setattr("fastdiff_dask.runtime.waves._LOOK", 0.05)
    options = {"processes": False, "threads_per_worker": 1, **LOOPBACK}
    with (
        distributed.LocalCluster(n_workers=1, **options) as local,
        distributed.Client(local, set_as_default=False) as client,
    ):
        submitted, most = 0, 0

        def submit(number):
            nonlocal submitted
            submitted += 1
            return [client.submit(time.sleep, 0.02, key=f"joined-{number}", pure=False)]

        for done, _ in enumerate(waves.run_in_waves(client, range(150), submit, in_flight=2), 1):
            most = max(most, submitted - done)
            if done == 10:
                assert most <= 2
                local.scale(4)
        assert 6 <= most <= 8


def test_a_worker_that_dies_is_replaced(tmp_path, simulated):
    with (
        distributed.LocalCluster(n_workers=2, threads_per_worker=1, **LOOPBACK) as local,
        distributed.Client(local, set_as_default=False) as client,
        fd.FastDifPy(tmp_path / "photos", store=tmp_path / "store", client=client, block_size=2) as db,
    ):
        db.index_the_dirs()
        local.workers[0].process.process._process.kill()
        db.first_loop_iteration()
        db.second_loop_iteration()
        assert len(db.get_duplicates()[0]) == 5


def test_nothing_big_travels_through_the_scheduler(processes, tmp_path, monkeypatch):
    simulate_images(tmp_path / "photos", images=60, duplicates=20)
    sent, gathered = [], []
    submit, result = distributed.Client.submit, distributed.Future.result

    def spy(client, function, *arguments, **options):
        plain = [
            [part.key for part in argument]
            if isinstance(argument, list) and argument and hasattr(argument[0], "key")
            else argument
            for argument in arguments
        ]
        sent.append(len(pickle.dumps((function, plain))))
        return submit(client, function, *arguments, **options)

    def spied(future, *arguments, **options):
        value = result(future, *arguments, **options)
        gathered.append(len(pickle.dumps(value)))
        return value

    monkeypatch.setattr(distributed.Client, "submit", spy)
    monkeypatch.setattr(distributed.Future, "result", spied)
    with fd.FastDifPy(tmp_path / "photos", store=tmp_path / "store", client=processes, block_size=40) as db:
        db.index_the_dirs()
        db.first_loop_iteration(compute_hash=True)
        db.second_loop_iteration()
    assert len(sent) >= 6
    assert len(gathered) >= 3
    assert max(sent) < 2000
    assert max(gathered) < 200


def test_logs_are_hidden_though_dask_is_imported_later():
    code = (
        "import logging, sys; from fastdiff_dask.runtime.faults import hide_logs; hide_logs()\n"
        "assert 'distributed' not in sys.modules\n"
        "from fastdiff_dask.runtime.connection import close_embedded, embedded_client\n"
        "close_embedded(embedded_client(1, '127.0.0.1:0'))\n"
        "print({handler.level for handler in logging.getLogger('distributed').handlers})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "{51}"
