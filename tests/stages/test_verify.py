"""The stage "verify": what is committed, what a second run looks at, its options, and a kill in the middle."""

import json
import os
from pathlib import Path

import pandas as pd
import pytest
from PIL import Image, ImageDraw

import fastdiff_dask as fd
from fastdiff_dask.images.decoder_pool import ImageReader
from fastdiff_dask.images.frames import LUMA
from fastdiff_dask.project import job
from fastdiff_dask.stages import thumbnails
from fastdiff_dask.storage.derived.verdicts import SIMILAR, read_verdicts
from fastdiff_dask.storage.schema import VERDICTS
from fastdiff_dask.storage.store import Store
from fastdiff_dask.testing import simulate_images


def save_page(path: Path, left: int, top: int) -> None:
    """A blank page with one mark."""
    page = Image.new("RGB", (150, 200), (250, 250, 250))
    ImageDraw.Draw(page).ellipse([left, top, left + 4, top + 4], fill=(40, 40, 40))
    page.save(path)


@pytest.fixture
def photos(tmp_path) -> Path:
    """Six photos with a copy each, and three pages that only the second look tells apart."""
    simulate_images(tmp_path / "photos", images=6, duplicates=6, size=(120, 90))
    for number in range(3):
        save_page(tmp_path / "photos" / f"page{number}.png", 20 + 40 * number, 30 + 50 * number)
    return tmp_path / "photos"


def project(photos: Path, client, *, store: str = "store", **options) -> fd.FastDifPy:
    db = fd.FastDifPy(photos, store=photos.parent / store, client=client, verbose=False, **options)
    db.index_the_dirs()
    db.first_loop_iteration()
    db.second_loop_iteration()
    return db


def committed(folder: Path) -> pd.DataFrame:
    """All verdicts that the files of a store have."""
    files = sorted((folder / VERDICTS).glob("*.parquet"))
    tables = [pd.read_parquet(path) for path in files]
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame({"a": [], "b": [], "size": []})


def by_name(result: fd.Result) -> dict[tuple[str, str], str]:
    rows = result.pairs.itertuples(index=False)
    return {tuple(sorted((Path(row.a).name, Path(row.b).name))): row.verdict for row in rows}


def test_verdicts_are_committed_and_part_the_clusters(photos, client, tmp_path):
    with project(photos, client) as db:
        before = by_name(db.result())
        assert set(before.values()) == {"not looked at"}
        assert db.verify() == len(committed(tmp_path / "store")) > 0
        after = by_name(db.result())
    assert after.keys() == before.keys()
    pages = {pair: verdict for pair, verdict in after.items() if pair[0].startswith("page")}
    assert len(pages) == 3
    assert "same picture" not in pages.values()
    assert "similar" in pages.values()
    copies = {verdict for pair, verdict in after.items() if pair not in pages}
    assert copies <= {"same picture", "same pixels"}
    found = fd.FastDifPy(photos, store=tmp_path / "store", client=client, verbose=False)
    with found:
        found.second_loop_iteration()
        clusters = found.result().clusters
    names = [{Path(one).name for one in (cluster.keep, *cluster.low_quality)} for cluster in clusters]
    assert len(names) == 6
    assert not any(name.startswith("page") for cluster in names for name in cluster)


def test_a_second_run_looks_only_at_what_is_new(photos, client, tmp_path):
    with project(photos, client) as db:
        first = db.verify()
        assert db.verify() == 0
    known = set((tmp_path / "store" / VERDICTS).iterdir())
    picture = sorted(photos.glob("*.jpg"))[0]
    Image.open(picture).save(photos / "new.webp", quality=90)
    with project(photos, client) as db:
        again = db.verify()
        assert 0 < again <= 3
        verdicts = by_name(db.result())
        assert {verdict for pair, verdict in verdicts.items() if "new.webp" in pair} >= {"same picture"}
    assert known < set((tmp_path / "store" / VERDICTS).iterdir())
    assert len(committed(tmp_path / "store")) == first + again
    with project(photos, client) as db:
        assert db.verify() == 0


def test_a_changed_file_loses_its_verdicts_alone(photos, client, tmp_path):
    with project(photos, client) as db:
        db.verify()
        before = by_name(db.result())
    save_page(photos / "page1.png", 21, 30)  # nearly as page0
    os.utime(photos / "page1.png", ns=(10**18, 10**18))
    with project(photos, client) as db:
        changed = by_name(db.result())
        assert {verdict for pair, verdict in changed.items() if "page1.png" in pair} == {"not looked at"}
        others = {pair for pair in before if "page1.png" not in pair}
        assert {pair: changed[pair] for pair in others} == {pair: before[pair] for pair in others}
        looked = db.verify()
        assert 0 < looked <= 2
        store = db.store
        numbers = db.result().images["image"]
        (number,) = [int(one) for name, one in numbers.items() if Path(name).name == "page1.png"]
    newest = max((tmp_path / "store" / VERDICTS).iterdir(), key=lambda path: path.stat().st_mtime_ns)
    rows = pd.read_parquet(newest)
    assert ((rows.a == number) | (rows.b == number)).all()
    assert len(read_verdicts(store)) == len(committed(tmp_path / "store"))


def test_a_file_that_changed_since_is_not_looked_at(photos, client, tmp_path):
    with project(photos, client) as db:
        save_page(photos / "page1.png", 100, 100)
        db.verify()
        verdicts = by_name(db.result())
        assert {verdict for pair, verdict in verdicts.items() if "page1.png" in pair} == {"not looked at"}
        assert len(committed(tmp_path / "store")) > 0


