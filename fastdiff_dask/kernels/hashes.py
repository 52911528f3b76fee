"""Hashes of a thumbnail and its turns; digests, and the images whose thumbnails are equal by these."""

import functools
import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..config import check_shift
from ..errors import FastDiffError, UsageError
from ..extras import need
from ..text import one_line
from ..user_functions import function_name, shown_name
from .transforms import Transform, turns_between_copies

__all__ = [
    "DIGEST_BYTES",
    "HASHED_BY",
    "HASH_COLUMNS",
    "HASH_KEY",
    "IMAGE_HASH_COLUMNS",
    "Copies",
    "HashSettings",
    "find_copies",
    "hash_bits",
    "pdq_bits",
    "thumbnail_digests",
    "thumbnail_hashes",
]

HASH_COLUMNS = ("hash_0", "hash_90", "hash_180", "hash_270")
# The smallest of them: equal for pictures that are equal when turned.
HASH_KEY = "hash_key"
# The function that made them, and the bits by which values were shifted before.
HASHED_BY = ("hash_function", "hash_shift")
IMAGE_HASH_COLUMNS = ("average_hash", "difference_hash", "perceptual_hash", "wavelet_hash")
DIGEST_BYTES = 16
# Pixels and frequencies along a side of a PDQ hash, and its bits.
_PDQ_SIZE, _PDQ_SIDE, _PDQ_BITS = 64, 16, 256
_AT_ONCE = 64  # thumbnails that are turned at once: calls cost little beside it, and it stays in the cache


def thumbnail_hashes(thumbnail: NDArray[np.uint8], amount: int = 0) -> tuple[str, str, str, str]:
    """Hash a thumbnail turned by 0, 90, 180 and 270 degrees, after dropping bits of every channel.

    Parameters
    ----------
    thumbnail
        (h, w, c) uint8.
    amount
        Bits by which every value is shifted, to the right if positive: 4 keeps 16 levels, so that pictures that differ
        by less may hash alike.

    Returns
    -------
    Four strings of 32 hexadecimal digits: SHA-256, cut to 16 bytes, of the shape and the shifted values.

    Raises
    ------
    UsageError
        If `amount` is not from −7 to 7.

    Examples
    --------
    >>> import numpy as np
    >>> plain = np.full((8, 8, 3), 200, np.uint8)
    >>> len(set(thumbnail_hashes(plain))), thumbnail_hashes(plain, 4) == thumbnail_hashes(plain + np.uint8(7), 4)
    (1, True)
    """
    check_shift(amount)
    return _turned_hashes(thumbnail[None], amount, _sha256)[0]


def _sha256(thumbnail: NDArray[np.uint8], /) -> str:
    digest = hashlib.sha256(repr(thumbnail.shape).encode())
    digest.update(thumbnail.data)
    return digest.hexdigest()[: 2 * DIGEST_BYTES]


def _turned_hashes(
    thumbnails: NDArray[np.uint8], amount: int, function: Callable[[Any], str]
) -> list[tuple[str, str, str, str]]:
    """Hash thumbnails (n, h, w, c), shifted and turned four times, by a function that gets read-only arrays."""
    found: list[tuple[str, str, str, str]] = []
    for start in range(0, len(thumbnails), _AT_ONCE):
        part = thumbnails[start : start + _AT_ONCE]
        part = np.right_shift(part, amount) if amount >= 0 else np.left_shift(part, -amount)
        found += zip(*([function(image) for image in turned] for turned in _turned(part)), strict=True)
    return found


def _turned(thumbnails: NDArray[np.uint8]) -> Iterator[NDArray[np.uint8]]:
    """Thumbnails (n, h, w, c) in four rotations, each contiguous and read-only."""
    # whole pixels are moved twice as fast as bytes
    pixels = np.ascontiguousarray(thumbnails).view(f"V{thumbnails.shape[-1]}")[..., 0]
    for turns in range(4):
        turned = np.ascontiguousarray(np.rot90(pixels, turns, axes=(1, 2)))[..., None].view(np.uint8)
        turned.flags.writeable = False
        yield turned


