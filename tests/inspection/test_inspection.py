"""The table of a data set: of pictures of every kind, equal, similar and leaked ones, and of old and odd stores."""

import json
import math
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image, ImageFilter
from support.make_old_store import FOLDER, set_dates

import fastdiff_dask as fd
from fastdiff_dask.errors import UsageError
from fastdiff_dask.images.decode import read_image
from fastdiff_dask.inspection.definitions import FIGURE_OF, ISSUES
from fastdiff_dask.inspection.inspection import COLUMNS
from fastdiff_dask.storage.schema import FIGURES
from fastdiff_dask.storage.store import Store

# What is wrong with each picture.
WANTED = {
    "train/scene0.png": set(),
    "train/scene1.png": {"byte_equal", "leak"},
    "test/same.png": {"byte_equal", "leak"},
    "train/scene2.png": {"near_equal", "leak"},
    "test/saved.jpg": {"near_equal", "leak"},
    "train/scene3.png": {"near_equal"},
    "train/near.png": {"near_equal"},
    "train/dark.png": {"dark"},
    "train/bright.png": {"bright", "grey"},
    "train/flat.png": {"low_contrast"},
    "train/blurred.png": {"blurred"},
    "train/wide.png": {"odd_aspect"},
    "train/tiny.png": {"odd_size"},
    "train/blank.png": {"blank", "low_contrast", "odd_mode", "grey"},
    "train/deep.png": {"grey", "odd_mode"},
    "train/ink.jpg": {"odd_mode"},
    "train/palette.gif": {"odd_mode"},
    "train/alpha20.png": set(),  # two of a mode are more than a tenth
    "train/alpha21.png": set(),
    "train/bad.jpg": set(),
}


def scene(seed, size=(320, 240)):
    """A picture with sharp edges and colours of its own."""
    random = np.random.default_rng(seed)
    return Image.fromarray(random.integers(0, 256, (6, 8, 3), np.uint8)).resize(size, Image.Resampling.NEAREST)


