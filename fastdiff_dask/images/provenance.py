"""Signs by which an original is told from what was made of it."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image

__all__ = ["DCT", "LOSSLESS", "signs_of_original"]

# Notes of cameras, scanners and editors, under Pillow's names: a plain copy has none of them.
_NOTES = ("icc_profile", "photoshop", "xmp", "comment", "exif")
# Formats that keep each pixel as it is.
LOSSLESS = {"PNG", "BMP", "TIFF", "PPM", "TGA"}
# Pixels along each side of the part in which the blocks of JPEG are looked for, and blocks that it needs.
_PART, _FEWEST = 384, 64
# Coefficients of high frequency below this are as good as zero: decoding rounds each pixel to a level.
_ZERO = 1.0
# A picture that was in JPEG has more zeros in its blocks than in blocks at other places, by this share.
_MORE_ZEROS = 0.1


def signs_of_original(image: Image.Image) -> int:
    """Count the signs that a picture is an original.

    Parameters
    ----------
    image
        The picture, loaded, as it is in the file.

    Returns
    -------
    Number of kinds of notes that cameras and editors leave in a file: resolution, colour profile, Photoshop's data,
    XMP, comment, EXIF. -1 for a picture in a lossless format that was in a JPEG file before.
    """
    notes = sum(bool(image.info.get(name)) for name in _NOTES)
    notes += image.format == "JPEG" and image.info.get("jfif_unit") in (1, 2)
    if not notes and image.format in LOSSLESS and was_jpeg(image):
        return -1
    return int(notes)


def was_jpeg(image: Image.Image) -> bool:
    """Tell whether the pixels of a picture were in a JPEG file, whose blocks of 8 × 8 begin at its corner.

    JPEG rounds most coefficients of high frequency of each block to zero. In a picture that was decoded from it, they
    are still zero in these blocks, and not so in blocks that begin elsewhere.
    """
    left, top = (max(0, (side - _PART) // 16 * 8) for side in image.size)
    part = image.crop((left, top, min(left + _PART, image.width), min(top + _PART, image.height)))
    if part.mode not in ("L", "RGB", "RGBA"):
        return False
    luma = np.asarray(part.convert("RGB").convert("L"), np.float32)
    rows, columns = (side // 8 - 1 for side in luma.shape)
    if rows * columns < _FEWEST:
        return False
    size = rows * 8, columns * 8
    return _zeros(luma[: size[0], : size[1]]) - _zeros(luma[4:, 4:][: size[0], : size[1]]) > _MORE_ZEROS


def _zeros(luma: NDArray[np.float32]) -> float:
    """Share of the coefficients of high frequency that are zero, in blocks that are not flat."""
    rows, columns = (side // 8 for side in luma.shape)
    blocks = luma.reshape(rows, 8, columns, 8).swapaxes(1, 2).reshape(-1, 8, 8)
    blocks = blocks[np.ptp(blocks, axis=(1, 2)) > 8]
    if len(blocks) < _FEWEST // 2:
        return 0.0
    coefficients = DCT @ blocks @ DCT.T
    return float((np.abs(coefficients[:, _HIGH]) < _ZERO).mean())


def _cosines() -> NDArray[np.float32]:
    """The orthonormal discrete cosine transform (type II) of 8 values, (8, 8)."""
    frequency, place = np.arange(8)[:, None], np.arange(8)[None]
    matrix = np.cos((2 * place + 1) * frequency * np.pi / 16) / 2
    matrix[0] /= np.sqrt(2)
    return matrix.astype(np.float32)


DCT = _cosines()
_HIGH = np.add.outer(np.arange(8), np.arange(8)) >= 6
