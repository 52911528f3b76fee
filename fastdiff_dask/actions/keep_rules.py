"""The rules by which the image to keep is chosen."""

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import UsageError
from ..text import printable
from ..urls import is_url, is_within

__all__ = ["RULES", "KeepRules"]

# What a rule keeps, and what is said of the other one.
RULES = {
    "most-pixels": "fewer pixels",
    "largest": "smaller file",
    "oldest": "newer file",
    "newest": "older file",
    "shortest-path": "longer path",
}
_PREFERRED, _PATH = "not in a preferred folder, or a later one", "path sorts later"


@dataclass(frozen=True, kw_only=True)
class KeepRules:
    """Which of similar images is kept: by preferred folders, then by each rule, then by pixels, size and path.

    Attributes
    ----------
    rules
        Some of `RULES`, the first one counts most. Age is that of the last modification.
    prefer
        Folders whose images are kept rather than others, in this order.
    protect
        Folders in which nothing goes.

    Raises
    ------
    UsageError
        If there is no such rule.
    """

    rules: tuple[str, ...] = ()
    prefer: tuple[str, ...] = ()
    protect: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name in ("rules", "prefer", "protect"):
            value = getattr(self, name)
            several = (value,) if isinstance(value, str | os.PathLike) else tuple(value)
            object.__setattr__(self, name, tuple(os.fspath(one) for one in several))
        for rule in self.rules:
            if rule not in RULES:
                raise UsageError(f"no rule {rule!r}; use {', '.join(RULES)}")

    @property
    def reasons(self) -> list[str]:
        """What each part of a key says of the image that goes."""
        return [_PREFERRED, *(RULES[rule] for rule in self.rules), RULES["most-pixels"], RULES["largest"], _PATH, _PATH]

    def key(self, image: Any, side: str) -> tuple[Any, ...]:
        """Sort key that puts the image to keep first; a row with path, place, width, height, size and mtime_ns."""
        path = image.path
        place = next((n for n, folder in enumerate(self.prefer) if _in(image.place, folder)), len(self.prefer))
        values = {
            "most-pixels": -image.width * image.height,
            "largest": -image.size,
            "oldest": image.mtime_ns,
            "newest": -image.mtime_ns,
            "shortest-path": len(path),
        }
        return place, *(values[rule] for rule in self.rules), values["most-pixels"], values["largest"], path, side

    def is_protected(self, place: str) -> bool:
        """Whether an image, by its absolute path, may not go."""
        return any(_in(place, folder) for folder in self.protect)

    def check_folders(self, places: Iterable[str]) -> None:
        """See that each folder is there, or has one of some images: a slip of the pen would protect nothing.

        Raises
        ------
        UsageError
            If not.
        """
        places = list(places)
        for name, folders in (("protect", self.protect), ("prefer", self.prefer)):
            for folder in folders:
                there = not is_url(folder) and Path(os.path.expanduser(folder)).is_dir()  # noqa: PTH111 - Path raises without a home
                if not there and not any(_in(place, folder) for place in places):
                    raise UsageError(f"{name} names {printable(folder)}, which is no folder; name one that is there")


def _in(path: str, folder: str) -> bool:
    if "://" in path or "://" in folder:
        return is_within(path, folder)
    # names as they are, and where they lead to
    place, around = Path(path).absolute(), Path(os.path.expanduser(folder)).absolute()  # noqa: PTH111
    return place.is_relative_to(around) or (place.parent.resolve() / place.name).is_relative_to(around.resolve())
