"""The metadata of a block of images as a Parquet file, a partition, and the small JSON files of a store."""

import contextlib
import io
import json
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from ..config import CompareSettings
from ..errors import FastDiffError
from .files import Files
from .schema import ADDED, DECISIONS, IMAGE_SCHEMA, INDEX, PARTITIONS, SETTINGS, SHOWN
from .validation import check_index, check_rows, is_plain

__all__ = [
    "BlockImages",
    "Records",
    "Shown",
    "decode_partition",
    "empty_partition",
    "encode_partition",
    "partition_name",
]

# A larger file has no settings.
_LARGEST_SETTINGS = 1 << 22
# Metadata of stores of earlier formats, the last one first, and the values that stand for the columns that they lack.
_LACKING = [
    {name: value for version, added in ADDED.items() if version >= first for name, value in added.items()}
    for first in sorted(ADDED, reverse=True)
]
_FORMER = [(pa.schema([field for field in IMAGE_SCHEMA if field.name not in lacking]), lacking) for lacking in _LACKING]


def _is_digest(value: object) -> bool:
    return isinstance(value, str) and re.fullmatch("[0-9a-f]{64}", value) is not None


class Shown(NamedTuple):
    """A result that was shown.

    Attributes
    ----------
    settings
        The measure, the options, and the threshold of the result.
    at
        Time at which it was shown, in UTC.
    verdicts
        Numbers of its pairs by verdict; empty if they are not known.
    """

    settings: CompareSettings
    at: datetime
    verdicts: dict[str, int]


class Records:
    """The JSON files of a store.

    Parameters
    ----------
    files
        The files of the store.
    roots
        Its folders, by side.
    """

    def __init__(self, files: Files, roots: dict[str, list[str]]) -> None:
        self._files, self._roots = files, roots

    def has_index(self) -> bool:
        """Tell whether an index run came to its end."""
        return INDEX in self._files.names()

    def read_index(self) -> dict[str, Any]:
        """Read the files that the last index run left out.

        Returns
        -------
        JSON values. Under "ignored" the number of files by rule; under "links" other names of listed files, see
        `walk_local.Link`. Both are empty if no index run came to its end.

        Raises
        ------
        FastDiffError
            If the record is damaged.
        """
        try:
            content = self._files.read(INDEX)
        except FileNotFoundError:
            return {"ignored": {}, "links": []}
        with self._files.reading(INDEX):
            return check_index(json.loads(content), self._roots)

    def write_index(self, index: dict[str, Any]) -> None:
        """Record the files that an index run left out, if they are not recorded so already."""
        with contextlib.suppress(FastDiffError):  # a damaged record is replaced
            if self.read_index() == index and self.has_index():
                return
        self._files.write(INDEX, json.dumps(index).encode())

    def read_settings(self) -> dict[str, Any]:
        """Read the settings of the last run as JSON values, unchecked; none if they are not recorded.

        Raises
        ------
        FastDiffError
            If the record is damaged.
        """
        try:
            content = self._files.read(SETTINGS, _LARGEST_SETTINGS + 1)
        except FileNotFoundError:
            return {}
        with self._files.reading(SETTINGS):
            if len(content) > _LARGEST_SETTINGS:
                raise ValueError("it is too large")
            return dict(json.loads(content))

    def write_settings(self, values: dict[str, Any]) -> None:
        """Record the settings of a run, if they are not recorded so already."""
        with contextlib.suppress(FastDiffError):  # a damaged record is replaced
            if self.read_settings() == values:
                return
        self._files.write(SETTINGS, json.dumps(values).encode())

    def read_shown(self) -> Shown | None:
        """Read the settings of the result that was shown last; None if that is not recorded, or damaged."""
        try:
            values = json.loads(self._files.read(SHOWN, _LARGEST_SETTINGS))
            at = datetime.fromisoformat(values["at"]).astimezone(UTC)
            counts = {str(name): int(number) for name, number in values.get("verdicts", {}).items()}
            return Shown(CompareSettings.from_json(values["settings"]), at, counts)
        except (FileNotFoundError, ValueError, KeyError, TypeError, OverflowError, RecursionError, AttributeError):
            return None

    def write_shown(self, settings: CompareSettings, verdicts: dict[str, int]) -> None:
        """Record that a result with so many pairs by verdict is shown now."""
        at = datetime.now(UTC).isoformat(timespec="seconds")
        values = {"at": at, "settings": settings.to_json(), "verdicts": verdicts}
        self._files.write(SHOWN, json.dumps(values).encode())

    def read_not_duplicates(self) -> list[tuple[str, str]]:
        """Read the pairs of contents that people said are no duplicates, sorted: SHA-256 of both files.

        Raises
        ------
        FastDiffError
            If the record is damaged.
        """
        try:
            content = self._files.read(DECISIONS)
        except FileNotFoundError:
            return []
        with self._files.reading(DECISIONS):
            pairs = [tuple(pair) for pair in json.loads(content)["not_duplicates"]]
            for a, b in pairs:
                if not (_is_digest(a) and _is_digest(b) and a <= b):
                    raise ValueError("its pairs are no pairs of digests")
            return sorted(set(pairs))

    def write_not_duplicates(self, pairs: list[tuple[str, str]]) -> None:
        """Record pairs as `read_not_duplicates` gives them."""
        self._files.write(DECISIONS, json.dumps({"not_duplicates": pairs}).encode())


