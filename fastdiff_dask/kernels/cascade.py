"""Find the similar pairs of a tile: candidates by signatures, then exactly by thumbnails; processor or GPU."""

import math
from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from .bounds import SearchCounts, SearchSide, candidate_pairs
from .bounds_gpu import candidate_pairs_gpu, search_side_gpu
from .device import CPU, Device
from .exact_pairs import chunk_rows, listed_pairs, similar_pairs
from .pair_filters import Allowed
from .similarity import SimilarityLimit, SquaredErrorLimit
from .squared_errors_int8 import listed_pairs_gpu, similar_pairs_gpu

__all__ = ["LISTED_CHUNKS", "TileSide", "similar_tile_pairs"]

# Chunks of candidates whose thumbnails are read at once.
LISTED_CHUNKS = 4


class TileSide(Protocol):
    """The images of a tile along one axis."""

    @property
    def images(self) -> NDArray[np.int64]:
        """Numbers of the images, (n,)."""

    @property
    def cuts(self) -> list[range]:
        """Sub-blocks, as places in the tile."""

    def name(self) -> Hashable:
        """Key of these images in the cache of a device."""

    def signatures(self) -> NDArray[np.float32]:
        """Signatures of the images, (n, values) float32."""


def similar_tile_pairs(
    rows: TileSide,
    columns: TileSide,
    thumbnails: Callable[[NDArray[np.int64]], NDArray[np.uint8]],
    *,
    shape: tuple[int, int, int],
    limit: SimilarityLimit,
    transforms: tuple[int, ...],
    counts: SearchCounts,
    device: Device = CPU,
    allowed: Allowed | None = None,
) -> Iterator[NDArray[np.int64]]:
    """Find the similar pairs of a tile by the cascade of `bounds`.

    1. Candidates are found by the signatures of the images.
    2. Candidates that come one by one are collected, and their thumbnails compared many at once.
    3. Where nearly all pairs of a rectangle are candidates, all of its thumbnails are compared with each other.

    A GPU caches arrays from tile to tile, up to a limit. Pair filters work on a processor only.

    Parameters
    ----------
    rows, columns
        The images; the same object for a tile on the diagonal, whose pairs count once each.
    thumbnails
        Reads the thumbnails of n images by their numbers: (n,) int64 → (n, h, w, c) uint8.
    shape
        (h, w, c) of a thumbnail.
    limit
        Limit of a similar pair; the signatures of the sides are those of its measure.
    transforms
        Numbers of the transforms that count.
    counts
        Counts to increase.
    device
        Where to compute.
    allowed
        The pairs that pair filters leave, by their places in the tile; None for all.

    Yields
    ------
    (k, 4) int64: numbers of two images, value of the pair, bit mask of the transforms that reach it.
    """
    tile = _Tile(rows, columns, thumbnails, shape, limit, transforms, allowed)
    steps = _GpuSteps(tile, device) if device.is_gpu else _ProcessorSteps(tile)
    waiting = _WaitingCandidates(tile, steps)
    for i, j in steps.candidates(counts):
        if isinstance(i, range):
            yield from _dense_pairs(tile, steps, i, j)
        elif waiting.add(i, j):
            yield waiting.compare()
    yield waiting.compare()


@dataclass(frozen=True)
class _Tile:
    """The images and the options of one call of `similar_tile_pairs`."""

    rows: TileSide
    columns: TileSide
    thumbnails: Callable[[NDArray[np.int64]], NDArray[np.uint8]]
    shape: tuple[int, int, int]
    limit: SimilarityLimit
    transforms: tuple[int, ...]
    allowed: Allowed | None

    @property
    def triangular(self) -> bool:
        return self.columns is self.rows

    @property
    def radius(self) -> float:
        return self.limit.radius(self.shape)

    @property
    def chunk(self) -> int:
        """Images along the side of a matrix of errors."""
        return chunk_rows(math.prod(self.shape))

    @property
    def exact(self) -> dict[str, Any]:
        """Arguments of the functions that compare thumbnails."""
        return {"limit": self.limit, "transforms": self.transforms}


class _ProcessorSteps:
    """The steps of the cascade on a processor, with NumPy: run by run, as its caches are small."""

    def __init__(self, tile: _Tile) -> None:
        self._tile = tile
        self.pairs_at_once = tile.chunk

    def candidates(self, counts: SearchCounts) -> Iterator[tuple[Any, Any] | tuple[range, range]]:
        """Find candidates by their signatures, as places in the tile."""
        tile = self._tile
        a = tile.rows.signatures()
        b = a if tile.triangular else tile.columns.signatures()
        options: dict[str, Any] = {"radius": tile.radius, "counts": counts, "triangular": tile.triangular}
        return candidate_pairs(a, b, tile.rows.cuts, tile.columns.cuts, allowed=tile.allowed, **options)

    def load(self, side: TileSide, places: range) -> NDArray[np.uint8]:
        """Thumbnails of consecutive images of a side."""
        return self._tile.thumbnails(side.images[places.start : places.stop])

    def compare_all(self, a: NDArray[np.uint8], b: NDArray[np.uint8]) -> NDArray[np.int64]:
        """Compare each thumbnail of `a` with each of `b`."""
        pairs: NDArray[np.int64] = similar_pairs(a, b, **self._tile.exact)
        return pairs

    def compare_listed(
        self, thumbnails: NDArray[np.uint8], i: NDArray[np.int64], j: NDArray[np.int64]
    ) -> Iterator[NDArray[np.int64]]:
        """Compare pairs of thumbnails, given by their places."""
        for start in range(0, len(i), self.pairs_at_once):
            piece = slice(start, start + self.pairs_at_once)
            left, x = np.unique(i[piece], return_inverse=True)
            right, y = np.unique(j[piece], return_inverse=True)
            pairs = listed_pairs(thumbnails[left], thumbnails[right], x, y, **self._tile.exact)
            pairs[:, 0] = left[pairs[:, 0]]
            pairs[:, 1] = right[pairs[:, 1]]
            yield pairs


class _GpuSteps:
    """The same steps on a GPU, with CuPy: all sub-blocks of a tile at once, as each launch costs time."""

    def __init__(self, tile: _Tile, device: Device) -> None:
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


def _dense_pairs(tile: _Tile, steps: _ProcessorSteps | _GpuSteps, i: range, j: range) -> Iterator[NDArray[np.int64]]:
    """Compare all thumbnails of a rectangle of the tile, a matrix of errors at a time."""
    for rows in _chunks(i, tile.chunk):
        upper = steps.load(tile.rows, rows)
        for columns in _chunks(j, tile.chunk):
            if tile.triangular and columns.stop <= rows.start:
                continue
            pairs = steps.compare_all(upper, steps.load(tile.columns, columns))
            pairs[:, 0] += rows.start
            pairs[:, 1] += columns.start
            if tile.allowed is not None:
                pairs = pairs[tile.allowed.wanted(pairs[:, 0], pairs[:, 1])]
            pairs = pairs[pairs[:, 0] < pairs[:, 1]] if tile.triangular else pairs
            pairs[:, 0] = tile.rows.images[pairs[:, 0]]
            pairs[:, 1] = tile.columns.images[pairs[:, 1]]
            yield pairs


def _chunks(places: range, size: int) -> list[range]:
    return [places[start : start + size] for start in range(0, len(places), size)]


class _WaitingCandidates:
    """Candidates of a tile that wait to be compared many at once: a block is opened once for all of them."""

    def __init__(self, tile: _Tile, steps: _ProcessorSteps | _GpuSteps) -> None:
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
