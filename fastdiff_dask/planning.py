"""Which images are compared, in which order and in which tiles: planned once, recorded, and used again."""

import math
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .cascade import LISTED_CHUNKS
from .comparisons import Comparison, Part, Plan
from .config import CompareSettings, ThumbnailSettings, check_whole
from .copies import find_copies
from .errors import UsageError
from .grid import LARGEST_SIDE, choose_tile_side
from .metrics import available_transforms
from .ordering import binned_order, kd_order
from .resilience import retried
from .search import BOX_VALUES, chunk_rows
from .shortcuts import KEY_VALUES, ShortCuts, picture_keys
from .signatures import as_mirrored, leading_values, signature_length
from .store import Store

__all__ = [
    "check_compare_memory",
    "check_planned_memory",
    "check_tiles",
    "choose_comparison",
    "compare_task_bytes",
    "pairs_left",
    "plan_part",
    "read_keys",
    "turns_of",
    "unplanned",
]

# Images in a sub-block: their box is compact, and a matrix product of two is large enough for BLAS.
_SUB_BLOCK = 256
# For measures that are slow: images of a sub-block (of SSIM, a core compares 500 pairs a second; a user's function may
# be as slow), and tiles along the side of the matrix, at least. Who stops a run waits for a tile.
_SUB_BLOCKS, _SLOW_TILES = {"mse": _SUB_BLOCK, "hamming": _SUB_BLOCK, "ssim": 16}, 200
_UNKNOWN_SUB_BLOCK, _LARGEST_SUB_BLOCK = 64, 4096
# Signatures that are put in order at a time.
_ROWS = 1 << 14


def turns_of(settings: CompareSettings, thumbnails: ThumbnailSettings) -> tuple[int, ...]:
    """Turns after which thumbnails count as equal, so that one of them is compared for all: none but for MSE."""
    height, width, _ = thumbnails.shape
    return tuple(turn for turn in available_transforms(height, width, rotations=settings.rotations) if turn < 4)


def unplanned(comparison: Comparison) -> range:
    """Generations of the store that no part of the comparison covers."""
    parts = comparison.parts()
    return range(parts[-1].generations.stop if parts else 0, len(comparison.store.generations))


def pairs_left(comparison: Comparison) -> int:
    """Pairs of images in the tiles that are not finished; for generations without a plan, of all their images."""
    left = sum(plan.pairs(number) for plan in comparison.plans() for number in plan.pending())
    store = comparison.store
    for index in unplanned(comparison):
        new, old = store.generations[index], store.generations[:index]
        old_a, old_b = sum(generation.images_a for generation in old), sum(generation.images_b for generation in old)
        if store.two_sides:
            left += old_a * new.images_b + new.images_a * (old_b + new.images_b)
        else:
            left += new.images_a * (new.images_a - 1) // 2 + old_a * new.images_a
    return left


def choose_comparison(store: Store, settings: CompareSettings) -> Comparison:
    """Choose the recorded comparison that answers the question with the least work left, or a new one.

    A comparison by the same measure with the same transforms and a threshold at least as high has all the pairs that
    are wanted.
    """

    def kind(one: CompareSettings) -> CompareSettings:
        return replace(one, similarity_threshold=settings.similarity_threshold)

    wanted = Comparison(store, settings)
    candidates = {wanted.name: wanted} | {
        other.name: other
        for other in Comparison.all_in(store)
        if kind(other.settings) == kind(settings)
        and other.settings.similarity_threshold >= settings.similarity_threshold
    }
    return min(candidates.values(), key=lambda one: (pairs_left(one), one.settings.similarity_threshold))


def _verify_bytes(settings: ThumbnailSettings) -> int:
    """Memory of the exact comparison: thumbnails as stored, prepared with temporaries, and matrices of errors."""
    values = math.prod(settings.shape)
    rows = chunk_rows(values)
    return (2 * LISTED_CHUNKS + 6) * rows * values + 6 * 4 * rows * values + 6 * 8 * rows * rows


def _sub_block_bytes(settings: ThumbnailSettings, sub_block: int) -> int:
    """Memory for each sub-block along the sides of a tile: signatures, twice more for products, numbers."""
    return sub_block * (2 * 3 * 4 * (signature_length(*settings.shape) + 8) + 64)


def compare_task_bytes(settings: ThumbnailSettings) -> int:
    """Memory that comparing the smallest tile needs; see `compare_tiles`."""
    return _verify_bytes(settings) + _sub_block_bytes(settings, _SUB_BLOCK)


def check_compare_memory(settings: ThumbnailSettings, bytes_per_task: int) -> None:
    """Refuse thumbnails that cannot be compared in the share of a worker's memory that one task has (0: unlimited).

    Raises
    ------
    UsageError
        With both figures.
    """
    needed = compare_task_bytes(settings)
    if 0 < bytes_per_task < needed:
        raise UsageError(
            f"comparing thumbnails of {settings.width}×{settings.height} pixels needs {needed / 1e9:.3g} GB, and a "
            f"task on the workers has {bytes_per_task / 1e9:.3g} GB; use workers with more memory or fewer threads, or "
            f"a new --store with smaller thumbnails"
        )


def check_tiles(tile_side: int | None, sub_block: int | None) -> None:
    """Refuse what a user names for `plan_part` and cannot be planned.

    Raises
    ------
    UsageError
        With the value.
    """
    for name, value in (("tile_side", tile_side), ("sub_block", sub_block)):
        if value is not None:
            check_whole(name, value)
    if sub_block is not None and sub_block > _LARGEST_SUB_BLOCK:
        raise UsageError(
            f"sub_block is {sub_block}; all pairs of two are compared at once, use up to {_LARGEST_SUB_BLOCK}"
        )


