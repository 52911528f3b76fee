"""Mistakes on the command line: one line, with the options of the command and the way out."""

import pytest
import zarr

import fastdiff_dask as fd
from fastdiff_dask.compat.run_state import RunState
from fastdiff_dask.project.options import NEEDLESS, RECORDED, Settings
from fastdiff_dask.project.saved_settings import read_settings
from fastdiff_dask.storage.schema import FORMAT, FORMAT_VERSION
from fastdiff_dask.testing import simulate_images


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """Folder of pictures and the store of their finished comparison."""
    folder = tmp_path_factory.mktemp("finished")
    simulate_images(folder / "photos", images=3, duplicates=1)
    fd.find_duplicates(folder / "photos", store=folder / "store", verbose=False)
    return folder


MISTAKES = {
    "no folder": (["find"], "Missing argument 'DIR...'; fastdiff-dask find --help shows how"),
    "one store": (["compare", "a"], "Missing argument 'STORE_B'; fastdiff-dask compare --help shows how"),
    "no command": (["foo"], "No such command 'foo'; fastdiff-dask --help shows how"),
    "no number": (
        ["find", "{0}/photos", "--threshold", "abc"],
        "not a valid float; fastdiff-dask find --help shows how",
    ),
    "gpu tasks": (
        ["find", "{0}/photos", "--gpu-tasks", "-2"],
        "--gpu-tasks -2 cannot be used; use a whole number from 0",
    ),
    "two ways": (
        ["find", "{0}/photos", "--in-memory", "--workers", "2"],
        "see no store in memory; leave out --in-memory or --workers",
    ),
    "both hashes": (
        ["find", "{0}/photos", "--only-matching-hash", "--skip-matching-hash"],
        "--only-matching-hash and --skip-matching-hash leave no pairs together; use one of them",
    ),
    "protect": (["report", "{0}/store", "--protect", "nothere"], "--protect names nothere, which is no folder"),
    "limit": (["report", "{0}/store", "--limit", "0"], "--limit 0 cannot be used; use a whole number from 1"),
    "ending": (
        ["export", "{0}/store", "{0}/pairs.xyz"],
        ".xyz, which is no format of a file; use .parquet, .csv, .json",
    ),
    "page": (["guide", "nothing"], "there are words, finding, thresholds"),
    "settings": (
        ["find", "{0}/photos", "--save-config", "{0}/photos/a.toml"],
        "a.toml would be among the pictures of",
    ),
    "no store": (["report", "{0}/photos"], "no store at "),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_told_with_the_way_out(run, finished, mistake):
    arguments, message = MISTAKES[mistake]
    code, out, err = run(*(one.format(finished) for one in arguments))
    assert (code, out) == (2, "")
    assert message in err
    assert err.count("\n") == 1
    assert not (finished / "pairs.xyz").exists()


@pytest.mark.parametrize(
    ("attributes", "message"),
    [
        (
            {"format": FORMAT, "format_version": FORMAT_VERSION + 1},
            f"has format {FORMAT_VERSION + 1} of a newer fastdiff_dask, .*; update fastdiff_dask to go on$",
        ),
        (
            {"format": FORMAT, "format_version": 1},
            "of a former fastdiff_dask, .*; name another STORE, or delete it and",
        ),
        ({"title": "mine"}, f"the Zarr group at .* is none of {FORMAT}; name another STORE$"),
    ],
)
def test_a_store_of_another_format(run, tmp_path, attributes, message):
    zarr.create_group(str(tmp_path / "store" / "arrays.zarr"), zarr_format=3, attributes=attributes)
    for command in ("status", "report", "apply"):
        code, _, err = run(command, tmp_path / "store")
        assert code == 2
        with pytest.raises(AssertionError, match=message):
            raise AssertionError(err.strip())


def test_the_default_store_may_lie_below_the_pictures(run, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / ".cache"))
    monkeypatch.chdir(tmp_path)
    simulate_images(tmp_path / "photos", images=2, duplicates=1)
    for _ in range(2):  # the second time the stores of both are below the pictures
        code, _, err = run("find", ".")
        assert (code, "3 images" in err) == (0, True), err
        code, _, err = run("difpy", "-D", ".", "-Z", "out", "-p", "false")
        assert code == 0, err
    (store,) = (tmp_path / ".cache").glob("fastdiff_dask/stores/*difpy*")
    (plain,) = set((tmp_path / ".cache" / "fastdiff_dask" / "stores").iterdir()) - {store}
    with fd.FastDifPy.from_store(plain) as db:
        assert len(db.pairs) == 1
    code, _, err = run("find", ".", "--store", "photos/store")
    assert (code, "inside the photo folder" in err) == (2, True)


def test_nothing_to_undo_is_said(run, finished, monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    code, out, _ = run("undo", "--list", finished / "store")
    assert (code, out) == (0, f"There is nothing to undo of {finished / 'store'}.\n")


def test_one_file_is_one_file(run, tmp_path):
    simulate_images(tmp_path / "photos", images=2, duplicates=0)
    (tmp_path / "photos" / "broken.jpg").write_bytes(b"no picture")
    _, out, _ = run("find", tmp_path / "photos", "--store", tmp_path / "store")
    assert "; 1 file could not be compared" in out


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("sl_mirror = 3", "sl_mirror=3 cannot be used; use true or false"),
        ("ignore_names = [3]", r"ignore_names=\[3\] cannot be used; use a text or a list of texts"),
        ("sl_match_aspect_by = 0.5", "sl_match_aspect_by=0.5 cannot be used; use 0"),
        ("fl_cpu_proc = 0", "fl_cpu_proc=0 cannot be used; use a whole number from 1"),
        ("retry_limit = 3", f"retry_limit is of no use here: {NEEDLESS['retry_limit']}; leave it out"),
        ('state = "init"', "state is no setting: it is read from the store, as db.config.state; leave it out"),
        ("a b", "are no TOML: .*; write lines such as similarity_threshold = 200"),
    ],
)
def test_mistakes_in_a_file_of_settings(tmp_path, line, message):
    (tmp_path / "s.toml").write_text(line)
    with pytest.raises(fd.UsageError, match=message):
        read_settings(tmp_path / "s.toml")


def test_values_that_are_read_from_the_store_are_those_of_the_state():
    known = {name for name, value in vars(RunState).items() if isinstance(value, property)}
    assert known - vars(Settings).keys() - {"images"} == RECORDED - vars(Settings).keys()
    assert not RECORDED & Settings.__dataclass_fields__.keys()
