"""The Zarr arrays of a store, read and written as the plain files that they are.

Zarr makes them, and is imported for that alone: a run that finds nothing new does without it.
"""

import math
import re
from collections.abc import Callable, Collection
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..config import ThumbnailSettings
from ..errors import FastDiffError, UsageError
from ..kernels.hashes import DIGEST_BYTES
from ..kernels.signatures import signature_length
from ..local_files import local_path
from .files import Files
from .schema import ARRAYS, CLEANED, DIGESTS, FEATURES, FLAT_KEYS, SIGNATURES, THUMBNAILS
from .validation import MOST_BLOCKS, StoredArray, decode_chunk, group_attributes, stored_array

if TYPE_CHECKING:
    import zarr
    from zarr.storage import FsspecStore, LocalStore, StorePath

__all__ = ["MOST_FEATURE_BYTES", "Arrays", "ImageArrays", "RowKind", "row_array_bytes", "zarr_store"]

# From afar, a block is read as a whole if more than one in so many of its rows is wanted; from a local disk, when
# reading so many bytes costs less than another call.
_WHOLE_SHARE, _CALL_BYTES = 8, 8192
# Rows that are left out of a shard together; less would make Zarr slow, which handles them one by one.
_SHARD_ROWS = 16
# Types of features, as NumPy and Zarr name them; and bytes of those of an image.
_FEATURE_TYPES = (
    *("bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"),
    *("float16", "float32", "float64", "complex64", "complex128"),
)
MOST_FEATURE_BYTES = 1 << 24


class RowKind(NamedTuple):
    """Rows of an array with a row an image: their shape, their type, names of their dimensions."""

    shape: tuple[int, ...]
    dtype: str
    dimensions: tuple[str, ...] = ()

    @property
    def bytes(self) -> int:
        """Bytes of a row."""
        return math.prod(self.shape) * np.dtype(self.dtype).itemsize


