"""One measurement of reading pictures, run with the Python of an environment that has the program; prints JSON.

    python reading.py threads FOLDER               # a bare loop of Pillow
    python reading.py processes FOLDER
    python reading.py ours FOLDER --store STORE    # index, first loop; STORE must not be there yet
    python reading.py difpy FOLDER
    python reading.py fast_diff_py FOLDER          # writes into the folder
    python reading.py quality FOLDER               # how far fast thumbnails are off

Starting Python, imports, the pool of the bare loop and our Dask client are not counted; processes that we and the
peers start to read pictures are.
"""

import argparse
import contextlib
import json
import mmap
import multiprocessing
import os
import sqlite3
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

SIZE = 64

shared = []


def pictures(options):
    """List the files in the order of their names."""
    return sorted(str(path) for path in options.where.iterdir() if path.suffix == ".jpg")[: options.images]


def bare(path, out):
    """Make the thumbnail of a JPEG file as fast as Pillow can."""
    from PIL import Image

    with Image.open(path) as image:
        image.draft(None, (4 * SIZE, 4 * SIZE))
        out[...] = image.convert("RGB").resize((SIZE, SIZE), Image.Resampling.BICUBIC, reducing_gap=2)


def share(paths, thumbnails):
    """Keep what a forked process has from its parent."""
    shared[:] = paths, thumbnails


def bare_shared(number):
    """Make the thumbnail of one of the shared files."""
    paths, thumbnails = shared
    bare(paths[number], thumbnails[number])


def threads(options):
    """Pillow in threads."""
    import numpy as np

    paths = pictures(options)
    thumbnails = np.zeros((len(paths), SIZE, SIZE, 3), np.uint8)
    with ThreadPoolExecutor(options.threads) as pool:
        list(pool.map(len, ["started"] * options.threads))
        start = time.perf_counter()
        list(pool.map(bare, paths, thumbnails))
        seconds = time.perf_counter() - start
    return {"seconds": seconds, "read": len(paths)}


def processes(options):
    """Pillow in processes that write into shared memory."""
    import numpy as np

    paths = pictures(options)
    shape = (len(paths), SIZE, SIZE, 3)
    thumbnails = np.frombuffer(mmap.mmap(-1, len(paths) * SIZE * SIZE * 3), np.uint8).reshape(shape)
    with multiprocessing.get_context("fork").Pool(options.threads, share, (paths, thumbnails)) as pool:
        pool.map(len, ["started"] * options.threads)
        start = time.perf_counter()
        pool.map(bare_shared, range(len(paths)), chunksize=max(1, min(16, len(paths) // (4 * options.threads))))
        seconds = time.perf_counter() - start
    return {"seconds": seconds, "read": len(paths)}


def ours(options):
    """Our first two stages into a new store."""
    from fastdiff_dask import FastDifPy

    if options.store.exists():
        raise SystemExit(f"{options.store} is there already")
    with FastDifPy(
        str(options.where),
        store=str(options.store),
        threads=options.threads,
        dashboard_address="127.0.0.1:0",
        verbose=False,
    ) as db:
        db.client  # noqa: B018 - started here
        start = time.perf_counter()
        listed = db.index_the_dirs().new
        index = time.perf_counter() - start
        if options.index_only:
            return {"index": index, "listed": listed}
        start = time.perf_counter()
        db.first_loop_iteration(compute_hash=not options.no_hashes)
        seconds = time.perf_counter() - start
        read = db.images_read - len(db.errors)
    return {"index": index, "seconds": seconds, "read": read}


def difpy(options):
    """difPy: build, which lists the files too."""
    import difPy

    start = time.perf_counter()
    built = difPy.build(str(options.where), processes=options.threads)
    return {"seconds": time.perf_counter() - start, "read": len(built._filename_dictionary)}


def fast_diff_py(options):
    """fast_diff_py: first loop."""
    from fast_diff_py.fastDif import FastDifPy

    db = FastDifPy.init_new(directory_a=str(options.where), disable_config_timeout=True)
    start = time.perf_counter()
    db.index_the_dirs()
    index = time.perf_counter() - start
    start = time.perf_counter()
    db.first_loop_iteration(compute_hash=True, cpu_proc=options.threads)
    seconds = time.perf_counter() - start
    db.db.commit()
    with contextlib.closing(sqlite3.connect(options.where / "diff.db")) as connection:
        (read,) = connection.execute("SELECT COUNT(*) FROM directory WHERE proc_suc = 1").fetchone()
    return {"index": index, "seconds": seconds, "read": read}


def quality(options):
    """MSE of our fast thumbnails against exact ones, and of those against Pillow's where colours are not converted."""
    import numpy as np
    from PIL import Image, ImageOps

    from fastdiff_dask.images.decode import read_image

    def mse(a, b):
        return float(np.square(np.asarray(a, np.int64) - np.asarray(b, np.int64)).sum() / SIZE**2)

    def measure(path):
        (_, fast), (_, exact) = (read_image(path, SIZE, SIZE, exact_decode=exact) for exact in (False, True))
        with Image.open(path) as image:
            if image.info.get("icc_profile"):
                return mse(fast, exact), None
            upright = ImageOps.exif_transpose(image).convert("RGB")
        return mse(fast, exact), mse(exact, upright.resize((SIZE, SIZE), Image.Resampling.BICUBIC))

    with ThreadPoolExecutor(options.threads) as pool:
        measured = list(pool.map(measure, pictures(options)))
    errors, plain = [error for error, _ in measured], [error for _, error in measured if error is not None]
    return {
        "read": len(errors),
        "median": float(np.median(errors)),
        "p99": float(np.quantile(errors, 0.99)),
        "max": max(errors),
        "plain": max(plain, default=0.0),
        "unprofiled": len(plain),
    }


MEASUREMENTS = {
    "threads": threads,
    "processes": processes,
    "ours": ours,
    "difpy": difpy,
    "fast_diff_py": fast_diff_py,
    "quality": quality,
}


def main():
    """Measure one thing."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("what", choices=MEASUREMENTS)
    parser.add_argument("where", type=Path, help="a folder of JPEG files")
    parser.add_argument("--store", type=Path)
    parser.add_argument("--index-only", action="store_true")
    parser.add_argument("--no-hashes", action="store_true")
    parser.add_argument("--images", type=int, help="of the bare loop and quality: not more than so many")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    options = parser.parse_args()
    with contextlib.redirect_stdout(sys.stderr):  # peers print; the last line of ours is the answer
        result = MEASUREMENTS[options.what](options)
    print(json.dumps(result))
    sys.stdout.flush()
    os._exit(0)  # one of them waits for processes that never end


if __name__ == "__main__":
    main()
