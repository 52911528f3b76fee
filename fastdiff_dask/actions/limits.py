"""Limits of a removal plan, beyond which a person is asked once more."""

import os
from collections import Counter
from collections.abc import Iterator
from typing import Any

from ..storage.schema import FILE_NAME
from ..storage.store import Store
from ..text import printable
from ..urls import full_path
from .removal_plan import RemovalPlan

__all__ = ["limits_passed"]

# Pictures of a folder from which on it is named if all of them go, and folders that are named.
_FEW, _SHOWN = 5, 10


def limits_passed(store: Store, plan: RemovalPlan) -> list[str]:
    """Describe the limits that a plan passes; an empty list if it passes none.

    - More than half of the images of the store go.
    - A folder with five pictures or more, those of its folders included, loses all of them.
    """
    images = store.read_images(["image", *FILE_NAME, "current", "error"])
    images = images[images.current & images.error.isna()]
    going = images[images.image.isin([one.image for one in plan.chosen])]
    passed = []
    if 2 * len(going) > len(images):
        passed.append(f"it takes {len(going)} of the {len(images)} images found, more than half of them")
    folders = _emptied(_count(images), _count(going))
    passed += [f"it takes all {number} images of the folder {printable(name)}" for name, number in folders[:_SHOWN]]
    if len(folders) > _SHOWN:
        passed.append(f"it takes all images of {len(folders) - _SHOWN} more folders")
    return passed


def _emptied(found: Counter[str], going: Counter[str]) -> list[tuple[str, int]]:
    """List the highest folders of which all images go, and the number of these."""
    whole = {name for name, number in going.items() if number == found[name]}
    highest = [name for name in whole if os.path.dirname(name) not in whole]  # noqa: PTH120 - names may be undecodable
    return sorted((name, going[name]) for name in highest if going[name] >= _FEW)


def _count(images: Any) -> Counter[str]:
    """Count the images in each folder, and in the folders around it up to the root."""
    direct = Counter(
        (row.root, os.path.dirname(full_path(row.root, row.path, row.path_bytes)))  # noqa: PTH120
        for row in images.itertuples()
    )
    counts: Counter[str] = Counter()
    for (root, folder), number in direct.items():
        counts.update(dict.fromkeys(_around(folder, root), number))
    return counts


def _around(folder: str, root: str) -> Iterator[str]:
    """Give a folder, and the folders around it up to the root."""
    yield folder
    while len(folder) > len(root) and (above := os.path.dirname(folder)) != folder:  # noqa: PTH120
        folder = above
        yield folder
