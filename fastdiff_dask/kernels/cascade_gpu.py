"""Similar pairs of a tile on a GPU; `cascade` has the processor's way, beside it."""

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .bounds import SearchCounts, SearchSide
from .bounds_gpu import candidate_pairs_gpu, search_side_gpu
from .device import Device
from .grid import split
from .search_tile import SearchTile, TileSide
from .similarity import SquaredErrorLimit
from .squared_errors_int8 import listed_pairs_gpu, similar_pairs_gpu

__all__ = ["tile_pairs_gpu"]

# Chunks of candidates whose thumbnails are read at once.
LISTED_CHUNKS = 4


def tile_pairs_gpu(tile: SearchTile, device: Device, counts: SearchCounts) -> Iterator[NDArray[np.int64]]:
    """Find the similar pairs of a tile, see `cascade.similar_tile_pairs`, on a GPU.

    1. Candidates are found by the signatures of the images.
    2. Candidates that come one by one are collected, and their thumbnails compared many at once.
    3. Where nearly all pairs of a rectangle are candidates, all of its thumbnails are compared with each other.

    Arrays are cached from tile to tile, up to a limit. All sub-blocks of a tile are searched at once, as each launch
    costs time.

    Parameters
    ----------
    tile
        The tile; without pair filters, and compared by MSE.
    device
        The GPU.
    counts
        Counts to increase.

    Yields
    ------
    As `cascade.similar_tile_pairs`.
    """
    steps = _Steps(tile, device)
    waiting = _WaitingCandidates(tile, steps)
    for i, j in steps.candidates(counts):
        if isinstance(i, range):
            yield from _dense_pairs(tile, steps, i, j)
        elif waiting.add(i, j):
            yield waiting.compare()
    yield waiting.compare()


class _Steps:
    """The steps of the search, with arrays on the device."""

    def __init__(self, tile: SearchTile, device: Device) -> None:
        self._tile, self._device = tile, device
        if not isinstance(tile.limit, SquaredErrorLimit):
            raise NotImplementedError("a GPU compares by MSE only")
        self._exact: dict[str, Any] = {"sse_limit": tile.limit.limit, "transforms": tile.transforms}
        # the thumbnails of all waiting candidates take `piece_bytes` at most
        bytes_of_a_pair = 2 * LISTED_CHUNKS * math.prod(tile.shape)
        self.pairs_at_once = min(device.pairs_at_once, max(1, device.piece_bytes // bytes_of_a_pair))

    def candidates(self, counts: SearchCounts) -> Iterator[tuple[Any, Any] | tuple[range, range]]:
        """Find candidates by their signatures, as places in the tile."""
        tile, device = self._tile, self._device
        x = self._search_side(tile.rows)
        y = x if tile.triangular else self._search_side(tile.columns)
        options: dict[str, Any] = {"radius": tile.radius, "counts": counts, "triangular": tile.triangular}
        for i, j in candidate_pairs_gpu(x, y, device=device, **options):
            yield (i, j) if isinstance(i, range) else (device.to_host(i), device.to_host(j))

    def _search_side(self, side: TileSide) -> SearchSide:
        return self._device.cached(side.name(), lambda: search_side_gpu(side.signatures(), self._device))

    def load(self, side: TileSide, places: range) -> Any:
        """Thumbnails of consecutive images of a side."""
        numbers = side.images[places.start : places.stop]
        return self._device.cached(
            (side.name(), places), lambda: self._device.to_device(self._tile.thumbnails(numbers))
        )

    def compare_all(self, a: Any, b: Any) -> NDArray[np.int64]:
        """Compare each thumbnail of `a` with each of `b`."""
        pairs = similar_pairs_gpu(a, b, products=self._device.products, **self._exact)
        return self._device.to_host(pairs)

    def compare_listed(
        self, thumbnails: NDArray[np.uint8], i: NDArray[np.int64], j: NDArray[np.int64]
    ) -> Iterator[NDArray[np.int64]]:
        """Compare pairs of thumbnails, given by their places."""
        images, x, y = map(self._device.to_device, (thumbnails, i, j))
        pairs = listed_pairs_gpu(images, images, x, y, room=self._device.piece_bytes, **self._exact)
        yield self._device.to_host(pairs)


def _dense_pairs(tile: SearchTile, steps: _Steps, i: range, j: range) -> Iterator[NDArray[np.int64]]:
    """Compare all thumbnails of a rectangle of the tile, a matrix of errors at a time."""
    for rows in split(i, tile.chunk):
        upper = steps.load(tile.rows, rows)
        for columns in split(j, tile.chunk):
            if tile.triangular and columns.stop <= rows.start:
                continue
            pairs = steps.compare_all(upper, steps.load(tile.columns, columns))
            pairs[:, 0] += rows.start
            pairs[:, 1] += columns.start
            pairs = pairs[pairs[:, 0] < pairs[:, 1]] if tile.triangular else pairs
            pairs[:, 0] = tile.rows.images[pairs[:, 0]]
            pairs[:, 1] = tile.columns.images[pairs[:, 1]]
            yield pairs


class _WaitingCandidates:
    """Candidates of a tile that wait to be compared many at once: a block is opened once for all of them."""

    def __init__(self, tile: SearchTile, steps: _Steps) -> None:
        self._tile, self._steps = tile, steps
        self._most = LISTED_CHUNKS * steps.pairs_at_once
        self._pairs: list[tuple[NDArray[np.int64], NDArray[np.int64]]] = []
        self._count = 0

    def add(self, i: Any, j: Any) -> bool:
        """Add candidates by their places in the tile; True once there are enough to compare."""
        self._pairs.append((self._tile.rows.images[i], self._tile.columns.images[j]))
        self._count += len(i)
        return self._count >= self._most

    def compare(self) -> NDArray[np.int64]:
        """Compare the candidates, and give the similar pairs as numbers of images."""
        waiting, self._pairs, self._count = self._pairs, [], 0
        found = [np.zeros((0, 4), np.int64)]
        if waiting:
            a, b = (np.concatenate(side) for side in zip(*waiting, strict=True))
            for start in range(0, len(a), self._most):
                found += self._compared(a[start : start + self._most], b[start : start + self._most])
        return np.concatenate(found)

    def _compared(self, a: NDArray[np.int64], b: NDArray[np.int64]) -> Iterator[NDArray[np.int64]]:
        images, places = np.unique(np.concatenate([a, b]), return_inverse=True)
        thumbnails = self._tile.thumbnails(images)
        for pairs in self._steps.compare_listed(thumbnails, places[: len(a)], places[len(a) :]):
            pairs[:, :2] = images[pairs[:, :2]]
            yield pairs
