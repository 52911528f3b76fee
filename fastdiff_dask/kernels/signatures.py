"""Signatures: their distances are lower bounds of the thumbnails' distances. Chunks in, chunks out, NumPy or CuPy."""

import math
from collections.abc import Callable
from functools import cache
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from array_api_compat import array_namespace, is_numpy_namespace
from numpy.typing import NDArray

__all__ = [
    "SIGNATURE_VALUES",
    "as_mirrored",
    "coefficient_variance",
    "cosines",
    "largest_norm",
    "leading_values",
    "normalised_error",
    "normalised_pixels",
    "normalised_signatures",
    "segment_energies",
    "signature_error",
    "signature_length",
    "signatures",
]

# 143 coefficients and the norm of all others
SIGNATURE_VALUES = 144
# Frequencies along an axis from which coefficients are taken.
_FREQUENCIES = 16
# Images transformed at a time: their float64 pixels stay in the cache.
_BATCH = 32
# Signatures squared in float64 at a time: on a processor for the same reason, on a GPU, where each step costs some
# launches, 75 MB.
_ENERGY_BATCH, _DEVICE_BATCH = 256, 1 << 16
# Power of the squared frequency with which the variance of a coefficient falls, and relative variances of the channels'
# sum and differences; measured on 150 photographs. They only decide the order of the values, hence speed.
_SPECTRUM = -1.17
_CHANNEL_VARIANCE = (1.0, 0.075, 0.017, 0.01)
# Variances of |x| and of √(x² + y²) for independent standard normal x and y.
_ABSOLUTE_VARIANCE, _MODULUS_VARIANCE = 1 - 2 / math.pi, 2 - math.pi / 2
# Share of the largest norm below which a picture is normalised by its pixels.
_LEAST_CONTRAST = 2.0**-6
_SINGLE, _SUM, _DIFFERENCE, _MODULUS = range(4)


class _Layout(NamedTuple):
    """The coefficients that make each value of a signature, for one shape of thumbnails.

    Attributes
    ----------
    first, second
        Places of each value's coefficients, in (u, channel, v) order; the values are sorted by kind.
    counts
        Number of values of each kind: single, sum, difference, modulus.
    absolute
        True for values that lose their sign.
    order
        Places of the values, largest variance first.
    odd
        True for values, as in `order`, whose sign changes when the picture is mirrored.
    means
        True for values, as in `order`, that are sums over all pixels.
    rows, columns
        (frequencies, h) and (w · c, channels · frequencies) float64: the transforms.
    """

    first: Any
    second: Any
    counts: tuple[int, int, int, int]
    absolute: Any
    order: Any
    odd: Any
    means: Any
    rows: Any
    columns: Any


def cosines(length: int, frequencies: int) -> NDArray[np.float64]:
    """Make the first rows of the orthonormal discrete cosine transform (DCT-II): (frequencies, length)."""
    angles = np.pi / length * np.outer(np.arange(frequencies), np.arange(length) + 0.5)
    scales = np.sqrt(np.where(np.arange(frequencies) == 0, 1, 2) / length)
    return scales[:, None] * np.cos(angles)


def coefficient_variance(channel: int, u: int, v: int) -> float:
    """Give the relative variance of a coefficient in photographs; it decides the order of values, hence speed alone."""
    return _CHANNEL_VARIANCE[channel] * float(max(u * u + v * v, 0.1) ** _SPECTRUM)


