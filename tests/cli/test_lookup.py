"""The command ``lookup``: what it prints, exit codes, mistakes."""

import json
import shutil
from pathlib import Path

import pytest
from PIL import Image

import fastdiff_dask as fd
from fastdiff_dask.testing import simulate_images


@pytest.fixture(scope="module")
def asked(tmp_path_factory, client):
    """A store, a file that it has, one that it has not, and one that is no picture."""
    folder = tmp_path_factory.mktemp("asked")
    simulate_images(folder / "photos", images=5, duplicates=0)
    first = sorted((folder / "photos").iterdir())[0]
    with Image.open(first) as image:
        image.rotate(180).save(folder / "again.png")
    Image.new("RGB", (40, 30), (250, 10, 10)).save(folder / "other.png")
    with Image.open(first) as image:
        image.resize((60, 40)).save(folder / "small.jpg", quality=50)
    (folder / "text.jpg").write_text("no picture")
    db = fd.FastDifPy(folder / "photos", store=folder / "store", client=client, verbose=False)
    db.index_the_dirs()
    db.first_loop_iteration()
    return folder, first


def test_a_picture_that_is_there_is_exit_code_0(run, asked):
    folder, first = asked
    code, out, err = run("lookup", folder / "store", folder / "again.png")
    assert (code, err) == (0, "")
    one, two = out.splitlines()
    assert one == f"{folder / 'again.png'}: in the archive"
    assert two.startswith(f"  same picture   {first}  (difference (MSE) ")
    assert two.endswith(", turned 180°)")


def test_a_picture_that_is_not_there_is_exit_code_3(run, asked):
    folder, _ = asked
    code, out, err = run("lookup", folder / "store", folder / "again.png", folder / "other.png")
    assert (code, err) == (3, "")
    assert out.splitlines()[-1] == f"{folder / 'other.png'}: not in the archive"


def test_a_file_that_cannot_be_read_is_exit_code_1_and_the_others_are_looked_up(run, asked):
    folder, first = asked
    code, out, err = run("lookup", folder / "store", folder / "text.jpg", folder / "missing.jpg", first)
    assert code == 1
    assert err == "fastdiff-dask: some files could not be read, see above\n"
    assert [line.split(": ")[1] for line in out.replace("itself:", "itself").splitlines()[:3]] == [
        "not looked up",
        "not looked up",
        "a file of the archive itself",
    ]
    assert out.splitlines()[-1] == f"  same file      {first}  (the file itself)"


def test_json_is_a_line_a_file(run, asked, tmp_path):
    folder, first = asked
    files = [folder / "again.png", folder / "other.png", folder / "text.jpg"]
    code, out, _ = run("lookup", folder / "store", *files, "--json", "-")
    assert code == 1
    rows = [json.loads(line) for line in out.splitlines()]
    assert [row["file"] for row in rows] == [str(file) for file in files]
    assert [row["in_archive"] for row in rows] == [True, False, None]
    assert rows[0]["images"][0] | {"mse": 0} == {
        **{"path": str(first), "verdict": "same picture", "mse": 0, "rotation": 180, "mirrored": False, "image": 0},
        **{"itself": False, "lacks": []},
    }
    code, printed, _ = run("lookup", folder / "store", *files, "--json", tmp_path / "out.jsonl")
    assert (tmp_path / "out.jsonl").read_text() == out
    assert printed.startswith(f"{files[0]}: in the archive")


def test_options_limit_what_is_listed(run, asked):
    folder, first = asked
    far = json.loads(run("lookup", folder / "store", first, "--threshold", "1e6", "-k", "3", "--json", "-")[1])
    assert len(far["images"]) == 3
    assert far["images"][0]["verdict"] == "same file"
    code, out, _ = run("lookup", folder / "store", folder / "small.jpg", "--threshold", "0")
    assert (code, out) == (3, f"{folder / 'small.jpg'}: not in the archive\n")


def test_a_folder_that_was_searched_stands_for_its_store(run, tmp_path, simulated, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run("find", "photos")[0] == 0
    name = sorted(Path("photos").iterdir())[0]
    code, out, _ = run("lookup", "photos", name)
    assert code == 3
    assert "the file itself" in out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["STORE"], "no file to look up; name one or more after the store"),
        (["STORE", "FILE", "-k", "0"], "-k 0 cannot be used"),
        (["STORE", "FILE", "--threshold", "-1"], "--threshold -1.0 cannot be used"),
        (["STORE", "FILE", "--json", "FILE"], "the file for JSON is one of those to look up"),
        (["STORE", "FILE", "--json", "/nowhere/out.jsonl"], "/nowhere/out.jsonl cannot be written: No such file"),
        (["/nowhere", "FILE"], "no store at /nowhere"),
        ([], "Missing argument 'STORE'"),
    ],
)
def test_mistakes_are_told_in_a_line(run, asked, words, said):
    folder, first = asked
    content = first.read_bytes()
    names = {"STORE": str(folder / "store"), "FILE": str(first)}
    code, out, err = run("lookup", *(names.get(word, word) for word in words))
    assert (code, out) == (2, "")
    assert said in err
    assert err.count("\n") == 1
    assert first.read_bytes() == content


def test_a_store_whose_thumbnails_are_gone(run, asked, tmp_path):
    folder, first = asked
    shutil.copytree(folder / "store", tmp_path / "store")
    fd.FastDifPy.from_store(tmp_path / "store", verbose=False).clean_up(db=False, config=False)
    code, _, err = run("lookup", tmp_path / "store", first)
    assert code == 2
    assert "find makes them again" in err
