"""Texts for people: what is printable, on one line, with its unit."""

import unicodedata

__all__ = ["printable", "with_unit"]


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


def with_unit(number: float) -> str:
    """Short form of a count.

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
