"""Find the similar pairs of a tile: by signatures, then by low frequencies, then exactly by thumbnails."""

import math
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .bounds import SearchCounts, SearchSide, candidate_pairs
from .cascade_gpu import tile_pairs_gpu
from .device import CPU, Device
from .grid import pairs_within, split
from .low_frequencies import (
    frequency_counts,
    left_operands,
    listed_transforms,
    low_frequencies,
    near_transforms,
    right_operand,
)
from .search_tile import Costs, HeldFrequencies, SearchTile, TileSide, measured_costs
from .similarity import listed_pairs, prepared_pairs
from .squared_errors import prepare_images

__all__ = ["HELD_BYTES", "exact_pairs_at_once", "similar_tile_pairs"]

# Bytes of the thumbnails, as stored and prepared, that a tile holds.
HELD_BYTES = 1 << 27
# Sub-blocks of either side that are compared with each other before the next ones are read.
_GROUP = 8
# Pairs of sub-blocks, of those of two groups, from which the thumbnails of whole groups are read.
_OFTEN = 24
# Reads the thumbnails of images of a side, by their places.
_Read = Callable[[TileSide, NDArray[np.int64]], NDArray[np.uint8]]
# Places on the sides, and masks of the transforms, of pairs to compare exactly.
_Left = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.uint8]]
# Candidates that wait to be compared in the order of their images, and those that are looked at together.
_WAITING, _TOGETHER = 1 << 17, 1 << 13
# Pairs whose thumbnails are read at once, and bytes of these on one side.
_EXACT, _EXACT_BYTES = 1 << 11, 1 << 25
# Pairs of sub-blocks that are worth a sample; the pairs of sub-blocks in it, and images of each.
_SAMPLED, _SAMPLE, _SAMPLE_ROWS = 200, 8, 64
# Place in `frequency_counts` of the number of coefficients that is used without a sample.
_USUAL = 1


def similar_tile_pairs(tile: SearchTile, counts: SearchCounts, device: Device = CPU) -> Iterator[NDArray[np.int64]]:
    """Find the similar pairs of a tile by a cascade of lower bounds, each of which only skips what it proves.

    1. Candidates are found by the signatures of the images, see `bounds`.
    2. Low frequencies leave out most candidates, and for the others most transforms, see `low_frequencies`. Of an
       image, they are computed once a tile, and not at all if nothing asks for them.
    3. The thumbnails of what is left are compared in integers.

    Where signatures leave many pairs of two sub-blocks, all of these are compared by products of low frequencies; where
    these leave many as well, by products of thumbnails. Sampled counts and measured costs decide, see
    `search_tile.Costs`; they change the time, not the pairs.

    A GPU goes its own way, see `cascade_gpu`. Pair filters work on a processor only.

    Memory: `HELD_BYTES`, the low frequencies of the images (up to 3 kB each), 16 bytes a waiting candidate.

    Parameters
    ----------
    tile
        The images, and the limit of a similar pair.
    counts
        Counts to increase.
    device
        Where to compute; it caches arrays from tile to tile, up to a limit.

    Yields
    ------
    (k, 4) int64: numbers of two images, value of the pair, bit mask of the transforms that reach it.
    """
    if device.is_gpu:
        yield from tile_pairs_gpu(tile, device, counts)
    else:
        yield from _ProcessorSearch(tile, device, counts).pairs()


