"""Pairs of a tile whose vectors are similar."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..config import CompareSettings
from ..errors import FastDiffError
from ..kernels.bounds import SearchCounts
from ..kernels.pair_filters import Allowed
from ..storage.derived.vectors import vector_rows
from ..storage.store import Store
from ..vectors.search import VectorSide, VectorTile, similar_vectors
from .tile_side import StoredTileSide
from .vector_signatures import read_projection

__all__ = ["vector_pairs"]


def vector_pairs(
    store: Store,
    settings: CompareSettings,
    rows: StoredTileSide,
    columns: StoredTileSide,
    counts: SearchCounts,
    allowed: Allowed | None,
) -> Iterator[NDArray[np.int64]]:
    """Find the similar pairs of a tile by their vectors, see `vectors.search.similar_vectors`.

    Memory: the signatures of both sides three times, their vectors once more in float32, see
    `memory.vector_sub_block_bytes`.

    Parameters
    ----------
    store, settings
        The store, and the comparison, which is one of vectors, and not of bits.
    rows, columns
        The images of the tile.
    counts
        Counts the pairs that each step leaves.
    allowed
        Pairs that filters leave; None for all.

    Yields
    ------
    (pairs, 4) int64: numbers of both images, bits of the distance, 1 for the image as it is.

    Raises
    ------
    FastDiffError
        If vectors or directions were removed meanwhile.
    """

    def side_of(side: StoredTileSide) -> VectorSide:
        def read() -> NDArray[Any]:
            vectors, there = vector_rows(store, settings.vectors, side.images)
            if not there.all():
                raise FastDiffError(f"vectors {settings.vectors!r} were removed meanwhile; run it again")
            return vectors

        return VectorSide(side.signatures(len(projection.directions) + 1), side.cuts, read)

    if not len(rows.images) or not len(columns.images):
        return
    projection = read_projection(store, settings.vectors, settings.measure)
    first = side_of(rows)
    second = first if columns is rows else side_of(columns)
    tile = VectorTile(settings.similarity_threshold, projection, first, second, allowed)
    for i, j, values in similar_vectors(tile, counts):
        # −0.0 and 0.0 are one value, and have one pattern of bits after this
        bits = (values + 0.0).view(np.int64)
        yield np.stack([rows.images[i], columns.images[j], bits, np.ones_like(i)], axis=1)
