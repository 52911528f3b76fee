"""Meaning of earlier calls of `apply`, by their journals, for later ones."""

import itertools
import os
import re
from functools import cached_property
from pathlib import Path

from ..text import printable
from .disk import place_of
from .journal import Journal, journals

__all__ = ["History"]

_TRASH = re.compile(r"\.Trash(-\d+)?")


class History:
    """Rules for later calls, from actions that are not undone.

    - An image that was moved or trashed may be gone for good soon: no other image may go for it.
    - An image for which another one went, not equal to it byte by byte, must stay: the next better image may be similar
      to it, and not to the one that went.
    - An image to which a symbolic link leads must stay.
    - An image that went, or became a link, is not there to be chosen, though results from before still have it.

    Parameters
    ----------
    found
        The journals that count; by default all of this user.
    folder
        The folder to move to; the files in it count as moved.
    """

    def __init__(self, found: list[Journal] | None = None, folder: str | os.PathLike[str] | None = None) -> None:
        self._moved: set[str] = set()
        self._needed: dict[str, str] = {}
        self._linked: set[str] = set()
        self._targets: dict[str, str] = {}
        self._went: dict[str, str] = {}
        changed: list[tuple[str, str]] = []
        self._folder = None if folder is None else os.path.realpath(folder)
        for journal in journals() if found is None else found:
            for line in journal.lines:
                if line["action"] == "metadata":
                    changed.append((line["before"], line["sha256"]))
                    continue
                if line["action"] == "copy":  # a later call has nothing to do with it, as with what was moved
                    self._moved.add(place_of(line["to"]))
                if "sidecar_of" in line or line["action"] == "copy" or line.get("left"):
                    continue
                self._went[place_of(line["path"])] = line["kept"]
                if line["action"] in ("move", "trash"):
                    self._moved.add(place_of(line["to"]))
                if line["action"] == "link" and "sha256" in line:
                    self._linked.add(place_of(line["kept"]))
                back = "" if line["action"] in ("delete", "exec") else " (undo brings that back)"
                reason = f"{printable(line['path'])} went for it before{back}"
                if line.get("kind") == "symlink":
                    self._targets[place_of(line["kept"])] = reason
                if not (line.get("equal") or "kind" in line):  # for a link, the line for the trash counts
                    # by content as well, in case it was renamed
                    self._needed |= dict.fromkeys((place_of(line["kept"]), str(line.get("kept_sha256", ""))), reason)
        for before, after in changed:
            if before in self._needed:
                self._needed[after] = self._needed[before]
        self._needed.pop("", None)

    def is_aside(self, place: str) -> bool:
        """Find whether an image, named as by `place_of`, was moved or trashed, or lies in a trash."""
        parts = Path(place).parts
        trashed = any(_TRASH.fullmatch(part) for part in parts) or ("Trash", "files") in itertools.pairwise(parts)
        inside = self._folder is not None and Path(place).is_relative_to(self._folder)
        return trashed or inside or place in self._moved

    def went(self, place: str) -> bool:
        """Find whether an image was removed or replaced by a link, and nothing else is in its place now."""
        kept = self._went.get(place)
        if kept is None:
            return False
        path = Path(place)
        return not os.path.lexists(path) or path.is_symlink() or (Path(kept).is_file() and path.samefile(kept))

    @cached_property
    def _names_of_gone(self) -> set[str]:
        return {os.path.basename(place) for place in self._went}  # noqa: PTH119 - names may be undecodable

    def may_have_gone(self, path: str) -> bool:
        """Find by its name alone, without a look at the disk, whether `went` may be true of an image."""
        return os.path.basename(path) in self._names_of_gone  # noqa: PTH119

    def is_linked(self, place: str) -> bool:
        """Find whether another image, equal to this one, was replaced by a link to it."""
        return place in self._linked

    def is_target(self, place: str) -> str | None:
        """Give the reason to keep an image to which a symbolic link leads, even if an equal one stays; or None."""
        return self._targets.get(place)

    def why_needed(self, place: str, content_hash: str | None) -> str | None:
        """Give the reason to keep an image, by its place and SHA-256, unless an equal one stays; or None."""
        return self._needed.get(place) or self._needed.get(content_hash or "-")
