"""Capture date and place come along, where they are missing, and nothing else changes."""

import io
import os
import sys
from pathlib import Path

import numpy as np
import piexif
import pytest
from PIL import Image
from test_apply import run

import fastdiff_dask as fd
from fastdiff_dask import applying
from fastdiff_dask.merging import merged
from fastdiff_dask.testing import simulate_photo

DATE = {36867: b"2019:02:03 04:05:06", 37521: b"78", 36881: b"+02:00"}
GPS = {0: (2, 3, 0, 0), 1: b"N", 2: ((47, 1), (22, 1), (0, 1)), 3: b"E", 4: ((8, 1), (32, 1), (0, 1))}


@pytest.fixture(autouse=True)
def _own_data(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))


PICTURE = Image.fromarray(simulate_photo(np.random.default_rng(0), 120, 90))


def jpeg(scale=1.0, date=None, gps=None, **more):
    exif = {"0th": {271: b"Me"}, "Exif": dict(date or {}), "GPS": dict(gps or {})}
    exif["Exif"] |= more.get("exif", {})
    content = io.BytesIO()
    picture = PICTURE.resize((int(120 * scale), int(90 * scale)))
    plain = not (date or gps or more)
    picture.save(content, "JPEG", quality=92, **({} if plain else {"exif": piexif.dump(exif)}))
    return content.getvalue()


def pixels(content):
    return np.asarray(Image.open(io.BytesIO(content)))


@pytest.mark.parametrize(
    ("kept", "other", "date", "gps"),
    [
        ({}, {"date": DATE, "gps": GPS}, DATE, GPS),
        ({}, {"date": DATE}, DATE, {}),
        ({}, {"gps": GPS}, {}, GPS),
        ({"date": {36867: b"2001:01:01 00:00:00"}}, {"date": DATE, "gps": GPS}, {36867: b"2001:01:01 00:00:00"}, GPS),
        ({"gps": {1: b"S", 2: GPS[2]}}, {"date": DATE, "gps": GPS}, DATE, {1: b"S", 2: GPS[2]}),
        # an empty date, and a position without one
        (
            {"date": {36867: b"0000:00:00 00:00:00", 37521: b"11"}},
            {"date": {36867: DATE[36867]}},
            {36867: DATE[36867]},
            {},
        ),
        ({"gps": {0: (2, 3, 0, 0)}}, {"gps": GPS}, {}, GPS),
    ],
)
def test_what_is_missing_comes_along(kept, other, date, gps):
    before = jpeg(1.0, **kept)
    content = merged(before, jpeg(0.5, **other))
    found = piexif.load(content)
    assert found["Exif"] == date
    assert found["GPS"] == gps
    assert found["0th"].get(271) == (b"Me" if kept else None)
    assert np.array_equal(pixels(content), pixels(before))
    assert merged(content, jpeg(0.5, **other)) is None


def png():
    content = io.BytesIO()
    PICTURE.save(content, "PNG")
    return content.getvalue()


@pytest.mark.parametrize(
    ("kept", "other"),
    [
        (jpeg(), jpeg()),
        (jpeg(date=DATE, gps=GPS), jpeg(date={36867: b"2000:01:01 00:00:00"}, gps=GPS)),
        (jpeg(), jpeg(date={36867: b"    :  :     :  :  "})),
        # the notes of a maker would not survive it
        (jpeg(exif={37500: b"notes"}), jpeg(date=DATE)),
        (png(), jpeg(date=DATE)),
        (jpeg(), png()),
        (b"\xff\xd8\xff", jpeg(date=DATE)),
        (jpeg(), b""),
        (jpeg(), jpeg(date=DATE)[:60]),
    ],
)
def test_else_nothing_changes(kept, other):
    assert merged(kept, other) is None


