"""Vectors on workers: the pairs of all distances, to the bit, whatever the tiles, the sides and the filters are."""

import numpy as np
import pytest

import fastdiff_dask as fd
from fastdiff_dask.config import CompareSettings
from fastdiff_dask.errors import FastDiffError
from fastdiff_dask.runtime.memory import vector_sub_block_bytes
from fastdiff_dask.storage.arrays import RowKind
from fastdiff_dask.storage.comparisons import Comparison
from fastdiff_dask.storage.derived.directions import StoredDirections, read_directions, write_directions
from fastdiff_dask.storage.derived.vectors import Vectors
from fastdiff_dask.storage.pairs import read_pairs
from fastdiff_dask.storage.store import Store
from fastdiff_dask.tasks import plan_part as planning
from fastdiff_dask.tasks import vector_signatures
from fastdiff_dask.tasks.compare_tile import TileTask, compare_tile
from fastdiff_dask.tasks.plan_part import plan_part
from fastdiff_dask.testing import simulate_images
from fastdiff_dask.vectors.metrics import distances, limit_of

IMAGES = 36
METRICS = [("cosine", 0.9), ("inner", 0.9), ("euclidean", 0.5)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("vectors")
    for number, name in enumerate(("one", "two")):
        simulate_images(folder / name, images=18, duplicates=0, size=(20, 12), seed=number)
    return folder


@pytest.fixture
def store_of(folder, tmp_path, client):
    def store_of(*sides):
        db = fd.FastDifPy(*(sides or [folder]), store=tmp_path / "store", client=client, verbose=False, block_size=5)
        with db:
            db.index_the_dirs()
            db.first_loop_iteration()
            return Store(db.store_url)

    return store_of


@pytest.fixture
def vectors():
    """Vectors of length about 1 in bunches; some are not there, and one is 0."""
    rng = np.random.default_rng(0)
    centres = rng.standard_normal((12, 20))
    values = np.repeat(centres / np.linalg.norm(centres, axis=1)[:, None], 3, axis=0)
    values = (values + 0.05 * rng.standard_normal(values.shape))[rng.permutation(IMAGES)]
    values[11] = 0
    return values


THERE = np.arange(IMAGES) % 17 != 3


def write(store, values, name="v", blocks=None):
    """Store vectors, by images in their order."""
    held = Vectors(store, name)
    held.begin({"function": "mine"})
    rows = [len(store.read_partition(block, ["error"])) for block in range(store.blocks)]
    start = 0
    for block, count in enumerate(rows):
        some = slice(start, start + count)
        if blocks is None or block in blocks:
            if held.kind() is None:
                held.record(vector_kind(values))
            held.write(block, values[some], THERE[some])
        start += count


def vector_kind(values):
    return RowKind(values.shape[1:], values.dtype.name)


def numbers_of(store):
    """Number of each image in the store, in their order."""
    size = store.thumbnail_settings.block_size
    rows = [np.arange(len(store.read_partition(block, ["error"]))) + block * size for block in range(store.blocks)]
    return np.concatenate(rows)


def found_by(store, settings, **plan):
    """Pairs of images that a comparison gives → distance."""
    part = plan_part(store.url, settings, 1, 0, **plan)
    comparison = Comparison(Store(store.url), settings)
    for one in comparison.plans():
        for number in one.pending():
            task = TileTask(number, one.tiles[number], one.rows, one.columns)
            compare_tile(store.url, settings, comparison.parts(), task, None)
    assert part.sub_block == plan.get("sub_block", 256)
    rows = np.concatenate([np.zeros((0, 4), np.int64), *read_pairs(comparison, comparison.plans())])
    assert (rows[:, 3] == 1).all()
    places = {number: place for place, number in enumerate(numbers_of(store).tolist())}
    return {
        (places[a], places[b]): value
        for a, b, value in zip(*rows[:, :2].T.tolist(), rows[:, 2].view(float).tolist(), strict=True)
    }


def wanted_of(values, metric, limit, is_pair=lambda i, j: i < j):
    there = THERE & ((values != 0).any(axis=1) | (metric != "cosine"))
    pairs = [(i, j) for i in range(IMAGES) for j in range(IMAGES) if is_pair(i, j) and there[i] and there[j]]
    i, j = np.array(pairs).T
    found = zip(pairs, distances(metric, values[i], values[j]).tolist(), strict=True)
    return {pair: value for pair, value in found if value <= limit}


def settings_of(metric, limit, **more):
    return CompareSettings(similarity_threshold=limit, measure=metric, vectors="v", rotations=False, **more)


@pytest.mark.parametrize(("metric", "threshold"), METRICS)
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "int8"])
def test_pairs_are_those_of_all_distances(store_of, vectors, metric, threshold, dtype):
    store, limit = store_of(), limit_of(metric, threshold)
    if dtype == "int8":
        vectors, limit = vectors * 60, limit * 3600 if metric == "inner" else limit * 60
    vectors = vectors.astype(dtype)
    write(store, vectors)
    wanted = wanted_of(vectors, metric, limit)
    assert len(wanted) > 20
    found = [found_by(store, settings_of(metric, limit), sub_block=4, tile_side=2)]
    # another tiling gives the same bytes, and another limit some of them
    nearer = sorted(wanted.values())[len(wanted) // 2]
    found.append(found_by(store, settings_of(metric, nearer)))
    assert found[0] == wanted
    assert found[1] == {pair: value for pair, value in wanted.items() if value <= nearer}


@pytest.mark.parametrize(("metric", "threshold"), METRICS)
def test_one_side_is_compared_with_the_other(store_of, folder, vectors, metric, threshold):
    store, limit = store_of(folder / "one", folder / "two"), limit_of(metric, threshold)
    write(store, vectors)
    wanted = wanted_of(vectors, metric, limit, lambda i, j: i < 18 <= j)
    assert wanted
    assert found_by(store, settings_of(metric, limit), sub_block=3, tile_side=2) == wanted


def test_filters_leave_out_pairs(store_of, vectors):
    store = store_of()
    write(store, vectors)
    sizes = np.concatenate(
        [store.read_partition(block, ["width", "height"]).to_numpy() for block in range(store.blocks)]
    )
    limit = limit_of("cosine", 0.1)
    wanted = wanted_of(vectors, "cosine", limit, lambda i, j: i < j and (sizes[i] == sizes[j]).all())
    assert found_by(store, settings_of("cosine", limit, match_aspect_by=0), sub_block=4) == wanted


def test_later_images_are_compared_by_the_directions_of_the_first(folder, tmp_path, client, vectors, store_of):
    photos = tmp_path / "photos"
    photos.mkdir()
    names = sorted((folder / "one").iterdir()) + sorted((folder / "two").iterdir())
    settings, directions = settings_of("euclidean", 0.5), []
    for part in (names[:18], names[18:]):
        for number, name in enumerate(part):
            (photos / f"{len(directions)}-{number:02}{name.suffix}").write_bytes(name.read_bytes())
        with fd.FastDifPy(photos, store=tmp_path / "store", client=client, verbose=False, block_size=9) as db:
            db.index_the_dirs()
            db.first_loop_iteration()
            store = Store(db.store_url)
        count = len(numbers_of(store))
        write(store, vectors[:count], blocks=range(len(directions) * 2, store.blocks))
        Vectors(store, "v").record(vector_kind(vectors))
        if directions:
            write(store, vectors, blocks=range(2, 4))
        found = found_by(store, settings, sub_block=4)
        directions.append(read_directions(store, "v", "euclidean").directions.tobytes())
    assert found == wanted_of(vectors, "euclidean", 0.5)
    assert directions[0] == directions[1]


@pytest.mark.parametrize("length", [1, 3])
def test_short_vectors_have_short_signatures(store_of, vectors, length):
    store = store_of()
    write(store, vectors[:, :length])
    found = found_by(store, settings_of("euclidean", 0.05), sub_block=4)
    assert found == wanted_of(vectors[:, :length], "euclidean", 0.05)


def test_signatures_that_are_not_held_are_computed_again(store_of, vectors, monkeypatch):
    store = store_of()
    write(store, vectors)
    monkeypatch.setattr(planning, "_HELD", 0)
    monkeypatch.setattr(vector_signatures, "_READ_BYTES", 1000)
    assert found_by(store, settings_of("euclidean", 0.5), sub_block=4) == wanted_of(vectors, "euclidean", 0.5)


def test_tiles_are_smaller_where_memory_is(store_of, vectors, monkeypatch):
    store = store_of()
    write(store, vectors)
    monkeypatch.setattr(planning, "verify_bytes", lambda thumbnails: 0)
    room = 5 * vector_sub_block_bytes(20, 160, 1)
    assert plan_part(store.url, settings_of("euclidean", 0.5), 1, room, sub_block=1).tile_side == 5


def test_a_store_without_usable_vectors_has_no_pairs(store_of):
    store = store_of()
    write(store, np.zeros((IMAGES, 4), np.float32))
    assert found_by(store, settings_of("cosine", 2.0)) == {}
    assert read_directions(store, "v", "cosine") is None


def test_directions_are_read_as_they_were_written(store_of, vectors, tmp_path):
    store = store_of()
    write(store, vectors)
    stored = StoredDirections(np.arange(20.0), -1060, np.eye(20)[:3])
    assert read_directions(store, "v", "inner") is None
    write_directions(store, "v", "inner", stored)
    found = read_directions(store, "v", "inner")
    assert found.exponent == -1060
    assert found.mean.tolist() == stored.mean.tolist()
    assert found.directions.tolist() == stored.directions.tolist()
    assert read_directions(store, "v", "cosine") is None
    with pytest.raises(FastDiffError, match="directions of the vectors 'v' were removed meanwhile"):
        vector_signatures.read_projection(store, "v", "cosine")
    for bad in (stored._replace(exponent=9999), stored._replace(mean=np.full(20, np.nan))):
        write_directions(store, "v", "inner", bad)
        with pytest.raises(FastDiffError, match="directions-inner"):
            read_directions(store, "v", "inner")
