"""Calibration of thresholds: which copies are found up to which threshold, and how many wrong pairs with them."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..images.display import facts_html
from ..images.edited_copies import PLAIN_KINDS
from ..storage.derived.calibrations import CalibrationFiles
from ..storage.store import Store
from ..tasks.copies.measure_copies import MEASURES, THRESHOLDS
from ..text import counted, titled

__all__ = ["Calibration", "collect_calibration"]

# Share of the plain copies that the suggested threshold finds.
_FOUND = 0.99
_TITLES = {"mse": "MSE", "correlation": "Correlation distance"}


@dataclass(frozen=True)
class Calibration:
    """Distances of copies that were made of some images of a collection, from their originals and from all others.

    Attributes
    ----------
    images
        Images that were copied.
    pairs
        Pairs of a copy and another image that is no copy of its original.
    copies
        A row a copy: kind, and its distance from its original by each measure, the columns mse and correlation.
    recall
        By measure: a row a kind, a column a threshold: share of the copies whose distance is at most that.
    wrong
        By measure: a row a kind, a column a threshold: pairs up to the threshold that are wrong.
    nearest
        By measure: the smallest distance of a wrong pair; infinity if there is none.
    """

    images: int
    pairs: int
    copies: pd.DataFrame
    recall: dict[str, pd.DataFrame]
    wrong: dict[str, pd.DataFrame]
    nearest: dict[str, float]

    def __repr__(self) -> str:
        return titled("Calibration", self._lines())

    def _repr_html_(self) -> str:
        tables = []
        for measure, recall in self.recall.items():
            rows = [[str(kind), *(_percent(share) for share in row)] for kind, row in recall.iterrows()]
            rows.append(["wrong pairs", *map(str, self.wrong[measure].sum())])
            heads = ["kind", *(f"{limit:g}" for limit in recall.columns)]
            tables.append((f"{_TITLES[measure]}: copies found up to a threshold, in %", heads, rows))
        return facts_html(self._lines(), (), tables)

    def _lines(self) -> list[str]:
        lines = [f"{counted(self.images, 'image')} copied, {counted(self.pairs, 'pair')} with other images"]
        for measure in self.recall:
            found = self.suggested(measure)
            threshold = "none" if found is None else f"{found:g}"
            lines.append(f"{_TITLES[measure]}: suggested threshold {threshold}")
        return lines

    def suggested(self, measure: str) -> float | None:
        """Give the threshold that finds 99 % of the plain copies and no wrong pair of the sample, if there is one.

        Plain copies are those that were resized, saved again or turned. The threshold has two significant digits if
        wrong pairs leave room for that.
        """
        plain = np.sort(self.copies[measure][self.copies.kind.isin(PLAIN_KINDS)].to_numpy())
        if not len(plain):
            return None
        least = float(plain[math.ceil(_FOUND * len(plain)) - 1])
        if least >= self.nearest[measure]:
            return None
        unit = 10.0 ** (math.floor(math.log10(least)) - 1) if least > 0 else 0.0
        rounded = float(f"{math.ceil(least / unit) * unit:.12g}") if unit else least
        return rounded if rounded < self.nearest[measure] else least

    def to_dict(self) -> dict[str, Any]:
        """Give the figures as plain values, for JSON."""
        measures = {
            measure: {
                "suggested": self.suggested(measure),
                "nearest_wrong": None if math.isinf(self.nearest[measure]) else self.nearest[measure],
                "thresholds": self.recall[measure].columns.tolist(),
                "recall": {str(kind): row.tolist() for kind, row in self.recall[measure].iterrows()},
                "wrong": {str(kind): row.tolist() for kind, row in self.wrong[measure].iterrows()},
            }
            for measure in MEASURES
        }
        return {"images": self.images, "pairs": self.pairs, "measures": measures}


def collect_calibration(store: Store, files: CalibrationFiles) -> Calibration:
    """Collect what was measured against all blocks."""
    kinds, sample = pd.Index(files.kinds, name="kind"), len(files.images)
    own = np.full((len(kinds) * sample, len(MEASURES)), np.nan)
    wrong = np.zeros((len(kinds), len(MEASURES), len(THRESHOLDS[0])), np.int64)
    nearest, pairs = np.full(len(MEASURES), np.inf), 0
    for block in range(store.blocks):
        measured = files.read_measured(block)
        own[measured.copies] = measured.own
        wrong += measured.wrong
        nearest = np.minimum(nearest, measured.nearest.min(axis=0, initial=np.inf))
        pairs += int(measured.pairs.sum())
    copied = ~np.isnan(own[:, 0])
    copies = pd.DataFrame(own[copied], columns=list(MEASURES))
    copies.insert(0, "kind", np.repeat(np.array(files.kinds, object), sample)[copied])
    return Calibration(
        images=int(copied.reshape(len(kinds), sample).any(axis=0).sum()),
        pairs=pairs,
        copies=copies,
        recall={name: _recall(copies, name, limits, kinds) for name, limits in zip(MEASURES, THRESHOLDS, strict=True)},
        wrong={
            name: pd.DataFrame(wrong[:, number], kinds, list(THRESHOLDS[number]))
            for number, name in enumerate(MEASURES)
        },
        nearest=dict(zip(MEASURES, nearest.tolist(), strict=True)),
    )


def _percent(share: float) -> str:
    """Give a share in percent, never rounded up to all."""
    return f"{min(100 * share, 99 if share < 1 else 100):.0f}"


def _recall(copies: pd.DataFrame, measure: str, limits: tuple[float, ...], kinds: pd.Index) -> pd.DataFrame:
    values: dict[str, NDArray[np.float64]] = {
        kind: np.array([(some <= limit).mean() for limit in limits])
        for kind, some in ((kind, copies[measure][copies.kind == kind]) for kind in kinds)
    }
    return pd.DataFrame.from_dict(values, orient="index", columns=list(limits)).rename_axis("kind")
