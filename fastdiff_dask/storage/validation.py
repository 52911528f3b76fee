"""Validation of a store, whoever made it: each part is checked before it is used.

A store can come from somebody else:

- Nothing in a store is unpickled or run.
- No codec, type or transformer that a store names is made. Arrays and tables that are not exactly as this package
  writes them are refused.
- Sizes that a store claims are bounded by the data that are there.
- Names in a store lead to nothing outside the store, neither by ``..`` nor by links.

All checks raise `ValueError` with the reason. Only `local_files.local_path` raises an error that names the remedy.
"""

import functools
import json
import math
from collections.abc import Collection, Sequence
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from ..text import printable

__all__ = [
    "MOST_BLOCKS",
    "MOST_TILES",
    "StoredArray",
    "check_below",
    "check_generations",
    "check_index",
    "check_plan",
    "check_printable",
    "check_roots",
    "check_rows",
    "decode_chunk",
    "group_attributes",
    "is_plain",
    "stored_array",
]

# Largest numbers of blocks and of tiles. Ten million images have thousands of either; a list takes 0.3 GB at most.
MOST_BLOCKS, MOST_TILES = 1 << 20, 1 << 20
_LARGEST_METADATA = 1 << 27
_PLAIN = [{"name": "bytes", "configuration": {"endian": "little"}}]
_PLAIN_BYTES = [{"name": "bytes"}]
_KEYS = {"name": "default", "configuration": {"separator": "."}}
_LARGEST_PATH = 1 << 16
# Schemes of URLs in which ".." is part of a name like any other.
_OBJECTS = ("s3://", "s3a://", "gs://", "gcs://", "abfs://", "abfss://", "az://", "oss://", "oci://", "memory://")


