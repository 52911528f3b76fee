"""External sort of pairs that do not fit into memory: a file for each range of names. NumPy only."""

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from .groups import PairChunk

__all__ = ["sorted_chunks"]

_ROW = np.dtype([("a", "<i8"), ("b", "<i8"), ("values", "<i8"), ("masks", "u1")])


def sorted_chunks(chunks: Callable[[], Iterator[PairChunk]], names: int, at_once: int) -> Iterator[PairChunk]:
    """Sort pairs by a and then b.

    Memory: 8 bytes a name, and 100 bytes a pair of one part; a part has `at_once` pairs, or those of a single a if they
    are more. Disk: 25 bytes a pair in a temporary folder.

    Parameters
    ----------
    chunks
        Gives all pairs, in the same parts at each call; called twice.
    names
        Number of names; a and b are below it.
    at_once
        Pairs in a part of the sorted pairs, unless a single a has more.

    Examples
    --------
    >>> some = PairChunk(np.array([2, 0]), np.array([3, 1]), np.array([7, 8]), np.array([1, 1], np.uint8))
    >>> more = PairChunk(np.array([0]), np.array([3]), np.array([9]), np.array([1], np.uint8))
    >>> [(part.a.tolist(), part.values.tolist()) for part in sorted_chunks(lambda: iter([some, more]), 4, 2)]
    [([0, 0], [8, 9]), ([2], [7])]
    """
    counts = np.zeros(names, np.int64)
    for chunk in chunks():
        counts += np.bincount(chunk.a, minlength=names)
    bucket_of = _buckets(counts, at_once)
    with tempfile.TemporaryDirectory(prefix="fastdiff_dask-") as folder:
        for chunk in chunks():
            rows = np.empty(len(chunk.a), _ROW)
            for name, values in zip(PairChunk._fields, chunk, strict=True):
                rows[name] = values
            buckets = bucket_of[chunk.a]
            order = np.argsort(buckets, kind="stable")
            breaks = np.flatnonzero(np.diff(buckets[order])) + 1
            for part in np.split(order, breaks) if len(order) else []:
                with Path(folder, str(buckets[part[0]])).open("ab") as file:
                    rows[part].tofile(file)
        for bucket in range(int(bucket_of[-1]) + 1 if names else 0):
            path = Path(folder, str(bucket))
            if not path.exists():
                continue
            rows = np.fromfile(path, _ROW)
            path.unlink()
            rows = rows[np.lexsort((rows["b"], rows["a"]))]
            yield PairChunk(*(np.ascontiguousarray(rows[name]) for name in PairChunk._fields))


def _buckets(counts: np.ndarray, at_once: int) -> np.ndarray:
    """Give for each name the number of its range: as many pairs as fit, or a single name."""
    ends = np.cumsum(counts)
    buckets, start, number = np.zeros(len(counts), np.int64), 0, 0
    while start < len(counts):
        before = int(ends[start - 1]) if start else 0
        stop = max(int(np.searchsorted(ends, before + at_once, side="right")), start + 1)
        buckets[start:stop] = number
        start, number = stop, number + 1
    return buckets
