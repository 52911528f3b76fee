"""Files that are equal byte for byte are found without decoding any, also those that are no pictures."""

import itertools
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from support.command_line import invoke
from support.removals import contents

import fastdiff_dask as fd
from fastdiff_dask.stages import identical
from fastdiff_dask.storage.store import Store
from fastdiff_dask.testing import simulate_images

SHARED = Path(__file__).parents[3] / "shared" / "photos"


@pytest.fixture(autouse=True)
def _nothing_is_decoded(monkeypatch):
    def refuse(*_, **__):
        raise AssertionError("a picture was decoded")

    monkeypatch.setattr("fastdiff_dask.images.decoder_pool.start_readers", refuse)
    monkeypatch.setattr("fastdiff_dask.actions.verify.reader", refuse)


@pytest.fixture
def photos(tmp_path) -> Path:
    """Pictures and other files, of which some are equal; of the others some have one size, or begin and end alike."""
    folder = tmp_path / "photos"
    simulate_images(folder, images=4, duplicates=0, size=(80, 60))
    first = sorted(folder.iterdir())[0]
    shutil.copy2(first, folder / "copy.jpg")
    (folder / "sub").mkdir()
    (folder / "sub" / os.fsdecode(b"odd \xff\n.jpg")).write_bytes(first.read_bytes())
    for name, content in {
        "broken.jpg": b"no picture",
        "sub/broken too.jpg": b"no picture",
        "same size.jpg": b"NO PICTURE",
        "empty.jpg": b"",
        "empty too.jpg": b"",
        "film.mp4": bytes(200_000),
        "sub/film.mp4": bytes(200_000),
        "almost.mp4": bytes(70_000) + b"x" + bytes(129_999),
        "notes.txt": b"text",
        "more notes.txt": b"text",
    }.items():
        (folder / name).write_bytes(content)
    return folder


def names(paths) -> set[str]:
    return {Path(path).name.encode(errors="surrogateescape").decode(errors="replace") for path in paths}


def groups_of(result) -> set[frozenset[str]]:
    return {frozenset(str(path) for path in (one.keep, *one.low_quality)) for one in result.clusters}


def brute_force(*folders: Path, extensions=(".jpg", ".mp4", ".png", ".webp")) -> set[frozenset[str]]:
    """Groups of equal files."""
    found: dict[bytes, set[str]] = {}
    for path in itertools.chain(*(folder.rglob("*") for folder in folders)):
        if path.is_file() and path.suffix in extensions and path.stat().st_size:
            found.setdefault(path.read_bytes(), set()).add(str(path))
    return {frozenset(group) for group in found.values() if len(group) > 1}


def test_equal_files_are_found_also_of_films_and_broken_pictures(tmp_path, photos):
    result = fd.find_duplicates(photos, store=tmp_path / "store", identical=True, verbose=False)
    assert groups_of(result) == brute_force(photos)
    assert sorted(map(len, groups_of(result))) == [2, 2, 3]
    assert set(result.pairs.verdict) == {"same file"}
    assert set(result.pairs.value) == {0.0}
    assert len(result.pairs) == 5
    assert result.errors.empty
    files = result.files
    assert files["found"] == 16
    assert (files["compared"], files["ignored"]) == (14, {"no image by its extension": 2})
    assert "equal byte for byte" in repr(result)


def test_all_files_are_taken_if_that_is_asked_for(tmp_path, photos):
    result = fd.find_duplicates(photos, store=tmp_path / "store", identical=True, extensions=".*", verbose=False)
    assert groups_of(result) == brute_force(photos, extensions=(".jpg", ".mp4", ".txt"))
    assert len(result.clusters) == 4


def test_only_files_that_may_be_equal_are_read_to_the_end_and_once(tmp_path, photos, monkeypatch):
    read: list[str] = []
    original = identical._sha256
    monkeypatch.setattr(identical, "_sha256", lambda row: (read.append(row.path), original(row))[1])
    options = {"store": tmp_path / "store", "identical": True, "verbose": False}
    first = fd.find_duplicates(photos, **options)
    # as many as are in groups, and a film that differs between the pieces, and a short file of the same size
    assert len(read) == 7 + 2
    read.clear()
    again = fd.find_duplicates(photos, **options)
    assert not read
    assert groups_of(again) == groups_of(first)
    # a copy of a file that was hashed, and one of a file that had a size of its own
    lonely = sorted(photos.glob("*.*"), key=lambda path: path.stat().st_size)[-4]
    shutil.copy(photos / "film.mp4", photos / "film 3.mp4")
    shutil.copy(lonely, photos / f"again{lonely.suffix}")
    third = fd.find_duplicates(photos, **options)
    assert groups_of(third) == brute_force(photos)
    assert len(read) <= 3
    (photos / "film.mp4").write_bytes(bytes(199_999) + b"y")
    assert groups_of(fd.find_duplicates(photos, **options)) == brute_force(photos)


