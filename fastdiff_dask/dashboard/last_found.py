"""The pair that was found last, with its thumbnails."""

import numpy as np
from numpy.typing import NDArray

from ..errors import FastDiffError
from ..images.preview import data_url
from ..storage.comparisons import Comparison
from ..storage.pairs import read_last_pair
from ..storage.plans import Part
from ..storage.store import Store
from .snapshot import FoundPair

__all__ = ["LastFound"]


class LastFound:
    """Remembers the pair that was found last in a store; it is read when there is a new one."""

    def __init__(self) -> None:
        self._known: dict[str, object] = {}  # what was read last, by its kind
        self.pair: FoundPair | None = None

    def by_comparison(self, comparison: Comparison, place: tuple[Part, int, int] | None) -> None:
        """Take the last pair of a tile: its part, its number, and the number of its similar pairs."""
        if place is None or place == self._known.get(comparison.name):
            return
        self._known[comparison.name] = place
        store = comparison.store
        try:
            a, b, value, _ = read_last_pair(comparison, *place).tolist()
        except (FastDiffError, OSError):  # as a store may be removed meanwhile; nothing hangs on this
            return
        about = ""
        if comparison.settings.measure == "mse":
            about = f"difference {value / (store.thumbnail_settings.height * store.thumbnail_settings.width):.3g}"
        elif comparison.settings.vectors:
            about = f"{comparison.settings.measure_title} {np.int64(value).view(np.float64):.3g}"
        self._read(store, np.array([a, b]), about)

    def by_second_look(self, store: Store, pair: tuple[int, int, str] | None) -> None:
        """Take a pair that was looked at: the numbers of its images, and its verdict."""
        if pair is not None and pair != self._known.get("verify"):
            self._known["verify"] = pair
            self._read(store, np.array(pair[:2]), pair[2])

    def _read(self, store: Store, images: NDArray[np.int64], about: str) -> None:
        try:
            thumbnails = store.arrays.thumbnail_rows(images)
            names = []
            for block, row in zip(*divmod(images, store.thumbnail_settings.block_size), strict=True):
                names.append(str(store.read_partition(int(block), ["path"]).path.iloc[int(row)]))
        except (FastDiffError, OSError, IndexError):
            return
        first, second = (data_url(thumbnail, exact=True) for thumbnail in thumbnails)
        self.pair = FoundPair((names[0], names[1]), (first, second), about)
