"""Texts of the page as HTML.

Names of files, folders and workers are text of whoever made them, and are escaped wherever they are shown.
"""

import html
import math
from collections.abc import Iterable
from typing import Any

from ..config import describe_verdicts
from ..text import rounded
from .snapshot import ComparisonProgress, Snapshot, WorkerProgress, WorkTotal

__all__ = [
    "duration",
    "errors_text",
    "found_text",
    "header_text",
    "mean_text",
    "progress_text",
    "workers_text",
]

# Stages, and what is done in them.
_STAGES = {
    "thumbnails": "reading images",
    "plan": "planning the comparison",
    "compare": "comparing",
    "verify": "looking at similar pairs once more",
    "encode": "encoding images",
    "neighbours": "finding the nearest images of each image",
    "contents": "looking for edited copies: images within their borders",
    "views": "looking for edited copies: views of all images with all images",
    "align": "looking for edited copies: aligning candidates",
    "edited": "looking at edited copies",
}

_WORKERS = 100


def duration(seconds: float | None) -> str:
    """Describe the time left in one or two units.

    Examples
    --------
    >>> duration(7.4), duration(3725), duration(200_000), duration(None)
    ('7 s', '1 h 2 min', '2 d 7 h', '–')
    """
    if seconds is None or not math.isfinite(seconds):
        return "–"
    whole = round(seconds)
    for unit, size, smaller, part in (("d", 86_400, "h", 3600), ("h", 3600, "min", 60), ("min", 60, "s", 1)):
        if whole >= size:
            return f"{whole // size} {unit} {whole % size // part} {smaller}"
    return f"{whole} s"


def header_text(url: str, snapshot: Snapshot) -> str:
    """Store, folders, and the state of the job."""
    folders = " against ".join(", ".join(map(str, roots)) for roots in snapshot.folders.values() if roots)
    searched = f"<p>{_text(folders)}</p>" if folders else ""
    kind = " class='bad'" if snapshot.problem or snapshot.interrupted else ""
    return (
        f"<h1>fastdiff_dask</h1>{searched}<p class='faint'>Store: {_text(url)}</p>"
        f"<p{kind} role='status'>{_text(_state(snapshot))}</p>"
    )


def _state(snapshot: Snapshot) -> str:
    if snapshot.problem:
        return snapshot.problem
    if snapshot.interrupted:
        return "The last run did not come to its end; the same command goes on from here."
    if snapshot.writing:
        stage = _STAGES.get(snapshot.stage or "")
        if stage is None:
            return "Running: listing folders, or between two stages."
        left = "" if snapshot.seconds_left is None else f"; about {duration(snapshot.seconds_left)} left in this stage"
        return f"Running: {stage}{left}."
    if not snapshot.images:
        return "Nothing was begun: no images are listed yet."
    finished = snapshot.images_read == snapshot.images and all(one.answered for one in snapshot.comparisons)
    if finished and snapshot.comparisons:
        return "Finished; no process is at work."
    return "No process is at work; what is missing is done by the next run."


def progress_text(snapshot: Snapshot) -> str:
    """Bar and figures of each stage."""
    left = duration(snapshot.seconds_left)
    reading = snapshot.stage == "thumbnails"
    lines = [
        _bar(
            "Thumbnails",
            snapshot.images_read,
            snapshot.images,
            f"{snapshot.images_read:,} of {snapshot.images:,} images, "
            f"{snapshot.errors:,} error{'s' * (snapshot.errors != 1)}",
            f"{rounded(sum(one.images_rate for one in snapshot.workers))} images/s, {left} left" if reading else "",
        )
    ]
    for number, one in enumerate(snapshot.comparisons):
        running = snapshot.stage == "compare" and number == 0
        rate = f"{_pairs_rate(snapshot)}, {left} left" if running else ""
        lines.append(_bar(f"Compare {one.title}", one.pairs_done, one.pairs, _found(one), rate))
    if not snapshot.comparisons:
        lines.append("<div class='faint'>Compare: not begun</div>")
    lines.append(_verify_bar(snapshot))
    if snapshot.shown:
        counts = describe_verdicts(snapshot.shown) or "no pair"
        lines.append(f"<div class='faint'>Pairs of the result shown last: {_text(counts)}</div>")
    return f"<div class='bars'>{''.join(lines)}</div>"


def _verify_bar(snapshot: Snapshot) -> str:
    one = snapshot.verify
    if one is None:
        return "<div class='faint'>Verify: not begun</div>"
    running = snapshot.stage == "verify"
    rate = f"{_pairs_rate(snapshot)}, {duration(snapshot.seconds_left)} left" if running else ""
    counts = describe_verdicts(one.verdicts)
    figures = f"{one.done:,} of {one.pairs:,} pairs looked at" + (f"; found so far: {counts}" if counts else "")
    return _bar("Verify", one.done, one.pairs, figures, rate)


def _pairs_rate(snapshot: Snapshot) -> str:
    return f"{rounded(sum(one.pairs_rate for one in snapshot.workers))} pairs/s"


