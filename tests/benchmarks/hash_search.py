"""All pairs of near hashes, beside FAISS and imagededup, in one run: a table of seconds and ratios.

    python tests/benchmarks/hash_search.py FOLDER                       # some minutes
    python tests/benchmarks/hash_search.py FOLDER --only stage          # a million hashes from a store

FOLDER keeps the hashes and the peers' virtual environments for the next time. Every measurement is a process of its
own; ours and the peers take turns, and figures are medians over the rounds. All look for all pairs: FAISS gets each
hash as a query; imagededup gets a sample of them, and its seconds are those times the hashes by the queries.

A twentieth of the hashes are copies of others with three bits changed; the rest are drawn by chance.
"""

import argparse
from pathlib import Path
from typing import Any

import numpy as np
from bench import Bench, make_parser, median
from rich.console import Console
from stores import metadata

from fastdiff_dask.config import ThumbnailSettings
from fastdiff_dask.kernels.grid import Generation
from fastdiff_dask.kernels.signatures import signature_length
from fastdiff_dask.storage.arrays import RowKind
from fastdiff_dask.storage.store import Store

PARTS = ["search", "stage"]
PEERS = ["faiss_hashes", "imagededup"]
# Bits of a hash, and a distance.
ASKED = [(64, 2), (64, 4), (64, 10), (64, 20), (256, 31)]
# Pixels of the thumbnails of the store, which nothing reads.
SMALL = 8


def made_up(count: int, words: int, seed: int = 0) -> np.ndarray:
    """Make up hashes: (count, words) uint64."""
    rng = np.random.default_rng(seed)
    hashes = rng.integers(0, 2**64, (count, words), np.uint64)
    copies = count // 20
    hashes[:copies] = hashes[copies : 2 * copies]
    for _ in range(3):
        bits = np.uint64(1) << rng.integers(0, 64, copies).astype(np.uint64)
        hashes[np.arange(copies), rng.integers(0, words, copies)] ^= bits
    return hashes[rng.permutation(count)]


def made_once(folder: Path, count: int, bits: int) -> Path:
    """Give a file of made-up hashes."""
    place = folder / f"hashes-{count}-{bits}.npy"
    if not place.exists():
        np.save(place, made_up(count, bits // 64))
    return place


def hash_store(folder: Path, images: int) -> Path:
    """Give a store of images that have hashes of 64 bits under four turns, and no pictures."""
    place = folder / f"store-of-{images}"
    settings = ThumbnailSettings(width=SMALL, height=SMALL)
    store = Store.open_or_create(str(place), {"a": ["/simulated"], "b": []}, settings)
    if store.generations:
        return place
    kind, name = RowKind((1,), "uint64"), "dhash-8"
    blocks = -(-images // settings.block_size)
    numbers = [
        np.arange(start, min(start + settings.block_size, images)) for start in range(0, images, settings.block_size)
    ]
    for block, some in enumerate(numbers):
        store.write_partition(block, metadata(some))
    store.add_generation(Generation(range(blocks), range(blocks, blocks), images, 0))
    hashes = [made_up(images, 1, turns) for turns in range(4)]
    for block, some in enumerate(numbers):
        thumbnails = np.zeros((len(some), SMALL, SMALL, 3), np.uint8)
        signatures = np.zeros((len(some), signature_length(SMALL, SMALL, 3)), np.float32)
        for turns, all_of_them in enumerate(hashes):
            store.arrays.write_features(name, turns, block, all_of_them[some])
        store.arrays.write_images(block, thumbnails, signatures, np.ones((len(some), 4, 16), np.uint8))
    for turns in range(4):
        store.arrays.record_features(name, turns, kind)
    return place


def search(bench: Bench) -> None:
    """Measure the search against every peer."""
    options = bench.options
    for bits, distance in ASKED:
        hashes = made_once(bench.folder, options.hashes, bits)
        peers = [name for name in options.peers if bits == 64 or name != "imagededup"]  # which knows no others
        runs: dict[str, list[dict[str, Any]]] = {name: [] for name in ("ours", *peers)}
        for _ in range(options.rounds):
            runs["ours"].append(bench.ours("hashes", hashes, "--threshold", distance))
            for name in peers:
                queries = options.hashes if name == "faiss_hashes" else min(options.queries, options.hashes)
                run = bench.peer(name, hashes, "--threshold", distance, "--queries", queries)
                run["seconds"] *= options.hashes / queries
                runs[name].append(run)
        ours = median(runs["ours"])
        found = runs["ours"][0]["found"]
        for name, measured in runs.items():
            seconds = median(measured)
            if name == "faiss_hashes" and measured[0]["found"] != found:
                raise SystemExit(f"FAISS found {measured[0]['found']} pairs, and we {found}")
            ratio = "" if name == "ours" else f"{seconds / ours:,.3g}"
            what = f"{bits} bits, distance {distance}, {name}"
            bench.table.add_row(what, f"{options.hashes:,}", f"{seconds:,.3g}", ratio, f"{found:,} found")


def stage(bench: Bench) -> None:
    """Measure the compare stage over a store with stored hashes, as they are and in four turns."""
    images = bench.options.images
    place = hash_store(bench.folder, images)
    for name in ("--no-rotations", "--rotations"):
        runs = [
            bench.ours("compare", place, "--measure", "dhash", "--threshold", 4, name)
            for _ in range(bench.options.rounds)
        ]
        notes = f"{runs[0]['found']:,} found; {runs[0]['tiles']} tiles; {runs[0]['peak_bytes'] / 1e6:.0f} MB"
        notes += f"; {median(runs, 'processor_seconds'):.3g} s of processors"
        bench.table.add_row(f"stage, distance 4, {name[2:]}", f"{images:,}", f"{median(runs):.3g}", "", notes)


def main() -> None:
    """Run the benchmark."""
    parser = make_parser(__doc__.partition("\n")[0], PARTS, PEERS)
    parser.add_argument("--hashes", type=int, default=100_000)
    parser.add_argument("--queries", type=int, default=200)
    parser.add_argument("--images", type=int, default=1_000_000)
    options: argparse.Namespace = parser.parse_args()
    bench = Bench(options, ["what", "hashes", "seconds", "times as long as ours", "notes"], "hash search")
    for part in options.only:
        {"search": search, "stage": stage}[part](bench)
    Console(width=140).print(bench.table)


if __name__ == "__main__":
    main()
