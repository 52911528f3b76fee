"""Real processes for the tests of faults: a scheduler, workers, clients; and what tells a run that lost nothing."""

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
from distributed import Client
from support.kill_driver import BLOCK_SIZE, finished

PRELOAD = str(Path(__file__).with_name("fault_preload.py"))
# A run of the whole job, as `kill_driver.job`, with the faults of the preload in the client too if it has any.
JOB = """
import json, os, sys
sys.path.insert(0, sys.argv[1])
block_size = int(sys.argv[2])
if "FAULTS" in os.environ:
    from support import fault_preload
from fastdiff_dask.cli import commands
from fastdiff_dask.compat.fast_diff_py import FastDifPy
from fastdiff_dask.outputs.json_file import write_json
from fastdiff_dask.runtime.connection import connect
from fastdiff_dask.runtime.faults import hide_logs
import click

@click.command()
@click.argument("photos")
@click.argument("store")
@click.argument("out")
@click.option("--scheduler")
def job(photos, store, out, scheduler):
    hide_logs()  # as the commands do
    client = connect(scheduler) if scheduler else None
    options = {} if client else {"threads": 2, "dashboard_address": "127.0.0.1:0"}
    options |= {"store": store, "block_size": block_size, "client": client, "verbose": False}
    with FastDifPy(photos, **options) as db, db.writing():
        db.index_the_dirs()
        db.first_loop_iteration(compute_hash=True)
        db.second_loop_iteration(sub_block=8, tile_side=1)
        write_json(db.result(), out)

commands.commands = job
sys.argv = ["job", *sys.argv[3:]]
commands.main()
"""


def command(photos: Path, store: Path, out: Path, scheduler: str | None = None) -> list[str]:
    """A run of the whole job as a process: small tiles, the exit codes and messages of the command line."""
    options = ["--scheduler", scheduler] if scheduler else []
    return [
        sys.executable,
        "-c",
        JOB,
        str(Path(__file__).parents[1]),
        str(BLOCK_SIZE),
        str(photos),
        str(store),
        str(out),
        *options,
    ]


class Faults:
    """Tells the processes that loaded `fault_preload` what to do."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.environment = os.environ | {"FAULTS": str(file)}

    def set(self, pattern: str, action: str, times: int = 1, **more: Any) -> None:
        self.clear()
        new = self.file.with_suffix(".new")
        new.write_text(json.dumps({"pattern": pattern, "action": action, "times": times, **more}))
        new.rename(self.file)

    def clear(self) -> None:
        self.file.unlink(missing_ok=True)
        for met in self.file.parent.glob(self.file.name + ".*"):
            met.unlink()

    def met(self) -> int:
        return len(list(self.file.parent.glob(self.file.name + ".[0-9]*")))

    def wait(self, seconds: float = 30) -> None:
        """Until a process has met the fault."""
        deadline = time.monotonic() + seconds
        while not self.met():
            assert time.monotonic() < deadline, "the fault did not come"
            time.sleep(0.01)

    def wait_for_run(self, store: Path, runs: int) -> None:
        """Until so many more runs of stages have begun."""
        seen, deadline = {(store / "run").read_text()}, time.monotonic() + 30
        while len(seen) <= runs:
            assert time.monotonic() < deadline
            time.sleep(0.01)
            with contextlib.suppress(FileNotFoundError):
                seen.add((store / "run").read_text())


def end(process: subprocess.Popen[Any]) -> None:
    """End a process and all that it started."""
    with contextlib.suppress(psutil.NoSuchProcess):
        for child in psutil.Process(process.pid).children(recursive=True):
            with contextlib.suppress(psutil.NoSuchProcess):
                child.kill()
    process.kill()
    process.wait()


def _dask(command: str, *arguments: str, **options: Any) -> subprocess.Popen[bytes]:
    start = [sys.executable, "-m", f"distributed.cli.dask_{command}", "--host", "127.0.0.1", "--no-dashboard"]
    return subprocess.Popen([*start, *arguments], stderr=subprocess.DEVNULL, **options)


@contextlib.contextmanager
def scheduler(folder: Path, **environment: str) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """A scheduler process, and its address."""
    file = folder / "scheduler.json"
    file.unlink(missing_ok=True)
    process = _dask("scheduler", "--port", "0", "--scheduler-file", str(file), env=os.environ | environment)
    try:
        deadline = time.monotonic() + 30
        while not file.exists() or not file.read_text().endswith("}"):
            assert time.monotonic() < deadline
            time.sleep(0.02)
        yield process, json.loads(file.read_text())["address"]
    finally:
        end(process)


@contextlib.contextmanager
def workers(address: str, folder: Path, faults: Faults, number: int = 2, *options: str) -> Iterator[Any]:
    """Worker processes with nannies, which start them again."""
    scratch = str(folder / "scratch")
    process = _dask(
        *("worker", address, "--nthreads", "1", "--nworkers", str(number), "--preload", PRELOAD, *options),
        *("--local-directory", scratch),
        env=faults.environment,
    )
    try:
        with Client(address, set_as_default=False) as client:
            client.wait_for_workers(number, timeout=60)
        yield process
    finally:
        end(process)


def result(out: Path) -> tuple[str, dict[str, Any]]:
    """A result without what may differ between runs, and that."""
    content = json.loads(out.read_text())
    stats = content.pop("stats")
    return json.dumps(content), stats


class Progress:
    """The finished work of a store at a moment, to be compared with what a later run did."""

    def __init__(self, store: Path, images: int) -> None:
        self.blocks, self.tiles, self._chunks = finished(str(store))
        self.images_left = images - sum(min(BLOCK_SIZE, images - block * BLOCK_SIZE) for block in self.blocks)

    def check(self, stats: dict[str, Any]) -> None:
        """A run that began then did only what was missing."""
        assert stats["images_read"] == self.images_left
        assert stats["tiles_resumed"] == self.tiles
        assert not self.redone()

    def redone(self) -> list[str]:
        """Chunks that were written again."""
        return [path for path, changed in self._chunks.items() if Path(path).stat().st_mtime_ns != changed]


def finish(arguments: list[str], **options: Any) -> subprocess.CompletedProcess[str]:
    """Run a process to its end."""
    return subprocess.run(arguments, capture_output=True, text=True, timeout=60, check=False, **options)
