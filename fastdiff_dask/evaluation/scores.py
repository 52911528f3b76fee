"""Evaluation: how well found pairs agree with known copies."""

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ..config import ALL_BY_CERTAINTY
from ..errors import UsageError
from ..images.display import facts_html
from ..results.result import Result
from ..storage.schema import FILE_NAME
from ..storage.store import Store
from ..text import counted, printable, titled
from ..urls import full_path
from .edited import direct_copies, keys_of, no_copies, with_copies
from .truth import Truth, is_implied, name_images, read_truth

__all__ = ["Evaluation", "evaluate", "evaluate_stored"]


# Wrong and missed pairs that a notebook lists.
_SHOWN = 20


@dataclass(frozen=True)
class Evaluation:
    """Agreement of found pairs with known copies.

    The measures are those of information retrieval (Manning, Raghavan and Schütze, *Introduction to Information
    Retrieval*, 2008, chapter 8).

    Attributes
    ----------
    known
        Known pairs of copies.
    found
        Found pairs, but for those that the truth only implies.
    right
        Found pairs that are known.
    average_precision
        Area under the steps of precision over recall, as the threshold grows; known pairs that are not found add
        nothing.
    kinds
        A row for each kind of copies, if the truth has kinds: known, right, recall.
    wrong
        Found pairs that are not known, as they were found, the most similar first.
    missed
        Known pairs that were not found: a, b, kind.
    unknown
        Names in the truth that mean no image.
    verdicts
        A row for each verdict, the most certain first: found, right; if the pairs have verdicts.
    """

    known: int
    found: int
    right: int
    average_precision: float
    kinds: pd.DataFrame
    wrong: pd.DataFrame
    missed: pd.DataFrame
    unknown: list[str]
    verdicts: pd.DataFrame

    def __repr__(self) -> str:
        return titled("Evaluation", self._lines())

    def _repr_html_(self) -> str:
        names = ("precision", "recall", "f1", "average_precision")
        rows = [(name.replace("_", " "), f"{getattr(self, name):.4f}") for name in names]
        tables = [
            (title, frame.reset_index().columns.tolist(), [[_shown(one) for one in row] for row in frame.itertuples()])
            for title, frame in (("by kind of copy", self.kinds), ("by verdict", self.verdicts))
            if len(frame)
        ]
        tables += [
            (f"{title}, the first {min(len(frame), _SHOWN)}", ["a", "b"], frame[["a", "b"]].head(_SHOWN).map(printable))
            for title, frame in (("wrong pairs", self.wrong), ("missed pairs", self.missed))
            if len(frame)
        ]
        shown = [(title, head, getattr(body, "values", body)) for title, head, body in tables]
        return facts_html(self._lines()[:1], rows, shown)

    def _lines(self) -> list[str]:
        return [
            f"{self.right} of {counted(self.known, 'known pair')} found, and {self.found - self.right} others",
            f"precision {self.precision:.4f}, recall {self.recall:.4f}, F1 {self.f1:.4f}, "
            f"average precision {self.average_precision:.4f}",
        ]

    @property
    def precision(self) -> float:
        """Share of the found pairs that are known; 1 if none was found."""
        return self.right / self.found if self.found else 1.0

    @property
    def recall(self) -> float:
        """Share of the known pairs that were found."""
        return self.right / self.known

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall."""
        return 2 * self.right / (self.found + self.known)

    def to_dict(self) -> dict[str, Any]:
        """Give the figures as plain values, for JSON."""
        return {
            "known": self.known,
            "found": self.found,
            "right": self.right,
            "precision": self.precision,
            "recall": self.recall,
            "f1": self.f1,
            "average_precision": self.average_precision,
            "kinds": self.kinds.reset_index().to_dict("records"),
            "wrong": self.wrong[["a", "b"]].to_numpy().tolist(),
            "missed": self.missed[["a", "b"]].to_numpy().tolist(),
            "unknown": self.unknown,
            "verdicts": self.verdicts.reset_index().to_dict("records"),
        }


def evaluate(
    pairs: pd.DataFrame | Result, truth: Truth, *, images: Iterable[str] | None = None, folder: str = ""
) -> Evaluation:
    """Compare found pairs with known copies.

    Edited copies of a result count as found pairs, after all others, the surest first. Of many copies of one image, not
    all pairs are looked at: if both images of a pair were found to be copies of one third image, at least one of them
    an edited one, the pair counts as found where the truth has it, and nowhere as a wrong one. Found pairs that the
    truth implies, of two copies of one image, but does not have count neither as right nor as wrong.

    Memory: some hundred bytes a pair.

    Parameters
    ----------
    pairs
        A result; or found pairs: a, b, and mse or value, as `Result.pairs`; without a value, all are alike.
    truth
        The known copies, see `truth.read_truth`: a CSV or JSON file, a table, pairs, clusters, or a dictionary.
    images
        Paths of all images that were compared; by default those in the pairs, and all names of the truth count as they
        are.
    folder
        Folder below which the truth names images.

    Returns
    -------
    The figures, with the wrong and the missed pairs.

    Raises
    ------
    UsageError
        If the truth cannot be read, or none of its names means an image.

    Examples
    --------
    >>> found = pd.DataFrame({"a": ["1", "1"], "b": ["2", "3"], "mse": [0.0, 90.0]})
    >>> figures = evaluate(found, [["1", "2"], ["4", "5"]])
    >>> figures.precision, figures.recall, figures.average_precision
    (0.5, 0.5, 0.5)
    """
    known, unknown = read_truth(truth), list[str]()
    edited = no_copies()
    if isinstance(pairs, Result):
        edited = direct_copies(pairs)
        pairs = pd.concat([pairs.pairs.iloc[:0], *pairs.iter_pairs()], ignore_index=True)
    if images is not None:
        known, unknown = name_images(known, images, folder)
        if known.empty:
            raise UsageError(f"no pair of the truth is among the images, as {unknown[0]!r} is none of them")
    values = next((pairs[name] for name in ("mse", "value") if name in pairs), pd.Series(0.0, index=pairs.index))
    found = pairs.assign(_value=values).sort_values("_value", kind="stable")
    kind_of = {(a, b) if a < b else (b, a): kind for a, b, kind in known[["a", "b", "kind"]].itertuples(index=False)}
    if len(edited):
        found = with_copies(found, edited, list(kind_of))
    found = found[~is_implied(keys_of(found), list(kind_of))]
    keys = keys_of(found)
    right = np.array([key in kind_of for key in keys], bool)
    hit = {key for key, one in zip(keys, right.tolist(), strict=True) if one}
    missed = known[[key not in hit for key in kind_of]]
    return Evaluation(
        known=len(kind_of),
        found=len(found),
        right=int(right.sum()),
        average_precision=_average_precision(found["_value"].to_numpy(), right, len(kind_of)),
        kinds=_by_kind(kind_of, hit),
        wrong=found[~right].drop(columns="_value").reset_index(drop=True),
        missed=missed.reset_index(drop=True),
        unknown=unknown,
        verdicts=_by_verdict(found, right),
    )


def evaluate_stored(store: Store, result: Result, truth: str) -> Evaluation:
    """Compare a result of a store with the known copies in a file, whose names are those of images in the store."""
    frame = store.read_images([*FILE_NAME, "current"])
    paths = [full_path(row.root, row.path, row.path_bytes) for row in frame[frame.current].itertuples()]
    return evaluate(result, truth, images=paths, folder=os.fspath(Path(truth).resolve().parent))


def _shown(value: Any) -> str:
    return f"{value:.4f}" if isinstance(value, float) else printable(str(value))


def _average_precision(values: Any, right: Any, known: int) -> float:
    """Σ (recall step) · precision over the distinct values, ascending; pairs of equal value count together."""
    if not len(values):
        return 0.0
    last = np.append(values[1:] != values[:-1], True)
    hits, ranks = np.cumsum(right)[last], np.flatnonzero(last) + 1
    return float(np.sum(np.diff(hits, prepend=0) * (hits / ranks)) / known)


def _by_verdict(found: pd.DataFrame, right: Any) -> pd.DataFrame:
    verdicts = found.get("verdict", pd.Series(dtype=object))
    rows = pd.DataFrame({"verdict": verdicts.astype(object), "right": right[: len(verdicts)].astype(bool)})
    counts = rows.groupby("verdict").right.agg(found="size", right="sum")
    return counts.loc[[name for name in ALL_BY_CERTAINTY if name in counts.index]]


def _by_kind(kind_of: dict[tuple[str, str], str], hit: set[tuple[str, str]]) -> pd.DataFrame:
    rows = pd.DataFrame({"kind": list(kind_of.values()), "right": [key in hit for key in kind_of]})
    rows = rows[rows.kind != ""]
    kinds = rows.groupby("kind").right.agg(known="size", right="sum")
    return kinds.assign(recall=kinds.right / kinds.known)
