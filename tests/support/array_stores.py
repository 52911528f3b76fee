"""Stores whose images are made of arrays, without files of pictures."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fastdiff_dask.config import ThumbnailSettings
from fastdiff_dask.kernels.grid import Generation
from fastdiff_dask.kernels.hashes import thumbnail_digests
from fastdiff_dask.kernels.signatures import signatures
from fastdiff_dask.storage.schema import UNREAD
from fastdiff_dask.storage.store import Store

# Folders of both sides.
ROOTS = {"/made": "/made", "/other": "/other"}


def array_store(
    folder: Path,
    thumbnails: NDArray[np.uint8],
    *,
    block_size: int = 16,
    gone: Sequence[int] = (),
    unread: Sequence[int] = (),
    of_b: int = 0,
) -> Store:
    """Make a store of thumbnails (n, h, w, 3): some vanished, some not read, the last ones on side b."""
    height, width, _ = thumbnails.shape[1:]
    roots = {"a": [ROOTS["/made"]], "b": [ROOTS["/other"]] if of_b else []}
    store = Store.open_or_create(
        str(folder), roots, ThumbnailSettings(width=width, height=height, block_size=block_size)
    )
    if len(thumbnails):
        add_arrays(store, thumbnails, gone=gone, unread=unread, of_b=of_b)
    return store


def add_arrays(
    store: Store,
    thumbnails: NDArray[np.uint8],
    *,
    gone: Sequence[int] = (),
    unread: Sequence[int] = (),
    of_b: int = 0,
    finished: bool = True,
) -> None:
    """Add a generation to such a store; numbers of vanished and unread ones are places in it."""
    size, first = store.thumbnail_settings.block_size, store.blocks
    counts = (len(thumbnails) - of_b, of_b)
    middle = first - (-counts[0] // size)
    stop = middle - (-counts[1] // size)
    blocks = []
    for side, start, begin, count in (("a", 0, first, counts[0]), ("b", counts[0], middle, counts[1])):
        for place in range(0, count, size):
            rows = np.arange(start + place, start + min(place + size, count))
            block = begin + place // size
            frame = pd.DataFrame({"image": np.arange(len(rows)) + block * size})
            height, width = thumbnails.shape[1:3]
            frame = frame.assign(
                **UNREAD | {"width": width, "height": height, "format": "PNG", "mode": "RGB"},
                side=side,
                root=store.roots[side][0],
                path=[f"{row:05d}.png" for row in rows],
                path_bytes=b"",
                size=1,
                mtime_ns=0,
                device=0,
                inode=0,
                changed_ns=0,
                current=~np.isin(rows, gone),
                error=np.where(np.isin(rows, unread), "no picture", None),
            )
            store.write_partition(block, frame)
            blocks.append((block, rows))
    store.add_generation(Generation(range(first, middle), range(middle, stop), *counts))
    for block, rows in blocks if finished else ():
        made, read = thumbnails[rows], ~np.isin(rows, unread)
        signed, digests = signatures(made), thumbnail_digests(made)
        store.arrays.write_images(
            block, made * read[:, None, None, None], signed * read[:, None], digests * read[:, None, None]
        )
