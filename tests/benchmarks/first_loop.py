"""Speed and exactness of reading against a bare loop of Pillow and the peers; speed of listing.

    python tests/benchmarks/first_loop.py FOLDER --photos PHOTOS         # everything: about ten minutes
    python tests/benchmarks/first_loop.py FOLDER --only photos --images 300 --rounds 1       # a try
    python tests/benchmarks/first_loop.py FOLDER --only index --files 10000

FOLDER keeps the pictures and the peers' virtual environments for the next time (the same as those of comparison.py).
Every measurement is a process of its own, see reading.py; the bare loop, ours and the peers take turns, figures are
medians over the rounds, and ratios are those of the medians. All files are in the system's memory. The parts:

photos
    JPEG files of at most 500 pixels: those of PHOTOS, as often as it takes, each with another end; without --photos
    simulated ones. Ours is the first loop with hashes into a new store, from files to what is committed; its index is
    named and not counted, as that of fast_diff_py. difPy's build lists the files too.
large
    JPEG files of 4000 × 3000 pixels, made from the former by Lanczos's filter and noise.
quality
    MSE between a thumbnail as it is read by default and one of the full decode and the plain bicubic filter, which is
    ours, as colour profiles count in both; where there is none it is compared with Pillow's own.
index
    Small files in 100 folders: the index, the thumbnails, and the whole command once more when nothing changed; and how
    many pictures the command opens, the first time and then.
"""

import argparse
import io
import os
import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from bench import Bench, make_parser, median
from opened import count_opened
from PIL import Image, ImageOps
from rich.console import Console
from simulate import simulate_range

PARTS = ["photos", "large", "quality", "index"]
PEERS = ["difpy", "fast_diff_py"]
FOLDERS = 100
NOISE = 3.0  # standard deviation in grey levels, about that of a camera


