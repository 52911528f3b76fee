"""`threshold`, the name that the command line has, stands beside the names of the replaced program, everywhere."""

import inspect

import pytest

import fastdiff_dask as fd
from fastdiff_dask.project.saved_settings import read_settings
from fastdiff_dask.testing import simulate_images


@pytest.fixture(scope="module")
def compared(tmp_path_factory):
    folder = tmp_path_factory.mktemp("names")
    simulate_images(folder / "photos", images=6, duplicates=5)
    fd.find_duplicates(folder / "photos", store=folder / "store", threshold=150, verbose=False)
    return folder


@pytest.fixture
def db(compared):
    with fd.FastDifPy.from_store(compared / "store", verbose=False) as db:
        yield db


def test_wherever_a_threshold_is_asked_for_both_names_are_there():
    methods = [getattr(fd.FastDifPy, name) for name in dir(fd.FastDifPy) if not name.startswith("_")]
    for one in [*filter(callable, methods), fd.find_duplicates]:
        names = set(inspect.signature(one).parameters)
        if one.__name__ == "lookup":  # later than the older name
            assert "threshold" in names
            continue
        assert bool(names & {"similarity", "similarity_threshold"}) == ("threshold" in names), one


def test_both_names_mean_the_same(db, compared, tmp_path):
    assert db.result().settings["similarity_threshold"] == 150.0
    low = db.result(threshold=3)
    assert 0 < len(low.pairs) < len(db.pairs)
    assert low.pairs.equals(db.result(3).pairs)
    assert db.get_duplicates(threshold=3) == db.get_duplicates(3)
    assert db.plan(threshold=3).to_frame().equals(db.plan(similarity=3).to_frame())
    assert db.export(tmp_path / "a.csv", threshold=3) == {"pairs": len(low.pairs)}
    assert db.to_sql(f"sqlite:///{tmp_path / 'a.db'}", threshold=3)["pairs"] == len(low.pairs)
    assert db.report(tmp_path / "a.html", threshold=3) == len(low.clusters)
    assert db.find_pairs(threshold=3).mse.equals(low.pairs.mse)
    assert db.settings.similarity_threshold == 3
    db.second_loop_iteration(threshold=120)
    assert db.config.threshold == db.config.similarity_threshold == 120


def test_both_at_once_are_refused(db, compared, tmp_path):
    for call in (
        lambda: db.result(3, threshold=3),
        lambda: db.get_duplicates(3, threshold=3),
        lambda: db.plan(similarity=3, threshold=3),
        lambda: db.export(tmp_path / "b.csv", similarity=3, threshold=3),
        lambda: db.to_sql(f"sqlite:///{tmp_path / 'b.db'}", similarity=3, threshold=3),
        lambda: db.report(tmp_path / "b.html", similarity=3, threshold=3),
        lambda: db.second_loop_iteration(3, threshold=3),
        lambda: db.find_pairs(3, threshold=3),
        lambda: fd.find_duplicates(compared / "photos", similarity_threshold=3, threshold=3),
    ):
        with pytest.raises(fd.UsageError, match=r"^threshold= and similarity\w*= are two names of one thing; give one"):
            call()
    assert not list(tmp_path.iterdir())


def test_a_wrong_value_is_told_by_the_name_that_was_given(db, compared):
    for call in (
        lambda: db.result(threshold=-1),
        lambda: db.second_loop_iteration(threshold=-1),
        lambda: fd.find_duplicates(compared / "photos", threshold=-1),
    ):
        with pytest.raises(fd.UsageError, match=r"^threshold=-1 cannot be used"):
            call()
    with pytest.raises(fd.UsageError, match=r"^similarity_threshold=-1 cannot be used"):
        db.second_loop_iteration(-1)


def test_a_settings_file_takes_it_too(tmp_path):
    file = tmp_path / "a.toml"
    file.write_text("threshold = 50")
    assert read_settings(file).similarity_threshold == 50
    file.write_text("threshold = 50\nsimilarity_threshold = 50")
    with pytest.raises(fd.UsageError, match="are two names of one thing"):
        read_settings(file)


def test_a_project_of_a_store_shows_the_result_that_is_there(compared):
    """With other settings than those that the store records, as after a run that was only begun."""
    fd.find_duplicates(compared / "photos", store=compared / "store", threshold=150, verbose=False)
    with fd.FastDifPy(compared / "photos", store=compared / "store", verbose=False) as db:
        assert db.result().settings["similarity_threshold"] == 150.0
        assert len(db.pairs) == 5
        with pytest.raises(fd.UsageError, match=r"up to a difference \(MSE\) of 150\.0, not 180\.0"):
            db.result(threshold=180)


def test_what_was_asked_for_and_not_compared_is_not_answered_otherwise(compared, tmp_path):
    file = tmp_path / "a.toml"
    file.write_text(f'p_root_dir_a = "{compared / "photos"}"\nstore = "{compared / "store"}"\nthreshold = 180')
    with fd.FastDifPy.from_config(file) as db, pytest.raises(fd.UsageError, match="nothing was compared yet"):
        _ = db.pairs
