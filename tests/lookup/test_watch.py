"""Watching folders: every new file is looked up once it is whole, and nothing ends the watch but who watches."""

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from PIL import Image

import fastdiff_dask as fd
from fastdiff_dask.errors import UsageError
from fastdiff_dask.lookup import watch as watching
from fastdiff_dask.lookup.watch import FolderWatch
from fastdiff_dask.testing import simulate_images


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(watching, "_SETTLED", {"there": 0.3, "written": 0.6, "whole": 0.0})
    monkeypatch.setattr(watching, "_LOOK", 0.02)


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "in").mkdir()
    return tmp_path / "in"


def given(watch, number, seconds=10.0):
    """Names of the files that are given, until there are so many, or for so long."""
    found, end = [], time.monotonic() + seconds
    for files in watch.new_files(5):
        assert len(files) <= 5
        found += files
        if len(found) >= number or time.monotonic() > end:
            return found
    return found


def test_new_moved_and_linked_files_are_given_once_and_old_ones_not(quick, folder, tmp_path):
    (folder / "old.jpg").write_bytes(b"old")
    (tmp_path / "outside.jpg").write_bytes(b"outside")
    (tmp_path / "linked.jpg").write_bytes(b"linked")
    with FolderWatch([str(folder)]) as watch:
        assert len(watch) == 1
        (folder / "written.jpg").write_bytes(b"written")
        (tmp_path / "outside.jpg").rename(folder / "moved.jpg")
        os.link(tmp_path / "linked.jpg", folder / "linked.jpg")
        assert {Path(path).name for path in given(watch, 3)} == {"written.jpg", "moved.jpg", "linked.jpg"}
        (folder / "old.jpg").rename(folder / "renamed.jpg")
        (folder / "written.jpg").write_bytes(b"another content")
        assert {Path(path).name for path in given(watch, 2)} == {"renamed.jpg", "written.jpg"}
        assert given(watch, 1, seconds=0.5) == []


def test_a_file_that_is_being_written_is_waited_for(quick, folder):
    with FolderWatch([str(folder)]) as watch, (folder / "slow.jpg").open("wb") as file:
        for _ in range(5):
            file.write(b"a part")
            file.flush()
            assert given(watch, 1, seconds=0.1) == []
        file.close()
        start = time.monotonic()
        assert [Path(path).name for path in given(watch, 1)] == ["slow.jpg"]
        assert time.monotonic() - start < 0.5


def test_a_file_that_is_never_closed_is_given_when_it_rests(quick, folder):
    with FolderWatch([str(folder)]) as watch, (folder / "open.jpg").open("wb") as file:
        file.write(b"all of it")
        file.flush()
        start = time.monotonic()
        assert [Path(path).name for path in given(watch, 1)] == ["open.jpg"]
        assert time.monotonic() - start > 0.5


def test_folders_that_come_later_are_watched_as_well(quick, folder, tmp_path):
    (tmp_path / "tree" / "deep").mkdir(parents=True)
    (tmp_path / "tree" / "deep" / "a.jpg").write_bytes(b"a")
    with FolderWatch([str(folder)]) as watch:
        (tmp_path / "tree").rename(folder / "tree")
        assert [Path(path).name for path in given(watch, 1)] == ["a.jpg"]
        (folder / "tree" / "deep" / "b.jpg").write_bytes(b"b")
        for number in range(5):
            (folder / f"new {number}" / "sub").mkdir(parents=True)
            (folder / f"new {number}" / "sub" / f"{number}.jpg").write_bytes(b"c")
        assert {Path(path).name for path in given(watch, 6)} == {"b.jpg", *(f"{number}.jpg" for number in range(5))}


def test_a_burst_is_not_lost_even_if_events_are(quick, folder, monkeypatch):
    with FolderWatch([str(folder)]) as watch:
        for number in range(1000):
            (folder / f"{number:04d}.jpg").write_bytes(b"x")
        assert len(set(given(watch, 1000, seconds=30))) == 1000
    monkeypatch.setattr(watching, "_start_observer", lambda *_: None)
    monkeypatch.setattr(watching, "_WITHOUT_EVENTS", 0.1)
    with FolderWatch([str(folder)]) as watch:
        for number in range(200):
            (folder / f"more {number}.jpg").write_bytes(b"x")
        assert len(set(given(watch, 200, seconds=30))) == 200


def test_a_file_that_goes_before_it_is_whole_is_forgotten(quick, folder):
    with FolderWatch([str(folder)]) as watch:
        with (folder / "gone.jpg").open("wb") as file:
            file.write(b"x")
            file.flush()
            given(watch, 1, seconds=0.1)
            (folder / "gone.jpg").unlink()
        assert given(watch, 1, seconds=0.8) == []


