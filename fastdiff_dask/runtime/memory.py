"""Memory that tasks need; jobs that do not fit into the workers' memory are refused before anything is computed."""

import math

from ..config import ThumbnailSettings, check_whole
from ..errors import UsageError
from ..kernels.bounds import BOX_VALUES
from ..kernels.cascade import HELD_BYTES, exact_pairs_at_once
from ..kernels.grid import LARGEST_SUB_BLOCK, SUB_BLOCK
from ..kernels.low_frequencies import frequency_counts
from ..kernels.signatures import signature_length
from ..kernels.similarity import chunk_rows
from ..storage.derived.neighbour_files import NEIGHBOUR_PLACES
from ..storage.plans import Plan
from ..vectors.directions import SIGNATURE_VALUES as VECTOR_SIGNATURE

__all__ = [
    "EDITED_BYTES",
    "EDITED_COLUMNS",
    "EDITED_ROWS",
    "check_compare_memory",
    "check_edited_memory",
    "check_encode_memory",
    "check_feature_memory",
    "check_memory",
    "check_neighbours_memory",
    "check_planned_memory",
    "check_tiles",
    "compare_task_bytes",
    "sub_block_bytes",
    "thumbnail_task_bytes",
    "vector_sub_block_bytes",
    "verify_bytes",
]


# Images along the sides of a rectangle of which a task compares all views: some ten seconds of work; and its bytes, see
# `edits.candidates.find_candidates`.
EDITED_ROWS, EDITED_COLUMNS = 4096, 65536
EDITED_BYTES = 32_000 * EDITED_ROWS + 2_000 * EDITED_COLUMNS + 200_000_000


def thumbnail_task_bytes(settings: ThumbnailSettings) -> int:
    """Compute the bytes that a task needs for thumbnails: a block in read parts, whole, encoded, and one waiting."""
    return 4 * settings.block_bytes


def check_memory(settings: ThumbnailSettings, bytes_per_task: int) -> None:
    """Refuse blocks that do not fit into the memory of a worker for one task (0: unlimited).

    Raises
    ------
    UsageError
        If a block does not fit; names the largest block size that does.
    """
    needed = thumbnail_task_bytes(settings)
    if 0 < bytes_per_task < needed:
        raise UsageError(
            f"a block of {settings.block_size} thumbnails needs {needed / 1e9:.3g} GB, and a task on the workers has "
            f"{bytes_per_task / 1e9:.3g} GB; use block_size ≤ {settings.block_size * bytes_per_task // needed}"
        )


def verify_bytes(settings: ThumbnailSettings) -> int:
    """Compute the bytes of an exact comparison: thumbnails as stored and as prepared, and matrices of errors."""
    values = math.prod(settings.shape)
    rows = chunk_rows(values)
    prepared = 3 * 4 * rows * values + 6 * 8 * rows * rows  # of one chunk, beside what is held
    return HELD_BYTES + prepared + 3 * exact_pairs_at_once(values) * values


def sub_block_bytes(settings: ThumbnailSettings, sub_block: int) -> int:
    """Compute the bytes for each sub-block along the sides of a tile.

    Signatures, two copies for products, low frequencies, numbers.
    """
    signatures = 3 * (signature_length(*settings.shape) + 8) + BOX_VALUES
    frequencies = max(frequency_counts(*settings.shape), default=0) + 4
    return sub_block * (2 * 4 * (signatures + frequencies) + 64)


def vector_sub_block_bytes(width: int, row_bytes: int, sub_block: int) -> int:
    """Compute the bytes for each sub-block along the sides of a tile of vectors.

    Signatures, two copies for products, boxes; vectors as they are stored and in float32; numbers.

    Parameters
    ----------
    width, row_bytes
        Numbers of a vector, and its bytes.
    sub_block
        Images in a sub-block.

    Returns
    -------
    Bytes, for both sides.
    """
    return sub_block * 2 * (3 * 4 * (VECTOR_SIGNATURE + 8) + 4 * BOX_VALUES + row_bytes + 4 * width + 64)


def compare_task_bytes(settings: ThumbnailSettings) -> int:
    """Compute the bytes that a task needs for the smallest tile."""
    return verify_bytes(settings) + sub_block_bytes(settings, SUB_BLOCK)


def check_compare_memory(settings: ThumbnailSettings, bytes_per_task: int) -> None:
    """Refuse thumbnails that cannot be compared in the memory of a worker for one task (0: unlimited).

    Raises
    ------
    UsageError
        If they do not fit.
    """
    needed = compare_task_bytes(settings)
    if 0 < bytes_per_task < needed:
        raise UsageError(
            f"comparing thumbnails of {settings.width}×{settings.height} pixels needs {needed / 1e9:.3g} GB, and a "
            f"task on the workers has {bytes_per_task / 1e9:.3g} GB; use workers with more memory or fewer threads, or "
            f"a new store= with smaller thumbnails"
        )


