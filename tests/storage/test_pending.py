"""Work that is left, and the comparison that answers a question: decided once, the same for all who ask."""

from dataclasses import replace
from pathlib import Path

import pytest
from support.pictures import write_noise

import fastdiff_dask as fd
from fastdiff_dask.compat.run_state import RunState
from fastdiff_dask.config import CompareSettings
from fastdiff_dask.dashboard.monitor import Monitor
from fastdiff_dask.dashboard.page_texts import header_text
from fastdiff_dask.outputs.export import write_export
from fastdiff_dask.outputs.store_state import describe_store
from fastdiff_dask.outputs.tables import Tables
from fastdiff_dask.results.stored import stored_result
from fastdiff_dask.storage.comparisons import Comparison
from fastdiff_dask.storage.pending import choose_comparison, is_finished, pairs_left
from fastdiff_dask.storage.store import Store


def open_job(folder: Path, client) -> fd.FastDifPy:
    sizes = {"thumbnail_size_x": 8, "thumbnail_size_y": 8, "block_size": 8}
    return fd.FastDifPy(folder / "photos", store=folder / "store", client=client, verbose=False, **sizes)


def state_at(db: fd.FastDifPy, threshold: float) -> RunState:
    """State of the job for somebody who asks for another threshold."""
    return RunState(replace(db.settings, similarity_threshold=threshold), db.store_url)


def kill(store: Store, threshold: float) -> None:
    """Take away a tile, as if the process had been killed before it was committed."""
    comparison = Comparison(store, CompareSettings(similarity_threshold=threshold))
    part = comparison.plans()[-1].part
    store.files.remove(comparison.mark(part, 0))


@pytest.fixture
def killed(tmp_path, client):
    """A store with a run at 150 that was killed, and one at 200 that came to its end."""
    write_noise(tmp_path / "photos", 20, 5)
    for threshold in (150, 200):
        with open_job(tmp_path, client) as db:
            db.index_the_dirs()
            db.first_loop_iteration()
            db.second_loop_iteration(threshold, sub_block=4, tile_side=1)
        if threshold == 150:
            kill(Store(str(tmp_path / "store")), 150)
    return tmp_path


def test_a_finished_comparison_answers_whoever_asks(killed, client):
    url = str(killed / "store")
    store = Store(url)
    assert not is_finished(Comparison(store, CompareSettings(similarity_threshold=150)))
    with open_job(killed, client) as db:
        assert state_at(db, 100).state == "second_loop_done"
        assert state_at(db, 100).sl_queue_status["pairs_left"] == 0
        db.index_the_dirs()
        db.first_loop_iteration()
        db.second_loop_iteration(100)
        result = db.result()
        assert db.config.state == "second_loop_done"
    assert result.stats["tiles"] == result.stats["tiles_resumed"] > 1
    assert result.pair_count > 0
    assert choose_comparison(store, CompareSettings(similarity_threshold=100)).settings.similarity_threshold == 200
    assert stored_result(store, threshold=100).pairs.equals(result.pairs)
    write_export(Tables.of_store(url, threshold=100), str(killed / "pairs.csv"), table="pairs")
    assert len((killed / "pairs.csv").read_text().splitlines()) == 1 + result.pair_count
    shown = describe_store(url).split("Compare:")
    assert ["answered by the finished comparison up to 200" in lines for lines in shown] == [False, True, False]
    snapshot = Monitor(url).snapshot()
    assert [(one.done == one.tiles, one.answered) for one in snapshot.comparisons] == [(True, True), (False, True)]
    assert "Finished" in header_text(url, snapshot)


def test_a_comparison_with_less_left_goes_on_and_all_say_so(killed, client):
    """Asked for more than any finished one has, with a killed one at 300."""
    with open_job(killed, client) as db:
        db.second_loop_iteration(300, sub_block=4, tile_side=1)
    store = Store(str(killed / "store"))
    kill(store, 300)
    chosen = choose_comparison(store, CompareSettings(similarity_threshold=250))
    assert (chosen.settings.similarity_threshold, is_finished(chosen)) == (300, False)
    assert pairs_left(chosen) > 0
    with open_job(killed, client) as db:
        assert state_at(db, 250).state == "second_loop_in_progress"
        assert state_at(db, 250).sl_queue_status["pairs_left"] == pairs_left(chosen)
        with pytest.raises(fd.UsageError, match="compared up to 200, not 250"):
            stored_result(store, threshold=250)
        db.second_loop_iteration(250)
        assert db.config.state == "second_loop_done"
    assert stored_result(store, threshold=250).pair_count > 0


def test_a_comparison_that_nobody_began_is_not_in_progress(killed, client):
    with open_job(killed, client) as db:
        asked = state_at(db, 1000)
    assert (asked.state, asked.sl_queue_status) == ("first_loop_done", None)


def test_new_pictures_are_left_for_all(killed, client):
    write_noise(killed / "photos", 3, 6, first=100)
    with open_job(killed, client) as db:
        db.index_the_dirs()
        db.first_loop_iteration()
        assert state_at(db, 100).state == "second_loop_in_progress"
    url = str(killed / "store")
    assert "new images are not planned yet" in describe_store(url)
    assert not any(one.answered for one in Monitor(url).snapshot().comparisons)
    with pytest.raises(fd.UsageError, match="no finished comparison"):
        stored_result(Store(url), threshold=100)
