"""Edited copies in an evaluation: counted once, after all others, and by a third image where the truth asks."""

import json
from pathlib import Path

import pandas as pd
import pytest
from support.command_line import invoke
from support.edited_stores import edited_store, truth_of

import fastdiff_dask as fd
from fastdiff_dask.config import EDITED_COPY
from fastdiff_dask.evaluation.edited import with_copies


def test_known_pairs_by_a_third_image_count_and_others_do_not():
    found = pd.DataFrame(
        {"a": ["o", "x"], "b": ["s", "y"], "_value": [1.0, 2.0], "verdict": ["same picture", "similar"]}
    )
    edited = pd.DataFrame({"a": ["o", "o", "x"], "b": ["c", "d", "y"], "confidence": [0.9, 0.8, 0.7]})
    more = with_copies(found, edited, [("c", "d"), ("c", "s"), ("c", "x"), ("o", "c")])
    assert more[["a", "b"]].to_numpy().tolist() == [
        *(["o", "s"], ["x", "y"], ["c", "o"], ["d", "o"], ["c", "d"], ["c", "s"]),
    ]
    assert more.verdict.tolist() == ["same picture", *[EDITED_COPY] * 5]
    assert more["_value"].is_monotonic_increasing


@pytest.fixture(scope="module")
def searched(tmp_path_factory, client):
    folder = tmp_path_factory.mktemp("searched")
    with edited_store(folder, client, [1, 2], ("crop 10", "border", "brighter", "half size")) as db:
        yield folder, db.result()


def test_edited_copies_are_found_pairs(searched):
    folder, result = searched
    truth = folder / "copies" / "truth.csv"
    figures = fd.evaluate(result, truth)
    assert (figures.known, figures.right) == (8, 8)
    assert figures.kinds.recall.eq(1).all()
    assert figures.verdicts.right.to_dict() == {"same picture": 2, EDITED_COPY: 6}
    assert figures.found == figures.verdicts.found.sum()
    # copies of one photo that were looked at together
    assert all(Path(a).name[:5] == Path(b).name[:5] for a, b in figures.wrong[["a", "b"]].to_numpy())
    without = fd.evaluate(result.pairs, truth)
    assert without.right == 2
    code, out = invoke("evaluate", folder / "store", truth)
    assert code == 0
    assert "8 of 8 known pairs found" in out
    assert "edited copy" in out
    code, out = invoke("evaluate", folder / "store", truth, "--verdict", "edited copy", "--json", "-")
    (row,) = json.loads(out)["verdicts"]
    # half the size is found by the other copies of its photo
    assert (row["verdict"], row["right"]) == (EDITED_COPY, 8)


def test_copies_of_one_image_count_for_clusters(searched):
    folder, result = searched
    clusters: dict[str, list[str]] = {}
    for copy, (original, _) in truth_of(folder).items():
        clusters.setdefault(original, [str(folder / "photos" / original)]).append(str(folder / "copies" / copy))
    figures = fd.evaluate(result, list(clusters.values()))
    assert (figures.known, figures.right) == (20, 20)
    assert figures.precision == 1
    assert Path(next(iter(clusters.values()))[0]).name == "photo1.jpg"