def found_text(snapshot: Snapshot) -> str:
    """Thumbnails of the pair that was found last; empty if there is none."""
    found = snapshot.found
    if found is None:
        return ""
    pictures = "".join(
        f"<figure><img src='{url}' alt=''><figcaption>{_text(path)}</figcaption></figure>"
        for path, url in zip(found.paths, found.urls, strict=True)
    )
    about = f": {_text(found.about)}" if found.about else ""
    return f"<h2>Found last{about}</h2><div class='found'>{pictures}</div>"


def mean_text(what: str, done: str, total: WorkTotal | None) -> str:
    """Line above a curve: how much was done in what time.

    Parameters
    ----------
    what, done
        What is counted, and what is done with it.
    total
        The number and the seconds; None if nothing was done.

    Returns
    -------
    The line.

    Examples
    --------
    >>> mean_text("images", "read", WorkTotal(1200, 0.5)), mean_text("images", "read", None)
    ('1,200 images read in 0.5 s: 2,400 a second', 'No images were read in this run.')
    """
    if total is None or not total.amount:
        return f"No {what} were {done} in this run."
    seconds = max(total.seconds, 0.001)
    took = duration(seconds) if seconds >= 10 else f"{seconds:.2g} s"
    return f"{total.amount:,} {what} {done} in {took}: {rounded(total.amount / seconds)} a second"


def _found(one: ComparisonProgress) -> str:
    running = f", {one.running:,} running" if one.running else ""
    return (
        f"{one.done:,} of {one.tiles:,} tiles{running}; {one.pairs_done:,} of {one.pairs:,} pairs, "
        f"{one.similar:,} similar"
    )


def _bar(name: str, done: int, total: int, figures: str, rate: str) -> str:
    share = done / total if total else float(not done)
    percent = f"{math.floor(100 * share)} %" if total else ""
    return (
        f"<div><div class='line'><b>{_text(name)}</b><span>{percent}</span></div>"
        f"<progress aria-label='{_text(name)}' max='1' value='{share:.4f}'></progress>"
        f"<div class='line faint'><span>{_text(figures)}</span><span>{_text(rate)}</span></div></div>"
    )


def workers_text(snapshot: Snapshot) -> str:
    """Table of the workers."""
    if not snapshot.workers:
        return "<h2>Workers</h2><p class='faint'>No worker has reported yet.</p>"
    heads = ("worker", "now", "tasks", "images", "errors", "pairs", "similar", "busy", "images/s", "pairs/s")
    rows = []
    for worker in snapshot.workers[:_WORKERS]:
        done = worker.done
        rows.append(
            [
                _worker_name(worker),
                "; ".join(map(_doing, worker.running)) or "–",
                f"{done.tasks:,}",
                f"{done.images:,}",
                f"{done.errors:,}",
                rounded(done.pairs),
                f"{done.similar:,}",
                duration(done.seconds),
                rounded(worker.images_rate),
                rounded(worker.pairs_rate),
            ]
        )
    more = len(snapshot.workers) - len(rows)
    note = f"<p class='faint'>… and {more:,} more</p>" if more else ""
    return f"<h2>Workers, and what they did in all stages</h2><div class='scroll'>{_table(heads, rows)}</div>{note}"


def _worker_name(worker: WorkerProgress) -> str:
    """Name a worker as Dask's own page does, with its address where that is not the name."""
    address = "" if worker.address in ("", worker.name) else f" ({worker.address})"
    return f"{worker.name}{address}"


def _doing(running: dict[str, Any]) -> str:
    if "tile" in running:
        return f"tile {running['tile']} of {running.get('part')}"
    if "block" not in running:
        return f"{running.get('pairs')} pairs to look at"
    return f"block {running.get('block')}, images {running.get('start')} to {running.get('stop')}"


def errors_text(snapshot: Snapshot) -> str:
    """Number of errors, and the latest."""
    if not snapshot.errors:
        return "<h2>Errors</h2><p class='faint'>None so far.</p>"
    shown = f", the latest {len(snapshot.latest)}" if snapshot.errors > len(snapshot.latest) else ""
    lines = [[_printable(path), _printable(error)] for path, error in snapshot.latest]
    return f"<h2>Errors: {snapshot.errors:,}{shown}</h2>{_table(('file', 'reason'), lines, 'path')}"


def _table(heads: Iterable[str], rows: list[list[str]], kind: str = "") -> str:
    cell = f"<td class='{kind}'>" if kind else "<td>"
    head = "".join(f"<th scope='col' class='{kind}'>{_text(name)}</th>" for name in heads)
    body = "".join("<tr>" + "".join(f"{cell}{_text(value)}</td>" for value in row) + "</tr>" for row in rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _printable(text: str) -> str:
    """Replace control characters and lone surrogates, which JSON or the browser cannot show."""
    return text.encode("utf-8", "backslashreplace").decode().translate(dict.fromkeys(range(32), "�"))


def _text(text: str) -> str:
    return html.escape(_printable(text))
