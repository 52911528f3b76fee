"""Images that may go, and nothing is lost when they go: every guarantee with a test that tries to break it."""

import itertools
import json
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from support.command_line import invoke
from support.removals import contents, picture, pictures_in, project, removed, save, trash, write_decisions

import fastdiff_dask as fd
from fastdiff_dask.actions.action import ACTIONS
from fastdiff_dask.actions.decisions import Decisions
from fastdiff_dask.actions.journal import journals
from fastdiff_dask.actions.removal_plan import plan_removals
from fastdiff_dask.actions.removals import Outcome
from fastdiff_dask.results.keep_rules import RULES, KeepRules
from fastdiff_dask.storage.store import Store


@pytest.fixture
def photos(tmp_path) -> Path:
    """Two clusters: a picture with an equal copy, and a similar one; a chain x – y – z; and one alone."""
    folder = tmp_path / "photos"
    save(folder / "a.png", picture(1, size=16), age=1)
    save(folder / "a small.png", picture(1), age=2)
    shutil.copy2(folder / "a.png", folder / "a best.png")
    save(folder / "sub" / "a 2.png", picture(1, 2), age=3)
    for number, name in enumerate("xyz"):
        save(folder / f"{name}.png", picture(2, 3 * number), age=number)
    save(folder / "alone.png", picture(3))
    return folder


# -- what may go -------------------------------------------------------------------------------------------------------


def test_the_plan_of_the_photos(tmp_path, photos, client):
    db = project(tmp_path, client)
    plan = db.plan()
    # x and z are not similar: y goes for x, and z stays
    assert removed(plan) == {
        "a small.png": "a best.png",
        "a.png": "a best.png",
        "a 2.png": "a best.png",
        "y.png": "x.png",
    }
    assert {Path(one.path).name: one.why for one in plan.chosen} == {
        "a small.png": "fewer pixels",
        "a.png": "equal, and later by name",
        "a 2.png": "fewer pixels",
        "y.png": "equal, and later by name",
    }
    frame = plan.to_frame()
    assert list(frame) == ["remove", "keep", "why", "mse", "bytes"]
    assert dict(zip(map(os.path.basename, frame["remove"]), frame.mse, strict=True))["a 2.png"] == 12.0
    assert plan.size == sum(Path(one.path).stat().st_size for one in plan.chosen) == frame.bytes.sum()
    assert removed(db.plan(similarity=1.0)) == {"a small.png": "a best.png", "a.png": "a best.png"}


@pytest.mark.parametrize(
    ("rule", "kept"),
    [
        ("most-pixels", "big"),
        ("largest", "heavy"),
        ("oldest", "old"),
        ("newest", "new"),
        ("shortest-path", "s"),
    ],
)
def test_each_rule_keeps_its_own(tmp_path, client, rule, kept):
    folder = tmp_path / "photos"
    save(folder / "big.png", picture(1, size=32), age=10)
    heavy = save(folder / "heavy.bmp", picture(1, size=24))
    heavy.write_bytes(heavy.read_bytes() + bytes(9000))
    os.utime(heavy, ns=(10**18 - 11 * 10**9,) * 2)
    save(folder / "old.png", picture(1), age=99)
    save(folder / "new.png", picture(1), age=1)
    save(folder / "s.png", picture(1), age=12)
    db = project(tmp_path, client)
    plan = db.plan([rule])
    assert {Path(one.kept).stem for one in plan.chosen} == {kept}
    assert len(plan.chosen) == 4
    # composed, the first one counts most
    assert {Path(one.kept).stem for one in db.plan([rule, "oldest", "newest"]).chosen} == {kept}


