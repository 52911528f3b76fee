"""The commands find, apply and undo are killed at random moments: they go on, and end as if nothing had happened."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

import pytest
from support.kill_commands import KINDS

TESTS = Path(__file__).parents[1]
SHM = Path("/dev/shm")


def kill_often(tmp_path: Path, kills: int, seed: int) -> Counter[str]:
    """Kill so many times; gives how often each command was killed."""
    elsewhere = Path(tempfile.mkdtemp(dir=SHM if os.access(SHM, os.W_OK) else tmp_path))
    base = tmp_path / "base"
    base.mkdir()
    command = [
        sys.executable,
        str(TESTS / "support" / "kill_commands.py"),
        str(base),
        str(elsewhere),
        str(kills),
        str(seed),
    ]
    environment = os.environ | {
        "XDG_DATA_HOME": str(base / "data"),
        "XDG_CACHE_HOME": str(base / "cache"),
        "PYTHONPATH": os.pathsep.join([str(TESTS.parent), str(TESTS)]),
        "OPENBLAS_NUM_THREADS": "1",
    }
    try:
        done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    finally:
        shutil.rmtree(elsewhere, ignore_errors=True)
    assert done.returncode == 0, done.stderr
    reports = [json.loads(line) for line in done.stdout.splitlines()]
    wrong = [report for report in reports if report["wrong"]]
    assert not wrong, f"{len(wrong)} of {len(reports)}: {json.dumps(wrong[:3], indent=1)}"
    killed = Counter(report["command"] for report in reports if report["killed"])
    assert killed.total() == kills
    return killed


@pytest.mark.timeout(400)
def test_killed_at_some_moments(tmp_path):
    # the last kinds are undo and apply, and find follows them
    assert set(kill_often(tmp_path, 7, len(KINDS) - 5)) == {"find", "apply", "undo"}


@pytest.mark.slow
@pytest.mark.timeout(7200)
def test_killed_at_many_moments(tmp_path):
    assert min(kill_often(tmp_path, 220, 0).values()) > 40
