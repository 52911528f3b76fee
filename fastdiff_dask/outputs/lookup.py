"""The answer to a lookup as lines for people."""

import os

from ..lookup.found import Found, Match
from ..text import printable

__all__ = ["describe_found"]

# Characters of the longest verdict, "not looked at".
_VERDICT = 13


def describe_found(found: Found) -> str:
    """Say whether the archive has a picture, and which images are copies of it or similar; on several lines.

    Examples
    --------
    >>> print(describe_found(Found("new.jpg")))
    new.jpg: not in the archive
    >>> print(describe_found(Found("new.jpg", (Match("/photos/a.jpg", "same picture", 1.25, 90, False, 7),))))
    new.jpg: in the archive
      same picture   /photos/a.jpg  (difference (MSE) 1.25, turned 90° left)
    """
    name = printable(found.file)
    if found.error:
        return f"{name}: {found.answer}: {printable(found.error)}"
    lines = [f"{name}: {found.answer}{'' if found.is_there or not found.matches else ':'}"]
    return "\n".join([*lines, *(f"  {_line(found, match)}" for match in found.matches)])


def _line(found: Found, match: Match) -> str:
    notes = [] if match.verdict == "same file" else [f"difference (MSE) {match.mse:.4g}"]
    if match.lies:
        notes.append(match.lies if match.lies.startswith("mirrored") else f"turned {match.lies}")
    if match.itself:
        one_name = os.path.realpath(found.file) == os.path.realpath(match.path)
        notes.append("the file itself" if one_name else "the file itself, by another name")
    elif match.lacks:
        notes.append(f"lacks {', '.join(match.lacks)}")
    about = f"  ({', '.join(notes)})" if notes else ""
    return f"{match.verdict:{_VERDICT}}  {printable(match.path)}{about}"
