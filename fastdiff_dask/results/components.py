"""Connected components of a graph. Its edges come a part at a time, so that memory grows with the nodes alone."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..kernels.grid import pairs_within

__all__ = ["Components", "PairSummary", "PairTally"]


class Components:
    """Union-find over nodes 0 to n − 1 (Tarjan, *J. ACM* 22, 1975), by whole arrays of edges.

    Each part of the edges is contracted, in turns: its ends become their roots, edges whose roots are equal are
    dropped, and each root that an edge connects with lower ones then leads to the lowest of them. Once a collection is
    mostly connected, nearly no edge of a part is left. SciPy's ``csgraph`` takes as long, and 0.2 s to import.

    Memory: 4 bytes a node (8 beyond 2³¹), and about 100 an edge of the part in work.

    Parameters
    ----------
    nodes
        Number of nodes.

    Examples
    --------
    >>> components = Components(5)
    >>> components.add(np.array([0, 3]), np.array([4, 1]))
    >>> components.add(np.array([4]), np.array([3]))
    >>> components.labels()
    array([0, 0, 2, 0, 0], dtype=int32)
    """

    def __init__(self, nodes: int) -> None:
        # leads from each node to its root, the lowest node of the component so far
        self._parent: NDArray[np.signedinteger] = np.arange(nodes, dtype=np.int32 if nodes < 1 << 31 else np.int64)

    def add(self, a: NDArray[np.int64], b: NDArray[np.int64]) -> None:
        """Connect nodes: (k,) integers each."""
        a, b = self.roots(a), self.roots(b)
        while (apart := a != b).any():
            low, high = np.minimum(a, b)[apart], np.maximum(a, b)[apart]
            np.minimum.at(self._parent, high, low)
            # a chain of roots is half as long after each turn
            while not np.array_equal(above := self._parent[self._parent[high]], self._parent[high]):
                self._parent[high] = above
            a, b = self.roots(low), self.roots(high)

    def roots(self, nodes: NDArray[np.int64]) -> NDArray[np.signedinteger]:
        """Find the roots of some nodes, and let the nodes point at them (path compression)."""
        roots = self._parent[nodes]
        moving = np.flatnonzero(self._parent[roots] != roots)
        while len(moving):
            roots[moving] = self._parent[roots[moving]]
            moving = moving[self._parent[roots[moving]] != roots[moving]]
        self._parent[nodes] = roots
        return roots

    def labels(self) -> NDArray[np.signedinteger]:
        """Give for each node the lowest node of its component."""
        while True:
            above = self._parent[self._parent]
            if np.array_equal(above, self._parent):
                return above
            self._parent = above


class PairSummary(NamedTuple):
    """Figures of all pairs of groups.

    Attributes
    ----------
    pairs
        Number of similar pairs of images.
    labels
        (g,) integers: for each group the lowest group of its component; −1 for a group without a pair.
    stars
        Number of pairs that are left if all groups but those paired with themselves are taken for single images.
    degrees
        (g,) int64: number of images that an image of each group is similar to, also itself.
    """

    pairs: int
    labels: NDArray[np.signedinteger]
    stars: int
    degrees: NDArray[np.int64]


class PairTally:
    """A count of pairs of groups that come a part at a time.

    Parameters
    ----------
    sizes
        (g,) int64: number of images of each group.
    own_pairs
        True if the images of a group make pairs.
    """

    def __init__(self, sizes: NDArray[np.int64], own_pairs: bool) -> None:
        self._sizes, self._own_pairs = sizes, own_pairs
        self._pairs = self._stars = 0
        self._components = Components(len(sizes))
        self._degrees = np.zeros(len(sizes), np.int64)

    def add(self, first: NDArray[np.int64], second: NDArray[np.int64]) -> None:
        """Count pairs of groups: (k,) integers each."""
        if not len(first):
            return
        a, b, own = self._sizes[first], self._sizes[second], first == second
        pairs = np.where(own, pairs_within(a), a * b)
        # in two halves, which do not overflow for 10 million equal images
        self._pairs += (int((pairs >> 32).sum()) << 32) + int((pairs & 0xFFFFFFFF).sum())
        self._stars += int(np.where(own & self._own_pairs, a - 1, 1).sum())
        self._components.add(first, second)
        np.add.at(self._degrees, first, b)
        np.add.at(self._degrees, second, np.where(own, 0, a))

    def summary(self) -> PairSummary:
        """Give the figures of all pairs so far."""
        labels = np.where(self._degrees > 0, self._components.labels(), -1)
        return PairSummary(self._pairs, labels, self._stars, self._degrees)
