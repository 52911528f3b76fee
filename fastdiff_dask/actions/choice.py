"""Images that are kept and images that go, chosen one after the other, best first."""

from collections.abc import Callable
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..results.groups import Groups
from ..results.keep_rules import KeepRules
from ..results.result import Result
from ..storage.derived.verdicts import NOT_LOOKED_AT, SAME_FILE, SIMILAR, VERDICT_NAMES
from ..text import printable
from .candidates import RAW, Candidates

__all__ = ["Choice", "Chosen", "Demands", "Look", "Skipped", "choose_by_rules", "choose_looked_at", "choose_marked"]

# Looks at pairs, (k, 2) rows of `Result.images`, and gives the result with their verdicts.
Look = Callable[[Result, NDArray[np.int64]], Result]
# Kept images of a group that are tried for an image, and rounds of looking at pairs that were chosen.
_TRIED, _ROUNDS = 8, 4
# Groups for which a bit for each two takes less memory than a list of the pairs, as only millions are not held.
_MOST_DENSE = 60_000


class Chosen(NamedTuple):
    """An image that may go.

    Attributes
    ----------
    image, kept_image
        Numbers of this image and of the image that is kept for it.
    path, kept
        Paths of the two images.
    why
        Reason why this image goes rather than the other one.
    value
        MSE, or another measure, of the pair.
    size
        Size of this image's file in bytes.
    kept_is_protected
        True if the kept image lies in a protected folder: nothing is written into its file.
    verdict
        Verdict of the pair, see `Result.pairs`.
    """

    image: int
    kept_image: int
    path: str
    kept: str
    why: str
    value: float
    size: int
    kept_is_protected: bool = False
    verdict: str = VERDICT_NAMES[NOT_LOOKED_AT]

    @property
    def same_file(self) -> bool:
        """True if both files have the same bytes."""
        return self.verdict == VERDICT_NAMES[SAME_FILE]


class Skipped(NamedTuple):
    """An image that stays although it is a duplicate, or was marked to go, with the reason."""

    path: str
    reason: str


class Demands(NamedTuple):
    """Demands on the image that is kept for another one.

    Attributes
    ----------
    any_verdict
        A similar image is enough.
    unknown
        An image that was not looked at yet is enough.
    same_file
        It must have the same bytes.
    give_up
        Parts that it may lack.
    """

    any_verdict: bool = False
    unknown: bool = False
    same_file: bool = False
    give_up: frozenset[str] = frozenset()


def choose_by_rules(result: Result, rules: KeepRules, candidates: Candidates, demands: Demands) -> "Choice":
    """Choose the images that go by rules, without marks."""
    choice = Choice(result, rules, candidates, demands)
    choice.by_rules()
    return choice


def choose_looked_at(
    result: Result, rules: KeepRules, candidates: Candidates, look: Look | None, give_up: frozenset[str]
) -> "Choice":
    """Choose by rules, looking at the chosen pairs that were not looked at; each round may find others to choose."""
    for _ in range(_ROUNDS):
        choice = choose_by_rules(result, rules, candidates, Demands(unknown=True, give_up=give_up))
        ends = np.array(choice.ends, np.int64).reshape(-1, 2)
        unknown = ends[result.verdicts.codes(*ends.T) == NOT_LOOKED_AT]
        if look is None or not len(unknown):
            return choice
        result = look(result, unknown)
        if (result.verdicts.codes(*unknown.T) == NOT_LOOKED_AT).all():
            break  # their files are not as they were compared
    return choose_by_rules(result, rules, candidates, Demands(give_up=give_up))


def choose_marked(
    result: Result, rules: KeepRules, candidates: Candidates, demands: Demands, marks: dict[int, str], look: Look | None
) -> "Choice":
    """Choose by marks. Pairs that nobody looked at are looked at now, and images that are other pictures stay."""
    choice = Choice(result, rules, candidates, demands)
    choice.by_marks(marks)
    ends = np.array(choice.ends, np.int64).reshape(-1, 2)
    unknown = ends[result.verdicts.codes(*ends.T) == NOT_LOOKED_AT]
    if look is not None and len(unknown):
        choice.leave_different(look(result, unknown))
    return choice


