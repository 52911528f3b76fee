"""Find candidates for similar pairs by a cascade of lower bounds, on a processor (on a GPU: `bounds_gpu`)."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, fields
from itertools import pairwise
from typing import Any

import numpy as np
from array_api_compat import array_namespace

from .grid import pairs_within
from .pair_filters import Allowed
from .signatures import largest_norm, normalised_error, segment_energies, signature_error

__all__ = [
    "BOX_VALUES",
    "SearchCounts",
    "SearchSide",
    "candidate_pairs",
    "correlation_radius",
    "listed_limit",
    "near_images",
    "near_sub_blocks",
    "product_limit",
    "search_radius",
]

# Dimensions of a sub-block's box.
BOX_VALUES = 16
# Numbers of leading values for the first matrix product of a tile. The quickest is chosen: a pair in the product takes
# a + b · values, a pair that is left c (nanoseconds on a processor of 2021; only their ratios matter).
_FIRST_VALUES = (8, 16, 32, 48)
_PAIR_TIME, _VALUE_TIME, _SURVIVOR_TIME = 0.4, 0.024, 400.0
# Axes of a box after which images that are far from it are left out.
_AXES = 4
# Times that an axis costs of an image in a list, against one of all images with all boxes.
_LIST_TIME = 5
# Columns of a matrix product: with 256 rows the result stays in the cache of a core.
_COLUMNS = 1024
# Pairs whose whole signatures are compared at a time.
_SURVIVORS = 4096
# If more than one pair in 64 is left, the next stage is cheaper as a matrix product of all.
_DENSE_SHARE = 64
_FEW = 64  # pairs that are always listed
# Sub-blocks, and rows of each, from which the number of leading values is chosen.
_SAMPLE, _SAMPLE_ROWS = 16, 32
_UNIT = 2.0**-24  # rounding of float32


@dataclass
class SearchCounts:
    """Numbers of pairs that the stages of the cascade left.

    Attributes
    ----------
    pairs
        All pairs that the pair filters leave.
    near
        Pairs of the images of a sub-block and those near its box, including pairs that the pair filters leave out.
    leading
        Pairs that the first values of the signatures left.
    candidates
        Pairs that the whole signatures left, one by one.
    dense
        Pairs compared by matrix products of thumbnails, since too many were left; filtered pairs included, as in
        `near`.
    low
        Pairs compared by matrix products of low frequencies; filtered pairs included.
    exact
        Pairs whose thumbnails were compared one by one.
    """

    pairs: int = 0
    near: int = 0
    leading: int = 0
    candidates: int = 0
    dense: int = 0
    low: int = 0
    exact: int = 0

    @classmethod
    def names(cls) -> list[str]:
        """Names of the counts, in their order."""
        return [field.name for field in fields(cls)]


class SearchSide:
    """Signatures of one side of a tile, with the norms and boxes that the stages use."""

    def __init__(
        self, values: Any, sub_blocks: list[range], xp: Any, first_values: tuple[int, ...] = _FIRST_VALUES
    ) -> None:
        self.values = values
        self.sub_blocks = sub_blocks
        self._counts = tuple(count for count in first_values if count < values.shape[1])
        energies = segment_energies(values, tuple(count - 1 for count in self._counts))
        heads, tails = energies[:, 0], energies[:, -1]
        # by count: the last of the `leading_values`, which is a norm, and the squared norm of all of them
        self._tails: dict[int, Any] = {}
        self.norms: dict[int, Any] = {values.shape[1]: xp.sum(energies, axis=1)}
        for segment in reversed(range(len(self._counts))):
            self._tails[self._counts[segment]] = xp.astype(xp.sqrt(tails), xp.float32)[:, None]
            tails = tails + energies[:, segment]
        for segment, count in enumerate(self._counts):
            self.norms[count] = heads + xp.astype(self._tails[count][:, 0], xp.float64) ** 2
            heads = heads + energies[:, segment + 1]
        self.largest = {count: float(xp.max(norms)) if sub_blocks else 0.0 for count, norms in self.norms.items()}
        boxed = self.leading(BOX_VALUES, slice(None), xp)
        self.low, self.high = _of_each(xp.min, boxed, sub_blocks, xp), _of_each(xp.max, boxed, sub_blocks, xp)
        self.nbytes = 4 * math.prod(values.shape) + values.shape[0] * (4 * len(self._tails) + 8 * len(self.norms))

    def leading(self, count: int, rows: Any, xp: Any) -> Any:
        """`leading_values` of some rows."""
        if count not in self._tails:
            return self.values[rows]
        return xp.concat([self.values[rows, : count - 1], self._tails[count][rows]], axis=1)

    def counts(self) -> tuple[int, ...]:
        """Numbers of values that a product may take."""
        return (*self._counts, self.values.shape[1])

    def operand(self, count: int, xp: Any) -> tuple[Any, Any]:
        """The leading values of all rows, (n, count) float32, and their squared norms, (n,) float32."""
        return self.leading(count, slice(None), xp), xp.astype(self.norms[count], xp.float32)

    def left(self, count: int, rows: slice, xp: Any) -> Any:
        """Rows (x, |x|², 1) of the leading values x: their products with `right` are squared distances."""
        values = self.leading(count, rows, xp)
        rounded = xp.astype(self.norms[count][rows], xp.float32)[:, None]
        return xp.concat([values, rounded, xp.ones_like(rounded)], axis=1)

    def right(self, count: int, rows: Any, xp: Any) -> Any:
        """Rows (−2 y, 1, |y|²)."""
        values = self.leading(count, rows, xp)
        rounded = xp.astype(self.norms[count][rows], xp.float32)[:, None]
        return xp.concat([-2 * values, xp.ones_like(rounded), rounded], axis=1)


def _of_each(reduced: Any, values: Any, sub_blocks: list[range], xp: Any) -> Any:
    """Reduce each sub-block to its smallest or largest values; the sub-blocks of one size, nearly all, in one step."""
    if not sub_blocks:
        return values
    size, regular = len(sub_blocks[0]), 0
    while regular < len(sub_blocks) and sub_blocks[regular] == range(regular * size, (regular + 1) * size):
        regular += 1
    blocks = xp.reshape(values[: regular * size], (regular, size, values.shape[1]))
    found = [reduced(values[rows.start : rows.stop], axis=0)[None, :] for rows in sub_blocks[regular:]]
    return xp.concat([reduced(blocks, axis=1), *found])


class _Product:
    """Matrix products that find the pairs whose leading values are near each other."""

    def __init__(self, a: SearchSide, b: SearchSide, count: int, radius: float, xp: Any) -> None:
        self.count = count
        self._limit = product_limit(radius, count, a.largest[count] + b.largest[count])
        self._left, self._right = a.left(count, slice(None), xp), b.right(count, slice(None), xp)
        widest = max(_COLUMNS, *map(len, b.sub_blocks))
        self._space = xp.empty(max(map(len, a.sub_blocks)) * widest, dtype=xp.float32)
        self._xp = xp

    def near(self, rows: range, columns: Any) -> tuple[Any, Any]:
        """Rows and columns (k,) of the pairs of consecutive rows and some columns, (n,) int64."""
        xp = self._xp
        squares = xp.reshape(self._space[: len(rows) * len(columns)], (len(rows), len(columns)))
        right = xp.take(self._right, columns, axis=0)
        xp.matmul(self._left[rows.start : rows.stop], right.T, out=squares)
        if xp.min(squares) > self._limit:  # as in most runs; half the time of `nonzero`
            return xp.zeros(0, dtype=xp.int64), xp.zeros(0, dtype=xp.int64)
        # NumPy finds places in one dimension 20 times as fast as in two
        places = xp.nonzero(xp.reshape(squares <= self._limit, (-1,)))[0]
        return places // len(columns) + rows.start, xp.take(columns, places % len(columns))


def search_radius(sse_limit: int, shape: tuple[int, int, int]) -> float:
    """Largest distance of the computed signatures of two similar images: exactness rests on it.

    Images x and y are similar if |T x − y|² is at most the limit for some transform T. Their exact signatures are then
    at most √limit apart (see `signatures.signatures`), and the computed ones at most `signatures.signature_error` more
    for either image. The factor 1 + 10⁻¹² covers the rounding of these few float64 operations.

    Parameters
    ----------
    sse_limit
        Largest sum of squared errors of a similar pair, grey levels².
    shape
        (h, w, c) of a thumbnail.

    Returns
    -------
    The radius, in grey levels.
    """
    return math.sqrt(sse_limit) * (1 + 1e-12) + 2 * signature_error(*shape)


def correlation_radius(threshold: float, shape: tuple[int, int, int]) -> float:
    """Largest distance of the normalised signatures of two images whose correlation distance is at most a threshold.

    Images x and y, less the mean of each channel and scaled to norm K, are |x − y|² = 2 K² (1 − r) apart, and a turn
    changes neither means nor norms. So √(2 t) K bounds the distance of their signatures for a threshold t. A constant
    image has the signature 0, at most K from any other, and the distance 1, so that the bound holds for it as well.
    `signatures.normalised_error` bounds the rounding of either signature.

    Parameters
    ----------
    threshold
        Largest correlation distance.
    shape
        (h, w, c) of a thumbnail.

    Returns
    -------
    The radius, in the units of `signatures.normalised_signatures`.
    """
    return math.sqrt(2 * max(threshold, 0)) * largest_norm(*shape) * (1 + 1e-12) + 2 * normalised_error(*shape)


def near_sub_blocks(a: SearchSide, b: SearchSide, radius: float, xp: Any) -> Any:
    """Find the pairs of sub-blocks whose boxes are at most a radius apart: (m, n) bool.

    The distance of two boxes is a lower bound of that of any two points in them: along each axis, points are at least
    as far apart as the gap between the intervals. The gaps are differences of float32 values in float64; a factor of
    1 + 10⁻¹² covers some roundings a value, of relative size 2⁻⁵³.
    """
    squares = xp.zeros((a.low.shape[0], b.low.shape[0]), dtype=xp.float64)
    for axis in range(a.low.shape[1]):
        low_a, high_a, low_b, high_b = (xp.astype(side[:, axis], xp.float64) for side in (a.low, a.high, b.low, b.high))
        gap = xp.maximum(low_b[None, :] - high_a[:, None], low_a[:, None] - high_b[None, :])
        squares += xp.maximum(gap, 0) ** 2
    return squares <= radius * radius * (1 + 1e-12)


def product_limit(radius: float, values: int, norms: float) -> float:
    """Largest squared distance that a float32 matrix product may give for signatures at most a radius apart.

    The product sums k + 2 terms, x_i · (−2 y_i), |x|² and |y|². In any order, and with fused multiplications or not,
    the sum is wrong by at most γ_(k+2) times the sum of the terms' sizes (Higham 2002, section 3.1), which is at most
    2 |x| |y| + |x|² + |y|² ≤ 2 (|x|² + |y|²); rounding |x|² and |y|² to float32 adds u (|x|² + |y|²), u = 2⁻²⁴, and
    their float64 sums next to nothing. With k ≤ 256 the error is less than (2 k + 8) u (|x|² + |y|²). The limit is
    rounded up to a float32.
    """
    limit = radius * radius + (2 * values + 8) * _UNIT * norms
    return float(np.nextafter(np.float32(limit), np.float32(np.inf)))


def listed_limit(radius: Any, values: int) -> Any:
    """Largest sum of squared float32 differences for signatures at most a radius apart.

    Each difference is right up to 1 ± u, each square and sum of k non-negative terms up to 1 ± γ_(k+1), so the sum is
    at most r² (1 + u)² (1 + γ_(k+1)) < r² (1 + 2 (k + 4) u); the rest of 2 (k + 8) u covers the rounding of this limit
    to float32, in comparisons with float32 sums. The radius may be an array.
    """
    return radius * radius * (1 + 2 * (values + 8) * _UNIT)


def near_images(a: SearchSide, b: SearchSide, near: Any, radius: float, xp: Any) -> list[Any]:
    """Find the images of `b` that are at most a radius from the box of each sub-block of `a`.

    The distance of a point and a box is a lower bound of that of the point and any point in the box. It is a sum of
    squares as in `listed_limit`.

    `near` (m, n) bool tells at which pairs of sub-blocks to look. Gives for each sub-block of `a` places in `b`, (k,)
    int64, ascending.
    """
    values = xp.asarray(b.leading(BOX_VALUES, slice(None), xp).T, copy=True)  # an axis in one piece
    limit, axes = listed_limit(radius, BOX_VALUES), values.shape[0]
    found = [(xp.zeros(0, dtype=xp.int32), xp.zeros(0, dtype=xp.int64))]
    for number, cut in enumerate(b.sub_blocks):
        rows = xp.nonzero(near[:, number])[0]
        if not rows.shape[0]:
            continue
        points, low, high = values[:, cut.start : cut.stop], xp.take(a.low, rows, axis=0), xp.take(a.high, rows, axis=0)
        squares = xp.zeros((rows.shape[0], len(cut)), dtype=xp.float32)
        done, kept = 0, squares.size
        # all with all, as long as that is cheaper than a list: five times as much for each
        while done < axes and kept * _LIST_TIME > squares.size:
            for axis in range(done, min(done + _AXES, axes)):
                squares += _gaps(low[:, axis, None], high[:, axis, None], points[None, axis], xp)
            done += _AXES
            kept = int(xp.count_nonzero(squares <= limit))
        places = xp.nonzero(xp.reshape(squares <= limit, (-1,)))[0]
        squares, i, j = xp.take(xp.reshape(squares, (-1,)), places), places // len(cut), places % len(cut)
        for start in range(done, axes, _AXES):
            for axis in range(start, min(start + _AXES, axes)):
                squares += _gaps(xp.take(low[:, axis], i), xp.take(high[:, axis], i), xp.take(points[axis], j), xp)
            some = squares <= limit
            squares, i, j = squares[some], i[some], j[some]
        found.append((xp.astype(xp.take(rows, i), xp.int32), j + cut.start))
    numbers, columns = (xp.concat(part) for part in zip(*found, strict=True))
    order = xp.argsort(numbers, stable=True)
    ends = xp.searchsorted(xp.take(numbers, order), xp.arange(len(a.sub_blocks) + 1, dtype=xp.int32)).tolist()
    columns = xp.take(columns, order)
    return [columns[start:stop] for start, stop in pairwise(ends)]


def _gaps(low: Any, high: Any, points: Any, xp: Any) -> Any:
    """Squares of the distances of points from intervals."""
    gaps = xp.maximum(low - points, points - high)
    gaps = xp.maximum(gaps, xp.zeros_like(gaps))
    gaps *= gaps
    return gaps


def _pieces(columns: Any, sub_blocks: list[range], xp: Any) -> Iterator[tuple[Any, list[range]]]:
    """Cut ascending places between sub-blocks, into pieces of at most `_COLUMNS` or one sub-block, and tell these."""
    starts = xp.asarray([cut.start for cut in sub_blocks], dtype=xp.int64)
    numbers = xp.searchsorted(starts, columns, side="right") - 1
    begins = xp.nonzero(xp.diff(numbers, prepend=numbers[:1] - 1))[0].tolist()
    start, inside = 0, list[range]()
    for begin, end in pairwise([*begins, columns.shape[0]]):
        if inside and end - start > _COLUMNS:
            yield columns[start:begin], inside
            start, inside = begin, []
        inside.append(sub_blocks[int(numbers[begin])])
    if inside:
        yield columns[start:], inside


def _choose_count(a: SearchSide, b: SearchSide, near: list[Any], radius: float, xp: Any) -> int:
    """Choose the number of leading values whose product costs least in this tile, by a sample of its sub-blocks.

    The number changes only the time, not the candidates.
    """
    some = [row for row, columns in enumerate(near) if columns.shape[0]]
    sample = [
        (a.sub_blocks[row], near[row][:: -(-near[row].shape[0] // _COLUMNS)])
        for row in some[:: -(-len(some) // _SAMPLE)]
    ]
    costs = []
    for count in a.counts():
        limit = product_limit(radius, count, a.largest[count] + b.largest[count])
        pairs, left = 1, 0
        for cut, columns in sample:
            rows = cut[:: -(-len(cut) // _SAMPLE_ROWS)]
            upper = a.left(count, slice(rows.start, rows.stop, rows.step), xp)
            squares = upper @ b.right(count, columns, xp).T
            pairs += len(rows) * columns.shape[0]
            left += int(xp.count_nonzero(squares <= limit))
        costs.append((_PAIR_TIME + _VALUE_TIME * count + _SURVIVOR_TIME * left / pairs, count))
    return min(costs)[1]


def candidate_pairs(
    a: SearchSide,
    b: SearchSide,
    /,
    *,
    radius: float,
    counts: SearchCounts,
    triangular: bool = False,
    allowed: Allowed | None = None,
) -> Iterator[tuple[Any, Any] | tuple[range, range]]:
    """Find the pairs whose signatures are at most a radius apart, cheap bounds first, on a processor.

    1. Boxes around sub-blocks, see `near_sub_blocks`; then images that are near the box of a sub-block.
    2. The leading values, by matrix products of a sub-block and the images near it. A sample decides how many values
       take the least time.
    3. The whole signatures of the pairs that are left.

    Each stage leaves out only pairs that it proves to be farther apart than the radius. With `search_radius`, no pair
    of similar images is left out: their computed signatures, and the leading values, are at most the radius apart.

    Memory: the sides in float32 twice to three times, 1 MB for a product, and the candidates of a few runs.

    Parameters
    ----------
    a, b
        Signatures (m, k) and (n, k) float32, NumPy or CuPy, and their sub-blocks: consecutive rows near each other.
    radius
        Largest distance; positive.
    counts
        Counts of the pairs that each stage leaves; increased.
    triangular
        `a` and `b` are the same; only pairs with row < column count.
    allowed
        The pairs that the pair filters leave; None for all. NumPy only.

    Yields
    ------
    Rows and columns (k,) of some candidates. If comparing all is cheaper: a range of rows and a range of columns whose
    pairs are all candidates (with row < column if triangular).
    """
    xp = array_namespace(a.values, b.values)
    rows, columns = a.values.shape[0], b.values.shape[0]
    if allowed is not None:
        counts.pairs += allowed.pairs()
    else:
        counts.pairs += pairs_within(rows) if triangular else rows * columns
    if not rows or not columns:
        return
    near = near_sub_blocks(a, b, radius, xp)
    if allowed is not None:
        near &= allowed.near(a.sub_blocks, b.sub_blocks)
    places = near_images(a, b, xp.triu(near) if triangular else near, radius, xp)
    waiting: list[tuple[Any, Any]] = []
    survivors = 0
    for i, j in _left_by_products(a, b, places, radius, counts, triangular, allowed, xp):
        if isinstance(i, range):
            yield i, j
            continue
        waiting.append((i, j))
        survivors += i.shape[0]
        if survivors >= _SURVIVORS:
            yield from _near_whole(a.values, b.values, waiting, radius, counts, xp)
            waiting, survivors = [], 0
    if survivors:
        yield from _near_whole(a.values, b.values, waiting, radius, counts, xp)


def _left_by_products(
    a: SearchSide,
    b: SearchSide,
    near: list[Any],
    radius: float,
    counts: SearchCounts,
    triangular: bool,
    allowed: Allowed | None,
    xp: Any,
) -> Iterator[tuple[Any, Any] | tuple[range, range]]:
    """Find the pairs that the leading values leave; sub-blocks that keep many pairs are given as a whole.

    Where the leading values leave many pairs, a product of the whole signatures follows. `near` has for each sub-block
    of `a` the places of the images of `b` that are near it.
    """
    if not any(columns.shape[0] for columns in near):
        return
    values = b.values.shape[1]
    first = _Product(a, b, _choose_count(a, b, near, radius, xp), radius, xp)
    whole: _Product | None = None
    for rows, columns in zip(a.sub_blocks, near, strict=True):
        for piece, inside in _pieces(columns, b.sub_blocks, xp):
            on_diagonal = triangular and inside[0].start == rows.start
            pairs = len(rows) * piece.shape[0] - on_diagonal * pairs_within(len(rows) + 1)
            counts.near += pairs
            i, j = _wanted(*first.near(rows, piece), on_diagonal, allowed)
            counts.leading += i.shape[0]
            if i.shape[0] * _DENSE_SHARE > pairs and first.count < values:
                whole = whole or _Product(a, b, values, radius, xp)
                i, j = _wanted(*whole.near(rows, piece), on_diagonal, allowed)
            if i.shape[0] * _DENSE_SHARE > pairs and i.shape[0] > _FEW:
                yield from ((rows, cut) for cut in inside)
            else:
                yield i, j


def _wanted(i: Any, j: Any, on_diagonal: bool, allowed: Allowed | None) -> tuple[Any, Any]:
    if on_diagonal:
        i, j = i[i < j], j[i < j]
    if allowed is not None:
        wanted = allowed.wanted(i, j)
        i, j = i[wanted], j[wanted]
    return i, j


def _near_whole(
    a: Any, b: Any, waiting: list[tuple[Any, Any]], radius: float, counts: SearchCounts, xp: Any
) -> Iterator[tuple[Any, Any]]:
    """Find the waiting pairs whose whole signatures are at most a radius apart."""
    i, j = (xp.concat([part[side] for part in waiting]) for side in (0, 1))
    limit = listed_limit(radius, a.shape[1])
    for start in range(0, i.shape[0], _SURVIVORS):
        rows, columns = i[start : start + _SURVIVORS], j[start : start + _SURVIVORS]
        differences = xp.take(a, rows, axis=0) - xp.take(b, columns, axis=0)
        near = xp.vecdot(differences, differences) <= limit
        if xp.any(near):
            rows, columns = rows[near], columns[near]
            counts.candidates += rows.shape[0]
            yield rows, columns
