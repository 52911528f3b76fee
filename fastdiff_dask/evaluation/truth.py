"""Known copies, as people write them down: pairs or clusters, in JSON, CSV or Python."""

import gzip
import json
import os
import zlib
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from itertools import combinations
from pathlib import Path, PurePath
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..errors import UsageError
from ..results.components import Components
from ..text import one_line, printable

__all__ = ["Truth", "is_implied", "name_images", "read_truth"]

Truth: TypeAlias = str | os.PathLike[str] | pd.DataFrame | Mapping[str, Any] | Iterable[Any]
# Names of the columns of a pair, and of a file and its cluster; the first two of one row that are there count.
_PAIR_COLUMNS = (("a", "b"), ("original", "variant"), ("original", "copy"))
_CLUSTER_COLUMNS = (("path", "cluster"), ("file", "cluster"), ("path", "group"), ("file", "group"))
_HOW = (
    "write columns a, b and, if you like, kind; or path and cluster; or, as JSON, a list of pairs or of clusters, or "
    "each file with its copies"
)


def read_truth(truth: Truth) -> pd.DataFrame:
    """Read known copies.

    Parameters
    ----------
    truth
        A CSV or JSON file, also one that ends in .gz, a table, or what such a JSON file contains:

        - pairs: columns a and b, or original and variant, and optionally kind; as JSON, a list of such objects;
        - clusters: columns path and cluster; as JSON, a list of lists of files;
        - as JSON, an object of each file and the list of its copies, or one with pairs and clusters as ``--json`` of
          ``find`` writes it.

    Returns
    -------
    A row a pair, each once: a, b, kind ("" if it has none). A cluster of n files is n (n − 1) / 2 pairs.

    Raises
    ------
    UsageError
        If it cannot be read, or is none of these.
    """
    if isinstance(truth, str | os.PathLike):
        truth = _read_file(Path(truth))
    frame = pd.DataFrame(_pairs(truth), columns=["a", "b", "kind"], dtype=object)
    frame = frame[frame.a != frame.b]
    swapped = frame.a > frame.b
    frame.loc[swapped, ["a", "b"]] = frame.loc[swapped, ["b", "a"]].to_numpy()
    frame = frame.drop_duplicates(["a", "b"]).reset_index(drop=True)
    if frame.empty:
        raise UsageError(f"there is no pair in the truth; {_HOW}")
    return frame


