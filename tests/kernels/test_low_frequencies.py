"""Low frequencies keep every pair that two loops find, under each transform, and leave out most of the others."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastdiff_dask.kernels import cascade, search_tile
from fastdiff_dask.kernels.bounds import SearchCounts
from fastdiff_dask.kernels.cascade import similar_tile_pairs
from fastdiff_dask.kernels.device import Device
from fastdiff_dask.kernels.low_frequencies import (
    frequency_counts,
    left_operands,
    listed_transforms,
    low_frequencies,
    near_transforms,
    right_operand,
)
from fastdiff_dask.kernels.pair_filters import PairFilters, picture_keys
from fastdiff_dask.kernels.search_tile import Costs, HeldFrequencies, SearchTile, measured_costs
from fastdiff_dask.kernels.signatures import as_mirrored, cosines, normalised_signatures, signatures
from fastdiff_dask.kernels.similarity import CorrelationLimit, SquaredErrorLimit, listed_pairs, similar_pairs
from fastdiff_dask.kernels.transforms import apply_transform, available_transforms

SIZES = [(16, 16, 3), (15, 15, 3), (24, 16, 3), (12, 12, 4), (16, 16, 1), (9, 22, 3)]
COUNT = 12


def adversarial_images(rng, shape):
    """Images that are flat, of full contrast, turned, mirrored, and nearly equal: (COUNT, h, w, c) twice."""
    a = rng.integers(0, 256, (COUNT, *shape), dtype=np.uint8)
    a[0], a[1], a[2] = 0, 255, 254
    a[3] = rng.integers(0, 2, shape) * 255
    a[4] = np.linspace(0, 255, math.prod(shape)).reshape(shape)
    b = np.clip(a + rng.integers(-9, 10, a.shape), 0, 255).astype(np.uint8)
    b[5] = a[6]
    transforms = available_transforms(*shape[:2], mirror=True)
    for place in range(3, COUNT):
        b[place] = apply_transform(b[place : place + 1], transforms[place % len(transforms)])[0]
    return a, b


def errors_of(a, b, transforms):
    """Sums of squared errors of each pair under each transform, by two loops: (transforms, m, n)."""
    turned = [np.ascontiguousarray(apply_transform(a, transform)).astype(np.int64) for transform in transforms]
    return np.array([[[((x - y) ** 2).sum() for y in b.astype(np.int64)] for x in images] for images in turned])


@pytest.mark.parametrize("rotations", [True, False])
@pytest.mark.parametrize("mirror", [True, False])
@pytest.mark.parametrize("shape", SIZES)
def test_what_is_similar_is_kept_under_its_transform(shape, mirror, rotations, rng):
    transforms = available_transforms(*shape[:2], rotations=rotations, mirror=mirror)
    a, b = adversarial_images(rng, shape)
    errors = errors_of(a, b, transforms)
    i, j = (places.ravel() for places in np.indices(errors.shape[1:]))
    # exactly at the limit too
    for most in (0, *np.quantile(errors, [0.01, 0.1, 0.5, 1], method="nearest").tolist()):
        limit = SquaredErrorLimit(int(most))
        options = {"radius": limit.radius(shape), "transforms": transforms}
        for count in frequency_counts(*shape):
            x, y = (low_frequencies(images, limit, transforms, count) for images in (a, b))
            listed = listed_transforms(x, y, i, j, **options).reshape(errors.shape[1:])
            rows, columns, masks = near_transforms(left_operands(x, transforms), right_operand(y), **options)
            near = np.zeros(errors.shape[1:], np.uint8)
            near[rows, columns] = masks
            for row, transform in enumerate(transforms):
                similar = errors[row] <= most
                assert (listed[similar] >> transform & 1).all()
                assert (near[similar] >> transform & 1).all()
            assert not (near & ~np.uint8(sum(1 << t for t in transforms))).any()


def photo_like(rng, number):
    """Images whose power falls with the frequency, as in photographs: (number, 64, 64, 3) uint8."""
    u = np.arange(64)
    amplitudes = 40 * (u[:, None] ** 2 + u**2 + 1.0) ** -0.6
    basis = cosines(64, 64) * 8
    planes = basis.T @ (rng.standard_normal((number, 64, 64)) * amplitudes) @ basis
    colours = planes[..., None] + rng.normal(0, 20, (number, 1, 1, 3)) + 128
    return np.clip(colours, 0, 255).astype(np.uint8)


def test_most_of_what_is_not_similar_is_left_out(rng):
    images, transforms = photo_like(rng, 200), (0, 1, 2, 3)
    limit = SquaredErrorLimit(3000 * 4096)
    options = {"radius": limit.radius(images.shape[1:]), "transforms": transforms}
    similar = len(similar_pairs(images, images, limit=limit, transforms=transforms))
    left = []
    for count in frequency_counts(*images.shape[1:]):
        x = low_frequencies(images, limit, transforms, count)
        left.append(len(near_transforms(left_operands(x, transforms), right_operand(x), **options)[0]))
    assert left == sorted(left, reverse=True)
    assert similar <= left[-1] < similar + 20
    assert left[0] < 0.02 * 200 * 200


@given(seed=st.integers(0, 1000), shape=st.sampled_from(SIZES), mirror=st.booleans(), data=st.data())
@settings(deadline=None, max_examples=40)
def test_listed_pairs_look_at_the_given_transforms_alone(seed, shape, mirror, data):
    rng = np.random.default_rng(seed)
    transforms = available_transforms(*shape[:2], mirror=mirror)
    a, b = adversarial_images(rng, shape)
    errors = errors_of(a, b, transforms)
    i, j = rng.integers(0, COUNT, (2, 30))
    every = [1 << transform for transform in transforms]
    masks = np.array([sum(bit for bit in every if rng.random() < 0.6) for _ in i], np.uint8)
    most = data.draw(st.sampled_from(np.unique(errors).tolist()))
    wanted = []
    for x, y, mask in zip(i.tolist(), j.tolist(), masks.tolist(), strict=True):
        some = [(int(errors[row, x, y]), bit) for row, bit in enumerate(every) if mask & bit]
        least = min(some, default=(most + 1, 0))[0]
        if least <= most:
            wanted.append([x, y, least, sum(bit for error, bit in some if error == least)])
    found = listed_pairs(a, b, i, j, masks, limit=SquaredErrorLimit(most), transforms=transforms)
    assert found.tolist() == wanted


class Side:
    """Some images as one side of a tile."""

    def __init__(self, images, values, sub_block):
        self.images = np.arange(len(images))
        self.cuts = [range(start, min(start + sub_block, len(images))) for start in range(0, len(images), sub_block)]
        self._values, self.read = values, 0

    def name(self):
        return id(self)

    def signatures(self):
        self.read += 1
        return self._values


WAYS = {
    "in chunks": {"_SAMPLED": 10**9},
    "listed": {"_SAMPLED": 10**9},
    "sampled": {"_SAMPLED": 1},
    "one by one": {"_WAITING": 1, "_TOGETHER": 1, "_EXACT": 1},
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("crowded", [None, True, False])
@pytest.mark.parametrize("dense_share", [0, 10**9])
@pytest.mark.parametrize("measure", ["mse", "correlation"])
def test_each_way_gives_the_same_pairs(way, crowded, dense_share, measure, rng, monkeypatch):
    for name, value in WAYS[way].items():
        monkeypatch.setattr(cascade, name, value)
    if way == "in chunks":
        monkeypatch.setattr(search_tile, "chunk_rows", lambda _: 2)
    # of no run, or of each, all pairs go on to the low frequencies
    monkeypatch.setattr("fastdiff_dask.kernels.bounds._DENSE_SHARE", dense_share)
    monkeypatch.setattr("fastdiff_dask.kernels.bounds._FEW", 0)
    if crowded is not None:
        monkeypatch.setattr(Costs, "is_crowded", lambda *_: crowded)
    shape = (16, 16, 3)
    transforms = available_transforms(*shape[:2], mirror=True)
    a, b = adversarial_images(rng, shape)
    images = np.concatenate([a, b])
    for most in (0.05, 0.5) if measure == "correlation" else (3_000, 1_000_000):
        values = signatures(images)
        limit = SquaredErrorLimit(most)
        if measure == "correlation":
            limit = CorrelationLimit(most, 256)
            values = normalised_signatures(values, lambda places: images[places], shape)
        side = Side(images, as_mirrored(values, *shape), 5)
        counts = SearchCounts()
        tile = SearchTile(side, side, lambda numbers: images[numbers], shape, limit, transforms, None)
        pairs = similar_tile_pairs(tile, counts, Device())
        found = np.concatenate([np.zeros((0, 4), np.int64), *pairs])
        wanted = similar_pairs(images, images, limit=limit, transforms=transforms, triangular=True)
        assert len(wanted)
        assert found[np.lexsort((found[:, 1], found[:, 0]))].tolist() == wanted.tolist()
        assert bool(counts.low) == bool(dense_share)
        assert bool(counts.dense) or not (crowded and dense_share)


@pytest.mark.parametrize("filtered", [False, True])
def test_signatures_are_read_and_low_frequencies_are_computed_once(filtered, rng, monkeypatch):
    monkeypatch.setattr("fastdiff_dask.kernels.bounds._DENSE_SHARE", 10**9)
    monkeypatch.setattr("fastdiff_dask.kernels.bounds._FEW", 0)
    monkeypatch.setattr(Costs, "is_crowded", lambda *_: False)
    images = rng.integers(0, 256, (40, 16, 16, 3), dtype=np.uint8)
    side, computed = Side(images, signatures(images), 8), []
    compute = search_tile.low_frequencies

    def computing(some, *rest):
        computed.append(len(some))
        return compute(some, *rest)

    monkeypatch.setattr(search_tile, "low_frequencies", computing)
    keys = picture_keys(np.full(40, 16), np.full(40, 16))
    allowed = PairFilters(aspect=1.0).allowed(keys) if filtered else None
    limit, device = SquaredErrorLimit(10**9), Device()
    tile = SearchTile(side, side, lambda numbers: images[numbers], (16, 16, 3), limit, (0, 1, 2, 3), allowed)
    for tiles in (1, 2):
        list(similar_tile_pairs(tile, SearchCounts(), device))
        # of one tile once; of the next one with these images not at all, unless filters left some out
        assert sum(computed) == (40 * tiles if filtered else 40)
        assert side.read == (tiles if filtered else 1)


def test_low_frequencies_of_some_images(rng):
    images, read = rng.integers(0, 256, (40, 16, 16, 3), dtype=np.uint8), []

    def thumbnails(numbers):
        read.extend(numbers.tolist())
        return images[numbers]

    side = Side(images, signatures(images), 8)
    tile = SearchTile(side, side, thumbnails, (16, 16, 3), SquaredErrorLimit(1000), (0, 1, 2, 3), None)
    held = HeldFrequencies(tile, side.images, 96)
    assert held.missing(np.array([3, 5])) == 2
    found = held.at(np.array([3, 5, 9]))
    assert held.missing(np.array([3, 5, 7])) == 1
    both = held.at(slice(0, 10))
    assert sorted(read) == list(range(10))
    np.testing.assert_array_equal(found.values, both.values[[3, 5, 9]])


def test_costs_are_measured_once_and_weigh_the_ways():
    costs = measured_costs((16, 16, 3), (0, 1, 2, 3))
    assert measured_costs((16, 16, 3), (0, 1, 2, 3)) is costs
    assert set(costs.products) == set(frequency_counts(16, 16, 3))
    assert 0 < costs.dense < costs.exact
    known = Costs(exact=8.0, dense=1.0, products={96: 0.25, 192: 0.5})
    assert known.of_products(96, pairs=100, left=2) == 25 + 16
    assert known.of_products(192, pairs=100, left=50) == 50 + 100
    assert known.is_crowded(100, 13)
    assert not known.is_crowded(100, 12)
