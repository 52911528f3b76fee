"""The groups as the page shows them now: with marks, suggestions, and images that are gone."""

import math
import threading
from collections.abc import Iterable, Mapping
from datetime import date
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..config import BY_CERTAINTY, VERDICT_NAMES, check_verdicts
from ..errors import UsageError
from ..results.result import Result
from ..storage.derived.verdicts import read_verdicts
from ..storage.store import Store
from .group_index import GroupIndex, Wanted
from .marks import KEEP, REMOVE, Marks

__all__ = ["View", "wanted_of"]

# Images of a group that are described, groups in an answer, and folders in the list of these, as the page shows them.
_IMAGES, _GROUPS, _FOLDERS = 60, 200, 1_000
_MARKS = {1: KEEP, -1: REMOVE, 0: None}
_MARKED = ("", "none", "any", KEEP, REMOVE)


class View:
    """The groups of a result, and what is known of each of their images; for several threads.

    Parameters
    ----------
    store, result, index
        The store, a result of it, and the groups of that.
    marks
        The marks of the store.

    Attributes
    ----------
    about
        Parts of the state that stay as they are.
    gone
        (k,) bool: images that were removed by an earlier `apply`, or by one of this server.
    suggested
        (k,) int8: 1 for an image to keep, −1 for one that could be removed, else 0.
    apart
        Pairs of numbers of images, the lower one first, that people said are no duplicates.
    """

    def __init__(self, store: Store, result: Result, index: GroupIndex, marks: Marks) -> None:
        self.store, self.result, self.index, self._marks = store, result, index, marks
        self._lock = threading.Lock()
        self._marked = np.zeros(len(index.rows), np.int8)
        self._version = -1
        self.gone = index.went.copy()
        self.suggested = np.zeros(len(index.rows), np.int8)
        self.apart: set[tuple[int, int]] = set()
        self.about = self._about()

    def _about(self) -> dict[str, Any]:
        """Parts of the state that stay as they are."""
        index = self.index
        folders = sorted(sorted(index.paths.counts(), key=lambda one: -one[1])[:_FOLDERS])
        return {
            "common": index.paths.common,
            "groups": len(index),
            "images": len(index.rows),
            "verdicts": index.verdict_counts(np.arange(len(index))),
            "formats": index.paths.ending_counts(),
            "folders": folders,
        }

    @property
    def marked(self) -> NDArray[np.int8]:
        """(k,) int8: 1 for an image that is marked to be kept, −1 for one to be removed, else 0."""
        with self._lock:
            version = self._marks.version
            if version != self._version:
                places = self.index.places(self._marks.marked())
                places = places[places >= 0]
                numbers, contents = self.index.numbers[places].tolist(), self.index.contents[places].tolist()
                known = self._marks.get(numbers, contents)
                marked = np.zeros(len(self.index.rows), np.int8)
                marked[places] = [_code(known.get(number)) for number in numbers]
                self._marked, self._version = marked, version
            return self._marked

    def mark(self, marks: Mapping[int, str | None]) -> None:
        """Set or take back marks of images by their numbers; the store has them when this returns.

        Raises
        ------
        UsageError
            If a number is that of no image in a group.
        """
        numbers = list(marks)
        places = self.index.places(numbers)
        if (places < 0).any():
            raise UsageError(f"image {numbers[int(np.argmin(places))]} is in no group (any more); load the page again")
        contents = dict(zip(numbers, self.index.contents[places].tolist(), strict=True))
        if "" in contents.values():
            raise UsageError("an image whose content was never read cannot be marked; run find again")
        if not Store.exists(self.store.url):
            raise UsageError(f"the store at {self.store.url} is not there any more; run find again")
        with self._lock:
            version, others = self._marks.version, self._version
            self._marks.set(marks, contents)
            if version == others and self._marks.version == version + len(numbers):
                current = self._marked.copy()
                current[places] = [_code(mark) for mark in marks.values()]
                self._marked, self._version = current, self._marks.version

    def marks_by_number(self) -> dict[int, str]:
        """The marks of all images that are there, by their numbers."""
        places = np.flatnonzero((self.marked != 0) & ~self.gone)
        codes = self.marked[places].tolist()
        numbers = self.index.numbers[places].tolist()
        return {number: KEEP if code > 0 else REMOVE for number, code in zip(numbers, codes, strict=True)}

    def summary(self) -> dict[str, int]:
        """Numbers of the marks, and the bytes of the files that are marked to be removed."""
        marked = np.where(self.gone, 0, self.marked)
        return {
            "keep": int((marked > 0).sum()),
            "remove": int((marked < 0).sum()),
            "bytes": int(self.index.sizes[marked < 0].sum()),
        }

    def looked(self) -> None:
        """Take the verdicts that were found since, so that nobody looks twice; the groups stay as they are."""
        verdicts = read_verdicts(self.store)
        if len(verdicts) != len(self.result.verdicts.verdicts):
            self.result = self.result.with_verdicts(verdicts)

    def are_gone(self, numbers: Iterable[int]) -> None:
        """Note that some images were removed."""
        places = self.index.places(list(numbers))
        self.gone[places[places >= 0]] = True

    def groups(self, wanted: Wanted) -> dict[str, Any]:
        """List groups, in order: their numbers, how many images each has, and how many groups each verdict has."""
        index = self.index
        places = index.choose(wanted, self.marked)
        verdicts = index.verdict_counts(places)
        return {"ids": index.ids[places].tolist(), "counts": index.counts[places].tolist(), "verdicts": verdicts}

    def details(self, numbers: list[int]) -> list[dict[str, Any]]:
        """Describe groups by their numbers; those that are not there any more are left out.

        Raises
        ------
        UsageError
            If these are more than 200.
        """
        if len(numbers) > _GROUPS:
            raise UsageError(f"details of {len(numbers)} groups were asked for; ask for {_GROUPS} at most")
        places = ((number, self.index.group(number)) for number in numbers)
        return [self._group(number, place) for number, place in places if place is not None]

    def _group(self, number: int, place: int) -> dict[str, Any]:
        index, start, stop = self.index, int(self.index.starts[place]), int(self.index.starts[place + 1])
        first = int(index.numbers[start])
        return {
            "id": number,
            "verdict": BY_CERTAINTY[index.doubt[place]],
            "more": max(stop - start - _IMAGES, 0),
            "images": [self._image(at, first) for at in range(start, min(stop, start + _IMAGES))],
        }

    def _image(self, at: int, first: int) -> dict[str, Any]:
        index, number = self.index, int(self.index.numbers[at])
        value, moment = float(index.pairs.values[at]), index.dates[at]
        return {
            "n": number,
            "v": index.contents[at],
            "name": index.paths.name(at),
            "folder": index.paths.folder(at),
            "width": int(index.widths[at]),
            "height": int(index.heights[at]),
            "size": int(index.sizes[at]),
            "date": None if np.isnat(moment) else str(moment),
            "format": index.formats[at],
            "side": index.sides[at],
            "mark": _MARKS[int(self.marked[at])],
            "suggest": _MARKS[int(self.suggested[at])],
            "verdict": None if number == first else VERDICT_NAMES[index.pairs.codes[at]],
            "value": None if number == first or math.isnan(value) else value,
            "turn": int(index.pairs.degrees[at]),
            "mirror": bool(index.pairs.mirrored[at]),
            "apart": (min(number, first), max(number, first)) in self.apart,
            "gone": bool(self.gone[at]),
        }


