"""Edited copies that may go, each for the picture that it was made from and that shows all of it."""

import heapq
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import pandas as pd

from ..config import EDITED_COPY, SAME_FILE, SAME_PICTURE, SAME_PIXELS, VERDICT_NAMES
from ..results.edited_pairs import copies_among
from ..results.result import Result
from ..storage.derived.edited import EditedFiles
from ..storage.store import Store
from ..text import printable
from .candidates import MORE_PIXELS, RAW, Candidates
from .choice import Choice, Chosen, Skipped

__all__ = ["EditedChoice", "choose_edited"]

_CAPTION = "caption or sticker"
# Words for what cannot be taken back: the picture that has them is the copy.
_LASTING = (
    *("cropped", "white border", "black border", "border", "white bars", "black bars", "bars", "on a screen"),
    *("grey", "sepia", "blurred", "noise", "watermark", _CAPTION),
)
# Pixels of a copy, of the part that both show, that are more than those of the original: alignments are that exact.
_MORE = 1.1
# Words where the rules take the image for the copy that was taken for the original.
_OPPOSITE = {
    **{"brighter": "darker", "darker": "brighter", "more contrast": "less contrast", "less contrast": "more contrast"},
    **{"sharpened": "less sharp", "turned by 90°": "turned by 270°", "turned by 270°": "turned by 90°"},
}
_SAME = [VERDICT_NAMES[code] for code in (SAME_FILE, SAME_PIXELS, SAME_PICTURE)]


class EditedChoice(NamedTuple):
    """Edited copies that may go, and those that must stay, each with the reason."""

    chosen: list[Chosen]
    skipped: list[Skipped]


class _Copy(NamedTuple):
    """A pair by rows of `Result.images`: the copy, and the image that may stay for it.

    Attributes
    ----------
    share
        Share of the original that the whole copy takes; NaN if that is not known.
    why
        What was done to the copy, with the confidence.
    has_caption
        True if the copy has a caption or sticker. The other one may have another.
    """

    copy: int
    original: int
    share: float
    why: str
    has_caption: bool


def choose_edited(
    store: Store,
    result: Result,
    candidates: Candidates,
    choice: Choice,
    give_up: frozenset[str] = frozenset(),
    marks: dict[int, str] | None = None,
) -> EditedChoice:
    """Choose the edited copies that may go besides the images that a choice takes.

    - The copy goes, never the original. A picture that shows a part goes for the fuller one, and never the other way
      round; if each of the two shows or has something that the other one lacks, both stay.
    - Where the pixels do not tell which is the copy (brighter, mirrored), the rules for images to keep decide.
    - A copy with a caption stays, as its text is nowhere else; and one of which no word says what was done to it.
    - A copy with more pixels of the same part than the original stays, unless "more pixels" may be given up.
    - The original stays in the whole plan; if it goes for an image of the same picture, this one stays for both.
    - An image that is kept for another one stays. All other reasons to stay hold as for similar images.

    Time and memory grow with the edited copies and the candidates that were aligned.

    Parameters
    ----------
    store, result
        The store, and the pairs that were found in it.
    candidates, choice
        The images of the result, and what goes of them anyway.
    give_up
        Parts that an image may have and the kept one lacks.
    marks
        Marks of images by number: only those marked "remove" go.

    Returns
    -------
    The copies that may go, and those that would but must stay.
    """
    pairs = copies_among(result.edited_pairs, result.verdicts)
    if not len(pairs):
        return EditedChoice([], [])
    ranks = {row: rank for rank, row in enumerate(candidates.best_first())}
    copies: dict[int, list[_Copy]] = {}
    for pair in _directed(pairs, candidates, _shares(store, result, pairs)):
        marked = marks is None or marks.get(candidates.numbers[pair.copy]) == "remove"
        if marked and pair.copy in ranks and pair.original in ranks:
            copies.setdefault(pair.copy, []).append(pair)
    chooser = _Chooser(candidates, choice, give_up)
    for row in _originals_first(copies, ranks):
        chooser.choose(row, sorted(copies[row], key=lambda pair: ranks[pair.original]))
    return EditedChoice(chooser.chosen, chooser.skipped)


def _shares(store: Store, result: Result, pairs: pd.DataFrame) -> pd.Series:
    """Share of a that the whole of b takes, for each pair."""
    aligned = EditedFiles(store).read_aligned().set_index(["a", "b"])
    numbers = result.images["image"].to_numpy(np.int64)
    ends = [numbers[pairs[side].to_numpy(np.int64)] for side in ("a", "b")]
    found = aligned.reindex(pd.MultiIndex.from_arrays(ends, names=["a", "b"]))
    return pd.Series((found.m0 * found.m4 - found.m1 * found.m3).abs().to_numpy(), pairs.index)


