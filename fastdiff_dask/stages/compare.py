"""The stage "compare": thumbnails → similar pairs, tile by tile."""

import pickle
import uuid
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from distributed import Client, Future, fire_and_forget

from ..errors import FastDiffError, UsageError
from ..kernels.cuda import free_gpu
from ..kernels.device import CPU
from ..kernels.grid import LARGEST_SIDE
from ..kernels.measures import Measure
from ..runtime.activity import stage
from ..runtime.memory import check_compare_memory, check_planned_memory
from ..runtime.waves import run_in_waves
from ..runtime.workers import capacity
from ..storage.comparisons import Comparison
from ..storage.pending import unplanned
from ..storage.plans import Plan
from ..tasks.compare_tile import Compared, TileTask, compare_tile
from ..tasks.plan_part import plan_part
from ..text import one_line

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
    feature_bytes: int = 0,
) -> None:
    """Plan the tiles of all generations that have no plan yet; see `plan_part.plan_part`.

    Parameters
    ----------
    comparison
        The comparison; its store is locked for writing, its thumbnails are finished.
    client
        Client of the cluster; its workers see the store under the same path.
    tile_side, sub_block
        Sub-blocks along the side of a tile, and images in a sub-block; by default, the sizes fit the workers.
    gpu_tasks
        Tasks on GPUs at once, 0 for none. Tiles for a GPU are larger: a task on a GPU takes 20 ms to begin, and a few
        milliseconds to compare some billion pairs.
    feature_bytes
        Bytes of the features of an image, see `prepare.feature_bytes`; 0 if thumbnails are compared.

    Raises
    ------
    UsageError
        If thumbnails are too large for a worker's memory; nothing is planned then.
    FastDiffError
        If there are images without thumbnails.
    """
    store = comparison.store
    if not unplanned(comparison):
        return
    room = capacity(client)
    check_compare_memory(store.thumbnail_settings, room.bytes_per_task)
    if len(store.finished_blocks()) < store.blocks:
        raise FastDiffError(f"the store at {store.url} has images without thumbnails; run first_loop_iteration() first")
    threads, largest_side = room.threads, LARGEST_SIDE
    if gpu_tasks:  # about one tile for each thread: processors go on with the tiles if the GPUs fail
        threads, largest_side = max(gpu_tasks, threads // 4), _GPU_SIDE
    arguments = (store.url, comparison.settings, threads, room.bytes_per_task, tile_side, sub_block)

    def submit(item: tuple[Any, ...]) -> list[Future]:
        return [client.submit(plan_part, *item, run, largest_side, feature_bytes, key=f"plan-{uuid.uuid4().hex[:8]}")]

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
    """Compare the unfinished tiles of a comparison; a tile is committed when its task ends.

    Memory of a thread: the signatures of one tile, some hundred megabytes at most (`plan_part.plan_part` makes tiles
    smaller for small workers), and the thumbnails of some hundred images. The memory depends neither on the number of
    images nor on the number of similar pairs.

    If a tile fails on a GPU, the processor of the same worker computes it, and the worker gets no GPU tile afterwards.
    The tiles of a lost GPU worker go to the other workers. When no GPU worker is left, all workers compare.

    Parameters
    ----------
    comparison
        The comparison; its store is locked for writing, and `plan_comparison` was called.
    client
        Client of the cluster; its workers see the store under the same path.
    measure
        Function to compare with, if it is not MSE.
    most
        Largest number of tasks at once on processors; by default the number of threads.
    gpus
        Address of each worker with a GPU → number of its GPU tasks at once; by default, processors compare.

    Yields
    ------
    Compared
        Outcome of a tile, in the order in which tiles end.

    Raises
    ------
    UsageError
        If a tile does not fit into a worker's memory, or `measure` cannot be sent to the workers.
    FastDiffError
        If a task failed; finished tiles are kept.
    """
    store = comparison.store
    room = capacity(client)
    check_compare_memory(store.thumbnail_settings, room.bytes_per_task)
    plans = comparison.plans()
    check_planned_memory(plans, store.thumbnail_settings, room.bytes_per_task)
    pending = [(index, number) for index, plan in enumerate(plans) for number in plan.pending()]
    if not pending:
        return
    placement = _Placement(client, gpus or {}, most)
    if measure is not None:
        measure = measure._replace(prepare=None)  # it may be large, as a neural network is
    with stage(store.files, "compare") as run:
        submission = _Submission(comparison, client, plans, measure, placement, run)
        try:
            for future in run_in_waves(client, pending, submission, 4 * room.threads, placement.at_once):
                yield _of_gpu_workers(future.result(), gpus or {})
        finally:
            placement.free_gpus()
            CPU.free()  # what tiles held for the next ones, if the workers are threads of this process


class _Submission:
    """Submits tiles: a call takes the index of a plan and the number of a tile, and gives the future of the task."""

    def __init__(
        self,
        comparison: Comparison,
        client: Client,
        plans: list[Plan],
        measure: Measure | None,
        placement: "_Placement",
        run: str,
    ) -> None:
        self._comparison, self._client, self._plans = comparison, client, plans
        self._measure, self._placement, self._run = measure, placement, run
        self._keys = f"compare-{uuid.uuid4().hex[:8]}"

    def __call__(self, item: tuple[int, int]) -> list[Future]:
        index, number = item
        plan = self._plans[index]
        parts = [plan.part for plan in self._plans[: index + 1]]
        task = TileTask(number, plan.tiles[number], plan.rows, plan.columns)
        gpu = self._placement.next_gpu()
        url, settings = self._comparison.store.url, self._comparison.settings
        try:
            future = self._client.submit(
                compare_tile,
                url,
                settings,
                parts,
                task,
                self._measure,
                self._run,
                bool(gpu),
                key=f"{self._keys}-{index}-{number}",
                **({"workers": [gpu], "allow_other_workers": True} if gpu else {}),
            )
        except (TypeError, AttributeError, pickle.PicklingError) as error:
            if self._measure is None:
                raise
            raise UsageError(
                f"compare function {self._measure.shown} cannot be sent to the workers ({one_line(error, 200)}); let "
                f"it use no open files, locks or connections"
            ) from None
        if gpu:
            self._placement.add(future, gpu)
        return [future]


class _Placement:
    """Places tiles on the workers with a working GPU, or on all workers if no GPU works.

    Parameters
    ----------
    client
        Client of the cluster.
    gpus
        Address of each worker with a GPU → number of its GPU tasks at once.
    most
        Largest number of tasks at once on processors; None for the number of threads.
    """

    def __init__(self, client: Client, gpus: Mapping[str, int], most: int | None) -> None:
        self._client, self._most = client, most
        self._gpus = dict(gpus)  # only of workers with a working GPU
        self._placed: dict[Future, str] = {}

    def at_once(self) -> int | None:
        """Largest number of tiles in flight: tasks of the working GPUs, and tiles placed on lost or broken GPUs.

        Tiles placed on lost or broken GPUs are with processors now, and take no room on a GPU.
        """
        self._forget_lost_gpus()
        if not self._gpus:
            return self._most
        return sum(self._gpus.values()) + sum(address not in self._gpus for address in self._placed.values())

    def _forget_lost_gpus(self) -> None:
        if self._gpus:
            connected = self._client.nthreads()
            self._gpus = {address: tasks for address, tasks in self._gpus.items() if address in connected}
        for future in [future for future in self._placed if future.done()]:
            del self._placed[future]
            if future.status == "finished" and (without_gpu := future.result().without_gpu):
                self._gpus.pop(without_gpu[0], None)

    def next_gpu(self) -> str:
        """Give the address of the GPU worker with most room, or an empty address if no GPU works."""
        used = Counter(self._placed.values())
        return max(self._gpus, key=lambda address: self._gpus[address] - used[address], default="")

    def add(self, future: Future, address: str) -> None:
        """Count a tile that was submitted to a GPU worker."""
        self._placed[future] = address

    def free_gpus(self) -> None:
        """Free the memory of all working GPUs, without waiting: a worker may be lost, or hang in its GPU."""
        for address in self._gpus if self._client.status == "running" else ():
            key = f"free-gpu-{uuid.uuid4().hex[:8]}"
            fire_and_forget(self._client.submit(free_gpu, key=key, workers=[address], pure=False))


def _of_gpu_workers(compared: Compared, gpus: Mapping[str, int]) -> Compared:
    """Drop the report of a missing GPU if its worker never had one; the worker got a tile of a lost GPU worker."""
    if compared.without_gpu and compared.without_gpu[0] not in gpus:
        return compared._replace(without_gpu=None)
    return compared
