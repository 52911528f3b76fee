"""The order of images by rules, which without any rule is that of the clusters."""

import itertools
from typing import NamedTuple

import numpy as np
import pandas as pd
import pytest

import fastdiff_dask as fd
from fastdiff_dask.results.keep_order import best_first
from fastdiff_dask.results.keep_rules import RULES, KeepRules


class Row(NamedTuple):
    Index: str
    side: str
    width: int
    height: int
    size: int
    mtime_ns: int
    format: str = "JPEG"
    camera: str | None = None
    captured: str | float = float("nan")
    signs: int = 0
    made: str | None = None

    @property
    def path(self) -> str:
        return self.Index

    @property
    def place(self) -> str:
        return f"/photos/{self.Index}"


IMAGES = [
    Row(path, side, width, 10, size, age)
    for path, side, width, size, age in itertools.product(("b/x", "a/long name"), "ba", (8, 9), (1, 2), (1, 2))
]


def key(rules: KeepRules, image: Row) -> tuple:
    return rules.key(image, image.width * image.height)


def test_without_rules_the_order_is_that_of_the_clusters():
    first, *_, last = best_first(reversed(IMAGES))
    assert first[:5] == ("a/long name", "a", 9, 10, 2)
    assert last[:5] == ("b/x", "b", 8, 10, 1)
    assert sorted(IMAGES, key=lambda image: key(KeepRules(), image)) == best_first(IMAGES)


@pytest.mark.parametrize(
    ("rule", "best"),
    [
        ("most-pixels", Row("a/long name", "a", 9, 10, 2, 1)),
        ("largest", Row("a/long name", "a", 9, 10, 2, 1)),
        ("oldest", Row("a/long name", "a", 9, 10, 2, 1)),
        ("newest", Row("a/long name", "a", 9, 10, 2, 2)),
        ("shortest-path", Row("b/x", "a", 9, 10, 2, 1)),
        ("fewest-pixels", Row("a/long name", "a", 8, 10, 2, 1)),
        ("smallest", Row("a/long name", "a", 9, 10, 1, 1)),
    ],
)
def test_a_rule_comes_before_the_order_and_names_the_reason(rule, best):
    rules = KeepRules(rules=rule)
    assert min(IMAGES, key=lambda image: key(rules, image)) == best
    others = {key(rules, image) for image in IMAGES} - {key(rules, best)}
    assert RULES[rule] in {rules.reason(other, key(rules, best)) for other in others}
    preferring = KeepRules(rules=rule, prefer="/photos/b")
    assert min(IMAGES, key=lambda image: key(preferring, image)).path == "b/x"


def test_all_rules_are_known():
    assert KeepRules(rules=list(RULES)).rules == tuple(RULES)
    with pytest.raises(fd.UsageError, match="no rule 'best'; use most-pixels"):
        KeepRules(rules="best")


TAKEN = [
    Row("a", "a", 9, 9, 1, 1, "PNG", captured="2020-05-01T10:00:00"),
    Row("b", "a", 9, 9, 1, 1, "JPEG", captured="2019-05-01T10:00:00"),
    Row("export/c.png", "a", 9, 9, 1, 1, "MPO", captured="2020-05-01T10:00:00.5"),
    Row("export/d copy.jpg", "a", 9, 9, 9, 1, "WEBP"),
]


@pytest.mark.parametrize(
    ("rule", "order"),
    [
        ("oldest-taken", "b a c d"),
        ("newest-taken", "c a b d"),
        ("format=jpg,webp", "b c d a"),
        ("format=webp,PNG", "d a b c"),
        ("path=*copy*", "d a b c"),
        ("path=export/*", "c d a b"),
        ("path=/photos/export/*", "c d a b"),
        ("not-path=export/*", "a b c d"),
        ("not-path=[ab]", "c d a b"),
        ("regex=/(b|export/d)", "b d a c"),
        ("not-regex=^/photos/[ab]$", "c d a b"),
    ],
)
def test_rules_by_date_of_capture_format_and_path(rule, order):
    # by name where the rule does not decide
    rules = KeepRules(rules=(rule, "format=bmp"))
    images = sorted(TAKEN, key=lambda image: (key(rules, image)[2], image.path))
    assert [image.path.removeprefix("export/")[0] for image in images] == order.split()
    best, worst = key(rules, images[0]), key(rules, images[-1])
    assert best[2] != worst[2]
    assert rules.reason(worst, best)


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        ("format=", "the rule format has no value; write it as format=png,jpg"),
        ("format=pgn", "no format 'pgn' for the rule format="),
        ("regex=(", "regex=\\( is no regular expression"),
        ("oldest=3", "no rule 'oldest=3'; use most-pixels"),
        ("size=3", "no rule 'size=3'; use .*, format=png,jpg, path=PATTERN"),
    ],
)
def test_a_rule_that_cannot_be_used_is_refused(rule, said):
    with pytest.raises(fd.UsageError, match=said):
        KeepRules(rules=rule)


def test_a_pattern_that_matches_nothing_is_refused():
    rules = KeepRules(rules=("not-path=*.tif",))
    rules.check_folders(["/photos/a.png"], lambda: ["/photos/b.tif"])
    with pytest.raises(fd.UsageError, match=r"the rule not-path=\*\.tif of keep= matches none of the images"):
        rules.check_folders(["/photos/a.png"], lambda: ["/photos/b.png"])


def frame(*images: Row) -> pd.DataFrame:
    rows = [{"path": image.path, "place": image.place, **image._asdict()} for image in images]
    return pd.DataFrame(rows).drop(columns="Index")


def test_a_function_chooses_the_image_of_each_group_and_is_one_of_the_rules():
    images, seen = frame(*TAKEN), []

    def smallest_name(rows: pd.DataFrame) -> str | None:
        seen.append(list(rows.index))
        return None if len(rows) == 2 else rows.index[-1]

    groups = [np.array([1, 2, 3]), np.array([0, 3])]
    rules = KeepRules(rules=("format=png", smallest_name))
    keys = rules.keys(images, [81] * 4, lambda: groups)
    assert seen == [["b", "export/c.png", "export/d copy.jpg"], ["a", "export/d copy.jpg"]]
    assert sorted(range(4), key=keys.__getitem__)[:2] == [0, 3]
    assert rules.reason(keys[1], keys[3]) == "the function keeps another one"
    assert rules.reason(keys[3], keys[0]) == "its format is not the one to keep"
    # a row of the table is as good as its path
    keys = KeepRules(rules=lambda rows: rows.loc["b"]).keys(images, [81] * 4, lambda: groups[:1])
    assert min(range(4), key=keys.__getitem__) == 1


@pytest.mark.parametrize(
    ("function", "said"),
    [
        (lambda rows: "elsewhere", "gave 'elsewhere' for the group of a; give one of the paths"),
        (lambda rows: 0, "gave 0 for the group of a; give one of the paths"),
        (lambda rows: rows["no such"], "failed for the group of a: KeyError: 'no such'"),
    ],
)
def test_a_function_that_gives_no_image_of_the_group_is_refused(function, said):
    with pytest.raises(fd.UsageError, match=said):
        KeepRules(rules=function).keys(frame(*TAKEN), [81] * 4, lambda: [np.array([0, 1])])
