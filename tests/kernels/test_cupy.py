"""CuPy's part without a GPU: the names that it uses are there, and its kernel compiles and works.

The tests marked ``gpu``, in `test_device`, run it.
"""

import ast
import ctypes
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
from click.testing import CliRunner
from scipy.spatial.distance import cdist
from support import emulated

import fastdiff_dask as fd
from fastdiff_dask.cli.commands import commands
from fastdiff_dask.kernels import cuda, device, grid, squared_errors_int8
from fastdiff_dask.testing import simulate_images

PACKAGE = Path(fd.__file__).parent
KERNELS = [f"kernels/{path.stem}" for path in sorted((PACKAGE / "kernels").glob("[a-z]*.py"))]


@pytest.fixture(scope="module")
def cupy():
    return pytest.importorskip("cupy", reason="CuPy is not installed: pip install cupy-cuda13x", exc_type=ImportError)


def chains(module, roots):
    """Names such as ``cupy.cuda.runtime.memGetInfo`` in the code of a module, which begin with one of some roots."""
    found = set()
    for node in ast.walk(ast.parse((PACKAGE / f"{module}.py").read_text())):
        parts = []
        while isinstance(node, ast.Attribute):
            parts.append(node.attr)
            node = node.value
        if isinstance(node, ast.Name) and node.id in roots and parts:
            found.add((node.id, *reversed(parts)))
    return sorted(found)


def assert_there(found, parts):
    for part in parts:
        if isinstance(found, type) and part not in vars(found):
            return  # an instance's
        assert hasattr(found, part), f"{found} has no {part}"
        found = getattr(found, part)


def test_kernels_use_what_cupy_has(cupy):
    import array_api_compat.cupy as xp

    used = [(module, chain) for module in KERNELS for chain in chains(module, {"xp"})]
    assert len(used) > 30
    for _, (_, *parts) in used:
        assert_there(xp, parts)


def test_the_names_of_cupy_are_there(cupy):
    from cupy.cuda import device as cuda_device
    from cupy.cuda import runtime

    roots = {"cupy": cupy, "runtime": runtime}
    used = [
        chain
        for module in ("kernels/device", "kernels/cuda", "kernels/squared_errors_int8")
        for chain in chains(module, roots)
    ]
    assert ("cupy", "cuda", "runtime", "memGetInfo") in used
    for root, *parts in used:
        assert_there(roots[root], parts)
    for _, first, *parts in chains("kernels/cuda", {"self"}):
        if first == "_cupy":
            assert_there(cupy, parts)
    assert callable(cuda_device.get_cublas_handle)
    # these are told by their kind, without naming each
    assert issubclass(runtime.CUDARuntimeError, RuntimeError)
    assert issubclass(cupy.cuda.driver.CUDADriverError, RuntimeError)


def test_the_names_of_cublas_are_there(cupy):
    try:
        from cupy_backends.cuda.libs import cublas
    except ImportError as error:
        pytest.skip(f"CUDA's libraries are not installed: {str(error).splitlines()[0]}")
    assert issubclass(cublas.CUBLASError, RuntimeError)
    used = chains("kernels/squared_errors_int8", {"cublas"})
    assert ("cublas", "gemmEx") in used
    for _, *parts in used:
        assert_there(cublas, parts)
    arguments = cublas.gemmEx.__doc__.partition("(")[2].partition(")")[0].split(",")
    names = [argument.split()[-1].lower() for argument in arguments]
    assert names == list(_gemm.__code__.co_varnames[: _gemm.__code__.co_argcount])


@pytest.mark.parametrize("architecture", ["sm_75", "sm_80", "sm_90", "sm_100"])
def test_the_kernel_compiles(cupy, architecture):
    from cupy.cuda import nvrtc

    for width, rows in cuda._THREAD_ROWS.items():
        try:
            program = nvrtc.createProgram(cuda._NEAR_PAIRS, "near_pairs.cu", (), ())
        except RuntimeError as error:
            pytest.skip(f"CUDA's compiler is not installed: {str(error).splitlines()[0]}")
        # the registers that a thread has are enough: it stores nothing elsewhere
        options = [f"--gpu-architecture={architecture}", "--ptxas-options=-v", "--ptxas-options=-warn-spills"]
        options += [f"-DSIZE={grid.SUB_BLOCK}", f"-DWIDTH={width}", f"-DROWS={rows}"]
        nvrtc.compileProgram(program, options)
        assert b"near_pairs" in nvrtc.getCUBIN(program)
        assert "spill" not in nvrtc.getProgramLog(program).replace("0 bytes spill", "")


