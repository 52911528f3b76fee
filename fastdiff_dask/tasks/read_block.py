"""Read a block of pictures, and commit its thumbnails and metadata."""

import os
import socket
from collections.abc import Sequence
from functools import cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..config import ReadSettings, ThumbnailSettings
from ..errors import FastDiffError
from ..images.decode import ImageRecord, changed_record
from ..images.decoder_pool import reader
from ..images.decoder_process import ListedFile, Request
from ..kernels.hashes import DIGEST_BYTES, HashSettings, thumbnail_digests
from ..kernels.signatures import signature_length, signatures
from ..runtime.activity import recorded
from ..runtime.blas import SINGLE_THREADED_BLAS
from ..runtime.faults import retried
from ..storage.schema import FILE_NAME, HASHES, UNREAD
from ..storage.store import Store
from ..text import printable
from ..urls import describe, file_system, full_path, is_url

__all__ = ["read_block", "read_part", "see_folders", "set_hashes", "write_block"]

# Pictures that the decoder answers for together: while they are hashed and transformed, it reads the next ones.
_ANSWERED = 32
# What reading needs to know of an image.
_LISTED = (*FILE_NAME, "size", "mtime_ns", "inode", "current", "error")


class ReadPart(NamedTuple):
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


@retried
def _block(url: str, block: int, run: str, columns: Sequence[str] | None = None) -> tuple[Store, Any]:
    """Open the store, and read the metadata of a block."""
    store = Store(url, run)
    return store, store.read_partition(block, columns)


def read_part(
    url: str, block: int, start: int, stop: int, limits: ReadSettings, hashing: HashSettings | None, run: str = ""
) -> ReadPart:
    """Read the files of some rows of a block; `hashing` None computes no hashes.

    A process beside this one decodes the pictures, see `decoder_pool`; this one hashes the former thumbnails meanwhile.
    `run` is the name of the run that `activity.stage` gave.
    """
    store, frame = _block(url, block, run, _LISTED)
    return _read_part(store, block, frame, start, stop, limits, hashing)


def write_block(url: str, block: int, parts: list[ReadPart], run: str = "") -> int:
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
) -> ReadPart:
    with recorded(store.files, store.files.run, "thumbnails", block=block, start=start, stop=stop) as amounts:
        rows = frame.iloc[start:stop]
        folders = see_folders(rows, store.files.run)
        part = _decode(store.thumbnail_settings, rows, limits, hashing)
        _check_folders(folders)  # of a disk that went away meanwhile
        amounts.images = len(part.records)
        amounts.errors = sum(bool(record.error) for record in part.records)
    return part


def see_folders(rows: Any, run: str) -> list[str]:
    """See that the folders of the present images of some rows are there for this process, and give them."""
    folders: list[str] = rows.root[rows.current].unique().tolist()
    _check_folders(folders)
    for folder in folders:
        if is_url(folder):
            _check_reachable(folder, run)
    return folders


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
    if os.path.isfile(folder):  # noqa: PTH113 - a file that was named
        return True
    try:
        with os.scandir(folder) as entries:  # the first one alone is read: a folder may have millions
            return next(entries, None) is not None
    except (FileNotFoundError, NotADirectoryError):
        return False


def _request(settings: ThumbnailSettings, rows: Any, limits: ReadSettings) -> Request:
    files = [
        ListedFile(os.fsencode(full_path(row.root, row.path, row.path_bytes)), row.size, row.mtime_ns)
        for row in rows.itertuples()
    ]
    return Request(
        files,
        settings.width,
        settings.height,
        settings.exact_decode,
        limits.pixel_limit,
        limits.time_limit,
        at_once=_ANSWERED,
    )


def _decode(settings: ThumbnailSettings, rows: Any, limits: ReadSettings, hashing: HashSettings | None) -> ReadPart:
    """Decode some images of a block by the process beside this one, and derive what the store has of each."""
    # files that the index could not even list, and files that are gone, are not read
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
    waiting = wanted.place.tolist()
    with reader() as decoder:
        for answer in decoder.read(_request(settings, wanted, limits)):
            places, waiting = waiting[: len(answer.records)], waiting[len(answer.records) :]
            for place, record in zip(places, answer.records, strict=True):
                records[place] = record
            places = [place for place in places if not records[place].error]
            if places:
                finish(places, np.frombuffer(answer.thumbnails, np.uint8).reshape(len(places), *settings.shape))
    order = np.argsort(hashed).tolist()
    hashes = {name: [values[k] for k in order] for name, values in hashes.items()}
    return ReadPart(records, hashes, thumbnails, signature, digests)


@retried
def _write_block(store: Store, frame: Any, block: int, parts: list[ReadPart]) -> int:
    """Commit a block, whose metadata was `frame`: first that, then its arrays."""
    records = [record for part in parts for record in part.records]
    columns = dict(zip(ImageRecord._fields, map(list, zip(*records, strict=True)), strict=True))
    for field in ("error", "warnings", "content_hash", "camera", "captured", "extras"):
        columns[field] = [value or None for value in columns[field]]
    frame = frame.assign(**columns, **{name: UNREAD[name] for name in HASHES})
    errors = int(frame.error.notna().sum())
    names = next((list(part.hashes) for part in parts if part.hashes), [])  # a part may have no readable image
    hashes = {name: [value for part in parts if part.hashes for value in part.hashes[name]] for name in names}
    set_hashes(frame, hashes)
    store.write_partition(block, frame)

    def whole(values: list[NDArray[Any]]) -> NDArray[Any]:
        return values[0] if len(values) == 1 else np.concatenate(values)

    store.arrays.write_images(
        block,
        whole([part.thumbnails for part in parts]),
        whole([part.signatures for part in parts]),
        whole([part.digests for part in parts]),
    )
    return errors


def set_hashes(frame: Any, hashes: dict[str, list[Any]]) -> None:
    """Set columns of the images that could be read; of the others there are no hashes."""
    readable = frame.error.isna().to_numpy()
    for name, values in hashes.items():
        column = np.full(len(frame), UNREAD[name], object)
        column[readable] = values
        frame[name] = column
