"""Files that are images, and their rows in the store over time."""

import contextlib
import os
import random
import socket
import tempfile
from pathlib import Path

import pytest
from support.system import without_privileges

from fastdiff_dask.config import IndexSettings, ThumbnailSettings
from fastdiff_dask.errors import FastDiffError, UsageError
from fastdiff_dask.stages.index import IndexCounts, index_images
from fastdiff_dask.stages.listing import walk_local
from fastdiff_dask.stages.listing.roots import resolve_roots
from fastdiff_dask.stages.listing.walk_local import Link
from fastdiff_dask.storage.store import Store
from fastdiff_dask.urls import full_path

COLUMNS = ["image", "side", "path", "path_bytes", "size", "current", "error"]


class Collection:
    """A folder of files that pretend to be pictures, and a store."""

    def __init__(self, folder: Path, **directories: list[str]) -> None:
        self.folder = folder / "photos"
        self.folder.mkdir()
        self.store_url = str(folder / "store")

    def add(self, name: str, content: bytes = b"x") -> Path:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        return path

    def index(self, block_size: int = 4, limits: dict | None = None, **settings):
        self.roots = resolve_roots({"a": [str(self.folder)], "b": []})
        recorded = {"a": [root.absolute for root in self.roots], "b": []}
        store = Store.open_or_create(self.store_url, recorded, ThumbnailSettings(block_size=block_size))
        return index_images(store, self.roots, IndexSettings(**settings), **(limits or {}))

    @property
    def rows(self):
        frame = Store(self.store_url).read_images(COLUMNS)
        return frame[frame.current]

    @property
    def paths(self) -> list[str]:
        return self.rows.path.to_list()


@pytest.fixture
def collection(tmp_path):
    return Collection(tmp_path)


def test_images_of_all_folders_in_blocks(collection):
    for name in ["b.jpg", "a.PNG", "sub/deep/c.webp", "sub/d.tif", "e.gif", "notes.txt", "sub/readme"]:
        collection.add(name)
    counts = collection.index()
    assert (counts.new, counts.skipped) == (5, 2)
    assert collection.paths == ["a.PNG", "b.jpg", "e.gif", "sub/d.tif", "sub/deep/c.webp"]
    assert collection.rows.image.to_list() == [0, 1, 2, 3, 4]
    assert Store(collection.store_url).rows() == [4, 1]


@pytest.mark.parametrize(
    ("settings", "left"),
    [
        ({"recursive": False}, ["a.jpg", "b.png"]),
        ({"extensions": (".JPG",)}, ["a.jpg", "sub/c.jpg", "sub/tmp/d.jpg"]),
        ({"extensions": (".xyz",)}, ["e.xyz"]),
        ({"ignore_names": ("tmp", "b.*")}, ["a.jpg", "sub/c.jpg"]),
        ({"ignore_paths": ("{folder}/sub/tmp", "{folder}/a.jpg")}, ["b.png", "sub/c.jpg"]),
    ],
)
def test_each_index_setting_counts(collection, settings, left):
    for name in ["a.jpg", "b.png", "sub/c.jpg", "sub/tmp/d.jpg", "e.xyz"]:
        collection.add(name)
    if "ignore_paths" in settings:
        settings = {"ignore_paths": tuple(path.format(folder=collection.folder) for path in settings["ignore_paths"])}
    collection.index(**settings)
    assert sorted(collection.paths) == left


@pytest.mark.parametrize("recursive", [True, False])
def test_ignored_paths_at_which_nothing_was_found_are_named(collection, tmp_path, recursive):
    for name in ["a.jpg", "sub/b.jpg", "sub/deep/c.jpg", "empty/x", "tmp/in/d.jpg"]:
        collection.add(name)
    (collection.folder / "empty" / "x").unlink()
    outside = tmp_path / "outside"
    outside.mkdir()
    (tmp_path / "link").symlink_to(collection.folder / "sub")
    (collection.folder / "away").symlink_to(outside)
    inside = [collection.folder / name for name in ("a.jpg", "empty", "tmp")]
    there = [str(path) for path in [*inside, tmp_path / "link", outside]]
    wrong = [str(path) for path in (collection.folder / "su", tmp_path / "elsewhere")]
    assert collection.index(recursive=recursive, ignore_paths=(*there, *wrong)).unused == tuple(sorted(wrong))
    assert collection.index(ignore_names=("tmp",), ignore_paths=(str(collection.folder / "tmp" / "in"),)).unused == ()


