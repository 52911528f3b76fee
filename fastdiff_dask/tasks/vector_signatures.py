"""Signatures of the vectors of a store, along directions that are found once."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..config import CompareSettings
from ..errors import FastDiffError
from ..runtime.blas import SINGLE_THREADED_BLAS
from ..storage.derived.directions import StoredDirections, read_directions, write_directions
from ..storage.derived.vectors import Vectors, vector_rows
from ..storage.store import Store
from ..vectors.directions import Projection, find_directions, sample_places
from ..vectors.metrics import usable

__all__ = ["make_projection", "read_projection", "usable_images", "vector_signatures"]

# Bytes of the vectors that are read at once, at least, and bytes for each image: in the order of a plan, each block is
# opened for each such part.
_READ_BYTES, _READ_SHARE = 1 << 27, 64


def read_projection(store: Store, name: str, metric: str) -> Projection:
    """Read the projection of some vectors.

    Raises
    ------
    FastDiffError
        If there is none.
    """
    found = read_directions(store, name, metric)
    if found is None:
        raise FastDiffError(f"the directions of the vectors {name!r} were removed meanwhile; run it again")
    return Projection(metric, found.mean, found.exponent, found.directions)


def make_projection(store: Store, name: str, metric: str, images: NDArray[np.int64]) -> Projection:
    """Read the projection of some vectors, or find it by a sample of some images and store it.

    All generations have the same: signatures along other directions would have nothing in common.

    Parameters
    ----------
    store
        The store, locked for writing.
    name, metric
        The vectors, and how they are compared.
    images
        (n,) images that have vectors.

    Returns
    -------
    The projection.
    """
    if read_directions(store, name, metric) is None:
        sample, there = vector_rows(store, name, images[sample_places(len(images))])
        with SINGLE_THREADED_BLAS:
            found = find_directions(metric, sample[there])
        stored = StoredDirections(found.mean, found.exponent, found.directions)
        write_directions(store, name, metric, stored)
    return read_projection(store, name, metric)


def _batches(store: Store, name: str, images: NDArray[np.int64]) -> Iterator[NDArray[np.int64]]:
    kind = Vectors(store, name).kind()
    row_bytes = 1 if kind is None else kind.bytes
    size = max(1, max(_READ_BYTES, _READ_SHARE * len(images)) // row_bytes)
    for start in range(0, len(images), size):
        yield images[start : start + size]


def usable_images(store: Store, settings: CompareSettings, images: NDArray[np.int64]) -> NDArray[np.int64]:
    """Drop images whose vectors have no distances: of those that are there, zero vectors under "cosine"."""
    if settings.measure != "cosine":
        return images
    kept = [np.zeros(0, np.int64)]
    for numbers in _batches(store, settings.vectors, images):
        rows, there = vector_rows(store, settings.vectors, numbers)
        kept.append(numbers[there & usable(settings.measure, rows)])
    return np.concatenate(kept)


def vector_signatures(
    store: Store, settings: CompareSettings, projection: Projection, images: NDArray[np.int64]
) -> Iterator[NDArray[Any]]:
    """Compute the signatures of some images, in their order, some at a time: (n, k) float32 each."""
    for numbers in _batches(store, settings.vectors, images):
        rows, _ = vector_rows(store, settings.vectors, numbers)
        with SINGLE_THREADED_BLAS:
            yield projection.apply(rows)
