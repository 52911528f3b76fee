"""Copy the vectors of the images of a block from another store."""

import numpy as np

from ..errors import FastDiffError
from ..runtime.activity import recorded
from ..runtime.faults import retried
from ..storage.derived.vectors import Vectors
from ..storage.store import Store

__all__ = ["copy_vectors"]


@retried
def copy_vectors(url: str, urls: dict[str, str], name: str, block: int, run: str = "") -> int:
    """Copy the vectors of the images of a block from the store of its side, and commit them.

    Images without a picture have none. Memory: the vectors of a block, twice.

    Parameters
    ----------
    url, urls
        The store, whose thumbnails were copied; and the two stores by side.
    name
        Name of the vectors.
    block
        Number of the block.
    run
        What `activity.stage` gave.

    Returns
    -------
    Number of images with a vector.

    Raises
    ------
    FastDiffError
        If the vectors are not there any more.
    """
    store = Store(url, run)
    with recorded(store.files, run, "encode", block=block) as amounts:
        frame = store.read_partition(block, ["side", "source", "error"])
        vectors, source = Vectors(store, name), Vectors(Store(urls[str(frame.side.iloc[0])], run), name)
        kind = vectors.kind()
        if kind is None or source.kind() != kind:
            raise FastDiffError(f"the vectors {name!r} of {source.store.url} were replaced meanwhile; run it again")
        readable = frame.error.isna().to_numpy()
        values, there = np.zeros((len(frame), *kind.shape), kind.dtype), np.zeros(len(frame), bool)
        values[readable], there[readable] = source.rows(frame.source.to_numpy(np.int64)[readable])
        vectors.write(block, values, there)
        amounts.images = int(there.sum())
    return amounts.images
