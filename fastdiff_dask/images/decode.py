"""Decoding of one picture file: its metadata record and its thumbnail. Pillow only."""

import hashlib
import io
import math
import os
import stat
import warnings
from contextlib import suppress
from datetime import datetime
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, UnidentifiedImageError

from ..config import PIXEL_LIMIT
from ..text import one_line, printable
from ..urls import clamped
from .contents import RAW, extras_of, frames_of
from .figures import UNKNOWN, PictureFigures, blur_can_be_told, figures_of
from .formats.png_chunks import decode_repaired, scale_transparency
from .formats.tiff_pages import read_pages
from .opening import MissingDecoderError, RawFileError, open_main
from .provenance import signs_of_original
from .resize import reduce_picture

__all__ = [
    "SIDEWAYS",
    "UPRIGHT",
    "ImageRecord",
    "changed_record",
    "failed_record",
    "open_file",
    "oversized_record",
    "read_content",
    "read_exif",
    "read_image",
    "read_opened",
    "state_of",
    "unopened_record",
]

# EXIF orientation → the transposition that shows the image upright (EXIF 2.3, tag 0x0112).
UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
SIDEWAYS = {5, 6, 7, 8}
# Least size of a decoded JPEG picture, in sizes of the thumbnail: at twice the size, every hundredth photo is off by an
# MSE of 83 or more, at four times by 8.5 (7.8 by the reduction of `resize` alone).
_DRAFT = 4
# Files up to this size are read at once: one read for the hash and the decoder.
_WHOLE_BYTES = 1 << 26
_TEXT = 500


class ImageRecord(NamedTuple):
    """The result of reading one file.

    Attributes
    ----------
    width, height
        Pixels, as shown to a person (after the EXIF orientation); 0 if the file could not be read.
    format, mode
        Pillow's names; empty if the file could not be read.
    error
        Reason why there is no thumbnail, in one line; empty if there is one.
    retry
        True if the file itself could not be read, so that the next run tries again; False if its content is broken.
    time_limit, pixel_limit
        The exceeded limit, in seconds or pixels; 0 if the error is not a limit.
    warnings
        Warnings of the decoder, in one line.
    content_hash
        SHA-256 of the file (64 hexadecimal digits); empty if it could not be read.
    camera
        Maker and model by the EXIF data; empty if missing.
    captured
        Time of capture by the EXIF data, ISO 8601 without a time zone; empty if missing.
    frames
        Frames of an animation, or pages of a document; 1 of a single picture, 0 if the file could not be read.
    extras
        Parts that a plain 8-bit copy would lack, joined by ", "; empty if there are none.
    signs
        Signs of an original, see `provenance.signs_of_original`.
    brightness, shadows, highlights, contrast, value_range, colour, blur
        Figures of the picture, see `images.figures`; NaN while not known.
    """

    width: int = 0
    height: int = 0
    format: str = ""
    mode: str = ""
    error: str = ""
    retry: bool = False
    time_limit: float = 0.0
    pixel_limit: int = 0
    warnings: str = ""
    content_hash: str = ""
    camera: str = ""
    captured: str = ""
    frames: int = 0
    extras: str = ""
    signs: int = 0
    brightness: float = math.nan
    shadows: float = math.nan
    highlights: float = math.nan
    contrast: float = math.nan
    value_range: float = math.nan
    colour: float = math.nan
    blur: float = math.nan


def _reason(error: Exception) -> str:
    """Reason of an error in one line that is the same in every run: without paths and addresses."""
    if isinstance(error, UnidentifiedImageError):
        return "UnidentifiedImageError: not an image, or of a kind that Pillow cannot read"
    if isinstance(error, MemoryError):
        return "MemoryError: reading it takes more memory than a decoder has, or than is free"
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return printable(f"{type(error).__name__}: {text}")[:_TEXT]


def open_file(path: str | bytes) -> io.FileIO:
    """Open a file to read it soon, and let the system begin to fetch it from the disk.

    Opening a pipe that took the place of a file does not wait.

    Raises
    ------
    OSError
        If it cannot be opened.
    """
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    file = io.FileIO(os.open(path, flags))
    if hasattr(os, "posix_fadvise"):
        with suppress(OSError):  # a pipe
            os.posix_fadvise(file.fileno(), 0, _WHOLE_BYTES, os.POSIX_FADV_WILLNEED)
    return file


