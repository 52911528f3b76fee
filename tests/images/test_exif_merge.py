"""Capture date and place come along, where they are missing, and nothing else changes."""

import io
import os
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import piexif
import pytest
from PIL import ExifTags, Image
from support.command_line import invoke
from support.removals import contents
from support.verdicts import let_most_go, let_thumbnails_decide

import fastdiff_dask as fd
from fastdiff_dask.actions import verify
from fastdiff_dask.cli.actions import apply as apply_command
from fastdiff_dask.images.exif_merge import NotMergedError, merged
from fastdiff_dask.testing import simulate_photo

DATE = {36867: b"2019:02:03 04:05:06", 37521: b"78", 36881: b"+02:00"}
GPS = {0: (2, 3, 0, 0), 1: b"N", 2: ((47, 1), (22, 1), (0, 1)), 3: b"E", 4: ((8, 1), (32, 1), (0, 1))}


@pytest.fixture(autouse=True)
def _pixels_decide(monkeypatch: pytest.MonkeyPatch) -> None:
    """The image with a date would be kept otherwise, and nothing were to be copied."""
    let_thumbnails_decide(monkeypatch)
    let_most_go(monkeypatch)
    monkeypatch.setattr(fd.FastDifPy.plan, "__defaults__", (("most-pixels",),))
    (option,) = [one for one in apply_command.params if one.name == "rules"]
    monkeypatch.setattr(option, "default", ("most-pixels",))


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
        (jpeg(), png()),
        (jpeg(), b""),
        (jpeg(), jpeg(date=DATE)[:60]),
    ],
)
def test_else_nothing_changes(kept, other):
    assert merged(kept, other) is None


def with_segment(content, marker, data):
    return content[:2] + b"\xff" + bytes([marker]) + (len(data) + 2).to_bytes(2, "big") + data + content[2:]


@pytest.mark.parametrize(
    ("kept", "reason"),
    [
        (jpeg(exif={37500: b"notes"}), "notes of its camera's maker"),
        (png(), "is no JPEG file"),
        (b"\xff\xd8\xff", "not understood"),
        (b"\xff\xd8" + b"x" * 50, "not understood"),
        (with_segment(jpeg(), 0xE2, b"MPF\0" + bytes(40)), "several pictures"),
        (with_segment(jpeg(gps=GPS), 0xE1, b"Exif\0\0" + bytes(40)), "EXIF data twice"),
        (with_segment(jpeg(), 0xE1, b"Exif\0\0" + bytes(4)), "not understood"),
    ],
)
def test_what_cannot_be_added_is_told(kept, reason):
    with pytest.raises(NotMergedError, match=reason):
        merged(kept, jpeg(0.5, date=DATE))


def test_tags_that_the_library_does_not_know_are_not_lost():
    exif = Image.Exif()
    exif[271] = "Me"
    exif.get_ifd(ExifTags.IFD.Exif)[42080] = 2  # CompositeImage, of EXIF 2.32
    content = io.BytesIO()
    PICTURE.save(content, "JPEG", exif=exif)
    with pytest.raises(NotMergedError, match="would not survive"):
        merged(content.getvalue(), jpeg(date=DATE))


def test_every_other_byte_stays():
    """JFIF with its density, comments, other application data before and after, what follows the picture."""
    content = io.BytesIO()
    more = {36868: b"2020:01:01 00:00:00"}, {17: (90, 1), 29: b"2020:01:01"}
    exif = piexif.dump({"0th": {271: b"Me"}, "Exif": more[0], "GPS": more[1]})
    PICTURE.save(content, "JPEG", dpi=(300, 300), comment=b"a comment", exif=exif)
    before = with_segment(content.getvalue(), 0xFE, b"another comment") + b"a film"
    found = merged(before, jpeg(date=DATE, gps=GPS))
    assert Image.open(io.BytesIO(found)).info["dpi"] == (300, 300)
    for part in (b"a comment", b"another comment", b"a film"):
        assert found.count(part) == before.count(part)
    assert found.count(b"Exif\0\0") == 1
    exif = piexif.load(found)
    assert exif["Exif"] == DATE | more[0]
    assert exif["GPS"] == GPS | more[1]
    start = before.index(b"Exif\0\0") - 4
    stop = start + 2 + int.from_bytes(before[start + 2 : start + 4], "big")
    assert found.startswith(before[:start])
    assert found.endswith(before[stop:])


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


