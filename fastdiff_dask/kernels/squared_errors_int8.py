"""Squared errors of images on a GPU, by integers alone: products of 8 bits, which tensor cores make, or differences.

Each function is the counterpart of one for the processor: `similar_pairs_gpu` of `similarity.similar_pairs`,
`listed_pairs_gpu` of `similarity.listed_pairs`, `mean_squared_errors_gpu` of `squared_errors.mean_squared_errors`.
"""

from collections.abc import Callable
from functools import reduce
from typing import Any

import numpy as np
from array_api_compat import array_namespace

from .transforms import apply_transform, best_transforms

__all__ = [
    "int8_products",
    "integer_products",
    "listed_pairs_gpu",
    "mean_squared_errors_gpu",
    "similar_pairs_gpu",
]

# (m, k) and (n, k) int8 → (m, n) int32, the inner products of their rows.
Products = Callable[[Any, Any], Any]
# A type of CUDA's library_types.h that CuPy has no name for.
_CUDA_R_32I = 10
# Tensor cores want rows that begin at multiples of so many bytes, and as many rows.
_ALIGNED = 16
# Values of a product that 32 bits hold: each is at most 2¹⁴ in size.
_MOST_VALUES = (2**31 - 1) // 2**14 // _ALIGNED * _ALIGNED
# Bytes that comparing two images one by one takes for each of their values.
_DIFFERENCE_BYTES = 16


def _centred(images: Any, xp: Any) -> Any:
    """Images less 128, as rows of int8."""
    flat = xp.reshape(images, (images.shape[0], images.shape[1] * images.shape[2] * images.shape[3]))
    # the bits of v − 128 in two's complement are those of v with the first one turned over
    return (flat ^ 128).view(xp.int8)


def _norms(rows: Any, xp: Any) -> Any:
    """Sums of squares of rows of int8: (n,) int64."""
    wide = xp.astype(rows, xp.int16)
    wide *= wide  # up to 2¹⁴
    return xp.sum(wide, axis=1, dtype=xp.int64)


def _whole_products(x: Any, y: Any, products: Products, xp: Any) -> Any:
    """Inner products of rows of any length: int32 if they fit, else int64."""
    values = x.shape[1]
    if values <= _MOST_VALUES:
        return products(x, y)
    parts = (slice(start, start + _MOST_VALUES) for start in range(0, values, _MOST_VALUES))
    return reduce(lambda a, b: a + b, (xp.astype(products(x[:, part], y[:, part]), xp.int64) for part in parts))


def mean_squared_errors_gpu(a: Any, b: Any, transforms: tuple[int, ...], products: Products) -> Any:
    """Smallest MSE over transforms, as `squared_errors.mean_squared_errors`, by products of 8-bit integers.

    With x and y the images less 128, |x − y|² = |x|² + |y|² − 2 x·y, in integers.

    Memory: 16 bytes a pair, and 4 bytes a value of the images.

    Parameters
    ----------
    a, b
        (m, h, w, c) and (n, h, w, c) uint8.
    transforms
        Numbers of the transforms of images of `a`.
    products
        (m, k) and (n, k) int8 → (m, n) int32, their inner products; see `int8_products`.

    Returns
    -------
    (m, n) float64.
    """
    xp = array_namespace(a, b)
    y, best = _centred(b, xp), None
    for transform in transforms:
        found = _whole_products(_centred(apply_transform(a, transform), xp), y, products, xp)
        best = found if best is None else xp.maximum(best, found)
    # whole numbers below 2⁵³; steps in place move less memory
    errors = xp.astype(best, xp.float64)
    errors *= -2
    errors += xp.astype(_norms(_centred(a, xp), xp), xp.float64)[:, None]
    errors += xp.astype(_norms(y, xp), xp.float64)[None, :]
    errors /= a.shape[1] * a.shape[2]
    return errors


def similar_pairs_gpu(a: Any, b: Any, /, *, sse_limit: int, transforms: tuple[int, ...], products: Products) -> Any:
    """Find similar pairs of all with all, as `similarity.similar_pairs`, by products of 8-bit integers.

    It takes a few steps, however many pairs there are.

    Memory: 4 bytes a pair for each transform and 16 more, and 4 bytes a value of the images.

    Parameters
    ----------
    a, b, sse_limit, transforms
        As for `similarity.similar_pairs`.
    products
        As for `mean_squared_errors_gpu`.

    Returns
    -------
    As `similarity.similar_pairs`.
    """
    xp = array_namespace(a, b)
    y = _centred(b, xp)
    each = [_whole_products(_centred(apply_transform(a, one), xp), y, products, xp) for one in transforms]
    errors = xp.astype(reduce(xp.maximum, each), xp.int64)
    errors *= -2
    errors += _norms(_centred(a, xp), xp)[:, None]
    errors += _norms(y, xp)[None, :]
    i, j = xp.nonzero(errors <= sse_limit)
    found = [one[i, j] for one in each]
    return _pairs(i, j, errors[i, j], found, reduce(xp.maximum, found), transforms, xp)


