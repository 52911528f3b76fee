"""The pairs that decide, and the clusters that verdicts leave, against two loops over all pairs."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.groups import Expanded, components, expanded, rows_in
from support.verdicts import drawn_verdicts

from fastdiff_dask.results import verdicts
from fastdiff_dask.results.groups import GroupPairs, Groups, PairChunk
from fastdiff_dask.results.verdicts import PairVerdicts, pairs_to_look_at, part_clusters, spanning_forest
from fastdiff_dask.storage.derived.verdicts import (
    NOT_LOOKED_AT,
    SAME_FILE,
    SIMILAR,
    VERDICT_NAMES,
    Verdicts,
)

seeds = st.integers(0, 10**6)


def in_parts(groups: Groups, parts: int, seed: int) -> Groups:
    """The same groups whose pairs come a part at a time, in another order."""
    order = np.random.default_rng(seed).permutation(len(groups.first))
    chunks = [
        GroupPairs(groups.first[some], groups.second[some], groups.values[some], groups.masks[some])
        for some in np.array_split(order, parts)
    ]
    nothing = {name: getattr(groups, name)[:0] for name in ("first", "second", "values", "masks")}
    return replace(groups, **nothing, stored=lambda: iter(chunks))


def all_pairs(case: Expanded) -> dict[tuple[int, int], tuple[int, int]]:
    """All pairs with their values and masks; test_groups.py holds them against brute force."""
    rows = (row for chunk in case.groups.pairs(50) for row in zip(*(one.tolist() for one in chunk), strict=True))
    found = {(a, b): (value, mask) for a, b, value, mask in rows}
    assert found.keys() == case.pairs.keys()
    return found


def ends(pairs: PairChunk) -> list[tuple[int, int]]:
    return [(min(a, b), max(a, b)) for a, b in zip(pairs.a.tolist(), pairs.b.tolist(), strict=True)]


def kruskal(pairs: dict[tuple[int, int], int]) -> list[tuple[int, int]]:
    """Pairs of a minimum spanning forest; of equal values the lower images first."""
    tree: dict[int, int] = {}
    chosen = []
    for a, b in sorted(pairs, key=lambda pair: (pairs[pair], *pair)):
        one, other = tree.setdefault(a, a), tree.setdefault(b, b)
        if one != other:
            chosen.append((a, b))
            tree = {image: one if label == other else label for image, label in tree.items()}
    return chosen


@given(expanded())
@settings(max_examples=60, deadline=None)
def test_the_forest_is_that_of_all_pairs(case):
    """Its values are: those of equal images may be chosen in several ways."""
    values = {tuple(sorted(pair)): value for pair, (value, _) in case.pairs.items()}
    expected = kruskal(values)
    forest = spanning_forest(case.groups, rows_in(case))
    assert sorted(forest.values.tolist()) == sorted(values[pair] for pair in expected)
    assert components(forest.a, forest.b) == components(*np.array(expected, np.int64).reshape(-1, 2).T)
    for a, b, value, mask in zip(*(one.tolist() for one in forest), strict=True):
        assert all_pairs(case)[a, b] == (value, mask)


def test_parts_that_cannot_change_the_forest_are_not_merged(monkeypatch):
    """A chain of value 1 connects all images, and the thousand further parts have pairs of value 2."""
    merges, merge = [], verdicts._spanning
    monkeypatch.setattr(verdicts, "_spanning", lambda *edges: merges.append(edges) or merge(*edges))
    number = np.arange(1002)
    chain = GroupPairs(number[:-1], number[1:], np.full(1001, 1), np.ones(1001, np.uint8))
    more = [GroupPairs(number[:k], number[:k] + 1002 - k, np.full(k, 2), np.ones(k, np.uint8)) for k in range(1, 1001)]
    none = np.zeros(0, np.int64)
    groups = Groups(
        members=number,
        starts=np.arange(1003),
        turns=np.zeros(1002, np.int64),
        symmetries=np.ones(1002, np.uint8),
        first=none,
        second=none,
        values=none,
        masks=np.zeros(0, np.uint8),
        two_sides=False,
        stored=lambda: iter([chain, *more]),
    )
    assert ends(spanning_forest(groups, 1002)) == list(zip(range(1001), range(1, 1002), strict=True))
    assert len(merges) == 1


@given(expanded(), st.integers(1, 12), st.sampled_from([0, 3]), seeds)
@settings(max_examples=100, deadline=None)
def test_the_forest_does_not_depend_on_the_parts(case, parts, waiting, seed):
    whole = spanning_forest(case.groups, rows_in(case))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("fastdiff_dask.results.verdicts._WAITING", waiting)
        split = spanning_forest(in_parts(case.groups, parts, seed), rows_in(case))
    assert [one.tolist() for one in split] == [one.tolist() for one in whole]


@given(expanded(), seeds)
@settings(max_examples=60, deadline=None)
def test_pairs_of_some_images_are_those_of_all_pairs(case, seed):
    rng = np.random.default_rng(seed)
    names = np.concatenate([rng.permutation(case.groups.members)[: rng.integers(0, 4)], [10**6]])
    for groups in (case.groups, in_parts(case.groups, 3, seed)):
        found = [row for chunk in groups.pairs_of(names) for row in zip(*(one.tolist() for one in chunk), strict=True)]
        expected = {(a, b, *of) for (a, b), of in all_pairs(case).items() if a in names or b in names}
        assert set(found) == expected
        # twice is allowed for pairs of two of the images
        twice = {row for row in found if found.count(row) > 1}
        assert all(a in names and b in names and found.count((a, b, *of)) == 2 for a, b, *of in twice)


@given(expanded(), st.integers(1, 4), seeds)
@settings(max_examples=60, deadline=None)
def test_stars_are_not_more_than_counted(case, parts, seed):
    for groups in (case.groups, in_parts(case.groups, parts, seed)):
        stars = groups.stars()
        assert len(stars.a) <= groups.star_count()
        assert groups.star_count() <= len(stars.a) + len(groups.members) + 1
        assert set(ends(stars)) <= {tuple(sorted(pair)) for pair in case.pairs}


@given(expanded(), seeds)
@settings(max_examples=60, deadline=None)
def test_parted_clusters_are_held_together_by_pairs_that_are_not_only_similar(case, seed):
    verdicts, images = drawn_verdicts(case, seed), rows_in(case)
    ranks = np.random.default_rng(seed).permutation(images)
    forest = spanning_forest(case.groups, images)
    parting = part_clusters(case.groups, forest, verdicts, ranks, np.zeros((0, 2), np.int64))
    every = np.array(list(case.pairs), np.int64).reshape(-1, 2).T
    codes = verdicts.codes(*every)
    in_forest = np.isin(every[0] * images + every[1], forest.a * images + forest.b)
    may = (codes != SIMILAR) & ((codes != NOT_LOOKED_AT) | in_forest)
    must = (codes != SIMILAR) & in_forest
    allowed, needed = components(*every[:, may]), components(*every[:, must])
    labels = parting.labels
    # each cluster lies within what such pairs connect, and those of the forest are in one cluster
    where = {image: number for number, part in enumerate(allowed) for image in part}
    for label in np.unique(labels):
        part = np.flatnonzero(labels == label)
        assert label == part[0]
        assert len(part) == 1 or len({where.get(image) for image in part.tolist()}) == 1
    for part in needed:
        assert len(set(labels[part].tolist())) == 1


@given(expanded(), seeds)
@settings(max_examples=60, deadline=None)
def test_pairs_called_similar_join_nothing(case, seed):
    images = rows_in(case)
    rows = [(*sorted(pair), SIMILAR, 90.0, 512) for pair in case.pairs]
    looks = pd.DataFrame(sorted(set(rows)), columns=["a", "b", "verdict", "block", "size"]).assign(made=0)
    apart = PairVerdicts(Verdicts(looks), np.arange(images), np.arange(images))
    forest, ranks = spanning_forest(case.groups, images), np.random.default_rng(seed).permutation(images)
    none = np.zeros((0, 2), np.int64)
    assert part_clusters(case.groups, forest, apart, ranks, none).labels.tolist() == list(range(images))
    # but images of equal hashes stay together, and files of the same bytes
    pairs = np.array(list(case.pairs)[:2], np.int64).reshape(-1, 2)
    joined = part_clusters(case.groups, forest, apart, ranks, pairs).labels
    assert (joined[pairs[:, 0]] == joined[pairs[:, 1]]).all()
    same_bytes = replace(apart, contents=np.zeros(images, np.int64))
    whole = part_clusters(case.groups, forest, same_bytes, ranks, none).labels
    assert (whole[forest.a] == whole[forest.b]).all()


@given(expanded(), seeds)
@settings(max_examples=60, deadline=None)
def test_pairs_with_the_image_to_keep_are_looked_at(case, seed):
    images = rows_in(case)
    rng = np.random.default_rng(seed)
    ranks, numbers = rng.permutation(images), rng.permutation(3 * images)[:images]
    empty = pd.DataFrame({"a": [], "b": [], "verdict": [], "block": [], "size": [], "made": []}).astype(
        {"a": int, "b": int}
    )
    nothing = PairVerdicts(Verdicts(empty.astype({"verdict": "i1", "size": "i4"})), numbers, np.arange(images))
    forest = spanning_forest(case.groups, images)
    parting = part_clusters(case.groups, forest, nothing, ranks, np.zeros((0, 2), np.int64))
    keep = {min(part, key=ranks.__getitem__) for part in components(*np.array(list(case.pairs), int).reshape(-1, 2).T)}
    with_keep = {tuple(sorted(pair)) for pair in case.pairs if keep & set(pair)}
    assert sorted(ends(parting.pairs)) == sorted(with_keep | set(ends(forest)))
    looked = pairs_to_look_at(parting.pairs, nothing, 512)
    by_numbers = {tuple(sorted((numbers[a], numbers[b]))) for a, b in ends(parting.pairs)}
    assert sorted(tuple(sorted(pair)) for pair in looked[:, :2].tolist()) == sorted(by_numbers)
    values = {(numbers[a], numbers[b]): of for (a, b), of in all_pairs(case).items()}
    assert [values[a, b][1] for a, b, _ in looked.tolist()] == looked[:, 2].tolist()
    assert [values[a, b][0] for a, b, _ in looked.tolist()] == sorted(values[a, b][0] for a, b, _ in looked.tolist())


@given(expanded(), seeds)
@settings(max_examples=60, deadline=None)
def test_all_rounds_and_counts_take_two_readings_of_the_pairs(case, seed):
    readings, images = [], rows_in(case)
    parted = in_parts(case.groups, 3, seed)
    chunks = parted.stored
    parted = replace(parted, stored=lambda: readings.append(1) or chunks())
    rng = np.random.default_rng(seed)
    rows = sorted({(*sorted(pair), int(rng.choice([SIMILAR, SAME_FILE])), 90.0, 512) for pair in case.pairs})
    looks = pd.DataFrame(rows, columns=["a", "b", "verdict", "block", "size"]).assign(made=0)
    verdicts = PairVerdicts(Verdicts(looks), np.arange(images), np.arange(images))
    ranks, extra = rng.permutation(images), rng.integers(0, images, (1, 2))
    forest = spanning_forest(parted, images)
    found = part_clusters(parted, forest, verdicts, ranks, extra)
    assert (parted.count(), parted.star_count()) == (case.groups.count(), case.groups.star_count())
    assert len(readings) == 2
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("fastdiff_dask.results.verdicts._HELD", -1)  # each round reads for itself
        wanted = part_clusters(case.groups, forest, verdicts, ranks, extra)
    assert [one.tolist() for one in found.pairs] == [one.tolist() for one in wanted.pairs]
    assert found.labels.tolist() == wanted.labels.tolist()


def test_files_of_the_same_bytes_need_no_look():
    looks = pd.DataFrame([(0, 1, SIMILAR, 60.0, 512)], columns=["a", "b", "verdict", "block", "size"]).assign(made=0)
    verdicts = PairVerdicts(Verdicts(looks), np.arange(4), np.array([7, 7, 8, 9]))
    a, b = np.array([0, 1, 2]), np.array([1, 2, 3])
    assert verdicts.codes(a, b).tolist() == [SAME_FILE, NOT_LOOKED_AT, NOT_LOOKED_AT]
    assert verdicts.names(a, b).tolist() == [VERDICT_NAMES[code] for code in (SAME_FILE, NOT_LOOKED_AT, NOT_LOOKED_AT)]
    pairs = PairChunk(a, b, np.array([0, 5, 3]), np.ones(3, np.uint8))
    assert pairs_to_look_at(pairs, verdicts, 512).tolist() == [[2, 3, 1], [1, 2, 1]]
