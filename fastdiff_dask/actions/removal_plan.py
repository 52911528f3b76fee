"""The removal plan: images that may go, each for a kept image to which it is similar."""

import os
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..results.keep_rules import KeepRules
from ..results.not_duplicates import without_pairs
from ..results.result import Result
from ..results.values import PairValue
from ..storage.schema import FILE_NAME
from ..storage.store import Store
from ..text import printable
from ..urls import full_path, is_url
from .decisions import Decisions
from .journal import History, place_of
from .neighbours import Neighbours

__all__ = ["Chosen", "RemovalPlan", "Skipped", "plan_removals"]


class Chosen(NamedTuple):
    """An image that may go.

    Attributes
    ----------
    image, kept_image
        Numbers of this image and of the image that is kept for it.
    path, kept
        Paths of the two images.
    why
        Reason why this image goes rather than the other one.
    value
        MSE, or another measure, of the pair.
    size
        Size of this image's file in bytes.
    kept_is_protected
        True if the kept image lies in a protected folder: nothing is written into its file.
    same_file
        True if both files have the same bytes.
    """

    image: int
    kept_image: int
    path: str
    kept: str
    why: str
    value: float
    size: int
    kept_is_protected: bool = False
    same_file: bool = False


class Skipped(NamedTuple):
    """An image that stays, although a duplicate or marked "remove", and the reason."""

    path: str
    reason: str


@dataclass(frozen=True)
class RemovalPlan:
    """Images that may go, and duplicates that stay.

    Attributes
    ----------
    chosen
        Images that may go, sorted by the path of the kept image, then by their own path.
    skipped
        Images that would go but must stay, each with the reason.
    apart
        Pairs of image numbers that were decided to be no duplicates; `apply` records them in the store.
    value
        The measure of the pairs.
    """

    chosen: list[Chosen] = field(default_factory=list)
    skipped: list[Skipped] = field(default_factory=list)
    apart: list[tuple[int, int]] = field(default_factory=list)
    value: PairValue = field(kw_only=True)

    @property
    def size(self) -> int:
        """Bytes of all files that may go."""
        return sum(one.size for one in self.chosen)

    def to_frame(self) -> pd.DataFrame:
        """Make a table with the columns remove, keep, why, mse (or value) and bytes."""
        value = self.value.column
        columns = {"remove": "path", "keep": "kept", "why": "why", value: "value", "bytes": "size"}
        rows = {name: [getattr(one, attribute) for one in self.chosen] for name, attribute in columns.items()}
        kinds: dict[str, Any] = {"remove": object, "keep": object, "why": object, value: float, "bytes": "int64"}
        return pd.DataFrame({name: pd.Series(values, dtype=kinds[name]) for name, values in rows.items()})


def plan_removals(
    store: Store,
    result: Result,
    rules: KeepRules,
    decisions: Decisions | None = None,
    *,
    history: History | None = None,
    only_identical: bool = False,
) -> RemovalPlan:
    """Choose the images of a result that may go.

    - Images are taken best first. An image goes if it is similar to an image kept before, for the best such image;
      otherwise it is kept.
    - In a chain a, b, c with similar pairs (a, b) and (b, c) only, b goes for a, and c stays.
    - With marks, only images marked "remove" go, each for a kept image. Images marked "keep" come first.
    - Images known as duplicates by their hash alone were not compared; they stay.
    - Between two sides, a is the reference: nothing of it goes, unless the rules say so.

    Time and memory grow with the images in pairs, and with the pairs of different thumbnails (100 bytes a pair).

    Parameters
    ----------
    store, result
        The store, and the pairs that were found in it.
    rules
        Rules that order the images, best first.
    decisions
        Marks of images, and pairs that are no duplicates.
    history
        Record of earlier calls. An image moved or trashed by them is neither kept nor removed; an image for which
        another one went stays. By default, there were no earlier calls.
    only_identical
        Choose only images whose file has the same bytes as the file of the image that is kept.

    Returns
    -------
    The plan: images that may go, images that must stay, and pairs that are no duplicates.

    Raises
    ------
    UsageError
        If a folder of the rules is not there.
    """
    decisions = Decisions() if decisions is None else decisions
    candidates = _Candidates(store, result, rules, History([]) if history is None else history)
    if decisions.not_duplicates:
        result = _without(result, candidates.numbers, decisions.not_duplicates)
    choice = _Choice(result, rules, candidates, only_identical)
    if decisions.marks is None:
        choice.by_rules()
    else:
        choice.by_marks(decisions.marks)
    if any(candidates.aside):
        reason = "they lie in a trash, or where apply moved them to: they are neither kept nor removed"
        choice.skipped.append(Skipped(f"{sum(candidates.aside)} images", reason))
    chosen = sorted(choice.chosen, key=lambda one: (one.kept, one.path))
    return RemovalPlan(chosen, sorted(choice.skipped), list(decisions.not_duplicates), value=result.value)


