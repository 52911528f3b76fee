"""Bytes and places of the arrays with a row an image."""

import math
from pathlib import Path

from zarr.storage import FsspecStore, LocalStore

from .files import Files

__all__ = ["CALL_BYTES", "SHARD_ROWS", "WHOLE_SHARE", "plain_path", "row_array_bytes", "zarr_store"]

# A block is read as a whole if more than one in so many of its rows is wanted and it is not on a local disk; if it is,
# when reading so many bytes costs less than another call.
WHOLE_SHARE, CALL_BYTES = 8, 8192
# Rows that are left out of a shard together; less would make Zarr slow, which handles them one by one.
SHARD_ROWS = 16


def row_array_bytes(images: int, block_size: int, row_bytes: int) -> int:
    """Bytes that an array with a row an image takes for the images of one side of a generation.

    Examples
    --------
    >>> row_array_bytes(5, 1024, 12_288), row_array_bytes(1024, 1024, 12_288)
    (197632, 12583936)
    """
    inner = math.gcd(block_size, SHARD_ROWS)
    return -(-images // inner) * inner * row_bytes + -(-images // block_size) * (block_size // inner) * 16


def plain_path(array: str, chunk: int, more_axes: int) -> str:
    return f"arrays.zarr/{array}/" + ".".join(["c", str(chunk), *("0" * more_axes)])


def zarr_store(files: Files) -> LocalStore | FsspecStore:
    if files.local:
        return LocalStore(Path(files.root) / "arrays.zarr")
    # one for all threads: a connection for each would be made otherwise
    return FsspecStore(files.asynchronous(), path=f"{files.root}/arrays.zarr")