class Choice:
    """Images that are kept and images that go, chosen one after the other.

    Attributes
    ----------
    skipped
        As in `RemovalPlan`, but not sorted.
    ends
        Rows of `Result.images` of each chosen image and the image that is kept for it.
    """

    def __init__(self, result: Result, rules: KeepRules, candidates: Candidates, demands: Demands) -> None:
        self._reasons: list[str] = []
        self.skipped: list[Skipped] = []
        self.ends: list[tuple[int, int]] = []
        self._result, self._rules, self._candidates, self._demands = result, rules, candidates, demands
        self._near = _Neighbours(result)
        # images that no pairs connect are not compared: with 100,000 clusters that would never end
        self._cluster = _clusters(result.groups.connected() if demands.any_verdict else result.connected(), result)
        self._same = {} if demands.any_verdict else _same_pictures(result)
        self._ranks: dict[int, int] = {}
        self._any_alone = False
        # cluster → group of equal thumbnails → (rank, row) of its best kept images
        self._kept: dict[int, dict[int, list[tuple[int, int]]]] = {}
        # content hash → row of the first kept image
        self._equal: dict[str, int] = {}

    def by_rules(self) -> None:
        """Keep each image unless a better similar image is kept."""
        candidates = self._candidates
        for rank, row in enumerate(candidates.best_first()):
            other, why_not = self._best_kept(row), candidates.why_stays[row]
            if why_not is None and candidates.why_needed[row] is not None:
                twin = self._equal.get(candidates.rows[row].content_hash)
                other, why_not = (other, candidates.why_needed[row]) if twin is None else (twin, None)
            if other is not None and why_not is None:
                why_not = self._why_needed_for(row, other)
            if other is not None and why_not is None:
                self._remove(row, other, self._rules.reason(candidates.keys[row], candidates.keys[other]))
                continue
            self._keep(row, rank)
            if other is not None and why_not is not None:
                self._skip(row, why_not)

    def by_marks(self, marks: dict[int, str]) -> None:
        """Keep all images except those that are marked "remove" and may go."""
        candidates = self._candidates
        order = candidates.best_first()
        marked = [marks.get(number) for number in candidates.numbers]
        staying = {
            candidates.rows[row].content_hash
            for row in order
            if marked[row] != "remove" or candidates.why_stays[row] is not None
        }
        going = []
        for rank, row in enumerate(order):
            why_not = candidates.why_stays[row]
            if why_not is None and candidates.rows[row].content_hash not in staying:
                why_not = candidates.why_needed[row]
            if marked[row] == "remove" and why_not is None:
                going.append(row)
                continue
            self._keep(row, rank if marked[row] == "keep" else rank + len(order), candidates.stands_alone(row))
            if marked[row] == "remove" and why_not is not None:
                self._skip(row, why_not)
        for row in going:
            other = self._twin(row) if candidates.stands_alone(row) else self._best_kept(row)
            if other is None:
                self._skip(row, self._why_none(row))
            elif candidates.why_needed[row] is not None:
                self._remove(row, self._equal[candidates.rows[row].content_hash], "as decided")
            else:
                self._remove(row, other, "as decided")
        unknown = len(set(marks) - set(candidates.numbers))
        if unknown:
            self.skipped.append(Skipped(f"{unknown} decided images", "they are in no similar pair any more"))

    def leave_different(self, looked: Result) -> None:
        """Let the chosen images stay that were not looked at before, and are other pictures as it turned out."""
        ends = np.array(self.ends, np.int64).reshape(-1, 2)
        before, after = (one.verdicts.codes(*ends.T) for one in (self._result, looked))
        self._result = looked
        for place in np.flatnonzero((before == NOT_LOOKED_AT) & (after == SIMILAR))[::-1].tolist():
            row, other = self.ends.pop(place)
            del self._reasons[place]
            kept = printable(self._candidates.rows[other].path)
            self._skip(row, f"it was marked before anybody looked twice, and is another picture than {kept}")

    def _why_none(self, row: int) -> str:
        if self._candidates.stands_alone(row):
            return "it is a raw file, which nothing replaces"
        none = f"no image that is kept {'has the same bytes' if self._demands.same_file else 'is similar to it'}"
        return f"{none}; raw files and frames of films do not count" if self._any_alone else none

    def _keep(self, row: int, rank: int, alone: bool = False) -> None:
        content = self._candidates.rows[row].content_hash
        if content:
            self._equal.setdefault(content, row)
        self._ranks[row] = rank
        if alone:
            self._any_alone = True
            return
        kept = self._kept.setdefault(int(self._cluster[row]), {}).setdefault(self._near.group(row), [])
        kept.append((rank, row))
        kept.sort()
        del kept[1 if self._demands.any_verdict else _TRIED :]

    def _best_kept(self, row: int) -> int | None:
        """Find the best kept image that is similar to an image, and does as is demanded."""
        if self._demands.same_file:
            return self._twin(row)
        kept = self._kept.get(int(self._cluster[row]), {})
        groups = [group for group, near in zip(kept, self._near.are_near(row, list(kept)), strict=True) if near]
        near = [one for group in groups for one in kept[group]]
        if self._demands.any_verdict:
            return min(near, default=(0, None))[1]
        same = [one for one in self._same.get(row, ()) if one in self._ranks]
        are_near = self._near.are_near(row, [self._near.group(one) for one in same])
        same = [one for one, is_near in zip(same, are_near, strict=True) if is_near]
        tried = sorted({*near, *((self._ranks[other], other) for other in same)})
        others = np.array([other for _, other in tried], np.int64)
        codes = self._result.verdicts.codes(np.full(len(others), row), others)
        good = (codes != SIMILAR) & ((codes != NOT_LOOKED_AT) | self._demands.unknown)
        return min(
            others[good].tolist(),
            key=lambda other: bool(self._candidates.lacks(row, other, self._demands.give_up)),
            default=None,
        )

    def _twin(self, row: int) -> int | None:
        """Find a kept image with the same bytes."""
        twin = self._equal.get(self._candidates.rows[row].content_hash)
        return twin if twin is not None and self._near.are_near(row, [self._near.group(twin)]).all() else None

    def _why_needed_for(self, row: int, other: int) -> str | None:
        """Reason why an image stays although the other one shows the same picture, or None."""
        lacks = sorted(self._candidates.lacks(row, other, self._demands.give_up))
        if RAW in lacks:
            return "it is a raw file, which nothing replaces"
        path, frames = printable(self._candidates.rows[other].path), self._candidates.frames[row]
        if lacks:
            both = self._candidates.extras[other].issuperset(lacks)
            return f"it has what {path} {'has otherwise, perhaps' if both else 'lacks'}: {', '.join(lacks)}"
        (code,) = self._result.verdicts.codes(np.array([row]), np.array([other]))
        if frames > 1 and (code in (SIMILAR, NOT_LOOKED_AT) and not self._demands.unknown):
            return f"it has {frames} frames or pages, and {path} does not show the same"
        return None

    def _remove(self, row: int, other: int, why: str) -> None:
        self.ends.append((row, other))
        self._reasons.append(why)

    @cached_property
    def chosen(self) -> list[Chosen]:
        """The images that go, not sorted; made at the end, as the values of all pairs are found at once."""
        ends = np.array(self.ends, np.int64).reshape(-1, 2)
        found = self._result.groups.exactly(*ends.T)
        values = self._result.value.numbers(found.values).tolist()
        of = dict(zip(zip(found.a.tolist(), found.b.tolist(), strict=True), values, strict=True))
        verdicts = self._result.verdicts.names(*ends.T)
        candidates, chosen = self._candidates, []
        for (row, other), why, verdict in zip(self.ends, self._reasons, verdicts.tolist(), strict=True):
            value = of[row, other] if (row, other) in of else of[other, row]
            this, kept = candidates.rows[row], candidates.rows[other]
            numbers, protected = (candidates.numbers[row], candidates.numbers[other]), candidates.protected[other]
            chosen.append(Chosen(*numbers, this.path, kept.path, why, value, int(this.size), protected, verdict))
        return chosen

    def _skip(self, row: int, reason: str) -> None:
        self.skipped.append(Skipped(self._candidates.rows[row].path, reason))


