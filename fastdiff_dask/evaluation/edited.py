"""Edited copies among the found pairs of an evaluation."""

import pandas as pd

from ..config import EDITED_COPY, SIMILAR, VERDICT_NAMES
from ..results.result import Result

__all__ = ["direct_copies", "keys_of", "no_copies", "with_copies"]

Key = tuple[str, str]


def no_copies() -> pd.DataFrame:
    """Give no edited copy: a, b, confidence."""
    return pd.DataFrame({"a": [], "b": [], "confidence": []})


def direct_copies(result: Result) -> pd.DataFrame:
    """Give the edited copies of a result that were looked at, the surest first: a, b, confidence."""
    edited = result.edited
    edited = edited[edited.via == ""].rename(columns={"original": "a", "copy": "b"})[["a", "b", "confidence"]]
    return edited.sort_values("confidence", ascending=False, kind="stable")


def keys_of(pairs: pd.DataFrame) -> list[Key]:
    """Give the images of each pair, in their order."""
    return [(a, b) if a < b else (b, a) for a, b in zip(pairs.a, pairs.b, strict=True)]


def with_copies(found: pd.DataFrame, edited: pd.DataFrame, known: list[Key]) -> pd.DataFrame:
    """Add edited copies to found pairs, and known pairs of which both images are copies of a third one.

    Parameters
    ----------
    found
        Pairs with `_value`, the most similar first. Those that are edited copies get this verdict.
    edited
        The edited copies.
    known
        The known pairs.

    Returns
    -------
    The pairs, each once; those that were added have higher values than all others.
    """
    copies = dict(zip(keys_of(edited), edited.confidence.tolist(), strict=True))
    keys = keys_of(found)
    if "verdict" in found:
        verdicts = [EDITED_COPY if key in copies else name for key, name in zip(keys, found.verdict, strict=True)]
        found = found.assign(verdict=pd.Series(verdicts, found.index, dtype=object))
    there = set(keys)
    added = [(*key, 1 - confidence) for key, confidence in copies.items() if key not in there]
    missed = [key for key in known if key not in there and key not in copies]
    added += [(*key, 1.0) for key in _by_third(missed, found, set(copies))]
    more = pd.DataFrame(added, columns=["a", "b", "_value"]).assign(verdict=EDITED_COPY)
    highest = found["_value"].max() if len(found) else 0.0
    return pd.concat([found, more.assign(_value=more["_value"] + highest + 1)], ignore_index=True)


def _by_third(missed: list[Key], found: pd.DataFrame, copies: set[Key]) -> list[Key]:
    """Find the pairs of which both images are in a pair with a third one, at least one of them an edited copy."""
    names = {name for key in missed for name in key}
    near = found[found.a.isin(names) | found.b.isin(names)]
    if "verdict" in near:
        near = near[near.verdict != VERDICT_NAMES[SIMILAR]]
    every, by_edit = _neighbours({*keys_of(near), *copies}), _neighbours(copies)
    none: set[str] = set()
    return [
        (a, b)
        for a, b in missed
        if by_edit.get(a, none) & every.get(b, none) or every.get(a, none) & by_edit.get(b, none)
    ]


def _neighbours(pairs: set[Key]) -> dict[str, set[str]]:
    near: dict[str, set[str]] = {}
    for a, b in pairs:
        near.setdefault(a, set()).add(b)
        near.setdefault(b, set()).add(a)
    return near
