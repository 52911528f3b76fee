"""The k nearest thumbnails of each of some images, exactly, by bounds with a radius that shrinks. NumPy only."""

import math
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..bounds import listed_limit, search_radius
from ..device import Device
from ..grid import SUB_BLOCK, split
from ..low_frequencies import LowFrequencies, frequency_counts, listed_transforms, low_frequencies
from ..search_tile import HeldFrequencies, SearchTile
from ..similarity import SquaredErrorLimit, listed_pairs
from .leading import bounds_of, bounds_reach

__all__ = ["ImagesInOrder", "Nearest", "nearest_thumbnails"]

# Sub-blocks that are looked at together, at first and at most.
_FIRST, _TOGETHER = 1, 8
# If more than one pair in so many is left by leading values, signatures are compared by a product of all.
_DENSE_SHARE = 48
# Pairs whose signatures, and whose thumbnails, are compared at once.
_LISTED, _EXACT = 1 << 12, 1 << 11
# Coefficients of the low frequencies, if images are so large.
_FREQUENCIES = 768


class ImagesInOrder(NamedTuple):
    """Images in an order in which neighbours are alike, see `grid.kd_order`.

    Attributes
    ----------
    numbers
        (n,) int64: their numbers.
    leading
        (n, k) float32: their `leading.leading_rows`, as they are compared.
    signatures
        Reads the signatures at consecutive places of the order: (m, values) float32, as they are compared.
    thumbnails
        Reads the thumbnails of images by their numbers: (m, h, w, c) uint8.
    """

    numbers: NDArray[np.int64]
    leading: NDArray[np.float32]
    signatures: Callable[[range], NDArray[np.float32]]
    thumbnails: Callable[[NDArray[np.int64]], NDArray[np.uint8]]


class Nearest(NamedTuple):
    """The nearest images of some images, nearest first, and of equally near ones that of the lower number.

    Attributes
    ----------
    numbers
        (m, k) int64: numbers of the images; −1 where there are fewer than k.
    errors
        (m, k) int64: sums of squared errors, lowest over the transforms of the image whose neighbours they are.
    masks
        (m, k) uint8: bit masks of the transforms that reach it.
    """

    numbers: NDArray[np.int64]
    errors: NDArray[np.int64]
    masks: NDArray[np.uint8]


def nearest_thumbnails(
    queries: ImagesInOrder,
    places: range,
    others: ImagesInOrder,
    k: int,
    shape: tuple[int, int, int],
    transforms: tuple[int, ...],
    held: Device,
    name: Any = "",
) -> Nearest:
    """Find the k nearest of some images for each of others.

    The radius of an image is the distance of the k-th nearest one so far. Sub-blocks whose box is nearest come first,
    and only what is proved to be farther than the radius is left out: boxes (as `bounds.near_sub_blocks`), leading
    values, signatures, low frequencies, each for what the one before left. Thumbnails are compared in integers.

    Parameters
    ----------
    queries, places
        Images whose neighbours are found, and places of some of them in their order.
    others
        Images among which they are found; an image is not its own neighbour.
    k
        Neighbours of each.
    shape
        (h, w, c) of a thumbnail.
    transforms
        Numbers of the transforms of the images that count.
    held
        Holds signatures and low frequencies from call to call.
    name
        Key for what is held of `others`.

    Returns
    -------
    The neighbours of each, as `places` has them.
    """
    found = [
        _Search(queries, some, others, k, shape, transforms, held, name).found() for some in split(places, SUB_BLOCK)
    ]
    if not found:
        return Nearest(np.zeros((0, k), np.int64), np.zeros((0, k), np.int64), np.zeros((0, k), np.uint8))
    return Nearest(*(np.concatenate(arrays) for arrays in zip(*found, strict=True)))


class _Signatures(NamedTuple):
    """Signatures of a sub-block, and their squared norms."""

    values: NDArray[np.float32]
    norms: NDArray[np.float32]

    @classmethod
    def of(cls, values: NDArray[np.float32]) -> "_Signatures":
        exact = values.astype(np.float64)
        return cls(values, np.vecdot(exact, exact).astype(np.float32))

    @property
    def rows(self) -> NDArray[np.float32]:
        """As `bounds_of` takes them."""
        return np.concatenate([self.values, self.norms[:, None]], axis=1)

    @property
    def nbytes(self) -> int:
        """Bytes of both."""
        return self.values.nbytes + self.norms.nbytes


