"""Edited copies: what was seen of their pictures, by the names of the images."""

from dataclasses import replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..storage.derived.edited import LOOKS, EditedFiles
from ..storage.derived.verdicts import NOT_LOOKED_AT, SIMILAR
from ..storage.store import Store
from .groups import Groups
from .verdicts import PairVerdicts

__all__ = [
    "copies_among",
    "name_edited",
    "no_edited_pairs",
    "read_edited",
    "renumbered",
    "shown_edited",
    "with_rows_of",
    "without_pairs_of",
]

_BOX = ("top", "left", "bottom", "right")
_SHOWN = ["confidence", "words", "part", *_BOX, "mirrored", "angle"]


def no_edited_pairs() -> pd.DataFrame:
    """Give no edited copy, columns as in `storage.derived.edited.LOOKS`."""
    return LOOKS.empty_table().to_pandas().assign(via=np.zeros(0, np.int64))


def read_edited(store: Store) -> pd.DataFrame:
    """Read the edited copies of a store by the numbers of their images.

    Columns as in `LOOKS`; and via, the number of a third image by which a pair is known that nobody
    looked at, else −1. Of pairs that were looked at on earlier days, only those count that would be looked at in a new
    store.
    """
    files = EditedFiles(store)
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
    """Leave out pairs of names, (k, 2), in either order, and those that are known by such a pair."""
    gone = {frozenset(pair) for pair in pairs.tolist()}
    keep = [
        gone.isdisjoint(map(frozenset, ((a, b), (a, via), (b, via))))
        for a, b, via in edited[["a", "b", "via"]].to_numpy(np.int64).tolist()
    ]
    return edited[np.array(keep, bool)]


def copies_among(pairs: pd.DataFrame, verdicts: PairVerdicts) -> pd.DataFrame:
    """Leave out the pairs of rows that another look called the same file or picture."""
    codes = verdicts.codes(pairs.a.to_numpy(np.int64), pairs.b.to_numpy(np.int64))
    return pairs[np.isin(codes, [NOT_LOOKED_AT, SIMILAR])]


def with_rows_of(
    groups: Groups, edited: pd.DataFrame, rows: NDArray[np.int64]
) -> tuple[Groups, pd.DataFrame, NDArray[np.int64]]:
    """Add the images of edited copies to the images of some groups.

    Parameters
    ----------
    groups
        Members are places in `rows`.
    edited
        Edited copies of all images.
    rows
        Some of all images, ascending.

    Returns
    -------
    Groups and edited copies by places in the rows of both, and these rows.
    """
    ends = edited[["a", "b", "via"]].to_numpy(np.int64).ravel()
    every = np.union1d(rows, ends[ends >= 0])
    return replace(groups, members=np.searchsorted(every, rows)[groups.members]), renumbered(edited, every), every


def shown_edited(pairs: pd.DataFrame, paths: NDArray[np.object_], numbers: NDArray[np.int64]) -> pd.DataFrame:
    """Name the images of edited copies by paths and numbers, and which of them is the copy; see `Result.edited`."""
    rows = pairs.a.to_numpy(np.int64), pairs.b.to_numpy(np.int64)
    # where it is not known, the first path
    is_a = np.where(pairs.via >= 0, rows[0] > rows[1], pairs.copy_of_other == "a").astype(bool)
    originals, copies = np.where(is_a, rows[1], rows[0]), np.where(is_a, rows[0], rows[1])
    part = np.where(
        pairs.part.isin(["a", "b"]), np.where(pairs.part == pairs.copy_of_other, "copy", "original"), pairs.part
    )
    frame = pairs[_SHOWN].assign(part=pd.Series(part, pairs.index, dtype=object))
    via = [paths[row] if row >= 0 else "" for row in pairs.via.tolist()]
    frame["via"] = pd.Series(via, pairs.index, dtype=object)
    frame.insert(0, "original", pd.Series(paths[originals], pairs.index, dtype=object))
    frame.insert(1, "copy", pd.Series(paths[copies], pairs.index, dtype=object))
    frame = frame.assign(original_image=numbers[originals], copy_image=numbers[copies])
    # pandas cannot sort names that are no UTF-8
    order = sorted(range(len(frame)), key=list(zip(frame["original"], frame["copy"], strict=True)).__getitem__)
    return frame.iloc[order].reset_index(drop=True)