def test_new_changed_vanished_and_back_again(collection):
    for name in "abcde":
        collection.add(f"{name}.jpg")
    collection.index()
    times = (collection.folder / "c.jpg").stat()

    collection.add("a.jpg", b"longer")
    collection.add("f.jpg")
    (collection.folder / "c.jpg").unlink()
    counts = collection.index()
    assert (counts.new, counts.changed, counts.unchanged, counts.vanished) == (1, 1, 3, 1)
    # old rows keep their numbers; the new generation starts a block of its own
    assert dict(zip(collection.paths, collection.rows.image, strict=True)) == {
        "b.jpg": 1, "d.jpg": 3, "e.jpg": 4, "a.jpg": 8, "f.jpg": 9
    }  # fmt: skip

    collection.add("c.jpg")
    os.utime(collection.folder / "c.jpg", ns=(times.st_atime_ns, times.st_mtime_ns))
    counts = collection.index()
    assert (counts.new, counts.changed, counts.unchanged) == (0, 0, 6)
    assert len(Store(collection.store_url).generations) == 2
    assert collection.rows.set_index("path").image["c.jpg"] == 2


def test_same_size_but_another_time_is_a_change(collection):
    path = collection.add("a.jpg")
    collection.index()
    os.utime(path, ns=(1, 1))
    assert collection.index().changed == 1
    assert collection.index().unchanged == 1


def test_nothing_changed_writes_nothing_but_the_number_of_the_run(collection):
    def times():
        files = [path for path in Path(collection.store_url).rglob("*") if path.is_file()]
        return {path: path.stat().st_mtime_ns for path in files if path.name != "run"}

    collection.add("a.jpg")
    collection.index()
    before = times()
    assert before
    collection.index()
    assert times() == before


