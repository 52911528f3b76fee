"""The order of images by rules, which without any rule is that of the clusters."""

import itertools
from typing import NamedTuple

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
