"""Catalog → thumbnails, metadata and hashes in the store: fast_diff_py's first loop."""

import os
import uuid
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from distributed import Client, Future
from numpy.typing import NDArray

from .blas import SINGLE_THREADED_BLAS
from .catalog import full_path
from .cluster import capacity, run_in_waves
from .config import ThumbnailSettings
from .errors import UsageError
from .hashes import DIGEST_BYTES, HASH_COLUMNS, HASH_KEY, IMAGE_HASH_COLUMNS, HashSettings, thumbnail_digests
from .images import ImageRecord, read_image
from .signatures import signature_length, signatures
from .store import UNREAD, Store

__all__ = ["check_memory", "hash_blocks", "read_blocks", "thumbnail_task_bytes", "unread_blocks"]

# A part is what one task reads of a block: small enough to keep all threads busy to the end and the progress moving,
# large enough for the 2 ms that a task costs.
_SMALLEST_PART, _LARGEST_PART = 16, 256
_HASHES = (*HASH_COLUMNS, HASH_KEY, *IMAGE_HASH_COLUMNS, "hash_function", "hash_shift")


class Part(NamedTuple):
    """Some images of a block as they were read.

    Attributes
    ----------
    records
        What is known of each.
    hashes
        Column of the metadata → its values for the images that could be read; nothing if no hashes were asked for.
    thumbnails, signatures, digests
        (rows, ...) as the store keeps them; 0 where an image could not be read.
    """

    records: list[ImageRecord]
    hashes: dict[str, list[Any]]
    thumbnails: NDArray[np.uint8]
    signatures: NDArray[np.float32]
    digests: NDArray[np.uint8]


def thumbnail_task_bytes(settings: ThumbnailSettings) -> int:
    """Memory that a task of this stage needs for thumbnails: its block in parts, whole, encoded, and one waiting."""
    return 4 * settings.block_bytes


def read_part(url: str, block: int, start: int, stop: int, hashing: HashSettings | None) -> Part:
    """Read the files of some rows of a block; `hashing` None computes no hashes."""
    store = Store(url)
    settings = store.thumbnail_settings
    rows = store.read_partition(block, ["root", "path", "path_bytes", "size", "mtime_ns", "current", "error"]).iloc[
        start:stop
    ]
    records: list[ImageRecord] = []
    thumbnails = np.zeros((len(rows), *settings.shape), np.uint8)
    for index, row in enumerate(rows.itertuples()):
        if row.size < 0:  # the index could not even list it
            record, thumbnail = ImageRecord(error=row.error), None
        else:
            record, thumbnail = _read_listed(row, settings)
        if thumbnail is not None:
            thumbnails[index] = thumbnail
        records.append(record)
    readable = np.array([not record.error for record in records], bool)
    signature = np.zeros((len(rows), signature_length(*settings.shape)), np.float32)
    digests = np.zeros((len(rows), 4, DIGEST_BYTES), np.uint8)
    with SINGLE_THREADED_BLAS:
        signature[readable] = signatures(thumbnails[readable])
    digests[readable] = thumbnail_digests(thumbnails[readable])
    hashes = {} if hashing is None else hashing.columns(thumbnails[readable])
    return Part(records, hashes, thumbnails, signature, digests)


def _read_listed(row: Any, settings: ThumbnailSettings) -> tuple[ImageRecord, NDArray[np.uint8] | None]:
    """Read an image only as it was listed: another content under the same name belongs to another row."""
    path = full_path(row.root, row.path, row.path_bytes)

    def is_as_listed() -> bool:
        try:
            status = os.stat(path)  # noqa: PTH116 - names may be undecodable bytes
        except OSError:
            return True  # reading says why
        return (status.st_size, status.st_mtime_ns) == (row.size, row.mtime_ns)

    if row.current and is_as_listed():
        found = read_image(path, settings.width, settings.height)
        if is_as_listed():
            return found
    return ImageRecord(error="the file changed after it was listed; run again", retry=True), None


def write_block(url: str, block: int, parts: list[Part]) -> tuple[int, int]:
    """Commit a block of images that were read: first its metadata, then its arrays.

    Returns
    -------
    Number of images and of errors.
    """
    store = Store(url)
    frame = store.read_partition(block)
    records = [record for part in parts for record in part.records]
    for field in ImageRecord._fields:
        frame[field] = [getattr(record, field) for record in records]
    errors = int((frame.error != "").sum())
    frame["error"] = [record.error or None for record in records]
    frame = frame.assign(**{name: UNREAD[name] for name in _HASHES})
    hashes = {name: [value for part in parts for value in part.hashes[name]] for name in parts[0].hashes}
    _set_hashes(frame, hashes)
    store.write_partition(block, frame)

    def whole(values: list[NDArray[Any]]) -> NDArray[Any]:
        result = np.zeros((store.thumbnail_settings.block_size, *values[0].shape[1:]), values[0].dtype)
        np.concatenate(values, out=result[: len(frame)])
        return result

    store.write_images(
        block,
        whole([part.thumbnails for part in parts]),
        whole([part.signatures for part in parts]),
        whole([part.digests for part in parts]),
    )
    return len(frame) - errors, errors


