"""Signatures along directions: their distances and products bound those of the vectors, rounding included."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.vectors import DTYPES, KINDS, make_vectors

from fastdiff_dask.vectors.directions import Projection, find_directions, sample_places, unit_rows
from fastdiff_dask.vectors.metrics import distances
from fastdiff_dask.vectors.search import float_rows, product_error


@settings(max_examples=80)
@given(
    seed=st.integers(0, 2**32 - 1),
    metric=st.sampled_from(["cosine", "inner", "euclidean"]),
    kind=st.sampled_from(KINDS),
    dtype=st.sampled_from(DTYPES),
    length=st.sampled_from([1, 2, 5, 33, 140, 300]),
)
def test_signatures_bound_the_vectors(seed, metric, kind, dtype, length):
    rng = np.random.default_rng(seed)
    vectors = make_vectors(rng, metric, kind, 40, length, dtype)
    if not len(vectors):
        return
    projection = find_directions(metric, vectors[:25])
    signatures = projection.apply(vectors).astype(np.float64)
    assert signatures.shape == (len(vectors), min(127, length) + 1)
    known = np.isfinite(signatures).all(axis=1)
    vectors, signatures = vectors[known], signatures[known]
    if not len(vectors):
        return
    i, j = rng.integers(0, len(vectors), (2, 200))
    norms = np.linalg.norm(signatures, axis=1) * (1 + 1e-4) + 1e-30
    error = projection.error()
    scaled = np.ldexp(vectors.astype(np.float64), -projection.exponent)
    values = distances(metric, scaled[i], scaled[j])
    near, products = np.linalg.norm(signatures[i] - signatures[j], axis=1), np.vecdot(signatures[i], signatures[j])
    if metric == "inner":
        assert (products >= -values - (2 * error + error**2) * norms[i] * norms[j] - 1e-30).all()
        return
    exact = np.sqrt(2 * (values + 1e-14)) if metric == "cosine" else values
    assert (near <= exact * (1 + 1e-12) + error * (norms[i] + norms[j]) + 1e-30).all()


@pytest.mark.parametrize("metric", ["cosine", "inner", "euclidean"])
@pytest.mark.parametrize("length", [1, 3, 128, 700])
def test_all_directions_give_the_distances_themselves(metric, length):
    rng = np.random.default_rng(0)
    vectors = rng.standard_normal((50, length))
    projection = find_directions(metric, vectors, length + 1)
    assert projection.directions.shape == (length, length)
    assert projection.error() < 1e-4
    signatures = projection.apply(vectors)
    exact = np.linalg.norm(vectors[:25] - vectors[25:], axis=1)
    if metric == "cosine":
        exact = np.sqrt(2 * distances("cosine", vectors[:25], vectors[25:]))
    found = np.linalg.norm(signatures[:25].astype(float) - signatures[25:], axis=1)
    assert np.ldexp(found, projection.exponent) == pytest.approx(exact, rel=1e-4, abs=1e-4)


def test_the_error_grows_with_what_directions_lack():
    vectors = np.random.default_rng(1).standard_normal((50, 20))
    good = find_directions("euclidean", vectors, 6)
    bad = Projection("euclidean", good.mean, good.exponent, good.directions * (1 + 1e-6))
    assert good.error() < 1e-5
    assert bad.error() > 1e-3


def test_leading_directions_hold_most_of_what_differs():
    rng = np.random.default_rng(2)
    basis = np.linalg.qr(rng.standard_normal((90, 90)))[0]
    vectors = (rng.standard_normal((400, 5)) * [9, 8, 7, 6, 5]) @ basis[:5] + 40 * basis[6] + 0.01 * basis[7]
    for metric, values in (("euclidean", 6), ("inner", 7), ("cosine", 7)):
        projection = find_directions(metric, vectors, values)
        signatures = projection.apply(vectors)
        assert np.abs(signatures[:, -1]).max() < 1e-5 * np.abs(signatures).max()
        spread = signatures[:, :5].std(axis=0)
        assert (np.diff(spread) < 0.2 * spread[0]).all()


def test_a_scale_keeps_huge_and_tiny_vectors_within_float32():
    vectors = np.random.default_rng(3).standard_normal((30, 8))
    for power in (-1060, -300, 0, 300, 1000):
        projection = find_directions("euclidean", np.ldexp(vectors, power))
        signatures = projection.apply(np.ldexp(vectors, power))
        assert np.isfinite(signatures).all()
        assert 0.1 < np.abs(signatures).max() < 10
        assert projection.scaled(math.ldexp(1.0, power)) == math.ldexp(1.0, power - projection.exponent)
    # nothing is known of what is too large for the scale
    projection = find_directions("euclidean", vectors)
    assert np.isinf(projection.apply(np.full((1, 8), 1e200))).all()
    assert projection.scaled(math.inf) == math.inf


@given(seed=st.integers(0, 2**32 - 1), kind=st.sampled_from(KINDS), dtype=st.sampled_from(DTYPES))
def test_unit_rows_have_length_1_and_float32_products_are_within_their_bound(seed, kind, dtype):
    rng = np.random.default_rng(seed)
    vectors = make_vectors(rng, "cosine", kind, 30, 64, dtype)
    units = unit_rows(vectors)
    assert np.abs(np.linalg.norm(units, axis=1) - 1).max(initial=0) < 1e-14
    floats = float_rows(find_directions("cosine", vectors), vectors)
    assert floats.dtype == np.float32
    assert (np.abs((floats @ floats.T).astype(float) - units @ units.T) <= product_error(64)).all()


def test_samples_are_spread_over_all():
    assert sample_places(0).tolist() == []
    assert sample_places(3).tolist() == [0, 1, 2]
    places = sample_places(1_000_000)
    assert len(places) == 8192
    assert (places[0], places[-1]) == (0, 999_999)
    assert (np.diff(places) > 100).all()
