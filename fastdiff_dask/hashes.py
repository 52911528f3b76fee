"""Thumbnail → hashes."""

import hashlib

import numpy as np
from numpy.typing import NDArray

from .errors import UsageError

__all__ = ["HASH_COLUMNS", "check_shift", "thumbnail_hashes"]

HASH_COLUMNS = ("hash_0", "hash_90", "hash_180", "hash_270")


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
        digest = hashlib.blake2b(repr(turned.shape).encode(), digest_size=16)
        digest.update(turned.data)
        digests.append(digest.hexdigest())
    return digests[0], digests[1], digests[2], digests[3]
