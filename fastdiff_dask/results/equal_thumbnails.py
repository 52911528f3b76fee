"""Images with equal thumbnails: groups whose first image was compared for all of them."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..config import CompareSettings
from ..kernels.hashes import find_copies
from ..kernels.pair_filters import PairFilters
from ..storage.selection import turns_of
from ..storage.store import Store
from .groups import GroupPairs, Groups
from .values import FoundPairs, PairValue

__all__ = ["EqualThumbnails", "equal_thumbnails", "make_groups", "makes_own_pairs"]


class EqualThumbnails(NamedTuple):
    """Images of one side that may be in pairs, by groups of equal thumbnails.

    By a measure that signatures do not bound, equal thumbnails may be apart, so that each image is a group by itself.

    Attributes
    ----------
    originals
        (g,) int64, ascending: number of the first image of each group.
    symmetries
        (g,) uint8: turns that map the thumbnail to itself.
    members, groups, turns
        (k,) int64: numbers of the images, their groups, and their turns against the first one.
    """

    originals: NDArray[np.int64]
    symmetries: NDArray[np.uint8]
    members: NDArray[np.int64]
    groups: NDArray[np.int64]
    turns: NDArray[np.int64]


def equal_thumbnails(
    store: Store, value: PairValue, side: str, found: NDArray[np.int64], keys: NDArray[np.int64] | None
) -> EqualThumbnails:
    """Group the images of a side whose thumbnails are equal.

    Parameters
    ----------
    store, value
        The store, and the measure of the pairs.
    side
        "a" or "b".
    found
        (n,) int64: numbers of the images in similar pairs; groups without one of them are left out, unless their images
        are pairs by themselves.
    keys
        What the pair filters need to know of the images; None without filters.

    Returns
    -------
    The groups.
    """
    settings = value.settings
    size = store.thumbnail_settings.block_size
    blocks = [block for g in store.generations for block in (g.a if side == "a" else g.b)]
    numbers = (np.array(blocks, np.int64)[:, None] * size + np.arange(size)).ravel()
    if not value.settings.by_signatures or not len(numbers):
        originals = np.unique(found)
        places = np.arange(len(originals))
        return EqualThumbnails(originals, np.ones(len(originals), np.uint8), originals, places, np.zeros_like(places))
    kinds = None if keys is None else PairFilters.of(settings).kinds(keys[numbers])
    copies = find_copies(store.arrays.read_digests()[numbers], turns_of(settings, store.thumbnail_settings), kinds)
    wanted = np.isin(numbers[copies.representatives], found)
    of_copies = np.searchsorted(copies.representatives, copies.originals)
    if not store.two_sides and makes_own_pairs(settings):
        wanted[of_copies] = True
    originals = numbers[copies.representatives[wanted]]
    new = np.cumsum(wanted) - 1
    chosen = wanted[of_copies]
    return EqualThumbnails(
        originals,
        copies.symmetries[wanted],
        np.concatenate([originals, numbers[copies.copies[chosen]]]),
        np.concatenate([np.arange(len(originals)), new[of_copies[chosen]]]),
        np.concatenate([np.zeros(len(originals), np.int64), copies.turns[chosen]]),
    )


def makes_own_pairs(settings: CompareSettings) -> bool:
    """Tell whether images with equal thumbnails are pairs: they have equal hashes, and with filters one folder."""
    return not settings.skip_matching_hash and not settings.across_folders


def make_groups(
    sides: list[EqualThumbnails], found: FoundPairs, names: dict[int, int], two_sides: bool, own_pairs: bool
) -> Groups:
    """Make the groups of named images, with the similar pairs of groups.

    Left out are images without a name (−1), groups that are empty then, and groups without a pair.

    Parameters
    ----------
    sides
        Groups of side a, and of side b if there is one.
    found
        The pairs of different thumbnails.
    names
        Names of the images by their numbers.
    two_sides, own_pairs
        See `Groups`.

    Returns
    -------
    The groups, with names in place of numbers of images.
    """
    offset = len(sides[0].originals) if two_sides else 0
    members = np.array([names[number] for side in sides for number in side.members.tolist()], np.int64)
    groups = np.concatenate([side.groups + number * offset for number, side in enumerate(sides)])
    turns = np.concatenate([side.turns for side in sides])
    symmetries = np.concatenate([side.symmetries for side in sides])

    sizes = np.bincount(groups[members >= 0], minlength=len(symmetries))
    # for the number of an original its group, for other numbers −1
    tables: list[NDArray[Any]] = [
        np.full(found.images, -1, np.int32 if found.images < 1 << 31 else np.int64) for _ in sides
    ]
    for number, (table, side) in enumerate(zip(tables, sides, strict=True)):
        own = np.arange(len(side.originals)) + number * offset
        table[side.originals] = np.where(sizes[own] > 0, own, -1)

    def group_pairs() -> Iterator[GroupPairs]:
        for pairs in found:
            first, second = tables[0][pairs[:, 0]], tables[-1][pairs[:, 1]]
            there = (first >= 0) & (second >= 0)
            ends = first[there].astype(np.int64), second[there].astype(np.int64)
            yield GroupPairs(*ends, pairs[there, 2], pairs[there, 3].astype(np.uint8))

    used = np.zeros(len(symmetries), bool) if two_sides or not own_pairs else sizes > 1
    paired = [table[found.numbers(side)] for side, table in zip("ab", tables, strict=False)]
    if all((groups_of >= 0).all() for groups_of in paired):
        used[np.concatenate(paired)] = True
    else:  # some images are gone, and their pairs with them
        for chunk in group_pairs():
            used[chunk.first] = used[chunk.second] = True
    chosen = (members >= 0) & used[groups]
    members, groups, turns = members[chosen], groups[chosen], turns[chosen]
    order = np.lexsort((members, groups))
    new = np.cumsum(used) - 1
    for table in tables:  # each group in a pair is used
        table[table >= 0] = new[table[table >= 0]]
    none = np.zeros(0, np.int64)
    pairs = GroupPairs(none, none, none, none.astype(np.uint8)) if found.held is None else next(group_pairs())
    return Groups(
        members=members[order],
        starts=np.concatenate([[0], np.cumsum(sizes[used])]).astype(np.int64),
        turns=turns[order],
        symmetries=symmetries[used],
        **pairs._asdict(),
        two_sides=two_sides,
        own_pairs=own_pairs,
        stored=group_pairs if found.held is None else None,
    )
