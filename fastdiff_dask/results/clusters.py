"""Clusters of similar images, each with the image to keep."""

from collections.abc import Iterable
from typing import Any, NamedTuple

from .keep_order import best_first

__all__ = ["Cluster", "low_quality_of", "make_cluster"]


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
