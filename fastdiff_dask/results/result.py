"""The result of a comparison: pairs, clusters and errors under the names that the user gave."""

import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..config import (
    ALL_BY_CERTAINTY,
    BY_CERTAINTY,
    EDITED_COPY,
    SIMILAR,
    VERDICT_NAMES,
    check_verdicts,
    check_whole,
    describe_verdicts,
)
from ..errors import UsageError
from ..images.display import GroupToShow
from ..kernels.transforms import lowest_transforms
from ..storage.derived.verdicts import Verdicts
from ..text import counted, printable, titled
from ..urls import common_folder, is_url
from .by_verdict import choose_pairs, count_verdicts, groups_of_pairs
from .clusters import KEEP, REMOVE, SHOWN, Cluster, Clusters, Gallery, PairTable, low_quality_of, make_cluster
from .components import Components
from .edited_pairs import copies_among, no_edited_pairs, shown_edited, with_rows_of
from .groups import Groups, PairChunk
from .keep_order import keep_order, real_pixels, with_origins
from .values import PairValue
from .verdicts import PairVerdicts, Parting, part_clusters, spanning_forest

__all__ = ["Result", "objects"]

# Pairs up to which all are listed; beyond, equal thumbnails are listed by their first image.
_LISTED_PAIRS = 1_000_000
# Pairs that are made at once.
_PART = 1 << 18


