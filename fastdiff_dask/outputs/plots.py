"""A PNG file for each similar pair: both images, their difference, and facts about them. Drawn in Dask tasks."""

import hashlib
import os
import textwrap
import threading
import uuid
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from distributed import Client
from numpy.typing import NDArray

from ..errors import FastDiffError, UsageError
from ..evaluation.calibration import Calibration
from ..extras import need
from ..images.edited_copies import PLAIN_KINDS
from ..images.preview import read_listed
from ..kernels.transforms import Transform, apply_transform
from ..local_files import replaced_file
from ..results.result import Result
from ..results.values import PairValue
from ..runtime.faults import retried
from ..runtime.waves import run_in_waves
from ..runtime.workers import capacity
from ..stages.thumbnails import end_readers
from ..storage.schema import FILE_NAME
from ..storage.store import Store
from ..text import file_size, printable
from ..urls import full_path

__all__ = ["check_plots", "draw_calibration", "draw_plots"]

# Pixels of the longer side of an image in a plot, and pairs that one task draws.
_SHOWN, _AT_ONCE = 480, 8
_LINE, _LINES = 44, 5
# Matplotlib is not safe in several threads.
_drawing = threading.Lock()


class _Pair(NamedTuple):
    """A pair to draw.

    Attributes
    ----------
    a, b, names
        Numbers and names of the images.
    value
        The value as text, with the name of the measure.
    rotation, mirrored
        The transform of a, as in `Result.pairs`.
    target
        The file to write.
    """

    a: int
    b: int
    names: tuple[str, str]
    value: str
    rotation: int
    mirrored: bool
    target: str


def check_plots(folder: str | os.PathLike[str]) -> Path:
    """Check before hours of work that plots can be drawn and written, and make the folder.

    Raises
    ------
    UsageError
        If Matplotlib is missing, or the folder cannot be written.
    """
    need("matplotlib", "Matplotlib", "plot")
    path = Path(os.path.expanduser(folder)).absolute()  # noqa: PTH111 - Path raises for users without a home
    try:
        path.mkdir(parents=True, exist_ok=True)
        if not os.access(path, os.W_OK | os.X_OK):
            raise PermissionError(13, "Permission denied")
    except OSError as error:
        raise UsageError(
            f"plots cannot be written to {printable(str(folder))}: {error.strerror}; name another folder"
        ) from None
    return path


def best_pairs(result: Result, limit: int) -> pd.DataFrame:
    """Select the pairs with the lowest values, then by path; columns as `numbered_pairs`.

    Memory: a part of all pairs, and the best pairs.
    """
    best: pd.DataFrame | None = None
    for part in result.iter_pairs(numbered=True):
        both = part if best is None else pd.concat([best, part], ignore_index=True)
        order = np.lexsort((_ranks(both["b"]), _ranks(both["a"]), both[result.value.column].to_numpy()))
        best = both.iloc[order[:limit]].reset_index(drop=True)
    return result.numbered_pairs().iloc[:0] if best is None else best


def _ranks(names: pd.Series) -> NDArray[np.int64]:
    ordered = {name: rank for rank, name in enumerate(sorted(set(names)))}
    return np.array([ordered[name] for name in names], np.int64)


def draw_plots(store: Store, client: Client, result: Result, folder: Path, limit: int) -> Iterator[int]:
    """Draw the best pairs, each as a PNG file, unless the file is there already.

    Files are named by value and pair, as ``mse-000012.5000_<digest>.png``: the best come first by name, and a pair has
    the same name in every run. Other files in the folder stay. Memory: two images of 480 pixels a thread, besides
    decoding.

    Parameters
    ----------
    store, client
        The store, and the cluster, whose workers see the store, the folder and the files under the same paths. An image
        that cannot be read any more is shown by its thumbnail.
    result
        The result.
    folder
        The folder, see `check_plots`.
    limit
        Pairs to draw at most.

    Yields
    ------
    Number of pairs drawn, or found in the folder, since the last number.
    """
    pairs = _pairs_to_draw(store, result, folder, limit)
    missing = [pair for pair in pairs if not Path(pair.target).exists()]
    yield len(pairs) - len(missing)
    run = uuid.uuid4().hex[:8]
    tasks = {start: missing[start : start + _AT_ONCE] for start in range(0, len(missing), _AT_ONCE)}
    try:
        for future in run_in_waves(
            client,
            tasks,
            lambda start: [client.submit(draw_pairs, store.url, tasks[start], key=f"plot-{run}-{start}")],
            in_flight=2 * capacity(client).threads,
        ):
            yield future.result()
    finally:
        end_readers(client)


