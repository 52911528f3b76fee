"""The second look: two pictures of some hundred pixels a side, compared block by block. NumPy only."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["Difference", "difference", "is_drawn", "is_same_picture"]

# Weights of luma and of the two colour differences (ITU-R BT.601).
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)
_COLOURS = np.array([[-0.169, -0.331, 0.5], [0.5, -0.419, -0.081]], np.float32).T
# Sides of a block, of a smaller one, of the surroundings in which detail is measured, and of a block of colour, which
# is seen at half the resolution, as in most JPEG files.
_BLOCK, _SMALL_BLOCK, _AROUND, _COLOUR_BLOCK = 4, 3, 9, 5
# A copy differs at its edges by a share of the detail that both pictures have there, see `difference`.
_DETAIL_SHARE, _FLOOR = 0.4, 4.0
# Limits of `is_same_picture`.
_MOST_BLOCK, _MOST_OUTLIER, _MOST_COLOUR, _MOST_SHARE, _NOISE = 13.0, 5.5, 16.0, 0.2, 1.0
_BRIGHTER, _BRIGHTER_BY_CONTRAST = 1.5, 0.25
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
    share
        Mean squared difference, as a share of the variance of both pictures.
    noise
        Root of the mean squared difference.
    brightness
        Difference of the means, of brightness or colour, whichever is larger.
    contrast
        Standard deviation of brightness, the smaller one.
    """

    block: float
    outlier: float
    colour: float
    share: float
    noise: float
    brightness: float
    contrast: float


