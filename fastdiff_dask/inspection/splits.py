"""Parts of a data set by the folders of its images: train, test, validation, or as they are named."""

from collections.abc import Sequence
from pathlib import PurePath

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..errors import UsageError
from ..text import printable
from ..urls import is_url

__all__ = ["MOST_SPLITS", "Splits", "check_splits"]

# Names of folders that are parts unless others are asked for, in lower case.
_USUAL = {
    *("train", "training", "trainset", "test", "testing", "testset", "val", "valid", "validation", "dev", "eval"),
    *("holdout",),
}
# Parts are bits of a number of 64 bits.
MOST_SPLITS = 62


def check_splits(splits: str | Sequence[str]) -> tuple[str, ...]:
    """Give the names of parts; none means the usual ones.

    Raises
    ------
    UsageError
        If one name is given alone, or twice, or more than 62.
    """
    given = splits.split(",") if isinstance(splits, str) else list(splits)
    if not all(isinstance(one, str) for one in given):
        raise UsageError(f"splits={splits!r} are no names of folders; use splits='train,test'")
    names = tuple(name.strip().rstrip("/") for one in given for name in one.split(","))
    names = tuple(name for name in names if name)
    if len(set(names)) != len(names) or len(names) == 1 or len(names) > MOST_SPLITS:
        raise UsageError(f"splits={','.join(names)!r} are not 2 to {MOST_SPLITS} folders; use splits='train,test'")
    return names


class Splits:
    """The parts of a data set.

    A part is a folder: one at the top of the collection, or that was searched itself, by its name; or one deeper, by
    its path below the searched folder, or its whole path. Images elsewhere belong to no part.

    Parameters
    ----------
    names
        Folders, as `check_splits` gives them; by default those at the top that are named train, training, trainset,
        test, testing, testset, val, valid, validation, dev, eval or holdout, in upper or lower case.

    Attributes
    ----------
    names
        The names so far: all that were given, or those that were met.
    """

    def __init__(self, names: Sequence[str] = ()) -> None:
        self._given = tuple(names)
        self.names = list(names)
        self._met: set[str] = set()
        self._tops: set[str] = set()

    def of(self, frame: pd.DataFrame) -> NDArray[np.int8]:
        """Give the part of each image, as a place in `names`; −1 for none. Columns: root, path."""
        known: dict[tuple[str, str], int] = {}
        found = np.full(len(frame), -1, np.int8)
        for place, (root, path) in enumerate(zip(frame.root, frame.path, strict=True)):
            folder = path.rpartition("/")[0]
            if (root, folder) not in known:
                known[root, folder] = self._part(root, folder)
            found[place] = known[root, folder]
        return found

    def _part(self, root: str, folder: str) -> int:
        base = root.rstrip("/").rpartition("/")[2] if is_url(root) else PurePath(root).name
        top = folder.partition("/")[0]
        self._tops |= {top} - {""}
        if not self._given:
            name = next((one for one in (top, base) if one.lower() in _USUAL), "")
            if not name:
                return -1
            if name not in self.names and len(self.names) < MOST_SPLITS:
                self.names.append(name)
            return self.names.index(name) if name in self.names else -1
        whole = f"{root.rstrip('/')}/{folder}".rstrip("/")
        for number, name in enumerate(self._given):
            if name == base or any(f"{one}/".startswith(f"{name}/") for one in (folder, whole)):
                self._met.add(name)
                return number
        return -1

    def check(self) -> None:
        """See that each part that was named has an image.

        Raises
        ------
        UsageError
            If one has none.
        """
        for name in self._given:
            if name not in self._met:
                there = ", ".join(printable(top) for top in sorted(self._tops)[:10]) or "none"
                raise UsageError(f"no image is in the folder {printable(name)!r} of splits=; folders there: {there}")
