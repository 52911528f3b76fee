"""Edited copies in a store: contents of images, candidates, how they were aligned, and what was seen of them.

::

    edited/<version>/contents-<block>                      a row of bytes for each image of a block
    edited/<version>/candidates-<rows>-<columns>.npy       (k, 5) int64: candidates of the images of some blocks, rows,
                                                           among those of others, columns; each range as first-end
    edited/<version>/aligned-<name>.parquet                alignments of candidates, see `ALIGNED`
    edited/<version>/looks-<name>.parquet                  what was seen of the pictures of a pair, see `LOOKS`
    edited/<version>/chosen.parquet                        the pairs whose looks are shown, see `CHOSEN`

All of them are written as a whole, and but for the last one never changed, so that images that come later cost what is
new.
"""

import io
import re
import uuid
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from ..schema import EDITED
from ..store import Store
from ..validation import check_printable, is_plain

__all__ = ["ALIGNED", "LOOKS", "EditedFiles", "Rectangle"]

# Another way to make contents, candidates or looks is another version.
_FOLDER = f"{EDITED}/1"
# Values of a candidate: images a and b, and three that tell how they are alike.
_CANDIDATE_VALUES = 5
_PAIR = [("a", pa.int64()), ("b", pa.int64())]  # numbers of the images, as the candidate has them
_MATRIX = [(f"m{place}", pa.float64()) for place in range(6)]  # (2, 3): shares of b (y, x, 1) → shares of a
CHOSEN = pa.schema(
    [
        *_PAIR,  # the lower number first
        ("via", pa.int64()),  # -1: the pair was looked at; else the number of an image that both are copies of
        ("confidence", pa.float32()),  # of a pair that is known by such an image
    ]
)
ALIGNED = pa.schema([*_PAIR, ("score", pa.float32()), ("coverage", pa.float32()), *_MATRIX])
LOOKS = pa.schema(
    [
        *_PAIR,
        ("edited", pa.bool_()),
        ("confidence", pa.float32()),
        ("words", pa.string()),  # joined by ", "
        ("part", pa.string()),  # "a", "b", "both" or "": the picture that shows a part only
        ("copy_of_other", pa.string()),  # "a" or "b": the one that words, box, mirror and angle are about
        *((side, pa.int32()) for side in ("top", "left", "bottom", "right")),  # in pixels of the other one
        ("mirrored", pa.bool_()),
        ("angle", pa.float32()),
    ]
)
# Columns of texts, with all that they may be; nothing: any line of text.
_TEXTS: dict[str, tuple[str, ...]] = {"words": (), "part": ("a", "b", "both", ""), "copy_of_other": ("a", "b")}


class Rectangle(NamedTuple):
    """Blocks whose images are compared with those of others."""

    rows: range
    columns: range

    @property
    def name(self) -> str:
        """Name of the file of its candidates."""
        return f"candidates-{self.rows.start}-{self.rows.stop}-{self.columns.start}-{self.columns.stop}.npy"


