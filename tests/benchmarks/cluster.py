"""Costs of scheduling, committing and watching: a table beside the bars.

    python tests/benchmarks/cluster.py FOLDER
    python tests/benchmarks/cluster.py FOLDER --images 2000 --rounds 1     # a try

FOLDER keeps the simulated pictures for the next time. Every measurement is a process of its own, and what is compared
takes turns; figures are medians over the rounds.

processes
    The whole job over a third of the images by as many processes of one thread as there are cores, against one process
    of as many threads.
overhead
    Of the stages that read and compare, the share of the threads' time in which no picture was read and no pair
    compared: scheduling, committing, progress, and waiting at the end.
watched
    The whole job with the page of `fastdiff-dask dashboard` open in a browser's place (a session that gets all its
    updates), against without.
"""

import argparse
import shutil
import statistics
import subprocess
import sys
import threading
from typing import Any

from bench import Bench, make_parser, median
from rich.console import Console
from stores import make_pictures

PARTS = ["processes", "overhead", "watched"]


class ClusterBench(Bench):
    """Runs of the whole job, and rows beside their bars."""

    def __init__(self, options: argparse.Namespace) -> None:
        super().__init__(options, ["what", "images", "measured", "bar", "notes"], "cluster")

    def job(self, images: int, *, processes: int = 0) -> dict[str, Any]:
        """Run the whole job over so many pictures."""
        pictures = make_pictures(self.folder, images, self.options.threads)
        arguments: list[object] = [pictures, self.folder / "cluster-store"]
        if not processes:
            return self.ours(*arguments, script="job.py")
        each = max(1, self.options.threads // processes)
        return self.ours(*arguments, "--processes", processes, script="job.py", threads=each)


def processes(bench: ClusterBench) -> None:
    """Compare processes of one thread with threads of one process."""
    images, cores = bench.options.images // 3, bench.options.threads
    runs: dict[str, list[dict[str, Any]]] = {"threads": [], "processes": []}
    for _ in range(bench.options.rounds):
        runs["threads"].append(bench.job(images))
        runs["processes"].append(bench.job(images, processes=cores))
    seconds = {name: median(measured) for name, measured in runs.items()}
    notes = ", ".join(f"{name} {value:.1f} s" for name, value in seconds.items())
    for stage in ("thumbnails", "compare"):
        each = {name: statistics.median(run["stages"][stage] for run in measured) for name, measured in runs.items()}
        notes += f"; {stage} {each['threads']:.2f} and {each['processes']:.2f} s"
    ratio = seconds["threads"] / seconds["processes"]
    bench.table.add_row("processes / threads", f"{images:,}", f"{ratio:.2f}", "at least 0.9", notes)


def overhead(bench: ClusterBench) -> None:
    """Measure what is not computing in the stages that compute."""
    threads = bench.options.threads
    runs = [bench.job(bench.options.images) for _ in range(bench.options.rounds)]
    shares, notes = [], ""
    for run in runs:
        tasks, commits = run["tasks"], run["committing"]
        computed = {
            "thumbnails": tasks["thumbnail"] + tasks.get("commit", 0.0) - commits["thumbnails"],
            "compare": tasks["plan"] + tasks["compare"] - commits["compare"],
        }
        wall = {stage: run["stages"][stage] for stage in computed}
        shares.append(1 - sum(computed.values()) / (threads * sum(wall.values())))
        notes = ", ".join(
            f"{stage} {wall[stage]:.1f} s, {computed[stage]:.1f} s of tasks on {threads} threads" for stage in computed
        )
    share = statistics.median(shares)
    bench.table.add_row("overhead", f"{bench.options.images:,}", f"{share:.1%}", "under 10 %", notes)


def watched(bench: ClusterBench) -> None:
    """Compare a job that is watched with one that is not."""
    images = bench.options.images  # so many that the start of the page's server counts little
    runs: dict[str, list[dict[str, Any]]] = {"alone": [], "watched": []}
    for _ in range(bench.options.rounds):
        runs["alone"].append(bench.job(images))
        shutil.rmtree(bench.folder / "cluster-store")  # or the page would be opened on it
        with_page = threading.Event()
        watcher = threading.Thread(target=_watch, args=(bench, with_page))
        watcher.start()
        runs["watched"].append(bench.job(images))
        with_page.set()
        watcher.join()
    seconds = {name: median(measured) for name, measured in runs.items()}
    slower = seconds["watched"] / seconds["alone"] - 1
    notes = ", ".join(f"{name} {value:.1f} s" for name, value in seconds.items())
    bench.table.add_row("watched", f"{images:,}", f"{slower:+.1%}", "at most 3 %", notes)


def _watch(bench: ClusterBench, end: threading.Event) -> None:
    """Keep a session with the page open, as a browser does."""
    from bokeh.client import pull_session

    store = bench.folder / "cluster-store"
    while not (store / "arrays.zarr" / "zarr.json").exists():
        if end.wait(0.1):
            return
    command = [sys.executable, "-m", "fastdiff_dask", "dashboard", str(store), "--address", "127.0.0.1:0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=bench.log(), text=True) as page:
        try:
            assert page.stdout is not None
            line = next(line for line in page.stdout if "http://" in line)
            session = pull_session(url=line[line.index("http://") :].split()[0])
            while not end.wait(0.2):
                session.force_roundtrip()
        finally:
            page.terminate()


def main(arguments: list[str] | None = None) -> None:
    """Measure what is asked for, and print the table."""
    parser = make_parser(__doc__.partition("\n")[0], PARTS, [])
    parser.add_argument("--images", type=int, default=60_000)
    options = parser.parse_args(arguments)
    bench = ClusterBench(options)
    for part in options.only:
        {"processes": processes, "overhead": overhead, "watched": watched}[part](bench)
    Console(width=200).print(bench.table)


if __name__ == "__main__":
    main()
