"""The last result that was shown decides for whoever acts on a store."""

import json
import re

import pytest
from support.command_line import invoke
from support.removals import SIZE, picture, project, save

import fastdiff_dask as fd
from fastdiff_dask.results.stored import choose_stored, stored_result
from fastdiff_dask.storage.store import Store

# MSE of pictures of one colour: 3 · (difference)²
SHIFTS = {"a.png": 0, "b.png": 1, "c.png": 2}


@pytest.fixture
def store(tmp_path):
    for name, shift in SHIFTS.items():
        save(tmp_path / "photos" / name, picture(1, shift))
    for seed in range(2, 12):
        save(tmp_path / "photos" / f"other {seed}.png", picture(seed))
    return tmp_path / "store"


def find(db: fd.FastDifPy, threshold: float, **options: bool) -> None:
    db.second_loop_iteration(threshold, **options)
    db.result()


def going(store, *options) -> int:
    code, output = invoke("apply", store, "--include", "similar", *options)
    assert code == 0
    return int(re.search(r"^(\d+) images? could be removed", output, re.M)[1])


def test_the_result_shown_last_decides_whatever_was_tried_before(store, tmp_path, client):
    db = project(tmp_path, client, 20000.0)
    assert db.result().pair_count > 60
    find(db, 5.0)
    assert going(store) == 1
    find(db, 20.0, mirror=True)
    assert going(store) == 2
    find(db, 5.0)
    output = invoke("apply", store, "--include", "similar")[1]
    assert "Result: difference (MSE) ≤ 5 with rotations, as shown on 20" in output
    assert "1 image could be removed" in output
    assert "Result:     difference (MSE) ≤ 5 with rotations, as shown on 20" in invoke("status", store)[1]
    assert "difference (MSE) ≤ 5 with rotations" in invoke("report", store, "-o", tmp_path / "r.html")[1]
    assert "difference (MSE) ≤ 5 with rotations" in (tmp_path / "r.html").read_text()
    assert invoke("export", store, tmp_path / "pairs.csv")[0] == 0
    assert len((tmp_path / "pairs.csv").read_text().splitlines()) == 3


def test_a_name_or_a_threshold_says_which_and_is_what_was_shown_then(store, tmp_path, client):
    db = project(tmp_path, client, 20.0)
    find(db, 20000.0, mirror=True)
    find(db, 20.0)
    assert going(store) == 2
    assert going(store, "--threshold", 5) == 1
    assert going(store) == 1
    assert going(store, "--comparison", "mse-20.0-rotations") == 2
    code, output = invoke("apply", store, "--threshold", 21)
    assert (code != 0, "compared up to 20, not 21" in output) == (True, True)
    assert going(store) == 2


def test_a_store_without_a_record_asks_where_results_differ(store, tmp_path, client):
    db = project(tmp_path, client, 5.0)
    find(db, 20.0)
    (store / "shown.json").unlink()
    code, output = invoke("apply", store)
    assert code != 0
    assert "results that differ (mse-20.0-rotations, mse-5.0-rotations); choose by " in output
    assert going(store, "--threshold", 5) == 1
    find(db, 5.0, mirror=True)
    (store / "shown.json").unlink()
    code, output = invoke("apply", store, "--threshold", 5)
    assert (code != 0, "of several kinds" in output) == (True, True)


def test_a_store_without_a_record_answers_where_results_are_equal(store, tmp_path, client):
    db = project(tmp_path, client, 5.0)
    find(db, 6.0)
    (store / "shown.json").unlink()
    assert going(store) == 1


@pytest.mark.parametrize("content", [b"", b"[]", b"{", b'{"at": 1}', b'{"at": "2026-01-01", "settings": {"x": 1}}'])
def test_a_damaged_record_is_as_none(store, tmp_path, client, content):
    db = project(tmp_path, client, 5.0)
    find(db, 20.0)
    (store / "shown.json").write_bytes(content)
    with pytest.raises(fd.UsageError, match="results that differ"):
        stored_result(Store(str(store)))
    db.result()
    assert json.loads((store / "shown.json").read_text())["settings"]["similarity_threshold"] == 20


def test_a_store_that_cannot_be_written_shows_its_result(store, tmp_path, client, monkeypatch):
    db = project(tmp_path, client, 5.0)

    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("fastdiff_dask.storage.records.Records.write_shown", refuse)
    assert db.result().pair_count == 2


def test_new_pictures_are_no_result_until_they_are_compared(store, tmp_path, client):
    db = project(tmp_path, client, 5.0)
    find(db, 20.0)
    save(tmp_path / "photos" / "d.png", picture(1, 40))
    db.index_the_dirs()
    db.first_loop_iteration()
    db.second_loop_iteration(5.0)
    with pytest.raises(fd.UsageError, match="not of all images any more; run find again"):
        choose_stored(Store(str(store)))
    db.result()
    assert choose_stored(Store(str(store))).settings.similarity_threshold == 5


def test_a_store_in_memory_has_the_record_where_it_is_saved(store, tmp_path, client):
    with fd.FastDifPy(tmp_path / "photos", store=store, client=client, in_memory=True, verbose=False, **SIZE) as db:
        db.index_the_dirs()
        db.first_loop_iteration()
        for threshold in (20.0, 5.0):
            find(db, threshold)
    assert going(store) == 1


def test_a_cleaned_store_has_no_result(store, tmp_path, client):
    db = project(tmp_path, client, 5.0)
    db.result()
    db.clean_up(thumbs=False)
    assert not (store / "shown.json").exists()


def test_of_a_block_without_pairs_few_columns_are_read(tmp_path, client, monkeypatch):
    for number in range(6):
        save(tmp_path / "photos" / f"{number}.png", picture(number))
    (tmp_path / "photos" / "6.png").write_bytes(b"")
    with project(tmp_path, client, block_size=2) as db:
        whole, original = set(), Store.read_partition

        def noted(store, block, columns=None):
            whole.update([block] if "path" in columns else [])
            return original(store, block, columns)

        monkeypatch.setattr(Store, "read_partition", noted)
        result = db.result()
    assert (len(result.errors), result.files["compared"]) == (1, 6)
    assert whole == {0, 3}  # the first one, for its columns, and the one with an error
