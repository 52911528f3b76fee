"""The same part of two pictures, compared block by block, for the verdict of an edited copy."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from .shared_view import SharedView, bring_together, grain, luma, map_levels

__all__ = ["BlockComparison", "compare_blocks"]

LONGEST = 384  # pixels of the raster's longer side
BLOCKS = 16  # along the longer side
SHIFT = 2  # pixels of the raster by which a block may be misplaced
FEWEST_BLOCKS = 12  # with detail: skies and gradients have fewer
# Grey levels. A block has detail if its contrast is above this and above the grain, which a noisy copy has more of.
DETAIL = 2.0
FULL = 4.0  # from this contrast on, a block must be as like as the rest; below it, JPEG and noise take their part
# Likeness that a block needs: between these, and the nearer to 1, the more alike the pair is in most of its blocks
# (its 15th percentile). In nine of ten copies of the kind worst at it, blurred, no block correlates below 0.65.
LEAST, MOST = 0.5, 0.8
TYPICAL, FACTOR = 15, 8.0
CHANGED = 12.0  # grey levels from what is expected, under an overlay
SMALLEST_OVERLAY = 0.005  # of the raster
# A screen, a page or a drawing has one exact colour on more pixels than this; of 150 photos one has.
EXACT_COLOUR = 0.36


class BlockComparison(NamedTuple):
    """Agreement of two pictures where they show the same.

    Attributes
    ----------
    edited
        True if one is an edited copy of the other, or both are of a third.
    confidence
        0 to 1: the likeness of the less like blocks that count, less where they are few, and half of it without the
        verdict. It is no probability. Of copies of 23 kinds, 95 in 100 have 0.83 and more; under a watermark or a
        caption, 0.58.
    overlay
        Laid over a part: "caption" where it hides the picture, "watermark" where the picture shines through, or "".
    overlaid
        "a" or "b": the picture with the overlay, or "".
    agreeing
        (rows, columns) bool: blocks of the shared part that have detail and agree.
    detailed
        (rows, columns) bool: blocks that have detail.
    view
        The shared part on one raster in grey; None if next to nothing is shared.
    matrix
        (2, 3): the matrix, mended by the small shifts of the blocks.
    """

    edited: bool
    confidence: float
    overlay: str
    overlaid: str
    agreeing: NDArray[np.bool_]
    detailed: NDArray[np.bool_]
    view: SharedView | None
    matrix: NDArray[np.float64]


class _Overlay(NamedTuple):
    kind: str
    side: str


def compare_blocks(a: NDArray[np.uint8], b: NDArray[np.uint8], matrix: NDArray[np.float64]) -> BlockComparison:
    """Compare the same part of two pictures by blocks of detail.

    Grey levels of one are mapped to those of the other, whatever the curve. Blocks with detail then correlate in a true
    copy, but for those under a caption, a sticker or a watermark: pixels there have one colour, alone or mixed evenly
    with the picture. Blocks that differ in another way, be they few, show a moved thing or another filling of the same
    template. Pictures with one exact colour on much of them are pages, screens and drawings, whose differences may be
    smaller than anything that this comparison sees: they are never called edited copies.

    Parameters
    ----------
    a, b
        (h, w, 3) uint8.
    matrix
        (2, 3): (y, x, 1) in shares of b → (y, x) in shares of a; exact to a pixel or so.

    Returns
    -------
    The verdict, its confidence and the maps of blocks.
    """
    greys = luma(a), luma(b)
    view = bring_together(*greys, matrix, LONGEST)
    if view is None:
        nothing = np.zeros((0, 0), bool)
        return BlockComparison(False, 0.0, "", "", nothing, nothing, None, matrix)
    found = _compare_raster(view)
    mended = _mended_matrix(matrix, view, found)
    again = bring_together(*greys, mended, LONGEST) if mended is not None else None
    if mended is not None and again is not None:
        matrix, view, found = mended, again, _compare_raster(again)
    likeness, strength, detailed, _ = found
    side = _block_side(view)
    needed = _needed_likeness(likeness, strength, detailed)
    if 0 < (detailed & (likeness < needed)).sum() <= 0.1 * detailed.sum():
        likeness = np.maximum(likeness, _likeness_of_peaks(a, b, matrix, side))
    agreeing = detailed & (likeness >= needed)
    differing = detailed & ~agreeing
    overlay = _find_overlay(view, differing, side) if 0 < differing.sum() <= 0.5 * detailed.sum() else _Overlay("", "")
    edited = bool(
        detailed.sum() >= FEWEST_BLOCKS and (overlay.kind or not differing.any()) and not _has_exact_colour(view)
    )
    confidence = _confidence(likeness, detailed, agreeing, overlay.kind != "")
    return BlockComparison(
        edited, confidence if edited else confidence / 2, overlay.kind, overlay.side, agreeing, detailed, view, matrix
    )


class _Raster(NamedTuple):
    """Blocks of a shared view: likeness, contrast of the detail, blocks that have detail, shifts in pixels of a."""

    likeness: NDArray[np.float64]
    strength: NDArray[np.float64]
    detailed: NDArray[np.bool_]
    shifts: NDArray[np.float64]


def _block_side(view: SharedView) -> int:
    return max(8, -(-max(view.inside.shape) // BLOCKS))


def _compare_raster(view: SharedView) -> _Raster:
    side = _block_side(view)
    likeness, strength, shifts = _block_likeness(*_same_levels(view), view.inside, side)
    noise = max(grain(view.a), grain(view.b))
    shared = _block_means(view.inside.astype(np.float32), side) > 0.75
    return _Raster(likeness, strength, (strength > max(DETAIL, noise)) & shared, shifts)


def _mended_matrix(matrix: NDArray[np.float64], view: SharedView, found: _Raster) -> NDArray[np.float64] | None:
    """Fit the shifts of the blocks by an affine map, and put it into the matrix; None if there is nothing to mend."""
    use = found.detailed & (found.likeness > 0.6)
    if use.sum() < FEWEST_BLOCKS or np.abs(found.shifts[use]).mean() < 0.2:
        return None
    top, left, bottom, right = view.box
    size = np.array([bottom - top, right - left])
    places = (np.argwhere(use) + 0.5) / use.shape * size + [top, left]
    rows = np.column_stack([places, np.ones(len(places))])
    shifts = found.shifts[use] * size / view.inside.shape
    near = np.ones(len(rows), bool)
    for _ in range(3):
        if near.sum() < FEWEST_BLOCKS:
            return None
        change = np.linalg.lstsq(rows[near], shifts[near], rcond=None)[0]
        near = (np.abs(rows @ change - shifts) * view.inside.shape / size).max(1) < 1.2
    offset = matrix[:, 2] - matrix[:, :2] @ change[2]
    return np.column_stack([matrix[:, :2] @ (np.eye(2) - change[:2].T), offset])


def _likeness_of_peaks(
    a: NDArray[np.uint8], b: NDArray[np.uint8], matrix: NDArray[np.float64], side: int
) -> NDArray[np.float64]:
    """Likeness of the blocks by the highest channel of each pixel, which a turned hue leaves as it is."""
    view = bring_together(a.max(2).astype(np.float32), b.max(2).astype(np.float32), matrix, LONGEST)
    assert view is not None  # the grey levels had one by the same matrix
    return _block_likeness(*_same_levels(view), view.inside, side)[0]


def _needed_likeness(
    likeness: NDArray[np.float64], strength: NDArray[np.float64], detailed: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """Demand more of each block where most blocks are nearly equal, and less of blocks with little detail."""
    typical = float(np.percentile(likeness[detailed], TYPICAL)) if detailed.any() else 0.0
    least = float(np.clip(1 - FACTOR * (1 - typical), LEAST, MOST))
    return least * np.minimum(1, strength / FULL)


def _confidence(
    likeness: NDArray[np.float64], detailed: NDArray[np.bool_], agreeing: NDArray[np.bool_], overlaid: bool
) -> float:
    """A low likeness of the blocks that count, less where these are few."""
    counted = likeness[agreeing if overlaid else detailed]
    if not counted.size:
        return 0.0
    low = max(0.0, float(np.percentile(counted, 10)))
    return low * counted.size / (counted.size + 4) * (0.9 if overlaid else 1.0)


def _same_levels(view: SharedView) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Map the grey levels of the picture that fewer levels were clipped in to those of the other."""
    clipped = [float(np.mean((grey[view.inside] > 252) | (grey[view.inside] < 3))) for grey in (view.a, view.b)]
    if clipped[0] > clipped[1]:
        return view.a, map_levels(view.b, view.a, view.inside)
    return map_levels(view.a, view.b, view.inside), view.b


