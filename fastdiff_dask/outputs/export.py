"""Export of the tables of a store to Parquet, CSV or JSON files, or to a database: all or nothing."""

import json
import os
import re
import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from .._version import __version__
from ..errors import FastDiffError, UsageError
from ..local_files import first_bytes, is_packed, packed
from ..text import one_line
from ..urls import is_url
from .sql import is_database, write_sql
from .tables import EDITED_TABLE, INSPECTION_TABLE, TABLES, Tables, decodable
from .text_rows import csv_rows, json_rows

__all__ = ["FORMATS", "check_export", "describe_counts", "write_export"]

FORMATS = ("parquet", "csv", "json")
# Formats that may be compressed as a whole; Parquet is compressed in itself.
_TEXTS = ("csv", "json")
_ALL = (*TABLES, EDITED_TABLE, INSPECTION_TABLE)
_MARK = "fastdiff_dask"
# File in the folder of an export beside its tables; only a folder with it may be replaced.
_ABOUT = "export.json"
# Beginning of a cell that a spreadsheet takes for a formula.
_FORMULA = re.compile(r"[=+\-@\t\r]")


def check_export(target: str, table: str | None = None, form: str | None = None, force: bool = False) -> None:
    """Refuse an export that cannot be written, before any work; arguments as for `write_export`.

    Raises
    ------
    UsageError
        If the target cannot be written, is no earlier export, or does not fit the other arguments.
    """
    if table is not None and table not in _ALL:
        raise UsageError(f"there is no table {table!r}; use {', '.join(_ALL)}")
    if form is not None and form not in FORMATS:
        raise UsageError(f"there is no format {form!r}; use {', '.join(FORMATS)}")
    if is_database(target):
        if table is not None or form is not None:
            raise UsageError("a database gets all tables; leave out table= and form=")
        return
    if not target or is_url(target):
        raise UsageError(f"nothing can be exported to {target or 'nowhere'!r}; name a file, a folder or a database")
    path = Path(target)
    try:
        if not path.absolute().parent.is_dir():
            raise UsageError(f"no folder for {target}; make it first")
        if _form_of_file(target) is not None:
            if form is not None and form != _form_of_file(target):
                raise UsageError(f"{target} ends in another format than {form}; leave one of them out")
            if path.exists() and not path.is_file():
                raise UsageError(f"{target} is no file; name another one")
            if path.exists() and not force and not _is_own_file(path):
                raise UsageError(f"{target} is no export; name another file, or replace it with force=True")
        elif path.suffix and not path.exists() and not target.endswith(("/", os.sep)):
            known = ", ".join([*(f".{ending}" for ending in FORMATS), *(f".{ending}.gz" for ending in _TEXTS)])
            raise UsageError(
                f"{target} ends in {path.suffix}, which is no format of a file; use {known}, or for a folder a name "
                f"without an ending, or one that ends in /"
            )
        elif path.exists() and not _is_own_folder(path):
            # force does not help: a folder may have anything in it
            endings = ", ".join(f".{ending}" for ending in FORMATS)
            raise UsageError(f"{target} is no export; name a new folder, or a file that ends in {endings}")
    except OSError as error:
        raise UsageError(f"{target} cannot be written ({error.strerror}); name another place") from None


def _form_of_file(target: str) -> str | None:
    """Give the format by the ending of a file; None for a folder. A text may be compressed: ``pairs.csv.gz``."""
    if target.endswith(("/", os.sep)) or Path(target).is_dir():
        return None
    name, known = (target[:-3], _TEXTS) if is_packed(target) else (target, FORMATS)
    ending = Path(name).suffix[1:].lower()
    return ending if ending in known else None


def write_export(
    tables: Tables,
    target: str,
    *,
    table: str | None = None,
    form: str | None = None,
    password: str | None = None,
    force: bool = False,
) -> dict[str, int]:
    """Write tables of a store into a file, a folder or a database, in place of an earlier export.

    - All or nothing: files are written beside the target, and take its place at the end.
    - Bytes of a path that are not UTF-8 are U+FFFD in Parquet, CSV and databases; ``path_bytes`` of the images has the
      name, in CSV as hexadecimal digits. In JSON they are lone surrogates, as in the file of ``find --json``.
    - CSV is UTF-8 with every text as it is. A spreadsheet takes a cell for a formula if it begins with ``=``, ``+``,
      ``-`` or ``@``, so import it as text.

    Memory: as `Tables`.

    Parameters
    ----------
    tables
        The tables.
    target
        File that ends in .parquet, .csv or .json, for one table, the latter two also with .gz behind it; a new folder,
        or that of an earlier export, for one or all; or the URL of a database, see `sql.write_sql`.
    table
        "images", "pairs", "clusters", "errors" or "edited_copies"; by default the pairs in a file (edited copies if
        only these were chosen), and all in a folder.
    form
        "parquet" (the default), "csv" or "json", for a folder.
    password
        Of the database.
    force
        Replace a file, or tables of a database, that no export wrote. A folder with other things is never replaced.

    Returns
    -------
    Number of rows of each table. For CSV, "formulas" is the number of cells that a spreadsheet takes for formulas.

    Raises
    ------
    UsageError
        See `check_export` and `write_sql`.
    FastDiffError
        If writing fails.
    """
    check_export(target, table, form, force)
    if is_database(target):
        return write_sql(tables, target, password=password, force=force)
    if password is not None:
        raise UsageError("a file has no password; leave it out")
    path, of_file = Path(target).absolute(), _form_of_file(target)
    counts: dict[str, int] = {}
    names = [table or tables.first] if of_file else ([table] if table else list(tables.names))
    new = path.with_name(f"{path.name}.{uuid.uuid4().hex}.partial")
    old = new.with_suffix(".old")
    try:
        if of_file:
            _write(tables, names[0], of_file, new, counts, is_packed(path))
            new.replace(path)
            return counts
        new.mkdir()
        for name in names:
            _write(tables, name, form or "parquet", new / f"{name}.{form or 'parquet'}", counts)
        (new / _ABOUT).write_text(json.dumps({_MARK: __version__, "rows": counts}, indent=1) + "\n")
        if path.exists():
            path.rename(old)
        new.rename(path)
    except OSError as error:
        reason = error.strerror or one_line(error)
        raise FastDiffError(f"the export to {target} failed ({reason}); make room, or name another place") from None
    finally:
        new.unlink() if new.is_file() else shutil.rmtree(new, ignore_errors=True)
        if old.exists() and path.exists():
            shutil.rmtree(old)
    return counts


