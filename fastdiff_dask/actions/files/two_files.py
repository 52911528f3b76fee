"""Proof that two names are two files, where device and inode cannot tell: one is renamed, the other must not follow.

One file can be seen through two mounts with numbers of their own (overlayfs, mergerfs, a network mount of a folder of
this machine), or through two spellings of one name. To remove the one name would then remove the only file.

What a killed `apply` or `undo` leaves is cleared away here, too: files that had another name for a moment, and files
that were being made.
"""

import contextlib
import filecmp
import hashlib
import os
import re
import stat
import uuid
from pathlib import Path
from typing import Any

from ...stages.listing.mounts import NUMBERED, folded_name, type_of_mount
from ...urls import clamped
from ..disk import discard, is_one_name, is_temporary
from ..journal import Journal, Record, unfinished_journals
from ..removals import Removal, StaysError

__all__ = ["clear_leftovers", "prove_two_files", "return_set_aside"]

_ASIDE = re.compile(r"\.fastdiff-[0-9a-f]{32}\.aside")


def prove_two_files(removal: Removal, record: Record) -> None:
    """Prove that the file that goes and the file that is kept are two files, or refuse the removal.

    Different contents, and different numbers on file systems of `NUMBERED`, prove it at no cost. Otherwise the file
    that goes gets another name for a moment; `record` has both names before, so that `return_set_aside` gives it its
    name again after a kill.

    Raises
    ------
    StaysError
        If both are one file, or the file that is kept cannot be read any more.
    """
    mine, other = record.digests(removal)
    if (mine and other and mine != other) or not _may_be_one(Path(removal.file.path), Path(removal.kept.path)):
        return
    path, kept = Path(removal.file.path), Path(removal.kept.path)
    aside = path.with_name(f".fastdiff-{uuid.uuid4().hex}.aside")
    record.add("aside", str(path), to=str(aside))
    path.rename(aside)
    try:
        _check_kept(removal, aside, kept, other)
    finally:
        _give_back(aside, path)


def return_set_aside(line: dict[str, Any]) -> None:
    """Give a file the name that it had before a proof that was killed, by the line of a `Record`.

    Raises
    ------
    StaysError, OSError
        If it cannot have its name.
    """
    path, aside = Path(line["path"]), Path(line["to"])
    if path.is_absolute() and aside.parent == path.parent and _ASIDE.fullmatch(aside.name):  # no other file
        _give_back(aside, path)


def _may_be_one(path: Path, kept: Path) -> bool:
    if folded_name(os.path.realpath(path)) == folded_name(os.path.realpath(kept)):
        return True
    types = type_of_mount(path), type_of_mount(kept)
    if path.lstat().st_dev == kept.lstat().st_dev:
        # numbers of one overlay are those of its layers
        return not NUMBERED.issuperset({kind for kind in types if kind not in ("", "overlay")})
    return not NUMBERED.issuperset(types)


def _check_kept(removal: Removal, aside: Path, kept: Path, digest: str) -> None:
    """See that the file to keep is there and whole, while the other one has another name."""
    another_folder = os.path.realpath(kept.parent) != os.path.realpath(aside.parent)
    one_name = folded_name(kept.name) == folded_name(os.path.basename(removal.file.path))  # noqa: PTH119
    # this name was never looked up before: no cache of a mount answers for it
    if another_folder and one_name and os.path.lexists(kept.with_name(aside.name)):
        raise StaysError(f"it is the same file as the one to keep, {kept}, seen in another place")
    try:
        status = kept.lstat()
        with kept.open("rb") as file:
            whole = not digest or hashlib.file_digest(file, "sha256").hexdigest() == digest
    except FileNotFoundError:
        raise StaysError(f"it is the same file as the one to keep, {kept}, seen under another name") from None
    if not whole or (status.st_size, clamped(status.st_mtime_ns)) != (removal.kept.size, removal.kept.mtime_ns):
        raise StaysError(f"the file to keep, {kept}, has changed since it was compared")


def _give_back(aside: Path, path: Path) -> None:
    """Rename a file back; nothing is overwritten."""
    if not os.path.lexists(aside):
        return
    try:
        os.link(aside, path, follow_symlinks=False)
    except FileExistsError:
        if not os.path.samestat(aside.lstat(), path.lstat()) and not filecmp.cmp(aside, path, shallow=False):
            raise StaysError(f"another file has taken its name meanwhile; it is {aside} now") from None
    except (OSError, NotImplementedError):
        if os.path.lexists(path):
            raise StaysError(f"another file has taken its name meanwhile; it is {aside} now") from None
        aside.rename(path)  # without hard links
        return
    aside.unlink()


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
