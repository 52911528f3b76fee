"""From a finished comparison to a `Result`: tiles, metadata and equal images put together."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..config import CompareSettings
from ..kernels.equal_images import find_copies
from ..kernels.pair_filters import PairFilters
from ..stages.roots import Root
from ..stages.walk_local import Link
from ..storage.comparisons import Comparison
from ..storage.selection import Images, count_wanted, current_images, hash_partners, read_keys, turns_of
from ..storage.store import Store
from ..urls import full_path
from .found_pairs import FoundPairs
from .groups import GroupPairs, Groups
from .result import Result, objects

__all__ = ["collect_errors", "collect_result", "shown_paths"]

_COLUMNS = ["image", "side", "root", "path", "path_bytes", "size", "current", "width", "height"]


def shown_paths(frame: pd.DataFrame, roots: list[Root]) -> list[str]:
    """Paths as the user gave the root, joined with the file's; undecodable bytes as surrogates (PEP 383)."""
    given = {(root.side, root.absolute): root.given for root in roots}
    return [full_path(given[row.side, row.root], row.path, row.path_bytes) for row in frame.itertuples()]


def collect_errors(store: Store, roots: list[Root]) -> pd.DataFrame:
    """Files of the collection that could not be compared, sorted: path, error."""
    return _scan(store, roots, np.zeros(0, np.int64)).errors


class _Scan(NamedTuple):
    """What one pass over the metadata found.

    Attributes
    ----------
    images
        Metadata of the images that were asked for.
    errors
        Files that could not be compared, sorted: path, error.
    compared
        Number of current images of side a and of side b that could be.
    """

    images: pd.DataFrame
    errors: pd.DataFrame
    compared: tuple[int, int]


def _scan(store: Store, roots: list[Root], images: NDArray[np.int64], more: Sequence[str] = ()) -> _Scan:
    """Read the metadata of all blocks once, and keep that of some images, ascending, and of errors."""
    size = store.thumbnail_settings.block_size
    kept: list[pd.DataFrame] = []
    errors: list[tuple[str, str]] = []
    compared = {"a": 0, "b": 0}
    bounds = np.searchsorted(images, np.arange(store.blocks + 1) * size)
    for generation in store.generations:
        for block in generation.blocks:
            frame = store.read_partition(block, [*_COLUMNS, "error", *more])
            broken = frame[frame.current & frame.error.notna()]
            if len(broken):
                errors += zip(shown_paths(broken, roots), broken.error, strict=True)
            compared["a" if block in generation.a else "b"] += int(frame.current.sum()) - len(broken)
            here = images[bounds[block] : bounds[block + 1]] - block * size
            if len(here) or not kept:
                kept.append(frame.iloc[here])
    errors.sort()
    return _Scan(
        pd.concat(kept, ignore_index=True) if kept else store.read_images([*_COLUMNS, *more]),
        pd.DataFrame({"path": objects([path for path, _ in errors]), "error": [error for _, error in errors]}),
        (compared["a"], compared["b"]),
    )


def _collect_links(links: list[list[str]], roots: list[Root]) -> pd.DataFrame:
    """Other names of listed files, sorted: path, same_file_as."""
    given = {(root.side, root.absolute): root.given for root in roots}
    rows = sorted(
        (os.path.join(given[side, root], path), os.path.join(given[same_side, same_root], same))  # noqa: PTH118
        for side, root, path, same_side, same_root, same in (Link(*link) for link in links)
    )
    return pd.DataFrame({"path": objects([row[0] for row in rows]), "same_file_as": objects([row[1] for row in rows])})


def collect_result(
    store: Store, roots: list[Root], comparison: Comparison, threshold: float, stats: dict[str, Any] | None = None
) -> Result:
    """Collect the pairs at or below a threshold from a finished comparison, and the errors.

    Parameters
    ----------
    store, roots
        The store, and the folders as the user gives them now.
    comparison
        A comparison of the store at this threshold or a higher one.
    threshold
        Largest MSE of a pair.
    stats
        Figures of the run, kept with the result.
    """
    height, width, _ = store.thumbnail_settings.shape
    wanted = replace(comparison.settings, similarity_threshold=threshold)
    measured = wanted.measure != "mse"
    found = FoundPairs(comparison, threshold)
    keys = current = None
    if PairFilters.of(wanted):
        keys = read_keys(store, wanted)
        current = current_images(store, wanted, keys)
    if store.two_sides:
        sides = [_collect_groups(store, wanted, side, found.numbers(side), keys) for side in ("a", "b")]
    else:
        sides = [_collect_groups(store, wanted, "a", found.numbers(), keys)]
    known = None
    if current is not None and wanted.skip_matching_hash:
        known = hash_partners(current, wanted, store.two_sides)
    members = [side.members for side in sides] + ([] if known is None else [known.numbers])
    numbers = np.unique(np.concatenate(members))
    not_duplicates = store.read_not_duplicates()
    scan = _scan(store, roots, numbers, ["content_hash"] if not_duplicates else [])
    images = scan.images
    # with the side, as stores of two machines may have the same path on either
    shown = list(zip(shown_paths(images, roots), images.side, strict=True))
    rows = {image: row for row, (image, current) in enumerate(zip(shown, images.current, strict=True)) if current}
    ordered = sorted(rows)  # in Python: pandas' own strings cannot hold undecodable names
    rank = {image: name for name, image in enumerate(ordered)}
    # −1 for what is not current
    names = [rank[image] if current else -1 for image, current in zip(shown, images.current, strict=True)]
    by_number = dict(zip(numbers.tolist(), names, strict=True))
    groups = _make_groups(sides, found, by_number, store.two_sides, not wanted.skip_matching_hash)
    if not_duplicates:
        groups = groups.without(_pairs_of_contents(images, names, not_duplicates))
    same_hash = np.zeros((0, 2), np.int64) if known is None else _hash_pairs(known, by_number, wanted, store.two_sides)
    used = np.unique(np.concatenate([groups.members, same_hash.ravel()]))
    groups = replace(groups, members=np.searchsorted(used, groups.members))
    kept = images[["width", "height", "size", "image", "side"]].iloc[[rows[ordered[name]] for name in used.tolist()]]
    kept = kept.set_axis(pd.Index([ordered[name][0] for name in used.tolist()], dtype=object, name="path"))
    settings = {
        "directories_a": [root.given for root in roots if root.side == "a"],
        "directories_b": [root.given for root in roots if root.side == "b"],
        "thumbnail_size_x": width,
        "thumbnail_size_y": height,
        **wanted.to_json(),
    }
    (a, b), index = scan.compared, store.read_index()
    compared = a * b if store.two_sides else a * (a - 1) // 2
    if current is not None:
        compared = count_wanted(current, wanted, store.two_sides)
    stats = {
        "images": a + b + len(scan.errors),
        "pairs_compared": compared,
        **(stats or {}),
        "pairs": groups.count(),
    }
    files = {
        "found": a + b + len(scan.errors) + sum(index["ignored"].values()),
        "compared": a + b,
        "errors": len(scan.errors),
        "ignored": dict(sorted(index["ignored"].items())),
    }
    links = _collect_links(index["links"], roots)
    pixels = None if measured else height * width
    return Result(groups, kept, scan.errors, files, links, pixels, settings, stats, np.searchsorted(used, same_hash))


