"""Candidates for edited copies: pairs of images of which a view of one correlates with a view of the other.

All views of some images are compared with those of others; pairs of groups of views are left out only where boxes
around them prove that none correlates enough, as in `kernels.bounds`.
"""

from collections.abc import Iterable, Iterator
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from ..kernels.grid import kd_order
from ..kernels.transforms import Transform
from .borders import CONTENT, FULL_BOX
from .contents import Contents
from .view_values import FIRST_VALUES, NORM, PARTS, WHOLES, Least, ViewValues, view_values
from .views import CUTS, VIEW_SIDE, VIEWS, View, view_images

__all__ = [
    "MOST_FLAT",
    "NEAREST",
    "Candidates",
    "Columns",
    "channel_boxes",
    "find_candidates",
    "nearest",
]

# Candidates that an image keeps, the best ones: its edited copies are among them, but not all frames of a webcam.
NEAREST = 32
# Images with more flat ground, in 255ths, take no part. These are pages, forms, screens and drawings: different ones
# are much alike in so few pixels, and all of them would be candidates. Of 150 photos, none has more than 140.
MOST_FLAT = 153
# Views of a group, and columns of a matrix product.
_GROUP = 512
# Images whose views are cut at once.
_BATCH = 256
# Candidates that wait until the best of each image are chosen.
_WAITING = 1 << 20
# Channels, that is, which views are compared with which: those of `VIEWS` with whole contents, images with their
# borders, and each cut with its like.
_BORDERED, _FIRST_CUT = len(VIEWS), len(VIEWS) + 1
_MIRRORED_CUT = (0, 1, 3, 2)


class Candidates(NamedTuple):
    """Pairs of images that may be edited copies.

    Attributes
    ----------
    a, b
        (k,) int64: numbers of the images; a is the one of whose views one was found.
    channel
        (k,) int64: which views correlate, see `channel_boxes`.
    transform
        (k,) int64: the transform that makes image a look like b.
    value
        (k,) int64: sum of the products of the values of the views, at most `NORM`² or so.
    """

    a: NDArray[np.int64]
    b: NDArray[np.int64]
    channel: NDArray[np.int64]
    transform: NDArray[np.int64]
    value: NDArray[np.int64]

    def at(self, places: NDArray[np.int64]) -> "Candidates":
        """Give some of them."""
        return Candidates._make(values[places] for values in self)

    def stored(self) -> NDArray[np.int64]:
        """Make an array of them, (k, 5), of which `of_stored` makes them again."""
        return np.stack(self, axis=1)

    @classmethod
    def of_stored(cls, values: NDArray[np.int64]) -> "Candidates":
        """Give the candidates of an array of `stored`.

        Raises
        ------
        ValueError
            If there is no such channel or transform.
        """
        found = cls._make(np.ascontiguousarray(values.T))
        for some, number in ((found.channel, _FIRST_CUT + len(CUTS)), (found.transform, len(Transform))):
            if len(some) and not (some.min() >= 0 and some.max() < number):
                raise ValueError(f"a channel or transform is not below {number}")
        return found

    @classmethod
    def joined(cls, parts: Iterable["Candidates"]) -> "Candidates":
        """Put several arrays of candidates one after the other."""
        none = cls(*(np.zeros(0, np.int64) for _ in cls._fields))
        return cls(*(np.concatenate(columns) for columns in zip(none, *parts, strict=True)))


