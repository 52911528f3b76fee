"""Similar pairs without those that people decided to be no duplicates. NumPy only."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from .groups import GroupPairs, Groups, count_within

__all__ = ["without_pairs"]


def without_pairs(groups: Groups, pairs: NDArray[np.int64]) -> Groups:
    """Leave out some pairs of images, and the images that are in no pair then.

    An image of such a pair becomes a group of its own, which stands to all others as its former group did. Memory: the
    pairs of groups grow with the number of these images in groups that are similar to many.

    Parameters
    ----------
    groups
        All similar pairs.
    pairs
        (k, 2) int64: names of images.

    Returns
    -------
    The groups of the other pairs.
    """
    number = len(groups.sizes)
    of_member = np.repeat(np.arange(number), groups.sizes)
    moved = _members_to_move(groups, of_member, pairs)
    former = np.concatenate([np.arange(number), of_member[moved]])
    of_member[moved] = number + np.arange(len(former) - number)
    split = _Split(former, number, _excluded(groups.members, of_member, pairs))
    first, second = split.own_pairs(former[number:]) if groups.makes_own_pairs else (former[:0], former[:0])
    held = split.pairs(GroupPairs(groups.first, groups.second, groups.values, groups.masks))
    order = np.lexsort((groups.members, of_member))
    stored = groups.stored
    new = replace(
        groups,
        members=groups.members[order],
        starts=np.concatenate([[0], np.cumsum(np.bincount(of_member, minlength=len(former)))]).astype(np.int64),
        turns=groups.turns[order],
        symmetries=groups.symmetries[former],
        first=np.concatenate([held.first, first]),
        second=np.concatenate([held.second, second]),
        values=np.concatenate([held.values, np.zeros(len(first), np.int64)]),
        masks=np.concatenate([held.masks, groups.symmetries[former[first]]]),
        stored=None if stored is None else lambda: map(split.pairs, stored()),
    )
    return _without_single_groups(new)


def _members_to_move(groups: Groups, of_member: NDArray[np.int64], pairs: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Members that become groups of their own; one of each group stays where it is."""
    moved = np.isin(groups.members, pairs) & (groups.sizes[of_member] > 1)
    left = groups.sizes - np.bincount(of_member[moved], minlength=len(groups.sizes))
    moved[groups.starts[1:][left == 0] - 1] = False
    return moved


def _excluded(
    members: NDArray[np.int64], of_member: NDArray[np.int64], pairs: NDArray[np.int64]
) -> set[tuple[int, int]]:
    """Pairs of groups that are left out."""
    group = dict(zip(members.tolist(), of_member.tolist(), strict=True))
    return {(group[a], group[b]) for a, b in pairs.tolist() if a in group and b in group}


class _Split:
    """Pairs of groups after some groups were split into parts, without the pairs that are left out.

    Parameters
    ----------
    former
        (n,) int64: for each group the group that it was in.
    number
        Number of groups before.
    excluded
        Pairs of groups that are left out.
    """

    def __init__(self, former: NDArray[np.int64], number: int, excluded: set[tuple[int, int]]) -> None:
        self._parts = np.argsort(former, kind="stable")
        self._starts = np.searchsorted(former[self._parts], np.arange(number + 1))
        self._counts = np.diff(self._starts)
        self._size = len(former)
        both = (pair for a, b in excluded for pair in ((a, b), (b, a)))
        self._excluded = np.array(sorted(a * self._size + b for a, b in both), np.int64)

    def _is_wanted(self, first: NDArray[np.int64], second: NDArray[np.int64]) -> NDArray[np.bool_]:
        return ~np.isin(first * self._size + second, self._excluded)

    def pairs(self, former: GroupPairs) -> GroupPairs:
        """Pair each part of the first group with each part of the second one."""
        counts = self._counts[former.first] * self._counts[former.second]
        pair = np.repeat(np.arange(len(counts)), counts)
        row, column = np.divmod(count_within(counts), self._counts[former.second[pair]])
        first = self._parts[self._starts[former.first[pair]] + row]
        second = self._parts[self._starts[former.second[pair]] + column]
        wanted = self._is_wanted(first, second)
        return GroupPairs(first[wanted], second[wanted], former.values[pair[wanted]], former.masks[pair[wanted]])

    def own_pairs(self, former: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Pair the parts of each of some former groups with each other."""
        both = [np.zeros((2, 0), np.int64)]
        for group in np.unique(former).tolist():
            parts = self._parts[self._starts[group] : self._starts[group + 1]]
            both.append(parts[np.stack(np.triu_indices(len(parts), 1))])
        first, second = np.concatenate(both, axis=1)
        wanted = self._is_wanted(first, second)
        return first[wanted], second[wanted]


def _without_single_groups(groups: Groups) -> Groups:
    """Leave out the groups that are in no pair."""
    paired = groups.is_paired
    number = np.cumsum(paired) - 1
    chosen = np.repeat(paired, groups.sizes)
    stored = groups.stored

    def renumbered(chunk: GroupPairs) -> GroupPairs:
        return chunk._replace(first=number[chunk.first], second=number[chunk.second])

    return replace(
        groups,
        members=groups.members[chosen],
        starts=np.concatenate([[0], np.cumsum(groups.sizes[paired])]).astype(np.int64),
        turns=groups.turns[chosen],
        symmetries=groups.symmetries[paired],
        first=number[groups.first],
        second=number[groups.second],
        stored=None if stored is None else lambda: map(renumbered, stored()),
    )
