"""What is done and what is left in a store, from the store alone."""

from .compare import Plan, plan_comparison
from .comparisons import Comparison
from .store import Store
from .thumbnails import unread_blocks

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
        f"Folders:    {', '.join(store.roots['a'])}",
        *([f"Against:    {', '.join(store.roots['b'])}"] if store.two_sides else []),
        f"Images:     {len(current)}, of which {int(current.error.notna().sum())} could not be read so far",
        f"Thumbnails: {read} of {store.blocks} blocks of {settings.block_size} are done, "
        f"{sum(unread.values())} images are left ({settings.width}×{settings.height} pixels)",
    ]
    comparisons = Comparison.all_in(store)
    for comparison in comparisons:
        lines += _comparison_lines(store, comparison)
    if not comparisons:
        lines.append("Compare:    not begun")
    return "\n".join(lines)


def _comparison_lines(store: Store, comparison: Comparison) -> list[str]:
    plans = plan_comparison(comparison)
    tiles = sum(len(plan.tiles) for plan in plans)
    done = sum(int((plan.compared >= 0).sum()) for plan in plans)
    pairs = sum(int(plan.compared[plan.compared >= 0].sum()) for plan in plans)
    begun = [generation for generation in range(len(store.generations)) if plans[generation].recorded]
    found = sum(len(part) for generation in begun for part in comparison.read_pairs(generation))
    settings = comparison.settings
    kind = ("with" if settings.rotations else "without") + " rotations" + (", mirrored" if settings.mirror else "")
    lines = [
        f"Compare:    MSE ≤ {settings.similarity_threshold:g} {kind}: {done} of {tiles} tiles are done; "
        f"{pairs} pairs compared, {found} similar"
    ]
    # finished generations are of no interest but the last; there may be one for every day
    for plan in plans:
        if plan.tiles and (plan.pending() or plan is plans[-1]):
            lines.append(
                f"  generation {plan.generation}, tiles of {plan.tile_blocks} blocks ({_DONE} done, {_PENDING} left):"
            )
            lines += [f"    {line}" for line in _tile_map(plan)]
    return lines


def _tile_map(plan: Plan) -> list[str]:
    """One character a tile, rows and columns of tiles as in the matrix of all pairs."""
    rows = {blocks: row for row, blocks in enumerate(sorted({tile.rows for tile in plan.tiles}))}
    columns = {blocks: column for column, blocks in enumerate(sorted({tile.columns for tile in plan.tiles}))}
    marks = [[_NONE] * len(columns) for _ in rows]
    for tile, compared in zip(plan.tiles, plan.compared, strict=True):
        marks[rows[tile.rows]][columns[tile.columns]] = _DONE if compared >= 0 else _PENDING
    return ["".join(line) for line in marks]
