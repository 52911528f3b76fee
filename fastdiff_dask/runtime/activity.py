"""What tasks are doing right now, told by themselves for whoever watches: small files in the store, no part of results.

::

    <store>/activity/run.json        the stage that runs, written by the process that runs it: see `stage`
    <store>/activity/<worker>.json   one a worker thread, replaced when it starts and ends a task: see `recorded`

They are removed when a stage begins; nothing depends on them. Writing one takes 0.1 to 0.5 ms on a local disk, and one
that cannot be written is left out: a task never fails for it.
"""

import contextlib
import json
import os
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from distributed import get_worker

from ..storage.files import Files
from ..storage.schema import ACTIVITY

__all__ = ["AMOUNTS", "Amounts", "Work", "read_activity", "recorded", "stage"]

_RUN = "run.json"
# A worker that ended its last task so many seconds ago does nothing.
_IDLE = 5.0
# More is not read of what may be someone else's: bytes of a file, and files.
_LARGEST, _MOST = 65_536, 4096


@dataclass
class Amounts:
    """Amounts of work: of one task, or of several.

    Attributes
    ----------
    tasks, images, pairs, similar, errors
        Tasks ended, images read, pairs of images compared, similar pairs found, images that could not be read.
    seconds
        Time that the tasks took.
    """

    tasks: int = 0
    images: int = 0
    pairs: int = 0
    similar: int = 0
    errors: int = 0
    seconds: float = 0.0

    def add(self, other: "Amounts") -> None:
        """Add those of another."""
        for name in AMOUNTS:
            setattr(self, name, getattr(self, name) + getattr(other, name))


AMOUNTS = tuple(Amounts.__dataclass_fields__)


@dataclass
class Work:
    """What a worker thread did in a run and does now.

    Attributes
    ----------
    run, stage
        The run that its tasks belong to, and the stage of that.
    worker, host, process, thread
        Who it is: address on the cluster, machine, numbers of process and thread.
    running
        The task that runs now: what tells it from others of the stage; None between tasks.
    version
        How often this was written.
    done, last
        All tasks of the run that ended, and the last one.
    """

    run: str
    stage: str
    worker: str = ""
    host: str = ""
    process: int = 0
    thread: int = 0
    running: dict[str, Any] | None = None
    version: int = 0
    done: Amounts = field(default_factory=Amounts)
    last: Amounts = field(default_factory=Amounts)
    changed: float = field(default=0.0, compare=False)

    @property
    def name(self) -> str:
        """Name of its file, without the ending."""
        return f"{re.sub('[^A-Za-z0-9_-]', '_', self.host)}-{self.process}-{self.thread}"

    def rate(self, amount: str, elapsed: float) -> float:
        """Amount a second, by the last task; less if the present one takes longer than that.

        Parameters
        ----------
        amount
            One of `AMOUNTS`.
        elapsed
            Seconds since this was changed.
        """
        if self.running is None and elapsed > _IDLE:
            return 0.0
        seconds = max(self.last.seconds, elapsed if self.running is not None else 0.0)
        return float(getattr(self.last, amount)) / seconds if seconds > 0 else 0.0


_here: dict[int, Work] = {}


@contextlib.contextmanager
def stage(files: Files, name: str) -> Iterator[str]:
    """Begin a run of a stage, and say that it runs for as long as the block takes; what an earlier one left is removed.

    Parameters
    ----------
    files
        Files of the store, which is locked for writing.
    name
        Name of the stage.

    Yields
    ------
    Number of the run, which its tasks need for `recorded`, and to write to the store.
    """
    run = {"run": files.begin_run(), "stage": name, "host": socket.gethostname(), "process": os.getpid()}
    run |= {"started": time.time(), "ended": None}
    with contextlib.suppress(Exception):
        files.remove(ACTIVITY)
    _write(files, _RUN, run)
    try:
        yield str(run["run"])
    finally:
        _write(files, _RUN, run | {"ended": time.time()})


@contextlib.contextmanager
def recorded(files: Files, run: str, stage_name: str, **what: Any) -> Iterator[Amounts]:
    """Record a task of a run, for as long as the block takes.

    Parameters
    ----------
    files
        Files of the store.
    run
        What `stage` gave; empty records nothing.
    stage_name
        Name of the stage.
    what
        What tells the task from others of the stage.

    Yields
    ------
    Amounts for the block to fill in, all but the tasks and the seconds.
    """
    amounts = Amounts(tasks=1)
    if not run:
        yield amounts
        return
    work = _here.get(threading.get_ident())
    if work is None or work.run != run:
        work = Work(run, stage_name, _address(), socket.gethostname(), os.getpid(), threading.get_native_id())
        _here[threading.get_ident()] = work
    start = time.perf_counter()
    _change(files, work, what)
    try:
        yield amounts
    except BaseException:
        _change(files, work, None)
        raise
    amounts.seconds = time.perf_counter() - start
    work.done.add(amounts)
    work.last = amounts
    _change(files, work, None)


