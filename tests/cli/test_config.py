"""Settings are refused when they are made, with what was found and what to do."""

import math
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastdiff_dask.config import CompareSettings, IndexSettings, ThumbnailSettings
from fastdiff_dask.errors import UsageError


@pytest.mark.parametrize("threshold", [-1, -1e-9, math.nan, math.inf, "200", None, True])
def test_threshold_must_be_a_number_from_0(threshold):
    with pytest.raises(UsageError, match="similarity_threshold="):
        CompareSettings(similarity_threshold=threshold)


@pytest.mark.parametrize("values", [{"width": 7}, {"height": 1025}, {"width": 64.0}, {"block_size": 0}])
def test_thumbnail_sizes_are_bounded(values):
    with pytest.raises(UsageError, match="use a whole number from"):
        ThumbnailSettings(**values)


@pytest.mark.parametrize("values", [{"extensions": (1,)}, {"ignore_names": "abc"}, {"ignore_paths": (1,)}])
def test_index_settings_are_checked(values):
    with pytest.raises(UsageError):
        IndexSettings(**values)


@given(threshold=st.floats(0, 1e5), height=st.integers(1, 300), width=st.integers(1, 300))
def test_the_integer_limit_agrees_with_the_mse_that_is_shown(threshold, height, width):
    pixels = height * width
    limit = CompareSettings(similarity_threshold=threshold).sse_limit(height, width)
    assert limit / pixels <= threshold < (limit + 1) / pixels
    assert abs(limit - Fraction(threshold) * pixels) <= 1


@pytest.mark.parametrize("threshold", [260_100, 1e16, 1e300])
def test_above_the_largest_mse_everything_is_similar(threshold):
    assert CompareSettings(similarity_threshold=threshold).sse_limit(64, 64) == 64 * 64 * 4 * 255**2


def test_minus_zero_is_zero():
    assert str(CompareSettings(similarity_threshold=-0.0).similarity_threshold) == "0.0"


def test_the_limit_includes_a_threshold_that_floats_round_down():
    # 1/9 as a float is a little below 1/9, yet a sum of 1 over 9 pixels is shown as just that float
    assert CompareSettings(similarity_threshold=1 / 9).sse_limit(3, 3) == 1
    assert CompareSettings(similarity_threshold=0).sse_limit(64, 64) == 0


@pytest.mark.parametrize(
    "settings",
    [ThumbnailSettings(width=32, height=48, block_size=7), CompareSettings(similarity_threshold=0.1, mirror=True)],
)
def test_settings_come_back_from_what_a_store_records(settings):
    assert type(settings).from_json(settings.to_json()) == settings
