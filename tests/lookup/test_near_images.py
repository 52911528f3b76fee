"""The nearest images of a picture: exactly those that comparing with all finds."""

import shutil
import tempfile
from pathlib import Path

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import example, given, settings
from support.array_stores import add_arrays, array_store

from fastdiff_dask.kernels.squared_errors import transformed_squared_errors
from fastdiff_dask.kernels.transforms import available_transforms
from fastdiff_dask.lookup import near_images
from fastdiff_dask.lookup.near_images import NearImages
from fastdiff_dask.storage.derived import leading_files
from fastdiff_dask.storage.derived.leading_files import LeadingFiles
from fastdiff_dask.storage.store import Store


def brute(pictures, thumbnails, transforms, k, limit, numbers=None):
    """Compare all with all; by number where errors are equal."""
    errors, masks = transformed_squared_errors(pictures, thumbnails, transforms)
    numbers = np.arange(len(thumbnails)) if numbers is None else numbers
    found = []
    for row, mask in zip(errors, masks, strict=True):
        order = np.lexsort((numbers, row))[:k]
        order = order[row[order] <= limit] if limit is not None else order
        found.append((numbers[order].tolist(), row[order].tolist(), mask[order].tolist()))
    return found


def plain(found):
    return [tuple(array.tolist() for array in one) for one in found]


def pictures_like(rng, images, size, kinds):
    """Noise, smooth ones, plain ones and near copies, turned: distances from 0 to the largest there is."""
    height, width = size
    some = rng.integers(0, 256, (images, height, width, 3), np.uint8)
    for place in range(images):
        kind = kinds[place % len(kinds)]
        if kind == "plain":
            some[place] = rng.integers(0, 256)
        elif kind == "extreme":
            some[place] = 255 * rng.integers(0, 2)
        elif kind == "copy" and place:
            other = np.rot90(some[rng.integers(0, place)], rng.integers(0, 4) if height == width else 2)
            some[place] = np.clip(other.astype(int) + rng.integers(-1, 2), 0, 255)
    return some


KINDS = st.lists(st.sampled_from(["noise", "plain", "extreme", "copy"]), min_size=1, max_size=4)


@settings(max_examples=40)
@given(
    seed=st.integers(0, 10**6),
    kinds=KINDS,
    size=st.sampled_from([(8, 8), (9, 9), (8, 10)]),
    k=st.integers(1, 9),
    limit=st.one_of(st.none(), st.integers(0, 2_000_000)),
    rotations=st.booleans(),
    mirror=st.booleans(),
)
@example(seed=0, kinds=["extreme"], size=(8, 8), k=9, limit=0, rotations=True, mirror=True)
def test_the_nearest_images_are_those_of_brute_force(seed, kinds, size, k, limit, rotations, mirror):
    rng = np.random.default_rng(seed)
    every = pictures_like(rng, 60, size, kinds)
    pictures, thumbnails = np.concatenate([every[:3], every[50:]]), every[:50]
    transforms = available_transforms(*size, rotations=rotations, mirror=mirror)
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(leading_files, "_PLACES", 32)
        patch.setattr(near_images, "_MANY", 12)
        patch.setattr(near_images, "_FIRST", 5)
        patch.setattr(near_images, "_SIGNATURES", 7)
        patch.setattr(near_images, "_THUMBNAILS", 3)
        store = array_store(Path(folder, "store"), thumbnails)
        found = NearImages(store, transforms, mirror).nearest(pictures, k, limit)
    assert plain(found) == brute(pictures, thumbnails, transforms, k, limit)


def test_many_equal_images_cost_few_thumbnails(tmp_path, rng, monkeypatch):
    monkeypatch.setattr(leading_files, "_PLACES", 16)
    thumbnails = np.full((200, 8, 8, 3), 90, np.uint8)
    store, read = array_store(tmp_path / "store", thumbnails), []
    rows = store.arrays.thumbnail_rows
    store.arrays.thumbnail_rows = lambda images: read.append(len(images)) or rows(images)
    (near,) = NearImages(store, (0,), False).nearest(thumbnails[:1], 5)
    assert near.numbers.tolist() == [0, 1, 2, 3, 4]
    assert sum(read) == 16


def test_images_that_were_not_read_are_never_near(tmp_path, rng):
    """A picture in the middle of all greys has the signature that stands where there is no image."""
    thumbnails = pictures_like(rng, 40, (8, 8), ["noise"])
    grey = np.full((1, 8, 8, 3), 128, np.uint8)
    store = array_store(tmp_path / "store", thumbnails, unread=[3, 17])
    (near,) = NearImages(store, (0,), False).nearest(grey, 100)
    assert sorted(near.numbers.tolist()) == [n for n in range(40) if n not in (3, 17)]


@pytest.fixture
def grown(tmp_path, rng):
    thumbnails = pictures_like(rng, 100, (8, 8), ["noise", "copy"])
    return array_store(tmp_path / "store", thumbnails[:50]), thumbnails


def leading(store):
    return np.concatenate([part.rows for part in LeadingFiles(store).parts()])


def test_leading_values_are_kept_and_grow_with_the_store(grown, monkeypatch):
    monkeypatch.setattr(leading_files, "_PLACES", 64)
    store, thumbnails = grown
    folder = Path(store.url, "lookup", "1")
    leading(store)
    assert sorted(path.name for path in folder.iterdir()) == ["leading-0-4.npy"]
    kept = (folder / "leading-0-4.npy").read_bytes()
    add_arrays(store, thumbnails[50:])
    grown = leading(Store(store.url))
    assert sorted(path.name for path in folder.iterdir()) == ["leading-0-4.npy", "leading-4-8.npy"]
    assert (folder / "leading-0-4.npy").read_bytes() == kept
    shutil.rmtree(folder)
    again = leading(Store(store.url))
    np.testing.assert_array_equal(grown, again)


def test_a_file_of_a_part_of_a_span_is_completed(grown):
    store, thumbnails = grown
    leading(store)
    add_arrays(store, thumbnails[50:])
    store = Store(store.url)
    read = []
    store.arrays.signature_rows = lambda images, known=store.arrays.signature_rows: read.append(images) or known(images)
    leading(store)
    assert min(map(min, read)) == 64  # only what is new
    assert [path.name for path in Path(store.url, "lookup", "1").iterdir()] == ["leading-0-8.npy"]


def test_blocks_that_are_not_finished_are_left_out_until_they_are(grown):
    store, thumbnails = grown
    leading(store)
    add_arrays(store, thumbnails[50:], finished=False)
    found = leading(Store(store.url))
    assert len(found) == 128
    assert np.isnan(found[64:]).all()
    assert [path.name for path in Path(store.url, "lookup", "1").iterdir()] == ["leading-0-4.npy"]


@pytest.mark.parametrize("content", [b"", b"\x93NUMPY\x09\x00", b"nonsense" * 100])
def test_a_damaged_file_is_made_again(grown, content):
    store, _ = grown
    whole = leading(store)
    file = Path(store.url, "lookup", "1", "leading-0-4.npy")
    file.write_bytes(content)
    np.testing.assert_array_equal(leading(store), whole)
    assert file.stat().st_size > 1000


def test_a_store_that_cannot_be_written_is_read_all_the_same(grown, monkeypatch):
    store, thumbnails = grown

    def refuse(*_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(type(store.files), "write", refuse)
    (near,) = NearImages(store, (0,), False).nearest(thumbnails[7:8], 1)
    assert near.numbers.tolist() == [7]
    assert not Path(store.url, "lookup").exists()
