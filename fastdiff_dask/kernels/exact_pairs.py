"""Similar pairs by exact sums of squared errors, listed or all with all; `squared_errors_int8` has them for a GPU."""

import math
from typing import Any

from array_api_compat import array_namespace

from .similarity import SimilarityLimit
from .squared_errors import paired_squared_errors, prepare_images, prepared_squared_errors

__all__ = ["chunk_rows", "listed_pairs", "similar_pairs"]

# Rows and columns of one matrix of errors: bounds the memory whatever the size of a block, and the share of pairs on
# the diagonal that a matrix product computes twice.
_CHUNK = 256
_CHUNK_BYTES = 1 << 26


def _pairs_array(i: Any, j: Any, values: Any, masks: Any, xp: Any) -> Any:
    return xp.stack([i, j, xp.astype(values, xp.int64), xp.astype(masks, xp.int64)], axis=1)


def listed_pairs(a: Any, b: Any, i: Any, j: Any, /, *, limit: SimilarityLimit, transforms: tuple[int, ...]) -> Any:
    """Find the listed pairs that are similar by the transform with the smallest sum of squared errors.

    Parameters
    ----------
    a, b
        (m, h, w, c) and (n, h, w, c) uint8, NumPy or CuPy.
    i, j
        (k,) int64: places in `a` and in `b`.
    limit, transforms
        As for `similar_pairs`.

    Returns
    -------
    As `similar_pairs`, in the order in which the pairs were given.
    """
    xp = array_namespace(a, b)
    rows, columns = prepare_images(a, transforms), prepare_images(b, transforms, mirrored=False)
    errors, masks = paired_squared_errors(rows, columns, i, j)
    similar, values = limit.similar(errors, rows.moments.at(i), columns.moments.at(j))
    return _pairs_array(i[similar], j[similar], values[similar], masks[similar], xp)


def chunk_rows(values: int) -> int:
    """Images along the side of a matrix of errors, by the values of an image: up to 64 MB as float32, or one image."""
    return max(1, min(_CHUNK, _CHUNK_BYTES // (4 * values)))


def similar_pairs(
    a: Any, b: Any, /, *, limit: SimilarityLimit, transforms: tuple[int, ...], triangular: bool = False
) -> Any:
    """Find the similar pairs of images by comparing all, under the transform with the smallest sum of squared errors.

    Parameters
    ----------
    a, b
        (m, h, w, c) and (n, h, w, c) uint8, NumPy or CuPy.
    limit
        Limit of a similar pair.
    transforms
        Numbers of the transforms of images of `a`, see `transforms.available_transforms`.
    triangular
        `a` and `b` are the same images; compare each with those after it only.

    Returns
    -------
    (k, 4) int64, a row a pair, ordered: index in `a`, index in `b`, value as the limit gives it, bit mask of the
    transforms that reach it.

    Examples
    --------
    >>> import numpy as np
    >>> images = np.zeros((3, 8, 8, 3), np.uint8)
    >>> images[2] = 255
    >>> from fastdiff_dask.kernels.similarity import SquaredErrorLimit
    >>> similar_pairs(images, images, limit=SquaredErrorLimit(0), transforms=(0, 2), triangular=True).tolist()
    [[0, 1, 0, 5]]
    """
    xp = array_namespace(a, b)
    found = [xp.zeros((0, 4), dtype=xp.int64)]
    size = chunk_rows(math.prod(a.shape[1:]))
    for top in range(0, a.shape[0], size):
        rows = prepare_images(a[top : top + size], transforms)
        for left in range(top if triangular else 0, b.shape[0], size):
            columns = prepare_images(b[left : left + size], transforms, mirrored=False)
            errors = prepared_squared_errors(rows, columns)
            similar, values = limit.similar(
                errors.smallest, rows.moments.at((slice(None), None)), columns.moments.at((None, slice(None)))
            )
            if triangular and left == top:
                similar = xp.triu(similar, k=1)
            i, j = xp.nonzero(similar)
            if i.shape[0]:
                found.append(_pairs_array(i + top, j + left, values[i, j], errors.masks((i, j)), xp))
    pairs = xp.concat(found)
    return pairs[xp.argsort(pairs[:, 0] * b.shape[0] + pairs[:, 1])]
