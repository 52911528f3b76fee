"""Hashes and digests of turned thumbnails are those of the thumbnail, in another order; any hash function will do."""

import hashlib
import itertools
import re
import sys
import warnings

import cloudpickle
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from fastdiff_dask.errors import FastDiffError, UsageError
from fastdiff_dask.kernels.hashes import DIGEST_BYTES, HashSettings, pdq_bits, thumbnail_digests, thumbnail_hashes
from fastdiff_dask.kernels.transforms import apply_transform
from fastdiff_dask.testing import simulate_photo


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
    with pytest.raises(UsageError, match="amount="):
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
    wanted = hashlib.sha256(repr(image.shape).encode() + image.tobytes()).digest()[:DIGEST_BYTES]
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


TURNED = ["hash_0", "hash_90", "hash_180", "hash_270"]


@pytest.mark.parametrize("shape", [(8, 8, 3), (8, 12, 3), (3, 2, 1), (2, 3, 4)])
@pytest.mark.parametrize("amount", [-3, 0, 4])
def test_hashes_are_sha256_of_the_shape_and_the_shifted_turned_values(shape, amount, rng):
    images = rng.integers(0, 256, (70, *shape), dtype=np.uint8)  # more than are turned at once
    columns = HashSettings(amount).columns(images)
    shifted = images >> amount if amount > 0 else images << -amount
    for row, image in enumerate(shifted):
        turned = [np.rot90(image, turns) for turns in range(4)]
        wanted = [
            hashlib.sha256(repr(each.shape).encode() + each.tobytes()).hexdigest()[: 2 * DIGEST_BYTES]
            for each in turned
        ]
        assert [columns[name][row] for name in TURNED] == wanted == list(thumbnail_hashes(images[row], amount))
        assert columns["hash_key"][row] == min(wanted)
    assert columns["hash_function"] == ["sha256"] * 70
    assert columns["hash_shift"] == [amount] * 70


@pytest.mark.parametrize("amount", [*range(-7, 8)])
def test_each_shift_makes_its_own_hashes(amount, rng):
    images = rng.integers(0, 256, (1, 8, 8, 3), dtype=np.uint8)
    others = {HashSettings(other).columns(images)["hash_key"][0] for other in range(-7, 8) if other != amount}
    assert HashSettings(amount).columns(images)["hash_key"][0] not in others


def test_a_function_gets_each_shifted_turned_thumbnail_and_cannot_write_to_it(rng):
    images = rng.integers(0, 256, (3, 8, 12, 3), dtype=np.uint8)
    seen = []

    def function(thumbnail):
        assert not thumbnail.flags.writeable
        assert thumbnail.dtype == np.uint8
        seen.append(thumbnail.copy())
        return f"{len(seen):03d}"

    columns = HashSettings(2, function).columns(images)
    for number, name in enumerate(TURNED):
        for row, image in enumerate(images):
            np.testing.assert_array_equal(seen[int(columns[name][row]) - 1], np.rot90(image >> 2, number))
    assert columns["hash_key"] == ["001", "002", "003"]
    assert "function-" in columns["hash_function"][0]
    assert len(seen) == 12


@pytest.mark.parametrize(
    ("found", "kept"),
    [(b"\x00\xff", "00ff"), ("\x00ü", "\x00ü"), ("", ""), (np.str_("a"), "a"), (np.bytes_(b"a"), "61")],
)
def test_bytes_are_kept_as_hexadecimal_digits_and_text_as_it_is(found, kept):
    columns = HashSettings(function=lambda thumbnail: found).columns(np.zeros((2, 8, 8, 3), np.uint8))
    assert columns["hash_180"] == columns["hash_key"] == [kept, kept]
    assert type(columns["hash_key"][0]) is str


@pytest.mark.parametrize(
    ("found", "line"),
    [
        (7, "gave int; it must give str or bytes"),
        (None, "gave NoneType; it must"),
        (bytearray(2), "gave bytearray"),
        ("\udc80", "gave text that is no Unicode; let it give bytes"),
        (ZeroDivisionError("by\nzero"), r"failed (ZeroDivisionError: by zero); its block is not stored"),
    ],
)
def test_a_function_that_fails_or_gives_no_hash_is_named(found, line):
    def bad_hash(thumbnail):
        if isinstance(found, Exception):
            raise found
        return found

    with pytest.raises(FastDiffError, match=r"hash function \S*bad_hash " + re.escape(line)) as caught:
        HashSettings(function=bad_hash).columns(np.zeros((1, 8, 8, 3), np.uint8))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("shape", [(64, 64, 3), (8, 8, 3), (48, 100, 3)])
