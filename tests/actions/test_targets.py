"""Moved and copied files keep their folders if that is asked for; nothing is overwritten, and undo brings them back."""

import os
import shutil
from pathlib import Path

import pytest
from support.command_line import invoke
from support.removals import contents, picture, pictures_in, project, removed, save

import fastdiff_dask as fd
from fastdiff_dask.actions.journal import journals


def below(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def photos(tmp_path) -> Path:
    """Of each of three pictures one to keep and copies of one name, in two folders."""
    folder = tmp_path / "photos"
    save(folder / "best.png", picture(1, size=16))
    for number, place in enumerate(("2019/may", "2020", ".")):
        save(folder / place / "copy.png", picture(1), age=number)
    (folder / "2020" / "copy.xmp").write_text("notes")
    return folder


def test_moved_files_keep_their_folders_and_come_back(tmp_path, photos, client):
    before = contents(photos)
    db = project(tmp_path, client)
    plan = db.plan()
    gone = tmp_path / "gone"
    outcomes = db.apply(plan, "move", gone, keep_tree=True, sidecars="move")
    assert [one.reason for one in outcomes] == [None] * 4
    assert below(gone) == {"2019/may/copy.png", "2020/copy.png", "2020/copy.xmp", "copy.png"}
    assert pictures_in(photos, gone) == {digest for name, (digest, _) in before.items() if name.endswith(".png")}
    # the folder to move to is no place from which files are kept
    assert not db.plan().chosen
    save(gone / "2019" / "other.png", picture(9))
    assert all(one.reason is None for one in db.undo())
    assert contents(photos) == before
    # folders that were made for them go again, but for those in which something else is by now
    assert sorted(path.name for path in gone.rglob("*")) == ["2019", "other.png"]


def test_names_of_both_sides_and_of_other_files_get_numbers(tmp_path, client):
    for root in ("a", "b"):
        save(tmp_path / root / "x" / "p.png", picture(1))
        save(tmp_path / root / "x" / "q.png", picture(2))
    save(tmp_path / "gone" / "x" / "p.png", picture(5))
    save(tmp_path / "a" / "best.png", picture(1, size=32))
    save(tmp_path / "a" / "best 2.png", picture(2, size=32))
    everything = [tmp_path / name for name in ("a", "b", "gone")]
    before = contents(*everything)
    db = project(tmp_path, client, 30.0, "a", "b")
    assert all(one.reason is None for one in db.apply(db.plan(), "move", tmp_path / "gone", keep_tree=True))
    assert below(tmp_path / "gone") == {"x/p.png", "x/p_1.png", "x/p_2.png", "x/q.png", "x/q_1.png"}
    assert pictures_in(*everything) == {digest for digest, _ in before.values()}
    assert all(one.reason is None for one in db.undo())
    assert contents(*everything) == before


def test_of_a_against_b_the_folders_of_b_are_kept(tmp_path, client):
    save(tmp_path / "a" / "one.png", picture(1))
    save(tmp_path / "b" / "deep" / "er" / "two.png", picture(1))
    db = fd.FastDifPy(
        tmp_path / "a",
        tmp_path / "b",
        store=tmp_path / "store",
        client=client,
        verbose=False,
        thumbnail_size_x=8,
        thumbnail_size_y=8,
    )
    db.index_the_dirs()
    db.first_loop_iteration()
    db.second_loop_iteration(30.0)
    db.apply(db.plan(), "move", tmp_path / "gone", keep_tree=True)
    assert below(tmp_path / "gone") == {"deep/er/two.png"}


def test_a_file_in_the_way_of_a_folder_lets_its_files_stay(tmp_path, photos, client):
    gone = tmp_path / "gone"
    gone.mkdir()
    (gone / "2019").write_text("a file")
    before = contents(photos)
    db = project(tmp_path, client)
    outcomes = {
        Path(one.path).relative_to(photos).as_posix(): one.reason
        for one in db.apply(db.plan(), "move", gone, keep_tree=True)
    }
    assert outcomes.pop("2019/may/copy.png") is not None
    assert set(outcomes.values()) == {None}
    assert (gone / "2019").read_text() == "a file"
    db.undo()
    assert contents(photos) == before


def test_names_with_odd_bytes_keep_their_folders(tmp_path, client):
    folder = os.fsdecode(os.fsencode(tmp_path / "photos") + b"/\xff\xfe dir")
    save(tmp_path / "photos" / "best.png", picture(1, size=16))
    save(Path(folder) / os.fsdecode(b"c\xe9 \n.png"), picture(1))
    db = project(tmp_path, client)
    for action in ("copy", "move"):
        (outcome,) = db.apply(db.plan(), action, tmp_path / action, keep_tree=True)
        assert outcome.reason is None
        assert os.fsencode(outcome.to).endswith(b"/\xff\xfe dir/c\xe9 \n.png")
        assert Path(outcome.to).is_file()


@pytest.mark.parametrize("keep_tree", [False, True])
def test_copied_files_stay_and_are_copied_once(tmp_path, photos, client, keep_tree):
    before = contents(photos)
    db = project(tmp_path, client)
    plan, target = db.plan(), tmp_path / "copies"
    save(target / "copy.png", picture(7))
    outcomes = db.apply(plan, "copy", target, keep_tree=keep_tree, sidecars="move")
    assert [one.reason for one in outcomes] == [None] * 4
    expected = {"2019/may/copy.png", "2020/copy.png", "2020/copy.xmp", "copy.png", "copy_1.png"}
    flat = {"copy.png", "copy_1.png", "copy_2.png", "copy_3.png"}
    found = below(target)
    assert found == expected if keep_tree else {name for name in found if name.endswith(".png")} == flat
    assert contents(photos) == before
    made = contents(target)
    for one in outcomes:
        assert Path(one.to).read_bytes() == Path(one.path).read_bytes()
        assert not Path(one.to).samefile(one.path)
    # the same again makes no second copies, and the journal offers nothing to undo
    again = db.apply(plan, "copy", target, keep_tree=keep_tree, sidecars="move")
    assert [one.to for one in again] == [one.to for one in outcomes]
    assert contents(target) == made
    assert [line["action"] for line in journals()[0].lines] == ["copy"] * 4
    with pytest.raises(fd.UsageError, match="nothing to undo"):
        db.undo()
    # what was copied can be removed as before, and the copies are neither kept nor removed
    assert removed(db.plan()) == removed(plan)
    db.apply(plan, "delete")
    assert below(photos) == {"best.png", "2020/copy.xmp"}
    assert contents(target) == made


def test_a_file_is_not_copied_into_its_own_folder(tmp_path, photos, client):
    before = contents(photos)
    db = project(tmp_path, client)
    reasons = {one.reason for one in db.apply(db.plan(), "copy", photos, keep_tree=True)}
    # all images lie where they would be copied to
    assert reasons == {
        "the file to keep, " + str(photos / "best.png") + ", lies in a trash, or where such files are moved to"
    }
    assert contents(photos) == before


def test_on_the_command_line(tmp_path, photos, client):
    project(tmp_path, client)
    store, before = tmp_path / "store", contents(photos)
    code, said = invoke("apply", store, "--copy", tmp_path / "copies", "--keep-tree", "--yes")
    assert code == 0
    assert "3 files were copied" in said
    assert "undo" not in said
    assert below(tmp_path / "copies") == {"2019/may/copy.png", "2020/copy.png", "copy.png"}
    code, said = invoke("apply", store, "--move", tmp_path / "gone", "--keep-tree", "--yes-really")
    assert code == 0
    assert below(tmp_path / "gone") == {"2019/may/copy.png", "2020/copy.png", "copy.png"}
    assert invoke("undo", "--yes")[0] == 0
    assert contents(photos) == before


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--keep-tree", "--trash"], "--keep-tree is for a folder to move or copy to"),
        (["--keep-tree"], "--keep-tree is for --move and --copy"),
        (["--copy", ""], "--copy has no name of a folder"),
        (["--copy", "x", "--move", "y"], "exclude each other"),
        (["--copy", "x", "--keep-metadata"], "--keep-metadata is for files that go"),
    ],
)
def test_options_that_cannot_be_used_together_are_refused(tmp_path, photos, client, monkeypatch, options, said):
    project(tmp_path, client)
    monkeypatch.chdir(tmp_path)
    code, text = invoke("apply", tmp_path / "store", *options)
    assert code != 0
    assert said in text
    assert not (tmp_path / "x").exists()


def test_a_copy_that_was_killed_halfway_is_cleared_away_and_made_again(tmp_path, photos, client, monkeypatch):
    db = project(tmp_path, client)
    plan = db.plan()

    def killed(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("fastdiff_dask.actions.files.copies.sync_folder", killed)
        with pytest.raises(KeyboardInterrupt):
            db.apply(plan, "copy", tmp_path / "copies")
    assert below(tmp_path / "copies") == {"copy.png"}
    db.apply(plan, "copy", tmp_path / "copies")
    assert below(tmp_path / "copies") == {"copy.png", "copy_1.png", "copy_2.png"}
    shutil.rmtree(tmp_path / "copies")
