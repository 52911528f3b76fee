"""Words for what was done to an edited copy, and the part of the original that it shows."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from .blocks import BlockComparison
from .shared_view import LUMA, bring_together, grain, luma, map_levels, pixel_matrix, shared_box

__all__ = ["WORDS", "Description", "describe", "inverse_matrix"]

# In the order in which a copy's words stand; "cropped to 82 %" and "turned by 3°" stand first.
WORDS = (
    "mirrored",
    "stretched",
    "white border",
    "black border",
    "border",
    "white bars",
    "black bars",
    "bars",
    "on a screen",
    "brighter",
    "darker",
    "more contrast",
    "less contrast",
    "grey",
    "sepia",
    "other colours",
    "blurred",
    "sharpened",
    "noise",
    "watermark",
    "caption or sticker",
)
MARGIN = 0.012  # share of a side that a border or a cut takes at least; alignment is exact to less
NOISE = 1.4  # grey levels of the raster, by which a noisy copy has more
_TICKS = (np.arange(256) + 0.5) / 256


class Description(NamedTuple):
    """The edits of a copy, in words and figures.

    Attributes
    ----------
    words
        Of `WORDS`, with "cropped to 82 %" (of the area of the fuller picture) and "turned by 3°"; as from the original
        to the copy.
    copy
        "a" or "b": the picture that the words are about; b where nothing tells.
    part
        "a" or "b" if this picture shows only a part of what the other shows, else "". "both" if each lacks something:
        a piece, colours, detail, or what lies below a caption.
    box
        Top, left, bottom, right of what the copy shows, in pixels of the original, as the pictures were given.
    mirrored
        True if the copy is mirrored left and right before it is turned.
    angle
        Degrees counter-clockwise by which the copy is turned, -180 to 180.
    """

    words: tuple[str, ...]
    copy: str
    part: str
    box: tuple[int, int, int, int]
    mirrored: bool
    angle: float


class _Margins(NamedTuple):
    """The part of a picture that the other lacks.

    Attributes
    ----------
    share
        Of the picture's area.
    word
        A border, bars or a screen, or "" if the part is a piece of the picture itself.
    """

    share: float
    word: str


def describe(
    a: NDArray[np.uint8], b: NDArray[np.uint8], matrix: NDArray[np.float64], comparison: BlockComparison
) -> Description:
    """Describe what was done to the copy of a pair.

    Parameters
    ----------
    a, b
        (h, w, 3) uint8.
    matrix
        (2, 3): (y, x, 1) in shares of b → (y, x) in shares of a.
    comparison
        Of the two pictures by this matrix.

    Returns
    -------
    Words, part, box, mirror and angle.
    """
    margins = {"a": _margins(a, inverse_matrix(matrix)), "b": _margins(b, matrix)}
    lacking = "".join(
        side for side, other in (("a", "b"), ("b", "a")) if margins[other].share and not margins[other].word
    )
    part = "both" if lacking == "ab" else lacking
    colours = _colour_words(a, b, matrix, comparison)
    sharpness = _sharpness_words(comparison, matrix, a.shape, b.shape)
    copy = _side_of_copy(part, {side: margins[side].word for side in "ab"}, comparison, colours, sharpness)
    if copy == "a":
        original, other, matrix = b, a, inverse_matrix(matrix)
    else:
        original, other = a, b
    mirrored, angle, stretch = _geometry(pixel_matrix(matrix, original.shape, other.shape))
    words = []
    if part in ("both", copy):
        words.append(f"cropped to {round(100 * (1 - margins['a' if copy == 'b' else 'b'].share))} %")
    if abs(angle) >= 0.75:
        words.append(f"turned by {_whole_angle(angle)}°")
    found = {
        "mirrored": mirrored,
        "stretched": stretch > 1.04,
        margins[copy].word: True,
        colours[copy]: True,
        sharpness[copy]: True,
        "watermark": comparison.overlay == "watermark" and comparison.overlaid == copy,
        "caption or sticker": comparison.overlay == "caption" and comparison.overlaid == copy,
        **dict.fromkeys(_tone_words(comparison, copy, colours[copy] != ""), True),
    }
    words += [word for word in WORDS if found.get(word)]
    if _has_lost(copy, comparison, colours, sharpness):
        part = "both"
    return Description(tuple(words), copy, part, _box(matrix, original.shape), mirrored, round(angle, 1))


def inverse_matrix(matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    """Invert a matrix of shares: a → b of one for b → a."""
    linear = np.linalg.inv(matrix[:, :2])
    return np.column_stack([linear, -linear @ matrix[:, 2]])


def _side_of_copy(
    part: str,
    borders: dict[str, str],
    comparison: BlockComparison,
    colours: dict[str, str],
    sharpness: dict[str, str],
) -> str:
    """Decide the copy by what cannot be undone: a cut, a border, an overlay, a loss of colours, detail or levels."""
    if part in ("a", "b"):
        return part
    overlay = {side: comparison.overlay if comparison.overlaid == side else "" for side in "ab"}
    lost = {side: word if word in ("grey", "sepia") else "" for side, word in colours.items()}
    # A picture without the noise of the other looks blurred beside it.
    noisy, blurred = (
        {side: word if word == loss else "" for side, word in sharpness.items()} for loss in ("noise", "blurred")
    )
    for marks in (borders, overlay, lost, noisy, blurred, _lost_levels(comparison)):
        if bool(marks["a"]) != bool(marks["b"]):
            return "a" if marks["a"] else "b"
    return "b"


def _has_lost(copy: str, comparison: BlockComparison, colours: dict[str, str], sharpness: dict[str, str]) -> bool:
    """Find whether the original has lost something, too, that the copy has: its colours, detail, or what lies below."""
    original = "b" if copy == "a" else "a"
    # beside noise, the other picture looks blurred
    blurred = sharpness[original] == "blurred" and sharpness[copy] != "noise"
    overlaid = comparison.overlay != "" and comparison.overlaid == original
    return colours[original] in ("grey", "sepia") or blurred or overlaid


def _lost_levels(comparison: BlockComparison) -> dict[str, str]:
    """Name the picture that is black or white where the other still has levels."""
    marks = {"a": "", "b": ""}
    if comparison.view is not None:
        view = comparison.view
        for side, grey, other in (("a", view.a, view.b), ("b", view.b, view.a)):
            for clipped in (view.inside & (grey > 252), view.inside & (grey < 3)):
                if clipped.mean() > 0.01 and np.subtract(*np.percentile(other[clipped], [75, 25])) > 8:
                    marks[side] = "clipped"
    return marks


def _margins(picture: NDArray[np.uint8], matrix: NDArray[np.float64]) -> _Margins:
    """Find what a picture has beyond the other; `matrix` maps its shares to the other's."""
    y, x = np.meshgrid(_TICKS, _TICKS, indexing="ij")
    mapped = np.tensordot(matrix[:, :2], np.stack([y, x]), 1) + matrix[:, 2, None, None]
    share = float(np.mean(((mapped < 0) | (mapped > 1)).any(0)))
    box = shared_box(matrix)
    sides = np.array([box[0], box[1], 1 - box[2], 1 - box[3]]) if box else np.zeros(4)
    if share < MARGIN and sides.max() < MARGIN:
        return _Margins(0.0, "")
    grey = luma(picture)
    rows = np.minimum((np.linspace(0, 1, 192, endpoint=False) * grey.shape[0]).astype(int), grey.shape[0] - 1)
    columns = np.minimum((np.linspace(0, 1, 192, endpoint=False) * grey.shape[1]).astype(int), grey.shape[1] - 1)
    small = grey[np.ix_(rows, columns)]
    y, x = np.meshgrid((rows + 0.5) / grey.shape[0], (columns + 0.5) / grey.shape[1], indexing="ij")
    mapped = np.tensordot(matrix[:, :2], np.stack([y, x]), 1) + matrix[:, 2, None, None]
    beyond = np.any((mapped < -0.01) | (mapped > 1.01), axis=0)
    return _Margins(share, _margin_word(small, beyond, sides))


