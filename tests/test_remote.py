"""Pictures and stores behind URLs, against an S3 server on loopback: the same results, interrupted or not."""

import contextlib
import http.server
import io
import json
import os
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import fsspec
import numpy as np
import pytest
from conftest import Bucket, free_port
from distributed import Client, LocalCluster
from fsspec.implementations.memory import MemoryFileSystem
from PIL import Image

from fastdiff_dask import locks
from fastdiff_dask.catalog import list_images
from fastdiff_dask.config import IndexSettings
from fastdiff_dask.errors import FastDiffError, StoreLockedError, UsageError
from fastdiff_dask.files import Files
from fastdiff_dask.project import FastDifPy
from fastdiff_dask.remote import fetch
from fastdiff_dask.results import write_json
from fastdiff_dask.roots import resolve_roots
from fastdiff_dask.status import describe_store
from fastdiff_dask.store import Store
from fastdiff_dask.testing import simulate_images

COMMAND = [sys.executable, "-m", "fastdiff_dask"]


def picture(seed: int, kind: str = "PNG") -> bytes:
    """A picture that is like no other one."""
    content = io.BytesIO()
    blocks = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), np.uint8)
    Image.fromarray(blocks.repeat(8, 0).repeat(8, 1)).save(content, kind)
    return content.getvalue()


def job(photos: str, store: str, out: Path, client: Client | None = None, **options) -> dict:
    """Run all stages; the result without its figures is in the file."""
    with FastDifPy(photos, store=store, client=client, block_size=8, verbose=False, **options) as db, db.writing():
        db.index_the_dirs()
        db.first_loop_iteration(compute_hash=True)
        db.second_loop_iteration(sub_block=8, tile_side=1)
        write_json(db.result(), str(out))
    content = json.loads(out.read_text())
    stats = content.pop("stats")
    out.write_text(json.dumps(content))
    return stats


@pytest.fixture
def collection(bucket, tmp_path) -> Bucket:
    """A bucket with the pictures of tmp_path / 'photos' below photos/, one of them broken."""
    simulate_images(tmp_path / "photos" / "2024", images=14, duplicates=5, size=(80, 60))
    simulate_images(tmp_path / "photos" / "2025", images=6, duplicates=2, size=(80, 60), seed=1)
    (tmp_path / "photos" / "bad.jpg").write_text("no picture")
    (tmp_path / "photos" / "note.txt").write_text("no picture either")
    bucket.upload(tmp_path / "photos", "photos")
    bucket.put("photos/empty/", b"")
    return bucket


def test_the_same_result_as_on_a_disk(collection, tmp_path, client):
    here, there = tmp_path / "here.json", tmp_path / "there.json"
    local = job(str(tmp_path / "photos"), str(tmp_path / "store"), here, client)
    remote = job(f"{collection.url}/photos/", f"{collection.url}/work/store", there, client)
    given = f"{collection.url}/photos"
    assert there.read_text().replace(f"{given}/", given) == here.read_text().replace(
        str(tmp_path / "photos"), given
    ).replace(f"{given}/", given)
    assert local["images_read"] == remote["images_read"] == 28
    assert local["tiles"] == remote["tiles"] > 3
    assert json.loads(there.read_text())["files"] == {
        "found": 29,
        "compared": 27,
        "errors": 1,
        "ignored": {"no image by its extension": 1},
    }
    # nothing is left to do, and the lease is gone
    again = job(f"{collection.url}/photos", f"{collection.url}/work/store", tmp_path / "again.json", client)
    assert (again["images_read"], again["tiles_resumed"]) == (0, again["tiles"])
    assert "writer.json" not in Files(f"{collection.url}/work/store").names()
    assert f"{again['tiles']} of {again['tiles']} tiles are done" in describe_store(f"{collection.url}/work/store")
    # the stores hold the same
    with (
        FastDifPy(tmp_path / "photos", store=tmp_path / "store", block_size=8, client=client, verbose=False) as a,
        FastDifPy(given, store=f"{collection.url}/work/store", block_size=8, client=client, verbose=False) as b,
    ):
        one, other = a.images.compute(), b.images.compute()
        columns = ["path", "size", "width", "height", "error", "content_hash", "hash_0", "hash_key"]
        assert one[columns].equals(other[columns])
        np.testing.assert_array_equal(a.thumbnails.compute(), b.thumbnails.compute())
        matrix = b.mse(persist=True).compute()
        np.testing.assert_array_equal(a.mse().compute(), matrix)
        assert len(Files(f"{collection.url}/work/store/arrays.zarr/mse-rotations").names()) > 1
        np.testing.assert_array_equal(b.mse(persist=True).compute(), matrix)
