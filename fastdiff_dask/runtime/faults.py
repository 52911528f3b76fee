"""Faults: tasks try again after those that may pass, and the others are explained."""

import contextlib
import errno
import functools
import logging
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError
from typing import TYPE_CHECKING, Any, TypeVar

from ..errors import FastDiffError
from ..text import one_line

if TYPE_CHECKING:
    from distributed import Client, Future

__all__ = ["KEPT", "connected", "failure", "hide_asked_logs", "hide_logs", "retried"]

KEPT = "finished work is kept, the same command goes on"
# Seconds before each further attempt. A file server that restarts is away for longer, but all tasks would wait for it.
_PAUSES = (0.1, 0.5, 2.0)
# Errors that do not pass by themselves.
_LASTING = {
    errno.ENOSPC,
    errno.EDQUOT,
    errno.EROFS,
    errno.EACCES,
    errno.EPERM,
    errno.ENOENT,
    errno.ENOTDIR,
    errno.EISDIR,
}
_LOGGERS = ("distributed", "distributed.client", "tornado", "tornado.application", "asyncio")
# True once `hide_logs` was called.
_are_hidden = False
_Function = TypeVar("_Function", bound=Callable[..., Any])


def retried(task: _Function) -> _Function:
    """Run a task again if it fails with an OSError that may pass, three times at most.

    A task commits whole files, so that running it again does no harm. An OSError of a user's function does not arrive
    here as one.

    Examples
    --------
    >>> left = [OSError(5, "Input/output error")]
    >>> @retried
    ... def task():
    ...     if left:
    ...         raise left.pop()
    ...     return "done"
    >>> task()
    'done'
    """

    @functools.wraps(task)
    def attempts(*arguments: Any, **options: Any) -> Any:
        for pause in _PAUSES:
            try:
                return task(*arguments, **options)
            except OSError as error:
                if error.errno in _LASTING:
                    raise
            time.sleep(pause)
        return task(*arguments, **options)

    return attempts  # type: ignore[return-value]


def failure(future: "Future") -> FastDiffError:
    """Explain why a future has no result."""
    from distributed.scheduler import KilledWorker

    error = None
    if future.status not in ("cancelled", "lost"):
        with contextlib.suppress(CancelledError):
            error = future.exception()
    if error is None:
        return _lost()
    if isinstance(error, FastDiffError):
        return error
    if isinstance(error, KilledWorker):
        number = error.allowed_failures + 1
        return FastDiffError(
            f"{number} workers died one after the other at task {error.task}, as they do when they run out of memory; "
            f"use workers with more memory or fewer threads, or smaller blocks; {KEPT}"
        )
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return FastDiffError(f"no space left for the store ({error}); make room; {KEPT}")
    if isinstance(error, MemoryError):
        return FastDiffError(
            f"task {future.key} ran out of memory; use workers with more memory or fewer threads, or smaller blocks; "
            f"{KEPT}"
        )
    return FastDiffError(f"task {future.key} failed ({one_line(error, 1000, kind=True)}); {KEPT}")


@contextlib.contextmanager
def connected(client: "Client | None") -> Iterator[None]:
    """Turn all errors of a client that lost its scheduler into one of one line.

    Raises
    ------
    FastDiffError
        If the scheduler was lost.
    """
    try:
        yield
    except FastDiffError:
        raise
    except Exception as error:
        if _is_lost(error) or (client is not None and client.status != "running"):
            raise _lost() from None
        raise


def _is_lost(error: Exception) -> bool:
    from distributed.comm import CommClosedError

    return isinstance(error, CommClosedError | CancelledError)


def _lost() -> FastDiffError:
    return FastDiffError(f"the connection to the scheduler was lost; {KEPT}")


def hide_logs() -> None:
    """Keep the logs of Dask off the terminal: the command line explains errors itself, in one line.

    Dask sets its levels when it is imported, which may be later: see `hide_asked_logs`.
    """
    global _are_hidden
    _are_hidden = True
    if "distributed" in sys.modules:
        hide_asked_logs()


def hide_asked_logs() -> None:
    """Do what `hide_logs` was asked for, now that Dask is imported."""
    if not _are_hidden:
        return
    for name in _LOGGERS:
        logger = logging.getLogger(name)
        logger.setLevel(logging.CRITICAL + 1)
        # loggers below one of these have levels of their own, by whoever set them
        for handler in logger.handlers:
            handler.setLevel(logging.CRITICAL + 1)
