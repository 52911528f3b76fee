"""The benchmarks run, in a size that says nothing about speed; and their pictures are what they say they are."""

import doctest
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import fastdiff_dask as fd
from fastdiff_dask.testing import reference_sse

BENCHMARKS = Path(__file__).with_name("benchmarks")
GUIDE = Path(fd.__file__).parent / "guide"


@pytest.fixture(scope="module")
def simulate():
    sys.path.insert(0, str(BENCHMARKS))
    try:
        import simulate

        return simulate
    finally:
        sys.path.remove(str(BENCHMARKS))


def test_the_example_runs(simulate):
    assert doctest.testmod(simulate) == (0, 1)


def run(script, *arguments, **options):
    command = [sys.executable, str(BENCHMARKS / script), *map(str, arguments)]
    return subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, **options).stdout


def rows_of(printed):
    rows = [line.split("│") for line in printed.splitlines() if "│" in line]
    return {row[1].strip(): [cell.strip() for cell in row[2:-1]] for row in rows}


def test_the_comparison_prints_a_table(tmp_path):
    printed = run(
        "comparison.py", tmp_path, "--images", 600, "--rounds", 1, "--peers", "--only", "search", "dense", "job"
    )
    named = rows_of(printed)
    assert {"search, ours", "search, ours at 1000", "dense, ours", "compare in the whole job"} <= named.keys()
    assert named["search, ours"][0] == "600"
    assert int(named["search, ours"][4].split()[0]) == copies_below(tmp_path, 200)
    assert "of the time" in named["compare in the whole job"][3]
    assert "GFLOP/s" in named["dense, ours"][4]


def test_lookups_find_what_is_there(tmp_path):
    (found,) = json.loads(run("lookup.py", tmp_path, "--images", 3000))
    assert found["found"] == [["same picture"], ["same picture"], []]
    assert found["seconds"] > 0


def copies_below(folder, threshold):
    thumbnails = np.load(folder / "thumbnails-600.npy")
    signs = thumbnails.reshape(600, 8, 8, 8, 8, 3).mean(axis=(2, 4))  # the reference, for what may be near at all
    near = [(i, j) for i in range(600) for j in np.flatnonzero(are_near(signs[i], signs[:i]))]
    errors = [int(reference_sse(thumbnails[[i]], thumbnails[[j]])[0, 0]) for i, j in near]
    return sum(0 < error <= threshold * 4096 for error in errors)  # equal thumbnails are not compared


def are_near(sign, others):
    distances = [abs(np.rot90(sign, turns) - others).mean(axis=(1, 2, 3)) for turns in range(4)]
    return np.min(distances, axis=0) < 20


def test_the_search_for_near_hashes_prints_a_table(tmp_path):
    named = rows_of(run("hash_search.py", tmp_path, "--hashes", 2000, "--images", 1500, "--rounds", 1, "--peers"))
    found = {what: int(row[3].split()[0].replace(",", "")) for what, row in named.items() if row[0] != "hashes"}
    assert found["64 bits, distance 4, ours"] >= 100  # a twentieth are copies
    assert (
        found["64 bits, distance 2, ours"] < found["64 bits, distance 4, ours"] <= found["64 bits, distance 20, ours"]
    )
    assert found["256 bits, distance 31, ours"] == 100
    assert found["stage, distance 4, no-rotations"] >= 75


@pytest.mark.slow
def test_memory_and_the_parts_of_the_time_are_measured(tmp_path):
    printed = run("comparison.py", tmp_path, "--images", 300, "--rounds", 1, "--peers", "--only", "memory")
    assert "GB" in printed
    measured = json.loads(run("ours.py", "compare", tmp_path / "store-300").splitlines()[-1])
    assert measured["pairs"] == 300 * 299 // 2
    assert 0 < measured["planning"] < measured["seconds"]
    assert 10**7 < measured["peak_bytes"] < 10**10


@pytest.mark.slow
def test_the_first_loop_prints_a_table(tmp_path):
    sizes = ["--images", 20, "--side", 128, "--large", 2, "--large-side", 1024, "--files", 120]
    printed = run("first_loop.py", tmp_path, *sizes, "--rounds", 1, "--peers")
    named = rows_of(printed)
    ways = ("bare loop, threads", "bare loop, processes", "ours")
    for what, images in (("photos", 20), ("large", 2)):
        for way in ways:
            assert named[f"{what}, {way}"][0] == str(images)
        rates = {way: float(named[f"{what}, {way}"][2].replace(",", "")) for way in ways}
        ratio = rates["ours"] / max(rates[way] for way in ways[:2])
        assert float(named[f"{what}, ours / bare loop"][3]) == pytest.approx(ratio, rel=0.01)
        assert "at most 0 in" in named[f"quality, {what}: median and largest"][5]
    assert float(named["quality, large: MSE, 99th percentile"][3]) > 0
    assert named["index: thumbnails, without hashes"][0] == "120"
    assert named["index: pictures opened by the first run"][3] == "120"
    assert named["index: pictures opened by it"][3:5] == ["0", "≤ 0: met"]
    assert "NOT READ" not in printed


def test_photos_are_used_as_often_as_it_takes(tmp_path, photos):
    options = ["--photos", photos, "--images", 300, "--rounds", 1, "--peers", "--only", "quality", "--large", 1]
    named = rows_of(run("first_loop.py", tmp_path, *options, "--large-side", 600))
    distinct = int(named["quality, photos: median and largest"][0])
    contents = [path.read_bytes() for path in sorted((tmp_path / "photos-300-500").iterdir())]
    assert 100 < distinct < len(set(contents)) == 300
    assert contents[distinct].startswith(contents[0][:-1])


