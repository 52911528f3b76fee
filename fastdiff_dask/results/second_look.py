"""Pairs of a result that nobody looked at twice yet: looked at now, by threads of this process."""

import contextlib
import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..config import ReadSettings
from ..errors import FastDiffError
from ..images.decoder_pool import close_readers
from ..storage.derived.verdicts import read_verdicts, write_verdicts
from ..storage.store import Store
from ..tasks.copies.look_at_pairs import looked_at
from .result import Result
from .verdicts import pairs_to_look_at

__all__ = ["look_again"]

_AT_ONCE = 16


def look_again(store: Store, result: Result, ends: NDArray[np.int64], size: int) -> Result:
    """Look at some pairs of a result that were not looked at yet, and keep what is seen in the store if it is free.

    Parameters
    ----------
    store, result
        The store, and a result of it.
    ends
        (k, 2) int64: rows of `Result.images`.
    size
        Pixels of the longer side of a picture, at most.

    Returns
    -------
    The result with the new verdicts.
    """
    pairs = pairs_to_look_at(result.groups.exactly(*ends.T), result.verdicts, size)
    if not len(pairs):
        return result
    parts = [pairs[start : start + _AT_ONCE] for start in range(0, len(pairs), _AT_ONCE)]
    try:
        with ThreadPoolExecutor(os.cpu_count() or 1) as threads:
            found = list(threads.map(lambda some: looked_at(store, some, size, ReadSettings()), parts))
    finally:
        close_readers()
    frame = pd.concat(found, ignore_index=True)
    with contextlib.suppress(FastDiffError), Store.lock(store.url):  # another process writes now, or nobody may
        write_verdicts(store, frame)
    return result.with_verdicts(read_verdicts(store, frame))
