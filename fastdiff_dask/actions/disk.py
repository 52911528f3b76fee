"""Steps on the disk that lose nothing: names, links, copies and replacements, each of which fails rather than overwrites."""

import contextlib
import hashlib
import os
import re
import shutil
import stat
import uuid
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

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
    where = "" if name == "it" else f", {seen.path},"
    try:
        status = Path(seen.path).lstat()
    except FileNotFoundError:
        raise StaysError(f"{name}{where} is not there any more") from None
    if not stat.S_ISREG(status.st_mode):
        raise StaysError(f"{name}{where} is a symbolic link, or no regular file")
    if (status.st_size, status.st_mtime_ns) != (seen.size, seen.mtime_ns):
        raise StaysError(f"{name}{where} has changed since it was compared")
    return status


def replace_content(seen: Seen, content: bytes) -> Seen:
    """Give a file another content in one step, with its owner, mode and times; what it had is gone.

    Raises
    ------
    StaysError
        If it has changed since it was seen, may not be written, or has other names, which would keep the former
        content.
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
            if len(content) == seen.size:  # else nobody would see that it has changed
                os.utime(temporary)
            os.fsync(file.fileno())
        if status_as_seen(seen, "the file to keep").st_nlink > 1:
            raise StaysError(f"{path} has other names")
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    sync_folder(path.parent)
    status = path.lstat()
    return Seen(seen.path, status.st_size, status.st_mtime_ns)


def remove_leftovers(folders: Iterable[str | os.PathLike[str]]) -> None:
    """Remove the temporary files that a process which was killed has left in some folders; to call while none works."""
    for folder in {os.fspath(folder) for folder in folders}:
        with contextlib.suppress(OSError):
            for entry in os.scandir(folder):
                if _TEMPORARY.fullmatch(entry.name):
                    Path(entry.path).unlink()


def temporary_path(folder: Path) -> Path:
    return folder / f".fastdiff-{uuid.uuid4().hex}.partial"


def has_attributes(path: Path) -> bool:
    """Whether a file has extended attributes, which a link to another file has not."""
    try:
        return bool(os.listxattr(path, follow_symlinks=False))
    except (OSError, AttributeError):  # there are none here
        return False


def _copy_status(source: Path, target: Path) -> None:
    """Give a file the owner, mode, times and attributes of another one, as far as this user may."""
    with contextlib.suppress(OSError, AttributeError):
        status = source.lstat()
        os.chown(target, status.st_uid, status.st_gid)
    shutil.copystat(source, target)


def is_one_name(path: Path, other: Path) -> bool:
    """Whether two paths are one name of one file, by way of a folder that is a link to another one."""
    status, second = path.lstat(), other.lstat()
    # names that differ only in case may be one as well
    one = os.path.samestat(path.parent.stat(), other.parent.stat()) and path.name.lower() == other.name.lower()
    return one or (os.path.samestat(status, second) and status.st_nlink == 1)


def is_there(path: Path, status: os.stat_result) -> bool:
    try:
        return os.path.samestat(path.lstat(), status)
    except OSError:
        return False


def free_names(name: str) -> Iterator[str]:
    """A name and, if it is taken, others: picture.jpg, picture_1.jpg, ..."""
    yield name
    stem, extension = os.path.splitext(name)  # noqa: PTH122 - the name may be undecodable bytes
    number = 0
    while True:
        number += 1
        yield f"{stem}_{number}{extension}"


def link_file(
    source: Path, folder: Path, status: os.stat_result, names: Callable[[str], Iterator[str]]
) -> tuple[Path, bool] | None:
    """Give a file a second name: that, and whether it is new. None where it cannot have one (another file system)."""
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
    """Copy a file under a free name, and give that once the copy is safe on the disk."""
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
                raise StaysError("its copy is not equal to it; look after the disk of the folder")
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
    """Wait until the names in a folder are on disk; where that cannot be asked for (Windows), they are anyway."""
    with contextlib.suppress(OSError):
        opened = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(opened)
        finally:
            os.close(opened)
