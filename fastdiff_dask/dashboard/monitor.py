"""The progress of a job from its store alone, while another process writes the store."""

import math
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import psutil

from ..errors import FastDiffError
from ..kernels.pair_filters import PairFilters
from ..runtime.activity import Amounts, Earlier, FinishedStage, Work, read_activity, read_earlier
from ..storage.comparisons import Comparison
from ..storage.files import Files
from ..storage.locks import ENDED
from ..storage.pending import can_answer
from ..storage.plans import Part, axes_and_tiles
from ..storage.schema import LEASE, LOCK
from ..storage.store import Store
from ..text import one_line
from .last_found import LastFound
from .rate_history import RateHistory
from .snapshot import ComparisonProgress, FileError, Snapshot, WorkerProgress
from .tile_map import Tiles, block_cells
from .verify_progress import VerifyWatch
from .worker_progress import worker_progress

__all__ = ["Monitor"]

# Seconds between refreshes for each second that one takes, apart from files that are read only once; and the most.
_SHARE, _SELDOM = 50, 30.0
# Seconds without a word of any worker after which a run on another machine counts as dead; most tasks are shorter.
_SILENCE = 120.0
_AT_ONCE = 64  # small files that are read together, which is faster on object storage
_LINES = 20


class _Compared:
    """The tiles of one comparison as far as they are known."""

    def __init__(self) -> None:
        self.names: set[str] = set()
        self.parts: list[Part] = []
        self.tiles: list[Tiles] = []
        self._unread: list[set[int]] = []
        self.found: tuple[Part, int, int] | None = None  # a tile read last, and its similar pairs

    def update(self, comparison: Comparison, reading: float) -> float:
        """Look for new parts and finished tiles, and read counts for some seconds; gives the seconds of reading."""
        names = comparison.part_names()
        if names != self.names or len(self.parts) < len(names):
            parts = comparison.parts()
            same = sum(1 for old, new in zip(self.parts, parts, strict=False) if old == new)
            if parts[:same] != self.parts:
                self.parts, self.tiles, self._unread, self.found = [], [], [], None
            for number in range(len(self.parts), len(parts)):
                self.tiles.append(Tiles(*axes_and_tiles(parts[: number + 1], comparison.store.two_sides)))
                self._unread.append(set())
            self.parts, self.names = parts, names
        for part, tiles, unread in zip(self.parts, self.tiles, self._unread, strict=True):
            if not tiles.done.all():
                finished = [tile for tile in comparison.finished_tiles(part) if tile < len(tiles.done)]
                unread.update(tile for tile in finished if not tiles.done[tile])
                tiles.done[finished] = True
        start = time.monotonic()
        for part, tiles, unread in zip(self.parts, self.tiles, self._unread, strict=True):
            while unread and time.monotonic() < start + reading:
                some = [unread.pop() for _ in range(min(len(unread), _AT_ONCE))]
                tiles.similar[some], tiles.pairs[some] = comparison.tile_counts(part, some).T
                for tile in (tile for tile in some if tiles.similar[tile]):
                    self.found = part, tile, int(tiles.similar[tile])
        return time.monotonic() - start

    def is_finished(self, generations: int) -> bool:
        """Tell whether the pairs of all generations are compared."""
        planned = self.parts[-1].generations.stop if self.parts else 0
        return planned == generations and all(tiles.done.all() for tiles in self.tiles)


