"""Samples of grey pictures for their alignment: blurred on grids, stretched to squares, and at mapped points.

Shares are centred here: -0.5 to 0.5 from edge to edge of a picture. Each picture of a batch has its own products and
sums, so that the batch changes no bit of a result.
"""

from collections.abc import Iterator
from functools import cache, lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

__all__ = ["blurred", "filtered", "gaussian_weights", "grid_points", "pyramid", "sampled"]

# Weights below this are left out of the blur of large pictures.
_SMALL = 1e-4


@cache
def grid_points(grid: int) -> NDArray[np.float32]:
    """Centres of the cells of a grid: (3, grid²) y, x, 1 in centred shares."""
    line = (np.arange(grid) + 0.5) / grid - 0.5
    y, x = np.meshgrid(line, line, indexing="ij")
    return np.stack([y, x, np.ones_like(y)]).reshape(3, -1).astype(np.float32)


@lru_cache(maxsize=32)
def gaussian_weights(length: int, grid: int, blur: float) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Weights (grid, length) of pixels in a blur sampled at grid points, and their derivatives by the share."""
    apart = (np.arange(length) + 0.5) - (np.arange(grid)[:, None] + 0.5) * length / grid
    weights = np.exp(-0.5 * (apart / blur) ** 2)
    slopes = weights * apart / blur**2 * length
    total = weights.sum(axis=1, keepdims=True)
    slopes = (slopes - weights / total * slopes.sum(axis=1, keepdims=True)) / total
    return (weights / total).astype(np.float32), slopes.astype(np.float32)


def blurred(pictures: NDArray[np.float32], grid: int, blur: float) -> NDArray[np.float32]:
    """Blur square pictures (k, n, n) by so many pixels, sampled at the points of a grid: (k, grid, grid)."""
    smooth, _ = gaussian_weights(pictures.shape[-1], grid, blur)
    return filtered(pictures, smooth, smooth)


def filtered(
    pictures: NDArray[np.float32], rows: NDArray[np.float32], columns: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Weigh the pixels of pictures (k, h, w) by rows (grid, h) and columns (grid, w): (k, grid, grid)."""
    # a product for each picture: one for all would round by its place among them
    result: NDArray[np.float32] = np.matmul(rows, np.matmul(pictures, columns.T))
    return result


def sampled(
    a: NDArray[np.float32], matrices: NDArray[np.float64], points: NDArray[np.float32]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Sample pictures (k, n, n) linearly at mapped points; the second array is 1 at points within a, else 0."""
    k, side, _ = a.shape
    places = np.matmul(matrices.astype(np.float32), points)
    inside = (np.abs(places) <= 0.5).all(axis=1).astype(np.float32)
    places += 0.5
    places *= side
    places -= 0.5
    np.clip(places, 0, side - 1, out=places)
    whole = np.minimum(places.astype(np.int32), side - 2)
    places -= whole
    down, along = places[:, 0], places[:, 1]
    corner = whole[:, 0].astype(np.intp) * side + whole[:, 1]
    corner += np.arange(k)[:, None] * (side * side)
    flat = a.reshape(-1)
    upper, lower = flat.take(corner), flat[side:].take(corner)
    upper += along * (flat[1:].take(corner) - upper)
    lower += along * (flat[side + 1 :].take(corner) - lower)
    lower -= upper
    lower *= down
    upper += lower
    return upper, inside


def pyramid(picture: NDArray[np.float32], side: int, least: int) -> Iterator[tuple[int, NDArray[np.float32]]]:
    """Stretch a picture to squares, each half as large as the one before, down to the least."""
    rows, columns = (_stretching(length, side) for length in picture.shape)
    square = np.ascontiguousarray(rows @ np.ascontiguousarray((columns @ np.ascontiguousarray(picture.T)).T))
    levels = square - square.mean()
    while True:
        yield side, levels[None]
        if side == least:
            return
        side //= 2
        levels = levels.reshape(side, 2, side, 2).mean(axis=(1, 3))


# Pictures have some hundred lengths; each of these is some 20 KB, and takes longer to make than to use.
@lru_cache(maxsize=256)
def _stretching(length: int, side: int) -> sparse.csr_array:
    weights, _ = gaussian_weights(length, side, max(0.5, 0.5 * length / side))
    return sparse.csr_array(np.where(weights < _SMALL, 0, weights))
