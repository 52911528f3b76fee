"""Two collections that were indexed apart are compared from their stores alone, as exactly as from their pictures."""

import json
import os
import shutil
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from PIL import Image
from support.pictures import draw, write_noise
from support.results import as_bytes
from support.stores import files_of

import fastdiff_dask as fd
from fastdiff_dask.cli.commands import commands
from fastdiff_dask.outputs.json_file import write_json
from fastdiff_dask.outputs.terminal import print_result
from fastdiff_dask.stages.transfer import index_stores, open_sources
from fastdiff_dask.storage.store import Store
from fastdiff_dask.testing import simulate_images

SMALL = {"thumbnail_size_x": 8, "thumbnail_size_y": 8}


def index(folder: Path, name: str, client, photos: Path | None = None, **options) -> None:
    """Index folder / name as a collection of its own, in folder / store-name."""
    options = SMALL | {"block_size": 7} | options
    with fd.FastDifPy(photos or folder / name, store=folder / f"store-{name}", client=client, **options) as db:
        db.index_the_dirs()
        db.first_loop_iteration()


def open_both(folder: Path, client, **options) -> fd.FastDifPy:
    options = {"store": folder / "both", "block_size": 5} | options
    return fd.FastDifPy.from_stores(folder / "store-a", folder / "store-b", client=client, **options)


def compare(folder: Path, client, threshold: float = 50.0, **options) -> fd.Result:
    with open_both(folder, client, **options) as db:
        db.index_the_dirs()
        db.first_loop_iteration()
        db.second_loop_iteration(threshold)
        return db.result()


def reference(folder: Path, client, store: str, threshold: float = 50.0) -> fd.Result:
    """From the pictures, with a new store."""
    return fd.find_duplicates(
        folder / "a", folder / "b", store=folder / store, client=client, similarity_threshold=threshold, **SMALL
    )


@pytest.fixture
def indexed(tmp_path, client):
    """17 and 12 pictures, some of b equal to some of a, and one in each that is none; both indexed."""
    write_noise(tmp_path / "a", 17, seed=1)
    write_noise(tmp_path / "b", 12, seed=2)
    for path in sorted((tmp_path / "a").iterdir())[:4]:
        (tmp_path / "b" / f"copy {path.name}").write_bytes(path.read_bytes())
    for name in ("a", "b"):
        (tmp_path / name / "bad.png").write_text("no picture")
        index(tmp_path, name, client, block_size=7 if name == "a" else 4)
    return tmp_path


def test_the_result_is_that_of_the_pictures_without_them(indexed, client):
    wanted = as_bytes(reference(indexed, client, "fresh"), indexed)
    before = files_of(indexed / "store-a") | files_of(indexed / "store-b")
    for name in ("a", "b"):
        (indexed / name).rename(indexed / f"offline-{name}")
    result = compare(indexed, client)
    assert as_bytes(result, indexed) == wanted
    assert result.pair_count >= 4
    assert len(result.errors) == 2
    assert result.stats["images"] == 35 - 2 + 2
    assert result.stats["images_read"] == 0
    assert result.stats["pairs_compared"] == 17 * 16
    # the two stores were read and nothing else
    assert files_of(indexed / "store-a") | files_of(indexed / "store-b") == before
    again = compare(indexed, None)  # nothing is left to do: no client is started
    assert as_bytes(again, indexed) == wanted
    assert again.stats["tiles_resumed"] == again.stats["tiles"] > 0


def test_metadata_and_hashes_are_copied(indexed, client):
    with fd.FastDifPy(indexed / "a", store=indexed / "store-a", client=client, block_size=7, **SMALL) as db:
        db.first_loop_iteration(compute_hash=True)
        hashes = db.images.compute()
    with open_both(indexed, client) as db:
        counts = db.index_the_dirs()
        assert (counts.new, counts.changed, counts.unchanged, counts.vanished) == (35, 0, 0, 0)
        db.first_loop_iteration()
        copied = db.images.compute()
        of_a = copied[copied.side == "a"]
        names = [name for name in hashes.columns if name not in ("source",)]
        pd.testing.assert_frame_equal(of_a[names].reset_index(drop=True), hashes[names].reset_index(drop=True))
        assert of_a.source.to_list() == hashes.index.to_list()
        np.testing.assert_array_equal(
            db.store.arrays.thumbnail_rows(of_a.index.to_numpy()),
            Store(str(indexed / "store-a")).arrays.thumbnail_rows(hashes.index.to_numpy()),
        )
        assert copied[copied.side == "b"].hash_0.isna().all()
        db.first_loop_iteration(compute_hash=True)  # those of b from their thumbnails
        assert db.images.compute().query("side == 'b' and error.isna()").hash_0.notna().all()


