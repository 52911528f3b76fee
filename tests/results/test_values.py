"""The value of a pair: sums of squared errors and other measures are told apart in one place."""

import numpy as np
import pytest

from fastdiff_dask.config import CompareSettings, ThumbnailSettings
from fastdiff_dask.results.values import PairValue

THUMBNAILS = ThumbnailSettings(width=9, height=11)


@pytest.mark.parametrize("threshold", [0.0, 0.1, 1 / 3, 7.0, 199.99999999999997, 200.0])
def test_mse_is_rounded_once_and_its_limit_agrees(rng, threshold):
    value = PairValue(CompareSettings(similarity_threshold=threshold), THUMBNAILS)
    near = int(threshold * 99)
    stored = np.unique(np.concatenate([rng.integers(0, 99 * 195_075, 1000), np.arange(max(near - 5, 0), near + 6)]))
    assert value.numbers(stored).tolist() == [int(sse) / 99 for sse in stored]
    assert value.similar(stored).tolist() == [int(sse) / 99 <= threshold for sse in stored]
    assert (value.column, value.title, value.is_mse) == ("mse", "MSE", True)


def test_another_measure_is_stored_by_its_bits():
    value = PairValue(CompareSettings(similarity_threshold=-0.5, measure="mine.py:far"), THUMBNAILS)
    numbers = np.array([-np.pi, -0.5, np.nextafter(-0.5, 0), 0.0, np.nan])
    stored = np.stack([numbers.view(np.int64), np.zeros(5, np.int64)], axis=1)[:, 0]  # a column, as pairs are read
    np.testing.assert_array_equal(value.numbers(stored), numbers)
    assert value.similar(stored).tolist() == [True, True, False, False, False]
    assert (value.column, value.title, value.is_mse) == ("value", "mine.py:far", False)
    assert value.shown(0.123456) == "0.1235"