def test_rules_decide_one_after_the_other(tmp_path, client):
    for name, size, age in (("a", 8, 1), ("b", 16, 2), ("c", 16, 3)):
        save(tmp_path / "photos" / f"{name}.png", picture(1, size=size), age)
    db = project(tmp_path, client)
    assert set(removed(db.plan(["most-pixels", "oldest"])).values()) == {"c.png"}
    assert set(removed(db.plan(["most-pixels", "newest"])).values()) == {"b.png"}
    assert set(removed(db.plan("newest")).values()) == {"a.png"}
    with pytest.raises(fd.UsageError, match="no rule 'best'; use most-pixels, fewest-pixels, largest"):
        db.plan(["best"])
    assert set(removed(db.plan("path=[ab].png")).values()) == {"b.png"}
    # functions and names in one list, in Python
    assert set(removed(db.plan(["path=[ab].png", lambda rows: rows["size"].idxmin()])).values()) == {"a.png"}
    assert set(removed(db.plan(lambda rows: rows["size"].idxmin())).values()) == {"a.png"}


def test_preferred_and_protected_folders(tmp_path, client, monkeypatch):
    for place, size in (("one", 32), ("two", 16), ("three", 8), ("two/in", 8)):
        save(tmp_path / "photos" / place / "p.png", picture(1, size=size))
    db = project(tmp_path, client)

    def kept(**options) -> tuple[set[str], set[str]]:
        plan = db.plan(**options)
        short = [str(Path(one).parent.relative_to(tmp_path / "photos")) for one in {c.kept for c in plan.chosen}]
        return set(short), {str(Path(s.path).parent.relative_to(tmp_path / "photos")) for s in plan.skipped}

    assert kept() == ({"one"}, set())
    assert kept(prefer=tmp_path / "photos" / "three") == ({"three"}, set())
    assert kept(prefer=[tmp_path / "photos" / "two", tmp_path / "photos" / "three"]) == ({"two"}, set())
    monkeypatch.chdir(tmp_path)
    assert kept(prefer="photos/two/../three") == ({"three"}, set())
    (tmp_path / "link").symlink_to(tmp_path / "photos" / "two" / "in")
    assert kept(prefer="link") == ({"two/in"}, set())
    assert kept(protect=tmp_path / "photos" / "two") == ({"one"}, {"two", "two/in"})
    with pytest.raises(fd.UsageError, match="protect= names photos/tw, which is no folder"):
        kept(protect=["photos/tw"])
    with pytest.raises(fd.UsageError, match="prefer= names x, which is no folder"):
        kept(prefer=["x"])
    (tmp_path / "photos" / "tw").mkdir()
    for name in ("protect", "prefer"):
        with pytest.raises(fd.UsageError, match=f"{name}= names photos/tw, in which none of the images lies; name the"):
            kept(**{name: ["photos/tw"]})
    save(tmp_path / "photos" / "tw" / "alone.png", picture(3))
    db.index_the_dirs()
    db.first_loop_iteration()
    db.second_loop_iteration(30.0)
    assert kept(protect=["photos/tw"]) == ({"one"}, set())
    # protected images are not better for that
    assert kept(protect=["photos/two"], keep=["most-pixels"])[0] == {"one"}


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    shifts=st.lists(st.tuples(st.integers(0, 1), st.integers(0, 9)), min_size=2, max_size=9),
    threshold=st.sampled_from([0.0, 3.0, 12.0, 48.0]),
    rules=st.lists(st.sampled_from(sorted(RULES)), max_size=2),
    marks=st.none() | st.lists(st.sampled_from(["keep", "remove", ""]), min_size=9, max_size=9),
)
def test_whatever_goes_is_similar_to_what_is_kept(tmp_path_factory, client, shifts, threshold, rules, marks):
    folder = tmp_path_factory.mktemp("chosen")
    for number, (seed, shift) in enumerate(shifts):
        save(folder / "photos" / f"{number}.png", picture(seed, shift), age=number * 7 % 5)
    db = project(folder, client, 48.0)
    result = db.result(threshold)
    decided = None
    if marks is not None:
        numbers = {int(Path(path).stem): int(image) for path, image in result.images["image"].items()}
        decided = {image: marks[name] for name, image in numbers.items() if marks[name]}
    plan = plan_removals(db.store, result, KeepRules(rules=tuple(rules)), Decisions(decided))
    gone = {int(Path(one.path).stem): int(Path(one.kept).stem) for one in plan.chosen}
    similar = {
        (x, y)
        for x, y in itertools.permutations(range(len(shifts)), 2)
        if shifts[x][0] == shifts[y][0] and 3 * (shifts[x][1] - shifts[y][1]) ** 2 <= threshold
    }
    assert all((x, kept) in similar and kept not in gone for x, kept in gone.items())
    for one, (x, kept) in zip(plan.chosen, gone.items(), strict=True):
        assert one.value == 3 * (shifts[x][1] - shifts[kept][1]) ** 2
    left = set(range(len(shifts))) - set(gone)
    if decided is None:
        # nothing stays that could go
        assert not any((x, y) in similar for x in left for y in left)
    else:
        wanted = {name for name, image in numbers.items() if decided.get(image) == "remove"}
        assert set(gone) <= wanted
        stays = wanted - set(gone)
        assert all((x, y) not in similar for x in stays for y in range(len(shifts)) if y not in wanted)
        assert {int(Path(one.path).stem) for one in plan.skipped} == stays


