"""Local folders → the images below them, each real file once."""

import fnmatch
import os
import re
import stat
from collections import Counter, deque
from collections.abc import Callable, Collection
from pathlib import Path
from typing import NamedTuple

from ...config import IndexSettings
from ...images.films import FILMS
from ...images.opening import image_extensions
from ...urls import clamped, is_within
from .named_folders import NamedFolder
from .roots import Root

__all__ = [
    "IGNORED_NAME",
    "IGNORED_PATH",
    "NO_IMAGE",
    "RESOLUTION",
    "SIZE",
    "Link",
    "ListedImage",
    "Walk",
    "has_extension",
    "ignored_names",
]

# Names of the rules by which a file is not listed.
NO_IMAGE, _NO_FILE = "no image by its extension", "no regular file"
SIZE, RESOLUTION = "file size out of range", "resolution out of range"
IGNORED_NAME, IGNORED_PATH, _STORE = "ignored name", "ignored path", "the store itself"
_SAME_FILE, _LINK = "another name of a listed file", "symbolic link to a listed file"
_FOLDER_LINK = "another name of a searched folder"


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


class ListedImage(NamedTuple):
    """Metadata of a listed file; size −1 and an error if it cannot be listed."""

    side: str
    root: str
    path: str
    path_bytes: bytes
    size: int
    mtime_ns: int
    device: int
    inode: int
    changed_ns: int
    error: str | None


def ignored_names(settings: IndexSettings) -> re.Pattern[str]:
    """Pattern of the names of ignored files and folders."""
    return re.compile("|".join(fnmatch.translate(pattern) for pattern in settings.ignore_names) or r"(?!)")


def has_extension(path: str, extensions: Collection[str]) -> bool:
    """Tell whether a name has one of the extensions; any name has ``.*``.

    Examples
    --------
    >>> has_extension("a.JPG", {".jpg"}), has_extension("notes", {".jpg"}), has_extension("notes", {".*"})
    (True, False, True)
    """
    return ".*" in extensions or os.path.splitext(path)[1].lower() in extensions  # noqa: PTH122


