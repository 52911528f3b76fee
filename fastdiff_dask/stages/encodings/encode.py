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
from ...tasks.encode_block import Encoded, encode_block, try_out
from ...vectors.encoders import Encoder

__all__ = ["encode_blocks"]


def encode_blocks(
    store: Store,
    client: Client,
    vectors: Vectors,
    encoder: Encoder,
    limits: ReadSettings,
    most: int | None = None,
) -> Iterator[Encoded]:
    """Make the vectors of the blocks that have none; a block is committed as soon as it is computed.

    Memory of a thread: see `encode_block.encode_block`; the model of the function once a process.

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
    Encoded
        The outcome of a block.

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
    kind, missing = vectors.kind(), vectors.missing_blocks()
    blocks = iter(missing)
    with stage(store.files, "encode") as run:

        def submit(kind: RowKind | None, block: int) -> list[Future]:
            arguments = (store.url, vectors.name, encoder, block, kind, limits, run)
            return [client.submit(encode_block, *arguments, key=f"encode-{run}-{block}")]

        if kind is None and missing:  # a block would take one worker a minute, and the others would wait
            key = f"encode-{run}-first"
            first = [(store.url, encoder, missing[0], limits, run)]
            for future in run_in_waves(client, first, lambda one: [client.submit(try_out, *one, key=key)], in_flight=1):
                kind = future.result()
            if kind is not None:
                vectors.record(kind)
        # else the first block with a vector tells
        unknown: list[int] = []
        while kind is None:
            block = next(blocks, None)
            if block is None:
                return
            for future in run_in_waves(client, [block], partial(submit, None), in_flight=1):
                encoded: Encoded = future.result()
                if encoded.kind is None and encoded.images:
                    raise FastDiffError(f"none of {encoded.images} images has a vector: {encoded.failure}")
                kind = encoded.kind
                if kind is None:
                    unknown.append(block)
                else:
                    vectors.record(kind)
                    yield encoded
        vectors.record(kind)  # of more blocks than before
        waves = run_in_waves(client, _after(unknown, blocks), partial(submit, kind), 2 * room.threads, most)
        for future in waves:
            yield future.result()


def _after(first: list[int], others: Iterator[int]) -> Iterator[int]:
    yield from first
    yield from others
