"""URLs of fsspec → the images below them."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from fsspec import AbstractFileSystem
from fsspec.asyn import AsyncFileSystem

from ...config import IndexSettings
from ...errors import FastDiffError
from ...images.opening import image_extensions
from ...urls import describe, file_system, is_within, modified_ns
from .roots import Root
from .walk_local import IGNORED_NAME, IGNORED_PATH, NO_IMAGE, SIZE, ListedImage, has_extension, ignored_names

__all__ = ["RemoteWalk", "can_read"]

_AT_ONCE = 32


class RemoteWalk:
    """List the images below URLs by the rules of `walk_local.Walk`, and count the other files.

    There are no links here, and files have no identity. All files below a URL are listed at once, by a request for each
    thousand objects of an object store. Memory: about 2 kB an object.

    Attributes
    ----------
    rows, ignored
        Metadata of the images found so far, and numbers of ignored files by rule.
    unused
        Ignored paths at which nothing was found so far.
    """

    def __init__(self, roots: list[Root], settings: IndexSettings, advance: Callable[[int], None]) -> None:
        self.rows: list[ListedImage] = []
        self.ignored: Counter[str] = Counter()
        self._roots = roots
        self._recursive, self._has_size = settings.recursive, settings.has_size
        self._advance = advance
        self._extensions = {extension.lower() for extension in settings.extensions} or image_extensions()
        self._names = ignored_names(settings)
        self.unused = set(settings.ignore_paths)
        self._paths = [path.rstrip("/") for path in settings.ignore_paths]

    def run(self) -> None:
        """List all roots.

        Raises
        ------
        FastDiffError
            If a root cannot be listed: its images would look as if they had vanished.
        """
        for root in self._roots:
            try:
                found = sorted(self._found(root), key=lambda one: _order(one[0]))
            except Exception as error:  # whatever a backend raises
                raise FastDiffError(
                    f"{root.given} cannot be listed ({describe(error)}); check the credentials and the network, and "
                    f"run again"
                ) from None
            # a root within another one is listed for itself, and once
            inner = [other for other in self._roots if other != root and is_within(other.absolute, root.absolute)]
            inner = [other for other in inner if self._recursive]
            for path, info in found:
                url = f"{root.absolute}/{path}"
                if not any(url.startswith(f"{other.absolute}/") for other in inner):
                    self._file(root, path, url, info)
            self._advance(len(found))

    def _found(self, root: Root) -> Iterator[tuple[str, dict[str, Any]]]:
        """Give each file: its path below the root, and what the file system tells of it."""
        fs, top = file_system(root.absolute)
        # other processes may have written meanwhile
        fs.invalidate_cache()
        if not self._recursive:
            entries: Iterable[dict[str, Any]] = fs.ls(top, detail=True)
        elif hasattr(fs, "_find") and type(fs)._find is not AsyncFileSystem._find:
            entries = fs.find(top, detail=True).values()
        else:
            # the `find` of this file system would leave out folders that cannot be listed
            entries = self._folders(root, fs, top)
        top = f"{top.rstrip('/')}/"
        for info in entries:
            name = str(info["name"])
            # objects whose names end with a slash stand for empty folders
            if info["type"] != "directory" and name.startswith(top) and not name.endswith("/"):
                if info.get("size") is None:  # some servers tell it only when the file is asked for
                    info = {**info, **fs.info(name)}
                yield name.removeprefix(top), info

    def _folders(self, root: Root, fs: AbstractFileSystem, top: str) -> Iterator[dict[str, Any]]:
        """Give the entries of a folder and of all below it; list an error for a folder that cannot be listed."""
        pending = [top]
        while pending:
            folder = pending.pop()
            try:
                entries = fs.ls(folder, detail=True)
            except Exception as error:  # whatever a backend raises
                below = folder.removeprefix(top).strip("/")
                if not below:
                    raise
                reason = f"folder cannot be read: {describe(error)}"
                self.rows.append(ListedImage(root.side, root.absolute, below, b"", -1, 0, 0, 0, 0, reason))
                continue
            yield from entries
            pending += [entry["name"] for entry in entries if entry["type"] == "directory" and entry["name"] != folder]

    def _file(self, root: Root, path: str, url: str, info: dict[str, Any]) -> None:
        self.unused -= {ignored for ignored in self.unused if is_within(url, ignored.rstrip("/"))}
        if rule := self._rule(path, root.absolute):
            self.ignored[rule] += 1
        elif not has_extension(path, self._extensions):
            self.ignored[NO_IMAGE] += 1
        else:
            size = info.get("size")
            if isinstance(size, int) and not self._has_size(size):
                self.ignored[SIZE] += 1
                return
            if isinstance(size, int):
                row = ListedImage(root.side, root.absolute, path, b"", size, modified_ns(info), 0, 0, 0, None)
            else:
                unknown = "file cannot be listed: its size is not known"
                row = ListedImage(root.side, root.absolute, path, b"", -1, 0, 0, 0, 0, unknown)
            self.rows.append(row)

    def _rule(self, path: str, root: str) -> str | None:
        """Give the rule that ignores a file, or the first of its folders that is ignored; None if none does."""
        if not self._paths and self._names.pattern == "(?!)":
            return None
        parts = path.split("/")
        for number, name in enumerate(parts):
            if f"{root}/{'/'.join(parts[: number + 1])}" in self._paths:
                return IGNORED_PATH
            if self._names.match(name):
                return IGNORED_NAME
        return None


def _order(path: str) -> list[tuple[bool, str]]:
    """Sort the files of a folder before those of its sub-folders, as `walk_local.Walk` lists them."""
    *folders, name = path.split("/")
    return [*((True, folder) for folder in folders), (False, name)]


def can_read(urls: list[str]) -> list[bool]:
    """Tell of each file whether its beginning can be read now; many are tried at once."""

    def one(url: str) -> bool:
        fs, path = file_system(url)
        try:
            fs.cat_file(path, start=0, end=1)
        except Exception:  # whatever a backend raises
            return False
        return True

    with ThreadPoolExecutor(_AT_ONCE) as threads:
        return list(threads.map(one, urls))
