"""One file under two names that device and inode do not tell apart: whatever the action, it stays."""

import hashlib
import json
import os
from pathlib import Path

import pytest
from support.mounted import overlay, with_mounts
from support.move_kill_driver import seen

from fastdiff_dask.actions.files import two_files
from fastdiff_dask.actions.files.file_moves import delete_files
from fastdiff_dask.actions.files.two_files import clear_leftovers
from fastdiff_dask.actions.journal import Record, acting, unfinished_journals
from fastdiff_dask.actions.removals import Removal, StaysError
from fastdiff_dask.stages.listing.mounts import NUMBERED, type_of_mount

ACT = """
import json, sys
from pathlib import Path
from support.move_kill_driver import seen
from fastdiff_dask.actions.files.file_moves import delete_files, move_files
from fastdiff_dask.actions.journal import Record
from fastdiff_dask.actions.files.links import link_files
from fastdiff_dask.actions.removals import Removal
from fastdiff_dask.actions.files.trash import trash_files

action, file, kept, record, folder = sys.argv[1:]
removals, record = [Removal(seen(Path(file)), seen(Path(kept)))], Record(record, lambda removal: ("", ""))
outcomes = list({
    "move": lambda: move_files(removals, folder, record),
    "trash": lambda: trash_files(removals, record),
    "delete": lambda: delete_files(removals, record),
    "hardlink": lambda: link_files(removals, "hardlink", record),
    "symlink": lambda: link_files(removals, "symlink", record),
}[action]())
print(json.dumps([outcome.reason for outcome in outcomes]))
"""
ACTIONS = ("move", "trash", "delete", "hardlink", "symlink")


@pytest.fixture
def places(tmp_path):
    for name in ("lower", "disk", "target"):
        (tmp_path / name).mkdir()
    return tmp_path


def reason(places: Path, mounts: list[str], action: str, file: str, kept: str) -> str | None:
    names = (places / file, places / kept, places / "record", places / "target")
    return json.loads(with_mounts(mounts, ACT, action, *names))[0]


@pytest.mark.parametrize("action", ACTIONS)
@pytest.mark.parametrize(("file", "kept"), [("disk", "pool"), ("pool", "disk"), ("pool", "lower"), ("other", "pool")])
def test_one_file_seen_through_an_overlay_stays(places, action, file, kept):
    (places / "lower" / "only.png").write_bytes(b"lower")
    mounts = [overlay(places / "pool", places / "lower", places / "disk")]
    if "lower" not in (file, kept):
        (places / "disk" / "only.png").write_bytes(b"only")
    if file == "other":
        mounts.append(overlay(places / "other", places / "more", places / "disk"))
    found = reason(places, mounts, action, f"{file}/only.png", f"{kept}/only.png")
    if kept == "lower":  # an overlay never changes what lies below: that one is left
        assert (places / "lower" / "only.png").read_bytes() == b"lower"
        return
    assert "it is the same file as the one to keep" in found
    assert [path.name for path in (places / "disk").iterdir()] == ["only.png"]
    assert (places / "disk" / "only.png").read_bytes() == b"only"
    assert not (places / "disk" / "only.png").is_symlink()


@pytest.mark.parametrize("action", ["move", "trash", "delete"])
def test_two_files_seen_through_an_overlay_go(places, action):
    for name in ("one.png", "two.png"):
        (places / "disk" / name).write_bytes(b"equal")
    mounts = [overlay(places / "pool", places / "lower", places / "disk")]
    assert reason(places, mounts, action, "disk/one.png", "pool/two.png") is None
    assert [path.name for path in (places / "disk").iterdir()] == ["two.png"]


def test_names_that_fold_to_the_same_are_looked_at(tmp_path, record):
    one, two = tmp_path / "Bild\u00e9.PNG", tmp_path / "bilde\u0301.png"
    for path in (one, two):
        path.write_bytes(b"equal")
    assert [outcome.reason for outcome in delete_files([Removal(seen(one), seen(two))], record())] == [None]
    actions = [json.loads(line)["action"] for line in (tmp_path / "record").read_text().splitlines()]
    assert actions == ["aside", "delete"]


def test_a_file_system_of_this_machine_costs_nothing(tmp_path, record):
    if type_of_mount(tmp_path / "x") not in NUMBERED:
        pytest.skip("inode numbers of this file system are not known to be those on the disk")
    for name in ("one.png", "two.png"):
        (tmp_path / name).write_bytes(b"equal")
    two_files.prove_two_files(Removal(seen(tmp_path / "one.png"), seen(tmp_path / "two.png")), record("r"))
    assert not (tmp_path / "r").exists()


@pytest.fixture
def record(tmp_path):
    """Make a record with digests of both files; it is closed at the end."""
    made = []

    def make(name: str = "record", *digests: str, folder: Path = tmp_path) -> Record:
        made.append(Record(folder / name, lambda removal: digests or ("", "")))
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.fixture
def doubtful(tmp_path, monkeypatch):
    """Two equal files on a file system that is not known."""
    monkeypatch.setattr(two_files, "type_of_mount", lambda path: "fuse")
    for name in ("one.png", "two.png"):
        (tmp_path / name).write_bytes(b"equal")
    return Removal(seen(tmp_path / "one.png"), seen(tmp_path / "two.png"))


def test_what_differs_is_two_files(tmp_path, doubtful, record):
    two_files.prove_two_files(doubtful, record("r", "one", "two"))
    assert not (tmp_path / "r").exists()


def test_the_kept_one_must_be_whole(tmp_path, doubtful, record):
    digest = hashlib.sha256(b"equal").hexdigest()
    two_files.prove_two_files(doubtful, record("r", digest, digest))
    status = (tmp_path / "two.png").stat()
    (tmp_path / "two.png").write_bytes(b"EQUAL")
    os.utime(tmp_path / "two.png", ns=(status.st_atime_ns, status.st_mtime_ns))
    with pytest.raises(StaysError, match="has changed"):
        two_files.prove_two_files(doubtful, record("s", digest, digest))


def test_a_kept_one_that_goes_with_the_other_is_missed(tmp_path, doubtful, record, monkeypatch):
    """As in a folder that takes two spellings for one name."""
    rename = Path.rename

    def with_both(path: Path, target: Path) -> Path:
        (tmp_path / "two.png").unlink()
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", with_both)
    (outcome,) = delete_files([doubtful], record())
    assert "it is the same file as the one to keep" in outcome.reason
    assert (tmp_path / "one.png").read_bytes() == b"equal"


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError(5, "Input/output error")])
def test_a_proof_that_was_killed_is_finished_later(tmp_path, doubtful, record, monkeypatch, error):
    """The name is given back by the next call, whatever it does; not over another file."""
    folder = tmp_path / "data" / "fastdiff_dask" / "actions"
    folder.mkdir(parents=True)

    def killed(*_: object) -> None:
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(two_files, "_give_back", killed)
        with pytest.raises((KeyboardInterrupt, OSError)):
            two_files.prove_two_files(doubtful, record("1.jsonl", folder=folder))
    assert not (tmp_path / "one.png").exists()
    assert len(unfinished_journals()) == 1
    (tmp_path / "one.png").write_bytes(b"another")
    with acting():
        assert clear_leftovers() == 1
        assert (tmp_path / "one.png").read_bytes() == b"another"
        (tmp_path / "one.png").unlink()
        assert clear_leftovers() == 1
        assert (tmp_path / "one.png").read_bytes() == b"equal"
        assert not unfinished_journals()
        assert clear_leftovers() == 0
    assert not list(tmp_path.glob(".fastdiff*"))
