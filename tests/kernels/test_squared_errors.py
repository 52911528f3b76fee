"""Squared errors are those of two plain loops over integers, to the last bit."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from fastdiff_dask.kernels.squared_errors import squared_errors, transformed_squared_errors
from fastdiff_dask.kernels.transforms import apply_transform, available_transforms, inverse_masks
from fastdiff_dask.testing import reference_sse

# extremes as often as anything between: they are where narrow integers wrap and floats round
LEVELS = st.sampled_from([0, 1, 127, 128, 129, 254, 255]) | st.integers(0, 255)


@st.composite
def chunks(draw, square=None):
    height = draw(st.integers(1, 6))
    width = height if draw(st.booleans()) or square else draw(st.integers(1, 6))
    channels = draw(st.integers(1, 4))
    return tuple(
        draw(hnp.arrays(np.uint8, (draw(st.integers(0, 5)), height, width, channels), elements=LEVELS))
        for _ in range(2)
    )


@given(chunks=chunks(), rotations=st.booleans(), mirror=st.booleans())
@settings(max_examples=300, deadline=None)
def test_equals_two_loops(chunks, rotations, mirror):
    a, b = chunks
    a.flags.writeable = b.flags.writeable = False
    transforms = available_transforms(*a.shape[1:3], rotations=rotations, mirror=mirror)
    errors, masks = transformed_squared_errors(a, b, transforms)
    assert errors.dtype == np.int64
    assert masks.dtype == np.uint8
    np.testing.assert_array_equal(errors, reference_sse(a, b, rotations=rotations, mirror=mirror))
    for i, j in np.ndindex(errors.shape):
        for transform in range(8):
            turned = apply_transform(a[i : i + 1], transform)
            reaches = (
                transform in transforms
                and int(((turned[0].astype(np.int64) - b[j].astype(np.int64)) ** 2).sum()) == errors[i, j]
            )
            assert bool(masks[i, j] >> transform & 1) == reaches


@pytest.mark.parametrize("shape", [(64, 64, 3), (256, 256, 4), (48, 64, 3)])
def test_exact_at_full_contrast(shape, rng):
    black, white = np.zeros((1, *shape), np.uint8), np.full((1, *shape), 255, np.uint8)
    assert squared_errors(black, white)[0, 0] == np.prod(shape) * 255**2
    noise = rng.integers(0, 256, (3, *shape), dtype=np.uint8)
    images = np.concatenate([black, white, noise])
    np.testing.assert_array_equal(squared_errors(images, noise), reference_sse(images, noise, rotations=False))


@given(chunks=chunks(square=True), mirror=st.booleans())
@settings(deadline=None)
def test_roles_of_the_images_may_be_swapped(chunks, mirror):
    a, b = chunks
    transforms = available_transforms(*a.shape[1:3], mirror=mirror)
    errors, masks = transformed_squared_errors(a, b, transforms)
    swapped_errors, swapped_masks = transformed_squared_errors(b, a, transforms)
    np.testing.assert_array_equal(errors, swapped_errors.T)
    np.testing.assert_array_equal(inverse_masks(masks), swapped_masks.T)
