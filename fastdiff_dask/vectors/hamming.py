"""All pairs of hashes within a Hamming distance: an index of pieces where it is small, else counts of bits. NumPy only.

If two hashes differ in at most r bits, and some of their bits are cut into m disjoint pieces with radii ρ of which
Σ (ρ + 1) > r, then at least one piece differs in at most its radius (the pigeonhole principle; Norouzi, Punjani and
Fleet, "Fast exact search in Hamming space with multi-index hashing", 2014, doi:10.1109/TPAMI.2013.231).

- Equal hashes are a group, which is compared once.
- The bits of a piece, and the number of pieces, are chosen by a sample of the pairs and by costs that are measured.
- A pair is given by the first piece that is near, so that none is held to tell if it was given before.
"""

import functools
import math
import threading
import time
from collections.abc import Callable, Iterator
from itertools import combinations
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..kernels.transforms import Transform, best_transforms, lower_image_first

__all__ = ["HammingPairs", "Pieces", "as_words", "choose_pieces", "near_hashes"]

_Words = NDArray[np.uint64]
_Places = NDArray[np.int64]
# Pairs whose bits are counted at once: they stay in the cache of a core, and calls cost little beside it.
_AT_ONCE = 1 << 17
# Pairs of two buckets from which they are compared as a matrix: a call costs as much as some thousand single pairs.
_MATRIX = 1 << 11
# Columns of such a matrix.
_WIDE = 1 << 13
# Hashes whose partners are looked up at once, so that what is known of them stays in the cache.
_ROWS = 1 << 14
_NOTHING = np.zeros(0, np.int64)
# Bits of a piece: a table of all its values is small, and NumPy sorts it by radix. Bits in which pieces may differ.
_MOST_BITS, _MOST_RADIUS = 16, 2
# Pairs that are drawn to choose pieces by, and hashes among which the choice is not worth its time.
_DRAWN, _FEW = 1 << 16, 1 << 9
# Bytes of the pairs that are drawn, at most, and words of the hashes by which costs are measured: vectors may be long.
_DRAWN_BYTES, _MEASURED_WORDS = 1 << 25, 1 << 6


class HammingPairs(NamedTuple):
    """Similar pairs of two sides.

    Attributes
    ----------
    first, second
        (k,) int64, places in either side; within one side, first < second.
    values
        (k,) int64, bits in which they differ.
    masks
        (k,) uint8; bit t is set where transform t of the first one, or its reverse of the second, reaches the value.
    """

    first: NDArray[np.int64]
    second: NDArray[np.int64]
    values: NDArray[np.int64]
    masks: NDArray[np.uint8]


