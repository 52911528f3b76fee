"""Encode the photos of a folder slowly, in a process that a test kills; a line in a file for each batch."""

import sys
import time

import fastdiff_dask as fd

BLOCK_SIZE = 4


def encode(photos: str, store: str, note: str, seconds: float) -> None:
    """Encode by a function that is the same in every process: what it notes and waits is not part of it."""
    how = {"note": note, "seconds": seconds}

    class Means:
        identity = "means-of-the-test"

        def __call__(self, images):
            with open(how["note"], "a") as calls:  # noqa: PTH123
                calls.write(f"{len(images)}\n")
            time.sleep(how["seconds"])
            return images.mean(axis=(1, 2))

    with fd.FastDifPy(
        photos, store=store, block_size=BLOCK_SIZE, threads=2, dashboard_address="127.0.0.1:0", verbose=False
    ) as db:
        db.index_the_dirs()
        db.first_loop_iteration()
        db.encode(Means(), "means", size=16)


if __name__ == "__main__":
    encode(sys.argv[1], sys.argv[2], sys.argv[3], float(sys.argv[4]))
