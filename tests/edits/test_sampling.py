"""Samples of pictures: blurred on a grid, at mapped points, and stretched to squares."""

import numpy as np
import pytest
from scipy import ndimage

from fastdiff_dask.edits.sampling import blurred, gaussian_weights, grid_points, pyramid, sampled


def some_pictures(k, side, seed=0):
    return np.random.default_rng(seed).uniform(0, 255, (k, side, side)).astype(np.float32)


def test_the_blur_is_that_of_scipy_away_from_the_edges():
    pictures = some_pictures(2, 64)
    expected = ndimage.gaussian_filter(pictures, (0, 1.5, 1.5), truncate=8)
    assert np.abs(blurred(pictures, 64, 1.5) - expected)[:, 12:-12, 12:-12].max() < 1e-3


def test_slopes_are_the_derivatives_of_the_weights():
    apart = 1e-4
    _, slopes = gaussian_weights(64, 16, 2.0)
    # the same weights around points moved by a share: those of a grid so fine that two of its points are that near
    fine, _ = gaussian_weights(64, 10_000, 2.0)
    place = 10_000 // 32 + 2 * 10_000 // 16
    by_difference = (fine[place] - fine[place - 1]) / apart
    assert np.abs(by_difference - slopes[2]).max() < 0.05 * np.abs(slopes).max()


def test_samples_are_linear_between_pixels_and_marked_beyond_the_edges():
    pictures = some_pictures(3, 32)
    matrices = np.tile(np.array([[0.9, 0.1, 0.02], [-0.1, 1.1, 0.05]]), (3, 1, 1))
    points = grid_points(16)
    found, inside = sampled(pictures, matrices, points)
    y, x = matrices[0] @ points
    expected = [ndimage.map_coordinates(p, [(y + 0.5) * 32 - 0.5, (x + 0.5) * 32 - 0.5], order=1) for p in pictures]
    within = (np.abs(np.array([y, x])) <= 0.5 - 1 / 64).all(axis=0)
    assert np.abs(found - expected)[:, within].max() < 0.02
    assert np.array_equal(inside[0], ((np.abs(y) <= 0.5) & (np.abs(x) <= 0.5)).astype(np.float32))


@pytest.mark.parametrize("shape", [(300, 400), (90, 40), (1, 5)])
def test_squares_keep_a_ramp(shape):
    height, width = shape
    ramp = (np.arange(height)[:, None] + 0.5) / height + 2 * (np.arange(width) + 0.5) / width
    squares = dict(pyramid((100 * ramp).astype(np.float32), 128, 64))
    assert [square.shape for square in squares.values()] == [(1, 128, 128), (1, 64, 64)]
    line = (np.arange(64) + 0.5) / 64
    if min(shape) > 20:
        middle = (squares[64][0] - 100 * (line[:, None] + 2 * line - 1.5))[4:-4, 4:-4]
        assert np.abs(middle).max() < 2
