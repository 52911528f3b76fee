"""Reduction of a decoded picture to a small RGB picture, as a viewer would show it. Pillow only."""

import io
import warnings
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms

__all__ = ["NARROW", "reduce_picture", "robust_range", "stretch"]

_FILTER = Image.Resampling.BICUBIC
# Grounds on which pictures with transparency are shown: white, unless much of what is visible would be lost on it, as
# light drawings are. Colours are lost that differ from the ground by less than so much in every channel.
_WHITE, _BLACK, _GREY = 255, 0, 128
_LOST_LEVELS, _LOST_SHARE = 48, 0.05
# Part of the values that may lie below, and above, the range that is stretched: pixels of a sensor that are broken are
# fewer, and drawings that are smaller are none that a thumbnail shows.
_OUTLIERS = 0.005
_SAMPLE = 1 << 20
# 16-bit values are stretched if their range is a smaller part of all that there could be: 8 bits would have less than
# 32 levels of it. Photos and scans have more, and are as their copies of 8 bits are.
NARROW = 1 / 8
# What a fast reduction leaves for the bicubic filter: first whole pixels are averaged, down to so many times the size.
_GAP = 2.0


def reduce_picture(image: Image.Image, size: tuple[int, int], *, exact: bool = False) -> Image.Image:
    """Resize and convert to 8-bit RGB, without regard to the aspect ratio.

    Bicubic with antialiasing (Pillow widens the filter when it reduces). Unless `exact`, large pictures are averaged
    over whole pixels first (Pillow's `reducing_gap`), down to twice the size: half the time, and an MSE of 8 at the
    99th percentile of 198 photos. Modes are converted so:

    - 16-bit grey scales to 8 bits (v // 257), and so do 10 to 14 bits of a TIFF file, unless their range is less than
      an eighth of that: measurements are stretched.
    - 32-bit integers and floating point are stretched. The range that becomes 0 to 255 is that of the values from the
      0.5th to the 99.5th percentile, as single hot pixels must not set it; infinities go to the ends, and NaN is the
      smallest.
    - Pictures of 8 bits are never stretched: a dark one is shown dark.
    - A picture that is transparent all over is shown without transparency. Other transparency shows white, or black or
      grey where more than a twentieth of what is visible would be lost on white (see `_ground`). Colours are weighted
      by their opacity while they are averaged, so that blending afterwards is the same as before.
    - CMYK is converted by its embedded ICC profile, perceptually, and by Pillow's formula where there is none or it
      cannot be used (a warning tells); LAB as CIE L*a*b* (D50).
    - Profiles of RGB and grey pictures are *not* applied: most programs that make a copy keep the numbers and lose the
      profile, and such a copy must be found. A copy whose numbers were converted to another colour space may not be.

    Memory: besides the picture, a copy, or two of pictures with an alpha channel or a palette: up to 12 bytes a pixel.

    Parameters
    ----------
    image
        The picture, loaded.
    size
        Width and height of the result.
    exact
        Plain bicubic resizing of all pixels.

    Returns
    -------
    The small picture, in mode RGB.
    """
    gap = None if exact else _GAP
    profile = image.info.get("icc_profile")
    if image.mode.startswith("I;16") or (image.mode == "I" and image.format == "PPM"):
        image = _from_16_bits(image)
    elif image.mode in ("I", "F"):
        return _stretched(image, size)
    elif image.mode == "1":
        image = image.convert("L")
    if image.has_transparency_data:
        image = image if image.mode == "RGBA" else image.convert("RGBA")
        if image.getchannel("A").getextrema() not in ((255, 255), (0, 0)):
            small = image.convert("RGBa").resize(size, _FILTER, reducing_gap=gap).convert("RGBA")
            level = _ground(small)
            ground = Image.new("RGBA", size, (level, level, level, 255))
            return Image.alpha_composite(ground, small).convert("RGB")
        # nothing shows through: the same as without; or nothing would be seen, as where a program left alpha empty
        image = image.convert("RGB")
    if image.mode in ("CMYK", "LAB"):
        return _as_rgb(image.resize(size, _FILTER, reducing_gap=gap), profile)
    if image.mode not in ("L", "RGB"):
        image = image.convert("RGB")
    small = image.resize(size, _FILTER, reducing_gap=gap)
    return small if small.mode == "RGB" else small.convert("RGB")


