"""Move, trash, delete or link pictures, one at a time, so that none is ever lost, a kill at any moment included.

A file goes only as long as the one that is kept for it is there. Both are looked at again right before: they must be
as they were when they were compared, two files and not two names of one, and none a symbolic link.
"""

import contextlib
import filecmp
import hashlib
import json
import os
import re
import shutil
import stat
import sys
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple
from urllib.parse import quote

from .journals import place_of

__all__ = [
    "Outcome",
    "Record",
    "Removal",
    "Seen",
    "StaysError",
    "check_pair",
    "delete_files",
    "link_files",
    "move_files",
    "put_back",
    "refused",
    "remove_leftovers",
    "replace_content",
    "trash_files",
]

_PIECE = 1 << 20
_TEMPORARY = re.compile(r"\.fastdiff-[0-9a-f]{32}\.partial")
# Bytes of a name in the trash, which gets a number, and ".trashinfo" of its description.
_LONGEST = 220


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


class StaysError(Exception):
    """The reason why a file is not touched."""


# Looks at a pair right before something is done, and raises `StaysError` if that is not to be. Gives the pair as it is
# then: the file to keep may have got the date of the other one.
Verify = Callable[[Removal], Removal]


class Record:
    """What went where, a line of JSON each, on disk before the file goes.

    A line has ``action``: "move" or "trash" (``path``, ``to``, ``size``, ``mtime_ns``, ``kept``; for the trash also
    ``info``, the file that describes it; ``before``, if the file had that second name already; ``equal``, if it is
    known to be equal to the one that is kept, byte by byte; ``kept_sha256``, of that one; ``to_mtime_ns``, if it is
    another one there), "delete" (without ``to``), "link" (``path``, ``kept``, ``kind``; ``trashed``, where the file is
    after a line for the trash before it; without, the two were equal, and ``sha256``, ``size``, ``mtime_ns``, ``mode``,
    ``uid`` and ``gid`` are those of the file), "metadata" (``path``, ``before`` and ``sha256``: a file that is kept got
    another content), or "stay" (``path``, ``reason``), which takes back a line before it of the same path.

    Parameters
    ----------
    path
        A new file; made by the first line.
    digests
        SHA-256 of both files of a removal; empty if they are not known.
    """

    def __init__(
        self, path: str | os.PathLike[str], digests: Callable[[Removal], tuple[str, str]] = lambda removal: ("", "")
    ) -> None:
        self.path = Path(path)
        self.digests = digests
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
            with contextlib.suppress(OSError):  # of a full disk, on which a line was not written; that was told
                self._file.close()


def refused(removals: Iterable[Removal]) -> dict[Removal, str]:
    """Removals that must not be: of a file that is kept for another one, and of one that goes already; with the reason.

    Examples
    --------
    >>> a, b, c = (Seen(name, 1, 0) for name in "abc")
    >>> [removal.file.path for removal in refused([Removal(a, b), Removal(b, c)])]
    ['b']
    """
    removals = list(removals)
    # not where a link leads to: what is a link stays, as `_check` sees
    kept = {place_of(removal.kept.path) for removal in removals}
    going: set[str] = set()
    found = {}
    for removal in removals:
        place = place_of(removal.file.path)
        if place in kept:
            found[removal] = "it is kept for another image"
        elif place in going:
            found[removal] = "it is to go twice"
        going.add(place)
    return found


def _pass(removal: Removal) -> Removal:
    """Look at names, sizes and times alone."""
    _check(removal)
    return removal


def move_files(
    removals: Iterable[Removal], folder: str | os.PathLike[str], record: Record, verify: Verify = _pass
) -> Iterator[Outcome]:
    """Move files into a folder, one at a time; each keeps its name, or gets a number where that is taken.

    Nothing is overwritten. Within a file system a file gets its new name, which fails where one is, before it loses
    the old one. Elsewhere it is copied under a temporary name, written through to the disk, read again and compared,
    and named; only then the original goes. A kill in between leaves the original and its second name or copy.

    Parameters
    ----------
    removals
        What may go; those that are `refused` stay.
    folder
        An existing folder.
    record
        Gets a line for each before it goes.
    verify
        Looks at a pair once more, right before, and gives it as it is then.
    """
    return _each(removals, record, verify, lambda removal: str(_move(removal, Path(folder), record)))


