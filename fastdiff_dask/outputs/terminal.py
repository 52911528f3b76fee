"""Text for a terminal: results, estimates, removal plans and their outcomes."""

from collections import Counter
from collections.abc import Iterator
from datetime import datetime
from typing import TYPE_CHECKING

import pandas as pd
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from ..config import EDITED_COPY, describe_verdicts
from ..errors import FastDiffError
from ..results.clusters import Cluster
from ..results.result import Result
from ..results.values import PairValue
from ..text import counted, printable, with_unit
from .console import first_lines, open_console

if TYPE_CHECKING:
    from ..actions.choice import Chosen
    from ..actions.decisions import Apart
    from ..actions.journal import Journal
    from ..actions.removal_plan import RemovalPlan
    from ..actions.removals import Outcome
    from ..stages.estimate import Estimate

__all__ = [
    "describe_apart",
    "describe_estimate",
    "describe_ignored",
    "describe_journal",
    "describe_result",
    "describe_shown",
    "print_merged",
    "print_outcomes",
    "print_removal_plan",
    "print_result",
    "print_undo_plan",
]

_SHOWN_CLUSTERS, _SHOWN_IMAGES, _SHOWN_ERRORS, _SHOWN_FILES = 50, 20, 20, 50
_BECAME = {
    "move": "moved",
    "trash": "moved to the trash",
    "delete": "deleted",
    "hardlink": "replaced by hard links",
    "symlink": "replaced by symbolic links",
    "undo": "brought back",
}


# -- results -----------------------------------------------------------------------------------------------------------


def print_result(result: Result, seconds: float, *, remedy: str = "", to_stderr: bool = False) -> None:
    """Print the clusters, the errors and a summary.

    Parameters
    ----------
    result
        The result.
    seconds
        Time that it took.
    remedy
        How to get all clusters and errors, said where only the first ones are printed.
    to_stderr
        Print to standard error, where standard output is taken.
    """
    console = open_console(to_stderr)
    if result.clusters:
        console.print(_clusters_table(result))
    left_out = len(result.clusters) - _SHOWN_CLUSTERS
    if left_out > 0:
        console.print(Text(f"… and {left_out} more clusters{remedy}"))
    errors = list(result.errors.itertuples())
    lines = first_lines(
        errors,
        _SHOWN_ERRORS,
        lambda row: f"not compared: {printable(row.path)}: {printable(row.error)}",
        f"more errors{remedy}",
    )
    for line in lines:
        console.print(Text(line))
    compared, pairs = result.files["compared"], result.stats["pairs_compared"]
    if pairs:
        summary = f"{compared} images, {pairs} pairs compared in {seconds:.1f} s: "
        summary += f"{result.pair_count} similar pairs, {len(result.low_quality)} images that could go"
    else:
        summary = f"{counted(compared, 'image')} found: nothing to compare"
    if errors:
        summary += f"; {counted(len(errors), 'file')} could not be compared"
    console.print(summary)
    if len(result.verdicts.verdicts):
        console.print(f"The pairs by verdict: {describe_verdicts(result.verdict_counts)}")
    if len(seen := result.edited[result.edited.via == ""]):
        _print_edited(console, seen, remedy)
    if result.groups.two_sides:
        copied = result.copied_verdicts
        found = f": {describe_verdicts(copied)}" if copied else ""
        console.print(f"Of the images of side b, {sum(copied.values())} have a copy on side a{found}")
    console.print(
        f"{counted(result.files['found'], 'file')} below the folders: {compared} compared, "
        f"{counted(len(errors), 'error')}, {describe_ignored(result.files['ignored'])}"
    )


def _print_edited(console: Console, edited: pd.DataFrame, remedy: str) -> None:
    """Print the first edited copies of those that were looked at."""
    table = Table(box=box.SIMPLE_HEAD)
    for heading in ("edited copy", "of", "what was done"):
        table.add_column(heading, overflow="fold")
    table.add_column("sure", justify="right", no_wrap=True)
    for row in edited.head(_SHOWN_CLUSTERS).itertuples():
        names = (Text(printable(name)) for name in (row.copy, row.original))
        table.add_row(*names, row.words, f"{row.confidence:.0%}")
    console.print(table)
    more = f"; {len(edited) - _SHOWN_CLUSTERS} more{remedy}" if len(edited) > _SHOWN_CLUSTERS else ""
    console.print(f"{counted(len(edited), 'pair')} of edited copies{more}")


