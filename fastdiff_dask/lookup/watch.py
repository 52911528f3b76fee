"""New files in some folders: found by events of the system and by looking now and then, given when they are whole."""

import contextlib
import os
import queue
import stat
import time
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from ..errors import UsageError
from ..extras import need
from ..text import printable

__all__ = ["FolderWatch"]

# Seconds for which a file must stay as it is: of which nothing more is known, and that is being written, and was not
# closed. Some programs pause as they write; some never close a file, and on some systems nothing tells of it.
_SETTLED = {"there": 1.0, "written": 10.0, "whole": 0.0}
# Seconds between two looks at waiting files; and between two looks at all files: events may be lost, as when a folder
# is new, or thousands come at once.
_LOOK, _WHOLE_LOOK = 0.1, 10.0
# Seconds between these if the system gives no events.
_WITHOUT_EVENTS = 1.0


class _State(NamedTuple):
    """A file as it is; another content has another one."""

    size: int
    mtime_ns: int
    inode: int


class _Waiting(NamedTuple):
    """A file that is not given yet: its state, since when it is so, and what is known of it: a key of `_SETTLED`."""

    state: _State
    since: float
    known: str


class FolderWatch:
    """Watches folders, with all below them, from now on; files that are there already are no news until they change.

    Symbolic links to folders are not followed. Use it as a context manager.

    Parameters
    ----------
    folders
        The folders.

    Raises
    ------
    UsageError
        If a folder is none, or watchdog is not installed (``pip install 'fastdiff_dask[watch]'``).
    """

    def __init__(self, folders: Sequence[str]) -> None:
        for folder in folders:
            if not os.path.isdir(folder):  # noqa: PTH112 - names of any bytes
                raise UsageError(f"{printable(folder)} is no folder to watch; name one that is there")
        need("watchdog.observers", "watchdog", "watch")
        self._folders = [os.path.abspath(folder) for folder in folders]  # noqa: PTH100
        self._events: queue.SimpleQueue[tuple[str, str]] = queue.SimpleQueue()
        self._known: dict[str, _State] = {}
        self._waiting: dict[str, _Waiting] = {}
        self._observer: Any = None
        self._next_look = 0.0

    def __enter__(self) -> "FolderWatch":
        self._observer = _start_observer(self._folders, self._events)
        start = time.monotonic()
        self._known = {path: state for folder in self._folders for path, state in _files(folder)}
        self._plan_look(start)
        return self

    def __exit__(self, *_: object) -> None:
        if self._observer is not None:
            self._observer.stop()
            self._observer.join()

    def __len__(self) -> int:
        return len(self._known)

    def again(self, path: str) -> None:
        """Wait for a file once more, that changed while it was read."""
        self._known.pop(path, None)
        self._wait_for(path, "there")

    def new_files(self, most: int) -> Iterator[list[str]]:
        """Give new and changed files when they are whole, some at a time, in the order of their names; does not end.

        Parameters
        ----------
        most
            Files to give at a time, at most.

        Yields
        ------
        list
            Paths; none if there is nothing now, some ten times a second.
        """
        while True:
            self._take_events()
            if time.monotonic() > self._next_look:
                self._look_at_all()
            ready = sorted(path for path in list(self._waiting) if self._is_ready(path))
            for start in range(0, len(ready), most):
                yield ready[start : start + most]
            if not ready:
                yield []
                time.sleep(_LOOK)

    def _look_at_all(self) -> None:
        start = time.monotonic()
        for folder in self._folders:
            for path, state in _files(folder):
                if self._known.get(path) != state:
                    self._wait_for(path, "there")
        self._plan_look(start)

    def _plan_look(self, start: float) -> None:
        """Plan the next look at all files, after one that has begun then: it takes a twentieth of the time at most."""
        now = time.monotonic()
        self._next_look = now + max(_WITHOUT_EVENTS if self._observer is None else _WHOLE_LOOK, 20 * (now - start))

    def _take_events(self) -> None:
        with contextlib.suppress(queue.Empty):
            while True:
                path, known = self._events.get_nowait()
                state = _state_of(path)
                if state is None:  # a folder, which may have come with all that is in it
                    for inside, _ in _files(path):
                        self._wait_for(inside, "there")
                else:
                    self._wait_for(path, known)

    def _wait_for(self, path: str, known: str) -> None:
        state = _state_of(path)
        if state is None or self._known.get(path) == state:
            return
        waiting = self._waiting.get(path)
        if waiting is None or waiting.state != state:
            waiting = _Waiting(state, time.monotonic(), known)
        if known != "there" and waiting.known != "whole":
            waiting = waiting._replace(known=known)
        self._waiting[path] = waiting

    def _is_ready(self, path: str) -> bool:
        """Tell whether a file is whole; it waits no more then, and neither does one that has gone."""
        state, waiting = _state_of(path), self._waiting[path]
        if state is None:
            del self._waiting[path]
            return False
        if state != waiting.state:
            self._waiting[path] = _Waiting(state, time.monotonic(), "written")
            return False
        if time.monotonic() - waiting.since < _SETTLED[waiting.known]:
            return False
        del self._waiting[path]
        self._known[path] = state
        return True


def _state_of(path: str) -> _State | None:
    """State of a regular file; None of anything else."""
    try:
        found = os.lstat(path)
        if stat.S_ISLNK(found.st_mode):
            found = os.stat(path)  # noqa: PTH116
    except (OSError, ValueError):
        return None
    if not stat.S_ISREG(found.st_mode):
        return None
    return _State(found.st_size, found.st_mtime_ns, found.st_ino)


def _files(folder: str) -> Iterator[tuple[str, _State]]:
    """Regular files in a folder and below."""
    for place, _, names in os.walk(folder):
        for name in names:
            path = os.path.join(place, name)  # noqa: PTH118
            state = _state_of(path)
            if state is not None:
                yield path, state


def _start_observer(folders: Sequence[str], events: "queue.SimpleQueue[tuple[str, str]]") -> Any:
    """Let the system tell of files, and what is known of them; None if it cannot, as of too many folders."""
    from watchdog.events import (
        DirCreatedEvent,
        DirMovedEvent,
        FileClosedEvent,
        FileCreatedEvent,
        FileModifiedEvent,
        FileMovedEvent,
        FileSystemEvent,
        FileSystemEventHandler,
    )
    from watchdog.observers import Observer

    kinds = [FileCreatedEvent, FileModifiedEvent, FileClosedEvent, FileMovedEvent, DirCreatedEvent, DirMovedEvent]

    class Handler(FileSystemEventHandler):
        """Hands paths over to the thread that waits for them."""

        def on_any_event(self, event: FileSystemEvent) -> None:
            """Hand one over."""
            moved = isinstance(event, FileMovedEvent | DirMovedEvent)
            path = event.dest_path if moved else event.src_path
            if path:
                whole = isinstance(event, FileClosedEvent | FileMovedEvent)
                written = "written" if isinstance(event, FileModifiedEvent) else "there"
                events.put((os.fsdecode(path), "whole" if whole else written))

    observer = Observer()
    try:
        for folder in folders:
            observer.schedule(Handler(), folder, recursive=True, event_filter=kinds)
        observer.start()
    except OSError:
        observer.unschedule_all()
        return None
    return observer