def test_what_is_new_in_a_store_costs_only_that(indexed, client, rng):
    compare(indexed, client)
    older = files_of(indexed / "both", "c.*")
    names = sorted(path.name for path in (indexed / "a").glob("*.png"))
    for number in range(3):
        Image.fromarray(draw(rng)).save(indexed / "a" / f"new {number}.png")
    (indexed / "a" / names[0]).unlink()  # vanished, with its copy in b
    Image.fromarray(draw(rng)).save(indexed / "a" / names[1])  # changed
    (indexed / "b" / "bad.png").unlink()
    index(indexed, "a", client)
    index(indexed, "b", client, block_size=4)
    wanted = as_bytes(reference(indexed, client, "fresh"), indexed)
    with open_both(indexed, client) as db:
        counts = db.index_the_dirs()
        assert (counts.new, counts.changed, counts.unchanged, counts.vanished) == (3, 1, 35 - 3, 2)
        assert db.store.generations[-1][2:] == (4, 0)
        db.first_loop_iteration()
        db.second_loop_iteration(50.0)
        result = db.result()
        assert as_bytes(result, indexed) == wanted
        assert db._comparison.plans()[-1].counts[:, 1].sum() == 4 * 16
    assert {path: files_of(indexed / "both", "c.*")[path] for path in older} == older


def test_a_picture_that_could_be_read_at_last(indexed, client, rng):
    compare(indexed, client)
    path = indexed / "b" / "bad.png"
    Image.fromarray(draw(rng)).save(path)
    index(indexed, "b", client, block_size=4)
    result = compare(indexed, client)
    assert len(result.errors) == 1
    assert as_bytes(result, indexed) == as_bytes(reference(indexed, client, "fresh"), indexed)


def test_equal_paths_on_two_machines(tmp_path, client, capsys):
    """The same folder at other times, as on two machines: the paths are equal, the pictures are not."""
    photos = tmp_path / "photos"
    write_noise(photos, 6, seed=1)
    names = sorted(path.name for path in photos.iterdir())
    index(tmp_path, "a", client, photos)
    contents = [(photos / name).read_bytes() for name in names]
    for name, content in zip(names, [*contents[1:], contents[0]], strict=True):
        (photos / name).write_bytes(content)
    index(tmp_path, "b", client, photos)
    result = compare(tmp_path, client, 0.0)
    shown = [str(photos / name) for name in names]
    found = set(zip(result.pairs.a, result.pairs.b, strict=True))
    assert found == set(zip(shown, [shown[-1], *shown[:-1]], strict=True))
    assert len(result.clusters) == 6
    similar = result.similar_to(shown[0], shown)
    assert {(row.a, row.b) for row in similar.itertuples()} == {pair for pair in found if shown[0] in pair}
    # that of side a is kept: it is the reference
    assert {(one.keep, *one.low_quality, one.sides) for one in result.clusters} == {
        (a, b, ("a", "b")) for a, b in found
    }
    out = tmp_path / "out.json"
    write_json(result, str(out))
    assert [tuple(one["sides"]) for one in json.loads(out.read_text())["clusters"]] == [
        one.sides for one in result.clusters
    ]
    assert sorted(result.images.side) == ["a"] * 6 + ["b"] * 6
    print_result(result, 1.0)
    lines = [line.split() for line in capsys.readouterr().out.splitlines() if ".png" in line]
    expected = [pair for one in result.clusters for pair in zip(one.sides, (one.keep, *one.low_quality), strict=True)]
    # the groups that free most come first
    assert sorted(tuple(words[:2]) for words in lines) == sorted(expected)


