"""An order of signatures in which neighbours are alike. NumPy only."""

import numpy as np
from numpy.typing import NDArray

__all__ = ["binned_order", "kd_order"]

# Points from which the spread along the axes is estimated; all of them would cost most of the time.
_SAMPLE = 1024


def kd_order(values: NDArray[np.float32], size: int) -> NDArray[np.int64]:
    """Order points so that runs of `size` of them, the last one shorter, are compact boxes.

    The points are split at a multiple of `size` near their median along the axis in which they spread most, and each
    half again (the k-d tree of Bentley 1975, doi:10.1145/361002.361007). Time O(k n log n), memory O(k n).

    Parameters
    ----------
    values
        (n, k) float32.
    size
        Points in a run.

    Returns
    -------
    (n,) int64 permutation; the same for the same values.

    Examples
    --------
    >>> kd_order(np.array([[5.0], [1.0], [4.0], [0.0]], np.float32), 2).tolist()
    [1, 3, 0, 2]
    """
    order = np.arange(len(values))
    waiting = [(0, len(values))]
    while waiting:
        start, stop = waiting.pop()
        runs = -(-(stop - start) // size)
        if runs < 2:
            order[start:stop].sort()
            continue
        part = order[start:stop]
        points = values[part]
        axis = int(np.argmax(points[:: -(-len(points) // _SAMPLE)].var(axis=0, dtype=np.float64)))
        middle = runs // 2 * size
        order[start:stop] = part[np.argpartition(points[:, axis], middle)]
        waiting += [(start, start + middle), (start + middle, stop)]
    return order


def binned_order(values: NDArray[np.float32], size: int, bins: NDArray[np.int64]) -> NDArray[np.int64]:
    """Order points by bins first, ascending, and as `kd_order` within bins that are larger than a run.

    Parameters
    ----------
    values, size
        As for `kd_order`.
    bins
        (n,) int64.

    Returns
    -------
    (n,) int64 permutation; the same for the same values.

    Examples
    --------
    >>> values = np.array([[5.0], [1.0], [4.0], [0.0], [9.0]], np.float32)
    >>> binned_order(values, 2, np.array([3, 3, 3, 3, 1])).tolist()
    [4, 1, 3, 0, 2]
    """
    order = np.argsort(bins, kind="stable")
    starts = np.flatnonzero(np.diff(bins[order], prepend=bins[order][:1] - 1))
    stops = np.append(starts[1:], len(order))
    large = stops - starts > size
    for start, stop in zip(starts[large].tolist(), stops[large].tolist(), strict=True):
        part = order[start:stop]
        order[start:stop] = part[kd_order(values[part], size)]
    return order
