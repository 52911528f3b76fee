"""Results of small projects, and what is in them."""

import json
from pathlib import Path

import pandas as pd

import fastdiff_dask as fd
from fastdiff_dask.outputs.json_file import write_json


def find(folder: Path, client, *roots: Path, **options) -> fd.Result:
    options = {"thumbnail_size_x": 8, "thumbnail_size_y": 8, "store": folder / "store", "verbose": False} | options
    return fd.find_duplicates(*(roots or (folder / "photos",)), client=client, **options)


def rows_of(pairs: pd.DataFrame) -> list[tuple]:
    """Pairs without their verdicts."""
    return list(pairs.drop(columns="verdict", errors="ignore").itertuples(index=False, name=None))


def as_bytes(result: fd.Result, folder: Path) -> bytes:
    """The result as its file has it, without the figures."""
    write_json(result, str(folder / "result.json"))
    content = json.loads((folder / "result.json").read_text())
    assert content.pop("stats") == result.stats
    return json.dumps(content).encode()
