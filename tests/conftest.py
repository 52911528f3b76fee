"""Fixtures: a simulated collection, the real photos where they are, and the 'user' that cannot read everything."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from distributed import Client

from fastdiff_dask.cluster import embedded_client
from fastdiff_dask.testing import SimulatedPhotos, simulate_images

PHOTOS = Path(__file__).parents[2] / "shared" / "photos"


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test touches the user's cache, and none sees another's store."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


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
def client() -> Iterator[Client]:
    """One embedded client of two threads for a module: starting one takes longer than most jobs there."""
    client = embedded_client(2, "127.0.0.1:0")
    yield client
    client.close()
    client.cluster.close()


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(20261123)


@contextlib.contextmanager
def without_privileges() -> Iterator[None]:
    """The superuser reads everything; become nobody for a while, so that permissions mean something."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)
