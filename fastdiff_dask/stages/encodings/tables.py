"""Tables of vectors that exist: arrays, and files of NumPy and Parquet. Nothing is unpickled.

A table is read row by row, as far as its kind allows, and is never in memory as a whole if it is a file.
"""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from ...config import VECTOR_TYPES
from ...errors import UsageError
from ...text import one_line
from ...vectors.encoders import as_bits

__all__ = ["ArrayTable", "ParquetTable", "open_table", "to_vectors"]


class ArrayTable(NamedTuple):
    """Vectors in an array.

    Attributes
    ----------
    array
        (n, d): of NumPy, a file that is mapped into memory, or another one with a shape, a type and rows.
    keys
        Names or numbers of the images; None if they are in the order of the images.
    """

    array: Any
    keys: Sequence[Any] | NDArray[Any] | None

    @property
    def rows(self) -> int:
        """Number of vectors."""
        return int(self.array.shape[0])

    def empty(self) -> NDArray[Any]:
        """Give no vector, of the shape and type of the others."""
        return np.zeros((0, *self.array.shape[1:]), self.array.dtype)

    def take(self, places: NDArray[np.int64]) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        """Read some vectors: (k, d), and (k,) those that are there, here all."""
        return np.asarray(self.array[places]), np.ones(len(places), bool)


class ParquetTable:
    """Vectors in a Parquet file.

    Parameters
    ----------
    path
        The file.
    key
        Column of the keys.
    column
        Column of lists; by default the only one, or else the vectors are all columns of numbers but the keys.

    Raises
    ------
    UsageError
        If the file cannot be read so.
    """

    def __init__(self, path: str, key: str, column: str | None) -> None:
        self._path = path
        try:
            self._file = pq.ParquetFile(path)
        except (OSError, pa.ArrowException) as error:
            raise UsageError(f"{path} cannot be read as Parquet: {one_line(error, 200)}") from None
        schema = self._file.schema_arrow
        if key not in schema.names:
            known = ", ".join(schema.names[:10])
            raise UsageError(f"{path} has no column {key!r}; name that of the paths by key=, of {known}")
        lists = [field.name for field in schema if _is_list(field.type) and field.name != key]
        if column is not None and column not in lists:
            raise UsageError(f"{path} has no column of lists {column!r}; there are {', '.join(lists) or 'none'}")
        if column is None and len(lists) > 1:
            raise UsageError(f"{path} has several columns of lists; name one by column=: {', '.join(lists)}")
        self._list = column or (lists[0] if lists else None)
        self._columns = [field.name for field in schema if not lists and field.name != key and _is_number(field.type)]
        if self._list is None and not self._columns:
            raise UsageError(f"{path} has no column of lists, and no columns of numbers; one of them has the vectors")
        self.keys: Any = self._file.read([key]).column(0).to_numpy()
        groups = [self._file.metadata.row_group(number).num_rows for number in range(self._file.num_row_groups)]
        self._starts = np.concatenate([[0], np.cumsum(groups)]).astype(np.int64)
        self._empty: NDArray[Any] | None = None

    @property
    def rows(self) -> int:
        """Number of vectors."""
        return int(self._starts[-1])

    def empty(self) -> NDArray[Any]:
        """Give no vector, of the shape and type of the others."""
        if self._empty is None:
            self._empty = np.zeros((0, 0))
            for number in range(self._file.num_row_groups):
                values, there = self._group(number)
                if there.any():
                    self._empty = values[:0]
                    break
        return self._empty

    def take(self, places: NDArray[np.int64]) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        """Read some vectors: (k, d), and (k,) those that are there, as some lists may be null.

        Memory: those and a row group of the file.
        """
        kind = self.empty()
        values, there = np.zeros((len(places), *kind.shape[1:]), kind.dtype), np.zeros(len(places), bool)
        numbers = np.searchsorted(self._starts, places, side="right") - 1
        for number in np.unique(numbers).tolist():
            some = np.flatnonzero(numbers == number)
            rows, known = self._group(number)
            if known.any() and rows.shape[1:] != kind.shape[1:]:
                raise self._uneven(rows.shape[1], kind.shape[1])
            within = places[some] - self._starts[number]
            there[some] = known[within]
            if known.any():
                values[some] = rows[within]
        return values, there

    def _uneven(self, one: int, other: int) -> UsageError:
        return UsageError(f"{self._path} has vectors of {one:,} and of {other:,} values; all must have the same number")

    def _group(self, number: int) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        """Read the vectors of a row group."""
        try:
            table = self._file.read_row_group(number, [self._list] if self._list else self._columns)
        except (OSError, pa.ArrowException) as error:
            raise UsageError(f"{self._path} cannot be read as Parquet: {one_line(error, 200)}") from None
        if self._list is None:
            there = np.ones(len(table), bool)
            for column in table.columns:
                there &= column.is_valid().to_numpy()
            filled = [column.fill_null(0).to_numpy() for column in table.columns]
            return np.stack(filled, axis=1), there
        column = table.column(0).combine_chunks()
        column = pa.concat_arrays(column.chunks) if isinstance(column, pa.ChunkedArray) else column
        lengths = pc.list_value_length(column).fill_null(0).to_numpy(zero_copy_only=False)
        there = column.is_valid().to_numpy(zero_copy_only=False) & (lengths > 0)
        some = np.unique(lengths[there])
        if len(some) > 1:
            raise self._uneven(int(some[0]), int(some[1]))
        flat = column.filter(pa.array(there)).flatten()
        if flat.null_count:
            raise UsageError(f"{self._path} has vectors with values that are null; leave out such rows")
        numbers = flat.to_numpy(zero_copy_only=False)
        width = int(some[0]) if len(some) else 0
        values = np.zeros((len(there), width), numbers.dtype)
        values[there] = numbers.reshape(-1, width) if width else values[there]
        return values, there


