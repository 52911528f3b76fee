"""Values by which views are compared: their lowest frequencies, scaled to one norm, whole numbers."""

from functools import cache
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from ..kernels.transforms import Transform, apply_transform
from .views import VIEW_SIDE

__all__ = ["FIRST_VALUES", "NORM", "PARTS", "VALUES", "WHOLES", "Least", "ViewValues", "view_values"]

# Values of a view: few, and more of which those few are the first.
FIRST_VALUES, VALUES = 16, 32
# Norm of the values of a view: sums of products are whole numbers below 2²³, exact in float32 in any order.
NORM = 2048
_FREQUENCIES = 8  # of a side; those of the values are below
_COSINE_UNIT, _KEPT = 1 << 10, 1 << 14
# Pictures with less contrast have no values: the root of the summed squares of what a level of grey makes.
_LEAST_NORM = 1.5 * VIEW_SIDE * _COSINE_UNIT**2 / 2 / _KEPT * VIEW_SIDE / 2
# Views that are transformed at once, in float64.
_BATCH = 1024


class Least(NamedTuple):
    """Least correlations of candidates: by the first values, and by all."""

    first: float
    every: float


# Measured on 150 photos with 25 copies of each and 562,500 pairs of different photos. With parts of an image, these
# leave 99.2 % of the copies and 3.6 of 10,000 other pairs. More values tell less, as the details of a turned or shifted
# copy are elsewhere: by all 255 values, 94.9 % at as many other pairs. Two wholes, neither turned nor
# mirrored, are one pair of views, not a hundred, so that less is enough: other colours and a watermark change the
# correlation most.
PARTS, WHOLES = Least(0.94, 0.926), Least(0.9, 0.86)


class ViewValues(NamedTuple):
    """Values of views.

    Attributes
    ----------
    first
        (n, 16) float32: whole numbers, of norm `NORM` up to rounding; 0 for a view without contrast.
    every
        (n, 32) float32: the same with twice the frequencies.
    """

    first: NDArray[np.float32]
    every: NDArray[np.float32]

    def transformed(self, transform: Transform) -> Self:
        """Give the values of the same views, mirrored and turned."""
        places, signs = _turned(transform)
        return self._replace(
            first=self.first[:, places[:FIRST_VALUES]] * signs[:FIRST_VALUES], every=self.every[:, places] * signs
        )

    def at(self, places: NDArray[np.int64]) -> Self:
        """Give the values of some of the views."""
        return self._replace(first=self.first[places], every=self.every[places])

    @classmethod
    def joined(cls, parts: list[Self]) -> Self:
        """Put the values of several arrays of views one after the other."""
        return cls(*map(np.concatenate, zip(*parts, strict=True)))


@cache
def _order() -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Frequencies (u, v) of the values, lowest first; 16 and 32 of them are closed under (u, v) → (v, u)."""
    u, v = np.divmod(np.arange(_FREQUENCIES**2), _FREQUENCIES)
    order = np.argsort(u * u + v * v, kind="stable")[1 : VALUES + 1]
    return u[order], v[order]


@cache
def _cosines() -> NDArray[np.float64]:
    """First rows of a discrete cosine transform (DCT-II), rounded to whole numbers: (8, 16)."""
    angles = np.pi / VIEW_SIDE * np.outer(np.arange(_FREQUENCIES), np.arange(VIEW_SIDE) + 0.5)
    return np.rint(_COSINE_UNIT * np.cos(angles))


def _coefficients(images: NDArray[np.generic]) -> NDArray[np.float64]:
    """Coefficients (n, 32): sums of at most 255 · 256 · 2²⁰ < 2³⁶, exact in float64 in any order."""
    cosines = _cosines()
    u, v = _order()
    return (cosines @ images.astype(np.float64) @ cosines.T)[:, u, v]


@cache
def _turned(transform: Transform) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Places and signs of the values of an image that make those of the image turned: a turn permutes frequencies."""
    cosines = _cosines()
    u, v = _order()
    waves = np.einsum("ki,kj->kij", cosines[u], cosines[v])
    turned = _coefficients(apply_transform(waves[..., None], transform)[..., 0])  # (wave, value)
    places = np.abs(turned).argmax(axis=0)
    return places, np.sign(turned[places, np.arange(VALUES)]).astype(np.float32)


def view_values(images: NDArray[np.uint8]) -> ViewValues:
    """Compute the values of views.

    All steps but the last are exact: sums of whole numbers in float64, and their squares, below 2⁵³. A root, a quotient
    and its rounding follow, each the same everywhere. The discrete cosine transform: Ahmed, Natarajan and Rao 1974.

    Parameters
    ----------
    images
        (n, 16, 16) uint8.

    Returns
    -------
    The values.

    Examples
    --------
    >>> values = view_values(np.random.default_rng(0).integers(0, 256, (1, 16, 16)).astype(np.uint8))
    >>> abs(float(np.linalg.norm(values.every)) / NORM - 1) < 0.01
    True
    """
    first, every = np.empty((len(images), FIRST_VALUES), np.float32), np.empty((len(images), VALUES), np.float32)
    for start in range(0, len(images), _BATCH):
        part = slice(start, start + _BATCH)
        kept = np.rint(_coefficients(images[part]) / _KEPT)  # half to even, so that turned pictures have turned values
        first[part], every[part] = _scaled(kept[:, :FIRST_VALUES]), _scaled(kept)
    return ViewValues(first, every)


def _scaled(values: NDArray[np.float64]) -> NDArray[np.float32]:
    norms = np.sqrt((values * values).sum(axis=1))
    there = norms >= _LEAST_NORM
    return np.rint(values * NORM / np.where(there, norms, 1)[:, None] * there[:, None]).astype(np.float32)
