"""Copy a block of images from another store."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..errors import FastDiffError
from ..images.decode import changed_record
from ..runtime.activity import recorded
from ..runtime.faults import retried
from ..storage.schema import FILE_NAME, UNREAD
from ..storage.store import Store

__all__ = ["copy_block"]

# What tells that a row is the one that was listed, and what is copied of it.
_SAME = (*FILE_NAME, "size", "mtime_ns", "content_hash")
_COPIED = tuple(name for name in UNREAD if name != "source")


@retried
def copy_block(url: str, urls: dict[str, str], block: int, run: str = "") -> tuple[int, int]:
    """Copy the images of a block from the store of its side, and commit it.

    Returns
    -------
    Number of images and of errors.
    """
    store = Store(url, run)
    rows = store.rows()[block]
    with recorded(store.files, run, "thumbnails", block=block, start=0, stop=rows) as amounts:
        frame = store.read_partition(block)
        source = Store(urls[str(frame.side.iloc[0])], run)  # as a task: only read, but what passes is tried again
        numbers = frame.source.to_numpy(np.int64)
        there, taken = _source_rows(source, frame, numbers)
        if (frame.current.to_numpy() & ~there).any():
            raise FastDiffError(f"the store at {source.url} was replaced meanwhile; run the same command again")
        for name in (*_COPIED, "error"):
            column = np.full(len(frame), UNREAD.get(name), object)
            column[there] = taken[name].to_numpy(object)
            frame[name] = column
        # a row that is not current any more and whose images are gone; what is listed has no such error
        frame.loc[~there, "error"] = changed_record().error
        arrays = []
        for read in (source.arrays.thumbnail_rows, source.arrays.signature_rows, source.arrays.digest_rows):
            values = read(numbers[there])
            whole = np.zeros((len(frame), *values.shape[1:]), values.dtype)
            whole[there] = values
            arrays.append(whole)
        store.write_partition(block, frame)
        store.arrays.write_images(block, *arrays)
        amounts.images, amounts.errors = len(frame), int(frame.error.notna().sum())
    return amounts.images, amounts.errors


def _source_rows(
    source: Store, frame: pd.DataFrame, numbers: NDArray[np.int64]
) -> tuple[NDArray[np.bool_], pd.DataFrame]:
    """Mark the rows of a block that are in the source as they were listed, and give the metadata of those."""
    size, rows = source.thumbnail_settings.block_size, source.rows()
    wanted = [block for block in np.unique(numbers // size).tolist() if block < len(rows)]
    frames = [source.read_partition(block) for block in wanted] or [source.read_images(["image", *_SAME])]
    taken = pd.concat(frames, ignore_index=True).set_index("image")
    there = np.isin(numbers, taken.index)
    same = taken.loc[numbers[there]]
    equal = np.ones(len(same), bool)
    for name in _SAME:
        found, listed = (rows[name].fillna("" if name == "content_hash" else 0) for rows in (same, frame))
        equal &= found.to_numpy(object) == listed.to_numpy(object)[there]
    there[there] = equal
    return there, same[equal]
