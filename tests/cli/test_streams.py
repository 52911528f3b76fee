"""Output that cannot be written stops no work: it is done and recorded, and the exit code tells of it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from support.removals import picture, save

from fastdiff_dask.actions.journal import journals

FULL = Path("/dev/full")


def run(*arguments: object, **streams: object) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "fastdiff_dask", *map(str, arguments)]
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | streams
    return subprocess.run(command, text=True, check=False, env=os.environ | {"COLUMNS": "80"}, **streams)


@pytest.fixture
def found(tmp_path):
    """A store with twenty pairs of equal pictures."""
    for number in range(20):
        for name in ("a", "b"):
            save(tmp_path / "photos" / f"{number} {name}.png", picture(number))
    done = run("find", tmp_path / "photos", "--store", tmp_path / "store", "--threads", 1, "--quiet")
    assert done.returncode == 0, done.stderr
    return tmp_path


def apply(found: Path, **streams: object) -> subprocess.CompletedProcess:
    return run("apply", found / "store", "--trash", "--yes", "--yes-really", **streams)


@pytest.mark.skipif(not FULL.exists(), reason="this system has no full device")
@pytest.mark.parametrize("which", ["stdout", "stderr", "both"])
def test_a_full_log_stops_no_apply(found, which):
    with FULL.open("w") as full:
        done = apply(found, **{name: full for name in ("stdout", "stderr") if which in (name, "both")})
    assert done.returncode == 1 or which == "stderr"  # there, nothing may have been said
    assert "Traceback" not in (done.stderr or "")
    assert len(list((found / "photos").iterdir())) == 20
    assert len(journals()[0].actions) == 20
    if which == "stdout":
        assert done.stderr.splitlines()[-1].endswith("could not be written: No space left on device")


def test_a_closed_pipe_stops_no_apply(found):
    reading, writing = os.pipe()
    os.close(reading)
    done = apply(found, stdout=writing)
    os.close(writing)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].endswith("could not be written: Broken pipe")
    assert len(list((found / "photos").iterdir())) == 20
    assert len(journals()[0].actions) == 20


def test_an_error_that_cannot_be_told_is_an_exit_code(tmp_path):
    with (FULL if FULL.exists() else tmp_path / "log").open("w") as full:
        assert run("status", tmp_path / "nothing", stderr=full).returncode == 2
