"""The second look at a pair of files: both are decoded to hundreds of pixels and compared block by block. No Dask."""

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ...config import ReadSettings
from ...images.decode import ImageRecord
from ...images.decoder_pool import ImageReader
from ...images.frames import LUMA, PIXELS, frame_size
from ...images.made_from import NOT_KNOWN, Plane, has_plane, which_was_made
from ...images.second_look import difference, is_drawn, is_same_picture
from ...kernels.transforms import Transform, apply_transform
from ...runtime.blas import SINGLE_THREADED_BLAS
from ...storage.derived.verdicts import SAME_PICTURE, SAME_PIXELS, SIMILAR
from ..read_picture import PICTURE_COLUMNS, decode

__all__ = ["LOOK_COLUMNS", "Look", "Looking"]

# Columns of an image that it takes to look at it.
LOOK_COLUMNS = (*PICTURE_COLUMNS, "camera", "captured", "format")
# Pictures whose frames are held: both of a pair, upright and sideways, and the next pair often has one of them.
_HELD = 4
_HELD_PLANES = 2
# Screens, forms and tables are looked at more closely, at so many times the size: a digit is a few pixels high there.
_CLOSER = 2
# Pictures are reduced to no less than this part of the size that was asked for.
_LEAST_SHARE = 0.7


class _Frames(NamedTuple):
    """The frames of a picture, (frames, grounds, h, w, 3) uint8; None if they are too many."""

    pixels: NDArray[np.uint8] | None


class Look(NamedTuple):
    """The verdict of a pair, the largest difference of a block, and the transform of a."""

    verdict: int
    block: float
    transform: Transform


