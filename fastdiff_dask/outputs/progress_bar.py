"""A progress bar per stage: count, rate and remaining time, on a terminal or in a notebook."""

import contextlib
import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from html import escape

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.text import Text

from ..text import rounded

__all__ = ["in_notebook", "is_shown", "show_address", "show_line", "stage_bar", "waiting"]

# Seconds between two states of a bar in a notebook: each is a message to the browser.
_EVERY = 0.2
# Seconds after which a bar is shown on a terminal: one of a shorter stage would only flash.
_SHOWN_AFTER = 1.0


def _count(task: Task) -> str:
    total = f"/{task.total:,.0f}" if task.total is not None else ""
    return f"{task.completed:,.0f}{total} {task.fields['unit']}"


def _rate(task: Task) -> str:
    speed = task.finished_speed or task.speed
    if not speed and task.finished and task.elapsed:  # too short for a measured one
        speed = task.completed / task.elapsed
    return f"{rounded(speed)}/s" if speed else "–/s"


class _CountColumn(ProgressColumn):
    def render(self, task: Task) -> Text:
        return Text(_count(task))


class _RateColumn(ProgressColumn):
    def render(self, task: Task) -> Text:
        return Text(_rate(task))


class _Bar:
    """Progress of a stage as a notebook shows it."""

    def __init__(self, task: Task) -> None:
        self.task = task

    def _facts(self) -> list[str]:
        task = self.task
        facts = [_count(task), _rate(task)]
        if task.finished:
            facts.append(f"in {timedelta(seconds=round(task.elapsed or 0))}")
        elif task.time_remaining is not None:
            facts.append(f"{timedelta(seconds=round(task.time_remaining))} left")
        return facts

    def __repr__(self) -> str:
        return f"{self.task.description}: {', '.join(self._facts())}"

    def _repr_html_(self) -> str:
        task, name = self.task, escape(self.task.description)
        done = f' value="{task.completed}" max="{task.total or 1}"' if task.total is not None else ""
        return (
            f'<div style="display:flex;gap:1em;align-items:center;font-variant-numeric:tabular-nums">'
            f'<b style="width:6em;text-align:right">{name}</b>'
            f'<progress aria-label="{name}" style="width:18em"{done}></progress>'
            f"<span>{escape(' · '.join(self._facts()))}</span></div>"
        )


def in_notebook() -> bool:
    """Find whether this runs in a kernel of Jupyter, which shows HTML."""
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    return hasattr(shell, "kernel")


def show_address(name: str, url: str) -> None:
    """Show the address of a page: a link in a notebook, a line on standard error elsewhere."""
    if in_notebook():
        from IPython.display import HTML, display

        display(HTML(f'{escape(name)}: <a href="{escape(url)}" target="_blank">{escape(url)}</a>'))
    else:
        print(f"{name}: {url}", file=sys.stderr)


def show_line(text: str) -> None:
    """Show a line on standard error; a notebook shows it below the cell."""
    print(text, file=sys.stderr)


def is_shown(verbose: bool | None) -> bool:
    """Find whether to show progress: as asked, by default on a terminal and in a notebook."""
    return (in_notebook() or Console(stderr=True).is_terminal) if verbose is None else verbose


@contextlib.contextmanager
def stage_bar(stage: str, total: int | None, unit: str, verbose: bool | None = None) -> Iterator[Callable[[int], None]]:
    """Show the progress of a stage on standard error, or as a bar in the output of a notebook's cell.

    Parameters
    ----------
    stage
        Name of the stage.
    total
        The number at the end; None if it is not known.
    unit
        Name of what it counts.
    verbose
        Show the bar; by default on a terminal and in a notebook only.

    Yields
    ------
    A function to call with the number done since the last call.
    """
    if not is_shown(verbose):
        yield lambda done: None
        return
    if in_notebook():
        with _notebook_bar(stage, total, unit) as advance:
            yield advance
        return
    columns = (
        TextColumn("{task.description:>10}"),
        BarColumn(),
        _CountColumn(),
        _RateColumn(),
        TimeRemainingColumn(),
    )
    progress = Progress(*columns, console=Console(stderr=True))
    task = progress.add_task(stage, total=total, unit=unit)
    with _shown_later(progress.start, progress.stop):
        yield lambda done: progress.advance(task, done)
        if total is None:
            progress.update(task, total=progress.tasks[0].completed)
        else:
            progress.update(task, completed=total)


@contextlib.contextmanager
def _shown_later(start: Callable[[], None], stop: Callable[[], None]) -> Iterator[None]:
    """Show something that moves, if it is still of use a second later."""
    lock, state = threading.Lock(), {"ended": False, "shown": False}

    def show() -> None:
        with lock:
            if not state["ended"]:
                state["shown"] = True
                start()

    timer = threading.Timer(_SHOWN_AFTER, show)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        with lock:
            state["ended"] = True
        if state["shown"]:
            stop()


@contextlib.contextmanager
def waiting(what: str, verbose: bool | None = None) -> Iterator[None]:
    """Show on a terminal what is being done, while nothing is counted.

    Parameters
    ----------
    what
        The work.
    verbose
        Show it; by default on a terminal only, and never in a notebook.
    """
    console = Console(stderr=True)
    if not is_shown(verbose) or in_notebook() or not console.is_terminal:
        yield
        return
    status = console.status(f"{what} …")
    with _shown_later(status.start, status.stop):
        yield


@contextlib.contextmanager
def _notebook_bar(stage: str, total: int | None, unit: str) -> Iterator[Callable[[int], None]]:
    """Show one output that is changed in place; its last state stays in the notebook."""
    from IPython.display import display

    progress = Progress(disable=True)  # it only counts
    task = progress.add_task(stage, total=total, unit=unit)
    bar = _Bar(progress.tasks[0])
    shown, last = display(bar, display_id=True), time.monotonic()

    def advance(done: int) -> None:
        nonlocal last
        progress.advance(task, done)
        if time.monotonic() - last >= _EVERY:
            last = time.monotonic()
            shown.update(bar)

    try:
        yield advance
        progress.update(task, total=bar.task.completed if total is None else total, completed=total)
    finally:
        shown.update(bar)
