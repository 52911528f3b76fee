"""Choose the image to keep of similar images: rules, then an order that always applies.

Clusters use the order alone, removal plans the rules as well: both lie in a layer below the actions.
"""

import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from ..errors import UsageError
from ..stages.named_folders import NamedFolder
from ..text import printable

__all__ = ["RULES", "KeepRules", "best_first", "keep_order"]

# Rules, named for the kept image, and the reason why the other image goes.
RULES = {
    "most-pixels": "fewer pixels",
    "largest": "smaller file",
    "oldest": "newer file",
    "newest": "older file",
    "shortest-path": "longer path",
}
_PREFERRED, _PATH = "in a later preferred folder, or in none", "path sorts later"
_REFERENCE = "the other one is in A, the reference"


def keep_order(width: int, height: int, size: int, path: str, side: str) -> tuple[Any, ...]:
    """Sort key that puts the image to keep first: side a, then most pixels, then the largest file, then the path.

    Examples
    --------
    >>> min([(10, 10, 5, "b", "a"), (10, 10, 5, "a", "a"), (99, 9, 9, "c", "b")], key=lambda image: keep_order(*image))
    (10, 10, 5, 'a', 'a')
    """
    return side, -width * height, -size, path


def best_first(images: Iterable[Any]) -> list[Any]:
    """Sort images by `keep_order`: rows with the path as ``Index``, side, width, height and size."""
    return sorted(images, key=lambda row: keep_order(row.width, row.height, row.size, row.Index, row.side))


@dataclass(frozen=True, kw_only=True)
class KeepRules:
    """Order of images by preferred folders, then by each rule, then by `keep_order`.

    Attributes
    ----------
    rules
        Some of `RULES`, the first counts most. Age counts from the last modification.
    prefer
        Folders whose images are preferred, the first folder most.
    protect
        Folders from which no image goes.
    both_sides
        Between two sides, images of side a may go as well; otherwise it is the reference, which is kept whole.

    Raises
    ------
    UsageError
        If a rule is not in `RULES`.
    """

    rules: tuple[str, ...] = ()
    prefer: tuple[str, ...] = ()
    protect: tuple[str, ...] = ()
    both_sides: bool = False

    def __post_init__(self) -> None:
        for name in ("rules", "prefer", "protect"):
            value = getattr(self, name)
            several = (value,) if isinstance(value, str | os.PathLike) else tuple(value)
            object.__setattr__(self, name, tuple(os.fspath(one) for one in several))
        for rule in self.rules:
            if rule not in RULES:
                raise UsageError(f"no rule {rule!r}; use {', '.join(RULES)}")

    # looked at when they are first asked for
    @cached_property
    def _preferred(self) -> list[NamedFolder]:
        return [NamedFolder(name) for name in self.prefer]

    @cached_property
    def _protected(self) -> list[NamedFolder]:
        return [NamedFolder(name) for name in self.protect]

    def key(self, image: Any) -> tuple[Any, ...]:
        """Sort key that puts the image to keep first.

        `image` has path, place (the absolute path), side, width, height, size and mtime_ns.
        """
        place = next((n for n, folder in enumerate(self._preferred) if folder.holds(image.place)), len(self.prefer))
        values = {
            "most-pixels": -image.width * image.height,
            "largest": -image.size,
            "oldest": image.mtime_ns,
            "newest": -image.mtime_ns,
            "shortest-path": len(image.path),
        }
        rules = (values[rule] for rule in self.rules)
        side, *order = keep_order(image.width, image.height, image.size, image.path, image.side)
        return "" if self.both_sides else side, place, *rules, *order, side

    def reason(self, key: Sequence[Any], better: Sequence[Any]) -> str:
        """Reason why an image goes, by its key and the key of the better image."""
        rules = (RULES[rule] for rule in (*self.rules, "most-pixels", "largest"))
        reasons = zip(key, better, (_REFERENCE, _PREFERRED, *rules, _PATH, _PATH), strict=True)
        return next(reason for one, other, reason in reasons if one != other)

    def is_protected(self, place: str) -> bool:
        """Find whether an image, by its absolute path, lies in a protected folder."""
        return any(folder.holds(place) for folder in self._protected)

    def check_folders(self, places: Iterable[str], all_places: Callable[[], Iterable[str]]) -> None:
        """Refuse a folder that has none of the images: a slip of the pen would protect nothing.

        Parameters
        ----------
        places
            Absolute paths of the images of a result.
        all_places
            Gives those of all images that were found; asked only if a folder has none of the first ones.

        Raises
        ------
        UsageError
            If there is such a folder.
        """
        places = list(places)
        for name, folders in (("protect", self._protected), ("prefer", self._preferred)):
            for folder in folders:
                if any(map(folder.holds, places)) or any(map(folder.holds, all_places())):
                    continue
                shown = f"{name}= names {printable(folder.name)}"
                if not folder.is_there:
                    raise UsageError(f"{shown}, which is no folder; name one that is there")
                raise UsageError(
                    f"{shown}, in which none of the images lies; name the folder as it was named to find them, "
                    "or leave it out"
                )
