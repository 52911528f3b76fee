"""The groups of a report: what its page knows of each image, and their pictures."""

import base64
import io
import math
import os
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import quote

import numpy as np
import pandas as pd
from markupsafe import Markup
from numpy.typing import NDArray
from PIL import Image

from ...actions.history import History
from ...actions.removal_plan import plan_removals
from ...config import BY_CERTAINTY, VERDICT_NAMES
from ...images.decoder_pool import close_readers
from ...images.preview import fitted, read_listed
from ...results.clusters import FirstPairs, pairs_with_first
from ...results.keep_order import best_first, date_of
from ...results.keep_rules import KeepRules
from ...results.result import Result
from ...storage.schema import FILE_NAME
from ...storage.store import Store
from ...text import printable
from ...urls import common_folder, full_path, is_url
from .report_edited import stored_thumbnails

__all__ = ["ReportGroup", "group_pictures", "report_groups"]

# Images of a group that are shown.
_IMAGES = 60
# Pixels of a picture's longer side, its quality, groups whose pictures are made together, and seconds for reading
# files: those that are left then are shown by their stored thumbnails, so that a slow disk does not hold up the report.
_LONGEST, _QUALITY, _AT_ONCE, _SECONDS = 160, 80, 64, 120.0
_COLUMNS = [*FILE_NAME, "size", "mtime_ns", "width", "height"]

ReportGroup = dict[str, Any]


def report_groups(store: Store, result: Result, rules: KeepRules) -> list[ReportGroup]:
    """Describe the groups of a result, the most certain first; of each, the image to keep is the first one.

    Returns
    -------
    Dictionaries with verdict (the least certain one against the first image), images, at most 60, more (those that are
    not shown) and removable (numbers of images and bytes that could be removed).
    """
    plan = plan_removals(store, result, rules, history=History())
    marks = {one.kept_image: "keep" for one in plan.chosen} | {one.image: "remove" for one in plan.chosen}
    rows = list(result.images.itertuples())
    # by the contents, the page ignores earlier marks of another image with the same number
    hashes = store.image_rows(result.images["image"].to_numpy(np.int64), ["content_hash"]).content_hash
    contents = [content[:16] for content in hashes.fillna("")]
    place_of = {row.image: place for place, row in enumerate(rows)}
    ordered = []
    for part in result.connected():
        best = sorted(best_first(rows[place] for place in part), key=lambda row: marks.get(row.image) == "remove")
        ordered.append([place_of[row.image] for row in best])
    pairs = _pairs(result, ordered)
    folder = common_folder(result.images.index)
    common = len(folder) + 1 if folder else 0
    groups = []
    for places in ordered:
        shown = [_image(rows[place], contents[place], marks, common) for place in places[:_IMAGES]]
        for image, place in zip(shown[1:], places[1:], strict=False):
            image |= pairs[place]
        removable = [rows[place].size for place in places if marks.get(rows[place].image) == "remove"]
        groups.append(
            {
                "verdict": max((image["verdict"] for image in shown[1:]), key=BY_CERTAINTY.index),
                "images": shown,
                "more": len(places) - len(shown),
                "removable": (len(removable), int(sum(removable))),
            }
        )
    return sorted(groups, key=_order)


def _order(group: ReportGroup) -> tuple[Any, ...]:
    values = [image["value"] for image in group["images"][1:] if image["value"] is not None]
    worst = max(values, default=None)
    return BY_CERTAINTY.index(group["verdict"]), worst is None, worst or 0.0, group["images"][0]["p"]


