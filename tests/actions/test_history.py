"""Earlier calls of apply before later ones, and journals in every state: nothing is lost over several calls."""

import itertools
import json
import os
import re
import shutil
import tempfile
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest
from support.command_line import invoke
from support.removals import SIZE, contents, picture, pictures_in, project, removed, save, trash, write_decisions

import fastdiff_dask as fd
from fastdiff_dask.actions.history import History
from fastdiff_dask.actions.journal import Record, acting, journals, last_to_undo, new_journal
from fastdiff_dask.actions.removal_plan import plan_removals
from fastdiff_dask.results.keep_rules import KeepRules


@pytest.fixture
def photos(tmp_path):
    """A picture in two sizes, twice."""
    for number in range(2):
        save(tmp_path / "photos" / f"{number} big.png", picture(number, size=16))
        save(tmp_path / "photos" / "in" / f"{number} small.png", picture(number))
    return tmp_path / "photos"


def names(folder):
    return sorted(path.name for path in folder.rglob("*.png"))


# -- one at a time -----------------------------------------------------------------------------------------------------


def test_one_process_at_a_time(tmp_path, photos, client):
    db = project(tmp_path, client)
    db.apply(db.plan(), "move", tmp_path / "gone")
    with acting(), pytest.raises(fd.FastDiffError, match="another apply or undo is at work"):
        db.undo()
    assert len(db.undo()) == 2
    with acting(), pytest.raises(fd.FastDiffError, match="another apply or undo is at work"):
        db.apply(db.plan(), "delete")
    assert len(names(photos)) == 4


def test_undo_in_a_loop_beside_apply_loses_nothing(tmp_path, client):
    for number in range(40):
        save(tmp_path / "photos" / f"{number} big.png", picture(number, size=16))
        save(tmp_path / "photos" / f"{number} small.png", picture(number))
    db = project(tmp_path, client, 0.0)
    before, plan = pictures_in(tmp_path / "photos"), db.plan()
    assert len(plan.chosen) == 40
    ended = threading.Event()

    def undo_all():
        while not ended.is_set():
            try:
                db.undo()
            except (fd.UsageError, fd.FastDiffError):
                time.sleep(0.001)

    thread = threading.Thread(target=undo_all)
    thread.start()
    try:
        for _ in range(3):
            try:
                db.apply(plan, "move", tmp_path / "gone")
            except fd.FastDiffError:
                time.sleep(0.01)
    finally:
        ended.set()
        thread.join()
    assert pictures_in(tmp_path / "photos", tmp_path / "gone") == before


def test_what_was_taken_away_meanwhile_is_seen(tmp_path, photos, client, monkeypatch):
    """The new name vanishes between its making and the end of the old one."""
    db = project(tmp_path, client)
    add = Record.add

    def meanwhile(self, action, path, **values):
        add(self, action, path, **values)
        if action == "move":
            Path(values["to"]).unlink()

    monkeypatch.setattr(Record, "add", meanwhile)
    outcomes = db.apply(db.plan(), "move", tmp_path / "gone")
    assert all("was taken away while it was moved" in one.reason for one in outcomes)
    assert len(names(photos)) == 4


# -- what went before counts -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("action", ["trash", "move"])
def test_what_was_set_aside_is_not_what_is_kept(tmp_path, photos, client, action, monkeypatch):
    """The trash, or the folder, is within the collection, and its names sort first."""
    if action == "trash":
        monkeypatch.setenv("XDG_DATA_HOME", str(photos / "+data"))
    shutil.copy2(photos / "0 big.png", photos / "z copy.png")
    for _ in range(2):
        db = project(tmp_path, client)
        db.apply(db.plan(), action, photos / "+gone" if action == "move" else None)
    assert sorted(path.name for path in photos.glob("*.png")) == ["0 big.png", "1 big.png"]
    plan = project(tmp_path, client).plan()
    assert plan.chosen == []
    assert any("images" in one.path and "neither kept nor removed" in one.reason for one in plan.skipped)
    # what is done does not trust the plan
    with monkeypatch.context() as patched:
        patched.setattr(History, "is_aside", lambda *_: False)
        blind = plan_removals(db.store, db.result(), KeepRules(rules=("oldest",)))
    assert blind.chosen
    outcomes = db.apply(blind, "delete")
    assert all(one.reason for one in outcomes)


