"""Edited copies from files to the result: found once, later only what is new, and the same however it is run."""

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from PIL import Image

import fastdiff_dask as fd
from fastdiff_dask.outputs.json_file import write_json
from fastdiff_dask.runtime.connection import embedded_client
from fastdiff_dask.runtime.memory import EDITED_BYTES, check_edited_memory
from fastdiff_dask.runtime.workers import Capacity
from fastdiff_dask.stages import edited
from fastdiff_dask.tasks.copies import match_views
from fastdiff_dask.testing import write_edited_copies
from tests.support.edited_pairs import a_photo

KINDS = ["crop 10", "border", "brighter"]
SUPPORT = Path(__file__).parents[1] / "support"


def write_photos(folder: Path, numbers, kinds=KINDS) -> None:
    """Pictures p0, p1 …, and an edited copy of each kind: "p0 border.jpg"."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in numbers:
        path = folder / f"p{number}.jpg"
        Image.fromarray(a_photo(number, 200, 150)).save(path, quality=92)
        for kind in kinds:
            write_edited_copies([path], folder / "made", kinds=[kind], seed=number)
            (made,) = (folder / "made").glob("*.jpg")
            made.rename(folder / f"p{number} {kind}.jpg")
            os.utime(folder / f"p{number} {kind}.jpg", ns=(10**18, 10**18))
        os.utime(path, ns=(10**17, 10**17))
    shutil.rmtree(folder / "made", ignore_errors=True)


def open_job(folder: Path, client, **options) -> fd.FastDifPy:
    roots = [folder / "photos"] + ([folder / "others"] if (folder / "others").exists() else [])
    options = {"store": folder / "store", "block_size": 4} | options
    db = fd.FastDifPy(*roots, client=client, verbose=False, **options)
    db.index_the_dirs()
    db.first_loop_iteration()
    db.second_loop_iteration()
    return db


def run(folder: Path, client, **options) -> tuple[dict[str, int], pd.DataFrame, str]:
    """Amounts of each step that were done, the edited copies, and their JSON."""
    with open_job(folder, client, **options) as db:
        done = db.find_edited()
        result = db.result()
        write_json(result, str(folder / "out.json"))
    return done, result.edited, json.dumps(json.loads((folder / "out.json").read_text()).get("edited", []))


def pairs_of(found: pd.DataFrame) -> set[frozenset[str]]:
    return {frozenset((Path(row.original).name, Path(row.copy).name)) for row in found.itertuples()}


def expected(numbers, kinds=KINDS) -> set[frozenset[str]]:
    return {frozenset((f"p{number}.jpg", f"p{number} {kind}.jpg")) for number in numbers for kind in kinds}


def families(found: pd.DataFrame) -> set[frozenset[str]]:
    """Names of the pictures that are in pairs with each other, directly or not."""
    groups: list[set[str]] = []
    for pair in pairs_of(found):
        joined = set(pair).union(*(group for group in groups if group & pair))
        groups = [group for group in groups if not group & pair] + [joined]
    return {frozenset(group) for group in groups}


def files_of(folder: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in (folder / "store" / "edited").rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def collection(tmp_path_factory, client):
    """Five pictures with their copies, three without, one that cannot be read; and what was found."""
    folder = tmp_path_factory.mktemp("edited")
    write_photos(folder / "photos", range(5))
    write_photos(folder / "photos", range(5, 8), [])
    (folder / "photos" / "bad.jpg").write_text("no picture")
    return folder, run(folder, client)


def test_edited_copies_are_found(collection):
    _, (done, found, _) = collection
    assert pairs_of(found) >= expected(range(5))
    assert families(found) == {
        frozenset([f"p{number}.jpg", *(f"p{number} {kind}.jpg" for kind in KINDS)]) for number in range(5)
    }
    words = {Path(row.copy).name: row.words for row in found.itertuples() if Path(row.original).stem == "p0"}
    assert words["p0 border.jpg"] == "white border"
    assert words["p0 crop 10.jpg"] == "cropped to 81 %"
    assert done["contents"] == 24
    assert done["views"] == 24**2


def test_a_second_run_does_nothing(collection, client):
    folder, (_, _, first) = collection
    before = files_of(folder)
    done, _, again = run(folder, client)
    assert set(done.values()) == {0}
    assert again == first
    assert files_of(folder) == before


@pytest.mark.parametrize("options", [{"block_size": 7}, {"block_size": 1000}, {"threads": 1}], ids=str)
def test_the_same_whatever_the_blocks_and_workers(collection, client, tmp_path, options, monkeypatch):
    folder, (_, _, first) = collection
    one = embedded_client(1, "127.0.0.1:0") if "threads" in options else None
    monkeypatch.setattr(edited, "_ALIGNED_AT_ONCE", 7)
    monkeypatch.setattr(edited, "_SEEN_AT_ONCE", 3)
    monkeypatch.setattr(edited, "EDITED_ROWS", 9)
    monkeypatch.setattr(edited, "EDITED_COLUMNS", 14)
    monkeypatch.setattr(match_views, "EDITED_ROWS", 6)
    size = options.get("block_size", 4)
    assert run(folder, one or client, store=tmp_path / "store", block_size=size)[2] == first
    if one:
        one.close()
        one.cluster.close()


def test_a_later_day_costs_only_what_is_new(collection, client, tmp_path):
    folder, (_, _, all_at_once) = collection
    later = tmp_path / "later"
    new = ["p1 border.jpg", "p4.jpg", "p4 crop 10.jpg", "p4 brighter.jpg", "p4 border.jpg", "p7.jpg"]
    shutil.copytree(folder / "photos", later / "photos", ignore=shutil.ignore_patterns(*new))
    shutil.copytree(folder / "photos", later / "new")
    first_done, first, _ = run(later, client)
    assert (first_done["contents"], first_done["views"]) == (18, 18**2)
    before = files_of(later)
    for name in new:
        (later / "new" / name).rename(later / "photos" / name)
    done, found, text = run(later, client)
    assert done["contents"] == len(new)
    assert done["views"] == 24**2 - 18**2
    assert 0 < done["align"] < first_done["align"]
    assert 0 < done["edited"] <= 2 * len(new)
    after = files_of(later)
    assert {path for path, time in before.items() if after.get(path) != time} <= {
        later / "store" / "edited" / "1" / "chosen.parquet"
    }
    assert families(first) != families(found)
    assert json.loads(text.replace(str(later), str(folder))) == json.loads(all_at_once)


def test_days_leave_no_trace_in_the_result(client, tmp_path):
    """Pictures that come in any order: pairs that were looked at when there was no better one are not shown."""
    write_photos(tmp_path / "whole" / "photos", range(2), ["crop 10", "crop 20", "border", "mirrored", "grey"])
    whole = run(tmp_path / "whole", client)[2]
    names = sorted(path.name for path in (tmp_path / "whole" / "photos").iterdir())
    for first in (names[::2], names[::-1][:5]):
        shutil.rmtree(tmp_path / "days", ignore_errors=True)
        (tmp_path / "days" / "photos").mkdir(parents=True)
        for day in (first, names):
            for name in day:
                shutil.copy2(tmp_path / "whole" / "photos" / name, tmp_path / "days" / "photos")
            text = run(tmp_path / "days", client)[2]
        assert text.replace(str(tmp_path / "days"), str(tmp_path / "whole")) == whole


def test_pictures_that_vanished_or_changed_leave_the_result(collection, client, tmp_path):
    shutil.copytree(collection[0] / "photos", tmp_path / "photos", ignore=shutil.ignore_patterns("p4*"))
    assert run(tmp_path, client)[0]["contents"] == 20
    (tmp_path / "photos" / "p0 border.jpg").unlink()
    Image.fromarray(a_photo(90, 200, 150)).save(tmp_path / "photos" / "p1 border.jpg")
    gone = {"p0 border.jpg", "p1 border.jpg"}
    with open_job(tmp_path, client) as db:
        left = pairs_of(db.result().edited)
    assert left >= expected(range(2, 4))
    assert not any(pair & gone for pair in left)
    done, found, _ = run(tmp_path, client)
    assert done["contents"] == 1
    assert not any(pair & gone for pair in pairs_of(found))
    assert pairs_of(found) >= expected(range(4)) - {pair for pair in expected(range(4)) if pair & gone}


def test_a_picture_that_changes_before_it_is_looked_at_is_left_out(collection, client, tmp_path):
    (tmp_path / "photos").mkdir()
    for name in ("p0.jpg", "p0 border.jpg", "p1.jpg", "p1 border.jpg"):
        shutil.copy2(collection[0] / "photos" / name, tmp_path / "photos")
    with open_job(tmp_path, client) as db:
        Image.fromarray(a_photo(91, 200, 150)).save(tmp_path / "photos" / "p0 border.jpg")
        (tmp_path / "photos" / "p1.jpg").unlink()
        assert db.find_edited()["edited"] == 2
        assert db.result().edited.empty
        shutil.copy2(collection[0] / "photos" / "p1.jpg", tmp_path / "photos")
        db.find_edited()
        assert pairs_of(db.result().edited) == expected([1], ["border"])


def test_pairs_of_two_folders_are_between_them(collection, client, tmp_path):
    photos, others = tmp_path / "photos", tmp_path / "others"
    photos.mkdir()
    others.mkdir()
    for path in (collection[0] / "photos").iterdir():
        if path.name[:2] in ("p0", "p1", "p2"):
            shutil.copy2(path, others if "border" in path.name or "brighter" in path.name else photos)
    done, found, _ = run(tmp_path, client)
    assert done["views"] == 2 * 6 * 6
    assert pairs_of(found) >= expected(range(3), ["border", "brighter"])
    for row in found.itertuples():
        assert {Path(row.original).parent.name, Path(row.copy).parent.name} == {"photos", "others"}


def test_a_limit_is_of_the_pairs_that_are_looked_at(collection, client, tmp_path):
    folder, (_, _, without) = collection
    with open_job(folder, client, store=tmp_path / "store") as db:
        assert db.find_edited(limit=4)["edited"] == 4
        assert 0 < len(db.result().edited) <= 4
    looked, aligned = (
        pd.concat(map(pd.read_parquet, (tmp_path / "store" / "edited" / "1").glob(f"{kind}-*.parquet")))
        for kind in ("looks", "aligned")
    )
    scores = aligned.set_index(["a", "b"]).score
    # those that fit best come first
    assert scores.loc[list(looked[["a", "b"]].itertuples(index=False, name=None))].min() > scores.quantile(0.8)
    done, _, text = run(folder, client, store=tmp_path / "store")
    assert done["views"] == done["align"] == 0 < done["edited"]
    assert text == without


def test_a_damaged_store_is_told_in_one_line(collection, client, tmp_path):
    with open_job(collection[0], client, store=tmp_path / "store") as db:
        db.find_edited()
        for path, rest in (("contents-0", b""), ("candidates-0-6-0-6.npy", b"no array"), ("looks-0.parquet", b"-")):
            file = tmp_path / "store" / "edited" / "1" / path
            before = file.read_bytes() if file.exists() else None
            file.write_bytes(rest)
            if path == "contents-0":
                for compared in file.parent.glob("candidates-*"):
                    compared.unlink()
            with pytest.raises(fd.FastDiffError, match="is damaged") as caught:
                db.find_edited()
            assert str(caught.value).isprintable()
            file.unlink() if before is None else file.write_bytes(before)
            db.find_edited()


def test_too_little_memory_is_refused_before_anything_is_done(collection, client, tmp_path, monkeypatch):
    check_edited_memory(0)
    check_edited_memory(EDITED_BYTES)
    with pytest.raises(fd.UsageError, match=r"needs 0\.\d+ GB for a task, and a task on the workers has 0\.1 GB"):
        check_edited_memory(10**8)
    monkeypatch.setattr("fastdiff_dask.runtime.workers.capacity", lambda client: Capacity(2, EDITED_BYTES - 1))
    with open_job(collection[0], client, store=tmp_path / "store") as db:
        with pytest.raises(fd.UsageError, match="use workers with more memory or fewer threads") as caught:
            db.find_edited()
        assert str(caught.value).isprintable()
    assert not (tmp_path / "store" / "edited").exists()


@pytest.mark.timeout(300)
@pytest.mark.parametrize("moments", [5, pytest.param(30, marks=pytest.mark.slow)])
def test_killed_at_many_moments_of_all_steps(collection, tmp_path, moments):
    driver = SUPPORT / "edited_kill_driver.py"
    photos = tmp_path / "photos"
    photos.mkdir()
    for path in (collection[0] / "photos").iterdir():
        if path.name[:2] in ("p0", "p1", "p7", "ba"):
            shutil.copy2(path, photos)
    command = [sys.executable, str(driver), str(photos), str(tmp_path), str(moments)]
    environment = os.environ | {"OPENBLAS_NUM_THREADS": "1"}
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, env=environment)
    reports = [json.loads(line) for line in done.stdout.splitlines()]
    assert len({report["moment"] for report in reports}) == moments
    for report in reports:
        assert report["killed by"] == signal.SIGKILL, report
        assert report["resumed"] == 0, report
        assert report["equal"], report
        assert not report["redone"], report
        assert not report["twice"], report
    # the moments were spread over all steps
    assert not reports[0]["kinds"]
    assert set(reports[-1]["kinds"]) == {"contents", "candidates", "aligned", "looks"}
    assert len({tuple(report["kinds"]) for report in reports}) >= min(moments, 4)
