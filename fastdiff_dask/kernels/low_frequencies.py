"""Low frequencies of thumbnails: lower bounds of the errors under each transform. Chunks in, chunks out.

They stand between the signatures, which tell less but serve all transforms at once, and the pixels.
"""

import math
from functools import cache, reduce
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from array_api_compat import array_namespace

from .signatures import coefficient_variance, cosines
from .similarity import SimilarityLimit
from .transforms import Transform

__all__ = [
    "LowFrequencies",
    "empty_frequencies",
    "frequency_counts",
    "left_operands",
    "listed_transforms",
    "low_frequencies",
    "near_transforms",
    "right_operand",
]

# Numbers of coefficients to choose from; a pair costs 1.5 multiplications for each where there are quarter turns.
_COUNTS = (96, 192, 384, 768)
# Frequencies along an axis from which coefficients are taken.
_FREQUENCIES = 32
# Images transformed at a time, and pairs of a list: what they need stays in the cache of a core.
_BATCH, _LISTED = 32, 256
_UNIT = 2.0**-24  # rounding of float32


class _Layout(NamedTuple):
    """Chosen coefficients of one shape of thumbnails, in groups that the turns map to themselves.

    Attributes
    ----------
    first, second
        (k,) places of the two coefficients that make each value.
    one, other
        (k,) float32: factors of the two, 1 and 0 or ±√½.
    odd
        (k,) float32: −1 for values whose sign changes when the picture is mirrored, else 1.
    groups
        The places of each group.
    rows, columns
        (u, h) and (w · c, v) float32: the transforms.
    error
        Bound of the error of all values, as a share of the norm of the image, see `low_frequencies`.
    """

    first: Any
    second: Any
    one: Any
    other: Any
    odd: Any
    groups: tuple[slice, ...]
    rows: Any
    columns: Any
    error: float


class _Value(NamedTuple):
    """A value of a group: a coefficient (channel, u, v), or the sum or difference of two over √2."""

    group: int
    first: tuple[int, int, int]
    second: tuple[int, int, int]
    sign: int


def _values_of(channel: int, u: int, v: int, turns: tuple[int, ...]) -> list[_Value]:
    """Values of a coefficient and, where there are quarter turns, of the one with u and v swapped; see `_doubled`."""
    here, there = (channel, u, v), (channel, v, u)
    if 1 not in turns:
        return [_Value((u + v) % 2 if turns == (0, 2) else 0, here, here, 0)]
    if u == v:
        return [_Value(u % 2, here, here, 0)]
    if (u + v) % 2:
        even, odd = (here, there) if v % 2 else (there, here)
        return [_Value(2, even, even, 0), _Value(3, odd, odd, 0)]
    return [_Value(u % 2, here, there, 1), _Value(1 - u % 2, here, there, -1)]


def frequency_counts(height: int, width: int, channels: int) -> tuple[int, ...]:
    """List the numbers of coefficients that serve images of a shape: more than half of all its values would not."""
    return tuple(count for count in _COUNTS if 2 * count <= height * width * channels)


@cache
def _layout(height: int, width: int, channels: int, turns: tuple[int, ...], count: int) -> _Layout:
    units = [
        (-coefficient_variance(channel, u, v), _values_of(channel, u, v, turns))
        for channel in range(channels)
        for u in range(min(height, _FREQUENCIES))
        for v in range(u if 1 in turns else 0, min(width, _FREQUENCIES))
    ]
    units.sort(key=lambda unit: unit[0])
    chosen: list[_Value] = []
    for _, values in units:
        if len(chosen) < count:  # both of a pair: a value more than asked for, at times
            chosen += values
    chosen.sort(key=lambda value: value.group)
    used = [*(value.first for value in chosen), *(value.second for value in chosen)]
    along = [max((v for c, _, v in used if c == channel), default=-1) + 1 for channel in range(channels)]
    firsts = np.cumsum([0, *along]).tolist()

    def place(coefficient: tuple[int, int, int]) -> int:
        channel, u, v = coefficient
        return u * firsts[-1] + firsts[channel] + v

    colours = cosines(channels, channels)
    rows = cosines(height, max(u for _, u, _ in used) + 1)
    # a column (w, c) for each frequency v of each channel d: the products of a row of either transform
    columns = np.concatenate(
        [np.einsum("vw,c->wcv", cosines(width, n), colours[d]) for d, n in enumerate(along)], axis=2
    ).reshape(width * channels, firsts[-1])
    ends = np.searchsorted([value.group for value in chosen], range(5)).tolist()
    half = math.sqrt(0.5)
    first_error = math.sqrt(firsts[-1]) * (width * channels + 2)
    return _Layout(
        first=np.array([place(value.first) for value in chosen]),
        second=np.array([place(value.second) for value in chosen]),
        one=np.array([half if value.sign else 1 for value in chosen], np.float32),
        other=np.array([half * value.sign for value in chosen], np.float32),
        odd=np.array([1 - 2 * (value.first[2] % 2) for value in chosen], np.float32),
        groups=tuple(slice(start, stop) for start, stop in pairwise(ends)),
        rows=rows.astype(np.float32),
        columns=columns.astype(np.float32),
        error=1.01 * _UNIT * (first_error + math.sqrt(len(rows)) * (height + 2) + 8),
    )