def check_planned_memory(plans: list[Plan], settings: ThumbnailSettings, bytes_per_task: int) -> None:
    """Refuse tiles that were planned for workers with more memory, if there is one that is not finished.

    Raises
    ------
    UsageError
        With both figures.
    """
    for plan in plans if bytes_per_task else []:
        sides = [max(len(plan.tiles[number].rows), len(plan.tiles[number].columns)) for number in plan.pending()]
        needed = _verify_bytes(settings) + max(sides, default=0) * _sub_block_bytes(settings, plan.part.sub_block)
        if sides and needed > bytes_per_task:
            raise UsageError(
                f"the comparison was planned for workers with more memory: a tile needs {needed / 1e9:.3g} GB, and a "
                f"task on the workers has {bytes_per_task / 1e9:.3g} GB; use workers with more memory or fewer "
                f"threads, or another threshold, which is planned anew"
            )


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
) -> Part:
    """Plan all generations that have no plan yet, as one part, and record it.

    Of equal thumbnails, turned or not, the first one stands for all (see `copies.find_copies`). Signatures are put into
    a k-d order, cut into sub-blocks, and kept in this order beside the plan.

    With short cuts, images that are wanted together are neighbours first, and only images with equal keys are copies.

    Memory: 64 bytes an image of the store for the digests and about 150 to find copies; 240 an image of the part for
    the order; with short cuts 32 an image of the store.

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
    """
    store = Store(url, run)
    if run:
        store.files.begin_run()  # a worker that was taken for dead may be at it still, and stops at its next write
    comparison = Comparison(store, settings)
    generations = unplanned(comparison)
    parts = comparison.parts()
    if not generations:
        return parts[-1]  # by a worker that died before it could say so
    usual = _SUB_BLOCKS.get(settings.measure, _UNKNOWN_SUB_BLOCK)
    size = sub_block or min(usual, _direct_rows(settings, store.thumbnail_settings))
    shortcuts = ShortCuts.of(settings)
    keys = read_keys(store, settings) if shortcuts else None
    images = {side: _new_images(store, settings, generations, side, keys) for side in ("a", "b")}
    largest = max(map(len, images.values()))
    room = bytes_per_task - _verify_bytes(store.thumbnail_settings)
    fitting = max(1, room // _sub_block_bytes(store.thumbnail_settings, size)) if bytes_per_task else largest + 1
    # with those of before: a few new images meet all old ones, in tiles that are long then
    along = sum(-(-max(part.images_a, part.images_b) // part.sub_block) for part in parts) + -(-largest // size)
    side = choose_tile_side(along, threads, fitting, largest_side)
    if usual < _SUB_BLOCK:
        side = min(side, max(1, along // _SLOW_TILES))
    side = tile_side or side
    part = Part(generations, len(images["a"]), len(images["b"]), size, side)
    comparison.begin(part)
    for name, numbers in images.items():
        bins = None if keys is None else shortcuts.bins(keys[numbers])
        if settings.measure != "mse":
            order = numbers if bins is None else numbers[np.argsort(bins, kind="stable")]
            signatures: Iterator[Any] = iter(())
        else:
            some = [np.zeros((0, BOX_VALUES), np.float32)]
            some += [leading_values(rows, BOX_VALUES) for rows in _signatures(store, settings, numbers)]
            leading = np.concatenate(some)
            order = numbers[kd_order(leading, size) if bins is None else binned_order(leading, size, bins)]
            signatures = _signatures(store, settings, order)
        comparison.write_order(part, name, order, signatures, None if keys is None else keys[order])
    comparison.record_part(part)
    return part


def _direct_rows(settings: CompareSettings, thumbnails: ThumbnailSettings) -> int:
    """Images in a sub-block that a function of the user's gets at once."""
    return _SUB_BLOCK if settings.measure == "mse" else chunk_rows(math.prod(thumbnails.shape))


def read_keys(store: Store, settings: CompareSettings) -> NDArray[np.int64]:
    """What short cuts need to know of all images, by their number; 0 where a block has no image."""
    size = store.thumbnail_settings.block_size
    keys = np.zeros((store.blocks * size, KEY_VALUES), np.int64)
    shortcuts = ShortCuts.of(settings)
    columns = ["width", "height", *([shortcuts.hash_column] if shortcuts.hashes else [])]
    for block in range(store.blocks):
        frame = store.read_partition(block, columns)
        width, height = (frame[name].to_numpy(np.int64) for name in ("width", "height"))
        hashes = frame[shortcuts.hash_column].tolist() if shortcuts.hashes else None
        keys[block * size : block * size + len(frame)] = picture_keys(width, height, hashes)
    return keys


def _new_images(
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
    digests = store.read_digests()[numbers]
    # a function of the user's may tell equal thumbnails apart from themselves, so each image is compared
    if settings.measure != "mse":
        kept = np.flatnonzero(digests.any(axis=(1, 2)))
    else:
        kinds = None if keys is None else ShortCuts.of(settings).kinds(keys[numbers])
        kept = find_copies(digests, turns_of(settings, store.thumbnail_settings), kinds).representatives
    return numbers[kept][numbers[kept] >= first]


def _signatures(store: Store, settings: CompareSettings, images: NDArray[np.int64]) -> Iterator[Any]:
    """Signatures of some images, in their order, as they are compared, some at a time."""
    for start in range(0, len(images), _ROWS):
        rows = store.signature_rows(images[start : start + _ROWS])
        yield as_mirrored(rows, *store.thumbnail_settings.shape) if settings.mirror else rows
