"""Pair filters leave out pairs before they are compared, by shapes, hashes or folders of pictures. NumPy only."""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..config import CompareSettings

__all__ = ["Allowed", "PairFilters", "picture_keys"]

# Columns of the keys: width and height, two words of the hash, two words of the folder.
_HASH, _FOLDER = [2, 3], [4, 5]
# Wider than the rounding of a quotient and a product in float64; ratios nearer than this are compared in whole numbers.
_DOUBT = 1e-12
# Pictures whose ratios are within it are put in order together if ratios need not be equal.
_LEAST_BIN = 1.01


def picture_keys(
    width: NDArray[np.int64],
    height: NDArray[np.int64],
    hashes: Iterable[str | None] | None = None,
    folders: Iterable[str] | None = None,
) -> NDArray[np.int64]:
    """Make the keys of pictures, by which `PairFilters` filters: (n, 4) int64, with folders (n, 6).

    Hashes and folders are told apart by 128 bits of their BLAKE2b.

    Parameters
    ----------
    width, height
        (n,) size in pixels.
    hashes
        Their hashes, if the filters use them.
    folders
        The absolute paths of their folders, if the filters use them.

    Returns
    -------
    A row a picture.
    """
    keys = np.zeros((len(width), 4 if folders is None else 6), np.int64)
    keys[:, 0], keys[:, 1] = width, height
    for columns, texts in ((_HASH, hashes), (_FOLDER, folders)):
        if texts is not None:
            keys[:, columns] = _words(texts)
    return keys


def _words(texts: Iterable[str | None]) -> NDArray[np.int64]:
    """Two words for each text, (n, 2); equal texts have equal ones."""
    known: dict[str, bytes] = {}
    words = []
    for text in texts:
        key = str(text or "")
        if key not in known:
            known[key] = hashlib.blake2b(key.encode(errors="surrogatepass"), digest_size=16).digest()
        words.append(known[key])
    return np.frombuffer(b"".join(words), "<i8").reshape(-1, 2)


class _Numbers(NamedTuple):
    """Numbers of pictures, and for each the range of numbers of its partners, from start to before stop."""

    number: NDArray[np.int64]
    start: NDArray[np.int64]
    stop: NDArray[np.int64]

    def take(self, rows: Any) -> "_Numbers":
        return _Numbers(self.number[rows], self.start[rows], self.stop[rows])

    def partners(self, others: "_Numbers") -> NDArray[np.int64]:
        """Count the pictures of another side that are in the range of each."""
        number = np.sort(others.number)
        return np.searchsorted(number, self.stop) - np.searchsorted(number, self.start)

    def wants(self, others: "_Numbers", i: Any, j: Any) -> NDArray[np.bool_]:
        number = others.number[j]
        return (self.start[i] <= number) & (number < self.stop[i])


