"""Find the k nearest vectors of each of some, exactly: the nearest sub-blocks first, with a radius that shrinks."""

from collections.abc import Iterable
from typing import Any

import numpy as np

from ..kernels.bounds import BOX_VALUES
from ..kernels.grid import SUB_BLOCK, kd_order, split
from ..kernels.signatures import leading_values
from .directions import Projection, plain_projection
from .metrics import check_vectors, listed_distances, row_squares, usable
from .search import Products, VectorSide, float_rows, product_error, rounded_up

__all__ = ["nearest_rows"]

# Queries that are looked at together, and columns of a product of vectors.
_QUERIES, _COLUMNS = SUB_BLOCK, 2048
# Values of the signatures in a first product, the fewest first; and the share of pairs that it may leave to be worth
# its time: comparing one to the bit takes as long as the products of some hundred.
_LEADING, _WORTH = (48, 128), 0.005
# Pieces that are compared by products of vectors alone after one in which a first product was not worth its time.
_PAUSE = 15
# Pairs of bits whose differences are counted at once.
_BIT_PAIRS = 1 << 20
# Vectors of a query that wait, on average, before its reach is found anew: that takes as long as many products.
_PATIENCE = 4
# Pairs that wait to be compared to the bit.
_POOL = 1 << 18
_LARGEST = float(np.finfo(np.float64).max)
_UNIT, _EXACT_ERROR, _TINY = 2.0**-24, 1e-14, 1e-30


class _Best:
    """The k nearest of each query so far: the smallest values, and of equal ones the lowest numbers."""

    def __init__(self, queries: int, k: int, own: Any | None) -> None:
        self.numbers = np.full((queries, k), -1, np.int64)
        self.values = np.full((queries, k), np.inf)
        self._own = own

    def add(self, queries: Any, numbers: Any, values: Any) -> None:
        """Add vectors with their numbers and distances, (n,) each, to some queries, (n,)."""
        wanted = values < np.inf
        if self._own is not None:
            wanted &= numbers != self._own[queries]
        queries, numbers, values = queries[wanted], numbers[wanted], values[wanted]
        k = self.values.shape[1]
        if not len(queries) or not k:
            return
        some = np.unique(queries)
        rows = np.concatenate([np.repeat(some, k), queries])
        numbers = np.concatenate([self.numbers[some].ravel(), numbers])
        values = np.concatenate([self.values[some].ravel(), values])
        order = np.lexsort((numbers, values, rows))
        rows, numbers, values = rows[order], numbers[order], values[order]
        ranks = np.arange(len(rows)) - np.searchsorted(rows, rows)
        kept = ranks < k
        self.numbers[rows[kept], ranks[kept]] = numbers[kept]
        self.values[rows[kept], ranks[kept]] = values[kept]

    def reach(self, queries: Any) -> Any:
        """Largest distance of some queries that still counts, (n,) float64."""
        return self.values[queries, -1]


