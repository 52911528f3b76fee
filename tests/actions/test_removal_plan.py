"""A plan that takes most of the images, or a whole folder, is asked again; files of the same bytes go first."""

import hashlib
import re
import shutil
from dataclasses import replace

import numpy as np
import pytest
from support.command_line import invoke
from support.removals import SIZE, contents, picture, project, removed, save, write_decisions

import fastdiff_dask as fd
from fastdiff_dask.actions import choice
from fastdiff_dask.actions.decisions import list_not_duplicates
from fastdiff_dask.actions.removal_plan import limits_passed
from fastdiff_dask.storage.store import Store


def fill(folder, numbers, shift=0, name="{}.png"):
    for number in numbers:
        save(folder / name.format(number), picture(number, shift))


def against(tmp_path, client):
    db = fd.FastDifPy(
        tmp_path / "library", tmp_path / "dump", store=tmp_path / "store", client=client, verbose=False, **SIZE
    )
    db.index_the_dirs()
    db.first_loop_iteration()
    db.second_loop_iteration(5.0)
    return db


# -- A against B -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [4, 16])
def test_nothing_of_the_reference_goes(tmp_path, client, size):
    """Whichever of the two is larger; one that is larger than the reference stays as well, unless asked for."""
    save(tmp_path / "library" / "x.png", picture(1, 0))
    save(tmp_path / "dump" / "a.png", picture(1, 1, size))
    save(tmp_path / "dump" / "other.png", picture(2))
    db = against(tmp_path, client)
    plan = db.plan()
    if size > 8:
        assert (plan.chosen, len(plan.skipped)) == ([], 1)
        assert re.fullmatch("it has what .*x.png lacks: more pixels", plan.skipped[0].reason)
        plan = db.plan(give_up=["more pixels"])
    assert (removed(plan), plan.skipped) == ({"a.png": "x.png"}, [])
    assert plan.chosen[0].why == "the other one is in A, the reference"
    assert [cluster.keep.endswith("x.png") for cluster in db.result().clusters] == [True]
    code, output = invoke("apply", tmp_path / "store")
    assert (code, "A is the reference, and nothing in it goes: --both-sides" in output) == (0, True)
    expected = {"a.png": "x.png"} if size < 8 else {"x.png": "a.png"}
    assert removed(db.plan(both_sides=True)) == expected
    assert "A is the reference" not in invoke("apply", tmp_path / "store", "--both-sides")[1]


def test_larger_images_of_b_go_if_asked_for(tmp_path, client):
    save(tmp_path / "library" / "x.png", picture(1))
    for name, size in {"a.png": 16, "b.png": 12, "same.png": 8}.items():
        save(tmp_path / "dump" / name, picture(1, 1, size))
    assert removed(against(tmp_path, client).plan()) == {"same.png": "x.png"}
    code, output = invoke("apply", tmp_path / "store", "--trash", "--give-up", "more pixels", "--yes-really")
    assert (code, "3 files were moved to the trash" in output) == (0, True)


def test_both_sides_without_sides_is_told(tmp_path, client):
    fill(tmp_path / "photos", [1])
    fill(tmp_path / "photos", [1], shift=1, name="b{}.png")
    project(tmp_path, client)
    assert "--both-sides changes nothing" in invoke("apply", tmp_path / "store", "--both-sides")[1]


def test_marks_and_only_identical(tmp_path, client):
    """Of the marked images, those go of which a kept one has the same bytes."""
    save(tmp_path / "photos" / "a.png", picture(1))
    save(tmp_path / "photos" / "b.png", picture(1))
    save(tmp_path / "photos" / "c.png", picture(1, 1))
    db = project(tmp_path, client)
    file = write_decisions(db, tmp_path / "d.json", {"b.png": "remove", "c.png": "remove"})
    assert removed(db.plan(decisions=file)) == {"b.png": "a.png", "c.png": "a.png"}
    plan = db.plan(decisions=file, only_identical=True)
    assert (removed(plan), plan.skipped[0].reason) == ({"b.png": "a.png"}, "no image that is kept has the same bytes")


