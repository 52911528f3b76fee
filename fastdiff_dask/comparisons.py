"""The recorded comparisons of a store: how each generation is cut into tiles, and the tiles that are finished."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray

from .config import CompareSettings
from .store import FLAT_KEYS, Store

__all__ = ["Comparison"]

_UNFINISHED = -1
_PAIRS_CHUNK = 1 << 18


class Comparison:
    """One comparison of a store, begun or not.

    Parameters
    ----------
    store
        The store of the images.
    settings
        What makes a pair similar; decides the name under which the comparison is kept.
    """

    def __init__(self, store: Store, settings: CompareSettings) -> None:
        self.store = store
        self.settings = settings
        rotations = "-rotations" if settings.rotations else ""
        mirror = "-mirror" if settings.mirror else ""
        self.name = f"mse-{settings.similarity_threshold!r}{rotations}{mirror}"

    @classmethod
    def all_in(cls, store: Store) -> list["Comparison"]:
        """All comparisons that were begun."""
        found = []
        for name in sorted(store.files.names("arrays.zarr/comparisons")):
            # a folder alone was left by a process that was killed before it began
            if name.startswith("mse-") and "zarr.json" in store.files.names(f"arrays.zarr/comparisons/{name}"):
                with store.reading(f"comparison {name}"):
                    group = zarr.open_group(store.zarr(), path=f"comparisons/{name}", mode="r")
                    values: Any = group.attrs["settings"]
                    found.append(cls(store, CompareSettings.from_json(values)))
        return found

    def _folder(self, generation: int) -> str:
        return f"comparisons/{self.name}/generation-{generation}"

    def tile_blocks(self, generation: int) -> int | None:
        """Blocks along the side of a tile, as recorded; None if the generation was not planned yet."""
        folder = self._folder(generation)
        if "zarr.json" not in self.store.files.names(f"arrays.zarr/{folder}/compared"):
            return None
        with self.store.reading(f"the plan of {folder}"):
            recorded: Any = zarr.open_array(self.store.zarr(), path=f"{folder}/compared", mode="r").attrs["tile_blocks"]
            return int(recorded)

    def record_plan(self, generation: int, tile_blocks: int, tiles: int) -> None:
        """Record how a generation is cut into tiles, so that a resumed run uses the same ones."""
        zarr_store = self.store.zarr()
        settings: Any = {"settings": self.settings.to_json()}
        zarr.open_group(zarr_store, path=f"comparisons/{self.name}", mode="a", attributes=settings)
        group = zarr.open_group(zarr_store, path=self._folder(generation), mode="a")
        # the plan is in the metadata of this array, which is written at once: it is there as a whole or not at all
        group.create_array(
            "compared",
            shape=(tiles, 2),
            chunks=(1, 2),
            dtype="int64",
            fill_value=_UNFINISHED,
            compressors=None,
            chunk_key_encoding=FLAT_KEYS,
            dimension_names=("tile", "count"),
            attributes={"tile_blocks": tile_blocks, "counts": ["compared", "similar"]},
        )

    def compared(self, generation: int) -> NDArray[np.int64]:
        """Pairs of images compared in each tile (tiles,); −1 where a tile is not finished."""
        return self._counts(generation)[:, 0]

    def _counts(self, generation: int) -> NDArray[np.int64]:
        """Compared and similar pairs of each tile (tiles, 2); −1 where a tile is not finished."""
        folder = self._folder(generation)
        with self.store.reading(f"the tiles of {folder}"):
            return np.asarray(zarr.open_array(self.store.zarr(), path=f"{folder}/compared", mode="r")[:])

    def write_tile(self, generation: int, tile: int, pairs: NDArray[np.int64], compared: int) -> None:
        """Commit a tile: its similar pairs (n, 4) int64, fields a, b, sse, transforms; then the pairs it compared."""
        folder = self._folder(generation)
        if len(pairs):
            zarr.create_array(
                self.store.zarr(),
                name=f"{folder}/pairs-{tile}",
                data=pairs,
                chunks=(min(len(pairs), _PAIRS_CHUNK), 4),
                chunk_key_encoding=FLAT_KEYS,
                dimension_names=("pair", "field"),
                attributes={"fields": ["a", "b", "sse", "transforms"]},
                overwrite=True,  # left behind by a process that was killed before it committed the tile
            )
        zarr.open_array(self.store.zarr(), path=f"{folder}/compared", mode="r+")[tile] = [compared, len(pairs)]

    def read_pairs(self, generation: int) -> Iterator[NDArray[np.int64]]:
        """Similar pairs (n, 4) int64 of each finished tile that has any: fields a, b, sse, transforms."""
        folder = self._folder(generation)
        for tile, similar in enumerate(self._counts(generation)[:, 1].tolist()):
            if similar <= 0:
                continue
            with self.store.reading(f"the pairs of tile {tile} of {folder}"):
                pairs = np.asarray(zarr.open_array(self.store.zarr(), path=f"{folder}/pairs-{tile}", mode="r")[:])
                # a chunk that is gone reads as zeros, and every pair has a transform
                if len(pairs) != similar or not (pairs[:, 3] > 0).all():
                    raise ValueError(f"{similar} pairs were written")
            yield pairs
