"""Measures other than MSE: SSIM, distance of perceptual hashes, functions of the user. Chunks in, matrices out."""

import functools
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..config import DEFAULT_THRESHOLDS, HASH_KINDS
from ..errors import FastDiffError, UsageError
from ..extras import need
from ..text import one_line
from ..user_functions import check_sendable, function_name, shown_name
from .hashes import hash_bits, pdq_bits
from .transforms import Transform, apply_transform, best_transforms

__all__ = [
    "Forms",
    "Measure",
    "apply_measure",
    "forms_of",
    "hamming_distance",
    "prepare_features",
    "resolve_measure",
    "similar_by_measure",
    "ssim_dissimilarity",
]

# A transform → the images of a chunk so turned, or their features: (n, ...), read-only.
Forms = Callable[[int], NDArray[Any]]
# Thumbnails that a function prepares at once.
_AT_ONCE = 256


class Measure(NamedTuple):
    """A way to compare images.

    Attributes
    ----------
    name
        Name of the comparison in the store: two different functions have different names, and one function has the same
        name in every process.
    function
        (m, h, w, c), (n, h, w, c) uint8 → (m, n) numbers, the smaller the more similar. With `prepare`, it gets
        features instead.
    prepare
        (n, h, w, c) uint8 → (n, ...) features, which are computed once an image and transform, and stored.
    features
        Name of the features in the store, "" for none.
    """

    name: str
    function: Callable[[Any, Any], Any]
    prepare: Callable[[Any], Any] | None = None
    features: str = ""

    @property
    def shown(self) -> str:
        """Name for people."""
        return shown_name(self.name)


_CHOICES = (
    "use 'mse', 'correlation', 'ssim', 'hamming' or a function of two chunks of images; or a hash: 'pdq', "
    f"{', '.join(map(repr, HASH_KINDS))}, with more bits as 'phash-16' or 'phash-32'"
)


def resolve_measure(
    compare: str | Callable[[Any, Any], Any], prepare: Callable[[Any], Any] | None = None
) -> Measure | None:
    """Find the measure that a user means; None for "mse" and "correlation", which signatures bound.

    Parameters
    ----------
    compare
        Name of a measure, or a function; its attribute ``prepare`` counts if `prepare` is not given.
    prepare
        Function that makes the features that `compare` gets.

    Returns
    -------
    The measure.

    Raises
    ------
    UsageError
        If there is none, or the package that it needs is missing.

    Examples
    --------
    >>> resolve_measure("ssim").name
    'ssim'
    >>> resolve_measure("correlation")
    """
    if not isinstance(compare, str) and not callable(compare):
        kind = type(compare).__name__
        raise UsageError(f"compare= is of type {kind}; {_CHOICES}")
    if not isinstance(compare, str):
        return _measure_of(compare, prepare)
    if prepare is not None:
        raise UsageError(f"prepare= is for a function of yours, not for compare={compare!r}; leave it out")
    if compare in ("mse", "correlation"):
        return None
    if compare == "ssim":
        need("skimage", "scikit-image", "ssim")
        return Measure("ssim", ssim_dissimilarity)
    if compare == "pdq":
        return Measure("pdq", hamming_distance, pdq_bits, "pdq")
    if compare in DEFAULT_THRESHOLDS:
        need("imagehash", "ImageHash", "hashes")
        kind, _, side = compare.replace("hamming", "dhash").partition("-")
        hashing = functools.partial(hash_bits, kind, int(side or 8))
        return Measure(compare, hamming_distance, hashing, f"{kind}-{side or 8}")
    if "." in compare:  # as `function_name` makes them
        raise UsageError(f"images were compared by the function {compare}; give it again, as compare=")
    raise UsageError(f"compare={compare!r} cannot be used; {_CHOICES}")


def _measure_of(compare: Callable[[Any, Any], Any], prepare: Callable[[Any], Any] | None) -> Measure:
    """Make a measure of functions of the user."""
    carrier: Any = compare
    while prepare is None and carrier is not None:
        prepare, carrier = getattr(carrier, "prepare", None), getattr(carrier, "func", None)  # as of `partial`
    if prepare is None:
        return Measure(function_name(compare), compare)
    if not callable(prepare):
        raise UsageError(
            f"prepare= is of type {type(prepare).__name__}; use a function of thumbnails (n, h, w, 3) that gives an "
            f"array of n features"
        )
    check_sendable(prepare, "prepare function")
    return Measure(function_name(compare, prepare), compare, prepare, function_name(prepare))


