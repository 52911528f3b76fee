"""The action of a call of `apply`: what becomes of a file; checked before anything is done."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..errors import UsageError
from .files.commands import parse_command
from .files.sidecars import CHOICES

__all__ = ["ACTIONS", "Action", "check_action"]

ACTIONS = ("move", "trash", "delete", "hardlink", "symlink", "copy", "exec")
_WITH_FOLDER = ("move", "copy")


@dataclass(frozen=True)
class Action:
    """An action.

    Attributes
    ----------
    name
        One of `ACTIONS`.
    folder
        Absolute path of the folder to move or to copy to; None for the other actions.
    keep_tree
        True if files lie in this folder as they lie below their roots.
    command
        Program and arguments of "exec", in which ``{}`` and ``{keep}`` stand for the paths.
    with_sidecars
        True if the sidecars of a file go with it.
    """

    name: str
    folder: str | None = None
    keep_tree: bool = False
    command: tuple[str, ...] = ()
    with_sidecars: bool = False

    def make_folder(self) -> None:
        """Make the folder, if there is one.

        Raises
        ------
        UsageError
            If that cannot be done.
        """
        if self.folder is None:
            return
        try:
            Path(self.folder).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            why = f"{self.folder} is no folder and cannot be one: {error.strerror}"
            raise UsageError(f"{why}; name another one") from None


def check_action(
    action: str,
    folder: str | os.PathLike[str] | None,
    *,
    keep_tree: bool = False,
    command: str | Sequence[str] | None = None,
    keep_metadata: bool = False,
    sidecars: str = "leave",
) -> Action:
    """Check what is to be done with files; parameters as for `apply.apply_plan`.

    Raises
    ------
    UsageError
        If the action, the folder or the command cannot be used.
    """
    if action not in ACTIONS:
        raise UsageError(f"no action {action!r}; use {', '.join(ACTIONS)}")
    if sidecars not in CHOICES:
        raise UsageError(f"sidecars={sidecars!r} is not known; use {' or '.join(CHOICES)}")
    if (folder is None) == (action in _WITH_FOLDER):
        raise UsageError(
            f"name a folder to {action} to" if folder is None else f"{action} needs no folder; leave it out"
        )
    if keep_tree and action not in _WITH_FOLDER:
        raise UsageError(f"keep_tree= is for a folder to move or copy to; {action} has none, leave it out")
    if (command is None) == (action == "exec"):
        raise UsageError(
            f"exec needs a command=, and no other action has one; {'name' if command is None else 'drop'} it"
        )
    if keep_metadata and action == "copy":
        raise UsageError("keep_metadata= is for files that go; leave it out, as copied files stay")
    if sidecars == "move" and action == "exec":
        raise UsageError("sidecars= cannot go with a command; leave it out, and let the command take them")
    if folder is not None and not os.fspath(folder):
        raise UsageError(f"the folder to {action} to has no name; name one")
    named = None if folder is None else os.path.abspath(folder)  # noqa: PTH100 - a journal is undone from anywhere
    parsed = () if command is None else parse_command(command)
    return Action(action, named, bool(keep_tree), parsed, sidecars == "move")
