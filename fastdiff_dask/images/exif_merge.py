"""Capture date and place of one JPEG file are written into another that lacks them, and no other byte changes.

Pillow's own EXIF cannot do that (13.0): it leaves out the small picture, gives raw bytes another type, cancels
fractions and replaces letters that are not ASCII. So the data are read and written by piexif.
"""

import io
import struct
import warnings
from collections.abc import Iterator
from typing import Any

from PIL import Image

from ..extras import need

__all__ = ["NotMergedError", "check_merging", "merged"]

# Tags of the EXIF standard (CIPA DC-008): the capture date, with its fractions of a second and time zone; the same for
# the date of digitizing; the maker's notes; the latitude.
_DATE, _TAKEN, _DIGITIZED = 36867, (36867, 37521, 36881), (36868, 37522, 36882)
_MAKER_NOTE, _LATITUDE = 37500, 2
# Tags with places in the file: of directories that the library does not know, and of the small picture, which may move.
_SUB_IFDS, _SMALL = 330, (513, 514)
_IFDS = {"0th": 0, "Exif": 34665, "GPS": 34853, "Interop": 40965}
_START, _SCAN, _EXIF, _MPF = b"\xff\xd8", 0xDA, b"Exif\0\0", b"MPF\0"
_APP0, _APP1, _APP2 = 0xE0, 0xE1, 0xE2
_LONGEST_SEGMENT = 65_535 - 2


class NotMergedError(Exception):
    """A file cannot get the date or place that it lacks; the message is the rest of a sentence about the file."""


def check_merging() -> None:
    """Check that the package for merging is installed.

    Raises
    ------
    UsageError
        If it is missing.
    """
    need("piexif", "piexif", "metadata")


def merged(kept: bytes, other: bytes) -> bytes | None:
    """Add capture date and GPS position of another file to the content of a file that has none.

    - The date comes with its fractions of a second and time zone, the position with all that the GPS says.
    - Values that the file has itself, and all of its other bytes, stay as they are.
    - Some files cannot be changed so. The notes of a camera's maker and an index of several pictures refer to places in
      the file, and these would move. Damaged or unusual EXIF data would be lost.

    Parameters
    ----------
    kept, other
        Contents of both.

    Returns
    -------
    The new content; None if the other one has nothing that this one lacks.

    Raises
    ------
    NotMergedError
        If there is something to add and it cannot be.
    """
    theirs = _exif_to_give(other)
    if theirs is None:
        return None
    if not kept.startswith(_START):
        date, place = _known_in_other_format(kept)
        if (date or not _has_date(theirs)) and (place or not _has_place(theirs)):
            return None
        raise NotMergedError("is no JPEG file")
    try:
        segments = list(_segments(kept))
        start, stop = _exif_segment(kept, segments)
        exif = _merged_exif(kept, segments, kept[start + 4 : stop], theirs)
    except NotMergedError:
        raise
    except Exception as error:  # of any kind, from damaged data: data that are not understood are not changed
        raise NotMergedError(f"has EXIF data that are not understood ({type(error).__name__})") from None
    if exif is None:
        return None
    if len(exif) > _LONGEST_SEGMENT:
        raise NotMergedError("has no room for more EXIF data")
    return kept[:start] + struct.pack(">BBH", 0xFF, _APP1, len(exif) + 2) + exif + kept[stop:]


def _has_date(exif: dict[str, Any]) -> bool:
    text = exif["Exif"].get(_DATE, b"")
    return isinstance(text, bytes) and any(digit in text for digit in b"123456789")


def _has_place(exif: dict[str, Any]) -> bool:
    return _LATITUDE in exif["GPS"]


def _exif_to_give(other: bytes) -> dict[str, Any] | None:
    """EXIF data of the other file; None if they have neither date nor position."""
    import piexif

    try:
        theirs: dict[str, Any] = piexif.load(other) if other.startswith(_START) else {"Exif": {}, "GPS": {}}
    except Exception:  # of any kind, from damaged data: there is nothing to give
        return None
    return theirs if _has_date(theirs) or _has_place(theirs) else None


def _known_in_other_format(content: bytes) -> tuple[bool, bool]:
    """Look for a date and a position in a file that is no JPEG; in a damaged one there is neither."""
    try:
        with Image.open(io.BytesIO(content)) as image:
            exif = image.getexif()
            text = str(exif.get_ifd(_IFDS["Exif"]).get(_DATE, ""))
            return any(digit in text for digit in "123456789"), _LATITUDE in exif.get_ifd(_IFDS["GPS"])
    except Exception:  # of any kind, from damaged data
        return False, False


