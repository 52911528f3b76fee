"""Blocks and tiles: which images are compared where. Integers only."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

__all__ = ["Generation", "Tile", "choose_tile_blocks", "plan_tiles"]


class Generation(NamedTuple):
    """The blocks that one run added, as block numbers.

    Attributes
    ----------
    a, b
        Blocks of the images of side a and of side b; `b` follows `a` and is empty where there is one side only.
    images_a, images_b
        Number of images in them; only the last block of a side may be part empty.
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


class Tile(NamedTuple):
    """A rectangle of images × images, given by its blocks: the unit of comparison, scheduling and resuming.

    Attributes
    ----------
    rows, columns
        Block numbers, ascending.
    triangular
        True where rows and columns are the same images, so that only row ≤ column is compared.
    """

    rows: tuple[int, ...]
    columns: tuple[int, ...]
    triangular: bool

    def block_pairs(self) -> Iterator[tuple[int, int]]:
        """Pairs of blocks (row, column) to compare; equal numbers mean the pairs within a block."""
        for row in self.rows:
            for column in self.columns:
                if row <= column or not self.triangular:
                    yield row, column


def choose_tile_blocks(blocks: int) -> int:
    """Choose how many blocks the side of a tile has, for a collection of so many blocks.

    A side of the plan has at most 64 tiles, so that a plan stays at a few thousand tasks however large the
    collection; below 64 blocks a tile is one block × one block.

    Examples
    --------
    >>> choose_tile_blocks(3), choose_tile_blocks(10_000)
    (1, 157)
    """
    return max(1, -(-blocks // 64))


def _groups(blocks: Sequence[int], size: int) -> list[tuple[int, ...]]:
    return [tuple(blocks[start : start + size]) for start in range(0, len(blocks), size)]


def plan_tiles(generations: Sequence[Generation], index: int, tile_blocks: int, *, two_sides: bool) -> list[Tile]:
    """Plan the tiles of one generation: its images with those of every older generation, and with each other.

    Over all generations each pair of images (a with b if `two_sides`) is in exactly one tile.

    Parameters
    ----------
    generations
        All generations, oldest first.
    index
        Which of them to plan.
    tile_blocks
        Blocks along the side of a tile.
    two_sides
        Compare side a with side b, and neither with itself.
    """
    new = generations[index]
    old_a = [block for generation in generations[:index] for block in generation.a]
    if two_sides:
        old_b = [block for generation in generations[:index] for block in generation.b]
        rectangles = [(old_a, list(new.b)), (list(new.a), old_b + list(new.b))]
    else:
        rectangles = [(old_a, list(new.a))]
    tiles = [
        Tile(rows, columns, False)
        for all_rows, all_columns in rectangles
        for columns in _groups(all_columns, tile_blocks)
        for rows in _groups(all_rows, tile_blocks)
    ]
    if not two_sides:
        groups = _groups(new.a, tile_blocks)
        tiles += [Tile(rows, columns, rows is columns) for j, columns in enumerate(groups) for rows in groups[: j + 1]]
    return tiles
