"""Images that are there more than once: equal files, similar images, and both across parts of the data set."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..results.groups import PairChunk
from ..results.result import Result, objects

__all__ = ["Leak", "Repeats", "find_repeats"]

# Pairs that are looked at together, and pairs across parts that are listed.
_PART = 1 << 18
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
        The pairs across parts, the most similar ones first: of equal files, those of the first image of each part; at
        most 10,000.
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
    """Note similar images of other bytes; gives the most similar pairs across parts, and the number of all."""
    numbers, contents = result.verdicts.numbers, result.verdicts.contents
    leaks: list[Leak] = []
    count = 0
    for every in result.groups.pairs(_PART):
        chunk = every.at(contents[every.a] != contents[every.b])
        a, b = numbers[chunk.a], numbers[chunk.b]
        values = result.value.numbers(chunk.values)
        for ends, others in ((a, b), (b, a)):
            order = np.lexsort((others, values, ends))
            order = order[np.flatnonzero(np.diff(ends[order], prepend=-1))]  # the nearest other one of each
            order = order[values[order] < found.near_value[ends[order]]]
            found.near_value[ends[order]], found.near_image[ends[order]] = values[order], others[order]
        across = (splits[a] >= 0) & (splits[b] >= 0) & (splits[a] != splits[b])
        for ends, others in ((a[across], b[across]), (b[across], a[across])):
            np.minimum.at(found.leak_value, ends, values[across].astype(np.float32))
            np.bitwise_or.at(found.leak_to, ends, bits[others])
        count += int(across.sum())
        leaks += _named(result, chunk.at(across))
        leaks = sorted(leaks, key=lambda leak: leak.value)[:_LISTED]
    return leaks, count


def _named(result: Result, chunk: PairChunk) -> list[Leak]:
    chunk = chunk.at(np.argsort(chunk.values, kind="stable")[:_LISTED])
    numbers = result.verdicts.numbers
    verdicts = objects(result.verdicts.names(chunk.a, chunk.b))
    values = result.value.numbers(chunk.values)
    columns = (numbers[chunk.a].tolist(), numbers[chunk.b].tolist(), values.tolist(), list(verdicts))
    return [Leak(*row) for row in zip(*columns, strict=True)]