def nearest_rows(
    metric: str,
    queries: Any,
    sides: Iterable[tuple[Any, Any]],
    k: int,
    projection: Projection | None = None,
    own: Any | None = None,
) -> tuple[Any, Any]:
    """Find the k nearest vectors of each query, by `metrics.distances`; of equal distances, the lowest numbers.

    The queries are put into groups that are alike. A group meets the sub-blocks of a side in the order of the distance
    of their boxes, and stops at the first that is farther than what each query has found. Before that, signatures leave
    out most vectors, or, where they do not, float32 products of the vectors. What is left is compared to the bit.

    Memory: signatures, vectors as they are stored and in float32 of one side and of the queries; 20 MB.

    Parameters
    ----------
    metric
        One of `config.METRICS`.
    queries
        (m, d) NumPy; those that are not `metrics.usable` have no neighbours.
    sides
        Numbers (n,) int64 and vectors, (n, d) or a `search.VectorSide`, of all others, some at a time. In an array,
        rows that are not usable are left out. No number is there twice.
    k
        Number of neighbours, from 1.
    projection
        What made the signatures of the sides, or makes them. By default, vectors are compared by products alone.
    own
        (m,) int64, the number of each query itself, which is left out; None if the queries have no numbers.

    Returns
    -------
    numbers
        (m, k) int64, the nearest first; −1 where there are fewer.
    values
        (m, k) float64 distances; infinite where there are fewer.

    Examples
    --------
    >>> rows = np.array([[0.0], [1.0], [3.0], [3.0]])
    >>> nearest_rows("euclidean", rows[:1], [(np.arange(4), rows)], 3)[0].tolist()
    [[0, 1, 2]]
    """
    check_vectors(metric, queries.dtype)
    best = _Best(len(queries), k, own)
    if metric == "hamming":
        for numbers, vectors in sides:
            rows = vectors.vectors if isinstance(vectors, VectorSide) else vectors
            _add_by_bits(best, queries, numbers, rows)
        return best.numbers, best.values
    places = np.flatnonzero(usable(metric, queries))
    projection = projection or plain_projection(metric, queries[places])
    search = _Search(best, places, queries[places], projection)
    for numbers, vectors in sides:
        if not isinstance(vectors, VectorSide):
            there = usable(metric, vectors)
            rows, numbers = (vectors, numbers) if there.all() else (vectors[there], numbers[there])
            vectors = _plain_side(projection, rows)
        search.add(numbers, vectors)
    return best.numbers, best.values


def _plain_side(projection: Projection, rows: Any) -> VectorSide:
    """Make a side of vectors in any order."""
    return VectorSide(projection.apply(rows), split(range(len(rows)), SUB_BLOCK), lambda: rows)


def _add_by_bits(best: _Best, queries: Any, numbers: Any, rows: Any) -> None:
    k = best.values.shape[1]
    for query in range(len(queries)):
        for cut in split(range(len(rows)), _BIT_PAIRS):
            some = np.arange(cut.start, cut.stop)
            values = listed_distances("hamming", queries, rows, np.full(len(some), query), some)
            near = np.flatnonzero(values <= best.reach(query))
            if len(near) > k + 1:  # as many as may count, the query itself, and all that equal the last of them
                near = near[values[near] <= np.partition(values[near], k)[k]]
            best.add(np.full(len(near), query), numbers[some[near]], values[near])


class _Group:
    """Some queries that are alike: places among all queries, vectors, signatures and their box."""

    def __init__(self, search: "_Search", rows: Any) -> None:
        projection = search.projection
        self.rows, self.queries = rows, search.places[rows]
        self.signatures = search.signatures[rows]
        self.floats = float_rows(projection, search.vectors[rows])
        leading = leading_values(self.signatures, BOX_VALUES).astype(np.float64)
        self.low, self.high = leading.min(axis=0), leading.max(axis=0)
        self.heads = {count: leading_values(self.signatures, count) for count in _LEADING}
        self.count = _LEADING[0]
        self.norms = np.sqrt(np.vecdot(leading, leading)) * (1 + 4 * search.error) + _TINY
        self.pause = 0


