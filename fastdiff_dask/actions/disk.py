"""Steps on the disk that lose nothing: links, copies and replacements fail rather than overwrite."""

import contextlib
import hashlib
import os
import re
import shutil
import stat
import uuid
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from ..urls import clamped
from .removals import Seen, StaysError

__all__ = [
    "copy_file",
    "free_names",
    "has_attributes",
    "is_one_name",
    "is_there",
    "link_file",
    "remove_leftovers",
    "replace_content",
    "status_as_seen",
    "sync_folder",
    "temporary_path",
]

_PIECE = 1 << 20
_TEMPORARY = re.compile(r"\.fastdiff-[0-9a-f]{32}\.partial")


def status_as_seen(seen: Seen, name: str) -> os.stat_result:
    """Give the status of a file, which must be as it was seen.

    Parameters
    ----------
    seen
        The file.
    name
        Name of the file in messages: "it", or "the file to keep".

    Returns
    -------
    The status of the file, not of what a link leads to.

    Raises
    ------
    StaysError
        If the file is gone, is no regular file, or has another size or time.
    """
    where = "" if name == "it" else f", {seen.path},"
    try:
        status = Path(seen.path).lstat()
    except FileNotFoundError:
        raise StaysError(f"{name}{where} is not there any more") from None
    if not stat.S_ISREG(status.st_mode):
        raise StaysError(f"{name}{where} is a symbolic link, or no regular file")
    if (status.st_size, clamped(status.st_mtime_ns)) != (seen.size, seen.mtime_ns):
        raise StaysError(f"{name}{where} has changed since it was compared")
    return status


def replace_content(seen: Seen, content: bytes) -> Seen:
    """Replace the content of a file in one step; owner, mode and times stay.

    Raises
    ------
    StaysError
        If the file has changed since it was seen, may not be written, or has other names, which would have the former
        content still.
    """
    path = Path(seen.path)
    if not (status_as_seen(seen, "the file to keep").st_mode & 0o222 and os.access(path, os.W_OK)):
        raise StaysError(f"{path} may not be written")
    temporary = temporary_path(path.parent)
    try:
        try:
            file = temporary.open("xb")
        except OSError as error:
            raise StaysError(f"the folder of {path} cannot be written ({error.strerror})") from None
        with file:
            file.write(content)
            file.flush()
            _copy_status(path, temporary)
            if len(content) == seen.size:  # else later runs would not see the change
                os.utime(temporary)
            os.fsync(file.fileno())
        if status_as_seen(seen, "the file to keep").st_nlink > 1:
            raise StaysError(f"{path} has other names")
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    sync_folder(path.parent)
    status = path.lstat()
    return Seen(seen.path, status.st_size, clamped(status.st_mtime_ns))


def remove_leftovers(folders: Iterable[str | os.PathLike[str]]) -> None:
    """Remove temporary files of a killed process from some folders; the caller is the only one at work."""
    for folder in {os.fspath(folder) for folder in folders}:
        with contextlib.suppress(OSError):
            for entry in os.scandir(folder):
                if _TEMPORARY.fullmatch(entry.name):
                    Path(entry.path).unlink()


def temporary_path(folder: Path) -> Path:
    """Make up a name for a temporary file, which `remove_leftovers` knows again."""
    return folder / f".fastdiff-{uuid.uuid4().hex}.partial"


def has_attributes(path: Path) -> bool:
    """Find whether a file has extended attributes; a link to another file would lose them."""
    try:
        return bool(os.listxattr(path, follow_symlinks=False))
    except (OSError, AttributeError):  # this system has none
        return False


def _copy_status(source: Path, target: Path) -> None:
    """Give a file the owner, mode, times and attributes of another file, as far as this user may."""
    with contextlib.suppress(OSError, AttributeError):
        status = source.lstat()
        os.chown(target, status.st_uid, status.st_gid)
    shutil.copystat(source, target)


def is_one_name(path: Path, other: Path) -> bool:
    """Find whether two paths are one name of one file, through a folder that is a link to another folder."""
    status, second = path.lstat(), other.lstat()
    # names that differ only in case may be one as well
    one = os.path.samestat(path.parent.stat(), other.parent.stat()) and path.name.lower() == other.name.lower()
    return one or (os.path.samestat(status, second) and status.st_nlink == 1)


def is_there(path: Path, status: os.stat_result) -> bool:
    """Find whether a path is a name of the file that had some status."""
    try:
        return os.path.samestat(path.lstat(), status)
    except OSError:
        return False


def free_names(name: str) -> Iterator[str]:
    """Give a name, and others if it is taken: picture.jpg, picture_1.jpg, ..."""
    yield name
    stem, extension = os.path.splitext(name)  # noqa: PTH122 - the name may be undecodable bytes
    number = 0
    while True:
        number += 1
        yield f"{stem}_{number}{extension}"


def link_file(
    source: Path, folder: Path, status: os.stat_result, names: Callable[[str], Iterator[str]]
) -> tuple[Path, bool] | None:
    """Give a file a second name; the name, and whether it is new. None if it cannot have one (another file system)."""
    for name in names(source.name):
        target = folder / name
        try:
            os.link(source, target, follow_symlinks=False)
        except FileExistsError:
            if is_there(target, status):
                return target, False  # a move that was killed halfway goes on
            continue
        except (OSError, NotImplementedError):
            return None
        if not is_there(target, status):
            target.unlink()
            raise StaysError("it was replaced while it was moved")
        return target, True
    return None


def copy_file(
    source: Path, folder: Path, status: os.stat_result, names: Callable[[str], Iterator[str]] = free_names
) -> Path:
    """Copy a file under a free name, and give the name once the copy is safe on the disk."""
    temporary = temporary_path(folder)
    try:
        with source.open("rb") as original, temporary.open("xb") as copy:
            if not os.path.samestat(os.fstat(original.fileno()), status):
                raise StaysError("it was replaced while it was moved")
            digest = hashlib.sha256()
            while piece := original.read(_PIECE):
                digest.update(piece)
                copy.write(piece)
            copy.flush()
            _copy_status(source, temporary)
            os.fsync(copy.fileno())
        with temporary.open("rb") as copy:
            if hashlib.file_digest(copy, "sha256").digest() != digest.digest():
                raise StaysError("its copy is not equal to it; check the disk of that folder")
        for name in names(source.name):
            target = folder / name
            try:
                os.link(temporary, target)
            except FileExistsError:
                continue
            except OSError:
                # without hard links: a name of our own, which the copy may replace
                try:
                    target.open("xb").close()
                except FileExistsError:
                    continue
                temporary.replace(target)
                return target
            temporary.unlink()
            return target
        raise StaysError("its name is taken")
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def sync_folder(folder: Path) -> None:
    """Wait until the names in a folder are on disk. Windows, which cannot be asked for it, does so anyway."""
    with contextlib.suppress(OSError):
        opened = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(opened)
        finally:
            os.close(opened)
