"""Ten million images on a cluster, simulated: real scheduler, real client and store, tasks that do nothing but commit.

python scale.py FOLDER                          # 10 million images, 4 workers of 16 threads
python scale.py FOLDER --images 100000 --workers 2

Prints, for the stages of reading and of comparing, the tasks, tasks a second, and the peak memory of the scheduler and
of the client. The store has its metadata arrays and plan, as after an index; it has no metadata of single images.
"""

import argparse
import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import stubs
from distributed import Client
from rich.console import Console
from rich.table import Table

from fastdiff_dask.config import CompareSettings, ReadSettings, ThumbnailSettings
from fastdiff_dask.kernels.grid import Generation, choose_tile_side
from fastdiff_dask.runtime.connection import connect_by_file
from fastdiff_dask.runtime.workers import capacity
from fastdiff_dask.stages import compare, thumbnails
from fastdiff_dask.storage import pending
from fastdiff_dask.storage.comparisons import Comparison
from fastdiff_dask.storage.plans import Part
from fastdiff_dask.storage.store import Store

HERE = Path(__file__).parent
SUB_BLOCK = 256


@contextlib.contextmanager
def cluster(folder: Path, workers: int, threads: int) -> Iterator[tuple[Client, int]]:
    """Start a scheduler and workers as processes; gives a client, and the number of the scheduler's process."""
    file = folder / "scheduler.json"
    file.unlink(missing_ok=True)
    environment = os.environ | {"PYTHONPATH": str(HERE)}
    local = ["--host", "127.0.0.1"]
    scheduler = [sys.executable, "-m", "distributed.cli.dask_scheduler", *local, "--port", "0", "--no-dashboard"]
    worker = [sys.executable, "-m", "distributed.cli.dask_worker", *local, "--no-dashboard", "--no-nanny"]
    worker += ["--nworkers", "1", "--nthreads", str(threads), "--local-directory", str(folder / "scratch")]
    with (folder / "log.txt").open("w") as log:
        processes = [
            subprocess.Popen([*scheduler, "--scheduler-file", str(file)], env=environment, stderr=log),
            *(
                subprocess.Popen([*worker, "--scheduler-file", str(file)], env=environment, stderr=log)
                for _ in range(workers)
            ),
        ]
        try:
            while not file.exists():
                time.sleep(0.1)
            with connect_by_file(str(file)) as client:
                client.wait_for_workers(workers, timeout=60)
                yield client, processes[0].pid
        finally:
            for process in reversed(processes):
                process.terminate()
                process.wait(20)


def peak_bytes(process: int | str) -> int:
    """Most memory that a process ever had in use (Linux)."""
    found = re.search(r"VmHWM:\s*(\d+) kB", Path(f"/proc/{process}/status").read_text())
    assert found
    return int(found[1]) * 1024


def make_store(folder: Path, images: int) -> Store:
    """Make a store as after an index, but for the metadata of single images."""
    shutil.rmtree(folder, ignore_errors=True)
    store = Store.open_or_create(str(folder), {"a": ["/simulated"], "b": []}, ThumbnailSettings())
    blocks = -(-images // store.thumbnail_settings.block_size)
    store.add_generation(Generation(range(blocks), range(blocks, blocks), images, 0))
    return store


def read(store: Store, client: Client) -> int:
    """Run the stage that reads; gives the number of tasks."""
    thumbnails.read_block = stubs.read_block
    unread = pending.unread_blocks(store)
    done = sum(1 for _ in thumbnails.read_blocks(store, client, unread, ReadSettings()))
    assert not pending.unread_blocks(store)
    return done


def compare_all(store: Store, client: Client, images: int) -> int:
    """Run the stage that compares, after its plan; gives the number of tasks."""
    compare.compare_tile = stubs.compare_tile
    comparison = Comparison(store, CompareSettings())
    side = choose_tile_side(-(-images // SUB_BLOCK), capacity(client).threads, images)
    part = Part(range(1), images, 0, SUB_BLOCK, side)
    comparison.begin(part)
    comparison.record_part(part)
    done = sum(1 for _ in compare.compare_tiles(comparison, client))
    assert not comparison.plans()[0].pending()
    return done


def main() -> None:
    """Simulate both stages, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=lambda text: Path(text).absolute(), help="where the store is made")
    parser.add_argument("--images", type=int, default=10_000_000)
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--threads", type=int, default=16)
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    title = f"{options.images} images, {options.workers} workers of {options.threads} threads, tasks without work"
    table = Table("stage", "tasks", "seconds", "tasks/s", "scheduler MB", "client MB", title=title)
    with cluster(options.folder, options.workers, options.threads) as (client, scheduler):
        table.add_row("before", "", "", "", *(f"{peak_bytes(one) / 1e6:.0f}" for one in (scheduler, "self")))
        store = make_store(options.folder / "store", options.images)
        for name, stage in (
            ("thumbnails", lambda: read(store, client)),
            ("compare", lambda: compare_all(store, client, options.images)),
        ):
            start = time.perf_counter()
            tasks = stage()
            seconds = time.perf_counter() - start
            memory = {"scheduler": peak_bytes(scheduler), "client": peak_bytes("self")}
            shown = [f"{value / 1e6:.0f}" for value in memory.values()]
            table.add_row(name, str(tasks), f"{seconds:.1f}", f"{tasks / seconds:.0f}", *shown)
            print(json.dumps({"stage": name, "tasks": tasks, "seconds": seconds} | memory))
    Console(width=120).print(table)


if __name__ == "__main__":
    main()