def test_many_equal_pictures_are_no_matter(tmp_path, client):
    (tmp_path / "photos").mkdir()
    for number in range(300):
        Image.new("RGB", (8, 8), (9, 9, 9)).save(tmp_path / "photos" / f"{number:03}.png")
    Image.new("RGB", (8, 8), (10, 9, 9)).save(tmp_path / "photos" / "near.png")
    db = project(tmp_path, client)
    start = time.monotonic()
    plan = db.plan()
    assert time.monotonic() - start < 5
    assert len(plan.chosen) == 300
    assert {Path(one.kept).name for one in plan.chosen} == {"000.png"}


# -- and that it goes --------------------------------------------------------------------------------------------------


def test_moved_and_back(tmp_path, photos, client):
    before = contents(photos)
    db = project(tmp_path, client)
    save(tmp_path / "gone" / "a.png", picture(9))
    plan = db.plan()
    outcomes = db.apply(plan, "move", tmp_path / "gone")
    assert all(one.reason is None for one in outcomes)
    assert sorted(path.name for path in (tmp_path / "gone").iterdir()) == [
        *("a 2.png", "a small.png", "a.png", "a_1.png", "y.png")
    ]
    assert sorted(Path(path).name for path in contents(photos)) == ["a best.png", "alone.png", "x.png", "z.png"]
    # in another process
    code = f"import fastdiff_dask as fd; print(len(fd.FastDifPy.from_store({str(tmp_path / 'store')!r}).undo()))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "4\n"
    assert contents(photos) == before
    assert [path.name for path in (tmp_path / "gone").iterdir()] == ["a.png"]
    with pytest.raises(fd.UsageError, match="nothing to undo"):
        db.undo()


def test_trashed_and_back(tmp_path, photos, client):
    before = contents(photos)
    db = project(tmp_path, client)
    save(trash(tmp_path) / "files" / "a.png", picture(9))
    (trash(tmp_path) / "info").mkdir()
    (trash(tmp_path) / "info" / "y.png.trashinfo").write_text("taken")
    db.apply(db.plan(), "trash")
    files = {path.name for path in (trash(tmp_path) / "files").iterdir()}
    infos = {path.name for path in (trash(tmp_path) / "info").iterdir()}
    assert files == {"a.png", "a 2.png", "a small.png", "a_1.png", "y_1.png"}
    assert infos == {f"{name}.trashinfo" for name in (files - {"a.png"}) | {"y.png"}}
    text = (trash(tmp_path) / "info" / "a 2.png.trashinfo").read_text().splitlines()
    assert text[0] == "[Trash Info]"
    assert text[1] == f"Path={photos}/sub/a%202.png"
    assert text[2].startswith("DeletionDate=20")
    assert oct((trash(tmp_path) / "files").parent.stat().st_mode & 0o777) == "0o700" or (trash(tmp_path)).exists()
    assert all(one.reason is None for one in db.undo())
    assert contents(photos) == before
    assert {path.name for path in (trash(tmp_path) / "info").iterdir()} == {"y.png.trashinfo"}


