"""One measurement of this package in a process of its own; prints JSON.

python ours.py compare STORE --threshold 200     # the compare stage over a store on disk, from its plan on
python ours.py dense THUMBNAILS.npy              # the dense matrix, four rotations
python ours.py hashes HASHES.npy --threshold 4   # near hashes, (n, words) uint64
python ours.py sgemm                             # what the machine's matrix product can do
"""

import argparse
import json
import math
import os
import resource
import shutil
import time
from pathlib import Path
from typing import Any

import dask
import numpy as np

from fastdiff_dask import pairwise_mse
from fastdiff_dask.config import CompareSettings
from fastdiff_dask.kernels.bounds import SearchCounts
from fastdiff_dask.kernels.measures import resolve_measure
from fastdiff_dask.runtime.blas import SINGLE_THREADED_BLAS
from fastdiff_dask.runtime.connection import embedded_client
from fastdiff_dask.stages.compare import compare_tiles, plan_comparison
from fastdiff_dask.stages.prepare import feature_bytes
from fastdiff_dask.storage.comparisons import Comparison
from fastdiff_dask.storage.store import Store
from fastdiff_dask.vectors.hamming import near_hashes


def compare(options: argparse.Namespace) -> dict[str, Any]:
    """Plan and compare all tiles; an earlier comparison at this threshold is removed first."""
    settings = CompareSettings(
        similarity_threshold=options.threshold, measure=options.measure, rotations=options.rotations
    )
    comparison, measure = Comparison(Store(str(options.where)), settings), resolve_measure(options.measure)
    features = 0
    if measure is not None:
        features = feature_bytes(comparison.store, measure.features, (0, 1, 2, 3) if options.rotations else (0,))
    shutil.rmtree(options.where / "arrays.zarr" / "comparisons" / comparison.name, ignore_errors=True)
    client = embedded_client(options.threads, "127.0.0.1:0")
    start, used = time.perf_counter(), time.process_time()
    plan_comparison(comparison, client, feature_bytes=features)
    planned = time.perf_counter()
    for _ in compare_tiles(comparison, client, measure):
        pass
    seconds, used = time.perf_counter() - start, time.process_time() - used
    (plan,) = comparison.plans()
    counts = dict(zip(["found", *SearchCounts.names()], plan.counts.sum(axis=0).tolist(), strict=True))
    images = comparison.store.generations[0].images_a
    client.close()
    return counts | {
        "pairs": images * (images - 1) // 2,
        "seconds": seconds,
        "processor_seconds": used,
        "planning": planned - start,
        "tiles": len(plan.tiles),
    }


def dense(options: argparse.Namespace) -> dict[str, Any]:
    """Compute the whole matrix of the first images; each of its entries counts as a pair."""
    thumbnails = np.array(np.load(options.where, mmap_mode="r")[: options.images])
    with dask.config.set(scheduler="threads", num_workers=options.threads):
        pairwise_mse(thumbnails[:64]).compute()
        start = time.perf_counter()
        matrix = pairwise_mse(thumbnails).compute()
        seconds = time.perf_counter() - start
    blocks = -(-len(thumbnails) // 1024)
    operations = matrix.size * (blocks + 1) / (2 * blocks) * 2.5 * thumbnails[0].size
    found = int((np.triu(matrix <= options.threshold, 1)).sum())
    return {"pairs": matrix.size, "seconds": seconds, "found": found, "operations": operations}


def hashes(options: argparse.Namespace) -> dict[str, Any]:
    """Find near hashes, a tile a task, as workers do."""
    from concurrent.futures import ThreadPoolExecutor

    words = np.load(options.where)[None]
    size = -(-words.shape[1] // max(1, math.isqrt(8 * options.threads)))
    cuts = [words[:, start : start + size] for start in range(0, words.shape[1], size)]
    tiles = [(a, b if j > i else None) for i, a in enumerate(cuts) for j, b in enumerate(cuts) if j >= i]

    def work(tile: tuple[Any, Any]) -> int:
        return sum(len(found.first) for found in near_hashes(*tile, options.threshold))

    start = time.perf_counter()
    with ThreadPoolExecutor(options.threads) as pool:
        found = sum(pool.map(work, tiles))
    seconds = time.perf_counter() - start
    return {"pairs": words.shape[1] * (words.shape[1] - 1) // 2, "seconds": seconds, "found": found}


def sgemm(options: argparse.Namespace) -> dict[str, Any]:
    """Measure operations a second of matrix products of 1,024 × 3,072 float32, a product a thread."""
    from concurrent.futures import ThreadPoolExecutor

    rng = np.random.default_rng(0)
    a, b = (rng.random((1024, 3072), dtype=np.float32) for _ in range(2))

    def work(_: int) -> None:
        out = np.empty((1024, 1024), np.float32)
        for _ in range(20):
            np.matmul(a, b.T, out=out)

    with SINGLE_THREADED_BLAS, ThreadPoolExecutor(options.threads) as pool:
        list(pool.map(work, range(options.threads)))
        start = time.perf_counter()
        list(pool.map(work, range(options.threads)))
        seconds = time.perf_counter() - start
    return {"operations": options.threads * 20 * 2 * 1024 * 1024 * 3072, "seconds": seconds}


def main() -> None:
    """Measure one thing."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("what", choices=["compare", "dense", "hashes", "sgemm"])
    parser.add_argument("where", type=Path, nargs="?")
    parser.add_argument("--threshold", type=float, default=200.0)
    parser.add_argument("--measure", default="mse", choices=("mse", "correlation", "dhash"))
    parser.add_argument("--rotations", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--images", type=int, default=10_000)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    options = parser.parse_args()
    result = {"compare": compare, "dense": dense, "hashes": hashes, "sgemm": sgemm}[options.what](options)
    result["peak_bytes"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(json.dumps(result))


if __name__ == "__main__":
    main()