@pytest.fixture
def photos(tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    (folder / "kept.jpg").write_bytes(jpeg())
    (folder / "dated.jpg").write_bytes(jpeg(0.5, date=DATE))
    (folder / "placed.jpg").write_bytes(jpeg(0.6, gps=GPS))
    (folder / "plain.jpg").write_bytes(jpeg(0.7))
    os.utime(folder / "kept.jpg", ns=(10**18, 10**18))
    return folder


def project(tmp_path, client):
    db = fd.FastDifPy(tmp_path / "photos", store=tmp_path / "store", client=client, verbose=False)
    db.index_the_dirs()
    db.first_loop_iteration()
    db.second_loop_iteration()
    return db


def exif(path):
    found = piexif.load(path.read_bytes())
    return found["Exif"], found["GPS"]


@pytest.mark.parametrize("action", applying.ACTIONS)
def test_of_several_that_go(tmp_path, photos, client, action):
    """The file to keep changes in between, and the others still go for it."""
    db, kept, before = project(tmp_path, client), photos / "kept.jpg", (photos / "kept.jpg").read_bytes()
    folder = tmp_path / "gone" if action == "move" else None
    outcomes = db.apply(db.plan(), action, folder, keep_metadata=True)
    assert [one.reason for one in outcomes] == [None] * 3
    assert exif(kept) == (DATE, GPS)
    assert np.array_equal(pixels(kept.read_bytes()), pixels(before))
    assert kept.stat().st_mtime_ns == 10**18
    assert not list(photos.glob(".*"))
    # it is read again by the next run, and nothing else
    again = project(tmp_path, client)
    assert again.images_read == (1 if action not in ("hardlink", "symlink") else again.images_read)
    if action != "delete":
        db.undo()
        assert exif(photos / "dated.jpg")[0] == DATE
        assert exif(kept) == (DATE, GPS)


def test_off_by_default(tmp_path, photos, client):
    before = (photos / "kept.jpg").read_bytes()
    db = project(tmp_path, client)
    db.apply(db.plan(), "trash")
    assert (photos / "kept.jpg").read_bytes() == before


def test_on_the_command_line(tmp_path, photos, client):
    project(tmp_path, client)
    before = (photos / "kept.jpg").read_bytes()
    assert run("apply", tmp_path / "store", "--trash", "--keep-metadata")[0] == 0
    assert (photos / "kept.jpg").read_bytes() == before
    assert run("apply", tmp_path / "store", "--trash", "--keep-metadata", "--yes")[0] == 0
    assert exif(photos / "kept.jpg") == (DATE, GPS)


def test_a_file_with_other_names_is_left_alone(tmp_path, photos, client):
    os.link(photos / "kept.jpg", tmp_path / "other name.jpg")
    before = (photos / "kept.jpg").read_bytes()
    db = project(tmp_path, client)
    outcomes = db.apply(db.plan(), "trash", keep_metadata=True)
    assert [one.reason for one in outcomes] == [None] * 3
    assert (photos / "kept.jpg").read_bytes() == before


def test_what_would_change_the_picture_is_not_done(tmp_path, photos, client, monkeypatch):
    monkeypatch.setattr(applying, "merged", lambda kept, other: jpeg(0.3, date=DATE))
    before = (photos / "kept.jpg").read_bytes()
    db = project(tmp_path, client)
    db.apply(db.plan(), "trash", keep_metadata=True)
    assert (photos / "kept.jpg").read_bytes() == before


def test_a_file_to_keep_that_changes_meanwhile(tmp_path, photos, client, monkeypatch):
    """Between its reading and its replacement somebody else writes it."""
    kept = photos / "kept.jpg"

    def meanwhile(content, other):
        Path(kept).write_bytes(b"precious")
        return merged(content, other)

    monkeypatch.setattr(applying, "merged", meanwhile)
    db = project(tmp_path, client)
    outcomes = db.apply(db.plan(), "delete", keep_metadata=True)
    assert all(one.reason for one in outcomes)
    assert kept.read_bytes() == b"precious"
    assert len(list(photos.iterdir())) == 4


def test_the_package_is_asked_for(tmp_path, photos, client, monkeypatch):
    monkeypatch.setitem(sys.modules, "piexif", None)
    db = project(tmp_path, client)
    with pytest.raises(fd.UsageError, match=r"fastdiff_dask\[metadata\]"):
        db.apply(db.plan(), "trash", keep_metadata=True)
    assert len(list(photos.iterdir())) == 4