def hash_block(url: str, block: int, hashing: HashSettings) -> bool:
    """Hash the thumbnails of a finished block as far as they were not, or in another way; True if it did."""
    store = Store(url)
    frame = store.read_partition(block)
    readable = frame.error.isna().to_numpy()
    wanted = hashing.missing(frame[readable])
    if wanted is None:
        return False
    _set_hashes(frame, wanted.columns(store.read_thumbnails(block)[: len(frame)][readable]))
    store.write_partition(block, frame)
    return True


def _set_hashes(frame: Any, hashes: dict[str, list[Any]]) -> None:
    """Set columns of the images that could be read; of the others there are no hashes."""
    readable = frame.error.isna().to_numpy()
    for name, values in hashes.items():
        column = np.full(len(frame), UNREAD[name], object)
        column[readable] = values
        frame[name] = column


def unread_blocks(store: Store) -> dict[int, int]:
    """Blocks that are not finished, and the number of images in each."""
    finished = store.finished_blocks()
    return {block: rows for block, rows in enumerate(store.rows()) if block not in finished}


def check_memory(settings: ThumbnailSettings, bytes_per_task: int) -> None:
    """Refuse blocks that do not fit into the share of a worker's memory that one task has (0: unlimited).

    Raises
    ------
    UsageError
        With the largest block size that would do.
    """
    needed = thumbnail_task_bytes(settings)
    if 0 < bytes_per_task < needed:
        raise UsageError(
            f"a block of {settings.block_size} thumbnails needs {needed / 1e9:.3g} GB, and a task on the workers has "
            f"{bytes_per_task / 1e9:.3g} GB; use block_size ≤ {settings.block_size * bytes_per_task // needed}"
        )


def read_blocks(
    store: Store, client: Client, unread: dict[int, int], hashing: HashSettings | None = None
) -> Iterator[tuple[int, int]]:
    """Read blocks of images; each block is committed as soon as its images are read.

    Memory: `thumbnail_task_bytes` a thread, and a decoded picture; independent of the number of images.

    Parameters
    ----------
    store
        The store, locked for writing.
    client
        Where to run; its workers see the files and the store under the same paths.
    unread
        What `unread_blocks` found.
    hashing
        Compute these hashes too.

    Yields
    ------
    Images read since the last one, and errors (known when a block is committed).

    Raises
    ------
    UsageError
        If a block does not fit into a worker's memory; nothing is read then.
    """
    room = capacity(client)
    check_memory(store.thumbnail_settings, room.bytes_per_task)
    part_size = min(max(sum(unread.values()) // (4 * room.threads), _SMALLEST_PART), _LARGEST_PART)
    run = uuid.uuid4().hex[:8]
    lengths: dict[str, int] = {}

    def submit(item: tuple[int, int]) -> list[Future]:
        block, rows = item
        parts = []
        for start in range(0, rows, part_size):
            stop = min(start + part_size, rows)
            key = f"thumbnail-{run}-{block}-{start}"
            lengths[key] = stop - start
            parts.append(client.submit(read_part, store.url, block, start, stop, hashing, key=key))
        commit = f"commit-{run}-{block}"
        # the parts travel from worker to worker, not through the scheduler
        return [*parts, client.submit(write_block, store.url, block, parts, key=commit)]

    for future in run_in_waves(client, unread.items(), submit, in_flight=room.threads + 1):
        if future.key in lengths:
            yield lengths.pop(future.key), 0
        else:
            yield 0, future.result()[1]


def hash_blocks(store: Store, client: Client, hashing: HashSettings) -> Iterator[int]:
    """Complete the hashes of all finished blocks from their thumbnails; gives the number of blocks hashed each time."""
    run = uuid.uuid4().hex[:8]

    def submit(block: int) -> list[Future]:
        return [client.submit(hash_block, store.url, block, hashing, key=f"hash-{run}-{block}")]

    for future in run_in_waves(client, range(store.blocks), submit, in_flight=2 * capacity(client).threads):
        yield int(future.result())