def _directed(pairs: pd.DataFrame, candidates: Candidates, shares: pd.Series) -> Iterable[_Copy]:
    """Name copy and original of each pair of which one may go."""
    for pair, share in zip(pairs.itertuples(), shares.tolist(), strict=True):
        copy, original = (pair.a, pair.b) if pair.copy_of_other == "a" else (pair.b, pair.a)
        # without a word for what was done, as for two captions that differ in a digit, only verify decides
        if pair.part not in ("", pair.copy_of_other) or not (pair.words or pair.part):
            continue
        words = pair.words.split(", ")
        told = pair.part or any(word.startswith(_LASTING) for word in words)
        if not told and candidates.keys[copy] < candidates.keys[original]:
            copy, original = original, copy
            # a mirrored picture is turned back by the same angle
            words = [word if pair.mirrored and "°" in word else _OPPOSITE.get(word, word) for word in words]
        what = f": {', '.join(words)}" if pair.words else ""
        why = f"edited copy{what} (confidence {pair.confidence:.2f})"
        yield _Copy(copy, original, share if copy == pair.b else 1 / share, why, _CAPTION in words)


def _originals_first(copies: dict[int, list[_Copy]], ranks: dict[int, int]) -> Iterable[int]:
    """Order the copies so that each comes after its originals; in a circle, the best image comes first."""
    waiting = {row: {pair.original for pair in pairs if pair.original in copies} for row, pairs in copies.items()}
    of: dict[int, list[int]] = {}
    for row, originals in waiting.items():
        for original in originals:
            of.setdefault(original, []).append(row)
    ready = [(ranks[row], row) for row, originals in waiting.items() if not originals]
    heapq.heapify(ready)
    best = iter(sorted(copies, key=ranks.__getitem__))
    done: set[int] = set()
    while len(done) < len(copies):
        row = heapq.heappop(ready)[1] if ready else next(row for row in best if row not in done)
        if row in done:
            continue
        done.add(row)
        yield row
        for copy in of.get(row, ()):
            waiting[copy].discard(row)
            if not waiting[copy] and copy not in done:
                heapq.heappush(ready, (ranks[copy], copy))


class _Chooser:
    """Copies that go, chosen one after the other."""

    def __init__(self, candidates: Candidates, choice: Choice, give_up: frozenset[str]) -> None:
        self.chosen: list[Chosen] = []
        self.skipped: list[Skipped] = []
        self._candidates, self._give_up = candidates, give_up
        self._going = {row for row, _ in choice.ends}
        self._kept = {kept for _, kept in choice.ends}
        # images that go → the image that shows the same picture and is kept for it
        self._same = {
            row: kept for (row, kept), one in zip(choice.ends, choice.chosen, strict=True) if one.verdict in _SAME
        }

    def choose(self, row: int, pairs: list[_Copy]) -> None:
        """Let a copy go for the first of its originals that allows it, or note the reason why it stays."""
        if row in self._going:
            return
        reasons = []
        for pair in pairs:
            original = pair.original if pair.original not in self._going else self._same.get(pair.original)
            reason = self._why_stays(pair, original)
            if reason is None and original is not None:
                self._remove(row, original, pair.why)
                return
            reasons.append(reason)
        self.skipped.append(Skipped(self._candidates.rows[row].path, f"it is an edited copy, but {reasons[0]}"))

    def _why_stays(self, pair: _Copy, original: int | None) -> str | None:
        candidates, row = self._candidates, pair.copy
        reason = candidates.why_stays[row] or candidates.why_needed[row]
        if reason is not None:
            return reason
        if row in self._kept:
            return "it is kept for another image"
        if original is None or original == row:
            return f"{printable(candidates.rows[pair.original].path)}, of which it is one, goes itself"
        lacks = set(candidates.lacks(row, original, self._give_up))
        if not pair.share * candidates.pixels[original] * _MORE >= candidates.pixels[row]:
            lacks |= {MORE_PIXELS} - self._give_up
        path = printable(candidates.rows[original].path)
        if pair.has_caption:
            return f"it has a {_CAPTION}, which {path} lacks"
        if RAW in lacks:
            return "it is a raw file, which nothing replaces"
        if lacks:
            return f"it has what {path} lacks: {', '.join(sorted(lacks))}"
        if candidates.frames[row] > 1:
            return f"it has {candidates.frames[row]} frames or pages, of which only the first was compared"
        return None

    def _remove(self, row: int, original: int, why: str) -> None:
        candidates = self._candidates
        this, kept = candidates.rows[row], candidates.rows[original]
        numbers, protected = (candidates.numbers[row], candidates.numbers[original]), candidates.protected[original]
        self._going.add(row)
        self._kept.add(original)
        self.chosen.append(
            Chosen(*numbers, this.path, kept.path, why, float("nan"), int(this.size), protected, EDITED_COPY)
        )
