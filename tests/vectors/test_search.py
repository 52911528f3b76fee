"""The search for near vectors: the pairs of all distances, whatever the numbers, the limit and the tiles are."""

import math
from itertools import combinations, product

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from support.vectors import DTYPES, KINDS, cuts_of, make_vectors, side_of

from fastdiff_dask.config import CompareSettings
from fastdiff_dask.kernels.bounds import SearchCounts
from fastdiff_dask.kernels.pair_filters import PairFilters
from fastdiff_dask.vectors import search
from fastdiff_dask.vectors.directions import find_directions
from fastdiff_dask.vectors.metrics import distances, limit_of
from fastdiff_dask.vectors.search import VectorSide, VectorTile, similar_vectors

METRICS = ["cosine", "inner", "euclidean"]


def brute_force(metric, a, b, limit, triangular=False):
    """Similar pairs by two loops: places → bits of the distance."""
    pairs = combinations(range(len(a)), 2) if triangular else product(range(len(a)), range(len(b)))
    places = np.array(list(pairs), np.int64).reshape(-1, 2)
    values = distances(metric, a[places[:, 0]], b[places[:, 1]])
    return {
        tuple(place): value for place, value in zip(places.tolist(), values.tolist(), strict=True) if value <= limit
    }


def found_in(tile, counts=None):
    found = {}
    for i, j, values in similar_vectors(tile, counts or SearchCounts()):
        for pair in zip(i.tolist(), j.tolist(), values.tolist(), strict=True):
            assert pair[:2] not in found, "a pair is found once"
            found[pair[:2]] = pair[2]
    return found


def limits_of(rng, metric, a, b):
    """Limits at and just below distances that occur, and others."""
    i, j = rng.integers(0, len(a), 20), rng.integers(0, len(b), 20)
    values = np.clip(distances(metric, a[i], b[j]), -1e308, 1e308)
    some = rng.choice(values)
    return [float(some), float(np.nextafter(some, -math.inf)), float(np.quantile(values, 0.3, method="nearest"))]


