"""The kernels on a GPU: checked, timed against two cores, other programs and the card itself, and printed as a table.

    python gpu.py                                  # a million images for the search, 20,000 for the dense matrix
    python gpu.py --images 2000 --dense 200 --device cpu   # without a GPU: the same steps with NumPy

It needs NumPy, Pillow, array-api-compat and this package; of its parts neither Dask nor Zarr. The pictures are
simulated (`simulate.py`). What is timed begins with thumbnails and signatures in host memory, these in their k-d order
as a store keeps them, and ends with the pairs, or the matrix block by block, in the memory of the host or of the card.

Other programs are timed where they are installed, on the same card: FAISS (faiss-gpu), CuPy's `cdist` (cuVS), PyTorch's
`cdist`. They compute in float32, the search for the 16 nearest of each image only, of fewer images, as their time grows
with the pairs; the four turns are four calls. Each ordered pair counts for them, which is twice what counts for our
search.
"""

import argparse
import importlib
import math
import multiprocessing
import os
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial, reduce
from typing import Any

import numpy as np
from numpy.typing import NDArray
from simulate import known_copies, simulate_range

from fastdiff_dask.kernels.bounds import BOX_VALUES, SearchCounts
from fastdiff_dask.kernels.cascade import similar_tile_pairs
from fastdiff_dask.kernels.cuda import CuPyDevice
from fastdiff_dask.kernels.device import CPU, Device
from fastdiff_dask.kernels.grid import SUB_BLOCK, kd_order
from fastdiff_dask.kernels.search_tile import SearchTile
from fastdiff_dask.kernels.signatures import leading_values, signature_length, signatures
from fastdiff_dask.kernels.similarity import SquaredErrorLimit
from fastdiff_dask.kernels.squared_errors import mean_squared_errors
from fastdiff_dask.kernels.squared_errors_int8 import int8_products, integer_products, mean_squared_errors_gpu
from fastdiff_dask.kernels.transforms import available_transforms
from fastdiff_dask.runtime.blas import SINGLE_THREADED_BLAS

SHAPE = (64, 64, 3)
VALUES = math.prod(SHAPE)
THRESHOLD = 200
LIMIT = SquaredErrorLimit(THRESHOLD * SHAPE[0] * SHAPE[1])
TRANSFORMS = available_transforms(*SHAPE[:2])
NEIGHBOURS = 16


