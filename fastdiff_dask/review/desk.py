"""The answers of the server, without HTTP: state, groups, marks, pictures."""

import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from ..actions.decisions import forget_not_duplicates, remember_not_duplicates
from ..actions.history import History
from ..actions.journal import journals_now
from ..actions.removal_plan import plan_removals
from ..dashboard.monitor import Monitor
from ..dashboard.snapshot import Snapshot
from ..errors import FastDiffError, UsageError
from ..results.keep_rules import KeepRules
from ..storage.store import Store
from ..text import one_line, printable
from .found import Found, find_groups, progress_of
from .group_index import have_gone
from .marks import KEEP, REMOVE, Marks
from .pictures import Picture, Pictures
from .revision import Revision
from .view import View, wanted_of

__all__ = ["Desk", "MissingError"]

# Seconds between two looks at the store; and for each second that collecting a result takes, those until the next one.
_LOOK, _SHARE = 1.0, 10.0


class MissingError(FastDiffError):
    """There is no such image, or nothing to show of it."""


class Desk:
    """The review of a store: all that the page asks for; for several threads.

    Memory: that of the result (about 1 kB an image in a pair), 500 bytes for each of these in the index, the bound of
    `Pictures`, and 4 kB for each of these while images are chosen by rules or by marks.

    Parameters
    ----------
    url
        Address of the store.
    threshold
        Largest MSE, or other value, of a pair; by default that of the result that was shown last.

    Attributes
    ----------
    acting
        This server moves files now, and tells itself which of them are gone.

    Raises
    ------
    UsageError
        If there is no store, or no result that can be shown.
    """

    def __init__(self, url: str, threshold: float | None = None) -> None:
        self.url, self._threshold = url, threshold
        self.revision, self.pictures = Revision(), Pictures()
        self.marks = Marks(Store(url))
        self._monitor = Monitor(url)
        self._lock = threading.RLock()
        self._stopped = threading.Event()
        self._apart: list[tuple[str, str]] = []
        self._journals = journals_now()
        self.acting = False
        self.problem: str | None = None
        self.edition = 0
        self.finding: dict[str, Any] | None = None
        self.found = find_groups(url, threshold)
        self.view: View | None = None
        self._cost, self._collected = 0.0, time.monotonic()
        self._see(self._monitor.snapshot())
        self._show(self.found)
        self._thread = threading.Thread(target=self._watch, name="fastdiff_dask-review", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End the thread that watches the store."""
        self._stopped.set()
        self._thread.join()

    # -- the store ---------------------------------------------------------------------------------------------------

    def _show(self, found: Found) -> None:
        """Show another result."""
        view = None
        if found.result is not None and found.index is not None:
            view = View(found.store, found.result, found.index, self.marks)
            self._read_apart(view, found.store)
        with self._lock:
            self.found, self.view = found, view
        self.changed()

    def changed(self) -> None:
        """Note that the groups themselves have changed, and not only marks."""
        self.edition += 1
        self.revision.bump()

    def _watch(self) -> None:
        step = self._suggest
        while True:
            try:
                step()
            except (FastDiffError, OSError) as error:
                self._tell(one_line(error))
            step = self.look
            if self._stopped.wait(_LOOK):
                return

    def _tell(self, problem: str | None) -> None:
        if problem != self.problem:
            self.problem = problem
            self.revision.bump()

    def look(self) -> None:
        """Look once for what is new in the store: marks of other servers, and what a running find has found."""
        if self.marks.refresh():
            self.revision.bump()
        was = self.finding
        self._see(self._monitor.snapshot())
        ended = was is not None and self.finding is None
        if ended or time.monotonic() > self._collected + _SHARE * self._cost:
            self.collect()
        self._see_journals()
        self._tell(None)

    def _see_journals(self) -> None:
        """See which images other processes took, or brought back."""
        view, now = self.view, journals_now()
        if view is None or self.acting or now == self._journals:
            return
        self._journals = now
        gone = have_gone(view.index.paths.all, History())
        if (view.gone & ~gone).any():
            self.collect(again=True)
        elif (gone != view.gone).any():
            view.gone = gone
            self.changed()

    def _see(self, snapshot: Snapshot) -> None:
        finding = _finding(snapshot)
        if finding != self.finding:
            self.finding = finding
            self.revision.bump()

    def collect(self, *, again: bool = False) -> None:
        """Collect the result if the store has more than is shown, or again in any case."""
        start = time.monotonic()
        found = find_groups(self.url, self._threshold, None if again else self.found)
        if found is not self.found:
            self._cost = time.monotonic() - start
            self._show(found)
            self._suggest()
        self._collected = time.monotonic()

    def looked(self) -> None:
        """Note that this server has looked at pairs itself: no group changes by that, until there is more to show."""
        with self._lock:
            self.found = replace(self.found, progress=progress_of(self.url, self._threshold))
            if self.view is not None:
                self.view.looked()

    def _suggest(self) -> None:
        """Find the images that could be removed by the order in which they are kept."""
        view = self.view
        if view is None:
            return
        plan = plan_removals(view.store, view.result, KeepRules(), history=History())
        view.suggested = _suggested(view, plan.chosen)
        self.changed()

    def _read_apart(self, view: View, store: Store) -> None:
        self._apart = store.records.read_not_duplicates()
        known: dict[str, list[int]] = {}
        for number, content in zip(view.index.numbers.tolist(), view.index.contents.tolist(), strict=True):
            known.setdefault(content, []).append(number)
        view.apart = {
            (min(a, b), max(a, b))
            for one, other in self._apart
            for a in known.get(one[:16], ())
            for b in known.get(other[:16], ())
            if a != b
        }

    def needs_view(self) -> View:
        """Give the groups.

        Raises
        ------
        UsageError
            If there are none yet.
        """
        if self.view is None:
            raise UsageError("nothing is compared yet; wait until find has found something")
        return self.view

    # -- questions ---------------------------------------------------------------------------------------------------

    def state(self) -> dict[str, Any]:
        """Describe all but the groups."""
        revision, found, view = self.revision.number, self.found, self.view
        empty = {"common": "", "groups": 0, "images": 0, "verdicts": [], "formats": [], "folders": []}
        value = None if found.result is None else found.result.value
        return {
            "revision": revision,
            "result": self.edition,
            "store": printable(self.url),
            "sides": found.store.two_sides,
            "finding": self.finding,
            "finished": found.finished,
            "problem": self.problem,
            "measure": "" if value is None else value.title,
            "question": "" if value is None else value.described,
            "threshold": None if value is None else value.threshold,
            "marks": {"keep": 0, "remove": 0, "bytes": 0} if view is None else view.summary(),
            "apart": len(self._apart),
            **(empty if view is None else view.about),
        }

    def groups(self, conditions: Mapping[str, Any]) -> dict[str, Any]:
        """List the groups that meet conditions, see `view.wanted_of`."""
        revision, view, wanted = self.revision.number, self.view, wanted_of(conditions)
        found = {"ids": [], "counts": [], "verdicts": []} if view is None else view.groups(wanted)
        return {"revision": revision, **found}

    def details(self, numbers: list[int]) -> dict[str, Any]:
        """Describe some groups."""
        return {"groups": [] if self.view is None else self.view.details(numbers)}

    def picture(self, number: int, *, original: bool) -> tuple[Picture, str]:
        """Give the picture of an image, small or with its own pixels, and the start of its content.

        Raises
        ------
        MissingError
            If there is no such image, or no picture of it.
        """
        view = self.view
        place = -1 if view is None else int(view.index.places([number])[0])
        if view is None or place < 0:
            raise MissingError(f"image {number} is in no group")
        try:
            if original:
                return self.pictures.original(view.index, place), view.index.contents[place]
            return self.pictures.thumb(view.store, view.index, place), view.index.contents[place]
        except FastDiffError as error:
            raise MissingError(one_line(error)) from None

    # -- marks -------------------------------------------------------------------------------------------------------

    def mark(self, marks: Mapping[str, Any], seen: Mapping[str, Any]) -> dict[str, Any]:
        """Set marks of images by their numbers, "keep" or "remove", or take them back (None).

        Parameters
        ----------
        marks
            The marks.
        seen
            The start of the content of images as people saw them.

        Returns
        -------
        The new revision, and the numbers of marks.

        Raises
        ------
        FastDiffError
            If a number is that of another image by now.
        """
        view = self.needs_view()
        _check_seen(view, seen)
        asked: dict[int, str | None] = {}
        for name, mark in marks.items():
            if mark not in (KEEP, REMOVE, None):
                raise UsageError(f"{mark!r} is no mark; use keep, remove or null")
            asked[whole(name)] = mark
        return self.marked(asked, view)

    def marked(self, marks: Mapping[int, str | None], view: View | None = None) -> dict[str, Any]:
        """Set marks of the groups that are shown, or were; gives the new revision and numbers."""
        view = self.needs_view() if view is None else view
        if marks:
            view.mark(marks)
            self.revision.bump()
        return {"revision": self.revision.number, "marks": view.summary()}

    def clear(self) -> dict[str, Any]:
        """Take back the marks of all images that are there."""
        return self.marked(dict.fromkeys(self.needs_view().marks_by_number()))

    def set_apart(self, pairs: Sequence[Any], on: bool) -> dict[str, Any]:
        """Record that pairs of images are no duplicates, or take that back; the groups stay as they are for now.

        Raises
        ------
        StoreLockedError
            If another process writes the store, as find does.
        """
        view = self.needs_view()
        twos = [pair for pair in pairs if isinstance(pair, list) and len(pair) == 2]
        numbers = [(whole(a), whole(b)) for a, b in twos]
        places = view.index.places([number for pair in numbers for number in pair])
        if len(numbers) != len(pairs) or (places < 0).any():
            raise UsageError("these are no pairs of images in a group; load the page again")
        store = Store(self.url)
        with Store.lock(self.url):
            if on:
                remember_not_duplicates(store, numbers)
            else:
                hashes = store.image_rows(view.index.numbers[places], ["content_hash"]).content_hash.tolist()
                two = zip(hashes[::2], hashes[1::2], strict=True)
                forget_not_duplicates(store, [(min(pair), max(pair)) for pair in two if None not in pair])
        self._read_apart(view, store)
        self.changed()
        return {"revision": self.revision.number, "marks": view.summary()}


def _suggested(view: View, chosen: Sequence[Any]) -> Any:
    """(k,) int8: images of a plan, 1 for those that are kept, −1 for those that go."""
    suggested = np.zeros(len(view.index.rows), np.int8)
    for code, numbers in ((1, [one.kept_image for one in chosen]), (-1, [one.image for one in chosen])):
        places = view.index.places(numbers)
        suggested[places[places >= 0]] = code
    return suggested


def _check_seen(view: View, seen: Mapping[str, Any]) -> None:
    numbers = [whole(name) for name in seen]
    places = view.index.places(numbers).tolist()
    for number, place, content in zip(numbers, places, seen.values(), strict=True):
        if place >= 0 and view.index.contents[place] != content:
            raise FastDiffError(f"image {number} is another one than on the page by now; look at it again")


def whole(value: Any) -> int:
    """Read the number of an image, as JSON or as the name of a field has it.

    Raises
    ------
    UsageError
        If it is none.
    """
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 62:
        return value
    if isinstance(value, str) and value.isdecimal() and value.isascii() and len(value) < 19:
        return int(value)
    raise UsageError(f"{one_line(value, 40)!r} is no number of an image")


def _finding(snapshot: Snapshot) -> dict[str, Any] | None:
    """Describe a find that runs now; None if none does."""
    if not snapshot.writing or snapshot.stage is None:
        return None
    done, of, unit = 0, 0, ""
    if snapshot.stage == "thumbnails":
        done, of, unit = snapshot.images_read, snapshot.images, "images read"
    elif snapshot.stage == "compare" and snapshot.comparisons:
        done, of, unit = snapshot.comparisons[0].pairs_done, snapshot.comparisons[0].pairs, "pairs compared"
    elif snapshot.stage == "verify" and snapshot.verify is not None:
        done, of, unit = snapshot.verify.done, snapshot.verify.pairs, "pairs looked at"
    text = f"{done:,} of {of:,} {unit}" if of else ""
    return {"stage": snapshot.stage, "done": round(done / of, 4) if of else 0.0, "text": text}
