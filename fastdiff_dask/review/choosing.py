"""Choices that concern many images: by rules, by a folder, and the plan that the marks make."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..actions.choice import Chosen
from ..actions.decisions import Decisions
from ..actions.history import History
from ..actions.removal_plan import RemovalPlan, plan_removals
from ..config import NOT_LOOKED_AT, SIMILAR, VERIFY_SIZE
from ..errors import UsageError
from ..results.keep_rules import KeepRules
from ..results.result import Result
from ..results.second_look import look_again
from ..text import printable
from .marks import KEEP, REMOVE
from .paths import can_be_path
from .view import View, wanted_of

__all__ = ["Suggestion", "by_folder", "by_rules", "marked_plan"]

# Reasons for staying that are listed.
_REASONS = 50


class Suggestion(NamedTuple):
    """Marks that a choice makes, and what people want to know of it.

    Attributes
    ----------
    marks
        By the numbers of images.
    groups, images, bytes, kept
        Numbers of the groups in which something could be removed, of these images, of their bytes, and of the images
        that are kept for them.
    skipped
        Reasons why images stay, with the numbers of these, the most frequent first.
    """

    marks: Mapping[int, str | None]
    groups: int
    images: int
    bytes: int
    kept: int
    skipped: list[tuple[str, int]]

    def described(self) -> dict[str, Any]:
        """Give all but the marks."""
        values = self._asdict()
        del values["marks"]
        return values


def _looking(view: View) -> Callable[[Result, NDArray[np.int64]], Result]:
    return lambda result, ends: look_again(view.store, result, ends, VERIFY_SIZE)


def marked_plan(view: View) -> RemovalPlan:
    """Make the plan of the marks: pairs that nobody looked at are looked at, and other pictures stay."""
    decided = Decisions(view.marks_by_number(), sorted(view.apart))
    return plan_removals(view.store, view.result, KeepRules(), decided, history=History(), look=_looking(view))


def by_rules(view: View, values: Mapping[str, Any]) -> Suggestion:
    """Choose as `apply` does by rules, within the groups that meet conditions; marks of people go before.

    Parameters
    ----------
    view
        The groups.
    values
        As for `apply`: rules, prefer, protect and include, folders as on the page; and filter, see `view.wanted_of`.

    Returns
    -------
    The marks, and what is told of them.

    Raises
    ------
    UsageError
        If a rule or a folder cannot be used.
    """
    absolute = view.index.paths.absolute
    prefer, protect = (tuple(map(absolute, _texts(values, name))) for name in ("prefer", "protect"))
    for folder in (*prefer, *protect):
        if not can_be_path(folder):
            raise UsageError(f"{printable(folder)} is no name of a folder")
    rules = KeepRules(rules=_texts(values, "rules"), prefer=prefer, protect=protect)
    included = _texts(values, "include")
    if set(included) - {"similar"}:
        raise UsageError(f"include={printable(str(included[0]))!r} is not known; use similar")
    conditions = values.get("filter") or {}
    if not isinstance(conditions, dict):
        raise UsageError("'filter' is no object of conditions")
    groups = np.zeros(len(view.index), bool)
    groups[view.index.choose(wanted_of(conditions), view.marked)] = True
    plan = plan_removals(
        view.store,
        view.result,
        rules,
        Decisions(None, sorted(view.apart)),
        history=History(),
        look=_looking(view),
        include_similar=bool(included),
    )
    return _within(view, plan, groups)


def _within(view: View, plan: RemovalPlan, groups: NDArray[np.bool_]) -> Suggestion:
    """Take what a plan chooses within some groups, as far as no mark is against it."""
    index, known = view.index, view.marks_by_number()
    reasons = Counter(one.reason for one in plan.skipped)
    chosen: list[Chosen] = []
    places = index.places([one.image for one in plan.chosen]).tolist()
    for one, place in zip(plan.chosen, places, strict=True):
        if place < 0 or not groups[index.group_of[place]]:
            continue
        if known.get(one.image) == KEEP:
            reasons["it is marked to be kept"] += 1
        elif known.get(one.kept_image) == REMOVE:
            reasons["the image that would be kept is marked to be removed"] += 1
        else:
            chosen.append(one)
    kept = {one.kept_image for one in chosen}
    places_of_chosen = index.places([one.image for one in chosen])
    return Suggestion(
        marks=dict.fromkeys(kept, KEEP) | dict.fromkeys((one.image for one in chosen), REMOVE),
        groups=len(np.unique(index.group_of[places_of_chosen])),
        images=len(chosen),
        bytes=sum(one.size for one in chosen),
        kept=len(kept),
        skipped=[(printable(reason), number) for reason, number in reasons.most_common(_REASONS)],
    )


def by_folder(view: View, folder: str) -> Suggestion:
    """Keep the images of a folder, and remove their copies elsewhere; images that are only similar are left alone.

    A copy has the same picture by a second look: as the image of the folder, or as the first image of the group, if
    that one has as well.

    Raises
    ------
    UsageError
        If there is no such folder.
    """
    index = view.index
    here = index.paths.is_below(folder) if folder else np.ones(len(index.rows), bool)
    here &= ~view.gone
    if not here.any():
        raise UsageError(f"no image of a group lies in {printable(folder)}")
    # first images have the verdict 0 against themselves, which stands for "not looked at"
    is_first = np.zeros(len(index.rows), bool)
    is_first[index.starts[:-1]] = True
    same_as_first = is_first | ~np.isin(index.pairs.codes, [NOT_LOOKED_AT, SIMILAR])
    groups = index.group_of
    kept_same = np.zeros(len(index), bool)
    kept_same[groups[here & same_as_first]] = True
    copies = ~here & ~view.gone & same_as_first & kept_same[groups]
    copies |= _copies_of(view, here, ~here & ~view.gone & ~copies)
    with_copies = np.zeros(len(index), bool)
    with_copies[groups[copies]] = True
    kept = here & with_copies[groups]
    return Suggestion(
        marks=dict.fromkeys(index.numbers[kept].tolist(), KEEP) | dict.fromkeys(index.numbers[copies].tolist(), REMOVE),
        groups=int(with_copies.sum()),
        images=int(copies.sum()),
        bytes=int(index.sizes[copies].sum()),
        kept=int(kept.sum()),
        skipped=[],
    )


def _copies_of(view: View, kept: NDArray[np.bool_], others: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """(k,) bool: images among some that a second look called the same picture as one that is kept in their group."""
    index, found = view.index, np.zeros(len(kept), bool)
    of_group: dict[int, list[int]] = {}
    for place in np.flatnonzero(kept).tolist():
        of_group.setdefault(int(index.group_of[place]), []).append(place)
    pairs = [
        (place, one)
        for place in np.flatnonzero(others).tolist()
        for one in of_group.get(int(index.group_of[place]), ())
    ]
    ends = np.array(pairs, np.int64).reshape(-1, 2)
    codes = view.result.verdicts.codes(index.rows[ends[:, 0]], index.rows[ends[:, 1]])
    found[ends[~np.isin(codes, [NOT_LOOKED_AT, SIMILAR]), 0]] = True
    return found


def _texts(values: Mapping[str, Any], name: str) -> tuple[str, ...]:
    """Give a list of texts of a request.

    Raises
    ------
    UsageError
        If it is something else.
    """
    found: Sequence[Any] = values.get(name) or ()
    if not isinstance(found, list | tuple) or not all(isinstance(one, str) for one in found):
        raise UsageError(f"{name!r} is no list of texts")
    return tuple(found)
