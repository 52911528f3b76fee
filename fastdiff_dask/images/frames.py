"""Decoding for the second look: all frames of a picture, upright, on white and on black. Pillow only."""

import hashlib
import io
import warnings
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ..config import PIXEL_LIMIT
from .contents import frames_of
from .decode import (
    SIDEWAYS,
    ImageRecord,
    changed_record,
    failed_record,
    read_content,
    read_exif,
    state_of,
)
from .deep_colours import deep_colours, shown_colours
from .formats.png_chunks import decode_repaired, scale_transparency
from .formats.tiff_pages import Page, read_pages
from .made_from import packed
from .opening import open_main
from .resize import reduce_picture

__all__ = ["LUMA", "MOST_FRAMES", "PIXELS", "frame_size", "look_at"]

# Animations and documents of more frames are never taken for the same picture.
MOST_FRAMES = 300
# Stands for a size: the digest of all pixels, and no picture.
PIXELS = (0, 0)
# Stands for a size: the brightness of a single picture in its full size, see `made_from.packed`.
LUMA = (0, 1)
# Bytes of all frames of a file together; those of long animations are reduced further.
_MOST_BYTES = 1 << 26
_GAP = 2.0
# Steps along the rows and columns of the upright picture, by its orientation (EXIF 2.3, tag 0x0112).
_FLIPS = {2: (1, -1), 3: (-1, -1), 4: (-1, 1), 6: (1, -1), 7: (-1, -1), 8: (-1, 1)}


def frame_size(frames: int, size: tuple[int, int]) -> tuple[int, int]:
    """Give the width and height of each of so many frames, which is smaller than asked for if they are many.

    Examples
    --------
    >>> frame_size(1, (512, 384)), frame_size(300, (512, 384))
    ((512, 384), (222, 167))
    """
    width, height = size
    share = min(1.0, (_MOST_BYTES / (frames * 6 * width * height)) ** 0.5)
    return max(1, int(width * share)), max(1, int(height * share))


def look_at(
    file: io.FileIO | bytes, listed: tuple[int, int] | None, size: tuple[int, int], pixel_limit: int = PIXEL_LIMIT
) -> tuple[ImageRecord, bytes]:
    """Read all frames of an open file for a second look.

    Memory: the content of the file, a decoded frame with a copy, and 64 MiB.

    Parameters
    ----------
    file, listed
        As for `decode.read_opened`.
    size
        Width and height of a frame of the result, which has the shape of the upright picture; or `PIXELS` or `LUMA`.
    pixel_limit
        Pictures of more pixels are errors.

    Returns
    -------
    record
        The number of frames, the SHA-256 of the file, and the error if there is one.
    frames
        (frames, grounds, height, width, 3) uint8: each frame on white, and, if any of them has transparent parts, on
        black as well; nothing of files with more than `MOST_FRAMES`, and of measurements that are the same everywhere,
        as they differ in nothing that is seen. For `PIXELS` the SHA-256 of the pixels of all frames, 32 bytes. For
        `LUMA` the packed plane, or nothing if there is none.
    """
    content_hash = ""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if listed is not None and state_of(file) != listed:
                return changed_record(), b""
            source, content_hash = read_content(file)
            Image.MAX_IMAGE_PIXELS = pixel_limit
            with source:
                frames, found = decode_repaired(source, lambda one: _frames(one, size))
        if listed is not None and state_of(file) != listed:
            return changed_record(), b""
    except Exception as error:  # as in `decode.read_opened`
        return failed_record(error)._replace(content_hash=content_hash), b""
    return ImageRecord(frames=frames, content_hash=content_hash), found


def _frames(source: BinaryIO, size: tuple[int, int]) -> tuple[int, bytes]:
    """Count the frames, and give them as `look_at` does."""
    pages = read_pages(source)
    source.seek(0)
    with open_main(source, pages) as image:
        numbers = _numbers(image, pages)
        count = max(1, len(numbers))
        if size == LUMA:
            return count, b"" if numbers else packed(image)
        if count > MOST_FRAMES and size != PIXELS:
            return count, b""
        if size != PIXELS and not numbers:
            # the stored orientation may have the sides swapped; what is reduced by 8 is rounded up
            low, high = sorted((size[0] - 1, size[1] - 1))
            image.draft(None, (high, low) if image.width > image.height else (low, high))
        shown = _upright(image, numbers, lambda number: deep_colours(source, pages, number))
        return count, _digest(shown) if size == PIXELS else _on_grounds(shown, count, size)


