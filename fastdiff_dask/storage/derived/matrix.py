"""Dense matrices of MSE on disk: Zarr arrays whose stored chunks are the progress."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray
from zarr.storage import FsspecStore, LocalStore

from ...errors import StoreMismatchError, UsageError
from ...text import one_line
from ..files import Files, check_store_address
from ..schema import ARRAYS, FLAT_KEYS, FORMAT
from ..store import Store
from ..validation import StoredArray, decode_chunk, stored_array

__all__ = ["DenseMatrix", "store_matrix"]

_FORMAT = {"format": f"{FORMAT} dense matrix", "format_version": 1}
_CHUNK_NAME = re.compile(r"c\.(\d+)\.(\d+)")


class DenseMatrix:
    """A matrix of MSE (rows, columns) float64 at an address; NaN where an image could not be read.

    A chunk is written as a whole and only once: a stored chunk is finished.

    Parameters
    ----------
    url
        Folder or fsspec URL for this matrix alone.
    """

    def __init__(self, url: str) -> None:
        check_store_address(url)
        files = Files(url)
        self._files = files
        self.url = str(Path(files.root).absolute()) if files.local else url

    def _store(self) -> LocalStore | FsspecStore:
        return (
            LocalStore(Path(self._files.root))
            if self._files.local
            else FsspecStore(self._files.asynchronous(), path=self._files.root)
        )

    def open_or_create(self, shape: tuple[int, int], chunks: tuple[int, int], identity: dict[str, Any]) -> None:
        """Create the matrix, or check that the stored matrix is of the same images and resize it.

        Parameters
        ----------
        shape, chunks
            Rows and columns of the matrix, and of a chunk.
        identity
            Attributes that identify the images and the comparison, as JSON values.

        Raises
        ------
        StoreMismatchError
            If something else is stored at the address.
        UsageError
            If the address cannot be written.
        """
        attributes: Any = _FORMAT | identity
        chunks = (max(chunks[0], 1), max(chunks[1], 1))
        try:
            # partial files, which a killed writer leaves behind, do not count
            names = [name for name in self._files.names() if not name.endswith(".partial")]
            if "zarr.json" not in names:
                if names or self._files.is_file():
                    what = f"a folder with other files ({sorted(names)[0]!r})" if names else "a file"
                    raise StoreMismatchError(f"{self.url} is {what}, not a matrix; name a new or an empty folder")
                zarr.create_array(
                    self._store(),
                    zarr_format=3,
                    shape=shape,
                    chunks=chunks,
                    dtype="float64",
                    fill_value=np.nan,
                    chunk_key_encoding=FLAT_KEYS,
                    dimension_names=("a", "b"),
                    attributes=attributes,
                )
                return
            array = self.described()
            if array is not None and array.attributes == attributes and array.chunks == chunks:
                if array.shape != shape:
                    zarr.open_array(self._store(), mode="r+", zarr_format=3).resize(shape)
                return
        except OSError as error:
            raise UsageError(f"no matrix can be written at {self.url}: {error.strerror}; name another folder") from None
        raise StoreMismatchError(
            f"{self.url} holds no matrix of these images, chunks and transforms; name another folder or delete this one"
        )

    def described(self) -> StoredArray | None:
        """Description of the array on disk; None if it is no matrix that this package made."""
        try:
            return stored_array(self._files.read("zarr.json"), "float64", "zstd")
        except StoreMismatchError:
            raise
        except (ValueError, KeyError, TypeError, RecursionError, FileNotFoundError):
            return None

    def read(self, i: int, j: int) -> NDArray[np.float64]:
        """Read a chunk, (rows, columns) float64, or NaN if the chunk is not stored.

        Raises
        ------
        StoreMismatchError
            If the chunk is damaged, or no matrix is stored at the address.
        """
        array = self.described()
        try:
            if array is None:
                raise ValueError("it is no matrix")
            rows, columns = (min(n, m - k * n) for k, n, m in zip((i, j), array.chunks, array.shape, strict=True))
            try:
                return decode_chunk(self._files.read(f"c.{i}.{j}"), array)[:rows, :columns]
            except FileNotFoundError:
                return np.full((rows, columns), np.nan)
        except (ValueError, OSError) as error:
            raise StoreMismatchError(
                f"chunk {i}, {j} of the matrix at {self.url} cannot be read ({one_line(error, 200)}); delete the matrix"
            ) from None

    def pending(self, wanted: list[tuple[int, int]], symmetric: bool) -> list[tuple[int, int]]:
        """List the wanted chunks that are not stored; of a symmetric matrix, the transposed chunk has to be stored."""
        matches = (_CHUNK_NAME.fullmatch(name) for name in self._files.names())
        stored = {(int(match[1]), int(match[2])) for match in matches if match}
        return [(i, j) for i, j in wanted if (i, j) not in stored or (symmetric and (j, i) not in stored)]

    def write(self, values: NDArray[np.float64], i: int, j: int, symmetric: bool) -> None:
        """Write a chunk, (rows, columns) float64; of a symmetric matrix, the transposed chunk too."""
        # a chunk of NaN alone is finished, and must be stored like any other; the setting belongs to the handle
        array = zarr.open_array(self._store(), mode="r+", zarr_format=3).with_config({"write_empty_chunks": True})
        for row, column, chunk in [(i, j, values), *([(j, i, values.T)] if symmetric and i != j else [])]:
            top, left = row * array.chunks[0], column * array.chunks[1]
            array[top : top + chunk.shape[0], left : left + chunk.shape[1]] = chunk


def store_matrix(store: Store, *, rotations: bool, mirror: bool) -> DenseMatrix:
    """Give the matrix of a store for some transforms; the matrix need not exist yet.

    Raises
    ------
    StoreMismatchError
        If a link leads out of the store.
    """
    name = "mse" + ("-rotations" if rotations else "") + ("-mirror" if mirror else "")
    store.arrays.zarr(name)  # refuses a link
    return DenseMatrix(f"{store.url.rstrip('/')}/{ARRAYS}/{name}")
