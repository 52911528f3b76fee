"""The progress of the stage "verify", from the files of verdicts and what its tasks tell."""

from collections.abc import Iterable
from typing import Any

import pandas as pd

from ..config import BY_CERTAINTY, VERDICT_NAMES
from ..runtime.activity import Work
from ..storage.derived.verdicts import Verdicts, read_verdict_files, verdict_files
from ..storage.store import Store
from .snapshot import VerifyProgress

__all__ = ["VerifyWatch"]


class VerifyWatch:
    """Watches the verdicts of a store; a file is read once."""

    def __init__(self) -> None:
        self._names: set[str] = set()
        self._frames: list[pd.DataFrame] = []
        self._counts: dict[str, int] = {}
        self.last: tuple[int, int, str] | None = None  # images and verdict of one of the pairs looked at last

    def update(self, store: Store) -> None:
        """Read the files that are new."""
        names = verdict_files(store)
        if self._names - set(names):
            self._names, self._frames = set(), []
        new = [name for name in names if name not in self._names]
        if new or not names:
            first = not self._frames  # files are not in the order of time
            self._frames.append(read_verdict_files(store, new))
            if not first and len(self._frames[-1]):
                a, b, code = self._frames[-1][["a", "b", "verdict"]].iloc[-1].tolist()
                self.last = a, b, VERDICT_NAMES[code]
            self._names.update(new)
            verdicts = Verdicts(pd.concat(self._frames))
            codes = pd.Series(verdicts.codes(*verdicts.pairs())).value_counts()
            self._counts = {name: int(codes.get(VERDICT_NAMES.index(name), 0)) for name in BY_CERTAINTY}
            self._counts = {name: number for name, number in self._counts.items() if number}

    def progress(self, run: dict[str, Any] | None, works: Iterable[Work]) -> VerifyProgress | None:
        """Give the progress; None if no pair was looked at, and none is to be in the present run."""
        looked = sum(self._counts.values())
        if run is not None and run["stage"] == "verify" and run["pairs"]:
            done = min(sum(work.done.pairs for work in works), run["pairs"])
            return VerifyProgress(done, run["pairs"], self._counts)
        return VerifyProgress(looked, looked, self._counts) if looked else None
