"""Look at pairs of images once more: both files are decoded to hundreds of pixels and compared block by block."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ...config import ReadSettings
from ...images.decoder_pool import reader
from ...runtime.activity import recorded
from ...runtime.faults import retried
from ...storage.derived.verdicts import write_verdicts
from ...storage.store import Store
from .looking import LOOK_COLUMNS, Looking

__all__ = ["look_at_pairs", "looked_at"]


@retried
def look_at_pairs(url: str, pairs: NDArray[np.int64], size: int, limits: ReadSettings, run: str) -> int:
    """Look at some pairs, and commit their verdicts.

    Parameters
    ----------
    url
        The store.
    pairs
        (k, 3) int64: numbers of the images a and b, and the transforms of a that are best, as a bit mask.
    size
        Pixels of the longer side of a picture, at most.
    limits
        Limits of reading a file.
    run
        The run that `activity.stage` gave.

    Returns
    -------
    Number of pairs.
    """
    store = Store(url, run)
    with recorded(store.files, run, "verify", pairs=len(pairs)) as amounts:
        write_verdicts(store, looked_at(store, pairs, size, limits))
        amounts.pairs = len(pairs)
    return len(pairs)


def looked_at(store: Store, pairs: NDArray[np.int64], size: int, limits: ReadSettings) -> pd.DataFrame:
    """Look at some pairs; gives a row for each pair whose files are as they were compared, see `Verdicts`."""
    numbers = np.unique(pairs[:, :2])
    images = store.image_rows(numbers, list(LOOK_COLUMNS)).set_axis(numbers)
    rows = {row.Index: row for row in images.itertuples()}
    found = []
    with reader() as decoder:
        looking = Looking(decoder, rows, limits)
        for a, b, mask in pairs.tolist():
            look = looking.pair(a, b, mask, size)
            if look is not None:
                made = looking.which_was_made(a, b, look)
                found.append((min(a, b), max(a, b), look.verdict, look.block, size, made))
    return pd.DataFrame(found, columns=["a", "b", "verdict", "block", "size", "made"])
