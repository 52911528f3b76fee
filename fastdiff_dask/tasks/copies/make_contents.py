"""Make the contents of the images of a block from their thumbnails, and commit them."""

import numpy as np

from ...edits.contents import CONTENT_BYTES, Contents
from ...runtime.activity import recorded
from ...runtime.faults import retried
from ...storage.derived.edited import EditedFiles
from ...storage.store import Store

__all__ = ["make_contents"]

# Images whose thumbnails are held at once.
_AT_ONCE = 256


@retried
def make_contents(url: str, block: int, run: str) -> int:
    """Make and commit the contents of a block; see `edits.borders`. Memory: 5 MB, and 4 kB an image.

    Returns
    -------
    Number of images.
    """
    store = Store(url, run)
    first = block * store.thumbnail_settings.block_size
    with recorded(store.files, run, "contents", block=block) as amounts:
        images = np.arange(first, first + store.rows()[block])
        rows = np.zeros((len(images), CONTENT_BYTES), np.uint8)
        for start in range(0, len(images), _AT_ONCE):
            some = images[start : start + _AT_ONCE]
            rows[start : start + _AT_ONCE] = Contents.of_thumbnails(some, store.arrays.thumbnail_rows(some)).packed()
        EditedFiles(store).write_contents(block, rows)
        amounts.images = len(images)
    return len(images)