def test_another_folder_of_a_trash_is_one_too():
    history = History([], folder="/photos/gone")
    inside = [
        "/home/x/.local/share/Trash/files/a.png",
        "/mnt/.Trash-1000/files/a.png",
        "/mnt/.Trash/1/files/a",
        "/photos/gone/x/a",
    ]
    assert [history.is_aside(path) for path in inside] == [True] * 4
    outside = ["/home/x/Trash/a.png", "/photos/gone2/a.png", "/home/.Trashed/a.png"]
    assert [history.is_aside(path) for path in outside] == [False] * 3


def test_a_chain_over_two_calls(tmp_path, client):
    """a ~ b ~ c, a not ~ c: b may go for c only as long as nothing went for b."""
    folder = tmp_path / "photos"
    for number, name in enumerate("abc"):
        save(folder / f"{name}.png", picture(2, 3 * number), age=number)
    db = project(tmp_path, client)
    first = db.plan(protect=folder / "c.png", keep="oldest", prefer=folder / "b.png")
    assert removed(first) == {"a.png": "b.png"}
    db.apply(first, "delete")
    plan = db.plan(keep="oldest")
    assert [(Path(one.path).name, one.reason) for one in plan.skipped] == [
        ("b.png", f"{folder / 'a.png'} went for it before")
    ]
    blind = plan_removals(db.store, db.result(), KeepRules(rules=("oldest",)))
    outcomes = db.apply(blind, "trash")
    assert all("went for it before" in one.reason or "not there any more" in one.reason for one in outcomes)
    assert names(folder) == ["b.png", "c.png"]
    marks = write_decisions(db, tmp_path / "d.json", {"b.png": "remove"})
    assert db.plan(decisions=marks).chosen == []


def test_what_is_equal_byte_by_byte_may_follow(tmp_path, client):
    """The file that went was equal to b: images that are similar to b are similar to it."""
    folder = tmp_path / "photos"
    save(folder / "b.png", picture(2, 3))
    shutil.copy2(folder / "b.png", folder / "b 2.png")
    db = project(tmp_path, client)
    db.apply(db.plan(), "trash")
    left = names(folder)
    save(folder / "c.png", picture(2, 6, size=16))
    db = project(tmp_path, client)
    assert removed(db.plan()) == {left[0]: "c.png"}


def test_what_a_link_leads_to_stays(tmp_path, photos, client):
    shutil.copy2(photos / "0 big.png", photos / "0 a.png")
    shutil.rmtree(photos / "in")
    db = project(tmp_path, client)
    db.apply(db.plan(), "symlink")
    assert (photos / "0 big.png").is_symlink()
    save(photos / "huge.png", picture(0, size=32))
    db = project(tmp_path, client)
    plan = db.plan()
    assert plan.chosen == []
    assert plan.skipped[0].reason == f"the symbolic link {photos / '0 big.png'} leads to it"
    db.undo()
    assert removed(project(tmp_path, client).plan()) == {"0 a.png": "huge.png", "0 big.png": "huge.png"}


# -- undo --------------------------------------------------------------------------------------------------------------


def test_the_old_folder_is_a_link_to_the_new_one(tmp_path, photos, client):
    db = project(tmp_path, client)
    before = pictures_in(photos)
    db.apply(db.plan(), "move", tmp_path / "gone")
    (photos / "in").rmdir()
    (photos / "in").symlink_to(tmp_path / "gone")
    db.undo()
    assert pictures_in(photos, tmp_path / "gone") == before
    assert names(tmp_path / "gone") == ["0 small.png", "1 small.png"]


