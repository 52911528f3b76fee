"""Find the nearest neighbours of a block of images, and commit them."""

from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...kernels.nearest.thumbnails import ImagesInOrder, nearest_thumbnails
from ...kernels.transforms import available_transforms
from ...runtime.activity import recorded
from ...runtime.blas import SINGLE_THREADED_BLAS
from ...runtime.faults import retried
from ...storage.derived.neighbour_files import NeighbourFiles, NeighbourSettings
from ...storage.store import Store
from .held import held_by_process
from .vector_block import nearest_vectors

__all__ = ["nearest_block"]


@retried
def nearest_block(
    url: str, settings: NeighbourSettings, digest: str, number: int, bytes_per_task: int, run: str
) -> int:
    """Find the neighbours of the images of a block, and commit them.

    Memory: 76 bytes an image of the store, once a process; what it holds of signatures and low frequencies, half of
    that of a task and at most 1 GB; and 200 MB. Of vectors, see `vector_block.nearest_vectors`.

    Parameters
    ----------
    url, settings, digest
        As for `order_images.order_images`, which has ended.
    number
        Number of the block.
    bytes_per_task
        Memory of a task; 0: no limit.
    run
        The run that `activity.stage` gave.

    Returns
    -------
    Number of images of the block.
    """
    store = Store(url, run)
    files = NeighbourFiles(store, settings, digest)
    places = files.blocks()[number]
    with recorded(store.files, run, "neighbours", block=number) as amounts:
        if number not in files.finished():
            files.write_block(number, _nearest(files, settings, places, bytes_per_task, run))
        amounts.images = len(places)
    return len(places)


def _nearest(
    files: NeighbourFiles, settings: NeighbourSettings, places: range, bytes_per_task: int, run: str
) -> NDArray[np.int64]:
    held = held_by_process(bytes_per_task)
    if settings.vectors:
        return nearest_vectors(files, places, held, run)
    store = files.store
    height, width, channels = store.thumbnail_settings.shape
    transforms = available_transforms(height, width, rotations=settings.rotations, mirror=settings.mirror)
    sides = _sides(store.url, settings, files.digest, run)
    queries, others = sides["a"], sides[files.other_side]
    shape, name = (height, width, channels), (store.url, files.digest, run, transforms)
    with SINGLE_THREADED_BLAS:
        found = nearest_thumbnails(queries, places, others, settings.k, shape, transforms, held, name)
    return np.stack([found.numbers, found.errors, found.masks.astype(np.int64)], axis=2)


@lru_cache(maxsize=2)
def _sides(url: str, settings: NeighbourSettings, digest: str, run: str) -> dict[str, ImagesInOrder]:
    """Give the images of both sides in their order; read once a process and run."""
    files = NeighbourFiles(Store(url), settings, digest)

    def side(name: str) -> ImagesInOrder:
        signatures: Any = lambda places: files.read_signatures(name, places)  # noqa: E731
        return ImagesInOrder(
            files.read_order(name), files.read_leading(name), signatures, files.store.arrays.thumbnail_rows
        )

    return {name: side(name) for name in {"a", files.other_side}}
