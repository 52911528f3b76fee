"""The command ``neighbours``: rows as CSV and JSON, and what it says."""

import csv
import io
import json
from pathlib import Path

import numpy as np
import pytest


@pytest.fixture
def found(run, tmp_path, simulated, monkeypatch):
    """A find over ``photos`` in the current folder."""
    monkeypatch.chdir(tmp_path)
    assert run("find", "photos")[0] == 0


def test_rows_are_the_same_in_both_forms(run, found):
    code, out, _ = run("neighbours", "photos", "-k", "2", "--csv", "near.csv", "--json", "-", "--quiet")
    assert code == 0
    rows = [json.loads(line) for line in out.splitlines()]
    assert len(rows) == 2 * 17
    assert [(row["a"], row["rank"]) for row in rows] == sorted((row["a"], row["rank"]) for row in rows)
    assert list(rows[0]) == ["a", "b", "rank", "mse", "rotation", "mirrored"]
    read = list(csv.DictReader(io.StringIO(Path("near.csv").read_text())))
    assert [(row["a"], row["b"], float(row["mse"])) for row in read] == [
        (row["a"], row["b"], row["mse"]) for row in rows
    ]
    code, again, _ = run("neighbours", "photos", "-k", "2", "--json", "-")
    assert (code, again) == (0, out)


def test_a_copy_and_its_original_are_neighbours(run, found, simulated):
    _, out, _ = run("neighbours", "photos", "-k", "1", "--json", "-")
    nearest = {Path(row["a"]).name: Path(row["b"]).name for row in map(json.loads, out.splitlines())}
    for copy, original in simulated.duplicates.items():
        assert nearest[copy.name] == original.name


def test_without_a_file_it_says_how_far_they_are(run, found):
    code, out, _ = run("neighbours", "photos")
    assert code == 0
    assert out.startswith("10 nearest images of each of 17 images; the nearest one is at a difference (MSE) of ")


def test_vectors_are_compared_by_their_metric(run, found):
    np.save("codes.npy", np.arange(17, dtype=np.float32)[:, None] ** 2)
    assert run("encode", "photos", "--name", "codes", "--from", "codes.npy")[0] == 0
    words = ["neighbours", "photos", "-k", "1", "--on", "codes", "--metric", "euclidean"]
    code, out, _ = run(*words, "--json", "-")
    assert code == 0
    rows = [json.loads(line) for line in out.splitlines()]
    assert [row["value"] for row in rows] == [1.0, *(float(2 * number - 1) for number in range(1, 17))]
    assert "the nearest one is at a distance of 1 to 31, of half of them up to " in run(*words)[1]


def test_one_image_has_no_neighbour(run, tmp_path, monkeypatch):
    from fastdiff_dask.testing import simulate_images

    monkeypatch.chdir(tmp_path)
    simulate_images(tmp_path / "photos", images=1, duplicates=0)
    assert run("find", "photos")[0] == 0
    code, out, _ = run("neighbours", "photos", "--csv", "near.csv")
    assert (code, out) == (0, "There are no two images, so that none has a neighbour.\n")
    assert Path("near.csv").read_text() == "a,b,rank,mse,rotation,mirrored\n"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["-k", "0"], "-k 0 cannot be used"),
        (["--csv", "-", "--json", "-"], "standard output can have one of them"),
        (["--csv", "/nowhere/near.csv"], "cannot write /nowhere/near.csv: No such file"),
    ],
)
def test_mistakes_are_told_in_a_line(run, found, words, said):
    code, out, err = run("neighbours", "photos", *words)
    assert (code, out) == (2, "")
    assert said in err.splitlines()[-1]
