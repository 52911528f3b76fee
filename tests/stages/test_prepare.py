"""Functions of the user prepare once an image: values, resuming, changes, turned images, mistakes, memory."""

import functools
import itertools
import json
import threading
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import fastdiff_dask as fd
from fastdiff_dask.errors import FastDiffError, UsageError
from fastdiff_dask.kernels.measures import Measure, resolve_measure
from fastdiff_dask.runtime import connection
from fastdiff_dask.runtime.memory import check_feature_memory
from fastdiff_dask.stages.prepare import unprepared_blocks
from fastdiff_dask.storage.comparisons import Comparison
from fastdiff_dask.storage.store import Store
from fastdiff_dask.tasks.prepare_block import prepare_block

INFINITE = 1e300
SIZE = {"thumbnail_size_x": 8, "thumbnail_size_y": 8, "verbose": False}


@pytest.fixture(scope="module")
def client():
    client = connection.embedded_client(2, "127.0.0.1:0")
    yield client
    client.close()
    client.cluster.close()


@pytest.fixture
def pixels(rng) -> np.ndarray:
    """Eleven pictures of 8 × 8 pixels: two equal, one turned, one mirrored."""
    pixels = rng.integers(0, 256, (11, 8, 8, 3), dtype=np.uint8)
    pixels[3], pixels[4], pixels[5] = pixels[1], np.rot90(pixels[1]), np.fliplr(pixels[2])
    return pixels


@pytest.fixture
def folder(tmp_path, pixels) -> Path:
    (tmp_path / "photos").mkdir()
    for number, image in enumerate(pixels):
        Image.fromarray(image).save(tmp_path / "photos" / f"{number:03d}.png")
    return tmp_path


def opened(folder: Path, client: object, store: str = "store", **options: object) -> fd.FastDifPy:
    db = fd.FastDifPy(folder / "photos", store=folder / store, client=client, **({"block_size": 4} | SIZE | options))
    db.index_the_dirs()
    db.first_loop_iteration()
    return db


def noted(note: Path, factor: int = 1) -> Callable:
    """A function that prepares one corner, which depends on the turn; it notes how many images it got in a file."""
    text = str(note)

    def prepare(images):
        with open(text, "a") as calls:  # noqa: PTH123 - a path would be part of what the function is
            calls.write(f"{len(images)}\n")
        return images[:, 0, :2].astype(np.int32) * factor

    return prepare


def images_prepared(note: Path) -> int:
    if not note.exists():
        return 0
    total = sum(map(int, note.read_text().split()))
    note.unlink()
    return total


def compare_corners(a, b):
    return np.abs(a[:, None] - b[None]).sum(axis=(2, 3)) / 3


def expected(pixels: np.ndarray, rotations: bool, mirror: bool) -> list[tuple[int, int, float, int, bool]]:
    """Call both functions for each pair and transform by hand."""

    def value(x: np.ndarray, y: np.ndarray) -> float:
        return float(np.abs(x[0, :2].astype(int) - y[0, :2].astype(int)).sum() / 3)

    rows = []
    for (i, a), (j, b) in itertools.combinations(enumerate(pixels), 2):
        each = []
        for flip in (False, True)[: 1 + mirror]:
            for turn in range(4 if rotations else 1):
                turned = np.rot90(np.fliplr(a) if flip else a, turn)
                back = np.rot90(np.fliplr(b), turn) if flip else np.rot90(b, -turn)
                each.append((min(value(turned, b), value(a, back)), turn * 90, flip))
        best = min(each, key=lambda one: one[0])
        rows.append((i, j, *best))
    return rows


def rows_of(pairs) -> list[tuple]:
    assert list(pairs.columns[:2]) == ["a", "b"]
    numbers = ([int(Path(path).stem) for path in pairs[side]] for side in "ab")
    return list(zip(*numbers, pairs.value, pairs.rotation, pairs.mirrored, strict=True))


