"""A transform, masks of several and arrays of masks say the same, and what NumPy makes of a picture."""

import numpy as np
import pytest

from fastdiff_dask.kernels.transforms import (
    Transform,
    apply_transform,
    available_transforms,
    inverse_masks,
    lower_image_first,
    lowest_transforms,
    masks_between_copies,
    turns_between_copies,
)

MASKS = np.arange(256)


@pytest.fixture
def image(rng):
    return rng.integers(0, 256, (1, 5, 5, 3), dtype=np.uint8)


@pytest.mark.parametrize("transform", Transform)
def test_a_transform_is_named_by_its_degrees(transform, image):
    by_hand = np.rot90(image[0, :, ::-1] if transform.mirrored else image[0], transform.degrees // 90)
    np.testing.assert_array_equal(apply_transform(image, transform)[0], by_hand)
    channels_first = apply_transform(np.moveaxis(image, 3, 1), transform, rows_axis=2)
    np.testing.assert_array_equal(np.moveaxis(channels_first, 1, 3)[0], by_hand)
    assert Transform.of(transform.degrees, transform.mirrored) is Transform.lowest(transform.bit) is transform
    assert apply_transform(image[:, :4], transform).shape[1:3] == ((5, 4) if transform.swaps_sides else (4, 5))


@pytest.mark.parametrize("first", Transform)
def test_composition_and_inverse_are_those_of_pictures(first, image):
    turned = apply_transform(image, first)
    np.testing.assert_array_equal(apply_transform(turned, first.inverse), image)
    for second in Transform:
        np.testing.assert_array_equal(apply_transform(image, first.then(second)), apply_transform(turned, second))


def test_the_lowest_angle_wins_a_tie():
    assert Transform.lowest(0b11111100) is Transform.TURN_180
    assert Transform.lowest(0b11110000) is Transform.MIRROR


def test_masks_are_sets_of_transforms():
    degrees, mirrored = lowest_transforms(MASKS)
    copies = [masks_between_copies(MASKS, i, j) for i, j in np.ndindex(4, 4)]
    assert (degrees[0], mirrored[0]) == (0, False)
    for mask in range(1, 256):
        members = [t for t in Transform if t.bit & mask]
        assert (degrees[mask], mirrored[mask]) == (members[0].degrees, members[0].mirrored)
        assert inverse_masks(mask) == inverse_masks(MASKS)[mask] == sum(t.inverse.bit for t in members)
        for (i, j), masks in zip(np.ndindex(4, 4), copies, strict=True):
            assert masks[mask] == sum(Transform(i).inverse.then(t).then(Transform(j)).bit for t in members)


def test_the_image_with_the_lower_number_comes_first():
    masks = np.array([0b0010, 0b0010, 0b0001], np.uint8)
    a, b, masks = lower_image_first(np.array([1, 7, 4]), np.array([2, 3, 4]), masks)
    assert (a.tolist(), b.tolist(), masks.tolist()) == ([1, 3, 4], [2, 7, 4], [0b0010, 0b1000, 0b0001])
    assert masks.dtype == np.uint8


@pytest.mark.parametrize(("i", "j"), list(np.ndindex(4, 4)))
def test_copies_are_turned_by_the_turns_between_them(i, j, image):
    x, y = (apply_transform(image, -turns % 4) for turns in (i, j))  # i and j turns make one picture of them
    np.testing.assert_array_equal(apply_transform(x, int(turns_between_copies(np.array(i), np.array(j)))), y)


@pytest.mark.parametrize(
    ("height", "width", "rotations", "mirror", "transforms"),
    [
        (8, 8, True, False, (0, 1, 2, 3)),
        (8, 8, True, True, (0, 1, 2, 3, 4, 5, 6, 7)),
        (8, 9, True, False, (0, 2)),
        (8, 9, True, True, (0, 2, 4, 6)),
        (8, 8, False, True, (0, 4)),
        (8, 8, False, False, (0,)),
    ],
)
def test_available_transforms(height, width, rotations, mirror, transforms):
    assert available_transforms(height, width, rotations=rotations, mirror=mirror) == transforms
