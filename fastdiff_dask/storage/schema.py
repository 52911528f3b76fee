"""Names and types of what is on disk: arrays, columns of an image, format version."""

import io
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from zarr.core.chunk_key_encodings import ChunkKeyEncodingParams

from ..kernels.hashes import HASH_COLUMNS, HASH_KEY, IMAGE_HASH_COLUMNS

__all__ = [
    "CLEANED",
    "DIGESTS",
    "FLAT_KEYS",
    "FORMAT",
    "FORMAT_VERSION",
    "HASHES",
    "IMAGE_SCHEMA",
    "SIGNATURES",
    "THUMBNAILS",
    "UNREAD",
    "encode_partition",
]

HASHES = (*HASH_COLUMNS, HASH_KEY, *IMAGE_HASH_COLUMNS, "hash_function", "hash_shift")
FORMAT_VERSION = 5
FORMAT = "fastdiff_dask"
THUMBNAILS, SIGNATURES, DIGESTS = "thumbnails", "signatures", "digests"
CLEANED = "cleaned"
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
        ("camera", pa.string()),  # maker and model, by the EXIF data; null if not known
        ("captured", pa.string()),  # when it was taken, by the EXIF data: ISO 8601, no time zone; null if not known
        (
            "source",
            pa.int64(),
        ),  # its number in the store that it was copied from; -1 if its file is read, see `transfer`
        ("hash_function", pa.string()),  # what made the hashes; null if nothing
        ("hash_shift", pa.int8()),  # bits by which values were shifted for the hashes
        *((name, pa.string()) for name in (*HASH_COLUMNS, HASH_KEY, *IMAGE_HASH_COLUMNS)),
    ]
)
# What is known of an image before it is read.
UNREAD: dict[str, Any] = {
    **{"width": 0, "height": 0, "format": "", "mode": "", "retry": False, "time_limit": 0.0, "pixel_limit": 0},
    **dict.fromkeys(
        (
            "warnings",
            "content_hash",
            "camera",
            "captured",
            "hash_function",
            *HASH_COLUMNS,
            HASH_KEY,
            *IMAGE_HASH_COLUMNS,
        )
    ),
    "hash_shift": 0,
    "source": -1,
}


def encode_partition(frame: pd.DataFrame) -> bytes:
    """Metadata of a block, columns as in `IMAGE_SCHEMA`, as the bytes of a Parquet file."""
    sink = io.BytesIO()
    table = pa.Table.from_pandas(frame, schema=IMAGE_SCHEMA, preserve_index=False)
    pq.write_table(table.replace_schema_metadata(), sink, compression="zstd")
    return sink.getvalue()
