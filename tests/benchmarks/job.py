"""One run of the whole job in a process of its own; prints JSON: seconds of the stages, and of their tasks.

python job.py PICTURES STORE --threads 2              # threads of this process
python job.py PICTURES STORE --processes 2 --threads 1
"""

import argparse
import functools
import json
import shutil
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fastdiff_dask as fd
from fastdiff_dask.storage.pairs import PairWriter
from fastdiff_dask.tasks import read_block


def timed(spent: Counter[str], stage: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """Give a function that adds the time that it takes to what was spent in a stage."""

    @functools.wraps(function)
    def measured(*arguments: Any, **options: Any) -> Any:
        start = time.perf_counter()
        try:
            return function(*arguments, **options)
        finally:
            spent[stage] += time.perf_counter() - start

    return measured


def task_seconds(dask_scheduler: Any) -> dict[str, float]:
    """Seconds that tasks were computed, by the prefix of their keys."""
    return {name: prefix.all_durations.get("compute", 0.0) for name, prefix in dask_scheduler.task_prefixes.items()}


def main() -> None:
    """Run all stages over a store that is made anew."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("pictures", type=Path)
    parser.add_argument("store", type=Path)
    parser.add_argument("--processes", type=int, default=0)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    shutil.rmtree(options.store, ignore_errors=True)
    committing: Counter[str] = Counter()
    # commits are parts of the tasks that read or compare; they are seen where tasks are threads of this process
    PairWriter.commit = timed(committing, "compare", PairWriter.commit)
    read_block._write_block = timed(committing, "thumbnails", read_block._write_block)
    with fd.FastDifPy(
        options.pictures,
        store=options.store,
        workers=options.processes or None,
        threads=options.threads,
        dashboard_address="127.0.0.1:0",
        verbose=False,
    ) as db:
        _ = db.client
        start = time.perf_counter()
        with db.writing():
            db.index_the_dirs()
            db.first_loop_iteration()
            db.second_loop_iteration()
        seconds = time.perf_counter() - start
        tasks = db.client.run_on_scheduler(task_seconds)
        result = {
            "seconds": seconds,
            "stages": db.seconds,
            "tasks": tasks,
            "committing": dict(committing),
            "pairs": db.result().pair_count,
        }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
