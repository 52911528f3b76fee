"""Whether there is a GPU to compare on, and what is missing if there is none."""

from .errors import UsageError

__all__ = ["check_gpu"]


def check_gpu() -> int:
    """Number of GPUs of this machine.

    Raises
    ------
    UsageError
        If there is none that can be used: CuPy, the driver or a device is missing.
    """
    try:
        import cupy
    except ImportError:
        raise UsageError(
            "CuPy is not installed, which comparing on a GPU needs; install it with: pip install "
            "'fastdiff_dask[cuda12]' or 'fastdiff_dask[cuda13]', as the driver is"
        ) from None
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
    return number
