"""One process writes to a store at a time: the lock of a folder, and the lease of a store in an object store.

A lease is the object ``writer.json``:

- The process that creates the object holds the store. The object store lets only one process create it.
- A thread of this process renews the lease every ten seconds.
- A lease ends when it is removed, or when its process is dead (seen on the same machine only).
- A lease also ends when it was not renewed for a minute by the clock of the server. Clocks of other machines are not
  trusted.
- To take over an ended lease, a process first creates the mark ``writer.json.<token of the lease>.partial``. Again,
  only one process can create it.
"""

import contextlib
import json
import os
import re
import socket
import threading
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import filelock
import psutil

from ..errors import FastDiffError, StoreLockedError, UsageError
from ..local_files import check_own
from ..text import printable
from .files import Files
from .schema import ARRAYS, LEASE, LOCK, PARTITIONS

__all__ = ["ENDED", "Held", "check_backend", "hold", "is_leased"]

# Seconds between two renewals of a lease, and seconds without renewal after which a lease has ended.
RENEWED, ENDED = 10.0, 60.0
_checked: set[tuple[str, int]] = set()


class Held:
    """A store that is held for writing."""

    def check(self) -> None:
        """Check that the store is still held.

        Raises
        ------
        StoreLockedError
            If the store is not held any more; nothing more may be written.
        """


def hold(files: Files) -> contextlib.AbstractContextManager[Held]:
    """Hold a store for writing; the lock of a dead process does not count.

    Raises
    ------
    StoreLockedError
        If another process holds the store.
    UsageError
        If the store cannot be written.
    """
    return _hold_folder(files) if files.local else _hold_lease(files)


# -- a folder ----------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def _hold_folder(files: Files) -> Iterator[Held]:
    folder = Path(files.root)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        check_own(files.root, [LOCK, ARRAYS, PARTITIONS])
        held = filelock.FileLock(folder / LOCK, timeout=0)
        held.acquire()
    except filelock.Timeout:
        writer = "another process"
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            holder = json.loads(files.read(LEASE))
            writer = printable(f"process {holder['process']} on {holder['host']}")[:100]
        raise StoreLockedError(
            f"the store at {files.url} is being written by {writer}; wait for it to end, or name another store="
        ) from None
    except OSError as error:
        raise UsageError(f"the store cannot be written at {files.url}: {error.strerror}; name another store=") from None
    try:
        try:
            files.write(LEASE, json.dumps({"process": os.getpid(), "host": socket.gethostname()}).encode())
        except OSError as error:
            raise FastDiffError(
                f"the store cannot be written at {files.url}: {error.strerror}; see to that, or name another store="
            ) from None
        yield Held()
    finally:
        held.release()


# -- an object store ---------------------------------------------------------------------------------------------------


class _Lease(Held):
    """A lease that is renewed until it is released."""

    def __init__(self, files: Files) -> None:
        self._files = files
        self._token = uuid.uuid4().hex
        self._lost = ""
        self._renewed = time.monotonic()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._renew, daemon=True, name="fastdiff_dask-lease")

    def content(self) -> bytes:
        process = psutil.Process()
        lease = {"process": process.pid, "started": process.create_time(), "host": _machine(), "token": self._token}
        return json.dumps(lease | {"time": time.time()}).encode()

    def acquire(self) -> None:
        while not self._files.create(LEASE, self.content()):
            holder = _read(self._files)
            if holder is not None and not self._take_over(holder):
                raise StoreLockedError(
                    f"the store at {self._files.url} is being written by {_shown(holder)}; wait for it to end (a "
                    f"minute after it died), or name another store="
                )
            # the lease was released in between, or is taken over now
            if holder is not None:
                break
        self._renewed = time.monotonic()
        self._thread.start()

    def _take_over(self, holder: dict[str, Any]) -> bool:
        """Replace an ended lease; only one process succeeds, as only one can create the mark."""
        if not _has_ended(self._files, LEASE, holder):
            return False
        token = str(holder.get("token"))
        mark = f"{LEASE}.{token if re.fullmatch('[0-9a-f]{32}', token) else '0' * 32}.partial"
        if not self._files.create(mark, self.content()):
            # the mark may be left by a process that was killed in this method
            if not _has_ended(self._files, mark, _read(self._files, mark) or {}):
                return False
            self._files.remove(mark)
            return self._take_over(holder)
        try:
            if _read(self._files) != holder:
                return False
            self._files.write(LEASE, self.content())
            return True
        finally:
            self._files.remove(mark)

    def _is_ours(self) -> bool:
        """Check that the stored lease is still this one."""
        holder = _read(self._files)
        if holder is None or holder.get("token") != self._token:
            self._lost = _shown(holder) if holder else "someone"
            return False
        return True

    def _renew(self) -> None:
        while not self._stopped.wait(RENEWED):
            try:
                if not self._is_ours():
                    return
                self._files.write(LEASE, self.content())
                self._renewed = time.monotonic()
            except Exception:  # backends raise all kinds of errors; a backend may be back before the lease ends
                if time.monotonic() - self._renewed > ENDED - RENEWED:
                    self._lost = "nobody any more, as it could not be renewed"
                    return

    def check(self) -> None:
        # after a pause longer than the lease, this thread may go on before the thread that renews
        if not self._lost and time.monotonic() - self._renewed > ENDED / 2:
            self._is_ours()
        if self._lost:
            raise StoreLockedError(
                f"the store at {self._files.url} was taken from this process and is held by {self._lost}; finished "
                f"work is kept, the same command goes on"
            )

    def release(self) -> None:
        self._stopped.set()
        if self._thread.ident is not None:
            self._thread.join()
            with contextlib.suppress(OSError):
                if (_read(self._files) or {}).get("token") == self._token:
                    self._files.remove(LEASE)


