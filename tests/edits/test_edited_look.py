import numpy as np

from fastdiff_dask.edits.edited_look import look_at_edited
from tests.support.edited_pairs import UNCHANGED, a_photo, edited


def test_the_exact_matrix_is_what_counts():
    picture = a_photo(0)
    copy, matrix = edited(picture, "crop 10")
    look = look_at_edited(picture, copy, UNCHANGED, lambda a, b, rough: (matrix, 0.9))
    assert look.verdict
    assert (look.part, look.words) == ("b", ("cropped to 81 %",))
    assert not look_at_edited(picture, copy, UNCHANGED).verdict


def test_refinement_gets_grey_levels():
    seen = []

    def refine(a, b, matrix):
        seen.append((a.shape, b.shape, a.dtype))
        return matrix, 1.0

    look_at_edited(a_photo(0), a_photo(0)[:200], UNCHANGED, refine)
    assert seen == [((360, 480), (200, 480), np.float32)]


def test_no_matrix_and_no_copy_say_nothing():
    for look in (
        look_at_edited(a_photo(0), a_photo(0), UNCHANGED, lambda a, b, rough: (None, 0.0)),
        look_at_edited(a_photo(0), a_photo(1), UNCHANGED),
    ):
        assert not look.verdict
        assert (look.words, look.part) == ((), "")
