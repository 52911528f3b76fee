"""Encoders from ONNX files: inputs as the model tells, presets, one session a process, mistakes in one line."""

import pickle
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support.pictures import write_noise

import fastdiff_dask as fd
from fastdiff_dask.errors import FastDiffError, UsageError
from fastdiff_dask.vectors import onnx_encoder as module

pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
pytest.importorskip("onnx", reason="onnx is not installed")

from onnx import TensorProto, helper
from support.onnx_models import mean_model, projection_model, save_model


@pytest.fixture
def images(rng) -> np.ndarray:
    return rng.integers(0, 256, (5, 8, 8, 3), dtype=np.uint8)


@pytest.fixture
def model(tmp_path) -> Path:
    return mean_model(tmp_path / "mean.onnx")


def test_values_are_scaled_and_channels_come_first(model, images):
    encoder = fd.onnx_encoder(model)
    assert encoder.size == (8, 8)
    np.testing.assert_allclose(encoder(images), images.mean(axis=(1, 2)) / 255, atol=1e-6)
    levels = fd.onnx_encoder(model, mean=0.5, scale=(1, 2, 1 / 255))
    expected = (images.mean(axis=(1, 2)) / 255 - 0.5) / (1, 2, 1 / 255)
    np.testing.assert_allclose(levels(images), expected, rtol=1e-4)
    np.testing.assert_allclose(fd.onnx_encoder(model, bgr=True)(images), encoder(images)[:, ::-1])


@pytest.mark.parametrize("preset", module.PRESETS)
def test_presets_take_the_constants_of_the_papers(model, images, preset):
    chosen = module.PRESETS[preset]
    expected = (images.mean(axis=(1, 2)) / 255 - chosen.mean) / chosen.scale
    np.testing.assert_allclose(fd.onnx_encoder(model, preset=preset)(images), expected, atol=1e-5)
    free = mean_model(model.with_name("free.onnx"), ("n", 3, "h", "w"))
    assert fd.onnx_encoder(free, preset=preset).size == (224, 224)
    assert fd.onnx_encoder(free, 32, preset=preset).size == (32, 32)


def test_the_metadata_of_a_model_counts_unless_something_is_given(tmp_path, images):
    told = {"size": "[8, 8]", "mean": "[0.5, 0.5, 0.5]", "std": "0.25", "bgr": "true"}
    encoder = fd.onnx_encoder(mean_model(tmp_path / "told.onnx", ("n", 3, "h", "w"), **told))
    expected = (images.mean(axis=(1, 2))[:, ::-1] / 255 - 0.5) / 0.25
    assert encoder.size == (8, 8)
    np.testing.assert_allclose(encoder(images), expected, atol=1e-5)
    given = fd.onnx_encoder(tmp_path / "told.onnx", (4, 6), mean=0, scale=1, bgr=False)
    assert given.size == (4, 6)
    strange = mean_model(tmp_path / "strange.onnx", ("n", 3, 8, 8), mean="__import__('os')", size="[]")
    np.testing.assert_allclose(fd.onnx_encoder(strange)(images), images.mean(axis=(1, 2)) / 255, atol=1e-6)


def test_a_model_of_a_fixed_number_of_pictures_gets_that_number(tmp_path, images):
    encoder = fd.onnx_encoder(mean_model(tmp_path / "two.onnx", (2, 3, 8, 8)))
    np.testing.assert_allclose(encoder(images), images.mean(axis=(1, 2)) / 255, atol=1e-6)