def listed_pairs_gpu(
    a: Any, b: Any, i: Any, j: Any, /, *, sse_limit: int, transforms: tuple[int, ...], room: int
) -> Any:
    """Find similar pairs among listed ones, as `similarity.listed_pairs`, by the differences of all values.

    It takes a few steps, however many pairs there are.

    Parameters
    ----------
    a, b, i, j, sse_limit, transforms
        As for `similarity.listed_pairs`.
    room
        Bytes that a step may take.

    Returns
    -------
    As `similarity.listed_pairs`.
    """
    xp = array_namespace(a, b)
    parts = [xp.zeros((0, 4), dtype=xp.int64)]
    at_once = max(1, room // (_DIFFERENCE_BYTES * a.shape[1] * a.shape[2] * a.shape[3]))
    for start in range(0, i.shape[0], at_once):
        rows, columns = i[start : start + at_once], j[start : start + at_once]
        x, y = xp.take(a, rows, axis=0), xp.astype(xp.take(b, columns, axis=0), xp.int16)
        each = []
        for transform in transforms:
            differences = xp.astype(xp.astype(apply_transform(x, transform), xp.int16) - y, xp.int32)
            differences *= differences
            each.append(xp.sum(differences, axis=(1, 2, 3), dtype=xp.int64))
        errors = reduce(xp.minimum, each)
        near = errors <= sse_limit
        errors, found = errors[near], [one[near] for one in each]
        parts.append(_pairs(rows[near], columns[near], errors, found, errors, transforms, xp))
    return xp.concat(parts)


def _pairs(i: Any, j: Any, errors: Any, each: list[Any], best: Any, transforms: tuple[int, ...], xp: Any) -> Any:
    """Rows (i, j, error, mask of the transforms whose value is the best)."""
    masks = xp.astype(best_transforms(zip(transforms, each, strict=True), best), xp.int64)
    return xp.stack([xp.astype(i, xp.int64), xp.astype(j, xp.int64), errors, masks], axis=1)


def integer_products(x: Any, y: Any) -> Any:
    """Inner products of the rows of two arrays of int8, in int32, by the array library's own product of integers."""
    xp = array_namespace(x, y)
    return xp.matmul(xp.astype(x, xp.int32), xp.astype(y, xp.int32).T)


def int8_products(x: Any, y: Any) -> Any:
    """Inner products of the rows of two CuPy arrays of int8, in int32: (m, k), (n, k) → (m, n), by cuBLAS.

    All three sizes are filled up with zeros: for 8 bits cuBLAS wants multiples of four, or is slow, or refuses.
    """
    import cupy
    from cupy.cuda import device, runtime
    from cupy_backends.cuda.libs import cublas

    sizes = x.shape[0], y.shape[0]
    if not (sizes[0] and sizes[1]):
        return cupy.zeros(sizes, cupy.int32)
    x, y = (
        cupy.ascontiguousarray(cupy.pad(side, [(0, -size % _ALIGNED) for size in side.shape]))
        if any(size % _ALIGNED for size in side.shape)
        else cupy.ascontiguousarray(side)
        for side in (x, y)
    )
    (m, k), n = x.shape, y.shape[0]
    result = cupy.empty((m, n), cupy.int32)
    one, zero = np.array(1, np.int32), np.array(0, np.int32)
    handle = device.get_cublas_handle()
    mode = cublas.getPointerMode(handle)
    cublas.setPointerMode(handle, cublas.CUBLAS_POINTER_MODE_HOST)
    try:
        # cuBLAS counts columns first: it gives (n, m) there, which is (m, n) here
        cublas.gemmEx(
            *(handle, cublas.CUBLAS_OP_T, cublas.CUBLAS_OP_N, n, m, k, one.ctypes.data),
            *(y.data.ptr, runtime.CUDA_R_8I, k, x.data.ptr, runtime.CUDA_R_8I, k, zero.ctypes.data),
            *(result.data.ptr, _CUDA_R_32I, n, cublas.CUBLAS_COMPUTE_32I, cublas.CUBLAS_GEMM_DEFAULT),
        )
    finally:
        cublas.setPointerMode(handle, mode)
    return result[: sizes[0], : sizes[1]]
