"""The report: a result as one HTML file with a summary, the groups as the review page shows them, and marks."""

import json
import os
import re
import secrets
import shlex
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, PackageLoader, select_autoescape
from markupsafe import Markup

from ...actions.decisions import FORMAT
from ...config import SIMILAR, VERDICT_NAMES, check_whole
from ...errors import UsageError
from ...local_files import replaced_file
from ...results.keep_rules import KeepRules
from ...results.result import Result
from ...storage.store import Store
from ...text import file_size, printable
from ...urls import common_folder
from .report_edited import edited_section
from .report_groups import ReportGroup, group_pictures, report_groups
from .report_issues import issues_section

__all__ = ["LIMIT", "write_report"]

# Number of groups shown by default.
LIMIT = 10_000
_BINS = 40
# The template marks a report by this line.
_MADE = b'<meta name="generator" content="fastdiff_dask report">'
_PAGE = Path(__file__).parents[2] / "templates" / "review"
_IMPORT = re.compile(r'^import .* from "\./(\w+\.js)";\n', re.MULTILINE)
_EXPORT = re.compile(r"^export (?=\w)", re.MULTILINE)


def write_report(
    store: Store, result: Result, path: str | os.PathLike[str], *, limit: int = LIMIT, rules: KeepRules | None = None
) -> int:
    """Write a report of a result; give the number of groups shown.

    Groups are sorted by certainty: by the least certain verdict between the image to keep and another image, then by
    the largest value, lowest first.
    The report needs no other file; a picture takes 5 kB, and reading files for them takes two minutes at most. Names of
    files are data in the page, never markup. Memory: 1 kB for each image in a pair.

    Parameters
    ----------
    store, result
        The store, and a result of it.
    path
        The file; an earlier report is replaced.
    limit
        Groups, and edited copies, to show at most; the page says how many are left out.
    rules
        Rules that order the images for the suggestions.

    Returns
    -------
    Number of groups that the report shows.

    Raises
    ------
    UsageError
        If the file cannot be written, an existing file is no report, or the limit is no whole number.
    """
    check_whole("limit", limit)
    groups = report_groups(store, result, KeepRules() if rules is None else rules)
    shown = groups[:limit]
    values = [image["value"] for group in groups for image in group["images"] if image["value"] is not None]
    bars, ticks = _histogram(np.array(values))
    environment = Environment(
        loader=PackageLoader("fastdiff_dask"), autoescape=select_autoescape(default=True, default_for_string=True)
    )
    pieces = environment.get_template("report.html.jinja").generate(
        nonce=secrets.token_hex(16),
        summary=_summary(result, groups, len(shown)) | {"store": _quoted(store)},
        bars=bars,
        bars_text="; ".join(bar["title"] for bar in bars),
        ticks=ticks,
        # only "<" could end the <script> element
        data=Markup(json.dumps(_data(store, result, shown)).replace("<", "\\u003c")),
        style=Markup((_PAGE / "review.css").read_text(encoding="utf-8")),
        script=_script(),
        sheets=group_pictures(store, shown),
        edited=edited_section(store, result, limit),
        issues=issues_section(store, result),
    )
    try:
        _check_target(Path(path))
        with replaced_file(Path(path)) as file:
            file.writelines(piece.encode() for piece in pieces)
    except OSError as error:
        raise UsageError(f"the report cannot be written to {path}: {error.strerror}; name another file") from None
    return len(shown)


def _summary(result: Result, groups: list[ReportGroup], shown: int) -> dict[str, Any]:
    """Figures at the top of the page."""
    folders = [*result.settings["directories_a"], *result.settings["directories_b"]]
    return {
        "images": result.files["compared"],
        "pairs": result.pair_count,
        "groups": len(groups),
        "shown": shown,
        "left_out": len(groups) - shown,
        "removable": sum(group["removable"][0] for group in groups),
        "space": file_size(sum(group["removable"][1] for group in groups)),
        "errors": len(result.errors),
        "folders": printable(", ".join(folders)),
        "measure": result.value.title,
        "question": result.value.described,
        "chosen": " or ".join(result.chosen_verdicts),
        "only_similar": 0 if result.chosen_verdicts else result.verdict_counts[VERDICT_NAMES[SIMILAR]],
    }


def _data(store: Store, result: Result, groups: list[ReportGroup]) -> dict[str, Any]:
    """Data of the page's script."""
    return {
        "format": FORMAT,
        "store": store.url,
        "quoted": _quoted(store),
        "threshold": result.value.threshold,
        "measure": result.value.title,
        "question": result.value.described,
        "common": printable(common_folder(result.images.index)),
        "sides": result.groups.two_sides,
        "groups": [{name: group[name] for name in ("verdict", "more", "images")} for group in groups],
    }


def _quoted(store: Store) -> str:
    """Give the address of the store as an argument of a command."""
    return shlex.quote(printable(store.url))


def _check_target(path: Path) -> None:
    """Refuse to replace a file that is no report, such as a picture."""
    if not path.exists():
        return
    with path.open("rb") as file:
        start = file.read(1024)
    if start and _MADE not in start:
        raise UsageError(f"{printable(str(path))} is no report; name another file")


def _script() -> Markup:
    """Join the modules of the page, those that others need first: a file cannot load its scripts from elsewhere.

    Names at their top are different in all modules.
    """
    joined: dict[str, str] = {}

    def add(name: str) -> None:
        text = (_PAGE / name).read_text(encoding="utf-8")
        for needed in _IMPORT.findall(text):
            if needed not in joined:
                add(needed)
        joined[name] = _EXPORT.sub("", _IMPORT.sub("", text))

    add("report.js")
    return Markup("\n".join(joined.values()))


def _histogram(values: Any) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Make the bars of an SVG of 640 × 110, and the numbers below it."""
    if not len(values):
        return [], []
    counts, edges = np.histogram(values, bins=_BINS, range=(min(0.0, float(values.min())), float(values.max()) or 1.0))
    width, highest = 640 / _BINS, int(counts.max())
    bars = [
        {
            "x": f"{place * width + 1:.1f}",
            "width": f"{width - 2:.1f}",
            "y": f"{92 - 88 * count / highest:.1f}",
            "height": f"{88 * count / highest:.1f}",
            "title": f"{edges[place]:.4g} to {edges[place + 1]:.4g}: {count}",
        }
        for place, count in enumerate(counts.tolist())
        if count
    ]
    step = (edges[-1] - edges[0]) / 4
    ticks = [{"x": f"{20 + 150 * n}", "text": f"{edges[0] + step * n:.4g}"} for n in range(5)]
    return bars, ticks
