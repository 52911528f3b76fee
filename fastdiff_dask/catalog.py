"""Folders → the metadata of the images in the store. Lists names and sizes only; no picture is opened."""

import fnmatch
import os
import stat
from collections import Counter, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from .config import IndexSettings
from .errors import UsageError
from .grid import Generation
from .images import image_extensions, printable
from .store import UNREAD, Store

__all__ = ["IndexCounts", "Root", "full_path", "index_images", "resolve_roots"]

_KEY = ["side", "root", "path", "path_bytes"]


class Root(NamedTuple):
    """A folder to search.

    Attributes
    ----------
    side
        "a" or "b".
    given
        As the user wrote it; results name files below it.
    absolute
        With symbolic links resolved, as the store records it.
    """

    side: str
    given: str
    absolute: str


@dataclass(frozen=True)
class IndexCounts:
    """What an index run found, in files.

    Attributes
    ----------
    new, changed, unchanged
        Images listed: for the first time, again because size or time of modification changed, and as before.
    vanished
        Images of earlier runs that are not there any more.
    skipped
        Files that are no images by their extension, or that are ignored by name or path.
    """

    new: int
    changed: int
    unchanged: int
    vanished: int
    skipped: int


def resolve_roots(directories: dict[str, list[str]]) -> list[Root]:
    """Check the folders of both sides.

    Raises
    ------
    UsageError
        If one is missing, is no folder, cannot be read, or lies within one of the other side.
    """
    roots: list[Root] = []
    for side, given_paths in directories.items():
        for given in given_paths:
            absolute = _checked_folder(given)
            if printable(absolute) != absolute:
                raise UsageError(f"the name of folder {printable(absolute)!r} cannot be recorded; rename it")
            if (side, absolute) not in [(root.side, root.absolute) for root in roots]:
                roots.append(Root(side, str(Path(given).expanduser()), absolute))
    for a in roots:
        for b in roots:
            if a.side < b.side and (_within(a.absolute, b.absolute) or _within(b.absolute, a.absolute)):
                raise UsageError(
                    f"folder {a.given!r} and folder {b.given!r} of the other side are the same or one is inside the "
                    f"other, so that files would be compared with themselves; name separate folders"
                )
    return sorted(roots, key=lambda root: (root.side, root.absolute))


def _checked_folder(given: str) -> str:
    """Resolve a folder that exists and can be listed."""
    if not given:
        raise UsageError("the name of a folder is empty; use . for the current one")
    try:
        absolute = Path(given).expanduser().resolve(strict=True)
        with os.scandir(absolute):
            return str(absolute)
    except FileNotFoundError:
        raise UsageError(f"no folder {printable(given)!r}; check the path, or mount its disk") from None
    except NotADirectoryError:
        raise UsageError(f"{printable(given)!r} is not a folder; name the folder that it is in") from None
    except (OSError, ValueError, RuntimeError) as error:  # ValueError: a null byte; RuntimeError: no such user's home
        reason = getattr(error, "strerror", None) or error
        raise UsageError(f"folder {printable(given)!r} cannot be read ({reason}); check its permissions") from None


def _within(path: str, folder: str) -> bool:
    return Path(path).is_relative_to(folder)


