"""Every pair is in exactly one tile, whatever the parts and the sizes of tiles and sub-blocks."""

import re
from collections import Counter
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

import fastdiff_dask
from fastdiff_dask.kernels.grid import Axis, Generation, choose_tile_side, pairs_within, plan_tiles

PARTS = st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9), st.integers(1, 4)), min_size=1, max_size=4)


def names_in(axis: Axis, sub_blocks: range) -> list[tuple[int, int]]:
    """Images of consecutive sub-blocks, as (part, place)."""
    return [(part, place) for part, places, _ in axis.pieces(sub_blocks) for place in places]


@given(parts=PARTS, side=st.integers(1, 4), two_sides=st.booleans())
def test_every_pair_exactly_once(parts, side, two_sides):
    rows = Axis(tuple((images_a, size) for images_a, _, size in parts))
    columns = Axis(tuple((images_b, size) for _, images_b, size in parts)) if two_sides else rows
    compared = Counter()
    for last in range(1, len(parts) + 1):
        along = [[Axis(axis.parts[:n]).sub_blocks() for n in (last - 1, last)] for axis in (rows, columns)]
        for tile in plan_tiles(tuple(along[0]), tuple(along[1]) if two_sides else None, side):
            assert max(len(tile.rows), len(tile.columns)) <= side
            assert tile.triangular == (not two_sides and tile.rows == tile.columns)
            for i, a in enumerate(names_in(rows, tile.rows)):
                for j, b in enumerate(names_in(columns, tile.columns)):
                    if i < j or not tile.triangular:
                        compared[a, b] += 1
    all_a, all_b = (names_in(axis, range(axis.sub_blocks())) for axis in (rows, columns))
    wanted = [(a, b) for a in all_a for b in all_b] if two_sides else combinations(all_a, 2)
    assert compared == Counter(wanted)


@given(parts=PARTS, data=st.data())
def test_cuts_are_the_sub_blocks(parts, data):
    axis = Axis(tuple((images, size) for images, _, size in parts))
    start = data.draw(st.integers(0, axis.sub_blocks()))
    sub_blocks = range(start, data.draw(st.integers(start, axis.sub_blocks())))
    cuts = axis.cuts(sub_blocks)
    assert len(cuts) == len(sub_blocks)
    assert [place for cut in cuts for place in cut] == list(range(axis.images(sub_blocks)))
    for cut, sub_block in zip(cuts, sub_blocks, strict=True):
        assert names_in(axis, sub_blocks)[cut.start : cut.stop] == names_in(axis, range(sub_block, sub_block + 1))


@given(sub_blocks=st.integers(1, 10**6), threads=st.integers(1, 1000))
@example(sub_blocks=67, threads=139)
def test_a_plan_has_some_tiles_a_thread_and_a_few_thousand_at_most(sub_blocks, threads):
    side = choose_tile_side(sub_blocks, threads, sub_blocks)
    groups = -(-sub_blocks // side)
    assert groups * (groups + 1) // 2 <= max(2080, 9 * threads)
    if sub_blocks * (sub_blocks + 1) // 2 >= 8 * threads:
        assert groups * (groups + 1) // 2 >= 2 * threads


def test_the_side_of_a_tile_fits_into_memory():
    assert choose_tile_side(1000, 2, 7) == 7
    assert choose_tile_side(0, 2, 7) == 1


def test_later_parts_leave_older_ones_alone():
    tiles = plan_tiles((4, 5), None, 1)
    assert all(tile.columns == range(4, 5) for tile in tiles)
    assert len(tiles) == 5


@pytest.mark.parametrize(("rows", "block"), [(3, 4), (4, 3), (1, 4)])
def test_rows_of_the_last_block(rows, block):
    generation = Generation(range(3, 3 + -(-rows // block)), range(99, 99), rows, 0)
    assert sum(generation.rows(b, block) for b in generation.a) == rows


def test_pairs_within_are_counted_for_numbers_and_arrays():
    assert pairs_within(np.arange(9)).tolist() == [len(list(combinations(range(n), 2))) for n in range(9)]
    assert [pairs_within(n) for n in range(9)] == pairs_within(np.arange(9)).tolist()
    assert pairs_within(10**10) == 5 * 10**19 - 5 * 10**9  # more than 64 bits


@pytest.mark.parametrize(
    ("pattern", "rooms"),
    [
        (r"- 1\) // 2\b(?!\*)", {"grid"}),
        (r"SUB_BLOCK = 256", {"grid"}),
        (r"signature_error\(", {"signatures", "bounds"}),
        (r"// 90\b|% 4\b", {"transforms"}),
    ],
    ids=["pairs", "sub-block", "radius", "turns"],
)
def test_a_decision_has_one_room(pattern, rooms):
    modules = Path(fastdiff_dask.__file__).parent.rglob("*.py")
    assert {path.stem for path in modules if re.search(pattern, path.read_text())} == rooms
