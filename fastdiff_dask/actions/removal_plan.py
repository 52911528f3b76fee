"""Similar images → which of them to keep, and which may go: each only for one that is kept and similar to it itself."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..results.result import Result
from ..storage.store import Store
from ..text import printable
from ..urls import full_path, is_url
from .journal import History, place_of
from .keep_rules import KeepRules

__all__ = ["Chosen", "RemovalPlan", "Skipped", "plan_removals"]


class Chosen(NamedTuple):
    """An image that may go.

    Attributes
    ----------
    image, kept_image
        Numbers of it, and of the one that is kept for it.
    path, kept
        Their names.
    why
        Why it rather than the other one.
    value
        MSE, or another measure, of the two.
    size
        Bytes of the file.
    kept_is_protected
        Whether the one that is kept is in a protected folder, so that nothing is written into it.
    """

    image: int
    kept_image: int
    path: str
    kept: str
    why: str
    value: float
    size: int
    kept_is_protected: bool = False


class Skipped(NamedTuple):
    """An image that stays although it is a duplicate, or was to go."""

    path: str
    reason: str


@dataclass(frozen=True)
class RemovalPlan:
    """What may go, and what stays.

    Attributes
    ----------
    chosen
        Images that may go, by the path of the one that is kept, then by their own.
    skipped
        Images of clusters that stay for a reason that is worth a word.
    measure
        Name of the measure of the values.
    apart
        Pairs of numbers of images that were decided to be no duplicates: `apply` has the store remember them.
    """

    chosen: list[Chosen] = field(default_factory=list)
    skipped: list[Skipped] = field(default_factory=list)
    measure: str = "mse"
    apart: list[tuple[int, int]] = field(default_factory=list)

    @property
    def size(self) -> int:
        """Bytes of all files that may go."""
        return sum(one.size for one in self.chosen)

    def to_frame(self) -> pd.DataFrame:
        """As a table: remove, keep, why, mse (or value), bytes."""
        value = "mse" if self.measure == "mse" else "value"
        columns = {"remove": "path", "keep": "kept", "why": "why", value: "value", "bytes": "size"}
        rows = {name: [getattr(one, attribute) for one in self.chosen] for name, attribute in columns.items()}
        kinds: dict[str, Any] = {"remove": object, "keep": object, "why": object, value: float, "bytes": "int64"}
        return pd.DataFrame({name: pd.Series(values, dtype=kinds[name]) for name, values in rows.items()})


def plan_removals(
    store: Store,
    result: Result,
    rules: KeepRules,
    decisions: dict[int, str] | None = None,
    *,
    apart: Sequence[tuple[int, int]] = (),
    history: History | None = None,
) -> RemovalPlan:
    """Choose what may go of the images of a result.

    Best first, an image is kept unless one that is kept is similar to it itself, the best of which is then the one that
    is kept for it. Of a chain a, b, c in which a and c are not similar, b goes for a, and c stays. With decisions, only
    what these remove goes, and each for an image that they do not remove; those that they keep come first. What is
    known as a duplicate by its hash alone was not compared, and stays.

    Time and memory grow with the images in pairs, and with the pairs of different thumbnails, 100 bytes each.

    Parameters
    ----------
    store, result
        The store, and what was found in it.
    rules
        What to keep.
    decisions
        "keep" or "remove" by the number of an image.
    apart
        Pairs of numbers of images that are no duplicates.
    history
        What earlier calls did: what they moved or trashed is neither kept nor removed, and that for which something
        went stays. By default nothing counts.

    Raises
    ------
    UsageError
        If a folder of the rules is not there.
    """
    images = _described(store, result)
    rules.check_folders(images.place)
    if apart:
        rows_of = {number: row for row, number in enumerate(images.image)}
        known = [[rows_of[a], rows_of[b]] for a, b in apart if a in rows_of and b in rows_of]
        if known:
            result = replace(result, groups=result.groups.without(np.array(known, np.int64)))
    history = History([]) if history is None else history
    rows = list(images.itertuples(index=False))
    keys = [rules.key(row, side) for row, side in zip(rows, images.side, strict=True)]
    rank = np.empty(len(rows), np.int64)
    order = sorted(range(len(rows)), key=keys.__getitem__)
    rank[order] = np.arange(len(rows))
    aside = [history.is_aside(row.place) for row in rows]
    links = _symbolic_links(store)

    def why_stays(row: Any) -> str | None:
        if rules.is_protected(row.place):
            return "it is in a protected folder"
        return links.get(row.place) or history.is_target(row.place)

    protected = [why_stays(row) for row in rows]
    # these may go for an image that is equal to them byte by byte, and for no other
    needed = [history.why_needed(row.place, row.content_hash) for row in rows]
    order = [row for row in order if not aside[row]]
    marked = {} if decisions is None else decisions
    numbers = images.image.tolist()
    near = _Neighbours(result)

    # the best image that is kept, by group of equal thumbnails, as (how good, row)
    kept: dict[int, tuple[int, int]] = {}
    equal: dict[str, int] = {}
    chosen: list[Chosen] = []
    skipped: list[Skipped] = []
    going: list[int] = []

    def keep(row: int, goodness: int) -> None:
        group = near.group(row)
        equal.setdefault(rows[row].content_hash, row)
        kept[group] = min(kept.get(group, (goodness, row)), (goodness, row))

    def best(row: int) -> tuple[int, int] | None:
        return min((kept[group] for group in near.groups(row) if group in kept), default=None)

    def go(row: int, other: int, why: str) -> None:
        (found,) = result.groups.between(row, np.array([other], np.int64)).values[:1]
        value = found / result.pixels if result.pixels is not None else found.view(np.float64)
        ends = numbers[row], numbers[other], rows[row].path, rows[other].path
        closed = rules.is_protected(rows[other].place)
        chosen.append(Chosen(*ends, why, float(value), int(rows[row].size), closed))

    if decisions is not None:
        removed = [marked.get(number) == "remove" for number in numbers]
        staying = {rows[row].content_hash for row in order if not removed[row] or protected[row] is not None}
        for row in order:
            why_not, remove = protected[row], removed[row]
            if why_not is None and rows[row].content_hash not in staying:
                why_not = needed[row]
            if remove and why_not is None:
                going.append(row)
            else:
                keep(row, int(rank[row]) + (0 if marked.get(numbers[row]) == "keep" else len(rows)))
            if remove and why_not is not None:
                skipped.append(Skipped(rows[row].path, why_not))
        for row in going:
            found = best(row)
            if found is None:
                skipped.append(Skipped(rows[row].path, "no image that is kept is similar to it"))
            elif needed[row] is not None:
                go(row, equal[rows[row].content_hash], "as decided")
            else:
                go(row, found[1], "as decided")
        unknown = len(set(marked) - set(numbers))
        if unknown:
            skipped.append(Skipped(f"{unknown} decided images", "they are in no similar pair any more"))
    else:
        for row in order:
            found, why_not = best(row), protected[row]
            if why_not is None and needed[row] is not None:
                twin = equal.get(rows[row].content_hash)
                found, why_not = (found, needed[row]) if twin is None else ((0, twin), None)
            if found is None or why_not is not None:
                keep(row, int(rank[row]))
                if found is not None and why_not is not None:
                    skipped.append(Skipped(rows[row].path, why_not))
                continue
            pairs = zip(keys[row], keys[found[1]], rules.reasons, strict=True)
            go(row, found[1], next(reason for mine, other, reason in pairs if mine != other))
    if any(aside):
        reason = "they lie in a trash, or where apply moved them to: they are neither kept nor removed"
        skipped.append(Skipped(f"{sum(aside)} images", reason))
    chosen.sort(key=lambda one: (one.kept, one.path))
    measure = "mse" if result.pixels is not None else str(result.settings["measure"])
    return RemovalPlan(chosen, sorted(skipped), measure, list(apart))


class _Neighbours:
    """Which groups of equal thumbnails an image is similar to."""

    def __init__(self, result: Result) -> None:
        groups = result.groups
        self._own = groups.own_pairs and not groups.two_sides
        of = np.repeat(np.arange(len(groups.starts) - 1), np.diff(groups.starts))
        self._group = dict(zip(groups.members.tolist(), of.tolist(), strict=True))
        ends: list[NDArray[np.int64]] = [np.zeros((0, 2), np.int64)]
        ends += [np.stack([chunk.first, chunk.second], axis=1) for chunk in groups.group_pairs()]
        both = np.concatenate(ends)
        both = both[both[:, 0] != both[:, 1]]
        both = np.concatenate([both, both[:, ::-1]])
        both = both[np.argsort(both[:, 0], kind="stable")]
        self._others = both[:, 1]
        self._starts = np.searchsorted(both[:, 0], np.arange(len(groups.starts)))

    def group(self, row: int) -> int:
        """The group of an image; one of its own for what is in no pair of thumbnails."""
        return self._group.get(row, -1 - row)

    def groups(self, row: int) -> Iterator[int]:
        """All groups whose images are similar to an image."""
        group = self._group.get(row)
        if group is None:
            return
        if self._own:
            yield group
        yield from self._others[self._starts[group] : self._starts[group + 1]].tolist()


def _described(store: Store, result: Result) -> pd.DataFrame:
    """The images of a result with their paths, and places and times of modification as they were listed."""
    frame = result.images[["image", "side", "width", "height", "size"]].copy()
    frame.insert(0, "path", pd.Series(list(result.images.index), frame.index, dtype=object))
    columns = ["root", "path", "path_bytes", "mtime_ns", "content_hash"]
    listed = store.image_rows(frame["image"].to_numpy(np.int64), columns)
    names = [full_path(row.root, row.path, row.path_bytes) for row in listed.itertuples()]
    return frame.reset_index(drop=True).assign(
        mtime_ns=listed.mtime_ns,
        place=pd.Series([name if is_url(name) else place_of(name) for name in names], dtype=object),
        content_hash=listed.content_hash.fillna("").astype(object),
    )


def _symbolic_links(store: Store) -> dict[str, str]:
    """Why images stay to which symbolic links lead that were found beside them, by their places."""
    found = {}
    for _, root, path, _, same_root, same in store.read_index()["links"]:
        name = os.path.join(root, path)  # noqa: PTH118 - names may be undecodable
        if not is_url(root) and os.path.islink(name):  # noqa: PTH114
            place = place_of(os.path.join(same_root, same))  # noqa: PTH118
            found[place] = f"the symbolic link {printable(name)} leads to it"
    return found
