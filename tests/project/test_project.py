"""The whole job in Python: exact for every cut, resumable, incremental."""

import itertools
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

import fastdiff_dask as fd
from fastdiff_dask.kernels.hashes import thumbnail_hashes
from fastdiff_dask.outputs.json_file import write_json
from fastdiff_dask.runtime import workers
from fastdiff_dask.runtime.workers import Capacity
from fastdiff_dask.stages import compare, thumbnails
from fastdiff_dask.storage.store import Store
from fastdiff_dask.testing import reference_sse, simulate_images, simulate_photo


def pixels_of(path: Path, size: tuple[int, int] | None = None) -> np.ndarray:
    with Image.open(path) as picture:
        return np.asarray(picture.resize(size, Image.Resampling.BICUBIC) if size else picture)


def make_noise(folder: Path, images: int, seed: int, size: int = 8) -> list[Path]:
    """Small random pictures of few levels, so that distances are near each other; some equal, some turned."""
    rng = np.random.default_rng(seed)
    folder.mkdir(parents=True)
    paths: list[Path] = []
    drawn: list[np.ndarray] = []
    for number in range(images):
        if drawn and rng.random() < 0.4:
            pixels = np.rot90(drawn[rng.integers(len(drawn))], rng.integers(4))
        else:
            pixels = rng.integers(100, 110, (size, size, 3), dtype=np.uint8)
        drawn.append(pixels)
        paths.append(folder / f"{rng.integers(10**6):06d}-{number}.png")
        Image.fromarray(np.ascontiguousarray(pixels)).save(paths[-1])
    return paths


