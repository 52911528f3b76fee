"""The similar pairs of a tile on disk: written as they are found, read a bounded number at a time."""

import contextlib
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..kernels.bounds import SearchCounts
from .comparisons import Comparison
from .plans import Part, Plan
from .schema import ARRAYS, FLAT_KEYS
from .store import Store

if TYPE_CHECKING:
    import zarr

__all__ = ["PairWriter", "read_last_pair", "read_pairs"]

_CHUNK = 1 << 18
# The pairs of a tile are not compressed if they are so few.
_FEW = 1 << 12
# Tiles with few pairs that are read at the same time.
_TILES_AT_ONCE = 256
_FIELDS = ["a", "b", "value", "transforms"]
# Rows that are checked side by side.
_WIDE = 256


class PairWriter:
    """A writer of the similar pairs of a tile, whose memory does not grow with their number.

    - Pairs of a tile that was not committed do not count, and are overwritten.
    - A tile may be committed meanwhile by a worker that was taken for dead. Its pairs are the same, and stay.

    Parameters
    ----------
    comparison, part, tile
        The comparison, the last part of it, and the number of the tile in the plan of that.

    Attributes
    ----------
    similar
        Number of pairs so far.
    """

    def __init__(self, comparison: Comparison, part: Part, tile: int) -> None:
        self._comparison, self._part = comparison, part
        self._store, self._tile = comparison.store, tile
        self._folder, self._mark = comparison.folder(part), comparison.mark(part, tile)
        self._array: zarr.Array | None = None
        self._waiting: list[NDArray[np.int64]] = []
        self._rows = 0
        self._settled = False
        self.similar = 0

    def add(self, pairs: NDArray[np.int64]) -> None:
        """Take pairs (n, 4) int64: a, b, value, transforms."""
        self._waiting.append(pairs)
        self._rows += len(pairs)
        self.similar += len(pairs)
        if self._rows >= _CHUNK:
            self._write(self._rows - self._rows % _CHUNK)

    def _write(self, rows: int) -> None:
        """Write so many of the waiting pairs."""
        if not rows:
            return
        pairs = np.concatenate(self._waiting)
        self._waiting, self._rows = [pairs[rows:]], len(pairs) - rows
        done = 0 if self._array is None else self._array.shape[0]
        self._store.files.check_run()
        if self._array is None:
            with contextlib.suppress(FileNotFoundError):
                self._settled = bool(self._store.files.read(self._mark))
        if self._settled:
            return
        if self._array is None:
            import zarr

            self._array = zarr.create_array(
                self._store.arrays.zarr(f"{self._folder}/pairs-{self._tile}"),
                zarr_format=3,
                shape=(rows, 4),
                chunks=(min(rows, _CHUNK), 4),
                dtype="int64",
                compressors=None if rows <= _FEW else "auto",
                chunk_key_encoding=FLAT_KEYS,
                dimension_names=("pair", "field"),
                attributes={"fields": _FIELDS},
                overwrite=True,  # left behind by a process that was killed before it committed the tile
            )
        else:
            self._array.resize((done + rows, 4))
        self._array[done:] = pairs[:rows]

    def commit(self, counts: SearchCounts) -> None:
        """Write the rest, and then the mark of the tile."""
        self._write(self._rows)
        if self._settled:
            return
        row = [self.similar, *(getattr(counts, name) for name in counts.names())]
        self._comparison.write_counts(self._part, self._tile, row)


class _TilePairs(NamedTuple):
    """A finished tile, and the number of its similar pairs."""

    part: Part
    tile: int
    similar: int


def read_pairs(comparison: Comparison, plans: Sequence[Plan]) -> Iterator[NDArray[np.int64]]:
    """Read the similar pairs of the finished tiles of some plans, at most 2²⁰ at a time.

    Yields
    ------
    (n, 4) int64: a, b, value, transforms.

    Raises
    ------
    FastDiffError
        If some are damaged.
    """
    few: list[_TilePairs] = []
    for plan in plans:
        for tile, similar in enumerate(plan.counts[:, 0].tolist()):
            if 0 < similar <= _FEW:
                few.append(_TilePairs(plan.part, tile, similar))
                if len(few) == _TILES_AT_ONCE:
                    yield _read_few(comparison, few)
                    few = []
                continue
            if similar > 0:
                yield from _read_many(comparison, _TilePairs(plan.part, tile, similar))
    if few:
        yield _read_few(comparison, few)


