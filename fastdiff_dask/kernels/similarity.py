"""Limits of similarity: by the sum of squared errors, or by correlation. Chunks in, chunks out, NumPy or CuPy."""

from typing import Any, NamedTuple, Protocol

from array_api_compat import array_namespace

from ..config import CompareSettings
from .bounds import correlation_radius, search_radius
from .squared_errors import Moments

__all__ = ["CorrelationLimit", "SimilarityLimit", "SquaredErrorLimit", "correlation_distances", "similarity_limit"]

# Correlation distances are multiples of this: twelve decimals, far above the rounding of float64.
_GRID = 2.0**-40


class SimilarityLimit(Protocol):
    """The largest value of a similar pair, by a measure that the signatures bound."""

    def radius(self, shape: tuple[int, int, int]) -> float:
        """Largest distance of the `signatures` of two similar images of a shape (h, w, c)."""

    def similar(self, errors: Any, a: Moments, b: Moments) -> tuple[Any, Any]:
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

    def similar(self, errors: Any, a: Moments, b: Moments) -> tuple[Any, Any]:
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

    def similar(self, errors: Any, a: Moments, b: Moments) -> tuple[Any, Any]:
        """Compare correlation distances, and give the bits of these."""
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
