"""The removal plan: images that may go, each for a kept image to which it is similar; and the limits that it passes."""

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd

from ..errors import UsageError
from ..images.display import GroupToShow, gallery_html
from ..results.clusters import KEEP, REMOVE, SHOWN
from ..results.edited_pairs import without_pairs_of
from ..results.keep_rules import KeepRules
from ..results.not_duplicates import without_pairs
from ..results.result import Result
from ..results.values import PairValue
from ..storage.schema import FILE_NAME
from ..storage.store import Store
from ..text import counted, file_size, printable, titled
from ..urls import full_path
from .candidates import Candidates
from .choice import Chosen, Demands, Look, Skipped, choose_by_rules, choose_looked_at, choose_marked
from .decisions import Decisions
from .edited_choice import EditedChoice, choose_edited
from .history import History

__all__ = ["RemovalPlan", "limits_passed", "plan_removals"]

# Pictures of a folder from which on it is named if all of them go, and folders that are named.
_FEW, _SHOWN = 5, 10


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
    only_similar
        Images that would go as well if similar ones may: a second look found another picture, or could not look. None
        by vectors, as such images may not.
    only_edited
        Number of edited copies that would go as well if these may.
    give_up
        Parts that an image may have and the kept one lacks; None if people decided each image.
    went
        Number of images of the result that an earlier call took, or replaced by links.
    value
        The measure of the pairs.
    """

    chosen: list[Chosen] = field(default_factory=list)
    skipped: list[Skipped] = field(default_factory=list)
    apart: list[tuple[int, int]] = field(default_factory=list)
    only_similar: list[Chosen] = field(default_factory=list)
    only_edited: int = 0
    give_up: frozenset[str] | None = frozenset()
    went: int = 0
    value: PairValue = field(kw_only=True)

    def __repr__(self) -> str:
        return titled("RemovalPlan", self._lines())

    def _repr_html_(self) -> str:
        kept: dict[str, list[Chosen]] = {}
        for one in self.chosen:
            kept.setdefault(one.kept, []).append(one)
        groups = [
            GroupToShow(
                [path, *(one.path for one in going[:SHOWN])],
                [KEEP] + [REMOVE] * len(going[:SHOWN]),
                ["", *(f"{one.verdict}; {one.why}" for one in going[:SHOWN])],
                more=len(going[SHOWN:]),
            )
            for path, going in list(kept.items())[:SHOWN]
        ]
        left = [f"the first {SHOWN} groups are shown; to_frame() has all"] if len(kept) > SHOWN else []
        return gallery_html(groups, [*self._lines(), *left])

    def _lines(self) -> list[str]:
        lines = [f"{counted(len(self.chosen), 'image')} could be removed, {file_size(self.size)}; nothing is done yet"]
        if self.skipped:
            lines.append(f"{counted(len(self.skipped), 'image')} must stay, with the reason in skipped")
        if self.only_similar:
            lines.append(
                f"{counted(len(self.only_similar), 'image')} more with include_similar=True: look at them first"
            )
        if self.only_edited:
            lines.append(f"{counted(self.only_edited, 'image')} more with include_edited=True: look at them first")
        return lines + ([f"{counted(self.went, 'image')} went before"] if self.went else [])

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
    look: Look | None = None,
    include_similar: bool = False,
    include_edited: bool = False,
    give_up: Sequence[str] = (),
) -> RemovalPlan:
    """Choose the images of a result that may go.

    - Images are taken best first. An image goes if it is similar to an image kept before, for the best such image;
      otherwise it is kept.
    - In a chain a, b, c with similar pairs (a, b) and (b, c) only, b goes for a, and c stays.
    - With marks, only images marked "remove" go, each for a kept image. Images marked "keep" come first.
    - Without marks, an image goes only for one that a second look calls the same picture, and that has all that it has:
      transparency, more than 8 bits, a colour profile, and so on. Raw files never go.
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
        Record of earlier calls. An image moved, trashed or taken by them is neither kept nor removed; an image for
        which another one went stays. By default, there were no earlier calls.
    only_identical
        Choose only images whose file has the same bytes as the file of the image that is kept.
    look
        Looks at pairs that were not looked at yet; by default these count as the same picture.
    include_similar
        Images go for those that are similar as well; refused where they are so by vectors alone.
    include_edited
        Edited copies go as well, see `edited_choice.choose_edited`; never with `only_identical`.
    give_up
        Parts that an image may have and the kept one lacks, words as in the column ``extras``; or "more pixels".

    Returns
    -------
    The plan: images that may go, images that must stay, and pairs that are no duplicates.

    Raises
    ------
    UsageError
        If a folder of the rules is not there, or similar images are to go where these are similar by vectors alone.
    """
    by_vectors = bool(result.value.settings.vectors)
    if include_similar and by_vectors:
        raise UsageError(
            "similar vectors are no proof of a copy, and no image goes for that; leave out similar ones, or mark images"
        )
    decisions = Decisions() if decisions is None else decisions
    candidates = Candidates(store, result, rules, History([]) if history is None else history)
    if decisions.not_duplicates:
        result = _without(result, candidates.numbers, decisions.not_duplicates)
    demands = Demands(any_verdict=True, give_up=frozenset(give_up))
    loose: list[Chosen] = []
    if decisions.marks is not None:
        marked = Demands(any_verdict=True, same_file=only_identical)
        looking = None if include_similar else look
        choice = choose_marked(result, rules, candidates, marked, decisions.marks, looking)
    elif only_identical or include_similar:
        choice = choose_by_rules(result, rules, candidates, demands._replace(same_file=only_identical))
    else:
        choice = choose_looked_at(result, rules, candidates, look, frozenset(give_up))
        going = {one.image for one in choice.chosen}
        every = choose_by_rules(result, rules, candidates, demands)
        loose = [] if by_vectors else [one for one in every.chosen if one.image not in going]
    edited = EditedChoice([], [])
    if not only_identical:
        edited = choose_edited(store, result, candidates, choice, frozenset(give_up), decisions.marks)
    if any(candidates.aside):
        reason = "they lie in a trash, or where apply moved them to: they are neither kept nor removed"
        choice.skipped.append(Skipped(f"{sum(candidates.aside)} images", reason))
    chosen, only_edited = choice.chosen, len(edited.chosen)
    if include_edited:
        chosen, only_edited = chosen + edited.chosen, 0
        numbers, gone = ({getattr(one, name) for one in edited.chosen} for name in ("image", "path"))
        loose = [one for one in loose if one.image not in numbers]
        choice.skipped = [one for one in choice.skipped if one.path not in gone] + edited.skipped
    chosen = sorted(chosen, key=lambda one: (one.kept, one.path))
    given_up = None if decisions.marks is not None else frozenset(give_up)
    apart = list(decisions.not_duplicates)
    went = sum(candidates.went)
    return RemovalPlan(chosen, sorted(choice.skipped), apart, loose, only_edited, given_up, went, value=result.value)


def _without(result: Result, numbers: list[int], pairs: list[tuple[int, int]]) -> Result:
    """Leave pairs of images out of a result; the pairs are given by numbers of images."""
    rows = {number: row for row, number in enumerate(numbers)}
    known = [(rows[a], rows[b]) for a, b in pairs if a in rows and b in rows]
    if not known:
        return result
    apart = np.array(known, np.int64)
    edited = without_pairs_of(result.edited_pairs, apart)
    return replace(result, groups=without_pairs(result.groups, apart), edited_pairs=edited)


def limits_passed(store: Store, plan: RemovalPlan) -> list[str]:
    """Describe the limits that a plan passes; an empty list if it passes none.

    - More than half of the images of the store go.
    - A folder with five pictures or more, those of its folders included, loses all of them.
    """
    images = store.read_images(["image", *FILE_NAME, "current", "error"])
    images = images[images.current & images.error.isna()]
    going = images[images.image.isin([one.image for one in plan.chosen])]
    passed = []
    if 2 * len(going) > len(images):
        passed.append(f"it takes {len(going)} of the {len(images)} images found, more than half of them")
    folders = _emptied(_count(images), _count(going))
    passed += [f"it takes all {number} images of the folder {printable(name)}" for name, number in folders[:_SHOWN]]
    if len(folders) > _SHOWN:
        passed.append(f"it takes all images of {len(folders) - _SHOWN} more folders")
    return passed


def _emptied(found: Counter[str], going: Counter[str]) -> list[tuple[str, int]]:
    """List the highest folders of which all images go, and the number of these."""
    whole = {name for name, number in going.items() if number == found[name]}
    highest = [name for name in whole if os.path.dirname(name) not in whole]  # noqa: PTH120 - names may be undecodable
    return sorted((name, going[name]) for name in highest if going[name] >= _FEW)


def _count(images: Any) -> Counter[str]:
    """Count the images in each folder, and in the folders around it up to the root."""
    direct = Counter(
        (row.root, os.path.dirname(full_path(row.root, row.path, row.path_bytes)))  # noqa: PTH120
        for row in images.itertuples()
    )
    counts: Counter[str] = Counter()
    for (root, folder), number in direct.items():
        counts.update(dict.fromkeys(_around(folder, root), number))
    return counts


def _around(folder: str, root: str) -> Iterator[str]:
    """Give a folder, and the folders around it up to the root."""
    yield folder
    while len(folder) > len(root) and (above := os.path.dirname(folder)) != folder:  # noqa: PTH120
        folder = above
        yield folder