def trash_files(removals: Iterable[Removal], record: Record, verify: Verify = _pass) -> Iterator[Outcome]:
    """Move files to the trash of their user, one at a time; parameters as for `move_files`.

    That of the FreeDesktop.org specification 1.0, in the user's home or at the top of the file system, or ``~/.Trash``
    of macOS; what moves is as safe as in `move_files`.
    """
    return _each(removals, record, verify, lambda removal: str(_trash(removal, record)))


def delete_files(removals: Iterable[Removal], record: Record, verify: Verify = _pass) -> Iterator[Outcome]:
    """Delete files, one at a time; parameters as for `move_files`."""
    return _each(removals, record, verify, lambda removal: _delete(removal, record))


def link_files(
    removals: Iterable[Removal],
    kind: str,
    record: Record,
    verify: Verify = _pass,
    digests: Callable[[Removal], tuple[str, str]] = lambda removal: ("", ""),
) -> Iterator[Outcome]:
    """Put a link to the file that is kept in the place of each file, one at a time.

    A file that is equal to it, byte by byte, is replaced in one step; any other one is in the trash before.

    Parameters
    ----------
    removals, record, verify
        As for `move_files`.
    kind
        "hardlink" or "symlink".
    digests
        SHA-256 of both files, as `verify` has just read them; equal if the files are. By default they are not.
    """
    return _each(removals, record, verify, lambda removal: _replace_by_link(removal, kind, record, *digests(removal)))


def _each(
    removals: Iterable[Removal], record: Record, verify: Verify, action: Callable[[Removal], str | None]
) -> Iterator[Outcome]:
    removals = list(removals)
    stay = refused(removals)
    for removal in removals:
        if removal in stay:
            yield Outcome(removal.file.path, None, stay[removal])
        else:
            yield _attempt(removal, record, verify, action)


def _attempt(removal: Removal, record: Record, verify: Verify, action: Callable[[Removal], str | None]) -> Outcome:
    path = removal.file.path
    try:
        return Outcome(path, action(verify(removal)), None)
    except (StaysError, OSError) as error:
        reason = str(error) if isinstance(error, StaysError) else (error.strerror or str(error))
        with contextlib.suppress(OSError):  # of a full disk, for one, the reason is told all the same
            record.add("stay", path, reason=reason)
        return Outcome(path, None, reason)


def _delete(removal: Removal, record: Record) -> None:
    _check(removal)
    record.add("delete", removal.file.path, **_described(removal, record))
    _check(removal)
    Path(removal.file.path).unlink()


def _described(removal: Removal, record: Record) -> dict[str, Any]:
    described = {"size": removal.file.size, "mtime_ns": removal.file.mtime_ns, "kept": removal.kept.path}
    mine, other = record.digests(removal)
    if not other:
        return described
    return described | {"kept_sha256": other} | ({"equal": True} if mine == other else {})


def _check(removal: Removal) -> os.stat_result:
    """See that a file may go now, and give its status.

    Raises
    ------
    StaysError
        If not.
    """
    file, kept = (_status(seen, name) for seen, name in zip(removal, ("it", "the file to keep"), strict=True))
    if os.path.samestat(file, kept):
        raise StaysError(f"it is the same file as the one to keep, {removal.kept.path}")
    return file


def _status(seen: Seen, name: str) -> os.stat_result:
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


def _move(
    removal: Removal,
    folder: Path,
    record: Record,
    names: Callable[[str], Iterator[str]] | None = None,
    action: str = "move",
    **more: Callable[[Path], str],
) -> Path:
    """Move a file into a folder under one of some names; gives where it is."""
    source, status = Path(removal.file.path), _check(removal)
    if os.path.samestat(source.parent.stat(), folder.stat()):
        raise StaysError("it is in that folder already")
    names = _names if names is None else names
    target, made = _link(source, folder, status, names) or (_copy(source, folder, status, names), True)
    try:
        _sync_folder(folder)
        there = target.lstat()
        values: dict[str, Any] = {name: value(target) for name, value in more.items()}
        values |= {} if made else {"before": True}
        # file systems with coarser times round them
        values |= {} if there.st_mtime_ns == removal.file.mtime_ns else {"to_mtime_ns": there.st_mtime_ns}
        record.add(action, removal.file.path, to=str(target), **_described(removal, record), **values)
        if not os.path.samestat(_check(removal), status):
            raise StaysError("it was replaced while it was moved")
        if not _is_there(target, there):
            raise StaysError(f"{target} was taken away while it was moved")
        if _is_one_name(source, target):
            raise StaysError("it is in that folder already")
        source.unlink()
    except BaseException:
        # the original is there, so that what was made beside it may go
        if made and _is_there(source, status):
            target.unlink(missing_ok=True)
        raise
    return target


