"""The arrays of a store, and above all those with a row an image: thumbnails, signatures, digests.

Zarr makes and lengthens them. Rows are read and written as the plain bytes that they are: Zarr would read whole chunks,
and takes milliseconds for each.
"""

import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray
from zarr.codecs import BytesCodec, ShardingCodec
from zarr.storage import FsspecStore, LocalStore, StorePath

from ..config import ThumbnailSettings
from ..errors import FastDiffError, UsageError
from ..kernels.hashes import DIGEST_BYTES
from ..kernels.signatures import signature_length
from .files import Files, local_path
from .schema import CLEANED, DIGESTS, FLAT_KEYS, SIGNATURES, THUMBNAILS
from .validation import MOST_BLOCKS, StoredArray, decode_chunk, group_attributes, stored_array

__all__ = ["CALL_BYTES", "SHARD_ROWS", "WHOLE_SHARE", "Arrays", "plain_path", "row_array_bytes", "zarr_store"]

# A block is read as a whole if more than one in so many of its rows is wanted and it is not on a local disk; if it is,
# when reading so many bytes costs less than another call.
WHOLE_SHARE, CALL_BYTES = 8, 8192
# Rows that are left out of a shard together; less would make Zarr slow, which handles them one by one.
SHARD_ROWS = 16


