"""Thumbnails → similar pairs: runs the tiles that are not finished, fast_diff_py's second loop."""

import math
import threading
import uuid
from collections.abc import Iterator
from functools import cache
from typing import NamedTuple

import numpy as np
from distributed import Client, Future
from numpy.typing import NDArray
from threadpoolctl import ThreadpoolController

from .cluster import capacity, run_in_waves
from .comparisons import Comparison
from .config import CompareSettings, ThumbnailSettings
from .errors import FastDiffError, UsageError
from .grid import Tile, choose_tile_blocks, plan_tiles
from .metrics import available_transforms
from .search import chunk_rows, similar_pairs
from .store import Store

__all__ = [
    "Plan",
    "check_compare_memory",
    "choose_comparison",
    "compare_task_bytes",
    "compare_tiles",
    "pairs_left",
    "plan_comparison",
]


class Plan(NamedTuple):
    """How one generation of a comparison is cut into tiles, and how far it got.

    Attributes
    ----------
    generation
        Which one.
    tile_blocks
        Blocks along the side of a tile.
    recorded
        Whether the store has this plan already.
    tiles
        The tiles.
    compared
        (tiles,) int64: pairs of images compared in each, −1 where it is not finished.
    """

    generation: int
    tile_blocks: int
    recorded: bool
    tiles: list[Tile]
    compared: NDArray[np.int64]

    def pending(self) -> list[tuple[int, Tile]]:
        """Tiles that are not finished, with their numbers."""
        return [(number, self.tiles[number]) for number in np.flatnonzero(self.compared < 0).tolist()]


def choose_comparison(store: Store, settings: CompareSettings) -> Comparison:
    """Choose the recorded comparison that answers the question with the least work left, or a new one.

    A comparison with the same transforms and a threshold at least as high has all the pairs that are wanted.
    """
    wanted = Comparison(store, settings)
    candidates = {wanted.name: wanted} | {
        other.name: other
        for other in Comparison.all_in(store)
        if (other.settings.rotations, other.settings.mirror) == (settings.rotations, settings.mirror)
        and other.settings.similarity_threshold >= settings.similarity_threshold
    }

    def work(comparison: Comparison) -> tuple[int, float]:
        pending = [tile for plan in plan_comparison(comparison) for _, tile in plan.pending()]
        left = sum(len(tile.rows) * len(tile.columns) for tile in pending)
        return left, comparison.settings.similarity_threshold

    return min(candidates.values(), key=work)


def plan_comparison(comparison: Comparison, tile_blocks: int | None = None) -> list[Plan]:
    """Plan each generation of the store, as recorded where it is.

    Parameters
    ----------
    comparison
        The comparison, begun or not.
    tile_blocks
        Blocks along the side of a tile for generations without a recorded plan; by default fit to the collection.
    """
    store = comparison.store
    plans = []
    for generation in range(len(store.generations)):
        recorded = comparison.tile_blocks(generation)
        size = recorded or tile_blocks or choose_tile_blocks(store.blocks)
        tiles = plan_tiles(store.generations, generation, size, two_sides=store.two_sides)
        compared = comparison.compared(generation) if recorded else np.full(len(tiles), -1)
        plans.append(Plan(generation, size, recorded is not None, tiles, compared))
    return plans


