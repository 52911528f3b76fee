"""Opening of a picture file: formats that may be tried, and the main picture of those that have several."""

import io
from contextlib import suppress
from functools import cache
from typing import BinaryIO, Literal

from PIL import Image, PngImagePlugin, UnidentifiedImageError

from .formats.raw_preview import RAW_ENDINGS, has_raw_decoder, raw_picture
from .formats.tiff_pages import Page, is_raw, main_page

__all__ = ["MissingDecoderError", "RawFileError", "image_extensions", "open_main"]

# Formats that Pillow knows by name only, without a decoder. For EPS it starts Ghostscript on the file, unexpected in a
# search for duplicates in pictures from elsewhere. IPTC may hold any of these formats.
_NOT_DECODED = {"BUFR", "EPS", "GRIB", "HDF5", "IPTC", "MPEG", "WMF"}
# Bytes of a text or profile of a PNG file, once it is decompressed; larger ones are left out.
_TEXT_BYTES = 1 << 24
# Extras to install, by the endings of files.
_EXTRAS = {"heif": (".heic", ".heif", ".hif"), "jxl": (".jxl",), "raw": RAW_ENDINGS}
# The first bytes of JPEG XL (ISO/IEC 18181-2), and the brands of HEIF (ISO/IEC 23008-12) after the size and "ftyp".
_JXL_STARTS = (b"\xff\x0a", b"\0\0\0\x0cJXL \r\n\x87\n")
_HEIF_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"}
_COMMON = ("BMP", "GIF", "JPEG", "PPM", "PNG")


@cache
def _register_plugins() -> None:
    """Load Pillow's plugins, and those of the extras `heif` and `jxl` where they are installed."""
    Image.init()
    # a plugin may be installed and not load, for want of a library; all other pictures must be read nevertheless
    with suppress(Exception):
        import pillow_heif

        pillow_heif.register_heif_opener()
    with suppress(Exception):
        import pillow_jxl  # noqa: F401 - registers itself


@cache
def image_extensions() -> frozenset[str]:
    """Endings of picture files, lower case, with the dot: decoded here, or by an extra that may not be installed.

    Examples
    --------
    >>> {".jpg", ".png", ".webp", ".tif"} <= image_extensions()
    True
    """
    _register_plugins()
    extensions = Image.registered_extensions()
    decoded = {end for end, name in extensions.items() if name in Image.OPEN and name not in _NOT_DECODED}
    return frozenset(decoded | {end for ends in _EXTRAS.values() for end in ends} | {".mpo"})  # read as JPEG


@cache
def _decoders() -> tuple[str, ...]:
    """Formats to try on a file, whatever its name: an EPS picture under another name must not be run either."""
    _register_plugins()
    return tuple(name for name in Image.OPEN if name not in _NOT_DECODED)


class MissingDecoderError(Exception):
    """A package has to be installed to decode a picture."""


class RawFileError(Exception):
    """A raw file of a camera has no picture that can be read here.

    Attributes
    ----------
    missing
        True if LibRaw may read it, and is not installed.
    """

    def __init__(self, missing: bool) -> None:
        without = "a raw file of a camera, without a picture that can be read here"
        install = "a raw file of a camera cannot be read here: pip install 'fastdiff_dask[raw]'"
        super().__init__(install if missing else without)
        self.missing = missing


def _open(source: BinaryIO) -> Image.Image:
    Image.preinit()
    PngImagePlugin.MAX_TEXT_CHUNK = _TEXT_BYTES
    try:
        # the formats that Pillow tries first in any case; loading all formats takes as long as fifty pictures
        return Image.open(source, formats=_COMMON)
    except UnidentifiedImageError:
        source.seek(0)
    try:
        return Image.open(source, formats=_decoders())
    except UnidentifiedImageError:
        source.seek(0)
        start = source.read(12)
        if start.startswith(_JXL_STARTS) and "JXL" not in Image.OPEN:
            raise MissingDecoderError("JPEG XL cannot be read here: pip install 'fastdiff_dask[jxl]'") from None
        if start[4:8] == b"ftyp" and start[8:] in _HEIF_BRANDS and "HEIF" not in Image.OPEN:
            raise MissingDecoderError("HEIF cannot be read here: pip install 'fastdiff_dask[heif]'") from None
        raise


def open_main(source: BinaryIO, pages: list[Page]) -> Image.Image:
    """Open the main picture: the first one, but of a TIFF file none that is a preview or a mask of another one.

    Of a raw file of a camera, it is what `raw_preview.raw_picture` gives, where LibRaw is installed.

    Raises
    ------
    RawFileError, MissingDecoderError, UnidentifiedImageError
        If it cannot be read.
    """
    raw = is_raw(source, pages)
    if raw and (shown := raw_picture(source, Image.MAX_IMAGE_PIXELS)) is not None:
        return shown
    source.seek(0)
    try:
        main = main_page(pages) if pages else None
        if main is None or main.number == 0:
            return _open(source)
        return _open_page(source, main) if main.number < 0 else _open_later(source, main, pages)
    except UnidentifiedImageError:
        if raw:
            raise RawFileError(missing=not has_raw_decoder()) from None
        raise


def _open_later(source: BinaryIO, main: Page, pages: list[Page]) -> Image.Image:
    """Open a page that is not the first one."""
    try:
        image = _open(source)
    except UnidentifiedImageError:  # the first one is of a kind that Pillow does not know, as a mask
        if sum(page.number >= 0 and not page.reduced for page in pages) > 1:
            raise
        return _open_page(source, main)
    if image.format == "TIFF":
        image.seek(main.number)
    return image


def _open_page(source: BinaryIO, main: Page) -> Image.Image:
    """Open a page as if it were the first one: Pillow sees directories below others only if they are."""
    source.seek(0)
    content = bytearray(source.read())
    order: Literal["little", "big"] = "little" if content[:2] == b"II" else "big"
    place, size = (8, 8) if 43 in content[2:4] else (4, 4)
    content[place : place + size] = main.offset.to_bytes(size, order)
    try:
        return _open(io.BytesIO(content))
    except UnidentifiedImageError:  # of a kind that Pillow does not know, as raw data: what it shows is the first one
        source.seek(0)
        return _open(source)
