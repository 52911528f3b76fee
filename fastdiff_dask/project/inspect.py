"""Inspection of a store: figures that are missing are completed, and the pairs are those of a finished comparison."""

import contextlib
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import fields
from typing import TYPE_CHECKING

from ..config import ReadSettings, check_verdicts
from ..errors import UsageError
from ..inspection.definitions import Limits
from ..inspection.inspection import Inspection, inspect_images
from ..inspection.splits import check_splits
from ..outputs.progress_bar import stage_bar
from ..results.stored import choose_stored, roots_of_store
from ..stages.listing.roots import Root
from ..storage.pending import check_measured
from ..storage.store import Store
from ..text import printable

if TYPE_CHECKING:
    from distributed import Client

    from ..results.result import Result

__all__ = ["check_limits", "complete_figures", "inspect_store", "inspect_stored"]

Bar = Callable[[str, int, str], AbstractContextManager[Callable[[int], None]]]


def check_limits(limits: Mapping[str, float]) -> Limits:
    """Make the limits; those that are not given, or None, are the usual ones.

    Raises
    ------
    UsageError
        If there is no such limit, or it has another value than a number.
    """
    names = [field.name for field in fields(Limits)]
    for name in limits:
        if name not in names:
            raise UsageError(f"there is no limit {name!r}; use {', '.join(names)}")
    return Limits(**{name: value for name, value in limits.items() if value is not None})


def complete_figures(
    store: Store, reading: bool, limits: ReadSettings, client: "Callable[[], Client]", bar: Bar
) -> None:
    """Complete the figures of images that an earlier version has read; nothing is begun if there are none.

    Parameters
    ----------
    store
        The store.
    reading
        Read files again of which the blur is not known.
    limits
        Limits of reading a file.
    client
        Gives the cluster, and locks the store for writing.
    bar
        Progress bar: name, total, unit.
    """
    from ..stages.figures import measure_blocks, unmeasured_blocks

    blocks = unmeasured_blocks(store, reading)
    if not blocks:
        return
    workers = client()
    with bar("inspect", sum(blocks.values()), "images") as advance:
        for images, _ in measure_blocks(store, workers, blocks, limits, reading):
            advance(images)


def inspect_store(
    store: Store,
    roots: list[Root],
    limits: Limits,
    splits: str | Sequence[str],
    collect: "Callable[[], Result]",
    is_asked: bool,
) -> Inspection:
    """Look at all images of a store.

    Parameters
    ----------
    store, roots, limits
        As for `inspection.inspect_images`.
    splits
        Folders that are parts of the data set, see `check_splits`.
    collect
        Collects the result.
    is_asked
        A certain result was asked for, so that it is an error if there is none.

    Returns
    -------
    The inspection.
    """
    parts = check_splits(splits)
    result, reason = None, ""
    try:
        result = collect()
    except UsageError as error:
        if is_asked:
            raise
        reason = str(error)
    return inspect_images(store, roots, limits, parts, result, reason)


def inspect_stored(
    url: str,
    limits: Mapping[str, float],
    splits: str | Sequence[str] = (),
    *,
    threshold: float | None = None,
    comparison: str | None = None,
    verdict: Sequence[str] = (),
    read: bool = True,
) -> Inspection:
    """Look at all images of a store, by threads of this process; arguments as of `Project.inspect`."""
    from ..runtime.connection import close_embedded, embedded_client
    from ..stages.thumbnails import end_readers

    wanted, verdicts = check_limits(limits), check_verdicts(verdict)
    check_splits(splits)
    store = Store(url)
    try:
        check_measured(store)
    except UsageError:
        raise UsageError(
            f"not all images of the store {printable(url)} were read yet; the same find, run again, reads them"
        ) from None
    with contextlib.ExitStack() as stack:

        def client() -> "Client":
            stack.enter_context(Store.lock(url))
            workers = embedded_client()
            stack.callback(close_embedded, workers)
            stack.callback(end_readers, workers)
            return workers

        complete_figures(
            store, read, ReadSettings(), client, lambda name, total, unit: stage_bar(name, total, unit, None)
        )
    is_asked = threshold is not None or comparison is not None or bool(verdicts)

    def collect() -> "Result":
        return choose_stored(store, comparison, threshold).collect().with_verdict(verdicts)

    return inspect_store(store, roots_of_store(store), wanted, splits, collect, is_asked)
