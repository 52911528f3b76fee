"""Evaluation against known copies: figures by hand, forms of a truth, names of images."""

import gzip
import json

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

import fastdiff_dask as fd
from fastdiff_dask.errors import UsageError
from fastdiff_dask.evaluation.truth import name_images, read_truth


def table(*pairs):
    return pd.DataFrame(pairs, columns=["a", "b", "mse"])


def test_figures_by_hand():
    found = table(("1", "2", 0.0), ("1", "9", 10.0), ("4", "3", 20.0))
    figures = fd.evaluate(found, {"1": ["2"], "3": ["4"], "5": ["6"]})
    assert (figures.known, figures.found, figures.right) == (3, 3, 2)
    assert figures.precision == figures.recall == figures.f1 == pytest.approx(2 / 3)
    assert figures.average_precision == pytest.approx((1 + 2 / 3) / 3)
    assert figures.wrong[["a", "b"]].to_numpy().tolist() == [["1", "9"]]
    assert figures.missed[["a", "b"]].to_numpy().tolist() == [["5", "6"]]


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 5)), min_size=1, max_size=30), st.integers(0, 3))
def test_average_precision_is_that_of_its_definition(rows, unfound):
    found = table(*((f"a{n}", f"b{n}", float(value)) for n, (_, value) in enumerate(rows)))
    truth = [[f"a{n}", f"b{n}"] for n, (right, _) in enumerate(rows) if right]
    truth += [[f"c{n}", f"d{n}"] for n in range(unfound)]
    if truth:
        # each right pair, with the precision of all pairs that are at least as similar
        wanted = 0.0
        for right, value in rows:
            nearer = [one for one, other in rows if other <= value]
            wanted += right * sum(nearer) / len(nearer)
        assert fd.evaluate(found, truth).average_precision == pytest.approx(wanted / len(truth))


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("pairs.csv", "a,b,kind\nx,y,half\nz,y,grey\nz,x,\n"),
        ("clusters.csv", "path,cluster\nx,1\nq,2\ny,1\nz,1\n"),
        ("list.json", json.dumps([["x", "y", "z"]])),
        (
            "pairs.json",
            json.dumps(
                [
                    {"original": "x", "variant": "y"},
                    {"original": "x", "variant": "z"},
                    {"original": "y", "variant": "z"},
                ]
            ),
        ),
        ("copies.json", json.dumps({"x": ["y", ["z", 0.9]], "y": ["x", "z"], "z": []})),
        (
            "find.json",
            json.dumps({"pairs": [{"a": "x", "b": "y"}], "clusters": [{"keep": "z", "low_quality": ["x", "y"]}]}),
        ),
    ],
)
def test_forms_of_a_truth(tmp_path, name, text):
    (tmp_path / name).write_text(text)
    truth = read_truth(tmp_path / name)
    assert sorted(zip(truth.a, truth.b, strict=True)) == [("x", "y"), ("x", "z"), ("y", "z")]


def test_by_kind(tmp_path):
    truth = tmp_path / "truth.csv"
    truth.write_text("a,b,kind\n1,2,half\n3,4,half\n5,6,grey\n")
    kinds = fd.evaluate(table(("2", "1", 3.0), ("5", "6", 4.0)), truth).kinds
    assert kinds.to_dict("index") == {
        "grey": {"known": 1, "right": 1, "recall": 1.0},
        "half": {"known": 2, "right": 1, "recall": 0.5},
    }


@pytest.mark.parametrize(
    ("text", "message"),
    [("", "neither CSV nor JSON"), ("left,right\n1,2\n", "columns 'left', 'right'"), ("a,b\n", "no pair")],
)
def test_what_is_no_truth_is_told(tmp_path, text, message):
    (tmp_path / "truth.csv").write_text(text)
    with pytest.raises(UsageError, match=message):
        read_truth(tmp_path / "truth.csv")
    with pytest.raises(UsageError, match="No such file"):
        read_truth(tmp_path / "nothing.csv")
    with pytest.raises(UsageError, match="no pair and no cluster"):
        read_truth(["x", "y"])