class EditedFiles:
    """The files of the edited copies of a store.

    Parameters
    ----------
    store
        The store.
    """

    def __init__(self, store: Store) -> None:
        self._store, self._files = store, store.files

    @property
    def _images(self) -> int:
        """No number of an image is as high."""
        return self._store.blocks * self._store.thumbnail_settings.block_size

    # -- contents ----------------------------------------------------------------------------------------------------

    def unmade(self) -> list[int]:
        """Numbers of the blocks without contents."""
        names = set(self._files.names(_FOLDER))
        return [block for block in range(self._store.blocks) if f"contents-{block}" not in names]

    def write_contents(self, block: int, rows: NDArray[np.uint8]) -> None:
        """Commit the contents of a block, (n, bytes of an image) uint8."""
        self._files.write(f"{_FOLDER}/contents-{block}", np.ascontiguousarray(rows).data)

    def read_contents(self, images: NDArray[np.int64], row_bytes: int) -> NDArray[np.uint8]:
        """Read the contents of some images, ascending, by the bytes of one: (n, row_bytes) uint8.

        Raises
        ------
        FastDiffError
            If a file is missing or too short.
        """
        size = self._store.thumbnail_settings.block_size
        parts = [np.zeros((0, row_bytes), np.uint8)]
        for block in np.unique(images // size).tolist():
            rows = images[images // size == block] - block * size
            with self._files.reading(f"contents of block {block}"):
                parts.append(self._files.read_rows(f"{_FOLDER}/contents-{block}", row_bytes, rows))
        return np.concatenate(parts)

    # -- candidates --------------------------------------------------------------------------------------------------

    def uncompared(self, rows: int, columns: int) -> list[Rectangle]:
        """List the rectangles of blocks that were not compared yet, of at most so many rows and columns of blocks.

        Time and memory grow with the square of the number of blocks: a byte for each two.
        """
        number = self._store.blocks
        left = np.ones((number, number), bool)
        for there in self._rectangles():
            left[there.rows.start : there.rows.stop, there.columns.start : there.columns.stop] = False
        if self._store.two_sides:
            on_b = np.zeros(number, bool)
            for generation in self._store.generations:
                on_b[generation.b.start : generation.b.stop] = True
            left &= on_b[:, None] != on_b[None, :]
        found, row = [], 0
        while row < number:
            end = row + 1
            while end < min(row + rows, number) and np.array_equal(left[end], left[row]):
                end += 1
            found += [Rectangle(range(row, end), some) for some in _runs(left[row], columns)]
            row = end
        return found

    def _rectangles(self) -> Iterator[Rectangle]:
        for name in self._files.names(_FOLDER):
            if found := re.fullmatch(r"candidates-(\d{1,9})-(\d{1,9})-(\d{1,9})-(\d{1,9})\.npy", name):
                first, end, left, right = map(int, found.groups())
                yield Rectangle(range(first, end), range(left, right))

    def write_candidates(self, rectangle: Rectangle, values: NDArray[np.int64]) -> None:
        """Commit the candidates of a rectangle, (k, 5) int64."""
        content = io.BytesIO()
        np.save(content, values)
        self._files.write(f"{_FOLDER}/{rectangle.name}", content.getvalue())

    def read_candidates(self) -> NDArray[np.int64]:
        """Read the candidates of all rectangles: (k, 5) int64, 40 bytes a candidate.

        Raises
        ------
        FastDiffError
            If a file is damaged.
        """
        parts = [np.zeros((0, _CANDIDATE_VALUES), np.int64)]
        for rectangle in sorted(self._rectangles(), key=lambda some: some.name):
            with self._files.reading(rectangle.name):
                values = np.load(io.BytesIO(self._files.read(f"{_FOLDER}/{rectangle.name}")))
                if values.dtype != np.int64 or values.ndim != 2 or values.shape[1] != _CANDIDATE_VALUES:
                    raise ValueError(f"its shape is {values.shape}")
                _check_images(values[:, :2], self._images)
            parts.append(values)
        return np.concatenate(parts)

    # -- pairs -------------------------------------------------------------------------------------------------------

    def write_aligned(self, frame: pd.DataFrame) -> None:
        """Commit alignments, columns as in `ALIGNED`."""
        self._write(f"aligned-{uuid.uuid4().hex}", frame, ALIGNED)

    def read_aligned(self) -> pd.DataFrame:
        """Read all alignments, columns as in `ALIGNED`.

        Raises
        ------
        FastDiffError
            If a file is damaged.
        """
        return self._read(r"aligned-\w+", ALIGNED)

    def write_looks(self, frame: pd.DataFrame) -> None:
        """Commit what was seen of some pairs, columns as in `LOOKS`."""
        self._write(f"looks-{uuid.uuid4().hex}", frame, LOOKS)

    def read_looks(self) -> pd.DataFrame:
        """Read what was seen of all pairs, columns as in `LOOKS`.

        Raises
        ------
        FastDiffError
            If a file is damaged.
        """
        return self._read(r"looks-\w+", LOOKS)

    def choose(self, frame: pd.DataFrame) -> None:
        """Commit the pairs that are shown, columns as in `CHOSEN`, instead of those that were chosen before."""
        ends = np.sort(frame[["a", "b"]].to_numpy(np.int64), axis=1)
        chosen = frame[CHOSEN.names].assign(a=ends[:, 0], b=ends[:, 1]).sort_values(["a", "b"], ignore_index=True)
        if not chosen.equals(self.read_chosen()):
            self._write("chosen", chosen, CHOSEN)

    def read_chosen(self) -> pd.DataFrame:
        """Read the chosen pairs, the lower number first; none before looking is done for the first time.

        Raises
        ------
        FastDiffError
            If the file is damaged.
        """
        return self._read("chosen", CHOSEN)

    def _write(self, name: str, frame: pd.DataFrame, schema: pa.Schema) -> None:
        sink = io.BytesIO()
        table = pa.Table.from_pandas(frame, schema=schema, preserve_index=False)
        pq.write_table(table.replace_schema_metadata(), sink, compression="zstd")
        self._files.write(f"{_FOLDER}/{name}.parquet", sink.getvalue())

    def _read(self, pattern: str, schema: pa.Schema) -> pd.DataFrame:
        names = [name for name in sorted(self._files.names(_FOLDER)) if re.fullmatch(rf"{pattern}\.parquet", name)]
        tables = [schema.empty_table()]
        with self._files.reading(_FOLDER):
            for content in self._files.read_several([f"{_FOLDER}/{name}" for name in names]):
                file = pq.ParquetFile(io.BytesIO(content))
                if not is_plain(file.schema_arrow, schema):
                    raise ValueError("its columns are others")
                tables.append(file.read())
                _check(tables[-1], self._images)
        frame: pd.DataFrame = pa.concat_tables(tables).to_pandas()
        # a task that was repeated on another worker may have committed twice
        return frame.drop_duplicates(["a", "b"]).sort_values(["a", "b"], ignore_index=True)


def _check_images(numbers: NDArray[np.int64], images: int) -> None:
    if numbers.size and not (numbers.min() >= 0 and numbers.max() < images):
        raise ValueError("it has images that are not there")


def _check(pairs: pa.Table, images: int) -> None:
    """Check the values of pairs, whoever wrote them."""
    if any(column.null_count for column in pairs.columns):
        raise ValueError("it lacks values")
    for side in ("a", "b"):
        _check_images(pairs[side].to_numpy(), images)
    for name in set(_TEXTS).intersection(pairs.column_names):
        for text in pairs[name].unique().to_pylist():
            check_printable(name, text)
            if _TEXTS[name] and text not in _TEXTS[name]:
                raise ValueError(f"{name} is {text[:50]!r}")


def _runs(flags: NDArray[np.bool_], most: int) -> Iterator[range]:
    """Give the runs of true flags, in parts of at most so many."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], flags, [False]]).astype(np.int8)))
    for start, stop in edges.reshape(-1, 2).tolist():
        for first in range(start, stop, most):
            yield range(first, min(first + most, stop))