# -- values ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("rotations", "mirror"), [(False, False), (True, False), (False, True), (True, True)])
@pytest.mark.parametrize(("block_size", "sub_block"), [(1, 1), (4, 3), (16, None)])
def test_values_are_those_of_two_loops(folder, client, pixels, rotations, mirror, block_size, sub_block):
    prepare = noted(folder / "note")
    with opened(folder, client, block_size=block_size) as db:
        found = db.find_pairs(
            INFINITE, compare=compare_corners, prepare=prepare, rotations=rotations, mirror=mirror, sub_block=sub_block
        )
    assert rows_of(found) == expected(pixels, rotations, mirror)
    transforms = (4 if rotations else 1) * (2 if mirror else 1)
    assert images_prepared(folder / "note") == 11 * transforms


def test_columns_that_do_not_fit_are_read_in_strips(folder, client, pixels, monkeypatch):
    monkeypatch.setattr("fastdiff_dask.tasks.measured_pairs._HELD", 300)  # 24 bytes for each of four turns
    with opened(folder, client) as db:
        found = db.find_pairs(INFINITE, compare=compare_corners, prepare=noted(folder / "note"), sub_block=2)
    assert rows_of(found) == expected(pixels, True, False)


def test_two_sides_and_filters_get_features(folder, client, pixels):
    (folder / "others").mkdir()
    for number in range(5, 11):
        name = f"{number:03d}.png"
        (folder / "photos" / name).rename(folder / "others" / name)
    with fd.FastDifPy(folder / "photos", folder / "others", store=folder / "s", client=client, **SIZE) as db:
        db.index_the_dirs()
        db.first_loop_iteration(compute_hash=True)
        found = db.find_pairs(INFINITE, compare=compare_corners, prepare=noted(folder / "note"), sub_block=2)
        assert rows_of(found) == [row for row in expected(pixels, True, False) if row[0] < 5 <= row[1]]
        some = db.find_pairs(INFINITE, compare=compare_corners, prepare=noted(folder / "note"), match_aspect_by=1)
        assert rows_of(some) == rows_of(found)
    assert images_prepared(folder / "note") == 11 * 4


KINDS: dict[str, Callable] = {
    "bool": lambda x: x[:, 0, 0] > 100,
    "one number": lambda x: x[:, 0, 0, 0].astype(np.int64),
    "big endian": lambda x: x[:, 0, 0].astype(">i4"),
    "float16": lambda x: x[:, 0, 0].astype(np.float16),
    "complex": lambda x: x[:, 0, 0] * 1j,
    "lists": lambda x: x[:, 0, 0].tolist(),
    "the thumbnails": lambda x: x,
}


@pytest.mark.parametrize("kind", KINDS)
def test_features_of_any_type_and_shape_are_kept(folder, client, pixels, kind):
    prepare = KINDS[kind]

    def compare(a, b):
        axes = tuple(range(2, a.ndim + 1))
        return np.abs(a[:, None].astype(complex) - b[None]).sum(axis=axes)

    with opened(folder, client) as db:
        found = db.find_pairs(INFINITE, compare=compare, prepare=prepare, rotations=False)
    features = np.asarray(prepare(pixels))
    wanted = compare(features, features)
    assert [row[2] for row in rows_of(found)] == [wanted[i, j] for i, j in itertools.combinations(range(11), 2)]


def test_the_function_may_carry_it(folder, client, pixels):
    def compare(a, b):
        return compare_corners(a, b)

    def scaled(a, b, factor):
        return compare_corners(a, b) * factor

    compare.prepare = scaled.prepare = noted(folder / "note")

    class Compare:
        def prepare(self, images):
            return images[:, 0, :2].astype(np.int32)

        def __call__(self, a, b):
            return compare_corners(a, b)

    with opened(folder, client) as db:
        for function in (compare, functools.partial(scaled, factor=1), Compare()):
            assert rows_of(db.find_pairs(INFINITE, compare=function)) == expected(pixels, True, False)


