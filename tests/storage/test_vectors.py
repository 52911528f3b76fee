"""Vectors in a store: committed a block at a time, checked when they are read, and never mixed with others."""

import json
from pathlib import Path

import numpy as np
import pytest
from support.pictures import write_noise

import fastdiff_dask as fd
from fastdiff_dask.config import CompareSettings
from fastdiff_dask.errors import FastDiffError, StoreMismatchError, UsageError
from fastdiff_dask.storage.arrays import RowKind
from fastdiff_dask.storage.cleanup import clean_store, remove_store
from fastdiff_dask.storage.comparisons import Comparison
from fastdiff_dask.storage.derived.vectors import Vectors, vector_names, vector_rows
from fastdiff_dask.storage.store import Store

KIND = RowKind((3,), "float32")


@pytest.fixture
def store(tmp_path, client) -> Store:
    write_noise(tmp_path / "photos", 5, seed=1)
    db = fd.FastDifPy(tmp_path / "photos", store=tmp_path / "store", client=client, block_size=2, verbose=False)
    db.index_the_dirs()
    db.first_loop_iteration()
    return Store(db.store_url)


def write_all(store: Store, name: str) -> np.ndarray:
    """Vectors of five images in blocks of two; image 1 has a NaN, image 2 none."""
    values = np.arange(15, dtype=np.float32).reshape(5, 3)
    values[1, 2] = np.nan
    vectors = Vectors(store, name)
    vectors.begin({"function": "f"})
    vectors.record(KIND)
    for block in range(3):
        rows = slice(2 * block, 2 * block + 2)
        vectors.write(block, values[rows], np.arange(5)[rows] != 2)
    return values


def test_vectors_are_read_in_any_order_and_not_where_there_are_none(store):
    values = write_all(store, "v")
    images = np.array([4, 0, 2, 1, 4])
    found, there = vector_rows(store, "v", images)
    assert there.tolist() == [True, True, False, False, True]
    np.testing.assert_array_equal(found[there], values[[4, 0, 4]])
    assert not found[~there].any()
    assert found.dtype == np.float32


def test_a_block_is_finished_when_it_is_told_which_images_have_a_vector(store):
    vectors = Vectors(store, "v")
    assert vectors.kind() is None
    assert vectors.missing_blocks() == [0, 1, 2]
    vectors.begin({"function": "f"})
    vectors.record(KIND)
    store.arrays.write_rows("vectors/v/values", 1, np.ones((2, 3), np.float32))
    assert vectors.missing_blocks() == [0, 1, 2]
    vectors.write(1, np.ones((2, 3), np.float32), np.ones(2, bool))
    assert vectors.missing_blocks() == [0, 2]


def test_vectors_made_in_another_way_are_refused_with_both_ways(store):
    write_all(store, "v")
    vectors = Vectors(store, "v")
    vectors.begin({"function": "f"})
    with pytest.raises(StoreMismatchError, match=r"'v' of .* were made with function f, not function g; use another"):
        vectors.begin({"function": "g"})
    assert vectors.made() == {"function": "f"}
    assert vector_names(store) == ["v"]


@pytest.mark.parametrize("name", ["", "..", "a/b", "a-", "-a", "ä", "a" * 65, None])
def test_a_name_that_is_no_name_of_a_folder_is_refused(store, name):
    with pytest.raises(UsageError, match="cannot be used for vectors"):
        Vectors(store, name)


def test_vectors_of_an_altered_store_are_checked(store):
    """A NaN beside a mark, marks that are neither 0 nor 1, arrays of another kind."""
    write_all(store, "v")
    store.arrays.write_rows("vectors/v/values", 0, np.full((2, 3), np.inf, np.float32))
    store.arrays.write_rows("vectors/v/there", 0, np.full(2, 7, np.uint8))
    values, there = vector_rows(store, "v", np.arange(2))
    assert not there.any()
    assert not values.any()
    path = Path(store.files.root, "arrays.zarr/vectors/v/values/zarr.json")
    path.write_text(json.dumps({**json.loads(path.read_text()), "data_type": "complex64"}))
    with pytest.raises(FastDiffError, match="is damaged"):
        Vectors(store, "v").kind()


def test_vectors_outlive_thumbnails_and_go_with_the_store(store):
    write_all(store, "v")
    clean_store(store.url, thumbs=True, db=False, config=False)
    assert vector_rows(store, "v", np.array([0]))[1].all()
    Store(store.url).forget_stale()
    assert vector_rows(store, "v", np.array([0]))[1].all()
    remove_store(store.url)
    assert not Store.exists(store.url)


def test_a_comparison_of_vectors_has_a_name_of_its_own_and_earlier_settings_have_none(store):
    settings = CompareSettings(measure="cosine", vectors="v", rotations=False, similarity_threshold=0.05)
    assert Comparison(store, settings).name == "cosine-of-v-0.05"
    assert CompareSettings.from_json(settings.to_json()) == settings
    assert "vectors" not in CompareSettings().to_json()
    assert settings.question == "cosine distance of v ≤ 0.05"
    with pytest.raises(UsageError, match="use 'cosine', 'inner', 'euclidean', 'hamming'"):
        CompareSettings(measure="mse", vectors="v", rotations=False)
    with pytest.raises(UsageError, match="not for vectors"):
        CompareSettings(measure="cosine", vectors="v")
