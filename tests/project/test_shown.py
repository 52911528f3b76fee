"""Results, plans and projects as a console and a notebook show them: short, and with pictures."""

import pickle
import re
import shutil
import sys

import pandas as pd
import pytest

import fastdiff_dask as fd
from fastdiff_dask.results.clusters import Clusters, PairTable
from fastdiff_dask.testing import simulate_images

HOSTILE = '<script>alert(1)<b> & "quotes".jpg'


@pytest.fixture(scope="module")
def compared(tmp_path_factory):
    """Nine groups, one of them with the same file twice, and a name that is markup."""
    folder = tmp_path_factory.mktemp("shown")
    photos = simulate_images(folder / "photos", images=12, duplicates=9)
    shutil.copy(photos.originals[0], folder / "photos" / HOSTILE)
    (folder / "photos" / "broken.jpg").write_bytes(photos.originals[0].read_bytes()[:100])
    fd.find_duplicates(folder / "photos", store=folder / "store", verify=True, verbose=False)
    return folder


@pytest.fixture
def db(compared):
    with fd.FastDifPy.from_store(compared / "store", verbose=False) as db:
        yield db


def test_each_object_is_a_few_lines_in_a_console(db, compared):
    result = db.result()
    truth = [[one.keep, *one.low_quality] for one in result.clusters]
    shown = {
        "Result: 11 similar pairs in 23 images: 1 same file": result,
        "RemovalPlan: 10 images could be removed": db.plan(),
        "FastDifPy: second_loop_done, 23 images listed, 23 read": db,
        "State: second_loop_done, 23 images listed, 23 read": db.config,
        "Estimate: 23 images, 253 pairs": db.estimate(),
        "Calibration: 3 images copied": db.calibrate(sample=3),
        "Evaluation: 11 of 11 known pairs found, and 0 others": fd.evaluate(result, truth),
        "Gallery of 9 groups": db.gallery(),
        "Store(": db.store,
    }
    for begin, one in shown.items():
        lines = repr(one).splitlines()
        assert lines[0].startswith(begin), repr(one)
        assert len(lines) <= 6
        assert max(map(len, lines)) <= 300
        assert " at 0x" not in repr(one)
        if begin != "Store(":
            html = one._repr_html_()
            assert "<script" not in html
            assert "<b>" in html
    assert "1 file could not be read" in repr(result)
    assert "compared by difference (MSE) ≤ 200" in repr(result)
    assert f"store: {compared / 'store'}" in repr(db)


def test_settings_that_are_not_the_usual_ones_are_told(compared):
    with fd.FastDifPy(compared / "photos", store=compared / "new", block_size=7, verbose=False) as db:
        assert repr(db) == (
            "FastDifPy: init, 0 images listed, 0 read\n"
            f"  folders: {compared / 'photos'}\n  store: {compared / 'new'}\n  settings: block_size=7, verbose=False"
        )


def test_a_damaged_store_is_told_in_a_line(compared, tmp_path):
    shutil.copytree(compared / "store", tmp_path / "store")
    db = fd.FastDifPy.from_store(tmp_path / "store", verbose=False)
    (file,) = (tmp_path / "store").glob("settings.json")
    for one in (tmp_path / "store" / "arrays.zarr").glob("zarr.json"):
        one.write_text("{")
    assert file.exists()
    assert len(repr(db).splitlines()) <= 5


def test_pairs_are_a_table_with_pictures(db):
    pairs = db.pairs
    assert isinstance(pairs, PairTable)
    html = pairs._repr_html_()
    assert html.count("<img ") == 22
    assert html.count("<figure") == 22
    assert "11 similar pairs" in html
    assert html.count("aspect-ratio:1.3333") > 11  # the shape of the picture; turned copies have another one
    assert re.search(r"same picture · difference \(MSE\) [\d.]+ · the second one turned 90° (left|right)", html)
    assert "<summary>table</summary>" in html
    assert "<script" not in html
    assert "&lt;script&gt;" in html
    # parts of it are too, and other tables are as pandas shows them
    assert pairs.sort_values("mse").head(2)._repr_html_().count("<figure") == 4
    assert "<figure" not in pairs[["a", "mse"]]._repr_html_()
    assert "<figure" not in pairs.iloc[:0]._repr_html_()
    assert pairs.groupby("verdict").size().sum() == 11
    pd.testing.assert_frame_equal(pd.DataFrame(pairs), pickle.loads(pickle.dumps(pairs)), check_frame_type=False)


