"""Raw files of cameras: their previews are compared, and no such file is ever removed."""

import sys

import numpy as np
import pytest
from PIL import Image
from support.pictures import mse
from support.raw_files import dng, gentle
from support.removals import removed, write_decisions

import fastdiff_dask as fd
from fastdiff_dask.images.decode import read_image
from fastdiff_dask.images.frames import PIXELS, look_at
from fastdiff_dask.images.opening import image_extensions

pytest.importorskip("rawpy")


def read(content, tmp_path, **options):
    path = tmp_path / "a.dng"
    path.write_bytes(content)
    return read_image(str(path), 32, 32, **options)


def shown(picture):
    return np.asarray(picture.resize((32, 32), Image.Resampling.BICUBIC))


def test_the_preview_is_what_is_compared(tmp_path):
    preview = gentle(320, 240, 1)
    record, found = read(dng(gentle(320, 240), preview), tmp_path)
    assert (record.width, record.height, record.frames, record.extras) == (320, 240, 1, "raw data")
    assert (record.error, record.camera) == ("", "Nobody One")
    assert mse(found, shown(preview)) < 10


@pytest.mark.parametrize(("orientation", "turn"), [(3, 2), (6, 3), (8, 1)])
def test_the_preview_is_turned_as_the_file_says(orientation, turn, tmp_path):
    preview = gentle(320, 240, 1)
    record, found = read(dng(gentle(320, 240), preview, orientation), tmp_path)
    assert (record.width, record.height) == ((320, 240) if turn == 2 else (240, 320))
    assert mse(found, np.rot90(shown(preview), turn)) < 20


@pytest.mark.parametrize("preview", [None, gentle(40, 30, 1)], ids=["no preview", "a stamp"])
def test_without_a_preview_the_data_are_developed(preview, tmp_path):
    picture = gentle(320, 240).convert("L").convert("RGB")
    record, found = read(dng(picture, preview), tmp_path)
    assert (record.width, record.height, record.extras) == (160, 120, "raw data")
    levels = found.astype(float).mean(axis=2), shown(picture).astype(float).mean(axis=2)
    assert np.corrcoef(levels[0].ravel(), levels[1].ravel())[0, 1] > 0.9  # as bright as LibRaw likes it


def test_a_broken_raw_file_costs_one_row(tmp_path, rng):
    content = dng(gentle(320, 240), gentle(320, 240, 1))
    for _ in range(30):
        broken = bytearray(content)
        for place in rng.integers(0, len(content), 400).tolist():
            broken[place] = rng.integers(256)
        record, found = read(bytes(broken), tmp_path)
        assert (found is None) == bool(record.error)
    assert read(content[:200], tmp_path)[0].error


def test_more_pixels_than_the_limit_are_an_error(tmp_path):
    record, found = read(dng(gentle(320, 240)), tmp_path, pixel_limit=10_000)
    assert found is None
    assert (record.pixel_limit, "pixel limit" in record.error) == (10_000, True)


def test_without_libraw_the_package_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "rawpy", None)
    record, found = read(b"IIU\0" + bytes(range(256)) * 8, tmp_path)
    assert found is None
    assert record.error == "a raw file of a camera cannot be read here: pip install 'fastdiff_dask[raw]'"
    assert (record.extras, record.retry) == ("raw data", True)
    record, _ = read(b"FUJIFILMCCD-RAW " + bytes(256), tmp_path)
    assert record.retry
    assert {".nef", ".cr3", ".dng", ".arw", ".raf"} <= image_extensions()


def test_a_second_look_sees_the_preview(tmp_path):
    preview = gentle(320, 240, 1)
    content = dng(gentle(320, 240), preview)
    record, frames = look_at(content, None, (64, 48))
    assert (record.error, record.frames) == ("", 1)
    assert mse(np.frombuffer(frames, np.uint8).reshape(48, 64, 3), np.asarray(preview.resize((64, 48)))) < 20
    assert len(look_at(content, None, PIXELS)[1]) == 32


def test_neither_the_raw_file_nor_its_picture_is_removed(tmp_path):
    preview = gentle(320, 240, 1)
    photos = tmp_path / "photos"
    photos.mkdir()
    preview.save(photos / "a.jpg", quality=95)
    (photos / "a.dng").write_bytes(dng(gentle(320, 240), preview))
    Image.fromarray(255 - np.asarray(preview)).save(photos / "other.png")
    with fd.FastDifPy(photos, store=tmp_path / "store") as db:
        db.index_the_dirs()
        db.first_loop_iteration()
        db.second_loop_iteration()
        db.verify()
        (pair,) = db.pairs[["a", "b"]].to_numpy().tolist()
        assert sorted(name[-5:] for name in pair) == ["a.dng", "a.jpg"]
        plan = db.plan()
        assert len(plan.chosen) == 0
        assert "raw" in str(plan.skipped) or "developed" in str(plan.skipped)


def test_marks_take_no_raw_file_and_nothing_for_one(tmp_path, client):
    preview = gentle(320, 240, 1)
    photos = tmp_path / "photos"
    photos.mkdir()
    preview.save(photos / "a.jpg", quality=95)
    preview.save(photos / "b.png")
    raw = dng(gentle(320, 240), preview)
    for name in ("a.dng", "b.dng"):
        (photos / name).write_bytes(raw)
    with fd.FastDifPy(photos, store=tmp_path / "store", client=client, verbose=False) as db:
        db.index_the_dirs()
        db.first_loop_iteration()
        db.second_loop_iteration()

        def marked(*names):
            plan = db.plan(decisions=write_decisions(db, tmp_path / "d.json", dict.fromkeys(names, "remove")))
            return removed(plan), [one.reason for one in plan.skipped]

        none = "no image that is kept is similar to it; raw files and frames of films do not count"
        assert marked("a.jpg", "b.png") == ({}, [none, none])
        assert marked("a.jpg") == ({"a.jpg": "b.png"}, [])
        assert marked("a.dng", "b.dng") == ({}, ["it is a raw file, which nothing replaces"] * 2)
        assert marked("b.dng") == ({"b.dng": "a.dng"}, [])


def test_a_plan_that_takes_a_raw_file_for_its_picture_is_refused(tmp_path, client):
    """Stores of earlier versions do not know what a file has."""
    preview = gentle(320, 240, 1)
    photos = tmp_path / "photos"
    photos.mkdir()
    preview.save(photos / "a.jpg", quality=95)
    (photos / "a.dng").write_bytes(dng(gentle(320, 240), preview))
    with fd.FastDifPy(photos, store=tmp_path / "store", client=client, verbose=False) as db:
        db.index_the_dirs()
        db.first_loop_iteration()
        db.second_loop_iteration()
        frame = db.store.read_partition(0)
        with fd.storage.store.Store.lock(db.store.url):
            db.store.write_partition(0, frame.assign(extras=None))
        for name in ("a.jpg", "a.dng"):
            plan = db.plan(decisions=write_decisions(db, tmp_path / "d.json", {name: "remove"}))
            (outcome,) = db.apply(plan, "delete", yes_really=True)
            assert "lacks: " in outcome.reason
            assert len(list(photos.iterdir())) == 2
