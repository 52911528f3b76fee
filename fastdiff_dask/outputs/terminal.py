"""Text for a terminal: results, estimates, removal plans and their outcomes."""

import itertools
import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from ..config import BY_CERTAINTY, EDITED_COPY, describe_verdicts
from ..errors import FastDiffError
from ..images.films import split_frame
from ..kernels.transforms import Transform
from ..results.clusters import Cluster
from ..results.result import Result
from ..results.values import PairValue
from ..text import counted, file_size, printable
from ..urls import common_folder
from .console import Column, first_lines, fitted_table, open_console, shortened, shown_below

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
    "describe_most",
    "describe_result",
    "describe_shown",
    "error_lines",
    "print_bands",
    "print_merged",
    "print_next_steps",
    "print_outcomes",
    "print_removal_plan",
    "print_result",
    "print_undo_plan",
]

_SHOWN_GROUPS, _SHOWN_IMAGES, _SHOWN_ERRORS, _SHOWN_FILES = 10, 20, 20, 50
_BECAME = {
    "move": "moved",
    "trash": "moved to the trash",
    "delete": "deleted",
    "hardlink": "replaced by hard links",
    "symlink": "replaced by symbolic links",
    "undo": "brought back",
    "copy": "copied",
    "exec": "given to the command",
}
# Actions after which there is nothing to undo.
_FOR_GOOD = ("delete", "undo", "copy", "exec")
# Thresholds of MSE between which pairs are counted; images from which on most of them are many.
_BANDS, _FEW_IMAGES = (0.0, 10.0, 50.0, 100.0, 200.0, 500.0, 1000.0, 2000.0, 5000.0, 10000.0), 10


# -- results -----------------------------------------------------------------------------------------------------------


def print_result(
    result: Result, seconds: float, *, comparing: float | None = None, remedy: str = "", to_stderr: bool = False
) -> None:
    """Print the groups that free most, the errors and a summary.

    Parameters
    ----------
    result
        The result.
    seconds
        Time that the whole run took.
    comparing
        Time that the comparison took of it, if it is known.
    remedy
        How to get all groups and errors, said where only the first ones are printed.
    to_stderr
        Print to standard error, where standard output is taken.
    """
    console = open_console(to_stderr)
    if result.clusters:
        _print_groups(console, result, remedy)
    for line in error_lines(result.errors, f"more errors{remedy}"):
        console.print(Text(line))
    compared = result.files["compared"]
    if result.stats["pairs_compared"]:
        console.print(_compared(result, seconds, comparing))
        console.print(_found(result))
    else:
        console.print(f"{counted(compared, 'image')} found: nothing to compare")
    if verdicts := describe_verdicts(result.verdict_counts):
        console.print(f"The pairs by verdict: {verdicts}")
    if len(seen := result.edited[result.edited.via == ""]):
        _print_edited(console, seen, remedy)
    if result.groups.two_sides:
        copied = result.copied_verdicts
        found = f": {describe_verdicts(copied)}" if copied else ""
        console.print(f"Of the images of side b, {sum(copied.values()):,} have a copy on side a{found}")
    console.print(
        f"{counted(result.files['found'], 'file')} below the folders: {compared:,} compared, "
        f"{counted(len(result.errors), 'error')}, {describe_ignored(result.files['ignored'])}"
    )


def error_lines(errors: pd.DataFrame, rest: str) -> Iterator[str]:
    """Describe the files that could not be compared; all that one package is missing for in one line."""
    others, missing = [], dict[str, list[str]]()
    for row in errors.itertuples():
        if "cannot be read here: pip install" in row.error:
            missing.setdefault(row.error.partition(": ")[2], []).append(row.path)
        else:
            others.append(row)
    for remedy, paths in missing.items():
        files = printable(paths[0]) if len(paths) == 1 else f"{len(paths):,} files such as {printable(paths[0])}"
        yield f"not compared: {files}: {remedy}"
    yield from first_lines(
        others, _SHOWN_ERRORS, lambda row: f"not compared: {printable(row.path)}: {printable(row.error)}", rest
    )


