"""Hashes of turned thumbnails are the hashes of the thumbnail, in another order."""

import numpy as np
import pytest

from fastdiff_dask.errors import UsageError
from fastdiff_dask.hashes import thumbnail_hashes


@pytest.mark.parametrize("shape", [(8, 8, 3), (8, 12, 3)])
def test_a_turned_picture_has_the_same_hashes_rotated(shape, rng):
    image = rng.integers(0, 256, shape, dtype=np.uint8)
    hashes = thumbnail_hashes(image, 4)
    assert len(set(hashes)) == 4
    assert thumbnail_hashes(np.rot90(image), 4) == (*hashes[1:], hashes[0])


@pytest.mark.parametrize(("amount", "other", "same"), [(0, 1, False), (1, 1, True), (4, 15, True), (4, 16, False)])
def test_shifting_right_drops_small_differences(amount, other, same):
    image = np.full((8, 8, 3), 128, np.uint8)
    assert (thumbnail_hashes(image, amount) == thumbnail_hashes(image + np.uint8(other), amount)) == same


def test_shifting_left_drops_the_high_bits():
    image = np.full((8, 8, 3), 1, np.uint8)
    assert thumbnail_hashes(image, -7) == thumbnail_hashes(image + np.uint8(64), -7)
    assert thumbnail_hashes(image, -1) != thumbnail_hashes(image + np.uint8(64), -1)


@pytest.mark.parametrize("amount", [8, -8, 1.5, True])
def test_a_shift_that_leaves_nothing_is_refused(amount):
    with pytest.raises(UsageError, match="hash shift"):
        thumbnail_hashes(np.zeros((8, 8, 3), np.uint8), amount)
