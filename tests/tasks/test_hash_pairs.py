"""Hashes on workers: the pairs of calling the function for all pairs, whatever the sides, filters and cuts; vectors."""

import numpy as np
import pytest

import fastdiff_dask as fd
from fastdiff_dask.config import DEFAULT_THRESHOLDS, CompareSettings
from fastdiff_dask.kernels.measures import hamming_distance
from fastdiff_dask.storage.comparisons import Comparison
from fastdiff_dask.storage.pairs import read_pairs
from fastdiff_dask.storage.store import Store
from fastdiff_dask.tasks import hash_pairs as module
from fastdiff_dask.tasks.compare_tile import TileTask, compare_tile
from fastdiff_dask.tasks.plan_part import plan_part
from fastdiff_dask.testing import simulate_images

IMAGES = 24


def rough(thumbnail):
    """Equal for about half of the pictures."""
    return str(thumbnail[..., 0].mean() > thumbnail[..., 1].mean())


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two folders of small pictures with turned and altered copies."""
    folder = tmp_path_factory.mktemp("hashes")
    for number, name in enumerate(("one", "two")):
        simulate_images(folder / name, images=8, duplicates=4, size=(40, 30), seed=number)
    return folder


@pytest.fixture
def opened(folder, tmp_path, client):
    def opened(name, *sides):
        db = fd.FastDifPy(
            *(sides or [folder]), store=tmp_path / name, client=client, verbose=False, thumbnail_size_x=16,
            thumbnail_size_y=16,
        )  # fmt: skip
        db.index_the_dirs()
        db.first_loop_iteration(compute_hash=True, hash_function=rough)
        return db

    return opened


def counts_of(db):
    """Pairs that were looked at, over all tiles of all comparisons."""
    return [
        plan.counts[:, 1].sum() for comparison in Comparison.all_in(Store(db.store_url)) for plan in comparison.plans()
    ]


@pytest.mark.parametrize("two_sides", [False, True])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"rotations": False},
        {"mirror": True, "sub_block": 3, "tile_side": 2},
        {"match_aspect_by": 1, "sub_block": 5},
        {"only_matching_hash": True},
        {"skip_matching_hash": True, "mirror": True},
    ],
)
def test_pairs_are_those_of_the_function_for_all_pairs(opened, folder, monkeypatch, options, two_sides):
    pytest.importorskip("imagehash")
    sides = [folder / "one", folder / "two"] if two_sides else []
    used = []
    search = module.near_hashes
    monkeypatch.setattr(module, "near_hashes", lambda *some: used.append(1) or search(*some))
    found = {}
    for by_hashes in (True, False):
        monkeypatch.setattr(CompareSettings, "by_hashes", by_hashes)
        with opened(f"store-{by_hashes}", *sides) as db:
            found[by_hashes] = [db.find_pairs(limit, compare="phash", **options) for limit in (10, 40)], counts_of(db)
        assert used
    (near, far), counts = found[True]
    (near_too, far_too), counts_too = found[False]
    assert near.equals(near_too)
    assert far.equals(far_too)
    assert len(far) > len(near)
    assert counts == counts_too
    assert len(near) or two_sides or "skip_matching_hash" in options  # copies have equal hashes


def test_all_hashes_go_this_way_and_nothing_else():
    names = [name for name in DEFAULT_THRESHOLDS if CompareSettings(measure=name).by_hashes]
    assert set(DEFAULT_THRESHOLDS) - set(names) == {"mse", "correlation", "ssim"}
    assert not CompareSettings(measure="phash.of-mine").by_hashes
    options = {"vectors": "some", "rotations": False}
    assert CompareSettings(measure="hamming", **options).by_hashes
    assert not CompareSettings(measure="euclidean", **options).by_hashes


def test_later_images_are_compared_with_all_earlier_ones(folder, tmp_path, client):
    pytest.importorskip("imagehash")
    photos = tmp_path / "photos"
    simulate_images(photos / "first", images=8, duplicates=4, size=(40, 30), seed=0)

    def find(store):
        with fd.FastDifPy(photos, store=store, client=client, verbose=False) as db:
            db.index_the_dirs()
            db.first_loop_iteration()
            return db.find_pairs(20, compare="dhash")

    find(tmp_path / "grown")
    simulate_images(photos / "second", images=8, duplicates=4, size=(40, 30), seed=0)  # the same pictures
    found, wanted = find(tmp_path / "grown"), find(tmp_path / "new")
    assert sorted(zip(found.a, found.b, found.value, strict=True)) == sorted(
        zip(wanted.a, wanted.b, wanted.value, strict=True)
    )
    assert len(found) >= 12


# -- plans -----------------------------------------------------------------------------------------------------------


def test_tiles_are_large_unless_memory_is_small(opened, monkeypatch):
    with opened("store") as db:
        pass
    url = str(db.store_url)
    parts = []
    for threshold, options in enumerate([{}, {"sub_block": 1}]):
        settings = CompareSettings(measure="phash", similarity_threshold=threshold)
        parts.append(plan_part(url, settings, 1, 0, feature_bytes=32, **options))
    usual, single = parts
    assert (usual.sub_block, usual.tile_side) == (4096, 1)
    assert single.tile_side == 12  # half of the images: two tiles at least for each thread
    monkeypatch.setattr("fastdiff_dask.tasks.plan_part._HASHES_ALONG", 5)
    assert plan_part(url, CompareSettings(measure="phash", similarity_threshold=50), 1, 0, sub_block=1).tile_side == 5
    monkeypatch.setattr("fastdiff_dask.tasks.plan_part._HASH_BYTES", 3 * 10**8)
    settings = CompareSettings(measure="phash", similarity_threshold=60)
    assert plan_part(url, settings, 1, 10**9, feature_bytes=32, sub_block=1).tile_side < 5


# -- vectors ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("octets", [8, 5, 32])
def test_vectors_of_bits_are_compared_where_they_are_there(opened, folder, rng, octets):
    hashes = np.repeat(rng.integers(0, 256, (8, octets), np.uint8), 3, axis=0)
    hashes[::3, 0] ^= 1
    hashes[1::3, -1] ^= 2
    there = np.ones(IMAGES, bool)
    there[[4, 20]] = False
    with opened("store") as db:
        assert len(db.images) == IMAGES
        db.add_vectors("mine", hashes[there], keys=np.flatnonzero(there).tolist())
        url = str(db.store_url)
        listed = db.find_pairs(2, on="mine", metric="hamming")
        paths = db.images.compute().path.tolist()
    for limit in (0, 1, 3, 8 * octets):
        settings = CompareSettings(
            similarity_threshold=limit, measure="hamming", vectors="mine", rotations=False
        )  # fmt: skip
        part = plan_part(url, settings, 1, 0, sub_block=5, tile_side=2)
        comparison = Comparison(Store(url), settings)
        (plan,) = comparison.plans()
        for number, tile in enumerate(plan.tiles):
            compare_tile(url, settings, [part], TileTask(number, tile, plan.rows, plan.columns), None)
        rows = np.concatenate([np.zeros((0, 4), np.int64), *read_pairs(comparison, comparison.plans())])
        found = {
            (a, b, value)
            for a, b, value in zip(
                rows[:, 0].tolist(), rows[:, 1].tolist(), rows[:, 2].view(float).tolist(), strict=True
            )
        }
        words = np.pad(hashes, ((0, 0), (0, -octets % 8))).view(np.uint64)
        values = hamming_distance(words, words).astype(int)
        wanted = {
            (i, j, float(values[i, j]))
            for i in range(IMAGES)
            for j in range(i + 1, IMAGES)
            if there[i] and there[j] and values[i, j] <= limit
        }
        assert found == wanted
        assert len(rows) == len(found)
        assert (rows[:, 3] == 1).all()
        if limit == 3:
            near = [(a, b, value) for a, b, value in sorted(found) if value <= 2]
            assert len(listed) == len(near) > 4
            names = {frozenset(pair) for pair in zip(listed.a, listed.b, strict=True)}
            assert names == {frozenset(str(folder / paths[number]) for number in pair[:2]) for pair in near}
