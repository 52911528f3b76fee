"""The nearest vectors: those of sorting all distances, ties by number, whatever the numbers and the sides are."""

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from support.vectors import DTYPES, KINDS, make_vectors, side_of

from fastdiff_dask.errors import UsageError
from fastdiff_dask.vectors import nearest
from fastdiff_dask.vectors.directions import find_directions
from fastdiff_dask.vectors.metrics import distances, usable
from fastdiff_dask.vectors.nearest import nearest_rows

METRICS = ["cosine", "inner", "euclidean"]


def brute_force(metric, queries, numbers, rows, k, own=None):
    """Numbers and distances of the nearest, by sorting all."""
    found = np.full((len(queries), k), -1, np.int64), np.full((len(queries), k), np.inf)
    for query in range(len(queries)):
        values = distances(metric, np.repeat(queries[query : query + 1], len(rows), axis=0), rows)
        pairs = sorted(zip(values.tolist(), numbers.tolist(), strict=True))
        pairs = [(value, n) for value, n in pairs if value < np.inf and (own is None or n != own[query])][:k]
        for rank, (value, number) in enumerate(pairs):
            found[0][query, rank], found[1][query, rank] = number, value
    return found


def check(found, wanted):
    assert found[0].tolist() == wanted[0].tolist()
    assert found[1].tobytes() == (wanted[1] + 0.0).tobytes()


@settings(max_examples=60)
@given(
    seed=st.integers(0, 2**32 - 1),
    metric=st.sampled_from(METRICS),
    kind=st.sampled_from(KINDS),
    dtype=st.sampled_from(DTYPES),
    length=st.sampled_from([1, 2, 7, 64, 130]),
    k=st.sampled_from([1, 3, 10]),
    with_signatures=st.booleans(),
)
@example(seed=0, metric="euclidean", kind="mixed", dtype="float64", length=7, k=3, with_signatures=True)
@example(seed=0, metric="inner", kind="mixed", dtype="float64", length=130, k=3, with_signatures=True)
def test_the_nearest_are_those_of_all_distances(seed, metric, kind, dtype, length, k, with_signatures):
    rng = np.random.default_rng(seed)
    rows = make_vectors(rng, metric, kind, int(rng.integers(5, 90)), length, dtype)
    queries = make_vectors(rng, metric, kind, 20, length, dtype)
    if not len(rows):
        return
    queries[: len(queries) // 2] = rows[rng.integers(0, len(rows), len(queries) // 2)]
    numbers = rng.permutation(10 * len(rows))[: len(rows)]
    own = numbers[rng.integers(0, len(rows), len(queries))]
    cut = int(rng.integers(0, len(rows) + 1))
    parts = [(numbers[:cut], rows[:cut]), (numbers[cut:], rows[cut:])]
    projection = find_directions(metric, rows) if with_signatures else None
    if projection is not None:
        parts = [(some, side_of(rng, projection, part)) for some, part in parts if len(part)]
    found = nearest_rows(metric, queries, parts, k, projection, own)
    check(found, brute_force(metric, queries, numbers, rows, k, own))


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("kind", ["normal", "clusters", "few", "far"])
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "uint8"])
def test_many_rows_are_searched_by_boxes_and_leading_values(metric, kind, dtype, monkeypatch):
    rng = np.random.default_rng(1)
    rows = make_vectors(rng, metric, kind, 1500, 70, dtype)
    projection = find_directions(metric, rows)
    monkeypatch.setattr(nearest, "_COLUMNS", 512)
    monkeypatch.setattr(nearest, "_PAUSE", 1)
    numbers = rng.permutation(len(rows))
    sides = [(numbers[:900], side_of(rng, projection, rows[:900])), (numbers[900:], rows[900:])]
    queries = rows[:60]
    found = nearest_rows(metric, queries, sides, 5, projection, numbers[:60])
    check(found, brute_force(metric, queries, numbers, rows, 5, numbers[:60]))


