"""Exact squared errors between two chunks of thumbnails. Chunks in, chunks out, NumPy or CuPy.

The names that end in `_gpu` in `squared_errors_int8` compute the same on a GPU.
"""

import math
from collections.abc import Iterator
from functools import reduce
from typing import Any, NamedTuple

from array_api_compat import array_namespace

from .transforms import Transform, apply_transform, best_transforms

__all__ = [
    "Errors",
    "Moments",
    "PreparedImages",
    "image_moments",
    "mean_squared_errors",
    "prepare_images",
    "prepared_squared_errors",
    "squared_errors",
    "squared_norms",
    "transformed_squared_errors",
]

# Every integer up to 2²⁴ in size is a float32.
_EXACT = 1 << 24
# Values in a step of a segment. A value of a prepared image, or of `_combined`, is at most 4 · 128 = 2⁹ in size, so
# that a dot product over one step is at most 2⁶ · 2¹⁸ = 2²⁴ and always exact.
_STEP = 64
# Bytes of the float32 values of images prepared at a time: they and their components stay in the cache of a core.
_BATCH_BYTES = 1 << 21
# Images prepared at a time for a matrix of any size: 2,730 of 64 × 64 × 3 values.
_PREPARED_BYTES = 1 << 27
# Rows and columns of a matrix computed at a time: its sums stay in the cache of a core (two at once take 0.22 s for
# 1,024 × 1,024 pairs of 64 × 64 × 3 values, and 0.28 s as a whole), and the products are still long enough.
_SIDE = 512


class _Part(NamedTuple):
    """One component of a chunk.

    Attributes
    ----------
    values
        (n, k) float32, integers.
    energies
        For each step of `_STEP` values, the largest sum of their squares in any image.
    """

    values: Any
    energies: list[float]


class Moments(NamedTuple):
    """Sums over the values of images less 128, integers.

    Attributes
    ----------
    norms
        (n,) float64: sums of squares.
    sums
        (n, c) int64: sums of each channel.
    """

    norms: Any
    sums: Any

    def at(self, places: Any) -> "Moments":
        """Moments of some images, in the shape of the places."""
        return Moments(self.norms[places], self.sums[places])


class PreparedImages(NamedTuple):
    """A chunk of thumbnails in the form in which all transforms are compared at once; made by `prepare_images`.

    Attributes
    ----------
    forms
        The components of the chunk as it is, and of its mirror image if that is compared.
    moments
        Sums of the values of each image, and of their squares.
    turns
        The turns of each form that are compared.
    """

    forms: dict[bool, list[_Part]]
    moments: Moments
    turns: tuple[int, ...]

    @property
    def nbytes(self) -> int:
        """Bytes of the components."""
        return sum(int(part.values.nbytes) for form in self.forms.values() for part in form)


