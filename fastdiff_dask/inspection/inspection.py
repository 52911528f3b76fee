"""The table of a data set: each image with its figures and what is remarkable, a block at a time."""

import os
from collections.abc import Iterator
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from ..config import CompareSettings
from ..images.display import GroupToShow, gallery_html
from ..results.collect import shown_paths
from ..results.result import Result, objects
from ..stages.listing.roots import Root
from ..storage.schema import FIGURES, FILE_NAME
from ..storage.store import Store
from ..text import counted, titled
from .definitions import FIGURE_OF, ISSUES, Collection, Limits, describe_rule, judge, sizes_of
from .equal import Repeats, find_repeats
from .splits import Splits

if TYPE_CHECKING:
    import dask.dataframe as dd

__all__ = ["COLUMNS", "INSPECTION_SCHEMA", "Example", "Inspection", "inspect_images"]

_TEXTS, _WHOLE = ("path", "split", "mode", "near_path", "leak_to", "error"), ("width", "height", "equal_files")


def _kind(column: str) -> pa.DataType:
    """Type of a column of the table in a file."""
    if column in ISSUES:
        return pa.bool_()
    if column in _TEXTS:
        return pa.string()
    return pa.int32() if column in _WHOLE else pa.float64()


_READ = ["image", *FILE_NAME, "side", "current", "width", "height", "mode", "error", *FIGURES]
# Columns of the table, in this order; its index is the number of the image.
COLUMNS = (
    *("path", "split", "width", "height", "mode"),
    *(name for issue in ISSUES for name in (issue, FIGURE_OF[issue])),
    *("brightness", "near_path", "leak_to", "error"),
)
# The same in a file.
INSPECTION_SCHEMA = pa.schema(
    [
        ("image", pa.int64()),
        *((name, _kind(name)) for name in COLUMNS),
    ]
)
# Images of an issue that are shown.
_EXAMPLES = 5
# Issues whose highest figures are the most remarkable; of the others, the lowest.
_HIGHEST_FIRST = {"bright", "blurred", "odd_size", "byte_equal"}


class Example(NamedTuple):
    """An image with an issue.

    Attributes
    ----------
    image
        Its number.
    path
        Its path, the folder as the user gave it.
    figure
        The figure that the issue rests on.
    width, height
        Its pixels; 0 if it could not be read.
    """

    image: int
    path: str
    figure: float
    width: int
    height: int


