"""The search on a device: the same pairs as on the processor, and what happens when it is short of memory or fails.

Where there is a GPU the tests marked ``gpu`` run on it; everywhere the same kernels run on arrays that are as strict as
CuPy's.
"""

import math
import shutil
import sys
from types import SimpleNamespace

import emulated
import numpy as np
import pytest
import strict
from click.testing import CliRunner
from distributed import Client, Scheduler, SpecCluster, Worker, get_worker
from hypothesis import given, settings
from hypothesis import strategies as st

import fastdiff_dask as fd
from fastdiff_dask import batched, cascade, compare, device, gpu, project
from fastdiff_dask.batched import batched_candidates, device_side
from fastdiff_dask.cli import commands
from fastdiff_dask.int8 import dense_mean_squared_errors
from fastdiff_dask.metrics import available_transforms, mean_squared_errors
from fastdiff_dask.search import SearchCounts, candidate_pairs
from fastdiff_dask.testing import reference_sse, simulate_images


def has_gpu():
    return not gpu.missing_gpu()


def devices():
    return [
        pytest.param(lambda **options: strict.StrictDevice(**options), id="strict"),
        pytest.param(
            emulated.emulated_device,
            id="emulated",
            marks=pytest.mark.skipif(emulated.COMPILER is None, reason="there is no C++ compiler"),
        ),
        pytest.param(
            lambda **options: device.CuPyDevice(**options),
            id="cupy",
            marks=[pytest.mark.gpu, pytest.mark.skipif(not has_gpu(), reason=gpu.missing_gpu() or "there is a GPU")],
        ),
    ]


