"""Work that is left: blocks to read or to hash, generations to plan, pairs to compare."""

from collections.abc import Iterable
from dataclasses import replace

import numpy as np

from ..config import CompareSettings
from ..errors import UsageError
from ..kernels.grid import pairs_within
from ..kernels.hashes import HashSettings
from ..text import counted
from .comparisons import Comparison
from .derived.vectors import Vectors, vector_names
from .schema import CLEANED, HASH_KEY, HASHED_BY, HASHES
from .store import Store

__all__ = [
    "answering",
    "can_answer",
    "check_encoded",
    "check_measured",
    "check_read",
    "choose_comparison",
    "hashing_of",
    "images_without_vectors",
    "is_finished",
    "pairs_left",
    "unhashed_blocks",
    "unplanned",
    "unread_blocks",
]


def unread_blocks(store: Store) -> dict[int, int]:
    """Blocks that are not finished, and the number of images in each."""
    finished = store.finished_blocks()
    return {block: rows for block, rows in enumerate(store.rows()) if block not in finished}


def check_read(store: Store) -> None:
    """See that all images were read.

    Raises
    ------
    UsageError
        If not.
    """
    if unread_blocks(store):
        raise UsageError("some images were not read yet; call first_loop_iteration() first")


def check_measured(store: Store) -> None:
    """See that all images were read, whether or not their thumbnails were removed by `cleanup` since.

    Raises
    ------
    UsageError
        If not.
    """
    if CLEANED not in store.files.names():
        check_read(store)


def check_encoded(store: Store, name: str) -> None:
    """See that all blocks have vectors of a name.

    Raises
    ------
    UsageError
        If not.
    """
    vectors = Vectors(store, name)
    if vectors.kind() is None:
        known = ", ".join(vector_names(store)) or "none"
        raise UsageError(
            f"no vectors {name!r} in the store, which has: {known}; call encode() or add_vectors() for {store.url}"
        )
    rows = store.rows()
    left = sum(rows[block] for block in vectors.missing_blocks())
    if left:
        raise UsageError(
            f"{counted(left, 'image')} new since then {'has' if left == 1 else 'have'} no vectors {name!r} yet; call "
            f"encode() or add_vectors() again first"
        )


def images_without_vectors(store: Store, name: str) -> int:
    """Count the images that are there and could be read, and have no vector of a name, though their blocks are done."""
    vectors, size, missing = Vectors(store, name), store.thumbnail_settings.block_size, 0
    for block in range(store.blocks):
        frame = store.read_partition(block, ["error", "current"])
        rows = np.flatnonzero((frame.error.isna() & frame.current).to_numpy())
        missing += int((~vectors.there(rows + block * size)).sum())
    return missing


def unhashed_blocks(store: Store, hashing: HashSettings) -> list[int]:
    """Finished blocks some of whose images lack hashes, or have them in another way."""
    columns = ["error", *HASHES]
    finished = sorted(store.finished_blocks())
    frames = ((block, store.read_partition(block, columns)) for block in finished)
    return [block for block, frame in frames if hashing.missing(frame[frame.error.isna()]) is not None]


def hashing_of(store: Store) -> str:
    """Function and shift by which the hashes of all images were made.

    Raises
    ------
    UsageError
        If there are images without hashes, or with hashes of several ways.
    """
    ways: set[str] = set()
    for block in range(store.blocks):
        frame = store.read_partition(block, ["error", HASH_KEY, *HASHED_BY])
        frame = frame[frame.error.isna()]
        made = frame.drop_duplicates(list(HASHED_BY))
        ways |= {f"{row.hash_function} {row.hash_shift}" for row in made.itertuples()}
        if frame[HASH_KEY].isna().any() or len(ways) > 1:
            raise UsageError(
                "not all images have hashes of one kind; call first_loop_iteration(compute_hash=True) first"
            )
    return "".join(ways)


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
            left += pairs_within(new.images_a) + old_a * new.images_a
    return left


def is_finished(comparison: Comparison) -> bool:
    """Tell whether all pairs of images of the store are compared."""
    return not unplanned(comparison) and not any(plan.pending() for plan in comparison.plans())


# -- the comparison that answers a question ----------------------------------------------------------------------------


def can_answer(compared: CompareSettings, asked: CompareSettings) -> bool:
    """Tell whether a comparison has all the pairs that are asked for.

    It has if its threshold is at least as high, and nothing else is different.

    Examples
    --------
    >>> high, low = (CompareSettings(similarity_threshold=threshold) for threshold in (200, 100))
    >>> can_answer(high, low), can_answer(low, high)
    (True, False)
    """
    highest = compared.similarity_threshold
    # not the other way round: a distance of vectors below 0 is no threshold of an MSE
    return highest >= asked.similarity_threshold and replace(asked, similarity_threshold=highest) == compared


def answering(comparisons: Iterable[Comparison], asked: CompareSettings) -> Comparison | None:
    """Choose the comparison that answers a question; None if none of them can.

    - A finished one comes before an unfinished one.
    - Among unfinished ones, the one with the fewest pairs left comes first.
    - Among equals, the one with the lowest threshold comes first.
    """
    return min(
        (one for one in comparisons if can_answer(one.settings, asked)),
        key=lambda one: (not is_finished(one), pairs_left(one), one.settings.similarity_threshold),
        default=None,
    )


def choose_comparison(store: Store, asked: CompareSettings) -> Comparison:
    """Choose the recorded comparison that answers a question, or a new one if that has less to do; see `answering`.

    Raises
    ------
    UsageError
        If images are to be compared by their hashes, and have none of one kind.
    """
    if asked.only_matching_hash or asked.skip_matching_hash:
        asked = replace(asked, hashes=hashing_of(store))
    new = Comparison(store, asked)
    return answering([*Comparison.all_in(store), new], asked) or new
