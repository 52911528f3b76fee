"""Text and JSON of an evaluation."""

import json
from typing import Any

from rich import box
from rich.table import Table
from rich.text import Text

from ..config import EDITED_COPY
from ..evaluation.scores import Evaluation
from ..text import counted, printable
from .console import first_lines, open_console
from .json_file import write_texts

__all__ = ["print_evaluation", "write_figures"]

_SHOWN = 20


def print_evaluation(figures: Evaluation) -> None:
    """Print the figures, those of each kind, and the first wrong and missed pairs."""
    console = open_console()
    if len(figures.kinds):
        table = Table(box=box.SIMPLE_HEAD)
        table.add_column("kind")
        for name in ("known", "found", "recall"):
            table.add_column(name, justify="right")
        for row in figures.kinds.itertuples():
            table.add_row(Text(printable(str(row.Index))), str(row.known), str(row.right), _percent(row.recall))
        console.print(table)
    if EDITED_COPY in figures.verdicts.index:
        table = Table(box=box.SIMPLE_HEAD)
        table.add_column("verdict")
        for name in ("found", "right"):
            table.add_column(name, justify="right")
        for row in figures.verdicts.itertuples():
            table.add_row(str(row.Index), str(row.found), str(row.right))
        console.print(table)
    for name, pairs in (("wrong", figures.wrong), ("missed", figures.missed)):
        rows = list(pairs[["a", "b"]].itertuples(index=False))
        for line in first_lines(rows, _SHOWN, _pair_line(name), f"more {name} pairs"):
            console.print(Text(line))
    if figures.unknown:
        names = ", ".join(first_lines(figures.unknown, 3, printable))
        console.print(Text(f"{counted(len(figures.unknown), 'name')} of the truth are no images here: {names}"))
    console.print(
        f"{figures.right:,} of {counted(figures.known, 'known pair')} found, and "
        f"{figures.found - figures.right:,} others: precision {_percent(figures.precision)}, "
        f"recall {_percent(figures.recall)}, F1 {_percent(figures.f1)}, "
        f"average precision {_percent(figures.average_precision)}"
    )


def _percent(share: Any) -> str:
    """Give a share in percent, never rounded up to all."""
    return f"{min(100 * share, 100 if share == 1 else 99.9):.1f} %"


def _pair_line(name: str) -> Any:
    return lambda pair: f"{name}: {printable(pair.a)} and {printable(pair.b)}"


def write_figures(figures: Evaluation, path: str) -> None:
    """Write all figures as JSON; ``-`` is standard output."""
    write_texts([json.dumps(figures.to_dict(), indent=1) + "\n"], path)
