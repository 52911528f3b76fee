"""One file: a collection compared with it, and its own copies alone, whether it lies in the collection or not."""

import json
import os
import re
import shutil
from pathlib import Path

import pytest
from support.command_line import invoke
from support.removals import SIZE, contents, picture, project, save

import fastdiff_dask as fd

SHARED = Path(__file__).parents[3] / "shared" / "photos"


@pytest.fixture
def photos(tmp_path) -> Path:
    """Two pictures with copies, one alone."""
    folder = tmp_path / "photos"
    for number, name in enumerate(("a.png", "sub/a copy.png", "sub/a more.png", "b.png", "b copy.png", "alone.png")):
        save(folder / name, picture({"a": 1, "b": 2}.get(Path(name).name[0] if "alone" not in name else "", 3)), number)
    save(tmp_path / "elsewhere" / "x.png", picture(1, size=16))
    save(tmp_path / "elsewhere" / "other.png", picture(2))
    return folder


def names(paths) -> set[str]:
    return {Path(path).name for path in paths}


def find(tmp_path, *folders, **options) -> fd.Result:
    options = {"store": tmp_path / "store", "verbose": False, "threshold": 30.0, **SIZE, **options}
    return fd.find_duplicates(*folders, **options)


def test_a_collection_is_compared_with_a_file(tmp_path, photos, client):
    file = tmp_path / "elsewhere" / "x.png"
    result = find(tmp_path, photos, file, client=client)
    assert set(result.pairs.b) == {str(file)}
    assert names(result.pairs.a) == {"a.png", "a copy.png", "a more.png"}
    assert result.files["compared"] == 7
    assert result.settings["directories_b"] == [str(file)]
    # again: nothing is read; another content is
    with fd.FastDifPy(photos, file, store=tmp_path / "store", client=client, verbose=False, **SIZE) as db:
        assert db.index_the_dirs().unchanged == 7
    save(file, picture(2, size=16))
    assert names(find(tmp_path, photos, file, client=client).pairs.a) == {"b.png", "b copy.png"}
    with fd.FastDifPy.from_store(tmp_path / "store", client=client) as db:
        assert names(db.result().pairs.b) == {"x.png"}


def test_several_files_are_a_side_and_have_no_pairs_of_their_own(tmp_path, photos, client, monkeypatch):
    shutil.copy2(tmp_path / "elsewhere" / "x.png", tmp_path / "elsewhere" / "x 2.png")
    monkeypatch.chdir(tmp_path / "elsewhere")
    result = find(tmp_path, photos, ["x.png", "x 2.png", "x.png"], client=client)
    assert set(result.pairs.b) == {"x.png", "x 2.png"}
    assert len(result.pairs) == 6
    odd = os.fsdecode(b"odd name.bin")
    shutil.copy2("x.png", odd)  # whoever names a file means it, whatever its ending is
    assert set(find(tmp_path, photos, odd, client=client, store=tmp_path / "s").pairs.b) == {odd}


def test_a_file_and_a_folder_are_one_side(tmp_path, photos, client):
    (tmp_path / "more").mkdir()
    shutil.copy2(tmp_path / "elsewhere" / "other.png", tmp_path / "more" / "y.png")
    result = find(tmp_path, photos, [tmp_path / "elsewhere" / "x.png", tmp_path / "more"], client=client)
    assert names(result.pairs.b) == {"x.png", "y.png"}


def test_the_file_can_be_removed_for_its_copy_and_comes_back(tmp_path, photos, client):
    file = tmp_path / "elsewhere" / "x.png"
    save(file, picture(1))
    before = contents(tmp_path / "photos", tmp_path / "elsewhere")
    assert find(tmp_path, photos, file, client=client).pair_count == 3
    for keep_tree in ((), ("--keep-tree",)):
        code, said = invoke(
            "apply", tmp_path / "store", "--move", tmp_path / "gone", *keep_tree, "--yes-really", "--include", "similar"
        )
        assert code == 0, said
        assert [path.name for path in (tmp_path / "gone").iterdir()] == ["x.png"]
        assert invoke("undo", "--yes")[0] == 0
        assert contents(tmp_path / "photos", tmp_path / "elsewhere") == before
    assert invoke("report", tmp_path / "store", "-o", tmp_path / "report.html")[0] == 0


@pytest.mark.parametrize(
    ("file", "said"),
    [
        ("photos/a.png", "the same or one is inside the"),
        ("nothing.png", "no folder"),
        ("photos/../photos/a.png", "the same or one is inside the"),
    ],
)
def test_a_file_that_cannot_be_a_side_is_refused(tmp_path, photos, file, said):
    with pytest.raises(fd.UsageError, match=said):
        find(tmp_path, photos, tmp_path / file)


