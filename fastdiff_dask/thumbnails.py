"""Catalog → thumbnails, metadata and hashes in the store: fast_diff_py's first loop."""

import contextlib
import os
import socket
import uuid
from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any, NamedTuple

import numpy as np
from distributed import Client, Future
from numpy.typing import NDArray

from .activity import recorded, stage
from .blas import SINGLE_THREADED_BLAS
from .catalog import full_path
from .cluster import capacity, run_in_waves
from .config import ReadSettings, ThumbnailSettings
from .decoder import ListedFile, Request
from .errors import FastDiffError, UsageError, printable
from .hashes import DIGEST_BYTES, HASH_COLUMNS, HASH_KEY, IMAGE_HASH_COLUMNS, HashSettings, thumbnail_digests
from .images import ImageRecord, changed_record
from .readers import close_readers, reader
from .remote import describe, file_system, is_url
from .resilience import retried
from .signatures import signature_length, signatures
from .store import UNREAD, Store

__all__ = [
    "check_memory",
    "check_read",
    "end_readers",
    "hash_blocks",
    "hashing_of",
    "read_blocks",
    "thumbnail_task_bytes",
    "unhashed_blocks",
    "unread_blocks",
]

# A part is what one task reads of a block: small enough to keep all threads busy to the end, and large because between
# two parts a decoder waits for 20 ms: 1,024 small photos take 1.5 s, and are read 5 % faster than by 256.
_SMALLEST_PART, _LARGEST_PART = 16, 1024
# Pictures that the decoder answers for together: while they are hashed and transformed, it reads the next ones.
_ANSWERED = 32
# What reading needs to know of an image.
_LISTED = ("root", "path", "path_bytes", "size", "mtime_ns", "inode", "current", "error")
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


@retried
def _block(url: str, block: int, run: str, columns: Sequence[str] | None = None) -> tuple[Store, Any]:
    """Open the store, and read the metadata of a block."""
    store = Store(url, run)
    return store, store.read_partition(block, columns)


def read_part(
    url: str, block: int, start: int, stop: int, limits: ReadSettings, hashing: HashSettings | None, run: str = ""
) -> Part:
    """Read the files of some rows of a block; `hashing` None computes no hashes.

    The pictures are decoded by a process beside this one, see `readers`, while this one hashes those before. `run` is
    what `activity.stage` gave.
    """
    store, frame = _block(url, block, run, _LISTED)
    return _read_part(store, block, frame, start, stop, limits, hashing)


def write_block(url: str, block: int, parts: list[Part], run: str = "") -> int:
    """Commit a block of images that were read; gives the number of errors."""
    return _write_block(*_block(url, block, run), block, parts)


def read_block(url: str, block: int, rows: int, limits: ReadSettings, hashing: HashSettings | None, run: str) -> int:
    """Read and commit a block that is one part; gives the number of errors."""
    store, frame = _block(url, block, run)
    return _write_block(store, frame, block, [_read_part(store, block, frame, 0, rows, limits, hashing)])


@retried
def _read_part(
    store: Store,
    block: int,
    frame: Any,
    start: int,
    stop: int,
    limits: ReadSettings,
    hashing: HashSettings | None,
) -> Part:
    with recorded(store.files, store.files.run, "thumbnails", block=block, start=start, stop=stop) as amounts:
        rows = frame.iloc[start:stop]
        folders = rows.root[rows.current].unique().tolist()
        _check_folders(folders)
        for folder in folders:
            if is_url(folder):
                _check_reachable(folder, store.files.run)
        part = _decode(store.thumbnail_settings, rows, limits, hashing)
        _check_folders(folders)  # of a disk that went away meanwhile
        amounts.images = len(part.records)
        amounts.errors = sum(bool(record.error) for record in part.records)
    return part


def _check_folders(folders: list[str]) -> None:
    """See that the folders are there, rather than give an error for each of their files."""
    for folder in folders:
        if not is_url(folder) and not _has_entries(folder):  # where a disk was, an empty folder is left
            raise FastDiffError(
                f"{socket.gethostname()} does not see the folder {printable(folder)} any more, or not yet, or it is "
                f"empty; mount it, or index again if it is gone"
            )


