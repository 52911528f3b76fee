"""The search on an accelerator: large pieces, few launches, survivors compacted there. CuPy; any other array in tests.

What the stages of `search.candidate_pairs` do for a processor, whose caches are small, is turned round here: no boxes
and no sub-blocks, but matrix products of some hundred megabytes, after each of which the device says one number: how
many pairs are left. The bounds are the same ones, so that the same pairs are found.
"""

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator
from contextlib import suppress
from functools import cache
from typing import Any

import numpy as np
from array_api_compat import array_namespace

from .errors import FastDiffError, UsageError
from .gpu import check_gpu
from .metrics import apply_transform
from .search import SearchCounts, SearchSide, listed_limit, product_limit

__all__ = [
    "CPU",
    "CuPyDevice",
    "Device",
    "batched_candidates",
    "best_device",
    "dense_mean_squared_errors",
    "give_up",
    "gpu_device",
    "int8_products",
    "memory_shares",
]

# Bytes of a matrix of squared distances, its rows, and pairs whose whole signatures are compared at once.
PIECE_BYTES, _ROWS, _SURVIVORS = 1 << 29, 4096, 1 << 18
# Bytes of signatures that are kept on a device whose memory nobody asked for.
_CACHE_BYTES = 4 << 30
# Shares of the free memory of a GPU: what is kept, and a piece, of which there are some, and pairs beside it. Two more
# processes may have the same GPU.
_KEPT_SHARE, _PIECE_SHARE = 4, 32
# Below this a piece has so little work that a GPU is not worth it.
_LEAST_BYTES = 1 << 22
_DENSE_SHARE, _FEW = 64, 64
# The time of a pair in the first product, a + b · values, and of a pair that is left; only their ratios matter. A pair
# costs 8 bytes of traffic and 2 operations a value: on an H100, 3.35 TB/s and 67 Tflop/s by its data sheet, 2.4 ps and
# 0.03 ps a value; a survivor two rows of signatures of 1 kB, 600 ps.
_PAIR_TIME, _VALUE_TIME, _SURVIVOR_TIME = 2.4, 0.03, 600.0
_SAMPLE = 512
# How CUDA's runtime and cuBLAS say that memory is short.
_NO_MEMORY = ("cudaErrorMemoryAllocation", "CUBLAS_STATUS_ALLOC_FAILED")
# A type of CUDA's library_types.h that CuPy has no name for.
_CUDA_R_32I = 10