def test_a_range_of_pictures_is_that_of_the_whole(simulate):
    whole = simulate.simulate_thumbnails(600, seed=3, size=(16, 16))
    np.testing.assert_array_equal(simulate.simulate_range(200, 530, seed=3, size=(16, 16)), whole[200:530])
    blocks = list(simulate.simulate_blocks(600, 250, seed=3, size=(16, 16)))
    np.testing.assert_array_equal(np.concatenate(blocks), whole)
    assert (whole != simulate.simulate_thumbnails(600, seed=4, size=(16, 16))).any()


def test_known_copies_are_copies_and_nothing_else_is_near(simulate):
    thumbnails = simulate.simulate_thumbnails(256, duplicates=0.05, size=(32, 32))
    copies = {(copy.original, copy.copy): copy for copy in simulate.known_copies(256, duplicates=0.05, size=(32, 32))}
    assert len(copies) >= 10
    for (original, copy), known in copies.items():
        mse = reference_sse(thumbnails[[original]], thumbnails[[copy]])[0, 0] / 1024
        assert mse == 0 if known.kind == "equal" else 0 < mse < 200
    distances = simulate.pair_distances(thumbnails, rotations=True)
    assert (distances < 200).sum() == len(copies)


def test_distances_are_like_those_of_real_photos(simulate, photos):
    real = simulate.pair_distances(simulate.load_photos(photos), rotations=True)
    simulated = simulate.pair_distances(simulate.simulate_thumbnails(1000, duplicates=0), rotations=True)
    for share in (0.001, 0.01, 0.1, 0.5, 0.9):
        assert np.quantile(simulated, share) == pytest.approx(np.quantile(real, share), rel=0.2)


@pytest.mark.slow
def test_many_images_are_simulated(tmp_path):
    printed = run("scale.py", tmp_path, "--images", 100_000, "--workers", 2, "--threads", 2)
    named = rows_of(printed)
    assert int(named["thumbnails"][0]) == 98  # blocks of 1,024
    assert int(named["compare"][0]) > 10
    assert 50 < int(named["compare"][3]) < 1000


@pytest.mark.slow
def test_the_cost_of_a_cluster_prints_a_table(tmp_path):
    printed = run("cluster.py", tmp_path, "--images", 600, "--rounds", 1, "--only", "processes", "overhead")
    named = rows_of(printed)
    assert float(named["processes / threads"][1]) > 0
    assert named["overhead"][1].endswith("%")


def test_thumbnails_on_demand_give_back_every_copy(tmp_path):
    figures = json.loads(run("on_demand.py", tmp_path / "store", "--images", 1500))
    assert figures["copies"] == figures["copies_found"] == 15
    assert figures["pairs"] == 1500 * 1499 // 2
    # thumbnails are not stored
    assert sum(path.stat().st_size for path in (tmp_path / "store").rglob("*thumbnails/c.*")) < 10_000


@pytest.mark.slow
def test_the_cost_of_additions_prints_a_table(tmp_path):
    printed = run("additions.py", tmp_path, "--images", 120, "--new", 6, "--rounds", 1)
    named = rows_of(printed)
    read = {name: cells[:2] for name, cells in named.items() if name != "run"}
    assert read == {
        "first": ["120", "120"],
        "new pictures": ["126", "6"],
        "nothing new": ["126", "0"],
        "one removed": ["125", "0"],
        "one changed": ["125", "1"],
    }
    assert float(named["new pictures"][4].rstrip("%")) > 0
    assert "6 new pictures took 0." in printed


@pytest.mark.slow
def test_the_cost_of_clusters_prints_a_table(tmp_path):
    sizes = ["--families", 10, "--size", 300, "--nodes", 10_000]
    named = rows_of(run("clusters.py", tmp_path, *sizes))
    held = rows_of(run("clusters.py", tmp_path, *sizes, "--held"))
    for rows in (named, held):
        assert rows["clusters"][:2] == ["3000", "0.449"]
        assert rows["components"][:2] == ["10000", "0.449"]
        assert 0 < int(rows["clusters"][4]) - int(rows["import"][4]) < 1000


def test_the_one_for_a_gpu_runs_without_one():
    sizes = ["--images", 1500, "--dense", 40, "--side", 600, "--peer-images", 60]
    printed = run("gpu.py", *sizes, "--rounds", 1, "--device", "cpu")
    assert "checked: dense to the bit, search against the processor's pairs" in printed
    for row in ("search, 1500 images", "dense, 4 turns, 40 images"):
        figures = next(line for line in printed.splitlines() if line.startswith(row)).split()[-3:]
        assert all(float(figure) > 0 for figure in figures)
    assert "CuPy with cuVS, cdist" in printed


def test_the_pictures_of_the_thresholds_are_as_far_apart_as_they_say(tmp_path):
    printed = run("threshold_pictures.py", tmp_path / "thresholds.png")
    found = [float(line.split()[0].replace(",", "")) for line in printed.splitlines()]
    assert found[0] == 0
    for difference, step in zip(found[1:6], (10, 50, 200, 1000, 3000), strict=True):
        assert 0.8 * step <= difference <= step
    assert found[6] > 5000  # another picture
    with Image.open(tmp_path / "thresholds.png") as drawn, Image.open(GUIDE / "thresholds.png") as shown:
        assert drawn.size == shown.size


def test_near_vectors_are_timed_beside_other_programs():
    pytest.importorskip("faiss")
    pytest.importorskip("sklearn")
    printed = run(
        "vectors.py", "--images", 700, "--values", 40, "--queries", 50, "--cosines", 0.95, "--threads", 1, "--k", 3
    )
    assert len([line for line in printed.splitlines() if "cosine ≥ 0.95" in line]) == 2
    assert printed.count("100.00% of the neighbours are those of FAISS") == 2
