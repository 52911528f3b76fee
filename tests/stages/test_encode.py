"""Vectors that functions make: values, resuming by block, only new images later, mistakes, lost pictures."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import fastdiff_dask as fd
from fastdiff_dask.config import ThumbnailSettings
from fastdiff_dask.errors import FastDiffError, StoreMismatchError, UsageError
from fastdiff_dask.runtime.memory import check_encode_memory
from fastdiff_dask.storage.derived.vectors import Vectors
from fastdiff_dask.storage.store import Store

SIZE = {"thumbnail_size_x": 8, "thumbnail_size_y": 8, "verbose": False}


@pytest.fixture
def pixels(rng) -> np.ndarray:
    return rng.integers(0, 256, (11, 16, 12, 3), dtype=np.uint8)


@pytest.fixture
def folder(tmp_path, pixels) -> Path:
    (tmp_path / "photos").mkdir()
    for number, image in enumerate(pixels):
        Image.fromarray(image).save(tmp_path / "photos" / f"{number:03d}.png")
    return tmp_path


def opened(folder: Path, client: object, **options: object) -> fd.FastDifPy:
    db = fd.FastDifPy(folder / "photos", store=folder / "store", client=client, **({"block_size": 4} | SIZE | options))
    db.index_the_dirs()
    db.first_loop_iteration()
    return db


def means(images):
    return images.mean(axis=(1, 2))


def noted(note: Path) -> Callable:
    """A function that notes the shapes of what it got in a file."""
    text = str(note)

    def encode(images):
        with open(text, "a") as calls:  # noqa: PTH123 - a path would be part of what the function is
            calls.write(f"{len(images)}x{images.shape[1]}x{images.shape[2]} ")
        assert images.dtype == np.uint8
        return images.mean(axis=(1, 2))

    return encode


def test_thumbnails_are_encoded_in_the_order_of_the_images(folder, client):
    db = opened(folder, client)
    counts = db.encode(means, "means", batch_size=3)
    assert counts == (11, 0, "")
    vectors = db.vectors("means")
    assert (vectors.shape, vectors.dtype) == ((11, 3), np.float32)
    expected = db.thumbnails.compute().mean(axis=(1, 2)).astype(np.float32)
    np.testing.assert_array_equal(vectors.compute(), expected)
    assert db.vector_names == ["means"]


@pytest.mark.parametrize("options", [{}, {"size": 8}])
def test_several_tasks_share_a_block_and_it_is_committed_as_a_whole(folder, client, options):
    """One block, and two images a task: the same vectors as by one task, and failures are counted over all."""
    (folder / "photos" / "bad.png").write_text("no picture")
    db = opened(folder, client, block_size=1024)

    def some(images):
        found = images.mean(axis=(1, 2))
        found[found[:, 0] > 127] = np.nan
        return found

    counts = db.encode(some, "parts", batch_size=1, **options)
    assert counts == db.encode(some, "whole", batch_size=64, **options)
    assert 0 < counts.failed < 11
    np.testing.assert_array_equal(db.vectors("parts").compute(), db.vectors("whole").compute())
    assert len(db.vectors("parts")) == 12


def test_pictures_are_read_again_at_a_size_upright_and_in_batches(folder, client, pixels):
    turned = Image.fromarray(pixels[0])
    exif = Image.Exif()
    exif[0x0112] = 6
    turned.save(folder / "photos" / "turned.png", exif=exif)
    db = opened(folder, client)
    note = folder / "note"
    assert db.encode(noted(note), "v", size=(16, 12), batch_size=3).encoded == 12
    # two to try it out, then a block at a time: 4 are 3 and 1
    assert sorted(note.read_text().split()) == sorted(["2x16x12", *["3x16x12", "1x16x12"] * 3])
    vectors = db.vectors("v").compute()
    np.testing.assert_allclose(vectors[:11], pixels.mean(axis=(1, 2)), rtol=1e-6)
    upright = (
        Image.fromarray(pixels[0]).transpose(Image.Transpose.ROTATE_270).resize((12, 16), Image.Resampling.BICUBIC)
    )
    np.testing.assert_allclose(vectors[11], np.asarray(upright).mean(axis=(0, 1)), atol=2)


def test_a_function_of_paths_gets_each_file_once(folder, client):
    db = opened(folder, client)

    def size_of(path):
        with Image.open(path) as image:
            return np.array([image.width, image.height, int(path[-7:-4])])

    assert db.encode(size_of, "sizes", per_file=True, dtype="uint8").encoded == 11
    assert db.vectors("sizes").compute().tolist() == [[12, 16, number] for number in range(11)]


def test_only_new_images_are_encoded_later_and_nothing_if_there_are_none(folder, client, rng):
    note = folder / "note"
    function = noted(note)
    opened(folder, client).encode(function, "v", size=(16, 12))
    before = len(note.read_text().split())
    Image.fromarray(rng.integers(0, 256, (16, 12, 3), dtype=np.uint8)).save(folder / "photos" / "new.png")
    db = opened(folder, client)
    with pytest.raises(UsageError, match="1 image new since then has no vectors 'v' yet; call encode"):
        db.vectors("v")
    assert db.encode(function, "v", size=(16, 12)) == (1, 0, "")
    assert note.read_text().split()[before:] == ["1x16x12"]
    assert db.encode(function, "v", size=(16, 12)) == (0, 0, "")
    assert db.vectors("v").shape == (12, 3)
    assert not np.isnan(db.vectors("v").compute()).any()


def test_a_run_goes_on_with_the_blocks_that_are_left(folder, client):
    note = folder / "note"
    function = noted(note)
    db = opened(folder, client)
    db.encode(function, "v")
    vectors = Vectors(Store(db.store_url), "v")
    assert vectors.finished_blocks() == {0, 1, 2}
    expected = db.vectors("v").compute()
    note.unlink()
    (Path(db.store_url) / "arrays.zarr/vectors/v/there/c.1").unlink()  # as if it was killed before that
    assert db.encode(function, "v").encoded == 4
    assert note.read_text().split() == ["4x8x8"]
    np.testing.assert_array_equal(db.vectors("v").compute(), expected)


@pytest.mark.parametrize("way", ["function", "size", "dtype", "files"])
def test_vectors_of_another_way_under_the_same_name_are_refused_with_both(folder, client, way):
    db = opened(folder, client)
    db.encode(means, "v")
    changed = {"function": {}, "size": {"size": 16}, "dtype": {"dtype": "float16"}, "files": {"per_file": True}}[way]
    function = (lambda images: images.mean(axis=(1, 2)) + 1) if way == "function" else means
    with pytest.raises(StoreMismatchError, match=r"'v' of .* made with .*, not .*; use another name") as error:
        db.encode(function, "v", **changed)
    shown = {"function": "function ", "size": "pictures of 16×16", "dtype": "dtype float16", "files": "input files"}
    assert shown[way] in str(error.value)
    assert len(str(error.value).splitlines()) == 1


def test_pictures_that_are_gone_or_changed_have_no_vector(folder, client):
    db = opened(folder, client)
    (folder / "photos" / "002.png").unlink()
    (folder / "photos" / "005.png").write_bytes((folder / "photos" / "006.png").read_bytes())
    counts = db.encode(means, "v", size=8)
    assert (counts.encoded, counts.failed) == (9, 2)
    assert counts.failure
    vectors = db.vectors("v").compute()
    assert np.flatnonzero(np.isnan(vectors).all(axis=1)).tolist() == [2, 5]


def test_a_file_at_which_a_function_of_paths_fails_costs_its_image(folder, client):
    db = opened(folder, client)

    def picky(path):
        if path.endswith("003.png"):
            raise ValueError("no such thing")
        return np.ones(2)

    counts = db.encode(picky, "v", per_file=True)
    assert (counts.encoded, counts.failed) == (10, 1)
    assert "003.png (ValueError: no such thing)" in counts.failure


def test_a_function_that_fails_at_all_files_of_the_first_block_stops(folder, client):
    db = opened(folder, client)

    def broken(path):
        raise ValueError("no such thing")

    with pytest.raises(FastDiffError, match=r"none of 4 images has a vector: .*broken failed at .*ValueError"):
        db.encode(broken, "v", per_file=True)
    assert Vectors(Store(db.store_url), "v").kind() is None


def test_vectors_that_are_not_finite_are_not_there(folder, client):
    db = opened(folder, client)

    def odd(images):
        found = images.mean(axis=(1, 2))
        found[0, 0] = np.nan
        found[1, 1] = 1e30  # infinite as float16
        return found

    counts = db.encode(odd, "v", dtype="float16")
    assert (counts.encoded, counts.failed, counts.failure) == (5, 6, "a vector is not finite")


def raising(images):
    raise KeyError("weights")


def leaving(images):
    raise SystemExit(3)


def flat(images):
    return images.mean(axis=(1, 2, 3))


def fewer(images):
    return images.mean(axis=(1, 2))[:-1]


def words(images):
    return np.array([["a", "b"]] * len(images))


def changing(images):
    return np.zeros((len(images), 2 + len(images)))


def writing(images):
    images[:] = 0
    return images


@pytest.mark.parametrize(
    ("function", "text"),
    [
        (raising, r"raising failed \(KeyError: 'weights'\); its block is not stored"),
        (leaving, r"leaving failed \(SystemExit: 3\)"),
        (flat, r"flat gave an array of shape \(2,\) for 2 images; it must give \(n, d\)"),
        (fewer, r"fewer gave an array of shape \(1, 3\) for 2 images"),
        (words, "words gave <U1 of shape .*; it must give 1 to 65,536 numbers an image"),
        (changing, "changing gave 6 values for some images and 4 for others"),
        (writing, "writing failed .ValueError: .*read-only"),
    ],
)
def test_a_function_that_fails_or_gives_something_else_stops_with_one_line(folder, client, function, text):
    db = opened(folder, client)
    with pytest.raises(FastDiffError, match=text) as error:
        db.encode(function, "v")
    assert len(str(error.value).splitlines()) == 1


def test_a_name_is_free_again_as_long_as_nothing_was_made(folder, client):
    db = opened(folder, client)
    with pytest.raises(FastDiffError, match="raising failed"):
        db.encode(raising, "v")
    assert db.encode(means, "v").encoded == 11
    np.testing.assert_array_equal(
        db.vectors("v").compute(), db.thumbnails.compute().mean(axis=(1, 2), dtype=np.float32)
    )


def test_whole_numbers_that_do_not_fit_are_refused(folder, client):
    db = opened(folder, client)
    with pytest.raises(FastDiffError, match="beyond int8; give whole numbers from -128 to 127"):
        db.encode(lambda images: images[:, 0, 0].astype(np.int64) + 1000, "v", dtype="int8")
    with pytest.raises(FastDiffError, match="float64 beyond uint8"):
        db.encode(means, "v2", dtype="uint8")


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"batch_size": 0}, "batch_size=0 cannot be used"),
        ({"dtype": "int64"}, "dtype='int64' cannot be used for vectors; use 'float16'"),
        ({"dtype": "nonsense"}, "dtype='nonsense' cannot be used for vectors"),
        ({"size": (8, 8, 3)}, r"size=\(8, 8, 3\) cannot be used"),
        ({"size": 0}, "size=0 cannot be used"),
        ({"size": 8, "per_file": True}, "size= is for functions of pictures"),
    ],
)
def test_arguments_that_cannot_be_used_are_refused(folder, client, options, text):
    db = opened(folder, client)
    with pytest.raises(UsageError, match=text):
        db.encode(means, "v", **options)
    assert db.vector_names == []


def test_what_is_no_function_and_what_was_not_read_is_refused(folder, client):
    db = fd.FastDifPy(folder / "photos", store=folder / "store", client=client, **SIZE)
    db.index_the_dirs()
    with pytest.raises(UsageError, match="some images were not read yet"):
        db.encode(means, "v")
    with pytest.raises(UsageError, match=r"function= is of type str; use a function of images"):
        db.encode("model.onnx", "v")
    db.first_loop_iteration()
    with pytest.raises(UsageError, match="no vectors 'v' in the store, which has: none; call encode"):
        db.vectors("v")


def test_memory_is_checked_before_anything_is_encoded():
    check_encode_memory(ThumbnailSettings(), (224, 224), 64, 0)
    with pytest.raises(UsageError, match=r"encoding 4096 pictures at once needs 1.23 GB, .* use a smaller batch_size"):
        check_encode_memory(ThumbnailSettings(), (224, 224), 4096, 10**9)


def test_the_example_of_an_image_beside_images_that_cannot_be_read(folder, client):
    """Unreadable images have no vector and are not counted as failed: they failed before."""
    (folder / "photos" / "bad.png").write_text("no picture")
    db = opened(folder, client)
    assert db.encode(means, "v") == (11, 0, "")
    vectors = db.vectors("v").compute()
    assert np.isnan(vectors).all(axis=1).sum() == 1
    assert len(vectors) == len(db.images) == 12
