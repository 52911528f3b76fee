"""What was found: pairs, clusters and errors under the names that the user gave, and the JSON file."""

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from .catalog import Root
from .clusters import Cluster, connected_clusters, keep_order
from .comparisons import Comparison
from .config import CompareSettings
from .errors import UsageError
from .files import replace_file
from .metrics import reverse_transforms, rotation_of
from .store import Store

__all__ = ["Result", "collect_errors", "collect_result", "write_json"]

_COLUMNS = ["image", "side", "root", "path", "path_bytes", "size", "current", "width", "height"]


@dataclass(frozen=True)
class Result:
    """The outcome of a comparison.

    Memory grows with the number of similar pairs, about 1 kB each.

    Attributes
    ----------
    pairs
        A row a similar pair, sorted by path: a, b, mse, rotation (degrees counter-clockwise by which a is turned to
        look like b), mirrored (a is mirrored left and right before). Within one side, a is the path that sorts first.
    errors
        A row a file that could not be compared, sorted by path: path, error.
    images
        A row an image that is in a pair, by path: width, height, size in bytes.
    settings, stats
        What was asked for, and the figures of the run, as in the JSON file.
    """

    pairs: pd.DataFrame
    errors: pd.DataFrame
    images: pd.DataFrame
    settings: dict[str, Any] = field(default_factory=dict)
    stats: dict[str, Any] = field(default_factory=dict)

    @cached_property
    def clusters(self) -> list[Cluster]:
        """Connected images, and which one to keep; sorted by the path to keep."""
        paths = self.images.index.to_numpy()
        rank = {path: row for row, path in enumerate(paths)}
        parts = connected_clusters(
            np.array([rank[path] for path in self.pairs.a], np.int64),
            np.array([rank[path] for path in self.pairs.b], np.int64),
        )
        rows = list(self.images.itertuples())
        clusters = []
        for part in parts:
            best = sorted((rows[i] for i in part), key=lambda r: keep_order(r.width, r.height, r.size, r.Index))
            clusters.append(Cluster(best[0].Index, [row.Index for row in best[1:]]))
        return sorted(clusters)

    @property
    def low_quality(self) -> list[str]:
        """Every image that is not the best of its cluster, sorted."""
        return sorted(path for cluster in self.clusters for path in cluster.low_quality)


def _shown_paths(frame: pd.DataFrame, roots: list[Root]) -> list[str]:
    """Paths as the user gave the root, joined with the file's; undecodable bytes as surrogates (PEP 383)."""
    given = {(root.side, root.absolute): root.given for root in roots}
    return [
        os.path.join(given[row.side, row.root], os.fsdecode(row.path_bytes) if row.path_bytes else row.path)  # noqa: PTH118
        for row in frame.itertuples()
    ]


def _objects(values: Sequence[str] | NDArray[np.object_]) -> pd.Series:
    """Strings as Python objects: pandas' own strings cannot hold the surrogates of undecodable names."""
    return pd.Series(values, dtype=object)


def collect_errors(store: Store, roots: list[Root]) -> pd.DataFrame:
    """Files of the collection that could not be compared, sorted: path, error."""
    frame = store.read_images(["side", "root", "path", "path_bytes", "current", "error"])
    frame = frame[frame.current & frame.error.notna()]
    rows = sorted(zip(_shown_paths(frame, roots), frame.error, strict=True))
    return pd.DataFrame({"path": _objects([path for path, _ in rows]), "error": [error for _, error in rows]})


