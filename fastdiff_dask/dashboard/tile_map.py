"""Blocks and tiles as cells of a map: pending, running and done, with their similar pairs. NumPy only.

A map of very many tiles would be slow to draw, so the tiles are put together into cells.
"""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..kernels.grid import Axis, Tile, pairs_within

__all__ = ["MOST_CELLS", "Cells", "Tiles", "block_cells"]

MOST_CELLS = 2500
_ALONG = 48  # cells along a side of a map of more tiles than that
_ROWS_TO_COLUMNS = 6


class Cells(NamedTuple):
    """Rectangles of a map, each one tile (or block) or several; all (cells,).

    Attributes
    ----------
    left, right, top, bottom
        Edges: numbers of images along columns and rows, or places in a grid of blocks.
    tiles, done, running
        Number of tiles, of finished tiles, and of running tiles.
    pairs, similar
        Pairs of images in the finished tiles, and similar pairs among them; 0 for blocks.
    """

    left: NDArray[np.float64]
    right: NDArray[np.float64]
    top: NDArray[np.float64]
    bottom: NDArray[np.float64]
    tiles: NDArray[np.int64]
    done: NDArray[np.int64]
    running: NDArray[np.int64]
    pairs: NDArray[np.int64]
    similar: NDArray[np.int64]

    def state(self) -> list[str]:
        """Give the state of each cell: "running" if any tile is, "done", "pending", or "part done"."""
        names = np.array(["pending", "part done", "done", "running"])
        states = np.where(self.done == self.tiles, 2, np.where(self.done > 0, 1, 0))
        return [str(name) for name in names[np.where(self.running > 0, 3, states)]]


def block_cells(blocks: int, finished: Iterable[int], running: Iterable[int]) -> Cells:
    """Arrange blocks as cells of a wide grid, from left to right and then down.

    Examples
    --------
    >>> cells = block_cells(3, finished={0}, running={1})
    >>> cells.state()
    ['done', 'running', 'pending']
    """
    each = max(1, -(-blocks // MOST_CELLS))
    cells = -(-blocks // each)
    across = max(1, int(np.ceil(np.sqrt(cells * _ROWS_TO_COLUMNS))))
    place = np.arange(cells)

    def count(numbers: Iterable[int]) -> NDArray[np.int64]:
        chosen = np.array(sorted(number for number in numbers if 0 <= number < blocks), np.int64)
        return np.bincount(chosen // each, minlength=cells).astype(np.int64)

    done = set(finished)
    left, top = (place % across).astype(float), (place // across).astype(float)
    return Cells(
        left,
        left + 1,
        top,
        top + 1,
        count(range(blocks)),
        count(done),
        count(set(running) - done),
        np.zeros(cells, np.int64),
        np.zeros(cells, np.int64),
    )


class Tiles:
    """The tiles of a part of a comparison: their places and their progress.

    Parameters
    ----------
    rows, columns
        The axes of the tiles.
    tiles
        The tiles.

    Attributes
    ----------
    edges
        (tiles, 4) int64: first image and end along the columns, then along the rows.
    planned
        (tiles,) int64: pairs of images.
    done
        (tiles,) bool.
    pairs, similar
        (tiles,) int64: pairs compared and similar pairs; 0 until they are read.
    """

    def __init__(self, rows: Axis, columns: Axis, tiles: list[Tile]) -> None:
        across, down = _starts(columns), _starts(rows)
        self.edges = np.array(
            [(across[t.columns.start], across[t.columns.stop], down[t.rows.start], down[t.rows.stop]) for t in tiles],
            np.int64,
        ).reshape(len(tiles), 4)
        width, height = self.edges[:, 1] - self.edges[:, 0], self.edges[:, 3] - self.edges[:, 2]
        triangular = np.array([tile.triangular for tile in tiles], bool)
        self.planned = np.where(triangular, pairs_within(width), width * height)
        self.done = np.zeros(len(tiles), bool)
        self.pairs = np.zeros(len(tiles), np.int64)
        self.similar = np.zeros(len(tiles), np.int64)

    @staticmethod
    def cells(parts: "list[Tiles]", running: list[tuple[int, int]]) -> Cells:
        """Make the cells of all parts of a comparison.

        Parameters
        ----------
        parts
            The parts.
        running
            Number of the part and of the tile for each running tile.

        Returns
        -------
        The cells, each for some tiles.
        """
        edges = np.concatenate([np.zeros((0, 4), np.int64), *(part.edges for part in parts)])
        done = np.concatenate([np.zeros(0, bool), *(part.done for part in parts)])
        runs = [np.zeros(len(part.done), bool) for part in parts]
        for index, tile in running:
            if 0 <= index < len(parts) and 0 <= tile < len(runs[index]):
                runs[index][tile] = not parts[index].done[tile]
        counts = np.stack(
            [
                np.ones(len(done), np.int64),
                done.astype(np.int64),
                np.concatenate([np.zeros(0, bool), *runs]).astype(np.int64),
                np.concatenate([np.zeros(0, np.int64), *(part.pairs for part in parts)]),
                np.concatenate([np.zeros(0, np.int64), *(part.similar for part in parts)]),
            ]
        )
        if len(edges) > MOST_CELLS:
            edges, counts = _together(edges, counts)
        left, right, top, bottom = edges.T.astype(float)
        return Cells(left, right, top, bottom, *counts)


def _starts(axis: Axis) -> list[int]:
    """List the first image of each sub-block, and the end."""
    starts: list[int] = []
    images = 0
    for number, size in axis.parts:
        starts += range(images, images + number, size)
        images += number
    return [*starts, images]


def _together(edges: NDArray[np.int64], counts: NDArray[np.int64]) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Merge tiles that are smaller than a cell of a grid into the cell of their middle."""
    across, down = edges[:, 1].max() / _ALONG, edges[:, 3].max() / _ALONG
    # a large tile would leave gaps around the cell of its middle; such tiles are few
    small = (edges[:, 1] - edges[:, 0]) * (edges[:, 3] - edges[:, 2]) <= across * down
    column = np.minimum((edges[:, 0] + edges[:, 1]) / 2 // across, _ALONG - 1).astype(np.int64)
    row = np.minimum((edges[:, 2] + edges[:, 3]) / 2 // down, _ALONG - 1).astype(np.int64)
    used, place = np.unique((row * _ALONG + column)[small], return_inverse=True)
    sums = np.zeros((len(counts), len(used)), np.int64)
    for total, values in zip(sums, counts, strict=True):
        np.add.at(total, place, values[small])
    x, y = used % _ALONG, used // _ALONG
    cells = np.stack([x * across, (x + 1) * across, y * down, (y + 1) * down], axis=1)
    return np.concatenate([edges[~small], cells]), np.concatenate([counts[:, ~small], sums], axis=1)