class BlockImages(NamedTuple):
    """The images that a block has by its generation.

    Attributes
    ----------
    first, images
        Number of its first image, and how many it has.
    side, roots
        Its side, and the folders of that.
    """

    first: int
    images: int
    side: str
    roots: list[str]


def partition_name(block: int) -> str:
    """Name of the file of a block, in the store."""
    return f"{PARTITIONS}/block-{block:08d}.parquet"


def empty_partition(columns: Sequence[str]) -> pd.DataFrame:
    """Metadata of no image, some columns."""
    return IMAGE_SCHEMA.empty_table().select(list(columns)).to_pandas()


def encode_partition(frame: pd.DataFrame) -> bytes:
    """Metadata of a block, columns as in `IMAGE_SCHEMA`, as the bytes of a Parquet file."""
    sink = io.BytesIO()
    table = pa.Table.from_pandas(frame, schema=IMAGE_SCHEMA, preserve_index=False)
    pq.write_table(table.replace_schema_metadata(), sink, compression="zstd")
    return sink.getvalue()


def decode_partition(content: bytes, expected: BlockImages | None, columns: Sequence[str] | None) -> pd.DataFrame:
    """Metadata of a block from the bytes of its file.

    Parameters
    ----------
    content
        The bytes.
    expected
        The images that it must have; None if no generation has the block, and anything may be there.
    columns
        Columns that are read; None: all.

    Returns
    -------
    A row for each image.

    Raises
    ------
    ValueError
        If it is no file as `encode_partition` makes them, or of other images.
    """
    file = pq.ParquetFile(io.BytesIO(content))
    # before any of it is read: types of its own, or more rows than there can be, are not even made
    schemas = [(IMAGE_SCHEMA, {}), *_FORMER]
    lacking = next((lacking for schema, lacking in schemas if is_plain(file.schema_arrow, schema)), None)
    if lacking is None:
        raise ValueError("its columns are others")
    if expected is not None and file.metadata.num_rows != expected.images:
        raise ValueError(f"it has {file.metadata.num_rows} images, not {expected.images}")
    wanted = IMAGE_SCHEMA.names if columns is None else list(columns)
    # names of files are checked as they will be used
    checked = {*wanted, "path_bytes"} if "path" in wanted else set(wanted)
    table = file.read(columns=[name for name in file.schema_arrow.names if name in checked])
    table.validate(full=True)
    if expected is not None:
        check_rows(table, expected.first, expected.side, expected.roots)
    for name, value in lacking.items():
        if name in wanted:
            field = IMAGE_SCHEMA.field(name)
            table = table.append_column(field, pa.array([value] * file.metadata.num_rows, field.type))
    return table.select(wanted).to_pandas(ignore_metadata=True)
