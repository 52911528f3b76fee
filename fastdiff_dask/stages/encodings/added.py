"""Vectors that exist come into a store: rows of a table find their images, and are committed block by block."""

import os
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ...errors import UsageError
from ...storage.arrays import RowKind
from ...storage.derived.vectors import Vectors, finite_rows, remove_comparisons
from ...storage.schema import FILE_NAME
from ...storage.store import Store
from ...text import counted, printable
from ...urls import full_path, is_url
from ..listing.roots import Root
from .tables import ArrayTable, ParquetTable, to_vectors

__all__ = ["Added", "add_table"]

# The record of how such vectors were made.
_MADE = {"function": "add_vectors"}
# Bytes of vectors that are read at a time.
_AT_ONCE = 1 << 28
_UNKNOWN, _SEVERAL = -1, -2


class Added(NamedTuple):
    """Outcome of adding vectors.

    Attributes
    ----------
    added
        Images that got a vector.
    known
        Images that had it already.
    missing
        Present images without a vector of this name.
    unknown
        Rows of the table that are of no present image; and the key of the first one, empty if there is none.
    first_unknown
        The key of the first such row, empty if there is none.
    unusable
        Rows with NaN, infinite or null values, which are no vectors.
    """

    added: int
    known: int
    missing: int
    unknown: int
    first_unknown: str
    unusable: int

    @property
    def described(self) -> str:
        """The outcome in one line.

        Examples
        --------
        >>> Added(3, 0, 2, 1, "x.jpg", 0).described
        '3 images got a vector; 2 images have none; 1 row is of no image here, such as x.jpg'
        """
        parts = [f"{counted(self.added, 'image')} got a vector"]
        parts += [f"{counted(self.known, 'image')} had it already"] if self.known else []
        parts += [f"{counted(self.missing, 'image')} {_have(self.missing)} none"] if self.missing else []
        if self.unknown:
            first = f", such as {printable(self.first_unknown)}" if self.first_unknown else ""
            parts.append(f"{counted(self.unknown, 'row')} {_are(self.unknown)} of no image here{first}")
        parts += [f"{counted(self.unusable, 'row')} {_have(self.unusable)} no finite numbers"] if self.unusable else []
        return "; ".join(parts)


def _have(number: int) -> str:
    return "has" if number == 1 else "have"


def _are(number: int) -> str:
    return "is" if number == 1 else "are"


def add_table(
    store: Store,
    roots: list[Root],
    vectors: Vectors,
    table: ArrayTable | ParquetTable,
    dtype: str | None,
    advance: Callable[[int], None],
) -> Added:
    """Add the vectors of a table to those of a name, block by block.

    All blocks are finished afterwards: images without a row have no vector, until a later call brings one. Comparisons
    by these vectors that lack such an image are removed, and made again when they are asked for.

    Memory: 256 MB of vectors; the keys; and some 1 kB an image to find paths.

    Parameters
    ----------
    store
        The store, locked for writing, whose thumbnails are finished.
    roots
        The folders.
    vectors
        The vectors, there or not.
    table
        The table.
    dtype
        Type to store; None for that of the table.
    advance
        Called with 1 for each block.

    Returns
    -------
    The outcome.

    Raises
    ------
    UsageError
        If keys are of no image at all or of one image twice, or vectors are of another kind, or differ from those that
        are there.
    """
    frame = store.read_images(["image", "side", *FILE_NAME, "current", "error"])
    frame = frame[frame.current]
    numbers, first_unknown = _numbers_of(frame, roots, table)
    places = np.flatnonzero(numbers >= 0)
    if table.rows and not len(places):
        raise UsageError(f"none of {table.rows:,} keys is an image of this collection, such as {first_unknown}")
    places = places[np.argsort(numbers[places], kind="stable")]
    _check_once(numbers[places], frame)
    empty = to_vectors(table.empty(), dtype)
    kind = RowKind(empty.shape[1:], empty.dtype.name)
    if not kind.shape[0]:
        raise UsageError("the table has no vector; nothing was added")
    _check_kind(vectors, kind)
    vectors.begin(_MADE)
    vectors.record(kind)
    adding = _Adding(store, vectors, kind)
    for block, values, rows in _by_block(store, table, places, numbers, dtype, kind):
        adding.add(block, values, rows)
        advance(1)
    adding.end()
    readable = frame.image[frame.error.isna()].to_numpy(np.int64)
    missing = int((~vectors.there(readable)).sum())
    unknown = table.rows - len(places)
    return Added(adding.added, adding.known, missing, unknown, first_unknown, adding.unusable)


def _check_kind(vectors: Vectors, kind: RowKind) -> None:
    known = vectors.kind()
    if known is not None and (known.shape, known.dtype) != (kind.shape, kind.dtype):
        raise UsageError(
            f"the vectors {vectors.name!r} are {known.shape[0]:,} values of {known.dtype}, and these are "
            f"{kind.shape[0]:,} of {kind.dtype}; use another name"
        )