@cache
def _check_reachable(url: str, run: str) -> None:
    """See once in a process and run that it has what is needed to read there: it may have come after all were asked."""
    try:
        fs, path = file_system(url)
        fs.info(path)
    except FileNotFoundError:
        pass  # errors of single files
    except OSError:
        raise
    except Exception as error:  # whatever a backend raises
        raise FastDiffError(
            f"a worker on {socket.gethostname()} cannot read {url} ({describe(error)}); see that it has the packages "
            f"and credentials"
        ) from None


def _has_entries(folder: str) -> bool:
    try:
        with os.scandir(folder) as entries:  # the first one alone is read: a folder may have millions
            return next(entries, None) is not None
    except (FileNotFoundError, NotADirectoryError):
        return False


def _decode(settings: ThumbnailSettings, rows: Any, limits: ReadSettings, hashing: HashSettings | None) -> Part:
    # what the index could not even list, and what is not there any more, is not read
    records = [ImageRecord(error=row.error) if row.size < 0 else changed_record() for row in rows.itertuples()]
    thumbnails = np.zeros((len(rows), *settings.shape), np.uint8)
    signature = np.zeros((len(rows), signature_length(*settings.shape)), np.float32)
    digests = np.zeros((len(rows), 4, DIGEST_BYTES), np.uint8)
    # column by column, in the order of reading: small objects by the thousand would wake the garbage collector
    hashes: dict[str, list[Any]] = {}
    hashed: list[int] = []

    def finish(places: list[int], some: NDArray[np.uint8]) -> None:
        thumbnails[places] = some
        with SINGLE_THREADED_BLAS:
            signature[places] = signatures(some)
        digests[places] = thumbnail_digests(some)
        if hashing is not None:
            hashed.extend(places)
            for name, values in hashing.columns(some).items():
                hashes.setdefault(name, []).extend(values)

    wanted = rows.assign(place=range(len(rows)))[(rows.current & (rows["size"] >= 0)).to_numpy()]
    # files that were written one after the other lie so on most disks
    wanted = wanted.sort_values("inode", kind="stable")
    request = Request(
        [
            ListedFile(os.fsencode(full_path(row.root, row.path, row.path_bytes)), row.size, row.mtime_ns)
            for row in wanted.itertuples()
        ],
        settings.width,
        settings.height,
        settings.exact_decode,
        limits.pixel_limit,
        limits.time_limit,
        at_once=_ANSWERED,
    )
    waiting = wanted.place.tolist()
    with reader() as decoder:
        for answer in decoder.read(request):
            places, waiting = waiting[: len(answer.records)], waiting[len(answer.records) :]
            for place, record in zip(places, answer.records, strict=True):
                records[place] = record
            places = [place for place in places if not records[place].error]
            if places:
                finish(places, np.frombuffer(answer.thumbnails, np.uint8).reshape(len(places), *settings.shape))
    order = np.argsort(hashed).tolist()
    hashes = {name: [values[k] for k in order] for name, values in hashes.items()}
    return Part(records, hashes, thumbnails, signature, digests)


@retried
def _write_block(store: Store, frame: Any, block: int, parts: list[Part]) -> int:
    """Commit a block, whose metadata was `frame`: first that, then its arrays."""
    records = [record for part in parts for record in part.records]
    columns = dict(zip(ImageRecord._fields, map(list, zip(*records, strict=True)), strict=True))
    for field in ("error", "warnings", "content_hash", "camera", "captured"):
        columns[field] = [value or None for value in columns[field]]
    frame = frame.assign(**columns, **{name: UNREAD[name] for name in _HASHES})
    errors = int(frame.error.notna().sum())
    names = next((list(part.hashes) for part in parts if part.hashes), [])  # a part may have no readable image
    hashes = {name: [value for part in parts if part.hashes for value in part.hashes[name]] for name in names}
    _set_hashes(frame, hashes)
    store.write_partition(block, frame)

    def whole(values: list[NDArray[Any]]) -> NDArray[Any]:
        return values[0] if len(values) == 1 else np.concatenate(values)

    store.write_images(
        block,
        whole([part.thumbnails for part in parts]),
        whole([part.signatures for part in parts]),
        whole([part.digests for part in parts]),
    )
    return errors


@retried
def hash_block(url: str, block: int, hashing: HashSettings, run: str = "") -> bool:
    """Hash the thumbnails of a finished block as far as they were not, or in another way; True if it did."""
    store = Store(url, run)
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