def test_deleted_for_good(tmp_path, photos, client):
    before = contents(photos)
    db = project(tmp_path, client)
    db.apply(db.plan(), "delete")
    assert sorted(Path(path).name for path in contents(photos)) == ["a best.png", "alone.png", "x.png", "z.png"]
    with pytest.raises(fd.UsageError, match="what was deleted cannot come back"):
        db.undo()
    assert len(contents(photos)) < len(before)


@pytest.mark.parametrize("kind", ["hardlink", "symlink"])
def test_linked_and_back(tmp_path, photos, client, kind):
    before = contents(photos)
    db = project(tmp_path, client)
    outcomes = {Path(one.path).name: one for one in db.apply(db.plan(), kind)}
    assert all(one.reason is None for one in outcomes.values())
    kept = photos / "a best.png"
    for name in ("a.png", "a small.png", "sub/a 2.png"):
        assert (photos / name).is_symlink() == (kind == "symlink")
        assert (photos / name).samefile(kept)
    # what is not equal is in the trash, and what is equal is nowhere
    assert {path.name for path in (trash(tmp_path) / "files").iterdir()} == {"a small.png", "a 2.png", "y.png"}
    assert outcomes["a.png"].to is None
    assert not list(tmp_path.rglob("*.partial"))
    assert all(one.reason is None for one in db.undo())
    assert contents(photos) == before
    assert not any((photos / name).is_symlink() for name in ("a.png", "a small.png"))
    assert (photos / "a.png").stat().st_nlink == 1


def test_undone_one_call_after_the_other(tmp_path, photos, client):
    before = contents(photos)
    db = project(tmp_path, client)
    db.apply(db.plan(similarity=0.0), "move", tmp_path / "first")
    middle = contents(photos)
    again = project(tmp_path, client)
    again.apply(again.plan(), "trash")
    assert contents(photos) != middle
    again.undo()
    assert contents(photos) == middle
    again.undo()
    assert contents(photos) == before


# -- what must stay ----------------------------------------------------------------------------------------------------


def reasons(outcomes: list[Outcome]) -> dict[str, str | None]:
    return {Path(one.path).name: one.reason for one in outcomes}


def change_content(path: Path) -> None:
    """As a camera or an editor may do: another picture with the size and the time of the former one."""
    status, content = path.stat(), bytearray(path.read_bytes())
    content[-20] ^= 255
    path.write_bytes(content)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


FAULTS = ["content", "time", "size", "gone", "symlink", "hardlink", "folder", "unreadable"]
ENDS = ["a.png", "a best.png"]


