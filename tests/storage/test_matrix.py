"""The dense matrix on disk: chunk by chunk, resumed by chunk, the same bytes every time."""

import signal
import subprocess
import sys

import dask
import dask.array as da
import numpy as np
import pytest
import zarr

import fastdiff_dask as fd
from fastdiff_dask.errors import StoreMismatchError, UsageError
from fastdiff_dask.kernels import squared_errors
from fastdiff_dask.storage.derived import matrix
from fastdiff_dask.storage.derived.matrix import DenseMatrix
from fastdiff_dask.testing import reference_sse, simulate_images


@pytest.fixture
def images(rng):
    return rng.integers(0, 256, (7, 8, 8, 3), dtype=np.uint8)


@pytest.fixture
def computed(monkeypatch):
    """Shapes of the chunks that were computed."""
    shapes, kernel = [], squared_errors.mean_squared_errors

    def counted(a, b, transforms):
        shapes.append((len(a), len(b)))
        return kernel(a, b, transforms)

    monkeypatch.setattr("fastdiff_dask.tasks.mse_chunk.mean_squared_errors", counted)
    monkeypatch.setattr("fastdiff_dask.tasks.mse_chunk.mean_squared_errors", counted)
    return shapes


def chunks_of(folder):
    return {path.name: path.stat().st_mtime_ns for path in folder.glob("c.*.*")}


@pytest.mark.parametrize(("rotations", "mirror"), [(True, False), (False, False), (True, True)])
def test_is_written_and_read_again(tmp_path, images, rotations, mirror):
    lazy = da.from_array(images, chunks=(3, -1, -1, -1))
    options = {"rotations": rotations, "mirror": mirror}
    matrix = fd.pairwise_mse(lazy, persist=True, store=str(tmp_path / "matrix"), **options)
    wanted = reference_sse(images, images, **options) / 64
    assert isinstance(matrix, da.Array)
    assert matrix.chunks == ((3, 3, 1),) * 2
    np.testing.assert_array_equal(matrix.compute(), wanted)
    stored = zarr.open_array(tmp_path / "matrix", mode="r")
    np.testing.assert_array_equal(stored[:], wanted)
    assert stored.metadata.dimension_names == ("a", "b")


def test_of_two_collections_and_of_arrays_without_chunks(tmp_path, images, rng):
    others = rng.integers(0, 256, (4, 8, 8, 3), dtype=np.uint8)
    matrix = fd.pairwise_mse(images, others, persist=True, store=str(tmp_path / "matrix"))
    np.testing.assert_array_equal(matrix.compute(), reference_sse(images, others) / 64)


def test_only_missing_chunks_are_computed(tmp_path, images, computed):
    lazy = da.from_array(images, chunks=(3, -1, -1, -1))
    place = tmp_path / "matrix"
    whole = fd.pairwise_mse(lazy, persist=True, store=str(place)).compute()
    assert len(computed) == 6  # each pair of chunks once: the other half is transposed
    before = chunks_of(place)
    assert len(before) == 9
    computed.clear()
    fd.pairwise_mse(lazy, persist=True, store=str(place))
    assert not computed
    (place / "c.0.1").unlink()
    (place / "c.2.2").unlink()
    again = fd.pairwise_mse(lazy, persist=True, store=str(place)).compute()
    np.testing.assert_array_equal(again, whole)
    assert sorted(computed) == [(1, 1), (3, 3)]
    after = chunks_of(place)
    assert {name for name in before if before[name] != after[name]} == {"c.0.1", "c.1.0", "c.2.2"}


def test_goes_on_after_it_was_stopped(tmp_path, images, computed, monkeypatch):
    lazy = da.from_array(images, chunks=(2, -1, -1, -1))
    place = str(tmp_path / "matrix")
    write, written = DenseMatrix.write, []

    def stops(self, values, i, j, symmetric):
        if len(written) == 4:
            raise KeyboardInterrupt
        written.append((i, j))
        write(self, values, i, j, symmetric)

    with monkeypatch.context() as patch, dask.config.set(scheduler="sync"):
        patch.setattr(DenseMatrix, "write", stops)
        with pytest.raises(KeyboardInterrupt):
            fd.pairwise_mse(lazy, persist=True, store=place)
    computed.clear()
    matrix = fd.pairwise_mse(lazy, persist=True, store=place)
    assert len(computed) == 10 - 4
    np.testing.assert_array_equal(matrix.compute(), reference_sse(images, images) / 64)


def test_a_matrix_of_zeros_is_finished(tmp_path, computed):
    black = np.zeros((3, 8, 8, 3), np.uint8)
    for _ in range(2):
        matrix = fd.pairwise_mse(black, persist=True, store=str(tmp_path / "matrix"))
        assert (matrix.compute() == 0).all()
    assert len(computed) == 1


def test_works_behind_an_address_that_is_no_folder(images):
    matrix = fd.pairwise_mse(images, persist=True, store="memory://dense-matrix")
    np.testing.assert_array_equal(matrix.compute(), reference_sse(images, images) / 64)


