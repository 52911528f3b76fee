"""The pairs of a tile on disk."""

import contextlib

import numpy as np
import zarr
from numpy.typing import NDArray

from ..kernels.bounds import SearchCounts
from .schema import FLAT_KEYS
from .store import Store

__all__ = ["PAIRS_CHUNK", "PAIR_FIELDS", "PLAIN_PAIRS", "PairWriter"]

PAIRS_CHUNK = 1 << 18
# The pairs of a tile are not compressed if they are so few.
PLAIN_PAIRS = 1 << 12
PAIR_FIELDS = ["a", "b", "value", "transforms"]


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
        if self._rows >= PAIRS_CHUNK:
            self._write(self._rows - self._rows % PAIRS_CHUNK)

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
                self._settled = bool(self._store.files.read(f"arrays.zarr/{self._folder}/compared/c.{self._tile}.0"))
        if self._settled:
            return
        if self._array is None:
            self._array = zarr.create_array(
                self._store.zarr(f"{self._folder}/pairs-{self._tile}"),
                zarr_format=3,
                shape=(rows, 4),
                chunks=(min(rows, PAIRS_CHUNK), 4),
                dtype="int64",
                compressors=None if rows <= PLAIN_PAIRS else "auto",
                chunk_key_encoding=FLAT_KEYS,
                dimension_names=("pair", "field"),
                attributes={"fields": PAIR_FIELDS},
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
        self._store.write_plain(f"{self._folder}/compared", self._tile, np.array([row], np.int64))
