"""Types that all actions share: a file as it was seen, a removal, its outcome."""

from collections.abc import Callable
from typing import NamedTuple

__all__ = ["Outcome", "Removal", "Seen", "StaysError", "Verify"]


class Seen(NamedTuple):
    """A file as it was when it was compared.

    Attributes
    ----------
    path, size, mtime_ns
        Name, bytes, and time of modification in nanoseconds.
    """

    path: str
    size: int
    mtime_ns: int


class Removal(NamedTuple):
    """A file that may go while another one is there.

    Attributes
    ----------
    file, kept
        The file that goes, and the file that is kept for it.
    """

    file: Seen
    kept: Seen


class Outcome(NamedTuple):
    """Outcome of an action for a file.

    Attributes
    ----------
    path
        The path before.
    to
        The path now; None if the file was deleted or stays.
    reason
        Reason why the file stays; None if it went.
    sidecar_of
        The picture with which a sidecar went, or was to go; None for a picture.
    """

    path: str
    to: str | None
    reason: str | None
    sidecar_of: str | None = None


class StaysError(Exception):
    """A file is not touched; the message is the reason."""


# Checks a removal right before it happens, and raises `StaysError` against it. Gives the removal as it is then: the
# file to keep may have got the date of the other one.
Verify = Callable[[Removal], Removal]
