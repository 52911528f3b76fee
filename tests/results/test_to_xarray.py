"""Images as a Dataset of xarray: labelled by path, lazy, and in the order of the other collections."""

import sys

import dask.array as da
import numpy as np
import pytest

import fastdiff_dask as fd
from fastdiff_dask.testing import simulate_images


@pytest.fixture
def db(tmp_path, client):
    simulate_images(tmp_path / "photos", images=7, duplicates=2, size=(40, 30))
    (tmp_path / "photos" / "broken.jpg").write_bytes(b"\xff\xd8\xff")
    with fd.FastDifPy(tmp_path / "photos", store=tmp_path / "store", client=client, block_size=4, verbose=False) as db:
        db.index_the_dirs()
        yield db


def test_labels_thumbnails_and_metadata(db, tmp_path):
    db.first_loop_iteration()
    found = db.to_xarray()
    assert dict(found.sizes) == {"image": 10, "y": 64, "x": 64, "channel": 3}
    assert all(isinstance(one.data, da.Array) for one in found.data_vars.values())
    assert found.thumbnail.data.chunks[0] == found.width.data.chunks[0] == (4, 4, 2)
    path = str(tmp_path / "photos" / "picture_00003.jpg")
    place = found.image.values.tolist().index(path)
    assert np.array_equal(found.thumbnail.sel(image=path).values, db.thumbnails[place].compute())
    one = found.sel(image=path).compute()
    assert [one[name].item() for name in ("width", "height", "format", "side")] == [40, 30, "JPEG", "a"]
    broken = found.sel(image=str(tmp_path / "photos" / "broken.jpg")).compute()
    assert broken.error.item()
    assert not broken.thumbnail.any()
    assert broken.camera.item() == ""
    # pictures that went are left out
    (tmp_path / "photos" / "picture_00003.jpg").unlink()
    db.index_the_dirs()
    assert path not in db.to_xarray().image.values


def test_vectors_are_beside_the_thumbnails(db):
    db.first_loop_iteration()
    db.encode(lambda images: images.mean(axis=(1, 2)), "means")
    found = db.to_xarray()
    assert found.vectors_means.dims == ("image", "value_means")
    np.testing.assert_array_equal(found.vectors_means.values, db.vectors("means").compute())


def test_images_that_were_not_read_yet(db):
    with pytest.raises(fd.UsageError, match="not read yet"):
        db.to_xarray()


def test_without_xarray_a_line_says_how_to_install_it(db, monkeypatch):
    db.first_loop_iteration()
    monkeypatch.setitem(sys.modules, "xarray", None)
    with pytest.raises(fd.UsageError, match="xarray is not installed; install it with: pip install"):
        db.to_xarray()