def collect_result(
    store: Store, roots: list[Root], comparison: Comparison, threshold: float, stats: dict[str, Any] | None = None
) -> Result:
    """Collect the pairs at or below a threshold from a finished comparison, and the errors.

    Parameters
    ----------
    store, roots
        The store, and the folders as the user gives them now.
    comparison
        A comparison of the store at this threshold or a higher one.
    threshold
        Largest MSE of a pair.
    stats
        Figures of the run, kept with the result.
    """
    height, width, _ = store.thumbnail_settings.shape
    wanted = CompareSettings.from_json({**comparison.settings.to_json(), "similarity_threshold": threshold})
    limit = wanted.sse_limit(height, width)
    parts = [np.zeros((0, 4), np.int64)]
    for generation in range(len(store.generations)):
        parts += [pairs[pairs[:, 2] <= limit] for pairs in comparison.read_pairs(generation)]
    found = np.concatenate(parts)

    size = store.thumbnail_settings.block_size
    blocks = np.unique(found[:, :2] // size).tolist()
    frames = [store.read_partition(block, _COLUMNS) for block in blocks]
    images = pd.concat(frames, ignore_index=True) if frames else store.read_images(_COLUMNS).iloc[:0]
    images = images[images.current & images.image.isin(found[:, :2].ravel())].reset_index(drop=True)
    row_of = pd.Series(range(len(images)), index=images.image, dtype=np.int64)
    found = found[np.isin(found[:, 0], images.image) & np.isin(found[:, 1], images.image)]
    paths = np.array(_shown_paths(images, roots), dtype=object)

    first, second, masks = paths[row_of[found[:, 0]]], paths[row_of[found[:, 1]]], found[:, 3]
    if not store.two_sides:
        # image numbers depend on when a file was found; the order of paths does not
        swap = (first > second).astype(bool)
        first, second = np.where(swap, second, first), np.where(swap, first, second)
        masks = np.where(swap, reverse_transforms(masks), masks)
    named = [rotation_of(mask) for mask in masks.tolist()]
    pairs = pd.DataFrame(
        {
            "a": _objects(first),
            "b": _objects(second),
            "mse": found[:, 2] / (height * width),
            "rotation": np.array([rotation for rotation, _ in named], np.int64),
            "mirrored": np.array([mirrored for _, mirrored in named], bool),
        }
    )
    # pandas would sort by two columns as its own strings, which cannot hold undecodable names
    order = sorted(range(len(pairs)), key=lambda row: (first[row], second[row]))
    pairs = pairs.iloc[order].reset_index(drop=True)

    kept = images[["width", "height", "size"]].set_axis(pd.Index(paths, dtype=object, name="path"))
    in_pairs = np.isin(np.arange(len(paths)), row_of[found[:, :2].ravel()])
    settings = {
        "directories_a": [root.given for root in roots if root.side == "a"],
        "directories_b": [root.given for root in roots if root.side == "b"],
        "thumbnail_size_x": width,
        "thumbnail_size_y": height,
        **wanted.to_json(),
    }
    return Result(pairs, collect_errors(store, roots), kept[in_pairs].sort_index(), settings, stats or {})


def write_json(result: Result, path: str) -> None:
    """Write a result as JSON, sorted, so that two runs differ in ``stats`` alone; ``-`` is standard output.

    All beyond ASCII is escaped. A byte of a file name that is no UTF-8 is a lone surrogate U+DC80 to U+DCFF, as in
    Python (PEP 383): `os.fsencode` of the string that `json` reads gives the name back.

    Raises
    ------
    UsageError
        If the file cannot be written.
    """
    columns = ["a", "b", "mse", "rotation"] + (["mirrored"] if result.settings.get("mirror") else [])
    content = {
        "format": 1,
        "settings": result.settings,
        "pairs": result.pairs[columns].to_dict("records"),
        "clusters": [cluster._asdict() for cluster in result.clusters],
        "errors": result.errors.to_dict("records"),
        "stats": result.stats,
    }
    text = json.dumps(content, indent=1) + "\n"
    if path == "-":
        print(text, end="")
        return
    try:
        target = Path(path).resolve()  # what a link leads to is written, the link stays
        if target.exists() and not target.is_file():
            target.write_bytes(text.encode())  # a pipe or a device, which must not be replaced by a file
        else:
            replace_file(target, text.encode())
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror}; name another file with --json") from None
