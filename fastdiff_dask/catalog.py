"""Folders → the metadata of the images in the store. Lists names and sizes only; no picture is opened."""

import fnmatch
import math
import os
import re
import stat
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from .config import PIXEL_LIMIT, TIME_LIMIT, IndexSettings
from .errors import UsageError
from .grid import Generation
from .images import image_extensions, printable
from .store import UNREAD, Store

__all__ = [
    "IndexCounts",
    "Link",
    "ListedImage",
    "Root",
    "describe_ignored",
    "full_path",
    "index_images",
    "list_images",
    "resolve_roots",
    "unread_rows",
]

_KEY = ["side", "root", "path", "path_bytes"]

# The rules by which a file is no image of the collection.
_NO_IMAGE, _NO_FILE = "no image by its extension", "no regular file"
_NAME, _PATH, _STORE = "ignored name", "ignored path", "the store itself"
_SAME_FILE, _LINK = "another name of a listed file", "symbolic link to a listed file"
_FOLDER_LINK = "another name of a searched folder"


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


class Link(NamedTuple):
    """Another name of a listed file: a hard link, or a symbolic link to it.

    Attributes
    ----------
    side, root, path
        The other name; undecodable bytes of `path` as surrogates (PEP 383).
    same_side, same_root, same_path
        The name under which the file is listed.
    """

    side: str
    root: str
    path: str
    same_side: str
    same_root: str
    same_path: str


@dataclass(frozen=True)
class IndexCounts:
    """What an index run found, in files: each is listed, or ignored by one rule.

    Attributes
    ----------
    new, changed, unchanged
        Images listed: for the first time, again because size or time of modification changed, and as before.
    vanished
        Images of earlier runs that are not there any more.
    ignored
        By the name of the rule, the files that are no images of the collection; rules are sorted. Files below an
        ignored folder count one by one; a link that is not followed, an ignored folder that cannot be read, and the
        store itself count as one. What is below sub-folders is not counted at all if they are not searched.
    """

    new: int
    changed: int
    unchanged: int
    vanished: int
    ignored: dict[str, int]

    @property
    def skipped(self) -> int:
        """Number of all ignored files."""
        return sum(self.ignored.values())


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
            if os.fsdecode(os.fsencode(absolute)).encode("utf-8", "replace") != os.fsencode(absolute):
                raise UsageError(f"the name of folder {printable(absolute)!r} is not UTF-8; rename it")
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


def describe_ignored(ignored: dict[str, int]) -> str:
    """Numbers of ignored files in words.

    Examples
    --------
    >>> describe_ignored({"ignored name": 1, "no image by its extension": 2})
    '3 ignored (1 ignored name, 2 no image by its extension)'
    >>> describe_ignored({})
    '0 ignored'
    """
    rules = ", ".join(f"{number} {rule}" for rule, number in sorted(ignored.items()))
    return f"{sum(ignored.values())} ignored" + (f" ({rules})" if rules else "")


class ListedImage(NamedTuple):
    """Metadata of a listed file; size −1 and an error for what cannot be listed."""

    side: str
    root: str
    path: str
    path_bytes: bytes
    size: int
    mtime_ns: int
    device: int
    inode: int
    error: str | None