@settings(max_examples=80)
@given(
    seed=st.integers(0, 2**32 - 1),
    metric=st.sampled_from(METRICS),
    kind=st.sampled_from(KINDS),
    dtype=st.sampled_from(DTYPES),
    length=st.sampled_from([1, 2, 3, 7, 20, 64, 130, 200]),
)
@example(seed=0, metric="euclidean", kind="mixed", dtype="float64", length=3)
@example(seed=0, metric="inner", kind="mixed", dtype="float64", length=130)
@example(seed=0, metric="inner", kind="huge", dtype="float64", length=7)
def test_the_pairs_are_those_of_all_distances(seed, metric, kind, dtype, length):
    rng = np.random.default_rng(seed)
    a, b = (make_vectors(rng, metric, kind, int(rng.integers(2, 50)), length, dtype) for _ in range(2))
    if len(a) < 2 or not len(b):
        return
    b[: len(b) // 3] = a[rng.integers(0, len(a), len(b) // 3)]
    projection = find_directions(metric, a)
    rows, columns = side_of(rng, projection, a), side_of(rng, projection, b)
    for limit in limits_of(rng, metric, a, b):
        assert found_in(VectorTile(limit, projection, rows, columns)) == brute_force(metric, a, b, limit)
        assert found_in(VectorTile(limit, projection, rows, rows)) == brute_force(metric, a, a, limit, True)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("kind", ["normal", "clusters"])
@pytest.mark.parametrize("way", ["dense", "leading", "as it is"])
def test_every_way_finds_the_same(metric, kind, way, monkeypatch):
    rng = np.random.default_rng(3)
    vectors = make_vectors(rng, metric, kind, 900, 150, "float32")
    projection = find_directions(metric, vectors)
    limit = float(np.quantile(distances(metric, vectors[::2], vectors[1::2]), 0.02))
    if way == "dense":
        monkeypatch.setattr(search, "_VALUE_TIME", 0.0)
    if way == "leading":
        monkeypatch.setattr(search, "_SURVIVOR_TIME", 1e-9)
    side = VectorSide(projection.apply(vectors), cuts_of(rng, 900, 100), lambda: vectors)
    counts = SearchCounts()
    found = found_in(VectorTile(limit, projection, side, side), counts)
    assert found == brute_force(metric, vectors, vectors, limit, True)
    assert len(found) > 100
    assert counts.pairs == 900 * 899 // 2
    if way != "as it is":
        assert (counts.dense > 0) == (way == "dense")


def test_near_vectors_cost_few_exact_distances():
    rng = np.random.default_rng(4)
    centres = rng.standard_normal((300, 256)) / np.arange(1, 257) ** 0.5
    vectors = (np.repeat(centres, 5, axis=0) + 0.02 * rng.standard_normal((1500, 256))).astype(np.float32)
    projection = find_directions("cosine", vectors)
    side = VectorSide(projection.apply(vectors), cuts_of(rng, 1500, 256), lambda: vectors)
    counts = SearchCounts()
    found = found_in(VectorTile(limit_of("cosine", 0.95), projection, side, side), counts)
    assert len(found) == 300 * 10
    assert counts.exact < 4000
    assert counts.dense < counts.pairs // 100


@pytest.mark.parametrize("metric", ["inner", "euclidean"])
@pytest.mark.parametrize("length", [1e4, 1e9, 1e30])
def test_a_broken_vector_leaves_the_bounds_of_the_others(metric, length):
    rng = np.random.default_rng(8)
    vectors = rng.standard_normal((1500, 70)).astype(np.float32)
    vectors[:20] = vectors[20:40] + np.float32(0.001)
    vectors[700] *= np.float32(length)
    projection = find_directions(metric, vectors)
    limit = 0.5 if metric == "euclidean" else -150.0
    side = VectorSide(projection.apply(vectors), cuts_of(rng, 1500, 100), lambda: vectors)
    counts = SearchCounts()
    found = found_in(VectorTile(limit, projection, side, side), counts)
    assert found == brute_force(metric, vectors, vectors, limit, True)
    assert len(found) >= 20 or metric == "inner"
    assert counts.exact < 3 * 1500


@pytest.mark.parametrize("metric", METRICS)
def test_any_choice_of_directions_gives_the_same_pairs(metric):
    rng = np.random.default_rng(5)
    vectors = make_vectors(rng, metric, "clusters", 300, 40, "float32")
    limit = float(np.quantile(distances(metric, vectors[::2], vectors[1::2]), 0.05))
    expected = brute_force(metric, vectors, vectors, limit, True)
    for sample, values in ((vectors[:1], 128), (vectors[:0], 9), (rng.standard_normal((50, 40)), 2), (vectors, 41)):
        projection = find_directions(metric, sample, values)
        side = side_of(rng, projection, vectors)
        assert found_in(VectorTile(limit, projection, side, side)) == expected


@pytest.mark.parametrize("metric", METRICS)
def test_filters_leave_out_pairs(metric):
    rng = np.random.default_rng(6)
    vectors = make_vectors(rng, metric, "clusters", 200, 12, "float64")
    if metric != "cosine":
        vectors[7] = 1e300  # beyond the scale
    projection = find_directions(metric, vectors[10:])
    keys = np.zeros((200, 4), np.int64)
    keys[:, 0], keys[:, 1] = rng.integers(1, 4, 200), 1
    allowed = PairFilters.of(CompareSettings(match_aspect_by=0)).allowed(keys)
    side = side_of(rng, projection, vectors)
    limit = float(np.quantile(distances(metric, vectors[::2], vectors[1::2]), 0.5))
    expected = brute_force(metric, vectors, vectors, limit, True)
    expected = {pair: value for pair, value in expected.items() if keys[pair[0], 0] == keys[pair[1], 0]}
    assert found_in(VectorTile(limit, projection, side, side, allowed)) == expected


@pytest.mark.parametrize("metric", ["inner", "euclidean"])
def test_vectors_beyond_the_scale_are_compared_with_all(metric):
    rng = np.random.default_rng(7)
    vectors = rng.standard_normal((60, 9))
    vectors[[3, 40, 41]] = [[1.5e200], [-1e250], [1e250]]
    vectors[42] = vectors[3]
    projection = find_directions(metric, vectors[:3])
    side = side_of(rng, projection, vectors)
    assert side.tame.sum() == 56
    for limit in (0.0, 1.0, 3e200, 1e308, -1.0):
        assert found_in(VectorTile(limit, projection, side, side)) == brute_force(metric, vectors, vectors, limit, True)
        assert found_in(VectorTile(limit, projection, side_of(rng, projection, vectors), side)) == brute_force(
            metric, vectors, vectors, limit
        )


def test_an_empty_side_has_no_pairs():
    vectors = np.ones((3, 5), np.float32)
    projection = find_directions("cosine", vectors)
    empty = VectorSide(projection.apply(vectors[:0]), [], lambda: vectors[:0])
    full = VectorSide(projection.apply(vectors), [range(3)], lambda: vectors)
    for rows, columns in ((empty, full), (full, empty), (empty, empty)):
        assert not found_in(VectorTile(1.0, projection, rows, columns))