class Walk:
    """List the images below local roots, each real file once, and count the others by the rule that ignores them.

    1. Real folders are searched.
    2. Symbolic links are followed, if their target was not reached on a real path. So no file is listed as a duplicate
       of itself, and a loop of links ends.
    3. Files in ignored folders are counted, unless another root or a link led to them.

    Attributes
    ----------
    rows, ignored, links
        Metadata of the images found so far, numbers of ignored files by rule, other names of listed files.
    unused
        Ignored paths at which nothing was found so far.
    """

    def __init__(
        self, roots: list[Root], settings: IndexSettings, own: str | None, advance: Callable[[int], None]
    ) -> None:
        self.rows: list[ListedImage] = []
        self.ignored: Counter[str] = Counter()
        self.links: list[Link] = []
        self._advance = advance
        self._recursive, self._has_size = settings.recursive, settings.has_size
        self._extensions = {extension.lower() for extension in settings.extensions} or image_extensions()
        if (settings.frames_every or settings.films) and not settings.extensions:
            self._extensions = self._extensions | set(FILMS)
        self._names = ignored_names(settings)
        given = {path: Path(os.path.expanduser(path)) for path in settings.ignore_paths}  # noqa: PTH111
        self.unused = set(given)
        # a path, or device and inode → the ignored path that means it
        self._means: dict[str | tuple[int, int], str] = {
            str(form): name for name, path in given.items() for form in (path.absolute(), path.resolve())
        }
        self._paths = dict.fromkeys(map(str, self._means), IGNORED_PATH)
        self._shown_in = [NamedFolder(path) for path in settings.ignore_paths]
        self._shown_here: list[NamedFolder] = []
        if own is not None:
            self._paths[own] = _STORE
        # links may lead to a folder under another path
        self._closed = {identity: rule for path, rule in self._paths.items() if (identity := _identity(path))}
        self._means |= {identity: name for name, path in given.items() if (identity := _identity(str(path)))}
        self._roots = roots
        self._folders: set[tuple[int, int]] = set()
        self._files: dict[tuple[str, int, int], int] = {}
        self._symbolic: deque[tuple[Root, str]] = deque()
        self._left_out: list[tuple[str, str]] = []

    def run(self) -> None:
        """Walk through all roots."""
        for root in self._roots:
            if os.path.isfile(root.absolute):  # noqa: PTH113
                self._file(root, root.absolute, os.stat(root.absolute), _SAME_FILE)  # noqa: PTH116
            else:
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
                    self._note_used(identity)
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
            self._shown_here = [ignored for ignored in self._shown_in if ignored.may_show(folder)]
            for entry in entries:
                try:
                    self._entry(root, entry, below)
                except OSError as error:
                    self._fail(root, entry.path, f"file cannot be listed: {error.strerror}")
            pending += reversed(below)

    def _entry(self, root: Root, entry: os.DirEntry[str], below: list[str]) -> None:
        """List or count an entry of a folder; a folder to search is added to those below."""
        rule = self._paths.get(entry.path) or (IGNORED_NAME if self._names.match(entry.name) else None)
        if self._means:
            self._note_used(entry.path)
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
            self.ignored[NO_IMAGE] += 1
        elif shown_in := next((one for one in self._shown_here if one.shows(entry.path)), None):
            self.unused.discard(shown_in.name)
            self.ignored[IGNORED_PATH] += 1
        else:
            status = entry.stat(follow_symlinks=False)
            # Windows gives the inode only with `os.stat`
            self._file(root, entry.path, status if status.st_ino else os.stat(entry.path), _SAME_FILE)  # noqa: PTH116

    def _link(self, root: Root, path: str) -> None:
        try:
            status = os.stat(path)  # noqa: PTH116
        except OSError as error:
            if isinstance(error, FileNotFoundError) and not self._is_image(path):
                self.ignored[NO_IMAGE] += 1
            else:
                self._fail(root, path, f"symbolic link cannot be followed: {error.strerror}")
            return
        target = os.path.realpath(path)
        self._note_used((status.st_dev, status.st_ino))
        if not stat.S_ISDIR(status.st_mode):
            if rule := self._closed.get((status.st_dev, status.st_ino)):
                self.ignored[rule] += 1
            elif self._is_image(path):
                self._file(root, path, status, _LINK)
            else:
                self.ignored[NO_IMAGE] += 1
        elif not self._recursive:
            return  # as any sub-folder
        elif is_within(os.path.realpath(os.path.dirname(path)), target):  # noqa: PTH120
            self._fail(root, path, "symbolic link loop: it leads to a folder that contains it")
        elif rule := self._closed.get((status.st_dev, status.st_ino)):
            self.ignored[rule] += 1
        elif (status.st_dev, status.st_ino) in self._folders:
            self.ignored[_FOLDER_LINK] += 1
        else:
            self._folder(root, path)

    def _file(self, root: Root, path: str, status: os.stat_result, rule: str) -> None:
        """List a file; if it is listed already under another name, count it by a rule instead.

        Hard links on both sides are listed on both, as each side is compared with all images of the other. Symbolic
        links are not: whoever deletes the file that they lead to loses it.
        """
        if not stat.S_ISREG(status.st_mode):
            self.ignored[_NO_FILE] += 1  # a pipe or a device: reading it may never end
            return
        if not self._has_size(status.st_size):
            self.ignored[SIZE] += 1
            return
        row = self._row(root, path, status.st_size, clamped(status.st_mtime_ns), None, status)
        for side in ("ab" if row.side == "a" else "ba") if row.inode else ():
            listed = self._files.get((side, row.device, row.inode))
            # with another size or time, the number was given to another file meanwhile, or the file is being written
            if listed is not None and _version(self.rows[listed]) == _version(row):
                self.links.append(Link(*_name(row), *_name(self.rows[listed])))
                if side == row.side or rule == _LINK:
                    self.ignored[rule] += 1
                    return
        self._files[row.side, row.device, row.inode] = len(self.rows)
        self._add(row)

    def _count_below(self, top: str, rule: str) -> None:
        """Count the files below an ignored folder that were not reached in another way."""
        pending = [top]
        while pending:
            folder = pending.pop()
            try:
                identity = _identity(folder)
                if identity:
                    self._note_used(identity)
                if identity in self._folders:
                    continue
                if identity:
                    self._folders.add(identity)
                if identity and self._closed.get(identity) == _STORE:
                    self.ignored[_STORE] += 1  # as one: the number of its files changes meanwhile
                    continue
                with os.scandir(folder) as entries:
                    for entry in entries:
                        if entry.is_dir(follow_symlinks=False):
                            pending.append(entry.path)
                        else:
                            self.ignored[rule] += 1
            except OSError:
                self.ignored[rule] += 1

    def _note_used(self, key: str | tuple[int, int]) -> None:
        """Note that a path, or what has a device and an inode, was found, if it is one to ignore."""
        if key in self._means:
            self.unused.discard(self._means[key])

    def _is_image(self, name: str) -> bool:
        return has_extension(name, self._extensions)

    def _fail(self, root: Root, path: str, error: str) -> None:
        self._add(self._row(root, path, -1, 0, error))

    def _add(self, row: ListedImage) -> None:
        self.rows.append(row)
        if len(self.rows) % 1000 == 0:
            self._advance(1000)

    @staticmethod
    def _row(
        root: Root, path: str, size: int, mtime_ns: int, error: str | None, status: os.stat_result | None = None
    ) -> ListedImage:
        below = path[len(root.absolute) :].lstrip(os.sep)
        below = below or ("." if status is None else "")  # a folder that cannot be listed, or a file
        shown, raw = below, b""
        if not below.isascii():
            shown = below.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
            raw = b"" if shown == below else os.fsencode(below)
        numbers = (0, 0, 0) if status is None else (status.st_dev, status.st_ino, clamped(status.st_ctime_ns))
        return ListedImage(root.side, root.absolute, shown, raw, size, mtime_ns, *numbers, error)


def _version(row: ListedImage) -> tuple[int, int]:
    return row.size, row.mtime_ns


def _name(row: ListedImage) -> tuple[str, str, str]:
    return row.side, row.root, os.fsdecode(row.path_bytes) if row.path_bytes else row.path


def _identity(path: str) -> tuple[int, int] | None:
    """Give device and inode of the target of a path; None if there is none, or it cannot be told."""
    try:
        status = os.stat(path)  # noqa: PTH116
    except OSError:
        return None
    return status.st_dev, status.st_ino