def replace_content(seen: Seen, content: bytes) -> Seen:
    """Give a file another content in one step, with its owner, mode and times; what it had is gone.

    Raises
    ------
    StaysError
        If it has changed since it was seen, may not be written, or has other names, which would keep the former
        content.
    """
    path = Path(seen.path)
    if not (_status(seen, "the file to keep").st_mode & 0o222 and os.access(path, os.W_OK)):
        raise StaysError(f"{path} may not be written")
    temporary = _temporary(path.parent)
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
        if _status(seen, "the file to keep").st_nlink > 1:
            raise StaysError(f"{path} has other names")
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    _sync_folder(path.parent)
    status = path.lstat()
    return Seen(seen.path, status.st_size, status.st_mtime_ns)


def remove_leftovers(folders: Iterable[str | os.PathLike[str]]) -> None:
    """Remove the temporary files that a process which was killed has left in some folders; to call while none works."""
    for folder in {os.fspath(folder) for folder in folders}:
        with contextlib.suppress(OSError):
            for entry in os.scandir(folder):
                if _TEMPORARY.fullmatch(entry.name):
                    Path(entry.path).unlink()


def _temporary(folder: Path) -> Path:
    return folder / f".fastdiff-{uuid.uuid4().hex}.partial"


def _has_attributes(path: Path) -> bool:
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


def check_pair(removal: Removal) -> None:
    """See that a file may go, as far as names, sizes and times tell.

    Raises
    ------
    StaysError
        If not.
    """
    _check(removal)


def _is_one_name(path: Path, other: Path) -> bool:
    """Whether two paths are one name of one file, by way of a folder that is a link to another one."""
    status, second = path.lstat(), other.lstat()
    # names that differ only in case may be one as well
    one = os.path.samestat(path.parent.stat(), other.parent.stat()) and path.name.lower() == other.name.lower()
    return one or (os.path.samestat(status, second) and status.st_nlink == 1)


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


def _link(
    source: Path, folder: Path, status: os.stat_result, names: Callable[[str], Iterator[str]]
) -> tuple[Path, bool] | None:
    """Give a file a second name: that, and whether it is new. None where it cannot have one (another file system)."""
    for name in names(source.name):
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
            raise StaysError("it was replaced while it was moved")
        return target, True
    return None


def _copy(source: Path, folder: Path, status: os.stat_result, names: Callable[[str], Iterator[str]] = _names) -> Path:
    """Copy a file under a free name, and give that once the copy is safe on the disk."""
    temporary = _temporary(folder)
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


def _sync_folder(folder: Path) -> None:
    """Wait until the names in a folder are on disk; where that cannot be asked for (Windows), they are anyway."""
    with contextlib.suppress(OSError):
        opened = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(opened)
        finally:
            os.close(opened)


# -- the trash ---------------------------------------------------------------------------------------------------------


def _trash(removal: Removal, record: Record) -> Path:
    """Move a file to the trash; gives where it is."""
    source, status = Path(removal.file.path), _check(removal)
    if sys.platform == "win32":
        raise StaysError("there is no trash that it could be brought back from on Windows; move it instead")
    if sys.platform == "darwin":
        folder = Path.home() / ".Trash"
        return _move(removal, folder, record, action="trash")
    place, path = _trash_folder(source, status)
    reserved: dict[str, Path] = {}

    def names(name: str) -> Iterator[str]:
        for free in _names(_shortened(name)):
            info = place / "info" / f"{free}.trashinfo"
            try:
                # who makes this file has the name
                with info.open("x", encoding="ascii") as file:
                    now = time.strftime("%Y-%m-%dT%H:%M:%S")
                    file.write(f"[Trash Info]\nPath={quote(os.fsencode(path))}\nDeletionDate={now}\n")
            except FileExistsError:
                continue
            reserved[free] = info
            yield free

    used = ""
    try:
        target = _move(removal, place / "files", record, names, "trash", info=lambda to: str(reserved[to.name]))
        used = target.name
        return target
    finally:
        for name, info in reserved.items():
            if name != used:
                info.unlink(missing_ok=True)


