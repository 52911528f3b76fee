"""Tasks submitted in waves, so that few are in flight and the number of items does not matter."""

import contextlib
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from distributed import Client, Future, as_completed

from ..errors import FastDiffError
from .faults import KEPT, failure
from .signals import check, is_asked

__all__ = ["run_in_waves"]

# Seconds without a worker after which nobody starts one again, and between two looks.
_WORKERLESS, _LOOK = 120.0, 5.0


def run_in_waves(
    client: Client,
    items: Iterable[Any],
    submit: Callable[[Any], list[Future]],
    in_flight: int,
    most: int | Callable[[], int | None] | None = None,
) -> Iterator[Future]:
    """Submit the futures of each item, some items at a time, and give each future when it is done.

    Memory on client and scheduler grows with `in_flight`, not with the number of items; of workers that join, the
    number of items grows in proportion. Whatever ends the loop early cancels what was submitted. When it is to stop,
    see `signals`, items that no worker has begun are cancelled, and it stops when the others have ended.

    Parameters
    ----------
    client
        Where to run.
    items
        What to submit, in this order.
    submit
        Gives the futures of an item; the last one ends it.
    in_flight
        Items submitted and not ended, for the workers that are there now.
    most
        The same, at most, whatever workers there are; or what gives it, if it changes.

    Raises
    ------
    FastDiffError
        If a task failed, with its reason.
    KeyboardInterrupt, SystemExit
        If it was to stop.
    """
    waiting = iter(items)
    running = as_completed(loop=client.loop)
    last: dict[str, list[Future]] = {}  # the futures of an item, by the key of the last one
    stopped = False
    pending: dict[str, Future] = {}
    at_first = max(sum(client.nthreads().values()), 1)
    threads = [at_first]

    def submit_more() -> None:
        wanted = in_flight * max(threads[0], at_first) // at_first
        limit = most() if callable(most) else most
        while len(last) < (wanted if limit is None else min(wanted, limit)):
            try:
                item = next(waiting)
            except StopIteration:
                return
            futures = submit(item)
            last[futures[-1].key] = futures
            pending.update((future.key, future) for future in futures)
            running.update(futures)

    ended, workerless = threading.Event(), threading.Event()
    watch = threading.Thread(target=_watch, args=(client, pending, threads, ended, workerless), daemon=True)
    watch.start()
    try:
        submit_more()
        while pending:
            future = next(running)
            if future.key not in pending:
                continue
            if is_asked() and not stopped:
                stopped, waiting = True, iter(())
                _cancel_unbegun(client, last, pending)
                if future.key not in pending:
                    continue
            if workerless.is_set():
                raise FastDiffError(
                    f"the scheduler at {client.scheduler.address} has had no workers for {_WORKERLESS:g} s; start some "
                    f"with 'dask worker', with more memory if they ran out of it; {KEPT}"
                )
            if future.status != "finished":
                raise failure(future)
            del pending[future.key]
            if future.key in last:
                del last[future.key]
                submit_more()
            yield future
        check()
    finally:
        ended.set()
        # a lost scheduler would be waited for
        if pending and client.status == "running":
            client.cancel(list(pending.values()), force=True)


def _cancel_unbegun(client: Client, items: dict[str, list[Future]], pending: dict[str, Future]) -> None:
    """Cancel the items none of whose tasks has begun, and forget them."""
    begun = {str(key) for keys in client.processing().values() for key in keys}
    for last, futures in list(items.items()):
        if not any(future.key in begun or future.done() for future in futures):
            client.cancel(futures, force=True)
            del items[last]
            for future in futures:
                del pending[future.key]


def _watch(
    client: Client,
    pending: dict[str, Future],
    threads: list[int],
    ended: threading.Event,
    workerless: threading.Event,
) -> None:
    """Count the workers' threads, and end the wait for futures when there have been none for long: Dask never does."""
    seen = time.monotonic()
    while not ended.wait(min(_LOOK, _WORKERLESS / 2)):
        with contextlib.suppress(Exception):  # a lost scheduler is noticed by its futures
            threads[0] = sum(client.nthreads().values())
            if threads[0] or not pending:
                seen = time.monotonic()
            elif time.monotonic() - seen > _WORKERLESS and not ended.is_set():
                workerless.set()
                client.cancel(list(pending.values()), force=True)
                return
