"""The part that two pictures share, on one raster of the same resolution."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

__all__ = ["SharedView", "bring_together", "grain", "luma", "map_levels", "pixel_matrix", "shared_box"]

EDGE = 2.0  # pixels of the raster at the edges of a picture: the border beyond is mixed in there
FEWEST_PIXELS = 256  # shared ones; an edited copy has three times as many
LUMA = np.array([0.299, 0.587, 0.114], np.float32)


class SharedView(NamedTuple):
    """The same part of two pictures on one raster.

    Attributes
    ----------
    a, b
        (h, w) or (h, w, 3) float32: the two pictures on the raster of the shared part of b.
    inside
        (h, w) bool: pixels that both pictures have.
    box
        Top, left, bottom, right of the raster, in shares of b.
    """

    a: NDArray[np.float32]
    b: NDArray[np.float32]
    inside: NDArray[np.bool_]
    box: tuple[float, float, float, float]


def luma(picture: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Grey levels of a picture: (h, w, 3) uint8 → (h, w) float32."""
    return picture.astype(np.float32) @ LUMA


def pixel_matrix(
    matrix: NDArray[np.float64], shape_a: tuple[int, ...], shape_b: tuple[int, ...]
) -> NDArray[np.float64]:
    """Turn the linear part of a matrix of shares into one of pixels: (2, 2), pixels of b → pixels of a."""
    return np.diag(shape_a[:2]) @ matrix[:, :2] @ np.diag(1 / np.array(shape_b[:2], float))


def bring_together(
    a: NDArray[np.float32], b: NDArray[np.float32], matrix: NDArray[np.float64], longest: int
) -> SharedView | None:
    """Sample two pictures on one raster, at the resolution of the coarser one.

    Parameters
    ----------
    a, b
        (h, w) or (h, w, c) float32.
    matrix
        (2, 3): (y, x, 1) in shares of b → (y, x) in shares of a.
    longest
        Pixels of the longer side of the raster, at most.

    Returns
    -------
    The shared view; None if nothing or next to nothing is shared.
    """
    box = shared_box(matrix)
    linear = pixel_matrix(matrix, a.shape, b.shape)
    scale = float(np.sqrt(abs(np.linalg.det(linear))))
    if box is None or not 0.05 < scale < 20:
        return None
    height, width = (box[2] - box[0]) * b.shape[0], (box[3] - box[1]) * b.shape[1]
    step = max(1.0, 1 / scale, max(height, width) / longest)
    rows, columns = round(height / step), round(width / step)
    if min(rows, columns) < 16:
        return None
    own = np.array([[(box[2] - box[0]) / rows, 0, box[0]], [0, (box[3] - box[1]) / columns, box[1]]])
    other = np.column_stack([matrix[:, :2] @ own[:, :2], matrix[:, :2] @ own[:, 2] + matrix[:, 2]])
    y, x = np.meshgrid(np.arange(rows) + 0.5, np.arange(columns) + 0.5, indexing="ij", sparse=True)
    inside = np.ones((rows, columns), bool)
    for shares, size in ((own, b.shape), (other, a.shape)):
        for line, length in zip(shares, size[:2], strict=True):
            place, rim = line[0] * y + line[1] * x + line[2], EDGE * step * (scale if shares is other else 1) / length
            inside &= (place >= rim) & (place <= 1 - rim)
    if np.count_nonzero(inside) < FEWEST_PIXELS:
        return None
    sampled_a = _sampled(a, other, (rows, columns), scale * step)
    return SharedView(sampled_a, _sampled(b, own, (rows, columns), step), inside, box)


def map_levels(
    source: NDArray[np.float32], target: NDArray[np.float32], inside: NDArray[np.bool_]
) -> NDArray[np.float32]:
    """Replace each level by the median of the target where the source has it, along a curve that never falls."""
    levels, others = source[inside][::7], target[inside][::7]
    parts = np.array_split(np.argsort(levels, kind="stable"), 24)
    means = np.array([levels[part].mean() for part in parts])
    medians = np.array([np.median(others[part]) for part in parts])
    rising = (np.maximum.accumulate(medians) + np.minimum.accumulate(medians[::-1])[::-1]) / 2
    # Beyond the means of the first and last parts the curve goes on as steep as it is there.
    inner = np.clip(source, means[0], means[-1])
    steep = [(rising[k + 2] - rising[k]) / max(means[k + 2] - means[k], 1.0) for k in (0, len(means) - 3)]
    beyond = (source - inner) * np.where(source < inner, steep[0], steep[1])
    return np.clip(np.interp(inner, means, rising) + beyond, 0, 255).astype(np.float32)


def shared_box(matrix: NDArray[np.float64]) -> tuple[float, float, float, float] | None:
    """Bounds of that part of b which lies within a."""
    side = 128
    ticks = (np.arange(side) + 0.5) / side
    y, x = np.meshgrid(ticks, ticks, indexing="ij")
    mapped = np.tensordot(matrix[:, :2], np.stack([y, x]), 1) + matrix[:, 2, None, None]
    within = np.all((mapped >= 0) & (mapped <= 1), axis=0)
    rows, columns = np.flatnonzero(within.any(1)), np.flatnonzero(within.any(0))
    if len(rows) < 8 or len(columns) < 8:
        return None
    return (rows[0] / side, columns[0] / side, (rows[-1] + 1) / side, (columns[-1] + 1) / side)


def _sampled(
    picture: NDArray[np.float32], shares: NDArray[np.float64], shape: tuple[int, int], step: float
) -> NDArray[np.float32]:
    """Sample a picture at the pixels of a raster that are mapped into it; `step` pixels of it lie between two."""
    if picture.ndim == 3:
        layers = [_sampled(picture[..., k], shares, shape, step) for k in range(picture.shape[2])]
        return np.stack(layers, -1)
    size = np.array(picture.shape, float)
    linear = size[:, None] * shares[:, :2]
    offset = linear @ np.full(2, 0.5) + size * shares[:, 2] - 0.5
    if step > 1.05:
        picture = ndimage.gaussian_filter(picture, 0.5 * np.sqrt(step**2 - 1))
    out: NDArray[np.float32] = ndimage.affine_transform(
        picture, linear, offset, output_shape=shape, order=1, mode="nearest"
    )
    return out


def grain(grey: NDArray[np.float32]) -> float:
    """Standard deviation of the grain, from the median of second differences that smooth content has none of."""
    across = grey[1:, 1:] - grey[1:, :-1] - grey[:-1, 1:] + grey[:-1, :-1]
    return float(np.median(np.abs(across)) / 0.6745 / 2)
