"""The pairs within the limit, all of them and no others, for any size of a chunk."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastdiff_dask import search
from fastdiff_dask.metrics import available_transforms
from fastdiff_dask.testing import reference_sse


@given(
    seed=st.integers(0, 2**32 - 1),
    m=st.integers(0, 9),
    n=st.integers(0, 9),
    chunk=st.integers(1, 5),
    triangular=st.booleans(),
    quantile=st.sampled_from([0.0, 0.3, 1.0]),
)
@settings(max_examples=150, deadline=None)
def test_equals_the_reference_for_every_chunk_size(seed, m, n, chunk, triangular, quantile):
    rng = np.random.default_rng(seed)
    a = rng.integers(0, 256, (m, 8, 8, 3), dtype=np.uint8)
    b = a if triangular else rng.integers(0, 256, (n, 8, 8, 3), dtype=np.uint8)
    errors = reference_sse(a, b)
    # the limit is one of the errors themselves: it is inclusive
    limit = int(np.quantile(errors, quantile, method="lower")) if errors.size else 0
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(search, "_CHUNK", chunk)
        pairs = search.similar_pairs(
            a, b, sse_limit=limit, transforms=available_transforms(8, 8), triangular=triangular
        )
    wanted = [
        (i, j, errors[i, j]) for i, j in np.ndindex(errors.shape) if errors[i, j] <= limit and (i < j or not triangular)
    ]
    assert pairs.dtype == np.int64
    assert [tuple(pair) for pair in pairs[:, :3].tolist()] == wanted


@pytest.mark.parametrize(("shape", "rows"), [((64, 64, 3), 256), ((256, 256, 4), 64), ((1024, 1024, 3), 5)])
def test_large_images_make_smaller_matrices(shape, rows):
    assert search.chunk_rows(int(np.prod(shape))) == rows
