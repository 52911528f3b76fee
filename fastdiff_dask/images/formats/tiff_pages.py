"""Directories of TIFF files: pages, previews, masks, and the raw data of cameras."""

import struct
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

__all__ = ["Page", "is_raw", "main_page", "read_pages"]

_MOST = 10_000
# Tags (TIFF 6.0, TIFF/EP, DNG 1.7).
_KIND, _OLD_KIND, _WIDTH, _HEIGHT, _COMPRESSION, _COLOURS, _BELOW, _DNG = 254, 255, 256, 257, 259, 262, 330, 50706
_WANTED = {_KIND, _OLD_KIND, _WIDTH, _HEIGHT, _COMPRESSION, _COLOURS, _BELOW, _DNG}
_SIZES = {1: 1, 3: 2, 4: 4, 13: 4, 16: 8, 18: 8}
_FORMS = {1: "B", 3: "H", 4: "I", 13: "I", 16: "Q", 18: "Q"}
# Colours of a filter array and linear raw; compressions of Sony, Nikon, Samsung and Pentax.
_RAW_COLOURS, _RAW_COMPRESSIONS = {32803, 34892}, {32767, 34713, 32770, 65535}
# The first bytes of raw files: Canon, Olympus, Panasonic, Fujifilm, Sigma, Minolta.
_RAW_STARTS = (b"IIRO", b"IIRS", b"MMOR", b"IIU\0", b"FUJIFILMCCD-RAW", b"FOVb", b"\0MRM", b"II\x1a\0\0\0HEAPCCDR")


class Page(NamedTuple):
    """A directory of a TIFF file.

    Attributes
    ----------
    number
        Its number among the pages of the file; −1 of a directory below one.
    offset
        Its place in the file.
    width, height
        Pixels.
    reduced
        True for a smaller form of another page, or a mask.
    raw
        True for the data of a camera's sensor.
    """

    number: int
    offset: int
    width: int
    height: int
    reduced: bool
    raw: bool


def read_pages(source: BinaryIO) -> list[Page]:
    """Read all directories of a TIFF file, each one followed by those below it; none of another file."""
    source.seek(0)
    start = source.read(16)
    order = {b"II": "<", b"MM": ">"}.get(start[:2], "")
    if not order or len(start) < 8 or struct.unpack_from(f"{order}H", start, 2)[0] not in (42, 43):
        return []
    big = struct.unpack_from(f"{order}H", start, 2)[0] == 43
    try:
        (offset,) = struct.unpack_from(f"{order}Q", start, 8) if big else struct.unpack_from(f"{order}I", start, 4)
        return list(_pages(source, offset, order, big))
    except (struct.error, OverflowError, OSError, ValueError):  # cut short: the decoder tells what is wrong
        return []


def _pages(source: BinaryIO, offset: int, order: str, big: bool) -> Iterator[Page]:
    seen: set[int] = set()
    number = 0
    while offset and offset not in seen and len(seen) < _MOST:
        seen.add(offset)
        tags, following = _directory(source, offset, order, big)
        yield _page(tags, number, offset)
        for below in tags.get(_BELOW, ()):
            if below not in seen and len(seen) < _MOST:
                seen.add(below)
                yield _page(_directory(source, below, order, big)[0], -1, below)
        number, offset = number + 1, following


def _directory(source: BinaryIO, offset: int, order: str, big: bool) -> tuple[dict[int, tuple[int, ...]], int]:
    """Read the tags of a directory that are of interest, and the place of the next one."""
    head, step, room = ("Q", 20, 8) if big else ("H", 12, 4)
    source.seek(offset)
    (count,) = struct.unpack(f"{order}{head}", source.read(struct.calcsize(head)))
    content = source.read(min(count, 1 << 16) * step)
    (following,) = struct.unpack(f"{order}{'Q' if big else 'I'}", source.read(room))
    tags: dict[int, tuple[int, ...]] = {}
    for place in range(0, len(content), step):
        tag, kind, values = struct.unpack_from(f"{order}HH{'Q' if big else 'I'}", content, place)
        if tag in _WANTED and kind in _SIZES and 0 < values <= 64:
            size = values * _SIZES[kind]
            data = content[place + step - room : place + step]
            if size > room:
                source.seek(struct.unpack(f"{order}{'Q' if big else 'I'}", data)[0])
                data = source.read(size)
            tags[tag] = struct.unpack_from(f"{order}{values}{_FORMS[kind]}", data)
    return tags, following


def _page(tags: dict[int, tuple[int, ...]], number: int, offset: int) -> Page:
    def value(tag: int) -> int:
        return tags.get(tag, (0,))[0]

    reduced = bool(value(_KIND) & 5) or value(_OLD_KIND) == 2
    raw = _DNG in tags or value(_COLOURS) in _RAW_COLOURS or value(_COMPRESSION) in _RAW_COMPRESSIONS
    return Page(number, offset, value(_WIDTH), value(_HEIGHT), reduced, raw)


def main_page(pages: list[Page]) -> Page:
    """Choose the main picture: the first page that is no preview and no mask, or a larger form of it.

    A larger form has the same shape and at least twice the size; it may be a later page or be below one.
    """
    whole = [page for page in pages if not page.reduced] or pages
    first = whole[0]
    larger = [
        page
        for page in whole
        if page.width >= 2 * first.width and abs(page.width * first.height - page.height * first.width) * 50
        <= page.width * first.height
    ]  # fmt: skip
    return max(larger, key=lambda page: page.width, default=first)


def is_raw(source: BinaryIO, pages: list[Page]) -> bool:
    """Tell if a file has the raw data of a camera, by its content."""
    source.seek(0)
    start = source.read(32)
    canon = start[8:10] == b"CR" and start[:2] in (b"II", b"MM")
    return canon or start.startswith(_RAW_STARTS) or start[4:12] == b"ftypcrx " or any(page.raw for page in pages)