def channel_boxes(
    candidates: Candidates, boxes_a: NDArray[np.uint8], boxes_b: NDArray[np.uint8]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Give the parts of both images that correlate: (k, 4) float64 each, as shares of their contents.

    Parameters
    ----------
    candidates
        The pairs.
    boxes_a, boxes_b
        (k, 4) uint8: boxes of the contents, see `borders.contents`. A part with borders is larger than the content.

    Returns
    -------
    Top, left, bottom and right for images a, and for images b.
    """
    whole = View(0, 0, 1, 1)
    cuts = [CUTS[_MIRRORED_CUT[cut]] for cut in range(len(CUTS))]
    own = np.array([*VIEWS, whole, *CUTS], np.float64)[candidates.channel]
    plain = np.array([*[whole] * (len(VIEWS) + 1), *CUTS], np.float64)
    mirrored = np.array([*[whole] * (len(VIEWS) + 1), *cuts], np.float64)
    other = np.where(
        (candidates.transform >= Transform.MIRROR)[:, None], mirrored[candidates.channel], plain[candidates.channel]
    )
    bordered = candidates.channel == _BORDERED
    for parts, boxes in ((own, boxes_a), (other, boxes_b)):
        low, high = boxes[bordered, :2] / CONTENT, boxes[bordered, 2:] / CONTENT
        sides = high - low
        parts[bordered] = np.concatenate([-low / sides, (1 - low) / sides], axis=1)
    return own, other


def nearest(candidates: Candidates) -> Candidates:
    """Keep the best view of each pair, and the `NEAREST` best pairs of each image; equal ones by their numbers.

    The best of some parts, put together, have the best of all, so that the result does not depend on the parts.

    Parameters
    ----------
    candidates
        The candidates; pairs may come several times.

    Returns
    -------
    The candidates that are left, ordered by a, the best first.
    """
    order = np.lexsort((candidates.transform, candidates.channel, -candidates.value, candidates.b, candidates.a))
    pair = candidates.a[order], candidates.b[order]
    first = np.ones(len(order), bool)
    first[1:] = (np.diff(pair[0]) != 0) | (np.diff(pair[1]) != 0)
    order = order[first]
    order = order[np.lexsort((candidates.b[order], -candidates.value[order], candidates.a[order]))]
    a = candidates.a[order]
    starts = np.flatnonzero(np.diff(a, prepend=-1))
    place = np.arange(len(a)) - np.repeat(starts, np.diff(np.append(starts, len(a))))
    return candidates.at(order[place < NEAREST])


class Columns(NamedTuple):
    """The images that views of others are compared with: a view an image and channel.

    Attributes
    ----------
    images
        (n,) int64: numbers of the images.
    whole, bordered
        Values of the contents, and of the images with their borders.
    cuts
        Values of the cuts.
    """

    images: NDArray[np.int64]
    whole: ViewValues
    bordered: ViewValues
    cuts: tuple[ViewValues, ...]

    @classmethod
    def of(cls, some: Contents) -> Self:
        """Compute the values of some images; those with more flat ground than `MOST_FLAT` are left out."""
        some = some.at(np.flatnonzero(some.flat <= MOST_FLAT))
        views = view_images(some.contents, (VIEWS[0], *CUTS))
        whole, *cuts = (view_values(views[:, view]) for view in range(views.shape[1]))
        return cls(some.images, whole, view_values(some.bordered), tuple(cuts))

    @classmethod
    def joined(cls, parts: list[Self]) -> Self:
        """Put several one after the other."""
        cuts = tuple(ViewValues.joined([part.cuts[cut] for part in parts]) for cut in range(len(CUTS)))
        return cls(
            np.concatenate([part.images for part in parts]),
            ViewValues.joined([part.whole for part in parts]),
            ViewValues.joined([part.bordered for part in parts]),
            cuts,
        )


class _Rows(NamedTuple):
    """Views of a channel, or of several: values, places of the images, and channels."""

    values: ViewValues
    image: NDArray[np.int64]
    channel: NDArray[np.int64]


class _Comparison(NamedTuple):
    """Views, the values that they are compared with, each with its transform, and the correlations of candidates."""

    rows: _Rows
    others: list[tuple[ViewValues, Transform]]
    least: Least


def _rows(some: Contents, views: tuple[View, ...], channel: int) -> _Rows:
    number = len(some.images)
    parts = (some.contents[start : start + _BATCH] for start in range(0, max(number, 1), _BATCH))
    values = [view_values(view_images(part, views).reshape(-1, VIEW_SIDE, VIEW_SIDE)) for part in parts]
    channels = np.tile(np.arange(channel, channel + len(views)), number)
    return _Rows(ViewValues.joined(values), np.repeat(np.arange(number), len(views)), channels)


def _comparisons(some: Contents, columns: Columns) -> Iterator[_Comparison]:
    straight, turned = [Transform.IDENTITY, Transform.MIRROR], [turn for turn in Transform if turn.turns]
    whole = _rows(some, VIEWS[:1], 0)
    framed = np.flatnonzero((some.boxes != FULL_BOX).any(axis=1))
    bordered = _Rows(view_values(some.bordered[framed]), framed, np.full(len(framed), _BORDERED))
    yield _Comparison(_rows(some, VIEWS, 0), [(columns.whole, turn) for turn in straight], PARTS)
    yield _Comparison(whole, [(columns.whole, Transform.IDENTITY)], WHOLES)
    yield _Comparison(whole, [(columns.whole, turn) for turn in turned], PARTS)
    yield _Comparison(bordered, [(columns.bordered, turn) for turn in Transform], PARTS)
    for number, cut in enumerate(CUTS):
        other = {Transform.IDENTITY: number, Transform.MIRROR: _MIRRORED_CUT[number]}
        others = [(columns.cuts[other[turn]], turn) for turn in straight]
        yield _Comparison(_rows(some, (cut,), _FIRST_CUT + number), others, PARTS)


def find_candidates(some: Contents, columns: Columns) -> Candidates:
    """Find the candidates of some images among others: the best ones of each, see `NEAREST`.

    Memory: 30 kB for each of the images, 2 kB for each of the others, and 200 MB for products and candidates.

    Parameters
    ----------
    some
        The images whose views are compared, but for those with more flat ground than `MOST_FLAT`.
    columns
        The images that they are compared with. An image is not compared with itself.

    Returns
    -------
    The candidates.
    """
    some = some.at(np.flatnonzero(some.flat <= MOST_FLAT))
    found: list[Candidates] = []
    waiting = 0
    for rows, others, least in _comparisons(some, columns):
        left = _Grouped.of(rows.values)
        for values, turn in others:
            for i, j, products in _correlated(left, _Grouped.of(values.transformed(turn)), least):
                a, b = some.images[rows.image[i]], columns.images[j]
                turns = np.full(len(a), turn.inverse, np.int64)
                hits = Candidates(a, b, rows.channel[i], turns, products)
                found.append(hits.at(np.flatnonzero(a != b)))
                waiting += len(i)
                if waiting > _WAITING:
                    found, waiting = [nearest(Candidates.joined(found))], 0
    return nearest(Candidates.joined(found))


class _Grouped(NamedTuple):
    """Values in groups of neighbours, with boxes around them."""

    values: ViewValues
    order: NDArray[np.int64]
    starts: NDArray[np.int64]
    low: NDArray[np.float32]
    high: NDArray[np.float32]

    @classmethod
    def of(cls, values: ViewValues) -> Self:
        """Order values, and find the boxes; views without contrast are left out."""
        there = np.flatnonzero(values.first.any(axis=1))
        order = there[kd_order(values.first[there], _GROUP)]
        ordered = values.at(order)
        starts = np.arange(0, len(order), _GROUP)
        if not len(order):
            return cls(ordered, order, starts, ordered.first, ordered.first)
        low, high = (reduce.reduceat(ordered.first, starts) for reduce in (np.minimum, np.maximum))
        return cls(ordered, order, starts, low, high)

    def group(self, number: int) -> slice:
        """Rows of a group."""
        return slice(int(self.starts[number]), int(self.starts[number]) + _GROUP)


def _near(a: _Grouped, b: _Grouped, least: Least) -> NDArray[np.bool_]:
    """Find the pairs of groups that may have correlated views: (m, n) bool.

    |x − y|² = |x|² + |y|² − 2 x · y, so that x · y ≥ p takes |x − y|² ≤ 2 (N² − p), N the largest norm. All values are
    whole numbers, and rounding changes the norm by at most √k / 2 for k values. The distance of boxes is a lower bound.
    """
    norm = NORM + np.sqrt(FIRST_VALUES) / 2
    squares = np.zeros((len(a.low), len(b.low)), np.float32)
    for axis in range(FIRST_VALUES):
        gap = np.maximum(b.low[None, :, axis] - a.high[:, None, axis], a.low[:, None, axis] - b.high[None, :, axis])
        squares += np.maximum(gap, 0) ** 2  # whole numbers below 2²⁴ but for far boxes, which stay far
    return squares <= 2 * (norm * norm - least.first * NORM * NORM)


def _correlated(
    a: _Grouped, b: _Grouped, least: Least
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]]:
    """Give the views that correlate, as places in the given order, and the sums of products of all values."""
    least_first, least_of_all = least.first * NORM * NORM, least.every * NORM * NORM
    columns = np.ascontiguousarray(b.values.first.T)
    space = np.empty(_GROUP * _GROUP, np.float32)
    for group, near in enumerate(_near(a, b, least)):
        rows = a.group(group)
        first = a.values.first[rows]
        for other in np.flatnonzero(near).tolist():
            place = b.group(other)
            right = columns[:, place]
            products = space[: len(first) * right.shape[1]].reshape(len(first), -1)
            np.matmul(first, right, out=products)
            if products.max() < least_first:  # as in most groups
                continue
            hits = np.flatnonzero(products.ravel() >= least_first)
            i, j = hits // right.shape[1] + rows.start, hits % right.shape[1] + place.start
            sums = np.einsum("ij,ij->i", a.values.every[i], b.values.every[j])
            good = np.flatnonzero(sums >= least_of_all)
            if len(good):
                yield a.order[i[good]], b.order[j[good]], sums[good].astype(np.int64)