def _is_list(kind: pa.DataType) -> bool:
    nested = pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)
    return bool(nested and _is_number(kind.value_type))


def _is_number(kind: pa.DataType) -> bool:
    return bool(pa.types.is_floating(kind) or pa.types.is_integer(kind) or pa.types.is_boolean(kind))


def open_table(
    vectors: Any, keys: Sequence[Any] | NDArray[Any] | None, key: str, column: str | None
) -> ArrayTable | ParquetTable:
    """Open what `Project.add_vectors` was given.

    Parameters
    ----------
    vectors, keys, key, column
        As for `Project.add_vectors`.

    Returns
    -------
    The table.

    Raises
    ------
    UsageError
        If it is no table of vectors.
    """
    if not isinstance(vectors, str | os.PathLike):
        return _checked(vectors, keys, f"vectors= of type {type(vectors).__name__}")
    path = os.fspath(vectors)
    ending = Path(path).suffix.lower()
    if ending in (".parquet", ".pq"):
        if keys is not None:
            raise UsageError("keys= are for an array, and a Parquet file has a column of them; name that by key=")
        return ParquetTable(path, key, column)
    if ending not in (".npy", ".npz"):
        raise UsageError(f"{path} is no .npy, .npz or .parquet file; no other kind of file is read")
    try:
        found = np.load(path, mmap_mode="r")  # without an option, NumPy unpickles nothing
        if ending == ".npy":
            return _checked(found, keys, path)
        with found:
            return _of_archive(found, keys, key, path)
    except UsageError:
        raise
    except (OSError, ValueError, EOFError, KeyError) as error:  # also where it would have to be unpickled
        raise UsageError(f"{path} cannot be read as arrays of NumPy: {one_line(error, 200)}") from None


def _of_archive(found: Any, keys: Any, key: str, path: str) -> ArrayTable:
    """Take the one array of vectors of an ``.npz`` file, and the keys if there are some."""
    arrays = {name: found[name] for name in found.files}
    several = [name for name, array in arrays.items() if array.ndim == 2]
    if len(several) != 1:
        raise UsageError(f"{path} has {len(several)} arrays of two dimensions; one must be there, the vectors")
    return _checked(arrays[several[0]], arrays.get(key) if keys is None else keys, path)


def _checked(array: Any, keys: Any, what: str) -> ArrayTable:
    array = array if hasattr(array, "shape") and hasattr(array, "dtype") else np.asarray(array)
    if (
        array.dtype.kind not in "biuf"
        or len(array.shape) not in (1, 2)
        or (len(array.shape) == 1 and (array.dtype.kind != "u" or array.dtype.itemsize == 1))
    ):
        raise UsageError(
            f"{what} is {array.dtype} of shape {array.shape}, no vectors; use numbers (n, d), or (n,) hashes as uint64"
        )
    if keys is not None and len(keys) != array.shape[0]:
        raise UsageError(f"there are {array.shape[0]:,} vectors and {len(keys):,} keys; give a key for each")
    return ArrayTable(array, keys)


def to_vectors(values: NDArray[Any], dtype: str | None) -> NDArray[Any]:
    """Convert vectors to a type that is stored.

    Parameters
    ----------
    values
        (n, d); bool values, and unsigned integers of 16 to 64 bits, (n,) or (n, d), are taken as bits.
    dtype
        The type; None for that which they have.

    Returns
    -------
    (n, d) of one of `config.VECTOR_TYPES`.

    Raises
    ------
    UsageError
        If they cannot be converted.
    """
    bits = as_bits(values)
    if bits is not None and dtype in (None, "uint8"):
        return bits
    wanted = values.dtype.name if dtype is None else dtype
    if wanted not in VECTOR_TYPES:
        raise UsageError(f"vectors of {wanted} cannot be stored; use dtype={', '.join(map(repr, VECTOR_TYPES))}")
    if np.dtype(wanted).kind == "f":
        with np.errstate(over="ignore"):  # becomes infinite, and no vector
            return values.astype(wanted, copy=False)
    whole = np.iinfo(wanted)
    if values.dtype.kind == "f" or (values.size and not whole.min <= values.min() <= values.max() <= whole.max):
        raise UsageError(f"vectors of {values.dtype} do not fit into dtype={wanted!r}; use a larger type")
    return values.astype(wanted, copy=False)