def test_a_file_that_both_stores_know_is_not_both_kept_and_removed(tmp_path, client, capsys):
    (tmp_path / "a").mkdir()
    rng = np.random.default_rng(5)
    pictures = [rng.integers(0, 256, (8, 8, 3), np.uint8) for _ in range(3)]
    for number, picture in enumerate([*pictures, pictures[0]]):
        Image.fromarray(picture).save(tmp_path / "a" / f"{number}.png")
    index(tmp_path, "a", client)
    index(tmp_path, "b", client, photos=tmp_path / "a")
    result = compare(tmp_path, client)
    assert len(result.clusters) == 3
    first = str(tmp_path / "a" / "0.png")
    assert (result.clusters[0].keep, result.clusters[0].low_quality) == (first, [str(tmp_path / "a" / "3.png")] * 2)
    assert result.clusters[0].sides == ("a", "a", "b")
    assert [cluster.low_quality for cluster in result.clusters[1:]] == [[], []]
    assert result.low_quality == [str(tmp_path / "a" / "3.png")]
    print_result(result, 1.0)
    assert "3.png" in capsys.readouterr().out


def test_a_store_that_was_replaced_meanwhile_is_said_and_then_listed_again(indexed, client):
    with open_both(indexed, client) as db:
        db.index_the_dirs()
    (indexed / "store-a").rename(indexed / "elsewhere")
    for number, path in enumerate(sorted((indexed / "a").iterdir())):
        path.rename(path.with_name(f"{100 - number}.png"))
    index(indexed, "a", client)
    with open_both(indexed, client) as db, pytest.raises(fd.FastDiffError, match=r"replaced meanwhile; run the same"):
        db.first_loop_iteration()
    wanted = as_bytes(reference(indexed, client, "fresh"), indexed)
    assert as_bytes(compare(indexed, client), indexed) == wanted


def test_stores_that_cannot_be_compared(tmp_path, client):
    for name in ("a", "b"):
        write_noise(tmp_path / name, 2, seed=1)
    index(tmp_path, "a", client)
    index(tmp_path, "b", client, thumbnail_size_x=9)
    with pytest.raises(fd.UsageError, match=r"width is 8 in the store at .*store-a and 9 in the store at .*store-b"):
        open_both(tmp_path, client)
    same = {"store": tmp_path / "both", "client": client}
    with pytest.raises(fd.UsageError, match="compared with itself"):
        fd.FastDifPy.from_stores(tmp_path / "store-a", tmp_path / "store-a", **same)
    with pytest.raises(fd.UsageError, match=r"no store at .*nowhere"):
        fd.FastDifPy.from_stores(tmp_path / "store-a", tmp_path / "nowhere", **same)
    index(tmp_path, "c", client, tmp_path / "b")
    stores = tmp_path / "store-a", tmp_path / "store-c"
    with pytest.raises(fd.UsageError, match="is one of the stores to compare"):
        fd.FastDifPy.from_stores(*stores, store=tmp_path / "store-c", client=client)
    with fd.FastDifPy.from_stores(*stores, **same) as db, pytest.raises(fd.UsageError, match="reads pictures"):
        db.estimate()
    write_noise(tmp_path / "b" / "more", 1, seed=3)
    with fd.FastDifPy(tmp_path / "b", store=tmp_path / "store-c", client=client, block_size=7, **SMALL) as db:
        db.index_the_dirs()
    with (
        fd.FastDifPy.from_stores(*stores, **same) as db,
        pytest.raises(fd.UsageError, match=r"store-c has 1 images without thumbnails; let the command"),
    ):
        db.index_the_dirs()


def test_by_default_the_place_belongs_to_both_stores(indexed, client):
    first, second = (indexed / f"store-{name}" for name in ("a", "b"))
    here, again, other = (
        fd.FastDifPy.from_stores(*stores, client=client).store_url
        for stores in ((first, second), (first, second), (second, first))
    )
    assert here == again != other
    assert here.startswith(str(indexed / "cache"))


