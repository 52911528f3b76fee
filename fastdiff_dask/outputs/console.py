"""Lines and tables on a terminal, or in a file."""

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple, TypeVar

from rich import box
from rich.cells import cell_len, set_cell_size
from rich.console import Console
from rich.table import Table
from rich.text import Text

from ..text import printable

__all__ = ["Column", "first_lines", "fitted_table", "open_console", "shortened", "shown_below"]

_T = TypeVar("_T")
# A column of names is not made narrower than that for columns that can be left out.
_NARROW = 36
# Cells between two columns of a table.
_BETWEEN = 3


class Column(NamedTuple):
    """A column of `fitted_table`.

    Attributes
    ----------
    heading
        Its heading.
    is_name
        It has names, which are shortened in the middle where there is no room.
    is_number
        It stands at the right.
    first_out
        Where names have no room, columns with a higher number are left out first; those with 0 stay.
    """

    heading: str
    is_name: bool = False
    is_number: bool = False
    first_out: int = 0


def open_console(to_stderr: bool = False) -> Console:
    """Give the console to print tables on: as wide as the terminal, and without folded lines in a file."""
    console = Console(stderr=to_stderr, highlight=False)
    return console if console.is_terminal else Console(stderr=to_stderr, highlight=False, width=10_000)


def first_lines(items: Sequence[_T], most: int, line: Callable[[_T], str], rest: str = "more") -> Iterator[str]:
    """Describe the first items, a line each, and the number of the others."""
    yield from map(line, items[:most])
    if len(items) > most:
        yield f"… and {len(items) - most:,} {rest}"


# -- names of files ----------------------------------------------------------------------------------------------------


def shown_below(path: str, folder: str) -> str:
    """Give the printable name of a file below a folder that it is in, or its whole name without a folder."""
    return printable(path[len(folder) + 1 :] if folder else path)


def shortened(text: str, width: int) -> str:
    """Leave out the middle of a text that is too wide; its end, which tells files apart, keeps more than its beginning.

    Examples
    --------
    >>> shortened("holidays/summer/picture_0001.jpg", 20)
    'holiday…ure_0001.jpg'
    """
    if cell_len(text) <= width:
        return text
    tail = max(2 * (width - 1) // 3, 1)
    head = max(width - 1 - tail, 0)
    end = text
    while cell_len(end) > tail:
        end = end[1:]
    return f"{set_cell_size(text, head).rstrip()}…{end}"


# -- tables ------------------------------------------------------------------------------------------------------------


def fitted_table(
    console: Console, columns: Sequence[Column], parts: Sequence[Sequence[Sequence[str]]], *, bold_first: bool = False
) -> Table:
    """Make a table as wide as the console, in which no row is folded.

    Parameters
    ----------
    console
        The console that it is for.
    columns
        Its columns.
    parts
        Rows, in parts with a space between.
    bold_first
        Print the first row of each part bold.

    Returns
    -------
    The table: columns that have nothing are left out, and of the others so many that names have room.
    """
    rows = [row for part in parts for row in part]
    widths = [max((cell_len(row[place]) for row in rows), default=0) for place in range(len(columns))]
    shown = [place for place, width in enumerate(widths) if width]
    widths = [max(width, cell_len(column.heading)) for width, column in zip(widths, columns, strict=True)]
    names = [place for place in shown if columns[place].is_name]

    def room() -> int:
        taken = sum(widths[place] for place in shown if place not in names) + _BETWEEN * len(shown)
        return (console.width - taken) // max(len(names), 1)

    longest = max((widths[place] for place in names), default=0)
    while room() < min(longest, _NARROW):
        out = max(shown, key=lambda place: columns[place].first_out)
        if not columns[out].first_out:
            break
        shown.remove(out)
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, padding=(0, 2, 0, 0))
    for place in shown:
        column = columns[place]
        table.add_column(column.heading, justify="right" if column.is_number else "left", no_wrap=True)
    for part in parts:
        for number, row in enumerate(part):
            cells = [shortened(row[place], max(room(), 8)) if place in names else row[place] for place in shown]
            table.add_row(*map(Text, cells), style="bold" if bold_first and not number else None)
        if len(part) > 1:
            table.add_section()
    return table
