"""Dask's performance report: written, complete, also after a failure, and refused early where it cannot be."""

import pytest
from support.system import without_privileges

import fastdiff_dask as fd
from fastdiff_dask.errors import FastDiffError, UsageError
from fastdiff_dask.runtime.performance_report import PerformanceReport
from fastdiff_dask.testing import simulate_images


@pytest.fixture
def photos_folder(tmp_path):
    simulate_images(tmp_path / "photos", images=6, duplicates=2, size=(40, 30))
    return tmp_path / "photos"


def test_it_is_written_when_the_job_is_closed(tmp_path, photos_folder, client):
    report = tmp_path / "report.html"
    with fd.FastDifPy(
        photos_folder, store=tmp_path / "s", client=client, performance_report=report, verbose=False
    ) as db:
        db.index_the_dirs()
        db.first_loop_iteration()
        db.second_loop_iteration()
        assert not report.exists()
    page = report.read_text()
    assert all(f'"{stage}"' in page or f"{stage}-" in page for stage in ("thumbnail", "plan", "compare"))
    assert "cdn.bokeh.org" not in page.partition("<body")[0]  # all that it needs is in it
    assert client.status == "running"


def test_it_is_written_when_a_stage_failed(tmp_path, photos_folder):
    def failing(a, b):
        raise ValueError("no")

    report = tmp_path / "report.html"
    with fd.FastDifPy(
        photos_folder,
        store=tmp_path / "s",
        threads=1,
        dashboard_address="127.0.0.1:0",
        performance_report=report,
        verbose=False,
    ) as db:
        db.index_the_dirs()
        db.first_loop_iteration()
        with pytest.raises(FastDiffError, match="ValueError: no"):
            db.second_loop_iteration(3, compare=failing)
    assert "thumbnail-" in report.read_text()


def test_a_run_with_nothing_to_do_has_none(tmp_path, photos_folder, client, capfd):
    for name in ("first.html", "second.html"):
        with fd.FastDifPy(
            photos_folder, store=tmp_path / "s", client=client, performance_report=tmp_path / name, verbose=False
        ) as db:
            db.index_the_dirs()
            db.first_loop_iteration()
    assert (tmp_path / "first.html").exists()
    assert not (tmp_path / "second.html").exists()
    assert "Nothing was computed: no performance report at" in capfd.readouterr().err


def test_what_cannot_be_written_in_the_end_is_said_and_no_failure(tmp_path, photos_folder, client, capfd):
    (tmp_path / "out").mkdir()
    with fd.FastDifPy(
        photos_folder, store=tmp_path / "s", client=client, performance_report=tmp_path / "out" / "r.html"
    ) as db:
        db.index_the_dirs()
        db.first_loop_iteration()
        (tmp_path / "out").rmdir()
    assert "The performance report could not be written to" in capfd.readouterr().err


def test_what_cannot_be_written_is_said_before_any_work(tmp_path, photos_folder):
    for path, message in (
        (tmp_path, "is a folder"),
        (tmp_path / "no" / "x.html", "make it first"),
        ("x" * 300, "File name too long"),
    ):
        with pytest.raises(UsageError, match=message):
            fd.FastDifPy(photos_folder, performance_report=path)
    with without_privileges(), pytest.raises(UsageError, match="Permission denied"):
        PerformanceReport("/usr/x.html")