def _block_likeness(
    first: NDArray[np.float32], second: NDArray[np.float32], inside: NDArray[np.bool_], side: int
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Correlation of the detail of each block at the best small shift, the stronger contrast, and that shift."""
    p, q = _detail(first, inside), _detail(second, inside)
    energy = _block_means(q * q, side)
    best = np.full(energy.shape, -1.0)
    shifts = np.zeros((*energy.shape, 2))
    for rows in range(-SHIFT, SHIFT + 1):
        for columns in range(-SHIFT, SHIFT + 1):
            moved = np.roll(p, (rows, columns), (0, 1))
            both = np.sqrt(_block_means(moved * moved, side) * energy) + 1e-3
            likeness = _block_means(moved * q, side) / both
            shifts[likeness > best] = rows, columns
            best = np.maximum(best, likeness)
    return best, np.sqrt(np.maximum(energy, _block_means(p * p, side))), shifts


def _detail(grey: NDArray[np.float32], inside: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Take away grain and slow changes; nothing comes in from pixels that only one picture has."""
    weight = inside.astype(np.float32)

    def smooth(sigma: float) -> NDArray[np.float32]:
        weights = ndimage.gaussian_filter(weight, sigma, truncate=3) + 1e-3 if not weight.all() else np.float32(1)
        out: NDArray[np.float32] = ndimage.gaussian_filter(grey * weight, sigma, truncate=3) / weights
        return out

    return (smooth(1.0) - smooth(5.0)) * weight


def _block_edges(length: int, side: int) -> NDArray[np.int64]:
    return np.linspace(0, length, max(1, round(length / side)) + 1).astype(np.int64)


def _block_means(values: NDArray[np.float32], side: int) -> NDArray[np.float64]:
    rows, columns = (_block_edges(length, side) for length in values.shape)
    sums = np.add.reduceat(np.add.reduceat(values, rows[:-1], 0), columns[:-1], 1)
    return sums / (np.diff(rows)[:, None] * np.diff(columns)).astype(np.float64)


def _find_overlay(view: SharedView, differing: NDArray[np.bool_], side: int) -> _Overlay:
    """Explain the blocks that differ by something of one colour laid over one of the pictures."""
    regions, count = ndimage.label(differing, np.ones((3, 3)))
    sizes = np.bincount(regions.ravel(), minlength=count + 1)[1:]
    rows, columns = (_block_edges(length, side) for length in view.a.shape)
    pixels = np.repeat(np.repeat(regions, np.diff(rows), 0), np.diff(columns), 1)
    for name, over, under in (("b", view.b, view.a), ("a", view.a, view.b)):
        expected = map_levels(under, over, view.inside & (pixels == 0))
        changed = view.inside & (np.abs(over - expected) > CHANGED)
        core = ndimage.binary_erosion(changed)  # edges of letters are mixed; the middle of the strokes is not
        if core.sum() < SMALLEST_OVERLAY * core.size:
            continue
        mix = _fit_mix(expected[core], over[core])
        if not _explains(mix, expected[core], over[core], 70, 8 if mix.slope else 6):
            continue
        places = [changed & (pixels == number) for number in range(1, count + 1)]
        explained = [_explains(mix, expected[place], over[place], 60, 12) for place in places]
        if sizes[explained].sum() >= 0.8 * differing.sum():
            return _Overlay("watermark" if mix.slope else "caption", name)
    return _Overlay("", "")


class _Mix(NamedTuple):
    """Levels where something of one colour is laid over a picture: the slope is the share that shines through."""

    slope: float
    offset: float


def _fit_mix(under: NDArray[np.float32], over: NDArray[np.float32]) -> _Mix:
    """Fit a line by weights that take out what is far from it; nearly level lines are made level."""
    if under.size < 30:
        return _Mix(1.0, 0.0)
    x, y = under.astype(np.float64), over.astype(np.float64)
    slope, offset = 0.0, float(np.median(y))
    for _ in range(8):
        weights = 1 / (1 + ((y - slope * x - offset) / 6) ** 2)
        middle_x, middle_y = np.average(x, weights=weights), np.average(y, weights=weights)
        slope = float(np.average((x - middle_x) * (y - middle_y), weights=weights))
        slope /= float(np.average((x - middle_x) ** 2, weights=weights)) + 4.0
        offset = float(middle_y - slope * middle_x)
    return _Mix(slope, offset) if slope > 0.15 else _Mix(0.0, float(np.median(y)))


def _explains(mix: _Mix, under: NDArray[np.float32], over: NDArray[np.float32], percentile: float, most: float) -> bool:
    """True if so many of the changed pixels are the picture seen through the overlay, or the overlay alone."""
    if under.size < 20 or mix.slope > 0.95:
        return False
    return bool(np.percentile(np.abs(over - mix.slope * under - mix.offset), percentile) < most)


def _has_exact_colour(view: SharedView) -> bool:
    """True if one grey level, give or take one, covers much of a picture: a page, a screen, a drawing.

    A photo gets such a level from clipping when it is made brighter; then the other picture, without its grain, tells.
    """
    levels = [(*_commonest_level(grey[view.inside], 1), grey) for grey in (view.a, view.b)]
    (_, _, other), (share, clipped, _) = sorted(levels, key=lambda level: level[0])
    if clipped and share > EXACT_COLOUR:
        calm = ndimage.gaussian_filter(other, 1.5)
        share = max(_commonest_level(grey[view.inside], reach)[0] for grey, reach in ((other, 1), (calm, 2)))
    return share > EXACT_COLOUR


def _commonest_level(levels: NDArray[np.float32], reach: int) -> tuple[float, bool]:
    """Share of the pixels within `reach` of the commonest level, and True if that is black or white."""
    counts = np.bincount(np.clip(np.rint(levels), 0, 255).astype(np.int64), minlength=256)
    windows = np.convolve(counts, np.ones(2 * reach + 1), "same")
    level = int(windows.argmax())
    return float(windows[level] / levels.size), level < 4 or level > 251
