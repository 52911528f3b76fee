"""Distances of vectors, decided to the bit: the same on every machine, for every tiling, with NumPy and CuPy."""

from typing import Any, NamedTuple

import numpy as np
from array_api_compat import array_namespace, is_numpy_namespace

from ..config import METRICS
from ..errors import UsageError

__all__ = [
    "check_vectors",
    "distances",
    "limit_of",
    "listed_distances",
    "row_squares",
    "shown_of",
    "usable",
]

# Bytes of the products of some pairs: they stay in the cache of a core; on a GPU a step is worth a launch.
_PRODUCT_BYTES, _DEVICE_BYTES = 1 << 19, 1 << 26
# Columns from which sums go on with an array whose rows are the columns: short rows cost a call each.
_SHORT = 32
_LARGEST = float(np.finfo(np.float64).max)
# Powers of two are taken off for these: products of all narrower types fit into a float64.
_WIDE = np.dtype(np.float64)


class _Scaled(NamedTuple):
    """Rows (n, d) float64, divided by powers of two, and the exponents of these, (n, 1), or None for none."""

    rows: Any
    exponents: Any


def check_vectors(metric: str, dtype: Any) -> None:
    """Refuse a metric that is unknown, or numbers that it does not compare.

    Parameters
    ----------
    metric
        One of `config.METRICS`.
    dtype
        Type of the vectors: bool, integers, or floats of at most 64 bits; no floats for "hamming".

    Raises
    ------
    UsageError
        With what is there and what can be used.
    """
    if metric not in METRICS:
        raise UsageError(f"metric={metric!r} is not known; use {', '.join(map(repr, METRICS))}")
    dtype = np.dtype(dtype)
    if metric == "hamming" and dtype.kind not in "biu":
        raise UsageError(f"metric='hamming' counts bits, and the vectors are {dtype}; use uint8, or another metric")
    if dtype.kind not in "biuf" or dtype.itemsize > _WIDE.itemsize:
        raise UsageError(f"vectors of {dtype} cannot be compared; use float16, float32, float64 or integers")


def limit_of(metric: str, threshold: float) -> float:
    """Largest distance of a similar pair, for the threshold that people give.

    People give a similarity for "cosine" and "inner": the least cosine or inner product of a similar pair. The distance
    is 1 − cosine, as float64 numbers are subtracted, and minus the inner product. "euclidean" and "hamming" are
    distances as they are.

    Examples
    --------
    >>> limit_of("cosine", 0.75), limit_of("inner", 3), limit_of("hamming", 4)
    (0.25, -3.0, 4.0)
    """
    return float(shown_of(metric, float(threshold)))


def shown_of(metric: str, values: Any) -> Any:
    """Turn distances into what people see: cosines, inner products, or the distances; the reverse of `limit_of`.

    Examples
    --------
    >>> shown_of("cosine", 0.25)
    0.75
    """
    if metric == "cosine":
        return 1 - values
    return 0.0 - values if metric == "inner" else values


def usable(metric: str, rows: Any, /) -> Any:
    """Tell which vectors have distances: those of finite numbers, and not all zero for "cosine".

    Parameters
    ----------
    metric
        One of `config.METRICS`.
    rows
        (n, d), NumPy or CuPy.

    Returns
    -------
    (n,) bool.
    """
    xp = array_namespace(rows)
    found = xp.ones(rows.shape[0], dtype=xp.bool)
    if np.dtype(rows.dtype).kind == "f":
        found = xp.all(xp.isfinite(rows), axis=1)
    return found & xp.any(rows != 0, axis=1) if metric == "cosine" else found


def row_squares(rows: Any, /) -> Any:
    """Sums of squares of rows, as `distances` makes them for "cosine"; of rows over a power of two if float64.

    Parameters
    ----------
    rows
        (n, d), NumPy or CuPy.

    Returns
    -------
    (n,) float64.
    """
    xp = array_namespace(rows)
    result = xp.empty(rows.shape[0], dtype=xp.float64)
    with np.errstate(all="ignore"):
        for some in _batches(rows.shape[0], rows.shape[1], xp):
            scaled = _scaled(rows[some, :], xp).rows
            result[some] = _sums(scaled * scaled, xp)
    return result


