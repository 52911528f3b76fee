"""A result as a table on the terminal."""

from collections import Counter
from typing import TYPE_CHECKING, Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from ..errors import FastDiffError
from ..results.result import Result
from ..stages.estimate import Estimate
from ..text import printable, with_unit

if TYPE_CHECKING:
    from ..actions.journal import Journal
    from ..actions.removal_plan import RemovalPlan
    from ..actions.removals import Outcome

__all__ = [
    "SHOWN_FILES",
    "describe_estimate",
    "describe_ignored",
    "print_changed",
    "print_outcomes",
    "print_plan",
    "print_result",
    "summary",
]

_SHOWN_CLUSTERS, _SHOWN_IMAGES, _SHOWN_ERRORS = 50, 20, 20
SHOWN_FILES = 50
_DONE: dict[str, Any] = {
    "move": "moved",
    "trash": "moved to the trash",
    "delete": "deleted",
    "hardlink": "replaced by hard links",
    "symlink": "replaced by symbolic links",
    "undo": "brought back",
}


def print_result(result: Result, seconds: float, *, to_stderr: bool = False) -> None:
    """Print the clusters, the errors and a summary.

    Parameters
    ----------
    result
        What was found.
    seconds
        How long it took.
    to_stderr
        Print to standard error, where standard output is taken.
    """
    console = Console(stderr=to_stderr, highlight=False)
    if not console.is_terminal:
        console = Console(stderr=to_stderr, highlight=False, width=10_000)  # a file has no width to fold lines at
    shown = result.clusters[:_SHOWN_CLUSTERS]
    if shown:
        console.print(_clusters_table(result))
    if len(result.clusters) > len(shown):
        console.print(f"… and {len(result.clusters) - len(shown)} more clusters; --json FILE writes all of them")
    for row in result.errors[:_SHOWN_ERRORS].itertuples():
        console.print(Text(f"not compared: {printable(row.path)}: {printable(row.error)}"))
    if len(result.errors) > _SHOWN_ERRORS:
        console.print(f"… and {len(result.errors) - _SHOWN_ERRORS} more errors; --json FILE writes all of them")
    compared = result.files["compared"]
    summary = f"{compared} images, {result.stats['pairs_compared']} pairs compared in {seconds:.1f} s: "
    if not result.stats["pairs_compared"]:
        summary = f"{compared} image{'s' if compared != 1 else ''} found: nothing to compare"
    else:
        summary += f"{result.pair_count} similar pairs, {len(result.low_quality)} images that could go"
    if len(result.errors):
        summary += f"; {len(result.errors)} files could not be compared"
    console.print(summary)
    found, ignored = result.files["found"], result.files["ignored"]
    console.print(
        f"{found} file{'s' if found != 1 else ''} below the folders: {compared} compared, "
        f"{len(result.errors)} error{'s' if len(result.errors) != 1 else ''}, {describe_ignored(ignored)}"
    )


def _clusters_table(result: Result) -> Table:
    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("")
    two_sides = result.groups.two_sides
    if two_sides:
        table.add_column("side")
    table.add_column("image", overflow="fold")
    for heading in ("pixels", "bytes", "MSE" if result.pixels is not None else "value", "turned"):
        table.add_column(heading, justify="right", no_wrap=True)
    others = "by others" if not len(result.same_hash) else "by hash or others"
    clusters = result.clusters[:_SHOWN_CLUSTERS]
    named = result.among([path for one in clusters for path in (one.keep, *one.low_quality[:_SHOWN_IMAGES])])
    for cluster in clusters:
        shown = cluster.low_quality[:_SHOWN_IMAGES]
        similar = {}
        for row in named.similar_to(cluster.keep, shown).itertuples():
            turned = f"{row.rotation}°" + (" mirrored" if row.mirrored else "")
            value = f"{row.value:.4g}" if result.pixels is None else f"{row.mse:.2f}"
            similar[row.b if row.a == cluster.keep else row.a] = value, turned
        for place, path in enumerate((cluster.keep, *shown)):
            side = cluster.sides[place] if two_sides else "a"
            image = result.images.loc[path]
            if image.ndim == 2:  # two stores may know the same path
                image = image[image.side == side].iloc[0]
            first = place == 0
            # a chain of similar pairs may lead to the one to keep without being similar to it
            mse, turned = ("", "") if first else similar.get(path, (others, ""))
            table.add_row(
                "keep" if first else "",
                *([side] if two_sides else []),
                Text(printable(path)),
                f"{image['width']}×{image['height']}",
                with_unit(image["size"]),
                mse,
                turned,
                style="bold" if first else None,
            )
        if len(cluster.low_quality) > len(shown):
            table.add_row("", f"… and {len(cluster.low_quality) - len(shown)} more")
        table.add_section()
    return table