@pytest.mark.parametrize("block_size", [2, 5, 1000])
def test_verdicts_do_not_depend_on_the_blocks(photos, client, block_size):
    found = []
    for options in ({}, {"block_size": block_size, "store": "other"}):
        with project(photos, client, **options) as db:
            db.verify()
            found.append((by_name(db.result()), db.result().clusters))
    assert found[0] == found[1]


def test_limit_and_size_of_a_call(photos, client, tmp_path):
    with project(photos, client) as db:
        assert db.verify(limit=2, size=64) == 2
        assert committed(tmp_path / "store")["size"].tolist() == [64, 64]
        most_similar = db.pairs.sort_values("mse").head(2)
        assert set(most_similar.verdict) == {"same picture"}
        # the limit is that of a call
        assert db.verify(limit=1) == 1
        assert len(committed(tmp_path / "store")) == 3
        # pairs that were looked at at a smaller size are looked at again
        whole = db.verify(limit=1000, size=120)
        assert db.verify(limit=1000, size=120) == 0
        sizes = committed(tmp_path / "store").groupby(["a", "b"])["size"].max().tolist()
        assert sizes.count(512) == 1
        assert sizes.count(120) == whole == len(sizes) - 1


@pytest.mark.parametrize("arguments", [{"limit": -1}, {"size": 4}, {"limit": "many"}])
def test_bad_arguments_are_named(photos, client, arguments):
    with project(photos, client) as db:
        (name,) = arguments
        with pytest.raises(fd.FastDiffError, match=name):
            db.verify(**arguments)


def verdicts_of(run, folder: Path, *options: object) -> list[str]:
    """Verdicts in the JSON file of `find`."""
    store = folder / "-".join(["store", *map(str, options)])
    code, _, err = run("find", folder / "photos", "--store", store, "--json", folder / "found.json", *options)
    assert code == 0, err
    return [pair["verdict"] for pair in json.loads((folder / "found.json").read_text())["pairs"]]


def test_options_of_find(run, photos, tmp_path):
    looked = verdicts_of(run, tmp_path)
    assert {"same picture", "similar"} <= set(looked)
    assert set(verdicts_of(run, tmp_path, "--no-verify")) == {"not looked at"}
    assert not len(committed(tmp_path / "store---no-verify"))
    limited = verdicts_of(run, tmp_path, "--verify-limit", 2)
    assert len(limited) - limited.count("not looked at") == 2
    verdicts_of(run, tmp_path, "--verify-size", 32)
    assert set(committed(tmp_path / "store---verify-size-32")["size"]) == {32}
    assert set(committed(tmp_path / "store")["size"]) == {512}


def test_nothing_similar_costs_nothing(client, tmp_path):
    simulate_images(tmp_path / "photos", images=5, duplicates=0, size=(80, 60))
    with project(tmp_path / "photos", client) as db:
        assert db.verify() == 0
    assert not (tmp_path / "store" / VERDICTS).exists()


def test_files_of_the_same_bytes_are_not_decoded_again(client, tmp_path):
    simulate_images(tmp_path / "photos", images=2, duplicates=0, size=(80, 60))
    first = sorted((tmp_path / "photos").iterdir())[0]
    (tmp_path / "photos" / "twin.jpg").write_bytes(first.read_bytes())
    with project(tmp_path / "photos", client) as db:
        assert db.verify() == 0
        assert list(by_name(db.result()).values()) == ["same file"]


def test_similar_pages_stay_in_the_store_as_such(photos, client, tmp_path):
    with project(photos, client) as db:
        db.verify()
    verdicts = committed(tmp_path / "store")
    assert (verdicts[verdicts.verdict == SIMILAR].block > 18).all()
    assert Store(str(tmp_path / "store")).blocks


def test_stages_under_one_lock_share_decoders_and_the_result(photos, client, tmp_path, monkeypatch):
    calls = {"collect_result": 0, "end_readers": 0}

    def counted(module, name):
        original = getattr(module, name)

        def call(*arguments):
            calls[name] += 1
            return original(*arguments)

        monkeypatch.setattr(module, name, call)

    counted(job, "collect_result")
    counted(thumbnails, "end_readers")
    with fd.FastDifPy(photos, store=tmp_path / "store", client=client, verbose=False) as db:
        with db.writing():
            db.index_the_dirs()
            db.first_loop_iteration()
            db.second_loop_iteration()
            assert db.verify() > 0
            assert calls == {"collect_result": 1, "end_readers": 0}
            handed_on = by_name(db.result())
            assert calls == {"collect_result": 1, "end_readers": 0}
            assert by_name(db.result()) == handed_on
            assert calls == {"collect_result": 2, "end_readers": 0}
        assert calls["end_readers"] == 1
        assert db.verify(size=600) > 0
        assert by_name(db.result()).keys() == handed_on.keys()
    assert calls == {"collect_result": 4, "end_readers": 2}


def test_lossless_files_of_one_size_are_not_decoded_in_full(client, tmp_path, monkeypatch):
    simulate_images(tmp_path / "photos", images=1, duplicates=0, size=(120, 90))
    (path,) = (tmp_path / "photos").iterdir()
    with Image.open(path) as picture:
        for name in ("a.png", "b.png"):
            picture.convert("RGB").save(tmp_path / "photos" / name, compress_level=len(name) + (name == "b.png"))
    path.unlink()
    looks = []
    read = ImageReader.read

    def reading(self, request):
        looks.extend(file.look for file in request.files)
        return read(self, request)

    with project(tmp_path / "photos", client) as db:
        monkeypatch.setattr(ImageReader, "read", reading)
        assert db.verify() == 1
        assert set(by_name(db.result()).values()) == {"same pixels"}
    assert looks
    assert LUMA not in looks
