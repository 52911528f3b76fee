"""Seconds of one lookup from a cold start, beside the imports, in stores of simulated pictures.

python lookup.py FOLDER                          # 60,000 and 1,000,000 images
python lookup.py FOLDER --images 60000 --no-index

Signatures and digests are real; thumbnails are those of `on_demand`, of which only those that a lookup must find are on
disk, the others being holes in their files, which are read as black. Each lookup is a process of its own, of one of
three pictures: one that the store has (saved again, smaller), one that it has turned, and one that it has not. Files of
the first two are there for the second look. Prints JSON: seconds beside the imports (median, and all), the same of the
processor, seconds of the whole command, what was found, and seconds of the first lookup in a store without leading
values, which makes them.
"""

import argparse
import json
import shutil
import statistics
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from on_demand import BANK, make_pictures
from PIL import Image
from simulate import simulate_range
from stores import metadata

from fastdiff_dask.config import ThumbnailSettings
from fastdiff_dask.images.decode import read_image
from fastdiff_dask.kernels.grid import Generation
from fastdiff_dask.kernels.hashes import thumbnail_digests
from fastdiff_dask.kernels.signatures import signatures
from fastdiff_dask.runtime.blas import SINGLE_THREADED_BLAS
from fastdiff_dask.storage.store import Store

SCALE, RUNS = 12, 6
CODE = """
import json, sys, time
from fastdiff_dask.images.decoder_pool import close_readers, start_readers
from fastdiff_dask.lookup.archive import Archive, ArchiveSettings
import array_api_compat.numpy
import fastdiff_dask.storage.records
start_readers(1)
time.sleep(1)  # the decoder imports as well
start, cpu = time.perf_counter(), time.process_time()
found = [one.to_json() for one in Archive(sys.argv[1], ArchiveSettings()).look_up(sys.argv[2:])]
print(json.dumps({"seconds": time.perf_counter() - start, "cpu": time.process_time() - cpu, "found": found}))
close_readers()
"""


def make_store(folder: Path, images: int, threads: int) -> Store:
    """Make a store of so many images, with files for the last two of them; one that is there is used again."""
    store = Store.open_or_create(str(folder / "store"), {"a": [str(folder / "pictures")], "b": []}, ThumbnailSettings())
    if store.generations:
        return store
    pictures = make_pictures(simulate_range(0, min(BANK, images), 1))
    size = store.thumbnail_settings.block_size
    blocks = -(-images // size)
    shown = files_of(folder, images, pictures)

    def write(block: int) -> None:
        numbers = np.arange(block * size, min((block + 1) * size, images))
        frame = metadata(numbers).assign(root=str(folder / "pictures"))
        made = pictures(numbers)
        for number, (thumbnail, facts) in shown.items():
            if number in numbers:
                made[number - numbers[0]] = thumbnail
                for name, value in facts.items():
                    frame.loc[number - numbers[0], name] = value
        store.write_partition(block, frame)
        store.arrays.write_images(
            block, np.zeros((0, *made.shape[1:]), np.uint8), signatures(made), thumbnail_digests(made)
        )
        kept = [number for number in shown if number in numbers]
        with (folder / "store" / "arrays.zarr" / "thumbnails" / f"c.{block}.0.0.0").open("r+b") as file:
            file.truncate(len(made) * made[0].nbytes)
            for number in kept:
                file.seek((number - int(numbers[0])) * made[0].nbytes)
                file.write(made[number - numbers[0]].tobytes())

    store.add_generation(Generation(range(blocks), range(blocks, blocks), images, 0))
    with SINGLE_THREADED_BLAS, ThreadPoolExecutor(threads) as pool:
        list(pool.map(write, range(blocks)))
    return store


def files_of(folder: Path, images: int, pictures: Any) -> dict[int, Any]:
    """Write files of two images, and the pictures to look up; give the thumbnails of the two, and what is known."""
    shutil.rmtree(folder / "pictures", ignore_errors=True)
    for name in ("pictures", "asked"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    numbers = np.array([images // 3, images // 2, images + 5])
    shown = {}
    for place, (number, small) in enumerate(zip(numbers.tolist(), pictures(numbers), strict=True)):
        large = Image.fromarray(small).resize((64 * SCALE, 64 * SCALE), Image.Resampling.BICUBIC)
        again = large.resize((320, 320)).rotate(90 * place)
        again.save(folder / "asked" / f"{place}.jpg", quality=85)
        if number >= images:
            continue
        path = folder / "pictures" / f"{number:09d}.jpg"
        large.save(path, quality=95)
        record, thumbnail = read_image(str(path), 64, 64)
        state = path.stat()
        facts = {"size": state.st_size, "mtime_ns": state.st_mtime_ns, "content_hash": record.content_hash}
        shown[number] = thumbnail, facts | {"width": record.width, "height": record.height}
    return shown


def look_up(folder: Path, number: int) -> dict[str, Any]:
    """Look one of the pictures up in a process of its own."""
    files = sorted((folder / "asked").iterdir())
    command = [sys.executable, "-c", CODE, str(folder / "store"), str(files[number % len(files)])]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return dict(json.loads(done.stdout))


def measure(folder: Path, images: int, threads: int, keep_index: bool) -> dict[str, Any]:
    """Measure lookups in a store of so many images."""
    place = folder / f"lookup-{images}"
    start = time.perf_counter()
    make_store(place, images, threads)
    made = time.perf_counter() - start
    shutil.rmtree(place / "store" / "lookup", ignore_errors=True)
    first = look_up(place, 0)["seconds"]
    runs = []
    for number in range(RUNS):
        if not keep_index:
            shutil.rmtree(place / "store" / "lookup", ignore_errors=True)
        runs.append(look_up(place, number))
    seconds = [round(run["seconds"], 3) for run in runs]
    start = time.perf_counter()
    asked = sorted((place / "asked").iterdir())
    code = "from fastdiff_dask.cli.commands import main; main()"
    words = [sys.executable, "-c", code, "lookup", str(place / "store"), str(asked[0])]
    subprocess.run(words, check=True, capture_output=True)
    found = [[image["verdict"] for image in run["found"][0]["images"]] for run in runs[:3]]
    return {
        "images": images,
        "seconds": statistics.median(seconds),
        "all": seconds,
        "processor": round(statistics.median(run["cpu"] for run in runs), 3),
        "first": round(first, 3),
        "command_of_one": round(time.perf_counter() - start, 3),
        "found": found,
        "made": round(made, 1),
    }


def main() -> None:
    """Measure, and print what was measured."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--images", type=int, nargs="+", default=[60_000, 1_000_000])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--no-index", dest="index", action="store_false", help="make the leading values each time")
    arguments = parser.parse_args()
    found = [measure(arguments.folder, images, arguments.threads, arguments.index) for images in arguments.images]
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
