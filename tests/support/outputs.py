"""Pictures whose names are hard to write, and the names as outputs show them."""

import os
from pathlib import Path

import numpy as np
from PIL import Image

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


def shown(path: str) -> str:
    return os.fsencode(path).decode("utf-8", "replace")
