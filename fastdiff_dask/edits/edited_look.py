"""The second look at a pair of pictures: verdict and words of an edited copy."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .blocks import compare_blocks
from .description import describe
from .shared_view import luma

__all__ = ["EditedLook", "Refine", "look_at_edited"]

Refine = Callable[
    [NDArray[np.float32], NDArray[np.float32], NDArray[np.float64]], tuple[NDArray[np.float64] | None, float]
]


class EditedLook(NamedTuple):
    """The findings of a second look at a pair.

    Attributes
    ----------
    verdict
        True if one picture is an edited copy of the other.
    confidence
        0 to 1.
    words
        What was done to the copy; empty if the verdict is False or nothing but quality differs.
    part
        "a" or "b" if this picture shows only a part of what the other shows, "both" if each lacks something, else "".
    box
        Top, left, bottom, right of what the copy shows, in pixels of the original, as the pictures were given.
    mirrored
        True if the copy is mirrored left and right before it is turned.
    angle
        Degrees counter-clockwise by which the copy is turned.
    copy
        "a" or "b": the picture that words, box, mirror and angle are about.
    """

    verdict: bool
    confidence: float
    words: tuple[str, ...]
    part: str
    box: tuple[int, int, int, int]
    mirrored: bool
    angle: float
    copy: str


def look_at_edited(
    a: NDArray[np.uint8], b: NDArray[np.uint8], matrix: NDArray[np.float64], refine: Refine | None = None
) -> EditedLook:
    """Look at two pictures that may be edited copies.

    Parameters
    ----------
    a, b
        (h, w, 3) uint8, of at most 512 pixels a side or so.
    matrix
        (2, 3): (y, x, 1) in shares of b → (y, x) in shares of a.
    refine
        (grey a, grey b, matrix) → the exact matrix and its score, or None for no matrix; None: the matrix is exact.

    Returns
    -------
    The verdict with its confidence, and what was done.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> picture = np.kron(rng.integers(40, 200, (40, 50, 3)), np.ones((6, 6, 1))).astype(np.uint8)
    >>> look = look_at_edited(picture, picture[:, ::-1] + np.uint8(40), np.array([[1.0, 0, 0], [0, -1, 1]]))
    >>> look.verdict, look.words, look.part, look.box
    (True, ('mirrored', 'brighter'), '', (0, 0, 240, 300))
    """
    exact: NDArray[np.float64] | None = matrix
    if refine is not None:
        exact, _ = refine(luma(a), luma(b), matrix)
    if exact is None:
        return EditedLook(False, 0.0, (), "", (0, 0, 0, 0), False, 0.0, "b")
    comparison = compare_blocks(a, b, exact)
    if not comparison.edited:
        return EditedLook(False, comparison.confidence, (), "", (0, 0, 0, 0), False, 0.0, "b")
    told = describe(a, b, comparison.matrix, comparison)
    return EditedLook(
        True, comparison.confidence, told.words, told.part, told.box, told.mirrored, told.angle, told.copy
    )