@cache
def _layout(height: int, width: int, channels: int) -> _Layout:
    rows, columns = min(height, _FREQUENCIES), min(width, _FREQUENCIES)
    values = []  # variance, kind, absolute, odd under mirroring, first, second
    for channel in range(channels):
        for u in range(rows):
            for v in range(columns):
                place, swapped = (u * channels + channel) * columns + v, (v * channels + channel) * columns + u
                variance = coefficient_variance(channel, u, v)
                if height != width or u == v:
                    signed = (u + v) % 2 == 1 if height != width else u % 2 == 1
                    values.append((variance, _SINGLE, signed, v % 2 == 1 or u % 2 == 1, place, place))
                elif u < v and (u + v) % 2:
                    values.append((variance * _MODULUS_VARIANCE, _MODULUS, False, False, place, swapped))
                elif u < v:
                    values.append((variance, _SUM, u % 2 == 1, False, place, swapped))
                    values.append((variance, _DIFFERENCE, u % 2 == 0, u % 2 == 1, place, swapped))
    values.sort(key=lambda value: value[1])
    variances = [v[0] * (_ABSOLUTE_VARIANCE if v[2] else 1) for v in values]
    order = np.argsort(-np.array(variances), kind="stable")[: SIGNATURE_VALUES - 1]
    chosen = sorted(order.tolist())  # by kind; without the values of least variance
    place_of = {value: place for place, value in enumerate(chosen)}
    kinds = [values[value][1] for value in chosen]
    constants = {channel * columns for channel in range(channels)}  # u = v = 0
    return _Layout(
        first=np.array([values[value][4] for value in chosen]),
        second=np.array([values[value][5] for value in chosen]),
        counts=(kinds.count(_SINGLE), kinds.count(_SUM), kinds.count(_DIFFERENCE), kinds.count(_MODULUS)),
        absolute=np.array([values[value][2] for value in chosen]),
        order=np.array([place_of[value] for value in order.tolist()]),
        odd=np.array([values[value][3] for value in order.tolist()]),
        means=np.array([values[value][4] in constants for value in order.tolist()]),
        rows=cosines(height, rows),
        columns=np.kron(cosines(width, columns), cosines(channels, channels))
        .T.reshape(width * channels, columns, channels)
        .transpose(0, 2, 1)
        .reshape(width * channels, channels * columns),
    )


def signature_length(height: int, width: int, channels: int) -> int:
    """Number of values of a signature."""
    return len(_layout(height, width, channels).order) + 1


def signatures(images: Any, /) -> Any:
    """Compute the signature of each image: a short vector that is the same for all turns of the image.

    *Lower bound.* For images x and y, and any turn T that keeps their shape, |s(x) − s(y)| ≤ |T x − y|, the root of the
    sum of squared errors. Proof: an orthonormal transform of the channels, the rows and the columns (the DCT-II: Ahmed,
    Natarajan and Rao 1974) changes no distance. In its coefficients F(u, v), a quarter turn maps F(u, v) to
    ±F(v, u), with the sign (−1)^u in one direction and (−1)^v in the other, because cos(π u (n − 1 − i + ½) / n) =
    (−1)^u cos(π u (i + ½) / n). Rotate the orthonormal basis once more, to the sums and differences
    (F(u, v) ± F(v, u)) / √2 for u < v of equal parity. Now every turn acts on each of these blocks by itself:

    - F(u, u) for even u stays, for odd u keeps or changes its sign;
    - for u, v both even the sum stays and the difference keeps or changes its sign, for both odd the other way round;
    - for mixed parity (F(u, v), F(v, u)) is swapped with signs: its modulus stays.

    A signature has one value a block: the coefficient if it stays, else the absolute value or modulus. The last value
    is the norm of all coefficients without a value of their own. Each value is a coefficient or the norm of some, hence
    the same for T x and x, and for norms |‖p‖ − ‖q‖| ≤ ‖p − q‖ (the triangle inequality). The parts are orthogonal, so
    the squared differences add up to at most |T x − y|². If thumbnails are not square, there are half turns alone,
    F(u, v) → (−1)^(u+v) F(u, v), and each coefficient is a block. ∎

    The returned signature differs from s by rounding, see `signature_error`.

    Parameters
    ----------
    images
        (n, h, w, c) uint8, NumPy or CuPy; c from 1 to 4.

    Returns
    -------
    (n, `signature_length`) float32, grey levels. The values that tell photographs apart best are first.

    Examples
    --------
    >>> import numpy as np
    >>> image = np.arange(192, dtype=np.uint8).reshape(1, 8, 8, 3)
    >>> bool(np.allclose(signatures(image), signatures(np.rot90(image, axes=(1, 2))), atol=1e-3))
    True
    """
    xp = array_namespace(images)
    result = xp.empty((images.shape[0], signature_length(*images.shape[1:])), dtype=xp.float32)
    for start in range(0, images.shape[0], _BATCH):
        pixels = xp.astype(images[start : start + _BATCH], xp.float64)
        pixels -= 128
        result[start : start + _BATCH, :] = _of_pixels(pixels, xp)
    return result