def _by_block(
    store: Store,
    table: ArrayTable | ParquetTable,
    places: NDArray[np.int64],
    numbers: NDArray[np.int64],
    dtype: str | None,
    kind: RowKind,
) -> Iterator[tuple[int, NDArray[Any], NDArray[np.int64]]]:
    """Read the rows of a table, by places that are in the order of the images: block, vectors, rows in the block."""
    size = store.thumbnail_settings.block_size
    at_once = max(1, _AT_ONCE // (size * kind.bytes))
    for first in range(0, store.blocks, at_once):
        blocks = range(first, min(first + at_once, store.blocks))
        start, stop = np.searchsorted(numbers[places], [blocks.start * size, blocks.stop * size])
        found, there = table.take(places[start:stop])
        values = np.zeros((len(found), *kind.shape), kind.dtype)
        if there.any():
            values[there] = to_vectors(found[there], dtype)
        images = numbers[places[start:stop]]
        for block in blocks:
            low, high = np.searchsorted(images, [block * size, (block + 1) * size])
            some = np.where(there[low:high], images[low:high] - block * size, -1)
            yield block, values[low:high], some


class _Adding:
    """Commits blocks, and counts."""

    def __init__(self, store: Store, vectors: Vectors, kind: RowKind) -> None:
        self._store, self._vectors, self._kind = store, vectors, kind
        self._finished, self._counts = vectors.finished_blocks(), store.rows()
        self._has_changed = False
        self.added = self.known = self.unusable = 0

    def add(self, block: int, values: NDArray[Any], rows: NDArray[np.int64]) -> None:
        """Add vectors to a block: (k, d), and their rows, −1 for what is none."""
        usable = (rows >= 0) & finite_rows(values)
        self.unusable += int((~usable).sum())
        values, rows = values[usable], rows[usable]
        whole = np.zeros((self._counts[block], *self._kind.shape), self._kind.dtype)
        there = np.zeros(len(whole), bool)
        finished = block in self._finished
        if finished:
            first = block * self._store.thumbnail_settings.block_size
            whole, there = self._vectors.rows(np.arange(first, first + len(whole)))
            self._check_equal(whole[rows], values, there[rows])
        new = ~there[rows]
        self.known += int((~new).sum())
        self.added += int(new.sum())
        if finished and not new.any():
            return
        if finished:
            self._begin_change()
        whole[rows], there[rows] = values, True
        self._vectors.write(block, whole, there)

    def _check_equal(self, old: NDArray[Any], new: NDArray[Any], there: NDArray[np.bool_]) -> None:
        differing = there & (old != new).any(axis=1)
        if differing.any():
            raise UsageError(
                f"{counted(int(differing.sum()), 'image')} of a block had another vector {self._vectors.name!r} "
                f"already, which stays; use another name"
            )

    def _begin_change(self) -> None:
        """Remove the comparisons that did without a vector that comes now; other stores may have copies."""
        if not self._has_changed:
            remove_comparisons(self._store, self._vectors.name)
        self._has_changed = True
        self._vectors.renew_mark()

    def end(self) -> None:
        """Record that all is written; copies that were made meanwhile are no copies of this."""
        if self._has_changed:
            self._vectors.renew_mark()


# -- keys --------------------------------------------------------------------------------------------------------------


def _numbers_of(
    frame: pd.DataFrame, roots: list[Root], table: ArrayTable | ParquetTable
) -> tuple[NDArray[np.int64], str]:
    """Find the images of the rows of a table: their numbers (n,), −1 for none; and the first key without an image."""
    images = frame.image.to_numpy(np.int64)
    if table.keys is None:
        if table.rows != len(images):
            raise UsageError(
                f"there are {table.rows:,} vectors for {len(images):,} images; give one for each, in the order of "
                f"db.images, or the keys= of the images"
            )
        return images, ""
    keys = np.asarray(table.keys)
    if keys.dtype.kind in "iu":
        found = np.where(np.isin(keys, images), keys, _UNKNOWN).astype(np.int64)
    else:
        found = _numbers_of_paths(frame, roots, table.keys)
    unknown = np.flatnonzero(found < 0)
    return found, printable(str(table.keys[unknown[0]])) if len(unknown) else ""


def _numbers_of_paths(frame: pd.DataFrame, roots: list[Root], keys: Iterable[Any]) -> NDArray[np.int64]:
    """Find images by their paths: absolute, as the folders were given, or below a folder."""
    known = _by_path(frame, roots)
    found = []
    for key in keys:
        path = os.fspath(key) if isinstance(key, str | os.PathLike) else ""
        number = known.get(path, _UNKNOWN)
        if number == _UNKNOWN and path:
            number = known.get(os.path.normpath(path) if not is_url(path) else path, _UNKNOWN)
        if number == _UNKNOWN and path and not is_url(path):
            number = known.get(os.path.realpath(path), _UNKNOWN)
        if number == _SEVERAL:
            raise UsageError(f"the key {printable(path)} is of several images; use absolute paths")
        found.append(number)
    return np.array(found, np.int64)


def _by_path(frame: pd.DataFrame, roots: list[Root]) -> dict[str, int]:
    given = {(root.side, root.absolute): root.given for root in roots}
    known: dict[str, int] = {}
    for row in frame.itertuples():
        full = full_path(row.root, row.path, row.path_bytes)
        shown = full_path(given.get((row.side, row.root), row.root), row.path, row.path_bytes)
        below = os.fsdecode(row.path_bytes) if row.path_bytes else row.path
        for name in {full, shown, below}:
            known[name] = row.image if known.get(name, row.image) == row.image else _SEVERAL
    return known


def _check_once(numbers: NDArray[np.int64], frame: pd.DataFrame) -> None:
    twice = numbers[1:][numbers[1:] == numbers[:-1]]
    if len(twice):
        row = frame[frame.image == twice[0]].iloc[0]
        raise UsageError(f"{printable(row.path)} has two rows in the table; leave one of them out")
