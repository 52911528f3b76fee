"""Compare all views of the images of some blocks with the images of others, and commit the candidates."""

import numpy as np

from ..edits.candidates import CONTENT_BYTES, Columns, Contents, find_candidates
from ..runtime.activity import recorded
from ..runtime.blas import SINGLE_THREADED_BLAS
from ..runtime.faults import retried
from ..storage.edited import EditedFiles, Rectangle
from ..storage.store import Store

__all__ = ["match_views"]


@retried
def match_views(url: str, rectangle: Rectangle, run: str) -> int:
    """Find the candidates of a rectangle of blocks, and commit them; memory as `candidates.find_candidates` says.

    Returns
    -------
    Number of pairs.
    """
    store = Store(url, run)
    files = EditedFiles(store, CONTENT_BYTES)
    what = {"rows": rectangle.rows.start, "columns": rectangle.columns.start}
    with recorded(store.files, run, "views", **what) as amounts, SINGLE_THREADED_BLAS:
        rows = _read(store, files, rectangle.rows)
        columns = Columns.joined(
            [Columns.of(_read(store, files, range(block, block + 1))) for block in rectangle.columns]
        )
        files.write_candidates(rectangle, find_candidates(rows, columns).stored())
        amounts.pairs = len(rows.images) * len(columns.images)
    return amounts.pairs


def _read(store: Store, files: EditedFiles, blocks: range) -> Contents:
    size, counts = store.thumbnail_settings.block_size, store.rows()
    images = np.concatenate([np.arange(block * size, block * size + counts[block]) for block in blocks])
    return Contents.unpacked(images, files.read_contents(images))
