"""The store as Dask collections, for notebooks: one partition or chunk a block, current images only, in one order."""

from collections.abc import Iterator

import dask.array as da
import dask.dataframe as dd
import numpy as np
import pandas as pd
from dask import delayed
from numpy.typing import NDArray

from .pairwise import pairwise_mse
from .store import IMAGE_SCHEMA, Store

__all__ = ["images_frame", "mse_array", "thumbnails_array"]


def _current_partition(block: int, url: str, columns: list[str]) -> pd.DataFrame:
    frame = Store(url).read_partition(block)
    return frame[frame.current].set_index("image")[columns]


def images_frame(store: Store) -> dd.DataFrame:
    """Metadata of the current images, errors included: a Dask DataFrame, one partition a block, indexed by number."""
    columns = [name for name in IMAGE_SCHEMA.names if name not in ("image", "current")]
    meta = IMAGE_SCHEMA.empty_table().to_pandas().set_index("image")[columns]
    if not store.blocks:
        return dd.from_pandas(meta, npartitions=1)
    size = store.thumbnail_settings.block_size
    divisions = [block * size for block in range(store.blocks)] + [store.blocks * size - 1]
    return dd.from_map(
        _current_partition, range(store.blocks), url=store.url, columns=columns, meta=meta, divisions=divisions
    )


def _current_rows(store: Store, side: str | None) -> Iterator[tuple[int, pd.DataFrame]]:
    """Blocks of a side, or of all, that have current images, and what tells them."""
    for generation in store.generations:
        for block in {None: generation.blocks, "a": generation.a, "b": generation.b}[side]:
            frame = store.read_partition(block, ["current", "error"])
            if frame.current.any():
                yield block, frame


def _read_rows(url: str, block: int, rows: NDArray[np.int64]) -> NDArray[np.uint8]:
    return Store(url).read_thumbnails(block)[rows]


def thumbnails_array(store: Store, side: str | None = None) -> da.Array:
    """Thumbnails of the current images (n, h, w, 3) uint8, a chunk a block: of one side, or of all; 0 for errors."""
    shape = store.thumbnail_settings.shape
    chunks = []
    for block, frame in _current_rows(store, side):
        rows = np.flatnonzero(frame.current)
        task = delayed(_read_rows, pure=True)(store.url, block, rows)
        chunks.append(da.from_delayed(task, (len(rows), *shape), dtype=np.uint8))
    return da.concatenate(chunks) if chunks else da.zeros((0, *shape), dtype=np.uint8)


def mse_array(store: Store, *, rotations: bool = True, mirror: bool = False) -> da.Array:
    """MSE of all current images with all, or of side a with side b: float64, NaN where there is an error."""
    sides = ("a", "b") if store.two_sides else (None, None)
    images = [thumbnails_array(store, side) for side in sides]
    readable = [
        da.from_array(
            np.concatenate([np.zeros(0, bool)] + [f.error[f.current].isna() for _, f in _current_rows(store, side)]),
            chunks=array.chunks[:1],
        )
        for side, array in zip(sides, images, strict=True)
    ]
    errors = pairwise_mse(*images, rotations=rotations, mirror=mirror)
    return da.where(readable[0][:, None] & readable[1][None, :], errors, np.nan)
