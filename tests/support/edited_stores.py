"""Stores in which edited copies were looked for."""

import csv
import os
from pathlib import Path

from PIL import Image
from support.edited_pairs import a_photo

import fastdiff_dask as fd
from fastdiff_dask.testing import write_edited_copies

__all__ = ["edited_store", "save_photo", "truth_of"]


def save_photo(path: Path, seed: int, age: int = 0) -> Path:
    """Save a picture with detail as JPEG; its copies are younger."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(a_photo(seed)).save(path, quality=97)
    os.utime(path, (1_000_000_000 - 3600 * age,) * 2)
    return path


def edited_store(folder: Path, client, seeds=(1, 2), kinds=None) -> fd.FastDifPy:
    """Save photos with their copies of some kinds, all if none are named, and find these; the truth is in copies/."""
    originals = [save_photo(folder / "photos" / f"photo{seed}.jpg", seed) for seed in seeds]
    write_edited_copies(originals, folder / "copies", **({} if kinds is None else {"kinds": kinds}))
    return found(folder, client)


def found(folder: Path, client, *names: str) -> fd.FastDifPy:
    """Find the edited copies of some folders."""
    roots = [folder / name for name in names or ("photos", "copies")]
    db = fd.FastDifPy(roots, store=folder / "store", client=client, verbose=False)
    db.index_the_dirs()
    db.first_loop_iteration()
    db.second_loop_iteration()
    db.verify()
    db.find_edited()
    return db


def truth_of(folder: Path) -> dict[str, tuple[str, str]]:
    """Name of each copy → name of its original, and kind."""
    with (folder / "copies" / "truth.csv").open(newline="") as file:
        return {Path(row["variant"]).name: (Path(row["original"]).name, row["kind"]) for row in csv.DictReader(file)}