def read_image(
    path: str | bytes, width: int, height: int, *, exact_decode: bool = False, pixel_limit: int = PIXEL_LIMIT
) -> tuple[ImageRecord, NDArray[np.uint8] | None]:
    """Read a file as `read_opened` does: its metadata, and a thumbnail of its first frame."""
    try:
        file = open_file(path)
    except OSError as error:
        return unopened_record(error), None
    with file:
        return read_opened(file, None, width, height, exact_decode=exact_decode, pixel_limit=pixel_limit)


def read_opened(
    file: io.FileIO | bytes,
    listed: tuple[int, int] | None,
    width: int,
    height: int,
    *,
    exact_decode: bool = False,
    pixel_limit: int = PIXEL_LIMIT,
) -> tuple[ImageRecord, NDArray[np.uint8] | None]:
    """Read an open file once: its metadata, and a thumbnail of its first frame, upright, in RGB.

    The thumbnail has the given size, whatever the aspect ratio of the picture. The picture is reduced in the stored
    orientation and then turned upright, which costs nothing at this size. `resize.reduce_picture` describes how colours
    and transparency are converted.

    Memory: files up to 64 MiB are held as a whole; besides, the decoded picture and a copy.

    Parameters
    ----------
    file
        The file, as `open_file` gives it, or its content.
    listed
        Required size in bytes and time of modification in nanoseconds, before and after reading: another content under
        the same name belongs to another row. None for any file, and for a content.
    width, height
        Size of the thumbnail in pixels.
    exact_decode
        Decode JPEG at full scale and resize by the plain bicubic filter. Otherwise JPEG is decoded at least at four
        times the size of the thumbnail, by leaving out frequencies, and reduced in two steps. The MSE against exact
        decoding is 8.5 at the 99th percentile of 198 photos, the time is two thirds for small photos and a seventh for
        large ones.
    pixel_limit
        Pictures of more pixels are errors.

    Returns
    -------
    The record, and the thumbnail (height, width, 3) uint8, or None if the record has an error. Nothing is raised for a
    bad file.
    """
    content_hash, complaints = "", ""
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            # Pillow itself checks inner pictures of a file, and only warns between the limit and twice the limit
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            try:
                if listed is not None and state_of(file) != listed:
                    return changed_record(), None
                source, content_hash = read_content(file)
                with source:
                    size = (width, height)
                    found = decode_repaired(source, lambda one: _decode(one, size, exact_decode, pixel_limit))
            except (Image.DecompressionBombError, Image.DecompressionBombWarning):
                return oversized_record(pixel_limit)._replace(content_hash=content_hash), None
            finally:
                complaints = "; ".join(dict.fromkeys(printable(str(item.message)) for item in caught))[:_TEXT]
        if listed is not None and state_of(file) != listed:
            return changed_record(), None
    except Exception as error:  # decoders raise nearly every type for broken input; one bad file costs one row
        return failed_record(error)._replace(warnings=complaints, content_hash=content_hash), None
    record, thumbnail = found
    return record._replace(warnings=complaints, content_hash=content_hash), thumbnail


def failed_record(error: Exception) -> ImageRecord:
    """Describe a file that could not be decoded, and say if the next run tries again."""
    if isinstance(error, MissingDecoderError):
        return ImageRecord(error=str(error), retry=True)
    if isinstance(error, RawFileError):
        return ImageRecord(error=str(error), retry=error.missing, extras=RAW)
    # the file could not be read, or memory was short: the content is not to blame
    retry = isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno is not None)
    return ImageRecord(error=_reason(error), retry=retry)


def unopened_record(error: OSError | str) -> ImageRecord:
    """Make the record of a file that cannot be opened; `error` may be the reason in words."""
    return ImageRecord(error=printable(error)[:_TEXT] if isinstance(error, str) else _reason(error), retry=True)


def oversized_record(pixel_limit: int) -> ImageRecord:
    """Make the record of a picture of more pixels than the limit."""
    return ImageRecord(error=f"more than {pixel_limit} pixels; a higher pixel limit reads it", pixel_limit=pixel_limit)


def changed_record() -> ImageRecord:
    """Make the record of a file that changed after it was listed."""
    return ImageRecord(error="the file changed after it was listed; run again", retry=True)


