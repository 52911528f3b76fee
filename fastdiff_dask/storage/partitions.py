"""The metadata of a block of images as a Parquet file: a partition."""

import io
from collections.abc import Sequence
from typing import NamedTuple

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from .schema import ADDED, IMAGE_SCHEMA, PARTITIONS
from .validation import check_rows, is_plain

__all__ = ["BlockImages", "decode_partition", "empty_partition", "encode_partition", "partition_name"]

# Metadata of stores of format 5.
_FORMER_SCHEMA = pa.schema([field for field in IMAGE_SCHEMA if field.name not in ADDED])


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
    former = is_plain(file.schema_arrow, _FORMER_SCHEMA)
    if not former and not is_plain(file.schema_arrow, IMAGE_SCHEMA):
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
    for name in ADDED if former else ():
        if name in wanted:
            field = IMAGE_SCHEMA.field(name)
            table = table.append_column(field, pa.array([ADDED[name]] * file.metadata.num_rows, field.type))
    return table.select(wanted).to_pandas(ignore_metadata=True)
