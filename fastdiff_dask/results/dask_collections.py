"""The store as Dask collections for notebooks: a partition or chunk for each block, current images in one order."""

import uuid
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import dask.array as da
import dask.dataframe as dd
import numpy as np
import pandas as pd
import pyarrow as pa
from dask import delayed
from distributed import Client, Future
from numpy.typing import NDArray

from ..config import ThumbnailSettings
from ..errors import UsageError
from ..extras import need
from ..kernels.transforms import available_transforms
from ..runtime.waves import run_in_waves
from ..runtime.workers import capacity
from ..stages.pairwise import lazy_matrix, pairwise_mse
from ..storage.derived.matrix import store_matrix
from ..storage.derived.vectors import Vectors, vector_names, vector_rows
from ..storage.schema import IMAGE_SCHEMA
from ..storage.store import Store
from ..tasks.mse_chunk import write_mse_chunk

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["images_dataset", "images_frame", "mse_array", "persist_mse", "thumbnails_array", "vectors_array"]

# Columns of the metadata that are of use beside the pictures.
_DATASET = (
    *("side", "width", "height", "size", "format", "mode", "camera", "captured", "frames", "extras"),
    *("error", "content_hash"),
)


def _current_partition(blocks: range, url: str, columns: list[str]) -> pd.DataFrame:
    store = Store(url)
    frames = [store.read_partition(block, ["image", "current", *columns]) for block in blocks]
    frame = pd.concat(frames) if len(frames) > 1 else frames[0]
    return _as_dask_keeps_them(frame[frame.current].set_index("image")[columns])


def _as_dask_keeps_them(frame: pd.DataFrame) -> pd.DataFrame:
    """Give names as bytes an Arrow type: Dask makes strings of all Python objects."""
    return frame.astype({name: pd.ArrowDtype(pa.binary()) for name in ("path_bytes",) if name in frame})


def images_frame(store: Store, blocks_at_once: int = 1) -> dd.DataFrame:
    """Metadata of the current images, errors included: a Dask DataFrame indexed by number.

    Parameters
    ----------
    store
        The store.
    blocks_at_once
        Blocks in a partition.

    Returns
    -------
    The frame, with a partition for `blocks_at_once` blocks.
    """
    columns = [name for name in IMAGE_SCHEMA.names if name not in ("image", "current")]
    meta = _as_dask_keeps_them(IMAGE_SCHEMA.empty_table().to_pandas().set_index("image")[columns])
    if not store.blocks:
        return dd.from_pandas(meta, npartitions=1)
    size = store.thumbnail_settings.block_size
    parts = [
        range(first, min(first + blocks_at_once, store.blocks)) for first in range(0, store.blocks, blocks_at_once)
    ]
    divisions = [part.start * size for part in parts] + [store.blocks * size - 1]
    return dd.from_map(_current_partition, parts, url=store.url, columns=columns, meta=meta, divisions=divisions)


def _current_rows(store: Store, side: str | None) -> Iterator[tuple[int, pd.DataFrame]]:
    """Read from the blocks of a side, or of both, which images are current and which have errors."""
    for generation in store.generations:
        for block in {None: generation.blocks, "a": generation.a, "b": generation.b}[side]:
            frame = store.read_partition(block, ["current", "error"])
            if frame.current.any():
                yield block, frame


def _read_rows(url: str, block: int, rows: NDArray[np.int64]) -> NDArray[np.uint8]:
    return Store(url).arrays.read_thumbnails(block)[rows]


def thumbnails_array(store: Store, side: str | None = None) -> da.Array:
    """Thumbnails of the current images (n, h, w, 3) uint8, a chunk a block: of one side, or of all; 0 for errors."""
    shape = store.thumbnail_settings.shape
    chunks = []
    for block, frame in _current_rows(store, side):
        rows = np.flatnonzero(frame.current)
        task = delayed(_read_rows, pure=True)(store.url, block, rows)
        chunks.append(da.from_delayed(task, (len(rows), *shape), dtype=np.uint8))
    return da.concatenate(chunks) if chunks else da.zeros((0, *shape), dtype=np.uint8)


def _read_vectors(url: str, name: str, block: int, rows: NDArray[np.int64]) -> NDArray[Any]:
    store = Store(url)
    values, there = vector_rows(store, name, block * store.thumbnail_settings.block_size + rows)
    if values.dtype.kind == "f":
        values[~there] = np.nan
    return values


def vectors_array(store: Store, name: str) -> da.Array:
    """Vectors of the current images (n, d), a chunk a block; NaN where there is none, or 0 of integers."""
    kind = Vectors(store, name).kind()
    assert kind is not None
    chunks = []
    for block, frame in _current_rows(store, None):
        rows = np.flatnonzero(frame.current)
        task = delayed(_read_vectors, pure=True)(store.url, name, block, rows)
        chunks.append(da.from_delayed(task, (len(rows), *kind.shape), dtype=kind.dtype))
    return da.concatenate(chunks) if chunks else da.zeros((0, *kind.shape), dtype=kind.dtype)


