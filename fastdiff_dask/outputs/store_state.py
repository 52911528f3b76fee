"""The state of a store: finished work, the work that is left, the verdicts and the result shown last."""

import textwrap
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..config import BY_CERTAINTY, VERDICT_NAMES, describe_verdicts
from ..errors import FastDiffError
from ..results.values import PairValue
from ..storage.comparisons import Comparison
from ..storage.derived.edited import EditedFiles
from ..storage.derived.vectors import Vectors, vector_names
from ..storage.derived.verdicts import read_verdicts
from ..storage.files import Files
from ..storage.pending import answering, is_finished, unplanned, unread_blocks
from ..storage.plans import WAYS, Plan
from ..storage.store import Store
from ..text import counted, file_size, how_long_ago, one_line, printable
from ..urls import is_url
from ..user_functions import shown_name
from .terminal import describe_ignored, describe_shown

__all__ = ["describe_known", "describe_store", "known_state", "store_state"]

_PENDING, _NONE = "·", " "
# Marks of finished tiles: the more work it was, the darker.
_MARKS = dict(zip(WAYS, "░▒▓█", strict=True))
# Width of the names of lines, and the beginning of the lines of a map.
_NAME, _MAP = 12, "    "


def store_state(url: str) -> dict[str, Any]:
    """Give the state of a store as JSON values; another process may be writing the store.

    Keys:

    - store, folders (by side), images, errors, ignored (by rule), decisions (pairs that are no duplicates);
    - thumbnails: blocks, blocks_done, block_size, images_left, width, height;
    - vectors: of each name, made (how), values and dtype (null before the first one), blocks_done, images_left;
    - comparisons: of each name, described, tiles, tiles_done, ways (finished tiles by the dearest step that some of
      their pairs took: signatures, candidates, low frequencies, thumbnails), pairs_compared, similar, planned (no image
      is new), and answered_up_to (the threshold of a finished comparison that has all its pairs, else null);
    - edited: the search for edited copies: blocks_done, pairs_left (to compare by views), aligned (candidates),
      looked_at and copies (pairs); null if it was not begun;
    - verify: the pairs of present images that were looked at, by verdict;
    - result: that shown last, with described, at (UTC), settings and verdicts (its pairs by verdict); null if none is.

    Raises
    ------
    UsageError
        If there is no store.
    """
    store = Store(url)
    frame = store.read_images(["image", "current", "error"])
    current = frame[frame.current]
    settings = store.thumbnail_settings
    unread = unread_blocks(store)
    shown = store.records.read_shown()
    return {
        "store": url,
        "folders": {side: list(names) for side, names in store.roots.items()},
        "images": len(current),
        "errors": int(current.error.notna().sum()),
        "ignored": store.records.read_index()["ignored"],
        "thumbnails": {
            "blocks": store.blocks,
            "blocks_done": store.blocks - len(unread),
            "block_size": settings.block_size,
            "images_left": sum(unread.values()),
            "width": settings.width,
            "height": settings.height,
        },
        "vectors": _vectors(store),
        "comparisons": _comparisons(store),
        "edited": _edited(store),
        "verify": _looked_at(store, current.image.to_numpy(np.int64)),
        "decisions": len(store.records.read_not_duplicates()),
        "result": None
        if shown is None
        else {
            "described": PairValue(shown.settings, settings).described,
            "at": shown.at.isoformat(),
            "settings": shown.settings.to_json(),
            "verdicts": shown.verdicts,
        },
    }


def _vectors(store: Store) -> list[dict[str, Any]]:
    """Give the figures of the vectors of each name."""
    found, counts = [], store.rows()
    for name in vector_names(store):
        vectors = Vectors(store, name)
        kind, missing = vectors.kind(), vectors.missing_blocks()
        found.append(
            {
                "name": name,
                "made": vectors.made(),
                "values": None if kind is None else kind.shape[0],
                "dtype": None if kind is None else kind.dtype,
                "blocks_done": store.blocks - len(missing),
                "images_left": sum(counts[block] for block in missing),
            }
        )
    return found


def _vectors_line(vectors: dict[str, Any], blocks: int) -> str:
    kind = "" if vectors["values"] is None else f", {vectors['values']:,} values of {vectors['dtype']}"
    function = shown_name(str((vectors["made"] or {}).get("function", "")))
    left = f"; {counted(vectors['images_left'], 'image')} left" if vectors["images_left"] else ""
    return (
        f"Vectors:    {vectors['name']} by {printable(function)}{kind}: {vectors['blocks_done']:,} of {blocks:,} "
        f"blocks are done{left}"
    )


