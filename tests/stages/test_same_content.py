"""Files of the listed size and time: the row stays if the content does, whatever happened to the file."""

import os
import shutil

import numpy as np
import pytest
from PIL import Image

import fastdiff_dask as fd
from fastdiff_dask.config import IndexSettings
from fastdiff_dask.stages import same_content
from fastdiff_dask.stages.index import index_images
from fastdiff_dask.storage.store import Store
from fastdiff_dask.testing import simulate_photo

NAMES = ["one.bmp", "two.bmp", "three.bmp"]
TIME = 1_600_000_000_123_456_789


@pytest.fixture
def job(tmp_path, client):
    """A folder of three pictures of the same size and time, which were read."""

    class Job:
        folder = tmp_path / "pictures"
        store = str(tmp_path / "store")

        def run(self):
            with fd.FastDifPy(str(self.folder), store=self.store, client=client, verbose=False, block_size=4) as db:
                db.index_the_dirs()
                db.first_loop_iteration()

        def index(self):
            store = Store(self.store)
            return index_images(store, self.roots(store), IndexSettings())

        def roots(self, store):
            from fastdiff_dask.stages.listing.roots import resolve_roots

            return resolve_roots(store.roots)

        def rows(self):
            frame = Store(self.store).read_images(["image", "path", "current", *same_content.STATUS])
            return frame[frame.current].set_index("path")

        def numbers(self):
            return self.rows().image.to_dict()

    job = Job()
    job.folder.mkdir()
    for seed, name in enumerate(NAMES):
        Image.fromarray(simulate_photo(np.random.default_rng(seed), 40, 30)).save(job.folder / name)
        set_time(job.folder / name)
    job.run()
    assert job.numbers() == {"one.bmp": 0, "three.bmp": 1, "two.bmp": 2}
    return job


def set_time(path):
    os.utime(path, ns=(TIME, TIME))


def swap_names(folder):
    (folder / "one.bmp").rename(folder / "x")
    (folder / "two.bmp").rename(folder / "one.bmp")
    (folder / "x").rename(folder / "two.bmp")


def write_over(folder):
    content = bytearray((folder / "one.bmp").read_bytes())
    content[-30:] = bytes(30)
    (folder / "one.bmp").write_bytes(content)
    set_time(folder / "one.bmp")


def replace(folder):
    content = (folder / "two.bmp").read_bytes()
    (folder / "new").write_bytes(content)
    set_time(folder / "new")
    (folder / "new").replace(folder / "one.bmp")


def link_to_another(folder):
    (folder / "one.bmp").unlink()
    shutil.copy2(folder / "two.bmp", folder / "one.bmp")


@pytest.mark.parametrize(
    ("change", "names"),
    [
        (swap_names, {"one.bmp", "two.bmp"}),
        (write_over, {"one.bmp"}),
        (replace, {"one.bmp"}),
        (link_to_another, {"one.bmp"}),
    ],
)
def test_another_content_of_the_same_size_and_time_is_a_change(change, names, job):
    before = job.numbers()
    change(job.folder)
    counts = job.index()
    assert (counts.new, counts.changed, counts.vanished) == (0, len(names), 0)
    assert {name for name, image in job.numbers().items() if image != before[name]} == names
    assert job.index().unchanged == 3


def restore(folder):
    for path in folder.iterdir():
        shutil.copy2(path, path.with_suffix(".copy"))
        path.with_suffix(".copy").replace(path)


def change_modes(folder):
    for path in folder.iterdir():
        path.chmod(0o600)


def rename_there_and_back(folder):
    for path in list(folder.iterdir()):
        path.rename(path.with_suffix(".away")).rename(path)


def link(folder):
    for path in list(folder.iterdir()):
        os.link(path, path.with_suffix(".other"))


@pytest.mark.parametrize("change", [restore, change_modes, rename_there_and_back, link])
def test_the_same_content_stays_and_is_hashed_once(change, job, monkeypatch):
    before = job.rows()
    hashed = []
    monkeypatch.setattr(
        same_content, "_content_hash", lambda row, hash=same_content._content_hash: hashed.append(row.path) or hash(row)
    )
    change(job.folder)
    assert job.index().unchanged == 3
    assert job.numbers() == before.image.to_dict()
    assert sorted(hashed) == sorted(NAMES)
    after = job.rows()
    for name in NAMES:
        status = (job.folder / name).stat()
        assert (after.inode[name], after.changed_ns[name]) == (status.st_ino, status.st_ctime_ns)
    assert job.index().unchanged == 3
    assert len(hashed) == 3


def test_values_that_are_not_known_are_filled_in(job, monkeypatch):
    store = Store(job.store)
    store.write_partition(0, store.read_partition(0).assign(changed_ns=0, device=1))
    monkeypatch.setattr(same_content, "_content_hash", None)
    assert job.index().unchanged == 3
    assert (job.rows().changed_ns > 0).all()
    assert (job.rows().device != 1).all()


def test_a_file_that_cannot_be_read_any_more_is_no_copy(job, monkeypatch):
    (job.folder / "one.bmp").chmod(0o600)

    def refuse(path):
        raise PermissionError

    monkeypatch.setattr(same_content, "open_file", refuse)
    assert job.index().changed == 1


def test_a_killed_run_goes_on_where_it_was(job, monkeypatch):
    change_modes(job.folder)
    written = []
    with monkeypatch.context() as patch:
        patch.setattr(Store, "write_partition", lambda store, block, frame: written.append(block) or 1 / 0)
        with pytest.raises(ZeroDivisionError):
            job.index()
    assert written == [0]
    assert job.index().unchanged == 3


def test_numbers_beyond_a_floats_digits(job):
    store = Store(job.store)
    large = 2**64 - 3
    store.write_partition(0, store.read_partition(0).assign(inode=np.uint64(large)))
    assert job.index().unchanged == 3
    assert set(job.rows().inode) == {path.stat().st_ino for path in job.folder.iterdir()}
