"""The value of a pair, its MSE or the number of another measure, and the pairs of a finished comparison by it."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..config import CompareSettings, ThumbnailSettings
from ..errors import UsageError
from ..kernels.pair_filters import PairFilters
from ..storage.comparisons import Comparison
from ..storage.pairs import read_pairs
from ..vectors.metrics import limit_of, shown_of

__all__ = ["FoundPairs", "PairValue", "with_threshold"]

# Pairs that are held in memory, 32 bytes each. Reading more again takes a second for some 10 million.
_HELD_PAIRS = 1 << 20


@dataclass(frozen=True)
class PairValue:
    """The measure of a comparison: from a stored value to its number, its column and its title.

    A comparison stores 64 bits a pair: the sum of squared errors as int64, or the bits of the float64 of another
    measure.

    Attributes
    ----------
    settings
        The measure and the threshold.
    thumbnails
        The shape of the thumbnails, whose pixels divide a sum of squared errors.

    Examples
    --------
    >>> value = PairValue(CompareSettings(similarity_threshold=2), ThumbnailSettings(width=8, height=8))
    >>> stored = np.array([64, 128, 129])
    >>> value.numbers(stored).tolist(), value.similar(stored).tolist()
    ([1.0, 2.0, 2.015625], [True, True, False])
    >>> value.column, value.title, value.shown(2.015625)
    ('mse', 'MSE', '2.02')
    >>> value.described
    'difference (MSE) ≤ 2 with rotations'
    """

    settings: CompareSettings
    thumbnails: ThumbnailSettings

    @property
    def is_mse(self) -> bool:
        """The measure is MSE."""
        return self.settings.measure == "mse"

    @property
    def pixels(self) -> int:
        """Pixels of a thumbnail."""
        return self.thumbnails.height * self.thumbnails.width

    @property
    def column(self) -> str:
        """Name of the column of the numbers in tables and files."""
        return "mse" if self.is_mse else "value"

    @property
    def title(self) -> str:
        """Name of the measure for people."""
        return self.settings.measure_title

    @property
    def name(self) -> str:
        """Name of the number of a pair, where the measure was named before."""
        return "difference" if self.is_mse else self.title

    @property
    def described(self) -> str:
        """Measure, threshold and options in words."""
        settings = self.settings
        if settings.of_files:
            return settings.question
        options = settings.transforms_shown
        return f"{settings.question}{options and f' {options}'}{PairFilters.of(settings).shown}"

    @property
    def threshold(self) -> float:
        """The threshold as people give it: for vectors, a cosine or an inner product is a similarity."""
        settings = self.settings
        limit = settings.similarity_threshold
        return float(shown_of(settings.measure, limit)) if settings.vectors else limit

    def numbers(self, stored: NDArray[np.int64]) -> NDArray[np.float64]:
        """Convert stored values: MSE is the correctly rounded quotient of the sum of squared errors and the pixels."""
        numbers: Any = stored / self.pixels if self.is_mse else stored.view(np.float64)
        return numbers

    def similar(self, stored: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Compare stored values with the threshold: True at or below it."""
        if self.is_mse:
            return stored <= self.settings.sse_limit(self.thumbnails.height, self.thumbnails.width)
        return stored.view(np.float64) <= self.settings.similarity_threshold

    def shown(self, number: float) -> str:
        """Format a number for people."""
        return f"{number:.2f}" if self.is_mse else f"{number:.4g}"


def with_threshold(settings: CompareSettings, threshold: float) -> CompareSettings:
    """Give the same settings for another threshold, as people give it; see `PairValue.threshold`.

    Raises
    ------
    UsageError
        If no cosine is that.

    Examples
    --------
    >>> settings = CompareSettings(measure="cosine", vectors="clip", rotations=False, similarity_threshold=0.1)
    >>> with_threshold(settings, 0.75).similarity_threshold
    0.25
    """
    if settings.vectors and settings.measure == "cosine" and not -1 <= threshold <= 1:
        raise UsageError(f"threshold={threshold!r} cannot be used for a cosine; use a number from -1 to 1")
    limit = limit_of(settings.measure, threshold) if settings.vectors else threshold
    return replace(settings, similarity_threshold=limit)


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
