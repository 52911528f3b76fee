"""Files on this machine: replaced as a whole, and reached by no link."""

import contextlib
import gzip
import os
import stat
import uuid
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import BinaryIO, cast

from .errors import StoreMismatchError
from .text import printable

__all__ = ["check_own", "first_bytes", "is_packed", "local_path", "packed", "replace_file", "replaced_file"]

# On pairs, 9 takes three times as long for a hundredth of the bytes.
_LEVEL = 5


def replace_file(path: Path, *data: bytes | memoryview, check: Callable[[], None] = lambda: None) -> None:
    """Write a local file, its pieces, under a temporary name and rename it: a kill leaves the old file or the new one.

    `check` is called between the two, and may raise what keeps the old file.
    """
    with replaced_file(path, check) as file:
        file.writelines(data)


@contextlib.contextmanager
def replaced_file(path: Path, check: Callable[[], None] = lambda: None) -> Iterator[BinaryIO]:
    """Open a local file that takes the place of another one at the end, as `replace_file`."""
    temporary = path.with_name(f"{path.name}.{uuid.uuid4().hex}.partial")
    try:
        with temporary.open("wb") as file:
            yield file
        check()
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def local_path(root: str, name: str) -> Path:
    """Path of a file or folder in a store on this machine; it need not exist.

    Raises
    ------
    StoreMismatchError
        If a symbolic link is on the way, which could lead outside of the store, or something else than a folder or a
        regular file, which could block for ever.
    """
    path = root
    for part in name.split("/"):
        if part in ("", "."):
            continue
        path = os.path.join(path, part)  # noqa: PTH118 - each block and tile comes here
        try:
            mode = os.lstat(path).st_mode
        except (FileNotFoundError, NotADirectoryError):
            continue
        if part == ".." or not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
            what = "a symbolic link" if stat.S_ISLNK(mode) else "no regular file"
            raise StoreMismatchError(
                f"{printable(path)} is {what}, and a store has folders and regular files only; remove it, or name "
                f"another store="
            )
    return Path(path)


def check_own(root: str, names: Sequence[str]) -> None:
    """See that files and folders that are about to be written or searched in place are the store's own.

    Raises
    ------
    StoreMismatchError
        As `local_path`; or if a file has other names, which may be outside of the store.
    """
    for name in names:
        path = local_path(root, name)
        if path.is_file() and path.stat().st_nlink > 1:
            raise StoreMismatchError(f"{printable(str(path))} has other names (hard links); remove it, and try again")


def is_packed(path: str | os.PathLike[str]) -> bool:
    """Tell by the name of a file, which ends in .gz, that it is compressed."""
    return Path(path).suffix.lower() == ".gz"


@contextlib.contextmanager
def packed(file: BinaryIO, wanted: bool) -> Iterator[BinaryIO]:
    """Compress what is written into a file, if that is wanted; equal contents give equal bytes."""
    if not wanted:
        yield file
        return
    with gzip.GzipFile("", "wb", _LEVEL, file, mtime=0) as compressed:
        yield cast(BinaryIO, compressed)


def first_bytes(path: Path, number: int) -> bytes:
    """Read the first bytes of a file, uncompressed if it is compressed as its name says."""
    with contextlib.suppress(gzip.BadGzipFile, EOFError, zlib.error):
        if is_packed(path):
            with gzip.open(path) as file:
                return file.read(number)
    with path.open("rb") as file:
        return file.read(number)
