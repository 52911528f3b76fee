"""Colours of 16 bits, of which Pillow keeps the upper 8: read twice, and put together. Pillow only."""

import sys
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile

from .formats.tiff_pages import Page
from .opening import open_main
from .resize import NARROW, robust_range, stretch

__all__ = ["deep_colours", "shown_colours"]

_BIG, _LITTLE = ";16B", ";16L"
_NATIVE = _LITTLE if sys.byteorder == "little" else _BIG


def deep_colours(source: BinaryIO, pages: list[Page], number: int | None) -> NDArray[np.uint16] | None:
    """Read the colours of a picture with 16 bits of each, as they are in the file.

    Parameters
    ----------
    source, pages
        The file, and its directories if it is TIFF; its position stays.
    number
        The frame or page; None for the main picture.

    Returns
    -------
    (h, w, 3) or (h, w, 4): red, green, blue, and opacity if there is any; None of other pictures.
    """
    place = source.tell()
    try:
        with _opened(source, pages, number) as image:
            if not isinstance(image, ImageFile.ImageFile) or not image.tile:
                return None
            if image.format == "PPM":
                return _of_ppm(source, image)
            if not _is_deep(image):
                return None
            transparent = image.info.get("transparency")
            image.load()
            upper = np.asarray(image).astype(np.uint16)
        with _opened(source, pages, number) as image:
            _swap_bytes(image)
            image.load()
            values = upper << 8 | np.asarray(image)
    finally:
        source.seek(place)
    if isinstance(transparent, tuple):
        opaque = (values != transparent).any(axis=2, keepdims=True)
        values = np.concatenate([values, opaque.astype(np.uint16) * 65535], axis=2)
    return values


def shown_colours(values: NDArray[np.uint16]) -> Image.Image:
    """Give the picture in 8 bits; a narrow range is stretched, as `resize.reduce_picture` does with grey."""
    colours = values[..., :3]
    seen = colours[values[..., 3] > 0] if values.shape[2] == 4 else colours
    low, high = robust_range(seen)
    narrow = 0 < high - low < 65535 * NARROW
    small = stretch(colours, low, high).astype(np.uint8) if narrow else (colours >> 8).astype(np.uint8)
    return Image.fromarray(np.concatenate([small, (values[..., 3:] >> 8).astype(np.uint8)], axis=2))


def _opened(source: BinaryIO, pages: list[Page], number: int | None) -> Image.Image:
    source.seek(0)
    image = open_main(source, pages)
    if number is not None:
        image.seek(number)
    return image


def _raw_mode(arguments: Any) -> str:
    return str(arguments if isinstance(arguments, str) else arguments[0])


def _is_deep(image: Any) -> bool:
    modes = [_raw_mode(tile.args) for tile in image.tile]
    return image.mode in ("RGB", "RGBA") and all(mode[:3] == "RGB" and ";16" in mode for mode in modes)


def _swap_bytes(image: Any) -> None:
    """Let a picture that is not loaded yet give the lower byte of each colour for the upper one."""
    tiles = []
    for tile in image.tile:
        mode = _raw_mode(tile.args)
        order = _NATIVE if mode.endswith("N") else mode[-4:]
        swapped = mode[:-4] + (_LITTLE if order == _BIG else _BIG)
        tiles.append(tile._replace(args=swapped if isinstance(tile.args, str) else (swapped, *tile.args[1:])))
    image.tile = tiles


def _of_ppm(source: BinaryIO, image: Any) -> NDArray[np.uint16] | None:
    (tile,) = image.tile
    if image.mode != "RGB" or tile.codec_name != "ppm" or tile.args[1] < 256:
        return None
    source.seek(tile.offset)
    content = source.read(image.width * image.height * 6)
    values = np.frombuffer(content, ">u2").reshape(image.height, image.width, 3)
    return (values * (65535 / tile.args[1])).astype(np.uint16)
