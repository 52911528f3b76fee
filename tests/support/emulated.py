"""CuPy as far as `cuda.CuPyDevice` uses it, with NumPy's arrays; its kernels are compiled for the processor, and run.

Their threads run one after the other, which a kernel without barriers does not see.
"""

import ctypes
import shutil
import subprocess
import tempfile
from functools import cache, partial
from pathlib import Path
from types import ModuleType, SimpleNamespace
from unittest import mock

import numpy as np

from fastdiff_dask.kernels.cuda import CuPyDevice
from fastdiff_dask.kernels.squared_errors_int8 import integer_products

__all__ = ["COMPILER", "emulated_device"]

COMPILER = shutil.which("c++") or shutil.which("g++")
FREE = 8 << 30

# The words of CUDA that the kernel uses, for a C++ compiler.
_WORDS = """
#include <cmath>
#define __global__
#define __launch_bounds__(threads)
struct Three { unsigned x; };
struct float4 { float x, y, z, w; };
static thread_local Three threadIdx, blockIdx;  // tiles are compared by several threads of the test
template <typename T> static T __ldg(const T* place) { return *place; }
template <typename T> static T atomicAdd(T* place, T more) {
    T before = *place;
    *place += more;
    return before;
}
"""
_RUN = """
extern "C" void run(unsigned blocks, unsigned threads, const float* rows, const float* row_norms, int m,
                    const float* columns, const float* column_norms, int n, const int* pairs, float limit,
                    int triangular, unsigned most, unsigned* counts, unsigned long long* number, long long* found) {
    for (blockIdx.x = blocks; blockIdx.x-- > 0;)
        for (threadIdx.x = 0; threadIdx.x < threads; threadIdx.x++)
            near_pairs(rows, row_norms, m, columns, column_norms, n, pairs, limit, triangular, most, counts, number,
                       found);
}
"""
_TYPES = {np.float32: ctypes.c_float, np.int32: ctypes.c_int, np.uint32: ctypes.c_uint}
# what the kernel wants, as CuPy does not look
_WANTED = [
    *(("array", np.float32), ("array", np.float32), ("number", np.int32)),
    *(("array", np.float32), ("array", np.float32), ("number", np.int32)),
    *(("array", np.int32), ("number", np.float32), ("number", np.int32), ("number", np.uint32)),
    *(("array", np.uint32), ("array", np.uint64), ("array", np.int64)),
]


class _Kernel:
    def __init__(self, source, name, options):
        assert name == "near_pairs"
        folder = Path(tempfile.mkdtemp(prefix="fastdiff-kernel-"))
        (folder / "kernel.cpp").write_text(_WORDS + source + _RUN)
        flags = ["-O2", "-shared", "-fPIC", "-Wall", "-Wno-unknown-pragmas", "-Werror", "-fsanitize=undefined"]
        flags += ["-fno-sanitize-recover=undefined", *options]
        subprocess.run([COMPILER, *flags, "-o", "kernel.so", "kernel.cpp"], cwd=folder, check=True)
        self._run = ctypes.CDLL(str(folder / "kernel.so")).run
        shutil.rmtree(folder)

    def __call__(self, grid, block, arguments):
        assert len(grid) == len(block) == 1
        given = [ctypes.c_uint(grid[0]), ctypes.c_uint(block[0])]
        for (kind, dtype), value in zip(_WANTED, arguments, strict=True):
            assert value.dtype == dtype
            if kind == "array":
                assert value.flags.c_contiguous
                assert value.ctypes.data % 16 == 0  # as CuPy's are
                given.append(ctypes.c_void_p(value.ctypes.data))
            else:
                given.append(_TYPES[dtype](value))
        self._run(*given)


_kernel = cache(_Kernel)


def _aligned(array):
    """The memory of an array of CuPy begins at multiples of 512 bytes."""
    space = np.empty(array.nbytes + 512, np.uint8)
    start = -space.ctypes.data % 512
    copy = space[start : start + array.nbytes].view(array.dtype).reshape(array.shape)
    copy[...] = array
    return copy


def _made(make, *arguments):
    return _aligned(make(*arguments))


def _cupy():
    module = ModuleType("cupy")
    names = ["sum", "sort", "nonzero", "take", "stack", "concatenate", "uint32", "uint64", "int64", "asarray"]
    module.__dict__.update({name: getattr(np, name) for name in names})
    for name in ("ascontiguousarray", "pad", "zeros", "empty"):
        module.__dict__[name] = partial(_made, getattr(np, name))
    module.asnumpy = np.asarray
    module.RawKernel = _kernel
    module.get_default_memory_pool = lambda: SimpleNamespace(free_all_blocks=lambda: None)
    errors = {"compiler": {"CompileException": KeyError}, "memory": {"OutOfMemoryError": MemoryError}}
    module.cuda = SimpleNamespace(
        runtime=SimpleNamespace(memGetInfo=lambda: (FREE, 10 * FREE)),
        **{name: SimpleNamespace(**kinds) for name, kinds in errors.items()},
    )
    return module


def emulated_device(**options):
    """A `CuPyDevice` that is the processor."""
    with mock.patch.dict("sys.modules", cupy=_cupy()):
        device = CuPyDevice(**options)
    device.products = integer_products  # of cuBLAS nothing is emulated here
    return device
