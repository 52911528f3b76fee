import numpy as np
import pytest

from fastdiff_dask.edits.shared_view import bring_together, luma, map_levels, pixel_matrix, shared_box
from tests.support.edited_pairs import UNCHANGED, a_photo, edited


@pytest.mark.parametrize(
    "kind", ["crop 20", "border", "letterbox", "turned 3", "mirrored", "rotated", "half size", "enlarged"]
)
def test_both_pictures_are_alike_on_the_raster(kind):
    picture = a_photo(1)
    copy, matrix = edited(picture, kind)
    view = bring_together(luma(picture), luma(copy), matrix, 300)
    assert max(view.a.shape) <= 300
    assert np.corrcoef(view.a[view.inside], view.b[view.inside])[0, 1] > 0.985


def test_the_shared_part_is_bounded_in_the_second_picture():
    assert shared_box(np.array([[2.0, 0, -0.5], [0, 1, 0]])) == pytest.approx((0.25, 0, 0.75, 1), abs=0.01)
    assert shared_box(np.array([[1.0, 0, 5], [0, 1, 0]])) is None


def test_pixels_have_the_scale_of_their_picture():
    assert pixel_matrix(UNCHANGED, (200, 300), (100, 300)).tolist() == [[2, 0], [0, 1]]


def test_levels_are_mapped_along_a_rising_curve():
    levels = np.linspace(0, 255, 6400, dtype=np.float32).reshape(80, 80)
    changed = 255 * (levels / 255) ** 0.7
    changed[:20, :20] = 255  # a tenth of them hidden
    mapped = map_levels(levels, changed, np.ones((80, 80), bool))
    assert np.abs(mapped - changed)[25:].max() < 8


def test_levels_beyond_the_means_of_the_ends_are_told_apart():
    levels = np.linspace(0, 255, 6400, dtype=np.float32).reshape(80, 80)
    mapped = map_levels(levels, levels, np.ones((80, 80), bool))
    assert np.abs(mapped - levels).max() < 2


@pytest.mark.filterwarnings("error")
def test_next_to_nothing_is_shared_with_a_line_of_pixels():
    line, square = np.zeros((500, 1), np.float32), np.zeros((96, 96), np.float32)
    assert bring_together(line, square, UNCHANGED, 384) is None
