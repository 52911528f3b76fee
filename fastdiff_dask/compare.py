"""Thumbnails → similar pairs: runs the tiles that are not finished, fast_diff_py's second loop."""

import pickle
import uuid
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
from distributed import Client, Future, fire_and_forget, get_worker
from numpy.typing import NDArray

from .activity import recorded, stage
from .blas import SINGLE_THREADED_BLAS
from .cascade import similar_tile_pairs
from .cluster import capacity, run_in_waves
from .comparisons import Comparison, Part
from .config import CompareSettings
from .device import CPU, Device, best_device, free_gpu, give_up
from .errors import FastDiffError, UsageError
from .gpu import why_given_up
from .grid import LARGEST_SIDE, Axis, Tile
from .measures import Measure, apply_measure
from .metrics import available_transforms, reverse_transforms
from .planning import check_compare_memory, check_planned_memory, plan_part, unplanned
from .resilience import retried
from .search import SearchCounts
from .shortcuts import KEY_VALUES, Allowed, ShortCuts
from .store import Store

__all__ = ["Compared", "compare_tile", "compare_tiles", "plan_comparison"]

# Sub-blocks along the side of a tile that a GPU compares.
_GPU_SIDE = 1024


class Compared(NamedTuple):
    """What became of a tile.

    Attributes
    ----------
    pairs
        Pairs of images that are settled, compared or left out.
    similar
        Similar pairs found.
    without_gpu
        Address of the worker, and why it does without its GPU from now on, if it does.
    """

    pairs: int
    similar: int
    without_gpu: tuple[str, str] | None = None


class _Side:
    """The images of a tile along one axis."""

    def __init__(
        self, comparison: Comparison, parts: list[Part], side: str, axis: Axis, sub_blocks: range, run: str
    ) -> None:
        self._comparison, self._side, self._run = comparison, side, run
        self._pieces = [(parts[part], places) for part, places, _ in axis.pieces(sub_blocks)]
        self.cuts = axis.cuts(sub_blocks)
        numbers = [comparison.read_order(part, side, places) for part, places in self._pieces]
        self.images = np.concatenate([np.zeros(0, np.int64), *numbers])
        self._kept: NDArray[np.bool_] | None = None

    def name(self) -> tuple[Any, ...]:
        """What tells these images from others that a process compares."""
        pieces = ((part.folder, places.start, places.stop) for part, places in self._pieces)
        return (self._run, self._comparison.store.url, self._comparison.name, self._side, *pieces)

    def keys(self) -> NDArray[np.int64]:
        """Keys of the images for short cuts, (n, 4) int64."""
        keys = [self._comparison.read_keys(part, self._side, places) for part, places in self._pieces]
        return np.concatenate([np.zeros((0, KEY_VALUES), np.int64), *keys])

    def keep(self, kept: NDArray[np.bool_]) -> None:
        """Leave out all other images, before anything of them is read; sub-blocks shrink or vanish."""
        self._kept, self.images = kept, self.images[kept]
        places = np.concatenate([[0], np.cumsum(kept)]).tolist()
        cuts = [range(places[cut.start], places[cut.stop]) for cut in self.cuts]
        self.cuts = [cut for cut in cuts if cut]

    def signatures(self) -> NDArray[np.float32]:
        """Signatures of the images, (n, values) float32."""
        signatures = np.concatenate(
            [self._comparison.read_signatures(part, self._side, places) for part, places in self._pieces]
        )
        return signatures if self._kept is None else signatures[self._kept]

    def thumbnails(self, rows: Any) -> NDArray[np.uint8]:
        """Thumbnails of some of the images."""
        return self._comparison.store.thumbnail_rows(self.images[rows])


@retried
def compare_tile(
    url: str,
    settings: CompareSettings,
    parts: list[Part],
    task: "_Task",
    measure: Measure | None,
    run: str = "",
    gpu: bool = False,
) -> Compared:
    """Compare the images of a tile and commit it; `run` is what `activity.stage` gave.

    With `gpu` on the GPU of this process, if there is one and it works, else on the processor.

    Once its GPU has failed, a worker says so with each tile.
    """
    store = Store(url, run)
    comparison = Comparison(store, settings)
    what = {"comparison": comparison.name, "part": parts[-1].folder, "tile": task.number}
    with recorded(store.files, run, "compare", **what) as amounts:
        device = best_device() if gpu else CPU
        amounts.pairs, amounts.similar = _compare_tile(comparison, parts, task, measure, device, run)
    failed = why_given_up() if gpu else ""
    return Compared(amounts.pairs, amounts.similar, (get_worker().address, failed) if failed else None)


