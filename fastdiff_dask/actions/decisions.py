"""Decisions of people about images: files of marks, and pairs that are no duplicates, which a store remembers."""

import json
import math
import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..errors import UsageError
from ..results.collect import shown_paths
from ..results.result import Result
from ..results.stored import roots_of_store
from ..storage.schema import FILE_NAME
from ..storage.store import Store
from ..text import one_line, printable

__all__ = [
    "FORMAT",
    "Apart",
    "Decisions",
    "forget_not_duplicates",
    "list_not_duplicates",
    "numbers_of_pairs",
    "read_decisions",
    "remember_not_duplicates",
]

FORMAT = "fastdiff_dask decisions 1"
_LARGEST = 1 << 28


@dataclass(frozen=True)
class Decisions:
    """Marks of images.

    Attributes
    ----------
    marks
        "keep" or "remove" by the number of an image; None if nobody marked any, so that rules alone decide.
    not_duplicates
        Pairs of numbers of images that are no duplicates of each other.
    threshold
        Threshold of the result that was marked; None if the file does not say.
    """

    marks: dict[int, str] | None = None
    not_duplicates: list[tuple[int, int]] = field(default_factory=list)
    threshold: float | None = None


class Apart(NamedTuple):
    """Two contents that people said are no duplicates.

    Attributes
    ----------
    contents
        SHA-256 of both files.
    paths
        Paths of the images with each content, sorted; empty where the store has none any more.
    """

    contents: tuple[str, str]
    paths: tuple[list[str], list[str]]


def read_decisions(store: Store, path: str | os.PathLike[str]) -> Decisions:
    """Read a file of marks, as the report writes it.

    The file is JSON with

    - ``format``: `FORMAT` of this module;
    - ``marks``: each with ``image``, ``path`` and ``mark`` ("keep" or "remove");
    - ``not_duplicates``: each with two ``images`` and their ``paths``;
    - ``threshold``: of the result that was marked; files of earlier versions have none.

    The paths must be those that the store has for the numbers, so that marks for another store do no harm.

    Raises
    ------
    UsageError
        If the file has another form, or is about other images.
    """
    try:
        with Path(path).open("rb") as file:
            content = file.read(_LARGEST + 1)
    except OSError as error:
        raise UsageError(f"the decisions in {path} cannot be read: {error.strerror}; name another file") from None
    try:
        if len(content) > _LARGEST:
            raise ValueError("it is too large")
        values = json.loads(content)
        if values["format"] != FORMAT:
            raise ValueError(f"its format is {values['format']!r}, not {FORMAT!r}")
        marks: dict[int, str] = {}
        named: list[tuple[int, str]] = []
        if not isinstance(values["marks"], list) or not isinstance(values["not_duplicates"], list):
            raise TypeError("marks and not_duplicates must be lists")
        for one in values["marks"]:
            number, mark = _number(one["image"]), one["mark"]
            if mark not in ("keep", "remove"):
                raise ValueError(f"{mark!r} is no mark")
            if marks.get(number, mark) != mark:
                raise ValueError(f"image {number} is marked twice")
            marks[number] = mark
            named.append((number, str(one["path"])))
        threshold = values.get("threshold")
        if threshold is not None and (isinstance(threshold, bool) or not math.isfinite(float(threshold))):
            raise ValueError(f"{threshold!r} is no threshold")
        pairs = []
        for one in values["not_duplicates"]:
            (a, b), paths = map(_number, one["images"]), one["paths"]
            pairs.append((a, b))
            named += zip((a, b), map(str, paths), strict=True)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise UsageError(
            f"{path} has no decisions ({one_line(error, 200, kind=True)}); export them from the report"
        ) from None
    known = _paths(store, sorted({number for number, _ in named}))
    for number, name in named:
        if known.get(number) != name:
            raise UsageError(
                f"{path} was made for another store: image {number} is {printable(name)} there, and "
                f"{printable(known.get(number, 'none'))} in {store.url}; make the report again"
            )
    return Decisions(marks, pairs, None if threshold is None else float(threshold))


