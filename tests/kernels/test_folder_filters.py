"""Pairs within a folder, or across folders, are all of their kind and no others; other pairs are not compared."""

import json
import os
import shutil
from itertools import combinations, product
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from support.command_line import invoke
from support.removals import SIZE, project, removed

import fastdiff_dask as fd
from fastdiff_dask.config import CompareSettings
from fastdiff_dask.kernels.pair_filters import PairFilters, picture_keys
from fastdiff_dask.results.collect import _of_folders
from fastdiff_dask.storage.comparisons import Comparison
from fastdiff_dask.testing import simulate_images

FILTERS = [
    PairFilters(same_folder=True),
    PairFilters(other_folder=True),
    PairFilters(aspect=1.5, same_folder=True),
    PairFilters(aspect=1.5, other_folder=True),
    PairFilters(same_hash=True, same_folder=True),
    PairFilters(same_hash=True, other_folder=True),
    PairFilters(other_hash=True, same_folder=True),
    PairFilters(aspect=1.0, other_hash=True, other_folder=True),
]


def is_wanted(filters: PairFilters, a: np.ndarray, b: np.ndarray) -> bool:
    same_hash, same_folder = (a[2:4] == b[2:4]).all(), (a[4:] == b[4:]).all()
    if (filters.same_hash and not same_hash) or (filters.other_hash and same_hash):
        return False
    if (filters.same_folder and not same_folder) or (filters.other_folder and same_folder):
        return False
    if filters.aspect is None:
        return True
    (wide_a, high_a), (wide_b, high_b) = (sorted(one[:2].tolist(), reverse=True) for one in (a, b))
    large, small = sorted([wide_a * high_b, wide_b * high_a], reverse=True)
    return large <= filters.aspect * small


