"""Moving and deleting: nothing is overwritten, nothing is lost, what stays has its reason. Real files throughout."""

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from support.move_kill_driver import seen
from support.system import without_privileges

from fastdiff_dask.actions.files.file_moves import delete_files, move_files, refused
from fastdiff_dask.actions.journal import Record
from fastdiff_dask.actions.removals import Outcome, Removal, Seen

OTHER_DISK = Path("/dev/shm")

SUPPORT = Path(__file__).parents[1] / "support"


@pytest.fixture
def photos(tmp_path):
    """Two pictures to go and one to keep, of different content."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for name in ("a.jpg", "b.jpg", "kept.jpg"):
        (folder / name).write_bytes(name.encode() * 1000)
    return folder


@pytest.fixture
def target(tmp_path):
    folder = tmp_path / "target"
    folder.mkdir()
    return folder


@pytest.fixture
def elsewhere(tmp_path):
    """A folder on another file system."""
    if not OTHER_DISK.is_dir() or OTHER_DISK.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("there is no other file system to write to")
    folder = OTHER_DISK / f"fastdiff-{os.getpid()}"
    folder.mkdir()
    yield folder
    for path in folder.iterdir():
        path.unlink()
    folder.rmdir()


def plan(photos, *names) -> list[Removal]:
    return [Removal(seen(photos / name), seen(photos / "kept.jpg")) for name in names]


def move(removals, target, record) -> list[Outcome]:
    written = Record(record)
    try:
        return list(move_files(removals, target, written))
    finally:
        written.close()


def delete(removals, record) -> list[Outcome]:
    written = Record(record)
    try:
        return list(delete_files(removals, written))
    finally:
        written.close()


def names(folder) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def lines(record) -> list[dict]:
    found = [json.loads(line) for line in record.read_bytes().splitlines()] if record.exists() else []
    return [line for line in found if line["action"] != "temporary"]


@pytest.mark.parametrize("place", ["target", "elsewhere"])
def test_a_move_overwrites_nothing(photos, tmp_path, place, request):
    target = request.getfixturevalue(place)
    for name in ("a.jpg", "a_1.jpg"):
        (target / name).write_bytes(b"not ours")
    content, modified = (photos / "a.jpg").read_bytes(), (photos / "a.jpg").stat().st_mtime_ns
    removals = plan(photos, "a.jpg", "b.jpg")
    outcomes = move(removals, target, tmp_path / "record")
    assert outcomes == [
        Outcome(str(photos / "a.jpg"), str(target / "a_2.jpg"), None),
        Outcome(str(photos / "b.jpg"), str(target / "b.jpg"), None),
    ]
    assert names(photos) == ["kept.jpg"]
    assert names(target) == ["a.jpg", "a_1.jpg", "a_2.jpg", "b.jpg"]
    assert (target / "a.jpg").read_bytes() == (target / "a_1.jpg").read_bytes() == b"not ours"
    assert (target / "a_2.jpg").read_bytes() == content
    assert (target / "a_2.jpg").stat().st_mtime_ns == modified
    first = lines(tmp_path / "record")[0]
    assert first == {
        "action": "move",
        "path": str(photos / "a.jpg"),
        "to": str(target / "a_2.jpg"),
        "size": 5000,
        "mtime_ns": modified,
        "kept": str(photos / "kept.jpg"),
    }


def test_files_of_one_name_from_several_folders(photos, target, tmp_path):
    (photos / "sub").mkdir()
    (photos / "sub" / "a.jpg").write_bytes(b"another")
    removals = plan(photos, "a.jpg", "sub/a.jpg")
    assert all(outcome.reason is None for outcome in move(removals, target, tmp_path / "record"))
    assert names(target) == ["a.jpg", "a_1.jpg"]
    assert (target / "a_1.jpg").read_bytes() == b"another"


def test_undecodable_names(photos, target, tmp_path):
    odd = photos / os.fsdecode(b"\xff.jpg")
    odd.write_bytes(b"odd")
    (outcome,) = move(plan(photos, odd.name), target, tmp_path / "record")
    assert outcome.reason is None
    assert lines(tmp_path / "record")[0]["to"] == outcome.to == str(target / odd.name)


def test_a_delete_deletes(photos, tmp_path):
    assert delete(plan(photos, "a.jpg"), tmp_path / "record") == [Outcome(str(photos / "a.jpg"), None, None)]
    assert names(photos) == ["b.jpg", "kept.jpg"]
    assert [line["action"] for line in lines(tmp_path / "record")] == ["delete"]


def change(path):
    path.write_bytes(b"changed")


def touch(path):
    os.utime(path, ns=(0, 0))


def link_hard(path):
    path.unlink()
    os.link(path.with_name("b.jpg"), path)


def link_symbolic(path):
    path.unlink()
    path.symlink_to(path.with_name("b.jpg"))


HAZARDS = {
    "changed": ("a.jpg", change, "it has changed since it was compared"),
    "touched": ("a.jpg", touch, "it has changed since it was compared"),
    "gone": ("a.jpg", Path.unlink, "it is not there any more"),
    "a link": ("a.jpg", link_symbolic, "it is a symbolic link"),
    "kept changed": ("kept.jpg", change, "the file to keep, .*kept.jpg, has changed"),
    "kept gone": ("kept.jpg", Path.unlink, "the file to keep, .*kept.jpg, is not there any more"),
    "kept a link": ("kept.jpg", link_symbolic, "the file to keep, .*kept.jpg, is a symbolic link"),
}


@pytest.mark.parametrize("action", ["move", "delete"])
@pytest.mark.parametrize("hazard", HAZARDS)
def test_what_is_not_as_it_was_stays(photos, target, tmp_path, hazard, action):
    removals = plan(photos, "a.jpg")
    name, happen, reason = HAZARDS[hazard]
    happen(photos / name)
    before = {path: path.read_bytes() for path in photos.iterdir()}
    record = tmp_path / "record"
    (outcome,) = move(removals, target, record) if action == "move" else delete(removals, record)
    assert outcome.to is None
    assert re.search(reason, outcome.reason)
    assert {path: path.read_bytes() for path in photos.iterdir()} == before
    assert names(target) == []
    assert lines(record) == [{"action": "stay", "path": str(photos / "a.jpg"), "reason": outcome.reason}]


@pytest.mark.parametrize("action", ["move", "delete"])
def test_another_name_of_the_file_to_keep_stays(photos, target, tmp_path, action):
    link_hard(photos / "a.jpg")
    removals = [Removal(seen(photos / "a.jpg"), seen(photos / "b.jpg"))]
    record = tmp_path / "record"
    (outcome,) = move(removals, target, record) if action == "move" else delete(removals, record)
    assert "the same file as the one to keep" in outcome.reason
    assert names(photos) == ["a.jpg", "b.jpg", "kept.jpg"]


def test_a_folder_under_two_names_is_seen_through(photos, tmp_path):
    (tmp_path / "alias").symlink_to(photos)
    removals = [Removal(seen(photos / "a.jpg"), seen(tmp_path / "alias" / "a.jpg"))]
    assert [one.reason for one in delete(removals, tmp_path / "record")] == ["it is kept for another image"]
    assert (photos / "a.jpg").exists()


def test_in_a_chain_what_is_kept_for_another_stays(photos, target, tmp_path):
    a, b, kept = (seen(photos / name) for name in ("a.jpg", "b.jpg", "kept.jpg"))
    outcomes = move([Removal(b, kept), Removal(a, b)], target, tmp_path / "record")
    assert [one.reason for one in outcomes] == ["it is kept for another image", None]
    assert names(photos) == ["b.jpg", "kept.jpg"]
    assert names(target) == ["a.jpg"]
    assert refused([Removal(b, kept), Removal(b, a)]) == {Removal(b, a): "it is to go twice"}
    assert len(refused([Removal(a, b), Removal(b, a)])) == 2


def test_a_plan_goes_on_after_what_stays(photos, target, tmp_path):
    removals = plan(photos, "a.jpg", "b.jpg")
    change(photos / "a.jpg")
    assert [outcome.reason is None for outcome in move(removals, target, tmp_path / "record")] == [False, True]
    assert names(target) == ["b.jpg"]


def test_a_file_in_the_target_stays_there(photos, tmp_path):
    (outcome,) = move(plan(photos, "a.jpg"), photos, tmp_path / "record")
    assert outcome.reason == "it is in that folder already"
    assert names(photos) == ["a.jpg", "b.jpg", "kept.jpg"]


@pytest.mark.parametrize("place", ["target", "elsewhere"])
def test_what_may_not_be_removed_leaves_no_copy(photos, tmp_path, place, request):
    target = request.getfixturevalue(place)
    target.chmod(0o777)
    tmp_path.chmod(0o777)
    for path in tmp_path.parents:
        if path.stat().st_mode & 0o011 != 0o011:
            path.chmod(path.stat().st_mode | 0o011)
    removals = plan(photos, "a.jpg")
    photos.chmod(0o555)
    with without_privileges():
        (outcome,) = move(removals, target, tmp_path / "record")
    photos.chmod(0o755)
    assert outcome.reason == "Permission denied"
    assert names(photos) == ["a.jpg", "b.jpg", "kept.jpg"]
    assert names(target) == []
    assert [line["action"] for line in lines(tmp_path / "record")] == ["move", "stay"]


def test_a_record_is_never_overwritten(photos, target, tmp_path):
    (tmp_path / "record").write_text("mine")
    (outcome,) = move(plan(photos, "a.jpg"), target, tmp_path / "record")
    assert outcome.reason == "File exists"
    assert (tmp_path / "record").read_text() == "mine"
    assert (photos / "a.jpg").exists()
    assert names(target) == []


@pytest.mark.parametrize("place", ["target", "elsewhere"])
def test_killed_at_every_moment_of_a_move(tmp_path, place, request):
    target = request.getfixturevalue(place)
    driver = SUPPORT / "move_kill_driver.py"
    command = [sys.executable, str(driver), str(tmp_path / "photos"), str(target), str(tmp_path / "record")]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    whole, *reports = [json.loads(line) for line in done.stdout.splitlines()]
    wanted = {"a.jpg": [0, 3_000_000], "b.jpg": [1, 3_000_000]}
    assert whole["killed by"] == 0
    assert whole["target after"] == {"a.jpg": [ord("n"), 8], "a_1.jpg": wanted["a.jpg"], "b.jpg": wanted["b.jpg"]}
    assert len(reports) >= 8
    between = 0
    for report in reports:
        assert report["killed by"] == signal.SIGKILL, report
        assert report["target"]["a.jpg"] == [ord("n"), 8], report  # not ours, and untouched
        assert report["photos"]["kept.jpg"] == [2, 3_000_000], report
        moved = {json.loads(line)["path"] for line in report["record"]}
        for name, content in wanted.items():
            there = report["photos"].get(name) == content
            copied = content in [found for moved_to, found in report["target"].items() if moved_to.endswith(".jpg")]
            assert there or copied, report
            assert there or str(tmp_path / "photos" / name) in moved, report  # what has gone is recorded
            between += there and copied
        # the rest is moved when it is run again, and nothing is lost by that
        assert report["resumed"] == 0, report
        assert list(report["photos after"]) == ["kept.jpg"], report
        assert all(content in report["target after"].values() for content in wanted.values()), report
        assert report["target after"]["a.jpg"] == [ord("n"), 8], report
        if place == "target":
            assert len(report["target after"]) == 3, report  # no second copy of what was linked
    assert between >= 2  # some were killed between copy and removal


def test_seen_is_what_was_compared(photos):
    assert seen(photos / "a.jpg") == Seen(str(photos / "a.jpg"), 5000, (photos / "a.jpg").stat().st_mtime_ns)
