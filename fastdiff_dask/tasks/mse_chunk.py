"""Compute a chunk of the dense matrix of MSE, and write it where it is to be kept."""

import hashlib
from typing import Any

import numpy as np
from array_api_compat import is_cupy_array

from ..kernels.squared_errors import mean_squared_errors
from ..kernels.squared_errors_int8 import int8_products, mean_squared_errors_gpu
from ..runtime.blas import SINGLE_THREADED_BLAS
from ..storage.derived.matrix import DenseMatrix
from ..storage.store import Store

__all__ = ["digest", "mse_chunk", "transposed", "write_chunk", "write_mse_chunk"]


def write_mse_chunk(url: str, matrix: str, i: int, j: int, transforms: tuple[int, ...], symmetric: bool) -> None:
    """Compute and write a chunk; NaN for rows without an image that can be compared."""
    store = Store(url)
    blocks = {block: store.arrays.read_thumbnails(block) for block in {i, j}}
    with SINGLE_THREADED_BLAS:
        values = mean_squared_errors(blocks[i], blocks[j], transforms)
    for axis, block in enumerate((i, j)):
        unreadable = ~store.arrays.read_digests(range(block, block + 1)).any(axis=(1, 2))
        values[(unreadable, slice(None)) if axis == 0 else (slice(None), unreadable)] = np.nan
    DenseMatrix(matrix).write(values, i, j, symmetric)


# Rows of a chunk that are transposed at a time: a line of the processor's cache or two of each column.
_STRIP = 16


def mse_chunk(a: Any, b: Any, /, *, transforms: tuple[int, ...]) -> Any:
    """`mean_squared_errors` in a task."""
    if is_cupy_array(a):
        return mean_squared_errors_gpu(a, b, transforms, int8_products)
    with SINGLE_THREADED_BLAS:
        return mean_squared_errors(a, b, transforms)


def transposed(values: Any) -> Any:
    """Lay the transposed chunk out anew, in strips: a view would be copied ten times as slowly by whoever reads it."""
    result = np.empty_like(values, shape=values.shape[::-1], order="C")
    for start in range(0, values.shape[0], _STRIP):
        result[:, start : start + _STRIP] = values[start : start + _STRIP].T
    return result


def digest(images: Any) -> str:
    """Give the shape and the SHA-256 of a chunk of images, (n, h, w, c) uint8."""
    images = images.get() if hasattr(images, "get") else images  # CuPy
    return f"{images.shape} {hashlib.sha256(np.ascontiguousarray(images).data).hexdigest()}"


def write_chunk(url: str, values: Any, i: int, j: int, symmetric: bool) -> None:
    """Write a chunk of MSE, (m, n) float64, into the `DenseMatrix` at an address."""
    values = values.get() if hasattr(values, "get") else values  # CuPy
    DenseMatrix(url).write(values, i, j, symmetric)
