"""Run the whole job in child processes, kill each at another moment with SIGKILL, resume, and report.

Called by test_kill.py as a process of its own, because it forks: it imports everything once, so that a run costs a
fraction of a second, and has no threads of its own when it forks. Every commit is a rename, so the moments are counted
in renames: before or after the n-th one. Prints a JSON object a moment.
"""

import importlib
import json
import os
import shutil
import signal
import sys
import threading
import traceback
from collections.abc import Callable
from pathlib import Path

import pandas as pd

from fastdiff_dask.compat.fast_diff_py import FastDifPy
from fastdiff_dask.config import CompareSettings
from fastdiff_dask.errors import UsageError
from fastdiff_dask.images.opening import image_extensions
from fastdiff_dask.outputs.json_file import write_json
from fastdiff_dask.stages import verify
from fastdiff_dask.storage.comparisons import Comparison
from fastdiff_dask.storage.schema import VERDICTS
from fastdiff_dask.storage.store import Store

BLOCK_SIZE = 8


def job(photos: str, store: str, out: str) -> None:
    with FastDifPy(
        photos, store=store, block_size=BLOCK_SIZE, threads=2, dashboard_address="127.0.0.1:0", verbose=False
    ) as db:
        db.index_the_dirs()
        db.first_loop_iteration(compute_hash=True)
        db.second_loop_iteration(sub_block=8, tile_side=1)
        db.verify()
        write_json(db.result(), out)


def import_all() -> None:
    """Import what the job would import on its way, in each child again: most of it is Dask's dashboard."""
    for module in (
        "array_api_compat.numpy",
        "dask.array",
        "distributed.dashboard.scheduler",
        "distributed.http.scheduler.prometheus",
        "fastdiff_dask.dashboard",
        "pyarrow.pandas_compat",
        "scipy.sparse.csgraph",
    ):
        importlib.import_module(module)
    verify._SMALLEST = 1  # a task, and so a commit, for each pair
    image_extensions()  # Pillow's formats and its plugins


def in_child(function: Callable[[], None]) -> int:
    """Exit status of a forked process; negative for the signal that killed it."""
    child = os.fork()
    if child == 0:
        try:
            function()
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def kill_at(moment: int, before: bool) -> None:
    rename, count, lock = Path.replace, 0, threading.Lock()

    def counted(path: Path, target: Path) -> Path:
        nonlocal count
        with lock:
            count += 1
            mine = count
        if before and mine == moment:
            os.kill(os.getpid(), signal.SIGKILL)
        result = rename(path, target)
        if mine == moment:
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    Path.replace = counted


def count_renames(photos: str, folder: Path) -> int:
    """Number of renames of a run that is not killed; its result is folder / 'whole.json'."""

    def counting() -> None:
        rename, names = Path.replace, []
        Path.replace = lambda path, target: (names.append(target), rename(path, target))[1]
        job(photos, str(folder / "whole"), str(folder / "whole.json"))
        (folder / "renames").write_text(str(len(names)))

    assert in_child(counting) == 0
    return int((folder / "renames").read_text())


def finished(store: str) -> tuple[list[int], int, dict[str, int]]:
    """Finished blocks, number of finished tiles, and the times of the chunks that say so."""
    try:
        opened = Store(store)
    except UsageError:
        return [], 0, {}
    plans = Comparison(opened, CompareSettings()).plans()
    blocks = opened.finished_blocks()
    tiles = {number for plan in plans for number in (plan.counts[:, 0] >= 0).nonzero()[0].tolist()}

    def is_committed(array: str, chunk: int) -> bool:
        if array in ("thumbnails", "signatures", "digests"):
            return chunk in blocks
        if array.startswith("pairs-"):
            return int(array.removeprefix("pairs-")) in tiles
        return bool(plans)  # the order of a plan, or the marks of its tiles

    chunks = {
        str(path): path.stat().st_mtime_ns
        for path in Path(store).glob("arrays.zarr/**/c.*[0-9]")
        if is_committed(path.parent.name, int(path.name.split(".")[1]))
    }
    return sorted(blocks), len(tiles), chunks


def verdicts(store: str) -> list[tuple[int, int]]:
    """Pairs of images that were looked at, as often as they were."""
    files = sorted(Path(store).glob(f"{VERDICTS}/*.parquet"))
    return [pair for path in files for pair in pd.read_parquet(path)[["a", "b"]].itertuples(index=False, name=None)]


def main() -> None:
    photos, folder, moments = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
    import_all()
    renames = count_renames(photos, folder)
    whole = json.loads((folder / "whole.json").read_text())
    store, out = str(folder / "store"), str(folder / "out.json")
    for number in range(moments):
        moment, before = 1 + number * (renames - 1) // (moments - 1), number % 2 == 0
        shutil.rmtree(store, ignore_errors=True)
        Path(out).unlink(missing_ok=True)

        def killed(moment: int = moment, before: bool = before) -> None:
            kill_at(moment, before)
            job(photos, store, out)

        status = in_child(killed)
        blocks, tiles, chunks = finished(store)
        looked = verdicts(store)
        resumed = in_child(lambda: job(photos, store, out))
        result = json.loads(Path(out).read_text())
        stats = result.pop("stats")
        report = {
            "moment": moment,
            "renames": renames,
            "killed by": -status,
            "resumed": resumed,
            "blocks": blocks,
            "tiles": tiles,
            "looked": len(looked),
            "looked twice": len(verdicts(store)) - len(set(verdicts(store))),
            "redone": [path for path, time in chunks.items() if Path(path).stat().st_mtime_ns != time],
            "stats": stats,
            "bytes equal": json.dumps(result) == json.dumps({k: v for k, v in whole.items() if k != "stats"}),
        }
        print(json.dumps(report), flush=True)


if __name__ == "__main__":
    main()
