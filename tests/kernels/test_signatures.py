"""Signatures: the same for all turns, and their distances never above those of the images."""

from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastdiff_dask.kernels.signatures import (
    _SINGLE,
    _layout,
    as_mirrored,
    leading_values,
    segment_energies,
    signature_error,
    signature_length,
    signatures,
)
from fastdiff_dask.kernels.squared_errors import transformed_squared_errors
from fastdiff_dask.kernels.transforms import apply_transform, available_transforms

SIZES = [(8, 8), (9, 9), (16, 16), (17, 17), (24, 24), (8, 12), (13, 8), (20, 16), (16, 40)]
KINDS = ["noise", "black and white", "flat", "checkerboard", "almost white", "one pixel", "ramp"]


def make_images(rng, kind, count, shape):
    """Images (count, h, w, c) uint8 of a kind."""
    height, width, _ = shape
    if kind == "black and white":
        return rng.integers(0, 2, (count, *shape), dtype=np.uint8) * np.uint8(255)
    if kind == "flat":
        levels = rng.integers(0, 256, (count, 1, 1, shape[2]), dtype=np.uint8)
        return np.broadcast_to(levels, (count, *shape)).copy()
    if kind == "checkerboard":
        squares = np.indices((height, width)).sum(axis=0)[None, :, :, None] + rng.integers(0, 2, (count, 1, 1, 1))
        return np.broadcast_to(squares % 2 * 255, (count, *shape)).astype(np.uint8)
    if kind == "almost white":
        return rng.integers(254, 256, (count, *shape), dtype=np.uint8)
    if kind == "one pixel":
        images = np.full((count, *shape), rng.choice([0, 255]), np.uint8)
        images[np.arange(count), rng.integers(0, height, count), rng.integers(0, width, count), 0] ^= 1
        return images
    if kind == "ramp":
        y, x = np.mgrid[:height, :width]
        slopes = rng.uniform(-8, 8, (2, count, 1, 1, shape[2]))
        return np.clip(128 + slopes[0] * y[..., None] + slopes[1] * x[..., None], 0, 255).astype(np.uint8)
    return rng.integers(0, 256, (count, *shape), dtype=np.uint8)


def distances(x, y):
    return np.sqrt(np.square(x[:, None].astype(np.float64) - y[None]).sum(axis=2))


@given(
    seed=st.integers(0, 2**32 - 1),
    size=st.sampled_from(SIZES),
    channels=st.integers(1, 4),
    kinds=st.tuples(st.sampled_from(KINDS), st.sampled_from(KINDS)),
    mirror=st.booleans(),
    count=st.sampled_from([1, 2, 8, 16, 48, 143, 500]),
)
@settings(max_examples=120, deadline=None)
def test_distances_are_lower_bounds_over_all_transforms(seed, size, channels, kinds, mirror, count):
    rng = np.random.default_rng(seed)
    x, y = (make_images(rng, kind, 4, (*size, channels)) for kind in kinds)
    transforms = available_transforms(*size, mirror=mirror)
    errors, _ = transformed_squared_errors(x, y, transforms)
    first, second = signatures(x), signatures(y)
    if mirror:
        first, second = as_mirrored(first, *size, channels), as_mirrored(second, *size, channels)
    largest = np.sqrt(errors) + 2 * signature_error(*size, channels)
    assert (distances(first, second) <= largest).all()
    assert (distances(leading_values(first, count), leading_values(second, count)) <= largest).all()


@given(
    seed=st.integers(0, 2**32 - 1),
    size=st.sampled_from([*SIZES, (64, 64), (48, 64)]),
    channels=st.integers(1, 4),
    kind=st.sampled_from(KINDS),
)
@settings(max_examples=80, deadline=None)
def test_turns_change_nothing_and_mirror_images_only_signs(seed, size, channels, kind):
    images = make_images(np.random.default_rng(seed), kind, 3, (*size, channels))
    values, error = signatures(images), 2 * signature_error(*size, channels)
    for transform in available_transforms(*size, mirror=True):
        turned = signatures(apply_transform(images, transform))
        assert (np.diag(distances(np.abs(values), np.abs(turned))) <= error).all()
        mirrored = as_mirrored(turned, *size, channels)
        assert (np.diag(distances(as_mirrored(values, *size, channels), mirrored)) <= error).all()
        if transform < 4:
            assert (np.diag(distances(values, turned)) <= error).all()


def test_mirror_images_differ_unless_they_are_to_count(rng):
    images = make_images(rng, "noise", 5, (16, 16, 3))
    values, mirrored = signatures(images), signatures(images[:, :, ::-1])
    assert (np.diag(distances(values, mirrored)) > 10).all()
    assert not np.array_equal(as_mirrored(values, 16, 16, 3), np.abs(values))


