"""The exceptions that callers may catch. Each message is one line: what was found, and what to do about it."""

import unicodedata

__all__ = ["FastDiffError", "StoreLockedError", "StoreMismatchError", "UsageError", "printable"]


class FastDiffError(Exception):
    """The job cannot go on; what is finished is kept (exit code 1 of the command line)."""


class UsageError(FastDiffError, ValueError):
    """A setting or a path that cannot be used; nothing was computed (exit code 2 of the command line)."""


class StoreMismatchError(UsageError):
    """The store was made by another format or with other settings."""


class StoreLockedError(FastDiffError):
    """Another process is writing to the store."""


def printable(text: str) -> str:
    """One line that a terminal can show: control characters and undecodable bytes are escaped.

    Examples
    --------
    >>> printable('a\\nb')
    'a\\\\nb'
    """
    return "".join(c if _is_shown(c) else c.encode("unicode_escape").decode("ascii") for c in text)


def _is_shown(character: str) -> bool:
    # spaces of all kinds, and what joins emoji
    return character.isprintable() or character == "\u200d" or unicodedata.category(character) == "Zs"
