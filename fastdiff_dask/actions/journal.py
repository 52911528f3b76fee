"""Journals of `apply` in the user's own data folder, one a call.

A journal is never in a store: a store may come from someone else, and undo does to files what a journal says.
"""

import contextlib
import hashlib
import json
import os
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import filelock
import platformdirs

from ..errors import FastDiffError, UsageError
from ..urls import clamped
from .disk import sync_folder
from .removals import Removal

__all__ = [
    "DONE",
    "Journal",
    "Record",
    "acting",
    "journals",
    "journals_now",
    "last_to_undo",
    "new_journal",
    "read_journal",
    "unfinished_journals",
]

# What became of files, for people, by the actions of lines.
DONE = {
    "move": "moved",
    "trash": "moved to the trash",
    "delete": "deleted",
    "link": "replaced by links",
    "metadata": "got date or place of another one",
    "copy": "copied",
    "exec": "given to a command",
}
# Actions that are not undone.
_FOR_GOOD = ("delete", "metadata", "copy", "exec")
# Fields of a line by its action, besides its path.
_NEEDED: dict[str, tuple[tuple[str, type], ...]] = {
    "move": (("to", str), ("size", int), ("mtime_ns", int), ("kept", str)),
    "trash": (("to", str), ("size", int), ("mtime_ns", int), ("kept", str)),
    "link": (("kept", str), ("kind", str)),
    "delete": (("kept", str),),
    "metadata": (("before", str), ("sha256", str)),
    "aside": (("to", str),),
    "copy": (("to", str), ("size", int), ("mtime_ns", int), ("kept", str)),
    "exec": (("kept", str), ("command", list)),
}


