"""Steps on the disk that lose nothing: links, copies and replacements fail rather than overwrite."""

import contextlib
import errno
import hashlib
import os
import re
import shutil
import stat
import uuid
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from ..urls import clamped
from .removals import Seen, StaysError

__all__ = [
    "copy_file",
    "discard",
    "free_names",
    "has_attributes",
    "is_one_name",
    "is_temporary",
    "is_there",
    "link_file",
    "place_of",
    "remove_leftovers",
    "replace_content",
    "set_owner",
    "set_status",
    "status_as_seen",
    "status_fields",
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
        discard(temporary)
    sync_folder(path.parent)
    status = path.lstat()
    return Seen(seen.path, status.st_size, clamped(status.st_mtime_ns))


def discard(path: Path) -> bool:
    """Remove a file that is not needed any more; False if it is still there: an error changes nothing else."""
    try:
        path.unlink(missing_ok=True)
    except OSError:
        return False
    return True


def is_temporary(name: str) -> bool:
    """Find whether a file has a name that `temporary_path` made up."""
    return _TEMPORARY.fullmatch(name) is not None


def remove_leftovers(folders: Iterable[str | os.PathLike[str]]) -> None:
    """Remove temporary files of a killed process from some folders; the caller is the only one at work."""
    for folder in {os.fspath(folder) for folder in folders}:
        with contextlib.suppress(OSError):
            for entry in os.scandir(folder):
                if is_temporary(entry.name):
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


def status_fields(path: Path) -> dict[str, Any]:
    """Give owner, mode, exact time and extended attributes of a file, as fields of a journal."""
    status = path.lstat()
    fields: dict[str, Any] = {"mode": stat.S_IMODE(status.st_mode), "uid": status.st_uid, "gid": status.st_gid}
    fields["exact_ns"] = status.st_mtime_ns
    if has_attributes(path):
        fields["attributes"] = {name: os.getxattr(path, name).hex() for name in os.listxattr(path)}
    return fields


def set_status(path: Path, fields: dict[str, Any]) -> None:
    """Give a file the owner, mode, time and attributes of a journal, as far as this user and the file system can."""
    set_owner(path, int(fields["uid"]), int(fields["gid"]))
    for name, value in fields.get("attributes", {}).items():
        with _as_far_as_possible():
            os.setxattr(path, name, bytes.fromhex(value))
    path.chmod(int(fields["mode"]))
    if "exact_ns" in fields:
        os.utime(path, ns=(path.lstat().st_atime_ns, int(fields["exact_ns"])))


def set_owner(path: Path, user: int, group: int) -> None:
    """Give a file an owner, if this user may do so; any other error, as of a full disk, is one."""
    with _as_far_as_possible():
        os.chown(path, user, group)


@contextlib.contextmanager
def _as_far_as_possible() -> Iterator[None]:
    try:
        yield
    except AttributeError:  # this system has none
        pass
    except OSError as error:
        if error.errno not in (errno.EPERM, errno.EACCES, errno.EINVAL, errno.ENOTSUP):
            raise


def _copy_status(source: Path, target: Path) -> None:
    """Give a file the owner, mode, times and attributes of another file, as far as this user may."""
    status = source.lstat()
    set_owner(target, status.st_uid, status.st_gid)
    shutil.copystat(source, target)


def place_of(path: str | os.PathLike[str]) -> str:
    """Name an entry of a folder in one way, whatever links lead to the folder."""
    folder, name = os.path.split(os.path.abspath(path))  # noqa: PTH100 - names may be undecodable
    return os.path.join(os.path.realpath(folder), name)  # noqa: PTH118


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
    source: Path,
    folder: Path,
    status: os.stat_result,
    names: Callable[[str], Iterator[str]],
    announce: Callable[[Path], None] = lambda path: None,
) -> tuple[Path, bool] | None:
    """Give a file a second name; the name, and whether it is new. None if it cannot have one (another file system).

    `announce` is told a new name before it is there.
    """
    for name in names(source.name):
        target = folder / name
        if not os.path.lexists(target):
            announce(target)
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
    source: Path,
    folder: Path,
    status: os.stat_result,
    names: Callable[[str], Iterator[str]] = free_names,
    announce: Callable[[Path], None] = lambda path: None,
) -> Path:
    """Copy a file under a free name, and give the name once the copy is safe on the disk.

    `announce` is told each new name before it is there.
    """
    temporary = temporary_path(folder)
    announce(temporary)
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
            if os.path.lexists(target):
                continue
            announce(target)
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
        raise StaysError("its name is taken")
    finally:
        discard(temporary)


def sync_folder(folder: Path) -> None:
    """Wait until the names in a folder are on disk. Windows, which cannot be asked for it, does so anyway."""
    with contextlib.suppress(OSError):
        opened = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(opened)
        finally:
            os.close(opened)