def ssim_dissimilarity(a: NDArray[np.uint8], b: NDArray[np.uint8], /) -> NDArray[np.float64]:
    """1 − SSIM, the structural similarity of Wang, Bovik, Sheikh and Simoncelli (2004), by scikit-image.

    Parameters
    ----------
    a, b
        (m, h, w, c) and (n, h, w, c) uint8; sides of 7 pixels at least.

    Returns
    -------
    (m, n) float64, from 0 for equal images to 2.
    """
    from skimage.metrics import structural_similarity

    result = np.empty((len(a), len(b)))
    for i, j in np.ndindex(result.shape):
        result[i, j] = 1 - structural_similarity(a[i], b[j], channel_axis=-1, data_range=255)
    return result


def hamming_distance(a: NDArray[np.uint64], b: NDArray[np.uint64], /) -> NDArray[np.unsignedinteger[Any]]:
    """Count the bits in which hashes differ.

    Parameters
    ----------
    a, b
        (m, words) and (n, words) uint64, as `hashes.hash_bits` gives them.

    Returns
    -------
    (m, n) uint8 for hashes of 64 bits, else uint16.
    """
    words = (np.bitwise_count(a[:, None, word] ^ b[None, :, word]) for word in range(a.shape[1]))
    return next(words) if a.shape[1] == 1 else functools.reduce(np.add, (word.astype(np.uint16) for word in words))


# -- images and features under transforms ------------------------------------------------------------------------------


def forms_of(measure: Measure, images: NDArray[np.uint8]) -> Forms:
    """Give what the function of a measure gets of some thumbnails, by transform; made when it is asked for."""

    def form(transform: int) -> NDArray[Any]:
        turned = apply_transform(images, transform)
        return _read_only(turned if measure.prepare is None else prepare_features(measure, turned))

    return form


def prepare_features(measure: Measure, images: NDArray[np.uint8]) -> NDArray[Any]:
    """Compute the features of images.

    Memory: a copy of 256 images beside the features.

    Parameters
    ----------
    measure
        The measure; its `Measure.prepare` gets read-only arrays of 256 images at most, and must give the same for an
        image whatever the others are.
    images
        (n, h, w, c) uint8, n from 1; turned already.

    Returns
    -------
    (n, ...) numbers of one type.

    Raises
    ------
    FastDiffError
        If the function fails or gives something else; the message names it.
    """
    assert measure.prepare is not None
    shown = shown_name(measure.features)
    result: NDArray[Any] | None = None
    for start in range(0, len(images), _AT_ONCE):
        part = _read_only(images[start : start + _AT_ONCE])
        try:
            features = _on_processor(measure.prepare(part))
        except (Exception, SystemExit) as error:  # Dask ends a worker whose task exits
            raise FastDiffError(
                f"prepare function {shown} failed ({one_line(error, kind=True)}); its block is not stored"
            ) from None
        if features.shape[:1] != part.shape[:1] or features.dtype.kind not in "biufc" or not features.size:
            raise FastDiffError(
                f"prepare function {shown} gave {features.dtype} of shape {features.shape} for {len(part)} images; it "
                f"must give numbers, with a row for each image"
            )
        if result is None:
            result = np.empty((len(images), *features.shape[1:]), features.dtype.newbyteorder("="))
        if (features.shape[1:], features.dtype.name) != (result.shape[1:], result.dtype.name):
            raise FastDiffError(
                f"prepare function {shown} gave {features.dtype} of shape {features.shape[1:]} for some images and "
                f"{result.dtype} of shape {result.shape[1:]} for others; it must give the same for all"
            )
        result[start : start + len(part)] = features
    assert result is not None
    return result


