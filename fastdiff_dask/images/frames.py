"""Decoding for the second look: all frames of a picture, upright, on white and on black. Pillow only."""

import hashlib
import io
import warnings
from collections.abc import Iterator
from typing import BinaryIO

import numpy as np
from PIL import Image

from ..config import PIXEL_LIMIT
from .contents import frames_of
from .decode import (
    SIDEWAYS,
    UPRIGHT,
    ImageRecord,
    changed_record,
    failed_record,
    read_content,
    read_exif,
    state_of,
)
from .made_from import packed
from .opening import open_main
from .png_chunks import decode_repaired, scale_transparency
from .resize import reduce_picture
from .tiff_pages import Page, read_pages

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
        black as well; nothing of files with more than `MOST_FRAMES`. For `PIXELS` the SHA-256 of the pixels of all
        frames, 32 bytes. For `LUMA` the packed plane, or nothing if there is none.
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
        if size == PIXELS:
            return count, _digest(image, numbers)
        if size == LUMA:
            return count, b"" if numbers else packed(image)
        return count, _on_grounds(image, numbers, size) if count <= MOST_FRAMES else b""


def _numbers(image: Image.Image, pages: list[Page]) -> list[int]:
    """Give the numbers of the frames, without previews and masks; none of a single picture, which is open already."""
    count = frames_of(image, pages)
    if count == 1:
        return []
    if count == 0:
        raise ValueError("its frames cannot be counted")
    return [page.number for page in pages if page.number >= 0 and not page.reduced] or list(range(count))


def _upright(image: Image.Image, frames: list[int]) -> Iterator[tuple[Image.Image, int]]:
    """Give each frame, loaded, and its orientation."""
    for number in frames or (None,):
        if number is not None:
            image.seek(number)
        scale_transparency(image)
        image.load()
        yield image, read_exif(image)[0]


def _on_grounds(image: Image.Image, frames: list[int], size: tuple[int, int]) -> bytes:
    width, height = frame_size(max(1, len(frames)), size)
    if not frames:
        # a square: the stored orientation may have the sides swapped
        image.draft(None, (max(width, height),) * 2)
    white, black, transparent = [], [], False
    for frame, orientation in _upright(image, frames):
        turned = (height, width) if orientation in SIDEWAYS else (width, height)
        grounds = _grounds(frame, turned)
        transparent = transparent or len(grounds) == 2
        arrays = [np.asarray(one.transpose(UPRIGHT[orientation]) if orientation in UPRIGHT else one) for one in grounds]
        white.append(arrays[0])
        black.append(arrays[-1])
    return np.stack([white, black] if transparent else [white], axis=1).tobytes()


def _grounds(frame: Image.Image, size: tuple[int, int]) -> list[Image.Image]:
    """Reduce a frame; one with transparent parts on white and on black."""
    if not frame.has_transparency_data or frame.mode.startswith("I"):
        return [reduce_picture(frame, size)]
    with_alpha = frame.convert("RGBA")
    if with_alpha.getchannel("A").getextrema() == (255, 255):
        return [reduce_picture(with_alpha.convert("RGB"), size)]
    small = with_alpha.convert("RGBa").resize(size, Image.Resampling.BICUBIC, reducing_gap=_GAP).convert("RGBA")
    grounds = (Image.new("RGBA", size, (level, level, level, 255)) for level in (255, 0))
    return [Image.alpha_composite(ground, small).convert("RGB") for ground in grounds]


def _digest(image: Image.Image, frames: list[int]) -> bytes:
    """SHA-256 of the upright pixels of all frames, with their sizes."""
    digest = hashlib.sha256()
    for frame, orientation in _upright(image, frames):
        shown = frame
        if not frame.mode.startswith("I;16") and frame.mode not in ("I", "F"):
            opaque = not frame.has_transparency_data
            shown = frame.convert("RGB" if opaque else "RGBA")
            if not opaque and shown.getchannel("A").getextrema() == (255, 255):
                shown = shown.convert("RGB")
        pixels = np.asarray(shown.transpose(UPRIGHT[orientation]) if orientation in UPRIGHT else shown)
        digest.update(f"{pixels.shape} {pixels.dtype}".encode())
        digest.update(np.ascontiguousarray(pixels).tobytes())
    return digest.digest()