def _numbers(image: Image.Image, pages: list[Page]) -> list[int]:
    """Give the numbers of the frames, without previews and masks; none of a single picture, which is open already."""
    count = frames_of(image, pages)
    if count == 1:
        return []
    if count == 0:
        raise ValueError("its frames cannot be counted")
    return [page.number for page in pages if page.number >= 0 and not page.reduced] or list(range(count))


class _Frame(NamedTuple):
    """A frame, loaded; its colours if they have 16 bits; and its orientation."""

    image: Image.Image
    colours: NDArray[np.uint16] | None
    orientation: int


def _upright(
    image: Image.Image, frames: list[int], deep: Callable[[int | None], NDArray[np.uint16] | None]
) -> Iterator[_Frame]:
    for number in frames or (None,):
        if number is not None:
            image.seek(number)
        scale_transparency(image)
        image.load()
        yield _Frame(image, deep(number), read_exif(image)[0])


def _on_grounds(frames: Iterator[_Frame], count: int, size: tuple[int, int]) -> bytes:
    width, height = frame_size(count, size)
    white, black, transparent = [], [], False
    for frame in frames:
        if _is_level(frame):
            return b""
        turned = (height, width) if frame.orientation in SIDEWAYS else (width, height)
        grounds = _grounds(frame.image if frame.colours is None else shown_colours(frame.colours), turned, count == 1)
        transparent = transparent or len(grounds) == 2
        arrays = [_turned(np.asarray(one), frame.orientation) for one in grounds]
        white.append(arrays[0])
        black.append(arrays[-1])
    return np.stack([white, black] if transparent else [white], axis=1).tobytes()


def _is_level(frame: _Frame) -> bool:
    """Find whether a picture of more than 8 bits is the same everywhere."""
    if frame.colours is None and not _is_measured(frame.image):
        return False
    values = np.asarray(frame.image) if frame.colours is None else frame.colours
    return bool((values == values[:1, :1]).all())


def _is_measured(image: Image.Image) -> bool:
    return image.mode.startswith("I;16") or image.mode in ("I", "F")


def _turned(pixels: NDArray[Any], orientation: int) -> NDArray[Any]:
    """Turn pixels upright, as `UPRIGHT` does with pictures: Pillow has none of 16 bits a colour."""
    if orientation in SIDEWAYS:
        pixels = pixels.swapaxes(0, 1)
    rows, columns = _FLIPS.get(orientation, (1, 1))
    return pixels[::rows, ::columns]


def _grounds(frame: Image.Image, size: tuple[int, int], alone: bool) -> list[Image.Image]:
    """Reduce a frame; one with transparent parts on white and on black."""
    if not frame.has_transparency_data or frame.mode.startswith("I"):
        return [reduce_picture(frame, size)]
    with_alpha = frame.convert("RGBA")
    opacity = with_alpha.getchannel("A").getextrema()
    if opacity == (255, 255) or (alone and opacity == (0, 0)):  # the latter as `reduce_picture` shows it
        return [reduce_picture(with_alpha.convert("RGB"), size)]
    small = with_alpha.convert("RGBa").resize(size, Image.Resampling.BICUBIC, reducing_gap=_GAP).convert("RGBA")
    grounds = (Image.new("RGBA", size, (level, level, level, 255)) for level in (255, 0))
    return [Image.alpha_composite(ground, small).convert("RGB") for ground in grounds]


def _digest(frames: Iterator[_Frame]) -> bytes:
    """SHA-256 of the upright pixels of all frames, with their sizes."""
    digest = hashlib.sha256()
    for frame in frames:
        pixels = np.asarray(_opaque(frame.image)) if frame.colours is None else frame.colours
        pixels = _turned(pixels, frame.orientation)
        digest.update(f"{pixels.shape} {pixels.dtype}".encode())
        digest.update(np.ascontiguousarray(pixels).tobytes())
    return digest.digest()


def _opaque(image: Image.Image) -> Image.Image:
    """Give a picture of 8 bits in RGB, with opacity only where it is transparent somewhere."""
    if _is_measured(image):
        return image
    if not image.has_transparency_data:
        return image.convert("RGB")
    with_alpha = image.convert("RGBA")
    return with_alpha.convert("RGB") if with_alpha.getchannel("A").getextrema() == (255, 255) else with_alpha
