"""The section of a report on the data set: what is remarkable, with some pictures of each kind."""

from typing import Any

import numpy as np

from ...inspection.definitions import FIGURE_OF, ISSUES, Limits
from ...inspection.inspection import Example, Inspection, inspect_images
from ...results.result import Result
from ...results.stored import roots_of_store
from ...storage.store import Store
from ...text import counted, printable
from ...urls import common_folder
from .report_edited import encoded_thumbnail, stored_thumbnails

__all__ = ["issues_section"]

# Pairs across parts of the data set that are listed.
_LEAKS = 20
# Room of a picture, in pixels of the page.
_WIDTH, _HEIGHT = 132, 99


def issues_section(store: Store, result: Result) -> dict[str, Any]:
    """Look at all images by the usual limits, and give what is remarkable, with at most five pictures of each kind.

    Parameters
    ----------
    store, result
        The store, and a result of it, whose pairs count for near equal images and leaks.

    Returns
    -------
    kinds, each with name, count, rule and pictures (name, figure, data); leaks (text); and a line about what is not
    known.
    """
    inspection = inspect_images(store, roots_of_store(store), Limits(), (), result)
    counts = inspection.counts
    numbers = np.unique([one.image for issue in ISSUES for one in inspection.examples(issue)]).astype(np.int64)
    encoded = dict(zip(numbers.tolist(), map(encoded_thumbnail, stored_thumbnails(store, numbers)), strict=True))
    paths = [one.path for issue in ISSUES for one in inspection.examples(issue)]
    folder = common_folder([*paths, *inspection.leaks.a, *inspection.leaks.b])
    start = len(folder) + 1 if folder else 0
    kinds = [
        {
            "name": issue.replace("_", " "),
            "count": f"{counts[issue]:,}",
            "rule": inspection.rule(issue),
            "pictures": [
                {
                    "name": printable(one.path[start:]),
                    "figure": f"{FIGURE_OF[issue].replace('_', ' ')} {one.figure:.3g}",
                    "data": encoded[one.image],
                    "size": _size(one),
                }
                for one in inspection.examples(issue)
            ],
        }
        for issue in ISSUES
        if counts[issue]
    ]
    return {"kinds": kinds, "leaks": _leaks(inspection, start), "unknown": _unknown(counts)}


def _size(one: Example) -> str:
    """Size on the page, in the shape of the picture: its thumbnail has another one."""
    shape = max(one.width, 1) / max(one.height, 1)
    return f"width: {min(_WIDTH, _HEIGHT * shape):.1f}px; height: {min(_HEIGHT, _WIDTH / shape):.1f}px"


def _leaks(inspection: Inspection, start: int) -> list[str]:
    lines = [
        f"{row.split_a}: {printable(row.a[start:])}, {row.split_b}: {printable(row.b[start:])} ({row.verdict})"
        for row in inspection.leaks.head(_LEAKS).itertuples()
    ]
    more = inspection.leak_pairs - len(lines)
    return [*lines, f"and {counted(more, 'more pair')}"] if more else lines


def _unknown(counts: dict[str, int]) -> str:
    missing = counts["unmeasured"] or counts["unblurred"]
    told = f"Not all figures of {counted(missing, 'image')} are known; fastdiff-dask inspect completes them."
    return told if missing else ""
