"""Limits of similarity, by the sum of squared errors or by correlation, and the pairs within them, exactly.

Chunks in, chunks out, NumPy or CuPy; `squared_errors_int8` has the pairs for a GPU.
"""

import math
from functools import cache
from typing import Any, NamedTuple, Protocol

import numpy as np
from array_api_compat import array_namespace
from numpy.typing import NDArray

from ..config import CompareSettings
from .bounds import correlation_radius, search_radius
from .signatures import normalised_pixels
from .squared_errors import (
    Moments,
    PreparedImages,
    image_moments,
    prepare_images,
    prepared_squared_errors,
    squared_norms,
)
from .transforms import Transform, apply_transform, best_transforms

__all__ = [
    "CorrelationLimit",
    "SimilarityLimit",
    "SquaredErrorLimit",
    "chunk_rows",
    "correlation_distances",
    "listed_pairs",
    "prepared_pairs",
    "similar_pairs",
    "similarity_limit",
]

# Correlation distances are multiples of this: twelve decimals, far above the rounding of float64.
_GRID = 2.0**-40
# Rows and columns of one matrix of errors: bounds the memory whatever the size of a block, and the share of pairs on
# the diagonal that a matrix product computes twice.
_CHUNK = 256
_CHUNK_BYTES = 1 << 26
# Values whose squares are summed in float32, and bytes of the images of a few pairs: they stay in the cache of a core.
_STEP, _PAIRS_BYTES = 256, 1 << 18


class SimilarityLimit(Protocol):
    """The largest value of a similar pair, by a measure that the signatures bound."""

    def radius(self, shape: tuple[int, int, int]) -> float:
        """Largest distance of the `signatures` of two similar images of a shape (h, w, c)."""

    def scaled(self, images: Any) -> tuple[Any, Any]:
        """Give pixels whose distances decide: of similar images they are at most `radius` apart.

        Parameters
        ----------
        images
            (n, h, w, c) uint8, NumPy or CuPy.

        Returns
        -------
        pixels
            Of the same shape, float32, each right to 2⁻²⁴ of the norm of the image.
        squares
            (n,) float64: squared norms.
        """

    def moments(self, images: Any) -> Moments | None:
        """Moments of images (n, h, w, c) uint8, if `similar` needs them."""

    def similar(self, errors: Any, a: Moments | None, b: Moments | None) -> tuple[Any, Any]:
        """Compare the values of pairs with the limit.

        Parameters
        ----------
        errors
            Smallest sums of squared errors over the transforms, integers in float64 or int64.
        a, b
            Moments of the images, in shapes that broadcast to that of `errors`.

        Returns
        -------
        similar
            True for similar pairs.
        values
            Values of the pairs as they are stored, int64 or float64 of whole numbers.
        """


def similarity_limit(settings: CompareSettings, height: int, width: int) -> SimilarityLimit:
    """Limit of a similar pair of images of a size, by a measure that signatures bound."""
    if settings.measure == "correlation":
        return CorrelationLimit(settings.similarity_threshold, height * width)
    return SquaredErrorLimit(settings.sse_limit(height, width))


class SquaredErrorLimit(NamedTuple):
    """Largest sum of squared errors of a similar pair, inclusive."""

    limit: int

    def radius(self, shape: tuple[int, int, int]) -> float:
        """Largest distance of signatures, see `bounds.search_radius`."""
        return search_radius(self.limit, shape)

    def scaled(self, images: Any) -> tuple[Any, Any]:
        """Pixels less 128, exact."""
        xp = array_namespace(images)
        pixels = xp.astype(images, xp.float32)
        pixels -= 128
        return pixels, squared_norms(pixels)

    def moments(self, images: Any) -> None:
        """None: the sums of squared errors say all."""

    def similar(self, errors: Any, a: Moments | None, b: Moments | None) -> tuple[Any, Any]:
        """Compare the sums themselves."""
        return errors <= self.limit, errors


