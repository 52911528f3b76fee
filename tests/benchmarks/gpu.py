"""The kernels on a GPU: checked, timed against the processor and the card's own products, and printed as a table.

python gpu.py                                  # a million images for the search, 20,000 for the dense matrix
python gpu.py --images 2000 --dense 200 --device cpu   # without a GPU: the same steps with NumPy

It needs NumPy, Pillow, array-api-compat and this package; of its parts neither Dask nor Zarr. The pictures are
simulated (`simulate.py`), in host memory; what is timed begins with thumbnails and signatures there, and ends with the
pairs there.
"""

import argparse
import math
import os
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from typing import Any

import numpy as np
from simulate import known_copies, simulate_range

from fastdiff_dask.device import CuPyDevice, Device, batched_candidates, dense_mean_squared_errors, int8_products
from fastdiff_dask.metrics import available_transforms, mean_squared_errors
from fastdiff_dask.search import SearchCounts, candidate_pairs, listed_pairs
from fastdiff_dask.signatures import signature_error, signature_length, signatures

SHAPE = (64, 64, 3)
THRESHOLD = 200
LIMIT = THRESHOLD * SHAPE[0] * SHAPE[1]
RADIUS = math.sqrt(LIMIT) * (1 + 1e-12) + 2 * signature_error(*SHAPE)
TRANSFORMS = available_transforms(*SHAPE[:2])
AT_ONCE = 4096


