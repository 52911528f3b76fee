"""The pairs of a finished comparison at or below a threshold: in memory if they are few, else read at each use."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from ..storage.comparisons import Comparison
from ..storage.pairs import read_pairs
from .values import PairValue

__all__ = ["FoundPairs"]

# Pairs that are held in memory, 32 bytes each. Reading more again takes a second for some 10 million.
_HELD_PAIRS = 1 << 22


class FoundPairs:
    """Pairs of different thumbnails, a part at a time.

    The pairs are those of the plans at the time of construction; a later comparison does not change them. Memory: 2
    bytes an image of the store, and at most 128 MB for pairs.

    Parameters
    ----------
    comparison
        A comparison at this threshold or a higher one.
    value
        The measure and the threshold.

    Attributes
    ----------
    images
        Number of images in the store, including unused numbers.
    held
        (k, 4) int64: all pairs, as `pairs.read_pairs` gives them; None if they are too many to be held.
    """

    def __init__(self, comparison: Comparison, value: PairValue) -> None:
        self._comparison, self._plans = comparison, comparison.plans()
        self._value = value
        self.images = comparison.store.blocks * comparison.store.thumbnail_settings.block_size
        self._in_pairs = np.zeros((2, self.images), bool)
        self.held: NDArray[np.int64] | None = None
        held, count = [np.zeros((0, 4), np.int64)], 0
        for pairs in self._read():
            self._in_pairs[0, pairs[:, 0]] = self._in_pairs[1, pairs[:, 1]] = True
            count += len(pairs)
            if count <= _HELD_PAIRS:
                held.append(pairs)
            else:
                held = []
        if count <= _HELD_PAIRS:
            self.held = np.concatenate(held)

    def _read(self) -> Iterator[NDArray[np.int64]]:
        for pairs in read_pairs(self._comparison, self._plans):
            similar = self._value.similar(pairs[:, 2])
            yield pairs if similar.all() else pairs[similar]

    def __iter__(self) -> Iterator[NDArray[np.int64]]:
        """Give all pairs (n, 4) int64: a, b, value, transforms; at most 2²⁰ at a time from the store."""
        return self._read() if self.held is None else iter((self.held,))

    def numbers(self, side: str) -> NDArray[np.int64]:
        """Numbers of the images of a side that are in a pair, ascending; without a side b, both ends are of side a."""
        two_sides = self._comparison.store.two_sides
        return np.flatnonzero(self._in_pairs["ab".index(side)] if two_sides else self._in_pairs.any(axis=0))