class CorrelationLimit(NamedTuple):
    """Largest correlation distance of a similar pair, inclusive, see `correlation_distances`."""

    threshold: float
    pixels: int
    """Pixels of an image: h · w."""

    def radius(self, shape: tuple[int, int, int]) -> float:
        """Largest distance of normalised signatures, see `bounds.correlation_radius`."""
        return correlation_radius(self.threshold + _GRID, shape)

    def scaled(self, images: Any) -> tuple[Any, Any]:
        """Pixels less the mean of each channel, scaled to one norm; constant images become 0."""
        pixels = normalised_pixels(images)
        xp = array_namespace(pixels)
        squares = xp.sum(pixels * pixels, axis=(1, 2, 3))
        return xp.astype(pixels, xp.float32), squares

    def moments(self, images: Any) -> Moments:
        """Sums of the channels and of squares."""
        return image_moments(images)

    def similar(self, errors: Any, a: Moments | None, b: Moments | None) -> tuple[Any, Any]:
        """Compare correlation distances, and give the bits of these."""
        assert a is not None
        assert b is not None
        xp = array_namespace(a.norms)
        distances = correlation_distances(errors, a, b, self.pixels)
        return distances <= self.threshold, distances.view(xp.int64)


def correlation_distances(errors: Any, a: Moments, b: Moments, pixels: int) -> Any:
    """Give 1 − r, where r is Pearson's correlation of the values of two images, each less the mean of its channel.

    With n pixels, and S_c and T_c the sums of channel c, n Σ x y − Σ_c S_c T_c is n² times the covariance, an integer,
    and so are the variances. All are exact in int64 up to 2²⁰ pixels. Only the last steps are in float64: two roots,
    a product and a quotient, each rounded correctly, hence the same everywhere. The result is rounded to a multiple of
    2⁻⁴⁰, so that images that differ in brightness and contrast alone are 0 apart. An image with constant channels has
    no correlation: its distance from any other image is 1.

    Parameters
    ----------
    errors
        Sums of squared errors, under the transform with the smallest: it has the largest correlation as well.
    a, b
        Moments of the images, in shapes that broadcast to that of `errors`.
    pixels
        Pixels of an image: h · w.

    Returns
    -------
    float64, 0 to 2.
    """
    xp = array_namespace(a.norms)
    products = xp.astype(a.norms + b.norms - errors, xp.int64) // 2
    covariances = pixels * products
    for channel in range(a.sums.shape[-1]):
        covariances -= a.sums[..., channel] * b.sums[..., channel]
    scales = _deviations(a, pixels, xp) * _deviations(b, pixels, xp)
    ratios = xp.astype(covariances, xp.float64) / xp.where(scales > 0, scales, 1)
    return xp.round(xp.clip(1 - ratios, 0, 2) / _GRID) * _GRID


def _deviations(images: Moments, pixels: int, xp: Any) -> Any:
    """Square roots of n² times the variance of each image, all channels together."""
    variances = pixels * xp.astype(images.norms, xp.int64) - xp.sum(images.sums * images.sums, axis=-1)
    return xp.sqrt(xp.astype(variances, xp.float64))


# -- similar pairs -----------------------------------------------------------------------------------------------------


def _pairs_array(i: Any, j: Any, values: Any, masks: Any, xp: Any) -> Any:
    return xp.stack([i, j, xp.astype(values, xp.int64), xp.astype(masks, xp.int64)], axis=1)


