"""Traces of a killed `apply` or `undo`: files that had another name for a moment, and files that were being made."""

import contextlib
import filecmp
import os
import stat
from pathlib import Path

from .disk import discard, is_one_name, is_temporary
from .journal import Journal, Record, unfinished_journals
from .removals import StaysError
from .two_files import return_set_aside

__all__ = ["clear_leftovers"]


def clear_leftovers() -> int:
    """Clear away what the journals of this user say that a kill may have left; give the number of files.

    The caller is the only one at work, see `journal.acting`. What cannot be cleared now is left for the next call.
    """
    count = 0
    for journal in unfinished_journals():
        try:
            for line in reversed(journal.unfinished):  # a description goes after its file
                if line["action"] == "aside":
                    count += os.path.lexists(line["to"])
                    return_set_aside(line)
                else:
                    count += _remove(Path(line["path"]), line.get("of"))
            taken_back = _take_second_name_back(journal)
        except (OSError, StaysError):
            continue
        _note_cleared(journal, taken_back)
    return count


def _take_second_name_back(journal: Journal) -> str | None:
    """Take away the second name of a file that was killed before it lost the first one; give the first one.

    Else the file would be moved once more, and have two names there. A copy in another file system is left: it cannot
    be told from one that somebody has made.
    """
    lines = [line for line in journal.lines[-2:] if line["action"] in ("move", "trash")]
    if not lines or journal.lines[-1]["path"] != lines[-1]["path"] or lines[-1].get("before"):
        return None
    path, to = Path(lines[-1]["path"]), Path(lines[-1]["to"])
    both = os.path.lexists(path) and os.path.lexists(to) and os.path.samestat(path.lstat(), to.lstat())
    if not both or is_one_name(path, to):
        return None
    to.unlink()
    info = to.parent.parent / "info" / f"{to.name}.trashinfo"
    if lines[-1].get("info") == str(info):  # no other file that a damaged journal may name
        discard(info)
    return str(path)


def _note_cleared(journal: Journal, taken_back: str | None) -> None:
    with contextlib.suppress(OSError):  # else the next call looks again
        record = Record.of(journal)
        try:
            if taken_back is not None:
                record.add("undone", taken_back)
            record.add("cleared", "")
        finally:
            record.close()


def _remove(path: Path, of: object) -> bool:
    """Remove a file that was being made; no other file that a damaged journal may name."""
    try:
        status = path.lstat()
    except FileNotFoundError:
        return False
    described = path.parent.parent / "files" / path.stem
    of_trash = path.suffix == ".trashinfo" and path.parent.name == "info" and not os.path.lexists(described)
    reserved = stat.S_ISREG(status.st_mode) and status.st_size == 0  # a name that a copy was to have
    if not (is_temporary(path.name) or of_trash or (isinstance(of, str) and (reserved or _is_second(path, Path(of))))):
        return False
    path.unlink()
    return True


def _is_second(path: Path, of: Path) -> bool:
    """Find whether a file is a second name or a copy of another one, which has all that this one has."""
    if path == of or path.is_symlink() or of.is_symlink() or not (path.is_file() and of.is_file()):
        return False
    return path.samefile(of) or filecmp.cmp(path, of, shallow=False)
