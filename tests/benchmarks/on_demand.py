"""The whole comparison of ten million images on this machine; nothing is made up but the pictures.

python on_demand.py FOLDER                                # 10 million, threshold 200
python on_demand.py FOLDER --images 1000000 --threshold 1000

Signatures and digests are real, and stored; thumbnails, 12 kB each, would take 123 GB, and are made again by a function
of the number of the image whenever the comparison reads them. A picture is a blend of two of some thousand simulated
ones, turned and shifted in brightness; one in a hundred is a copy of the one before it, a little brighter, and the
search has to find these. Prints JSON: seconds, counts of the cascade, copies found, and the most memory in use.
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

BANK, COPY_EVERY = 4096, 100

Pictures = Callable[[NDArray[np.int64]], NDArray[np.uint8]]


def make_pictures(bank: NDArray[np.uint8]) -> Pictures:
    """Give the function that makes pictures (n, h, w, 3) uint8 of numbers (n,) int64."""
    forms = [bank, *(np.ascontiguousarray(np.rot90(bank, turn, axes=(1, 2))) for turn in (1, 2, 3))]

    def pictures(numbers: NDArray[np.int64]) -> NDArray[np.uint8]:
        copies = numbers % COPY_EVERY == COPY_EVERY - 1
        result = np.empty((len(numbers), *bank.shape[1:]), np.uint8)
        for place, (number, copy) in enumerate(zip((numbers - copies).tolist(), copies.tolist(), strict=True)):
            # a fixed mixing of the bits of the number (SplitMix64)
            bits = (number + 1) * 0x9E3779B97F4A7C15 & (2**64 - 1)
            bits = (bits ^ bits >> 30) * 0xBF58476D1CE4E5B9 & (2**64 - 1)
            bits = (bits ^ bits >> 27) * 0x94D049BB133111EB & (2**64 - 1)
            bits ^= bits >> 31
            first, second = bank[bits % BANK % len(bank)], forms[bits >> 12 & 3][(bits >> 14) % BANK % len(bank)]
            weight, shift = 140 + (bits >> 26) % 100, (bits >> 33) % 61 - 30 + 2 * copy
            blend = first.astype(np.int16) * np.int16(weight // 2)
            blend += second.astype(np.int16) * np.int16(128 - weight // 2)
            blend >>= 7
            blend += np.int16(shift)
            np.clip(blend, 0, 255, out=result[place], casting="unsafe")
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
    start = time.perf_counter()
    plan_comparison(comparison, client)
    planned = time.perf_counter()
    for _ in compare_tiles(comparison, client):
        pass
    seconds = time.perf_counter() - start
    client.close()
    plans = comparison.plans()
    counts = dict(zip(["similar", *SearchCounts.names()], plans[0].counts.sum(axis=0).tolist(), strict=True))
    found: set[int] = set()
    for pairs in read_pairs(comparison, plans):
        found.update(pairs[pairs[:, 1] == pairs[:, 0] + 1, 1].tolist())
    images = store.generations[0].images_a
    copies = range(COPY_EVERY - 1, images, COPY_EVERY)
    return counts | {
        **{"seconds": seconds, "planning": planned - start, "tiles": len(plans[0].tiles)},
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
    ImageArrays.thumbnail_rows = lambda self, images: pictures(images)  # type: ignore[method-assign]
    shutil.rmtree(options.folder, ignore_errors=True)
    start = time.perf_counter()
    store = make_store(options.folder, options.images, pictures, options.threads)
    made = time.perf_counter() - start
    figures = compare(store, options.threshold, options.threads)
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(json.dumps({"images": options.images, "threshold": options.threshold, "made": made, **figures, "peak": most}))


if __name__ == "__main__":
    main()