def test_paths_of_a_journal_do_not_depend_on_the_current_folder(tmp_path, photos, client, monkeypatch):
    before = contents(photos)
    monkeypatch.chdir(photos)
    with fd.FastDifPy(".", store=tmp_path / "store", client=client, verbose=False) as db:
        db.index_the_dirs()
        db.first_loop_iteration()
        db.second_loop_iteration()
        plan = db.plan()
        (tmp_path / "else").mkdir()
        monkeypatch.chdir(tmp_path / "else")
        outcomes = db.apply(plan, "move", "gone")
        assert [(one.path, one.to) for one in outcomes] == [
            (f"./in/{n} small.png", str(tmp_path / "else" / "gone" / f"{n} small.png")) for n in range(2)
        ]
        monkeypatch.chdir("/")
        assert all(one.reason is None for one in db.undo())
        assert contents(photos) == before
        with pytest.raises(fd.UsageError, match="nothing to undo"):
            db.undo()


def test_what_cannot_come_back_does_not_block_what_can(tmp_path, photos, client):
    db = project(tmp_path, client)
    plan = db.plan()
    first, second = (replace(plan, chosen=[one]) for one in plan.chosen)
    db.apply(first, "move", tmp_path / "gone")
    db.apply(second, "trash")
    shutil.rmtree(trash(tmp_path))
    code, output = invoke("undo", tmp_path / "store", "--yes")
    assert code == 0
    assert "is gone from there, or has changed" in output
    assert "1 file was brought back" in output
    assert (photos / "in" / "0 small.png").exists()
    db.apply(first, "delete")
    assert "nothing to undo" in invoke("undo", "--yes")[1]


def test_any_of_the_list_can_be_undone(tmp_path, photos, client):
    db = project(tmp_path, client)
    plan = db.plan()
    for number, one in enumerate(plan.chosen):
        db.apply(replace(plan, chosen=[one]), "move", tmp_path / f"gone{number}")
    code, output = invoke("undo", "--list")
    newest, oldest = output.splitlines()
    assert code == 0
    assert re.match(r"\d{4}-\d\d-\d\d \d\d:\d\d: 1 file moved, \d[\d.]* (Bytes|kB); ", oldest)
    assert newest.split("(")[1] > oldest.split("(")[1]
    file = oldest.split("(")[1].removesuffix(")")
    assert "1 file was brought back" in invoke("undo", "--journal", file, "--yes")[1]
    assert names(photos / "in") == ["0 small.png"]
    assert "is no journal of something to undo" in invoke("undo", "--journal", file, "--yes")[1]


def test_a_link_whose_image_is_gone_from_the_trash_stays(tmp_path, photos, client):
    db = project(tmp_path, client)
    db.apply(db.plan(), "hardlink")
    place = photos / "in" / "0 small.png"
    assert place.samefile(photos / "0 big.png")
    trashed = trash(tmp_path) / "files" / "0 small.png"
    trashed.unlink()
    outcomes = {Path(one.path).name: one.reason for one in db.undo()}
    assert "not there any more" in outcomes["0 small.png"]
    assert place.samefile(photos / "0 big.png")


def test_a_second_name_of_before_stays(tmp_path, photos, client):
    (tmp_path / "gone").mkdir()
    os.link(photos / "in" / "0 small.png", tmp_path / "gone" / "0 small.png")
    db = project(tmp_path, client)
    db.apply(db.plan(), "move", tmp_path / "gone")
    db.undo()
    assert names(tmp_path / "gone") == ["0 small.png"]
    assert len(names(photos)) == 4


def test_the_newest_is_the_newest_in_every_time_zone(monkeypatch, tmp_path):
    made = []
    for zone in ("Asia/Tokyo", "America/New_York", "UTC"):
        monkeypatch.setenv("TZ", zone)
        time.tzset()
        made.append(new_journal("x"))
    monkeypatch.undo()
    time.tzset()
    assert made == sorted(made)


