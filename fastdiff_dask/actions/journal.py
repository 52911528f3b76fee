"""What `apply` did, in the user's own data folder: one journal a call, and what all of them mean for later calls.

They are never in a store: a store may come from someone else, and what a journal says is done to files when it is
undone.
"""

import contextlib
import hashlib
import itertools
import json
import os
import re
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import filelock
import platformdirs

from ..errors import FastDiffError, UsageError
from ..text import printable
from .disk import sync_folder
from .removals import Removal

__all__ = [
    "History",
    "Journal",
    "Record",
    "acting",
    "journals",
    "last_to_undo",
    "new_journal",
    "place_of",
    "read_journal",
]

# What a line must have, besides its path.
_NEEDED: dict[str, tuple[tuple[str, type], ...]] = {
    "move": (("to", str), ("size", int), ("mtime_ns", int), ("kept", str)),
    "trash": (("to", str), ("size", int), ("mtime_ns", int), ("kept", str)),
    "link": (("kept", str), ("kind", str)),
    "delete": (("kept", str),),
    "metadata": (("before", str), ("sha256", str)),
}
_TRASH = re.compile(r"\.Trash(-\d+)?")


class Record:
    """What went where, a line of JSON each, on disk before the file goes.

    A line has ``action``: "move" or "trash" (``path``, ``to``, ``size``, ``mtime_ns``, ``kept``; for the trash also
    ``info``, the file that describes it; ``before``, if the file had that second name already; ``equal``, if it is
    known to be equal to the one that is kept, byte by byte; ``kept_sha256``, of that one; ``to_mtime_ns``, if it is
    another one there), "delete" (without ``to``), "link" (``path``, ``kept``, ``kind``; ``trashed``, where the file is
    after a line for the trash before it; without, the two were equal, and ``sha256``, ``size``, ``mtime_ns``, ``mode``,
    ``uid`` and ``gid`` are those of the file), "metadata" (``path``, ``before`` and ``sha256``: a file that is kept got
    another content), or "stay" (``path``, ``reason``), which takes back a line before it of the same path.

    Parameters
    ----------
    path
        A new file; made by the first line.
    digests
        SHA-256 of both files of a removal; empty if they are not known.
    """

    def __init__(
        self, path: str | os.PathLike[str], digests: Callable[[Removal], tuple[str, str]] = lambda removal: ("", "")
    ) -> None:
        self.path = Path(path)
        self.digests = digests
        self._file: BinaryIO | None = None

    def add(self, action: str, path: str, **values: Any) -> None:
        """Write a line, and wait until it is on disk."""
        if self._file is None:
            self._file = self.path.open("xb")
            sync_folder(self.path.parent)
        self._file.write(json.dumps({"action": action, "path": path, **values}).encode() + b"\n")
        self._file.flush()
        os.fsync(self._file.fileno())

    def close(self) -> None:
        """End it; what was added stays."""
        if self._file is not None:
            with contextlib.suppress(OSError):  # of a full disk, on which a line was not written; that was told
                self._file.close()


class Journal(NamedTuple):
    """What a call did.

    Attributes
    ----------
    path
        The file.
    store
        Address of the store that it was about; empty if its first line is damaged.
    lines
        What was done and is not undone, see `journal.Record`.
    damaged
        Lines that cannot be read. The last line may be cut off by a kill; what it was about to tell of did not begin.
    """

    path: Path
    store: str
    lines: list[dict[str, Any]]
    damaged: int = 0

    @property
    def actions(self) -> list[dict[str, Any]]:
        """Lines of what can be brought back in principle."""
        return [line for line in self.lines if line["action"] not in ("delete", "metadata")]

    @property
    def waiting(self) -> list[dict[str, Any]]:
        """Lines of what is still there to be brought back."""
        return [line for line in self.actions if _may_come_back(line)]


def _may_come_back(line: dict[str, Any]) -> bool:
    if line["action"] != "link":
        try:
            status = Path(line["to"]).lstat()
        except OSError:
            return False
        # what is not as it was when it went is not moved back
        times = line["mtime_ns"], line.get("to_mtime_ns")
        return (status.st_size, status.st_mtime_ns in times) == (line["size"], True)
    if "trashed" in line:  # the line for the trash says it
        return False
    try:
        # the file was equal to that which is kept
        return os.path.lexists(line["path"]) and Path(line["kept"]).stat().st_size == line["size"]
    except (OSError, KeyError):
        return False


def _folder() -> Path:
    return Path(platformdirs.user_data_dir("fastdiff_dask")) / "actions"


def _made_folder() -> Path:
    folder = _folder()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(
            f"no journal can be written in {folder}: {error.strerror}; set XDG_DATA_HOME to a folder of yours"
        ) from None
    return folder


@contextmanager
def acting() -> Iterator[None]:
    """Be the only one of this user who moves or removes files; what a dead process held is free.

    Raises
    ------
    FastDiffError
        If another process or thread does.
    UsageError
        If the folder of the journals cannot be written.
    """
    lock = filelock.FileLock(_made_folder() / "lock")
    try:
        lock.acquire(timeout=0)
    except filelock.Timeout:
        raise FastDiffError("another apply or undo is at work; wait for its end, and try again") from None
    except OSError as error:
        raise UsageError(f"{lock.lock_file} cannot be locked: {error.strerror}; look after that folder") from None
    try:
        yield
    finally:
        lock.release()