def _margin_word(grey: NDArray[np.float32], beyond: NDArray[np.bool_], sides: NDArray[np.float64]) -> str:
    """Name the pixels beyond the shared part, if they have one colour, or one in each row or column of them."""
    if not beyond.any():
        return ""
    levels = grey[beyond]
    counts = np.bincount(np.clip(levels, 0, 255).astype(np.int64), minlength=256)
    level = int(np.convolve(counts, np.ones(9), "same").argmax())
    if np.mean(np.abs(levels - level) <= 6) >= 0.9:
        colour = "white " if level > 235 else "black " if level < 20 else ""
        opposite = (sides[[0, 2]] > MARGIN).any() != (sides[[1, 3]] > MARGIN).any()
        return colour + ("bars" if opposite else "border")
    return "on a screen" if beyond.mean() > 0.12 and _even_lines(grey, beyond) else ""


def _even_lines(grey: NDArray[np.float32], beyond: NDArray[np.bool_]) -> bool:
    """True if the pixels beyond lie near the commonest levels of their rows or columns: bars of windows."""
    masked = np.where(beyond, grey, np.nan)
    even = np.zeros(grey.shape, bool)
    for axis in (0, 1):
        kept = beyond.any(axis)
        middle = np.zeros(grey.shape[1 - axis], np.float32)
        middle[kept] = np.nanmedian(masked.compress(kept, 1 - axis), axis=axis)
        even |= np.abs(grey - np.expand_dims(middle, axis)) <= 4
    return bool(even[beyond].mean() >= 0.9)