@pytest.mark.parametrize(
    ("action", "end", "fault"),
    [
        *((action, end, "content") for action in ACTIONS for end in ENDS),
        # what is looked at is the same for all of them
        *zip(itertools.cycle(ACTIONS), ENDS * 7, sorted(FAULTS[1:] * 2), strict=False),
    ],
)
def test_what_changed_meanwhile_stays(tmp_path, photos, client, action, end, fault):
    db = project(tmp_path, client)
    plan = db.plan()
    other = photos / ("a best.png" if end == "a.png" else "a.png")
    path, before = photos / end, contents(photos)
    match fault:
        case "content":
            change_content(path)
        case "time":
            os.utime(path)
        case "size":
            path.write_bytes(path.read_bytes() + b"x")
        case "gone":
            path.unlink()
        case "symlink":
            path.unlink()
            path.symlink_to(other)
        case "hardlink":
            path.unlink()
            path.hardlink_to(other)
        case "folder":
            path.unlink()
            path.mkdir()
        case "unreadable":
            status = path.stat()
            path.write_bytes(b"x" * status.st_size)
            os.utime(path, ns=(status.st_mtime_ns, status.st_mtime_ns))
    folder, command = tmp_path / "gone" if action in ("move", "copy") else None, "rm {}" if action == "exec" else None
    found = reasons(db.apply(plan, action, folder, command=command))
    # as a second name of the other one, what is kept is as it was for the rest
    stays = {"a.png"} if end == "a.png" or fault == "hardlink" else {"a.png", "a small.png", "a 2.png"}
    assert {name for name, reason in found.items() if reason is not None} == stays
    words = {
        "content": "has changed since it was compared",
        "time": "has changed since it was compared",
        "size": "has changed since it was compared",
        "gone": "is not there any more",
        "symlink": "is a symbolic link",
        "hardlink": "the same file as the one to keep",
        "folder": "no regular file",
        "unreadable": "cannot be read now|has changed since",
    }
    if fault == "hardlink":  # for the others the file to keep is there as it was
        assert "same file" in str(found["a.png"])
    else:
        assert all(re.search(words[fault], str(found[name])) for name in stays)
    # nothing is lost: each content is there, but for what was deleted or replaced by an equal file
    if action not in ("delete", "exec"):
        lost = {digest for digest, _ in before.values()} - pictures_in(photos, tmp_path / "gone", trash(tmp_path))
        changed = {before[str(path)][0]} if fault in ("content", "size", "unreadable", "gone", "folder") else set()
        assert lost <= changed


def test_pictures_that_are_not_similar_when_they_are_read_again_stay(tmp_path, photos, client, monkeypatch):
    """As when another version of a decoder makes other thumbnails."""
    db = project(tmp_path, client)
    plan = db.plan()
    monkeypatch.setattr("fastdiff_dask.actions.verify.similar_pairs", lambda *_, **__: np.zeros((0, 4), np.int64))
    before = contents(photos)
    assert all("not similar to" in str(reason) for reason in reasons(db.apply(plan, "delete")).values())
    assert contents(photos) == before


