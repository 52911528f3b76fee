"""The JSON file of a result, equal byte by byte for equal results."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..errors import UsageError
from ..results.clusters import Cluster
from ..results.result import Result
from ..storage.local_files import replaced_file

__all__ = ["write_json"]


def write_json(result: Result, path: str) -> None:
    """Write a result as JSON, sorted, so that two runs differ in ``stats`` alone; ``-`` is standard output.

    Characters beyond ASCII are escaped. A byte of a file name that is no UTF-8 is a lone surrogate U+DC80 to U+DCFF, as
    in Python (PEP 383): `os.fsencode` of the string that `json` reads gives the name back. Memory for pairs: about
    300 MB, see `Result.sorted_pairs`.

    Parameters
    ----------
    result
        The result.
    path
        The file; replaced if it is there.

    Raises
    ------
    UsageError
        If the file cannot be written.
    """
    pieces = (text.encode() for text in _json_texts(result))
    if path == "-":
        for piece in pieces:
            print(piece.decode(), end="")
        return
    try:
        target = Path(path).resolve()  # the target of a link is replaced, the link stays
        # a pipe or a device must not be replaced by a file
        replaceable = not target.exists() or target.is_file()
        with replaced_file(target) if replaceable else target.open("wb") as file:
            file.writelines(pieces)
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror}; name another file") from None


def _cluster_json(cluster: Cluster) -> dict[str, Any]:
    named = cluster._asdict()
    return named if cluster.sides else {name: value for name, value in named.items() if name != "sides"}


def _json_texts(result: Result) -> Iterator[str]:
    """Make the JSON text in pieces, as `json.dumps` with an indent of 1 would make it at once."""
    columns = ["a", "b", result.value.column, "rotation"] + (["mirrored"] if result.settings.get("mirror") else [])
    columns.append("verdict")
    content = {
        "format": 1,
        "settings": result.settings,
        "pairs": [],
        **({"hash_pairs": result.hash_pairs.to_dict("records")} if result.settings.get("skip_matching_hash") else {}),
        "clusters": [_cluster_json(cluster) for cluster in result.clusters],
        "errors": result.errors.to_dict("records"),
        "files": result.files,
        "links": result.links.to_dict("records"),
        "stats": result.stats,
    }
    # no other line begins so: nested names are indented more, and texts have no line breaks of their own
    before, after = json.dumps(content, indent=1).split('\n "pairs": [', 1)
    yield f'{before}\n "pairs": ['
    separator = ""
    for part in result.sorted_pairs():
        records = json.dumps(part[columns].to_dict("records"), indent=1)
        yield separator + records.removeprefix("[").removesuffix("\n]").replace("\n", "\n ")
        separator = ","
    yield ("\n " if separator else "") + after + "\n"
