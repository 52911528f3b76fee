"""Blocks, sub-blocks and tiles: the plan of all comparisons, and the order of images in it. NumPy only."""

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "LARGEST_SIDE",
    "LARGEST_SUB_BLOCK",
    "PREPARED_TILES",
    "SLOW_TILES",
    "SUB_BLOCK",
    "SUB_BLOCKS",
    "UNKNOWN_SUB_BLOCK",
    "Axis",
    "Generation",
    "Tile",
    "binned_order",
    "choose_tile_side",
    "kd_order",
    "pairs_within",
    "plan_tiles",
    "split",
]

# Most sub-blocks along a tile, unless a plan then has more than 64 tiles along.
LARGEST_SIDE, _MOST_GROUPS = 128, 64
# Images in a sub-block: their box is compact, and a matrix product of two is large enough for BLAS. The kernel of
# `cuda` is written for multiples of 256.
SUB_BLOCK = 256
# Images of a sub-block by measure, and least tiles along the matrix for slow measures: of SSIM, a core compares 500
# pairs a second, a user's function may be as slow, and a user who stops a run waits for a tile.
SUB_BLOCKS, SLOW_TILES = {"mse": SUB_BLOCK, "correlation": SUB_BLOCK, "ssim": 16}, 200
# The same for functions that get features, and make some million pairs a second of them.
PREPARED_TILES = 16
UNKNOWN_SUB_BLOCK, LARGEST_SUB_BLOCK = 64, 4096
# Points from which the spread along the axes is estimated; all of them would cost most of the time.
_SAMPLE = 1024


def pairs_within(images: Any, /) -> Any:
    """Count the pairs of some images with each other, each pair once: n (n − 1) / 2.

    Parameters
    ----------
    images
        Integer or integer array.

    Returns
    -------
    Counts, of the same type and shape.

    Examples
    --------
    >>> pairs_within(4), pairs_within(1), pairs_within(0)
    (6, 0, 0)
    """
    return images * (images - 1) // 2


class Generation(NamedTuple):
    """The blocks that one run added, as block numbers.

    Attributes
    ----------
    a, b
        Blocks of the images of side a and of side b; `b` follows `a` and is empty where there is one side only.
    images_a, images_b
        Number of images of a side; only its last block may be part empty.
    """

    a: range
    b: range
    images_a: int
    images_b: int

    @property
    def blocks(self) -> range:
        """All blocks of the generation."""
        return range(self.a.start, self.b.stop)

    def rows(self, block: int, block_size: int) -> int:
        """Number of images in one of the blocks."""
        side, images = (self.a, self.images_a) if block in self.a else (self.b, self.images_b)
        return min(block_size, images - (block - side.start) * block_size)


