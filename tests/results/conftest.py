"""Fixtures of results."""

from pathlib import Path

import numpy as np
import pytest
from support.pictures import save


@pytest.fixture
def turned(tmp_path, rng) -> Path:
    """A picture, its quarter turn, its mirror image; a plain page three times; and a page with a speck."""
    pixels = rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)
    blank = np.full((8, 8, 3), 240, np.uint8)
    speck = blank.copy()
    speck[1, 1, 1] -= 16
    named = {"m": pixels, "c": np.rot90(pixels), "z": np.fliplr(pixels), "e": blank, "b/x": blank, "y": blank}
    for name, image in {**named, "a": speck}.items():
        save(tmp_path / "photos" / f"{name}.png", image)
    return tmp_path / "photos"
