"""Pair filters over a whole collection: the number of pairs that they leave, and the images with equal hashes."""

import os
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..config import CompareSettings, ThumbnailSettings
from ..errors import UsageError
from ..kernels.hashes import find_copies
from ..kernels.pair_filters import PairFilters, picture_keys
from ..kernels.transforms import available_transforms
from ..text import printable
from ..urls import full_path
from .derived.vectors import Vectors
from .pending import hashing_of
from .schema import FILE_NAME
from .store import Store

__all__ = ["Images", "count_wanted", "current_images", "hash_partners", "images_to_plan", "read_keys", "turns_of"]


class Images(NamedTuple):
    """Images: their numbers (n,), whether they are on side b (n,), their keys (n, k); those of side a first."""

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
        The settings of a comparison with pair filters.
    keys
        Their keys, as `selection.read_keys` gives them.

    Returns
    -------
    The images, those of side a first.

    Raises
    ------
    UsageError
        If the comparison was by other hashes than the images have now.
    """
    if PairFilters.of(settings).hashes and (made := hashing_of(store)) not in ("", settings.hashes):
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
    """Count the pairs of images that the filters of a comparison leave.

    Time grows with the number of images and its logarithm; memory: about 200 bytes an image.
    """
    filters = PairFilters.of(settings)
    if not two_sides:
        return filters.allowed(current.keys).pairs()
    return filters.allowed(current.keys[~current.on_b], current.keys[current.on_b]).pairs()


def hash_partners(current: Images, settings: CompareSettings, two_sides: bool) -> Images:
    """Find the images that have a partner with an equal hash and an allowed shape; costs as `count_wanted`."""
    pairs = PairFilters.of(settings).equal_hashes(current.keys, current.on_b if two_sides else None)
    rows = np.unique(pairs)
    return Images(current.numbers[rows], current.on_b[rows], current.keys[rows])


def turns_of(settings: CompareSettings, thumbnails: ThumbnailSettings) -> tuple[int, ...]:
    """Turns after which thumbnails count as equal, so that one of them is compared for all: none but for MSE."""
    height, width, _ = thumbnails.shape
    return available_transforms(height, width, rotations=settings.rotations)


def read_keys(store: Store, settings: CompareSettings) -> NDArray[np.int64]:
    """Make the keys of all images for pair filters, by their number; 0 where a block has no image."""
    size = store.thumbnail_settings.block_size
    filters = PairFilters.of(settings)
    keys = np.zeros((store.blocks * size, filters.key_values), np.int64)
    columns = ["width", "height", *([filters.hash_column] if filters.hashes else [])]
    columns += FILE_NAME if filters.folders else []
    for block in range(store.blocks):
        frame = store.read_partition(block, columns)
        width, height = (frame[name].to_numpy(np.int64) for name in ("width", "height"))
        hashes = frame[filters.hash_column].tolist() if filters.hashes else None
        keys[block * size : block * size + len(frame)] = picture_keys(width, height, hashes, _folders(frame, filters))
    return keys


def _folders(images: pd.DataFrame, filters: PairFilters) -> list[str] | None:
    """Absolute paths of the folders of images, if filters use them."""
    if not filters.folders:
        return None
    names = (full_path(row.root, row.path, row.path_bytes) for row in images.itertuples())
    return [os.path.dirname(name) for name in names]  # noqa: PTH120 - names may be undecodable


def images_to_plan(
    store: Store, settings: CompareSettings, generations: range, side: str, keys: NDArray[np.int64] | None
) -> NDArray[np.int64]:
    """Numbers of the images of a side that are compared and new in these generations, ascending."""
    size = store.thumbnail_settings.block_size
    of_side = np.zeros(store.blocks * size, bool)
    first = store.generations[generations.start].a.start * size
    for generation in store.generations[: generations.stop]:
        blocks = generation.a if side == "a" else generation.b
        of_side[blocks.start * size : blocks.stop * size] = True
    numbers = np.flatnonzero(of_side)
    digests = store.arrays.read_digests()[numbers]
    # a function of the user's may tell equal thumbnails apart from themselves, so each image is compared
    if not settings.by_signatures:
        kept = np.flatnonzero(digests.any(axis=(1, 2)))
        if settings.vectors:
            kept = kept[Vectors(store, settings.vectors).there(numbers[kept])]
    else:
        kinds = None if keys is None else PairFilters.of(settings).kinds(keys[numbers])
        kept = find_copies(digests, turns_of(settings, store.thumbnail_settings), kinds).representatives
    return numbers[kept][numbers[kept] >= first]
