"""Compare all views of the images of some blocks with the images of others, and commit the candidates."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from ...edits.candidates import Candidates, Columns, find_candidates, nearest
from ...edits.contents import CONTENT_BYTES, Contents
from ...runtime.activity import recorded
from ...runtime.blas import SINGLE_THREADED_BLAS
from ...runtime.faults import retried
from ...runtime.memory import EDITED_ROWS
from ...storage.derived.edited import EditedFiles, Rectangle
from ...storage.store import Store

__all__ = ["match_views"]


@retried
def match_views(url: str, rectangle: Rectangle, run: str) -> int:
    """Find the candidates of a rectangle of blocks, and commit them; memory as `candidates.find_candidates` says.

    Returns
    -------
    Number of pairs.
    """
    store = Store(url, run)
    files = EditedFiles(store)
    what = {"rows": rectangle.rows.start, "columns": rectangle.columns.start}
    with recorded(store.files, run, "views", **what) as amounts, SINGLE_THREADED_BLAS:
        rows, columns = (_images(store, blocks) for blocks in rectangle)
        others = Columns.joined([Columns.of(_read(files, some)) for some in _parts(columns)])
        found = [find_candidates(_read(files, some), others) for some in _parts(rows)]
        files.write_candidates(rectangle, nearest(Candidates.joined(found)).stored())
        amounts.pairs = len(rows) * len(columns)
    return amounts.pairs


def _images(store: Store, blocks: range) -> NDArray[np.int64]:
    size, counts = store.thumbnail_settings.block_size, store.rows()
    return np.concatenate([np.arange(block * size, block * size + counts[block]) for block in blocks])


def _parts(images: NDArray[np.int64]) -> Iterator[NDArray[np.int64]]:
    """Give images in parts, as a block may have more than a task has memory for."""
    for start in range(0, len(images), EDITED_ROWS):
        yield images[start : start + EDITED_ROWS]


def _read(files: EditedFiles, images: NDArray[np.int64]) -> Contents:
    return Contents.unpacked(images, files.read_contents(images, CONTENT_BYTES))