def reference_pairs(first: list[Path], second: list[Path] | None, threshold: float, **transforms: bool):
    """Pairs by two loops over the pictures themselves: path, path, mse, rotation."""
    loaded = {path: pixels_of(path) for path in [*first, *(second or [])]}
    wanted = itertools.product(first, second) if second else itertools.combinations(sorted(first), 2)
    pairs = []
    for a, b in wanted:
        sse = reference_sse(loaded[a][None], loaded[b][None], **transforms)[0, 0]
        if sse / (loaded[a].shape[0] * loaded[a].shape[1]) <= threshold:
            for angle in (0, 90, 180, 270):
                turned = np.rot90(loaded[a], angle // 90).astype(int)
                if turned.shape == loaded[b].shape and ((turned - loaded[b]) ** 2).sum() == sse:
                    pairs.append((str(a), str(b), sse / (loaded[a].shape[0] * loaded[a].shape[1]), angle))
                    break
    return sorted(pairs)


def found_pairs(result: fd.Result):
    return list(result.pairs[["a", "b", "mse", "rotation"]].itertuples(index=False, name=None))


@given(
    images=st.integers(2, 14),
    images_b=st.sampled_from([0, 0, 3, 7]),
    seed=st.integers(0, 10**6),
    block_size=st.sampled_from([1, 2, 3, 64]),
    sub_block=st.sampled_from([None, 1, 2, 5]),
    tile_side=st.sampled_from([None, 1, 2, 3]),
    rotations=st.booleans(),
    threshold=st.sampled_from([0, 0.1, 30, 45.5, 1000]),
)
@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
def test_equals_two_loops_over_the_pictures(
    tmp_path_factory, client, images, images_b, seed, block_size, sub_block, tile_side, rotations, threshold
):
    folder = tmp_path_factory.mktemp("noise")
    first = make_noise(folder / "a", images, seed)
    second = make_noise(folder / "b", images_b, seed) if images_b else None
    with fd.FastDifPy(
        folder / "a",
        folder / "b" if second else None,
        store=folder / "store",
        client=client,
        thumbnail_size_x=8,
        thumbnail_size_y=8,
        block_size=block_size,
        verbose=False,
    ) as db:
        db.index_the_dirs()
        db.first_loop_iteration()
        db.second_loop_iteration(threshold, rotations=rotations, sub_block=sub_block, tile_side=tile_side)
        result = db.result()
    assert found_pairs(result) == reference_pairs(first, second, threshold, rotations=rotations)
    assert result.stats["pairs_compared"] == (images * images_b if second else images * (images - 1) // 2)


@pytest.mark.parametrize("rotations", [True, False])
def test_non_square_thumbnails(tmp_path, client, rotations, rng):
    folder = tmp_path / "photos"
    folder.mkdir()
    pixels = rng.integers(0, 256, (8, 12, 3), dtype=np.uint8)
    for name, turned in (("a", pixels), ("b", np.rot90(pixels, 2)), ("c", pixels[::-1])):
        Image.fromarray(np.ascontiguousarray(turned)).save(folder / f"{name}.png")
    options = {"store": tmp_path / "store", "thumbnail_size_x": 12, "thumbnail_size_y": 8, "client": client}
    result = fd.find_duplicates(folder, rotations=rotations, similarity_threshold=0, **options)
    pair = (str(folder / "a.png"), str(folder / "b.png"), 0.0, 180)
    assert found_pairs(result) == ([pair] if rotations else [])
    mirrored = fd.find_duplicates(folder, mirror=True, rotations=rotations, similarity_threshold=0, **options).pairs
    assert mirrored.mirrored.sum() == (2 if rotations else 1)
    assert ((mirrored.a == pair[0]) & (mirrored.b == str(folder / "c.png"))).any() == rotations


def job(folder: Path, client, **options):
    return fd.find_duplicates(folder / "photos", store=folder / "store", client=client, verbose=False, **options)


def test_simulated_duplicates_are_found(tmp_path, simulated, client):
    result = job(tmp_path, client)
    assert {(Path(a), Path(b)) for a, b in zip(result.pairs.a, result.pairs.b, strict=True)} == {
        tuple(sorted((copy, original))) for copy, original in simulated.duplicates.items()
    }
    assert len(result.clusters) == 5
    assert len(result.low_quality) == 5
    # of two as large the larger file stays; half the size always goes
    half = next(copy for copy in simulated.duplicates if pixels_of(copy).shape == (60, 80, 3))
    assert str(half) in result.low_quality


def same_but_stats(first: fd.Result, second: fd.Result) -> None:
    assert first.pairs.equals(second.pairs)
    assert first.clusters == second.clusters
    assert first.errors.equals(second.errors)


def test_again_computes_nothing(tmp_path, simulated, client):
    first = job(tmp_path, client, block_size=4)
    second = job(tmp_path, None, block_size=4)  # nothing to run means that no client is started
    same_but_stats(first, second)
    assert first.stats["images_read"] == 17
    assert second.stats["images_read"] == 0
    assert second.stats["tiles_resumed"] == second.stats["tiles"] == first.stats["tiles"]


def test_new_changed_and_vanished_files_cost_only_theirs(tmp_path, simulated, client, rng):
    job(tmp_path, client, block_size=4)
    store = tmp_path / "store"
    older = {path: path.stat().st_mtime_ns for path in store.rglob("c.*")}

    copy, original = next(iter(simulated.duplicates.items()))
    lonely, vanished = simulated.originals[-1], list(simulated.duplicates)[1]
    Image.fromarray(simulate_photo(rng, 160, 120)).save(copy)  # changed: not a copy any more
    Image.fromarray(pixels_of(original)).save(tmp_path / "photos" / "new copy.png")
    vanished.unlink()
    second = job(tmp_path, client, block_size=4)

    assert second.stats["images_read"] == 2
    assert all(path.stat().st_mtime_ns == time for path, time in older.items())
    seen = set(second.pairs.a) | set(second.pairs.b)
    assert str(tmp_path / "photos" / "new copy.png") in seen
    assert not {str(copy), str(vanished), str(lonely)} & seen
    assert (
        second.stats["tiles"] - second.stats["tiles_resumed"] == 2
    )  # old images × new ones, and those with each other

    fresh = fd.find_duplicates(tmp_path / "photos", store=tmp_path / "fresh", client=client)
    same_but_stats(second, fresh)


def test_a_finished_comparison_answers_lower_thresholds(tmp_path, simulated, client):
    high = job(tmp_path, client, similarity_threshold=500)
    middle = high.pairs.mse.median()
    low = job(tmp_path, None, similarity_threshold=middle)
    assert low.stats["tiles_resumed"] == low.stats["tiles"]
    assert 0 < len(low.pairs) < len(high.pairs)
    assert low.pairs.mse.max() == middle
    assert low.pairs.equals(high.pairs[high.pairs.mse <= middle].reset_index(drop=True))
    higher = job(tmp_path, client, similarity_threshold=501)
    assert higher.stats["tiles_resumed"] == 0
    plain = job(tmp_path, client, similarity_threshold=100, rotations=False)
    assert plain.stats["tiles_resumed"] == 0
    assert set(plain.pairs.rotation) == {0}


def test_get_duplicates_for_less_and_for_more(tmp_path, simulated, client):
    with fd.FastDifPy(tmp_path / "photos", store=tmp_path / "store", client=client) as db:
        db.index_the_dirs()
        with pytest.raises(fd.UsageError, match=r"call first_loop_iteration\(\) first"):
            db.second_loop_iteration()
        db.first_loop_iteration()
        with pytest.raises(fd.UsageError, match=r"call second_loop_iteration\(\) first"):
            db.get_duplicates()
        db.second_loop_iteration(similarity_threshold=100)
        clusters, low_quality = db.get_duplicates()
        assert len(clusters) == len(low_quality) == 5
        assert len(db.get_duplicates(db.pairs.mse.min())[0]) == 1
        with pytest.raises(fd.UsageError, match=r"up to a difference \(MSE\) of 100"):
            db.get_duplicates(101)


def test_nothing_indexed_yet(tmp_path, simulated):
    db = fd.FastDifPy(tmp_path / "photos", store=tmp_path / "store")
    with pytest.raises(fd.UsageError, match="no store at"):
        db.first_loop_iteration()
    assert not (tmp_path / "store").exists()


@pytest.mark.parametrize("images", [0, 1])
def test_no_image_and_one_image(tmp_path, client, images):
    simulate_images(tmp_path / "photos", images=images, duplicates=0)
    result = job(tmp_path, client)
    assert len(result.pairs) == len(result.clusters) == result.stats["pairs_compared"] == 0
    assert result.stats["images"] == images
    matrix = fd.FastDifPy(tmp_path / "photos", store=tmp_path / "store").mse()
    assert matrix.compute().tolist() == [[0.0]] * images


def test_bad_files_cost_a_row_each(tmp_path, simulated, client, capsys):
    folder = tmp_path / "photos"
    (folder / "empty.jpg").touch()
    (folder / "text.png").write_text("no picture")
    (folder / "cut.jpg").write_bytes(simulated.originals[0].read_bytes()[:500])
    result = job(tmp_path, client)
    assert [Path(path).name for path in result.errors.path] == ["cut.jpg", "empty.jpg", "text.png"]
    assert len(result.pairs) == 5
    assert result.stats["pairs_compared"] == 17 * 16 // 2
    db = fd.FastDifPy(folder, store=tmp_path / "store")
    db.print_preprocessing_errors()
    assert capsys.readouterr().out.count("UnidentifiedImageError") == 2


def test_a_file_that_vanishes_before_it_is_read(tmp_path, simulated, client):
    path = simulated.originals[0]
    content = path.read_bytes(), path.stat()
    with fd.FastDifPy(tmp_path / "photos", store=tmp_path / "store", client=client) as db:
        db.index_the_dirs()
        path.unlink()
        db.first_loop_iteration()
        assert db.errors.error.to_list() == ["FileNotFoundError: No such file or directory"]
        # back with the same size and time: it was never read, so it is now
        path.write_bytes(content[0])
        os.utime(path, ns=(content[1].st_atime_ns, content[1].st_mtime_ns))
        assert db.index_the_dirs().changed == 1
        db.first_loop_iteration()
        assert len(db.errors) == 0
        assert db.index_the_dirs().unchanged == 17


def test_a_file_is_read_only_as_it_was_listed(tmp_path, simulated, client):
    changed = simulated.originals[0]
    old = changed.read_bytes(), changed.stat()
    with fd.FastDifPy(tmp_path / "photos", store=tmp_path / "store", client=client) as db:
        db.index_the_dirs()
        changed.write_bytes(simulated.originals[9].read_bytes())
        job(tmp_path, client)
        changed.write_bytes(old[0])
        os.utime(changed, ns=(old[1].st_atime_ns, old[1].st_mtime_ns))
    same_but_stats(job(tmp_path, client), fd.find_duplicates(tmp_path / "photos", store=tmp_path / "f", client=client))


def test_collections_for_notebooks_are_in_one_order(tmp_path, simulated, client):
    (tmp_path / "photos" / "bad.jpg").touch()
    with fd.FastDifPy(tmp_path / "photos", store=tmp_path / "store", client=client, block_size=4) as db:
        db.index_the_dirs()
        db.first_loop_iteration()
        simulated.originals[3].unlink()
        db.index_the_dirs()
        frame = db.images.compute()
        assert db.images.npartitions == 5
        assert db.images.known_divisions
        assert len(frame) == 17
        assert frame.error.notna().sum() == 1
        assert set(frame[frame.error.isna()].width) == {160, 80, 120}
        thumbnails = db.thumbnails.compute()
        assert thumbnails.shape == (17, 64, 64, 3)
        for row, image in enumerate(frame.itertuples()):
            if image.path.startswith("picture"):
                wanted = pixels_of(tmp_path / "photos" / image.path, (64, 64))
                np.testing.assert_array_equal(thumbnails[row], wanted)
        matrix = db.mse().compute()
        good = frame.error.isna().to_numpy()
        np.testing.assert_array_equal(np.isnan(matrix), ~(good[:, None] & good[None, :]))
        np.testing.assert_array_equal(matrix[good][:, good], reference_sse(thumbnails[good], thumbnails[good]) / 64**2)
        db.second_loop_iteration()
        named = {str(tmp_path / "photos" / path): row for row, path in enumerate(frame.path)}
        for pair in db.pairs.itertuples():
            assert matrix[named[pair.a], named[pair.b]] == pair.mse


def test_dense_matrix_of_two_sides(tmp_path, client):
    simulate_images(tmp_path / "a", images=3, duplicates=1)
    simulate_images(tmp_path / "b", images=2, duplicates=0)
    with fd.FastDifPy(tmp_path / "a", tmp_path / "b", store=tmp_path / "store", client=client) as db:
        db.index_the_dirs()
        db.first_loop_iteration()
        matrix = db.mse().compute()
        assert matrix.shape == (4, 2)
        assert (np.diag(matrix[1:]) == 0).all()  # the same seeds: copy, picture 0, picture 1, ...


def test_estimate_disk_usage(tmp_path, simulated, client, capsys):
    simulate_images(tmp_path / "other", images=2, duplicates=0)
    with fd.FastDifPy(tmp_path / "photos", tmp_path / "other", store=tmp_path / "store", client=client) as db:
        db.index_the_dirs()
        assert db.estimate_disk_usage() == (17 * 64 * 64 * 3, 2 * 64 * 64 * 3)
        assert "34 comparisons" in capsys.readouterr().out
        db.estimate_disk_usage(print_results=False)
        assert capsys.readouterr().out == ""


def test_hashes_with_the_thumbnails_or_after_them(tmp_path, simulated, client):
    with fd.FastDifPy(tmp_path / "photos", store=tmp_path / "store", client=client, block_size=4) as db:
        db.index_the_dirs()
        db.first_loop_iteration()
        assert db.images.hash_0.compute().isna().all()
        read = db.images_read
        for amount in (4, 0):
            db.first_loop_iteration(compute_hash=True, amount=amount)
            frame, thumbnails = db.images.compute(), db.thumbnails.compute()
            hashes = list(frame[["hash_0", "hash_90", "hash_180", "hash_270"]].itertuples(index=False, name=None))
            assert hashes == [thumbnail_hashes(thumbnail, amount) for thumbnail in thumbnails]
        assert db.images_read == read
        with pytest.raises(fd.UsageError, match="amount="):
            db.first_loop_iteration(compute_hash=True, amount=9)
    with fd.FastDifPy(tmp_path / "photos", store=tmp_path / "other", client=client) as other:
        other.index_the_dirs()
        other.first_loop_iteration(compute_hash=True, amount=0)
        assert other.images.compute().hash_270.to_list() == frame.hash_270.to_list()


def test_default_store_belongs_to_the_folders(tmp_path, simulated, monkeypatch):
    monkeypatch.chdir(tmp_path)
    stores = {fd.FastDifPy(path).store_url for path in ("photos", tmp_path / "photos", "./photos/../photos/")}
    assert len(stores) == 1
    store = Path(stores.pop())
    assert store.is_relative_to(tmp_path / "cache")
    (tmp_path / "other").mkdir()
    assert fd.FastDifPy("photos", "other").store_url != fd.FastDifPy(["photos", "other"]).store_url != str(store)
    result = fd.find_duplicates("photos", threads=1, dashboard_address="127.0.0.1:0", verbose=False)
    assert result.pairs.a[0].startswith("photos/")
    assert Store(str(store)).rows() == [17]


def test_a_store_inside_the_photos_is_refused(tmp_path, simulated):
    with pytest.raises(fd.UsageError, match="inside the photo folder"):
        fd.FastDifPy(tmp_path / "photos", store=tmp_path / "photos" / "store")


def test_a_default_store_below_the_root_is_not_searched(tmp_path, simulated, client):
    # the user's cache is below tmp_path here, as it is below a home folder
    with fd.FastDifPy(tmp_path, client=client, extensions=[".jpg", ".parquet"]) as db:
        assert db.index_the_dirs().new == 17
        assert list(Path(db.store_url).rglob("*.parquet"))
        assert db.index_the_dirs().unchanged == 17


@pytest.mark.parametrize(
    "options",
    [{"workers": 0}, {"workers": 1.5}, {"threads": 0}, {"threads": True}, {"extensions": ["a/b"]}, {"block_size": 0}],
)
def test_bad_options_are_refused_at_once(tmp_path, simulated, options):
    with pytest.raises(fd.UsageError):
        fd.FastDifPy(tmp_path / "photos", **options)


@pytest.mark.parametrize("stage", [workers, thumbnails, compare])
def test_blocks_that_do_not_fit_are_refused_before_computing(tmp_path, simulated, client, monkeypatch, stage):
    monkeypatch.setattr(stage, "capacity", lambda _: Capacity(threads=2, bytes_per_task=10**7))
    with pytest.raises(
        fd.UsageError,
        match=r"needs 0\.\d+ GB, and a task on the workers has 0\.01 GB; use .*(block_size|smaller thumbnails)",
    ):
        job(tmp_path, client)
    store = tmp_path / "store" / "arrays.zarr"
    assert store.exists() == (stage is not workers)  # a block size that does not fit is not kept for life
    assert bool(list(store.glob("thumbnails/c.*"))) == (stage is compare)
    assert not (store / "comparisons").exists()


def test_a_store_in_memory(tmp_path, simulated, client):
    url = f"memory://{tmp_path.name}"
    first = fd.find_duplicates(tmp_path / "photos", store=url, client=client)
    assert len(first.pairs) == 5
    again = fd.find_duplicates(tmp_path / "photos", store=url)
    same_but_stats(first, again)
    assert again.stats["images_read"] == 0


def test_names_survive_the_whole_job(tmp_path, client):
    names = [b"a\n\x1b[1m.png", "ü🎉.png".encode(), b"\xff\xfe.png", b"\xff\xfd.png"]
    folder = tmp_path / "photos"
    folder.mkdir()
    for name in names:
        Image.new("RGB", (9, 9), "red").save(folder / os.fsdecode(name))
    result = job(tmp_path, client)
    assert len(result.pairs) == 6
    cluster_of_all = result.clusters[0]
    found = {os.fsencode(Path(path).name) for path in [cluster_of_all.keep, *cluster_of_all.low_quality]}
    assert found == set(names)
    write_json(result, str(tmp_path / "out.json"))
    assert b"\\udcff\\udcfe.png" in (tmp_path / "out.json").read_bytes()
