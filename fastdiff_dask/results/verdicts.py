"""Verdicts of the pairs of a result, the pairs that decide something, and the clusters that these leave."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..storage.derived.verdicts import NOT_LOOKED_AT, SAME_FILE, SIMILAR, VERDICT_NAMES, Verdicts
from .components import Components
from .groups import Groups, PairChunk

__all__ = ["PairVerdicts", "Parting", "part_clusters", "spanning_forest"]

# After clusters were parted, each part has an image to keep of its own, whose pairs are looked at in the next round.
_ROUNDS = 4
# Pairs of images that may be kept in any of the rounds, up to which they are held from the first one on.
_HELD = 1 << 20
# Pairs that wait to be merged with a spanning forest; they take 25 bytes each.
_WAITING = 1 << 17
# Shares of the pairs of a forest, most similar first, whose components tell which other pairs may change it.
_LEVELS = (0.5, 0.9, 0.98, 1.0)


@dataclass(frozen=True)
class PairVerdicts:
    """Verdicts of pairs of images, by their rows in `Result.images`.

    Attributes
    ----------
    verdicts
        The verdicts of a store.
    numbers
        (n,) int64: numbers of the images in the store.
    contents
        (n,) int64: equal for files that are equal byte by byte.
    """

    verdicts: Verdicts
    numbers: NDArray[np.int64]
    contents: NDArray[np.int64]

    def codes(self, a: NDArray[np.int64], b: NDArray[np.int64], size: int = 0) -> NDArray[np.int8]:
        """Give the verdict of each pair, (k,) int8; see `storage.derived.verdicts`."""
        found = self.verdicts.codes(self.numbers[a], self.numbers[b], size)
        found[self.contents[a] == self.contents[b]] = SAME_FILE
        return found

    def sources(self) -> dict[int, int]:
        """Find the images that were made from others: row → row of the other, the lowest one."""
        rows = {number: row for row, number in enumerate(self.numbers.tolist())}
        found: dict[int, int] = {}
        for made, source in zip(*(numbers.tolist() for numbers in self.verdicts.sources()), strict=True):
            if made in rows and source in rows:
                found[rows[made]] = min(rows[source], found.get(rows[made], rows[source]))
        return found

    def names(self, a: NDArray[np.int64], b: NDArray[np.int64]) -> NDArray[np.object_]:
        """Give the verdict of each pair in words, (k,)."""
        return np.array(VERDICT_NAMES, object)[self.codes(a, b)]


class Parting(NamedTuple):
    """Clusters after a second look.

    Attributes
    ----------
    pairs
        The pairs that decide: those of a spanning forest, most similar first, and those with the images to keep.
    labels
        (n,) int64: for each row of `Result.images` the lowest row of its cluster.
    """

    pairs: PairChunk
    labels: NDArray[np.int64]


def pairs_to_look_at(pairs: PairChunk, verdicts: PairVerdicts, size: int) -> NDArray[np.int64]:
    """Choose the pairs that were not looked at yet, at this size.

    Parameters
    ----------
    pairs, verdicts
        Pairs that decide, and what is known of them.
    size
        Pixels of the longer side.

    Returns
    -------
    (k, 3) int64: numbers of the images a and b and the transforms of a, as `tasks.copies.look_at_pairs` needs them; the
    most similar ones first, and among those of equal value the pairs of one image one after the other.
    """
    left = pairs.at(verdicts.codes(pairs.a, pairs.b, size) == NOT_LOOKED_AT)
    left = left.at(np.lexsort((left.b, left.a, left.values)))
    return np.stack([verdicts.numbers[left.a], verdicts.numbers[left.b], left.masks.astype(np.int64)], axis=1)


def spanning_forest(groups: Groups, images: int) -> PairChunk:
    """Choose the most similar pairs that connect the same images as all pairs (a minimum spanning forest).

    Pairs come a part at a time. Those of several parts that may change the forest so far are merged with it (Borůvka
    1926, see `_spanning`). Equal values are ordered by the images, so that the forest does not depend on the
    parts.

    Memory: 60 bytes an image, and about 200 for each pair of a part.
    """
    forest, levels = PairChunk.none(), _Levels(PairChunk.none(), images)
    waiting: list[PairChunk] = []
    for chunk in groups.iter_stars():
        waiting.append(chunk.at(levels.may_change(chunk)))
        if sum(len(some.a) for some in waiting) > _WAITING:
            forest, waiting = _merged(forest.joined(*waiting), images), []
            levels = _Levels(forest, images)
    if any(len(some.a) for some in waiting):
        forest = _merged(forest.joined(*waiting), images)
    return forest


def _merged(pairs: PairChunk, images: int) -> PairChunk:
    """Choose the pairs of the spanning forest among some pairs, most similar first."""
    low, high = np.minimum(pairs.a, pairs.b), np.maximum(pairs.a, pairs.b)
    order = np.lexsort((high, low, pairs.values))
    _, first = np.unique(low[order] * images + high[order], return_index=True)
    order = order[np.sort(first)]
    return pairs.at(order[_spanning(low[order], high[order], images)])


def _spanning(a: NDArray[np.int64], b: NDArray[np.int64], nodes: int) -> NDArray[np.int64]:
    """Choose the edges of the minimum spanning forest, whose weight is their place (Borůvka, 1926).

    In each turn, each component takes the first edge that leaves it. SciPy's ``csgraph`` gives the same, and
    takes 0.2 s to import.
    """
    components, chosen, places = Components(nodes), np.zeros(len(a), bool), np.arange(len(a))
    while len(places):
        ends_a, ends_b = components.roots(a[places]), components.roots(b[places])
        leaves = ends_a != ends_b
        places, first = places[leaves], np.full(nodes, len(a))
        for ends in ends_a[leaves], ends_b[leaves]:
            first[ends[::-1]] = np.minimum(first[ends[::-1]], places[::-1])  # of several, the last one counts
        taken = first[first < len(a)]
        chosen[taken] = True
        components.add(a[taken], b[taken])
    return np.flatnonzero(chosen)


class _Levels:
    """Images that a forest connects by its most similar pairs, for some numbers of these.

    Parameters
    ----------
    forest
        A spanning forest of some of the pairs, most similar first.
    images
        Number of images.
    """

    def __init__(self, forest: PairChunk, images: int) -> None:
        components, done = Components(images), 0
        self._levels: list[tuple[int, NDArray[np.signedinteger]]] = []
        for share in _LEVELS if len(forest.a) else ():
            limit = int(forest.values[int(share * (len(forest.a) - 1))])
            end = int(np.searchsorted(forest.values, limit, side="right"))
            components.add(forest.a[done:end], forest.b[done:end])
            self._levels.append((limit, components.labels()))
            done = end

    def may_change(self, pairs: PairChunk) -> NDArray[np.int64]:
        """Places of the pairs that may be in the forest of all pairs.

        The longest edge of a circle is in no minimum spanning tree.
        """
        places = np.arange(len(pairs.a))
        for limit, labels in reversed(self._levels):
            short = pairs.values[places] <= limit
            places = places[short | (labels[pairs.a[places]] != labels[pairs.b[places]])]
        return places


def part_clusters(
    groups: Groups, forest: PairChunk, verdicts: PairVerdicts, ranks: NDArray[np.int64], extra: NDArray[np.int64]
) -> Parting:
    """Part clusters where the second look found different pictures.

    - Images of a pair of the forest stay together unless their verdict is "similar".
    - Images of a pair with an image to keep stay together if they are the same picture.

    The most similar pair between two parts is in the forest: if it is no copy, none of the others is taken for one.

    Parameters
    ----------
    groups, forest
        All similar pairs, and their `spanning_forest`.
    verdicts
        What was found so far; further pairs may come after these were looked at.
    ranks
        (n,) int64: places of the images in the order of keeping.
    extra
        (k, 2) int64: further pairs of images that stay together.

    Returns
    -------
    The pairs that decide, and the clusters.
    """
    components = Components(len(ranks))
    pairs: list[PairChunk] = []
    together = verdicts.codes(forest.a, forest.b) != SIMILAR
    components.add(forest.a[together], forest.b[together])
    components.add(extra[:, 0], extra[:, 1])
    whole = Components(len(ranks))
    whole.add(forest.a, forest.b)
    labels = np.asarray(whole.labels(), np.int64)
    known: NDArray[np.int64] = np.zeros(0, np.int64)
    # in each round, parts that were joined before stay together
    kept = _PairsOfKept(groups, np.union1d(_best(labels, ranks), _best(np.asarray(components.labels()), ranks, 1)))
    for _ in range(_ROUNDS):
        keep = np.setdiff1d(_best(labels, ranks), known)
        known = np.union1d(known, keep)
        found = list(_within(kept.of(keep), labels)) if len(keep) else []
        if not found:
            break
        pairs += found
        for chunk in found:
            codes = verdicts.codes(chunk.a, chunk.b)
            same = (codes != SIMILAR) & (codes != NOT_LOOKED_AT)
            components.add(chunk.a[same], chunk.b[same])
        labels = np.asarray(components.labels(), np.int64)
    every = forest.joined(*pairs)
    _, first = np.unique(np.minimum(every.a, every.b) * len(ranks) + np.maximum(every.a, every.b), return_index=True)
    return Parting(every.at(first), np.asarray(components.labels(), np.int64))


class _PairsOfKept:
    """The pairs of images to keep. All pairs are read once if those of all images that may be kept are few.

    Parameters
    ----------
    groups
        All similar pairs.
    may_be_kept
        Images that may be kept in any of the rounds.
    """

    def __init__(self, groups: Groups, may_be_kept: NDArray[np.int64]) -> None:
        self._groups = groups
        few = groups.most_pairs_of(may_be_kept) <= _HELD
        self._held = PairChunk.none().joined(*groups.pairs_of(may_be_kept)) if few else None

    def of(self, keep: NDArray[np.int64]) -> Iterator[PairChunk]:
        """Give the pairs of some of the images, some at a time."""
        if self._held is None:
            return self._groups.pairs_of(keep)
        return iter([self._held.at(np.isin(self._held.a, keep) | np.isin(self._held.b, keep))])


def _best(labels: NDArray[np.signedinteger], ranks: NDArray[np.int64], least: int = 2) -> NDArray[np.int64]:
    """Give the image to keep of each cluster of at least so many images."""
    order = np.lexsort((ranks, labels))
    starts = np.flatnonzero(np.diff(labels[order], prepend=-1))
    sizes = np.diff(np.append(starts, len(order)))
    return np.sort(order[starts[sizes >= least]])


def _within(chunks: Iterator[PairChunk], labels: NDArray[np.int64]) -> Iterator[PairChunk]:
    """Give the pairs within a cluster."""
    for chunk in chunks:
        inside = labels[chunk.a] == labels[chunk.b]
        if inside.any():
            yield chunk.at(inside)