@cache
def _layout_on(xp: Any, *key: Any) -> _Layout:
    """Convert the arrays of a layout to arrays of a namespace."""
    layout = _layout(*key)
    return layout._replace(
        **{
            name: xp.asarray(getattr(layout, name))
            for name in ("first", "second", "one", "other", "odd", "rows", "columns")
        }
    )


class LowFrequencies(NamedTuple):
    """Low frequencies of some images, see `low_frequencies`.

    Attributes
    ----------
    values
        (n, k) float32, in the groups of `_Layout`.
    norms
        (n,) float64: squared norms of the images, less the share of them that covers all rounding, see `_slack`.
    rests
        (n,) float32: upper bounds of the norms of all other coefficients.
    key
        Shape of the images, turns, and number of coefficients.
    """

    values: Any
    norms: Any
    rests: Any
    key: tuple[int, int, int, tuple[int, ...], int]

    @property
    def arrays(self) -> tuple[Any, Any, Any]:
        """The arrays, with a row an image."""
        return self[:3]

    @property
    def nbytes(self) -> int:
        """Bytes of the arrays."""
        return sum(int(array.nbytes) for array in self.arrays)

    def at(self, places: Any) -> "LowFrequencies":
        """Low frequencies of some of the images."""
        if isinstance(places, slice):
            return LowFrequencies(self.values[places], self.norms[places], self.rests[places], self.key)
        xp = array_namespace(self.values)  # other threads go on meanwhile, unlike with an index
        values, norms, rests = (xp.take(array, places, axis=0) for array in self.arrays)
        return LowFrequencies(values, norms, rests, self.key)


def low_frequencies(images: Any, limit: SimilarityLimit, transforms: tuple[int, ...], count: int, /) -> LowFrequencies:
    """Compute the low frequencies of images, and what they leave out.

    A picture is split as in `signatures.signatures`: after an orthonormal transform of its channels, rows and columns,
    a quarter turn counter-clockwise maps F(u, v) to (−1)^u F(v, u). The values are F(u, v), and where u and v ≠ u are
    both even or both odd, (F(u, v) ± F(v, u)) / √2. They are in four groups: A stays, B changes its sign with each
    quarter turn, and (P, Q) = (F(u, v), F(v, u)) for even u and odd v becomes (Q, −P). With half turns alone, A stays
    and B changes its sign; without turns, all values are in A. A mirror image has the values times ±1.

    *Rounding.* Let q = |x|² and u = 2⁻²⁴. A product of a row of pixels with a column of unit norm, in float32 and in
    any order, is wrong by at most γ_(wc+1) |row| (Higham 2002, section 3.1; one more for the rounding of the column),
    so that n columns of all rows are wrong by at most √n γ_(wc+1) √q, and likewise the products along the other axis.
    The sums and differences add less than 4 u √q. So all values together are wrong by at most ε √q, where ε is
    `_Layout.error`.

    Memory: 4 bytes a value, and some megabytes.

    Parameters
    ----------
    images
        (n, h, w, c) uint8, NumPy or CuPy.
    limit
        Limit of a similar pair, which scales pixels.
    transforms
        Numbers of the transforms to compare later.
    count
        Number of coefficients, one of `frequency_counts`; those that tell photographs apart best.

    Returns
    -------
    The low frequencies.
    """
    xp = array_namespace(images)
    number, height, width, channels = images.shape
    found = empty_frequencies(number, images.shape[1:], transforms, count, xp)
    values, norms, rests = found.arrays
    layout, length = _layout_on(xp, *found.key), values.shape[1]
    # of the norm of what is left: errors of the values, and of their sum of squares in float32
    rounding = 2 * layout.error + layout.error**2 + 1.01 * (length + 4) * _UNIT
    for start in range(0, number, _BATCH):
        rows = slice(start, start + _BATCH)
        pixels, squares = limit.scaled(images[rows])
        across = xp.reshape(pixels, (-1, width * channels)) @ layout.columns
        both = layout.rows @ xp.reshape(across, (-1, height, across.shape[1]))
        flat = xp.reshape(both, (both.shape[0], -1))
        some = xp.take(flat, layout.first, axis=1) * layout.one
        some += xp.take(flat, layout.second, axis=1) * layout.other
        values[rows] = some
        left = squares * (1 + rounding) - xp.astype(xp.vecdot(some, some), xp.float64)
        rests[rows] = xp.astype(xp.sqrt(xp.maximum(left, 0)), xp.float32) * xp.float32(1 + 2 * _UNIT)
        norms[rows] = squares
    return found