@dataclass(frozen=True)
class HashSettings:
    """The hashes to compute of a thumbnail.

    Attributes
    ----------
    amount
        Bits by which values are shifted before they are hashed, −7 to 7, to the right if positive.
    function
        (h, w, c) uint8, read-only → str or bytes. It is called for the shifted thumbnail in each of its four rotations.
        None is SHA-256, see `thumbnail_hashes`.
    image_hashes
        Hashes of the ImageHash package to compute of the thumbnail as it is: "average", "difference", "perceptual",
        "wavelet".
    turned
        Compute the hashes of the turned thumbnail; False for those of the ImageHash package alone.
    name
        Name of the function in the store, the same in every process; made from the function if it is not given.

    Raises
    ------
    UsageError
        If a value cannot be used, or the ImageHash package is needed and missing.

    Examples
    --------
    >>> hashing = HashSettings(function=lambda thumbnail: bytes([thumbnail.max()]))
    >>> columns = hashing.columns(np.arange(2 * 192, dtype=np.uint8).reshape(2, 8, 8, 3))
    >>> columns["hash_90"], columns["hash_shift"]
    (['0b', '0f'], [4, 4])
    """

    amount: int = 4
    function: Callable[[Any], str | bytes] | None = None
    image_hashes: tuple[str, ...] = ()
    turned: bool = True
    name: str = ""

    def __post_init__(self) -> None:
        check_shift(self.amount)
        if self.function is not None and not callable(self.function):
            kind = type(self.function).__name__
            raise UsageError(f"hash_function= is of type {kind}; use a function of a thumbnail that gives str or bytes")
        known = ", ".join(repr(column.removesuffix("_hash")) for column in IMAGE_HASH_COLUMNS)
        if not isinstance(self.image_hashes, tuple):
            raise UsageError(f"image_hashes={self.image_hashes!r} cannot be used; use a tuple of some of {known}")
        for name in self.image_hashes:
            if f"{name}_hash" not in IMAGE_HASH_COLUMNS:
                raise UsageError(f"image_hashes= has {name!r}; use some of {known}")
        if self.image_hashes:
            need("imagehash", "ImageHash", "hashes")
        if not self.name:
            # frozen; and found only once, because workers need not have the function's source
            object.__setattr__(self, "name", "sha256" if self.function is None else function_name(self.function))

    def missing(self, frame: Any) -> "HashSettings | None":
        """Find the hashes that some images lack, or have by other settings; None if none are missing."""
        function, shift = (frame[name] for name in HASHED_BY)
        same = function.eq(self.name) & shift.eq(self.amount) & frame[HASH_KEY].notna()
        turned = self.turned and not same.all()
        image_hashes = tuple(name for name in self.image_hashes if frame[f"{name}_hash"].isna().any())
        return replace(self, turned=turned, image_hashes=image_hashes) if turned or image_hashes else None

    def columns(self, thumbnails: NDArray[np.uint8]) -> dict[str, list[Any]]:
        """Hash thumbnails.

        Parameters
        ----------
        thumbnails
            (n, h, w, 3) uint8.

        Returns
        -------
        Column of the metadata → its n values.

        Raises
        ------
        FastDiffError
            If the function fails, or gives something else than str or bytes; the message names it.
        """
        columns: dict[str, list[Any]] = {}
        if self.turned:
            found = _turned_hashes(thumbnails, self.amount, _sha256 if self.function is None else self._call)
            for number, name in enumerate(HASH_COLUMNS):
                columns[name] = [hashes[number] for hashes in found]
            columns[HASH_KEY] = [min(hashes) for hashes in found]
            columns |= {
                name: [value] * len(found) for name, value in zip(HASHED_BY, (self.name, self.amount), strict=True)
            }
        for name in self.image_hashes:
            columns[f"{name}_hash"] = _image_hashes(name, thumbnails)
        return columns

    def _call(self, thumbnail: NDArray[np.uint8], /) -> str:
        """Call the function, and refuse a result that is neither str nor bytes."""
        assert self.function is not None
        shown = shown_name(self.name)
        try:
            found = self.function(thumbnail)
        except (Exception, SystemExit) as error:
            raise FastDiffError(
                f"hash function {shown} failed ({one_line(error, kind=True)}); its block is not stored"
            ) from None
        if isinstance(found, bytes):
            return found.hex()
        if not isinstance(found, str):
            raise FastDiffError(f"hash function {shown} gave {type(found).__name__}; it must give str or bytes")
        try:
            found.encode()
        except UnicodeEncodeError:
            raise FastDiffError(f"hash function {shown} gave text that is no Unicode; let it give bytes") from None
        return str(found)


