"""A job whose tiles take a while, in a process of its own: slow_job.py PHOTOS STORE SECONDS."""

import sys
import time
from typing import Any

import fastdiff_dask as fd
from fastdiff_dask.tasks import compare_tile

_compare_tile = compare_tile._compare_tile


def slowly(*arguments: Any) -> tuple[int, int]:
    time.sleep(float(sys.argv[3]))
    return _compare_tile(*arguments)


if __name__ == "__main__":
    compare_tile._compare_tile = slowly
    with (
        fd.FastDifPy(
            sys.argv[1], store=sys.argv[2], block_size=8, threads=2, dashboard_address="127.0.0.1:0", verbose=None
        ) as db,
        db.writing(),
    ):
        db.index_the_dirs()
        db.first_loop_iteration()
        db.second_loop_iteration(sub_block=8, tile_side=1)
