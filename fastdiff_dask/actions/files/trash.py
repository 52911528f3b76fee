"""The trash of FreeDesktop.org and of macOS."""

import contextlib
import os
import stat
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from urllib.parse import quote

from ..disk import discard, free_names
from ..journal import Record
from ..removals import Outcome, Removal, StaysError, Verify
from .file_moves import act_on_each, check_removal, check_unchanged, move_file

__all__ = ["trash_file", "trash_files"]

# Bytes of a name in the trash, which gets a number, and ".trashinfo" of its description.
_LONGEST = 220


def trash_files(removals: Iterable[Removal], record: Record, verify: Verify = check_unchanged) -> Iterator[Outcome]:
    """Move files to the trash of their user, one at a time; parameters as for `move_files`.

    The trash is that of the FreeDesktop.org specification 1.0, in the user's home or at the top of the file system, or
    ``~/.Trash`` of macOS. Files are as safe as in `move_files`.
    """
    return act_on_each(removals, record, verify, lambda removal: str(trash_file(removal, record)))


def trash_file(
    removal: Removal, record: Record, leave: Callable[[Path], None] | None = None, **more: Callable[[Path], str]
) -> Path:
    """Move a file to the trash; gives its new path. `leave` and more fields for its line are as for `move_file`."""
    source, status = Path(removal.file.path), check_removal(removal)
    if sys.platform == "win32":
        raise StaysError("there is no trash that it could be brought back from on Windows; move it instead")
    if sys.platform == "darwin":
        folder = Path.home() / ".Trash"
        return move_file(removal, folder, record, action="trash", leave=leave, **more)
    place, path = _trash_folder(source, status)
    reserved: dict[str, Path] = {}

    def names(name: str) -> Iterator[str]:
        for free in free_names(_shortened(name)):
            info = place / "info" / f"{free}.trashinfo"
            if os.path.lexists(info):
                continue
            record.add("temporary", str(info))
            try:
                # the process that makes this file has the name
                reserved[free] = info
                with info.open("x", encoding="ascii") as file:
                    now = time.strftime("%Y-%m-%dT%H:%M:%S")
                    file.write(f"[Trash Info]\nPath={quote(os.fsencode(path))}\nDeletionDate={now}\n")
            except FileExistsError:
                del reserved[free]
                continue
            yield free

    used = ""
    try:
        target = move_file(
            removal, place / "files", record, names, "trash", leave, info=lambda to: str(reserved[to.name]), **more
        )
        used = target.name
        return target
    finally:
        if not used and record.is_settled:  # it is there, whatever failed after that
            reserved.popitem()
        for name, info in reserved.items():
            if name != used:
                discard(info)


def _shortened(name: str) -> str:
    """Shorten a name so that an extension may be added."""
    stem, extension = os.path.splitext(name)  # noqa: PTH122 - the name may be undecodable bytes
    end = os.fsencode(extension)[:32]
    return os.fsdecode(os.fsencode(stem)[: _LONGEST - len(end)] + end)


def _trash_folder(source: Path, status: os.stat_result) -> tuple[Path, str]:
    """Find the trash for a file, on its own file system if possible, and the path that the trash records for it."""
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
