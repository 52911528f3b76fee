"""Groups of equal thumbnails, and their expansion to pairs of images. NumPy only."""

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import chain
from typing import Any, NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

from ..kernels.transforms import lower_image_first, masks_between_copies
from .components import PairSummary, PairTally

__all__ = ["GroupPairs", "Groups", "PairChunk", "count_within"]

# Pairs of groups that are used at once.
_PART = 1 << 18


class PairChunk(NamedTuple):
    """Some pairs of images.

    Attributes
    ----------
    a, b
        (k,) int64: names of the images, a < b within one side.
    values
        (k,) int64: stored values, see `values.PairValue`.
    masks
        (k,) uint8: bit t is set where transform t of image a reaches the value.
    """

    a: NDArray[np.int64]
    b: NDArray[np.int64]
    values: NDArray[np.int64]
    masks: NDArray[np.uint8]

    @classmethod
    def none(cls) -> "PairChunk":
        """Give no pair."""
        numbers = np.zeros(0, np.int64)
        return cls(numbers, numbers, numbers, np.zeros(0, np.uint8))

    def at(self, places: NDArray[np.int64] | NDArray[np.bool_]) -> "PairChunk":
        """Give the pairs at some places."""
        return PairChunk(self.a[places], self.b[places], self.values[places], self.masks[places])

    def joined(self, *others: "PairChunk") -> "PairChunk":
        """Put the pairs of others behind these."""
        every = (self, *others)
        return PairChunk(
            np.concatenate([one.a for one in every]),
            np.concatenate([one.b for one in every]),
            np.concatenate([one.values for one in every]),
            np.concatenate([one.masks for one in every]),
        )


class GroupPairs(NamedTuple):
    """Some pairs of groups of images.

    Attributes
    ----------
    first, second
        (k,) int64: numbers of the groups.
    values
        (k,) int64: stored values, see `values.PairValue`.
    masks
        (k,) uint8: transforms that map the first original to the second.
    """

    first: NDArray[np.int64]
    second: NDArray[np.int64]
    values: NDArray[np.int64]
    masks: NDArray[np.uint8]

    def at(self, places: slice) -> "GroupPairs":
        """Give the pairs at some places."""
        return GroupPairs(self.first[places], self.second[places], self.values[places], self.masks[places])


