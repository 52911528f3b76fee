"""BLAS held to one thread while tasks compute: one worker thread is one core."""

import threading
from functools import cache

from threadpoolctl import ThreadpoolController

__all__ = ["SINGLE_THREADED_BLAS"]


class _SingleThreadedBlas:
    """Hold BLAS to one thread while any task of this process is in a kernel.

    Two tasks whose BLAS used all cores would fight over them. The limit is global to the process, so it is set by the
    first task to come and lifted by the last to go.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = 0

    def __enter__(self) -> None:
        with self._lock:
            self._inside += 1
            if self._inside == 1:
                self._limit = _blas().limit(limits=1, user_api="blas")

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._inside -= 1
            if self._inside == 0:
                self._limit.restore_original_limits()


@cache
def _blas() -> ThreadpoolController:
    return ThreadpoolController()


SINGLE_THREADED_BLAS = _SingleThreadedBlas()
