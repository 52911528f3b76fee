"""Folders that a user names in another way than the search did: still the same folders."""

import json
import os
import sys
import unicodedata

import pytest
from support.mounted import overlay, with_mounts

import fastdiff_dask as fd
from fastdiff_dask.results.keep_rules import KeepRules
from fastdiff_dask.stages.listing import named_folders
from fastdiff_dask.stages.listing.mounts import type_of_mount
from fastdiff_dask.stages.listing.named_folders import NamedFolder

HOLDS = """
import json, sys
from fastdiff_dask.stages.listing.named_folders import NamedFolder
folder, *paths = sys.argv[1:]
print(json.dumps([NamedFolder(folder).holds(path) for path in paths]))
"""
WALK = """
import json, sys
from fastdiff_dask.config import IndexSettings
from fastdiff_dask.stages.listing.roots import Root
from fastdiff_dask.stages.listing.walk_local import Walk
walk = Walk([Root("a", sys.argv[1], sys.argv[1])], IndexSettings(ignore_paths=(sys.argv[2],)), None, lambda _: None)
walk.run()
print(json.dumps([sorted(row.path for row in walk.rows), sum(walk.ignored.values())]))
"""


@pytest.fixture
def pictures(tmp_path):
    for name in ("album/x.png", "album/in/y.png", "album2/x.png", "new/x.png"):
        path = tmp_path / "pics" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"equal")
        os.utime(path, ns=(10**18, 10**18))
    (tmp_path / "other").mkdir()
    return tmp_path / "pics"


NAMES = ("album/x.png", "album/in/y.png", "album2/x.png", "new/x.png")


def view(tmp_path, pictures, kind: str) -> list[str]:
    """Give what to mount so that `other` shows the album."""
    if kind == "bind":
        return [f"--bind {pictures / 'album'} {tmp_path / 'other'}"]
    if kind == "upper":
        return [overlay(tmp_path / "other", tmp_path / "lower", pictures / "album")]
    return [overlay(tmp_path / "other", pictures / "album", tmp_path / "upper")]


@pytest.mark.parametrize("kind", ["bind", "upper", "lower"])
def test_a_folder_seen_through_a_mount(tmp_path, pictures, kind):
    mounts, places = view(tmp_path, pictures, kind), [pictures / name for name in NAMES]
    assert json.loads(with_mounts(mounts, HOLDS, tmp_path / "other", *places)) == [True, True, False, False]
    assert json.loads(with_mounts(mounts, HOLDS, tmp_path / "other" / "in", *places)) == [False, True, False, False]
    # and the other way round: the images were found through the mount
    seen = [tmp_path / "other" / name for name in ("x.png", "in/y.png")]
    assert json.loads(with_mounts(mounts, HOLDS, pictures / "album", *seen)) == [True, True]
    assert json.loads(with_mounts(mounts, HOLDS, pictures / "new", *seen)) == [False, False]


@pytest.mark.parametrize("kind", ["bind", "upper", "lower"])
def test_a_folder_is_ignored_by_another_name(tmp_path, pictures, kind):
    mounts = view(tmp_path, pictures, kind)
    expected = [["album2/x.png", "new/x.png"], 2]
    assert json.loads(with_mounts(mounts, WALK, pictures, tmp_path / "other")) == expected


def test_names_and_links(tmp_path, pictures, monkeypatch):
    (tmp_path / "link").symlink_to(pictures / "album")
    monkeypatch.chdir(tmp_path)
    for name in ("pics/album", "link", "link/../album", str(pictures / "album"), "pics/new/../album/."):
        assert [NamedFolder(name).holds(str(pictures / one)) for one in NAMES] == [True, True, False, False]
    assert NamedFolder("link").holds(str(tmp_path / "link" / "x.png"))
    assert NamedFolder("pics/new/x.png").holds(str(pictures / "new" / "x.png"))
    assert not NamedFolder("pics/new/x.png").holds(str(pictures / "album" / "x.png"))
    assert not NamedFolder("nowhere").holds(str(pictures / "new" / "x.png"))
    assert not NamedFolder("~nosuch/x").is_there


def test_a_file_system_that_takes_spellings_for_equal(tmp_path, pictures, monkeypatch):
    """Simulated: any spelling leads to the folder there is."""
    (pictures / "\u00e9").mkdir()
    (pictures / "\u00e9" / "z.png").write_bytes(b"z")
    status = named_folders._status

    def any_spelling(path):
        for one in pictures.rglob("*"):
            if unicodedata.normalize("NFC", str(one)).casefold() == unicodedata.normalize("NFC", str(path)).casefold():
                return status(one)
        return status(path)

    monkeypatch.setattr(named_folders, "_status", any_spelling)
    for name in ("ALBUM", "Album"):
        assert NamedFolder(str(pictures / name)).holds(str(pictures / "album" / "in" / "y.png"))
    assert NamedFolder(str(pictures / "e\u0301")).holds(str(pictures / "\u00e9" / "z.png"))
    assert not NamedFolder(str(pictures / "Album")).holds(str(pictures / "album2" / "x.png"))


def test_a_copy_on_another_disk_is_no_view(tmp_path, pictures, monkeypatch):
    """Equal names, sizes and times of modification, as of a backup: the time of change tells them apart."""
    monkeypatch.setattr(NamedFolder, "_counterparts", lambda self, parent: [str(pictures / "album")])
    assert not NamedFolder(str(tmp_path / "other")).holds(str(pictures / "new" / "x.png"))


def test_rules_refuse_what_holds_nothing(tmp_path, pictures):
    rules = KeepRules(protect=(str(tmp_path / "other"),))
    everything = [str(pictures / name) for name in NAMES]
    with pytest.raises(fd.UsageError, match=r"protect= names .*other, in which none of the images lies; name"):
        rules.check_folders(everything[:1], lambda: everything)
    # a folder whose images have no duplicates is no slip of the pen
    KeepRules(protect=(str(pictures / "new"),)).check_folders(everything[:1], lambda: everything)


@pytest.mark.skipif(sys.platform != "linux", reason="other systems do not tell")
def test_the_type_of_a_mount(tmp_path):
    assert type_of_mount(tmp_path / "x")
    (tmp_path / "a b").mkdir()
    mounts = [f"-t tmpfs none '{tmp_path}/a b'"]
    program = "import sys, pathlib; from fastdiff_dask.stages.listing.mounts import type_of_mount as named"
    program += "; print(named(pathlib.Path(sys.argv[1])))"
    assert with_mounts(mounts, program, tmp_path / "a b" / "x").strip() == "tmpfs"
