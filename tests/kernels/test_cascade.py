"""The whole job by the cascade gives the pairs of two loops, for any tiles and workers, and after it was stopped."""

import itertools
import math
import shutil
import threading
from dataclasses import dataclass
from functools import cache
from operator import itemgetter
from pathlib import Path

import distributed
import numpy as np
import pytest
from PIL import Image

import fastdiff_dask as fd
from fastdiff_dask.config import CompareSettings
from fastdiff_dask.kernels.bounds import SearchCounts
from fastdiff_dask.kernels.device import CPU, Device
from fastdiff_dask.runtime import connection
from fastdiff_dask.storage.comparisons import Comparison
from fastdiff_dask.storage.pairs import PairWriter
from fastdiff_dask.testing import reference_sse

THRESHOLDS = [0, 0.1, 200, 1000, 10_000]
LOOPBACK = {"dashboard_address": "127.0.0.1:0", "worker_dashboard_address": "127.0.0.1:0"}


@pytest.fixture(scope="module")
def clients():
    """Embedded clients of 1, 2 and 4 threads."""
    clients = {threads: connection.embedded_client(threads, "127.0.0.1:0") for threads in (1, 2, 4)}
    yield clients
    for client in clients.values():
        client.close()
        client.cluster.close()


def adversarial_pictures(height: int, width: int, seed: int) -> dict[str, np.ndarray]:
    """Pictures of all kinds by name: (height, width, 3) uint8."""
    rng = np.random.default_rng(seed)
    shape = (height, width, 3)
    y, x = np.mgrid[:height, :width]
    board = np.where((x + y) % 2, 255, 0).astype(np.uint8)[..., None].repeat(3, axis=2)
    photo = np.rint(128 + 50 * np.cos(x / 5) + 30 * np.sin(y / 3 + x / 7))[..., None] + rng.normal(0, 6, shape)
    photo = np.clip(photo, 0, 255).astype(np.uint8)
    pictures = {
        "black": np.zeros(shape, np.uint8),
        "white": np.full(shape, 255, np.uint8),
        "almost white": np.full(shape, 254, np.uint8),
        "grey": np.full(shape, 100, np.uint8),
        "grey, lighter": np.full(shape, 108, np.uint8),  # 3 · 64 is below 200
        "grey, much lighter": np.full(shape, 118, np.uint8),
        "board": board,
        "board, inverted": 255 - board,
        "board, softer": np.clip(board, 57, 198),
        "black and white": rng.integers(0, 2, shape, dtype=np.uint8) * np.uint8(255),
        "noise": rng.integers(0, 256, shape, dtype=np.uint8),
        "photo": photo,
        "photo, mirrored": photo[:, ::-1],
        "photo, turned": np.rot90(photo, 2),
        "photo, mirrored and turned": np.rot90(photo[:, ::-1], 2),
        "photo, brighter": np.minimum(photo, 247) + np.uint8(8),
        "photo, wave": np.clip(photo + np.rint(11.5 * np.cos(np.pi * (x + 0.5) / width))[..., None], 0, 255),
        "photo, noisy": np.clip(photo + np.rint(rng.normal(0, 8.16, shape)), 0, 255),  # about 200
        "photo, noisier": np.clip(photo + np.rint(rng.normal(0, 18.25, shape)), 0, 255),  # about 1000
    }
    for name in ("white", "board", "noise", "photo"):
        pictures[f"{name}, one pixel"] = pictures[name].copy()
        pictures[f"{name}, one pixel"][height // 3, 1, 2] ^= 1
    if height == width:
        pictures["noise, turned"] = np.rot90(pictures["noise"])
        pictures["noise, one pixel, mirrored"] = np.rot90(pictures["noise, one pixel"][::-1])
    return {name: np.ascontiguousarray(picture.astype(np.uint8)) for name, picture in pictures.items()}


@dataclass(eq=False)
class Collection:
    """Pictures on disk, and a store in which nothing was compared yet."""

    folder: Path
    sides: tuple[dict[str, np.ndarray], ...]
    size: tuple[int, int]

    def open(self, store: Path, client=None, **options) -> fd.FastDifPy:
        """The job on a store, which begins as a copy of the one with the thumbnails."""
        if not store.exists() and (self.folder / "store").exists():
            shutil.copytree(self.folder / "store", store)
        roots = [self.folder / f"side-{number}" for number in range(len(self.sides))]
        options |= {"thumbnail_size_x": self.size[1], "thumbnail_size_y": self.size[0], "verbose": False}
        return fd.FastDifPy(*roots, store=store, client=client, block_size=7, **options)

    @cache  # noqa: B019 - collections are few
    def all_pairs(self, rotations: bool, mirror: bool) -> list[tuple[str, str, float, int, bool]]:
        """All pairs by two loops, sorted: a, b, mse, rotation, mirrored."""
        paths = [
            sorted(
                ((str(self.folder / f"side-{number}" / f"{name}.png"), picture) for name, picture in side.items()),
                key=itemgetter(0),
            )
            for number, side in enumerate(self.sides)
        ]
        named = itertools.product(*paths) if len(paths) == 2 else itertools.combinations(paths[0], 2)
        turns = (range(4) if self.size[0] == self.size[1] else (0, 2)) if rotations else (0,)
        found = []
        for (a, first), (b, second) in named:
            sse = int(reference_sse(first[None], second[None], rotations=rotations, mirror=mirror)[0, 0])
            rotation, mirrored = next(
                (90 * turn, mirrored)
                for mirrored in ((False, True) if mirror else (False,))
                for turn in turns
                if np.square(np.rot90(first[:, ::-1] if mirrored else first, turn) - second.astype(int)).sum() == sse
            )
            found.append((a, b, sse / math.prod(self.size), rotation, mirrored))
        return found

    def wanted(self, threshold: float, *, rotations: bool = True, mirror: bool = False):
        """Similar pairs of `all_pairs`."""
        return [pair for pair in self.all_pairs(rotations, mirror) if pair[2] <= threshold]


def make_collection(folder: Path, client, sides: tuple[dict[str, np.ndarray], ...]) -> Collection:
    for number, side in enumerate(sides):
        (folder / f"side-{number}").mkdir(parents=True)
        for name, picture in side.items():
            Image.fromarray(picture).save(folder / f"side-{number}" / f"{name}.png")
    collection = Collection(folder, sides, next(iter(sides[0].values())).shape[:2])
    with collection.open(folder / "store", client) as db:
        db.index_the_dirs()
        db.first_loop_iteration()
        images, thumbnails = db.images.compute(), db.thumbnails.compute()
        for name, side, thumbnail in zip(images.path, images.side, thumbnails, strict=True):
            # what was written is what is compared
            np.testing.assert_array_equal(thumbnail, sides["ab".index(side)][name.removesuffix(".png")])
    return collection


@pytest.fixture(scope="module")
def square(tmp_path_factory, clients):
    return make_collection(tmp_path_factory.mktemp("square"), clients[2], (adversarial_pictures(16, 16, 1),))


@pytest.fixture(scope="module")
def two_sides(tmp_path_factory, clients):
    first, second = adversarial_pictures(16, 16, 1), adversarial_pictures(16, 16, 2)
    second["photo, of side a"] = np.rot90(first["photo"])
    second["noise, of side a"] = first["noise, one pixel"]
    return make_collection(tmp_path_factory.mktemp("two"), clients[2], (first, second))


def found_pairs(pairs):
    return sorted(pairs[["a", "b", "mse", "rotation", "mirrored"]].itertuples(index=False, name=None))


CUTS = [(1, 1, 1), (1, 4, 2), (2, 3, 4), (3, 2, 2), (100, 1000, 1), (None, None, 4)]


@pytest.mark.parametrize(("tile_side", "sub_block", "workers"), CUTS)
def test_pairs_do_not_depend_on_tiles_and_workers(tmp_path, clients, square, tile_side, sub_block, workers):
    # each pair in a tile of its own takes long enough for one threshold
    thresholds = THRESHOLDS[2:3] if tile_side == sub_block == 1 else THRESHOLDS
    with square.open(tmp_path / "store", clients[workers]) as db:
        for threshold in thresholds:  # ascending: none answers the next one
            db.second_loop_iteration(threshold, tile_side=tile_side, sub_block=sub_block)
            assert db.result().stats["tiles_resumed"] == 0
            assert found_pairs(db.pairs) == square.wanted(threshold)
        if tile_side and sub_block:
            copies = {b for _, b, *_ in square.wanted(0)}  # one of equal pictures is compared for all
            sub_blocks = math.ceil((len(square.sides[0]) - len(copies)) / sub_block)
            groups = math.ceil(sub_blocks / tile_side)
            assert db.result().stats["tiles"] == groups * (groups + 1) // 2


@pytest.mark.parametrize("rotations", [True, False])
@pytest.mark.parametrize("mirror", [True, False])
def test_transforms(tmp_path, clients, square, rotations, mirror):
    with square.open(tmp_path / "store", clients[2]) as db:
        # one level of one of 256 pixels, too
        for threshold in (0, 1 / 256, *THRESHOLDS[1:]):
            db.second_loop_iteration(threshold, rotations=rotations, mirror=mirror, tile_side=3, sub_block=4)
            assert found_pairs(db.pairs) == square.wanted(threshold, rotations=rotations, mirror=mirror)


@pytest.mark.parametrize(
    ("tile_side", "sub_block", "workers", "mirror"),
    [(1, 9, 4, False), (3, 3, 2, True), (None, None, 1, True)],
)
def test_one_side_against_another(tmp_path, clients, two_sides, tile_side, sub_block, workers, mirror):
    with two_sides.open(tmp_path / "store", clients[workers]) as db:
        for threshold in THRESHOLDS:
            db.second_loop_iteration(threshold, mirror=mirror, tile_side=tile_side, sub_block=sub_block)
            assert found_pairs(db.pairs) == two_sides.wanted(threshold, mirror=mirror)


@pytest.mark.parametrize("size", [(8, 8), (12, 20), (9, 8), (64, 64), (256, 256)])
def test_sizes_of_thumbnails(tmp_path, clients, size):
    pictures = adversarial_pictures(*size, 3)
    if size == (256, 256):
        pictures = {
            name: picture for name, picture in pictures.items() if name.startswith(("photo, no", "white", "noise"))
        }
    collection = make_collection(tmp_path / "pictures", clients[2], (pictures,))
    with collection.open(tmp_path / "store", clients[2]) as db:
        for threshold in THRESHOLDS if max(size) < 64 else THRESHOLDS[1:4:2]:
            for mirror in (False, True):
                db.second_loop_iteration(threshold, mirror=mirror, tile_side=3, sub_block=6)
                assert found_pairs(db.pairs) == collection.wanted(threshold, mirror=mirror)


def test_workers_in_processes(tmp_path, two_sides):
    with (
        distributed.LocalCluster(n_workers=2, threads_per_worker=1, **LOOPBACK) as local,
        distributed.Client(local, set_as_default=False) as client,
        two_sides.open(tmp_path / "store", client) as db,
    ):
        for threshold in THRESHOLDS[1:4]:
            db.second_loop_iteration(threshold, mirror=True, tile_side=1, sub_block=8)
            assert db.result().stats["tiles"] > 4
            assert found_pairs(db.pairs) == two_sides.wanted(threshold, mirror=True)


@pytest.mark.parametrize("threshold", [0.1, 200, 1000])
def test_tiles_record_what_they_skipped(tmp_path, clients, square, threshold):
    with square.open(tmp_path / "store", clients[2]) as db:
        db.second_loop_iteration(threshold, tile_side=2, sub_block=4)
        comparison = Comparison(db.store, CompareSettings(similarity_threshold=threshold))
        similar, *counts = np.concatenate([plan.counts for plan in comparison.plans()]).sum(axis=0).tolist()
        counts = SearchCounts(*counts)
        compared = len(square.sides[0]) - len({b for _, b, *_ in square.wanted(0)})
        assert counts.pairs == compared * (compared - 1) // 2
        assert counts.pairs > counts.near > counts.leading >= counts.candidates >= similar > 0
        assert counts.candidates < counts.pairs / 4
        assert counts.dense == 0


def test_where_all_are_similar_all_are_compared(tmp_path, clients, rng):
    pictures = {f"{number}": rng.integers(120, 127, (16, 16, 3), dtype=np.uint8) for number in range(45)}
    collection = make_collection(tmp_path / "pictures", clients[2], (pictures,))
    with collection.open(tmp_path / "store", clients[2]) as db:
        for threshold in (21, 200):  # noise of 7 levels on either side: an MSE of about 3 · 2 · 4
            db.second_loop_iteration(threshold, tile_side=2, sub_block=15)
            (plan,) = Comparison(db.store, CompareSettings(similarity_threshold=threshold)).plans()
            assert dict(zip(["similar", *SearchCounts.names()], plan.counts.sum(axis=0), strict=True))["dense"] == 990
            assert found_pairs(db.pairs) == collection.wanted(threshold)
        assert len(db.pairs) == 990


def test_the_rounding_of_signatures_loses_no_pair(tmp_path, clients):
    # neighbours are exactly as far apart as the threshold, and so are their signatures, which are rounded
    pictures = {f"{level:03}": np.full((17, 23, 3), level, np.uint8) for level in (*range(20), *range(236, 256))}
    collection = make_collection(tmp_path / "pictures", clients[2], (pictures,))
    with collection.open(tmp_path / "store", clients[2]) as db:
        db.second_loop_iteration(3, tile_side=10, sub_block=1)
        assert len(db.pairs) == 38
        assert found_pairs(db.pairs) == collection.wanted(3)


@pytest.mark.parametrize(("waiting", "together", "rows"), [(1, 1, 1), (7, 3, 5), (30, 50, 2)])
def test_candidates_are_compared_some_at_a_time(tmp_path, clients, monkeypatch, two_sides, waiting, together, rows):
    monkeypatch.setattr("fastdiff_dask.kernels.cascade._WAITING", waiting)
    monkeypatch.setattr("fastdiff_dask.kernels.cascade._TOGETHER", together)
    monkeypatch.setattr("fastdiff_dask.kernels.cascade._EXACT", rows)
    monkeypatch.setattr("fastdiff_dask.kernels.search_tile.chunk_rows", lambda _: rows)
    with two_sides.open(tmp_path / "store", clients[2]) as db:
        db.second_loop_iteration(10_000, sub_block=7)
        assert found_pairs(db.pairs) == two_sides.wanted(10_000)


def test_nothing_is_held_after_the_comparison(tmp_path, clients, square, monkeypatch):
    held = []
    monkeypatch.setattr(CPU, "free", lambda: held.append(len(CPU._cache)) or Device.free(CPU))
    with square.open(tmp_path / "store", clients[2]) as db:
        db.second_loop_iteration(10_000, sub_block=3)
    assert held[-1] > 0
    assert not CPU._cache


@pytest.mark.parametrize("sides", [1, 2])
def test_pictures_that_come_later(tmp_path, clients, sides):
    pictures = tuple(adversarial_pictures(16, 16, 1 + side) for side in range(sides))
    pictures[-1]["photo, from elsewhere"] = np.rot90(pictures[0]["photo"])
    # side b is complete at once, so that later pictures of side a have larger numbers
    early = tuple(dict(list(side.items())[:12]) if number == 0 else side for number, side in enumerate(pictures))
    collection = make_collection(tmp_path / "pictures", clients[2], early)
    options = {"mirror": True, "tile_side": 2, "sub_block": 3}
    with collection.open(tmp_path / "store", clients[2]) as db:
        db.second_loop_iteration(1000, **options)
        tiles = db.result().stats["tiles"]
        assert found_pairs(db.pairs) == collection.wanted(1000, mirror=True)
        for name in pictures[0].keys() - early[0].keys():
            Image.fromarray(pictures[0][name]).save(collection.folder / "side-0" / f"{name}.png")
        db.index_the_dirs()
        db.first_loop_iteration()
        db.second_loop_iteration(1000, **options)
        assert db.result().stats["tiles_resumed"] == tiles
        assert found_pairs(db.pairs) == Collection(collection.folder, pictures, collection.size).wanted(
            1000, mirror=True
        )


class Stopped(Exception):  # noqa: N818 - no error
    """Error of a tile when enough of them were committed."""


def stop_after(monkeypatch: pytest.MonkeyPatch, tiles: int) -> list[int]:
    """Let so many tiles be committed; what comes later has written its pairs and fails. The committed ones."""
    commit, lock, done = PairWriter.commit, threading.Lock(), []

    def commit_some(self, counts):
        with lock:
            if len(done) == tiles:
                self._write(self._rows)
                raise Stopped
            commit(self, counts)
            done.append(self._tile)

    monkeypatch.setattr(PairWriter, "commit", commit_some)
    return done


def times_of(store: Path, tiles: list[int]) -> dict[Path, int]:
    """Times at which the files of some tiles were written."""
    (folder,) = (store / "arrays.zarr" / "comparisons").glob("*/generations-*")
    paths = [path for tile in tiles for path in folder.glob(f"pairs-{tile}/**/*") if path.is_file()]
    paths += [folder / "compared" / f"c.{tile}.0" for tile in tiles]
    return {path: path.stat().st_mtime_ns for path in paths}


@pytest.mark.parametrize("collection", ["square", "two_sides"])
@pytest.mark.parametrize("stops", [[0], [4], [3, 1, 2]])
def test_what_was_stopped_goes_on_with_the_same_tiles(tmp_path, clients, monkeypatch, request, collection, stops):
    collection = request.getfixturevalue(collection)
    store, done = tmp_path / "store", []
    cuts = itertools.cycle([{"tile_side": 2, "sub_block": 3}, {"tile_side": 1}, {"sub_block": 1}, {}])
    workers = itertools.cycle([2, 4, 1])
    for tiles in stops:
        # its own client, whose end waits for what is still running
        own = {"threads": next(workers), "dashboard_address": "127.0.0.1:0"}
        with monkeypatch.context() as patch, collection.open(store, **own) as db:
            committed = stop_after(patch, tiles)
            with pytest.raises(fd.FastDiffError, match="Stopped"):
                db.second_loop_iteration(1000, **next(cuts))
            assert len(committed) == tiles
            done += committed
    assert len(set(done)) == len(done) == sum(stops)
    before = times_of(store, done)
    with monkeypatch.context() as patch, collection.open(store, clients[next(workers)]) as db:
        committed = stop_after(patch, 10**9)
        db.second_loop_iteration(1000, **next(cuts))
        result = db.result()
    assert result.stats["tiles_resumed"] == len(done)
    assert sorted(committed + done) == list(range(result.stats["tiles"]))
    assert times_of(store, done) == before
    assert len(before) > len(done) or not done

    with collection.open(tmp_path / "unbroken", clients[2]) as db:
        db.second_loop_iteration(1000, tile_side=2, sub_block=3)
        unbroken = db.result()
    assert unbroken.stats["tiles"] == result.stats["tiles"]
    assert result.pairs.equals(unbroken.pairs)
    assert found_pairs(result.pairs) == collection.wanted(1000)