def test_a_matrix_of_other_images_is_refused(tmp_path, images):
    place = str(tmp_path / "matrix")
    fd.pairwise_mse(images, persist=True, store=place)
    for other, options in ((images[:5], {}), (images, {"rotations": False}), (images[::-1], {})):
        with pytest.raises(StoreMismatchError, match="no matrix of these images"):
            fd.pairwise_mse(other, persist=True, store=place, **options)


def test_a_foreign_folder_is_left_alone(tmp_path, images):
    (tmp_path / "letter.txt").write_text("dear")
    with pytest.raises(StoreMismatchError, match=r"other files \('letter.txt'\)"):
        fd.pairwise_mse(images, persist=True, store=str(tmp_path))
    with pytest.raises(StoreMismatchError, match="is a file"):
        fd.pairwise_mse(images, persist=True, store=str(tmp_path / "letter.txt"))
    assert [path.name for path in tmp_path.iterdir()] == ["letter.txt"]


def test_persist_and_store_go_together(images):
    with pytest.raises(UsageError, match="needs a folder"):
        fd.pairwise_mse(images, persist=True)
    with pytest.raises(UsageError, match="needs persist"):
        fd.pairwise_mse(images, store="somewhere")


def test_irregular_chunks_are_refused(tmp_path, images):
    lazy = da.from_array(images, chunks=((1, 4, 2), -1, -1, -1))
    with pytest.raises(UsageError, match=r"rechunk\(\)"):
        fd.pairwise_mse(lazy, persist=True, store=str(tmp_path / "matrix"))
    assert not (tmp_path / "matrix").exists()


@pytest.fixture
def project(tmp_path):
    simulate_images(tmp_path / "photos", images=9, duplicates=3, size=(40, 30))
    (tmp_path / "photos" / "bad.jpg").write_text("no picture")
    options = {"store": str(tmp_path / "store"), "block_size": 4, "threads": 2, "dashboard_address": "127.0.0.1:0"}

    def opened(**more):
        db = fd.FastDifPy(tmp_path / "photos", **(options | more), verbose=False)
        db.index_the_dirs()
        db.first_loop_iteration()
        return db

    return opened


@pytest.mark.parametrize(("rotations", "mirror"), [(True, False), (False, False), (True, True)])
def test_of_a_project_equals_the_lazy_one(project, rotations, mirror, computed):
    with project() as db:
        lazy = db.mse(rotations=rotations, mirror=mirror).compute()
        computed.clear()
        matrix = db.mse(rotations=rotations, mirror=mirror, persist=True)
        np.testing.assert_array_equal(matrix.compute(), lazy)
        assert np.isnan(lazy).sum() == 2 * 13 - 1
        assert len(computed) == 10  # pairs of 4 blocks
        computed.clear()
        np.testing.assert_array_equal(db.mse(rotations=rotations, mirror=mirror, persist=True).compute(), lazy)
        assert not computed


def test_of_a_project_grows_with_it(project, tmp_path, computed):
    with project() as db:
        db.mse(persist=True)
        folder = tmp_path / "store" / "arrays.zarr" / "mse-rotations"
        before = chunks_of(folder)
        assert len(before) == 16
        (tmp_path / "photos" / "picture_00002.jpg").unlink()
        simulate_images(tmp_path / "photos" / "more", images=3, duplicates=0, size=(40, 30), seed=1)
        db.index_the_dirs()
        db.first_loop_iteration()
        computed.clear()
        matrix = db.mse(persist=True).compute()
        assert len(computed) == 5  # the new block with all five
        assert chunks_of(folder).items() >= before.items()
        np.testing.assert_array_equal(matrix, db.mse().compute())
        assert len(matrix) == 13 - 1 + 3


def test_of_two_sides_has_the_one_in_rows_and_the_other_in_columns(tmp_path):
    simulate_images(tmp_path / "a", images=5, duplicates=0, size=(40, 30))
    simulate_images(tmp_path / "b", images=6, duplicates=0, size=(40, 30), seed=0)
    with fd.FastDifPy(
        tmp_path / "a",
        tmp_path / "b",
        store=str(tmp_path / "store"),
        block_size=4,
        threads=1,
        dashboard_address="127.0.0.1:0",
        verbose=False,
    ) as db:
        db.index_the_dirs()
        with pytest.raises(UsageError, match="first_loop_iteration"):
            db.mse(persist=True)
        db.first_loop_iteration()
        matrix = db.mse(persist=True).compute()
        assert matrix.shape == (5, 6)
        assert (np.diag(matrix) == 0).all()
        np.testing.assert_array_equal(matrix, db.mse().compute())


def test_chunks_that_do_not_fit_are_refused(project, monkeypatch):
    with project() as db:
        monkeypatch.setattr("fastdiff_dask.results.dask_collections.capacity", lambda client: _Room(2, 1000))
        with pytest.raises(UsageError, match="a chunk of 4 × 4 pairs needs"):
            db.mse(persist=True)