def test_a_killed_index_leaves_no_trace(collection, monkeypatch):
    for name in "abcdef":
        collection.add(f"{name}.jpg")
    with monkeypatch.context() as patch:
        patch.setattr(Store, "add_generation", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            collection.index()
    assert Store(collection.store_url).blocks == 0
    collection.add("0.jpg")
    collection.index()
    assert collection.paths == ["0.jpg", "a.jpg", "b.jpg", "c.jpg", "d.jpg", "e.jpg", "f.jpg"]


def test_links_never_list_a_file_twice(collection, tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "o.jpg").write_bytes(b"x")
    collection.add("real/a.jpg")
    (collection.folder / "again.jpg").symlink_to("real/a.jpg")
    (collection.folder / "alias").symlink_to("real", target_is_directory=True)
    (collection.folder / "elsewhere").symlink_to(outside, target_is_directory=True)
    (collection.folder / "z-elsewhere-too").symlink_to(outside, target_is_directory=True)
    collection.index()
    assert collection.paths == ["elsewhere/o.jpg", "real/a.jpg"] or collection.paths == [
        "real/a.jpg",
        "elsewhere/o.jpg",
    ]
    assert collection.rows.error.isna().all()


def test_link_loops_and_broken_links_are_rows_with_an_error(collection):
    collection.add("sub/a.jpg")
    (collection.folder / "sub" / "up").symlink_to("..", target_is_directory=True)
    (collection.folder / "self.jpg").symlink_to("self.jpg")
    (collection.folder / "gone.jpg").symlink_to("nowhere.jpg")
    (collection.folder / "gone.txt").symlink_to("nowhere.txt")
    collection.index()
    errors = collection.rows.set_index("path").error.dropna()
    assert set(errors.index) == {"sub/up", "self.jpg", "gone.jpg"}
    assert "loop" in errors["sub/up"]
    assert "symbolic link" in errors["self.jpg"]
    assert collection.index().new == 0


def test_another_failure_is_another_row(collection):
    link = collection.folder / "a.jpg"
    link.symlink_to("a.jpg")
    collection.index()
    link.unlink()
    link.symlink_to("nowhere.jpg")
    collection.index()
    assert collection.rows.error.to_list() == ["symbolic link cannot be followed: No such file or directory"]


def test_two_links_into_each_other_end(collection, tmp_path):
    for name, other in (("x", "y"), ("y", "x")):
        (tmp_path / name).mkdir()
        (tmp_path / name / f"{name}.jpg").write_bytes(b"x")
        (tmp_path / name / "link").symlink_to(tmp_path / other, target_is_directory=True)
    (collection.folder / "to-x").symlink_to(tmp_path / "x", target_is_directory=True)
    collection.index()
    assert collection.paths == ["to-x/link/y.jpg", "to-x/x.jpg"] or set(collection.paths) == {
        "to-x/x.jpg",
        "to-x/link/y.jpg",
    }


def test_folders_and_pipes_named_like_images_are_no_images(collection):
    collection.add("a.jpg")
    (collection.folder / "folder.jpg").mkdir()
    os.mkfifo(collection.folder / "pipe.jpg")
    assert collection.index().new == 1


def test_unreadable_folder_is_a_row_and_is_tried_again():
    with tempfile.TemporaryDirectory() as name:  # pytest's own folders are closed to others
        folder = Path(name)
        folder.chmod(0o777)
        collection = Collection(folder)
        collection.add("a.jpg")
        hidden = collection.add("closed/b.jpg").parent
        hidden.chmod(0o000)
        with without_privileges():
            collection.index()
            assert collection.rows.set_index("path").error["closed"] == "folder cannot be read: Permission denied"
        hidden.chmod(0o755)
        with without_privileges():
            counts = collection.index()
        assert (counts.new, counts.vanished) == (1, 1)
        assert collection.paths == ["a.jpg", "closed/b.jpg"]


def outcome(collection: Collection, counts) -> tuple[set[str], dict[str, int], int]:
    """Paths that are listed, files by rule, and all files together."""
    return set(collection.paths), counts.ignored, len(collection.rows) + counts.skipped


def walked(*folders: Path) -> int:
    """All names below some folders that are no real folders."""
    links = [path for folder in folders for path in folder.rglob("*") if path.is_symlink() and path.is_dir()]
    return sum(len(names) for folder in folders for _, _, names in os.walk(folder)) + len(links)


def test_every_file_is_listed_or_counted_by_one_rule(collection, tmp_path):
    """Hidden files, no images, ignored names and paths, pipes, links of each kind, folders named like images."""
    outside = tmp_path / "outside"
    (outside / "sub").mkdir(parents=True)
    (outside / "o.jpg").write_bytes(b"x")
    (outside / "sub" / "o.txt").write_bytes(b"x")
    for name in [
        "a.jpg",
        "b.txt",
        ".hidden",
        "tmp.txt",
        "folder.jpg/c.jpg",
        "folder.jpg/d",
        "tmp/e.jpg",
        "tmp/x/f.txt",
    ]:
        collection.add(name)
    for name in ["left/g.jpg", "left/tmp/h.jpg", "left.jpg", "new\nline", "\udcff.jpg", "empty/x"]:
        collection.add(name)
    (collection.folder / "empty" / "x").unlink()
    os.mkfifo(collection.folder / "pipe.jpg")
    os.mkfifo(collection.folder / "pipe")
    with contextlib.closing(socket.socket(socket.AF_UNIX)) as server:
        server.bind(str(collection.folder / "socket.jpg"))
    links = {"l1.jpg": "a.jpg", "l2.jpg": "gone.jpg", "l3": "gone", "l4": "a.jpg", "l5": "folder.jpg", "l6.jpg": "pipe"}
    links |= {"l7": str(outside), "l8": str(outside), "l9": ".", "l10.tmp": "a.jpg", "l11": "left", "tmp/l12": "."}
    for name, target in links.items():
        (collection.folder / name).symlink_to(target)
    os.link(collection.folder / "a.jpg", collection.folder / "z.jpg")
    os.link(collection.folder / "a.jpg", collection.folder / "z.txt")
    paths = (f"{collection.folder}/left", f"{collection.folder}/left.jpg")
    counts = collection.index(ignore_names=("tmp", "*.tmp"), ignore_paths=paths)
    expected = {
        "another name of a listed file": 1,  # z.jpg
        "ignored name": 4,  # tmp/e.jpg, tmp/x/f.txt, tmp/l12, l10.tmp
        "ignored path": 4,  # left/g.jpg, left/tmp/h.jpg, left.jpg, l11
        # b.txt, .hidden, tmp.txt, folder.jpg/d, new\nline, pipe, z.txt, l3, l4, outside/sub/o.txt
        "no image by its extension": 10,
        "no regular file": 3,  # pipe.jpg, socket.jpg, l6.jpg
        "symbolic link to a listed file": 1,  # l1.jpg
        "another name of a searched folder": 2,  # l5, l8
    }
    listed = {"a.jpg", "folder.jpg/c.jpg", "l2.jpg", "l7/o.jpg", "l9", "\ufffd.jpg"}
    # l7 is followed: what is there counts instead
    assert outcome(collection, counts) == (listed, expected, walked(collection.folder, outside) - 1)
    assert list(counts.ignored) == sorted(counts.ignored)
    assert Store(collection.store_url).records.read_index()["ignored"] == expected

    listed = {"a.jpg", "l2.jpg", "left.jpg", "\ufffd.jpg"}  # sub-folders, and links to some, count for nothing
    counts = collection.index(recursive=False, ignore_names=("tmp",))
    here = [path for path in collection.folder.iterdir() if not path.is_dir()]
    assert outcome(collection, counts)[::2] == (listed, len(here))


@pytest.mark.parametrize("folder_links", [False, True])
@pytest.mark.parametrize("seed", range(10))
def test_counts_add_up_on_random_trees(collection, seed, folder_links):
    """Either links to folders or ignored folders: a link to what is below an ignored one is followed."""
    rng = random.Random(seed)
    folders = [collection.folder]
    for number in range(60):
        path = rng.choice(folders) / f"{number}{rng.choice(['', '.jpg', '.txt', '.tmp'])}"
        files = [path for folder in folders for path in folder.iterdir() if path.is_file()]
        kind = rng.choice(["file", "file", "folder", "hard link", "link"]) if files else "file"
        if kind == "folder":
            path.mkdir()
            folders.append(path)
        elif kind == "file":
            path.write_bytes(b"x" * number)
        elif kind == "link":
            path.symlink_to(rng.choice([*files, *(folders if folder_links else []), path]))
        else:
            os.link(rng.choice(files), path, follow_symlinks=False)
    ignored = {"ignore_names": ("*.tmp",), "ignore_paths": (str(rng.choice(folders)),)}
    settings = {} if folder_links else ignored
    counts = collection.index(**settings)
    assert counts.skipped + len(collection.rows) == walked(collection.folder)
    assert collection.index(**settings) == IndexCounts(0, 0, len(collection.rows), 0, counts.ignored)


def test_an_ignored_folder_below_a_root_that_another_root_leads_into(collection):
    for name in ["a.jpg", "tmp/b.jpg", "tmp/sub/c.jpg"]:
        collection.add(name)
    roots = resolve_roots({"a": [str(collection.folder), str(collection.folder / "tmp" / "sub")], "b": []})
    recorded = {"a": [root.absolute for root in roots], "b": []}
    store = Store.open_or_create(collection.store_url, recorded, ThumbnailSettings())
    counts = index_images(store, roots, IndexSettings(ignore_names=("tmp",)))
    assert (counts.new, counts.ignored) == (2, {"ignored name": 1})


def test_the_store_and_ignored_folders_are_known_through_links(collection, tmp_path):
    """The home folder is searched and the store is in its cache folder, or a link leads there."""
    collection.add("a.jpg")
    home = tmp_path / "home"
    (home / "ignored").mkdir(parents=True)
    (home / "ignored" / "b.jpg").touch()
    (home / "again").symlink_to("ignored")
    collection.store_url = str(home / "store")
    (collection.folder / "link").symlink_to(home)
    for _ in range(2):  # the number of files in the store is none of the user's business
        counts = collection.index(ignore_paths=(str(home / "ignored"),))
        assert counts.ignored == {"ignored path": 2, "the store itself": 1}
        assert collection.paths == ["a.jpg"]


def test_another_name_of_a_file_is_no_image(collection, tmp_path):
    """Real names first, then the first in the order of the walk; what is left when that goes is a new image."""
    outside = tmp_path / "o.jpg"
    outside.write_bytes(b"outside")
    collection.add("m.jpg")
    os.link(collection.folder / "m.jpg", collection.folder / "\udcff.jpg")
    collection.add("sub/z.jpg").unlink()
    os.link(collection.folder / "m.jpg", collection.folder / "sub" / "z.jpg")
    (collection.folder / "a.jpg").symlink_to("m.jpg")
    (collection.folder / "b.jpg").symlink_to(outside)
    (collection.folder / "c.jpg").symlink_to(outside)
    counts = collection.index()
    assert collection.paths == ["m.jpg", "b.jpg"]
    assert counts.ignored == {"another name of a listed file": 2, "symbolic link to a listed file": 2}
    pairs = [("a.jpg", "m.jpg"), ("c.jpg", "b.jpg"), ("sub/z.jpg", "m.jpg"), ("\udcff.jpg", "m.jpg")]
    folder = str(collection.folder)
    links = [Link(*link) for link in Store(collection.store_url).records.read_index()["links"]]
    assert links == [Link("a", folder, name, "a", folder, same) for name, same in pairs]

    (collection.folder / "m.jpg").unlink()
    counts = collection.index()
    assert (counts.new, counts.unchanged, counts.vanished) == (2, 1, 1)
    assert collection.rows.set_index("path").error.dropna().to_dict() == {
        "a.jpg": "symbolic link cannot be followed: No such file or directory"
    }
    assert sorted(collection.paths) == ["a.jpg", "b.jpg", "\ufffd.jpg"]
    assert counts.ignored == {"another name of a listed file": 1, "symbolic link to a listed file": 1}


def test_equal_numbers_of_different_files_are_different_files(collection, monkeypatch):
    """Some file systems number files anew at each listing, or not at all."""
    collection.add("a.jpg", b"1")
    collection.add("b.jpg", b"22")
    collection.add("c.jpg", b"1")
    os.utime(collection.folder / "c.jpg", ns=(1, 1))
    file = walk_local.Walk._file
    inode = 7

    def same_number(self, root, path, status, rule):
        values = list(status)
        values[1:3] = inode, 1
        times = {"st_mtime_ns": status.st_mtime_ns, "st_ctime_ns": status.st_ctime_ns}
        file(self, root, path, os.stat_result(values, times), rule)

    monkeypatch.setattr(walk_local.Walk, "_file", same_number)
    assert collection.index().new == 3
    inode = 0
    os.utime(collection.folder / "a.jpg", ns=(1, 1))
    (collection.folder / "b.jpg").unlink()
    assert collection.index().skipped == 0
    inode = 7
    assert collection.index().skipped == 1


@pytest.mark.parametrize(
    ("column", "limit", "lower", "higher"),
    [
        ("time_limit", 2.5, {"time_limit": 2.5}, {"time_limit": 3.0}),
        ("time_limit", 2.5, {"time_limit": 1.0}, {}),
        ("time_limit", 60.0, {}, {"time_limit": 0}),
        ("pixel_limit", 1000, {"pixel_limit": 1000}, {"pixel_limit": 1001}),
    ],
)
def test_what_was_beyond_a_limit_is_listed_again_with_a_higher_one(collection, column, limit, lower, higher):
    for name in "ab":
        collection.add(f"{name}.jpg")
    collection.index()
    store = Store(collection.store_url)
    frame = store.read_partition(0)
    frame.loc[0, [column, "error"]] = limit, "beyond"
    store.write_partition(0, frame)
    assert collection.index(limits=lower).unchanged == 2
    counts = collection.index(limits=higher)
    assert (counts.changed, counts.unchanged) == (1, 1)
    assert dict(zip(collection.paths, collection.rows.image, strict=True)) == {"a.jpg": 4, "b.jpg": 1}
    assert collection.index(limits=higher).unchanged == 2  # it was not read yet, and has no error


def test_a_damaged_index_is_said_and_mended(collection):
    collection.add("a.txt")
    collection.index()
    path = Path(collection.store_url, "index.json")
    path.write_text("{")
    with pytest.raises(FastDiffError, match=r"damaged: index\.json"):
        Store(collection.store_url).records.read_index()
    collection.index()
    assert Store(collection.store_url).records.read_index() == {
        "ignored": {"no image by its extension": 1},
        "links": [],
    }
    path.unlink()
    assert Store(collection.store_url).records.read_index() == {"ignored": {}, "links": []}


def test_a_folder_that_vanishes_or_is_closed_below_an_ignored_one_counts_as_one():
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o777)
        collection = Collection(folder)
        collection.add("tmp/a.jpg")
        closed = collection.add("tmp/closed/b.jpg").parent
        closed.chmod(0o000)
        with without_privileges():
            assert collection.index(ignore_names=("tmp",)).ignored == {"ignored name": 2}
        closed.chmod(0o755)


