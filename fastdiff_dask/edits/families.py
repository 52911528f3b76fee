"""Pairs to look at among many that fit: each image with the first of its family, not all with all."""

import numpy as np
from numpy.typing import NDArray

__all__ = ["best_pairs", "pairs_by_third", "star_pairs"]


def star_pairs(a: NDArray[np.int64], b: NDArray[np.int64], ranks: NDArray[np.int64]) -> NDArray[np.int64]:
    """Choose the pairs that connect each image with the first of its family, greedily.

    The image of the lowest rank is the first one of a family of all images that are in a pair with it; these, and it,
    are taken away, and so on. Of n copies of a picture, n − 1 pairs are left of n (n − 1) / 2.

    Parameters
    ----------
    a, b
        (k,) int64: the images of each pair.
    ranks
        (n,) int64: rank of each image; no two are equal.

    Returns
    -------
    Places of the chosen pairs, ascending.

    Examples
    --------
    >>> a, b = np.array([0, 0, 1, 3]), np.array([1, 2, 2, 2])
    >>> star_pairs(a, b, np.array([1, 0, 2, 3])).tolist()
    [0, 2]
    """
    both = np.concatenate([a, b])
    order = np.argsort(both, kind="stable")
    others, pairs = np.concatenate([b, a])[order], np.tile(np.arange(len(a)), 2)[order]
    images, starts = np.unique(both[order], return_index=True)
    ends = np.append(starts[1:], len(order))
    by_rank = np.argsort(ranks[images], kind="stable")
    taken = np.zeros(int(both.max(initial=-1)) + 1, bool)
    chosen: list[NDArray[np.int64]] = [np.zeros(0, np.int64)]
    for place in by_rank.tolist():
        image, start, end = images[place], starts[place], ends[place]
        if taken[image]:
            continue
        new = ~taken[others[start:end]]
        chosen.append(pairs[start:end][new])
        taken[image] = True
        taken[others[start:end]] = True
    return np.unique(np.concatenate(chosen))


def best_pairs(
    a: NDArray[np.int64], b: NDArray[np.int64], scores: NDArray[np.floating], wanting: NDArray[np.bool_]
) -> NDArray[np.int64]:
    """Choose for each image that is wanting its pair of the best score, the first one of equal ones.

    Parameters
    ----------
    a, b
        (k,) int64: the images of each pair.
    scores
        (k,) how well they fit.
    wanting
        (n,) bool: the images that need a pair.

    Returns
    -------
    Places of the chosen pairs, ascending.

    Examples
    --------
    >>> best_pairs(np.array([0, 0]), np.array([1, 2]), np.array([0.5, 0.7]), np.array([True, False, True])).tolist()
    [1]
    """
    both, places = np.concatenate([a, b]), np.tile(np.arange(len(a)), 2)
    order = np.lexsort((places, -np.tile(scores, 2), both))
    order = order[wanting[both[order]]]
    first = np.diff(both[order], prepend=-1) != 0
    return np.unique(places[order[first]])


def pairs_by_third(
    a: NDArray[np.int64],
    b: NDArray[np.int64],
    first: NDArray[np.int64],
    second: NDArray[np.int64],
    confidence: NDArray[np.floating],
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Find for each pair an image that both are in a known pair with, the surest one.

    Parameters
    ----------
    a, b
        (k,) int64: the pairs.
    first, second
        (m,) int64: the known pairs.
    confidence
        (m,) confidence in each of them.

    Returns
    -------
    thirds
        (k,) int64: the images; −1 for none.
    confidence
        (k,) float32: the lower one of the two known pairs; 0 without them.

    Examples
    --------
    >>> known = np.array([7, 7]), np.array([1, 2]), np.array([0.5, 0.75])
    >>> [values.tolist() for values in pairs_by_third(np.array([1, 1]), np.array([2, 3]), *known)]
    [[7, -1], [0.5, 0.0]]
    """
    near: dict[int, dict[int, float]] = {}
    for one, other, sure in zip(first.tolist(), second.tolist(), confidence.tolist(), strict=True):
        near.setdefault(one, {})[other] = sure
        near.setdefault(other, {})[one] = sure
    thirds, sure_of = np.full(len(a), -1, np.int64), np.zeros(len(a), np.float32)
    for place, (one, other) in enumerate(zip(a.tolist(), b.tolist(), strict=True)):
        mine, theirs = near.get(one, {}), near.get(other, {})
        found = [(min(mine[third], theirs[third]), -third) for third in mine.keys() & theirs.keys()]
        if found:
            sure_of[place], thirds[place] = max(found)[0], -max(found)[1]
    return thirds, sure_of
