"""Folders by what they are, and not only by their names: a folder has as many names as there are ways to it."""

import os
import stat
from functools import cached_property
from pathlib import Path

from ...urls import is_url, is_within
from .mounts import NUMBERED, type_of_mount

__all__ = ["NamedFolder"]

_Identity = tuple[int, int]


class NamedFolder:
    """A folder, or a file, as a user names it: finds what lies in it, whatever its name there is.

    1. By the names, as they are or with links followed.
    2. By device and inode of the folders around a file: another letter case or Unicode form, a bind mount.
    3. Through a mount with numbers of its own (overlayfs, mergerfs, a network mount of this machine): a file of the
       same name, size, time of modification and time of change lies there. Nothing is written to find out. Of a mount
       that has no times of change, as sshfs, this cannot be told.

    The folders are looked at once, when the first file is asked for.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self._around: dict[str, frozenset[_Identity]] = {}
        self._others: dict[str, list[str]] = {}

    @cached_property
    def _path(self) -> Path:
        return Path(os.path.expanduser(self.name)).absolute()  # noqa: PTH111 - Path raises without a home

    @cached_property
    def _status(self) -> os.stat_result | None:
        return None if is_url(self.name) else _status(self._path)

    @property
    def is_there(self) -> bool:
        """True if there is such a folder, or file, of this machine."""
        return self._status is not None

    def holds(self, path: str) -> bool:
        """Find whether a file lies in this folder, or is this file."""
        if is_url(path) or is_url(self.name):
            return is_within(path, self.name)
        place, own = Path(path).absolute(), self._status
        if place.is_relative_to(self._path):
            return True
        if own is None:
            return (place.parent.resolve() / place.name).is_relative_to(self._path.resolve())
        if not stat.S_ISDIR(own.st_mode):
            status = _status(place)
            return status is not None and os.path.samestat(status, own)
        parent = str(place.parent)
        if parent not in self._around:
            self._around[parent] = _identities(place.parent)
        return (own.st_dev, own.st_ino) in self._around[parent] or self.shows(path)

    def shows(self, path: str) -> bool:
        """Find whether a file of another device is seen in this folder as well."""
        parent, name = os.path.split(path)
        return self.may_show(parent) and any(
            _is_one_file(Path(path), Path(other, name)) for other in self._others[parent]
        )

    def may_show(self, folder: str) -> bool:
        """Find whether files of a folder may be seen in this folder, so that `shows` has to be asked."""
        if folder not in self._others:
            self._others[folder] = self._counterparts(Path(folder))
        return bool(self._others[folder])

    def _counterparts(self, parent: Path) -> list[str]:
        """Find the folders below this one that may be another view of a folder."""
        status, own = _status(parent), self._status
        if status is None or own is None or status.st_dev == own.st_dev:
            return []
        if {type_of_mount(parent / "x"), type_of_mount(self._path / "x")} <= NUMBERED:
            return []
        real = parent.resolve()
        below = (self._path / real.relative_to(around) for around in (real, *real.parents))
        return [str(folder) for folder in below if folder.is_dir()]


def _status(path: Path) -> os.stat_result | None:
    try:
        return path.stat()
    except (OSError, ValueError):
        return None


def _identities(folder: Path) -> frozenset[_Identity]:
    """Give device and inode of a folder and of all folders around it."""
    found = (_status(one) for one in (folder, *folder.parents, *folder.resolve().parents))
    return frozenset((status.st_dev, status.st_ino) for status in found if status is not None)


def _is_one_file(path: Path, other: Path) -> bool:
    """Find whether two names on two devices are one file, by size and times; some mounts cut times to microseconds."""
    status, second = _status(path), _status(other)
    if status is None or second is None or status.st_size != second.st_size:
        return False
    return all(
        one // 1000 == two // 1000
        for one, two in ((status.st_mtime_ns, second.st_mtime_ns), (status.st_ctime_ns, second.st_ctime_ns))
    )