def _whole(name: str, value: object, low: int, high: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise ValueError(f"{name} is {value!r:.50}, not from {low} to {high}")
    return value


def check_printable(what: str, text: object) -> str:
    """Check that a value is one line of text without characters that act on a terminal."""
    if not isinstance(text, str) or printable(text) != text or len(text) > _LARGEST_PATH:
        raise ValueError(f"{what} is {printable(repr(text))[:50]}, no text in one line")
    return text


# -- attributes ------------------------------------------------------------------------------------------------------


def _metadata(content: bytes, node: str) -> dict[str, Any]:
    if len(content) > _LARGEST_METADATA:
        raise ValueError(f"its metadata has {len(content)} bytes")
    values: Any = json.loads(content)
    if not isinstance(values, dict) or values.get("zarr_format") != 3 or values.get("node_type") != node:
        raise ValueError(f"it is no Zarr {node} of format 3")
    if not isinstance(values.get("attributes", {}), dict):
        raise ValueError("it has no attributes")
    return values


def group_attributes(content: bytes) -> dict[str, Any]:
    """Attributes of a group, from the content of its ``zarr.json``.

    Examples
    --------
    >>> group_attributes(b'{"zarr_format": 3, "node_type": "group", "attributes": {"format": 1}}')
    {'format': 1}
    """
    return dict(_metadata(content, "group").get("attributes", {}))


def check_roots(roots: object) -> dict[str, list[str]]:
    """Check the folders of both sides."""
    if not isinstance(roots, dict):
        raise ValueError("its folders are not recorded by side")
    sides = {side: roots[side] for side in ("a", "b")}
    for side, paths in sides.items():
        if not isinstance(paths, list) or not all(isinstance(path, str) for path in paths):
            raise ValueError(f"folders of side {side} are no list of names")
    return {side: list(paths) for side, paths in sides.items()}


def check_generations(generations: object, block_size: int, two_sides: bool) -> list[tuple[int, int, int, int, int]]:
    """Check generations: first block, first block of side b, block after the last one, images of side a and of side b.

    Generations follow each other. In a generation, all blocks of a side are full, except the last one.
    """
    checked, end = [], 0
    for values in generations if isinstance(generations, list) else [None]:
        if not isinstance(values, list) or len(values) != 5:
            raise ValueError("its generations are no lists of five numbers")
        start, middle, stop, *images = (_whole("a generation's number", value, 0, 1 << 40) for value in values)
        if start != end or not start <= middle <= stop or start == stop or stop > MOST_BLOCKS:
            raise ValueError(f"blocks {start} to {middle} to {stop} do not follow block {end}")
        if middle < stop and not two_sides:
            raise ValueError("it has images of a side without folders")
        if images != [min(images[0], (middle - start) * block_size), min(images[1], (stop - middle) * block_size)] or (
            [-(-number // block_size) for number in images] != [middle - start, stop - middle]
        ):
            raise ValueError(f"{images[0]} and {images[1]} images do not fill blocks {start} to {middle} to {stop}")
        checked.append((start, middle, stop, images[0], images[1]))
        end = stop
    return checked


def check_plan(plan: Any, images: tuple[int, int]) -> tuple[int, int, int, int]:
    """Check the numbers of a plan: images of either side, images in a sub-block, sub-blocks along a tile.

    Parameters
    ----------
    plan
        The recorded plan.
    images
        Numbers of images of side a and of side b in the store.

    Returns
    -------
    The four numbers.
    """
    return (
        _whole("images_a", plan["images_a"], 0, images[0]),
        _whole("images_b", plan["images_b"], 0, images[1]),
        _whole("sub_block", plan["sub_block"], 1, 1 << 16),
        _whole("tile_side", plan["tile_side"], 1, 1 << 40),
    )


# -- arrays ----------------------------------------------------------------------------------------------------------


class StoredArray(NamedTuple):
    """An array on disk, of a kind that this package writes.

    Attributes
    ----------
    shape, chunks
        Shape of the array and of a chunk.
    dtype
        Data type of the array.
    compressed
        True if chunks are compressed by Zstandard.
    attributes
        Attributes of the array.
    """

    shape: tuple[int, ...]
    chunks: tuple[int, ...]
    dtype: str
    compressed: bool
    attributes: dict[str, Any]


def stored_array(content: bytes, dtype: str | Collection[str], kind: str = "plain") -> StoredArray:
    """Check by its ``zarr.json`` that an array is of a kind that this package writes.

    The chunks of such an array are read without a codec of Zarr, and with the memory of one chunk.

    Parameters
    ----------
    content
        Content of the ``zarr.json``.
    dtype
        Type that the array must have, or several of which it must have one.
    kind
        Kind that the chunks must have: "plain", "zstd" (compressed by Zstandard), or "shards" of plain chunks.

    Returns
    -------
    Description of the array.
    """
    values = _metadata(content, "array")
    found = values.get("data_type")
    if not isinstance(found, str) or found not in ((dtype,) if isinstance(dtype, str) else dtype):
        raise ValueError(f"its data type is {found!r:.50}, not {dtype}")
    if values.get("chunk_key_encoding") != _KEYS or values.get("storage_transformers", []):
        raise ValueError("its chunks have other names, or are transformed")
    grid = values["chunk_grid"]
    if grid["name"] != "regular":
        raise ValueError("its chunks are of different shapes")
    shape, chunks = values["shape"], grid["configuration"]["chunk_shape"]
    if not isinstance(shape, list) or not isinstance(chunks, list) or len(shape) != len(chunks):
        raise ValueError("its shape is no list of lengths")
    _check_codecs(values.get("codecs"), chunks, np.dtype(found).itemsize, kind)
    return StoredArray(
        tuple(_whole("a length", length, 0, 1 << 62) for length in shape),
        tuple(_whole("a length of a chunk", length, 1, 1 << 30) for length in chunks),
        found,
        kind == "zstd",
        values.get("attributes", {}),
    )


def _check_codecs(codecs: Any, chunks: list[int], item_bytes: int, kind: str) -> None:
    """Check that codecs are those of a kind, without making any of them."""
    plain = (_PLAIN, _PLAIN_BYTES) if item_bytes == 1 else (_PLAIN,)
    valid = isinstance(codecs, list) and len(codecs) == (2 if kind == "zstd" else 1)
    if valid and kind == "shards":
        shards = codecs[0]["configuration"]
        valid = codecs[0]["name"] == "sharding_indexed" and shards["codecs"] in plain
        valid &= shards["index_codecs"] == _PLAIN and shards["index_location"] == "end"
        valid &= (
            shards["chunk_shape"][1:] == chunks[1:] and _whole("a shard", shards["chunk_shape"][0], 1, chunks[0]) > 0
        )
    elif valid:
        valid = codecs[:1] in plain and (kind == "plain" or codecs[1]["name"] == "zstd")
    if not valid:
        raise ValueError(f"its chunks are not {kind}, by {printable(repr(codecs))[:100]}")


def decode_chunk(content: bytes, array: StoredArray) -> NDArray[Any]:
    """Decode the values of a chunk; however far the content would expand, only these values take memory."""
    size = math.prod(array.chunks) * np.dtype(array.dtype).itemsize
    if array.compressed:
        content = pa.Codec("zstd").decompress(content, decompressed_size=size)
    if len(content) != size:
        raise ValueError(f"a chunk has {len(content)} bytes, not {size}")
    return np.frombuffer(content, np.dtype(array.dtype).newbyteorder("<")).reshape(array.chunks)


# -- tables ----------------------------------------------------------------------------------------------------------


def is_plain(found: pa.Schema, schema: pa.Schema) -> bool:
    """True if columns are of a schema, without extension types and without metadata of the table."""
    extended = any(key.startswith(b"ARROW:") for field in found for key in field.metadata or {})
    return bool(found.equals(schema) and not found.metadata and not extended)


def check_below(path: object, path_bytes: object = b"") -> None:
    """Check that a path leads to a place below its root.

    Examples
    --------
    >>> check_below("2024/a..b.jpg")
    >>> check_below("../a.jpg")
    Traceback (most recent call last):
    ValueError: '../a.jpg' is no path below a folder
    """
    if isinstance(path, str) and isinstance(path_bytes, bytes):
        used = path_bytes or path.encode("utf-8", "surrogatepass")
        if not used.startswith(b"/") and b"\0" not in used and b".." not in used.split(b"/"):
            return
    raise ValueError(f"{printable(str(path))[:100]!r} is no path below a folder")


def check_rows(table: pa.Table, first_image: int, side: str, roots: Sequence[str]) -> None:
    """Check that the rows of a partition are images of its block, in folders of its side.

    Parameters
    ----------
    table
        Some columns of the partition.
    first_image
        Number of the first image of the block.
    side, roots
        Side of the block, and the folders of this side.
    """
    names = set(table.column_names)
    expected = np.arange(first_image, first_image + len(table))
    if "image" in names and not np.array_equal(table["image"].to_numpy(), expected):
        raise ValueError("its images have other numbers")
    if "side" in names and set(table["side"].unique().to_pylist()) - {side}:
        raise ValueError("its images are of another side")
    if "root" in names and set(table["root"].unique().to_pylist()) - set(roots):
        raise ValueError("its images are in other folders")
    if "path" in names and not all(root.startswith(_OBJECTS) for root in roots):
        doubtful = table.filter(_doubtful(table))
        encoded = doubtful["path_bytes"].to_pylist() if "path_bytes" in names else [b""] * len(doubtful)
        for path, path_bytes in zip(doubtful["path"].to_pylist(), encoded, strict=True):
            check_below(path, path_bytes)


def _doubtful(table: pa.Table) -> pa.ChunkedArray:
    """Find the rows whose path may lead elsewhere; most do not, and are not looked at one by one."""
    path = table["path"]
    signs = [pc.match_substring(path, ".."), pc.match_substring(path, "\0"), pc.starts_with(path, "/")]
    if "path_bytes" in table.column_names:
        signs.append(pc.not_equal(table["path_bytes"], b""))
    return pc.fill_null(functools.reduce(pc.or_, signs), True)


def check_index(index: Any, roots: dict[str, list[str]]) -> dict[str, Any]:
    """Check the record of an index run: numbers of ignored files by rule, and other names of files, below the roots."""
    ignored = {
        check_printable("a rule", rule): _whole("files ignored", number, 0, 1 << 62)
        for rule, number in dict(index["ignored"]).items()
    }
    links = [list(link) for link in index["links"]]
    for link in links:
        for side, root, path in (link[:3], link[3:]):
            if root not in roots[side]:
                raise ValueError(f"{printable(str(root))[:100]!r} is none of its folders")
            if not root.startswith(_OBJECTS):
                check_below(path)
    return {"ignored": ignored, "links": links}