def test_damaged_journals_break_nothing(tmp_path, photos, client):
    db = project(tmp_path, client)
    before = contents(photos)
    db.apply(db.plan(), "move", tmp_path / "gone")
    (good,) = journals()
    folder = good.path.parent
    lines = [
        b"1",
        b"[]",
        b'{"action": "move"}',
        b'{"action": "x", "path": "/y"}',
        b'{"action": "move", "path": "/x"}',
        b'{"action": [], "path": "y"}',
        b"\xff",
        b"[" * 10**5,
    ]
    (folder / "0.jsonl").write_bytes(b"\n".join(lines))
    (folder / "z.jsonl").mkdir()
    (folder / "zz.jsonl").write_bytes(b"\n".join([b'{"action": "begin", "path": "/else"}', *lines]))
    # of one whose first line is damaged, all others count
    good.path.write_bytes(b"\n".join([b"?", *lines, *good.path.read_bytes().split(b"\n")[1:]]))
    found, hopeless = last_to_undo()
    assert (found.store, len(found.lines), found.damaged, hopeless) == ("", 2, 9, [])
    assert "9 lines of it are damaged" in invoke("undo", "--yes")[1]
    assert contents(photos) == before


def test_a_name_of_any_length_fits_into_the_trash(tmp_path, client):
    folder = tmp_path / "photos"
    save(folder / f"{'ä' * 120}.png", picture(1))
    save(folder / "big.png", picture(1, size=16))
    before = contents(folder)
    db = project(tmp_path, client)
    (outcome,) = db.apply(db.plan(), "trash")
    assert outcome.reason is None
    db.undo()
    assert contents(folder) == before


def test_a_journal_on_a_full_disk(tmp_path, photos, client, monkeypatch):
    db = project(tmp_path, client)

    def full(self, *_, **__):
        if self._file is not None:
            raise OSError(28, "No space left on device")
        add(self, *_, **__)
        self._file = Full(self._file)

    class Full:
        def __init__(self, file):
            self.file = file

        def close(self):
            self.file.close()
            raise OSError(28, "No space left on device")

    add = Record.add
    monkeypatch.setattr(Record, "add", full)
    outcomes = db.apply(db.plan(), "move", tmp_path / "gone")
    assert [one.reason for one in outcomes] == ["No space left on device"] * 2
    assert len(names(photos)) == 4
    assert names(tmp_path / "gone") == []


# -- plans and decisions -----------------------------------------------------------------------------------------------


def test_pairs_that_are_no_duplicates_count_in_the_plan(tmp_path, photos, client):
    db = project(tmp_path, client)
    pair = ("0 big.png", "0 small.png")
    file = write_decisions(db, tmp_path / "d.json", {"0 small.png": "remove", "1 small.png": "remove"}, [pair])
    plan = db.plan(decisions=file)
    assert removed(plan) == {"1 small.png": "1 big.png"}
    code, output = invoke("apply", tmp_path / "store", "--decisions", file, "--trash")
    assert (code, "0 big.png" in output.split("stays")[0], "1 image could be removed" in output) == (0, False, True)
    assert db.store.records.read_not_duplicates() == []
    db.apply(plan, "trash")
    assert len(db.store.records.read_not_duplicates()) == 1


def test_each_name_in_decisions_is_looked_at(tmp_path, photos, client):
    db = project(tmp_path, client)
    file = write_decisions(db, tmp_path / "d.json", {"0 small.png": "remove"}, [("0 big.png", "0 small.png")])
    values = json.loads(file.read_text())
    values["marks"][0]["path"] = "/else.png"
    file.write_text(json.dumps(values))
    with pytest.raises(fd.UsageError, match="made for another store"):
        db.plan(decisions=file)
    file.write_text(json.dumps(values | {"marks": {}}))
    with pytest.raises(fd.UsageError, match="must be lists"):
        db.plan(decisions=file)


