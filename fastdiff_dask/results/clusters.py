"""Similar pairs → clusters of images, and which one of each to keep."""

from collections.abc import Hashable, Iterable
from typing import Any, NamedTuple

__all__ = ["Cluster", "keep_order", "low_quality_of", "make_cluster"]


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
        """A contact sheet for notebooks, of the files themselves, with what to keep."""
        from ..images.display import cluster_html

        return cluster_html(self.keep, self.low_quality)


def keep_order(width: int, height: int, size: int, path: str) -> tuple[Hashable, ...]:
    """Sort key that puts the image to keep first: most pixels, then the largest file, then the path.

    Examples
    --------
    >>> min([(10, 10, 5, "b"), (10, 10, 5, "a"), (9, 9, 99, "c")], key=lambda image: keep_order(*image))
    (10, 10, 5, 'a')
    """
    return -width * height, -size, path


def make_cluster(images: Iterable[Any], two_sides: bool = False) -> Cluster:
    """Choose what to keep of connected images: rows with the path as ``Index``, side, width, height and size."""
    best, *others = sorted(images, key=lambda image: keep_order(image.width, image.height, image.size, image.Index))
    # two stores may know the same file, and what is to be kept is never named as what may go
    named = dict.fromkeys((other.Index, other.side) for other in others if other.Index != best.Index)
    sides = (best.side, *(side for _, side in named)) if two_sides else ()
    return Cluster(best.Index, [path for path, _ in named], sides)


def low_quality_of(clusters: Iterable[Cluster]) -> list[str]:
    """Every path that is not that of the best image of a cluster, sorted."""
    clusters = list(clusters)
    return sorted(
        {path for cluster in clusters for path in cluster.low_quality} - {cluster.keep for cluster in clusters}
    )
