"""Ways that users of fast_diff_py and difPy know: the example, the figures, the way of doing things."""

import os
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

import fastdiff_dask as fd
from fastdiff_dask.stages.pairwise import pairwise_mse
from fastdiff_dask.testing import simulate_images

# The example in the README of fast_diff_py 0.2.0; only the import, which it leaves out, is ours.
EXAMPLE = """
db = FastDifPy(directory_a="/path/to/folder")
db.index_the_dirs()
db.estimate_disk_usage()

db.first_loop_iteration(compute_hash=True, amount=4, cpu_proc=16)

db.second_loop_iteration(only_matching_aspect=False,
                         make_diff_plots=False,
                         diff_location="/path/to/plot/folder",
                         similarity_threshold=200.0,
                         cpu_proc=16)

db.print_preprocessing_errors()

clusters, low_quality = db.get_duplicates()
db.clean_up()
"""


def pixels(seed: int, height: int, width: int) -> NDArray[np.uint8]:
    y, x, channel = np.ogrid[:height, :width, :3]
    return ((y * 37 + x * 101 + channel * 53 + seed * 17 + 5) ** 2 // (seed + 3) % 256).astype(np.uint8)


# fast_diff_py 0.2.0, `CPUImageProcessing.mse(pixels(i, h, w), pixels(j, h, w))`, run on 2026-11-25 (NumPy 2.4).
ITS_MSE = [
    (64, 64, 0, 1, "0x1.08d60c4000000p+15"),
    (64, 64, 2, 7, "0x1.17c11f4000000p+15"),
    (64, 64, 3, 3, "0x0.0p+0"),
    (33, 17, 4, 5, "0x1.0c2d65c2da1ffp+15"),
    (8, 8, 0, 9, "0x1.fb36d00000000p+14"),
    (128, 96, 6, 1, "0x1.13d4308000000p+15"),
    (50, 50, 11, 12, "0x1.0967cea4a8c15p+15"),
    (7, 3, 1, 2, "0x1.acf30c30c30c3p+14"),
]


def test_its_example_runs_as_it_is(tmp_path):
    simulate_images(tmp_path / "photos", images=12, duplicates=5)
    (tmp_path / "photos" / "broken.jpg").write_text("no picture")
    before = {path: path.read_bytes() for path in (tmp_path / "photos").iterdir()}
    example = EXAMPLE.replace("/path/to/folder", str(tmp_path / "photos")).replace("/path/to/plot", str(tmp_path))
    program = f"from fastdiff_dask import FastDifPy\n{example}\nprint(len(clusters), len(low_quality))"
    environment = os.environ | {"XDG_CACHE_HOME": str(tmp_path / "cache"), "DASK_DISTRIBUTED__DASHBOARD__LINK": ""}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program], capture_output=True, text=True, env=environment, check=True
    )
    lines = done.stdout.splitlines()
    assert lines[0].endswith(f"photos: 18 images, {18 * 64 * 64 * 3 / 1000:.1f} kB of thumbnails")
    assert lines[1] == "153 comparisons"
    assert "broken.jpg: UnidentifiedImageError" in lines[2]
    assert lines[3] == "5 5"
    assert {path: path.read_bytes() for path in (tmp_path / "photos").iterdir()} == before
    # nothing is left of the store but its lock, and nothing was plotted
    left = [path for path in (tmp_path / "cache").rglob("*") if path.is_file()]
    assert {path.name for path in left} <= {"writer.lock"}
    assert not (tmp_path / "folder").exists()


def test_the_readme_has_what_the_example_has():
    """The names in it are those of its README."""
    calls = ("index_the_dirs", "estimate_disk_usage", "first_loop_iteration", "second_loop_iteration", "clean_up")
    assert all(f"db.{name}(" in EXAMPLE for name in calls)


@pytest.mark.parametrize(("height", "width", "i", "j", "mse"), ITS_MSE)
def test_the_mse_is_the_same_number(height, width, i, j, mse, tmp_path):
    images = np.stack([pixels(i, height, width), pixels(j, height, width)])
    assert float(pairwise_mse(images, rotations=False).compute()[0, 1]).hex() == mse
    if (height, width) != (64, 64):
        return
    # and that of the whole job, over pictures that need no resizing
    for number, image in enumerate(images):
        Image.fromarray(image).save(tmp_path / f"{number}.png")
    result = fd.find_duplicates(
        tmp_path, store=tmp_path.with_suffix(".store"), similarity_threshold=1e9, rotations=False, threads=1
    )
    assert [float(found).hex() for found in result.pairs.mse] == [mse]