def test_a_mark_does_not_take_from_the_reference(tmp_path, client):
    save(tmp_path / "library" / "x.png", picture(1, 0))
    save(tmp_path / "dump" / "a.png", picture(1, 1))
    db = against(tmp_path, client)
    file = write_decisions(db, tmp_path / "d.json", {"x.png": "remove"})
    plan = db.plan(decisions=file)
    assert (plan.chosen, plan.skipped[0].reason) == ([], "it is in A, the reference")
    assert removed(db.plan(decisions=file, both_sides=True)) == {"x.png": "a.png"}


# -- limits ------------------------------------------------------------------------------------------------------------


def test_more_than_half_of_the_images_is_asked_again(tmp_path, client, monkeypatch):
    for copy in range(3):
        fill(tmp_path / "photos", (1, 2), copy, f"{{}} {copy}.png")
    project(tmp_path, client, 30.0)
    before, store = contents(tmp_path / "photos"), tmp_path / "store"
    code, output = invoke("apply", store, "--trash")
    assert code == 0
    assert "Look again: it takes 4 of the 6 images found, more than half of them." in output
    assert "--yes-really does it" in output
    code, output = invoke("apply", store, "--trash", "--yes")
    assert (code != 0, "nothing was done: the plan takes 4 files" in output) == (True, True)
    monkeypatch.setattr("fastdiff_dask.cli.actions._on_terminal", lambda: True)
    for answer in ("y\n", "5\n", "\n"):
        code, output = invoke("apply", store, "--trash", "--yes", answer=answer)
        assert (code != 0, "that is not the number of files" in output) == (True, True)
    assert contents(tmp_path / "photos") == before
    assert "4 files were moved to the trash\n" in invoke("apply", store, "--trash", "--yes", answer="4\n")[1]
    assert len(contents(tmp_path / "photos")) == 2
    invoke("undo", "--yes")
    assert invoke("apply", store, "--trash", "--yes-really")[0] == 0


def test_python_is_asked_as_well(tmp_path, client):
    for copy in range(3):
        fill(tmp_path / "photos", (1, 2), copy, f"{{}} {copy}.png")
    db = project(tmp_path, client, 30.0)
    before = contents(tmp_path / "photos")
    with pytest.raises(fd.UsageError, match=r"it takes 4 of the 6 images found, .*; look at the plan, yes_really=True"):
        db.apply(db.plan(), "trash", yes_really=False)
    with pytest.raises(fd.UsageError, match="yes_really=1 cannot be used"):
        db.apply(db.plan(), "trash", yes_really=1)
    assert contents(tmp_path / "photos") == before
    assert len(db.apply(db.plan(), "trash", yes_really=True)) == 4


def test_a_folder_that_loses_all_its_images_is_named(tmp_path, client):
    photos = tmp_path / "photos"
    fill(photos / "a", range(1, 20))
    fill(photos / "b" / "c", (1, 2, 3), 1)
    fill(photos / "b" / "d", (4, 5), 1)
    fill(photos / "few", (6, 7, 8, 9), 1)
    db = project(tmp_path, client, 4.0)
    plan = db.plan(prefer=photos / "a")
    assert len(plan.chosen) == 9
    assert limits_passed(db.store, plan) == [f"it takes all 5 images of the folder {photos / 'b'}"]
    save(photos / "b" / "c" / "own.png", picture(30))
    db.index_the_dirs()
    db.first_loop_iteration()
    db.second_loop_iteration(4.0)
    assert limits_passed(db.store, db.plan(prefer=photos / "a")) == []


# -- the same bytes ----------------------------------------------------------------------------------------------------


