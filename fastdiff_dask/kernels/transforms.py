"""The eight turns and mirror images of a picture, as numbers, sets of them and angles."""

from typing import Any

__all__ = ["apply_transform", "available_transforms", "compose_transforms", "reverse_transforms", "rotation_of"]


def available_transforms(height: int, width: int, *, rotations: bool = True, mirror: bool = False) -> tuple[int, ...]:
    """Number the transforms of a thumbnail that keep its shape.

    Transform t turns by 90° · (t mod 4) counter-clockwise (`numpy.rot90`); from 4 on, after mirroring left and right.

    Examples
    --------
    >>> available_transforms(64, 64), available_transforms(48, 64, mirror=True)
    ((0, 1, 2, 3), (0, 2, 4, 6))
    """
    turns = ((0, 1, 2, 3) if height == width else (0, 2)) if rotations else (0,)
    return turns + tuple(4 + turn for turn in turns) if mirror else turns


def apply_transform(images: Any, transform: int, /) -> Any:
    """Turn and mirror each image of a chunk.

    Parameters
    ----------
    images
        (n, h, w, c), any dtype.
    transform
        Number of the transform, see `available_transforms`.

    Returns
    -------
    A view of shape (n, h, w, c), or (n, w, h, c) after a quarter turn.
    """
    if transform >= 4:
        images = images[:, :, ::-1]
    turns = transform % 4
    if turns == 1:
        return images.transpose(0, 2, 1, 3)[:, ::-1]
    if turns == 2:
        return images[:, ::-1, ::-1]
    if turns == 3:
        return images.transpose(0, 2, 1, 3)[:, :, ::-1]
    return images


def reverse_transforms(mask: Any) -> Any:
    """Swap the roles of the two images in a bit mask of transforms.

    If image a under transform t equals b, then b under the inverse of t equals a. Turns by 90° and 270° are each
    other's inverse; the half turn and all mirror images are their own.

    Parameters
    ----------
    mask
        Integer or integer array; bit t stands for transform t.

    Examples
    --------
    >>> bin(reverse_transforms(0b0011))
    '0b1001'
    """
    return (mask & 0b11110101) | ((mask & 0b0010) << 2) | ((mask & 0b1000) >> 2)


def rotation_of(mask: int) -> tuple[int, bool]:
    """Name the lowest transform in a bit mask: (degrees, mirrored).

    Examples
    --------
    >>> rotation_of(0b1100), rotation_of(0b100000)
    ((180, False), (90, True))
    """
    transform = (mask & -mask).bit_length() - 1
    return transform % 4 * 90, transform >= 4


def compose_transforms(first: int, second: int) -> int:
    """Number of the transform that applies `first` and then `second`.

    With M the mirror and R the quarter turn, transform t is R^(t mod 4) M^(t ≥ 4), and M R = R⁻¹ M.

    Examples
    --------
    >>> compose_transforms(1, 2), compose_transforms(5, 6), compose_transforms(4, 1)
    (3, 1, 5)
    """
    turns = second % 4 + (-(first % 4) if second >= 4 else first % 4)
    return turns % 4 + 4 * ((first >= 4) != (second >= 4))