def test_where_difpy_is_wrong():
    """Figures of difPy 4.2.1's own `_compute_mse`, run on 2026-11-25, and what they should be."""
    black = np.zeros((50, 50, 3), np.uint8)
    photo = pixels(1, 50, 50)

    def ours(a: NDArray[np.uint8], b: NDArray[np.uint8], *, rotations: bool) -> float:
        return float(pairwise_mse(np.stack([a, b]), rotations=rotations).compute()[0, 1]) / 3

    # black against white is 1.0 there, and against dark grey 0.0, which is a duplicate: its differences wrap around
    assert ours(black, black + np.uint8(255), rotations=False) == 255**2
    assert ours(black, black + np.uint8(16), rotations=False) == 16**2
    assert ours(pixels(0, 50, 50), pixels(1, 50, 50), rotations=False) != 106.22933333333333
    # a copy turned by a quarter is 70.9 there, as it looks at three turns of four
    assert [ours(photo, np.rot90(photo, turns), rotations=True) for turns in range(4)] == [0, 0, 0, 0]


# -- options -----------------------------------------------------------------------------------------------------------


class Watch:
    """Counts the calls at the same time, which wait for as many as are expected, on a busy machine too."""

    def __init__(self, expected: int = 1) -> None:
        self._changed = threading.Condition()
        self._expected = expected
        self.now = self.most = self.calls = 0

    def __enter__(self) -> None:
        with self._changed:
            self.calls += 1
            self.now += 1
            self.most = max(self.most, self.now)
            self._changed.notify_all()
            self._changed.wait_for(lambda: self.most >= self._expected, timeout=20)

    def __exit__(self, *_: object) -> None:
        with self._changed:
            self.now -= 1


WATCH = Watch()


def slow_hash(thumbnail: NDArray[np.uint8]) -> bytes:
    with WATCH:
        time.sleep(0.02)
    return thumbnail.tobytes()


