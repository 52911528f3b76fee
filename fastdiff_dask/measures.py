"""Other measures than MSE: SSIM, distance of perceptual hashes, functions of the user. Chunks in, matrices out."""

import functools
import hashlib
import inspect
import re
import types
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .errors import FastDiffError, UsageError
from .metrics import apply_transform

__all__ = ["Measure", "apply_measure", "hash_distance", "resolve_measure", "ssim_dissimilarity"]


class Measure(NamedTuple):
    """A way to compare images.

    Attributes
    ----------
    name
        Names the comparison in the store: two different functions have different names, and one function the same name
        in every process.
    function
        (m, h, w, c), (n, h, w, c) uint8 → (m, n) numbers, the smaller the more similar.
    """

    name: str
    function: Callable[[Any, Any], Any]

    @property
    def shown(self) -> str:
        """Name for people."""
        return self.name.rpartition("-")[0] or self.name


def resolve_measure(compare: str | Callable[[Any, Any], Any]) -> Measure:
    """Find the measure that a user means.

    Raises
    ------
    UsageError
        If there is none, or the package that it needs is missing.

    Examples
    --------
    >>> resolve_measure("ssim").name
    'ssim'
    """
    if compare == "ssim":
        _need("skimage", "scikit-image", "ssim")
        return Measure("ssim", ssim_dissimilarity)
    if compare == "hamming":
        _need("imagehash", "ImageHash", "hashes")
        return Measure("hamming", hash_distance)
    if not callable(compare):
        raise UsageError(f"compare is {compare!r}; use 'mse', 'ssim', 'hamming' or a function of two chunks of images")
    digest = hashlib.sha256()
    for part in _identity(compare, set()):
        digest.update(part.encode() + b"\0")
    name = re.sub(r"[^0-9A-Za-z_.]+", "_", _name(compare)).strip("_.")[:80]
    return Measure(f"{name}-{digest.hexdigest()[:16]}", compare)


def _need(module: str, package: str, extra: str) -> None:
    try:
        __import__(module)
    except ImportError:
        raise UsageError(f"{package} is not installed; install it with: pip install 'fastdiff_dask[{extra}]'") from None


def _name(function: Any) -> str:
    while isinstance(function, partial):
        function = function.func
    named = function if hasattr(function, "__qualname__") else type(function)
    return f"{named.__module__ or ''}.{named.__qualname__}"


def _identity(value: Any, seen: set[int]) -> Iterator[str]:
    """What tells a function from another of the same name: its source, and the values that it uses.

    Not its file, line or address, which change from one notebook's kernel to the next.
    """
    if id(value) in seen:
        return
    seen.add(id(value))
    if isinstance(value, partial):
        for part in (value.func, value.args, value.keywords):
            yield from _identity(part, seen)
    elif isinstance(value, types.MethodType):
        yield from _identity(value.__func__, seen)
        yield from _identity(value.__self__, seen)
    elif isinstance(value, types.FunctionType):
        yield value.__qualname__
        yield _source(value)
        yield from _identity((value.__defaults__, value.__kwdefaults__), seen)
        for cell in value.__closure__ or ():
            yield from _identity(cell.cell_contents, seen)
        for name in _global_names(value.__code__):
            if name in value.__globals__:
                yield name
                yield from _identity(value.__globals__[name], seen)
    elif isinstance(value, types.ModuleType):
        yield value.__name__
    elif isinstance(value, type | types.BuiltinFunctionType | np.ufunc):
        yield f"{getattr(value, '__module__', '')}.{value.__name__}"
        if isinstance(value, type):
            yield _source(value)
    elif isinstance(value, tuple | list):
        yield type(value).__name__
        for item in value:
            yield from _identity(item, seen - {id(item)})
    elif isinstance(value, dict):
        for key, item in value.items():
            yield repr(key)
            yield from _identity(item, seen)
    elif isinstance(value, np.ndarray) and value.dtype != object:
        yield f"{value.dtype} {value.shape} {hashlib.sha256(np.ascontiguousarray(value).data).hexdigest()}"
    elif value is None or isinstance(value, bool | int | float | complex | str | bytes | np.generic):
        yield f"{type(value).__name__} {value!r}"
    else:
        yield f"{type(value).__module__}.{type(value).__qualname__}"
        yield _source(type(value))
        yield from _identity(getattr(value, "__dict__", {}), seen)


def _source(value: Any) -> str:
    try:
        return inspect.getsource(value)
    except (OSError, TypeError):
        code = getattr(value, "__code__", None)
        return repr(_code(code)) if code is not None else ""


def _code(code: types.CodeType) -> tuple[Any, ...]:
    constants = tuple(_code(c) if isinstance(c, types.CodeType) else repr(c) for c in code.co_consts)
    return code.co_code, constants, code.co_names, code.co_varnames


def _global_names(code: types.CodeType) -> Iterator[str]:
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _global_names(constant)


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
    """Hamming distance of perceptual hashes: how many of the 64 bits of two images' difference hashes (dHash) differ.

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
    """Smallest value of a measure over transforms of the images of the first chunk, and which transforms reach it.

    Parameters
    ----------
    measure
        The measure; its function gets arrays that it cannot write to, once for each transform.
    a, b
        (m, h, w, c) and (n, h, w, c) uint8.
    transforms
        Numbers of the transforms, see `metrics.available_transforms`.

    Returns
    -------
    values
        (m, n) float64.
    masks
        (m, n) uint8; bit t is set where transform t reaches the minimum.

    Raises
    ------
    FastDiffError
        If the function fails or gives what is no matrix of numbers; the message names it.
    """
    second = _read_only(b)
    each = [_checked(measure, _read_only(apply_transform(a, transform)), second) for transform in transforms]
    values = functools.reduce(np.minimum, each)
    masks = np.zeros(values.shape, np.uint8)
    for transform, found in zip(transforms, each, strict=True):
        masks |= (found == values).astype(np.uint8) << np.uint8(transform)
    return values, masks


def _read_only(images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    images = np.ascontiguousarray(images).view()
    images.flags.writeable = False
    return images


def _checked(measure: Measure, a: NDArray[np.uint8], b: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Call the function, and refuse what is no (m, n) matrix of numbers."""
    try:
        result = measure.function(a, b)
        result = result.get() if hasattr(result, "get") and hasattr(result, "device") else result  # CuPy
        found = np.asarray(result)
    except Exception as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise FastDiffError(f"compare function {measure.shown} failed ({reason}); the tile is not kept") from None
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
    return values
