"""Files are moved or deleted one at a time; no picture is lost, even if the process is killed at any moment.

A file goes only while the file that is kept for it exists. Both files are checked right before:

- Both files are unchanged since they were compared.
- The two paths are not two names of one file.
- Neither file is a symbolic link.

Where names and numbers do not tell whether the two paths are two files, `two_files` proves it.
"""

import contextlib
import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from ...urls import clamped
from ..disk import (
    copy_file,
    discard,
    free_names,
    is_one_name,
    is_there,
    link_file,
    place_of,
    status_as_seen,
    status_fields,
    sync_folder,
)
from ..journal import Record
from ..removals import Outcome, Removal, StaysError, Verify
from .targets import Target
from .two_files import prove_two_files

__all__ = [
    "act_on_each",
    "attempt",
    "check_removal",
    "check_unchanged",
    "delete_file",
    "delete_files",
    "describe_removal",
    "move_file",
    "move_files",
    "refused",
]


def refused(removals: Iterable[Removal]) -> dict[Removal, str]:
    """Find the removals to refuse, with the reason: the file is kept for another image, or goes already.

    Examples
    --------
    >>> from fastdiff_dask.actions.removals import Seen
    >>> a, b, c = (Seen(name, 1, 0) for name in "abc")
    >>> [removal.file.path for removal in refused([Removal(a, b), Removal(b, c)])]
    ['b']
    """
    removals = list(removals)
    # links are not followed: `check_removal` refuses a file that is a link
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


def check_unchanged(removal: Removal) -> Removal:
    """Verify a removal by names, sizes and times alone."""
    check_removal(removal)
    return removal


def move_files(
    removals: Iterable[Removal],
    folder: str | os.PathLike[str] | Target,
    record: Record,
    verify: Verify = check_unchanged,
) -> Iterator[Outcome]:
    """Move files into folders, one at a time; a file keeps its name, or gets a number if the name is taken.

    - Nothing is overwritten.
    - Within a file system, a file gets its new name before it loses the old one.
    - To another file system, a file is copied under a temporary name, written through to the disk, read again,
      compared, and renamed. Only then the original goes.
    - If the process is killed in between, the original and its second name or copy are left.

    Parameters
    ----------
    removals
        Files that may go; those that are `refused` stay.
    folder
        An existing folder, or the folders for the files.
    record
        Record that gets a line for each file before the file goes.
    verify
        Function that checks a removal right before its file goes, and gives the removal as it is then.

    Returns
    -------
    Outcome of each file, one after the other.
    """
    target = folder if isinstance(folder, Target) else Target(folder)

    def move(removal: Removal) -> str:
        with target.of(removal.file.path) as (place, made):
            more: dict[str, Any] = {"made": lambda _: made} if made else {}
            return str(move_file(removal, place, record, **more))

    return act_on_each(removals, record, verify, move)


def delete_files(removals: Iterable[Removal], record: Record, verify: Verify = check_unchanged) -> Iterator[Outcome]:
    """Delete files, one at a time; parameters as for `move_files`."""
    return act_on_each(removals, record, verify, lambda removal: delete_file(removal, record))


def act_on_each(
    removals: Iterable[Removal], record: Record, verify: Verify, action: Callable[[Removal], str | None]
) -> Iterator[Outcome]:
    """Do an action on each file that may go; the action gives the new place of the file, or None.

    Errors and reasons to stay become outcomes. Parameters as for `move_files`.
    """
    removals = list(removals)
    stay = refused(removals)
    for removal in removals:
        if removal in stay:
            yield Outcome(removal.file.path, None, stay[removal])
        else:
            yield attempt(removal, record, verify, action)


def attempt(removal: Removal, record: Record, verify: Verify, action: Callable[[Removal], str | None]) -> Outcome:
    """Do an action on a file, if it may go; parameters as for `act_on_each`."""
    path = removal.file.path
    try:
        removal = verify(removal)
        check_removal(removal)
        prove_two_files(removal, record)
        return Outcome(path, action(removal), None)
    except (StaysError, OSError) as error:
        reason = str(error) if isinstance(error, StaysError) else (error.strerror or str(error))
        with contextlib.suppress(OSError):  # the disk may be full; the outcome has the reason anyway
            record.stay(path, reason)
        return Outcome(path, None, reason)


