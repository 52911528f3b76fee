"""Catalog → thumbnails, metadata and hashes in the store: fast_diff_py's first loop."""

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

# A part is what one task reads of a block: small enough to keep all threads busy to the end, and large because between
# two parts a decoder waits for 20 ms: 1,024 small photos take 1.5 s, and are read 5 % faster than by 256.
_SMALLEST_PART, _LARGEST_PART = 16, 1024


def read_blocks(
    store: Store,
    client: Client,
    unread: dict[int, int],
    limits: ReadSettings,
    hashing: HashSettings | None = None,
    most: int | None = None,
) -> Iterator[tuple[int, int]]:
    """Read blocks of images; each block is committed as soon as its images are read.

    Memory: `thumbnail_task_bytes` a thread, and in a process beside it some 50 MB, a file and a decoded picture with a
    copy; independent of the number of images.

    Parameters
    ----------
    store
        The store, locked for writing.
    client
        Where to run; its workers see the files and the store under the same paths.
    unread
        What `unread_blocks` found.
    limits
        What reading a file may cost.
    hashing
        Compute these hashes too.
    most
        Tasks that run at once, at most; by default as many as there are threads.

    Yields
    ------
    Images read since the last one, and errors (known when a block is committed).

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
    run = uuid.uuid4().hex[:8]
    lengths: dict[str, int] = {}  # images, by the key of the task that reads them
    partial: set[str] = set()  # tasks that read a part of a block

    def submit(item: tuple[int, int]) -> list[Future]:
        block, rows = item
        parts: list[Future] = []
        if rows <= part_size:
            key = f"thumbnail-{run}-{block}"
            lengths[key] = rows
            return [client.submit(read_block, store.url, block, rows, limits, hashing, activity, key=key)]
        for start in range(0, rows, part_size):
            stop = min(start + part_size, rows)
            key = f"thumbnail-{run}-{block}-{start}"
            lengths[key] = stop - start
            partial.add(key)
            arguments = (store.url, block, start, stop, limits, hashing, activity)
            parts.append(client.submit(read_part, *arguments, key=key))
        commit = f"commit-{run}-{block}"
        # the parts travel from worker to worker, not through the scheduler
        return [*parts, client.submit(write_block, store.url, block, parts, activity, key=commit)]

    try:
        with stage(store.files, "thumbnails") as activity:
            for future in run_in_waves(client, unread.items(), submit, in_flight=room.threads + 1, most=most):
                # a part stays where it is until its block is committed
                errors = 0 if future.key in partial else future.result()
                partial.discard(future.key)
                yield lengths.pop(future.key, 0), errors
    finally:
        end_readers(client)


def end_readers(client: Client) -> None:
    """End the decoder processes of all workers that nobody uses."""
    # of workers that are gone, the decoders are as well; a lost scheduler would be waited for
    if client.status == "running":
        with contextlib.suppress(OSError, TimeoutError, ValueError):
            client.run(close_readers, on_error="ignore")


def hash_blocks(
    store: Store, client: Client, blocks: list[int], hashing: HashSettings, most: int | None = None
) -> Iterator[int]:
    """Complete the hashes of finished blocks from their thumbnails; gives the number of blocks hashed each time.

    At most so many tasks run at once; by default as many as there are threads.

    Memory: a block of thumbnails for each thread.
    """
    run = store.files.begin_run()

    def submit(block: int) -> list[Future]:
        return [client.submit(hash_block, store.url, block, hashing, run, key=f"hash-{run}-{block}")]

    for future in run_in_waves(client, blocks, submit, in_flight=2 * capacity(client).threads, most=most):
        yield int(future.result())