def test_names_of_images():
    images = ["/p/2023/x.jpg", "/p/2024/x.jpg", "/p/2024/y.jpg"]
    truth = read_truth([["2023/x.jpg", "y.jpg"], ["2024/x.jpg", "gone.jpg"]])
    named, unknown = name_images(truth, images)
    assert named[["a", "b"]].to_numpy().tolist() == [["/p/2023/x.jpg", "/p/2024/y.jpg"]]
    assert unknown == ["gone.jpg"]
    with pytest.raises(UsageError, match="write more of its path"):
        name_images(read_truth([["x.jpg", "y.jpg"]]), images)
    named, _ = name_images(read_truth([["x.jpg", "y.jpg"]]), images, "/p/2024")
    assert named.a.tolist() == ["/p/2024/x.jpg"]


def test_on_the_command_line(run, tmp_path, simulated):
    store, truth = tmp_path / "store", tmp_path / "photos" / "truth.csv"
    assert run("find", tmp_path / "photos", "--store", store)[0] == 0
    rows = [f"{copy.name},{original.name},made" for copy, original in simulated.duplicates.items()]
    truth.write_text("\n".join(["a,b,kind", *rows, "picture_00010.jpg,picture_00011.jpg,other", "gone.jpg,x.jpg,"]))
    code, out, _ = run("evaluate", store, truth, "--json", tmp_path / "figures.json")
    assert code == 0
    assert "5 of 6 known pairs found, and 0 others: precision 100.0 %, recall 83.3 %" in out
    assert "missed: " in out
    assert "2 names of the truth are no images here: gone.jpg, x.jpg" in out
    assert "Result: difference (MSE) ≤ 200 with rotations" in out
    figures = json.loads((tmp_path / "figures.json").read_text())
    assert figures["kinds"] == [
        {"kind": "made", "known": 5, "right": 5, "recall": 1.0},
        {"kind": "other", "known": 1, "right": 0, "recall": 0.0},
    ]
    # fewer pairs by a lower threshold and by a verdict
    assert "0 of 6 known pairs" in run("evaluate", store, truth, "--threshold", 0, "--verdict", "similar")[1]
    assert json.loads(run("evaluate", store, truth, "--json", "-", "--verdict", "same-file")[1])["right"] == 0
    code, _, err = run("evaluate", store, tmp_path / "nothing.csv")
    assert (code, err.count("\n")) == (2, 1)
    assert run("evaluate", store, truth, "--json", tmp_path / "no" / "folder.json")[0] == 2


def test_leaks_between_two_sides(run, tmp_path, simulated):
    test = tmp_path / "test"
    test.mkdir()
    for number, (copy, original) in enumerate(simulated.duplicates.items()):
        copy.rename(test / copy.name)
        if number == 0:
            (test / "same.jpg").write_bytes(original.read_bytes())
    _, out, _ = run("find", tmp_path / "photos", "--against", test, "--store", tmp_path / "store")
    assert "Of the images of side b, 6 have a copy on side a: 1 same file, 5 same picture" in out
    (tmp_path / "empty").mkdir()
    _, out, _ = run("find", tmp_path / "photos", "--against", tmp_path / "empty", "--store", tmp_path / "other")
    assert "Of the images of side b, 0 have a copy on side a\n" in out


def test_pairs_that_the_truth_implies_are_not_wrong():
    """Two copies of one original are no mistake, though the truth pairs them with the original alone."""
    found = pd.DataFrame({"a": ["o", "x", "x"], "b": ["x", "y", "z"], "mse": [1.0, 2.0, 3.0]})
    figures = fd.evaluate(found, [["o", "x"], ["o", "y"], ["p", "z"]])
    assert (figures.known, figures.found, figures.right) == (3, 2, 1)
    assert figures.wrong[["a", "b"]].to_numpy().tolist() == [["x", "z"]]
    clusters = fd.evaluate(found, [["o", "x", "y"], ["p", "z"]])
    assert (clusters.known, clusters.found, clusters.right) == (4, 3, 2)


def test_compressed_truth(tmp_path):
    pairs = [{"a": "1", "b": "2"}, {"a": "3", "b": "4"}]
    (tmp_path / "x.json.gz").write_bytes(gzip.compress(json.dumps(pairs).encode()))
    (tmp_path / "x.csv.gz").write_bytes(gzip.compress(b"a,b\n1,2\n3,4\n"))
    for name in ("x.json.gz", "x.csv.gz"):
        assert read_truth(tmp_path / name)[["a", "b"]].to_numpy().tolist() == [["1", "2"], ["3", "4"]]
        for content in (b"no compressed file", (tmp_path / name).read_bytes()[:-12]):
            (tmp_path / name).write_bytes(content)
            with pytest.raises(UsageError, match="is neither CSV nor JSON"):
                read_truth(tmp_path / name)
