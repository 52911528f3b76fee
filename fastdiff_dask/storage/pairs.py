"""The pairs of a tile on disk."""

import contextlib
from collections.abc import Iterable, Iterator

import numpy as np
import zarr
from numpy.typing import NDArray

from ..kernels.bounds import SearchCounts
from .schema import FLAT_KEYS
from .store import Store

__all__ = ["FILES_AT_ONCE", "PairWriter", "read_pairs", "tile_mark"]

# Files that are read at the same time.
FILES_AT_ONCE = 256
_PAIRS_CHUNK = 1 << 18
# The pairs of a tile are not compressed if they are so few.
_PLAIN_PAIRS = 1 << 12
_PAIR_FIELDS = ["a", "b", "value", "transforms"]


def tile_mark(folder: str, tile: int) -> str:
    """Path of the chunk that marks a tile as finished, by the folder of its part."""
    return f"arrays.zarr/{folder}/compared/c.{tile}.0"


class PairWriter:
    """Writes the similar pairs of a tile as they are found, so that memory does not grow with their number.

    Pairs of a tile that was not committed do not count, and are overwritten. Those of one that was committed meanwhile,
    by a worker that had been taken for dead, are kept: they are the same.
    """

    def __init__(self, store: Store, folder: str, tile: int) -> None:
        self._store, self._folder, self._tile = store, folder, tile
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
        if self._rows >= _PAIRS_CHUNK:
            self._write(self._rows - self._rows % _PAIRS_CHUNK)

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
                self._settled = bool(self._store.files.read(tile_mark(self._folder, self._tile)))
        if self._settled:
            return
        if self._array is None:
            self._array = zarr.create_array(
                self._store.arrays.location(f"{self._folder}/pairs-{self._tile}"),
                zarr_format=3,
                shape=(rows, 4),
                chunks=(min(rows, _PAIRS_CHUNK), 4),
                dtype="int64",
                compressors=None if rows <= _PLAIN_PAIRS else "auto",
                chunk_key_encoding=FLAT_KEYS,
                dimension_names=("pair", "field"),
                attributes={"fields": _PAIR_FIELDS},
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
        self._store.arrays.write_plain(f"{self._folder}/compared", self._tile, np.array([row], np.int64))


def read_pairs(store: Store, tiles: Iterable[tuple[str, int, int]]) -> Iterator[NDArray[np.int64]]:
    """Read the similar pairs of finished tiles.

    Parameters
    ----------
    store
        The store.
    tiles
        Folder of the part, number of the tile and number of its similar pairs, more than 0.

    Yields
    ------
    (n, 4) int64: a, b, value, transforms; at most 2²⁰ pairs at a time.

    Raises
    ------
    FastDiffError
        If pairs are missing or damaged.
    """
    few: list[tuple[str, int, int]] = []
    for folder, tile, similar in tiles:
        if similar > _PLAIN_PAIRS:
            yield from _read_many(store, folder, tile, similar)
            continue
        few.append((folder, tile, similar))
        if len(few) == FILES_AT_ONCE:
            yield _read_few(store, few)
            few = []
    if few:
        yield _read_few(store, few)


def _read_many(store: Store, folder: str, tile: int, similar: int) -> Iterator[NDArray[np.int64]]:
    """Similar pairs of a tile that has many of them, a chunk at a time."""
    what, name = f"the pairs of tile {tile} of {folder}", f"{folder}/pairs-{tile}"
    with store.files.reading(what):
        array = store.arrays.array(name, "int64", "zstd")
        size = array.chunks[0]
        if array.shape != (similar, len(_PAIR_FIELDS)):
            raise ValueError(f"{similar} pairs were written, {array.shape} are there")
        if array.chunks[1:] != array.shape[1:] or size > _PAIRS_CHUNK:
            raise ValueError(f"they are in chunks of {array.chunks}")
    for chunk in range(-(-similar // size)):
        with store.files.reading(what):
            yield _checked(store, store.arrays.read_chunk(name, array, chunk, 0)[: similar - chunk * size])


def _read_few(store: Store, tiles: list[tuple[str, int, int]]) -> NDArray[np.int64]:
    """Similar pairs of tiles that have few of them."""
    more = f" or of {len(tiles) - 1} more tiles" if len(tiles) > 1 else ""
    with store.files.reading(f"the pairs of tile {tiles[0][1]} of {tiles[0][0]}{more}"):
        contents = store.files.read_several([f"arrays.zarr/{folder}/pairs-{tile}/c.0.0" for folder, tile, _ in tiles])
        found = []
        for (_, _, similar), content in zip(tiles, contents, strict=True):
            pairs = np.frombuffer(content, "<i8").reshape(-1, len(_PAIR_FIELDS))
            if len(pairs) != similar:
                raise ValueError(f"{similar} pairs were written, {len(pairs)} are there")
            found.append(pairs)
        return _checked(store, np.concatenate(found))


def _checked(store: Store, pairs: NDArray[np.int64]) -> NDArray[np.int64]:
    """Refuse pairs of images or transforms that there are not."""
    images = store.blocks * store.thumbnail_settings.block_size
    # every pair has a transform
    if not ((pairs[:, 3] > 0) & (pairs[:, 3] < 256)).all():
        raise ValueError("some have no transform")
    if pairs[:, :2].min() < 0 or pairs[:, :2].max() >= images:
        raise ValueError("some are of images that are not there")
    return pairs
