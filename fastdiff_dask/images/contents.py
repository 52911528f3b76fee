"""Parts of a picture file that a plain 8-bit copy of the picture would lack."""

import io
import struct
import warnings
from contextlib import suppress
from typing import Any, BinaryIO

import numpy as np
from PIL import Image

from ..text import one_line
from .films import FILM_FRAME
from .formats.tiff_pages import Page, is_raw

__all__ = ["NEVER_GIVEN_UP", "RAW", "extras_of", "frames_of", "lacking"]

# The words, in this order.
RAW, _TRANSPARENCY, _DEEP, _PROFILE = "raw data", "transparency", "more than 8 bits", "colour profile"
_MOTION, _SOUND, _DEPTH, _LAYERS = "motion picture", "sound", "depth map", "layers"
# Formats whose frames are no pictures one after the other: layers, sizes, views of the same moment.
_ONE_PICTURE = {"PSD", "ICO", "ICNS", "CUR", "MPO", "JPEG", "BMP"}
_TAIL = 1 << 16
_LAYERS_TAG = 37724
# Red, green and blue of sRGB in a profile (ICC.1, D50), in 65536ths, and how far they are rounded.
_SRGB = (0.4361, 0.2225, 0.0139, 0.3851, 0.7169, 0.0971, 0.1431, 0.0606, 0.7141)
_ROUNDED = 0.003


# Parts that are not compared: both pictures may have another one.
_NOT_COMPARED = frozenset((_MOTION, _SOUND, _DEPTH, _LAYERS))
_OWN_FILE, _DEVELOPED = "a file of its own", "a developed picture"
# What nobody can give up, not even by a mark.
NEVER_GIVEN_UP = frozenset((RAW, _OWN_FILE, _DEVELOPED))


def lacking(mine: frozenset[str], theirs: frozenset[str]) -> frozenset[str]:
    """Name what a picture has and another file of it lacks, or may have otherwise; both by words of `extras_of`.

    Nothing replaces raw data, and neither raw data nor a frame of a film replaces a picture.

    Examples
    --------
    >>> sorted(lacking(frozenset(("transparency", "sound")), frozenset(("transparency", "sound"))))
    ['sound']
    >>> sorted(lacking(frozenset(), frozenset(("raw data",))))
    ['a developed picture']
    """
    if FILM_FRAME in theirs:
        return frozenset((_OWN_FILE,))
    if RAW in theirs - mine:  # of which only a preview was compared
        return frozenset((_DEVELOPED,))
    return mine - (theirs - _NOT_COMPARED) | mine & {RAW}


def frames_of(image: Image.Image, pages: list[Page]) -> int:
    """Count frames of an animation or pages of a document, without previews and masks; 0 if that cannot be told."""
    if pages and image.format == "TIFF":  # else the picture in a raw file
        return max(sum(page.number >= 0 and not page.reduced for page in pages), 1)
    if image.format in _ONE_PICTURE:
        return 1
    try:
        return int(getattr(image, "n_frames", 1))
    except Exception:  # the first frame may be all that there is of a broken file
        return 0


def extras_of(image: Image.Image, source: BinaryIO, pages: list[Page]) -> str:
    """Name the parts that a plain 8-bit copy would lack, in a fixed order, joined by ", ".

    Parameters
    ----------
    image
        The picture, loaded.
    source
        Its file, which may be read anywhere.
    pages
        Directories of a TIFF file.

    Returns
    -------
    Some of: raw data, transparency (of at least a pixel), more than 8 bits, colour profile (other than sRGB), motion
    picture (a film in the same file), sound, depth map (or another view of the same moment), layers.
    """
    found: dict[str, bool] = {}
    try:
        found[RAW] = is_raw(source, pages)
        found[_TRANSPARENCY] = _is_transparent(image)
        found[_DEEP] = _is_deep(image, source)
        found[_PROFILE] = _has_profile(image.info.get("icc_profile"))
        found[_LAYERS] = _has_layers(image)
        found |= {} if found[RAW] else _behind(image, source)  # what is behind the preview are the data
    except Exception as error:  # any type, as for broken pictures; the picture itself is there
        warnings.warn(f"parts of the file cannot be read: {one_line(error)}", stacklevel=2)
    words = (RAW, _TRANSPARENCY, _DEEP, _PROFILE, _MOTION, _SOUND, _DEPTH, _LAYERS)
    return ", ".join(word for word in words if found.get(word))


def _is_transparent(image: Image.Image) -> bool:
    if not image.has_transparency_data:
        return False
    if image.mode == "I;16":
        return bool((np.asarray(image) == image.info["transparency"]).any())
    shown = image if "A" in image.getbands() else image.convert("RGBA")
    return shown.getchannel("A").getextrema()[0] != 255


