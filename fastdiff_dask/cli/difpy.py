"""The command ``difpy``: difPy's command line."""

import os
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..errors import FastDiffError, UsageError
from ..text import printable

if TYPE_CHECKING:
    from ..actions.removals import Outcome, Removal

__all__ = ["difpy"]

_FOLDERS = ("-D", "--directory")
_SHOWN = 20


class _DifPyCommand(click.Command):
    """A command with a ``-D`` that takes all names up to the next option, which click cannot do."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        return super().parse_args(ctx, list(_with_each_folder(args)))


def _with_each_folder(args: list[str]) -> Iterator[str]:
    """Name the option before each of its values: ``-D a b`` → ``-D a -D b``."""
    option = None
    for number, arg in enumerate(args):
        if arg in _FOLDERS:
            option = arg
            if number + 1 < len(args) and not args[number + 1].startswith("-"):
                continue  # it comes with its value
        elif arg.startswith("-"):
            option = None
        elif option is not None:
            yield option
        yield arg


def _switch(*names: str, default: bool, help: str) -> Any:
    return click.option(*names, type=bool, default=default, show_default=True, metavar="BOOL", help=help)


@click.command(cls=_DifPyCommand)
@click.option(
    "-D", "--directory", multiple=True, metavar="DIR...", help="Folders to search.  [default: the current one]"
)
@click.option("-Z", "--output_directory", metavar="DIR", help="Folder for the three files.  [default: the current one]")
@_switch("-r", "--recursive", default=True, help="Look into sub-folders.")
@_switch("-i", "--in_folder", default=False, help="Compare only images below the same DIR, each DIR by itself.")
@_switch("-le", "--limit_extensions", default=True, help="Only files named like images; else every file is tried.")
@click.option("-px", "--px_size", type=int, default=50, show_default=True, help="Side of the thumbnails in pixels.")
@click.option(
    "-s",
    "--similarity",
    default="duplicates",
    show_default=True,
    help="duplicates (0), similar (5), or the largest MSE, the mean over pixels and channels.",
)
@_switch("-ro", "--rotate", default=True, help="Compare in all four quarter turns.")
@_switch("-dim", "--same_dim", default=True, help="Compare only images of the same width and height.")
@click.option("-mv", "--move_to", metavar="DIR", help="Move images of lower quality there; nothing is overwritten.")
@_switch("-d", "--delete", default=False, help="Delete images of lower quality, after a question.")
@_switch("-sd", "--silent_del", default=False, help="Delete without a question.")
@_switch("-p", "--show_progress", default=True, help="Show the progress.")
@click.option("-proc", "--processes", type=int, help="Tasks at a time.  [default: as many as there are cores]")
@click.option("-ch", "--chunksize", type=int, help="Not needed: work is cut to fit the memory; kept in the statistics.")
@click.option("-la", "--lazy", hidden=True)
def difpy(
    directory: tuple[str, ...],
    output_directory: str | None,
    move_to: str | None,
    delete: bool,
    silent_del: bool,
    processes: int | None,
    lazy: str | None,
    **options: Any,
) -> None:
    """Find duplicates with difPy's options, and write difPy's files: results, lower_quality and stats.

    After a stop at any moment, the same command goes on. Each file that is moved or deleted becomes a line of a fourth
    file: difPy_<time>_moved.jsonl or difPy_<time>_deleted.jsonl.
    """
    from ..compat.difpy import DifPySettings, search, write_files

    if lazy is not None:
        raise UsageError("-la / --lazy is -dim / --same_dim since difPy 4.2; use that")
    if move_to is not None and delete:
        raise UsageError("--move_to and --delete exclude each other; use one of them")
    folders = directory or (os.getcwd(),)  # noqa: PTH109 - a string, as difPy writes it
    if processes is not None:
        options["processes"] = processes
    settings = DifPySettings(directory=folders, skip=() if move_to is None else (move_to,), **options)
    if move_to is not None or delete:
        _check_local(settings.directory)
    target = None if move_to is None else _move_target(move_to, settings.directory)
    output = Path(output_directory or "")
    _make_folder(output, "-Z")
    if target is not None:
        _make_folder(target, "-mv")

    found = search(settings)
    stamp = _free_stamp(output)
    names = write_files(found, output, stamp)
    click.echo("\n".join(["", *names, "", f"saved in '{printable(str(output.absolute()))}'."]))
    if target is not None:
        _move(found.removals, target, output / f"difPy_{stamp}_moved.jsonl")
    elif delete:
        _delete(found.removals, silent_del, output / f"difPy_{stamp}_deleted.jsonl")
    elif silent_del:
        click.echo("-sd is for -d, and nothing was deleted without that.")


def _check_local(folders: tuple[str, ...]) -> None:
    from ..urls import is_url

    for folder in folders:
        if is_url(folder):
            raise UsageError(
                f"{folder} is no folder of this machine, where files may be moved or deleted; leave that out"
            )


def _move_target(move_to: str, folders: tuple[str, ...]) -> Path:
    """The folder to move to, which must not be searched, nor be around a folder that is."""
    target = Path(move_to)
    for folder in folders:
        if Path(folder).resolve().is_relative_to(target.resolve()):
            raise UsageError(f"folder {printable(folder)!r} is the one to move to, or in it; name another one with -mv")
    return target


def _make_folder(folder: Path, option: str) -> None:
    """Make a folder, and refuse before hours of work one that cannot be written to."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(
            f"{option} {printable(str(folder))!r} is no folder and cannot be one: {error.strerror}"
        ) from None
    if not os.access(folder, os.W_OK | os.X_OK):
        raise UsageError(f"nothing can be written in {option} {printable(str(folder))!r}; check its permissions")


def _free_stamp(output: Path) -> str:
    """A time for the names of files that no other run has used."""
    while True:
        stamp = datetime.now().strftime("%Y%m%d%H%M%S")
        if not any(output.glob(f"difPy_{stamp}_*")):
            return stamp
        time.sleep(0.1)


def _move(removals: "list[Removal]", target: Path, record_path: Path) -> None:
    from ..actions.files.file_moves import move_files
    from ..actions.journal import Record

    record = Record(record_path)
    try:
        outcomes = list(move_files(removals, target, record))
    finally:
        record.close()
    moved = sum(outcome.reason is None for outcome in outcomes)
    click.echo(f"Moved {moved} file(s) to {printable(str(target))!r}")
    _report(outcomes, record_path)


def _delete(removals: "list[Removal]", silent: bool, record_path: Path) -> None:
    from ..actions.files.file_moves import delete_files
    from ..actions.journal import Record

    if removals and not silent:
        question = f"Delete {len(removals)} images of lower quality? This cannot be undone"
        try:
            if not click.confirm(question):
                raise click.Abort
        except click.Abort:  # no, or nobody there to answer
            click.echo("Deletion canceled.")
            return
    record = Record(record_path)
    try:
        outcomes = list(delete_files(removals, record))
    finally:
        record.close()
    click.echo(f"Deleted {sum(outcome.reason is None for outcome in outcomes)} file(s)")
    _report(outcomes, record_path)


def _report(outcomes: "list[Outcome]", record_path: Path) -> None:
    """Print the files that stay, each with the reason."""
    stays = [outcome for outcome in outcomes if outcome.reason is not None]
    for outcome in stays[:_SHOWN]:
        click.echo(f"{printable(outcome.path)} stays: {printable(str(outcome.reason))}")
    if outcomes:
        click.echo(f"Recorded in {printable(str(record_path))!r}")
    if stays:
        raise FastDiffError(f"{len(stays)} of {len(outcomes)} files stay where they are; {record_path} has the reasons")