def _geometry(linear: NDArray[np.float64]) -> tuple[bool, float, float]:
    """Mirrored or not, degrees counter-clockwise, and the ratio of the scales, of pixels of the copy → original."""
    mirrored = bool(np.linalg.det(linear) < 0)
    turned = linear * [[1], [-1]] if mirrored else linear
    angle = float(np.degrees(np.arctan2(turned[0, 1] - turned[1, 0], turned[0, 0] + turned[1, 1])))
    scales = np.linalg.svd(linear, compute_uv=False)
    return mirrored, angle, float(scales[0] / max(scales[1], 1e-9))


def _whole_angle(angle: float) -> int:
    """Small angles without their sign, quarter turns counter-clockwise from 90 to 270."""
    quarter = round(angle / 90) * 90
    return quarter % 360 if abs(angle - quarter) < 0.75 else abs(round(angle))


def _box(matrix: NDArray[np.float64], shape: tuple[int, ...]) -> tuple[int, int, int, int]:
    corners = matrix[:, :2] @ np.array([[0, 0, 1, 1], [0, 1, 0, 1]]) + matrix[:, 2, None]
    top, left = np.clip(corners.min(1), 0, 1)
    bottom, right = np.clip(corners.max(1), 0, 1)
    height, width = shape[:2]
    return round(top * height), round(left * width), round(bottom * height), round(right * width)


