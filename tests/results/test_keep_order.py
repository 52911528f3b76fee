"""The image that is kept of similar ones, without any rule of the user."""

import json
from pathlib import Path
from typing import NamedTuple

import pandas as pd
import pytest
from support.copies import KINDS, make_copies

import fastdiff_dask as fd
from fastdiff_dask.results.keep_order import best_first, real_pixels, with_origins
from fastdiff_dask.results.keep_rules import KeepRules

MINUTE = 60 * 10**9


class Row(NamedTuple):
    Index: str = "x.jpg"
    side: str = "a"
    width: int = 100
    height: int = 100
    size: int = 1000
    mtime_ns: int = 10**18
    format: str = "JPEG"
    camera: str | None = None
    captured: str | float | None = float("nan")
    signs: int = 0
    made: str | None = None

    @property
    def path(self) -> str:
        return self.Index

    @property
    def place(self) -> str:
        return self.Index


def order(*images: Row) -> list[int]:
    return [images.index(image) for image in best_first(images)]


@pytest.mark.parametrize(
    ("better", "worse", "reason"),
    [
        (Row(width=1), Row(side="b", camera="Canon"), "the other one is in A, the reference"),
        (Row(camera="Canon"), Row(width=200, size=9999), "no date or camera"),
        (Row(captured="2020-01-01T00:00:00"), Row(width=200), "no date or camera"),
        (Row(size=1), Row(width=200, size=9999, made="enlarged from x.jpg"), "enlarged from x.jpg"),
        (Row(size=1), Row(signs=3, made="recompressed from x.jpg"), "recompressed from x.jpg"),
        (Row(width=200, made="enlarged from a"), Row("b.jpg", made="a lossless copy of b"), "fewer pixels"),
        (Row(camera="Canon", made="enlarged from x.jpg"), Row(), "no date or camera"),
        (Row(width=200), Row(signs=3, size=500), "fewer pixels"),
        (Row(signs=1, size=900), Row(width=200, size=800), "enlarged: no more detail than the smaller one"),
        (Row(signs=1), Row(size=2000), "without notes of a camera or an editor, as a copy"),
        (Row(), Row(format="PNG", signs=-1, size=9999), "a lossless copy of a JPEG"),
        (Row(format="PNG", size=500), Row(size=1000), "compressed with loss"),
        (Row(size=1001), Row(mtime_ns=1), "smaller file"),
        (Row("x copy.jpg", mtime_ns=MINUTE), Row(mtime_ns=2 * MINUTE), "newer file"),
        (Row(mtime_ns=10**18), Row(mtime_ns=0), "newer file"),
        (Row("z.jpg"), Row("a copy.jpg"), "name of a copy"),
        (Row("a.jpg"), Row("b.jpg"), "equal, and later by name"),
    ],
)
def test_each_step_decides_with_its_reason(better, worse, reason):
    assert order(better, worse) == [0, 1]
    assert order(worse, better) == [1, 0]
    rules = KeepRules()
    keys = [rules.key(row, pixels) for row, pixels in zip((better, worse), real_pixels([better, worse]), strict=True)]
    assert keys[0] < keys[1]
    assert rules.reason(keys[1], keys[0]) == reason


@pytest.mark.parametrize(
    "name",
    ["x copy", "Kopie von x", "x - Copy", "x copy 2", "x (1)", "x_1", "x-edited", "x_bearbeitet", "x 2", "copy_of_x"],
)
def test_a_plain_name_wins_over_that_of_a_copy(name):
    assert order(Row(f"z/{name}.jpg"), Row("zz/x.jpg")) == [1, 0]
    assert order(Row("a copy/photocopy.jpg"), Row("b/x.jpg")) == [0, 1]


def test_within_a_minute_no_file_is_older():
    """Whatever was unpacked or copied at once has the times of that, not of the pictures."""
    base = 10**18 - 10**18 % MINUTE
    assert order(Row("b.jpg", mtime_ns=base), Row("a.jpg", mtime_ns=base + MINUTE - 1)) == [1, 0]


