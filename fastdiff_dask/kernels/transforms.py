"""The eight turns and mirror images of a picture: one of them, a bit mask of several, and arrays of such masks."""

from collections.abc import Iterable
from enum import IntEnum
from functools import cache
from typing import Any

import numpy as np
from array_api_compat import array_namespace
from numpy.typing import NDArray

__all__ = [
    "Transform",
    "apply_transform",
    "available_transforms",
    "best_transforms",
    "inverse_degrees",
    "inverse_masks",
    "lower_image_first",
    "lowest_transforms",
    "masks_between_copies",
    "turns_between_copies",
]


class Transform(IntEnum):
    """A turn of a picture counter-clockwise (as `numpy.rot90`), after mirroring it left and right or not.

    With M the mirror and R the quarter turn, transform t is R^(t mod 4) M^(t ≥ 4). In a bit mask of transforms, which
    is how a store has them, bit t stands for transform t.

    Examples
    --------
    >>> Transform.TURN_90.then(Transform.TURN_180), Transform.TURN_90.inverse
    (<Transform.TURN_270: 3>, <Transform.TURN_270: 3>)
    >>> Transform.of(270, mirrored=True) is Transform.MIRROR_270
    True
    """

    IDENTITY = 0
    TURN_90 = 1
    TURN_180 = 2
    TURN_270 = 3
    MIRROR = 4
    MIRROR_90 = 5
    MIRROR_180 = 6
    MIRROR_270 = 7

    @classmethod
    def of(cls, degrees: int, mirrored: bool = False) -> "Transform":
        """Find the transform that turns by some degrees, a multiple of 90, after mirroring or not."""
        return cls(degrees // 90 % 4 + 4 * mirrored)

    @classmethod
    def lowest(cls, mask: int) -> "Transform":
        """Find the lowest transform in a bit mask, by which a pair is named: not mirrored before mirrored.

        Examples
        --------
        >>> Transform.lowest(0b1100), Transform.lowest(0b100000)
        (<Transform.TURN_180: 2>, <Transform.MIRROR_90: 5>)
        """
        return cls((mask & -mask).bit_length() - 1)

    @property
    def bit(self) -> int:
        """The bit mask of this transform alone."""
        return 1 << self

    @property
    def turns(self) -> int:
        """Quarter turns counter-clockwise, 0 to 3."""
        return self % 4

    @property
    def degrees(self) -> int:
        """Degrees counter-clockwise, 0 to 270."""
        return 90 * self.turns

    @property
    def mirrored(self) -> bool:
        """True if the picture is mirrored before it is turned."""
        return self >= 4

    @property
    def swaps_sides(self) -> bool:
        """True if width becomes height."""
        return self.turns % 2 == 1

    @property
    def words(self) -> str:
        """Say how a picture lies that was made so from another one, empty for the identity.

        Examples
        --------
        >>> [Transform.of(degrees).words for degrees in (90, 180, 270)], Transform.MIRROR_90.words
        (['90° left', '180°', '90° right'], 'mirrored, 90° left')
        """
        turned = ("", "90° left", "180°", "90° right")[self.turns]
        return ", ".join(part for part in ("mirrored" if self.mirrored else "", turned) if part)

    @property
    def inverse(self) -> "Transform":
        """The transform that undoes this one: for turns the turn back, for mirror images themselves."""
        return Transform.lowest(inverse_masks(self.bit))

    def then(self, second: "Transform") -> "Transform":
        """Compose: this transform first, then `second`; M R = R⁻¹ M."""
        turns = second.turns + (-self.turns if second.mirrored else self.turns)
        return Transform(turns % 4 + 4 * (self.mirrored != second.mirrored))


def available_transforms(
    height: int, width: int, *, rotations: bool = True, mirror: bool = False
) -> tuple[Transform, ...]:
    """List the transforms of a thumbnail that keep its shape, ascending; they are a group.

    Examples
    --------
    >>> [t.degrees for t in available_transforms(64, 64)]
    [0, 90, 180, 270]
    >>> [(t.degrees, t.mirrored) for t in available_transforms(48, 64, mirror=True)]
    [(0, False), (180, False), (0, True), (180, True)]
    """
    return tuple(
        t
        for t in Transform
        if (mirror or not t.mirrored) and (rotations or not t.turns) and (height == width or not t.swaps_sides)
    )


def apply_transform(images: Any, transform: int, /, *, rows_axis: int = 1) -> Any:
    """Mirror and turn each image of a chunk.

    Parameters
    ----------
    images
        (n, h, w, c), any dtype, NumPy or CuPy.
    transform
        Number of the transform.
    rows_axis
        Axis of the rows; that of the columns follows it.

    Returns
    -------
    A view of shape (n, h, w, c), or (n, w, h, c) after a quarter turn.
    """
    turns, mirrored = Transform(transform).turns, Transform(transform).mirrored
    axes = list(range(images.ndim))
    axes[rows_axis : rows_axis + 2] = [rows_axis + 1, rows_axis]

    def flipped(rows: bool, columns: bool) -> Any:
        steps = (slice(None, None, -1 if rows else 1), slice(None, None, -1 if columns else 1))
        return images[(*[slice(None)] * rows_axis, *steps, ...)]

    if mirrored:
        images = flipped(False, True)
    if turns % 2:
        images = array_namespace(images).permute_dims(images, axes)
    return flipped(turns in (1, 2), turns in (2, 3))


def best_transforms(each: Iterable[tuple[int, Any]], best: Any, /) -> Any:
    """Make the bit masks of the transforms that reach the best value.

    All of them are stored because the roles of the two images may be swapped later, and the lowest angle must then be
    found again among all that tie.

    Parameters
    ----------
    each
        Transforms, each with its values: arrays of the shape of `best`. A transform may come twice.
    best
        The best values.

    Returns
    -------
    uint8, of the shape of `best`.
    """
    xp = array_namespace(best)
    masks = xp.zeros(best.shape, dtype=xp.uint8)
    for transform, values in each:
        masks |= xp.astype(values == best, xp.uint8) << xp.uint8(transform)
    return masks


def inverse_degrees(degrees: Any, mirrored: Any, /) -> Any:
    """Find by how many degrees the inverse of a transform turns, after mirroring or not as the transform itself.

    Parameters
    ----------
    degrees, mirrored
        NumPy arrays, as of `lowest_transforms`.

    Returns
    -------
    Degrees, of the same shape.

    Examples
    --------
    >>> inverse_degrees(np.array([90, 180, 90]), np.array([False, False, True])).tolist()
    [270, 180, 90]
    """
    return np.where(mirrored, degrees, (360 - degrees) % 360)


def inverse_masks(masks: Any, /) -> Any:
    """Swap the roles of the two images in bit masks of transforms.

    If image a under transform t equals b, then b under the inverse of t equals a. Turns by 90° and 270° are each
    other's inverse; the half turn and all mirror images are their own.

    Parameters
    ----------
    masks
        Integer or integer array.

    Returns
    -------
    Of the same type and shape.

    Examples
    --------
    >>> bin(inverse_masks(0b0011))
    '0b1001'
    """
    return (masks & 0b11110101) | ((masks & 0b0010) << 2) | ((masks & 0b1000) >> 2)


def lower_image_first(
    a: NDArray[np.int64], b: NDArray[np.int64], masks: NDArray[Any]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[Any]]:
    """Swap the roles of the images in those pairs whose first image has the larger number.

    Parameters
    ----------
    a, b
        (k,) numbers of the images.
    masks
        (k,) bit masks of the transforms of image a.

    Returns
    -------
    The same three arrays with a ≤ b.

    Examples
    --------
    >>> [array.tolist() for array in lower_image_first(np.array([5]), np.array([2]), np.array([0b0010]))]
    [[2], [5], [8]]
    """
    return np.minimum(a, b), np.maximum(a, b), np.where(a > b, inverse_masks(masks), masks)


def lowest_transforms(masks: NDArray[Any]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Name the lowest transform of each bit mask, as `Transform.lowest`; an empty mask counts as the identity.

    Parameters
    ----------
    masks
        (k,) integers from 0 to 255.

    Returns
    -------
    degrees
        (k,) int64, counter-clockwise.
    mirrored
        (k,) bool.
    """
    degrees, mirrored = _lowest_table()
    return degrees[masks], mirrored[masks]


@cache
def _lowest_table() -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    lowest = [Transform.IDENTITY, *map(Transform.lowest, range(1, 256))]
    return np.array([t.degrees for t in lowest], np.int64), np.array([t.mirrored for t in lowest])


def turns_between_copies(turns_of_x: NDArray[np.int64], turns_of_y: NDArray[np.int64]) -> NDArray[np.int64]:
    """Quarter turns that make y of x, from the turns of x and of y that make one and the same picture of them."""
    return (turns_of_x - turns_of_y) % 4


def masks_between_copies(
    masks: NDArray[Any], turns_of_x: NDArray[np.int64], turns_of_y: NDArray[np.int64]
) -> NDArray[np.uint8]:
    """Bit masks between copies of two images, from those between the images themselves.

    If x is image r turned by i, and y is image s turned by j, then t maps r to s as well as j ∘ t ∘ i⁻¹ maps x to y.

    Parameters
    ----------
    masks
        (k,) integers: the transforms that map r to s.
    turns_of_x, turns_of_y
        (k,) quarter turns that make x of r, and y of s.

    Returns
    -------
    (k,) uint8.
    """
    return _copies_table()[masks, turns_of_x, turns_of_y]


@cache
def _copies_table() -> NDArray[np.uint8]:
    table = np.zeros((256, 4, 4), np.uint8)
    for i, j, t in np.ndindex(4, 4, 8):
        between = Transform(i).inverse.then(Transform(t)).then(Transform(j))
        table[np.arange(256) >> t & 1 == 1, i, j] |= np.uint8(between.bit)
    return table
