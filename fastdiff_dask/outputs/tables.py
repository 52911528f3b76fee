"""The tables of a store for databases and files, a part at a time: images, pairs, clusters and errors."""

import os
from collections.abc import Callable, Iterator
from functools import cached_property
from typing import Self

import pandas as pd
import pyarrow as pa

from ..config import EDITED_COPY
from ..errors import UsageError
from ..inspection.definitions import Limits
from ..inspection.inspection import INSPECTION_SCHEMA, inspect_images
from ..results.collect import shown_paths
from ..results.keep_order import best_first
from ..results.result import Result
from ..results.stored import roots_of_store, stored_result
from ..stages.listing.roots import Root
from ..storage.schema import FIGURES, FILE_NAME, HASH_VALUES, HASHED_BY, IMAGE_SCHEMA
from ..storage.store import Store

__all__ = ["EDITED_TABLE", "INSPECTION_TABLE", "TABLES", "Tables", "decodable"]

TABLES = ("images", "pairs", "clusters", "errors")
# Edited copies are no pairs of thumbnails; this table is there if there are any.
EDITED_TABLE = "edited_copies"
# Blank, dark, equal images and so on, see `inspection`; this table is there if it is asked for by itself.
INSPECTION_TABLE = "inspection"
_IMAGE_COLUMNS = [
    "image",
    "side",
    *FILE_NAME,
    "size",
    "mtime_ns",
    "width",
    "height",
    "format",
    "mode",
    "camera",
    "captured",
    "content_hash",
    "warnings",
    "error",
    *FIGURES,
    *HASHED_BY,
    *HASH_VALUES,
]
_CLUSTER_ROWS = 1 << 16
_EDITED_SCHEMA = pa.schema(
    [
        *((name, pa.string()) for name in ("original", "copy")),
        ("confidence", pa.float64()),
        *((name, pa.string()) for name in ("words", "part")),
        *((side, pa.int32()) for side in ("top", "left", "bottom", "right")),
        ("mirrored", pa.bool_()),
        ("angle", pa.float64()),
        ("via", pa.string()),
        *((name, pa.int64()) for name in ("original_image", "copy_image")),
    ]
)


