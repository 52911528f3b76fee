"""The stage "identical": files that are equal byte for byte, found without decoding any.

Files of a size of their own are equal to no other. Of those of one size, three short pieces are read; files whose
pieces are equal are read to the end, for their SHA-256. What was read to the end is recorded in the store.
"""

import hashlib
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..errors import UsageError
from ..images.decode import open_file
from ..storage.schema import FILE_NAME
from ..storage.store import Store
from ..urls import clamped, full_path, is_url

__all__ = ["hash_files", "unhashed_files"]

# Bytes of each of the three pieces, as JPEG files of one camera begin alike, and scans have a white edge; and bytes up
# to which a file is read to the end at once.
_PIECE, _SHORT = 4096, 1 << 16
# Files that a thread takes at once.
_AT_ONCE, _THREADS = 32, 8
_COLUMNS = ["image", "side", *FILE_NAME, "size", "mtime_ns", "current", "content_hash", "retry"]
_NEEDED = [*FILE_NAME, "size", "mtime_ns"]


def unhashed_files(store: Store, advance: Callable[[int], None] = lambda files: None) -> NDArray[np.int64]:
    """Find the files that must be read to the end: those that may be equal to another one, and were not read yet.

    Parameters
    ----------
    store
        The store; images of side a are compared with those of side b alone, if there are any.
    advance
        Function called with the number of files whose pieces were read since the last call.

    Returns
    -------
    Numbers of the images, ascending.

    Raises
    ------
    UsageError
        If files are behind addresses.
    """
    images = store.read_images(_COLUMNS)
    images = images[images.current & (images["size"] > 0) & ~(images.retry & images.content_hash.isna())]
    if any(is_url(root) for root in images.root.unique()):
        raise UsageError("equal files are looked for on this machine, not behind addresses; leave out identical=")
    known = images.content_hash.notna()
    images = images[_may_have_partner(images, [images["size"]], store.two_sides)]
    images = images[images["size"].isin(images["size"][~known])]
    long = images[images["size"] > _SHORT]
    pieces = pd.Series(b"", images.index, dtype=object)
    pieces[long.index] = list(_of_each(_pieces, long, advance))
    likely = images[_may_have_partner(images, [images["size"], pieces], store.two_sides)]
    # an equal one that is hashed already needs a look as well
    return np.sort(likely.image[~known[likely.index]].to_numpy(np.int64))


def _of_each(
    function: Callable[[Any], Any], rows: pd.DataFrame, advance: Callable[[int], None] = lambda files: None
) -> Iterator[Any]:
    """Call a function of a row for all rows, by threads, some rows at a time; give the values in order."""
    named = list(rows[_NEEDED].itertuples(index=False))
    parts = [named[start : start + _AT_ONCE] for start in range(0, len(named), _AT_ONCE)]
    with ThreadPoolExecutor(_THREADS, thread_name_prefix="hash") as threads:
        for part in threads.map(lambda some: [function(row) for row in some], parts):
            advance(len(part))
            yield from part


def _may_have_partner(images: pd.DataFrame, keys: list[pd.Series], two_sides: bool) -> pd.Series:
    """Tell of each image whether another one has equal keys; of two sides, one on the other side."""
    sides = images.side.groupby(keys)
    return sides.transform("nunique") > 1 if two_sides else sides.transform("size") > 1


def _pieces(row: Any) -> bytes:
    """Digest of the beginning, the middle and the end of a file; of its name, if it cannot be read."""
    path = os.fsencode(full_path(row.root, row.path, row.path_bytes))
    digest = hashlib.blake2b(digest_size=16)
    try:
        with open(path, "rb", buffering=0) as file:  # noqa: PTH123 - names may be undecodable bytes
            for start in (0, row.size // 2, row.size - _PIECE):
                file.seek(start)
                digest.update(file.read(_PIECE))
    except OSError:
        return path  # it is equal to no other; the thumbnail stage tells why it cannot be read
    return digest.digest()


def hash_files(store: Store, numbers: NDArray[np.int64], advance: Callable[[int], None]) -> Iterator[int]:
    """Read files to the end, and record their SHA-256 in the store, block by block.

    A file that cannot be read, or changes meanwhile, is listed as an error, and is looked at again by the next run.

    Parameters
    ----------
    store
        The store, locked for writing.
    numbers
        Numbers of the images, ascending.
    advance
        Function called with 0 before each block; it raises if this process does not hold the store any more.

    Yields
    ------
    Number of files that were read and recorded.
    """
    size = store.thumbnail_settings.block_size
    bounds = np.searchsorted(numbers, np.arange(store.blocks + 1) * size)
    for block in np.flatnonzero(np.diff(bounds)).tolist():
        advance(0)
        frame = store.read_partition(block)
        rows = numbers[bounds[block] : bounds[block + 1]] - block * size
        found = list(_of_each(_sha256, frame.iloc[rows]))
        places = frame.index[rows]
        frame.loc[places, "content_hash"] = pd.Series([digest for digest, _ in found], places, dtype=object)
        failed = pd.Series([error for _, error in found], places, dtype=object).dropna()
        if len(failed):
            frame.loc[failed.index, "error"] = failed
            frame.loc[failed.index, "retry"] = True
        store.write_partition(block, frame)
        yield len(rows)


def _sha256(row: Any) -> tuple[str | None, str | None]:
    """SHA-256 of a file, or the reason why there is none."""
    try:
        with open_file(os.fsencode(full_path(row.root, row.path, row.path_bytes))) as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
            status = os.fstat(file.fileno())
    except OSError as error:
        return None, f"cannot be read: {error.strerror or error}"
    if (status.st_size, clamped(status.st_mtime_ns)) != (row.size, row.mtime_ns):
        return None, "has changed since it was listed"
    return digest, None
