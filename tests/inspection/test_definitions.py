"""Each definition is that of its formula, and each limit counts."""

import math

import numpy as np
import pandas as pd
import pytest

from fastdiff_dask.cli.inspect import _LIMITS
from fastdiff_dask.errors import UsageError
from fastdiff_dask.inspection.definitions import FIGURE_OF, ISSUES, Collection, Limits, describe_rule, judge, sizes_of
from fastdiff_dask.storage.schema import FIGURES


def images(*rows, **common):
    """Metadata of images: usual ones with other values."""
    usual = {"width": 400, "height": 300, "mode": "RGB", "error": None, "brightness": 0.5, "shadows": 0.1}
    usual |= {"highlights": 0.9, "contrast": 0.8, "value_range": 1.0, "colour": 0.5, "blur": 0.2}
    return pd.DataFrame([{**usual, **common, **row} for row in rows])


def collection_of(frame):
    read = frame[frame.error.isna()]
    return Collection.of(sizes_of(read), read["mode"].value_counts().to_dict())


def judged(frame, **limits):
    return judge(frame, collection_of(frame), Limits(**limits))


# Limit → column, and values just within the rule and just not.
OF_FIGURES = {
    "blank": ("value_range", 0.05, 0.0501),
    "dark": ("highlights", 0.3199, 0.32),
    "bright": ("shadows", 0.9501, 0.95),
    "low_contrast": ("contrast", 0.1499, 0.15),
    "blurred": ("blur", 0.5001, 0.5),
    "grey": ("colour", 0.04, 0.0401),
}


@pytest.mark.parametrize("issue", OF_FIGURES)
def test_the_figure_of_a_picture_is_compared_with_the_limit(issue):
    column, within, beyond = OF_FIGURES[issue]
    frame = images({column: within}, {column: beyond}, {column: math.nan})
    assert judged(frame)[issue].tolist() == [True, False, False]
    moved = {"blank": 0.0, "grey": 0.0, "dark": 0.31, "low_contrast": 0.1, "bright": 0.96, "blurred": 0.6}
    assert judged(frame, **{issue: moved[issue]})[issue].tolist() == [False, False, False]
    others = [one for one in OF_FIGURES if one != issue]
    assert not any(judged(frame)[other].any() for other in others)


def plain_distance(sizes, one):
    """The distance of a size from the quartiles."""
    low, high = np.percentile(np.log2(sizes), [25, 75])
    size = math.log2(one)
    return max(low - size, size - high, 0) / max(high - low, 1 / 3)


def test_an_odd_size_is_far_from_the_quartiles_of_the_collection():
    random = np.random.default_rng(2)
    sides = random.integers(200, 900, (60, 2)).tolist()
    sides += [[20, 16], [9000, 8000]]
    frame = images(*({"width": width, "height": height} for width, height in sides))
    found = judged(frame)
    sizes = [math.sqrt(width * height) for width, height in sides]
    assert found["size_distance"] == pytest.approx([plain_distance(sizes, one) for one in sizes])
    assert found["odd_size"].tolist() == [False] * 60 + [True] * 2
    assert judged(frame, odd_size=0.5)["odd_size"].sum() > 2
    assert not judged(frame, odd_size=100)["odd_size"].any()


@pytest.mark.parametrize("number", [1, 2, 3, 50])
def test_in_a_collection_of_one_size_less_than_twice_of_it_is_not_odd(number):
    equal = [{"width": 500, "height": 375}] * number
    frame = images(*equal, {"width": 960, "height": 700}, {"width": 260, "height": 200})
    assert not judged(frame)["odd_size"].any()
    if number > 10:
        frame = images(*equal, {"width": 1010, "height": 760}, {"width": 240, "height": 180})
        assert judged(frame)["odd_size"].tolist() == [False] * number + [True, True]


def test_an_odd_aspect_is_one_of_both_directions():
    frame = images({"width": 349, "height": 1000}, {"width": 1000, "height": 349}, {"width": 350, "height": 1000})
    found = judged(frame)
    assert found["aspect"].tolist() == [0.349, 0.349, 0.35]
    assert found["odd_aspect"].tolist() == [True, True, False]
    assert judged(frame, odd_aspect=0.2)["odd_aspect"].tolist() == [False] * 3


@pytest.mark.parametrize(
    ("modes", "limit", "odd"),
    [
        (["RGB"] * 18 + ["L"] * 2, 0.1, {"L"}),
        (["RGB"] * 17 + ["L"] * 3, 0.1, set()),
        (["RGB"] * 17 + ["L"] * 3, 0.15, {"L"}),
        (["RGB", "RGB", "CMYK"], 0.1, {"CMYK"}),  # one image, whatever its share
        (["RGB", "L"], 0.1, set()),  # neither is more frequent
        (["RGB"], 0.1, set()),
        (["RGB"] * 3 + ["L", "P"], 0.0, {"L", "P"}),
    ],
)
def test_an_odd_mode_is_one_that_few_have(modes, limit, odd):
    frame = images(*({"mode": mode} for mode in modes))
    found = judged(frame, odd_mode=limit)
    assert {mode for mode, is_odd in zip(modes, found["odd_mode"], strict=True) if is_odd} == odd
    assert found["mode_share"].tolist() == pytest.approx([modes.count(mode) / len(modes) for mode in modes])


def test_of_an_unreadable_image_nothing_is_known():
    unread = {"error": "broken", "width": 0, "height": 0, "mode": "", **dict.fromkeys(FIGURES, math.nan)}
    for frame in (images(unread), images({}, {}, {}, {}, unread)):
        found = judged(frame)
        assert not any(found[issue][-1] for issue in ISSUES if issue in found)
        assert all(math.isnan(found[name][-1]) for name in ("size_distance", "aspect", "mode_share"))


def test_no_images_and_equal_images():
    empty = images({}).iloc[:0]
    assert all(len(values) == 0 for values in judged(empty).values())
    alike = judged(images(*[{}] * 20))
    assert not any(alike[issue].any() for issue in ISSUES if issue in alike)


@pytest.mark.parametrize("value", [-0.1, 1.5, math.nan, "0.3", True, None])
def test_a_limit_that_is_none_is_refused(value):
    with pytest.raises(UsageError, match=r"dark=.* is no number from 0 to 1; 0.32 is the usual one"):
        Limits(dark=value)


def test_the_limit_of_the_size_may_be_any_number_from_0():
    assert Limits(odd_size=7.5).odd_size == 7.5
    with pytest.raises(UsageError, match=r"odd_size=-1 is no number from 0; 3.0"):
        Limits(odd_size=-1)


def test_each_issue_has_a_rule_with_its_limit_and_each_limit_an_option():
    usual = Limits()
    for issue in FIGURE_OF:
        assert describe_rule(issue, usual)
        if hasattr(usual, issue):
            assert describe_rule(issue, usual) != describe_rule(issue, Limits(**{issue: 0.77}))
    assert {name: value for name, (_, value) in _LIMITS.items()} == vars(usual)
