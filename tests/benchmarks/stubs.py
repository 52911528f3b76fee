"""Tasks that do nothing but commit, in place of reading and comparing: what is left is what Dask and the store cost."""

from typing import Any

import numpy as np

from fastdiff_dask.config import CompareSettings
from fastdiff_dask.kernels.bounds import SearchCounts
from fastdiff_dask.storage.comparisons import Comparison
from fastdiff_dask.storage.pairs import PairWriter
from fastdiff_dask.storage.plans import Part
from fastdiff_dask.storage.store import Store
from fastdiff_dask.tasks.compare_tile import Compared

__all__ = ["compare_tile", "read_block"]


def read_block(url: str, block: int, rows: int, limits: Any, hashing: Any, run: str) -> int:
    """Read nothing, and commit a block whose chunk is empty."""
    Store(url, run).arrays.write_plain("thumbnails", block, np.zeros((0, 1, 1, 1), np.uint8))
    return 0


def compare_tile(
    url: str, settings: CompareSettings, parts: list[Part], task: Any, measure: None, run: str = "", gpu: bool = False
) -> Compared:
    """Commit a tile in which nothing is similar."""
    PairWriter(Comparison(Store(url, run), settings), parts[-1], task.number).commit(SearchCounts())
    return Compared(0, 0)
