"""What was found: pairs, clusters and errors under the names that the user gave, and the JSON file."""

import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from .catalog import Link, Root, full_path
from .clusters import Cluster, low_quality_of, make_cluster
from .comparisons import Comparison
from .components import Components
from .config import CompareSettings
from .copies import GroupPairs, Groups, PairChunk, find_copies
from .errors import UsageError
from .files import replaced_file
from .found_pairs import FoundPairs
from .metrics import rotation_of
from .planning import read_keys, turns_of
from .shortcuts import ShortCuts
from .sorting import sorted_chunks
from .store import Store
from .wanted import Images, count_wanted, current_images, hash_partners

__all__ = ["Result", "collect_errors", "collect_result", "shown_paths", "write_json"]

_COLUMNS = ["image", "side", "root", "path", "path_bytes", "size", "current", "width", "height"]
# Pairs that are all listed; of more, equal thumbnails are listed by their first image.
_LISTED_PAIRS = 1_000_000
# Pairs that are made at once.
_PART = 1 << 18


@dataclass(frozen=True)
class Result:
    """The outcome of a comparison.

    Memory grows with the number of images in pairs, about 1 kB each, and with the pairs that are listed, about 200 B
    each; more than four million pairs of different thumbnails are not held, but read from the store for each use.
    Images with equal thumbnails are kept as groups, and their pairs made when they are asked for: 20,000 blank pages
    are 200 million pairs.

    Attributes
    ----------
    groups
        The similar pairs in a short form; images are named by their row in `images`.
    images
        A row an image that is in a pair, by path and sorted by it: width, height, size in bytes,
        its number, and its side.
    errors
        A row a file that could not be compared, sorted by path: path, error.
    files
        All files below the folders, each counted once: "found" = "compared" + "errors" + the sum of "ignored", which
        has a number of files for each rule by which files are no images of the collection, see `IndexCounts`.
    links
        A row another name of a file, hard link or symbolic link, sorted by path: path, same_file_as. Such names are
        ignored, so that no file is the duplicate of itself.
    pixels
        Pixels of a thumbnail, by which a sum of squared errors is divided; None if another measure than MSE was used.
    settings, stats
        What was asked for, and the figures of the run, as in the JSON file.
    same_hash
        (k, 2) int64, rows of `images`: with ``skip_matching_hash``, so few of the pairs with equal hashes, which were
        not compared, that what all of them connect is connected.
    """

    groups: Groups
    images: pd.DataFrame
    errors: pd.DataFrame
    files: dict[str, Any]
    links: pd.DataFrame
    pixels: int | None
    settings: dict[str, Any] = field(default_factory=dict)
    stats: dict[str, Any] = field(default_factory=dict)
    same_hash: NDArray[np.int64] = field(default_factory=lambda: np.zeros((0, 2), np.int64))

    @cached_property
    def pair_count(self) -> int:
        """Number of all similar pairs."""
        return self.groups.count()

    @property
    def pairs_complete(self) -> bool:
        """Whether `pairs` has all of them."""
        return self.pair_count <= _LISTED_PAIRS

    @cached_property
    def pairs(self) -> pd.DataFrame:
        """The similar pairs, sorted by path.

        Columns: a, b, mse (or value, of another measure), rotation (degrees counter-clockwise by which a is turned to
        look like b), mirrored (a is mirrored left and right before). Within one side, a is the path that sorts first.

        If there are more than a million, of images with equal thumbnails only the first one by path is paired with
        similar images, and with the others of them (between two sides, the others are paired with one similar image).
        Each image that is in a pair at all is in one of these, and clusters are the same; `pairs_complete` is False,
        `pair_count` tells how many there are, and `iter_pairs` gives them all.
        """
        return self._frame(self._listed())

    def numbered_pairs(self) -> pd.DataFrame:
        """Give `pairs` with two columns more: a_image and b_image, the numbers of the images in the store."""
        return self._frame(self._listed(), numbered=True)

    def _listed(self) -> PairChunk:
        chunks = list(self.groups.pairs(_LISTED_PAIRS)) if self.pairs_complete else []
        chunks = chunks or [self.groups.stars()]
        return PairChunk(*(np.concatenate(parts) for parts in zip(*chunks, strict=True)))

    def sorted_pairs(self) -> Iterator[pd.DataFrame]:
        """Give `pairs` a part at a time; if they are not held in memory, by way of temporary files, 25 bytes a pair."""
        if self.pairs_complete or self.groups.stored is None:
            chunk = self._listed()
            order = np.lexsort((chunk.b, chunk.a))
            for start in range(0, len(order), _PART):
                some = order[start : start + _PART]
                yield self._frame(PairChunk(chunk.a[some], chunk.b[some], chunk.values[some], chunk.masks[some]))
        else:
            for chunk in sorted_chunks(self.groups.iter_stars, len(self.images), _PART):
                yield self._frame(chunk)

    def iter_pairs(self, at_once: int = _PART, *, numbered: bool = False) -> Iterator[pd.DataFrame]:
        """Give all similar pairs, at most so many at once, each once, sorted within a part.

        Columns as `pairs`, or, with `numbered`, as `numbered_pairs`.
        """
        for chunk in self.groups.pairs(at_once):
            yield self._frame(chunk, numbered)

    def similar_to(self, path: str, others: Sequence[str]) -> pd.DataFrame:
        """Give the pairs of one image with some others, as far as they are similar; columns as `pairs`."""
        places = np.array([row for other in others for row in self._rows[other]], np.int64)
        found = [self.groups.between(row, places) for row in self._rows[path]]
        return self._frame(PairChunk(*(np.concatenate(parts) for parts in zip(*found, strict=True))))

    def among(self, paths: Sequence[str]) -> "Result":
        """Give the same result for `similar_to` between some images: their pairs are held, if those of all are not."""
        places = [row for path in paths for row in self._rows[path]]
        return replace(self, groups=self.groups.among(np.array(places, np.int64)))

    @cached_property
    def _rows(self) -> dict[str, list[int]]:
        # stores of two machines may have the same path on either side
        rows: dict[str, list[int]] = {}
        for row, path in enumerate(self.images.index):
            rows.setdefault(path, []).append(row)
        return rows

    def _frame(self, chunk: PairChunk, numbered: bool = False) -> pd.DataFrame:
        order = np.lexsort((chunk.b, chunk.a))
        paths, masks = self.images.index.to_numpy(), chunk.masks[order]
        values = chunk.values[order]
        rotation, mirrored = _rotations()
        numbers = self.images["image"].to_numpy() if numbered else None
        ends = {} if numbers is None else {"a_image": numbers[chunk.a[order]], "b_image": numbers[chunk.b[order]]}
        return pd.DataFrame(
            {
                "a": _objects(paths[chunk.a[order]]),
                "b": _objects(paths[chunk.b[order]]),
                **({"value": values.view(np.float64)} if self.pixels is None else {"mse": values / self.pixels}),
                "rotation": rotation[masks],
                "mirrored": mirrored[masks],
                **ends,
            }
        )

    @property
    def hash_pairs(self) -> pd.DataFrame:
        """Pairs of `same_hash` by path, sorted: a, b. They are not in `pairs`, and in `clusters` they are."""
        names = self.images.index.to_numpy()
        rows = sorted(zip(names[self.same_hash[:, 0]], names[self.same_hash[:, 1]], strict=True))
        return pd.DataFrame({"a": _objects([a for a, _ in rows]), "b": _objects([b for _, b in rows])})

    @cached_property
    def clusters(self) -> list[Cluster]:
        """Connected images, and which one to keep; sorted by the path to keep."""
        rows = list(self.images.itertuples())
        return sorted(make_cluster((rows[i] for i in part), self.groups.two_sides) for part in self.connected())

    def connected(self) -> list[NDArray[np.int64]]:
        """Rows of `images` that are in a cluster together, for each cluster; in no particular order."""
        parts = self.groups.connected()
        if not len(self.same_hash):
            return parts
        components = Components(len(self.images))
        chains = [np.stack([part[:-1], part[1:]], axis=1) for part in parts]
        components.add(*np.concatenate([self.same_hash, *chains]).T)
        labels = components.labels()
        order = np.argsort(labels, kind="stable")
        return np.split(order, np.flatnonzero(np.diff(labels[order])) + 1)

    @property
    def low_quality(self) -> list[str]:
        """Every image that is not the best of its cluster, sorted."""
        return low_quality_of(self.clusters)