@pytest.mark.parametrize("action", ["move", "trash", "delete", "hardlink", "symlink"])
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
    # the store knows of it: nothing is read again
    again = project(tmp_path, client)
    assert again.images_read == 0 or action in ("hardlink", "symlink")
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
    code, output = invoke("apply", tmp_path / "store", "--trash", "--keep-metadata")
    assert (code, "undo does not take that back; where it cannot be done, both stay" in output) == (0, True)
    assert (photos / "kept.jpg").read_bytes() == before
    code, output = invoke("apply", tmp_path / "store", "--trash", "--keep-metadata", "--yes-really")
    assert (code, "kept.jpg got date or place of another one" in output) == (0, True)
    assert exif(photos / "kept.jpg") == (DATE, GPS)


@pytest.mark.parametrize("how", ["other names", "protected", "read only"])
def test_a_file_that_must_not_be_written(tmp_path, photos, client, how):
    """A file with nothing to give goes; one that has something stays."""
    kept = photos / "kept.jpg"
    if how == "other names":
        os.link(kept, tmp_path / "other name.jpg")
    elif how == "read only":
        kept.chmod(0o444)
    before = contents(photos)
    db = project(tmp_path, client)
    plan = db.plan(protect=kept if how == "protected" else ())
    outcomes = {Path(one.path).name: one.reason for one in db.apply(plan, "trash", keep_metadata=True)}
    assert outcomes.pop("plain.jpg") is None
    assert all("cannot be copied" in reason for reason in outcomes.values())
    assert contents(photos) == {path: found for path, found in before.items() if "plain" not in path}


def test_decisions_hold_for_what_was_changed(tmp_path, photos, client):
    db = project(tmp_path, client)
    pair = str(photos / "kept.jpg"), str(photos / "plain.jpg")
    db.not_duplicates([pair])
    plan = db.plan()
    assert str(photos / "plain.jpg") not in [one.path for one in plan.chosen if one.kept == pair[0]]
    chosen = [one for one in plan.chosen if one.kept == pair[0]]
    db.apply(replace(plan, chosen=chosen), "trash", keep_metadata=True)
    assert exif(photos / "kept.jpg") == (DATE, GPS)
    again = project(tmp_path, client)
    assert pair not in set(zip(again.pairs.a, again.pairs.b, strict=True))
    # and a second call of apply finds it as it is
    outcomes = db.apply(db.plan(), "trash")
    assert not any("has changed since" in str(one.reason) for one in outcomes)


def test_links_come_back_after_that(tmp_path, photos, client):
    """An equal file is no longer equal once the other one has got a date."""
    (photos / "equal.jpg").write_bytes(jpeg())
    before = contents(photos)
    for kind in ("symlink", "hardlink"):
        db = project(tmp_path, client)
        assert all(one.reason is None for one in db.apply(db.plan(), kind, keep_metadata=True))
        assert all(one.reason is None for one in db.undo())
        after = contents(photos)
        changed = [path for path in before if after[path] != before[path]]
        assert len(changed) == 1
        Path(changed[0]).write_bytes(jpeg())
        os.utime(changed[0], ns=(before[changed[0]][1],) * 2)
        assert contents(photos) == before


def test_what_would_change_the_picture_is_not_done(tmp_path, photos, client, monkeypatch):
    monkeypatch.setattr("fastdiff_dask.actions.verify.merged", lambda kept, other: jpeg(0.3, date=DATE))
    before = (photos / "kept.jpg").read_bytes()
    db = project(tmp_path, client)
    outcomes = db.apply(db.plan(), "trash", keep_metadata=True)
    assert sum("its picture would change" in str(one.reason) for one in outcomes) == 3
    assert (photos / "kept.jpg").read_bytes() == before


def test_a_file_to_keep_that_changes_meanwhile(tmp_path, photos, client, monkeypatch):
    """Between its reading and its replacement somebody else writes it."""
    kept = photos / "kept.jpg"

    def meanwhile(content, other):
        Path(kept).write_bytes(b"precious")
        return merged(content, other)

    monkeypatch.setattr("fastdiff_dask.actions.verify.merged", meanwhile)
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


def test_after_a_fill_byte_exif_is_found():
    own = jpeg(date={36867: b"2001:01:01 00:00:00"})
    place = own.index(b"\xff\xe1")
    filled = own[:place] + b"\xff" + own[place:]
    assert merged(filled, jpeg(date=DATE)) is None
    found = merged(filled, jpeg(gps=GPS))
    assert found.count(b"Exif\0\0") == 1
    assert piexif.load(found[:place] + found[place + 1 :])["Exif"] == {36867: b"2001:01:01 00:00:00"}