def _exif_segment(content: bytes, segments: list[tuple[int, int, int]]) -> tuple[int, int]:
    """Begin and end of the EXIF segment; if there is none, both are the place for a new one."""
    own = [(start, stop) for marker, start, stop in segments if (marker, content[start + 4 :][:6]) == (_APP1, _EXIF)]
    if len(own) > 1:
        raise NotMergedError("has EXIF data twice")
    if own:
        return own[0]
    # after JFIF, which has to be first
    place = next((start for marker, start, _ in segments if marker != _APP0), len(content))
    return place, place


def _merged_exif(
    content: bytes, segments: list[tuple[int, int, int]], before: bytes, theirs: dict[str, Any]
) -> bytes | None:
    """Make the new content of the EXIF segment of a file; None if the other one has nothing that it lacks.

    Parameters
    ----------
    content, segments
        The file, and its segments.
    before
        What its EXIF segment holds; empty if it has none.
    theirs
        EXIF data of the other file.

    Returns
    -------
    The content, or None.
    """
    import piexif

    mine = piexif.load(before) if before else {"0th": {}, "Exif": {}, "GPS": {}, "1st": {}, "thumbnail": None}
    date = _has_date(theirs) and not _has_date(mine)
    place = _has_place(theirs) and not _has_place(mine)
    if not (date or place):
        return None
    if _MAKER_NOTE in mine["Exif"]:
        raise NotMergedError("has notes of its camera's maker, which would not survive it")
    if any(_SUB_IFDS in mine[name] for name in ("0th", "1st")):
        raise NotMergedError("has EXIF data that would not survive it")
    if any((marker, content[start + 4 :][:4]) == (_APP2, _MPF) for marker, start, _ in segments):
        raise NotMergedError("holds several pictures, whose index would be wrong after it")
    exif: bytes = piexif.dump(_added(mine, theirs, date, place))
    _check_kept(before, mine, exif)
    return exif


def _segments(content: bytes) -> Iterator[tuple[int, int, int]]:
    """Marker, begin and end of each segment of a JPEG file before its picture (ITU-T T.81, annex B)."""
    place = 2
    while True:
        if content[place] != 0xFF:
            raise ValueError("no marker")
        while content[place + 1] == 0xFF:  # these may be filled up
            place += 1
        start = place
        marker = content[place + 1]
        (length,) = struct.unpack_from(">H", content, place + 2)
        place += 2 + length
        yield marker, start, place
        if marker == _SCAN:
            return


def _added(mine: dict[str, Any], theirs: dict[str, Any], date: bool, place: bool) -> dict[str, Any]:
    new = {name: dict(values) if isinstance(values, dict) else values for name, values in mine.items()}
    if date:
        # fractions and time zone of an empty date are meaningless
        known = {tag: value for tag, value in new["Exif"].items() if tag not in _TAKEN}
        wanted = _TAKEN if known.keys() & set(_DIGITIZED) else _TAKEN + _DIGITIZED
        new["Exif"] = {tag: theirs["Exif"][tag] for tag in wanted if tag in theirs["Exif"]} | known
    if place:
        new["GPS"] = theirs["GPS"] | new["GPS"]
    return new


def _check_kept(before: bytes, mine: dict[str, Any], after: bytes) -> None:
    """Check that the new data have all of the old ones, since the library leaves out tags that it does not know."""
    import piexif

    found, may_change = piexif.load(after), (*_TAKEN, *_SMALL, *_IFDS.values())
    for name, values in mine.items():
        if isinstance(values, dict):
            same = all(found[name].get(tag) == value for tag, value in values.items() if tag not in may_change)
        else:
            same = values == found[name]
        if not same:
            raise NotMergedError("has EXIF data that would not survive it")
    if before:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about values that it does not understand
            exif = Image.Exif()
            exif.load(before)
            there = {name: set(exif.get_ifd(number)) if number else set(exif) for name, number in _IFDS.items()}
        if any(tags - set(mine.get(name, {})) - set(_IFDS.values()) for name, tags in there.items()):
            raise NotMergedError("has EXIF data that would not survive it")