def test_a_run_that_was_stopped_goes_on_block_by_block(tmp_path, photos, monkeypatch):
    options = {"store": tmp_path / "store", "identical": True, "verbose": False, "block_size": 2}
    original, calls = identical._sha256, itertools.count()

    def stopped(row):
        if next(calls) == 5:
            raise KeyboardInterrupt
        return original(row)

    with monkeypatch.context() as patch:
        patch.setattr(identical, "_THREADS", 1)
        patch.setattr(identical, "_sha256", stopped)
        with pytest.raises(KeyboardInterrupt):
            fd.find_duplicates(photos, **options)
    known = Store(str(tmp_path / "store")).read_images(["content_hash"]).content_hash.notna().sum()
    assert known >= 4
    read: list[str] = []
    monkeypatch.setattr(identical, "_sha256", lambda row: (read.append(row.path), original(row))[1])
    assert groups_of(fd.find_duplicates(photos, **options)) == brute_force(photos)
    assert len(read) == 9 - known


def test_a_against_b_has_only_pairs_between_them(tmp_path, photos):
    other = tmp_path / "other"
    other.mkdir()
    for name in ("film.mp4", "broken.jpg", "copy.jpg"):
        shutil.copy(photos / name, other / f"b {name}")
    shutil.copy(photos / "almost.mp4", other / "a.mp4")
    shutil.copy(photos / "almost.mp4", other / "b.mp4")
    (other / "x.jpg").write_bytes(b"alone")
    (other / "y.jpg").write_bytes(b"alone")
    result = fd.find_duplicates(photos, other, store=tmp_path / "store", identical=True, verbose=False)
    expected = {
        (str(a), str(b))
        for a in photos.rglob("*.*")
        for b in other.iterdir()
        if a.is_file() and a.read_bytes() == b.read_bytes()
    }
    assert set(zip(result.pairs.a, result.pairs.b, strict=True)) == expected
    assert len(expected) == 2 + 2 + 3 + 2


@pytest.mark.parametrize("action", ["move", "trash", "delete", "hardlink", "symlink"])
def test_they_are_removed_and_come_back_as_other_copies(tmp_path, photos, action):
    before = contents(photos)
    code, said = invoke("find", photos, "--store", tmp_path / "store", "--identical")
    assert code == 0
    assert "14 files, those of equal size compared by SHA-256" in said
    assert "5 pairs in 3 groups; 4 images could be removed" in said
    how = ["--move", tmp_path / "gone"] if action == "move" else [f"--{action}"]
    code, said = invoke("apply", tmp_path / "store", *how, "--yes-really")
    assert code == 0, said
    assert "Result: equal byte for byte" in said
    assert "4 files were" in said
    after = {digest for digest, _ in contents(photos).values()}
    assert after == {digest for digest, _ in before.values()}
    if action != "delete":
        assert invoke("undo", "--yes")[0] == 0
        assert contents(photos) == before


def test_a_file_that_changed_meanwhile_stays(tmp_path, photos):
    with fd.FastDifPy(photos, store=tmp_path / "store", extensions=(".mp4", ".jpg"), verbose=False) as db:
        db.index_the_dirs()
        db.find_identical()
        plan = db.plan()
        for path in photos.rglob("*.mp4"):
            status = path.stat()
            if path.parent != photos:
                path.write_bytes(bytes(199_999) + b"z")
                os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
        outcomes = {Path(one.path).name: one.reason for one in db.apply(plan, "delete", yes_really=True)}
    assert "has changed since it was compared" in str(outcomes.pop("film.mp4"))
    assert set(outcomes.values()) == {None}


def test_files_that_cannot_be_read_or_change_are_errors_and_are_read_later(tmp_path, photos, monkeypatch):
    options = {"store": tmp_path / "store", "identical": True, "verbose": False}
    original = identical.open_file

    def refuse(path):
        if b"film" in path:
            raise PermissionError(13, "Permission denied")
        return original(path)

    with monkeypatch.context() as patch:
        patch.setattr(identical, "open_file", refuse)
        result = fd.find_duplicates(photos, **options)
    assert names(result.errors.path) == {"film.mp4"}
    assert set(result.errors.error) == {"cannot be read: Permission denied"}
    assert len(result.clusters) == 2
    result = fd.find_duplicates(photos, **options)
    assert result.errors.empty
    assert groups_of(result) == brute_force(photos)


