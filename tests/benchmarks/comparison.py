"""The comparison against its peers, in one run: a table of pairs a second, ratios, growth and memory.

    python tests/benchmarks/comparison.py FOLDER                   # everything but a million images: half an hour
    python tests/benchmarks/comparison.py FOLDER --only memory --images 1000000
    python tests/benchmarks/comparison.py FOLDER --images 2000 --peers --rounds 1      # a try

FOLDER keeps the simulated collections and the peers' virtual environments for the next time. Every measurement is a
process of its own; ours and a peer's take turns, and figures are medians over the rounds, so that a noisy machine is
noisy for both. Peers get fewer images or queries where the full number would take hours: their time a pair does not
depend on it (for FAISS and scikit-learn, whose queries are a sample against all images, it is a little better for
more).
"""

import argparse
import json
import shutil
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
from bench import PACKAGES, Bench, make_parser
from rich.console import Console
from simulate import write
from stores import make_pictures, make_store

PARTS = ["search", "growth", "dense", "job", "memory"]


class ComparisonBench(Bench):
    """The simulated data, and rows of pairs a second."""

    def __init__(self, options: argparse.Namespace) -> None:
        super().__init__(options, ["what", "images", "seconds", "million pairs/s", "ratio", "notes"], "comparison")

    # -- data --------------------------------------------------------------------------------------------------------

    def store(self, images: int) -> Path:
        """Give a store of simulated thumbnails."""
        place = self.folder / f"store-{images}"
        make_store(place, images, threads=self.options.threads)
        return place

    def thumbnails(self, images: int) -> Path:
        """Give the same thumbnails as one file."""
        place = self.folder / f"thumbnails-{images}.npy"
        if not place.exists():
            write(place.with_suffix(".partial.npy"), images, 0)
            place.with_suffix(".partial.npy").rename(place)
        return place

    def pictures(self, images: int) -> Path:
        """Give simulated pictures of 160 × 120 pixels as JPEG files."""
        return make_pictures(self.folder, images, self.options.threads)

    # -- results -----------------------------------------------------------------------------------------------------

    def row(self, what: str, images: int, runs: list[dict[str, Any]], ratio: str = "", notes: str = "") -> float:
        """Add a row of medians, and give the pairs a second."""
        seconds = statistics.median(run["seconds"] for run in runs)
        rate = runs[0]["pairs"] / seconds
        self.table.add_row(what, f"{images:,}", f"{seconds:.3g}", f"{rate / 1e6:,.4g}", ratio, notes)
        return rate