def distances(metric: str, a: Any, b: Any, /) -> Any:
    """Compute the distances of rows a[i] and b[i].

    - "cosine": 1 − a·b / √(a·a b·b), from 0 to 2, and exactly 0 for equal vectors;
    - "inner": −a·b;
    - "euclidean": |a − b|;
    - "hamming": number of bits that differ. Bytes may hold eight bits each, or one.

    The numbers are float64 from the start. Products and differences are rounded once each, and sums are those of a
    fixed tree: padded with zeros to a power of two, the second half is added to the first, until one is left. Sums,
    products, quotients and roots are rounded correctly by any machine with IEEE arithmetic, so that a distance has the
    same bits everywhere, whatever else is computed beside it. Float64 vectors are divided by powers of two first, which
    rounds nothing but what vanishes beside the largest number: nothing overflows and no sum vanishes.

    Let u = 2⁻⁵³ and t = ⌈log₂ d⌉ + 1. The error is below (2 t + 4) u for "cosine", t u |a| |b| for "inner", and
    (t + 4) u |a − b| for "euclidean" (Higham, *Accuracy and Stability of Numerical Algorithms*, 2002, section 4.2).

    Parameters
    ----------
    metric
        One of `config.METRICS`.
    a, b
        (k, d) each: bool, integers or floats of at most 64 bits, NumPy or CuPy.

    Returns
    -------
    (k,) float64; infinite where a vector is not `usable`. An inner product beyond the float64 numbers is the largest of
    them.

    Raises
    ------
    UsageError
        If the metric does not compare such numbers.

    Examples
    --------
    >>> import numpy as np
    >>> distances("euclidean", np.array([[0.0, 3.0]]), np.array([[4.0, 0.0]])).tolist()
    [5.0]
    """
    for one in (a, b):
        check_vectors(metric, one.dtype)
    xp = array_namespace(a, b)
    places = xp.arange(a.shape[0], dtype=xp.int64)
    squares = (row_squares(a), row_squares(b)) if metric == "cosine" else None
    return listed_distances(metric, a, b, places, places, squares)


def listed_distances(metric: str, a: Any, b: Any, i: Any, j: Any, squares: tuple[Any, Any] | None = None, /) -> Any:
    """Compute the `distances` of rows a[i] and b[j].

    Memory: some hundred kB, or the products of 64 MB on a GPU.

    Parameters
    ----------
    metric, a, b
        As for `distances`; (m, d) and (n, d).
    i, j
        (k,) int64: places.
    squares
        `row_squares` of all of `a` and of `b`, if they are known; for "cosine" alone.

    Returns
    -------
    (k,) float64.
    """
    for one in (a, b):
        check_vectors(metric, one.dtype)
    xp = array_namespace(a, b)
    result = xp.empty(i.shape[0], dtype=xp.float64)
    with np.errstate(all="ignore"):
        for some in _batches(i.shape[0], a.shape[1], xp):
            rows, columns = i[some], j[some]
            x, y = xp.take(a, rows, axis=0), xp.take(b, columns, axis=0)
            if metric == "hamming":
                values = _different_bits(x, y, xp)
            elif metric == "euclidean":
                values = _euclidean(x, y, xp)
            else:
                values = _by_products(
                    metric, x, y, None if squares is None else (squares[0][rows], squares[1][columns]), xp
                )
            result[some] = xp.where(xp.isnan(values), xp.asarray(xp.inf, dtype=xp.float64), values)
    return result


