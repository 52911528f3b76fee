"""Helpers for tests, also of users: pictures with known or edited copies, and the two-loop reference of the MSE."""

import csv
import os
from collections.abc import Iterable
from datetime import datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageOps

from .images.edited_copies import KINDS, make_edited_copy
from .scenes import draw_scene

__all__ = [
    "KINDS",
    "SimulatedPhotos",
    "make_edited_copy",
    "reference_sse",
    "simulate_images",
    "simulate_photo",
    "write_edited_copies",
]


class SimulatedPhotos(NamedTuple):
    """Pictures that `simulate_images` wrote.

    Attributes
    ----------
    originals
        Paths of the distinct pictures.
    duplicates
        Path of each altered copy → path of its original.
    """

    originals: list[Path]
    duplicates: dict[Path, Path]


def simulate_photo(rng: np.random.Generator, width: int, height: int) -> NDArray[np.uint8]:
    """Make a photo-like picture: smooth patches of colour at several scales, with edges and grain.

    The power spectrum of natural images falls with the square of the frequency (Field 1987); octaves of random grids,
    enlarged and weighted by their scale, give that fall here, and a few flat shapes give edges.

    Returns
    -------
    (height, width, 3) uint8.

    Examples
    --------
    >>> simulate_photo(np.random.default_rng(0), 40, 30).shape
    (30, 40, 3)
    """
    total = np.zeros((height, width, 3), np.float32)
    for cells in (2, 4, 8, 16, 32):
        grid = Image.fromarray(rng.integers(0, 256, (cells, cells, 3), dtype=np.uint8))
        total += np.asarray(grid.resize((width, height), Image.Resampling.BICUBIC), np.float32) / cells
    total -= total.min()
    total *= 255 / total.max()
    for _ in range(3):
        top, left = int(rng.integers(height)), int(rng.integers(width))
        shape = total[top : top + height // 3, left : left + width // 3]
        shape += rng.uniform(-80, 80, 3).astype(np.float32)
    total += rng.normal(0, 3, total.shape).astype(np.float32)
    return np.clip(np.rint(total), 0, 255).astype(np.uint8)


def simulate_images(
    folder: str | os.PathLike[str],
    *,
    images: int = 20,
    duplicates: int = 5,
    size: tuple[int, int] = (160, 120),
    seed: int = 0,
) -> SimulatedPhotos:
    """Write distinct drawn scenes as JPEG files, and altered copies of some of them, into a folder.

    Copies are, in turn: saved again at quality 70, half the size, turned by 90, 180 and 270 degrees, saved as PNG, and
    slightly brighter. Distinct pictures are far apart (an MSE of 1,000 and more), copies close (under 200). The
    distinct ones have EXIF data as of one of three cameras, a picture every five hours; copies have none.

    Parameters
    ----------
    folder
        Where to write; made if need be.
    images, duplicates
        Number of distinct pictures, and of copies; at most one copy a picture.
    size
        (width, height) of the pictures.
    seed
        Seed of everything random.

    Returns
    -------
    The paths of the pictures.
    """
    if duplicates > images:
        raise ValueError(f"{duplicates} duplicates of {images} images; ask for one copy a picture at most")
    rng = np.random.default_rng(seed)
    target = Path(folder)
    target.mkdir(parents=True, exist_ok=True)
    originals, copies, drawn = [], {}, _DrawnScenes()
    for number in range(images):
        picture = drawn.another(rng, size)
        path = target / f"picture_{number:05d}.jpg"
        picture.save(path, quality=92, exif=_simulate_exif(number))
        originals.append(path)
        if number < duplicates:
            kind = number % 7
            copy = target / f"copy_{number:05d}.{'png' if kind == 5 else 'jpg'}"
            if kind == 1:
                picture = picture.resize((size[0] // 2, size[1] // 2), Image.Resampling.LANCZOS)
            elif kind in (2, 3, 4):
                turns = (Image.Transpose.ROTATE_90, Image.Transpose.ROTATE_180, Image.Transpose.ROTATE_270)
                picture = picture.transpose(turns[kind - 2])
            elif kind == 6:
                picture = picture.point(lambda level: min(level + 4, 255))
            picture.save(copy, quality=70 if kind == 0 else 92)  # no matter to PNG
            copies[copy] = path
    return SimulatedPhotos(originals, copies)


class _DrawnScenes:
    """Scenes that are far apart, turned and mirrored ones as well; by MSE, and by the hash of the grey levels' slopes.

    Averages over 8 × 8 fields bound the MSE of thumbnails from below.
    """

    _LEAST_MSE, _LEAST_BITS, _TRIES = 1000, 9, 50

    def __init__(self) -> None:
        self._fields: list[NDArray[np.float32]] = []
        self._slopes: list[NDArray[np.bool_]] = []

    def another(self, rng: np.random.Generator, size: tuple[int, int]) -> Image.Image:
        """Draw scenes until one is unlike all others; of a very small size, that may take too long."""
        for _ in range(self._TRIES):
            scene = draw_scene(rng, *size)
            fields = np.asarray(scene.resize((8, 8), Image.Resampling.BOX), np.float32)
            grey = np.asarray(scene.convert("L").resize((9, 9), Image.Resampling.BOX))
            if self._is_new(fields, grey):
                break
        self._fields.append(fields)
        self._slopes.append(grey[:8, 1:] > grey[:8, :-1])
        return scene

    def _is_new(self, fields: NDArray[np.float32], grey: NDArray[np.uint8]) -> bool:
        if not self._fields:
            return True
        known, slopes = np.stack(self._fields), np.stack(self._slopes)
        for turns in range(8):
            form, flat = (np.rot90(one if turns < 4 else one[:, ::-1], turns) for one in (fields, grey))
            apart = ((known - form) ** 2).sum(axis=3).mean(axis=(1, 2)).min()
            bits = (slopes != (flat[:8, 1:] > flat[:8, :-1])).sum(axis=(1, 2)).min()
            if apart < self._LEAST_MSE or bits < self._LEAST_BITS:
                return False
        return True


def _simulate_exif(number: int) -> Image.Exif:
    exif = Image.Exif()
    exif[ExifTags.Base.Make] = "Simulated"
    exif[ExifTags.Base.Model] = f"Camera {'ABC'[number % 3]}"
    taken = datetime(2024, 1, 1) + timedelta(hours=5 * number)
    exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.DateTimeOriginal] = taken.strftime("%Y:%m:%d %H:%M:%S")
    return exif


def write_edited_copies(
    pictures: Iterable[str | os.PathLike[str]],
    folder: str | os.PathLike[str],
    *,
    kinds: Iterable[str] = tuple(KINDS),
    longest: int = 512,
    seed: int = 0,
) -> Path:
    """Write an edited copy of each kind of some pictures as JPEG files, and the truth of them.

    Parameters
    ----------
    pictures
        The files.
    folder
        Where to write; made if need be.
    kinds
        Names of `KINDS`.
    longest
        Pixels of the longer side at which pictures are edited, at most.
    seed
        Seed of everything random.

    Returns
    -------
    A file truth.csv in the folder: original, variant, kind; as ``fastdiff-dask evaluate`` takes it.
    """
    target, names = Path(folder), tuple(kinds)
    target.mkdir(parents=True, exist_ok=True)
    with (target / "truth.csv").open("w", newline="", encoding="utf-8", errors="surrogateescape") as file:
        rows = csv.writer(file)
        rows.writerow(("original", "variant", "kind"))
        for number, path in enumerate(map(Path, pictures)):
            with Image.open(path) as image:
                picture = ImageOps.exif_transpose(image).convert("RGB")
            picture.thumbnail((longest, longest))
            for kind in names:
                copy = target / f"{number:05d} {path.stem} {kind}.jpg"
                make_edited_copy(picture, kind, seed + number).save(copy, quality=KINDS[kind].quality)
                rows.writerow((path.absolute(), copy.absolute(), kind))
    return target / "truth.csv"


def reference_sse(
    a: NDArray[np.uint8], b: NDArray[np.uint8], *, rotations: bool = True, mirror: bool = False
) -> NDArray[np.int64]:
    """Smallest sum of squared errors of each pair, by two loops over Python integers' arithmetic: slow and plain.

    Parameters
    ----------
    a, b
        (m, h, w, c) and (n, h, w, c) uint8.
    rotations, mirror
        Which transforms of images of `a` count.

    Returns
    -------
    (m, n) int64.

    Examples
    --------
    >>> ramp = np.arange(64, dtype=np.uint8).reshape(1, 8, 8, 1)
    >>> reference_sse(ramp, np.rot90(ramp, axes=(1, 2))).tolist()
    [[0]]
    """
    result = np.zeros((len(a), len(b)), np.int64)
    for i, first in enumerate(a.astype(np.int64)):
        forms = [np.rot90(first, turns) for turns in (range(4) if rotations else (0,))]
        if mirror:
            forms += [np.rot90(first[:, ::-1], turns) for turns in (range(4) if rotations else (0,))]
        for j, second in enumerate(b.astype(np.int64)):
            fitting = [form for form in forms if form.shape == second.shape]
            result[i, j] = min(int(((form - second) ** 2).sum()) for form in fitting)
    return result
