"""The device that computes a tile, as kernels see it: arrays there and back, a cache, steps that fit its memory.

`Device` itself is the processor, with NumPy; `cuda.CuPyDevice` is a GPU, with CuPy.
"""

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Any, NamedTuple

from array_api_compat import array_namespace

from .grid import SUB_BLOCK
from .squared_errors_int8 import integer_products

__all__ = ["CPU", "LEAST_BYTES", "PIECE_BYTES", "Device", "NearPairs"]

# One pair in so many of two sub-blocks that are left: comparing all of them is cheaper then, as on a processor.
_DENSE_PAIRS = SUB_BLOCK * SUB_BLOCK // 64
# Bytes that a step takes beside the cache.
PIECE_BYTES = 1 << 29
# Bytes of the cache of a device whose memory is not known.
_CACHE_BYTES = 4 << 30
# Below this a step has so little work that a GPU is not worth it.
LEAST_BYTES = 1 << 22


class NearPairs(NamedTuple):
    """Pairs of rows that a device found in some pairs of sub-blocks.

    Attributes
    ----------
    number
        Number of pairs found.
    rows, columns
        (k,) int64: the pairs, without those of pairs of sub-blocks with many; the order is always the same.
    many
        (l,) int64: places of the pairs of sub-blocks that have more than `Device.dense_pairs` pairs of rows.
    """

    number: int
    rows: Any
    columns: Any
    many: Any


class Device:
    """The device that computes a tile; this class is the processor, with NumPy.

    Attributes
    ----------
    piece_bytes
        Bytes that a step takes; halved when memory is short.
    pairs_at_once
        Pairs of thumbnails that are compared at once.
    dense_pairs
        Pairs that two sub-blocks may have left before all of them are compared.
    """

    is_gpu = False

    def __init__(
        self,
        piece_bytes: int = PIECE_BYTES,
        cache_bytes: int = _CACHE_BYTES,
        pairs_at_once: int = 4096,
        dense_pairs: int = _DENSE_PAIRS,
    ) -> None:
        self.piece_bytes, self.pairs_at_once, self.dense_pairs = piece_bytes, pairs_at_once, dense_pairs
        self._room, self._cache = cache_bytes, OrderedDict[Hashable, Any]()
        self._lock = threading.Lock()

    def to_device(self, values: Any) -> Any:
        """Send an array of NumPy to the device."""
        return values

    def to_host(self, values: Any) -> Any:
        """Fetch an array from the device as one of NumPy."""
        return values

    def is_short_of_memory(self, error: BaseException) -> bool:
        """Tell if an error means that the device has too little memory."""
        return isinstance(error, MemoryError)

    def is_broken(self, error: BaseException) -> bool:
        """Tell if an error means that the device, or its software, fails."""
        return False

    def free(self) -> None:
        """Empty the cache."""
        with self._lock:
            self._cache.clear()

    def shrink(self) -> bool:
        """Take smaller steps from now on; False if they are small already."""
        self.free()
        if self.piece_bytes < 2 * LEAST_BYTES:
            return False
        self.piece_bytes //= 2
        self.pairs_at_once = max(self.pairs_at_once // 2, 64)
        self._room //= 2
        return True

    def cached(self, name: Hashable, make: Callable[[], Any]) -> Any:
        """Give the value that is cached under a name, or make and cache it; the least recently used values go first.

        Parameters
        ----------
        name
            Identifies the value.
        make
            Makes the value, which is on the device and has a size in bytes, `nbytes`.

        Returns
        -------
        The value.
        """
        with self._lock:
            if name in self._cache:
                self._cache.move_to_end(name)
                return self._cache[name]
        found = make()
        with self._lock:
            self._cache[name] = found
            while sum(one.nbytes for one in self._cache.values()) > self._room:
                self._cache.popitem(last=False)
        return found

    def products(self, x: Any, y: Any) -> Any:
        """Inner products of rows of int8, as int32; see `squared_errors_int8.integer_products`."""
        return integer_products(x, y)

    def near_pairs(
        self, a: tuple[Any, Any], b: tuple[Any, Any], blocks: Any, /, *, limit: float, triangular: bool
    ) -> NearPairs:
        """Find the pairs of rows whose squared distance is at most a limit, as float32 products compute it.

        |x|² + |y|² − 2 x·y, summed in any order, see `bounds.product_limit`. This works for any number of values.

        Memory: `piece_bytes`, and 8 bytes a pair that is found.

        Parameters
        ----------
        a, b
            Rows and their squared norms, (m, k) and (m,), (n, k) and (n,) float32, on the device.
        blocks
            (l, 2) int32, on the device: pairs of sub-blocks, of `SUB_BLOCK` rows each, in which to look.
        limit
            The limit.
        triangular
            Both sides are the same; only pairs with row < column.

        Returns
        -------
        The pairs.
        """
        xp = array_namespace(b[0])
        within = xp.arange(SUB_BLOCK, dtype=xp.int64)
        # a piece takes squares, flags, and places, of all its pairs
        at_once = max(1, self.piece_bytes // (24 * SUB_BLOCK**2))
        numbers = []
        found: list[list[Any]] = [[xp.zeros(0, dtype=xp.int64)] for _ in range(3)]
        for start in range(0, blocks.shape[0], at_once):
            piece = xp.astype(blocks[start : start + at_once, :], xp.int64)
            sides = []
            for (values, norms), number in ((a, piece[:, 0]), (b, piece[:, 1])):
                rows = number[:, None] * SUB_BLOCK + within[None, :]
                inside = rows < values.shape[0]
                there = xp.reshape(xp.where(inside, rows, xp.zeros_like(rows)), (-1,))
                some = xp.reshape(xp.take(values, there, axis=0), (*rows.shape, values.shape[1]))
                sides.append((rows, inside, some, xp.reshape(xp.take(norms, there), rows.shape)))
            (i, inside_a, x, norms_x), (j, inside_b, y, norms_y) = sides
            squares = xp.matmul(-2 * x, xp.permute_dims(y, (0, 2, 1)))
            squares += norms_x[:, :, None]
            squares += norms_y[:, None, :]
            near = (squares <= limit) & inside_a[:, :, None] & inside_b[:, None, :]
            if triangular:
                near &= i[:, :, None] < j[:, None, :]
            counts = xp.sum(xp.astype(xp.reshape(near, (near.shape[0], -1)), xp.int64), axis=1)
            numbers.append(xp.sum(counts))
            near &= (counts <= self.dense_pairs)[:, None, None]
            block, row, column = xp.nonzero(near)
            parts = (i[block, row], j[block, column], xp.nonzero(counts > self.dense_pairs)[0] + start)
            for all_of_them, part in zip(found, parts, strict=True):
                all_of_them.append(part)
        number = int(xp.sum(xp.stack(numbers))) if numbers else 0
        return NearPairs(number, *map(xp.concat, found))


# Its cache is for the signatures and low frequencies of the images of some tiles.
CPU = Device(cache_bytes=1 << 28)
