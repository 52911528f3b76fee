"""Cost of new pictures: the second run against the first, a table beside the bar.

    python tests/benchmarks/additions.py FOLDER
    python tests/benchmarks/additions.py FOLDER --images 2000 --new 20 --rounds 1     # a try

FOLDER keeps the simulated pictures for the next time. Every run is the command ``fastdiff-dask find``, a process of its
own, from its start to its end; one run with new pictures, one with nothing new, one after a picture was removed, one
after a picture was changed. Figures are medians over the rounds. Of the second run, a second or two is the start of
Python and Dask, as in each.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from bench import Bench, make_parser, median
from PIL import Image
from rich.console import Console
from stores import make_pictures

RUNS = ["first", "new pictures", "nothing new", "one removed", "one changed"]
STAGES = ("index", "thumbnails", "compare", "results")


class AdditionsBench(Bench):
    """Runs of the command over a folder that changes."""

    def __init__(self, options: argparse.Namespace) -> None:
        columns = ["run", "pictures", "read", "tiles", "s", "share of the first", "bar", "stages, s"]
        super().__init__(options, columns, "additions")
        self.pictures = self.folder / "additions-pictures"
        self.store = self.folder / "additions-store"

    def find(self) -> dict[str, Any]:
        """Run the command."""
        out = self.folder / "additions.json"
        command = [sys.executable, "-m", "fastdiff_dask", "find", str(self.pictures), "--store", str(self.store)]
        command += ["--threads", str(self.options.threads), "--dashboard-address", "127.0.0.1:0"]
        start = time.perf_counter()
        with self.log() as log:
            subprocess.run(
                [*command, "--quiet", "--json", str(out)],
                check=True,
                env=self.own_environment(),
                stdout=log,
                stderr=log,
            )
        stats: dict[str, Any] = json.loads(out.read_text())["stats"]
        return {**stats, "stages": stats["seconds"], "seconds": time.perf_counter() - start}

    def bytes_on_disk(self) -> int:
        """Give the size of all files of the store."""
        return sum(path.stat().st_size for path in self.store.rglob("*") if path.is_file())


def play(bench: AdditionsBench, source: list[Path], images: int) -> tuple[dict[str, dict[str, Any]], int]:
    """Run the command over so many pictures and then over all, and so on; also the bytes that the new ones took."""
    for place in (bench.pictures, bench.store):
        shutil.rmtree(place, ignore_errors=True)
    bench.pictures.mkdir()
    for path in source[:images]:
        os.link(path, bench.pictures / path.name)
    runs = {"first": bench.find()}
    before = bench.bytes_on_disk()
    for path in source[images:]:
        os.link(path, bench.pictures / path.name)
    runs["new pictures"] = bench.find()
    grown = bench.bytes_on_disk() - before
    runs["nothing new"] = bench.find()
    (bench.pictures / source[0].name).unlink()
    runs["one removed"] = bench.find()
    changed = bench.pictures / source[1].name
    changed.unlink()  # the link, not what it leads to
    with Image.open(source[2]) as picture:
        picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(changed, quality=90)
    runs["one changed"] = bench.find()
    return runs, grown


def main(arguments: list[str] | None = None) -> None:
    """Measure, and print the table."""
    parser = make_parser(__doc__.partition("\n")[0], RUNS[:1], [])
    parser.add_argument("--images", type=int, default=50_000)
    parser.add_argument("--new", type=int, default=500)
    parser.add_argument("--size", type=int, nargs=2, default=(160, 120), help="width and height of the pictures")
    options = parser.parse_args(arguments)
    bench = AdditionsBench(options)
    pictures = make_pictures(bench.folder, options.images + options.new, options.threads, tuple(options.size))
    source = sorted(pictures.iterdir())
    runs: dict[str, list[dict[str, Any]]] = {name: [] for name in RUNS}
    grown = 0
    for _ in range(options.rounds):
        measured, grown = play(bench, source, options.images)
        for name, run in measured.items():
            runs[name].append(run)
    first = median(runs["first"])
    for name, measured in runs.items():
        last, share = measured[-1], median(measured) / first
        stages = ", ".join(
            f"{stage} {statistics.median(run['stages'][stage] for run in measured):.2f}" for stage in STAGES
        )
        bar = f"< 5 %: {'met' if share < 0.05 else 'MISSED'}" if name == "new pictures" else ""
        bench.table.add_row(
            name,
            f"{last['images']:,}",
            f"{last['images_read']:,}",
            f"{last['tiles'] - last['tiles_resumed']:,}",
            f"{median(measured):.2f}",
            f"{share:.1%}",
            bar,
            stages,
        )
    Console(width=160).print(bench.table)
    print(f"{options.new:,} new pictures took {grown / 1e6:.2f} MB of the store")


if __name__ == "__main__":
    main()
