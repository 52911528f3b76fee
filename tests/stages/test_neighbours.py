"""Neighbours in a store: resumed after a kill, the same on any cluster, of the images that are there."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from distributed import LocalCluster
from support.array_stores import add_arrays, array_store

import fastdiff_dask as fd
from fastdiff_dask.errors import UsageError
from fastdiff_dask.kernels.squared_errors import transformed_squared_errors
from fastdiff_dask.kernels.transforms import Transform, available_transforms
from fastdiff_dask.runtime.memory import check_neighbours_memory
from fastdiff_dask.storage.derived import neighbour_files
from fastdiff_dask.tasks.nearest import order_images
from fastdiff_dask.testing import simulate_images
from fastdiff_dask.vectors import nearest_pairs
from fastdiff_dask.vectors.metrics import distances

DRIVER = Path(__file__).parents[1] / "support" / "neighbours_kill_driver.py"


@pytest.fixture
def thumbnails(rng):
    base = rng.integers(0, 256, (30, 8, 8, 3), np.uint8)
    near = np.clip(base.astype(int) + rng.integers(-20, 21, base.shape), 0, 255).astype(np.uint8)
    return np.concatenate([base, np.rot90(near, axes=(1, 2)), base[:5]])


def opened(store, **options):
    return fd.FastDifPy.from_store(store.url, verbose=False, **options)


def expected(thumbnails, queries, others, k, pixels=64):
    """Rows (image_a, image_b, rank, mse, rotation, mirrored) by brute force."""
    errors, masks = transformed_squared_errors(thumbnails, thumbnails, available_transforms(8, 8))
    rows = []
    for query in queries:
        order = [other for other in np.lexsort((np.arange(len(thumbnails)), errors[query])) if other in others]
        order = [other for other in order if other != query][:k]
        for rank, other in enumerate(order, 1):
            turn = Transform.lowest(int(masks[query, other]))
            rows.append((query, other, rank, errors[query, other] / pixels, turn.degrees, turn.mirrored))
    return rows


def rows_of(frame):
    frame = frame.compute().sort_values(["image_a", "rank"])
    return list(frame[["image_a", "image_b", "rank", "mse", "rotation", "mirrored"]].itertuples(index=False, name=None))


@pytest.fixture
def made_roots(monkeypatch, tmp_path):
    """Folders of stores of arrays, which must be there to open a project."""
    real = {"/made": tmp_path / "made", "/other": tmp_path / "other"}
    for folder in real.values():
        folder.mkdir()
    return real


@pytest.fixture
def store_of(tmp_path, monkeypatch, made_roots):
    def make(thumbnails, **options):
        monkeypatch.setattr("support.array_stores.ROOTS", {name: str(path) for name, path in made_roots.items()})
        return array_store(tmp_path / "store", thumbnails, **options)

    return make


def test_neighbours_are_exact_and_named_by_paths(store_of, thumbnails, client, made_roots):
    store = store_of(thumbnails, gone=[2, 33], unread=[4])
    left = [number for number in range(65) if number not in (2, 33, 4)]
    frame = opened(store, client=client).neighbours(4)
    assert rows_of(frame) == expected(thumbnails, left, left, 4)
    computed = frame.compute()
    assert computed.columns.tolist() == ["a", "b", "rank", "mse", "rotation", "mirrored", "image_a", "image_b"]
    assert computed.a.tolist() == [f"{made_roots['/made']}/{number:05d}.png" for number in computed.image_a]
    assert frame.dtypes.drop(["a", "b"]).to_dict() == computed.dtypes.drop(["a", "b"]).to_dict()


def test_of_two_sides_neighbours_are_on_side_b(store_of, thumbnails, client):
    store = store_of(thumbnails[:48], of_b=16)
    frame = opened(store, client=client).neighbours(3)
    assert rows_of(frame) == expected(thumbnails[:48], range(32), range(32, 48), 3)


@pytest.mark.parametrize("images", [0, 1, 2])
def test_few_images_have_few_neighbours(store_of, thumbnails, client, images):
    store = store_of(thumbnails[:images])
    assert rows_of(opened(store, client=client).neighbours(3)) == expected(
        thumbnails[:images], range(images), range(images), 3
    )


def files_of(store):
    folder = Path(store.url, "neighbours")
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_any_cluster_writes_the_same_bytes(store_of, thumbnails, client, monkeypatch):
    monkeypatch.setattr(neighbour_files, "BLOCK_IMAGES", 16)
    store = store_of(thumbnails)
    rows = rows_of(opened(store, client=client).neighbours(3))
    written = files_of(store)
    assert len(written) == 7
    for name in written:
        Path(store.url, "neighbours", name).unlink()
    cluster = LocalCluster(n_workers=1, threads_per_worker=1, processes=False, dashboard_address=":0")
    with cluster, cluster.get_client() as other:
        assert rows_of(opened(store, client=other).neighbours(3)) == rows
    assert files_of(store) == written


def test_workers_in_other_processes_find_the_same(store_of, thumbnails, client):
    store = store_of(thumbnails)
    rows = rows_of(opened(store, client=client).neighbours(3))
    written = files_of(store)
    for name in written:
        Path(store.url, "neighbours", name).unlink()
    with opened(store, workers=2, threads=1) as db:
        assert rows_of(db.neighbours(3)) == rows
    assert files_of(store) == written


def test_after_a_kill_only_what_is_left_is_computed(store_of, thumbnails, client, monkeypatch):
    store = store_of(thumbnails)
    command = [sys.executable, str(DRIVER), store.url, "3", "2"]
    done = subprocess.run(command, capture_output=True, check=False)
    assert done.returncode == -9, done.stderr
    before = {name: content for name, content in files_of(store).items() if "block" in name.name}
    assert len(before) == 2
    monkeypatch.setattr(neighbour_files, "BLOCK_IMAGES", 16)
    written = []
    known = neighbour_files.NeighbourFiles.write_block
    monkeypatch.setattr(
        neighbour_files.NeighbourFiles,
        "write_block",
        lambda self, number, found: written.append(number) or known(self, number, found),
    )
    frame = opened(store, client=client).neighbours(3)
    assert len(written) == 3
    assert rows_of(frame) == expected(thumbnails, range(65), range(65), 3)
    assert {name: content for name, content in files_of(store).items() if name in before} == before


def test_nothing_is_computed_again_until_an_image_is_new(store_of, thumbnails, client):
    store = store_of(thumbnails[:40])
    rows = rows_of(opened(store, client=client).neighbours(3))
    before = {path: path.stat().st_mtime_ns for path in Path(store.url, "neighbours").rglob("*.npy")}
    assert rows_of(opened(store).neighbours(3)) == rows  # without a client
    assert {path: path.stat().st_mtime_ns for path in Path(store.url, "neighbours").rglob("*.npy")} == before
    add_arrays(store, thumbnails[40:48])
    numbers = [*range(40), *range(48, 56)]
    every = np.concatenate([thumbnails[:40], np.zeros((8, 8, 8, 3), np.uint8), thumbnails[40:48]])
    assert rows_of(opened(store, client=client).neighbours(3)) == expected(every, numbers, numbers, 3)
    assert not any(path.exists() for path in before)  # of the images that there were before


def test_questions_have_answers_of_their_own(store_of, thumbnails, client):
    store = store_of(thumbnails)
    db = opened(store, client=client)
    three, one = rows_of(db.neighbours(3)), rows_of(db.neighbours(1))
    assert one == [row for row in three if row[2] == 1]
    assert len(list(Path(store.url, "neighbours", "1").iterdir())) == 2


@pytest.mark.parametrize("k", [0, -1, 2.5, "3", True])
def test_k_is_a_whole_number(store_of, thumbnails, k):
    with pytest.raises(UsageError, match=r"k=.* cannot be used"):
        opened(store_of(thumbnails)).neighbours(k)


def test_images_must_be_read_before(tmp_path, client):
    simulate_images(tmp_path / "photos", images=3, duplicates=0)
    db = fd.FastDifPy(tmp_path / "photos", store=tmp_path / "store", client=client, verbose=False)
    with pytest.raises(UsageError, match="index_the_dirs"):
        db.neighbours()
    db.index_the_dirs()
    with pytest.raises(UsageError, match="first_loop_iteration"):
        db.neighbours()


def test_neighbours_of_files_are_mirrored_if_the_settings_say_so(tmp_path, client):
    simulate_images(tmp_path / "photos", images=4, duplicates=0)
    from PIL import Image

    first = sorted((tmp_path / "photos").iterdir())[0]
    with Image.open(first) as image:
        image.transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(tmp_path / "photos" / "a_mirrored.png")
    db = fd.FastDifPy(tmp_path / "photos", store=tmp_path / "store", client=client, verbose=False)
    db.index_the_dirs()
    db.first_loop_iteration()
    db.second_loop_iteration(mirror=True)
    frame = db.neighbours(1).compute()
    row = frame[frame.a == str(first)].iloc[0]
    assert row.b.endswith("a_mirrored.png")
    assert row.mirrored
    assert row.mse < 50


# -- vectors -----------------------------------------------------------------------------------------------------------


def by_vectors(metric, vectors, numbers, k):
    """Rows (image_a, image_b, rank, value) by brute force."""
    there = [number for number in numbers if np.isfinite(vectors[number].astype(float)).all()]
    there = [number for number in there if metric != "cosine" or vectors[number].any()]
    rows = []
    for query in there:
        others = [other for other in there if other != query]
        values = distances(metric, np.repeat(vectors[[query]], len(others), axis=0), vectors[others])
        order = np.lexsort((others, values))[:k]
        rows += [(query, others[place], rank, values[place]) for rank, place in enumerate(order.tolist(), 1)]
    return rows


@pytest.mark.parametrize("places", [32, 256])
@pytest.mark.parametrize("metric", ["cosine", "inner", "euclidean", "hamming"])
def test_neighbours_by_vectors_are_exact(store_of, thumbnails, client, rng, metric, places, monkeypatch):
    monkeypatch.setattr(neighbour_files, "BLOCK_IMAGES", 16)
    monkeypatch.setattr(neighbour_files, "NEIGHBOUR_PLACES", places)
    vectors = rng.standard_normal((65, 20)).astype(np.float32)
    vectors[10:20] = vectors[:10] + rng.standard_normal((10, 20)).astype(np.float32) / 50
    vectors[20:25] = vectors[:5]
    vectors[30], vectors[31] = 0, np.nan
    if metric == "hamming":
        vectors = rng.integers(0, 256, (65, 4), np.uint8)
    db = opened(store_of(thumbnails, gone=[7]), client=client)
    db.add_vectors("made", vectors[[number for number in range(65) if number != 7]])
    frame = db.neighbours(4, "made", metric=metric).compute().sort_values(["image_a", "rank"])
    found = list(frame[["image_a", "image_b", "rank", "value"]].itertuples(index=False, name=None))
    assert found == by_vectors(metric, vectors, [number for number in range(65) if number != 7], 4)
    assert "mse" not in frame


@pytest.fixture
def with_vectors(store_of, thumbnails, client, rng, monkeypatch):
    """A store with vectors in five strips."""
    monkeypatch.setattr(neighbour_files, "BLOCK_IMAGES", 16)
    monkeypatch.setattr(neighbour_files, "NEIGHBOUR_PLACES", 16)
    store = store_of(thumbnails)
    opened(store, client=client).add_vectors("made", rng.standard_normal((65, 20)).astype(np.float32))
    return store


def blocks_of(store):
    return {name.name: content for name, content in files_of(store).items() if name.name.startswith("block-")}


def forget_neighbours(store):
    for path in Path(store.url, "neighbours").rglob("*.npy"):
        path.unlink()


def names_written(monkeypatch):
    written, known = [], neighbour_files.NeighbourFiles._write

    def write(self, name, values):
        written.append(name)
        known(self, name, values)

    monkeypatch.setattr(neighbour_files.NeighbourFiles, "_write", write)
    return written


def test_each_pair_of_vectors_is_compared_once_where_that_can_be(with_vectors, client, monkeypatch):
    written = names_written(monkeypatch)
    opened(with_vectors, client=client).neighbours(3, "made")
    assert {f"strip-{m}-{n}.npy" for n in range(5) for m in range(n + 1)} <= set(written)
    found = blocks_of(with_vectors)
    assert len(found) == 5
    assert all(name.name.startswith(("block", "order")) for name in files_of(with_vectors))
    # a vector much longer than others: one block after the other
    forget_neighbours(with_vectors)
    monkeypatch.setattr(order_images, "largest_norm", lambda norms, metric: np.inf)
    written.clear()
    opened(with_vectors, client=client).neighbours(3, "made")
    assert not any(name.startswith("strip") for name in written)
    assert blocks_of(with_vectors) == found


def test_very_many_equal_vectors_are_compared_block_by_block(with_vectors, client, monkeypatch):
    opened(with_vectors, client=client).neighbours(3, "made")
    found = blocks_of(with_vectors)
    forget_neighbours(with_vectors)
    monkeypatch.setattr(nearest_pairs, "_POOL", 1)
    monkeypatch.setattr(nearest_pairs, "_CROWD", 0)
    written = names_written(monkeypatch)
    opened(with_vectors, client=client).neighbours(3, "made")
    assert "crowded.npy" in written
    assert blocks_of(with_vectors) == found
    assert not any(name.name.startswith("crowded") for name in files_of(with_vectors))


@pytest.mark.parametrize("most", [8, 16, 24])
def test_neighbours_by_vectors_go_on_after_a_kill(with_vectors, client, monkeypatch, most):
    opened(with_vectors, client=client).neighbours(3, "made")
    found = blocks_of(with_vectors)
    forget_neighbours(with_vectors)
    command = [sys.executable, str(DRIVER), with_vectors.url, "3", str(most), "made"]
    assert subprocess.run(command, timeout=100).returncode == -9
    there = {name.name for name in files_of(with_vectors)}
    written = names_written(monkeypatch)
    opened(with_vectors, client=client).neighbours(3, "made")
    assert blocks_of(with_vectors) == found
    again = {name for name in written if name in there}
    # of what was there, only the candidates of the strip that was at work
    assert {name.split("-")[1] for name in again if name.startswith("strip")} <= {str(n) for n in range(5)}
    assert not any(name.startswith(("limits", "block")) for name in again)


def test_workers_with_too_little_memory_are_refused():
    check_neighbours_memory(10**6, 0, 0)
    check_neighbours_memory(10**6, 0, 300_000_000)
    with pytest.raises(UsageError, match=r"neighbours of 10000000 images needs 1 GB .* has 0.3 GB"):
        check_neighbours_memory(10**7, 0, 300_000_000)
    with pytest.raises(UsageError, match=r"needs 0.368 GB"):
        check_neighbours_memory(10**7, 512, 300_000_000)


def test_mistakes_about_vectors_are_told(store_of, thumbnails, client, rng):
    db = opened(store_of(thumbnails), client=client)
    with pytest.raises(UsageError, match="no vectors 'made' in the store"):
        db.neighbours(4, "made")
    with pytest.raises(UsageError, match="metric= is for vectors"):
        db.neighbours(4, metric="cosine")
    db.add_vectors("made", rng.standard_normal((65, 3)))
    with pytest.raises(UsageError, match="metric='sine' is not known"):
        db.neighbours(4, "made", metric="sine")
    with pytest.raises(UsageError, match="counts bits"):
        db.neighbours(4, "made", metric="hamming")
