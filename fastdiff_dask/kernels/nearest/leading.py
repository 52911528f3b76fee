"""Leading values of signatures, from which most images are known to be far from another one. NumPy only."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..bounds import BOX_VALUES, product_limit
from ..signatures import as_mirrored, largest_norm, leading_values, signature_length

__all__ = ["bounds_of", "bounds_reach", "leading_length", "leading_rows", "mirrored_rows"]


def leading_length(shape: tuple[int, int, int], /) -> int:
    """Values of a row of `leading_rows`, for thumbnails (h, w, c)."""
    return min(BOX_VALUES, signature_length(*shape)) + 1


def leading_rows(signatures: NDArray[np.float32], there: NDArray[np.bool_], /) -> NDArray[np.float32]:
    """Give the leading values of signatures, and the square of their norm, in a row each.

    Parameters
    ----------
    signatures
        (n, k) float32.
    there
        (n,) bool: False for rows without an image.

    Returns
    -------
    (n, `leading_length`) float32; NaN for rows without an image, which are never near anything.

    Examples
    --------
    >>> leading_rows(np.array([[3, 4], [0, 0]], np.float32), np.array([True, False])).tolist()
    [[3.0, 4.0, 25.0], [nan, nan, nan]]
    """
    values = leading_values(signatures, BOX_VALUES)
    exact = values.astype(np.float64)
    norms = np.vecdot(exact, exact).astype(np.float32)
    rows = np.concatenate([values, norms[:, None]], axis=1)
    rows[~there] = np.nan
    return rows


def mirrored_rows(rows: NDArray[np.float32], shape: tuple[int, int, int], /) -> NDArray[np.float32]:
    """Make the leading values of signatures by which mirror images are alike, see `signatures.as_mirrored`."""
    signed = as_mirrored(np.full((1, signature_length(*shape)), -1, np.float32), *shape)[0] > 0
    # the last two are norms
    places = np.flatnonzero(signed[: rows.shape[1] - 2])
    found = rows.copy()
    found[:, places] = np.abs(rows[:, places])
    return found


def bounds_of(rows: NDArray[np.float32], images: NDArray[np.float32], /) -> NDArray[np.float32]:
    """Squared distances of leading values: lower bounds of those of signatures, but for rounding, see `bounds_reach`.

    Parameters
    ----------
    rows, images
        (n, k) and (m, k) float32, as `leading_rows` gives them.

    Returns
    -------
    (m, n) float32; NaN where there is no image.
    """
    products = images[:, :-1] @ rows[:, :-1].T
    products *= -2
    products += rows[:, -1]
    products += images[:, -1:]
    return products


def bounds_reach(radius: Any, shape: tuple[int, int, int], values: int = 0, /) -> Any:
    """Largest value of `bounds_of` for images at most a radius apart.

    The sums are those of `bounds.product_limit`. No norm is above that of the largest image, but for its error, which
    the factor covers: it is below a thousandth.

    Parameters
    ----------
    radius
        The radius, or (n,) float64.
    shape
        (h, w, c) of a thumbnail.
    values
        Values that are compared; by default the leading ones.

    Returns
    -------
    float32, as many.
    """
    values = values or leading_length(shape) - 1
    limit = radius * radius + product_limit(0, values, 2.01 * largest_norm(*shape) ** 2)
    return np.nextafter(np.asarray(limit, np.float32), np.float32(np.inf))
