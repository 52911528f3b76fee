"""Distances of vectors: equal to fractions but for a proved rounding, and to the bit however they are computed."""

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastdiff_dask.errors import UsageError
from fastdiff_dask.vectors.metrics import (
    check_vectors,
    distances,
    limit_of,
    listed_distances,
    row_squares,
    shown_of,
    usable,
)

UNIT = Fraction(1, 2**53)
DTYPES = ["float16", "float32", "float64", "uint8", "int8", "int32", "bool"]
LENGTHS = [1, 2, 3, 5, 31, 32, 33, 64, 100, 128, 130]
KINDS = ["normal", "huge", "tiny", "subnormal", "mixed", "sparse", "equal", "opposite", "zero"]
METRICS = ["cosine", "inner", "euclidean"]


def make_rows(rng, kind, count, length, dtype):
    """Pairs of rows (count, length) of a kind."""
    if np.dtype(dtype).kind != "f":
        low, high = (0, 2) if dtype == "bool" else (np.iinfo(dtype).min, np.iinfo(dtype).max + 1)
        a, b = rng.integers(low, high, (2, count, length)).astype(dtype)
        return (a, a.copy()) if kind == "equal" else (a, b)
    top = np.finfo(dtype).maxexp
    a, b = rng.standard_normal((2, count, length))
    powers = {"huge": top - 3, "tiny": 4 - top, "subnormal": -top - 6}
    if kind == "mixed":
        a, b = (np.ldexp(one, rng.integers(5 - top, top - 4, one.shape)) for one in (a, b))
    elif kind == "sparse":
        a, b = (one * (rng.random(one.shape) < 0.1) for one in (a, b))
    elif kind in ("equal", "opposite"):
        b = a if kind == "equal" else -a
    elif kind == "zero":
        a[::2], b[1::2] = 0, 0
    else:
        a, b = np.ldexp(a, powers.get(kind, 0)), np.ldexp(b, powers.get(kind, 0))
    return a.astype(dtype), b.astype(dtype)


def fractions(row):
    return [Fraction(float(value)) for value in row]


def root(value):
    """Square root of a fraction, right to 2⁻²⁰⁰ of it."""
    if not value:
        return Fraction(0)
    shift = max(0, 512 - value.numerator.bit_length() + value.denominator.bit_length())
    shift += shift % 2
    return Fraction(math.isqrt((value.numerator << shift) // value.denominator), 1 << (shift // 2))


def tree_sum(terms):
    """The sum that `distances` promises, number by number."""
    terms = terms + [0.0] * ((1 << max(len(terms) - 1, 0).bit_length()) - len(terms))
    while len(terms) > 1:
        half = len(terms) // 2
        terms = [terms[place] + terms[place + half] for place in range(half)]
    return terms[0]


@given(
    seed=st.integers(0, 2**32 - 1),
    kind=st.sampled_from(KINDS),
    length=st.sampled_from(LENGTHS),
    dtype=st.sampled_from(DTYPES),
    metric=st.sampled_from(METRICS),
)
def test_distances_are_those_of_fractions_but_for_the_bound(seed, kind, length, dtype, metric):
    a, b = make_rows(np.random.default_rng(seed), kind, 4, length, dtype)
    found = distances(metric, a, b)
    levels = (length - 1).bit_length() + 1
    for x, y, value, there in zip(
        map(fractions, a), map(fractions, b), found, usable(metric, a) & usable(metric, b), strict=True
    ):
        if not there:
            assert value == math.inf
            continue
        norms = root(sum(p * p for p in x)), root(sum(p * p for p in y))
        product = sum(p * q for p, q in zip(x, y, strict=True))
        if metric == "cosine":
            exact, error = 1 - product / (norms[0] * norms[1]), (2 * levels + 4) * UNIT
        elif metric == "inner":
            exact, error = -product, levels * UNIT * norms[0] * norms[1]
        else:
            exact = root(sum((p - q) ** 2 for p, q in zip(x, y, strict=True)))
            error = (levels + 4) * UNIT * exact
        if abs(exact) > Fraction(np.finfo(np.float64).max):
            assert abs(value) >= np.finfo(np.float64).max
            continue
        assert abs(Fraction(float(value)) - exact) <= error + Fraction(5e-324)


@given(
    seed=st.integers(0, 2**32 - 1),
    length=st.sampled_from(LENGTHS),
    dtype=st.sampled_from(["float16", "float32", "int8"]),
)
def test_the_sum_is_that_of_the_tree(seed, length, dtype):
    a, b = make_rows(np.random.default_rng(seed), "normal", 3, length, dtype)
    for x, y, inner, euclidean, cosine in zip(
        a.astype(float),
        b.astype(float),
        *(distances(metric, a, b) for metric in ("inner", "euclidean", "cosine")),
        strict=True,
    ):
        product, *squares = (tree_sum((p * q).tolist()) for p, q in ((x, y), (x, x), (y, y)))
        assert inner == -product
        assert euclidean == math.sqrt(tree_sum(((x - y) ** 2).tolist()))
        if all(squares):
            assert cosine == min(max(1 - product / math.sqrt(squares[0] * squares[1]), 0), 2)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "uint8"])
