"""Nearest neighbours as rows of a file, and in words."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from ..text import counted
from .json_file import write_texts
from .text_rows import table_texts

if TYPE_CHECKING:
    import dask.dataframe as dd

__all__ = ["describe_neighbours", "write_neighbours"]

# Rows that are sorted as a whole; of more, each partition is.
_SORTED = 1_000_000


def write_neighbours(frame: "dd.DataFrame", path: str, form: str) -> None:
    """Write neighbours, a row each, sorted by path and rank: up to a million as a whole, else a partition at a time.

    Parameters
    ----------
    frame
        As `Project.neighbours` gives it.
    path
        The file, as for `json_file.write_texts`.
    form
        "csv", with a line of names; or "jsonl", an object a line.

    Raises
    ------
    UsageError
        If the file cannot be written.
    """
    columns = [name for name in frame.columns if not name.startswith("image_")]
    write_texts(table_texts(columns, _sorted(frame), form), path)


def _sorted(frame: "dd.DataFrame") -> Iterator[pd.DataFrame]:
    parts: list[pd.DataFrame] = []
    rows = 0
    for number in range(frame.npartitions):
        part = frame.get_partition(number).compute()
        rows += len(part)
        if rows > _SORTED:
            yield from map(_by_path, parts)
            parts = []
            yield _by_path(part)
        else:
            parts.append(part)
    if rows <= _SORTED and parts:
        yield _by_path(pd.concat(parts, ignore_index=True))


def _by_path(part: pd.DataFrame) -> pd.DataFrame:
    names = part.a.to_numpy(object)
    order = sorted(range(len(part)), key=lambda row: names[row])  # stable: ranks stay in order
    return part.iloc[order]


def describe_neighbours(frame: "dd.DataFrame", k: int) -> str:
    """Say in a line how many images have neighbours, and how far the nearest ones are."""
    value = "mse" if "mse" in frame.columns else "value"
    nearest = frame[frame["rank"] == 1][value].compute().to_numpy()
    if not len(nearest):
        return "There are no two images, so that none has a neighbour."
    least, middle, most = np.quantile(nearest, [0, 0.5, 1])
    name = "difference (MSE)" if value == "mse" else "distance"
    return (
        f"{counted(k, 'nearest image')} of each of {counted(len(nearest), 'image')}; the nearest one is at a {name} of "
        f"{least:.4g} to {most:.4g}, of half of them up to {middle:.4g}."
    )
