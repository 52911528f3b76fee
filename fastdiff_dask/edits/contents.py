"""The contents of some images, with what else of them is compared, and the rows of bytes that a store has of them."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .borders import CONTENT, contents, flat_shares
from .views import VIEW_SIDE, VIEWS, view_images

__all__ = ["CONTENT_BYTES", "Contents"]

# Bytes of the contents of an image, and where the parts of these end.
CONTENT_BYTES = CONTENT**2 + 4 + VIEW_SIDE**2 + 1
_PACKED = (CONTENT**2, CONTENT**2 + 4, CONTENT_BYTES - 1)


class Contents(NamedTuple):
    """The contents of some images.

    Attributes
    ----------
    images
        (n,) int64: numbers of the images.
    contents
        (n, 64, 64) uint8, see `borders.contents`.
    boxes
        (n, 4) uint8.
    bordered
        (n, 16, 16) uint8: the images with their borders, as a view.
    flat
        (n,) uint8, see `borders.flat_shares`.
    """

    images: NDArray[np.int64]
    contents: NDArray[np.uint8]
    boxes: NDArray[np.uint8]
    bordered: NDArray[np.uint8]
    flat: NDArray[np.uint8]

    @classmethod
    def of_thumbnails(cls, images: NDArray[np.int64], thumbnails: NDArray[np.uint8]) -> "Contents":
        """Find the contents of images by their thumbnails, (n, h, w, c) uint8."""
        found, boxes, whole = contents(thumbnails)
        return cls(images, found, boxes, view_images(whole, VIEWS[:1])[:, 0], flat_shares(found))

    @classmethod
    def unpacked(cls, images: NDArray[np.int64], rows: NDArray[np.uint8]) -> "Contents":
        """Give the contents that `packed` made a row of bytes of each."""
        found, boxes, bordered, flat = np.split(rows, _PACKED, axis=1)
        return cls(
            images,
            found.reshape(-1, CONTENT, CONTENT),
            boxes,
            bordered.reshape(-1, VIEW_SIDE, VIEW_SIDE),
            flat[:, 0],
        )

    def packed(self) -> NDArray[np.uint8]:
        """Make a row of bytes of each: (n, `CONTENT_BYTES`) uint8."""
        number = len(self.images)
        content, bordered = self.contents.reshape(number, CONTENT**2), self.bordered.reshape(number, VIEW_SIDE**2)
        return np.concatenate([content, self.boxes, bordered, self.flat[:, None]], axis=1)

    def at(self, places: NDArray[np.int64]) -> "Contents":
        """Give some of them."""
        return Contents._make(values[places] for values in self)