def test_a_name_with_a_tilde_is_a_name(tmp_path, client, monkeypatch):
    folder = tmp_path / "photos"
    save(folder / "~root" / "a.png", picture(1))
    save(folder / "b.png", picture(1, size=16))
    monkeypatch.chdir(folder)
    with fd.FastDifPy(".", store=tmp_path / "store", client=client, verbose=False) as db:
        db.index_the_dirs()
        db.first_loop_iteration()
        db.second_loop_iteration()
        assert removed(db.plan()) == {"a.png": "b.png"}
        assert db.plan(protect=folder / "~root").chosen == []


def test_a_pair_that_became_one_folder_stays_and_others_go(tmp_path, client):
    one, two = tmp_path / "one", tmp_path / "two"
    for number in range(2):
        save(one / f"{number}.png", picture(number, size=16))
        save(two / f"{number}.png", picture(number))
    save(one / "x.png", picture(1))
    db = project(tmp_path, client, 30.0, "one", "two")
    plan = db.plan()
    assert len(plan.chosen) == 3
    shutil.rmtree(two)
    two.symlink_to(one)
    outcomes = {Path(o.path).name: o.reason for o in db.apply(plan, "trash")}
    assert outcomes.pop("x.png") is None
    assert all(outcomes.values())
    assert names(one) == ["0.png", "1.png"]


def test_a_folder_without_a_name(tmp_path, photos, client):
    db = project(tmp_path, client)
    with pytest.raises(fd.UsageError, match="has no name"):
        db.apply(db.plan(), "move", "")
    assert "--move has no name" in invoke("apply", tmp_path / "store", "--move", "", "--yes")[1]
    assert "protect names pisc, which is no folder" in invoke("apply", tmp_path / "store", "--protect", "pisc")[1]


def test_a_report_replaces_reports_alone(tmp_path, photos, client):
    db = project(tmp_path, client)
    before = contents(photos)
    with pytest.raises(fd.UsageError, match="is no report; name another file"):
        db.report(photos / "0 big.png")
    assert contents(photos) == before
    for _ in range(2):
        assert db.report(tmp_path / "r.html") == 2


def test_moving_over_two_file_systems_can_be_undone_after_a_kill(tmp_path, photos, client, monkeypatch):
    """The copy has its name only when it is whole."""
    db = project(tmp_path, client)
    before = contents(photos)
    monkeypatch.setattr("fastdiff_dask.actions.files.file_moves.link_file", lambda *_: None)
    db.apply(db.plan(), "move", tmp_path / "gone")
    left = itertools.count()

    def killed(source, target, **options):
        if next(left) == 0:
            raise KeyboardInterrupt
        return link(source, target, **options)

    link = os.link
    monkeypatch.setattr(os, "link", killed)
    with pytest.raises(KeyboardInterrupt):
        db.undo()
    assert all(one.reason is None for one in db.undo())
    assert contents(photos) == before


# -- what a second review found ----------------------------------------------------------------------------------------


def test_a_file_system_with_coarser_times(tmp_path, photos, client, monkeypatch):
    """Such as FAT, and others made long ago: the copy has whole seconds."""
    monkeypatch.setattr("fastdiff_dask.actions.files.file_moves.link_file", lambda *_: None)
    copystat = shutil.copystat

    def coarse(source, target, **options):
        copystat(source, target, **options)
        if Path(target).parent == tmp_path / "gone":
            whole = Path(source).stat().st_mtime_ns // 10**9 * 10**9
            os.utime(target, ns=(whole, whole))

    monkeypatch.setattr(shutil, "copystat", coarse)
    for path in photos.rglob("*.png"):
        os.utime(path, ns=(10**18 + 123, 10**18 + 123))
    before = contents(photos)
    db = project(tmp_path, client)
    assert all(one.reason is None for one in db.apply(db.plan(), "move", tmp_path / "gone"))
    assert all(one.reason is None for one in db.undo())
    assert contents(photos) == before