def test_an_error_in_the_middle_stops_nothing_else(tmp_path, photos, client, monkeypatch):
    db = project(tmp_path, client)
    original, calls = os.link, itertools.count()

    def link(*arguments, **options):
        if next(calls) == 1:
            raise OSError(28, "No space left on device")
        return original(*arguments, **options)

    monkeypatch.setattr(os, "link", link)

    def copy(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("fastdiff_dask.actions.files.file_moves.copy_file", copy)
    before = pictures_in(photos)
    found = reasons(db.apply(db.plan(), "move", tmp_path / "gone"))
    assert sorted(reason or "" for reason in found.values()) == ["", "", "", "No space left on device"]
    assert pictures_in(photos, tmp_path / "gone") == before


def test_across_file_systems_it_is_copied_and_verified(tmp_path, photos, client, monkeypatch):
    def link(*_, **__):
        raise OSError(18, "Invalid cross-device link")

    before = contents(photos)
    db = project(tmp_path, client)
    monkeypatch.setattr(os, "link", link)
    assert all(one.reason is None for one in db.apply(db.plan(), "move", tmp_path / "gone"))
    assert len(list((tmp_path / "gone").iterdir())) == 4
    assert all(one.reason is None for one in db.undo())
    assert contents(photos) == before
    assert set(reasons(db.apply(db.plan(), "hardlink")).values()) == {"Invalid cross-device link"}
    assert contents(photos) == before


def test_undo_overwrites_nothing(tmp_path, photos, client):
    db = project(tmp_path, client)
    db.apply(db.plan(), "move", tmp_path / "gone")
    save(photos / "y.png", picture(7))
    change_content(tmp_path / "gone" / "a small.png")
    os.utime(tmp_path / "gone" / "a small.png")
    (tmp_path / "gone" / "a 2.png").unlink()
    after = pictures_in(photos, tmp_path / "gone")
    found = reasons(db.undo())
    assert {name: reason.split("/")[0] for name, reason in found.items() if reason} == {
        "y.png": "there is another file in its place",
        "a small.png": "",
        "a 2.png": "",
    }
    assert (photos / "a.png").exists()
    assert pictures_in(photos, tmp_path / "gone") == after
    # what was in the way goes away, and it can be tried again
    (photos / "y.png").unlink()
    assert reasons(db.undo())["y.png"] is None


def test_folders_and_actions_that_cannot_be_used(tmp_path, photos, client):
    db = project(tmp_path, client)
    plan = db.plan()
    for action, folder, message in (
        ("burn", None, "no action 'burn'; use move, trash"),
        ("move", None, "name a folder to move to"),
        ("trash", "x", "trash needs no folder"),
        ("move", photos / "a.png" / "x", "is no folder and cannot be one"),
    ):
        with pytest.raises(fd.UsageError, match=message):
            db.apply(plan, action, folder)
    assert not (tmp_path / "data" / "fastdiff_dask" / "actions").exists()


def test_a_store_of_someone_else_undoes_nothing(tmp_path, photos, client):
    """Journals are in the user's own folder: a store has none that would be believed."""
    db = project(tmp_path, client)
    db.apply(db.plan(), "trash")
    journal = journals()[-1].path
    assert journal.is_relative_to(tmp_path / "data")
    assert not [path for path in (tmp_path / "store").rglob("*") if path.suffix == ".jsonl"]


# -- killed ------------------------------------------------------------------------------------------------------------

KILLED = """
import os, signal, sys
from pathlib import Path
import fastdiff_dask as fd


left = [int(sys.argv[3])]

def counted(function):
    def call(*arguments, **options):
        if not left[0]:
            os.kill(os.getpid(), signal.SIGKILL)
        left[0] -= 1
        return function(*arguments, **options)
    return call

db = fd.FastDifPy.from_store(sys.argv[1], threads=1, verbose=False)
db.second_loop_iteration()
if sys.argv[2] != "undo":
    plan = db.plan()
os.link, os.fsync = counted(os.link), counted(os.fsync)
for name in ("unlink", "replace", "symlink_to", "open"):
    setattr(Path, name, counted(getattr(Path, name)))
if sys.argv[2] == "undo":
    db.undo()
else:
    db.apply(plan, sys.argv[2], sys.argv[4] if sys.argv[2] == "move" else None)
"""


def run_killed(tmp_path: Path, action: str, calls: int) -> int:
    command = [sys.executable, "-c", KILLED, str(tmp_path / "store"), action, str(calls), str(tmp_path / "gone")]
    return subprocess.run(command, capture_output=True, check=False).returncode


@pytest.mark.parametrize("action", ["move", "trash", "hardlink", "symlink"])
@pytest.mark.parametrize("calls", [4, 7, 10])
def test_killed_at_any_moment_nothing_is_lost(tmp_path, photos, client, action, calls):
    see_killed(tmp_path, photos, client, action, calls, (-9,))


def see_killed(tmp_path, photos, client, action, calls, codes):
    before, wanted = contents(photos), pictures_in(photos)
    project(tmp_path, client)
    assert run_killed(tmp_path, action, calls) in codes
    assert pictures_in(photos, tmp_path / "gone", trash(tmp_path)) >= wanted
    # and it comes back, also when that is killed
    if journals():
        for step in (1, 4):
            assert run_killed(tmp_path, "undo", step) in (-9, 0, 1)
            assert pictures_in(photos, tmp_path / "gone", trash(tmp_path)) >= wanted
        db = fd.FastDifPy.from_store(tmp_path / "store", client=client)
        if journals():
            assert all(one.reason is None for one in db.undo())
    after = contents(photos)
    assert {name: after.get(name) for name in before} == before


@pytest.mark.slow
@pytest.mark.parametrize("action", ["move", "trash", "hardlink", "symlink"])
@pytest.mark.parametrize("calls", range(60))
def test_killed_at_every_moment(tmp_path, photos, client, action, calls):
    # the last ones come to their end before
    see_killed(tmp_path, photos, client, action, calls, (-9, 0))


# -- decisions ---------------------------------------------------------------------------------------------------------


def test_only_what_was_marked_goes(tmp_path, photos, client):
    db = project(tmp_path, client)
    marks = {"a best.png": "remove", "a 2.png": "keep", "x.png": "remove", "y.png": "remove"}
    file = write_decisions(db, tmp_path / "d.json", marks)
    plan = db.plan(decisions=file)
    assert removed(plan) == {"a best.png": "a 2.png", "y.png": "z.png"}
    assert [(Path(one.path).name, one.reason) for one in plan.skipped] == [
        ("x.png", "no image that is kept is similar to it")
    ]
    # never the last copy
    everything = {Path(name).name: "remove" for name in db.result().images.index}
    plan = db.plan(decisions=write_decisions(db, tmp_path / "d.json", everything))
    assert (plan.chosen, len(plan.skipped)) == ([], 7)
    file = write_decisions(db, tmp_path / "d.json", marks)
    plan = db.plan(decisions=file, protect=photos / "a best.png")
    assert removed(plan) == {"y.png": "z.png"}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda values: values.pop("format"), "no decisions .KeyError: 'format'"),
        (lambda values: values.update(format="x"), "its format is 'x'"),
        (lambda values: values["marks"][0].update(mark="burn"), "'burn' is no mark"),
        (lambda values: values["marks"][0].update(image=-1), "-1 is no image"),
        (lambda values: values["marks"][0].update(image=True), "True is no image"),
        (lambda values: values["marks"][0].update(path="/x"), "made for another store: image . is /x there"),
        (lambda values: values["marks"][0].update(image=10**9), "and none in"),
        (lambda values: values["marks"].append({**values["marks"][0], "mark": "keep"}), "marked twice"),
        (lambda values: values.update(not_duplicates=[{"images": [1], "paths": []}]), "no decisions"),
        (lambda values: values.update(marks=3), "no decisions"),
    ],
)
def test_files_that_are_no_decisions(tmp_path, photos, client, change, message):
    db = project(tmp_path, client)
    file = write_decisions(db, tmp_path / "d.json", {"y.png": "remove"})
    values = json.loads(file.read_text())
    change(values)
    file.write_text(json.dumps(values))
    with pytest.raises(fd.UsageError, match=message):
        db.plan(decisions=file)
    file.write_bytes(b"\xff{")
    with pytest.raises(fd.UsageError, match="no decisions"):
        db.plan(decisions=file)
    with pytest.raises(fd.UsageError, match="cannot be read: No such file"):
        db.plan(decisions=tmp_path / "none.json")


