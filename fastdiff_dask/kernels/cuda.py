"""The GPU of this process, with CuPy: look for one, compute on it, and do without it once it has failed.

`device.Device` is the processor's side of the same interface, and the only one that other kernels know.
"""

import os
import platform
import threading
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from typing import Any, TypeVar

import numpy as np

from ..errors import UsageError
from ..text import one_line
from .device import CPU, LEAST_BYTES, PIECE_BYTES, Device, NearPairs
from .grid import SUB_BLOCK
from .squared_errors_int8 import int8_products

__all__ = [
    "CuPyDevice",
    "best_device",
    "check_gpu",
    "free_gpu",
    "give_up",
    "gpu_name",
    "memory_shares",
    "missing_gpu",
    "note_failure",
    "run_on",
    "why_given_up",
]

_INSTALL = "pip install 'fastdiff_dask[cuda12]' or 'fastdiff_dask[cuda13]', as the driver is"
# Reasons why this process does without its GPU: a GPU that failed once would fail again, and each time cost a tile.
_failed: list[str] = []
# Shares of the free memory of a GPU: for the cache, and for a step, of which two or three are alive. Two more processes
# may have the same GPU.
_CACHE_SHARE, _PIECE_SHARE = 4, 32
# How CUDA and cuBLAS say that memory is short, the last one when it cannot begin.
_NO_MEMORY = (
    *("cudaErrorMemoryAllocation", "CUDA_ERROR_OUT_OF_MEMORY"),
    *("CUBLAS_STATUS_ALLOC_FAILED", "CUBLAS_STATUS_NOT_INITIALIZED"),
)
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
# Numbers of values for which the kernel is compiled, and for each the rows of a thread, which fit into 255 registers.
_THREAD_ROWS = {8: 8, 16: 8, 32: 4, 48: 2}
_THREADS = 128
_making = threading.Lock()

Result = TypeVar("Result")


class CuPyDevice(Device):
    """A GPU with CuPy: the current device of this process.

    Parameters
    ----------
    **options
        Sizes, see `Device`. By default, those that the free memory allows, see `memory_shares`.
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
        """Send an array of NumPy to the GPU; one that is there stays as it is."""
        return self._cupy.asarray(values)

    def to_host(self, values: Any) -> Any:
        """Fetch an array from the GPU as one of NumPy."""
        return self._cupy.asnumpy(values)

    def is_short_of_memory(self, error: BaseException) -> bool:
        """Tell if an error means that the GPU has too little memory."""
        # CuPy's own error is a MemoryError; CUDA and its libraries, which allocate some themselves, know no such kind
        said = isinstance(error, RuntimeError) and any(word in str(error) for word in _NO_MEMORY)
        return said or super().is_short_of_memory(error)

    def is_broken(self, error: BaseException) -> bool:
        """Tell if an error means that CUDA, or code that CuPy compiles for it, fails."""
        # errors of CUDA and its libraries are RuntimeErrors, of kinds that CuPy's modules define
        of_cupy = type(error).__module__.partition(".")[0] in ("cupy", "cupy_backends")
        compiled = isinstance(error, self._cupy.cuda.compiler.CompileException)
        return compiled or (isinstance(error, RuntimeError) and (of_cupy or "CuPy" in str(error)))

    def free(self) -> None:
        """Empty the cache, and CuPy's pool of memory."""
        super().free()
        self._cupy.get_default_memory_pool().free_all_blocks()

    def products(self, x: Any, y: Any) -> Any:
        """Inner products of rows of int8, as int32, by tensor cores."""
        return int8_products(x, y)

    def near_pairs(
        self, a: tuple[Any, Any], b: tuple[Any, Any], blocks: Any, /, *, limit: float, triangular: bool
    ) -> NearPairs:
        """Find near pairs as `Device.near_pairs`; for few values, by a kernel with room for all that it may find."""
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
                few = counts[block] <= self.dense_pairs
                places, block = places[few], block[few]
            i = cupy.take(piece[:, 0], block).astype(cupy.int64) * SUB_BLOCK + places // SUB_BLOCK % SUB_BLOCK
            j = cupy.take(piece[:, 1], block).astype(cupy.int64) * SUB_BLOCK + places % SUB_BLOCK
            parts.append((i, j, many + start))
        if not parts:
            return NearPairs(0, *[cupy.zeros(0, cupy.int64)] * 3)
        return NearPairs(int(cupy.stack(numbers).sum()), *map(cupy.concatenate, zip(*parts, strict=True)))


def note_failure(reason: str) -> None:
    """Do without a GPU in this process from now on."""
    _failed.append(one_line(reason, 1000))


def why_given_up() -> str:
    """Reason why this process does without its GPU; empty if it does not."""
    return _failed[0] if _failed else ""


def missing_gpu() -> str:
    """Reason why this process cannot compare on a GPU; empty if it can."""
    if _failed:
        return f"the GPU failed before ({_failed[0]}); start this process anew to use it again"
    try:
        check_gpu()
    except UsageError as error:
        return str(error)
    return ""


