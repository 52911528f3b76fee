"""Compare edited copies with the images of a block, by MSE and by correlation, and commit what was measured."""

import numpy as np
from numpy.typing import NDArray

from ...config import DEFAULT_THRESHOLDS
from ...kernels.similarity import correlation_distances
from ...kernels.squared_errors import prepare_images, prepared_squared_errors
from ...kernels.transforms import available_transforms
from ...runtime.activity import recorded
from ...runtime.blas import SINGLE_THREADED_BLAS
from ...runtime.faults import retried
from ...storage.derived.calibrations import CalibrationFiles, Measured
from ...storage.store import Store

__all__ = ["MEASURES", "THRESHOLDS", "measure_copies"]

MEASURES = ("mse", "correlation")
# By measure: thresholds up to which wrong pairs are counted.
THRESHOLDS = (
    (10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1000.0, 2000.0, 5000.0),
    (0.005, 0.01, 0.02, 0.03, 0.05, 0.1, 0.15, 0.2, 0.3),
)
_USUAL = np.array([DEFAULT_THRESHOLDS[measure] for measure in MEASURES])[:, None, None]
# Copies that are compared at a time.
_ROWS = 256


@retried
def measure_copies(url: str, kinds: tuple[str, ...], sample: NDArray[np.int64], block: int, run: str) -> int:
    """Compare all copies of a calibration with the images of a block, each with all, in all rotations.

    A pair is wrong if the image is neither the original of the copy nor similar to it by either measure, as copies in
    the collection are. Memory: the thumbnails of all copies and, five times, those of the block.

    Parameters
    ----------
    url
        The store.
    kinds, sample
        Kinds of copies and images of the calibration.
    block
        The block.
    run
        The run that `activity.stage` gave.

    Returns
    -------
    Number of pairs.
    """
    store = Store(url, run)
    files = CalibrationFiles(store, kinds, sample)
    with recorded(store.files, run, "calibrate", block=block) as amounts:
        numbers = files.compared(block)
        found = [files.read_copies(image) for image in sample.tolist()]
        places = np.array([place for place, one in enumerate(found) if one is not None], np.int64)
        measuring = _Measuring(len(kinds), len(sample))
        if len(places) and len(numbers):
            copies = np.concatenate([found[place] for place in places.tolist()])
            originals = store.arrays.thumbnail_rows(sample[places])
            with SINGLE_THREADED_BLAS:
                images = _Prepared(store.arrays.thumbnail_rows(numbers), mirrored=False)
                own = sample[places, None] == numbers
                alike = np.any(_distances(_Prepared(originals), images) <= _USUAL, axis=0)
                measuring.add(copies, places, images, own, alike)
        result = measuring.result()
        files.write_measured(block, result)
        amounts.pairs = int(result.pairs.sum())
    return amounts.pairs


class _Prepared:
    """Thumbnails in the form in which they are compared."""

    def __init__(self, images: NDArray[np.uint8], mirrored: bool = True) -> None:
        height, width = images.shape[1:3]
        self.pixels = height * width
        self.images = prepare_images(images, available_transforms(height, width), mirrored=mirrored)


def _distances(a: _Prepared, b: _Prepared) -> NDArray[np.float64]:
    """Distances of all pairs by each measure, under the best rotation: (measures, m, n)."""
    errors = prepared_squared_errors(a.images, b.images).smallest
    moments = a.images.moments.at((slice(None), None)), b.images.moments.at((None, slice(None)))
    return np.stack([errors / a.pixels, correlation_distances(errors, *moments, a.pixels)])


class _Measuring:
    """Counts pairs of copies and images of a block."""

    def __init__(self, kinds: int, sample: int) -> None:
        self._kinds, self._sample = kinds, sample
        self._wrong = np.zeros((kinds, len(MEASURES), len(THRESHOLDS[0])), np.int64)
        self._nearest = np.full((kinds, len(MEASURES)), np.inf)
        self._pairs = np.zeros(kinds, np.int64)
        self._own: list[tuple[NDArray[np.int64], NDArray[np.float64]]] = []

    def add(
        self,
        copies: NDArray[np.uint8],
        places: NDArray[np.int64],
        images: _Prepared,
        own: NDArray[np.bool_],
        alike: NDArray[np.bool_],
    ) -> None:
        """Compare copies with images of the block.

        Parameters
        ----------
        copies
            (originals · kinds, h, w, c) uint8.
        places
            Places of the originals in the sample.
        images
            The images of the block.
        own, alike
            (originals, images): the image is the original, or similar to it.
        """
        for first in range(0, len(copies), _ROWS):
            rows = np.arange(first, min(first + _ROWS, len(copies)))
            apart = _distances(_Prepared(copies[rows]), images)
            originals, kinds = np.divmod(rows, self._kinds)
            i, j = np.nonzero(own[originals])
            self._own.append((kinds[i] * self._sample + places[originals[i]], apart[:, i, j].T))
            wrong = ~(own | alike)[originals]
            np.add.at(self._pairs, kinds, wrong.sum(axis=1))
            for measure, values in enumerate(np.where(wrong, apart, np.inf)):
                np.minimum.at(self._nearest[:, measure], kinds, values.min(axis=1))
                for number, limit in enumerate(THRESHOLDS[measure]):
                    np.add.at(self._wrong[:, measure, number], kinds, (values <= limit).sum(axis=1))

    def result(self) -> Measured:
        """Give what was measured."""
        places = np.concatenate([np.zeros(0, np.int64), *(places for places, _ in self._own)])
        own = np.concatenate([np.zeros((0, len(MEASURES))), *(values for _, values in self._own)])
        return Measured(places, own, self._wrong, self._nearest, self._pairs)