class _Walk:
    """List the images below the roots, each real file once.

    Real folders come first. Symbolic links follow after all of them, and only to what was not reached on a real path:
    so a file is never listed as a duplicate of itself, and a loop of links ends.
    """

    def __init__(self, roots: list[Root], settings: IndexSettings, own: str) -> None:
        self._settings = settings
        self._extensions = {extension.lower() for extension in settings.extensions} or image_extensions()
        self._ignored_paths = {str(Path(path).expanduser().absolute()) for path in settings.ignore_paths}
        self._ignored_paths |= {str(Path(path).expanduser().resolve()) for path in settings.ignore_paths}
        self._own = own
        self._roots = roots
        self._seen: set[tuple[int, int]] = set()
        self._links: deque[tuple[Root, str]] = deque()
        self.skipped = 0

    def rows(self) -> Iterator[dict[str, Any]]:
        """Metadata of each image; what cannot be listed has size −1 and an error."""
        for root in self._roots:
            yield from self._folder(root, root.absolute)
        while self._links:
            yield from self._link(*self._links.popleft())

    def _folder(self, root: Root, top: str) -> Iterator[dict[str, Any]]:
        pending = [top]
        while pending:
            folder = pending.pop()
            try:
                status = os.stat(folder)  # noqa: PTH116 - here and below: names may be undecodable bytes, and 10⁶ of them
                if (status.st_dev, status.st_ino) in self._seen:
                    continue
                self._seen.add((status.st_dev, status.st_ino))
                with os.scandir(folder) as found:
                    entries = sorted(found, key=lambda entry: entry.name)
            except OSError as error:
                yield self._failed(root, folder, f"folder cannot be read: {error.strerror}")
                continue
            below = []
            for entry in entries:
                if self._ignored(entry.name, entry.path):
                    self.skipped += 1
                elif entry.is_symlink():
                    self._links.append((root, entry.path))
                elif entry.is_dir(follow_symlinks=False):
                    below.append(entry.path)
                elif self._is_image(entry.name):
                    yield from self._file(root, entry.path)
                else:
                    self.skipped += 1
            if self._settings.recursive:
                pending += reversed(below)

    def _link(self, root: Root, path: str) -> Iterator[dict[str, Any]]:
        try:
            status = os.stat(path)  # noqa: PTH116
        except OSError as error:
            if isinstance(error, FileNotFoundError) and not self._is_image(path):
                self.skipped += 1
                return
            yield self._failed(root, path, f"symbolic link cannot be followed: {error.strerror}")
            return
        target = os.path.realpath(path)
        if not stat.S_ISDIR(status.st_mode):
            if self._is_image(path) and (status.st_dev, status.st_ino) not in self._seen:
                yield from self._file(root, path)
            else:
                self.skipped += 1
        elif _within(os.path.realpath(os.path.dirname(path)), target):  # noqa: PTH120
            yield self._failed(root, path, "symbolic link loop: it leads to a folder that contains it")
        elif not self._settings.recursive or self._ignored("", target):
            self.skipped += 1
        else:
            yield from self._folder(root, path)

    def _file(self, root: Root, path: str) -> Iterator[dict[str, Any]]:
        try:
            status = os.stat(path)  # noqa: PTH116
        except OSError as error:
            yield self._failed(root, path, f"file cannot be listed: {error.strerror}")
            return
        if not stat.S_ISREG(status.st_mode):
            self.skipped += 1  # a pipe or a device: reading it may never end
            return
        self._seen.add((status.st_dev, status.st_ino))
        yield self._row(root, path, status.st_size, status.st_mtime_ns, None, status.st_dev, status.st_ino)

    def _ignored(self, name: str, path: str) -> bool:
        return (
            path == self._own
            or path in self._ignored_paths
            or any(fnmatch.fnmatchcase(name, pattern) for pattern in self._settings.ignore_names)
        )

    def _is_image(self, name: str) -> bool:
        return os.path.splitext(name)[1].lower() in self._extensions  # noqa: PTH122

    def _failed(self, root: Root, path: str, error: str) -> dict[str, Any]:
        return self._row(root, path, -1, 0, error)

    @staticmethod
    def _row(
        root: Root, path: str, size: int, mtime_ns: int, error: str | None, device: int = 0, inode: int = 0
    ) -> dict[str, Any]:
        below = path[len(root.absolute) :].lstrip(os.sep) or "."
        shown = below.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
        return {
            "side": root.side,
            "root": root.absolute,
            "path": shown,
            "path_bytes": b"" if shown == below else os.fsencode(below),
            "size": size,
            "mtime_ns": mtime_ns,
            "device": device,
            "inode": inode,
            "error": error,
        }


def _can_open(row: Any) -> bool:
    try:
        with open(full_path(row.root, row.path, row.path_bytes), "rb") as file:  # noqa: PTH123
            file.read(1)
    except OSError:
        return False
    return True