def _reduced(picture: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Means of squares of pixels, about 64 along the shorter side."""
    step = max(1, min(picture.shape[:2]) // 64)
    height, width = (length // step * step for length in picture.shape[:2])
    blocks = picture[:height, :width].reshape(height // step, step, width // step, step, 3)
    return blocks.mean((1, 3), dtype=np.float32)


def _colour_words(
    a: NDArray[np.uint8], b: NDArray[np.uint8], matrix: NDArray[np.float64], comparison: BlockComparison
) -> dict[str, str]:
    """Name what was done to the colours of each picture: "grey", "sepia", "other colours" or ""."""
    view = bring_together(_reduced(a), _reduced(b), matrix, 64)
    if view is None or not comparison.agreeing.any():
        return {"a": "", "b": ""}
    use = view.inside & _pixels_of(comparison.agreeing, view.inside.shape)
    x, y = view.a[use], view.b[use]
    bare = {"a": _bare_colour(x), "b": _bare_colour(y)}
    if bare["a"] != bare["b"]:
        if bare["a"] and bare["b"]:
            return {side: "sepia" if bare[side] == "sepia" else "" for side in "ab"}
        return bare
    return {"a": "", "b": "other colours" if not bare["b"] and _colours_differ(x, y) else ""}


def _chroma(pixels: NDArray[np.float32]) -> NDArray[np.float32]:
    """Red and blue less grey."""
    grey = pixels @ LUMA
    return pixels[:, [0, 2]] - grey[:, None]


def _bare_colour(pixels: NDArray[np.float32]) -> str:
    """Name pixels without colours of their own: grey, or one colour that depends on the grey level alone."""
    chroma, grey = _chroma(pixels), pixels @ LUMA
    if np.percentile(np.abs(chroma), 95) < 4:
        return "grey"
    design = np.stack([np.ones_like(grey), grey, grey**2], 1) / [1, 255, 255**2]
    left = chroma - design @ np.linalg.lstsq(design, chroma, rcond=None)[0]
    warm = float(np.mean(chroma[:, 0] - chroma[:, 1])) > 12
    return "sepia" if warm and np.percentile(np.abs(left), 95) < 5 else ""


def _colours_differ(x: NDArray[np.float32], y: NDArray[np.float32]) -> bool:
    """True if hues are turned, or colours are stronger or weaker than the change of grey levels makes them."""
    a, b = _chroma(x), _chroma(y)
    strength = float(np.median(np.linalg.norm(a, axis=1)))
    if strength < 4:
        return False
    gain = float(np.std(y @ LUMA) / max(np.std(x @ LUMA), 1.0))
    left = b - a * gain
    return float(np.median(np.linalg.norm(left, axis=1))) > 0.25 * strength * gain + 1.0


def _tone_words(comparison: BlockComparison, copy: str, recoloured: bool) -> list[str]:
    """Name changes of brightness, contrast and sharpness, from the blocks that agree."""
    view = comparison.view
    if view is None or not comparison.agreeing.any():
        return []
    original, other = (view.a, view.b) if copy == "b" else (view.b, view.a)
    use = view.inside & ~_pixels_of(comparison.detailed & ~comparison.agreeing, view.a.shape)
    gain, change = _gain(original[use][::7], other[use][::7])
    slack = 1.6 if recoloured else 1.0
    words = []
    if abs(change) > 9 * slack:
        words.append("brighter" if change > 0 else "darker")
    offset = change + 128 * (1 - gain)
    if gain > 1 + 0.1 * slack and offset < -10:
        words.append("more contrast")
    if gain < 1 - 0.2 * slack and offset > 10:
        words.append("less contrast")
    return words


def _gain(x: NDArray[np.float32], y: NDArray[np.float32]) -> tuple[float, float]:
    """Slope of the levels of y over those of x, and the change at the middle grey."""
    parts = np.array_split(np.argsort(x, kind="stable"), 24)
    means = np.array([x[part].mean() for part in parts])
    medians = np.array([np.median(y[part]) for part in parts])
    free = (medians > 4) & (medians < 251)
    if free.sum() < 4 or np.ptp(means[free]) < 20:
        change = float(np.median(y - x))
        return 1.0, change
    slope, offset = np.polyfit(means[free], medians[free], 1)
    return float(slope), float(slope * 128 + offset - 128)


def _pixels_of(blocks: NDArray[np.bool_], shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """Enlarge a map of blocks to the raster."""
    rows, columns = (np.arange(length) * count // length for length, count in zip(shape, blocks.shape, strict=True))
    return blocks[np.ix_(rows, columns)]


def _sharpness_words(
    comparison: BlockComparison, matrix: NDArray[np.float64], shape_a: tuple[int, ...], shape_b: tuple[int, ...]
) -> dict[str, str]:
    """Name what was done to the fine detail of each picture, if it became the copy: "blurred", "noise" or ""."""
    view, scale = comparison.view, abs(np.linalg.det(pixel_matrix(matrix, shape_a, shape_b)))
    if view is None or not comparison.agreeing.any() or not 0.7 < scale < 1.4:
        return {"a": "", "b": ""}  # the resampling of one of them would be seen
    use = view.inside & _pixels_of(comparison.agreeing, view.a.shape)
    return {"a": _sharpness(view.b, view.a, use), "b": _sharpness(view.a, view.b, use)}


def _sharpness(original: NDArray[np.float32], other: NDArray[np.float32], use: NDArray[np.bool_]) -> str:
    expected = map_levels(original, other, use)
    x, y = ((grey - ndimage.gaussian_filter(grey, 1.0, truncate=3))[use] for grey in (expected, other))
    power = float(np.mean(x * x)) + 0.3
    ratio = float(np.mean(x * y)) / power
    if ratio < 0.55:
        return "blurred"
    if 1.35 < ratio < 1.8:
        return "sharpened"
    if ratio >= 1.35 or grain(other) - grain(original) < NOISE:
        return ""
    # The median passes over the marks of JPEG, which lie along edges.
    return "noise" if float(np.median(np.abs(y - min(ratio, 1.0) * x))) / 0.6745 > NOISE else ""