def _read_column(url: str, block: int, rows: NDArray[np.int64], name: str) -> NDArray[Any]:
    column = Store(url).read_partition(block, [name])[name].iloc[rows]
    if pa.types.is_string(IMAGE_SCHEMA.field(name).type):
        column = column.astype(object).where(column.notna(), "")
    return column.to_numpy()


def images_dataset(store: Store, paths: Sequence[str]) -> "xr.Dataset":
    """Thumbnails and metadata of the current images as a Dataset of xarray, lazily, a chunk a block.

    Parameters
    ----------
    store
        The store, its thumbnails finished.
    paths
        Paths of the current images in their order: labels of the dimension image, in memory.

    Returns
    -------
    The Dataset: thumbnail (image, y, x, channel) uint8; and side, width, height and so on (image,), where a text that
    is not known is empty; vectors_NAME (image, value_NAME), vectors that all blocks have.

    Raises
    ------
    UsageError
        If xarray is not installed.
    """
    need("xarray", "xarray", "xarray")
    import xarray as xr

    rows = [(block, np.flatnonzero(frame.current)) for block, frame in _current_rows(store, None)]
    columns: dict[str, Any] = {"thumbnail": (("image", "y", "x", "channel"), thumbnails_array(store))}
    for name in _DATASET:
        kind = IMAGE_SCHEMA.field(name).type
        dtype = np.dtype(object) if pa.types.is_string(kind) else np.dtype(kind.to_pandas_dtype())
        parts = [
            da.from_delayed(delayed(_read_column, pure=True)(store.url, block, some, name), (len(some),), dtype=dtype)
            for block, some in rows
        ]
        columns[name] = (("image",), da.concatenate(parts) if parts else da.zeros(0, dtype=dtype))
    for name in vector_names(store):
        if not Vectors(store, name).missing_blocks():
            columns[f"vectors_{name}"] = (("image", f"value_{name}"), vectors_array(store, name))
    labels = {"image": np.array(paths, object), "channel": ["red", "green", "blue"]}
    return xr.Dataset(columns, labels, {"store": store.url})


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


def persist_mse(
    store: Store, client: Client, *, rotations: bool, mirror: bool, advance: Callable[[int], None]
) -> da.Array:
    """Compute the missing chunks of the matrix of `mse_array` into the store, and give it as a lazy Dask array.

    - A chunk has the pairs of two blocks. Each pair of blocks is computed once; new blocks add chunks.
    - Disk: 8 bytes a pair before compression, both halves of the matrix.
    - Memory: 80 bytes a pair of a chunk for each thread, 120 with mirror images, and at most 500 MB for images.

    Parameters
    ----------
    store
        The store, locked for writing, its thumbnails finished.
    client
        Where to run; its workers see the store under the same path.
    rotations, mirror
        Turns and mirror images are compared as well.
    advance
        Called with the number of chunks done since the last call.

    Returns
    -------
    The matrix, (n, n) or (n of side a, n of side b) float64.

    Raises
    ------
    UsageError
        If a chunk does not fit into a worker's memory.
    """
    room = capacity(client)
    _check_chunk(store.thumbnail_settings, room.bytes_per_task, mirror)
    size = store.thumbnail_settings.block_size
    height, width, _ = store.thumbnail_settings.shape
    transforms = available_transforms(height, width, rotations=rotations, mirror=mirror)
    matrix = store_matrix(store, rotations=rotations, mirror=mirror)
    images = store.blocks * size
    matrix.open_or_create((images, images), (size, size), {"transforms": list(transforms)})
    rows, columns = (
        [(block, np.flatnonzero(frame.current)) for block, frame in _current_rows(store, side)]
        for side in (("a", "b") if store.two_sides else (None, None))
    )
    symmetric = not store.two_sides
    pending = matrix.pending([(i, j) for i, _ in rows for j, _ in columns if i <= j or not symmetric], symmetric)
    run = uuid.uuid4().hex[:8]

    def submit(item: tuple[int, int]) -> list[Future]:
        arguments = (store.url, matrix.url, *item, transforms, symmetric)
        return [client.submit(write_mse_chunk, *arguments, key=f"mse-tile-{run}-{item[0]}-{item[1]}")]

    for _ in run_in_waves(client, pending, submit, in_flight=4 * room.threads):
        advance(1)
    wanted = [
        np.concatenate([np.zeros(0, np.int64), *(block * size + places for block, places in side)])
        for side in (rows, columns)
    ]
    return lazy_matrix(matrix)[wanted[0]][:, wanted[1]]


def _check_chunk(thumbnails: ThumbnailSettings, bytes_per_task: int, mirror: bool) -> None:
    """Refuse a chunk of two blocks that needs more memory than a task has; 0 bytes are no limit."""
    size = thumbnails.block_size
    needed = (120 if mirror else 80) * size * size + 2 * thumbnails.block_bytes
    needed += min(500_000_000, (12 if mirror else 8) * thumbnails.block_bytes)
    if 0 < bytes_per_task < needed:
        raise UsageError(
            f"a chunk of {size} × {size} pairs needs {needed / 1e9:.3g} GB, and a task on the workers has "
            f"{bytes_per_task / 1e9:.3g} GB; use mse() without persist, or a new store= with smaller blocks"
        )
