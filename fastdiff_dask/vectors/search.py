"""Find the pairs of vectors within a distance: by bounds of their signatures, then by products, then to the bit."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np
from array_api_compat import array_namespace

from ..kernels.bounds import (
    BOX_VALUES,
    SearchCounts,
    SearchSide,
    listed_limit,
    near_images,
    near_sub_blocks,
    product_limit,
)
from ..kernels.grid import pairs_within, split
from ..kernels.pair_filters import Allowed
from ..kernels.signatures import leading_values
from .directions import Projection, not_far_longer
from .metrics import listed_distances, row_squares

__all__ = ["Products", "VectorSide", "VectorTile", "float_rows", "product_error", "rounded_up", "similar_vectors"]

# Numbers of leading values for the first product of a tile; the whole signatures, or the vectors, may be quicker.
_FIRST_VALUES = (8, 16, 24, 32, 40, 48, 52, 56, 64, 80, 96)
# Nanoseconds of a pair in a product, for each of its values, of a pair that is left, on a processor of 2024: only their
# ratios matter.
_PAIR_TIME, _VALUE_TIME, _SURVIVOR_TIME = 0.15, 0.02, 200.0
# Columns of a product. BLAS takes them as the rows: of 256 columns and 2048 rows it is a third faster than of 256 rows
# and 512 columns.
_COLUMNS = 2048
_FEW = 64  # pairs that are always looked at one by one
# Pairs that are looked at one by one together.
_SURVIVORS = 4096
# Pairs that were looked at one by one, for each vector, from which the squares of all vectors are worth their time.
_SQUARED = 0.5
# Sub-blocks, rows of each and columns, by which the number of leading values is chosen.
_SAMPLE, _SAMPLE_ROWS, _SAMPLE_COLUMNS = 8, 32, 512
# Sub-blocks by which it is known if boxes leave out single columns, and the share of these that is not worth it.
_BOX_SAMPLE, _BOX_WORTH = 6, 0.9
_UNIT = 2.0**-24  # rounding of float32
# Wider than the rounding of a distance, see `metrics.distances`, as a share of the norms.
_EXACT_ERROR = 1e-14
# Below the rounding of values that are scaled.
_TINY = 1e-30
_LARGEST = float(np.finfo(np.float64).max)
# No two signatures are as far apart, in units of the scale; its square is a float32.
_FARTHEST = 2.0**54


class VectorSide:
    """The vectors of one side of a tile.

    Parameters
    ----------
    signatures
        (n, k) float32, as `Projection.apply` gives them.
    cuts
        Sub-blocks: consecutive rows near each other.
    read
        Gives the vectors, (n, d), all `metrics.usable`; called once, if at all.
    """

    def __init__(self, signatures: Any, cuts: list[range], read: Callable[[], Any]) -> None:
        self.signatures, self.cuts, self._read = signatures, cuts, read
        self._floats: Any = None
        self._made: set[range] = set()

    @cached_property
    def vectors(self) -> Any:
        """The vectors, (n, d) of the type that they are stored in."""
        return self._read()

    @cached_property
    def squares(self) -> Any:
        """Sums of squares of the vectors, (n,) float64."""
        return row_squares(self.vectors)

    @cached_property
    def tame(self) -> Any:
        """Rows whose signatures are finite, and not far longer than nearly all others, (n,) bool.

        Rounding is bounded by the longest vector: a single one would leave the bounds of all others worth nothing.
        """
        xp = array_namespace(self.signatures)
        finite = xp.all(xp.isfinite(self.signatures), axis=1)
        squares = xp.vecdot(self.signatures, self.signatures)
        return finite & not_far_longer(xp.where(finite, squares, xp.zeros_like(squares)), xp)

    def some(self, kept: Any) -> "VectorSide":
        """Some of the rows, (n,) bool; sub-blocks shrink or vanish."""
        places = np.concatenate([[0], np.cumsum(kept)]).tolist()
        cuts = [range(places[cut.start], places[cut.stop]) for cut in self.cuts]
        return VectorSide(self.signatures[kept], [cut for cut in cuts if cut], lambda: self.vectors[kept])

    def floats(self, projection: Projection, cuts: list[range]) -> Any:
        """Vectors as they are measured, (n, d) float32, of which those of some sub-blocks are made; each once."""
        if self._floats is None:
            xp = array_namespace(self.vectors)
            self._floats = xp.empty(self.vectors.shape, dtype=xp.float32)
        for cut in cuts:
            if cut not in self._made:
                self._floats[cut.start : cut.stop, :] = float_rows(projection, self.vectors[cut.start : cut.stop, :])
                self._made.add(cut)
        return self._floats


@dataclass(frozen=True)
class VectorTile:
    """The vectors of a tile, and the limit of a similar pair.

    Attributes
    ----------
    limit
        Largest distance of a similar pair, see `metrics.limit_of`.
    projection
        What made the signatures; tells the metric.
    rows, columns
        The vectors; the same object for a tile on the diagonal, whose pairs count once each.
    allowed
        Pairs that pair filters leave, by their places in the tile; None for all.
    """

    limit: float
    projection: Projection
    rows: VectorSide
    columns: VectorSide
    allowed: Allowed | None = None

    @property
    def triangular(self) -> bool:
        """True for a tile on the diagonal."""
        return self.columns is self.rows


def float_rows(projection: Projection, rows: Any) -> Any:
    """Round vectors to float32 as a projection measures them: scaled, and less the mean.

    Parameters
    ----------
    projection
        Tells the metric, the mean and the scale.
    rows
        (n, d).

    Returns
    -------
    (n, d) float32; each row is right up to 2⁻²⁴ of its norm, and what is below the smallest float32.
    """
    xp = array_namespace(rows)
    result = xp.empty(rows.shape, dtype=xp.float32)
    for start in range(0, rows.shape[0], 64):  # float64 rows stay in the cache
        result[start : start + 64, :] = xp.astype(projection.measured(rows[start : start + 64, :]), xp.float32)
    return result


def product_error(width: int) -> float:
    """Bound of the error of a float32 product of two rows of `float_rows`, as a share of both norms.

    A sum of d products is wrong by at most γ_d = d u / (1 − d u) of the norms, u = 2⁻²⁴, in any order and with fused
    multiplications or not (Higham 2002, section 3.1; d u < 0.01 for d up to 160,000); each row is wrong by u, and the
    float64 rows before that by some d 2⁻⁵³.
    """
    return (1.02 * width + 4) * _UNIT


class _Bounds:
    """The tests of a tile: each is passed by all similar pairs, whatever rounding did.

    A similar pair has a computed distance of at most the limit, so that the exact one is larger by its rounding at
    most, see `metrics.distances`. All numbers here are in units of the projection's scale. Let ε be
    `Projection.error`, and M the largest norm of a vector.

    - *Distance* (cosine of unit vectors: |u − v|² = 2 − 2 cos; euclidean): exact signatures are as near as the vectors,
      computed ones farther by 2 ε M at most.
    - *Product* (cosine, inner): the exact product of signatures is at least that of the vectors; the computed one is
      smaller by (2 ε + ε²) M² at most, and its float32 sum by γ M² more.

    Boxes and lists need distances. For "inner", two values are put before a signature s: (√(M² − |s|²), 0, s) for rows
    and (0, √(M² − |s|²), s) for columns. They are |p − q|² = 2 M² − 2 s·t apart, which is least for large products.
    """

    def __init__(self, tile: VectorTile, a: VectorSide, b: VectorSide, xp: Any) -> None:
        self._tile, self._xp, self._error = tile, xp, tile.projection.error()
        self.metric = metric = tile.projection.metric
        self.first = SearchSide(a.signatures, a.cuts, xp, _FIRST_VALUES)
        self.second = self.first if b is a else SearchSide(b.signatures, b.cuts, xp, _FIRST_VALUES)
        self.whole = a.signatures.shape[1]
        largest = max(side.largest[self.whole] for side in (self.first, self.second))
        self.norm = norm = 1.0 if metric == "cosine" else math.sqrt(largest) * (1 + 3 * self._error) + _TINY
        self._rounding = (2 * self._error + self._error**2) * norm**2
        if metric == "euclidean":
            limit = min(tile.projection.scaled(_above(tile.limit)), _FARTHEST)
            self.radius = limit * (1 + 1e-12) + 2 * self._error * norm + _TINY
            self.boxed = self.first, self.second
            return
        limit = tile.limit
        if metric == "inner":  # the largest number stands for all beyond it
            limit = math.inf if limit >= _LARGEST else tile.projection.scaled(tile.projection.scaled(_above(limit)))
        limit = min(max(limit, -(_FARTHEST**2)), _FARTHEST**2)
        # the least exact product of a similar pair
        self.least = (1.0 if metric == "cosine" else 0.0) - limit - _EXACT_ERROR * norm**2 - _TINY
        square = 2 * norm**2 - 2 * self.least
        self.possible = square >= 0
        if metric == "cosine":
            self.radius = math.sqrt(max(square, 0)) * (1 + 1e-12) + 2 * self._error
            self.boxed = self.first, self.second
        else:
            self.radius = math.sqrt(max(square + 2 * self._rounding, 0)) * (1 + 1e-12) + 8 * _UNIT * norm
            self.boxed = self._lifted(a, 0), self._lifted(b, 1)

    possible = True

    def _lifted(self, side: VectorSide, place: int) -> SearchSide:
        """Boxes of the leading values with two values before them."""
        xp = self._xp
        values = leading_values(side.signatures, BOX_VALUES - 2)
        squares = xp.vecdot(xp.astype(side.signatures, xp.float64), xp.astype(side.signatures, xp.float64))
        lift = xp.astype(xp.sqrt(xp.maximum(self.norm**2 - squares, xp.zeros_like(squares))), xp.float32)[:, None]
        pair = [lift, xp.zeros_like(lift)]
        return SearchSide(xp.concat([*(pair if not place else pair[::-1]), values], axis=1), side.cuts, xp)

    def operands(self, count: int, rows: Any, columns: Any) -> tuple[Any, Any]:
        """Rows of `a` and `b` for a product in which similar pairs are at most `limit`."""
        if self.metric == "euclidean":
            return self.first.left(count, rows, self._xp), self.second.right(count, columns, self._xp)
        return -self.first.leading(count, rows, self._xp), self.second.leading(count, columns, self._xp)

    def limit(self, count: int) -> float:
        """Largest product of a similar pair, as float32."""
        if self.metric == "euclidean":
            with np.errstate(over="ignore"):
                return product_limit(self.radius, count, self.first.largest[count] + self.second.largest[count])
        slack = self._rounding + (1.02 * count + 4) * _UNIT * (1 + self._error) ** 2 * self.norm**2
        return float(rounded_up(slack - self.least + _TINY))

    def float_operands(self, rows: Any, columns: Any) -> tuple[Any, Any]:
        """The same of float32 vectors, for `float_limit`."""
        xp = self._xp
        if self.metric != "euclidean":
            return -rows, columns
        norms = [xp.astype(xp.vecdot(one, one), xp.float32)[:, None] for one in (rows, columns)]
        return (
            xp.concat([rows, norms[0], xp.ones_like(norms[0])], axis=1),
            xp.concat([-2 * columns, xp.ones_like(norms[1]), norms[1]], axis=1),
        )

    def float_limit(self, width: int) -> float:
        """Largest product of the `float_operands` of a similar pair, as float32."""
        error = product_error(width)
        if self.metric == "euclidean":
            radius = self.radius + 4 * _UNIT * self.norm
            # twice the products, and norms that are sums of float32 themselves
            found = radius * radius + (4 * error + 4 * _UNIT) * 2 * self.norm**2 + _TINY
        else:
            found = error * self.norm**2 - self.least + _TINY
        return float(rounded_up(found))

    def near(self, i: Any, j: Any) -> Any:
        """Tell which of some pairs the whole signatures leave, (k,) bool."""
        xp = self._xp
        x, y = xp.take(self.first.values, i, axis=0), xp.take(self.second.values, j, axis=0)
        if self.metric == "inner":
            products = xp.vecdot(xp.astype(x, xp.float64), xp.astype(y, xp.float64))
            return products >= self.least - self._rounding * (1 + 1e-9) - _TINY
        differences = x - y
        return xp.vecdot(differences, differences) <= listed_limit(self.radius, self.whole)


def similar_vectors(tile: VectorTile, counts: SearchCounts) -> Iterator[tuple[Any, Any, Any]]:
    """Find the similar pairs of a tile, cheap bounds first; each leaves out only what it proves.

    1. Boxes around sub-blocks, and vectors near the box of a sub-block, see `kernels.bounds`.
    2. Products of leading values of signatures. A sample tells how many values take least time, or that the vectors
       themselves do.
    3. Whole signatures of the pairs that are left; or, where many are left, float32 products of the vectors.
    4. `metrics.distances` of what is left: they alone decide.

    Vectors whose signatures are not finite, and those far longer than the others, are compared with all by step 4.

    Memory: the signatures three times, the vectors, once more in float32 where signatures leave many pairs, and 20 MB.

    Parameters
    ----------
    tile
        The vectors, and the limit.
    counts
        Counts to increase.

    Yields
    ------
    Places on both sides, (k,) int64 each, and distances, (k,) float64.
    """
    a, b = tile.rows, tile.columns
    xp = array_namespace(a.signatures, b.signatures)
    if tile.allowed is not None:
        counts.pairs += tile.allowed.pairs()
    else:
        rows, columns = a.signatures.shape[0], b.signatures.shape[0]
        counts.pairs += pairs_within(rows) if tile.triangular else rows * columns
    if bool(xp.all(a.tame)) and bool(xp.all(b.tame)):
        yield from _Search(tile, counts, xp).pairs()
        return
    yield from _wild_pairs(tile, counts, xp)
    some = a.some(a.tame)
    others = some if tile.triangular else b.some(b.tame)
    allowed = None if tile.allowed is None else tile.allowed.take(a.tame, b.tame)
    first, second = xp.nonzero(a.tame)[0], xp.nonzero(b.tame)[0]
    for i, j, values in _Search(VectorTile(tile.limit, tile.projection, some, others, allowed), counts, xp).pairs():
        yield xp.take(first, i), xp.take(second, j), values


def _wild_pairs(tile: VectorTile, counts: SearchCounts, xp: Any) -> Iterator[tuple[Any, Any, Any]]:
    """Similar pairs of which one vector at least is not tame."""
    decide = _Decision(tile, counts, xp)
    every = xp.arange(tile.columns.signatures.shape[0], dtype=xp.int64)
    for row, is_tame in enumerate(tile.rows.tame.tolist()):
        columns = every[~tile.columns.tame] if is_tame else every
        if tile.triangular:  # a wild one meets all others once
            columns = columns[columns > row]
        yield from decide.pairs(xp.full(columns.shape[0], row, dtype=xp.int64), columns)


class _Decision:
    """The last step: distances to the bit."""

    def __init__(self, tile: VectorTile, counts: SearchCounts, xp: Any) -> None:
        self._tile, self._counts, self._xp = tile, counts, xp

    def pairs(self, i: Any, j: Any) -> Iterator[tuple[Any, Any, Any]]:
        """Compare some pairs, by their places; filtered ones are left out."""
        tile, xp = self._tile, self._xp
        if tile.allowed is not None:
            wanted = tile.allowed.wanted(i, j)
            i, j = i[wanted], j[wanted]
        if not i.shape[0]:
            return
        self._counts.exact += i.shape[0]
        a, b, metric = tile.rows, tile.columns, tile.projection.metric
        squares = None
        if metric == "cosine" and self._counts.exact > _SQUARED * (a.signatures.shape[0] + b.signatures.shape[0]):
            squares = a.squares, b.squares  # of all rows; the same numbers as of the few
        values = listed_distances(metric, a.vectors, b.vectors, i, j, squares)
        similar = values <= tile.limit
        if xp.any(similar):
            yield i[similar], j[similar], values[similar]


class _Search:
    """The search in a tile all of whose vectors are tame."""

    def __init__(self, tile: VectorTile, counts: SearchCounts, xp: Any) -> None:
        self._tile, self._counts, self._xp = tile, counts, xp
        self._decide = _Decision(tile, counts, xp)

    def pairs(self) -> Iterator[tuple[Any, Any, Any]]:
        """Find the similar pairs."""
        tile, xp = self._tile, self._xp
        a, b = tile.rows, tile.columns
        if not a.signatures.shape[0] or not b.signatures.shape[0]:
            return
        self._bounds = bounds = _Bounds(tile, a, b, xp)
        if not bounds.possible:
            return
        near = near_sub_blocks(*bounds.boxed, bounds.radius, xp)
        if tile.allowed is not None:
            near &= tile.allowed.near(a.cuts, b.cuts)
        places = _near_columns(bounds, xp.triu(near) if tile.triangular else near, xp)
        if not any(columns.shape[0] for columns in places):
            return
        self._starts = xp.asarray([cut.start for cut in b.cuts], dtype=xp.int64)
        left = self._left(places, self._choose_count(places))
        for i, j in _together(self._near_whole(_together(left, xp)), xp):
            yield from self._decide.pairs(i, j)

    def _choose_count(self, places: list[Any]) -> int:
        """Choose the number of leading values that costs least, by a sample; 0 for products of the vectors."""
        cuts, bounds, xp = self._tile.rows.cuts, self._bounds, self._xp
        some = [row for row, columns in enumerate(places) if columns.shape[0]]
        sample = [
            (cuts[row], places[row][:: -(-places[row].shape[0] // _SAMPLE_COLUMNS)])
            for row in some[:: -(-len(some) // _SAMPLE)]
        ]
        width = self._dense_width()
        costs = [(_PAIR_TIME + _VALUE_TIME * width, 0)]
        for count in bounds.first.counts():
            limit, pairs, left = bounds.limit(count), 1, 0
            for cut, columns in sample:
                rows = slice(cut.start, cut.stop, -(-len(cut) // _SAMPLE_ROWS))
                upper, lower = bounds.operands(count, rows, columns)
                pairs += upper.shape[0] * lower.shape[0]
                left += int(xp.count_nonzero(upper @ lower.T <= limit))
            again = min(_SURVIVOR_TIME * left / pairs, _PAIR_TIME + _VALUE_TIME * width)
            costs.append((_PAIR_TIME + _VALUE_TIME * count + again, count))
        return min(costs)[1]

    def _dense_width(self) -> int:
        return int(self._tile.projection.directions.shape[1])

    def _left(self, places: list[Any], count: int) -> Iterator[tuple[Any, Any]]:
        """Find the pairs that products leave, as places; `places` has the columns near each sub-block of rows."""
        tile, bounds, xp = self._tile, self._bounds, self._xp
        share = (_PAIR_TIME + _VALUE_TIME * self._dense_width()) / _SURVIVOR_TIME
        products = Products(max(map(len, tile.rows.cuts)), _COLUMNS, xp)
        if count:
            left, right = bounds.operands(count, slice(None), slice(None))
            limit = bounds.limit(count)
        for cut, columns in zip(tile.rows.cuts, places, strict=True):
            for start, stop in pairwise([*range(0, columns.shape[0], _COLUMNS), columns.shape[0]]):
                piece = columns[start:stop]
                pairs = len(cut) * piece.shape[0]
                self._counts.near += pairs
                if count:
                    products.multiply(left[cut.start : cut.stop, :], _rows(right, piece, xp))
                    found = products.find(limit)
                    if not found:
                        continue
                    if found <= max(share * pairs, _FEW):
                        i, j = self._wanted(cut, piece, *products.places())
                        self._counts.leading += i.shape[0]
                        yield i, j
                        continue
                self._counts.dense += pairs
                products.multiply(*self._float_operands(cut, piece))
                if products.find(bounds.float_limit(self._dense_width())):
                    yield self._wanted(cut, piece, *products.places())

    def _wanted(self, cut: range, columns: Any, i: Any, j: Any) -> tuple[Any, Any]:
        i, j = i + cut.start, self._xp.take(columns, j)
        if self._tile.triangular:
            wanted = i < j
            i, j = i[wanted], j[wanted]
        return i, j

    def _near_whole(self, left: Iterator[tuple[Any, Any]]) -> Iterator[tuple[Any, Any]]:
        """Leave out pairs by their whole signatures."""
        for i, j in left:
            near = self._bounds.near(i, j)
            i, j = i[near], j[near]
            self._counts.candidates += i.shape[0]
            yield i, j

    def _float_operands(self, cut: range, columns: Any) -> tuple[Any, Any]:
        """The vectors of a sub-block and of some columns, for `_Bounds.float_limit`."""
        tile, xp = self._tile, self._xp
        numbers = xp.searchsorted(self._starts, columns, side="right") - 1
        inside = [tile.columns.cuts[block] for block in sorted(set(numbers.tolist()))]
        rows = tile.rows.floats(tile.projection, [cut])[cut.start : cut.stop, :]
        return self._bounds.float_operands(rows, _rows(tile.columns.floats(tile.projection, inside), columns, xp))


def _near_columns(bounds: _Bounds, near: Any, xp: Any) -> list[Any]:
    """Find the columns that are near the box of each sub-block of rows: places, ascending.

    Where those of a few sub-blocks are nearly all of the near sub-blocks, the others are not looked at one by one.
    """
    a, b = bounds.boxed
    some = xp.nonzero(xp.any(near, axis=1))[0]
    if not some.shape[0]:
        return [xp.zeros(0, dtype=xp.int64) for _ in a.sub_blocks]
    sample = xp.zeros_like(near)
    for row in some[:: -(-some.shape[0] // _BOX_SAMPLE)].tolist():
        others = xp.nonzero(near[row, :])[0]
        sample[row, others[:: -(-others.shape[0] // _BOX_SAMPLE)]] = True
    sizes = xp.asarray([len(cut) for cut in b.sub_blocks], dtype=xp.int64)
    points = int(xp.sum(xp.astype(sample, xp.int64) * sizes[None, :]))
    kept = sum(columns.shape[0] for columns in near_images(a, b, sample, bounds.radius, xp))
    if kept < _BOX_WORTH * points:
        return near_images(a, b, near, bounds.radius, xp)
    places = xp.arange(b.values.shape[0], dtype=xp.int64)
    inside = xp.repeat(near, sizes, axis=1)  # of ascending sub-blocks, all of them
    return [places[inside[row, :]] for row in range(near.shape[0])]


def _together(pairs: Iterator[tuple[Any, Any]], xp: Any) -> Iterator[tuple[Any, Any]]:
    """Join few pairs, and cut many, so that each step has about as many as it is made for."""
    waiting: list[tuple[Any, Any]] = []
    number = 0
    for i, j in pairs:
        waiting.append((i, j))
        number += i.shape[0]
        if number < _SURVIVORS:
            continue
        rows, columns = (xp.concat([pair[side] for pair in waiting]) for side in (0, 1))
        waiting, number = [], 0
        for cut in split(range(rows.shape[0]), 4 * _SURVIVORS):
            yield rows[cut.start : cut.stop], columns[cut.start : cut.stop]
    if number:
        rows, columns = (xp.concat([pair[side] for pair in waiting]) for side in (0, 1))
        yield rows, columns


class Products:
    """Products of some rows with some columns, in memory that is used again.

    Parameters
    ----------
    rows, columns
        Most of either.
    xp
        Namespace of the arrays.
    """

    def __init__(self, rows: int, columns: int, xp: Any) -> None:
        self._space, self._xp = xp.empty(rows * columns, dtype=xp.float32), xp
        self._flags = xp.empty(rows * columns + 8, dtype=xp.bool)
        self._places: Any = None
        self._inside: Any = None
        self.matrix: Any = None

    def multiply(self, left: Any, right: Any) -> Any:
        """Make the products of rows, (m, k) and (n, k): (n, m) float32, which the next ones overwrite."""
        size = left.shape[0] * right.shape[0]
        self.matrix = self._xp.reshape(self._space[:size], (right.shape[0], left.shape[0]))
        self._xp.matmul(right, left.T, out=self.matrix)
        return self.matrix

    def find(self, limits: Any) -> int:
        """Count the products that are at most a limit, or one for each of `left`, (m,) float32."""
        xp, matrix = self._xp, self.matrix
        size = matrix.shape[0] * matrix.shape[1]
        flags = self._flags[: size + -size % 8]
        flags[size:] = False
        xp.less_equal(matrix, limits, out=xp.reshape(flags[:size], matrix.shape))
        # in NumPy, eight flags at a time are found five times as fast as one by one
        words = xp.nonzero(flags.view(xp.uint64) != 0)[0]
        inside = xp.take(xp.reshape(flags, (-1, 8)), words, axis=0)
        self._places, self._inside = 8 * words, inside
        return int(xp.count_nonzero(inside))

    def places(self) -> tuple[Any, Any]:
        """Places in `left` and in `right`, (k,) int64 each, of the products that were found last."""
        words, within = self._xp.nonzero(self._inside)
        places = self._xp.take(self._places, words) + within
        return places % self.matrix.shape[1], places // self.matrix.shape[1]


def _above(limit: float) -> float:
    """Give the next number: a distance may have been rounded to 0, or to the smallest numbers."""
    return math.nextafter(limit, math.inf)


def rounded_up(values: Any) -> Any:
    """Give float32 numbers above some numbers."""
    with np.errstate(over="ignore"):
        return np.nextafter(np.asarray(values).astype(np.float32), np.float32(np.inf))


def _rows(values: Any, places: Any, xp: Any) -> Any:
    """Take some rows, by ascending places; as a view if they follow each other."""
    start, stop = int(places[0]), int(places[-1]) + 1
    return values[start:stop, :] if stop - start == places.shape[0] else xp.take(values, places, axis=0)