def test_the_copies_of_a_file_of_the_collection(tmp_path, photos, client, monkeypatch):
    result = find(tmp_path, photos, client=client, like=photos / "sub" / "a copy.png")
    assert {frozenset(names(pair)) for pair in zip(result.pairs.a, result.pairs.b, strict=True)} == {
        frozenset({"a copy.png", "a.png"}),
        frozenset({"a copy.png", "a more.png"}),
    }
    assert [len(one.low_quality) for one in result.clusters] == [2]
    assert result.stats["pairs"] == len(result.pairs) == 2
    assert result.files["compared"] == 6
    # by another way to it, and by the result of a project
    (tmp_path / "link").symlink_to(photos)
    monkeypatch.chdir(tmp_path)
    assert len(find(tmp_path, photos, client=client, like="link/b.png").pairs) == 1
    assert find(tmp_path, photos, client=client, like=photos / "alone.png").pairs.empty
    db = project(tmp_path, client)
    assert len(db.result().pairs) == 4
    assert len(db.result().like(str(photos / "b.png")).pairs) == 1


def test_the_copies_of_a_file_from_elsewhere(tmp_path, photos, client):
    file = tmp_path / "elsewhere" / "x.png"
    result = find(tmp_path, photos, client=client, like=file)
    assert {(Path(row.a).name, row.b) for row in result.pairs.itertuples()} == {
        ("a.png", str(file)),
        ("a copy.png", str(file)),
        ("a more.png", str(file)),
    }


def test_equal_files_and_a_file(tmp_path, photos):
    shutil.copy2(photos / "b.png", tmp_path / "elsewhere" / "b equal.png")
    result = find(tmp_path, photos, tmp_path / "elsewhere" / "b equal.png", identical=True)
    assert names(result.pairs.a) == {"b.png", "b copy.png"}
    result = find(tmp_path, photos, store=tmp_path / "s", identical=True, like=photos / "b.png")
    assert names(result.pairs.a) | names(result.pairs.b) == {"b.png", "b copy.png"}


def test_on_the_command_line(tmp_path, photos):
    out, options = tmp_path / "out.json", ("--thumbnail-size", "8x8", "--threshold", "30", "--store", tmp_path / "s")
    code, said = invoke("find", photos, "--like", photos / "b.png", "--json", out, *options)
    assert code == 0, said
    assert {Path(pair[end]).name for pair in json.loads(out.read_text())["pairs"] for end in "ab"} == {
        "b.png",
        "b copy.png",
    }
    # apply takes the whole result, or what is like a file alone
    code, said = invoke("apply", tmp_path / "s", "--like", photos / "b.png", "--include", "similar")
    assert code == 0, said
    assert "b copy.png" in said
    assert "a more.png" not in said
    assert "a more.png" in invoke("apply", tmp_path / "s", "--include", "similar")[1]
    file = tmp_path / "elsewhere" / "x.png"
    code, said = invoke("find", photos, "--against", file, "--json", out, *options[:4], "--store", tmp_path / "t")
    assert code == 0, said
    assert {pair["b"] for pair in json.loads(out.read_text())["pairs"]} == {str(file)}
    # the same by --like, from a file of settings
    written = ("--save-config", tmp_path / "s.toml", "--json", out, *options[:4], "--store", tmp_path / "u")
    assert invoke("find", photos, "--like", file, *written)[0] == 0
    assert {pair["b"] for pair in json.loads(out.read_text())["pairs"]} == {str(file)}
    assert invoke("find", "--config", tmp_path / "s.toml", "--json", out, "--store", tmp_path / "u")[0] == 0
    assert {pair["b"] for pair in json.loads(out.read_text())["pairs"]} == {str(file)}


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--like", "nothing.png"), "--like names .*nothing.png, which is no file"),
        (("--like", "photos"), "--like names .*photos, which is no file"),
        (("--like", "photos/notes.txt"), "--like names .*notes.txt, which is none of the images"),
        (("--like", "elsewhere/x.png", "--against", "elsewhere/other.png"), "lies in neither collection"),
    ],
)
def test_a_file_that_has_no_copies_to_be_looked_for_is_refused(tmp_path, photos, monkeypatch, options, said):
    monkeypatch.chdir(tmp_path)
    (photos / "notes.txt").write_text("text")
    code, text = invoke("find", photos, *options, "--store", tmp_path / "store")
    assert code != 0
    assert re.search(said, text), text


@pytest.mark.skipif(not SHARED.is_dir(), reason="the real photos are not on this machine")
def test_on_real_photos_both_ways_agree_with_the_whole_result(tmp_path, client):
    shutil.copytree(SHARED, tmp_path / "photos")
    every = fd.find_duplicates(tmp_path / "photos", store=tmp_path / "store", client=client, verbose=False)
    path = every.pairs.a[0]
    pairs = {pair for pair in zip(every.pairs.a, every.pairs.b, strict=True) if path in pair}
    like = fd.find_duplicates(tmp_path / "photos", store=tmp_path / "store", client=client, verbose=False, like=path)
    assert set(zip(like.pairs.a, like.pairs.b, strict=True)) == pairs
    elsewhere = shutil.move(path, tmp_path / f"moved{Path(path).suffix}")
    against = fd.find_duplicates(tmp_path / "photos", elsewhere, store=tmp_path / "s", client=client, verbose=False)
    assert set(against.pairs.a) == {end for pair in pairs for end in pair} - {path}
