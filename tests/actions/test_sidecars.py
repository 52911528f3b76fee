"""Sidecars are named, stay by default, and go and come back with their picture."""

import os
from pathlib import Path

import pytest
from support.command_line import invoke
from support.removals import picture, project, save, trash

import fastdiff_dask as fd
from fastdiff_dask.actions.files.sidecars import FoundSidecar, Sidecars, sidecars_of

MINE = ("b.xmp", "b.png.XMP", "B.aae", "b.png.json", "b.png.supplemental-metadata.json", "b.mov", "b.thm", "b.png.pp3")
NOT_MINE = ("a.xmp", "c.xmp", "bb.xmp", "b.txt", "b.png.other.json", "b.png(1).json")


def write(path: Path) -> Path:
    path.write_bytes(path.name.encode())
    os.utime(path, ns=(10**18, 10**18 + 12345))
    return path


def tree(folder: Path) -> dict[str, tuple[bytes, int]]:
    return {
        str(path.relative_to(folder)): (path.read_bytes(), path.lstat().st_mtime_ns)
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.fixture
def photos(tmp_path):
    """b goes for a."""
    folder = tmp_path / "photos"
    save(folder / "a.png", picture(1, size=16))
    save(folder / "b.png", picture(1))
    for name in (*MINE, *NOT_MINE):
        write(folder / name)
    (folder / "b.dop").symlink_to("b.txt")  # no file of its own
    return folder


def test_the_sidecars_of_a_picture(photos):
    (photos / "b.txt").unlink()
    found = {Path(path).name for path in Sidecars().of(str(photos / "b.png"), ())}
    assert found == set(MINE)
    # another picture of the stem stays: what has the stem alone is its sidecar as well
    write(photos / "B.CR2")
    expected = {name for name in MINE if name.lower().startswith("b.png.")}
    assert {Path(path).name for path in Sidecars().of(str(photos / "b.png"), ())} == expected
    both = [str(photos / "b.png"), str(photos / "B.CR2")]
    found = sidecars_of(both)
    assert {Path(one.path).name for one in found} == set(MINE)
    assert len(found) == len(MINE)
    assert sidecars_of(["s3://bucket/b.png", str(photos / "nothing" / "b.png")]) == []


def test_a_numbered_picture_of_takeout(tmp_path):
    for name in ("IMG.jpg", "IMG(1).jpg", "IMG.jpg.json", "IMG.jpg(1).json", "IMG.jpg.suppl.json"):
        write(tmp_path / name)
    write(tmp_path / "IMG.jpg.supplemental-metadata(1).json")
    found = sidecars_of([str(tmp_path / "IMG(1).jpg")])
    assert [Path(one.path).name for one in found] == ["IMG.jpg(1).json", "IMG.jpg.supplemental-metadata(1).json"]
    found = sidecars_of([str(tmp_path / "IMG.jpg")])
    assert [Path(one.path).name for one in found] == ["IMG.jpg.json", "IMG.jpg.suppl.json"]
    assert isinstance(found[0], FoundSidecar)


@pytest.mark.parametrize("action", ["move", "trash", "delete", "hardlink", "symlink"])
def test_they_go_with_their_picture_and_come_back(tmp_path, photos, client, action):
    (photos / "b.txt").unlink()
    target = tmp_path / "gone"
    target.mkdir()
    save(target / "b.png", picture(5))
    before = tree(photos)
    db = project(tmp_path, client)
    folder = target if action == "move" else None
    outcomes = db.apply(db.plan(), action, folder, sidecars="move")
    assert all(outcome.reason is None for outcome in outcomes)
    assert {Path(one.path).name for one in outcomes if one.sidecar_of} == set(MINE)
    assert {one.sidecar_of for one in outcomes} == {None, str(photos / "b.png")}
    left = {"a.png", *NOT_MINE} - {"b.txt"} | ({"b.png"} if "link" in action else set())
    assert set(tree(photos)) == left
    if action == "move":
        # they are named after their picture still
        assert {"b_1.png", "b_1.xmp", "b_1.png.XMP", "b_1.aae", "b_1.png.json"} <= set(tree(target))
    elif action != "delete":
        assert {Path(name).name for name in tree(trash(tmp_path) / "files")} >= set(MINE)
    if action == "delete":
        return
    assert all(outcome.reason is None for outcome in db.undo())
    assert tree(photos) == before


def test_they_stay_by_default_and_where_they_are_needed(tmp_path, photos, client):
    save(photos / "b.bmp", picture(7))
    before = set(tree(photos))
    db = project(tmp_path, client)
    plan = db.plan()
    db.apply(plan, "trash")
    assert set(tree(photos)) == before - {"b.png"}
    db.undo()
    db.apply(plan, "trash", sidecars="move")
    # b.bmp stays, and b.txt, which may be any program's, is asked as a picture
    assert before - set(tree(photos)) == {"b.png"} | {name for name in MINE if name.lower().startswith("b.png.")}
    with pytest.raises(fd.UsageError, match="sidecars='all' is not known; use leave or move"):
        db.apply(plan, "trash", sidecars="all")


def test_a_sidecar_is_nothing_for_which_the_kept_one_must_stay(tmp_path, client):
    """b and c equal a: they go one after the other, and later a may go for one of them, whatever went beside."""
    save(tmp_path / "photos" / "a.png", picture(1), age=1)
    save(tmp_path / "photos" / "b.png", picture(1), age=2)
    write(tmp_path / "photos" / "b.xmp")
    db = project(tmp_path, client)
    db.apply(db.plan("newest"), "trash", sidecars="move")
    save(tmp_path / "photos" / "c.png", picture(1), age=0)
    db.index_the_dirs()
    db.first_loop_iteration()
    db.second_loop_iteration(30.0)
    assert [Path(one.path).name for one in db.plan("newest").chosen] == ["a.png"]


def test_the_command_names_them(tmp_path, photos, client):
    (photos / "b.txt").unlink()
    project(tmp_path, client)
    store = tmp_path / "store"
    code, output = invoke("apply", store)
    assert code == 0
    assert "8 sidecars of these images stay where they are; --sidecars move takes them along:" in output
    assert str(photos / "b.xmp") in output
    assert "are deleted with them" in invoke("apply", store, "--delete", "--sidecars", "move")[1]
    assert "go to the trash" in invoke("apply", store, "--symlink", "--sidecars", "move")[1]
    assert invoke("apply", store, "--trash", "--sidecars", "all")[0] == 2
    code, output = invoke("apply", store, "--trash", "--sidecars", "move", "--yes-really")
    assert "1 file was" in output
    assert "8 sidecars went with them" in output
    code, output = invoke("undo", "--yes")
    assert code == 0
    assert (photos / "b.xmp").exists()
