"""A commit is there as a whole, and foreign state is refused."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import zarr

from fastdiff_dask.config import CompareSettings, ThumbnailSettings
from fastdiff_dask.errors import FastDiffError, StoreLockedError, StoreMismatchError, UsageError
from fastdiff_dask.kernels.bounds import SearchCounts
from fastdiff_dask.kernels.grid import Generation
from fastdiff_dask.kernels.hashes import thumbnail_digests
from fastdiff_dask.kernels.signatures import signature_length, signatures
from fastdiff_dask.storage.comparisons import Comparison
from fastdiff_dask.storage.pairs import PairWriter, read_pairs
from fastdiff_dask.storage.plans import Part
from fastdiff_dask.storage.schema import IMAGE_SCHEMA, UNREAD
from fastdiff_dask.storage.store import Store

ROOTS = {"a": ["/photos"], "b": []}
SETTINGS = ThumbnailSettings(width=8, height=8, block_size=3)


@pytest.fixture(params=["folder", "memory"])
def url(request, tmp_path):
    return str(tmp_path / "store") if request.param == "folder" else f"memory://{tmp_path.name}"


def partition(first: int, rows: int) -> pd.DataFrame:
    numbers = dict.fromkeys(("size", "mtime_ns", "device", "inode", "changed_ns"), 0)
    frame = pd.DataFrame({"image": range(first, first + rows), "path": [""] * rows})
    return frame.assign(side="a", root="/photos", path_bytes=b"", current=True, error=None, **numbers, **UNREAD)


@pytest.fixture
def store(url):
    return make_store(url)


def make_store(url: str) -> Store:
    store = Store.open_or_create(url, ROOTS, SETTINGS)
    for block, rows in enumerate((3, 1)):
        store.write_partition(block, partition(3 * block, rows))
    store.add_generation(Generation(range(2), range(2, 2), 4, 0))
    return store


def write(store: Store, block: int, thumbnails: np.ndarray) -> None:
    store.arrays.write_images(block, thumbnails, signatures(thumbnails), thumbnail_digests(thumbnails))


def test_what_was_written_comes_back(store, url):
    again = Store(url)
    assert (again.generations, again.roots, again.thumbnail_settings) == (store.generations, ROOTS, SETTINGS)
    assert again.rows() == [3, 1]
    assert again.read_images(["image"]).image.to_list() == [0, 1, 2, 3]
    assert again.read_partition(1).columns.to_list() == IMAGE_SCHEMA.names


def test_a_block_of_black_pictures_is_finished(store):
    assert store.finished_blocks() == set()
    write(store, 1, np.zeros((3, 8, 8, 3), np.uint8))
    assert store.finished_blocks() == {1}
    write(store, 0, np.full((3, 8, 8, 3), 7, np.uint8))
    assert store.finished_blocks() == {0, 1}
    assert (store.arrays.read_thumbnails(0) == 7).all()


def test_a_new_generation_keeps_the_old_thumbnails(store, url):
    write(store, 0, np.full((3, 8, 8, 3), 7, np.uint8))
    store.write_partition(2, partition(6, 2))
    store.add_generation(Generation(range(2, 3), range(3, 3), 2, 0))
    again = Store(url)
    assert again.finished_blocks() == {0}
    assert again.arrays.thumbnails().shape == (9, 8, 8, 3)
    assert (again.arrays.read_thumbnails(0) == 7).all()


def test_partitions_beyond_the_last_generation_do_not_count(store, url):
    store.write_partition(2, partition(6, 3))
    assert len(Store(url).read_images(["image"])) == 4


VALUES = signature_length(*SETTINGS.shape)
PART = Part(range(1), 4, 0, 2, 1)  # two sub-blocks, three tiles
COUNTS = SearchCounts(pairs=7, near=5, leading=4, candidates=3, dense=2)


def begin(store: Store, compare_settings: CompareSettings | None = None, part: Part = PART) -> Comparison:
    comparison = Comparison(store, compare_settings or CompareSettings())
    comparison.begin(part)
    comparison.record_part(part)
    return comparison


def write_tile(comparison: Comparison, tile: int, *parts: np.ndarray) -> None:
    writer = PairWriter(comparison, PART, tile)
    for pairs in parts:
        writer.add(pairs)
    writer.commit(COUNTS)


def read_all(comparison: Comparison) -> np.ndarray:
    return np.concatenate(list(read_pairs(comparison, comparison.plans())))


def test_tiles_are_finished_by_their_mark(store):
    assert Comparison(store, CompareSettings()).parts() == []
    comparison = begin(store)
    assert comparison.parts() == [PART]
    plan = comparison.plans()[0]
    assert plan.pending() == [0, 1, 2]
    assert [plan.pairs(number) for number in range(3)] == [1, 4, 1]
    pairs = np.array([[0, 1, 5, 1], [0, 2, 0, 4]])
    write_tile(comparison, 0, pairs)
    write_tile(comparison, 2)
    assert comparison.plans()[0].counts.tolist() == [[2, 7, 5, 4, 3, 2, 0, 0], [-1] * 8, [0, 7, 5, 4, 3, 2, 0, 0]]
    np.testing.assert_array_equal(read_all(comparison), pairs)
    # pairs without the mark are those of a process that was killed in between
    group = zarr.open_group(store.arrays.zarr(), path=f"comparisons/{comparison.name}/generations-0-1", mode="r+")
    group.create_array("pairs-1", data=pairs)
    assert len(read_all(comparison)) == 2
    write_tile(comparison, 1, pairs[:1])
    assert len(read_all(comparison)) == 3


@pytest.mark.parametrize("sizes", [[3], [2], [2, 2, 1], [5, 9], [4, 4], [0, 4, 0]])
def test_pairs_are_written_while_they_are_found(store, monkeypatch, sizes):
    monkeypatch.setattr("fastdiff_dask.storage.pairs._CHUNK", 4)
    monkeypatch.setattr("fastdiff_dask.storage.pairs._FEW", 2)
    comparison = begin(store)
    pairs = np.arange(1, 4 * sum(sizes) + 1).reshape(-1, 4) % 251 + 1
    pairs[:, :2] %= 6
    write_tile(comparison, 0, *np.split(pairs, np.cumsum(sizes)[:-1]))
    np.testing.assert_array_equal(read_all(comparison), pairs)
    assert max(len(part) for part in read_pairs(comparison, comparison.plans())) <= 4


@pytest.mark.parametrize("row", [0, 255, 511, 512, 599])
@pytest.mark.parametrize(
    "pair", [[0, 2**40, 0, 1], [-1, 5, 0, 1], [0, 1, 0, 0], [0, 1, 0, 256], [0, 1, 0, -1]], ids=str
)
def test_each_of_many_pairs_is_checked(store, row, pair):
    comparison = begin(store)
    pairs = np.tile([0, 1, -5, 255], (600, 1))
    write_tile(comparison, 0, pairs)
    np.testing.assert_array_equal(read_all(comparison), pairs)
    pairs[row] = pair
    store.files.write(f"arrays.zarr/{comparison.folder(PART)}/pairs-0/c.0.0", pairs.tobytes())
    with pytest.raises(FastDiffError, match=r"no transform|not there"):
        read_all(comparison)


def test_a_plan_that_was_not_recorded_does_not_count(store):
    comparison = Comparison(store, CompareSettings())
    comparison.begin(PART)
    order = np.array([3, 1, 2, 0])
    comparison.write_order(PART, "a", order, iter([np.ones((4, VALUES), np.float32)]))
    assert comparison.parts() == []
    comparison.begin(PART)
    parts = np.zeros((3, VALUES), np.float32), np.ones((1, VALUES), np.float32)
    comparison.write_order(PART, "a", order[::-1], iter(parts))
    comparison.record_part(PART)
    assert comparison.read_order(PART, "a", range(1, 3)).tolist() == [2, 1]
    assert comparison.read_signatures(PART, "a", range(2, 4)).tolist() == [[0] * VALUES, [1] * VALUES]


def test_parts_follow_each_other(store):
    for block in (2, 3):
        store.write_partition(block, partition(3 * block, 2))
        store.add_generation(Generation(range(block, block + 1), range(block + 1, block + 1), 2, 0))
    comparison = begin(store)
    later = Part(range(1, 3), 4, 0, 3, 2)
    comparison.begin(later)
    comparison.record_part(later)
    assert comparison.parts() == [PART, later]
    assert [len(plan.tiles) for plan in comparison.plans()] == [3, 2]


@pytest.mark.parametrize("images", [[0], [3, 0, 2, 2], [], [1, 2, 3]])
def test_rows_are_read_in_any_order(store, images, rng):
    thumbnails = rng.integers(0, 256, (2, 3, 8, 8, 3), dtype=np.uint8)
    for block in range(2):
        write(store, block, thumbnails[block])
    whole = thumbnails.reshape(6, 8, 8, 3)[:4]
    wanted = np.array(images, np.int64)
    np.testing.assert_array_equal(store.arrays.thumbnail_rows(wanted), whole[wanted])
    np.testing.assert_array_equal(store.arrays.signature_rows(wanted), signatures(whole[wanted]))
    digests = store.arrays.read_digests()
    np.testing.assert_array_equal(digests[:4], thumbnail_digests(whole))
    assert digests.shape == (6, 4, 16)
    assert not digests[4:].any()  # rows without an image


def test_a_block_that_is_part_empty_takes_its_images_only(tmp_path, rng):
    settings = ThumbnailSettings(width=8, height=8, block_size=1024)
    store = Store.open_or_create(str(tmp_path / "store"), ROOTS, settings)
    thumbnails = rng.integers(0, 256, (1029, 8, 8, 3), dtype=np.uint8)
    for block, first, rows in ((0, 0, 1024), (1, 1024, 5)):
        store.write_partition(block, partition(first, rows))
        write(store, block, thumbnails[first : first + rows])
    store.add_generation(Generation(range(2), range(2, 2), 1029, 0))
    np.testing.assert_array_equal(store.arrays.thumbnail_rows(np.arange(1029)), thumbnails)
    # and others read it as they would read any array, also what is left out
    group = zarr.open_group(f"{tmp_path}/store/arrays.zarr", mode="r")
    np.testing.assert_array_equal(group["thumbnails"][:1029], thumbnails)
    np.testing.assert_array_equal(group["signatures"][:1029], signatures(thumbnails))
    np.testing.assert_array_equal(group["digests"][:1029], thumbnail_digests(thumbnails))
    assert not group["thumbnails"][1029:].any()
    sizes = [path.stat().st_size for path in sorted((tmp_path / "store/arrays.zarr/thumbnails").glob("c.*"))]
    assert sizes == [1024 * 192 + 64 * 16, 16 * 192 + 64 * 16]


def test_comparisons_are_told_apart(store):
    settings = [
        CompareSettings(similarity_threshold=threshold, rotations=rotations, mirror=mirror, measure=measure)
        for threshold, measure in ((0.1, "mse"), (200, "mse"), (0.1, "ssim"))
        for rotations in (True, False)
        for mirror in (True, False)
    ]
    for one in settings:
        begin(store, one)
    found = [comparison.settings for comparison in Comparison.all_in(store)]
    assert len(found) == 12
    assert set(found) == set(settings)


@pytest.mark.parametrize(
    ("roots", "settings", "message"),
    [
        (
            ROOTS,
            ThumbnailSettings(width=9, height=8, block_size=3),
            "8×8, block_size 3, now asked for 9×8, block_size 3",
        ),
        (ROOTS, ThumbnailSettings(width=8, height=8, block_size=4), "block_size 3, now asked for 8×8, block_size 4"),
        ({"a": ["/other"], "b": []}, SETTINGS, "/photos, now asked for /other"),
        ({"a": ["/photos"], "b": ["/b"]}, SETTINGS, "/photos, now asked for /photos against /b"),
    ],
)
def test_other_settings_are_refused_with_both_values(store, url, roots, settings, message):
    with pytest.raises(StoreMismatchError, match=message):
        Store.open_or_create(url, roots, settings)


@pytest.mark.parametrize("change", [{"format_version": 1}, {"format": "other"}, {"generations": 5}, {"thumbnails": {}}])
def test_another_format_is_refused(store, url, change):
    zarr.open_group(store.arrays.zarr(), mode="r+").update_attributes(change)
    with pytest.raises(StoreMismatchError, match="name another store="):
        Store(url)


def test_damaged_attributes_are_refused(tmp_path):
    url = str(tmp_path / "store")
    Store.open_or_create(url, ROOTS, SETTINGS)
    (tmp_path / "store" / "arrays.zarr" / "zarr.json").write_text('{"zarr_format": 3, "node')
    with pytest.raises(StoreMismatchError, match="cannot be read"):
        Store(url)


def test_no_store(url):
    with pytest.raises(UsageError, match="no store at"):
        Store(url)


def test_other_peoples_folders_are_refused_and_left_alone(tmp_path):
    (tmp_path / "download.partial").write_text("precious")
    before = sorted(tmp_path.iterdir())
    with pytest.raises(StoreMismatchError, match="a folder with other files"), Store.lock(str(tmp_path)):
        pass
    with pytest.raises(StoreMismatchError, match="a folder with other files"):
        Store.open_or_create(str(tmp_path), ROOTS, SETTINGS)
    with pytest.raises(StoreMismatchError, match="is a file"), Store.lock(str(tmp_path / "download.partial")):
        pass
    assert sorted(tmp_path.iterdir()) == before


def test_an_unknown_kind_of_address(tmp_path):
    with pytest.raises(UsageError, match="cannot be used"):
        Store("nonsense://x")


def test_leftovers_of_a_killed_writer_go(tmp_path):
    url = str(tmp_path / "store")
    Store.open_or_create(url, ROOTS, SETTINGS)
    leftover = tmp_path / "store" / "arrays.zarr" / "zarr.0123.partial"
    leftover.touch()
    with Store.lock(url):
        assert not leftover.exists()


HOLD = """
import sys, time
from fastdiff_dask.storage.store import Store
with Store.lock(sys.argv[1]):
    print("held", flush=True)
    time.sleep(60)
