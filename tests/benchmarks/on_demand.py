"""The whole comparison of ten million images on this machine; nothing is made up but the pictures.

python on_demand.py FOLDER                                # 10 million, threshold 200
python on_demand.py FOLDER --images 1000000 --threshold 1000

Signatures and digests are real, and stored; thumbnails, 12 kB each, would take 123 GB, and are made again by a function
of the number of the image whenever the comparison reads them. A picture is the mean of two of some thousand simulated
ones of more contrast, the second one turned, and shifted in brightness; one in a hundred is a copy of the one before
it, a little brighter, and the search has to find these. Of 60,000, but for the copies, signatures leave 26 pairs at
threshold 200, 12,000 at 1000 and 5 million at 2000; of CIFAR-10 13, 28,000 and 700,000. Prints JSON: seconds, those of
the processors, and how many of these made thumbnails, counts of the cascade, copies found, and the most memory in use.
"""

import argparse
import json
import resource
import shutil
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from simulate import simulate_range
from stores import metadata

from fastdiff_dask.config import CompareSettings, ThumbnailSettings
from fastdiff_dask.kernels.bounds import SearchCounts
from fastdiff_dask.kernels.grid import Generation
from fastdiff_dask.kernels.hashes import thumbnail_digests
from fastdiff_dask.kernels.signatures import signatures
from fastdiff_dask.runtime.blas import SINGLE_THREADED_BLAS
from fastdiff_dask.runtime.connection import embedded_client
from fastdiff_dask.stages.compare import compare_tiles, plan_comparison
from fastdiff_dask.storage.arrays import ImageArrays
from fastdiff_dask.storage.comparisons import Comparison
from fastdiff_dask.storage.pairs import read_pairs
from fastdiff_dask.storage.schema import THUMBNAILS
from fastdiff_dask.storage.store import Store

BANK, COPY_EVERY, CONTRAST, SHIFTS = 4096, 100, 1.5, 30

Pictures = Callable[[NDArray[np.int64]], NDArray[np.uint8]]


def make_pictures(bank: NDArray[np.uint8]) -> Pictures:
    """Give the function that makes pictures (n, h, w, 3) uint8 of numbers (n,) int64."""
    halves = bank
    for one in halves:  # in place, as this counts for the most memory in use; two, and a shift, stay from 0 to 255
        mean = one.mean(axis=(0, 1))
        one[:] = np.clip((one - mean) * CONTRAST + mean, SHIFTS, 255 - SHIFTS) // 2
    forms = np.concatenate([halves, *(np.rot90(halves, turn, axes=(1, 2)) for turn in (1, 2, 3))])

    def pictures(numbers: NDArray[np.int64]) -> NDArray[np.uint8]:
        copies = numbers % COPY_EVERY == COPY_EVERY - 1
        # a fixed mixing of the bits of the number (SplitMix64)
        bits = (numbers - copies + 1).astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
            bits = (bits ^ bits >> np.uint64(shift)) * np.uint64(factor)
        bits ^= bits >> np.uint64(31)
        first, second = bits % np.uint64(len(halves)), (bits >> np.uint64(12)) % np.uint64(len(forms))
        shifts = ((bits >> np.uint64(33)) % np.uint64(2 * SHIFTS - 1)).astype(np.int64) - SHIFTS + 2 * copies
        result = np.empty((len(numbers), *bank.shape[1:]), np.uint8)
        for place, (a, b, shift) in enumerate(zip(first.tolist(), second.tolist(), shifts.tolist(), strict=True)):
            np.add(halves[a], forms[b], out=result[place])
            result[place] += np.uint8(shift % 256)  # the sum wraps around, and is right
        return result

    return pictures


def make_store(folder: Path, images: int, pictures: Pictures, threads: int) -> Store:
    """Make a store whose images are read, without their thumbnails."""
    store = Store.open_or_create(str(folder), {"a": ["/simulated"], "b": []}, ThumbnailSettings())
    size = store.thumbnail_settings.block_size
    blocks = -(-images // size)
    store.add_generation(Generation(range(blocks), range(blocks, blocks), images, 0))

    def write(block: int) -> None:
        numbers = np.arange(block * size, min((block + 1) * size, images))
        store.write_partition(block, metadata(numbers))
        made = pictures(numbers)
        store.arrays.write_images(block, made, signatures(made), thumbnail_digests(made))

    with SINGLE_THREADED_BLAS, ThreadPoolExecutor(threads) as pool:
        list(pool.map(write, range(blocks)))
    return store


def compare(store: Store, threshold: float, threads: int) -> dict[str, Any]:
    """Plan and compare all tiles."""
    comparison = Comparison(store, CompareSettings(similarity_threshold=threshold))
    client = embedded_client(threads, "127.0.0.1:0")
    start, busy = time.perf_counter(), time.process_time()
    plan_comparison(comparison, client)
    planned = time.perf_counter()
    for _ in compare_tiles(comparison, client):
        pass
    seconds, busy = time.perf_counter() - start, time.process_time() - busy
    client.close()
    plans = comparison.plans()
    counts = dict(zip(["similar", *SearchCounts.names()], plans[0].counts.sum(axis=0).tolist(), strict=True))
    found: set[int] = set()
    for pairs in read_pairs(comparison, plans):
        found.update(pairs[pairs[:, 1] == pairs[:, 0] + 1, 1].tolist())
    images = store.generations[0].images_a
    copies = range(COPY_EVERY - 1, images, COPY_EVERY)
    return counts | {
        **{"seconds": seconds, "busy": busy, "planning": planned - start, "tiles": len(plans[0].tiles)},
        **{"copies": len(copies), "copies_found": len(found.intersection(copies))},
    }


def main() -> None:
    """Make the collection, compare it, and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--images", type=int, default=10_000_000)
    parser.add_argument("--threshold", type=float, default=200.0)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    pictures = make_pictures(simulate_range(0, min(BANK, options.images)))
    write_rows = ImageArrays._write_rows

    def without_thumbnails(self: ImageArrays, name: str, block: int, values: NDArray[Any]) -> None:
        write_rows(self, name, block, values[:0] if name == THUMBNAILS else values)

    ImageArrays._write_rows = without_thumbnails  # type: ignore[method-assign]
    making: list[float] = []

    def on_demand(self: ImageArrays, images: NDArray[np.int64]) -> NDArray[np.uint8]:
        start = time.thread_time()
        result = pictures(images)
        making.append(time.thread_time() - start)
        return result

    ImageArrays.thumbnail_rows = on_demand  # type: ignore[method-assign]
    shutil.rmtree(options.folder, ignore_errors=True)
    start = time.perf_counter()
    store = make_store(options.folder, options.images, pictures, options.threads)
    made = time.perf_counter() - start
    figures = compare(store, options.threshold, options.threads)
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    told = {"images": options.images, "threshold": options.threshold, "made": made, **figures}
    print(json.dumps({**told, "making": sum(making), "peak": most}))


if __name__ == "__main__":
    main()