def gpu_name() -> str:
    """Name the GPU of this process by its machine and its number, so that no other GPU of a cluster has the name."""
    import cupy

    properties = cupy.cuda.runtime.getDeviceProperties(cupy.cuda.runtime.getDevice())
    # parts of a GPU, which CUDA calls instances, have one number on the bus
    places = [properties.get(f"pci{part}ID") for part in ("Domain", "Bus", "Device")]
    return f"{platform.node()} {places} {properties.get('uuid')}"


def check_gpu() -> int:
    """Check that this machine has a GPU that works with CuPy, and count its GPUs.

    Raises
    ------
    UsageError
        If CuPy, the driver or a GPU is missing or does not work; the message says which.
    """
    cupy = _import_cupy()
    if os.environ.get("CUPY_TF32", "0") not in ("", "0"):
        raise UsageError("CUPY_TF32 is set, which rounds products to 10 bits; unset it")
    number = _count_gpus(cupy)
    if not number:
        raise UsageError("there is no GPU in this machine; leave out gpu_proc=")
    _check_products(cupy)
    return number


def _import_cupy() -> Any:
    try:
        import cupy
    except Exception as error:
        if isinstance(error, ModuleNotFoundError) and error.name == "cupy":
            raise UsageError(
                f"CuPy is not installed, which comparing on a GPU needs; install it with: {_INSTALL}"
            ) from None
        raise UsageError(f"CuPy cannot be used here ({one_line(error)}); install it anew: {_INSTALL}") from None
    return cupy


def _count_gpus(cupy: Any) -> int:
    try:
        return int(cupy.cuda.runtime.getDeviceCount())
    except cupy.cuda.runtime.CUDARuntimeError as error:
        if "NoDevice" in str(error):
            return 0
        raise UsageError(
            f"there is no driver here that this CuPy can use ({one_line(error)}); install NVIDIA's, or for an older "
            "one 'fastdiff_dask[cuda12]' instead of [cuda13]"
        ) from None


def _check_products(cupy: Any) -> None:
    """Check that products of float32 work, for which CuPy compiles code and loads libraries, and are not rounded."""
    try:
        values = cupy.full((256, 256), 1 + 2.0**-20, cupy.float32)
        rounded = bool((values @ cupy.eye(256, dtype=cupy.float32) != values).any())
    except Exception as error:
        if isinstance(error, MemoryError):
            raise UsageError(
                "other programs take the memory of the GPU; end some of them, or leave out gpu_proc="
            ) from None
        raise UsageError(
            f"the GPU does not work with this CuPy ({one_line(error, kind=True)}); install CUDA's libraries for it: "
            f"{_INSTALL}"
        ) from None
    if rounded:
        raise UsageError("this GPU rounds products of float32 to less; set CuPy's compute type to the default")


def memory_shares(free: int) -> dict[str, int]:
    """Sizes of a `Device` for so many bytes of free memory: the cache takes at most a quarter of it."""
    return {
        "piece_bytes": min(PIECE_BYTES, max(free // _PIECE_SHARE, LEAST_BYTES)),
        "cache_bytes": free // _CACHE_SHARE,
    }


@cache
def _gpu_device() -> Device:
    check_gpu()
    return CuPyDevice()


def best_device() -> Device:
    """Give the GPU of this process, or the processor, if there is none or it has failed before."""
    if why_given_up():
        return CPU
    with _making:  # one for all threads
        try:
            return _gpu_device()
        except Exception as error:
            note_failure(str(error) if isinstance(error, UsageError) else one_line(error, kind=True))
            return CPU


def run_on(device: Device, work: Callable[[Device], Result]) -> Result:
    """Do some work on a device; if that is a GPU and fails, do the work on the processor, from then on always.

    If the GPU's memory is short, the work is tried again in smaller pieces, as long as they can be made smaller.

    Parameters
    ----------
    device
        Where to begin.
    work
        Does the work on the device that it is given; called again after a failure, so that it must begin anew.

    Returns
    -------
    The result of `work`.

    Raises
    ------
    Exception
        What `work` raises, if it is no failure of the GPU.
    """
    while device.is_gpu:
        try:
            return work(device)
        except Exception as error:
            short = device.is_short_of_memory(error)
            if short and device.shrink():
                continue
            if not (short or device.is_broken(error)):
                raise
            reason = one_line(error, kind=True)
        # only here, where the error and the arrays that its traceback holds are gone
        give_up(device, reason)
        device = CPU
    return work(device)


def give_up(device: Device, reason: str) -> None:
    """Do without a GPU in this process from now on; its memory is free then, if nobody holds arrays of it."""
    note_failure(reason)
    with suppress(Exception):  # it is broken
        device.free()


def free_gpu() -> None:
    """Free the memory that this process takes on its GPU, if it has one."""
    if _gpu_device.cache_info().currsize:
        with suppress(Exception):
            _gpu_device().free()
