"""The dense matrix: lazy, blocked, exact."""

import dask
import dask.array as da
import numpy as np
import pytest

from fastdiff_dask import UsageError, pairwise_mse
from fastdiff_dask.testing import reference_sse


@pytest.mark.parametrize("shape", [(8, 8, 3), (8, 10, 3), (9, 9, 1)])
@pytest.mark.parametrize("chunks", [2, 5, (1, 4, 2)])
@pytest.mark.parametrize(("rotations", "mirror"), [(True, False), (False, False), (True, True)])
def test_equals_two_loops_for_all_chunks(shape, chunks, rotations, mirror, rng):
    a = rng.integers(0, 256, (7, *shape), dtype=np.uint8)
    b = rng.integers(0, 256, (3, *shape), dtype=np.uint8)
    b[1] = np.rot90(a[4], 2)
    wanted = reference_sse(a, b, rotations=rotations, mirror=mirror) / (shape[0] * shape[1])
    lazy = da.from_array(a, chunks=(chunks, 4, -1, -1))
    result = pairwise_mse(lazy, b, rotations=rotations, mirror=mirror)
    assert isinstance(result, da.Array)
    assert result.dtype == np.float64
    assert result.chunks[0] == lazy.chunks[0]
    np.testing.assert_array_equal(result.compute(), wanted)
    np.testing.assert_array_equal(result[4:6, 1].compute(), wanted[4:6, 1])


def test_of_one_array_with_itself(rng):
    a = rng.integers(0, 256, (5, 8, 8, 3), dtype=np.uint8)
    matrix = pairwise_mse(a).compute()
    np.testing.assert_array_equal(matrix, reference_sse(a, a) / 64)
    np.testing.assert_array_equal(matrix, matrix.T)


def test_computes_only_the_blocks_that_are_asked_for():
    def fail(block_info=None):
        if block_info[None]["chunk-location"][0]:
            raise AssertionError("this block was not asked for")
        return np.zeros((2, 8, 8, 3), np.uint8)

    lazy = da.map_blocks(fail, chunks=((2, 2), (8,), (8,), (3,)), dtype=np.uint8, meta=np.zeros((0, 0, 0, 0), np.uint8))
    assert pairwise_mse(lazy)[:2, :2].compute().tolist() == [[0, 0], [0, 0]]


def test_names_are_what_the_dashboard_shows(rng):
    matrix = pairwise_mse(rng.integers(0, 256, (5, 8, 8, 3), dtype=np.uint8))
    assert dask.utils.key_split(matrix.name) == "mse"


@pytest.mark.parametrize(
    "images", [np.zeros((2, 8, 8), np.uint8), np.zeros((2, 8, 8, 3)), [[1]], np.zeros((2, 8, 8, 3), np.int8)]
)
def test_what_is_no_images_is_refused(images):
    with pytest.raises(UsageError, match="pass images as"):
        pairwise_mse(images)


def test_images_of_two_shapes_are_refused():
    with pytest.raises(UsageError, match="make them alike"):
        pairwise_mse(np.zeros((2, 8, 8, 3), np.uint8), np.zeros((2, 8, 9, 3), np.uint8))


@pytest.mark.parametrize("chunks", [600, 1100])
def test_chunks_longer_than_what_is_computed_at_once(chunks, rng):
    # 513 and more images are computed by parts, and of images with themselves only what is above the diagonal
    images = rng.integers(0, 256, (1100, 2, 2, 1), dtype=np.uint8)
    lazy = da.from_array(images, chunks=(chunks, -1, -1, -1))
    wanted = np.min(
        [
            ((np.rot90(images, turn, (1, 2)).reshape(1100, 1, 4).astype(int) - images.reshape(1, 1100, 4)) ** 2).sum(-1)
            for turn in range(4)
        ],
        axis=0,
    )
    np.testing.assert_array_equal(pairwise_mse(lazy).compute(), wanted / 4)
    np.testing.assert_array_equal(pairwise_mse(lazy, images[:700]).compute(), wanted[:, :700] / 4)