def empty_frequencies(
    number: int, shape: tuple[int, int, int], transforms: tuple[int, ...], count: int, xp: Any = np
) -> LowFrequencies:
    """Make room for the low frequencies of so many images; arguments as of `low_frequencies`."""
    key = (*shape, _turns(transforms), count)
    length = len(_layout(*key).first)
    values = xp.empty((number, length), dtype=xp.float32)
    return LowFrequencies(values, xp.empty(number, dtype=xp.float64), xp.empty(number, dtype=xp.float32), key)


def _slack(key: tuple[int, int, int, tuple[int, ...], int]) -> float:
    """Share of |x|² + |y|² by which a computed bound may be too large.

    Let v and r be the values of x and the norm of all other coefficients, v' and r' those of y; ^ is what is computed.
    For each transform T, x_T · y ≤ v_T · v' + r r'. By Cauchy and Schwarz v_T · v' differs from v̂_T · v̂' by at most
    (2 ε + ε²) |x| |y|, and r ≤ r̂ by `low_frequencies`. A float32 sum of k + 4 products, in any order, is wrong by at
    most γ_(k+4) times the sum of their sizes, which is at most 2 |x| |y| + (|x|² + |y|²) / 2 and some roundings. With
    2 |x| |y| ≤ |x|² + |y|², the sum of both is below (ε + ε² / 2 + 1.6 (k + 12) u) (|x|² + |y|²).
    """
    error = _layout(*key).error
    return error + error**2 / 2 + 1.6 * (len(_layout(*key).first) + 12) * _UNIT


def _limit(radius: Any) -> Any:
    """Smallest value of the bound for images at most a radius apart, see `_doubled`; rounded down."""
    return np.nextafter(np.float32(-radius * radius / 2), np.float32(-np.inf))


class _Operand(NamedTuple):
    """Matrices whose products are the parts of the bound: A and what all transforms share, B, (P, Q), (Q, −P)."""

    same: Any
    half: Any
    pair: Any
    turned: Any


def _operand(images: LowFrequencies, values: Any, *, left: bool) -> _Operand:
    xp = array_namespace(images.values)
    a, b, p, q = (values[:, group] for group in _layout(*images.key).groups)
    halves = xp.astype(images.norms * ((2 * _slack(images.key) - 1) / 2), xp.float32)
    ones = xp.ones_like(halves)
    shared = [images.rests, halves, ones] if left else [images.rests, ones, halves]
    same = xp.concat([a, *(column[:, None] for column in shared)], axis=1)
    return _Operand(same, b, xp.concat([p, q], axis=1), xp.concat([q, -p], axis=1) if left else None)


def left_operands(images: LowFrequencies, transforms: tuple[int, ...], /) -> dict[bool, _Operand]:
    """Prepare images for the left side of `near_transforms`: as they are, and mirrored if that is compared."""
    xp = array_namespace(images.values)
    odd = _layout_on(xp, *images.key).odd
    forms = sorted({Transform(transform).mirrored for transform in transforms})
    return {mirror: _operand(images, images.values * odd if mirror else images.values, left=True) for mirror in forms}


def right_operand(images: LowFrequencies, /) -> _Operand:
    """Prepare images for the right side of `near_transforms`."""
    return _operand(images, images.values, left=False)


