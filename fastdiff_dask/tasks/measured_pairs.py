"""Pairs of a tile that are similar by a measure without bounds: its function compares all of them."""

from collections.abc import Callable, Iterator

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

# Bytes of the images or features of columns that are held while all rows of a tile are compared with them.
_HELD = 64_000_000


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

    Memory: images, or features over all transforms, of a sub-block of rows, and of the sub-blocks of columns that take
    64 MB together, one at least; a matrix of values for each transform of either image.

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
    for strip in _strips(columns.cuts, row_bytes):
        held: dict[int, Forms] = {}
        for top, i in enumerate(rows.cuts):
            a: Forms | None = None
            for j in strip[max(0, top - strip.start) :] if triangular else strip:
                other = columns.cuts[j]
                x, y, wanted = _partners(i, other, allowed)
                if not len(x):
                    continue
                if triangular and j == top:
                    wanted &= x[:, None] < y[None, :]
                counts.pairs += int(np.count_nonzero(wanted))
                a = load(rows, i) if a is None else a
                if j not in held:
                    held[j] = load(columns, other)
                forms = _taken(a, x, i), _taken(held[j], y, other)
                first, second, values, masks = similar_by_measure(
                    measure, *forms, transforms, settings.similarity_threshold, wanted
                )
                # −0.0 and 0.0 are one value, and have one pattern of bits after this
                bits = (values + 0.0).view(np.int64)
                yield np.stack([rows.images[x[first]], columns.images[y[second]], bits, masks], axis=1)


def _loader(
    store: Store, measure: Measure, transforms: tuple[int, ...]
) -> tuple[Callable[[StoredTileSide, range], Forms], int]:
    """Give a function that loads some images as the measure gets them, and the bytes that it loads for each."""
    if not measure.features:
        height, width, channels = store.thumbnail_settings.shape
        return lambda side, places: forms_of(measure, side.thumbnails(np.array(places))), height * width * channels
    kinds = {t: store.arrays.feature_kind(measure.features, t) for t in transforms}

    def load(side: StoredTileSide, places: range) -> Forms:
        features = {}
        for transform, kind in kinds.items():
            if kind is None:
                raise FastDiffError(f"the features for {measure.shown} were removed meanwhile; run it again")
            features[transform] = side.features(measure.features, transform, kind, np.array(places))
            features[transform].flags.writeable = False
        return features.__getitem__

    return load, sum(kind.bytes for kind in kinds.values() if kind is not None)


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


def _taken(forms: Forms, places: NDArray[np.int64], all_places: range) -> Forms:
    """Forms of some of the images of a sub-block."""
    if len(places) == len(all_places):
        return forms

    def some(transform: int) -> NDArray[np.generic]:
        taken = forms(transform)[places - all_places.start]
        taken.flags.writeable = False
        return taken

    return some
