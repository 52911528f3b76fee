"""Pictures to show: a file reduced to the size on the screen, and a picture as a data URL for a page."""

import base64
import io
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from .decode import ImageRecord
from .decoder_pool import reader
from .decoder_process import ListedFile, Request

__all__ = ["as_heat", "data_url", "fitted", "read_listed", "read_picture"]

_QUALITY = 85
_SECONDS = 60.0


def fitted(width: int, height: int, longest: int) -> tuple[int, int]:
    """Width and height of a picture in pixels, made smaller so that none of them is above a limit.

    Examples
    --------
    >>> fitted(4000, 3000, 400), fitted(20, 10, 400), fitted(0, 0, 400)
    ((400, 300), (20, 10), (1, 1))
    """
    scale = min(1.0, longest / max(width, height, 1))
    return max(round(width * scale), 1), max(round(height * scale), 1)


def read_picture(
    path: bytes, width: int, height: int, *, size: int, mtime_ns: int, pixel_limit: int
) -> tuple[NDArray[np.uint8] | None, ImageRecord]:
    """Read a file at a given size in a decoder process, since a picture may crash or hang its decoder.

    Parameters
    ----------
    path
        Path or URL.
    width, height
        Size in pixels to resize it to, at least 8 each; its shape may change.
    size, mtime_ns
        Bytes and time of modification as they were listed; a file with others is refused as changed.
    pixel_limit
        Pixels that it may have.

    Returns
    -------
    (height, width, 3) uint8, or None if the file cannot be read; and its record, which has the reason.
    """
    listed = [ListedFile(path, size, mtime_ns)]
    request = Request(listed, width, height, False, pixel_limit, _SECONDS, ahead=0, at_once=1)
    record = ImageRecord(error="it was not read")
    with reader() as decoder:
        for answer in decoder.read(request):
            (record,) = answer.records
            if not record.error:
                return np.frombuffer(answer.thumbnails, np.uint8).reshape(height, width, 3), record
    return None, record


def read_listed(path: bytes, row: Any, longest: int) -> tuple[NDArray[np.uint8] | None, str]:
    """Read a file of a store in its own shape, not larger than a limit; if that fails, give None and the reason.

    Parameters
    ----------
    path
        Path or URL.
    row
        Its metadata: width, height, size, mtime_ns.
    longest
        Pixels of its longer side, at most.

    Returns
    -------
    The picture, (h, w, 3) uint8, or None; and the reason, empty if there is a picture.
    """
    width, height = fitted(int(row.width), int(row.height), longest)
    pixels, record = read_picture(
        path,
        max(width, 8),
        max(height, 8),
        size=row["size"],
        mtime_ns=row.mtime_ns,
        pixel_limit=max(int(row.width) * int(row.height), 1),
    )
    return pixels, record.error


def data_url(pixels: Any, *, exact: bool = False) -> str:
    """Encode an image (h, w, 3) uint8 as a data URL: a JPEG picture, or a PNG picture to be exact."""
    file = io.BytesIO()
    image = Image.fromarray(np.ascontiguousarray(pixels))
    if exact:
        image.save(file, format="PNG")
    else:
        image.save(file, format="JPEG", quality=_QUALITY)
    return f"data:image/{'png' if exact else 'jpeg'};base64,{base64.b64encode(file.getvalue()).decode()}"


def as_heat(values: Any) -> NDArray[np.uint8]:
    """Colour numbers, (h, w) → (h, w, 3) uint8: from black for 0 over red and yellow to white for the largest.

    Examples
    --------
    >>> as_heat(np.array([[0, 1, 3]])).tolist()
    [[[0, 0, 0], [255, 0, 0], [255, 255, 255]]]
    """
    part = np.asarray(values, np.float64) / max(float(np.max(values, initial=0)), 1.0)
    return np.stack([np.clip(3 * part - step, 0, 1) * 255 for step in range(3)], axis=-1).round().astype(np.uint8)