def test_unreadable_and_no_images_are_not_prepared(folder, client):
    (folder / "photos" / "000.png").write_bytes(b"broken")
    note = folder / "note"
    with opened(folder, client, block_size=1) as db:
        assert len(db.find_pairs(INFINITE, compare=compare_corners, prepare=noted(note))) == 45
    assert images_prepared(note) == 10 * 4
    for path in (folder / "photos").iterdir():
        path.write_bytes(b"broken")
    with opened(folder, client, "other") as db:
        assert len(db.find_pairs(INFINITE, compare=compare_corners, prepare=noted(note))) == 0
    assert images_prepared(note) == 0


# -- resuming --------------------------------------------------------------------------------------------------------


def test_each_image_is_prepared_once(folder, client, pixels):
    note = folder / "note"
    held = {path: path.read_bytes() for path in sorted((folder / "photos").iterdir())[6:]}
    for path in held:
        path.unlink()
    options = {"compare": compare_corners, "prepare": noted(note)}
    with opened(folder, client) as db:
        db.find_pairs(100.0, **options, rotations=False)
        assert images_prepared(note) == 6
        db.find_pairs(50.0, **options, rotations=False)
        db.find_pairs(200.0, **options, rotations=False)  # is compared again, from the stored features
        assert images_prepared(note) == 0
        db.find_pairs(200.0, **options)
        assert images_prepared(note) == 6 * 3  # only the other turns
    with opened(folder, client) as db:
        db.find_pairs(INFINITE, compare=lambda a, b: -compare_corners(a, b), prepare=noted(note), mirror=True)
        assert images_prepared(note) == 6 * 4  # mirrored; another function compares the same features
    for path, content in held.items():
        path.write_bytes(content)
    with opened(folder, client) as db:
        found = db.find_pairs(INFINITE, **options)
        assert images_prepared(note) == 5 * 4
        assert rows_of(found) == expected(pixels, True, False)


def test_what_a_failed_run_prepared_stays(folder, client, pixels):
    note, text = folder / "note", str(folder / "fail")

    def prepare(images):
        import os

        if os.path.exists(text) and images[0, 0, 0, 0] == marker:  # noqa: PTH110
            raise RuntimeError("no more today")
        return inner(images)

    inner, marker = noted(note), int(pixels[8, 0, 0, 0])
    Path(text).touch()
    with opened(folder, client) as db:
        with pytest.raises(FastDiffError, match=r"prepare function .*prepare failed \(RuntimeError: no more today\)"):
            db.find_pairs(INFINITE, compare=compare_corners, prepare=prepare, rotations=False, cpu_proc=1)
        assert images_prepared(note) == 8
        Path(text).unlink()
        found = db.find_pairs(INFINITE, compare=compare_corners, prepare=prepare, rotations=False)
        assert images_prepared(note) == 3
        assert rows_of(found) == expected(pixels, False, False)


def test_what_was_not_recorded_before_a_kill_does_not_count(folder, client, pixels):
    note = folder / "note"
    with opened(folder, client) as db:
        db.find_pairs(INFINITE, compare=compare_corners, prepare=noted(note), rotations=False)
        assert images_prepared(note) == 11
        (features,) = (folder / "store" / "arrays.zarr" / "features").glob("*-*")
        (features / "0" / "zarr.json").unlink()
        (features / "0" / "c.0.0.0").write_bytes(b"of another time")
        found = db.find_pairs(
            INFINITE, compare=lambda a, b: compare_corners(a, b), prepare=noted(note), rotations=False
        )
        assert images_prepared(note) == 11
        assert rows_of(found) == expected(pixels, False, False)