def _number(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 1 << 62:
        raise ValueError(f"{value!r} is no image")
    return value


def _rows(store: Store, numbers: Iterable[int], columns: list[str]) -> Any:
    """Read the metadata of some images that are current, block by block."""
    size = store.thumbnail_settings.block_size
    wanted: dict[int, list[int]] = {}
    for number in numbers:
        wanted.setdefault(number // size, []).append(number)
    for block in sorted(wanted):
        if block < store.blocks:
            frame = store.read_partition(block, ["image", "current", *columns])
            yield frame[frame.image.isin(wanted[block]) & frame.current]


def _paths(store: Store, numbers: list[int]) -> dict[int, str]:
    roots = roots_of_store(store)
    found: dict[int, str] = {}
    for frame in _rows(store, numbers, ["side", *FILE_NAME]):
        found |= dict(zip(frame.image.tolist(), shown_paths(frame, roots), strict=True))
    return found


def numbers_of_pairs(result: Result, pairs: Iterable[tuple[str, str]]) -> list[tuple[int, int]]:
    """Find the numbers of pairs of images by their paths; a path may be that of two images, one a side.

    Raises
    ------
    UsageError
        If an image is in no similar pair.
    """
    numbers = result.images["image"]
    named = [tuple(pair) for pair in pairs]
    for name in {name for pair in named for name in pair}:
        if name not in numbers.index:
            raise UsageError(f"{printable(str(name))} is in no similar pair")
    return [
        (int(a), int(b)) for x, y in named for a in np.atleast_1d(numbers.loc[x]) for b in np.atleast_1d(numbers.loc[y])
    ]


def remember_not_duplicates(store: Store, pairs: Iterable[tuple[int, int]]) -> int:
    """Record in a store, which is locked for writing, that images are no duplicates; gives the number of new pairs.

    The record names images by their content, so that it holds for files that are renamed later.
    """
    pairs = list(pairs)
    numbers = sorted({number for pair in pairs for number in pair})
    hashes: dict[int, str] = {}
    for frame in _rows(store, numbers, ["content_hash"]):
        there = frame[frame.content_hash.notna()]
        hashes |= dict(zip(there.image.tolist(), there.content_hash.tolist(), strict=True))
    before = store.records.read_not_duplicates()
    known = [(hashes[a], hashes[b]) for a, b in pairs if a in hashes and b in hashes and a != b]
    after = sorted({*before, *((min(pair), max(pair)) for pair in known)})
    if after != before:
        store.records.write_not_duplicates(after)
    return len(after) - len(before)


def list_not_duplicates(store: Store) -> list[Apart]:
    """List the pairs of contents that people said are no duplicates, in the order in which the store has them."""
    pairs = store.records.read_not_duplicates()
    wanted = {content for pair in pairs for content in pair}
    roots = roots_of_store(store)
    paths: dict[str, list[str]] = {}
    for block in range(store.blocks if pairs else 0):
        frame = store.read_partition(block, ["side", *FILE_NAME, "current", "content_hash"])
        frame = frame[frame.current & frame.content_hash.isin(wanted)]
        for content, path in zip(frame.content_hash, shown_paths(frame, roots), strict=True):
            paths.setdefault(content, []).append(path)
    return [Apart((a, b), (sorted(paths.get(a, ())), sorted(paths.get(b, ())))) for a, b in pairs]


def forget_not_duplicates(store: Store, pairs: Iterable[tuple[str, str]]) -> int:
    """Take pairs of contents out of the record of a store, which is locked for writing; gives their number."""
    before, taken = store.records.read_not_duplicates(), set(pairs)
    after = [pair for pair in before if pair not in taken]
    if after != before:
        store.records.write_not_duplicates(after)
    return len(before) - len(after)
