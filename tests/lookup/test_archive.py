"""Lookups of files and arrays in stores of files: what the archive has, and what it only has alike."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support.array_stores import array_store

import fastdiff_dask as fd
from fastdiff_dask.errors import UsageError
from fastdiff_dask.images.decoder_pool import close_readers
from fastdiff_dask.lookup.archive import Archive, ArchiveSettings
from fastdiff_dask.lookup.found import Lookup
from fastdiff_dask.storage.store import Store
from fastdiff_dask.testing import simulate_images


@pytest.fixture(scope="module")
def library(tmp_path_factory, client):
    """A library with a copy of a picture, turned, and its project; indexed and read, never compared."""
    folder = tmp_path_factory.mktemp("library")
    photos = folder / "photos"
    simulate_images(photos, images=10, duplicates=0, size=(320, 240))
    first = sorted(photos.glob("*.jpg"))[0]
    shutil.copy(first, photos / "equal.jpg")
    with Image.open(first) as image:
        image.rotate(90, expand=True).save(photos / "turned.jpg", quality=90)
        image.save(folder / "again.png")
        image.resize((200, 150)).save(folder / "small.jpg", quality=60)
        marked = image.copy()
        marked.paste((255, 0, 0), (100, 100, 112, 112))
        marked.save(folder / "marked.jpg", quality=90)
    db = fd.FastDifPy(photos, store=folder / "store", client=client, verbose=False)
    db.index_the_dirs()
    db.first_loop_iteration()
    return db, folder, first


def test_a_picture_that_is_there_is_found_in_all_its_files(library):
    db, folder, first = library
    (found,) = db.lookup(folder / "small.jpg")
    assert found.is_there
    assert {match.verdict for match in found.matches} == {"same picture"}
    assert {Path(match.path).name for match in found.matches} == {first.name, "equal.jpg", "turned.jpg"}
    turned = next(match for match in found.matches if match.path.endswith("turned.jpg"))
    assert (turned.rotation, turned.mirrored) == (90, False)
    assert 0 < turned.mse < 50


def test_equal_files_and_equal_pixels_are_told(library):
    db, folder, first = library
    copied = folder / "copied.jpg"
    shutil.copy(first, copied)
    verdicts = {Path(match.path).name: match.verdict for match in db.lookup(str(copied))[0].matches}
    assert verdicts == {first.name: "same file", "equal.jpg": "same file", "turned.jpg": "same picture"}
    verdicts = [match.verdict for match in db.lookup(folder / "again.png")[0].matches]
    assert verdicts == ["same pixels", "same pixels", "same picture"]


def test_what_is_only_similar_is_not_there(library):
    db, folder, _ = library
    (found,) = db.lookup(folder / "marked.jpg")
    assert not found.is_there
    assert {match.verdict for match in found.matches} == {"similar"}
    assert found.answer == "not in the archive, similar images are"


def test_another_picture_is_not_there(library, rng):
    db, _, _ = library
    (found,) = db.lookup(rng.integers(0, 256, (50, 40, 3), np.uint8))
    assert (found.matches, found.answer, found.file) == ((), "not in the archive", "array 0")


def test_arrays_are_looked_at_as_files_are(library):
    db, _, first = library
    with Image.open(first) as image:
        pixels = np.asarray(image)
    found = db.lookup([pixels, first, pixels[:, ::-1]])
    assert [match.verdict for match in found[0].matches][:2] == ["same pixels", "same pixels"]
    assert [one.is_there for one in found] == [True, False, False]
    assert found[1].answer == "a file of the archive itself"
    assert len(db.lookup(np.stack([pixels, pixels]))) == 2
    assert repr(found) == "Lookup of 3 pictures, 1 in the archive"


def test_the_table_has_a_row_an_image_and_one_for_nothing(library, rng, tmp_path):
    db, folder, _ = library
    (tmp_path / "text.jpg").write_text("no picture")
    found = db.lookup([folder / "small.jpg", rng.integers(0, 256, (9, 9, 3), np.uint8), tmp_path / "text.jpg"], k=2)
    frame = found.frame
    assert frame["rank"].tolist() == [1, 2, 0, 0]
    assert frame.path.notna().tolist() == [True, True, False, False]
    assert frame.error.notna().tolist() == [False, False, False, True]
    assert str(frame.dtypes["mse"]) == "float64"


def test_a_notebook_shows_the_pictures(library, rng):
    db, folder, _ = library
    html = db.lookup([folder / "small.jpg", rng.integers(0, 256, (9, 9, 3), np.uint8)])._repr_html_()
    assert html.count("data:image/jpeg") == 4
    assert "small.jpg: in the archive" in html
    assert "same picture, difference (MSE)" in html
    assert "array 1: not in the archive" in html
    assert "Lookup of 0 pictures" in Lookup([])._repr_html_()


def test_k_and_threshold_limit_what_is_given(library):
    db, folder, _ = library
    assert len(db.lookup(folder / "small.jpg", k=1)[0].matches) == 1
    assert len(db.lookup(folder / "small.jpg", threshold=1_000_000)[0].matches) == 10
    nearest = db.lookup(folder / "again.png", threshold=0)[0].matches
    assert [match.mse for match in nearest] == [0.0, 0.0]
    with pytest.raises(UsageError, match="k=0 cannot be used"):
        db.lookup(folder / "small.jpg", k=0)
    with pytest.raises(UsageError, match="threshold=-1 cannot be used"):
        db.lookup(folder / "small.jpg", threshold=-1)


@pytest.mark.parametrize("picture", [7, None, np.zeros((3, 3, 2), np.uint8), np.zeros((3, 3, 3)), [1, 2]])
def test_what_is_no_picture_is_refused(library, picture):
    with pytest.raises(UsageError, match=r"is no picture; use|is no picture; use a path"):
        library[0].lookup(picture)


def test_files_that_cannot_be_read_are_answers(library, tmp_path):
    (tmp_path / "empty.jpg").touch()
    (tmp_path / "text.jpg").write_text("no picture")
    os.mkfifo(tmp_path / "pipe.jpg")
    names = [tmp_path / "missing.jpg", tmp_path, tmp_path / "empty.jpg", tmp_path / "text.jpg", "a\0b"]
    found = library[0].lookup([*names, library[2]])
    assert [bool(one.error) for one in found] == [True] * 5 + [False]
    assert "No such file" in found[0].error
    assert found[1].error == "it is a folder; name a file"
    (piped,) = library[0].lookup(tmp_path / "pipe.jpg")
    assert piped.error


def test_a_name_of_any_bytes_is_looked_up(library, tmp_path):
    name = os.fsencode(tmp_path) + b"/\xff.jpg"
    shutil.copyfile(os.fsencode(library[2]), name)
    (found,) = library[0].lookup(name)
    assert found.is_there
    json.dumps(found.to_json())


def test_vanished_images_are_not_listed_and_new_ones_are(tmp_path, client):
    photos = tmp_path / "photos"
    simulate_images(photos, images=6, duplicates=0)
    names = sorted(photos.glob("*.jpg"))
    for place in range(5):
        shutil.copy(names[0], photos / f"a_copy_{place}.jpg")
    db = fd.FastDifPy(photos, store=tmp_path / "store", client=client, verbose=False)
    db.index_the_dirs()
    db.first_loop_iteration()
    asked = tmp_path / "asked.jpg"
    shutil.copy(names[0], asked)
    assert len(db.lookup(asked)[0].matches) == 6
    for place in range(4):
        (photos / f"a_copy_{place}.jpg").unlink()
    shutil.copy(names[0], photos / "z_new.jpg")
    db.index_the_dirs()
    # listed, and not read yet
    assert sorted(Path(match.path).name for match in db.lookup(asked)[0].matches) == ["a_copy_4.jpg", names[0].name]
    db.first_loop_iteration()
    for k in (1, 2, 3, 10):
        found = sorted(Path(match.path).name for match in db.lookup(asked, k=k)[0].matches)
        assert len(found) == min(k, 3)
        assert set(found) <= {"a_copy_4.jpg", names[0].name, "z_new.jpg"}


def test_an_image_whose_file_is_gone_is_not_proved(tmp_path, client):
    photos = tmp_path / "photos"
    simulate_images(photos, images=3, duplicates=0)
    name = sorted(photos.glob("*.jpg"))[0]
    db = fd.FastDifPy(photos, store=tmp_path / "store", client=client, verbose=False)
    db.index_the_dirs()
    db.first_loop_iteration()
    with Image.open(name) as image:
        image.save(tmp_path / "again.png")
    shutil.copy(name, tmp_path / "equal.jpg")
    name.unlink()
    again, equal = db.lookup([tmp_path / "again.png", tmp_path / "equal.jpg"])
    assert [match.verdict for match in again.matches] == ["not looked at"]
    assert not again.is_there
    assert [match.verdict for match in equal.matches] == ["not looked at"]
    assert not equal.is_there


def test_an_empty_store_and_one_that_is_not_there(tmp_path, client):
    (tmp_path / "photos").mkdir()
    db = fd.FastDifPy(tmp_path / "photos", store=tmp_path / "store", client=client, verbose=False)
    with pytest.raises(UsageError, match="call index_the_dirs"):
        db.lookup("a.jpg")
    db.index_the_dirs()
    (found,) = db.lookup(np.zeros((9, 9, 3), np.uint8))
    assert found.answer == "not in the archive"
    with pytest.raises(UsageError, match="no store at"):
        Archive(str(tmp_path / "nothing"), ArchiveSettings())


def test_a_store_without_thumbnails_says_so(library, tmp_path):
    shutil.copytree(library[0].store_url, tmp_path / "store")
    db = fd.FastDifPy.from_store(tmp_path / "store", verbose=False)
    db.lookup(library[2])
    assert (tmp_path / "store" / "lookup").exists()
    db.clean_up(thumbs=True, db=False, config=False)
    assert not (tmp_path / "store" / "lookup").exists()
    with pytest.raises(UsageError, match=r"thumbnails of .* were removed"):
        db.lookup(library[2])


def test_turns_and_mirror_images_count_as_the_settings_say(library, tmp_path):
    db, _, first = library
    with Image.open(first) as image:
        image.transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(tmp_path / "mirrored.png")
    for mirror in (False, True):
        archive = Archive(db.store_url, ArchiveSettings(mirror=mirror))
        (found,) = archive.look_up([tmp_path / "mirrored.png"])
        assert bool(found.matches) == mirror
    assert found.matches[0].mirrored
    assert found.is_there
    (found,) = Archive(db.store_url, ArchiveSettings(rotations=False)).look_up([first])
    assert "turned.jpg" not in [Path(match.path).name for match in found.matches]


def test_a_lookup_needs_no_lock_and_no_dask(library):
    db, folder, _ = library
    code = f"""
