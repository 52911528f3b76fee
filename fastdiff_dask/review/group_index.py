"""The groups of a result as arrays, made once, so that a question about 100,000 of them is answered at once."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..actions.disk import place_of
from ..actions.history import History
from ..config import BY_CERTAINTY, VERDICT_NAMES
from ..results.clusters import FirstPairs, pairs_with_first
from ..results.keep_order import best_first, date_of
from ..results.result import Result
from ..storage.store import Store
from ..urls import is_url
from .paths import Paths

__all__ = ["GroupIndex", "Wanted", "have_gone", "make_index"]

_CERTAINTY = np.array([BY_CERTAINTY.index(name) for name in VERDICT_NAMES], np.int8)


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """Conditions on groups: those with one image that meets all conditions on images are wanted.

    Attributes
    ----------
    verdicts
        Least certain verdicts of the groups; any if empty.
    folder
        The image lies in this folder, named as in `GroupIndex.folders`, or below it.
    format
        Ending of its name.
    min_size
        Bytes that its file has at least.
    after, before
        Its date is not before and not after these.
    text
        Its name or folder has this text, in any case.
    marked
        "none", "any", "keep" or "remove": the marks in the group.
    """

    verdicts: tuple[str, ...] = ()
    folder: str = ""
    format: str = ""
    min_size: int = 0
    after: np.datetime64 | None = None
    before: np.datetime64 | None = None
    text: str = ""
    marked: str = ""


@dataclass(frozen=True, eq=False)
class GroupIndex:
    """Groups of images, most certain verdicts first, then smaller values; of each the image to keep first.

    Memory: some 500 bytes an image, most of it for the paths.

    Attributes
    ----------
    ids
        (g,) int64: number of each group, that of the image to keep when the index was made.
    starts
        (g + 1,) int64: place of the first image of each group, and the end.
    doubt
        (g,) int8: place in `BY_CERTAINTY` of the least certain verdict against the first image.
    rows, numbers
        (k,) int64: rows of `Result.images`, and numbers of the images in the store.
    pairs
        Each image against the first one of its group.
    sizes, dates, widths, heights, sides, contents
        (k,): bytes; datetime64[s], of capture or else of modification, local time; pixels; "a" or "b"; the start of
        the SHA-256, 16 digits, or "".
    mtimes
        (k,) int64: time of modification in nanoseconds, as it was compared.
    paths
        The paths of the images, place by place.
    went
        (k,) bool: images that were gone by an earlier `apply` when the index was made.
    """

    ids: NDArray[np.int64]
    starts: NDArray[np.int64]
    doubt: NDArray[np.int8]
    rows: NDArray[np.int64]
    numbers: NDArray[np.int64]
    pairs: FirstPairs
    sizes: NDArray[np.int64]
    dates: NDArray[np.datetime64]
    widths: NDArray[np.int64]
    heights: NDArray[np.int64]
    mtimes: NDArray[np.int64]
    sides: NDArray[np.object_]
    formats: NDArray[np.object_]
    contents: NDArray[np.object_]
    paths: Paths
    went: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.ids)

    @cached_property
    def counts(self) -> NDArray[np.int64]:
        """(g,) int64: number of images of each group."""
        return np.diff(self.starts)

    @cached_property
    def group_of(self) -> NDArray[np.int64]:
        """(k,) int64: the group of each image."""
        return np.repeat(np.arange(len(self)), self.counts)

    @cached_property
    def _by_number(self) -> NDArray[np.int64]:
        return np.argsort(self.numbers)

    def places(self, numbers: Sequence[int] | NDArray[np.int64]) -> NDArray[np.int64]:
        """Find images by their numbers, (n,): their places, or −1 for one that is in no group."""
        asked, order = np.asarray(numbers, np.int64), self._by_number
        at = np.searchsorted(self.numbers[order], asked)
        found = np.full(len(asked), -1, np.int64)
        hit = np.flatnonzero(at < len(order))
        hit = hit[self.numbers[order[at[hit]]] == asked[hit]]
        found[hit] = order[at[hit]]
        return found

    @cached_property
    def _by_id(self) -> dict[int, int]:
        return {number: place for place, number in enumerate(self.ids.tolist())}

    def group(self, number: int) -> int | None:
        """Find a group by its number; None if there is no such group any more."""
        return self._by_id.get(number)

    def verdict_counts(self, groups: NDArray[np.int64]) -> list[tuple[str, int]]:
        """Count some groups by their least certain verdict, the most certain one first."""
        counts = np.bincount(self.doubt[groups], minlength=len(BY_CERTAINTY)).tolist()
        return [(name, number) for name, number in zip(BY_CERTAINTY, counts, strict=True) if number]

    def choose(self, wanted: Wanted, marks: NDArray[np.int8]) -> NDArray[np.int64]:
        """Choose groups: their places, in order.

        Parameters
        ----------
        wanted
            The conditions.
        marks
            (k,) int8: 1 for an image to keep, −1 for one to remove, else 0.

        Returns
        -------
        (n,) int64.
        """
        images = np.ones(len(self.rows), bool)
        if wanted.folder:
            images &= self.paths.is_below(wanted.folder)
        if wanted.format:
            images &= self.paths.has_ending(wanted.format)
        if wanted.min_size:
            images &= self.sizes >= wanted.min_size
        if wanted.after is not None:
            images &= self.dates >= wanted.after
        if wanted.before is not None:
            images &= self.dates <= wanted.before
        if wanted.text:
            images &= self.paths.contain(wanted.text)
        groups = self._any(images)
        if wanted.verdicts:
            groups &= np.isin(self.doubt, [BY_CERTAINTY.index(name) for name in wanted.verdicts])
        if wanted.marked == "none":
            groups &= ~self._any(marks != 0)
        elif wanted.marked:
            groups &= self._any({"keep": marks > 0, "remove": marks < 0}.get(wanted.marked, marks != 0))
        return np.flatnonzero(groups)

    def _any(self, images: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """(g,) bool: groups with any of some images, (k,) bool."""
        found = np.zeros(len(self), bool)
        found[self.group_of[images]] = True
        return found


def make_index(store: Store, result: Result, history: History) -> GroupIndex:
    """Make the index of a result; groups of which one image at most is left after earlier actions are left out.

    Time: 100,000 groups of two in about 5 s on one core.
    """
    images = result.images
    names = images.index.to_numpy()
    gone = have_gone(names, history)
    rows = list(images.itertuples())
    place_of_row = {id(row): place for place, row in enumerate(rows)}
    connected = (part.tolist() for part in result.connected())
    ordered = [[place_of_row[id(row)] for row in best_first([rows[place] for place in part])] for part in connected]
    if gone.any():
        ordered = [sorted(part, key=gone.__getitem__) for part in ordered if (~gone[part]).sum() > 1]
    counts = np.array([len(part) for part in ordered], np.int64)
    flat = np.array([row for part in ordered for row in part], np.int64)
    starts = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    first = np.repeat(flat[starts[:-1]], counts)
    order, pairs, doubt = _sorted(result, flat, first, starts)
    at = _members(starts, order)
    flat, pairs = flat[at], pairs.at(at)
    shown = images.iloc[flat]
    numbers = shown["image"].to_numpy(np.int64)
    return GroupIndex(
        ids=numbers[np.concatenate([[0], np.cumsum(counts[order])]).astype(np.int64)[:-1]],
        starts=np.concatenate([[0], np.cumsum(counts[order])]).astype(np.int64),
        doubt=doubt[order],
        rows=flat,
        numbers=numbers,
        pairs=pairs,
        sizes=shown["size"].to_numpy(np.int64),
        dates=_dates(shown),
        widths=shown["width"].to_numpy(np.int64),
        heights=shown["height"].to_numpy(np.int64),
        mtimes=shown["mtime_ns"].to_numpy(np.int64),
        sides=shown["side"].to_numpy(object),
        formats=shown["format"].to_numpy(object),
        contents=_contents(store, numbers),
        paths=Paths(names[flat]),
        went=gone[flat],
    )


def have_gone(paths: NDArray[np.object_], history: History) -> NDArray[np.bool_]:
    """(k,) bool: images that an earlier `apply` took."""
    return np.array([history.may_have_gone(path) and history.went(_place(path)) for path in paths], bool)


def _place(name: str) -> str:
    return name if is_url(name) else place_of(name)


def _sorted(
    result: Result, rows: NDArray[np.int64], first: NDArray[np.int64], starts: NDArray[np.int64]
) -> tuple[NDArray[np.int64], FirstPairs, NDArray[np.int8]]:
    """Sort groups: their places in order, the pairs with the first images, and the doubt about each group."""
    others = rows != first
    others[starts[:-1]] = False
    found = pairs_with_first(result.groups, result.verdicts, result.value, first[others], rows[others])
    pairs = found.spread(others)
    doubts = np.where(others, _CERTAINTY[pairs.codes], 0).astype(np.int8)
    if not len(first):
        return np.zeros(0, np.int64), pairs, np.zeros(0, np.int8)
    doubt, worst = (ufunc.reduceat(of, starts[:-1]) for ufunc, of in ((np.maximum, doubts), (np.fmax, pairs.values)))
    return np.lexsort((rows[starts[:-1]], worst, np.isnan(worst), doubt)), pairs, doubt


def _members(starts: NDArray[np.int64], order: NDArray[np.int64]) -> NDArray[np.int64]:
    """Places of the members of groups in another order of the groups."""
    counts = np.diff(starts)[order]
    ends = np.cumsum(counts)
    return np.repeat(starts[:-1][order] - (ends - counts), counts) + np.arange(int(counts.sum()))


def _contents(store: Store, numbers: NDArray[np.int64]) -> NDArray[np.object_]:
    hashes = store.image_rows(numbers, ["content_hash"]).content_hash
    return np.array([content[:16] for content in hashes.fillna("")], object)


def _dates(images: pd.DataFrame) -> NDArray[np.datetime64]:
    """Dates of capture, or else of modification: (k,) datetime64[s]; NaT where neither is known."""
    known = zip(images.captured.tolist(), images.mtime_ns.tolist(), strict=True)
    return np.array([date_of(captured, mtime_ns) for captured, mtime_ns in known], "datetime64[s]")
