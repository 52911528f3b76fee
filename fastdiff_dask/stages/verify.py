"""The stage "verify": pairs that the thumbnails call similar → verdicts of a second look at both files."""

import uuid
from collections.abc import Iterator

import numpy as np
from distributed import Client, Future
from numpy.typing import NDArray

from ..config import ReadSettings
from ..runtime.activity import stage
from ..runtime.waves import run_in_waves
from ..runtime.workers import capacity
from ..storage.store import Store
from ..tasks.copies.look_at_pairs import look_at_pairs

__all__ = ["verify_pairs"]

# Pairs of a task: many, as each commits a file, and few enough that a kill loses some seconds of work.
_SMALLEST, _LARGEST = 8, 128


def verify_pairs(
    store: Store, client: Client, pairs: NDArray[np.int64], size: int, limits: ReadSettings, most: int | None = None
) -> Iterator[int]:
    """Look at pairs of images again; the verdicts of a task are committed as soon as it ends.

    Memory: on a worker thread two decoded pictures of at most `size` pixels a side, beside a decoder process as in
    `thumbnails.read_blocks`. Time: that of decoding both files, and some 5 ms for a comparison of 512 × 512 pixels.

    Parameters
    ----------
    store
        The store, locked for writing.
    client
        Client of the cluster; its workers see the files and the store under the same paths.
    pairs
        (k, 3) int64, see `look_at_pairs`. Pairs that follow each other and share an image cost less.
    size
        Pixels of the longer side of a picture, at most.
    limits
        Limits of reading a file.
    most
        Largest number of tasks at once; by default the number of threads.

    Yields
    ------
    int
        Pairs of a task.
    """
    threads = capacity(client).threads
    each = min(max(len(pairs) // (4 * threads), _SMALLEST), _LARGEST)
    keys = uuid.uuid4().hex[:8]
    with stage(store.files, "verify", len(pairs)) as run:

        def submit(first: int) -> list[Future]:
            some, key = pairs[first : first + each], f"verify-{keys}-{first}"
            return [client.submit(look_at_pairs, store.url, some, size, limits, run, key=key)]

        for future in run_in_waves(client, range(0, len(pairs), each), submit, in_flight=2 * threads, most=most):
            yield int(future.result())
