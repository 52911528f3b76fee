"""Pairs of a result by their verdicts: counted, and chosen."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..config import BY_CERTAINTY, NOT_LOOKED_AT, SAME_FILE, VERDICT_NAMES
from ..kernels.grid import pairs_within
from .groups import Groups, PairChunk, count_within
from .verdicts import PairVerdicts

__all__ = ["choose_pairs", "count_verdicts", "groups_of_pairs"]


def count_verdicts(groups: Groups, verdicts: PairVerdicts) -> dict[str, int]:
    """Count all similar pairs by their verdict, the most certain first; pairs of equal images are not made.

    Time and memory grow with the images, the pairs of groups, and the pairs that were looked at.
    """
    looked = _looked_at(groups, verdicts)
    counts = np.bincount(verdicts.codes(looked.a, looked.b), minlength=len(VERDICT_NAMES))
    counts[SAME_FILE] = _same_files(groups, verdicts.contents).number
    counts[NOT_LOOKED_AT] = groups.count() - counts[NOT_LOOKED_AT + 1 :].sum()
    return {name: int(counts[VERDICT_NAMES.index(name)]) for name in BY_CERTAINTY}


def choose_pairs(groups: Groups, verdicts: PairVerdicts, names: Sequence[str], listed: PairChunk) -> PairChunk:
    """Choose the pairs with some verdicts.

    Parameters
    ----------
    groups, verdicts
        All similar pairs, and what is known of them.
    names
        The verdicts.
    listed
        The pairs that a result lists. If these are not all, those of the same file are some that connect the same
        images, and those not looked at are some of the listed ones.

    Returns
    -------
    The pairs, each once.
    """
    codes = [VERDICT_NAMES.index(name) for name in names]
    found = [listed]
    if len(listed.a) < groups.count():
        found += [_looked_at(groups, verdicts), groups.exactly(*_same_files(groups, verdicts.contents).ends)]
    every = PairChunk.none().joined(*found)
    every = every.at(np.isin(verdicts.codes(every.a, every.b), codes))
    _, first = np.unique(np.stack([every.a, every.b]), axis=1, return_index=True)
    return every.at(np.sort(first))


def groups_of_pairs(pairs: PairChunk, two_sides: bool) -> tuple[Groups, NDArray[np.int64]]:
    """Make groups of one image each that have just these pairs; gives the former names of the images, too."""
    names, ends = np.unique(np.concatenate([pairs.a, pairs.b]), return_inverse=True)
    number = len(names)
    groups = Groups(
        members=np.arange(number),
        starts=np.arange(number + 1),
        turns=np.zeros(number, np.int64),
        symmetries=np.ones(number, np.uint8),
        first=ends[: len(pairs.a)],
        second=ends[len(pairs.a) :],
        values=pairs.values,
        masks=pairs.masks,
        two_sides=two_sides,
    )
    return groups, names


def _looked_at(groups: Groups, verdicts: PairVerdicts) -> PairChunk:
    """Give the similar pairs that have a verdict in the store."""
    order = np.argsort(verdicts.numbers)
    ordered = verdicts.numbers[order]
    a, b = verdicts.verdicts.pairs()
    known = np.isin(a, ordered) & np.isin(b, ordered)
    if not known.any() or not len(groups.members):
        return PairChunk.none()
    rows = [order[np.searchsorted(ordered, end[known])] for end in (a, b)]
    return groups.exactly(*rows)


class _SameFiles(NamedTuple):
    """Similar images with equal files.

    Attributes
    ----------
    ends
        (2, k) int64: images of few such pairs, which connect the same images as all of them.
    number
        Number of all such pairs.
    """

    ends: NDArray[np.int64]
    number: int


def _same_files(groups: Groups, contents: NDArray[np.int64]) -> _SameFiles:
    """Find the similar images with equal files; they are in one group, or in several that are similar."""
    content = contents[groups.members] - contents.min(initial=0)
    group = np.repeat(np.arange(len(groups.sizes)), groups.sizes)
    order = np.lexsort((group, content))
    members, content = groups.members[order], content[order]
    # a class: images of one content in one group
    _, starts, sizes = np.unique(content * len(groups.sizes) + group[order], return_index=True, return_counts=True)
    first = np.repeat(members[starts], sizes)
    own = (first != members) & groups.makes_own_pairs
    ends, number = [np.stack([first[own], members[own]])], 0
    if groups.makes_own_pairs:
        number = int(pairs_within(sizes).sum())
    here, there = _equal_places(content[starts])
    if len(here):  # on two sides, or where people decided that some are no duplicates
        similar = groups.exactly(members[starts[here]], members[starts[there]])
        of_member = np.empty(len(contents), np.int64)
        of_member[members] = np.repeat(np.arange(len(sizes)), sizes)
        for one, other in ((similar.a, similar.b), (similar.b, similar.a)):
            several = sizes[of_member[other]]
            others = members[np.repeat(starts[of_member[other]], several) + count_within(several)]
            ends.append(np.stack([np.repeat(one, several), others]))
        number += int((sizes[of_member[similar.a]] * sizes[of_member[similar.b]]).sum())
    return _SameFiles(np.concatenate(ends, axis=1), number)


def _equal_places(values: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Give all pairs of places with equal values, which are sorted."""
    here, there, step = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)], 1
    while len(places := np.flatnonzero(values[step:] == values[:-step])):
        here.append(places)
        there.append(places + step)
        step += 1
    return np.concatenate(here), np.concatenate(there)
