"""The images of a tile along one axis, as its store has them."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..kernels.grid import Axis
from ..kernels.pair_filters import PairFilters
from ..storage.arrays import RowKind
from ..storage.comparisons import Comparison
from ..storage.plans import Part

__all__ = ["StoredTileSide"]


class StoredTileSide:
    """The images of a tile along one axis."""

    def __init__(
        self, comparison: Comparison, parts: list[Part], side: str, axis: Axis, sub_blocks: range, run: str
    ) -> None:
        self._comparison, self._side, self._run = comparison, side, run
        self._pieces = [(parts[part], places) for part, places, _ in axis.pieces(sub_blocks)]
        self.cuts = axis.cuts(sub_blocks)
        numbers = [comparison.read_order(part, side, places) for part, places in self._pieces]
        self.images = np.concatenate([np.zeros(0, np.int64), *numbers])
        self._kept: NDArray[np.bool_] | None = None

    def name(self) -> tuple[Any, ...]:
        """Name that tells these images from others that a process compares."""
        pieces = ((part.folder, places.start, places.stop) for part, places in self._pieces)
        return (self._run, self._comparison.store.url, self._comparison.name, self._side, *pieces)

    def keys(self) -> NDArray[np.int64]:
        """Keys of the images for pair filters, (n, k) int64."""
        keys = [self._comparison.read_keys(part, self._side, places) for part, places in self._pieces]
        values = PairFilters.of(self._comparison.settings).key_values
        return np.concatenate([np.zeros((0, values), np.int64), *keys])

    def keep(self, kept: NDArray[np.bool_]) -> None:
        """Leave out all other images, before anything of them is read; sub-blocks shrink or vanish."""
        self._kept, self.images = kept, self.images[kept]
        places = np.concatenate([[0], np.cumsum(kept)]).tolist()
        cuts = [range(places[cut.start], places[cut.stop]) for cut in self.cuts]
        self.cuts = [cut for cut in cuts if cut]

    def signatures(self, values: int = 0) -> NDArray[np.float32]:
        """Signatures of the images as they are compared, (n, values) float32; as of thumbnails by default."""
        signatures = np.concatenate(
            [self._comparison.read_signatures(part, self._side, places, values) for part, places in self._pieces]
        )
        return signatures if self._kept is None else signatures[self._kept]

    def thumbnails(self, rows: Any) -> NDArray[np.uint8]:
        """Thumbnails of some of the images."""
        return self._comparison.store.arrays.thumbnail_rows(self.images[rows])

    def features(self, name: str, transform: int, kind: RowKind, rows: Any) -> NDArray[Any]:
        """Features of the thumbnails of some of the images, turned so."""
        return self._comparison.store.arrays.feature_rows(name, transform, kind, self.images[rows])
