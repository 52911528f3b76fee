"""Thumbnail → hashes."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .errors import UsageError

__all__ = [
    "DIGEST_BYTES",
    "HASH_COLUMNS",
    "HASH_KEY",
    "IMAGE_HASH_COLUMNS",
    "HashSettings",
    "check_shift",
    "thumbnail_digests",
    "thumbnail_hashes",
]

HASH_COLUMNS = ("hash_0", "hash_90", "hash_180", "hash_270")
# The smallest of them: equal for pictures that are equal when turned.
HASH_KEY = "hash_key"
IMAGE_HASH_COLUMNS = ("average_hash", "difference_hash", "perceptual_hash", "wavelet_hash")
DIGEST_BYTES = 16


def check_shift(amount: int) -> None:
    """Refuse a shift that leaves nothing of a byte."""
    if isinstance(amount, bool) or not isinstance(amount, int) or not -7 <= amount <= 7:
        raise UsageError(f"hash shift is {amount!r}; it must be a whole number of bits from -7 to 7")


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
    Four strings of 32 hexadecimal digits: BLAKE2b with 16 bytes over the shape and the shifted values.

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
    shifted = np.right_shift(thumbnail, amount) if amount >= 0 else np.left_shift(thumbnail, -amount)
    digests = []
    for turns in range(4):
        turned = np.ascontiguousarray(np.rot90(shifted, turns))
        digest = hashlib.blake2b(repr(turned.shape).encode(), digest_size=DIGEST_BYTES)
        digest.update(turned.data)
        digests.append(digest.hexdigest())
    return digests[0], digests[1], digests[2], digests[3]


@dataclass(frozen=True)
class HashSettings:
    """Which hashes of a thumbnail are wanted.

    Attributes
    ----------
    amount
        Bits by which values are shifted before they are hashed, −7 to 7, to the right if positive.
    function
        (h, w, c) uint8 → str or bytes; None is BLAKE2b, see `thumbnail_hashes`.
    image_hashes
        Hashes of the ImageHash package: "average", "difference", "perceptual", "wavelet".
    turned
        Whether the hashes of the turned thumbnail are wanted, or those of the ImageHash package alone.
    """

    amount: int = 4
    function: Callable[[Any], str | bytes] | None = None
    image_hashes: tuple[str, ...] = ()
    turned: bool = True

    def __post_init__(self) -> None:
        check_shift(self.amount)

    def missing(self, frame: Any) -> "HashSettings | None":
        """What is not there yet, or was made in another way, of some images: their metadata; None if nothing."""
        same = frame.hash_function.eq("blake2b") & frame.hash_shift.eq(self.amount) & frame[HASH_KEY].notna()
        return None if same.all() else self

    def columns(self, thumbnails: NDArray[np.uint8]) -> dict[str, list[Any]]:
        """Hash thumbnails (n, h, w, c) uint8: column of the metadata → a value for each."""
        found = [thumbnail_hashes(thumbnail, self.amount) for thumbnail in thumbnails]
        columns: dict[str, list[Any]] = {
            name: [hashes[column] for hashes in found] for column, name in enumerate(HASH_COLUMNS)
        }
        columns[HASH_KEY] = [min(hashes) for hashes in found]
        columns["hash_function"] = ["blake2b"] * len(found)
        columns["hash_shift"] = [self.amount] * len(found)
        return columns


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
    planes = np.ascontiguousarray(thumbnails.transpose(0, 3, 1, 2))  # long rows are turned several times as fast
    for turns in range(4):
        turned = np.ascontiguousarray(np.rot90(planes, turns, axes=(2, 3)))
        shape = hashlib.sha256(repr(turned.shape[1:]).encode())
        for row, image in enumerate(turned):
            digest = shape.copy()
            digest.update(image.data)
            result[row, turns] = np.frombuffer(digest.digest()[:DIGEST_BYTES], np.uint8)
    return result
