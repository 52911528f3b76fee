"""The result of a comparison, from a store alone."""

from dataclasses import replace

from ..config import CompareSettings
from ..errors import UsageError
from ..stages.roots import Root
from ..storage.comparisons import Comparison
from ..storage.pending import answering, is_finished
from ..storage.store import Store
from .collect import collect_result
from .result import Result

__all__ = ["roots_of_store", "stored_comparison", "stored_result"]


def roots_of_store(store: Store) -> list[Root]:
    """Name the folders of a store as the store does."""
    return [Root(side, folder, folder) for side in ("a", "b") for folder in store.roots[side]]


def stored_result(store: Store, name: str | None = None, threshold: float | None = None) -> Result:
    """Collect the result of a finished comparison from the store alone.

    Parameters
    ----------
    store
        The store.
    name
        Name of the comparison; needed if several differ in more than the threshold.
    threshold
        Largest MSE, or other value, of a pair; by default the highest threshold of the finished comparisons.

    Returns
    -------
    The result.

    Raises
    ------
    UsageError
        If no finished comparison answers, or several of different kinds do.
    """
    chosen, limit = _choose(store, name, threshold)
    return collect_result(store, roots_of_store(store), chosen, limit)


def stored_comparison(store: Store, name: str | None = None, threshold: float | None = None) -> CompareSettings:
    """Give the settings of the result that `stored_result` collects; arguments as there."""
    chosen, limit = _choose(store, name, threshold)
    return replace(chosen.settings, similarity_threshold=limit)


def _choose(store: Store, name: str | None, threshold: float | None) -> tuple[Comparison, float]:
    begun = Comparison.all_in(store)
    if name is not None and name not in [one.name for one in begun]:
        known = ", ".join(one.name for one in begun) or "none"
        raise UsageError(f"no comparison {name!r} in the store, which has: {known}")
    found = [one for one in begun if name in (None, one.name) and is_finished(one)]
    if not found:
        raise UsageError(f"no finished comparison in the store {store.url}; finish one by find with this store=")
    highest = max(one.settings.similarity_threshold for one in found)
    if threshold is not None:
        found = [one for one in found if one.settings.similarity_threshold >= threshold]
        if not found:
            raise UsageError(f"images were compared up to {highest:g}, not {threshold:g}; name a lower threshold")
    if len({str(one.settings.to_json() | {"similarity_threshold": None}) for one in found}) > 1:
        names = ", ".join(one.name for one in found)
        raise UsageError(f"the store has comparisons of several kinds ({names}); name one by comparison=")
    limit = highest if threshold is None else threshold
    chosen = answering(found, replace(found[0].settings, similarity_threshold=limit))
    assert chosen is not None  # all are of one kind, and one has a threshold as high
    return chosen, limit
