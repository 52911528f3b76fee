"""Where a tile is computed: the processor, or a GPU with CuPy; what is kept there, and what happens when it fails."""

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from contextlib import suppress
from functools import cache
from typing import Any, NamedTuple

import numpy as np
from array_api_compat import array_namespace

from .errors import UsageError
from .gpu import check_gpu, note_failure, why_given_up
from .integers import int8_products, integer_products

__all__ = [
    "CPU",
    "SUB_BLOCK",
    "CuPyDevice",
    "Device",
    "NearPairs",
    "best_device",
    "free_gpu",
    "give_up",
    "memory_shares",
]

# Rows of one side that a device compares with as many of the other, or with none of them.
SUB_BLOCK = 256
# One pair in so many of two sub-blocks that are left: comparing all of them is cheaper then, as on a processor.
_DENSE_PAIRS = SUB_BLOCK * SUB_BLOCK // 64
# Bytes that a step takes beside what is kept.
PIECE_BYTES = 1 << 29
# Bytes that are kept on a device whose memory nobody asked for.
_CACHE_BYTES = 4 << 30
# Shares of the free memory of a GPU: what is kept, and a step's, of which two or three are alive. Two more processes
# may have the same GPU.
_KEPT_SHARE, _PIECE_SHARE = 4, 32
# Below this a step has so little work that a GPU is not worth it.
_LEAST_BYTES = 1 << 22
# How CUDA and cuBLAS say that memory is short, the last one when it cannot begin.
_NO_MEMORY = (
    *("cudaErrorMemoryAllocation", "CUDA_ERROR_OUT_OF_MEMORY"),
    *("CUBLAS_STATUS_ALLOC_FAILED", "CUBLAS_STATUS_NOT_INITIALIZED"),
)


class NearPairs(NamedTuple):
    """Pairs of rows that a device found in some pairs of sub-blocks.

    Attributes
    ----------
    number
        How many there are.
    rows, columns
        (k,) int64: rows of either side, of the pairs of sub-blocks that do not have many, in an order that is always
        the same.
    many
        (l,) int64: places, among the pairs of sub-blocks, of those that have more than `Device.dense_pairs`.
    """

    number: int
    rows: Any
    columns: Any
    many: Any


class Device:
    """Where a tile is computed; this one is the processor, with NumPy.

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
        self._room, self._kept = cache_bytes, OrderedDict[Hashable, Any]()
        self._lock = threading.Lock()

    def to_device(self, values: Any) -> Any:
        """An array of NumPy there."""
        return values

    def to_host(self, values: Any) -> Any:
        """An array from there as one of NumPy."""
        return values

    def is_short_of_memory(self, error: BaseException) -> bool:
        """Whether an error says that the device has too little memory."""
        return isinstance(error, MemoryError)

    def is_broken(self, error: BaseException) -> bool:
        """Whether an error says that the device, or its software, fails."""
        return False

    def free(self) -> None:
        """Give back what is kept."""
        with self._lock:
            self._kept.clear()

    def shrink(self) -> bool:
        """Take smaller steps from now on; False if they are small already."""
        self.free()
        if self.piece_bytes < 2 * _LEAST_BYTES:
            return False
        self.piece_bytes //= 2
        self.pairs_at_once = max(self.pairs_at_once // 2, 64)
        self._room //= 2
        return True

    def kept(self, name: Hashable, make: Callable[[], Any]) -> Any:
        """What `make` gave the last time if there was room for it, else what it gives now; the eldest go first.

        It has a size in bytes, `nbytes`, and is on the device.
        """
        with self._lock:
            if name in self._kept:
                self._kept.move_to_end(name)
                return self._kept[name]
        found = make()
        with self._lock:
            self._kept[name] = found
            while sum(one.nbytes for one in self._kept.values()) > self._room:
                self._kept.popitem(last=False)
        return found

    def products(self, x: Any, y: Any) -> Any:
        """Inner products of rows of int8, as int32; see `integers.integer_products`."""
        return integer_products(x, y)

    def near_pairs(
        self, a: tuple[Any, Any], b: tuple[Any, Any], blocks: Any, /, *, limit: float, triangular: bool
    ) -> NearPairs:
        """Find the pairs of rows whose squared distance is at most a limit, as float32 products compute it.

        |x|² + |y|² − 2 x·y, summed in any order, see `search.product_limit`. This is for any number of values.

        Memory: `piece_bytes`, and 8 bytes a pair that is found.

        Parameters
        ----------
        a, b
            Rows and their squared norms, (m, k) and (m,), (n, k) and (n,) float32, there.
        blocks
            (l, 2) int32, there: pairs of sub-blocks, of `SUB_BLOCK` rows each, in which to look.
        limit
            The limit.
        triangular
            Both are the same; only pairs with row < column.
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


