"""The store: the only module that knows the layout on disk.

::

    <store>/
      images.parquet/block-00000000.parquet   one partition per block: the metadata of its images
      arrays.zarr/                            attributes: format, roots, thumbnail settings, generations
        thumbnails                            (image, y, x, channel) uint8, one chunk per block
        signatures                            (image, value) float32, one chunk per block
        digests                               (image, turn, byte) uint8, one chunk per block
        comparisons/<comparison>/             see `comparisons`
        mse[-rotations][-mirror]/             (image, image) float64, see `dense`; if it was asked for
      index.json                              what the last index run left out: ignored files, other names of files
      writer.lock                             locked by the process that is writing
      activity/                               what tasks are doing, for those who watch; see `activity`

Image number i is row ``i % block_size`` of block ``i // block_size``; the last block of each side of a generation may
be part empty. Every file is written under a temporary name and renamed, or is one object of an object store, so it is
there as a whole or not at all. What counts as finished, and is written last:

- a generation: its entry in the attributes of ``arrays.zarr``;
- a block: its chunk of ``thumbnails`` (after its partition, which the thumbnail stage completes, its signatures and its
  digests; an image that could not be read has a digest of zeros).

A chunk of thumbnails that equals the fill value must be stored too (Zarr leaves such chunks out by default): a block of
black pictures, or of unreadable ones, is finished. These arrays are not compressed, so that single rows can be read.
"""

import contextlib
import io
import json
import math
import os
import re
import socket
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Self

import filelock
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import zarr
from numpy.typing import NDArray
from zarr.core.chunk_key_encodings import ChunkKeyEncodingParams
from zarr.storage import FsspecStore, LocalStore

from .config import ThumbnailSettings
from .errors import FastDiffError, StoreLockedError, StoreMismatchError, UsageError
from .files import Files
from .grid import Generation
from .hashes import DIGEST_BYTES, HASH_COLUMNS, HASH_KEY, IMAGE_HASH_COLUMNS
from .signatures import signature_length

__all__ = ["FORMAT_VERSION", "IMAGE_SCHEMA", "UNREAD", "Store", "encode_partition"]

FORMAT_VERSION = 3
_FORMAT = "fastdiff_dask"
_THUMBNAILS, _SIGNATURES, _DIGESTS = "thumbnails", "signatures", "digests"
# A block is read as a whole if more than one in so many of its rows is wanted and it is not on a local disk; if it is,
# when reading so many bytes costs less than another call.
_WHOLE_SHARE, _CALL_BYTES = 8, 8192
_LEFTOVER = re.compile(r"(index|writer)\.json\.[0-9a-f]{32}\.partial")
_OWN_NAMES = {"activity", "arrays.zarr", "images.parquet", "index.json", "writer.json", "writer.lock"}
# c.5.0.0.0 rather than c/5/0/0/0: one directory to list, not one for each chunk
FLAT_KEYS: ChunkKeyEncodingParams = {"name": "default", "separator": "."}

IMAGE_SCHEMA = pa.schema(
    [
        ("image", pa.int64()),  # number of the image: row in the array of thumbnails
        ("side", pa.string()),  # "a" or "b"
        ("root", pa.string()),  # absolute folder
        ("path", pa.string()),  # below the root; undecodable bytes shown as U+FFFD
        ("path_bytes", pa.binary()),  # the name itself where `path` cannot hold it, else empty
        ("size", pa.int64()),  # bytes; -1 for what could not even be listed
        ("mtime_ns", pa.int64()),
        ("device", pa.uint64()),  # with `inode`, tells names of the same file; 0 where the file system has none
        ("inode", pa.uint64()),
        ("current", pa.bool_()),  # False: vanished, or changed and listed again under another number
        ("width", pa.int32()),  # pixels as shown to a person; 0 while not known
        ("height", pa.int32()),
        ("format", pa.string()),
        ("mode", pa.string()),
        ("error", pa.string()),  # null if the image can be compared, or was not read yet
        ("retry", pa.bool_()),  # the error was in reading, not in decoding
        ("time_limit", pa.float64()),  # seconds that reading took longer than, if that is the error; else 0
        ("pixel_limit", pa.int64()),  # pixels of which the image has more, if that is the error; else 0
        ("warnings", pa.string()),  # what the decoder complained of, one line; null if nothing
        ("content_hash", pa.string()),  # SHA-256 of the file; null while it was not read
        ("hash_function", pa.string()),  # what made the hashes; null if nothing
        ("hash_shift", pa.int8()),  # bits by which values were shifted for the hashes
        *((name, pa.string()) for name in (*HASH_COLUMNS, HASH_KEY, *IMAGE_HASH_COLUMNS)),
    ]
)

