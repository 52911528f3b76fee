"""New pictures every day: what is new costs only itself, and the result is that of a new store."""

import os
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support.pictures import draw, write_noise
from support.results import as_bytes
from support.stores import files_of

import fastdiff_dask as fd
from fastdiff_dask.config import CompareSettings
from fastdiff_dask.images.decoder_pool import close_readers
from fastdiff_dask.storage.comparisons import Comparison
from fastdiff_dask.storage.store import Store
from fastdiff_dask.testing import simulate_images

SMALL = {"thumbnail_size_x": 8, "thumbnail_size_y": 8, "verbose": False}
THRESHOLD = 45.0


def run(folder: Path, client, *, two_sides: bool = False, store: str = "store", **options) -> fd.Result:
    return fd.find_duplicates(
        folder / "a",
        folder / "b" if two_sides else None,
        store=folder / store,
        client=client,
        similarity_threshold=THRESHOLD,
        **SMALL | {"block_size": 8} | options,
    )


def plans_of(folder: Path):
    return Comparison(Store(str(folder / "store")), CompareSettings(similarity_threshold=THRESHOLD)).plans()


HEARD: list[str] = []


def hear(event: str, arguments: tuple[object, ...]) -> None:
    if event == "open" and isinstance(arguments[0], str | bytes):
        HEARD.append(os.fsdecode(arguments[0]))


sys.addaudithook(hear)


@pytest.fixture
def opened(tmp_path, monkeypatch):
    """Give the names of the pictures that were opened since the last call, here and in the decoders."""
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(
        textwrap.dedent("""
            import os, sys
            def heard(event, arguments):
                if event == "open" and isinstance(arguments[0], (str, bytes)):
                    if os.fsdecode(arguments[0]).endswith(".png"):
                        with open(os.environ["HEARD"], "a") as log:
                            print(os.path.basename(os.fsdecode(arguments[0])), file=log)
            sys.addaudithook(heard)
        """)
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "site"))
    monkeypatch.setenv("HEARD", str(tmp_path / "heard"))
    close_readers()  # those of other tests do not tell
    log = tmp_path / "heard"
    log.touch()

    def names() -> list[str]:
        here = [Path(path).name for path in HEARD if path.endswith(".png")]
        there = log.read_text().splitlines()
        HEARD.clear()
        log.write_text("")
        return sorted(here + there)

    yield names
    close_readers()


