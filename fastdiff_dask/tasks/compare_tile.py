"""Compare the images of a tile, and commit its similar pairs."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from distributed import get_worker
from numpy.typing import NDArray

from ..config import CompareSettings
from ..kernels.bounds import SearchCounts
from ..kernels.cascade import similar_tile_pairs
from ..kernels.cuda import best_device, run_on, why_given_up
from ..kernels.device import CPU, Device
from ..kernels.grid import Axis, Tile, pairs_within
from ..kernels.measures import Measure
from ..kernels.pair_filters import Allowed, PairFilters
from ..kernels.search_tile import SearchTile
from ..kernels.similarity import similarity_limit
from ..kernels.transforms import available_transforms, lower_image_first
from ..runtime.activity import recorded
from ..runtime.blas import SINGLE_THREADED_BLAS
from ..runtime.faults import retried
from ..storage.comparisons import Comparison
from ..storage.pairs import PairWriter
from ..storage.plans import Part
from ..storage.store import Store
from .hash_pairs import hash_pairs
from .measured_pairs import measured_pairs
from .tile_side import StoredTileSide
from .vector_pairs import vector_pairs

__all__ = ["Compared", "TileTask", "compare_tile"]


class Compared(NamedTuple):
    """Outcome of a tile.

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


@retried
def compare_tile(
    url: str,
    settings: CompareSettings,
    parts: list[Part],
    task: "TileTask",
    measure: Measure | None,
    run: str = "",
    gpu: bool = False,
) -> Compared:
    """Compare the images of a tile and commit it; `run` is what `activity.stage` gave.

    With `cuda` on the GPU of this process, if there is one and it works, else on the processor.

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
    task: "TileTask",
    measure: Measure | None,
    device: Device = CPU,
    run: str = "",
) -> tuple[int, int]:
    store, settings = comparison.store, comparison.settings
    done = comparison.committed(parts[-1], task.number)
    if done is not None:
        return done  # by a worker that died before it could say so: what is committed is never written again
    rows = StoredTileSide(comparison, parts, "a", task.rows, task.tile.rows, run)
    if task.tile.triangular:
        columns = rows
    else:
        side = "b" if store.two_sides else "a"
        columns = StoredTileSide(comparison, parts, side, task.columns, task.tile.columns, run)
    pairs_of_tile = task.pairs(len(rows.images), len(columns.images))
    allowed = _allowed(settings, rows, columns)

    def compare(device: Device) -> tuple[PairWriter, SearchCounts]:
        writer, counts = PairWriter(comparison, parts[-1], task.number), SearchCounts()
        if settings.by_hashes:
            found = hash_pairs(store, settings, measure, rows, columns, counts, allowed)
        elif settings.vectors:
            found = vector_pairs(store, settings, rows, columns, counts, allowed)
        elif measure is None:
            found = _bounded_pairs(store, settings, rows, columns, counts, device, allowed)
        else:
            found = measured_pairs(store, settings, measure, rows, columns, counts, allowed)
        if allowed is None or len(rows.images):
            with SINGLE_THREADED_BLAS:
                for pairs in found:
                    writer.add(pairs if store.two_sides else _ascending(pairs))
        return writer, counts

    writer, counts = run_on(device if allowed is None else CPU, compare)  # nothing is committed before
    writer.commit(counts)
    return pairs_of_tile, writer.similar


def _allowed(settings: CompareSettings, rows: StoredTileSide, columns: StoredTileSide) -> Allowed | None:
    """Find the pairs that pair filters leave, and drop the images without a partner; None if there are no filters."""
    filters = PairFilters.of(settings)
    if not filters:
        return None
    triangular = columns is rows
    allowed = filters.allowed(rows.keys(), None if triangular else columns.keys())
    some_rows, some_columns = (partners > 0 for partners in allowed.partners())
    rows.keep(some_rows)
    if not triangular:
        columns.keep(some_columns)
    return allowed.take(some_rows, some_columns)


def _ascending(pairs: NDArray[np.int64]) -> NDArray[np.int64]:
    """Give the image with the smaller number first: the orders of a comparison are nobody's business."""
    a, b, values, masks = pairs.T
    first, second, masks = lower_image_first(a, b, masks)
    return np.stack([first, second, values, masks], axis=1)


def _bounded_pairs(
    store: Store,
    settings: CompareSettings,
    rows: StoredTileSide,
    columns: StoredTileSide,
    counts: SearchCounts,
    device: Device,
    allowed: Allowed | None,
) -> Iterator[NDArray[np.int64]]:
    """Similar pairs of a tile by a measure that signatures bound."""
    height, width, channels = store.thumbnail_settings.shape
    tile = SearchTile(
        rows,
        columns,
        store.arrays.thumbnail_rows,
        (height, width, channels),
        similarity_limit(settings, height, width),
        available_transforms(height, width, rotations=settings.rotations, mirror=settings.mirror),
        allowed,
    )
    return similar_tile_pairs(tile, counts, device)


class TileTask(NamedTuple):
    """A tile, and what tells its images."""

    number: int
    tile: Tile
    rows: Axis
    columns: Axis

    def pairs(self, rows: int, columns: int) -> int:
        """Pairs of so many rows and columns."""
        return pairs_within(rows) if self.tile.triangular else rows * columns
