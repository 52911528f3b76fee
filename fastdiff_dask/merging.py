"""Capture date and place of a JPEG file → into another one that lacks them; its picture stays as it is, bit by bit."""

import io
from typing import Any

from .functions import need

__all__ = ["check_merging", "merged"]

# Tags of the EXIF standard (CIPA DC-008): the date with what belongs to it, the notes of the maker, the latitude.
_DATES = {"Exif": (36867, 36868, 37521, 37522, 36881, 36882)}
_DATE, _MAKER_NOTE, _LATITUDE = 36867, 37500, 2
_JPEG = b"\xff\xd8\xff"


def check_merging() -> None:
    """See that the package for it is there.

    Raises
    ------
    UsageError
        If it is missing.
    """
    need("piexif", "piexif", "metadata")


def _has_date(exif: dict[str, Any]) -> bool:
    text = exif["Exif"].get(_DATE, b"")
    return isinstance(text, bytes) and any(b"1" <= bytes([byte]) <= b"9" for byte in text)


def merged(kept: bytes, other: bytes) -> bytes | None:
    """The content of a file with capture date and GPS position of another one, where it has none.

    The date comes with its fractions of a second and time zone, the position with all that the GPS says. A file with
    notes of its maker is left alone: these refer to places in the file, which would change.

    Parameters
    ----------
    kept, other
        Contents of both.

    Returns
    -------
    The new content, None if there is nothing to add, or one of them is no JPEG file, or its EXIF data are damaged.
    """
    import piexif

    if not (kept.startswith(_JPEG) and other.startswith(_JPEG)):
        return None
    try:
        mine, theirs = piexif.load(kept), piexif.load(other)
        if _MAKER_NOTE in mine["Exif"]:
            return None
        date = _has_date(theirs) and not _has_date(mine)
        place = _LATITUDE in theirs["GPS"] and _LATITUDE not in mine["GPS"]
        if not (date or place):
            return None
        if date:
            for tag in _DATES["Exif"]:
                mine["Exif"].pop(tag, None)
                if tag in theirs["Exif"]:
                    mine["Exif"][tag] = theirs["Exif"][tag]
        if place:
            mine["GPS"] = theirs["GPS"]
        return _with_exif(kept, piexif.dump(mine))
    except Exception:  # whatever is broken in there: what cannot be understood is not changed
        return None


def _with_exif(content: bytes, exif: bytes) -> bytes:
    import piexif

    out = io.BytesIO()
    piexif.insert(exif, content, out)
    return out.getvalue()