def search(bench: ComparisonBench) -> None:
    """Measure the compare stage at two thresholds against every peer."""
    options, images = bench.options, bench.options.images
    store, thumbnails = bench.store(images), bench.thumbnails(images)
    runs: dict[str, list[dict[str, Any]]] = {"ours": [], "ours at 1000": []}
    for _ in range(options.rounds):
        runs["ours"].append(bench.ours("compare", store))
        for name in [name for name in options.peers if name in ("faiss", "sklearn")]:
            queries = min(options.queries, images)
            runs.setdefault(name, []).append(bench.peer(name, thumbnails, "--queries", queries))
        runs["ours at 1000"].append(bench.ours("compare", store, "--threshold", 1000))
    few = min(images, 400)
    for name in [name for name in options.peers if name in ("difpy", "fast_diff_py")]:
        runs[name] = [bench.peer(name, bench.pictures(few)) for _ in range(options.rounds)]
    for name, measured in runs.items():
        median = sorted(measured, key=lambda run: run["seconds"])[len(measured) // 2]
        notes = f"{median['found']} found"
        if "tiles" in median:
            stages = ", ".join(f"{median[stage] / median['pairs']:.2g}" for stage in ("near", "leading", "candidates"))
            notes += f"; left by the stages {stages}; {median['peak_bytes'] / 1e6:.0f} MB at the peak"
        elif name in ("faiss", "sklearn"):
            notes += f" by {min(options.queries, images)} queries in four rotations"
        size = few if name in ("difpy", "fast_diff_py") else images
        rate = bench.row(f"search, {name}", size, measured, notes=notes)
        if "ours" in name:
            continue
        for ours in ("ours", "ours at 1000"):
            ratio = statistics.median(run["pairs"] / run["seconds"] for run in runs[ours]) / rate
            bench.table.add_row(f"{ours} / {name}", "", "", "", f"{ratio:,.0f}")


def growth(bench: ComparisonBench) -> None:
    """Measure how time grows with four times the images."""
    small, large = bench.options.images, 4 * bench.options.images
    stores = {images: bench.store(images) for images in (small, large)}
    for threshold in (200, 1000):
        runs: dict[int, list[dict[str, Any]]] = {small: [], large: []}
        for _ in range(bench.options.rounds):
            for images, measured in runs.items():
                measured.append(bench.ours("compare", stores[images], "--threshold", threshold))
        seconds = {images: statistics.median(run["seconds"] for run in measured) for images, measured in runs.items()}
        ratio = f"{seconds[large] / seconds[small]:.1f} × the time"
        bench.row(f"growth at {threshold}", small, runs[small])
        bench.row(f"growth at {threshold}", large, runs[large], ratio)


def dense(bench: ComparisonBench) -> None:
    """Measure the dense matrix against FAISS and the machine's matrix products."""
    images = min(bench.options.images, 10_000)
    thumbnails = bench.thumbnails(images)
    ours, peer, limit = [], [], []
    for _ in range(bench.options.rounds):
        ours.append(bench.ours("dense", thumbnails, "--images", images))
        limit.append(bench.ours("sgemm"))
        if "faiss" in bench.options.peers:
            peer.append(bench.peer("faiss", thumbnails, "--queries", min(bench.options.queries, images)))
    rates = [
        statistics.median(run["operations"] / run["seconds"] for run in measured) / 1e9 for measured in (ours, limit)
    ]
    notes = f"{rates[0]:.0f} GFLOP/s of {rates[1]:.0f} of the matrix product alone: {rates[0] / rates[1]:.0%}"
    rate = bench.row("dense, ours", images, ours, notes=notes)
    if peer:
        theirs = bench.row("dense, faiss", images, peer)
        bench.table.add_row("ours / faiss", "", "", "", f"{rate / theirs:.2f}")


def job(bench: ComparisonBench) -> None:
    """Measure the share of the comparison in the whole job, from picture files."""
    images = bench.options.images
    pictures, store, out = bench.pictures(images), bench.folder / "job-store", bench.folder / "job.json"
    shutil.rmtree(store, ignore_errors=True)
    command = [sys.executable, "-m", "fastdiff_dask", "find", str(pictures), "--store", str(store), "--json", str(out)]
    subprocess.run([*command, "--quiet"], check=True, stderr=bench.log())
    stats = json.loads(out.read_text())["stats"]
    seconds = stats["seconds"]
    share = seconds["compare"] / sum(seconds.values())
    notes = ", ".join(f"{stage} {value:.3g} s" for stage, value in seconds.items())
    measured = {"seconds": seconds["compare"], "pairs": stats["pairs_compared"]}
    bench.row("compare in the whole job", images, [measured], f"{share:.1%} of the time", notes)


def memory(bench: ComparisonBench) -> None:
    """Measure the peak memory of the compare stage, imports included."""
    run = bench.ours("compare", bench.store(bench.options.images))
    bench.row("memory", bench.options.images, [run], f"{run['peak_bytes'] / 1e9:.3g} GB", f"{run['tiles']} tiles")


def main(arguments: list[str] | None = None) -> None:
    """Measure what is asked for, and print the table."""
    parser = make_parser(__doc__.partition("\n")[0], PARTS, list(PACKAGES))
    parser.add_argument("--images", type=int, default=60_000)
    parser.add_argument("--queries", type=int, default=1000, help="of FAISS and scikit-learn")
    options = parser.parse_args(arguments)
    bench = ComparisonBench(options)
    for part in options.only:
        {"search": search, "growth": growth, "dense": dense, "job": job, "memory": memory}[part](bench)
    Console(width=200).print(bench.table)


if __name__ == "__main__":
    np.seterr(all="raise")
    main()