def _image_hashes(name: str, thumbnails: NDArray[np.uint8]) -> list[str]:
    from PIL import Image

    function = _image_hash(name)
    return [str(function(Image.fromarray(thumbnail))) for thumbnail in np.ascontiguousarray(thumbnails)]


def _image_hash(kind: str) -> Callable[..., Any]:
    """Function of the ImageHash package, by either name of a kind."""
    import imagehash

    names = {"average": "average_hash", "ahash": "average_hash", "difference": "dhash", "perceptual": "phash"}
    return getattr(imagehash, names.get(kind, "whash" if kind == "wavelet" else kind))


def hash_bits(kind: str, side: int, images: NDArray[np.uint8], /) -> NDArray[np.uint64]:
    """Compute perceptual hashes of images as bits, by the ImageHash package.

    Parameters
    ----------
    kind
        One of `config.HASH_KINDS`.
    side
        Bits along a side of the hash, a multiple of 8.
    images
        (n, h, w, c) uint8 with 1, 3 or 4 channels.

    Returns
    -------
    (n, side² / 64) uint64.
    """
    from PIL import Image

    function = _image_hash(kind)
    bits = [function(Image.fromarray(image), side).hash for image in _grey(images)]
    return np.packbits(np.array(bits, bool).reshape(len(images), side * side), axis=1).view(np.uint64)