# What is known of an image before it is read.
UNREAD: dict[str, Any] = {
    **{"width": 0, "height": 0, "format": "", "mode": "", "retry": False, "time_limit": 0.0, "pixel_limit": 0},
    **dict.fromkeys(("warnings", "content_hash", "hash_function", *HASH_COLUMNS, HASH_KEY, *IMAGE_HASH_COLUMNS)),
    "hash_shift": 0,
}


def encode_partition(frame: pd.DataFrame) -> bytes:
    """Metadata of a block, columns as in `IMAGE_SCHEMA`, as the bytes of a Parquet file."""
    sink = io.BytesIO()
    table = pa.Table.from_pandas(frame, schema=IMAGE_SCHEMA, preserve_index=False)
    pq.write_table(table.replace_schema_metadata(), sink, compression="zstd")
    return sink.getvalue()


class Store:
    """A store that exists: reading, and the commits of each stage.

    Cheap to make, so that each task opens its own from the address. Not locked: see `lock`.

    Parameters
    ----------
    url
        Folder or fsspec URL.

    Raises
    ------
    UsageError
        If there is no store.
    StoreMismatchError
        If it is of another format.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self.files = Files(url)
        if not _is_store(self.files):
            raise UsageError(f"no store at {url}; make one with: fastdiff-dask find DIR --store {url}")
        try:
            attributes: dict[str, Any] = dict(zarr.open_group(self.zarr(), mode="r").attrs)
        except (ValueError, KeyError, TypeError, OSError) as error:
            reason = " ".join(str(error).split())
            raise StoreMismatchError(
                f"the store at {url} cannot be read ({reason}); name another --store, or delete it"
            ) from None
        found = (attributes.get("format"), attributes.get("format_version"))
        if found != (_FORMAT, FORMAT_VERSION):
            raise StoreMismatchError(
                f"the store at {url} has format {found[0]} {found[1]}, this program reads {_FORMAT} {FORMAT_VERSION}; "
                f"name another --store, or delete it and start again"
            )
        try:
            self._load(attributes)
        except (ValueError, KeyError, TypeError, IndexError) as error:
            raise StoreMismatchError(
                f"the store at {url} has damaged settings ({error!r}); name another --store, or delete it"
            ) from None

    def _load(self, attributes: dict[str, Any]) -> None:
        self.roots: dict[str, list[str]] = {side: list(attributes["roots"][side]) for side in ("a", "b")}
        self.thumbnail_settings = ThumbnailSettings.from_json(attributes["thumbnails"])
        self.generations = [
            Generation(range(start, middle), range(middle, stop), images_a, images_b)
            for start, middle, stop, images_a, images_b in attributes["generations"]
        ]

    # -- making and locking ------------------------------------------------------------------------------------------

    @classmethod
    def open_or_create(cls, url: str, roots: dict[str, list[str]], settings: ThumbnailSettings) -> Self:
        """Open the store if it was made for the same roots and settings; make it if there is none.

        Raises
        ------
        StoreMismatchError
            If the store was made by another format, with other settings, or for other folders.
        """
        files = _refuse_foreign(url)
        if not _is_store(files):
            attributes = {
                "format": _FORMAT,
                "format_version": FORMAT_VERSION,
                "roots": roots,
                "thumbnails": settings.to_json(),
                "generations": [],
            }
            # one write: the group is there with its attributes or not at all
            zarr.create_group(_zarr_store(files), attributes=attributes)
        store = cls(url)
        for what, found, wanted in (
            ("thumbnail settings", store.thumbnail_settings, settings),
            ("folders", store.roots, roots),
        ):
            if found != wanted:
                raise StoreMismatchError(
                    f"the store at {url} was made with {what} {_brief(found)}, now asked for {_brief(wanted)}; "
                    f"use the former, name another --store, or delete the store"
                )
        return store

    @staticmethod
    def exists(url: str) -> bool:
        """Whether there is a store, of whatever format, at an address."""
        return _is_store(Files(url))

    @staticmethod
    @contextlib.contextmanager
    def lock(url: str) -> Iterator[None]:
        """Hold the store for writing; the operating system drops the lock of a process that dies.

        Stores behind a URL other than a local path are not locked.

        Raises
        ------
        StoreLockedError
            If another process holds it.
        StoreMismatchError
            If there is something else at the address; nothing is written there.
        """
        try:
            files = _refuse_foreign(url)
        except PermissionError:
            raise UsageError(f"the store cannot be read at {url}: Permission denied; name another --store") from None
        if not files.local:
            yield
            return
        folder = Path(files.root)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            held = filelock.FileLock(folder / "writer.lock", timeout=0)
            held.acquire()
        except filelock.Timeout:
            writer = "another process"
            with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
                holder = json.loads((folder / "writer.json").read_text())
                writer = f"process {holder['process']} on {holder['host']}"
            raise StoreLockedError(
                f"the store at {url} is being written by {writer}; wait for it to end, or name another --store"
            ) from None
        except OSError as error:
            raise UsageError(f"the store cannot be written at {url}: {error.strerror}; name another --store") from None
        try:
            files.write("writer.json", json.dumps({"process": os.getpid(), "host": socket.gethostname()}).encode())
            # of a process that was killed while it wrote
            leftovers = [path for path in folder.iterdir() if _LEFTOVER.fullmatch(path.name)]
            for name in ("arrays.zarr", "images.parquet"):
                leftovers += (folder / name).rglob("*.partial")
            for leftover in leftovers:
                leftover.unlink(missing_ok=True)
            yield
        finally:
            held.release()

    @contextlib.contextmanager
    def reading(self, what: str) -> Iterator[None]:
        """Say that a part of the store is damaged if it cannot be read.

        Raises
        ------
        FastDiffError
            With the part and the reason.
        """
        try:
            yield
        except (ValueError, KeyError, TypeError, RuntimeError, FileNotFoundError, pa.ArrowException) as error:
            reason = " ".join(f"{type(error).__name__}: {error}".split())[:200]
            raise FastDiffError(
                f"the store at {self.url} is damaged: {what} cannot be read ({reason}); delete the store and start "
                f"again, and check the disk"
            ) from None

    # -- metadata ----------------------------------------------------------------------------------------------------

    @property
    def two_sides(self) -> bool:
        """Whether the collection is side a against side b."""
        return bool(self.roots["b"])

    @property
    def blocks(self) -> int:
        """Number of blocks over all generations."""
        return self.generations[-1].b.stop if self.generations else 0

    def rows(self) -> list[int]:
        """Number of images in each block."""
        size = self.thumbnail_settings.block_size
        return [generation.rows(block, size) for generation in self.generations for block in generation.blocks]

    def read_partition(self, block: int, columns: Sequence[str] | None = None) -> pd.DataFrame:
        """Metadata of a block, one row an image, columns as in `IMAGE_SCHEMA`.

        Raises
        ------
        FastDiffError
            If the partition is missing or damaged.
        """
        name = _partition_name(block)
        with self.reading(name):
            return pq.read_table(io.BytesIO(self.files.read(name)), columns=columns).to_pandas()

    def read_images(self, columns: Sequence[str]) -> pd.DataFrame:
        """Metadata of all blocks, some columns: memory grows with the number of images."""
        names = list(columns)
        frames = [self.read_partition(block, names) for block in range(self.blocks)]
        empty = IMAGE_SCHEMA.empty_table().select(names).to_pandas()
        return pd.concat(frames, ignore_index=True) if frames else empty

    def write_partition(self, block: int, frame: pd.DataFrame) -> None:
        """Write or replace the metadata of a block."""
        self.files.write(_partition_name(block), encode_partition(frame))

    def read_index(self) -> dict[str, Any]:
        """What the last index run left out, as JSON values.

        Under "ignored" the number of files by rule; under "links" other names of listed files, see `catalog.Link`.
        Both are empty if no index run came to its end.

        Raises
        ------
        FastDiffError
            If it is damaged.
        """
        try:
            content = self.files.read("index.json")
        except FileNotFoundError:
            return {"ignored": {}, "links": []}
        with self.reading("index.json"):
            index: dict[str, Any] = json.loads(content)
            return {"ignored": dict(index["ignored"]), "links": list(index["links"])}

    def write_index(self, index: dict[str, Any]) -> None:
        """Record what an index run left out, if it is not recorded so already."""
        with contextlib.suppress(FastDiffError):  # what is damaged is replaced
            if self.read_index() == index and "index.json" in self.files.names():
                return
        self.files.write("index.json", json.dumps(index).encode())

    def add_generation(self, generation: Generation) -> None:
        """Commit a generation whose partitions are written."""
        group = zarr.open_group(self.zarr(), mode="r+")
        images = generation.b.stop * self.thumbnail_settings.block_size
        for name, (shape, dtype, dimensions) in self._row_arrays().items():
            if name in group:
                zarr.open_array(self.zarr(), path=name, mode="r+").resize((images, *shape))
            else:
                group.create_array(
                    name,
                    shape=(images, *shape),
                    chunks=(self.thumbnail_settings.block_size, *shape),
                    dtype=dtype,
                    compressors=None,
                    chunk_key_encoding=FLAT_KEYS,
                    dimension_names=("image", *dimensions),
                )
        self.generations.append(generation)
        recorded = [[g.a.start, g.a.stop, g.b.stop, g.images_a, g.images_b] for g in self.generations]
        group.update_attributes({"generations": recorded})

    # -- thumbnails --------------------------------------------------------------------------------------------------

    def _row_arrays(self) -> dict[str, tuple[tuple[int, ...], str, tuple[str, ...]]]:
        """Arrays with a row an image: shape of a row, dtype, names of its dimensions."""
        shape = self.thumbnail_settings.shape
        return {
            _SIGNATURES: ((signature_length(*shape),), "float32", ("value",)),
            _DIGESTS: ((4, DIGEST_BYTES), "uint8", ("turn", "byte")),
            _THUMBNAILS: (shape, "uint8", ("y", "x", "channel")),
        }

    def finished_blocks(self) -> set[int]:
        """Numbers of the blocks whose thumbnails are committed."""
        return {block for block in self.stored_chunks(_THUMBNAILS) if block < self.blocks}

    def thumbnails_array(self) -> zarr.Array:
        """All thumbnails (blocks · block_size, height, width, 3) uint8; rows without an image are 0."""
        return zarr.open_array(self.zarr(), path=_THUMBNAILS, mode="r")

    def _read_block(self, name: str, block: int) -> NDArray[Any]:
        size = self.thumbnail_settings.block_size
        with self.reading(f"{name} of block {block}"):
            array = zarr.open_array(self.zarr(), path=name, mode="r")
            return np.asarray(array[block * size : (block + 1) * size])

    def read_thumbnails(self, block: int) -> NDArray[np.uint8]:
        """Thumbnails of a block (block_size, height, width, 3) uint8; rows without an image are 0."""
        return self._read_block(_THUMBNAILS, block)

    def read_digests(self, blocks: range | None = None) -> NDArray[np.uint8]:
        """Digests of the images of some blocks, or of all: (n, 4, 16) uint8; 0 for rows without a readable image."""
        size = self.thumbnail_settings.block_size
        blocks = range(self.blocks) if blocks is None else blocks
        return self._read_rows(_DIGESTS, np.arange(blocks.start * size, blocks.stop * size))

    def thumbnail_rows(self, images: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Thumbnails of some images, in their order: (n, height, width, 3) uint8."""
        return self._read_rows(_THUMBNAILS, images)

    def signature_rows(self, images: NDArray[np.int64]) -> NDArray[np.float32]:
        """Signatures of some images, in their order: (n, values) float32."""
        return self._read_rows(_SIGNATURES, images)

    def _read_rows(self, name: str, images: NDArray[np.int64]) -> NDArray[Any]:
        """Rows of some images of an array: not more is read than they take, a little more from afar."""
        shape, dtype, _ = self._row_arrays()[name]
        size = self.thumbnail_settings.block_size
        result = np.empty((len(images), *shape), dtype)
        order = np.argsort(images, kind="stable")
        blocks, starts = np.unique(images[order] // size, return_index=True)
        for block, places in zip(blocks.tolist(), np.split(order, starts)[1:], strict=True):
            rows = images[places] - block * size
            row_bytes = result[:1].nbytes
            whole = size * row_bytes < len(rows) * _CALL_BYTES if self.files.local else len(rows) * _WHOLE_SHARE > size
            if whole:
                result[places] = self.read_plain(name, block, range(size), shape, dtype)[rows]
                continue
            result[places] = self.read_plain(name, block, rows, shape, dtype)
        return result

    def read_plain(
        self, name: str, chunk: int, rows: NDArray[np.int64] | range, shape: tuple[int, ...], dtype: str
    ) -> NDArray[Any]:
        """Rows of a chunk of an array that is not compressed and chunked along its first axis alone.

        Zarr would read the whole chunk, and hand it from thread to thread on the way: 4 ms instead of 0.1.

        Raises
        ------
        FastDiffError
            If the chunk is missing or too short.
        """
        row_bytes = math.prod(shape) * np.dtype(dtype).itemsize
        with self.reading(f"{name} of block {chunk}"):
            path = _plain_path(name, chunk, len(shape))
            content = self.files.read_rows(path, row_bytes, np.asarray(rows, np.int64))
            return content.view(dtype).reshape(len(rows), *shape)

    def write_plain(self, name: str, chunk: int, values: NDArray[Any]) -> None:
        """Write a whole chunk of such an array, at once and in less than a millisecond; Zarr takes 5 to 10."""
        plain = np.ascontiguousarray(values, values.dtype.newbyteorder("<"))
        # as they lie in memory: a copy of a block of thumbnails would take as long as writing it
        self.files.write(_plain_path(name, chunk, values.ndim - 1), plain.view(np.uint8).data)

    def write_images(
        self,
        block: int,
        thumbnails: NDArray[np.uint8],
        signatures: NDArray[np.float32],
        digests: NDArray[np.uint8],
    ) -> None:
        """Commit a block: all of its rows, whether or not there is an image; the thumbnails last.

        Parameters
        ----------
        block
            Its number.
        thumbnails, signatures, digests
            (block_size, ...): see `signatures.signatures` and `hashes.thumbnail_digests`; 0 where there is no image.
        """
        for name, values in ((_SIGNATURES, signatures), (_DIGESTS, digests), (_THUMBNAILS, thumbnails)):
            self.write_plain(name, block, values)

    def stored_chunks(self, array: str) -> set[int]:
        """First chunk index of every stored chunk of an array, from one listing."""
        names = self.files.names(f"arrays.zarr/{array}")
        return {int(name.split(".")[1]) for name in names if re.fullmatch(r"c(\.\d+)+", name)}

    def zarr(self) -> LocalStore | FsspecStore:
        """Where the arrays are."""
        return _zarr_store(self.files)


def _plain_path(array: str, chunk: int, more_axes: int) -> str:
    return f"arrays.zarr/{array}/" + ".".join(["c", str(chunk), *("0" * more_axes)])


def _is_store(files: Files) -> bool:
    return "zarr.json" in files.names("arrays.zarr")


def _refuse_foreign(url: str) -> Files:
    """Give the files of a store, or of a place where one can be made."""
    files = Files(url)
    foreign = sorted(name for name in files.names() if name not in _OWN_NAMES and not _LEFTOVER.fullmatch(name))
    if files.is_file() or (foreign and not _is_store(files)):
        what = f"a folder with other files ({foreign[0]!r})" if foreign else "a file"
        raise StoreMismatchError(f"{url} is {what}, not a store; name a new or an empty folder")
    return files


def _partition_name(block: int) -> str:
    return f"images.parquet/block-{block:08d}.parquet"


def _zarr_store(files: Files) -> LocalStore | FsspecStore:
    if files.local:
        return LocalStore(Path(files.root) / "arrays.zarr")
    return FsspecStore.from_url(f"{files.url.rstrip('/')}/arrays.zarr")


def _brief(value: object) -> str:
    if isinstance(value, ThumbnailSettings):
        return f"{value.width}×{value.height}, block_size {value.block_size}"
    if isinstance(value, dict):
        return " against ".join(", ".join(roots) for roots in value.values() if roots)
    return str(value)
