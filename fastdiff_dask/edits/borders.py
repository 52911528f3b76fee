"""The content of an image: what is within its borders, as a small grey image."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["CONTENT", "FULL_BOX", "UNITS", "cell_weights", "contents", "flat_shares", "rounded"]

# Pixels along the sides of a content.
CONTENT = 64
# An edge of a cell is placed at a multiple of 1 / 64 pixel.
UNITS = 64
# A line at an edge belongs to a border if so many of 5 pixels are within so many levels of its median; so much of
# either side is left at least.
_FLAT_OF_5, _FLAT_LEVELS, _LEAST = 4, 10, 0.3
# The whole image, with its borders: top, left, bottom, right in 64ths of its sides.
FULL_BOX = np.array([0, 0, CONTENT, CONTENT], np.uint8)
# Pixels of a share of flat ground are within so many levels of the commonest one.
_NEAR = 8


def contents(thumbnails: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.uint8]]:
    """Find what is within the borders of images: bars, frames and margins of nearly one grey level.

    Line by line from the edges, rows and columns in turn, as a frame may consist of bars of different colours. Integers
    alone decide, so that the result is the same everywhere.

    Parameters
    ----------
    thumbnails
        (n, h, w, c) uint8; c is 1 or 3.

    Returns
    -------
    contents
        (n, 64, 64) uint8: grey levels within the borders, stretched to a square.
    boxes
        (n, 4) uint8: top, left, bottom and right of the content, in 64ths of the sides of the image.
    whole
        (n, 64, 64) uint8: the images with their borders, of the same size.
    """
    grey = _resized(_grey(thumbnails), None)
    boxes = np.tile(FULL_BOX, (len(grey), 1))
    for place in np.flatnonzero(_has_border(grey)).tolist():
        boxes[place] = _content_box(grey[place])
    cut = np.flatnonzero((boxes != FULL_BOX).any(axis=1))
    result = grey.copy()
    for place in cut.tolist():
        result[place] = _resized(grey[place : place + 1], boxes[place])[0]
    return result, boxes, grey


def flat_shares(some: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Measure how much of contents is flat ground: pages, forms, screens and drawings have much of it.

    Parameters
    ----------
    some
        (n, h, w) uint8.

    Returns
    -------
    (n,) uint8: pixels within 8 levels of the commonest level, in 255ths of all pixels.

    Examples
    --------
    >>> flat_shares(np.array([[[7, 7], [7, 200]]], np.uint8)).tolist()
    [191]
    """
    number, pixels = len(some), some.shape[1] * some.shape[2]
    places = some.reshape(number, pixels) + 256 * np.arange(number)[:, None]
    counts = np.bincount(places.ravel(), minlength=256 * number).reshape(number, 256)
    up_to = np.concatenate([np.zeros((number, 1), np.int64), counts.cumsum(axis=1)], axis=1)
    commonest = counts.argmax(axis=1)
    low, high = np.maximum(commonest - _NEAR, 0), np.minimum(commonest + _NEAR + 1, 256)
    rows = np.arange(number)
    return ((up_to[rows, high] - up_to[rows, low]) * 255 // pixels).astype(np.uint8)


def _grey(images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Luma of ITU-R BT.601 in 256ths."""
    if images.shape[-1] == 1:
        return images[..., 0]
    weighted = images.astype(np.uint32) @ np.array([77, 150, 29], np.uint32)
    return (weighted >> 8).astype(np.uint8)


def _is_flat(lines: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Tell for each of some lines (n, pixels) if it may belong to a border."""
    length = lines.shape[-1]
    median = np.partition(lines, length // 2, axis=-1)[..., length // 2]
    apart = np.abs(lines.astype(np.int16) - median[..., None])
    number = np.asarray(np.count_nonzero(apart <= _FLAT_LEVELS, axis=-1))
    return 5 * number >= _FLAT_OF_5 * length


def _has_border(grey: NDArray[np.uint8]) -> NDArray[np.bool_]:
    edges = np.stack([grey[:, 0], grey[:, -1], grey[:, :, 0], grey[:, :, -1]], axis=1)
    return np.asarray(_is_flat(edges).any(axis=1))


def _content_box(grey: NDArray[np.uint8]) -> tuple[int, int, int, int]:
    height, width = grey.shape
    top, left, bottom, right = 0, 0, height, width
    while True:
        before = top, left, bottom, right
        rows = _is_flat(grey[:, left:right])
        while bottom - top > _LEAST * height and rows[top]:
            top += 1
        while bottom - top > _LEAST * height and rows[bottom - 1]:
            bottom -= 1
        columns = _is_flat(grey[top:bottom].T)
        while right - left > _LEAST * width and columns[left]:
            left += 1
        while right - left > _LEAST * width and columns[right - 1]:
            right -= 1
        if (top, left, bottom, right) == before:
            return before


def cell_weights(start: int, stop: int, length: int, cells: int) -> NDArray[np.float32]:
    """Give the weights of pixels in cells, (cells, length): how much of each is in the cell, in 64ths of a pixel.

    The cells divide the range from `start` to `stop`, in the same units, as evenly as whole units allow.
    """
    edges = start + (np.arange(cells + 1) * (stop - start) + cells // 2) // cells
    pixels = np.arange(length) * UNITS
    upper = np.minimum(edges[1:, None], pixels + UNITS)
    return np.maximum(upper - np.maximum(edges[:-1, None], pixels), 0).astype(np.float32)


def rounded(sums: NDArray[np.floating], rows: NDArray[np.floating], columns: NDArray[np.floating]) -> NDArray[np.uint8]:
    """Divide weighted sums (..., cells, cells) by the sums of their weights, and round, half up.

    Sums and areas are integers below 2⁵², and a quotient up to 256 that is no integer is farther from the next one than
    float64 rounds, so that the result is the same everywhere.
    """
    areas = np.outer(rows.sum(axis=1), columns.sum(axis=1)).astype(np.float64)
    return np.floor((sums + areas / 2) / areas).astype(np.uint8)


def _resized(grey: NDArray[np.uint8], box: NDArray[np.uint8] | None) -> NDArray[np.uint8]:
    """Stretch images, or the part in a box, to contents."""
    height, width = grey.shape[1:]
    if box is None and (height, width) == (CONTENT, CONTENT):
        return grey
    top, left, bottom, right = (FULL_BOX if box is None else box).tolist()
    rows = cell_weights(top * UNITS * height // CONTENT, bottom * UNITS * height // CONTENT, height, CONTENT)
    columns = cell_weights(left * UNITS * width // CONTENT, right * UNITS * width // CONTENT, width, CONTENT)
    # a sum is a whole number of at most 255 · (64 k)², k the pixels along the side of a cell: below 2²⁴ up to k = 4, so
    # that float32 products are exact in any order
    exact: Any = np.float32 if max(height, width) <= 4 * CONTENT else np.float64
    rows, columns = rows.astype(exact), columns.astype(exact)
    return rounded(rows @ (grey.astype(exact) @ columns.T), rows, columns)
