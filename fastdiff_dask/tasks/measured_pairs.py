"""Pairs of a tile that are similar by a measure without bounds: its function compares all of them."""

import math
from collections.abc import Callable, Iterator
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..config import CompareSettings
from ..errors import FastDiffError
from ..kernels.bounds import SearchCounts
from ..kernels.measures import Forms, Measure, forms_of, similar_by_measure
from ..kernels.pair_filters import Allowed
from ..kernels.transforms import available_transforms
from ..storage.store import Store
from .tile_side import StoredTileSide

__all__ = ["measured_pairs"]

# Bytes of the images or features that are held of either side of a tile.
_HELD = 64_000_000
# Gives what the measure gets of some of the images that are held, by their places on the side.
_Take = Callable[[NDArray[np.int64]], Forms]


def measured_pairs(
    store: Store,
    settings: CompareSettings,
    measure: Measure,
    rows: StoredTileSide,
    columns: StoredTileSide,
    counts: SearchCounts,
    allowed: Allowed | None,
) -> Iterator[NDArray[np.int64]]:
    """Find the similar pairs of a tile; images without a partner in a sub-block are left out.

    Memory: images, or features over all transforms, of as many sub-blocks of either side as take 64 MB, one at least; a
    matrix of values for each transform of either image.

    Parameters
    ----------
    store, settings, measure
        The store, the comparison and its measure; features of all images are stored, if it has some.
    rows, columns
        The images of the tile.
    counts
        Counts the pairs that are compared.
    allowed
        Pairs that filters leave; None for all.

    Yields
    ------
    (pairs, 4) int64: numbers of both images, bits of the value, bit mask of the transforms.
    """
    height, width, _ = store.thumbnail_settings.shape
    transforms = available_transforms(height, width, rotations=settings.rotations, mirror=settings.mirror)
    load, row_bytes = _loader(store, measure, transforms)
    triangular = columns is rows
    for row_strip, column_strip in product(_strips(rows.cuts, row_bytes), _strips(columns.cuts, row_bytes)):
        held: list[_Take] = []
        for i, j in product(row_strip, column_strip):
            if triangular and j < i:
                continue
            x, y, wanted = _partners(rows.cuts[i], columns.cuts[j], allowed)
            if not len(x):
                continue
            if triangular and j == i:
                wanted &= x[:, None] < y[None, :]
            counts.pairs += int(np.count_nonzero(wanted))
            held = held or [load(rows, row_strip), load(columns, column_strip)]
            first, second, values, masks = similar_by_measure(
                measure, held[0](x), held[1](y), transforms, settings.similarity_threshold, wanted
            )
            # −0.0 and 0.0 are one value, and have one pattern of bits after this
            bits = (values + 0.0).view(np.int64)
            yield np.stack([rows.images[x[first]], columns.images[y[second]], bits, masks], axis=1)


def _loader(
    store: Store, measure: Measure, transforms: tuple[int, ...]
) -> tuple[Callable[[StoredTileSide, range], _Take], int]:
    """Give a function that reads some sub-blocks of a side, and the bytes that it holds for each image."""
    kinds = {t: store.arrays.feature_kind(measure.features, t) for t in transforms if measure.features}

    def load(side: StoredTileSide, sub_blocks: range) -> _Take:
        start, stop = side.cuts[sub_blocks.start].start, side.cuts[sub_blocks.stop - 1].stop
        places = np.arange(start, stop)
        if not measure.features:
            images = side.thumbnails(places)
            return lambda some: forms_of(measure, images[some - start])
        features = {}
        for transform, kind in kinds.items():
            if kind is None:
                raise FastDiffError(f"the features for {measure.shown} were removed meanwhile; run it again")
            features[transform] = side.features(measure.features, transform, kind, places)
        return lambda some: lambda transform: _read_only_rows(features[transform], some - start)

    if not measure.features:
        return load, math.prod(store.thumbnail_settings.shape)
    return load, sum(kind.bytes for kind in kinds.values() if kind is not None)


def _read_only_rows(values: NDArray[Any], places: NDArray[np.int64]) -> NDArray[Any]:
    """Take some rows, as a view if they follow each other."""
    is_run = len(places) and places[-1] - places[0] == len(places) - 1
    rows = values[places[0] : places[-1] + 1] if is_run else values[places]
    rows.flags.writeable = False
    return rows


def _strips(cuts: list[range], row_bytes: int) -> list[range]:
    """Group consecutive sub-blocks that are held together, by their places."""
    largest = max(map(len, cuts), default=1) * max(row_bytes, 1)
    size = max(1, _HELD // largest)
    return [range(start, min(start + size, len(cuts))) for start in range(0, len(cuts), size)]


def _partners(
    rows: range, columns: range, allowed: Allowed | None
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.bool_]]:
    """Images of two sub-blocks that have a partner in the other one, by their places, and the pairs to compare."""
    x, y = np.arange(rows.start, rows.stop), np.arange(columns.start, columns.stop)
    if allowed is None:
        return x, y, np.ones((len(x), len(y)), bool)
    wanted = allowed.wanted(x[:, None], y[None, :])
    some, others = wanted.any(axis=1), wanted.any(axis=0)
    return x[some], y[others], wanted[some][:, others]
