"""Fixtures: a store of pictures with copies, and the server of its review page."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from support.review import Page

import fastdiff_dask as fd
from fastdiff_dask.review.server import serve_in_thread
from fastdiff_dask.storage.store import Store
from fastdiff_dask.testing import simulate_images

HOSTILE = "<script>alert(1)<script>.jpg"


class Reviewed(NamedTuple):
    """Pictures with copies, and the store in which they were found."""

    photos: Path
    store: Path

    def there(self) -> dict[str, bytes]:
        """Contents of the pictures by their paths below the folder."""
        files = (path for path in self.photos.rglob("*") if path.is_file())
        return {str(path.relative_to(self.photos)): path.read_bytes() for path in files}


def make_reviewed(folder: Path, client) -> Reviewed:
    """12 pictures and 5 altered copies; one that is equal byte by byte, in a folder of its own; a hostile name."""
    photos, store = folder / "photos", folder / "store"
    simulate_images(photos, images=12, duplicates=5, size=(120, 90))
    originals = sorted(path for path in photos.rglob("*") if path.is_file())
    (photos / "phone" / "2024").mkdir(parents=True)
    shutil.copyfile(originals[0], photos / "phone" / "2024" / f"equal{originals[0].suffix}")
    shutil.copyfile(originals[1], photos / "phone" / HOSTILE)
    with fd.FastDifPy(photos, store=store, client=client, block_size=8, verbose=False) as db:
        db.index_the_dirs()
        db.first_loop_iteration()
        db.second_loop_iteration()
        db.verify()
        db.result()
    return Reviewed(photos, store)


@pytest.fixture
def reviewed(tmp_path: Path, client) -> Reviewed:
    return make_reviewed(tmp_path, client)


@pytest.fixture
def server(reviewed: Reviewed) -> Iterator[Page]:
    with serve_in_thread(Store(str(reviewed.store)).url, "127.0.0.1:0") as served:
        yield Page(served.url)
