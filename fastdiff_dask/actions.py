"""Move or delete pictures, one at a time, so that none is ever lost: a kill at any moment leaves each one somewhere.

A file goes only as long as the one that is kept for it is there. Both are looked at again right before: they must be
as they were when they were compared, two files and not two names of one, and none a symbolic link.
"""

import contextlib
import hashlib
import json
import os
import shutil
import stat
import uuid
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

__all__ = ["Outcome", "Record", "Removal", "Seen", "check_removals", "delete_files", "move_files"]

_PIECE = 1 << 20


class Seen(NamedTuple):
    """A file as it was when it was compared.

    Attributes
    ----------
    path, size, mtime_ns
        Its name, bytes, and time of modification.
    """

    path: str
    size: int
    mtime_ns: int


class Removal(NamedTuple):
    """A file that may go, as long as another one is there.

    Attributes
    ----------
    file, kept
        The one that goes, and the one that is kept for it.
    """

    file: Seen
    kept: Seen


class Outcome(NamedTuple):
    """What became of a file.

    Attributes
    ----------
    path
        Where it was.
    to
        Where it is now, None if it was deleted or stays.
    reason
        Why it stays; None if it went.
    """

    path: str
    to: str | None
    reason: str | None


class _StaysError(Exception):
    """The reason why a file is not touched."""