class _Walk:
    """List the images below the roots, each real file once, and count the others by the rule that ignores them.

    Real folders come first. Symbolic links follow after all of them, and only to what was not reached on a real path:
    so a file is never listed as a duplicate of itself, and a loop of links ends. Ignored folders are counted last, as
    another root or a link may lead to what is below them.

    Attributes
    ----------
    rows, ignored, links
        What was found so far: metadata, numbers of files by rule, other names of listed files.
    """

    def __init__(
        self, roots: list[Root], settings: IndexSettings, own: str | None, advance: Callable[[int], None]
    ) -> None:
        self.rows: list[ListedImage] = []
        self.ignored: Counter[str] = Counter()
        self.links: list[Link] = []
        self._advance = advance
        self._recursive = settings.recursive
        self._extensions = {extension.lower() for extension in settings.extensions} or image_extensions()
        self._names = re.compile("|".join(fnmatch.translate(pattern) for pattern in settings.ignore_names) or r"(?!)")
        paths = [Path(path).expanduser() for path in settings.ignore_paths]
        self._paths = {str(form): _PATH for path in paths for form in (path.absolute(), path.resolve())}
        if own is not None:
            self._paths[own] = _STORE
        # links may lead to a folder under another path
        self._closed = {identity: rule for path, rule in self._paths.items() if (identity := _identity(path))}
        self._roots = roots
        self._folders: set[tuple[int, int]] = set()
        self._files: dict[tuple[str, int, int], int] = {}
        self._symbolic: deque[tuple[Root, str]] = deque()
        self._left_out: list[tuple[str, str]] = []

    def run(self) -> None:
        """Walk through all roots."""
        for root in self._roots:
            self._folder(root, root.absolute)
        while self._symbolic:
            self._link(*self._symbolic.popleft())
        for folder, rule in self._left_out:
            self._count_below(folder, rule)
        self._advance(len(self.rows) % 1000)

    def _folder(self, root: Root, top: str) -> None:
        pending = [top]
        while pending:
            folder = pending.pop()
            try:
                status = os.stat(folder)  # noqa: PTH116 - here and below: names may be undecodable bytes, and 10⁶ of them
                identity = status.st_dev, status.st_ino
                if identity in self._closed:
                    self._left_out.append((folder, self._closed[identity]))
                    continue
                if identity in self._folders:
                    if folder != root.absolute:  # mounted here as well
                        self.ignored[_FOLDER_LINK] += 1
                    continue
                self._folders.add(identity)
                with os.scandir(folder) as found:
                    entries = sorted(found, key=lambda entry: entry.name)
            except OSError as error:
                self._fail(root, folder, f"folder cannot be read: {error.strerror}")
                continue
            below: list[str] = []
            for entry in entries:
                try:
                    self._entry(root, entry, below)
                except OSError as error:
                    self._fail(root, entry.path, f"file cannot be listed: {error.strerror}")
            pending += reversed(below)

    def _entry(self, root: Root, entry: os.DirEntry[str], below: list[str]) -> None:
        """List or count an entry of a folder; a folder to search is added to those below."""
        rule = self._paths.get(entry.path) or (_NAME if self._names.match(entry.name) else None)
        if entry.is_dir(follow_symlinks=False):
            if self._recursive and rule:
                self._left_out.append((entry.path, rule))
            elif self._recursive:
                below.append(entry.path)
        elif rule:
            self.ignored[rule] += 1
        elif entry.is_symlink():
            self._symbolic.append((root, entry.path))
        elif not self._is_image(entry.name):
            self.ignored[_NO_IMAGE] += 1
        else:
            status = entry.stat(follow_symlinks=False)
            # Windows tells it only when the file is asked for by itself
            self._file(root, entry.path, status if status.st_ino else os.stat(entry.path), _SAME_FILE)  # noqa: PTH116

    def _link(self, root: Root, path: str) -> None:
        try:
            status = os.stat(path)  # noqa: PTH116
        except OSError as error:
            if isinstance(error, FileNotFoundError) and not self._is_image(path):
                self.ignored[_NO_IMAGE] += 1
            else:
                self._fail(root, path, f"symbolic link cannot be followed: {error.strerror}")
            return
        target = os.path.realpath(path)
        if not stat.S_ISDIR(status.st_mode):
            if rule := self._closed.get((status.st_dev, status.st_ino)):
                self.ignored[rule] += 1
            elif self._is_image(path):
                self._file(root, path, status, _LINK)
            else:
                self.ignored[_NO_IMAGE] += 1
        elif not self._recursive:
            return  # as any sub-folder
        elif _within(os.path.realpath(os.path.dirname(path)), target):  # noqa: PTH120
            self._fail(root, path, "symbolic link loop: it leads to a folder that contains it")
        elif rule := self._closed.get((status.st_dev, status.st_ino)):
            self.ignored[rule] += 1
        elif (status.st_dev, status.st_ino) in self._folders:
            self.ignored[_FOLDER_LINK] += 1
        else:
            self._folder(root, path)

    def _file(self, root: Root, path: str, status: os.stat_result, rule: str) -> None:
        """List a file, or count it by a rule if it is listed already under another name.

        Hard links on both sides are listed on both: none of them is a copy of another, and each side is to be compared
        with all of the other. Of symbolic links that would be a trap: who deletes what they lead to loses it.
        """
        if not stat.S_ISREG(status.st_mode):
            self.ignored[_NO_FILE] += 1  # a pipe or a device: reading it may never end
            return
        row = self._row(root, path, status.st_size, status.st_mtime_ns, None, status.st_dev, status.st_ino)
        for side in sorted("ab", key=lambda side: side != row.side) if row.inode else ():
            listed = self._files.get((side, row.device, row.inode))
            # the same number with another size or time: a file system that gives them out anew, or a file being written
            if listed is not None and _version(self.rows[listed]) == _version(row):
                self.links.append(Link(*_name(row), *_name(self.rows[listed])))
                if side == row.side or rule == _LINK:
                    self.ignored[rule] += 1
                    return
        self._files[row.side, row.device, row.inode] = len(self.rows)
        self._add(row)

    def _count_below(self, top: str, rule: str) -> None:
        """Count the files below an ignored folder, as far as they were not reached in another way."""
        pending = [top]
        while pending:
            folder = pending.pop()
            try:
                identity = _identity(folder)
                if identity in self._folders:
                    continue
                if identity:
                    self._folders.add(identity)
                if identity and self._closed.get(identity) == _STORE:
                    self.ignored[_STORE] += 1  # its files are no one's pictures, and their number changes as we work
                    continue
                with os.scandir(folder) as entries:
                    for entry in entries:
                        if entry.is_dir(follow_symlinks=False):
                            pending.append(entry.path)
                        else:
                            self.ignored[rule] += 1
            except OSError:
                self.ignored[rule] += 1

    def _is_image(self, name: str) -> bool:
        return os.path.splitext(name)[1].lower() in self._extensions  # noqa: PTH122

    def _fail(self, root: Root, path: str, error: str) -> None:
        self._add(self._row(root, path, -1, 0, error))

    def _add(self, row: ListedImage) -> None:
        self.rows.append(row)
        if len(self.rows) % 1000 == 0:
            self._advance(1000)

    @staticmethod
    def _row(
        root: Root, path: str, size: int, mtime_ns: int, error: str | None, device: int = 0, inode: int = 0
    ) -> ListedImage:
        below = path[len(root.absolute) :].lstrip(os.sep) or "."
        shown = below.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
        raw = b"" if shown == below else os.fsencode(below)
        return ListedImage(root.side, root.absolute, shown, raw, size, mtime_ns, device, inode, error)


