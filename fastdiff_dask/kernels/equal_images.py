"""Images with equal thumbnails, turned or not, by their digests."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .transforms import Transform, turns_between_copies

__all__ = ["Copies", "find_copies"]


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
