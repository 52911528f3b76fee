"""The search on a device: the same pairs as on the processor, and what happens when it is short of memory or fails.

Where there is a GPU the tests marked ``gpu`` run on it; everywhere the same kernels run on arrays that are as strict as
CuPy's.
"""

import shutil
import sys
import threading
import time
from types import SimpleNamespace

import numpy as np
import pytest
from click.testing import CliRunner
from distributed import Client, Scheduler, SpecCluster, Worker, get_worker
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import cdist
from support import emulated, strict

import fastdiff_dask as fd
from fastdiff_dask.cli.commands import commands
from fastdiff_dask.kernels import bounds_gpu, cuda, device
from fastdiff_dask.kernels.bounds import SearchCounts, SearchSide, candidate_pairs
from fastdiff_dask.kernels.bounds_gpu import candidate_pairs_gpu, search_side_gpu
from fastdiff_dask.kernels.similarity import SquaredErrorLimit, listed_pairs, similar_pairs
from fastdiff_dask.kernels.squared_errors import mean_squared_errors
from fastdiff_dask.kernels.squared_errors_int8 import (
    integer_products,
    listed_pairs_gpu,
    mean_squared_errors_gpu,
    similar_pairs_gpu,
)
from fastdiff_dask.kernels.transforms import available_transforms
from fastdiff_dask.runtime import workers
from fastdiff_dask.storage import pairs
from fastdiff_dask.tasks import compare_tile as tile_task
from fastdiff_dask.testing import reference_sse, simulate_images


def has_gpu():
    return not cuda.missing_gpu()


def devices():
    return [
        pytest.param(lambda **options: strict.StrictDevice(**options), id="strict"),
        pytest.param(
            emulated.emulated_device,
            id="emulated",
            marks=pytest.mark.skipif(emulated.COMPILER is None, reason="there is no C++ compiler"),
        ),
        pytest.param(
            lambda **options: cuda.CuPyDevice(**options),
            id="cupy",
            marks=[pytest.mark.gpu, pytest.mark.skipif(not has_gpu(), reason=cuda.missing_gpu() or "there is a GPU")],
        ),
    ]


