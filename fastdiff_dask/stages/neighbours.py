"""The stage "neighbours": the nearest images of each image, block by block."""

from collections.abc import Iterator

from distributed import Client, Future

from ..runtime.activity import stage
from ..runtime.memory import check_neighbours_memory
from ..runtime.waves import run_in_waves
from ..runtime.workers import capacity
from ..storage.derived.neighbour_files import NeighbourFiles
from ..storage.derived.vectors import Vectors
from ..tasks.nearest.nearest_block import nearest_block
from ..tasks.nearest.order_images import order_images

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
        pending = sorted(set(range(len(files.blocks()))) - files.finished())
        for future in run_in_waves(client, pending, submit, in_flight=2 * room.threads, most=most):
            yield int(future.result())
        files.forget()
