"""BLAS held to one thread in processes that run tasks: one worker thread is one core."""

import threading

from threadpoolctl import threadpool_limits

__all__ = ["SINGLE_THREADED_BLAS"]


class _SingleThreadedBlas:
    """Hold BLAS to one thread from the first kernel of this process on.

    Two tasks whose BLAS used all cores would fight over them. The limit is global to the process and is not lifted:
    set and lifted around each task, OpenBLAS made two threads slower than one (0.7 s for a chunk of the dense matrix
    instead of 0.34 s), and lifted later, from another thread, it stays as it is (OpenBLAS 0.3.31). A notebook that
    wants more after a run on the embedded cluster calls ``threadpoolctl.threadpool_limits(cores)``.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._limited = False

    def __enter__(self) -> None:
        with self._lock:
            if not self._limited:
                threadpool_limits(1, user_api="blas")
                self._limited = True

    def __exit__(self, *_: object) -> None:
        pass


SINGLE_THREADED_BLAS = _SingleThreadedBlas()
