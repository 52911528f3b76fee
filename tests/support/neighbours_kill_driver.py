"""Find neighbours in a process of its own, and be killed after some blocks: STORE K BLOCKS."""

import os
import signal
import sys

import fastdiff_dask as fd
from fastdiff_dask.storage.derived import neighbour_files


def main(store: str, k: int, most: int) -> None:
    """Run, and kill this process once so many blocks were committed."""
    neighbour_files.BLOCK_IMAGES = 16
    known, done = neighbour_files.NeighbourFiles.write_block, []

    def write_block(self, number, found):
        known(self, number, found)
        done.append(number)
        if len(done) == most:
            os.kill(os.getpid(), signal.SIGKILL)

    neighbour_files.NeighbourFiles.write_block = write_block
    with fd.FastDifPy.from_store(store, threads=1, verbose=False) as db:
        db.neighbours(k)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