def difference(a: NDArray[np.uint8], b: NDArray[np.uint8], /) -> Difference:
    """Compare two pictures block by block, after overall brightness and contrast are allowed for.

    A copy that was resized or compressed differs from its original wherever there are edges; another picture differs
    also where it is smooth, or far more at some place than at all others. So the mean difference of each block of 4 × 4
    pixels is reduced by 0.4 of the standard deviation that *both* pictures have in the 9 × 9 pixels around it, and that
    of each block of 3 × 3 is divided by what is usual for such detail in these two pictures.

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
    x, y = a.astype(np.float32), b.astype(np.float32)
    luma_x, luma_y = x @ _LUMA, y @ _LUMA
    left = _residual(luma_x, luma_y)
    detail = np.minimum(_local_deviation(luma_x), _local_deviation(luma_y))
    usual = _block_means(left, _SMALL_BLOCK)
    usual_share = np.sqrt(np.mean(usual * usual) / (np.mean(detail * detail) + 1))
    block = _block_means(left, _BLOCK)
    block -= _DETAIL_SHARE * _at_blocks(detail, block.shape)
    outlier = usual / (_FLOOR + usual_share * _at_blocks(detail, usual.shape))
    colour, shift = 0.0, abs(float(luma_x.mean() - luma_y.mean()))
    colours_x, colours_y = _halved(x) @ _COLOURS, _halved(y) @ _COLOURS
    for one, other in zip(np.moveaxis(colours_x, 2, 0), np.moveaxis(colours_y, 2, 0), strict=True):
        colour = max(colour, float(_block_means(_residual(one, other), _COLOUR_BLOCK).max()))
        shift = max(shift, abs(float(one.mean() - other.mean())))
    error = float(np.mean(left * left))
    variance = float(luma_x.var() + luma_y.var())
    return Difference(
        block=max(0.0, float(block.max())),
        outlier=float(outlier.max()),
        colour=colour,
        share=error / (variance + 1e-6),
        noise=error**0.5,
        brightness=shift,
        contrast=float(min(luma_x.std(), luma_y.std())),
    )


def _residual(x: NDArray[np.float32], y: NDArray[np.float32]) -> NDArray[np.float32]:
    """Subtract y from x after the best gain and offset (least squares)."""
    x, y = x - x.mean(), y - y.mean()
    variance = float(np.mean(y * y))
    gain = 1.0 if variance < 1 else min(max(float(np.mean(x * y)) / variance, _LEAST_GAIN), _MOST_GAIN)
    return x - np.float32(gain) * y


def _local_deviation(luma: NDArray[np.float32]) -> NDArray[np.float32]:
    """Standard deviation around each pixel; beyond its edges a picture goes on as at the edge."""
    padded = np.pad(luma - luma.mean(), _AROUND // 2, mode="edge")
    area = np.float32(_AROUND * _AROUND)
    mean, square = _sums(padded, _AROUND) / area, _sums(padded * padded, _AROUND) / area
    deviation: NDArray[np.float32] = np.sqrt(np.maximum(square - mean * mean, 0))
    return deviation


def _block_means(values: NDArray[np.float32], side: int) -> NDArray[np.float32]:
    """Magnitude of the mean of each block of pixels, at all places; of one block if the picture is smaller."""
    side = min(side, *values.shape)
    means: NDArray[np.float32] = np.abs(_sums(values, side))
    means /= side * side
    return means


def _at_blocks(detail: NDArray[np.float32], shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Give the detail at the middle of each block."""
    top, left = ((whole - blocks + 1) // 2 for whole, blocks in zip(detail.shape, shape, strict=True))
    return detail[top : top + shape[0], left : left + shape[1]]


def _sums(values: NDArray[np.float32], side: int) -> NDArray[np.float32]:
    """Sum squares of pixels, (h − side + 1, w − side + 1): rows, then columns, by doubling (9 = 8 + 1: 4 sums)."""
    for _ in range(2):
        # powers[k] has the sums of 2^k rows
        powers, length = [values], len(values) - side + 1
        while 2 << (len(powers) - 1) <= side:
            last, step = powers[-1], 1 << (len(powers) - 1)
            powers.append(last[:-step] + last[step:])
        total, start = None, 0
        for power, rows in enumerate(powers):
            if side >> power & 1:
                part = rows[start : start + length]
                total = part if total is None else total + part
                start += 1 << power
        assert total is not None  # as a side has pixels
        values = total.T
    return values


def _halved(picture: NDArray[np.float32]) -> NDArray[np.float32]:
    """Average 2 × 2 pixels; the last row or column of an odd number is left out, unless it is the only one."""
    height, width = (max(2, side - side % 2) for side in picture.shape[:2])
    if picture.shape[0] < 2 or picture.shape[1] < 2:
        picture = np.pad(
            picture, ((0, max(0, 2 - picture.shape[0])), (0, max(0, 2 - picture.shape[1])), (0, 0)), "edge"
        )
    some = picture[:height, :width]
    return (some[::2, ::2] + some[1::2, ::2] + some[::2, 1::2] + some[1::2, 1::2]) * np.float32(0.25)


def is_same_picture(one: Difference, /) -> bool:
    """Decide whether two pictures are the same one, resized, compressed or converted.

    The limits were found with 24 photos and 17 made-up kinds of pictures (chat screens, forms, text, receipts, scanned
    pages with one mark, night photos, stars, gradients, plain colours, X-rays, icons, slides, charts, maps, line art),
    at most 512 pixels a side. `block` is at most 12 for copies down to JPEG quality 20 and 0.15 of the size, and
    `outlier` at most 5.2, against 11 and more where a single digit of a form differs. The `share` tells dark pictures
    of little contrast apart: at most 0.15 against at least 0.45. `brightness` may change by as much as the contrast
    allows: two plain colours have nothing else to tell them apart. Of 1,945 further pairs of different pictures that
    are similar at threshold 200, five are called the same: three of plain colours that differ by less than 1.5 levels,
    and two of photos in which a patch without contrast has moved.

    Examples
    --------
    >>> grey, lighter = np.full((2, 8, 8, 3), [[[[100]]], [[[105]]]], np.uint8)
    >>> is_same_picture(difference(grey, grey)), is_same_picture(difference(grey, lighter))
    (True, False)
    """
    return (
        one.block <= _MOST_BLOCK
        and one.outlier <= _MOST_OUTLIER
        and one.colour <= _MOST_COLOUR
        and (one.share <= _MOST_SHARE or one.noise <= _NOISE)
        and one.brightness <= _BRIGHTER + _BRIGHTER_BY_CONTRAST * one.contrast
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