@cache
def _rotations() -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """For each bit mask of transforms the degrees, and whether mirrored, of the lowest one; see `rotation_of`."""
    named = [(0, False)] + [rotation_of(mask) for mask in range(1, 256)]
    return np.array([degrees for degrees, _ in named], np.int64), np.array([mirrored for _, mirrored in named])


def shown_paths(frame: pd.DataFrame, roots: list[Root]) -> list[str]:
    """Paths as the user gave the root, joined with the file's; undecodable bytes as surrogates (PEP 383)."""
    given = {(root.side, root.absolute): root.given for root in roots}
    return [full_path(given[row.side, row.root], row.path, row.path_bytes) for row in frame.itertuples()]


def _objects(values: Sequence[str] | NDArray[np.object_]) -> pd.Series:
    """Strings as Python objects: pandas' own strings cannot hold the surrogates of undecodable names."""
    return pd.Series(values, dtype=object)


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
        pd.DataFrame({"path": _objects([path for path, _ in errors]), "error": [error for _, error in errors]}),
        (compared["a"], compared["b"]),
    )


def _collect_links(links: list[list[str]], roots: list[Root]) -> pd.DataFrame:
    """Other names of listed files, sorted: path, same_file_as."""
    given = {(root.side, root.absolute): root.given for root in roots}
    rows = sorted(
        (os.path.join(given[side, root], path), os.path.join(given[same_side, same_root], same))  # noqa: PTH118
        for side, root, path, same_side, same_root, same in (Link(*link) for link in links)
    )
    return pd.DataFrame(
        {"path": _objects([row[0] for row in rows]), "same_file_as": _objects([row[1] for row in rows])}
    )


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
    if ShortCuts.of(wanted):
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
    pairs = ShortCuts.of(settings).equal_hashes(known.keys[order], known.on_b[order] if two_sides else None)
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
    kinds = None if keys is None else ShortCuts.of(settings).kinds(keys[numbers])
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


