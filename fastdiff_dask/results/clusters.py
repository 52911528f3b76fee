"""Clusters of similar images, each with the image to keep, and its pairs with that image."""

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..kernels.transforms import Transform, lowest_transforms
from .groups import Groups
from .keep_order import best_first
from .values import PairValue
from .verdicts import PairVerdicts

__all__ = ["Cluster", "FirstPairs", "low_quality_of", "make_cluster", "pairs_with_first"]

_INVERSE = np.array([one.inverse for one in Transform], np.int64)


class Cluster(NamedTuple):
    """Images that are connected by similar pairs.

    Attributes
    ----------
    keep
        Path of the best one.
    low_quality
        Paths of the others, best first. A chain of similar pairs connects each to `keep`; it need not be similar to it
        directly.
    sides
        The side, "a" or "b", of `keep` and of each of `low_quality`; empty if there is one side only. Stores of two
        machines may have the same path on both.
    """

    keep: str
    low_quality: list[str]
    sides: tuple[str, ...] = ()

    def _repr_html_(self) -> str:
        """Draw a contact sheet of the files for a notebook; the image to keep comes first."""
        from ..images.display import cluster_html

        return cluster_html(self.keep, self.low_quality)


def make_cluster(images: Iterable[Any], two_sides: bool = False) -> Cluster:
    """Make a cluster of connected images, rows as for `best_first`; the first of them is the one to keep."""
    best, *others = best_first(images)
    # two stores may know the same file, which must not be named as one that may go
    named = dict.fromkeys((other.Index, other.side) for other in others if other.Index != best.Index)
    sides = (best.side, *(side for _, side in named)) if two_sides else ()
    return Cluster(best.Index, [path for path, _ in named], sides)


def low_quality_of(clusters: Iterable[Cluster]) -> list[str]:
    """List the paths of all images but the best of each cluster, sorted."""
    clusters = list(clusters)
    return sorted(
        {path for cluster in clusters for path in cluster.low_quality} - {cluster.keep for cluster in clusters}
    )


class FirstPairs(NamedTuple):
    """Images against the first ones of their clusters.

    Attributes
    ----------
    values
        (k,) float64: MSE or value of another measure; NaN where the two are similar by a chain of others only.
    degrees, mirrored
        (k,) int64 and bool: the transform of the other image, after which it looks like the first one.
    codes
        (k,) int8: verdicts, see `storage.verdicts`.
    """

    values: NDArray[np.float64]
    degrees: NDArray[np.int64]
    mirrored: NDArray[np.bool_]
    codes: NDArray[np.int8]

    def at(self, places: NDArray[np.int64]) -> "FirstPairs":
        """Give the pairs at some places."""
        return FirstPairs(self.values[places], self.degrees[places], self.mirrored[places], self.codes[places])

    def spread(self, wanted: NDArray[np.bool_]) -> "FirstPairs":
        """Put the pairs where an array is true; elsewhere there is none, with the verdict 0."""
        size = len(wanted)
        pairs = FirstPairs(
            np.full(size, np.nan), np.zeros(size, np.int64), np.zeros(size, bool), np.zeros(size, np.int8)
        )
        pairs.values[wanted], pairs.degrees[wanted] = self.values, self.degrees
        pairs.mirrored[wanted], pairs.codes[wanted] = self.mirrored, self.codes
        return pairs


def pairs_with_first(
    groups: Groups, verdicts: PairVerdicts, value: PairValue, first: NDArray[np.int64], others: NDArray[np.int64]
) -> FirstPairs:
    """Find the pairs of images with the first ones of their clusters.

    Parameters
    ----------
    groups, verdicts, value
        Those of a result.
    first, others
        (k,) rows of `Result.images` each.

    Returns
    -------
    The pairs, in the same order.
    """
    values, turns = np.full(len(others), np.nan), np.zeros(len(others), np.int64)
    codes = verdicts.codes(first, others)
    chunk, size = groups.exactly(first, others), len(verdicts.numbers)
    keys, asked = chunk.a * size + chunk.b, [first * size + others, others * size + first]
    order = np.argsort(keys)
    numbers, (degrees, mirrored) = value.numbers(chunk.values), lowest_transforms(chunk.masks)
    for is_inverse, wanted in zip((True, False), asked, strict=True):
        at = np.searchsorted(keys[order], wanted)
        hit = np.flatnonzero(at < len(order))
        hit = hit[keys[order[at[hit]]] == wanted[hit]]
        place = order[at[hit]]
        found = degrees[place] // 90 + 4 * mirrored[place]  # turns a so that it looks like b
        values[hit], turns[hit] = numbers[place], _INVERSE[found] if is_inverse else found
    return FirstPairs(values, turns % 4 * 90, turns >= 4, codes)
