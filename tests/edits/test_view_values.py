"""Values of views: whole numbers that are the same in any batch, thread and turn."""

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from fastdiff_dask.edits.view_values import FIRST_VALUES, NORM, VALUES, ViewValues, view_values
from fastdiff_dask.kernels.transforms import Transform, apply_transform


def pictures(rng, number=40):
    """Noise, steps of few levels, faint and strong patterns."""
    some = rng.integers(0, 256, (number, 16, 16))
    some[1::4] = rng.integers(0, 2, some[1::4].shape) * 255
    some[2::4] = np.repeat(np.repeat(rng.integers(0, 256, (len(some[2::4]), 4, 4)), 4, axis=1), 4, axis=2)
    some[3::4] = 128 + rng.integers(0, 12, some[3::4].shape)
    return some.astype(np.uint8)


def reference(image):
    """Lowest frequencies of a discrete cosine transform with whole cosines, in Python's integers."""
    cosines = [[round(1024 * np.cos(np.pi / 16 * k * (x + 0.5))) for x in range(16)] for k in range(8)]
    frequencies = sorted(((u, v) for u in range(8) for v in range(8)), key=lambda uv: uv[0] ** 2 + uv[1] ** 2)
    pixels = image.tolist()
    kept = []
    for u, v in frequencies[1 : VALUES + 1]:
        total = sum(cosines[u][y] * cosines[v][x] * pixels[y][x] for y in range(16) for x in range(16))
        kept.append(round(total / 2**14))  # half to even, so that −x has the value −round(x)
    return kept


def scaled(kept):
    norm = np.sqrt(sum(value * value for value in kept))
    return [round(value * NORM / norm) for value in kept]


def same(a: ViewValues, b: ViewValues) -> None:
    for one, other in zip(a, b, strict=True):
        np.testing.assert_array_equal(one, other)


def test_values_are_those_of_a_plain_cosine_transform(rng):
    some = pictures(rng, 12)
    values = view_values(some)
    assert values.first.dtype == values.every.dtype == np.float32
    for number, image in enumerate(some):
        kept = reference(image)
        assert values.first[number].tolist() == scaled(kept[:FIRST_VALUES])
        assert values.every[number].tolist() == scaled(kept)


def test_values_do_not_depend_on_threads_and_batches(rng):
    some = pictures(rng, 300)
    with threadpool_limits(1):
        alone = view_values(some)
    with threadpool_limits(2):
        same(view_values(some), alone)
    same(ViewValues.joined([view_values(some[start : start + 7]) for start in range(0, 300, 7)]), alone)
    same(view_values(np.asfortranarray(some)), alone)
    same(alone.at(np.array([5, 2, 2])), view_values(some[[5, 2, 2]]))


@pytest.mark.parametrize("transform", Transform)
def test_values_of_a_turned_picture_are_turned_values(rng, transform):
    some = pictures(rng, 3000)
    turned = np.ascontiguousarray(apply_transform(some[..., None], transform)[..., 0])
    same(view_values(some).transformed(transform), view_values(turned))


def test_halves_are_rounded_alike_on_either_side_of_zero():
    """A picture whose values are halves before they are rounded, and its mirror image."""
    image = np.zeros((16, 16), np.uint8)
    image[:, :8] = 100
    for y in range(16):
        for level in range(100, 256):
            image[y, 0] = level
            same(view_values(image[None]).transformed(Transform.MIRROR), view_values(image[None, :, ::-1]))


def test_brightness_and_contrast_change_little(rng):
    some = rng.integers(0, 100, (20, 16, 16), dtype=np.uint8)
    values, brighter = view_values(some), view_values((2 * some + 31).astype(np.uint8))
    products = np.einsum("ij,ij->i", values.every, brighter.every)
    assert (products > 0.999 * NORM**2).all()


@pytest.mark.parametrize("level", [0, 7, 255])
def test_pictures_without_contrast_have_no_values(level):
    faint = np.full((3, 16, 16), level, np.uint8)
    faint[1, 3, 5] = min(level + 1, 254)
    values = view_values(faint)
    assert not values.first.any()
    assert not values.every.any()
    assert np.isfinite(values.every).all()


def test_norms_are_within_what_rounding_changes(rng):
    """Boxes around values prove what they skip by this bound, see `candidates`."""
    values = view_values(pictures(rng, 2000))
    for some in (values.first, values.every):
        norms = np.linalg.norm(some.astype(np.float64), axis=1)
        norms = norms[norms > 0]
        assert len(norms) > 1000
        assert (np.abs(norms - NORM) <= np.sqrt(some.shape[1]) / 2).all()
        assert norms.max() ** 2 < 2**23
