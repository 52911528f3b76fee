"""BLAS limited to one thread in processes that run tasks: a worker thread is a core."""

import contextlib
import ctypes
import sys
import threading

from threadpoolctl import threadpool_limits

__all__ = ["SINGLE_THREADED_BLAS"]

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # of malloc.h
_KEPT_BYTES = 32 << 20  # the largest size that the C library would learn


class _SingleThreadedBlas:
    """Limit BLAS to one thread, from the first kernel of this process on.

    Two tasks whose BLAS used all cores would fight over them. The limit counts for the whole process, and stays:

    - set and lifted around each task, it made two threads slower than one (0.7 s instead of 0.34 s for a chunk of the
      dense matrix);
    - lifted later, from another thread, it stays as it is (OpenBLAS 0.3.31).

    A notebook that wants more after a run on the embedded cluster calls ``threadpoolctl.threadpool_limits(cores)``.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._limited = False

    def __enter__(self) -> None:
        with self._lock:
            if not self._limited:
                threadpool_limits(1, user_api="blas")
                _reuse_memory()
                self._limited = True

    def __exit__(self, *_: object) -> None:
        pass


def _reuse_memory() -> None:
    """Let the C library keep the memory of an array for the next one.

    By itself it learns to keep arrays one by one, but gives the memory of several back at the end of each function: a
    second look at two pictures took three times as long. Dask's nannies set a limit for their workers, by which each
    array from 128 kB on is fresh memory: reading took a fifth longer than in threads of one process.
    """
    if sys.platform == "linux":
        with contextlib.suppress(OSError, AttributeError):  # another C library than GNU's
            mallopt = ctypes.CDLL(None).mallopt
            mallopt(_M_MMAP_THRESHOLD, _KEPT_BYTES)
            mallopt(_M_TRIM_THRESHOLD, 2 * _KEPT_BYTES)


SINGLE_THREADED_BLAS = _SingleThreadedBlas()
