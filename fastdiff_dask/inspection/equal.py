"""Images that are there more than once: equal files, similar images, and both across parts of the data set."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..results.result import Result

__all__ = ["Leak", "Repeats", "find_repeats"]

# Pairs across parts that are listed.
_LISTED = 10_000


class Leak(NamedTuple):
    """Two images that are equal or similar, in two parts.

    Attributes
    ----------
    a, b
        Numbers of the images.
    value
        Their difference (MSE), or other value; 0 for equal files.
    verdict
        The verdict of the pair.
    """

    a: int
    b: int
    value: float
    verdict: str


class Repeats(NamedTuple):
    """Other images like each image, by its number.

    Attributes
    ----------
    equal_files
        (n,) int32: other files with the same bytes.
    near_value, near_image
        (n,) float32 and int64: least value to a similar image of other bytes, and its number; NaN and −1 if there is
        none, or if images were not compared.
    leak_value, leak_to
        (n,) float32 and uint64: least value to an equal or similar image in another part, NaN if there is none; and the
        other parts, as bits.
    leaks
        The pairs across parts, the most similar ones first: of equal files and of equal thumbnails, those of the first
        image of each part; at most 10,000.
    leak_pairs
        Number of all of these pairs.
    """

    equal_files: NDArray[np.int32]
    near_value: NDArray[np.float32]
    near_image: NDArray[np.int64]
    leak_value: NDArray[np.float32]
    leak_to: NDArray[np.uint64]
    leaks: list[Leak]
    leak_pairs: int


def find_repeats(digests: NDArray[np.uint64], splits: NDArray[np.int8], result: Result | None) -> Repeats:
    """Find the images that are there more than once.

    Memory: 100 bytes an image, and what a `Result` takes.

    Parameters
    ----------
    digests
        (n, 4) uint64: SHA-256 of the files, by the number of the image; 0 for images that are not there, or were not
        read.
    splits
        (n,) int8: the part of each image, −1 for none.
    result
        The pairs; None if images were not compared.

    Returns
    -------
    The repeats.
    """
    n = len(splits)
    bits = np.where(splits >= 0, np.uint64(1) << splits.clip(0).astype(np.uint64), np.uint64(0))
    found = Repeats(
        np.zeros(n, np.int32),
        np.full(n, np.inf, np.float32),
        np.full(n, -1, np.int64),
        np.full(n, np.inf, np.float32),
        np.zeros(n, np.uint64),
        [],
        0,
    )
    leaks = _equal(found, digests, splits, bits)
    pairs = len(leaks)
    if result is not None:
        similar, more = _similar(found, result, splits, bits)
        leaks, pairs = leaks + similar, pairs + more
    for values in (found.near_value, found.leak_value):
        values[np.isinf(values)] = np.nan
    leaks.sort(key=lambda leak: (leak.value, leak.a, leak.b))
    return found._replace(leaks=leaks[:_LISTED], leak_pairs=pairs)


def _equal(
    found: Repeats, digests: NDArray[np.uint64], splits: NDArray[np.int8], bits: NDArray[np.uint64]
) -> list[Leak]:
    """Note equal files; gives the pairs across parts."""
    there = np.flatnonzero(digests.any(axis=1))
    if not len(there):
        return []
    order = there[np.lexsort(digests[there].T)]  # which is stable: equal ones are ascending
    differs = (digests[order[1:]] != digests[order[:-1]]).any(axis=1)
    starts = np.concatenate([[0], np.flatnonzero(differs) + 1])
    sizes = np.diff(np.append(starts, len(order)))
    found.equal_files[order] = np.repeat(sizes - 1, sizes)
    parts = np.bitwise_or.reduceat(bits[order], starts)
    others = np.repeat(parts, sizes) & ~bits[order]
    others[bits[order] == 0] = 0
    found.leak_to[order] = others
    found.leak_value[order[others > 0]] = 0
    leaks = []
    for group in np.flatnonzero(parts & (parts - np.uint64(1))):  # of two parts, or more
        images = order[starts[group] : starts[group] + sizes[group]]
        images = images[splits[images] >= 0]
        _, first = np.unique(splits[images], return_index=True)
        ends = np.sort(images[first]).tolist()
        leaks += [Leak(a, b, 0.0, "same file") for k, a in enumerate(ends) for b in ends[k + 1 :]]
    return leaks


def _similar(
    found: Repeats, result: Result, splits: NDArray[np.int8], bits: NDArray[np.uint64]
) -> tuple[list[Leak], int]:
    """Note similar images of other bytes; gives the most similar pairs across parts, and the number of all.

    Pairs of images are not made: 20,000 blank pages are 200 million. Images with equal thumbnails, a group, have the
    same similar images, and the first one of each part stands for the others.
    """
    groups, numbers = result.groups, result.verdicts.numbers
    names, starts = groups.members, groups.starts[:-1]
    of_image = np.repeat(np.arange(len(starts)), groups.sizes)
    images, contents = numbers[names], result.verdicts.contents[names]
    nearest = np.full(len(starts), np.inf), np.full(len(starts), -1, np.int64)
    firsts = _first_of_parts(of_image, splits[images], len(starts))
    least = np.full(firsts.shape, np.inf)  # value from each group to a similar one with an image of each part
    listed = _Listed(result, images, firsts)
    for first, second, stored, _ in groups.group_pairs():
        single = (groups.sizes[first] == 1) & (groups.sizes[second] == 1)
        other = (first != second) & ~(single & (contents[starts[first]] == contents[starts[second]]))
        values = result.value.numbers(stored)
        for ends, others in ((first[other], second[other]), (second[other], first[other])):
            _note_nearest(nearest, ends, values[other], starts[others])
        for ends, others, some in ((first, second, other | (first == second)), (second, first, other)):
            _note_parts(least, ends[some], firsts[others[some]] >= 0, values[some])
        listed.add(first[other], second[other], values[other])
        own = first == second
        listed.add(first[own], second[own], values[own])
    _set_nearest(found, images, contents, of_image, nearest, starts, groups.makes_own_pairs)
    _set_parts(found, images, of_image, splits, least)
    return listed.leaks(), listed.count


def _first_of_parts(of_image: NDArray[np.int64], parts: NDArray[np.int8], groups: int) -> NDArray[np.int64]:
    """Place of the first image of each part in each group, (groups, parts); −1 for none."""
    table = np.full((groups, int(parts.max(initial=-1)) + 1), -1, np.int64)
    there = np.flatnonzero(parts >= 0)[::-1]
    table[of_image[there], parts[there]] = there  # of several, the last one counts
    return table


def _note_nearest(
    nearest: tuple[NDArray[np.float64], NDArray[np.int64]],
    ends: NDArray[np.int64],
    values: NDArray[np.float64],
    others: NDArray[np.int64],
) -> None:
    order = np.lexsort((others, values, ends))
    order = order[np.flatnonzero(np.diff(ends[order], prepend=-1))]  # the nearest other one of each
    order = order[values[order] < nearest[0][ends[order]]]
    nearest[0][ends[order]], nearest[1][ends[order]] = values[order], others[order]


def _note_parts(
    least: NDArray[np.float64], ends: NDArray[np.int64], has: NDArray[np.bool_], values: NDArray[np.float64]
) -> None:
    for part in range(least.shape[1]):
        np.minimum.at(least[:, part], ends[has[:, part]], values[has[:, part]])


def _set_nearest(
    found: Repeats,
    images: NDArray[np.int64],
    contents: NDArray[np.int64],
    of_image: NDArray[np.int64],
    nearest: tuple[NDArray[np.float64], NDArray[np.int64]],
    starts: NDArray[np.int64],
    own_pairs: bool,
) -> None:
    """Set the nearest image of each: one of its group that has other bytes, else of another group."""
    value, place = nearest[0][of_image], nearest[1][of_image]
    if own_pairs:
        head = starts[of_image]
        differs = contents != contents[head]
        other = np.full(len(starts), -1, np.int64)
        late = np.flatnonzero(differs)[::-1]
        other[of_image[late]] = late  # the first image whose bytes are not those of the first one
        own = np.where(differs, head, other[of_image])
        value, place = np.where(own >= 0, 0.0, value), np.where(own >= 0, own, place)
    there = place >= 0
    found.near_value[images[there]], found.near_image[images[there]] = value[there], images[place[there]]


def _set_parts(
    found: Repeats,
    images: NDArray[np.int64],
    of_image: NDArray[np.int64],
    splits: NDArray[np.int8],
    least: NDArray[np.float64],
) -> None:
    """Set for each image that is in a part the other parts that it leaks to."""
    own = splits[images]
    for part in range(least.shape[1]):
        value = least[of_image, part]
        some = (own >= 0) & (own != part) & np.isfinite(value)
        ends = images[some]
        found.leak_value[ends] = np.minimum(found.leak_value[ends], value[some].astype(np.float32))
        found.leak_to[ends] |= np.uint64(1) << np.uint64(part)


class _Listed:
    """The most similar pairs across parts, of the first image of each part in a group.

    Parameters
    ----------
    result
        The pairs.
    images
        Numbers of the images in the order of the groups.
    firsts
        See `_first_of_parts`.
    """

    def __init__(self, result: Result, images: NDArray[np.int64], firsts: NDArray[np.int64]) -> None:
        self._result, self._images, self._firsts = result, images, firsts
        self._ends, self._values = np.zeros((0, 2), np.int64), np.zeros(0)
        self.count = 0

    def add(self, first: NDArray[np.int64], second: NDArray[np.int64], values: NDArray[np.float64]) -> None:
        """Add the pairs of some pairs of groups."""
        verdicts, names = self._result.verdicts, self._result.groups.members
        for part in range(self._firsts.shape[1]):
            for other in range(self._firsts.shape[1]):
                ends = np.stack([self._firsts[first, part], self._firsts[second, other]], axis=1)
                some = (ends >= 0).all(axis=1) & ((first != second) | (part < other)) & (part != other)
                ends, found = ends[some], values[some]
                contents = verdicts.contents[names[ends]]
                new = contents[:, 0] != contents[:, 1]  # equal files are listed already
                self.count += int(new.sum())
                self._ends = np.concatenate([self._ends, ends[new]])
                self._values = np.concatenate([self._values, found[new]])
        order = np.argsort(self._values, kind="stable")[:_LISTED]
        self._ends, self._values = self._ends[order], self._values[order]

    def leaks(self) -> list[Leak]:
        """Give the pairs with their verdicts."""
        names = self._result.groups.members[self._ends]
        verdicts = self._result.verdicts.names(names[:, 0], names[:, 1]).tolist()
        numbers = np.sort(self._images[self._ends], axis=1).tolist()
        rows = zip(numbers, self._values.tolist(), verdicts, strict=True)
        return [Leak(a, b, value, verdict) for (a, b), value, verdict in rows]
