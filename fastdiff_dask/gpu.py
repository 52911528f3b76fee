"""Whether there is a GPU to compare on, and what is missing if there is none."""

import os
import platform
from typing import Any

from .errors import UsageError

__all__ = ["check_gpu", "gpu_name", "gpu_workers", "missing_gpu", "note_failure", "why_given_up"]

_INSTALL = "pip install 'fastdiff_dask[cuda12]' or 'fastdiff_dask[cuda13]', as the driver is"
# Why this process does without its GPU, if it does: what failed once would fail again, and each time cost a tile.
_failed: list[str] = []


def note_failure(reason: str) -> None:
    """Do without a GPU in this process from now on."""
    _failed.append(" ".join(reason.split()))


def why_given_up() -> str:
    """Why this process does without its GPU; empty if it does not."""
    return _failed[0] if _failed else ""


def missing_gpu() -> str:
    """What this process lacks to compare on a GPU; empty if nothing."""
    if _failed:
        return f"the GPU failed before ({_failed[0]}); start this process anew to use it again"
    try:
        check_gpu()
    except UsageError as error:
        return str(error)
    return ""


def gpu_name() -> str:
    """What tells the GPU of this process from all others of a cluster: its machine and its number there."""
    import cupy

    properties = cupy.cuda.runtime.getDeviceProperties(cupy.cuda.runtime.getDevice())
    # parts of a GPU, which CUDA calls instances, have one number on the bus
    places = [properties.get(f"pci{part}ID") for part in ("Domain", "Bus", "Device")]
    return f"{platform.node()} {places} {properties.get('uuid')}"


def _own_gpu() -> tuple[str, str]:
    """What a worker lacks to compare on a GPU, and the name of its GPU; one of them is empty."""
    try:
        missing = missing_gpu()
        return missing, "" if missing else gpu_name()
    except Exception as error:  # one that is broken is none
        return f"the GPU does not work ({type(error).__name__}: {_told(error)})", ""


def gpu_workers(client: Any, tasks: int) -> dict[str, int]:
    """Which workers of a Dask client compare on GPUs, and how many tasks at once each.

    Of the workers that share a GPU no more are taken than have threads for the tasks: each process takes memory there
    for itself.

    Parameters
    ----------
    client
        Its workers are asked what they have; they need not be told to Dask as resources.
    tasks
        At once on each GPU.

    Returns
    -------
    Numbers of tasks by the addresses of the workers.

    Raises
    ------
    UsageError
        If no worker has one: what the first of them lacks.
    """
    found, threads = dict(sorted(client.run(_own_gpu, on_error="ignore").items())), client.nthreads()
    shared: dict[str, list[str]] = {}
    for address, (missing, name) in found.items():
        if not missing:
            shared.setdefault(name, []).append(address)
    if not shared:
        raise UsageError(next((missing for missing, _ in found.values()), "there are no workers; start some"))
    at_once: dict[str, int] = {}
    for workers in shared.values():
        left = tasks
        for address in workers:
            if left:
                at_once[address] = min(left, threads.get(address, 1))
                left -= at_once[address]
    return at_once


def check_gpu() -> int:
    """Number of GPUs of this machine.

    Raises
    ------
    UsageError
        If there is none that can be used: CuPy, the driver or a device is missing.
    """
    try:
        import cupy
    except Exception as error:
        if isinstance(error, ModuleNotFoundError) and error.name == "cupy":
            raise UsageError(
                f"CuPy is not installed, which comparing on a GPU needs; install it with: {_INSTALL}"
            ) from None
        raise UsageError(f"CuPy cannot be used here ({_told(error)}); install it anew: {_INSTALL}") from None
    if os.environ.get("CUPY_TF32", "0") not in ("", "0"):
        raise UsageError("CUPY_TF32 is set, with which products are rounded to 10 bits; unset it")
    try:
        number = int(cupy.cuda.runtime.getDeviceCount())
    except cupy.cuda.runtime.CUDARuntimeError as error:
        if "NoDevice" in str(error):
            number = 0
        else:
            raise UsageError(
                f"there is no driver here that this CuPy can use ({_told(error)}); install NVIDIA's, or for an older "
                f"one 'fastdiff_dask[cuda12]' instead of [cuda13]"
            ) from None
    if not number:
        raise UsageError("there is no GPU in this machine; leave out gpu_proc (--gpu)")
    try:
        # what is compiled, and what is in CUDA's libraries, may be missing
        values = cupy.full((256, 256), 1 + 2.0**-20, cupy.float32)
        rounded = bool((values @ cupy.eye(256, dtype=cupy.float32) != values).any())
    except Exception as error:
        if isinstance(error, MemoryError):
            raise UsageError(
                "the memory of the GPU is taken by other programs; end some, or leave out gpu_proc"
            ) from None
        raise UsageError(
            f"the GPU does not work with this CuPy ({type(error).__name__}: {_told(error)}); install CUDA's libraries "
            f"for it: {_INSTALL}"
        ) from None
    if rounded:
        raise UsageError("products of float32 are rounded to less on this GPU; set CuPy's compute type to the default")
    return number


def _told(error: Exception) -> str:
    return " ".join(str(error).split())[:300]