def check_edited_memory(bytes_per_task: int) -> None:
    """Refuse to look for edited copies with less memory for one task than it takes (0: unlimited).

    Raises
    ------
    UsageError
        If it does not fit.
    """
    if 0 < bytes_per_task < EDITED_BYTES:
        raise UsageError(
            f"looking for edited copies needs {EDITED_BYTES / 1e9:.3g} GB for a task, and a task on the workers has "
            f"{bytes_per_task / 1e9:.3g} GB; use workers with more memory or fewer threads"
        )


def check_neighbours_memory(images: int, vector_values: int, bytes_per_task: int) -> None:
    """Refuse to find neighbours with less memory for one task than it takes (0: unlimited).

    A task holds the leading values of all images, thumbnails of some pairs, or the vectors of some images twice. Half
    of the rest speeds it up.

    Parameters
    ----------
    images, vector_values
        Images of the store, and values of a vector; 0 for thumbnails.
    bytes_per_task
        Memory of a task.

    Raises
    ------
    UsageError
        If it does not fit.
    """
    needed = 200_000_000 + (80 * images if not vector_values else 20 * NEIGHBOUR_PLACES * vector_values)
    if 0 < bytes_per_task < needed:
        raise UsageError(
            f"finding the neighbours of {images} images needs {needed / 1e9:.3g} GB for a task, and a task on the "
            f"workers has {bytes_per_task / 1e9:.3g} GB; use workers with more memory or fewer threads"
        )


def check_feature_memory(settings: ThumbnailSettings, row_bytes: int, bytes_per_task: int) -> None:
    """Refuse features that cannot be computed in the memory of a worker for one task (0: unlimited).

    A task holds the thumbnails of a block, turned and not, and the features of a block twice.

    Raises
    ------
    UsageError
        If they do not fit.
    """
    needed = 2 * settings.block_bytes + 2 * settings.block_size * row_bytes
    if 0 < bytes_per_task < needed:
        raise UsageError(
            f"features of {row_bytes / 1e3:.3g} kB an image need {needed / 1e9:.3g} GB for a block, and a task on the "
            f"workers has {bytes_per_task / 1e9:.3g} GB; use workers with more memory or fewer threads, smaller "
            f"features, or a new store= with a smaller block_size"
        )


def check_encode_memory(
    settings: ThumbnailSettings, size: tuple[int, int] | None, batch_size: int, bytes_per_task: int
) -> None:
    """Refuse pictures that cannot be encoded in the memory of a worker for one task (0: unlimited).

    A task holds a block of thumbnails, or two batches of pictures of this height and width; what the function needs is
    not known.

    Raises
    ------
    UsageError
        If they do not fit.
    """
    needed = settings.block_bytes if size is None else 2 * batch_size * 3 * math.prod(size)
    if 0 < bytes_per_task < needed:
        raise UsageError(
            f"encoding {batch_size if size else settings.block_size} pictures at once needs {needed / 1e9:.3g} GB, and "
            f"a task on the workers has {bytes_per_task / 1e9:.3g} GB; use a smaller batch_size, or workers with more "
            f"memory or fewer threads"
        )


def check_tiles(tile_side: int | None, sub_block: int | None) -> None:
    """Refuse sizes of tiles and sub-blocks that `plan_part` cannot plan with.

    Raises
    ------
    UsageError
        If one is no whole number from 1, or too large.
    """
    for name, value in (("tile_side", tile_side), ("sub_block", sub_block)):
        if value is not None:
            # all pairs of two sub-blocks are compared at once
            check_whole(name, value, highest=LARGEST_SUB_BLOCK if name == "sub_block" else None)


def check_planned_memory(plans: list[Plan], settings: ThumbnailSettings, bytes_per_task: int) -> None:
    """Refuse unfinished tiles that were planned for workers with more memory.

    Raises
    ------
    UsageError
        If one does not fit.
    """
    for plan in plans if bytes_per_task else []:
        sides = [max(len(plan.tiles[number].rows), len(plan.tiles[number].columns)) for number in plan.pending()]
        needed = verify_bytes(settings) + max(sides, default=0) * sub_block_bytes(settings, plan.part.sub_block)
        if sides and needed > bytes_per_task:
            raise UsageError(
                f"the comparison was planned for workers with more memory: a tile needs {needed / 1e9:.3g} GB, and a "
                f"task on the workers has {bytes_per_task / 1e9:.3g} GB; use workers with more memory or fewer "
                f"threads, or another threshold, which is planned anew"
            )