def write_json(result: Result, path: str) -> None:
    """Write a result as JSON, sorted, so that two runs differ in ``stats`` alone; ``-`` is standard output.

    All beyond ASCII is escaped. A byte of a file name that is no UTF-8 is a lone surrogate U+DC80 to U+DCFF, as in
    Python (PEP 383): `os.fsencode` of the string that `json` reads gives the name back.

    Memory for pairs is that of a part of them, about 300 MB; see `Result.sorted_pairs`.

    Raises
    ------
    UsageError
        If the file cannot be written.
    """
    pieces = (text.encode() for text in _json_texts(result))
    if path == "-":
        for piece in pieces:
            print(piece.decode(), end="")
        return
    try:
        target = Path(path).resolve()  # what a link leads to is written, the link stays
        # a pipe or a device must not be replaced by a file
        replaceable = not target.exists() or target.is_file()
        with replaced_file(target) if replaceable else target.open("wb") as file:
            file.writelines(pieces)
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror}; name another file with --json") from None


def _cluster_json(cluster: Cluster) -> dict[str, Any]:
    named = cluster._asdict()
    return named if cluster.sides else {name: value for name, value in named.items() if name != "sides"}


def _json_texts(result: Result) -> Iterator[str]:
    """The JSON file in pieces, as `json.dumps` with an indent of 1 would write all of it."""
    value = "mse" if result.pixels is not None else "value"
    columns = ["a", "b", value, "rotation"] + (["mirrored"] if result.settings.get("mirror") else [])
    content = {
        "format": 1,
        "settings": result.settings,
        "pairs": [],
        **({"hash_pairs": result.hash_pairs.to_dict("records")} if result.settings.get("skip_matching_hash") else {}),
        "clusters": [_cluster_json(cluster) for cluster in result.clusters],
        "errors": result.errors.to_dict("records"),
        "files": result.files,
        "links": result.links.to_dict("records"),
        "stats": result.stats,
    }
    # no other line begins so: what is nested is indented more, and texts have no line breaks of their own
    before, after = json.dumps(content, indent=1).split('\n "pairs": [', 1)
    yield f'{before}\n "pairs": ['
    separator = ""
    for part in result.sorted_pairs():
        records = json.dumps(part[columns].to_dict("records"), indent=1)
        yield separator + records.removeprefix("[").removesuffix("\n]").replace("\n", "\n ")
        separator = ","
    yield ("\n " if separator else "") + after + "\n"
