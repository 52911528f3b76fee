"""Pairs that are no duplicates are left out, and all others stay as they are."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.groups import components, expanded

from fastdiff_dask.results.groups import GroupPairs, Groups
from fastdiff_dask.results.not_duplicates import without_pairs


def pairs_of(groups: Groups) -> dict[tuple[int, int], tuple[int, int]]:
    rows = [row for part in groups.pairs(5) for row in zip(*(values.tolist() for values in part), strict=True)]
    found = {(a, b): (value, mask) for a, b, value, mask in rows}
    assert len(found) == len(rows)
    return found


def read_from_disk(groups: Groups) -> Groups:
    """The same groups with no pair in memory."""
    pairs = GroupPairs(groups.first, groups.second, groups.values, groups.masks)
    none = {name: values[:0] for name, values in pairs._asdict().items()}
    parts = [GroupPairs(*(values[start : start + 2] for values in pairs)) for start in range(0, len(pairs.first), 2)]
    return replace(groups, **none, stored=lambda: iter(parts))


@pytest.mark.parametrize("held", [True, False])
@given(case=expanded(), seed=st.integers(0, 10**6))
@settings(max_examples=100, deadline=None)
def test_all_but_the_left_out_pairs_stay(held, case, seed):
    rng = np.random.default_rng(seed)
    everything = pairs_of(case.groups)  # these are all, see test_groups
    chosen = [pair for pair in sorted(everything) if rng.random() < rng.choice([0.1, 0.6])]
    # in either order, and with images that are in no pair
    pairs = np.array([pair[:: rng.choice([-1, 1])] for pair in chosen] + [(1, 2)], np.int64)
    left = without_pairs(case.groups if held else read_from_disk(case.groups), pairs)
    wanted = {pair: value for pair, value in everything.items() if pair not in chosen}
    assert pairs_of(left) == wanted
    assert left.count() == len(wanted)
    # images without a pair are gone
    assert sorted(left.members.tolist()) == sorted({image for pair in wanted for image in pair})
    connected = components([a for a, _ in wanted], [b for _, b in wanted])
    assert [part.tolist() for part in left.connected()] == connected
