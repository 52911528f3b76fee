"""HTML for notebooks: a cluster, a pair, a project. Names of files are always escaped."""

import os
import uuid
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any, NamedTuple

from jinja2 import Environment, PackageLoader, select_autoescape

from ..config import PIXEL_LIMIT
from ..text import file_size, printable
from ..urls import clamped, common_folder, is_url
from .decode import open_file
from .decoder_pool import close_readers
from .preview import as_heat, data_url, read_picture

__all__ = [
    "GroupToShow",
    "ShownImage",
    "cluster_html",
    "facts_html",
    "gallery_html",
    "pair_html",
    "project_html",
    "read_shown",
]

# Images of a cluster that are shown, and pixels of one of them.
_IMAGES = 24
_SHEET = 200
# Groups on a page of a gallery, images of one that are shown, and pixels of one of them.
_PAGE, _OF_GROUP, _SMALL = 6, 6, 180


class ShownImage(NamedTuple):
    """An image on a page.

    Attributes
    ----------
    name
        Its path, in one line.
    about
        A line about it.
    url
        Its picture, see `preview.data_url`; empty if there is none.
    ratio
        Width of the file's picture divided by its height; that in `url` may have another shape.
    error
        Reason why there is no picture.
    keep
        True for the image to keep.
    """

    name: str
    about: str = ""
    url: str = ""
    ratio: float = 1.0
    error: str = ""
    keep: bool = False


class GroupToShow(NamedTuple):
    """Images that a gallery shows together.

    Attributes
    ----------
    paths
        Their paths.
    marks
        A mark of each, "keep" or "could be removed"; or none.
    notes
        A line about each, or none.
    title
        A line about all of them.
    more
        Images that are left out beside them.
    """

    paths: Sequence[str]
    marks: Sequence[str] = ()
    notes: Sequence[str] = ()
    title: str = ""
    more: int = 0


@cache
def _templates(name: str = "views.html.jinja") -> Any:
    environment = Environment(
        loader=PackageLoader("fastdiff_dask"),
        autoescape=select_autoescape(default=True, default_for_string=True),
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(name).module


def read_shown(path: str, longest: int = _SHEET, *, keep: bool = False) -> ShownImage:
    """Read a file of this machine to show it; a file that cannot be read is shown with the reason."""
    name = printable(path)
    if is_url(path):
        return ShownImage(name, error="not a file of this machine", keep=keep)
    try:
        with open_file(path) as file:
            state = os.fstat(file.fileno())
    except OSError as error:
        return ShownImage(name, error=error.strerror or "it cannot be read", keep=keep)
    except ValueError as error:
        return ShownImage(name, error=printable(str(error)), keep=keep)
    pixels, record = read_picture(
        os.fsencode(path),
        longest,
        longest,
        size=state.st_size,
        mtime_ns=clamped(state.st_mtime_ns),
        pixel_limit=PIXEL_LIMIT,
    )
    if pixels is None:
        return ShownImage(name, error=printable(record.error), keep=keep)
    about = f"{record.width} × {record.height} pixels, {file_size(state.st_size)}"
    return ShownImage(name, about, data_url(pixels), record.width / record.height, keep=keep)


def cluster_html(keep: str, low_quality: Sequence[str]) -> str:
    """Show a contact sheet of a cluster, the image to keep first; at most 24 files are read."""
    paths = [keep, *low_quality]
    try:
        shown = [read_shown(path, keep=number == 0) for number, path in enumerate(paths[:_IMAGES])]
    finally:
        close_readers()
    title = f"{len(paths)} similar images: 1 to keep, {len(low_quality)} could be removed"
    return str(_templates().cluster(shown, len(paths) - len(shown), title))


def pair_html(images: Sequence[ShownImage], difference: Any, title: str) -> str:
    """Show two images and the map (h, w) of their squared differences."""
    note = "the thumbnails are equal"
    if difference.any():
        note = (
            f"where the thumbnails differ: squared and summed over the channels, from 0 (black) to "
            f"{int(difference.max())} (white); the mean is the difference (MSE)"
        )
    return str(_templates().pair(images, data_url(as_heat(difference), exact=True), images[1].ratio, title, note))


def project_html(
    title: str,
    stages: Sequence[tuple[str, float, str]],
    facts: Sequence[tuple[str, str]],
    settings: Sequence[tuple[str, str]],
) -> str:
    """Show a project: stages (name, finished part from 0 to 1, text), facts, and settings (name, value)."""
    rows = [{"name": name, "done": f"{done:.4f}", "text": text} for name, done, text in stages]
    return str(_templates().project(title, rows, facts, settings))


def gallery_html(groups: Sequence[GroupToShow], lines: Sequence[str]) -> str:
    """Show groups of images, six on a page, with a pager that needs no kernel; of a group, at most six images are read.

    Parameters
    ----------
    groups
        The groups.
    lines
        Lines above them, the first one as a title.

    Returns
    -------
    HTML.
    """
    cut = [group._replace(paths=group.paths[:_OF_GROUP]) for group in groups]
    folder = common_folder(path for group in cut for path in group.paths)
    common = len(folder) + 1 if folder else 0
    try:
        with ThreadPoolExecutor(min(4, os.cpu_count() or 1)) as threads:
            names = [path for group in cut for path in group.paths]
            read = dict(zip(names, threads.map(lambda path: read_shown(path, _SMALL), names), strict=True))
    finally:
        close_readers()
    cards = []
    for whole, group in zip(groups, cut, strict=True):
        images = [
            {
                **read[path]._asdict(),
                "path": printable(path),
                "name": printable(path[common:]),
                "mark": group.marks[place] if group.marks else "",
                "note": group.notes[place] if group.notes else "",
            }
            for place, path in enumerate(group.paths)
        ]
        more = group.more + len(whole.paths) - len(group.paths)
        cards.append({"title": group.title, "images": images, "more": more})
    starts = range(0, len(cards), _PAGE)
    pages = [
        {"name": f"{start + 1}–{min(start + _PAGE, len(cards))}", "groups": cards[start : start + _PAGE]}
        for start in starts
    ]
    made = _templates("gallery.html.jinja").gallery(f"fd{uuid.uuid4().hex[:10]}", pages, lines, printable(folder))
    return str(made)


def facts_html(
    lines: Sequence[str],
    rows: Sequence[tuple[str, str]] = (),
    tables: Sequence[tuple[str, Sequence[str], Sequence[Sequence[str]]]] = (),
) -> str:
    """Show lines, the first one as a title; rows of a name and a value; and tables (title, heads, rows)."""
    return str(_templates("gallery.html.jinja").facts(lines, rows, tables))