def _version(row: ListedImage) -> tuple[int, int]:
    return row.size, row.mtime_ns


def _name(row: ListedImage) -> tuple[str, str, str]:
    return row.side, row.root, os.fsdecode(row.path_bytes) if row.path_bytes else row.path


def _identity(path: str) -> tuple[int, int] | None:
    """Device and inode of what a path leads to; None if there is nothing, or it cannot be told."""
    try:
        status = os.stat(path)  # noqa: PTH116
    except OSError:
        return None
    return status.st_dev, status.st_ino


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


def list_images(roots: list[Root], settings: IndexSettings, own: str | None = None) -> list[ListedImage]:
    """List the images below the roots as `index_images` does, and write nothing.

    Parameters
    ----------
    roots, settings
        The folders, and which files are images.
    own
        Folder of the store, which is no one's picture.
    """
    walk = _Walk(roots, settings, None if own is None else os.path.realpath(own), lambda images: None)
    walk.run()
    return walk.rows


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

    New and changed files become a new generation of blocks, committed as one; rows of vanished and changed files are
    marked as not current. Runs again from the start if it was killed, with the same outcome: it depends on what is
    committed and on what is on disk alone. A file that could not be read before and can be opened now is listed again,
    and so is one that was beyond a limit lower than now.

    A file with several names, hard links or symbolic links, is listed under one of them, real names before links, then
    the first in the order of the walk; the others are recorded in the store beside the numbers of ignored files.

    Memory grows with the number of images, about 1 kB each; one directory entry and one `stat` an image is read.

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
    time_limit, pixel_limit
        What reading a file may cost in this run, see `ReadSettings`.
    """
    walk = _Walk(roots, settings, os.path.realpath(store.files.root) if store.files.local else None, advance)
    walk.run()
    listed = pd.DataFrame(walk.rows, columns=ListedImage._fields)
    known = store.read_images(
        ["image", *_KEY, "size", "mtime_ns", "current", "retry", "time_limit", "pixel_limit", "error"]
    )
    for frame in (listed, known):
        # what could not even be listed has no size and time, and is the same as long as its error is
        frame["failure"] = frame.error.where(frame["size"] < 0, "").astype(object)

    identity = [*_KEY, "size", "mtime_ns", "failure"]
    usable = known.drop_duplicates(identity, keep="last")
    again = [row.image for row in usable[usable.retry].itertuples() if _can_open(row)]
    beyond = (usable.time_limit > 0) & (usable.time_limit < (time_limit or math.inf))
    beyond |= (usable.pixel_limit > 0) & (usable.pixel_limit < pixel_limit)
    usable = usable[~usable.image.isin(again) & ~beyond]
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
            store.write_partition(block, unread_rows(rows.iloc[first : first + size], block * size))
        bounds.append(bounds[-1] - (-len(rows) // size))
    if bounds[0] < bounds[2]:
        store.add_generation(Generation(range(bounds[0], bounds[1]), range(bounds[1], bounds[2]), *images))
    ignored = dict(sorted(walk.ignored.items()))
    store.write_index({"ignored": ignored, "links": [list(link) for link in sorted(walk.links)]})

    before = _keys(known[known.current])
    now, added = _keys(listed), _keys(new)
    changed = sum((added & before).values())
    return IndexCounts(
        new=len(new) - changed,
        changed=changed,
        unchanged=len(listed) - len(new),
        vanished=sum((before - now).values()),
        ignored=ignored,
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


def unread_rows(rows: pd.DataFrame, first_image: int) -> pd.DataFrame:
    """Metadata of a block whose images were not read yet."""
    return rows.assign(image=range(first_image, first_image + len(rows)), current=True, **UNREAD)