def row_array_bytes(images: int, block_size: int, row_bytes: int) -> int:
    """Bytes that an array with a row an image takes for the images of one side of a generation.

    Examples
    --------
    >>> row_array_bytes(5, 1024, 12_288), row_array_bytes(1024, 1024, 12_288)
    (197632, 12583936)
    """
    inner = math.gcd(block_size, SHARD_ROWS)
    return -(-images // inner) * inner * row_bytes + -(-images // block_size) * (block_size // inner) * 16


def plain_path(array: str, chunk: int, more_axes: int) -> str:
    return f"arrays.zarr/{array}/" + ".".join(["c", str(chunk), *("0" * more_axes)])


def zarr_store(files: Files) -> LocalStore | FsspecStore:
    if files.local:
        return LocalStore(Path(files.root) / "arrays.zarr")
    # one for all threads: a connection for each would be made otherwise
    return FsspecStore(files.asynchronous(), path=f"{files.root}/arrays.zarr")


class Arrays:
    """The arrays of a store.

    Parameters
    ----------
    files
        Files of the store.
    settings
        Size of a thumbnail and of a block.
    rows
        Function that gives the number of images in each block.
    """

    def __init__(self, files: Files, settings: ThumbnailSettings, rows: Callable[[], list[int]]) -> None:
        self._files, self._settings, self._rows = files, settings, rows

    def group(self) -> zarr.Group:
        """Group of all arrays, open for writing."""
        return zarr.open_group(self.location(), mode="r+", zarr_format=3, use_consolidated=False)

    def _row_arrays(self) -> dict[str, tuple[tuple[int, ...], str, tuple[str, ...]]]:
        """Arrays with a row an image: shape of a row, dtype, names of its dimensions."""
        shape = self._settings.shape
        return {
            SIGNATURES: ((signature_length(*shape),), "float32", ("value",)),
            DIGESTS: ((4, DIGEST_BYTES), "uint8", ("turn", "byte")),
            THUMBNAILS: (shape, "uint8", ("y", "x", "channel")),
        }

    def grow(self, images: int) -> None:
        """Make the arrays with a row an image, or lengthen them to a number of images."""
        group = self.group()
        for name, (shape, dtype, dimensions) in self._row_arrays().items():
            if name in group:
                self._row_array(name)
                zarr.open_array(self.location(name), mode="r+", zarr_format=3).resize((images, *shape))
            else:
                group.create_array(
                    name,
                    shape=(images, *shape),
                    chunks=(self._settings.block_size, *shape),
                    dtype=dtype,
                    serializer=ShardingCodec(
                        chunk_shape=(self._shard_rows, *shape),
                        codecs=[BytesCodec()],
                        index_codecs=[BytesCodec()],
                        index_location="end",
                    ),
                    compressors=None,
                    chunk_key_encoding=FLAT_KEYS,
                    dimension_names=("image", *dimensions),
                )

    def finished_blocks(self) -> set[int]:
        """Numbers of the blocks whose thumbnails are committed."""
        return {block for block in self.stored_chunks(THUMBNAILS) if block < len(self._rows())}

    def thumbnails_array(self) -> zarr.Array:
        """All thumbnails (blocks · block_size, height, width, 3) uint8; rows without an image are 0."""
        self._row_array(THUMBNAILS)
        return zarr.open_array(self.location(THUMBNAILS), mode="r", zarr_format=3)

    def _row_array(self, name: str) -> None:
        """See that an array is as it was made."""
        shape, dtype, _ = self._row_arrays()[name]
        size = self._settings.block_size
        found = self.array(name, dtype, "shards")
        with self._files.reading(f"arrays.zarr/{name}"):
            # longer if a process was killed before it recorded a generation
            if found.shape[1:] != shape or found.chunks != (size, *shape) or found.shape[0] > MOST_BLOCKS * size:
                raise ValueError(f"its shape is {found.shape}, in chunks of {found.chunks}")

    def array(self, name: str, dtype: str, chunks: str = "plain") -> StoredArray:
        """What an array is, see `validation.stored_array`.

        Raises
        ------
        FastDiffError
            If it is missing, or none of those that are written here.
        """
        path = f"arrays.zarr/{name}/zarr.json"
        with self._files.reading(path):
            return stored_array(self._files.read(path), dtype, chunks)

    def attributes(self, name: str) -> dict[str, Any]:
        """Attributes of a group; errors as `array`."""
        path = f"arrays.zarr/{name}/zarr.json"
        with self._files.reading(path):
            return group_attributes(self._files.read(path))

    def read_chunk(self, name: str, array: StoredArray, *index: int) -> NDArray[Any]:
        """Values of a whole chunk of an array, by its index along each axis; errors as `array`."""
        path = f"arrays.zarr/{name}/c." + ".".join(map(str, index))
        with self._files.reading(path):
            return decode_chunk(self._files.read(path), array)

    def read_thumbnails(self, block: int) -> NDArray[np.uint8]:
        """Thumbnails of a block (block_size, height, width, 3) uint8; rows without an image are 0."""
        size = self._settings.block_size
        return self._read_rows(THUMBNAILS, np.arange(block * size, (block + 1) * size))

    def read_digests(self, blocks: range | None = None) -> NDArray[np.uint8]:
        """Digests of the images of some blocks, or of all: (n, 4, 16) uint8; 0 for rows without a readable image."""
        size = self._settings.block_size
        blocks = range(len(self._rows())) if blocks is None else blocks
        return self._read_rows(DIGESTS, np.arange(blocks.start * size, blocks.stop * size))

    def digest_rows(self, images: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Digests of some images, in their order: (n, 4, 16) uint8."""
        return self._read_rows(DIGESTS, images)

    def thumbnail_rows(self, images: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Thumbnails of some images, in their order: (n, height, width, 3) uint8."""
        try:
            return self._read_rows(THUMBNAILS, images)
        except FastDiffError:
            if CLEANED in self._files.names():
                raise UsageError(
                    f"the thumbnails of {self._files.url} were removed by clean_up; first_loop_iteration(), or find, makes "
                    f"them again"
                ) from None
            raise

    def signature_rows(self, images: NDArray[np.int64]) -> NDArray[np.float32]:
        """Signatures of some images, in their order: (n, values) float32."""
        return self._read_rows(SIGNATURES, images)

    def _read_rows(self, name: str, images: NDArray[np.int64]) -> NDArray[Any]:
        """Rows of some images of an array: not more is read than they take, a little more from afar."""
        shape, dtype, _ = self._row_arrays()[name]
        size, stored = self._settings.block_size, self._rows()
        result = np.empty((len(images), *shape), dtype)
        order = np.argsort(images, kind="stable")
        blocks, starts = np.unique(images[order] // size, return_index=True)
        for block, places in zip(blocks.tolist(), np.split(order, starts)[1:], strict=True):
            rows, count = images[places] - block * size, stored[block]
            there = rows < count
            result[places[~there]] = 0
            places, rows = places[there], rows[there]
            if not len(rows):
                continue
            calls, whole_bytes = len(rows) * CALL_BYTES, count * result[:1].nbytes
            if whole_bytes < calls if self._files.local else len(rows) * WHOLE_SHARE > count:
                result[places] = self.read_plain(name, block, range(count), shape, dtype)[rows]
                continue
            result[places] = self.read_plain(name, block, rows, shape, dtype)
        return result

    def read_plain(
        self, name: str, chunk: int, rows: NDArray[np.int64] | range, shape: tuple[int, ...], dtype: str
    ) -> NDArray[Any]:
        """Rows of a chunk of an array that is not compressed and chunked along its first axis alone, shard or not.

        Zarr would read the whole chunk, and hand it from thread to thread on the way: 4 ms instead of 0.1.

        Raises
        ------
        FastDiffError
            If the chunk is missing or too short.
        """
        row_bytes = math.prod(shape) * np.dtype(dtype).itemsize
        with self._files.reading(f"{name} of block {chunk}"):
            path = plain_path(name, chunk, len(shape))
            content = self._files.read_rows(path, row_bytes, np.asarray(rows, np.int64))
            return content.view(dtype).reshape(len(rows), *shape)

    def write_plain(self, name: str, chunk: int, values: NDArray[Any]) -> None:
        """Write a whole chunk of such an array, at once and in less than a millisecond; Zarr takes 5 to 10."""
        plain = np.ascontiguousarray(values, values.dtype.newbyteorder("<"))
        # as they lie in memory: a copy of a block of thumbnails would take as long as writing it
        self._files.write(plain_path(name, chunk, values.ndim - 1), plain.view(np.uint8).data)

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
            self._files.write(plain_path(name, block, values.ndim - 1), *self._shard(values))

    @property
    def _shard_rows(self) -> int:
        return math.gcd(self._settings.block_size, SHARD_ROWS)

    def _shard(self, values: NDArray[Any]) -> list[memoryview]:
        """Rows as a shard: padded to whole inner chunks, then the offset and the length of each, all ones for none."""
        inner, row_bytes = self._shard_rows, values[:1].nbytes
        chunks = -(-len(values) // inner)
        index = np.full((self._settings.block_size // inner, 2), 2**64 - 1, "<u8")
        index[:chunks, 0] = np.arange(chunks) * inner * row_bytes
        index[:chunks, 1] = inner * row_bytes
        plain = np.ascontiguousarray(values, values.dtype.newbyteorder("<"))
        padding = np.zeros(chunks * inner * row_bytes - plain.nbytes, np.uint8)
        return [part.reshape(-1).view(np.uint8).data for part in (plain, padding, index)]

    def stored_chunks(self, array: str) -> set[int]:
        """First chunk index of every stored chunk of an array, from one listing."""
        names = self._files.names(f"arrays.zarr/{array}")
        return {int(name.split(".")[1]) for name in names if re.fullmatch(r"c(\.\d{1,12})+", name)}

    def location(self, name: str = "") -> StorePath:
        """Where the arrays are, or one of them."""
        if self._files.local:
            local_path(self._files.root, f"arrays.zarr/{name}")
        return StorePath(zarr_store(self._files), name)

    def names(self) -> list[str]:
        """Names of the arrays and groups of the store."""
        return [name for name in self._files.names("arrays.zarr") if not name.endswith((".json", ".partial"))]
