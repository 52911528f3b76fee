"""Pictures that may go, projects that say so, and what is on disk then."""

import hashlib
import json
import os
from pathlib import Path

from PIL import Image

import fastdiff_dask as fd
from fastdiff_dask.actions.decisions import FORMAT
from fastdiff_dask.actions.removal_plan import RemovalPlan

SIZE = {"thumbnail_size_x": 8, "thumbnail_size_y": 8}


def picture(seed: int, shift: int = 0, size: int = 8) -> Image.Image:
    """One colour; of equal seeds, the MSE of two is 3 · (difference of the shifts)²."""
    return Image.new("RGB", (size, size), tuple((seed * factor) % 160 + 40 + shift for factor in (67, 41, 101)))


def save(path: Path, image: Image.Image, age: int = 0) -> Path:
    """As BMP whatever its name is: of equal pixels the size is equal."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path, "BMP")
    os.utime(path, ns=(10**18 - age * 10**9, 10**18 - age * 10**9))
    return path


def project(folder: Path, client, threshold: float = 30.0, *roots: str, **options) -> fd.FastDifPy:
    names = [folder / name for name in roots or ("photos",)]
    db = fd.FastDifPy(names, store=folder / "store", client=client, verbose=False, **SIZE, **options)
    db.index_the_dirs()
    db.first_loop_iteration()
    db.second_loop_iteration(threshold)
    return db


def contents(*folders: Path) -> dict[str, tuple[str, int]]:
    """SHA-256 and time of modification of all files below some folders, by path."""
    return {
        str(path): (hashlib.sha256(path.read_bytes()).hexdigest(), path.stat().st_mtime_ns)
        for folder in folders
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.is_symlink()
    }


def pictures_in(*folders: Path) -> set[str]:
    return {digest for name, (digest, _) in contents(*folders).items() if name.endswith(".png")}


def removed(plan: RemovalPlan) -> dict[str, str]:
    return {Path(one.path).name: Path(one.kept).name for one in plan.chosen}


def trash(tmp_path: Path) -> Path:
    return tmp_path / "data" / "Trash"


def write_decisions(db: fd.FastDifPy, path: Path, marks: dict[str, str], pairs: list[tuple[str, str]] = ()) -> Path:
    numbers = {Path(name).name: (int(image), name) for name, image in db.result().images["image"].items()}
    content = {
        "format": FORMAT,
        "marks": [{"image": numbers[name][0], "path": numbers[name][1], "mark": mark} for name, mark in marks.items()],
        "not_duplicates": [
            {"images": [numbers[a][0], numbers[b][0]], "paths": [numbers[a][1], numbers[b][1]]} for a, b in pairs
        ],
    }
    path.write_text(json.dumps(content))
    return path