def delete_file(removal: Removal, record: Record, **more: str) -> None:
    """Delete a file; more fields for its line may be named."""
    check_removal(removal)
    record.add("delete", removal.file.path, **describe_removal(removal, record), **more)
    check_removal(removal)
    Path(removal.file.path).unlink()
    record.settle()


def describe_removal(removal: Removal, record: Record) -> dict[str, Any]:
    """Give the fields of a removal for a line of a `Record`."""
    file = removal.file
    names = [name for name in record.names(file.path) if _are_one(Path(name), Path(file.path))]
    described: dict[str, Any] = {"size": file.size, "mtime_ns": file.mtime_ns, "kept": removal.kept.path}
    described |= {"names": names} if names else {}
    described |= {"why": why} if (why := record.why(removal)) else {}
    mine, other = record.digests(removal)
    if not other:
        return described
    return described | {"kept_sha256": other} | ({"equal": True} if mine == other else {})


def _are_one(path: Path, other: Path) -> bool:
    return path.is_file() and other.is_file() and path.samefile(other)


def check_removal(removal: Removal) -> os.stat_result:
    """Check names, sizes and times of both files right now, and give the status of the file that goes.

    Raises
    ------
    StaysError
        If the file must stay.
    """
    file, kept = (status_as_seen(seen, name) for seen, name in zip(removal, ("it", "the file to keep"), strict=True))
    if os.path.samestat(file, kept):
        raise StaysError(f"it is the same file as the one to keep, {removal.kept.path}")
    return file


def move_file(
    removal: Removal,
    folder: Path,
    record: Record,
    names: Callable[[str], Iterator[str]] | None = None,
    action: str = "move",
    leave: Callable[[Path], None] | None = None,
    **more: Callable[[Path], Any],
) -> Path:
    """Move a file into a folder under the first free one of some names; give the new path.

    `leave` is told the new path, and takes the old name away; by default it is removed.
    """
    source, status = Path(removal.file.path), check_removal(removal)
    if os.path.samestat(source.parent.stat(), folder.stat()):
        raise StaysError("it is in that folder already")
    names = free_names if names is None else names
    target, made, was = _second_name(source, status, folder, names, record)
    recorded = False
    try:
        sync_folder(folder)
        there = target.lstat()
        values: dict[str, Any] = {name: value(target) for name, value in more.items()}
        values |= ({} if made else {"before": True}) | was
        # file systems with coarser times round the time of modification
        there_ns = clamped(there.st_mtime_ns)
        values |= {} if there_ns == removal.file.mtime_ns else {"to_mtime_ns": there_ns}
        record.add(action, removal.file.path, to=str(target), **describe_removal(removal, record), **values)
        recorded = True
        if not os.path.samestat(check_removal(removal), status):
            raise StaysError("it was replaced while it was moved")
        if not is_there(target, there):
            raise StaysError(f"{target} was taken away while it was moved")
        if is_one_name(source, target):
            raise StaysError("it is in that folder already")
        source.unlink() if leave is None else leave(target)
    except BaseException:
        # the second name or copy may go only while the original is there
        original = is_there(source, status)
        if recorded and not (original and (not made or discard(target))):
            record.settle()  # undo takes the second name away, or brings the file back
        elif original and made:
            discard(target)
        raise
    record.settle()
    return target


def _second_name(
    source: Path, status: os.stat_result, folder: Path, names: Callable[[str], Iterator[str]], record: Record
) -> tuple[Path, bool, dict[str, Any]]:
    """Give a file a second name, or a copy in another file system.

    Returns
    -------
    The new path, whether it is new, and what the copy lacks of the original, as a field of the record.
    """

    def announce(path: Path) -> None:
        record.add("temporary", str(path), of=str(source))

    linked = link_file(source, folder, status, names, announce)
    if linked is not None:
        return *linked, {}
    was = status_fields(source)
    target = copy_file(source, folder, status, names, announce)
    return target, True, {} if status_fields(target) == was else {"was": was}