def _without(result: Result, numbers: list[int], pairs: list[tuple[int, int]]) -> Result:
    """Leave pairs of images out of a result; the pairs are given by numbers of images."""
    rows = {number: row for row, number in enumerate(numbers)}
    known = [(rows[a], rows[b]) for a, b in pairs if a in rows and b in rows]
    return replace(result, groups=without_pairs(result.groups, np.array(known, np.int64))) if known else result


class _Candidates:
    """The images of a result, and for each image the reasons why it must stay.

    Attributes
    ----------
    rows
        Path, place, side, width, height, size, mtime_ns and content_hash of each image.
    numbers
        Numbers of the images in the store.
    keys
        Sort keys of the images by the rules.
    aside
        True for an image that was moved or trashed.
    why_stays
        Reason why each image stays in any case, or None.
    why_needed
        Reason why each image stays unless another file with the same bytes stays, or None.
    """

    def __init__(self, store: Store, result: Result, rules: KeepRules, history: History) -> None:
        images = _described(store, result)
        rules.check_folders(images.place, lambda: _all_places(store))
        links = _symbolic_links(store)
        self.rows = list(images.itertuples(index=False))
        self.numbers: list[int] = images.image.tolist()
        self.keys = [rules.key(row) for row in self.rows]
        self.protected = [rules.is_protected(row.place) for row in self.rows]
        self.aside = [history.is_aside(row.place) for row in self.rows]
        reference = "a" if store.two_sides and not rules.both_sides else None
        self.why_stays = [
            ("it is in a protected folder" if closed else None)
            or ("it is in A, the reference" if row.side == reference else None)
            or links.get(row.place)
            or history.is_target(row.place)
            for row, closed in zip(self.rows, self.protected, strict=True)
        ]
        self.why_needed = [history.why_needed(row.place, row.content_hash) for row in self.rows]

    def best_first(self) -> list[int]:
        """Rows of the images that were neither moved nor trashed."""
        return [row for row in sorted(range(len(self.rows)), key=self.keys.__getitem__) if not self.aside[row]]


