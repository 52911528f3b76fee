"""The command encode, and find --on: by a model, from a file, later for new images, mistakes in one line."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from support.pictures import write_noise

from fastdiff_dask.actions.decisions import FORMAT
from fastdiff_dask.testing import simulate_images

pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
pytest.importorskip("onnx", reason="onnx is not installed")

from support.onnx_models import mean_model, projection_model


@pytest.fixture
def searched(tmp_path, run) -> Path:
    simulate_images(tmp_path / "photos", images=6, duplicates=2)
    assert run("find", tmp_path / "photos", "--store", tmp_path / "s", "--no-verify")[0] == 0
    return tmp_path


def test_images_are_encoded_by_a_model_and_compared(searched, run):
    model = projection_model(searched / "small.onnx")
    code, out, err = run("encode", searched / "s", "--model", model, "--preset", "imagenet", "--name", "small")
    assert code == 0, err
    lines = out.splitlines()
    assert lines[0] == "Vectors small: 8 images encoded."
    command = f"Compare them: fastdiff-dask find {searched}/photos --store {searched}/s --on small"
    assert lines[1] == command
    words = command.split()[3:]
    code, out, err = run(*words, "--threshold", "0.99", "--json", "-")
    assert code == 0, err
    found = json.loads(out)
    assert {(one["a"], one["b"]) for one in found["pairs"]}
    assert all(0 <= one["value"] <= 0.01 + 1e-9 for one in found["pairs"])
    assert (found["settings"]["measure"], found["settings"]["vectors"]) == ("cosine", "small")
    out = run("status", searched / "s")[1]
    assert "Vectors:    small by small.onnx, 32 values of float32: 1 of 1 blocks are done" in out
    assert "Compare:    cosine distance of small ≤ 0.01: " in out
    (state,) = json.loads(run("status", searched / "s", "--json")[1])["vectors"]
    assert state["made"]["input"] == "pictures of 16×16"


def test_new_images_are_listed_read_and_encoded_by_the_same_command(searched, run):
    model = mean_model(searched / "mean.onnx", ("n", 3, "h", "w"))
    command = ("encode", searched / "photos", "--model", model, "--size", "12x8", "--name", "m", "--dtype", "float16")
    code, _, err = run(*command)
    assert code == 0, err
    write_noise(searched / "photos", 3, seed=1)
    on = ("find", searched / "photos", "--store", searched / "s", "--on", "m", "--metric", "euclidean")
    code, _, err = run(*on, "--threshold", "0.1")
    assert code == 2
    assert "3 images new since then have no vectors 'm' yet; call encode() or add_vectors() again first" in err
    code, out, err = run(*command)
    assert (code, out.splitlines()[0]) == (0, "Vectors m: 3 images encoded.")
    assert run(*on, "--threshold", "0.1")[0] == 0
    assert run("encode", searched / "s", "--model", model, "--size", "8x12", "--name", "m")[0] == 2


def test_vectors_come_from_a_file_by_path(searched, run):
    paths = sorted((searched / "photos").rglob("*.*"))
    values = np.random.default_rng(1).normal(size=(len(paths), 4)).astype(np.float32)
    table = pa.table({"file": [str(path) for path in paths], "v": list(values)})
    pq.write_table(table, searched / "v.parquet")
    code, out, err = run("encode", searched / "s", "--from", searched / "v.parquet", "--key", "file", "--name", "mine")
    assert code == 0, err
    assert out.startswith(f"Vectors mine: {len(paths)} images got a vector.\n")
    assert run("report", searched / "s", "-o", searched / "r.html")[0] == 0
    code, out, _ = run("find", searched / "photos", "--store", searched / "s", "--on", "mine", "--threshold", "-1")
    assert code == 0
    assert run("report", searched / "s", "-o", searched / "r.html", "--threshold", "0.5")[0] == 0
    assert "cosine distance of mine" in (searched / "r.html").read_text()
    assert run("thresholds", searched / "s")[0] == 0
    code, _, err = run("export", searched / "s", searched / "p.csv", "--threshold", "0.25")
    assert code == 0, err


def test_products_below_zero_are_a_threshold_like_any(searched, run):
    """Distances of inner products are negative: in reports, exports, bands, marks and on the page."""
    paths = sorted((searched / "photos").rglob("*.*"))
    values = np.arange(1, 2 * len(paths) + 1, dtype=np.float32).reshape(-1, 2)
    np.savez(searched / "v.npz", path=np.array(list(map(str, paths))), vectors=values)
    assert run("encode", searched / "s", "--from", searched / "v.npz", "--name", "v")[0] == 0
    on = ("find", searched / "photos", "--store", searched / "s", "--on", "v", "--metric", "inner", "--threshold")
    code, out, err = run(*on, "100", "--json", "-")
    assert code == 0, err
    wanted = sorted(-float(values[i] @ values[j]) for i in range(len(values)) for j in range(i))
    assert sorted(one["value"] for one in json.loads(out)["pairs"]) == [value for value in wanted if value <= -100]
    code, out, _ = run("thresholds", searched / "s")
    assert code == 0
    assert "up to -100" in out
    assert run("export", searched / "s", searched / "p.csv", "--threshold", "150")[0] == 0
    assert len((searched / "p.csv").read_text().splitlines()) == 1 + sum(value <= -150 for value in wanted)
    code, _, err = run("export", searched / "s", searched / "q.csv", "--threshold", "50")
    assert (code, "compared up to 100, not 50; name a higher threshold" in err) == (2, True)
    assert run("report", searched / "s", "-o", searched / "r.html")[0] == 0
    assert "negative inner product of v ≤ -100" in (searched / "r.html").read_text()
    marks = {"format": FORMAT, "marks": [], "not_duplicates": [], "threshold": 100.0}
    (searched / "d.json").write_text(json.dumps(marks))
    code, out, err = run("apply", searched / "s", "--decisions", searched / "d.json", "--trash")
    assert code in (0, 1), err
    assert "threshold" not in err


def test_vectors_are_removed_and_their_name_is_free(searched, run):
    model = mean_model(searched / "mean.onnx", ("n", 3, "h", "w"))
    command = ("encode", searched / "s", "--name", "m")
    assert run(*command, "--model", model, "--size", "8")[0] == 0
    assert run("find", searched / "photos", "--store", searched / "s", "--on", "m", "--threshold", "0.9")[0] == 0
    assert run(*command, "--model", model, "--size", "16")[0] == 2
    assert run(*command, "--remove") == (0, "Vectors m: removed, with the comparisons by them.\n", "")
    assert "Vectors:" not in run("status", searched / "s")[1]
    assert [one["name"] for one in json.loads(run("status", searched / "s", "--json")[1])["comparisons"]] == [
        "mse-200.0-rotations"
    ]
    code, _, err = run(*command, "--remove")
    assert (code, "no vectors 'm' in the store, which has: none; nothing was removed" in err) == (2, True)
    assert run(*command, "--model", model, "--size", "16")[0] == 0
    assert len(list((searched / "photos").rglob("*.*"))) == 8


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (("--name", "v"), "vectors are made by --model, or come --from a file; give one of them, or --remove"),
        (("--name", "v", "--model", "m.onnx", "--from", "v.npy"), "give one of them"),
        (("--name", "v", "--model", "m.onnx", "--remove"), "give one of them"),
        (("--name", "v", "--remove", "--size", "64x64"), "--size is for vectors that are made"),
        (("--name", "v", "--model", "none.onnx"), "none.onnx cannot be read: No such file or directory"),
        (("--name", "v", "--from", "v.npy", "--preset", "clip"), "--preset is for a model; leave it out"),
        (("--name", "v", "--model", "m.onnx", "--key", "path"), "--key is for a file; leave it out"),
        (("--name", "v", "--from", "none.npy"), "none.npy cannot be read as arrays of NumPy"),
        (("--name", "../v", "--from", "none.npy"), "'../v' cannot be used for vectors"),
        (("--name", "v", "--model", "m.onnx", "--size", "big"), "'big' is not of the form 64x64"),
        (("--name", "v", "--model", "m.onnx", "--mean", "red"), "--mean 'red' cannot be used; use a number"),
        (("--model", "m.onnx"), "Missing option '--name'"),
    ],
)
def test_mistakes_are_told_in_one_line(searched, run, words, text, monkeypatch):
    monkeypatch.chdir(searched)
    mean_model(searched / "m.onnx")
    code, out, err = run("encode", searched / "s", *words)
    assert (code, out) == (2, "")
    assert text in err
    assert len(err.strip().splitlines()) == 1


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (("--metric", "inner"), "--metric is for vectors; name them by --on"),
        (("--on", "v", "--compare", "ssim"), "--compare is for thumbnails, and --on for vectors"),
        (("--on", "v", "--similarity", "strict"), "--similarity is for thumbnails; give vectors a --threshold"),
        (("--on", "v", "--threshold", "200"), "--threshold 200.0 cannot be used with --metric 'cosine'"),
        (("--on", "v", "--metric", "hamming"), "--metric 'hamming' has no usual threshold; give one by --threshold"),
        (("--on", "v"), "no vectors 'v' in the store, which has: none"),
    ],
)
def test_mistakes_of_find_are_told_in_one_line(searched, run, words, text):
    code, _, err = run("find", searched / "photos", "--store", searched / "s", *words)
    assert code == 2
    assert text in err.splitlines()[-1]
