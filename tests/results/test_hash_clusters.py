"""Clusters of equal hashes are those of two loops; hashes are made once, by whatever function."""

import importlib
import os
import threading
from collections import Counter, defaultdict
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support.pictures import save

import fastdiff_dask as fd

SIZE = 8


class Calls:
    """Calls by threads of this process; whatever it holds, a function that uses it stays the same function."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.found: Counter[str] = Counter()

    def __reduce__(self) -> str:
        return "CALLS"

    def add(self, name: str) -> None:
        with self.lock:
            self.found[name] += 1


CALLS = Calls()


@pytest.fixture(autouse=True)
def _no_calls():
    CALLS.found.clear()


def make_pictures(folder: Path, images: int, rng: np.random.Generator, known: list[np.ndarray]) -> None:
    """Pictures of noise and copies of `known` ones: turned, slightly brighter, of another format."""
    folder.mkdir()
    for number in range(images):
        pixels = rng.integers(0, 16, (SIZE, SIZE, 3), dtype=np.uint8) * np.uint8(16)
        if known and rng.random() < 0.6:
            pixels = np.rot90(known[rng.integers(len(known))], rng.integers(4)) + np.uint8(rng.integers(2))
        known.append(pixels)
        ending = rng.choice(["png", "bmp"])
        path = folder / f"{rng.integers(1000):03d}-{number}.{ending}"
        Image.fromarray(np.ascontiguousarray(pixels)).save(path)
        os.utime(path, (10**9, 10**9))


def project(tmp_path: Path, client, **options) -> fd.FastDifPy:
    b = tmp_path / "b"
    return fd.FastDifPy(
        tmp_path / "a",
        b if b.exists() else None,
        store=tmp_path / "store",
        client=client,
        thumbnail_size_x=SIZE,
        thumbnail_size_y=SIZE,
        verbose=False,
        **options,
    )


def brute_force(tmp_path: Path, amount: int) -> list[fd.Cluster]:
    """Clusters by the pixels of the files themselves."""
    groups = defaultdict(list)
    for path in [*tmp_path.glob("a/*"), *tmp_path.glob("b/*")]:
        with Image.open(path) as picture:
            pixels = np.asarray(picture) >> amount
            area = picture.width * picture.height
        key = min(np.rot90(pixels, turns).tobytes() for turns in range(4))
        groups[key].append((path.parent.name, -area, -path.stat().st_size, str(path)))
    two_sides = (tmp_path / "b").exists()
    clusters = []
    for group in groups.values():
        paths = [path for *_, path in sorted(group)]
        if len(paths) > 1 and not (two_sides and len({Path(path).parent for path in paths}) == 1):
            sides = tuple(Path(path).parent.name for path in paths) if two_sides else ()
            clusters.append(fd.Cluster(paths[0], paths[1:], sides))
    return sorted(clusters)


@pytest.mark.parametrize("two_sides", [False, True])
@pytest.mark.parametrize(
    ("block_size", "rows_at_once", "keys_at_once"), [(64, 65_536, 500_000), (4, 12, 500_000), (3, 1, 7)]
)
@pytest.mark.parametrize("amount", [0, 4])
def test_equal_to_grouping_the_pixels(
    tmp_path, client, rng, monkeypatch, two_sides, block_size, rows_at_once, keys_at_once, amount
):
    known: list[np.ndarray] = []
    make_pictures(tmp_path / "a", 30, rng, known)
    if two_sides:
        make_pictures(tmp_path / "b", 10, rng, known)
    monkeypatch.setattr("fastdiff_dask.results.hash_clusters._ROWS_AT_ONCE", rows_at_once)
    monkeypatch.setattr("fastdiff_dask.results.hash_clusters._KEYS_AT_ONCE", keys_at_once)
    with project(tmp_path, client, block_size=block_size) as db:
        db.index_the_dirs()
        db.first_loop_iteration(compute_hash=True, amount=amount)
        clusters, low_quality = db.get_duplicates(dif_based=False)
    wanted = brute_force(tmp_path, amount)
    assert len(wanted) > 1
    assert clusters == wanted
    assert low_quality == sorted(path for cluster in wanted for path in cluster.low_quality)
    assert all(type(cluster) is fd.Cluster for cluster in clusters)
    assert not (tmp_path / "store" / "arrays.zarr" / "comparisons").exists()  # nothing was compared


def noise(rng: np.random.Generator) -> np.ndarray:
    return rng.integers(0, 16, (SIZE, SIZE, 3), dtype=np.uint8) * np.uint8(16)


def found_names(db: fd.FastDifPy) -> list[list[str]]:
    clusters, _ = db.get_duplicates(dif_based=False)
    return [sorted(Path(path).name for path in (cluster.keep, *cluster.low_quality)) for cluster in clusters]


def test_turned_copies_are_in_one_cluster_and_mirrored_ones_are_not(tmp_path, client, rng):
    pixels = noise(rng)
    for turns in range(4):
        save(tmp_path / "a" / f"{turns}.png", np.rot90(pixels, turns))
    save(tmp_path / "a" / "mirrored.png", pixels[:, ::-1])
    with project(tmp_path, client) as db:
        db.index_the_dirs()
        db.first_loop_iteration(compute_hash=True)
        assert found_names(db) == [["0.png", "1.png", "2.png", "3.png"]]


def test_a_shift_joins_what_differs_by_little(tmp_path, client, rng):
    pixels = noise(rng)
    for more in (0, 1, 5):
        save(tmp_path / "a" / f"{more}.png", pixels + np.uint8(more))
    with project(tmp_path, client) as db:
        db.index_the_dirs()
        for amount, wanted in ((0, []), (1, [["0.png", "1.png"]]), (4, [["0.png", "1.png", "5.png"]]), (0, [])):
            db.first_loop_iteration(compute_hash=True, amount=amount)
            assert found_names(db) == wanted


def test_what_to_keep_is_chosen_as_elsewhere(tmp_path, client, rng):
    pixels = noise(rng)
    save(tmp_path / "a" / "small.png", pixels)
    save(tmp_path / "a" / "small.bmp", pixels)
    save(tmp_path / "a" / "plain.png", np.full((SIZE, SIZE, 3), 9, np.uint8))
    save(tmp_path / "a" / "large.png", np.full((30, 30, 3), 9, np.uint8))
    with project(tmp_path, client) as db:
        db.index_the_dirs()
        db.first_loop_iteration(compute_hash=True, amount=0)
        by_hash = db.get_duplicates(dif_based=False)
        db.second_loop_iteration(0)
        assert by_hash == db.get_duplicates()
    assert [Path(cluster.keep).name for cluster in by_hash[0]] == ["large.png", "small.bmp"]


def test_only_current_images_that_can_be_read(tmp_path, client, rng):
    pixels = noise(rng)
    for name in ("one.png", "two.png", "gone.png"):
        save(tmp_path / "a" / name, pixels)
    (tmp_path / "a" / "bad.png").touch()
    (tmp_path / "a" / "bad too.png").touch()
    with project(tmp_path, client) as db:
        db.index_the_dirs()
        db.first_loop_iteration(compute_hash=True)
        assert found_names(db) == [["gone.png", "one.png", "two.png"]]
        (tmp_path / "a" / "gone.png").unlink()
        db.index_the_dirs()
        assert found_names(db) == [["one.png", "two.png"]]
        frame = db.images.compute()
        bad = frame[frame.error.notna()]
        assert len(bad) == 2
        assert bad[["hash_0", "hash_key", "hash_function"]].isna().all(axis=None)


@pytest.mark.parametrize("images", [0, 1])
def test_no_image_and_one_image(tmp_path, client, rng, images):
    (tmp_path / "a").mkdir()
    for number in range(images):
        save(tmp_path / "a" / f"{number}.png", noise(rng))
    with project(tmp_path, client) as db:
        db.index_the_dirs()
        db.first_loop_iteration(compute_hash=True)
        assert db.get_duplicates(dif_based=False) == ([], [])


def test_names_that_are_no_text(tmp_path, client, rng):
    (tmp_path / "a").mkdir()
    names = [b"\xff\xfe.png", b"\xff\xfd.png", "ü\n🎉.png".encode()]
    pixels = noise(rng)
    for name in names:
        save(tmp_path / "a" / os.fsdecode(name), pixels)
    with project(tmp_path, client) as db:
        db.index_the_dirs()
        db.first_loop_iteration(compute_hash=True)
        ((keep, others, _),), _ = db.get_duplicates(dif_based=False)
        assert set(db.images.path_bytes.compute()) == {names[0], names[1], b""}
    assert {os.fsencode(Path(path).name) for path in (keep, *others)} == set(names)


def test_hashes_must_be_there_for_all_and_of_one_kind(tmp_path, client, rng):
    for name in "abcdef":
        save(tmp_path / "a" / f"{name}.png", noise(rng))
    remedy = r"; call first_loop_iteration\(compute_hash=True\) first"
    with project(tmp_path, client, block_size=2) as db:
        with pytest.raises(fd.UsageError, match="no store at"):
            db.get_duplicates(dif_based=False)
        db.index_the_dirs()
        for read in (lambda: None, db.first_loop_iteration, lambda: db.first_loop_iteration(image_hashes=["average"])):
            read()
            with pytest.raises(fd.UsageError, match="hashes were not computed" + remedy):
                db.get_duplicates(dif_based=False)
        db.first_loop_iteration(compute_hash=True)
        assert db.get_duplicates(dif_based=False) == ([], [])
        save(tmp_path / "a" / "new.png", noise(rng))
        db.index_the_dirs()
        for read in (lambda: None, db.first_loop_iteration):
            read()
            with pytest.raises(fd.UsageError, match="some images have no hashes" + remedy):
                db.get_duplicates(dif_based=False)
        db.first_loop_iteration(compute_hash=True)
        frame = db.store.read_partition(1)  # as if a run with another shift was killed
        db.store.write_partition(1, frame.assign(hash_shift=2))
        with pytest.raises(fd.UsageError, match="some images have hashes of another kind" + remedy):
            db.get_duplicates(dif_based=False)
        db.first_loop_iteration(compute_hash=True)
        assert db.get_duplicates(dif_based=False) == ([], [])
        with pytest.raises(fd.UsageError, match="leave out similarity"):
            db.get_duplicates(10, dif_based=False)


# -- making hashes -------------------------------------------------------------------------------------------------


def mean_text(thumbnail):
    CALLS.add("text")
    return f"{thumbnail.mean():.0f}"


def mean_bytes(thumbnail):
    CALLS.add("bytes")
    return bytes([int(thumbnail.mean())])


def fails_on_white(thumbnail):
    if thumbnail.min() == 255:
        raise RuntimeError("too bright")
    return "dark"


@pytest.mark.parametrize("function", [mean_text, mean_bytes, lambda thumbnail: str(int(thumbnail.mean()))])
@pytest.mark.parametrize("with_the_thumbnails", [True, False])
def test_any_function_makes_clusters(tmp_path, client, function, with_the_thumbnails):
    for name, level in (("a", 16), ("b", 16), ("c", 64), ("d", 128), ("e", 64)):
        save(tmp_path / "a" / f"{name}.png", np.full((SIZE, SIZE, 3), level, np.uint8))
    with project(tmp_path, client) as db:
        db.index_the_dirs()
        if not with_the_thumbnails:
            db.first_loop_iteration(compute_hash=True)
        db.first_loop_iteration(compute_hash=True, amount=0, hash_function=function)
        assert sorted(found_names(db)) == [["a.png", "b.png"], ["c.png", "e.png"]]
        frame = db.images.compute()
        assert frame.hash_key.to_list() == (
            ["10", "10", "40", "80", "40"] if function is mean_bytes else ["16", "16", "64", "128", "64"]
        )
        assert frame.hash_function.nunique() == 1
        assert (frame.hash_shift == 0).all()


def call_and_count(function, name, picture):
    CALLS.add(name)
    return function(picture)


def counting_image_hashes(monkeypatch) -> None:
    """Count what workers call; they are threads of this process."""
    imagehash = importlib.import_module("imagehash")
    for name in ("average_hash", "dhash", "phash", "whash"):
        monkeypatch.setattr(imagehash, name, partial(call_and_count, getattr(imagehash, name), name))


def test_nothing_is_computed_twice(tmp_path, client, rng, monkeypatch):
    counting_image_hashes(monkeypatch)
    for number in range(5):
        save(tmp_path / "a" / f"{number}.png", noise(rng))
    (tmp_path / "a" / "bad.png").touch()
    with project(tmp_path, client, block_size=2) as db:
        db.index_the_dirs()
        db.first_loop_iteration(hash_function=mean_text, image_hashes=["average", "wavelet"])
        assert CALLS.found == {"text": 20, "average_hash": 5, "whash": 5}
    with project(tmp_path, None, block_size=2) as db:
        db.first_loop_iteration(hash_function=mean_text, image_hashes=["wavelet", "average"])
        assert CALLS.found == {"text": 20, "average_hash": 5, "whash": 5}
        assert db._client.started is None  # nothing to run
    with project(tmp_path, client, block_size=2) as db:
        save(tmp_path / "a" / "new.png", noise(rng))
        db.index_the_dirs()
        for expected, options in (
            # new images only
            ({"text": 4, "average_hash": 1}, {"hash_function": mean_text, "image_hashes": "average"}),
            # another picture hash: of all, and the one that the new image lacks
            ({"dhash": 6, "whash": 1}, {"image_hashes": ("difference", "wavelet")}),
            # another shift, another function: picture hashes stay
            ({"text": 24}, {"hash_function": mean_text, "amount": 2, "image_hashes": ["difference"]}),
            ({"bytes": 24}, {"hash_function": mean_bytes, "amount": 2, "compute_hash": True}),
            ({"bytes": 0}, {"hash_function": mean_bytes, "amount": 2, "image_hashes": ["average"]}),
            ({}, {"compute_hash": False}),
            ({}, {"compute_hash": True, "amount": 2}),  # SHA-256 again
            ({"text": 24}, {"hash_function": mean_text, "amount": 2}),
        ):
            CALLS.found.clear()
            db.first_loop_iteration(**options)
            assert CALLS.found == Counter(expected), options
        assert db.images_read == 1
        frame = db.images.compute()
        good = frame[frame.error.isna()]
        assert len(good) == 6
        columns = ["average_hash", "difference_hash", "wavelet_hash", "hash_key"]
        assert good[columns].notna().all(axis=None)
        assert frame.perceptual_hash.isna().all()
        assert frame[frame.error.notna()][columns].isna().all(axis=None)


def test_hashes_after_reading_are_those_with_reading(tmp_path, client, rng):
    make_pictures(tmp_path / "a", 9, rng, [])
    kinds = ("average", "difference", "perceptual", "wavelet")
    with project(tmp_path, client, block_size=4) as db:
        db.index_the_dirs()
        db.first_loop_iteration(compute_hash=True, image_hashes=kinds)
        first = db.images.compute()
        thumbnails = db.thumbnails.compute()
    imagehash = importlib.import_module("imagehash")
    assert first.perceptual_hash.to_list() == [str(imagehash.phash(Image.fromarray(each))) for each in thumbnails]
    with fd.FastDifPy(
        tmp_path / "a", store=tmp_path / "later", client=client, thumbnail_size_x=SIZE, thumbnail_size_y=SIZE
    ) as db:
        db.index_the_dirs()
        for options in ({}, {"image_hashes": kinds}, {"compute_hash": True, "amount": 1}, {"compute_hash": True}):
            db.first_loop_iteration(**options)
        assert db.images.compute().equals(first)


@pytest.mark.parametrize("with_the_thumbnails", [True, False])
def test_a_block_whose_hash_function_fails_is_not_kept(tmp_path, client, with_the_thumbnails):
    for name, level in (("a", 0), ("b", 1), ("c", 2), ("d", 255)):
        save(tmp_path / "a" / f"{name}.png", np.full((SIZE, SIZE, 3), level, np.uint8))
    with project(tmp_path, client, block_size=2) as db:
        db.index_the_dirs()
        if not with_the_thumbnails:
            db.first_loop_iteration()
        with pytest.raises(
            fd.FastDiffError, match=r"hash function \S*fails_on_white failed \(RuntimeError: too bright\)"
        ):
            db.first_loop_iteration(amount=0, hash_function=fails_on_white)
        assert 1 not in db.store.finished_blocks() or not with_the_thumbnails
        assert db.store.read_partition(1).hash_key.isna().all()
        db.first_loop_iteration(compute_hash=True)
        assert len(db.images.compute().hash_key.dropna()) == 4


def test_a_function_that_cannot_be_sent_is_refused_before_reading(tmp_path, client, rng):
    save(tmp_path / "a" / "a.png", noise(rng))
    lock = threading.Lock()

    def locked(thumbnail):
        with lock:
            return ""

    with project(tmp_path, client) as db:
        db.index_the_dirs()
        with pytest.raises(fd.UsageError, match=r"hash function \S*locked cannot be sent to the workers"):
            db.first_loop_iteration(hash_function=locked)
        for options in ({"hash_function": "md5"}, {"image_hashes": ["colour"]}, {"amount": 9}):
            with pytest.raises(fd.UsageError):
                db.first_loop_iteration(**options)
        assert db.images_read == 0
