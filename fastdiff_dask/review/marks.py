"""Marks of people, "keep" or "remove", which a store remembers.

::

    <store>/marks/<number>.json   the marks of a call: {"<image>": [mark or null, start of the content, time]}

A mark belongs to the number of an image and to its content, so that another picture never inherits it. Of several marks
of an image the latest counts, whatever the order of the files: two servers need no lock, and what was answered is kept
whatever happens to them. A file is never changed; files are merged into a new one when there are many.
"""

import json
import re
import threading
import time
import uuid
from collections.abc import Iterable, Mapping
from typing import Any

from ..storage.schema import MARKS
from ..storage.store import Store

__all__ = ["KEEP", "REMOVE", "Marks"]

KEEP, REMOVE = "keep", "remove"
# Files from which on they are merged into one, and bytes of a file at most.
_MANY = 64
_LARGEST = 1 << 28
_NAME = re.compile(r"[0-9a-f]{32}\.json")

# The mark, the start of the SHA-256 of the file, and the time in nanoseconds.
_Entry = tuple[str | None, str, int]


class Marks:
    """The marks of a store; for several threads, and for several processes beside each other.

    Memory: some 200 bytes a mark.

    Parameters
    ----------
    store
        The store.
    """

    def __init__(self, store: Store) -> None:
        self._files = store.files
        self._lock = threading.RLock()
        self._entries: dict[int, _Entry] = {}
        self._read: set[str] = set()
        self.version = 0
        self.refresh()

    def refresh(self) -> bool:
        """Read the marks that others wrote; True if there are new ones."""
        with self._lock:
            names = {name for name in self._files.names(MARKS) if _NAME.fullmatch(name)}
            new = sorted(names - self._read)
            before = self.version
            for name in new:
                self._take(self._content(name))
            # a file that is gone was merged into another one
            self._read = names
            return self.version != before

    def _content(self, name: str) -> dict[int, _Entry]:
        """Read a file; marks that cannot be are left out, as is a file that another process has just merged."""
        try:
            content = self._files.read(f"{MARKS}/{name}", _LARGEST)
        except FileNotFoundError:
            return {}
        with self._files.reading(f"{MARKS}/{name}"):
            entries = dict(json.loads(content)["marks"])
        return {int(number): (entry[0], entry[1], entry[2]) for number, entry in entries.items() if _is_entry(entry)}

    def _take(self, entries: Mapping[int, _Entry]) -> None:
        for number, entry in entries.items():
            known = self._entries.get(number)
            if known is None or (known[2], str(known[0]), known[1]) < (entry[2], str(entry[0]), entry[1]):
                self._entries[number] = entry
                self.version += 1

    def set(self, marks: Mapping[int, str | None], contents: Mapping[int, str]) -> None:
        """Set or take back the marks of some images, by their numbers; when this returns, the store has them.

        Parameters
        ----------
        marks
            `KEEP`, `REMOVE`, or None to take a mark back.
        contents
            The start of the SHA-256 of each image, 16 digits.
        """
        with self._lock:
            now, entries = time.time_ns(), dict[int, _Entry]()
            for number, mark in marks.items():
                known = self._entries.get(number)
                # a clock that was set back does not undo what is said now
                entries[number] = mark, contents[number], max(now, 0 if known is None else known[2] + 1)
            if entries:
                self._read.add(self._write(entries))
                self._take(entries)
            if len(self._read) > _MANY:
                self._merge()

    def _write(self, entries: Mapping[int, _Entry]) -> str:
        name = f"{uuid.uuid4().hex}.json"
        self._files.write(f"{MARKS}/{name}", json.dumps({"marks": entries}).encode())
        return name

    def _merge(self) -> None:
        """Write all marks that were read into one file, then remove the others."""
        before = set(self._read)
        self._read.add(self._write(self._entries))
        for name in before:
            self._files.remove(f"{MARKS}/{name}")
        self._read -= before

    def get(self, numbers: Iterable[int], contents: Iterable[str]) -> dict[int, str]:
        """Give the marks of some images by their numbers, as far as their contents are those that were marked."""
        with self._lock:
            found = {}
            for number, content in zip(numbers, contents, strict=True):
                mark, of, _ = self._entries.get(number, (None, "", 0))
                if mark is not None and of == content:
                    found[number] = mark
            return found

    def marked(self) -> list[int]:
        """Numbers of all images with a mark, whatever their contents are now."""
        with self._lock:
            return [number for number, entry in self._entries.items() if entry[0] is not None]


def _is_entry(entry: Any) -> bool:
    if not isinstance(entry, list) or len(entry) != 3:
        return False
    mark, content, at = entry
    return mark in (KEEP, REMOVE, None) and re.fullmatch("[0-9a-f]{16}", str(content)) is not None and type(at) is int