class _Boxes(NamedTuple):
    """Boxes of sub-blocks: smallest and largest values by axis, (values, sub-blocks) float64; and lowest numbers."""

    low: NDArray[np.float64]
    high: NDArray[np.float64]
    numbers: NDArray[np.int64]

    @classmethod
    def of(cls, images: ImagesInOrder, cuts: list[range]) -> "_Boxes":
        starts = [cut.start for cut in cuts]
        low, high = (f.reduceat(images.leading[:, :-1], starts, axis=0) for f in (np.minimum, np.maximum))
        numbers = np.minimum.reduceat(images.numbers, starts)
        return cls(low.T.astype(np.float64, order="C"), high.T.astype(np.float64, order="C"), numbers)

    @property
    def nbytes(self) -> int:
        """Bytes of all."""
        return self.low.nbytes + self.high.nbytes + self.numbers.nbytes


class _Pairs(NamedTuple):
    """Places of pairs, i of the images and j in the order of the others, and squared distances of signatures."""

    i: NDArray[np.int64]
    j: NDArray[np.int64]
    squares: NDArray[np.float32]
    is_listed: bool

    def at(self, places: Any) -> "_Pairs":
        return self._replace(i=self.i[places], j=self.j[places], squares=self.squares[places])


class _Search:
    """The search for the neighbours of the images of one sub-block."""

    def __init__(
        self,
        queries: ImagesInOrder,
        places: range,
        others: ImagesInOrder,
        k: int,
        shape: tuple[int, int, int],
        transforms: tuple[int, ...],
        held: Device,
        name: Any,
    ) -> None:
        self._others, self._k, self._shape, self._transforms = others, k, shape, transforms
        self._held, self._name = held, name
        rows = slice(places.start, places.stop)
        self._numbers, self._leading = queries.numbers[rows], queries.leading[rows]
        self._signatures = _Signatures.of(queries.signatures(places))
        self._thumbnails = queries.thumbnails(self._numbers)
        self._largest = math.prod(shape) * 255**2
        size = (len(places), k)
        self._best = Nearest(np.full(size, -1), np.full(size, self._largest), np.zeros(size, np.uint8))
        self._radius = np.full(len(places), search_radius(self._largest, shape))
        self._low: LowFrequencies | None = None
        counts = [count for count in frequency_counts(*shape) if count <= _FREQUENCIES]
        self._count = counts[-1] if counts else 0

    def found(self) -> Nearest:
        """Search all of the others."""
        cuts = split(range(len(self._others.numbers)), SUB_BLOCK)
        squares, lowest = self._box_squares(cuts)
        order = np.argsort(squares.min(axis=0), kind="stable") if cuts else np.zeros(0, np.int64)
        every = np.arange(len(self._numbers))[:, None]
        start, together = 0, _FIRST
        while start < len(order):
            near = order[start : start + together]
            start, together = start + together, min(2 * together, _TOGETHER)
            wanted = (squares[:, near] <= self._box_limits()[:, None]) & self._may_count(every, lowest[near])
            near = near[wanted.any(axis=0)]
            if len(near):
                self._look_at(np.flatnonzero(wanted.any(axis=1)), [cuts[place] for place in near.tolist()])
        missing = self._best.numbers < 0
        self._best.errors[missing] = 0
        self._best.masks[missing] = 0
        return self._best

    def _may_count(self, i: Any, numbers: Any) -> Any:
        """Tell if images may be among the nearest by their numbers: not if lower ones have no difference at all."""
        return (self._best.errors[i, -1] > 0) | (numbers < self._best.numbers[i, -1])

    def _box_squares(self, cuts: list[range]) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """Squared distances of the images from the boxes of all sub-blocks, (images, sub-blocks); lowest numbers."""
        squares = np.zeros((len(self._numbers), len(cuts)))
        if not cuts:
            return squares, np.zeros(0, np.int64)
        boxes = self._held.cached((self._name, "boxes"), lambda: _Boxes.of(self._others, cuts))
        for axis in range(self._leading.shape[1] - 1):
            points = self._leading[:, axis, None].astype(np.float64)
            gaps = np.maximum(boxes.low[axis] - points, points - boxes.high[axis])
            np.maximum(gaps, 0, out=gaps)
            squares += gaps * gaps
        return squares, boxes.numbers

    def _box_limits(self) -> NDArray[np.float64]:
        return self._radius * self._radius * (1 + 1e-12)

    def _look_at(self, rows: NDArray[np.int64], cuts: list[range]) -> None:
        """Look at some sub-blocks for some of the images: the nearest by signatures first, as radii shrink."""
        pairs = self._near_by_signatures(rows, cuts)
        pairs = pairs.at(self._numbers[pairs.i] != self._others.numbers[pairs.j])
        if not len(pairs.i):
            return
        order = np.lexsort((pairs.squares, pairs.i))
        pairs = pairs.at(order)
        starts = np.flatnonzero(np.diff(pairs.i, prepend=-1))
        ranks = np.arange(len(pairs.i)) - np.repeat(starts, np.diff(np.append(starts, len(pairs.i))))
        first, band = 0, self._k
        while len(pairs.i):
            inside = ranks < first + band
            some = pairs.at(inside)
            for start in range(0, len(some.i), _EXACT):
                self._compare(some.i[start : start + _EXACT], some.j[start : start + _EXACT])
            left = ~inside
            i, j = pairs.i[left], pairs.j[left]
            near = pairs.squares[left] <= self._reach(pairs.is_listed)[i]
            left[left] = near & self._may_count(i, self._others.numbers[j])
            pairs, ranks, first, band = pairs.at(left), ranks[left], first + band, 2 * band

    def _reach(self, is_listed: bool) -> Any:
        values = self._signatures.values.shape[1]
        if is_listed:
            return listed_limit(self._radius, values)
        return bounds_reach(self._radius, self._shape, values)

    def _near_by_signatures(self, rows: NDArray[np.int64], cuts: list[range]) -> _Pairs:
        columns = np.concatenate([np.arange(cut.start, cut.stop) for cut in cuts])
        bounds = bounds_of(self._others.leading[columns], self._leading[rows])
        near = bounds <= bounds_reach(self._radius[rows], self._shape)[:, None]
        number = int(np.count_nonzero(near))
        if number * _DENSE_SHARE > near.size:
            signed = _Signatures(*(np.concatenate(part) for part in zip(*map(self._signed, cuts), strict=True)))
            own = _Signatures(self._signatures.values[rows], self._signatures.norms[rows])
            squares = bounds_of(signed.rows, own.rows)
            near &= squares <= self._reach(False)[rows][:, None]
            i, j = _places(near)
            return _Pairs(rows[i], columns[j], squares.reshape(-1)[i * len(columns) + j], False)
        i, j = _places(near)
        return self._listed(rows[i], j, columns, cuts)

    def _listed(
        self, i: NDArray[np.int64], j: NDArray[np.int64], columns: NDArray[np.int64], cuts: list[range]
    ) -> _Pairs:
        """Compare the signatures of pairs one by one; `j` are places in `columns`, those of the sub-blocks."""
        if not len(i):
            return _Pairs(i, j, np.zeros(0, np.float32), True)
        values = np.concatenate([self._signed(cut).values for cut in cuts])
        squares = np.empty(len(i), np.float32)
        for start in range(0, len(i), _LISTED):
            some = slice(start, start + _LISTED)
            differences = self._signatures.values[i[some]] - values[j[some]]
            squares[some] = np.vecdot(differences, differences)
        near = squares <= self._reach(True)[i]
        return _Pairs(i[near], columns[j[near]], squares[near], True)

    def _signed(self, cut: range) -> _Signatures:
        return self._held.cached((self._name, "signatures", cut), lambda: _Signatures.of(self._others.signatures(cut)))

    # -- exact -------------------------------------------------------------------------------------------------------

    def _compare(self, i: NDArray[np.int64], j: NDArray[np.int64]) -> None:
        """Compare the thumbnails of some pairs, under the transforms that low frequencies leave."""
        masks = self._masks(i, j)
        i, j, masks = i[masks > 0], j[masks > 0], masks[masks > 0]
        if not len(i):
            return
        (left, x), (right, y) = (np.unique(places, return_inverse=True) for places in (i, j))
        numbers = self._others.numbers[right]
        found = listed_pairs(
            self._thumbnails[left],
            self._others.thumbnails(numbers),
            x,
            y,
            masks,
            limit=SquaredErrorLimit(self._largest),
            transforms=self._transforms,
        )
        self._add(left[found[:, 0]], numbers[found[:, 1]], found[:, 2], found[:, 3])

    def _masks(self, i: NDArray[np.int64], j: NDArray[np.int64]) -> NDArray[np.uint8]:
        every = np.full(len(i), sum(1 << transform for transform in self._transforms), np.uint8)
        known = self._best.numbers[i, -1] >= 0
        if not self._count or not known.any():
            return every
        if self._low is None:
            self._low = low_frequencies(
                self._thumbnails, SquaredErrorLimit(self._largest), self._transforms, self._count
            )
        places, j_places = np.unique(j[known], return_inverse=True)
        options: Any = {"radius": self._distances(i[known]), "transforms": self._transforms}
        every[known] = listed_transforms(self._low, self._low_of(places), i[known], j_places, **options)
        return every

    def _distances(self, i: NDArray[np.int64]) -> NDArray[np.float64]:
        """Largest distances of thumbnails that count."""
        return np.sqrt(self._best.errors[i, -1].astype(np.float64)) * (1 + 1e-12)

    def _low_of(self, places: NDArray[np.int64]) -> LowFrequencies:
        """Low frequencies of others, by ascending places in their order."""
        parts = []
        for number, some in _by_sub_block(places):
            cut = range(number * SUB_BLOCK, min((number + 1) * SUB_BLOCK, len(self._others.numbers)))
            parts.append(self._frequencies(cut).at(some - cut.start))
        arrays = [np.concatenate(arrays) for arrays in zip(*(part.arrays for part in parts), strict=True)]
        return LowFrequencies(arrays[0], arrays[1], arrays[2], parts[0].key)

    def _frequencies(self, cut: range) -> HeldFrequencies:
        def make() -> HeldFrequencies:
            numbers = self._others.numbers[cut.start : cut.stop]
            limit = SquaredErrorLimit(self._largest)
            side: Any = None
            tile = SearchTile(side, side, self._others.thumbnails, self._shape, limit, self._transforms, None)
            return HeldFrequencies(tile, numbers, self._count)

        return self._held.cached((self._name, "low", cut), make)

    def _add(
        self, i: NDArray[np.int64], numbers: NDArray[np.int64], errors: NDArray[np.int64], masks: NDArray[np.int64]
    ) -> None:
        """Keep the nearest ones of those that were found, and shrink the radii."""
        best, k = self._best, self._k
        rows = np.unique(i)
        old = best.numbers[rows] >= 0
        every = (
            np.concatenate([np.repeat(rows, old.sum(axis=1)), i]),
            np.concatenate([best.numbers[rows][old], numbers]),
            np.concatenate([best.errors[rows][old], errors]),
            np.concatenate([best.masks[rows][old], masks.astype(np.uint8)]),
        )
        order = np.lexsort((every[1], every[2], every[0]))
        owner, numbers, errors, masks = (array[order] for array in every)
        starts = np.flatnonzero(np.diff(owner, prepend=-1))
        ranks = np.arange(len(owner)) - np.repeat(starts, np.diff(np.append(starts, len(owner))))
        kept = ranks < k
        place = owner[kept], ranks[kept]
        best.numbers[place], best.errors[place], best.masks[place] = numbers[kept], errors[kept], masks[kept]
        for row in rows[best.numbers[rows, -1] >= 0].tolist():
            self._radius[row] = search_radius(int(best.errors[row, -1]), self._shape)


def _places(flags: NDArray[np.bool_]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    places = np.flatnonzero(flags)
    return places // flags.shape[1], places % flags.shape[1]


def _by_sub_block(places: NDArray[np.int64]) -> Iterator[tuple[int, NDArray[np.int64]]]:
    """Numbers of sub-blocks, and the ascending places in each."""
    numbers, starts = np.unique(places // SUB_BLOCK, return_index=True)
    yield from zip(numbers.tolist(), np.split(places, starts[1:]), strict=True)
