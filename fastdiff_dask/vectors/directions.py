"""Leading directions of vectors, and signatures along them: their distances bound those of the vectors from below."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from array_api_compat import array_namespace
from numpy.typing import NDArray

__all__ = [
    "LONGER",
    "SIGNATURE_VALUES",
    "Projection",
    "find_directions",
    "not_far_longer",
    "plain_projection",
    "sample_places",
    "unit_rows",
]

# 127 values along directions, and the norm of the rest.
SIGNATURE_VALUES = 128
# Vectors of a sample: enough for the directions, which change only the time that a search takes.
_SAMPLE = 8192
# Bytes of the float64 rows that are projected at once.
_BATCH_BYTES = 1 << 22
# Vectors so many times as long as this share of all are apart from the others.
LONGER, _USUAL_SHARE = 16, 0.999
# Largest norm of a signature, in units of the scale: its square is far below the largest float32.
_LARGEST_NORM = 2.0**50


@dataclass(frozen=True)
class Projection:
    """Directions along which vectors are measured, one choice for all vectors of a name and metric.

    Attributes
    ----------
    metric
        "cosine": rows are divided by their norms first. "euclidean": the mean is subtracted. "inner": rows as they are.
    mean
        (d,) float64; 0 but for "euclidean": that of a sample without the few that lie far off.
    exponent
        Rows are divided by two to this power; 0 for "cosine".
    directions
        (k, d) float64, orthonormal but for rounding, the largest variance first; k < `SIGNATURE_VALUES`.
    """

    metric: str
    mean: NDArray[np.float64]
    exponent: int
    directions: NDArray[np.float64]

    def error(self) -> float:
        """Bound of the distance of a computed signature from an exact one, as a share of the norm of the vector.

        Let D be the directions as they are stored, and Q the orthonormal directions nearest to them: the polar factor
        of D. If δ bounds the spectral norm of D Dᵀ − I, here by its Frobenius norm, |D x − Q x| ≤ δ |x|. The exact
        signature of x is (Q x, √(|x|² − |Q x|²)): parts of x in an orthonormal basis, and the norm of all others, so
        that signatures are no farther apart than the vectors, and no inner product of vectors is larger than that of
        their signatures (Cauchy and Schwarz).

        Sums over d products in float64 and in any order are wrong by at most γ_d of the sum of their sizes (Higham
        2002, section 3.1), so that the k values together are wrong by at most η |x| with η = 2 (d + 16) u √(k + 1) + δ,
        u = 2⁻⁵³: 16 and the factor 2 cover the rounding of a unit row or of a difference from the mean, and of the sum
        of squares. The last value is the root of a difference, as in `kernels.signatures.signature_error`, whose steps
        give all else, with the rounding to float32 and that of a norm of the last values.
        """
        count, width = self.directions.shape
        gram = self.directions @ self.directions.T - np.eye(count)
        unit = 2.0**-53
        defect = float(np.sqrt(np.sum(gram * gram))) * (1 + 1e-9) + 2 * (width + 2) * unit * max(count, 1)
        eta = 2 * (width + 16) * unit * math.sqrt(count + 1) + defect
        return eta + math.sqrt(4 * eta + 2 * eta * eta) + 3 * 2.0**-24 * (1 + 2 * math.sqrt(eta))

    def scaled(self, distance: float) -> float:
        """Distance of rows as they are measured: of "euclidean" distances, in units of the scale."""
        with np.errstate(over="ignore"):
            return float(np.ldexp(distance, -self.exponent))

    def apply(self, rows: Any, /) -> Any:
        """Compute the signatures of vectors.

        Memory: 4 MB beside the result.

        Parameters
        ----------
        rows
            (n, d), `metrics.usable`, NumPy or CuPy.

        Returns
        -------
        (n, k + 1) float32: the values along the directions, and the norm of all else. Rows too large for the scale have
        infinities; nothing is known of them.
        """
        xp = array_namespace(rows)
        count, width = self.directions.shape
        result = xp.empty((rows.shape[0], count + 1), dtype=xp.float32)
        transposed = xp.asarray(self.directions.T)
        size = max(1, _BATCH_BYTES // (8 * max(width, 1)))
        for start in range(0, rows.shape[0], size):
            with np.errstate(all="ignore"):
                some = self.measured(rows[start : start + size, :])
                values, norms = some @ transposed, xp.vecdot(some, some)
                rest = xp.sqrt(xp.maximum(norms - xp.vecdot(values, values), xp.zeros_like(norms)))
                found = xp.concat([values, rest[:, None]], axis=1)
                known = norms <= _LARGEST_NORM**2
                found = xp.where(known[:, None], found, xp.asarray(xp.inf, dtype=xp.float64))
            result[start : start + size, :] = xp.astype(found, xp.float32)
        return result

    def measured(self, rows: Any, /) -> Any:
        """Give vectors as their signatures measure them: of unit length, or scaled; (n, d) float64.

        A value is right up to a share of (d + 16) 2⁻⁵³ of the norm.
        """
        xp = array_namespace(rows)
        if self.metric == "cosine":
            return unit_rows(rows)
        values = xp.astype(rows, xp.float64)
        if self.metric == "euclidean":
            values = values - xp.asarray(self.mean)
        return xp.ldexp(values, xp.asarray(-self.exponent))


def unit_rows(rows: Any, /) -> Any:
    """Divide rows by their norms, in float64; each value is right up to a share of (d + 16) 2⁻⁵³.

    Parameters
    ----------
    rows
        (n, d), `metrics.usable` for "cosine".

    Returns
    -------
    (n, d) float64.
    """
    xp = array_namespace(rows)
    values = xp.astype(rows, xp.float64)
    if rows.dtype == xp.float64 and rows.shape[1]:  # neither do squares overflow then, nor does their sum vanish
        values = xp.ldexp(values, -xp.frexp(xp.max(xp.abs(values), axis=1, keepdims=True))[1])
    return values / xp.sqrt(xp.vecdot(values, values))[:, None]


def not_far_longer(squares: Any, xp: Any) -> Any:
    """Tell which vectors are not far longer than nearly all others.

    Parameters
    ----------
    squares
        (n,) squares of their norms, finite.
    xp
        Namespace of the array.

    Returns
    -------
    (n,) bool.
    """
    if not squares.shape[0]:
        return squares >= 0
    return squares <= LONGER**2 * xp.sort(squares)[int(_USUAL_SHARE * (squares.shape[0] - 1))]


def sample_places(count: int) -> NDArray[np.int64]:
    """Places of some of so many vectors, evenly spread: those of which `find_directions` makes directions."""
    return np.unique(np.linspace(0, max(count - 1, 0), min(count, _SAMPLE)).astype(np.int64))


def find_directions(metric: str, sample: NDArray[Any], /, values: int = SIGNATURE_VALUES) -> Projection:
    """Find the directions in which some vectors differ most: principal components (Hotelling 1933).

    For "cosine", the direction of the mean is the last one: it tells no vectors apart, but leaves less for the norm of
    the rest, which bounds inner products.

    Parameters
    ----------
    metric
        One of `config.METRICS`, but "hamming".
    sample
        (n, d): some vectors; unusable ones are left out.
    values
        Values of a signature.

    Returns
    -------
    The projection. Any choice of directions gives the same pairs; these spare most time.
    """
    from .metrics import usable

    width = sample.shape[1]
    sample = sample[usable(metric, sample)]
    exponent, mean = 0, np.zeros(width)
    with np.errstate(all="ignore"):
        if metric == "cosine":
            rows = unit_rows(sample)
        else:
            rows = sample.astype(np.float64)
            if metric == "euclidean" and len(rows):
                mean = _usual_mean(rows)
            exponent = _middle_exponent(rows - mean)
            rows = np.ldexp(rows - mean, -exponent)
            rows = rows[(np.abs(rows) < _LARGEST_NORM).all(axis=1)]
            rows = rows[not_far_longer(np.vecdot(rows, rows), np)]
    return Projection(metric, mean, exponent, _principal(rows, min(values - 1, width), metric != "euclidean"))


def plain_projection(metric: str, rows: NDArray[Any], /) -> Projection:
    """Make a projection without directions: signatures are norms, in the scale of some usable rows (n, d)."""
    width = rows.shape[1]
    exponent = 0 if metric == "cosine" else _middle_exponent(rows.astype(np.float64))
    return Projection(metric, np.zeros(width), exponent, np.zeros((0, width)))


def _usual_mean(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mean of the rows that are not far from the median: a broken one would shift that of all."""
    middle = np.nan_to_num(np.median(rows, axis=0), posinf=0, neginf=0)
    apart = np.ldexp(rows - middle, -_middle_exponent(rows - middle))
    squares = np.vecdot(apart, apart)
    finite = np.isfinite(squares)
    usual = rows[finite & not_far_longer(np.where(finite, squares, 0), np)]
    return np.nan_to_num(np.sum(usual / max(len(usual), 1), axis=0), posinf=0, neginf=0)


def _middle_exponent(rows: NDArray[np.float64]) -> int:
    """Exponent of the largest number of the middle row."""
    largest = np.max(np.abs(rows), axis=1, initial=0)
    largest = largest[np.isfinite(largest) & (largest > 0)]
    return int(np.frexp(np.median(largest))[1]) if len(largest) else 0


def _principal(rows: NDArray[np.float64], count: int, with_mean: bool) -> NDArray[np.float64]:
    """Orthonormal directions (count, d): those of the largest variance, and that of the mean as the last one."""
    width = rows.shape[1]
    mean = np.mean(rows, axis=0) if len(rows) else np.zeros(width)
    centred = rows - mean
    _, vectors = np.linalg.eigh(centred.T @ centred)
    leading = vectors[:, ::-1].T
    if not with_mean or not count or not mean.any():
        return np.ascontiguousarray(leading[:count])
    # the mean first, so that it stays as it is; then as many others as are wanted, at right angles
    basis, _ = np.linalg.qr(np.concatenate([(mean / np.abs(mean).max())[:, None], leading[: count - 1].T], axis=1))
    return np.ascontiguousarray(np.concatenate([basis[:, 1:], basis[:, :1]], axis=1).T)
