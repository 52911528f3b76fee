"""A command of the user for each file that could be removed: a program with arguments, never a shell."""

import contextlib
import os
import re
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import IO

from ...errors import FastDiffError, UsageError
from ...text import printable
from ...urls import clamped
from ..journal import Record
from ..removals import Outcome, Removal, Seen, StaysError, Verify
from .file_moves import act_on_each, check_removal, check_unchanged, describe_removal

__all__ = ["command_of", "parse_command", "run_for_files"]

_PLACES = re.compile(r"\{(keep)?\}")
# Bytes at the end of what a command wrote to standard error, whose last line is told.
_LAST = 4096


def parse_command(command: str | Sequence[str]) -> tuple[str, ...]:
    """Split a command into its program and arguments.

    Parameters
    ----------
    command
        A text, split as a POSIX shell does, without expanding anything; or the arguments.

    Returns
    -------
    Program and arguments.

    Raises
    ------
    UsageError
        If it cannot be split, has no ``{}``, or names no program.
    """
    try:
        parts = tuple(shlex.split(command) if isinstance(command, str) else command)
    except ValueError as error:
        raise UsageError(f"command={printable(str(command))!r} cannot be read: {error}; mend it") from None
    if not parts or not all(isinstance(part, str) and "\0" not in part for part in parts):
        raise UsageError("command= names no program; write it as 'PROGRAM {}'")
    if not any("{}" in part for part in parts[1:]):
        shown = printable(shlex.join(parts))
        raise UsageError(f"command={shown!r} has no {{}}; write that where the path of the image is to be")
    if shutil.which(parts[0]) is None:
        raise UsageError(
            f"command= names {printable(parts[0])}, which is no program that is found; name its whole path"
        )
    return parts


def command_of(command: Sequence[str], path: str, kept: str) -> list[str]:
    """Put the paths of a file and of the file that is kept for it into a command.

    Examples
    --------
    >>> command_of(["cmp", "{}", "--with={keep}"], "/a {keep}.png", "/b.png")
    ['cmp', '/a {keep}.png', '--with=/b.png']
    """
    return [_PLACES.sub(lambda found: kept if found[1] else path, part) for part in command]


def run_for_files(
    removals: Iterable[Removal], command: Sequence[str], record: Record, verify: Verify = check_unchanged
) -> Iterator[Outcome]:
    """Run a command for each file, one at a time; other parameters as for `file_moves.move_files`.

    An outcome has a reason if the command ends with another exit code than 0, or has changed the file to keep: its file
    may be there or not.

    Raises
    ------
    FastDiffError
        If the file to keep is gone after a command: no further one is run.
    """
    return act_on_each(removals, record, verify, lambda removal: _run(removal, command, record))


def _run(removal: Removal, command: Sequence[str], record: Record) -> None:
    check_removal(removal)
    path, kept = removal.file.path, removal.kept.path
    parts = command_of(command, path, kept)
    record.add("exec", path, command=parts, **describe_removal(removal, record))
    try:
        with tempfile.TemporaryFile() as errors:
            ended = subprocess.run(parts, stdin=subprocess.DEVNULL, stderr=errors, check=False).returncode
            said = _last_line(errors)
    finally:
        if not _is_as_seen(removal.file):
            record.settle()  # whatever its exit code was, the file is another one or gone
    if not os.path.lexists(kept):
        raise FastDiffError(f"the command for {path} took away {kept}, the file to keep; no further command was run")
    changed = "" if _is_as_seen(removal.kept) else f" changed {kept}, the file to keep"
    if ended:
        how = f"ended with exit code {ended}" if ended > 0 else f"was stopped by signal {-ended}"
        also = f", and{changed}" if changed else ""
        raise StaysError(f"the command {how}{also}{f': {said}' if said else ''}")
    if os.path.lexists(path):
        record.add("left", path)
    record.settle()
    if changed:
        raise StaysError(f"the command{changed}; look at both")


def _is_as_seen(seen: Seen) -> bool:
    with contextlib.suppress(OSError):
        status = Path(seen.path).lstat()
        return (status.st_size, clamped(status.st_mtime_ns)) == seen[1:]
    return False


def _last_line(file: IO[bytes]) -> str:
    file.seek(max(0, file.seek(0, os.SEEK_END) - _LAST))
    lines = file.read().decode(errors="replace").strip().splitlines()
    return printable(lines[-1]) if lines else ""
