"""The k nearest thumbnails: exactly those that comparing all with all finds, whatever is skipped."""

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import example, given, settings

from fastdiff_dask.kernels.bounds import search_radius
from fastdiff_dask.kernels.device import Device
from fastdiff_dask.kernels.grid import kd_order
from fastdiff_dask.kernels.nearest import thumbnails as nearest
from fastdiff_dask.kernels.nearest.leading import bounds_of, bounds_reach, leading_rows, mirrored_rows
from fastdiff_dask.kernels.nearest.thumbnails import ImagesInOrder, nearest_thumbnails
from fastdiff_dask.kernels.signatures import as_mirrored, signatures
from fastdiff_dask.kernels.squared_errors import transformed_squared_errors
from fastdiff_dask.kernels.transforms import available_transforms

KINDS = ["noise", "smooth", "plain", "extreme", "copy"]


def made(rng, images, size, kinds):
    """Noise, smooth, plain, black and white ones, and near copies, turned."""
    height, width = size
    some = rng.integers(0, 256, (images, height, width, 3), np.uint8)
    for place in range(images):
        kind = kinds[place % len(kinds)]
        if kind == "plain":
            some[place] = rng.integers(0, 256)
        elif kind == "extreme":
            some[place] = 255 * rng.integers(0, 2)
        elif kind == "smooth":
            some[place] = np.linspace(*rng.integers(0, 256, 2), width)[None, :, None]
        elif kind == "copy" and place:
            other = np.rot90(some[rng.integers(0, place)], rng.integers(0, 4) if height == width else 2)
            some[place] = np.clip(other.astype(int) + rng.integers(-1, 2), 0, 255)
    return some


def in_order(images, numbers, mirror, size=16):
    signed = signatures(images[numbers])
    rows = leading_rows(signed, np.ones(len(numbers), bool))
    if mirror:
        signed, rows = as_mirrored(signed, *images.shape[1:]), mirrored_rows(rows, images.shape[1:])
    order = kd_order(rows[:, :-1], size)
    signed = signed[order]
    return ImagesInOrder(
        numbers[order], rows[order], lambda places: signed[places.start : places.stop], lambda some: images[some]
    )


def brute(images, queries, others, k, transforms):
    errors, masks = transformed_squared_errors(images[queries], images[others], transforms)
    found = np.full((len(queries), k), -1), np.zeros((len(queries), k), int), np.zeros((len(queries), k), int)
    for row, query in enumerate(queries):
        order = [place for place in np.lexsort((others, errors[row])) if others[place] != query][:k]
        for array, values in zip(found, (others, errors[row], masks[row]), strict=True):
            array[row, : len(order)] = values[order]
    return found


@settings(max_examples=60)
@given(
    seed=st.integers(0, 10**6),
    kinds=st.lists(st.sampled_from(KINDS), min_size=1, max_size=4),
    size=st.sampled_from([(8, 8), (9, 9), (8, 10), (16, 16)]),
    k=st.integers(1, 12),
    images=st.integers(0, 90),
    rotations=st.booleans(),
    mirror=st.booleans(),
    two_sides=st.booleans(),
)
@example(seed=0, kinds=["plain"], size=(8, 8), k=12, images=90, rotations=True, mirror=True, two_sides=False)
@example(seed=0, kinds=["noise"], size=(8, 8), k=12, images=5, rotations=True, mirror=False, two_sides=False)
def test_the_neighbours_are_those_of_brute_force(seed, kinds, size, k, images, rotations, mirror, two_sides):
    rng = np.random.default_rng(seed)
    every = made(rng, images, size, kinds)
    transforms = available_transforms(*size, rotations=rotations, mirror=mirror)
    sides = (np.arange(images // 3), np.arange(images // 3, images)) if two_sides else (np.arange(images),) * 2
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(nearest, "SUB_BLOCK", 16)
        patch.setattr(nearest, "_LISTED", 50)
        patch.setattr(nearest, "_EXACT", 30)
        patch.setattr(nearest, "_DENSE_SHARE", int(rng.choice([1, 4, 48])))
        queries, others = (in_order(every, numbers, mirror) for numbers in sides)
        places = range(len(sides[0]))
        found = nearest_thumbnails(queries, places, others, k, (*size, 3), transforms, Device(cache_bytes=10_000))
    expected = brute(every, queries.numbers, sides[1], k, transforms)
    for array, wanted in zip(found, expected, strict=True):
        np.testing.assert_array_equal(array, wanted)


def test_any_places_give_the_same(rng):
    every = made(rng, 300, (8, 8), KINDS)
    side = in_order(every, np.arange(300), False, 256)
    transforms = available_transforms(8, 8)
    whole = nearest_thumbnails(side, range(300), side, 5, (8, 8, 3), transforms, Device())
    for cut in (1, 100, 256):
        parts = [
            nearest_thumbnails(side, places, side, 5, (8, 8, 3), transforms, Device())
            for places in (range(cut), range(cut, 300))
        ]
        for array, pieces in zip(whole, zip(*parts, strict=True), strict=True):
            np.testing.assert_array_equal(array, np.concatenate(pieces))


def test_many_equal_images_cost_few_comparisons(rng):
    """Of equally near ones the lowest numbers count, so that the others need not be looked at."""
    every = np.full((1500, 8, 8, 3), 200, np.uint8)
    side, read = in_order(every, rng.permutation(1500), False, nearest.SUB_BLOCK), []
    counting = side._replace(thumbnails=lambda some: read.append(len(some)) or every[some])
    places = range(nearest.SUB_BLOCK)
    found = nearest_thumbnails(side, places, counting, 5, (8, 8, 3), available_transforms(8, 8), Device())
    for row, own in zip(found.numbers.tolist(), side.numbers[: len(places)].tolist(), strict=True):
        assert row == [number for number in range(6) if number != own][:5]
    assert not found.errors.any()
    assert sum(read) < 1500 * len(places) // 10


def test_the_bound_of_leading_values_holds_for_extreme_pictures(rng):
    """Of the largest norms, and of differences that rounding may hide."""
    some = np.concatenate([np.full((1, 64, 64, 3), 255, np.uint8), made(rng, 30, (64, 64), ["extreme", "noise"])])
    some = np.concatenate([some, some[:10] ^ np.uint8(1)])
    rows = leading_rows(signatures(some), np.ones(len(some), bool))
    errors, _ = transformed_squared_errors(some, some, available_transforms(64, 64))
    bounds = bounds_of(rows, rows)
    for i in range(len(some)):
        for j in range(len(some)):
            assert bounds[i, j] <= bounds_reach(search_radius(int(errors[i, j]), (64, 64, 3)), (64, 64, 3))