class _Search:
    """Looks for the nearest of some queries in one side after the other."""

    def __init__(self, best: _Best, places: Any, vectors: Any, projection: Projection) -> None:
        self.best, self.places, self.vectors, self.projection = best, places, vectors, projection
        self.error, self.metric = projection.error() + 2e-7, projection.metric
        self.signatures = projection.apply(vectors)
        self._products: Any = None
        self.squares = row_squares(vectors) if self.metric == "cosine" else None
        tame = np.isfinite(self.signatures).all(axis=1)
        self._wild = np.flatnonzero(~tame)
        order = np.flatnonzero(tame)
        order = order[kd_order(leading_values(self.signatures[order], BOX_VALUES), _QUERIES)]
        self._groups = [_Group(self, order[cut.start : cut.stop]) for cut in split(range(len(order)), _QUERIES)]

    def add(self, numbers: Any, side: VectorSide) -> None:
        """Look at the vectors of a side."""
        if not len(numbers) or not len(self.places):
            return
        every, wild = np.arange(len(numbers)), np.flatnonzero(~side.tame)
        for query in self._wild:
            self.decide(numbers, side, np.full(len(every), query), every)
        if len(wild):
            for group in self._groups:
                self.decide(numbers, side, np.repeat(group.rows, len(wild)), np.tile(wild, len(group.rows)))
            numbers, side = numbers[side.tame], side.some(side.tame)
        if not len(numbers):
            return
        boxes = _Boxes(side, numbers)
        at_once = max(_COLUMNS, max(map(len, side.cuts)) * max(1, _COLUMNS // SUB_BLOCK))
        self._products = Products(_QUERIES, at_once, np)
        for group in self._groups:
            self._add_to(group, numbers, side, boxes)

    def decide(self, numbers: Any, side: VectorSide, rows: Any, columns: Any) -> None:
        """Compare pairs to the bit, and keep the nearest."""
        squares = None if self.squares is None else (self.squares, side.squares)
        values = listed_distances(self.metric, self.vectors, side.vectors, rows, columns, squares)
        self.best.add(self.places[rows], numbers[columns], values)

    def _add_to(self, group: _Group, numbers: Any, side: VectorSide, boxes: "_Boxes") -> None:
        """Look at the sub-blocks of a side, the nearest first, until none can hold a nearer vector."""
        least = boxes.least_values(group, self)
        order = np.argsort(least, kind="stable")
        pool = _Pool(self, group, boxes)
        done, at_once = 0, 1  # one first: it tells how far to look
        while done < len(order):
            reach = pool.reach()
            if done == 1 and least.max() <= reach.min():
                order[1:] = np.sort(order[1:])  # boxes tell nothing; rows that follow each other need no copy
            some = order[done : done + at_once]
            some = some[least[some] <= reach.max()]
            if not reach.any() and self.metric != "inner":  # nothing is nearer, and of equal ones lower numbers count
                some = some[boxes.lowest[some] < self.best.numbers[group.queries, -1].max()]
            if len(some):
                self._add_columns(pool, reach, numbers, side, [side.cuts[number] for number in np.sort(some).tolist()])
            elif least[order[done:]].min() > reach.max():
                break
            done, at_once = done + at_once, max(1, _COLUMNS // SUB_BLOCK)
        self.decide(numbers, side, *pool.taken())

    def _add_columns(self, pool: "_Pool", reach: Any, numbers: Any, side: VectorSide, cuts: list[range]) -> None:
        """Compare a group with some sub-blocks."""
        group, boxes = pool.group, pool.boxes
        places = np.concatenate([np.arange(cut.start, cut.stop) for cut in cuts])
        is_run = places[-1] - places[0] == len(places) - 1
        columns: Any = slice(int(places[0]), int(places[-1]) + 1) if is_run else places
        products = len(group.rows) * len(places)
        if group.pause or not np.isfinite(reach).all() or side.signatures.shape[1] <= _LEADING[0]:
            group.pause = max(0, group.pause - 1)
        else:
            for count in _LEADING[_LEADING.index(group.count) :]:
                group.count = count  # fewer values would not do for the next ones either
                boxes.multiply(self._products, self.metric, group, columns)
                if self._products.find(self._leading_limits(group, reach, boxes)) <= _WORTH * products:
                    i, j = self._products.places()
                    self.decide(numbers, side, group.rows[i], places[j])
                    return
            group.pause = _PAUSE
        self._multiply(group, side.floats(self.projection, cuts)[columns])
        if not np.isfinite(reach).all():  # the nearest of these tell how far to look
            k = min(pool.best.values.shape[1], len(places))
            j = np.argpartition(self._products.matrix, k - 1, axis=0)[:k].ravel()
            i = np.tile(np.arange(len(group.rows)), k)
            reach = np.minimum(reach, pool.reach_of(i, places[j], self._products.matrix[j, i]))
        if self._products.find(self.float_limits(group, reach, boxes)):
            i, j = self._products.places()
            pool.add(i, places[j], self._products.matrix[j, i])
            if pool.size > _POOL or 2 * len(i) > products:  # most are left: they may be equal, and these will do
                self.decide(numbers, side, *pool.taken())

    # -- limits: the largest product of a vector that may count, whatever rounding did; see `search._Bounds` ----------

    def _multiply(self, group: _Group, floats: Any) -> None:
        if self.metric != "euclidean":
            self._products.multiply(-group.floats, floats)
            return
        result = self._products.multiply(-2 * group.floats, floats)
        result += np.vecdot(group.floats, group.floats)[None, :]
        result += np.vecdot(floats, floats)[:, None]

    def _float_slack(self, group: _Group, boxes: "_Boxes") -> Any:
        error = product_error(self.vectors.shape[1])
        if self.metric == "cosine":
            return np.full(len(group.rows), error)
        if self.metric == "inner":
            return error * group.norms * boxes.norm + _TINY
        return (8 * error + 16 * _UNIT) * np.maximum(group.norms, boxes.norm) ** 2 + _TINY

    def float_limits(self, group: _Group, reach: Any, boxes: "_Boxes") -> Any:
        return rounded_up(self._measured(group, reach, boxes, 0.0) + self._float_slack(group, boxes))

    def _leading_limits(self, group: _Group, reach: Any, boxes: "_Boxes") -> Any:
        count = group.count
        if self.metric == "euclidean":
            largest = np.maximum(group.norms, boxes.norm)
            slack = (4 * count + 16) * _UNIT * 2 * largest**2
            return rounded_up(self._measured(group, reach, boxes, 2 * self.error) + slack)
        largest = 1.0 if self.metric == "cosine" else group.norms * boxes.norm
        slack = (2 * self.error + self.error**2 + (1.02 * count + 4) * _UNIT * (1 + self.error) ** 2) * largest
        return rounded_up(self._measured(group, reach, boxes, 0.0) + slack + _TINY)

    def value_above(self, group: _Group, products: Any, boxes: "_Boxes") -> Any:
        """Turn float32 products, as float64, into distances that are not smaller."""
        with np.errstate(over="ignore", invalid="ignore"):
            above, exponent = products + self._float_slack(group, boxes), self.projection.exponent
            if self.metric == "cosine":
                return np.maximum(above + 1 + _EXACT_ERROR, 0)
            if self.metric == "inner":
                return np.maximum(np.ldexp(np.ldexp(above, exponent), exponent), -_LARGEST)
            return np.nextafter(np.ldexp(np.sqrt(np.maximum(above, 0)) * (1 + 1e-12), exponent), np.inf)

    def _measured(self, group: _Group, reach: Any, boxes: "_Boxes", error: float) -> Any:
        """Turn distances into exact products: minus the cosine, minus the inner product, or the squared distance."""
        with np.errstate(over="ignore", invalid="ignore"):
            if self.metric == "cosine":
                return reach - 1 + _EXACT_ERROR
            above = np.nextafter(reach, np.inf)
            if self.metric == "inner":
                scaled = np.ldexp(np.ldexp(above, -self.projection.exponent), -self.projection.exponent)
                return scaled + _EXACT_ERROR * group.norms * boxes.norm + _TINY
            radius = np.ldexp(above, -self.projection.exponent) * (1 + 1e-12)
            return (radius + error * np.maximum(group.norms, boxes.norm) + _TINY) ** 2


class _Pool:
    """Vectors of a side that may be among the nearest of a group, by float32 products; few are compared to the bit."""

    def __init__(self, search: _Search, group: _Group, boxes: "_Boxes") -> None:
        self.group, self.boxes, self._search = group, boxes, search
        # the query itself may be among them
        self.best = _Best(len(group.rows), search.best.values.shape[1] + 1, None)
        self._found: list[tuple[Any, Any, Any]] = []
        self._waiting: list[tuple[Any, Any, Any]] = []  # of these, `best` does not know yet
        self.size = 0

    def reach(self) -> Any:
        """Largest distance of each query that still counts, (m,) float64."""
        if sum(len(one[0]) for one in self._waiting) >= _PATIENCE * len(self.group.rows):
            self._settle()
        known = self._search.best.reach(self.group.queries)
        return np.minimum(known, self._search.value_above(self.group, self.best.values[:, -1], self.boxes))

    def reach_of(self, i: Any, places: Any, products: Any) -> Any:
        """Largest distance that counts if these were all vectors."""
        best = _Best(*self.best.values.shape, None)
        best.add(i, places, products.astype(np.float64))
        return self._search.value_above(self.group, best.values[:, -1], self.boxes)

    def add(self, i: Any, places: Any, products: Any) -> None:
        """Add vectors by their places, with float32 products, to some queries of the group."""
        self._waiting.append((i, places, products))
        self._found.append((i, places, products))
        self.size += len(i)

    def _settle(self) -> None:
        if self._waiting:
            i, places, products = (np.concatenate(part) for part in zip(*self._waiting, strict=True))
            self.best.add(i, places, products.astype(np.float64))
            self._waiting = []

    def taken(self) -> tuple[Any, Any]:
        """Queries and places of those that still may count; the pool is empty then, but knows how far to look."""
        if not self._found:
            return np.zeros(0, np.int64), np.zeros(0, np.int64)
        self._settle()
        i, places, products = (np.concatenate(part) for part in zip(*self._found, strict=True))
        near = products <= self._search.float_limits(self.group, self.reach(), self.boxes)[i]
        self._found, self.size = [], 0
        return self.group.rows[i[near]], places[near]


class _Boxes:
    """Boxes, norms and lowest numbers of the sub-blocks of a side, and the leading values of its signatures."""

    def __init__(self, side: VectorSide, numbers: Any) -> None:
        leading = leading_values(side.signatures, BOX_VALUES).astype(np.float64)
        starts = [cut.start for cut in side.cuts]
        self.lowest = np.minimum.reduceat(numbers, starts)
        self.low, self.high = (ufunc.reduceat(leading, starts, axis=0) for ufunc in (np.minimum, np.maximum))
        norms = np.sqrt(np.vecdot(leading, leading))
        self.largest = np.maximum.reduceat(norms, starts)
        self.norm = float(norms.max()) * (1 + 1e-4) + _TINY
        self._heads = {count: leading_values(side.signatures, count) for count in _LEADING}

    def least_values(self, group: _Group, search: _Search) -> Any:
        """Lower bounds of the distances of a group from any vector of each sub-block, (n,) float64."""
        projection, error = search.projection, search.error
        if search.metric == "inner":
            most = group.norms.max() * self.largest * (1 + 4 * error) + _TINY
            with np.errstate(over="ignore"):
                return -np.ldexp(np.ldexp(most * (1 + _EXACT_ERROR), projection.exponent), projection.exponent)
        gaps = np.maximum(self.low - group.high, group.low - self.high)
        norm = 1.0 if search.metric == "cosine" else max(float(group.norms.max()), self.norm)
        gaps = np.maximum(gaps, 0)
        near = np.maximum(np.sqrt(np.vecdot(gaps, gaps)) * (1 - 1e-12) - 2 * error * norm - _TINY, 0)
        if search.metric == "cosine":
            return near * near / 2 - _EXACT_ERROR
        return np.ldexp(near, projection.exponent) * (1 - 1e-12)

    def multiply(self, products: Products, metric: str, group: _Group, columns: Any) -> None:
        """Make the products of the leading values, as `_Search` compares them."""
        heads, others = group.heads[group.count], self._heads[group.count]
        if metric != "euclidean":
            products.multiply(-heads, others[columns])
            return
        result = products.multiply(-2 * heads, others[columns])
        result += np.vecdot(heads, heads)[None, :]
        result += np.vecdot(others[columns], others[columns])[:, None]
