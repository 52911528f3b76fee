"""Drawn scenes that look like photos: sky, clouds, hills, water, houses, trees and flowers, another one each time."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

__all__ = ["draw_scene"]

_Colour = NDArray[np.float32]
# Pixels up to which shapes are drawn at twice the size, so that their edges are smooth.
_SMOOTH = 400_000


class _Light(NamedTuple):
    """Colours of a time of day: sky above and at the horizon, land, and how much light there is."""

    above: tuple[int, int, int]
    horizon: tuple[int, int, int]
    land: tuple[int, int, int]
    bright: float


_LIGHTS = (
    _Light((40, 100, 190), (190, 215, 235), (70, 110, 50), 1.0),  # a clear day
    _Light((120, 135, 150), (205, 208, 210), (90, 105, 70), 0.85),  # an overcast one
    _Light((70, 60, 120), (250, 160, 90), (70, 60, 45), 0.75),  # evening
    _Light((150, 150, 200), (255, 205, 190), (95, 95, 80), 0.9),  # morning
    _Light((8, 14, 40), (40, 50, 90), (18, 24, 30), 0.45),  # night
    _Light((95, 150, 205), (235, 240, 245), (225, 230, 238), 1.0),  # snow
    _Light((60, 130, 200), (230, 215, 180), (205, 165, 105), 1.0),  # a desert
    _Light((60, 90, 110), (140, 160, 150), (40, 70, 45), 0.6),  # rain
)


def draw_scene(rng: np.random.Generator, width: int, height: int) -> Image.Image:
    """Draw a scene.

    Parameters
    ----------
    rng
        Source of everything random.
    width, height
        Size in pixels.

    Returns
    -------
    The picture, in RGB.

    Examples
    --------
    >>> draw_scene(np.random.default_rng(0), 40, 30).size
    (40, 30)
    """
    scale = 2 if width * height <= _SMOOTH else 1
    size = (max(width * scale, 32), max(height * scale, 32))
    light = _LIGHTS[rng.integers(len(_LIGHTS))]
    if rng.random() < 0.2:
        pixels = _flower(rng, size, light)
    else:
        horizon = rng.uniform(0.3, 0.75)
        pixels = _sky(rng, size, light, horizon)
        _hills(rng, pixels, light, horizon)
        ground = rng.choice(["water", "field", "street", "wood"])
        {"water": _water, "field": _field, "street": _street, "wood": _wood}[ground](rng, pixels, light, horizon)
    image = Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8)).resize((width, height), Image.Resampling.BOX)
    # a lens is not sharper, and a very small picture keeps nothing fine when it is saved again
    image = image.filter(ImageFilter.GaussianBlur(0.5 + 40 / max(width, height)))
    return _exposed(rng, np.asarray(image, np.float32))


def _noise(rng: np.random.Generator, size: tuple[int, int], cells: tuple[int, ...], flat: float = 1.0) -> _Colour:
    """Make smooth noise, (height, width) from 0 to 1: octaves of random grids, weighted by their scale."""
    total = np.zeros(size[::-1], np.float32)
    for number in cells:
        grid = rng.random((max(1, round(number * flat)), number), dtype=np.float32)
        large = Image.fromarray(grid).resize(size, Image.Resampling.BICUBIC)
        total += np.asarray(large, np.float32) / number
    total -= total.min()
    peak = float(total.max())
    return (total / peak if peak else total).astype(np.float32)


def _varied(rng: np.random.Generator, colour: tuple[int, int, int], by: float = 25) -> _Colour:
    return np.clip(np.array(colour, np.float32) + rng.uniform(-by, by, 3), 0, 255).astype(np.float32)


def _sky(rng: np.random.Generator, size: tuple[int, int], light: _Light, horizon: float) -> _Colour:
    """Fill the picture with a sky that grows paler towards the horizon, with clouds, and the sun or the moon."""
    width, height = size
    down = np.clip(np.arange(height, dtype=np.float32) / (horizon * height), 0, 1)[:, None, None] ** rng.uniform(
        0.6, 1.6
    )
    sky = _varied(rng, light.above) * (1 - down) + _varied(rng, light.horizon) * down
    pixels = np.broadcast_to(sky, (height, width, 3)).astype(np.float32)
    x, y, radius = rng.uniform(0, 1) * width, rng.uniform(0.05, 0.9) * horizon * height, rng.uniform(0.02, 0.07) * width
    columns, rows = np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32)
    away = np.hypot(columns[None, :] - x, rows[:, None] - y) / radius
    glow = np.clip(1.15 - away, 0, 0.3) / 0.3 + rng.uniform(0.2, 0.6) * np.exp(-away / rng.uniform(1.5, 5))
    pixels += np.clip(glow, 0, 1)[..., None] * (np.array([255, 245, 215], np.float32) - pixels)
    covered = rng.uniform(0.3, 0.85)
    clouds = np.clip((_noise(rng, size, (3, 6, 12, 24), flat=1.6) - covered) / 0.25, 0, 1)[..., None]
    white = _varied(rng, (240, 238, 240)) * (0.35 + 0.65 * light.bright)
    return pixels + clouds * rng.uniform(0.5, 0.95) * (white - pixels)


def _ridge(rng: np.random.Generator, width: int, rough: float) -> _Colour:
    """Make a line of hills, (width,) from 0 to 1."""
    line = np.zeros(width, np.float32)
    at = np.linspace(0, 1, width)
    for number in (3, 5, 9, 17, 33, 65):
        line += np.interp(at, np.linspace(0, 1, number), rng.random(number)) * number ** (-1.6 + rough)
    return (line - line.min()) / max(float(np.ptp(line)), 1e-6)


def _hills(rng: np.random.Generator, pixels: _Colour, light: _Light, horizon: float) -> None:
    """Draw some ranges of hills, the far ones in the colour of the air."""
    height, width, _ = pixels.shape
    number = int(rng.integers(1, 5))
    air = _varied(rng, light.horizon, 10)
    for place in range(number):
        near = (place + 1) / (number + 0.3)
        high = rng.uniform(0.06, 0.4) * (1.2 - near)
        top = horizon - high * _ridge(rng, width, rng.uniform(0, 0.8)) + 0.03 * near
        colour = air * (1 - near) + _varied(rng, light.land, 18) * near
        below = np.arange(height, dtype=np.float32)[:, None] >= (top * height)[None, :]
        shade = 0.85 + 0.3 * _noise(rng, (width, height), (5, 11, 23))
        pixels[below] = (colour * shade[..., None])[below]


def _water(rng: np.random.Generator, pixels: _Colour, light: _Light, horizon: float) -> None:
    """Mirror in the water what is above the horizon, with waves; maybe a boat."""
    height, width, _ = pixels.shape
    line = min(round(horizon * height) + 1, height - 1)
    rows = np.arange(height - line)
    waves = (rng.uniform(0.5, 3) * np.sin(rows / rng.uniform(1.0, 4.0) * 3) * (1 + rows / max(line, 1) * 4)).astype(int)
    source = np.clip(line - 1 - np.abs(rows * line // max(len(rows), 1) + waves), 0, height - 1)
    deep = _varied(rng, light.above, 30) * 0.6
    mirror = rng.uniform(0.4, 0.75)
    pixels[line:] = pixels[source] * mirror + deep * (1 - mirror)
    ripples = _noise(rng, (width, height - line), (9, 21, 45), flat=3.0)
    pixels[line:] *= (0.8 + 0.4 * ripples)[..., None]
    if rng.random() < 0.6:
        _boat(rng, pixels, line)


def _boat(rng: np.random.Generator, pixels: _Colour, line: int) -> None:
    height, width, _ = pixels.shape
    length = rng.uniform(0.06, 0.22) * width
    x, y = rng.uniform(0.1, 0.9) * width, line + rng.uniform(0.05, 0.5) * (height - line)
    image, draw = _canvas(pixels)
    hull = [
        (x - length / 2, y),
        (x + length / 2, y),
        (x + length / 3, y + length / 6),
        (x - length / 3, y + length / 6),
    ]
    draw.polygon(hull, fill=_rgb(_varied(rng, (120, 60, 50), 60)))
    draw.polygon(
        [(x, y - length * 0.9), (x, y - 2), (x + length * 0.4, y - 2)], fill=_rgb(_varied(rng, (235, 230, 225), 20))
    )
    pixels[:] = np.asarray(image, np.float32)


def _field(rng: np.random.Generator, pixels: _Colour, light: _Light, horizon: float) -> None:
    """Cover the ground with grass, with a path and some trees and dots of flowers."""
    height, width, _ = pixels.shape
    ridge = horizon + 0.05 * _ridge(rng, width, 0.1)
    below = np.arange(height, dtype=np.float32)[:, None] >= (ridge * height)[None, :]
    grass = 0.6 + 0.8 * _noise(rng, (width, height), (7, 19, 61), flat=2.0)
    down = np.linspace(0, 1, height, dtype=np.float32)[:, None]
    colour = _varied(rng, light.land, 30) * (0.75 + 0.5 * down)[..., None] * grass[..., None]
    pixels[below] = colour[below]
    image, draw = _canvas(pixels)
    top, bottom = rng.uniform(0.2, 0.8) * width, rng.uniform(-0.2, 1.2) * width
    wide = rng.uniform(0.05, 0.3) * width
    if rng.random() < 0.6:
        draw.polygon(
            [
                (top, (horizon + 0.04) * height),
                (top + 3, (horizon + 0.04) * height),
                (bottom + wide, height),
                (bottom, height),
            ],
            fill=_rgb(_varied(rng, (170, 150, 120), 25) * light.bright),
        )
    for _ in range(int(rng.integers(0, 7))):
        y = rng.uniform(horizon + 0.04, 0.95)
        _tree(
            rng, draw, (rng.uniform(0, width), y * height), (y - horizon + 0.15) * height * rng.uniform(0.5, 1.2), light
        )
    dot, petals = max(1, width // 150), _rgb(_varied(rng, (230, 120, 140), 90) * light.bright)
    for x, y in rng.random((int(rng.integers(0, 150)), 2)) * (width, height):
        if y > (horizon + 0.08) * height:
            draw.ellipse((x, y, x + dot * 2, y + dot * 2), fill=petals)
    pixels[:] = np.asarray(image, np.float32)


def _tree(
    rng: np.random.Generator, draw: ImageDraw.ImageDraw, foot: tuple[float, float], high: float, light: _Light
) -> None:
    """Draw a tree: a fir of some layers, or a crown of many leaves, darker below."""
    x, y = foot
    dim = 0.35 + 0.65 * light.bright
    trunk = high * 0.05
    draw.rectangle((x - trunk, y - high * 0.5, x + trunk, y), fill=_rgb(_varied(rng, (80, 60, 45), 12) * dim))
    green = _varied(rng, (50, 95, 45), 25) * dim
    if rng.random() < 0.5:
        for layer in range(5):
            low, half = y - high * (0.12 + 0.16 * layer), high * (0.26 - 0.045 * layer)
            draw.polygon(
                [(x - half, low), (x + half, low), (x, low - high * 0.3)], fill=_rgb(green * (0.8 + 0.1 * layer))
            )
        return
    for _ in range(45):
        angle, far = rng.uniform(0, 2 * np.pi), high * 0.3 * np.sqrt(rng.random())
        cx, cy, r = x + far * np.cos(angle), y - high * 0.68 + far * np.sin(angle), high * rng.uniform(0.05, 0.12)
        draw.ellipse((cx - r, cy - r, cx + r, cy + r), fill=_rgb(green * (1.05 - 0.8 * np.sin(angle) * far / high)))


def _wood(rng: np.random.Generator, pixels: _Colour, light: _Light, horizon: float) -> None:
    """Draw rows of trees, near ones larger."""
    _field(rng, pixels, light, horizon)
    height, width, _ = pixels.shape
    image, draw = _canvas(pixels)
    dense = rng.uniform(0.1, 0.9, 4)  # some places have more trees than others
    for depth in np.sort(rng.random(int(rng.integers(12, 40)))):
        x = (rng.choice(4, p=dense / dense.sum()) + rng.random()) / 4 * width
        _tree(
            rng, draw, (x, (horizon + 0.03 + depth * (0.95 - horizon)) * height), height * (0.15 + 0.45 * depth), light
        )
    pixels[:] = np.asarray(image, np.float32)


def _street(rng: np.random.Generator, pixels: _Colour, light: _Light, horizon: float) -> None:
    """Draw houses with windows on a street; at night some windows are lit."""
    height, width, _ = pixels.shape
    image, draw = _canvas(pixels)
    foot = min(0.95, horizon + rng.uniform(0.05, 0.25)) * height
    draw.rectangle((0, horizon * height, width, height), fill=_rgb(_varied(rng, (110, 108, 105), 25) * light.bright))
    x = -rng.uniform(0, 0.1) * width
    while x < width:
        wide, high = rng.uniform(0.08, 0.28) * width, rng.uniform(0.15, 0.75) * height
        if rng.random() < 0.85:
            _house(rng, draw, (x, foot - high, x + wide, foot), light)
        else:
            _tree(rng, draw, (x + wide / 2, foot), high * 0.6, light)
        x += wide * rng.uniform(0.95, 1.25)
    for _ in range(int(rng.integers(0, 4))):
        cx, long = rng.uniform(0, width), rng.uniform(0.08, 0.16) * width
        cy = rng.uniform(min(foot / height + 0.03, 0.97), 0.98) * height
        paint = _rgb(_varied(rng, (140, 90, 90), 90) * light.bright)
        draw.rounded_rectangle((cx, cy - long * 0.3, cx + long, cy), radius=long * 0.08, fill=paint)
        draw.rounded_rectangle(
            (cx + long * 0.2, cy - long * 0.5, cx + long * 0.8, cy - long * 0.2), long * 0.1, fill=paint
        )
        for wheel in (0.22, 0.78):
            r = long * 0.1
            draw.ellipse((cx + wheel * long - r, cy - r, cx + wheel * long + r, cy + r), fill=(25, 25, 28))
    pixels[:] = np.asarray(image, np.float32)


def _house(
    rng: np.random.Generator, draw: ImageDraw.ImageDraw, box: tuple[float, float, float, float], light: _Light
) -> None:
    left, top, right, bottom = box
    dim = 0.3 + 0.7 * light.bright
    draw.rectangle(box, fill=_rgb(_varied(rng, (185, 160, 140), 60) * dim))
    if rng.random() < 0.6:
        peak = top - rng.uniform(0.15, 0.5) * (right - left)
        draw.polygon(
            [(left, top), (right, top), ((left + right) / 2, peak)], fill=_rgb(_varied(rng, (130, 70, 55), 35) * dim)
        )
    across, floors = int(rng.integers(2, 5)), int(rng.integers(2, 7))
    glass, lamp = _rgb(_varied(rng, (70, 85, 105), 25) * dim), (250, 215, 130)
    lit = 0.5 if light.bright < 0.5 else 0.05
    w, h = (right - left) / across, (bottom - top) / floors
    for column in range(across):
        for floor in range(floors):
            x, y = left + (column + 0.25) * w, top + (floor + 0.25) * h
            draw.rectangle((x, y, x + w * 0.5, y + h * 0.5), fill=lamp if rng.random() < lit else glass)


def _flower(rng: np.random.Generator, size: tuple[int, int], light: _Light) -> _Colour:
    """Draw flowers from near, before a ground that is out of focus."""
    width, height = size
    ground = _noise(rng, size, (2, 4, 7))[..., None]
    pixels = _varied(rng, (45, 75, 40), 40) * (1 - ground) + _varied(rng, (150, 165, 110), 60) * ground
    image, draw = _canvas(pixels.astype(np.float32))
    for _ in range(int(rng.integers(1, 5))):
        x, y = rng.uniform(0.1, 0.9) * width, rng.uniform(0.1, 0.75) * height
        r = rng.uniform(0.12, 0.4) * min(width, height)
        stem = _rgb(_varied(rng, (60, 110, 50), 20))
        draw.line((x, y, x + rng.uniform(-0.15, 0.15) * width, height), fill=stem, width=max(2, int(r * 0.08)))
        colour, petals, turn = _varied(rng, (200, 120, 150), 100), int(rng.integers(5, 14)), rng.uniform(0, 6.3)
        for ring, share in enumerate((1.0, 0.75)):
            for petal in range(petals):
                angle = turn + (petal + 0.5 * ring) * 2 * np.pi / petals
                cx, cy, half = (
                    x + np.cos(angle) * r * 0.6 * share,
                    y + np.sin(angle) * r * 0.6 * share,
                    r * 0.36 * share,
                )
                fill = _rgb(colour * (0.75 + 0.2 * ring + 0.12 * np.cos(angle)))
                draw.ellipse((cx - half, cy - half, cx + half, cy + half), fill=fill)
        heart = r * rng.uniform(0.2, 0.35)
        draw.ellipse((x - heart, y - heart, x + heart, y + heart), fill=_rgb(_varied(rng, (210, 165, 50), 40)))
    blurred = image.filter(ImageFilter.GaussianBlur(width / 400))
    return np.asarray(blurred, np.float32) * (0.5 + 0.5 * light.bright)


def _canvas(pixels: _Colour) -> tuple[Image.Image, ImageDraw.ImageDraw]:
    image = Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))
    return image, ImageDraw.Draw(image)


def _rgb(colour: _Colour) -> tuple[int, int, int]:
    red, green, blue = np.clip(colour, 0, 255).astype(int).tolist()
    return red, green, blue


def _exposed(rng: np.random.Generator, pixels: _Colour) -> Image.Image:
    """Finish a picture as a camera does: light that falls off to the corners, contrast, white balance, and grain."""
    height, width, _ = pixels.shape
    x, y = np.linspace(-1, 1, width, dtype=np.float32), np.linspace(-1, 1, height, dtype=np.float32)
    corner = 1 - rng.uniform(0.05, 0.3) * (x[None, :] ** 2 + y[:, None] ** 2)[..., None] / 2
    balance = rng.uniform(0.92, 1.08, 3).astype(np.float32)
    middle, contrast = float(pixels.mean()), rng.uniform(0.9, 1.25)
    shown: NDArray[np.floating] = ((pixels - middle) * contrast + middle + rng.uniform(-12, 12)) * balance * corner
    shown = shown + rng.normal(0, rng.uniform(0.8, 2.2), (height, width, 1)).astype(np.float32)
    return Image.fromarray(np.clip(np.rint(shown), 0, 255).astype(np.uint8))