@dataclass(frozen=True)
class Result:
    """The outcome of a comparison.

    Images with equal thumbnails are held as groups, and their pairs made on demand: 20,000 blank pages are 200 million
    pairs. Memory: about 1 kB for each image in a pair, and 200 B for each listed pair. More than a million pairs of
    different thumbnails are not held, but read from the store for each use.

    Attributes
    ----------
    groups
        The similar pairs in a short form; images are named by their row in `images`.
    images
        A row for each image in a pair, indexed and sorted by path: number, and the columns `KEEP_COLUMNS`: side, width,
        height, size in bytes, time of modification, format, camera, time of capture, signs of an original; and made,
        in words, for an image that was made from another one, as far as a second look knows: "enlarged from a.jpg".
    errors
        A row for each file that could not be compared, sorted by path: path, error.
    files
        Counts of the files below the folders: "found" = "compared" + "errors" + the sum of "ignored". The latter has a
        count for each rule by which a file is no image of the collection, see `IndexCounts`.
    links
        A row for each other name of a file, hard link or symbolic link, sorted by path: path, same_file_as. Such names
        are ignored, so that no file is the duplicate of itself.
    value
        The measure of the pairs.
    verdicts
        What a second look at both files found.
    settings, stats
        The settings, and the figures of the run, as in the JSON file.
    same_hash
        (k, 2) int64, rows of `images`: with ``skip_matching_hash``, pairs with equal hashes, which were not compared;
        few pairs that connect the same images as all such pairs.
    chosen_verdicts
        If not empty, the verdicts of all pairs: others were left out by `with_verdict`.
    forest
        The spanning forest of all pairs, if it was made when these were counted.
    edited_pairs
        Edited copies, a and b as rows of `images`, the other columns as in `edited`.
    planner
        Function that plans removals by the default rules, for `to_remove`; None for a result without a store.
    """

    groups: Groups
    images: pd.DataFrame
    errors: pd.DataFrame
    files: dict[str, Any]
    links: pd.DataFrame
    value: PairValue
    verdicts: PairVerdicts
    settings: dict[str, Any] = field(default_factory=dict)
    stats: dict[str, Any] = field(default_factory=dict)
    same_hash: NDArray[np.int64] = field(default_factory=lambda: np.zeros((0, 2), np.int64))
    chosen_verdicts: tuple[str, ...] = ()
    forest: PairChunk | None = None
    edited_pairs: pd.DataFrame = field(default_factory=no_edited_pairs)
    planner: "Callable[[Result], pd.DataFrame] | None" = None

    def __repr__(self) -> str:
        return titled("Result", self._lines())

    def _repr_html_(self) -> str:
        return self.gallery()._repr_html_()

    def _lines(self) -> list[str]:
        """Describe the result in a few lines, without reading many pairs again."""
        few = self.pair_count <= _LISTED_PAIRS
        verdicts = describe_verdicts(self.verdict_counts) if few else ""
        images, errors = self.stats.get("images"), len(self.errors)
        of = "" if images is None else f" in {counted(images, 'image')}"
        lines = [counted(self.pair_count, "similar pair") + of + (f": {verdicts}" if verdicts else "")]
        if few:
            copies = sum(len(one.low_quality) for one in self.clusters)
            groups = len(self.clusters)
            lines.append(f"{counted(groups, 'group')}: {counted(groups, 'image')} to keep, {counted(copies, 'other')}")
        lines += [counted(len(self.edited), "pair") + " with an edited copy"] if len(self.edited) else []
        lines.append(f"compared by {self.value.described}")
        return lines + ([f"{counted(errors, 'file')} could not be read"] if errors else [])

    def gallery(self, n: int = SHOWN) -> Gallery:
        """Give the first groups, the most certain ones first; a notebook shows them with pictures, some on a page.

        Parameters
        ----------
        n
            Groups to show, at most. Of a group, six pictures are read.

        Returns
        -------
        The gallery.
        """
        check_whole("n", n)
        groups = [self._shown(one) for one in self.clusters_by_verdict()[:n]]
        left = [f"the first {len(groups)} groups are shown"] if len(groups) < len(self.clusters) else []
        return Gallery(groups, [*self._lines(), *left])

    def _shown(self, cluster: Cluster) -> GroupToShow:
        """Describe each image of a group by its pair with the image to keep."""
        others = cluster.low_quality[:SHOWN]
        found = self.similar_to(cluster.keep, others)
        pairs = {row.b if row.a == cluster.keep else row.a: row for row in found.itertuples()}
        notes, marks = [""], [KEEP]
        for path in others:
            row = pairs.get(path)
            value = "" if row is None else f", {self.value.name} {self.value.shown(getattr(row, self.value.column))}"
            notes.append("similar to another one of the group" if row is None else f"{row.verdict}{value}")
            # a plan takes none that is only similar, unless it is told to
            marks.append(REMOVE if row is not None and row.verdict != VERDICT_NAMES[SIMILAR] else "similar")
        return GroupToShow([cluster.keep, *others], marks, notes, more=len(cluster.low_quality) - len(others))

    def show(self, n: int = 10) -> None:
        """Show the first groups: with pictures in a notebook, else as lines.

        Parameters
        ----------
        n
            Groups to show, at most, the most certain ones first.
        """
        gallery = self.gallery(n)
        if "IPython" in sys.modules and hasattr(sys.modules["IPython"].get_ipython(), "kernel"):
            from IPython.display import display

            display(gallery)
            return
        print(self)
        folder = common_folder(path for one in gallery.groups for path in one.paths)
        common = len(folder) + 1 if folder else 0
        if folder:
            print(f"in {printable(folder)}")
        for group in gallery.groups:
            for path, mark, note in zip(group.paths, group.marks, group.notes, strict=True):
                print(f"  {mark}: {printable(path[common:])}{f' ({note})' if note else ''}")
            if group.more:
                print(f"  and {group.more} more")

    def to_remove(self) -> pd.DataFrame:
        """List the images that could be removed, by the default rules of `Project.plan`; no file is touched.

        An image is listed only for one that is kept, similar to it itself, and has all that it has. Pairs that nobody
        looked at yet are looked at now, at both files: some hundredths of a second each.

        Returns
        -------
        A row for each image: remove, keep, why, mse (or value), bytes; see `RemovalPlan.to_frame`.

        Raises
        ------
        UsageError
            If this result is not of a project.
        """
        if self.planner is None:
            raise UsageError("this result is not of a project; db.result().to_remove() or db.plan() lists them")
        return self.planner(self)

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
        """True if `pairs` has all similar pairs."""
        return self.pair_count <= _LISTED_PAIRS

    @cached_property
    def pairs(self) -> pd.DataFrame:
        """The similar pairs, sorted by path; a notebook shows them with pictures.

        Columns:

        - a, b: the paths; within one side, a sorts first;
        - mse, or value of another measure;
        - rotation: degrees counter-clockwise by which a is turned to look like b;
        - mirrored: a is mirrored left and right before;
        - verdict: "same file" (equal byte by byte), "same pixels", "same picture" (resized, compressed, converted),
          "similar" (the thumbnails are, the pictures differ) or "not looked at", see `stages.verify`.

        If there are more than a million pairs, not all are listed: `pairs_complete` is False, `pair_count` is the
        number of all pairs, and `iter_pairs` gives them. The listed ones connect the same images. Of images with equal
        thumbnails, the first one by path is paired with similar images, and with the others of its group; between two
        sides, each of the others is paired with one similar image. If these are more than a million as well, each
        cluster has the pairs with its image to keep, and the most similar ones that connect its images.
        """
        return self._frame(self._listed)

    def numbered_pairs(self) -> pd.DataFrame:
        """Give `pairs` with the columns a_image and b_image, the numbers of the images in the store."""
        return self._frame(self._listed, numbered=True)

    @cached_property
    def _listed(self) -> PairChunk:
        if self.pairs_complete:
            return PairChunk.none().joined(*self.groups.pairs(_LISTED_PAIRS))
        return self.groups.stars() if self.groups.star_count() <= _LISTED_PAIRS else self.parting.pairs

    def sorted_pairs(self, *, numbered: bool = False) -> Iterator[pd.DataFrame]:
        """Give `pairs`, or, with `numbered`, `numbered_pairs`, a part at a time."""
        chunk = self._listed
        order = np.lexsort((chunk.b, chunk.a))
        for start in range(0, len(order), _PART):
            yield self._frame(chunk.at(order[start : start + _PART]), numbered)

    def iter_pairs(self, at_once: int = _PART, *, numbered: bool = False) -> Iterator[pd.DataFrame]:
        """Give all similar pairs, each once, in parts of at most `at_once`; a part is sorted.

        Columns as `pairs`, or, with `numbered`, as `numbered_pairs`.
        """
        for chunk in self.groups.pairs(at_once):
            yield self._frame(chunk, numbered)

    def similar_to(self, path: str, others: Sequence[str]) -> pd.DataFrame:
        """Give the pairs of one image with those of some others that are similar to it; columns as `pairs`."""
        places = np.array([row for other in others for row in self._rows[other]], np.int64)
        found = [self.groups.between(row, places) for row in self._rows[path]]
        return self._frame(PairChunk(*(np.concatenate(parts) for parts in zip(*found, strict=True))))

    def among(self, paths: Sequence[str]) -> "Result":
        """Hold the pairs of some images, for many calls of `similar_to` between them."""
        places = [row for path in paths for row in self._rows[path]]
        return replace(self, groups=self.groups.among(np.array(places, np.int64)), forest=None)

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
        return PairTable(
            {
                "a": objects(paths[chunk.a[order]]),
                "b": objects(paths[chunk.b[order]]),
                self.value.column: self.value.numbers(chunk.values[order]),
                "rotation": rotation,
                "mirrored": mirrored,
                "verdict": objects(self.verdicts.names(chunk.a[order], chunk.b[order])),
                **ends,
            }
        )

    @property
    def hash_pairs(self) -> pd.DataFrame:
        """Pairs of `same_hash` by path, sorted: a, b. They count for `clusters`, and are not in `pairs`."""
        names = self.images.index.to_numpy()
        rows = sorted(zip(names[self.same_hash[:, 0]], names[self.same_hash[:, 1]], strict=True))
        return pd.DataFrame({"a": objects([a for a, _ in rows]), "b": objects([b for _, b in rows])})

    @cached_property
    def edited(self) -> pd.DataFrame:
        """Edited copies, if they were looked for, that are no similar pairs of the same picture; sorted by path.

        Columns:

        - original, copy: paths; the copy was made from the original, as far as the pictures tell;
        - confidence: 0 to 1;
        - words: what was done, "cropped to 82 %, brighter";
        - part: "copy" if the copy shows a part of the original only, "original" if it is the other way round, "both" if
          each shows something that the other one lacks, else "";
        - top, left, bottom, right: what the copy shows, in pixels of the original;
        - mirrored, angle: the copy is mirrored, and turned by so many degrees counter-clockwise;
        - via: empty if this pair was looked at. Of many copies of one picture, most pairs are not: both are copies of
          this image, and fit each other; which of the two is the copy, and what was done, is not known.
        """
        return self.numbered_edited().drop(columns=["original_image", "copy_image"])

    def numbered_edited(self) -> pd.DataFrame:
        """Give `edited` with the columns original_image and copy_image, the numbers of the images in the store."""
        pairs = copies_among(self.edited_pairs, self.verdicts)
        return shown_edited(pairs, self.images.index.to_numpy(), self.images["image"].to_numpy())

    @cached_property
    def clusters(self) -> list[Cluster]:
        """Clusters of connected images, sorted by the path to keep."""
        rows = list(self.images.itertuples())
        found = (make_cluster((rows[i] for i in part), self.groups.two_sides) for part in self.connected())
        return Clusters(sorted(found))

    def clusters_by_verdict(self) -> list[Cluster]:
        """Clusters, those first whose least certain verdict against the image to keep is most certain; else by path."""
        certainty = np.argsort([VERDICT_NAMES.index(name) for name in BY_CERTAINTY])
        pairs = [
            (place, self._rows[one.keep][0], self._rows[path][-1])
            for place, one in enumerate(self.clusters)
            for path in one.low_quality
        ]
        # a cluster may be one file that both sides have
        places, kept, others = np.array(pairs, np.int64).reshape(-1, 3).T
        worst = np.zeros(len(self.clusters), np.int64)
        np.maximum.at(worst, places, certainty[self.verdicts.codes(kept, others)])
        return Clusters(self.clusters[place] for place in np.argsort(worst, kind="stable").tolist())

    def connected(self) -> list[NDArray[np.int64]]:
        """Give the rows of `images` of each cluster, in no particular order.

        Clusters are parted where a second look found different pictures, unless pairs were chosen by their verdict.
        """
        if not len(self.verdicts.verdicts) or self.chosen_verdicts:
            return self._components()
        labels = self.parting.labels
        order = np.argsort(labels, kind="stable")
        parts = np.split(order, np.flatnonzero(np.diff(labels[order])) + 1)
        return [part for part in parts if len(part) > 1]

    def with_verdicts(self, verdicts: Verdicts) -> "Result":
        """Give the same result with newer verdicts."""
        pairs = replace(self.verdicts, verdicts=verdicts)
        newer = replace(self, verdicts=pairs, images=with_origins(self.images, pairs.sources()))
        if "_forest" in self.__dict__:  # it depends on the pairs alone
            newer.__dict__["_forest"] = self._forest
        return newer

    @cached_property
    def verdict_counts(self) -> dict[str, int]:
        """Numbers of all similar pairs by their verdict, the most certain first."""
        return count_verdicts(self.groups, self.verdicts)

    @cached_property
    def copied_verdicts(self) -> dict[str, int]:
        """Numbers of the images of side b that are in a pair, by the most certain verdict of their pairs.

        If side a trains a model and side b tests it, these images leak from one to the other.
        """
        edited = copies_among(self.edited_pairs, self.verdicts)
        ends = edited[["a", "b"]].to_numpy(np.int64).ravel()
        copies = self.images.index[ends[(self.images.side == "b").to_numpy()[ends]]]
        names = pd.concat([self.pairs.b, objects(copies)], ignore_index=True)
        verdicts = pd.concat([self.pairs.verdict, objects([EDITED_COPY] * len(copies))], ignore_index=True)
        best = verdicts.map(ALL_BY_CERTAINTY.index).groupby(names).min().value_counts().sort_index()
        return {ALL_BY_CERTAINTY[code]: int(number) for code, number in best.items()}

    def with_verdict(self, names: str | Iterable[str]) -> "Result":
        """Give the result of the pairs with some verdicts alone, and the clusters that these pairs make.

        Of more than a million pairs, the listed ones, those that were looked at, and some of equal files that connect
        the same images.

        Parameters
        ----------
        names
            Verdicts, see `pairs`, and "edited copy"; several, or a text with commas. All pairs if there are none.

        Returns
        -------
        The result.

        Raises
        ------
        UsageError
            If there is no such verdict.
        """
        chosen = check_verdicts(names)
        if not chosen:
            return self
        pairs = choose_pairs(self.groups, self.verdicts, [name for name in chosen if name != EDITED_COPY], self._listed)
        groups, rows = groups_of_pairs(pairs, self.groups.two_sides)
        edited = self.edited_pairs if EDITED_COPY in chosen else no_edited_pairs()
        return replace(self._of_pairs(groups, edited, rows), chosen_verdicts=chosen)

    def _of_pairs(self, groups: Groups, edited: pd.DataFrame, rows: NDArray[np.int64]) -> "Result":
        """Give the result of some groups, whose members are places in some rows, and of some edited copies."""
        groups, edited, rows = with_rows_of(groups, edited, rows)
        known = self.verdicts
        verdicts = replace(known, numbers=known.numbers[rows], contents=known.contents[rows])
        return replace(
            self,
            groups=groups,
            images=self.images.iloc[rows],
            verdicts=verdicts,
            stats={**self.stats, "pairs": groups.count()},
            same_hash=self.same_hash[:0],
            edited_pairs=edited,
            forest=None,
        )

    def like(self, path: str) -> "Result":
        """Give the pairs of one image alone, and its edited copies.

        Parameters
        ----------
        path
            A path of the image: as in the result, or another name of the same place.

        Returns
        -------
        The result; without pairs, if the image has none.
        """
        place = _place(path)
        rows = np.array([row for row, name in enumerate(self.images.index) if _place(name) == place], np.int64)
        every = PairChunk.none().joined(*self.groups.pairs_of(rows))
        _, first = np.unique(np.stack([every.a, every.b]), axis=1, return_index=True)
        groups, used = groups_of_pairs(every.at(np.sort(first)), self.groups.two_sides)
        edited = self.edited_pairs
        edited = edited[edited.a.isin(rows) | edited.b.isin(rows)]
        return self._of_pairs(groups, edited, used)

    @cached_property
    def parting(self) -> Parting:
        """The pairs that a second look decides by, and the clusters that it leaves."""
        rows = list(self.images.itertuples())
        keys = [keep_order(row, str(row.Index), row.width * row.height) for row in rows]
        for part in self.groups.connected():
            for place, pixels in zip(part.tolist(), real_pixels([rows[place] for place in part]), strict=True):
                keys[place] = keep_order(rows[place], str(rows[place].Index), pixels)
        ranks = np.empty(len(rows), np.int64)
        ranks[sorted(range(len(rows)), key=keys.__getitem__)] = np.arange(len(rows))
        return part_clusters(self.groups, self._forest, self.verdicts, ranks, self.same_hash)

    @cached_property
    def _forest(self) -> PairChunk:
        return spanning_forest(self.groups, len(self.images)) if self.forest is None else self.forest

    def _components(self) -> list[NDArray[np.int64]]:
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
        """Paths of all images but the best of each cluster, sorted."""
        return low_quality_of(self.clusters)


def objects(values: Sequence[str] | NDArray[np.object_]) -> pd.Series:
    """Make a column of Python strings: pandas' own strings cannot hold the surrogates of undecodable names."""
    return pd.Series(values, dtype=object)


def _place(path: str) -> str:
    """Name a place in one way, whatever links lead to it; a URL as it is."""
    return path if is_url(path) else os.path.realpath(os.path.expanduser(path))  # noqa: PTH111 - may be undecodable
