"""Plan of the images to compare, their order and their tiles: made once, recorded, and used again."""

import math
from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..config import CompareSettings, ThumbnailSettings
from ..kernels.bounds import BOX_VALUES
from ..kernels.grid import (
    LARGEST_SIDE,
    LARGEST_SUB_BLOCK,
    PREPARED_TILES,
    SLOW_TILES,
    SUB_BLOCK,
    SUB_BLOCKS,
    UNKNOWN_SUB_BLOCK,
    binned_order,
    choose_tile_side,
    kd_order,
    split,
)
from ..kernels.pair_filters import PairFilters
from ..kernels.signatures import as_mirrored, leading_values, normalised_signatures, signature_length
from ..kernels.similarity import chunk_rows
from ..runtime.faults import retried
from ..runtime.memory import sub_block_bytes, vector_sub_block_bytes, verify_bytes
from ..storage.comparisons import Comparison
from ..storage.derived.vectors import Vectors
from ..storage.pending import unplanned
from ..storage.plans import Part
from ..storage.selection import images_to_plan, read_keys
from ..storage.store import Store
from .vector_signatures import make_projection, read_projection, usable_images, vector_signatures

__all__ = ["plan_part"]

# Bytes of signatures that are put in order at a time, at least, and bytes for each image. Each block is opened for each
# such part, and read as a whole: half a second for a million images, where row by row it takes eight. The second number
# holds the parts to nine, however many images there are.
_ORDERED_BYTES, _ORDERED_SHARE = 1 << 27, 64
# Images whose signatures are normalised at a time.
_NORMALISED = 1 << 14
# Images whose signatures of vectors are held while they are put in order: 512 MB; of more, they are computed again.
_HELD = 1 << 20
# Bytes of the features of a sub-block.
_FEATURES_AT_ONCE = 64_000_000
# Images along a tile whose hashes are compared: an index of the hashes pays the more, the more they are, and a tile in
# which all bits are counted takes a minute or two. Bytes that a tile holds for each byte of a hash, and for an image.
_HASHES_ALONG, _HASH_COPIES, _HASH_BYTES = 1 << 17, 5, 400