def test_not_a_duplicate_is_remembered(tmp_path, photos, client):
    db = project(tmp_path, client)
    before = db.result()
    name = str(photos / "x.png"), str(photos / "y.png")
    assert db.not_duplicates([name, name[::-1]]) == 1
    found = project(tmp_path, client)
    assert set(zip(before.pairs.a, before.pairs.b, strict=True)) - set(
        zip(found.pairs.a, found.pairs.b, strict=True)
    ) == {name}
    assert found.result().pair_count == before.pair_count - 1
    assert [Path(one.keep).name for one in found.result().clusters] == ["a best.png", "y.png"]
    assert str(photos / "x.png") not in found.result().images.index
    # whatever the file is called, and in every comparison
    (photos / "x.png").rename(photos / "renamed.png")
    moved = project(tmp_path, client, 40.0)
    assert not any(path.endswith("renamed.png") for path in moved.result().images.index)
    with pytest.raises(fd.UsageError, match="/nowhere is in no similar pair"):
        db.not_duplicates([("/nowhere", "/nowhere")])


def test_copies_that_are_no_duplicates(tmp_path, client):
    """One of many equal pictures is taken out of their group: what it is similar to besides stays."""
    folder = tmp_path / "photos"
    pixels = np.random.default_rng(1).integers(40, 200, (8, 8, 3)).astype(np.uint8)
    for number in range(4):
        save(folder / f"{number}.png", Image.fromarray(np.rot90(pixels, number)))
    save(folder / "near.png", Image.fromarray(pixels + np.uint8(2)))
    Image.fromarray(pixels).save(folder / "other.png")
    db = project(tmp_path, client)
    before = {(Path(a).stem, Path(b).stem): (m, r) for a, b, m, r, *_ in db.pairs.itertuples(index=False)}
    assert len(before) == 15
    excluded = [("0", "1"), ("1", "near"), ("2", "other"), ("0", "other")]
    full = {Path(name).stem: name for name in db.result().images.index}
    # equal files have one content
    db.not_duplicates([(full[a], full[b]) for a, b in excluded])
    after = {(Path(a).stem, Path(b).stem): (m, r) for a, b, m, r, *_ in db.pairs.itertuples(index=False)}
    assert after == {pair: value for pair, value in before.items() if pair not in excluded}
    assert db.result().pair_count == 11


