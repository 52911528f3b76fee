"""Stores by their folders, the list of stores, and how one is removed."""

import json
import shutil
from pathlib import Path

import pytest

import fastdiff_dask as fd
from fastdiff_dask.actions.decisions import FORMAT
from fastdiff_dask.errors import UsageError
from fastdiff_dask.project.locations import store_of
from fastdiff_dask.review.marks import Marks
from fastdiff_dask.storage.store import Store
from fastdiff_dask.testing import simulate_images


@pytest.fixture
def found(run, tmp_path, simulated, monkeypatch) -> Path:
    """Store of a find over ``photos`` in the current folder."""
    monkeypatch.chdir(tmp_path)
    code, _, err = run("find", "photos")
    assert code == 0, err
    (store,) = (tmp_path / "cache" / "fastdiff_dask" / "stores").iterdir()
    return store


LOOKS = {
    "status": ["status"],
    "report": ["report", "-o", "r.html"],
    "apply": ["apply"],
    "decisions": ["decisions"],
    "calibrate": ["calibrate", "--sample", "2"],
    "undo": ["undo", "--list"],
}


@pytest.mark.parametrize("command", LOOKS)
def test_a_folder_leads_to_its_store(run, found, command):
    code, out, err = run(*LOOKS[command], "photos")
    assert (code, err) == (0, "")
    assert out


@pytest.mark.parametrize("command", [name for name in LOOKS if name != "undo"])
def test_nothing_means_the_last_store_and_says_which(run, found, command):
    code, _, err = run(*LOOKS[command])
    assert (code, err) == (0, f"Store: {found} (the last one used)\n")


def test_a_target_or_a_truth_comes_after_the_store(run, found, tmp_path):
    for words in (["export", "photos", "one.csv"], ["export", str(found), "one.csv"], ["export", "one.csv"]):
        assert run(*words)[0] == 0
        assert Path("one.csv").read_text().count("\n") == 6
        Path("one.csv").unlink()
    Path("truth.csv").write_text("a,b\ncopy_00000.jpg,picture_00000.jpg\n")
    for words in (["evaluate", "photos", "truth.csv"], ["evaluate", "truth.csv"]):
        assert run(*words)[0] == 0


def test_a_forgotten_target_is_not_the_folder_that_was_searched(run, found):
    for words in (["export", "photos"], ["export", str(found)]):
        code, _, err = run(*words)
        assert code == 2
        assert err.splitlines()[-1].endswith(f"no place for tables; add a target: export {words[1]} pairs.csv")


def test_a_mistake_in_a_command_of_a_group_names_its_help(run):
    code, _, err = run("stores", "remove")
    assert code == 2
    assert err.endswith("; fastdiff-dask stores remove --help shows how\n")


def test_decisions_go_by_the_result_that_was_marked(run, found, tmp_path):
    """And not by another one that was looked at since."""
    store = Store(str(found))
    pairs = json.loads(run("find", "photos", "--json", "-")[1])["pairs"]
    far = max(pairs, key=lambda pair: pair["mse"])
    assert far["mse"] > 0
    images = fd.FastDifPy.from_store(store.url).result().images
    path = str(tmp_path / far["b"])
    marks = [{"image": int(images.image[far["b"]]), "path": path, "mark": "remove"}]
    content = {"format": FORMAT, "marks": marks, "not_duplicates": []}
    Path("d.json").write_text(json.dumps(content | {"threshold": 200.0}))
    assert run("find", "photos", "--threshold", "0")[0] == 0
    assert "1 image could be removed" in run("apply", "photos", "--decisions", "d.json")[1]
    assert run("find", "photos", "--threshold", "0")[0] == 0
    Path("d.json").write_text(json.dumps(content))  # of an earlier version
    assert "1 image could be removed" not in run("apply", "photos", "--decisions", "d.json")[1]
    Path("d.json").write_text(json.dumps(content | {"threshold": True}))
    code, _, err = run("apply", "photos", "--decisions", "d.json")
    assert (code, "True is no threshold" in err) == (2, True)
    Path("d.json").write_text(json.dumps(content | {"threshold": -1}))  # as inner products of vectors may have
    code, _, err = run("apply", "photos", "--decisions", "d.json")
    assert (code, "--threshold -1.0 cannot be used" in err) == (2, True), err


def test_the_last_one_is_that_which_was_looked_at_last(run, found, tmp_path):
    simulate_images(tmp_path / "more", images=2, duplicates=1)
    assert run("find", "more", "--store", "other")[0] == 0
    assert store_of() == str(tmp_path / "other")
    assert run("status", "photos")[0] == 0
    assert store_of() == str(found)
    shutil.rmtree(found)
    assert store_of() == str(tmp_path / "other")  # one that is gone does not count


