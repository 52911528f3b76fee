"""Fixtures: a simulated collection, the real photos where they are, and the 'user' that cannot read everything."""

import contextlib
import os
import signal
import subprocess
import sys
import time
import urllib.request
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import hypothesis
import numpy as np
import pytest
from distributed import Client
from support.buckets import Bucket
from support.faults import Faults, command, finish, result
from support.system import free_port

from fastdiff_dask.images.decoder_pool import close_readers
from fastdiff_dask.runtime import connection
from fastdiff_dask.runtime.connection import embedded_client
from fastdiff_dask.testing import SimulatedPhotos, simulate_images

# a busy machine is no fault of a test
hypothesis.settings.register_profile("tests", deadline=None)
hypothesis.settings.load_profile("tests")

collect_ignore = ["benchmarks", "support"]
pytest_plugins = ["support.browser", "support.command_line"]
PHOTOS = Path(__file__).parents[2] / "shared" / "photos"
# Modules that take longest, in this order.
LONG = [
    *("remote", "benchmarks", "faults", "process", "storage_faults", "pair_filters", "transfer", "decoder_pool"),
    *("manual", "saved_copy", "signals", "namespaces", "notebooks", "fast_diff_py", "apply"),
    *("additions", "plots", "cascade", "device", "cupy", "corpus", "kill", "find", "hash_clusters", "page"),
]


if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # a shell script starts what runs in its background so; here as in the processes of the tests it ends a job
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with long files: with --no-loadscope-reorder, none is left for the end, when others have nothing to do."""
    ranks = {f"test_{name}.py": rank for rank, name in enumerate(LONG)}
    items.sort(key=lambda item: ranks.get(item.path.name, len(ranks)))


@pytest.fixture(autouse=True)
def _own_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test touches the user's cache, journals and trash, and none sees another's store."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))


@pytest.fixture(autouse=True, scope="session")
def _own_dashboard_port() -> None:
    """Test processes that run side by side do not race for the port that embedded clusters prefer."""
    connection._DASHBOARD_PORT += 10 * int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))


@pytest.fixture(scope="session")
def photos() -> Path:
    if not PHOTOS.is_dir():
        pytest.skip("the real photos are not on this machine")
    return PHOTOS


@pytest.fixture
def simulated(tmp_path: Path) -> SimulatedPhotos:
    """12 pictures and 5 altered copies in tmp_path / 'photos'."""
    return simulate_images(tmp_path / "photos", images=12, duplicates=5)


@pytest.fixture(scope="module")
def decoders_stay() -> Iterator[None]:
    """Processes that decode pictures outlive the jobs of a module, since most jobs there are shorter than their start.

    A module that changes what they are started with (their environment) has another fixture of this name.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("fastdiff_dask.stages.thumbnails.close_readers", lambda: None)
        yield
    close_readers()


@pytest.fixture(scope="module")
def client(decoders_stay: None) -> Iterator[Client]:
    """One embedded client of two threads for a module: starting one takes longer than most jobs there."""
    client = embedded_client(2, "127.0.0.1:0")
    yield client
    client.close()
    client.cluster.close()


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(20261123)


@pytest.fixture(scope="session")
def s3_server() -> Iterator[str]:
    """Endpoint of an S3 server, a process of its own."""
    pytest.importorskip("s3fs", reason="s3fs is not installed")
    pytest.importorskip("moto.server", reason="moto's server is not installed")
    port = free_port()
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:
        endpoint = f"http://127.0.0.1:{port}"
        try:
            for _ in range(600):
                with contextlib.suppress(OSError):
                    urllib.request.urlopen(f"{endpoint}/moto-api/", timeout=1).close()
                    break
                assert server.poll() is None, "the S3 server ended"
                time.sleep(0.1)
            yield endpoint
        finally:
            server.terminate()


@pytest.fixture
def s3_environment(s3_server: str) -> dict[str, str]:
    """Environment by which boto and s3fs find the server."""
    return {
        "AWS_ENDPOINT_URL": s3_server,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
    }


@pytest.fixture
def bucket(s3_environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Bucket:
    """An empty bucket."""
    import boto3

    for name, value in s3_environment.items():
        monkeypatch.setenv(name, value)
    return Bucket(boto3.client("s3"), f"bucket-{uuid.uuid4().hex[:8]}")


class Whole(NamedTuple):
    """A collection, and the result of a run over it that nothing happened to."""

    photos: Path
    images: int
    json: str


@pytest.fixture(scope="session")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Whole:
    """50 pictures, one of them broken, and their result as `faults.command` gives it."""
    folder = tmp_path_factory.mktemp("whole")
    simulate_images(folder / "photos", images=40, duplicates=9, size=(80, 60))
    (folder / "photos" / "bad.jpg").write_text("no picture")
    done = finish(command(folder / "photos", folder / "store", folder / "out.json"))
    assert done.returncode == 0, done.stderr
    return Whole(folder / "photos", 50, result(folder / "out.json")[0])


@pytest.fixture(scope="module")
def faults(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Faults]:
    """Faults of worker processes."""
    faults = Faults(tmp_path_factory.mktemp("faults") / "faults")
    yield faults
    faults.clear()