def read_last_pair(comparison: Comparison, part: Part, tile: int, similar: int) -> NDArray[np.int64]:
    """Read the last similar pair of a finished tile that has so many: (4,) int64; errors as `read_pairs`."""
    pairs = _TilePairs(part, tile, similar)
    if similar <= _FEW:
        return _read_few(comparison, [pairs])[-1]
    (*_, last) = _read_many(comparison, pairs, start=(similar - 1) // _CHUNK)
    return last[-1]


def _read_many(comparison: Comparison, pairs_of: _TilePairs, start: int = 0) -> Iterator[NDArray[np.int64]]:
    """Similar pairs of a tile that has many of them, a chunk at a time, from one of the chunks on."""
    part, tile, similar = pairs_of
    store, folder = comparison.store, comparison.folder(part)
    what, name = f"the pairs of tile {tile} of {folder}", f"{folder}/pairs-{tile}"
    with store.files.reading(what):
        array = store.arrays.described(name, "int64", "zstd")
        size = array.chunks[0]
        if array.shape != (similar, len(_FIELDS)):
            raise ValueError(f"{similar} pairs were written, {array.shape} are there")
        if array.chunks[1:] != array.shape[1:] or size > _CHUNK:
            raise ValueError(f"they are in chunks of {array.chunks}")
    for chunk in range(start, -(-similar // size)):
        with store.files.reading(what):
            pairs = store.arrays.read_chunk(name, array, chunk, 0)[: similar - chunk * size]
            _check_pairs(store, pairs)
        yield pairs


def _read_few(comparison: Comparison, tiles: list[_TilePairs]) -> NDArray[np.int64]:
    """Similar pairs of tiles that have few of them."""
    files, (part, tile, _) = comparison.store.files, tiles[0]
    more = f" or of {len(tiles) - 1} more tiles" if len(tiles) > 1 else ""
    with files.reading(f"the pairs of tile {tile} of {comparison.folder(part)}{more}"):
        paths = [f"{ARRAYS}/{comparison.folder(part)}/pairs-{tile}/c.0.0" for part, tile, _ in tiles]
        found = []
        for (_, _, similar), content in zip(tiles, files.read_several(paths), strict=True):
            pairs = np.frombuffer(content, "<i8").reshape(-1, len(_FIELDS))
            if len(pairs) != similar:
                raise ValueError(f"{similar} pairs were written, {len(pairs)} are there")
            found.append(pairs)
        pairs = np.concatenate(found)
        _check_pairs(comparison.store, pairs)
    return pairs


def _check_pairs(store: Store, pairs: NDArray[np.int64]) -> None:
    """Check numbers and transforms; this is done at each reading, and takes less than the decompression."""
    images = store.blocks * store.thumbnail_settings.block_size
    (*_, fewest), (a, b, _, most) = _extremes(pairs)
    if fewest < 1 or most > 255:
        raise ValueError("some have no transform")
    if max(a, b) >= images:
        raise ValueError("some are of images that are not there")


def _extremes(pairs: NDArray[np.int64]) -> tuple[list[int], list[int]]:
    """Give the least and the largest number of each column; negative ones count as larger than all others."""
    rows = pairs.view(np.uint64)
    # many rows side by side, as NumPy takes 5 times as long along short rows
    wide = len(rows) - len(rows) % _WIDE
    parts = rows[:wide].reshape(-1, _WIDE * rows.shape[1]), rows[wide:]
    low, high = (
        np.concatenate([over(part, axis=0).reshape(-1, rows.shape[1]) for part in parts if len(part)])
        for over in (np.min, np.max)
    )
    return low.min(axis=0).tolist(), high.max(axis=0).tolist()
