"""Four network namespaces as four hosts: scheduler, two workers and client share files, and no loopback address."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from support.system import wait_for

from fastdiff_dask.testing import simulate_images

HOSTS = {"scheduler": "10.213.77.1", "one": "10.213.77.2", "two": "10.213.77.3", "client": "10.213.77.4"}
PYTHON = [sys.executable, "-m"]


def ip(*arguments):
    subprocess.run(["ip", *arguments], check=True, capture_output=True, text=True)


class Network:
    """Hosts on a bridge in a namespace of its own, so that nothing is added to this machine's own network."""

    def __init__(self, tag: str) -> None:
        self.tag = tag
        self.processes: list[subprocess.Popen] = []

    def name(self, host):
        return f"fd{self.tag}-{host}"

    def make(self):
        switch = self.name("switch")
        ip("netns", "add", switch)
        ip("-n", switch, "link", "add", "bridge", "type", "bridge")
        ip("-n", switch, "link", "set", "bridge", "up")
        for host, address in HOSTS.items():
            ip("netns", "add", self.name(host))
            inside = self.name(host)
            ip("-n", switch, "link", "add", host, "type", "veth", "peer", "name", "eth", "netns", inside)
            ip("-n", switch, "link", "set", host, "master", "bridge", "up")
            ip("-n", inside, "link", "set", "lo", "up")
            ip("-n", inside, "address", "add", f"{address}/24", "dev", "eth")
            ip("-n", inside, "link", "set", "eth", "up")

    def cut(self, host):
        ip("-n", self.name("switch"), "link", "set", host, "down")

    def start(self, host, command, log: Path, **environment):
        with log.open("wb") as file:
            process = subprocess.Popen(
                ["ip", "netns", "exec", self.name(host), *command],
                stdout=file,
                stderr=file,
                env=os.environ | environment,
                start_new_session=True,
            )
        self.processes.append(process)
        return process

    def remove(self):
        for process in self.processes:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait(20)
        for host in (*HOSTS, "switch"):
            subprocess.run(["ip", "netns", "delete", self.name(host)], capture_output=True)


@pytest.fixture(scope="module")
def network():
    if not shutil.which("ip"):
        pytest.skip("no network namespaces here: iproute2 is not installed")
    network = Network(f"{os.getpid() % 100_000}")
    try:
        try:
            network.make()
        except subprocess.CalledProcessError as error:
            pytest.skip(f"no network namespaces here: {error.stderr.strip()}")
        yield network
    finally:
        network.remove()
        left = subprocess.run(["ip", "netns", "list"], capture_output=True, text=True).stdout
        assert f"fd{network.tag}-" not in left


@pytest.fixture(scope="module")
def logs(tmp_path_factory):
    return tmp_path_factory.mktemp("logs")


@pytest.fixture(scope="module")
def cluster(network, logs):
    """Address of a scheduler on one host, with a worker on each of two others."""
    short = {
        "DASK_DISTRIBUTED__COMM__TIMEOUTS__CONNECT": "5s",
        "DASK_DISTRIBUTED__COMM__TIMEOUTS__TCP": "11s",
        "DASK_DISTRIBUTED__SCHEDULER__WORKER_TTL": "3s",
    }
    address = f"tcp://{HOSTS['scheduler']}:8786"
    options = ["--host", HOSTS["scheduler"], "--port", "8786", "--no-dashboard"]
    network.start("scheduler", [*PYTHON, "distributed.cli.dask_scheduler", *options], logs / "s.log", **short)
    for host in ("one", "two"):
        options = ["--nthreads", "1", "--no-nanny", "--no-dashboard", "--name", host, "--host", HOSTS[host]]
        options += ["--local-directory", str(logs / f"scratch-{host}")]
        command = [*PYTHON, "distributed.cli.dask_worker", address, *options]
        network.start(host, command, logs / f"{host}.log", **short)
    wait_for(lambda: (logs / "s.log").read_text().count("Register worker") == 2, 60)
    return address


def arguments(tmp_path, name, *options):
    place = ["--store", str(tmp_path / name), "--json", str(tmp_path / f"{name}.json"), "--block-size", "16"]
    return [*PYTHON, "fastdiff_dask", "find", str(tmp_path / "photos"), *place, "--quiet", *options]


def result_of(tmp_path, name):
    result = json.loads((tmp_path / f"{name}.json").read_text())
    del result["stats"]
    return result


def run_here(tmp_path):
    options = ["--threads", "1", "--dashboard-address", "127.0.0.1:0"]
    subprocess.run(arguments(tmp_path, "local", *options), check=True, timeout=120)
    return result_of(tmp_path, "local")


def done_by(store):
    """Hosts whose workers ended tasks of the stage of pictures or pairs."""
    works = [
        json.loads(path.read_text())
        for path in (store / "activity").glob("*.json")
        if path.name not in ("run.json", "earlier.json")
    ]
    return {work["worker"].split("//")[1].split(":")[0] for work in works if work["done"]["tasks"]}


def test_four_hosts_give_the_same_as_one(network, cluster, tmp_path):
    simulate_images(tmp_path / "photos", images=120, duplicates=20)
    run = network.start("client", arguments(tmp_path, "remote", "--scheduler", cluster), tmp_path / "client.log")
    hosts = set()

    def ended():
        with contextlib.suppress(OSError, ValueError):
            hosts.update(done_by(tmp_path / "remote"))
        return run.poll() is not None

    wait_for(ended, 120)
    assert (run.returncode, (tmp_path / "client.log").read_text()) == (0, "")
    assert hosts == {HOSTS["one"], HOSTS["two"]}
    assert result_of(tmp_path, "remote") == run_here(tmp_path)


def test_a_scheduler_that_nobody_reaches(network, tmp_path):
    simulate_images(tmp_path / "photos", images=3, duplicates=0)
    command = arguments(tmp_path, "remote", "--scheduler", f"tcp://{HOSTS['scheduler']}:8799")
    run = network.start("client", command, tmp_path / "client.log")
    wait_for(lambda: run.poll() is not None, 120)
    printed = (tmp_path / "client.log").read_text()
    assert (run.returncode, len(printed.splitlines())) == (2, 1)
    assert "no Dask scheduler answers" in printed


def test_a_host_that_is_cut_off_in_the_middle(network, cluster, logs, tmp_path):
    """The last test of this cluster."""
    simulate_images(tmp_path / "photos", images=400, duplicates=40)
    store = tmp_path / "remote"
    run = network.start("client", arguments(tmp_path, "remote", "--scheduler", cluster), tmp_path / "client.log")
    thumbnails = store / "arrays.zarr" / "thumbnails"
    wait_for(lambda: len(list(thumbnails.glob("c.*.0.0.0"))) >= 3, 120)
    network.cut("two")
    done = len(list(thumbnails.glob("c.*.0.0.0")))
    assert done < 25
    assert run.poll() is None
    wait_for(lambda: run.poll() is not None, 120)
    assert (run.returncode, (tmp_path / "client.log").read_text()) == (0, "")
    assert "Remove worker" in (logs / "s.log").read_text()
    assert done_by(store) == {HOSTS["one"]}  # in the last stage, that of pairs
    assert result_of(tmp_path, "remote") == run_here(tmp_path)