def _pairs_to_draw(store: Store, result: Result, folder: Path, limit: int) -> list[_Pair]:
    """Name the file of each of the best pairs, by all that is drawn: another picture may have come to a place."""
    measure = result.value
    best = best_pairs(result, limit)
    known = _identities(store, np.unique(best[["a_image", "b_image"]].to_numpy(np.int64)))
    pairs = []
    for row in best.itertuples():
        ends, turn = (int(row.a_image), int(row.b_image)), (int(row.rotation), bool(row.mirrored))
        value = float(getattr(row, measure.column))
        parts = (*known[ends[0]], *known[ends[1]], measure.settings.measure, f"{row.rotation} {row.mirrored}")
        digest = hashlib.blake2b("\0".join(parts).encode(errors="surrogateescape"), digest_size=8).hexdigest()
        shown = f"{value:011.4f}" if value >= 0 else f"{value:.4f}"
        target = folder / f"{measure.column}-{shown}_{digest}.png"
        pairs.append(_Pair(*ends, (row.a, row.b), f"{_named(measure)} {measure.shown(value)}", *turn, str(target)))
    return pairs


def _named(measure: PairValue) -> str:
    return "difference (MSE)" if measure.is_mse else measure.title


def _identities(store: Store, numbers: NDArray[np.int64]) -> dict[int, tuple[str, str]]:
    """Read path and content of some images."""
    rows = store.image_rows(numbers, ["image", *FILE_NAME, "content_hash"]).itertuples()
    return {row.image: (full_path(row.root, row.path, row.path_bytes), str(row.content_hash)) for row in rows}


