"""Workers that are lost while a stage runs, each told in a line; the numbers of its progress bar only stand still."""

import contextlib
import threading
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from ..text import counted

if TYPE_CHECKING:
    from distributed import Client

__all__ = ["lost_workers_told"]

# Seconds between two looks at the workers.
_LOOK = 1.0


@contextlib.contextmanager
def lost_workers_told(client: "Client | None", tell: Callable[[str], None]) -> Iterator[None]:
    """Tell of each worker that is lost meanwhile, of the time without any, and of those that come then.

    Parameters
    ----------
    client
        Client of the cluster; nothing is told without, or of threads of this process, which cannot be lost.
    tell
        Called with a line, in another thread.
    """
    if client is not None:
        from .workers import is_embedded
    if client is None or is_embedded(client):
        yield
        return
    ended = threading.Event()
    threading.Thread(target=_watch, args=(client, tell, ended), name="fastdiff_dask-workers", daemon=True).start()
    try:
        yield
    finally:
        ended.set()  # not joined: a question to a lost scheduler may take long


def _watch(client: "Client", tell: Callable[[str], None], ended: threading.Event) -> None:
    known, waits = set[str](), False
    while not ended.wait(_LOOK):
        try:
            there = set(client.nthreads())
        except Exception:  # of a scheduler that is lost, which the stage itself notices
            continue
        if ended.is_set():
            return
        left = counted(len(there), "worker")
        for address in sorted(known - there):
            tell(f"The worker at {address} was lost; what it had begun is done again by others ({left} left).")
        if known and not there:
            waits = True
            tell("No worker is left: waiting for one; start it with 'dask worker'.")
        elif there and waits:
            waits = False
            tell(f"{left} came; the work goes on.")
        known = there