class Device:
    """Where a tile is computed; this one is the processor, with NumPy.

    Attributes
    ----------
    piece_bytes
        Bytes of a matrix of squared distances; halved when memory is short.
    pairs_at_once
        Pairs of thumbnails that are compared at once.
    """

    is_gpu = False

    def __init__(
        self, piece_bytes: int = PIECE_BYTES, cache_bytes: int = _CACHE_BYTES, pairs_at_once: int = 4096
    ) -> None:
        self.piece_bytes, self.pairs_at_once = piece_bytes, pairs_at_once
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
        """Work on smaller pieces from now on; False if they are small already."""
        self.free()
        if self.piece_bytes < 2 * _LEAST_BYTES:
            return False
        self.piece_bytes //= 2
        self.pairs_at_once = max(self.pairs_at_once // 2, 64)
        self._room //= 2
        return True

    def kept(self, name: Hashable, make: Callable[[], Any]) -> Any:
        """An array on the device, from the last time it was asked for if there was room; the eldest go first."""
        with self._lock:
            if name in self._kept:
                self._kept.move_to_end(name)
                return self._kept[name]
        found = self.to_device(make())
        with self._lock:
            self._kept[name] = found
            while sum(one.nbytes for one in self._kept.values()) > self._room:
                self._kept.popitem(last=False)
        return found

    def places(self, squares: Any, limit: float, most: int) -> tuple[int, Any]:
        """How many of the values of a matrix are at most a limit, and their places in one dimension, ascending.

        Without the places if there are more than `most`.
        """
        xp = array_namespace(squares)
        near = xp.reshape(squares <= limit, (-1,))
        count = int(xp.count_nonzero(near))
        return count, xp.nonzero(near)[0] if count <= most else None


CPU = Device()

_COMPACT = r"""
extern "C" __global__ void compact(const float* values, unsigned long long n, float limit, unsigned long long room,
                                   unsigned long long* count, long long* found) {
    unsigned long long step = (unsigned long long)gridDim.x * blockDim.x;
    for (unsigned long long i = (unsigned long long)blockIdx.x * blockDim.x + threadIdx.x; i < n; i += step)
        if (values[i] <= limit) {
            unsigned long long place = atomicAdd(count, 1ULL);
            if (place < room) found[place] = (long long)i;
        }
}
"""


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
        self._compact = cupy.RawKernel(_COMPACT, "compact")

    def to_device(self, values: Any) -> Any:
        """An array of NumPy there; one from there as it is."""
        return self._cupy.asarray(values)

    def to_host(self, values: Any) -> Any:
        """An array from there as one of NumPy."""
        return self._cupy.asnumpy(values)

    def is_short_of_memory(self, error: BaseException) -> bool:
        """Whether an error says that the device has too little memory."""
        # CUDA and its libraries allocate some themselves, and know no other kind of error
        said = isinstance(error, RuntimeError) and any(word in str(error) for word in _NO_MEMORY)
        return said or isinstance(error, self._cupy.cuda.memory.OutOfMemoryError)

    def is_broken(self, error: BaseException) -> bool:
        """Whether an error says that CUDA, or what CuPy makes with it, fails."""
        # errors of CUDA and its libraries are RuntimeErrors, as is what CuPy cannot load
        kinds = (RuntimeError, self._cupy.cuda.compiler.CompileException)
        return isinstance(error, kinds) and not isinstance(error, FastDiffError)

    def free(self) -> None:
        """Give back what is kept, and the pool of CuPy."""
        super().free()
        self._cupy.get_default_memory_pool().free_all_blocks()

    def places(self, squares: Any, limit: float, most: int) -> tuple[int, Any]:
        """As `Device.places`; one kernel, whose finds are sorted afterwards."""
        # nonzero() makes a running sum of all places first, which takes eight times the memory of the matrix
        cupy = self._cupy
        count, found = cupy.zeros(1, cupy.uint64), cupy.empty(max(most, 1), cupy.int64)
        arguments = (squares, np.uint64(squares.size), np.float32(limit), np.uint64(found.size), count, found)
        self._compact((4096,), (256,), arguments)
        number = int(count[0])
        return number, cupy.sort(found[:number]) if number <= most else None


def memory_shares(free: int) -> dict[str, int]:
    """The sizes of a `Device` for so many bytes of free memory: at most a quarter of it for what is kept."""
    return {
        "piece_bytes": min(PIECE_BYTES, max(free // _PIECE_SHARE, _LEAST_BYTES)),
        "cache_bytes": free // _KEPT_SHARE,
    }


_failed: list[str] = []


@cache
def gpu_device() -> Device:
    """The GPU of this process.

    Raises
    ------
    UsageError
        If there is none, see `gpu.check_gpu`.
    """
    check_gpu()
    return CuPyDevice()


def best_device() -> Device:
    """The GPU of this process, or the processor, if there is none or it has failed before."""
    if _failed:
        return CPU
    try:
        return gpu_device()
    except UsageError:
        return CPU


def give_up(device: Device, reason: str) -> None:
    """Do without a GPU in this process from now on; its memory is free then, if nobody holds arrays of it."""
    _failed.append(reason)
    with suppress(Exception):  # it is broken
        device.free()


def batched_candidates(
    a: Any,
    b: Any,
    /,
    *,
    radius: float,
    counts: SearchCounts,
    device: Device,
    triangular: bool = False,
) -> Iterator[tuple[Any, Any] | tuple[range, range]]:
    """Find the pairs whose signatures are at most a radius apart, see `search.candidate_pairs`.

    Memory on the device: the sides twice to three times, a piece (`Device.piece_bytes`), and for the survivors of a
    piece two rows each, some hundred thousand at a time.

    Parameters
    ----------
    a, b
        (m, k) and (n, k) float32 on the device.
    radius, counts, triangular
        As for `search.candidate_pairs`; of `counts`, all pairs are near.
    device
        Where they are.

    Yields
    ------
    As `search.candidate_pairs`; arrays on the device.
    """
    xp = array_namespace(a, b)
    pairs = a.shape[0] * (a.shape[0] - 1) // 2 if triangular else a.shape[0] * b.shape[0]
    counts.pairs += pairs
    counts.near += pairs
    if not pairs:
        return
    rows = SearchSide(a, [range(a.shape[0])], xp)
    columns = rows if triangular else SearchSide(b, [range(b.shape[0])], xp)
    count = _choose_count(rows, columns, radius, xp)
    limit = product_limit(radius, count, rows.largest[count] + columns.largest[count])
    left, right = rows.left(count, slice(None), xp), columns.right(count, slice(None), xp)
    height = min(_ROWS, max(1, device.piece_bytes // 8))
    width = max(1, device.piece_bytes // (4 * height))
    for top in range(0, a.shape[0], height):
        bottom = min(top + height, a.shape[0])
        for start in range(top if triangular else 0, b.shape[0], width):
            stop = min(start + width, b.shape[0])
            size = (bottom - top) * (stop - start)
            squares = left[top:bottom, :] @ right[start:stop, :].T
            number, places = device.places(squares, limit, max(size // _DENSE_SHARE, _FEW))
            del squares  # a piece is large
            if places is None:
                counts.leading += number
                counts.dense += size
                yield range(top, bottom), range(start, stop)
                continue
            i, j = places // (stop - start) + top, places % (stop - start) + start
            if triangular:
                wanted = i < j
                i, j = i[wanted], j[wanted]
            counts.leading += i.shape[0]
            for first in range(0, i.shape[0], _SURVIVORS):
                x, y = i[first : first + _SURVIVORS], j[first : first + _SURVIVORS]
                differences = xp.take(a, x, axis=0) - xp.take(b, y, axis=0)
                near = xp.vecdot(differences, differences) <= listed_limit(radius, a.shape[1])
                x, y = x[near], y[near]
                if x.shape[0]:
                    counts.candidates += x.shape[0]
                    yield x, y


def _choose_count(a: SearchSide, b: SearchSide, radius: float, xp: Any) -> int:
    """How many leading values to use first: what costs least by a sample; it decides the time alone."""
    sampled = [slice(0, side.values.shape[0], -(-side.values.shape[0] // _SAMPLE)) for side in (a, b)]
    costs = []
    for count in a.counts():
        squares = a.left(count, sampled[0], xp) @ b.right(count, sampled[1], xp).T
        limit = product_limit(radius, count, a.largest[count] + b.largest[count])
        left = int(xp.count_nonzero(squares <= limit)) / (squares.shape[0] * squares.shape[1])
        costs.append((_PAIR_TIME + _VALUE_TIME * count + _SURVIVOR_TIME * left, count))
    return min(costs)[1]


# -- all with all ------------------------------------------------------------------------------------------------------


def dense_mean_squared_errors(a: Any, b: Any, transforms: tuple[int, ...], products: Callable[[Any, Any], Any]) -> Any:
    """`metrics.mean_squared_errors` by products of 8-bit integers, which tensor cores make.

    With x and y the images less 128, |x − y|² = |x|² + |y|² − 2 x·y; a sum of k products of such values is at most
    2¹⁴ k, and exact in 32 bits for images of up to 131,071 values.

    Memory: 16 bytes a pair, and 3 bytes a value of the images.

    Parameters
    ----------
    a, b
        (m, h, w, c) and (n, h, w, c) uint8.
    transforms
        Numbers of the transforms of images of `a`.
    products
        (m, k) and (n, k) int8 → (m, n) int32, their inner products; see `int8_products`.

    Returns
    -------
    (m, n) float64.
    """
    xp = array_namespace(a, b)

    def centred(images: Any) -> Any:
        flat = xp.reshape(images, (images.shape[0], images.shape[1] * images.shape[2] * images.shape[3]))
        # the bits of v − 128 in two's complement are those of v with the first one turned over
        return (flat ^ 128).view(xp.int8)

    y, best = centred(b), None
    for transform in transforms:
        x = centred(apply_transform(a, transform))
        found = products(x, y)
        best = found if best is None else xp.maximum(best, found)
    norms = [xp.sum(xp.astype(side, xp.int32) ** 2, axis=1, dtype=xp.int64) for side in (centred(a), y)]
    errors = norms[0][:, None] + norms[1][None, :] - 2 * xp.astype(best, xp.int64)
    return xp.astype(errors, xp.float64) / (a.shape[1] * a.shape[2])


def int8_products(x: Any, y: Any) -> Any:
    """Inner products of the rows of two CuPy arrays of int8, in int32: (m, k), (n, k) → (m, n), by cuBLAS.

    k is filled up with zeros to a multiple of 16, as the tensor cores want their rows aligned.
    """
    import cupy
    from cupy.cuda import device, runtime
    from cupy_backends.cuda.libs import cublas

    fill = -x.shape[1] % 16
    if fill:
        x, y = (cupy.pad(side, ((0, 0), (0, fill))) for side in (x, y))
    x, y = cupy.ascontiguousarray(x), cupy.ascontiguousarray(y)
    (m, k), n = x.shape, y.shape[0]
    result = cupy.empty((m, n), cupy.int32)
    one, zero = np.array(1, np.int32), np.array(0, np.int32)
    handle = device.get_cublas_handle()
    mode = cublas.getPointerMode(handle)
    cublas.setPointerMode(handle, cublas.CUBLAS_POINTER_MODE_HOST)
    try:
        # cuBLAS counts columns first: it gives (n, m) there, which is (m, n) here
        cublas.gemmEx(
            *(handle, cublas.CUBLAS_OP_T, cublas.CUBLAS_OP_N, n, m, k, one.ctypes.data),
            *(y.data.ptr, runtime.CUDA_R_8I, k, x.data.ptr, runtime.CUDA_R_8I, k, zero.ctypes.data),
            *(result.data.ptr, _CUDA_R_32I, n, cublas.CUBLAS_COMPUTE_32I, cublas.CUBLAS_GEMM_DEFAULT),
        )
    finally:
        cublas.setPointerMode(handle, mode)
    return result