def test_a_model_of_bytes_with_channels_last_gets_them_as_they_are(tmp_path, images):
    nodes = [
        helper.make_node("Cast", ["pixels"], ["float"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["float"], ["vectors"], axes=[1, 2], keepdims=0),
    ]
    path = save_model(tmp_path / "b.onnx", nodes, (TensorProto.UINT8, ("n", 8, 8, 3)), {"vectors": ("n", 3)})
    np.testing.assert_allclose(fd.onnx_encoder(path)(images), images.mean(axis=(1, 2)), rtol=1e-5)


def test_of_tokens_the_first_is_taken_and_of_positions_the_mean(tmp_path, images):
    nodes = [
        helper.make_node("Identity", ["pixels"], ["map"]),
        helper.make_node("Reshape", ["pixels", "shape"], ["last_hidden_state"]),
    ]
    outputs = {"map": ("n", 3, 8, 8), "last_hidden_state": ("n", 24, 8)}
    shape = {"shape": np.array([0, 24, 8], np.int64)}
    path = save_model(tmp_path / "t.onnx", nodes, (TensorProto.FLOAT, ("n", 3, 8, 8)), outputs, shape)
    values = images.transpose(0, 3, 1, 2) / 255
    np.testing.assert_allclose(fd.onnx_encoder(path)(images), values.mean(axis=(2, 3)), atol=1e-6)
    tokens = fd.onnx_encoder(path, output="last_hidden_state")(images)
    np.testing.assert_allclose(tokens, values.reshape(5, 24, 8)[:, 0], atol=1e-6)
    chosen = fd.onnx_encoder(path, preset="dino", mean=0, scale=1)(images)
    np.testing.assert_allclose(chosen, tokens)


def test_an_encoder_is_pickled_as_path_and_digest_and_a_process_opens_it_once(model, images, monkeypatch):
    encoder = fd.onnx_encoder(model)
    assert len(pickle.dumps(encoder)) < 1000
    module._sessions.clear()
    opened, original = [], module._opened
    monkeypatch.setattr(module, "_opened", lambda *given: opened.append(given) or original(*given))
    again = [pickle.loads(pickle.dumps(encoder)) for _ in range(4)]
    threads = [threading.Thread(target=one, args=(images,)) for one in again]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(opened) == 1
    assert {one.identity for one in again} == {encoder.identity}
    assert fd.onnx_encoder(model, mean=0.5).identity != encoder.identity


def test_the_identity_is_that_of_the_content_wherever_the_file_is(model, tmp_path):
    (tmp_path / "other").mkdir()
    copy = tmp_path / "other" / "mean.onnx"
    copy.write_bytes(model.read_bytes())
    assert fd.onnx_encoder(copy).identity == fd.onnx_encoder(model).identity
    assert fd.onnx_encoder(projection_model(copy)).identity != fd.onnx_encoder(model).identity


def test_a_model_that_changed_is_refused_by_a_process_that_opens_it(model, images):
    encoder = fd.onnx_encoder(model)
    projection_model(model, size=8)
    module._sessions.clear()
    with pytest.raises(FastDiffError, match="is another file on a worker, or has changed"):
        encoder(images)
    model.unlink()
    with pytest.raises(FastDiffError, match=r"a worker cannot read the model .*No such file"):
        encoder(images)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"preset": "vgg"}, "preset='vgg' is not known; use 'clip', 'dino', 'imagenet'"),
        ({"size": (9, 8)}, "takes pictures of 8×8, not 9×8"),
        ({"layout": "chw"}, "layout='chw' is not known; use 'channels-first', 'channels-last'"),
        ({"layout": "channels-last"}, "takes pictures of shape .*, not of three channels so"),
        ({"output": "other"}, "has no output 'other'; it has vectors"),
        ({"mean": "red"}, "mean='red' cannot be used"),
        ({"scale": 0}, "scale=0 cannot be used; use finite numbers, not 0"),
        ({"scale": (1, 2)}, "one for each of three channels"),
    ],
)
def test_options_that_do_not_fit_the_model_are_refused(model, options, text):
    with pytest.raises(UsageError, match=text) as error:
        fd.onnx_encoder(model, **options)
    assert len(str(error.value).splitlines()) == 1


def test_files_that_are_no_such_model_are_refused(tmp_path, model):
    with pytest.raises(UsageError, match="cannot be read: No such file"):
        fd.onnx_encoder(tmp_path / "none.onnx")
    (tmp_path / "text.onnx").write_text("no model")
    with pytest.raises(UsageError, match="cannot be used as an ONNX model") as error:
        fd.onnx_encoder(tmp_path / "text.onnx")
    assert len(str(error.value).splitlines()) == 1
    free = mean_model(tmp_path / "free.onnx", ("n", 3, "h", "w"))
    with pytest.raises(UsageError, match=r"takes pictures of any size; give it by size=, as \(224, 224\)"):
        fd.onnx_encoder(free)
    nodes = [helper.make_node("Identity", ["pixels"], ["vectors"])]
    rows = save_model(tmp_path / "rows.onnx", nodes, (TensorProto.FLOAT, ("n", 5)), {"vectors": ("n", 5)})
    with pytest.raises(UsageError, match="it must take pictures alone"):
        fd.onnx_encoder(rows)


def test_onnxruntime_is_imported_only_when_it_is_needed():
    code = "import sys, fastdiff_dask as fd; fd.onnx_encoder; assert 'onnxruntime' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_project_encodes_by_a_model_at_its_size(tmp_path, client, model):
    paths = write_noise(tmp_path / "photos", 5, seed=3)
    db = fd.FastDifPy(tmp_path / "photos", store=tmp_path / "store", client=client, block_size=2, verbose=False)
    db.index_the_dirs()
    db.first_loop_iteration()
    db.encode(fd.onnx_encoder(model), "m")
    images = np.stack([np.asarray(Image.open(path)) for path in paths])
    np.testing.assert_allclose(db.vectors("m").compute(), images.mean(axis=(1, 2)) / 255, atol=1e-6)
    # the same model elsewhere goes on
    moved = model.with_name("moved")
    moved.mkdir()
    model.rename(moved / "mean.onnx")
    assert db.encode(fd.onnx_encoder(moved / "mean.onnx"), "m").encoded == 0
