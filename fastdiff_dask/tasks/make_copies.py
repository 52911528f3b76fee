"""Make edited copies of some images, and commit their thumbnails."""

import io
import os
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ..config import ReadSettings, ThumbnailSettings
from ..images.decode import read_opened
from ..images.decoder_pool import ImageReader, reader
from ..images.decoder_process import ListedFile, Request
from ..images.edited_copies import KINDS, make_edited_copy
from ..images.frames import frame_size
from ..runtime.activity import recorded
from ..runtime.faults import retried
from ..storage.calibrations import CalibrationFiles
from ..storage.schema import FILE_NAME
from ..storage.store import Store
from ..urls import full_path

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
        rows = store.image_rows(images, [*FILE_NAME, "size", "mtime_ns", "width", "height", "content_hash"])
        for image, row in zip(images.tolist(), rows.itertuples(), strict=True):
            picture = _read(decoder, row)
            thumbnails = [] if picture is None else [_thumbnail(picture, kind, image, settings) for kind in kinds]
            files.write_copies(image, np.array(thumbnails, np.uint8).reshape(-1, *settings.shape))
        amounts.images = len(images)
    return len(images)


def _read(decoder: ImageReader, row: Any) -> Image.Image | None:
    """Decode a picture as it was indexed, on white; None if its file is another one now, or has no picture."""
    share = min(1.0, _SIDE / max(row.width, row.height, 1))
    size = max(1, round(row.width * share)), max(1, round(row.height * share))
    listed = ListedFile(os.fsencode(full_path(row.root, row.path, row.path_bytes)), row.size, row.mtime_ns, look=size)
    limits = ReadSettings()
    (answer,) = decoder.read(Request([listed], 0, 0, False, limits.pixel_limit, limits.time_limit))
    record, content = answer.records[0], bytes(answer.thumbnails)
    if record.error or record.content_hash != row.content_hash or not content:
        return None
    width, height = frame_size(record.frames, size)
    return Image.fromarray(np.frombuffer(content, np.uint8).reshape(-1, height, width, 3)[0])


def _thumbnail(picture: Image.Image, kind: str, seed: int, settings: ThumbnailSettings) -> NDArray[np.uint8]:
    """Make a copy as a JPEG file in memory, and read it as any file."""
    content = io.BytesIO()
    make_edited_copy(picture, kind, seed).save(content, "JPEG", quality=KINDS[kind].quality)
    size = settings.width, settings.height
    _, thumbnail = read_opened(content.getvalue(), None, *size, exact_decode=settings.exact_decode)
    assert thumbnail is not None  # the file was just made
    return thumbnail
