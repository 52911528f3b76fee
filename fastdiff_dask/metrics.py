"""Exact squared errors between two chunks of thumbnails. Kernels: chunks in, chunks out, NumPy or CuPy."""

import math
from typing import Any

from array_api_compat import array_namespace

__all__ = [
    "apply_transform",
    "available_transforms",
    "reverse_transforms",
    "rotation_of",
    "squared_errors",
    "transformed_squared_errors",
]

# A product of two centred values is at most 128² = 2¹⁴ in size, so a float32 dot product over at most 2¹⁰ of them
# stays within 2²⁴, below which every integer and hence every partial sum, in any order, is exact.
_EXACT_LENGTH = 1024


def available_transforms(height: int, width: int, *, rotations: bool = True, mirror: bool = False) -> tuple[int, ...]:
    """Number the transforms of a thumbnail that keep its shape.

    Transform t turns by 90° · (t mod 4) counter-clockwise (`numpy.rot90`); from 4 on, after mirroring left and right.

    Examples
    --------
    >>> available_transforms(64, 64), available_transforms(48, 64, mirror=True)
    ((0, 1, 2, 3), (0, 2, 4, 6))
    """
    turns = ((0, 1, 2, 3) if height == width else (0, 2)) if rotations else (0,)
    return turns + tuple(4 + turn for turn in turns) if mirror else turns


def apply_transform(images: Any, transform: int, /) -> Any:
    """Turn and mirror each image of a chunk.

    Parameters
    ----------
    images
        (n, h, w, c), any dtype.
    transform
        Number of the transform, see `available_transforms`.

    Returns
    -------
    A view of shape (n, h, w, c), or (n, w, h, c) after a quarter turn.
    """
    if transform >= 4:
        images = images[:, :, ::-1]
    turns = transform % 4
    if turns == 1:
        return images.transpose(0, 2, 1, 3)[:, ::-1]
    if turns == 2:
        return images[:, ::-1, ::-1]
    if turns == 3:
        return images.transpose(0, 2, 1, 3)[:, :, ::-1]
    return images


def reverse_transforms(mask: Any) -> Any:
    """Swap the roles of the two images in a bit mask of transforms.

    If image a under transform t equals b, then b under the inverse of t equals a. Turns by 90° and 270° are each
    other's inverse; the half turn and all mirror images are their own.

    Parameters
    ----------
    mask
        Integer or integer array; bit t stands for transform t.

    Examples
    --------
    >>> bin(reverse_transforms(0b0011))
    '0b1001'
    """
    return (mask & 0b11110101) | ((mask & 0b0010) << 2) | ((mask & 0b1000) >> 2)


def rotation_of(mask: int) -> tuple[int, bool]:
    """Name the lowest transform in a bit mask: (degrees, mirrored).

    Examples
    --------
    >>> rotation_of(0b1100), rotation_of(0b100000)
    ((180, False), (90, True))
    """
    transform = (mask & -mask).bit_length() - 1
    return transform % 4 * 90, transform >= 4


def _centred(images: Any, xp: Any) -> Any:
    """(n, h, w, c) uint8 → (n, h·w·c) float32 in [−128, 127]; distances do not change, products become small."""
    flat = xp.reshape(images, (images.shape[0], math.prod(images.shape[1:])))  # -1 fails without images
    return xp.astype(flat, xp.float32) - xp.float32(128)


def _inner_products(a: Any, b: Any, xp: Any) -> Any:
    """(m, k), (n, k) float32 integers in [−128, 127] → (m, n) float64, exact while 2¹⁴ k < 2⁵³."""
    total = xp.zeros((a.shape[0], b.shape[0]), dtype=xp.float64)
    for start in range(0, a.shape[1], _EXACT_LENGTH):
        stop = start + _EXACT_LENGTH
        total += a[:, start:stop] @ b[:, start:stop].T
    return total


def _squared_norms(x: Any, xp: Any) -> Any:
    """(n, k) float32 integers → (n,) float64, exact: each square is at most 2¹⁴, summed in float64."""
    return xp.sum(x * x, axis=1, dtype=xp.float64)


def squared_errors(a: Any, b: Any, /) -> Any:
    """Sum of squared errors of each image of one chunk with each of another.

    With x and y the flattened images, |x − y|² = |x|² + |y|² − 2 x·y, where subtracting 128 from every value changes
    neither side. All three terms are sums of integers that the floating point used holds exactly, in any order.

    Parameters
    ----------
    a, b
        (m, h, w, c) and (n, h, w, c) uint8, NumPy or CuPy.

    Returns
    -------
    (m, n) int64, grey levels².

    Examples
    --------
    >>> import numpy as np
    >>> a = np.zeros((1, 8, 8, 3), np.uint8)
    >>> squared_errors(a, a + np.uint8(64)).tolist()
    [[786432]]
    """
    return transformed_squared_errors(a, b, (0,))[0]


def transformed_squared_errors(a: Any, b: Any, transforms: tuple[int, ...], /) -> tuple[Any, Any]:
    """Smallest sum of squared errors over transforms of the images of the first chunk, and which transforms reach it.

    Parameters
    ----------
    a, b
        (m, h, w, c) and (n, h, w, c) uint8, NumPy or CuPy.
    transforms
        Numbers of the transforms, see `available_transforms`.

    Returns
    -------
    errors
        (m, n) int64, grey levels².
    masks
        (m, n) uint8; bit t is set where transform t reaches the minimum. All of them are kept because the roles of
        the two images may be swapped later, and the lowest angle must then be found again among all that tie.
    """
    xp = array_namespace(a, b)
    columns = _centred(b, xp)
    column_norms = _squared_norms(columns, xp)
    best, masks = None, None
    for transform in transforms:
        rows = _centred(apply_transform(a, transform), xp)
        products = _inner_products(rows, columns, xp)
        errors = xp.astype(_squared_norms(rows, xp)[:, None] + column_norms[None, :] - 2 * products, xp.int64)
        bit = xp.uint8(1 << transform)
        if best is None:
            best, masks = errors, xp.full(errors.shape, bit, dtype=xp.uint8)
        else:
            masks = xp.where(errors < best, bit, xp.where(errors == best, masks | bit, masks))
            best = xp.minimum(best, errors)
    return best, masks