def test_the_bits_do_not_depend_on_what_else_is_computed(metric, dtype):
    rng = np.random.default_rng(1)
    a, b = make_rows(rng, "normal", 700, 300, dtype)
    whole = distances(metric, a, b)
    singly = np.concatenate([distances(metric, a[k : k + 1], b[k : k + 1]) for k in range(0, 700, 7)])
    assert whole[::7].tobytes() == singly.tobytes()
    order = rng.permutation(700)
    assert distances(metric, np.asfortranarray(a[order]), b[order]).tobytes() == whole[order].tobytes()
    assert distances(metric, b, a).tobytes() == whole.tobytes()
    squares = row_squares(a), row_squares(b)
    assert listed_distances(metric, a, b, order, order, squares).tobytes() == whole[order].tobytes()


@given(
    seed=st.integers(0, 2**32 - 1),
    kind=st.sampled_from(KINDS[:-1]),
    length=st.sampled_from(LENGTHS),
    dtype=st.sampled_from(DTYPES),
)
def test_equal_vectors_are_0_apart(seed, kind, length, dtype):
    a, _ = make_rows(np.random.default_rng(seed), kind, 5, length, dtype)
    for metric in ("cosine", "euclidean"):
        assert (distances(metric, a, a.copy())[usable(metric, a)] == 0).all()


def test_a_vector_over_a_power_of_two_has_the_same_cosines_to_the_bit():
    a, b = make_rows(np.random.default_rng(2), "normal", 20, 77, "float64")
    assert distances("cosine", a * 2.0**600, b * 2.0**-700).tobytes() == distances("cosine", a, b).tobytes()
    assert (distances("cosine", a, a * 2.0**900) == 0).all()