def test_report_export_review_and_json_have_them(tmp_path, photos):
    out = tmp_path / "out.json"
    assert invoke("find", photos, "--store", tmp_path / "store", "--identical", "--json", out)[0] == 0
    found = json.loads(out.read_text())
    assert {pair["verdict"] for pair in found["pairs"]} == {"same file"}
    assert len(found["clusters"]) == 3
    assert found["settings"]["measure"] == "same-file"
    code, said = invoke("report", tmp_path / "store", "-o", tmp_path / "report.html")
    assert code == 0, said
    assert "3 groups" in said
    assert "equal byte for byte" in (tmp_path / "report.html").read_text()
    code, said = invoke("export", tmp_path / "store", tmp_path / "pairs.csv", "--what", "pairs")
    assert code == 0, said
    assert (tmp_path / "pairs.csv").read_text().count("same file") == 5
    code, said = invoke("status", tmp_path / "store")
    assert code == 0, said
    assert "equal byte for byte" in said
    with fd.FastDifPy.from_store(tmp_path / "store") as db:
        assert len(db.result().clusters) == 3
        page = db.review()
        page.close()


def test_a_search_for_pictures_in_the_same_store_goes_on_from_there(tmp_path, photos, client, monkeypatch):
    monkeypatch.undo()
    fd.find_duplicates(photos, store=tmp_path / "store", identical=True, verbose=False)
    for _ in range(2):
        result = fd.find_duplicates(photos, store=tmp_path / "store", client=client, verbose=False)
        assert {len(one.low_quality) for one in result.clusters} == {2}
        assert names(result.errors.path) == {
            "broken.jpg",
            "broken too.jpg",
            "same size.jpg",
            "empty.jpg",
            "empty too.jpg",
        }
        # and back: nothing is lost of either
        back = fd.find_duplicates(photos, store=tmp_path / "store", identical=True, verbose=False)
        assert groups_of(back) == brute_force(photos)


@pytest.mark.parametrize("option", [("--threshold", "5"), ("--edited",), ("--min-width", "4"), ("--gpu",)])
def test_options_of_pictures_are_refused(tmp_path, photos, option):
    code, said = invoke("find", photos, "--store", tmp_path / "store", "--identical", *option)
    assert code != 0
    assert f"{option[0]} is of no use with --identical" in said


def test_nothing_is_imported_for_it_that_it_does_not_need(tmp_path, photos):
    program = (
        "import sys; from fastdiff_dask.cli.commands import main; sys.argv[1:] = sys.argv[1:]\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        "print([name for name in ('dask', 'distributed', 'scipy', 'bokeh') if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, "find", photos, "--identical", "--store", tmp_path / "store"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.splitlines()[-1] == "[]", done.stdout + done.stderr


@pytest.mark.parametrize("number", range(4))
def test_it_agrees_with_brute_force_on_random_files(tmp_path, number):
    rng = np.random.default_rng(number)
    folder = tmp_path / "photos"
    for place in range(60):
        path = folder / "abc"[place % 3] / f"{place}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        size = int(rng.choice([3, 4096, 12_288, 12_289, 40_000]))
        content = bytearray(size)
        for _ in range(int(rng.integers(0, 2))):
            content[int(rng.integers(size))] = 1
        path.write_bytes(content)
    options = {"store": tmp_path / "store", "identical": True, "verbose": False, "block_size": 7}
    assert groups_of(fd.find_duplicates(folder, **options)) == brute_force(folder)


@pytest.mark.skipif(not SHARED.is_dir(), reason="the real photos are not on this machine")
def test_on_real_photos_it_agrees_with_brute_force(tmp_path):
    shutil.copytree(SHARED, tmp_path / "photos")
    for path in sorted((tmp_path / "photos").rglob("*.jpg"))[:5]:
        shutil.copy(path, path.with_stem(f"{path.stem} again"))
    result = fd.find_duplicates(tmp_path / "photos", store=tmp_path / "store", identical=True, verbose=False)
    every = {path.suffix for path in (tmp_path / "photos").rglob("*.*")} - {".csv", ".json", ".txt", ".md"}
    assert groups_of(result) == brute_force(tmp_path / "photos", extensions=tuple(every))
    assert len(result.clusters) >= 5
