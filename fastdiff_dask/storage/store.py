"""The store: the only module that knows the layout on disk.

::

    <store>/
      images.parquet/block-00000000.parquet   one partition per block: the metadata of its images
      arrays.zarr/                            attributes: format, roots, thumbnail settings, generations
        thumbnails                            (image, y, x, channel) uint8, one chunk per block
        signatures                            (image, value) float32, one chunk per block
        digests                               (image, turn, byte) uint8, one chunk per block
        comparisons/<comparison>/             see `comparisons`
        mse[-rotations][-mirror]/             (image, image) float64, see `matrix`; if it was asked for
      index.json                              what the last index run left out: ignored files, other names of files
      decisions.json                          what people said are no duplicates, see `decisions`
      settings.json                           what the last run was asked for, see `options`
      cleaned                                 thumbnails were removed after they were compared, see `cleanup`
      plots/                                  pictures of pairs, if no other folder was named, see `plots`
      writer.lock, writer.json                locked by the process that is writing; see `locks`
      run                                     number of the run whose tasks may write; see `Files.begin_run`
      activity/                               what tasks are doing, for those who watch; see `activity`

Image number i is row ``i % block_size`` of block ``i // block_size``; the last block of each side of a generation may
be part empty. Every file is written under a temporary name and renamed, or is one object of an object store, so it is
there as a whole or not at all. That, and that what was written is read and listed at once by everyone, is all that a
store needs of a backend, besides that only one of two processes can create an object, for the lock;
`locks.check_backend` tries it out. Object stores do so; SFTP, FTP, SMB and HTTP do not, and are refused. What counts as
finished, and is written last:

- a generation: its entry in the attributes of ``arrays.zarr``;
- a block: its chunk of ``thumbnails`` (after its partition, which the thumbnail stage completes, its signatures and its
  digests; an image that could not be read has a digest of zeros).

A chunk of thumbnails that equals the fill value must be stored too (Zarr leaves such chunks out by default): a block of
black pictures, or of unreadable ones, is finished. These arrays are not compressed, so that single rows can be read.
Each chunk of them is a shard of Zarr's sharding codec: its rows one after the other, and then the index. Rows after the
last image are left out, up to the next 16, so that a day's five new pictures take 0.2 MB and not a block's 13.
"""

import contextlib
import io
import json
import math
import re
import socket
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import zarr
from numpy.typing import NDArray
from zarr.codecs import BytesCodec, ShardingCodec
from zarr.storage import StorePath

from ..config import ThumbnailSettings
from ..errors import FastDiffError, StoreMismatchError, UsageError
from ..kernels.grid import Generation
from ..kernels.hashes import DIGEST_BYTES
from ..kernels.signatures import signature_length
from ..text import printable
from .arrays import CALL_BYTES, SHARD_ROWS, WHOLE_SHARE, plain_path, zarr_store
from .files import RUN, Files, check_store_address, local_path
from .locks import Held, hold
from .records import DECISIONS, LARGEST_SETTINGS, SETTINGS, is_digest
from .schema import (
    CLEANED,
    DIGESTS,
    FLAT_KEYS,
    FORMAT,
    FORMAT_VERSION,
    IMAGE_SCHEMA,
    SIGNATURES,
    THUMBNAILS,
    encode_partition,
)
from .validation import (
    MOST_BLOCKS,
    StoredArray,
    check_generations,
    check_index,
    check_roots,
    check_rows,
    decode_chunk,
    group_attributes,
    is_plain,
    stored_array,
)

__all__ = ["Store"]

# Partitions that are read at the same time from afar; each is some 100 kB.
_PARTITIONS = 128
_LEFTOVER = re.compile(r"((index|writer|settings|decisions)\.json|run|cleaned)\.[0-9a-f]{32}\.partial")
_OWN_NAMES = {
    *("activity", "arrays.zarr", CLEANED, DECISIONS, "images.parquet", "index.json", "plots", RUN, SETTINGS),
    *("writer.json", "writer.lock"),
}


