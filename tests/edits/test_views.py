"""Views are averages of the areas that they name, exact, whatever is computed beside them."""

from fractions import Fraction
from itertools import pairwise
from math import floor

import numpy as np
import pytest

from fastdiff_dask.edits.views import CUTS, VIEW_SIDE, VIEWS, View, view_images


def reference(content, view):
    """Averages of 16 × 16 cells whose edges are at whole 64ths of a pixel, half up."""

    def cells(low, high):
        start, stop = round(low * 4096), round(high * 4096)
        edges = [Fraction(start + ((stop - start) * cell + 8) // 16, 64) for cell in range(17)]
        return [
            [(pixel, min(after, pixel + 1) - max(before, pixel)) for pixel in range(floor(before), -floor(-after))]
            for before, after in pairwise(edges)
        ]

    rows, columns = cells(view.top, view.bottom), cells(view.left, view.right)
    result = np.zeros((16, 16), np.uint8)
    for i, row in enumerate(rows):
        for j, column in enumerate(columns):
            total = sum(p * q * int(content[y, x]) for y, p in row for x, q in column)
            area = sum(p for _, p in row) * sum(q for _, q in column)
            result[i, j] = floor(total / area + Fraction(1, 2))
    return result


@pytest.mark.parametrize("view", [VIEWS[0], VIEWS[1], VIEWS[9], VIEWS[17], VIEWS[-1], VIEWS[-4], *CUTS], ids=str)
def test_views_are_averages_of_their_areas(rng, view):
    content = rng.integers(0, 256, (64, 64), dtype=np.uint8)
    content[:32, :32] = rng.integers(0, 2, (32, 32))  # halves are frequent
    np.testing.assert_array_equal(view_images(content[None], (view,))[0, 0], reference(content, view))


@pytest.mark.parametrize("level", [0, 1, 254, 255])
def test_views_of_one_level_have_it(level):
    assert (view_images(np.full((1, 64, 64), level, np.uint8), VIEWS + CUTS) == level).all()


def test_a_view_does_not_depend_on_what_is_cut_beside_it(rng):
    some = rng.integers(0, 256, (131, 64, 64), dtype=np.uint8)  # more than a batch
    every = view_images(some, VIEWS + CUTS)
    assert every.shape == (131, len(VIEWS) + len(CUTS), VIEW_SIDE, VIEW_SIDE)
    for number in (0, 11, len(VIEWS), len(VIEWS) + 3):
        view = (VIEWS + CUTS)[number]
        np.testing.assert_array_equal(view_images(some[127:130], (view,))[:, 0], every[127:130, number])
    assert view_images(some[:0], VIEWS).shape == (0, len(VIEWS), VIEW_SIDE, VIEW_SIDE)


def test_views_are_within_the_content_and_distinct():
    for views in (VIEWS, CUTS):
        assert len(set(views)) == len(views)
        for view in views:
            assert 0 <= view.top < view.bottom <= 1 + 1e-9
            assert 0 <= view.left < view.right <= 1 + 1e-9
    assert VIEWS[0] == View(0, 0, 1, 1)


def test_views_are_closed_under_mirror_and_turns():
    """An image finds another one by its views as its mirror image, or itself turned, does."""

    def places(views):
        return {tuple(round(share * 4096) for share in view) for view in views}

    for views in (VIEWS, CUTS):
        mirrored = [View(view.top, 1 - view.right, view.bottom, 1 - view.left) for view in views]
        turned = [View(view.left, view.top, view.right, view.bottom) for view in views]
        assert places(mirrored) == places(turned) == places(views)
