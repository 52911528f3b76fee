"""The stage "prepare": thumbnails → features that a measure compares, once an image and transform."""

from collections import defaultdict
from collections.abc import Iterator
from functools import partial

from distributed import Client, Future

from ..kernels.measures import Measure
from ..runtime.memory import check_feature_memory
from ..runtime.waves import run_in_waves
from ..runtime.workers import capacity
from ..storage.arrays import RowKind
from ..storage.store import Store
from ..tasks.prepare_block import prepare_block

__all__ = ["feature_bytes", "prepare_blocks", "unprepared_blocks"]

_Pending = dict[int, tuple[int, ...]]


def unprepared_blocks(store: Store, features: str, transforms: tuple[int, ...]) -> _Pending:
    """Blocks without the features of some transforms, with the transforms."""
    missing: dict[int, tuple[int, ...]] = defaultdict(tuple)
    for transform in transforms:
        stored = set()
        if store.arrays.feature_kind(features, transform) is not None:
            stored = store.arrays.feature_blocks(features, transform)
        for block in sorted(store.finished_blocks() - stored):
            missing[block] += (transform,)
    return dict(missing)


def feature_bytes(store: Store, features: str, transforms: tuple[int, ...]) -> int:
    """Bytes of the features of an image over some transforms."""
    kinds = [store.arrays.feature_kind(features, transform) for transform in transforms]
    return sum(kind.bytes for kind in kinds if kind is not None)


def prepare_blocks(
    store: Store,
    client: Client,
    measure: Measure,
    transforms: tuple[int, ...],
    pending: _Pending,
    most: int | None = None,
) -> Iterator[int]:
    """Compute the features of some blocks; a block is committed, transform by transform, as soon as it is computed.

    Memory of a thread: see `memory.check_feature_memory`.

    Parameters
    ----------
    store
        The store, locked for writing, whose thumbnails are finished.
    client
        Client of the cluster; its workers see the store under the same path.
    measure, transforms
        The measure, which has a function that prepares, and all transforms of the comparison.
    pending
        What `unprepared_blocks` gave.
    most
        Largest number of tasks at once; by default the number of threads.

    Yields
    ------
    int
        1 for each block.

    Raises
    ------
    UsageError
        If the features of a block do not fit into a worker's memory.
    FastDiffError
        If the function fails. Finished blocks stay.
    """
    room, run = capacity(client), store.files.begin_run()
    kinds = [store.arrays.feature_kind(measure.features, transform) for transform in transforms]
    kind = next((kind for kind in kinds if kind is not None), None)
    blocks = iter(pending.items())

    def submit(kind: RowKind | None, item: tuple[int, tuple[int, ...]]) -> list[Future]:
        key = f"prepare-{run}-{item[0]}"
        return [client.submit(prepare_block, store.url, measure, *item, kind, run, key=key)]

    # the first block tells what the features are like
    while kind is None:
        block = next(blocks, None)
        if block is None:
            return
        for future in run_in_waves(client, [block], partial(submit, None), in_flight=1):
            kind = future.result()
            yield 1
    check_feature_memory(store.thumbnail_settings, kind.bytes, room.bytes_per_task)
    for transform in transforms:
        store.arrays.record_features(measure.features, transform, kind)
    for _ in run_in_waves(client, blocks, partial(submit, kind), in_flight=2 * room.threads, most=most):
        yield 1
