"""The second look: two pictures of some hundred pixels a side, compared block by block. NumPy only."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["Difference", "difference", "is_drawn", "is_same_picture"]

# Weights of luma and of the two colour differences (ITU-R BT.601).
_LUMA = (0.299, 0.587, 0.114)
_COLOURS = ((-0.169, -0.331, 0.5), (0.5, -0.419, -0.081))
# Sides of a block and of a smaller one; and, at half the resolution, as most JPEG files have their colours, of the
# surroundings in which detail is measured, of a block of colour, and of a patch.
_BLOCK, _SMALL_BLOCK, _AROUND, _COLOUR_BLOCK, _PATCH = 4, 3, 5, 5, 8
# A copy differs at its edges by a share of the detail that both pictures have there, see `difference`.
_DETAIL_SHARE, _FLOOR, _COLOUR_FLOOR, _PATCH_FLOOR = 0.4, 4.0, 1.0, 0.5
# Blocks with such detail, in levels, differ by less in an edited picture, in such a share of at least so many.
_DETAILED, _UNTOUCHED, _MOST_UNTOUCHED, _ENOUGH, _FLOOR_IF_EDITED = 8.0, 0.1, 0.9, 500, 1.5
# The part of a picture that has less detail than `Difference.texture`.
_TEXTURE = 0.9
# Limits of `is_same_picture`.
_MOST_BLOCK, _MOST_OUTLIER, _MOST_COLOUR, _MOST_COLOUR_OUTLIER = 13.0, 5.5, 16.0, 7.5
_MOST_PATCH, _MOST_PATCH_AND_OUTLIER = 6.0, 9.0
_DRIFT, _DRIFT_BY_CONTRAST, _DRIFT_BY_TEXTURE = 1.05, 0.12, 0.1
_MOST_SHARE, _NOISE = 0.2, 1.0
_BRIGHTER, _BRIGHTER_BY_CONTRAST, _BRIGHTER_IF_PLAIN = 1.5, 0.25, 0.3
# Levels from which on a brighter or darker copy has lost what was there.
_WHITE, _BLACK = 248, 4
# Neighbours of a drawing are equal, within so many levels, in at least such a share.
_EQUAL, _DRAWN = 2, 0.5
# Change of contrast that is allowed for.
_LEAST_GAIN, _MOST_GAIN = 0.8, 1.25


class Difference(NamedTuple):
    """The difference of two pictures, in levels of 0 to 255 where nothing else is said.

    Attributes
    ----------
    block
        Largest mean difference of a block beyond what the detail around it explains.
    outlier
        Largest mean difference of a small block, in units of the differences that are usual for such detail.
    colour
        Largest mean difference of a block in colour.
    colour_outlier
        Largest mean difference of a small block in colour, in units of what is usual in these pictures.
    patch
        Largest mean difference of 16 × 16 pixels in brightness, in units of what is usual in these pictures; what is
        white or black in either is left out.
    drift
        Usual mean difference of 16 × 16 pixels, of brightness or colour, whichever is larger (root mean square).
    share
        Mean squared difference, as a share of the variance of both pictures.
    noise
        Root of the mean squared difference.
    brightness
        Difference of the means, of brightness or colour, whichever is larger.
    contrast
        Standard deviation of brightness, the smaller one.
    texture
        Detail of the tenth of the picture that has most, at least; zero for flags, nearly empty pages and the like.
    """

    block: float
    outlier: float
    colour: float
    colour_outlier: float
    patch: float
    drift: float
    share: float
    noise: float
    brightness: float
    contrast: float
    texture: float


def difference(a: NDArray[np.uint8], b: NDArray[np.uint8], /) -> Difference:
    """Compare two pictures block by block, after overall brightness and contrast are allowed for.

    A copy that was resized or compressed differs from its original wherever there are edges; another picture differs
    also where it is smooth, or far more at some place than at all others. So the mean difference of each block of 4 × 4
    pixels is reduced by 0.4 of the standard deviation that *both* pictures have in the 10 × 10 pixels around it, and
    that of each block of 3 × 3 is divided by what is usual for such detail in these two pictures. Where most detail is
    equal to the last level, as of two screenshots at different minutes, far smaller differences count.

    Parameters
    ----------
    a, b
        (h, w, 3) uint8: RGB of the same size.

    Returns
    -------
    The difference.

    Examples
    --------
    >>> picture = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    >>> difference(picture, picture).block, is_same_picture(difference(picture, picture[::-1]))
    (0.0, False)
    """
    one, other = _planes(a), _planes(b)
    left = _residual(one.luma, other.luma)
    detail = np.minimum(_local_deviation(one.luma), _local_deviation(other.luma))
    usual = _block_means(left, _SMALL_BLOCK)
    usual_share = np.sqrt(np.mean(usual * usual) / (np.mean(detail * detail) + 1))
    block = _block_means(left, _BLOCK)
    block -= _DETAIL_SHARE * _at_blocks(detail, block.shape)
    around = _at_blocks(detail, usual.shape)
    usual /= (_FLOOR_IF_EDITED if _is_edited(usual, around) else _FLOOR) + usual_share * around
    clipped = (np.maximum(one.luma, other.luma) > _WHITE) | (np.minimum(one.luma, other.luma) < _BLACK)
    patches = _block_means(_half_sums(np.where(clipped, np.float32(0), left)) * np.float32(0.25), _PATCH)
    patches_usual = _root_mean_square(patches)
    colours = [_colour_difference(*planes) for planes in zip(one.colours, other.colours, strict=True)]
    error = float(np.mean(left * left))
    variance = float(one.luma.var() + other.luma.var())
    return Difference(
        block=max(0.0, float(block.max())),
        outlier=float(usual.max()),
        colour=max(found.block for found in colours),
        colour_outlier=max(found.outlier for found in colours),
        patch=float(patches.max()) / (_PATCH_FLOOR + patches_usual),
        drift=max(patches_usual, *(found.drift for found in colours)),
        share=error / (variance + 1e-6),
        noise=error**0.5,
        brightness=max(abs(float(one.luma.mean() - other.luma.mean())), *(found.shift for found in colours)),
        contrast=float(min(one.luma.std(), other.luma.std())),
        texture=float(np.quantile(detail[::2, ::2], _TEXTURE)),
    )


def _is_edited(means: NDArray[np.float32], detail: NDArray[np.float32]) -> bool:
    """Find whether most detail is equal to the last level: compression or resizing would have changed all of it."""
    detailed = means[detail >= _DETAILED]
    return len(detailed) >= _ENOUGH and float((detailed < _UNTOUCHED).mean()) > _MOST_UNTOUCHED


class _ColourDifference(NamedTuple):
    block: float
    outlier: float
    drift: float
    shift: float


def _colour_difference(x: NDArray[np.float32], y: NDArray[np.float32]) -> _ColourDifference:
    left = _residual(x, y)
    small = _block_means(left, _SMALL_BLOCK)
    return _ColourDifference(
        block=float(_block_means(left, _COLOUR_BLOCK).max()),
        outlier=float(small.max()) / (_COLOUR_FLOOR + _root_mean_square(small)),
        drift=_root_mean_square(_block_means(left, _PATCH)),
        shift=abs(float(x.mean() - y.mean())),
    )


def _root_mean_square(values: NDArray[np.float32]) -> float:
    return float(np.mean(values * values)) ** 0.5


class _Planes(NamedTuple):
    """Brightness of a picture, (h, w), and the two colour differences at half the resolution."""

    luma: NDArray[np.float32]
    colours: list[NDArray[np.float32]]


def _planes(picture: NDArray[np.uint8]) -> _Planes:
    red_green_blue = [picture[..., channel].astype(np.float32) for channel in range(3)]
    halves = [_half_sums(channel) for channel in red_green_blue]
    return _Planes(
        _weighted(red_green_blue, _LUMA), [_weighted(halves, [weight / 4 for weight in row]) for row in _COLOURS]
    )


def _weighted(channels: list[NDArray[np.float32]], weights: Sequence[float]) -> NDArray[np.float32]:
    red, green, blue = (channel * np.float32(weight) for channel, weight in zip(channels, weights, strict=True))
    red += green
    red += blue
    return red


def _residual(x: NDArray[np.float32], y: NDArray[np.float32]) -> NDArray[np.float32]:
    """Subtract y from x after the best gain and offset (least squares)."""
    x, y = x - x.mean(), y - y.mean()
    variance = float(np.mean(y * y))
    gain = 1.0 if variance < 1 else min(max(float(np.mean(x * y)) / variance, _LEAST_GAIN), _MOST_GAIN)
    y *= np.float32(gain)
    x -= y
    return x


def _local_deviation(luma: NDArray[np.float32]) -> NDArray[np.float32]:
    """Standard deviation around each 2 × 2 pixels; beyond its edges a picture goes on as at the edge."""
    luma = luma - luma.mean()
    area = np.float32(4 * _AROUND * _AROUND)
    mean, square = (
        _sums(np.pad(_half_sums(values), _AROUND // 2, mode="edge"), _AROUND) for values in (luma, luma * luma)
    )
    mean /= area
    square /= area
    square -= mean * mean
    return np.asarray(np.sqrt(np.maximum(square, 0, out=square)))


def _block_means(values: NDArray[np.float32], side: int) -> NDArray[np.float32]:
    """Magnitude of the mean of each block of pixels, at all places; of one block if the picture is smaller."""
    side = min(side, *values.shape)
    means: NDArray[np.float32] = np.abs(_sums(values, side))
    means /= side * side
    return means


def _at_blocks(detail: NDArray[np.float32], shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Give the detail around the second row and column of each block, or the first if it has one."""
    rows, columns = (
        np.minimum((np.arange(count) + 1) // 2, last - 1) for count, last in zip(shape, detail.shape, strict=True)
    )
    return detail[rows][:, columns]


def _sums(values: NDArray[np.float32], side: int) -> NDArray[np.float32]:
    """Sum squares of pixels: (h − side + 1, w − side + 1)."""
    height, width = (whole - side + 1 for whole in values.shape)
    rows = values[:height].copy()
    for step in range(1, side):
        rows += values[step : step + height]
    sums = rows[:, :width].copy()
    for step in range(1, side):
        sums += rows[:, step : step + width]
    return sums


def _half_sums(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Sum 2 × 2 pixels; the last row or column of an odd number counts twice."""
    if values.shape[0] % 2 or values.shape[1] % 2:
        values = np.pad(values, ((0, values.shape[0] % 2), (0, values.shape[1] % 2)), "edge")
    rows = values[::2] + values[1::2]
    return rows[:, ::2] + rows[:, 1::2]


def is_same_picture(one: Difference, /) -> bool:
    """Decide whether two pictures are the same one, resized, compressed or converted.

    The limits were found with photos and 36 made-up kinds of pictures (screens, forms, text, pages with one mark, night
    photos, stars, gradients, plain colours, flags, X-rays, icons, charts, maps, music, codes, calendars, captions, date
    stamps, dials, textures and others), at most 512 pixels a side. None of 2,276 pairs of different ones that are
    similar at threshold 200 is called the same; the tests have them.

    - `block` is at most 12 for copies down to JPEG quality 20 and 0.15 of the size, and `outlier` at most 5.2, against
      11 and more where a single digit of a form differs.
    - `colour_outlier` tells the digits of coloured stamps apart: at least 8.5, against 6.7 of 99.5 % of the copies.
    - `patch` tells soft spots without detail apart, as a subject that moves before a plain ground.
    - `drift` tells flags and gradients of other colours apart: at least 1.1, and of copies without texture seldom more
      than 1. Of a gradient of few levels it may be 0.12 of the contrast: 0.16 and more for different ones.
    - `share` tells dark pictures of little contrast apart: at most 0.15, against at least 0.45.
    - `brightness` may change by as much as the contrast allows. Plain colours have nothing else to tell them apart, so
      that a lossy copy of a plain colour is not called the same picture.

    Examples
    --------
    >>> grey, lighter = np.full((2, 8, 8, 3), [[[[100]]], [[[105]]]], np.uint8)
    >>> is_same_picture(difference(grey, grey)), is_same_picture(difference(grey, lighter))
    (True, False)
    """
    brighter = min(_BRIGHTER_IF_PLAIN + one.contrast, _BRIGHTER + _BRIGHTER_BY_CONTRAST * one.contrast)
    return (
        one.block <= _MOST_BLOCK
        and one.outlier <= _MOST_OUTLIER
        and one.colour <= _MOST_COLOUR
        and one.colour_outlier <= _MOST_COLOUR_OUTLIER
        and one.patch <= _MOST_PATCH
        and one.patch + one.outlier <= _MOST_PATCH_AND_OUTLIER
        and one.drift <= min(_DRIFT, _DRIFT_BY_CONTRAST * one.contrast) + _DRIFT_BY_TEXTURE * one.texture
        and (one.share <= _MOST_SHARE or one.noise <= _NOISE)
        and one.brightness <= brighter
    )


def is_drawn(pictures: NDArray[np.uint8], /) -> bool:
    """Find whether a picture is drawn, as screens, forms and tables are: most of it is plain.

    Parameters
    ----------
    pictures
        (..., h, w, 3) uint8: one of them is enough.

    Returns
    -------
    True for drawings.

    Examples
    --------
    >>> photo = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    >>> is_drawn(photo), is_drawn(np.full((64, 64, 3), 255, np.uint8))
    (False, True)
    """
    green = pictures[..., 1].astype(np.int16)
    equal = np.abs(np.diff(green, axis=-1)) <= _EQUAL
    return bool((equal.mean(axis=(-1, -2)) >= _DRAWN).any()) if equal.size else True