def test_image_hashes_are_those_of_the_imagehash_package(shape, rng):
    import imagehash

    photos = [simulate_photo(rng, shape[1], shape[0]) for _ in range(5)]
    images = np.stack([*photos, np.zeros(shape, np.uint8), np.full(shape, 255, np.uint8)])
    pictures = [Image.fromarray(image) for image in images]
    images.flags.writeable = False
    columns = HashSettings(image_hashes=("average", "difference", "perceptual", "wavelet"), turned=False).columns(
        images
    )
    assert columns == {
        "average_hash": [str(imagehash.average_hash(picture)) for picture in pictures],
        "difference_hash": [str(imagehash.dhash(picture)) for picture in pictures],
        "perceptual_hash": [str(imagehash.phash(picture)) for picture in pictures],
        "wavelet_hash": [str(imagehash.whash(picture)) for picture in pictures],
    }
    assert all(re.fullmatch("[0-9a-f]{16}", value) for values in columns.values() for value in values)
    assert len({tuple(values) for values in columns.values()}) == 4


def test_no_thumbnails_have_no_hashes():
    columns = HashSettings(image_hashes=("average",)).columns(np.zeros((0, 8, 8, 3), np.uint8))
    assert set(columns) == {*TURNED, "hash_key", "hash_function", "hash_shift", "average_hash"}
    assert not any(columns.values())


@pytest.mark.parametrize(
    ("options", "line"),
    [
        ({"amount": 8}, "amount=8 cannot be used"),
        ({"function": "md5"}, "hash_function= is of type str"),
        ({"image_hashes": ("average", "colour")}, "image_hashes= has 'colour'; use some of 'average', 'difference'"),
        ({"image_hashes": "average"}, "use a tuple"),
        ({"image_hashes": ("",)}, "image_hashes= has ''"),
    ],
)
def test_settings_that_cannot_be_used_are_refused(options, line):
    with pytest.raises(UsageError, match=line):
        HashSettings(**options)


def test_a_missing_package_is_named_with_what_installs_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "imagehash", None)
    assert HashSettings().name == "sha256"
    with pytest.raises(UsageError, match=r"ImageHash is not installed.*pip install 'fastdiff_dask\[hashes\]'"):
        HashSettings(image_hashes=("average",))


def test_settings_travel_with_their_name(rng):
    salt = b"salt"
    settings = HashSettings(3, lambda thumbnail: salt + thumbnail.tobytes()[:2], ("perceptual",))
    images = rng.integers(0, 256, (2, 8, 8, 3), dtype=np.uint8)
    there = cloudpickle.loads(cloudpickle.dumps(settings))
    assert there.name == settings.name != HashSettings(function=lambda thumbnail: "").name
    assert there.columns(images) == settings.columns(images)


def test_what_is_missing():
    there = pd.DataFrame(
        {"hash_function": "sha256", "hash_shift": 4, "hash_key": ["a", "b"], "average_hash": ["a", None]}
        | {f"{name}_hash": [None, None] for name in ("difference", "perceptual", "wavelet")}
    )
    assert HashSettings().missing(there) is None
    assert HashSettings().missing(there[:0]) is None
    for wanted in (HashSettings(3), HashSettings(function=lambda thumbnail: "")):
        assert wanted.missing(there) == wanted
    assert HashSettings().missing(there.assign(hash_key=["a", None])) == HashSettings()
    average = HashSettings(image_hashes=("average",))
    assert average.missing(there) == HashSettings(image_hashes=("average",), turned=False)
    assert average.missing(there[:1]) is None
    assert HashSettings(3, image_hashes=("average",), turned=False).missing(there[:1]) is None


def test_thumbnails_are_hashed_without_warnings_in_any_layout(rng):
    images = np.asfortranarray(rng.integers(0, 256, (4, 8, 12, 3), dtype=np.uint8))
    images.flags.writeable = False
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        every_other = HashSettings(image_hashes=("wavelet",)).columns(images[::2])
    assert every_other == HashSettings(image_hashes=("wavelet",)).columns(images[::2].copy())


