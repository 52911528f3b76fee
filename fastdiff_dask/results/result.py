"""What was found: pairs, clusters and errors under the names that the user gave, and the JSON file."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..kernels.transforms import lowest_transforms
from .clusters import Cluster, low_quality_of, make_cluster
from .components import Components
from .external_sort import sorted_chunks
from .groups import Groups, PairChunk
from .values import PairValue

__all__ = ["Result", "objects"]

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
    value
        The measure of the pairs.
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
    value: PairValue
    settings: dict[str, Any] = field(default_factory=dict)
    stats: dict[str, Any] = field(default_factory=dict)
    same_hash: NDArray[np.int64] = field(default_factory=lambda: np.zeros((0, 2), np.int64))

    @property
    def pixels(self) -> int | None:
        """Pixels of a thumbnail, by which a sum of squared errors is divided; None for another measure than MSE."""
        return self.value.pixels if self.value.is_mse else None

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
        rotation, mirrored = lowest_transforms(masks)
        numbers = self.images["image"].to_numpy() if numbered else None
        ends = {} if numbers is None else {"a_image": numbers[chunk.a[order]], "b_image": numbers[chunk.b[order]]}
        return pd.DataFrame(
            {
                "a": objects(paths[chunk.a[order]]),
                "b": objects(paths[chunk.b[order]]),
                self.value.column: self.value.numbers(chunk.values[order]),
                "rotation": rotation,
                "mirrored": mirrored,
                **ends,
            }
        )

    @property
    def hash_pairs(self) -> pd.DataFrame:
        """Pairs of `same_hash` by path, sorted: a, b. They are not in `pairs`, and in `clusters` they are."""
        names = self.images.index.to_numpy()
        rows = sorted(zip(names[self.same_hash[:, 0]], names[self.same_hash[:, 1]], strict=True))
        return pd.DataFrame({"a": objects([a for a, _ in rows]), "b": objects([b for _, b in rows])})

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


def objects(values: Sequence[str] | NDArray[np.object_]) -> pd.Series:
    """Strings as Python objects: pandas' own strings cannot hold the surrogates of undecodable names."""
    return pd.Series(values, dtype=object)
