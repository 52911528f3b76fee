"""The result on the page: that of a finished comparison, or of the tiles that are finished so far."""

from dataclasses import dataclass
from datetime import datetime

from ..actions.history import History
from ..config import CompareSettings
from ..errors import UsageError
from ..results.collect import collect_result, collect_same_files
from ..results.result import Result
from ..results.stored import choose_stored, roots_of_store
from ..storage.comparisons import Comparison
from ..storage.derived.verdicts import verdict_files
from ..storage.pending import answering, pairs_left, unread_blocks
from ..storage.store import Store
from .group_index import GroupIndex, make_index

__all__ = ["Found", "Progress", "find_groups", "progress_of"]


@dataclass(frozen=True)
class Progress:
    """Progress of a store, equal as long as nothing new is found.

    Attributes
    ----------
    generations, verdicts
        Numbers of generations, and of files of verdicts.
    comparison
        Name of the comparison; "" if none was begun.
    tiles
        Number of its tiles that are finished.
    shown_at
        Time at which its result was shown last: that of a store that was made anew is another one.
    """

    generations: int = 0
    verdicts: int = 0
    comparison: str = ""
    tiles: int = 0
    shown_at: datetime | None = None


@dataclass(frozen=True, eq=False)
class Found:
    """A result of a store, and its groups.

    Attributes
    ----------
    store, result, index
        The store when the result was collected, the result, and its groups; the latter are None before the first tile.
    finished
        All images are compared.
    shown_at
        Time at which the result was shown last, in UTC.
    progress
        The progress of the store when the result was collected.
    """

    store: Store
    result: Result | None
    index: GroupIndex | None
    finished: bool
    shown_at: datetime | None
    progress: Progress


def find_groups(url: str, threshold: float | None = None, known: Found | None = None) -> Found:
    """Collect the result of a store, finished or not; the known one is given if there is nothing new.

    Raises
    ------
    UsageError
        If there is no store, or there are several results and none was shown.
    """
    store = Store(url)
    comparison, settings, shown_at, finished = _choose(store, threshold)
    progress = _progress(store, comparison, shown_at)
    if known is not None and known.progress == progress and known.finished == finished:
        return known
    if settings is not None and settings.of_files:
        result = collect_same_files(store, roots_of_store(store))
        return Found(store, result, make_index(store, result, History()), finished, shown_at, progress)
    if comparison is None or settings is None or (not finished and unread_blocks(store)):
        return Found(store, None, None, False, None, progress)
    result = collect_result(store, roots_of_store(store), comparison, settings.similarity_threshold)
    return Found(store, result, make_index(store, result, History()), finished, shown_at, progress)


def progress_of(url: str, threshold: float | None = None) -> Progress:
    """Look at the progress of a store; errors as of `find_groups`."""
    store = Store(url)
    comparison, _, shown_at, _ = _choose(store, threshold)
    return _progress(store, comparison, shown_at)


def _choose(
    store: Store, threshold: float | None
) -> tuple[Comparison | None, CompareSettings | None, datetime | None, bool]:
    """Choose the result to show: the finished one, or else the one on which there is least to do."""
    try:
        chosen = choose_stored(store, None, threshold)
    except UsageError:
        begun = Comparison.all_in(store)
        if not begun:
            return None, None, None, False
        shown = store.records.read_shown()
        asked = None if shown is None else answering(begun, shown.settings)
        unfinished = asked or min(begun, key=pairs_left)
        if not pairs_left(unfinished):
            raise
        return unfinished, unfinished.settings if asked is None or shown is None else shown.settings, None, False
    return chosen.comparison, chosen.settings, chosen.shown_at, True


def _progress(store: Store, comparison: Comparison | None, shown_at: datetime | None) -> Progress:
    if comparison is None:
        return Progress(len(store.generations), len(verdict_files(store)))
    tiles = sum(int((plan.counts[:, 0] >= 0).sum()) for plan in comparison.plans())
    return Progress(len(store.generations), len(verdict_files(store)), comparison.name, tiles, shown_at)