@dataclass(frozen=True)
class Groups:
    """Groups of images with equal thumbnails, and the similar pairs of groups: a short form of all similar pairs.

    Memory grows with the number of images and of pairs of groups, not of pairs of images: n equal images alone make
    n (n − 1) / 2.

    Attributes
    ----------
    members
        (k,) int64: names of the images, group by group, ascending in each.
    starts
        (g + 1,) int64: place of the first member of each group, and the end.
    turns
        (k,) int64: quarter turns of each member against the original of its group.
    symmetries
        (g,) uint8: turns that map the original to itself, as a bit mask.
    first, second
        (p,) int64: pairs of groups.
    values
        (p,) int64: stored values, see `values.PairValue`.
    masks
        (p,) uint8: transforms that map the first original to the second.
    two_sides
        True if `first` is on side a, `second` is on side b, and the members of a group make no pairs.
    own_pairs
        True if the members of a group make pairs. Ignored between two sides.
    stored
        Gives the other pairs of groups, too many for memory, the same at each call.
    """

    members: NDArray[np.int64]
    starts: NDArray[np.int64]
    turns: NDArray[np.int64]
    symmetries: NDArray[np.uint8]
    first: NDArray[np.int64]
    second: NDArray[np.int64]
    values: NDArray[np.int64]
    masks: NDArray[np.uint8]
    two_sides: bool
    own_pairs: bool = True
    stored: Callable[[], Iterator[GroupPairs]] | None = None

    @property
    def makes_own_pairs(self) -> bool:
        """True if the members of a group make pairs."""
        return self.own_pairs and not self.two_sides

    @cached_property
    def sizes(self) -> NDArray[np.int64]:
        """(g,) int64: number of members of each group."""
        return np.diff(self.starts)

    @cached_property
    def _held(self) -> GroupPairs:
        """The pairs of groups in memory, also of each group with itself."""
        if not self.makes_own_pairs:
            return GroupPairs(self.first, self.second, self.values, self.masks)
        own = np.flatnonzero(self.sizes > 1)
        return GroupPairs(
            np.concatenate([own, self.first]),
            np.concatenate([own, self.second]),
            np.concatenate([np.zeros(len(own), np.int64), self.values]),
            np.concatenate([self.symmetries[own], self.masks]),
        )

    def _chunks(self) -> Iterator[GroupPairs]:
        """All pairs of groups, some at a time; the first one that reads them all counts them on the way."""
        tally = None if "_summary" in self.__dict__ else PairTally(self.sizes, self.makes_own_pairs)
        held = self._held
        starts = range(0, max(len(held.first), 1), _PART)
        parts = (held.at(slice(start, start + _PART)) for start in starts)
        for chunk in chain(parts, () if self.stored is None else self.stored()):
            if tally is not None:
                tally.add(chunk.first, chunk.second)
            yield chunk
        if tally is not None:
            self.__dict__["_summary"] = tally.summary()

    def _all(self) -> GroupPairs:
        """All pairs of groups at once."""
        if self.stored is None:
            return self._held
        return GroupPairs(*(np.concatenate(parts) for parts in zip(*self._chunks(), strict=True)))

    @cached_property
    def _summary(self) -> PairSummary:
        """Counts of the pairs and their components, see `_chunks`."""
        deque(self._chunks(), maxlen=0)
        return cast(PairSummary, self.__dict__["_summary"])

    @property
    def is_paired(self) -> NDArray[np.bool_]:
        """(g,) bool: True for a group that is in a pair of groups, also with itself."""
        return self._summary.labels >= 0

    def group_pairs(self) -> Iterator[GroupPairs]:
        """Give all pairs of groups, some at a time; a group whose members make pairs is paired with itself, value 0."""
        return self._chunks()

    def count(self) -> int:
        """Count the similar pairs of images."""
        return self._summary.pairs

    def connected(self) -> list[NDArray[np.int64]]:
        """List the components of images that pairs connect: names ascending, components by their first name."""
        labels = np.repeat(self._summary.labels, self.sizes)
        members, labels = self.members[labels >= 0], labels[labels >= 0]
        order = np.lexsort((members, labels))
        breaks = np.flatnonzero(np.diff(labels[order])) + 1
        parts = np.split(members[order], breaks) if len(order) else []
        return sorted(parts, key=lambda part: part[0])

    def among(self, names: NDArray[np.int64]) -> "Groups":
        """Hold in memory only the pairs between the groups of some images, unless all pairs are held."""
        if self.stored is None:
            return self
        wanted = np.zeros(len(self.sizes), bool)
        wanted[np.searchsorted(self.starts, np.flatnonzero(np.isin(self.members, names)), side="right") - 1] = True
        held = GroupPairs(self.first, self.second, self.values, self.masks)
        parts: list[list[NDArray[Any]]] = [
            [values[wanted[chunk.first] & wanted[chunk.second]] for values in chunk]
            for chunk in chain([held], self.stored())
        ]
        first, second, values, masks = (np.concatenate(some) for some in zip(*parts, strict=True))
        return replace(self, first=first, second=second, values=values, masks=masks, stored=None)

    def _pairs(
        self, chunk: GroupPairs, pair: NDArray[np.int64], x: NDArray[np.int64], y: NDArray[np.int64]
    ) -> PairChunk:
        """Make the pairs of members at places x and y, given their pairs of groups."""
        a, b = self.members[x], self.members[y]
        masks = masks_between_copies(chunk.masks[pair], self.turns[x], self.turns[y])
        if not self.two_sides:
            a, b, masks = lower_image_first(a, b, masks)
        return PairChunk(a, b, chunk.values[pair], masks)

    def pairs(self, at_once: int) -> Iterator[PairChunk]:
        """Give all pairs of images, at most `at_once` at a time, in no particular order."""
        for chunk in self._chunks():
            first, second, _, _ = chunk
            widths = self.sizes[second]
            ends = np.cumsum(self.sizes[first] * widths)
            begins = np.concatenate([[0], ends])
            for start in range(0, int(ends[-1]) if len(ends) else 0, at_once):
                place = np.arange(start, min(start + at_once, int(ends[-1])))
                pair = np.searchsorted(ends, place, side="right")
                row, column = np.divmod(place - begins[pair], widths[pair])
                wanted = (first[pair] != second[pair]) | (row < column)
                pair, row, column = pair[wanted], row[wanted], column[wanted]
                yield self._pairs(chunk, pair, self.starts[first[pair]] + row, self.starts[second[pair]] + column)

    def exactly(self, a: NDArray[np.int64], b: NDArray[np.int64]) -> PairChunk:
        """Give the pairs of these images, (k,) names each; images that are not similar have none.

        Time grows with the pairs of groups, and memory with a part of them: pairs of images are not made.
        """
        order = np.argsort(self.members)
        ends = [order[np.searchsorted(self.members[order], names).clip(max=len(order) - 1)] for names in (a, b)]
        there = np.logical_and(*(self.members[end] == names for end, names in zip(ends, (a, b), strict=True)))
        x, y = (end[there] for end in ends)
        group_x, group_y = (np.searchsorted(self.starts, end, side="right") - 1 for end in (x, y))
        found, groups = PairChunk.none(), len(self.sizes)
        for chunk in self._chunks():
            keys = chunk.first * groups + chunk.second
            sort = np.argsort(keys)
            for mine, theirs, p, q in ((group_x, group_y, x, y), (group_y, group_x, y, x)):
                wanted = mine * groups + theirs
                at = np.searchsorted(keys[sort], wanted)
                hit = at < len(sort)
                hit[hit] = keys[sort[at[hit]]] == wanted[hit]
                if mine is group_y:  # a group with itself comes once
                    hit &= mine != theirs
                found = found.joined(self._pairs(chunk, sort[at[hit]], p[hit], q[hit]))
        return found

    def pairs_of(self, names: NDArray[np.int64]) -> Iterator[PairChunk]:
        """Give all pairs of some images with any others, some at a time, in no particular order.

        Memory and time grow with these pairs; a pair of two of the images may come twice.
        """
        places = np.flatnonzero(np.isin(self.members, names))
        of = np.searchsorted(self.starts, places, side="right") - 1
        counts = np.bincount(of, minlength=len(self.sizes))
        begins = np.cumsum(counts) - counts
        for chunk in self._chunks():
            for mine, theirs in ((chunk.first, chunk.second), (chunk.second, chunk.first)):
                wanted = np.flatnonzero(counts[mine])
                if mine is chunk.second:  # a group with itself comes once
                    wanted = wanted[mine[wanted] != theirs[wanted]]
                pair = np.repeat(wanted, counts[mine[wanted]] * self.sizes[theirs[wanted]])
                row, column = np.divmod(
                    count_within(counts[mine[wanted]] * self.sizes[theirs[wanted]]), self.sizes[theirs[pair]]
                )
                x, y = places[begins[mine[pair]] + row], self.starts[theirs[pair]] + column
                pair, x, y = pair[x != y], x[x != y], y[x != y]
                if len(pair):
                    yield self._pairs(chunk, pair, *((x, y) if mine is chunk.first else (y, x)))

    def most_pairs_of(self, names: NDArray[np.int64]) -> int:
        """Count at least the pairs that `pairs_of` gives."""
        of = np.searchsorted(self.starts, np.flatnonzero(np.isin(self.members, names)), side="right") - 1
        return int(self._summary.degrees[of].sum())

    def star_count(self) -> int:
        """Count the pairs of `stars`; between two sides, or a few more."""
        return self._summary.stars + (0 if self.makes_own_pairs else len(self.members))

    def stars(self) -> PairChunk:
        """Give few pairs that connect the same images as all pairs.

        - The first image of a group is paired with the other members, and with the first image of similar groups.
        - Where the members of a group make no pairs, they are paired with the first image of the most similar group.
        """
        return PairChunk(*(np.concatenate(parts) for parts in zip(*self.iter_stars(), strict=True)))

    def iter_stars(self) -> Iterator[PairChunk]:
        """Give the pairs of `stars` some at a time."""
        sizes = self.sizes
        nearest: list[list[NDArray[Any]]] = [[], []]
        for chunk in self._chunks():
            first, second, _, _ = chunk
            pairs = np.arange(len(first))
            if self.makes_own_pairs:
                own = first == second
                others = np.repeat(pairs[own], sizes[first[own]] - 1)
                x = self.starts[first[np.concatenate([others, pairs[~own]])]]
                y = self.starts[first[others]] + count_within(sizes[first[own]] - 1) + 1
                y = np.concatenate([y, self.starts[second[~own]]])
                yield self._pairs(chunk, np.concatenate([others, pairs[~own]]), x, y)
                continue
            yield self._pairs(chunk, pairs, self.starts[first], self.starts[second])
            nearest = [self._nearest(chunk, end, before) for end, before in enumerate(nearest)]
        for end, found in enumerate(filter(None, nearest)):
            chunk = GroupPairs(*found)
            others = sizes[chunk[end]] - 1
            pair = np.repeat(np.arange(len(others)), others)
            x, y = (self.starts[groups[pair]] for groups in (chunk.first, chunk.second))
            (y if end else x)[:] += count_within(others) + 1
            yield self._pairs(chunk, pair, x, y)

    def _nearest(self, chunk: GroupPairs, end: int, before: list[NDArray[Any]]) -> list[NDArray[Any]]:
        """Choose the most similar group for each group at one end of the pairs, if it has several members."""
        several = self.sizes[chunk[end]] > 1
        found: list[NDArray[Any]] = [values[several] for values in chunk]
        if before:
            found = [np.concatenate(both) for both in zip(before, found, strict=True)]
        order = np.lexsort((found[1 - end], found[2]))
        _, places = np.unique(found[end][order], return_index=True)
        return [values[order[places]] for values in found]

    def between(self, a: int, others: NDArray[np.int64]) -> PairChunk:
        """Give the pairs of one image with some others; images that are not similar to it have none."""
        everything = self._all()
        first, second, _, _ = everything
        places = np.flatnonzero(np.isin(self.members, others))
        groups = np.searchsorted(self.starts, places, side="right") - 1
        found = [self._pairs(everything, np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0, np.int64))]
        for place in np.flatnonzero(self.members == a).tolist():
            group = int(np.searchsorted(self.starts, place, side="right")) - 1
            for mine, theirs in ((first, second), (second, first)):
                partners = np.flatnonzero(mine == group)
                order = partners[np.argsort(theirs[partners], kind="stable")]
                at = np.searchsorted(theirs[order], groups)
                hit = at < len(order)
                hit[hit] = theirs[order[at[hit]]] == groups[hit]
                hit &= places != place
                x, y = np.full(int(hit.sum()), place), places[hit]
                found.append(self._pairs(everything, order[at[hit]], *((x, y) if mine is first else (y, x))))
                if not self.two_sides and mine is first:
                    places, groups = places[~hit], groups[~hit]  # else a group with itself is found twice
        return PairChunk(*(np.concatenate(parts) for parts in zip(*found, strict=True)))


def count_within(sizes: NDArray[np.int64]) -> NDArray[np.int64]:
    """Count 0, 1, ... below each size, one size after the other: (sum of sizes,)."""
    return np.arange(int(sizes.sum())) - np.repeat(np.cumsum(sizes) - sizes, sizes)
