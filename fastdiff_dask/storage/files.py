"""Bytes under names, in a folder or behind an fsspec URL; each write is there as a whole or not at all."""

import contextlib
import os
import socket
import uuid
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path, PurePosixPath

import numpy as np
import pyarrow as pa
from fsspec import AbstractFileSystem
from fsspec.implementations.local import LocalFileSystem
from numpy.typing import NDArray

from .._version import __version__
from ..errors import FastDiffError, StoreMismatchError, UsageError
from ..local_files import local_path, replace_file
from ..text import one_line
from ..urls import as_os_errors, check_address, file_system, is_url, modified_ns
from .schema import RUN

__all__ = ["Files", "check_store_address"]

# Object stores: an object is visible when it is complete. With others, a reader may see half of a file.
_WHOLE_OBJECTS = {"s3", "s3a", "gs", "gcs", "abfs", "abfss", "az", "oss", "oci", "memory", "file", "local"}
# Of rows from afar, what lies between them is read too if it is not more than that: another request takes as long.
_GAP_BYTES = 1 << 19


def check_store_address(url: str) -> None:
    """Refuse an address at which no store can be kept, before anything is connected.

    Raises
    ------
    UsageError
        If files there are not written as a whole, as on a server for SFTP, or the address is not a simple one.

    Examples
    --------
    >>> check_store_address("s3://bucket/store")
    """
    check_address(url)
    protocol = url.split("://", 1)[0].lower()
    if is_url(url) and protocol not in _WHOLE_OBJECTS:
        raise UsageError(
            f"no store can be kept at {url}: it needs an object store (s3://, gs://, abfs://, ...) or a folder, where "
            f"files appear as a whole; mount it and name the folder, or use another place"
        )


def _run_ended() -> FastDiffError:
    return FastDiffError("the run of this task has ended, and another one has begun to write to the store")


