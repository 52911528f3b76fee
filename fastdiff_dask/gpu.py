"""Whether there is a GPU to compare on, and what is missing if there is none."""

import os
import platform
from typing import Any

from .errors import UsageError

__all__ = ["check_gpu", "gpu_name", "gpu_workers", "missing_gpu"]


def missing_gpu() -> str:
    """What this process lacks to compare on a GPU; empty if nothing."""
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
    number = properties.get("uuid") or [properties.get(f"pci{part}ID") for part in ("Domain", "Bus", "Device")]
    return f"{platform.node()} {number}"


def _own_gpu() -> tuple[str, str]:
    """What a worker lacks to compare on a GPU, and the name of its GPU; one of them is empty."""
    missing = missing_gpu()
    return missing, "" if missing else gpu_name()


def gpu_workers(client: Any, tasks: int) -> tuple[list[str], int]:
    """Which workers of a Dask client compare on GPUs, and how many tasks at once in all.

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
    Addresses, and the number of tasks.

    Raises
    ------
    UsageError
        If no worker has one: what the first of them lacks.
    """
    found, threads = dict(sorted(client.run(_own_gpu).items())), client.nthreads()
    shared: dict[str, list[str]] = {}
    for address, (missing, name) in found.items():
        if not missing:
            shared.setdefault(name, []).append(address)
    if not shared:
        raise UsageError(next((missing for missing, _ in found.values()), "there are no workers; start some"))
    addresses, at_once = [], 0
    for workers in shared.values():
        room = 0
        for address in workers:
            if room < tasks:
                addresses.append(address)
                room += threads.get(address, 1)
        at_once += min(room, tasks)
    return addresses, at_once


def check_gpu() -> int:
    """Number of GPUs of this machine.

    Raises
    ------
    UsageError
        If there is none that can be used: CuPy, the driver or a device is missing.
    """
    try:
        import cupy
    except ModuleNotFoundError:
        raise UsageError(
            "CuPy is not installed, which comparing on a GPU needs; install it with: pip install "
            "'fastdiff_dask[cuda12]' or 'fastdiff_dask[cuda13]', as the driver is"
        ) from None
    except ImportError as error:
        raise UsageError(f"CuPy cannot be used here ({' '.join(str(error).split())[:300]}); install it anew") from None
    if os.environ.get("CUPY_TF32", "0") not in ("", "0"):
        raise UsageError("CUPY_TF32 is set, with which products are rounded to 10 bits; unset it")
    try:
        number = int(cupy.cuda.runtime.getDeviceCount())
    except cupy.cuda.runtime.CUDARuntimeError as error:
        if "NoDevice" in str(error):
            number = 0
        else:
            reason = " ".join(str(error).split())
            raise UsageError(f"the driver of the GPU cannot be used ({reason}); install one for this CUDA") from None
    if not number:
        raise UsageError("there is no GPU in this machine; leave out gpu_proc (--gpu)")
    try:
        # what is compiled, and what is in CUDA's libraries, may be missing
        ones = cupy.ones((2, 2), cupy.float32)
        float((ones @ (ones + 1)).sum())
    except Exception as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:300]
        raise UsageError(f"the GPU does not work with this CuPy ({reason}); install CUDA's libraries for it") from None
    return number