def exact_signatures(images):
    """Signatures by the definition, with the cosines, the sums and the norm of the rest in long double."""
    count, height, width, channels = images.shape
    layout = _layout(height, width, channels)
    pi = np.longdouble("3.14159265358979323846264338327950288")

    def cosines(length):
        angles = pi / length * np.outer(np.arange(length), np.arange(length) + np.longdouble(0.5))
        return np.cos(angles) * np.sqrt(np.where(np.arange(length) == 0, 1, 2) / np.longdouble(length))[:, None]

    pixels = images.astype(np.longdouble) - 128
    full = np.einsum("uy,nyxc->nuxc", cosines(height), pixels)
    full = np.einsum("vx,nuxc->nuvc", cosines(width), full)
    full = np.einsum("kc,nuvc->nukv", cosines(channels), full)
    low = full[:, : layout.rows.shape[0], :, : min(width, 16)].reshape(count, -1)
    first, second = low[:, layout.first], low[:, layout.second]
    kinds = np.repeat(np.arange(4), layout.counts)
    values = np.select(
        [kinds == _SINGLE, kinds == 1, kinds == 2],
        [first, (first + second) / np.sqrt(np.longdouble(2)), (first - second) / np.sqrt(np.longdouble(2))],
        np.sqrt(first**2 + second**2),
    )
    values = np.where(layout.absolute, np.abs(values), values)
    rest = np.sqrt(np.maximum((pixels**2).sum(axis=(1, 2, 3)) - (values**2).sum(axis=1), 0))
    return np.concatenate([values[:, layout.order], rest[:, None]], axis=1)


@pytest.mark.parametrize("shape", [(8, 8, 1), (16, 16, 3), (8, 12, 4), (33, 33, 2), (64, 64, 3), (40, 64, 3)])
@pytest.mark.parametrize("kind", KINDS)
def test_rounding_stays_within_the_stated_error(kind, shape, rng):
    images = make_images(rng, kind, 3, shape)
    difference = signatures(images).astype(np.longdouble) - exact_signatures(images)
    assert (np.sqrt((difference**2).sum(axis=1)) <= signature_error(*shape)).all()


@pytest.mark.parametrize("size", [(8, 8), (64, 64), (256, 256), (8, 256)])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_the_norm_is_that_of_the_image(size, channels, rng):
    images = np.concatenate([make_images(rng, kind, 2, (*size, channels)) for kind in KINDS])
    values = signatures(images)
    assert values.dtype == np.float32
    assert values.shape == (len(images), signature_length(*size, channels))
    norms = np.sqrt(np.square(images.astype(np.int64) - 128).sum(axis=(1, 2, 3)))
    own = np.sqrt(np.square(values.astype(np.float64)).sum(axis=1))
    assert (np.abs(own - norms) <= signature_error(*size, channels)).all()


def test_the_error_is_small_against_what_counts_as_similar():
    # beyond √(200 · 64 · 64) ≈ 905, 2 · 0.1 is nothing
    assert signature_error(64, 64, 3) < 0.1
    assert signature_error(256, 256, 4) < 3


def test_the_bound_is_tight_for_low_frequencies(rng):
    flat = np.full((1, 64, 64, 3), 100, np.uint8)
    y, x = np.mgrid[:64, :64]
    for pattern in (np.ones((64, 64)), np.cos(np.pi * (x + 0.5) / 64) + np.cos(np.pi * (y + 0.5) / 64)):
        other = flat + np.rint(20 * pattern).astype(np.int8)[None, :, :, None].view(np.uint8)
        errors, _ = transformed_squared_errors(flat, other, (0,))
        assert distances(signatures(flat), signatures(other)) > 0.99 * np.sqrt(errors)


@given(
    seed=st.integers(0, 2**32 - 1),
    length=st.integers(1, 40),
    count=st.integers(1, 45),
    scale=st.sampled_from([1e-30, 1e-3, 1.0, 6e4]),
)
@settings(max_examples=150, deadline=None)
def test_leading_values_only_come_nearer(seed, length, count, scale):
    rng = np.random.default_rng(seed)
    x = (scale * rng.standard_normal((6, length))).astype(np.float32)
    y = x + (scale * rng.choice([1e-6, 1e-2, 1], (6, 1)) * rng.standard_normal((6, length))).astype(np.float32)
    first, second = leading_values(x, count), leading_values(y, count)
    assert first.shape == (6, min(count, length))
    assert first.dtype == np.float32
    tails = [np.linalg.norm(side[:, count - 1 :].astype(np.float64), axis=1) for side in (x, y)]
    rounding = 2.0**-23 * np.add(*tails)
    before, after = np.diag(distances(x, y)), np.diag(distances(first, second))
    assert (after <= before * (1 + 1e-12) + rounding + 1e-44).all()
    kept = min(count, length) - 1
    assert np.array_equal(first[:, :kept], x[:, :kept])
    if count >= length:
        assert np.array_equal(first, x)


@pytest.mark.parametrize("ends", [(), (1,), (3, 7), (0, 2, 2, 9)])
def test_energies_are_those_of_their_segments(ends, rng):
    values = np.ldexp(rng.standard_normal((600, 9)), rng.integers(-3, 4, (600, 9))).astype(np.float32)
    energies = segment_energies(values, ends)
    bounds = (0, *ends, 9)
    assert energies.shape == (600, len(ends) + 1)
    for row in (0, 255, 256, 511, 512, 599):
        for segment, (low, high) in enumerate(pairwise(bounds)):
            exact = float(sum(Fraction(float(value)) ** 2 for value in values[row, low:high]))
            assert energies[row, segment] == pytest.approx(exact, rel=1e-14)


def test_no_image_depends_on_the_others(rng):
    images = make_images(rng, "noise", 70, (16, 16, 3))
    images.flags.writeable = False
    together = signatures(images)
    alone = np.concatenate([signatures(images[row : row + 1]) for row in range(70)])
    assert (np.diag(distances(together, alone)) <= 2 * signature_error(16, 16, 3)).all()
    assert signatures(images[:0]).shape == (0, together.shape[1])