def test_only_identical_files_go(tmp_path, client):
    photos = tmp_path / "photos"
    save(photos / "a.png", picture(1))
    shutil.copy2(photos / "a.png", photos / "a 2.png")
    save(photos / "b.png", picture(1, 1))
    shutil.copy2(photos / "b.png", photos / "b 2.png")
    fill(photos, range(2, 9), name="other {}.png")
    db = project(tmp_path, client, 30.0)
    assert len(db.plan().chosen) == 3
    plan = db.plan(only_identical=True)
    assert len(plan.chosen) == 2
    assert all(one.same_file for one in plan.chosen)
    _, output = invoke("apply", tmp_path / "store")
    assert "1 of them are byte for byte the same as the image that is kept: --only-identical takes only these" in output
    digests = {hashlib.sha256(path.read_bytes()).digest() for path in photos.iterdir()}
    code, output = invoke("apply", tmp_path / "store", "--only-identical", "--trash", "--yes")
    assert (code, "2 files were moved to the trash" in output) == (0, True)
    assert {hashlib.sha256(path.read_bytes()).digest() for path in photos.iterdir()} == digests


# -- decisions ---------------------------------------------------------------------------------------------------------


def test_decisions_are_listed_counted_and_taken_back(tmp_path, client):
    photos, store = tmp_path / "photos", tmp_path / "store"
    fill(photos, (1, 2, 3), name="a {}.png")
    fill(photos, (1, 2, 3), 1, name="b {}.png")
    db = project(tmp_path, client, 4.0)
    assert invoke("decisions", store) == (0, "none\n")
    assert "Decisions:" not in invoke("status", store)[1]
    db.not_duplicates([(str(photos / f"a {number}.png"), str(photos / f"b {number}.png")) for number in (1, 2, 3)])
    assert len(db.plan().chosen) == 0
    code, output = invoke("decisions", store)
    lines = output.splitlines()
    assert (code, len(lines)) == (0, 3)
    assert re.fullmatch(r"1: .*[ab] \d.png and .*[ab] \d.png", lines[0])
    assert "Decisions:  3 pairs marked as not a duplicate" in invoke("status", store)[1]
    code, output = invoke("decisions", store, "--forget", 4)
    assert (code != 0, "no decision 4 in the list, which has 3" in output) == (True, True)
    taken = [path for paths in list_not_duplicates(Store(str(store)))[1].paths for path in paths]
    assert invoke("decisions", store, "--forget", 2) == (0, "1 decisions were taken back\n")
    assert sorted(path for one in db.plan().chosen for path in (one.path, one.kept)) == sorted(taken)
    assert invoke("decisions", store, "--forget-all") == (0, "2 decisions were taken back\n")
    assert invoke("decisions", store) == (0, "none\n")


def test_a_decision_about_files_that_are_gone_can_be_taken_back(tmp_path, client):
    fill(tmp_path / "photos", (1,), name="a {}.png")
    fill(tmp_path / "photos", (1, 2), 1, name="b {}.png")
    db = project(tmp_path, client, 4.0)
    db.not_duplicates([(db.pairs.a[0], db.pairs.b[0])])
    (tmp_path / "photos" / "a 1.png").unlink()
    db.index_the_dirs()
    output = invoke("decisions", tmp_path / "store")[1]
    assert "a file that is not there any more" in output
    assert "b 1.png" in output
    assert invoke("decisions", tmp_path / "store", "--forget", 1)[0] == 0


# -- many pairs --------------------------------------------------------------------------------------------------------


def test_pairs_that_are_not_held_are_marked_by_bits(tmp_path, client, rng):
    for number in range(30):
        save(tmp_path / "photos" / f"{number:02d}.png", picture(int(rng.integers(5)), int(rng.integers(4))))
    result = project(tmp_path, client).result()
    held = result.groups
    none = np.zeros(0, np.int64)
    chunks = list(held.group_pairs())
    stored = replace(
        held, first=none, second=none, values=none, masks=none.astype(np.uint8), stored=lambda: iter(chunks)
    )
    near, by_bits = (choice._Neighbours(replace(result, groups=groups)) for groups in (held, stored))
    assert by_bits._bits is not None
    assert near._bits is None
    groups = [*range(len(held.starts) - 1), -1, -31]
    found = [near.are_near(row, groups).tolist() for row in range(len(result.images))]
    assert found == [by_bits.are_near(row, groups).tolist() for row in range(len(result.images))]
    assert 0 < sum(map(sum, found)) < len(found) * len(groups)
