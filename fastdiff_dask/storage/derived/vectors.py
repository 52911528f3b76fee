"""Vectors of the images of a store, by name: encodings that were computed, or arrays that were added.

::

    vectors/<name>/            attributes: how they were made, see `Vectors.made`; a mark of their state; for copies of
                               those of two other stores, the marks of these by side
      values                   (image, value), one chunk per block
      there                    (image) bool, one chunk per block, written last: images that have a vector

A block is finished when its chunk of ``there`` is stored. An image whose picture or vector could not be made, or whose
vector is not finite, has none, and is in no pair.
"""

import uuid
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...config import VECTOR_TYPES, check_vectors_name
from ...errors import FastDiffError, StoreMismatchError, UsageError
from ...text import printable
from ..arrays import RowKind
from ..comparisons import Comparison
from ..schema import ARRAYS, COMPARISONS, VECTORS
from ..store import Store
from ..validation import check_printable

__all__ = ["Vectors", "finite_rows", "remove_comparisons", "remove_vectors", "vector_names", "vector_rows"]

_THERE = RowKind((), "bool")
_PLAIN = RowKind((), "uint8")


class Vectors:
    """The vectors of one name, there or not.

    Parameters
    ----------
    store
        The store.
    name
        The name.

    Raises
    ------
    UsageError
        If this is no name of vectors.
    """

    def __init__(self, store: Store, name: str) -> None:
        self.store, self.name = store, check_vectors_name(name)
        self._arrays, self._group = store.arrays, f"{VECTORS}/{name}"

    def made(self) -> dict[str, Any] | None:
        """Give the record of how they were made, plain values by name; None if there are no such vectors."""
        if "zarr.json" not in self.store.files.names(f"{ARRAYS}/{self._group}"):
            return None
        made = self._arrays.attributes(self._group).get("made")
        with self.store.files.reading(f"vectors {printable(self.name)}"):
            if not isinstance(made, dict):
                raise ValueError("it is not recorded how they were made")
            for name, value in made.items():
                check_printable("a setting", name)
                plain = value is None or isinstance(value, bool | int | float | list)
                check_printable(f"setting {name}", str(value) if plain else value)
        return dict(made)

    def _attribute(self, name: str) -> Any:
        return None if self.made() is None else self._arrays.attributes(self._group).get(name)

    def mark(self) -> str:
        """Give the mark of their state: another one once vectors of finished blocks were added or replaced."""
        return str(self._attribute("mark") or "")

    def copied(self) -> dict[str, str] | None:
        """Give the marks of the vectors of which these are copies, by side; None if they are no copies."""
        marks = self._attribute("copied")
        return {str(side): str(mark) for side, mark in marks.items()} if isinstance(marks, dict) else None

    def renew_mark(self) -> None:
        """Record another state, before a finished block changes and after that."""
        self._record({"mark": uuid.uuid4().hex})

    def _record(self, attributes: dict[str, Any]) -> None:
        import zarr

        self.store.files.check_run()
        place = self._arrays.zarr(self._group)
        group = zarr.open_group(place, mode="a", zarr_format=3, use_consolidated=False)
        group.update_attributes(attributes)

    def kind(self) -> RowKind | None:
        """Kind of the vectors, ``(d,)`` and their type; None before the first one is there."""
        kind = self._arrays.row_kind(f"{self._group}/values")
        if kind is None or self._arrays.row_kind(f"{self._group}/there") is None:
            return None
        with self.store.files.reading(f"{ARRAYS}/{self._group}/values"):
            if len(kind.shape) != 1 or kind.dtype not in VECTOR_TYPES:
                raise ValueError(f"its rows are {kind.dtype} of shape {kind.shape}, no vectors")
        return kind

    def finished_blocks(self) -> set[int]:
        """Numbers of the blocks whose vectors are stored."""
        if self.kind() is None:
            return set()
        return {block for block in self._arrays.stored_chunks(f"{self._group}/there") if block < self.store.blocks}

    def missing_blocks(self) -> list[int]:
        """Numbers of the other blocks, ascending."""
        return sorted(set(range(self.store.blocks)) - self.finished_blocks())

    def begin(self, made: dict[str, Any], copied: dict[str, str] | None = None) -> None:
        """Record how they are made.

        Parameters
        ----------
        made
            The record.
        copied
            What `copied` gives of them.

        Raises
        ------
        StoreMismatchError
            If there are vectors of this name that were made in another way.
        """
        found = self.made()
        if found == made:
            return
        if found is not None and not self.finished_blocks():
            self.store.files.remove(f"{ARRAYS}/{self._group}")  # begun, and nothing was made
        elif found is not None:
            differing = [name for name in {**found, **made} if found.get(name) != made.get(name)]
            old, new = (", ".join(f"{name} {values.get(name)}" for name in differing) for values in (found, made))
            raise StoreMismatchError(
                f"the vectors {self.name!r} of {self.store.url} were made with {old}, not {new}; use another name"
            )
        of_copies = {} if copied is None else {"copied": copied}
        self._record({"made": made, "mark": uuid.uuid4().hex} | of_copies)

    def record(self, kind: RowKind) -> None:
        """Make room for the vectors of all blocks; what is stored of the first block counts from now on."""
        self._arrays.record_rows(f"{self._group}/values", RowKind(kind.shape, kind.dtype, ("value",)))
        self._arrays.record_rows(f"{self._group}/there", _THERE)

    def write(self, block: int, values: NDArray[Any], there: NDArray[np.bool_]) -> None:
        """Commit the vectors of the images of a block.

        Parameters
        ----------
        block
            Its number.
        values
            (n, d) of one of `config.VECTOR_TYPES`, n the number of its images; rows that are not there are stored as 0.
        there
            (n,) images that have a vector; rows that are not finite are not there.
        """
        there = there & finite_rows(values)
        self._arrays.write_rows(f"{self._group}/values", block, np.where(there[:, None], values, values.dtype.type(0)))
        self._arrays.write_rows(f"{self._group}/there", block, there)

    def _known_kind(self) -> RowKind:
        kind = self.kind()
        if kind is None:
            raise FastDiffError(f"the store at {self.store.url} has no vectors {self.name!r}")
        return kind

    def there(self, images: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Tell which of some images have a vector: (n,) bool; errors as `rows`."""
        self._known_kind()
        there: NDArray[np.bool_] = self._arrays.rows(f"{self._group}/there", _PLAIN, images) != 0
        return there

    def rows(self, images: NDArray[np.int64]) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        """Read the vectors of some images.

        Parameters
        ----------
        images
            (n,) numbers of images, in any order.

        Returns
        -------
        The vectors (n, d) of the stored type, and (n,) bool, images that have one; rows of the others are 0.

        Raises
        ------
        FastDiffError
            If blocks of these images have no vectors yet, or they cannot be read.
        """
        kind, there = self._known_kind(), self.there(images)
        values = self._arrays.rows(f"{self._group}/values", kind, images)
        there &= finite_rows(values)  # whoever wrote them
        values[~there] = 0
        return values, there


def vector_rows(store: Store, name: str, images: NDArray[np.int64]) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """Read the vectors of some images: (n, d), and (n,) bool for those that have one; see `Vectors.rows`."""
    return Vectors(store, name).rows(images)


def vector_names(store: Store) -> list[str]:
    """Names of the vectors of a store, sorted."""
    names = [name for name in store.files.names(f"{ARRAYS}/{VECTORS}") if name != "zarr.json"]
    found = []
    for name in sorted(names):
        if "zarr.json" in store.files.names(f"{ARRAYS}/{VECTORS}/{printable(name)}"):
            with store.files.reading(f"vectors {printable(name)}"):
                found.append(check_vectors_name(name))
    return found


def remove_comparisons(store: Store, name: str) -> None:
    """Remove the comparisons by vectors of a name; the store is locked for writing."""
    for one in Comparison.all_in(store):
        if one.settings.vectors == name:
            store.files.remove(f"{ARRAYS}/{COMPARISONS}/{one.name}")


def remove_vectors(store: Store, name: str) -> None:
    """Remove vectors, and the comparisons by them; the store is locked for writing.

    Raises
    ------
    UsageError
        If there are none of this name.
    """
    if Vectors(store, name).made() is None:
        known = ", ".join(vector_names(store)) or "none"
        raise UsageError(f"no vectors {name!r} in the store, which has: {known}; nothing was removed")
    remove_comparisons(store, name)
    # what marks blocks as finished goes first: no vectors are left that count
    for part in ("there", "values", ""):
        store.files.remove(f"{ARRAYS}/{VECTORS}/{name}/{part}".rstrip("/"))


def finite_rows(values: NDArray[Any]) -> NDArray[np.bool_]:
    """Tell the vectors without NaN and infinite values: (n,) bool."""
    if values.dtype.kind != "f":
        return np.ones(len(values), bool)
    finite: NDArray[np.bool_] = np.isfinite(values).all(axis=1)
    return finite
