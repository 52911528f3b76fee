"""Choose the image to keep of similar images: rules, then an order that always applies.

Clusters use the order alone, removal plans the rules as well: both lie in a layer below the actions.
"""

import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..errors import UsageError
from ..stages.listing.named_folders import NamedFolder
from ..text import printable
from .keep_order import keep_order, reason
from .rules.kinds import RULES, Rule, chosen_by, make_rule

__all__ = ["RULES", "KeepRules"]

_CHOSEN = "the function keeps another one"
_PREFERRED = "in a later preferred folder, or in none"


@dataclass(frozen=True, kw_only=True)
class KeepRules:
    """Order of images by preferred folders, then by each rule, then by `keep_order`.

    Attributes
    ----------
    rules
        Some of `RULES`, rules with a value as "format=png,jpg", see `rules.kinds`, or functions; the first counts
        most. The age of "oldest" and "newest" counts from the last modification. A function gets the rows of a group, a
        DataFrame with the path as index, and gives the path of the image to keep, or None.
    prefer
        Folders whose images are preferred, the first folder most.
    protect
        Folders from which no image goes.
    both_sides
        Between two sides, images of side a may go as well; otherwise it is the reference, which is kept whole.

    Raises
    ------
    UsageError
        If there is no such rule.
    """

    rules: tuple[str | Callable[[pd.DataFrame], Any], ...] = ()
    prefer: tuple[str, ...] = ()
    protect: tuple[str, ...] = ()
    both_sides: bool = False

    def __post_init__(self) -> None:
        for name in ("rules", "prefer", "protect"):
            value = getattr(self, name)
            several = (value,) if isinstance(value, str | os.PathLike) or callable(value) else tuple(value)
            object.__setattr__(self, name, tuple(one if callable(one) else os.fspath(one) for one in several))
        _ = self._rules

    @cached_property
    def _rules(self) -> list[Rule | None]:
        """The rules in their order; None stands for a function."""
        return [None if callable(rule) else make_rule(rule) for rule in self.rules]

    # looked at when they are first asked for
    @cached_property
    def _preferred(self) -> list[NamedFolder]:
        return [NamedFolder(name) for name in self.prefer]

    @cached_property
    def _protected(self) -> list[NamedFolder]:
        return [NamedFolder(name) for name in self.protect]

    def keys(
        self, images: pd.DataFrame, pixels: Sequence[int], groups: Callable[[], Sequence[NDArray[np.int64]]]
    ) -> list[tuple[Any, ...]]:
        """Make the sort keys of images, which put the one to keep first, with the choices of functions.

        Parameters
        ----------
        images
            Rows with path, place and the columns `KEEP_COLUMNS`.
        pixels
            Those of `real_pixels`.
        groups
            Gives the rows of each group from which functions choose; asked only if there are functions.

        Returns
        -------
        A key for each image.

        Raises
        ------
        UsageError
            If a function fails, or gives what is no image of the group.
        """
        functions = [rule for rule in self.rules if callable(rule)]
        rows, some = images.set_index("path"), groups() if functions else []
        chosen = [chosen_by(function, rows, some) for function in functions]
        return [
            self.key(image, number, *(place in kept for kept in chosen))
            for place, (image, number) in enumerate(zip(images.itertuples(index=False), pixels, strict=True))
        ]

    def key(self, image: Any, pixels: int, *chosen: bool) -> tuple[Any, ...]:
        """Sort key that puts the image to keep first.

        `image` has path, place (the absolute path) and the columns `KEEP_COLUMNS`; `pixels` is of `real_pixels`;
        `chosen` tells for each function whether it keeps the image.
        """
        place = next((n for n, folder in enumerate(self._preferred) if folder.holds(image.place)), len(self.prefer))
        kept = iter(chosen)
        rules = (not next(kept) if rule is None else rule.value(image) for rule in self._rules)
        side, *order = keep_order(image, image.path, pixels)
        return "" if self.both_sides else side, place, *rules, *order, side

    def reason(self, key: Sequence[Any], better: Sequence[Any]) -> str:
        """Reason why an image goes, by its key and the key of the better image."""
        place = next(place for place, (one, other) in enumerate(zip(key, better, strict=True)) if one != other)
        before = 2 + len(self.rules)
        if 0 < place < before:
            if place == 1:
                return _PREFERRED
            rule = self._rules[place - 2]
            return _CHOSEN if rule is None else rule.why
        return reason((key[0], *key[before:]), max(0, place - before + 1))

    def is_protected(self, place: str) -> bool:
        """Find whether an image, by its absolute path, lies in a protected folder."""
        return any(folder.holds(place) for folder in self._protected)

    def check_folders(self, places: Iterable[str], all_places: Callable[[], Iterable[str]]) -> None:
        """Refuse a folder or pattern that has none of the images: a slip of the pen would protect nothing.

        Parameters
        ----------
        places
            Absolute paths of the images of a result.
        all_places
            Gives those of all images that were found; asked only if a folder has none of the first ones.

        Raises
        ------
        UsageError
            If there is such a folder or pattern.
        """
        places = list(places)
        for name, rule in zip(self.rules, self._rules, strict=True):
            if rule is None or rule.matches is None:
                continue
            if not any(map(rule.matches, places)) and not any(map(rule.matches, all_places())):
                raise UsageError(f"the rule {printable(str(name))} of keep= matches none of the images; mend it")
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