@retried
def draw_pairs(url: str, pairs: list[_Pair]) -> int:
    """Draw some pairs; gives their number."""
    try:
        import matplotlib.figure  # noqa: F401 - a worker may lack it
    except ImportError:
        raise FastDiffError(
            "a worker has no Matplotlib; install it there with: pip install 'fastdiff_dask[plot]'"
        ) from None
    store = Store(url, "")
    size = store.thumbnail_settings.block_size
    partitions: dict[int, pd.DataFrame] = {}
    for pair in pairs:
        rows = []
        for image in (pair.a, pair.b):
            if image // size not in partitions:
                partitions[image // size] = store.read_partition(image // size)
            rows.append(partitions[image // size].iloc[image % size])
        thumbnails = store.arrays.thumbnail_rows(np.array([pair.a, pair.b], np.int64))
        pictures = [_picture(row, thumbnail) for row, thumbnail in zip(rows, thumbnails, strict=True)]
        with _drawing:
            _draw(pair, rows, pictures, thumbnails)
    return len(pairs)


def _picture(row: Any, thumbnail: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], str]:
    """Read an image as people see it, at the size shown; or give its thumbnail, and the error."""
    pixels, error = read_listed(os.fsencode(full_path(row.root, row.path, row.path_bytes)), row, _SHOWN)
    return (thumbnail, error) if pixels is None else (pixels, "")


def _draw(
    pair: _Pair, rows: list[Any], pictures: list[tuple[NDArray[np.uint8], str]], thumbnails: NDArray[np.uint8]
) -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    transform = Transform.of(pair.rotation, pair.mirrored)
    turned = f", a turned by {pair.rotation}°" + (" after mirroring" if pair.mirrored else "") if transform else ""
    first = apply_transform(pictures[0][0][None], transform)[0]
    # the MSE sums over channels, so that it is the mean of this map
    same = apply_transform(thumbnails[:1], transform)[0].astype(np.int64)
    difference = ((same - thumbnails[1]) ** 2).sum(axis=2)

    figure = Figure(figsize=(13.2, 5.6), dpi=100, facecolor="white")
    FigureCanvasAgg(figure)
    figure.text(0.5, 0.955, f"{pair.value}{turned}", ha="center", fontsize=14, parse_math=False)
    for number, (image, name) in enumerate(((first, "a"), (pictures[1][0], "b"))):
        axes = figure.add_axes((0.015 + 0.33 * number, 0.26, 0.31, 0.64))
        # a thumbnail is shown in the shape of its picture
        width, height = rows[number].width, rows[number].height
        if number == 0 and transform.swaps_sides:
            width, height = height, width
        axes.imshow(image, aspect="auto" if not width else (height / width) / (image.shape[0] / image.shape[1]))
        axes.set_title(name, fontsize=12)
        axes.set_axis_off()
        row, problem = rows[number], pictures[number][1]
        lines = textwrap.wrap(printable(pair.names[number]), _LINE, break_on_hyphens=False)
        if len(lines) > _LINES:  # the end of a path tells more
            lines = ["…", *lines[-_LINES + 1 :]]
        lines.append(f"{row.width} × {row.height} pixels, {file_size(row['size'])}")
        if problem:
            lines.append(f"by its thumbnail: {problem}"[: 2 * _LINE])
        figure.text(0.17 + 0.33 * number, 0.235, "\n".join(lines), ha="center", va="top", fontsize=9, parse_math=False)
    axes = figure.add_axes((0.685, 0.26, 0.25, 0.64))
    shown = axes.imshow(difference, cmap="magma", vmin=0, vmax=max(int(difference.max()), 1))
    axes.set_title("difference of the thumbnails", fontsize=12)
    axes.set_axis_off()
    figure.colorbar(shown, cax=figure.add_axes((0.945, 0.3, 0.012, 0.56)))
    figure.text(
        0.81,
        0.235,
        "squared, summed over the channels;\nthe mean is the difference (MSE)",
        ha="center",
        va="top",
        fontsize=9,
    )
    with warnings.catch_warnings(), replaced_file(Path(pair.target)) as file:
        warnings.filterwarnings("ignore", "Glyph", UserWarning)  # of letters that the font lacks
        figure.savefig(file, format="png")


def draw_calibration(figures: Calibration, path: str) -> None:
    """Draw the recall of each kind of copies over the threshold, and the number of wrong pairs, a panel a measure.

    Raises
    ------
    UsageError
        If Matplotlib is missing, or the file cannot be written.
    """
    need("matplotlib", "Matplotlib", "plot")
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(14, 7), dpi=100, facecolor="white", layout="constrained")
    FigureCanvasAgg(figure)
    for number, (measure, title) in enumerate((("mse", "difference (MSE)"), ("correlation", "correlation distance"))):
        axes = figure.add_subplot(1, 2, number + 1)
        recall, wrong = figures.recall[measure], figures.wrong[measure].sum()
        for place, (kind, row) in enumerate(recall.iterrows()):
            line = "-" if place < 10 else "--" if place < 20 else ":"
            width = 2.5 if kind in PLAIN_KINDS else 1.2
            axes.plot(recall.columns, 100 * row, line, color=f"C{place % 10}", label=str(kind), linewidth=width)
        axes.set(xscale="log", xlabel=f"threshold: {title}", ylabel="copies found, %", ylim=(-2, 102))
        counts = axes.twinx()
        counts.plot(wrong.index, wrong.to_numpy(), color="black", marker="x", linestyle="none")
        counts.set(ylabel=f"wrong pairs (×) of {figures.pairs:,}", ylim=(0, max(1, 1.05 * float(wrong.max()))))
        suggested = figures.suggested(measure)
        if suggested is not None and suggested > 0:
            axes.axvline(suggested, color="grey")
            axes.set_title(f"99 % of the plain copies (thick) and no wrong pair at {suggested:g}")
    figure.legend(*axes.get_legend_handles_labels(), loc="outside right center")
    try:
        with replaced_file(Path(path).resolve()) as file:
            figure.savefig(file, format="png")
    except OSError as error:
        raise UsageError(f"cannot write {printable(path)}: {error.strerror}; name another file") from None
