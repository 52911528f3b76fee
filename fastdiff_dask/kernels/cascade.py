"""The similar pairs of a tile: candidates by their signatures, then their thumbnails exactly. On processor or GPU."""

import math
from collections.abc import Callable, Hashable, Iterator
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from .bounds import SearchCounts, SearchSide, candidate_pairs
from .bounds_gpu import batched_candidates, device_side
from .device import CPU, Device
from .exact_pairs import chunk_rows, listed_pairs, similar_pairs
from .pair_filters import Allowed
from .signatures import signature_error
from .squared_errors_int8 import listed_pairs_by_differences, similar_pairs_by_products

__all__ = ["LISTED_CHUNKS", "TileSide", "similar_tile_pairs"]

# Chunks of candidates whose thumbnails are read at once.
LISTED_CHUNKS = 4


class TileSide(Protocol):
    """The images of a tile along one axis."""

    @property
    def images(self) -> NDArray[np.int64]:
        """Their numbers, (n,)."""

    @property
    def cuts(self) -> list[range]:
        """Their sub-blocks, as places in the tile."""

    def name(self) -> Hashable:
        """What tells these images from others that are compared on the same device."""

    def signatures(self) -> NDArray[np.float32]:
        """Their signatures, (n, values) float32."""


def similar_tile_pairs(
    rows: TileSide,
    columns: TileSide,
    thumbnails: Callable[[NDArray[np.int64]], NDArray[np.uint8]],
    *,
    shape: tuple[int, int, int],
    limit: int,
    transforms: tuple[int, ...],
    counts: SearchCounts,
    device: Device = CPU,
    allowed: Allowed | None = None,
) -> Iterator[NDArray[np.int64]]:
    """Find the similar pairs of a tile by the cascade of `bounds`.

    On a GPU what was sent there stays from tile to tile, within a bound; there are no short cuts there.

    Parameters
    ----------
    rows, columns
        The images; the same object for a tile on the diagonal, of which each pair counts once.
    thumbnails
        Numbers of n images, → (n, h, w, c) uint8.
    shape
        (h, w, c) of a thumbnail.
    limit
        Largest sum of squared errors of a similar pair.
    transforms
        Numbers of the transforms that count.
    counts
        Is counted up.
    device
        Where to compute.
    allowed
        Which pairs short cuts leave, by their places in the tile.

    Yields
    ------
    (k, 4) int64: numbers of two images, their sum of squared errors, and the transforms that have it.
    """
    triangular = columns is rows
    radius = math.sqrt(limit) * (1 + 1e-12) + 2 * signature_error(*shape)
    side = chunk_rows(math.prod(shape))
    candidates: Iterator[tuple[Any, Any] | tuple[range, range]]
    if device.is_gpu:

        def prepared(one: TileSide) -> SearchSide:
            return device.kept(one.name(), lambda: device_side(one.signatures(), device))

        x = prepared(rows)
        y = x if triangular else prepared(columns)
        candidates = batched_candidates(x, y, radius=radius, counts=counts, device=device, triangular=triangular)
        # their thumbnails take a piece at most
        at_once = min(device.pairs_at_once, max(1, device.piece_bytes // (2 * LISTED_CHUNKS * math.prod(shape))))
        listed = _Listed(rows, columns, thumbnails, limit, transforms, at_once, device)
    else:
        a = rows.signatures()
        b = a if triangular else columns.signatures()
        candidates = candidate_pairs(
            *(a, b, rows.cuts, columns.cuts), radius=radius, counts=counts, triangular=triangular, allowed=allowed
        )
        listed = _Listed(rows, columns, thumbnails, limit, transforms, side, device)

    def compared(a: Any, b: Any) -> Any:
        options: dict[str, Any] = {"sse_limit": limit, "transforms": transforms}
        if device.is_gpu:
            return similar_pairs_by_products(a, b, products=device.products, **options)
        return similar_pairs(a, b, **options)

    def there(one: TileSide, places: range) -> Any:
        def load() -> Any:
            return device.to_device(thumbnails(one.images[places.start : places.stop]))

        return device.kept((one.name(), places), load) if device.is_gpu else load()

    for i, j in candidates:
        if not isinstance(i, range):
            if listed.add(device.to_host(i), device.to_host(j)):
                yield listed.take()
            continue
        for top in i[::side]:
            upper = there(rows, range(top, min(top + side, i.stop)))
            for left in j[::side]:
                if triangular and min(left + side, j.stop) <= top:
                    continue
                lower = there(columns, range(left, min(left + side, j.stop)))
                pairs = device.to_host(compared(upper, lower))
                pairs[:, 0] += top
                pairs[:, 1] += left
                if allowed is not None:
                    pairs = pairs[allowed.wanted(pairs[:, 0], pairs[:, 1])]
                pairs = pairs[pairs[:, 0] < pairs[:, 1]] if triangular else pairs
                pairs[:, 0] = rows.images[pairs[:, 0]]
                pairs[:, 1] = columns.images[pairs[:, 1]]
                yield pairs
    yield listed.take()


class _Listed:
    """Candidates of a tile that wait to be compared exactly: many at once, so that blocks are opened once for them."""

    def __init__(
        self,
        rows: TileSide,
        columns: TileSide,
        thumbnails: Callable[[NDArray[np.int64]], NDArray[np.uint8]],
        limit: int,
        transforms: tuple[int, ...],
        at_once: int,
        device: Device,
    ) -> None:
        self._rows, self._columns, self._thumbnails, self._device = rows, columns, thumbnails, device
        self._limit, self._transforms, self._at_once = limit, transforms, at_once
        self._waiting: list[tuple[Any, Any]] = []
        self._count = 0

    def add(self, i: Any, j: Any) -> bool:
        """Take candidates by their places in the tile; True when they are enough for `take`."""
        self._waiting.append((self._rows.images[i], self._columns.images[j]))
        self._count += len(i)
        return self._count >= LISTED_CHUNKS * self._at_once

    def take(self) -> NDArray[np.int64]:
        """Similar pairs of the candidates, as numbers of images."""
        waiting, self._waiting, self._count = self._waiting, [], 0
        found = [np.zeros((0, 4), np.int64)]
        if waiting:
            a, b = (np.concatenate(side) for side in zip(*waiting, strict=True))
            for start in range(0, len(a), LISTED_CHUNKS * self._at_once):
                found += self._compare(*(side[start : start + LISTED_CHUNKS * self._at_once] for side in (a, b)))
        return np.concatenate(found)

    def _compare(self, a: NDArray[np.int64], b: NDArray[np.int64]) -> Iterator[NDArray[np.int64]]:
        images, places = np.unique(np.concatenate([a, b]), return_inverse=True)
        thumbnails = self._thumbnails(images)
        options: dict[str, Any] = {"sse_limit": self._limit, "transforms": self._transforms}
        if self._device.is_gpu:
            there = self._device.to_device(thumbnails)
            i, j = (self._device.to_device(side) for side in (places[: len(a)], places[len(a) :]))
            found = listed_pairs_by_differences(there, there, i, j, room=self._device.piece_bytes, **options)
            pairs = self._device.to_host(found)
            pairs[:, :2] = images[pairs[:, :2]]
            yield pairs
            return
        for start in range(0, len(a), self._at_once):
            (left, i), (right, j) = (
                np.unique(side[start : start + self._at_once], return_inverse=True)
                for side in (places[: len(a)], places[len(a) :])
            )
            pairs = listed_pairs(thumbnails[left], thumbnails[right], i, j, **options)
            pairs[:, 0] = images[left[pairs[:, 0]]]
            pairs[:, 1] = images[right[pairs[:, 1]]]
            yield pairs
