"""Originals and copies of them in many ways, made of photos; neither names nor times nor places tell which is which."""

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image, ImageEnhance, ImageFilter

__all__ = ["KINDS", "make_copies"]

Rng = np.random.Generator
_TIME, _LEAST_SIDE = 1_700_000_000, 300
_SCALING = [Image.Resampling(n) for n in (0, 1, 2, 3)]
_TURNS = [Image.Transpose(n) for n in (2, 3, 4)]


def _some(rng: Rng, *values):
    return values[rng.integers(len(values))]


def _scaled(image: Image.Image, factor: float, rng: Rng) -> Image.Image:
    return image.resize((round(image.width * factor), round(image.height * factor)), _some(rng, *_SCALING))


def _enlarged(image: Image.Image, rng: Rng) -> Image.Image:
    return _scaled(image, _some(rng, 1.25, 1.5, 2, 3), rng)


def _reduced(image: Image.Image, rng: Rng) -> Image.Image:
    return _scaled(image, _some(rng, 0.8, 0.66, 0.5), rng)


def _plain(image: Image.Image, rng: Rng) -> Image.Image:
    return image


def _turned(image: Image.Image, rng: Rng) -> Image.Image:
    return image.transpose(_some(rng, *_TURNS))


def _brightened(image: Image.Image, rng: Rng) -> Image.Image:
    return ImageEnhance.Brightness(image).enhance(_some(rng, 0.9, 1.1, 1.15))


def _grey(image: Image.Image, rng: Rng) -> Image.Image:
    return image.convert("L")


def _sharpened(image: Image.Image, rng: Rng) -> Image.Image:
    return ImageEnhance.Sharpness(image).enhance(_some(rng, 1.5, 2))


def _blurred(image: Image.Image, rng: Rng) -> Image.Image:
    return image.filter(ImageFilter.GaussianBlur(0.7))


# Kind → format and qualities of the original, the change, format and qualities of the copy.
KINDS: dict[str, tuple[str, tuple[int, ...], Callable[[Image.Image, Rng], Image.Image], str, tuple[int, ...]]] = {
    "enlarged": ("JPEG", (75, 80, 85, 90, 95), _enlarged, "JPEG", (70, 80, 90, 95)),
    "enlarged to PNG": ("JPEG", (75, 80, 85, 90, 95), _enlarged, "PNG", (0,)),
    "reduced": ("JPEG", (75, 80, 85, 90, 95), _reduced, "JPEG", (70, 80, 90, 95)),
    "higher quality": ("JPEG", (75, 80, 85, 90), _plain, "JPEG", (95, 97)),
    "little higher quality": ("JPEG", (85, 90, 92), _plain, "JPEG", (93, 94)),
    "lower quality": ("JPEG", (85, 90, 95), _plain, "JPEG", (70, 75, 80)),
    "to PNG": ("JPEG", (75, 85, 95), _plain, "PNG", (0,)),
    "from PNG": ("PNG", (0,), _plain, "JPEG", (80, 90, 95)),
    "to WebP": ("JPEG", (75, 80, 85, 90), _plain, "WEBP", (70, 80, 90, 95)),
    "from WebP": ("WEBP", (75, 80, 85, 90), _plain, "JPEG", (70, 80, 90, 95)),
    "turned": ("JPEG", (75, 80, 85, 90), _turned, "JPEG", (70, 80, 90, 95)),
    "brightened": ("JPEG", (75, 80, 85, 90), _brightened, "JPEG", (70, 80, 90, 95)),
    "grey": ("JPEG", (75, 80, 85, 90), _grey, "JPEG", (70, 80, 90, 95)),
    "sharpened": ("JPEG", (75, 80, 85, 90), _sharpened, "JPEG", (70, 80, 90, 95)),
    "blurred": ("JPEG", (75, 80, 85, 90), _blurred, "JPEG", (70, 80, 90, 95)),
}


def make_copies(
    photos: list[Path], folder: Path, kind: str, count: int, seed: int = 0, noted: bool = False
) -> list[tuple[Path, Path]]:
    """Write originals and a copy of each.

    The photos were in JPEG files before, so they are reduced a little first. Both files of a pair have the same camera,
    or, unless `noted`, no notes.
    """
    form, qualities, change, copy_form, copy_qualities = KINDS[kind]
    rng = np.random.default_rng([seed, *kind.encode()])
    found = []
    for photo in rng.permutation(np.array(photos, object)):
        with Image.open(photo) as file:
            picture = file.convert("RGB")
        if min(picture.size) < _LEAST_SIDE:
            continue
        number = len(found)
        if number == count:
            break
        picture = picture.resize((picture.width * 4 // 5, picture.height * 4 // 5), Image.Resampling.LANCZOS)
        first, second = rng.permutation(["a", "b"]) if number % 2 else rng.permutation(["b", "a"])
        original = _written(picture, folder / first / f"{kind} {number}", form, _some(rng, *qualities), noted)
        with Image.open(original) as file:
            copied = change(file.convert("RGB"), rng)
        copy = _written(copied, folder / second / f"{kind} {number}", copy_form, _some(rng, *copy_qualities), noted)
        found.append((original, copy))
    return found


def _written(picture: Image.Image, stem: Path, form: str, quality: int, noted: bool) -> Path:
    path = stem.with_name(f"{stem.name}.{ {'JPEG': 'jpg', 'PNG': 'png', 'WEBP': 'webp'}[form] }")
    path.parent.mkdir(parents=True, exist_ok=True)
    exif = Image.Exif()
    exif[271] = "Canon"
    options = {"exif": exif} if noted else {}
    picture.save(path, form, quality=quality, **options)
    os.utime(path, (_TIME, _TIME))
    return path