class Pieces(NamedTuple):
    """Pieces of hashes: near hashes are near in one of them.

    Attributes
    ----------
    bits
        For each piece its bits, by their places in a row of words: bit b is bit b mod 64 of word b // 64.
    radii
        For each piece the bits in which near hashes may differ.
    """

    bits: tuple[tuple[int, ...], ...]
    radii: tuple[int, ...]

    def masks(self) -> list[tuple[tuple[int, np.uint64], ...]]:
        """List, for each piece, the words that it has bits of, and these bits."""
        result = []
        for bits in self.bits:
            values: dict[int, int] = {}
            for bit in bits:
                values[bit // 64] = values.get(bit // 64, 0) | 1 << bit % 64
            result.append(tuple((word, np.uint64(value)) for word, value in values.items()))
        return result

    def keys(self, piece: int, words: _Words) -> NDArray[np.uint16]:
        """Take a piece of each hash: (words, n) uint64 → (n,) uint16."""
        keys = np.zeros(words.shape[1], np.uint16)
        for place, bit in enumerate(self.bits[piece]):
            value = (words[bit // 64] >> np.uint64(bit % 64)).astype(np.uint16)
            keys |= (value & np.uint16(1)) << np.uint16(place)
        return keys


def as_words(rows: NDArray[Any]) -> _Words:
    """Give the bits of rows as words: (n, d) integers or bool → (n, words) uint64, filled up with zeros.

    Examples
    --------
    >>> as_words(np.array([[255, 1]], np.uint8)).tolist()
    [[511]]
    """
    octets = np.ascontiguousarray(rows).reshape(len(rows), -1).view(np.uint8)
    missing = -octets.shape[1] % 8
    if missing:
        octets = np.pad(octets, ((0, 0), (0, missing)))
    return np.ascontiguousarray(octets).view(np.uint64)


def near_hashes(
    a: _Words,
    b: _Words | None,
    limit: float,
    transforms: tuple[int, ...] = (0,),
    pieces: Pieces | str | None = "cheapest",
) -> Iterator[HammingPairs]:
    """Find the pairs of hashes whose smallest distance over transforms of either image is at most a limit.

    Memory: the hashes three times, and some 100 MB; it does not grow with the number of pairs.

    Parameters
    ----------
    a
        (transforms, m, words) uint64: the hashes of m images turned by each of the transforms.
    b
        (transforms, n, words) uint64; None: the pairs of `a` with itself, each once.
    limit
        Largest number of different bits of a near pair.
    transforms
        Numbers of the transforms, a group, the identity first.
    pieces
        Pieces to search by; None: count the bits of all pairs; "cheapest": whichever takes least time. The pairs are
        the same, in another order.

    Yields
    ------
    HammingPairs
        131,072 pairs at most.

    Examples
    --------
    >>> hashes = np.array([[[0b0001], [0b1111], [0b0011]]], np.uint64)
    >>> found, = near_hashes(hashes, None, 1)
    >>> found.first.tolist(), found.second.tolist(), found.values.tolist()
    ([0], [2], [1])
    """
    if math.isnan(limit) or limit < 0 or not a.shape[1] or (b is not None and not b.shape[1]):
        return
    search = _Search(a, b, math.floor(min(limit, 64.0 * a.shape[2])), transforms)
    if isinstance(pieces, str):
        pieces = search.cheapest()
    found = search.by_counts() if pieces is None else search.by_pieces(pieces)
    for first, second in _gathered(found):
        yield from search.settled(first, second)
    yield from search.equal()


class _Side:
    """Hashes of one side, each different one once.

    Attributes
    ----------
    words
        (transforms, words, k) uint64.
    members, starts
        Images with the hash g in all transforms: members[starts[g] : starts[g + 1]].
    """

    def __init__(self, hashes: _Words) -> None:
        words = np.ascontiguousarray(hashes.transpose(0, 2, 1))
        mixed = np.zeros(hashes.shape[1], np.uint64)
        for word in words.reshape(-1, words.shape[2]):
            mixed = (mixed ^ word) * np.uint64(0x9E3779B97F4A7C15)  # odd: wraps without loss
            mixed ^= mixed >> np.uint64(29)
        self.members = np.argsort(mixed, kind="stable")
        # two hashes that are mixed alike may lie among each other: their groups are then in parts, which is no harm
        new = np.diff(mixed[self.members], prepend=mixed[self.members[:1]] + np.uint64(1)) != 0
        again = np.flatnonzero(~new)
        rows = words[:, :, self.members[again]] != words[:, :, self.members[again - 1]]
        new[again] = rows.any(axis=(0, 1))
        self.starts = np.append(np.flatnonzero(new), len(mixed))
        self.words = words[:, :, self.members[self.starts[:-1]]]

    def __len__(self) -> int:
        return len(self.starts) - 1

    @property
    def sizes(self) -> _Places:
        """Number of images of each hash, (k,)."""
        return np.diff(self.starts)

    @property
    def all_differ(self) -> bool:
        """True if no two images have equal hashes."""
        return len(self) == len(self.members)


class _Search:
    """A search among the different hashes of two sides, or of one with itself."""

    def __init__(self, a: _Words, b: _Words | None, limit: int, transforms: tuple[int, ...]) -> None:
        self.a = _Side(a)
        self.b = self.a if b is None else _Side(b)
        self.triangular, self.limit = b is None, limit
        self.words = a.shape[2]
        places = {t: place for place, t in enumerate(transforms)}
        # transform of a pair, and the forms of its images
        self.forms = [(t, places[t], 0) for t in transforms]
        self.forms += [(t, 0, places[Transform(t).inverse]) for t in transforms[1:]]
        self.leading = _leading_words(self.words, limit)

    # -- which way

    def cheapest(self) -> Pieces | None:
        """Choose pieces, or None to count the bits of all pairs, whichever takes less time."""
        if min(len(self.a), len(self.b)) < _FEW:
            return None
        rng = np.random.default_rng(0)
        drawn_pairs = max(1, min(_DRAWN, _DRAWN_BYTES // (8 * self.words)))
        some, others = (rng.integers(0, len(side), drawn_pairs) for side in (self.a, self.b))
        drawn = self.a.words[0][:, some] ^ self.b.words[0][:, others]
        if self.triangular:
            drawn = drawn[:, some != others]
        return choose_pieces(drawn, len(self.a), len(self.b), self.limit, self.triangular)

    # -- near pairs of different hashes: each once, and some that are not near

    def by_counts(self) -> Iterator[tuple[_Places, _Places]]:
        """Count the bits of all pairs."""
        counter = _Counter(self.limit, self.leading)
        forms = [(self.a.words[i], self.b.words[j]) for _, i, j in self.forms]
        for rows, columns in _rectangles(len(self.a), len(self.b), self.triangular):
            first, second = counter.near([(a[:, rows], b[:, columns]) for a, b in forms])
            first, second = first + rows.start, second + columns.start
            if self.triangular and len(first) and rows.stop > columns.start:
                once = first < second
                first, second = first[once], second[once]
            if len(first):
                yield first, second

    def by_pieces(self, pieces: Pieces) -> Iterator[tuple[_Places, _Places]]:
        """Compare hashes that are near in a piece."""
        masks = pieces.masks()
        for piece, radius in enumerate(pieces.radii):
            earlier = list(zip(masks, pieces.radii, strict=True))[:piece]
            # as they are: they are compared with all forms of the other side
            plain = _Index(pieces, piece, self.a.words[0])
            other = plain if self.triangular else _Index(pieces, piece, self.b.words[0])
            for _, i, j in self.forms:
                if self.triangular and j:
                    continue  # these are the pairs of another form the other way round
                a = plain if i == 0 else _Index(pieces, piece, self.a.words[i])
                b = other if j == 0 else _Index(pieces, piece, self.b.words[j])
                join = _Join(a, None if a is b else b, self.limit, self.leading, radius)
                for first, second in join.near(earlier):
                    yield from self._first_form(first, second, i, j)

    def _first_form(self, first: _Places, second: _Places, i: int, j: int) -> Iterator[tuple[_Places, _Places]]:
        """Leave out pairs that are found by an earlier form as well; within a side, put the lower place first."""
        form = np.full(len(first), self._number(i, j))
        if self.triangular:
            other = first != second
            first, second, form = first[other], second[other], form[other]
            if i:
                form = np.where(first < second, form, self._number(j, i))
            first, second = np.minimum(first, second), np.maximum(first, second)
        if len(self.forms) > 1:
            near = self._distances(first, second) <= self.limit
            new = np.argmax(near, axis=0) == form
            first, second = first[new], second[new]
        if len(first):
            yield first, second

    def _number(self, i: int, j: int) -> int:
        """Number of the form that compares form i of the first image with form j of the second."""
        return next(number for number, (_, x, y) in enumerate(self.forms) if (x, y) == (i, j))

    # -- exact values

    def _distances(self, first: _Places, second: _Places) -> NDArray[np.int64]:
        """Distances of some hashes by each form: (forms, k)."""
        result = np.zeros((len(self.forms), len(first)), np.int64)
        for values, (_, i, j) in zip(result, self.forms, strict=True):
            for a, b in zip(self.a.words[i], self.b.words[j], strict=True):
                values += np.bitwise_count(a[first] ^ b[second])
        return result

    def _masks(self, distances: NDArray[np.int64], values: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Bit masks of the transforms by which pairs have some values, from their distances by each form."""
        masks: NDArray[np.uint8] = best_transforms(
            ((t, found) for (t, _, _), found in zip(self.forms, distances, strict=True)), values
        )
        return masks

    def settled(self, first: _Places, second: _Places) -> Iterator[HammingPairs]:
        """Find values and transforms of some pairs of hashes, and give the images that have them."""
        for start in range(0, len(first), _AT_ONCE):
            some, others = first[start : start + _AT_ONCE], second[start : start + _AT_ONCE]
            distances = self._distances(some, others)
            values = distances.min(axis=0)
            near = values <= self.limit
            some, others, values, distances = some[near], others[near], values[near], distances[:, near]
            masks = self._masks(distances, values)
            if self.a.all_differ and self.b.all_differ:
                yield self._pairs(self.a.members[some], self.b.members[others], values, masks)
                continue
            sizes = self.b.sizes[others]
            for row, pair in self._members(self.a, some):
                for place, column in _expanded(self.b.starts[others[pair]], sizes[pair]):
                    which = pair[place]
                    yield self._pairs(row[place], self.b.members[column], values[which], masks[which])

    def equal(self) -> Iterator[HammingPairs]:
        """Give the pairs of images with equal hashes within one side."""
        groups = np.flatnonzero(self.a.sizes > 1) if self.triangular else np.zeros(0, np.int64)
        if not len(groups):
            return
        distances = self._distances(groups, groups)
        masks = best_transforms(
            ((t, found) for (t, _, _), found in zip(self.forms, distances, strict=True)), 0 * groups
        )
        for place, slot in _expanded(self.a.starts[groups], self.a.sizes[groups]):
            after = self.a.starts[groups[place] + 1] - slot - 1
            for row, column in _expanded(slot + 1, after):
                first, second = self.a.members[slot[row]], self.a.members[column]
                yield self._pairs(first, second, np.zeros(len(row), np.int64), masks[place[row]])

    @staticmethod
    def _members(side: _Side, hashes: _Places) -> Iterator[tuple[_Places, _Places]]:
        """Images that have some hashes: the images, and for each the place of its hash."""
        for place, member in _expanded(side.starts[hashes], side.sizes[hashes]):
            yield side.members[member], place

    def _pairs(self, first: _Places, second: _Places, values: _Places, masks: NDArray[np.uint8]) -> HammingPairs:
        if self.triangular:
            first, second, masks = lower_image_first(first, second, masks)
        return HammingPairs(first, second, values, masks)


# -- an index of one piece ---------------------------------------------------------------------------------------------


class _Index:
    """Hashes in the order of one of their pieces.

    Attributes
    ----------
    words
        (words, n) uint64, in this order.
    order
        (n,) places of the hashes.
    keys
        (n,) uint16, their pieces, ascending.
    starts, sizes
        (2^bits + 1,) and (2^bits,): hashes whose piece is v are words[:, starts[v] : starts[v + 1]], sizes[v] of them.
    """

    def __init__(self, pieces: Pieces, piece: int, words: _Words) -> None:
        keys = pieces.keys(piece, words)
        self.bits = len(pieces.bits[piece])
        self.order = np.argsort(keys, kind="stable")
        self.words, self.keys = words[:, self.order], keys[self.order]
        self.sizes = np.bincount(keys, minlength=1 << self.bits)
        self.starts = np.concatenate([[0], np.cumsum(self.sizes)])


class _Join:
    """The pairs of two sides that are near in one piece; without `b`, of one side, each once."""

    def __init__(self, a: _Index, b: _Index | None, limit: int, leading: int, radius: int) -> None:
        self._a, self._b, self._same = a, a if b is None else b, b is None
        self._limit, self._leading, self._radius = limit, leading, radius
        self._counter = _Counter(limit, leading)

    def near(self, earlier: list[tuple[tuple[tuple[int, np.uint64], ...], int]]) -> Iterator[tuple[_Places, _Places]]:
        """Find pairs of near hashes that are near in none of some earlier pieces, by their places."""
        for first, second in _gathered(self._near_places()):
            differ = [a[first] ^ b[second] for a, b in zip(self._a.words, self._b.words, strict=True)]
            new = sum(np.bitwise_count(word).astype(np.int64) for word in differ) <= self._limit
            for masks, radius in earlier:
                new &= sum(np.bitwise_count(differ[word] & bits).astype(np.int64) for word, bits in masks) > radius
            if new.any():
                yield self._a.order[first[new]], self._b.order[second[new]]

    def _near_places(self) -> Iterator[tuple[_Places, _Places]]:
        """Pairs of hashes whose leading words are near, by their places in either index."""
        a, b = self._a, self._b
        present, there = np.flatnonzero(a.sizes), b.sizes > 0
        for change in _changes(a.bits, self._radius):
            other = present ^ change
            some = there[other]
            if self._same and change:
                some &= present < other
            large = some & (a.sizes[present] * b.sizes[other] >= _MATRIX)
            if np.count_nonzero(large) < np.count_nonzero(some):
                yield from self._few(change)
            for key, partner in zip(present[large].tolist(), other[large].tolist(), strict=True):
                yield from self._many(
                    range(a.starts[key], a.starts[key + 1]), range(b.starts[partner], b.starts[partner + 1])
                )

    def _few(self, change: int) -> Iterator[tuple[_Places, _Places]]:
        """Compare buckets of few hashes, pair by pair, if so many bits of the piece change."""
        a, b = self._a, self._b
        other = a.keys ^ np.uint16(change)
        lengths = b.sizes[other]
        some = a.sizes[a.keys] * lengths < _MATRIX
        if self._same and change:
            some &= a.keys < other
        rows = np.flatnonzero(some)
        stops = b.starts[other[rows].astype(np.int64) + 1]
        starts = rows + 1 if self._same and not change else stops - lengths[rows]
        for start in range(0, len(rows), _ROWS):
            part = slice(start, start + _ROWS)
            yield from self._listed(rows[part], starts[part], stops[part])

    def _listed(self, rows: _Places, starts: _Places, stops: _Places) -> Iterator[tuple[_Places, _Places]]:
        """Compare each of some hashes with those of a range."""
        while len(rows) > _ROWS // 16:  # the first one of each range, then the second one: faster than a list of all
            left = starts < stops
            if not left.all():
                rows, starts, stops = rows[left], starts[left], stops[left]
            near = self._near_pairs(rows, starts)
            if len(near):
                yield rows[near], starts[near]
            starts = starts + 1
        for which, column in _expanded(starts, stops - starts):
            row = rows[which]
            near = self._near_pairs(row, column)
            if len(near):
                yield row[near], column[near]

    def _near_pairs(self, rows: _Places, columns: _Places) -> _Places:
        """Find those of some pairs whose leading words are near, by their places in the list."""
        words = zip(self._a.words[: self._leading], self._b.words, strict=False)
        counts = (np.bitwise_count(a[rows] ^ b[columns]) for a, b in words)
        count = functools.reduce(np.add, (found.astype(self._counter.dtype, copy=False) for found in counts))
        return (count <= self._counter.limit).nonzero()[0]

    def _many(self, rows: range, columns: range) -> Iterator[tuple[_Places, _Places]]:
        """Compare two buckets of many hashes, as matrices; or one with itself."""
        same = self._same and rows == columns
        for some, others in _rectangles(len(rows), len(columns), same):
            i = slice(rows.start + some.start, rows.start + some.stop)
            j = slice(columns.start + others.start, columns.start + others.stop)
            first, second = self._counter.near([(self._a.words[:, i], self._b.words[:, j])])
            if len(first):
                first, second = first + i.start, second + j.start
                if same:
                    first, second = first[first < second], second[first < second]
                yield first, second


@functools.cache
def _changes(bits: int, radius: int) -> tuple[int, ...]:
    """Numbers with at most `radius` of some bits set."""
    return tuple(
        sum(1 << bit for bit in some) for number in range(radius + 1) for some in combinations(range(bits), number)
    )


# -- counts of bits ----------------------------------------------------------------------------------------------------


class _Counter:
    """Counts of the different bits of the leading words of hashes, all with all."""

    def __init__(self, limit: int, leading: int) -> None:
        self.dtype = np.min_scalar_type(64 * leading).type
        self.limit = self.dtype(min(limit, 64 * leading))
        self._leading = leading
        self._differ = np.empty(_AT_ONCE, np.uint64)
        self._counts = [np.empty(_AT_ONCE, np.uint8), *(np.empty(_AT_ONCE, self.dtype) for _ in range(2))]
        self._near = np.empty(_AT_ONCE, bool)
        self._often = False

    def near(self, forms: list[tuple[_Words, _Words]]) -> tuple[_Places, _Places]:
        """Find pairs whose leading words are near by any of some forms: (words, m) and (words, n), m n ≤ 131,072."""
        rows, columns = forms[0][0].shape[1], forms[0][1].shape[1]
        lowest = self._count(*forms[0], 1)
        for a, b in forms[1:]:
            np.minimum(lowest, self._count(a, b, 2), out=lowest)
        # where some are near as a rule, it takes longer to look if there are any
        if not self._often and lowest.min() > self.limit:
            return _NOTHING, _NOTHING
        near = np.less_equal(lowest, self.limit, out=self._near[: rows * columns]).nonzero()[0]
        self._often = len(near) > 0
        first = near // columns
        return first, near - first * columns

    def _count(self, a: _Words, b: _Words, into: int) -> NDArray[Any]:
        shape, size = (a.shape[1], b.shape[1]), a.shape[1] * b.shape[1]
        differ, total = self._differ[:size].reshape(shape), self._counts[into][:size]
        for word in range(self._leading):
            np.bitwise_xor(a[word, :, None], b[word, None, :], out=differ)
            count = np.bitwise_count(differ.reshape(-1), out=self._counts[0][:size] if word else total)
            if word:
                np.add(total, count, out=total)
        return total


def _rectangles(rows: int, columns: int, triangular: bool) -> Iterator[tuple[slice, slice]]:
    """Cut a matrix into rectangles of some 131,072 pairs; if it is triangular, those with a row before a column."""
    height = max(1, _AT_ONCE // min(columns, _WIDE))
    for start in range(0, rows, height):
        stop = min(start + height, rows)
        for left in range(start if triangular else 0, columns, _WIDE):
            yield slice(start, stop), slice(left, min(left + _WIDE, columns))


def _expanded(starts: _Places, lengths: _Places) -> Iterator[tuple[_Places, _Places]]:
    """List the numbers of ranges, at most 131,072 at a time: the place of the range, and the number."""
    ends = np.cumsum(lengths)
    shift = starts - ends + lengths
    total = int(ends[-1]) if len(ends) else 0
    for done in range(0, total, _AT_ONCE):
        stop = min(done + _AT_ONCE, total)
        low, high = np.searchsorted(ends, done, "right"), np.searchsorted(ends, stop, "left") + 1
        held = np.minimum(ends[low:high], stop) - np.maximum(ends[low:high] - lengths[low:high], done)
        places = np.repeat(np.arange(low, high), held)
        yield places, np.arange(done, stop) + np.repeat(shift[low:high], held)


def _gathered(found: Iterator[tuple[_Places, _Places]]) -> Iterator[tuple[_Places, _Places]]:
    """Put a few pairs at a time together."""
    waiting: list[tuple[_Places, _Places]] = []
    held = 0
    for pairs in found:
        waiting.append(pairs)
        held += len(pairs[0])
        if held >= _AT_ONCE:
            yield _together(waiting)
            waiting, held = [], 0
    if waiting:
        yield _together(waiting)


def _together(pairs: list[tuple[_Places, _Places]]) -> tuple[_Places, _Places]:
    first, second = zip(*pairs, strict=True)
    return np.concatenate(first), np.concatenate(second)


# -- choice of the pieces ----------------------------------------------------------------------------------------------


def choose_pieces(drawn: _Words, rows: int, columns: int, limit: int, triangular: bool = False) -> Pieces | None:
    """Choose the pieces by which a search takes least time; None if counting the bits of all pairs takes less.

    Parameters
    ----------
    drawn
        (words, k) uint64: different bits of some pairs, drawn by chance.
    rows, columns
        Number of the hashes of either side.
    limit
        Largest number of different bits of a near pair.
    triangular
        Both sides are the same.

    Returns
    -------
    The pieces; only the time depends on them.
    """
    words = len(drawn)
    cost = measured_costs(words, _leading_words(words, limit))
    pairs = rows * columns / (2 if triangular else 1)
    near = pairs * float((np.bitwise_count(drawn).sum(axis=0) <= limit).mean()) if drawn.size else 0.0
    best, least = None, pairs * cost.matrix + near * cost.single
    for pieces in _possible_pieces(drawn, limit):
        seconds = near * cost.single * len(pieces.bits)
        masks = pieces.masks()
        shown = range(0, len(masks), -(-len(masks) // 8))  # they are much alike
        for piece in shown:
            bits, radius = len(pieces.bits[piece]), pieces.radii[piece]
            differ = sum(np.bitwise_count(drawn[word] & mask).astype(np.int64) for word, mask in masks[piece])
            found = cost.of_piece(bits, radius, rows, columns, triangular, float((differ <= radius).mean()))
            seconds += found * len(masks) / len(shown)
        if seconds < least:
            best, least = pieces, seconds
    return best


def _leading_words(words: int, limit: int) -> int:
    """Words that tell hashes of other pictures apart as a rule: they differ in half of their bits."""
    return min(words, limit // 24 + 1)


def _possible_pieces(drawn: _Words, limit: int) -> Iterator[Pieces]:
    """Pieces that may be good: few or many, of the bits that tell most hashes apart, each bit in one piece at most."""
    words, count = drawn.shape
    some = drawn[:, : min(count, 1 << 13)]
    shares = [((some[bit // 64] >> np.uint64(bit % 64)) & np.uint64(1)).mean() for bit in range(64 * words)]
    order = np.argsort(-np.minimum(shares, 0.5), kind="stable")
    for number in sorted({math.ceil((limit + 1) / each) for each in (1, 1.25, 1.5, 2, 2.5, 3)}):
        width = min(_MOST_BITS, 64 * words // number)
        radius, more = divmod(limit + 1 - number, number)
        if width < 4 or radius + (more > 0) > _MOST_RADIUS:
            continue
        radii = tuple(radius + (piece < more) for piece in range(number))
        used = order[: number * width]
        # neighbours are alike as a rule, so that each goes into another piece
        for arranged in (used, np.sort(used)):
            yield Pieces(tuple(tuple(arranged[piece::number].tolist()) for piece in range(number)), radii)


class Costs(NamedTuple):
    """Seconds that the steps of a search take on this machine.

    Attributes
    ----------
    matrix, single
        For a pair among all of two buckets, and for a pair in a list.
    call
        For two buckets that are compared as a matrix, however few their hashes are.
    sorted
        To sort a hash by a piece.
    change
        To look up the partners of hashes if some bits of the piece change, however few they are.
    looked_up
        To look up the partners of a hash.
    """

    matrix: float
    single: float
    call: float
    sorted: float
    change: float
    looked_up: float

    def of_piece(self, bits: int, radius: int, rows: int, columns: int, triangular: bool, alike: float) -> float:
        """Seconds for a piece.

        Parameters
        ----------
        bits, radius
            Its bits, and how many of them may differ.
        rows, columns, triangular
            Number of the hashes of either side; both are the same.
        alike
            Share of the pairs that are near in it, by a sample.

        Returns
        -------
        Seconds.
        """
        changes, values = len(_changes(bits, radius)), 2**bits
        alike = max(alike, changes / values)
        buckets, pairs = min(values, rows), rows * columns * alike
        seconds = (rows + columns) * self.sorted + changes * (self.change + buckets * self.looked_up)
        of_bucket = rows * columns * (alike / changes) ** 2  # two buckets that a hash is likely to be in
        if of_bucket < _MATRIX:
            seconds += changes * rows * self.looked_up
            pairs *= self.single
        else:
            pairs = pairs * self.matrix + min(pairs / of_bucket, changes * buckets) * self.call
        return seconds + pairs / (2 if triangular else 1)


_measuring = threading.Lock()


def measured_costs(words: int, leading: int) -> Costs:
    """Measure the costs on this machine, once a process and kind of hash: it takes some hundredths of a second.

    Parameters
    ----------
    words
        Words of a hash.
    leading
        Words by which most hashes are told apart.

    Returns
    -------
    The costs.
    """
    with _measuring:  # all of them grow alike with the words
        return _costs(min(words, _MEASURED_WORDS), min(leading, _MEASURED_WORDS))


@functools.cache
def _costs(words: int, leading: int) -> Costs:
    hashes = np.random.default_rng(0).integers(0, 2**64, (words, 4 * _WIDE), np.uint64)
    counter, height = _Counter(0, leading), _AT_ONCE // _WIDE
    pieces = Pieces((tuple(range(12)),), (0,))
    index = _Index(pieces, 0, hashes)
    one, join = _Index(pieces, 0, hashes[:, :1]), _Join(index, index, 0, leading, 0)
    matrix = _seconds(lambda: counter.near([(hashes[:, :height], hashes[:, :_WIDE])])) / (height * _WIDE)
    near = [functools.partial(_Join(some, one, 0, leading, 1).near, []) for some in (one, index)]
    changes = [_seconds(lambda: list(near[0]())) / 13, _seconds(lambda: list(near[1]())) / 13]
    looked_up = max(0.0, changes[1] - changes[0]) / len(index.order)
    single = _seconds(lambda: list(join._few(4095))) - len(index.order) * looked_up
    return Costs(
        matrix=matrix,
        single=max(0.0, single) / (len(index.order) ** 2 / 4096),
        call=max(0.0, _seconds(lambda: list(join._many(range(48), range(48)))) - matrix * 48**2),
        sorted=_seconds(lambda: _Index(pieces, 0, hashes)) / len(index.order),
        change=changes[0],
        looked_up=looked_up,
    )


def _seconds(work: Callable[[], Any]) -> float:
    """Shortest time of five, of this thread alone: other threads of a busy machine take ten milliseconds at a time."""
    times = []
    for _ in range(5):
        start = time.thread_time()
        work()
        times.append(time.thread_time() - start)
    return min(times)