def listed_pairs(
    a: Any, b: Any, i: Any, j: Any, masks: Any, /, *, limit: SimilarityLimit, transforms: tuple[int, ...]
) -> Any:
    """Find the listed pairs that are similar by the transform with the smallest sum of squared errors.

    Memory: the images of `a` once more, and some megabytes.

    Parameters
    ----------
    a, b
        (m, h, w, c) and (n, h, w, c) uint8, NumPy or CuPy.
    i, j
        (k,) int64: places in `a` and in `b`.
    masks
        (k,) uint8: bit masks of the transforms to compare; under all others a pair is known not to be similar.
    limit, transforms
        As for `similar_pairs`.

    Returns
    -------
    As `similar_pairs`, in the order in which the pairs were given.
    """
    xp = array_namespace(a, b)
    values = math.prod(b.shape[1:])
    first, second = xp.reshape(a, (a.shape[0], values)), xp.reshape(b, (b.shape[0], values))
    # larger than all errors: of 2³⁶ values
    errors = xp.full((len(transforms), i.shape[0]), 1 << 52, dtype=xp.int64)
    for row, transform in enumerate(transforms):
        bit = Transform(transform).bit
        places = xp.nonzero((masks & bit) != 0)[0]
        if not places.shape[0]:
            continue
        rows, x = xp.unique_inverse(i[places])
        turned = xp.take(first, rows, axis=0)
        if transform:  # four times as fast as copying a turned view, whose rows are pixels of a few bytes
            turned = xp.take(turned, xp.asarray(_turned_places(a.shape[1:], transform)), axis=1)
        errors[row, places] = _errors_at(turned, second, x, j[places], xp)
    smallest = xp.min(errors, axis=0)
    reached = best_transforms(((t, -errors[row]) for row, t in enumerate(transforms)), -smallest)
    kinds = limit.moments(a), limit.moments(b)
    of_a, of_b = (None if kind is None else kind.at(places) for kind, places in zip(kinds, (i, j), strict=True))
    similar, found = limit.similar(smallest, of_a, of_b)
    return _pairs_array(i[similar], j[similar], found[similar], reached[similar], xp)


@cache
def _turned_places(shape: tuple[int, int, int], transform: int) -> NDArray[np.int64]:
    """Places of the values of an image in the order in which the turned image has them."""
    places = np.arange(math.prod(shape)).reshape(1, *shape)
    return np.ascontiguousarray(apply_transform(places, transform)).reshape(-1)


def _errors_at(a: Any, b: Any, i: Any, j: Any, xp: Any) -> Any:
    """Sums of squared errors of some pairs of rows (n, k) uint8: (pairs,) int64.

    Differences are below 2⁸ in size, so that float32 holds a sum of 256 squares, at most 2⁸ · 255² < 2²⁴, exactly.
    """
    errors = xp.empty(i.shape[0], dtype=xp.int64)
    whole = b.shape[1] - b.shape[1] % _STEP
    at_once = max(1, _PAIRS_BYTES // max(b.shape[1], 1))
    for start in range(0, i.shape[0], at_once):
        pairs = slice(start, start + at_once)
        x, y = xp.take(a, i[pairs], axis=0), xp.take(b, j[pairs], axis=0)
        larger = xp.maximum(x, y)
        larger -= xp.minimum(x, y)
        apart = xp.astype(larger, xp.float32)
        steps = xp.reshape(apart[:, :whole], (apart.shape[0], whole // _STEP, _STEP))
        squares = xp.sum(xp.vecdot(steps, steps), axis=1, dtype=xp.float64)
        squares += xp.vecdot(apart[:, whole:], apart[:, whole:])
        errors[pairs] = xp.astype(squares, xp.int64)
    return errors


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
            pairs = prepared_pairs(rows, columns, limit)
            if triangular and left == top:
                pairs = pairs[pairs[:, 0] < pairs[:, 1]]
            pairs[:, 0] += top
            pairs[:, 1] += left
            found.append(pairs)
    pairs = xp.concat(found)
    return pairs[xp.argsort(pairs[:, 0] * b.shape[0] + pairs[:, 1])]


def prepared_pairs(a: PreparedImages, b: PreparedImages, limit: SimilarityLimit, /) -> Any:
    """Find the similar pairs of prepared images, as `similar_pairs`, by one matrix of errors."""
    xp = array_namespace(a.moments.norms)
    errors = prepared_squared_errors(a, b)
    similar, values = limit.similar(
        errors.smallest, a.moments.at((slice(None), None)), b.moments.at((None, slice(None)))
    )
    i, j = xp.nonzero(similar)
    return _pairs_array(i, j, values[i, j], errors.masks((i, j)), xp)
