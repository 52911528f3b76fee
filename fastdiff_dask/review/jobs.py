"""Apply and undo in the background, one at a time, with progress; a kill at any moment loses nothing."""

import contextlib
import os
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from ..actions.apply import apply_plan
from ..actions.journal import DONE, Journal, journals
from ..actions.removal_plan import RemovalPlan, limits_passed
from ..actions.removals import Outcome
from ..actions.undo import undo
from ..errors import FastDiffError, UsageError
from ..storage.store import Store
from ..text import counted, one_line, printable
from .agreement import are_as_shown, digest_of
from .choosing import marked_plan
from .desk import Desk
from .paths import can_be_path
from .view import View

__all__ = ["ACTIONS", "Jobs"]

# Deleting is never offered on a page.
ACTIONS = ("trash", "move")
# Lines of files that stay that are told, and seconds between two notes of progress or looks at the journals.
_LINES, _NOTED, _JOURNALS = 1_000, 0.2, 3.0


@dataclass
class Job:
    """An apply or undo that runs or ran.

    Attributes
    ----------
    kind, action
        "apply" or "undo", and "trash", "move" or "undo".
    of, done, went
        Files that it is about, those that were tried, and those that went or are back.
    running
        It is at work.
    lines
        A line for each of the first 1,000 files that stay: path, to, reason.
    error
        Reason why it ended early; None if it did not.
    journal
        Name of the journal by which it can be undone, once it has ended; None if nothing went.
    to
        Where the last file went.
    """

    kind: str
    action: str
    of: int
    done: int = 0
    went: int = 0
    running: bool = True
    lines: list[dict[str, str | None]] = field(default_factory=list)
    error: str | None = None
    journal: str | None = None
    to: str | None = None

    def described(self) -> dict[str, Any]:
        """Describe it for the page."""
        values = {**self.__dict__, "lines": list(self.lines)}
        del values["to"]
        return values


