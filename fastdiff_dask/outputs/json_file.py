"""The JSON file of a result, equal byte by byte for equal results."""

import contextlib
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ..errors import UsageError
from ..kernels.transforms import lowest_transforms
from ..local_files import is_packed, packed, replaced_file
from ..results.clusters import Cluster
from ..results.result import Result
from ..storage.derived.verdicts import VERDICT_NAMES
from ..text import printable
from .text_rows import json_rows, table_texts

__all__ = ["describe_left_out", "write_json", "write_pairs", "write_rows", "write_texts"]

# Pairs that are written at once.
_PART = 1 << 18


def write_json(result: Result, path: str) -> None:
    """Write a result as JSON, sorted, so that two runs differ in ``stats`` alone; ``-`` is standard output.

    Characters beyond ASCII are escaped. A byte of a file name that is no UTF-8 is a lone surrogate U+DC80 to U+DCFF, as
    in Python (PEP 383): `os.fsencode` of the string that `json` reads gives the name back. Memory for pairs: about
    100 MB, see `Result.sorted_pairs`.

    Parameters
    ----------
    result
        The result. If it has more than a million pairs, the file lists some, see `Result.pairs`, and names a Parquet
        file beside it with all of them.
    path
        The file; replaced if it is there, and compressed if its name ends in .gz.

    Raises
    ------
    UsageError
        If the file cannot be written.
    """
    beside = None if result.pairs_complete or path == "-" else _pairs_beside(path)
    if beside is not None:
        with _writing(path):
            write_pairs(result, beside)
    write_texts(_json_texts(result, beside), path)


def write_rows(result: Result, path: str, form: str) -> None:
    """Write all pairs, a row each: a, b, the value, rotation, mirrored, verdict; ``-`` is standard output.

    Up to a million pairs are sorted by path. In CSV, bytes of a path that are not UTF-8 are U+FFFD.

    Parameters
    ----------
    result
        The result.
    path
        The file, as for `write_json`.
    form
        "csv", with a line of names; or "jsonl", an object a line.

    Raises
    ------
    UsageError
        If the file cannot be written.
    """
    parts = result.sorted_pairs() if result.pairs_complete else result.iter_pairs()
    columns = ["a", "b", result.value.column, "rotation", "mirrored", "verdict"]
    write_texts(table_texts(columns, parts, form), path)


def _pairs_beside(path: str) -> Path:
    """Name the file of all pairs beside a JSON file that does not list them all."""
    target = Path(path).resolve()
    return (target.with_suffix("") if is_packed(target) else target).with_suffix(".pairs.parquet")


def describe_left_out(result: Result, path: str) -> str:
    """Describe in words where the pairs are that a JSON file does not list."""
    rest = "`export STORE pairs.parquet`" if path == "-" else printable(str(_pairs_beside(path)))
    return f"lists some of the {result.pair_count} pairs, which connect the same images; all of them: {rest}"


def write_texts(texts: Iterable[str], path: str) -> None:
    """Write texts one after the other into a file, which is replaced; ``-`` is standard output.

    The file is compressed if its name ends in .gz.

    Raises
    ------
    UsageError
        If the file cannot be written.
    """
    if path == "-":
        for text in texts:
            print(text, end="")
        return
    with _writing(path):
        target = Path(path).resolve()  # the target of a link is replaced, the link stays
        # a pipe or a device must not be replaced by a file
        replaceable = not target.exists() or target.is_file()
        with replaced_file(target) if replaceable else target.open("wb") as file, packed(file, is_packed(path)) as sink:
            sink.writelines(text.encode() for text in texts)


@contextlib.contextmanager
def _writing(path: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise UsageError(f"cannot write {printable(path)}: {error.strerror}; name another file") from None


def _cluster_json(cluster: Cluster) -> dict[str, Any]:
    named = cluster._asdict()
    return named if cluster.sides else {name: value for name, value in named.items() if name != "sides"}


def write_pairs(result: Result, path: Path) -> None:
    """Write all pairs as a Parquet file: a, b (paths), the value, rotation, mirrored, verdict; in no particular order.

    Memory: the paths, and 100 bytes a pair of a quarter of a million. Bytes of a path that are not UTF-8 are U+FFFD.

    Raises
    ------
    OSError
        If the file cannot be written.
    """
    names = pa.array(
        [name.encode("utf-8", "surrogateescape").decode("utf-8", "replace") for name in result.images.index]
    )
    verdicts = pa.array(VERDICT_NAMES)
    kinds = {"a": pa.dictionary(pa.int32(), pa.string()), "b": pa.dictionary(pa.int32(), pa.string())}
    kinds |= {result.value.column: pa.float64(), "rotation": pa.int16(), "mirrored": pa.bool_()}
    schema = pa.schema(kinds | {"verdict": pa.dictionary(pa.int8(), pa.string())})
    with replaced_file(path) as file, pq.ParquetWriter(file, schema, compression="zstd") as writer:
        for chunk in result.groups.pairs(_PART):
            rotation, mirrored = lowest_transforms(chunk.masks)
            ends = [pa.DictionaryArray.from_arrays(end.astype(np.int32), names) for end in (chunk.a, chunk.b)]
            codes = pa.DictionaryArray.from_arrays(result.verdicts.codes(chunk.a, chunk.b), verdicts)
            columns = [*ends, result.value.numbers(chunk.values), rotation.astype(np.int16), mirrored, codes]
            writer.write_table(pa.Table.from_arrays([pa.array(one) for one in columns], schema=schema))


def _json_texts(result: Result, beside: Path | None) -> Iterator[str]:
    """Make the JSON text in pieces, as `json.dumps` with an indent of 1 would make it at once."""
    columns = ["a", "b", result.value.column, "rotation"] + (["mirrored"] if result.settings.get("mirror") else [])
    columns.append("verdict")
    content = {
        "format": 1,
        "settings": result.settings,
        **({} if beside is None else {"all_pairs": beside.name}),
        "pairs": [],
        **({"hash_pairs": result.hash_pairs.to_dict("records")} if result.settings.get("skip_matching_hash") else {}),
        "clusters": [_cluster_json(cluster) for cluster in result.clusters],
        **({"edited": result.edited.to_dict("records")} if len(result.edited) else {}),
        "errors": result.errors.to_dict("records"),
        "files": result.files,
        "links": result.links.to_dict("records"),
        "stats": result.stats,
    }
    # no other line begins so: nested names are indented more, and texts have no line breaks of their own
    before, after = json.dumps(content, indent=1).split('\n "pairs": [', 1)
    yield f'{before}\n "pairs": ['
    separator = "\n"
    for part in result.sorted_pairs():
        for texts in json_rows(part[columns], indent=True):
            yield separator + texts
            separator = ""
        separator = ",\n"
    yield ("" if separator == "\n" else "\n ") + after + "\n"
