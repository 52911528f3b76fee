"""Bytes under names, in a folder or behind an fsspec URL; each write is there as a whole or not at all."""

import contextlib
import uuid
from itertools import pairwise
from pathlib import Path, PurePosixPath

import fsspec
import numpy as np
from fsspec.implementations.local import LocalFileSystem
from numpy.typing import NDArray

from .errors import UsageError

__all__ = ["Files", "replace_file"]


def replace_file(path: Path, data: bytes | memoryview) -> None:
    """Write a local file under a temporary name and rename it: a kill leaves the old file or the new one."""
    temporary = path.with_name(f"{path.name}.{uuid.uuid4().hex}.partial")
    try:
        temporary.write_bytes(data)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


class Files:
    """The files below one address.

    Parameters
    ----------
    url
        Folder or fsspec URL; need not exist.

    Attributes
    ----------
    url, root
        The address as given, and its path within the file system.
    local
        Whether it is a folder of this machine.

    Raises
    ------
    UsageError
        If the kind of URL is not known or its package is missing.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        try:
            self._fs, self.root = fsspec.url_to_fs(url)
        except (ValueError, ImportError) as error:
            raise UsageError(f"the address {url} cannot be used: {' '.join(str(error).split())}") from None
        self.local = isinstance(self._fs, LocalFileSystem)

    def is_file(self) -> bool:
        """Whether the address itself is a file."""
        return bool(self._fs.isfile(self.root))

    def names(self, folder: str = "") -> list[str]:
        """Names in a folder below the address; none if there is no such folder."""
        path = f"{self.root}/{folder}".rstrip("/")
        try:
            if self.local:
                return [entry.name for entry in Path(path).iterdir()]
            return [PurePosixPath(entry).name for entry in self._fs.ls(path, detail=False)]
        except (FileNotFoundError, NotADirectoryError):
            return []

    def read(self, name: str) -> bytes:
        """Content of a file."""
        return bytes(self._fs.cat_file(f"{self.root}/{name}"))

    def read_rows(self, name: str, row_bytes: int, rows: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Rows of a file that is made of rows of so many bytes: (n, row_bytes) uint8."""
        if self.local:
            # not mapped: mapping costs as much as reading a hundred rows, and threads wait for each other's unmapping
            content = np.empty((len(rows), row_bytes), np.uint8)
            breaks = np.flatnonzero(np.diff(rows) != 1) + 1  # consecutive rows are read at once
            with (Path(self.root) / name).open("rb") as file:
                for start, stop in pairwise([0, *breaks.tolist(), len(rows)]):
                    file.seek(int(rows[start]) * row_bytes)
                    if file.readinto(content[start:stop].data) != (stop - start) * row_bytes:
                        raise ValueError(f"{name} ends before row {rows[stop - 1]}")
            return content
        starts = (rows * row_bytes).tolist()
        path = f"{self.root}/{name}"
        parts = self._fs.cat_ranges([path] * len(rows), starts, [start + row_bytes for start in starts])
        return np.frombuffer(b"".join(parts), np.uint8).reshape(len(rows), row_bytes)

    def remove(self, name: str) -> None:
        """Remove a folder with all that is in it, if there is one."""
        with contextlib.suppress(FileNotFoundError):
            self._fs.rm(f"{self.root}/{name}", recursive=True)

    def write(self, name: str, data: bytes | memoryview) -> None:
        """Write or replace a file; folders are made."""
        if self.local:
            path = Path(self.root) / name
            path.parent.mkdir(parents=True, exist_ok=True)
            replace_file(path, data)
        else:
            # an object store makes an object visible when it is complete
            self._fs.pipe_file(f"{self.root}/{name}", bytes(data))
