"""The report: a result as one HTML file with a summary, clusters as contact sheets, a view of pairs, and marks."""

import json
import math
import os
import secrets
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
from jinja2 import Environment, PackageLoader, select_autoescape
from markupsafe import Markup

from ..actions.decisions import FORMAT
from ..actions.history import History
from ..actions.removal_plan import plan_removals
from ..config import BY_CERTAINTY, SIMILAR, VERDICT_NAMES, check_whole
from ..errors import UsageError
from ..local_files import replaced_file
from ..results.clusters import pairs_with_first
from ..results.keep_order import best_first
from ..results.keep_rules import KeepRules
from ..results.result import Result
from ..storage.store import Store
from ..text import file_size, printable
from ..urls import is_url
from .report_edited import edited_section, encoded_thumbnail

__all__ = ["LIMIT", "write_report"]

# Number of clusters shown by default, and number of images shown of a cluster.
LIMIT = 10_000
_IMAGES = 60
_BINS = 40
# The template marks a report by this line.
_MADE = b'<meta name="generator" content="fastdiff_dask report">'


def write_report(
    store: Store, result: Result, path: str | os.PathLike[str], *, limit: int = LIMIT, rules: KeepRules | None = None
) -> int:
    """Write a report of a result; give the number of clusters shown.

    Clusters are sorted by certainty: by the least certain verdict between the image to keep and another image, then by
    the largest value, lowest first.
    The report needs no other file; a thumbnail takes 2 kB. Names of files are data in the page, never markup. Memory:
    some hundred bytes for each image in a pair.

    Parameters
    ----------
    store, result
        The store, and a result of it.
    path
        The file; an earlier report is replaced.
    limit
        Clusters, and edited copies, to show at most; the page says how many are left out.
    rules
        Rules that order the images for the suggestions.

    Returns
    -------
    Number of clusters that the report shows.

    Raises
    ------
    UsageError
        If the file cannot be written, an existing file is no report, or the limit is no whole number.
    """
    check_whole("limit", limit)
    clusters = _clusters(store, result, KeepRules() if rules is None else rules)
    shown = clusters[:limit]
    bars, ticks = _histogram(np.array([pair[0] for one in clusters for pair in one["pairs"] if pair is not None]))
    environment = Environment(
        loader=PackageLoader("fastdiff_dask"), autoescape=select_autoescape(default=True, default_for_string=True)
    )
    pieces = environment.get_template("report.html.jinja").generate(
        nonce=secrets.token_hex(16),
        summary=_summary(result, clusters, len(shown)),
        bars=bars,
        bars_text="; ".join(bar["title"] for bar in bars),
        ticks=ticks,
        # only "<" could end the <script> element
        data=Markup(json.dumps(_data(store, result, shown)).replace("<", "\\u003c")),
        sheets=_sheets(store, shown),
        edited=edited_section(store, result, limit),
    )
    try:
        _check_target(Path(path))
        with replaced_file(Path(path)) as file:
            file.writelines(piece.encode() for piece in pieces)
    except OSError as error:
        raise UsageError(f"the report cannot be written to {path}: {error.strerror}; name another file") from None
    return len(shown)


def _summary(result: Result, clusters: list[dict[str, Any]], shown: int) -> dict[str, Any]:
    """Figures at the top of the page."""
    going = [image["s"] for one in clusters for image in one["all"] if image["g"] == 1]
    folders = [*result.settings["directories_a"], *result.settings["directories_b"]]
    return {
        "images": result.files["compared"],
        "pairs": result.pair_count,
        "clusters": len(clusters),
        "shown": shown,
        "left_out": len(clusters) - shown,
        "may_go": len(going),
        "space": f"{file_size(sum(going))}",
        "errors": len(result.errors),
        "folders": printable(", ".join(folders)),
        "measure": result.value.title,
        "question": result.value.described,
        "chosen": " or ".join(result.chosen_verdicts),
        "verdicts": _verdicts(clusters[:shown]),
        "only_similar": 0 if result.chosen_verdicts else result.verdict_counts[VERDICT_NAMES[SIMILAR]],
    }


def _verdicts(clusters: list[dict[str, Any]]) -> list[tuple[str, int]]:
    """List the verdicts of the images that are shown, the most certain first, and count the images."""
    counts = Counter("" if pair is None else pair[3] for one in clusters for pair in one["pairs"])
    return [(name, counts[name]) for name in (*BY_CERTAINTY, "") if counts[name]]


