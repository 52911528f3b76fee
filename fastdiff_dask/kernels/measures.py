"""Measures other than MSE: SSIM, distance of perceptual hashes, functions of the user. Chunks in, matrices out."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..errors import FastDiffError, UsageError
from ..extras import need
from ..text import one_line
from ..user_functions import function_name, shown_name
from .transforms import Transform, apply_transform, best_transforms

__all__ = [
    "Measure",
    "apply_measure",
    "hash_distance",
    "resolve_measure",
    "ssim_dissimilarity",
]


class Measure(NamedTuple):
    """A way to compare images.

    Attributes
    ----------
    name
        Name of the comparison in the store: two different functions have different names, and one function has the same
        name in every process.
    function
        (m, h, w, c), (n, h, w, c) uint8 → (m, n) numbers, the smaller the more similar.
    """

    name: str
    function: Callable[[Any, Any], Any]

    @property
    def shown(self) -> str:
        """Name for people."""
        return shown_name(self.name)


_CHOICES = "use 'mse', 'correlation', 'ssim', 'hamming' or a function of two chunks of images"


def resolve_measure(compare: str | Callable[[Any, Any], Any]) -> Measure | None:
    """Find the measure that a user means; None for "mse" and "correlation", which signatures bound.

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
    if compare in ("mse", "correlation"):
        return None
    if compare == "ssim":
        need("skimage", "scikit-image", "ssim")
        return Measure("ssim", ssim_dissimilarity)
    if compare == "hamming":
        need("imagehash", "ImageHash", "hashes")
        return Measure("hamming", hash_distance)
    if isinstance(compare, str):
        if "." in compare:  # as `function_name` makes them
            raise UsageError(f"images were compared by the function {compare}; give it again, as compare=")
        raise UsageError(f"compare={compare!r} cannot be used; {_CHOICES}")
    return Measure(function_name(compare), compare)


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


def hash_distance(a: NDArray[np.uint8], b: NDArray[np.uint8], /) -> NDArray[np.float64]:
    """Hamming distance of perceptual hashes: the number of bits, of 64, in which two difference hashes (dHash) differ.

    The hashes are those of the ImageHash package.

    Parameters
    ----------
    a, b
        (m, h, w, c) and (n, h, w, c) uint8 with 1, 3 or 4 channels.

    Returns
    -------
    (m, n) float64, 0 to 64.
    """
    differences = _difference_hashes(a)[:, None] ^ _difference_hashes(b)[None, :]
    return np.bitwise_count(differences).astype(np.float64)


def _difference_hashes(images: NDArray[np.uint8]) -> NDArray[np.uint64]:
    import imagehash
    from PIL import Image

    bits = [
        imagehash.dhash(Image.fromarray(np.ascontiguousarray(image[..., 0] if image.shape[-1] == 1 else image))).hash
        for image in images
    ]
    packed = np.packbits(np.array(bits, bool).reshape(len(images), -1), axis=1)
    return packed.view(np.uint64).reshape(len(images))


def apply_measure(
    measure: Measure, a: NDArray[np.uint8], b: NDArray[np.uint8], transforms: tuple[int, ...]
) -> tuple[NDArray[np.float64], NDArray[np.uint8]]:
    """Find the smallest value of a measure over transforms of either image, and the transforms that reach it.

    A function need not give the same value if the other one of two images is turned. So each of them is turned, and the
    result does not depend on their order.

    Parameters
    ----------
    measure
        The measure; its function gets read-only arrays, once for each transform of either chunk.
    a, b
        (m, h, w, c) and (n, h, w, c) uint8.
    transforms
        Numbers of the transforms, see `transforms.available_transforms`.

    Returns
    -------
    values
        (m, n) float64.
    masks
        (m, n) uint8; bit t is set where transform t of the first image, or its reverse of the second, reaches the
        minimum.

    Raises
    ------
    FastDiffError
        If the function fails or gives no matrix of numbers; the message names it.
    """
    first, second = _read_only(a), _read_only(b)
    each = [(t, _checked(measure, _read_only(apply_transform(a, t)), second)) for t in transforms]
    for t in transforms[1:]:
        turned = _read_only(apply_transform(b, Transform(t).inverse))
        each.append((t, _checked(measure, first, turned)))
    values = functools.reduce(np.minimum, (found for _, found in each))
    return values, best_transforms(each, values)


def _read_only(images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    images = np.ascontiguousarray(images).view()
    images.flags.writeable = False
    return images


def _checked(measure: Measure, a: NDArray[np.uint8], b: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Call the function, and refuse a result that is no (m, n) matrix of numbers."""
    try:
        result = measure.function(a, b)
        result = result.get() if hasattr(result, "get") and hasattr(result, "device") else result  # CuPy
        found = np.asarray(result)
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
    values = found.astype(np.float64)
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
