"""Proof that two names are two files, where device and inode cannot tell: one is renamed, the other must not follow.

One file can be seen through two mounts with numbers of their own (overlayfs, mergerfs, a network mount of a folder of
this machine), or through two spellings of one name. To remove the one name would then remove the only file.
"""

import filecmp
import hashlib
import os
import re
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..stages.mounts import NUMBERED, folded_name, type_of_mount
from ..urls import clamped
from .removals import Removal, StaysError

if TYPE_CHECKING:
    from .journal import Record

__all__ = ["prove_two_files", "return_set_aside"]

_ASIDE = re.compile(r"\.fastdiff-[0-9a-f]{32}\.aside")


def prove_two_files(removal: Removal, record: "Record") -> None:
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
