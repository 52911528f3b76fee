"""Align the contents of candidates, and commit how well they fit."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ...edits.alignment import align
from ...edits.borders import CONTENT
from ...edits.candidates import Candidates, channel_boxes
from ...edits.contents import CONTENT_BYTES, Contents
from ...runtime.activity import recorded
from ...runtime.blas import SINGLE_THREADED_BLAS
from ...runtime.faults import retried
from ...storage.derived.edited import EditedFiles
from ...storage.store import Store

__all__ = ["align_pairs"]


@retried
def align_pairs(url: str, candidates: NDArray[np.int64], run: str) -> int:
    """Align some candidates, and commit the alignments.

    Parameters
    ----------
    url
        The store.
    candidates
        (k, 5) int64, see `Candidates.stored`.
    run
        The run that `activity.stage` gave.

    Returns
    -------
    Number of candidates.
    """
    store = Store(url, run)
    files = EditedFiles(store)
    with recorded(store.files, run, "align", pairs=len(candidates)) as amounts, SINGLE_THREADED_BLAS:
        some = Candidates.of_stored(candidates)
        images, places = np.unique(np.concatenate([some.a, some.b]), return_inverse=True)
        known = Contents.unpacked(images, files.read_contents(images, CONTENT_BYTES))
        a, b = known.at(places[: len(some.a)]), known.at(places[len(some.a) :])
        parts = channel_boxes(some, a.boxes, b.boxes)
        found = align(a.contents, b.contents, *parts, some.transform)
        matrices = _of_images(found.matrices, a.boxes, b.boxes).reshape(-1, 6)
        values = {"a": some.a, "b": some.b, "score": found.scores, "coverage": found.coverage}
        files.write_aligned(pd.DataFrame(values | {f"m{place}": matrices[:, place] for place in range(6)}))
        amounts.pairs = len(candidates)
    return len(candidates)


def _of_images(
    matrices: NDArray[np.float64], boxes_a: NDArray[np.uint8], boxes_b: NDArray[np.uint8]
) -> NDArray[np.float64]:
    """Turn matrices between shares of contents into those between shares of images: (k, 2, 3)."""
    squares = np.zeros((len(matrices), 3, 3))
    squares[:, :2], squares[:, 2, 2] = matrices, 1
    return (_to_image(boxes_a) @ squares @ np.linalg.inv(_to_image(boxes_b)))[:, :2]


def _to_image(boxes: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Matrices (k, 3, 3) from shares of a content to shares of its image."""
    low, high = boxes[:, :2] / CONTENT, boxes[:, 2:] / CONTENT
    squares = np.zeros((len(boxes), 3, 3))
    squares[:, 0, 0], squares[:, 1, 1] = (high - low).T
    squares[:, :2, 2], squares[:, 2, 2] = low, 1
    return squares