def _from_16_bits(image: Image.Image) -> Image.Image:
    """Scale to 8 bits; `convert` would clip everything above 255 to white."""
    tags = getattr(image, "tag_v2", {})  # of TIFF (TIFF 6.0: 258 is bits per sample, 262 that 0 is white)
    bits = tags.get(258, (16,))[0]
    values = np.asarray(image)
    full = (1 << bits) - 1
    transparent = image.info.get("transparency")
    low, high = robust_range(values if transparent is None else values[values != transparent])
    if 0 < high - low < full * NARROW:
        small = stretch(values, low, high).astype(np.uint8)
    elif bits == 16:
        small = (values // 257).astype(np.uint8)
    else:
        small = np.minimum(np.rint(values * (255 / full)), 255).astype(np.uint8)
    if tags.get(262) == 0:
        small = 255 - small
    grey = Image.fromarray(small)
    if isinstance(transparent, int):
        grey.putalpha(Image.fromarray(np.where(values == transparent, 0, 255).astype(np.uint8)))
    return grey


def _stretched(image: Image.Image, size: tuple[int, int]) -> Image.Image:
    """Stretch 32-bit values, and reduce them; outliers are cut off first, as they would shine on their neighbours."""
    values = np.asarray(image)
    if image.mode == "I" and image.format == "TIFF" and image.tag_v2.get(339, (1,))[0] == 1:  # type: ignore[attr-defined]
        values = values.view(np.uint32)  # Pillow has no mode for it
    low, high = robust_range(values)
    small = Image.fromarray(stretch(values, low, high)).resize(size, _FILTER)
    return Image.fromarray(np.clip(np.rint(np.asarray(small)), 0, 255).astype(np.uint8)).convert("RGB")


def robust_range(values: NDArray[Any]) -> tuple[float, float]:
    """Give the range of finite values without outliers; all of it, if nearly all values are the same.

    A value that stands for no data, or for a pixel that is broken, does not set it: the smallest or the largest one, if
    it is farther from all others than they are from each other.
    """
    sample = values.reshape(-1)[:: max(values.size // _SAMPLE, 1)]
    sample = sample[np.isfinite(sample)]
    if not sample.size:
        return 0.0, 0.0
    for value in (sample.min(), sample.max()):
        others = sample[sample != value]
        if others.size > _OUTLIERS * sample.size:
            low, high = _quantiles(others)
            if 0 < high - low < max(float(others.min()) - float(value), float(value) - float(others.max())):
                sample = others
    low, high = _quantiles(sample)
    return (low, high) if low < high else (float(sample.min()), float(sample.max()))


def _quantiles(sample: NDArray[Any]) -> tuple[float, float]:
    low, high = np.quantile(sample, (_OUTLIERS, 1 - _OUTLIERS), method="nearest").tolist()
    return float(low), float(high)


def stretch(values: NDArray[Any], low: float, high: float) -> NDArray[np.float32]:
    """Scale a range to 0 to 255, and cut off what is beyond it."""
    cut = np.clip(np.nan_to_num(values, nan=low, posinf=high, neginf=low), low, high)
    return np.asarray((cut - low) * (255 / (high - low) if high > low else 0.0), np.float32)


def _ground(small: Image.Image) -> int:
    """Choose the level of grey behind a reduced picture with transparency, by the colours that it would hide.

    White, if at most a twentieth of the visible colours, weighted by their opacity, are close to it: so a copy that was
    flattened on white is found. Otherwise the one of black, white and grey that hides least.
    """
    values = np.asarray(small).astype(np.int16)
    colours, opacity = values[..., :3], values[..., 3].astype(np.float64)
    total = max(float(opacity.sum()), 1.0)

    def lost(level: int) -> float:
        return float(opacity[(abs(colours - level) < _LOST_LEVELS).all(axis=-1)].sum()) / total

    return _WHITE if lost(_WHITE) <= _LOST_SHARE else min((_BLACK, _WHITE, _GREY), key=lost)


def _as_rgb(small: Image.Image, profile: Any) -> Image.Image:
    """Convert CMYK or LAB."""
    try:
        if small.mode == "LAB":
            return _converted(small, _transform(b""))
        if profile:
            return _converted(small, _transform(profile))
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError) as error:
        warnings.warn(f"the colour profile cannot be used: {error}", stacklevel=2)
    return small.convert("RGB")


def _converted(small: Image.Image, transform: Any) -> Image.Image:
    converted = ImageCms.applyTransform(small, transform)
    assert converted is not None  # as nothing is done in place
    return converted


@lru_cache(maxsize=32)
def _transform(profile: bytes) -> Any:
    """Build the conversion to sRGB from a CMYK profile; an empty profile stands for LAB."""
    target = ImageCms.createProfile("sRGB")
    if not profile:
        return ImageCms.buildTransform(ImageCms.createProfile("LAB"), target, "LAB", "RGB")
    return ImageCms.buildTransform(ImageCms.ImageCmsProfile(io.BytesIO(profile)), target, "CMYK", "RGB")