def _compared(result: Result, seconds: float, comparing: float | None) -> str:
    """Describe the comparison; its time is not that of the whole run."""
    pairs = f"{counted(result.files['compared'], 'image')}, {counted(result.stats['pairs_compared'], 'pair')} compared"
    stats = result.stats
    if result.value.settings.of_files:
        files = counted(result.files["compared"], "file")
        return f"{files}, those of equal size compared by SHA-256; the whole run took {_duration(seconds)}"
    if stats.get("tiles") and stats.get("tiles_resumed") == stats["tiles"]:
        return f"{pairs} by an earlier run; this one took {_duration(seconds)}"
    if comparing is None:
        return f"{pairs}; the whole run took {_duration(seconds)}"
    return f"{pairs} in {_duration(comparing)}; the whole run took {_duration(seconds)}"


def _found(result: Result) -> str:
    """Describe the similar pairs, and the images that could be removed."""
    kind = "pair" if result.value.settings.of_files else "similar pair"
    found = f"{counted(result.pair_count, kind)} in {counted(len(result.clusters), 'group')}"
    others = [path for path in result.low_quality if split_frame(path)[1] is None]  # no frame of a film ever goes
    if others:
        size = file_size(sum(map(_sizes(result).__getitem__, others)))
        found += f"; {counted(len(others), 'image')} could be removed, {size}"
    if len(result.errors):
        found += f"; {counted(len(result.errors), 'file')} could not be compared"
    return found


def _print_edited(console: Console, edited: pd.DataFrame, remedy: str) -> None:
    """Print the first edited copies of those that were looked at."""
    shown = edited.head(_SHOWN_GROUPS)
    folder = _print_folder(console, [*shown["copy"], *shown["original"]])
    columns = (
        Column("edited copy", is_name=True),
        Column("of", is_name=True),
        Column("what was done", first_out=1),
        Column("sure", is_number=True, first_out=2),
    )
    rows = [
        (shown_below(row.copy, folder), shown_below(row.original, folder), row.words, f"{row.confidence:.0%}")
        for row in shown.itertuples()
    ]
    console.print(fitted_table(console, columns, [[row] for row in rows]))
    more = f"; {len(edited) - len(shown):,} more{remedy}" if len(edited) > len(shown) else ""
    console.print(f"{counted(len(edited), 'pair')} of edited copies{more}")


def _print_folder(console: Console, paths: Sequence[str]) -> str:
    """Print, on a terminal, the folder that all of these files are in, and give it; names below it are shorter."""
    folder = common_folder(paths) if console.is_terminal else ""
    if folder:
        console.print(Text(f"in {shortened(printable(folder), console.width - 3)}"), soft_wrap=True)
    return folder


def _sizes(result: Result) -> dict[str, int]:
    return dict(zip(result.images.index, result.images["size"].tolist(), strict=True))


def _print_groups(console: Console, result: Result, remedy: str) -> None:
    """Print the groups that free most bytes, each with its verdicts, and what the numbers mean."""
    sizes = _sizes(result)
    freed = [sum(map(sizes.__getitem__, one.low_quality)) for one in result.clusters]
    order = sorted(range(len(freed)), key=lambda place: -freed[place])[:_SHOWN_GROUPS]
    groups = [result.clusters[place] for place in order]
    paths = [path for one in groups for path in (one.keep, *one.low_quality[:_SHOWN_IMAGES])]
    named, folder = result.among(paths), _print_folder(console, paths)
    columns = (
        Column("side"),
        Column("image", is_name=True),
        Column("verdict"),
        Column("size", is_number=True, first_out=2),
        Column("pixels", is_number=True, first_out=3),
        Column(result.value.name, is_number=True, first_out=4),
        Column("turned", is_number=True, first_out=1),
    )
    table = fitted_table(console, columns, [_rows(named, one, folder) for one in groups], bold_first=True)
    console.print(table)
    left_out = len(result.clusters) - len(groups)
    if left_out > 0:
        freed_by_others = file_size(sum(freed) - sum(freed[place] for place in order))
        console.print(Text(f"… and {counted(left_out, 'more group')} with {freed_by_others}{remedy}"))
    if console.is_terminal and "difference" in [column.header for column in table.columns]:
        limit = result.value.settings.similarity_threshold
        console.print(f"difference (MSE): 0 = equal thumbnails, up to {limit:g} counts as similar", style="dim")