def _edited(store: Store) -> dict[str, int] | None:
    """Give the figures of the search for edited copies, if there is one."""
    files, rows = EditedFiles(store), np.array(store.rows(), np.int64)
    unmade = files.unmade()
    if len(unmade) == store.blocks:
        return None
    left = files.uncompared(store.blocks, store.blocks)
    looks = files.read_looks()
    return {
        "blocks_done": store.blocks - len(unmade),
        "pairs_left": sum(int(rows[list(some.rows)].sum() * rows[list(some.columns)].sum()) for some in left),
        "aligned": len(files.read_aligned()),
        "looked_at": len(looks),
        "copies": int(looks.edited.sum()),
    }


def _edited_line(state: dict[str, Any]) -> str:
    edited = state["edited"]
    if edited is None:
        return "Edited:     not looked for"
    left = f"{edited['pairs_left']:,} pairs of views are left" if edited["pairs_left"] else "all views are compared"
    return (
        f"Edited:     {edited['blocks_done']:,} of {state['thumbnails']['blocks']:,} blocks are done, {left}; "
        f"{counted(edited['looked_at'], 'pair')} looked at, of which {edited['copies']:,} are edited copies"
    )


def _looked_at(store: Store, current: NDArray[np.int64]) -> dict[str, int]:
    """Count the pairs of present images, given by their numbers, that have a verdict in the store."""
    verdicts = read_verdicts(store)
    a, b = verdicts.pairs()
    known = np.isin(a, current) & np.isin(b, current)
    counts = np.bincount(verdicts.codes(a[known], b[known]), minlength=len(VERDICT_NAMES))
    return {name: int(counts[VERDICT_NAMES.index(name)]) for name in BY_CERTAINTY if name in VERDICT_NAMES[2:]}


def _comparisons(store: Store) -> list[dict[str, Any]]:
    comparisons = Comparison.all_in(store)
    found = []
    for one in comparisons:
        counts = np.concatenate([np.zeros((0, 2), np.int64), *(plan.counts[:, :2] for plan in one.plans())])
        finished = counts[counts[:, 0] >= 0]
        ways = Counter(way for plan in one.plans() for way in plan.ways(one.settings.by_signatures))
        other = answering(comparisons, one.settings)
        answered = other is not None and other is not one and is_finished(other)
        found.append(
            {
                "name": one.name,
                "described": PairValue(one.settings, store.thumbnail_settings).described,
                "tiles": len(counts),
                "tiles_done": len(finished),
                "ways": {way: ways[way] for way in WAYS if ways[way]},
                "pairs_compared": int(finished[:, 1].sum()),
                "similar": int(finished[:, 0].sum()),
                "planned": bool(len(one.plans())) and not unplanned(one),
                "answered_up_to": PairValue(other.settings, store.thumbnail_settings).threshold
                if other is not None and answered
                else None,
            }
        )
    return found


def describe_store(url: str, width: int | None = None) -> str:
    """Describe a store in lines of text: images, blocks, comparisons with a map of the tiles, verdicts, the result.

    Parameters
    ----------
    url
        The store; another process may be writing it.
    width
        Characters of a line, at most, apart from the map; by default lines are not folded.

    Returns
    -------
    The lines.

    Raises
    ------
    UsageError
        If there is no store.
    """
    state = store_state(url)
    read, folders = state["thumbnails"], state["folders"]
    lines = [
        f"Store:      {url}",
        f"Folders:    {printable(', '.join(folders['a']))}",
        *([f"Against:    {printable(', '.join(folders['b']))}"] if folders["b"] else []),
        f"Images:     {state['images']:,}, of which {state['errors']:,} could not be read so far",
        f"Others:     {describe_ignored(state['ignored'])}",
        f"Thumbnails: {read['blocks_done']:,} of {read['blocks']:,} blocks of {read['block_size']} are done, "
        f"{read['images_left']:,} images are left ({read['width']}×{read['height']} pixels)",
    ]
    lines += [_vectors_line(one, read["blocks"]) for one in state["vectors"]]
    known = {one.name: one for one in Comparison.all_in(Store(url))}
    for comparison in state["comparisons"]:
        lines += _comparison_lines(comparison, known.get(comparison["name"]))
    if not state["comparisons"]:
        lines.append("Compare:    not begun")
    looked = sum(state["verify"].values())
    found = f"{counted(looked, 'pair')} looked at: {describe_verdicts(state['verify'])}" if looked else "not begun"
    lines.append(f"Verify:     {found}")
    lines.append(_edited_line(state))
    if state["decisions"]:
        lines.append(f"Decisions:  {counted(state['decisions'], 'pair')} marked as not a duplicate")
    lines += _result_lines(Store(url))
    return "\n".join(lines if width is None else [_folded(line, width) for line in lines])


def _folded(line: str, width: int) -> str:
    if line.startswith(_MAP):
        return line
    return textwrap.fill(
        line, max(width, 2 * _NAME), subsequent_indent=_NAME * " ", break_long_words=False, break_on_hyphens=False
    )


