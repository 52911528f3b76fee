"""Correlation distances: equal to two loops to the bit, and bounded by normalised signatures."""

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.correlation import covariance, distance

from fastdiff_dask.kernels.bounds import SearchCounts
from fastdiff_dask.kernels.cascade import similar_tile_pairs
from fastdiff_dask.kernels.device import Device
from fastdiff_dask.kernels.search_tile import SearchTile
from fastdiff_dask.kernels.signatures import (
    as_mirrored,
    largest_norm,
    normalised_error,
    normalised_signatures,
    signatures,
)
from fastdiff_dask.kernels.similarity import CorrelationLimit, similar_pairs
from fastdiff_dask.kernels.transforms import apply_transform, available_transforms

ALL = 2.0


def two_loops(a, b, transforms):
    """Correlation distances and masks of all pairs, in Python's integers: a list of rows."""
    rows = []
    for x in a:
        for y in b:
            products = {t: covariance(apply_transform(x[None], t)[0], y) for t in transforms}
            largest = max(products.values())
            best = sum(1 << t for t, product in products.items() if product == largest)
            rows.append((distance(largest, x, y), best))
    return rows


def pictures(rng, count, height, width):
    """Images of which some are faint, constant, brighter copies, or turned ones."""
    images = rng.integers(0, 256, (count, height, width, 3), np.uint8)
    for place in range(count):
        kind = rng.integers(6)
        if kind == 0:
            images[place] = rng.integers(256)
        elif kind == 1:
            images[place] = rng.integers(100, 103, (height, width, 3))
        elif kind == 2 and place:
            images[place] = images[place - 1] // 2 + 40
        elif kind == 3 and place:
            images[place] = images[place - 1, ::-1, ::-1]
        elif kind == 4 and place:
            noise = rng.integers(-20, 21, images[place].shape)
            images[place] = np.clip(images[place - 1].astype(int) + noise, 0, 255)
    return images


@given(seed=st.integers(0, 10_000), size=st.sampled_from([(8, 8), (9, 9), (8, 10)]), mirror=st.booleans())
def test_equal_to_two_loops(seed, size, mirror):
    rng = np.random.default_rng(seed)
    a, b = pictures(rng, 5, *size), pictures(rng, 4, *size)
    transforms = available_transforms(*size, mirror=mirror)
    pairs = similar_pairs(a, b, limit=CorrelationLimit(ALL, math.prod(size)), transforms=transforms)
    found = list(zip(pairs[:, 2].view(np.float64).tolist(), pairs[:, 3].tolist(), strict=True))
    assert found == two_loops(a, b, transforms)


class Side:
    """Images of a tile in memory."""

    def __init__(self, images, mirror):
        self.images = np.arange(len(images))
        self.cuts = [range(start, min(start + 4, len(images))) for start in range(0, len(images), 4)]
        known = normalised_signatures(signatures(images), lambda places: images[places], images.shape[1:])
        self._signatures = as_mirrored(known, *images.shape[1:]) if mirror else known

    def name(self):
        return id(self)

    def signatures(self):
        return self._signatures


@given(
    seed=st.integers(0, 10_000),
    threshold=st.sampled_from([0.0, 0.001, 0.05, 0.5, 1.0, 1.3]),
    size=st.sampled_from([(8, 8), (12, 12), (8, 10)]),
    mirror=st.booleans(),
)
def test_the_cascade_loses_no_pair(seed, threshold, size, mirror):
    images = pictures(np.random.default_rng(seed), 13, *size)
    transforms, limit = available_transforms(*size, mirror=mirror), CorrelationLimit(threshold, math.prod(size))
    side = Side(images, mirror)
    tile = SearchTile(side, side, lambda places: images[places], images.shape[1:], limit, transforms, None)
    pairs = similar_tile_pairs(tile, SearchCounts(), Device())
    found = np.concatenate([np.zeros((0, 4), np.int64), *pairs])
    found = found[np.lexsort((found[:, 1], found[:, 0]))]
    wanted = similar_pairs(images, images, limit=limit, transforms=transforms, triangular=True)
    assert found.tolist() == wanted.tolist()


@pytest.mark.parametrize("scale", [1, 16, 120])
def test_normalised_signatures_are_as_near_as_stated(rng, scale):
    shape = (16, 16, 3)
    images = (128 + rng.integers(-scale, scale + 1, (40, *shape))).clip(0, 255).astype(np.uint8)
    found = normalised_signatures(signatures(images), lambda places: images[places], shape)
    wide = images.astype(np.float64)
    wide -= wide.mean(axis=(1, 2), keepdims=True)
    wide *= largest_norm(*shape) / np.sqrt((wide**2).sum(axis=(1, 2, 3), keepdims=True))
    # the norm of a signature is that of the image, and its distances are at most those of the images
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), largest_norm(*shape), rtol=1e-6)
    apart = np.linalg.norm(found[:20] - found[20:], axis=1)
    exact = np.sqrt(((wide[:20] - wide[20:]) ** 2).sum(axis=(1, 2, 3)))
    assert (apart <= exact + 2 * normalised_error(*shape)).all()


def test_brightness_and_contrast_do_not_count(rng):
    image = rng.integers(0, 100, (1, 8, 8, 3), np.uint8)
    brighter = image * np.uint8(2) + np.uint8(11)
    pairs = similar_pairs(image, brighter, limit=CorrelationLimit(0.0, 64), transforms=(0,))
    assert pairs[0, 2:].tolist() == [0, 1]


def test_a_constant_image_is_as_far_as_an_unrelated_one(rng):
    plain = np.stack([np.full((8, 8, 3), 7, np.uint8), np.full((8, 8, 3), 200, np.uint8)])
    other = rng.integers(0, 256, (1, 8, 8, 3), np.uint8)
    pairs = similar_pairs(plain, np.concatenate([plain, other]), limit=CorrelationLimit(1.0, 64), transforms=(0,))
    assert pairs[:, 2].view(np.float64).tolist() == [1.0] * 6


def test_large_images_are_exact():
    # the sums need more than the 53 bits of a float64
    rng = np.random.default_rng(3)
    a = rng.choice(np.array([0, 255], np.uint8), (1, 1024, 1024, 3))
    b = a.copy()
    b[0, 0, 0, 0] ^= 255
    pairs = similar_pairs(a, b, limit=CorrelationLimit(ALL, 1 << 20), transforms=(0,))
    x, y = (image[0].reshape(-1, 3).astype(np.int64) for image in (a, b))
    pixels = 1 << 20

    def exact(u, v):
        return sum(pixels * int(u[:, c] @ v[:, c]) - int(u[:, c].sum()) * int(v[:, c].sum()) for c in range(3))

    wanted = 1 - exact(x, y) / (math.sqrt(exact(x, x)) * math.sqrt(exact(y, y)))
    assert abs(Fraction(float(pairs[0, 2:3].view(np.float64)[0])) - Fraction(wanted)) <= Fraction(1, 2**39)
