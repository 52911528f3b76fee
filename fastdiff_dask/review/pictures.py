"""Pictures for the page, made by decoder processes when they are asked for, and kept in memory up to a bound."""

import io
import os
import threading
from collections import OrderedDict
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ..errors import FastDiffError, UsageError
from ..images.decode import open_file
from ..images.preview import fitted, read_listed
from ..storage.store import Store
from ..urls import clamped, is_url
from .group_index import GroupIndex

__all__ = ["CACHE_BYTES", "Picture", "Pictures"]

# Bytes of encoded pictures that are kept, and of one of them at most.
CACHE_BYTES, _LARGEST_KEPT = 128 << 20, 8 << 20
_THUMB, _QUALITY = 256, 82
# Pixels of the longer side of a picture that no browser shows by itself, and bytes of a file that is sent as it is.
_LONGEST, _LARGEST_FILE = 6000, 64 << 20
# What browsers show by themselves, by Pillow's name: first bytes, and type.
_PLAIN = {
    "JPEG": (b"\xff\xd8\xff", "image/jpeg"),
    "MPO": (b"\xff\xd8\xff", "image/jpeg"),
    "PNG": (b"\x89PNG\r\n\x1a\n", "image/png"),
    "GIF": (b"GIF8", "image/gif"),
    "WEBP": (b"RIFF", "image/webp"),
}


class Picture(NamedTuple):
    """A picture in a form that browsers show: its bytes and its type."""

    content: bytes
    type: str


class Pictures:
    """The pictures of a store; for several threads.

    Memory: 128 MB of encoded pictures, the least recently used of which go first, and for each call that runs a decoded
    picture (100 MB at most for `original`) beside the decoder process.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: OrderedDict[tuple[str, int, str], Picture] = OrderedDict()
        self._bytes = 0

    @property
    def kept_bytes(self) -> int:
        """Bytes of the pictures that are kept now."""
        return self._bytes

    def thumb(self, store: Store, index: GroupIndex, place: int) -> Picture:
        """Give a picture of 256 pixels at most as WebP; from the thumbnail in the store if the file is not as it was.

        Raises
        ------
        FastDiffError
            If there is neither.
        """
        key = "thumb", int(index.numbers[place]), str(index.contents[place])
        kept = self._find(key)
        if kept is None:
            pixels, _ = read_listed(_name(index, place), _row(index, place), _THUMB)
            if pixels is None:
                # not kept: the file may be back soon
                return Picture(_encoded(_stored(store, index, place), "WEBP", quality=_QUALITY), "image/webp")
            kept = self._keep(key, Picture(_encoded(pixels, "WEBP", quality=_QUALITY), "image/webp"))
        return kept

    def original(self, index: GroupIndex, place: int) -> Picture:
        """Give a picture with its own pixels: the file as it is if browsers show such files, else as PNG.

        Of the latter the longer side has 6,000 pixels at most.

        Raises
        ------
        UsageError
            If the file cannot be read, or is not as it was compared.
        """
        plain = _plain_file(index, place)
        if plain is not None:
            return plain
        pixels, error = read_listed(_name(index, place), _row(index, place), _LONGEST)
        if pixels is None:
            raise UsageError(f"this picture cannot be read any more: {error}")
        return Picture(_encoded(pixels, "PNG", compress_level=1), "image/png")

    def _find(self, key: tuple[str, int, str]) -> Picture | None:
        with self._lock:
            kept = self._kept.get(key)
            if kept is not None:
                self._kept.move_to_end(key)
            return kept

    def _keep(self, key: tuple[str, int, str], picture: Picture) -> Picture:
        if len(picture.content) > _LARGEST_KEPT:
            return picture
        with self._lock:
            if key not in self._kept:
                self._kept[key] = picture
                self._bytes += len(picture.content)
            while self._bytes > CACHE_BYTES:
                _, oldest = self._kept.popitem(last=False)
                self._bytes -= len(oldest.content)
        return picture


def _name(index: GroupIndex, place: int) -> bytes:
    path = index.paths.path(place)
    return path.encode() if is_url(path) else os.fsencode(path)


class _Row(SimpleNamespace):
    """The metadata of an image as `preview.read_listed` needs them."""

    def __getitem__(self, name: str) -> Any:
        return getattr(self, name)


def _row(index: GroupIndex, place: int) -> _Row:
    columns = {"width": index.widths, "height": index.heights, "size": index.sizes, "mtime_ns": index.mtimes}
    return _Row(**{name: int(column[place]) for name, column in columns.items()})


def _encoded(pixels: NDArray[np.uint8], form: str, **options: Any) -> bytes:
    content = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(content, form, **options)
    return content.getvalue()


def _stored(store: Store, index: GroupIndex, place: int) -> NDArray[np.uint8]:
    """Give the thumbnail that was compared, in the shape of its picture."""
    (thumbnail,) = store.arrays.thumbnail_rows(index.numbers[place : place + 1])
    width, height = int(index.widths[place]), int(index.heights[place])
    if not width or not height:
        raise FastDiffError("there is no picture of it")
    size = fitted(width, height, _THUMB)
    return np.asarray(Image.fromarray(thumbnail).resize(size, Image.Resampling.BILINEAR))


def _plain_file(index: GroupIndex, place: int) -> Picture | None:
    """Give a file as it is; None if browsers do not show such files, or it is not as it was compared."""
    start, kind = _PLAIN.get(str(index.formats[place]), (b"", ""))
    path = index.paths.path(place)
    if not kind or is_url(path) or index.sizes[place] > _LARGEST_FILE:
        return None
    try:
        with open_file(path) as file:
            status = os.fstat(file.fileno())
            if (status.st_size, clamped(status.st_mtime_ns)) != (index.sizes[place], index.mtimes[place]):
                return None
            content = file.readall()
    except (OSError, ValueError):
        return None
    # a store may come from someone else: nothing but pictures is sent
    return Picture(content, kind) if content.startswith(start) else None