CPU = Device()

# The squared distances stay in registers: a thread has some rows (-2 x there), and goes through the columns, which all
# threads of a warp read at once. A multiplication with addition for each value of a pair, and two or three instructions
# a pair besides: on an H100 with 33 · 10¹² of them a second, half a picosecond a pair for 16 values.
_NEAR_PAIRS = r"""
extern "C" __global__ void __launch_bounds__(128)
near_pairs(const float* __restrict__ rows, const float* __restrict__ row_norms, int m,
           const float* __restrict__ columns, const float* __restrict__ column_norms, int n,
           const int* __restrict__ blocks, float limit, int triangular, unsigned int most,
           unsigned int* counts, unsigned long long* number, long long* found) {
    const int groups = SIZE / (32 * ROWS), shares = 4 / groups;
    const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
    const int top = blocks[2 * blockIdx.x] * SIZE, left = blocks[2 * blockIdx.x + 1] * SIZE;
    const int first = top + warp % groups * 32 * ROWS + lane;
    const int stop = left + SIZE < n ? left + SIZE : n;
    float x[ROWS][WIDTH], norms[ROWS];
#pragma unroll
    for (int r = 0; r < ROWS; r++) {
        const int row = first + 32 * r;
        norms[r] = row < m ? row_norms[row] : 3e38f;
#pragma unroll
        for (int k = 0; k < WIDTH; k += 4) {
            float4 part = {0, 0, 0, 0};
            if (row < m) part = *(const float4*)(rows + (long long)row * WIDTH + k);
            x[r][k] = -2 * part.x;
            x[r][k + 1] = -2 * part.y;
            x[r][k + 2] = -2 * part.z;
            x[r][k + 3] = -2 * part.w;
        }
    }
    for (int column = left + warp / groups; column < stop; column += shares) {
        float4 y[WIDTH / 4];
#pragma unroll
        for (int k = 0; k < WIDTH / 4; k++) y[k] = __ldg((const float4*)(columns + (long long)column * WIDTH) + k);
        const float norm = __ldg(column_norms + column);
        float squares[ROWS], least = 3e38f;
#pragma unroll
        for (int r = 0; r < ROWS; r++) {
            squares[r] = norms[r] + norm;
#pragma unroll
            for (int k = 0; k < WIDTH / 4; k++) {
                squares[r] = fmaf(x[r][4 * k], y[k].x, squares[r]);
                squares[r] = fmaf(x[r][4 * k + 1], y[k].y, squares[r]);
                squares[r] = fmaf(x[r][4 * k + 2], y[k].z, squares[r]);
                squares[r] = fmaf(x[r][4 * k + 3], y[k].w, squares[r]);
            }
            least = fminf(least, squares[r]);
        }
        if (least <= limit) {
#pragma unroll
            for (int r = 0; r < ROWS; r++) {
                const int row = first + 32 * r;
                if (squares[r] <= limit && (!triangular || row < column)) {
                    const unsigned int place = atomicAdd(counts + blockIdx.x, 1u);
                    if (place < most)
                        found[atomicAdd(number, 1ull)] =
                            ((long long)blockIdx.x * SIZE + (row - top)) * SIZE + (column - left);
                }
            }
        }
    }
}
"""
# Numbers of values for which it is compiled, and the rows of a thread, which then fit into its 255 registers.
_THREAD_ROWS = {8: 8, 16: 8, 32: 4, 48: 2}
_THREADS = 128