class Looking:
    """Decodes and compares pairs, one after the other.

    Parameters
    ----------
    decoder
        The decoder.
    rows
        Images by their numbers, with `LOOK_COLUMNS`.
    limits
        Limits of reading a file.
    """

    def __init__(self, decoder: ImageReader, rows: dict[Any, Any], limits: ReadSettings) -> None:
        self._decoder, self._rows, self._limits = decoder, rows, limits
        self._held: dict[tuple[int, tuple[int, int]], _Frames] = {}
        self._planes: dict[int, Plane | None] = {}

    def pair(self, a: int, b: int, mask: int, size: int) -> Look | None:
        """Look at a pair; `mask` has the transforms of a to try. None if a file is not as it was."""
        best: Look | None = None
        for transform in _transforms(mask):
            found = self._in_transform(a, b, transform, size)
            if found is not None and found[0] == SAME_PICTURE and self._is_drawn(a, b, transform, size):
                found = self._in_transform(a, b, transform, _CLOSER * size)
            if found is None:
                return None
            if best is None or found < best[:2]:
                best = Look(*found, transform)
            if found[0] != SIMILAR:
                break
        return best

    def _in_transform(self, a: int, b: int, transform: Transform, size: int) -> tuple[int, float] | None:
        shape = self._shape(a, b, transform, size)
        one = self._read(a, shape[::-1] if transform.swaps_sides else shape)
        other = self._read(b, shape)
        if one is None or other is None:
            return None
        verdict, block = _verdict(one.pixels, other.pixels, transform)
        if verdict == SAME_PICTURE and np.array_equal(one.pixels, other.pixels):  # type: ignore[arg-type]
            verdict = SAME_PIXELS if self._have_equal_pixels(a, b, transform) else verdict
        return verdict, block

    def _is_drawn(self, a: int, b: int, transform: Transform, size: int) -> bool:
        """Find whether a pair must be looked at more closely, and can be."""
        shape = self._shape(a, b, transform, size)
        if shape == self._shape(a, b, transform, _CLOSER * size):
            return False
        held = self._read(b, shape)
        return held is not None and held.pixels is not None and is_drawn(held.pixels)

    def which_was_made(self, a: int, b: int, look: Look) -> int:
        """Find whether the image of the lower number was made from the other, or the other from it.

        Both are decoded in full, unless another rule decides before, or their formats and sizes tell nothing.
        """
        if look.verdict == SIMILAR or not self._may_be_made(self._rows[a], self._rows[b], look.transform):
            return NOT_KNOWN
        one, other = self._plane(a), self._plane(b)
        if one is None or other is None:
            return NOT_KNOWN
        one = one.turned(look.transform.turns, look.transform.mirrored)
        with SINGLE_THREADED_BLAS:
            return which_was_made(one, other) if a < b else which_was_made(other, one)

    @staticmethod
    def _may_be_made(one: Any, other: Any, transform: Transform) -> bool:
        if _is_dated(one) != _is_dated(other) or not all(has_plane(row.width, row.height) for row in (one, other)):
            return False
        sides = (one.height, one.width) if transform.swaps_sides else (one.width, one.height)
        return sides != (other.width, other.height) or "JPEG" in (one.format, other.format)

    def _plane(self, image: int) -> Plane | None:
        if image not in self._planes:
            record, content = self._decode(image, LUMA)
            as_it_was = content and not record.error and record.content_hash == self._rows[image].content_hash
            while len(self._planes) >= _HELD_PLANES:
                del self._planes[next(iter(self._planes))]
            self._planes[image] = Plane.unpacked(content) if as_it_was else None
        return self._planes[image]

    def _shape(self, a: int, b: int, transform: Transform, size: int) -> tuple[int, int]:
        """Width and height of the smaller picture, as b is turned, at most `size` a side.

        Half of it, a quarter and so on are taken if they are not much smaller: decoders of JPEG reduce by these alone,
        and resizing what they give would take as long as decoding.
        """
        one, other = self._rows[a], self._rows[b]
        mine = (one.height, one.width) if transform.swaps_sides else (one.width, one.height)
        width, height = min(mine, (other.width, other.height), key=lambda shape: shape[0] * shape[1])
        longer = max(width, height)
        if longer <= size:
            return width, height
        divisor = 1 << (math.ceil(longer / size) - 1).bit_length()
        if longer / divisor >= _LEAST_SHARE * size:
            return math.ceil(width / divisor), math.ceil(height / divisor)
        return max(1, round(width * size / longer)), max(1, round(height * size / longer))

    def _read(self, image: int, shape: tuple[int, int]) -> _Frames | None:
        """Decode a picture; None if its file is not as it was."""
        held = self._held.pop((image, shape), None)
        if held is None:
            record, content = self._decode(image, shape)
            if record.error or record.content_hash != self._rows[image].content_hash:
                return None
            held = _Frames(_as_frames(record.frames, content, shape))
        while len(self._held) >= _HELD:
            del self._held[next(iter(self._held))]
        self._held[image, shape] = held
        return held

    def _decode(self, image: int, look: tuple[int, int]) -> tuple[ImageRecord, bytes]:
        return decode(self._decoder, self._rows[image], look, self._limits)

    def _have_equal_pixels(self, a: int, b: int, transform: Transform) -> bool:
        one, other = self._rows[a], self._rows[b]
        if transform or (one.width, one.height) != (other.width, other.height):
            return False
        digests = [self._decode(image, PIXELS)[1] for image in (a, b)]
        return bool(digests[0]) and digests[0] == digests[1]


def _is_dated(row: Any) -> bool:
    return any(isinstance(value, str) and value for value in (row.camera, row.captured))


def _transforms(mask: int) -> Iterator[Transform]:
    return (Transform(number) for number in range(8) if mask >> number & 1)


def _as_frames(frames: int, content: bytes, shape: tuple[int, int]) -> NDArray[np.uint8] | None:
    width, height = frame_size(frames, shape)
    return np.frombuffer(content, np.uint8).reshape(frames, -1, height, width, 3) if content else None


def _verdict(a: NDArray[np.uint8] | None, b: NDArray[np.uint8] | None, transform: Transform) -> tuple[int, float]:
    """Compare all frames on all grounds: the verdict, and the largest difference of a block."""
    if a is None or b is None or len(a) != len(b):
        return SIMILAR, float("inf")
    a = apply_transform(a, transform, rows_axis=2)
    worst = 0.0
    for one, other in zip(a, b, strict=True):
        for ground in range(max(len(one), len(other))):  # what is opaque looks the same on any ground
            with SINGLE_THREADED_BLAS:
                found = difference(np.ascontiguousarray(one[ground % len(one)]), other[ground % len(other)])
            worst = max(worst, found.block)
            if not is_same_picture(found):
                return SIMILAR, worst
    return SAME_PICTURE, worst