def _data(store: Store, result: Result, clusters: list[dict[str, Any]]) -> dict[str, Any]:
    """Data of the page's script."""
    return {
        "format": FORMAT,
        "store": store.url,
        "measure": result.value.title,
        "width": store.thumbnail_settings.width,
        "height": store.thumbnail_settings.height,
        "clusters": [{name: value for name, value in one.items() if name != "all"} for one in clusters],
    }


def _check_target(path: Path) -> None:
    """Refuse to replace a file that is no report, such as a picture."""
    if not path.exists():
        return
    with path.open("rb") as file:
        start = file.read(1024)
    if start and _MADE not in start:
        raise UsageError(f"{printable(str(path))} is no report; name another file")


def _clusters(store: Store, result: Result, rules: KeepRules) -> list[dict[str, Any]]:
    """Collect the data of each cluster for the page, the most certain first."""
    plan = plan_removals(store, result, rules, history=History())
    going, kept = {one.image for one in plan.chosen}, {one.kept_image for one in plan.chosen}
    rows = list(result.images.itertuples())
    # by the contents, the page ignores earlier marks of another image with the same number
    hashes = store.image_rows(result.images["image"].to_numpy(np.int64), ["content_hash"]).content_hash
    contents = [content[:16] for content in hashes.fillna("")]
    two_sides = result.groups.two_sides
    place_of = {row.image: place for place, row in enumerate(rows)}
    clusters = []
    for part in result.connected():
        best = sorted(best_first(rows[place] for place in part), key=lambda row: row.image in going)
        clusters.append([place_of[row.image] for row in best])
    known = _pairs_with_first(result, [(one[0], other) for one in clusters for other in one[1:_IMAGES]])
    found = []
    for ordered in clusters:
        pairs = [known.get((ordered[0], other)) for other in ordered[1:_IMAGES]]
        values = [pair[0] for pair in pairs if pair is not None]
        images = [_image(rows[row], contents[row], going, kept, two_sides) for row in ordered]
        found.append(
            {
                "images": images[:_IMAGES],
                "all": images,
                "pairs": pairs,
                "worst": max(values, default=None),
                "best": min(values, default=None),
                "more": max(0, len(images) - _IMAGES),
            }
        )
    return sorted(
        found,
        key=lambda one: (_doubt(one["pairs"]), one["worst"] is None, one["worst"] or 0.0, one["images"][0]["p"]),
    )


def _doubt(pairs: list[tuple[float, int, bool, str] | None]) -> int:
    """Rank a cluster by the least certain verdict against its first image."""
    return max((BY_CERTAINTY.index("not looked at" if pair is None else pair[3]) for pair in pairs), default=0)


def _pairs_with_first(
    result: Result, ends: list[tuple[int, int]]
) -> dict[tuple[int, int], tuple[float, int, bool, str]]:
    """Give the value of each pair, the turn of the other image and the verdict, if it is similar to the first one."""
    first, others = np.array(ends, np.int64).reshape(-1, 2).T
    found = pairs_with_first(result.groups, result.verdicts, result.value, first, others)
    verdicts = np.array(VERDICT_NAMES, object)[found.codes]
    rows = zip(found.values.tolist(), found.degrees.tolist(), found.mirrored.tolist(), verdicts.tolist(), strict=True)
    return {pair: row for pair, row in zip(ends, rows, strict=True) if not math.isnan(row[0])}


def _image(row: Any, content: str, going: set[int], kept: set[int], two_sides: bool) -> dict[str, Any]:
    number, shown = int(row.image), printable(row.Index)
    image = {"n": number, "p": row.Index, "w": int(row.width), "h": int(row.height), "s": int(row.size)}
    image["c"] = content
    if shown != row.Index:
        image["t"] = shown
    image["g"] = 1 if number in going else 2 if number in kept else 0
    if two_sides:
        image["d"] = row.side
    if not is_url(row.Index):
        place = os.path.abspath(os.path.expanduser(row.Index))  # noqa: PTH100, PTH111 - names may be undecodable
        image["u"] = "file://" + quote(os.fsencode(place))
    return image


def _sheets(store: Store, clusters: list[dict[str, Any]]) -> Iterator[Markup]:
    """Encode the thumbnails of each cluster as WebP, a line each; equal thumbnails give equal lines."""
    for one in clusters:
        numbers = np.array([image["n"] for image in one["images"]], np.int64)
        thumbnails = store.arrays.thumbnail_rows(numbers)
        yield Markup("\n".join(map(encoded_thumbnail, thumbnails)))


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
