"""Pictures in raw files of cameras: the preview that the camera wrote, or the developed data. LibRaw, by rawpy."""

import io
from contextlib import suppress
from typing import Any, BinaryIO

from PIL import ExifTags, Image

__all__ = ["RAW_ENDINGS", "has_raw_decoder", "raw_picture"]

# Endings of raw files, by their makers.
RAW_ENDINGS = (
    *(".3fr", ".arw", ".cr2", ".cr3", ".crw", ".dcr", ".dng", ".erf", ".fff"),
    *(".iiq", ".kdc", ".mef", ".mos", ".mrw", ".nef", ".nrw", ".orf"),
    *(".pef", ".raf", ".rw2", ".rwl", ".sr2", ".srf", ".srw", ".x3f"),
)
# A preview of less than this share of the sides of the sensor is a stamp for lists; the data are developed instead.
_STAMP = 0.25
# Turns that LibRaw names → orientations of EXIF (LibRaw's `imgdata.sizes.flip`).
_TURNS = {3: 3, 5: 8, 6: 6}


def has_raw_decoder() -> bool:
    """Tell if rawpy is installed, and loads."""
    try:
        import rawpy  # noqa: F401
    except Exception:  # it may be installed and not load, for want of a library
        return False
    return True


def raw_picture(source: BinaryIO, pixel_limit: int | None) -> Image.Image | None:
    """Give the picture that a camera shows of a raw file.

    This is the largest preview in the file. If there is none, or only a stamp for lists, the data of the sensor are
    developed at half size, with the white balance of the camera.

    Memory: the file, and 8 bytes a pixel of the sensor where it is developed.

    Parameters
    ----------
    source
        The file.
    pixel_limit
        Pixels of the sensor, at most; None for any number.

    Returns
    -------
    The picture with the orientation in its EXIF data; None if LibRaw is not installed or cannot read the file.

    Raises
    ------
    PIL.Image.DecompressionBombError
        If there are more pixels.
    """
    if not has_raw_decoder():
        return None
    import rawpy

    source.seek(0)
    # errors of LibRaw are of many types; Pillow tries the file then, and tells what is wrong with it
    with suppress(rawpy.LibRawError, ValueError, OSError), rawpy.imread(io.BytesIO(source.read())) as raw:
        sizes = raw.sizes
        if pixel_limit is not None and sizes.raw_width * sizes.raw_height > pixel_limit:
            raise Image.DecompressionBombError
        shown = _preview(raw)
        if shown is not None and max(shown.size) >= _STAMP * max(sizes.width, sizes.height):
            return shown
        try:
            # upright already
            return Image.fromarray(raw.postprocess(half_size=True, use_camera_wb=True, output_bps=8))
        except (rawpy.LibRawError, ValueError, NotImplementedError):
            return shown
    return None


def _preview(raw: Any) -> Image.Image | None:
    """Open the largest preview; None if there is none that can be read."""
    import rawpy

    try:
        found = raw.extract_thumb()
        if found.format == rawpy.ThumbFormat.BITMAP:
            image = Image.fromarray(found.data)
        else:
            image = Image.open(io.BytesIO(found.data), formats=("JPEG",))
    except (rawpy.LibRawError, OSError, ValueError, TypeError):
        return None
    exif = image.getexif()
    if ExifTags.Base.Orientation not in exif and raw.sizes.flip in _TURNS:
        exif[ExifTags.Base.Orientation] = _TURNS[raw.sizes.flip]
    return image
