"""Encoding that is killed and goes on, and encoding and comparing by worker processes."""

import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from distributed import Client, LocalCluster
from PIL import Image
from support.encode_driver import BLOCK_SIZE, encode
from support.pictures import write_noise

import fastdiff_dask as fd
from fastdiff_dask.images.edited_copies import PLAIN_KINDS, make_edited_copy
from fastdiff_dask.storage.derived.vectors import Vectors
from fastdiff_dask.storage.store import Store
from fastdiff_dask.testing import simulate_images

LOOPBACK = {"dashboard_address": "127.0.0.1:0", "worker_dashboard_address": "127.0.0.1:0"}
DRIVER = Path(__file__).parents[1] / "support" / "encode_driver.py"


def test_a_run_that_was_killed_goes_on_and_does_nothing_twice(tmp_path):
    images = 10 * BLOCK_SIZE
    write_noise(tmp_path / "photos", images, seed=1)
    photos, store, note = (str(tmp_path / name) for name in ("photos", "store", "note"))
    with subprocess.Popen([sys.executable, str(DRIVER), photos, store, note, "0.3"]) as process:
        finished: set[int] = set()
        end = time.monotonic() + 60
        while len(finished) < 3:
            assert time.monotonic() < end
            assert process.poll() is None
            time.sleep(0.02)
            if Store.exists(store):
                finished = Vectors(Store(store), "means").finished_blocks()
        process.kill()
    finished = Vectors(Store(store), "means").finished_blocks()
    assert 3 <= len(finished) < 10
    Path(note).unlink()
    encode(photos, store, note, 0)
    assert sum(map(int, Path(note).read_text().split())) == images - BLOCK_SIZE * len(finished)
    encode(photos, str(tmp_path / "whole"), note, 0)
    found = [Vectors(Store(url), "means").rows(np.arange(images)) for url in (store, str(tmp_path / "whole"))]
    assert found[0][1].all()
    np.testing.assert_array_equal(found[0][0], found[1][0])


@pytest.fixture
def processes():
    with (
        LocalCluster(n_workers=2, threads_per_worker=1, **LOOPBACK) as local,
        Client(local, set_as_default=False) as client,
    ):
        yield client


def test_worker_processes_encode_by_a_model_and_compare(tmp_path, processes, client):
    pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    pytest.importorskip("onnx", reason="onnx is not installed")
    from support.onnx_models import projection_model

    simulate_images(tmp_path / "photos", images=12, duplicates=4)
    encoder = fd.onnx_encoder(projection_model(tmp_path / "small.onnx"), preset="imagenet")
    results = []
    for name, where in (("processes", processes), ("threads", client)):
        db = fd.FastDifPy(tmp_path / "photos", store=tmp_path / name, client=where, block_size=4, verbose=False)
        db.index_the_dirs()
        db.first_loop_iteration()
        assert db.encode(encoder, "small", batch_size=3).encoded == 16
        pairs = db.find_pairs(on="small", metric="euclidean", threshold=1.0, sub_block=4, tile_side=1)
        results.append((db.vectors("small").compute(), pairs))
    np.testing.assert_array_equal(results[0][0], results[1][0])
    assert len(results[0][1])
    assert results[0][1].equals(results[1][1])


def test_a_network_with_random_weights_finds_plain_copies_of_scenes(tmp_path, client):
    """Not a trained model: what looks the same pixel by pixel is near, and other pictures are not."""
    pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    pytest.importorskip("onnx", reason="onnx is not installed")
    from support.onnx_models import projection_model

    photos = tmp_path / "photos"
    simulate_images(photos, images=10, duplicates=0, size=(200, 150))
    originals = sorted(path for path in photos.rglob("*.*"))
    for path in originals:
        for kind in PLAIN_KINDS:
            if kind != "rotated":  # this one knows of no turns
                copy = make_edited_copy(Image.open(path), kind, seed=1)
                copy.save(path.with_name(f"{path.stem}+{kind}.jpg"), quality=90)
    db = fd.FastDifPy(photos, store=tmp_path / "store", client=client, verbose=False)
    db.index_the_dirs()
    db.first_loop_iteration()
    db.encode(fd.onnx_encoder(projection_model(tmp_path / "m.onnx", size=64, values=128), preset="imagenet"), "m")
    pairs = db.find_pairs(on="m", threshold=0.995)
    names = [(Path(a).stem.split("+")[0], Path(b).stem.split("+")[0]) for a, b in zip(pairs.a, pairs.b, strict=True)]
    kinds = len(PLAIN_KINDS)  # with the original, and without turned ones
    assert sum(a == b for a, b in names) == len(originals) * kinds * (kinds - 1) // 2
    assert sum(a != b for a, b in names) <= len(names) // 10