def test_a_store_at_another_place_is_found_by_its_folder(run, tmp_path, simulated, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run("find", "photos", "--store", "mine")[0] == 0
    assert store_of("photos") == store_of("./photos/") == store_of(str(tmp_path / "photos")) == str(tmp_path / "mine")
    assert run("find", "photos")[0] == 0
    code, out, err = run("status", "photos")
    assert (code, out) == (2, "")
    assert "photos belongs to 2 stores, name one of them: " in err
    assert str(tmp_path / "mine") in err
    assert run("status", "mine")[0] == 0


def test_folders_that_were_searched_together(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("one", "two", "three", "four"):
        simulate_images(tmp_path / name, images=2, duplicates=1)
    assert run("find", "one", "two")[0] == 0
    assert run("find", "three", "--against", "four")[0] == 0
    assert store_of(["two", "one"]) == store_of("one")
    assert store_of("three") == store_of("four") == store_of(["three", "four"]) != store_of("one")
    with pytest.raises(UsageError, match="no store at one three"):
        store_of(["one", "three"])
    assert run("find", "one")[0] == 0
    assert store_of("one") != store_of(["one", "two"])  # its own store goes before one of several folders


def test_folders_may_be_gone(run, found, tmp_path):
    (tmp_path / "photos").rename(tmp_path / "elsewhere")
    assert store_of("photos") == str(found)


WRONG = {
    "a folder that was not searched": ("unknown", "find has not searched it yet; fastdiff-dask find unknown does"),
    "a folder within": ("photos/within", "which it is in; name that"),
    "nothing at all": ("nowhere", "no store at "),
    "no name": ("", "the name of a store is empty"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_is_no_store_is_refused_in_one_line(run, found, tmp_path, case):
    for name in ("unknown", "photos/within"):
        (tmp_path / name).mkdir()
    argument, message = WRONG[case]
    code, out, err = run("status", argument)
    assert (code, out) == (2, "")
    assert message in err
    assert len(err.splitlines()) == 1


def test_damaged_records_and_an_unwritable_folder_of_them_change_nothing(run, found, tmp_path, monkeypatch):
    folder = tmp_path / "data" / "fastdiff_dask" / "stores"
    for number, text in enumerate(("", "[]", '{"store": 1}', '{"store": "x", "folders": {"a": 3}}')):
        (folder / f"{number}.json").write_text(text)
    assert store_of("photos") == str(found)
    shutil.rmtree(folder)
    folder.write_text("a file")
    assert store_of("photos") == str(found)  # found by the cache
    assert run("find", "photos")[0] == 0


def test_two_stores_are_compared_by_their_folders(run, found, tmp_path):
    simulate_images(tmp_path / "more", images=3, duplicates=1)
    assert run("find", "more", "--store", "other")[0] == 0
    code, out, _ = run("compare", "photos", "more", "--json", "-")
    assert code == 0
    assert json.loads(out)["stats"]["images"] == 21


def test_runs_from_python_count_as_well(tmp_path, simulated):
    fd.find_duplicates(tmp_path / "photos", store=tmp_path / "mine", verbose=False)
    assert store_of() == store_of(str(tmp_path / "photos")) == str(tmp_path / "mine")


def test_stores_of_difpy_are_not_meant_by_a_folder(run, found, tmp_path):
    assert run("difpy", "-D", "photos", "-Z", "out", "-p", "false")[0] == 0
    assert store_of("photos") == store_of() == str(found)


# -- the list, and removal ---------------------------------------------------------------------------------------------


def test_the_list_of_stores(run, found, tmp_path):
    code, out, _ = run("stores")
    assert code == 0
    first, second, third, last = out.splitlines()
    assert first == str(tmp_path / "photos")
    assert second.startswith("  17 images, ")
    assert second.endswith(", compared")
    assert third == f"  {found}"
    assert last.startswith("1 store, ")
    (one,) = json.loads(run("stores", "--json")[1])
    assert one["images"] == 17
    assert one["bytes"] == sum(path.stat().st_size for path in found.rglob("*") if path.is_file())
    assert one["folders"] == {"a": [str(tmp_path / "photos")], "b": []}


def test_the_list_tells_of_unfinished_and_unreadable_stores(run, found, tmp_path):
    next(found.glob("arrays.zarr/comparisons/*/generations-0-1/compared/c.*")).unlink()
    assert "comparison not finished" in run("stores")[1]
    next(found.glob("arrays.zarr/thumbnails/c.*")).unlink()
    assert "17 images not read yet" in run("stores")[1]
    (found / "arrays.zarr" / "zarr.json").write_text("{}")
    code, out, _ = run("stores")
    assert code == 0
    assert "cannot be read: " in out


def test_without_a_store_the_list_says_so(run):
    assert run("stores") == (0, "There are no stores yet; fastdiff-dask find DIR makes one.\n", "")


def test_a_store_is_removed_and_no_picture(run, found, tmp_path):
    before = {path: path.read_bytes() for path in (tmp_path / "photos").rglob("*.jpg")}
    assert run("calibrate", "--sample", 2, "photos")[0] == 0
    assert run("find", "photos", "--edited", "--diff-plots", found / "plots")[0] == 0
    code, out, err = run("stores", "remove", "photos")
    assert code == 2
    assert "nothing was removed: 1 store, see above; --yes removes" in err
    assert "17 images" in out
    assert Store.exists(str(found))
    assert run("stores", "remove", "photos", "--yes") == (0, f"Removed: {found}\n", "")
    assert not found.exists()
    assert {path: path.read_bytes() for path in (tmp_path / "photos").rglob("*.jpg")} == before
    assert run("status")[0] == 2
    assert run("find", "photos")[0] == 0


def test_a_store_that_was_reviewed_is_removed(run, found):
    Marks(Store(str(found))).set({0: "keep"}, {0: "abc"})
    assert any((found / "marks").iterdir())
    assert run("stores", "remove", "photos", "--yes")[0] == 0
    assert not found.exists()


def test_a_folder_means_its_own_store_rather_than_one_of_two(run, found, tmp_path):
    simulate_images(tmp_path / "more", images=2, duplicates=1)
    assert run("find", "more")[0] == 0
    assert run("find", "photos", "--against", "more")[0] == 0
    assert run("compare", "photos", "more")[0] == 0
    assert store_of("photos") == str(found)


def test_a_store_among_other_files_stays(run, found, tmp_path):
    for name in ("mine.jpg", "plots/holiday.png", "arrays.zarr/mine.txt"):
        (found / name).parent.mkdir(exist_ok=True)
        (found / name).write_text("mine")
        files = sorted(found.rglob("*"))
        code, _, err = run("stores", "remove", found, "--yes")
        assert code == 2
        assert f"1 file in {found} of which no store has any, such as {name}; nothing was removed" in err
        assert sorted(found.rglob("*")) == files
        (found / name).unlink()


@pytest.mark.parametrize("what", ["photos", "nowhere", "foreign"])
def test_what_is_no_store_is_not_removed(run, tmp_path, simulated, monkeypatch, what):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "foreign" / "arrays.zarr").mkdir(parents=True)
    (tmp_path / "foreign" / "arrays.zarr" / "zarr.json").write_text('{"zarr_format": 3, "node_type": "group"}')
    before = sorted(tmp_path.rglob("*"))
    code, _, err = run("stores", "remove", what, "--yes")
    assert code == 2
    assert len(err.splitlines()) == 1
    assert sorted(tmp_path.rglob("*")) == before
    assert run("stores", "remove")[0] == 2


def test_of_several_stores_none_is_removed_if_one_cannot_be(run, found, tmp_path):
    code, _, _ = run("stores", "remove", found, tmp_path / "nowhere", "--yes")
    assert code == 2
    assert Store.exists(str(found))


def test_a_store_that_is_written_is_not_removed(run, found):
    with Store.lock(str(found)):
        code, _, err = run("stores", "remove", found, "--yes")
    assert code == 1
    assert "is being written" in err
    assert Store.exists(str(found))


def test_a_removal_that_was_stopped_goes_on(run, found, monkeypatch):
    from fastdiff_dask.storage.files import Files

    removed = []

    def stops(self, name, remove=Files.remove):
        if len(removed) == 5:
            raise OSError(5, "Input/output error")
        removed.append(name)
        remove(self, name)

    with monkeypatch.context() as patch:
        patch.setattr(Files, "remove", stops)
        assert run("stores", "remove", found, "--yes")[0] == 1
    assert found.exists()
    assert run("stores", "remove", found, "--yes")[0] == 0
    assert not found.exists()


def test_a_folder_in_place_of_a_command_is_understood(run, tmp_path, simulated, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, out, err = run("photos", "--mirror")
    assert (code, out) == (2, "")
    assert "did you mean fastdiff-dask find photos --mirror ?" in err
    assert "No such command 'pictures'" in run("pictures")[2]