def check_read(store: Store) -> None:
    """See that all images were read.

    Raises
    ------
    UsageError
        If not.
    """
    if unread_blocks(store):
        raise UsageError("some images were not read yet; call first_loop_iteration() first")


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
    store: Store,
    client: Client,
    unread: dict[int, int],
    limits: ReadSettings,
    hashing: HashSettings | None = None,
    most: int | None = None,
) -> Iterator[tuple[int, int]]:
    """Read blocks of images; each block is committed as soon as its images are read.

    Memory: `thumbnail_task_bytes` a thread, and in a process beside it some 50 MB, a file and a decoded picture with a
    copy; independent of the number of images.

    Parameters
    ----------
    store
        The store, locked for writing.
    client
        Where to run; its workers see the files and the store under the same paths.
    unread
        What `unread_blocks` found.
    limits
        What reading a file may cost.
    hashing
        Compute these hashes too.
    most
        Tasks that run at once, at most; by default as many as there are threads.

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
    if most is not None and most < room.threads:
        part_size = store.thumbnail_settings.block_size  # a block is one task then
    run = uuid.uuid4().hex[:8]
    lengths: dict[str, int] = {}  # images, by the key of the task that reads them
    partial: set[str] = set()  # tasks that read a part of a block

    def submit(item: tuple[int, int]) -> list[Future]:
        block, rows = item
        parts: list[Future] = []
        if rows <= part_size:
            key = f"thumbnail-{run}-{block}"
            lengths[key] = rows
            return [client.submit(read_block, store.url, block, rows, limits, hashing, activity, key=key)]
        for start in range(0, rows, part_size):
            stop = min(start + part_size, rows)
            key = f"thumbnail-{run}-{block}-{start}"
            lengths[key] = stop - start
            partial.add(key)
            arguments = (store.url, block, start, stop, limits, hashing, activity)
            parts.append(client.submit(read_part, *arguments, key=key))
        commit = f"commit-{run}-{block}"
        # the parts travel from worker to worker, not through the scheduler
        return [*parts, client.submit(write_block, store.url, block, parts, activity, key=commit)]

    try:
        with stage(store.files, "thumbnails") as activity:
            for future in run_in_waves(client, unread.items(), submit, in_flight=room.threads + 1, most=most):
                # a part stays where it is until its block is committed
                errors = 0 if future.key in partial else future.result()
                partial.discard(future.key)
                yield lengths.pop(future.key, 0), errors
    finally:
        end_readers(client)


def end_readers(client: Client) -> None:
    """End the decoder processes of all workers that nobody uses."""
    # of workers that are gone, the decoders are as well; a lost scheduler would be waited for
    if client.status == "running":
        with contextlib.suppress(OSError, TimeoutError, ValueError):
            client.run(close_readers, on_error="ignore")


def unhashed_blocks(store: Store, hashing: HashSettings) -> list[int]:
    """Finished blocks some of whose images lack hashes, or have them in another way."""
    columns = ["error", *_HASHES]
    finished = sorted(store.finished_blocks())
    frames = ((block, store.read_partition(block, columns)) for block in finished)
    return [block for block, frame in frames if hashing.missing(frame[frame.error.isna()]) is not None]


def hashing_of(store: Store) -> str:
    """How the hashes of all images were made: function and shift.

    Raises
    ------
    UsageError
        If there are images without hashes, or with hashes of several ways.
    """
    ways: set[str] = set()
    for block in range(store.blocks):
        frame = store.read_partition(block, ["error", "hash_key", "hash_function", "hash_shift"])
        frame = frame[frame.error.isna()]
        made = frame.drop_duplicates(["hash_function", "hash_shift"])
        ways |= {f"{row.hash_function} {row.hash_shift}" for row in made.itertuples()}
        if frame.hash_key.isna().any() or len(ways) > 1:
            raise UsageError(
                "not all images have hashes of one kind; call first_loop_iteration(compute_hash=True) first"
            )
    return "".join(ways)


def hash_blocks(
    store: Store, client: Client, blocks: list[int], hashing: HashSettings, most: int | None = None
) -> Iterator[int]:
    """Complete the hashes of finished blocks from their thumbnails; gives the number of blocks hashed each time.

    At most so many tasks run at once; by default as many as there are threads.

    Memory: a block of thumbnails for each thread.
    """
    run = store.files.begin_run()

    def submit(block: int) -> list[Future]:
        return [client.submit(hash_block, store.url, block, hashing, run, key=f"hash-{run}-{block}")]

    for future in run_in_waves(client, blocks, submit, in_flight=2 * capacity(client).threads, most=most):
        yield int(future.result())