def make(bounds: tuple[int, int]) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Some simulated thumbnails and their signatures."""
    thumbnails = simulate_range(*bounds)
    return thumbnails, np.asarray(signatures(thumbnails), np.float32)


class Collection:
    """Thumbnails as they come, and signatures in their k-d order."""

    def __init__(self, images: int) -> None:
        self.thumbnails = np.empty((images, *SHAPE), np.uint8)
        values = np.empty((images, signature_length(*SHAPE)), np.float32)
        bounds = [(start, min(start + 1024, images)) for start in range(0, images, 1024)]
        with ProcessPoolExecutor(os.cpu_count()) as pool:
            for (start, stop), (some, own) in zip(bounds, pool.map(make, bounds), strict=True):
                self.thumbnails[start:stop], values[start:stop] = some, own
        self.order = kd_order(np.asarray(leading_values(values, BOX_VALUES)), SUB_BLOCK)
        self.signatures = values[self.order]

    def part(self, images: int) -> "Collection":
        """The first images alone."""
        part = object.__new__(Collection)
        part.thumbnails = self.thumbnails[:images]
        kept = self.order < images
        part.order, part.signatures = self.order[kept], self.signatures[kept]
        return part


class Side:
    """The images of a tile along one axis, see `cascade.TileSide`."""

    def __init__(self, collection: Collection, places: range) -> None:
        self._collection, self._places = collection, places
        self.images = collection.order[places.start : places.stop]
        self.cuts = [range(start, min(start + SUB_BLOCK, len(places))) for start in range(0, len(places), SUB_BLOCK)]

    def name(self) -> range:
        return self._places

    def signatures(self) -> NDArray[np.float32]:
        return self._collection.signatures[self._places.start : self._places.stop]


class AsDevice(Device):
    """The processor, which takes the steps of a GPU."""

    is_gpu = True


def tiles(images: int, side: int) -> list[tuple[range, range]]:
    cuts = [range(start, min(start + side, images)) for start in range(0, images, side)]
    return [(a, b) for n, a in enumerate(cuts) for b in cuts[n:]]


def search(
    collection: Collection, device: Device, some: list[tuple[range, range]]
) -> tuple[NDArray[np.int64], SearchCounts]:
    """The similar pairs of some tiles, as a task of a job finds them."""
    counts, found = SearchCounts(), [np.zeros((0, 4), np.int64)]
    for a, b in some:
        rows = Side(collection, a)
        columns = rows if a == b else Side(collection, b)
        tile = SearchTile(rows, columns, lambda numbers: collection.thumbnails[numbers], SHAPE, LIMIT, TRANSFORMS, None)
        found += similar_tile_pairs(tile, counts, device)
    return np.concatenate(found), counts


def as_set(pairs: NDArray[np.int64]) -> set[tuple[int, int, int]]:
    return {(min(a, b), max(a, b), error) for a, b, error in pairs[:, :3].tolist()}


_shared: list[Any] = []


def on_one_core(share: int) -> NDArray[np.int64]:
    collection, some = _shared
    with SINGLE_THREADED_BLAS:
        return search(collection, CPU, some[share::2])[0]


def on_two_cores(collection: Collection, side: int) -> tuple[float, set[tuple[int, int, int]]]:
    """Seconds, and the pairs; by two processes that share the collection."""
    _shared[:] = [collection, tiles(len(collection.order), side)]
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("fork")) as pool:
        list(pool.map(abs, range(2)))  # so that they are there
        start = time.perf_counter()
        found = list(pool.map(on_one_core, range(2)))
        return time.perf_counter() - start, as_set(np.concatenate(found))


def best_of(function: Callable[[], Any], rounds: int) -> tuple[float, Any]:
    seconds, result = math.inf, None
    for _ in range(rounds):
        start = time.perf_counter()
        result = function()
        seconds = min(seconds, time.perf_counter() - start)
    return seconds, result


def dense(thumbnails: NDArray[np.uint8], device: Device, products: Any, side: int) -> float:
    """The whole matrix, block by block; each entry counts as a pair. Gives the sum, so that nothing is left out."""
    there = [device.to_device(thumbnails[start : start + side]) for start in range(0, len(thumbnails), side)]
    sums = [mean_squared_errors_gpu(a, b, TRANSFORMS, products).sum() for a in there for b in there]
    return float(sum(sums))


# -- other programs: each takes thumbnails, and gives what is timed ----------------------------------------------------


def turned(thumbnails: NDArray[np.uint8]) -> list[NDArray[np.float32]]:
    """Rows of float32, of each turn."""
    each = (np.rot90(thumbnails, turns, axes=(1, 2)).reshape(len(thumbnails), VALUES) for turns in range(4))
    return [np.ascontiguousarray(rows, np.float32) for rows in each]


def faiss_search(thumbnails: NDArray[np.uint8], gpu: bool) -> Callable[[], Any]:
    faiss = importlib.import_module("faiss")
    each = turned(thumbnails)  # it takes nothing else: not timed
    knn = partial(faiss.knn_gpu, faiss.StandardGpuResources()) if gpu else faiss.knn
    return lambda: [knn(queries, each[0], NEIGHBOURS) for queries in each]


def faiss_dense(thumbnails: NDArray[np.uint8], gpu: bool) -> Callable[[], Any]:
    faiss = importlib.import_module("faiss")
    each = turned(thumbnails)
    on_gpu = partial(faiss.pairwise_distance_gpu, faiss.StandardGpuResources()) if gpu else None
    distances = on_gpu or faiss.pairwise_distances
    return lambda: np.minimum.reduce([distances(queries, each[0]) for queries in each])


def of_torch(thumbnails: NDArray[np.uint8], gpu: bool) -> Iterator[Any]:
    """Rows of float32 of each turn, made on the card of what is sent there, as ours are."""
    torch = importlib.import_module("torch")
    images = torch.from_numpy(thumbnails).to("cuda" if gpu else "cpu")
    for turns in range(4):
        yield torch.rot90(images, turns, (1, 2)).reshape(len(images), VALUES).float()


def torch_search(thumbnails: NDArray[np.uint8], gpu: bool) -> Callable[[], Any]:
    torch = importlib.import_module("torch")

    def search_all() -> None:
        each = list(of_torch(thumbnails, gpu))
        for queries in each:
            for some in queries.split(8192):
                torch.cdist(some, each[0]).topk(min(NEIGHBOURS, len(thumbnails)), largest=False).values.cpu()

    return search_all


def torch_dense(thumbnails: NDArray[np.uint8], gpu: bool) -> Callable[[], Any]:
    torch = importlib.import_module("torch")

    def matrix() -> Any:
        each = list(of_torch(thumbnails, gpu))
        best = reduce(torch.minimum, (torch.cdist(queries, each[0]) for queries in each)) ** 2
        best.sum().item()  # waits
        return best

    return matrix


def cupy_dense(thumbnails: NDArray[np.uint8], gpu: bool) -> Callable[[], Any]:
    if not gpu:
        raise ImportError("it is for a GPU")
    importlib.import_module("cuvs")
    cupy, distance = map(importlib.import_module, ("cupy", "cupyx.scipy.spatial.distance"))

    def matrix() -> Any:
        images = cupy.asarray(thumbnails)
        each = [cupy.rot90(images, turns, (1, 2)).reshape(len(images), VALUES).astype("f4") for turns in range(4)]
        best = reduce(cupy.minimum, (distance.cdist(queries, each[0], "sqeuclidean") for queries in each))
        float(best.sum())
        return best

    return matrix


PEERS = [
    ("FAISS, 16 nearest", faiss_search, False),
    ("PyTorch, 16 nearest", torch_search, False),
    ("FAISS, dense", faiss_dense, True),
    ("PyTorch, cdist", torch_dense, True),
    ("CuPy with cuVS, cdist", cupy_dense, True),
]


def peer_rows(collection: Collection, gpu: bool, searched: int, matrix: int, rounds: int) -> Iterator[list[str]]:
    for name, function, is_dense in PEERS:
        images = min(len(collection.thumbnails), matrix if is_dense else searched)
        few = collection.thumbnails[:200]
        try:
            result, wrong = function(few, gpu)(), ""
            if is_dense:
                errors = np.asarray(getattr(result, "get", getattr(result, "cpu", lambda result=result: result))())
                exact = mean_squared_errors(few, few, TRANSFORMS)
                wrong = f", wrong by up to {np.abs(errors / (SHAPE[0] * SHAPE[1]) - exact).max():.2g}"
            seconds, _ = best_of(function(collection.thumbnails[:images], gpu), rounds)
        except Exception as error:  # whatever another program does, what was measured counts
            yield [name, f"not here: {type(error).__name__}: {' '.join(str(error).split())[:60]}"]
            continue
        yield [f"{name}, {images} images{wrong}", f"{images**2 / seconds:.3g}", f"{seconds:.3g}"]


def card_of() -> tuple[str, float]:
    """Name of the card with its driver, and instructions that it begins in a second."""
    import cupy

    card = cupy.cuda.runtime.getDeviceProperties(0)
    attributes = cupy.cuda.Device(0).attributes
    lanes = attributes["MultiProcessorCount"] * 128 * attributes["ClockRate"] * 1e3
    return f"{card['name'].decode()}, driver {cupy.cuda.runtime.driverGetVersion()}, CuPy {cupy.__version__}", lanes


def check_dense(few, device, products) -> None:
    """See that the dense product is right to the bit: wrong results are not timed."""
    there = device.to_device(few)
    exact = mean_squared_errors(few, few, TRANSFORMS)
    assert np.array_equal(device.to_host(mean_squared_errors_gpu(there, there, TRANSFORMS, products)), exact)


def row(what: str, *figures: str) -> None:
    """Print a row at once, as whatever comes later may fail."""
    print(f"{what:70}" + "".join(f"{figure:>12}" for figure in figures), flush=True)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=1_000_000)
    parser.add_argument("--dense", type=int, default=20_000)
    parser.add_argument("--side", type=int, default=1 << 18, help="images along the side of a tile")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--peer-images", type=int, default=50_000, help="images that other programs search")
    parser.add_argument("--device", choices=["gpu", "cpu"], default="gpu")
    return parser.parse_args()


def main() -> None:
    options = arguments()
    gpu = options.device == "gpu"
    start = time.perf_counter()
    everything = Collection(max(options.images, options.dense))
    print(f"{len(everything.order)} simulated images in {time.perf_counter() - start:.1f} s", flush=True)
    collection = everything.part(options.images)
    pairs = options.images * (options.images - 1) / 2
    # before CUDA is used, which does not outlive a fork
    by_processor, wanted = on_two_cores(collection, min(options.side, 1 << 16))
    print(f"two cores: {pairs / by_processor:.3g} pairs/s, {len(wanted)} similar pairs", flush=True)

    device = CuPyDevice() if gpu else AsDevice()
    products = int8_products if gpu else integer_products
    name, lanes = card_of() if gpu else ("the processor, with NumPy", 0.0)
    print(f"on {name}, {time.strftime('%Y-%m-%d')}", flush=True)

    check_dense(everything.thumbnails[:300], device, products)
    copies = {(copy.original, copy.copy) for copy in known_copies(options.images)}
    assert copies <= {(a, b) for a, b, _ in wanted}, "known copies are missing"
    all_tiles = tiles(options.images, options.side)
    found, counts = search(collection, device, all_tiles)
    assert as_set(found) == wanted, f"{len(as_set(found) ^ wanted)} pairs differ from the processor's"
    assert len(found) == len(wanted)
    print("checked: dense to the bit, search against the processor's pairs and the known copies", flush=True)

    def cold() -> None:
        device.free()
        search(collection, device, all_tiles)

    def timed(what: str, entries: float, seconds: float) -> None:
        ratio = entries / seconds / (pairs / by_processor)
        row(what, f"{entries / seconds:.3g}", f"{seconds:.3g}", f"{ratio:.3g}")

    print(f"{counts}; {len(found)} similar pairs")
    row("", "pairs/s", "seconds", "two cores ×")

    timed(f"search, two cores, {options.images} images", pairs, by_processor)
    seconds, _ = best_of(cold, options.rounds)
    timed(f"search, {options.images} images", pairs, seconds)
    if gpu:
        # eight values, the fewest, and four instructions more a pair, for those of near sub-blocks
        timed("floor of search: the instructions of the first bound", pairs, counts.near * 12 / lanes)
    device.free()
    side = min(4096, options.dense)
    thumbnails = everything.thumbnails[: options.dense]
    seconds, _ = best_of(lambda: dense(thumbnails, device, products, side), options.rounds)
    timed(f"dense, 4 turns, {options.dense} images", options.dense**2, seconds)
    zeros = device.to_device(np.zeros((side, VALUES), np.int8))
    seconds, _ = best_of(lambda: float(products(zeros, zeros).sum()), options.rounds)
    timed("floor of dense: the card's own 8-bit product, four times", side**2, 4 * seconds)
    device.free()
    for figures in peer_rows(everything, gpu, options.peer_images, options.dense, options.rounds):
        row(*figures)


if __name__ == "__main__":
    main()
