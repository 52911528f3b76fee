"""Texts for people: printable, on one line, with units."""

import unicodedata

__all__ = ["counted", "one_line", "printable", "with_unit"]


def counted(number: int, noun: str) -> str:
    """Put a number before a noun.

    Examples
    --------
    >>> counted(1, "image"), counted(0, "pair")
    ('1 image', '0 pairs')
    """
    return f"{number} {noun}{'s' if number != 1 else ''}"


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


def with_unit(number: float) -> str:
    """Write a count in short form.

    Examples
    --------
    >>> with_unit(950), with_unit(1_234_567), with_unit(999_999)
    ('950', '1.23M', '1M')
    """
    for unit in ("", "k", "M", "G"):
        if float(f"{number:.3g}") < 1000:
            return f"{number:.3g}{unit}"
        number /= 1000
    return f"{number:.3g}T"
