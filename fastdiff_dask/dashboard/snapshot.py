"""A snapshot of the progress of a store; made by `monitor.Monitor`."""

from dataclasses import dataclass, field
from typing import Any, NamedTuple

from ..runtime.activity import Amounts
from .tile_map import Cells, block_cells

__all__ = [
    "ComparisonProgress",
    "FileError",
    "FoundPair",
    "Rates",
    "Snapshot",
    "VerifyProgress",
    "WorkTotal",
    "WorkerProgress",
]


class FileError(NamedTuple):
    """A file that could not be read, and the reason."""

    path: str
    error: str


class Rates(NamedTuple):
    """Throughput at a moment (seconds since 1970); NaN where nothing of the kind is done."""

    time: float
    images: float
    pairs: float


class WorkTotal(NamedTuple):
    """Images or pairs of all stages of a kind, and the seconds that they took."""

    amount: int
    seconds: float


class FoundPair(NamedTuple):
    """Two similar images: their paths, their thumbnails as data URLs, and a word about the two."""

    paths: tuple[str, str]
    urls: tuple[str, str]
    about: str


@dataclass
class WorkerProgress:
    """A worker.

    Attributes
    ----------
    name, address
        Its name and address on the cluster; without a cluster, machine and process.
    done
        What it did, in all stages that this process ran.
    host, process
        Machine, and number of the process.
    running
        Values that tell its running tasks from others of the stage.
    images_rate, pairs_rate
        Images and pairs a second now.
    """

    name: str
    done: Amounts
    address: str = ""
    host: str = ""
    process: int = 0
    running: list[dict[str, Any]] = field(default_factory=list)
    images_rate: float = 0.0
    pairs_rate: float = 0.0


@dataclass(frozen=True)
class ComparisonProgress:
    """A comparison and its tiles; pairs count different thumbnails alone.

    Attributes
    ----------
    answered
        Whether no pair is left to compare: it is finished, or a finished one has all its pairs.
    """

    name: str
    title: str
    cells: Cells
    tiles: int
    done: int
    running: int
    pairs: int
    pairs_done: int
    similar: int
    answered: bool


class VerifyProgress(NamedTuple):
    """The second look at similar pairs.

    Attributes
    ----------
    done, pairs
        Pairs of the present or last run of the stage, and those that were looked at in it; if another stage ran since,
        all pairs that were looked at.
    verdicts
        Numbers of all pairs that were looked at, by verdict.
    """

    done: int
    pairs: int
    verdicts: dict[str, int]


@dataclass(frozen=True)
class Snapshot:
    """The progress of a store at a moment.

    Attributes
    ----------
    time
        Seconds since 1970.
    problem
        Reason why the store cannot be read; None if it can be.
    writing
        A process is at work on it.
    stage
        The running stage; None if none runs or it is not known.
    interrupted
        The last run did not come to its end.
    folders
        The folders of either side.
    images, images_read
        Images listed, and those in finished blocks.
    blocks
        The blocks as cells.
    errors, errors_of
        Images that could not be read, and the number of finished blocks in which they were counted.
    latest
        The latest errors.
    comparisons
        All comparisons that were begun, the current one first.
    verify
        The second look; None if it was not begun.
    shown
        Numbers of the pairs of the result that was shown last, by verdict; empty if not known.
    workers
        The workers of the present or last run, and of those before it.
    rates
        Throughput over the time of work, the present last.
    totals
        What was read and compared, and in how many seconds, by stage.
    found
        The pair that was found last; None if there is none.
    seconds_left
        Seconds until the running stage ends; None if not known.
    """

    time: float
    problem: str | None = None
    writing: bool = False
    stage: str | None = None
    interrupted: bool = False
    folders: dict[str, list[str]] = field(default_factory=dict)
    images: int = 0
    images_read: int = 0
    blocks: Cells = field(default_factory=lambda: block_cells(0, [], []))
    errors: int = 0
    errors_of: int = 0
    latest: list[FileError] = field(default_factory=list)
    comparisons: list[ComparisonProgress] = field(default_factory=list)
    verify: VerifyProgress | None = None
    shown: dict[str, int] = field(default_factory=dict)
    workers: list[WorkerProgress] = field(default_factory=list)
    rates: list[Rates] = field(default_factory=list)
    totals: dict[str, WorkTotal] = field(default_factory=dict)
    found: FoundPair | None = None
    seconds_left: float | None = None
