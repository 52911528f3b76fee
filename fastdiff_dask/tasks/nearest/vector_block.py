"""The nearest vectors of those of a block of images."""

from collections.abc import Iterator
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ...errors import FastDiffError
from ...kernels.device import Device
from ...kernels.grid import SUB_BLOCK, split
from ...runtime.blas import SINGLE_THREADED_BLAS
from ...storage.derived.neighbour_files import NeighbourFiles
from ...storage.derived.vectors import vector_rows
from ...vectors.nearest import nearest_rows
from ...vectors.search import VectorSide
from ..vector_signatures import read_projection

__all__ = ["nearest_vectors", "neighbours_of", "read_vectors"]


class _Held(NamedTuple):
    """Numbers and vectors of some images, and bytes that they may take."""

    numbers: NDArray[np.int64]
    vectors: Any
    nbytes: int


def nearest_vectors(files: NeighbourFiles, places: range, held: Device, run: str) -> NDArray[np.int64]:
    """Find the neighbours of the images at some places of the order of side a, by their vectors.

    Memory: what is held, but at least the vectors of 16,384 images as they are stored and in float32.

    Parameters
    ----------
    files, places
        The question, and the places.
    held
        Holds vectors from call to call.
    run
        Key of what is held.

    Returns
    -------
    (n, k, 3) int64: number, bits of the distance (float64), 1; −1, 0 and 0 where there are fewer than k.
    """
    settings, store = files.settings, files.store
    numbers = files.read_order("a")[places.start : places.stop]
    projection = None if settings.metric == "hamming" else read_projection(store, settings.vectors, settings.metric)
    with SINGLE_THREADED_BLAS:
        found, values = nearest_rows(
            settings.metric,
            read_vectors(files, numbers),
            _sides(files, places, held, run),
            settings.k,
            projection,
            numbers,
        )
    return neighbours_of(found, values)


def neighbours_of(found: NDArray[np.int64], values: NDArray[np.float64]) -> NDArray[np.int64]:
    """Give neighbours, numbers and distances (n, k) each, as they are stored: (n, k, 3) int64."""
    there = found >= 0
    # −0.0 and 0.0 are one value, and have one pattern of bits after this
    bits = np.where(there, values + 0.0, 0.0).view(np.int64)
    return np.stack([found, bits, there.astype(np.int64)], axis=2)


def _sides(files: NeighbourFiles, places: range, held: Device, run: str) -> Iterator[tuple[Any, Any]]:
    """Give the others, some at a time: those first that are nearest to the places in the order."""
    order = files.read_order(files.other_side)
    parts = list(files.signature_parts(len(order)))
    share = places.start / max(len(files.read_order("a")), 1)
    for part in sorted(parts, key=lambda part: abs((part.start + part.stop) / 2 / len(order) - share)):
        name = (files.store.url, files.digest, files.settings, run, part)
        one = held.cached(name, partial(_side, files, order[part.start : part.stop], part))
        yield one.numbers, one.vectors


def _side(files: NeighbourFiles, numbers: NDArray[np.int64], part: range) -> _Held:
    rows = read_vectors(files, numbers)
    if files.settings.metric == "hamming":
        return _Held(numbers, rows, rows.nbytes)
    signatures = files.read_signatures(files.other_side, part)
    side = VectorSide(signatures, split(range(len(numbers)), SUB_BLOCK), lambda: rows)
    return _Held(numbers, side, signatures.nbytes * 2 + rows.nbytes + 4 * rows.size)


def read_vectors(files: NeighbourFiles, numbers: NDArray[np.int64]) -> NDArray[Any]:
    """Read the vectors of some images, as they are stored."""
    rows, there = vector_rows(files.store, files.settings.vectors, numbers)
    if not there.all():
        raise FastDiffError(f"vectors {files.settings.vectors!r} were removed meanwhile; run it again")
    return rows