def _rows(result: Result, cluster: Cluster, folder: str) -> list[tuple[str, ...]]:
    """Make a row for the image to keep, and for the others their verdict and value against it."""
    shown = cluster.low_quality[:_SHOWN_IMAGES]
    similar = {}
    for row in result.similar_to(cluster.keep, shown).itertuples():
        transform = Transform.of(row.rotation, row.mirrored)  # turns a so that it looks like b
        path, lies = (row.b, transform) if row.a == cluster.keep else (row.a, transform.inverse)
        number = result.value.shown(getattr(row, result.value.column))
        similar[path] = row.verdict, number, lies.words
    # a chain of similar pairs may lead to the image to keep without being similar to it
    by_chain = ("by others" if not len(result.same_hash) else "by hash or others", "", "")
    rows = []
    for place, path in enumerate((cluster.keep, *shown)):
        side = cluster.sides[place] if result.groups.two_sides else ""
        image = result.images.loc[path]
        if image.ndim == 2:  # two stores may know the same path
            image = image[image.side == (side or "a")].iloc[0]
        verdict, *numbers = ("keep", "", "") if place == 0 else similar.get(path, by_chain)
        pixels = f"{image['width']}×{image['height']}" if image["width"] else ""
        rows.append((side, shown_below(path, folder), verdict, file_size(int(image["size"])), pixels, *numbers))
    if len(cluster.low_quality) > len(shown):
        rows.append(("", f"… and {len(cluster.low_quality) - len(shown):,} more", *[""] * 5))
    return rows


def print_next_steps(find_steps: Callable[[], Sequence[tuple[str, str]]]) -> None:
    """Print commands to copy, each with what it is for; nothing is asked for where standard output is no terminal."""
    console = open_console()
    steps = find_steps() if console.is_terminal else ()
    if not steps:
        return
    console.print("\nNext:", style="bold")
    width = max(cell_len(command) for command, _ in steps)
    for command, purpose in steps:
        if width + len(purpose) + 6 <= console.width:
            console.print(Text(f"  {command:{width}}  # {purpose}"), soft_wrap=True)
        else:
            console.print(Text(f"  # {purpose}\n  {command}"), soft_wrap=True)


def describe_most(result: Result) -> str | None:
    """Tell that most of a collection counts as similar without being proved to be copies; None if it does not."""
    compared, alike = result.files["compared"], sum(map(len, result.groups.connected()))
    unproved = sum(result.verdict_counts.get(name, 0) for name in BY_CERTAINTY[3:])
    if compared < _FEW_IMAGES or 2 * alike <= compared or 2 * unproved <= result.pair_count:
        return None
    return (
        f"{alike:,} of {compared:,} images count as similar to another one, though most of these pairs are not proved "
        f"to be copies: the threshold is likely too loose ({result.value.described})"
    )


