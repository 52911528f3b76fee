"""A command for each image: no shell, checks before each, and what it did is known to later calls."""

import os
import sys
from pathlib import Path

import pytest
from support.command_line import invoke
from support.removals import contents, picture, project, removed, save

import fastdiff_dask as fd
from fastdiff_dask.actions.action import check_action
from fastdiff_dask.actions.files.commands import command_of, parse_command
from fastdiff_dask.actions.journal import journals


@pytest.fixture
def photos(tmp_path) -> Path:
    folder = tmp_path / "photos"
    save(folder / "best.png", picture(1, size=16))
    save(folder / os.fsdecode(b"$(touch hacked); \xff\n'{keep}.png"), picture(1))
    save(folder / "-b.png", picture(1), age=9)
    return folder


def noting(tmp_path: Path, then: str = "") -> str:
    """A command that writes down its arguments."""
    script = tmp_path / "note.py"
    script.write_text(
        "import os, sys\n"
        f"with open({str(tmp_path / 'noted')!r}, 'ab') as file:\n"
        "    file.write(b'\\0'.join(map(os.fsencode, sys.argv[1:])) + b'\\0\\0')\n" + then
    )
    return f"{sys.executable} '{script}' {{}} --with={{keep}}"


def noted(tmp_path: Path) -> set[tuple[bytes, ...]]:
    return {tuple(line.split(b"\0")) for line in (tmp_path / "noted").read_bytes().split(b"\0\0") if line}


def test_it_is_run_for_each_image_without_a_shell(tmp_path, photos, client):
    db, before = project(tmp_path, client), contents(photos)
    outcomes = db.apply(db.plan(), "exec", command=noting(tmp_path))
    assert [one.reason for one in outcomes] == [None, None]
    best = os.fsencode(photos / "best.png")
    images = {os.fsencode(path) for path in photos.iterdir()} - {best}
    assert noted(tmp_path) == {(image, b"--with=" + best) for image in images}
    assert contents(photos) == before
    assert not Path("hacked").exists()
    # nothing to undo; as the images are still there, nothing went for the kept one
    (journal,) = journals()
    assert [(line["action"], line["left"]) for line in journal.lines] == [("exec", True)] * 2
    assert all(os.fsencode(line["command"][-2]) in images for line in journal.lines)
    with pytest.raises(fd.UsageError, match="nothing to undo"):
        db.undo()
    assert len(db.plan().chosen) == 2
    assert not db.plan().skipped


def test_images_that_a_command_took_away_went_for_good(tmp_path, photos, client):
    save(photos / "better.png", picture(1, 1, size=32))
    db = project(tmp_path, client)
    plan = db.plan(decisions=None, keep=["path=best.png"])
    going = {name: kept for name, kept in removed(plan).items() if name != "better.png"}
    assert set(going.values()) == {"best.png"}
    db.apply(plan, "exec", command=["rm", "-f", "--", "{}"])
    assert sorted(path.name for path in photos.iterdir()) == ["best.png"]
    save(photos / "better.png", picture(1, 1, size=32))
    again = project(tmp_path, client)
    # another image went for it, so that it stays
    assert not again.plan().chosen
    assert "went for it before" in again.plan().skipped[0].reason
    assert "undo" not in again.plan().skipped[0].reason


def test_an_image_stays_and_is_listed_if_its_command_fails(tmp_path, photos, client):
    fails = "if sys.argv[1].endswith('-b.png'):\n    print('no\\nspace left', file=sys.stderr)\n    sys.exit(3)\n"
    db = project(tmp_path, client)
    outcomes = db.apply(db.plan(), "exec", command=noting(tmp_path, fails))
    reasons = {Path(one.path).name: one.reason for one in outcomes}
    assert reasons.pop("-b.png") == "the command ended with exit code 3: space left"
    assert set(reasons.values()) == {None}
    assert len(journals()[0].lines) == 1
    (photos / "-b.png").unlink()
    code, said = invoke("apply", tmp_path / "store", "--exec", "false {}", "--yes-really")
    assert code == 1
    assert "stays: the command ended with exit code 1" in said


def test_a_command_that_fails_after_it_took_the_image_is_remembered(tmp_path, photos, client):
    db = project(tmp_path, client)
    outcomes = db.apply(db.plan(), "exec", command=noting(tmp_path, "os.unlink(sys.argv[1])\nsys.exit(1)\n"))
    assert all("exit code 1" in str(one.reason) for one in outcomes)
    assert [line.get("left") for line in journals()[0].lines] == [None, None]