def _bounds(
    forms: dict[bool, _Operand], right: _Operand, turns: tuple[int, ...], product: Any
) -> dict[bool, tuple[Any, ...]]:
    """Parts of the bound: for each form the share of all turns, and those of B, (P, Q) and (Q, −P) or None."""
    found = {}
    for mirror, left in forms.items():
        half = product(left.half, right.half) if len(turns) > 1 else None
        pair = product(left.pair, right.pair) if 1 in turns else None
        turned = product(left.turned, right.pair) if 1 in turns else None
        found[mirror] = product(left.same, right.same), half, pair, turned
    return found


def _largest(parts: tuple[Any, ...], xp: Any) -> Any:
    """Largest bound over the turns."""
    same, half, pair, turned = parts
    if half is None:
        return same
    if pair is None:
        return same + xp.abs(half)
    return same + xp.maximum(xp.abs(pair) + half, xp.abs(turned) - half)


def _masks(bounds: dict[bool, tuple[Any, ...]], transforms: tuple[int, ...], places: Any, limit: Any, xp: Any) -> Any:
    """Bit masks of the transforms whose bounds reach a limit at some places: uint8."""
    masks = None
    for transform in map(Transform, transforms):
        parts = bounds[transform.mirrored]
        some: list[Any] = [None if part is None else part[places] for part in parts]
        value, half, pair, turned = some
        if pair is not None:
            both = turned if transform.turns % 2 else pair
            value = value - half if transform.turns % 2 else value + half
            value = value - both if transform.turns >= 2 else value + both
        elif half is not None:
            value = value - half if transform.turns else value + half
        bits = xp.astype(value >= limit, xp.uint8) * xp.uint8(transform.bit)
        masks = bits if masks is None else masks | bits
    return masks


def near_transforms(
    left: dict[bool, _Operand], right: _Operand, /, *, radius: float, transforms: tuple[int, ...]
) -> tuple[Any, Any, Any]:
    """Find the pairs of images that may be at most a radius apart under some transform, by comparing all.

    Half the squared distance of x under T and y is (|x|² + |y|²) / 2 − x_T · y. As the groups of `low_frequencies` are
    turned by themselves, x_T · y ≤ A A' + B B' ± (P P' + Q Q') + r r' for no and half turns, and
    A A' − B B' ± (Q P' − P Q') + r r' for quarter turns: four matrix products for four turns, of one and a half times
    as many values as for one. The columns r, −|x|² / 2 and 1 make the rest part of the first product; the slack, being
    a share of |x|² + |y|², is in them.

    Parameters
    ----------
    left, right
        The images, see `left_operands` and `right_operand`.
    radius
        Largest distance, see `similarity.SimilarityLimit.distance`.
    transforms
        Numbers of the transforms.

    Returns
    -------
    Places on the left, places on the right, and bit masks (uint8) of the transforms that may be within the radius.
    """
    xp = array_namespace(right.same)
    bounds = _bounds(left, right, _turns(transforms), lambda x, y: x @ y.T)
    limit = _limit(radius)
    largest = reduce(xp.maximum, (_largest(parts, xp) for parts in bounds.values()))
    columns = largest.shape[1]
    places = xp.nonzero(xp.reshape(largest >= limit, (-1,)))[0]
    flat = {
        mirror: tuple(None if part is None else xp.reshape(part, (-1,)) for part in parts)
        for mirror, parts in bounds.items()
    }
    return places // columns, places % columns, _masks(flat, transforms, places, limit, xp)


def _turns(transforms: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(sorted({Transform(transform).turns for transform in transforms}))


def listed_transforms(
    a: LowFrequencies, b: LowFrequencies, i: Any, j: Any, /, *, radius: Any, transforms: tuple[int, ...]
) -> Any:
    """Find the transforms under which some pairs may be at most a radius apart.

    Parameters
    ----------
    a, b
        Low frequencies of the images.
    i, j
        (k,) int64: places in `a` and in `b`.
    radius, transforms
        As for `near_transforms`; the radius may be one of each pair, (k,) float64.

    Returns
    -------
    (k,) uint8: bit masks of the transforms, 0 for pairs that are farther apart.
    """
    xp = array_namespace(a.values)
    turns, limits = _turns(transforms), _limit(radius)
    masks = [xp.zeros(0, dtype=xp.uint8)]
    for start in range(0, i.shape[0], _LISTED):
        pairs = slice(start, start + _LISTED)
        left, right = left_operands(a.at(i[pairs]), transforms), right_operand(b.at(j[pairs]))
        limit = limits[pairs] if limits.ndim else limits
        masks.append(_masks(_bounds(left, right, turns, xp.vecdot), transforms, ..., limit, xp))
    return xp.concat(masks)
