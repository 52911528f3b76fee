"""Views of an image: its content cut in many ways, as small grey images that are compared with whole contents.

A copy that was cropped shows a view of its original, and one with a border has a view that is its original. So each
view of an image is compared with the content of every other one. Where a caption covers one end, the other parts are
compared: views without a sixth at one side, each with its like. And images are compared with their borders, for
pictures that are mostly border themselves.
"""

from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .borders import CONTENT, UNITS, cell_weights, rounded

__all__ = ["CUTS", "VIEWS", "VIEW_SIDE", "View", "view_images"]

# Pixels along the sides of a view.
VIEW_SIDE = 16
# Contents whose sums are held at a time.
_BATCH = 128


class View(NamedTuple):
    """A part of a content, as shares of its sides."""

    top: float
    left: float
    bottom: float
    right: float


def _views() -> tuple[View, ...]:
    views = [View(0, 0, 1, 1)]
    # cut at all sides
    for share, places in ((0.9, 3), (0.85, 3), (0.8, 4)):
        starts = [(1 - share) * place / (places - 1) for place in range(places)]
        views += [View(top, left, top + share, left + share) for top in starts for left in starts]
    # cut at two sides, as into a square, or to another aspect ratio
    for share, places in ((3 / 4, 3), (2 / 3, 3), (9 / 16, 1)):
        starts = [(1 - share) * (place / (places - 1) if places > 1 else 0.5) for place in range(places)]
        views += [View(0, start, 1, start + share) for start in starts]
        views += [View(start, 0, start + share, 1) for start in starts]
    return tuple(views)


# Views that are compared with whole contents; the first one is the whole itself.
VIEWS = _views()
_SIXTH = 1 / 6
# Views that are compared with each other; the last two change places in a mirror image.
CUTS = (View(0, 0, 1 - _SIXTH, 1), View(_SIXTH, 0, 1, 1), View(0, 0, 1, 1 - _SIXTH), View(0, _SIXTH, 1, 1))


@cache
def _weights(start: float, stop: float) -> NDArray[np.float32]:
    whole = CONTENT * UNITS
    return cell_weights(round(start * whole), round(stop * whole), CONTENT, VIEW_SIDE)


def view_images(some: NDArray[np.uint8], views: tuple[View, ...]) -> NDArray[np.uint8]:
    """Cut views from contents.

    Parameters
    ----------
    some
        (n, 64, 64) uint8: contents, or any grey images of that size.
    views
        The views; the sums along rows are shared by those of equal width.

    Returns
    -------
    (n, views, 16, 16) uint8: averages of the pixels in each cell.

    Examples
    --------
    >>> view_images(np.full((2, 64, 64), 9, np.uint8), VIEWS[:3]).shape
    (2, 3, 16, 16)
    """
    result = np.empty((len(some), len(views), VIEW_SIDE, VIEW_SIDE), np.uint8)
    columns = {(view.left, view.right): _weights(view.left, view.right) for view in views}
    place = {key: number for number, key in enumerate(columns)}
    weights = np.concatenate(list(columns.values())).T
    for start in range(0, len(some), _BATCH):
        part = some[start : start + _BATCH]
        sums = part.astype(np.float32).reshape(-1, CONTENT) @ weights
        along = np.moveaxis(sums.reshape(len(part), CONTENT, len(columns), VIEW_SIDE), 2, 0)
        for number, view in enumerate(views):
            key = view.left, view.right
            rows = _weights(view.top, view.bottom)
            result[start : start + _BATCH, number] = rounded(rows @ along[place[key]], rows, columns[key])
    return result
