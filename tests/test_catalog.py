"""Which files are images, and what the store knows of them over time."""

import os
import tempfile
from pathlib import Path

import pytest
from conftest import without_privileges

from fastdiff_dask.catalog import full_path, index_images, resolve_roots
from fastdiff_dask.config import IndexSettings, ThumbnailSettings
from fastdiff_dask.errors import UsageError
from fastdiff_dask.store import Store

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

    def index(self, block_size: int = 4, **settings):
        self.roots = resolve_roots({"a": [str(self.folder)], "b": []})
        recorded = {"a": [root.absolute for root in self.roots], "b": []}
        store = Store.open_or_create(self.store_url, recorded, ThumbnailSettings(block_size=block_size))
        return index_images(store, self.roots, IndexSettings(**settings))

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


def test_nothing_changed_writes_nothing(collection):
    collection.add("a.jpg")
    collection.index()
    before = {path: path.stat().st_mtime_ns for path in Path(collection.store_url).rglob("*") if path.is_file()}
    collection.index()
    assert before == {path: path.stat().st_mtime_ns for path in Path(collection.store_url).rglob("*") if path.is_file()}


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
