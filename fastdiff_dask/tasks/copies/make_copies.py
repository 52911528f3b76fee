"""Make edited copies of some images, and commit their thumbnails."""

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ...config import ReadSettings, ThumbnailSettings
from ...images.decode import read_opened
from ...images.decoder_pool import reader
from ...images.edited_copies import KINDS, make_edited_copy
from ...runtime.activity import recorded
from ...runtime.faults import retried
from ...storage.derived.calibrations import CalibrationFiles
from ...storage.store import Store
from ..read_picture import PICTURE_COLUMNS, read_picture

__all__ = ["make_copies"]

# Pixels of the longer side at which a picture is edited, at most.
_SIDE = 512


@retried
def make_copies(
    url: str, kinds: tuple[str, ...], sample: NDArray[np.int64], images: NDArray[np.int64], run: str
) -> int:
    """Make the copies of some images of a calibration, and commit them.

    Memory: a picture of at most 512 pixels a side, with copies.

    Parameters
    ----------
    url
        The store.
    kinds, sample
        Kinds of copies and images of the calibration.
    images
        (n,) int64: the images to copy now.
    run
        The run that `activity.stage` gave.

    Returns
    -------
    Number of images.
    """
    store = Store(url, run)
    files = CalibrationFiles(store, kinds, sample)
    settings = store.thumbnail_settings
    with recorded(store.files, run, "copies", image=int(images[0])) as amounts, reader() as decoder:
        rows = store.image_rows(images, list(PICTURE_COLUMNS))
        for image, row in zip(images.tolist(), rows.itertuples(), strict=True):
            pixels = read_picture(decoder, row, _SIDE, ReadSettings())
            picture = None if pixels is None else Image.fromarray(pixels)
            thumbnails = [] if picture is None else [_thumbnail(picture, kind, image, settings) for kind in kinds]
            files.write_copies(image, np.array(thumbnails, np.uint8).reshape(-1, *settings.shape))
        amounts.images = len(images)
    return len(images)


def _thumbnail(picture: Image.Image, kind: str, seed: int, settings: ThumbnailSettings) -> NDArray[np.uint8]:
    """Make a copy as a JPEG file in memory, and read it as any file."""
    content = io.BytesIO()
    make_edited_copy(picture, kind, seed).save(content, "JPEG", quality=KINDS[kind].quality)
    size = settings.width, settings.height
    _, thumbnail = read_opened(content.getvalue(), None, *size, exact_decode=settings.exact_decode)
    assert thumbnail is not None  # the file was just made
    return thumbnail