def _of_pixels(pixels: Any, xp: Any) -> Any:
    """Signatures of pixels (n, h, w, c) float64: (n, `signature_length`) float32."""
    count, height, width, channels = pixels.shape
    layout, device = _layout(height, width, channels), _layout_on(xp, height, width, channels)
    single, total, difference, _ = layout.counts
    pixels = xp.reshape(pixels, (count, height, width * channels))
    coefficients = device.rows @ pixels @ device.columns
    flat = xp.reshape(coefficients, (count, coefficients.shape[1] * coefficients.shape[2]))
    first = xp.take(flat, device.first, axis=1)
    second = xp.take(flat, device.second[single:], axis=1)
    middle, last = single + total, single + total + difference
    values = xp.concat(
        [
            first[:, :single],
            (first[:, single:middle] + second[:, :total]) * math.sqrt(0.5),
            (first[:, middle:last] - second[:, total : total + difference]) * math.sqrt(0.5),
            xp.sqrt(first[:, last:] ** 2 + second[:, total + difference :] ** 2),
        ],
        axis=1,
    )
    values = xp.where(device.absolute, xp.abs(values), values)
    every = xp.reshape(pixels, (count, height * width * channels))
    energy = xp.vecdot(every, every)
    rest = xp.sqrt(xp.maximum(energy - xp.sum(values * values, axis=1), 0))
    return xp.astype(xp.concat([xp.take(values, device.order, axis=1), rest[:, None]], axis=1), xp.float32)


@cache
def _layout_on(xp: Any, height: int, width: int, channels: int) -> _Layout:
    """Convert the arrays of a layout to arrays of a namespace."""
    layout = _layout(height, width, channels)
    arrays = {name: xp.asarray(value) for name, value in layout._asdict().items() if name != "counts"}
    return layout._replace(**arrays)


def signature_error(height: int, width: int, channels: int) -> float:
    """Bound of the distance between a signature as computed and the exact one.

    Let N = 128 √(h w c), the largest norm of a centred image, and u = 2⁻⁵³. A coefficient is a sum over h and one over
    w · c products in float64, so that by the standard bound γ_k = k u / (1 − k u) for inner products in any order
    (Higham, *Accuracy and Stability of Numerical Algorithms*, 2002, section 3.1) the vector of all coefficients is
    wrong by at most η N with η = 2 (h + w c + 8) u √(h w c): the absolute values of the orthonormal matrices enter with
    norms of at most √h and √(w c), and 8 and the factor 2 more than cover the rounding of their entries, sums,
    differences and moduli. The last value is the root of a difference of sums of squares. The difference is wrong by at
    most 2 (2 η + η²) N², hence the root by at most √(4 η + 2 η²) N, since |√x − √y| ≤ √|x − y|. Rounding to float32
    adds 2⁻²⁴ of each value, at most 2⁻²⁴ N (1 + 2 √η) in all, and next to nothing below the smallest float32; the norm
    that `leading_values` computes from them adds 2⁻²³ N (1 + 2 √η) at most.

    Examples
    --------
    >>> 0.01 < signature_error(64, 64, 3) < 0.2
    True
    """
    pixels = height * width * channels
    norm = largest_norm(height, width, channels)
    eta = 2 * (height + width * channels + 8) * 2.0**-53 * math.sqrt(pixels)
    return norm * (eta + math.sqrt(4 * eta + 2 * eta * eta) + 3 * 2.0**-24 * (1 + 2 * math.sqrt(eta))) + 1e-30


def largest_norm(height: int, width: int, channels: int) -> float:
    """Norm of the largest image less 128, in grey levels; normalised images are scaled to it."""
    return 128 * math.sqrt(height * width * channels)


def normalised_signatures(
    values: NDArray[np.float32], images: Callable[[Any], Any], shape: tuple[int, int, int], /
) -> Any:
    """Make the signatures of normalised images: less the mean of each channel, and scaled to `largest_norm`.

    The means are values of a signature, and its norm is that of the image (Parseval), so that nearly all of them come
    from the signatures. Pictures with little contrast are computed from their pixels, which keeps the error small, see
    `normalised_error`. Constant images have the signature 0.

    Parameters
    ----------
    values
        (n, `signature_length`) float32: the signatures of the images.
    images
        Gives the images at some places, (k,) int64 → (k, h, w, c) uint8.
    shape
        (h, w, c) of an image.

    Returns
    -------
    (n, `signature_length`) float32.
    """
    largest, means = largest_norm(*shape), _layout(*shape).means
    result = np.empty_like(values)
    for start in range(0, len(values), _ENERGY_BATCH):
        some = values[start : start + _ENERGY_BATCH].astype(np.float64)
        some[:, :-1][:, means] = 0
        norms = np.sqrt(np.vecdot(some, some))
        scales = np.divide(largest, norms, out=np.zeros_like(norms), where=norms > 0)
        result[start : start + _ENERGY_BATCH] = some * scales[:, None]
        faint = np.flatnonzero(norms < _LEAST_CONTRAST * largest) + start
        for first in range(0, len(faint), _BATCH):
            places = faint[first : first + _BATCH]
            result[places] = _of_pixels(normalised_pixels(images(places)), np)
    return result


