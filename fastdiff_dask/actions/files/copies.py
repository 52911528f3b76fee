"""Files are copied one at a time; the originals stay as they are."""

import filecmp
import os
import stat
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from ..disk import copy_file, free_names, sync_folder
from ..journal import Record
from ..removals import Outcome, Removal, StaysError, Verify
from .file_moves import act_on_each, check_removal, check_unchanged, describe_removal
from .targets import Target

__all__ = ["Copier", "copy_files"]


def copy_files(
    removals: Iterable[Removal], copier: "Copier", record: Record, verify: Verify = check_unchanged
) -> Iterator[Outcome]:
    """Copy files, one at a time; parameters as for `file_moves.move_files`."""
    return act_on_each(removals, record, verify, lambda removal: str(copier.copy(removal)))


class Copier:
    """Copies files into folders; nothing is overwritten, and an equal copy of an earlier call is not made again.

    Parameters
    ----------
    target
        The folders.
    record
        Record that gets a line for each copy.
    """

    def __init__(self, target: Target, record: Record) -> None:
        self._target, self._record = target, record
        self._taken: set[Path] = set()

    def copy(
        self,
        removal: Removal,
        folder: Path | None = None,
        names: Callable[[str], Iterator[str]] = free_names,
        **more: str,
    ) -> Path:
        """Copy a file into its folder, or another one, and give the copy; more fields for its line may be named."""
        if folder is not None:
            return self._copy(removal, folder, names, more)
        with self._target.of(removal.file.path) as (place, made):
            return self._copy(removal, place, names, {"made": made} if made else {})

    def _copy(
        self, removal: Removal, folder: Path, names: Callable[[str], Iterator[str]], more: dict[str, Any]
    ) -> Path:
        source, status = Path(removal.file.path), check_removal(removal)
        if os.path.samestat(source.parent.stat(), folder.stat()):
            raise StaysError("it is in that folder already")
        for name in names(source.name):
            known = folder / name
            if not os.path.lexists(known):
                break
            if known not in self._taken and _is_copy(known, source, status):
                self._taken.add(known)
                return known
        target = copy_file(
            source, folder, status, names, lambda path: self._record.add("temporary", str(path), of=str(source))
        )
        sync_folder(folder)
        self._record.add("copy", removal.file.path, to=str(target), **describe_removal(removal, self._record), **more)
        self._record.settle()
        self._taken.add(target)
        return target


def _is_copy(path: Path, source: Path, status: os.stat_result) -> bool:
    """Find whether a file is another one with the same content."""
    there = path.lstat()
    if not stat.S_ISREG(there.st_mode) or there.st_size != status.st_size or os.path.samestat(there, status):
        return False
    return filecmp.cmp(path, source, shallow=False)