def test_a_hash_function_that_wants_to_end_the_process_is_an_error(rng):
    def leave(thumbnail):
        raise SystemExit(3)

    with pytest.raises(FastDiffError, match="leave failed"):
        HashSettings(function=leave).columns(rng.integers(0, 256, (2, 8, 8, 3), dtype=np.uint8))


# -- PDQ -------------------------------------------------------------------------------------------------------------


def bits_of(hashes):
    return np.unpackbits(hashes.view(np.uint8), axis=1).reshape(-1, 16, 16)


def photos_as_thumbnails(images, size=64, seed=0):
    return np.stack(
        [np.asarray(simulate_photo(np.random.default_rng(seed + number), size, size)) for number in range(images)]
    )


def frequencies_of(images):
    """Frequencies 1 to 16 by SciPy, which has the constant one first: (n, 16, 16)."""
    scipy_fft = pytest.importorskip("scipy.fft")
    grey = np.stack([np.asarray(Image.fromarray(image).convert("L"), float) for image in images])
    return scipy_fft.dctn(grey, axes=(1, 2), norm="ortho")[:, 1:17, 1:17]


def test_pdq_bits_are_the_frequencies_above_their_median():
    images = photos_as_thumbnails(12)
    values = frequencies_of(images)
    median = np.median(values, axis=(1, 2), keepdims=True)
    clear = np.abs(values - median) > 1  # of frequencies up to some thousand: the waves are whole numbers
    assert clear.mean() > 0.7
    assert (bits_of(pdq_bits(images)) == (values > median))[clear].all()


def test_half_of_the_pdq_bits_are_set():
    assert (np.bitwise_count(pdq_bits(photos_as_thumbnails(12))).sum(axis=1) == 128).all()


@pytest.mark.parametrize("transform", range(8))
def test_pdq_of_a_turned_picture_has_the_same_frequencies_with_other_signs(transform):
    images = photos_as_thumbnails(6)
    numbers = np.arange(1, 17)
    sign = np.where(numbers % 2, -1.0, 1.0)  # odd waves are their own negatives when they are mirrored
    values = frequencies_of(images)
    if transform >= 4:
        values = values * sign[None, None, :]
    for _ in range(transform % 4):
        values = values.transpose(0, 2, 1) * sign[None, :, None]
    median = np.median(values, axis=(1, 2), keepdims=True)
    clear = np.abs(values - median) > 1
    found = bits_of(pdq_bits(np.ascontiguousarray(apply_transform(images, transform))))
    assert (found == (values > median))[clear].all()


@pytest.mark.parametrize("shape", [(64, 64), (40, 30), (100, 80), (9, 9)])
def test_pictures_of_one_colour_have_the_same_pdq_hash_in_every_size(shape):
    images = np.stack([np.full((*shape, 3), colour, np.uint8) for colour in (0, 1, 37, 255)])
    assert not pdq_bits(images).any()


def test_pdq_hardly_changes_with_brightness_and_size_and_tells_pictures_apart():
    images = photos_as_thumbnails(30, 128)

    def scaled(size):
        return np.stack([np.asarray(Image.fromarray(image).resize((size, size))) for image in images])

    first = pdq_bits(scaled(64))
    for other in (pdq_bits(scaled(64) // 4 * 3), pdq_bits(scaled(96)), pdq_bits(np.minimum(scaled(64), 250))):
        assert np.bitwise_count(first ^ other).sum(axis=1).max() <= 31
    apart = np.bitwise_count(first[:, None] ^ first[None]).sum(axis=2)[np.triu_indices(30, 1)]
    assert apart.min() > 31


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_pdq_does_not_depend_on_the_other_images(channels, rng):
    images = rng.integers(0, 256, (5, 64, 64, channels), dtype=np.uint8)
    found = pdq_bits(images)
    assert (found.shape, found.dtype) == ((5, 4), np.uint64)
    assert np.concatenate([pdq_bits(image[None]) for image in images]).tolist() == found.tolist()
    assert pdq_bits(images[:0]).shape == (0, 4)
