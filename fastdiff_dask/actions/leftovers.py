"""Traces of a killed `apply` or `undo`: files that had another name for a moment, and files that were being made."""

import contextlib
import filecmp
import os
import stat
from pathlib import Path

from .disk import is_temporary
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
        except (OSError, StaysError):
            continue
        _note_cleared(journal)
    return count


def _note_cleared(journal: Journal) -> None:
    with contextlib.suppress(OSError):  # else the next call looks again
        record = Record.of(journal)
        try:
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