class Axis(NamedTuple):
    """The sub-blocks of one side of a comparison, numbered over all of its parts.

    A part is planned in one step: some images in an order of their own, cut into sub-blocks.

    Attributes
    ----------
    parts
        For each part, the number of its images, and of images in a sub-block (the last one may have fewer).
    """

    parts: tuple[tuple[int, int], ...]

    def sub_blocks(self) -> int:
        """Number of sub-blocks."""
        return sum(-(-images // size) for images, size in self.parts)

    def pieces(self, sub_blocks: range) -> Iterator[tuple[int, range, int]]:
        """Images of consecutive sub-blocks, by parts.

        Yields
        ------
        Number of the part, places of the images in its order, size of its sub-blocks.
        """
        first = 0
        for part, (images, size) in enumerate(self.parts):
            count = -(-images // size)
            start, stop = max(sub_blocks.start - first, 0), min(sub_blocks.stop - first, count)
            if start < stop:
                yield part, range(start * size, min(stop * size, images)), size
            first += count

    def images(self, sub_blocks: range) -> int:
        """Number of images in consecutive sub-blocks."""
        return sum(len(places) for _, places, _ in self.pieces(sub_blocks))

    def cuts(self, sub_blocks: range) -> list[range]:
        """Places of consecutive sub-blocks in their images, put one after the other."""
        cuts, done = [], 0
        for _, places, size in self.pieces(sub_blocks):
            cuts += [
                range(done + start, done + min(start + size, len(places))) for start in range(0, len(places), size)
            ]
            done += len(places)
        return cuts


class Tile(NamedTuple):
    """A rectangle of images × images, given by its sub-blocks: the unit of comparison, scheduling and resuming.

    Attributes
    ----------
    rows, columns
        Numbers of the sub-blocks on either `Axis`.
    triangular
        True if rows and columns are the same images: only row < column is compared.
    """

    rows: range
    columns: range
    triangular: bool


def choose_tile_side(sub_blocks: int, threads: int, largest: int, usual: int = LARGEST_SIDE) -> int:
    """Choose the side of a tile, in sub-blocks.

    - A large tile has less overhead.
    - Each thread gets about four tiles, and at least two, so that a slow tile hardly delays the end.
    - The side is at most `usual` sub-blocks, unless the tiles become more than a few thousand.

    Parameters
    ----------
    sub_blocks
        Sub-blocks along the side of the plan.
    threads
        Tasks that run at a time.
    largest
        Largest side that fits into a worker's memory.
    usual
        Largest side, unless it makes too many tiles.

    Returns
    -------
    Number of sub-blocks.

    Examples
    --------
    >>> choose_tile_side(235, 2, 1000), choose_tile_side(40_000, 64, 1000), choose_tile_side(10, 2, 1000)
    (59, 625, 3)
    """
    along = math.isqrt(8 * threads)  # k groups make k (k + 1) / 2 tiles
    side = -(-sub_blocks // along)
    if side > 1 and math.comb(-(-sub_blocks // side) + 1, 2) < 2 * threads:
        side -= 1  # rounding up made the tiles too few: of 67 sub-blocks, 23 groups instead of 33
    side = min(side, max(usual, -(-sub_blocks // _MOST_GROUPS)))
    return max(1, min(side, largest))


def split(places: range, size: int) -> list[range]:
    """Cut a range into ranges of a size, the last one shorter.

    Examples
    --------
    >>> split(range(2, 7), 2)
    [range(2, 4), range(4, 6), range(6, 7)]
    """
    return [places[start : start + size] for start in range(0, len(places), size)]


def plan_tiles(rows: tuple[int, int], columns: tuple[int, int] | None, side: int) -> list[Tile]:
    """Plan the tiles of one part: its images with the images of older parts, and with each other.

    Over all parts each pair of sub-blocks (of rows with columns if there are two sides) is in exactly one tile.

    Parameters
    ----------
    rows, columns
        Number of sub-blocks of older parts, and of all parts; None for `columns` compares one side with itself.
    side
        Sub-blocks along the side of a tile.

    Returns
    -------
    The tiles, in the order of their numbers.
    """
    old_rows, new_rows = range(rows[0]), range(*rows)
    if columns is not None:
        old_columns, new_columns = range(columns[0]), range(*columns)
        rectangles = [(old_rows, new_columns), (new_rows, old_columns), (new_rows, new_columns)]
    else:
        rectangles = [(old_rows, new_rows)]
    tiles = [
        Tile(row_group, column_group, False)
        for all_rows, all_columns in rectangles
        for column_group in split(all_columns, side)
        for row_group in split(all_rows, side)
    ]
    if columns is None:
        groups = split(new_rows, side)
        tiles += [
            Tile(first, second, i == j) for j, second in enumerate(groups) for i, first in enumerate(groups[: j + 1])
        ]
    return tiles


# -- order of images ---------------------------------------------------------------------------------------------------


def kd_order(values: NDArray[np.float32], size: int) -> NDArray[np.int64]:
    """Order points so that runs of `size` of them, the last one shorter, are compact boxes.

    The points are split at a multiple of `size` near their median along the axis in which they spread most, and each
    half again (the k-d tree of Bentley 1975, doi:10.1145/361002.361007). Time O(k n log n), memory O(k n).

    Parameters
    ----------
    values
        (n, k) float32.
    size
        Points in a run.

    Returns
    -------
    (n,) int64 permutation; the same for the same values.

    Examples
    --------
    >>> kd_order(np.array([[5.0], [1.0], [4.0], [0.0]], np.float32), 2).tolist()
    [1, 3, 0, 2]
    """
    order = np.arange(len(values))
    waiting = [(0, len(values))]
    while waiting:
        start, stop = waiting.pop()
        runs = -(-(stop - start) // size)
        if runs < 2:
            order[start:stop].sort()
            continue
        part = order[start:stop]
        points = values[part]
        axis = int(np.argmax(points[:: -(-len(points) // _SAMPLE)].var(axis=0, dtype=np.float64)))
        middle = runs // 2 * size
        order[start:stop] = part[np.argpartition(points[:, axis], middle)]
        waiting += [(start, start + middle), (start + middle, stop)]
    return order


def binned_order(values: NDArray[np.float32], size: int, bins: NDArray[np.int64]) -> NDArray[np.int64]:
    """Order points by bins first, ascending, and as `kd_order` within bins that are larger than a run.

    Parameters
    ----------
    values, size
        As for `kd_order`.
    bins
        (n,) int64.

    Returns
    -------
    (n,) int64 permutation; the same for the same values.

    Examples
    --------
    >>> values = np.array([[5.0], [1.0], [4.0], [0.0], [9.0]], np.float32)
    >>> binned_order(values, 2, np.array([3, 3, 3, 3, 1])).tolist()
    [4, 1, 3, 0, 2]
    """
    order = np.argsort(bins, kind="stable")
    starts = np.flatnonzero(np.diff(bins[order], prepend=bins[order][:1] - 1))
    stops = np.append(starts[1:], len(order))
    large = stops - starts > size
    for start, stop in zip(starts[large].tolist(), stops[large].tolist(), strict=True):
        part = order[start:stop]
        order[start:stop] = part[kd_order(values[part], size)]
    return order