import sys
from fastdiff_dask.cli.commands import commands
commands.main(["lookup", {db.store_url!r}, {str(folder / "small.jpg")!r}], standalone_mode=False)
print({{"dask", "distributed", "zarr", "scipy", "bokeh", "tornado"}} & set(sys.modules))
"""
    with Store.lock(db.store_url):
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "set()"


def test_a_store_behind_a_url_is_asked_as_well(library, bucket):
    db, folder, _ = library
    url = f"s3://{bucket.name}/store"
    from fsspec import filesystem

    filesystem("s3").put(f"{db.store_url}/", f"{url}/", recursive=True)
    found = list(Archive(url, ArchiveSettings()).look_up([folder / "small.jpg", folder / "marked.jpg"]))
    assert [one.is_there for one in found] == [True, False]
    close_readers()  # they have the environment of before
    bucket.put("small.jpg", (folder / "small.jpg").read_bytes())
    (found,) = Archive(url, ArchiveSettings()).look_up([f"s3://{bucket.name}/small.jpg"])
    assert found.is_there


def test_both_sides_are_asked(tmp_path, rng):
    thumbnails = rng.integers(0, 256, (20, 8, 8, 3), np.uint8)
    store = array_store(tmp_path / "store", thumbnails, of_b=5)
    archive = Archive(store.url, ArchiveSettings())
    found = list(archive.look_up(list(thumbnails[[3, 17]])))
    assert [match.path for one in found for match in one.matches] == ["/made/00003.png", "/other/00017.png"]


def test_leading_values_are_there_after_images_were_read(library, tmp_path, client):
    simulate_images(tmp_path / "photos", images=3, duplicates=0)
    db = fd.FastDifPy(tmp_path / "photos", store=tmp_path / "store", client=client, verbose=False)
    db.index_the_dirs()
    assert not (tmp_path / "store" / "lookup").exists()
    db.first_loop_iteration()
    (file,) = (tmp_path / "store" / "lookup" / "1").iterdir()
    before = file.stat().st_mtime_ns
    db.lookup(library[2])
    db.first_loop_iteration()
    assert file.stat().st_mtime_ns == before


CRASH = """
import os, signal, PIL.Image as pillow
def opened(source, *arguments, opened=pillow.open, **options):
    start = source.read(5)
    source.seek(0)
    if start == b"crash":
        os.kill(os.getpid(), signal.SIGSEGV)
    return opened(source, *arguments, **options)
