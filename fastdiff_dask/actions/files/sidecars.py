"""Sidecars: files that other programs keep beside a picture, with its edits, its place, or the seconds around it."""

import os
import re
from collections.abc import Callable, Collection, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from ...urls import clamped
from ..disk import free_names
from ..journal import Record
from ..removals import Outcome, Removal, Seen
from .copies import Copier
from .file_moves import attempt, delete_file, move_file
from .trash import trash_file

__all__ = ["CHOICES", "SUFFIXES", "Companions", "FoundSidecar", "Sidecars", "sidecars_of"]

CHOICES = ("leave", "move")
SUFFIXES = (".xmp", ".aae", ".json", ".mov", ".mp4", ".thm", ".pp3", ".dop")
# IMG_1.jpg.supplemental-metadata(1).json of Google Takeout is that of IMG_1(1).jpg; long names are cut off
_TAKEOUT = ".supplemental-metadata"
_NUMBER = re.compile(r"\(\d+\)$")


class FoundSidecar(NamedTuple):
    """A sidecar, and the picture whose companion it is."""

    path: str
    picture: str


class Sidecars:
    """The sidecars in the folders of some pictures; each folder is listed once."""

    def __init__(self) -> None:
        self._folders: dict[str, tuple[dict[str, list[str]], dict[str, list[str]]]] = {}

    def of(self, picture: str, gone: Collection[str]) -> Iterator[str]:
        """Give the paths of the sidecars of a picture.

        - A sidecar with the whole name of the picture, as IMG_1.jpg.xmp, belongs to this picture.
        - One with its stem, as IMG_1.xmp, belongs to all pictures of this stem, as IMG_1.cr2; it counts only if each of
          them is in `gone`, or is not there.
        """
        folder, name = os.path.split(picture)
        owners, pictures = self._listed(folder)
        full, stem = name.casefold(), os.path.splitext(name)[0].casefold()  # noqa: PTH122 - names may be undecodable
        found = list(owners.get(full, ()))
        others = (os.path.join(folder, other) for other in pictures.get(stem, ()) if other != name)  # noqa: PTH118
        if all(other in gone or not os.path.lexists(other) for other in others):
            found += owners.get(stem, ())
        for other in dict.fromkeys(found):
            path = os.path.join(folder, other)  # noqa: PTH118
            if path != picture and Path(path).is_file() and not Path(path).is_symlink():
                yield path

    def _listed(self, folder: str) -> tuple[dict[str, list[str]], dict[str, list[str]]]:
        """List a folder: name or stem of a picture → its sidecars, and stem → the pictures."""
        if folder not in self._folders:
            owners: dict[str, list[str]] = {}
            pictures: dict[str, list[str]] = {}
            try:
                names = sorted(os.listdir(folder))  # noqa: PTH208 - names may be undecodable, and many
            except OSError:
                names = []
            for name in names:
                stem, suffix = os.path.splitext(name)  # noqa: PTH122
                if suffix.lower() in SUFFIXES:
                    owners.setdefault(_owner(stem, suffix).casefold(), []).append(name)
                else:
                    pictures.setdefault(stem.casefold(), []).append(name)
            self._folders[folder] = owners, pictures
        return self._folders[folder]


def _owner(stem: str, suffix: str) -> str:
    """Name the picture, or the stem, to which a sidecar belongs.

    Examples
    --------
    >>> _owner("IMG_1.jpg", ".xmp"), _owner("IMG_1.jpg.supplemental-metada(2)", ".json"), _owner("IMG_1", ".aae")
    ('IMG_1.jpg', 'IMG_1(2).jpg', 'IMG_1')
    """
    if suffix.lower() != ".json":
        return stem
    number = _NUMBER.search(stem)
    rest = stem if number is None else stem[: number.start()]
    before, word = os.path.splitext(rest)  # noqa: PTH122
    if word and _TAKEOUT.startswith(word.lower()):
        rest = before
    name, of = os.path.splitext(rest)  # noqa: PTH122
    return name + (number[0] if number else "") + of


def sidecars_of(pictures: Iterable[str]) -> list[FoundSidecar]:
    """Find the sidecars of pictures that are to go together."""
    paths = [os.path.abspath(path) for path in pictures]  # noqa: PTH100 - names may be undecodable
    going, sidecars = set(paths), Sidecars()
    found: dict[str, str] = {}
    for picture in paths:
        for path in sidecars.of(picture, going):
            found.setdefault(path, picture)
    return [FoundSidecar(path, picture) for path, picture in found.items()]


class Companions:
    """Takes the sidecars along with each picture that has gone.

    They are moved or copied with it, deleted with it, or go to the trash where a link takes its place.

    Parameters
    ----------
    action
        What becomes of the pictures.
    record
        The record of the pictures: undo brings both back.
    copier
        The copier of the pictures, if they are copied.
    """

    def __init__(self, action: str, record: Record, copier: Copier | None = None) -> None:
        self._action, self._record, self._copier = action, record, copier
        self._sidecars, self._gone = Sidecars(), set[str]()

    def follow(self, removal: Removal, to: str | None) -> Iterator[Outcome]:
        """Take along the sidecars of a picture that has gone to a place, or has been deleted."""
        picture = removal.file.path
        self._gone.add(picture)
        for path in self._sidecars.of(picture, self._gone):
            yield self._take(path, removal, to)

    def _take(self, path: str, removal: Removal, to: str | None) -> Outcome:
        picture = removal.file.path

        def seen(removal: Removal) -> Removal:
            status = Path(path).lstat()
            return removal._replace(file=Seen(path, status.st_size, clamped(status.st_mtime_ns)))

        sidecar = removal._replace(file=Seen(path, 0, 0))
        outcome = attempt(sidecar, self._record, seen, lambda one: self._act(one, picture, to))
        return outcome._replace(sidecar_of=picture)

    def _act(self, sidecar: Removal, picture: str, to: str | None) -> str | None:
        def belongs(_: Path) -> str:
            return picture

        if self._action == "delete":
            delete_file(sidecar, self._record, sidecar_of=picture)
            return None
        if self._action in ("move", "copy"):
            names, folder = _names_after(sidecar.file.path, picture, str(to)), Path(str(to)).parent
            if self._action == "copy" and self._copier is not None:
                return str(self._copier.copy(sidecar, folder, names, sidecar_of=picture))
            return str(move_file(sidecar, folder, self._record, names, sidecar_of=belongs))
        return str(trash_file(sidecar, self._record, sidecar_of=belongs))


def _names_after(sidecar: str, picture: str, to: str) -> Callable[[str], Iterator[str]]:
    """Name a sidecar after its picture, which may have got a number."""
    name, before, after = (os.path.basename(path) for path in (sidecar, picture, to))  # noqa: PTH119
    for old, new in ((before, after), (os.path.splitext(before)[0], os.path.splitext(after)[0])):  # noqa: PTH122
        if name.casefold().startswith(old.casefold()):
            return lambda _: free_names(new + name[len(old) :])
    return free_names