def print_bands(result: Result) -> None:
    """Print how many pairs lie between each two thresholds, with a pair of each."""
    console, limit = open_console(), result.value.settings.similarity_threshold
    steps = _BANDS if result.value.is_mse else tuple(limit * part / 4 for part in range(1, 4) if limit > 0)
    bounds = np.array([*(step for step in steps if step < limit), limit])
    counts, samples = np.zeros(len(bounds), np.int64), dict[int, tuple[str, str, str]]()
    for part in result.iter_pairs():
        places = np.searchsorted(bounds, part[result.value.column].to_numpy())
        counts += np.bincount(places, minlength=len(bounds))
        for place in np.unique(places).tolist():
            row = part.iloc[int(np.argmax(places == place))]
            samples.setdefault(place, (row.a, row.b, row.verdict))
    folder = _print_folder(console, [path for a, b, _ in samples.values() for path in (a, b)])
    rows = []
    for place, bound in enumerate(bounds.tolist()):
        a, b, verdict = samples.get(place, ("", "", ""))
        over = "" if not place else f"over {bounds[place - 1]:g} "
        names = [shown_below(name, folder) if name else "" for name in (a, b)]
        rows.append((f"{over}up to {bound:g}", f"{counts[place]:,}", *names, verdict))
    columns = (
        Column("difference (MSE)" if result.value.is_mse else result.value.title),
        Column("pairs", is_number=True),
        Column("for example", is_name=True),
        Column("and", is_name=True),
        Column("verdict", first_out=1),
    )
    console.print(fitted_table(console, columns, [[row] for row in rows]))


