"""A `Result` of a finished comparison: tiles, equal thumbnails, metadata and decisions put together."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..config import SAME_FILES, CompareSettings
from ..kernels.grid import pairs_within
from ..kernels.pair_filters import PairFilters
from ..stages.listing.roots import Root
from ..stages.listing.walk_local import Link
from ..storage.comparisons import Comparison
from ..storage.derived.verdicts import read_verdicts
from ..storage.schema import FILE_NAME, KEEP_COLUMNS
from ..storage.selection import Images, count_wanted, current_images, hash_partners, read_keys
from ..storage.store import Store
from ..urls import full_path, join
from .edited_pairs import name_edited, read_edited, renumbered, without_pairs_of
from .equal_thumbnails import equal_thumbnails, make_groups, makes_own_pairs
from .groups import Groups
from .keep_order import with_origins
from .not_duplicates import without_pairs
from .result import Result, objects
from .values import FoundPairs, PairValue
from .verdicts import PairVerdicts, spanning_forest

__all__ = ["SAME_FILES_SETTINGS", "collect_errors", "collect_result", "collect_same_files", "shown_paths"]

# Settings of the result of equal files.
SAME_FILES_SETTINGS = CompareSettings(similarity_threshold=0.0, rotations=False, measure=SAME_FILES)

_COLUMNS = ["image", *FILE_NAME, "current", *KEEP_COLUMNS]


def shown_paths(frame: pd.DataFrame, roots: list[Root]) -> list[str]:
    """Join the folders as the user gave them with the paths of files; undecodable bytes are surrogates (PEP 383)."""
    given = {(root.side, root.absolute): root.given for root in roots}
    return [full_path(given[row.side, row.root], row.path, row.path_bytes) for row in frame.itertuples()]


def collect_errors(store: Store, roots: list[Root]) -> pd.DataFrame:
    """List the files of the collection that could not be compared, sorted: path, error."""
    return _scan(store, roots, np.zeros(0, np.int64)).errors


class _Scan(NamedTuple):
    """Metadata from one pass over all blocks.

    Attributes
    ----------
    images
        A row for each image that was asked for.
    errors
        Files that could not be compared, sorted: path, error.
    compared
        Number of current images of side a and of side b without an error.
    """

    images: pd.DataFrame
    errors: pd.DataFrame
    compared: tuple[int, int]

    def file_counts(self, ignored: dict[str, int]) -> dict[str, Any]:
        """Count all files below the folders; see `Result.files`."""
        compared, errors = sum(self.compared), len(self.errors)
        return {
            "found": compared + errors + sum(ignored.values()),
            "compared": compared,
            "errors": errors,
            "ignored": dict(sorted(ignored.items())),
        }

    def pairs(self, two_sides: bool) -> int:
        """Count the pairs of the images that could be compared."""
        a, b = self.compared
        return a * b if two_sides else pairs_within(a)


def _scan(store: Store, roots: list[Root], images: NDArray[np.int64], more: Sequence[str] = ()) -> _Scan:
    """Read the metadata of all blocks once, for some images (ascending numbers) and for all errors."""
    size = store.thumbnail_settings.block_size
    frames: list[pd.DataFrame] = []
    errors: list[tuple[str, str]] = []
    compared = {"a": 0, "b": 0}
    bounds = np.searchsorted(images, np.arange(store.blocks + 1) * size)
    for generation in store.generations:
        for block in generation.blocks:
            few = store.read_partition(block, ["current", "error"])
            broken = np.flatnonzero(few.current & few.error.notna())
            compared["a" if block in generation.a else "b"] += int(few.current.sum()) - len(broken)
            here = images[bounds[block] : bounds[block + 1]] - block * size
            if len(here) or len(broken) or not frames:
                frame = store.read_partition(block, [*_COLUMNS, "error", *more])
                frames.append(frame.iloc[here])
                errors += zip(shown_paths(frame.iloc[broken], roots), frame.error.iloc[broken], strict=True)
    errors.sort()
    return _Scan(
        pd.concat(frames, ignore_index=True) if frames else store.read_images([*_COLUMNS, *more]),
        pd.DataFrame({"path": objects([path for path, _ in errors]), "error": [error for _, error in errors]}),
        (compared["a"], compared["b"]),
    )


def _collect_links(links: list[list[str]], roots: list[Root]) -> pd.DataFrame:
    """List the other names of listed files, sorted: path, same_file_as."""
    given = {(root.side, root.absolute): root.given for root in roots}
    rows = sorted(
        (join(given[side, root], path), join(given[same_side, same_root], same))
        for side, root, path, same_side, same_root, same in (Link(*link) for link in links)
    )
    return pd.DataFrame({"path": objects([row[0] for row in rows]), "same_file_as": objects([row[1] for row in rows])})


class _Names(NamedTuple):
    """Names of the current images: places in the order of paths and sides.

    Attributes
    ----------
    paths, rows
        For each name the path, and the row of the metadata.
    of_number
        The name of each image by its number; −1 for an image that is not current.
    """

    paths: list[str]
    rows: list[int]
    of_number: dict[int, int]


def _name_images(images: pd.DataFrame, roots: list[Root]) -> _Names:
    # with the side: stores of two machines may have the same path on both sides
    shown = list(zip(shown_paths(images, roots), images.side, strict=True))
    rows = {image: row for row, (image, current) in enumerate(zip(shown, images.current, strict=True)) if current}
    ordered = sorted(rows)  # in Python: pandas' own strings cannot hold undecodable names
    rank = {image: name for name, image in enumerate(ordered)}
    names = [rank[image] if current else -1 for image, current in zip(shown, images.current, strict=True)]
    return _Names(
        [path for path, _ in ordered],
        [rows[image] for image in ordered],
        dict(zip(images.image.tolist(), names, strict=True)),
    )


def collect_result(
    store: Store, roots: list[Root], comparison: Comparison, threshold: float, stats: dict[str, Any] | None = None
) -> Result:
    """Collect the pairs at or below a threshold from a finished comparison, and the errors.

    The steps:

    1. Read the pairs of different thumbnails.
    2. Find the images with these thumbnails, and images with equal hashes if pairs of equal hashes were skipped.
    3. Read the metadata of these images, and name them by the order of their paths.
    4. Make the similar pairs of these images, by name.
    5. Leave out the pairs that were decided to be no duplicates.

    Parameters
    ----------
    store, roots
        The store, and the folders as the user gives them now.
    comparison
        A comparison of the store at this threshold or a higher one.
    threshold
        Largest MSE, or other value, of a pair.
    stats
        Figures of the run, for `Result.stats`.

    Returns
    -------
    The result.
    """
    wanted = replace(comparison.settings, similarity_threshold=threshold)
    value = PairValue(wanted, store.thumbnail_settings)
    found = FoundPairs(comparison, value)
    keys = read_keys(store, wanted) if PairFilters.of(wanted) else None
    filtered = None if keys is None else current_images(store, wanted, keys)
    sides = [
        equal_thumbnails(store, value, side, found.numbers(side), keys) for side in ("ab" if store.two_sides else "a")
    ]
    by_hash = filtered if wanted.skip_matching_hash else None
    same_hash = None if by_hash is None else hash_partners(by_hash, wanted, store.two_sides)
    looks = _of_folders(read_edited(store), wanted, keys)
    numbers = [looks.a.to_numpy(np.int64), looks.b.to_numpy(np.int64), *(side.members for side in sides)]
    numbers += [] if same_hash is None else [same_hash.numbers]
    not_duplicates = store.records.read_not_duplicates()
    scan = _scan(store, roots, np.unique(np.concatenate(numbers)), ["content_hash"])
    names = _name_images(scan.images, roots)
    groups = make_groups(sides, found, names.of_number, store.two_sides, makes_own_pairs(wanted))
    edited = name_edited(looks, names.of_number)
    if not_duplicates:
        decided = _pairs_of_contents(scan.images, names.of_number.values(), not_duplicates)
        groups, edited = without_pairs(groups, decided), without_pairs_of(edited, decided)
    hash_pairs = _hash_pairs(same_hash, names.of_number, wanted, store.two_sides)

    # only images that are in a pair are rows of the result
    ends = edited[["a", "b", "via"]].to_numpy(np.int64).ravel()
    used = np.unique(np.concatenate([groups.members, hash_pairs.ravel(), ends[ends >= 0]]))
    groups = replace(groups, members=np.searchsorted(used, groups.members))
    compared = scan.pairs(store.two_sides) if filtered is None else count_wanted(filtered, wanted, store.two_sides)
    images = sum(scan.compared) + len(scan.errors)
    index = store.records.read_index()
    images_in_pairs = _image_rows(scan.images, names, used.tolist())
    contents = scan.images.content_hash.iloc[[names.rows[name] for name in used.tolist()]]
    verdicts = PairVerdicts(read_verdicts(store), images_in_pairs.image.to_numpy(np.int64), _codes(contents))
    # pairs that are read at each use are counted on the way
    forest = None if groups.stored is None else spanning_forest(groups, len(used))
    return Result(
        groups=groups,
        images=with_origins(images_in_pairs, verdicts.sources()),
        verdicts=verdicts,
        errors=scan.errors,
        files=scan.file_counts(index["ignored"]),
        links=_collect_links(index["links"], roots),
        value=value,
        settings=_shown_settings(roots, value),
        stats={"images": images, "pairs_compared": compared, **(stats or {}), "pairs": groups.count()},
        same_hash=np.searchsorted(used, hash_pairs),
        edited_pairs=renumbered(edited, used),
        forest=forest,
    )


def _of_folders(looks: pd.DataFrame, settings: CompareSettings, keys: NDArray[np.int64] | None) -> pd.DataFrame:
    """Choose the edited copies that lie in one folder with their picture, or in another one, if that is asked for."""
    if keys is None or not PairFilters.of(settings).folders:
        return looks
    same = (keys[looks.a, 4:] == keys[looks.b, 4:]).all(axis=1)
    return looks[same == settings.within_folder]


def collect_same_files(store: Store, roots: list[Root], stats: dict[str, Any] | None = None) -> Result:
    """Collect the files that are equal byte for byte, by their SHA-256 as far as that is known.

    Parameters
    ----------
    store, roots
        The store, and the folders as the user gives them now.
    stats
        Figures of the run, for `Result.stats`.

    Returns
    -------
    The result; its pairs have the verdict "same file" and the value 0.
    """
    value = PairValue(SAME_FILES_SETTINGS, store.thumbnail_settings)
    images = store.read_images([*_COLUMNS, "content_hash", "error"])
    images = images[images.current]
    failed = images[images.content_hash.isna() & images.error.notna()]
    errors = sorted(zip(shown_paths(failed, roots), failed.error, strict=True))
    known = images[images.content_hash.notna() & (images["size"] > 0)]
    sides = known.side.groupby(known.content_hash)
    partners = sides.transform("nunique" if store.two_sides else "size")
    rows = known[partners > 1].reset_index(drop=True)
    if not_duplicates := store.records.read_not_duplicates():
        alone = {a for a, b in not_duplicates if a == b}
        rows = rows[~rows.content_hash.isin(alone)].reset_index(drop=True)
    names = _name_images(rows, roots)
    order = names.rows
    contents = rows.content_hash.iloc[order]
    counts = {side: int((images.side == side).sum() - (failed.side == side).sum()) for side in ("a", "b")}
    scan = _Scan(
        rows,
        pd.DataFrame({"path": objects([path for path, _ in errors]), "error": objects([text for _, text in errors])}),
        (counts["a"], counts["b"]),
    )
    index = store.records.read_index()
    images_in_pairs = _image_rows(rows, names, list(range(len(order))))
    codes = _codes(contents)
    verdicts = PairVerdicts(read_verdicts(store), images_in_pairs.image.to_numpy(np.int64), codes)
    groups = _equal_groups(codes, (rows.side.iloc[order] == "b").to_numpy() if store.two_sides else None)
    figures = {"images": len(images), "pairs_compared": scan.pairs(store.two_sides), **(stats or {})}
    return Result(
        groups=groups,
        images=with_origins(images_in_pairs, {}),
        verdicts=verdicts,
        errors=scan.errors,
        files=scan.file_counts(index["ignored"]),
        links=_collect_links(index["links"], roots),
        value=value,
        settings=_shown_settings(roots, value),
        stats={**figures, "pairs": groups.count()},
    )


def _equal_groups(codes: NDArray[np.int64], on_b: NDArray[np.bool_] | None) -> Groups:
    """Make the groups of names with equal codes; of two sides, a group a side, and pairs of those of one code."""
    side = np.zeros(len(codes), np.int64) if on_b is None else on_b.astype(np.int64)
    members = np.lexsort((np.arange(len(codes)), codes, side))
    new = np.ones(len(members), bool)
    new[1:] = (np.diff(codes[members]) != 0) | (np.diff(side[members]) != 0)
    first = np.flatnonzero(new)
    none = np.zeros(0, np.int64)
    a, b = none, none
    if on_b is not None:
        of, on = codes[members[first]], side[members[first]]
        places_a, places_b = np.flatnonzero(on == 0), np.flatnonzero(on == 1)
        a, b = places_a, places_b[np.searchsorted(of[places_b], of[places_a])]
    return Groups(
        members=members,
        starts=np.append(first, len(members)),
        turns=np.zeros(len(members), np.int64),
        symmetries=np.ones(len(first), np.uint8),
        first=a,
        second=b,
        values=np.zeros(len(a), np.int64),
        masks=np.ones(len(a), np.uint8),
        two_sides=on_b is not None,
    )


def _codes(contents: pd.Series) -> NDArray[np.int64]:
    """Number the contents of files by their digests; a file without a digest is equal to no other."""
    codes = np.array(pd.factorize(contents)[0], np.int64)
    unknown = np.flatnonzero(codes < 0)
    codes[unknown] = -1 - unknown
    return codes


def _image_rows(images: pd.DataFrame, names: _Names, used: list[int]) -> pd.DataFrame:
    """Rows of `Result.images` for some names."""
    rows = images[["image", *KEEP_COLUMNS]].iloc[[names.rows[name] for name in used]]
    return rows.set_axis(pd.Index([names.paths[name] for name in used], dtype=object, name="path"))


def _shown_settings(roots: list[Root], value: PairValue) -> dict[str, Any]:
    """Settings of a result, as in the JSON file."""
    return {
        "directories_a": [root.given for root in roots if root.side == "a"],
        "directories_b": [root.given for root in roots if root.side == "b"],
        "thumbnail_size_x": value.thumbnails.width,
        "thumbnail_size_y": value.thumbnails.height,
        **value.settings.to_json(),
    }


def _pairs_of_contents(
    images: pd.DataFrame, names: Iterable[int], contents: list[tuple[str, str]]
) -> NDArray[np.int64]:
    """List the pairs of names, (k, 2), of images with given pairs of contents (SHA-256 digests)."""
    known = {content for pair in contents for content in pair}
    of: dict[str, list[int]] = {}
    for content, name in zip(images.content_hash, names, strict=True):
        if name >= 0 and content in known:
            of.setdefault(content, []).append(name)
    pairs = [(x, y) for a, b in contents for x in of.get(a, ()) for y in of.get(b, ()) if x != y]
    return np.array(pairs, np.int64).reshape(-1, 2)


def _hash_pairs(
    known: Images | None, names: dict[int, int], settings: CompareSettings, two_sides: bool
) -> NDArray[np.int64]:
    """List pairs of names that connect images with equal hashes, (k, 2), whatever the numbers of the images."""
    if known is None:
        return np.zeros((0, 2), np.int64)
    named = np.array([names[number] for number in known.numbers.tolist()], np.int64)
    order = np.argsort(named)
    pairs = PairFilters.of(settings).equal_hashes(known.keys[order], known.on_b[order] if two_sides else None)
    pairs = named[order][pairs]
    return pairs if two_sides else np.sort(pairs, axis=1)
