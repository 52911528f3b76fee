"""What short cuts mean for a whole collection: how many pairs they leave, and which images have equal hashes."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .config import CompareSettings
from .errors import UsageError
from .images import printable
from .planning import read_keys
from .shortcuts import ShortCuts
from .store import Store
from .thumbnails import hashing_of

__all__ = ["Images", "count_wanted", "hash_partners"]


class Images(NamedTuple):
    """Images: their numbers (n,), whether they are on side b (n,), their keys (n, 4); those of side a first."""

    numbers: NDArray[np.int64]
    on_b: NDArray[np.bool_]
    keys: NDArray[np.int64]


def _current(store: Store, settings: CompareSettings) -> Images:
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
    return Images(numbers, np.arange(len(numbers)) >= len(a), read_keys(store, settings)[numbers])


def count_wanted(store: Store, settings: CompareSettings) -> int:
    """Count the pairs of current images that the short cuts of a comparison leave.

    Time grows with the number of images and its logarithm; memory: about 200 bytes an image.
    """
    current, shortcuts = _current(store, settings), ShortCuts.of(settings)
    if not store.two_sides:
        return shortcuts.allowed(current.keys).pairs()
    return shortcuts.allowed(current.keys[~current.on_b], current.keys[current.on_b]).pairs()


def hash_partners(store: Store, settings: CompareSettings) -> Images:
    """Find the current images that have a partner with an equal hash and an allowed shape; costs as `count_wanted`."""
    current = _current(store, settings)
    pairs = ShortCuts.of(settings).equal_hashes(current.keys, current.on_b if store.two_sides else None)
    rows = np.unique(pairs)
    return Images(current.numbers[rows], current.on_b[rows], current.keys[rows])