NAMES = [
    b"new\nline.jpg",
    b"tab\t\x1b[31m.jpg",
    "emoji 🎉 ü.jpg".encode(),
    b"\xff\xfe bytes.jpg",
    b"\xff\xfd bytes.jpg",
    b"n" * 251 + b".jpg",
]


def test_names_come_back_exactly(collection):
    for name in NAMES:
        Path(os.fsdecode(os.fsencode(collection.folder) + b"/" + name)).touch()
    collection.index()
    found = {os.fsencode(full_path("", row.path, row.path_bytes)) for row in collection.rows.itertuples()}
    assert found == set(NAMES)
    counts = collection.index()
    assert (counts.new, counts.unchanged) == (0, len(NAMES))


def test_roots_inside_each_other_on_one_side_are_searched_once(collection):
    collection.add("sub/a.jpg")
    roots = resolve_roots({"a": [str(collection.folder), str(collection.folder / "sub")], "b": []})
    store = Store.open_or_create(
        collection.store_url, {"a": [root.absolute for root in roots], "b": []}, ThumbnailSettings()
    )
    assert index_images(store, roots, IndexSettings()).new == 1


@pytest.mark.parametrize("kind", ["missing", "file", "same", "inside", "around", "null byte", "link to itself"])
def test_roots_that_cannot_be_used(kind, collection, tmp_path):
    path = collection.add("sub/a.jpg")
    folder = collection.folder
    directories = {
        "missing": ([tmp_path / "nothing"], []),
        "file": ([path], []),
        "same": ([folder], [folder]),
        "inside": ([folder], [folder / "sub"]),
        "around": ([folder / "sub"], [tmp_path / "link"]),
        "null byte": (["a\0b"], []),
        "link to itself": ([tmp_path / "self"], []),
    }[kind]
    (tmp_path / "link").symlink_to(folder)
    (tmp_path / "self").symlink_to("self")
    sides = {side: [str(one) for one in some] for side, some in zip("ab", directories, strict=True)}
    with pytest.raises(UsageError) as caught:
        resolve_roots(sides)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("closed", [".", "inside"])