@pytest.mark.parametrize("action", ["delete", "trash"])
def test_a_chain_over_two_calls_with_another_name_in_between(tmp_path, client, action):
    """a ~ b, b ~ c, not a ~ c: what b is called does not matter."""
    folder = tmp_path / "photos"
    save(folder / "a.png", picture(2, 0))
    save(folder / "b.png", picture(2, 3, size=16))
    db = project(tmp_path, client)
    db.apply(db.plan(), action)
    assert names(folder) == ["b.png"]
    (folder / "b.png").rename(folder / "renamed.png")
    save(folder / "c.png", picture(2, 6, size=32))
    db = project(tmp_path, client)
    plan = db.plan()
    assert plan.chosen == []
    assert ("undo brings that back" in plan.skipped[0].reason) == (action == "trash")
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(History, "why_needed", lambda *_: None)
        blind = db.plan()
    assert len(blind.chosen) == 1
    assert "went for it before" in db.apply(blind, "delete")[0].reason


def test_what_a_symbolic_link_of_the_user_leads_to_stays(tmp_path, photos, client):
    (photos / "album").mkdir()
    (photos / "album" / "x.png").symlink_to(photos / "in" / "0 small.png")
    db = project(tmp_path, client)
    plan = db.plan()
    assert removed(plan) == {"1 small.png": "1 big.png"}
    assert plan.skipped[0].reason == f"the symbolic link {photos / 'album' / 'x.png'} leads to it"
    marks = write_decisions(db, tmp_path / "d.json", {"0 small.png": "remove"})
    assert db.plan(decisions=marks).chosen == []


def test_links_whose_image_cannot_come_back_do_not_block_what_can(tmp_path, photos, client):
    db = project(tmp_path, client)
    plan = db.plan()
    first, second = (replace(plan, chosen=[one]) for one in plan.chosen)
    db.apply(first, "move", tmp_path / "gone")
    db.apply(second, "hardlink")
    shutil.rmtree(trash(tmp_path))
    assert [one.reason for one in db.undo()] == [None]
    assert (photos / "in" / "0 small.png").exists()
    with pytest.raises(fd.UsageError, match="nothing to undo"):
        db.undo()


def test_a_journal_that_names_other_files_removes_none(tmp_path, photos, client):
    db = project(tmp_path, client)
    db.apply(db.plan(), "trash")
    (journal,) = journals()
    lines = [json.loads(line) for line in journal.path.read_bytes().splitlines()]
    for line in lines:
        if "info" in line:
            line["info"] = str(photos / "0 big.png")
    journal.path.write_text("\n".join(map(json.dumps, lines)) + "\n")
    db.undo()
    assert len(names(photos)) == 4


def test_what_a_kill_left_is_cleared_away(tmp_path, photos, client):
    db = project(tmp_path, client)
    left = [photos / "in" / f".fastdiff-{'0a' * 16}.partial", photos / f".fastdiff-{'b' * 32}.partial"]
    mine = [photos / f".{'b' * 32}.partial", photos / "in" / ".fastdiff-x.partial"]
    for path in left + mine:
        path.write_bytes(b"x")
    db.apply(db.plan(), "hardlink")
    assert [path.exists() for path in left + mine] == [False, False, True, True]
    left[0].write_bytes(b"x")
    db.undo()
    assert not left[0].exists()


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid(), reason="only the superuser may give files away")
def test_the_owner_stays_the_same(tmp_path, photos, client, monkeypatch):
    shutil.copy2(photos / "0 big.png", photos / "0 copy.png")
    for path in photos.rglob("*.png"):
        os.chown(path, 1234, 1235)
    monkeypatch.setattr("fastdiff_dask.actions.files.file_moves.link_file", lambda *_: None)
    for action in ("move", "hardlink"):
        db = project(tmp_path, client)
        db.apply(db.plan(), action, tmp_path / "gone" if action == "move" else None)
        db.undo()
        assert {(path.stat().st_uid, path.stat().st_gid) for path in photos.rglob("*.png")} == {(1234, 1235)}


