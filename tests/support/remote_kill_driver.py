"""As kill_driver.py, on a store in an object store: killed before or after the n-th write of some object.

Called by test_remote.py as a process of its own, which imports everything once and has no threads when it forks.
"""

import json
import os
import signal
import sys
import threading
from pathlib import Path

import s3fs

sys.path.insert(0, str(Path(__file__).parents[1]))
from support.kill_driver import import_all, in_child

from fastdiff_dask.compat.fast_diff_py import FastDifPy
from fastdiff_dask.config import CompareSettings
from fastdiff_dask.errors import UsageError
from fastdiff_dask.outputs.json_file import write_json
from fastdiff_dask.storage.comparisons import Comparison
from fastdiff_dask.storage.store import Store

BLOCK_SIZE = 8
# Part of the name of an object, its which write, and whether before it.
MOMENTS = [
    ("/writer.json", 1, False),
    ("/arrays.zarr/zarr.json", 2, True),
    ("/thumbnails/c.", 2, False),
    ("/compared/c.", 3, True),
]


def job(photos: str, store: str, out: str) -> None:
    with (
        FastDifPy(
            photos, store=store, block_size=BLOCK_SIZE, threads=1, dashboard_address="127.0.0.1:0", verbose=False
        ) as db,
        db.writing(),
    ):
        db.index_the_dirs()
        db.first_loop_iteration(compute_hash=True)
        db.second_loop_iteration(sub_block=8, tile_side=1)
        write_json(db.result(), out)


def kill_at(part: str, number: int, before: bool) -> None:
    pipe, count, lock = s3fs.S3FileSystem._pipe_file, 0, threading.Lock()

    async def pipe_file(fs, path, data, **how):
        nonlocal count
        with lock:
            count += part in path
            now = part in path and count == number
        if not (now and before):
            await pipe(fs, path, data, **how)
        if now:
            os.kill(os.getpid(), signal.SIGKILL)

    s3fs.S3FileSystem._pipe_file = pipe_file


def finished(store: str, report: str) -> None:
    """Write down the finished blocks and the number of finished tiles."""
    try:
        opened = Store(store)
        plans = Comparison(opened, CompareSettings()).plans()
        done = sorted(opened.finished_blocks()), sum(int((plan.counts[:, 0] >= 0).sum()) for plan in plans)
    except UsageError:
        done = [], 0
    Path(report).write_text(json.dumps(done))


def main() -> None:
    photos, bucket, folder = sys.argv[1], sys.argv[2], Path(sys.argv[3])
    out, report = str(folder / "out.json"), str(folder / "report.json")
    import_all()
    assert in_child(lambda: job(photos, f"{bucket}/whole", str(folder / "whole.json"))) == 0
    whole = json.loads((folder / "whole.json").read_text())
    for number, moment in enumerate(MOMENTS):
        store = f"{bucket}/store-{number}"

        def killed(moment=moment, store: str = store) -> None:
            kill_at(*moment)
            job(photos, store, out)

        status = in_child(killed)
        assert in_child(lambda store=store: finished(store, report)) == 0
        blocks, tiles = json.loads(Path(report).read_text())
        resumed = in_child(lambda store=store: job(photos, store, out))
        result = json.loads(Path(out).read_text())
        stats = result.pop("stats")
        line = {
            "moment": moment,
            "killed by": -status,
            "resumed": resumed,
            "blocks": blocks,
            "tiles": tiles,
            "stats": stats,
            "bytes equal": json.dumps(result) == json.dumps({k: v for k, v in whole.items() if k != "stats"}),
        }
        print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main()
