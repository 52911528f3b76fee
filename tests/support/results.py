"""Results of small projects, and what is in them."""

from pathlib import Path

import pandas as pd

import fastdiff_dask as fd


def find(folder: Path, client, *roots: Path, **options) -> fd.Result:
    options = {"thumbnail_size_x": 8, "thumbnail_size_y": 8, "store": folder / "store", "verbose": False} | options
    return fd.find_duplicates(*(roots or (folder / "photos",)), client=client, **options)


def rows_of(pairs: pd.DataFrame) -> list[tuple]:
    return list(pairs.itertuples(index=False, name=None))