def test_what_has_changed_does_not_block_what_has_not(tmp_path, photos, client):
    db = project(tmp_path, client)
    plan = db.plan()
    first, second = (replace(plan, chosen=[one]) for one in plan.chosen)
    db.apply(first, "move", tmp_path / "gone1")
    db.apply(second, "move", tmp_path / "gone2")
    os.utime(next((tmp_path / "gone2").iterdir()))
    code, output = invoke("undo", "--yes")
    assert code == 0
    assert "is gone from there, or has changed" in output
    assert names(photos / "in") == ["0 small.png"]


def test_a_link_stays_when_nothing_can_come_in_its_place(tmp_path, photos, client):
    db = project(tmp_path, client)
    db.apply(db.plan(), "symlink")
    place = photos / "in" / "0 small.png"
    os.utime(trash(tmp_path) / "files" / "0 small.png")
    output = invoke("undo")[1]
    assert output.count("small.png") == 2  # each once
    db.undo()
    assert place.is_symlink()
    assert not (photos / "in" / "1 small.png").is_symlink()


def test_extended_attributes_are_not_lost(tmp_path, photos, client):
    shutil.copy2(photos / "0 big.png", photos / "0 copy.png")
    db = project(tmp_path, client)
    (goes,) = [Path(one.path) for one in db.plan().chosen if one.path.endswith(("big.png", "copy.png"))]
    try:
        os.setxattr(goes, "user.tags", b"holiday")
    except (OSError, AttributeError):
        pytest.skip("this file system has no extended attributes")
    db.apply(db.plan(), "symlink")
    assert goes.is_symlink()
    db.undo()
    assert os.getxattr(goes, "user.tags") == b"holiday"


def test_users_that_there_are_not(tmp_path, photos, client):
    db = project(tmp_path, client)
    with pytest.raises(fd.UsageError, match="protect= names ~nosuch/x, which is no folder"):
        db.plan(protect="~nosuch/x")
    (tmp_path / "s.toml").write_text('p_root_dir_a = ["~nosuch/photos"]\nignore_paths = ["~nosuch"]')
    with pytest.raises(fd.UsageError, match="~nosuch"):
        fd.FastDifPy.from_config(tmp_path / "s.toml")


@pytest.mark.parametrize("decided", [False, True])
def test_copies_of_what_something_went_for_may_go(tmp_path, client, decided):
    """b went for a; of two that are equal to a byte by byte, one stays, whatever else is similar to them."""
    folder = tmp_path / "photos"
    save(folder / "a.png", picture(2, 3, size=16))
    save(folder / "b.png", picture(2, 0))
    db = project(tmp_path, client)
    db.apply(db.plan(), "delete")
    for number in range(2):
        shutil.copy2(folder / "a.png", folder / f"a {number}.png")
    save(folder / "c.png", picture(2, 6, size=32))
    db = project(tmp_path, client)
    copies = ["a 0.png", "a 1.png", "a.png"]
    if decided:
        marks = dict.fromkeys(copies[1:], "remove")
        plan = db.plan(decisions=write_decisions(db, tmp_path / "d.json", marks))
    else:
        plan = db.plan()
    assert len(plan.chosen) == 2
    assert {Path(one.kept).name for one in plan.chosen} <= set(copies)
    assert [one.reason for one in db.apply(plan, "trash")] == [None, None]
    assert len(names(folder)) == 2
    # and all of them marked, none of which is left, is too much
    db = project(tmp_path, client)
    (left,) = set(names(folder)) - {"c.png"}
    marks = write_decisions(db, tmp_path / "d.json", {left: "remove"})
    assert db.plan(decisions=marks).chosen == []
    assert project(tmp_path, client).plan().chosen == []


# -- what went before --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("action", ["--trash", "--delete", "--hardlink", "--symlink"])
def test_what_went_before_is_left_out_without_a_find(tmp_path, photos, client, action):
    project(tmp_path, client)
    assert invoke("apply", tmp_path / "store", action, "--yes")[0] == 0
    code, output = invoke("apply", tmp_path / "store", action, "--yes")
    assert code == 0
    assert "2 images of this result went by an earlier apply: find, run again, brings it up to date" in output
    assert "stays" not in output
    invoke("undo", "--yes")
    assert ("earlier apply" in invoke("apply", tmp_path / "store")[1]) == (action == "--delete")
    if action == "--delete":
        save(photos / "in" / "0 small.png", picture(0))
        assert "1 image of this result went by an earlier apply" in invoke("apply", tmp_path / "store")[1]