class _Room:
    def __init__(self, threads, bytes_per_task):
        self.threads, self.bytes_per_task = threads, bytes_per_task


def test_large_thumbnails_are_prepared_a_few_at_a_time(rng, monkeypatch):
    from fastdiff_dask.kernels import squared_errors, transforms

    a, b = (rng.integers(0, 256, (n, 9, 9, 3), dtype=np.uint8) for n in (7, 5))
    monkeypatch.setattr("fastdiff_dask.kernels.squared_errors._PREPARED_BYTES", 3 * 4 * 9 * 9 * 3)
    monkeypatch.setattr("fastdiff_dask.kernels.squared_errors._BATCH_BYTES", 2 * 4 * 9 * 9 * 3)
    transforms = transforms.available_transforms(9, 9, mirror=True)
    for second in (a, b):
        wanted = reference_sse(a, second, mirror=True) / 81
        np.testing.assert_array_equal(squared_errors.mean_squared_errors(a, second, transforms), wanted)


def test_each_pair_is_computed_once_in_memory_too(images, computed):
    lazy = da.from_array(images, chunks=(2, -1, -1, -1))
    fd.pairwise_mse(lazy).compute()
    assert len(computed) == 10
    computed.clear()
    fd.pairwise_mse(lazy, lazy + 0).compute()
    assert len(computed) == 16


def test_long_collections_have_a_short_graph(monkeypatch, images):
    monkeypatch.setattr("fastdiff_dask.stages.pairwise._MOST_BLOCKS", 2)
    lazy = da.from_array(images, chunks=(2, -1, -1, -1))
    np.testing.assert_array_equal(fd.pairwise_mse(lazy).compute(), reference_sse(images, images) / 64)


def test_what_is_there_is_no_matrix_any_more(tmp_path, images):
    place = tmp_path / "matrix"
    fd.pairwise_mse(images, persist=True, store=str(place))
    (place / "zarr.json").write_text("{}")
    with pytest.raises(StoreMismatchError, match="delete this one"):
        fd.pairwise_mse(images, persist=True, store=str(place))
    assert matrix.DenseMatrix(str(place)).url == str(place)


def test_what_a_killed_process_left_is_in_nobodys_way(tmp_path, images):
    place = tmp_path / "matrix"
    place.mkdir()
    (place / "zarr.json.0123.partial").write_text("{")
    matrix = fd.pairwise_mse(images, persist=True, store=str(place))
    np.testing.assert_array_equal(matrix.compute(), reference_sse(images, images) / 64)


def test_other_images_at_the_same_address_are_other_images(tmp_path, images):
    zarr.save_array(tmp_path / "images", images)
    fd.pairwise_mse(da.from_zarr(str(tmp_path / "images")), persist=True, store=str(tmp_path / "matrix"))
    zarr.open_array(tmp_path / "images", mode="r+")[0] = 0
    with pytest.raises(StoreMismatchError, match="no matrix of these images"):
        fd.pairwise_mse(da.from_zarr(str(tmp_path / "images")), persist=True, store=str(tmp_path / "matrix"))


def test_images_that_were_not_read_have_no_distances(tmp_path):
    simulate_images(tmp_path / "photos", images=3, duplicates=0, size=(40, 30))
    with fd.FastDifPy(tmp_path / "photos", store=str(tmp_path / "store"), verbose=False) as db:
        db.index_the_dirs()
        with pytest.raises(UsageError, match="first_loop_iteration"):
            db.mse()
        with pytest.raises(UsageError, match="first_loop_iteration"):
            _ = db.thumbnails


KILLED = """
import os, signal, sys
import dask
import dask.array as da
import numpy as np
import fastdiff_dask as fd
from fastdiff_dask.storage.derived.matrix import DenseMatrix
write, written = DenseMatrix.write, []
def killed(self, *arguments):
    if len(written) == 5:
        os.kill(os.getpid(), signal.SIGKILL)
    written.append(arguments)
    write(self, *arguments)
DenseMatrix.write = killed
with dask.config.set(scheduler="sync"):
    fd.pairwise_mse(da.from_array(np.load(sys.argv[1]), chunks=(2, -1, -1, -1)), persist=True, store=sys.argv[2])
"""


def test_goes_on_after_sigkill(tmp_path, images, computed):
    np.save(tmp_path / "images.npy", images)
    command = [sys.executable, "-c", KILLED, str(tmp_path / "images.npy"), str(tmp_path / "matrix")]
    assert subprocess.run(command, check=False).returncode == -signal.SIGKILL
    lazy = da.from_array(images, chunks=(2, -1, -1, -1))
    matrix = fd.pairwise_mse(lazy, persist=True, store=str(tmp_path / "matrix"))
    np.testing.assert_array_equal(matrix.compute(), reference_sse(images, images) / 64)
    assert len(computed) == 10 - 5