def test_a_root_without_permission(closed):
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "photos"
        (folder / "inside").mkdir(parents=True)
        folder.chmod(0o000)
        Path(name).chmod(0o755)
        with without_privileges(), pytest.raises(UsageError, match="Permission denied"):
            resolve_roots({"a": [str(folder / closed)], "b": []})


@pytest.mark.parametrize("name", ["写真　旅行", "Fam👨\u200d👩", "a\u00a0b", "line\nbreak", "[red]"])
def test_folders_of_any_name(name, tmp_path):
    (tmp_path / name).mkdir()
    (root,) = resolve_roots({"a": [str(tmp_path / name)]})
    assert root.absolute == str(tmp_path / name)


def test_a_folder_whose_name_is_no_text(tmp_path):
    folder = os.fsdecode(os.fsencode(tmp_path) + b"/\xff")
    os.mkdir(folder)  # noqa: PTH102
    with pytest.raises(UsageError, match="is not UTF-8"):
        resolve_roots({"a": [folder]})


def test_a_link_to_an_ignored_file_is_ignored(collection):
    ignored = collection.add("one.jpg", b"of its own")
    (collection.folder / "link.jpg").symlink_to(ignored)
    before = collection.index()
    counts = collection.index(ignore_paths=(str(ignored),))
    assert counts.vanished == 1
    assert counts.ignored["ignored path"] == 2
    assert counts.new == 0
    assert before.new == counts.unchanged + 1