def test_a_store_against_two_sides_is_one_collection(indexed, client):
    write_noise(indexed / "c", 5, seed=1)  # the first pictures of a again
    with fd.FastDifPy(indexed / "a", indexed / "c", store=indexed / "store-ac", client=client, **SMALL) as db:
        db.index_the_dirs()
        db.first_loop_iteration()
    sources = open_sources({"a": str(indexed / "store-ac"), "b": str(indexed / "store-b")})
    with fd.FastDifPy.from_stores(
        indexed / "store-ac", indexed / "store-b", store=indexed / "three", client=client
    ) as db:
        assert db.index_the_dirs().new == 18 + 5 + 17
        assert index_stores(db.store, sources).unchanged == 18 + 5 + 17
        db.first_loop_iteration()
        found = db.find_pairs(0.0)
    assert {Path(path).parent.name for path in found.a} == {"a", "c"}
    assert {Path(path).parent.name for path in found.b} == {"b"}


def test_killed_at_many_moments(tmp_path, client):
    write_noise(tmp_path / "a", 20, seed=1)
    write_noise(tmp_path / "b", 20, seed=1, first=7)
    for name in ("a", "b"):
        index(tmp_path, name, client)
        (tmp_path / name).rename(tmp_path / f"offline-{name}")
    driver = textwrap.dedent("""
        import json, shutil, sys
        from pathlib import Path
        from support.kill_driver import import_all, in_child, kill_at
        from fastdiff_dask.compat.fast_diff_py import FastDifPy
        from fastdiff_dask.outputs.json_file import write_json
        from fastdiff_dask.storage.store import Store

        folder, moments = Path(sys.argv[1]), int(sys.argv[2])

        def job(name):
            with FastDifPy.from_stores(
                folder / "store-a", folder / "store-b", store=folder / name, threads=2, block_size=4,
                dashboard_address="127.0.0.1:0", verbose=False,
            ) as db:
                db.index_the_dirs()
                db.first_loop_iteration()
                db.second_loop_iteration(50.0, sub_block=4, tile_side=2)
                write_json(db.result(), str(folder / f"{name}.json"))

        def counted():
            rename, names = Path.replace, []
            Path.replace = lambda path, target: (names.append(target), rename(path, target))[1]
            job("whole")
            (folder / "renames").write_text(str(len(names)))

        def killed(moment):
            kill_at(moment, False)
            job("killed")

        def result(name):
            content = json.loads((folder / f"{name}.json").read_text())
            return content, content.pop("stats")

        import_all()
        assert in_child(counted) == 0
        renames = int((folder / "renames").read_text())
        for number in range(moments):
            shutil.rmtree(folder / "killed", ignore_errors=True)
            moment = 1 + number * (renames - 2) // (moments - 1)
            status = in_child(lambda: killed(moment))
            done = files = 0
            times = {}
            if (folder / "killed" / "arrays.zarr" / "zarr.json").exists():
                times = {path: path.stat().st_mtime_ns for path in (folder / "killed").rglob("thumbnails/c.*")}
            assert in_child(lambda: job("killed")) == 0
            redone = [str(path) for path, time in times.items() if path.stat().st_mtime_ns != time]
            (content, stats), (whole, _) = result("killed"), result("whole")
            print(json.dumps([status, len(times), stats["tiles_resumed"], redone, content == whole]), flush=True)
    """)
    command = [sys.executable, "-c", driver, str(tmp_path), "6"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parents[1], timeout=100)
    assert done.returncode == 0, done.stderr
    reports = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(reports) == 6
    assert all(status == -signal.SIGKILL and not redone and equal for status, _, _, redone, equal in reports), reports
    # the moments were spread over all stages
    assert any(0 < blocks < 10 for _, blocks, *_ in reports)
    assert any(tiles for _, _, tiles, *_ in reports)