class _Choice:
    """Images that are kept and images that go, chosen one after the other.

    Attributes
    ----------
    chosen, skipped
        As in `RemovalPlan`, but not sorted.
    """

    def __init__(self, result: Result, rules: KeepRules, candidates: _Candidates, only_identical: bool) -> None:
        self.chosen: list[Chosen] = []
        self.skipped: list[Skipped] = []
        self._result, self._rules, self._candidates = result, rules, candidates
        self._near = Neighbours(result)
        self._only_identical = only_identical
        # group of equal thumbnails → (rank, row) of its best kept image
        self._kept: dict[int, tuple[int, int]] = {}
        # content hash → row of the first kept image
        self._equal: dict[str, int] = {}

    def by_rules(self) -> None:
        """Keep each image unless a better similar image is kept."""
        candidates = self._candidates
        for rank, row in enumerate(candidates.best_first()):
            other, why_not = self._best_kept(row), candidates.why_stays[row]
            if why_not is None and candidates.why_needed[row] is not None:
                twin = self._equal.get(candidates.rows[row].content_hash)
                other, why_not = (other, candidates.why_needed[row]) if twin is None else (twin, None)
            if other is not None and why_not is None:
                self._remove(row, other, self._rules.reason(candidates.keys[row], candidates.keys[other]))
                continue
            self._keep(row, rank)
            if other is not None and why_not is not None:
                self._skip(row, why_not)

    def by_marks(self, marks: dict[int, str]) -> None:
        """Keep all images except those that are marked "remove" and may go."""
        candidates = self._candidates
        order = candidates.best_first()
        marked = [marks.get(number) for number in candidates.numbers]
        staying = {
            candidates.rows[row].content_hash
            for row in order
            if marked[row] != "remove" or candidates.why_stays[row] is not None
        }
        going = []
        for rank, row in enumerate(order):
            why_not = candidates.why_stays[row]
            if why_not is None and candidates.rows[row].content_hash not in staying:
                why_not = candidates.why_needed[row]
            if marked[row] == "remove" and why_not is None:
                going.append(row)
                continue
            self._keep(row, rank if marked[row] == "keep" else rank + len(order))
            if marked[row] == "remove" and why_not is not None:
                self._skip(row, why_not)
        for row in going:
            other = self._best_kept(row)
            if other is None:
                self._skip(row, "no image that is kept is similar to it")
            elif candidates.why_needed[row] is not None:
                self._remove(row, self._equal[candidates.rows[row].content_hash], "as decided")
            else:
                self._remove(row, other, "as decided")
        unknown = len(set(marks) - set(candidates.numbers))
        if unknown:
            self.skipped.append(Skipped(f"{unknown} decided images", "they are in no similar pair any more"))

    def _keep(self, row: int, rank: int) -> None:
        group = self._near.group(row)
        content = self._candidates.rows[row].content_hash
        if content:
            self._equal.setdefault(content, row)
        self._kept[group] = min(self._kept.get(group, (rank, row)), (rank, row))

    def _best_kept(self, row: int) -> int | None:
        """Find the best kept image that is similar to an image, or only one with the same bytes."""
        if self._only_identical:
            twin = self._equal.get(self._candidates.rows[row].content_hash)
            return twin if twin is not None and len(self._values(row, twin)) else None
        near = (self._kept[group] for group in self._near.groups(row) if group in self._kept)
        return min(near, default=(0, None))[1]

    def _remove(self, row: int, other: int, why: str) -> None:
        candidates = self._candidates
        (value,) = self._result.value.numbers(self._values(row, other)[:1])
        this, kept = candidates.rows[row], candidates.rows[other]
        numbers = candidates.numbers[row], candidates.numbers[other]
        protected = candidates.protected[other]
        same_file = this.content_hash == kept.content_hash != ""
        size = int(this.size)
        self.chosen.append(Chosen(*numbers, this.path, kept.path, why, float(value), size, protected, same_file))

    def _values(self, row: int, other: int) -> NDArray[np.int64]:
        """Give the stored value of a pair; none if the two are not similar."""
        return self._result.groups.between(row, np.array([other], np.int64)).values

    def _skip(self, row: int, reason: str) -> None:
        self.skipped.append(Skipped(self._candidates.rows[row].path, reason))


def _described(store: Store, result: Result) -> pd.DataFrame:
    """The images of a result with their paths, places (absolute paths), times of modification and contents."""
    frame = result.images[["image", "side", "width", "height", "size"]].copy()
    frame.insert(0, "path", pd.Series(list(result.images.index), frame.index, dtype=object))
    columns = [*FILE_NAME, "mtime_ns", "content_hash"]
    listed = store.image_rows(frame["image"].to_numpy(np.int64), columns)
    names = [full_path(row.root, row.path, row.path_bytes) for row in listed.itertuples()]
    return frame.reset_index(drop=True).assign(
        mtime_ns=listed.mtime_ns,
        place=pd.Series([name if is_url(name) else place_of(name) for name in names], dtype=object),
        content_hash=listed.content_hash.fillna("").astype(object),
    )


def _all_places(store: Store) -> Iterator[str]:
    """Give the absolute paths of all images of a store."""
    for block in range(store.blocks):
        for row in store.read_partition(block, FILE_NAME).itertuples():
            yield full_path(row.root, row.path, row.path_bytes)


def _symbolic_links(store: Store) -> dict[str, str]:
    """Find the images to which symbolic links lead: place of the image → reason why it stays."""
    found = {}
    for _, root, path, _, same_root, same in store.records.read_index()["links"]:
        name = os.path.join(root, path)  # noqa: PTH118 - names may be undecodable
        if not is_url(root) and os.path.islink(name):  # noqa: PTH114
            place = place_of(os.path.join(same_root, same))  # noqa: PTH118
            found[place] = f"the symbolic link {printable(name)} leads to it"
    return found