class Monitor:
    """Watches one store; a refresh reads little more than new files.

    Several threads may share it; a snapshot that is young enough serves all.

    Parameters
    ----------
    url
        Folder or fsspec URL of the store; it need not exist yet.
    reading
        Seconds of one refresh for errors, and for the counts of tiles. Both are read only once; the next refreshes read
        the rest.
    """

    def __init__(self, url: str, *, reading: float = 0.15) -> None:
        self.url = url
        self._reading = reading
        self._lock = threading.Lock()
        self._snapshot: Snapshot | None = None
        self._refreshed = -math.inf
        self._cost = self._once = 0.0
        self._forget()

    def _forget(self) -> None:
        self._generations: list[Any] = []
        self._counted: set[int] = set()
        self._errors = 0
        self._latest: deque[FileError] = deque(maxlen=_LINES)
        self._compared: dict[str, _Compared] = {}
        self._versions: dict[str, tuple[int, float]] = {}
        self._history = RateHistory()
        self._earlier: tuple[str, Earlier] = "", Earlier()
        self._found = LastFound()
        self._lease = b"", 0.0
        self._verify = VerifyWatch()

    def snapshot(self, oldest: float = 1.0) -> Snapshot:
        """Give a snapshot that is at most so many seconds old.

        A large or remote store is looked at less often, so that this takes 2 % of the time, but every 30 s at least.
        """
        with self._lock:
            start = time.monotonic()
            wait = min(max(oldest, _SHARE * self._cost), max(oldest, _SELDOM)) if oldest else 0.0
            if self._snapshot is None or start - self._refreshed >= wait:
                first, self._once = self._snapshot is None, 0.0
                self._snapshot = self._look()
                self._refreshed = time.monotonic()
                # the first refresh also loads modules
                self._cost = 0.0 if first else self._refreshed - start - self._once
            return self._snapshot

    def _look(self) -> Snapshot:
        now = time.time()
        try:
            store = Store(self.url)
            return self._look_at(store, now)
        except FastDiffError as error:
            self._forget()
            return Snapshot(now, problem=str(error))
        except OSError as error:  # the store vanished, or is out of reach
            self._forget()
            reason = one_line(error, 200, kind=True)
            return Snapshot(now, problem=f"the store at {self.url} cannot be read ({reason})")

    def _look_at(self, store: Store, now: float) -> Snapshot:
        if store.generations != self._generations:  # files may have vanished, and blocks with them
            self._generations, self._counted, self._errors = store.generations, set(), 0
            self._latest.clear()
        run, works = read_activity(store.files)
        quiet = self._silence(works)
        writing = self._is_writing(store.files, run, quiet)
        at_work = writing and run is not None and run["ended"] is None
        stage = str(run["stage"]) if at_work and run is not None else None
        running = [work.running for work in works if work.running is not None and at_work]

        rows = store.rows()
        finished = store.finished_blocks()
        self._count_errors(store, sorted(finished - self._counted))
        comparisons = self._comparisons(store, running)

        workers = self._workers(store.files, run, works, at_work, now)
        images_read = sum(rows[block] for block in finished)
        self._verify.update(store)
        self._found.by_second_look(store, self._verify.last)
        verify = self._verify.progress(run, works)
        missing = {"thumbnails": sum(rows) - images_read}
        if comparisons:
            missing["compare"] = comparisons[0].pairs - comparisons[0].pairs_done
        if verify is not None:
            missing["verify"] = verify.pairs - verify.done
        shown = store.records.read_shown()
        return Snapshot(
            time=now,
            writing=writing,
            stage=stage,
            interrupted=not writing and run is not None and run["ended"] is None,
            folders=store.roots,
            images=sum(rows),
            images_read=images_read,
            blocks=block_cells(len(rows), finished, _numbers(running, "block")),
            errors=self._errors,
            errors_of=len(self._counted),
            latest=list(self._latest)[::-1],
            comparisons=comparisons,
            verify=verify,
            shown={} if shown is None else shown.verdicts,
            workers=workers,
            rates=self._history.points,
            totals=self._history.totals,
            found=self._found.pair,
            seconds_left=None
            if stage is None or run is None
            else _seconds_left(stage, missing.get(stage, 0), works, now - run["started"]),
        )

    def _silence(self, works: list[Work]) -> float:
        """Measure the seconds since any worker wrote something, by this machine's clock."""
        now = time.monotonic()
        names = {work.name for work in works}
        self._versions = {name: seen for name, seen in self._versions.items() if name in names}
        for work in works:
            if self._versions.get(work.name, (-1, 0.0))[0] != work.version:
                self._versions[work.name] = (work.version, now)
        return min((now - seen for _, seen in self._versions.values()), default=math.inf)

    def _is_writing(self, files: Files, run: dict[str, Any] | None, silence: float) -> bool:
        """Find whether a process is at work: it holds the lock, it lives, or workers elsewhere still write."""
        if not files.local:
            # a lease is renewed while it is held; trying to take it would write into the store
            try:
                lease = files.read(LEASE)
            except FileNotFoundError:
                return False
            now = time.monotonic()
            if lease != self._lease[0]:
                self._lease = lease, now
            return now - self._lease[1] < ENDED
        if _is_locked(Path(files.root) / LOCK):
            return True
        if run is None or run["ended"] is not None:
            return False
        if run["host"] == socket.gethostname():
            return _lives(run["process"])
        return silence < _SILENCE

    def _workers(
        self, files: Files, run: dict[str, Any] | None, works: list[Work], at_work: bool, now: float
    ) -> list[WorkerProgress]:
        """Find what each worker does and did, and what that adds to the rates."""
        if run is not None and run["run"] != self._earlier[0]:
            self._earlier = run["run"], read_earlier(files, run["run"])
        earlier = self._earlier[1] if run is not None else Earlier()
        workers = worker_progress(works, earlier, at_work, lambda work: self._versions[work.name][1])
        self._history.update(now, run, at_work, workers, earlier, _so_far(run, works, now, at_work))
        return workers

    def _count_errors(self, store: Store, finished: list[int]) -> None:
        start = time.monotonic()
        for block in finished:
            if time.monotonic() > start + self._reading:
                break
            frame = store.read_partition(block, ["path", "error", "current"])
            frame = frame[frame.current & frame.error.notna()]
            self._errors += len(frame)
            self._latest += [FileError(str(row.path), str(row.error)) for row in frame.tail(_LINES).itertuples()]
            self._counted.add(block)
        self._once += time.monotonic() - start

    def _comparisons(self, store: Store, running: list[dict[str, Any]]) -> list[ComparisonProgress]:
        comparisons = Comparison.all_in(store)
        finished = []
        for comparison in comparisons:
            compared = self._compared.setdefault(comparison.name, _Compared())
            self._once += compared.update(comparison, self._reading)
            self._found.by_comparison(comparison, compared.found)
            if compared.is_finished(len(store.generations)):
                finished.append(comparison.settings)
        found = []
        for comparison in comparisons:
            compared = self._compared[comparison.name]
            here = [what for what in running if what.get("comparison") == comparison.name]
            folders = {part.folder: number for number, part in enumerate(compared.parts)}
            places = [
                (folders[str(what.get("part"))], tile)
                for what in here
                for tile in _numbers([what], "tile")
                if str(what.get("part")) in folders
            ]
            cells = Tiles.cells(compared.tiles, places)
            settings = comparison.settings
            kind = "" if settings.rotations or settings.vectors else ", without rotations"
            kind += (", mirrored" if settings.mirror else "") + PairFilters.of(settings).shown
            progress = ComparisonProgress(
                comparison.name,
                f"{settings.question}{kind}",
                cells,
                int(cells.tiles.sum()),
                int(cells.done.sum()),
                int(cells.running.sum()),
                sum(int(tiles.planned.sum()) for tiles in compared.tiles),
                sum(int(tiles.planned[tiles.done].sum()) for tiles in compared.tiles),
                int(cells.similar.sum()),
                any(can_answer(one, settings) for one in finished),
            )
            found.append((not here, progress.answered, settings not in finished, progress))
        return [progress for *_, progress in sorted(found, key=lambda one: one[:3])]


