"""The direction between two files of the same picture: one of them may have been made from the other.

Whatever was written as JPEG lies in cells: each coefficient of a block is off by at most half a step of the table in
the file. So a copy differs from its original by the steps of the *copy*, and the original from a picture that is
computed back from the copy by more or by less than its own steps. Sources of this:

- Farid, *Exposing Digital Forgeries from JPEG Ghosts*, IEEE TIFS 4(1), 2009: a picture that was compressed more
  strongly before differs little from that version;
- Fan and de Queiroz, *Identification of Bitmap Compression History*, IEEE TIP 12(2), 2003: traces in lossless files;
- Popescu and Farid, *Exposing Digital Forgeries by Detecting Traces of Resampling*, IEEE TSP 53(2), 2005: an enlarged
  picture is a linear function of a smaller one.

With both files at hand, the linear function can be fitted, and what it leaves is compared with the steps.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from .decode import SIDEWAYS, UPRIGHT, read_exif
from .provenance import DCT, LOSSLESS

__all__ = ["MADE_A", "MADE_B", "NOT_KNOWN", "Plane", "has_plane", "packed", "which_was_made"]

# Neither is known to be made from the other, a was made from b, or b from a.
NOT_KNOWN, MADE_A, MADE_B = range(3)
# Pixels of a picture, at most, and along each side at least.
_MOST_PIXELS, _LEAST_SIDE = 1 << 24, 48
_MODES = {"L", "LA", "P", "RGB", "RGBA"}
# Height, width, left, top, lossless, and the table, of which the first step is 0 if there is none.
_HEAD = 5 + 64
# Orientations whose right or lower side is where the first column or row of the file lies.
_FROM_RIGHT, _FROM_BELOW = {2, 3, 6, 7}, {3, 4, 7, 8}
# Pixels along each side of the part that is compared, in the middle, and the pixels that a filter needs around it.
_PART, _AROUND = 256, 2
# Blocks and coefficients that are needed at least.
_FEWEST_BLOCKS, _FEWEST = 20, 100
# Variance that rounding to whole levels adds, several times on the way.
_ROUNDING = 0.35
# Steps taken for files without a table: of lossless formats and of others.
_LOSSLESS_STEP, _LOSSY_STEP = 3.0, 12.0
# Mean squared errors, in units of what a file's steps explain, and shares of errors outside its cells. Of 60 pairs a
# kind: a copy has 0.2 to 1.5 as a function of its original, an original 2.5 and more as a function of a coarser copy.
_COPIED, _NO_COPY = 1.5, 2.5
# A lossless copy or enlargement is off by rounding only.
_EXACT = 0.3
# Two JPEG tables tell something if the errors in their units differ by this factor: quality 80 and 85, or 92 and 95.
_APART = 1.6
# Both errors are below this if nothing but rounding differs.
_ALIKE = 0.15
# The errors of a JPEG file as a function of its own source fill its cells, and hardly one is outside. Those of a JPEG
# file as a function of a copy in another format are smaller, or some are outside.
_FILLED, _INSIDE, _OUTSIDE = 0.45, 0.011, 0.035
_LEVELS = 2, 253  # beyond, levels may have been cut off
_SMOOTH = Image.Resampling.BILINEAR, Image.Resampling.BICUBIC, Image.Resampling.LANCZOS
# Share of the coefficients that are trusted; of even errors, these have this share's square as their mean square.
_TRUSTED = 0.9
# Neighbours of a pixel at the same distance, which a filter weighs alike.
_RINGS = [
    sorted({(y * i, x * j) for y, x in ((far, near), (near, far)) for i in (-1, 1) for j in (-1, 1)})
    for far, near in ((0, 0), (1, 0), (1, 1), (2, 0), (2, 1), (2, 2))
]


class Plane(NamedTuple):
    """Brightness of a picture in its full size, upright.

    Attributes
    ----------
    luma
        (h, w) uint8.
    table
        (8, 8): steps by which a JPEG file rounds the coefficients of brightness; None for other formats.
    left, top
        A column and a row where its blocks of 8 × 8 pixels begin, 0 to 7.
    lossless
        The format has no loss.
    """

    luma: NDArray[np.uint8]
    table: NDArray[np.float32] | None = None
    left: int = 0
    top: int = 0
    lossless: bool = False

    @classmethod
    def unpacked(cls, content: bytes) -> "Plane":
        """Read what `packed` gives."""
        height, width, left, top, lossless, *steps = np.frombuffer(content, np.int32, _HEAD).tolist()
        luma = np.frombuffer(content, np.uint8, offset=4 * _HEAD).reshape(height, width)
        return cls(luma, np.reshape(steps, (8, 8)).astype(np.float32) if steps[0] else None, left, top, bool(lossless))

    def turned(self, quarters: int, mirrored: bool) -> "Plane":
        """Mirror it left and right or not, then turn it by quarters counter-clockwise."""
        luma, table, left, top, _ = self
        if mirrored:
            luma, left = np.fliplr(luma), (luma.shape[1] - left) % 8
        for _ in range(quarters):
            luma, left, top = np.rot90(luma), top, (luma.shape[1] - left) % 8
            table = None if table is None else table.T
        return Plane(luma, table, left, top, self.lossless)


def has_plane(width: int, height: int) -> bool:
    """Find whether `packed` gives anything of pictures of this size."""
    return width * height <= _MOST_PIXELS and min(width, height) >= _LEAST_SIDE


def packed(image: Image.Image) -> bytes:
    """Decode the `Plane` of an open picture that is not loaded yet.

    Returns
    -------
    Numbers, then the pixels, for `Plane.unpacked`. Nothing for pictures of more than 16 million pixels, less than 48
    along a side, or levels of more than 8 bits.
    """
    if not has_plane(*image.size) or image.mode not in _MODES:
        return b""
    tables = getattr(image, "quantization", None) or {0: [0] * 64}
    image.draft("L", image.size)
    luma, orientation = image.convert("L"), read_exif(image)[0]
    table = np.reshape(next(iter(tables.values())), (8, 8))
    if orientation in UPRIGHT:
        luma = luma.transpose(UPRIGHT[orientation])
        table = table.T if orientation in SIDEWAYS else table
    left = luma.width % 8 if orientation in _FROM_RIGHT else 0
    top = luma.height % 8 if orientation in _FROM_BELOW else 0
    head = [luma.height, luma.width, left, top, image.format in LOSSLESS, *table.ravel().tolist()]
    return np.array(head, np.int32).tobytes() + luma.tobytes()


class _Errors(NamedTuple):
    """Errors of a file as a function of another one: their mean square in units of its steps; the share outside."""

    square: float
    outside: float


def which_was_made(a: Plane, b: Plane, /) -> int:
    """Find whether one of two files of the same picture was made from the other.

    - An enlarged picture is a filtered smaller one, up to the steps of its own table; the smaller one is not a filtered
      larger one just as well.
    - A finer JPEG file that differs from a coarser one by its own steps only was made from it; one that differs by the
      steps of the coarser one is its original. Brightened, grey, blurred and sharpened copies are seen as well.
    - A lossless file that equals a JPEG file up to rounding was made from it; otherwise the JPEG file was.

    Not known for tables that are nearly equal: of quality 90 and 88, say, or of two files of the same quality.

    Parameters
    ----------
    a, b
        The pictures, in the same position.

    Returns
    -------
    `MADE_A` if a was made from b, `MADE_B` if b was made from a, or `NOT_KNOWN`.
    """
    pixels = a.luma.size, b.luma.size
    if a.luma.shape != b.luma.shape:
        larger, smaller, made = (a, b, MADE_A) if pixels[0] > pixels[1] else (b, a, MADE_B)
        return made if _is_enlarged(larger, smaller) else NOT_KNOWN
    if a.table is None:
        return (NOT_KNOWN, MADE_B, MADE_A)[which_was_made(b, a)] if b.table is not None else NOT_KNOWN
    errors = _errors(a, b)
    if errors is None:
        return NOT_KNOWN
    if b.table is None:
        return _jpeg_and_lossless(errors) if b.lossless else _jpeg_and_other(errors)
    others = _errors(b, a)
    return NOT_KNOWN if others is None else _two_jpegs(errors, others)


def _is_enlarged(larger: Plane, smaller: Plane) -> bool:
    errors = _errors(larger, smaller)
    if errors is None or errors.square > (_EXACT if larger.lossless else _COPIED):
        return False
    reduced = None if smaller.table is None else _errors(smaller, larger)
    return reduced is None or not _fills_cells(reduced)


def _fills_cells(errors: _Errors) -> bool:
    return errors.outside <= _INSIDE and _FILLED <= errors.square <= _COPIED


def _two_jpegs(a: _Errors, b: _Errors) -> int:
    low, high = min(a.square, b.square), max(a.square, b.square)
    if high < _ALIKE:
        return NOT_KNOWN
    if high >= _APART * low and low * high < 1:  # the errors are those of the finer table
        return MADE_A if a.square > b.square else MADE_B
    for made, one, other in ((MADE_A, a, b), (MADE_B, b, a)):
        if _fills_cells(one) and other.outside > _OUTSIDE:  # also of equal tables, if the blocks begin elsewhere
            return made
    if low <= _COPIED and high >= _NO_COPY:
        return MADE_A if a.square < b.square else MADE_B
    return NOT_KNOWN


def _jpeg_and_lossless(jpeg: _Errors) -> int:
    if jpeg.square < _EXACT:
        return MADE_B
    return MADE_A if jpeg.square <= _COPIED else NOT_KNOWN


def _jpeg_and_other(jpeg: _Errors) -> int:
    if _fills_cells(jpeg):
        return MADE_A
    return MADE_B if jpeg.square < _FILLED or (jpeg.outside > _OUTSIDE and jpeg.square < _NO_COPY) else NOT_KNOWN


def _errors(made: Plane, source: Plane) -> _Errors | None:
    """Fit one picture by the other, filtered; None where there is too little detail."""
    (left, width), (top, height) = (
        _part(side, first) for side, first in zip(made.luma.shape[::-1], (made.left, made.top), strict=True)
    )
    if min(width, height) <= 0:
        return None
    window = left - _AROUND, top - _AROUND, left + width + _AROUND, top + height + _AROUND
    x = made.luma[top : top + height, left : left + width].astype(np.float32)
    y = _window(made, source, window)
    if made.table is None:
        steps = np.full((8, 8), _LOSSLESS_STEP if made.lossless else _LOSSY_STEP, np.float32)
    else:
        steps = made.table.astype(np.float32)
    return _fit(x, y, steps)


def _part(side: int, first: int) -> tuple[int, int]:
    """Give the start and length of whole blocks in the middle, with pixels around them."""
    length = min(_PART, (side - 2 * _AROUND) // 8 * 8)
    start = first + ((side - length) // 2 - first) // 8 * 8
    while start < _AROUND:
        start += 8
    while start + length > side - _AROUND:
        length -= 8
    return start, length


def _window(made: Plane, source: Plane, window: tuple[int, int, int, int]) -> NDArray[np.float32]:
    """Cut a window of one picture out of the other, resized by the filter that comes nearest."""
    left, top, right, bottom = window
    target = made.luma[top:bottom, left:right].astype(np.float32)
    if made.luma.shape == source.luma.shape:
        return source.luma[top:bottom, left:right].astype(np.float32)
    image, shape = Image.fromarray(np.ascontiguousarray(source.luma)), made.luma.shape[::-1]
    across, down = image.width / shape[0], image.height / shape[1]
    box = left * across, top * down, right * across, bottom * down
    size = right - left, bottom - top
    resized = [image.resize(size, kind, box) for kind in _SMOOTH]
    resized.append(image.resize(shape, Image.Resampling.NEAREST).crop(window))  # a part would be rounded otherwise
    arrays = [np.asarray(one, np.float32) for one in resized]
    return min(arrays, key=lambda one: float(np.square(one - target).mean()))


def _fit(x: NDArray[np.float32], y: NDArray[np.float32], steps: NDArray[np.float32]) -> _Errors | None:
    """Fit x by a filter of y, which has `_AROUND` pixels more on each side, by the coefficients that are not zero."""
    height, width = x.shape
    shifted = {
        (down, across): y[_AROUND + down :][:height, _AROUND + across :][:, :width]
        for ring in _RINGS
        for down, across in ring
    }
    blocks, others = _blocks(x), _blocks(shifted[0, 0])
    low = np.minimum(blocks.min((1, 2)), others.min((1, 2)))
    high = np.maximum(blocks.max((1, 2)), others.max((1, 2)))
    whole = (low > _LEVELS[0]) & (high < _LEVELS[1])
    if np.count_nonzero(whole) < _FEWEST_BLOCKS:
        return None
    coefficients = DCT @ blocks[whole] @ DCT.T
    there = np.abs(coefficients) > 0.6 * steps
    there[:, 0, 0] = False
    if np.count_nonzero(there) < _FEWEST:
        return None
    step = np.broadcast_to(steps, coefficients.shape)[there]
    expected = np.sqrt(step * step / 12 + _ROUNDING)
    rings = [np.sum([shifted[place] for place in ring], axis=0) for ring in _RINGS]
    terms = [(DCT @ _blocks(ring)[whole] @ DCT.T)[there] / expected for ring in rings]
    values = coefficients[there] / expected
    error = _robust_fit(np.stack(terms, 1), values)
    outside = np.abs(error) * expected > step / 2 + 1
    return _Errors(float(_smallest(np.square(error)).mean()) / _TRUSTED**2, float(np.mean(outside)))


def _robust_fit(terms: NDArray[np.float32], values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Give the errors of a linear fit to those that it fits best: colours may have been cut off here and there."""
    error, trusted = values, np.ones(len(values), bool)
    for _ in range(2):
        some = terms[trusted]
        products = (some.T @ some).astype(np.float64)
        products += np.eye(len(products)) * (1e-9 * np.trace(products) + 1e-12)  # terms may be alike
        error = values - terms @ np.linalg.solve(products, some.T @ values[trusted]).astype(np.float32)
        trusted = np.abs(error) <= _smallest(np.abs(error)).max()
    return error


def _smallest(values: NDArray[np.float32]) -> NDArray[np.float32]:
    count = int(_TRUSTED * len(values))
    return np.partition(values, count)[:count]


def _blocks(values: NDArray[np.float32]) -> NDArray[np.float32]:
    rows, columns = (side // 8 for side in values.shape)
    return values.reshape(rows, 8, columns, 8).swapaxes(1, 2).reshape(-1, 8, 8)
