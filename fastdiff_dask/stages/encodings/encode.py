"""The stage "encode": images → vectors, by a function of the user's or a model."""

from collections.abc import Iterator
from functools import partial

from distributed import Client, Future

from ...config import ReadSettings
from ...errors import FastDiffError
from ...runtime.activity import stage
from ...runtime.memory import check_encode_memory
from ...runtime.waves import run_in_waves
from ...runtime.workers import capacity
from ...storage.arrays import RowKind
from ...storage.derived.vectors import Vectors
from ...storage.store import Store
from ...tasks.encode_block import Encoded, commit_encoded, encode_block, encode_part, try_out
from ...vectors.encoders import Encoder

__all__ = ["encode_blocks"]


def encode_blocks(
    store: Store,
    client: Client,
    vectors: Vectors,
    encoder: Encoder,
    limits: ReadSettings,
    most: int | None = None,
) -> Iterator[tuple[int, Encoded | None]]:
    """Make the vectors of the blocks that have none; a block is committed as soon as it is computed.

    Several tasks make those of a block if there are few blocks. Memory of a thread: see `encode_block.encode_part`; the
    model of the function once a process.

    Parameters
    ----------
    store
        The store, locked for writing, whose thumbnails are finished.
    client
        Client of the cluster; its workers see the store, and the pictures if these are read, under the same paths.
    vectors
        The vectors.
    encoder
        The function.
    limits
        Limits of reading a file.
    most
        Largest number of tasks at once; by default the number of threads.

    Yields
    ------
    tuple of int and Encoded
        Images of a task; and the outcome of its block, if it committed one.

    Raises
    ------
    StoreMismatchError
        If there are vectors of this name that were made otherwise.
    UsageError
        If pictures do not fit into a worker's memory.
    FastDiffError
        If the function fails, at all images of the first block or at any batch. Finished blocks stay.
    """
    room = capacity(client)
    check_encode_memory(store.thumbnail_settings, encoder.size, encoder.batch_size, room.bytes_per_task)
    height, width, _ = store.thumbnail_settings.shape
    vectors.begin(encoder.made((height, width)))
    missing = vectors.missing_blocks()
    with stage(store.files, "encode") as run:
        encoding = _Encoding(store, client, vectors.name, encoder, limits, run)
        kind = vectors.kind() or (encoding.try_out(missing[0]) if missing else None)
        left = iter(missing)
        # else the first block with a vector tells
        unknown: list[int] = []
        while kind is None:
            block = next(left, None)
            if block is None:
                return
            for future in run_in_waves(client, [block], partial(encoding.submit_whole, None), in_flight=1):
                encoded: Encoded = future.result()
                if encoded.kind is None and encoded.images:
                    raise FastDiffError(f"none of {encoded.images} images has a vector: {encoded.failure}")
                kind = encoded.kind
                if kind is None:
                    unknown.append(block)
                else:
                    yield store.rows()[block], encoded
        vectors.record(kind)  # of more blocks than before
        blocks = [*unknown, *left]
        encoding.part_size = _part_size(sum(store.rows()[block] for block in blocks), room.threads, encoder.batch_size)
        waves = run_in_waves(client, blocks, partial(encoding.submit, kind), room.threads + 1, most)
        for future in waves:
            yield encoding.outcome(future)


def _part_size(images: int, threads: int, batch_size: int) -> int:
    """Images of a task: so few that all threads are busy to the end, in whole batches."""
    return max(1, images // (4 * threads) // batch_size) * batch_size


class _Encoding:
    """Submits the tasks of blocks, and tells what came of them.

    Attributes
    ----------
    part_size
        Images of a task, at most; those of a block at least.
    """

    def __init__(
        self, store: Store, client: Client, name: str, encoder: Encoder, limits: ReadSettings, run: str
    ) -> None:
        self._client, self._name, self._run, self._counts = client, name, run, store.rows()
        self._url, self._encoder, self._limits = store.url, encoder, limits
        self.part_size = store.thumbnail_settings.block_size
        self._parts: dict[str, int] = {}  # images by the key of a task that commits nothing
        self._wholes: dict[str, int] = {}

    def try_out(self, block: int) -> RowKind | None:
        """Tell the kind of vectors by two images: a block would take one worker a minute, and the others would wait."""
        arguments, key = (self._url, self._encoder, block, self._limits, self._run), f"encode-{self._run}-first"
        kind = None
        for future in run_in_waves(
            self._client, [arguments], lambda given: [self._client.submit(try_out, *given, key=key)], in_flight=1
        ):
            kind = future.result()
        return kind

    def submit_whole(self, kind: RowKind | None, block: int) -> list[Future]:
        """Submit a block as one task."""
        key, arguments = f"encode-{self._run}-{block}", (self._encoder, block, kind, self._limits, self._run)
        self._wholes[key] = self._counts[block]
        return [self._client.submit(encode_block, self._url, self._name, *arguments, key=key)]

    def submit(self, kind: RowKind, block: int) -> list[Future]:
        """Submit a block as one task, or as several and one that commits them."""
        rows = self._counts[block]
        if rows <= self.part_size:
            return self.submit_whole(kind, block)
        parts = []
        for start in range(0, rows, self.part_size):
            some = range(start, min(start + self.part_size, rows))
            key, arguments = f"encode-{self._run}-{block}-{start}", (block, some, kind, self._limits, self._run)
            self._parts[key] = len(some)
            parts.append(self._client.submit(encode_part, self._url, self._encoder, *arguments, key=key))
        commit = f"commit-{self._run}-{block}"
        # vectors travel from worker to worker, not through the scheduler
        return [
            *parts,
            self._client.submit(commit_encoded, self._url, self._name, block, parts, self._run, key=commit),
        ]

    def outcome(self, future: Future) -> tuple[int, Encoded | None]:
        """Give the images of an ended task, and the outcome of the block that it committed, if it did."""
        if future.key in self._parts:
            return self._parts.pop(future.key), None  # its result stays with the worker until its block is committed
        return self._wholes.pop(future.key, 0), future.result()
