"""Nearest images and leaks are those of all pairs, one by one, also of many equal thumbnails."""

import shutil

import numpy as np
import pytest
from PIL import Image

import fastdiff_dask as fd
from fastdiff_dask.inspection.splits import Splits


def make(folder):
    """Pictures of few kinds in three parts and outside of them: equal bytes, equal pixels, similar ones."""
    random = np.random.default_rng(3)
    scenes = [random.integers(0, 256, (8, 8, 3), np.uint8) for _ in range(4)]
    for number in range(40):
        part = folder / ("train", "test", "val", "rest")[random.integers(4)]
        part.mkdir(parents=True, exist_ok=True)
        values = scenes[random.integers(len(scenes))].copy()
        values[0, 0, 0] = values[0, 0, 0] // 2 + 4 * random.integers(3)
        path = part / f"{number}.png"
        Image.fromarray(values).save(path, compress_level=int(random.integers(2)) * 9)
        if number % 5 == 0:
            shutil.copy(path, folder / ("train", "test", "val", "rest")[number // 5 % 4] / f"copy {number}.png")


@pytest.fixture(scope="module")
def project(tmp_path_factory, client):
    folder = tmp_path_factory.mktemp("equal")
    for part in ("train", "test", "val", "rest"):
        (folder / "data" / part).mkdir(parents=True)
    make(folder / "data")
    options = {"thumbnail_size_x": 8, "thumbnail_size_y": 8, "block_size": 7, "verbose": False}
    with fd.FastDifPy(folder / "data", store=folder / "store", client=client, **options) as db:
        db.index_the_dirs()
        db.first_loop_iteration()
        db.second_loop_iteration(20, mirror=True)
        yield db


@pytest.mark.parametrize("verdict", [(), ("not looked at",), ("same file",)])
def test_all_is_as_by_the_pairs_one_by_one(project, verdict):
    inspection = project.inspect(verdict=verdict)
    table = inspection.table.set_index("path")
    pairs = project.result().with_verdict(verdict).pairs
    hashes = project.images.compute().content_hash
    digest = dict(zip(inspection.table.path, hashes, strict=True))
    part = dict(zip(table.index, table.split, strict=True))
    near, leak, others = {}, {}, {}
    for a in table.index:  # equal files are known without pairs
        for b in table.index:
            if a != b and digest[a] == digest[b] and part[a] and part[b] and part[a] != part[b]:
                leak[a] = 0.0
                others.setdefault(a, set()).add(part[b])
    for row in pairs.itertuples():
        for a, b in ((row.a, row.b), (row.b, row.a)):
            if digest[a] != digest[b]:
                near[a] = min(near.get(a, np.inf), row.mse)
            if part[a] and part[b] and part[a] != part[b]:
                leak[a] = min(leak.get(a, np.inf), row.mse)
                others.setdefault(a, set()).add(part[b])
    assert table.near_value.dropna().to_dict() == pytest.approx(near)
    assert table.leak_value.dropna().to_dict() == pytest.approx(leak)
    assert {path: set(names.split(", ")) for path, names in table.leak_to.dropna().items()} == others
    assert bool(near) == (verdict != ("same file",))
    value = {frozenset((row.a, row.b)): row.mse for row in pairs.itertuples()}
    for path, row in table[table.near_equal].iterrows():
        assert value[frozenset((path, row.near_path))] == pytest.approx(row.near_value)
        assert digest[path] != digest[row.near_path]
    ends = {frozenset(ends) for ends in inspection.leaks[["a", "b"]].to_numpy().tolist()}
    assert len(ends) == len(inspection.leaks) == inspection.leak_pairs > 0
    for row in inspection.leaks.itertuples():
        assert (part[row.a], part[row.b]) == (row.split_a, row.split_b)
        assert row.split_a != row.split_b
        assert (row.verdict == "same file") == (digest[row.a] == digest[row.b])
        assert row.verdict == "same file" or value[frozenset((row.a, row.b))] == pytest.approx(row.value)
    assert inspection.leaks.value.is_monotonic_increasing
    # each image that leaks has, or its equal has, a pair in the list
    assert set(others) >= set(inspection.leaks.a) | set(inspection.leaks.b)


def test_parts_that_nobody_has_are_none(project):
    assert project.inspect(splits="train,rest").images_by_split.keys() == {"train", "rest"}
    assert Splits().names == []


def test_many_blank_pages_take_no_pairs(tmp_path, client):
    (tmp_path / "data" / "train").mkdir(parents=True)
    (tmp_path / "data" / "test").mkdir()
    for number in range(1500):
        part = "test" if number % 3 == 0 else "train"
        page = Image.new("L", (8, 8), 255)
        page.save(tmp_path / "data" / part / f"{number}.png", compress_level=0, dpi=(72 + number, 72))
    options = {"thumbnail_size_x": 8, "thumbnail_size_y": 8, "verbose": False}
    with fd.FastDifPy(tmp_path / "data", store=tmp_path / "store", client=client, **options) as db:
        db.index_the_dirs()
        db.first_loop_iteration()
        db.second_loop_iteration(20)
        assert db.result().pair_count == 1500 * 1499 // 2
        inspection = db.inspect()
        counts = inspection.counts
        assert (counts["byte_equal"], counts["near_equal"], counts["leak"]) == (0, 1500, 1500)
        assert inspection.leak_pairs == 1  # of equal thumbnails the first one of each part
        assert (inspection.table.near_path != inspection.table.path).all()