def _read_file(path: Path) -> Any:
    try:
        if path.suffix.lower() == ".json":
            return json.loads(path.read_text("utf-8"))
        if path.name.lower().endswith(".json.gz"):
            return json.loads(gzip.decompress(path.read_bytes()))
        return pd.read_csv(path, dtype=str, keep_default_na=False)
    except (ValueError, pd.errors.ParserError, gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise UsageError(f"{printable(str(path))} is neither CSV nor JSON ({one_line(error, 100)}); {_HOW}") from None
    except OSError as error:
        raise UsageError(f"cannot read {printable(str(path))}: {error.strerror}") from None


def _pairs(truth: Any) -> Iterator[tuple[str, str, str]]:
    if isinstance(truth, pd.DataFrame):
        yield from _table_pairs(truth)
    elif isinstance(truth, Mapping):
        yield from _object_pairs(truth)
    elif isinstance(truth, Iterable) and not isinstance(truth, str):
        items = list(truth)
        if items and all(isinstance(item, Mapping) for item in items):
            yield from _table_pairs(pd.DataFrame(items))
            return
        for item in items:
            if isinstance(item, str) or not isinstance(item, Collection):
                raise UsageError(f"{item!r} in the truth is no pair and no cluster; {_HOW}")
            yield from ((str(a), str(b), "") for a, b in combinations(item, 2))
    else:
        raise UsageError(f"the truth is of type {type(truth).__name__}; {_HOW}")


def _object_pairs(truth: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    if isinstance(truth.get("pairs"), list) and isinstance(truth.get("clusters", []), list):
        yield from _pairs(truth["pairs"])
        for cluster in truth.get("clusters", []):
            yield from _pairs([[cluster["keep"], *cluster["low_quality"]] if isinstance(cluster, Mapping) else cluster])
        return
    for name, copies in truth.items():
        if isinstance(copies, str) or not isinstance(copies, Collection):
            raise UsageError(f"{name!r} in the truth has no list of copies; {_HOW}")
        # a copy is a name, or a name with a score
        yield from ((name, str(copy if isinstance(copy, str) else copy[0]), "") for copy in copies)


def _table_pairs(frame: pd.DataFrame) -> Iterator[tuple[str, str, str]]:
    for first, second in _PAIR_COLUMNS:
        if {first, second} <= set(frame.columns):
            kinds = frame["kind"].fillna("").astype(str) if "kind" in frame else [""] * len(frame)
            yield from zip(frame[first].astype(str), frame[second].astype(str), kinds, strict=True)
            return
    for path, cluster in _CLUSTER_COLUMNS:
        if {path, cluster} <= set(frame.columns):
            for _, members in frame.groupby(cluster, sort=True):
                yield from ((a, b, "") for a, b in combinations(members[path].astype(str), 2))
            return
    raise UsageError(f"the truth has the columns {', '.join(map(repr, frame.columns))}; {_HOW}")


def name_images(truth: pd.DataFrame, images: Iterable[str], folder: str = "") -> tuple[pd.DataFrame, list[str]]:
    """Find the images that the names of a truth mean.

    A name is a path as it was found, or one below a folder, or the last parts of such a path.

    Parameters
    ----------
    truth
        As `read_truth` gives it.
    images
        Paths of all images.
    folder
        Folder of the truth's file.

    Returns
    -------
    truth
        With paths of images; pairs of which an image is not there are left out.
    unknown
        Names that mean no image, sorted.

    Raises
    ------
    UsageError
        If a name means several images.
    """
    names = sorted({*truth.a, *truth.b})
    known = dict.fromkeys(images)
    ends: dict[int, dict[tuple[str, ...], list[str]]] = {}
    for parts in {len(PurePath(name).parts) for name in names if name not in known}:
        ends[parts] = {}
        for path in known:
            ends[parts].setdefault(PurePath(path).parts[-parts:], []).append(path)
    meant: dict[str, str] = {}
    for name in names:
        below = str(Path(folder) / name)
        found = [name] if name in known else [below] if below in known else []
        found = found or ends[len(PurePath(name).parts)].get(PurePath(name).parts, [])
        if len(found) > 1:
            either = f"{printable(found[0])} or {printable(found[1])}"
            raise UsageError(f"{printable(name)} in the truth may be {either}; write more of its path")
        if found:
            meant[name] = found[0]
    renamed = truth.assign(a=truth.a.map(meant), b=truth.b.map(meant)).dropna(subset=["a", "b"])
    return renamed.reset_index(drop=True), [name for name in names if name not in meant]


def is_implied(pairs: Sequence[tuple[str, str]], known: Sequence[tuple[str, str]]) -> NDArray[np.bool_]:
    """Tell which pairs are not known, but connected by known ones: (k,) bool.

    Examples
    --------
    >>> is_implied([("1", "2"), ("2", "3"), ("3", "4")], [("1", "2"), ("1", "3")]).tolist()
    [False, True, False]
    """
    names = {name: place for place, name in enumerate(dict.fromkeys(name for pair in known for name in pair))}
    ends = np.array([[names[a], names[b]] for a, b in known], np.int64).reshape(-1, 2)
    components = Components(len(names))
    components.add(ends[:, 0], ends[:, 1])
    labels = components.labels().tolist()
    direct = set(known)
    return np.array(
        [pair not in direct and all(name in names for name in pair) and len({labels[names[name]] for name in pair}) == 1
         for pair in pairs], bool
    )  # fmt: skip