def test_an_image_that_a_failed_command_took_is_not_said_to_stay(tmp_path, photos, client):
    project(tmp_path, client)
    command = noting(tmp_path, "os.unlink(sys.argv[1])\nsys.exit(1)\n")
    code, said = invoke("apply", tmp_path / "store", "--exec", command, "--yes-really")
    assert code == 1
    assert said.count("is gone: the command ended with exit code 1") == 2
    assert " stays" not in said
    assert "2 of 2 commands failed, or were not run" in said


def test_a_command_that_changes_the_kept_image_is_told(tmp_path, photos, client):
    """As one that writes the image over the better one: nothing else would say that this one is gone."""
    best = (photos / "best.png").read_bytes()
    then = "import shutil\nshutil.copyfile(sys.argv[1], sys.argv[2][7:])\n"
    db = project(tmp_path, client)
    outcomes = db.apply(db.plan(), "exec", command=noting(tmp_path, then))
    assert (photos / "best.png").read_bytes() != best
    assert str(outcomes[0].reason) == f"the command changed {photos / 'best.png'}, the file to keep; look at both"
    assert "has changed since it was compared" in str(outcomes[1].reason)
    assert journals()[0].lines[0]["left"] is True


def test_no_further_command_is_run_once_the_kept_image_is_gone(tmp_path, photos, client):
    db = project(tmp_path, client)
    with pytest.raises(fd.FastDiffError, match=r"took away .*best\.png, the file to keep; no further command"):
        db.apply(db.plan(), "exec", command=noting(tmp_path, "os.unlink(sys.argv[2][7:])\n"))
    assert len(noted(tmp_path)) == 1
    assert len(list(photos.iterdir())) == 2


def test_the_checks_of_the_other_actions_come_before_each(tmp_path, photos, client):
    """The first command changes the other image and the kept one: nothing is run for the second."""
    then = f"for one in os.listdir({str(photos)!r}):\n    os.utime(os.path.join({str(photos)!r}, one))\n"
    db = project(tmp_path, client)
    outcomes = db.apply(db.plan(), "exec", command=noting(tmp_path, then))
    assert len(noted(tmp_path)) == 1
    assert "changed" in str(outcomes[0].reason)
    assert "has changed since it was compared" in str(outcomes[1].reason)


def test_without_yes_nothing_is_run_and_the_command_is_shown(tmp_path, photos, client):
    project(tmp_path, client)
    command = noting(tmp_path)
    code, said = invoke("apply", tmp_path / "store", "--exec", command)
    assert code == 0
    assert "For the first of them: " in said
    assert f"--with={photos / 'best.png'}" in said
    assert "--exec and --yes-really does it" in said
    assert "Nothing that the command does can be brought back" in said
    assert not (tmp_path / "noted").exists()
    code, said = invoke("apply", tmp_path / "store", "--exec", command, "--yes-really")
    assert code == 0
    assert "2 files were given to the command" in said
    assert "brings them back" not in said
    assert len(noted(tmp_path)) == 2
    assert "2 files given to a command" in invoke("undo", "--list")[1]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--exec", "echo"], "--exec 'echo' has no {}"),
        (["--exec", "{} x"], 'x" has no {}'),
        (["--exec", "no-such-program-x {}"], "names no-such-program-x, which is no program that is found"),
        (["--exec", "echo '{}"], "cannot be read: No closing quotation"),
        (["--exec", ""], "--exec has no command"),
        (["--exec", "echo {}", "--trash"], "exclude each other"),
        (["--exec", "echo {}", "--keep-tree"], "--keep-tree is for a folder"),
        (["--exec", "echo {}", "--sidecars", "move"], "--sidecars cannot go with a command"),
    ],
)
def test_a_command_that_cannot_be_used_is_refused(tmp_path, photos, client, options, said):
    project(tmp_path, client)
    code, text = invoke("apply", tmp_path / "store", *options)
    assert code != 0
    assert said in text


def test_paths_are_put_in_once():
    assert command_of(["a", "{}{keep}", "{other}"], "/{keep}", "/{}") == ["a", "/{keep}/{}", "{other}"]
    assert parse_command("echo 'a b' {}") == ("echo", "a b", "{}")
    with pytest.raises(fd.UsageError, match="exec needs a command="):
        check_action("exec", None)
