"""Tables and JSON of a calibration."""

import json

from rich import box
from rich.table import Table
from rich.text import Text

from ..evaluation.calibration import Calibration
from ..text import counted, printable
from .console import open_console
from .json_file import write_texts

__all__ = ["print_calibration", "write_calibration"]

_TITLES = {"mse": "Difference (MSE)", "correlation": "Correlation distance"}


def print_calibration(figures: Calibration) -> None:
    """Print, for each measure, the copies that are found up to each threshold by kind, and the wrong pairs."""
    console = open_console()
    for measure, recall in figures.recall.items():
        table = Table(box=box.SIMPLE_HEAD, title=f"{_TITLES[measure]}: copies found up to a threshold, in %")
        table.add_column("kind")
        for threshold in recall.columns:
            table.add_column(f"{threshold:g}", justify="right")
        for kind, row in recall.iterrows():
            shares = (f"{min(100 * share, 99 if share < 1 else 100):.0f}" for share in row)  # never rounded up to all
            table.add_row(Text(printable(str(kind))), *shares)
        table.add_section()
        table.add_row("wrong pairs", *(str(number) for number in figures.wrong[measure].sum()))
        console.print(table)
    console.print(f"{counted(figures.images, 'image')} copied, {figures.pairs:,} pairs with other images")
    for measure in figures.recall:
        console.print(_suggestion(figures, measure))


def _suggestion(figures: Calibration, measure: str) -> str:
    threshold = figures.suggested(measure)
    if threshold is None:
        return f"{_TITLES[measure]}: no threshold finds 99 % of the plain copies without a wrong pair"
    return f"{_TITLES[measure]}: threshold {threshold:g} finds 99 % of the plain copies, and no wrong pair"


def write_calibration(figures: Calibration, path: str) -> None:
    """Write the figures as JSON; ``-`` is standard output."""
    write_texts([json.dumps(figures.to_dict(), indent=1) + "\n"], path)
