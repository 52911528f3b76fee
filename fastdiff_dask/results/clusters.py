"""Clusters of similar images, each with the image to keep; and pairs and clusters as a notebook shows them."""

from collections.abc import Iterable
from typing import Any, NamedTuple, SupportsIndex, overload

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..images.display import GroupToShow, cluster_html, gallery_html
from ..kernels.transforms import Transform, inverse_degrees, lowest_transforms
from ..text import counted
from .groups import Groups
from .keep_order import best_first
from .values import PairValue
from .verdicts import PairVerdicts

__all__ = [
    "KEEP",
    "REMOVE",
    "SHOWN",
    "Cluster",
    "Clusters",
    "FirstPairs",
    "Gallery",
    "PairTable",
    "low_quality_of",
    "make_cluster",
    "pairs_with_first",
]

# Marks, for people; clusters and pairs that a notebook shows if nobody says how many.
KEEP, REMOVE = "keep", "could be removed"
SHOWN = 24


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
        return cluster_html(self.keep, self.low_quality)


class Clusters(list[Cluster]):
    """A list of clusters, which a notebook shows with pictures, some on a page."""

    @overload
    def __getitem__(self, place: SupportsIndex) -> Cluster: ...

    @overload
    def __getitem__(self, place: slice) -> "Clusters": ...

    def __getitem__(self, place: Any) -> Any:
        found = super().__getitem__(place)
        return Clusters(found) if isinstance(place, slice) else found

    def _repr_html_(self) -> str:
        groups = [_shown(one) for one in self[:SHOWN]]
        return gallery_html(groups, _counts(len(self), len(groups), "group"))


class Gallery:
    """Groups of a result, best known first; a notebook shows them with pictures, some on a page.

    Attributes
    ----------
    groups
        The groups, with what is known of them.
    lines
        Lines above them.
    """

    def __init__(self, groups: list[GroupToShow], lines: list[str]) -> None:
        self.groups, self.lines = groups, lines

    def __len__(self) -> int:
        return len(self.groups)

    def __repr__(self) -> str:
        return f"Gallery of {counted(len(self), 'group')}: a notebook shows the pictures"

    def _repr_html_(self) -> str:
        return gallery_html(self.groups, self.lines)


class PairTable(pd.DataFrame):
    """Similar pairs as a table, which a notebook shows with pictures, some on a page, and the rows below."""

    @property
    def _constructor(self) -> Any:
        return PairTable

    def _repr_html_(self) -> str:
        table = str(pd.DataFrame(self)._repr_html_() or "")
        if not {"a", "b", "verdict"} <= set(self.columns):
            return table
        groups = [_shown_pair(row) for row in self.head(SHOWN).to_dict("records")]
        pictures = gallery_html(groups, _counts(len(self), len(groups), "similar pair")) if groups else ""
        return f"{pictures}<details{'' if groups else ' open'}><summary>table</summary>{table}</details>"


def _counts(number: int, shown: int, noun: str) -> list[str]:
    return [counted(number, noun), *([f"the first {shown} are shown"] if shown < number else [])]


def _shown(cluster: Cluster) -> GroupToShow:
    others = [REMOVE] * len(cluster.low_quality)
    return GroupToShow([cluster.keep, *cluster.low_quality], [KEEP, *others])


def _shown_pair(row: dict[Any, Any]) -> GroupToShow:
    title = [str(row["verdict"])]
    title += [f"difference (MSE) {row['mse']:.4g}"] if "mse" in row else []
    title += [f"value {row['value']:.4g}"] if "value" in row else []
    lies = Transform.of(int(row.get("rotation", 0)), bool(row.get("mirrored"))).words
    title += [f"the second one {'' if lies.startswith('mirrored') else 'turned '}{lies}"] if lies else []
    return GroupToShow([row["a"], row["b"]], title=" · ".join(title))


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
        (k,) int8: verdicts, see `storage.derived.verdicts`.
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
    values, turned = np.full(len(others), np.nan), np.zeros(len(others), np.int64)
    is_mirrored = np.zeros(len(others), bool)
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
        values[hit], is_mirrored[hit], found = numbers[place], mirrored[place], degrees[place]  # a looks like b then
        turned[hit] = inverse_degrees(found, mirrored[place]) if is_inverse else found
    return FirstPairs(values, turned, is_mirrored, codes)