def _so_far(run: dict[str, Any] | None, works: list[Work], now: float, at_work: bool) -> FinishedStage | None:
    """Sum up a stage; None of one that was killed, whose end is not known."""
    if run is None or (run["ended"] is None and not at_work):
        return None
    done = Amounts()
    for work in works:
        done.add(work.done)
    ended = now if run["ended"] is None else run["ended"]
    return FinishedStage(run["run"], run["stage"], run["started"], ended, done.images, done.pairs)


def _seconds_left(stage: str, missing: int, works: list[Work], elapsed: float) -> float | None:
    """Estimate the seconds until a stage ends, by its images or pairs; None if it is another stage, or unknown."""
    if stage not in ("thumbnails", "compare", "verify"):
        return None
    amount = "images" if stage == "thumbnails" else "pairs"
    done = sum(getattr(work.done, amount) for work in works)
    return missing * elapsed / done if done and elapsed > 0 else None


def _numbers(running: Iterable[dict[str, Any]], name: str) -> list[int]:
    """Find the numbers of blocks or tiles in the messages of workers; other values are left out."""
    return [what[name] for what in running if type(what.get(name)) is int]


def _is_locked(path: Path) -> bool:
    """Find whether a process of this machine holds a lock file; trying to lock it could keep a run from it."""
    try:
        inode = path.stat().st_ino
        locks = Path("/proc/locks").read_text().splitlines()
    except OSError:
        return False
    return any(line.split()[5].endswith(f":{inode}") for line in locks if len(line.split()) > 5)


def _lives(process: int) -> bool:
    find: Callable[[int], Any] = psutil.Process
    try:
        return bool(find(process).status() != psutil.STATUS_ZOMBIE)
    except (psutil.Error, ValueError, OverflowError):
        return False
