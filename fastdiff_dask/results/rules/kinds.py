"""The kinds of rules: each gives every image a value, the smallest one for the image to keep, and a reason."""

import fnmatch
import os
import re
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from ...errors import UsageError
from ...text import printable

__all__ = ["KINDS", "RULES", "Rule", "chosen_by", "make_rule"]

# Rules, named for the kept image, and the reason why the other image goes.
RULES = {
    "most-pixels": "fewer pixels",
    "fewest-pixels": "more pixels",
    "largest": "smaller file",
    "smallest": "larger file",
    "oldest": "newer file",
    "newest": "older file",
    "oldest-taken": "taken later, or at an unknown time",
    "newest-taken": "taken earlier, or at an unknown time",
    "shortest-path": "longer path",
}
# Rules with a value, written as "format=png,jpg".
KINDS = ("format", "path", "not-path", "regex", "not-regex")
# Names of formats that differ from the usual endings of their files.
_FORMATS = {
    "JPG": "JPEG",
    "JPE": "JPEG",
    "JFIF": "JPEG",
    "MPO": "JPEG",
    "TIF": "TIFF",
    "HEIC": "HEIF",
    "JP2": "JPEG2000",
}


class Rule(NamedTuple):
    """A rule.

    Attributes
    ----------
    value
        An image → its value; an image has path, place (the absolute path) and the columns `KEEP_COLUMNS`.
    why
        Reason why an image goes that has a larger value than the kept one.
    matches
        For a rule that tells images by their names, whether the absolute path of an image is meant; else None.
    """

    value: Callable[[Any], Any]
    why: str
    matches: Callable[[str], bool] | None = None


def make_rule(name: str) -> Rule:
    """Make a rule from its name, or from a text as "format=png,jpg".

    Raises
    ------
    UsageError
        If there is no such rule, or its value cannot be used.

    Examples
    --------
    >>> make_rule("format=png,jpg").why
    'its format is not the one to keep'
    """
    kind, separator, value = name.partition("=")
    if separator and kind in KINDS:
        if not value:
            raise UsageError(f"the rule {kind} has no value; write it as {_example(kind)}")
        return _by_format(value) if kind == "format" else _by_name(kind, value)
    if name not in RULES:
        known = ", ".join([*RULES, *(_example(kind) for kind in KINDS)])
        raise UsageError(f"no rule {printable(name)!r}; use {known}")
    return Rule(_VALUES[name], RULES[name])


def _example(kind: str) -> str:
    return f"{kind}={'png,jpg' if kind == 'format' else 'REGEX' if 'regex' in kind else 'PATTERN'}"


def _taken(image: Any) -> str | None:
    return image.captured if isinstance(image.captured, str) and image.captured else None


class _Later(str):
    """A text that comes before those that it follows otherwise."""

    __slots__ = ()

    def __lt__(self, other: str) -> bool:
        return str.__gt__(self, other)


_VALUES: dict[str, Callable[[Any], Any]] = {
    "most-pixels": lambda image: -image.width * image.height,
    "fewest-pixels": lambda image: image.width * image.height,
    "largest": lambda image: -image.size,
    "smallest": lambda image: image.size,
    "oldest": lambda image: image.mtime_ns,
    "newest": lambda image: -image.mtime_ns,
    "oldest-taken": lambda image: (_taken(image) is None, _taken(image) or ""),
    "newest-taken": lambda image: (_taken(image) is None, _Later(_taken(image) or "")),
    "shortest-path": lambda image: len(image.path),
}


def _by_format(value: str) -> Rule:
    """Formats in the order in which they are kept; all others come after them."""
    wanted = [_format_of(one.strip().lstrip(".")) for one in value.split(",")]
    if unknown := [one for one in wanted if one not in _known_formats()]:
        raise UsageError(
            f"no format {printable(unknown[0].lower())!r} for the rule format=; use names as png, jpg, webp"
        )

    def place(image: Any) -> int:
        name = _format_of(str(image.format))
        return wanted.index(name) if name in wanted else len(wanted)

    return Rule(place, "its format is not the one to keep")


def _format_of(name: str) -> str:
    return _FORMATS.get(name.upper(), name.upper())


def _known_formats() -> set[str]:
    from PIL import Image

    Image.init()
    # HEIF and JPEG XL are those of optional packages
    return {_format_of(one) for one in (*Image.OPEN, *Image.EXTENSION.values(), "HEIF", "AVIF", "JXL", "RAW")}


def _by_name(kind: str, value: str) -> Rule:
    """Images whose path matches come first, or last."""
    matches = _regular(kind, value) if kind.endswith("regex") else _glob(value)
    last = kind.startswith("not-")
    why = f"its path {'matches' if last else 'does not match'} {printable(value)}"
    return Rule(lambda image: matches(image.place) == last, why, matches)


def _glob(pattern: str) -> Callable[[str], bool]:
    """Match names of files; a pattern with a slash, whole paths, from the root or from any folder on."""
    if "/" not in pattern:
        return lambda path: fnmatch.fnmatchcase(os.path.basename(path), pattern)  # noqa: PTH119 - may be undecodable
    return lambda path: fnmatch.fnmatchcase(path, pattern) or fnmatch.fnmatchcase(path, f"*/{pattern}")


def _regular(kind: str, value: str) -> Callable[[str], bool]:
    try:
        pattern = re.compile(value)
    except re.error as error:
        raise UsageError(f"{kind}={printable(value)} is no regular expression: {error}; mend it") from None
    return lambda path: pattern.search(path) is not None


def chosen_by(function: Callable[[Any], Any], rows: Any, groups: Sequence[Any]) -> set[int]:
    """Ask a function for the image to keep of each group.

    Parameters
    ----------
    function
        The rows of a group, a DataFrame with the path as index → the path of the image to keep, or None for any.
    rows
        DataFrame of all images, with the path as index.
    groups
        Places in it of the images of each group.

    Returns
    -------
    The places of the images to keep.

    Raises
    ------
    UsageError
        If the function fails, or gives something else than one of the paths.
    """
    name = getattr(function, "__name__", repr(function))
    found = set()
    for group in groups:
        some = rows.iloc[group]
        first = printable(str(some.index[0]))
        try:
            kept = function(some)
        except Exception as error:  # whatever a function of the user raises
            what = f"{type(error).__name__}: {error}"
            raise UsageError(
                f"the function {name} of keep= failed for the group of {first}: {what}; mend it"
            ) from error
        if kept is None:
            continue
        kept = getattr(kept, "name", kept)  # a row of the table
        places = dict(zip(some.index, group, strict=True))
        if not isinstance(kept, str) or kept not in places:
            gave = f"the function {name} of keep= gave {printable(repr(kept))} for the group of {first}"
            raise UsageError(f"{gave}; give one of the paths in rows.index")
        found.add(int(places[kept]))
    return found