def _grey(images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Luminance of images (n, h, w, c) by Pillow: (n, h, w) uint8."""
    from PIL import Image

    count, height, width, channels = images.shape
    # all at once: grey is a value of one pixel, and Pillow takes longer for a call than for a thumbnail
    tall = np.ascontiguousarray(images).reshape(count * height, width, channels)
    grey = np.asarray(Image.fromarray(tall[..., 0] if channels == 1 else tall).convert("L"))
    return grey.reshape(count, height, width)


def pdq_bits(images: NDArray[np.uint8], /) -> NDArray[np.uint64]:
    """Compute hashes of 256 bits as PDQ does: which low frequencies of the luminance are above their median.

    PDQ is described in Meta, "The TMK+PDQF video-hashing algorithm and the PDQ image-hashing algorithm" (2019,
    github.com/facebook/ThreatExchange): the 16 × 16 frequencies 1 to 16 of the cosine transform of 64 × 64 pixels.
    Here these are thumbnails, which are scaled by other means, so that a hash differs from PDQ's in some bits.

    The transform is in whole numbers, and so the same on every machine; turns and mirror images of a picture have the
    same frequencies, in another order and with other signs.

    Parameters
    ----------
    images
        (n, h, w, c) uint8 with 1, 3 or 4 channels.

    Returns
    -------
    (n, 4) uint64.
    """
    grey = _grey(images)
    if grey.shape[1:] != (_PDQ_SIZE, _PDQ_SIZE):
        from PIL import Image

        size = _PDQ_SIZE, _PDQ_SIZE
        scaled = [np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BOX)) for image in grey]
        grey = np.array(scaled, np.uint8).reshape(-1, *size)
    waves = _pdq_waves()
    # sums below 2⁵³ in any order
    frequencies = (waves @ grey.astype(np.float64) @ waves.T).reshape(len(grey), _PDQ_BITS)
    median = np.partition(frequencies, _PDQ_BITS // 2 - 1, axis=1)[:, _PDQ_BITS // 2 - 1]
    return np.packbits(frequencies > median[:, None], axis=1).view(np.uint64)


@functools.cache
def _pdq_waves() -> NDArray[np.float64]:
    """Cosines of the frequencies 1 to 16, in whole numbers: (16, 64)."""
    half = _PDQ_SIZE // 2
    frequency, place = np.arange(1, _PDQ_SIDE + 1)[:, None], 2 * np.arange(half) + 1
    waves = np.rint(1024 * np.cos(np.pi / (2 * _PDQ_SIZE) * frequency * place))
    # the other half by symmetry; a picture of one colour has none of these frequencies
    even = np.arange(1, _PDQ_SIDE, 2)
    waves[even, 0] -= waves[even].sum(axis=1)
    signs = np.where(frequency % 2 == 1, -1, 1)
    return np.concatenate([waves, signs * waves[:, ::-1]], axis=1)


def thumbnail_digests(thumbnails: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Digest thumbnails turned by 0, 90, 180 and 270 degrees: equal digests mean equal pixels.

    That two different pictures share a digest of 128 bits has a probability of 2⁻¹²⁸. SHA-256 (FIPS 180-4), cut to
    16 bytes: most processors have instructions for it.

    Parameters
    ----------
    thumbnails
        (n, h, w, c) uint8.

    Returns
    -------
    (n, 4, 16) uint8, never all zeros.

    Examples
    --------
    >>> image = np.arange(192, dtype=np.uint8).reshape(1, 8, 8, 3)
    >>> digests, turned = thumbnail_digests(image), thumbnail_digests(np.rot90(image, axes=(1, 2)))
    >>> bool((digests[0, 1:] == turned[0, :3]).all())
    True
    """
    result = np.empty((len(thumbnails), 4, DIGEST_BYTES), np.uint8)
    for start in range(0, len(thumbnails), _AT_ONCE):
        for turns, turned in enumerate(_turned(thumbnails[start : start + _AT_ONCE])):
            shape = hashlib.sha256(repr(turned.shape[1:]).encode())
            for row, image in enumerate(turned, start):
                digest = shape.copy()
                digest.update(image.data)
                result[row, turns] = np.frombuffer(digest.digest()[:DIGEST_BYTES], np.uint8)
    return result


# -- equal thumbnails --------------------------------------------------------------------------------------------------


class Copies(NamedTuple):
    """Images to compare, and the copies of them.

    Attributes
    ----------
    representatives
        (r,) int64, ascending: rows that are the first of their kind.
    copies
        (m,) int64, ascending: the other rows that have a thumbnail.
    originals
        (m,) int64: for each copy the row of its representative.
    turns
        (m,) int64: the quarter turns, counter-clockwise, that make the copy of the original.
    symmetries
        (r,) uint8: bit t is set where t quarter turns map the representative to itself.
    """

    representatives: NDArray[np.int64]
    copies: NDArray[np.int64]
    originals: NDArray[np.int64]
    turns: NDArray[np.int64]
    symmetries: NDArray[np.uint8]


def find_copies(digests: NDArray[np.uint8], turns: tuple[int, ...], kinds: NDArray[np.int64] | None = None) -> Copies:
    """Find thumbnails that are equal after some turn, by the smallest of the digests of all turns.

    Memory: about 100 bytes an image.

    Parameters
    ----------
    digests
        (n, 4, 16) uint8: see `hashes.thumbnail_digests`; zeros for images without a thumbnail.
    turns
        The turns after which thumbnails count as equal.
    kinds
        (n, k): only images with equal rows are copies of each other.

    Returns
    -------
    The images to compare, and their copies.
    """
    words = np.ascontiguousarray(digests).view(np.uint64)  # (n, 4, 2)
    high, low = words[:, 0, 0].copy(), words[:, 0, 1].copy()
    best = np.zeros(len(words), np.int64)
    for turn in turns[1:]:
        smaller = (words[:, turn, 0] < high) | ((words[:, turn, 0] == high) & (words[:, turn, 1] < low))
        high[smaller], low[smaller], best[smaller] = words[smaller, turn, 0], words[smaller, turn, 1], turn
    rows = np.flatnonzero(words.any(axis=(1, 2)))
    kinds = np.zeros((len(words), 0), np.int64) if kinds is None else kinds
    columns = [high[rows], low[rows], *kinds[rows].T]
    order = np.lexsort((rows, *columns[::-1]))
    rows, first = rows[order], np.ones(len(rows), bool)
    first[1:] = np.any([np.diff(column[order]) != 0 for column in columns], axis=0)
    original = rows[first][np.cumsum(first) - 1]
    copies, originals = rows[~first], original[~first]
    order = np.argsort(copies)
    copies, originals = copies[order], originals[order]
    representatives = np.sort(rows[first])
    symmetries = np.zeros(len(representatives), np.uint8)
    for turn in turns:
        same = (words[representatives, turn] == words[representatives, 0]).all(axis=1)
        symmetries |= same * np.uint8(Transform(turn).bit)
    # turning image x by best[x] gives the picture that all copies share
    return Copies(representatives, copies, originals, turns_between_copies(best[originals], best[copies]), symmetries)