@retried
def plan_part(
    url: str,
    settings: CompareSettings,
    threads: int,
    bytes_per_task: int,
    tile_side: int | None = None,
    sub_block: int | None = None,
    run: str = "",
    largest_side: int = LARGEST_SIDE,
    feature_bytes: int = 0,
) -> Part:
    """Plan all generations that have no plan yet, as one part, and record it.

    Of equal thumbnails, turned or not, the first one stands for all, see `hashes.find_copies`. Signatures are
    put into a k-d order, cut into sub-blocks, and stored in this order beside the plan.

    With pair filters, partners are neighbours in that order first, and only images with equal keys are copies.

    Memory: 64 bytes an image of the store for the digests and about 150 to find copies; 240 an image of the part for
    the order, and 128 an image, or 256 MB, to write it; with pair filters 32 an image of the store. For vectors 512 an
    image, up to a million of them, twice.

    Parameters
    ----------
    url, settings
        The store, whose thumbnails are finished, and the comparison.
    threads, bytes_per_task
        What the workers offer: tasks at a time, and memory for each (0: no limit).
    tile_side, sub_block
        Sub-blocks along the side of a tile, and images in a sub-block, if not as they fit.
    run
        What `activity.stage` gave.
    largest_side
        Sub-blocks along the side of a tile, at most, where that does not make too many of them.
    feature_bytes
        Bytes of the features of an image, over all transforms, if these are compared; else 0.

    Returns
    -------
    The part.
    """
    store = Store(url, run)
    if run:
        store.files.begin_run()  # a worker that was taken for dead may be at it still, and stops at its next write
    comparison = Comparison(store, settings)
    generations, parts = unplanned(comparison), comparison.parts()
    if not generations:
        return parts[-1]  # by a worker that died before it could say so
    keys = read_keys(store, settings) if PairFilters.of(settings) else None
    images = {side: images_to_plan(store, settings, generations, side, keys) for side in ("a", "b")}
    if settings.by_directions:
        images = {side: usable_images(store, settings, numbers) for side, numbers in images.items()}
    largest = max(map(len, images.values()))
    size = sub_block or _sub_block(settings, store.thumbnail_settings, feature_bytes)
    least = _least_tiles(settings, feature_bytes)
    fitting = _fitting(comparison, size, feature_bytes, bytes_per_task) or largest + 1
    if settings.by_hashes:
        largest_side = max(1, _HASHES_ALONG // size)
    # with the former parts: a few new images meet all old ones, in tiles that are long then
    along = sum(-(-max(part.images_a, part.images_b) // part.sub_block) for part in parts) + -(-largest // size)
    side = tile_side or min(choose_tile_side(along, threads, fitting, largest_side), max(1, along // least))
    part = Part(generations, len(images["a"]), len(images["b"]), size, side)
    comparison.begin(part)
    if settings.by_directions and largest:
        make_projection(store, settings.vectors, settings.measure, max(images.values(), key=len))
    for name, numbers in images.items():
        some = None if keys is None else keys[numbers]
        places, signatures = _ordered(store, settings, numbers, size, some)
        comparison.write_order(part, name, numbers[places], signatures, None if some is None else some[places])
    comparison.record_part(part)
    return part


def _usual_sub_block(settings: CompareSettings) -> int:
    return SUB_BLOCK if settings.by_directions else SUB_BLOCKS.get(settings.measure, UNKNOWN_SUB_BLOCK)


def _fitting(comparison: Comparison, size: int, feature_bytes: int, bytes_per_task: int) -> int:
    """Sub-blocks of so many images along the side of a tile that fit into a worker's memory; 0 for no limit."""
    if not bytes_per_task:
        return 0
    settings, thumbnails = comparison.settings, comparison.store.thumbnail_settings
    kind = Vectors(comparison.store, settings.vectors).kind() if settings.vectors else None
    needed = sub_block_bytes(thumbnails, size)
    if settings.by_hashes:
        hash_bytes = feature_bytes if kind is None else kind.bytes
        needed = max(needed, size * (_HASH_COPIES * hash_bytes + _HASH_BYTES))
    elif kind is not None:
        needed = vector_sub_block_bytes(kind.shape[0], kind.bytes, size)
    return max(1, (bytes_per_task - verify_bytes(thumbnails)) // needed)


def _least_tiles(settings: CompareSettings, feature_bytes: int) -> int:
    """Least tiles along the matrix, if there are so many sub-blocks."""
    if settings.by_hashes or settings.by_directions:
        return 1
    if feature_bytes:
        return PREPARED_TILES
    return 1 if _usual_sub_block(settings) >= SUB_BLOCK else SLOW_TILES


def _sub_block(settings: CompareSettings, thumbnails: ThumbnailSettings, feature_bytes: int) -> int:
    """Images in a sub-block."""
    if settings.by_hashes:
        return LARGEST_SUB_BLOCK
    if settings.by_directions:
        return SUB_BLOCK
    if feature_bytes:
        return max(1, min(SUB_BLOCK, _FEATURES_AT_ONCE // feature_bytes))
    return min(_usual_sub_block(settings), _direct_rows(settings, thumbnails))


def _ordered(
    store: Store, settings: CompareSettings, images: NDArray[np.int64], size: int, keys: NDArray[np.int64] | None
) -> tuple[NDArray[np.int64], Iterator[Any]]:
    """Order of some images in which neighbours are alike, and their signatures in this order, some at a time.

    The order is one of places among the images; images with like keys stay together.
    """
    bins = None if keys is None else PairFilters.of(settings).bins(keys)
    if not settings.by_signatures and not settings.by_directions:
        return np.arange(len(images)) if bins is None else np.argsort(bins, kind="stable"), iter(())
    # vectors are larger than their signatures, and more is computed for these
    held = list(_signatures(store, settings, images)) if settings.by_directions and len(images) <= _HELD else None
    some = [leading_values(rows, BOX_VALUES) for rows in held or _signatures(store, settings, images)]
    leading = np.concatenate(some or [np.zeros((0, BOX_VALUES), np.float32)])
    leading = np.minimum(leading, np.float32(2**60))  # of vectors, some may be infinite
    places = kd_order(leading, size) if bins is None else binned_order(leading, size, bins)
    if not held:
        return places, _signatures(store, settings, images[places])
    signatures = np.concatenate(held)
    return places, (signatures[places[cut.start : cut.stop]] for cut in split(range(len(places)), _NORMALISED))


def _direct_rows(settings: CompareSettings, thumbnails: ThumbnailSettings) -> int:
    """Images in a sub-block that a function of the user's gets at once."""
    return SUB_BLOCK if settings.by_signatures or settings.by_directions else chunk_rows(math.prod(thumbnails.shape))


def _signatures(store: Store, settings: CompareSettings, images: NDArray[np.int64]) -> Iterator[Any]:
    """Signatures of some images, in their order, as they are compared, some at a time."""
    if settings.by_directions:
        if len(images):
            projection = read_projection(store, settings.vectors, settings.measure)
            yield from vector_signatures(store, settings, projection, images)
        return
    shape = store.thumbnail_settings.shape
    normalised = settings.measure == "correlation"
    ordered = max(_ORDERED_BYTES, _ORDERED_SHARE * len(images)) // (4 * signature_length(*shape))
    at_once = _NORMALISED if normalised else max(1, ordered)
    for start in range(0, len(images), at_once):
        numbers = images[start : start + at_once]
        rows = store.arrays.signature_rows(numbers)
        if normalised:
            rows = normalised_signatures(rows, partial(_thumbnails, store, numbers), shape)
        yield as_mirrored(rows, *shape) if settings.mirror else rows


def _thumbnails(store: Store, numbers: NDArray[np.int64], places: NDArray[np.int64]) -> NDArray[np.uint8]:
    return store.arrays.thumbnail_rows(numbers[places])