@contextlib.contextmanager
def _hold_lease(files: Files) -> Iterator[Held]:
    lease = _Lease(files)
    try:
        check_backend(files)
        lease.acquire()
    except FileNotFoundError:
        raise UsageError(f"no bucket or container for a store at {files.url}; make it first") from None
    except PermissionError:
        raise UsageError(
            f"the store cannot be written at {files.url}: Permission denied; check the credentials"
        ) from None
    except OSError as error:
        raise UsageError(f"the store cannot be written at {files.url}: {error}") from None
    try:
        yield lease
        lease.check()
    finally:
        lease.release()


def is_leased(files: Files) -> bool:
    """True if a process holds a store in an object store."""
    holder = _read(files)
    return holder is not None and not _has_ended(files, LEASE, holder)


def _shown(holder: dict[str, Any]) -> str:
    return printable(f"process {holder.get('process')} on {holder.get('host')}")[:100]


def _read(files: Files, name: str = LEASE) -> dict[str, Any] | None:
    """Read a lease, or None if there is none. Content that is no lease gives an unknown holder, {}."""
    try:
        content = files.read(name)
    except FileNotFoundError:
        return None
    with contextlib.suppress(ValueError):
        lease = json.loads(content)
        if isinstance(lease, dict):
            return lease
    return {}


def _has_ended(files: Files, name: str, holder: dict[str, Any]) -> bool:
    if holder.get("host") == _machine():
        try:
            process = psutil.Process(int(holder["process"]))
            alive = abs(process.create_time() - float(holder["started"])) < 1
        except (psutil.Error, ValueError, KeyError, TypeError):
            alive = False
        if not alive:
            return True
    # both times are by the clock of the server
    now = f"{LEASE}.{uuid.uuid4().hex}.partial"
    files.write(now, b"")
    try:
        return files.modified_ns(now) - files.modified_ns(name) > ENDED * 10**9
    except FileNotFoundError:
        return False  # released or replaced meanwhile
    finally:
        files.remove(now)


def _machine() -> str:
    """Name of this machine and of its PID namespace: containers may share a name, but no namespace."""
    space = ""
    with contextlib.suppress(OSError):
        space = os.readlink("/proc/self/ns/pid")  # noqa: PTH115
    return f"{socket.gethostname()} {space}".strip()


def check_backend(files: Files) -> None:
    """Check that an object store has all properties that a store needs; once in a process for each address.

    - A written object can be read, listed and replaced at once.
    - An object that exists cannot be created again.
    - A removed object is gone.

    Raises
    ------
    UsageError
        If the object store lacks a property.
    OSError
        If the object store cannot be reached or written.
    """
    if (files.url, os.getpid()) in _checked:
        return
    name = f"{LEASE}.{uuid.uuid4().hex}.partial"
    failed = ""
    try:
        if not files.create(name, b"one") or files.read(name) != b"one":
            failed = "what was written is not read back"
        elif name not in files.names():
            failed = "what was written is not listed"
        elif files.create(name, b"two") or files.read(name) != b"one":
            failed = "an object that is there is created again, so that two processes could hold one store"
        else:
            files.write(name, b"three")
            if files.read(name) != b"three":
                failed = "what was replaced is read as it was before"
            elif not files.modified_ns(name):
                failed = "it does not tell when an object was written"
    finally:
        files.remove(name)
    if not failed and name in files.names():
        failed = "what was removed is listed"
    if failed:
        raise UsageError(f"no store can be kept at {files.url}: {failed}; use a folder or another object store")
    _checked.add((files.url, os.getpid()))
