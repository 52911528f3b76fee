"""A part of a comparison, its tiles, and how far they are."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..kernels.grid import Axis, Tile, pairs_within

__all__ = ["Part", "Plan"]


class Part(NamedTuple):
    """What of a collection is planned at once.

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

    def pairs(self, number: int) -> int:
        """Pairs of images in a tile."""
        tile = self.tiles[number]
        rows = self.rows.images(tile.rows)
        return pairs_within(rows) if tile.triangular else rows * self.columns.images(tile.columns)