class Jobs:
    """The jobs of a review.

    Parameters
    ----------
    desk
        The review.
    """

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._lock, self._planning = threading.Lock(), threading.Lock()
        self._job: Job | None = None
        self._thread: threading.Thread | None = None
        self._stopped = threading.Event()
        self._plan: tuple[Any, RemovalPlan] | None = None
        self._journals: tuple[float, list[dict[str, Any]]] = 0.0, []

    def close(self) -> None:
        """Let a job that runs end after its present file."""
        self._stopped.set()
        if self._thread is not None:
            self._thread.join()

    def state(self) -> dict[str, Any]:
        """Describe the present or last job, and what can be undone."""
        job = self._job
        return {"job": None if job is None else job.described(), "journals": self.journals()}

    def journals(self) -> list[dict[str, Any]]:
        """Describe the journals of this store of which something can be undone, the newest first."""
        at, known = self._journals
        if time.monotonic() > at + _JOURNALS:
            found = [journal for journal in journals(self._desk.url) if journal.actions]
            known = [_described(journal) for journal in reversed(found)]
            self._journals = time.monotonic(), known
        return known

    # -- apply -------------------------------------------------------------------------------------------------------

    def plan(self) -> dict[str, Any]:
        """Tell what the marks would do now."""
        view = self._desk.needs_view()
        plan = self._marked_plan(view)
        self._check_shown(view, plan)
        stay = [{"path": printable(one.path), "reason": printable(one.reason)} for one in plan.skipped[:_LINES]]
        return {
            "plan": digest_of(plan),
            "files": len(plan.chosen),
            "bytes": plan.size,
            "limits": limits_passed(view.store, plan),
            "stay": stay,
            "staying": len(plan.skipped),
        }

    def _marked_plan(self, view: View) -> RemovalPlan:
        """Give the plan of the marks; the one that was made last, as long as nothing has changed."""
        with self._planning:
            key = view, self._desk.marks.version, frozenset(view.apart), int(view.gone.sum())
            if self._plan is None or self._plan[0] != key:
                plan = marked_plan(view)
                self._desk.looked()
                self._plan = key, plan
            return self._plan[1]

    def _check_shown(self, view: View, plan: RemovalPlan) -> None:
        if not are_as_shown(view, (number for one in plan.chosen for number in (one.image, one.kept_image))):
            self._desk.collect(again=True)
            raise FastDiffError("the store was made anew, and has other images than the page; look at them again")

    def apply(self, action: str, folder: str | None, files: int, seen: str) -> None:
        """Begin to carry out the plan of the marks.

        Parameters
        ----------
        action
            "trash" or "move".
        folder
            The folder to move to, an absolute path.
        files, seen
            Number of files, and the digest, of the plan that people saw, who so agree to it.

        Raises
        ------
        UsageError
            If the action or the folder cannot be used.
        FastDiffError
            If the plan is another one now, the comparison is not finished, or a job runs.
        """
        if action not in ACTIONS:
            raise UsageError(f"no action {printable(action)} here; use {' or '.join(ACTIONS)}")
        if action == "move":
            folder = os.path.expanduser(folder or "")  # noqa: PTH111 - Path raises without a home
            if not os.path.isabs(folder) or not can_be_path(folder):  # noqa: PTH117
                raise UsageError("name the folder to move to by its whole path, such as /home/me/removed")
        elif folder:
            raise UsageError("the trash needs no folder; leave it out")
        view = self._desk.needs_view()
        self._check_free()
        if self._desk.finding is not None or not self._desk.found.finished:
            raise FastDiffError("the comparison is not finished; wait for the end of find, or run it again")
        plan = self._marked_plan(view)
        if (now := len(plan.chosen)) != files:
            raise FastDiffError(f"the marks now take {counted(now, 'file')}, not {files}; look at them again")
        if digest_of(plan) != seen:
            raise FastDiffError("the marks were changed meanwhile, and take other files; look at them again")
        if not plan.chosen:
            raise FastDiffError("no image is marked that could be removed")
        self._check_shown(view, plan)
        store = Store(self._desk.url)
        outcomes = apply_plan(store, plan, plan.value.settings, action, folder or None)
        self._check_shown(view, plan)  # by now, all that is needed of the store was read
        numbers = {one.path: one.image for one in plan.chosen}
        self._begin(Job("apply", action, len(plan.chosen)), outcomes, numbers)

    def undo(self, name: str) -> None:
        """Begin to bring back the files of a journal of this store, by the name of its file.

        Raises
        ------
        UsageError
            If there is no such journal.
        FastDiffError
            If a job runs.
        """
        self._check_free()
        found = [one for one in journals(self._desk.url) if one.path.name == name and one.actions]
        if not found:
            raise UsageError("there is nothing (more) to undo of that; load the page again")
        self._begin(Job("undo", "undo", len(_files(found[0]))), undo(found[0]), {})

    def _check_free(self) -> None:
        if self._job is not None and self._job.running:
            raise FastDiffError("files are being moved already; wait for the end of that")

    def _begin(self, job: Job, outcomes: Iterator[Outcome], numbers: dict[str, int]) -> None:
        with self._lock:
            self._check_free()
            self._job = job
            self._desk.acting = True
            # not a daemon: the process ends after the present file
            self._thread = threading.Thread(
                target=self._run, args=(job, outcomes, numbers), name="fastdiff_dask-review-job"
            )
            self._thread.start()
        self._desk.revision.bump()

    def _run(self, job: Job, outcomes: Iterator[Outcome], numbers: dict[str, int]) -> None:
        try:
            with contextlib.closing(outcomes) as every:  # type: ignore[type-var]
                self._follow(job, every, numbers)
        except (FastDiffError, OSError) as error:
            job.error = one_line(error)
        except Exception as error:
            job.error = one_line(error, kind=True)
            raise
        finally:
            job.journal = self._journal_with(job.to)
            self._journals = 0.0, []
            if job.kind == "undo":
                with contextlib.suppress(FastDiffError, OSError):  # told when the store is looked at next
                    self._desk.collect(again=True)
            job.running = False
            self._desk.acting = False
            self._desk.changed()

    def _journal_with(self, to: str | None) -> str | None:
        """Find the journal that has a file at its new place: the newest one may be that of another process."""
        if to is None:
            return None
        with contextlib.suppress(FastDiffError, OSError):
            for journal in reversed(journals(self._desk.url)):
                if any(line.get("to") == to for line in reversed(journal.actions)):
                    return journal.path.name
        return None

    def _follow(self, job: Job, outcomes: Iterator[Outcome], numbers: dict[str, int]) -> None:
        noted = time.monotonic()
        for outcome in outcomes:
            job.done += 1
            if outcome.reason is None:
                job.went += 1
                job.to = outcome.to
                view = self._desk.view
                if view is not None and outcome.path in numbers:
                    view.are_gone([numbers[outcome.path]])
            elif len(job.lines) < _LINES:
                reason = printable(outcome.reason)
                job.lines.append({"path": printable(outcome.path), "to": None, "reason": reason})
            if time.monotonic() > noted + _NOTED:
                noted = time.monotonic()
                self._desk.revision.bump()
            if self._stopped.is_set():
                job.error = f"it was stopped after {counted(job.done, 'file')}"
                return


def _files(journal: Journal) -> list[dict[str, Any]]:
    """Lines of files that can come back, each file once."""
    return [line for line in journal.actions if "trashed" not in line and "sidecar_of" not in line]


def _described(journal: Journal) -> dict[str, Any]:
    lines = _files(journal)
    numbers = Counter(line["action"] for line in lines)
    texts = [f"{counted(number, 'file')} {DONE.get(action, action)}" for action, number in sorted(numbers.items())]
    return {
        "id": journal.path.name,
        "text": ", ".join(texts),
        "date": journal.begun.astimezone().replace(tzinfo=None).isoformat(timespec="seconds"),
        "files": len(lines),
        "bytes": sum(line["size"] for line in lines if isinstance(line.get("size"), int)),
    }