def _compare_tile(
    comparison: Comparison,
    parts: list[Part],
    task: "_Task",
    measure: Measure | None,
    device: Device = CPU,
    run: str = "",
) -> tuple[int, int]:
    store, settings = comparison.store, comparison.settings
    done = comparison.committed(parts[-1], task.number)
    if done is not None:
        return done  # by a worker that died before it could say so: what is committed is never written again
    rows = _Side(comparison, parts, "a", task.rows, task.tile.rows, run)
    if task.tile.triangular:
        columns = rows
    else:
        side = "b" if store.two_sides else "a"
        columns = _Side(comparison, parts, side, task.columns, task.tile.columns, run)
    pairs_of_tile = task.pairs(len(rows.images), len(columns.images))
    allowed = _allowed(settings, rows, columns)
    if allowed is not None:
        device = CPU
    while True:
        writer = comparison.pair_writer(parts[-1], task.number)
        counts = SearchCounts()
        if measure is not None:
            found = _measured_pairs(store, settings, measure, rows, columns, counts, allowed)
        else:
            height, width, channels = store.thumbnail_settings.shape
            found = similar_tile_pairs(
                *(rows, columns, store.thumbnail_rows),
                shape=(height, width, channels),
                limit=settings.sse_limit(height, width),
                transforms=available_transforms(height, width, rotations=settings.rotations, mirror=settings.mirror),
                counts=counts,
                device=device,
                allowed=allowed,
            )
        try:
            if allowed is None or len(rows.images):
                with SINGLE_THREADED_BLAS:
                    for pairs in found:
                        writer.add(pairs if store.two_sides else _ascending(pairs))
            break
        except Exception as error:
            if not device.is_gpu:
                raise
            if device.is_short_of_memory(error) and device.shrink():
                continue  # in smaller pieces; nothing of the tile is committed
            if not (device.is_short_of_memory(error) or device.is_broken(error)):
                raise
            failed = f"{type(error).__name__}: {error}"
        # not before the error and what it holds are gone
        del found
        give_up(device, failed)
        device = CPU
    writer.commit(counts)
    return pairs_of_tile, writer.similar


def _allowed(settings: CompareSettings, rows: _Side, columns: _Side) -> Allowed | None:
    """Which pairs of a tile short cuts leave, if there are any; images that are in none of these are left out."""
    shortcuts = ShortCuts.of(settings)
    if not shortcuts:
        return None
    triangular = columns is rows
    allowed = shortcuts.allowed(rows.keys(), None if triangular else columns.keys())
    some_rows, some_columns = (partners > 0 for partners in allowed.partners())
    rows.keep(some_rows)
    if not triangular:
        columns.keep(some_columns)
    return allowed.take(some_rows, some_columns)


def _ascending(pairs: NDArray[np.int64]) -> NDArray[np.int64]:
    """Give the image with the smaller number first: the orders of a comparison are nobody's business."""
    a, b, values, masks = pairs.T
    swap = a > b
    return np.stack(
        [np.minimum(a, b), np.maximum(a, b), values, np.where(swap, reverse_transforms(masks), masks)], axis=1
    )


def _measured_pairs(
    store: Store,
    settings: CompareSettings,
    measure: Measure,
    rows: _Side,
    columns: _Side,
    counts: SearchCounts,
    allowed: Allowed | None,
) -> Iterator[NDArray[np.int64]]:
    """Similar pairs of a tile by a function that compares all, but for images without a partner in a sub-block."""
    height, width, _ = store.thumbnail_settings.shape
    transforms = available_transforms(height, width, rotations=settings.rotations, mirror=settings.mirror)
    triangular = columns is rows
    for top, i in enumerate(rows.cuts):
        a = rows.thumbnails(slice(i.start, i.stop))
        for j in columns.cuts[top:] if triangular else columns.cuts:
            x, y = np.arange(i.start, i.stop), np.arange(j.start, j.stop)
            wanted = np.ones((len(x), len(y)), bool)
            if allowed is not None:
                wanted = allowed.wanted(x[:, None], y[None, :])
                x, y = x[wanted.any(axis=1)], y[wanted.any(axis=0)]
                if not len(x):
                    continue
                wanted = allowed.wanted(x[:, None], y[None, :])
            if triangular and j == i:
                wanted &= x[:, None] < y[None, :]
            values, masks = apply_measure(measure, a[x - i.start], columns.thumbnails(y), transforms)
            counts.pairs += int(np.count_nonzero(wanted))
            first, second = np.nonzero((values <= settings.similarity_threshold) & wanted)
            # −0.0 and 0.0 are one value, and have one pattern of bits after this
            bits = (values[first, second] + 0.0).view(np.int64)
            yield _numbered(np.stack([x[first], y[second], bits, masks[first, second]], axis=1), rows, columns)


def _numbered(pairs: NDArray[np.int64], rows: _Side, columns: _Side) -> NDArray[np.int64]:
    """Pairs with the numbers of the images instead of their places in the tile."""
    pairs[:, 0] = rows.images[pairs[:, 0]]
    pairs[:, 1] = columns.images[pairs[:, 1]]
    return pairs


class _Task(NamedTuple):
    """A tile, and what tells its images."""

    number: int
    tile: Tile
    rows: Axis
    columns: Axis

    def pairs(self, rows: int, columns: int) -> int:
        """Pairs of so many rows and columns."""
        return rows * (rows - 1) // 2 if self.tile.triangular else rows * columns


def plan_comparison(
    comparison: Comparison,
    client: Client,
    *,
    tile_side: int | None = None,
    sub_block: int | None = None,
    gpu_tasks: int = 0,
) -> None:
    """Plan what of the store the comparison does not cover yet; see `planning.plan_part`.

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

    Memory for each thread: signatures of a tile, some hundred megabytes at most, and less where `planning.plan_part`
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
        task = _Task(number, plan.tiles[number], plan.rows, plan.columns)
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