def test_the_command(tmp_path, client):
    for name in ("a", "b"):
        simulate_images(tmp_path / name, images=4, duplicates=3, seed=1)
        with fd.FastDifPy(tmp_path / name, store=tmp_path / f"store-{name}", client=client) as db:
            db.index_the_dirs()
            db.first_loop_iteration()
    stores = [str(tmp_path / f"store-{name}") for name in ("a", "b")]
    command = [sys.executable, "-m", "fastdiff_dask", "compare", *stores, "--store", str(tmp_path / "both")]
    command += ["--threads", "1", "--dashboard-address", "127.0.0.1:0"]
    options = [
        "--threshold",
        "0",
        "--no-rotations",
        "--mirror",
        "--block-size",
        "3",
        "--json",
        str(tmp_path / "o.json"),
    ]
    done = subprocess.run([*command, *options], capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr
    content = json.loads((tmp_path / "o.json").read_text())
    assert len(content["pairs"]) == 7
    assert {pair["rotation"] for pair in content["pairs"]} == {0}
    assert content["settings"]["directories_b"] == [str(tmp_path / "b")]
    wanted = {"similarity_threshold": 0.0, "rotations": False, "mirror": True}
    assert wanted.items() <= content["settings"].items()
    assert "Index: 14 images (14 new, 0 changed), 0 vanished" in done.stderr
    assert Store(str(tmp_path / "both")).thumbnail_settings.block_size == 3
    missing = subprocess.run([*command[:3], "compare", stores[0], "nowhere"], capture_output=True, text=True)
    assert missing.returncode == 2
    assert "no store at" in missing.stderr
    assert missing.stderr.count("\n") == 1

    def invoke(*options: str):
        arguments = ["compare", *stores, "--store", str(tmp_path / "both"), "--block-size", "3", *options]
        return CliRunner().invoke(commands, arguments)

    # the other options are those of find, and arrive as they do there
    report, out = str(tmp_path / "report.html"), str(tmp_path / "o.json")
    done = invoke("--quiet", "--compare", "hamming", "--workers", "1", "--performance-report", report, "--json", out)
    assert (done.exception, done.output) == (None, "")
    assert json.loads(Path(out).read_text())["settings"]["measure"] == "hamming"
    assert "distributed" in Path(report).read_text()
    for options, message in {
        ("--scheduler", "x", "--scheduler-file", "y"): "two ways to name one cluster",
        ("--scheduler-file", "nowhere", "--threads", "1"): "are for a cluster started here",
        ("--workers", "0"): "--workers 0 cannot be used",
        ("--dashboard-address", "nowhere"): "--dashboard-address 'nowhere' cannot be used",
        ("--compare", "mse", "--threshold", "-1"): "threshold",
    }.items():
        assert message in str(invoke(*options).exception)


def test_a_store_is_not_compared_with_itself_under_another_name(tmp_path, client, monkeypatch):
    write_noise(tmp_path / "a", 3, seed=1)
    write_noise(tmp_path / "b", 3, seed=2)
    for name in ("a", "b"):
        index(tmp_path, name, client)
    (tmp_path / "link").symlink_to(tmp_path / "store-a")
    monkeypatch.chdir(tmp_path)
    store = tmp_path / "store-a"
    for name in ("link", "store-b/../store-a", f"file://{store}", f"{store}/"):
        with pytest.raises(fd.UsageError, match="compared with itself"):
            fd.FastDifPy.from_stores(store, name, client=client)
    for work in ("link", "store-b/inner", "link/arrays.zarr", "."):
        with pytest.raises(fd.UsageError, match="one of the stores to compare, or in it"):
            fd.FastDifPy.from_stores(store, "store-b", store=work, client=client)
    with pytest.raises(fd.UsageError, match="no store at"):
        fd.FastDifPy.from_stores("memory:///one", "memory://two/", client=client)
    with pytest.raises(fd.UsageError, match="compared with itself"):
        fd.FastDifPy.from_stores("memory:///one", "memory://one/", client=client)


def test_another_pair_of_stores_at_the_same_place(tmp_path, client):
    """Files of equal names, sizes and times, as a camera makes them: what was copied is not that of the others."""
    times = []
    for seed in (1, 2):
        for name in ("a", "b"):
            shutil.rmtree(tmp_path / name, ignore_errors=True)
            shutil.rmtree(tmp_path / f"store-{name}", ignore_errors=True)
            (tmp_path / name).mkdir()
            for number in range(3):
                # the second time, no picture of a is in b
                pixels = np.random.default_rng([number, seed if name == "a" else 1]).integers(
                    0, 256, (8, 8, 3), np.uint8
                )
                Image.fromarray(pixels).save(tmp_path / name / f"{number}.bmp")
                os.utime(tmp_path / name / f"{number}.bmp", (1_000_000, 1_000_000))
            index(tmp_path, name, client)
        times.append(len(compare(tmp_path, client, 0.0).pairs))
    assert times == [3, 0]
