"""The command ``inspect``: what is remarkable in a data set."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from .store import chosen_result
from .store_argument import complete_folders

if TYPE_CHECKING:
    from ..inspection.inspection import Inspection

__all__ = ["inspect"]

# Option of each limit → what an image is beyond it, and the usual limit.
_LIMITS = {
    "blank": ("Blank: all pixels are alike, within this much.", 0.05),
    "dark": ("Dark: 99 % of the pixels are darker.", 0.32),
    "bright": ("Bright: 95 % of the pixels are brighter.", 0.95),
    "low_contrast": ("Low contrast: the darkest and the brightest pixels are closer.", 0.15),
    "blurred": ("Blurred: edges lose less by being blurred; from here on.", 0.5),
    "odd_size": ("Odd size: so many interquartile ranges smaller or larger than usual.", 3.0),
    "odd_aspect": ("Odd aspect: the shorter side is a smaller part of the longer one.", 0.35),
    "odd_mode": ("Odd mode: at most this part of the images has the colour mode.", 0.1),
    "grey": ("Grey: no colour beyond this.", 0.04),
}


def _limits(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add an option for each limit."""
    for name, (text, usual) in reversed(_LIMITS.items()):
        flag = f"--{name.replace('_', '-')}"
        add = click.option(flag, name, type=float, default=usual, show_default=True, metavar="X", help=text)
        command = add(command)
    return command


@click.command()
@click.argument("folders", metavar="[STORE | DIR...]", nargs=-1, shell_complete=complete_folders)
@click.option(
    "--splits",
    metavar="DIR,DIR",
    default="",
    help="Folders that are parts of the data set, in which no image should be twice.  [default: train, test, val and "
    "the like]",
)
@_limits
@click.option(
    "--no-read",
    is_flag=True,
    help="Read no picture again; the blur of those that an earlier version has read stays unknown.",
)
@click.option("--json", "json_file", metavar="FILE", help="Write everything; - for the screen.")
@click.option("--csv", "csv_file", metavar="FILE", help="Write the table, an image a line; - for the screen.")
@chosen_result
def inspect(
    folders: tuple[str, ...],
    splits: str,
    no_read: bool,
    json_file: str | None,
    csv_file: str | None,
    threshold: float | None,
    comparison: str | None,
    verdict: tuple[str, ...],
    **limits: float,
) -> None:
    """Look for blank, dark, bright, blurred, odd, grey, equal and leaked images in STORE, or in the images below DIR.

    What find has read is enough. A folder that was not searched yet is read first, without a comparison: similar images
    are known when find has compared them. Figures are from 0 to 1; all are defined in the guide, page dataset_care.
    """
    from ..outputs.inspection import print_inspection, write_inspection, write_inspection_rows
    from ..project.inspect import check_limits, inspect_stored
    from ..project.locations import is_searched, store_of

    check_limits(limits)
    if folders and not is_searched(folders):
        _read_first(folders)
    url = store_of(folders)
    options: Any = {"threshold": threshold, "comparison": comparison, "verdict": verdict, "read": not no_read}
    inspection = inspect_stored(url, limits, splits, **options)
    if json_file is not None:
        write_inspection(inspection, json_file)
    if csv_file is not None:
        write_inspection_rows(inspection, csv_file)
    if "-" not in (json_file, csv_file):
        print_inspection(inspection)
        _print_next(inspection, folders, url)


def _read_first(folders: tuple[str, ...]) -> None:
    """Read the pictures of folders into their store, where there are such folders."""
    from pathlib import Path

    from ..project.project import Project
    from .options import asked_settings

    if all(Path(one).is_dir() for one in folders):
        with Project(asked_settings(p_root_dir_a=folders)) as project, project.writing():
            project.index()
            project.make_thumbnails(compute_thumbnails=True)


def _print_next(inspection: "Inspection", folders: tuple[str, ...], url: str) -> None:
    """Print the commands that come after this one."""
    import shlex

    from ..outputs.terminal import print_next_steps
    from ..text import printable

    where = shlex.join(folders or (url,))
    steps = []
    if inspection.not_compared:
        steps.append((f"fastdiff-dask find {where}", "compare them: similar images, and leaks that are no equal files"))
    elif inspection.counts["byte_equal"] or inspection.counts["near_equal"]:
        steps.append((f"fastdiff-dask review {where}", "look at copies and similar images"))
    steps.append((f"fastdiff-dask inspect {where} --csv issues.csv", "all images with their figures, as a table"))
    steps = [(printable(command), purpose) for command, purpose in steps]
    print_next_steps(lambda: steps)
