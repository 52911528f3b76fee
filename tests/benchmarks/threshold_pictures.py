"""Draw the picture of the guide that shows copies at several differences (MSE): ``threshold_pictures.py FILE.png``.

The pictures are simulated, so that anybody may have them. Each copy is changed as strongly as its difference asks for,
and the numbers in the picture are those that the package finds for the files.
"""

import argparse
import io
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw, ImageEnhance, ImageFont

import fastdiff_dask as fd
from fastdiff_dask.images.resize import reduce_picture
from fastdiff_dask.testing import simulate_images

_WIDTH, _HEIGHT = 640, 480
_SHOWN, _GAP, _TEXT = (300, 225), 12, 52
_COLUMNS = 4
_SEED, _SCENE, _OTHER = 0, 10, 7  # of the pictures that `simulate_images` makes


def _encoded(picture: Image.Image, quality: int = 92) -> Image.Image:
    file = io.BytesIO()
    picture.save(file, format="JPEG", quality=quality)
    return Image.open(file).convert("RGB")


def _smaller(picture: Image.Image, strength: float) -> Image.Image:
    return _encoded(picture.resize((round(_WIDTH / strength), round(_HEIGHT / strength)), Image.Resampling.BOX), 70)


def _compressed(picture: Image.Image, strength: float) -> Image.Image:
    return _encoded(picture, round(strength))


def _brighter(picture: Image.Image, strength: float) -> Image.Image:
    return _encoded(ImageEnhance.Brightness(picture).enhance(1 + strength / 100))


def _cropped(picture: Image.Image, strength: float) -> Image.Image:
    left, top = round(_WIDTH * strength / 100), round(_HEIGHT * strength / 100)
    return _encoded(picture.crop((left, top, _WIDTH - left, _HEIGHT - top)))


class _Change(NamedTuple):
    """A change, its text, and the weakest and strongest that is tried to come to a difference."""

    difference: float
    text: str
    change: Callable[[Image.Image, float], Image.Image]
    strengths: tuple[float, float]


_CHANGES = (
    _Change(10, "smaller by {:.1f}, and saved again", _smaller, (1.2, 12)),
    _Change(50, "saved as JPEG of quality {:.0f}", _compressed, (1, 90)),
    _Change(200, "{:.0f} % brighter", _brighter, (0.5, 40)),
    _Change(1000, "{:.1f} % cut off each side", _cropped, (0.2, 12)),
    _Change(3000, "{:.1f} % cut off each side", _cropped, (0.2, 24)),
)


def _difference(a: Image.Image, b: Image.Image) -> float:
    first, second = (np.asarray(reduce_picture(one, (64, 64)), np.float64) for one in (a, b))
    return float(((first - second) ** 2).sum() / 64**2)


def _changed(picture: Image.Image, change: _Change) -> tuple[Image.Image, str]:
    """Find the strength whose difference is nearest to the one asked for, and not above it."""
    best: tuple[float, Image.Image, str] | None = None
    for strength in np.linspace(*change.strengths, 90):
        copy = change.change(picture, float(strength))
        found = _difference(picture, copy)
        if found <= change.difference and (best is None or found > best[0]):
            best = found, copy, change.text.format(strength)
    assert best is not None
    return best[1], best[2]


def draw(path: Path) -> list[tuple[float, str]]:
    """Draw the picture; gives the difference of each copy from the first picture, and what was done to it."""
    with tempfile.TemporaryDirectory() as folder:
        made = simulate_images(folder, images=max(_SCENE, _OTHER) + 1, duplicates=0, size=(_WIDTH, _HEIGHT), seed=_SEED)
        original, other = (Image.open(made.originals[number]).convert("RGB") for number in (_SCENE, _OTHER))
    copies = [(original, "saved as PNG"), *(_changed(original, change) for change in _CHANGES)]
    pictures = [(original, "the picture"), *copies, (other, "another picture")]
    with tempfile.TemporaryDirectory() as folder:
        pictures_in = Path(folder, "pictures")
        pictures_in.mkdir()
        for number, (picture, _) in enumerate(pictures):
            picture.save(pictures_in / f"{number}.png")  # what its own format did to it has happened above
        with fd.FastDifPy(pictures_in, store=f"{folder}/store", verbose=False) as db:
            db.index_the_dirs()
            db.first_loop_iteration()
            differences = db.mse(rotations=False)[0].compute()
    rows = [(float(one), text) for one, (_, text) in zip(differences, pictures, strict=True)][1:]
    _sheet(pictures, [None, *(one for one, _ in rows)]).save(path, optimize=True)
    return rows


def _sheet(pictures: list[tuple[Image.Image, str]], differences: list[float | None]) -> Image.Image:
    """Put the pictures side by side, with a line or two below each."""
    width, height = _SHOWN[0] + _GAP, _SHOWN[1] + _TEXT + _GAP
    size = (_COLUMNS * width + _GAP, -(-len(pictures) // _COLUMNS) * height + _GAP)
    sheet = Image.new("RGB", size, "white")
    pen, font, large = ImageDraw.Draw(sheet), ImageFont.load_default(17), ImageFont.load_default(22)
    for number, ((picture, text), difference) in enumerate(zip(pictures, differences, strict=True)):
        left, top = _GAP + number % _COLUMNS * width, _GAP + number // _COLUMNS * height
        sheet.paste(picture.resize(_SHOWN, Image.Resampling.LANCZOS), (left, top))
        below = top + _SHOWN[1] + 2
        if difference is None:
            pen.text((left, below), text, "black", large)
        else:
            pen.text((left, below), f"difference {difference:,.0f}", "black", large)
            pen.text((left, below + 28), text, "#444444", font)
    return sheet.quantize(256)  # a third of the bytes


def main() -> None:
    """Draw the picture, and print its numbers."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("file", type=Path, help="PNG file to write")
    for difference, text in draw(parser.parse_args().file):
        print(f"{difference:8,.1f}  {text}")


if __name__ == "__main__":
    main()
