"""The value of a pair: its MSE, or the number of another measure."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..config import CompareSettings, ThumbnailSettings
from ..kernels.pair_filters import PairFilters

__all__ = ["PairValue"]


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
    'MSE ≤ 2 with rotations'
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
    def described(self) -> str:
        """Measure, threshold and options in words."""
        settings = self.settings
        options = ("with" if settings.rotations else "without") + " rotations"
        options += (", mirrored" if settings.mirror else "") + PairFilters.of(settings).shown
        return f"{self.title} ≤ {settings.similarity_threshold:g} {options}"

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
