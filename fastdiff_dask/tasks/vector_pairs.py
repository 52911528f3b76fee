"""Pairs of a tile whose vectors are similar."""

from collections.abc import Iterator
from itertools import product

import numpy as np
from numpy.typing import NDArray

from ..config import CompareSettings
from ..kernels.bounds import SearchCounts
from ..kernels.pair_filters import Allowed
from ..storage.derived.vectors import vector_rows
from ..storage.store import Store
from ..vectors.metrics import distances, usable
from .tile_side import StoredTileSide

__all__ = ["vector_pairs"]


def vector_pairs(
    store: Store,
    settings: CompareSettings,
    rows: StoredTileSide,
    columns: StoredTileSide,
    counts: SearchCounts,
    allowed: Allowed | None,
) -> Iterator[NDArray[np.int64]]:
    """Find the similar pairs of a tile by their vectors, each pair compared.

    Parameters
    ----------
    store, settings
        The store, and the comparison, which is one of vectors.
    rows, columns
        The images of the tile.
    counts
        Counts the pairs that are compared.
    allowed
        Pairs that filters leave; None for all.

    Yields
    ------
    (pairs, 4) int64: numbers of both images, bits of the distance, 1 for the image as it is.
    """
    sides = [vector_rows(store, settings.vectors, side.images) for side in (rows, columns)]
    there = [found & usable(settings.measure, values) for values, found in sides]
    for i, j in product(range(len(rows.cuts)), range(len(columns.cuts))):
        if columns is rows and j < i:
            continue
        x, y = (np.array(one, np.int64) for one in (rows.cuts[i], columns.cuts[j]))
        wanted = there[0][x][:, None] & there[1][y][None, :]
        if columns is rows and j == i:
            wanted &= x[:, None] < y[None, :]
        if allowed is not None:
            wanted &= allowed.wanted(x[:, None], y[None, :])
        first, second = np.nonzero(wanted)
        counts.pairs += len(first)
        values = distances(settings.measure, sides[0][0][x[first]], sides[1][0][y[second]])
        found = np.flatnonzero(values <= settings.similarity_threshold)
        images = rows.images[x[first[found]]], columns.images[y[second[found]]]
        bits = (values[found] + 0.0).view(np.int64)
        yield np.stack([*images, bits, np.ones(len(found), np.int64)], axis=1)