def _is_deep(image: Image.Image, source: BinaryIO) -> bool:
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        return True
    source.seek(0)
    start = source.read(1 << 12) if image.format in ("PNG", "PSD", "JPEG2000", "AVIF", "PPM") else b""
    if image.format == "PNG":
        return start[24:25] == b"\x10"
    if image.format == "PSD":
        return start[22:24] > b"\0\x08"
    if image.format == "JPEG2000":  # the marker of the sizes (ISO/IEC 15444-1, A.5.1), bits less one
        place = start.find(b"\xff\x4f\xff\x51")
        return place >= 0 and start[place + 42 : place + 43] > b"\x07" and not start[place + 42] & 0x80
    if image.format == "AVIF":
        place = start.find(b"av1C")
        return place >= 0 and bool(start[place + 6] & 0x40)
    if image.format == "PPM":
        fields = start.split(maxsplit=4)
        return fields[0] in (b"P2", b"P3", b"P5", b"P6") and fields[3:4] > [b""] and _whole(fields[3]) > 255
    bits = getattr(image, "tag_v2", {}).get(258, (8,))
    return max(bits) > 8 or int(image.info.get("bit_depth") or 8) > 8


def _whole(text: bytes) -> int:
    return int(text) if text.isdigit() else 0


def _has_profile(profile: Any) -> bool:
    """Tell if there is a profile other than sRGB, by its colours; names differ."""
    if not isinstance(profile, bytes) or len(profile) < 132:
        return False
    values: list[float] = []
    with suppress(struct.error):
        for number in range(min(struct.unpack_from(">I", profile, 128)[0], 100)):
            name, offset, _ = struct.unpack_from(">4sII", profile, 132 + 12 * number)
            if name in (b"rXYZ", b"gXYZ", b"bXYZ"):
                values += [value / 65536 for value in struct.unpack_from(">3i", profile, offset + 8)]
    near = len(values) == 9 and all(abs(a - b) < _ROUNDED for a, b in zip(sorted(values), sorted(_SRGB), strict=True))
    return not near or b"inear" in profile


def _has_layers(image: Image.Image) -> bool:
    return (
        bool(getattr(image, "layers", None)) if image.format == "PSD" else _LAYERS_TAG in getattr(image, "tag_v2", ())
    )


def _behind(image: Image.Image, source: BinaryIO) -> dict[str, bool]:
    """Find what lies behind the picture of a JPEG file, or beside that of a HEIF file."""
    xmp = image.info.get("xmp") or b""
    xmp = xmp if isinstance(xmp, bytes) else str(xmp).encode()
    depth = b"GDepth:" in xmp or b'Semantic="Depth"' in xmp or bool(image.info.get("depth_images"))
    if image.format in ("HEIF", "AVIF"):
        return {_MOTION: b"mpvd" in _boxes(source), _DEPTH: depth}
    if image.format not in ("JPEG", "MPO"):
        return {}
    depth = depth or any(
        view["Attribute"]["MPType"] not in ("Baseline MP Primary Image", "Large Thumbnail (VGA Equivalent)",
                                            "Large Thumbnail (Full HD Equivalent)")
        for view in getattr(image, "mpinfo", {}).get(0xB002, ())[1:]
    )  # fmt: skip
    source.seek(0, io.SEEK_END)
    source.seek(max(source.tell() - _TAIL, 0))
    tail = source.read()
    if tail.rstrip(b"\0\r\n ").endswith(b"\xff\xd9"):  # the end of a JPEG picture: nothing is behind it
        return {_MOTION: b"MotionPhoto=" in xmp or b"MicroVideo=" in xmp, _DEPTH: depth}
    source.seek(0)
    content = source.read()
    place = content.find(b"ftyp", 2)
    film = place > 4 and int.from_bytes(content[place - 4 : place], "big") in range(8, 256)
    sound = b"SoundShot" in tail or b"WAVEfmt " in content
    return {_MOTION: film, _SOUND: sound, _DEPTH: depth or b"DepthMap" in tail}


def _boxes(source: BinaryIO) -> set[bytes]:
    """Names of the outer boxes of a file (ISO/IEC 14496-12)."""
    names: set[bytes] = set()
    place = 0
    while len(names) < 64:
        source.seek(place)
        head = source.read(16)
        if len(head) < 8:
            break
        size = int.from_bytes(head[:4], "big")
        size = int.from_bytes(head[8:16], "big") if size == 1 else size
        names.add(head[4:8])
        if size < 8:
            break
        place += size
    return names