def test_a_changed_function_never_gets_old_features(folder, client):
    note = folder / "note"
    with opened(folder, client) as db:
        once = db.find_pairs(INFINITE, compare=compare_corners, prepare=noted(note))
        assert images_prepared(note) == 44
        twice = db.find_pairs(INFINITE, compare=compare_corners, prepare=noted(note, 2))
        assert images_prepared(note) == 44
        np.testing.assert_allclose(twice.value, 2 * once.value)
        plain = db.find_pairs(INFINITE, compare=lambda a, b: np.zeros((len(a), len(b))))
        assert set(plain.value) == {0.0}
    assert resolve_measure(compare_corners).name != resolve_measure(compare_corners, noted(note)).name


def test_thumbnails_that_are_made_again_are_prepared_again(folder, client):
    note = folder / "note"
    with opened(folder, client) as db:
        db.find_pairs(INFINITE, compare=compare_corners, prepare=noted(note))
        db.clean_up(thumbs=True, db=False, config=False)
    assert images_prepared(note) == 44
    assert not list((folder / "store" / "arrays.zarr" / "features").rglob("*"))
    with opened(folder, client) as db:
        db.find_pairs(INFINITE, compare=compare_corners, prepare=noted(note))
    assert images_prepared(note) == 44


def test_a_store_that_is_cleaned_up_is_empty(folder, client):
    with opened(folder, client) as db:
        db.find_pairs(INFINITE, compare=compare_corners, prepare=noted(folder / "note"))
        db.clean_up()
    assert not (folder / "store").exists() or not list((folder / "store").rglob("*.*"))


# -- mistakes --------------------------------------------------------------------------------------------------------


def by_level(images):
    """Of another shape for some images."""
    return images[:, 0, 0] if images[0, 0, 0, 0] < 128 else images[:, 0]


MISTAKES: dict[str, tuple[Callable, str]] = {
    "exits": (lambda images: exit(3), r"failed \(SystemExit: 3\); its block is not stored"),
    "raises": (lambda images: {}["x"], r"failed \(KeyError: 'x'\)"),
    "too few": (lambda images: images[:-1, 0], r"gave uint8 of shape \(\d, 8, 3\) for \d images; it must give numbers"),
    "none": (lambda images: None, r"gave object of shape \(\)"),
    "text": (lambda images: images[:, 0, 0].astype(str), r"gave <U3 of shape"),
    "nothing": (lambda images: images[:, :0], r"gave uint8 of shape \(\d, 0, 8, 3\)"),
    "writes": (lambda images: images.sort(), r"failed \(ValueError: .*read-only"),
    "changes its mind": (by_level, "it must give the same for all"),
    "huge": (lambda images: np.zeros((len(images), 17_000_000), np.uint8), "gave 17 MB for an image"),
}


@pytest.mark.parametrize("case", MISTAKES)
def test_a_function_that_fails_is_named_in_one_line(folder, client, case):
    prepare, message = MISTAKES[case]
    with opened(folder, client, block_size=1 if case == "changes its mind" else 4) as db:
        with pytest.raises(FastDiffError, match=message) as caught:
            db.find_pairs(compare=compare_corners, prepare=prepare)
        assert "prepare function" in str(caught.value)
        assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize("compare", ["mse", "hamming", None])
def test_a_measure_of_ours_takes_none(folder, client, compare):
    with opened(folder, client) as db, pytest.raises(UsageError, match="prepare= is for a function of yours"):
        db.find_pairs(compare=compare, prepare=compare_corners)


def test_what_is_no_function_is_refused(folder, client):
    with opened(folder, client) as db:
        with pytest.raises(UsageError, match="prepare= is of type int; use a function of thumbnails"):
            db.find_pairs(compare=compare_corners, prepare=3)
        lock = threading.Lock()
        with pytest.raises(UsageError, match=r"prepare function .* cannot be sent to the workers"):
            db.find_pairs(compare=compare_corners, prepare=lambda images: lock and images)