def _batches(count: int, width: int, xp: Any) -> list[slice]:
    size = max(1, (_PRODUCT_BYTES if is_numpy_namespace(xp) else _DEVICE_BYTES) // (8 * max(width, 1)))
    return [slice(start, min(start + size, count)) for start in range(0, count, size)]


def _scaled(rows: Any, xp: Any) -> _Scaled:
    values = xp.astype(rows, xp.float64)
    if rows.dtype != xp.float64 or not rows.shape[1]:
        return _Scaled(values, None)
    exponents = xp.frexp(xp.max(xp.abs(values), axis=1, keepdims=True))[1]
    return _Scaled(xp.ldexp(values, -exponents), exponents)


def _sums(terms: Any, xp: Any) -> Any:
    """Sums of rows by a tree, which end in place; terms (n, d) float64 → (n,)."""
    width = terms.shape[1]
    if not width:
        return xp.zeros(terms.shape[0], dtype=xp.float64)
    while width > _SHORT:
        half = 1 << ((width - 1).bit_length() - 1)
        terms[:, : width - half] += terms[:, half:width]
        width = half
    terms = xp.asarray(terms[:, :width].T, copy=True)
    while width > 1:
        half = 1 << ((width - 1).bit_length() - 1)
        terms[: width - half, :] += terms[half:width, :]
        width = half
    return terms[0, :]


def _by_products(metric: str, a: Any, b: Any, squares: tuple[Any, Any] | None, xp: Any) -> Any:
    x, y = _scaled(a, xp), _scaled(b, xp)
    if metric == "cosine":
        if squares is None:
            squares = _sums(x.rows * x.rows, xp), _sums(y.rows * y.rows, xp)
        # √(s s) is s to the bit, so that equal vectors have the cosine 1
        cosines = _sums(x.rows * y.rows, xp) / xp.sqrt(squares[0] * squares[1])
        return xp.clip(1 - cosines, 0.0, 2.0)
    products = _sums(x.rows * y.rows, xp)
    finite = xp.isfinite(products)
    exponents = [one.exponents[:, 0] for one in (x, y) if one.exponents is not None]
    if exponents:  # once, by their sum: by one after the other, what is between may over- or underflow
        products = xp.ldexp(products, sum(exponents))
    return xp.where(finite, xp.clip(0.0 - products, -_LARGEST, _LARGEST), xp.asarray(xp.inf, dtype=xp.float64))


def _euclidean(a: Any, b: Any, xp: Any) -> Any:
    x, y = xp.astype(a, xp.float64), xp.astype(b, xp.float64)
    differences = x - y
    if a.dtype != xp.float64 and b.dtype != xp.float64:
        return xp.sqrt(_sums(differences * differences, xp))
    halved = ~xp.all(xp.isfinite(differences), axis=1)  # beyond the largest number, or the vectors are
    differences = xp.where(halved[:, None], x / 2 - y / 2, differences)
    scaled = _scaled(differences, xp)
    roots = xp.sqrt(_sums(scaled.rows * scaled.rows, xp))
    if scaled.exponents is None:
        return roots
    return xp.ldexp(roots, scaled.exponents[:, 0] + xp.astype(halved, scaled.exponents.dtype))


def _different_bits(a: Any, b: Any, xp: Any) -> Any:
    if a.dtype != b.dtype:
        raise UsageError(f"metric='hamming' compares vectors of one type, not {a.dtype} with {b.dtype}")
    different = xp.bitwise_xor(a, b)
    if different.dtype == xp.bool:
        return xp.astype(xp.sum(different, axis=1, dtype=xp.int64), xp.float64)
    if is_numpy_namespace(xp):
        unsigned = different.view(np.dtype(f"u{different.dtype.itemsize}"))
        return np.bitwise_count(unsigned).sum(axis=1, dtype=np.int64).astype(np.float64)
    counts = xp.asarray([value.bit_count() for value in range(256)], dtype=xp.int64)
    octets = xp.asarray(different, copy=True).view(xp.uint8)
    return xp.astype(xp.sum(xp.take(counts, xp.astype(octets, xp.int64)), axis=1), xp.float64)
