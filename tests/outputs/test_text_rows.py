"""Rows as text are what the standard library and pandas write, however they are cut into parts."""

import io
import json

import pandas as pd
import pytest

from fastdiff_dask.outputs.text_rows import csv_rows, json_rows

TEXTS = ["é", 'say "x", y', "", None, "a\nb", "\udcff.png", "50 %s", "\r"]
FRAME = pd.DataFrame(
    {
        "a %": pd.Series(TEXTS, dtype=object),
        "number": range(8),
        "mse": [0.0, 1 / 3, 1e-9, 1e22, 12.5, 2.0, float("nan"), 0.1],
        "wide": pd.Series([2**62, 1, 2, 3, 4, 5, 6, 7]),
        "mirrored": [True, False] * 4,
    }
)


@pytest.fixture(params=[1, 3, 8, 100], ids="rows at once: {}".format)
def parts(request, monkeypatch):
    monkeypatch.setattr("fastdiff_dask.outputs.text_rows._ROWS", request.param)


@pytest.mark.usefixtures("parts")
def test_json_is_that_of_the_standard_library():
    wanted = FRAME.astype(object).where(FRAME.notna(), None).to_dict("records")
    assert "".join(json_rows(FRAME)) == ",\n".join(map(json.dumps, wanted))
    whole = json.dumps({"rows": wanted}, indent=1).removeprefix('{\n "rows": [\n').removesuffix("\n ]\n}")
    assert "".join(json_rows(FRAME, indent=True)) == whole


@pytest.mark.usefixtures("parts")
def test_csv_is_that_of_pandas():
    wanted = io.StringIO()
    FRAME.to_csv(wanted, index=False, header=False, lineterminator="\n")
    assert "".join(csv_rows(FRAME)) == wanted.getvalue()


def test_no_rows_are_no_text():
    assert not list(csv_rows(FRAME[:0]))
    assert not list(json_rows(FRAME[:0]))
