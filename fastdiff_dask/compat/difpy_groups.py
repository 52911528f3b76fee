"""Groups by difPy's rules: the first image that each one is similar to, and the images that may go of a group."""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..results.result import Result

__all__ = ["CHANNELS", "Match", "choose_removals", "find_matches"]

# difPy's MSE is the mean over these too.
CHANNELS = 3


class Match(NamedTuple):
    """An image, and the first one by path that it is similar to, by their rows in `Result.images`.

    Attributes
    ----------
    image, first
        Rows, ``first < image``.
    mse
        Mean over pixels and channels.
    """

    image: int
    first: int
    mse: float


def find_matches(result: Result, similarity: float) -> list[Match]:
    """Match each image with the first one before it, by path, that it is similar to.

    Takes one pass over the pairs of different thumbnails. Images with equal thumbnails have the same partners, so that
    the first one of each group decides for all of them; memory grows with the images in pairs.

    Parameters
    ----------
    result
        Of a comparison with a threshold of at least three times `similarity`.
    similarity
        Largest MSE of a match.

    Returns
    -------
    The matches, sorted by path.
    """
    groups, values = result.groups, CHANNELS * (result.pixels or 1)
    lowest = groups.members[groups.starts[:-1]]
    none = np.iinfo(np.int64).max
    first, sse = np.full(len(lowest), none), np.zeros(len(lowest), np.int64)
    for a, b, value, _ in groups.group_pairs():
        near = value / values <= similarity
        ends, others = np.concatenate([a[near], b[near]]), lowest[np.concatenate([b[near], a[near]])]
        both = np.concatenate([value[near], value[near]])
        order = np.lexsort((others, ends))
        ends, places = np.unique(ends[order], return_index=True)
        others, both = others[order][places], both[order][places]
        nearer = others < first[ends]
        first[ends[nearer]], sse[ends[nearer]] = others[nearer], both[nearer]
    of_group = np.repeat(np.arange(len(lowest)), np.diff(groups.starts))
    matched = np.flatnonzero(groups.members > first[of_group])
    rows: NDArray[np.int64] = groups.members[matched]
    order = np.lexsort((rows, first[of_group[matched]]))
    rows, of_group = rows[order], of_group[matched][order]
    return [
        Match(*match)
        for match in zip(rows.tolist(), first[of_group].tolist(), (sse[of_group] / values).tolist(), strict=True)
    ]


def choose_removals(groups: Iterable[Iterable[str]], quality: dict[str, int]) -> dict[str, str]:
    """Choose the images that may go, each with the better one of its group that is kept: path → path.

    As in difPy, an image goes if its group has a better one, by the sum of width and height, and among equal ones by
    the path that sorts last. Unlike there, the better one is never one that goes itself, as an image may be in two
    groups; and of each group at least one image stays.

    Parameters
    ----------
    groups
        Paths of each group; a path may be in several.
    quality
        Width plus height by path.

    Returns
    -------
    Path of each image that may go → path of the image that is kept for it.

    Examples
    --------
    Of the chain a, b, c difPy takes a for b, and b for c, which is not similar to a: a would be lost.

    >>> choose_removals([["a", "b"], ["b", "c"]], {"a": 1, "b": 2, "c": 3})
    {'b': 'c'}
    """
    several = [list(dict.fromkeys(group)) for group in groups]
    of: dict[str, list[int]] = {}
    for number, group in enumerate(several):
        for path in group:
            of.setdefault(path, []).append(number)
    left = [len(group) for group in several]
    kept: dict[int, str] = {}  # the best image that stays, by group
    removals: dict[str, str] = {}
    for path in sorted(of, key=lambda path: (quality[path], path), reverse=True):
        better = next((kept[number] for number in of[path] if number in kept), None)
        if better is not None and all(left[number] > 1 for number in of[path]):
            removals[path] = better
            for number in of[path]:
                left[number] -= 1
        else:
            for number in of[path]:
                kept.setdefault(number, path)
    return removals
