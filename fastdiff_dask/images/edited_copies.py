"""Edited copies of a picture, by kind: what people and programs do to pictures, for measuring what is found again."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageEnhance, ImageFilter, ImageFont, ImageOps

__all__ = ["KINDS", "PLAIN_KINDS", "EditKind", "make_edited_copy"]

_Edit = Callable[[Image.Image, np.random.Generator], Image.Image]


class EditKind(NamedTuple):
    """A kind of edited copies.

    Attributes
    ----------
    edit
        (picture in RGB, source of everything random) → the copy.
    plain
        The copy shows the same pixels as it is: only size, file format or quality differ, or a quarter turn.
    quality
        Quality of the copy as JPEG.
    """

    edit: _Edit
    plain: bool = False
    quality: int = 90


def make_edited_copy(picture: Image.Image, kind: str, seed: int = 0) -> Image.Image:
    """Make an edited copy.

    Parameters
    ----------
    picture
        The original, in any mode; transparency is dropped.
    kind
        A name of `KINDS`.
    seed
        Seed of what is random in the kind: places, angles, noise.

    Returns
    -------
    The copy, in RGB.

    Examples
    --------
    >>> make_edited_copy(Image.new("RGB", (100, 80)), "square crop").size
    (80, 80)
    """
    return KINDS[kind].edit(picture.convert("RGB"), np.random.default_rng(seed))


def _resized(share: float) -> _Edit:
    def edit(picture: Image.Image, rng: np.random.Generator) -> Image.Image:
        size = (max(1, round(picture.width * share)), max(1, round(picture.height * share)))
        return picture.resize(size, Image.Resampling.LANCZOS)

    return edit


def _cropped(share: float) -> _Edit:
    """Cut so much of the width and of the height away, at a random place."""

    def edit(picture: Image.Image, rng: np.random.Generator) -> Image.Image:
        width, height = round(picture.width * (1 - share)), round(picture.height * (1 - share))
        left, top = int(rng.integers(picture.width - width + 1)), int(rng.integers(picture.height - height + 1))
        return picture.crop((left, top, left + width, top + height))

    return edit


def _square(picture: Image.Image, rng: np.random.Generator) -> Image.Image:
    side = min(picture.size)
    left, top = (picture.width - side) // 2, (picture.height - side) // 2
    return picture.crop((left, top, left + side, top + side))


def _bordered(picture: Image.Image, rng: np.random.Generator) -> Image.Image:
    return ImageOps.expand(picture, round(0.06 * max(picture.size)), (255, 255, 255))


def _letterboxed(picture: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Add black bars at two sides, up to a picture that is a third longer."""
    width, height = picture.size
    size = (width, round(height * 4 / 3)) if width >= height else (round(width * 4 / 3), height)
    return ImageOps.pad(picture, size, color=(0, 0, 0))


def _turned(degrees: float) -> _Edit:
    """Turn by a small angle, and cut the largest upright part of the same shape."""

    def edit(picture: Image.Image, rng: np.random.Generator) -> Image.Image:
        angle = degrees * (1 if rng.integers(2) else -1)
        turned = picture.rotate(angle, Image.Resampling.BICUBIC)
        sine, cosine = np.sin(np.radians(degrees)), np.cos(np.radians(degrees))
        width, height = picture.size
        share = min(width / (width * cosine + height * sine), height / (height * cosine + width * sine))
        inner = (round(width * share), round(height * share))
        left, top = (width - inner[0]) // 2, (height - inner[1]) // 2
        return turned.crop((left, top, left + inner[0], top + inner[1]))

    return edit


def _levels(change: Callable[[NDArray[np.float64]], NDArray[np.float64]]) -> _Edit:
    """Change levels from 0 to 1 by a function."""

    def edit(picture: Image.Image, rng: np.random.Generator) -> Image.Image:
        table = np.clip(np.rint(change(np.arange(256) / 255) * 255), 0, 255).astype(int).tolist()
        return picture.point(table * 3)

    return edit


def _sepia(picture: Image.Image, rng: np.random.Generator) -> Image.Image:
    return ImageOps.colorize(picture.convert("L"), (32, 16, 0), (255, 240, 192))


def _shifted_hue(picture: Image.Image, rng: np.random.Generator) -> Image.Image:
    hue, saturation, value = picture.convert("HSV").split()
    shift = 20 * (1 if rng.integers(2) else -1)
    hue = hue.point([(level + shift) % 256 for level in range(256)])
    return Image.merge("HSV", (hue, saturation, value)).convert("RGB")


