"""Compute the features of the thumbnails of a block, and commit them."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import FastDiffError
from ..kernels.measures import Measure, prepare_features
from ..kernels.transforms import apply_transform
from ..runtime.faults import retried
from ..storage.arrays import MOST_FEATURE_BYTES, RowKind
from ..storage.store import Store

__all__ = ["prepare_block"]


@retried
def prepare_block(
    url: str, measure: Measure, block: int, transforms: tuple[int, ...], kind: RowKind | None, run: str = ""
) -> RowKind | None:
    """Compute the features of the thumbnails of a block, turned by each of some transforms.

    Memory: a block of thumbnails, turned and not, and the features of a block for one transform, twice.

    Parameters
    ----------
    url, measure
        The store, whose thumbnails are finished, and the measure.
    block, transforms
        Number of the block, and numbers of the transforms.
    kind
        Kind of the features of other images; None if there are none yet.
    run
        Number of the run.

    Returns
    -------
    Kind of the features; None, and nothing is stored, if there is none yet and no image could be read.

    Raises
    ------
    FastDiffError
        If the function of the user fails, or gives features of another kind.
    """
    store = Store(url, run)
    readable = store.read_partition(block, ["error"]).error.isna().to_numpy()
    if kind is None and not readable.any():
        return None
    thumbnails = store.arrays.read_thumbnails(block)[: len(readable)][readable]
    for transform in transforms:
        features: NDArray[Any] = np.zeros((0,))
        if len(thumbnails):
            features = prepare_features(measure, apply_transform(thumbnails, transform))
            kind = _same_kind(measure, kind, RowKind(features.shape[1:], features.dtype.name))
        assert kind is not None
        if not readable.all():
            rows = np.zeros((len(readable), *kind.shape), kind.dtype)
            rows[readable] = features.reshape(-1, *kind.shape)
            features = rows
        store.arrays.write_features(measure.features, transform, block, features)
    return kind


def _same_kind(measure: Measure, kind: RowKind | None, found: RowKind) -> RowKind:
    """Refuse features that cannot be rows of one array with the others."""
    if kind is not None and found != kind:
        raise FastDiffError(
            f"the prepare function of {measure.shown} gave {found.dtype} of shape {found.shape} for some images and "
            f"{kind.dtype} of shape {kind.shape} for others; it must give the same for all"
        )
    if found.bytes > MOST_FEATURE_BYTES:
        raise FastDiffError(
            f"the prepare function of {measure.shown} gave {found.bytes / 1e6:.3g} MB for an image; it must give at "
            f"most {MOST_FEATURE_BYTES / 1e6:.3g} MB"
        )
    return found
