"""Look for edited copies in child processes, kill each at another moment with SIGKILL, resume, and report.

As `kill_driver`, which see; pictures are read and compared once, and what is killed begins there.
"""

import json
import shutil
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pandas as pd
from kill_driver import import_all, in_child, kill_at

from fastdiff_dask.compat.fast_diff_py import FastDifPy
from fastdiff_dask.outputs.json_file import write_json
from fastdiff_dask.stages import edited


def job(photos: str, store: Path, out: Path, begin: Callable[[], None] = lambda: None, look: bool = True) -> None:
    options = {"block_size": 4, "threads": 2, "dashboard_address": "127.0.0.1:0", "verbose": False}
    with FastDifPy(photos, store=store, **options) as db:
        db.index_the_dirs()
        db.first_loop_iteration()
        db.second_loop_iteration()
        begin()
        if look:
            db.find_edited()
            write_json(db.result(), str(out))


def files(store: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in (store / "edited").glob("1/*") if "-" in path.name}


def twice(store: Path) -> int:
    """Pairs that were committed more than once."""
    number = 0
    for kind in ("aligned", "looks"):
        tables = [pd.read_parquet(path)[["a", "b"]] for path in (store / "edited" / "1").glob(f"{kind}-*.parquet")]
        number += int(pd.concat(tables).duplicated().sum())
    return number


def count_renames(photos: str, store: Path, out: Path) -> int:
    """Number of renames of a run that is not killed."""
    counted = out.with_name("renames")

    def counting() -> None:
        rename, names = Path.replace, []

        def begin() -> None:
            Path.replace = lambda path, target: (names.append(target), rename(path, target))[1]

        job(photos, store, out, begin)
        counted.write_text(str(len(names)))

    assert in_child(counting) == 0
    return int(counted.read_text())


def edited_of(out: Path) -> str:
    return json.dumps(json.loads(out.read_text())["edited"])


def main() -> None:
    photos, folder, moments = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
    import_all()
    edited._ALIGNED_AT_ONCE, edited._SEEN_AT_ONCE, edited.EDITED_ROWS, edited.EDITED_COLUMNS = 6, 2, 4, 8
    base, store, out = folder / "base", folder / "store", folder / "out.json"
    assert in_child(lambda: job(photos, base, out, look=False)) == 0
    shutil.copytree(base, store)
    renames = count_renames(photos, store, out)
    whole = edited_of(out)
    assert json.loads(whole)
    for number in range(moments):
        moment, before = 1 + number * (renames - 1) // (moments - 1), number % 2 == 0
        shutil.rmtree(store)
        shutil.copytree(base, store)
        out.unlink(missing_ok=True)
        status = in_child(partial(job, photos, store, out, partial(kill_at, moment, before)))
        known = files(store)
        resumed = in_child(lambda: job(photos, store, out))
        after = files(store)
        report = {
            "moment": moment,
            "renames": renames,
            "killed by": -status,
            "resumed": resumed,
            "kinds": sorted({path.name.split("-")[0] for path in known}),
            "redone": [path.name for path, time in known.items() if after.get(path) != time],
            "twice": twice(store),
            "equal": edited_of(out) == whole,
        }
        print(json.dumps(report), flush=True)


if __name__ == "__main__":
    main()