def _pairs_of_contents(images: pd.DataFrame, names: list[int], contents: list[tuple[str, str]]) -> NDArray[np.int64]:
    """Pairs of names of images that have the contents of pairs, (k, 2)."""
    known = {content for pair in contents for content in pair}
    of: dict[str, list[int]] = {}
    for content, name in zip(images.content_hash, names, strict=True):
        if name >= 0 and content in known:
            of.setdefault(content, []).append(name)
    pairs = [(x, y) for a, b in contents for x in of.get(a, ()) for y in of.get(b, ()) if x != y]
    return np.array(pairs, np.int64).reshape(-1, 2)


def _hash_pairs(known: Images, names: dict[int, int], settings: CompareSettings, two_sides: bool) -> NDArray[np.int64]:
    """Pairs of names that connect images with equal hashes, (k, 2): the same for whatever numbers the images have."""
    named = np.array([names[number] for number in known.numbers.tolist()], np.int64)
    order = np.argsort(named)
    pairs = PairFilters.of(settings).equal_hashes(known.keys[order], known.on_b[order] if two_sides else None)
    pairs = named[order][pairs]
    return pairs if two_sides else np.sort(pairs, axis=1)


class _Side(NamedTuple):
    """Images of one side that may be in pairs, by groups of equal thumbnails.

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


def _collect_groups(
    store: Store, settings: CompareSettings, side: str, found: NDArray[np.int64], keys: NDArray[np.int64] | None
) -> _Side:
    """Groups of a side whose first images are among those of similar pairs, or that are pairs by themselves."""
    size = store.thumbnail_settings.block_size
    blocks = [block for g in store.generations for block in (g.a if side == "a" else g.b)]
    numbers = (np.array(blocks, np.int64)[:, None] * size + np.arange(size)).ravel()
    if settings.measure != "mse" or not len(numbers):
        originals = np.unique(found)
        places = np.arange(len(originals))
        return _Side(originals, np.ones(len(originals), np.uint8), originals, places, np.zeros_like(places))
    kinds = None if keys is None else PairFilters.of(settings).kinds(keys[numbers])
    copies = find_copies(store.read_digests()[numbers], turns_of(settings, store.thumbnail_settings), kinds)
    wanted = np.isin(numbers[copies.representatives], found)
    of_copies = np.searchsorted(copies.representatives, copies.originals)
    if not store.two_sides and not settings.skip_matching_hash:  # copies have equal hashes
        wanted[of_copies] = True
    originals = numbers[copies.representatives[wanted]]
    new = np.cumsum(wanted) - 1
    kept = wanted[of_copies]
    return _Side(
        originals,
        copies.symmetries[wanted],
        np.concatenate([originals, numbers[copies.copies[kept]]]),
        np.concatenate([np.arange(len(originals)), new[of_copies[kept]]]),
        np.concatenate([np.zeros(len(originals), np.int64), copies.turns[kept]]),
    )


def _make_groups(
    sides: list[_Side], found: FoundPairs, names: dict[int, int], two_sides: bool, own_pairs: bool
) -> Groups:
    """Groups of named images, without the images that have no name (−1), and what is empty without them."""
    offset = len(sides[0].originals) if two_sides else 0
    members = np.array([names[number] for side in sides for number in side.members.tolist()], np.int64)
    groups = np.concatenate([side.groups + number * offset for number, side in enumerate(sides)])
    turns = np.concatenate([side.turns for side in sides])
    symmetries = np.concatenate([side.symmetries for side in sides])

    sizes = np.bincount(groups[members >= 0], minlength=len(symmetries))
    # by the number of an image the group that it stands for
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
    for chunk in group_pairs():
        used[chunk.first] = used[chunk.second] = True
    kept = (members >= 0) & used[groups]
    members, groups, turns = members[kept], groups[kept], turns[kept]
    order = np.lexsort((members, groups))
    new = np.cumsum(used) - 1
    for table in tables:  # what is in a pair is used
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
