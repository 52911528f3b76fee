"""The nearest vectors with each pair compared once, against the search for each of them, to the bit."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastdiff_dask.kernels.bounds import BOX_VALUES
from fastdiff_dask.kernels.grid import kd_order
from fastdiff_dask.kernels.signatures import leading_values
from fastdiff_dask.vectors import nearest_pairs
from fastdiff_dask.vectors.directions import find_directions
from fastdiff_dask.vectors.metrics import distances
from fastdiff_dask.vectors.nearest import nearest_rows
from fastdiff_dask.vectors.nearest_pairs import (
    CANDIDATE,
    CrowdedError,
    Scale,
    Strip,
    candidates_of_strips,
    first_limits,
    kept_candidates,
    largest_norm,
    nearest_of_candidates,
)
from fastdiff_dask.vectors.search import float_rows

METRICS = ("cosine", "inner", "euclidean")


def by_strips(metric, vectors, k, cuts, sample=None, ordered=True):
    """Neighbours by places, as the tasks find them: (n, k) numbers and distances."""
    projection = find_directions(metric, vectors)
    signatures = projection.apply(vectors)
    order = kd_order(leading_values(signatures, BOX_VALUES), 64) if ordered else np.arange(len(vectors))
    vectors, signatures = vectors[order], signatures[order]
    norms = np.sqrt(np.vecdot(signatures.astype(float), signatures.astype(float)))
    norm = min(largest_norm(norms, metric), norms.max() * (1 + 1e-4) + 1e-30)  # the latter where that is slow
    scale, floats = Scale(projection, norm), float_rows(projection, vectors)
    spans = [range(a, b) for a, b in zip([0, *cuts], [*cuts, len(vectors)], strict=True)]
    strips = [Strip(s.start, signatures[s.start : s.stop], floats[s.start : s.stop]) for s in spans]
    places = np.arange(0, len(vectors), max(1, len(vectors) // (sample or len(vectors))))
    limits = np.concatenate([first_limits(scale, strip, floats[places], places, k) for strip in strips])
    found = {}
    for i, strip in enumerate(strips):
        makers = candidates_of_strips(scale, strip, [lambda s=s: s for s in strips[i + 1 :]], limits.copy(), k)
        for j, make in zip([*range(i + 1, len(strips)), i], makers, strict=True):
            found[i, j] = make()
    numbers, values = [], []
    for j, span in enumerate(spans):
        candidates = kept_candidates(np.concatenate([found[i, j] for i in range(j + 1)]), k, scale.margin)
        parts = []
        for other in spans:
            some = candidates[(candidates["other"] >= other.start) & (candidates["other"] < other.stop)]
            parts.append((some, vectors[span.start : span.stop], other.start, vectors[other.start : other.stop]))
        one, two = nearest_of_candidates(metric, k, order, span, parts)
        numbers.append(one)
        values.append(two)
    back = np.argsort(order)
    return np.concatenate(numbers)[back], np.concatenate(values)[back]


def one_by_one(metric, vectors, k):
    """The same by two loops."""
    numbers, values = np.full((len(vectors), k), -1), np.full((len(vectors), k), np.inf)
    for i, vector in enumerate(vectors):
        all_values = distances(metric, np.broadcast_to(vector, vectors.shape), vectors)
        order = [j for j in np.lexsort((np.arange(len(vectors)), all_values)) if j != i][:k]
        numbers[i, : len(order)], values[i, : len(order)] = order, all_values[order]
    return numbers, values


def same(found, expected):
    assert np.array_equal(found[0], expected[0])
    assert np.array_equal(found[1] + 0.0, expected[1] + 0.0)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("width", [1, 2, 40, 130])
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "uint8"])
def test_as_two_loops(metric, width, dtype, rng):
    vectors = np.clip(20 + 9 * rng.standard_normal((130, width)), 1, 50).astype(dtype)
    vectors[40:60] = vectors[:20]
    for k, cuts in ((1, []), (7, [50, 100]), (200, [1, 129])):
        same(by_strips(metric, vectors, k, cuts), one_by_one(metric, vectors, k))


@given(
    st.sampled_from(METRICS),
    st.integers(2, 60),
    st.integers(1, 6),
    st.integers(1, 5),
    st.integers(0, 2**32 - 1),
    st.data(),
)
@settings(deadline=None, max_examples=150)
def test_any_strips_and_values(metric, count, width, k, seed, data):
    rng = np.random.default_rng(seed)
    vectors = rng.integers(1, 4, (count, width)).astype(np.float32)
    vectors *= np.float32(1) + rng.integers(0, 3, (count, width)).astype(np.float32) * np.float32(2**-23)  # nearly ties
    cuts = sorted(data.draw(st.sets(st.integers(1, count - 1), max_size=3)))
    sample = data.draw(st.integers(1, count))
    same(by_strips(metric, vectors, k, cuts, sample), one_by_one(metric, vectors, k))


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize(
    "way", [{"_WORTH": 2.0}, {"_WORTH": -1.0, "_PAUSE": 0}, {"_ROWS": 16, "_COLUMNS": 32}, {"_POOL": 50}]
)
def test_each_way_gives_the_same(metric, way, rng, monkeypatch):
    centres = rng.standard_normal((30, 60))
    vectors = (centres[rng.integers(0, 30, 900)] + 0.1 * rng.standard_normal((900, 60))).astype(np.float32)
    expected = nearest_rows(metric, vectors, [(np.arange(900), vectors)], 6, None, np.arange(900))
    for name, value in way.items():
        monkeypatch.setattr(nearest_pairs, name, value)
    same(by_strips(metric, vectors, 6, [300, 512], sample=100), expected)
    same(by_strips(metric, vectors, 6, [], sample=100, ordered=False), expected)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("scale", [1e-30, 1e-6, 1e6, 1e30])
def test_scales(metric, scale, rng):
    vectors = rng.standard_normal((100, 20)) * scale
    same(by_strips(metric, vectors, 5, [30]), one_by_one(metric, vectors, 5))


def test_boxes_leave_out_far_strips(rng, monkeypatch):
    vectors = np.concatenate([rng.standard_normal((600, 8)) + 100 * place for place in range(4)]).astype(np.float32)
    made = []
    real = Scale.products
    monkeypatch.setattr(
        Scale, "products", lambda self, *some, **more: made.append(len(some[0])) or real(self, *some, **more)
    )
    same(
        by_strips("euclidean", vectors, 3, [600, 1200, 1800]),
        nearest_rows("euclidean", vectors, [(np.arange(2400), vectors)], 3, None, np.arange(2400)),
    )
    of_limits = -(-600 // 512) * 4
    assert len(made) - of_limits < 4 * 4 * 2


def test_one_long_vector_is_told():
    assert largest_norm(np.array([1.0, 2.0, 3.0]), "inner") == pytest.approx(3, rel=1e-3)
    assert largest_norm(np.array([1.0, 2.0, 1000.0]), "inner") == np.inf
    assert largest_norm(np.array([1.0, np.inf]), "euclidean") == np.inf
    assert largest_norm(np.array([1.0, 1000.0]), "cosine") == pytest.approx(1)
    assert np.isfinite(largest_norm(np.zeros(0), "euclidean"))


def test_very_many_equal_vectors_are_refused_before_they_fill_the_memory(monkeypatch):
    monkeypatch.setattr(nearest_pairs, "_POOL", 1000)
    vectors = np.ones((400, 4), np.float32)
    with pytest.raises(CrowdedError):
        by_strips("euclidean", vectors, 2, [200])


def test_candidates_that_k_others_outdo_are_dropped():
    found = np.array([(0, 1, 0.5), (0, 2, 0.1), (0, 3, 0.2), (0, 4, 0.21), (1, 9, 7.0)], CANDIDATE)
    kept = kept_candidates(found, 2, 0.02)
    assert kept["other"].tolist() == [2, 3, 4, 9]
    assert kept_candidates(found[:0], 2, 0.02).shape == (0,)