def test_clusters_are_a_list_with_pictures(db):
    clusters, _ = db.get_duplicates()
    assert isinstance(clusters, Clusters)
    assert clusters == list(clusters)
    html = clusters[:2]._repr_html_()
    assert "2 groups" in html
    assert html.count(">keep<") == 2
    assert html.count(">could be removed<") == 3  # one has two copies
    assert isinstance(clusters[0], fd.Cluster)


def test_a_gallery_begins_with_the_most_certain_groups(db):
    gallery = db.gallery(4)
    assert len(gallery) == 4
    assert "the first 4 groups are shown" in gallery._repr_html_()
    assert "same picture, difference" in gallery._repr_html_()
    only = db.gallery(verdict="same file")
    assert len(only) == 1
    assert [only.groups[0].marks, only.groups[0].notes[1]] == [
        ["keep", "could be removed"],
        "same file, difference 0.00",
    ]
    with pytest.raises(fd.UsageError, match="n=0 cannot be used"):
        db.gallery(0)


def test_show_prints_lines_where_there_are_no_pictures(db, capsys):
    db.result().show(2)
    out = capsys.readouterr().out
    assert out.startswith("Result: 11 similar pairs")
    assert len(re.findall(r"^  keep: picture_\d+\.jpg$", out, re.M)) == 2
    assert re.search(r"^  could be removed: copy_\d+\.\w+ \(same picture, difference [\d.]+\)$", out, re.M)


def test_show_shows_pictures_in_a_notebook(db, monkeypatch, capsys):
    shown = []

    class Shell:
        kernel = None

    import IPython.display

    monkeypatch.setattr(sys.modules["IPython"], "get_ipython", Shell)
    monkeypatch.setattr(IPython.display, "display", shown.append)
    db.result().show(3)
    assert [len(one) for one in shown] == [3]
    assert capsys.readouterr().out == ""


def test_what_could_be_removed_is_what_the_plan_lists(db, compared):
    table = db.result().to_remove()
    pd.testing.assert_frame_equal(table, db.plan().to_frame())
    assert list(table.columns) == ["remove", "keep", "why", "mse", "bytes"]
    assert len(table) == 10
    # also after the project has ended, in another process, and for some of the pairs
    result = pickle.loads(
        pickle.dumps(fd.find_duplicates(compared / "photos", store=compared / "store", verbose=False))
    )
    assert len(result.to_remove()) == 10
    assert len(result.with_verdict("same file").to_remove()) == 1


def test_nothing_that_only_looks_alike_could_be_removed(tmp_path):
    """Of a picture and its crop, looked at twice."""
    simulate_images(tmp_path / "photos", images=2, duplicates=0)
    result = fd.find_duplicates(tmp_path / "photos", store=tmp_path / "store", threshold=100_000, verbose=False)
    assert len(result.pairs) == 1
    assert result.to_remove().empty
    again = fd.FastDifPy.from_store(tmp_path / "store").result()
    assert again.pairs.verdict.tolist() == ["similar"]
    ((marks,),) = [[group.marks for group in again.gallery().groups]] if len(again.gallery()) else [[["keep"]]]
    assert "could be removed" not in marks


def test_a_result_without_a_store_says_so(db):
    from dataclasses import replace

    with pytest.raises(fd.UsageError, match="not of a project"):
        replace(db.result(), planner=None).to_remove()


def test_the_pager_needs_neither_a_kernel_nor_scripts(db, tmp_path, browser):
    html = db.gallery()._repr_html_() + db.gallery()._repr_html_()
    file = tmp_path / "page.html"
    file.write_text(f"<!doctype html><meta charset=utf-8>{html}")
    page = browser.new_context(java_script_enabled=False).new_page()
    page.goto(file.as_uri())
    first = page.locator("[id^=fd]").first
    assert first.locator("figure:visible").count() == 13  # six groups, one of three
    first.get_by_text("7–9").click()
    assert first.locator("figure:visible").count() == 6
    first.get_by_text("‹ back").locator("visible=true").click()
    assert first.locator("figure:visible").count() == 13
    first.locator("input").first.focus()
    page.keyboard.press("ArrowRight")
    assert first.locator("figure:visible").count() == 6
    # the other gallery on the page has not moved
    assert page.locator("[id^=fd] figure:visible").count() == 6 + 13


def test_without_styles_all_pages_are_there(db):
    html = re.sub(r"<style>.*?</style>", "", db.gallery()._repr_html_(), flags=re.S)
    assert html.count("<figure") == 19
    assert "display:none" not in html
