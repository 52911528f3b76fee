"""Every pair is in exactly one tile, whatever the generations and the size of a tile."""

from collections import Counter
from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastdiff_dask.grid import Generation, choose_tile_blocks, plan_tiles

BLOCK = 2


def generations_of(sizes: list[tuple[int, int]], two_sides: bool) -> list[Generation]:
    """Generations with so many images on either side, in blocks of two."""
    generations, start = [], 0
    for images_a, images_b in sizes:
        images_b = images_b if two_sides else 0
        middle = start + -(-images_a // BLOCK)
        stop = middle + -(-images_b // BLOCK)
        generations.append(Generation(range(start, middle), range(middle, stop), images_a, images_b))
        start = stop
    return generations


def images_of(generation: Generation, side: str) -> list[int]:
    blocks = generation.a if side == "a" else generation.b
    return [block * BLOCK + row for block in blocks for row in range(generation.rows(block, BLOCK))]


@given(
    sizes=st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=1, max_size=4),
    tile_blocks=st.integers(1, 4),
    two_sides=st.booleans(),
)
def test_every_pair_exactly_once(sizes, tile_blocks, two_sides):
    generations = generations_of(sizes, two_sides)
    rows = {block: g.rows(block, BLOCK) for g in generations for block in g.blocks}
    assert all(1 <= count <= BLOCK for count in rows.values())

    compared = Counter()
    for index in range(len(generations)):
        for tile in plan_tiles(generations, index, tile_blocks, two_sides=two_sides):
            assert len(tile.rows) <= tile_blocks
            assert len(tile.columns) <= tile_blocks
            for i, j in tile.block_pairs():
                for a in range(i * BLOCK, i * BLOCK + rows[i]):
                    for b in range(j * BLOCK, j * BLOCK + rows[j]):
                        if i != j or a < b:
                            compared[a, b] += 1

    all_a = [image for generation in generations for image in images_of(generation, "a")]
    all_b = [image for generation in generations for image in images_of(generation, "b")]
    wanted = [(a, b) for a in all_a for b in all_b] if two_sides else combinations(all_a, 2)
    assert compared == Counter(wanted)


@given(blocks=st.integers(1, 200_000))
def test_a_plan_stays_at_a_few_thousand_tiles(blocks):
    side = -(-blocks // choose_tile_blocks(blocks))
    assert side * (side + 1) // 2 <= 2080


def test_later_generations_leave_older_ones_alone():
    generations = generations_of([(8, 0), (2, 0)], two_sides=False)
    tiles = plan_tiles(generations, 1, 1, two_sides=False)
    assert all(tile.columns == (4,) for tile in tiles)
    assert len(tiles) == 5


@pytest.mark.parametrize(("rows", "block"), [(3, 4), (4, 3), (1, 4)])
def test_rows_of_the_last_block(rows, block):
    generation = Generation(range(3, 3 + -(-rows // block)), range(99, 99), rows, 0)
    assert sum(generation.rows(b, block) for b in generation.a) == rows
