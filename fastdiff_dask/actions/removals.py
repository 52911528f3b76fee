"""The words of every action: a file as it was seen, a removal, its outcome."""

from collections.abc import Callable
from typing import NamedTuple

__all__ = ["Outcome", "Removal", "Seen", "StaysError", "Verify"]


class Seen(NamedTuple):
    """A file as it was when it was compared.

    Attributes
    ----------
    path, size, mtime_ns
        Its name, bytes, and time of modification.
    """

    path: str
    size: int
    mtime_ns: int


class Removal(NamedTuple):
    """A file that may go, as long as another one is there.

    Attributes
    ----------
    file, kept
        The one that goes, and the one that is kept for it.
    """

    file: Seen
    kept: Seen


class Outcome(NamedTuple):
    """What became of a file.

    Attributes
    ----------
    path
        Where it was.
    to
        Where it is now, None if it was deleted or stays.
    reason
        Why it stays; None if it went.
    """

    path: str
    to: str | None
    reason: str | None


class StaysError(Exception):
    """The reason why a file is not touched."""


# Looks at a pair right before something is done, and raises `StaysError` if that is not to be. Gives the pair as it is
# then: the file to keep may have got the date of the other one.
Verify = Callable[[Removal], Removal]
