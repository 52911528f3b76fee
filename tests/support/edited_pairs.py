"""Edited copies with the matrix that maps their shares to those of their originals."""

import io

import numpy as np
from PIL import Image

from fastdiff_dask.testing import make_edited_copy, simulate_photo

UNCHANGED = np.array([[1.0, 0, 0], [0, 1, 0]])


def a_photo(seed: int, width: int = 480, height: int = 360):
    """A picture with detail at all scales in all places."""
    rng = np.random.default_rng(seed)
    patches = np.asarray(
        Image.fromarray(rng.integers(0, 256, (45, 60, 3), dtype=np.uint8)).resize(
            (width, height), Image.Resampling.BICUBIC
        )
    )
    grey = patches.mean(2, keepdims=True)
    return np.clip(simulate_photo(rng, width, height) * 0.6 + 0.3 * grey + 0.07 * patches, 0, 255).astype(np.uint8)


def as_jpeg(picture, quality: int = 90):
    """Decode what JPEG leaves of a picture."""
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "JPEG", quality=quality)
    return np.asarray(Image.open(file).convert("RGB"))


def edited(picture, kind: str, seed: int = 0):
    """Make a copy and the matrix from its shares to those of the picture."""
    copy = np.asarray(make_edited_copy(Image.fromarray(picture), kind, seed))
    return as_jpeg(copy), _matrix(kind, picture.shape[0], picture.shape[1], seed)


def _box(top, left, bottom, right):
    return np.array([[bottom - top, 0, top], [0, right - left, left]])


def _matrix(kind, height, width, seed):
    rng = np.random.default_rng(seed)
    if kind == "rotated":
        return np.array([[0, 1.0, 0], [-1, 0, 1]])
    if kind == "mirrored":
        return np.array([[1.0, 0, 0], [0, -1, 1]])
    if kind.startswith("crop"):
        share = 1 - int(kind.split()[1]) / 100
        w, h = round(width * share), round(height * share)
        left, top = int(rng.integers(width - w + 1)), int(rng.integers(height - h + 1))
        return _box(top / height, left / width, (top + h) / height, (left + w) / width)
    if kind == "square crop":
        side = min(width, height)
        left, top = (width - side) // 2, (height - side) // 2
        return _box(top / height, left / width, (top + side) / height, (left + side) / width)
    if kind == "border":
        pad = round(0.06 * max(width, height))
        return _box(-pad / height, -pad / width, 1 + pad / height, 1 + pad / width)
    if kind == "letterbox":
        return _box(-1 / 6, 0, 7 / 6, 1)
    if kind == "turned 3":
        return _turned(np.radians(3 * (1 if rng.integers(2) else -1)), height, width)
    return UNCHANGED


def _turned(angle, height, width):
    sine, cosine = abs(np.sin(angle)), np.cos(angle)
    share = min(width / (width * cosine + height * sine), height / (height * cosine + width * sine))
    w, h = round(width * share), round(height * share)
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    middle = np.array([height / 2, width / 2])
    corner = turn @ (np.array([(height - h) // 2, (width - w) // 2]) - middle) + middle
    size = np.array([height, width])
    return np.column_stack([np.diag(1 / size) @ turn @ np.diag([h, w]), corner / size])
