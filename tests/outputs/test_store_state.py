"""The state of a store for people and programs: verdicts, and the result shown last."""

import json
import re
from collections import Counter

import numpy as np
import pytest
from support.outputs import make_verdicts

import fastdiff_dask as fd
from fastdiff_dask.config import BY_CERTAINTY
from fastdiff_dask.kernels.bounds import SearchCounts
from fastdiff_dask.kernels.grid import Axis
from fastdiff_dask.outputs.store_state import describe_store, store_state
from fastdiff_dask.results.stored import stored_result
from fastdiff_dask.storage.plans import Part, Plan
from fastdiff_dask.storage.schema import SHOWN
from fastdiff_dask.storage.store import Store
from fastdiff_dask.testing import simulate_images


@pytest.fixture
def looked_at(tmp_path, client):
    make_verdicts(tmp_path / "photos")
    with fd.FastDifPy(tmp_path / "photos", store=tmp_path / "store", client=client, verbose=False) as db:
        db.index_the_dirs()
        db.first_loop_iteration()
        db.second_loop_iteration()
        db.verify()
        yield db


def test_pairs_are_counted_by_verdict(tmp_path, looked_at, run):
    counts = Counter(looked_at.pairs.verdict)
    assert looked_at.result().verdict_counts == {name: counts[name] for name in BY_CERTAINTY}
    code, out, _ = run("status", tmp_path / "store")
    assert code == 0
    words = ", ".join(f"{counts[name]} {name}" for name in BY_CERTAINTY if counts[name])
    assert f"\nVerdicts:   {sum(counts.values())} similar pairs: {words}\n" in out
    looked = {name: counts[name] for name in ("same pixels", "same picture", "similar")}
    assert f"\nVerify:     {sum(looked.values())} pairs looked at: " in out
    code, out, _ = run("status", tmp_path / "store", "--json")
    state = json.loads(out)
    assert state["verify"] == looked
    assert state["result"]["verdicts"] == {name: counts[name] for name in BY_CERTAINTY}
    assert state["result"]["described"] == "difference (MSE) ≤ 200 with rotations"
    assert (state["images"], state["errors"], state["decisions"]) == (9, 0, 0)
    assert [one["tiles_done"] == one["tiles"] > 0 for one in state["comparisons"]] == [True]


def test_pairs_of_files_that_went_are_not_counted(tmp_path, looked_at):
    before = store_state(str(tmp_path / "store"))["verify"]
    (tmp_path / "photos" / "page0.png").unlink()
    looked_at.index_the_dirs()
    after = store_state(str(tmp_path / "store"))["verify"]
    assert after == before | {"similar": before["similar"] - 1}


def test_what_apply_looks_at_is_counted(tmp_path, client, run):
    make_verdicts(tmp_path / "photos")
    with fd.FastDifPy(tmp_path / "photos", store=tmp_path / "store", client=client, verbose=False) as db:
        db.index_the_dirs()
        db.first_loop_iteration()
        db.second_loop_iteration()
        db.result()
    assert store_state(str(tmp_path / "store"))["result"]["verdicts"]["same picture"] == 0
    assert run("apply", tmp_path / "store")[0] == 0
    store = Store(str(tmp_path / "store"))
    found = Counter(stored_result(store).pairs.verdict)
    assert found["same picture"] > 0
    assert store.records.read_shown().verdicts == {name: found[name] for name in BY_CERTAINTY}


def test_verdicts_of_images_that_came_later_are_counted(tmp_path, client):
    """They are in a block of their own, and the one before it is not full."""
    simulate_images(tmp_path / "photos", images=5, duplicates=0, size=(40, 30))
    with fd.FastDifPy(tmp_path / "photos", store=tmp_path / "store", client=client, verbose=False) as db:
        for add in (False, True):
            if add:
                simulate_images(tmp_path / "photos" / "new", images=5, duplicates=3, size=(80, 60), seed=1)
            db.index_the_dirs()
            db.first_loop_iteration()
            db.second_loop_iteration()
        db.verify()
    state = store_state(str(tmp_path / "store"))
    assert sum(state["verify"].values()) == 3
    assert "Verify:     3 pairs looked at" in describe_store(str(tmp_path / "store"))


def test_a_store_without_anything(tmp_path, client):
    (tmp_path / "photos").mkdir()
    with fd.FastDifPy(tmp_path / "photos", store=tmp_path / "store", client=client, verbose=False) as db:
        db.index_the_dirs()
    shown = describe_store(str(tmp_path / "store"))
    assert "Verify:     not begun" in shown
    assert "Result:" not in shown
    assert "Verdicts:" not in shown
    assert store_state(str(tmp_path / "store"))["result"] is None


def test_a_record_without_verdicts_or_with_others(tmp_path, looked_at):
    looked_at.result()
    path = tmp_path / "store" / SHOWN
    values = json.loads(path.read_text())
    del values["verdicts"]
    path.write_text(json.dumps(values))
    assert "Verdicts:" not in describe_store(str(tmp_path / "store"))
    assert "Result:     difference (MSE) ≤ 200" in describe_store(str(tmp_path / "store"))
    path.write_text(json.dumps(values | {"verdicts": [1]}))
    assert Store(str(tmp_path / "store")).records.read_shown() is None


def test_lines_fit_a_terminal(tmp_path, looked_at):
    looked_at.result()
    lines = describe_store(str(tmp_path / "store"), 80).splitlines()
    assert all(len(line) <= 80 or not re.search(r"\S\s+\S+\s", line[12:]) for line in lines)
    assert any(line.startswith(12 * " ") for line in lines)
    assert " ".join(" ".join(lines).split()) == " ".join(describe_store(str(tmp_path / "store")).split())


def test_the_way_of_each_tile():
    names = ["similar", *SearchCounts.names()]
    ways = {"signatures": {}, "candidates": {"exact": 1}, "low frequencies": {"low": 9, "exact": 1}}
    ways |= {"thumbnails": {"dense": 9, "low": 9}, "": {"similar": -1}}
    counts = np.array([[some.get(name, 0) for name in names] for some in ways.values()])
    plan = Plan(Part(range(1), 5, 0, 1, 1), Axis(()), Axis(()), [], counts)
    assert plan.ways(by_signatures=True) == list(ways)
    # a function of the user's compares all
    assert plan.ways(by_signatures=False)[0] == "thumbnails"