def _noisy(picture: Image.Image, rng: np.random.Generator) -> Image.Image:
    pixels = np.asarray(picture, np.float32)
    return Image.fromarray(np.clip(np.rint(pixels + rng.normal(0, 12, pixels.shape)), 0, 255).astype(np.uint8))


def _blurred(picture: Image.Image, rng: np.random.Generator) -> Image.Image:
    return picture.filter(ImageFilter.GaussianBlur(max(picture.size) / 250))


def _font(height: float) -> ImageFont.ImageFont | ImageFont.FreeTypeFont:
    return ImageFont.load_default(max(8, round(height)))


def _watermarked(picture: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Write half transparent words across the middle."""
    over = Image.new("RGBA", picture.size)
    place = (picture.width / 2, picture.height / 2)
    ImageDraw.Draw(over).text(place, "SAMPLE", (255, 255, 255, 110), _font(picture.width / 5), anchor="mm")
    return Image.alpha_composite(picture.convert("RGBA"), over).convert("RGB")


def _captioned(picture: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Lay a band with a line of text over the lowest sixth."""
    copy = picture.copy()
    draw, top = ImageDraw.Draw(copy), round(picture.height * 5 / 6)
    draw.rectangle((0, top, picture.width, picture.height), (255, 255, 255))
    middle = (picture.width / 2, (top + picture.height) / 2)
    draw.text(middle, "a day to remember", (0, 0, 0), _font(picture.height / 12), anchor="mm")
    return copy


def _on_a_screen(picture: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Show the picture in a viewer: a dark window with a bar at the top and one at the bottom."""
    width = max(round(picture.width * 1.15), round(picture.height * 1.15 * 16 / 9))
    height = round(width * 9 / 16)
    screen = Image.new("RGB", (width, height), (32, 32, 32))
    draw, bar = ImageDraw.Draw(screen), round(height * 0.06)
    draw.rectangle((0, 0, width, bar), (224, 224, 224))
    draw.rectangle((0, height - bar, width, height), (64, 64, 64))
    draw.text((bar, bar / 2), "IMG_2041.jpg - Viewer", (0, 0, 0), _font(bar * 0.6), anchor="lm")
    room = (width, height - 2 * bar)
    shown = ImageOps.contain(picture, room, Image.Resampling.LANCZOS)
    screen.paste(shown, ((width - shown.width) // 2, bar + (room[1] - shown.height) // 2))
    return screen


def _unchanged(picture: Image.Image, rng: np.random.Generator) -> Image.Image:
    return picture


# By name. Shares and angles are those that reports of users name.
KINDS: dict[str, EditKind] = {
    "recompressed": EditKind(_unchanged, plain=True, quality=50),
    "half size": EditKind(_resized(0.5), plain=True),
    "enlarged": EditKind(_resized(1.5), plain=True),
    "rotated": EditKind(lambda picture, rng: picture.transpose(Image.Transpose.ROTATE_90), plain=True),
    "mirrored": EditKind(lambda picture, rng: ImageOps.mirror(picture)),
    "brighter": EditKind(_levels(lambda x: 1.2 * x)),
    "darker": EditKind(_levels(lambda x: 0.75 * x)),
    "contrast": EditKind(_levels(lambda x: (x - 0.5) * 1.3 + 0.5)),
    "gamma": EditKind(_levels(lambda x: x**0.7)),
    "grey": EditKind(lambda picture, rng: picture.convert("L").convert("RGB")),
    "sepia": EditKind(_sepia),
    "hue": EditKind(_shifted_hue),
    "saturated": EditKind(lambda picture, rng: ImageEnhance.Color(picture).enhance(1.6)),
    "blurred": EditKind(_blurred),
    "noisy": EditKind(_noisy),
    "border": EditKind(_bordered),
    "letterbox": EditKind(_letterboxed),
    "square crop": EditKind(_square),
    "crop 5": EditKind(_cropped(0.05)),
    "crop 10": EditKind(_cropped(0.1)),
    "crop 20": EditKind(_cropped(0.2)),
    "turned 3": EditKind(_turned(3)),
    "watermark": EditKind(_watermarked),
    "caption": EditKind(_captioned),
    "screenshot": EditKind(_on_a_screen),
}
PLAIN_KINDS = tuple(name for name, kind in KINDS.items() if kind.plain)
