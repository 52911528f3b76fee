"""Complete the figures of the pictures of a block, which stores of earlier versions lack."""

import os

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..config import ReadSettings
from ..images.decode import ImageRecord
from ..images.decoder_pool import reader
from ..images.decoder_process import ListedFile, Request
from ..images.figures import figures_of_thumbnails
from ..runtime.faults import retried
from ..storage.schema import CLEANED, FIGURES, FILE_NAME
from ..storage.store import Store
from ..urls import full_path

__all__ = ["UNMEASURED", "measure_block", "unmeasured_rows"]

# Columns that tell which images lack figures.
UNMEASURED = ("current", "error", *FIGURES)
# Size of the thumbnails for which pictures are decoded: large enough for the blur, whatever those of the store are.
_SIZE = 64
_AT_ONCE = 32


def unmeasured_rows(frame: pd.DataFrame, reading: bool) -> NDArray[np.bool_]:
    """Mark the images of a block that lack a figure; without reading, those that stored thumbnails could give."""
    missing = frame[list(FIGURES if reading else FIGURES[:-1])].isna().any(axis=1)
    return (missing & frame.current & frame.error.isna()).to_numpy(bool)


@retried
def measure_block(url: str, block: int, limits: ReadSettings, reading: bool, run: str = "") -> int:
    """Complete the figures of a block: from its thumbnails, and the blur, if `reading`, from the files.

    A file that is gone, or has other content now, is left out. Without thumbnails, which `cleanup` removes, all figures
    are taken from the files.

    Returns
    -------
    Number of images that still lack a figure.
    """
    store = Store(url, run)
    frame = store.read_partition(block)
    rows = np.flatnonzero(unmeasured_rows(frame, reading))
    if not len(rows):
        return 0
    found: NDArray[np.float64] = frame[list(FIGURES)].to_numpy(np.float64, copy=True)
    if CLEANED not in store.files.names():
        thumbnails = store.arrays.thumbnail_rows(frame.image.to_numpy(np.int64)[rows])
        found[rows, :-1] = np.array(figures_of_thumbnails(thumbnails))[:, :-1]
    if reading:
        unread = rows[np.isnan(found[rows]).any(axis=1)]
        for row, record in zip(unread.tolist(), _read(frame.iloc[unread], limits), strict=True):
            if not record.error and record.content_hash == frame.content_hash.iloc[row]:
                figures = np.array([getattr(record, name) for name in FIGURES])
                found[row] = np.where(np.isnan(found[row]), figures, found[row])
    store.write_partition(block, frame.assign(**{name: found[:, place] for place, name in enumerate(FIGURES)}))
    return int(np.isnan(found[rows]).any(axis=1).sum())


def _read(rows: pd.DataFrame, limits: ReadSettings) -> list[ImageRecord]:
    """Read the files of some images."""
    names = zip(*(rows[name] for name in FILE_NAME), rows["size"], rows.mtime_ns, strict=True)
    files = [ListedFile(os.fsencode(full_path(*name)), size, date) for *name, size, date in names]
    request = Request(files, _SIZE, _SIZE, False, limits.pixel_limit, limits.time_limit, at_once=_AT_ONCE)
    with reader() as decoder:
        return [record for answer in decoder.read(request) for record in answer.records]