def _shortened(name: str) -> str:
    """A name to which an extension may be added."""
    stem, extension = os.path.splitext(name)  # noqa: PTH122 - the name may be undecodable bytes
    end = os.fsencode(extension)[:32]
    return os.fsdecode(os.fsencode(stem)[: _LONGEST - len(end)] + end)


def _trash_folder(source: Path, status: os.stat_result) -> tuple[Path, str]:
    """The trash for a file, and the name of the file in it: of its own file system, if there can be one."""
    data = os.environ.get("XDG_DATA_HOME") or "~/.local/share"
    home = Path(os.path.expanduser(data)) / "Trash"  # noqa: PTH111 - Path raises for users without a home
    absolute = source.parent.resolve() / source.name
    _make_trash(home)
    if home.stat().st_dev == status.st_dev:
        return home, str(absolute)
    top = absolute.parent
    while not os.path.ismount(top):
        top = top.parent
    shared, own = top / ".Trash", top / f".Trash-{os.getuid()}"
    for place in (shared / str(os.getuid()), own):
        with contextlib.suppress(OSError):
            if place.parent == shared:
                found = shared.lstat()
                if not (stat.S_ISDIR(found.st_mode) and found.st_mode & stat.S_ISVTX):
                    continue
            _make_trash(place)
            if not place.is_symlink() and place.stat().st_dev == status.st_dev:
                return place, str(absolute.relative_to(top))
    return home, str(absolute)


def _make_trash(place: Path) -> None:
    place.mkdir(mode=0o700, parents=place.name == "Trash", exist_ok=True)
    for name in ("files", "info"):
        (place / name).mkdir(mode=0o700, exist_ok=True)


# -- links -------------------------------------------------------------------------------------------------------------


def _replace_by_link(removal: Removal, kind: str, record: Record, digest: str, kept_digest: str) -> str | None:
    source, kept = Path(removal.file.path), os.path.realpath(removal.kept.path)
    status = _check(removal)

    def link(place: Path) -> None:
        if kind == "symlink":
            place.symlink_to(kept)
        else:
            os.link(kept, place, follow_symlinks=False)

    temporary = _temporary(source.parent)
    try:
        link(temporary)  # that it cannot be made is known before anything goes
        if digest and digest == kept_digest and not _has_attributes(source):
            described = _described(removal, record) | {
                "kind": kind,
                "sha256": digest,
                "mode": stat.S_IMODE(status.st_mode),
                "uid": status.st_uid,
                "gid": status.st_gid,
            }
            record.add("link", removal.file.path, **described)
            if not os.path.samestat(_check(removal), status):
                raise StaysError("it was replaced meanwhile")
            temporary.replace(source)
            return None
        target = _trash(removal, record)
        record.add("link", removal.file.path, kind=kind, trashed=str(target), **_described(removal, record))
        try:
            # another file may have come there meanwhile, and stays
            if kind == "symlink":
                link(source)
            else:
                os.link(temporary, source, follow_symlinks=False)
        except OSError as error:
            raise StaysError(
                f"it is in the trash, at {target}, but there is no link in its place: {error.strerror}"
            ) from None
        return str(target)
    finally:
        temporary.unlink(missing_ok=True)


# -- and back ----------------------------------------------------------------------------------------------------------


