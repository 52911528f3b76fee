"""Undo of a journal: files that were moved, trashed or linked are brought back."""

import contextlib
import filecmp
import hashlib
import os
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..urls import clamped
from .disk import (
    copy_file,
    discard,
    is_one_name,
    link_file,
    remove_leftovers,
    set_owner,
    set_status,
    status_as_seen,
    sync_folder,
    temporary_path,
)
from .files.targets import remove_empty
from .files.two_files import clear_leftovers
from .journal import Journal, Record, acting, read_journal
from .removals import Outcome, Seen, StaysError

__all__ = ["clear_away", "put_back", "undo"]


def undo(journal: Journal) -> Iterator[Outcome]:
    """Bring back all files of a journal, the last one first. It can be called again after a kill.

    Raises
    ------
    FastDiffError
        If another process is at work, see `journal.acting`.
    """
    with acting():
        clear_leftovers()
        found = read_journal(journal.path)
        lines = found.actions  # another process may have brought some back meanwhile
        places = [str(line[name]) for line in lines for name in ("path", "to") if name in line]
        remove_leftovers(os.path.dirname(place) for place in places)  # noqa: PTH120
        record = Record.of(journal)
        try:
            for outcome in put_back(lines, record):
                if outcome.reason is None:
                    with contextlib.suppress(OSError):  # of a full disk: the file is back, as the next undo sees
                        # an outcome names the file where it was in the trash, and where it is now
                        record.add("undone", str(outcome.to))
                yield outcome
        finally:
            record.close()


def clear_away() -> int:
    """Clear away what a kill has left, where there is nothing else to undo; give the number of files.

    Raises
    ------
    FastDiffError
        If another process is at work, see `journal.acting`.
    """
    with acting():
        return clear_leftovers()


def put_back(lines: list[dict[str, Any]], record: Record) -> Iterator[Outcome]:
    """Bring back the files of some lines of a `Record`, the last one first; nothing is overwritten.

    A file that is back already is no error, so that this can be done again after a kill at any moment.

    Parameters
    ----------
    lines
        Lines of a record, without those that a "stay" or "undone" takes back.
    record
        Record that gets a line for each file that is there for a moment.
    """
    for line in reversed(lines):
        path = str(line["path"])
        try:
            if not Path(path).is_absolute():
                raise StaysError("where it was is not known")
            if line["action"] == "delete":
                raise StaysError("it was deleted, and there is no way back")
            if line["action"] == "link" and "sha256" not in line:
                with contextlib.suppress(StaysError):  # the line of the file in the trash has the outcome
                    if _is_as_was(Path(line["trashed"]), line):
                        _unlink(line, record)
            elif line["action"] == "link":
                _unlink(line, record)
                yield Outcome(path, path, None)
            else:
                yield Outcome(str(line["to"]), _return(line, record), None)
        except (StaysError, OSError, KeyError, TypeError, ValueError) as error:
            # KeyError and the like come from damaged lines
            reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
            yield Outcome(path, None, reason)


def _unlink(line: dict[str, Any], record: Record) -> None:
    """Remove a link. A file that was equal to the kept file is made a file of its own again."""
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
            return  # the link was never made, or the file is back already
        raise StaysError("there is another file in its place")
    if "sha256" not in line:
        path.unlink()
        return
    other = _other_name(line, path, kept)
    if other is not None:
        _replace_by_name(path, other, record)
        return
    temporary = temporary_path(path.parent)
    record.add("temporary", str(temporary))
    try:
        shutil.copyfile(kept, temporary)
        with temporary.open("rb") as copy:
            os.fsync(copy.fileno())
            if hashlib.file_digest(copy, "sha256").hexdigest() != line["sha256"]:
                raise StaysError("the image that was kept, and was equal to it, has changed since")
        set_owner(temporary, int(line.get("uid", -1)), int(line.get("gid", -1)))
        temporary.chmod(int(line["mode"]))
        time_ns = int(line.get("exact_ns", line["mtime_ns"]))
        os.utime(temporary, ns=(time_ns, time_ns))
        temporary.replace(path)
    finally:
        discard(temporary)


def _other_name(line: dict[str, Any], path: Path, equal: Path) -> Path | None:
    """Find another name that a file had (a hard link), and that still has the content of `equal`."""
    for other in map(Path, line.get("names", ())):
        if other == path or not _is_as_was(other, line) or other.lstat().st_dev != path.parent.stat().st_dev:
            continue
        if not other.samefile(equal) and filecmp.cmp(other, equal, shallow=False):
            return other
    return None


def _replace_by_name(path: Path, other: Path, record: Record) -> None:
    """Make a file one with its other name again, which is equal to it."""
    temporary = temporary_path(path.parent)
    record.add("temporary", str(temporary))
    try:
        os.link(other, temporary)
        temporary.replace(path)
    finally:
        discard(temporary)


def _is_as_was(path: Path, line: dict[str, Any]) -> bool:
    try:
        status = path.lstat()
    except OSError:
        return False
    times = (line["mtime_ns"], line.get("to_mtime_ns", line["mtime_ns"]))
    return stat.S_ISREG(status.st_mode) and status.st_size == line["size"] and clamped(status.st_mtime_ns) in times


def _return(line: dict[str, Any], record: Record) -> str:
    """Move a file back to where it was."""
    path, to = Path(line["path"]), Path(line["to"])
    info = to.parent.parent / "info" / f"{to.name}.trashinfo"
    described = line.get("info") == str(info)  # no other file that a damaged journal may name
    if described:
        record.add("temporary", str(info))
    if os.path.lexists(to):
        _second_name(path, to, line, record)
        if "was" in line:  # its copy in another file system had less
            set_status(path, line["was"])
        if clamped(path.lstat().st_mtime_ns) != line["mtime_ns"]:
            os.utime(path, ns=(path.lstat().st_atime_ns, int(line["mtime_ns"])), follow_symlinks=False)
        if not os.path.samestat(path.lstat(), to.lstat()) and (other := _other_name(line, path, path)) is not None:
            _replace_by_name(path, other, record)
        # a second name that the file had before it was moved stays
        if not line.get("before") and not is_one_name(to, path):
            to.unlink()
            remove_empty([str(folder) for folder in line.get("made", ())])
    elif not _is_as_was(path, line):
        raise StaysError(f"{to} is not there any more")
    if described:
        discard(info)
    return str(line["path"])


def _second_name(path: Path, to: Path, line: dict[str, Any], record: Record) -> None:
    """Give a file its former name as well, if it has not got it yet."""
    if not _is_as_was(to, line):
        raise StaysError(f"{to} has changed since")
    if os.path.lexists(path):
        if not _is_as_was(path, line):
            raise StaysError("there is another file in its place")
        # stopped between the second name, or copy, and the end of the first one
        if not os.path.samestat(path.lstat(), to.lstat()) and not filecmp.cmp(path, to, shallow=False):
            raise StaysError("there is another file in its place")
        return
    path.parent.mkdir(parents=True, exist_ok=True)

    def name(_: str) -> Iterator[str]:
        yield path.name

    status = status_as_seen(Seen(str(to), int(line["size"]), clamped(to.lstat().st_mtime_ns)), "it")
    moved = link_file(to, path.parent, status, name)
    if moved is None and not os.path.lexists(path):
        copy_file(to, path.parent, status, name, lambda made: record.add("temporary", str(made)))
    elif moved is None:
        raise StaysError("there is another file in its place")
    sync_folder(path.parent)
