"""The images of one tile as the search on a processor sees them, and what its steps cost on this machine."""

import functools
import math
import threading
import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from .low_frequencies import (
    LowFrequencies,
    empty_frequencies,
    frequency_counts,
    left_operands,
    low_frequencies,
    near_transforms,
    right_operand,
)
from .pair_filters import Allowed
from .similarity import SimilarityLimit, SquaredErrorLimit, chunk_rows, listed_pairs, prepared_pairs
from .squared_errors import prepare_images

__all__ = ["Costs", "HeldFrequencies", "SearchTile", "TileSide", "measured_costs"]

# Bytes of the thumbnails that are read at once, to compute their low frequencies.
_READ_BYTES = 1 << 23


class TileSide(Protocol):
    """The images of a tile along one axis."""

    @property
    def images(self) -> NDArray[np.int64]:
        """Numbers of the images, (n,)."""

    @property
    def cuts(self) -> list[range]:
        """Sub-blocks, as places in the tile."""

    def name(self) -> Hashable:
        """Key of these images in the cache of a device."""

    def signatures(self) -> NDArray[np.float32]:
        """Signatures of the images, (n, values) float32."""


@dataclass(frozen=True)
class SearchTile:
    """The images of a tile, and the limit of a similar pair.

    Attributes
    ----------
    rows, columns
        The images; the same object for a tile on the diagonal, whose pairs count once each.
    thumbnails
        Reads the thumbnails of n images by their numbers: (n,) int64 → (n, h, w, c) uint8.
    shape
        (h, w, c) of a thumbnail.
    limit
        Limit of a similar pair; the signatures of the sides are those of its measure.
    transforms
        Numbers of the transforms that count.
    allowed
        The pairs that pair filters leave, by their places in the tile; None for all.
    """

    rows: TileSide
    columns: TileSide
    thumbnails: Callable[[NDArray[np.int64]], NDArray[np.uint8]]
    shape: tuple[int, int, int]
    limit: SimilarityLimit
    transforms: tuple[int, ...]
    allowed: Allowed | None

    @property
    def triangular(self) -> bool:
        """True for a tile on the diagonal."""
        return self.columns is self.rows

    @property
    def radius(self) -> float:
        """Largest distance of similar images, as scaled by the limit."""
        return self.limit.radius(self.shape)

    @property
    def chunk(self) -> int:
        """Images along the side of a matrix of errors."""
        return chunk_rows(math.prod(self.shape))

    @property
    def exact(self) -> dict[str, Any]:
        """Arguments of the functions that compare thumbnails."""
        return {"limit": self.limit, "transforms": self.transforms}

    def wanted(self, i: NDArray[np.int64], j: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Tell which of some pairs, by their places in the tile, the filters leave; each pair once."""
        wanted = i < j if self.triangular else np.ones(len(i), bool)
        return wanted if self.allowed is None else wanted & self.allowed.wanted(i, j)


class HeldFrequencies:
    """Low frequencies of the images of one side of a tile; of an image, they are computed when first asked for.

    Threads may share them: at worst, both compute the same.

    Parameters
    ----------
    tile
        The tile.
    images
        Numbers of the images, (n,).
    count
        Number of coefficients.
    """

    def __init__(self, tile: SearchTile, images: NDArray[np.int64], count: int) -> None:
        self._images, self._thumbnails, self._count = images, tile.thumbnails, count
        self._limit, self._transforms = tile.limit, tile.transforms
        self._known = np.zeros(len(images), bool)
        self._at_once = max(1, _READ_BYTES // math.prod(tile.shape))
        self._all = empty_frequencies(len(images), tile.shape, tile.transforms, count)
        self.nbytes = self._all.nbytes

    def missing(self, places: NDArray[np.int64]) -> int:
        """Count those of some images that are not computed yet."""
        return int(np.count_nonzero(~self._known[places]))

    def at(self, places: NDArray[np.int64] | slice) -> LowFrequencies:
        """Low frequencies of some images, by their places on the side, ascending and each once."""
        missing = np.flatnonzero(~self._known) if isinstance(places, slice) else places[~self._known[places]]
        if isinstance(places, slice):
            missing = missing[(missing >= places.start) & (missing < places.stop)]
        missing = missing[np.argsort(self._images[missing])]  # a block is opened once or twice
        for start in range(0, len(missing), self._at_once):
            some = missing[start : start + self._at_once]
            found = low_frequencies(self._thumbnails(self._images[some]), self._limit, self._transforms, self._count)
            for held, part in zip(self._all.arrays, found.arrays, strict=True):
                held[some] = part
            self._known[some] = True
        return self._all.at(places)


# -- costs -------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Costs:
    """Seconds that the last steps of the search take for a pair; on a processor of 2022, if they were not measured.

    Attributes
    ----------
    exact
        To compare two thumbnails under one transform.
    dense
        To compare two thumbnails, among all of two sub-blocks, under all transforms.
    products
        To compare two images, among all of two sub-blocks, by so many low frequencies.
    """

    exact: float = 8e-6
    dense: float = 3.3e-7
    products: dict[int, float] = field(default_factory=dict)

    def of_products(self, count: int, pairs: int, left: int) -> float:
        """Seconds for some pairs of two sub-blocks by low frequencies, and then exactly.

        Parameters
        ----------
        count
            Number of low frequencies.
        pairs
            Pairs of images.
        left
            Pairs that the low frequencies leave, once for each transform.

        Returns
        -------
        Seconds.
        """
        return pairs * self.products.get(count, 0.0) + min(left * self.exact, pairs * self.dense)

    def is_crowded(self, pairs: int, left: int) -> bool:
        """Tell if comparing all pairs costs less than comparing those that low frequencies leave."""
        return left * self.exact > pairs * self.dense


_measuring = threading.Lock()
# Images that are compared with each other to measure the costs.
_MEASURED = 256


def measured_costs(shape: tuple[int, int, int], transforms: tuple[int, ...]) -> Costs:
    """Measure the costs on this machine, once a process: it takes some tenths of a second at most.

    Parameters
    ----------
    shape
        (h, w, c) of a thumbnail.
    transforms
        Numbers of the transforms that count.

    Returns
    -------
    The costs.
    """
    with _measuring:
        return _costs(shape, transforms)


@functools.cache
def _costs(shape: tuple[int, int, int], transforms: tuple[int, ...]) -> Costs:
    rng = np.random.default_rng(0)
    number = min(_MEASURED, chunk_rows(math.prod(shape)))
    images = rng.integers(0, 256, (number, *shape), np.uint8)
    limit, places = SquaredErrorLimit(0), np.arange(number)
    masks = np.full(number, 1 << transforms[0], np.uint8)
    prepared = prepare_images(images, transforms)
    options: dict[str, Any] = {"radius": limit.radius(shape), "transforms": transforms}
    products = {}
    for count in frequency_counts(*shape):
        low = low_frequencies(images, limit, transforms, count)
        sides = left_operands(low, transforms), right_operand(low)
        products[count] = _seconds(functools.partial(near_transforms, *sides, **options)) / number**2
    exact = functools.partial(
        listed_pairs, images, images, places, places[::-1], masks, limit=limit, transforms=transforms
    )
    # pairs of sub-blocks that are compared as a whole are few, so that one of the two is prepared for each of them
    prepare = _seconds(lambda: prepare_images(images, transforms))
    dense = _seconds(lambda: prepared_pairs(prepared, prepared, limit)) + prepare
    return Costs(_seconds(exact) / number, dense / number**2, products)


def _seconds(work: Callable[[], Any]) -> float:
    """Shortest time of three."""
    times = []
    for _ in range(3):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return min(times)
