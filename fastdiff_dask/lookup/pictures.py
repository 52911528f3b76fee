"""Pictures that are looked up: files, or arrays in memory, read as the images of a store are."""

import io
import os
from collections.abc import Iterator, Sequence
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ..config import ReadSettings, ThumbnailSettings
from ..errors import UsageError
from ..images.decode import ImageRecord, unopened_record
from ..images.decoder_pool import ImageReader
from ..images.decoder_process import ListedFile, Request
from ..text import printable
from ..urls import clamped, describe, file_system, is_url, modified_ns

__all__ = ["Picture", "array_content", "read_pictures"]

# Files that the decoder opens ahead of the one that it reads.
_AHEAD = 8


class Picture(NamedTuple):
    """A picture that was read.

    Attributes
    ----------
    name
        Its path, or a name for an array.
    thumbnail
        (h, w, 3) uint8, made as those of the store; None if it could not be read.
    error
        Why not, in one line; else empty.
    row
        What a second look needs to know of the file, see `looking.LOOK_COLUMNS`.
    """

    name: str
    thumbnail: NDArray[np.uint8] | None
    error: str
    row: Any


def array_content(name: str, pixels: Any) -> bytes:
    """Encode a picture in memory as a PNG file, so that it is read as a file is.

    Parameters
    ----------
    name
        Its name in messages.
    pixels
        (h, w), (h, w, 3) or (h, w, 4) uint8.

    Returns
    -------
    The content of the file.

    Raises
    ------
    UsageError
        If it is no such array.
    """
    array = np.asarray(pixels)
    pictured = array.ndim == 2 or (array.ndim == 3 and array.shape[2] in (3, 4))
    if array.dtype != np.uint8 or not pictured or not array.size:
        raise UsageError(
            f"{name} is an array {array.shape} of {array.dtype}, which is no picture; use (h, w, 3) uint8, or a path"
        )
    file = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(array)).save(file, format="PNG", compress_level=1)
    return file.getvalue()


def read_pictures(
    decoder: ImageReader, names: Sequence[str], thumbnails: ThumbnailSettings, limits: ReadSettings
) -> Iterator[Picture]:
    """Read some files in a decoder process; a file that cannot be read gives a picture with an error.

    Parameters
    ----------
    decoder
        The decoder.
    names
        Paths, or URLs.
    thumbnails
        Settings of the store.
    limits
        Limits of reading a file.

    Yields
    ------
    Picture
        One for each, in their order.
    """
    listed = [_listed(name) for name in names]
    files = [one for one in listed if isinstance(one, ListedFile)]
    request = Request(
        files,
        thumbnails.width,
        thumbnails.height,
        thumbnails.exact_decode,
        limits.pixel_limit,
        limits.time_limit,
        _AHEAD,
    )
    answers = decoder.read(request) if files else iter(())
    for name, file in zip(names, listed, strict=True):
        if isinstance(file, ImageRecord):
            yield Picture(name, None, file.error, None)
            continue
        answer = next(answers)
        yield _picture(name, file, answer.records[0], answer.thumbnails, thumbnails.shape)


def _listed(name: str) -> ListedFile | ImageRecord:
    """Find size and time of a file, or the reason why it cannot be read."""
    if is_url(name):
        try:
            fs, path = file_system(name)
            info = fs.info(path)
        except Exception as error:  # backends raise errors of any kind
            return unopened_record(describe(error))
        return ListedFile(os.fsencode(name), int(info["size"]), modified_ns(info))
    try:
        state = os.stat(name)  # noqa: PTH116 - names of any bytes
    except (OSError, ValueError) as error:
        return unopened_record(error if isinstance(error, OSError) else str(error))
    if os.path.isdir(name):  # noqa: PTH112
        return unopened_record("it is a folder; name a file")
    return ListedFile(os.fsencode(os.path.abspath(name)), state.st_size, clamped(state.st_mtime_ns))  # noqa: PTH100


def _picture(name: str, file: ListedFile, record: ImageRecord, content: bytes, shape: tuple[int, int, int]) -> Picture:
    if record.error:
        return Picture(name, None, printable(record.error), None)
    folder, own = os.path.split(os.fsdecode(file.path))
    row = SimpleNamespace(
        root=folder,
        path=own,
        path_bytes=os.fsencode(own),
        size=file.size,
        mtime_ns=file.mtime_ns,
        **{
            name: getattr(record, name)
            for name in ("width", "height", "format", "content_hash", "camera", "captured", "extras")
        },
    )
    return Picture(name, np.frombuffer(content, np.uint8).reshape(shape), "", row)
