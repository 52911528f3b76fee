"""Make the vectors of the images of a block, and commit them."""

import os
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..config import ReadSettings
from ..errors import FastDiffError
from ..images.decoder_pool import reader
from ..images.decoder_process import ListedFile, Request
from ..runtime.activity import recorded
from ..runtime.faults import retried
from ..storage.arrays import RowKind
from ..storage.derived.vectors import Vectors, finite_rows
from ..storage.schema import FILE_NAME
from ..storage.store import Store
from ..text import one_line
from ..urls import full_path
from ..vectors.encoders import Encoder, encode_file, encode_images
from .read_block import see_folders

__all__ = ["Encoded", "EncodedPart", "commit_encoded", "encode_block", "encode_part", "try_out"]

_COLUMNS = [*FILE_NAME, "size", "mtime_ns", "inode", "current", "error", "content_hash"]
# Pictures that a decoder answers for together, and images by which a function is tried out.
_ANSWERED, _TRIED = 32, 2


class Encoded(NamedTuple):
    """Outcome of a block.

    Attributes
    ----------
    images
        Images that could have a vector: the present ones that could be read.
    there
        Those that have one.
    kind
        Kind of the vectors; None if there is none yet.
    failure
        Why a file or vector failed, the first one; empty if none did.
    """

    images: int
    there: int
    kind: RowKind | None
    failure: str = ""


class EncodedPart(NamedTuple):
    """Vectors of some images of a block, which are not committed yet.

    Attributes
    ----------
    values
        (rows, d); (rows, 0) if there is none, and the kind is not known.
    there
        (rows,) images that have a vector.
    images
        Images that could have one.
    kind, failure
        As for `Encoded`.
    """

    values: NDArray[Any]
    there: NDArray[np.bool_]
    images: int
    kind: RowKind | None
    failure: str


@retried
def encode_part(
    url: str, encoder: Encoder, block: int, rows: range | None, kind: RowKind | None, limits: ReadSettings, run: str
) -> EncodedPart:
    """Make the vectors of some images of a block.

    A picture that cannot be read any more, or is another one now, has no vector, and so has one whose vector is not
    finite.

    Memory: thumbnails of these images, or two batches of pictures; the vectors, twice.

    Parameters
    ----------
    url
        The store, whose thumbnails are finished.
    encoder
        The function.
    block, rows
        Number of the block, and places of the images in it; None for all.
    kind
        Kind of the vectors of other blocks; None if there are none yet.
    limits
        Limits of reading a file.
    run
        What `activity.stage` gave.

    Returns
    -------
    The vectors.

    Raises
    ------
    FastDiffError
        If the function fails, or gives vectors of another kind than before.
    """
    store = Store(url, run)
    frame = store.read_partition(block, _COLUMNS)
    rows = range(len(frame)) if rows is None else rows
    with recorded(store.files, run, "encode", block=block, start=rows.start, stop=rows.stop) as amounts:
        wanted = np.flatnonzero(frame.current & frame.error.isna())
        wanted = wanted[(wanted >= rows.start) & (wanted < rows.stop)]
        values, there, failure = np.zeros((len(rows), 0)), np.zeros(len(rows), bool), ""
        for places, found, failed in _batches(store, block, frame, wanted, encoder, limits):
            failure = failure or failed
            if len(places):
                kind = _same_kind(encoder, kind, RowKind(found.shape[1:], found.dtype.name))
                if not values.shape[1]:
                    values = np.zeros((len(rows), *kind.shape), kind.dtype)
                values[places - rows.start], there[places - rows.start] = found, finite_rows(found)
                if not there[places - rows.start].all():
                    failure = failure or "a vector is not finite"
        amounts.images, amounts.errors = len(wanted), int(len(wanted) - there.sum())
    if kind is not None and not values.shape[1]:
        values = np.zeros((len(rows), *kind.shape), kind.dtype)
    return EncodedPart(values, there, len(wanted), kind, failure)


@retried
def commit_encoded(url: str, name: str, block: int, parts: list[EncodedPart], run: str = "") -> Encoded:
    """Commit a block whose parts were encoded; nothing is stored of one without any vector, of no known kind."""
    kind = next((part.kind for part in parts if part.kind is not None), None)
    there = np.concatenate([part.there for part in parts])
    if kind is not None:
        Vectors(Store(url, run), name).write(block, np.concatenate([part.values for part in parts]), there)
    failure = next((part.failure for part in parts if part.failure), "")
    return Encoded(sum(part.images for part in parts), int(there.sum()), kind, failure)


def encode_block(
    url: str, name: str, encoder: Encoder, block: int, kind: RowKind | None, limits: ReadSettings, run: str = ""
) -> Encoded:
    """Make the vectors of the images of a block, and commit them; see `encode_part`."""
    return commit_encoded(url, name, block, [encode_part(url, encoder, block, None, kind, limits, run)], run)