def make_set(folder):
    (folder / "train").mkdir(parents=True)
    (folder / "test").mkdir()
    train = folder / "train"
    for seed in range(4):
        scene(seed).save(train / f"scene{seed}.png")
    shutil.copy(train / "scene1.png", folder / "test" / "same.png")
    scene(2).save(folder / "test" / "saved.jpg", quality=97, subsampling=0)
    scene(3).resize((640, 480), Image.Resampling.NEAREST).save(train / "near.png")
    scene(10).point(lambda value: value // 4).save(train / "dark.png")
    bright = scene(11).point(lambda value: 244 + value // 24)
    bright.paste("black", (0, 0, 60, 45))
    bright.save(train / "bright.png")
    scene(12).point(lambda value: 110 + value // 10).save(train / "flat.png")
    scene(13).filter(ImageFilter.GaussianBlur(5)).save(train / "blurred.png")
    scene(14, (640, 200)).save(train / "wide.png")
    scene(15, (64, 48)).save(train / "tiny.png")
    Image.new("L", (320, 240), 128).save(train / "blank.png")
    Image.fromarray(np.asarray(scene(16).convert("L")).astype(np.uint16) * 257).save(train / "deep.png")
    scene(17).convert("CMYK").save(train / "ink.jpg", quality=95)
    scene(18).quantize(60).save(train / "palette.gif", save_all=True, append_images=[scene(19).quantize(60)])
    for seed in (20, 21):
        scene(seed).convert("RGBA").save(train / f"alpha{seed}.png")
    (train / "bad.jpg").write_text("no picture")


@pytest.fixture(scope="module")
def project(tmp_path_factory, client):
    folder = tmp_path_factory.mktemp("set")
    make_set(folder / "data")
    with fd.FastDifPy(folder / "data", store=folder / "store", client=client, block_size=5, verbose=False) as db:
        db.index_the_dirs()
        db.first_loop_iteration()
        yield db


@pytest.fixture
def compared(project):
    project.second_loop_iteration(50)
    return project


def issues_of(inspection):
    """Issues by the name of the file below the folder."""
    table = inspection.table
    names = ["/".join(path.split("/")[-2:]) for path in table.path]
    flags = table[list(ISSUES)].to_numpy()
    found = [{issue for issue, flag in zip(ISSUES, row, strict=True) if flag} for row in flags]
    return dict(zip(names, found, strict=True))


def test_each_picture_has_its_issues(compared):
    inspection = compared.inspect(low_contrast=0.16)
    assert issues_of(inspection) == WANTED
    assert inspection.not_compared == ""
    assert inspection.images_by_split == {"train": 18, "test": 2}
    assert inspection.counts["images"] == len(WANTED)
    assert inspection.counts["errors"] == 1
    for issue in ISSUES:
        assert inspection.counts[issue] == sum(issue in found for found in WANTED.values()), issue


def test_before_images_are_compared_equal_files_are_known(tmp_path, client):
    make_set(tmp_path / "data")
    with fd.FastDifPy(tmp_path / "data", store=tmp_path / "store", client=client, verbose=False) as db:
        db.index_the_dirs()
        db.first_loop_iteration()
        inspection = db.inspect()
        assert inspection.not_compared
        assert (inspection.counts["near_equal"], inspection.counts["byte_equal"]) == (0, 2)
        assert inspection.leaks[["split_a", "split_b", "value", "verdict"]].to_numpy().tolist() == [
            ["test", "train", 0.0, "same file"]
        ]
        assert "near equal is not known" in repr(inspection)
        with pytest.raises(UsageError, match="compare"):
            db.inspect(threshold=10)


def test_figures_are_those_of_the_pictures(compared):
    table = compared.inspect().table
    for row in table.itertuples():
        record, _ = read_image(row.path, 64, 64)
        for name in FIGURES:
            assert getattr(row, name) == pytest.approx(getattr(record, name), abs=1e-6, nan_ok=True)
    assert list(table.columns) == list(COLUMNS)
    assert table.index.name == "image"


def test_nearest_images_and_leaks_are_those_of_the_pairs(compared):
    inspection = compared.inspect()
    pairs = compared.pairs
    other = pairs[pairs.verdict != "same file"]
    table = inspection.table.set_index("path")
    for path, row in table.iterrows():
        mine = other[(other.a == path) | (other.b == path)]
        assert row.near_equal == (len(mine) > 0)
        assert row.near_value == pytest.approx(mine.mse.min() if len(mine) else math.nan, nan_ok=True)
        if len(mine):
            best = mine.loc[mine.mse.idxmin()]
            assert row.near_path == (best.b if best.a == path else best.a)
    part = dict(zip(table.index, table.split, strict=True))
    across = {(row.a, row.b) for row in pairs.itertuples() if part[row.a] != part[row.b]}
    assert {tuple(sorted(ends)) for ends in inspection.leaks[["a", "b"]].to_numpy().tolist()} == across
    assert inspection.leak_pairs == len(across) == 2
    assert set(table.leak_to[table.leak]) == {"train", "test"}
    assert table.leak_value[table.leak].tolist() == pytest.approx(
        [min(pair.mse for pair in pairs.itertuples() if path in (pair.a, pair.b)) for path in table.index[table.leak]]
    )


def test_options_count(compared):
    assert compared.inspect(verdict="same file").counts["near_equal"] == 0
    assert compared.inspect(threshold=0).counts["near_equal"] < compared.inspect().counts["near_equal"]
    with pytest.raises(UsageError, match="no image is in the folder 'dev'"):
        compared.inspect(splits="train,dev")
    with pytest.raises(UsageError, match="there is no limit 'darkness'; use blank, dark"):
        compared.inspect(darkness=0.3)
    with pytest.raises(UsageError, match="read="):
        compared.inspect(read="yes")


@pytest.mark.parametrize("issue", [issue for issue in ISSUES if issue not in ("byte_equal", "near_equal", "leak")])
def test_each_limit_counts(compared, issue):
    usual = compared.inspect().counts
    other = {"blank": 1.0, "bright": 1.0, "blurred": 1.0, "odd_size": 1000.0, "odd_mode": 0.12}.get(issue, 0.0)
    counts = compared.inspect(**{issue: other}).counts
    assert counts[issue] != usual[issue]
    assert {name: count for name, count in counts.items() if name != issue} == {
        name: count for name, count in usual.items() if name != issue
    }


def test_the_table_as_a_dask_frame_and_joined_with_the_images(compared):
    inspection = compared.inspect()
    table, lazy = inspection.table, inspection.to_dask()
    assert lazy.npartitions == 4
    found = lazy.compute()
    for name in ("path", *ISSUES, *FIGURES, "near_value", "leak_to"):
        assert found[name].astype(object).where(found[name].notna(), None).tolist() == (
            table[name].astype(object).where(table[name].notna(), None).tolist()
        )
    images = compared.images
    assert images.divisions == lazy.divisions
    both = images.compute()
    assert both.dark.tolist() == table.dark.tolist()
    assert both.content_hash.notna().sum() == len(table)
    assert both.columns.is_unique
    compared.index_the_dirs()  # images may be others now
    assert "dark" not in compared.images.columns
    assert "blur" in compared.images.columns


def test_the_summary_and_the_page_of_a_notebook(compared):
    inspection = compared.inspect()
    summary = inspection.summary
    assert summary.images.to_dict() == {issue: inspection.counts[issue] for issue in ISSUES}
    assert summary.figure.to_dict() == FIGURE_OF
    assert summary.share.max() <= 1
    assert summary.limit["dark"] == 0.32
    assert summary.rule["near_equal"].endswith("by its difference (MSE)")
    html = inspection._repr_html_()
    assert html.count("<img") >= 12
    assert "dark.png" in html
    assert "Inspection" in repr(inspection)
    examples = inspection.examples("byte_equal")
    assert [(one.path.rpartition("/")[2], one.figure) for one in examples] == [("same.png", 1), ("scene1.png", 1)]


@pytest.mark.parametrize("images", [0, 1])
def test_no_image_and_one(tmp_path, client, images):
    (tmp_path / "data").mkdir()
    for seed in range(images):
        scene(seed).save(tmp_path / "data" / f"{seed}.png")
    (tmp_path / "data" / "notes.txt").write_text("no image")
    with fd.FastDifPy(tmp_path / "data", store=tmp_path / "store", client=client, verbose=False) as db:
        db.index_the_dirs()
        db.first_loop_iteration()
        inspection = db.inspect()
        assert len(inspection.table) == len(inspection.to_dask().compute()) == images
        assert list(inspection.table.columns) == list(COLUMNS)
        assert inspection.table.dark.dtype.kind == "b"
        assert inspection.counts["images"] == images
        assert sum(inspection.counts[issue] for issue in ISSUES) == 0
        assert inspection.leaks.empty
        assert inspection._repr_html_()
        assert len(db.images.compute()) == images


def test_all_equal(tmp_path, client):
    for part in ("train", "val", "test"):
        (tmp_path / "data" / part).mkdir(parents=True)
        for name in "abcd":
            scene(1).save(tmp_path / "data" / part / f"{name}.png")
    with fd.FastDifPy(tmp_path / "data", store=tmp_path / "store", client=client, verbose=False, block_size=5) as db:
        db.index_the_dirs()
        db.first_loop_iteration()
        for _ in range(2):
            inspection = db.inspect()
            counts = inspection.counts
            assert (counts["byte_equal"], counts["near_equal"], counts["leak"]) == (12, 0, 12)
            assert inspection.table.equal_files.tolist() == [11] * 12
            # the first one of each part with each other
            assert len(inspection.leaks) == inspection.leak_pairs == 3
            others = {"train": {"val", "test"}, "val": {"train", "test"}, "test": {"train", "val"}}
            for row in inspection.table.itertuples():
                assert set(row.leak_to.split(", ")) == others[row.split]
            db.second_loop_iteration(200)


# -- stores of earlier versions ----------------------------------------------------------------------------------------


def without_figures(store, *, blur_only=False):
    """Make a store as one that was made before there were figures."""
    for block in range(store.blocks):
        frame = store.read_partition(block)
        store.write_partition(block, frame.assign(**dict.fromkeys(FIGURES[-1:] if blur_only else FIGURES, math.nan)))


def test_missing_figures_are_completed(tmp_path, client):
    make_set(tmp_path / "data")
    options = {"store": tmp_path / "store", "client": client, "verbose": False, "block_size": 5}
    with fd.FastDifPy(tmp_path / "data", **options) as db:
        db.index_the_dirs()
        db.first_loop_iteration()
        wanted = db.images[list(FIGURES)].compute()
        without_figures(db.store)
        (tmp_path / "data" / "train" / "dark.png").unlink()
        scene(30).save(tmp_path / "data" / "train" / "flat.png")
        inspection = db.inspect(read=False)  # from the thumbnails, no file is read
        assert inspection.counts["unmeasured"] == 0
        assert inspection.counts["unblurred"] == 19
        found = inspection.table[list(FIGURES)]
        pd.testing.assert_frame_equal(found[list(FIGURES[:-1])], wanted[list(FIGURES[:-1])])
        assert found.blur.isna().all()
        assert "the blur of 19 images not known" in repr(inspection)
        inspection = db.inspect()
        gone = inspection.table.path.str.endswith(("dark.png", "flat.png", "bad.jpg"))
        pd.testing.assert_series_equal(inspection.table.blur[~gone], wanted.blur[~gone])
        assert inspection.table.blur[gone].isna().all()
        assert inspection.counts["unblurred"] == 2
        assert db.images[list(FIGURES)].compute().blur.isna().sum() == 3  # they are kept


def test_without_thumbnails_all_figures_come_from_the_files(tmp_path, client):
    make_set(tmp_path / "data")
    options = {"store": tmp_path / "store", "client": client, "verbose": False}
    with fd.FastDifPy(tmp_path / "data", **options) as db:
        db.index_the_dirs()
        db.first_loop_iteration()
        db.second_loop_iteration(50)
        wanted = db.inspect().table
        db.clean_up(thumbs=True, db=False, config=False)
        pd.testing.assert_frame_equal(db.inspect().table, wanted)
        without_figures(db.store)
        pd.testing.assert_frame_equal(db.inspect().table, wanted)


def test_a_store_of_version_0_1_0_is_inspected(run):
    shutil.rmtree(FOLDER, ignore_errors=True)
    data = Path(__file__).parents[1]
    with zipfile.ZipFile(data / "storage" / "data" / "store-of-0.1.0.zip") as packed:
        packed.extractall(FOLDER)
    set_dates()
    try:
        assert Store(str(FOLDER / "store")).read_partition(0, list(FIGURES)).isna().all(axis=None)
        code, out, err = run("inspect", FOLDER / "store", "--json", "-")
        assert code == 0, err
        found = json.loads(out)
        rows = pd.DataFrame(found["table"])
        assert rows.blur.isna().tolist() == rows.error.notna().tolist()
        assert rows.brightness.isna().tolist() == rows.error.notna().tolist()
        for row in rows[rows.error.isna()].itertuples():
            _, thumbnail = read_image(row.path, 8, 8)
            luma = np.asarray(Image.fromarray(thumbnail).convert("L"))
            assert row.brightness == pytest.approx(luma.mean() / 255, abs=0.01)
        # once completed, no file is read again
        shutil.rmtree(FOLDER / "photos")
        assert json.loads(run("inspect", FOLDER / "store", "--json", "-")[1]) == found
        assert Store(str(FOLDER / "store")).arrays is not None
    finally:
        shutil.rmtree(FOLDER)