def _code(mark: str | None) -> int:
    return {KEEP: 1, REMOVE: -1}.get(mark or "", 0)


def wanted_of(values: Mapping[str, Any]) -> Wanted:
    """Read conditions on groups, as the page sends them; an empty text is no condition.

    Raises
    ------
    UsageError
        If a condition is not known, or its value cannot be used.
    """
    known = {"verdict", "folder", "format", "min_size", "after", "before", "marked", "text"}
    given = {name: value for name, value in values.items() if value not in ("", None)}
    if unknown := sorted(given.keys() - known):
        raise UsageError(f"no condition {unknown[0]!r}; use {', '.join(sorted(known))}")
    texts = {name: str(given.get(name, "")) for name in known}
    if texts["marked"] not in _MARKED:
        raise UsageError(f"marked={texts['marked']!r} is not known; use {', '.join(_MARKED[1:])}")
    try:
        least = int(texts["min_size"] or 0)
        after = np.datetime64(date.fromisoformat(texts["after"]), "s") if texts["after"] else None
        before = np.datetime64(date.fromisoformat(texts["before"]), "D") + 1 if texts["before"] else None
    except (ValueError, OverflowError):
        raise UsageError("min_size is a number of bytes, after and before are dates such as 2024-12-31") from None
    return Wanted(
        verdicts=check_verdicts(texts["verdict"]) if texts["verdict"] else (),
        folder=texts["folder"],
        format=texts["format"],
        min_size=least,
        after=after,
        before=None if before is None else before.astype("datetime64[s]") - 1,
        text=texts["text"],
        marked=texts["marked"],
    )
