"""Mistakes of a caller of `FastDifPy` and `find_duplicates`: one line each, with the argument as it was given."""

import pytest

import fastdiff_dask as fd
from fastdiff_dask.testing import simulate_images


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """Folder of pictures and the store of their finished comparison."""
    folder = tmp_path_factory.mktemp("finished")
    simulate_images(folder / "photos", images=6, duplicates=2)
    fd.find_duplicates(folder / "photos", store=folder / "store", verbose=False)
    return folder


@pytest.mark.parametrize("in_memory", [False, True])
def test_a_finished_store_gives_its_result_without_a_stage(finished, in_memory, tmp_path):
    with fd.FastDifPy.from_store(finished / "store", in_memory=in_memory) as db:
        assert db.config.state == "second_loop_done"
        assert (len(db.pairs), len(db.get_duplicates()[0]), db.result().pair_count) == (2, 2, 2)
        assert db.report(tmp_path / "report.html") == 2
        assert db.export(tmp_path / "pairs.csv")["pairs"] == 2
        assert db.result(0).pair_count <= 2
        with pytest.raises(fd.UsageError, match=r"up to a difference \(MSE\) of 200.0, not 300.0; call second_loop"):
            db.result(300)


def test_a_new_project_of_the_same_folders_gives_the_result(finished):
    assert len(fd.FastDifPy(finished / "photos", store=finished / "store").pairs) == 2


def test_a_comparison_that_is_not_finished_is_said_to_be_so(tmp_path, finished):
    with fd.FastDifPy(finished / "photos", store=tmp_path / "store", verbose=False) as db:
        db.index_the_dirs()
        db.first_loop_iteration()
        with pytest.raises(fd.UsageError, match="nothing was compared yet; call second_loop_iteration"):
            db.result()
        db.second_loop_iteration()
    (mark,) = (tmp_path / "store").rglob("compared/c.0.0")
    mark.unlink()
    with pytest.raises(fd.UsageError, match="the comparison is not finished; call second_loop_iteration"):
        fd.FastDifPy.from_store(tmp_path / "store").result()


MISTAKES = {
    "client": (lambda db: type(db).from_store(db.saved_url, client="tcp://x"), "client='tcp://x' is no Dask client"),
    "client 3": (lambda db: type(db)(db.roots[0].given, client=3), "client=3 is no Dask client"),
    "dashboard": (lambda db: type(db)(db.roots[0].given, dashboard_address=5), "dashboard_address=5 cannot be used"),
    "report file": (lambda db: type(db)(db.roots[0].given, performance_report=5), "performance_report=5 is no name"),
    "upload": (lambda _: fd.upload_package(None), "client=None is no Dask client"),
    "plan": (lambda db: db.apply(None, "trash"), "plan=None is no removal plan"),
    "target": (lambda db: db.apply(db.plan(), "move", 3), "folder=3 is no name"),
    "pairs": (lambda db: db.not_duplicates([1]), "pairs=\\[1\\] has 1, which is no pair"),
    "no pairs": (lambda db: db.not_duplicates(1), "pairs=1 has 1, which is no pair"),
    "no names": (lambda db: db.not_duplicates([(1, 2)]), "has \\(1, 2\\), which is no pair"),
    "store": (lambda db: type(db).from_store(None), "store=None is no name"),
    "stores": (lambda db: type(db).from_stores(db.saved_url, 3), "store_b=3 is no name"),
    "config": (lambda db: type(db).from_config(None), "path=None is no name"),
    "report": (lambda db: db.report(None), "path=None is no name"),
    "export": (lambda db: db.export(None), "target=None is no name"),
    "pair": (lambda db: db.pair(1, "b"), "a=1 is no name"),
    "protect": (lambda db: db.plan(protect=[3]), "protect=\\[3\\] is no folder, nor a list of folders"),
    "protect none": (lambda db: db.plan(protect="nothere"), "protect= names nothere, which is no folder"),
    "ignore": (lambda db: type(db)(".", ignore_names=[3]), "ignore_names=\\[3\\] is no pattern, nor a list of pat"),
    "extensions": (lambda db: type(db)(".", extensions=[5]), "extensions=\\[5\\] is no ending, nor a list of endings"),
    "block": (
        lambda db: type(db)(".", block_size=0),
        "block_size=0 cannot be used; use a whole number from 1 to 6",
    ),
    "width": (lambda db: type(db)(".", thumbnail_size_x=0), "thumbnail_size_x=0 cannot be used; use .* 8 to 1024"),
    "workers": (
        lambda db: type(db)(db.roots[0].given, workers=0),
        "workers=0 cannot be used; use a whole number",
    ),
    "time": (lambda db: type(db)(".", time_limit=-3), "time_limit=-3 cannot be used; use seconds"),
    "threshold": (lambda db: db.second_loop_iteration(float("nan")), "similarity_threshold=nan cannot be used; use a"),
    "similarity": (lambda db: db.result(-1), "^similarity=-1 cannot be used; use a number from 0, for example 200"),
    "tasks": (lambda db: db.second_loop_iteration(cpu_proc=0), "^cpu_proc=0 cannot be used; use a whole number from 1"),
    "gpu": (lambda db: db.second_loop_iteration(gpu_proc=-2), "^gpu_proc=-2 cannot be used; use a whole number from 0"),
    "mirror": (lambda db: db.second_loop_iteration(mirror="yes"), "^mirror='yes' cannot be used; use True or False"),
    "aspect": (lambda db: db.second_loop_iteration(match_aspect_by=0.5), "^match_aspect_by=0.5 cannot be used; use 0"),
    "shift": (
        lambda db: db.first_loop_iteration(amount=9),
        "^amount=9 cannot be used; use a whole number of bits",
    ),
    "sample": (lambda db: db.estimate(0), "^sample=0 cannot be used; use a whole number of files from 1"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_value_that_cannot_be_used_is_named_by_its_argument(finished, mistake):
    call, message = MISTAKES[mistake]
    with fd.FastDifPy.from_store(finished / "store", verbose=False) as db, pytest.raises(fd.UsageError, match=message):
        call(db)


def test_without_an_index_each_call_says_what_comes_first(finished, tmp_path):
    with fd.FastDifPy(finished / "photos", store=tmp_path / "none", verbose=False) as db:
        for call in (
            db.first_loop_iteration,
            db.second_loop_iteration,
            db.result,
            db.get_duplicates,
            db.mse,
            db.plan,
            db.estimate_disk_usage,
            lambda: db.errors,
            lambda: db.images,
            lambda: db.pair("a", "b"),
        ):
            with pytest.raises(fd.UsageError, match=r"no store at .*none yet; call index_the_dirs\(\) first"):
                call()
        with pytest.raises(fd.UsageError, match="there is nothing to clean up"):
            db.clean_up()
    assert not (tmp_path / "none").exists()


def test_an_unknown_argument_is_told_under_the_name_that_was_called(finished):
    with fd.FastDifPy.from_store(finished / "store") as db:
        for name in ("index_the_dirs", "first_loop_iteration", "second_loop_iteration"):
            with pytest.raises(TypeError, match=rf"FastDifPy\.{name}\(\) got an unexpected keyword argument 'foo'"):
                getattr(db, name)(foo=1)
    with pytest.raises(TypeError, match=r"find_duplicates\(\) got an unexpected keyword argument 'foo'"):
        fd.find_duplicates(finished / "photos", foo=3)
