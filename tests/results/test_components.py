"""Components from parts of the edges are those of all edges at once, by SciPy; and results that hold no pairs."""

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from support.groups import Expanded, components, expanded
from support.results import find, rows_of

from fastdiff_dask.outputs.json_file import write_json
from fastdiff_dask.results.components import Components
from fastdiff_dask.results.groups import GroupPairs
from fastdiff_dask.results.stored import stored_result
from fastdiff_dask.storage.pairs import read_pairs
from fastdiff_dask.storage.store import Store


def lowest_of(nodes: int, a: np.ndarray, b: np.ndarray) -> list[int]:
    """For each node the lowest of its component, by SciPy."""
    _, labels = connected_components(coo_array((np.ones(len(a)), (a, b)), shape=(nodes, nodes)), directed=False)
    return np.unique(labels, return_index=True)[1][labels].tolist()


@given(st.integers(1, 40), st.integers(0, 60), st.integers(1, 7), st.integers(0, 10**6))
@settings(max_examples=300, deadline=None)
def test_components_of_parts_are_those_of_the_whole(nodes, edges, part, seed):
    a, b = np.random.default_rng(seed).integers(0, nodes, (2, edges))
    parted = Components(nodes)
    for start in range(0, edges, part):
        parted.add(a[start : start + part], b[start : start + part])
    assert parted.labels().tolist() == lowest_of(nodes, a, b)


@pytest.mark.parametrize("order", ["up", "down", "shuffled"])
def test_a_chain_is_one_component(order):
    """Links one by one make the longest ways to a root."""
    links = np.arange(2000)
    links = {"up": links, "down": links[::-1], "shuffled": np.random.default_rng(1).permutation(links)}[order]
    chain = Components(2001)
    for link in links:
        chain.add(np.array([link + 1]), np.array([link]))
    assert not chain.labels().any()


@pytest.mark.parametrize("shuffled", [False, True])
def test_a_long_chain_at_once_takes_few_turns(shuffled):
    nodes = np.arange(1_000_000)
    if shuffled:
        nodes = np.random.default_rng(1).permutation(nodes)
    chain = Components(len(nodes))
    chain.add(nodes[1:], nodes[:-1])
    assert not chain.labels().any()


def stored(case: Expanded, part: int):
    """The same groups, whose pairs are given a few at a time instead of being held."""
    groups = case.groups

    def chunks():
        for start in range(0, len(groups.first), part):
            some = slice(start, start + part)
            yield GroupPairs(groups.first[some], groups.second[some], groups.values[some], groups.masks[some])

    none = groups.first[:0]
    empty = {"first": none, "second": none, "values": groups.values[:0], "masks": groups.masks[:0]}
    return replace(groups, **empty, stored=chunks)


def sorted_pairs(chunks) -> list[tuple[int, ...]]:
    return sorted(pair for chunk in chunks for pair in zip(*(part.tolist() for part in chunk), strict=True))


@given(expanded(), st.sampled_from([1, 3]))
@settings(max_examples=150, deadline=None)
def test_pairs_that_are_not_held_give_the_same(case, part):
    held, parted = case.groups, stored(case, part)
    assert parted.count() == held.count()
    wanted = components([a for a, _ in case.pairs], [b for _, b in case.pairs])
    assert [part.tolist() for part in parted.connected()] == wanted
    assert [part.tolist() for part in held.connected()] == wanted
    assert sorted_pairs(parted.pairs(5)) == sorted_pairs(held.pairs(1000))
    assert sorted_pairs([parted.stars()]) == sorted_pairs([held.stars()])
    names = held.members[::2]
    for one in names:
        assert sorted_pairs([parted.among(names).between(one, names)]) == sorted_pairs([held.between(one, names)])


@pytest.mark.parametrize("listed", [1, 10**6])
@pytest.mark.parametrize("held", [0, 10**6])
def test_the_json_file_is_the_same_in_parts(tmp_path, client, turned, monkeypatch, listed, held):
    (turned / "bad.png").touch()
    monkeypatch.setattr("fastdiff_dask.results.result._LISTED_PAIRS", listed)
    result = find(tmp_path, client, similarity_threshold=190_000.0)
    write_json(result, str(tmp_path / "out.json"))
    wanted = (tmp_path / "out.json").read_text()
    assert json.dumps(json.loads(wanted), indent=1) + "\n" == wanted
    assert json.loads(wanted)["pairs"] == result.pairs[["a", "b", "mse", "rotation", "verdict"]].to_dict("records")
    monkeypatch.setattr("fastdiff_dask.results.values._HELD_PAIRS", held)
    monkeypatch.setattr("fastdiff_dask.results.result._PART", 2)
    again = find(tmp_path, client, similarity_threshold=190_000.0)
    assert (again.groups.stored is None) == bool(held)
    assert len(list(again.sorted_pairs())) > 2
    write_json(again, str(tmp_path / "out.json"))
    assert (tmp_path / "out.json").read_text().partition('"stats"')[0] == wanted.partition('"stats"')[0]


def test_a_result_reads_the_pairs_that_are_not_held_three_times(tmp_path, client, turned, monkeypatch):
    """For the images in pairs, for all counts and the forest, and for the pairs with the images to keep."""
    wanted = find(tmp_path, client, similarity_threshold=190_000.0)
    readings = []
    monkeypatch.setattr("fastdiff_dask.results.values._HELD_PAIRS", 0)
    monkeypatch.setattr("fastdiff_dask.results.result._LISTED_PAIRS", 1)
    monkeypatch.setattr("fastdiff_dask.results.values.read_pairs", lambda *of: readings.append(of) or read_pairs(*of))
    result = stored_result(Store(str(tmp_path / "store")))
    assert result.groups.stored is not None
    assert result.clusters == wanted.clusters
    assert (result.pair_count, result.verdict_counts) == (wanted.pair_count, wanted.verdict_counts)
    assert len(result.pairs)
    assert len(readings) == 3


def test_a_result_of_more_pairs_than_are_held_is_the_same(tmp_path, client, turned, monkeypatch):
    wanted = find(tmp_path, client, similarity_threshold=190_000.0)
    near = find(tmp_path, client, similarity_threshold=4.0)
    monkeypatch.setattr("fastdiff_dask.results.values._HELD_PAIRS", 0)
    for threshold, one in ((190_000.0, wanted), (4.0, near)):
        streamed = find(tmp_path, client, similarity_threshold=threshold)
        assert streamed.groups.stored is not None
        assert not len(streamed.groups.first)
        assert one.groups.stored is None
        assert streamed.pair_count == one.pair_count
        assert streamed.clusters == one.clusters
        assert streamed.pairs.equals(one.pairs)
        paths = list(one.images.index)
        for path in paths:
            assert rows_of(streamed.among(paths).similar_to(path, paths)) == rows_of(one.similar_to(path, paths))
    # one that has vanished since is in no pair, though the pairs in the store name it
    (turned / "a.png").unlink()
    streamed = find(tmp_path, client, similarity_threshold=4.0)
    monkeypatch.undo()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    again = find(tmp_path, client, similarity_threshold=4.0)
    assert streamed.groups.stored is not None
    assert (streamed.clusters, streamed.pair_count) == (again.clusters, again.pair_count)
    assert streamed.images.equals(again.images)
