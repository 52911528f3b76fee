"""The command inspect: what it prints, what it writes, its options, and folders that were not searched yet."""

import json

import pandas as pd
import pytest
from PIL import Image
from support.command_line import on_terminal

from fastdiff_dask.inspection.definitions import ISSUES
from fastdiff_dask.inspection.inspection import COLUMNS
from fastdiff_dask.testing import simulate_images


@pytest.fixture
def data(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for part in ("train", "test", "old"):
        simulate_images(tmp_path / "data" / part, images=4, duplicates=0)  # the same in each
    Image.new("RGB", (300, 200), "black").save(tmp_path / "data" / "train" / "black.png")
    return tmp_path / "data"


def test_a_folder_that_was_not_searched_is_read_and_then_compared(run, data):
    code, out, err = run("inspect", data)
    assert code == 0, err
    assert "blank" in out
    assert "train/black.png" in out
    assert "leak: test: test/" in out
    assert "and 3 more leaks" not in out
    assert "near equal is not known: no finished comparison" in out
    assert run("find", data)[0] == 0
    code, out, err = run("inspect", data)
    assert (code, "not known" in out, "images" in err) == (0, False, False), err


def test_what_it_writes(run, data, tmp_path):
    for name in ("one", "two"):
        code, out, err = run("inspect", data, "--json", tmp_path / f"{name}.json", "--csv", tmp_path / f"{name}.csv")
        assert code == 0, err
        assert "13 images: 1 blank" in out
    assert (tmp_path / "one.json").read_bytes() == (tmp_path / "two.json").read_bytes()
    found = json.loads((tmp_path / "one.json").read_text())
    assert found["images"] == 13
    assert found["splits"] == {"test": 4, "train": 5}
    assert found["issues"]["dark"]["images"] == 1
    assert found["leak_pairs"] == len(found["leaks"]) == 4
    table = pd.read_csv(tmp_path / "one.csv")
    assert list(table.columns) == ["image", *COLUMNS]
    assert [row["path"] for row in found["table"]] == table.path.tolist()
    for issue in ISSUES:
        assert found["issues"][issue]["images"] == int(table[issue].sum()), issue
    code, out, _ = run("inspect", data, "--json", "-")
    assert json.loads(out) == found


# Option → the figure that it changes, in the JSON.
OPTIONS = {
    ("--splits", "train,old"): ("splits", {"train": 5, "old": 4}),
    ("--dark", "0"): ("dark", 0),
    ("--blank", "1"): ("blank", 13),
    ("--bright", "0"): ("bright", None),
    ("--low-contrast", "1"): ("low_contrast", None),
    ("--blurred", "0"): ("blurred", None),
    ("--odd-size", "0"): ("odd_size", None),
    ("--odd-aspect", "1"): ("odd_aspect", None),
    ("--odd-mode", "0.5"): ("odd_mode", None),
    ("--grey", "1"): ("grey", 13),
}


@pytest.mark.parametrize("option", OPTIONS)
def test_each_option_counts(run, data, option):
    name, wanted = OPTIONS[option]
    found = json.loads(run("inspect", data, "--json", "-")[1])
    changed = json.loads(run("inspect", data, *option, "--json", "-")[1])
    if name == "splits":
        assert changed["splits"] == wanted
        return
    assert changed["limits"][name] == float(option[1])
    if wanted is not None:
        assert changed["issues"][name]["images"] == wanted != found["issues"][name]["images"]


def test_pairs_are_those_that_are_asked_for(run, data):
    assert run("find", data, "--threshold", "300")[0] == 0
    every = json.loads(run("inspect", data, "--json", "-")[1])["issues"]["near_equal"]["images"]
    few = json.loads(run("inspect", data, "--verdict", "same file", "--json", "-")[1])["issues"]["near_equal"]["images"]
    assert few == 0 <= every
    code, _, err = run("inspect", data, "--threshold", "900")
    assert (code, "not 900" in err) == (2, True)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--dark", "2"), "--dark 2.0 is no number from 0 to 1; 0.32 is the usual one"),
        (("--splits", "train"), "--splits 'train' are not 2 to 62 folders"),
        (("--splits", "train,tset"), "no image is in the folder 'tset' of"),
    ],
)
def test_mistakes_are_told_in_a_line(run, data, arguments, message):
    run("inspect", data)
    code, out, err = run("inspect", data, *arguments)
    assert (code, out) == (2, "")
    assert message in err
    assert err.count("\n") == 1


def test_a_folder_that_is_not_there(run, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    code, _, err = run("inspect", tmp_path / "none")
    assert (code, "no store at" in err) == (2, True)


def test_a_store_whose_pictures_were_not_read(run, data, tmp_path):
    assert run("find", data, "--identical", "--store", tmp_path / "store")[0] == 0
    code, out, err = run("inspect", tmp_path / "store")
    assert (code, out) == (2, "")
    assert "were read yet; the same find, run again, reads them" in err


def test_next_steps_on_a_terminal(data, tmp_path):
    out = on_terminal("inspect", data, columns=200, XDG_CACHE_HOME=str(tmp_path / "cache"))
    assert f"fastdiff-dask find {data}" in out
    assert "--csv issues.csv" in out
