"""A progress bar per stage: count, rate and remaining time, on a terminal only."""

import contextlib
from collections.abc import Callable, Iterator

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.text import Text

__all__ = ["is_shown", "stage_bar", "with_unit"]


def with_unit(number: float) -> str:
    """Short form of a count.

    Examples
    --------
    >>> with_unit(950), with_unit(1_234_567)
    ('950', '1.23M')
    """
    for unit in ("", "k", "M", "G"):
        if number < 1000:
            return f"{number:.3g}{unit}"
        number /= 1000
    return f"{number:.3g}T"


class _CountColumn(ProgressColumn):
    def render(self, task: Task) -> Text:
        total = f"/{with_unit(task.total)}" if task.total is not None else ""
        return Text(f"{with_unit(task.completed)}{total} {task.fields['unit']}")


class _RateColumn(ProgressColumn):
    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text(f"{with_unit(speed)}/s" if speed else "–/s")


def is_shown(verbose: bool | None) -> bool:
    """Whether to show what is only for people: as asked, by default on a terminal."""
    return Console(stderr=True).is_terminal if verbose is None else verbose


@contextlib.contextmanager
def stage_bar(stage: str, total: int | None, unit: str, verbose: bool | None = None) -> Iterator[Callable[[int], None]]:
    """Show the progress of a stage on standard error.

    Parameters
    ----------
    stage, unit
        Names of the stage and of what it counts.
    total
        How many there are, None if that is not known.
    verbose
        Whether to show it; by default on a terminal only.

    Yields
    ------
    A function to call with the number that was done since the last call.
    """
    if not is_shown(verbose):
        yield lambda done: None
        return
    columns = (
        TextColumn("{task.description:>10}"),
        BarColumn(),
        _CountColumn(),
        _RateColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task(stage, total=total, unit=unit)
        yield lambda done: progress.advance(task, done)
        if total is None:
            progress.update(task, total=progress.tasks[0].completed)
        else:
            progress.update(task, completed=total)