def test_a_small_picture_in_the_file_survives():
    small = io.BytesIO()
    PICTURE.resize((40, 30)).save(small, "JPEG")
    exif = piexif.dump({"0th": {271: b"Me"}, "1st": {259: 6}, "thumbnail": small.getvalue()})
    content = io.BytesIO()
    PICTURE.save(content, "JPEG", exif=exif)
    found = piexif.load(merged(content.getvalue(), jpeg(date=DATE, gps=GPS)))
    assert found["thumbnail"] == piexif.load(content.getvalue())["thumbnail"] != b""
    assert (found["Exif"], found["GPS"]) == (DATE, GPS)


def test_directories_that_the_library_does_not_know():
    exif = Image.Exif()
    exif[330] = 26
    content = io.BytesIO()
    PICTURE.save(content, "JPEG", exif=exif)
    with pytest.raises(NotMergedError, match="would not survive"):
        merged(content.getvalue(), jpeg(date=DATE))


def test_a_damaged_picture_of_another_format_costs_one_outcome(tmp_path, photos, client):
    PICTURE.resize((240, 180)).save(photos / "kept.png", exif=b"Exif\0\0garbagegarbage")
    (photos / "kept.jpg").unlink()
    db = project(tmp_path, client)
    outcomes = {Path(one.path).name: one.reason for one in db.apply(db.plan(), "trash", keep_metadata=True)}
    assert outcomes.pop("plain.jpg") is None
    assert len(outcomes) == 2
    assert all("is no JPEG file" in reason for reason in outcomes.values())


def test_what_others_are_links_to_is_not_changed(tmp_path, client, photos):
    """Else they could not come back as they were."""
    for name in ("dated.jpg", "placed.jpg", "plain.jpg"):
        (photos / name).rename(tmp_path / name)
    (photos / "equal.jpg").write_bytes(jpeg())
    before = contents(photos)
    db = project(tmp_path, client)
    db.apply(db.plan(), "symlink")
    (tmp_path / "dated.jpg").rename(photos / "dated.jpg")
    db = project(tmp_path, client)
    (outcome,) = db.apply(db.plan(), "trash", keep_metadata=True)
    assert "another image was replaced by a link to it" in outcome.reason
    db.undo()
    assert {path: found for path, found in contents(photos).items() if "dated" not in path} == before


def test_a_content_of_the_same_size_is_seen_by_the_next_run(tmp_path, photos, client, monkeypatch):
    """Killed before the store knows of it."""
    empty = {36867: b"0000:00:00 00:00:00"}
    (photos / "kept.jpg").write_bytes(jpeg(date=empty))
    (photos / "dated.jpg").write_bytes(jpeg(0.5, date={36867: DATE[36867]}))
    (photos / "placed.jpg").unlink()
    size = (photos / "kept.jpg").stat().st_size
    db = project(tmp_path, client)
    monkeypatch.setattr(verify.Verifier, "remember", lambda self: None)
    db.apply(db.plan(), "trash", keep_metadata=True)
    assert (photos / "kept.jpg").stat().st_size == size
    assert project(tmp_path, client).images_read == 1


def test_what_was_refused_is_no_change(tmp_path, photos, client):
    os.link(photos / "kept.jpg", tmp_path / "other name.jpg")
    project(tmp_path, client)
    code, output = invoke("apply", tmp_path / "store", "--trash", "--keep-metadata", "--yes")
    assert code == 1
    assert "got date or place" not in output
    assert "got date" not in invoke("undo", "--list")[1]


def test_the_exif_of_pillow_would_not_keep_all_values():
    """The reason for piexif: a date that Pillow adds costs other values. Should that end, piexif can go."""
    small = io.BytesIO()
    PICTURE.resize((16, 12)).save(small, "JPEG")
    exif = {
        "0th": {piexif.ImageIFD.Make: "Café".encode("latin-1"), piexif.ImageIFD.Model: b"M"},
        "Exif": {piexif.ExifIFD.MakerNote: b"\0\1maker" + bytes(60), piexif.ExifIFD.ExposureTime: (10, 600)},
        "GPS": {piexif.GPSIFD.GPSLatitude: ((52, 1), (30, 2), (1234, 100))},
        "1st": {},
        "thumbnail": small.getvalue(),
    }
    before = piexif.dump(exif)
    written = Image.Exif()
    written.load(before)
    written.get_ifd(34853)
    written.get_ifd(34665)[36867] = "2020:01:02 03:04:05"
    after = piexif.load(written.tobytes())
    changed = [
        (name, tag) for name in ("0th", "Exif", "GPS") for tag in exif[name] if after[name].get(tag) != exif[name][tag]
    ]
    assert changed == [("0th", 271), ("Exif", 37500), ("Exif", 33434), ("GPS", 2)]
    assert after["thumbnail"] is None
