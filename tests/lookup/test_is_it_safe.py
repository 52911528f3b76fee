"""A file that the archive is said to have may be removed: that must be true at this moment, and of another file."""

import json
import os
import shutil

import pytest
from PIL import Image

import fastdiff_dask as fd
from fastdiff_dask.testing import simulate_images


@pytest.fixture
def archive(tmp_path, client):
    """An archive of three pictures; a copy of one of them lies elsewhere."""
    photos = tmp_path / "photos"
    simulate_images(photos, images=3, duplicates=0, size=(320, 240))
    first, other, _ = sorted(photos.glob("*.jpg"))
    shutil.copy(first, tmp_path / "copy.jpg")
    db = fd.FastDifPy(photos, store=tmp_path / "store", client=client, verbose=False)
    db.index_the_dirs()
    db.first_loop_iteration()
    return db, first, other


def test_a_copy_is_there_only_while_the_file_of_the_archive_is(archive, tmp_path):
    db, first, other = archive
    copy, content, times = tmp_path / "copy.jpg", first.read_bytes(), first.stat()
    assert db.lookup(copy)[0].is_there

    def verdicts():
        (found,) = db.lookup(copy)
        assert not found.is_there
        return [match.verdict for match in found.matches]

    broken = bytearray(content)
    broken[len(content) // 2 :] = bytes(len(content) - len(content) // 2)
    for now in (other.read_bytes(), content[:100], bytes(broken)):
        first.write_bytes(now)
        os.utime(first, ns=(times.st_atime_ns, times.st_mtime_ns))
        assert verdicts() == ["not looked at"]
    first.unlink()
    assert verdicts() == ["not looked at"]
    first.mkdir()
    assert verdicts() == ["not looked at"]
    first.rmdir()
    first.write_bytes(content)  # at another time
    assert db.lookup(copy)[0].matches[0].verdict == "same file"


def test_a_file_of_the_archive_is_not_in_it(archive, tmp_path):
    db, first, _ = archive
    shutil.copy(first, first.with_name("z.jpg"))
    (tmp_path / "link.jpg").symlink_to(first)
    (tmp_path / "folder").symlink_to(first.parent)
    os.link(first, tmp_path / "name.jpg")
    db.index_the_dirs()
    db.first_loop_iteration()
    asked = [first, first.with_name("z.jpg"), tmp_path / "link.jpg", tmp_path / "folder" / first.name]
    for found in db.lookup([*asked, tmp_path / "name.jpg"]):
        assert (found.is_there, found.answer) == (False, "a file of the archive itself")
        assert [match.verdict for match in found.matches] == ["same file"] * 2
        assert sum(match.itself for match in found.matches) == 1
    assert db.lookup(tmp_path / "copy.jpg")[0].is_there


def test_what_the_archive_has_with_less_is_not_there(archive, tmp_path):
    db, first, _ = archive
    with Image.open(first) as image:
        image.resize((640, 480)).save(tmp_path / "large.png")
        image.save(tmp_path / "profile.png", icc_profile=b"made up " * 40)
    for name, lacks in (("large.png", "more pixels"), ("profile.png", "colour profile")):
        (found,) = db.lookup(tmp_path / name)
        assert (found.is_there, found.answer) == (False, "not in the archive with all that it has")
        assert [match.lacks for match in found.matches] == [(lacks,)]
        assert found.matches[0].is_copy
    frame = db.lookup([tmp_path / "large.png", first]).frame
    assert frame.lacks.tolist() == ["more pixels", ""]
    assert frame.itself.tolist() == [False, True]


def test_raw_files_and_pictures_do_not_stand_for_each_other(tmp_path, client):
    pytest.importorskip("rawpy")
    from support.raw_files import dng, gentle

    (tmp_path / "raw").mkdir()
    (tmp_path / "pictures").mkdir()
    preview = gentle(320, 240, 1)
    raw, picture = tmp_path / "raw" / "a.dng", tmp_path / "pictures" / "a.png"
    raw.write_bytes(dng(gentle(320, 240), preview))
    preview.save(picture)
    for archive, file, lacks in (("raw", picture, "a developed picture"), ("pictures", raw, "raw data")):
        store = tmp_path / f"store-{archive}"
        db = fd.FastDifPy(tmp_path / archive, store=store, client=client, verbose=False)
        db.index_the_dirs()
        db.first_loop_iteration()
        (found,) = db.lookup(file)
        assert not found.is_there
        assert [match.lacks for match in found.matches] == [(lacks,)]


def test_a_frame_of_a_film_does_not_stand_for_a_picture(tmp_path, client):
    pytest.importorskip("av")
    from support.films import scene, write_film

    (tmp_path / "films").mkdir()
    write_film(tmp_path / "films" / "a.mp4", [scene(0), scene(1)])
    scene(1).save(tmp_path / "still.png")
    db = fd.FastDifPy(tmp_path / "films", store=tmp_path / "store", frames_every=2, client=client, verbose=False)
    db.index_the_dirs()
    db.first_loop_iteration()
    (found,) = db.lookup(tmp_path / "still.png")
    assert not found.is_there
    assert [match.lacks for match in found.matches] == [("a file of its own",)]


def test_the_command_says_so(archive, tmp_path, run):
    db, first, _ = archive
    with Image.open(first) as image:
        image.resize((640, 480)).save(tmp_path / "large.png")
    code, out, _ = run("lookup", db.store.url, first, tmp_path / "large.png", tmp_path / "copy.jpg")
    assert code == 3
    lines = out.splitlines()
    assert lines[0] == f"{first}: a file of the archive itself:"
    assert lines[1].endswith("(the file itself)")
    assert lines[2] == f"{tmp_path / 'large.png'}: not in the archive with all that it has:"
    assert lines[3].endswith(", lacks more pixels)")
    first.unlink()
    code, out, _ = run("lookup", db.store.url, tmp_path / "copy.jpg", "--json", "-")
    assert code == 3
    answer = json.loads(out)
    assert answer["in_archive"] is False
    assert answer["images"][0]["verdict"] == "not looked at"
