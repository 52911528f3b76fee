"""The stage "thumbnails": listed images → thumbnails, metadata and hashes in the store."""

import contextlib
import uuid
from collections.abc import Iterator

from distributed import Client, Future

from ..config import ReadSettings
from ..images.decoder_pool import close_readers
from ..kernels.hashes import HashSettings
from ..runtime.activity import stage
from ..runtime.memory import check_memory
from ..runtime.waves import run_in_waves
from ..runtime.workers import capacity
from ..storage.store import Store
from ..tasks.hash_block import hash_block
from ..tasks.read_block import read_block, read_part, write_block

__all__ = ["end_readers", "hash_blocks", "read_blocks"]

# Images of a read part, which one task reads: few enough that all threads are busy to the end, and many because a
# decoder waits for 20 ms between two read parts. 1,024 small photos take 1.5 s, and are read 5 % faster than by 256.
_SMALLEST_PART, _LARGEST_PART = 16, 1024


def read_blocks(
    store: Store,
    client: Client,
    unread: dict[int, int],
    limits: ReadSettings,
    hashing: HashSettings | None = None,
    most: int | None = None,
) -> Iterator[tuple[int, int]]:
    """Read blocks of images; a block is committed as soon as its images are read.

    Memory: `thumbnail_task_bytes` a thread. A decoder process beside it takes 50 MB, and a file and a decoded picture
    with a copy. Both do not depend on the number of images. Decoders stay until `end_readers`.

    Parameters
    ----------
    store
        The store, locked for writing.
    client
        Client of the cluster; its workers see the files and the store under the same paths.
    unread
        Block → number of its images, as `pending.unread_blocks` gives them.
    limits
        Limits of reading a file.
    hashing
        Hashes to compute as well; None for none.
    most
        Largest number of tasks at once; by default the number of threads.

    Yields
    ------
    tuple of int
        Images read by a task, and images with errors; these are known when the block is committed.

    Raises
    ------
    UsageError
        If a block does not fit into a worker's memory; nothing is read then.
    """
    room = capacity(client)
    check_memory(store.thumbnail_settings, room.bytes_per_task)
    part_size = min(max(sum(unread.values()) // (4 * room.threads), _SMALLEST_PART), _LARGEST_PART)
    if most is not None and most < room.threads:
        part_size = store.thumbnail_settings.block_size  # a block is one task then
    with stage(store.files, "thumbnails") as run:
        reading = _Reading(store.url, client, part_size, limits, hashing, run)
        for future in run_in_waves(client, unread.items(), reading.submit, in_flight=room.threads + 1, most=most):
            yield reading.counts(future)


class _Reading:
    """Submits the tasks that read blocks, and counts what they have read."""

    def __init__(
        self,
        url: str,
        client: Client,
        part_size: int,
        limits: ReadSettings,
        hashing: HashSettings | None,
        run: str,
    ) -> None:
        self._url, self._client, self._part_size = url, client, part_size
        self._settings = (limits, hashing, run)
        self._keys = uuid.uuid4().hex[:8]
        self._images: dict[str, int] = {}  # by the key of the task that reads them
        self._read_parts: set[str] = set()  # keys of the tasks that read a part of a block

    def submit(self, item: tuple[int, int]) -> list[Future]:
        """Submit a block with so many rows: one task, or one a read part and a last one that commits them."""
        block, rows = item
        key = f"thumbnail-{self._keys}-{block}"
        if rows <= self._part_size:
            self._images[key] = rows
            return [self._client.submit(read_block, self._url, block, rows, *self._settings, key=key)]
        parts = [
            self._submit_part(f"{key}-{start}", block, start, min(start + self._part_size, rows))
            for start in range(0, rows, self._part_size)
        ]
        commit = f"commit-{self._keys}-{block}"
        # read parts travel from worker to worker, not through the scheduler
        return [*parts, self._client.submit(write_block, self._url, block, parts, self._settings[-1], key=commit)]

    def _submit_part(self, key: str, block: int, start: int, stop: int) -> Future:
        self._images[key] = stop - start
        self._read_parts.add(key)
        return self._client.submit(read_part, self._url, block, start, stop, *self._settings, key=key)

    def counts(self, future: Future) -> tuple[int, int]:
        """Give the images that an ended task read, and the errors that it committed."""
        if future.key in self._read_parts:
            self._read_parts.remove(future.key)  # its result stays with the worker until its block is committed
            return self._images.pop(future.key), 0
        return self._images.pop(future.key, 0), future.result()


def end_readers(client: Client) -> None:
    """End the idle decoder processes of all workers."""
    # workers that are gone took their decoders with them; a lost scheduler would be waited for
    if client.status == "running":
        with contextlib.suppress(OSError, TimeoutError, ValueError):
            client.run(close_readers, on_error="ignore")


def hash_blocks(
    store: Store, client: Client, blocks: list[int], hashing: HashSettings, most: int | None = None
) -> Iterator[int]:
    """Complete the hashes of finished blocks from their thumbnails, at most `most` tasks at once.

    Memory: a block of thumbnails for each thread.

    Yields
    ------
    int
        1 for a block that was hashed, 0 for one that had its hashes.
    """
    run = store.files.begin_run()

    def submit(block: int) -> list[Future]:
        return [client.submit(hash_block, store.url, block, hashing, run, key=f"hash-{run}-{block}")]

    for future in run_in_waves(client, blocks, submit, in_flight=2 * capacity(client).threads, most=most):
        yield int(future.result())