def make(bounds: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Some simulated thumbnails and their signatures."""
    thumbnails = simulate_range(*bounds)
    return thumbnails, np.asarray(signatures(thumbnails), np.float32)


def simulated(images: int) -> tuple[np.ndarray, np.ndarray]:
    """All of them, made by all cores."""
    thumbnails = np.empty((images, *SHAPE), np.uint8)
    values = np.empty((images, signature_length(*SHAPE)), np.float32)
    bounds = [(start, min(start + 4096, images)) for start in range(0, images, 4096)]
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        for (start, stop), (some, own) in zip(bounds, pool.map(make, bounds), strict=True):
            thumbnails[start:stop], values[start:stop] = some, own
    return thumbnails, values


def tiles(images: int, side: int) -> Iterator[tuple[slice, slice]]:
    cuts = [slice(start, min(start + side, images)) for start in range(0, images, side)]
    return ((a, b) for n, a in enumerate(cuts) for b in cuts[n:])


def search(
    thumbnails: np.ndarray, values: np.ndarray, device: Device, side: int
) -> tuple[set[tuple[int, int]], SearchCounts]:
    """All similar pairs, tile by tile as a job does it: candidates, then their thumbnails, exactly."""
    counts, found = SearchCounts(), set()
    for a, b in tiles(len(values), side):
        x = device.kept(a.start, lambda a=a: values[a])
        y = x if a == b else device.kept(b.start, lambda b=b: values[b])
        options = {"radius": RADIUS, "counts": counts, "device": device, "triangular": a == b}
        for i, j in batched_candidates(x, y, **options):
            if isinstance(i, range):
                raise SystemExit("too many pairs are similar for this benchmark; use more varied pictures")
            rows, columns = device.to_host(i) + a.start, device.to_host(j) + b.start
            for start in range(0, len(rows), AT_ONCE):
                some, others = rows[start : start + AT_ONCE], columns[start : start + AT_ONCE]
                places = device.to_device(np.arange(len(some)))
                there = [device.to_device(thumbnails[part]) for part in (some, others)]
                pairs = device.to_host(listed_pairs(*there, places, places, sse_limit=LIMIT, transforms=TRANSFORMS))
                found |= set(zip(some[pairs[:, 0]].tolist(), others[pairs[:, 1]].tolist(), strict=True))
    return found, counts


def on_processor(values: np.ndarray) -> float:
    """Pairs a second of the processor's cascade, one thread, up to the candidates."""
    cuts = [range(start, min(start + 256, len(values))) for start in range(0, len(values), 256)]
    start = time.perf_counter()
    for _ in candidate_pairs(values, values, cuts, cuts, radius=RADIUS, counts=SearchCounts(), triangular=True):
        pass
    return len(values) * (len(values) - 1) / 2 / (time.perf_counter() - start)


def best_of(function: Any, rounds: int) -> tuple[float, Any]:
    seconds, result = math.inf, None
    for _ in range(rounds):
        start = time.perf_counter()
        result = function()
        seconds = min(seconds, time.perf_counter() - start)
    return seconds, result


def dense(thumbnails: np.ndarray, device: Device, products: Any, side: int) -> float:
    """The whole matrix, block by block; each entry counts as a pair. Gives the sum, so that nothing is left out."""
    total = 0.0
    for start in range(0, len(thumbnails), side):
        a = device.kept(("a", start), lambda start=start: thumbnails[start : start + side])
        for other in range(0, len(thumbnails), side):
            b = device.kept(("a", other), lambda other=other: thumbnails[other : other + side])
            total += float(dense_mean_squared_errors(a, b, TRANSFORMS, products).sum())
    return total


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=1_000_000)
    parser.add_argument("--dense", type=int, default=20_000)
    parser.add_argument("--side", type=int, default=65_536, help="images along the side of a tile")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--device", choices=["gpu", "cpu"], default="gpu")
    options = parser.parse_args()
    gpu = options.device == "gpu"
    device: Device = CuPyDevice(cache_bytes=16 << 30) if gpu else Device()
    products = int8_products if gpu else lambda x, y: x.astype(np.int32) @ y.astype(np.int32).T
    name = "the processor, with NumPy"
    if gpu:
        import cupy

        card = cupy.cuda.runtime.getDeviceProperties(0)
        name = f"{card['name'].decode()}, driver {cupy.cuda.runtime.driverGetVersion()}, CuPy {cupy.__version__}"
    start = time.perf_counter()
    thumbnails, values = simulated(max(options.images, options.dense))
    print(f"{len(values)} simulated images in {time.perf_counter() - start:.1f} s; {name}", flush=True)

    # checked first: what is wrong is not timed
    few = thumbnails[:300]
    exact = mean_squared_errors(few, few, TRANSFORMS)
    there = device.to_device(few)
    assert np.array_equal(device.to_host(dense_mean_squared_errors(there, there, TRANSFORMS, products)), exact)
    count = min(3000, options.images)
    found, _ = search(thumbnails[:count], values[:count], device, 1024)
    copies = {(copy.original, copy.copy) for copy in known_copies(count)}
    assert copies <= found, f"{len(copies - found)} known copies are missing"
    cuts = [range(start, min(start + 256, count)) for start in range(0, count, 256)]
    candidates = set()
    arguments = {"radius": RADIUS, "counts": SearchCounts(), "triangular": True}
    for i, j in candidate_pairs(values[:count], values[:count], cuts, cuts, **arguments):
        if not isinstance(i, range):
            candidates |= set(zip(i.tolist(), j.tolist(), strict=True))
    assert found <= candidates
    print("checked: dense to the bit, search against the processor's and the known copies", flush=True)

    rows = []
    one_core = on_processor(values[: min(20_000, options.images)])
    rows.append(("search, one core, candidates alone", one_core, 1.0))
    pairs = options.images * (options.images - 1) / 2
    search(thumbnails[:count], values[:count], device, 1024)
    device.free()
    seconds, (found, counts) = best_of(
        lambda: search(thumbnails[: options.images], values[: options.images], device, options.side), options.rounds
    )
    rows.append((f"search, {options.images} images", pairs / seconds, pairs / seconds / one_core))
    device.free()
    side = min(4096, options.dense)
    seconds, _ = best_of(lambda: dense(thumbnails[: options.dense], device, products, side), options.rounds)
    rows.append(
        (
            f"dense, 4 rotations, {options.dense} images",
            options.dense**2 / seconds,
            options.dense**2 / seconds / one_core,
        )
    )
    x = device.to_device(np.zeros((side, 12_288), np.int8))
    seconds, _ = best_of(lambda: float(products(x, x).sum()), options.rounds)
    rows.append(
        (
            "the card's own 8-bit product, a quarter: the floor of dense",
            side**2 / seconds / 4,
            side**2 / seconds / 4 / one_core,
        )
    )
    print(f"{'':60} {'pairs/s':>10} {'ratio':>9}")
    for what, rate, ratio in rows:
        print(f"{what:60} {rate:10.3g} {ratio:9.1f}")
    print(f"{counts}; {len(found)} similar pairs")


if __name__ == "__main__":
    main()
