"""Sidecars in the output of ``apply``: which there are, and what becomes of them."""

from collections.abc import Sequence

import click

from ..text import printable

__all__ = ["say_sidecars"]

_SHOWN = 20


def say_sidecars(pictures: Sequence[str], action: str | None, choice: str) -> None:
    """Name the sidecars of images that may go, and say what becomes of them."""
    from ..actions.files.sidecars import sidecars_of

    found = sidecars_of(pictures)
    if not found:
        return
    if choice == "leave":
        what = "stay where they are; --sidecars move takes them along"
    elif action == "delete":
        what = "are deleted with them"
    elif action in ("hardlink", "symlink"):
        what = "go to the trash, as links take the place of the images"
    else:
        what = "go with them, and come back with them by undo"
    click.echo(f"{len(found)} sidecars of these images {what}:")
    for one in found[:_SHOWN]:
        click.echo(f"  {printable(one.path)}")
    if len(found) > _SHOWN:
        click.echo(f"  … and {len(found) - _SHOWN} more")
