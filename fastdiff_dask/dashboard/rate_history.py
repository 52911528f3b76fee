"""Throughput over the time of work: between two stages, and after the last one, there is none to show."""

import math
from collections import deque
from typing import Any

from ..runtime.activity import Earlier, FinishedStage
from .snapshot import Rates, WorkerProgress, WorkTotal

__all__ = ["RateHistory"]

# What is counted in a stage whose throughput is shown.
_COUNTED = {"thumbnails": "images", "compare": "pairs"}
_POINTS = 900
_AFTER = 1e-3  # seconds between two points at least, as a page asks for those after its last


class RateHistory:
    """The points of the curves, and the sums of the stages that they are of."""

    def __init__(self) -> None:
        self._points: deque[Rates] = deque(maxlen=_POINTS)
        self._settled: set[str] = set()
        self._sampled = ""  # the run of the last points, if it has not ended
        self.totals: dict[str, WorkTotal] = {}

    @property
    def points(self) -> list[Rates]:
        """The points, oldest first; those without numbers part the curves."""
        return list(self._points)

    def update(
        self,
        now: float,
        run: dict[str, Any] | None,
        running: bool,
        workers: list[WorkerProgress],
        earlier: Earlier,
        done: FinishedStage | None,
    ) -> None:
        """Add what is new.

        Parameters
        ----------
        now
            Seconds since 1970.
        run, running
            The present or last stage, and whether it runs.
        workers
            The workers and their rates.
        earlier
            The stages before.
        done
            The stage and what was done in it so far; it ends now if it runs.
        """
        stages = [*earlier.stages, *([] if done is None else [done])]
        self.totals = {}
        for stage in stages:
            if stage.stage in _COUNTED:
                total = self.totals.get(stage.stage, WorkTotal(0, 0.0))
                amount = total.amount + getattr(stage, _COUNTED[stage.stage])
                self.totals[stage.stage] = WorkTotal(amount, total.seconds + stage.ended - stage.started)
        for stage in stages[: len(stages) - running]:
            self._settle(stage)
        if run is not None and running and run["stage"] in _COUNTED:
            rate = sum(getattr(worker, f"{_COUNTED[run['stage']]}_rate") for worker in workers)
            if rate:  # nothing is known before the first task has ended
                if self._sampled != run["run"]:
                    self._part()
                self._sampled = run["run"]
                self._add(now, run["stage"], rate)

    def _settle(self, stage: FinishedStage) -> None:
        """Draw a stage that has ended to its end; as its mean if nobody looked while it ran."""
        if stage.run in self._settled or stage.stage not in _COUNTED:
            return
        self._settled.add(stage.run)
        if self._sampled == stage.run:
            last = self._points[-1]
            self._add(stage.ended, stage.stage, last.images if stage.stage == "thumbnails" else last.pairs)
        elif amount := getattr(stage, _COUNTED[stage.stage]):
            self._part()
            mean = amount / max(stage.ended - stage.started, _AFTER)
            self._add(stage.started, stage.stage, mean)
            self._add(stage.ended, stage.stage, mean)
        self._sampled = ""

    def _add(self, time: float, stage: str, rate: float) -> None:
        if self._points:
            time = max(time, self._points[-1].time + _AFTER)
        images, pairs = (rate, math.nan) if stage == "thumbnails" else (math.nan, rate)
        self._points.append(Rates(time, images, pairs))

    def _part(self) -> None:
        if self._points:
            self._points.append(Rates(self._points[-1].time + _AFTER, math.nan, math.nan))
