"""Figures of a picture that tell whether it is blank, dark, bright, low in contrast, grey or blurred. Pillow, NumPy.

All but `blur` are of the thumbnail, 8-bit RGB as a viewer would show it, whatever the picture's own mode; so they can
be had of a stored thumbnail alone, to the bit. Y, Cb and Cr are those of JPEG (ITU-R BT.601, as JFIF 1.02 has them),
0 to 255. P(q) is the lowest level that at least the part q of the pixels does not exceed.

- ``brightness``: mean of Y / 255.
- ``shadows``: P(0.05) of Y / 255. Of a bright picture even these are bright.
- ``highlights``: P(0.99) of Y / 255. Of a dark picture even these are dark.
- ``contrast``: (P(0.99) − P(0.01)) of Y / 255, as `skimage.exposure.is_low_contrast` has it.
- ``value_range``: the largest of (max − min) / 255 of Y, Cb and Cr; 0 for a picture of one colour.
- ``colour``: P(0.99) of |Cb − 128| and |Cr − 128|, of all pixels together, / 127, at most 1; 0 for a grey picture.
- ``blur``: see `blur_of`.
"""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from .resize import reduce_picture

__all__ = ["UNKNOWN", "PictureFigures", "blur_can_be_told", "blur_of", "figures_of", "figures_of_thumbnails"]

# The shorter side of a picture that is measured for blur, in pixels; smaller pictures are not enlarged.
_SIDE = 256
# Rows and columns that are measured, evenly spread: with 64, the same pictures are told apart.
_LINES = 16
# Shares of the pixels, from the darkest one on, at whose ends levels are taken.
_SHARES = (0.01, 0.05, 0.99)
_LEVELS = np.arange(256)
# Pixels over which a line is averaged again.
_WINDOW = 7
_DIGITS = 4


class PictureFigures(NamedTuple):
    """Figures of a picture, each from 0 to 1, rounded to four digits; NaN while not known.

    Attributes
    ----------
    brightness, shadows, highlights, contrast, value_range, colour, blur
        See `images.figures`.
    """

    brightness: float = math.nan
    shadows: float = math.nan
    highlights: float = math.nan
    contrast: float = math.nan
    value_range: float = math.nan
    colour: float = math.nan
    blur: float = math.nan


UNKNOWN = PictureFigures()


def figures_of(thumbnail: Image.Image, picture: Image.Image | None) -> PictureFigures:
    """Measure a picture.

    Parameters
    ----------
    thumbnail
        Its thumbnail, RGB.
    picture
        The picture as it was decoded, at least 256 pixels on the shorter side if it has so many; None leaves the blur
        unknown.

    Returns
    -------
    The figures.
    """
    shown = thumbnail.convert("YCbCr")
    luma, blue, red = np.array(shown.histogram(), np.int64).reshape(3, 256)
    pixels = shown.width * shown.height
    ranks = [math.ceil(share * pixels) for share in _SHARES]
    first, shadows, highlights = np.searchsorted(luma.cumsum(), ranks).tolist()
    off = blue + red
    distances = off[128:] + np.concatenate([np.zeros(1, np.int64), off[127:0:-1]])  # by the distance from grey
    distances[-1] += off[0]  # 128 levels below grey, which counts as 127
    values: tuple[float, ...] = (
        int(luma @ _LEVELS) / (pixels * 255),
        shadows / 255,
        highlights / 255,
        (highlights - first) / 255,
        max(high - low for low, high in shown.getextrema()) / 255,  # type: ignore[misc]  # of each channel
        int(np.searchsorted(distances.cumsum(), math.ceil(_SHARES[-1] * 2 * pixels))) / 127,
        math.nan if picture is None else blur_of(picture),
    )
    return PictureFigures(*(round(value, _DIGITS) for value in values))


def figures_of_thumbnails(thumbnails: NDArray[np.uint8]) -> list[PictureFigures]:
    """Measure stored thumbnails (n, height, width, 3); `blur`, which needs more pixels, stays unknown."""
    return [figures_of(Image.fromarray(thumbnail), None) for thumbnail in thumbnails]


def blur_can_be_told(size: tuple[int, int]) -> bool:
    """Tell if a reduced picture of so many pixels has all those that `blur_of` uses."""
    return min(size) >= _SIDE


def blur_of(picture: Image.Image) -> float:
    """Measure how little a picture loses by being blurred: 0 for a sharp one, towards 1 for a blurred one.

    The method is that of Crete, Dolmiere, Ladret and Nicolas, *The blur effect* (SPIE 6492, 2007), with squares, so
    that edges count more than noise and the steps of 8 bits. Grey values f run along a line at the scale at which the
    shorter side of the picture has 256 pixels (averaged over the pixels there, never enlarged). With the step
    d = |f(i + 1) − f(i)|, and b = |f(i + 4) − f(i − 3)| / 7, the step after averaging over 7 pixels, it is
    Σ d · min(d, b) / Σ d², over 16 rows, or over 16 columns, evenly spread. Of both, the larger one counts, as motion
    blurs one direction. It depends neither on brightness nor on contrast. A direction without any change, or of less
    than 8 pixels, does not count; 0 if neither counts.

    Parameters
    ----------
    picture
        The picture, in any mode.

    Returns
    -------
    The blur.
    """
    picture = _shown(picture)
    scale = min(1.0, _SIDE / min(picture.size))
    width, height = (max(round(side * scale), 1) for side in picture.size)
    nearest, box = Image.Resampling.NEAREST, Image.Resampling.BOX
    # single rows and columns, before anything is converted: a tenth of the pixels
    rows = picture.resize((picture.width, min(height, _LINES)), nearest).convert("L")
    columns = picture.resize((min(width, _LINES), picture.height), nearest).convert("L")
    return max(
        _line_blur(np.asarray(rows.resize((width, rows.height), box)).T),
        _line_blur(np.asarray(columns.resize((columns.width, height), box))),
    )


def _shown(picture: Image.Image) -> Image.Image:
    """Give the colours of a picture, with less than twice the pixels a side that are measured."""
    shorter = min(picture.size)
    if picture.mode not in ("L", "RGB"):
        scale = min(1.0, _SIDE / shorter)
        return reduce_picture(picture, (round(picture.width * scale), round(picture.height * scale)))
    return picture.reduce(shorter // _SIDE) if shorter >= 2 * _SIDE else picture


def _line_blur(lines: NDArray[np.uint8]) -> float:
    """Measure the blur along lines (pixels, n); 0 where it cannot be told."""
    if len(lines) <= _WINDOW:
        return 0.0
    values, half = lines.astype(np.int16), _WINDOW // 2
    steps = abs(values[half + 1 : -half] - values[half : -half - 1])
    blurred = np.minimum(abs(values[_WINDOW:] - values[:-_WINDOW]), _WINDOW * steps)
    total = int(np.multiply(steps, steps, dtype=np.int32).sum())
    return int(np.multiply(steps, blurred, dtype=np.int32).sum()) / (_WINDOW * total) if total else 0.0