def prepare_images(images: Any, transforms: tuple[int, ...], /, *, mirrored: bool = True) -> PreparedImages:
    """Split images into the components that the turns map to themselves, see `_doubled_products`.

    Memory: 4 bytes a value, twice that with mirror images.

    Parameters
    ----------
    images
        (n, h, w, c) uint8, NumPy or CuPy.
    transforms
        Numbers of the transforms to compare later, see `available_transforms`.
    mirrored
        Prepare the mirror images too, if the transforms have them; the second side of a comparison needs none.

    Returns
    -------
    The images in the form in which they are compared.
    """
    xp = array_namespace(images)
    turns = tuple(sorted({Transform(transform).turns for transform in transforms}))
    count = images.shape[0]
    forms: dict[bool, list[_Part]] = {}
    moments = Moments(xp.empty(count, dtype=xp.float64), xp.empty((count, images.shape[3]), dtype=xp.int64))
    at_once = max(1, _BATCH_BYTES // (4 * images[:1].size or 1))
    for start in range(0, max(count, 1), at_once):
        rows = slice(start, start + at_once)
        # centred: distances do not change, products become small. Channels first, each plane in one piece: rows of
        # pixels are long, which makes turning four times as fast
        planes = xp.reshape(_flat(xp.permute_dims(images[rows], (0, 3, 1, 2)), xp), _planes_shape(images[rows]))
        planes = xp.astype(planes, xp.int16) - xp.int16(128)
        for total, part in zip(moments, image_moments(images[rows]), strict=True):
            total[rows] = part
        for mirror in sorted({Transform(transform).mirrored for transform in transforms} if mirrored else {False}):
            components = _components(planes[:, :, :, ::-1] if mirror else planes, turns, xp)
            form = forms.setdefault(mirror, [])
            for values in components[len(form) :]:  # of the first batch, all
                form.append(_Part(xp.empty((count, values.shape[1]), dtype=xp.float32), []))
            for number, (part, values) in enumerate(zip(form, components, strict=True)):
                part.values[rows] = values
                if count:
                    largest = xp.max(_energies(part.values[rows], xp), axis=0).tolist()
                    energies = [max(both) for both in zip(part.energies or largest, largest, strict=True)]
                    form[number] = _Part(part.values, energies)
    return PreparedImages(forms, moments, turns)


def _planes_shape(images: Any) -> tuple[int, int, int, int]:
    count, height, width, channels = images.shape
    return count, channels, height, width


def image_moments(images: Any, /) -> Moments:
    """Sums over the values of images (n, h, w, c) uint8 less 128, exact."""
    xp = array_namespace(images)
    count, height, width, channels = images.shape
    # line by line first: long sums, of numbers that need no more than 32 bits
    lines = xp.sum(xp.reshape(images, (count, height, width * channels)), axis=1, dtype=xp.uint32)
    sums = xp.sum(xp.reshape(lines, (count, width, channels)), axis=1, dtype=xp.int64)
    return Moments(squared_norms(xp.astype(images, xp.float32) - xp.float32(128)), sums - 128 * height * width)


def _flat(planes: Any, xp: Any) -> Any:
    return xp.reshape(planes, (planes.shape[0], planes.shape[1] * planes.shape[2] * planes.shape[3]))


def _components(planes: Any, turns: tuple[int, ...], xp: Any) -> list[Any]:
    """Components of a chunk (n, c, h, w) under the turns; the pixel that stays in place is the last of them."""
    height, width = planes.shape[2:]
    top, left = height // 2, width // 2
    if turns == (0,):
        return [_flat(planes, xp)]
    if turns == (0, 2):
        # the upper half, and of an odd middle row its left half, with what a half turn brings there
        whole, turned = planes, apply_transform(planes, 2, rows_axis=2)
        a, b = (
            xp.concat([_flat(x[:, :, :top], xp), _flat(x[:, :, top : height - top, :left], xp)], axis=1)
            for x in (whole, turned)
        )
        parts = [a + b, a - b]
    else:
        # a quarter of the picture, with what each turn brings there
        a, b, c, d = (_flat(apply_transform(planes, t, rows_axis=2)[:, :, :top, : height - top], xp) for t in range(4))
        even, odd = a + c, b + d
        parts = [even + odd, even - odd, a - c, b - d]
    centre = planes[:, :, top : height - top, left : width - left]
    return [*parts, _flat(centre, xp)]


def _energies(values: Any, xp: Any) -> Any:
    """Sum of squares of each step of values: (n, k) → (n, ⌈k / 64⌉) float32, exact, see `_STEP`."""
    rows, columns = values.shape
    whole = columns - columns % _STEP
    steps = xp.reshape(values[:, :whole], (rows, whole // _STEP, _STEP))
    rest = values[:, whole:]
    return xp.concat([xp.vecdot(steps, steps), xp.vecdot(rest, rest)[:, None]], axis=1)


def squared_norms(pixels: Any, /) -> Any:
    """Sums of squares of images of whole numbers up to 128 in size: (n, ...) float32 → (n,) float64, exact."""
    xp = array_namespace(pixels)
    flat = xp.reshape(pixels, (pixels.shape[0], math.prod(pixels.shape[1:])))
    return xp.sum(_energies(flat, xp), axis=1, dtype=xp.float64)


def _segments(a: list[float], b: list[float]) -> list[tuple[int, int]]:
    """Cut steps into runs in which a float32 dot product is exact.

    By Cauchy and Schwarz, the sum of any of the products x_i y_i of a run is at most |x| |y| over that run in size, and
    |x|² at most the sum of the largest energies of its steps. If that bound is at most 2²⁴, all partial sums, in
    whatever order, are integers that float32 holds exactly.
    """
    segments, start, left, right = [], 0, 0.0, 0.0
    for step, (x, y) in enumerate(zip(a, b, strict=True)):
        left, right = left + x, right + y
        if left * right > _EXACT**2 and step > start:  # products of integers below 2³² in float64: exact enough, as
            segments.append((start * _STEP, step * _STEP))  # the bound is even, and rounding is monotone
            start, left, right = step, x, y
    segments.append((start * _STEP, len(a) * _STEP))
    return segments


class _Turned(NamedTuple):
    """Twice the inner products of images under turns, in pairs of turns: base + difference and base − difference.

    Attributes
    ----------
    pairs
        For each pair of turns (t, t + 180°) its numbers, base and difference; a turn alone has no difference.
    """

    pairs: list[tuple[tuple[int, ...], Any, Any]]

    def largest(self, xp: Any) -> Any:
        """Largest product over the turns."""
        found = None
        for _, base, difference in self.pairs:
            values = base if difference is None else xp.abs(difference)
            if difference is not None:
                values += base
            found = values if found is None else xp.maximum(found, values)
        return found

    def at(self, places: Any) -> Iterator[tuple[int, Any]]:
        """Turns, and the products of each at some places."""
        for turns, base, difference in self.pairs:
            yield turns[0], base[places] if difference is None else base[places] + difference[places]
            if difference is not None:
                yield turns[1], base[places] - difference[places]


class Errors(NamedTuple):
    """Squared errors of the images of two chunks, all with all, or those at the same place with each other.

    Attributes
    ----------
    smallest
        (m, n) or (n,) float64, integers: the smallest over the transforms.
    forms
        Products of each form, from which `masks` finds the transforms that reach it.
    """

    smallest: Any
    forms: dict[bool, _Turned]

    def masks(self, places: Any) -> Any:
        """Bit masks (uint8) of the transforms that reach the smallest error at some places, an index of `smallest`."""
        each = [
            (Transform.of(90 * turn, mirrored), products)
            for mirrored, form in self.forms.items()
            for turn, products in form.at(places)
        ]
        xp = array_namespace(each[0][1])
        return best_transforms(each, reduce(xp.maximum, (products for _, products in each)))


class _Rows:
    """Inner products of all rows of one matrix with all of another: (m, n)."""

    def __init__(self, rows: int, columns: int, xp: Any) -> None:
        self.shape = rows, columns
        # one for all: fresh memory costs more than the product of a short segment
        self._space = xp.empty(self.shape, dtype=xp.float32)
        self._matmul = xp.matmul

    def __call__(self, x: Any, y: Any) -> Any:
        self._matmul(x, y.T, out=self._space)
        return self._space


def _inner_products(a: _Part, b: _Part, total: Any, product: _Rows) -> Any:
    """Add inner products, exact below 2⁵³, to a float64 total in place."""
    if a.energies and b.energies:
        for start, stop in _segments(a.energies, b.energies):
            total += product(a.values[:, start:stop], b.values[:, start:stop])
    return total


def _combined(x: _Part, y: _Part, sign: int, xp: Any) -> _Part:
    """Sum or difference of two components that are differences of two pixels, below 2⁹ in size like any component."""
    values = x.values + y.values if sign > 0 else x.values - y.values
    return _Part(values, xp.max(_energies(values, xp), axis=0).tolist() if values.shape[0] else [])


def _doubled_products(a: list[_Part], b: list[_Part], turns: tuple[int, ...], xp: Any) -> _Turned:
    """Twice the inner product of each image of `a`, turned, with each of `b`: (m, n) float64 for each turn.

    The turns are a cyclic group, so that its Fourier transform makes the four products share their multiplications
    (Serre, *Linear Representations of Finite Groups*, 1977, chapter 5.1). Let a_k be a quarter of the picture after
    k quarter turns, as a vector; a picture is its four quarters, and one turned by t has a_(k+t) where it had a_k. So
    its product with b is c_t = Σ_k a_(k+t)·b_k. With the real components

        A = a_0 + a_1 + a_2 + a_3,  B = a_0 − a_1 + a_2 − a_3,  C = a_0 − a_2,  D = a_1 − a_3

    and A', B', C', D' of b, multiplying out gives

        2 c_0 = (AA' + BB')/2 + (CC' + DD')    2 c_2 = (AA' + BB')/2 − (CC' + DD')
        2 c_1 = (AA' − BB')/2 + (DC' − CD')    2 c_3 = (AA' − BB')/2 − (DC' − CD')

    where DC' − CD' = (C + D)(C' − D') − CC' + DD' (Gauss's product of complex numbers, Knuth, *The Art of Computer
    Programming*, section 4.6.4). That takes 5 · n/4 multiplications instead of 4 n. With half turns alone,
    2 c_0 = SS' + TT', 2 c_2 = SS' − TT' for S = a_0 + a_1 and T = a_0 − a_1 over halves: n instead of 2 n. The centre
    of an odd side turns into itself, and its product is added to each.
    """
    product = _Rows(a[0].values.shape[0], b[0].values.shape[0], xp)

    def add(x: _Part, y: _Part) -> Any:
        return _inner_products(x, y, xp.zeros(product.shape, dtype=xp.float64), product)

    if turns == (0,):
        whole = add(a[0], b[0])
        whole *= 2
        return _Turned([((0,), whole, None)])
    if turns == (0, 2):
        pairs: list[tuple[tuple[int, ...], Any, Any]] = [((0, 2), add(a[0], b[0]), add(a[1], b[1]))]
    else:
        first, second = add(a[0], b[0]), add(a[1], b[1])
        first *= 0.5  # exact: halves of integers below 2⁵³
        second *= 0.5
        even = first + second
        first -= second
        same, opposite = add(a[2], b[2]), add(a[3], b[3])
        crossed = add(_combined(a[2], a[3], 1, xp), _combined(b[2], b[3], -1, xp))
        crossed -= same
        crossed += opposite
        same += opposite
        pairs = [((0, 2), even, same), ((1, 3), first, crossed)]
    if a[-1].values.shape[1]:
        centre = add(a[-1], b[-1])
        centre *= 2
        for _, base, _ in pairs:
            base += centre
    return _Turned(pairs)


def _errors(norms_a: Any, norms_b: Any, forms: dict[bool, _Turned], xp: Any) -> Errors:
    smallest = reduce(xp.maximum, (form.largest(xp) for form in forms.values()))
    smallest = norms_a - smallest
    smallest += norms_b
    return Errors(smallest, forms)


def prepared_squared_errors(a: PreparedImages, b: PreparedImages, /) -> Errors:
    """Sums of squared errors of all prepared images of `a` with all of `b`: (m, n).

    With x and y the flattened images, |x − y|² = |x|² + |y|² − 2 x·y, where subtracting 128 from every value changes
    neither side. All three terms are sums of integers that the floating point used holds exactly, in any order: float32
    within the segments of `_segments`, float64 over them.
    """
    xp = array_namespace(a.moments.norms, b.moments.norms)
    forms = {mirror: _doubled_products(form, b.forms[False], a.turns, xp) for mirror, form in a.forms.items()}
    return _errors(a.moments.norms[:, None], b.moments.norms[None, :], forms, xp)


def squared_errors(a: Any, b: Any, /) -> Any:
    """Sum of squared errors of each image of one chunk with each of another.

    Parameters
    ----------
    a, b
        (m, h, w, c) and (n, h, w, c) uint8, NumPy or CuPy.

    Returns
    -------
    (m, n) int64, grey levels².

    Examples
    --------
    >>> import numpy as np
    >>> a = np.zeros((1, 8, 8, 3), np.uint8)
    >>> squared_errors(a, a + np.uint8(64)).tolist()
    [[786432]]
    """
    return transformed_squared_errors(a, b, (0,))[0]


def transformed_squared_errors(a: Any, b: Any, transforms: tuple[int, ...], /) -> tuple[Any, Any]:
    """Find the smallest sum of squared errors over transforms of the first chunk's images, and the transforms with it.

    Parameters
    ----------
    a, b
        (m, h, w, c) and (n, h, w, c) uint8, NumPy or CuPy.
    transforms
        Numbers of the transforms, see `available_transforms`.

    Returns
    -------
    errors
        (m, n) int64, grey levels².
    masks
        (m, n) uint8; bit t is set where transform t reaches the minimum, see `Errors.masks`.
    """
    xp = array_namespace(a, b)
    errors = prepared_squared_errors(prepare_images(a, transforms), prepare_images(b, transforms, mirrored=False))
    return xp.astype(errors.smallest, xp.int64), errors.masks(...)


def mean_squared_errors(a: Any, b: Any, transforms: tuple[int, ...], /) -> Any:
    """Smallest MSE over transforms of each image of one chunk with each of another.

    Memory: 8 bytes a pair, and besides 550 MB at most, or what two images need, whatever the size of the images.

    Parameters
    ----------
    a, b
        (m, h, w, c) and (n, h, w, c) uint8, NumPy or CuPy.
    transforms
        Numbers of the transforms of images of `a`, see `available_transforms`.

    Returns
    -------
    (m, n) float64: sum of squared errors, an integer, divided by h · w.

    Examples
    --------
    >>> import numpy as np
    >>> a = np.zeros((1, 8, 8, 3), np.uint8)
    >>> mean_squared_errors(a, a + np.uint8(64), (0,)).tolist()
    [[12288.0]]
    """
    xp = array_namespace(a, b)
    pixels = a.shape[1] * a.shape[2]
    size = max(1, _PREPARED_BYTES // (4 * pixels * max(a.shape[3], 1)))
    result = xp.empty((a.shape[0], b.shape[0]), dtype=xp.float64)
    for top in range(0, a.shape[0], size):
        rows = prepare_images(a[top : top + size], transforms)
        for left in range(0, b.shape[0], size):
            columns = (
                rows if b is a and left == top else prepare_images(b[left : left + size], transforms, mirrored=False)
            )
            corner = result[top : top + size, left : left + size]
            symmetric = columns is rows  # turning one image or the other is the same, the transforms being a group
            for i in _sides(corner.shape[0]):
                for j in _sides(corner.shape[1]):
                    if symmetric and j.start < i.start:
                        corner[i, j] = corner[j, i].T
                        continue
                    errors = prepared_squared_errors(_take(rows, i), _take(columns, j)).smallest
                    xp.divide(errors, pixels, out=corner[i, j])
    return result


def _sides(count: int) -> list[slice]:
    return [slice(start, start + _SIDE) for start in range(0, count, _SIDE)]


def _take(images: PreparedImages, rows: slice) -> PreparedImages:
    """Some of the images: views, with the bounds of all."""
    forms = {
        mirror: [_Part(part.values[rows], part.energies) for part in form] for mirror, form in images.forms.items()
    }
    return PreparedImages(forms, images.moments.at(rows), images.turns)