def new_journal(store: str) -> Path:
    """A name for the journal of a call: they sort by time, whatever the time zone."""
    digest = hashlib.blake2b(store.encode(errors="surrogateescape"), digest_size=6).hexdigest()
    now, rest = divmod(time.time_ns(), 10**9)
    moment = time.strftime("%Y%m%dT%H%M%S", time.gmtime(now))
    return _made_folder() / f"{moment}-{rest:09}Z-{digest}-{uuid.uuid4().hex[:6]}.jsonl"


def journals(store: str | None = None) -> list[Journal]:
    """The journals of this user, of one store or of all, with something that is not undone; the oldest first."""
    found = []
    for path in sorted(_folder().glob("*.jsonl")):
        try:
            journal = read_journal(path)
        except OSError:  # a folder of that name, or one of another user
            continue
        if store in (None, journal.store) and journal.lines:
            found.append(journal)
    return found


def last_to_undo(store: str | None = None) -> tuple[Journal | None, list[Journal]]:
    """The newest journal of which something can be brought back now, and the newer ones of which nothing can."""
    hopeless: list[Journal] = []
    for journal in reversed(journals(store)):
        if journal.waiting:
            return journal, hopeless
        if journal.actions:
            hopeless.append(journal)
    return None, hopeless


def read_journal(path: Path) -> Journal:
    """Read a journal; lines that are damaged are counted, and left out.

    Raises
    ------
    OSError
        If the file cannot be read.
    """
    lines: list[dict[str, Any]] = []
    store, damaged = "", 0
    for text in path.read_bytes().split(b"\n"):
        if not text:
            continue
        try:
            line = json.loads(text)
            action, name = line["action"], line["path"]
            if not isinstance(name, str):
                raise TypeError
            for field, kind in _NEEDED.get(action, ()):
                if not isinstance(line[field], kind):
                    raise TypeError
        except (ValueError, KeyError, TypeError, RecursionError):
            damaged += 1
            continue
        match action:
            case "begin":
                store = name
            case "stay":
                # takes back what was about to happen to this file; if a link was not made after all, the file before
                # it is in the trash, and can come back
                if lines and lines[-1]["path"] == name:
                    lines.pop()
            case "undone":
                lines = [one for one in lines if one["path"] != name]
            case "move" | "trash" | "link" | "delete" | "metadata":
                lines.append(line)
            case _:
                damaged += 1
    return Journal(path, store, lines, damaged)


def place_of(path: str | os.PathLike[str]) -> str:
    """A name by which the same entry of a folder is known again, whatever links lead to the folder."""
    folder, name = os.path.split(os.path.abspath(path))  # noqa: PTH100 - names may be undecodable
    return os.path.join(os.path.realpath(folder), name)  # noqa: PTH118


class History:
    """What was done and is not undone, and so counts for what may be done now.

    An image that was moved or trashed may be gone for good soon: it is no image for which another one may go. And an
    image for which another one went, and that was not equal to it byte by byte, is the last one like that: the next
    better image may be similar to it, and not to the one that went. Symbolic links need what they lead to.

    Parameters
    ----------
    found
        The journals that count; by default all of this user.
    folder
        Where to something is to be moved; what is there counts as moved.
    """

    def __init__(self, found: list[Journal] | None = None, folder: str | os.PathLike[str] | None = None) -> None:
        self._moved: set[str] = set()
        self._needed: dict[str, str] = {}
        self._linked: set[str] = set()
        self._targets: dict[str, str] = {}
        changed: list[tuple[str, str]] = []
        self._folder = None if folder is None else os.path.realpath(folder)
        for journal in journals() if found is None else found:
            for line in journal.lines:
                if line["action"] == "metadata":
                    changed.append((line["before"], line["sha256"]))
                    continue
                if line["action"] in ("move", "trash"):
                    self._moved.add(place_of(line["to"]))
                if line["action"] == "link" and "sha256" in line:
                    self._linked.add(place_of(line["kept"]))
                back = "" if line["action"] == "delete" else " (undo brings that back)"
                reason = f"{printable(line['path'])} went for it before{back}"
                if line.get("kind") == "symlink":
                    self._targets[place_of(line["kept"])] = reason
                if not (line.get("equal") or "kind" in line):  # of what is linked, a line for the trash says it
                    # whatever it is called meanwhile
                    self._needed |= dict.fromkeys((place_of(line["kept"]), str(line.get("kept_sha256", ""))), reason)
        for before, after in changed:
            if before in self._needed:
                self._needed[after] = self._needed[before]
        self._needed.pop("", None)

    def is_aside(self, place: str) -> bool:
        """Whether an image, named as by `place_of`, was moved or trashed, or lies in a trash."""
        parts = Path(place).parts
        trashed = any(_TRASH.fullmatch(part) for part in parts) or ("Trash", "files") in itertools.pairwise(parts)
        inside = self._folder is not None and Path(place).is_relative_to(self._folder)
        return trashed or inside or place in self._moved

    def is_linked(self, place: str) -> bool:
        """Whether an image that was equal to this one is a link to it now, and has its content from it."""
        return place in self._linked

    def is_target(self, place: str) -> str | None:
        """Why an image must stay to which a symbolic link was made, even if an equal one stays."""
        return self._targets.get(place)

    def why_needed(self, place: str, content_hash: str | None) -> str | None:
        """Why an image, by its place and SHA-256, must stay, unless one that is equal to it byte by byte stays."""
        return self._needed.get(place) or self._needed.get(content_hash or "-")
