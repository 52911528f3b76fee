"""Rows of tables as text, JSON or CSV: a column at a time, and each text of a part encoded once."""

import csv
import io
import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import pandas as pd

from .tables import decodable

__all__ = ["csv_rows", "json_rows", "table_texts"]

# Rows whose texts are made at once, some hundred bytes each.
_ROWS = 1 << 14


def json_rows(part: pd.DataFrame, *, indent: bool = False) -> Iterator[str]:
    """Give the rows of a table as objects in JSON, some at a time, with commas between them; nothing missing is null.

    Parameters
    ----------
    part
        Rows of texts, numbers and truth values.
    indent
        Write as `json.dumps` writes objects of a list of an object with an indent of 1; else a row a line.

    Examples
    --------
    >>> print(*json_rows(pd.DataFrame({"a": ["é", None], "mse": [0.5, 2.0]})))
    {"a": "\\u00e9", "mse": 0.5},
    {"a": null, "mse": 2.0}
    """
    begin, between, end = ("  {\n   ", ",\n   ", "\n  }") if indent else ("{", ", ", "}")
    names = [json.dumps(name).replace("%", "%%") for name in part.columns]
    template = begin + between.join(f"{name}: %s" for name in names) + end
    for start in range(0, len(part), _ROWS):
        rows = part.iloc[start : start + _ROWS]
        columns = [_json_column(rows[name]) for name in rows.columns]
        texts = ",\n".join(map(template.__mod__, zip(*columns, strict=True)))
        yield texts if start + _ROWS >= len(part) else texts + ",\n"


def csv_rows(part: pd.DataFrame) -> Iterator[str]:
    """Give the rows of a table as CSV, some at a time, as `DataFrame.to_csv` does; nothing missing is empty.

    Examples
    --------
    >>> print(*csv_rows(pd.DataFrame({"a": ["x,y", None], "mse": [0.5, 2.0]})), end="")
    "x,y",0.5
    ,2.0
    """
    for start in range(0, len(part), _ROWS):
        rows = part.iloc[start : start + _ROWS]
        columns = [_csv_column(rows[name]) for name in rows.columns]
        yield "\n".join([*map(",".join, zip(*columns, strict=True)), ""])


def table_texts(columns: Sequence[str], parts: Iterable[pd.DataFrame], form: str) -> Iterator[str]:
    """Give a table as the text of a file, some rows at a time.

    Parameters
    ----------
    columns
        Names of its columns.
    parts
        The table, some rows at a time.
    form
        "csv", with a line of names, where bytes of a path that are not UTF-8 are U+FFFD; or "jsonl", an object a line.

    Examples
    --------
    >>> parts = [pd.DataFrame({"a": ["x", "y"]}), pd.DataFrame({"a": ["z"]})]
    >>> print(*table_texts(["a"], parts, "jsonl"), sep="", end="")
    {"a": "x"}
    {"a": "y"}
    {"a": "z"}
    """
    if form == "csv":
        yield ",".join(columns) + "\n"
    for part in parts:
        if form == "csv":
            yield from csv_rows(decodable(part[list(columns)]))
            continue
        for texts in json_rows(part[list(columns)]):
            # a line break within a text is escaped
            yield texts.removesuffix(",\n").replace("},\n", "}\n") + "\n"


def _values(column: pd.Series) -> list[Any]:
    """Give the values of a column as Python has them, None for a missing one."""
    there = column.notna()
    return column.tolist() if there.all() else column.astype(object).where(there, None).tolist()


def _json_column(column: pd.Series) -> list[str]:
    values = _values(column)
    if pd.api.types.is_numeric_dtype(column.dtype):
        return json.dumps(values)[1:-1].split(", ")
    known = {value: json.dumps(value) for value in set(values)}
    return [known[value] for value in values]


def _csv_column(column: pd.Series) -> list[str]:
    values = _values(column)
    if pd.api.types.is_numeric_dtype(column.dtype) and not pd.api.types.is_bool_dtype(column.dtype):
        return ["" if value is None else repr(value) for value in values]
    known = {value: _cell(value) for value in set(values)}
    return [known[value] for value in values]


def _cell(value: str | bool | None) -> str:
    # with an empty cell behind it, as a row of one empty cell is written otherwise
    row = io.StringIO(newline="")
    csv.writer(row, lineterminator="\n").writerow([value, None])
    return row.getvalue().removesuffix(",\n")
