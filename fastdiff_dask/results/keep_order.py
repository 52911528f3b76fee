"""The order in which similar images are kept, without any rule of the user."""

import contextlib
import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import pandas as pd

from ..images.provenance import LOSSLESS
from ..text import printable

__all__ = ["best_first", "date_of", "keep_order", "real_pixels", "reason", "with_origins"]

# Reasons why the image goes that comes later, by the entries of the key.
_REASONS = (
    "the other one is in A, the reference",
    "no date or camera",
    "made from another image",
    "fewer pixels",
    "enlarged: no more detail than the smaller one",
    "without notes of a camera or an editor, as a copy",
    "compressed with loss",
    "smaller file",
    "newer file",
    "name of a copy",
    "equal, and later by name",
    "equal, and later by name",
)
_MADE, _PIXELS, _ENLARGED, _SIGNS = 2, 3, 4, 5
_WAS_JPEG = "a lossless copy of a JPEG"
# "x copy", "Kopie von x", "x (1)", "x-edited", "x_1", as file managers and editors name what they write.
_COPY = re.compile(
    r"(?<![a-z])(copy|copi[ea]|cópia|kopi[ea]?|edit(ed)?|bearbeitet|resized)(?![a-z])|\(\d+\)|[ _]\d$", re.I
)
_MINUTE_NS = 60 * 10**9


@dataclass(frozen=True, order=True)
class _Made:
    """An image was made from another one or not; in words, which do not count for the order."""

    is_made: bool
    words: str = field(compare=False)


def with_origins(images: pd.DataFrame, sources: dict[int, int]) -> pd.DataFrame:
    """Describe images that were made from others.

    Parameters
    ----------
    images
        Rows with the path as index and the columns `KEEP_COLUMNS`.
    sources
        Row → row of the image that it was made from.

    Returns
    -------
    The same images with the column made, such as "enlarged from a.jpg", or None.
    """
    made: list[str | None] = [None] * len(images)
    rows = list(images.itertuples()) if sources else []
    for row, source in sources.items():
        made[row] = f"{_how(rows[row], rows[source])} {printable(str(rows[source].Index))}"
    return images.assign(made=pd.Series(made, images.index, dtype=object))


def _how(image: Any, source: Any) -> str:
    if image.width * image.height > source.width * source.height:
        return "enlarged from"
    return "a lossless copy of" if image.format in LOSSLESS else "recompressed from"


def keep_order(image: Any, path: str, pixels: int) -> tuple[Any, ...]:
    """Sort key that puts the image to keep first, an entry for each reason.

    1. side a, which is the reference,
    2. a camera or a date of capture,
    3. not made from another one, as far as a second look knows, see `images.made_from`,
    4. more pixels; an enlarged image counts with the pixels of the smaller one, and comes after it,
    5. more signs of an original; a lossless copy of a JPEG comes last,
    6. a format without loss, then the larger file,
    7. the older file, by minutes,
    8. a name that is not that of a copy, then the path.

    Parameters
    ----------
    image
        A row with the columns `KEEP_COLUMNS` and the column made of `with_origins`.
    path
        Its path.
    pixels
        Its pixels as `real_pixels` gives them.

    Returns
    -------
    The key.
    """
    return (
        image.side,
        not _is_dated(image),
        _Made(image.made is not None, image.made or ""),
        -pixels,
        pixels < image.width * image.height,
        -image.signs,
        image.format not in LOSSLESS,
        -image.size,
        image.mtime_ns // _MINUTE_NS if image.mtime_ns > 0 else float("inf"),
        _has_name_of_copy(path),
        path,
    )


def reason(key: Sequence[Any], place: int) -> str:
    """Give the reason why an image goes, by its key and the entry of it that decided."""
    if place == _MADE:
        return str(key[_MADE].words)
    if place == _SIGNS and key[_SIGNS] > 0:
        return _WAS_JPEG
    return _REASONS[_ENLARGED if place == _PIXELS and key[_ENLARGED] else place]


def best_first(images: Iterable[Any]) -> list[Any]:
    """Sort the images of a cluster by `keep_order`: rows with the path as ``Index`` and the columns `KEEP_COLUMNS`."""
    rows = list(images)
    keys = [keep_order(row, row.Index, pixels) for row, pixels in zip(rows, real_pixels(rows), strict=True)]
    return [rows[place] for place in sorted(range(len(rows)), key=keys.__getitem__)]


def real_pixels(images: Sequence[Any]) -> list[int]:
    """Count the pixels of similar images; of an enlarged one, those of the image that it was made of.

    An image counts as enlarged if another one of the same format has fewer pixels, but a larger file and more signs of
    an original. Without such signs it keeps its pixels: the other one could be a reduced copy that is hardly
    compressed.
    """
    pixels = [int(image.width) * int(image.height) for image in images]
    fewest: dict[tuple[str, int], int] = {}
    # the largest file first: what was seen before has a larger file, as far as sizes differ
    for place in sorted(range(len(images)), key=lambda place: -images[place].size):
        image, own = images[place], pixels[place]
        pixels[place] = min(
            [own, *(n for (kind, signs), n in fewest.items() if kind == image.format and signs > image.signs)]
        )
        key = image.format, int(image.signs)
        fewest[key] = min(fewest.get(key, own), own)
    return pixels


def date_of(captured: Any, mtime_ns: int) -> datetime | None:
    """Date that an image is shown with, in local time: of its capture, or else of its last modification."""
    with contextlib.suppress(ValueError, OverflowError):
        if isinstance(captured, str) and captured:
            return datetime.fromisoformat(captured).replace(tzinfo=None)
    with contextlib.suppress(ValueError, OverflowError, OSError):
        if mtime_ns > 0:
            return datetime.fromtimestamp(mtime_ns // 10**9)
    return None


def _is_dated(image: Any) -> bool:
    return any(isinstance(value, str) and value for value in (image.camera, image.captured))


def _has_name_of_copy(path: str) -> bool:
    stem = os.path.splitext(os.path.basename(path))[0]  # noqa: PTH119, PTH122 - names may be undecodable
    return _COPY.search(stem) is not None