class Record:
    """What went where, a line of JSON each, on disk before the file goes.

    A line has ``action``: "move" (``path``, ``to``, ``size``, ``mtime_ns``, ``kept``), "delete" (the same without
    ``to``), or "stay" (``path``, ``reason``), which takes back a line before it of the same path.

    Parameters
    ----------
    path
        A new file; made by the first line.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self._file: BinaryIO | None = None

    def add(self, action: str, path: str, **values: Any) -> None:
        """Write a line, and wait until it is on disk."""
        if self._file is None:
            self._file = self.path.open("xb")
            _sync_folder(self.path.parent)
        self._file.write(json.dumps({"action": action, "path": path, **values}).encode() + b"\n")
        self._file.flush()
        os.fsync(self._file.fileno())

    def close(self) -> None:
        """End it; what was added stays."""
        if self._file is not None:
            self._file.close()


def check_removals(removals: Iterable[Removal]) -> None:
    """Refuse a plan in which a file that is kept for another goes itself, or one goes twice.

    Raises
    ------
    ValueError
        With the path of such a file.

    Examples
    --------
    >>> a, b, c = (Seen(name, 1, 0) for name in "abc")
    >>> check_removals([Removal(a, b), Removal(b, c)])
    Traceback (most recent call last):
        ...
    ValueError: 'b' is kept for another file, and is to go itself
    """
    removals = list(removals)
    going: set[str] = set()
    for removal in removals:
        path = os.path.realpath(removal.file.path)
        if path in going:
            raise ValueError(f"{removal.file.path!r} is to go twice")
        going.add(path)
    for removal in removals:
        if os.path.realpath(removal.kept.path) in going:
            raise ValueError(f"{removal.kept.path!r} is kept for another file, and is to go itself")


def move_files(removals: Iterable[Removal], folder: str | os.PathLike[str], record: Record) -> Iterator[Outcome]:
    """Move files into a folder, one at a time; each keeps its name, or gets a number where that is taken.

    Nothing is overwritten. Within a file system a file gets its new name, which fails where one is, before it loses
    the old one. Elsewhere it is copied under a temporary name, written through to the disk, read again and compared,
    and named; only then the original goes. A kill in between leaves the original and its second name or copy.

    Parameters
    ----------
    removals
        What may go; see `check_removals`.
    folder
        An existing folder.
    record
        Gets a line for each before it goes.
    """
    removals = list(removals)
    check_removals(removals)
    for removal in removals:
        yield _attempt(removal, record, lambda removal: _move(removal, Path(folder), record))


def delete_files(removals: Iterable[Removal], record: Record) -> Iterator[Outcome]:
    """Delete files, one at a time; parameters as for `move_files`."""
    removals = list(removals)
    check_removals(removals)
    for removal in removals:
        yield _attempt(removal, record, lambda removal: _delete(removal, record))


def _attempt(removal: Removal, record: Record, action: Callable[[Removal], str | None]) -> Outcome:
    path = removal.file.path
    try:
        return Outcome(path, action(removal), None)
    except (_StaysError, OSError) as error:
        reason = str(error) if isinstance(error, _StaysError) else (error.strerror or str(error))
        with contextlib.suppress(OSError):  # of a full disk, for one, the reason is told all the same
            record.add("stay", path, reason=reason)
        return Outcome(path, None, reason)


def _delete(removal: Removal, record: Record) -> None:
    _check(removal)
    record.add("delete", removal.file.path, **_described(removal))
    _check(removal)
    Path(removal.file.path).unlink()


def _described(removal: Removal) -> dict[str, Any]:
    return {"size": removal.file.size, "mtime_ns": removal.file.mtime_ns, "kept": removal.kept.path}


def _check(removal: Removal) -> os.stat_result:
    """See that a file may go now, and give its status.

    Raises
    ------
    _StaysError
        If not.
    """
    file, kept = (_status(seen, name) for seen, name in zip(removal, ("it", "the file to keep"), strict=True))
    if os.path.samestat(file, kept):
        raise _StaysError(f"it is the same file as the one to keep, {removal.kept.path}")
    return file


def _status(seen: Seen, name: str) -> os.stat_result:
    where = "" if name == "it" else f", {seen.path},"
    try:
        status = Path(seen.path).lstat()
    except FileNotFoundError:
        raise _StaysError(f"{name}{where} is not there any more") from None
    if not stat.S_ISREG(status.st_mode):
        raise _StaysError(f"{name}{where} is a symbolic link, or no regular file")
    if (status.st_size, status.st_mtime_ns) != (seen.size, seen.mtime_ns):
        raise _StaysError(f"{name}{where} has changed since it was compared")
    return status


def _move(removal: Removal, folder: Path, record: Record) -> str:
    source, status = Path(removal.file.path), _check(removal)
    if source.parent.resolve() == folder.resolve():
        raise _StaysError("it is in that folder already")
    target, made = _link(source, folder, status) or (_copy(source, folder, status), True)
    try:
        _sync_folder(folder)
        record.add("move", removal.file.path, to=str(target), **_described(removal))
        if not os.path.samestat(_check(removal), status):
            raise _StaysError("it was replaced while it was moved")
        source.unlink()
    except BaseException:
        # the original is there, so that what was made beside it may go
        if made and _is_there(source, status):
            target.unlink()
        raise
    return str(target)


def _is_there(path: Path, status: os.stat_result) -> bool:
    try:
        return os.path.samestat(path.lstat(), status)
    except OSError:
        return False


def _names(name: str) -> Iterator[str]:
    """A name and, if it is taken, others: picture.jpg, picture_1.jpg, ..."""
    yield name
    stem, extension = os.path.splitext(name)  # noqa: PTH122 - the name may be undecodable bytes
    number = 0
    while True:
        number += 1
        yield f"{stem}_{number}{extension}"


def _link(source: Path, folder: Path, status: os.stat_result) -> tuple[Path, bool] | None:
    """Give a file a second name: that, and whether it is new. None where it cannot have one (another file system)."""
    for name in _names(source.name):
        target = folder / name
        try:
            os.link(source, target, follow_symlinks=False)
        except FileExistsError:
            if _is_there(target, status):
                return target, False  # a move that was killed halfway goes on
            continue
        except (OSError, NotImplementedError):
            return None
        if not _is_there(target, status):
            target.unlink()
            raise _StaysError("it was replaced while it was moved")
        return target, True
    return None


def _copy(source: Path, folder: Path, status: os.stat_result) -> Path:
    """Copy a file under a free name, and give that once the copy is safe on the disk."""
    temporary = folder / f".{uuid.uuid4().hex}.partial"
    try:
        with source.open("rb") as original, temporary.open("xb") as copy:
            if not os.path.samestat(os.fstat(original.fileno()), status):
                raise _StaysError("it was replaced while it was moved")
            digest = hashlib.sha256()
            while piece := original.read(_PIECE):
                digest.update(piece)
                copy.write(piece)
            copy.flush()
            shutil.copystat(source, temporary)
            os.fsync(copy.fileno())
        with temporary.open("rb") as copy:
            if hashlib.file_digest(copy, "sha256").digest() != digest.digest():
                raise _StaysError("its copy is not equal to it; look after the disk of the folder")
        for name in _names(source.name):
            target = folder / name
            try:
                # a name of our own, which the copy may replace; not every file system has hard links for this
                target.open("xb").close()
            except FileExistsError:
                continue
            temporary.replace(target)
            return target
        raise AssertionError
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def _sync_folder(folder: Path) -> None:
    """Wait until the names in a folder are on disk; where that cannot be asked for (Windows), they are anyway."""
    with contextlib.suppress(OSError):
        opened = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(opened)
        finally:
            os.close(opened)
