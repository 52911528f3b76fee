"""Small random pictures in files."""

from pathlib import Path

import numpy as np
from PIL import Image


def save(path: Path, pixels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.ascontiguousarray(pixels)).save(path)


def draw(rng: np.random.Generator) -> np.ndarray:
    """A small random picture of few levels, so that distances are near each other."""
    return rng.integers(100, 110, (8, 8, 3), dtype=np.uint8)


def write_noise(folder: Path, images: int, seed: int, first: int = 0) -> list[Path]:
    """Small random pictures that differ, from the first one on; the same for the same seed."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    drawn = [draw(rng) for _ in range(first + images)][first:]
    paths = [folder / f"{seed}-{first + number:03}.png" for number in range(images)]
    for path, pixels in zip(paths, drawn, strict=True):
        Image.fromarray(pixels).save(path)
    return paths


def mse(a: np.ndarray, b: np.ndarray) -> float:
    """Mean squared error of two images: squared differences of all values, by pixels."""
    return float(((a.astype(np.int64) - b.astype(np.int64)) ** 2).sum() / (a.shape[0] * a.shape[1]))