@retried
def try_out(url: str, encoder: Encoder, block: int, limits: ReadSettings, run: str = "") -> RowKind | None:
    """Tell of what kind the vectors are, from the first images of a block; None if it cannot be told from these.

    Parameters
    ----------
    url, encoder, block, limits, run
        As for `encode_part`.

    Returns
    -------
    The kind.

    Raises
    ------
    FastDiffError
        If the function fails.
    """
    store = Store(url, run)
    frame = store.read_partition(block, _COLUMNS)
    wanted = np.flatnonzero(frame.current & frame.error.isna())[:_TRIED]
    for places, rows, _ in _batches(store, block, frame, wanted, encoder, limits):
        if len(places):
            return RowKind(rows.shape[1:], rows.dtype.name)
    return None


# Places in the block, their vectors, and why others of the same batch failed.
_Batch = tuple[NDArray[np.int64], NDArray[Any], str]


def _batches(
    store: Store, block: int, frame: Any, wanted: NDArray[np.int64], encoder: Encoder, limits: ReadSettings
) -> Iterator[_Batch]:
    if not len(wanted):
        return
    if encoder.size is None and not encoder.per_file:
        thumbnails = store.arrays.thumbnail_rows(wanted + block * store.thumbnail_settings.block_size)
        for start in range(0, len(wanted), encoder.batch_size):
            some = slice(start, start + encoder.batch_size)
            yield wanted[some], encode_images(encoder, thumbnails[some]), ""
        return
    rows = frame.assign(place=range(len(frame))).iloc[wanted]
    see_folders(rows, store.files.run)
    # files that were written one after the other lie so on most disks
    rows = rows.sort_values("inode", kind="stable")
    yield from _of_files(rows, encoder) if encoder.per_file else _of_pictures(rows, encoder, limits)
    see_folders(rows, store.files.run)  # of a disk that went away meanwhile


def _path(row: Any) -> str:
    return full_path(row.root, row.path, row.path_bytes)


def _of_files(rows: Any, encoder: Encoder) -> Iterator[_Batch]:
    for row in rows.itertuples():
        try:
            yield np.array([row.place]), encode_file(encoder, _path(row))[None], ""
        except FastDiffError:
            raise
        except (Exception, SystemExit) as error:  # what a function raises for a file that it cannot read
            reason = f"encode function {encoder.shown} failed at {_path(row)} ({one_line(error, kind=True)})"
            yield np.zeros(0, np.int64), np.zeros((0, 0)), one_line(reason)


def _of_pictures(rows: Any, encoder: Encoder, limits: ReadSettings) -> Iterator[_Batch]:
    """Decode the pictures, and encode them batch by batch."""
    assert encoder.size is not None
    height, width = encoder.size
    files = [ListedFile(os.fsencode(_path(row)), row.size, row.mtime_ns) for row in rows.itertuples()]
    at_once = min(_ANSWERED, encoder.batch_size)
    request = Request(files, width, height, False, limits.pixel_limit, limits.time_limit, at_once=at_once)
    waiting = list(zip(rows.place.tolist(), rows.content_hash.tolist(), strict=True))
    places: list[int] = []
    pixels: list[memoryview] = []
    failure = ""

    def batch() -> _Batch:
        images = np.frombuffer(b"".join(pixels), np.uint8).reshape(len(pixels), height, width, 3)
        return np.array(places, np.int64), encode_images(encoder, images), failure

    with reader() as decoder:
        for answer in decoder.read(request):
            known, waiting = waiting[: len(answer.records)], waiting[len(answer.records) :]
            content, start = memoryview(answer.thumbnails), 0
            for (place, content_hash), record in zip(known, answer.records, strict=True):
                if record.error or record.content_hash != content_hash:
                    failure = failure or record.error or "the file is another one than was indexed"
                if record.error:
                    continue
                if record.content_hash == content_hash:
                    places.append(place)
                    pixels.append(content[start : start + 3 * height * width])
                start += 3 * height * width
                if len(pixels) == encoder.batch_size:
                    yield batch()
                    places, pixels, failure = [], [], ""
    if pixels:
        yield batch()
    elif failure:
        yield np.zeros(0, np.int64), np.zeros((0, 0)), failure


def _same_kind(encoder: Encoder, kind: RowKind | None, found: RowKind) -> RowKind:
    """Refuse vectors that cannot be rows of one array with the others."""
    if kind is None:
        return found
    if (found.shape, found.dtype) != (kind.shape, kind.dtype):
        raise FastDiffError(
            f"encode function {encoder.shown} gave {found.shape[0]:,} values for some images and {kind.shape[0]:,} for "
            f"others; it must give the same number for all"
        )
    return kind
