"""The nearest vectors of all vectors, each pair compared once: what a strip of them finds for itself and for others.

`nearest` compares a query with all others, so that each pair is compared twice. Here a product of two strips counts for
both of them: which of its pairs may be among the k nearest of one or the other, as far as is known of both.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..kernels.bounds import BOX_VALUES
from ..kernels.signatures import leading_values
from .directions import LONGER, Projection
from .metrics import listed_distances, row_squares
from .search import product_error, rounded_up

__all__ = [
    "CANDIDATE",
    "CrowdedError",
    "Scale",
    "Strip",
    "candidates_of_strips",
    "first_limits",
    "kept_candidates",
    "largest_norm",
    "nearest_of_candidates",
    "sample_size",
]

# A candidate: places of a vector and of one that may be among its nearest, and their product, see `Scale`.
CANDIDATE = np.dtype([("owner", "<i4"), ("other", "<i4"), ("product", "<f4")])
# Vectors of a group, and of a product with it: the result of 2 MB stays in the cache.
_ROWS, _COLUMNS = 512, 1024
# Values of the signatures in a first product, and the share of pairs that it may leave to be worth its time.
_LEADING, _WORTH = 48, 0.002
# Products of vectors alone after a first product that was not worth its time.
_PAUSE = 31
# Candidates that wait at most before those that cannot count any more are dropped.
_POOL = 1 << 22
# Nanoseconds of a pair in the sample, and of a candidate, whose ratio decides on the size of the sample.
_SAMPLE_TIME, _CANDIDATE_TIME = 18.0, 150.0
# Candidates that are left for each neighbour, on average, when vectors are taken to be equal.
_CROWD = 4
_UNIT = 2.0**-24


class CrowdedError(Exception):
    """Very many vectors are as near as the nearest, as equal ones are: candidates would take too much memory."""


class Scale:
    """Products by which candidates are ordered, and how far rounding may be wrong about them.

    The product of two vectors as they are measured, see `Projection.measured`, is −x·y for "cosine" and "inner", and
    |x|² + |y|² − 2 x·y for "euclidean": the smaller, the nearer. Let M be the largest norm.

    Attributes
    ----------
    slack
        A float32 product is wrong by this at most: `search.product_error` of the norms, and of the terms of
        "euclidean" as in `nearest`.
    margin
        If a product is among the k smallest of a vector, but for rounding, it is larger than the k-th smallest by this
        at most: k products are at most slack above what they are, the true one is at most slack below, and
        `metrics.distances`, which decide, are wrong by less than 10⁻¹³ M² each.
    """

    def __init__(self, projection: Projection, largest_norm: float) -> None:
        self.projection, self._norm = projection, largest_norm
        self.metric, self._error = projection.metric, projection.error() + 2e-7
        norm, error = largest_norm, product_error(projection.directions.shape[1])
        if self.metric == "euclidean":
            self.slack = (8 * error + 16 * _UNIT) * norm**2 + 1e-30
        else:
            self.slack = error * norm**2 + 1e-30
        self.margin = 2 * self.slack + 4e-13 * norm**2

    def products(self, rows: Any, columns: Any, out: Any | None = None) -> Any:
        """Make the products of some rows (m, d) with some columns (n, d), float32: (m, n)."""
        factor = np.float32(-2 if self.metric == "euclidean" else -1)
        result = np.matmul(rows * factor, columns.T, out=out)
        if self.metric == "euclidean":
            result += np.vecdot(rows, rows)[:, None]
            result += np.vecdot(columns, columns)[None, :]
        return result

    def listed(self, rows: Any, columns: Any) -> Any:
        """Make the products of rows with the columns beside them: (k, d) twice → (k,) float32."""
        if self.metric == "euclidean":
            differences = rows - columns
            return np.vecdot(differences, differences)
        return -np.vecdot(rows, columns)

    def least_of_boxes(self, a: "_Box", b: "_Box") -> float:
        """Give a lower bound of the float32 products of the vectors in two boxes."""
        if self.metric == "inner":
            return -a.norm * b.norm * (1 + 4 * self._error) - self.slack
        gaps = np.maximum(np.maximum(b.low - a.high, a.low - b.high), 0)
        gap = max(math.sqrt(float(np.vecdot(gaps, gaps))) * (1 - 1e-12) - 2 * self._error * self._norm, 0)
        least = gap * gap / 2 - 1 if self.metric == "cosine" else gap * gap
        return least - self.slack - 1e-12 * self._norm**2

    def of_leading(self, limits: Any) -> Any:
        """Turn limits of float32 products into those of float32 products of leading values, (n,) each, rounded up."""
        exact, norm = limits.astype(np.float64) + self.slack, self._norm
        rounding = (4 * _LEADING + 16) * _UNIT * 2 * norm**2
        if self.metric == "euclidean":
            found = (np.sqrt(np.maximum(exact, 0)) + 2 * self._error * norm) ** 2 * (1 + 1e-12) + rounding
        else:
            found = exact + (2 * self._error + self._error**2) * norm**2 + rounding * (1 + self._error) ** 2
        return rounded_up(found)


@dataclass(frozen=True)
class Strip:
    """Consecutive vectors in an order in which neighbours are alike.

    Attributes
    ----------
    start
        Place of the first one.
    signatures
        (n, k) float32, finite, as `Projection.apply` gives them.
    floats
        (n, d) float32, as `search.float_rows` gives them.
    """

    start: int
    signatures: NDArray[np.float32]
    floats: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.floats)

    @property
    def nbytes(self) -> int:
        """Bytes in memory."""
        return self.signatures.nbytes + self.floats.nbytes


class _Box(NamedTuple):
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    norm: float


def largest_norm(signature_norms: NDArray[np.float64], metric: str) -> float:
    """Give a bound of the norms of all vectors as they are measured, by those of their signatures.

    It is infinite where it would tell too little of most of them, since one is much longer, so that each pair should
    not be compared once.
    """
    if metric == "cosine" or not len(signature_norms):
        return 1 + 1e-6
    longest = float(signature_norms.max(initial=0))
    usual = math.isfinite(longest) and longest <= LONGER * float(np.median(signature_norms))
    return longest * (1 + 1e-4) + 1e-30 if usual else math.inf


def sample_size(count: int, k: int) -> int:
    """Size of the sample that gives `first_limits`, for so many vectors: the one that costs least.

    Of n vectors, some k n / s are as near as the k-th nearest in a random sample of s.

    Examples
    --------
    >>> sample_size(100_000, 10)
    2886
    """
    return min(count, max(256, 4 * k, math.isqrt(int(count * k * _CANDIDATE_TIME / _SAMPLE_TIME))))


def first_limits(
    scale: Scale, rows: Strip, sample: NDArray[np.float32], places: NDArray[np.int64], k: int
) -> NDArray[np.float32]:
    """Find the product up to which a pair may be among the k nearest of each vector, by a sample of all vectors.

    Parameters
    ----------
    scale
        The products.
    rows
        The vectors.
    sample, places
        (s, d) as `Strip.floats`, and their places (s,).
    k
        Number of neighbours.

    Returns
    -------
    (n,) float32; infinite if the sample is too small.
    """
    limits = np.full(len(rows), np.inf, np.float32)
    if len(sample) <= k:
        return limits
    for start in range(0, len(rows), _ROWS):
        some = rows.floats[start : start + _ROWS]
        products = scale.products(some, sample)
        own = np.flatnonzero((places >= rows.start + start) & (places < rows.start + start + len(some)))
        products[places[own] - rows.start - start, own] = np.inf
        limits[start : start + len(some)] = np.partition(products, k - 1, axis=1)[:, k - 1]
    return rounded_up(limits.astype(np.float64) + scale.margin)


def kept_candidates(found: NDArray[Any], k: int, margin: float) -> NDArray[Any]:
    """Drop the candidates that k others of the same vector prove to be too far.

    Parameters
    ----------
    found
        (n,) `CANDIDATE`.
    k
        Number of neighbours.
    margin
        See `Scale`.

    Returns
    -------
    Those that are left, by owner, the nearest first.
    """
    found = found[np.lexsort((found["product"], found["owner"]))]
    starts = _starts(found["owner"])
    ends = np.append(starts[1:], len(found))
    last = starts + k - 1
    limits = np.full(len(starts), np.inf)
    full = last < ends
    limits[full] = found["product"][last[full]].astype(np.float64) + margin
    return found[found["product"] <= np.repeat(rounded_up(limits), ends - starts)]


def _starts(sorted_values: NDArray[Any]) -> NDArray[np.int64]:
    """Places at which another value begins."""
    return np.flatnonzero(np.diff(sorted_values, prepend=-1))


class _Pool:
    """Candidates of the vectors of a strip, and the limits that they set."""

    def __init__(self, limits: NDArray[np.float32], start: int, k: int, margin: float) -> None:
        self.limits, self._start, self._k, self._margin = limits, start, k, margin
        self._found = [np.zeros(0, CANDIDATE)]
        self._waiting = 0

    def add(self, owners: Any, others: Any, products: Any) -> None:
        """Add candidates, by their places."""
        new = np.empty(len(owners), CANDIDATE)
        new["owner"], new["other"], new["product"] = owners, others, products
        self._found.append(new)
        self._waiting += len(new)
        if self._waiting > _POOL:
            self.settle()

    def settle(self) -> NDArray[Any]:
        """Drop those that cannot count any more, and give the others."""
        kept = kept_candidates(np.concatenate(self._found), self._k, self._margin)
        if len(kept) > max(_POOL, _CROWD * self._k * len(self.limits)):
            raise CrowdedError
        self._found, self._waiting = [kept], 0
        starts = _starts(kept["owner"])
        last = starts + self._k - 1
        full = last < np.append(starts[1:], len(kept))
        owners, limits = kept["owner"][starts[full]] - self._start, kept["product"][last[full]].astype(np.float64)
        self.limits[owners] = np.minimum(self.limits[owners], rounded_up(limits + self._margin))
        return kept


def candidates_of_strips(
    scale: Scale, rows: Strip, others: Sequence[Callable[[], Strip]], limits: NDArray[np.float32], k: int
) -> list[Callable[[], NDArray[Any]]]:
    """Give a function for each of some strips that finds what it and `rows` are to each other.

    The functions are called in their order; the candidates of `rows` themselves come last.

    Memory: two strips, and 100 MB.

    Parameters
    ----------
    scale
        The products.
    rows
        The strip.
    others
        Functions that give the strips after it.
    limits
        (all vectors,) float32, see `first_limits`; changed.
    k
        Number of neighbours.

    Returns
    -------
    Functions that give candidates of each of the other strips; and a last one, those of `rows`: `CANDIDATE`.

    Raises
    ------
    CrowdedError
        By these functions.
    """
    own = _Pool(limits[rows.start : rows.start + len(rows)], rows.start, k, scale.margin)

    def of_other(load: Callable[[], Strip]) -> NDArray[Any]:
        columns = load()
        pool = _Pool(limits[columns.start : columns.start + len(columns)], columns.start, k, scale.margin)
        _Products(scale, rows, columns, own, pool).run()
        return pool.settle()

    def of_own() -> NDArray[Any]:
        _Products(scale, rows, rows, own, own).run()
        return own.settle()

    def at_end() -> NDArray[Any]:
        return own.settle() if others else of_own()

    def first(load: Callable[[], Strip]) -> NDArray[Any]:
        of_own()  # the vectors that are alike: they tell how far to look
        return of_other(load)

    return [*(partial(first if place == 0 else of_other, load) for place, load in enumerate(others)), at_end]


class _Products:
    """Products of two strips, a group of rows with some columns at a time."""

    def __init__(self, scale: Scale, rows: Strip, columns: Strip, own: _Pool, other: _Pool) -> None:
        self._scale, self._rows, self._columns, self._own, self._other = scale, rows, columns, own, other
        self._triangular = rows is columns
        self._out = np.empty(_ROWS * _COLUMNS, np.float32)
        self._row_heads, self._column_heads = (leading_values(one.signatures, _LEADING) for one in (rows, columns))
        self._pause = 0 if min(rows.signatures.shape[1], rows.floats.shape[1]) > _LEADING else -1

    def run(self) -> None:
        """Add to both pools."""
        row_boxes = _boxes(self._rows, _ROWS)
        column_boxes = _boxes(self._columns, _COLUMNS)
        for i, row_box in enumerate(row_boxes):
            rows = range(i * _ROWS, min((i + 1) * _ROWS, len(self._rows)))
            for j, column_box in enumerate(column_boxes):
                columns = range(j * _COLUMNS, min((j + 1) * _COLUMNS, len(self._columns)))
                if self._triangular and columns.stop - 1 <= rows.start:
                    continue
                limits = self._own.limits[rows.start : rows.stop], self._other.limits[columns.start : columns.stop]
                if self._scale.least_of_boxes(row_box, column_box) <= max(one.max() for one in limits):
                    self._add(rows, columns)

    def _add(self, rows: range, columns: range) -> None:
        """Find the candidates of a group and some columns."""
        row_limits = self._own.limits[rows.start : rows.stop, None]
        column_limits = self._other.limits[None, columns.start : columns.stop]
        x = self._rows.floats[rows.start : rows.stop]
        y = self._columns.floats[columns.start : columns.stop]
        out = self._out[: len(rows) * len(columns)].reshape(len(rows), len(columns))
        if self._pause > 0:
            self._pause -= 1
        elif self._pause == 0:
            heads = self._row_heads[rows.start : rows.stop], self._column_heads[columns.start : columns.stop]
            self._scale.products(*heads, out=out)
            i, j = _below(out, self._scale.of_leading(row_limits), self._scale.of_leading(column_limits))
            if len(i) <= _WORTH * out.size:
                products = self._scale.listed(x[i], y[j])
                near = (products <= row_limits[i, 0]) | (products <= column_limits[0, j])
                self._put(rows, columns, i[near], j[near], products[near])
                return
            self._pause = _PAUSE
        self._scale.products(x, y, out=out)
        i, j = _below(out, row_limits, column_limits)
        self._put(rows, columns, i, j, out[i, j])

    def _put(self, rows: range, columns: range, i: Any, j: Any, products: Any) -> None:
        i, j = i + rows.start, j + columns.start
        if self._triangular:
            once = i < j
            i, j, products = i[once], j[once], products[once]
        of_rows, of_columns = products <= self._own.limits[i], products <= self._other.limits[j]
        x, y = i + self._rows.start, j + self._columns.start
        self._own.add(x[of_rows], y[of_rows], products[of_rows])
        self._other.add(y[of_columns], x[of_columns], products[of_columns])


def _below(products: Any, row_limits: Any, column_limits: Any) -> tuple[Any, Any]:
    """Places of the products that are at most the limit of their row or of their column."""
    wanted = products <= row_limits
    wanted |= products <= column_limits
    # NumPy finds places in one dimension 20 times as fast as in two
    return np.divmod(np.flatnonzero(wanted), products.shape[1])


def _boxes(strip: Strip, size: int) -> list[_Box]:
    leading = leading_values(strip.signatures, BOX_VALUES).astype(np.float64)
    parts = [leading[start : start + size] for start in range(0, len(leading), size)]
    return [_Box(one.min(axis=0), one.max(axis=0), math.sqrt(float(np.vecdot(one, one).max()))) for one in parts]


def nearest_of_candidates(
    metric: str, k: int, numbers: NDArray[np.int64], rows: range, found: Iterable[tuple[NDArray[Any], Any, int, Any]]
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Decide which candidates of some vectors are the nearest, by `metrics.distances`.

    Parameters
    ----------
    metric, k
        The metric, and the number of neighbours.
    numbers
        (all vectors,) int64: numbers of the images by their places.
    rows
        Places of the vectors.
    found
        For each strip: candidates of these vectors among its own, the vectors of the rows, the place of the strip's
        first vector, and its vectors, as they are stored.

    Returns
    -------
    (n, k) int64 numbers, the nearest first, −1 where there are fewer; and their distances, (n, k) float64.
    """
    owners, others, values = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)], [np.zeros(0)]
    for candidates, own, start, vectors in found:
        i, j = candidates["owner"].astype(np.int64) - rows.start, candidates["other"].astype(np.int64)
        squares = (row_squares(own), row_squares(vectors)) if metric == "cosine" else None
        owners.append(i)
        others.append(numbers[j])
        values.append(listed_distances(metric, own, vectors, i, j - start, squares))
    i, j = np.concatenate(owners), np.concatenate(others)
    distances = np.concatenate(values)
    order = np.lexsort((j, distances, i))
    i, j, distances = i[order], j[order], distances[order]
    ranks = np.arange(len(i)) - np.searchsorted(i, i)
    kept = ranks < k
    result = np.full((len(rows), k), -1, np.int64), np.full((len(rows), k), np.inf)
    result[0][i[kept], ranks[kept]] = j[kept]
    result[1][i[kept], ranks[kept]] = distances[kept]
    return result