def test_features_that_were_removed_are_named(folder, client):
    measure = resolve_measure(compare_corners, noted(folder / "note"))
    with opened(folder, client) as db:
        db.find_pairs(INFINITE, compare=compare_corners, prepare=noted(folder / "note"))
        store = Store(db.store_url)
        assert unprepared_blocks(store, measure.features, (0, 1, 2, 3)) == {}
        assert unprepared_blocks(store, measure.features, (3, 7)) == {0: (7,), 1: (7,), 2: (7,)}
        chunk = folder / "store" / "arrays.zarr" / "features" / measure.features / "2" / "c.1.0.0"
        chunk.unlink()
        assert unprepared_blocks(Store(db.store_url), measure.features, (0, 1, 2, 3)) == {1: (2,)}


DAMAGES: dict[str, tuple[Callable, str]] = {
    "another type": (lambda values: values.update(data_type="string"), "its data type is 'string'"),
    "another shape": (lambda values: values["shape"].append(5), "its shape is no list of lengths"),
    "huge rows": (
        lambda values: (
            values["shape"].__setitem__(1, 1 << 30),
            values["chunk_grid"]["configuration"]["chunk_shape"].__setitem__(1, 1 << 30),
            values["codecs"][0]["configuration"]["chunk_shape"].__setitem__(1, 1 << 30),
        ),
        "its rows have",
    ),
}


@pytest.mark.parametrize("case", DAMAGES)
def test_features_of_a_store_are_checked_before_they_are_used(folder, client, case):
    damage, message = DAMAGES[case]
    with opened(folder, client) as db:
        db.find_pairs(1.0, compare=compare_corners, prepare=noted(folder / "note"), rotations=False)
        (features,) = (folder / "store" / "arrays.zarr" / "features").glob("*-*")
        values = json.loads((features / "0" / "zarr.json").read_text())
        damage(values)
        (features / "0" / "zarr.json").write_text(json.dumps(values))
        with pytest.raises(FastDiffError, match=message):
            db.find_pairs(2.0, compare=compare_corners, prepare=noted(folder / "note"), rotations=False)


def test_damaged_features_are_named(folder, client):
    with opened(folder, client) as db:
        db.find_pairs(1.0, compare=compare_corners, prepare=noted(folder / "note"), rotations=False)
        (chunk,) = (folder / "store" / "arrays.zarr" / "features").glob("*/0/c.1.*")
        chunk.write_bytes(b"short")
        with pytest.raises(FastDiffError, match=r"features/.* of block 1"):
            db.find_pairs(2.0, compare=compare_corners, prepare=noted(folder / "note"), rotations=False)


# -- memory ----------------------------------------------------------------------------------------------------------


def test_features_that_do_not_fit_are_refused_before_most_are_computed(folder, client, monkeypatch):
    monkeypatch.setattr("fastdiff_dask.stages.prepare.capacity", lambda client: Room(2, 60_000))
    with (
        opened(folder, client) as db,
        pytest.raises(UsageError, match=r"features of 8 kB an image need .* for a block"),
    ):
        db.find_pairs(compare=compare_corners, prepare=lambda images: np.zeros((len(images), 1000)))
    check_feature_memory(db.settings.thumbnails, 8000, 0)


class Room:
    """Stands for what workers offer."""

    def __init__(self, threads: int, bytes_per_task: int) -> None:
        self.threads, self.bytes_per_task = threads, bytes_per_task


def test_a_block_takes_the_memory_that_is_said(folder, client, rng):
    """A block of 2,000 images with features of 40 kB: 80 MB for one transform, and not four times as many."""
    for number in range(2000):
        path = folder / "photos" / f"more{number}.ppm"
        path.write_bytes(b"P6 8 8 255\n" + rng.bytes(192))

    def prepare(images):
        return np.zeros((len(images), 10_000), np.float32)

    measure = Measure("x.y", compare_corners, prepare, "x.prepare")
    with opened(folder, client, block_size=2048) as db:
        url = db.store_url
    tracemalloc.start()
    try:
        prepare_block(url, measure, 0, (0, 1, 2, 3), None)
        assert 80e6 < tracemalloc.get_traced_memory()[1] < 2.4 * 80e6
    finally:
        tracemalloc.stop()


