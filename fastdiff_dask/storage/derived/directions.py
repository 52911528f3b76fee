"""Directions of vectors in a store: made once for a name and metric, so that signatures of all generations fit.

::

    vectors/<name>/directions-<metric>   (row, value) float64: the mean, the exponent of the scale with zeros, and then
                                         the directions
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..schema import ARRAYS, FLAT_KEYS, VECTORS
from ..store import Store

__all__ = ["StoredDirections", "read_directions", "write_directions"]

_MOST_ROWS, _LARGEST_EXPONENT = 1 << 12, 2100


class StoredDirections(NamedTuple):
    """Directions as they are stored.

    Attributes
    ----------
    mean
        (d,) float64.
    exponent
        Exponent of the scale.
    directions
        (k, d) float64.
    """

    mean: NDArray[np.float64]
    exponent: int
    directions: NDArray[np.float64]


def _array(name: str, metric: str) -> str:
    return f"{VECTORS}/{name}/directions-{metric}"


def read_directions(store: Store, name: str, metric: str) -> StoredDirections | None:
    """Read the directions of some vectors; None if there are none yet.

    Raises
    ------
    FastDiffError
        If they cannot be read, or are no directions.
    """
    array = _array(name, metric)
    path = f"{ARRAYS}/{array}"
    if not {"zarr.json", "c.0.0"} <= set(store.files.names(path)):
        return None  # a process may have ended before the numbers were written
    described = store.arrays.described(array, "float64")
    values = store.arrays.read_chunk(array, described, 0, 0)
    with store.files.reading(path):
        if values.ndim != 2 or not 2 < len(values) <= _MOST_ROWS or not np.isfinite(values).all():
            raise ValueError(f"its rows are {values.dtype} of shape {values.shape}, no directions")
        exponent = float(values[1, 0])
        if exponent != int(exponent) or abs(exponent) > _LARGEST_EXPONENT:
            raise ValueError(f"its scale is 2 to the power of {exponent}")
    return StoredDirections(values[0], int(exponent), np.ascontiguousarray(values[2:]))


def write_directions(store: Store, name: str, metric: str, values: StoredDirections) -> None:
    """Store the directions of some vectors."""
    import zarr

    store.files.check_run()
    rows = np.zeros((2 + len(values.directions), len(values.mean)))
    rows[0], rows[1, 0], rows[2:] = values.mean, values.exponent, values.directions
    array = zarr.create_array(
        store.arrays.zarr(_array(name, metric)),
        zarr_format=3,
        shape=rows.shape,
        chunks=rows.shape,
        dtype="float64",
        compressors=None,
        chunk_key_encoding=FLAT_KEYS,
        dimension_names=("row", "value"),
        config={"write_empty_chunks": True},
        overwrite=True,
    )
    array[:] = rows