class Record:
    """A journal that is written: a line of JSON for each file, on disk before the file goes.

    Each line has ``path`` and ``action``; the actions and their fields:

    - "move", "trash": ``to``, ``size``, ``mtime_ns``, and ``kept``, the file that is kept for it. If they apply:
      ``info``, the description in the trash; ``before``, the file had its second name already; ``equal``, it equals
      the kept file byte by byte; ``kept_sha256``; ``to_mtime_ns``, the time of modification if it changed; ``was``,
      owner, mode, exact time and attributes that a copy lacks; ``names``, other names of the file (hard links);
      ``sidecar_of``, the picture with which a sidecar goes; ``why`` it goes; ``made``, folders that were made for it.
    - "delete": the same without ``to``.
    - "copy": the same as "move"; the file stays, and ``to`` is its copy.
    - "exec": the same as "delete", and ``command``, the program and its arguments, which may do anything.
    - "left": after the command of the line before, there is a file at its path.
    - "link": ``kept`` and ``kind``. For a file that was in the trash before, ``trashed``, its path there. For a file
      that was equal to the kept file, its ``sha256``, ``size``, ``mtime_ns``, ``mode``, ``uid``, ``gid``, ``names``,
      and ``exact_ns``, its time of modification even where that is not between 1677 and 2262.
    - "metadata": ``before`` and ``sha256``, the digests of a kept file that got another content.
    - "stay": ``reason``; takes back the line before it of the same path, unless it has ``settled``.
    - "aside": ``to``, the name of a file for a moment, see `two_files`.
    - "temporary": ``path`` is a new file, which goes again; or a second name or copy ``of`` a file, until there is a
      line with it as ``to``.
    - "cleared": nothing of the lines "aside" and "temporary" before is left over.
    - "begin", the first line: ``path`` is the address of the store, ``command`` the action.
    - "undone": the file of this path is back.

    Parameters
    ----------
    path
        A new file; made by the first line.
    digests
        SHA-256 of both files of a removal; empty if they are not known.
    names
        Other names of a file (hard links), as far as they are known.
    why
        Reason why the file of a removal goes; empty if it is not known.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        digests: Callable[[Removal], tuple[str, str]] = lambda removal: ("", ""),
        names: Callable[[str], Sequence[str]] = lambda path: (),
        why: Callable[[Removal], str] = lambda removal: "",
    ) -> None:
        self.path = Path(path)
        self.digests, self.names, self.why = digests, names, why
        self._file: BinaryIO | None = None
        self._settled = False

    @classmethod
    def of(cls, journal: "Journal") -> "Record":
        """Record that goes on in a journal that is there."""
        record = cls(journal.path)
        record._file = journal.path.open("ab", buffering=0)
        if not journal.path.read_bytes().endswith(b"\n"):
            record._file.write(b"\n")
        return record

    def add(self, action: str, path: str, **values: Any) -> None:
        """Write a line, and wait until it is on disk; after an error nothing of it is there."""
        if self._file is None:
            self._file = self.path.open("xb", buffering=0)
            sync_folder(self.path.parent)
        start = self._file.seek(0, os.SEEK_END)
        rest = memoryview(json.dumps({"action": action, "path": path, **values}).encode() + b"\n")
        try:
            while rest:
                rest = rest[self._file.write(rest) :]
            if action != "temporary":  # what a power cut leaves of it is found in the folder
                os.fsync(self._file.fileno())
        except OSError:
            self._take_back(start)
            raise
        self._settled = False

    def _take_back(self, start: int) -> None:
        assert self._file is not None
        try:
            self._file.truncate(start)
        except OSError:
            with contextlib.suppress(OSError):  # else the next line would be damaged as well
                self._file.write(b"\n")

    @property
    def is_settled(self) -> bool:
        """True if the action of the last line is done."""
        return self._settled

    def settle(self) -> None:
        """Note that the action of the last line is done: whatever fails after it, the line stays true."""
        self._settled = True

    def stay(self, path: str, reason: str) -> None:
        """Write that a file stays, which takes back the last line, unless its action is done."""
        self.add("stay", path, reason=reason, **({"settled": True} if self._settled else {}))

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            with contextlib.suppress(OSError):  # of a full disk; the error was told when a line was not written
                self._file.close()


class Journal(NamedTuple):
    """A journal that was read: the actions of a call.

    Attributes
    ----------
    path
        The file.
    store
        Address of the store; empty if the first line is damaged.
    lines
        Lines of actions that are not undone, see `Record`.
    damaged
        Number of lines that cannot be read. The last line may be cut off by a kill; its action did not begin.
    unfinished
        Lines of files that have another name, or are there, for a moment: left over if the process was killed then.
    """

    path: Path
    store: str
    lines: list[dict[str, Any]]
    damaged: int = 0
    unfinished: Sequence[dict[str, Any]] = ()

    @property
    def actions(self) -> list[dict[str, Any]]:
        """Lines of actions that can be undone in principle."""
        return [line for line in self.lines if line["action"] not in _FOR_GOOD]

    @property
    def begun(self) -> datetime:
        """Time at which it was begun, by its name; of another name, the time of its file."""
        try:
            return datetime.strptime(self.path.name[:15], "%Y%m%dT%H%M%S").replace(tzinfo=UTC)
        except ValueError:
            return datetime.fromtimestamp(self.path.stat().st_mtime, UTC)

    @property
    def waiting(self) -> list[dict[str, Any]]:
        """Lines of actions whose files are still there to be brought back."""
        return [line for line in self.actions if _may_come_back(line)]


def _may_come_back(line: dict[str, Any]) -> bool:
    if line["action"] != "link":
        try:
            status = Path(line["to"]).lstat()
        except OSError:
            return False
        # a file that has changed since it went is not moved back
        times = line["mtime_ns"], line.get("to_mtime_ns")
        return (status.st_size, clamped(status.st_mtime_ns) in times) == (line["size"], True)
    if "trashed" in line:  # the line for the trash counts
        return False
    try:
        # the file was equal to the kept file
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
    """Be the only process of this user that moves or removes files; a dead process holds nothing.

    Raises
    ------
    FastDiffError
        If another process or thread is at work.
    UsageError
        If the folder of the journals cannot be written.
    """
    lock = filelock.FileLock(_made_folder() / "lock")
    try:
        lock.acquire(timeout=0)
    except filelock.Timeout:
        raise FastDiffError("another apply or undo is at work; wait for its end, and try again") from None
    except OSError as error:
        raise UsageError(
            f"{lock.lock_file} cannot be locked: {error.strerror}; check the rights on that folder"
        ) from None
    try:
        yield
    finally:
        lock.release()


def new_journal(store: str) -> Path:
    """Name the journal of a call; names sort by time, whatever the time zone."""
    digest = hashlib.blake2b(store.encode(errors="surrogateescape"), digest_size=6).hexdigest()
    now, rest = divmod(time.time_ns(), 10**9)
    moment = time.strftime("%Y%m%dT%H%M%S", time.gmtime(now))
    return _made_folder() / f"{moment}-{rest:09}Z-{digest}-{uuid.uuid4().hex[:6]}.jsonl"


def journals(store: str | None = None) -> list[Journal]:
    """Read the journals of this user, of one store or of all, that are not wholly undone; the oldest first."""
    return [journal for journal in _all_journals() if store in (None, journal.store) and journal.lines]


def journals_now() -> dict[str, int]:
    """Give the bytes of all journals of this user by name: others after each change."""
    found = {}
    for path in _folder().glob("*.jsonl"):
        with contextlib.suppress(OSError):  # removed meanwhile
            found[path.name] = path.stat().st_size
    return found


def unfinished_journals() -> list[Journal]:
    """Read the journals of this user with lines of files that may be left over from a kill."""
    return [journal for journal in _all_journals() if journal.unfinished]


def _all_journals() -> Iterator[Journal]:
    for path in sorted(_folder().glob("*.jsonl")):
        with contextlib.suppress(OSError):  # a folder of that name, or one of another user
            yield read_journal(path)


def last_to_undo(store: str | None = None) -> tuple[Journal | None, list[Journal]]:
    """Find the newest journal with a file that can be brought back now, and the newer ones without such a file."""
    hopeless: list[Journal] = []
    for journal in reversed(journals(store)):
        if journal.waiting:
            return journal, hopeless
        if journal.actions:
            hopeless.append(journal)
    return None, hopeless


def read_journal(path: Path) -> Journal:
    """Read a journal; damaged lines are counted and left out.

    Raises
    ------
    OSError
        If the file cannot be read.
    """
    lines: list[dict[str, Any]] = []
    unfinished: list[dict[str, Any]] = []
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
                # takes back the line of this file; if only a link was not made, the file is in the trash by the line
                # before, and can come back
                if lines and lines[-1]["path"] == name and not line.get("settled"):
                    lines.pop()
            case "undone":
                lines = [one for one in lines if one["path"] != name]
            case "left":
                if lines and lines[-1]["path"] == name:
                    lines[-1]["left"] = True
            case "move" | "trash" | "link" | "delete" | "metadata" | "copy" | "exec":
                lines.append(line)
                if unfinished and unfinished[-1]["path"] == line.get("to"):
                    unfinished.pop()
            case "aside" | "temporary":
                unfinished.append(line)
            case "cleared":
                unfinished.clear()
            case _:
                damaged += 1
    return Journal(path, store, lines, damaged, unfinished)