def normalised_pixels(images: NDArray[np.uint8], /) -> NDArray[np.float64]:
    """Subtract the mean of each channel, and scale images to `largest_norm`; constant ones become 0. NumPy only."""
    largest, pixels = largest_norm(*images.shape[1:]), images.shape[1] * images.shape[2]
    # whole multiples of 1 / pixels: exact, so that a constant image is 0 to the bit
    sums = images.sum(axis=(1, 2), dtype=np.int64, keepdims=True)
    centred = (images.astype(np.int64) * pixels - sums).astype(np.float64)
    norms = np.sqrt(np.sum(centred * centred, axis=(1, 2, 3), keepdims=True))
    return np.divide(centred * largest, norms, out=np.zeros_like(centred), where=norms > 0)


def normalised_error(height: int, width: int, channels: int) -> float:
    """Bound of the distance between a signature of `normalised_signatures` as computed and the exact one.

    Let s be the exact signature without means, s' as computed, |s − s'| ≤ e = `signature_error`, and K the norm that
    both are scaled to. Then |K s'/|s'| − K s/|s|| ≤ 2 e K / |s'| by the triangle inequality. |s'| is at least K / 64,
    else the signature is computed from pixels scaled to norm K, with an error of e. One e more covers the rounding of
    norms and quotients in float64, and that of the results to float32, 2⁻²⁴ K, since e contains 3 · 2⁻²⁴ K.

    Examples
    --------
    >>> 0.0001 < normalised_error(64, 64, 3) / largest_norm(64, 64, 3) < 0.001
    True
    """
    return (2 / _LEAST_CONTRAST + 1) * signature_error(height, width, channels)


def as_mirrored(values: Any, height: int, width: int, channels: int, /) -> Any:
    """Make signatures the same for mirror images too.

    Mirroring left and right maps F(u, v) to (−1)^v F(u, v): at most the sign of some values changes. With absolute
    values, the lower bound of `signatures` holds over all turns and mirror images, by the same proof.

    Parameters
    ----------
    values
        (n, `signature_length`) float32.
    height, width, channels
        Shape of the thumbnails.

    Returns
    -------
    (n, `signature_length`) float32.
    """
    xp = array_namespace(values)
    odd = xp.asarray(np.append(_layout(height, width, channels).odd, False))
    return xp.where(odd, xp.abs(values), values)


def segment_energies(values: Any, ends: tuple[int, ...], /) -> Any:
    """Sums of squares of segments of signatures.

    Parameters
    ----------
    values
        (n, k) float32.
    ends
        Ends of all segments but the last, ascending.

    Returns
    -------
    (n, len(ends) + 1) float64.

    Examples
    --------
    >>> import numpy as np
    >>> segment_energies(np.array([[1, 2, 3]], np.float32), (1,)).tolist()
    [[1.0, 13.0]]
    """
    xp = array_namespace(values)
    bounds = (0, *ends, values.shape[1])
    result = xp.empty((values.shape[0], len(ends) + 1), dtype=xp.float64)
    batch = _ENERGY_BATCH if is_numpy_namespace(xp) else _DEVICE_BATCH
    for start in range(0, values.shape[0], batch):
        squares = xp.astype(values[start : start + batch], xp.float64)
        squares *= squares
        for segment, (low, high) in enumerate(pairwise(bounds)):
            result[start : start + batch, segment] = xp.sum(squares[:, low:high], axis=1)
    return result


def leading_values(values: Any, count: int, /) -> Any:
    """Shorten signatures: the first values, and the norm of all others.

    Distances only become smaller (the triangle inequality once more), and by less than without the norm: the amount of
    detail in a picture tells as much as any one coefficient.

    Parameters
    ----------
    values
        (n, k) float32.
    count
        Number of values of the result, including the norm; with k or more, the signatures stay as they are.

    Returns
    -------
    (n, min(count, k)) float32. The norm is computed in float64 and rounded: `signature_error` covers its error of at
    most 2⁻²³ of the norm.
    """
    xp = array_namespace(values)
    if count >= values.shape[1]:
        return values
    norm = xp.sqrt(segment_energies(values[:, count - 1 :], ()))
    return xp.concat([values[:, : count - 1], xp.astype(norm, xp.float32)], axis=1)
