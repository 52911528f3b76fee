"""The order is a permutation, always the same, whose runs are compact."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastdiff_dask.kernels.grid import kd_order


@given(
    seed=st.integers(0, 2**32 - 1),
    count=st.integers(0, 300),
    axes=st.integers(1, 5),
    size=st.integers(1, 40),
    levels=st.sampled_from([1, 2, 1000]),
)
@settings(max_examples=150, deadline=None)
def test_is_a_permutation_and_always_the_same(seed, count, axes, size, levels):
    values = np.random.default_rng(seed).integers(0, levels, (count, axes)).astype(np.float32)
    values.flags.writeable = False
    order = kd_order(values, size)
    assert order.dtype == np.int64
    assert np.array_equal(np.sort(order), np.arange(count))
    assert np.array_equal(order, kd_order(np.asfortranarray(values), size))
    for start in range(0, count, size):
        run = order[start : start + size]
        assert np.array_equal(run, np.sort(run))


@pytest.mark.parametrize("size", [3, 32])
def test_clusters_as_large_as_a_run_are_not_split(size, rng):
    corners = np.indices((2, 2, 2)).reshape(3, -1).T * np.array([100.0, 10.0, 1.0])
    cluster = rng.permutation(np.repeat(np.arange(8), size))
    values = (corners[cluster] + rng.uniform(-0.1, 0.1, (8 * size, 3))).astype(np.float32)
    runs = cluster[kd_order(values, size)].reshape(8, size)
    assert (runs == runs[:, :1]).all()
    assert runs[:, 0].tolist() == list(range(8))


@pytest.mark.parametrize(("count", "size"), [(5000, 64), (777, 100)])
def test_boxes_are_smaller_than_those_of_a_random_order(count, size, rng):
    values = (rng.standard_normal((count, 6)) * [9, 5, 3, 1, 1, 1]).astype(np.float32)

    def diagonals(order):
        runs = [values[order[start : start + size]] for start in range(0, count, size)]
        return np.mean([np.linalg.norm(np.ptp(run, axis=0)) for run in runs])

    assert diagonals(kd_order(values, size)) < 0.75 * diagonals(rng.permutation(count))
