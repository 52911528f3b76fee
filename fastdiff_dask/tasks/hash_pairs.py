"""Pairs of a tile whose hashes differ in few bits: perceptual hashes of thumbnails, or vectors of bits."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from ..config import CompareSettings
from ..errors import FastDiffError
from ..kernels.bounds import SearchCounts
from ..kernels.grid import pairs_within
from ..kernels.measures import Measure
from ..kernels.pair_filters import Allowed
from ..kernels.transforms import available_transforms
from ..storage.derived.vectors import vector_rows
from ..storage.store import Store
from ..vectors.hamming import as_words, near_hashes
from .tile_side import StoredTileSide

__all__ = ["hash_pairs"]


def hash_pairs(
    store: Store,
    settings: CompareSettings,
    measure: Measure | None,
    rows: StoredTileSide,
    columns: StoredTileSide,
    counts: SearchCounts,
    allowed: Allowed | None,
) -> Iterator[NDArray[np.int64]]:
    """Find the similar pairs of a tile, see `hamming.near_hashes`.

    Memory: the hashes of both sides, over all transforms, two and a half times, and 200 bytes an image.

    Parameters
    ----------
    store, settings
        The store, and a comparison for which `CompareSettings.by_hashes` is true.
    measure
        Its measure, whose features are stored; None if vectors are compared.
    rows, columns
        The images of the tile.
    counts
        Counts the pairs that are settled.
    allowed
        Pairs that filters leave; None for all.

    Yields
    ------
    (pairs, 4) int64: numbers of both images, bits of the value, bit mask of the transforms.

    Raises
    ------
    FastDiffError
        If hashes are missing.
    """
    height, width, _ = store.thumbnail_settings.shape
    transforms = tuple(
        int(t) for t in available_transforms(height, width, rotations=settings.rotations, mirror=settings.mirror)
    )
    triangular = columns is rows
    a, a_there = _hashes(store, settings, measure, rows, transforms)
    b, b_there = (a, a_there) if triangular else _hashes(store, settings, measure, columns, transforms)
    x, y = np.flatnonzero(a_there), np.flatnonzero(b_there)
    if allowed is not None:
        counts.pairs += allowed.take(x, y).pairs()
    else:
        counts.pairs += pairs_within(len(x)) if triangular else len(x) * len(y)
    limit = settings.similarity_threshold
    if not a_there.all():
        a = a[:, x]
    if not b_there.all():
        b = b[:, y]
    for found in near_hashes(a, None if triangular else b, limit, transforms):
        first, second = x[found.first], y[found.second]
        bits = found.values.astype(np.float64).view(np.int64)
        pairs = np.stack([rows.images[first], columns.images[second], bits, found.masks.astype(np.int64)], axis=1)
        yield pairs if allowed is None else pairs[allowed.wanted(first, second)]


def _hashes(
    store: Store,
    settings: CompareSettings,
    measure: Measure | None,
    side: StoredTileSide,
    transforms: tuple[int, ...],
) -> tuple[NDArray[np.uint64], NDArray[np.bool_]]:
    """Read the hashes of a side, (transforms, n, words), and (n,) bool for those that are there."""
    if measure is None:
        vectors, there = vector_rows(store, settings.vectors, side.images)
        return as_words(vectors)[None], there
    result = np.zeros((0, len(side.images), 0), np.uint64)
    places = np.arange(len(side.images))
    for form, transform in enumerate(transforms):
        kind = store.arrays.feature_kind(measure.features, transform)
        if kind is None:
            raise FastDiffError(f"the features for {measure.shown} were removed meanwhile; run it again")
        words = as_words(side.features(measure.features, transform, kind, places))
        if not form:
            result = np.empty((len(transforms), *words.shape), np.uint64)
        result[form] = words
    return result, np.ones(len(places), bool)
