"""Encoders: functions of the user, or models, that make a vector of each image; called, and what they give checked."""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..config import VECTOR_TYPES, check_whole
from ..errors import FastDiffError, UsageError
from ..text import one_line
from ..user_functions import check_sendable, function_name, shown_name

__all__ = ["Encoder", "as_bits", "encode_file", "encode_images", "make_encoder"]

# Values of a vector, and pixels along the side of a picture, at most.
_MOST_VALUES = 1 << 16
_LARGEST_SIDE = 4096


class Encoder(NamedTuple):
    """A way to make vectors of images.

    Attributes
    ----------
    name
        Name that tells it from others in every process, see `user_functions.function_name`.
    function
        (n, h, w, 3) uint8 → (n, d) numbers; or per file, path → (d,) numbers.
    batch_size
        Images that the function gets at once, at most.
    dtype
        Type of the vectors, one of `config.VECTOR_TYPES`.
    size
        Height and width of the pictures that it gets; None for the stored thumbnails.
    per_file
        The function gets the path of a file.
    """

    name: str
    function: Callable[[Any], Any]
    batch_size: int = 64
    dtype: str = "float32"
    size: tuple[int, int] | None = None
    per_file: bool = False

    @property
    def shown(self) -> str:
        """Name for people."""
        return shown_name(self.name)

    def made(self, thumbnails: tuple[int, int]) -> dict[str, Any]:
        """Give the record of how vectors are made, see `storage.derived.vectors`; thumbnails have this size."""
        height, width = thumbnails if self.size is None else self.size
        images = f"thumbnails of {height}×{width}" if self.size is None else f"pictures of {height}×{width}"
        return {
            "function": self.name,
            "input": "files" if self.per_file else images,
            "dtype": self.dtype,
        }


def make_encoder(
    function: Callable[[Any], Any],
    *,
    batch_size: int = 64,
    dtype: str = "float32",
    size: tuple[int, int] | int | None = None,
    per_file: bool = False,
) -> Encoder:
    """Check what `Project.encode` was given.

    Parameters
    ----------
    function, batch_size, dtype, size, per_file
        As for `Project.encode`. Attributes ``size`` and ``identity`` of the function are its picture size and its name.

    Returns
    -------
    The encoder.

    Raises
    ------
    UsageError
        If an argument cannot be used, or workers cannot have the function.
    """
    if not callable(function):
        raise UsageError(
            f"function= is of type {type(function).__name__}; use a function of images (n, h, w, 3), or onnx_encoder()"
        )
    check_whole("batch_size", batch_size, 1, 65_536)
    name = np.dtype(dtype).name if _is_dtype(dtype) else str(dtype)
    if name not in VECTOR_TYPES:
        raise UsageError(f"dtype={name!r} cannot be used for vectors; use {', '.join(map(repr, VECTOR_TYPES))}")
    asked = getattr(function, "size", None) if size is None else size
    if per_file and asked is not None:
        raise UsageError("size= is for functions of pictures, and per_file=True gives paths; leave one out")
    check_sendable(function, "encode function")
    identity = getattr(function, "identity", None)
    named = identity if isinstance(identity, str) else function_name(function)
    return Encoder(named, function, batch_size, name, None if asked is None else _picture_size(asked), per_file)


def _is_dtype(value: object) -> bool:
    try:
        np.dtype(value)  # type: ignore[call-overload]
    except TypeError:
        return False
    return value is not None


def _picture_size(size: Any) -> tuple[int, int]:
    two = (size, size) if isinstance(size, int) else tuple(size) if isinstance(size, tuple | list) else ()
    if len(two) != 2:
        raise UsageError(f"size={size!r} cannot be used; use (height, width), as (224, 224)")
    for side in two:
        check_whole("size", side, 1, _LARGEST_SIDE, " of pixels")
    return two[0], two[1]