def _clusters_table(result: Result) -> Table:
    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("")
    if result.groups.two_sides:
        table.add_column("side")
    table.add_column("image", overflow="fold")
    for heading in ("pixels", "bytes", result.value.title, "turned"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("verdict", no_wrap=True)
    clusters = result.clusters_by_verdict()[:_SHOWN_CLUSTERS]
    named = result.among([path for one in clusters for path in (one.keep, *one.low_quality[:_SHOWN_IMAGES])])
    for cluster in clusters:
        _add_cluster(table, named, cluster)
    return table


def _add_cluster(table: Table, result: Result, cluster: Cluster) -> None:
    """Add a row for the image to keep, and for the others their values against it."""
    shown = cluster.low_quality[:_SHOWN_IMAGES]
    similar = {}
    for row in result.similar_to(cluster.keep, shown).itertuples():
        turned = f"{row.rotation}°" + (" mirrored" if row.mirrored else "")
        number = getattr(row, result.value.column)
        similar[row.b if row.a == cluster.keep else row.a] = result.value.shown(number), turned, row.verdict
    # a chain of similar pairs may lead to the image to keep without being similar to it
    by_chain = ("by others" if not len(result.same_hash) else "by hash or others", "", "")
    for place, path in enumerate((cluster.keep, *shown)):
        sides = [cluster.sides[place]] if result.groups.two_sides else []
        image = result.images.loc[path]
        if image.ndim == 2:  # two stores may know the same path
            image = image[image.side == (sides or ["a"])[0]].iloc[0]
        table.add_row(
            "keep" if place == 0 else "",
            *sides,
            Text(printable(path)),
            f"{image['width']}×{image['height']}",
            with_unit(image["size"]),
            *(("", "", "") if place == 0 else similar.get(path, by_chain)),
            style="bold" if place == 0 else None,
        )
    if len(cluster.low_quality) > len(shown):
        table.add_row("", f"… and {len(cluster.low_quality) - len(shown)} more")
    table.add_section()


def describe_ignored(ignored: dict[str, int]) -> str:
    """Describe the numbers of ignored files in words.

    Examples
    --------
    >>> describe_ignored({"ignored name": 1, "no image by its extension": 2})
    '3 ignored (1 ignored name, 2 no image by its extension)'
    >>> describe_ignored({})
    '0 ignored'
    """
    rules = ", ".join(f"{number} {rule}" for rule, number in sorted(ignored.items()))
    return f"{sum(ignored.values())} ignored" + (f" ({rules})" if rules else "")


def describe_shown(value: PairValue, at: datetime | None) -> str:
    """Describe a result that a plan is made of: measure, threshold, options, and when it was shown, in local time."""
    return value.described + ("" if at is None else f", as shown on {at.astimezone():%Y-%m-%d at %H:%M}")


def describe_result(result: Result, at: datetime | None) -> str:
    """Describe a result as `describe_shown` does, and the verdicts by which its pairs were chosen."""
    chosen = " or ".join(result.chosen_verdicts)
    return describe_shown(result.value, at) + (f"; only pairs of the verdict {chosen}" if chosen else "")


# -- estimates ---------------------------------------------------------------------------------------------------------


def describe_estimate(estimate: "Estimate") -> str:
    """Describe an estimate in lines of text.

    Examples
    --------
    >>> from fastdiff_dask.stages.estimate import Estimate
    >>> seconds = {"index": 0.2, "thumbnails": 5400.0, "compare": 80.0}
    >>> parts = {"thumbnails": 12_000_000, "metadata": 500_000}
    >>> print(describe_estimate(Estimate(1000, {"a": 1000}, 12_500_000, parts, 499_500, seconds, 200, 1, "number")))
    Images:      1000
    Sample:      200 files read, 1 of them could not be
    Store:       12.5MB (thumbnails 12MB, metadata 500kB)
    Comparisons: 499500
    Time:        1.5 h (index 0.2 s, thumbnails 1.5 h, compare 1.3 min), by the number of files in the sample
    """
    stages = ", ".join(f"{stage} {_duration(value)}" for stage, value in estimate.seconds.items())
    parts = ", ".join(f"{part} {with_unit(number)}B" for part, number in estimate.bytes_by_part.items())
    sides = f" ({estimate.sides['a']} and {estimate.sides['b']})" if estimate.sides.get("b") else ""
    scaled = "the number of files" if estimate.scaled_by == "number" else "the bytes of the files"
    return "\n".join(
        [
            f"Images:      {estimate.images}{sides}",
            f"Sample:      {estimate.sample} files read, {estimate.sample_errors} of them could not be",
            f"Store:       {with_unit(estimate.store_bytes)}B ({parts})",
            f"Comparisons: {estimate.comparisons}",
            f"Time:        {_duration(sum(estimate.seconds.values()))} ({stages}), by {scaled} in the sample",
        ]
    )


def _duration(seconds: float) -> str:
    for unit, length in ("h", 3600), ("min", 60):
        if seconds >= length:
            return f"{seconds / length:.1f} {unit}"
    return f"{seconds:.1f} s"


# -- removal plans and their outcomes ----------------------------------------------------------------------------------


def print_removal_plan(plan: "RemovalPlan", identical: str) -> None:
    """Print the images that may go, and the duplicates that stay; `identical` is the option for equal files alone."""
    console = open_console()
    if plan.chosen:
        table = Table(box=box.SIMPLE_HEAD)
        for name in ("remove", "keep", "why"):
            table.add_column(name, overflow="fold")
        for name in (plan.value.title, "bytes"):
            table.add_column(name, justify="right", no_wrap=True)
        table.add_column("verdict", no_wrap=True)
        for one in plan.chosen[:_SHOWN_FILES]:
            names = (Text(printable(name)) for name in (one.path, one.kept))
            table.add_row(*names, one.why, _shown_value(plan, one), with_unit(one.size), one.verdict)
        console.print(table)
    if len(plan.chosen) > _SHOWN_FILES:
        console.print(f"… and {len(plan.chosen) - _SHOWN_FILES} more")
    lines = first_lines(
        plan.skipped,
        _SHOWN_FILES,
        lambda one: f"{printable(one.path)} {'stay' if one.path.endswith(' images') else 'stays'}: {one.reason}",
        "more stay",
    )
    for line in lines:
        console.print(Text(line))
    if plan.went:
        console.print(
            f"{counted(plan.went, 'image')} of this result went by an earlier apply: "
            "find, run again, brings it up to date"
        )
    console.print(f"{len(plan.chosen)} images may go, {with_unit(plan.size)}B")
    same = sum(one.same_file for one in plan.chosen)
    if 0 < same < len(plan.chosen):
        console.print(
            f"{same} of them are byte for byte the same as the image that is kept: {identical} takes only these"
        )
    if plan.only_similar:
        number, worst = len(plan.only_similar), max(plan.only_similar, key=lambda one: one.value)
        console.print(
            Text(
                f"{counted(number, 'more image')} {'is' if number == 1 else 'are'} only similar and "
                f"{'stays' if number == 1 else 'stay'}, at worst {printable(worst.path)} and {printable(worst.kept)} "
                f"({plan.value.title} {plan.value.shown(worst.value)}, {worst.verdict})"
            )
        )


def _shown_value(plan: "RemovalPlan", one: "Chosen") -> str:
    return "" if one.verdict == EDITED_COPY else plan.value.shown(one.value)


def describe_apart(apart: "list[Apart]") -> Iterator[str]:
    """Describe the pairs that were decided to be no duplicates, a numbered line each."""
    for number, one in enumerate(apart, 1):
        names = [printable(", ".join(paths)) if paths else "a file that is not there any more" for paths in one.paths]
        yield f"{number}: {names[0]} and {names[1]}"


def print_outcomes(outcomes: "list[Outcome]", action: str) -> None:
    """Print the files that stay and the number of the others.

    Raises
    ------
    FastDiffError
        If any file stays.
    """
    stays = [one for one in outcomes if one.reason is not None]
    for line in first_lines(
        stays, _SHOWN_FILES, lambda one: f"{printable(one.path)} stays: {printable(str(one.reason))}"
    ):
        print(line)
    sidecars = [one for one in outcomes if one.sidecar_of is not None]
    went = sum(one.reason is None for one in sidecars)
    print(f"{len(outcomes) - len(stays) - went} files were {_BECAME[action]}")
    if sidecars:
        print(f"{went} sidecars went with them")
    if stays:
        raise FastDiffError(f"{len(stays)} of {len(outcomes)} files stay as they are")


def print_merged(journal: "Journal") -> None:
    """Print the files that were kept and got date or place of another one."""
    changed = sorted({line["path"] for line in journal.lines if line["action"] == "metadata"})
    for path in changed[:_SHOWN_FILES]:
        print(f"{printable(path)} got date or place of another one")
    if changed:
        print(f"{len(changed)} files that are kept were changed so, which undo does not take back")


def describe_journal(journal: "Journal") -> str:
    """Describe the actions of a journal in a line."""
    numbers = Counter(line["action"] for line in journal.lines)
    shown = ", ".join(f"{number} {action}" for action, number in sorted(numbers.items()))
    return f"{printable(journal.store) or 'a store'}: {shown} ({printable(str(journal.path))})"


def print_undo_plan(journal: "Journal") -> None:
    """Print the files that an undo brings back."""
    paths = [line["path"] for line in journal.actions if "trashed" not in line]
    for line in first_lines(paths, _SHOWN_FILES, printable):
        print(f"  {line}")
