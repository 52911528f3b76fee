"""The stage "index": folders → the metadata of their images in the store.

The stage lists names and sizes, and reads no picture.
"""

import contextlib
import math
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import pandas as pd

from ..config import PIXEL_LIMIT, TIME_LIMIT, IndexSettings
from ..images.films import split_frame
from ..kernels.grid import Generation
from ..storage.schema import FILE_NAME, UNREAD
from ..storage.store import Store
from ..urls import full_path, is_url
from .listing.roots import Root
from .listing.walk_local import RESOLUTION, Link, ListedImage, Walk
from .listing.walk_remote import RemoteWalk, can_read
from .same_content import STATUS, replaced_images

__all__ = [
    "IndexCounts",
    "index_images",
    "leave_out_by_resolution",
    "list_images",
    "record_listing",
    "unread_rows",
    "writing_alone",
]

# Columns of the metadata: the name of an image, all columns that the index compares, and further columns for images of
# other stores.
_KEY = ["side", *FILE_NAME]
_KNOWN = ["image", *_KEY, "size", "mtime_ns", *STATUS, "current", "retry", "time_limit", "pixel_limit", "error"]
_SIDES = ["width", "height"]
_COPIED = ["source", "content_hash"]


@dataclass(frozen=True)
class IndexCounts:
    """Numbers of files that an index run found; each file is either listed, or ignored by one rule.

    Attributes
    ----------
    new, changed, unchanged
        Images listed for the first time, images with another size, time of modification or content, and images as
        before.
    vanished
        Images of earlier runs that are gone.
    ignored
        Name of a rule → number of files that the rule ignores, sorted by name. Files below an ignored folder count one
        by one. A link that is not followed, an ignored folder that cannot be read, and the store itself count as one
        each. Sub-folders that are not searched count nothing.
    unused
        Ignored paths at which nothing was found.
    """

    new: int
    changed: int
    unchanged: int
    vanished: int
    ignored: dict[str, int]
    unused: tuple[str, ...] = ()

    @property
    def skipped(self) -> int:
        """Number of all ignored files."""
        return sum(self.ignored.values())


def list_images(roots: list[Root], settings: IndexSettings, own: str | None = None) -> list[ListedImage]:
    """List the images below the roots as `index_images` does, and write nothing.

    Parameters
    ----------
    roots, settings
        The folders, and the rules that tell which files are images.
    own
        Folder of the store, whose files are left out.

    Returns
    -------
    The images, in the order of the walk.
    """
    return _walk(roots, settings, own, lambda images: None).rows


class _Listing(NamedTuple):
    """Attributes of the two walks together."""

    rows: list[ListedImage]
    ignored: Counter[str]
    links: list[Link]
    unused: tuple[str, ...]


def _walk(roots: list[Root], settings: IndexSettings, own: str | None, advance: Callable[[int], None]) -> _Listing:
    local = [root for root in roots if not is_url(root.absolute)]
    walk = Walk(local, settings, None if own is None else os.path.realpath(own), advance)
    walk.run()
    remote = RemoteWalk([root for root in roots if is_url(root.absolute)], settings, advance)
    remote.run()
    unused = tuple(sorted(walk.unused & remote.unused))
    return _Listing(walk.rows + remote.rows, walk.ignored + remote.ignored, walk.links, unused)


def _readable(rows: Iterable[Any]) -> list[int]:
    """Give the numbers of the images that can be opened now."""
    paths = {row.image: full_path(row.root, row.path, row.path_bytes) for row in rows}
    urls = {image: path for image, path in paths.items() if is_url(path)}
    remote = [image for image, readable in zip(urls, can_read(list(urls.values())), strict=True) if readable]
    return [image for image, path in paths.items() if image not in urls and _can_open(path)] + remote


def _can_open(path: str) -> bool:
    path = path if os.path.lexists(path) else split_frame(path)[0]
    if not os.path.isfile(path):  # noqa: PTH113 - opening a named pipe would block
        return False
    try:
        with open(path, "rb") as file:  # noqa: PTH123
            file.read(1)
    except OSError:
        return False
    return True


