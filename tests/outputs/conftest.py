"""Fixtures of outputs: a project with names of files that are hard to write."""

from collections.abc import Iterator

import pytest
from support.outputs import make_photos

import fastdiff_dask as fd


@pytest.fixture(scope="module")
def compared(tmp_path_factory, client) -> Iterator[fd.FastDifPy]:
    folder = tmp_path_factory.mktemp("compared")
    make_photos(folder / "photos")
    options = {"thumbnail_size_x": 8, "thumbnail_size_y": 8, "block_size": 3, "verbose": False}
    with fd.FastDifPy(folder / "photos", store=folder / "store", client=client, **options) as db:
        db.index_the_dirs()
        db.first_loop_iteration(compute_hash=True)
        yield db


@pytest.fixture
def db(compared) -> fd.FastDifPy:
    compared.second_loop_iteration(50)
    return compared