def describe_ignored(ignored: dict[str, int]) -> str:
    """Describe the numbers of ignored files in words.

    Examples
    --------
    >>> describe_ignored({"ignored name": 1, "no image by its extension": 2})
    '3 ignored (1 ignored name, 2 no image by its extension)'
    >>> describe_ignored({})
    '0 ignored'
    """
    rules = ", ".join(f"{number:,} {rule}" for rule, number in sorted(ignored.items()))
    return f"{sum(ignored.values()):,} ignored" + (f" ({rules})" if rules else "")


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
    Images:      1,000
    Sample:      200 files read, 1 of them could not be
    Store:       12.5 MB (thumbnails 12.0 MB, metadata 500.0 kB)
    Comparisons: 499,500
    Time:        1.5 h (index 0.2 s, thumbnails 1.5 h, compare 1.3 min), by the number of files in the sample
    """
    stages = ", ".join(f"{stage} {_duration(value)}" for stage, value in estimate.seconds.items())
    parts = ", ".join(f"{part} {file_size(number)}" for part, number in estimate.bytes_by_part.items())
    sides = f" ({estimate.sides['a']:,} and {estimate.sides['b']:,})" if estimate.sides.get("b") else ""
    scaled = "the number of files" if estimate.scaled_by == "number" else "the bytes of the files"
    return "\n".join(
        [
            f"Images:      {estimate.images:,}{sides}",
            f"Sample:      {estimate.sample:,} files read, {estimate.sample_errors:,} of them could not be",
            f"Store:       {file_size(estimate.store_bytes)} ({parts})",
            f"Comparisons: {estimate.comparisons:,}",
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
    """Print the images that could be removed, and the copies that stay; `identical` is the option for equal files."""
    console = open_console()
    if plan.chosen:
        _print_chosen(console, plan)
    if len(plan.chosen) > _SHOWN_FILES:
        console.print(f"… and {counted(len(plan.chosen) - _SHOWN_FILES, 'smaller file')}")
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
    console.print(f"{counted(len(plan.chosen), 'image')} could be removed, {file_size(plan.size)}")
    same = sum(one.same_file for one in plan.chosen)
    if 0 < same < len(plan.chosen):
        console.print(
            f"{same:,} of them are byte for byte the same as the image that is kept: {identical} takes only these"
        )
    if plan.only_similar:
        number, worst = len(plan.only_similar), max(plan.only_similar, key=lambda one: one.value)
        console.print(
            Text(
                f"{counted(number, 'more image')} {'is' if number == 1 else 'are'} only similar and "
                f"{'stays' if number == 1 else 'stay'}, at worst {printable(worst.path)} and {printable(worst.kept)} "
                f"({plan.value.name} {plan.value.shown(worst.value)}, {worst.verdict})"
            )
        )


def _print_chosen(console: Console, plan: "RemovalPlan") -> None:
    """Print the largest images that could be removed, each below the image that is kept for it."""
    largest = sorted(plan.chosen, key=lambda one: -one.size)[:_SHOWN_FILES]
    shown = sorted(largest, key=lambda one: (one.kept, one.path))
    folder = _print_folder(console, [path for one in shown for path in (one.path, one.kept)])
    columns = (
        Column("image", is_name=True),
        Column("mark"),
        Column("verdict", first_out=1),
        Column("size", is_number=True, first_out=2),
        Column("why", first_out=3),
        Column(plan.value.name, is_number=True, first_out=4),
    )
    widest = 50 if console.is_terminal else console.width
    parts = []
    for kept, several in itertools.groupby(shown, key=lambda one: one.kept):
        rows = [(shown_below(kept, folder), "keep", "", "", "", "")]
        for one in several:
            numbers = file_size(one.size), shortened(one.why, widest), _shown_value(plan, one)
            rows.append((shown_below(one.path, folder), "remove", one.verdict, *numbers))
        parts.append(rows)
    console.print(fitted_table(console, columns, parts, bold_first=True))


def _shown_value(plan: "RemovalPlan", one: "Chosen") -> str:
    return "" if one.verdict == EDITED_COPY else plan.value.shown(one.value)


def describe_apart(apart: "list[Apart]") -> Iterator[str]:
    """Describe the pairs that were decided to be no duplicates, a numbered line each."""
    for number, one in enumerate(apart, 1):
        names = [printable(", ".join(paths)) if paths else "a file that is not there any more" for paths in one.paths]
        yield f"{number}: {names[0]} and {names[1]}"


def print_outcomes(outcomes: "list[Outcome]", action: str) -> None:
    """Print the files that stay, or whose command failed, and the number of the others.

    Raises
    ------
    FastDiffError
        If there is any.
    """
    stays = [one for one in outcomes if one.reason is not None]
    for line in first_lines(stays, _SHOWN_FILES, lambda one: _why_not(one, action)):
        print(line)
    sidecars = [one for one in outcomes if one.sidecar_of is not None]
    went = sum(one.reason is None for one in sidecars)
    done = len(outcomes) - len(stays) - went
    print(f"{counted(done, 'file')} {'was' if done == 1 else 'were'} {_BECAME[action]}")
    if sidecars:
        print(f"{counted(went, 'sidecar')} went with them")
    if done and action not in _FOR_GOOD:
        print("fastdiff-dask undo brings them back.")
    if stays:
        what, how = ("command", "failed, or were not run") if action == "exec" else ("file", "stay as they are")
        raise FastDiffError(f"{len(stays):,} of {counted(len(outcomes), what)} {how}")


def _why_not(one: "Outcome", action: str) -> str:
    # a command that failed may have taken the file before
    what = "is gone" if action == "exec" and not os.path.lexists(one.path) else "stays"
    return f"{printable(one.path)} {what}: {printable(str(one.reason))}"


def print_merged(journal: "Journal") -> None:
    """Print the files that were kept and got date or place of another one."""
    changed = sorted({line["path"] for line in journal.lines if line["action"] == "metadata"})
    for path in changed[:_SHOWN_FILES]:
        print(f"{printable(path)} got date or place of another one")
    if changed:
        print(f"{len(changed)} files that are kept were changed so, which undo does not take back")


def describe_journal(journal: "Journal") -> str:
    """Describe the actions of a journal in a line: when, how many files and bytes, of which store."""
    from ..actions.journal import DONE

    numbers = Counter(line["action"] for line in journal.lines)
    done = ", ".join(f"{counted(number, 'file')} {DONE.get(name, name)}" for name, number in sorted(numbers.items()))
    size = sum(line.get("size", 0) for line in journal.lines if "trashed" not in line)
    store = printable(journal.store) or "a store"
    begun = f"{journal.begun.astimezone():%Y-%m-%d %H:%M}"
    return f"{begun}: {done}, {file_size(size)}; {store} ({printable(str(journal.path))})"


def print_undo_plan(journal: "Journal") -> None:
    """Print the files that an undo brings back."""
    paths = [line["path"] for line in journal.actions if "trashed" not in line]
    for line in first_lines(paths, _SHOWN_FILES, printable):
        print(f"  {line}")
