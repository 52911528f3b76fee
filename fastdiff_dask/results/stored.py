"""The result of a finished comparison, from a store alone; by default the one that was shown last."""

import contextlib
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import NamedTuple

from ..config import SAME_FILES, CompareSettings
from ..errors import FastDiffError, UsageError
from ..stages.listing.roots import Root
from ..storage.comparisons import Comparison
from ..storage.pending import answering, is_finished
from ..storage.store import Store
from .collect import SAME_FILES_SETTINGS, collect_result, collect_same_files
from .result import Result
from .values import PairValue, with_threshold

__all__ = ["StoredChoice", "choose_stored", "remember_shown", "roots_of_store", "stored_result"]


class StoredChoice(NamedTuple):
    """A result that a store has.

    Attributes
    ----------
    store
        The store.
    comparison
        The finished comparison; None for equal files.
    settings
        Its settings with the threshold of the result.
    shown_at
        Time at which the result was shown last, in UTC; None if it was chosen by its name or threshold.
    """

    store: Store
    comparison: Comparison | None
    settings: CompareSettings
    shown_at: datetime | None

    def collect(self) -> Result:
        """Collect the result."""
        roots = roots_of_store(self.store)
        if self.comparison is None:
            return collect_same_files(self.store, roots)
        return collect_result(self.store, roots, self.comparison, self.settings.similarity_threshold)


def roots_of_store(store: Store) -> list[Root]:
    """Name the folders of a store as the store does."""
    return [Root(side, folder, folder) for side in ("a", "b") for folder in store.roots[side]]


def stored_result(store: Store, name: str | None = None, threshold: float | None = None) -> Result:
    """Collect the result of a finished comparison from the store alone; arguments and errors as of `choose_stored`."""
    return choose_stored(store, name, threshold).collect()


def remember_shown(url: str, result: Result) -> None:
    """Record that a result is shown now. A store that cannot be written keeps its record."""
    with contextlib.suppress(OSError, FastDiffError):
        Store(url).records.write_shown(result.value.settings, result.verdict_counts)


def choose_stored(store: Store, name: str | None = None, threshold: float | None = None) -> StoredChoice:
    """Choose a result of a store.

    - A name means the comparison of this name, up to a threshold or up to its own.
    - A threshold alone means the measure and the options of the result that was shown last.
    - Neither means the result that was shown last.
    - The name "same-file" means the files that are equal byte for byte, as far as they were read.
    - A store without a record of that has one result, or a name or threshold must be given.

    Parameters
    ----------
    store
        The store.
    name
        Name of the comparison.
    threshold
        Largest MSE, or other value, of a pair.

    Returns
    -------
    The comparison, and the settings of the result.

    Raises
    ------
    UsageError
        If no finished comparison answers, or several of them would answer differently.
    """
    shown = store.records.read_shown() if name is None else None
    if name == SAME_FILES or (shown is not None and shown.settings.of_files and threshold is None):
        return StoredChoice(store, None, SAME_FILES_SETTINGS, None if shown is None else shown.at)
    if shown is not None and shown.settings.of_files:
        shown = None
    begun = Comparison.all_in(store)
    if name is not None and name not in [one.name for one in begun]:
        known = ", ".join(one.name for one in begun) or "none"
        raise UsageError(f"no comparison {name!r} in the store, which has: {known}")
    finished = [one for one in begun if name in (None, one.name) and is_finished(one)]
    if not finished:
        raise UsageError(f"no finished comparison in the store {store.url}; the same find, run again, finishes one")
    asked = _only_settings(finished, threshold) if shown is None else shown.settings
    if threshold is not None:
        asked = with_threshold(asked, threshold)
    chosen = answering(finished, asked)
    if chosen is None:
        raise _no_answer(finished, asked, threshold)
    return StoredChoice(store, chosen, asked, shown.at if shown is not None and threshold is None else None)


def _only_settings(finished: Sequence[Comparison], threshold: float | None) -> CompareSettings:
    """Give the settings of the only result, or with a threshold, those of the only kind."""
    highest = max(finished, key=lambda one: one.settings.similarity_threshold)
    if len({str(_kind(one.settings)) for one in finished}) > 1:
        raise UsageError(f"the store has comparisons of several kinds ({_names(finished)}); name one by comparison=")
    if threshold is None and len({_similar_pairs(one) for one in finished}) > 1:
        raise UsageError(
            f"the store has results that differ ({_names(finished)}); choose by threshold=, or by comparison="
        )
    return highest.settings


def _kind(settings: CompareSettings) -> CompareSettings:
    return replace(settings, similarity_threshold=0.0)


def _similar_pairs(comparison: Comparison) -> int:
    """Count the similar pairs of different thumbnails."""
    return sum(int(plan.counts[:, 0].sum()) for plan in comparison.plans())


def _names(comparisons: Sequence[Comparison]) -> str:
    return ", ".join(one.name for one in comparisons)


def _no_answer(finished: Sequence[Comparison], asked: CompareSettings, threshold: float | None) -> UsageError:
    alike = [one for one in finished if _kind(one.settings) == _kind(asked)]
    if threshold is not None and alike:
        highest = max(alike, key=lambda one: one.settings.similarity_threshold)
        limit = PairValue(highest.settings, highest.store.thumbnail_settings).threshold
        nearer = "higher" if limit > threshold else "lower"
        return UsageError(f"images were compared up to {limit:g}, not {threshold:g}; name a {nearer} threshold")
    return UsageError(
        f"the result that was shown last is not of all images any more; run find again, or name another comparison "
        f"by comparison=: {_names(finished)}"
    )
