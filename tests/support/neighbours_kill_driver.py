"""Find neighbours in a process of its own, and be killed after some blocks: STORE K BLOCKS.

With a name of vectors as well, by these, and killed after so many files of any kind.
"""

import os
import signal
import sys

import fastdiff_dask as fd
from fastdiff_dask.storage.derived import neighbour_files


def main(store: str, k: int, most: int, vectors: str | None = None) -> None:
    """Run, and kill this process once so many blocks were committed."""
    neighbour_files.BLOCK_IMAGES, neighbour_files.NEIGHBOUR_PLACES = 16, 16 if vectors else 1 << 14
    name = "_write" if vectors else "write_block"
    known, done = getattr(neighbour_files.NeighbourFiles, name), []

    def write(self, number, found):
        known(self, number, found)
        done.append(number)
        if len(done) == most:
            os.kill(os.getpid(), signal.SIGKILL)

    setattr(neighbour_files.NeighbourFiles, name, write)
    with fd.FastDifPy.from_store(store, threads=1, verbose=False) as db:
        db.neighbours(k, vectors)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), *sys.argv[4:])
