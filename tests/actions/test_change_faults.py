"""Kills and errors at the calls that change the disk, of each action and of its undo: the tree comes back as it was."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

DRIVER = Path(__file__).parents[1] / "support" / "change_faults.py"
OTHER_DISK = Path("/dev/shm")
CASES = [(action, "apply") for action in ("move", "copy", "trash", "delete", "hardlink", "symlink")]
CASES += [(action, "undo") for action in ("move", "copy", "trash", "hardlink", "symlink")]


def see_faults(tmp_path: Path, action: str, where: str, fault: str, every: int) -> None:
    elsewhere = tmp_path / "elsewhere"
    if OTHER_DISK.is_dir() and OTHER_DISK.stat().st_dev != tmp_path.stat().st_dev:
        elsewhere = OTHER_DISK / f"fastdiff-faults-{os.getpid()}-{action}-{where}"
    if sys.platform != "linux":
        pytest.skip("the driver counts calls of Linux")
    base = tmp_path / "base"
    base.mkdir()
    command = [sys.executable, str(DRIVER), str(base), str(elsewhere), action, where, fault, str(every)]
    environment = os.environ | {"XDG_DATA_HOME": str(base / "data"), "PYTHONPATH": str(DRIVER.parents[2])}
    try:
        done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    finally:
        shutil.rmtree(elsewhere, ignore_errors=True)
    assert done.returncode == 0, done.stderr
    ends = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(ends) > 2
    wrong = [end for end in ends if not is_right(end, action)]
    assert not wrong, f"{len(wrong)} of {len(ends)}: {json.dumps(wrong[:3], indent=1)}"


def is_right(end: dict, action: str) -> bool:
    """Tell whether everything is back; of what was deleted, whether nothing else has gone."""
    if action != "delete":
        return not end["differs"]
    return all(before and not after and "kept" not in name for name, (before, after) in end["differs"].items())


@pytest.mark.parametrize(("action", "where"), CASES)
@pytest.mark.parametrize(("fault", "every"), [("kill after", 9), ("ENOSPC", 8)])
def test_the_tree_comes_back(tmp_path, action, where, fault, every):
    see_faults(tmp_path, action, where, fault, every)


@pytest.mark.slow
@pytest.mark.parametrize(("action", "where"), CASES)
@pytest.mark.parametrize("fault", ["kill", "kill after", "ENOSPC", "EIO"])
def test_the_tree_comes_back_from_every_moment(tmp_path, action, where, fault):
    see_faults(tmp_path, action, where, fault, 1)
