"""No real photo is lost by the actions with folders, copies and commands: each content is there after each step."""

import shutil
import sys
from pathlib import Path

import pytest
from support.removals import contents
from support.verdicts import let_most_go

import fastdiff_dask as fd


@pytest.fixture(autouse=True)
def _thumbnails_decide(monkeypatch):
    """Here the second look decides."""
    let_most_go(monkeypatch)


@pytest.fixture
def db(tmp_path, photos, client):
    """The photos, over some folders."""
    for number, path in enumerate(sorted(path for path in photos.rglob("*.*") if path.is_file())):
        target = tmp_path / "photos" / str(number % 3) / f"folder {number % 5}" / path.name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(path, target)
    with fd.FastDifPy(tmp_path / "photos", store=tmp_path / "store", client=client, verbose=False) as db:
        db.index_the_dirs()
        db.first_loop_iteration()
        db.second_loop_iteration()
        yield db


def digests(*folders: Path) -> set[str]:
    return {digest for digest, _ in contents(*folders).values()}


def test_they_are_moved_with_their_folders_copied_and_brought_back(tmp_path, db):
    photos, gone, copies = tmp_path / "photos", tmp_path / "gone", tmp_path / "copies"
    before = contents(photos)
    plan = db.plan(["oldest-taken", "format=png,jpg", "not-path=*0*", "smallest"])
    assert len(plan.chosen) >= 30
    copied = db.apply(plan, "copy", copies, keep_tree=True)
    assert {one.reason for one in copied} == {None}
    assert contents(photos) == before
    assert {Path(one.path).relative_to(photos) for one in copied} == {
        Path(one.to).relative_to(copies) for one in copied
    }
    moved = db.apply(plan, "move", gone, keep_tree=True)
    assert {one.reason for one in moved} == {None}
    assert digests(photos, gone) == {digest for digest, _ in before.values()}
    assert digests(gone) == digests(copies)
    assert {Path(one.path).relative_to(photos) for one in moved} == {Path(one.to).relative_to(gone) for one in moved}
    assert {one.reason for one in db.undo()} == {None}
    assert contents(photos) == before
    assert not list(gone.rglob("*"))


def test_a_command_moves_them_and_each_kept_one_is_there(tmp_path, db):
    photos, gone = tmp_path / "photos", tmp_path / "gone"
    gone.mkdir()
    before = digests(photos)
    plan = db.plan(lambda rows: rows.index[-1])
    program = (
        f"import os, sys; os.stat(sys.argv[2]); os.rename(sys.argv[1], os.path.join({str(gone)!r}, str(os.getpid())))"
    )
    outcomes = db.apply(plan, "exec", command=[sys.executable, "-c", program, "{}", "{keep}"])
    assert {one.reason for one in outcomes} == {None}
    assert len(outcomes) == len(plan.chosen) == len(list(gone.iterdir())) >= 30
    assert digests(photos, gone) == before
    assert {one.kept for one in plan.chosen} <= {str(path) for path in photos.rglob("*")}
    # a later call knows what went, and has nothing more to do
    assert not db.plan(lambda rows: rows.index[-1]).chosen