def test_what_went_before_is_kept_for_nothing(tmp_path, client):
    """Else an image would go for one that is not there."""
    for number, name in enumerate("abc"):
        save(tmp_path / "photos" / f"{name}.png", picture(2, number), age=number)
    db = project(tmp_path, client)
    plan = db.plan(keep="oldest")
    assert removed(plan) == {"a.png": "c.png", "b.png": "c.png"}
    db.apply(replace(plan, chosen=[one for one in plan.chosen if one.path.endswith("a.png")]), "trash")
    plan = db.plan(keep="newest")
    assert (removed(plan), plan.went) == ({}, 1)
    assert [Path(one.path).name for one in plan.skipped] == ["c.png"]


@pytest.mark.parametrize("action", ["trash", "symlink"])
def test_what_was_killed_before_it_lost_its_first_name_has_no_two_names(tmp_path, photos, client, action, monkeypatch):
    db = project(tmp_path, client)
    plan = db.plan()

    class Killed(BaseException):
        pass

    def killed(path, *_, **__):
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr("fastdiff_dask.actions.files.file_moves.discard", lambda path: False)
        patched.setattr(Path, "replace" if action == "symlink" else "unlink", killed)
        with pytest.raises(Killed):
            db.apply(plan, action)
    assert len(names(trash(tmp_path) / "files")) == 1
    db.apply(db.plan(), action)
    assert names(trash(tmp_path) / "files") == ["0 small.png", "1 small.png"]
    assert len(list((trash(tmp_path) / "info").iterdir())) == 2
    db.undo()
    assert names(trash(tmp_path)) == []
    assert len(names(photos)) == 4


# -- names and dates come back -----------------------------------------------------------------------------------------


@pytest.fixture
def memory(tmp_path):
    """A folder on a file system without disk, which has all dates."""
    if not os.access("/dev/shm", os.W_OK) or Path("/dev/shm").stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("no other file system here")
    folder = Path(tempfile.mkdtemp(dir="/dev/shm"))
    yield folder
    shutil.rmtree(folder)


@pytest.mark.parametrize("action", ["move", "hardlink", "symlink"])
def test_hard_links_are_one_file_again(tmp_path, memory, client, action):
    kept = save(tmp_path / "photos" / "kept.png", picture(1), age=99)
    first = save(tmp_path / "photos" / "sub" / "one.png", picture(1))
    second = tmp_path / "photos" / "two.png"
    os.link(first, second)
    db = project(tmp_path, client, 0.0)
    plan = db.plan(keep="oldest")
    assert len(plan.chosen) == 1
    db.apply(plan, action, memory if action == "move" else None)
    db.undo()
    assert first.samefile(second)
    assert not kept.samefile(first)
    assert kept.stat().st_nlink == 1


@pytest.mark.parametrize("seconds", [-11_644_473_600, 15_032_385_535])
@pytest.mark.parametrize("action", ["move", "hardlink", "symlink"])
def test_dates_that_another_file_system_lacks_come_back(tmp_path, memory, client, action, seconds):
    save(memory / "photos" / "a.png", picture(1))
    odd = save(memory / "photos" / "copy of a.png", picture(1))
    os.utime(odd, (seconds, seconds))
    db = fd.FastDifPy(memory / "photos", store=tmp_path / "store", client=client, verbose=False, **SIZE)
    db.index_the_dirs()
    db.first_loop_iteration()
    db.second_loop_iteration(0.0)
    plan = db.plan(keep="newest" if seconds < 0 else "oldest")
    assert [Path(one.path).name for one in plan.chosen] == [odd.name]
    db.apply(plan, action, tmp_path / "gone" if action == "move" else None)
    db.undo()
    assert odd.stat().st_mtime_ns == seconds * 10**9
