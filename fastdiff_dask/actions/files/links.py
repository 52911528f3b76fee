"""Duplicates replaced by a hard link or a symbolic link to the file that is kept."""

import os
import stat
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from ..disk import discard, has_attributes, temporary_path
from ..journal import Record
from ..removals import Outcome, Removal, StaysError, Verify
from .file_moves import act_on_each, check_removal, check_unchanged, describe_removal
from .trash import trash_file

__all__ = ["link_files"]


def link_files(
    removals: Iterable[Removal],
    kind: str,
    record: Record,
    verify: Verify = check_unchanged,
    digests: Callable[[Removal], tuple[str, str]] = lambda removal: ("", ""),
) -> Iterator[Outcome]:
    """Put a link to the file that is kept in the place of each file, one at a time.

    Each file is replaced in one step. Unless it is equal to the kept file, byte by byte, it is in the trash by then.

    Parameters
    ----------
    removals
        Files that may go; those that are `refused` stay.
    kind
        "hardlink" or "symlink".
    record, verify
        As for `move_files`.
    digests
        SHA-256 of both files, as `verify` has just read them. By default no file is taken for equal.

    Returns
    -------
    Outcome of each file, as it goes.
    """
    return act_on_each(
        removals, record, verify, lambda removal: _replace_by_link(removal, kind, record, *digests(removal))
    )


def _replace_by_link(removal: Removal, kind: str, record: Record, digest: str, kept_digest: str) -> str | None:
    source, kept = Path(removal.file.path), os.path.realpath(removal.kept.path)
    status = check_removal(removal)

    def link(place: Path) -> None:
        if kind == "symlink":
            place.symlink_to(kept)
        else:
            os.link(kept, place, follow_symlinks=False)

    temporary = temporary_path(source.parent)
    record.add("temporary", str(temporary))
    try:
        link(temporary)  # fails before anything goes
        if digest and digest == kept_digest and not has_attributes(source):
            described = describe_removal(removal, record) | {
                "kind": kind,
                "sha256": digest,
                "mode": stat.S_IMODE(status.st_mode),
                "uid": status.st_uid,
                "gid": status.st_gid,
                "exact_ns": status.st_mtime_ns,
            }
            record.add("link", removal.file.path, **described)
            if not os.path.samestat(check_removal(removal), status):
                raise StaysError("it was replaced meanwhile")
            temporary.replace(source)
            record.settle()
            return None

        def put_in_place(target: Path) -> None:
            record.add("link", removal.file.path, kind=kind, trashed=str(target), **describe_removal(removal, record))
            try:
                temporary.replace(source)
            except OSError as error:
                record.stay(removal.file.path, str(error))
                raise

        return str(trash_file(removal, record, put_in_place))
    finally:
        discard(temporary)