class FirstLoopBench(Bench):
    """The picture files, and rows of images a second."""

    def __init__(self, options: argparse.Namespace) -> None:
        super().__init__(options, ["what", "images", "seconds", "images/s", "value", "bar", "notes"], "first loop")

    # -- data --------------------------------------------------------------------------------------------------------

    def make(self, name: str, function: Any, numbers: range) -> Path:
        """Give a folder of files, made by a function of a folder and a number where they are not there yet."""
        place = self.folder / name
        if not place.exists():
            partial = place.with_name(f"{name}.partial")
            shutil.rmtree(partial, ignore_errors=True)
            partial.mkdir()
            with ThreadPoolExecutor(self.options.threads) as pool:
                list(pool.map(lambda number: function(partial, number), numbers))
            partial.rename(place)
        for path in place.rglob("*.jpg"):
            path.read_bytes()  # into the system's memory
        return place

    def sources(self) -> list[Path]:
        """List the photos of at most --side pixels."""
        found = []
        for path in sorted(self.options.photos.rglob("*")):
            if path.suffix.lower() in (".jpg", ".jpeg"):
                with Image.open(path) as image:
                    if image.format == "JPEG" and max(image.size) <= self.options.side:
                        found.append(path)
        if not found:
            raise SystemExit(f"{self.options.photos} has no JPEG photos of at most {self.options.side} pixels")
        return found

    def photos(self) -> tuple[Path, int]:
        """Give small pictures, and how many of them differ: the first ones."""
        options = self.options
        if options.photos is None:
            side, batch = options.side, 256

            def simulated(folder: Path, start: int) -> None:
                stop = min(start + batch, options.images)
                for number, image in enumerate(simulate_range(start, stop, size=(side * 3 // 4, side)), start):
                    Image.fromarray(image).save(folder / f"{number:05d}.jpg", quality=85)

            name = f"simulated-{options.images}-{side}"
            return self.make(name, simulated, range(0, options.images, batch)), options.images
        sources = self.sources()

        def copied(folder: Path, number: int) -> None:
            content = sources[number % len(sources)].read_bytes()
            (folder / f"{number:05d}.jpg").write_bytes(content + f"\n{number}".encode())

        place = self.make(f"photos-{options.images}-{options.side}", copied, range(options.images))
        return place, min(options.images, len(sources))

    def large(self) -> Path:
        """Give large pictures."""
        options = self.options
        place, distinct = self.photos()
        numbers = range(min(options.large, distinct))
        paths = sorted(place.iterdir())
        long, short = options.large_side, options.large_side * 3 // 4

        def enlarged(folder: Path, number: int) -> None:
            with Image.open(paths[number]) as image:
                upright = ImageOps.exif_transpose(image).convert("RGB")
            size = (long, short) if upright.width >= upright.height else (short, long)
            pixels = np.asarray(upright.resize(size, Image.Resampling.LANCZOS), dtype=np.float32)
            noise = np.random.default_rng(number).standard_normal(pixels.shape, dtype=np.float32)
            noisy = np.clip(np.rint(pixels + NOISE * noise), 0, 255).astype(np.uint8)
            Image.fromarray(noisy).save(folder / f"{number:05d}.jpg", quality=90)

        kind = "simulated" if options.photos is None else "photos"
        return self.make(f"large-{kind}-{len(numbers)}-{long}", enlarged, numbers)

    def small(self) -> Path:
        """Give tiny pictures in folders: different ones, as copies by the thousand would be another benchmark."""
        files, batch = self.options.files, 256

        def simulated(folder: Path, start: int) -> None:
            stop = min(start + batch, files)
            for number, image in enumerate(simulate_range(start, stop, size=(16, 16)), start):
                buffer = io.BytesIO()
                Image.fromarray(image).save(buffer, "JPEG", quality=85)
                below = folder / f"{number % FOLDERS:02d}"
                below.mkdir(exist_ok=True)
                (below / f"{number:06d}.jpg").write_bytes(buffer.getvalue() + f"\n{number}".encode())

        return self.make(f"small-{files}", simulated, range(0, files, batch))

    # -- measurements ------------------------------------------------------------------------------------------------

    def read(self, what: str, folder: Path) -> dict[str, Any]:
        """Measure one way to read a folder once."""
        if what in ("threads", "processes"):
            return self.run(sys.executable, "reading.py", what, folder)
        if what == "ours":
            return self.stages(folder)
        # one of them writes into the folder
        links = self.folder / "links"
        shutil.rmtree(links, ignore_errors=True)
        links.mkdir()
        try:
            for path in folder.iterdir():
                os.link(path, links / path.name)
            return self.peer(what, links, script="reading.py")
        finally:
            shutil.rmtree(links)

    def stages(self, folder: Path, *more: str) -> dict[str, Any]:
        """Measure our stages into a new store."""
        store = self.folder / "first-loop-store"
        shutil.rmtree(store, ignore_errors=True)
        return self.ours("ours", folder, "--store", store, *more, script="reading.py")

    # -- results -----------------------------------------------------------------------------------------------------

    def row(self, what: str, images: int, runs: list[dict[str, Any]]) -> float:
        """Add a row of medians, and give the images a second."""
        seconds = sorted(run["seconds"] for run in runs)
        rate = images / median(runs)
        notes = [f"{seconds[0]:.3g} to {seconds[-1]:.3g} s"] if len(runs) > 1 else []
        if "index" in runs[0]:
            notes.append(f"index {median(runs, 'index'):.3g} s")
        missing = {images - run["read"] for run in runs} - {0}
        if missing:
            notes.append(f"{max(missing)} NOT READ")
        self.table.add_row(what, f"{images:,}", f"{median(runs):.3g}", f"{rate:,.4g}", "", "", "; ".join(notes))
        return rate

    def value(self, what: str, value: float, at_least: float | None = None, at_most: float | None = None) -> None:
        """Add a row of one value and its bar."""
        bar = ""
        if at_least is not None:
            bar = f"≥ {at_least:g}: {'met' if value >= at_least else 'MISSED'}"
        elif at_most is not None:
            bar = f"≤ {at_most:g}: {'met' if value <= at_most else 'MISSED'}"
        shown = f"{value:,}" if isinstance(value, int) else f"{value:.3g}"
        self.table.add_row(what, "", "", "", shown, bar)


def compare(bench: FirstLoopBench, what: str, folder: Path, peers: list[str], bars: dict[str, float]) -> None:
    """Measure all ways to read a folder in turns."""
    ways = ["threads", "processes", "ours", *[peer for peer in peers if peer in bench.options.peers]]
    runs: dict[str, list[dict[str, Any]]] = {way: [] for way in ways}
    for _ in range(bench.options.rounds):
        for way in ways:
            runs[way].append(bench.read(way, folder))
    images = len(list(folder.iterdir()))
    names = {way: f"bare loop, {way}" for way in ("threads", "processes")}
    rates = {way: bench.row(f"{what}, {names.get(way, way)}", images, runs[way]) for way in ways}
    others = {"bare loop": max(rates["threads"], rates["processes"])} | {way: rates[way] for way in ways[3:]}
    for way, rate in others.items():
        bench.value(f"{what}, ours / {way}", rates["ours"] / rate, bars.get(way))


def photos(bench: FirstLoopBench) -> None:
    """Measure small photos."""
    place, _ = bench.photos()
    compare(bench, "photos", place, PEERS, {"bare loop": 0.85, "difpy": 1.6, "fast_diff_py": 3.0})


def large(bench: FirstLoopBench) -> None:
    """Measure large pictures."""
    compare(bench, "large", bench.large(), ["difpy"], {"difpy": 5.0})


def quality(bench: FirstLoopBench) -> None:
    """Measure how far the thumbnails are off."""
    place, distinct = bench.photos()
    for what, folder, images in (("photos", place, distinct), ("large", bench.large(), bench.options.large)):
        found = bench.ours("quality", folder, "--images", images, script="reading.py")
        bench.value(f"quality, {what}: MSE, 99th percentile", found["p99"], at_most=10)
        notes = f"exact_decode against Pillow at most {found['plain']:.3g} in {found['unprofiled']} without a profile"
        shown = f"{found['median']:.3g}, {found['max']:.3g}"
        bench.table.add_row(f"quality, {what}: median and largest", f"{found['read']:,}", "", "", shown, "", notes)


def index(bench: FirstLoopBench) -> None:
    """Measure the index and the thumbnails of many small files, and a run when nothing changed."""
    options, folder = bench.options, bench.small()
    runs = [bench.stages(folder, "--index-only") for _ in range(options.rounds - 1)]
    runs.append(bench.stages(folder, "--no-hashes"))
    if runs[-1]["read"] != options.files:
        raise SystemExit(f"{runs[-1]['read']} of {options.files} files were read; see {bench.folder / 'log.txt'}")
    bench.value("index: seconds", median(runs, "index"), at_most=10)
    bench.row("index: thumbnails, without hashes", options.files, runs[-1:])

    store = bench.folder / "index-store"
    shutil.rmtree(store, ignore_errors=True)
    command = [sys.executable, "-m", "fastdiff_dask", "find", str(folder), "--store", str(store)]
    command += ["--workers", str(options.threads), "--dashboard-address", "127.0.0.1:0"]
    environment = bench.own_environment()
    with bench.log() as log:
        # the first run is counted as well: it shows that the count sees the decoders
        first = count_opened(command, folder, environment, log.fileno())
        again = []
        for _ in range(options.rounds):
            start = time.perf_counter()
            subprocess.run(command, env=environment, check=True, stdout=log, stderr=log)
            again.append({"seconds": time.perf_counter() - start})
        opened = count_opened(command, folder, environment, log.fileno())
    bench.value("index: pictures opened by the first run", first, at_least=options.files)
    bench.value("index: seconds of a run when nothing changed", median(again), at_most=15)
    bench.value("index: pictures opened by it", opened, at_most=0)


def main(arguments: list[str] | None = None) -> None:
    """Measure what is asked for, and print the table."""
    parser = make_parser(__doc__.partition("\n")[0], PARTS, PEERS)
    parser.add_argument("--photos", type=lambda text: Path(text).absolute(), help="a folder of real photos")
    parser.add_argument("--images", type=int, default=2100, help="small pictures")
    parser.add_argument("--side", type=int, default=500, help="pixels of their longer side, at most")
    parser.add_argument("--large", type=int, default=24, help="large pictures")
    parser.add_argument("--large-side", type=int, default=4000, help="pixels of their longer side")
    parser.add_argument("--files", type=int, default=100_000, help="files of the index")
    options = parser.parse_args(arguments)
    bench = FirstLoopBench(options)
    for part in options.only:
        {"photos": photos, "large": large, "quality": quality, "index": index}[part](bench)
    Console(width=160).print(bench.table)


if __name__ == "__main__":
    main()
