"""Decode the pictures of a store."""

import os
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..config import ReadSettings
from ..images.decode import ImageRecord
from ..images.decoder_pool import ImageReader
from ..images.decoder_process import ListedFile, Request
from ..images.frames import frame_size
from ..storage.schema import FILE_NAME
from ..urls import full_path

__all__ = ["PICTURE_COLUMNS", "decode", "read_picture"]

# Columns of an image that it takes to decode it.
PICTURE_COLUMNS = (*FILE_NAME, "size", "mtime_ns", "width", "height", "content_hash")


def decode(decoder: ImageReader, row: Any, look: tuple[int, int], limits: ReadSettings) -> tuple[ImageRecord, bytes]:
    """Decode an image as it is indexed; parameters as of `read_picture`, and a look as of `ListedFile`."""
    path = os.fsencode(full_path(row.root, row.path, row.path_bytes))
    listed = ListedFile(path, row.size, row.mtime_ns, look=look)
    (answer,) = decoder.read(Request([listed], 0, 0, False, limits.pixel_limit, limits.time_limit))
    return answer.records[0], bytes(answer.thumbnails)


def read_picture(decoder: ImageReader, row: Any, side: int, limits: ReadSettings) -> NDArray[np.uint8] | None:
    """Decode the first frame of a picture as it was indexed, on white.

    Parameters
    ----------
    decoder
        The decoder.
    row
        The image, with `PICTURE_COLUMNS`.
    side
        Pixels of the longer side, at most.
    limits
        Limits of reading a file.

    Returns
    -------
    (h, w, 3) uint8; None if the file is another one now, or has no picture.
    """
    share = min(1.0, side / max(row.width, row.height, 1))
    size = max(1, round(row.width * share)), max(1, round(row.height * share))
    record, content = decode(decoder, row, size, limits)
    if record.error or record.content_hash != row.content_hash or not content:
        return None
    width, height = frame_size(record.frames, size)
    pixels: NDArray[np.uint8] = np.frombuffer(content, np.uint8).reshape(-1, height, width, 3)[0]
    return pixels
