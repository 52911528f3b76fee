"""Texts for people: printable, on one line, with units."""

import unicodedata
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta  # noqa: F401 - the last one is for an example

__all__ = ["counted", "file_size", "how_long_ago", "one_line", "printable", "rounded", "titled"]


def counted(number: int, noun: str) -> str:
    """Put a number before a noun.

    Examples
    --------
    >>> counted(1, "image"), counted(0, "pair"), counted(1200, "image")
    ('1 image', '0 pairs', '1,200 images')
    >>> counted(2, "edited copy")
    '2 edited copies'
    """
    several = f"{noun[:-1]}ies" if noun.endswith("copy") else f"{noun}s"
    return f"{number:,} {noun if number == 1 else several}"


def file_size(number: float) -> str:
    """Write a number of bytes.

    Examples
    --------
    >>> file_size(13_249_000), file_size(1_249_975_000), file_size(7)
    ('13.2 MB', '1.2 GB', '7 Bytes')
    """
    import humanize

    return humanize.naturalsize(number)


def how_long_ago(moment: datetime) -> str:
    """Tell how long ago a moment is, as "2 minutes ago".

    Examples
    --------
    >>> how_long_ago(datetime.now(UTC) - timedelta(minutes=2))
    '2 minutes ago'
    """
    import humanize

    return humanize.naturaltime(datetime.now(UTC) - moment)


def one_line(what: object, most: int = 300, *, kind: bool = False) -> str:
    """Give a text, or the message of an error, on one printable line.

    Parameters
    ----------
    what
        The text or the error.
    most
        Characters at most.
    kind
        Put the name of the error's class before it.

    Returns
    -------
    The line, cut to its length.

    Examples
    --------
    >>> one_line(ValueError("no\\nsuch  file"), kind=True)
    'ValueError: no such file'
    """
    text = f"{type(what).__name__}: {what}" if kind else str(what)
    return printable(" ".join(text.split()))[:most]


def printable(text: str) -> str:
    """Escape the characters that a terminal cannot show: control characters and undecodable bytes.

    Examples
    --------
    >>> printable('a\\nb')
    'a\\\\nb'
    """
    return "".join(c if _is_shown(c) else c.encode("unicode_escape").decode("ascii") for c in text)


def _is_shown(character: str) -> bool:
    # spaces of all kinds, and what joins emoji
    return character.isprintable() or character == "\u200d" or unicodedata.category(character) == "Zs"


def rounded(number: float) -> str:
    """Write a rate, or another number that is not exact, by its first three digits.

    Examples
    --------
    >>> rounded(950), rounded(1_234_567), rounded(0.8214)
    ('950', '1,230,000', '0.821')
    """
    short = float(f"{number:.3g}")
    return f"{short:,.0f}" if short >= 100 else f"{short:g}"


def titled(title: str, lines: Sequence[str]) -> str:
    """Put a title before lines, of which all but the first are indented.

    Examples
    --------
    >>> print(titled("Plan", ["2 images", "1 error"]))
    Plan: 2 images
      1 error
    """
    return "\n  ".join([f"{title}: {lines[0]}", *lines[1:]])
