"""Dates that 64 bits of nanoseconds do not hold: from NTFS (1601), and to those of ext4 (2446)."""

import os
import shutil
import tempfile
from pathlib import Path

import pytest

import fastdiff_dask as fd
from fastdiff_dask.testing import simulate_images


@pytest.fixture
def folder():
    """A folder where files may have any date, if there is one."""
    place = Path(tempfile.mkdtemp(dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else None))
    (place / "photos").mkdir()
    yield place / "photos"
    shutil.rmtree(place)


@pytest.mark.parametrize("seconds", [-11_644_473_600, -9_300_000_000, 9_223_400_000, 15_032_385_535])
@pytest.mark.parametrize("keep", ["newest", "oldest"])
def test_odd_dates(seconds, keep, folder, tmp_path, client):
    simulate_images(folder, images=3, duplicates=3)
    odd = folder / "copy_00000.jpg"
    os.utime(odd, (seconds, seconds))
    if odd.stat().st_mtime != seconds:
        pytest.skip("the file system has no such dates")

    before = {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}
    options = {"store": str(tmp_path / "store"), "client": client, "verbose": False}
    for run in range(2):
        with fd.FastDifPy(str(folder), **options) as db:
            counts = db.index_the_dirs()
            assert counts.unchanged == (6 if run else 0)
            db.first_loop_iteration()
            db.second_loop_iteration()
            assert db.errors.empty
            db.to_sql(f"sqlite:///{tmp_path}/{run}.db")
            db.export(tmp_path / f"tables{run}")
    with fd.FastDifPy(str(folder), **options) as db:
        db.index_the_dirs()
        db.second_loop_iteration()
        plan = db.plan([keep])
        assert len(plan.to_frame()) == 3
        assert (str(odd) in plan.to_frame()["remove"].to_list()) == ((seconds < 0) == (keep == "newest"))
        db.apply(plan, "move", folder.parent / "gone")
        assert len(list(folder.iterdir())) == 3
        db.undo()
    assert {path.name: path.stat().st_mtime_ns for path in folder.iterdir()} == before