class CuPyDevice(Device):
    """A GPU with CuPy: the current device of this process.

    What is not said of the sizes is as the memory that is free now allows, see `memory_shares`.
    """

    is_gpu = True

    def __init__(self, **options: Any) -> None:
        import cupy

        free, _ = cupy.cuda.runtime.memGetInfo()
        super().__init__(**{**memory_shares(free), **options})
        self._cupy = cupy
        self._near_pairs = {
            width: cupy.RawKernel(
                _NEAR_PAIRS, "near_pairs", (f"-DSIZE={SUB_BLOCK}", f"-DWIDTH={width}", f"-DROWS={rows}")
            )
            for width, rows in _THREAD_ROWS.items()
        }

    def to_device(self, values: Any) -> Any:
        """An array of NumPy there; one from there as it is."""
        return self._cupy.asarray(values)

    def to_host(self, values: Any) -> Any:
        """An array from there as one of NumPy."""
        return self._cupy.asnumpy(values)

    def is_short_of_memory(self, error: BaseException) -> bool:
        """Whether an error says that the device has too little memory."""
        # CuPy's own error is a MemoryError; CUDA and its libraries, which allocate some themselves, know no such kind
        said = isinstance(error, RuntimeError) and any(word in str(error) for word in _NO_MEMORY)
        return said or super().is_short_of_memory(error)

    def is_broken(self, error: BaseException) -> bool:
        """Whether an error says that CUDA, or what CuPy makes with it, fails."""
        # errors of CUDA and its libraries are RuntimeErrors, of kinds that CuPy's modules define
        of_cupy = type(error).__module__.partition(".")[0] in ("cupy", "cupy_backends")
        compiled = isinstance(error, self._cupy.cuda.compiler.CompileException)
        return compiled or (isinstance(error, RuntimeError) and (of_cupy or "CuPy" in str(error)))

    def free(self) -> None:
        """Give back what is kept, and the pool of CuPy."""
        super().free()
        self._cupy.get_default_memory_pool().free_all_blocks()

    def products(self, x: Any, y: Any) -> Any:
        """Inner products of rows of int8, as int32, by tensor cores."""
        return int8_products(x, y)

    def near_pairs(
        self, a: tuple[Any, Any], b: tuple[Any, Any], blocks: Any, /, *, limit: float, triangular: bool
    ) -> NearPairs:
        """As `Device.near_pairs`; of few values by a kernel of its own, with room for all that it may find."""
        cupy = self._cupy
        width = next((width for width in _THREAD_ROWS if width >= a[0].shape[1]), None)
        if width is None:
            return super().near_pairs(a, b, blocks, limit=limit, triangular=triangular)

        def laid_out(values: Any) -> Any:
            fill = width - values.shape[1]
            return cupy.ascontiguousarray(cupy.pad(values, ((0, 0), (0, fill))) if fill else values)

        numbers = []
        parts: list[tuple[Any, Any, Any]] = []
        at_once = max(1, self.piece_bytes // (8 * self.dense_pairs))
        for start in range(0, blocks.shape[0], at_once):
            piece = cupy.ascontiguousarray(blocks[start : start + at_once])
            counts = cupy.zeros(piece.shape[0], cupy.uint32)
            number = cupy.zeros(1, cupy.uint64)
            found = cupy.empty(piece.shape[0] * self.dense_pairs, cupy.int64)
            arguments = (
                *(laid_out(a[0]), cupy.ascontiguousarray(a[1]), np.int32(a[0].shape[0])),
                *(laid_out(b[0]), cupy.ascontiguousarray(b[1]), np.int32(b[0].shape[0])),
                *(piece, np.float32(limit), np.int32(triangular), np.uint32(self.dense_pairs)),
                *(counts, number, found),
            )
            self._near_pairs[width]((piece.shape[0],), (_THREADS,), arguments)
            numbers.append(cupy.sum(counts, dtype=cupy.int64))
            many = cupy.nonzero(counts > self.dense_pairs)[0]
            # the threads write them in another order each time
            places = cupy.sort(found[: int(number[0])])
            block = places // SUB_BLOCK**2
            if many.shape[0]:
                kept = counts[block] <= self.dense_pairs
                places, block = places[kept], block[kept]
            i = cupy.take(piece[:, 0], block).astype(cupy.int64) * SUB_BLOCK + places // SUB_BLOCK % SUB_BLOCK
            j = cupy.take(piece[:, 1], block).astype(cupy.int64) * SUB_BLOCK + places % SUB_BLOCK
            parts.append((i, j, many + start))
        if not parts:
            return NearPairs(0, *[cupy.zeros(0, cupy.int64)] * 3)
        return NearPairs(int(cupy.stack(numbers).sum()), *map(cupy.concatenate, zip(*parts, strict=True)))


def memory_shares(free: int) -> dict[str, int]:
    """The sizes of a `Device` for so many bytes of free memory: at most a quarter of it for what is kept."""
    return {
        "piece_bytes": min(PIECE_BYTES, max(free // _PIECE_SHARE, _LEAST_BYTES)),
        "cache_bytes": free // _KEPT_SHARE,
    }


_making = threading.Lock()


@cache
def _gpu_device() -> Device:
    check_gpu()
    return CuPyDevice()


def best_device() -> Device:
    """The GPU of this process, or the processor, if there is none or it has failed before."""
    if why_given_up():
        return CPU
    with _making:  # one for all threads
        try:
            return _gpu_device()
        except Exception as error:
            note_failure(str(error) if isinstance(error, UsageError) else f"{type(error).__name__}: {error}")
            return CPU


def give_up(device: Device, reason: str) -> None:
    """Do without a GPU in this process from now on; its memory is free then, if nobody holds arrays of it."""
    note_failure(reason)
    with suppress(Exception):  # it is broken
        device.free()


def free_gpu() -> None:
    """Give back what this process keeps on its GPU, if it has one."""
    if _gpu_device.cache_info().currsize:
        with suppress(Exception):
            _gpu_device().free()
