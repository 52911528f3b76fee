"""Clusters of 100 million pairs: peak memory and seconds, from a store with these pairs.

python clusters.py FOLDER                              # 200,000 images in 200 families, 99.9 million pairs
python clusters.py FOLDER --families 20 --size 500
python clusters.py FOLDER --held                       # as if all pairs were held in memory, about 130 bytes each

Each measurement is a process of its own. The store is made once: metadata and digests of images that do not exist, and
a finished comparison in which all of a family are similar to each other, so that the clusters are known. "components"
is `Components` alone, with as many random pairs.
"""

import argparse
import json
import re
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
from rich.console import Console
from rich.table import Table

from fastdiff_dask.config import CompareSettings, ThumbnailSettings
from fastdiff_dask.kernels.bounds import SearchCounts
from fastdiff_dask.kernels.grid import Generation
from fastdiff_dask.kernels.signatures import signature_length
from fastdiff_dask.results import values
from fastdiff_dask.results.collect import collect_result
from fastdiff_dask.results.components import Components
from fastdiff_dask.results.stored import roots_of_store
from fastdiff_dask.storage.comparisons import Comparison
from fastdiff_dask.storage.pairs import PairWriter
from fastdiff_dask.storage.plans import Part, axes_and_tiles
from fastdiff_dask.storage.schema import UNREAD
from fastdiff_dask.storage.store import Store

SIDE, SUB_BLOCK, TILE_SIDE = 8, 256, 64
CONSTANT = UNREAD | {
    **{"side": "a", "root": "/simulated", "path_bytes": b"", "size": 1000, "mtime_ns": 0, "current": True},
    **{"width": 100, "height": 80, "format": "PNG", "mode": "RGB", "error": None},
    **dict.fromkeys(("device", "inode", "changed_ns"), 0),
}
PART = 1 << 20


def make_store(folder: Path, families: int, size: int) -> None:
    """Write images and pairs; image i is of family i % families."""
    images = families * size
    store = Store.open_or_create(
        str(folder), {"a": ["/simulated"], "b": []}, ThumbnailSettings(width=SIDE, height=SIDE)
    )
    rows = store.thumbnail_settings.block_size
    blocks = -(-images // rows)
    rng = np.random.default_rng(1)
    for block in range(blocks):
        numbers = np.arange(block * rows, min((block + 1) * rows, images))
        frame = pd.DataFrame({"image": numbers, "path": [f"{number:09d}.png" for number in numbers]})
        store.write_partition(block, frame.assign(**CONSTANT))
    store.add_generation(Generation(range(blocks), range(blocks, blocks), images, 0))
    for block in range(blocks):
        digests = rng.integers(1, 256, (rows, 4, 16), dtype=np.uint8)
        digests[max(images - block * rows, 0) :] = 0
        signatures = np.zeros((rows, signature_length(SIDE, SIDE, 3)), np.float32)
        store.arrays.write_images(block, np.zeros((rows, SIDE, SIDE, 3), np.uint8), signatures, digests)
    comparison = Comparison(store, CompareSettings())
    part = Part(range(1), images, 0, SUB_BLOCK, TILE_SIDE)
    comparison.begin(part)
    comparison.record_part(part)
    _, _, tiles = axes_and_tiles([part], store.two_sides)
    a, b = np.triu_indices(size, k=1)
    for tile in range(len(tiles)):
        writer = PairWriter(comparison, part, tile)
        for family in range(tile, families, len(tiles)):
            pairs = np.stack(
                [a * families + family, b * families + family, (a * b) % 800_000 % 8000, a * 0 + 1], axis=1
            )
            for start in range(0, len(pairs), PART):
                writer.add(pairs[start : start + PART])
        writer.commit(SearchCounts())


def peak_bytes() -> int:
    """Most memory that this process ever had in use (Linux)."""
    found = re.search(r"VmHWM:\s*(\d+) kB", Path("/proc/self/status").read_text())
    assert found
    return int(found[1]) * 1024


def measure_store(folder: Path, families: int, size: int, held: bool) -> int:
    """Clusters of the store, which are checked; gives the number of pairs."""
    if held:
        values._HELD_PAIRS = 1 << 62
    store = Store(str(folder))
    (comparison,) = Comparison.all_in(store)
    result = collect_result(store, roots_of_store(store), comparison, 200.0)
    clusters = result.clusters
    assert len(clusters) == families
    assert {len(one.low_quality) for one in clusters} == {size - 1}
    return result.pair_count


def measure_components(nodes: int, edges: int) -> int:
    """Random edges; gives their number."""
    components, rng = Components(nodes), np.random.default_rng(1)
    for start in range(0, edges, PART):
        components.add(*rng.integers(0, nodes, (2, min(PART, edges - start))))
    components.labels()
    return edges


def main() -> None:
    """Measure in processes of their own, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=lambda text: Path(text).absolute(), help="where the store is made")
    parser.add_argument("--families", type=int, default=200)
    parser.add_argument("--size", type=int, default=1000, help="images in a family")
    parser.add_argument("--nodes", type=int, default=10_000_000, help="images of the components alone")
    parser.add_argument("--held", action="store_true")
    parser.add_argument("--measure", choices=["clusters", "components", "import"])
    options = parser.parse_args()
    store = options.folder / f"store-{options.families}-{options.size}"
    pairs = options.families * options.size * (options.size - 1) // 2
    if options.measure:
        start = time.perf_counter()
        found = {
            "clusters": lambda: measure_store(store, options.families, options.size, options.held),
            "components": lambda: measure_components(options.nodes, pairs),
            "import": lambda: 0,
        }[options.measure]()
        print(json.dumps({"pairs": found, "seconds": time.perf_counter() - start, "peak_bytes": peak_bytes()}))
        return
    options.folder.mkdir(parents=True, exist_ok=True)
    if not (store / "done").exists():
        make_store(store, options.families, options.size)
        (store / "done").touch()
    table = Table("", "images", "million pairs", "seconds", "million pairs/s", "peak MB")
    for name, images in (("import", 0), ("components", options.nodes), ("clusters", options.families * options.size)):
        command = [sys.executable, __file__, *sys.argv[1:], "--measure", name]
        measured = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
        million, seconds = measured["pairs"] / 1e6, measured["seconds"]
        shown = f"{million:.3f}", f"{seconds:.1f}", f"{million / max(seconds, 1e-9):.1f}"
        table.add_row(name, str(images), *shown, f"{measured['peak_bytes'] / 1e6:.0f}")
    Console(width=120).print(table)


if __name__ == "__main__":
    main()