def index_images(
    store: Store,
    roots: list[Root],
    settings: IndexSettings,
    advance: Callable[[int], None] = lambda images: None,
    *,
    time_limit: float = TIME_LIMIT,
    pixel_limit: int = PIXEL_LIMIT,
) -> IndexCounts:
    """List the images below the roots and bring the metadata in the store up to date.

    - New and changed files become a new generation of blocks, committed as one.
    - Rows of vanished and changed files are marked as not current.
    - A file of the same size and time, but with another inode or time of change, is hashed: with the same content it is
      as before, see `same_content`.
    - A file that could not be read is listed again if it can be opened now, or if the limit it exceeded is higher now.
    - A file with several names (hard links, symbolic links) is listed under one name: a real name before links, then
      the first name of the walk. The store records the other names beside the numbers of ignored files.

    An index run that was killed starts again, with the same outcome: the outcome depends only on the files and on
    committed rows. Memory: about 1 kB an image. One directory entry and one `stat` an image are read.

    Parameters
    ----------
    store
        The store, locked for writing.
    roots
        The folders.
    settings
        Rules that tell which files are images.
    advance
        Function called with the number of images listed since the last call.
    time_limit, pixel_limit
        Limits of reading a file in this run, see `ReadSettings`.

    Returns
    -------
    Numbers of files, listed and ignored.
    """
    own = store.files.root if store.files.local else None
    found = _walk(roots, settings, own, advance)
    rows = found.rows
    if settings.frames_every:
        from .listing.film_frames import list_frames  # and the pool of decoders

        known = store.read_images([*FILE_NAME, "size", "mtime_ns"])
        known = known[known.path.str.contains("#t=", regex=False)]
        rows = list_frames(rows, known.itertuples(), settings.frames_every, advance, time_limit)
    listed = pd.DataFrame(rows, columns=ListedImage._fields)
    limits: Any = {"time_limit": time_limit, "pixel_limit": pixel_limit, "settings": settings}
    with writing_alone(store, advance):
        counts = record_listing(store, listed, found.ignored, found.links, advance, **limits)
    return replace(counts, unused=found.unused)


@contextlib.contextmanager
def writing_alone(store: Store, advance: Callable[[int], None]) -> Iterator[None]:
    """Begin a run with a single writer: tasks left behind by a dead client cannot change the store any more.

    This process may be stopped at any line, and go on when another process holds the store. The next call of `advance`
    raises then, and so does each write.

    Parameters
    ----------
    store
        The store, locked for writing.
    advance
        Function called with 0; it raises if this process does not hold the store any more.
    """
    advance(0)
    run = store.files.begin_run()
    advance(0)
    with store.files.of_run(run):
        yield


def record_listing(
    store: Store,
    listed: pd.DataFrame,
    left_out: Mapping[str, int],
    links: Iterable[Link],
    advance: Callable[[int], None],
    *,
    copied: bool = False,
    settings: IndexSettings | None = None,
    time_limit: float = TIME_LIMIT,
    pixel_limit: int = PIXEL_LIMIT,
) -> IndexCounts:
    """Bring the metadata in the store up to date with a listing, see `index_images`.

    This function must be called inside `writing_alone`.

    Parameters
    ----------
    store
        The store, locked for writing.
    listed
        A row for each image, with columns as `ListedImage`; for images of other stores also "source" and
        "content_hash".
    left_out, links
        Numbers of ignored files by rule, and other names of listed files.
    advance
        Function called with 0 from time to time; it raises if this process does not hold the store any more.
    copied
        True if the images are those of other stores, see `transfer`: their files are never opened.
    settings
        The rules for images; those of the resolution count for images that were read before.
    time_limit, pixel_limit
        Limits of reading a file in this run.

    Returns
    -------
    Numbers of images, listed and ignored.
    """
    known = store.read_images([*_KNOWN, *_SIDES, *(_COPIED if copied else [])])
    identity = [*_KEY, "size", "mtime_ns", "failure", *(_COPIED if copied else [])]
    for frame in (listed, known):
        _add_failure(frame, copied)
    usable = known.drop_duplicates(identity, keep="last")
    if not copied:
        usable = usable[~_to_read_again(usable, time_limit, pixel_limit)]
    present = listed.reset_index(names="row").merge(
        usable[[*identity, "image", *STATUS]], on=identity, validate="one_to_one", suffixes=("", "_before")
    )
    if not copied:
        present = present[~present.image.isin(replaced_images(store, present, advance))]
    outside = known.image[_is_outside(known, settings)]
    left_out = dict(left_out)
    is_left_out = present.image.isin(outside)
    if is_left_out.any():
        listed = listed.drop(index=present.row[is_left_out])
        present = present[~is_left_out]
        left_out[RESOLUTION] = int(is_left_out.sum())
    new = listed.drop(index=present.row).drop(columns="failure")

    _mark_current(store, known, set(present.image))
    _add_generation(store, new)
    ignored = dict(sorted(left_out.items()))
    store.records.write_index({"ignored": ignored, "links": [list(link) for link in sorted(links)]})

    current = known[known.current & ~known.image.isin(outside)]
    changed = sum((_keys(new) & _keys(current[current.path.isin(new.path)])).values())
    # what was there and is there counts on neither side
    stayed = present[present.image.isin(current.image)]
    gone = _keys(current[~current.image.isin(stayed.image)])
    return IndexCounts(
        new=len(new) - changed,
        changed=changed,
        unchanged=len(listed) - len(new),
        vanished=sum((gone - _keys(listed.drop(index=stayed.row))).values()) if gone else 0,
        ignored=ignored,
    )


