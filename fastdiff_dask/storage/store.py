"""A store that exists: its images, thumbnails and records, and the commits of each stage; see `schema`."""

import contextlib
import re
import socket
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..config import ThumbnailSettings
from ..errors import FastDiffError, StoreMismatchError, UsageError
from ..kernels.grid import Generation
from ..text import one_line, printable
from .arrays import ImageArrays, zarr_store
from .files import Files, check_store_address
from .locks import Held, hold
from .records import (
    BlockImages,
    Records,
    decode_partition,
    empty_partition,
    encode_partition,
    partition_name,
)
from .schema import (
    ACTIVITY,
    ARRAYS,
    CALIBRATION,
    CLEANED,
    DECISIONS,
    DIGESTS,
    EDITED,
    FORMAT,
    FORMAT_VERSION,
    INDEX,
    LEASE,
    LOCK,
    LOOKUP,
    MARKS,
    NEIGHBOURS,
    PARTITIONS,
    PLOTS,
    READABLE_VERSIONS,
    RUN,
    SETTINGS,
    SHOWN,
    SIGNATURES,
    THUMBNAILS,
    VECTORS,
    VERDICTS,
)
from .validation import MOST_BLOCKS, check_generations, check_roots, group_attributes

__all__ = ["Store"]

# Partitions that are read at the same time from afar; each is some 100 kB.
_PARTITIONS_AT_ONCE = 128
_LEFTOVER = re.compile(r"((index|writer|settings|decisions|shown)\.json|run|cleaned)\.[0-9a-f]{32}\.partial")
_OWN_NAMES = {
    ACTIVITY,
    ARRAYS,
    CLEANED,
    CALIBRATION,
    EDITED,
    DECISIONS,
    INDEX,
    LEASE,
    LOCK,
    LOOKUP,
    MARKS,
    NEIGHBOURS,
    PARTITIONS,
    PLOTS,
    RUN,
    SETTINGS,
    SHOWN,
    VERDICTS,
}
_ARRAYS_OF_IMAGES = (THUMBNAILS, SIGNATURES, DIGESTS)