class Inspection:
    """A look at all images of a collection; a notebook shows what is remarkable, with pictures.

    It holds figures that depend on all images, 60 bytes an image; the table is made of the store, a block at a time.

    Parameters
    ----------
    store, roots
        The store, and the folders as the user gives them now.
    limits
        Limits of the figures.
    collection, repeats
        What images are compared with.
    part_of, splits
        (n,) int8: the part of each image by its number, a place in `splits`, −1 for none.
    result
        The pairs; None if images were not compared.
    not_compared
        Why there are none.

    Attributes
    ----------
    limits, splits, not_compared
        As above.
    """

    def __init__(
        self,
        store: Store,
        roots: list[Root],
        limits: Limits,
        collection: Collection,
        repeats: Repeats,
        part_of: NDArray[np.int8],
        splits: list[str],
        result: Result | None,
        not_compared: str,
    ) -> None:
        self._store, self._roots, self.limits = store, roots, limits
        self._collection, self._repeats, self._part_of = collection, repeats, part_of
        self.splits, self.not_compared = splits, not_compared
        self._value = None if result is None else result.value
        self._near = (
            {} if result is None else dict(zip(result.verdicts.numbers.tolist(), result.images.index, strict=True))
        )

    # -- the table ---------------------------------------------------------------------------------------------------

    def blocks(self) -> Iterator[pd.DataFrame]:
        """Give the rows of the table, a block of the store at a time; see `table`."""
        for block in range(self._store.blocks):
            yield self._rows(block)

    def numbered_blocks(self) -> Iterator[pd.DataFrame]:
        """Give the rows for a file, a block at a time: with their numbers, as `INSPECTION_SCHEMA`."""
        for rows in self.blocks():
            figures = {name: rows[name].astype(float).round(6) for name in rows.select_dtypes("floating")}
            yield rows.assign(**figures).reset_index()[INSPECTION_SCHEMA.names]

    def _rows(self, block: int) -> pd.DataFrame:
        frame = self._store.read_partition(block, _READ)
        frame = frame[frame.current].set_index("image")
        found: dict[str, Any] = {
            **judge(frame, self._collection, self.limits),
            **self._repeated(frame.index.to_numpy()),
        }
        paths = objects(shown_paths(frame, self._roots)).set_axis(frame.index)
        return frame.assign(path=paths, **found)[list(COLUMNS)]

    def _repeated(self, images: NDArray[np.int64]) -> dict[str, Any]:
        """Give the columns about other images."""
        near, leak, others = (
            values[images] for values in (self._repeats.near_value, self._repeats.leak_value, self._repeats.leak_to)
        )
        nearest = [self._near.get(image) for image in self._repeats.near_image[images].tolist()]
        names = [self.splits[part] if part >= 0 else None for part in self._part_of[images].tolist()]
        equal = self._repeats.equal_files[images]
        return {
            "split": pd.Series(names, images, dtype=object),
            "byte_equal": equal > 0,
            "equal_files": equal,
            "near_equal": ~np.isnan(near),
            "near_value": near,
            "near_path": pd.Series(nearest, images, dtype=object),
            "leak": ~np.isnan(leak),
            "leak_value": leak,
            "leak_to": pd.Series([self._names(bits) for bits in others.tolist()], images, dtype=object),
        }

    def _names(self, bits: int) -> str | None:
        return ", ".join(name for place, name in enumerate(self.splits) if bits >> place & 1) or None

    @property
    def table(self) -> pd.DataFrame:
        """A row for each image, by its number, as in `Project.images`; about 400 bytes each in memory.

        Columns: path, split, width, height and mode; each issue of `inspection.definitions` (bool), followed by the
        figure that it rests on; brightness; near_path, the most similar image of other bytes; leak_to, the other parts
        of the data set that have this picture; and error, of a file that could not be read.
        """
        return pd.concat(list(self.blocks())) if self._store.blocks else self._meta()

    def _meta(self) -> pd.DataFrame:
        empty = np.zeros(0, np.int64)
        kinds: dict[str, Any] = dict.fromkeys(COLUMNS, np.float64) | dict.fromkeys(ISSUES, bool)
        kinds |= dict.fromkeys(_TEXTS, object)
        kinds |= dict.fromkeys(_WHOLE, np.int32)
        kinds |= dict.fromkeys(("near_value", "leak_value", *FIGURES), np.float32)
        index = pd.Index(empty, name="image")
        return pd.DataFrame({name: pd.Series(empty.astype(kinds[name]), index) for name in COLUMNS})

    def to_dask(self) -> "dd.DataFrame":
        """Give `table` as a Dask DataFrame, a partition a block, with the divisions of `Project.images`."""
        import dask.dataframe as dd

        if not self._store.blocks:
            return dd.from_pandas(self._meta(), npartitions=1)
        size = self._store.thumbnail_settings.block_size
        divisions = [block * size for block in range(self._store.blocks)] + [self._store.blocks * size - 1]
        meta = self._plain_rows(0).iloc[:0]
        return dd.from_map(self._plain_rows, range(self._store.blocks), meta=meta, divisions=divisions, label="inspect")

    def joined(self, images: "dd.DataFrame") -> "dd.DataFrame":
        """Give the metadata of the images, `Project.images`, with those columns of the table that it lacks."""
        import dask.dataframe as dd

        table = self.to_dask()
        return dd.concat([images, table[[name for name in table.columns if name not in images.columns]]], axis=1)

    def _plain_rows(self, block: int) -> pd.DataFrame:
        """Give rows with undecodable bytes as U+FFFD: Dask makes Arrow's strings of all texts."""
        rows = self._rows(block)
        for name in ("path", "near_path"):
            texts = [None if text is None else os.fsencode(text).decode("utf-8", "replace") for text in rows[name]]
            rows[name] = pd.Series(texts, rows.index, dtype=object)
        return rows

    # -- what it says ------------------------------------------------------------------------------------------------

    @cached_property
    def _counted(self) -> tuple[dict[str, int], dict[str, list[Example]], dict[str, int]]:
        """Count images by issue, keep the most remarkable ones, and count what is not known: in one pass."""
        counts = dict.fromkeys(("images", "errors", "unmeasured", "unblurred", *ISSUES), 0)
        examples: dict[str, list[Example]] = {issue: [] for issue in ISSUES}
        parts = dict.fromkeys(self.splits, 0)
        for rows in self.blocks():
            read = rows[rows.error.isna()]
            counts["images"] += len(rows)
            counts["errors"] += len(rows) - len(read)
            counts["unmeasured"] += int(read.brightness.isna().sum())
            counts["unblurred"] += int(read.blur.isna().sum())
            for name, number in rows.split.value_counts().items():
                parts[str(name)] += int(number)
            for issue in ISSUES:
                number = int(rows[issue].sum())
                counts[issue] += number
                if number:
                    some = rows.loc[rows[issue], ["path", FIGURE_OF[issue], "width", "height"]]
                    examples[issue] = _first(issue, examples[issue], some)
        return counts, examples, parts

    @property
    def counts(self) -> dict[str, int]:
        """Number of images, of errors, of images that are not measured or whose blur is not known, and by issue."""
        return self._counted[0]

    @property
    def images_by_split(self) -> dict[str, int]:
        """Part of the data set → number of its images; empty if there are no parts."""
        return self._counted[2]

    def examples(self, issue: str) -> list[Example]:
        """Give the five most remarkable images with an issue, by its figure."""
        return self._counted[1][issue]

    @property
    def summary(self) -> pd.DataFrame:
        """A row for each issue: images (number), share (of all), limit, figure (its column), rule (in words)."""
        total = max(self.counts["images"], 1)
        return pd.DataFrame(
            {
                "images": [self.counts[issue] for issue in ISSUES],
                "share": [self.counts[issue] / total for issue in ISSUES],
                "limit": [getattr(self.limits, issue, None) for issue in ISSUES],
                "figure": list(FIGURE_OF.values()),
                "rule": [self.rule(issue) for issue in ISSUES],
            },
            index=pd.Index(ISSUES, name="issue"),
        ).astype({"limit": float})

    def rule(self, issue: str) -> str:
        """Describe when an image has an issue."""
        title = CompareSettings().measure_title if self._value is None else self._value.title
        return describe_rule(issue, self.limits, "difference (MSE)" if title == "MSE" else title)

    @cached_property
    def leaks(self) -> pd.DataFrame:
        """Pairs of images in two parts: a, b (paths), split_a, split_b, value, verdict; the most similar ones first.

        Of equal files, and of equal thumbnails, the first one of each part is listed; of all these pairs at most
        10,000, see `leak_pairs`. The value
        is the difference (MSE), or that of the measure by which images were compared; 0 for equal files.
        """
        leaks = self._repeats.leaks
        ends = np.array([[leak.a, leak.b] for leak in leaks], np.int64).reshape(-1, 2)
        rows = self._store.image_rows(np.unique(ends), ["image", "side", *FILE_NAME])
        paths = dict(zip(rows.image.tolist(), shown_paths(rows, self._roots), strict=True)) if len(rows) else {}
        return pd.DataFrame(
            {
                "a": objects([paths[leak.a] for leak in leaks]),
                "b": objects([paths[leak.b] for leak in leaks]),
                "split_a": objects([self.splits[self._part_of[leak.a]] for leak in leaks]),
                "split_b": objects([self.splits[self._part_of[leak.b]] for leak in leaks]),
                "value": np.array([leak.value for leak in leaks], float),
                "verdict": objects([leak.verdict for leak in leaks]),
            }
        )

    @property
    def leak_pairs(self) -> int:
        """Number of all pairs across parts, of which `leaks` lists some."""
        return self._repeats.leak_pairs

    def lines(self) -> list[str]:
        """Describe it in a few lines."""
        counts = self.counts
        found = [f"{counts[issue]:,} {issue.replace('_', ' ')}" for issue in ISSUES if counts[issue]]
        lines = [f"{counted(counts['images'], 'image')}: " + (", ".join(found) or "nothing remarkable")]
        if self.images_by_split:
            parts = ", ".join(f"{name} ({number:,})" for name, number in self.images_by_split.items())
            lines.append(f"parts: {parts}")
        if counts["errors"]:
            lines.append(f"{counted(counts['errors'], 'file')} could not be read")
        unknown = counts["unmeasured"] or counts["unblurred"]
        if unknown:
            what = "all figures of the picture" if counts["unmeasured"] else "the blur"
            lines.append(f"{what} of {counted(unknown, 'image')} not known: the file changed, is gone, or was not read")
        if self._value is not None and (counts["near_equal"] or counts["leak"]):
            lines.append(f"near equal{' and leak' * bool(counts['leak'])}: {self._value.described}")
        if self.not_compared:
            lines.append(f"near equal is not known: {self.not_compared}")
        return lines

    def __repr__(self) -> str:
        return titled("Inspection", self.lines())

    def _repr_html_(self) -> str:
        groups = []
        for issue in ISSUES:
            examples = self.examples(issue)
            if examples:
                notes = [f"{FIGURE_OF[issue]} {example.figure:.3g}" for example in examples]
                title = f"{issue.replace('_', ' ')}: {counted(self.counts[issue], 'image')}; {self.rule(issue)}"
                more = self.counts[issue] - len(examples)
                groups.append(GroupToShow([one.path for one in examples], [], notes, title=title, more=more))
        return gallery_html(groups, self.lines())