def _pairs(result: Result, groups: list[list[int]]) -> dict[int, dict[str, Any]]:
    """Describe each image, by its row, against the first image of its group."""
    ends = np.array([(one[0], other) for one in groups for other in one[1:_IMAGES]], np.int64).reshape(-1, 2)
    found: FirstPairs = pairs_with_first(result.groups, result.verdicts, result.value, *ends.T)
    columns = (found.values.tolist(), found.degrees.tolist(), found.mirrored.tolist(), found.codes.tolist())
    described = (
        {"value": None if math.isnan(value) else value, "turn": turn, "mirror": mirror, "verdict": VERDICT_NAMES[code]}
        for value, turn, mirror, code in zip(*columns, strict=True)
    )
    return dict(zip(ends[:, 1].tolist(), described, strict=True))


def _image(row: Any, content: str, marks: dict[int, str], common: int) -> dict[str, Any]:
    """Describe an image; p is its path as it is, name and folder are printable."""
    folder, _, name = row.Index[common:].rpartition("/")
    moment = date_of(row.captured, row.mtime_ns)
    image = {"n": int(row.image), "v": content, "p": row.Index, "name": printable(name), "folder": printable(folder)}
    image |= {
        "width": int(row.width),
        "height": int(row.height),
        "size": int(row.size),
        "date": moment and moment.isoformat(timespec="seconds"),
    }
    image |= {"format": row.format, "side": row.side, "suggest": marks.get(row.image)}
    image |= {"verdict": None, "value": None, "turn": 0, "mirror": False}
    if not is_url(row.Index):
        place = os.path.abspath(os.path.expanduser(row.Index))  # noqa: PTH100, PTH111 - names may be undecodable
        image["u"] = "file://" + quote(os.fsencode(place))
    return image


def group_pictures(store: Store, groups: list[ReportGroup]) -> Iterator[Markup]:
    """Make the pictures of groups: files are read by decoder processes, as many as there are processors.

    A file that cannot be read, or that is left after two minutes, is shown by its stored thumbnail.

    Yields
    ------
    A text for each group with a line an image: WebP in base64, or the number of the line with the same content.
    """
    until = time.monotonic() + _SECONDS
    numbers = np.array([image["n"] for group in groups for image in group["images"]], np.int64)
    rows = [row for _, row in store.image_rows(numbers, _COLUMNS).iterrows()]
    done = 0
    try:
        with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
            for first in range(0, len(groups), _AT_ONCE):
                some = groups[first : first + _AT_ONCE]
                size = sum(len(group["images"]) for group in some)
                thumbnails = stored_thumbnails(store, numbers[done : done + size])
                asked = zip(_repeats(some), rows[done : done + size], thumbnails, strict=True)
                made = [None if repeats else pool.submit(_picture, row, small, until) for repeats, row, small in asked]
                done += size
                pictures = iter(made)
                for group in some:
                    yield Markup("\n".join(_lines(group, [next(pictures) for _ in group["images"]])))
    finally:
        close_readers()


def _repeats(groups: list[ReportGroup]) -> list[bool]:
    """Find images with the content of an earlier one of their group."""
    repeats = []
    for group in groups:
        contents = [image["v"] for image in group["images"]]
        repeats += [bool(content) and contents.index(content) < place for place, content in enumerate(contents)]
    return repeats


def _lines(group: ReportGroup, made: list[Any]) -> Iterator[str]:
    contents = [image["v"] for image in group["images"]]
    for content, picture in zip(contents, made, strict=True):
        yield str(contents.index(content)) if picture is None else picture.result()


def _picture(row: pd.Series, thumbnail: NDArray[np.uint8], until: float) -> str:
    """Encode an image in its own shape as WebP, in base64."""
    pixels = None
    if time.monotonic() < until:
        pixels, _ = read_listed(os.fsencode(full_path(row.root, row.path, row.path_bytes)), row, _LONGEST)
    image = Image.fromarray(thumbnail if pixels is None else pixels)
    if pixels is None:
        image = image.resize(
            fitted(int(row.width) or _LONGEST, int(row.height) or _LONGEST, _LONGEST), Image.Resampling.BICUBIC
        )
    content = io.BytesIO()
    image.save(content, "WEBP", quality=_QUALITY)
    return base64.b64encode(content.getvalue()).decode()
