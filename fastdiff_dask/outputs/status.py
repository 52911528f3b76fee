"""What is done and what is left in a store, from the store alone."""

import numpy as np

from ..kernels.pair_filters import PairFilters
from ..storage.comparisons import Comparison
from ..storage.pending import unplanned, unread_blocks
from ..storage.plans import Plan
from ..storage.store import Store
from ..text import printable
from .terminal import describe_ignored

__all__ = ["describe_store"]

_DONE, _PENDING, _NONE = "█", "·", " "


def describe_store(url: str) -> str:
    """Describe a store in lines of text: images, blocks, comparisons, and a map of the tiles.

    It may be called while another process writes the store.

    Raises
    ------
    UsageError
        If there is no store.
    """
    store = Store(url)
    frame = store.read_images(["current", "error"])
    current = frame[frame.current]
    settings = store.thumbnail_settings
    unread = unread_blocks(store)
    read = store.blocks - len(unread)
    lines = [
        f"Store:      {url}",
        f"Folders:    {printable(', '.join(store.roots['a']))}",
        *([f"Against:    {printable(', '.join(store.roots['b']))}"] if store.two_sides else []),
        f"Images:     {len(current)}, of which {int(current.error.notna().sum())} could not be read so far",
        f"Others:     {describe_ignored(store.read_index()['ignored'])}",
        f"Thumbnails: {read} of {store.blocks} blocks of {settings.block_size} are done, "
        f"{sum(unread.values())} images are left ({settings.width}×{settings.height} pixels)",
    ]
    comparisons = Comparison.all_in(store)
    for comparison in comparisons:
        lines += _comparison_lines(comparison)
    if not comparisons:
        lines.append("Compare:    not begun")
    return "\n".join(lines)


def _comparison_lines(comparison: Comparison) -> list[str]:
    plans = comparison.plans()
    counts = np.concatenate([np.zeros((0, 2), np.int64), *(plan.counts[:, :2] for plan in plans)])
    finished = counts[counts[:, 0] >= 0]
    settings = comparison.settings
    kind = ("with" if settings.rotations else "without") + " rotations" + (", mirrored" if settings.mirror else "")
    kind += PairFilters.of(settings).shown
    name = "MSE" if settings.measure == "mse" else settings.measure
    lines = [
        f"Compare:    {name} ≤ {settings.similarity_threshold:g} {kind}: {len(finished)} of {len(counts)} tiles are "
        f"done; {finished[:, 1].sum()} pairs of different thumbnails compared, {finished[:, 0].sum()} similar"
    ]
    if not plans or unplanned(comparison):
        lines.append("  new images are not planned yet")
    # finished parts are of no interest but the last; there may be one for every day
    for plan in plans:
        if plan.tiles and (plan.pending() or plan is plans[-1]):
            part = plan.part
            lines.append(
                f"  {part.images_a + part.images_b} thumbnails, tiles of {part.tile_side} × {part.sub_block} images "
                f"along each side ({_DONE} done, {_PENDING} left):"
            )
            lines += [f"    {line}" for line in _tile_map(plan)]
    return lines


def _tile_map(plan: Plan) -> list[str]:
    """One character a tile, rows and columns of tiles as in the matrix of all pairs."""
    rows = {start: row for row, start in enumerate(sorted({tile.rows.start for tile in plan.tiles}))}
    columns = {start: column for column, start in enumerate(sorted({tile.columns.start for tile in plan.tiles}))}
    marks = [[_NONE] * len(columns) for _ in rows]
    for tile, similar in zip(plan.tiles, plan.counts[:, 0], strict=True):
        marks[rows[tile.rows.start]][columns[tile.columns.start]] = _DONE if similar >= 0 else _PENDING
    return ["".join(line) for line in marks]
