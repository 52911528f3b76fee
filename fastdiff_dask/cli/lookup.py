"""The commands ``lookup``, which tells of a file if the archive has it, and ``neighbours``."""

import contextlib
import json
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import click

from ..config import METRICS
from ..errors import FastDiffError, UsageError
from ..text import counted, printable
from .find import CLUSTER, open_project
from .store_argument import single_store_argument, store_argument
from .streams import nobody_reads
from .texts.grouped import GroupedCommand

if TYPE_CHECKING:
    from ..lookup.archive import Archive
    from ..lookup.found import Found

__all__ = ["lookup", "neighbours"]

# Exit code beside those of all commands.
NOT_FOUND = 3


class _Written:
    """Lines for people on standard output, or lines of JSON there or in a file.

    Parameters
    ----------
    json_path
        The file for JSON, - for standard output; None for none.
    """

    def __init__(self, json_path: str | None) -> None:
        self._path = json_path
        self._file: TextIO | None = None

    def __enter__(self) -> "_Written":
        if self._path not in (None, "-"):
            try:
                self._file = Path(str(self._path)).open("w", encoding="utf-8")
            except OSError as error:
                raise UsageError(f"{printable(str(self._path))} cannot be written: {error.strerror}") from None
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            self._file.close()

    def write(self, found: "Found") -> None:
        """Write an answer at once, for those who wait for it."""
        from ..outputs.lookup import describe_found

        line = json.dumps(found.to_json())
        click.echo(line if self._path == "-" else describe_found(found))
        sys.stdout.flush()
        if self._file is not None:
            self._file.write(line + "\n")
            self._file.flush()


@click.command()
@single_store_argument
@click.argument("files", metavar="FILE...", nargs=-1)
@click.option("-k", "k", type=int, help="Images to list for a file, at most.  [default: 10]")
@click.option("--threshold", type=float, help="Largest difference (MSE) of an image that is listed.  [default: 200]")
@click.option("--json", "json_path", metavar="FILE", help="Write a line of JSON for each file; - is standard output.")
@click.option(
    "--watch", metavar="DIR", multiple=True, help="Look up each new file in this folder and below, until Ctrl-C."
)
def lookup(
    store: str,
    files: tuple[str, ...],
    k: int | None,
    threshold: float | None,
    json_path: str | None,
    watch: tuple[str, ...],
) -> None:
    """Tell of each FILE whether the archive STORE has it already, and which images are most like it.

    STORE is the address of a store, or a folder that find has searched. The archive has a file if both were looked at
    and are the same file, the same pixels or the same picture, and it lacks nothing that the file has. What is only
    similar is listed, and does not count; nor does the file itself, if it is one of the archive.

    Exit code 0: the archive has every FILE. 3: it lacks one. 1: a FILE could not be read.
    """
    if watch and files:
        raise UsageError("--watch looks up new files; leave out the names of others")
    if json_path in files:
        raise UsageError("the file for JSON is one of those to look up; name another one")
    if not files and not watch:
        raise UsageError("no file to look up; name one or more after the store, or a folder by --watch")
    from ..images.decoder_pool import close_readers, start_readers

    start_readers(1)  # it starts while this process imports the rest
    codes = set()
    try:
        from ..project.look_up import open_archive

        with _Written(json_path) as written:
            if watch:
                _watch(open_archive(store, k, threshold), watch, written)
                return
            for found in open_archive(store, k, threshold).look_up(files):
                written.write(found)
                codes.add(1 if found.error else 0 if found.is_there else NOT_FOUND)
    finally:
        close_readers()
    if 1 in codes:
        raise FastDiffError("some files could not be read, see above")
    if NOT_FOUND in codes:
        sys.exit(NOT_FOUND)


def _watch(archive: "Archive", folders: tuple[str, ...], written: _Written) -> None:
    """Look up what is new in some folders, until a signal, or until nobody reads the answers."""
    from ..lookup.answers import answers
    from ..lookup.watch import FolderWatch

    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with contextlib.suppress(KeyboardInterrupt), FolderWatch(folders) as watch:
        shown = ", ".join(map(printable, folders))
        click.echo(f"Watching {shown} ({counted(len(watch), 'file')} there already); Ctrl-C ends it.", err=True)
        for found in answers(archive, watch):
            if nobody_reads():
                return
            if found is not None:
                written.write(found)


@click.command(cls=GroupedCommand, options=("quiet", *CLUSTER, "dashboard_address", "performance_report"))
@store_argument
@click.option("-k", "k", type=int, default=10, show_default=True, help="Images to find for each image.")
@click.option(
    "--on", metavar="NAME", help="Compare vectors of this name, which encode has made.  [default: thumbnails]"
)
@click.option("--metric", type=click.Choice(METRICS), help="Metric of vectors.  [default: cosine]")
@click.option("--csv", "csv_path", metavar="FILE", help="Write a row for each neighbour; - is standard output.")
@click.option("--json", "json_path", metavar="FILE", help="Write a line of JSON for each; - is standard output.")
def neighbours(
    store: str,
    k: int,
    on: str | None,
    metric: str | None,
    csv_path: str | None,
    json_path: str | None,
    quiet: bool,
    **options: Any,
) -> None:
    """Find the images nearest to each image in STORE, however far they are, exactly.

    Images are compared as thumbnails, by their difference (MSE), or by vectors with --on. Of A against B, the
    neighbours of an image of A are in B. After a stop at any moment, the same command goes on. With nothing new,
    nothing is computed.
    """
    from ..outputs.neighbours import describe_neighbours, write_neighbours

    if csv_path is not None and csv_path == json_path:
        raise UsageError("--csv and --json name the same place; standard output can have one of them")
    with open_project(store, quiet, **options) as db:
        frame = db.neighbours(k, on, metric=metric)
        for path, form in ((csv_path, "csv"), (json_path, "jsonl")):
            if path is not None:
                write_neighbours(frame, path, form)
        if not quiet and "-" not in (csv_path, json_path):
            click.echo(describe_neighbours(frame, k))
            if csv_path is None and json_path is None:
                click.echo("--csv FILE or --json FILE writes them.")
