"""The stage "neighbours": the nearest images of each image, block by block."""

import math
from collections.abc import Callable, Iterator

from distributed import Client, Future

from ..runtime.activity import stage
from ..runtime.memory import check_neighbours_memory
from ..runtime.waves import run_in_waves
from ..runtime.workers import Capacity, capacity
from ..storage.derived.neighbour_files import NeighbourFiles
from ..storage.derived.vectors import Vectors
from ..tasks.nearest.nearest_block import nearest_block
from ..tasks.nearest.order_images import order_images
from ..tasks.nearest.vector_strips import compare_strip, decide_strip, limit_strip

__all__ = ["find_neighbours"]


def find_neighbours(files: NeighbourFiles, client: Client, most: int | None = None) -> Iterator[int]:
    """Find the neighbours of the images that have none yet; a block is committed as soon as it is computed.

    Memory of a thread: see `nearest_block.nearest_block`.

    Parameters
    ----------
    files
        The neighbours; their store is locked for writing, its thumbnails are finished.
    client
        Client of the cluster; its workers see the store under the same path.
    most
        Largest number of tasks at once; by default the number of threads.

    Yields
    ------
    int
        Images of a block.

    Raises
    ------
    UsageError
        If it does not fit into the memory of a worker.
    """
    store, settings, digest = files.store, files.settings, files.digest
    room = capacity(client)
    kind = Vectors(store, settings.vectors).kind() if settings.vectors else None
    check_neighbours_memory(sum(store.rows()), 0 if kind is None else kind.shape[0], room.bytes_per_task)
    with stage(store.files, "neighbours") as run:

        def order(_: None) -> list[Future]:
            return [client.submit(order_images, store.url, settings, digest, run, key=f"order-{run}")]

        def submit(number: int) -> list[Future]:
            arguments = (store.url, settings, digest, number, room.bytes_per_task, run)
            return [client.submit(nearest_block, *arguments, key=f"neighbours-{run}-{number}")]

        if not files.is_ordered():
            for _ in run_in_waves(client, [None], order, in_flight=1):
                pass
        if math.isfinite(files.read_norm()) and len(files.finished()) < len(files.blocks()):
            yield from _by_strips(files, client, room, most, run)
        pending = sorted(set(range(len(files.blocks()))) - files.finished())
        for future in run_in_waves(client, pending, submit, in_flight=2 * room.threads, most=most):
            yield int(future.result())
        files.forget()


def _by_strips(files: NeighbourFiles, client: Client, room: Capacity, most: int | None, run: str) -> Iterator[int]:
    """Find the neighbours by vectors strip by strip, each pair once; none if there are too many candidates."""
    every = range(len(files.strips()))
    steps: list[tuple[Callable[..., int], set[int]]] = [
        (limit_strip, files.finished_limits()),
        (compare_strip, files.finished_strips()),
        (decide_strip, files.decided_strips()),
    ]
    for task, finished in steps:

        def submit(number: int, task: Callable[..., int] = task) -> list[Future]:
            arguments = (files.store.url, files.settings, files.digest, number, room.bytes_per_task, run)
            return [client.submit(task, *arguments, key=f"neighbours-{run}-{task.__name__}-{number}")]

        pending = [number for number in every if number not in finished]
        for future in run_in_waves(client, pending, submit, in_flight=room.threads, most=most):
            found = int(future.result())
            if task is compare_strip and not found:
                return
            if task is decide_strip:
                yield found
