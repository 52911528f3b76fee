"""Arguments of a stage: the given ones count, then the defaults; the threshold belongs to the measure."""

from pathlib import Path

import pytest

from fastdiff_dask.errors import UsageError
from fastdiff_dask.project.arguments import hash_settings, merge_arguments, merge_comparison, names_of
from fastdiff_dask.project.options import Settings

NOTHING = dict.fromkeys(
    ["similarity_threshold", "sl_matching_aspect", "sl_match_aspect_by", "sl_matching_hash", "sl_skip_matching_hash"]
)


def test_names():
    assert names_of(None) == ()
    assert names_of("a") == ("a",)
    assert names_of([Path("a"), "b"]) == ("a", "b")
    for wrong in (1, [1], b"a", [b"a"]):
        with pytest.raises(UsageError, match="is no folder, nor a list of folders"):
            names_of(wrong)


def test_what_is_not_given_is_the_default():
    before, defaults = Settings(fl_shift_amount=1, fl_compute_hash=True), Settings(fl_shift_amount=2)
    found = merge_arguments(before, defaults, fl_shift_amount=None, fl_cpu_proc=3)
    assert (found.fl_shift_amount, found.fl_cpu_proc, found.fl_compute_hash) == (2, 3, True)


@pytest.mark.parametrize(
    ("defaults", "compare", "threshold"),
    [
        (Settings(), None, 200.0),
        (Settings(similarity_threshold=50.0), None, 50.0),
        (Settings(similarity_threshold=50.0), "hamming", 6.0),
        (Settings(similarity_threshold=5.0, sl_compare="hamming"), "hamming", 5.0),
        (Settings(similarity_threshold=5.0, sl_compare="hamming"), "mse", 200.0),
    ],
)
def test_the_threshold_is_one_of_the_measure(defaults, compare, threshold):
    asked, measure = merge_comparison(defaults, defaults, compare, **NOTHING)
    assert asked.similarity_threshold == threshold
    assert asked.sl_compare == ("mse" if measure is None else measure.name)


@pytest.mark.parametrize(
    ("defaults", "given"),
    [
        ({"sl_matching_aspect": True}, {"sl_match_aspect_by": 1.5}),
        ({"sl_match_aspect_by": 1.5}, {"sl_matching_aspect": True}),
        ({"sl_matching_hash": True}, {"sl_skip_matching_hash": True}),
        ({"sl_skip_matching_hash": True}, {"sl_matching_hash": True}),
    ],
)
def test_of_two_that_exclude_each_other_the_given_one_counts(defaults, given):
    before = Settings(**defaults)
    asked, _ = merge_comparison(before, before, None, **(NOTHING | given))
    (name, value), (other,) = next(iter(given.items())), defaults
    assert getattr(asked, name) == value
    assert not getattr(asked, other)


def test_hashes_are_asked_for_in_three_ways():
    assert hash_settings(Settings(), None, ()) is None
    assert hash_settings(Settings(fl_compute_hash=True), None, ()).turned
    assert hash_settings(Settings(), repr, ()).turned
    named = hash_settings(Settings(), None, "average")
    assert named.image_hashes == ("average",)
    assert not named.turned
    with pytest.raises(UsageError):
        hash_settings(Settings(), None, 3)
