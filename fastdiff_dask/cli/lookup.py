"""The command ``lookup``: does the archive have this picture already."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

import click

from ..errors import FastDiffError, UsageError
from ..text import printable
from .store_argument import single_store_argument

if TYPE_CHECKING:
    from ..lookup.found import Found

__all__ = ["lookup"]

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
def lookup(store: str, files: tuple[str, ...], k: int | None, threshold: float | None, json_path: str | None) -> None:
    """Tell of each FILE whether the archive STORE has it already, and which images are most like it.

    STORE is the address of a store, or a folder that find has searched. The archive has a file if both were looked at
    and are the same file, the same pixels or the same picture; what is only similar is listed, and does not count.

    Exit code 0: the archive has every FILE. 3: it lacks one. 1: a FILE could not be read.
    """
    if json_path in files:
        raise UsageError("the file for JSON is one of those to look up; name another one")
    if not files:
        raise UsageError("no file to look up; name one or more after the store")
    from ..images.decoder_pool import close_readers, start_readers

    start_readers(1)  # it starts while this process imports the rest
    codes = set()
    try:
        from ..project.look_up import open_archive

        with _Written(json_path) as written:
            for found in open_archive(store, k, threshold).look_up(files):
                written.write(found)
                codes.add(1 if found.error else 0 if found.is_there else NOT_FOUND)
    finally:
        close_readers()
    if 1 in codes:
        raise FastDiffError("some files could not be read, see above")
    if NOT_FOUND in codes:
        sys.exit(NOT_FOUND)