class _ProcessorSearch:
    """The search on a processor, with NumPy: run by run, as its caches are small."""

    def __init__(self, tile: SearchTile, device: Device, counts: SearchCounts) -> None:
        self._tile, self._device, self._counts = tile, device, counts
        self._held = Device(cache_bytes=HELD_BYTES)
        self._choices = frequency_counts(*tile.shape)
        self._frequencies: dict[tuple[int, int], HeldFrequencies] = {}
        self._numbers = {cut: number for number, cut in enumerate(tile.rows.cuts)}
        self._numbers_of_columns = {cut: number for number, cut in enumerate(tile.columns.cuts)}
        # so that the thumbnails of a group take an eighth of what is held
        largest = max((len(cut) for side in (tile.rows, tile.columns) for cut in side.cuts), default=1)
        self._group = max(1, min(_GROUP, HELD_BYTES // 8 // (largest * math.prod(tile.shape))))
        self._exact = exact_pairs_at_once(math.prod(tile.shape))

    def pairs(self) -> Iterator[NDArray[np.int64]]:
        """Find the similar pairs, as numbers of images."""
        crowded: list[tuple[int, int]] = []
        waiting: list[tuple[NDArray[np.int64], NDArray[np.int64]]] = []
        number = 0
        for i, j in self._candidates():
            if isinstance(i, range):
                crowded.append((self._numbers[i], self._numbers_of_columns[j]))
                continue
            waiting.append((i, j))  # type: ignore[arg-type]
            number += len(i)
            if number >= _WAITING:
                yield from self._compare_listed(waiting)
                waiting, number = [], 0
        yield from self._compare_listed(waiting)
        yield from self._compare_crowded(crowded)

    def _candidates(self) -> Iterator[tuple[Any, Any] | tuple[range, range]]:
        tile = self._tile
        a = self._search_side(tile.rows)
        b = a if tile.triangular else self._search_side(tile.columns)
        options: dict[str, Any] = {"radius": tile.radius, "counts": self._counts, "triangular": tile.triangular}
        return candidate_pairs(a, b, allowed=tile.allowed, **options)

    def _search_side(self, side: TileSide) -> SearchSide:
        """Signatures of a side, which the next tile with the same images finds read."""

        def make() -> SearchSide:
            return SearchSide(side.signatures(), side.cuts, np)

        # with pair filters, of some of the images that the name of the side stands for
        return make() if self._tile.allowed is not None else self._device.cached(("signatures", side.name()), make)

    def _low(self, side: TileSide, count: int) -> HeldFrequencies:
        """Low frequencies of the images of a side, which the next tile with the same images finds computed."""
        tile, key = self._tile, (id(side), count)
        if key not in self._frequencies:

            def make() -> HeldFrequencies:
                return HeldFrequencies(tile, side.images, count)

            # with pair filters, of some of the images that the name of the side stands for
            name = (side.name(), tile.limit, tile.transforms, count)
            self._frequencies[key] = make() if tile.allowed is not None else self._device.cached(name, make)
        return self._frequencies[key]

    def _numbered(self, pairs: NDArray[np.int64], i: Any, j: Any) -> NDArray[np.int64]:
        """Give pairs of places among some images, i and j on the sides, by the numbers of the images."""
        pairs[:, 0] = self._tile.rows.images[i[pairs[:, 0]]]
        pairs[:, 1] = self._tile.columns.images[j[pairs[:, 1]]]
        return pairs

    # -- candidates one by one -----------------------------------------------------------------------------------------

    def _compare_listed(self, waiting: list[tuple[Any, Any]]) -> Iterator[NDArray[np.int64]]:
        """Compare candidates in the order of their images, so that an image is read once for many of them."""
        if not any(len(i) for i, _ in waiting):
            return
        i, j = (np.concatenate(side) for side in zip(*waiting, strict=True))
        order = np.lexsort((j, i))
        i, j = i[order], j[order]
        found: list[_Left] = []
        for start in range(0, len(i), _TOGETHER):
            x, y = i[start : start + _TOGETHER], j[start : start + _TOGETHER]
            masks = self._listed_masks(x, y)
            found.append((x[masks > 0], y[masks > 0], masks[masks > 0]))
        yield from self._compare_left(found)

    def _listed_masks(self, i: NDArray[np.int64], j: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Bit masks of the transforms to compare exactly: all of them where low frequencies are not worth their time.

        The low frequencies of an image cost as much as two or three exact comparisons, with its reading; they save the
        comparison of a pair under all transforms, nearly always.
        """
        tile, choices = self._tile, self._choices
        if choices:
            count = choices[min(_USUAL, len(choices) - 1)]
            rows, columns = (self._low(side, count) for side in (tile.rows, tile.columns))
            (left, x), (right, y) = (np.unique(places, return_inverse=True) for places in (i, j))
            missing = rows.missing(left) + columns.missing(right)
            if 3 * missing < len(i) * len(tile.transforms):
                options: dict[str, Any] = {"radius": tile.radius, "transforms": tile.transforms}
                return listed_transforms(rows.at(left), columns.at(right), x, y, **options)
        return np.full(len(i), sum(1 << transform for transform in tile.transforms), np.uint8)

    def _compare_left(self, left: list[_Left]) -> Iterator[NDArray[np.int64]]:
        """Compare what is left, some pairs at a time; their thumbnails are read in one go."""
        if left:
            yield from self._compare_some(_joined(left), self._read)

    def _compare_some(self, left: _Left, read: _Read) -> Iterator[NDArray[np.int64]]:
        i, j, masks = left
        for start in range(0, len(i), self._exact):
            some = slice(start, start + self._exact)
            yield self._compare_exactly(i[some], j[some], masks[some], read)

    def _read(self, side: TileSide, places: NDArray[np.int64]) -> NDArray[np.uint8]:
        return self._tile.thumbnails(side.images[places])

    def _compare_exactly(
        self,
        i: NDArray[np.int64],
        j: NDArray[np.int64],
        masks: NDArray[np.uint8],
        read: _Read,
    ) -> NDArray[np.int64]:
        """Compare the thumbnails of pairs, by their places on the sides, under some transforms."""
        self._counts.exact += len(i)
        (left, x), (right, y) = (np.unique(places, return_inverse=True) for places in (i, j))
        a, b = read(self._tile.rows, left), read(self._tile.columns, right)
        return self._numbered(listed_pairs(a, b, x, y, masks, **self._tile.exact), left, right)

    # -- sub-blocks with many candidates -------------------------------------------------------------------------------

    def _compare_crowded(self, pairs: list[tuple[int, int]]) -> Iterator[NDArray[np.int64]]:
        """Compare all images of pairs of sub-blocks, some sub-blocks of either side with each other at a time."""
        if not pairs:
            return
        pairs.sort(key=lambda pair: (pair[0] // self._group, pair[1] // self._group, *pair))
        tile = self._tile
        costs = measured_costs(tile.shape, tile.transforms) if len(pairs) >= _SAMPLED else Costs()
        count = self._choose_count(pairs, costs)
        if count:  # of all of them at once: their thumbnails are read in the order in which they are stored
            for side, number in ((tile.rows, 0), (tile.columns, 1)):
                cuts = [side.cuts[place] for place in sorted({pair[number] for pair in pairs})]
                self._low(side, count).at(np.concatenate([np.arange(c.start, c.stop) for c in cuts]))
        groups = Counter((row // self._group, column // self._group) for row, column in pairs)
        waiting: list[_Left] = []
        for row, column in pairs:
            often = groups[row // self._group, column // self._group] >= _OFTEN
            yield from self._compare_two(row, column, count, costs, None if often else waiting)
            if sum(len(left[0]) for left in waiting) >= self._exact:
                yield from self._compare_left(waiting)
                waiting = []
        yield from self._compare_left(waiting)

    def _choose_count(self, pairs: list[tuple[int, int]], costs: Costs) -> int:
        """Choose the number of low frequencies that costs least, by a sample; 0 if images are too small for any."""
        choices = self._choices
        if len(pairs) < _SAMPLED or len(choices) < 2:
            return choices[min(_USUAL, len(choices) - 1)] if choices else 0
        tile, seconds = self._tile, dict.fromkeys(choices, 0.0)
        for row, column in pairs[:: -(-len(pairs) // _SAMPLE)]:
            sides = [(tile.rows, tile.rows.cuts[row]), (tile.columns, tile.columns.cuts[column])]
            a, b = (
                tile.thumbnails(side.images[cut.start : cut.stop : -(-len(cut) // _SAMPLE_ROWS)]) for side, cut in sides
            )
            for count in choices:
                x, y = (low_frequencies(images, tile.limit, tile.transforms, count) for images in (a, b))
                _, _, masks = self._near(x, y)
                seconds[count] += costs.of_products(count, len(a) * len(b), int(np.bitwise_count(masks).sum()))
        return min(choices, key=lambda count: seconds[count])

    def _near(self, x: Any, y: Any) -> tuple[Any, Any, Any]:
        tile = self._tile
        options: dict[str, Any] = {"radius": tile.radius, "transforms": tile.transforms}
        return near_transforms(left_operands(x, tile.transforms), right_operand(y), **options)

    def _compare_two(
        self, row: int, column: int, count: int, costs: Costs, waiting: list[_Left] | None
    ) -> Iterator[NDArray[np.int64]]:
        """Compare all images of two sub-blocks; what low frequencies leave may wait to be compared with more."""
        tile, counts = self._tile, self._counts
        rows, columns = tile.rows.cuts[row], tile.columns.cuts[column]
        number = pairs_within(len(rows)) if tile.triangular and row == column else len(rows) * len(columns)
        if count:
            i, j, masks = self._left_by_low(rows, columns, count)
            counts.low += number
            if not costs.is_crowded(number, int(np.bitwise_count(masks).sum())):
                if waiting is not None:
                    waiting.append((i, j, masks))
                    return
                yield from self._compare_some((i, j, masks), self._read_held)
                return
        counts.dense += number
        for upper, lower in self._chunks(rows, columns):
            yield self._compare_all(upper, lower)

    def _chunks(self, rows: range, columns: range) -> Iterator[tuple[range, range]]:
        """Rows and columns whose matrix of pairs is made at once."""
        tile = self._tile
        for upper, lower in product(split(rows, tile.chunk), split(columns, tile.chunk)):
            if not tile.triangular or lower.stop > upper.start:
                yield upper, lower

    def _left_by_low(self, rows: range, columns: range, count: int) -> _Left:
        """Compare all images of two sub-blocks by their low frequencies."""
        tile, found = self._tile, list[_Left]()
        for upper, lower in self._chunks(rows, columns):
            x = self._low(tile.rows, count).at(slice(upper.start, upper.stop))
            y = self._low(tile.columns, count).at(slice(lower.start, lower.stop))
            i, j, masks = self._near(x, y)
            i, j = i + upper.start, j + lower.start
            wanted = tile.wanted(i, j)
            found.append((i[wanted], j[wanted], masks[wanted]))
        return _joined(found)

    def _read_held(self, side: TileSide, places: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Thumbnails of some images of one sub-block; those beside it are read with them, and held."""
        cut = bisect_right(side.cuts, int(places[0]), key=lambda one: one.start) - 1
        group = side.cuts[cut - cut % self._group : cut - cut % self._group + self._group]
        start, stop = group[0].start, group[-1].stop
        images = side.images[start:stop]
        return self._held.cached((id(side), start), lambda: self._tile.thumbnails(images)).take(places - start, axis=0)

    def _compare_all(self, rows: range, columns: range) -> NDArray[np.int64]:
        """Compare each thumbnail of some rows with each of some columns."""
        tile = self._tile

        def prepared(side: TileSide, places: range, mirrored: bool) -> Any:
            def make() -> Any:
                return prepare_images(
                    self._read(side, np.arange(places.start, places.stop)), tile.transforms, mirrored=mirrored
                )

            # of one side, the form for columns is part of that for rows
            return self._held.cached((id(side), places, mirrored), make)

        mirrored = max(tile.transforms) >= 4
        a, b = prepared(tile.rows, rows, mirrored), prepared(tile.columns, columns, False)
        pairs = prepared_pairs(a, b, tile.limit)
        pairs = pairs[tile.wanted(pairs[:, 0] + rows.start, pairs[:, 1] + columns.start)]
        return self._numbered(pairs, np.arange(rows.start, rows.stop), np.arange(columns.start, columns.stop))


def exact_pairs_at_once(values: int) -> int:
    """Pairs of thumbnails of so many values that are read at once."""
    return max(1, min(_EXACT, _EXACT_BYTES // values))


def _joined(left: list[_Left]) -> _Left:
    i, j, masks = (np.concatenate(part) for part in zip(*left, strict=True))
    return i, j, masks