def test_cupy_without_a_driver_or_a_device(cupy, tmp_path):
    if not cuda.missing_gpu():
        pytest.skip("there is a GPU")
    done = CliRunner().invoke(commands, ["find", str(tmp_path), "--gpu"])
    assert isinstance(done.exception, fd.UsageError)
    assert "driver" in str(done.exception) or "no GPU" in str(done.exception)
    assert len(str(done.exception).splitlines()) == 1


def test_nothing_imports_cupy_unasked(tmp_path):
    """The command and its worker processes, beside a CuPy that says who imports it, and is broken."""
    simulate_images(tmp_path / "photos", images=6, duplicates=3, size=(48, 32))
    (tmp_path / "cupy.py").write_text(
        "import traceback\n"
        f"with open({str(tmp_path / 'importers')!r}, 'a') as file:\n"
        "    print(*[frame.filename for frame in traceback.extract_stack()], file=file)\n"
        "raise ImportError('libcudart.so: no such file')\n"
    )
    command = [sys.executable, "-m", "fastdiff_dask", "find", str(tmp_path / "photos")]
    command += ["--store", str(tmp_path / "store"), "--workers", "2", "--threads", "1", "--quiet"]
    (tmp_path / "importers").touch()
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    subprocess.run(command, env=environment, check=True)
    # Zarr does, wherever it is itself imported
    assert all("/zarr/core/buffer/gpu.py" in line for line in (tmp_path / "importers").read_text().splitlines())
    done = subprocess.run([*command, "--gpu"], env=environment, capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr.splitlines() == [
        "fastdiff-dask: CuPy cannot be used here (libcudart.so: no such file); install it anew: pip install "
        "'fastdiff_dask[cuda12]' or 'fastdiff_dask[cuda13]', as the driver is"
    ]
    assert "/fastdiff_dask/kernels/cuda.py" in (tmp_path / "importers").read_text()


def operands(rng, rows, values):
    """Points of whole numbers, so that float32 has no rounding, and a squared distance has one value."""
    points = rng.integers(-9, 10, (rows, values)).astype(np.float32)
    return points, (points**2).sum(axis=1)


@pytest.mark.skipif(emulated.COMPILER is None, reason="there is no C++ compiler")
@pytest.mark.parametrize("values", [5, 16, 31, 48, 60])
@pytest.mark.parametrize("triangular", [False, True])
@pytest.mark.parametrize("dense_pairs", [20, 1024])
def test_the_kernel_finds_the_pairs(values, triangular, dense_pairs):
    rng = np.random.default_rng(values)
    a, b = operands(rng, 600, values), operands(rng, 300, values)
    b = a if triangular else b
    squares = cdist(a[0], b[0], "sqeuclidean")
    blocks = np.array([(i, j) for i in range(3) for j in range(-(-len(b[0]) // 256)) if i <= j or not triangular])
    blocks = blocks[rng.permutation(len(blocks))].astype(np.int32)
    for share in (0.0, 0.0003, 0.3, 1.0):
        limit = float(np.quantile(squares, share)) if share else -1.0
        where = emulated.emulated_device(dense_pairs=dense_pairs)
        for piece_bytes in (1, 1 << 28):
            where.piece_bytes = piece_bytes
            found = where.near_pairs(a, b, blocks, limit=limit, triangular=triangular)
            wanted, many, number = set(), [], 0
            for place, (i, j) in enumerate(blocks.tolist()):
                near = np.argwhere(squares[i * 256 : i * 256 + 256, j * 256 : j * 256 + 256] <= limit)
                near += [i * 256, j * 256]
                near = near[near[:, 0] < near[:, 1]] if triangular else near
                number += len(near)
                if len(near) > dense_pairs:
                    many.append(place)
                else:
                    wanted |= set(map(tuple, near.tolist()))
            assert found.number == number
            assert found.many.tolist() == many
            assert len(found.rows) == len(wanted)
            assert set(zip(found.rows.tolist(), found.columns.tolist(), strict=True)) == wanted
            # in one order, however the threads ran
            of_blocks = [
                blocks.tolist().index([i // 256, j // 256]) for i, j in zip(found.rows, found.columns, strict=True)
            ]
            keys = list(zip(of_blocks, found.rows.tolist(), found.columns.tolist(), strict=True))
            assert keys == sorted(keys)
            by_others = device.CPU.near_pairs(a, b, blocks, limit=limit, triangular=triangular)
            assert by_others.number == number


def test_a_gpu_takes_shares_of_its_free_memory():
    where = emulated.emulated_device()
    assert (where.piece_bytes, where._room) == (emulated.FREE // 32, emulated.FREE // 4)
    assert emulated.emulated_device(piece_bytes=7).piece_bytes == 7


class Launched(np.ndarray):
    """An array whose place is where CuPy's has it."""

    @property
    def data(self):
        return SimpleNamespace(ptr=self.ctypes.data)


def _gemm(handle, transa, transb, m, n, k, alpha, a, atype, lda, b, btype, ldb, beta, c, ctype, ldc, computetype, algo):
    """cublasGemmEx as its documentation says it: C = alpha op(A) op(B) + beta C, all with their columns one by one."""
    assert (handle, atype, btype, ctype, computetype, algo) == (7, 3, 3, 10, 72, -1)

    def matrix(pointer, kind, rows, columns, leading):
        assert leading >= rows
        assert pointer % 4 == 0
        flat = np.ctypeslib.as_array(ctypes.cast(pointer, ctypes.POINTER(kind)), (columns * leading,))
        return flat.reshape(columns, leading).T[:rows]

    def scalar(pointer):
        return ctypes.cast(pointer, ctypes.POINTER(ctypes.c_int32))[0]

    left = matrix(a, ctypes.c_int8, *((k, m) if transa else (m, k)), lda)
    right = matrix(b, ctypes.c_int8, *((n, k) if transb else (k, n)), ldb)
    left, right = (left.T if transa else left), (right.T if transb else right)
    # 8-bit products are made for rows of whole words only
    assert [size % 4 for size in (lda, ldb, k)] == [0, 0, 0]
    assert scalar(beta) == 0
    result = matrix(c, ctypes.c_int32, m, n, ldc)
    result[...] = scalar(alpha) * (left.astype(np.int32) @ right.astype(np.int32))


@pytest.mark.parametrize("shape", [(1, 1, 1), (3, 5, 16), (7, 4, 105), (6, 6, 192)])
def test_products_of_8_bits_are_laid_out_as_cublas_wants_them(monkeypatch, shape):
    m, n, k = shape
    modes = []
    cupy, cuda, libs, cublas = (ModuleType(name) for name in ("cupy", "cupy.cuda", "libs", "cublas"))
    cublas.__dict__.update(
        {"CUBLAS_OP_N": 0, "CUBLAS_OP_T": 1, "CUBLAS_COMPUTE_32I": 72, "CUBLAS_GEMM_DEFAULT": -1},
        CUBLAS_POINTER_MODE_HOST=0,
        getPointerMode=lambda handle: 1,
        setPointerMode=lambda handle, mode: modes.append(mode),
        gemmEx=_gemm,
    )
    cuda.device = SimpleNamespace(get_cublas_handle=lambda: 7)
    cuda.runtime = SimpleNamespace(CUDA_R_8I=3)
    libs.cublas = cublas
    cupy.int32 = np.int32
    cupy.pad = lambda *arguments: np.pad(*arguments).view(Launched)
    cupy.ascontiguousarray = lambda array: np.ascontiguousarray(array).view(Launched)
    cupy.empty = lambda *arguments: np.empty(*arguments).view(Launched)
    for name, module in {"cupy": cupy, "cupy.cuda": cuda, "cupy_backends.cuda.libs": libs}.items():
        monkeypatch.setitem(sys.modules, name, module)
    for name in ("cupy_backends", "cupy_backends.cuda"):
        monkeypatch.setitem(sys.modules, name, ModuleType(name))
    rng = np.random.default_rng(0)
    x, y = (rng.integers(-128, 128, (rows, k), np.int8) for rows in (m, n))
    x[0] = y[0] = -128
    found = squared_errors_int8.int8_products(x.view(Launched), np.asfortranarray(y).view(Launched))
    assert found.dtype == np.int32
    assert np.array_equal(np.asarray(found), x.astype(np.int32) @ y.T.astype(np.int32))
    assert modes == [0, 1]