class Tables:
    """The tables of a store: four, and one of edited copies if there are any.

    An image has a number, which is the same in all tables and never changes in a store, and its path as the user gave
    the folder. Bytes of a path that are not UTF-8 are surrogates (PEP 383), see `decodable`.

    Memory besides a `Result`: a block of metadata, or a quarter of a million pairs. Up to a million pairs are sorted,
    and take 25 bytes each.

    Parameters
    ----------
    store, roots
        The store, and the folders as the user gives them now.
    result
        Collects the result; called for the first table of pairs or clusters.
    """

    def __init__(self, store: Store, roots: list[Root], result: Callable[[], Result]) -> None:
        self.store, self.roots = store, roots
        self._collect = result

    @classmethod
    def of_store(cls, url: str, comparison: str | None = None, threshold: float | None = None) -> Self:
        """Make the tables from a store alone; its pictures need not be there. See `choose_stored`."""
        store = Store(url)
        return cls(store, roots_of_store(store), lambda: stored_result(store, comparison, threshold))

    @cached_property
    def result(self) -> Result:
        """The result, collected once."""
        return self._collect()

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the tables that are there."""
        return (*TABLES, EDITED_TABLE) if len(self.result.edited) else TABLES

    @property
    def first(self) -> str:
        """Name of the table of the pairs that were asked for."""
        return EDITED_TABLE if self.result.chosen_verdicts == (EDITED_COPY,) else "pairs"

    def schema(self, table: str) -> pa.Schema:
        """Names and types of the columns of a table."""
        if table == "images":
            fields = [IMAGE_SCHEMA.field(name) for name in _IMAGE_COLUMNS if name not in ("root", "path_bytes")]
            fields = [pa.field(one.name, pa.float64()) if one.name in FIGURES else one for one in fields]
            return pa.schema([*fields, ("path_bytes", pa.binary())])
        if table == "pairs":
            value = self.result.value.column
            kinds = {"a": pa.string(), "b": pa.string(), value: pa.float64(), "rotation": pa.int16()}
            kinds |= {"mirrored": pa.bool_(), "verdict": pa.string()}
            return pa.schema(kinds | {"a_image": pa.int64(), "b_image": pa.int64()})
        if table == "clusters":
            numbers = {name: pa.int64() for name in ("cluster", "position")}
            return pa.schema(numbers | {"path": pa.string(), "keep": pa.bool_(), "image": pa.int64()})
        if table == EDITED_TABLE:
            return _EDITED_SCHEMA
        if table == INSPECTION_TABLE:
            return INSPECTION_SCHEMA
        return pa.schema({"path": pa.string(), "error": pa.string(), "image": pa.int64()})

    def parts(self, table: str) -> Iterator[pd.DataFrame]:
        """Give the rows of a table, some at a time, with the columns of `schema`; `path_bytes` is None for UTF-8."""
        kinds = {"images": self._images, "pairs": self._pairs, "clusters": self._clusters, "errors": self._errors}
        kinds |= {EDITED_TABLE: self._edited, INSPECTION_TABLE: self._inspection}
        for part in kinds[table]():
            if len(part):
                yield part[self.schema(table).names]

    def _images(self) -> Iterator[pd.DataFrame]:
        for block in range(self.store.blocks):
            frame = self.store.read_partition(block, [*_IMAGE_COLUMNS, "current"])
            frame = frame[frame.current]
            paths = shown_paths(frame, self.roots)
            named = [None if text.isascii() or _is_decodable(text) else os.fsencode(text) for text in paths]
            texts = pd.Series(paths, frame.index, dtype=object)
            figures = {name: frame[name].astype(float).round(6) for name in FIGURES}
            yield frame.assign(path=texts, path_bytes=pd.Series(named, frame.index, dtype=object), **figures)

    def _errors(self) -> Iterator[pd.DataFrame]:
        for part in self._images():
            yield part[part.error.notna()]

    def _pairs(self) -> Iterator[pd.DataFrame]:
        if self.result.pairs_complete:
            yield from self.result.sorted_pairs(numbered=True)
        else:
            yield from self.result.iter_pairs(numbered=True)

    def _inspection(self) -> Iterator[pd.DataFrame]:
        """Look at the images by the usual limits; similar ones are known if images were compared."""
        result, reason = None, ""
        try:
            result = self.result
        except UsageError as error:
            reason = str(error)
        yield from inspect_images(self.store, self.roots, Limits(), (), result, reason).numbered_blocks()

    def _edited(self) -> Iterator[pd.DataFrame]:
        yield self.result.numbered_edited()

    def _clusters(self) -> Iterator[pd.DataFrame]:
        # by rows, as stores of two machines may have the same path on either side
        rows = list(self.result.images.itertuples())
        ordered = [best_first(rows[i] for i in part) for part in self.result.connected()]
        ordered.sort(key=lambda part: [row.Index for row in part])
        lines = [
            (number, position, row.Index, row.Index == part[0].Index, row.image)
            for number, part in enumerate(ordered)
            for position, row in enumerate(part)
        ]
        for start in range(0, len(lines), _CLUSTER_ROWS):
            columns = zip(*lines[start : start + _CLUSTER_ROWS], strict=True)
            named = zip(("cluster", "position", "path", "keep", "image"), columns, strict=True)
            yield pd.DataFrame({name: pd.Series(v, dtype=object if name == "path" else None) for name, v in named})


def _is_decodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def decodable(frame: pd.DataFrame) -> pd.DataFrame:
    """Show undecodable bytes in paths as U+FFFD, for formats that cannot hold surrogates.

    Examples
    --------
    >>> decodable(pd.DataFrame({"path": ["é.png", "\\udcff.png"]}, dtype=object)).path.to_list()
    ['é.png', '�.png']
    """
    shown = {}
    for name in ("path", "a", "b", "original", "copy", "via", "near_path"):
        texts = {text for text in frame[name] if text is not None} if name in frame else set()
        if not _is_decodable("".join(texts)):
            known = {text: text.encode("utf-8", "surrogateescape").decode("utf-8", "replace") for text in texts}
            shown[name] = pd.Series([known.get(text) for text in frame[name]], frame.index, dtype=object)
    return frame.assign(**shown)