def test_damaged_decisions_are_one_error(tmp_path, photos, client):
    db = project(tmp_path, client)
    for content in (b"x", b"{}", b'{"not_duplicates": [["x", "y"]]}', b'{"not_duplicates": [3]}'):
        (tmp_path / "store" / "decisions.json").write_bytes(content)
        with pytest.raises(fd.FastDiffError, match=r"damaged: decisions\.json"):
            db.result()


# -- on the command line -----------------------------------------------------------------------------------------------


def test_the_commands(tmp_path, photos, client):
    db = project(tmp_path, client)
    before = contents(photos)
    store = tmp_path / "store"
    code, output = invoke("apply", store)
    assert code == 0
    assert "Nothing was done: this is what would happen. --move DIR, --copy DIR, --trash" in output
    assert "4 images could be removed" in output
    code, output = invoke("apply", store, "--delete")
    assert (code, contents(photos)) == (0, before)
    assert "What is deleted cannot be brought back" in output
    assert "fewer pixels" in output
    assert invoke("apply", store, "--yes")[1].startswith("nothing is said to be done")
    assert "--trash and --delete exclude each other" in invoke("apply", store, "--trash", "--delete")[1]
    assert "no rule 'x'" in invoke("apply", store, "--keep", "x")[1]
    assert "leave out --keep" in invoke("apply", store, "--keep", "oldest", "--decisions", "x")[1]
    options = ("--yes", "--threshold", "1", "--prefer", photos / "a.png")
    code, output = invoke("apply", store, "--move", tmp_path / "gone", *options)
    assert (code, output.splitlines()[-2:]) == (0, ["2 files were moved", "fastdiff-dask undo brings them back."])
    assert not (photos / "a best.png").exists()
    code, output = invoke("undo", store)
    assert (code, "--yes brings them back" in output, "2 files moved" in output) == (0, True, True)
    assert contents(photos) != before
    os.chdir(tmp_path)
    code, output = invoke("undo", "store", "--yes")
    assert (code, output.splitlines()[-1], contents(photos)) == (0, "2 files were brought back", before)
    assert "there is nothing to undo" in invoke("undo")[1]
    # a file that changed costs one line, and the exit code
    change_content(photos / "a small.png")
    code, output = invoke("apply", store, "--threshold", 30, "--trash", "--yes", "--protect", photos / "sub")
    assert code == 1
    assert "a small.png stays: it has changed since it was compared" in output
    assert "it is in a protected folder" in output
    assert "2 files were moved to the trash" in output
    assert invoke("undo", "--yes")[0] == 0
    file = write_decisions(db, tmp_path / "d.json", {"y.png": "remove"}, [("a.png", "a 2.png")])
    code, output = invoke("apply", store, "--decisions", file, "--hardlink", "--yes")
    assert (code, output.splitlines()[-2]) == (0, "1 file was replaced by hard links")
    assert "1 pairs are remembered as no duplicates" in output
    assert len(Store(str(store)).records.read_not_duplicates()) == 1
