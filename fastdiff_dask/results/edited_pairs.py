"""Edited copies: what was seen of their pictures, by the names of the images."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..edits.candidates import CONTENT_BYTES
from ..storage.edited import LOOKS, EditedFiles
from ..storage.store import Store

__all__ = ["name_edited", "no_edited_pairs", "read_edited", "shown_edited", "without_pairs_of"]

_SHOWN = ["confidence", "words", "part", "top", "left", "bottom", "right", "mirrored", "angle"]


def no_edited_pairs() -> pd.DataFrame:
    """Give no edited copy, columns as in `storage.edited.LOOKS`."""
    return LOOKS.empty_table().to_pandas()


def read_edited(store: Store) -> pd.DataFrame:
    """Read the edited copies of a store by the numbers of their images, columns as in `storage.edited.LOOKS`.

    Of pairs that were looked at on earlier days, only those count that would be looked at in a new store.
    """
    files = EditedFiles(store, CONTENT_BYTES)
    looks, chosen = files.read_looks(), files.read_chosen()
    looks = looks[looks.edited]
    if chosen.empty:
        return looks
    ends = np.sort(looks[["a", "b"]].to_numpy(np.int64), axis=1)
    return looks[pd.MultiIndex.from_arrays(ends.T).isin(pd.MultiIndex.from_frame(chosen))]


def name_edited(looks: pd.DataFrame, names: dict[int, int]) -> pd.DataFrame:
    """Replace numbers of images by names; pairs with an image that is gone (name −1) are left out."""
    ends = {side: looks[side].map(names).astype(np.int64) for side in ("a", "b")}
    named = looks.assign(**ends)
    return named[(named.a >= 0) & (named.b >= 0)]


def without_pairs_of(edited: pd.DataFrame, pairs: NDArray[np.int64]) -> pd.DataFrame:
    """Leave out pairs of names, (k, 2), in either order."""
    gone = {tuple(sorted(pair)) for pair in pairs.tolist()}
    keep = [tuple(sorted(pair)) not in gone for pair in edited[["a", "b"]].to_numpy().tolist()]
    return edited[np.array(keep, bool)]


def shown_edited(pairs: pd.DataFrame, paths: NDArray[np.object_]) -> pd.DataFrame:
    """Name the images of edited copies by their paths, and which of them is the copy; see `Result.edited`."""
    is_a = (pairs.copy_of_other == "a").to_numpy(bool)
    a, b = paths[pairs.a.to_numpy(np.int64)], paths[pairs.b.to_numpy(np.int64)]
    part = np.where(
        pairs.part.isin(["a", "b"]), np.where(pairs.part == pairs.copy_of_other, "copy", "original"), pairs.part
    )
    frame = pairs[_SHOWN].assign(part=pd.Series(part, pairs.index, dtype=object))
    frame.insert(0, "original", pd.Series(np.where(is_a, b, a), pairs.index, dtype=object))
    frame.insert(1, "copy", pd.Series(np.where(is_a, a, b), pairs.index, dtype=object))
    return frame.sort_values(["original", "copy"], ignore_index=True)