def slow_distance(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> NDArray[np.float64]:
    with WATCH:
        time.sleep(0.05)
    return ((a[:, None].astype(float) - b[None]) ** 2).sum(axis=(2, 3, 4))


@pytest.mark.parametrize("block_size", [1, 1024])
def test_not_more_tasks_at_once_than_asked_for(tmp_path, block_size):
    simulate_images(tmp_path / "photos", images=9, duplicates=0, size=(32, 32))
    options = {"threads": 3, "block_size": block_size, "dashboard_address": "127.0.0.1:0", "verbose": False}
    for most in (1, 2, None):
        store = tmp_path / f"store-{most}"
        at_once = 3 if most is None else most
        reading = at_once if block_size == 1 else 1  # one block of so few pictures is one task
        with fd.FastDifPy(tmp_path / "photos", store=store, **options) as db:
            db.index_the_dirs()
            WATCH.__init__(reading)
            db.first_loop_iteration(hash_function=slow_hash, cpu_proc=most)
            assert WATCH.calls == 4 * 9
            if block_size == 1:
                assert WATCH.most == reading
            WATCH.__init__(reading)
            db.first_loop_iteration(hash_function=lambda image: slow_hash(image), cpu_proc=most)
            assert WATCH.most == reading
            WATCH.__init__(at_once)
            db.second_loop_iteration(
                9.0, compare=slow_distance, rotations=False, cpu_proc=most, sub_block=3, tile_side=1
            )
            assert WATCH.most == at_once
            assert (db.settings.fl_cpu_proc, db.settings.sl_cpu_proc) == (most, most)


def test_large_blocks_are_one_task_if_few_are_asked_for(tmp_path):
    simulate_images(tmp_path / "photos", images=300, duplicates=0, size=(16, 16))
    with fd.FastDifPy(tmp_path / "photos", store=tmp_path / "store", threads=2, verbose=False) as db:
        db.index_the_dirs()
        WATCH.__init__()
        db.first_loop_iteration(hash_function=quick_hash, cpu_proc=1)
        assert (WATCH.calls, WATCH.most) == (1200, 1)


def quick_hash(thumbnail: NDArray[np.uint8]) -> bytes:
    with WATCH:
        time.sleep(0.0005)
    return thumbnail.tobytes()


@pytest.mark.parametrize("value", [0, -1, 1.5, "2", True])
def test_numbers_of_tasks_are_checked(tmp_path, simulated, client, value):
    with fd.FastDifPy(tmp_path / "photos", store=tmp_path / "store", client=client) as db:
        for loop in (db.first_loop_iteration, db.second_loop_iteration):
            with pytest.raises(fd.UsageError, match=f"^cpu_proc={value!r} cannot be used; use a whole number from 1"):
                loop(cpu_proc=value)


def test_thumbnails_later(tmp_path, simulated, client):
    with fd.FastDifPy(tmp_path / "photos", store=tmp_path / "store", client=client) as db:
        db.index_the_dirs()
        db.first_loop_iteration(compute_thumbnails=False)
        assert (db.images_read, db.config.state) == (0, "indexed_dirs")
        db.second_loop_iteration()
        assert (db.images_read, db.config.state) == (17, "second_loop_done")
        assert len(db.pairs) == 5
        # hashes are made of thumbnails
        simulate_images(tmp_path / "photos" / "more", images=2, duplicates=0, seed=5)
        db.index_the_dirs()
        db.first_loop_iteration(compute_thumbnails=False, compute_hash=True)
        assert db.images_read == 19
        simulate_images(tmp_path / "photos" / "others", images=2, duplicates=0, seed=6)
        db.index_the_dirs()
        db.first_loop_iteration()
        assert db.images_read == 21
        simulate_images(tmp_path / "photos" / "last", images=2, duplicates=0, seed=7)
        db.index_the_dirs()
        with pytest.raises(fd.UsageError, match="call first_loop_iteration"):
            db.second_loop_iteration()


def test_comparing_on_a_gpu_says_what_is_missing(tmp_path, simulated, client):
    with fd.FastDifPy(tmp_path / "photos", store=tmp_path / "store", client=client) as db:
        db.index_the_dirs()
        db.first_loop_iteration()
        try:
            import cupy  # noqa: F401
        except ImportError:
            message = r"CuPy is not installed.*pip install 'fastdiff_dask\[cuda12\]'"
        else:
            message = "driver|no GPU"
        with pytest.raises(fd.UsageError, match=message):
            db.second_loop_iteration(gpu_proc=1)
        db.second_loop_iteration(gpu_proc=0)


def test_errors_of_comparing(tmp_path, simulated, client, capsys):
    with fd.FastDifPy(tmp_path / "photos", store=tmp_path / "store", client=client) as db:
        db.print_compare_errors()
    assert capsys.readouterr().out == "0 pairs could not be compared\n"


# -- cleaning up -------------------------------------------------------------------------------------------------------


def finished(tmp_path: Path, client, **options) -> fd.FastDifPy:
    db = fd.FastDifPy(tmp_path / "photos", store=tmp_path / "store", client=client, **options)
    db.index_the_dirs()
    db.first_loop_iteration()
    db.second_loop_iteration()
    return db


def files_of(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def test_clean_up_everything(tmp_path, simulated, client, capsys):
    db = finished(tmp_path, client, cfg_path=tmp_path / "s.toml", retain_config=True)
    db.mse(persist=True)
    assert (tmp_path / "s.toml").exists()
    db.clean_up()
    assert not (tmp_path / "store").exists()
    assert not (tmp_path / "s.toml").exists()
    assert len(list((tmp_path / "photos").iterdir())) == 17
    assert capsys.readouterr().err == ""
    with pytest.raises(fd.UsageError, match=r"no store at .* yet; call index_the_dirs\(\) first"):
        db.result()
    with pytest.raises(fd.UsageError, match="there is nothing to clean up"):
        db.clean_up()
    # and it can be done again
    again = finished(tmp_path, client)
    assert (again.images_read, len(again.pairs)) == (17, 5)


def test_what_is_not_ours_stays(tmp_path, simulated, client, capsys):
    db = finished(tmp_path, client)
    picture = simulated.originals[0].read_bytes()
    others = ("images.parquet/mine.jpg", "arrays.zarr/c.0.0.jpg", "arrays.zarr/thumbnails/mine/a.png", "plots/a.png")
    for place in others:
        (tmp_path / "store" / place).parent.mkdir(exist_ok=True)
        (tmp_path / "store" / place).write_bytes(picture)
    db.clean_up()
    left = files_of(tmp_path / "store") - {"writer.lock"}
    assert left == set(others)
    assert "3 files in" in capsys.readouterr().err


def test_clean_up_thumbnails_alone(tmp_path, simulated, client):
    db = finished(tmp_path, client)
    before = db.pairs
    db.clean_up(db=False, config=False)
    assert not any("thumbnails/c." in name for name in files_of(tmp_path / "store"))
    assert db.pairs.equals(before)
    again = fd.FastDifPy.from_store(tmp_path / "store", client=client)
    with pytest.raises(fd.UsageError, match="call first_loop_iteration"):
        again.second_loop_iteration()
    assert again.index_the_dirs().unchanged == 17
    again.first_loop_iteration()
    assert again.images_read == 17
    assert again.config.state == "first_loop_done"  # what was compared is not what is there now
    again.second_loop_iteration()
    assert again.result().stats["tiles_resumed"] == 0
    assert again.pairs.equals(before)
    again.first_loop_iteration()
    again.second_loop_iteration()
    assert again.result().stats["tiles_resumed"] == again.result().stats["tiles"]


def test_clean_up_what_was_found_alone(tmp_path, simulated, client):
    db = finished(tmp_path, client)
    before = db.pairs
    db.clean_up(thumbs=False, config=False)
    assert not any("comparisons" in name for name in files_of(tmp_path / "store"))
    assert "settings.json" in files_of(tmp_path / "store")
    again = fd.FastDifPy.from_store(tmp_path / "store", client=client)
    assert again.config.state == "first_loop_done"
    again.second_loop_iteration()
    assert again.images_read == 0
    assert again.pairs.equals(before)


def test_clean_up_settings_alone(tmp_path, simulated, client):
    db = finished(tmp_path, client)
    before = files_of(tmp_path / "store")
    db.clean_up(thumbs=False, db=False)
    assert before - files_of(tmp_path / "store") == {"settings.json"}
    db.clean_up(thumbs=False, db=False, config=False)
    with pytest.raises(fd.UsageError, match="thumbs=1 cannot be used; use True or False"):
        db.clean_up(thumbs=1)


def test_clean_up_on_s3(bucket, tmp_path, simulated, client):
    with fd.FastDifPy(tmp_path / "photos", store=f"{bucket.url}/store", client=client) as db:
        db.index_the_dirs()
        db.first_loop_iteration()
        db.second_loop_iteration()
        bucket.put("store/mine.jpg", b"x")
        bucket.put("other.jpg", b"x")
        db.clean_up()
    assert bucket.keys() == ["other.jpg", "store/mine.jpg"]


def test_clean_up_while_another_process_works(tmp_path, simulated, client):
    db = finished(tmp_path, client)
    program = textwrap.dedent(
        """
        import sys, time
        from fastdiff_dask.storage.store import Store
        with Store.lock(sys.argv[1]):
            print("held", flush=True)
            time.sleep(60)
        """
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path / "store")], stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        before = files_of(tmp_path / "store")
        with pytest.raises(fd.StoreLockedError, match=f"written by process {other.pid}"):
            db.clean_up()
        assert files_of(tmp_path / "store") == before
        other.kill()
    db.clean_up()
    assert files_of(tmp_path / "store") <= {"writer.lock"}


KILLED = """
import os, signal, sys
from fastdiff_dask.storage.files import Files
from fastdiff_dask.compat.fast_diff_py import FastDifPy
left, original = [int(sys.argv[2])], Files.remove

def remove(self, name):
    if not left[0]:
        os.kill(os.getpid(), signal.SIGKILL)
    left[0] -= 1
    original(self, name)

Files.remove = remove
FastDifPy.from_store(sys.argv[1]).clean_up()
"""


@pytest.mark.parametrize("removals", [0, 1, 2, 5, 9])
def test_killed_while_it_cleans_up(tmp_path, simulated, client, removals):
    """There is a whole store, or none, and a new run begins in its place."""
    finished(tmp_path, client)
    done = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path / "store"), str(removals)], check=False)
    assert done.returncode == -9
    again = finished(tmp_path, client)
    assert again.images_read == (0 if removals == 0 else 17)
    assert len(again.pairs) == 5
