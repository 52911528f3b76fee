"""Plans fit the collection and the workers, are kept, and are used again where they answer the question."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import fastdiff_dask as fd
from fastdiff_dask.config import CompareSettings, ThumbnailSettings
from fastdiff_dask.kernels.bounds import SearchCounts
from fastdiff_dask.kernels.grid import choose_tile_side
from fastdiff_dask.kernels.signatures import as_mirrored
from fastdiff_dask.runtime import memory
from fastdiff_dask.runtime.memory import check_compare_memory, compare_task_bytes
from fastdiff_dask.storage.comparisons import Comparison
from fastdiff_dask.storage.pairs import PairWriter
from fastdiff_dask.storage.pending import choose_comparison, pairs_left, unplanned
from fastdiff_dask.storage.store import Store
from fastdiff_dask.tasks.plan_part import plan_part

IMAGES = 60


def write_noise(folder: Path, names: list[str], seed: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    for name in names:
        Image.fromarray(rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)).save(folder / f"{name}.png")


def open_job(photos: Path, store: Path, client=None) -> fd.FastDifPy:
    return fd.FastDifPy(photos, store=store, client=client, thumbnail_size_x=8, thumbnail_size_y=8, verbose=False)


@pytest.fixture(scope="module")
def read_once(tmp_path_factory, client):
    """60 different pictures of 8 × 8 pixels and their store, in which nothing was compared."""
    folder = tmp_path_factory.mktemp("read")
    write_noise(folder / "photos", [f"{number:02}" for number in range(IMAGES)], 5)
    with open_job(folder / "photos", folder / "store", client) as db:
        db.index_the_dirs()
        db.first_loop_iteration()
    return folder


@pytest.fixture
def url(tmp_path, read_once):
    """A copy of that store."""
    shutil.copytree(read_once / "store", tmp_path / "store")
    return str(tmp_path / "store")


def plan(url: str, threshold: float, **options):
    """Plan a comparison, another one for each threshold: the part, and the comparison as it was recorded."""
    wanted = CompareSettings(similarity_threshold=threshold)
    part = plan_part(url, wanted, **{"threads": 2, "bytes_per_task": 0} | options)
    return part, Comparison(Store(url), wanted)


def test_a_plan_is_read_back_as_it_was_recorded(url):
    settings = CompareSettings(similarity_threshold=7)
    before = Comparison(Store(url), settings)
    assert unplanned(before) == range(1)
    assert before.parts() == before.plans() == []
    part, recorded = plan(url, 7, tile_side=3, sub_block=4)
    assert part == (range(1), IMAGES, 0, 4, 3)
    assert recorded.parts() == [part]
    assert unplanned(recorded) == range(1, 1)
    (read,) = recorded.plans()
    assert read.part == part
    assert len(read.tiles) == 5 * 6 // 2  # 15 sub-blocks, 3 a side
    assert read.pending() == list(range(len(read.tiles)))
    assert sum(read.pairs(number) for number in read.pending()) == pairs_left(recorded) == IMAGES * (IMAGES - 1) // 2
    order = recorded.read_order(part, "a", range(IMAGES))
    assert sorted(order.tolist()) == list(range(IMAGES))
    assert order.tolist() != list(range(IMAGES))
    np.testing.assert_array_equal(
        recorded.read_signatures(part, "a", range(5, 50)), recorded.store.arrays.signature_rows(order[5:50])
    )
    assert [one.settings for one in Comparison.all_in(recorded.store)] == [settings]


def test_signatures_of_a_mirrored_comparison_have_no_odd_signs(url):
    settings = CompareSettings(mirror=True)
    part = plan_part(url, settings, 2, 0)
    recorded = Comparison(Store(url), settings)
    order = recorded.read_order(part, "a", range(IMAGES))
    wanted = as_mirrored(recorded.store.arrays.signature_rows(order), 8, 8, 3)
    np.testing.assert_array_equal(recorded.read_signatures(part, "a", range(IMAGES)), wanted)
    assert not np.array_equal(wanted, recorded.store.arrays.signature_rows(order))


def test_signatures_stand_in_the_order_of_the_images_however_large_the_parts_are(url, monkeypatch):
    place = "fastdiff_dask.tasks.plan_part."
    monkeypatch.setattr(place + "_ORDERED_SHARE", 0)
    for threshold, at_once in enumerate((1, 7_000, 1 << 27)):  # one image, some, all
        monkeypatch.setattr(place + "_ORDERED_BYTES", at_once)
        part, comparison = plan(url, 1.0 + threshold)
        order = comparison.read_order(part, "a", range(part.images_a))
        stored = comparison.store.arrays.signature_rows(order)
        assert np.array_equal(comparison.read_signatures(part, "a", range(part.images_a)), stored)
        assert sorted(order.tolist()) == list(range(IMAGES))


def test_tiles_grow_smaller_with_threads_and_larger_with_images(url):
    parts = [plan(url, threads, threads=threads, sub_block=1)[0] for threads in (1, 2, 8, 50, 1000)]
    sides = [part.tile_side for part in parts]
    assert sides == [choose_tile_side(IMAGES, threads, IMAGES) for threads in (1, 2, 8, 50, 1000)]
    assert sides == sorted(sides, reverse=True)
    assert len(set(sides)) == 5
    assert plan(url, 100, threads=2, sub_block=4)[0].tile_side == choose_tile_side(IMAGES // 4, 2, IMAGES) < sides[1]


def test_tiles_fit_into_the_memory_of_a_task(url):
    thumbnails = Store(url).thumbnail_settings
    fixed, each = memory.verify_bytes(thumbnails), memory.sub_block_bytes(thumbnails, 1)
    free = plan(url, 0, sub_block=1)[0].tile_side
    assert free > 7
    for threshold, (room, side) in enumerate([(1000, free), (7, 7), (3.5, 3), (1, 1), (-10, 1)], 1):
        part, _ = plan(url, threshold, sub_block=1, bytes_per_task=int(fixed + room * each))
        assert part.tile_side == side


def test_sub_blocks_are_of_256_images_if_not_asked_for(url):
    assert plan(url, 1)[0].sub_block == 256
    assert plan(url, 2, sub_block=5)[0].sub_block == 5


@pytest.mark.parametrize(("width", "height"), [(64, 64), (1024, 512)])
def test_too_little_memory_is_refused_with_both_figures(width, height):
    thumbnails = ThumbnailSettings(width=width, height=height)
    needed = compare_task_bytes(thumbnails)
    check_compare_memory(thumbnails, 0)
    check_compare_memory(thumbnails, needed)
    figures = rf"{width}×{height} pixels needs {needed / 1e9:.3g} GB, and a task on the workers has 0\.0123 GB; use"
    with pytest.raises(fd.UsageError, match=figures):
        check_compare_memory(thumbnails, 12_300_000)
    with pytest.raises(fd.UsageError):
        check_compare_memory(thumbnails, needed - 1)


def test_a_finished_comparison_answers_lower_thresholds_of_its_kind(read_once, url, client):
    store = Store(url)

    def chosen(threshold, **options):
        settings = CompareSettings(similarity_threshold=threshold, **options)
        comparison = choose_comparison(store, settings)
        return comparison.settings.similarity_threshold, pairs_left(comparison)

    everything = IMAGES * (IMAGES - 1) // 2
    assert chosen(500) == (500, everything)
    with open_job(read_once / "photos", Path(url), client) as db:
        db.second_loop_iteration(500, sub_block=8)
        db.second_loop_iteration(900, sub_block=8)
    assert chosen(500) == (500, 0)
    assert chosen(0.1) == (500, 0)
    assert chosen(500.5) == (900, 0)
    assert chosen(901) == (901, everything)
    for other in ({"rotations": False}, {"mirror": True}, {"measure": "ssim"}):
        assert chosen(500, **other) == (500, everything)


def test_a_lower_threshold_computes_nothing_and_another_kind_does(read_once, url, client):
    with open_job(read_once / "photos", Path(url), client) as db:
        db.second_loop_iteration(30_000, sub_block=16)
        high = db.result()
        assert high.stats["tiles_resumed"] == 0
        assert len(high.pairs) > 100
    files = {path: path.stat().st_mtime_ns for path in Path(url, "arrays.zarr", "comparisons").rglob("*")}
    threshold = float(high.pairs.mse.median())
    with open_job(read_once / "photos", Path(url)) as db:
        db.second_loop_iteration(threshold)
        low = db.result()
        assert db._client.started is None
    assert low.stats["tiles_resumed"] == low.stats["tiles"] == high.stats["tiles"]
    assert low.pairs.equals(high.pairs[high.pairs.mse <= threshold].reset_index(drop=True))
    assert files == {path: path.stat().st_mtime_ns for path in Path(url, "arrays.zarr", "comparisons").rglob("*")}
    for other in ({"rotations": False}, {"mirror": True}):
        with open_job(read_once / "photos", Path(url), client) as db:
            db.second_loop_iteration(threshold, **other)
            assert db.result().stats["tiles_resumed"] == 0


def test_a_begun_comparison_goes_on_if_less_of_it_is_left(url):
    _, begun = plan(url, 300, sub_block=20, tile_side=1)
    (read,) = begun.plans()
    for number in read.pending()[1:]:
        PairWriter(begun, read.part, number).commit(SearchCounts())
    left = read.pairs(read.pending()[0])
    assert pairs_left(begun) == left == 190
    chosen = choose_comparison(begun.store, CompareSettings(similarity_threshold=200))
    assert chosen.settings.similarity_threshold == 300
    assert chosen.plans()[0].pending() == [0]


def test_new_pictures_are_planned_alone(tmp_path, client):
    photos, store = tmp_path / "photos", tmp_path / "store"
    write_noise(photos, ["a", "b", "c", "d", "e"], 1)
    for names in ([], ["f", "g", "h"]):
        write_noise(photos, names, 2)
        with open_job(photos, store, client) as db:
            db.index_the_dirs()
            db.first_loop_iteration()
        comparison = Comparison(Store(str(store)), CompareSettings())
        if not names:
            plan(str(store), 200, sub_block=2, tile_side=1)
            assert pairs_left(comparison) == 10
    assert unplanned(comparison) == range(1, 2)
    assert pairs_left(comparison) == 10 + 5 * 3 + 3
    part, comparison = plan(str(store), 200, sub_block=3, tile_side=2)
    assert [one[:2] for one in comparison.parts()] == [(range(1), 5), (range(1, 2), 3)]
    assert comparison.parts()[1] == part
    first, second = comparison.plans()
    assert [sum(one.pairs(number) for number in one.pending()) for one in (first, second)] == [10, 5 * 3 + 3]
    assert first.part.sub_block == 2