def _is_outside(images: pd.DataFrame, settings: IndexSettings | None) -> pd.Series:
    """Tell of each image that was read whether it has other pixels than are asked for."""
    if settings is None or not settings.by_resolution:
        return pd.Series(False, images.index)
    sides = zip(images.width, images.height, strict=True)
    return pd.Series([w > 0 and not settings.has_resolution(int(w), int(h)) for w, h in sides], images.index, bool)


def leave_out_by_resolution(store: Store, settings: IndexSettings) -> int:
    """Leave out images that were read since they were listed, and have other pixels than are asked for; count them."""
    if not settings.by_resolution:
        return 0
    images = store.read_images(["image", "current", *_SIDES])
    images = images[images.current]
    outside = images[_is_outside(images, settings)].image
    for block in sorted(set(outside // store.thumbnail_settings.block_size)):
        partition = store.read_partition(block)
        partition["current"] &= ~partition.image.isin(outside)
        store.write_partition(block, partition)
    if len(outside):
        index = store.records.read_index()
        number = index["ignored"].get(RESOLUTION, 0) + len(outside)
        store.records.write_index({**index, "ignored": dict(sorted({**index["ignored"], RESOLUTION: number}.items()))})
    return len(outside)


def _add_failure(frame: pd.DataFrame, copied: bool) -> None:
    """Add the column "failure": it replaces size and time of an image whose file could not be listed.

    Such an image counts as unchanged as long as its error is the same.
    """
    if copied:  # null for a file that could not be read
        frame["content_hash"] = frame.content_hash.fillna("").astype(object)
    frame["failure"] = frame.error.fillna("").where(copied | (frame["size"] < 0), "").astype(object)


def _to_read_again(known: pd.DataFrame, time_limit: float, pixel_limit: int) -> pd.Series:
    """Find the images to list as new: images that can be opened now, and images beyond a limit that is higher now."""
    again = known.image.isin(_readable(known[known.retry].itertuples()))
    again |= (known.time_limit > 0) & (known.time_limit < (time_limit or math.inf))
    return again | (known.pixel_limit > 0) & (known.pixel_limit < pixel_limit)


def _add_generation(store: Store, new: pd.DataFrame) -> None:
    """Write the metadata of new images, side a first, and commit its blocks as one generation."""
    size = store.thumbnail_settings.block_size
    bounds, images = [store.blocks], []
    for side in ("a", "b"):
        rows = new[new.side == side]
        images.append(len(rows))
        for first in range(0, len(rows), size):
            block = bounds[-1] + first // size
            store.write_partition(block, unread_rows(rows.iloc[first : first + size], block * size))
        bounds.append(bounds[-1] - (-len(rows) // size))
    if bounds[0] < bounds[2]:
        store.add_generation(Generation(range(bounds[0], bounds[1]), range(bounds[1], bounds[2]), *images))


def _keys(frame: pd.DataFrame) -> Counter[tuple[Any, ...]]:
    return Counter(frame[_KEY].itertuples(index=False, name=None))


def _mark_current(store: Store, known: pd.DataFrame, present: set[int]) -> None:
    """Rewrite the partitions in which an image vanished or came back."""
    current = known.image.isin(present)
    for block in sorted(set(known.image[current != known.current] // store.thumbnail_settings.block_size)):
        partition = store.read_partition(block)
        partition["current"] = partition.image.isin(present)
        store.write_partition(block, partition)


def unread_rows(rows: pd.DataFrame, first_image: int) -> pd.DataFrame:
    """Give the metadata of a block whose images are not read yet."""
    unread = {name: value for name, value in UNREAD.items() if name not in rows}
    return rows.assign(image=range(first_image, first_image + len(rows)), current=True, **unread)
