"""Small files in the store by which tasks tell what they are doing, for the live page and `status`.

::

    <store>/activity/run.json        the stage that runs, written by the process that runs it: see `stage`
    <store>/activity/<worker>.json   one a worker thread, replaced when it starts and ends a task: see `recorded`
    <store>/activity/earlier.json    the stages that the same process ran before: see `Earlier`

The next stage removes them, but for their sums, and no result depends on them. Writing one takes 0.1 to 0.5 ms on a
local disk. A task does not fail if its file cannot be written.
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
from typing import Any, NamedTuple

import psutil
from distributed import get_worker

from ..storage.files import Files
from ..storage.schema import ACTIVITY

__all__ = [
    "AMOUNTS",
    "Amounts",
    "Earlier",
    "FinishedStage",
    "Work",
    "read_activity",
    "read_earlier",
    "recorded",
    "stage",
]

_RUN, _EARLIER = "run.json", "earlier.json"
# Seconds after its last task, when a worker counts as idle.
_IDLE = 5.0
# A store may be someone else's: at most so many bytes of a file are read, and so many files.
_LARGEST, _MOST = 65_536, 4096
_LARGEST_EARLIER, _MOST_STAGES = 4 << 20, 64


@dataclass
class Amounts:
    """Amounts of work: of one task, or of several.

    Attributes
    ----------
    tasks, images, pairs, similar, errors
        Numbers of tasks ended, images read, pairs compared, similar pairs found, images that could not be read.
    seconds
        Time of the tasks.
    """

    tasks: int = 0
    images: int = 0
    pairs: int = 0
    similar: int = 0
    errors: int = 0
    seconds: float = 0.0

    def add(self, other: "Amounts") -> None:
        """Add the amounts of another."""
        for name in AMOUNTS:
            setattr(self, name, getattr(self, name) + getattr(other, name))


AMOUNTS = tuple(Amounts.__dataclass_fields__)


@dataclass
class Work:
    """Work of a worker thread in a run: tasks that ended, and the one that runs.

    Attributes
    ----------
    run, stage
        The run of its tasks, and the stage of that run.
    worker, worker_name, host, process, thread
        Address and name on the cluster, name of the machine, numbers of process and thread.
    running
        Values that tell the running task from others of the stage; None between tasks.
    version
        Number of times that this was written.
    done, last
        Amounts of all tasks of the run that ended, and of the last one.
    """

    run: str
    stage: str
    worker: str = ""
    worker_name: str = ""
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
        """Name of the file, without the ending."""
        return f"{re.sub('[^A-Za-z0-9_-]', '_', self.host)}-{self.process}-{self.thread}"

    def rate(self, amount: str, elapsed: float) -> float:
        """Compute the amount a second by the last task; less if the running one takes longer.

        Parameters
        ----------
        amount
            One of `AMOUNTS`.
        elapsed
            Seconds since this was changed.

        Returns
        -------
        Amount a second.
        """
        if self.running is None and elapsed > _IDLE:
            return 0.0
        seconds = max(self.last.seconds, elapsed if self.running is not None else 0.0)
        return float(getattr(self.last, amount)) / seconds if seconds > 0 else 0.0


class FinishedStage(NamedTuple):
    """A stage that came to its end: its run and name, its times in seconds since 1970, and what was done in it."""

    run: str
    stage: str
    started: float
    ended: float
    images: int
    pairs: int


@dataclass
class Earlier:
    """Work of the stages that the same process ran before the present one.

    Attributes
    ----------
    stages
        The stages, oldest first.
    works
        The work of each worker in all of them; it runs nothing.
    """

    stages: list[FinishedStage] = field(default_factory=list)
    works: list[Work] = field(default_factory=list)

    def add(self, run: dict[str, Any], works: list[Work]) -> None:
        """Add a stage that has ended, and the work of its threads."""
        done = Amounts()
        of_workers = {(work.worker_name, work.host, work.process): work for work in self.works}
        for work in works:
            done.add(work.done)
            key = work.worker_name, work.host, work.process
            if key not in of_workers:
                of_workers[key] = Work("", "", work.worker, work.worker_name, work.host, work.process)
                self.works.append(of_workers[key])
            of_workers[key].worker = work.worker
            of_workers[key].done.add(work.done)
        stage = FinishedStage(run["run"], run["stage"], run["started"], run["ended"], done.images, done.pairs)
        self.stages = [*self.stages, stage][-_MOST_STAGES:]


_here: dict[int, Work] = {}


@contextlib.contextmanager
def stage(files: Files, name: str, pairs: int | None = None) -> Iterator[str]:
    """Begin a run of a stage, and record that it runs as long as the block; files of earlier runs are removed.

    Parameters
    ----------
    files
        Files of the store, which is locked for writing.
    name
        Name of the stage.
    pairs
        Number of pairs of the stage, if that is known.

    Yields
    ------
    str
        Name of the run, which its tasks need for `recorded` and to write to the store.
    """
    run = {"run": files.begin_run(), "stage": name, "host": socket.gethostname(), "process": os.getpid()}
    run |= {"started": time.time(), "ended": None, "pairs": pairs}
    earlier = _before(files, run)
    with contextlib.suppress(Exception):
        files.remove(ACTIVITY)
    if earlier is not None:
        works = [_written(work) for work in earlier.works]
        _write(files, _EARLIER, {"run": run["run"], "stages": earlier.stages, "works": works})
    _write(files, _RUN, run)
    try:
        yield str(run["run"])
    finally:
        _write(files, _RUN, run | {"ended": time.time()})


def _before(files: Files, run: dict[str, Any]) -> Earlier | None:
    """Sum up the stages that this process ran so far; None if there are none, or they are of another process."""
    with contextlib.suppress(Exception):  # as with `_write`
        before, works = read_activity(files)
        if before is None or before["ended"] is None:
            return None
        began = psutil.Process().create_time() - 1  # an earlier process may have had the same number
        if all(before[name] == run[name] for name in ("host", "process")) and before["started"] >= began:
            earlier = read_earlier(files, before["run"])
            earlier.add(before, works)
            return earlier
    return None


@contextlib.contextmanager
def recorded(files: Files, run: str, stage_name: str, **what: Any) -> Iterator[Amounts]:
    """Record a task of a run, as long as the block.

    Parameters
    ----------
    files
        Files of the store.
    run
        Name of the run, as `stage` gives it; nothing is recorded if it is empty.
    stage_name
        Name of the stage.
    **what
        Values that tell the task from others of the stage.

    Yields
    ------
    Amounts
        To be filled in by the block, but for tasks and seconds.
    """
    amounts = Amounts(tasks=1)
    if not run:
        yield amounts
        return
    work = _here.get(threading.get_ident())
    if work is None or work.run != run:
        work = Work(run, stage_name, *_worker(), socket.gethostname(), os.getpid(), threading.get_native_id())
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


def _worker() -> tuple[str, str]:
    """Give address and name of the worker of this thread, empty outside of a task."""
    try:
        worker = get_worker()
    except ValueError:
        return "", ""
    _add_metrics(worker)
    return str(worker.address), str(worker.name)


def _change(files: Files, work: Work, running: dict[str, Any] | None) -> None:
    work.running, work.changed = running, time.monotonic()
    work.version += 1
    _write(files, f"{work.name}.json", _written(work))


def _written(work: Work) -> dict[str, Any]:
    values = {**vars(work), "done": vars(work.done), "last": vars(work.last)}  # `asdict` copies all it finds: slower
    del values["changed"]  # the clock of this machine alone
    return values


def _write(files: Files, name: str, values: dict[str, Any]) -> None:
    # whatever a backend raises, it is not worth a task
    with contextlib.suppress(Exception):
        files.write(f"{ACTIVITY}/{name}", json.dumps(values).encode())


def read_activity(files: Files) -> tuple[dict[str, Any] | None, list[Work]]:
    """Read the records: the run, as `stage` wrote it, and the work of its threads.

    Files that are damaged or of another run are left out. Texts are not checked: anyone may have written them.
    """
    run: dict[str, Any] | None = None
    works = []
    names = sorted(name for name in files.names(ACTIVITY) if name.endswith(".json") and name not in (_RUN, _EARLIER))
    names = names[:_MOST]
    for name, content in _contents(files, [_RUN, *names]):
        with contextlib.suppress(ValueError, TypeError, KeyError, OverflowError, RecursionError):
            values: Any = json.loads(content) if len(content) <= _LARGEST else None
            if name == _RUN:
                run = _decode_run(values)
            elif run is not None and values["run"] == run["run"]:
                works.append(_decode(values))
    return run, works


def read_earlier(files: Files, run: str) -> Earlier:
    """Read what was done before a run; nothing if it is damaged or was written before another run."""
    with contextlib.suppress(OSError, ValueError, TypeError, KeyError, OverflowError, RecursionError):
        content = files.read(f"{ACTIVITY}/{_EARLIER}", _LARGEST_EARLIER + 1)
        values: Any = json.loads(content) if len(content) <= _LARGEST_EARLIER else None
        if values["run"] == run:
            stages = [_decode_stage(*stage) for stage in values["stages"][-_MOST_STAGES:]]
            return Earlier(stages, [_decode(work) for work in values["works"][:_MOST]])
    return Earlier()


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
    ended, pairs = values["ended"], values.get("pairs")
    return {
        **{key: str(values[key]) for key in ("run", "stage", "host")},
        "process": int(values["process"]),
        "started": float(values["started"]),
        "ended": None if ended is None else float(ended),
        "pairs": None if pairs is None else int(pairs),
    }


def _number(value: Any) -> float:
    if not isinstance(value, int | float) or not 0 <= value < 2**63:
        raise ValueError(f"{value!r} is no amount")
    return value


def _decode_stage(run: Any, stage: Any, started: Any, ended: Any, images: Any, pairs: Any) -> FinishedStage:
    times = float(_number(started)), float(_number(ended))
    return FinishedStage(str(run), str(stage), *times, int(_number(images)), int(_number(pairs)))


def _decode(values: dict[str, Any]) -> Work:
    def amounts(found: dict[str, Any]) -> Amounts:
        whole = {name: int(_number(found[name])) for name in AMOUNTS if name != "seconds"}
        return Amounts(**whole, seconds=float(_number(found["seconds"])))

    running = values["running"]
    return Work(
        run=str(values["run"]),
        stage=str(values["stage"]),
        worker=str(values["worker"]),
        worker_name=str(values["worker_name"]),
        host=str(values["host"]),
        process=int(_number(values["process"])),
        thread=int(_number(values["thread"])),
        running=None if running is None else dict(running),
        version=int(_number(values["version"])),
        done=amounts(values["done"]),
        last=amounts(values["last"]),
    )


def _add_metrics(worker: Any) -> None:
    """Show the rates of a worker on the page "workers" of Dask's dashboard.

    Tasks add them, as a plugin would keep workers without this package from joining the cluster.
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