class Store:
    """A store that exists: reading, and the commits of each stage.

    Cheap to make, so that each task opens its own from the address. Not locked: see `lock`.

    Parameters
    ----------
    url
        Folder or fsspec URL.
    run
        For a task: the run that it is of, see `Files.begin_run`.

    Raises
    ------
    UsageError
        If there is no store.
    StoreMismatchError
        If it is of another format.
    """

    def __init__(self, url: str, run: str = "") -> None:
        self.url = url
        self.files = Files(url, run)
        try:
            there = _is_store(self.files)
        except OSError as error:
            if run:  # a task tries it again
                raise
            raise _unreachable(self.files, error) from None
        if not there:
            if run:
                raise FastDiffError(
                    f"a worker on {socket.gethostname()} does not see the store at {url}; mount it there under the "
                    f"same path"
                )
            raise UsageError(f"no store at {url}; make one with: fastdiff-dask find DIR --store {url}")
        try:
            attributes = group_attributes(self.files.read("arrays.zarr/zarr.json"))
        except StoreMismatchError:
            raise
        except OSError as error:
            if run:  # a task tries it again
                raise
            reason = " ".join(str(error).split())
            raise StoreMismatchError(
                f"the store at {url} cannot be read ({reason}); check the disk and the rights, or name another --store"
            ) from None
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            reason = " ".join(str(error).split())
            raise StoreMismatchError(
                f"the store at {url} cannot be read ({reason}); name another --store, or delete it"
            ) from None
        found = (attributes.get("format"), attributes.get("format_version"))
        if found != (FORMAT, FORMAT_VERSION):
            shown = printable(f"{found[0]} {found[1]}")[:50]
            raise StoreMismatchError(
                f"the store at {url} has format {shown}, this program reads {FORMAT} {FORMAT_VERSION}; "
                f"name another --store, or delete it and start again"
            )
        try:
            self._load(attributes)
        except (ValueError, KeyError, TypeError, IndexError) as error:
            reason = printable(f"{type(error).__name__}: {error}")[:200]
            raise StoreMismatchError(
                f"the store at {url} has damaged settings ({reason}); name another --store, or delete it"
            ) from None

    def _load(self, attributes: dict[str, Any]) -> None:
        self.roots = check_roots(attributes["roots"])
        self.thumbnail_settings = ThumbnailSettings.from_json(attributes["thumbnails"])
        self.generations = [
            Generation(range(start, middle), range(middle, stop), images_a, images_b)
            for start, middle, stop, images_a, images_b in check_generations(
                attributes["generations"], self.thumbnail_settings.block_size, self.two_sides
            )
        ]
        self._rows: list[int] = []

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
                "format": FORMAT,
                "format_version": FORMAT_VERSION,
                "roots": roots,
                "thumbnails": settings.to_json(),
                "generations": [],
            }
            for name in (THUMBNAILS, SIGNATURES, DIGESTS):  # of one that was not removed to the end
                files.remove(f"arrays.zarr/{name}/zarr.json")
            # one write: the group is there with its attributes or not at all
            zarr.create_group(zarr_store(files), zarr_format=3, attributes=attributes)
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
        """Whether there is a store, of whatever format, at an address.

        Raises
        ------
        UsageError
            If that cannot be told.
        """
        files = Files(url)
        try:
            return _is_store(files)
        except OSError as error:
            raise _unreachable(files, error) from None

    @staticmethod
    @contextlib.contextmanager
    def lock(url: str) -> Iterator[Held]:
        """Hold the store for writing; the lock of a process that died does not count, see `locks`.

        Raises
        ------
        StoreLockedError
            If another process holds it.
        StoreMismatchError
            If there is something else at the address; nothing is written there.
        UsageError
            If no store can be kept there.
        """
        check_store_address(url)
        try:
            files = _refuse_foreign(url)
        except OSError as error:
            raise _unreachable(Files(url), error) from None
        with hold(files) as held:
            if files.local:
                # of a process that was killed while it wrote
                folder = Path(files.root)
                leftovers = [path for path in folder.iterdir() if _LEFTOVER.fullmatch(path.name)]
                for name in ("arrays.zarr", "images.parquet"):
                    leftovers += (folder / name).rglob("*.partial")
                for leftover in leftovers:
                    leftover.unlink(missing_ok=True)
            yield held

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
        except StoreMismatchError:
            raise
        except (ValueError, KeyError, TypeError, RuntimeError, FileNotFoundError, pa.ArrowException) as error:
            reason = printable(" ".join(f"{type(error).__name__}: {error}".split()))[:200]
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
        if len(self._rows) != self.blocks:
            self._rows = [new.rows(block, size) for new in self.generations for block in new.blocks]
        return list(self._rows)

    def read_partition(self, block: int, columns: Sequence[str] | None = None) -> pd.DataFrame:
        """Metadata of a block, one row an image, columns as in `IMAGE_SCHEMA`.

        Raises
        ------
        FastDiffError
            If the partition is missing or damaged.
        """
        name = _partition_name(block)
        with self.reading(name):
            content = self.files.read(name)
        return self._decode_partition(block, content, columns)

    def _decode_partition(self, block: int, content: bytes, columns: Sequence[str] | None) -> pd.DataFrame:
        with self.reading(_partition_name(block)):
            rows, side = self._rows_of(block)
            file = pq.ParquetFile(io.BytesIO(content))
            # before any of it is read: types of its own, or more rows than there can be, are not even made
            if not is_plain(file.schema_arrow, IMAGE_SCHEMA):
                raise ValueError("its columns are others")
            if file.metadata.num_rows != rows and side:
                raise ValueError(f"it has {file.metadata.num_rows} images, not {rows}")
            wanted = None if columns is None else list(columns)
            # names of files are checked as they will be used
            checked = wanted if wanted is None or "path" not in wanted else list({*wanted, "path_bytes"})
            table = file.read(columns=checked)
            table.validate(full=True)
            if side:
                check_rows(table, block * self.thumbnail_settings.block_size, side, self.roots[side])
            return table.select(wanted or IMAGE_SCHEMA.names).to_pandas(ignore_metadata=True)

    def _rows_of(self, block: int) -> tuple[int, str]:
        """Number of images in a block, and their side; none of a block that no generation has."""
        for generation in reversed(self.generations):
            if block in generation.blocks:
                side = "a" if block in generation.a else "b"
                return generation.rows(block, self.thumbnail_settings.block_size), side
        return 0, ""

    def read_images(self, columns: Sequence[str]) -> pd.DataFrame:
        """Metadata of all blocks, some columns: memory grows with the number of images."""
        names = list(columns)
        # from afar, a partition takes as long as a hundred of them at the same time
        frames, at_once = [], 1 if self.files.local else _PARTITIONS
        for first in range(0, self.blocks, at_once):
            blocks = range(first, min(first + at_once, self.blocks))
            what = _partition_name(first) + (f" or one of the next {len(blocks) - 1}" if len(blocks) > 1 else "")
            with self.reading(what):
                contents = self.files.read_several([_partition_name(block) for block in blocks])
            frames += [self._decode_partition(*one, names) for one in zip(blocks, contents, strict=True)]
        empty = IMAGE_SCHEMA.empty_table().select(names).to_pandas()
        return pd.concat(frames, ignore_index=True) if frames else empty

    def image_rows(self, images: NDArray[np.int64], columns: Sequence[str]) -> pd.DataFrame:
        """Metadata of some images, in their order, indexed from 0: each of their blocks is read once."""
        blocks, places = np.divmod(images, self.thumbnail_settings.block_size)
        order = np.argsort(blocks, kind="stable")
        wanted, starts = np.unique(blocks[order], return_index=True)
        frames = [
            self.read_partition(block, list(columns)).iloc[places[rows]].set_axis(rows)
            for block, rows in zip(wanted.tolist(), np.split(order, starts)[1:], strict=True)
        ]
        empty = IMAGE_SCHEMA.empty_table().select(list(columns)).to_pandas()
        return pd.concat(frames).sort_index() if frames else empty

    def write_partition(self, block: int, frame: pd.DataFrame) -> None:
        """Write or replace the metadata of a block."""
        self.files.write(_partition_name(block), encode_partition(frame))

    def read_index(self) -> dict[str, Any]:
        """What the last index run left out, as JSON values.

        Under "ignored" the number of files by rule; under "links" other names of listed files, see `walk_local.Link`.
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
            return check_index(json.loads(content), self.roots)

    def write_index(self, index: dict[str, Any]) -> None:
        """Record what an index run left out, if it is not recorded so already."""
        with contextlib.suppress(FastDiffError):  # what is damaged is replaced
            if self.read_index() == index and "index.json" in self.files.names():
                return
        self.files.write("index.json", json.dumps(index).encode())

    def read_settings(self) -> dict[str, Any]:
        """What the last run was asked for, as JSON values, see `write_settings`; empty if that is not recorded.

        Raises
        ------
        FastDiffError
            If it is damaged. The values are not checked here.
        """
        try:
            content = self.files.read(SETTINGS, LARGEST_SETTINGS + 1)
        except FileNotFoundError:
            return {}
        with self.reading(SETTINGS):
            if len(content) > LARGEST_SETTINGS:
                raise ValueError("it is too large")
            return dict(json.loads(content))

    def write_settings(self, values: dict[str, Any]) -> None:
        """Record what a run is asked for, if it is not recorded so already."""
        with contextlib.suppress(FastDiffError):  # what is damaged is replaced
            if self.read_settings() == values:
                return
        self.files.write(SETTINGS, json.dumps(values).encode())

    def read_not_duplicates(self) -> list[tuple[str, str]]:
        """Pairs of contents that people said are no duplicates, sorted: SHA-256 of both files.

        Raises
        ------
        FastDiffError
            If that is damaged.
        """
        try:
            content = self.files.read(DECISIONS)
        except FileNotFoundError:
            return []
        with self.reading(DECISIONS):
            pairs = [tuple(pair) for pair in json.loads(content)["not_duplicates"]]
            for a, b in pairs:
                if not (is_digest(a) and is_digest(b) and a <= b):
                    raise ValueError("what it has are no pairs of digests")
            return sorted(set(pairs))

    def write_not_duplicates(self, pairs: list[tuple[str, str]]) -> None:
        """Record what `read_not_duplicates` gives."""
        self.files.write(DECISIONS, json.dumps({"not_duplicates": pairs}).encode())

    def forget_stale(self) -> None:
        """Remove the comparisons of thumbnails that were cleaned up, before pictures are read again.

        Decoders may have changed since, and what is compared must be what is there.
        """
        if CLEANED in self.files.names():
            for name in self.zarr_names():
                if name not in (THUMBNAILS, SIGNATURES, DIGESTS):
                    self.files.remove(f"arrays.zarr/{name}")
            self.files.remove(CLEANED)

    def zarr_names(self) -> list[str]:
        """Names of the arrays and groups of the store."""
        return [name for name in self.files.names("arrays.zarr") if not name.endswith((".json", ".partial"))]

    def add_generation(self, generation: Generation) -> None:
        """Commit a generation whose partitions are written."""
        if generation.b.stop > MOST_BLOCKS:
            raise UsageError(f"a store has at most {MOST_BLOCKS} blocks; use a new --store with larger ones")
        self.files.check_run()
        group = zarr.open_group(self.zarr(), mode="r+", zarr_format=3, use_consolidated=False)
        images = generation.b.stop * self.thumbnail_settings.block_size
        for name, (shape, dtype, dimensions) in self._row_arrays().items():
            if name in group:
                self._row_array(name)
                zarr.open_array(self.zarr(name), mode="r+", zarr_format=3).resize((images, *shape))
            else:
                group.create_array(
                    name,
                    shape=(images, *shape),
                    chunks=(self.thumbnail_settings.block_size, *shape),
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
        self.generations.append(generation)
        recorded = [[g.a.start, g.a.stop, g.b.stop, g.images_a, g.images_b] for g in self.generations]
        group.update_attributes({"generations": recorded})

    # -- thumbnails --------------------------------------------------------------------------------------------------

    def _row_arrays(self) -> dict[str, tuple[tuple[int, ...], str, tuple[str, ...]]]:
        """Arrays with a row an image: shape of a row, dtype, names of its dimensions."""
        shape = self.thumbnail_settings.shape
        return {
            SIGNATURES: ((signature_length(*shape),), "float32", ("value",)),
            DIGESTS: ((4, DIGEST_BYTES), "uint8", ("turn", "byte")),
            THUMBNAILS: (shape, "uint8", ("y", "x", "channel")),
        }

    def finished_blocks(self) -> set[int]:
        """Numbers of the blocks whose thumbnails are committed."""
        return {block for block in self.stored_chunks(THUMBNAILS) if block < self.blocks}

    def thumbnails_array(self) -> zarr.Array:
        """All thumbnails (blocks · block_size, height, width, 3) uint8; rows without an image are 0."""
        self._row_array(THUMBNAILS)
        return zarr.open_array(self.zarr(THUMBNAILS), mode="r", zarr_format=3)

    def _row_array(self, name: str) -> None:
        """See that an array is as it was made."""
        shape, dtype, _ = self._row_arrays()[name]
        size = self.thumbnail_settings.block_size
        found = self.array(name, dtype, "shards")
        with self.reading(f"arrays.zarr/{name}"):
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
        with self.reading(path):
            return stored_array(self.files.read(path), dtype, chunks)

    def attributes(self, name: str) -> dict[str, Any]:
        """Attributes of a group; errors as `array`."""
        path = f"arrays.zarr/{name}/zarr.json"
        with self.reading(path):
            return group_attributes(self.files.read(path))

    def read_chunk(self, name: str, array: StoredArray, *index: int) -> NDArray[Any]:
        """Values of a whole chunk of an array, by its index along each axis; errors as `array`."""
        path = f"arrays.zarr/{name}/c." + ".".join(map(str, index))
        with self.reading(path):
            return decode_chunk(self.files.read(path), array)

    def read_thumbnails(self, block: int) -> NDArray[np.uint8]:
        """Thumbnails of a block (block_size, height, width, 3) uint8; rows without an image are 0."""
        size = self.thumbnail_settings.block_size
        return self._read_rows(THUMBNAILS, np.arange(block * size, (block + 1) * size))

    def read_digests(self, blocks: range | None = None) -> NDArray[np.uint8]:
        """Digests of the images of some blocks, or of all: (n, 4, 16) uint8; 0 for rows without a readable image."""
        size = self.thumbnail_settings.block_size
        blocks = range(self.blocks) if blocks is None else blocks
        return self._read_rows(DIGESTS, np.arange(blocks.start * size, blocks.stop * size))

    def digest_rows(self, images: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Digests of some images, in their order: (n, 4, 16) uint8."""
        return self._read_rows(DIGESTS, images)

    def thumbnail_rows(self, images: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Thumbnails of some images, in their order: (n, height, width, 3) uint8."""
        try:
            return self._read_rows(THUMBNAILS, images)
        except FastDiffError:
            if CLEANED in self.files.names():
                raise UsageError(
                    f"the thumbnails of {self.url} were removed by clean_up; first_loop_iteration(), or find, makes "
                    f"them again"
                ) from None
            raise

    def signature_rows(self, images: NDArray[np.int64]) -> NDArray[np.float32]:
        """Signatures of some images, in their order: (n, values) float32."""
        return self._read_rows(SIGNATURES, images)

    def _read_rows(self, name: str, images: NDArray[np.int64]) -> NDArray[Any]:
        """Rows of some images of an array: not more is read than they take, a little more from afar."""
        shape, dtype, _ = self._row_arrays()[name]
        size, stored = self.thumbnail_settings.block_size, self.rows()
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
            if whole_bytes < calls if self.files.local else len(rows) * WHOLE_SHARE > count:
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
        with self.reading(f"{name} of block {chunk}"):
            path = plain_path(name, chunk, len(shape))
            content = self.files.read_rows(path, row_bytes, np.asarray(rows, np.int64))
            return content.view(dtype).reshape(len(rows), *shape)

    def write_plain(self, name: str, chunk: int, values: NDArray[Any]) -> None:
        """Write a whole chunk of such an array, at once and in less than a millisecond; Zarr takes 5 to 10."""
        plain = np.ascontiguousarray(values, values.dtype.newbyteorder("<"))
        # as they lie in memory: a copy of a block of thumbnails would take as long as writing it
        self.files.write(plain_path(name, chunk, values.ndim - 1), plain.view(np.uint8).data)

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
            self.files.write(plain_path(name, block, values.ndim - 1), *self._shard(values))

    @property
    def _shard_rows(self) -> int:
        return math.gcd(self.thumbnail_settings.block_size, SHARD_ROWS)

    def _shard(self, values: NDArray[Any]) -> list[memoryview]:
        """Rows as a shard: padded to whole inner chunks, then the offset and the length of each, all ones for none."""
        inner, row_bytes = self._shard_rows, values[:1].nbytes
        chunks = -(-len(values) // inner)
        index = np.full((self.thumbnail_settings.block_size // inner, 2), 2**64 - 1, "<u8")
        index[:chunks, 0] = np.arange(chunks) * inner * row_bytes
        index[:chunks, 1] = inner * row_bytes
        plain = np.ascontiguousarray(values, values.dtype.newbyteorder("<"))
        padding = np.zeros(chunks * inner * row_bytes - plain.nbytes, np.uint8)
        return [part.reshape(-1).view(np.uint8).data for part in (plain, padding, index)]

    def stored_chunks(self, array: str) -> set[int]:
        """First chunk index of every stored chunk of an array, from one listing."""
        names = self.files.names(f"arrays.zarr/{array}")
        return {int(name.split(".")[1]) for name in names if re.fullmatch(r"c(\.\d{1,12})+", name)}

    def zarr(self, name: str = "") -> StorePath:
        """Where the arrays are, or one of them."""
        if self.files.local:
            local_path(self.files.root, f"arrays.zarr/{name}")
        return StorePath(zarr_store(self.files), name)


def _is_store(files: Files) -> bool:
    return "zarr.json" in files.names("arrays.zarr")


def _unreachable(files: Files, error: OSError) -> UsageError:
    reason = "Permission denied" if isinstance(error, PermissionError) else error.strerror or error
    remedy = "check its rights, or name another --store" if files.local else "check the credentials and the network"
    return UsageError(f"the store at {files.url} cannot be read ({reason}); {remedy}")


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


def _brief(value: object) -> str:
    if isinstance(value, ThumbnailSettings):
        return f"{value.width}×{value.height}, block_size {value.block_size}"
    if isinstance(value, dict):
        return printable(" against ".join(", ".join(roots) for roots in value.values() if roots))
    return str(value)