def test_what_is_no_folder_cannot_be_watched(tmp_path):
    with pytest.raises(UsageError, match="is no folder to watch"):
        FolderWatch([str(tmp_path / "nothing")])


def test_without_watchdog_the_extra_is_named(folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "watchdog.observers", None)
    with pytest.raises(UsageError, match=r"pip install 'fastdiff_dask\[watch\]'"):
        FolderWatch([str(folder)])


# -- the command -------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def store(tmp_path_factory, client):
    place = tmp_path_factory.mktemp("archive")
    simulate_images(place / "photos", images=4, duplicates=0)
    db = fd.FastDifPy(place / "photos", store=place / "store", client=client, verbose=False)
    db.index_the_dirs()
    db.first_loop_iteration()
    return db, place, sorted((place / "photos").iterdir())


class Watching:
    """The command in a process of its own; its lines come in as it prints them."""

    def __init__(self, *arguments):
        command = [sys.executable, "-m", "fastdiff_dask", "lookup", *map(str, arguments)]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.first = self.process.stderr.readline()
        assert self.first.startswith("Watching "), self.first + self.process.stderr.read()
        self.lines = []
        self._thread = threading.Thread(target=self._read, daemon=True)

    def read(self):
        self._thread.start()

    def _read(self):
        for line in self.process.stdout:
            self.lines.append(line)

    def wait_for(self, number, seconds=60):
        end = time.monotonic() + seconds
        while len(self.lines) < number and time.monotonic() < end:
            time.sleep(0.05)
        assert len(self.lines) >= number
        return self.lines

    def end(self, by=signal.SIGINT):
        self.process.send_signal(by)
        code = self.process.wait(timeout=30)
        rest = self.process.stderr.read()
        self.process.stderr.close()
        self._thread.join(10)
        self.process.stdout.close()
        return code, rest


def test_new_files_are_answered_as_lines_of_json(store, folder):
    db, place, photos = store
    watch = Watching(db.store_url, "--watch", folder, "--json", "-")
    watch.read()
    shutil.copy(photos[0], folder / "known.jpg")
    (folder / "text.txt").write_text("no picture")
    (folder / "hostile.png").write_bytes(b"\x89PNG\r\n\x1a\n" + b"\xff" * 1000)
    Image.new("RGB", (50, 40), (200, 30, 30)).save(folder / "new.png")
    answers = {}
    for line in watch.wait_for(4):
        row = json.loads(line)
        answers[Path(row["file"]).name] = (row["in_archive"], bool(row["error"]))
    assert answers == {
        "known.jpg": (True, False),
        "text.txt": (None, True),
        "hostile.png": (None, True),
        "new.png": (False, False),
    }
    # what find adds meanwhile is known from then on
    shutil.copy(folder / "new.png", place / "photos" / "z.png")
    db.index_the_dirs()
    db.first_loop_iteration()
    (folder / "sub").mkdir()
    shutil.copy(folder / "new.png", folder / "sub" / "again.png")
    assert json.loads(watch.wait_for(5)[4])["in_archive"] is True
    assert watch.end() == (0, "")


def test_people_get_lines_and_sigterm_ends_it_too(store, folder):
    db, _, photos = store
    watch = Watching(db.store_url, "--watch", folder)
    assert watch.first == f"Watching {folder} (0 files there already); Ctrl-C ends it.\n"
    watch.read()
    shutil.copy(photos[1], folder / "known.jpg")
    assert watch.wait_for(2)[0] == f"{folder / 'known.jpg'}: in the archive\n"
    assert watch.end(signal.SIGTERM) == (0, "")


def test_it_ends_when_nobody_reads(store, folder):
    db, _, photos = store
    watch = Watching(db.store_url, "--watch", folder, "--json", "-")
    watch.process.stdout.close()
    shutil.copy(photos[1], folder / "known.jpg")
    assert watch.process.wait(timeout=30) in (0, 1)
    assert "Traceback" not in watch.process.stderr.read()
    watch.process.stderr.close()


def test_names_beside_watch_are_refused(run, store, folder):
    db, _, photos = store
    code, _, err = run("lookup", db.store_url, photos[0], "--watch", folder)
    assert code == 2
    assert "leave out the names of others" in err
    code, _, err = run("lookup", db.store_url, "--watch", folder / "nothing")
    assert code == 2
    assert "is no folder to watch" in err
