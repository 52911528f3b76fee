"""Mean squared errors by products of 8-bit integers, which the tensor cores of a GPU make. CuPy; NumPy in tests."""

from collections.abc import Callable
from typing import Any

import numpy as np
from array_api_compat import array_namespace

from .metrics import apply_transform

__all__ = ["dense_mean_squared_errors", "int8_products"]

# A type of CUDA's library_types.h that CuPy has no name for.
_CUDA_R_32I = 10


def dense_mean_squared_errors(a: Any, b: Any, transforms: tuple[int, ...], products: Callable[[Any, Any], Any]) -> Any:
    """`metrics.mean_squared_errors` by products of 8-bit integers, which tensor cores make.

    With x and y the images less 128, |x − y|² = |x|² + |y|² − 2 x·y; a sum of k products of such values is at most
    2¹⁴ k, and exact in 32 bits for images of up to 131,071 values.

    Memory: 16 bytes a pair, and 3 bytes a value of the images.

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

    def centred(images: Any) -> Any:
        flat = xp.reshape(images, (images.shape[0], images.shape[1] * images.shape[2] * images.shape[3]))
        # the bits of v − 128 in two's complement are those of v with the first one turned over
        return (flat ^ 128).view(xp.int8)

    y, best = centred(b), None
    for transform in transforms:
        x = centred(apply_transform(a, transform))
        found = products(x, y)
        best = found if best is None else xp.maximum(best, found)

    def norms(side: Any) -> Any:
        wide = xp.astype(side, xp.int16)
        wide *= wide  # up to 2¹⁴
        return xp.astype(xp.sum(wide, axis=1, dtype=xp.int64), xp.float64)

    # whole numbers below 2⁵³; what is done in place moves less memory
    errors = xp.astype(best, xp.float64)
    errors *= -2
    errors += norms(centred(a))[:, None]
    errors += norms(y)[None, :]
    errors /= a.shape[1] * a.shape[2]
    return errors


def int8_products(x: Any, y: Any) -> Any:
    """Inner products of the rows of two CuPy arrays of int8, in int32: (m, k), (n, k) → (m, n), by cuBLAS.

    k is filled up with zeros to a multiple of 16, as the tensor cores want their rows aligned.
    """
    import cupy
    from cupy.cuda import device, runtime
    from cupy_backends.cuda.libs import cublas

    fill = -x.shape[1] % 16
    if fill:
        x, y = (cupy.pad(side, ((0, 0), (0, fill))) for side in (x, y))
    x, y = cupy.ascontiguousarray(x), cupy.ascontiguousarray(y)
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
    return result
