"""A store, JSON and TOML of version 0.1.0, from before the package had wings, are read unchanged."""

import json
import shutil
import zipfile
from pathlib import Path

import pandas as pd
import pytest
from support.command_line import run  # noqa: F401 - a fixture
from support.make_old_store import FOLDER, RUNS, find, set_dates

import fastdiff_dask as fd

MADE = Path(__file__).parent / "data" / "store-of-0.1.0.zip"


@pytest.fixture(autouse=True)
def _unpacked():
    """The store and its pictures at the place that it records."""
    shutil.rmtree(FOLDER, ignore_errors=True)
    with zipfile.ZipFile(MADE) as packed:
        packed.extractall(FOLDER)
    set_dates()
    yield
    shutil.rmtree(FOLDER)


def finished() -> dict[Path, tuple[bytes, int]]:
    """Content and time of each array of the store; inodes of the unpacked files are recorded anew."""
    files = (FOLDER / "store" / "arrays.zarr").rglob("*.*")
    return {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in files if path.is_file()}


def without_figures(path: Path) -> tuple[dict, dict]:
    content = json.loads(path.read_bytes())
    for pair in content["pairs"]:
        pair.pop("verdict", None)  # which is new
    return content, content.pop("stats")


@pytest.mark.parametrize("name", RUNS)
def test_the_same_json_and_nothing_computed(tmp_path, run, name):  # noqa: F811
    before = finished()
    code, _, error = run(*find(name, tmp_path))
    assert code == 0, error
    content, stats = without_figures(tmp_path / f"{name}.json")
    wanted, _ = without_figures(FOLDER / f"{name}.json")
    assert json.dumps(content) == json.dumps(wanted)  # in the same order as well
    assert (stats["images_read"], stats["tiles_resumed"]) == (0, stats["tiles"])
    assert finished() == before
    assert wanted["pairs"]
    assert wanted["errors"]


def test_what_a_store_alone_tells(tmp_path, run):  # noqa: F811
    new = "Verify:     not begun\nEdited:     not looked for\nDecisions:  1 pair marked as not a duplicate\n"
    status = (FOLDER / "status.txt").read_text() + new
    # the marks tell the way of each tile now, and the measure is named as everywhere
    status = status.replace("MSE ≤", "difference (MSE) ≤").replace(
        "(█ done, · left):\n    █", "(· left); compared by candidates ▒ 1:\n    ▒"
    )
    assert run("status", FOLDER / "store")[1] == status
    options = ("--threshold", "50", "--comparison", "mse-100.0-rotations")
    assert run("export", FOLDER / "store", tmp_path / "pairs.csv", *options)[0] == 0
    pairs = pd.read_csv(tmp_path / "pairs.csv")
    assert set(pairs.pop("verdict")) == {"not looked at"}
    assert pairs.equals(pd.read_csv(FOLDER / "pairs.csv"))


def test_its_settings(tmp_path, run):  # noqa: F811
    with fd.FastDifPy.from_store(FOLDER / "store", verbose=False) as db:
        assert db.config.state == "second_loop_done"
        assert db.config.similarity_threshold == 900.0
    assert run("find", "--config", FOLDER / "photos.toml", "--save-config", tmp_path / "again.toml")[0] == 0
    again = (tmp_path / "again.toml").read_text().splitlines()
    before = (FOLDER / "photos.toml").read_text().splitlines()
    names = {line.partition(" = ")[0] for line in before}  # later versions have more
    assert [line for line in again if line.partition(" = ")[0] in names] == before


def test_its_pictures_get_features_without_being_read(tmp_path):
    with fd.FastDifPy.from_store(FOLDER / "store", verbose=False, threads=1, dashboard_address="127.0.0.1:0") as db:
        db.index_the_dirs()
        db.first_loop_iteration()
        found = db.find_pairs(0.0, compare=lambda a, b: a[:, None] - b[None], prepare=lambda images: images[:, 0, 0, 0])
        assert db.result().stats["images_read"] == 0
        assert len(found)
        (features,) = (FOLDER / "store" / "arrays.zarr" / "features").glob("*-*")
        assert sorted(path.name for path in features.iterdir() if path.is_dir()) == ["0", "1", "2", "3"]


def test_a_tile_of_then_is_compared_now(tmp_path, run):  # noqa: F811
    name = next(iter(RUNS))
    marks = sorted((FOLDER / "store" / "arrays.zarr" / "comparisons").glob("*/*/compared/c.0.0"))
    sizes = [len(mark.read_bytes()) for mark in marks]
    for mark in marks:
        mark.unlink()
    code, _, error = run(*find(name, tmp_path))
    assert code == 0, error
    content, stats = without_figures(tmp_path / f"{name}.json")
    wanted, _ = without_figures(FOLDER / f"{name}.json")
    assert json.dumps(content) == json.dumps(wanted)
    assert stats["tiles_resumed"] == stats["tiles"] - 1
    # as many counts as the part was begun with, fewer than today
    written = [(mark, size) for mark, size in zip(marks, sizes, strict=True) if mark.exists()]
    assert [(len(mark.read_bytes()), 48) for mark, _ in written] == [(size, 48) for _, size in written]
