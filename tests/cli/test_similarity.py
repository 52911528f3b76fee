"""Thresholds in words, pairs between thresholds, and a run that calls most images similar."""

import re

import pytest

import fastdiff_dask as fd
from fastdiff_dask.config import SIMILARITIES, threshold_of
from fastdiff_dask.errors import UsageError
from fastdiff_dask.storage.comparisons import Comparison
from fastdiff_dask.storage.store import Store


def compared_at(store) -> list[float]:
    return [one.settings.similarity_threshold for one in Comparison.all_in(Store(str(store)))]


@pytest.mark.parametrize("word", SIMILARITIES)
def test_a_word_is_a_threshold(run, tmp_path, simulated, word):
    assert run("find", tmp_path / "photos", "--store", tmp_path / "s", "--similarity", word, "--no-verify")[0] == 0
    assert compared_at(tmp_path / "s") == [SIMILARITIES[word]] == [threshold_of(word)]


def test_words_in_python(tmp_path, simulated):
    result = fd.find_duplicates(tmp_path / "photos", store=tmp_path / "s", similarity="strict", verbose=False)
    assert result.settings["similarity_threshold"] == 50
    for options in ({"threshold": 3}, {"similarity_threshold": 3}):
        with pytest.raises(UsageError, match="two ways to say one thing"):
            fd.find_duplicates(tmp_path / "photos", similarity="strict", **options)
    with pytest.raises(UsageError, match="similarity='equal' is not known; use 'identical', 'strict'"):
        fd.find_duplicates(tmp_path / "photos", similarity="equal")


MISTAKES = {
    "both": (["--similarity", "strict", "--threshold", "3"], "two ways to say one thing; use one of them"),
    "no such word": (["--similarity", "equal"], "'equal' is not one of 'identical', 'strict', 'normal', 'loose'"),
    "another measure": (
        ["--similarity", "strict", "--compare", "ssim"],
        "is for MSE; give ssim a --threshold",
    ),
}


@pytest.mark.parametrize("case", MISTAKES)
def test_mistakes(run, tmp_path, simulated, case):
    options, message = MISTAKES[case]
    code, _, err = run("find", tmp_path / "photos", "--store", tmp_path / "s", *options)
    assert code == 2
    assert message in err
    assert not (tmp_path / "s").exists()


def test_pairs_between_thresholds(run, tmp_path, simulated):
    assert run("find", tmp_path / "photos", "--store", tmp_path / "s", "--similarity", "loose")[0] == 0
    code, out, _ = run("thresholds", tmp_path / "s")
    assert code == 0
    rows = re.findall(r"^(?:over \d+ )?up to (\d+) +([\d,]+)", out, re.M)
    assert [bound for bound, _ in rows] == ["0", "10", "50", "100", "200", "500", "1000"]
    pairs = fd.find_duplicates(tmp_path / "photos", store=tmp_path / "s", threshold=1000, verbose=False).pairs
    assert sum(int(number) for _, number in rows) == len(pairs)
    below = sum(int(number) for bound, number in rows if int(bound) <= 50)
    assert below == (pairs.mse <= 50).sum() > 0
    assert "copy_0000" in out
    assert "up to 200" not in run("thresholds", tmp_path / "s", "--threshold", "100")[1]


def test_most_of_a_collection_is_told(run, tmp_path, simulated):
    command = ["find", tmp_path / "photos", "--store", tmp_path / "s"]
    assert "count as similar" not in run(*command)[1]
    out = run(*command, "--threshold", "100000")[1]
    (line,) = [line for line in out.splitlines() if "count as similar" in line]
    assert line.startswith("17 of 17 images count as similar to another one, though ")
    assert "--similarity strict" in line
