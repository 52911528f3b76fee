"""Tasks submitted in waves: few tasks are in flight at a time, however many items there are."""

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

# Seconds without a worker after which a run fails, and seconds between two looks at the workers.
_WORKERLESS, _LOOK = 120.0, 5.0


def run_in_waves(
    client: Client,
    items: Iterable[Any],
    submit: Callable[[Any], list[Future]],
    in_flight: int,
    most: int | Callable[[], int | None] | None = None,
) -> Iterator[Future]:
    """Submit the futures of items, some items at a time, and give each future when it has ended.

    - Memory on client and scheduler grows with `in_flight`, not with the number of items.
    - When workers join, more items are in flight, in proportion.
    - If the loop ends early, for any reason, the futures in flight are cancelled.
    - After a signal (see `signals`), items that no worker has begun are cancelled; the loop stops when the others end.

    Parameters
    ----------
    client
        Client of the cluster.
    items
        The items, submitted in this order.
    submit
        Function that submits an item and gives its futures; the item ends when its last future ends.
    in_flight
        Number of items in flight, for the workers that are there now.
    most
        Largest number of items in flight, whatever workers there are; or a function that gives it.

    Raises
    ------
    FastDiffError
        If a task failed, or there are no workers for long.
    KeyboardInterrupt, SystemExit
        If a signal asked to stop.
    """
    wave = _Wave(client, iter(items), submit, in_flight, most)
    watch = _Watch(client, wave)
    watch.start()
    try:
        wave.fill()
        while wave.pending:
            future = next(wave.ended)
            if is_asked():
                wave.stop()
            if future.key not in wave.pending:
                continue  # cancelled meanwhile
            if watch.workerless:
                raise FastDiffError(
                    f"the scheduler at {client.scheduler.address} has had no workers for {_WORKERLESS:g} s; start some "
                    f"with 'dask worker', with more memory if they ran out of it; {KEPT}"
                )
            if future.status != "finished":
                raise failure(future)
            wave.forget(future)
            yield future
        check()
    finally:
        watch.end()
        # cancelling would wait for a lost scheduler
        if wave.pending and client.status == "running":
            wave.cancel()


class _Wave:
    """The items in flight, and those that wait for room.

    Attributes
    ----------
    pending
        Futures that have not ended, by key.
    ended
        Iterator over the futures in the order in which they end.
    threads
        Threads of the workers that are there now.
    """

    def __init__(
        self,
        client: Client,
        waiting: Iterator[Any],
        submit: Callable[[Any], list[Future]],
        in_flight: int,
        most: int | Callable[[], int | None] | None,
    ) -> None:
        self._client, self._waiting, self._submit, self._in_flight, self._most = (
            client,
            waiting,
            submit,
            in_flight,
            most,
        )
        self._items: dict[str, list[Future]] = {}  # key of an item's last future → futures of the item
        self._stopped = False
        self._threads_at_first = self.threads = max(sum(client.nthreads().values()), 1)
        self.pending: dict[str, Future] = {}
        self.ended = as_completed(loop=client.loop)

    def fill(self) -> None:
        """Submit items as long as there is room."""
        room = self._in_flight * max(self.threads, self._threads_at_first) // self._threads_at_first
        most = self._most() if callable(self._most) else self._most
        while len(self._items) < (room if most is None else min(room, most)):
            try:
                item = next(self._waiting)
            except StopIteration:
                return
            futures = self._submit(item)
            self._items[futures[-1].key] = futures
            self.pending.update((future.key, future) for future in futures)
            self.ended.update(futures)

    def forget(self, future: Future) -> None:
        """Count a future as ended; after the last future of an item, submit the next items."""
        del self.pending[future.key]
        if self._items.pop(future.key, None):
            self.fill()

    def stop(self) -> None:
        """Submit no more items, and cancel each item unless one of its tasks has begun."""
        if self._stopped:
            return
        self._stopped, self._waiting = True, iter(())
        begun = {str(key) for keys in self._client.processing().values() for key in keys}
        for last, futures in list(self._items.items()):
            if not any(future.key in begun or future.done() for future in futures):
                self._client.cancel(futures, force=True)
                del self._items[last]
                for future in futures:
                    del self.pending[future.key]

    def cancel(self) -> None:
        """Cancel all futures that have not ended."""
        self._client.cancel(list(self.pending.values()), force=True)


class _Watch(threading.Thread):
    """Counts the threads of the workers, and ends the wait for futures when no worker comes: Dask would wait forever.

    Attributes
    ----------
    workerless
        True once there was no worker for long; all futures are cancelled then.
    """

    def __init__(self, client: Client, wave: _Wave) -> None:
        super().__init__(daemon=True)
        self._client, self._wave = client, wave
        self._ended = threading.Event()
        self.workerless = False

    def run(self) -> None:
        """Look at the workers every few seconds, until `end` is called."""
        seen = time.monotonic()
        while not self._ended.wait(min(_LOOK, _WORKERLESS / 2)):
            with contextlib.suppress(Exception):  # a lost scheduler is noticed by its futures
                self._wave.threads = sum(self._client.nthreads().values())
                if self._wave.threads or not self._wave.pending:
                    seen = time.monotonic()
                elif time.monotonic() - seen > _WORKERLESS and not self._ended.is_set():
                    self.workerless = True
                    self._wave.cancel()
                    return

    def end(self) -> None:
        """End the watch."""
        self._ended.set()