def _address() -> str:
    try:
        worker = get_worker()
    except ValueError:  # not in a task
        return ""
    _add_metrics(worker)
    return str(worker.address)


def _change(files: Files, work: Work, running: dict[str, Any] | None) -> None:
    work.running, work.changed = running, time.monotonic()
    work.version += 1
    values = {**vars(work), "done": vars(work.done), "last": vars(work.last)}  # `asdict` copies all it finds: slower
    del values["changed"]  # the clock of this machine alone
    _write(files, f"{work.name}.json", values)


def _write(files: Files, name: str, values: dict[str, Any]) -> None:
    # whatever a backend raises, it is not worth a task
    with contextlib.suppress(Exception):
        files.write(f"{ACTIVITY}/{name}", json.dumps(values).encode())


def read_activity(files: Files) -> tuple[dict[str, Any] | None, list[Work]]:
    """Read what is recorded: the run, as `stage` wrote it, and the work of its threads.

    What is damaged, not understood or of another run is left out. Texts are as they were found, whoever wrote them.
    """
    run: dict[str, Any] | None = None
    works = []
    names = sorted(name for name in files.names(ACTIVITY) if name.endswith(".json") and name != _RUN)[:_MOST]
    for name, content in _contents(files, [_RUN, *names]):
        with contextlib.suppress(ValueError, TypeError, KeyError, OverflowError, RecursionError):
            values: Any = json.loads(content) if len(content) <= _LARGEST else None
            if name == _RUN:
                run = _decode_run(values)
            elif run is not None and values["run"] == run["run"]:
                works.append(_decode(values))
    return run, works


def _contents(files: Files, names: list[str]) -> Iterator[tuple[str, bytes]]:
    paths = [f"{ACTIVITY}/{name}" for name in names]
    if not files.local:
        with contextlib.suppress(OSError, ValueError):  # one of them was removed meanwhile
            yield from zip(names, files.read_several(paths, _LARGEST + 1), strict=True)
            return
    for name, path in zip(names, paths, strict=True):
        with contextlib.suppress(OSError, ValueError):
            yield name, files.read(path, _LARGEST + 1)


def _decode_run(values: dict[str, Any]) -> dict[str, Any]:
    ended = values["ended"]
    return {
        **{key: str(values[key]) for key in ("run", "stage", "host")},
        "process": int(values["process"]),
        "started": float(values["started"]),
        "ended": None if ended is None else float(ended),
    }


def _decode(values: dict[str, Any]) -> Work:
    def number(value: Any) -> float:
        if not isinstance(value, int | float) or not 0 <= value < 2**63:
            raise ValueError(f"{value!r} is no amount")
        return value

    def amounts(found: dict[str, Any]) -> Amounts:
        whole = {name: int(number(found[name])) for name in AMOUNTS if name != "seconds"}
        return Amounts(**whole, seconds=float(number(found["seconds"])))

    running = values["running"]
    return Work(
        run=str(values["run"]),
        stage=str(values["stage"]),
        worker=str(values["worker"]),
        host=str(values["host"]),
        process=int(number(values["process"])),
        thread=int(number(values["thread"])),
        running=None if running is None else dict(running),
        version=int(number(values["version"])),
        done=amounts(values["done"]),
        last=amounts(values["last"]),
    )


def _add_metrics(worker: Any) -> None:
    """Show what a worker does on the page "workers" of Dask's dashboard; 0 when it does nothing of ours.

    By the tasks rather than by a plugin, which would keep workers without this package from joining the cluster.
    """
    if _METRICS.keys() - worker.metrics.keys():
        worker.metrics = {**worker.metrics, **_METRICS}  # its event loop may be reading the former


def _of(address: str) -> list[Work]:
    return [work for work in list(_here.values()) if work.worker == address]


def _rate(address: str, amount: str) -> float:
    now = time.monotonic()
    return round(sum(work.rate(amount, now - work.changed) for work in _of(address)), 1)


_METRICS: dict[str, Callable[[Any], float]] = {
    "images/s": lambda worker: _rate(worker.address, "images"),
    "pairs/s": lambda worker: _rate(worker.address, "pairs"),
    "read errors": lambda worker: sum(work.done.errors for work in _of(worker.address)),
}
