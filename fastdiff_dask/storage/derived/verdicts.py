"""Verdicts of the second look in a store: a Parquet file for each task that looked at pairs of images."""

import io
import uuid

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from ...config import (
    NOT_LOOKED_AT,
    SAME_FILE,
    SAME_PICTURE,
    SAME_PIXELS,
    SIMILAR,
    VERDICT_NAMES,
)
from ..schema import VERDICTS
from ..store import Store
from ..validation import is_plain

__all__ = [
    "NOT_LOOKED_AT",
    "SAME_FILE",
    "SAME_PICTURE",
    "SAME_PIXELS",
    "SIMILAR",
    "VERDICT_NAMES",
    "Verdicts",
    "read_verdict_files",
    "read_verdicts",
    "verdict_files",
    "write_verdicts",
]

_SCHEMA = pa.schema(
    [
        ("a", pa.int64()),  # numbers of the images, a < b
        ("b", pa.int64()),
        ("verdict", pa.int8()),
        ("block", pa.float32()),  # largest difference of a block, in levels, see `images.second_look`
        ("size", pa.int32()),  # pixels of the longer side at which they were compared, at most
        ("made", pa.int8()),  # 1: a was made from b, 2: b from a, 0: not known, see `images.made_from`
    ]
)
_WITHOUT_MADE = _SCHEMA.remove(_SCHEMA.get_field_index("made"))


class Verdicts:
    """Verdicts of pairs of images, found by the numbers of the images.

    Memory: 21 bytes a pair.

    Parameters
    ----------
    frame
        Pairs with columns a, b, verdict, block, size and made; of a pair that is there several times, the look at the
        largest size counts.
    """

    def __init__(self, frame: pd.DataFrame) -> None:
        frame = frame.sort_values(["a", "b", "size"], kind="stable").drop_duplicates(["a", "b"], keep="last")
        self._keys = _keys(frame.a.to_numpy(np.int64), frame.b.to_numpy(np.int64))
        self._codes = frame.verdict.to_numpy(np.int8)
        self._blocks = frame.block.to_numpy(np.float32)
        self._sizes = frame["size"].to_numpy(np.int32)
        self._made = frame.made.to_numpy(np.int8)

    def __len__(self) -> int:
        return len(self._keys)

    def codes(self, a: NDArray[np.int64], b: NDArray[np.int64], size: int = 0) -> NDArray[np.int8]:
        """Give the verdict of each pair, (k,) int8; `NOT_LOOKED_AT` if it was looked at below a size."""
        places, there = self._find(a, b)
        there[there] = self._sizes[places[there]] >= size
        found = np.full(len(places), NOT_LOOKED_AT, np.int8)
        found[there] = self._codes[places[there]]
        return found

    def same(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Give the numbers of the images of all pairs that are the same picture: (k,) int64 each."""
        keys = self._keys[self._codes != SIMILAR]
        return keys >> 31, keys & (1 << 31) - 1

    def pairs(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Give the numbers of the images of all pairs: (k,) int64 each."""
        return self._keys >> 31, self._keys & (1 << 31) - 1

    def sources(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Give the numbers of images that were made from others, and of those: (k,) int64 each."""
        known = (self._codes != SIMILAR) & (self._made != 0)
        a, b, first = self._keys[known] >> 31, self._keys[known] & (1 << 31) - 1, self._made[known] == 1
        return np.where(first, a, b), np.where(first, b, a)

    def blocks(self, a: NDArray[np.int64], b: NDArray[np.int64]) -> NDArray[np.float32]:
        """Give the largest difference of a block of each pair, (k,) float32, in levels; NaN if it is not known."""
        places, there = self._find(a, b)
        found = np.full(len(places), np.nan, np.float32)
        found[there] = self._blocks[places[there]]
        return found

    def _find(self, a: NDArray[np.int64], b: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        keys = _keys(np.minimum(a, b), np.maximum(a, b))
        places = np.searchsorted(self._keys, keys)
        there = places < len(self._keys)
        there[there] = self._keys[places[there]] == keys[there]
        return places, there


def _keys(a: NDArray[np.int64], b: NDArray[np.int64]) -> NDArray[np.int64]:
    return (a << 31) | b  # a store has at most 2³¹ images


def read_verdicts(store: Store, more: pd.DataFrame | None = None) -> Verdicts:
    """Read all verdicts of a store, and put others to them, columns as in `Verdicts`.

    Raises
    ------
    FastDiffError
        If a file is damaged.
    """
    frame = pd.concat([read_verdict_files(store, verdict_files(store)), *([] if more is None else [more])])
    return Verdicts(frame)


def verdict_files(store: Store) -> list[str]:
    """List the names of the files of verdicts, sorted; a file is never changed."""
    return [f"{VERDICTS}/{name}" for name in sorted(store.files.names(VERDICTS)) if name.endswith(".parquet")]


def read_verdict_files(store: Store, names: list[str]) -> pd.DataFrame:
    """Read some files of verdicts; columns as in `Verdicts`, and pairs that cannot be are left out.

    Raises
    ------
    FastDiffError
        If a file is damaged.
    """
    tables = [_SCHEMA.empty_table()]
    with store.files.reading(VERDICTS):
        for content in store.files.read_several(names):
            file = pq.ParquetFile(io.BytesIO(content))
            if not any(is_plain(file.schema_arrow, schema) for schema in (_SCHEMA, _WITHOUT_MADE)):
                raise ValueError("its columns are others")
            tables.append(file.read())
    frame = pa.concat_tables(tables, promote_options="default").to_pandas()
    frame["made"] = frame.made.fillna(0).astype(np.int8)  # files of earlier versions have none
    valid = frame.verdict.between(SAME_PIXELS, SIMILAR) & (frame.a >= 0) & (frame.a < frame.b) & (frame.b < 1 << 31)
    return frame[valid]


def write_verdicts(store: Store, frame: pd.DataFrame) -> None:
    """Commit the verdicts of some pairs, columns as in `Verdicts`, as one file."""
    sink = io.BytesIO()
    table = pa.Table.from_pandas(frame, schema=_SCHEMA, preserve_index=False)
    pq.write_table(table.replace_schema_metadata(), sink, compression="zstd")
    store.files.write(f"{VERDICTS}/{uuid.uuid4().hex}.parquet", sink.getvalue())
