"""Simulated collections: picture files, or stores as the first two stages would have left them, without any files."""

import argparse
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image
from simulate import simulate_range

from fastdiff_dask.config import ThumbnailSettings
from fastdiff_dask.kernels.grid import Generation
from fastdiff_dask.kernels.hashes import thumbnail_digests
from fastdiff_dask.kernels.signatures import signatures
from fastdiff_dask.runtime.blas import SINGLE_THREADED_BLAS
from fastdiff_dask.storage.schema import UNREAD
from fastdiff_dask.storage.store import Store

__all__ = ["make_pictures", "make_store"]


def make_pictures(folder: Path, images: int, threads: int, size: tuple[int, int] = (160, 120)) -> Path:
    """Make simulated pictures of so many pixels as JPEG files; those that are there are used again."""
    width, height = size
    place = folder / f"pictures-{images}-{width}x{height}"
    if place.exists():
        return place
    partial = place.with_suffix(".partial")
    partial.mkdir(parents=True, exist_ok=True)

    def save(start: int) -> None:
        for number, image in enumerate(simulate_range(start, min(start + 256, images), 0, size=(height, width)), start):
            Image.fromarray(image).save(partial / f"{number:07d}.jpg", quality=90)

    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(save, range(0, images, 256)))
    partial.rename(place)
    return place


def make_store(folder: Path, images: int, *, seed: int = 0, size: int = 64, threads: int = 2) -> Store:
    """Make a store whose images are read and not compared yet; one that is there already is used again.

    Time: about 400 µs an image on two cores, most of it to make up the pictures. Memory: a block a thread.
    """
    settings = ThumbnailSettings(width=size, height=size)
    store = Store.open_or_create(str(folder), {"a": ["/simulated"], "b": []}, settings)
    blocks = -(-images // settings.block_size)
    if not store.generations:
        for block in range(blocks):
            numbers = np.arange(block * settings.block_size, min((block + 1) * settings.block_size, images))
            store.write_partition(block, metadata(numbers))
        store.add_generation(Generation(range(blocks), range(blocks, blocks), images, 0))
    recorded = store.generations[0].images_a
    if recorded != images:
        raise SystemExit(f"{folder} has {recorded} images, not {images}; name another folder")

    def write(block: int) -> None:
        start = block * settings.block_size
        stop = min(start + settings.block_size, images)
        thumbnails = simulate_range(start, stop, seed, size=(size, size))
        store.arrays.write_images(block, thumbnails, signatures(thumbnails), thumbnail_digests(thumbnails))

    finished = store.finished_blocks()
    with SINGLE_THREADED_BLAS, ThreadPoolExecutor(threads) as pool:
        list(pool.map(write, [block for block in range(blocks) if block not in finished]))
    return store


def metadata(numbers: np.ndarray) -> pd.DataFrame:
    """Make the metadata of images that are read."""
    frame = pd.DataFrame({"image": numbers, "path": [f"{number:09d}.jpg" for number in numbers]})
    constants = UNREAD | {
        **{"side": "a", "root": "/simulated", "path_bytes": b"", "current": True, "error": None},
        **{"size": 100_000, "mtime_ns": 0, "device": 0, "inode": 0, "changed_ns": 0},
        **{"width": 1024, "height": 768, "format": "JPEG", "mode": "RGB"},
    }
    return frame.assign(**constants)


def main() -> None:
    """Make a store."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("images", type=int)
    options = parser.parse_args()
    start = time.perf_counter()
    make_store(options.folder, options.images)
    print(f"{options.images} images in {time.perf_counter() - start:.1f} s")


if __name__ == "__main__":
    main()