def put_back(lines: list[dict[str, Any]]) -> Iterator[Outcome]:
    """Bring back what some lines of a `Record` tell of, the last one first; nothing is overwritten.

    What is back already is no error: it can be done again after a kill at any moment.

    Parameters
    ----------
    lines
        Lines of a record, without those that another one takes back.
    """
    for line in reversed(lines):
        path = str(line["path"])
        try:
            if not Path(path).is_absolute():
                raise StaysError("where it was is not known")
            if line["action"] == "delete":
                raise StaysError("it was deleted, and there is no way back")
            if line["action"] == "link" and "sha256" not in line:
                with contextlib.suppress(StaysError):  # what is said of the file in the trash says it
                    if _is_as_was(Path(line["trashed"]), line):
                        _unlink(line)
            elif line["action"] == "link":
                _unlink(line)
                yield Outcome(path, path, None)
            else:
                yield Outcome(str(line["to"]), _return(line), None)
        except (StaysError, OSError, KeyError, TypeError, ValueError) as error:
            # the latter of damaged lines
            reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
            yield Outcome(path, None, reason)


def _unlink(line: dict[str, Any]) -> None:
    """Take a link away; a file that was equal to what is kept is a file of its own again."""
    path, kept = Path(line["path"]), Path(line["kept"])
    try:
        status = path.lstat()
    except FileNotFoundError:
        if "sha256" in line:
            raise StaysError("the link to the image that was kept is not there any more") from None
        return
    linked = stat.S_ISLNK(status.st_mode) and os.path.realpath(path) == os.path.realpath(kept)
    if not stat.S_ISLNK(status.st_mode):
        linked = kept.exists() and os.path.samestat(status, kept.stat())
    if not linked:
        if "sha256" in line and _is_as_was(path, line):
            return  # it never came to the link, or is back already
        raise StaysError("there is another file in its place")
    if "sha256" not in line:
        path.unlink()
        return
    temporary = _temporary(path.parent)
    try:
        shutil.copyfile(kept, temporary)
        with temporary.open("rb") as copy:
            os.fsync(copy.fileno())
            if hashlib.file_digest(copy, "sha256").hexdigest() != line["sha256"]:
                raise StaysError("the image that was kept, and was equal to it, has changed since")
        with contextlib.suppress(OSError, AttributeError):
            os.chown(temporary, int(line.get("uid", -1)), int(line.get("gid", -1)))
        temporary.chmod(int(line["mode"]))
        os.utime(temporary, ns=(int(line["mtime_ns"]), int(line["mtime_ns"])))
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _is_as_was(path: Path, line: dict[str, Any]) -> bool:
    try:
        status = path.lstat()
    except OSError:
        return False
    times = (line["mtime_ns"], line.get("to_mtime_ns", line["mtime_ns"]))
    return stat.S_ISREG(status.st_mode) and status.st_size == line["size"] and status.st_mtime_ns in times


def _return(line: dict[str, Any]) -> str:
    """Move a file back to where it was."""
    path, to = Path(line["path"]), Path(line["to"])
    if not os.path.lexists(to):
        if _is_as_was(path, line):
            return str(line["path"])  # back already
        raise StaysError(f"{to} is not there any more")
    if not _is_as_was(to, line):
        raise StaysError(f"{to} has changed since")
    if os.path.lexists(path):
        if not _is_as_was(path, line):
            raise StaysError("there is another file in its place")
        # stopped between the second name, or copy, and the end of the first one
        if not os.path.samestat(path.lstat(), to.lstat()) and not filecmp.cmp(path, to, shallow=False):
            raise StaysError("there is another file in its place")
    else:
        path.parent.mkdir(parents=True, exist_ok=True)
        seen = Seen(str(to), int(line["size"]), to.lstat().st_mtime_ns)

        def name(_: str) -> Iterator[str]:
            yield path.name

        status = _status(seen, "it")
        moved = _link(to, path.parent, status, name)
        if moved is None and not os.path.lexists(path):
            _copy(to, path.parent, status, name)
        elif moved is None:
            raise StaysError("there is another file in its place")
        _sync_folder(path.parent)
    with contextlib.suppress(OSError):
        os.utime(path, ns=(path.lstat().st_atime_ns, int(line["mtime_ns"])), follow_symlinks=False)
    # a name that it had before it was moved stays
    if not line.get("before") and not _is_one_name(to, path):
        to.unlink()
    info = to.parent.parent / "info" / f"{to.name}.trashinfo"
    if line.get("info") == str(info):  # and nothing else that a journal may name
        info.unlink(missing_ok=True)
    return str(line["path"])
