"""The stage "calibrate": copies of some images of a collection → their distances from all images of it."""

import uuid
from collections.abc import Iterator

import numpy as np
from distributed import Client, Future
from numpy.typing import NDArray

from ..errors import UsageError
from ..runtime.activity import stage
from ..runtime.waves import run_in_waves
from ..runtime.workers import capacity
from ..storage.derived.calibrations import CalibrationFiles
from ..storage.store import Store
from ..tasks.copies.make_copies import make_copies
from ..tasks.copies.measure_copies import measure_copies
from .thumbnails import end_readers

__all__ = ["choose_sample", "copy_images", "measure_blocks"]

# Images that a task copies: half a second of work.
_AT_ONCE = 4


def choose_sample(store: Store, size: int) -> NDArray[np.int64]:
    """Choose images to copy, the same ones for the same pictures: those whose contents have the smallest hashes.

    Raises
    ------
    UsageError
        If the store has no picture that was read.
    """
    frame = store.read_images(["image", "current", "error", "frames", "content_hash"])
    frame = frame[frame.current & frame.error.isna() & (frame.frames <= 1)]
    if frame.empty:
        raise UsageError(f"the store {store.url} has no pictures to copy; find reads them")
    ordered = frame.sort_values(["content_hash", "image"], kind="stable").drop_duplicates("content_hash")
    return np.sort(ordered.image.head(size).to_numpy(np.int64))


def copy_images(store: Store, client: Client, files: CalibrationFiles) -> Iterator[int]:
    """Make the copies that are not made yet; those of an image are committed together.

    Yields
    ------
    int
        Images of a task.
    """
    left, keys = files.uncopied(), uuid.uuid4().hex[:8]
    try:
        with stage(store.files, "copies") as run:

            def submit(first: int) -> list[Future]:
                arguments = store.url, files.kinds, files.images, left[first : first + _AT_ONCE], run
                return [client.submit(make_copies, *arguments, key=f"copies-{keys}-{first}")]

            starts = range(0, len(left), _AT_ONCE)
            for future in run_in_waves(client, starts, submit, in_flight=2 * capacity(client).threads):
                yield int(future.result())
    finally:
        end_readers(client)


def measure_blocks(store: Store, client: Client, files: CalibrationFiles) -> Iterator[int]:
    """Compare the copies with the blocks that they were not compared with; a block is committed when its task ends.

    Yields
    ------
    int
        Pairs of a task.
    """
    keys = uuid.uuid4().hex[:8]
    with stage(store.files, "calibrate") as run:

        def submit(block: int) -> list[Future]:
            arguments = store.url, files.kinds, files.images, block, run
            return [client.submit(measure_copies, *arguments, key=f"calibrate-{keys}-{block}")]

        for future in run_in_waves(client, files.unmeasured(), submit, in_flight=2 * capacity(client).threads):
            yield int(future.result())