def _result_lines(store: Store) -> list[str]:
    """Describe the result that was shown last, and its pairs by verdict."""
    shown = store.records.read_shown()
    if shown is None:
        return []
    lines = [f"Result:     {describe_shown(PairValue(shown.settings, store.thumbnail_settings), shown.at)}"]
    if shown.verdicts:
        number = counted(sum(shown.verdicts.values()), "similar pair")
        counts = describe_verdicts(shown.verdicts)
        lines.append(f"Verdicts:   {number}{': ' if counts else ''}{counts}")
    return lines


def _comparison_lines(comparison: dict[str, Any], recorded: Comparison | None) -> list[str]:
    plans = [] if recorded is None else recorded.plans()
    lines = [
        f"Compare:    {comparison['described']}: "
        f"{comparison['tiles_done']:,} of {comparison['tiles']:,} tiles are done; "
        f"{comparison['pairs_compared']:,} pairs of different thumbnails compared, {comparison['similar']:,} similar"
    ]
    if not comparison["planned"]:
        lines.append("  new images are not planned yet")
    # of finished parts, of which there may be one for every day, only the last is of interest
    for plan in plans:
        if plan.tiles and (plan.pending() or plan is plans[-1]):
            part, ways = plan.part, plan.ways(recorded is not None and recorded.settings.by_signatures)
            lines.append(
                f"  {part.images_a + part.images_b:,} thumbnails, tiles of {part.tile_side} × {part.sub_block} images "
                f"along each side ({_PENDING} left); compared by {_legend(ways)}:"
            )
            lines += [f"{_MAP}{line}" for line in _tile_map(plan, ways)]
    if comparison["answered_up_to"] is not None:
        lines.append(f"  answered by the finished comparison up to {comparison['answered_up_to']:g}")
    return lines


def _legend(ways: list[str]) -> str:
    """Name the marks of the finished tiles, and count these."""
    number = Counter(ways)
    return ", ".join(f"{way} {_MARKS[way]} {number[way]}" for way in WAYS if number[way]) or "nothing yet"


def _tile_map(plan: Plan, ways: list[str]) -> list[str]:
    """Draw one character a tile, rows and columns of tiles as in the matrix of all pairs."""
    rows = {start: row for row, start in enumerate(sorted({tile.rows.start for tile in plan.tiles}))}
    columns = {start: column for column, start in enumerate(sorted({tile.columns.start for tile in plan.tiles}))}
    marks = [[_NONE] * len(columns) for _ in rows]
    for tile, way in zip(plan.tiles, ways, strict=True):
        marks[rows[tile.rows.start]][columns[tile.columns.start]] = _MARKS.get(way, _PENDING)
    return ["".join(line) for line in marks]


# -- all stores of a user ----------------------------------------------------------------------------------------------


def known_state(url: str, folders: Mapping[str, Sequence[str]], used: datetime) -> dict[str, Any]:
    """Give what a list of stores tells of one, as JSON values.

    Keys: store, folders (by side), used (UTC), images, bytes and state; null for what is not known. A store that is not
    on this machine is not asked.

    Parameters
    ----------
    url
        Address of the store.
    folders
        Its folders by side.
    used
        When it was used last.

    Returns
    -------
    The values.
    """
    known: dict[str, Any] = {
        "store": url,
        "folders": {side: list(names) for side, names in folders.items()},
        "used": used.isoformat(),
        "images": None,
        "bytes": None,
        "state": "not on this machine",
    }
    if is_url(url):
        return known
    known["bytes"] = sum(size for size, _ in Files(url).tree().values())
    try:
        store = Store(url)
        current = store.read_images(["current"]).current
        known |= {"images": int(current.sum()), "state": _state_of_work(store)}
    except FastDiffError as error:
        known["state"] = f"cannot be read: {one_line(error)}"
    return known


def _state_of_work(store: Store) -> str:
    """Tell in words how far the work is."""
    begun = Comparison.all_in(store)
    unread = sum(unread_blocks(store).values())
    if unread:
        return f"{counted(unread, 'image')} not read yet"
    if not begun:
        return "not compared yet"
    finished = sum(map(is_finished, begun))
    if not finished:
        return "comparison not finished"
    return (
        "compared"
        if finished == len(begun)
        else f"compared; {counted(len(begun) - finished, 'other comparison')} begun"
    )


def describe_known(state: dict[str, Any]) -> str:
    """Describe a store of the list in three lines: its folders, what there is, its address."""
    folders = " against ".join(printable(", ".join(names)) for names in state["folders"].values() if names)
    there = [] if state["images"] is None else [counted(state["images"], "image")]
    there += [] if state["bytes"] is None else [file_size(state["bytes"])]
    used = f"used {how_long_ago(datetime.fromisoformat(state['used']))}"
    return (
        f"{folders or 'folders that are not known'}\n  {', '.join([*there, used, state['state']])}\n"
        f"  {printable(state['store'])}"
    )