def pairs_left(store: Store, plans: list[Plan]) -> int:
    """Pairs of images in the tiles that are not finished, images with errors included."""
    rows = store.rows()
    pairs = [(i, j) for plan in plans for _, tile in plan.pending() for i, j in tile.block_pairs()]
    return sum(rows[i] * (rows[i] - 1) // 2 if i == j else rows[i] * rows[j] for i, j in pairs)


def compare_task_bytes(settings: ThumbnailSettings) -> int:
    """Memory that comparing a tile needs: two blocks, each as stored and without its empty rows, and the kernel's."""
    values = math.prod(settings.shape)
    # rows and columns as float32 and one temporary for each; the matrix of errors in float64 a few times
    rows = chunk_rows(values)
    return 4 * settings.block_bytes + 4 * 4 * rows * values + 6 * 8 * rows * rows


def check_compare_memory(settings: ThumbnailSettings, bytes_per_task: int) -> None:
    """Refuse blocks that cannot be compared in the share of a worker's memory that one task has (0: unlimited).

    Raises
    ------
    UsageError
        With both figures.
    """
    needed = compare_task_bytes(settings)
    if 0 < bytes_per_task < needed:
        raise UsageError(
            f"comparing blocks of {settings.block_size} thumbnails needs {needed / 1e9:.3g} GB, and a task on the "
            f"workers has {bytes_per_task / 1e9:.3g} GB; use a new --store with a smaller block_size"
        )


class _SingleThreadedBlas:
    """Hold BLAS to one thread while any task of this process is in a kernel.

    A worker thread is one core: two tasks whose BLAS used all cores would fight over them. The limit is global to the
    process, so it is set by the first task to come and lifted by the last to go.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = 0

    def __enter__(self) -> None:
        with self._lock:
            self._inside += 1
            if self._inside == 1:
                self._limit = _blas().limit(limits=1, user_api="blas")

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._inside -= 1
            if self._inside == 0:
                self._limit.restore_original_limits()


@cache
def _blas() -> ThreadpoolController:
    return ThreadpoolController()


_SINGLE_THREADED_BLAS = _SingleThreadedBlas()


def compare_tile(url: str, settings: CompareSettings, generation: int, number: int, tile: Tile) -> tuple[int, int]:
    """Compare the images of a tile and commit it.

    Returns
    -------
    Pairs of images compared, and similar pairs found.
    """
    store = Store(url)
    height, width, _ = store.thumbnail_settings.shape
    limit = settings.sse_limit(height, width)
    transforms = available_transforms(height, width, rotations=settings.rotations, mirror=settings.mirror)
    block_size = store.thumbnail_settings.block_size
    # whether an image is still current does not matter here: it is asked of the results, and may change both ways
    readable = {
        block: np.flatnonzero(store.read_partition(block, ["error"]).error.isna())
        for block in {*tile.rows, *tile.columns}
    }

    def load(block: int) -> NDArray[np.uint8]:
        return store.read_thumbnails(block)[readable[block]]

    found, compared = [np.zeros((0, 4), np.int64)], 0
    row, a = -1, np.zeros(0, np.uint8)
    for i, j in tile.block_pairs():
        if i != row:
            row, a = i, load(i)
        same = i == j
        b = a if same else load(j)
        with _SINGLE_THREADED_BLAS:
            pairs = similar_pairs(a, b, sse_limit=limit, transforms=transforms, triangular=same)
        pairs[:, 0] = readable[i][pairs[:, 0]] + i * block_size
        pairs[:, 1] = readable[j][pairs[:, 1]] + j * block_size
        found.append(pairs)
        compared += len(a) * (len(a) - 1) // 2 if same else len(a) * len(b)
    result = np.concatenate(found)
    Comparison(store, settings).write_tile(generation, number, result, compared)
    return compared, len(result)


def compare_tiles(comparison: Comparison, plans: list[Plan], client: Client) -> Iterator[tuple[int, int]]:
    """Compare the tiles that are not finished; each is committed when it is.

    Memory: `compare_task_bytes` a thread and the similar pairs of a tile, 32 bytes each; independent of the number of
    images.

    Parameters
    ----------
    comparison
        The comparison; its store is locked for writing, its thumbnails are finished.
    plans
        What `plan_comparison` gave.
    client
        Where to run; its workers see the store under the same path.

    Yields
    ------
    Pairs of images compared and similar pairs found, tile by tile as they end.

    Raises
    ------
    UsageError
        If a tile does not fit into a worker's memory; nothing is compared then.
    FastDiffError
        If a task failed; what is finished is kept.
    """
    store, settings = comparison.store, comparison.settings
    room = capacity(client)
    check_compare_memory(store.thumbnail_settings, room.bytes_per_task)
    if len(store.finished_blocks()) < store.blocks:
        raise FastDiffError(f"the store at {store.url} has images without thumbnails; run first_loop_iteration() first")
    for plan in plans:
        if not plan.recorded:
            comparison.record_plan(plan.generation, plan.tile_blocks, len(plan.tiles))
    run = uuid.uuid4().hex[:8]

    def submit(item: tuple[int, int, Tile]) -> list[Future]:
        generation, number, _ = item
        return [client.submit(compare_tile, store.url, settings, *item, key=f"compare-{run}-{generation}-{number}")]

    pending = ((plan.generation, number, tile) for plan in plans for number, tile in plan.pending())
    for future in run_in_waves(client, pending, submit, in_flight=4 * room.threads):
        yield future.result()
