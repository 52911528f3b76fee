"""Hashes and digests of turned thumbnails are those of the thumbnail, in another order."""

import hashlib
import itertools

import numpy as np
import pytest

from fastdiff_dask.errors import UsageError
from fastdiff_dask.hashes import DIGEST_BYTES, thumbnail_digests, thumbnail_hashes


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


@pytest.mark.parametrize("shape", [(8, 8, 3), (8, 12, 3), (3, 2, 1), (2, 3, 4)])
def test_a_turned_picture_has_the_same_digests_rotated(shape, rng):
    images = rng.integers(0, 256, (5, *shape), dtype=np.uint8)
    digests = thumbnail_digests(images)
    assert (digests.shape, digests.dtype) == ((5, 4, DIGEST_BYTES), np.uint8)
    for turn in range(4):
        turned = thumbnail_digests(np.rot90(images, turn, axes=(1, 2)))
        np.testing.assert_array_equal(turned, np.roll(digests, -turn, axis=1))
    assert len({digest.tobytes() for digest in digests.reshape(20, DIGEST_BYTES)}) == 20


@pytest.mark.parametrize("shape", [(2, 2, 1), (2, 3, 1), (3, 2, 1)])
def test_digests_are_equal_just_for_equal_pixels(shape):
    images = np.array(list(itertools.product([0, 1], repeat=int(np.prod(shape)))), np.uint8).reshape(-1, *shape)
    digests = thumbnail_digests(images)
    for i, j, turn in itertools.product(range(len(images)), range(len(images)), range(4)):
        equal = np.array_equal(np.rot90(images[i], turn), images[j])
        assert (digests[i, turn] == digests[j, 0]).all() == equal


def test_pixels_that_are_equal_in_another_shape_have_other_digests():
    pixels = np.arange(24, dtype=np.uint8)
    shapes = [(2, 4, 3), (4, 2, 3), (1, 8, 3), (8, 1, 3), (2, 12, 1), (6, 4, 1)]
    # channels first, as they are digested
    each = [thumbnail_digests(pixels.reshape(c, h, w).transpose(1, 2, 0)[None])[0, 0] for h, w, c in shapes]
    assert len({digest.tobytes() for digest in each}) == len(shapes)


def test_a_digest_is_the_start_of_sha_256(rng):
    image = rng.integers(0, 256, (8, 12, 3), dtype=np.uint8)
    planes = image.transpose(2, 0, 1)
    wanted = hashlib.sha256(repr(planes.shape).encode() + planes.tobytes()).digest()[:DIGEST_BYTES]
    assert thumbnail_digests(image[None])[0, 0].tobytes() == wanted  # what stores hold already must stay equal


@pytest.mark.parametrize("change", [np.asfortranarray, lambda images: np.concatenate([images, images])[::2][:4]])
def test_digests_do_not_depend_on_the_layout_in_memory_and_change_nothing(change, rng):
    images = change(rng.integers(0, 256, (4, 8, 8, 3), dtype=np.uint8))
    images.flags.writeable = False
    digests = thumbnail_digests(images)
    for image, digest in zip(images, digests, strict=True):
        np.testing.assert_array_equal(thumbnail_digests(image.copy()[None])[0], digest)


def test_no_thumbnails_have_no_digests_and_black_ones_have_some():
    assert thumbnail_digests(np.zeros((0, 8, 8, 3), np.uint8)).shape == (0, 4, DIGEST_BYTES)
    digests = thumbnail_digests(np.zeros((2, 8, 8, 3), np.uint8))
    assert digests.any(axis=2).all()  # zeros mean that there is no thumbnail
    assert len({digest.tobytes() for digest in digests.reshape(8, DIGEST_BYTES)}) == 1
