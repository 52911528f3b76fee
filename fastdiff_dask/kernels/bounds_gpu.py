"""Candidates for similar pairs on a GPU: the same bounds as in `bounds`, which stands beside it for the processor.

A processor has small caches, and goes through a tile run by run. A GPU loses time with each launch and each wait, so
that a stage goes through all sub-blocks of a tile at once here. The arrays are CuPy's; in tests, of any other kind.
"""

from collections.abc import Iterator
from typing import Any

from array_api_compat import array_namespace

from .bounds import SearchCounts, SearchSide, listed_limit, near_sub_blocks, product_limit
from .device import Device
from .grid import SUB_BLOCK, pairs_within

__all__ = ["candidate_pairs_gpu", "search_side_gpu"]

# The time of a pair in the first product, a + b · values, and of a pair that is left; only their ratios matter. On an
# H100, by its data sheet: 67 Tflop/s in float32, two for a value, and three instructions a pair besides; a pair that is
# left moves some rows of signatures of 600 bytes, at 3.35 TB/s. In picoseconds.
_PAIR_TIME, _VALUE_TIME, _SURVIVOR_TIME = 0.1, 0.03, 600.0
# Pairs of sub-blocks from which the number of leading values is chosen.
_SAMPLE = 64


def search_side_gpu(signatures: Any, device: Device) -> SearchSide:
    """Send the signatures of one side of a tile to a device, and prepare them there for the search.

    Parameters
    ----------
    signatures
        (n, k) float32 of NumPy.
    device
        Where to send them.

    Returns
    -------
    The side, with arrays on the device.
    """
    values = device.to_device(signatures)
    cuts = [range(start, min(start + SUB_BLOCK, len(signatures))) for start in range(0, len(signatures), SUB_BLOCK)]
    return SearchSide(values, cuts, array_namespace(values))


def candidate_pairs_gpu(
    a: SearchSide,
    b: SearchSide,
    /,
    *,
    radius: float,
    counts: SearchCounts,
    device: Device,
    triangular: bool = False,
) -> Iterator[tuple[Any, Any] | tuple[range, range]]:
    """Find the pairs whose signatures are at most a radius apart, as `bounds.candidate_pairs`, on a GPU.

    Memory on the device, beside the sides: 40 bytes a pair of sub-blocks of the tile, and some times
    `Device.piece_bytes`.

    Parameters
    ----------
    a, b
        The sides, see `search_side_gpu`.
    radius, counts
        As for `bounds.candidate_pairs`.
    device
        The device that has them.
    triangular
        As for `bounds.candidate_pairs`.

    Yields
    ------
    As `bounds.candidate_pairs`; arrays on the device.
    """
    rows, columns = a.values.shape[0], b.values.shape[0]
    counts.pairs += pairs_within(rows) if triangular else rows * columns
    if not rows or not columns:
        return
    xp = array_namespace(a.values, b.values)
    near = near_sub_blocks(a, b, radius, xp)
    if triangular:
        near = xp.triu(near)
    i, j = xp.nonzero(near)
    if not i.shape[0]:
        return
    blocks = xp.stack([xp.astype(i, xp.int32), xp.astype(j, xp.int32)], axis=1)
    count = _choose_count(a, b, blocks, radius, device, triangular, xp)
    # so that what a step may find fits into a piece
    at_once = max(1, device.piece_bytes // (8 * device.dense_pairs))
    for start in range(0, blocks.shape[0], at_once):
        some = blocks[start : start + at_once, :]
        counts.near += _pairs_in(some, rows, columns, triangular, xp)
        for values in dict.fromkeys((count, a.values.shape[1])):
            found = device.near_pairs(
                *(a.operand(values, xp), b.operand(values, xp), some),
                limit=product_limit(radius, values, a.largest[values] + b.largest[values]),
                triangular=triangular,
            )
            counts.leading += found.number if values == count else 0
            yield from _whole(a, b, found.rows, found.columns, radius, counts, device, xp)
            # where the first values leave many pairs, all values may not
            some = xp.take(some, found.many, axis=0)
            if not some.shape[0]:
                break
        if not some.shape[0]:
            continue
        counts.dense += _pairs_in(some, rows, columns, triangular, xp)
        for row, column in device.to_host(some).tolist():
            yield _rows_of(row, rows), _rows_of(column, columns)


def _rows_of(block: int, rows: int) -> range:
    return range(block * SUB_BLOCK, min((block + 1) * SUB_BLOCK, rows))


def _pairs_in(blocks: Any, rows: int, columns: int, triangular: bool, xp: Any) -> int:
    """Count the pairs of images in some pairs of sub-blocks."""
    heights, widths = (
        xp.astype(xp.where(number == size // SUB_BLOCK, size % SUB_BLOCK, SUB_BLOCK), xp.int64)
        for number, size in ((blocks[:, 0], rows), (blocks[:, 1], columns))
    )
    pairs = heights * widths
    if triangular:
        pairs = xp.where(blocks[:, 0] == blocks[:, 1], pairs_within(heights), pairs)
    return int(xp.sum(pairs))


def _whole(
    a: SearchSide, b: SearchSide, rows: Any, columns: Any, radius: float, counts: SearchCounts, device: Device, xp: Any
) -> Iterator[tuple[Any, Any]]:
    """Find those of some pairs whose whole signatures are at most a radius apart."""
    values = b.values.shape[1]
    limit = listed_limit(radius, values)
    # two rows and their differences, and something for the places
    at_once = max(1, device.piece_bytes // (16 * (values + 4)))
    for start in range(0, rows.shape[0], at_once):
        i, j = rows[start : start + at_once], columns[start : start + at_once]
        differences = xp.take(a.values, i, axis=0) - xp.take(b.values, j, axis=0)
        differences *= differences
        near = xp.sum(differences, axis=1) <= limit
        i, j = i[near], j[near]
        if i.shape[0]:
            counts.candidates += i.shape[0]
            yield i, j


def _choose_count(
    a: SearchSide, b: SearchSide, blocks: Any, radius: float, device: Device, triangular: bool, xp: Any
) -> int:
    """Choose the number of leading values that costs least by a sample; only the time depends on it."""
    sample = blocks[:: -(-blocks.shape[0] // _SAMPLE), :]
    pairs = max(_pairs_in(sample, a.values.shape[0], b.values.shape[0], triangular, xp), 1)
    costs = []
    for count in a.counts():
        limit = product_limit(radius, count, a.largest[count] + b.largest[count])
        operands = (a.operand(count, xp), b.operand(count, xp))
        left = device.near_pairs(*operands, sample, limit=limit, triangular=triangular).number
        costs.append((_PAIR_TIME + _VALUE_TIME * count + _SURVIVOR_TIME * left / pairs, count))
    return min(costs)[1]
