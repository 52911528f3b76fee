"""The pairs of a finished comparison at or below a threshold: in memory if they are few, else read when asked for."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ..storage.comparisons import Comparison

__all__ = ["FoundPairs"]

# Pairs that are held in memory, 32 bytes each. Reading more again takes a second for some 10 million.
_HELD_PAIRS = 1 << 22


class FoundPairs:
    """Pairs of different thumbnails, a part at a time, as often as wanted.

    They are those of the plans that were finished when this was made: what is compared later does not change them.
    Memory: 2 bytes an image of the store, and 128 MB for pairs at most.

    Parameters
    ----------
    comparison
        A comparison at this threshold or a higher one.
    threshold
        Largest MSE, or other value, of a pair.

    Attributes
    ----------
    images
        Numbers of images there are in the store, used or not.
    held
        (k, 4) int64: all pairs, as `Comparison.read_pairs` gives them; None if they are too many to be held.
    """

    def __init__(self, comparison: Comparison, threshold: float) -> None:
        self._comparison, self._plans = comparison, comparison.plans()
        thumbnails = comparison.store.thumbnail_settings
        self._measured = comparison.settings.measure != "mse"
        wanted = replace(comparison.settings, similarity_threshold=threshold)
        self._limit = threshold if self._measured else wanted.sse_limit(thumbnails.height, thumbnails.width)
        self.images = comparison.store.blocks * thumbnails.block_size
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
        for pairs in self._comparison.read_pairs(self._plans):
            values = pairs[:, 2].copy().view(np.float64) if self._measured else pairs[:, 2]
            yield pairs[values <= self._limit]

    def __iter__(self) -> Iterator[NDArray[np.int64]]:
        """Give all pairs (n, 4) int64: a, b, value, transforms; at most 2²⁰ at a time from the store."""
        return self._read() if self.held is None else iter((self.held,))

    def numbers(self, side: str | None = None) -> NDArray[np.int64]:
        """Numbers of the images of side a or b, or of all, that are in a pair, ascending."""
        marks = self._in_pairs.any(axis=0) if side is None else self._in_pairs["ab".index(side)]
        return np.flatnonzero(marks)