class _Neighbours:
    """The groups of equal thumbnails to which an image is similar.

    Memory: some hundred bytes for each pair of groups while they are sorted; of up to 60,000 groups with more pairs
    than are held, a bit for each two groups, 450 MB at most.
    """

    def __init__(self, result: Result) -> None:
        groups = result.groups
        self._own = groups.makes_own_pairs
        of = np.repeat(np.arange(len(groups.starts) - 1), np.diff(groups.starts))
        self._group = dict(zip(groups.members.tolist(), of.tolist(), strict=True))
        number = len(groups.starts) - 1
        # nearly all of many pages may be similar to each other
        self._bits = _near_bits(groups, number) if groups.stored is not None and number <= _MOST_DENSE else None
        ends: list[NDArray[np.int64]] = [np.zeros((0, 2), np.int64)]
        if self._bits is not None:
            return
        ends += [np.stack([chunk.first, chunk.second], axis=1) for chunk in groups.group_pairs()]
        both = np.concatenate(ends)
        both = both[both[:, 0] != both[:, 1]]
        both = np.concatenate([both, both[:, ::-1]])
        both = both[np.lexsort((both[:, 1], both[:, 0]))]
        self._others = both[:, 1]
        self._starts = np.searchsorted(both[:, 0], np.arange(len(groups.starts)))

    def group(self, row: int) -> int:
        """The group of an image; a group of its own for an image in no pair of thumbnails."""
        return self._group.get(row, -1 - row)

    def are_near(self, row: int, groups: list[int]) -> NDArray[np.bool_]:
        """Tell of each group whether its images are similar to an image."""
        mine, asked = self._group.get(row), np.array(groups, np.int64)
        if mine is None:
            return np.zeros(len(asked), bool)
        if self._bits is not None:
            at = asked.clip(min=0)
            found = (self._bits[mine, at >> 3] >> (at & 7) & 1).astype(bool) & (asked >= 0)
            return found | (asked == mine) & self._own
        near = self._others[self._starts[mine] : self._starts[mine + 1]]
        at = np.searchsorted(near, asked).clip(max=max(len(near) - 1, 0))
        found = near[at] == asked if len(near) else np.zeros(len(asked), bool)
        return found | (asked == mine) & self._own