def _first(issue: str, known: list[Example], some: pd.DataFrame) -> list[Example]:
    """Choose the most remarkable images."""
    columns = [some.index.tolist(), *(some[name].tolist() for name in ("path", FIGURE_OF[issue], "width", "height"))]
    sign = -1 if issue in _HIGHEST_FIRST else 1
    found = [*known, *(Example(*row) for row in zip(*columns, strict=True))]
    return sorted(found, key=lambda one: (sign * one.figure, one.image))[:_EXAMPLES]


def inspect_images(
    store: Store,
    roots: list[Root],
    limits: Limits,
    splits: tuple[str, ...] = (),
    result: Result | None = None,
    not_compared: str = "",
) -> Inspection:
    """Look at all images of a store.

    Parameters
    ----------
    store, roots
        The store, whose images were read, and the folders as the user gives them now.
    limits
        Limits of the figures.
    splits
        Folders that are parts of the data set, see `Splits`; by default those that are named so.
    result
        The pairs; None if images were not compared.
    not_compared
        Why there are none.

    Returns
    -------
    The inspection.

    Raises
    ------
    UsageError
        If a folder of `splits` has no image.
    """
    size = store.thumbnail_settings.block_size
    parts, modes = Splits(splits), dict[str, int]()
    part_of = np.full(store.blocks * size, -1, np.int8)
    digests = np.zeros((len(part_of), 4), np.uint64)
    sizes = []
    for block in range(store.blocks):
        columns = ["image", "root", "path", "current", "width", "height", "mode", "error", "content_hash"]
        frame = store.read_partition(block, columns)
        frame = frame[frame.current]
        images = frame.image.to_numpy()
        part_of[images] = parts.of(frame)
        known = frame.content_hash.notna().to_numpy()
        content = bytes.fromhex("".join(frame.content_hash[known]))
        digests[images[known]] = np.frombuffer(content, np.uint64).reshape(-1, 4)
        read = frame[frame.error.isna() & (frame.width > 0) & (frame.height > 0)]
        sizes.append(sizes_of(read))
        for mode, number in read["mode"].value_counts().items():
            modes[str(mode)] = modes.get(str(mode), 0) + int(number)
    parts.check()
    collection = Collection.of(np.concatenate([np.zeros(0), *sizes]), modes)
    repeats = find_repeats(digests, part_of, result)
    return Inspection(store, roots, limits, collection, repeats, part_of, parts.names, result, not_compared)