def similar_by_measure(
    measure: Measure,
    a: Forms,
    b: Forms,
    transforms: tuple[int, ...],
    threshold: float,
    wanted: NDArray[np.bool_] | None = None,
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64], NDArray[np.uint8]]:
    """Find the pairs of two chunks whose smallest value over transforms of either image is at most the threshold.

    A function need not give the same value if the other one of two images is turned. So each of them is turned, and the
    result does not depend on their order.

    Parameters
    ----------
    measure
        The measure; its function gets read-only arrays, once for each transform of either chunk.
    a, b
        The images of each chunk, see `Forms`.
    transforms
        Numbers of the transforms, see `transforms.available_transforms`.
    threshold
        Largest value of a similar pair.
    wanted
        (m, n) bool, the pairs to look at; None for all.

    Returns
    -------
    first, second
        (pairs,) int64, places in either chunk.
    values
        (pairs,) float64.
    masks
        (pairs,) uint8; bit t is set where transform t of the first image, or its reverse of the second, reaches the
        value.

    Raises
    ------
    FastDiffError
        If the function fails or gives no matrix of numbers; the message names it.
    """
    each = [(t, _checked(measure, a(t), b(0))) for t in transforms]
    each += [(t, _checked(measure, a(0), b(Transform(t).inverse))) for t in transforms[1:]]
    lowest = functools.reduce(np.minimum, (values for _, values in each))
    # whole numbers are compared with a whole number: no copy as floats
    limit = threshold if lowest.dtype.kind == "f" else math.floor(min(max(threshold, -1.0), 2.0**16))
    similar = lowest <= limit
    # thirty times as fast as `nonzero` of a matrix
    places = np.flatnonzero(similar if wanted is None else similar & wanted)
    first, second = np.divmod(places, lowest.shape[1])
    values = lowest[first, second]
    listed = ((t, found[first, second]) for t, found in (each if len(places) else ()))
    masks = best_transforms(listed, values)
    return first, second, values.astype(np.float64), masks


def apply_measure(
    measure: Measure, a: NDArray[np.uint8], b: NDArray[np.uint8], transforms: tuple[int, ...]
) -> tuple[NDArray[np.float64], NDArray[np.uint8]]:
    """Find the smallest value of a measure for all pairs of some thumbnails; see `similar_by_measure`.

    Parameters
    ----------
    measure
        The measure.
    a, b
        (m, h, w, c) and (n, h, w, c) uint8.
    transforms
        Numbers of the transforms.

    Returns
    -------
    (m, n) float64, and the bit masks of the transforms, (m, n) uint8.

    Raises
    ------
    FastDiffError
        If the function fails or gives no matrix of numbers; the message names it.
    """
    forms = forms_of(measure, a), forms_of(measure, b)
    _, _, values, masks = similar_by_measure(measure, *forms, transforms, math.inf)
    return values.reshape(len(a), len(b)), masks.reshape(len(a), len(b))


def _on_processor(result: Any) -> NDArray[Any]:
    """Give what a function of the user's gave as an array of NumPy."""
    return np.asarray(result.get() if hasattr(result, "get") and hasattr(result, "device") else result)  # CuPy


def _read_only(images: NDArray[Any]) -> NDArray[Any]:
    images = np.ascontiguousarray(images).view()
    images.flags.writeable = False
    return images


def _checked(measure: Measure, a: NDArray[Any], b: NDArray[Any]) -> NDArray[Any]:
    """Call the function, and refuse a result that is no (m, n) matrix of numbers."""
    try:
        found = _on_processor(measure.function(a, b))
    except (Exception, SystemExit) as error:  # Dask ends a worker whose task exits
        raise FastDiffError(
            f"compare function {measure.shown} failed ({one_line(error, kind=True)}); its tile is not stored"
        ) from None
    wanted = (len(a), len(b))
    if found.shape != wanted or found.dtype.kind not in "biuf":
        raise FastDiffError(
            f"compare function {measure.shown} gave {found.dtype} of shape {found.shape} for {wanted[0]} and "
            f"{wanted[1]} images; it must give numbers of shape {wanted}"
        )
    if found.dtype.kind == "u" and found.dtype.itemsize <= 2:
        return found  # as they are: distances of bits are many and small
    values = found.astype(np.float64)
    if found.dtype.kind != "f":
        return values
    if np.isnan(values).any():
        raise FastDiffError(
            f"compare function {measure.shown} gave NaN for {int(np.isnan(values).sum())} of {values.size} pairs; "
            f"give infinity for pairs that are never similar"
        )
    if np.isneginf(values).any():
        raise FastDiffError(
            f"compare function {measure.shown} gave −infinity; give a number for pairs that are similar"
        )
    return values