def describe_counts(counts: dict[str, int]) -> str:
    """Describe the numbers of rows in words.

    Examples
    --------
    >>> describe_counts({"pairs": 2, "formulas": 1})
    'Wrote pairs: 2; 1 cells begin like a formula, import them as text into a spreadsheet'
    """
    rows = ", ".join(f"{name}: {number}" for name, number in counts.items() if name != "formulas")
    formulas = counts.get("formulas", 0)
    more = f"; {formulas} cells begin like a formula, import them as text into a spreadsheet" if formulas else ""
    return f"Wrote {rows}{more}"


def _write(tables: Tables, table: str, form: str, path: Path, counts: dict[str, int], compressed: bool = False) -> None:
    if form == "parquet":
        _write_parquet(tables, table, path, counts)
        return
    with path.open("wb") as file, packed(file, compressed) as sink:
        texts = {"csv": _csv_texts, "json": _json_texts}[form](tables, table, counts)
        sink.writelines(text.encode() for text in texts)


def _counted(tables: Tables, table: str, counts: dict[str, int]) -> Iterator[pd.DataFrame]:
    counts[table] = 0
    for part in tables.parts(table):
        counts[table] += len(part)
        yield part


def _write_parquet(tables: Tables, table: str, path: Path, counts: dict[str, int]) -> None:
    schema = tables.schema(table).with_metadata({_MARK: __version__})
    with pq.ParquetWriter(path, schema, compression="zstd") as writer:
        for part in _counted(tables, table, counts):
            writer.write_table(pa.Table.from_pandas(decodable(part), schema, preserve_index=False))


def _csv_columns(names: list[str]) -> str:
    return ",".join(names) + "\n"


def _csv_texts(tables: Tables, table: str, counts: dict[str, int]) -> Iterator[str]:
    formulas = 0
    yield _csv_columns(tables.schema(table).names)
    for part in _counted(tables, table, counts):
        part = decodable(part)
        if "path_bytes" in part:
            part = part.assign(path_bytes=[None if name is None else name.hex() for name in part.path_bytes])
        formulas += sum(_count_formulas(part[name]) for name in part.select_dtypes(exclude=["number", "bool"]))
        yield from csv_rows(part)
    if formulas:
        counts["formulas"] = counts.get("formulas", 0) + formulas


def _count_formulas(column: pd.Series) -> int:
    found = {cell for cell in set(column) if isinstance(cell, str) and _FORMULA.match(cell)}
    return sum(cell in found for cell in column) if found else 0


def _json_head(table: str) -> str:
    return f'{{"{_MARK}": "{__version__}", "table": "{table}", "rows": ['


def _json_texts(tables: Tables, table: str, counts: dict[str, int]) -> Iterator[str]:
    yield _json_head(table)
    separator = "\n"
    for part in _counted(tables, table, counts):
        # the surrogates in the path have the same information as its bytes
        for texts in json_rows(part.drop(columns="path_bytes", errors="ignore")):
            yield separator + texts
            separator = ""
        separator = ",\n"
    yield "\n]}\n"


# -- earlier exports -------------------------------------------------------------------------------------------------


def _is_own_file(path: Path) -> bool:
    """Find whether an export wrote a file, by its beginning or its metadata."""
    form = _form_of_file(str(path))
    if form == "parquet":
        try:
            return _MARK.encode() in (pq.read_schema(path).metadata or {})
        except (pa.ArrowException, OSError):
            return False
    start = first_bytes(path, 1000)
    if form == "json":
        return start.startswith(f'{{"{_MARK}": "'.encode())
    header = start.partition(b"\n")[0].split(b",")
    kinds = (
        [b"image", b"side"],
        [b"image", b"path"],
        [b"a", b"b"],
        [b"cluster", b"position"],
        [b"path", b"error", b"image"],
        [b"original", b"copy"],
    )
    return any(header[: len(kind)] == kind for kind in kinds)


def _is_own_folder(path: Path) -> bool:
    """Find whether a folder is empty, or has an export and nothing else."""
    if not path.is_dir():
        return False
    names = {entry.name for entry in path.iterdir()}
    if not names:
        return True
    if _ABOUT not in names or names - {
        _ABOUT,
        *(f"{table}.{form}" for table in _ALL for form in FORMATS),
    }:
        return False
    try:
        about: Any = json.loads((path / _ABOUT).read_text())
    except (OSError, ValueError):
        return False
    return isinstance(about, dict) and _MARK in about