class Files:
    """The files below one address.

    Parameters
    ----------
    url
        Folder or fsspec URL; need not exist.
    run
        What `begin_run` gave, for writing as a task of that run only; empty writes in any case.

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
    FastDiffError
        If the run was begun by another version of this package.
    OSError
        By all methods, if the address cannot be reached.
    """

    def __init__(self, url: str, run: str = "") -> None:
        self.url = url
        self.run = run
        # a worker that came after all others were asked
        if run and run.partition("-")[0] != __version__:
            raise FastDiffError(
                f"a worker on {socket.gethostname()} has fastdiff_dask {__version__}, the client has "
                f"{run.partition('-')[0]}; install that version on all workers"
            )
        self._fs, self.root = file_system(url)
        self.local = isinstance(self._fs, LocalFileSystem)

    def _path(self, name: str) -> str:
        """Path of a file; names in folders of a bucket as in the bucket itself."""
        return f"{self.root}/{name}".rstrip("/")

    def is_file(self) -> bool:
        """True if the address itself is a file."""
        if self.local:
            return bool(self._fs.isfile(self.root))
        with as_os_errors(self.url):
            try:
                return bool(self._fs.info(self.root)["type"] == "file")
            except FileNotFoundError:
                return False

    def names(self, folder: str = "") -> list[str]:
        """Names in a folder below the address, as they are now; none if there is no such folder."""
        path = self._path(folder)
        try:
            if self.local:
                return [entry.name for entry in local_path(self.root, folder).iterdir()]
            with as_os_errors(self.url):
                found = self._fs.ls(path, detail=False)
        except (FileNotFoundError, NotADirectoryError):
            return []
        # a listing of an object store may hold the folder itself, as an object of no bytes
        return [PurePosixPath(entry).name for entry in found if entry.rstrip("/") != path]

    def read(self, name: str, most: int | None = None) -> bytes:
        """Content of a file, or its first bytes."""
        if self.local:
            with local_path(self.root, name).open("rb") as file:
                return file.read() if most is None else file.read(most)
        with as_os_errors(self.url):
            return bytes(self._fs.cat_file(self._path(name), end=most))

    def read_several(self, names: Sequence[str], most: int | None = None) -> list[bytes]:
        """Contents of several small files, or their first bytes; from afar at the same time."""
        if self.local or not names:
            return [self.read(name, most) for name in names]
        paths = [self._path(name) for name in names]
        if most is not None:
            with as_os_errors(self.url):
                starts = self._fs.cat_ranges(paths, [0] * len(paths), [most] * len(paths), on_error="raise")
                return [bytes(start) for start in starts]
        with as_os_errors(self.url):
            found: dict[str, bytes] = self._fs.cat(paths, on_error="raise")
        # a single path may come back in another form
        return [bytes(found[path]) for path in paths] if len(paths) > 1 else [bytes(next(iter(found.values())))]

    def read_rows(self, name: str, row_bytes: int, rows: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Rows of a file that is made of rows of so many bytes: (n, row_bytes) uint8."""
        if self.local:
            # not mapped: mapping costs as much as reading a hundred rows, and threads wait for each other's unmapping
            content = np.empty((len(rows), row_bytes), np.uint8)
            breaks = np.flatnonzero(np.diff(rows) != 1) + 1  # consecutive rows are read at once
            offsets = (rows[[0, *breaks]] * row_bytes).tolist()
            view, done = content.reshape(-1).data, 0
            with local_path(self.root, name).open("rb", buffering=0) as file:
                for offset, stop in zip(offsets, [*(breaks * row_bytes).tolist(), len(view)], strict=True):
                    file.seek(offset)
                    if file.readinto(view[done:stop]) != stop - done:
                        raise ValueError(f"{name} ends before row {(offset + stop - done) // row_bytes - 1}")
                    done = stop
            return content
        unique, places = np.unique(rows, return_inverse=True)
        breaks = np.flatnonzero(np.diff(unique) * row_bytes > _GAP_BYTES) + 1
        spans = [(unique[start], unique[stop - 1] + 1) for start, stop in pairwise([0, *breaks.tolist(), len(unique)])]
        try:
            with as_os_errors(self.url):
                parts = self._fs.cat_ranges(
                    [self._path(name)] * len(spans),
                    [int(start) * row_bytes for start, _ in spans],
                    [int(stop) * row_bytes for _, stop in spans],
                    on_error="raise",
                )
        except OSError as error:
            if "not satisfiable" in str(error):  # S3's word for a range behind the end
                raise ValueError(f"{name} ends before row {unique[-1]}") from None
            raise
        for part, (start, stop) in zip(parts, spans, strict=True):
            if len(part) != (stop - start) * row_bytes:
                raise ValueError(f"{name} ends before row {stop - 1}")
        read = np.frombuffer(b"".join(parts), np.uint8).reshape(-1, row_bytes)
        return read[np.searchsorted(np.concatenate([np.arange(*span) for span in spans]), unique)[places]]

    @contextlib.contextmanager
    def reading(self, what: str) -> Iterator[None]:
        """Say that a part of the store is damaged if it cannot be read.

        Raises
        ------
        FastDiffError
            With the part and the reason.
        """
        try:
            yield
        except StoreMismatchError:
            raise
        except (ValueError, KeyError, TypeError, EOFError, RuntimeError, FileNotFoundError, pa.ArrowException) as error:
            raise FastDiffError(
                f"the store at {self.url} is damaged: {what} cannot be read ({one_line(error, 200, kind=True)}); "
                f"delete the store and start again, and check the disk"
            ) from None

    def remove(self, name: str) -> None:
        """Remove a file, or a folder with all that is in it, if there is one."""
        if self.local:
            local_path(self.root, name)
        with contextlib.suppress(FileNotFoundError), as_os_errors(self.url):
            self._fs.rm(self._path(name), recursive=True)

    def write(self, name: str, *data: bytes | memoryview) -> None:
        """Write or replace a file, given in one piece or several; folders are made."""
        if self.local:
            path = local_path(self.root, name)
            path.parent.mkdir(parents=True, exist_ok=True)
            replace_file(path, *data, check=self.check_run)
        else:
            self.check_run()
            # an object store makes an object visible when it is complete
            with as_os_errors(self.url):
                self._fs.pipe_file(self._path(name), b"".join(data))

    def begin_run(self) -> str:
        """Let only those write from now on who have the number of the new run, which is given.

        The process that holds the store calls it before each stage. Tasks of a client that died, or that was
        interrupted, may be running still, and what they read of the store may have changed since.
        """
        if self.run and not self._current_run().startswith(self.run):
            raise _run_ended()
        # a task that begins an attempt of its own stays of its run
        run, attempt = f"{self.run or __version__}-{uuid.uuid4().hex[:8]}", bool(self.run)
        self.run = ""
        self.write(RUN, run.encode())
        if attempt:
            self.run = run
        return run

    @contextlib.contextmanager
    def of_run(self, run: str) -> Iterator[None]:
        """Write as a part of a run for as long as the block takes: not any more when another one has begun."""
        former, self.run = self.run, run
        try:
            yield
        finally:
            self.run = former

    def check_run(self) -> None:
        """See that the run of these files is the present one, if they are of any.

        Raises
        ------
        FastDiffError
            If it has ended; nothing more may be written.
        """
        if self.run and self._current_run() != self.run:
            raise _run_ended()

    def _current_run(self) -> str:
        try:
            return self.read(RUN).decode(errors="replace")
        except FileNotFoundError:
            return ""

    def create(self, name: str, data: bytes) -> bool:
        """Write a file of an object store if there is none; False if there is one."""
        try:
            with as_os_errors(self.url):
                self._fs.pipe_file(self._path(name), data, mode="create")
        except FileNotFoundError:
            raise
        except OSError as error:
            # servers have different words for it, and the other one may be gone again when it is looked for
            if isinstance(error, FileExistsError) or "pre-condition" in str(error) or name in self.names():
                return False
            raise
        return True

    def modified_ns(self, name: str) -> int:
        """Time of modification by the clock of the server; 0 if it does not tell."""
        with as_os_errors(self.url):
            return modified_ns(self._fs.info(self._path(name)))

    def tree(self) -> dict[str, tuple[int, int]]:
        """All files below the address: size, and time of modification in nanoseconds, by their names."""
        if self.local:
            found = {}
            for folder, _, names in os.walk(self.root):
                for name in names:
                    path = Path(folder, name)
                    with contextlib.suppress(FileNotFoundError):  # removed meanwhile
                        status = path.lstat()
                        found[path.relative_to(self.root).as_posix()] = status.st_size, status.st_mtime_ns
            return found
        with as_os_errors(self.url):
            listed = self._fs.find(self.root, detail=True)
        start = len(self.root.rstrip("/")) + 1
        return {path[start:]: (info["size"], modified_ns(info)) for path, info in listed.items()}

    def remove_empty_folders(self) -> None:
        """Remove the folders below the address, and itself, in which there is nothing; of a folder of this machine."""
        for folder, _, _ in os.walk(self.root, topdown=False):
            with contextlib.suppress(OSError):  # not empty
                Path(folder).rmdir()

    def asynchronous(self) -> AbstractFileSystem:
        """The same file system for code that runs in an event loop of its own."""
        return file_system(self.url, asynchronous=True)[0]