@pytest.mark.parametrize("two_sides", [False, True])
def test_additions_cost_only_theirs(tmp_path, client, opened, two_sides):
    write_noise(tmp_path / "a", 40, seed=1)
    write_noise(tmp_path / "b", 30, seed=2)
    first = run(tmp_path, client, two_sides=two_sides)
    older, old_plans = files_of(tmp_path / "store", "c.*") | files_of(tmp_path / "store", "block-*"), plans_of(tmp_path)
    assert opened()  # the hook hears

    new = write_noise(tmp_path / "a", 6, seed=1, first=40)
    new += write_noise(tmp_path / "b", 3, seed=2, first=30) if two_sides else []
    opened()
    second = run(tmp_path, client, two_sides=two_sides)
    assert opened() == sorted(path.name for path in new)
    assert second.stats["images_read"] == len(new)

    *before, added = plans_of(tmp_path)
    assert [plan.part for plan in before] == [plan.part for plan in old_plans]
    assert added.counts[:, 1].sum() == (6 * 30 + 40 * 3 + 6 * 3 if two_sides else 6 * 40 + 6 * 5 // 2)
    assert second.stats["tiles_resumed"] == first.stats["tiles"]
    assert second.stats["tiles"] - first.stats["tiles"] == len(added.tiles)
    assert {path: path.stat().st_mtime_ns for path in older} == older
    fresh = run(tmp_path, client, two_sides=two_sides, store="fresh")
    assert as_bytes(second, tmp_path) == as_bytes(fresh, tmp_path)


def test_removed_and_changed_pictures_cost_only_theirs(tmp_path, client, opened, rng):
    paths = write_noise(tmp_path / "a", 40, seed=1)
    first = run(tmp_path, client)
    chunks, partitions = files_of(tmp_path / "store", "c.*"), files_of(tmp_path / "store", "block-*")

    def touched(before: dict[Path, int]) -> list[str]:
        return [path.name for path, time in before.items() if path.stat().st_mtime_ns != time]

    paths[9].unlink()
    opened()
    removed = run(tmp_path, None)  # nothing to compute: no client is started
    assert opened() == []
    assert removed.stats["tiles_resumed"] == removed.stats["tiles"] == first.stats["tiles"]
    assert files_of(tmp_path / "store", "c.*") == chunks
    assert touched(partitions) == ["block-00000001.parquet"]
    assert as_bytes(removed, tmp_path) == as_bytes(run(tmp_path, client, store="without"), tmp_path)

    Image.fromarray(draw(rng)).save(paths[20])
    opened()
    changed = run(tmp_path, client)
    assert opened() == [paths[20].name]
    # with what was there at first; of what is gone the numbers are kept
    assert plans_of(tmp_path)[-1].counts[:, 1].sum() == 40
    assert touched(chunks) == []
    assert touched(partitions) == ["block-00000001.parquet", "block-00000002.parquet"]
    assert as_bytes(changed, tmp_path) == as_bytes(run(tmp_path, client, store="changed"), tmp_path)


def play_a_day(folder: Path, rng: np.random.Generator, day: int) -> None:
    """Add, remove, change, rename and copy some pictures."""
    folder.mkdir(exist_ok=True)
    there = sorted(path for path in folder.iterdir() if not path.name.startswith("bad"))
    rng.shuffle(there)
    for path in there[: rng.integers(0, 3)]:
        path.unlink()
    for number, path in enumerate(there[3 : 3 + rng.integers(0, 3)]):
        path.rename(folder / f"renamed-{day}-{number}.png")
    for number, path in enumerate(there[6 : 6 + rng.integers(0, 3)]):
        turned = np.rot90(np.asarray(Image.open(path)), rng.integers(4))
        Image.fromarray(np.ascontiguousarray(turned)).save(folder / f"turned-{day}-{number}.png")
    for path in there[9 : 9 + rng.integers(0, 3)]:
        Image.fromarray(draw(rng)).save(path)
    for number in range(rng.integers(0, 7) + (8 if day == 0 else 0)):
        Image.fromarray(draw(rng)).save(folder / f"new-{day}-{number}.png")
    if day % 2:
        (folder / f"bad-{day}.png").write_text("no picture")


@pytest.mark.parametrize(("seed", "two_sides"), [(1, False), (2, False), (3, True), (4, True)])
def test_any_history_gives_the_result_of_a_new_store(tmp_path, client, seed, two_sides):
    rng = np.random.default_rng(seed)
    for day in range(6):
        for side in ("a", "b"):
            play_a_day(tmp_path / side, rng, day)
        result = run(tmp_path, client, two_sides=two_sides, block_size=4)
        if day in (3, 5):
            fresh = run(tmp_path, client, two_sides=two_sides, block_size=1024, store=f"fresh-{day}")
            assert as_bytes(result, tmp_path) == as_bytes(fresh, tmp_path)
    assert len(Store(str(tmp_path / "store")).generations) > 3
    assert result.pair_count > 0


def test_a_day_with_few_pictures_takes_little_room(tmp_path, client):
    simulate_images(tmp_path / "photos", images=20, duplicates=0)
    options = {"store": tmp_path / "store", "client": client}
    fd.find_duplicates(tmp_path / "photos", **options)
    before = sum(path.stat().st_size for path in files_of(tmp_path / "store"))
    for number, path in enumerate(sorted((tmp_path / "photos").iterdir())[:5]):
        Image.open(path).transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(tmp_path / "photos" / f"new {number}.jpg")
    fd.find_duplicates(tmp_path / "photos", **options)
    after = sum(path.stat().st_size for path in files_of(tmp_path / "store"))
    assert after - before < 300_000  # a block of thumbnails has 12.6 MB


def test_a_run_after_many_days_opens_few_files_a_day(tmp_path, client):
    """The other files of a day are read in a number of files that grows with the days by a few each."""
    numbers = []
    for day in range(13):
        write_noise(tmp_path / "a", 2, seed=1, first=2 * day)
        HEARD.clear()
        run(tmp_path, client)
        numbers.append(sum(1 for path in HEARD if str(tmp_path / "store") in path))
    assert (numbers[12] - numbers[6]) / 6 < 30
