"""The command line, mostly within this process: output, exit codes, and that every option does something."""

import csv
import gzip
import io
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import distributed
import numpy as np
import pytest
from PIL import Image
from support.command_line import on_terminal
from support.edited_pairs import a_photo

import fastdiff_dask
from fastdiff_dask.images.decoder_pool import close_readers
from fastdiff_dask.storage.arrays import ImageArrays
from fastdiff_dask.storage.store import Store
from fastdiff_dask.testing import make_edited_copy, simulate_images


def json_of(path: Path) -> dict:
    return json.loads(path.read_text())


def test_find_again_and_status(run, tmp_path, simulated, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("fastdiff_dask.tasks.plan_part.SUB_BLOCK", 4)
    code, out, err = run("find", "photos", "--json", "first.json", "--block-size", 4)
    assert code == 0
    assert "17 images, 136 pairs compared" in out
    assert "5 similar pairs in 5 groups; 5 images could be removed, " in out
    assert "Next:" not in out  # what to do next is for a terminal
    assert all(str(path.relative_to(tmp_path)) in out for path in simulated.duplicates)
    assert "Dashboard: http://127.0.0.1:" in err
    assert "images/s" not in err  # a progress bar is for a terminal
    store = next(line.removeprefix("Store: ") for line in err.splitlines() if line.startswith("Store: "))
    assert Path(store).is_relative_to(tmp_path / "cache")

    code, out, err = run("find", "photos", "--json", "second.json", "--block-size", 4)
    assert code == 0
    assert "Dashboard" not in err  # nothing to run
    first, second = json_of(tmp_path / "first.json"), json_of(tmp_path / "second.json")
    assert second.pop("stats")["tiles_resumed"] == first.pop("stats")["tiles"] == 6
    assert json.dumps(first) == json.dumps(second)
    assert list(first) == ["format", "settings", "pairs", "clusters", "errors", "files", "links"]
    assert list(first["pairs"][0]) == ["a", "b", "mse", "rotation", "verdict"]
    assert list(first["clusters"][0]) == ["keep", "low_quality"]
    assert first["pairs"][0]["a"].startswith("photos/")

    code, out, _ = run("status", store)
    assert code == 0
    assert "5 of 5 blocks of 4 are done" in out
    assert "6 of 6 tiles are done; 136 pairs of different thumbnails compared, 5 similar" in out
    assert "(· left); compared by signatures ░ 3, candidates ▒ 3:\n    ▒░░\n     ▒▒\n      ░\n" in out


def test_status_of_a_job_that_stopped_halfway(run, tmp_path, simulated, monkeypatch):
    monkeypatch.setattr("fastdiff_dask.tasks.plan_part.SUB_BLOCK", 4)
    store = tmp_path / "store"
    assert run("find", tmp_path / "photos", "--store", store, "--block-size", 4)[0] == 0
    next(store.glob("arrays.zarr/comparisons/*/generations-0-1/compared/c.4.0")).unlink()
    (store / "arrays.zarr" / "thumbnails" / "c.1.0.0.0").unlink()
    _, out, _ = run("status", store)
    assert "4 of 5 blocks of 4 are done, 4 images are left" in out
    assert "5 of 6 tiles are done" in out
    assert out.count("·") == 2  # the legend, and one tile


@pytest.mark.parametrize(("images", "message"), [(0, "0 images found"), (1, "1 image found")])
def test_nothing_to_compare_is_a_normal_end(run, tmp_path, images, message):
    simulate_images(tmp_path / "photos", images=images, duplicates=0)
    code, out, _ = run("find", tmp_path / "photos", "--json", tmp_path / "out.json")
    assert code == 0
    assert f"{message}: nothing to compare" in out
    assert json_of(tmp_path / "out.json")["pairs"] == []


def test_unreadable_images_are_listed_and_not_fatal(run, tmp_path, simulated):
    (tmp_path / "photos" / "bad\x1b[31m\n.jpg").write_text("no picture")
    code, out, _ = run("find", tmp_path / "photos", "--json", tmp_path / "out.json")
    assert code == 0
    assert "bad\\x1b[31m\\n.jpg: UnidentifiedImageError" in out
    assert "1 file could not be compared" in out
    assert json_of(tmp_path / "out.json")["errors"][0]["path"].endswith("bad\x1b[31m\n.jpg")


def test_names_in_the_table_are_text(run, tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    for name in (b"[red]x.png", b"\xff.png"):
        Image.new("RGB", (9, 9)).save(folder / os.fsdecode(name))
    code, out, _ = run("find", folder)
    assert code == 0
    assert "[red]x.png" in out
    assert "\\udcff.png" in out


def test_long_results_are_cut_on_the_terminal_only(run, tmp_path):
    simulate_images(tmp_path / "photos", images=60, duplicates=60, size=(100, 80))
    for number in range(25):
        (tmp_path / "photos" / f"bad{number}.jpg").touch()
    _, out, _ = run("find", tmp_path / "photos", "--json", tmp_path / "out.json")
    assert "… and 50 more groups with " in out
    assert "; --csv FILE or --json FILE writes all\n" in out
    assert "… and 5 more errors" in out
    assert len(json_of(tmp_path / "out.json")["clusters"]) == 60


@pytest.mark.skipif(sys.platform == "win32", reason="there are no such terminals")
@pytest.mark.parametrize("columns", [80, 130])
def test_a_terminal_shows_names_below_their_folder_and_what_to_do_next(run, tmp_path, simulated, monkeypatch, columns):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos" / "long").mkdir()
    shutil.copy(simulated.originals[0], tmp_path / "photos" / "long" / f"{'x' * 90}.jpg")
    assert run("find", "photos")[0] == 0
    out = on_terminal("find", "photos", columns=columns)
    lines = out.splitlines()
    assert "in photos" in lines
    assert "picture_00001.jpg" in out
    assert "photos/picture_00001.jpg" not in out
    assert all(len(line) <= columns for line in lines if not line.startswith(("Store:", "Index:")))
    (long,) = [line for line in lines if "xxx" in line]
    assert long.startswith("long/xx")
    assert "xxx.jpg  " in long
    assert "…" in long
    following = out[out.index("Next:") :]
    for command in ("fastdiff-dask report photos", "fastdiff-dask apply photos --trash"):
        assert command in following
    (listed,) = re.findall(r"list at least (\d+) copies of ([\d.]+ .B); --yes", following)
    plan = run("apply", "photos", "--trash")[1]
    assert f"{listed[0]} images could be removed, {listed[1]}\n" in plan
    assert not re.search(r"[\d–]/s\b", out)  # no bar for a second


def test_a_stage_that_lasts_shows_a_bar(tmp_path, simulated):
    (tmp_path / "sitecustomize.py").write_text(
        "import time, fastdiff_dask.project.job as job\n"
        "def slow(*arguments, do=job.collect_result, **options):\n"
        "    time.sleep(2.5)\n"
        "    return do(*arguments, **options)\n"
        "job.collect_result = slow\n"
    )
    path = os.pathsep.join([str(tmp_path), str(Path(fastdiff_dask.__file__).parents[1])])
    assert "Collecting the result …" in on_terminal("find", tmp_path / "photos", "--no-verify", PYTHONPATH=path)


def test_pairs_for_programs(run, tmp_path, simulated, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run("find", "photos", "--json", "x.json", "--csv", "x.csv", "--jsonl", "x.jsonl")[0] == 0
    pairs = json_of(tmp_path / "x.json")["pairs"]
    with Path("x.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["a", "b", "mse", "rotation", "mirrored", "verdict"]
    lines = [json.loads(line) for line in Path("x.jsonl").read_text().splitlines()]
    for found in (rows, lines):
        assert [(one["a"], one["b"], float(one["mse"])) for one in found] == [
            (one["a"], one["b"], one["mse"]) for one in pairs
        ]
    for form in ("csv", "jsonl"):
        code, out, err = run("find", "photos", f"--{form}", "-")
        assert (code, out) == (0, Path(f"x.{form}").read_text())  # nothing but data
        assert "5 similar pairs" in err
    assert run("find", "photos", "--csv", "x.csv.gz")[0] == 0
    assert gzip.decompress(Path("x.csv.gz").read_bytes()).decode() == Path("x.csv").read_text()


@pytest.mark.parametrize("form", ["csv", "jsonl"])
def test_pairs_of_odd_names(run, tmp_path, form):
    folder = tmp_path / "photos"
    folder.mkdir()
    for name in (b'a,"b"\n}.png', b"\xff.png"):
        Image.new("RGB", (9, 9)).save(folder / os.fsdecode(name))
    code, out, _ = run("find", folder, f"--{form}", "-")
    assert code == 0
    if form == "csv":
        ((a, b),) = [(row["a"], row["b"]) for row in csv.DictReader(io.StringIO(out))]
        assert b == str(folder / "\ufffd.png")
    else:
        (line,) = out.splitlines()
        a, b = json.loads(line)["a"], json.loads(line)["b"]
        assert os.fsencode(b) == os.fsencode(folder) + b"/\xff.png"
    assert a == str(folder / 'a,"b"\n}.png')


ERRORS = {
    "two outputs": (["find", "{tmp}/photos", "--csv", "-", "--json", "-"], 2, "standard output can have one of"),
    "csv": (["find", "{tmp}/photos", "--csv", "{tmp}/no/out.csv"], 2, "make it first"),
    "other file": (["find", "{tmp}/photos", "--csv", "{tmp}/other/precious.txt"], 2, "is no CSV, and stays"),
    "no command": (["fnd"], 2, "No such command 'fnd'"),
    "no folder": (["find", "{tmp}/nothing"], 2, "no folder"),
    "no argument": (["find"], 2, "Missing argument 'DIR...'"),
    "a file": (["find", "{tmp}/photos/picture_00000.jpg"], 2, "is not a folder"),
    "unknown option": (["find", "{tmp}/photos", "--treshold", "3"], 2, "--threshold"),
    "negative": (
        ["find", "{tmp}/photos", "--threshold", "-1"],
        2,
        "--threshold -1.0 cannot be used; use a number",
    ),
    "nan": (["find", "{tmp}/photos", "--threshold", "nan"], 2, "--threshold nan cannot be used; use a number from 0"),
    "no number": (["find", "{tmp}/photos", "--threshold", "x"], 2, "'x' is not a valid float"),
    "nested": (["find", "{tmp}/photos", "--against", "{tmp}"], 2, "name separate folders"),
    "size": (["find", "{tmp}/photos", "--thumbnail-size", "big"], 2, "not of the form 64x64"),
    "half a size": (["find", "{tmp}/photos", "--thumbnail-size", "64x"], 2, "not of the form 64x64"),
    "small": (["find", "{tmp}/photos", "--thumbnail-size", "2"], 2, "from 8 to 1024"),
    "block": (
        ["find", "{tmp}/photos", "--block-size", "0"],
        2,
        "--block-size 0 cannot be used; use a whole",
    ),
    "time limit": (["find", "{tmp}/photos", "--time-limit", "-1"], 2, "--time-limit -1.0 cannot"),
    "pixel limit": (["find", "{tmp}/photos", "--pixel-limit", "0"], 2, "--pixel-limit 0 cannot"),
    "workers": (["find", "{tmp}/photos", "--workers", "0"], 2, "workers"),
    "extension": (["find", "{tmp}/photos", "--extension", "."], 2, "'.' is no ending of a file; write it as '.jpg'"),
    "json": (["find", "{tmp}/photos", "--json", "{tmp}/no/out.json"], 2, "make it first"),
    "json is a folder": (["find", "{tmp}/photos", "--json", "{tmp}"], 2, "is a folder"),
    "foreign store": (["find", "{tmp}/photos", "--store", "{tmp}/other"], 2, "a folder with other files"),
    "store in photos": (["find", "{tmp}/photos", "--store", "{tmp}/photos/x"], 2, "inside the photo folder"),
    "scheduler": (["find", "{tmp}/photos", "--scheduler", "tcp://127.0.0.1:9"], 2, "no Dask scheduler answers"),
    "scheduler address": (["find", "{tmp}/photos", "--scheduler", "nonsense://x"], 2, "is no address of a scheduler"),
    "scheduler file": (["find", "{tmp}/photos", "--scheduler-file", "{tmp}/no.json"], 2, "cannot be read"),
    "two schedulers": (["find", "{tmp}/photos", "--scheduler", "tcp://a", "--scheduler-file", "b"], 2, "two ways"),
    "workers elsewhere": (["find", "{tmp}/photos", "--scheduler", "tcp://a", "--workers", "2"], 2, "leave them out"),
    "threads elsewhere": (["find", "{tmp}/photos", "--scheduler-file", "a", "--threads", "2"], 2, "leave them out"),
    "threads": (["find", "{tmp}/photos", "--threads", "0"], 2, "threads"),
    "dashboard": (
        ["find", "{tmp}/photos", "--dashboard-address", "nonsense"],
        2,
        "--dashboard-address 'nonsense'",
    ),
    "store url": (["find", "{tmp}/photos", "--store", "nonsense://x"], 2, "no store can be kept"),
    "empty folder": (["find", ""], 2, "a name that is empty; name a place, . is"),
    "file url": (["find", "{tmp}/photos", "--store", "file://{tmp}/photos/x"], 2, "inside the photo folder"),
    "chain": (["find", "{tmp}/photos", "--store", "{tmp}/a::b"], 2, "no simple address"),
    "status": (["status", "{tmp}/photos"], 2, "no store at"),
    "dashboard of nothing": (["dashboard", "{tmp}/photos"], 2, "no store at"),
    "dashboard no argument": (["dashboard"], 2, "no store was used yet; name a folder that find has searched"),
    "report no folder": (["find", "{tmp}/photos", "--performance-report", "{tmp}/no/x.html"], 2, "make it first"),
    "report is a folder": (["find", "{tmp}/photos", "--performance-report", "{tmp}"], 2, "is a folder"),
    "gpu tasks": (["find", "{tmp}/photos", "--gpu-tasks", "-1"], 2, "--gpu-tasks -1 cannot be used"),
    "plot limit": (
        ["find", "{tmp}/photos", "--diff-plots", "{tmp}/d", "--plot-limit", "0"],
        2,
        "--plot-limit 0 cannot be used",
    ),
    "estimate no folder": (["estimate", "{tmp}/nothing"], 2, "no folder"),
    "estimate no argument": (["estimate"], 2, "Missing argument 'DIR...'"),
    "estimate sample": (["estimate", "{tmp}/photos", "--sample", "0"], 2, "--sample 0 cannot be used"),
    "estimate sample text": (["estimate", "{tmp}/photos", "--sample", "x"], 2, "'x' is not a valid int"),
    "estimate size": (["estimate", "{tmp}/photos", "--thumbnail-size", "big"], 2, "not of the form 64x64"),
    "estimate nested": (["estimate", "{tmp}/photos", "--against", "{tmp}"], 2, "name separate folders"),
    "estimate scheduler file": (["estimate", "{tmp}/photos", "--scheduler-file", "{tmp}/no.json"], 2, "cannot be read"),
    "estimate both": (["estimate", "{tmp}/photos", "--scheduler", "tcp://h:1", "--workers", "2"], 2, "leave them out"),
    "estimate workers": (["estimate", "{tmp}/photos", "--workers", "0"], 2, "--workers 0 cannot be used"),
    "estimate threads": (["estimate", "{tmp}/photos", "--threads", "0"], 2, "--threads 0 cannot be used"),
    "estimate scheduler": (["estimate", "{tmp}/photos", "--scheduler", "tcp://127.0.0.1:9"], 2, "no Dask scheduler"),
}


@pytest.mark.parametrize("case", ERRORS)
def test_mistakes_are_one_line_and_write_nothing(run, tmp_path, simulated, monkeypatch, case):
    monkeypatch.setattr("fastdiff_dask.runtime.connection._ANSWERS", 1)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "precious.txt").write_text("mine")
    before = sorted(tmp_path.rglob("*"))
    arguments, expected, message = ERRORS[case]
    code, out, err = run(*(argument.format(tmp=tmp_path) for argument in arguments))
    assert (code, out) == (expected, "")
    assert message in err
    assert err.startswith("fastdiff-dask: ")
    assert len(err.splitlines()) == 1
    assert sorted(tmp_path.rglob("*")) == before


def test_a_store_of_other_settings_is_refused(run, tmp_path, simulated):
    options = ("find", tmp_path / "photos", "--store", tmp_path / "store")
    assert run(*options)[0] == 0
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "store" / "arrays.zarr").rglob("*")}
    code, _, err = run(*options, "--thumbnail-size", "32x16")
    assert code == 2
    assert "made with thumbnail settings 64×64, block_size 1024, now asked for 32×16, block_size 1024" in err
    assert before == {path: path.stat().st_mtime_ns for path in (tmp_path / "store" / "arrays.zarr").rglob("*")}


def test_a_store_that_is_being_written_is_refused(run, tmp_path, simulated):
    with Store.lock(str(tmp_path / "store")):
        code, _, err = run("find", tmp_path / "photos", "--store", tmp_path / "store")
    assert code == 1
    assert "is being written by process" in err.splitlines()[-1]


def test_a_full_disk_is_one_line(run, tmp_path, simulated, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Store, "write_partition", full)
    code, _, err = run("find", tmp_path / "photos", "--store", tmp_path / "store")
    assert code == 1
    assert "No space left on device" in err.splitlines()[-1]
    monkeypatch.undo()
    monkeypatch.setattr(ImageArrays, "write_images", full)
    code, _, err = run("find", tmp_path / "photos", "--store", tmp_path / "store")
    assert code == 1
    assert "No space left on device" in err.splitlines()[-1]


def found(run, tmp_path, *options) -> dict:
    out = tmp_path / "out.json"
    code, _, err = run("find", tmp_path / "photos", "--json", out, "--store", tmp_path / "s", *options)
    assert code == 0, err
    return json_of(out)


@pytest.mark.parametrize(("measure", "threshold"), [("ssim", 0.3), ("hamming", 6), ("phash-16", 24)])
def test_compare(run, tmp_path, simulated, measure, threshold):
    pytest.importorskip("skimage" if measure == "ssim" else "imagehash")
    result = found(run, tmp_path, "--compare", measure, "--threshold", threshold)
    assert result["settings"]["measure"] == measure
    assert list(result["pairs"][0]) == ["a", "b", "value", "rotation", "verdict"]
    assert len(result["pairs"]) == 5


@pytest.mark.parametrize(
    ("measure", "threshold"),
    [
        ("hamming", 6),
        ("dhash", 6),
        ("phash", 10),
        ("ahash", 2),
        ("whash", 2),
        ("phash-16", 40),
        ("dhash-32", 96),
        ("pdq", 31),
    ],
)
def test_each_hash_has_a_threshold_of_its_own(run, tmp_path, simulated, measure, threshold):
    pytest.importorskip("imagehash")
    result = found(run, tmp_path, "--compare", measure)
    assert result["settings"].items() >= {"measure": measure, "similarity_threshold": threshold}.items()
    assert len(result["pairs"]) >= 5


def test_an_unknown_hash_is_named_with_those_that_there_are(run, tmp_path, simulated):
    code, _, err = run("find", tmp_path / "photos", "--compare", "phash-9")
    assert code == 2
    assert "phash-9" in err
    assert "phash-16" in err
    assert len(err.strip().splitlines()) == 1


def test_performance_report(run, tmp_path, simulated):
    found(run, tmp_path, "--performance-report", tmp_path / "report.html")
    assert "compare-" in (tmp_path / "report.html").read_text()


def test_threshold(run, tmp_path, simulated):
    assert found(run, tmp_path, "--threshold", "0")["pairs"] == []
    everything = found(run, tmp_path, "--threshold", "1e6")
    assert len(everything["pairs"]) == 136
    assert everything["settings"]["similarity_threshold"] == 1e6


def test_where_no_steps_are_printed_none_are_looked_for(run, tmp_path, simulated, monkeypatch):
    """They take a plan of all that could be removed."""
    monkeypatch.setattr("fastdiff_dask.cli.find.next_steps", lambda *_: pytest.fail("steps were looked for"))
    code, out, _ = run("find", tmp_path / "photos", "--store", tmp_path / "s")
    assert (code, "Next:" in out) == (0, False)


def test_rotations_and_mirror(run, tmp_path):
    simulate_images(tmp_path / "photos", images=1, duplicates=0)
    path = tmp_path / "photos" / "picture_00000.jpg"
    with Image.open(path) as picture:
        picture.transpose(Image.Transpose.ROTATE_90).save(tmp_path / "photos" / "turned.png")
        picture.transpose(Image.Transpose.FLIP_TOP_BOTTOM).save(tmp_path / "photos" / "mirrored.png")
    (pair,) = found(run, tmp_path)["pairs"]
    assert pair["rotation"] == 90
    assert "mirrored" not in pair
    assert found(run, tmp_path, "--no-rotations")["pairs"] == []
    pairs = found(run, tmp_path, "--mirror")["pairs"]
    assert [pair["mirrored"] for pair in pairs] == [True, True, False]


def test_which_files(run, tmp_path):
    simulate_images(tmp_path / "photos", images=2, duplicates=0)
    simulate_images(tmp_path / "photos" / "sub", images=2, duplicates=0)
    Image.new("RGB", (9, 9)).save(tmp_path / "photos" / "x.png")

    def count(*options) -> int:
        return found(run, tmp_path, *options)["stats"]["images"]

    assert count() == 5
    assert count("--no-recursive") == 3
    assert count("--extension", ".png") == 1
    assert count("--extension", "png") == 1
    assert count("--extension", ".png", "--extension", ".JPG") == 5
    assert count("--ignore-name", "*_00001.*") == 3
    assert count("--ignore-path", tmp_path / "photos" / "sub") == 3
    assert found(run, tmp_path)["stats"]["images_read"] == 0  # back again without being read again


def test_every_file_is_counted_by_its_rule(run, tmp_path, simulated):
    photos = tmp_path / "photos"
    (photos / "bad.jpg").touch()
    (photos / "notes.txt").touch()
    (photos / "tmp").mkdir()
    (photos / "tmp" / "1.jpg").touch()
    os.link(simulated.originals[0], photos / "same.jpg")
    ignored = "3 ignored (1 another name of a listed file, 1 ignored name, 1 no image by its extension)"
    code, out, err = run("find", photos, "--store", tmp_path / "s", "--ignore-name", "tmp", "--json", tmp_path / "out")
    assert code == 0
    assert f"Index: 18 images (18 new, 0 changed), 0 vanished, {ignored}\n" in err
    assert f"21 files below the folders: 17 compared, 1 error, {ignored}\n" in out
    files = json_of(tmp_path / "out")["files"]
    assert files["found"] == files["compared"] + files["errors"] + sum(files["ignored"].values()) == 21
    assert f"Others:     {ignored}\n" in run("status", tmp_path / "s")[1]


def test_thumbnail_and_block_size(run, tmp_path, simulated):
    found(run, tmp_path, "--thumbnail-size", "16x32", "--block-size", "5")
    store = Store(str(tmp_path / "s"))
    assert store.arrays.thumbnails().shape == (20, 32, 16, 3)


def test_exact_decode(run, tmp_path):
    folder = tmp_path / "photos"
    simulate_images(folder, images=2, duplicates=0, size=(800, 600))
    found = []
    for name, options in (("fast", []), ("exact", ["--exact-decode"])):
        store = tmp_path / name
        assert run("find", folder, "--store", store, "--threshold", "100000", *options)[0] == 0
        found.append(Store(str(store)).arrays.read_thumbnails(0)[:2])
        with Image.open(folder / "picture_00000.jpg") as picture:
            plain = np.asarray(picture.resize((64, 64), Image.Resampling.BICUBIC))
        assert (found[-1][0] == plain).all() == (name == "exact")
    code, _, error = run("find", folder, "--store", tmp_path / "fast", "--exact-decode")
    assert code == 2
    assert "exact_decode" in error


def test_limits(run, tmp_path, simulated):
    Image.new("RGB", (200, 200)).save(tmp_path / "photos" / "large.png")
    command = ["find", tmp_path / "photos", "--json", tmp_path / "out.json"]
    assert run(*command, "--pixel-limit", "39999")[0] == 0
    assert [row["error"] for row in json_of(tmp_path / "out.json")["errors"]] == [
        "more than 39999 pixels; a higher pixel limit reads it"
    ]
    assert run(*command, "--pixel-limit", "40000")[0] == 0
    assert json_of(tmp_path / "out.json")["errors"] == []


def test_time_limit(run, tmp_path, simulated, monkeypatch):
    (tmp_path / "sitecustomize.py").write_text(
        "import time, PIL.Image as pillow\n"
        "def slow(*arguments, opened=pillow.open, **options):\n"
        "    time.sleep(1)\n"
        "    return opened(*arguments, **options)\n"
        "pillow.open = slow\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    (tmp_path / "few").mkdir()
    Image.new("RGB", (20, 20)).save(tmp_path / "few" / "a.png")
    command = ["find", tmp_path / "few", "--json", tmp_path / "out.json"]
    close_readers()
    try:
        assert run(*command, "--time-limit", "0.3")[0] == 0
        assert "took longer than 0.3 s" in json_of(tmp_path / "out.json")["errors"][0]["error"]
        assert run(*command, "--time-limit", "20")[0] == 0
    finally:
        close_readers()
    assert json_of(tmp_path / "out.json")["errors"] == []


def test_several_folders_and_against(run, tmp_path):
    for name in ("a", "b", "c"):
        simulate_images(tmp_path / name, images=2, duplicates=0)
    out = tmp_path / "out.json"
    assert run("find", tmp_path / "a", tmp_path / "b", "--json", out)[0] == 0
    assert len(json_of(out)["pairs"]) == 2
    assert run("find", tmp_path / "a", "--against", tmp_path / "b", "--against", tmp_path / "c", "--json", out)[0] == 0
    pairs = json_of(out)["pairs"]
    assert len(pairs) == 4
    assert all(pair["a"].startswith(str(tmp_path / "a")) for pair in pairs)
    assert json_of(out)["stats"]["pairs_compared"] == 8


def test_json_to_standard_output(run, tmp_path, simulated):
    code, out, err = run("find", tmp_path / "photos", "--json", "-")
    assert code == 0
    assert len(json.loads(out)["pairs"]) == 5
    assert "5 similar pairs" in err


def test_compressed_json(run, tmp_path, simulated):
    out = tmp_path / "found.json.gz"
    assert run("find", tmp_path / "photos", "--json", out)[0] == 0
    assert run("find", tmp_path / "photos", "--json", out)[0] == 0  # replaced
    found = json.loads(gzip.decompress(out.read_bytes()))
    assert len(found["pairs"]) == 5
    for content in (b"no compressed file", gzip.compress(b"no JSON"), gzip.compress(b"{}")[:9]):
        out.write_bytes(content)
        code, _, err = run("find", tmp_path / "photos", "--json", out)
        assert code == 2
        assert "is no JSON, and stays" in err
        assert out.read_bytes() == content


def test_json_that_does_not_list_all_pairs_says_where_they_are(run, tmp_path, simulated, monkeypatch):
    monkeypatch.setattr("fastdiff_dask.results.result._LISTED_PAIRS", 1)
    code, out, _ = run("find", tmp_path / "photos", "--json", tmp_path / "found.json")
    assert code == 0
    assert f"JSON: lists some of the 5 pairs, which connect the same images; all of them: {tmp_path}/found.pairs" in out
    assert (tmp_path / "found.pairs.parquet").exists()
    err = run("find", tmp_path / "photos", "--json", "-")[2]
    assert "all of them: `export STORE pairs.parquet`" in err


def test_json_into_a_pipe_and_through_a_link(run, tmp_path, simulated):
    os.mkfifo(tmp_path / "pipe")
    with subprocess.Popen(["cat", str(tmp_path / "pipe")], stdout=subprocess.PIPE) as reader:
        assert run("find", tmp_path / "photos", "--json", tmp_path / "pipe")[0] == 0
        assert reader.stdout is not None
        assert len(json.loads(reader.stdout.read())["pairs"]) == 5
    assert (tmp_path / "pipe").is_fifo()
    (tmp_path / "link").symlink_to("target.json")
    assert run("find", tmp_path / "photos", "--json", tmp_path / "link")[0] == 0
    assert (tmp_path / "link").is_symlink()
    assert len(json_of(tmp_path / "target.json")["pairs"]) == 5


def test_no_arguments_show_the_help(run):
    code, _, err = run()
    assert code == 2
    assert len(err.splitlines()) > 5


def test_quiet(run, tmp_path, simulated):
    assert run("find", tmp_path / "photos", "--quiet") == (0, "", "")


def test_workers_and_dashboard_address(run, tmp_path, simulated, monkeypatch):
    started = []
    original = distributed.LocalCluster.__init__

    def spy(self, *args, **options):
        started.append(options)
        original(self, *args, **options)

    monkeypatch.setattr(distributed.LocalCluster, "__init__", spy)
    code, _, err = run("find", tmp_path / "photos", "--threads", 3, "--dashboard-address", "127.0.0.2:0")
    assert code == 0
    assert started[0]["threads_per_worker"] == 3
    assert "Dashboard: http://127.0.0.2:" in err


def test_scheduler(run, tmp_path, simulated):
    with (
        distributed.LocalCluster(
            n_workers=1, threads_per_worker=2, dashboard_address="127.0.0.1:0", worker_dashboard_address="127.0.0.1:0"
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        code, out, err = run("find", tmp_path / "photos", "--scheduler", cluster.scheduler_address)
        assert code == 0
        assert "5 similar pairs" in out
        assert f"Dashboard: {cluster.dashboard_link}" in err  # where the work of the cluster is seen
        done = client.run_on_scheduler(lambda dask_scheduler: sorted(dask_scheduler.task_prefixes))
    assert done == ["commit", "compare", "leading", "plan", "thumbnail", "verify"]


def test_estimate(run, tmp_path, simulated):
    simulate_images(tmp_path / "other", images=2, duplicates=0)
    (tmp_path / "photos" / "bad.jpg").touch()
    before = sorted(tmp_path.rglob("*"))
    code, out, err = run("estimate", tmp_path / "photos")
    assert (code, err) == (0, "")
    assert "Images:      18\n" in out
    assert "18 files read, 1 of them could not be\n" in out
    assert "thumbnails 394.2 kB" in out  # 32 rows, as stored by 16
    assert "Comparisons: 153\n" in out
    assert "Time:        " in out
    assert "5 files read" in run("estimate", tmp_path / "photos", "--sample", 5)[1]
    assert "thumbnails 99.3 kB" in run("estimate", tmp_path / "photos", "--thumbnail-size", "64x16")[1]
    _, out, _ = run("estimate", tmp_path / "photos", "--against", tmp_path / "other")
    assert "Images:      20 (18 and 2)\n" in out
    assert "Comparisons: 36\n" in out
    assert "Images:      20\n" in run("estimate", tmp_path / "photos", tmp_path / "other")[1]
    assert sorted(tmp_path.rglob("*")) == before


def test_estimate_of_an_empty_folder(run, tmp_path):
    (tmp_path / "photos").mkdir()
    code, out, err = run("estimate", tmp_path / "photos")
    assert (code, err) == (0, "")
    assert "Images:      0\n" in out
    assert "Store:       0 Bytes" in out


def test_estimate_on_a_scheduler(run, tmp_path, simulated):
    with (
        distributed.LocalCluster(
            n_workers=1, threads_per_worker=2, dashboard_address="127.0.0.1:0", worker_dashboard_address="127.0.0.1:0"
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        assert run("estimate", tmp_path / "photos", "--scheduler", cluster.scheduler_address)[0] == 0
        done = client.run_on_scheduler(lambda dask_scheduler: sorted(dask_scheduler.task_prefixes))
    assert done == ["estimate-compare", "estimate-read", "estimate-start"]


def test_help_version_and_module():
    for arguments, text in (["--help"], "status"), (["find", "--help"], "--threshold"), (["--version"], "0.1.0"):
        command = [sys.executable, "-m", "fastdiff_dask", *arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        assert text in done.stdout
    done = subprocess.run([sys.executable, "-m", "fastdiff_dask"], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "Usage" in done.stderr + done.stdout


def test_the_help_imports_no_library_of_the_work():
    heavy = {"numpy", "dask", "distributed", "zarr", "pandas", "rich", "PIL", "fsspec"}
    code = (
        "import sys; from fastdiff_dask.cli.commands import commands\n"
        "try: commands(['find', '--help'])\n"
        f"except SystemExit: print({heavy} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.endswith("set()\n")


def libraries_of(*arguments):
    """Run a command in a process of its own; give the large libraries that it has imported in the end."""
    large = {"dask", "distributed", "tornado", "bokeh", "zarr", "scipy", "pandas"}
    code = (
        "import sys; from fastdiff_dask.cli.commands import commands\n"
        "commands(sys.argv[1:], standalone_mode=False)\n"
        f"print({large} & set(sys.modules))"
    )
    command = [sys.executable, "-c", code, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return eval(done.stdout.splitlines()[-1])


def test_a_run_with_nothing_new_starts_no_cluster_and_imports_none(tmp_path, simulated):
    find = ["find", tmp_path / "photos", "--store", tmp_path / "store"]
    assert libraries_of(*find) == {"dask", "distributed", "tornado", "zarr", "pandas"}  # and no page that nobody opens
    assert libraries_of(*find) == {"pandas"}
    assert libraries_of("status", tmp_path / "store") == {"pandas"}


def test_edited_copies(run, tmp_path):
    """Crops, borders and other colours are found if they are asked for, and are in no cluster."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for number in range(4):
        picture = Image.fromarray(a_photo(number))
        picture.save(folder / f"{number}.jpg", quality=92)
        for kind in ("crop 10", "border", "grey"):
            make_edited_copy(picture, kind, number).save(folder / f"{number} {kind}.jpg", quality=90)
    code, out, _ = run("find", folder, "--json", tmp_path / "plain.json")
    assert (code, "edited" in out, "edited" in json_of(tmp_path / "plain.json")) == (0, False, False)
    code, out, _ = run("find", folder, "--json", tmp_path / "edited.json", "--edited")
    assert code == 0
    assert "pairs of edited copies" in out
    found = json_of(tmp_path / "edited.json")
    assert found["clusters"] == json_of(tmp_path / "plain.json")["clusters"]
    words = {(Path(row["original"]).stem, Path(row["copy"]).stem): row["words"] for row in found["edited"]}
    assert {one[0] == other[0] for one, other in words} == {True}
    for number in range(4):
        assert words[f"{number}", f"{number} crop 10"].startswith("cropped to ")
        assert "border" in words[f"{number}", f"{number} border"]
        assert "grey" in words[f"{number}", f"{number} grey"]
    for path in folder.iterdir():
        if path.name != "0.jpg":
            path.unlink()
    code, out, _ = run("find", folder, "--edited")
    assert (code, "No edited copies were found." in out) == (0, True)


def test_edited_copies_of_names_that_are_no_text(run, tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    picture = Image.fromarray(a_photo(1))
    for name, copy in ((b"\xff.png", picture), (b"\xfe\n.png", make_edited_copy(picture, "crop 10"))):
        copy.save(folder / os.fsdecode(name))
    code, out, _ = run("find", folder, "--json", tmp_path / "edited.json", "--edited")
    assert (code, "1 pair of edited copies" in out) == (0, True)
    (row,) = json_of(tmp_path / "edited.json")["edited"]
    assert (row["original"], row["copy"]) == tuple(
        os.fsdecode(os.fsencode(folder) + b"/" + name) for name in (b"\xff.png", b"\xfe\n.png")
    )


def test_a_limit_on_edited_copies_is_told(run, tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    picture = Image.fromarray(a_photo(1))
    picture.save(folder / "a.jpg", quality=92)
    make_edited_copy(picture, "grey", 1).save(folder / "b.jpg", quality=90)
    _, out, _ = run("find", folder, "--edited", "--verify-limit", 0)
    assert "1 pairs that may be edited copies were not looked at" in out
    assert "No edited copies" not in out
    _, out, _ = run("find", folder, "--edited")
    assert "1 pair of edited copies" in out
    assert "(--verify-limit)" not in out


def test_a_run_on_a_cluster_tells_where_to_watch_it(run, tmp_path, simulated):
    with distributed.LocalCluster(
        n_workers=1, threads_per_worker=1, processes=False, protocol="tcp://", dashboard_address="127.0.0.1:0"
    ) as cluster:
        command = ["find", tmp_path / "photos", "--store", tmp_path / "s", "--scheduler", cluster.scheduler_address]
        code, _, err = run(*command)
        assert (code, run(*command, "--quiet")[2]) == (0, "")
    assert re.search(r"^Dashboard: http://\S+:\d+/status$", err, re.M)
    assert f"Progress: fastdiff-dask dashboard {tmp_path / 's'}\n" in err
