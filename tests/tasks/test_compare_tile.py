"""Tasks that a scheduler runs twice, and plans for a few new images beside many old ones."""

import numpy as np
import pytest

import fastdiff_dask as fd
from fastdiff_dask.config import CompareSettings
from fastdiff_dask.errors import UsageError
from fastdiff_dask.runtime import memory
from fastdiff_dask.storage.comparisons import Comparison
from fastdiff_dask.tasks.compare_tile import TileTask, compare_tile
from fastdiff_dask.tasks.plan_part import plan_part
from fastdiff_dask.testing import simulate_images


@pytest.fixture
def db(tmp_path):
    simulate_images(tmp_path / "photos", images=12, duplicates=5, size=(40, 30))
    with fd.FastDifPy(
        tmp_path / "photos", store=str(tmp_path / "store"), threads=1, dashboard_address="127.0.0.1:0", verbose=False
    ) as db:
        db.index_the_dirs()
        db.first_loop_iteration()
        yield db


def test_a_committed_tile_is_never_written_again(db, monkeypatch):
    db.second_loop_iteration(sub_block=4, tile_side=2)
    pairs = db.pairs
    comparison = Comparison(db.store, CompareSettings())
    (plan,) = comparison.plans()
    monkeypatch.setattr("zarr.create_array", lambda *_, **__: pytest.fail("the tile was written again"))
    for number, tile in enumerate(plan.tiles):
        done = compare_tile(
            db.store_url, comparison.settings, [plan.part], TileTask(number, tile, plan.rows, plan.columns), None
        )
        assert done[:2] == (plan.pairs(number), plan.counts[number, 0])
    assert db.pairs.equals(pairs)


def test_a_recorded_plan_is_never_made_again(db):
    first = plan_part(db.store_url, CompareSettings(), 1, 0)
    assert plan_part(db.store_url, CompareSettings(), 1, 0) == first


def test_a_few_new_images_beside_many_old_ones_make_few_tiles(db, tmp_path):
    db.second_loop_iteration(sub_block=1)
    simulate_images(tmp_path / "photos" / "new", images=1, duplicates=0, size=(40, 30), seed=1)
    db.index_the_dirs()
    db.first_loop_iteration()
    db.second_loop_iteration(sub_block=1)
    old, new = Comparison(db.store, CompareSettings()).plans()
    assert old.part.images_a == 17
    assert len(new.tiles) <= 3
    assert sum(new.pairs(number) for number in range(len(new.tiles))) == 17
    assert (new.counts[:, 0] >= 0).all()


def test_sub_blocks_that_make_huge_products_are_refused(db):
    with pytest.raises(UsageError, match="sub_block=60000"):
        db.second_loop_iteration(sub_block=60_000)


def test_the_threshold_follows_the_measure(db):
    pytest.importorskip("imagehash")
    found = db.find_pairs(compare="hamming")
    assert 5 <= len(found) < 12 * 11 / 2
    assert db.result().settings["similarity_threshold"] == 6
    assert np.all(found.value <= 6)


def test_tiles_that_were_planned_for_more_memory_are_refused(db):
    plan_part(db.store_url, CompareSettings(), 1, 0, sub_block=64, tile_side=10**6)
    comparison, thumbnails = Comparison(db.store, CompareSettings()), db.store.thumbnail_settings
    least = memory.compare_task_bytes(thumbnails)
    memory.check_planned_memory(comparison.plans(), thumbnails, 0)
    memory.check_planned_memory(comparison.plans(), thumbnails, least)  # of so few images
    with pytest.raises(fd.UsageError, match=r"for workers with more memory: a tile needs 0\.\d+ GB, and a task"):
        memory.check_planned_memory(comparison.plans(), thumbnails, least // 2)
    db.second_loop_iteration()
    memory.check_planned_memory(comparison.plans(), thumbnails, least // 2)  # finished