def full_path(root: str, path: str, path_bytes: bytes = b"") -> str:
    """Path of an image on disk, from its metadata.

    Examples
    --------
    >>> full_path("/photos", "2024/a.jpg")
    '/photos/2024/a.jpg'
    """
    return os.path.join(root, os.fsdecode(path_bytes) if path_bytes else path)  # noqa: PTH118


def index_images(
    store: Store, roots: list[Root], settings: IndexSettings, advance: Callable[[int], None] = lambda images: None
) -> IndexCounts:
    """List the images below the roots and bring the metadata in the store up to date.

    New and changed files become a new generation of blocks, committed as one; rows of vanished and changed files are
    marked as not current. Runs again from the start if it was killed, with the same outcome: it depends on what is
    committed and on what is on disk alone. A file that could not be read before and can be opened now is listed again.

    Memory grows with the number of images, about 1 kB each; one directory entry and one `stat` a file is read.

    Parameters
    ----------
    store
        The store, locked for writing.
    roots
        The folders.
    settings
        Which files are images.
    advance
        Called with the number of images listed since the last call.
    """
    walk = _Walk(roots, settings, os.path.realpath(store.files.root) if store.files.local else "")
    columns = [*_KEY, "size", "mtime_ns", "device", "inode", "error"]
    rows = []
    for row in walk.rows():
        rows.append(row)
        if len(rows) % 1000 == 0:
            advance(1000)
    advance(len(rows) % 1000)
    listed = pd.DataFrame(rows, columns=columns)
    known = store.read_images(["image", *_KEY, "size", "mtime_ns", "current", "retry", "error"])
    for frame in (listed, known):
        # what could not even be listed has no size and time, and is the same as long as its error is
        frame["failure"] = frame.error.where(frame["size"] < 0, "").astype(object)

    identity = [*_KEY, "size", "mtime_ns", "failure"]
    usable = known.drop_duplicates(identity, keep="last")
    again = [row.image for row in usable[usable.retry].itertuples() if _can_open(row)]
    usable = usable[~usable.image.isin(again)]
    matched = listed.merge(usable[[*identity, "image"]], on=identity, how="left", validate="one_to_one").image
    new = listed[matched.isna().to_numpy()].drop(columns="failure")

    _mark_current(store, known, set(matched.dropna().astype("int64")))
    size = store.thumbnail_settings.block_size
    bounds, images = [store.blocks], []
    for side in ("a", "b"):
        rows = new[new.side == side]
        images.append(len(rows))
        for first in range(0, len(rows), size):
            block = bounds[-1] + first // size
            store.write_partition(block, _partition(rows.iloc[first : first + size], block * size))
        bounds.append(bounds[-1] - (-len(rows) // size))
    if bounds[0] < bounds[2]:
        store.add_generation(Generation(range(bounds[0], bounds[1]), range(bounds[1], bounds[2]), *images))

    before = _keys(known[known.current])
    now, added = _keys(listed), _keys(new)
    changed = sum((added & before).values())
    return IndexCounts(
        new=len(new) - changed,
        changed=changed,
        unchanged=len(listed) - len(new),
        vanished=sum((before - now).values()),
        skipped=walk.skipped,
    )


def _keys(frame: pd.DataFrame) -> Counter[tuple[Any, ...]]:
    return Counter(frame[_KEY].itertuples(index=False, name=None))


def _mark_current(store: Store, known: pd.DataFrame, present: set[int]) -> None:
    """Rewrite the partitions in which an image vanished or came back."""
    current = known.image.isin(present)
    for block in sorted(set(known.image[current != known.current] // store.thumbnail_settings.block_size)):
        partition = store.read_partition(block)
        partition["current"] = partition.image.isin(present)
        store.write_partition(block, partition)


def _partition(rows: pd.DataFrame, first_image: int) -> pd.DataFrame:
    """Metadata of a block whose images were not read yet."""
    return rows.assign(image=range(first_image, first_image + len(rows)), current=True, **UNREAD)
