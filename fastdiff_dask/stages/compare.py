"""Thumbnails → similar pairs: runs the tiles that are not finished, fast_diff_py's second loop."""

import pickle
import uuid
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from distributed import Client, Future, fire_and_forget

from ..errors import FastDiffError, UsageError
from ..kernels.cuda import free_gpu
from ..kernels.grid import LARGEST_SIDE
from ..kernels.measures import Measure
from ..runtime.activity import stage
from ..runtime.memory import check_compare_memory, check_planned_memory
from ..runtime.waves import run_in_waves
from ..runtime.workers import capacity
from ..storage.comparisons import Comparison
from ..storage.pending import unplanned
from ..tasks.compare_tile import Compared, TileTask, compare_tile
from ..tasks.plan_part import plan_part

__all__ = ["compare_tiles", "plan_comparison"]

# Sub-blocks along the side of a tile that a GPU compares.
_GPU_SIDE = 1024


def plan_comparison(
    comparison: Comparison,
    client: Client,
    *,
    tile_side: int | None = None,
    sub_block: int | None = None,
    gpu_tasks: int = 0,
) -> None:
    """Plan what of the store the comparison does not cover yet; see `plan_part.plan_part`.

    Parameters
    ----------
    comparison
        The comparison; its store is locked for writing, its thumbnails are finished.
    client
        Where to run; its workers see the store under the same path.
    tile_side, sub_block
        Sub-blocks along the side of a tile, and images in a sub-block, if not as they fit.
    gpu_tasks
        Tasks on GPUs at once, if tiles are to be compared there: they are larger then, as such a one takes 20 ms to
        begin, and a few milliseconds for some billion pairs.

    Raises
    ------
    UsageError
        If thumbnails are too large for a worker's memory; nothing is planned then.
    """
    store = comparison.store
    if not unplanned(comparison):
        return
    room = capacity(client)
    check_compare_memory(store.thumbnail_settings, room.bytes_per_task)
    if len(store.finished_blocks()) < store.blocks:
        raise FastDiffError(f"the store at {store.url} has images without thumbnails; run first_loop_iteration() first")
    threads, largest_side = room.threads, LARGEST_SIDE
    if gpu_tasks:  # about one for each thread, which go on with them if the GPUs fail
        threads, largest_side = max(gpu_tasks, threads // 4), _GPU_SIDE
    arguments = (store.url, comparison.settings, threads, room.bytes_per_task, tile_side, sub_block)

    def submit(item: tuple[Any, ...]) -> list[Future]:
        return [client.submit(plan_part, *item, run, largest_side, key=f"plan-{uuid.uuid4().hex[:8]}")]

    with stage(store.files, "plan") as run:
        for _ in run_in_waves(client, [arguments], submit, in_flight=1):
            pass


def compare_tiles(
    comparison: Comparison,
    client: Client,
    measure: Measure | None = None,
    most: int | None = None,
    gpus: Mapping[str, int] | None = None,
) -> Iterator[Compared]:
    """Compare the tiles that are not finished; each is committed when it is.

    Memory for each thread: signatures of a tile, some hundred megabytes at most, and less where `plan_part.plan_part`
    found less room; thumbnails of some hundred images at a time. Independent of the number of images and of similar
    pairs.

    Parameters
    ----------
    comparison
        The comparison; its store is locked for writing, and `plan_comparison` was called.
    client
        Where to run; its workers see the store under the same path.
    measure
        The function to compare with, if it is not MSE.
    most
        Tasks that run at once on processors, at most; by default as many as there are threads.
    gpus
        Tasks at once by the addresses of workers that have a GPU, if tiles are to be compared there. What fails on a
        GPU is computed by its processor, and this worker gets no more; where such a worker is lost, others go on with
        its tiles. Once there is none left, all workers compare.

    Yields
    ------
    What became of the tiles, as they end.

    Raises
    ------
    FastDiffError
        If a task failed; what is finished is kept.
    """
    store, settings = comparison.store, comparison.settings
    room = capacity(client)
    check_compare_memory(store.thumbnail_settings, room.bytes_per_task)
    plans = comparison.plans()
    check_planned_memory(plans, store.thumbnail_settings, room.bytes_per_task)
    run = uuid.uuid4().hex[:8]
    free = dict(gpus or {})
    placed: dict[Future, str] = {}

    def at_once() -> int | None:
        """So many as GPUs take, beside tiles that processors have got, of workers that are gone or that failed."""
        there = client.nthreads() if free else {}
        for address in [address for address in free if address not in there]:
            del free[address]
        for future in [future for future in placed if future.done()]:
            del placed[future]
            if future.status == "finished" and (lost := future.result().without_gpu):
                free.pop(lost[0], None)
        return sum(free.values()) + sum(address not in free for address in placed.values()) if free else most

    def next_gpu() -> str:
        """The worker with most room."""
        used = Counter(placed.values())
        return max(free, key=lambda address: free[address] - used[address], default="")

    def submit(item: tuple[int, int]) -> list[Future]:
        index, number = item
        plan = plans[index]
        parts = [plan.part for plan in plans[: index + 1]]
        task = TileTask(number, plan.tiles[number], plan.rows, plan.columns)
        key = f"compare-{run}-{index}-{number}"
        try:
            gpu = next_gpu() if free else ""
            where = {"workers": [gpu], "allow_other_workers": True} if gpu else {}
            arguments = (store.url, settings, parts, task, measure, activity, bool(gpu))
            future = client.submit(compare_tile, *arguments, key=key, **where)
            if gpu:
                placed[future] = gpu
            return [future]
        except (TypeError, AttributeError, pickle.PicklingError) as error:
            if measure is None:
                raise
            reason = " ".join(str(error).split())[:200]
            raise UsageError(
                f"compare function {measure.shown} cannot be sent to the workers ({reason}); let it use no open files, "
                f"locks or connections"
            ) from None

    pending = [(index, number) for index, plan in enumerate(plans) for number in plan.pending()]
    if pending:
        with stage(store.files, "compare") as activity:
            try:
                for future in run_in_waves(client, pending, submit, in_flight=4 * room.threads, most=at_once):
                    compared = future.result()
                    if compared.without_gpu and compared.without_gpu[0] not in (gpus or {}):
                        # a worker that had none to lose got a tile of a lost one
                        compared = compared._replace(without_gpu=None)
                    yield compared
            finally:
                # nobody waits for that: a worker may be lost, or hang in its GPU
                for address in free if client.status == "running" else ():
                    key = f"free-gpu-{uuid.uuid4().hex[:8]}"
                    fire_and_forget(client.submit(free_gpu, key=key, workers=[address], pure=False))