@dataclass(frozen=True)
class Allowed:
    """The pairs of some rows and columns that the pair filters leave; made by `PairFilters.allowed`.

    Pictures are numbered by hash, folder and aspect ratio, so that the partners of a picture have a range of numbers.
    If equal hashes or equal folders are left out, a range of other numbers is taken out of it for each, and what is in
    both is counted once. This is exact, in whole numbers, and pairs are counted without being listed: time
    O((m + n) log(m + n)), memory 24 to 96 bytes a picture.

    Attributes
    ----------
    triangular
        The rows are the columns, each pair counts once.
    without
        Number of ranges that are taken out; the numbers for them come after the first ones.
    """

    _rows: tuple[_Numbers, ...]
    _columns: tuple[_Numbers, ...]
    triangular: bool
    without: int = 0

    def wanted(self, i: Any, j: Any) -> NDArray[np.bool_]:
        """Tell for rows i and columns j, arrays that broadcast, if their pairs are left."""
        sides = list(zip(self._rows, self._columns, strict=True))
        wanted, *left_out = (mine.wants(other, i, j) for mine, other in sides[: 1 + self.without])
        for one in left_out:
            wanted = wanted & ~one
        return wanted

    def partners(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Count the partners of each row (m,) and of each column (n,)."""
        found = []
        for sides in ((self._rows, self._columns), (self._columns, self._rows)):
            count, *left_out = (mine.partners(others) for mine, others in zip(*sides, strict=True))
            for place, one in enumerate(left_out):
                count = count - one if place < self.without else count + one  # what is in both was taken out twice
            found.append(count if left_out else count - self.triangular)  # a picture is in the ranges of itself
        return found[0], found[1]

    def pairs(self) -> int:
        """Number of the pairs that are left."""
        return int(self.partners()[0].sum()) // (2 if self.triangular else 1)

    def take(self, rows: Any, columns: Any) -> "Allowed":
        """Give the pairs of some of the rows and of the columns."""
        return Allowed(
            tuple(one.take(rows) for one in self._rows),
            tuple(one.take(columns) for one in self._columns),
            self.triangular,
            self.without,
        )

    def near(self, cuts_a: Sequence[range], cuts_b: Sequence[range]) -> NDArray[np.bool_]:
        """Find pairs of sub-blocks with a pair that may be left, by their ranges of numbers: (m, n) bool."""
        rows, number = self._rows[0], self._columns[0].number
        start, stop = (
            np.array([function(values[cut.start : cut.stop]) for cut in cuts_a], np.int64)
            for function, values in ((np.min, rows.start), (np.max, rows.stop))
        )
        low, high = (
            np.array([function(number[cut.start : cut.stop]) for cut in cuts_b], np.int64)
            for function in (np.min, np.max)
        )
        return (start[:, None] <= high[None, :]) & (low[None, :] < stop[:, None])


@dataclass(frozen=True)
class PairFilters:
    """The filters of a comparison: which pairs they leave, by the keys of `picture_keys`.

    Attributes
    ----------
    aspect
        0: the same size; f ≥ 1: aspect ratios within this factor; None: any shape.
    turned
        A quarter turn of a picture makes no difference.
    same_hash, other_hash
        Leave only pairs with equal hashes, or only pairs with different ones.
    same_folder, other_folder
        Leave only pairs of one folder, or only pairs of two folders.

    Examples
    --------
    >>> keys = picture_keys(np.array([40, 30, 80]), np.array([30, 40, 50]))
    >>> same_shape = PairFilters(aspect=1.0, turned=True).allowed(keys)
    >>> same_shape.wanted(np.array([0, 0, 1]), np.array([1, 2, 2])).tolist(), same_shape.pairs()
    ([True, False, False], 1)
    """

    aspect: float | None = None
    turned: bool = True
    same_hash: bool = False
    other_hash: bool = False
    same_folder: bool = False
    other_folder: bool = False

    @classmethod
    def of(cls, settings: CompareSettings) -> "PairFilters":
        """Make the filters of a comparison from its settings."""
        return cls(
            settings.match_aspect_by,
            settings.rotations,
            settings.only_matching_hash,
            settings.skip_matching_hash,
            settings.within_folder,
            settings.across_folders,
        )

    def __bool__(self) -> bool:
        return self.aspect is not None or self.hashes or self.folders

    @property
    def hashes(self) -> bool:
        """True if the filters use hashes."""
        return self.same_hash or self.other_hash

    @property
    def folders(self) -> bool:
        """True if the filters use folders."""
        return self.same_folder or self.other_folder

    @property
    def key_values(self) -> int:
        """Number of values of a key."""
        return 6 if self.folders else 4

    @property
    def shown(self) -> str:
        """Text for people, which follows the description of a comparison; empty if there are no filters."""
        if self.aspect is None:
            shape = ""
        elif self.aspect <= 1:
            shape = ", of the same aspect ratio" if self.aspect else ", of the same size"
        else:
            shape = f", aspect ratios within {self.aspect:g}"
        shape += ", equal hashes" if self.same_hash else ", different hashes" if self.other_hash else ""
        return shape + (", within a folder" if self.same_folder else ", across folders" if self.other_folder else "")

    @property
    def hash_column(self) -> str:
        """Column of the hash that counts: of all turns, or, without rotations, of the picture as it is.

        So pictures with equal hashes are alike as far as their comparison would look.
        """
        return "hash_key" if self.turned else "hash_0"

    def kinds(self, keys: NDArray[np.int64]) -> NDArray[np.int64]:
        """Describe pictures by rows, (n, k) int64: pictures with equal rows have the same partners."""
        columns = []
        if self.aspect is not None:
            wide, high = self._sides(keys)
            if self.aspect > 0:
                divisor = np.maximum(np.gcd(wide, high), 1)
                wide, high = wide // divisor, high // divisor
            columns += [wide, high]
        if self.hashes:
            columns += list(keys[:, _HASH].T)
        if self.folders:
            columns += list(keys[:, _FOLDER].T)
        return np.stack(columns, axis=1) if columns else np.zeros((len(keys), 0), np.int64)

    def allowed(self, rows: NDArray[np.int64], columns: NDArray[np.int64] | None = None) -> Allowed:
        """Find the pairs of rows and columns that the filters leave.

        Parameters
        ----------
        rows, columns
            (m, k) and (n, k) int64 keys; without columns, rows with each other, each pair once.

        Returns
        -------
        The pairs, without a list of them.
        """
        keys = rows if columns is None else np.concatenate([rows, columns])
        shape, start, stop = self._shapes(keys)
        alike = self._same_columns
        without = [
            some for some, is_left_out in ((_HASH, self.other_hash), (_FOLDER, self.other_folder)) if is_left_out
        ]
        ranges = [alike, *(alike + some for some in without)]
        if len(without) > 1:
            ranges.append(alike + _HASH + _FOLDER)
        used = []
        for some in ranges:
            first = _ranks(*keys[:, some].T)[0] * (int(shape.max(initial=0)) + 1) if some else 0
            used.append(_Numbers(first + shape, first + start, first + stop))
        side_a = tuple(one.take(slice(len(rows))) for one in used)
        side_b = side_a if columns is None else tuple(one.take(slice(len(rows), None)) for one in used)
        return Allowed(side_a, side_b, columns is None, len(without))

    @property
    def _same_columns(self) -> list[int]:
        """Columns of the keys that partners have in common."""
        return (_HASH if self.same_hash else []) + (_FOLDER if self.same_folder else [])

    def equal_hashes(self, keys: NDArray[np.int64], on_b: NDArray[np.bool_] | None = None) -> NDArray[np.int64]:
        """Find a few pairs of equal hashes and allowed shapes that connect the same pictures as all such pairs: (k, 2).

        In the order of their numbers, the partners of a picture are neighbours, and each picture between two partners
        is a partner of both. So each picture is paired with the next one only; between two sides, with the next one of
        the other side before it and after it.

        Parameters
        ----------
        keys
            (n, k) int64.
        on_b
            True for pictures on side b, if only pairs between two sides count; pictures of side a come first.

        Returns
        -------
        Places of two pictures in each row.
        """
        either = PairFilters(self.aspect, self.turned, same_hash=True, same_folder=self.same_folder).allowed(keys)
        order = np.argsort(either._rows[0].number, kind="stable")
        if on_b is None:
            pairs = np.stack([order[:-1], order[1:]], axis=1)
        else:
            side, places = on_b[order], np.arange(len(order))
            found = []
            for mine in (False, True):
                other = np.flatnonzero(side != mine)
                here = places[side == mine]
                after = np.searchsorted(other, here)
                for place in (after - 1, after):
                    there = (place >= 0) & (place < len(other))
                    both = order[here[there]], order[other[place[there]]]
                    found.append(np.stack(both[::-1] if mine else both, axis=1))
            pairs = np.unique(np.concatenate(found), axis=0)
        return pairs[either.wanted(pairs[:, 0], pairs[:, 1])]

    def bins(self, keys: NDArray[np.int64]) -> NDArray[np.int64] | None:
        """Numbers of bins, (n,): partners are in one bin or in neighbouring ones; None if all pictures are in one.

        Only the order of the pictures, and so the time, depends on them.
        """
        if alike := self._same_columns:
            return _ranks(*keys[:, alike].T)[0]
        if self.aspect is None:
            return None
        if self.aspect <= 1:
            return self._shapes(keys)[0]
        wide, high = self._sides(keys)
        width = np.log(max(self.aspect, _LEAST_BIN))
        return np.floor(np.log(np.maximum(wide, 1) / np.maximum(high, 1)) / width).astype(np.int64)

    def _sides(self, keys: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Sides of the pictures whose quotient is the aspect ratio; with quarter turns, the longer one first.

        To turn one of two pictures that both lie brings their ratios no nearer.
        """
        width, height = keys[:, 0], keys[:, 1]
        return (np.maximum(width, height), np.minimum(width, height)) if self.turned else (width, height)

    def _shapes(self, keys: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
        """Numbers of the shapes, (n,), ascending with the aspect ratio, and the range of those that each goes with.

        Ratios are told apart in whole numbers: two of sides below 2³¹ are at least 2⁻⁶² apart, so that 62 binary digits
        after the point differ.
        """
        if self.aspect is None:
            nothing = np.zeros(len(keys), np.int64)
            return nothing, nothing, nothing + 1
        wide, high = self._sides(keys)
        if self.aspect == 0:
            number = _ranks(wide, high)[0]
            return number, number, number + 1
        high = np.maximum(high, 1)
        whole, rest = np.divmod(wide, high)
        upper, rest = np.divmod(rest << 31, high)
        number, first = _ranks(whole, upper, (rest << 31) // high)
        if self.aspect == 1:
            return number, number, number + 1
        stop = _stops(wide[first], high[first], self.aspect)
        # i goes with j ≤ i as j goes with i
        start = np.searchsorted(stop, np.arange(len(stop)), side="right")
        return number, start[number], stop[number]


def _ranks(*columns: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Number rows of integers in ascending order, equal ones alike: numbers (n,), and a row with each number."""
    order = np.lexsort(columns[::-1])
    new = np.ones(len(order), bool)
    new[1:] = np.any([np.diff(column[order]) != 0 for column in columns], axis=0)
    ranks = np.empty(len(order), np.int64)
    ranks[order] = np.cumsum(new) - 1
    return ranks, order[new]


def _stops(wide: NDArray[np.int64], high: NDArray[np.int64], factor: float) -> NDArray[np.int64]:
    """Count, for each of some ascending ratios, those that are at most `factor` times as large: (n,) int64, exact."""
    ratios = wide / high
    with np.errstate(over="ignore"):
        bounds = ratios * factor
        stops = np.searchsorted(ratios, bounds * (1 - _DOUBT))
        doubtful = np.searchsorted(ratios, bounds * (1 + _DOUBT), side="right")
    numerator, denominator = factor.as_integer_ratio()
    for place in np.flatnonzero(stops < doubtful).tolist():
        w, h, stop = int(wide[place]), int(high[place]), int(stops[place])
        # in Python's integers, which do not overflow
        while stop < doubtful[place] and int(wide[stop]) * h * denominator <= numerator * w * int(high[stop]):
            stop += 1
        stops[place] = stop
    return stops
