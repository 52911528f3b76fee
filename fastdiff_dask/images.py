"""One file → metadata record and thumbnail. Pillow only."""

from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, UnidentifiedImageError

__all__ = ["ImageRecord", "image_extensions", "printable", "read_image"]

# Known to Pillow by name only (a decoder has to be brought along), or, for EPS, decoded by starting Ghostscript on the
# file, which nobody expects of a search for duplicates in pictures from elsewhere.
_NOT_DECODED = {"BUFR", "EPS", "GRIB", "HDF5", "MPEG", "WMF"}
_FILTER = Image.Resampling.BICUBIC
_BACKGROUND = (255, 255, 255, 255)
# EXIF orientation → the transposition that shows the image upright (EXIF 2.3, tag 0x0112).
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_SIDEWAYS = {5, 6, 7, 8}


class ImageRecord(NamedTuple):
    """What became of one file.

    Attributes
    ----------
    width, height
        Pixels, as shown to a person (after the EXIF orientation); 0 if the file could not be read.
    format, mode
        Pillow's names; empty if the file could not be read.
    error
        Why there is no thumbnail, in one line; empty if there is one.
    retry
        True if the file could not be read at all, rather than its content decoded: worth another try next time.
    """

    width: int = 0
    height: int = 0
    format: str = ""
    mode: str = ""
    error: str = ""
    retry: bool = False


@cache
def image_extensions() -> frozenset[str]:
    """Endings of the files that Pillow decodes by itself, lower case, with the dot.

    Examples
    --------
    >>> {".jpg", ".png", ".webp", ".tif"} <= image_extensions()
    True
    """
    extensions = Image.registered_extensions()  # loads all of Pillow's plugins
    return frozenset(end for end, name in extensions.items() if name in Image.OPEN and name not in _NOT_DECODED)


@cache
def _decoders() -> tuple[str, ...]:
    """Formats to try on a file, whatever its name: a picture called EPS by its content only must not run either."""
    Image.init()
    return tuple(name for name in Image.OPEN if name not in _NOT_DECODED)


def printable(text: str) -> str:
    """One line that a terminal can show: control characters and undecodable bytes are escaped.

    Examples
    --------
    >>> printable('a\\nb')
    'a\\\\nb'
    """
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


def _reason(error: Exception) -> str:
    """One line, the same in every run: without paths and addresses."""
    if isinstance(error, UnidentifiedImageError):
        return "UnidentifiedImageError: not an image, or of a kind that Pillow cannot read"
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return printable(f"{type(error).__name__}: {text}")[:500]


def _reduce(image: Image.Image, size: tuple[int, int]) -> Image.Image:
    """Resize and convert to RGB as a viewer would: 16 bits scale to 8, transparency shows a white background.

    Large pictures are reduced before they are converted wherever that gives the same picture, so that the peak of
    memory stays at two copies of them.
    """
    if image.mode.startswith("I;16") or (image.mode == "I" and image.format == "PPM"):
        # convert() would clip everything above 255 to white
        return Image.fromarray((np.asarray(image) // 257).astype(np.uint8)).resize(size, _FILTER).convert("RGB")
    if image.mode in ("I", "F"):
        low, high = np.array(image.getextrema(), np.float64).tolist()
        if not np.isfinite([low, high]).all():
            everything = np.asarray(image)
            finite = everything[np.isfinite(everything)]
            low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 0.0)
        values = np.asarray(image.resize(size, _FILTER), dtype=np.float64)
        values = np.nan_to_num(values, nan=low, posinf=high, neginf=low)
        scaled = (values - low) * (255 / (high - low) if high > low else 0.0)
        return Image.fromarray(np.clip(np.rint(scaled), 0, 255).astype(np.uint8)).convert("RGB")
    if image.has_transparency_data:
        # Pillow weights colours by their opacity here, so that blending afterwards is the same as before
        small = image.convert("RGBA").resize(size, _FILTER)
        return Image.alpha_composite(Image.new("RGBA", size, _BACKGROUND), small).convert("RGB")
    return (image if image.mode == "RGB" else image.convert("RGB")).resize(size, _FILTER)


def read_image(path: str, width: int, height: int) -> tuple[ImageRecord, NDArray[np.uint8] | None]:
    """Read a file once: its metadata, and a thumbnail of its first frame, upright, RGB, scaled without its aspect.

    Bicubic with antialiasing (Pillow widens the filter when it reduces), in the orientation in which the file stores
    the image, then turned upright, which costs nothing at thumbnail size.

    Parameters
    ----------
    path
        File to read.
    width, height
        Size of the thumbnail in pixels.

    Returns
    -------
    The record, and the thumbnail (height, width, 3) uint8, or None if the record has an error. Nothing is raised for a
    bad file.
    """
    try:
        file = open(path, "rb")  # noqa: PTH123, SIM115 - names may be undecodable bytes; closed below
    except OSError as error:
        return ImageRecord(error=_reason(error), retry=True), None
    try:
        with file, Image.open(file, formats=_decoders()) as image:
            image_format, mode = image.format or "", image.mode
            # first: Pillow turns a TIFF upright while it loads, and finds the EXIF data of some PNG files only then
            image.load()
            orientation = image.getexif().get(ExifTags.Base.Orientation, 1)
            sideways = orientation in _SIDEWAYS
            size = (height, width) if sideways else (width, height)
            thumbnail = _reduce(image, size)
            shown = image.size[::-1] if sideways else image.size
        if orientation in _UPRIGHT:
            thumbnail = thumbnail.transpose(_UPRIGHT[orientation])
    except Exception as error:  # decoders raise nearly every type for broken input; one bad file costs one row
        return ImageRecord(error=_reason(error)), None
    return ImageRecord(*shown, image_format, mode), np.asarray(thumbnail)