def test_an_enlarged_image_counts_with_the_pixels_of_the_smaller_one():
    small, large = Row(size=900, signs=1), Row("l.jpg", width=150, height=150, size=800)
    assert real_pixels([small, large]) == [10_000, 10_000]
    # it may be a reduced copy that is hardly compressed: pixels are not given up without a sign
    assert real_pixels([small._replace(signs=0), large]) == [10_000, 22_500]
    assert real_pixels([small._replace(size=700), large]) == [10_000, 22_500]
    assert real_pixels([small._replace(format="PNG"), large]) == [10_000, 22_500]
    assert real_pixels([]) == []


def test_origins_are_told_in_words():
    rows = [Row("a\n.jpg"), Row("b.jpg", width=200), Row("c.jpg"), Row("d.png", format="PNG")]
    images = pd.DataFrame(rows).set_index("Index").drop(columns="made")
    made = with_origins(images, {1: 0, 2: 1, 3: 2}).made.tolist()
    assert made == [None, r"enlarged from a\n.jpg", "recompressed from b.jpg", "a lossless copy of c.jpg"]
    assert with_origins(images, {}).made.isna().all()


# Kind → originals of 25 that are kept at least, of those whose copy is the same picture at all. The reason for fewer:
# tables that are nearly equal, or files without a table.
_KEPT = {
    "enlarged": 22,
    "enlarged to PNG": 20,
    "little higher quality": 10,
    "turned": 19,
    "blurred": 14,
    "sharpened": 23,
    "to WebP": 22,
}


def kept_originals(photos: Path, folder: Path, client, kind: str, count: int, noted: bool) -> tuple[int, int, set[str]]:
    """Copies that may go, the originals kept of them, and the first words of the reasons."""
    pairs = make_copies(sorted((photos / "library").rglob("*.jpg")), folder / "photos", kind, count, noted=noted)
    with fd.FastDifPy(folder / "photos", store=folder / "store", client=client, verbose=False) as db:
        db.index_the_dirs()
        db.first_loop_iteration()
        db.second_loop_iteration()
        db.verify()
        plan = db.plan()
    goes = {one.path: one for one in plan.chosen}
    found = [(str(original) in goes, str(copy) in goes) for original, copy in pairs]
    whys = {" ".join(one.why.split()[:2]) for one in plan.chosen}
    return sum(map(any, found)), sum(copy and not original for original, copy in found), whys


@pytest.mark.parametrize(
    ("kind", "why"), [("enlarged", "enlarged from"), ("higher quality", "recompressed from"), ("to PNG", "a lossless")]
)
def test_originals_of_made_up_copies_are_kept(photos, tmp_path, client, kind, why):
    pairs, kept, whys = kept_originals(photos, tmp_path, client, kind, 3, noted=False)
    assert pairs == kept == 3
    assert whys == {why}


@pytest.mark.slow
@pytest.mark.parametrize("noted", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_originals_of_all_kinds_of_copies_are_kept(photos, tmp_path, client, kind, noted):
    pairs, kept, _ = kept_originals(photos, tmp_path, client, kind, 25, noted)
    assert kept >= _KEPT.get(kind, 24) - (25 - pairs)


def test_the_original_of_the_known_copies_is_kept(photos, tmp_path, client):
    """In the clusters, and in the plan."""
    truth = json.loads((photos / "truth.json").read_text())
    known = [[str(photos / pair[role]) for role in ("original", "variant")] for pair in truth]
    with fd.FastDifPy(photos, store=tmp_path / "store", client=client, verbose=False) as db:
        db.index_the_dirs()
        db.first_loop_iteration()
        db.second_loop_iteration()
        result, plan = db.result(), db.plan()
    goes = {one.path: one.kept for one in plan.chosen}
    assert sum(goes.get(variant) == original for original, variant in known) >= 57
    keeps = {path: cluster.keep for cluster in result.clusters for path in cluster.low_quality}
    assert sum(keeps.get(variant) == original for original, variant in known) >= 57
    assert Path(known[0][0]).is_file()