def _near_bits(groups: Groups, number: int) -> NDArray[np.uint8]:
    """Mark the groups that are similar to each group: (n, ⌈n / 8⌉) uint8, a bit each."""
    width = -(-number // 8)
    bits = np.zeros(number * width, np.uint8)
    for chunk in groups.group_pairs():
        other = chunk.first != chunk.second
        for one, two in ((chunk.first[other], chunk.second[other]), (chunk.second[other], chunk.first[other])):
            np.bitwise_or.at(bits, one * width + (two >> 3), (1 << (two & 7)).astype(np.uint8))
    return bits.reshape(number, width)


def _clusters(parts: list[NDArray[np.int64]], result: Result) -> NDArray[np.int64]:
    """Number clusters, given by their rows: (n,) int64; an image in none of them has a number of its own."""
    numbers = -1 - np.arange(len(result.images), dtype=np.int64)
    for number, part in enumerate(parts):
        numbers[part] = number
    return numbers


def _same_pictures(result: Result) -> dict[int, list[int]]:
    """For each image the others that a second look called the same picture."""
    rows = {number: row for row, number in enumerate(result.verdicts.numbers.tolist())}
    found: dict[int, list[int]] = {}
    for a, b in zip(*(numbers.tolist() for numbers in result.verdicts.verdicts.same()), strict=True):
        if a in rows and b in rows:
            found.setdefault(rows[a], []).append(rows[b])
            found.setdefault(rows[b], []).append(rows[a])
    return found