@pytest.mark.parametrize("filters", FILTERS)
@pytest.mark.parametrize("two_sides", [False, True])
def test_the_pairs_are_counted_and_told_as_one_by_one(filters, two_sides):
    rng = np.random.default_rng(7)
    for number in (0, 1, 2, 40):
        hashes = rng.choice(["x", "y", "z"], number).tolist()
        folders = rng.choice(["/a", "/a/b", "/c"], number).tolist()
        keys = picture_keys(rng.integers(1, 5, number), rng.integers(1, 5, number), hashes, folders)
        assert keys.shape == (number, filters.key_values)
        rows, columns = (keys[: number // 2], keys[number // 2 :]) if two_sides else (keys, keys)
        allowed = filters.allowed(rows, columns if two_sides else None)
        expected = np.array([[is_wanted(filters, a, b) for b in columns] for a in rows], bool).reshape(
            len(rows), len(columns)
        )
        if not two_sides:
            np.fill_diagonal(expected, False)
        places = np.arange(len(rows))[:, None], np.arange(len(columns))[None, :]
        found = allowed.wanted(*places)
        if not two_sides:
            found = found & (places[0] != places[1])
        assert (found == expected).all()
        of_rows, of_columns = allowed.partners()
        assert (of_rows == expected.sum(axis=1)).all()
        assert (of_columns == expected.sum(axis=0)).all()
        assert allowed.pairs() == expected.sum() // (1 if two_sides else 2)
        some = rng.permutation(len(rows))[: len(rows) // 2]
        assert (allowed.take(some, slice(None)).partners()[0] == expected[some].sum(axis=1)).all() or not two_sides
        if len(rows) > 3 and len(columns) > 3:
            cuts_a, cuts_b = ([range(0, len(one) // 2), range(len(one) // 2, len(one))] for one in (rows, columns))
            near = allowed.near(cuts_a, cuts_b)
            for i, j in product(range(2), range(2)):
                assert near[i, j] or not expected[np.ix_(cuts_a[i], cuts_b[j])].any()


@pytest.mark.parametrize("filters", FILTERS)
def test_pictures_of_one_kind_have_the_same_partners_and_these_are_in_near_bins(filters):
    rng = np.random.default_rng(8)
    keys = picture_keys(
        rng.integers(1, 4, 40), rng.integers(1, 4, 40), rng.choice(["x", "y"], 40), rng.choice(["/a", "/b", "/c"], 40)
    )
    kinds, bins = filters.kinds(keys), filters.bins(keys)
    wanted = np.array([[is_wanted(filters, a, b) for b in keys] for a in keys])
    for i, j in combinations(range(40), 2):
        if (kinds[i] == kinds[j]).all():
            assert (wanted[i] == wanted[j]).all()
        if wanted[i, j] and bins is not None:
            assert abs(bins[i] - bins[j]) <= 1


@pytest.fixture
def photos(tmp_path) -> Path:
    """Pictures with copies, equal thumbnails among them, over some folders, one of them of odd bytes."""
    folder = tmp_path / "photos"
    simulate_images(folder, images=12, duplicates=12, size=(40, 30))
    places = ["", "a", "a/b", "c", os.fsdecode(b"odd \xff")]
    for number, path in enumerate(sorted(path for path in folder.iterdir() if path.suffix == ".jpg")):
        for more in (number, number * 3 + 1, number * 3 + 1):
            target = folder / places[more % 5] / f"{path.stem}-{more}-{len(list(folder.rglob('*')))}.jpg"
            target.parent.mkdir(exist_ok=True)
            shutil.copy(path, target)
        path.unlink()
    return folder


def rows(pairs) -> set[tuple[str, str, float]]:
    return set(zip(pairs.a, pairs.b, pairs.mse, strict=True))


def are_within(a: str, b: str) -> bool:
    return os.path.dirname(a) == os.path.dirname(b)  # noqa: PTH120 - the names are undecodable


@pytest.mark.parametrize("more", [{}, {"match_aspect_by": 1.2}, {"only_matching_hash": True}, {"mirror": True}])
def test_the_result_is_that_of_all_pairs_without_the_others(tmp_path, photos, client, more):
    with fd.FastDifPy(photos, store=tmp_path / "store", client=client, verbose=False, block_size=16, **SIZE) as db:
        db.index_the_dirs()
        db.first_loop_iteration(compute_hash=True)
        options = {"tile_side": 2, "sub_block": 8, **more}
        db.second_loop_iteration(300.0, **options)
        every, compared = rows(db.pairs), db.result().stats["pairs_compared"]
        within = {pair for pair in every if are_within(*pair[:2])}
        assert 0 < len(within) < len(every)
        numbers = []
        for name, wanted in (("within_folder", within), ("across_folders", every - within)):
            db.second_loop_iteration(300.0, **options, **{name: True})
            result = db.result()
            assert rows(result.pairs) == wanted
            assert result.pair_count == len(wanted)
            assert result.settings[name] is True
            assert all(are_within(*pair[:2]) == (name == "within_folder") for pair in rows(result.pairs))
            numbers.append(result.stats["pairs_compared"])
        assert sum(numbers) == compared
        names = {one.name for one in Comparison.all_in(db.store)}
        assert len([name for name in names if name.endswith(("-withinfolder", "-acrossfolders"))]) == 2


def test_without_skipped_hashes_and_within_a_folder(tmp_path, photos, client):
    with fd.FastDifPy(photos, store=tmp_path / "store", client=client, verbose=False, **SIZE) as db:
        db.index_the_dirs()
        db.first_loop_iteration(compute_hash=True)
        db.second_loop_iteration(300.0, within_folder=True)
        groups = {frozenset([one.keep, *one.low_quality]) for one in db.result().clusters}
        db.second_loop_iteration(300.0, within_folder=True, skip_matching_hash=True)
        skipped = db.result()
        assert {frozenset([one.keep, *one.low_quality]) for one in skipped.clusters} == groups
        assert len(skipped.hash_pairs)
        assert all(are_within(row.a, row.b) for row in skipped.hash_pairs.itertuples())


def test_new_pictures_meet_the_old_ones_of_their_folder(tmp_path, photos, client):
    options = {"store": tmp_path / "store", "client": client, "verbose": False, "within_folder": True, **SIZE}
    before = fd.find_duplicates(photos, **options)
    one = next(path for path in sorted(photos.rglob("*.jpg")) if path.parent != photos)
    for place in (one.parent, photos):
        shutil.copy(one, place / "a new one.jpg")
    after = rows(fd.find_duplicates(photos, **options).pairs)
    new = after - rows(before.pairs)
    assert (str(one.parent / "a new one.jpg"), str(one)) in {tuple(sorted(pair[:2])) for pair in new}
    assert after == rows(fd.find_duplicates(photos, **{**options, "store": tmp_path / "again"}).pairs)


def test_images_go_only_for_those_of_the_same_folder(tmp_path, photos, client):
    db = project(tmp_path, client)
    everything = len(db.plan().chosen)
    db.second_loop_iteration(30.0, within_folder=True)
    plan = db.plan()
    assert 0 < len(plan.chosen) < everything
    assert all(are_within(one.path, one.kept) for one in plan.chosen)
    db.second_loop_iteration(30.0, across_folders=True)
    plan = db.plan()
    assert removed(plan)
    assert not any(are_within(one.path, one.kept) for one in plan.chosen)


def test_edited_copies_are_chosen_by_folder_as_well():
    keys = picture_keys(np.ones(3, int), np.ones(3, int), folders=["/a", "/a", "/b"])
    looks = pd.DataFrame({"a": [0, 0, 1], "b": [1, 2, 2]})
    for options, left in (({"within_folder": True}, [0]), ({"across_folders": True}, [1, 2]), ({}, [0, 1, 2])):
        assert _of_folders(looks, CompareSettings(**options), keys).index.tolist() == left


@pytest.mark.parametrize("name", ["within", "across"])
def test_on_the_command_line(tmp_path, photos, name):
    out = tmp_path / "out.json"
    option = f"--{name}-folder{'s' * (name == 'across')}"
    assert invoke("find", photos, "--store", tmp_path / "s", option, "--json", out)[0] == 0
    pairs = json.loads(out.read_text(errors="surrogateescape"))["pairs"]
    assert pairs
    assert all(are_within(pair["a"], pair["b"]) == (name == "within") for pair in pairs)
    assert f"{name} " in invoke("status", tmp_path / "s")[1]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"within_folder": True, "across_folders": True}, "leave no pairs together"),
        ({"skip_matching_hash": True, "across_folders": True}, "cannot be used together"),
        ({"within_folder": 1}, "within_folder=1 cannot be used"),
    ],
)
def test_what_leaves_no_pairs_is_refused(tmp_path, photos, options, said):
    with pytest.raises(fd.UsageError, match=said):
        fd.find_duplicates(photos, store=tmp_path / "store", **options)


def test_two_collections_have_no_folder_in_common(tmp_path, photos):
    code, said = invoke("find", photos / "a", "--against", photos / "c", "--within-folder", "--store", tmp_path / "s")
    assert code != 0
    assert "--within-folder leaves no pair between two collections" in said