def print_changed(url: str) -> None:
    from ..actions.journal import journals

    found = journals(url)
    changed = sorted({line["path"] for line in found[-1].lines if line["action"] == "metadata"}) if found else []
    for path in changed[:SHOWN_FILES]:
        print(f"{printable(path)} got date or place of another one")
    if changed:
        print(f"{len(changed)} files that are kept were changed so, which undo does not take back")


def summary(journal: "Journal") -> str:
    numbers = Counter(line["action"] for line in journal.lines)
    shown = ", ".join(f"{number} {action}" for action, number in sorted(numbers.items()))
    return f"{printable(journal.store) or 'a store'}: {shown} ({printable(str(journal.path))})"


def print_plan(plan: "RemovalPlan") -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from ..text import with_unit

    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=10_000)
    if plan.chosen:
        table = Table(box=box.SIMPLE_HEAD)
        for name in ("remove", "keep", "why"):
            table.add_column(name, overflow="fold")
        for name in ("MSE" if plan.measure == "mse" else plan.measure, "bytes"):
            table.add_column(name, justify="right", no_wrap=True)
        for one in plan.chosen[:SHOWN_FILES]:
            names = (Text(printable(name)) for name in (one.path, one.kept))
            table.add_row(*names, one.why, f"{one.value:.4g}", with_unit(one.size))
        console.print(table)
    if len(plan.chosen) > SHOWN_FILES:
        console.print(f"… and {len(plan.chosen) - SHOWN_FILES} more")
    for skipped in plan.skipped[:SHOWN_FILES]:
        verb = "stay" if skipped.path.endswith(" images") else "stays"
        console.print(Text(f"{printable(skipped.path)} {verb}: {skipped.reason}"))
    if len(plan.skipped) > SHOWN_FILES:
        console.print(f"… and {len(plan.skipped) - SHOWN_FILES} more stay")
    console.print(f"{len(plan.chosen)} images may go, {with_unit(plan.size)}B")


def print_outcomes(outcomes: "list[Outcome]", action: str) -> None:
    stays = [one for one in outcomes if one.reason is not None]
    for one in stays[:SHOWN_FILES]:
        print(f"{printable(one.path)} stays: {printable(str(one.reason))}")
    if len(stays) > SHOWN_FILES:
        print(f"… and {len(stays) - SHOWN_FILES} more")
    print(f"{len(outcomes) - len(stays)} files were {_DONE[action]}")
    if stays:
        raise FastDiffError(f"{len(stays)} of {len(outcomes)} files stay as they are")


def describe_ignored(ignored: dict[str, int]) -> str:
    """Numbers of ignored files in words.

    Examples
    --------
    >>> describe_ignored({"ignored name": 1, "no image by its extension": 2})
    '3 ignored (1 ignored name, 2 no image by its extension)'
    >>> describe_ignored({})
    '0 ignored'
    """
    rules = ", ".join(f"{number} {rule}" for rule, number in sorted(ignored.items()))
    return f"{sum(ignored.values())} ignored" + (f" ({rules})" if rules else "")


def describe_estimate(estimate: Estimate) -> str:
    """Describe an estimate in lines of text.

    Examples
    --------
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
