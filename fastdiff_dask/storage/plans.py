"""A part of a comparison, its tiles, and how far they are."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..errors import UsageError
from ..kernels.bounds import SearchCounts
from ..kernels.grid import Axis, Tile, pairs_within, plan_tiles
from .validation import MOST_TILES

__all__ = ["WAYS", "Part", "Plan", "axes_and_tiles"]

# Ways in which a tile is compared, the cheapest first: by signatures alone; then the candidates one by one; then all
# images of some sub-blocks by low frequencies, or by thumbnails.
WAYS = ("signatures", "candidates", "low frequencies", "thumbnails")
_COUNTED = ["similar", *SearchCounts.names()]


class Part(NamedTuple):
    """Part of a collection that is planned at once.

    Attributes
    ----------
    generations
        The generations whose images are new in it.
    images_a, images_b
        Images of either side that take part in the comparison.
    sub_block
        Images in a sub-block.
    tile_side
        Sub-blocks along the side of a tile.
    """

    generations: range
    images_a: int
    images_b: int
    sub_block: int
    tile_side: int

    @property
    def folder(self) -> str:
        """Name of its folder."""
        return f"generations-{self.generations.start}-{self.generations.stop}"


class Plan(NamedTuple):
    """The tiles of a part, and how far they are.

    Attributes
    ----------
    part
        The part.
    rows, columns
        The axes of the tiles: this part and all before it.
    tiles
        The tiles.
    counts
        (tiles, k) int64: −1 where a tile is not finished; else the similar pairs found, and the `SearchCounts`.
    """

    part: Part
    rows: Axis
    columns: Axis
    tiles: list[Tile]
    counts: NDArray[np.int64]

    def pending(self) -> list[int]:
        """Numbers of the tiles that are not finished."""
        return np.flatnonzero(self.counts[:, 0] < 0).tolist()

    def ways(self, by_signatures: bool) -> list[str]:
        """For each tile, the dearest of `WAYS` that some of its pairs took; "" where it is not finished.

        A measure that signatures do not bound compares all thumbnails.
        """
        similar, candidates, dense, low, exact = (
            self.counts[:, _COUNTED.index(name)] for name in ("similar", "candidates", "dense", "low", "exact")
        )
        way = np.select([dense > 0, low > 0, (exact > 0) | (candidates > 0)], [3, 2, 1], 0 if by_signatures else 3)
        return ["" if left else WAYS[number] for number, left in zip(way.tolist(), similar < 0, strict=True)]

    def pairs(self, number: int) -> int:
        """Pairs of images in a tile."""
        tile = self.tiles[number]
        rows = self.rows.images(tile.rows)
        return pairs_within(rows) if tile.triangular else rows * self.columns.images(tile.columns)


def axes_and_tiles(parts: Sequence[Part], two_sides: bool) -> tuple[Axis, Axis, list[Tile]]:
    """Axes and tiles of the last of some parts, which cover the first generations of a store.

    Raises
    ------
    UsageError
        If there are more tiles than anybody makes; they are not listed then.
    """

    def axis(some: Sequence[Part], side: str) -> Axis:
        images = [part.images_a if side == "a" else part.images_b for part in some]
        return Axis(tuple((n, part.sub_block) for n, part in zip(images, some, strict=True)))

    last = parts[-1]
    rows, columns = axis(parts, "a"), axis(parts, "b" if two_sides else "a")
    new = max(-(-max(last.images_a, last.images_b) // last.sub_block), 1)
    if -(-max(rows.sub_blocks(), columns.sub_blocks()) // last.tile_side) * -(-new // last.tile_side) > 2 * MOST_TILES:
        raise UsageError(f"a plan has more than {MOST_TILES} tiles; use a larger tile_side or sub_block")
    of_rows = axis(parts[:-1], "a").sub_blocks(), rows.sub_blocks()
    of_columns = (axis(parts[:-1], "b").sub_blocks(), columns.sub_blocks()) if two_sides else None
    return rows, columns, plan_tiles(of_rows, of_columns, last.tile_side)
