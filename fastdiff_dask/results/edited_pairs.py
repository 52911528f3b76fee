"""Edited copies: what was seen of their pictures, by the names of the images."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..edits.candidates import CONTENT_BYTES
from ..storage.edited import LOOKS, EditedFiles
from ..storage.store import Store

__all__ = ["name_edited", "no_edited_pairs", "read_edited", "renumbered", "shown_edited", "without_pairs_of"]

_BOX = ("top", "left", "bottom", "right")
_SHOWN = ["confidence", "words", "part", *_BOX, "mirrored", "angle"]


def no_edited_pairs() -> pd.DataFrame:
    """Give no edited copy, columns as in `storage.edited.LOOKS`."""
    return LOOKS.empty_table().to_pandas().assign(via=np.zeros(0, np.int64))


def read_edited(store: Store) -> pd.DataFrame:
    """Read the edited copies of a store by the numbers of their images.

    Columns as in `storage.edited.LOOKS`; and via, the number of a third image by which a pair is known that nobody
    looked at, else −1. Of pairs that were looked at on earlier days, only those count that would be looked at in a new
    store.
    """
    files = EditedFiles(store, CONTENT_BYTES)
    looks, chosen = files.read_looks(), files.read_chosen()
    looks = looks[looks.edited].assign(via=-1)
    if chosen.empty:
        return looks
    ends = np.sort(looks[["a", "b"]].to_numpy(np.int64), axis=1)
    shown = pd.MultiIndex.from_frame(chosen.loc[chosen.via < 0, ["a", "b"]])
    unknown = {"edited": True, "words": "", "part": "both", "copy_of_other": "b", "mirrored": False, "angle": 0.0}
    by_third = chosen[chosen.via >= 0].assign(**unknown, **dict.fromkeys(_BOX, 0))
    return pd.concat([looks[pd.MultiIndex.from_arrays(ends.T).isin(shown)], by_third], ignore_index=True)


def name_edited(looks: pd.DataFrame, names: dict[int, int]) -> pd.DataFrame:
    """Replace numbers of images by names; pairs with an image that is gone (name −1), or known by one, are left out."""
    ends = {end: looks[end].map(names).fillna(-1).astype(np.int64) for end in ("a", "b", "via")}
    named = looks.assign(**ends)
    return named[(named.a >= 0) & (named.b >= 0) & ((looks.via < 0) | (named.via >= 0))]


def renumbered(edited: pd.DataFrame, used: NDArray[np.int64]) -> pd.DataFrame:
    """Replace names by their places among some, ascending; −1, for no third image, stays."""
    ends = {end: np.searchsorted(used, edited[end].to_numpy(np.int64)) for end in ("a", "b", "via")}
    ends["via"] = np.where(edited.via >= 0, ends["via"], -1)
    return edited.assign(**ends)


def without_pairs_of(edited: pd.DataFrame, pairs: NDArray[np.int64]) -> pd.DataFrame:
    """Leave out pairs of names, (k, 2), in either order."""
    gone = {tuple(sorted(pair)) for pair in pairs.tolist()}
    keep = [tuple(sorted(pair)) not in gone for pair in edited[["a", "b"]].to_numpy().tolist()]
    return edited[np.array(keep, bool)]


def shown_edited(pairs: pd.DataFrame, paths: NDArray[np.object_]) -> pd.DataFrame:
    """Name the images of edited copies by their paths, and which of them is the copy; see `Result.edited`."""
    a, b = paths[pairs.a.to_numpy(np.int64)], paths[pairs.b.to_numpy(np.int64)]
    # where it is not known, the first path
    is_a = np.where(pairs.via >= 0, a > b, pairs.copy_of_other == "a").astype(bool)
    part = np.where(
        pairs.part.isin(["a", "b"]), np.where(pairs.part == pairs.copy_of_other, "copy", "original"), pairs.part
    )
    frame = pairs[_SHOWN].assign(part=pd.Series(part, pairs.index, dtype=object))
    via = [paths[row] if row >= 0 else "" for row in pairs.via.tolist()]
    frame["via"] = pd.Series(via, pairs.index, dtype=object)
    frame.insert(0, "original", pd.Series(np.where(is_a, b, a), pairs.index, dtype=object))
    frame.insert(1, "copy", pd.Series(np.where(is_a, a, b), pairs.index, dtype=object))
    return frame.sort_values(["original", "copy"], ignore_index=True)
