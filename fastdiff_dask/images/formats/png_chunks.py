"""Chunks of PNG files that Pillow takes for the end of the picture: large texts and profiles, wrong checksums."""

import io
import struct
import warnings
import zlib
from collections.abc import Callable
from contextlib import suppress
from typing import BinaryIO, TypeVar

from PIL import Image, ImageFile, UnidentifiedImageError

__all__ = ["decode_repaired", "scale_transparency", "without_bad_chunks"]

_START = b"\x89PNG\r\n\x1a\n"
# Ancillary chunks of texts and profiles, compressed or not (PNG 3, sections 11.3.2.3 and 11.3.3).
_LARGE = {b"tEXt", b"zTXt", b"iTXt", b"iCCP"}
_KEPT_COMPRESSED, _MOST_TEXTS = 1 << 10, 32
# Ancillary chunks that change what is shown: transparency, and animation.
_SHOWN = {b"tRNS", b"acTL", b"fcTL", b"fdAT"}


_Decoded = TypeVar("_Decoded")


def decode_repaired(source: BinaryIO, decode: Callable[[BinaryIO], _Decoded]) -> _Decoded:
    """Decode a file; a PNG file that fails is decoded again without chunks that a viewer would pass over."""
    try:
        return decode(source)
    except (SyntaxError, ValueError, UnidentifiedImageError):
        source.seek(0)
        if source.read(len(_START)) != _START:
            raise
        better, broken = without_bad_chunks(source)
        bare, _ = without_bad_chunks(source, bare=True)
        if bare is source:
            raise
    for kind in broken:
        warnings.warn(f"the PNG chunk {kind} has a wrong checksum, and was left out", stacklevel=2)
    if better is not source:
        with suppress(SyntaxError, ValueError, UnidentifiedImageError):
            return decode(better)
    return decode(bare)


def without_bad_chunks(source: BinaryIO, *, bare: bool = False) -> tuple[BinaryIO, list[str]]:
    """Copy a PNG file without the ancillary chunks that keep Pillow from reading the picture.

    - Chunks with a wrong checksum: they say nothing of the pixels, and viewers leave them out.
    - Texts and profiles that may be larger than Pillow's limits, each or together, once they are decompressed.

    Parameters
    ----------
    source
        The file.
    bare
        Leave out all ancillary chunks but those of transparency and animation: some may be cut short, or of a kind that
        Pillow does not know.

    Returns
    -------
    The copy, or the file itself if nothing had to go; and the kinds of the chunks with a wrong checksum.
    """
    source.seek(0)
    content = memoryview(source.read())
    parts, broken, place, texts = [content[:8]], [], 8, 0
    while place + 12 <= len(content):
        (size,) = struct.unpack_from(">I", content, place)
        end = place + 12 + size
        kind, data = bytes(content[place + 4 : place + 8]), content[place + 4 : end - 4]
        ancillary = bool(kind[:1] and kind[0] & 0x20)
        if end > len(content) or not ancillary:
            good = True
        elif zlib.crc32(data) != int.from_bytes(content[end - 4 : end], "big"):
            good = False
            broken.append(kind.decode("ascii", "replace"))
        elif bare:
            good = kind in _SHOWN
        else:
            texts += kind in _LARGE
            good = kind not in _LARGE or (size <= _KEPT_COMPRESSED and texts <= _MOST_TEXTS)
        if good:
            parts.append(content[place:end])
        place = end
    source.seek(0)
    if sum(map(len, parts)) == len(content):
        return source, []
    return io.BytesIO(b"".join(parts)), broken


def scale_transparency(image: Image.Image) -> None:
    """Scale the transparent colour of a PNG picture, which is not loaded yet, as Pillow scales its pixels to 8 bits.

    The file has it in the depth of the pixels (PNG 3, section 11.3.1.1): 1, 2 or 4 bits of grey, or 16 of each colour,
    of which the upper 8 are kept, as they are of the pixels.
    """
    colour = image.info.get("transparency")
    if image.format != "PNG" or not isinstance(image, ImageFile.ImageFile) or not image.tile:
        return
    raw = image.tile[0].args
    scale = {"1": 255, "L;1": 255, "L;2": 85, "L;4": 17}.get(raw if isinstance(raw, str) else "")
    if scale and isinstance(colour, int):
        image.info["transparency"] = min(colour * scale, 255)
    elif raw == "RGB;16B" and isinstance(colour, tuple):
        image.info["transparency"] = tuple(level >> 8 for level in colour)
