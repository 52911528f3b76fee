"""Pictures whose names are hard to write, or whose pairs have different verdicts, and names as outputs show them."""

import os
import shutil
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from fastdiff_dask.testing import simulate_images

UNDECODABLE = os.fsdecode(b"\xff=1.png")


def make_photos(folder: Path) -> list[str]:
    """Three pictures that are similar, a pair, one alone, and two that are broken; gives the names of all."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(3)
    one, two, alone = rng.integers(0, 250, (3, 8, 8, 3), dtype=np.uint8)
    pictures = {
        "a.png": one,
        "é b.png": np.rot90(one),
        UNDECODABLE: one + 2,
        "x.png": two,
        "X.png": two,
        "z.png": alone,
    }
    for name, pixels in pictures.items():
        Image.fromarray(np.ascontiguousarray(pixels)).save(folder / name)
    (folder / "bad.png").touch()
    (folder / "worse.png").write_text("'; DROP TABLE images; --")
    return sorted([*pictures, "bad.png", "worse.png"])


def make_verdicts(folder: Path) -> None:
    """Three photos with a copy each, the first one with an equal file as well, and two pages that are only similar."""
    simulate_images(folder, images=3, duplicates=3, size=(120, 90))
    shutil.copy(folder / "picture_00000.jpg", folder / "same.jpg")
    for number in range(2):
        page = Image.new("RGB", (150, 200), (250, 250, 250))
        left, top = 20 + 80 * number, 30 + 100 * number
        ImageDraw.Draw(page).ellipse([left, top, left + 4, top + 4], fill=(40, 40, 40))
        page.save(folder / f"page{number}.png")


def shown(path: str) -> str:
    return os.fsencode(path).decode("utf-8", "replace")
