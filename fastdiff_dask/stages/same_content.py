"""Files of the listed size and time that may have another content: hashed again, and not decoded."""

import hashlib
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..images.decode import open_file
from ..storage.store import Store
from ..urls import clamped, full_path

__all__ = ["STATUS", "replaced_images"]

# Columns that tell a file from another one of the same name, size and time of modification.
STATUS = ["device", "inode", "changed_ns"]
_THREADS = 8


def replaced_images(store: Store, matched: pd.DataFrame, advance: Callable[[int], None]) -> set[int]:
    """Find the images whose file has another content than the one that was read.

    Size and time of modification prove nothing: names are swapped, and tools write a file and set its time back. Such a
    file has another inode, or a later time of change. So has a file that was copied back, renamed there and back, or
    given other permissions; therefore the content decides, by its SHA-256. The numbers of the device alone prove
    nothing either way, as they change when a disk is mounted again.

    The status of a file with the same content is recorded, block by block, so that a run that was killed goes on from
    there. Values of 0 are not known, and are filled in.

    Parameters
    ----------
    store
        The store, locked for writing.
    matched
        A row for each listed image that has a row in the store: columns as `ListedImage`, "image", and the recorded
        status as "device_before", "inode_before" and "changed_ns_before".
    advance
        Function called with 0 between the blocks; it raises if this process does not hold the store any more.

    Returns
    -------
    Numbers of images whose file has another content, or cannot be read to tell.
    """
    replaced: set[int] = set()
    size = store.thumbnail_settings.block_size
    with ThreadPoolExecutor(_THREADS, thread_name_prefix="hash") as threads:
        for block, rows in matched[_differs(matched, STATUS)].groupby(matched.image // size):
            advance(0)
            number = int(str(block))
            frame = store.read_partition(number).set_index("image", drop=False)
            recorded = frame.loc[rows.image]
            # a file that was not read yet has nothing that could be wrong
            was_read = (recorded.content_hash.notna() | recorded.error.notna()).to_numpy()
            doubtful = rows[was_read & _differs(rows, STATUS[1:], known=True)]
            found = list(threads.map(_content_hash, doubtful.itertuples()))
            replaced |= set(doubtful.image[(frame.content_hash[doubtful.image] != found).to_numpy()])
            same = rows[~rows.image.isin(replaced)]
            if len(same):
                for name in STATUS:
                    frame.loc[same.image, name] = same[name].to_numpy()
                store.write_partition(number, frame)
    return replaced


def _differs(rows: pd.DataFrame, names: list[str], *, known: bool = False) -> NDArray[np.bool_]:
    """Tell which rows have another status than before; with `known`, where both are known."""
    different = np.zeros(len(rows), bool)
    for name in names:
        now, before = rows[name].to_numpy(), rows[f"{name}_before"].to_numpy()
        different |= (now != before) & ((now != 0) & (before != 0) if known else True)
    return different


def _content_hash(row: Any) -> str | None:
    """SHA-256 of a file; None if it cannot be read, or changes meanwhile."""
    try:
        with open_file(os.fsencode(full_path(row.root, row.path, row.path_bytes))) as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
            status = os.fstat(file.fileno())
    except OSError:
        return None
    return digest if (status.st_size, clamped(status.st_mtime_ns)) == (row.size, row.mtime_ns) else None