def encode_images(encoder: Encoder, images: NDArray[np.uint8]) -> NDArray[Any]:
    """Call the function of an encoder with some images.

    Parameters
    ----------
    encoder
        The encoder; its function gets a read-only array.
    images
        (n, h, w, 3) uint8, n from 1 to `Encoder.batch_size`.

    Returns
    -------
    (n, d) of `Encoder.dtype`.

    Raises
    ------
    FastDiffError
        If the function fails or gives something else; the message names it.
    """
    given = images.view()
    given.flags.writeable = False
    try:
        found = _on_processor(encoder.function(given))
    except FastDiffError:
        raise
    except (Exception, SystemExit) as error:  # Dask ends a worker whose task exits
        raise FastDiffError(
            f"encode function {encoder.shown} failed ({one_line(error, kind=True)}); its block is not stored"
        ) from None
    if found.ndim != 2 or len(found) != len(images):
        raise FastDiffError(
            f"encode function {encoder.shown} gave an array of shape {found.shape} for {len(images)} images; it must "
            f"give (n, d) numbers, a row for each image"
        )
    return _converted(encoder, found)


def encode_file(encoder: Encoder, path: str) -> NDArray[Any]:
    """Call the function of an encoder with the path of a file.

    Parameters
    ----------
    encoder
        The encoder, one of files.
    path
        Path, or URL.

    Returns
    -------
    (d,) of `Encoder.dtype`.

    Raises
    ------
    FastDiffError
        If the function gives no vector.
    Exception
        What the function raises for a file that it cannot read.
    """
    found = _on_processor(encoder.function(path))
    if found.ndim != 1:
        raise FastDiffError(
            f"encode function {encoder.shown} gave an array of shape {found.shape} for a file; it must give (d,) "
            f"numbers"
        )
    row: NDArray[Any] = _converted(encoder, found[None])[0]
    return row


def _on_processor(values: Any) -> NDArray[Any]:
    """Give what a function of the user's gave as an array of NumPy."""
    return np.asarray(values.get() if hasattr(values, "get") and hasattr(values, "device") else values)  # CuPy


def _converted(encoder: Encoder, found: NDArray[Any]) -> NDArray[Any]:
    """Convert vectors to the type of the encoder; numbers that are too large for it become infinite."""
    kind = np.dtype(encoder.dtype).kind
    if found.dtype.kind not in "biuf" or not 0 < found.shape[1] <= _MOST_VALUES:
        raise FastDiffError(
            f"encode function {encoder.shown} gave {found.dtype} of shape {found.shape}; it must give 1 to "
            f"{_MOST_VALUES:,} numbers an image"
        )
    if kind == "f":
        with np.errstate(over="ignore"):
            return found.astype(encoder.dtype)
    whole = np.iinfo(encoder.dtype)
    if found.dtype.kind == "f" or (found.size and not whole.min <= found.min() <= found.max() <= whole.max):
        raise FastDiffError(
            f"encode function {encoder.shown} gave {found.dtype} beyond {encoder.dtype}; give whole numbers from "
            f"{whole.min} to {whole.max}, or use dtype='float32'"
        )
    return found.astype(encoder.dtype)


def as_bits(values: NDArray[Any]) -> NDArray[np.uint8] | None:
    """Pack what stands for bits into bytes: bool values, and unsigned integers of 16 to 64 bits, as of hashes.

    Parameters
    ----------
    values
        (n, d), or (n,) hashes.

    Returns
    -------
    (n, bytes) uint8; None of other values.

    Examples
    --------
    >>> as_bits(np.array([[True, False, True]])).tolist(), as_bits(np.array([258], np.uint64)).tolist()
    ([[160]], [[0, 0, 0, 0, 0, 0, 1, 2]])
    """
    rows = values.reshape(len(values), math.prod(values.shape[1:]))
    if values.dtype.kind == "b":
        return np.packbits(rows, axis=1)
    if values.dtype.kind == "u" and values.dtype.itemsize > 1:
        return np.ascontiguousarray(rows, values.dtype.newbyteorder(">")).view(np.uint8)
    return None
