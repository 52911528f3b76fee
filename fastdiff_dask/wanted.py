"""What short cuts mean for a whole collection: how many pairs they leave, and which images have equal hashes."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .config import CompareSettings
from .errors import UsageError, printable
from .shortcuts import ShortCuts
from .store import Store
from .thumbnails import hashing_of

__all__ = ["Images", "count_wanted", "current_images", "hash_partners"]


class Images(NamedTuple):
    """Images: their numbers (n,), whether they are on side b (n,), their keys (n, 4); those of side a first."""

    numbers: NDArray[np.int64]
    on_b: NDArray[np.bool_]
    keys: NDArray[np.int64]


def current_images(store: Store, settings: CompareSettings, keys: NDArray[np.int64]) -> Images:
    """The current images that could be read.

    Parameters
    ----------
    store
        The store.
    settings
        Those of a comparison with short cuts.
    keys
        What `planning.read_keys` gives for them.

    Raises
    ------
    UsageError
        If the comparison was by other hashes than the images have now.
    """
    if ShortCuts.of(settings).hashes and (made := hashing_of(store)) not in ("", settings.hashes):
        raise UsageError(
            f"pairs were compared by hashes of {printable(settings.hashes)} and the images have those of "
            f"{printable(made)}; compare them again, or call first_loop_iteration() with the former function and amount"
        )
    size = store.thumbnail_settings.block_size
    sides: tuple[list[NDArray[np.int64]], list[NDArray[np.int64]]] = ([], [])
    for generation in store.generations:
        for block in generation.blocks:
            frame = store.read_partition(block, ["current", "error"])
            rows = np.flatnonzero(frame.current & frame.error.isna())
            sides[block in generation.b].append(rows + block * size)
    a, b = (np.concatenate([np.zeros(0, np.int64), *numbers]) for numbers in sides)
    numbers = np.concatenate([a, b])
    return Images(numbers, np.arange(len(numbers)) >= len(a), keys[numbers])


def count_wanted(current: Images, settings: CompareSettings, two_sides: bool) -> int:
    """Count the pairs of images that the short cuts of a comparison leave.

    Time grows with the number of images and its logarithm; memory: about 200 bytes an image.
    """
    shortcuts = ShortCuts.of(settings)
    if not two_sides:
        return shortcuts.allowed(current.keys).pairs()
    return shortcuts.allowed(current.keys[~current.on_b], current.keys[current.on_b]).pairs()


def hash_partners(current: Images, settings: CompareSettings, two_sides: bool) -> Images:
    """Find the images that have a partner with an equal hash and an allowed shape; costs as `count_wanted`."""
    pairs = ShortCuts.of(settings).equal_hashes(current.keys, current.on_b if two_sides else None)
    rows = np.unique(pairs)
    return Images(current.numbers[rows], current.on_b[rows], current.keys[rows])