def row_array_bytes(images: int, block_size: int, row_bytes: int) -> int:
    """Bytes that an array with a row an image takes for the images of one side of a generation.

    Examples
    --------
    >>> row_array_bytes(5, 1024, 12_288), row_array_bytes(1024, 1024, 12_288)
    (197632, 12583936)
    """
    inner = math.gcd(block_size, _SHARD_ROWS)
    return -(-images // inner) * inner * row_bytes + -(-images // block_size) * (block_size // inner) * 16


def zarr_store(files: Files) -> "LocalStore | FsspecStore":
    """Give the arrays of a store as Zarr wants them."""
    from zarr.storage import FsspecStore, LocalStore

    if files.local:
        return LocalStore(Path(files.root) / ARRAYS)
    # one for all threads: a connection for each would be made otherwise
    return FsspecStore(files.asynchronous(), path=f"{files.root}/{ARRAYS}")


def _chunk_path(array: str, chunk: int, more_axes: int) -> str:
    return f"{ARRAYS}/{array}/" + ".".join(["c", str(chunk), *("0" * more_axes)])


class Arrays:
    """The arrays and groups of a store, by their names.

    Parameters
    ----------
    files
        The files of the store.
    """

    def __init__(self, files: Files) -> None:
        self.files = files

    def names(self) -> list[str]:
        """Names of the arrays and groups."""
        return [name for name in self.files.names(ARRAYS) if not name.endswith((".json", ".partial"))]

    def zarr(self, name: str = "") -> "StorePath":
        """Place of all arrays, or of one of them, for Zarr."""
        from zarr.storage import StorePath

        if self.files.local:
            local_path(self.files.root, f"{ARRAYS}/{name}")
        return StorePath(zarr_store(self.files), name)

    def described(self, name: str, dtype: str | Collection[str], chunks: str = "plain") -> StoredArray:
        """Read the description of an array and check it, see `validation.stored_array`.

        Raises
        ------
        FastDiffError
            If the array is missing, or is not as this package writes arrays.
        """
        path = f"{ARRAYS}/{name}/zarr.json"
        with self.files.reading(path):
            return stored_array(self.files.read(path), dtype, chunks)

    def attributes(self, name: str) -> dict[str, Any]:
        """Read the attributes of a group; errors as `described`."""
        path = f"{ARRAYS}/{name}/zarr.json"
        with self.files.reading(path):
            return group_attributes(self.files.read(path))

    def read_chunk(self, name: str, array: StoredArray, *index: int) -> NDArray[Any]:
        """Read a whole chunk of an array, by its index along each axis; errors as `described`."""
        path = f"{ARRAYS}/{name}/c." + ".".join(map(str, index))
        with self.files.reading(path):
            return decode_chunk(self.files.read(path), array)

    def read_plain(
        self, name: str, chunk: int, rows: NDArray[np.int64] | range, shape: tuple[int, ...], dtype: str
    ) -> NDArray[Any]:
        """Read rows of a chunk of an array that is not compressed and chunked along its first axis alone.

        The chunk may be a shard. Zarr would read the whole chunk, and hand it from thread to thread on the way: 4 ms
        instead of 0.1.

        Raises
        ------
        FastDiffError
            If the chunk is missing or too short.
        """
        row_bytes = math.prod(shape) * np.dtype(dtype).itemsize
        with self.files.reading(f"{name} of block {chunk}"):
            path = _chunk_path(name, chunk, len(shape))
            content = self.files.read_rows(path, row_bytes, np.asarray(rows, np.int64))
            return content.view(dtype).reshape(len(rows), *shape)

    def write_plain(self, name: str, chunk: int, values: NDArray[Any]) -> None:
        """Write a whole chunk of such an array, at once and in less than a millisecond; Zarr takes 5 to 10."""
        plain = np.ascontiguousarray(values, values.dtype.newbyteorder("<"))
        # as they lie in memory: a copy of a block of thumbnails would take as long as writing it
        self.files.write(_chunk_path(name, chunk, values.ndim - 1), plain.view(np.uint8).data)

    def stored_chunks(self, name: str) -> set[int]:
        """List the first index of every stored chunk of an array."""
        names = self.files.names(f"{ARRAYS}/{name}")
        return {int(name.split(".")[1]) for name in names if re.fullmatch(r"c(\.\d{1,12})+", name)}


class ImageArrays(Arrays):
    """The arrays of a store, those with a row an image among them: thumbnails, signatures and digests.

    Parameters
    ----------
    files
        The files of the store.
    settings
        Size of a thumbnail and of a block.
    rows
        Gives the number of images in each block.
    """

    def __init__(self, files: Files, settings: ThumbnailSettings, rows: Callable[[], list[int]]) -> None:
        super().__init__(files)
        self._settings, self._rows = settings, rows

    @property
    def _kinds(self) -> dict[str, RowKind]:
        """Arrays with a row an image that each store has."""
        shape = self._settings.shape
        return {
            SIGNATURES: RowKind((signature_length(*shape),), "float32", ("value",)),
            DIGESTS: RowKind((4, DIGEST_BYTES), "uint8", ("turn", "byte")),
            THUMBNAILS: RowKind(shape, "uint8", ("y", "x", "channel")),
        }

    @property
    def _shard_rows(self) -> int:
        return math.gcd(self._settings.block_size, _SHARD_ROWS)

    def grow(self, group: "zarr.Group", blocks: int) -> None:
        """Make room for so many blocks in all; arrays that are not there are made."""
        for name, kind in self._kinds.items():
            self._grow(name, kind, blocks, there=name in group)

    def _grow(self, name: str, kind: RowKind, blocks: int, there: bool) -> None:
        import zarr
        from zarr.codecs import BytesCodec, ShardingCodec

        size, shape = self._settings.block_size, kind.shape
        if there:
            self._check(name, kind)
            zarr.open_array(self.zarr(name), mode="r+", zarr_format=3).resize((blocks * size, *shape))
            return
        zarr.create_array(
            self.zarr(name),
            zarr_format=3,
            shape=(blocks * size, *shape),
            chunks=(size, *shape),
            dtype=kind.dtype,
            serializer=ShardingCodec(
                chunk_shape=(self._shard_rows, *shape),
                codecs=[BytesCodec()],
                index_codecs=[BytesCodec()],
                index_location="end",
            ),
            compressors=None,
            chunk_key_encoding=FLAT_KEYS,
            dimension_names=("image", *kind.dimensions) if kind.dimensions or not kind.shape else None,
        )

    def _check(self, name: str, kind: RowKind | None = None) -> RowKind:
        """See that an array has the shape and the chunks that it was made with; give its kind."""
        size = self._settings.block_size
        found = self.described(name, _FEATURE_TYPES if kind is None else kind.dtype, "shards")
        kind = RowKind(found.shape[1:], found.dtype) if kind is None else kind
        with self.files.reading(f"{ARRAYS}/{name}"):
            # longer if a process was killed before it recorded a generation
            as_made = found.shape[1:] == kind.shape and found.chunks == (size, *kind.shape)
            if not as_made or found.shape[0] > MOST_BLOCKS * size:
                raise ValueError(f"its shape is {found.shape}, in chunks of {found.chunks}")
        return kind

    # -- reading -----------------------------------------------------------------------------------------------------

    def thumbnails(self) -> "zarr.Array":
        """Open the array of all thumbnails.

        Returns
        -------
        (blocks · block_size, height, width, 3) uint8; rows without an image are 0.
        """
        import zarr

        self._check(THUMBNAILS, self._kinds[THUMBNAILS])
        return zarr.open_array(self.zarr(THUMBNAILS), mode="r", zarr_format=3)

    def read_thumbnails(self, block: int) -> NDArray[np.uint8]:
        """Read the thumbnails of a block: (block_size, height, width, 3) uint8; rows without an image are 0."""
        size = self._settings.block_size
        return self._read_rows(THUMBNAILS, np.arange(block * size, (block + 1) * size))

    def read_digests(self, blocks: range | None = None) -> NDArray[np.uint8]:
        """Read the digests of some blocks, or of all: (n, 4, 16) uint8; 0 for rows without a readable image."""
        size = self._settings.block_size
        blocks = range(len(self._rows())) if blocks is None else blocks
        return self._read_rows(DIGESTS, np.arange(blocks.start * size, blocks.stop * size))

    def digest_rows(self, images: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Read the digests of some images, in their order: (n, 4, 16) uint8."""
        return self._read_rows(DIGESTS, images)

    def signature_rows(self, images: NDArray[np.int64]) -> NDArray[np.float32]:
        """Read the signatures of some images, in their order: (n, values) float32."""
        return self._read_rows(SIGNATURES, images)

    def thumbnail_rows(self, images: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Read the thumbnails of some images, in their order: (n, height, width, 3) uint8.

        Raises
        ------
        UsageError
            If thumbnails were removed by `cleanup`.
        FastDiffError
            If they cannot be read.
        """
        try:
            return self._read_rows(THUMBNAILS, images)
        except FastDiffError:
            if CLEANED in self.files.names():
                raise UsageError(
                    f"the thumbnails of {self.files.url} were removed by clean_up; first_loop_iteration(), or find, "
                    f"makes them again"
                ) from None
            raise

    def _read_rows(self, name: str, images: NDArray[np.int64], kind: RowKind | None = None) -> NDArray[Any]:
        """Read the rows of some images: not more bytes than they take, a little more from afar."""
        shape, dtype, _ = self._kinds[name] if kind is None else kind
        size, stored = self._settings.block_size, self._rows()
        result = np.empty((len(images), *shape), dtype)
        order = np.argsort(images, kind="stable")
        ordered = images[order]
        blocks, starts = np.unique(ordered // size, return_index=True)
        stops = np.append(starts, len(images))[1:]
        for block, start, stop in zip(blocks.tolist(), starts.tolist(), stops.tolist(), strict=True):
            rows, count = ordered[start:stop] - block * size, stored[block]
            there = int(np.searchsorted(rows, count))
            result[start + there : stop] = 0
            rows = rows[:there]
            if not there:
                continue
            calls, whole_bytes = there * _CALL_BYTES, count * result[:1].nbytes
            if whole_bytes < calls if self.files.local else there * _WHOLE_SHARE > count:
                result[start : start + there] = self.read_plain(name, block, range(count), shape, dtype)[rows]
                continue
            result[start : start + there] = self.read_plain(name, block, rows, shape, dtype)
        if np.array_equal(order, np.arange(len(order))):
            return result
        back = np.empty_like(order)
        back[order] = np.arange(len(order))
        return result.take(back, axis=0)  # other threads go on meanwhile, unlike with an index

    # -- writing -----------------------------------------------------------------------------------------------------

    def write_images(
        self,
        block: int,
        thumbnails: NDArray[np.uint8],
        signatures: NDArray[np.float32],
        digests: NDArray[np.uint8],
    ) -> None:
        """Commit a block; the thumbnails last.

        Parameters
        ----------
        block
            Its number.
        thumbnails, signatures, digests
            (n, ...), n the number of its images or more: see `signatures.signatures` and `hashes.thumbnail_digests`; 0
            where an image could not be read.
        """
        for name, values in ((SIGNATURES, signatures), (DIGESTS, digests), (THUMBNAILS, thumbnails)):
            self._write_rows(name, block, values)

    def _write_rows(self, name: str, block: int, values: NDArray[Any]) -> None:
        self.files.write(_chunk_path(name, block, values.ndim - 1), *self._shard(values))

    def _shard(self, values: NDArray[Any]) -> list[memoryview]:
        """Lay rows out as a shard.

        It has the rows, padded to whole inner chunks, and then the offset and the length of each inner chunk, all ones
        for none.
        """
        inner, row_bytes = self._shard_rows, values[:1].nbytes
        chunks = -(-len(values) // inner)
        index = np.full((self._settings.block_size // inner, 2), 2**64 - 1, "<u8")
        index[:chunks, 0] = np.arange(chunks) * inner * row_bytes
        index[:chunks, 1] = inner * row_bytes
        plain = np.ascontiguousarray(values, values.dtype.newbyteorder("<"))
        padding = np.zeros(chunks * inner * row_bytes - plain.nbytes, np.uint8)
        return [part.reshape(-1).view(np.uint8).data for part in (plain, padding, index)]

    # -- other arrays with a row an image ----------------------------------------------------------------------------

    def row_kind(self, name: str) -> RowKind | None:
        """Kind of the rows of an array, such as ``vectors/clip/values``; None if it is not recorded."""
        if "zarr.json" not in self.files.names(f"{ARRAYS}/{name}"):
            return None  # chunks may be left by a process that was killed before
        kind = self._check(name)
        with self.files.reading(f"{ARRAYS}/{name}"):
            if not 0 < kind.bytes <= MOST_FEATURE_BYTES:
                raise ValueError(f"its rows have {kind.bytes} bytes")
        return kind

    def record_rows(self, name: str, kind: RowKind) -> None:
        """Make room for the rows of all blocks; what is stored of the first block counts from now on."""
        self.files.check_run()
        there = self.row_kind(name) is not None
        self._grow(name, kind, len(self._rows()), there)

    def rows(self, name: str, kind: RowKind, images: NDArray[np.int64]) -> NDArray[Any]:
        """Read the rows of some images, in their order: (n, ...)."""
        return self._read_rows(name, images, kind)

    def write_rows(self, name: str, block: int, values: NDArray[Any]) -> None:
        """Commit the rows of the images of a block, (n, ...)."""
        self._write_rows(name, block, values)

    def feature_kind(self, features: str, transform: int) -> RowKind | None:
        """Kind of the features of thumbnails so turned; None if they are not recorded."""
        return self.row_kind(f"{FEATURES}/{features}/{transform}")

    def feature_blocks(self, features: str, transform: int) -> set[int]:
        """Numbers of the blocks whose features are stored."""
        return self.stored_chunks(f"{FEATURES}/{features}/{transform}")

    def record_features(self, features: str, transform: int, kind: RowKind) -> None:
        """Make room for the features of all blocks, see `record_rows`."""
        self.record_rows(f"{FEATURES}/{features}/{transform}", kind)

    def feature_rows(self, features: str, transform: int, kind: RowKind, images: NDArray[np.int64]) -> NDArray[Any]:
        """Read the features of some images, in their order: (n, ...)."""
        return self.rows(f"{FEATURES}/{features}/{transform}", kind, images)

    def write_features(self, features: str, transform: int, block: int, values: NDArray[Any]) -> None:
        """Commit the features of the images of a block, (n, ...); 0 where an image could not be read."""
        self.write_rows(f"{FEATURES}/{features}/{transform}", block, values)
