"""Lines and tables on a terminal, or in a file."""

from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from rich.console import Console

__all__ = ["first_lines", "open_console"]

_T = TypeVar("_T")


def open_console(to_stderr: bool = False) -> Console:
    """Give the console to print tables on: as wide as the terminal, and without folded lines in a file."""
    console = Console(stderr=to_stderr, highlight=False)
    return console if console.is_terminal else Console(stderr=to_stderr, highlight=False, width=10_000)


def first_lines(items: Sequence[_T], most: int, line: Callable[[_T], str], rest: str = "more") -> Iterator[str]:
    """Describe the first items, a line each, and the number of the others."""
    yield from map(line, items[:most])
    if len(items) > most:
        yield f"… and {len(items) - most} {rest}"