def test_a_tile_holds_a_strip_of_features(folder, client, rng, monkeypatch):
    for number in range(200):
        (folder / "photos" / f"more{number}.ppm").write_bytes(b"P6 8 8 255\n" + rng.bytes(192))

    def prepare(images):
        return np.tile(images.reshape(len(images), -1).astype(np.float32), (1, 200))  # 154 kB an image, 32 MB in all

    def compare(a, b):
        return np.abs(a[:, None, :3] - b[None, :, :3]).sum(axis=2)

    monkeypatch.setattr("fastdiff_dask.tasks.measured_pairs._HELD", 8_000_000)
    options = {"compare": compare, "prepare": prepare, "rotations": False, "cpu_proc": 1}
    with opened(folder, client) as db:
        first = db.find_pairs(600.0, **options)
        assert Comparison.all_in(Store(db.store_url))[0].plans()[0].part.sub_block == 256
        tracemalloc.start()
        try:
            again = db.find_pairs(601.0, **options, sub_block=10, tile_side=100)
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
    assert again[again.value <= 600.0].reset_index(drop=True).equals(first)
    assert 16e6 < peak < 16e6 + 8e6


# -- hashes ----------------------------------------------------------------------------------------------------------


def test_hashes_are_made_once_an_image(folder, client, monkeypatch):
    imagehash = pytest.importorskip("imagehash")
    made: list[int] = []
    dhash = imagehash.dhash
    monkeypatch.setattr(imagehash, "dhash", lambda image, side: made.append(side) or dhash(image, side))
    with opened(folder, client) as db:
        first = db.find_pairs(compare="hamming")
        assert made == [8] * 44
        assert db.find_pairs(20, compare="dhash").query("value <= 6").value.tolist() == first.value.tolist()
        assert len(made) == 44
        db.find_pairs(compare="dhash-16", rotations=False)
        assert made[44:] == [16] * 11


@pytest.mark.parametrize("block_size", [1, 5, 64])
@pytest.mark.parametrize("measure", ["hamming", "phash", "whash", "ahash-16", "pdq"])
def test_hashes_are_equal_for_every_cut(folder, client, measure, block_size):
    pytest.importorskip("imagehash")
    with opened(folder, client, "first", block_size=11) as db:
        wanted = db.find_pairs(INFINITE, compare=measure, mirror=True)
    with opened(folder, client, block_size=block_size) as db:
        found = db.find_pairs(INFINITE, compare=measure, mirror=True, sub_block=3, tile_side=2, cpu_proc=1)
    assert found.equals(wanted)
    assert (found.value == found.value.astype(int)).all()


@pytest.mark.parametrize("measure", ["hamming", "phash", "ahash", "whash", "phash-16", "pdq"])
def test_photos_have_no_wrong_pair_at_the_usual_threshold(photos, tmp_path, client, measure):
    pytest.importorskip("imagehash")
    truth = json.loads((photos / "truth.json").read_text())
    with fd.FastDifPy(photos, store=tmp_path / "store", client=client, verbose=False) as db:
        db.index_the_dirs()
        db.first_loop_iteration()
        found = db.find_pairs(compare=measure)
    pairs = {frozenset((a, b)) for a, b in zip(found.a, found.b, strict=True)}
    wanted = {frozenset(str(photos / one[name]) for name in ("original", "variant")) for one in truth}
    assert len(wanted - pairs) <= 1
    originals = {str(photos / one["variant"]): str(photos / one["original"]) for one in truth}
    assert all(len({originals.get(path, path) for path in pair}) == 1 for pair in pairs)