def test_neither_large_nor_small_numbers_overflow_or_vanish():
    huge, tiny = np.array([[1.5e308, -1.5e308]]), np.array([[5e-324, 0.0]])
    assert distances("euclidean", huge, -huge).tolist() == [math.inf]
    assert distances("euclidean", huge * [[1, 0]], huge * [[0, 0]]).tolist() == [1.5e308]
    assert distances("euclidean", tiny, 0 * tiny).tolist() == [5e-324]
    assert distances("cosine", huge, -huge).tolist() == [2.0]
    assert distances("cosine", huge, tiny)[0] == pytest.approx(1 - math.sqrt(0.5), abs=1e-15)
    assert distances("inner", huge, huge).tolist() == [-np.finfo(float).max]
    assert distances("inner", huge, -huge).tolist() == [np.finfo(float).max]
    # neither does what is between: of float64 vectors, powers of two are taken off both
    large, small = np.full((1, 4), 1.7e308), np.full((1, 4), 1e-300)
    assert distances("inner", large, small)[0] == distances("inner", small, large)[0] == pytest.approx(-6.8e8)
    a, b = np.full((1, 3), 1.234567e-310), np.full((1, 3), 7.654321e300)
    exact = -3 * float(Fraction(a[0, 0].item()) * Fraction(b[0, 0].item()))
    for one, other in ((a, b), (b, a)):
        assert distances("inner", one, other)[0] == pytest.approx(exact, rel=4e-16)
    # the difference lies in numbers that vanish beside the largest
    assert distances("euclidean", np.array([[1e308, 1e-20]]), np.array([[1e308, 0.0]])).tolist() == [1e-20]


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_vectors_that_are_no_numbers_are_infinitely_far(metric, dtype, bad):
    a = np.ones((2, 5), dtype)
    a[0, 3] = bad
    b = np.ones((2, 5), dtype)
    assert usable(metric, a).tolist() == [False, True]
    assert usable(metric, b * 0).tolist() == [metric != "cosine"] * 2
    for found in (distances(metric, a, b), distances(metric, b, a), distances(metric, a, a)):
        assert found[0] == math.inf
        assert found[1] < math.inf


@given(
    seed=st.integers(0, 2**32 - 1),
    length=st.integers(1, 40),
    dtype=st.sampled_from(["uint8", "int8", "bool", "uint64"]),
)
def test_hamming_counts_the_bits(seed, length, dtype):
    rng = np.random.default_rng(seed)
    a, b = rng.integers(0, 256, (2, 5, length)).astype(dtype)
    expected = [
        sum(
            (int(p) ^ int(q)).bit_count() if dtype != "int8" else ((int(p) ^ int(q)) & 255).bit_count()
            for p, q in zip(x, y, strict=True)
        )
        for x, y in zip(a, b, strict=True)
    ]
    assert distances("hamming", a, b).tolist() == expected
    zeros_and_ones = [(one & 1).astype(np.uint8) for one in (a, b)]
    assert (
        distances("hamming", *zeros_and_ones).tolist() == (zeros_and_ones[0] != zeros_and_ones[1]).sum(axis=1).tolist()
    )


def test_thresholds_of_people_become_distances_and_back():
    assert limit_of("cosine", 0.95) == 1 - 0.95
    assert limit_of("inner", 0.5) == -0.5
    assert math.copysign(1, limit_of("inner", 0)) == 1
    assert limit_of("euclidean", 0.5) == 0.5
    assert shown_of("cosine", np.array([0.0, 2.0])).tolist() == [1, -1]
    assert shown_of("inner", np.array([-2.0])).tolist() == [2]
    assert shown_of("hamming", 3.0) == 3


@pytest.mark.parametrize(
    ("metric", "dtype", "message"),
    [
        ("cosinus", "float32", "metric='cosinus' is not known"),
        ("hamming", "float32", "use uint8, or another metric"),
        ("cosine", "complex64", "vectors of complex64 cannot be compared"),
        ("inner", "longdouble", "cannot be compared"),
    ],
)
def test_what_cannot_be_compared_is_refused(metric, dtype, message):
    with pytest.raises(UsageError, match=message):
        check_vectors(metric, dtype)
    with pytest.raises(UsageError, match=message):
        distances(metric, np.zeros((1, 2), dtype), np.zeros((1, 2), dtype))


def test_no_pairs_and_no_numbers_are_no_fault():
    for metric in METRICS:
        assert distances(metric, np.zeros((0, 4)), np.zeros((0, 4))).shape == (0,)
    assert distances("euclidean", np.zeros((2, 0), np.float32), np.zeros((2, 0), np.float32)).tolist() == [0, 0]
    assert distances("cosine", np.zeros((1, 0)), np.zeros((1, 0))).tolist() == [math.inf]