def test_clusters_cost_few_exact_distances(monkeypatch):
    rng = np.random.default_rng(2)
    centres = rng.standard_normal((200, 100)) / np.arange(1, 101) ** 0.5
    rows = (np.repeat(centres, 12, axis=0) + 0.01 * rng.standard_normal((2400, 100))).astype(np.float32)
    counted = []
    search = nearest.listed_distances
    monkeypatch.setattr(nearest, "listed_distances", lambda *some: counted.append(len(some[3])) or search(*some))
    numbers = np.arange(len(rows))
    found, values = nearest_rows("cosine", rows, [(numbers, rows)], 11, find_directions("cosine", rows), numbers)
    assert (found // 12 == numbers[:, None] // 12).all()
    assert (np.diff(values, axis=1) >= 0).all()
    assert sum(counted) < 150 * len(rows)


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
def test_many_equal_vectors_cost_few_exact_distances(metric, monkeypatch):
    rows, numbers = np.ones((9000, 20), np.float32), np.arange(9000)
    counted = []
    search = nearest.listed_distances
    monkeypatch.setattr(nearest, "listed_distances", lambda *some: counted.append(len(some[3])) or search(*some))
    found, values = nearest_rows(metric, rows[:100], [(numbers, rows)], 3, find_directions(metric, rows), numbers[:100])
    assert found[[0, 1, 99]].tolist() == [[1, 2, 3], [0, 2, 3], [0, 1, 2]]
    assert not values.any()
    assert sum(counted) < 100 * 9000 // 10


def test_of_equal_distances_the_lowest_numbers_count():
    rows = np.ones((700, 9), np.float32)
    numbers = np.random.default_rng(3).permutation(700)
    found, values = nearest_rows("cosine", rows[:2], [(numbers[:650], rows[:650]), (numbers[650:], rows[650:])], 4)
    assert found.tolist() == [[0, 1, 2, 3]] * 2
    assert not values.any()
    found, _ = nearest_rows("euclidean", rows[:1], [(numbers, rows)], 3, own=np.array([1]))
    assert found.tolist() == [[0, 2, 3]]


def test_vectors_that_have_no_distances_have_no_neighbours():
    rows = np.ones((5, 3))
    rows[1], rows[3, 2] = 0, np.nan
    numbers = np.arange(5)
    assert usable("cosine", rows).tolist() == [True, False, True, False, True]
    found, values = nearest_rows("cosine", rows, [(numbers, rows)], 3, own=numbers)
    assert found.tolist() == [[2, 4, -1], [-1] * 3, [0, 4, -1], [-1] * 3, [0, 2, -1]]
    assert np.isinf(values[:, 2]).all()
    assert nearest_rows("inner", rows[:0], [(numbers, rows)], 3)[0].shape == (0, 3)
    assert nearest_rows("inner", rows, [], 2)[0].tolist() == [[-1, -1]] * 5


@pytest.mark.parametrize("metric", ["inner", "euclidean"])
def test_vectors_beyond_the_scale_are_compared_as_well(metric):
    rng = np.random.default_rng(4)
    rows = rng.standard_normal((80, 6))
    rows[[3, 50]] = [[1e200], [-1e220]]
    projection = find_directions(metric, rows[10:40])
    numbers = np.arange(80)
    found = nearest_rows(metric, rows[:10], [(numbers, side_of(rng, projection, rows))], 7, projection)
    check(found, brute_force(metric, rows[:10], numbers, rows, 7))


@pytest.mark.parametrize("dtype", ["uint8", "bool"])
def test_the_nearest_bits(dtype, monkeypatch):
    monkeypatch.setattr(nearest, "_BIT_PAIRS", 30)
    rng = np.random.default_rng(5)
    rows = rng.integers(0, 2 if dtype == "bool" else 4, (100, 5)).astype(dtype)
    numbers = rng.permutation(100)
    found = nearest_rows("hamming", rows[:20], [(numbers, rows)], 6, own=numbers[:20])
    check(found, brute_force("hamming", rows[:20], numbers, rows, 6, numbers[:20]))


def test_numbers_that_a_metric_does_not_compare_are_refused():
    with pytest.raises(UsageError, match="metric='hamming' counts bits"):
        nearest_rows("hamming", np.ones((1, 2)), [], 1)