def signatures(seed, count, values, spread):
    rng = np.random.default_rng(seed)
    centres = rng.normal(0, 100, (max(count // 4, 1), values))
    return (centres[rng.integers(0, len(centres), count)] + rng.normal(0, spread, (count, values))).astype(np.float32)


def found_by(where, a, b, radius, triangular):
    counts = SearchCounts()
    x = search_side_gpu(a, where)
    y = x if triangular else search_side_gpu(b, where)
    pairs = set()
    for i, j in candidate_pairs_gpu(x, y, radius=radius, counts=counts, device=where, triangular=triangular):
        if isinstance(i, range):
            pairs |= {(p, q) for p in i for q in j if not triangular or p < q}
        else:
            pairs |= set(zip(where.to_host(i).tolist(), where.to_host(j).tolist(), strict=True))
    return pairs, counts


@pytest.mark.parametrize("make", devices())
@pytest.mark.parametrize("triangular", [False, True])
@pytest.mark.parametrize("spread", [0.01, 3.0, 40.0])
@pytest.mark.parametrize("piece_bytes", [64, 1 << 25])
@pytest.mark.parametrize("dense_pairs", [10, 1024])
def test_no_pair_that_is_near_is_left_out(make, triangular, spread, piece_bytes, dense_pairs):
    a, b = signatures(1, 600, 64, spread), signatures(1, 600 if triangular else 300, 64, spread)
    b = a if triangular else b
    distances = cdist(a, b)
    radius = float(np.quantile(distances, 0.004)) + 1e-3
    pairs, counts = found_by(make(piece_bytes=piece_bytes, dense_pairs=dense_pairs), a, b, radius, triangular)
    wanted = {(i, j) for i, j in np.argwhere(distances <= radius).tolist() if not triangular or i < j}
    assert wanted <= pairs
    assert counts.pairs == (600 * 599 // 2 if triangular else 600 * 300)
    assert counts.pairs >= counts.near >= counts.leading
    assert bool(counts.dense) == (dense_pairs == 10)
    assert all(distances[i, j] <= radius * (1 + 1e-5) for i, j in pairs) or counts.dense


@settings(max_examples=30, deadline=None)
@given(
    seed=st.integers(0, 99), count=st.integers(0, 40), values=st.sampled_from([4, 17, 80]), share=st.floats(0.01, 0.9)
)
def test_as_the_processor_finds_them(seed, count, values, share):
    a = signatures(seed, count, values, 5.0)
    distances = cdist(a, a)
    radius = float(np.quantile(distances, share)) + 1e-3 if count else 1.0
    pairs, _ = found_by(strict.StrictDevice(piece_bytes=400), a, a, radius, True)
    wanted = {(i, j) for i, j in np.argwhere(distances <= radius).tolist() if i < j}
    assert wanted <= pairs
    mine = set()
    side = SearchSide(a, [range(count)] if count else [], np)
    for i, j in candidate_pairs(side, side, radius=radius, counts=SearchCounts(), triangular=True):
        mine |= (
            {(p, q) for p in i for q in j if p < q}
            if isinstance(i, range)
            else set(zip(i.tolist(), j.tolist(), strict=True))
        )
    assert wanted <= mine


@pytest.mark.parametrize("make", devices())
def test_pairs_at_the_radius_itself(make):
    """However float32 rounds them."""
    for seed in range(20):
        a = signatures(seed, 40, 144, 40.0)
        squares = ((a[:, None].astype(float) - a[None]) ** 2).sum(axis=2)[np.triu_indices(40, 1)]
        pairs, _ = found_by(make(), a, a, float(np.sqrt(squares.min())) * (1 + 1e-15), True)
        assert tuple(int(index[squares.argmin()]) for index in np.triu_indices(40, 1)) in pairs


@pytest.mark.parametrize("make", devices())
def test_all_values_are_tried_before_thumbnails(make, monkeypatch):
    """Of some images the first values and the norms of the others are the same, and only the others are far apart."""
    rng = np.random.default_rng(3)
    values = signatures(4, 2048, 64, 40.0)
    tails = rng.normal(0, 1, (256, 16))
    values[:256, :48] = 0
    values[:256, 48:] = 400 * tails / np.linalg.norm(tails, axis=1)[:, None]
    # with so many of these all values would come first
    monkeypatch.setattr("fastdiff_dask.kernels.bounds_gpu._choose_count", lambda *_: 8)
    pairs, counts = found_by(make(dense_pairs=50), values, values, 20.0, True)
    assert counts.leading >= 256 * 255 // 2
    assert counts.dense == 0
    assert not [pair for pair in pairs if max(pair) < 256]


def test_few_waits_whatever_the_number_of_images():
    waits, where = [], strict.StrictDevice()
    for count in (300, 3000):
        strict.SEEN.waits = strict.SEEN.to_host = strict.SEEN.launches = 0
        side = search_side_gpu(signatures(2, count, 32, 3.0), where)
        options = {"radius": 1.0, "counts": SearchCounts(), "device": where, "triangular": True}
        list(candidate_pairs_gpu(side, side, **options))
        assert strict.SEEN.to_host == 0
        waits.append((strict.SEEN.waits, strict.SEEN.launches))
    # norms, a sample for each number of leading values, one step
    assert waits[0] == waits[1]
    assert waits[0][0] < 40
    assert waits[0][1] < 700


@pytest.fixture
def photos(tmp_path):
    simulate_images(tmp_path / "photos", images=60, duplicates=25, size=(48, 32))
    return tmp_path / "photos"


@pytest.fixture
def prepared(photos, tmp_path, client):
    db = fd.FastDifPy(photos, store=tmp_path / "store", client=client, block_size=16, verbose=False)
    db.index_the_dirs()
    db.first_loop_iteration()
    return db


def by_processor(db, threshold, **options):
    """The pairs, which are forgotten after that."""
    db.second_loop_iteration(threshold, **options)
    pairs = db.pairs
    db.clean_up(thumbs=False, db=True, config=False)
    return pairs


@pytest.fixture
def on_device(monkeypatch):
    """Say that all workers, which are threads of this process here, have a GPU, and that it is such a device."""

    def use(make):
        where = make(piece_bytes=1 << 14)
        monkeypatch.setattr("fastdiff_dask.runtime.workers.missing_gpu", lambda: "")
        monkeypatch.setattr("fastdiff_dask.runtime.workers.gpu_name", lambda: "this one")
        monkeypatch.setattr(
            "fastdiff_dask.tasks.compare_tile.best_device", lambda: device.CPU if cuda._failed else where
        )
        monkeypatch.setattr("fastdiff_dask.kernels.cuda._failed", [])
        return where

    return use


@pytest.mark.parametrize("make", devices())
@pytest.mark.parametrize("threshold", [0.0, 200.0, 20_000.0])
def test_the_same_result_as_on_the_processor(prepared, on_device, tmp_path, client, make, threshold):
    wanted = by_processor(prepared, threshold, mirror=True)
    where = on_device(make)
    strict.SEEN.to_device = 0
    prepared.second_loop_iteration(threshold, mirror=True, gpu_proc=2, sub_block=16, tile_side=2)
    assert strict.SEEN.to_device or not isinstance(where, strict.StrictDevice)
    assert prepared.pairs.equals(wanted)
    assert len(wanted) or threshold == 0


@pytest.mark.parametrize("make", devices())
def test_two_collections_many_similar_in_small_chunks(tmp_path, on_device, client, monkeypatch, make):
    simulate_images(tmp_path / "a", images=40, duplicates=10, size=(48, 32))
    simulate_images(tmp_path / "b", images=50, duplicates=20, size=(48, 32), seed=5)
    monkeypatch.setattr("fastdiff_dask.kernels.search_tile.chunk_rows", lambda _: 8)
    folders = (tmp_path / "a", tmp_path / "b")
    with fd.FastDifPy(*folders, store=tmp_path / "store", client=client, block_size=16, verbose=False) as db:
        db.index_the_dirs()
        db.first_loop_iteration()
        wanted = by_processor(db, 9_000.0)
        on_device(make).dense_pairs = 20
        db.second_loop_iteration(9_000.0, gpu_proc=1, sub_block=16, tile_side=2)
        assert db.pairs.equals(wanted)
        assert len(wanted) > 100


def test_nothing_is_kept_for_other_pictures_at_the_same_place(tmp_path, on_device, client):
    where = on_device(strict.StrictDevice)
    for seed in (0, 1):
        simulate_images(tmp_path / "photos", images=21 - seed, duplicates=seed, size=(48, 32), seed=seed)
        with fd.FastDifPy(tmp_path / "photos", store=tmp_path / "store", client=client, verbose=False) as db:
            db.index_the_dirs()
            db.first_loop_iteration()
            db.second_loop_iteration(gpu_proc=1)
            assert len(db.pairs) == seed
        assert where._cache
        shutil.rmtree(tmp_path / "store")
        shutil.rmtree(tmp_path / "photos")


@pytest.mark.parametrize("gpu_first", [False, True])
def test_one_goes_on_with_what_the_other_began(prepared, on_device, monkeypatch, gpu_first):
    wanted = by_processor(prepared, 500.0)
    on_device(strict.StrictDevice)
    done = []
    compare_tile = tile_task._compare_tile

    def some(*arguments):
        if len(done) == 3:
            raise fd.FastDiffError("stopped here")
        done.append(arguments[4])
        return compare_tile(*arguments)

    monkeypatch.setattr("fastdiff_dask.tasks.compare_tile._compare_tile", some)
    tiles = {"sub_block": 16, "tile_side": 1}
    with pytest.raises(fd.FastDiffError, match="stopped here"):
        prepared.second_loop_iteration(500.0, gpu_proc=int(gpu_first), cpu_proc=1, **tiles)
    assert [one.is_gpu for one in done] == [gpu_first] * 3
    monkeypatch.setattr("fastdiff_dask.tasks.compare_tile._compare_tile", compare_tile)
    prepared.second_loop_iteration(500.0, gpu_proc=int(not gpu_first), **tiles)
    assert prepared._tiles_resumed == 3
    assert prepared.pairs.equals(wanted)


def test_short_of_memory_it_works_on_smaller_pieces(prepared, on_device, monkeypatch):
    wanted = by_processor(prepared, 500.0)
    where = on_device(strict.StrictDevice)
    where.piece_bytes = 1 << 28
    batched = bounds_gpu.candidate_pairs_gpu
    seen = []

    def small_memory(*arguments, **options):
        seen.append(options["device"].piece_bytes)
        yield from batched(*arguments, **options)
        if seen[-1] > 1 << 25:
            raise strict.OutOfMemoryError

    written = []
    add = pairs.PairWriter.add

    def adding(self, pairs):
        written.append(len(pairs))
        add(self, pairs)

    monkeypatch.setattr(pairs.PairWriter, "add", adding)
    # so that some of the tile is written before
    monkeypatch.setattr("fastdiff_dask.kernels.cascade_gpu.LISTED_CHUNKS", 1)
    where.pairs_at_once = 1
    monkeypatch.setattr("fastdiff_dask.kernels.cascade_gpu.candidate_pairs_gpu", small_memory)
    prepared.second_loop_iteration(500.0, gpu_proc=1)
    assert seen[:4] == [1 << 28, 1 << 27, 1 << 26, 1 << 25]
    assert sum(written) > len(wanted)
    assert prepared.pairs.equals(wanted)
    assert prepared.result().pair_count == len(wanted)


@pytest.mark.parametrize("error", [strict.BrokenError, strict.OutOfMemoryError])
def test_what_fails_on_the_gpu_is_done_by_the_processor(prepared, on_device, monkeypatch, error):
    wanted = by_processor(prepared, 500.0)
    on_device(strict.StrictDevice)
    calls = []

    def broken(*_, **__):
        calls.append(1)
        raise error("it is gone")
        yield

    monkeypatch.setattr("fastdiff_dask.kernels.cascade_gpu.candidate_pairs_gpu", broken)
    prepared.second_loop_iteration(500.0, gpu_proc=1, sub_block=16, tile_side=1)
    assert len(calls) == 1
    assert cuda._failed == [f"{error.__name__}: it is gone"]
    assert prepared.pairs.equals(wanted)


def test_other_errors_are_told(prepared, on_device, monkeypatch):
    on_device(strict.StrictDevice)

    def wrong(*_, **__):
        raise ValueError("a mistake in the program")
        yield

    monkeypatch.setattr("fastdiff_dask.kernels.cascade_gpu.candidate_pairs_gpu", wrong)
    with pytest.raises(fd.FastDiffError, match="a mistake in the program"):
        prepared.second_loop_iteration(500.0, gpu_proc=1)


def test_only_mse_and_without_pair_filters(prepared, on_device):
    on_device(strict.StrictDevice)
    with pytest.raises(fd.UsageError, match="a GPU compares by MSE alone"):
        prepared.second_loop_iteration(compare="hamming", gpu_proc=1)
    strict.SEEN.to_device = 0
    prepared.second_loop_iteration(match_aspect_by=1.0, gpu_proc=1)
    assert strict.SEEN.to_device == 0
    assert len(prepared.pairs)


def test_what_is_kept_is_bounded():
    where = strict.StrictDevice(cache_bytes=1000)
    made = []

    def make(number):
        made.append(number)
        return np.zeros(50, np.float64)

    for number in (1, 2, 1, 3, 1, 2, 2):
        where.cached(number, lambda number=number: where.to_device(make(number)))
    assert made == [1, 2, 3, 2]
    where.cached("large", lambda: np.zeros(500))
    assert not where._cache
    where.piece_bytes = 1 << 22
    assert not where.shrink()


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 99), size=st.sampled_from([(4, 4), (5, 3), (6, 6)]), mirror=st.booleans(), extreme=st.booleans()
)
def test_dense_by_integers_of_8_bits(seed, size, mirror, extreme):
    rng = np.random.default_rng(seed)
    levels = [0, 1, 127, 128, 255] if extreme else range(256)
    a, b = (rng.choice(np.array(levels, np.uint8), (count, *size, 3)) for count in (5, 7))
    transforms = available_transforms(*size, mirror=mirror)
    found = mean_squared_errors_gpu(strict.Strict(a), strict.Strict(b), transforms, integer_products)
    wanted = reference_sse(a, b, mirror=mirror) / (size[0] * size[1])
    assert np.array_equal(found._values, wanted)
    assert np.array_equal(mean_squared_errors(a, b, transforms), wanted)


@pytest.mark.gpu
@pytest.mark.skipif(not has_gpu(), reason=cuda.missing_gpu() or "there is a GPU")
@pytest.mark.parametrize("size", [(64, 64), (5, 7)])
def test_dense_on_the_gpu(size):
    import cupy

    rng = np.random.default_rng(0)
    a, b = (rng.integers(0, 256, (count, *size, 3), np.uint8) for count in (33, 20))
    a[0], b[0] = 0, 255
    found = fd.pairwise_mse(cupy.asarray(a), cupy.asarray(b)).compute()
    assert np.array_equal(cupy.asnumpy(found), fd.pairwise_mse(a, b).compute())


@pytest.mark.parametrize("make", devices())
def test_large_images_have_sums_of_more_than_32_bits(make):
    black, white = np.zeros((1, 300, 300, 3), np.uint8), np.full((1, 300, 300, 3), 255, np.uint8)
    where = make()
    images = where.to_device(np.concatenate([black, white, black]))
    found = where.to_host(mean_squared_errors_gpu(images, images, (0, 2), where.products))
    assert found.tolist() == [[0.0, 195075.0, 0.0], [195075.0, 0.0, 195075.0], [0.0, 195075.0, 0.0]]
    pairs = similar_pairs_gpu(images, images, sse_limit=0, transforms=(0, 1), products=where.products)
    assert where.to_host(pairs)[:, :2].tolist() == [[0, 0], [0, 2], [1, 1], [2, 0], [2, 2]]


@pytest.mark.parametrize("make", devices())
@pytest.mark.parametrize("size", [(4, 4), (5, 3), (7, 7)])
@pytest.mark.parametrize("mirror", [False, True])
def test_exact_comparison_by_integers(make, size, mirror):
    rng = np.random.default_rng(7)
    a, b = (rng.choice(np.array([0, 3, 255], np.uint8), (count, *size, 3)) for count in (9, 11))
    b[:4], b[4:6] = a[:4], a[:2, ::-1, ::-1]
    b[6] = a[7, :, ::-1]
    transforms = available_transforms(*size, mirror=mirror)
    errors = reference_sse(a, b, mirror=mirror)
    where = make()
    x, y = map(where.to_device, (a, b))
    for limit in (0, int(np.median(errors)), int(errors.max())):
        wanted = similar_pairs(a, b, limit=SquaredErrorLimit(limit), transforms=transforms)
        assert len(wanted) == np.count_nonzero(errors <= limit)
        options = {"sse_limit": limit, "transforms": transforms}
        found = where.to_host(similar_pairs_gpu(x, y, products=where.products, **options))
        assert np.array_equal(found, wanted)
        i, j = (places.ravel() for places in np.indices(errors.shape))
        masks = np.full(len(i), sum(1 << transform for transform in transforms), np.uint8)
        wanted = listed_pairs(a, b, i, j, masks, limit=SquaredErrorLimit(limit), transforms=transforms)
        for room in (1, 1 << 20):
            some = (x, y, where.to_device(i), where.to_device(j))
            assert np.array_equal(where.to_host(listed_pairs_gpu(*some, room=room, **options)), wanted)


def test_more_products_than_fit_are_added_up(monkeypatch):
    monkeypatch.setattr("fastdiff_dask.kernels.squared_errors_int8._MOST_VALUES", 32)
    rng = np.random.default_rng(1)
    a, b = (rng.integers(0, 256, (count, 6, 6, 3), np.uint8) for count in (4, 5))
    asked = []

    def products(x, y):
        asked.append(x.shape[1])
        return integer_products(x, y)

    transforms = available_transforms(6, 6)
    found = mean_squared_errors_gpu(a, b, transforms, products)
    assert np.array_equal(found, mean_squared_errors(a, b, transforms))
    assert asked == [32, 32, 32, 12] * 4


@pytest.fixture
def mixed(monkeypatch):
    """Workers of one thread each: two that share a GPU, one with another, and one without."""
    have = {"first": "machine 1", "second": "machine 1", "third": "machine 2", "plain": ""}

    def own_gpu(dask_worker):
        name = have[dask_worker.name]
        return ("" if name else "it has none"), name

    monkeypatch.setattr("fastdiff_dask.runtime.workers._own_gpu", own_gpu)
    workers = {name: {"cls": Worker, "options": {"nthreads": 1, "name": name}} for name in have}
    scheduler = {"cls": Scheduler, "options": {"dashboard_address": "127.0.0.1:0"}}
    with SpecCluster(workers, scheduler=scheduler) as cluster, Client(cluster) as client:
        client.wait_for_workers(len(have))
        yield client


@pytest.fixture
def on_mixed(mixed, photos, tmp_path):
    """A project there, whose images are read."""
    with fd.FastDifPy(photos, store=tmp_path / "store", client=mixed, block_size=16) as db:
        db.index_the_dirs()
        db.first_loop_iteration()
        yield db


def names(client, addresses):
    workers = client.scheduler_info(n_workers=-1)["workers"]
    return sorted(workers[address]["name"] for address in addresses)


def test_each_gpu_of_a_mixed_cluster_has_its_tasks(mixed):
    found = workers.gpu_workers(mixed, 1)
    assert set(found.values()) == {1}
    # either of the two that share one
    assert names(mixed, found) in (["first", "third"], ["second", "third"])
    for tasks in (2, 5):
        found = workers.gpu_workers(mixed, tasks)
        assert names(mixed, found) == ["first", "second", "third"]
        assert set(found.values()) == {1}  # as they have threads


def test_tiles_go_to_the_workers_with_a_gpu(on_mixed, monkeypatch):
    where = strict.StrictDevice()
    # all have one now, so that it is the choice of workers that is tested
    monkeypatch.setattr("fastdiff_dask.tasks.compare_tile.best_device", lambda: where)
    seen = set()
    compare_tile = tile_task._compare_tile

    def watched(*arguments):
        seen.add((get_worker().name, arguments[4].is_gpu))
        return compare_tile(*arguments)

    monkeypatch.setattr("fastdiff_dask.tasks.compare_tile._compare_tile", watched)
    on_mixed.second_loop_iteration(gpu_proc=2, sub_block=16, tile_side=1)
    assert seen <= {("first", True), ("second", True), ("third", True)}
    assert len(seen) > 1
    wanted = on_mixed.pairs
    on_mixed.clean_up(thumbs=False, db=True, config=False)
    on_mixed.second_loop_iteration()
    assert on_mixed.pairs.equals(wanted)


@pytest.mark.parametrize("failing_ones", [{"first"}, {"first", "second", "third"}])
def test_a_gpu_that_fails_gets_no_more_tiles(on_mixed, monkeypatch, capsys, failing_ones):
    where, lost, done = strict.StrictDevice(), set(), []
    monkeypatch.setattr(
        "fastdiff_dask.tasks.compare_tile.best_device", lambda: device.CPU if get_worker().name in lost else where
    )
    monkeypatch.setattr("fastdiff_dask.kernels.cuda.give_up", lambda *_: lost.add(get_worker().name))
    monkeypatch.setattr(
        "fastdiff_dask.tasks.compare_tile.why_given_up", lambda: "it is gone" if get_worker().name in lost else ""
    )
    candidates, compare_tile = bounds_gpu.candidate_pairs_gpu, tile_task._compare_tile

    def some_fail(*arguments, **options):
        if get_worker().name in failing_ones:
            raise strict.BrokenError
        yield from candidates(*arguments, **options)

    def watched(*arguments):
        found = compare_tile(*arguments)
        done.append(get_worker().name)
        return found

    monkeypatch.setattr("fastdiff_dask.kernels.cascade_gpu.candidate_pairs_gpu", some_fail)
    monkeypatch.setattr("fastdiff_dask.tasks.compare_tile._compare_tile", watched)
    on_mixed.second_loop_iteration(gpu_proc=2, sub_block=4, tile_side=2)
    assert lost == failing_ones
    told = [line for line in capsys.readouterr().err.splitlines() if "it is gone" in line]
    assert len(told) == len(failing_ones)
    for name in failing_ones:
        if len(failing_ones) == 1:
            assert done.count(name) == 1
            assert set(done[done.index(name) + 1 :]) == {"second", "third"}
    if len(failing_ones) > 1:
        assert "plain" in done  # all workers compare then
    wanted = on_mixed.pairs
    on_mixed.clean_up(thumbs=False, db=True, config=False)
    on_mixed.second_loop_iteration()
    assert on_mixed.pairs.equals(wanted)


def test_a_worker_with_a_gpu_that_is_lost(on_mixed, monkeypatch):
    """Its tiles go to others, which compute them with what they have."""
    monkeypatch.setattr("fastdiff_dask.tasks.compare_tile.best_device", lambda: strict.StrictDevice())
    compare_tile, gone = tile_task._compare_tile, []

    def watched(*arguments):
        if get_worker().name == "third" and not gone:
            gone.append(1)
            get_worker().loop.add_callback(get_worker().close, nanny=False, reason="lost")
        return compare_tile(*arguments)

    wanted = by_processor(on_mixed, 200.0)
    monkeypatch.setattr("fastdiff_dask.tasks.compare_tile._compare_tile", watched)
    on_mixed.second_loop_iteration(200.0, gpu_proc=1, sub_block=4, tile_side=2)
    assert gone
    assert on_mixed.pairs.equals(wanted)


def test_a_failure_is_remembered_and_a_healthy_gpu_is_not_idle(on_mixed, monkeypatch):
    monkeypatch.setattr("fastdiff_dask.kernels.cuda._failed", [])
    cuda.note_failure("of the\ncard")
    assert cuda.missing_gpu() == "the GPU failed before (of the card); start this process anew to use it again"
    where, slow = strict.StrictDevice(), threading.Event()
    monkeypatch.setattr("fastdiff_dask.tasks.compare_tile.best_device", lambda: where)
    monkeypatch.setattr(
        "fastdiff_dask.tasks.compare_tile.why_given_up", lambda: "it is gone" if get_worker().name == "first" else ""
    )
    compare_tile, done = tile_task._compare_tile, []

    def watched(*arguments):
        # the first tile there ends when the others have had many
        if get_worker().name == "first":
            assert slow.wait(20)
        found = compare_tile(*arguments)
        done.append(get_worker().name)
        if len(done) == 10:
            slow.set()
        return found

    monkeypatch.setattr("fastdiff_dask.tasks.compare_tile._compare_tile", watched)
    on_mixed.second_loop_iteration(gpu_proc=2, sub_block=4, tile_side=2)
    assert done.count("first") == 1
    assert {"second", "third"} < set(done)


def test_two_gpus_one_of_which_is_lost_at_once(on_mixed, monkeypatch):
    """While its tile runs on a processor, the other GPU has work."""
    monkeypatch.setattr("fastdiff_dask.tasks.compare_tile.best_device", strict.StrictDevice)
    compare_tile, done, together = tile_task._compare_tile, [], threading.Event()
    first, moved = [], []

    def watched(*arguments):
        name = get_worker().name
        if name == "third" and not first:
            first.append(arguments[2].number)
            get_worker().loop.add_callback(get_worker().close, nanny=False, reason="lost")
            time.sleep(1)
        elif first == [arguments[2].number]:
            moved.append(name)
            assert together.wait(20)
        found = compare_tile(*arguments)
        done.append(name)
        if len(done) > 5:
            together.set()
        return found

    wanted = by_processor(on_mixed, 200.0)
    monkeypatch.setattr("fastdiff_dask.tasks.compare_tile._compare_tile", watched)
    on_mixed.second_loop_iteration(200.0, gpu_proc=1, sub_block=4, tile_side=2)
    assert first
    assert moved
    assert on_mixed.pairs.equals(wanted)


def test_a_cluster_that_is_gone(mixed, photos, tmp_path):
    options = {"block_size": 16, "verbose": False}
    client = Client(mixed.cluster, set_as_default=False)
    with fd.FastDifPy(photos, store=tmp_path / "store", client=client, **options) as db:
        db.index_the_dirs()
        db.first_loop_iteration()
        client.close()
        with pytest.raises(fd.FastDiffError, match="connection to the scheduler was lost"):
            db.second_loop_iteration(gpu_proc=1)


def test_a_cluster_without_a_gpu(mixed, monkeypatch):
    monkeypatch.setattr("fastdiff_dask.runtime.workers._own_gpu", lambda: ("CuPy is not installed", ""))
    with pytest.raises(fd.UsageError, match="CuPy is not installed"):
        workers.gpu_workers(mixed, 1)
    mixed.cluster.scale(0)
    mixed.sync(mixed.cluster._correct_state)
    with pytest.raises(fd.UsageError, match="there are no workers"):
        workers.gpu_workers(mixed, 1)


def test_the_memory_of_a_gpu_bounds_what_is_kept_there():
    for free in (0, 1 << 30, 8 << 30, 80 << 30):
        shares = cuda.memory_shares(free)
        assert shares["cache_bytes"] == free // 4
        assert shares["piece_bytes"] <= max(free // 32, 1 << 22)
    assert cuda.memory_shares(80 << 30)["piece_bytes"] == device.PIECE_BYTES
    assert strict.StrictDevice(**cuda.memory_shares(8 << 30)).piece_bytes == 1 << 28


@pytest.mark.gpu
@pytest.mark.skipif(not has_gpu(), reason=cuda.missing_gpu() or "there is a GPU")
def test_one_worker_a_gpu_by_dask_cuda(photos, tmp_path):
    dask_cuda = pytest.importorskip("dask_cuda")
    with dask_cuda.LocalCUDACluster(dashboard_address="127.0.0.1:0") as cluster, Client(cluster) as client:
        assert list(workers.gpu_workers(client, 1).values()) == [1] * cuda.check_gpu()
        with fd.FastDifPy(photos, store=tmp_path / "store", client=client, verbose=False) as db:
            db.index_the_dirs()
            db.first_loop_iteration()
            wanted = by_processor(db, 200.0)
            db.second_loop_iteration(200.0, gpu_proc=1)
            assert db.pairs.equals(wanted)


def test_on_the_command_line(tmp_path, photos, on_device, monkeypatch):
    store = str(tmp_path / "store")
    command = ["find", str(photos), "--store", store, "--quiet", "--dashboard-address", "127.0.0.1:0"]
    if not has_gpu():
        done = CliRunner().invoke(commands, [*command, "--gpu"])
        assert "CuPy is not installed" in str(done.exception) or "driver" in str(done.exception)
        assert isinstance(done.exception, fd.UsageError)
        assert not (tmp_path / "store").exists()
    on_device(strict.StrictDevice)
    monkeypatch.setattr("fastdiff_dask.kernels.cuda.check_gpu", lambda: 1)
    monkeypatch.setattr("fastdiff_dask.project.job.check_gpu", lambda: 1)
    for option in (["--gpu"], ["--gpu-tasks", "2"]):
        strict.SEEN.to_device = 0
        done = CliRunner().invoke(commands, [*command, *option, "--mirror"] if "2" in option else [*command, *option])
        assert done.exit_code == 0, done.exception
        assert strict.SEEN.to_device
    assert fd.FastDifPy.from_store(store).settings.sl_gpu_proc == 2


class Rounded(np.ndarray):
    """A matrix whose products are rounded to the 11 bits of TF32."""

    def __matmul__(self, other):
        return np.asarray(np.asarray(self) @ other, np.float16)


def failing(error):
    def fail(*_, **__):
        raise error

    return fail


@pytest.mark.parametrize(
    ("full", "said"),
    [
        (np.full, ""),
        (failing(RuntimeError("CuPy failed to load libnvrtc.so.12")), "failed to load libnvrtc"),
        (failing(MemoryError()), "other programs take the memory"),
        (lambda *arguments: np.full(*arguments).view(Rounded), "rounds products of float32"),
    ],
)
def test_a_gpu_that_does_not_work_is_told(monkeypatch, full, said):
    cupy = SimpleNamespace(float32=np.float32, full=full, eye=np.eye)
    cupy.cuda = SimpleNamespace(runtime=SimpleNamespace(getDeviceCount=lambda: 1, CUDARuntimeError=OSError))
    monkeypatch.setitem(sys.modules, "cupy", cupy)
    assert said in cuda.missing_gpu()
    assert bool(said) == bool(cuda.missing_gpu())
    monkeypatch.setenv("CUPY_TF32", "1")
    assert "CUPY_TF32 is set" in cuda.missing_gpu()
    cupy.cuda.runtime.getDeviceCount = lambda: 0
    monkeypatch.setenv("CUPY_TF32", "0")
    assert "there is no GPU in this machine" in cuda.missing_gpu()


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (ImportError("libcublas.so.12: cannot open shared object file"), "cannot be used here (libcublas.so.12"),
        (ModuleNotFoundError("No module named 'fastrlock'", name="fastrlock"), "cannot be used here (No module named"),
        (RuntimeError("compiled for another NumPy"), "cannot be used here (compiled for another NumPy"),
        (ModuleNotFoundError("No module named 'cupy'", name="cupy"), "CuPy is not installed"),
    ],
)
def test_a_cupy_that_cannot_be_imported_is_told(monkeypatch, error, said):
    fail = failing(error)
    finder = SimpleNamespace(find_spec=lambda name, *_: fail() if name == "cupy" else None)
    monkeypatch.delitem(sys.modules, "cupy", raising=False)
    monkeypatch.setattr(sys, "meta_path", [finder, *sys.meta_path])
    assert said in cuda.missing_gpu()
    assert "pip install 'fastdiff_dask[cuda12]'" in cuda.missing_gpu()
    assert said in workers._own_gpu()[0]


def test_a_worker_whose_gpu_breaks_the_question_is_one_without(monkeypatch):
    monkeypatch.setattr("fastdiff_dask.runtime.workers.missing_gpu", failing(OSError("the card fell off the bus")))
    assert workers._own_gpu() == ("the GPU does not work (OSError: the card fell off the bus)", "")


def test_a_gpu_that_cannot_begin_is_given_up(monkeypatch):
    monkeypatch.setattr("fastdiff_dask.kernels.cuda._failed", [])
    monkeypatch.setattr("fastdiff_dask.kernels.cuda._gpu_device", failing(OSError("no memory left")))
    assert cuda.best_device() is device.CPU
    assert cuda.why_given_up() == "OSError: no memory left"


@pytest.mark.skipif(emulated.COMPILER is None, reason="there is no C++ compiler")
def test_errors_of_cuda_are_told_apart():
    where = emulated.emulated_device()

    class CUDARuntimeError(RuntimeError):
        __module__ = "cupy_backends.cuda.api.runtime"

    for text in ("cudaErrorMemoryAllocation: out of memory", "CUDA_ERROR_OUT_OF_MEMORY", "CUBLAS_STATUS_ALLOC_FAILED"):
        assert where.is_short_of_memory(CUDARuntimeError(text))
    assert where.is_short_of_memory(MemoryError())
    for error in (
        CUDARuntimeError("cudaErrorIllegalAddress"),
        RuntimeError("CuPy failed to load libcublas"),
        KeyError("compile"),
    ):
        assert where.is_broken(error)
        assert not where.is_short_of_memory(error)
    for error in (RuntimeError("of another library"), ValueError(), fd.FastDiffError("the store is gone")):
        assert not where.is_broken(error)