class Store:
    """A store that exists: reading, and the commits of each stage.

    Cheap to make, so that each task opens its own from the address. Not locked: see `lock`.

    Parameters
    ----------
    url
        Folder or fsspec URL.
    run
        For a task: the run that it is of, see `Files.begin_run`.

    Attributes
    ----------
    files, arrays, records
        Its files, its Zarr arrays, and its small JSON files.
    roots
        Its folders, by side.
    thumbnail_settings
        Size of a thumbnail and of a block.
    generations
        The blocks that each run added.

    Raises
    ------
    UsageError
        If there is no store.
    StoreMismatchError
        If it is of another format, or damaged.
    OSError, FastDiffError
        For a task, if the store cannot be read, or is not there.
    """

    def __repr__(self) -> str:
        return f"Store({self.url!r})"

    def __init__(self, url: str, run: str = "") -> None:
        self.url = url
        self.files = Files(url, run)
        attributes = _read_attributes(self.files)
        try:
            self.roots = check_roots(attributes["roots"])
            self.thumbnail_settings = ThumbnailSettings.from_json(attributes["thumbnails"])
            self.generations = [
                Generation(range(start, middle), range(middle, stop), images_a, images_b)
                for start, middle, stop, images_a, images_b in check_generations(
                    attributes["generations"], self.thumbnail_settings.block_size, self.two_sides
                )
            ]
        except (ValueError, KeyError, TypeError, IndexError) as error:
            raise StoreMismatchError(
                f"the store at {url} has damaged settings ({one_line(error, 200, kind=True)}); name another store=, or "
                f"delete it"
            ) from None
        self._rows: list[int] = []
        self.arrays = ImageArrays(self.files, self.thumbnail_settings, self.rows)
        self.records = Records(self.files, self.roots)

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
            for name in _ARRAYS_OF_IMAGES:  # of a store that was not removed to the end
                files.remove(f"{ARRAYS}/{name}/zarr.json")
            import zarr

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
                    f"use the former, name another store=, or delete the store"
                )
        return store

    @staticmethod
    def exists(url: str) -> bool:
        """Tell whether there is a store, of whatever format, at an address.

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
    def is_own(url: str) -> bool:
        """Tell whether a store that is there was made by this program, in whatever format."""
        try:
            return bool(group_attributes(Files(url).read(f"{ARRAYS}/zarr.json")).get("format") == FORMAT)
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError, StoreMismatchError):
            return False

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
                for name in (ARRAYS, PARTITIONS, VERDICTS, LOOKUP, NEIGHBOURS):
                    leftovers += (folder / name).rglob("*.partial")
                for leftover in leftovers:
                    leftover.unlink(missing_ok=True)
            yield held

    # -- images ------------------------------------------------------------------------------------------------------

    @property
    def two_sides(self) -> bool:
        """True if the collection is side a against side b."""
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

    def finished_blocks(self) -> set[int]:
        """Numbers of the blocks whose thumbnails are committed."""
        return {block for block in self.arrays.stored_chunks(THUMBNAILS) if block < self.blocks}

    def read_partition(self, block: int, columns: Sequence[str] | None = None) -> pd.DataFrame:
        """Read the metadata of a block, one row an image, columns as in `schema.IMAGE_SCHEMA`.

        Raises
        ------
        FastDiffError
            If the partition is missing or damaged.
        """
        with self.files.reading(partition_name(block)):
            content = self.files.read(partition_name(block))
            return decode_partition(content, self._images_of(block), columns)

    def _images_of(self, block: int) -> BlockImages | None:
        """Tell the images that a block must have; None of a block that no generation has."""
        size = self.thumbnail_settings.block_size
        for generation in reversed(self.generations):
            if block in generation.blocks:
                side = "a" if block in generation.a else "b"
                return BlockImages(block * size, generation.rows(block, size), side, self.roots[side])
        return None

    def read_images(self, columns: Sequence[str]) -> pd.DataFrame:
        """Read some columns of the metadata of all blocks: memory grows with the number of images."""
        # from afar, a partition takes as long as a hundred of them at the same time
        frames, at_once = [empty_partition(columns)], 1 if self.files.local else _PARTITIONS_AT_ONCE
        for first in range(0, self.blocks, at_once):
            blocks = range(first, min(first + at_once, self.blocks))
            what = partition_name(first) + (f" or one of the next {len(blocks) - 1}" if len(blocks) > 1 else "")
            with self.files.reading(what):
                contents = self.files.read_several([partition_name(block) for block in blocks])
            for block, content in zip(blocks, contents, strict=True):
                with self.files.reading(partition_name(block)):
                    frames.append(decode_partition(content, self._images_of(block), columns))
        return pd.concat(frames[1:], ignore_index=True) if len(frames) > 1 else frames[0]

    def image_rows(self, images: NDArray[np.int64], columns: Sequence[str]) -> pd.DataFrame:
        """Read the metadata of some images, in their order, indexed from 0; each of their blocks is read once."""
        blocks, places = np.divmod(images, self.thumbnail_settings.block_size)
        order = np.argsort(blocks, kind="stable")
        wanted, starts = np.unique(blocks[order], return_index=True)
        frames = [
            self.read_partition(block, list(columns)).iloc[places[rows]].set_axis(rows)
            for block, rows in zip(wanted.tolist(), np.split(order, starts)[1:], strict=True)
        ]
        return pd.concat(frames).sort_index() if frames else empty_partition(columns)

    def write_partition(self, block: int, frame: pd.DataFrame) -> None:
        """Write or replace the metadata of a block."""
        self.files.write(partition_name(block), encode_partition(frame))

    # -- generations -------------------------------------------------------------------------------------------------

    def add_generation(self, generation: Generation) -> None:
        """Commit a generation whose partitions are written."""
        if generation.b.stop > MOST_BLOCKS:
            raise UsageError(f"a store has at most {MOST_BLOCKS} blocks; use a new store= with larger ones")
        import zarr

        self.files.check_run()
        group = zarr.open_group(self.arrays.zarr(), mode="r+", zarr_format=3, use_consolidated=False)
        self.arrays.grow(group, generation.b.stop)
        self.generations.append(generation)
        recorded = [[g.a.start, g.a.stop, g.b.stop, g.images_a, g.images_b] for g in self.generations]
        # partitions of this format are written now: programs of before must not read a store of theirs any more
        group.update_attributes({"generations": recorded, "format_version": FORMAT_VERSION})

    def use_this_format(self) -> None:
        """Record this format, before partitions of an earlier one get its columns."""
        import zarr

        self.files.check_run()
        group = zarr.open_group(self.arrays.zarr(), mode="r+", zarr_format=3, use_consolidated=False)
        if group.attrs.get("format_version") != FORMAT_VERSION:
            group.update_attributes({"format_version": FORMAT_VERSION})

    def forget_stale(self) -> None:
        """Remove the comparisons of thumbnails that were cleaned up, before pictures are read again.

        Decoders may have changed since, and images are compared by the thumbnails that are there.
        """
        if CLEANED in self.files.names():
            for name in self.arrays.names():
                if name not in (*_ARRAYS_OF_IMAGES, VECTORS):
                    self.files.remove(f"{ARRAYS}/{name}")
            self.files.remove(LOOKUP)
            self.files.remove(NEIGHBOURS)
            self.files.remove(CLEANED)


def _read_attributes(files: Files) -> dict[str, Any]:
    """Read the attributes of a store of the present format."""
    url = files.url
    try:
        there = _is_store(files)
    except OSError as error:
        if files.run:  # a task tries it again
            raise
        raise _unreachable(files, error) from None
    if not there:
        if files.run:
            raise FastDiffError(
                f"a worker on {socket.gethostname()} does not see the store at {url}; mount it there under the same "
                f"path"
            )
        raise UsageError(f"no store at {url}; name one that find has made")
    try:
        attributes = group_attributes(files.read(f"{ARRAYS}/zarr.json"))
    except StoreMismatchError:
        raise
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        if files.run and isinstance(error, OSError):  # a task tries it again
            raise
        remedy = "name another store=, or delete it"
        if isinstance(error, OSError):
            remedy = "check the disk and the rights, or name another store="
        raise StoreMismatchError(f"the store at {url} cannot be read ({one_line(error)}); {remedy}") from None
    found = (attributes.get("format"), attributes.get("format_version"))
    if found[0] != FORMAT or found[1] not in READABLE_VERSIONS:
        raise StoreMismatchError(_other_format(url, *found))
    return attributes


def _other_format(url: str, name: object, version: object) -> str:
    """Message about a store that this program does not read."""
    if name != FORMAT or not isinstance(version, int):
        return f"the Zarr group at {url} is none of {FORMAT}; name another store="
    is_newer = version > FORMAT_VERSION
    remedy = "update fastdiff_dask to go on" if is_newer else "name another store=, or delete it and start again"
    age, readable = "newer" if is_newer else "former", f"{min(READABLE_VERSIONS)} to {max(READABLE_VERSIONS)}"
    return f"the store at {url} has format {version} of a {age} fastdiff_dask, this one reads {readable}; {remedy}"


def _is_store(files: Files) -> bool:
    return "zarr.json" in files.names(ARRAYS)


def _unreachable(files: Files, error: OSError) -> UsageError:
    reason = "Permission denied" if isinstance(error, PermissionError) else error.strerror or error
    remedy = "check its rights, or name another store=" if files.local else "check the credentials and the network"
    return UsageError(f"the store at {files.url} cannot be read ({reason}); {remedy}")


def _refuse_foreign(url: str) -> Files:
    """Give the files of a store, or of a place where one can be made."""
    files = Files(url)
    foreign = sorted(name for name in files.names() if name not in _OWN_NAMES and not _LEFTOVER.fullmatch(name))
    if files.is_file() or (foreign and not _is_store(files)):
        what = f"a folder with other files ({foreign[0]!r})" if foreign else "a file"
        raise StoreMismatchError(f"{url} is {what}, not a store; name a new or an empty folder")
    return files


def _brief(value: object) -> str:
    if isinstance(value, ThumbnailSettings):
        return f"{value.width}×{value.height}, block_size {value.block_size}"
    if isinstance(value, dict):
        return printable(" against ".join(", ".join(roots) for roots in value.values() if roots))
    return str(value)