def signatures(seed, count, values, spread):
    rng = np.random.default_rng(seed)
    centres = rng.normal(0, 100, (max(count // 4, 1), values))
    return (centres[rng.integers(0, len(centres), count)] + rng.normal(0, spread, (count, values))).astype(np.float32)


def found_by(where, a, b, radius, triangular):
    counts = SearchCounts()
    x = device_side(a, where)
    y = x if triangular else device_side(b, where)
    pairs = set()
    for i, j in batched_candidates(x, y, radius=radius, counts=counts, device=where, triangular=triangular):
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
    distances = np.sqrt(((a[:, None].astype(float) - b[None]) ** 2).sum(axis=2))
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
    distances = np.sqrt(((a[:, None].astype(float) - a[None]) ** 2).sum(axis=2))
    radius = float(np.quantile(distances, share)) + 1e-3 if count else 1.0
    pairs, _ = found_by(strict.StrictDevice(piece_bytes=400), a, a, radius, True)
    wanted = {(i, j) for i, j in np.argwhere(distances <= radius).tolist() if i < j}
    assert wanted <= pairs
    mine = set()
    for i, j in candidate_pairs(
        a, a, [range(count)], [range(count)], radius=radius, counts=SearchCounts(), triangular=True
    ):
        mine |= (
            {(p, q) for p in i for q in j if p < q}
            if isinstance(i, range)
            else set(zip(i.tolist(), j.tolist(), strict=True))
        )
    assert wanted <= mine


@pytest.mark.parametrize("make", devices())
def test_all_values_are_tried_before_thumbnails(make, monkeypatch):
    """Of some images the first values and the norms of the others are the same, and only the others are far apart."""
    rng = np.random.default_rng(3)
    values = signatures(4, 2048, 64, 40.0)
    tails = rng.normal(0, 1, (256, 16))
    values[:256, :48] = 0
    values[:256, 48:] = 400 * tails / np.linalg.norm(tails, axis=1)[:, None]
    # with so many of these all values would come first
    monkeypatch.setattr(batched, "_choose_count", lambda *_: 8)
    pairs, counts = found_by(make(dense_pairs=50), values, values, 20.0, True)
    assert counts.leading >= 256 * 255 // 2
    assert counts.dense == 0
    assert not [pair for pair in pairs if max(pair) < 256]


def test_few_waits_whatever_the_number_of_images():
    waits, where = [], strict.StrictDevice()
    for count in (300, 3000):
        strict.SEEN.waits = strict.SEEN.to_host = 0
        side = device_side(signatures(2, count, 32, 3.0), where)
        options = {"radius": 1.0, "counts": SearchCounts(), "device": where, "triangular": True}
        list(batched_candidates(side, side, **options))
        assert strict.SEEN.to_host == 0
        waits.append(strict.SEEN.waits)
    # norms, a sample for each number of leading values, one step
    assert waits[0] == waits[1] < 40


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
        monkeypatch.setattr(gpu, "missing_gpu", lambda: "")
        monkeypatch.setattr(gpu, "gpu_name", lambda: "this one")
        monkeypatch.setattr(compare, "best_device", lambda: device.CPU if device._failed else where)
        monkeypatch.setattr(device, "_failed", [])
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
    monkeypatch.setattr(cascade, "chunk_rows", lambda _: 8)
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
        assert where._kept
        shutil.rmtree(tmp_path / "store")
        shutil.rmtree(tmp_path / "photos")


@pytest.mark.parametrize("gpu_first", [False, True])
def test_one_goes_on_with_what_the_other_began(prepared, on_device, monkeypatch, gpu_first):
    wanted = by_processor(prepared, 500.0)
    on_device(strict.StrictDevice)
    done = []
    compare_tile = compare._compare_tile

    def some(*arguments):
        if len(done) == 3:
            raise fd.FastDiffError("stopped here")
        done.append(arguments[4])
        return compare_tile(*arguments)

    monkeypatch.setattr(compare, "_compare_tile", some)
    tiles = {"sub_block": 16, "tile_side": 1}
    with pytest.raises(fd.FastDiffError, match="stopped here"):
        prepared.second_loop_iteration(500.0, gpu_proc=int(gpu_first), cpu_proc=1, **tiles)
    assert [one.is_gpu for one in done] == [gpu_first] * 3
    monkeypatch.setattr(compare, "_compare_tile", compare_tile)
    prepared.second_loop_iteration(500.0, gpu_proc=int(not gpu_first), **tiles)
    assert prepared._tiles_resumed == 3
    assert prepared.pairs.equals(wanted)


def test_short_of_memory_it_works_on_smaller_pieces(prepared, on_device, monkeypatch):
    wanted = by_processor(prepared, 500.0)
    where = on_device(strict.StrictDevice)
    where.piece_bytes = 1 << 28
    batched = cascade.batched_candidates
    seen = []

    def small_memory(*arguments, **options):
        seen.append(options["device"].piece_bytes)
        if seen[-1] > 1 << 25:
            yield from batched(*arguments, **options)  # some of the tile is found before
            raise strict.OutOfMemoryError
        yield from batched(*arguments, **options)

    monkeypatch.setattr(cascade, "batched_candidates", small_memory)
    prepared.second_loop_iteration(500.0, gpu_proc=1)
    assert seen[:4] == [1 << 28, 1 << 27, 1 << 26, 1 << 25]
    assert prepared.pairs.equals(wanted)


@pytest.mark.parametrize("error", [strict.BrokenError, strict.OutOfMemoryError])
def test_what_fails_on_the_gpu_is_done_by_the_processor(prepared, on_device, monkeypatch, error):
    wanted = by_processor(prepared, 500.0)
    on_device(strict.StrictDevice)
    calls = []

    def broken(*_, **__):
        calls.append(1)
        raise error("it is gone")
        yield

    monkeypatch.setattr(cascade, "batched_candidates", broken)
    prepared.second_loop_iteration(500.0, gpu_proc=1, sub_block=16, tile_side=1)
    assert len(calls) == 1
    assert device._failed == [f"{error.__name__}: it is gone"]
    assert prepared.pairs.equals(wanted)


def test_other_errors_are_told(prepared, on_device, monkeypatch):
    on_device(strict.StrictDevice)

    def wrong(*_, **__):
        raise ValueError("a mistake in the program")
        yield

    monkeypatch.setattr(cascade, "batched_candidates", wrong)
    with pytest.raises(fd.FastDiffError, match="a mistake in the program"):
        prepared.second_loop_iteration(500.0, gpu_proc=1)


def test_only_mse_and_without_short_cuts(prepared, on_device):
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
        where.kept(number, lambda number=number: where.to_device(make(number)))
    assert made == [1, 2, 3, 2]
    where.kept("large", lambda: np.zeros(500))
    assert not where._kept
    where.piece_bytes = 1 << 22
    assert not where.shrink()


def integer_products(x, y):
    xp = x.__array_namespace__() if hasattr(x, "__array_namespace__") else np
    return xp.astype(xp.astype(x, xp.int32) @ xp.astype(y, xp.int32).T, xp.int32)


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 99), size=st.sampled_from([(4, 4), (5, 3), (6, 6)]), mirror=st.booleans(), extreme=st.booleans()
)
def test_dense_by_integers_of_8_bits(seed, size, mirror, extreme):
    rng = np.random.default_rng(seed)
    levels = [0, 1, 127, 128, 255] if extreme else range(256)
    a, b = (rng.choice(np.array(levels, np.uint8), (count, *size, 3)) for count in (5, 7))
    transforms = available_transforms(*size, mirror=mirror)
    found = dense_mean_squared_errors(strict.Strict(a), strict.Strict(b), transforms, integer_products)
    wanted = reference_sse(a, b, mirror=mirror) / (size[0] * size[1])
    assert np.array_equal(found._values, wanted)
    assert np.array_equal(mean_squared_errors(a, b, transforms), wanted)


@pytest.mark.gpu
@pytest.mark.skipif(not has_gpu(), reason=gpu.missing_gpu() or "there is a GPU")
@pytest.mark.parametrize("size", [(64, 64), (5, 7)])
def test_dense_on_the_gpu(size):
    import cupy

    rng = np.random.default_rng(0)
    a, b = (rng.integers(0, 256, (count, *size, 3), np.uint8) for count in (33, 20))
    a[0], b[0] = 0, 255
    found = fd.pairwise_mse(cupy.asarray(a), cupy.asarray(b)).compute()
    assert np.array_equal(cupy.asnumpy(found), fd.pairwise_mse(a, b).compute())


def test_the_largest_products_fit_into_32_bits():
    values = 64 * 64 * 3
    assert values * 128 * 128 < 2**31
    assert math.log2(131_071 * 128 * 128) < 31


@pytest.fixture
def mixed(monkeypatch):
    """Workers of one thread each: two that share a GPU, one with another, and one without."""
    have = {"first": "machine 1", "second": "machine 1", "third": "machine 2", "plain": ""}

    def own_gpu(dask_worker):
        name = have[dask_worker.name]
        return ("" if name else "it has none"), name

    monkeypatch.setattr(gpu, "_own_gpu", own_gpu)
    workers = {name: {"cls": Worker, "options": {"nthreads": 1, "name": name}} for name in have}
    scheduler = {"cls": Scheduler, "options": {"dashboard_address": "127.0.0.1:0"}}
    with SpecCluster(workers, scheduler=scheduler) as cluster, Client(cluster) as client:
        client.wait_for_workers(len(have))
        yield client


def names(client, addresses):
    workers = client.scheduler_info(n_workers=-1)["workers"]
    return sorted(workers[address]["name"] for address in addresses)


def test_each_gpu_of_a_mixed_cluster_has_its_tasks(mixed):
    addresses, at_once = gpu.gpu_workers(mixed, 1)
    # either of the two that share one
    assert at_once == 2
    assert names(mixed, addresses) in (["first", "third"], ["second", "third"])
    addresses, at_once = gpu.gpu_workers(mixed, 2)
    assert (names(mixed, addresses), at_once) == (["first", "second", "third"], 3)
    assert gpu.gpu_workers(mixed, 5)[1] == 3


def test_tiles_go_to_the_workers_with_a_gpu(mixed, photos, tmp_path, monkeypatch):
    where = strict.StrictDevice()
    # all have one now, so that it is the choice of workers that is tested
    monkeypatch.setattr(compare, "best_device", lambda: where)
    seen = set()
    compare_tile = compare._compare_tile

    def watched(*arguments):
        seen.add((get_worker().name, arguments[4].is_gpu))
        return compare_tile(*arguments)

    monkeypatch.setattr(compare, "_compare_tile", watched)
    with fd.FastDifPy(photos, store=tmp_path / "store", client=mixed, block_size=16, verbose=False) as db:
        db.index_the_dirs()
        db.first_loop_iteration()
        db.second_loop_iteration(gpu_proc=2, sub_block=16, tile_side=1)
        assert seen <= {("first", True), ("second", True), ("third", True)}
        assert len(seen) > 1
        wanted = db.pairs
        db.clean_up(thumbs=False, db=True, config=False)
        db.second_loop_iteration()
        assert db.pairs.equals(wanted)


def test_a_cluster_without_a_gpu(mixed, monkeypatch):
    monkeypatch.setattr(gpu, "_own_gpu", lambda: ("CuPy is not installed", ""))
    with pytest.raises(fd.UsageError, match="CuPy is not installed"):
        gpu.gpu_workers(mixed, 1)
    mixed.cluster.scale(0)
    mixed.sync(mixed.cluster._correct_state)
    with pytest.raises(fd.UsageError, match="there are no workers"):
        gpu.gpu_workers(mixed, 1)


def test_the_memory_of_a_gpu_bounds_what_is_kept_there():
    for free in (0, 1 << 30, 8 << 30, 80 << 30):
        shares = device.memory_shares(free)
        assert shares["cache_bytes"] == free // 4
        assert shares["piece_bytes"] <= max(free // 32, 1 << 22)
    assert device.memory_shares(80 << 30)["piece_bytes"] == device.PIECE_BYTES
    assert strict.StrictDevice(**device.memory_shares(8 << 30)).piece_bytes == 1 << 28


@pytest.mark.gpu
@pytest.mark.skipif(not has_gpu(), reason=gpu.missing_gpu() or "there is a GPU")
def test_one_worker_a_gpu_by_dask_cuda(photos, tmp_path):
    dask_cuda = pytest.importorskip("dask_cuda")
    with dask_cuda.LocalCUDACluster(dashboard_address="127.0.0.1:0") as cluster, Client(cluster) as client:
        _, at_once = gpu.gpu_workers(client, 1)
        assert at_once == gpu.check_gpu()
        with fd.FastDifPy(photos, store=tmp_path / "store", client=client, verbose=False) as db:
            db.index_the_dirs()
            db.first_loop_iteration()
            db.second_loop_iteration(gpu_proc=1)
            assert len(db.result().clusters) == 25


def test_on_the_command_line(tmp_path, photos, on_device, monkeypatch):
    store = str(tmp_path / "store")
    command = ["find", str(photos), "--store", store, "--quiet", "--dashboard-address", "127.0.0.1:0"]
    if not has_gpu():
        done = CliRunner().invoke(commands, [*command, "--gpu"])
        assert "CuPy is not installed" in str(done.exception) or "driver" in str(done.exception)
        assert isinstance(done.exception, fd.UsageError)
        assert not (tmp_path / "store").exists()
    on_device(strict.StrictDevice)
    monkeypatch.setattr(gpu, "check_gpu", lambda: 1)
    monkeypatch.setattr(project, "check_gpu", lambda: 1)
    for option in (["--gpu"], ["--gpu-tasks", "2"]):
        strict.SEEN.to_device = 0
        done = CliRunner().invoke(commands, [*command, *option, "--mirror"] if "2" in option else [*command, *option])
        assert done.exit_code == 0, done.exception
        assert strict.SEEN.to_device
    assert fd.FastDifPy.from_store(store).settings.sl_gpu_proc == 2


def test_a_cupy_that_does_not_work_is_told(monkeypatch):
    def import_error(name):
        raise ImportError("libcublas.so.12: cannot open shared object file")

    class Broken:
        float32 = "float32"
        cuda = SimpleNamespace(runtime=SimpleNamespace(getDeviceCount=lambda: 1, CUDARuntimeError=OSError))

        def ones(self, *_):
            raise RuntimeError("CuPy failed to load libnvrtc.so.12")

    monkeypatch.setitem(sys.modules, "cupy", Broken())
    assert "failed to load libnvrtc" in gpu.missing_gpu()
    monkeypatch.setenv("CUPY_TF32", "1")
    assert "CUPY_TF32 is set" in gpu.missing_gpu()
    monkeypatch.setenv("CUPY_TF32", "0")
    monkeypatch.delitem(sys.modules, "cupy")
    finder = SimpleNamespace(find_spec=lambda name, *_: import_error(name) if name == "cupy" else None)
    monkeypatch.setattr(sys, "meta_path", [finder, *sys.meta_path])
    assert "cannot be used here (libcublas.so.12" in gpu.missing_gpu()