def state_of(file: io.FileIO | bytes) -> tuple[int, int] | None:
    """Size and time of modification of an open file, in nanoseconds; None of a content, or of no regular file."""
    if isinstance(file, bytes):
        return None
    status = os.fstat(file.fileno())
    return (status.st_size, clamped(status.st_mtime_ns)) if stat.S_ISREG(status.st_mode) else None


def read_content(file: io.FileIO | bytes) -> tuple[BinaryIO, str]:
    """Content for the decoder, and its SHA-256 (FIPS 180-4; most processors have instructions for it)."""
    if isinstance(file, bytes):
        return io.BytesIO(file), hashlib.sha256(file).hexdigest()
    if os.fstat(file.fileno()).st_size <= _WHOLE_BYTES:
        content = file.read()
        return io.BytesIO(content), hashlib.sha256(content).hexdigest()
    digest = hashlib.file_digest(file, "sha256").hexdigest()
    file.seek(0)  # much of it is still in the system's memory
    return os.fdopen(os.dup(file.fileno()), "rb"), digest


def read_exif(image: Image.Image) -> tuple[int, str, str]:
    """Orientation, camera and capture date of a picture by its EXIF data."""
    try:
        exif = image.getexif()
        orientation = int(exif.get(ExifTags.Base.Orientation, 1))
    except Exception as error:  # any type, as for broken pictures; the picture itself is there
        warnings.warn(f"the EXIF data cannot be read: {_reason(error)}", stacklevel=2)
        return 1, "", ""
    camera = captured = ""
    with suppress(Exception):  # other broken EXIF data cost only the camera and the date
        maker, model = (_exif_text(exif.get(tag)) for tag in (ExifTags.Base.Make, ExifTags.Base.Model))
        camera = model if model.lower().startswith(maker.lower()) else f"{maker} {model}".strip()
        details = exif.get_ifd(ExifTags.IFD.Exif)
        for tag in (ExifTags.Base.DateTimeOriginal, ExifTags.Base.DateTimeDigitized):
            with suppress(ValueError):  # cameras whose clock was never set write spaces or zeros
                captured = datetime.strptime(_exif_text(details.get(tag)), "%Y:%m:%d %H:%M:%S").isoformat()
                break
    return orientation, camera, captured


def _exif_text(value: Any) -> str:
    text = value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value or "")
    return one_line(text.replace("\0", " "), _TEXT)


def _decode(
    source: BinaryIO, size: tuple[int, int], exact: bool, pixel_limit: int
) -> tuple[ImageRecord, NDArray[np.uint8]]:
    Image.MAX_IMAGE_PIXELS = pixel_limit
    pages = read_pages(source)
    source.seek(0)
    with open_main(source, pages) as image:
        image_format, mode, shown = image.format or "", image.mode, image.size
        if image.width * image.height > pixel_limit:
            raise Image.DecompressionBombError
        if not exact:
            # a square: the stored orientation may have the sides swapped
            image.draft(None, (_DRAFT * max(size), _DRAFT * max(size)))
        drafted = image.size != shown
        scale_transparency(image)
        # before `read_exif`: only as it loads, Pillow turns a TIFF upright and finds the EXIF data of some PNG files
        image.load()
        if not drafted:
            shown = image.size
        orientation, camera, captured = read_exif(image)
        sideways = orientation in SIDEWAYS
        thumbnail = reduce_picture(image, size[::-1] if sideways else size, exact=exact)
        extras = extras_of(image, source, pages)
        frames = frames_of(image, pages)
        signs = signs_of_original(image)
        figures = _figures(thumbnail, image, drafted)
    if orientation in UPRIGHT:
        thumbnail = thumbnail.transpose(UPRIGHT[orientation])
    width, height = shown[::-1] if sideways else shown
    record = ImageRecord(width, height, image_format, mode, camera=camera, captured=captured)
    record = record._replace(frames=frames, extras=extras, signs=signs)
    return record._replace(**figures._asdict()), np.asarray(thumbnail)


def _figures(thumbnail: Image.Image, image: Image.Image, drafted: bool) -> PictureFigures:
    """Measure a picture; the blur is not known of one that was decoded too small for that."""
    try:
        return figures_of(thumbnail, image if not drafted or blur_can_be_told(image.size) else None)
    except Exception as error:  # any type, as for broken pictures; the picture itself is there
        warnings.warn(f"the picture cannot be measured: {_reason(error)}", stacklevel=2)
        return UNKNOWN
