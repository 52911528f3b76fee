"""Whether there is a GPU to compare on, and what is missing if there is none."""

import os
from typing import Any

from .errors import UsageError

__all__ = ["check_gpu", "gpu_workers", "missing_gpu"]


def missing_gpu() -> str:
    """What this process lacks to compare on a GPU; empty if nothing. For a worker."""
    try:
        check_gpu()
    except UsageError as error:
        return str(error)
    return ""


def gpu_workers(client: Any) -> list[str]:
    """Addresses of the workers of a Dask client that have a GPU.

    Raises
    ------
    UsageError
        If there is none: what the first of them lacks.
    """
    missing = dict(sorted(client.run(missing_gpu).items()))
    found = [address for address, reason in missing.items() if not reason]
    if not found:
        raise UsageError(next(iter(missing.values()), "there are no workers; start some"))
    return found


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
