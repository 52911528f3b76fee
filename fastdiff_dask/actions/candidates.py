"""Candidates for removal: the images of a result, and for each the reasons why it must stay."""

import os
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..images.contents import NEVER_GIVEN_UP, RAW, lacking
from ..images.films import FILM_FRAME
from ..results.keep_order import real_pixels
from ..results.keep_rules import KeepRules
from ..results.result import Result
from ..storage.schema import FILE_NAME
from ..storage.store import Store
from ..text import printable
from ..urls import full_path, is_url, join
from .disk import place_of
from .history import History

__all__ = ["MORE_PIXELS", "RAW", "Candidates"]

MORE_PIXELS = "more pixels"


class Candidates:
    """The images of a result, and for each image the reasons why it must stay.

    Attributes
    ----------
    rows
        Path, place, content_hash, extras and the columns `KEEP_COLUMNS` of each image.
    numbers
        Numbers of the images in the store.
    pixels
        Pixels of each image; of an enlarged one, those of the image that it was made from, see `real_pixels`.
    keys
        Sort keys of the images by the rules.
    aside
        True for an image that was moved or trashed.
    went
        True for an image that is not there any more: an earlier call took it, or put a link in its place.
    frames
        Frames or pages of each image; 0 where that is not known.
    extras
        Parts of each image that a plain copy would lack, see `images.contents`.
    why_stays
        Reason why each image stays in any case, or None.
    why_needed
        Reason why each image stays unless another file with the same bytes stays, or None.
    """

    def __init__(self, store: Store, result: Result, rules: KeepRules, history: History) -> None:
        images = _described(store, result)
        rules.check_folders(images.place, lambda: _all_places(store))
        links = _symbolic_links(store)
        self.rows = list(images.itertuples(index=False))
        self.numbers: list[int] = images.image.tolist()
        self.pixels = _pixels(result, self.rows)
        self.protected = [rules.is_protected(row.place) for row in self.rows]
        self.aside = [history.is_aside(row.place) for row in self.rows]
        self.went = [history.went(row.place) for row in self.rows]
        self.keys = rules.keys(images, self.pixels, lambda: self._there_of(result.connected()))
        self.has_reference = store.two_sides and not rules.both_sides
        self.why_stays = [
            ("it is a frame of a film, which is never removed" if row.extras == FILM_FRAME else None)
            or ("it is in a protected folder" if closed else None)
            or ("it is in A, the reference" if self.has_reference and row.side == "a" else None)
            or links.get(row.place)
            or history.is_target(row.place)
            for row, closed in zip(self.rows, self.protected, strict=True)
        ]
        self.frames: list[int] = images.frames.tolist()
        self.extras = [frozenset(row.extras.split(", ")) if row.extras else frozenset() for row in self.rows]
        self.why_needed = [history.why_needed(row.place, row.content_hash) for row in self.rows]

    def best_first(self) -> list[int]:
        """Rows of the images that are there, and were neither moved nor trashed."""
        return sorted(filter(self._is_there, range(len(self.rows))), key=self.keys.__getitem__)

    def _is_there(self, row: int) -> bool:
        return not self.aside[row] and not self.went[row]

    def _there_of(self, groups: Iterable[NDArray[np.int64]]) -> list[NDArray[np.int64]]:
        """Rows of the images of each group that are there, if these are more than one."""
        found = [np.array([row for row in group.tolist() if self._is_there(row)], np.int64) for group in groups]
        return [group for group in found if len(group) > 1]

    def lacks(self, row: int, other: int, give_up: frozenset[str]) -> frozenset[str]:
        """Parts of an image that the other one lacks, or may have otherwise, but for those that may be given up."""
        mine, theirs = (self.extras[one] for one in (row, other))
        same_file = self.rows[row].content_hash == self.rows[other].content_hash != ""
        if same_file:
            return frozenset()
        if self._is_larger_than_reference(row, other):
            mine |= {MORE_PIXELS}
        return lacking(mine, theirs) - (give_up - NEVER_GIVEN_UP)

    def stands_alone(self, row: int) -> bool:
        """Tell whether an image is a raw file or a frame of a film: for no other file, and no other one for it."""
        return not self.extras[row].isdisjoint((RAW, FILM_FRAME))

    def _is_larger_than_reference(self, row: int, other: int) -> bool:
        """Tell whether an image of B has more pixels than one of A, which is kept as the reference, not as the best."""
        this, kept = self.rows[row], self.rows[other]
        if not self.has_reference or (this.side, kept.side) != ("b", "a") or this.made is not None:
            return False
        return self.pixels[row] > kept.width * kept.height


def _described(store: Store, result: Result) -> pd.DataFrame:
    """The images of a result with their paths, places (absolute paths), times of modification and contents."""
    frame = result.images.copy()
    frame.insert(0, "path", pd.Series(list(result.images.index), frame.index, dtype=object))
    columns = [*FILE_NAME, "content_hash", "extras", "frames"]
    listed = store.image_rows(frame["image"].to_numpy(np.int64), columns)
    names = [full_path(row.root, row.path, row.path_bytes) for row in listed.itertuples()]
    return frame.reset_index(drop=True).assign(
        place=pd.Series([name if is_url(name) else place_of(name) for name in names], dtype=object),
        content_hash=listed.content_hash.fillna("").astype(object),
        extras=listed.extras.fillna("").astype(object),
        frames=listed.frames,
    )


def _pixels(result: Result, rows: Sequence[Any]) -> list[int]:
    """Count the pixels of each image as its cluster has them, see `real_pixels`."""
    pixels = [row.width * row.height for row in rows]
    for part in result.connected():
        for place, number in zip(part.tolist(), real_pixels([rows[place] for place in part]), strict=True):
            pixels[place] = number
    return pixels


def _symbolic_links(store: Store) -> dict[str, str]:
    """Find the images to which symbolic links lead: place of the image → reason why it stays."""
    found = {}
    for _, root, path, _, same_root, same in store.records.read_index()["links"]:
        name = join(root, path)
        if not is_url(root) and os.path.islink(name):  # noqa: PTH114
            place = place_of(join(same_root, same))
            found[place] = f"the symbolic link {printable(name)} leads to it"
    return found


def _all_places(store: Store) -> Iterator[str]:
    """Give the absolute paths of all images of a store."""
    for block in range(store.blocks):
        for row in store.read_partition(block, FILE_NAME).itertuples():
            yield full_path(row.root, row.path, row.path_bytes)