pillow.open = opened
"""


def test_a_file_that_crashes_its_decoder_costs_one_answer(library, tmp_path, monkeypatch):
    db, folder, _ = library
    (tmp_path / "sitecustomize.py").write_text(CRASH)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    close_readers()
    (tmp_path / "hostile.jpg").write_bytes(b"crash" * 100)
    try:
        found = db.lookup([folder / "small.jpg", tmp_path / "hostile.jpg", folder / "again.png"])
    finally:
        close_readers()
    assert [one.answer for one in found] == ["in the archive", "not looked up", "in the archive"]
    assert found[1].error == "the decoder crashed (SIGSEGV)"


def test_every_altered_copy_of_the_real_photos_is_known_and_no_other_picture_is(photos, tmp_path, client):
    """60 copies: resized, saved again, turned; an archive of half of the library knows those of that half alone."""
    truth = json.loads((photos / "truth.json").read_text())
    originals = sorted(path for path in (photos / "library").rglob("*") if path.is_file())
    half = {path.relative_to(photos).as_posix() for path in originals[::2]}
    for name in half:
        (tmp_path / "half" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(photos / name, tmp_path / "half" / name)
    db = fd.FastDifPy(tmp_path / "half", store=tmp_path / "store", client=client, verbose=False)
    db.index_the_dirs()
    db.first_loop_iteration()
    found = db.lookup([photos / entry["variant"] for entry in truth], threshold=1000)
    assert len(found) == 60
    for entry, one in zip(truth, found, strict=True):
        known, enlarged = entry["original"] in half, entry["kind"] == "bigger"
        assert one.is_there == (known and not enlarged), entry
        copies = [match for match in one.matches if match.is_copy]
        assert [match.path.endswith(entry["original"]) for match in copies] == [True] * known
        assert {match.lacks for match in copies} <= {("more pixels",) if enlarged else ()}
