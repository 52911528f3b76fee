"""Choose the image to keep of similar images: rules, then an order that always applies.

Clusters use the order alone, removal plans the rules as well: both lie in a layer below the actions.
"""

import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from ..errors import UsageError
from ..stages.listing.named_folders import NamedFolder
from ..text import printable
from .keep_order import keep_order, reason

__all__ = ["RULES", "KeepRules"]

# Rules, named for the kept image, and the reason why the other image goes.
RULES = {
    "most-pixels": "fewer pixels",
    "largest": "smaller file",
    "oldest": "newer file",
    "newest": "older file",
    "shortest-path": "longer path",
}
_PREFERRED = "in a later preferred folder, or in none"


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

    def key(self, image: Any, pixels: int) -> tuple[Any, ...]:
        """Sort key that puts the image to keep first.

        `image` has path, place (the absolute path) and the columns `KEEP_COLUMNS`; `pixels` is of `real_pixels`.
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
        side, *order = keep_order(image, image.path, pixels)
        return "" if self.both_sides else side, place, *rules, *order, side

    def reason(self, key: Sequence[Any], better: Sequence[Any]) -> str:
        """Reason why an image goes, by its key and the key of the better image."""
        place = next(place for place, (one, other) in enumerate(zip(key, better, strict=True)) if one != other)
        before = 2 + len(self.rules)
        if 0 < place < before:
            return _PREFERRED if place == 1 else RULES[self.rules[place - 2]]
        return reason((key[0], *key[before:]), max(0, place - before + 1))

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
