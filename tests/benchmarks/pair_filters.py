"""Measure the work that pair filters save, over simulated photos of usual shapes: a row for each.

    python tests/benchmarks/pair_filters.py FOLDER --images 20000 --threshold 1000

FOLDER keeps the simulated collection for the next time. All are compared in this process, one after the other; the
first row is without filters, and the pairs that the others find are checked against it.
"""

import argparse
import os
import shutil
import time
from pathlib import Path

import numpy as np
from stores import make_store

from fastdiff_dask.config import CompareSettings
from fastdiff_dask.kernels.bounds import SearchCounts
from fastdiff_dask.kernels.hashes import HashSettings
from fastdiff_dask.kernels.pair_filters import PairFilters
from fastdiff_dask.runtime.connection import embedded_client
from fastdiff_dask.stages.compare import compare_tiles, plan_comparison
from fastdiff_dask.storage.comparisons import Comparison
from fastdiff_dask.storage.pairs import read_pairs
from fastdiff_dask.storage.selection import read_keys
from fastdiff_dask.storage.store import Store

# Shapes of photos, and how many have them; a tenth is cropped to any shape.
SHAPES = {(4032, 3024): 45, (6000, 4000): 28, (1920, 1080): 12, (1080, 1080): 5, (0, 0): 10}
OPTIONS: dict[str, dict[str, bool | float]] = {
    "all pairs": {},
    "only_matching_aspect": {"match_aspect_by": 1.0},
    "match_aspect_by=1.1": {"match_aspect_by": 1.1},
    "match_aspect_by=0": {"match_aspect_by": 0.0},
    "only_matching_hash": {"only_matching_hash": True},
    "skip_matching_hash": {"skip_matching_hash": True},
}


def add_metadata(store: Store) -> None:
    """Give each image a size and hashes."""
    for block, rows in enumerate(store.rows()):
        frame = store.read_partition(block)
        if frame.hash_key.notna().all():
            continue
        rng = np.random.default_rng(block)
        sizes = np.array(list(SHAPES))[rng.choice(len(SHAPES), rows, p=np.array(list(SHAPES.values())) / 100)]
        sizes = np.where(sizes > 0, sizes, rng.integers(800, 4000, (rows, 2)))
        turned = rng.random(rows) < 0.3
        sizes[turned] = sizes[turned, ::-1]
        hashes = HashSettings(amount=4).columns(store.arrays.read_thumbnails(block)[:rows])
        store.write_partition(block, frame.assign(width=sizes[:, 0], height=sizes[:, 1], **hashes))


def pairs_of(comparison: Comparison) -> np.ndarray:
    """Pairs that were found, sorted."""
    found = np.concatenate([np.zeros((0, 4), np.int64), *read_pairs(comparison, comparison.plans())])
    return found[np.lexsort((found[:, 1], found[:, 0]))]


def main() -> None:
    """Measure each."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--images", type=int, default=20_000)
    parser.add_argument("--threshold", type=float, default=1000.0)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    options = parser.parse_args()
    store = make_store(options.folder / f"store-shapes-{options.images}", options.images, threads=options.threads)
    add_metadata(store)
    client = embedded_client(options.threads, "127.0.0.1:0")
    everything: np.ndarray | None = None
    print(f"{'':22}{'pairs':>14}{'near':>14}{'thumbnails':>12}{'similar':>9}{'plan s':>8}{'tiles s':>8}")
    for name, filters in OPTIONS.items():
        settings = CompareSettings(similarity_threshold=options.threshold, **filters)
        comparison = Comparison(store, settings)
        shutil.rmtree(Path(store.url) / "arrays.zarr" / "comparisons" / comparison.name, ignore_errors=True)
        start = time.perf_counter()
        plan_comparison(comparison, client)
        planned = time.perf_counter()
        for _ in compare_tiles(comparison, client):
            pass
        seconds = time.perf_counter() - planned
        counts = sum(plan.counts.sum(axis=0) for plan in comparison.plans())[1:]
        done = dict(zip(SearchCounts.names(), counts.tolist(), strict=True))
        found = pairs_of(comparison)
        everything = found if everything is None else everything
        keys, rule = read_keys(store, settings), PairFilters.of(settings)
        wanted = everything
        if rule:
            both = rule.allowed(keys[everything[:, 0]], keys[everything[:, 1]])
            wanted = everything[both.wanted(*[np.arange(len(everything))] * 2)]
        if not set(map(tuple, wanted[:, :3])) <= set(map(tuple, found[:, :3])):
            raise SystemExit(f"{name} lost pairs")
        print(
            f"{name:22}{done['pairs']:14,}{done['near']:14,}{done['candidates'] + done['dense']:12,}{len(found):9,}"
            f"{planned - start:8.2f}{seconds:8.2f}"
        )
    client.close()


if __name__ == "__main__":
    main()