"""


def test_one_writer_at_a_time_and_a_dead_one_does_not_count(tmp_path):
    url = str(tmp_path / "store")
    with subprocess.Popen([sys.executable, "-c", HOLD, url], stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(StoreLockedError, match=f"written by process {holder.pid} on"), Store.lock(url):
            pass
        holder.kill()
    with Store.lock(url):
        assert json.loads((Path(url) / "writer.json").read_text())["process"] != holder.pid


def test_zarr_and_parquet_are_readable_without_us(tmp_path):
    url = str(tmp_path / "store")
    store = make_store(url)
    write(store, 0, np.zeros((3, 8, 8, 3), np.uint8))
    group = zarr.open_group(f"{url}/arrays.zarr", mode="r")
    assert group["thumbnails"].metadata.dimension_names == ("image", "y", "x", "channel")
    assert len(pd.read_parquet(f"{url}/images.parquet")) == 4


@pytest.mark.parametrize("damage", ["missing partition", "cut partition", "cut thumbnails"])
def test_damage_is_said_in_one_line(tmp_path, damage):
    store = make_store(str(tmp_path / "store"))
    write(store, 0, np.random.default_rng(0).integers(0, 256, (3, 8, 8, 3), dtype=np.uint8))
    partition_path = tmp_path / "store" / "images.parquet" / "block-00000000.parquet"
    chunk = tmp_path / "store" / "arrays.zarr" / "thumbnails" / "c.0.0.0.0"
    if damage == "missing partition":
        partition_path.unlink()
    else:
        path = partition_path if damage == "cut partition" else chunk
        path.write_bytes(path.read_bytes()[:50])
    with pytest.raises(FastDiffError, match=r"is damaged.*delete the store and start again") as caught:
        store.arrays.read_thumbnails(0) if damage == "cut thumbnails" else store.read_images(["image"])
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["zarr.json", "generations-0-1/compared/zarr.json", "generations-0-1/compared/c.0.0"])
def test_a_damaged_comparison_is_said_in_one_line(tmp_path, name):
    store = make_store(str(tmp_path / "store"))
    comparison = begin(store)
    write_tile(comparison, 0, np.ones((1, 4), np.int64))
    (tmp_path / "store" / "arrays.zarr" / "comparisons" / comparison.name / name).write_text("")

    def read():
        for one in Comparison.all_in(store):
            one.plans()

    with pytest.raises(FastDiffError, match=r"is damaged.*delete the store and start again"):
        read()


def test_a_comparison_killed_before_it_began_is_none(tmp_path):
    store = make_store(str(tmp_path / "store"))
    folder = tmp_path / "store" / "arrays.zarr" / "comparisons" / Comparison(store, CompareSettings()).name
    folder.mkdir(parents=True)
    assert Comparison.all_in(store) == []
    begin(store)
    assert len(Comparison.all_in(store)) == 1


@pytest.mark.parametrize("gone", ["chunk", "array"])
def test_lost_pairs_are_noticed(tmp_path, gone):
    store = make_store(str(tmp_path / "store"))
    comparison = begin(store)
    write_tile(comparison, 0, np.ones((1, 4), np.int64))
    folder = tmp_path / "store" / "arrays.zarr" / "comparisons" / comparison.name / "generations-0-1" / "pairs-0"
    (folder / "c.0.0").unlink() if gone == "chunk" else shutil.rmtree(folder)
    with pytest.raises(FastDiffError, match=r"is damaged: the pairs of tile 0"):
        read_all(comparison)


def test_a_kill_at_the_very_first_write_does_not_spoil_the_place(tmp_path):
    (tmp_path / "writer.lock").touch()
    leftover = tmp_path / f"writer.json.{'0' * 32}.partial"
    leftover.touch()
    with Store.lock(str(tmp_path)):
        assert not leftover.exists()


def test_damaged_pairs_are_said_in_one_line(tmp_path):
    store = make_store(str(tmp_path / "store"))
    comparison = begin(store)
    write_tile(comparison, 0, np.ones((1, 4), np.int64))
    folder = tmp_path / "store" / "arrays.zarr" / "comparisons" / comparison.name
    (folder / "generations-0-1" / "pairs-0" / "c.0.0").write_bytes(b"nonsense")
    with pytest.raises(FastDiffError, match=r"pairs of tile 0 .* cannot be read"):
        read_all(comparison)
