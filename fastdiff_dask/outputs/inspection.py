"""Text, JSON and CSV of an inspection."""

import json
from collections.abc import Iterator
from dataclasses import asdict

from rich.text import Text

from ..inspection.definitions import FIGURE_OF, ISSUES
from ..inspection.inspection import INSPECTION_SCHEMA, Example, Inspection
from ..text import counted, printable
from ..urls import common_folder
from .console import Column, fitted_table, open_console, shown_below
from .json_file import write_texts
from .text_rows import json_rows, table_texts

__all__ = ["print_inspection", "write_inspection", "write_inspection_rows"]

# Images that are named on the screen for each issue, and pairs across parts.
_EXAMPLES, _PAIRS = 3, 5


def print_inspection(inspection: Inspection) -> None:
    """Print how many images have each issue, with the most remarkable ones, and the pairs across parts."""
    console, counts = open_console(), inspection.counts
    examples = {issue: inspection.examples(issue)[:_EXAMPLES] for issue in ISSUES if counts[issue]}
    leaks = inspection.leaks.head(_PAIRS)
    folder = common_folder([*(one.path for some in examples.values() for one in some), *leaks.a, *leaks.b])
    if folder:
        console.print(Text(f"in {printable(folder)}"))
    rows = []
    for issue, some in examples.items():
        first = (issue.replace("_", " "), f"{counts[issue]:,}", *_shown(some[0], folder))
        rows.append([first, *(("", "", *_shown(one, folder)) for one in some[1:])])
    columns = (
        Column("issue"),
        Column("images", is_number=True),
        Column("for example", is_name=True),
        Column("figure", is_number=True, first_out=1),
    )
    if rows:
        console.print(fitted_table(console, columns, rows))
    for row in leaks.itertuples():
        ends = [f"{part}: {shown_below(path, folder)}" for part, path in ((row.split_a, row.a), (row.split_b, row.b))]
        console.print(Text(f"leak: {ends[0]}, {ends[1]} ({row.verdict}, {row.value:.4g})"))
    if inspection.leak_pairs > len(leaks):
        console.print(Text(f"and {counted(inspection.leak_pairs - len(leaks), 'more leak')}"))
    for line in inspection.lines():
        console.print(Text(line))


def _shown(example: Example, folder: str) -> tuple[str, str]:
    return shown_below(example.path, folder), f"{example.figure:.3g}"


def write_inspection(inspection: Inspection, path: str) -> None:
    """Write an inspection as JSON, sorted, so that two runs are byte-equal; ``-`` is standard output.

    Parameters
    ----------
    inspection
        The inspection.
    path
        The file; compressed if its name ends in .gz.

    Raises
    ------
    UsageError
        If the file cannot be written.
    """
    write_texts(_json_texts(inspection), path)


def _json_texts(inspection: Inspection) -> Iterator[str]:
    counts = inspection.counts
    head = {
        "format": 1,
        "images": counts["images"],
        "errors": counts["errors"],
        "limits": asdict(inspection.limits),
        "splits": inspection.images_by_split,
        "not_compared": inspection.not_compared or None,
        "issues": {
            issue: {"images": counts[issue], "figure": FIGURE_OF[issue], "rule": inspection.rule(issue)}
            for issue in ISSUES
        },
        "leak_pairs": inspection.leak_pairs,
    }
    yield json.dumps(head, indent=1).removesuffix("\n}") + ',\n "leaks": [\n'
    yield from json_rows(inspection.leaks)
    yield '\n ],\n "table": [\n'
    separator = ""
    for part in inspection.numbered_blocks():
        for texts in json_rows(part):
            yield separator + texts.removesuffix(",\n")
            separator = ",\n"
    yield "\n ]\n}\n"


def write_inspection_rows(inspection: Inspection, path: str) -> None:
    """Write the table as CSV, with a line of names; ``-`` is standard output.

    Raises
    ------
    UsageError
        If the file cannot be written.
    """
    write_texts(table_texts(INSPECTION_SCHEMA.names, inspection.numbered_blocks(), "csv"), path)
