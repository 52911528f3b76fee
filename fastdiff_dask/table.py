"""A result as a table on the terminal."""

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from .catalog import describe_ignored
from .errors import printable
from .progress import with_unit
from .results import Result

__all__ = ["print_result"]

_SHOWN_CLUSTERS, _SHOWN_IMAGES, _SHOWN_ERRORS = 50, 20, 20


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
