"""Folders seen through mounts of their own: overlays and bind mounts, for the superuser on Linux."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def with_mounts(mounts: list[str], program: str, *arguments: object) -> str:
    """Run a Python program where some mounts are; gives what it printed. Skips where this cannot be done."""
    if sys.platform != "linux" or os.geteuid() != 0 or shutil.which("unshare") is None:
        pytest.skip("only the superuser of Linux can mount")
    script = " && ".join(f"mount {mount} || exit 77" for mount in mounts) + ' && exec "$@"'
    command = ["unshare", "-m", "bash", "-c", script, "bash", sys.executable, "-c", program, *map(str, arguments)]
    path = os.pathsep.join([str(ROOT), str(ROOT / "tests")])
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | {"PYTHONPATH": path}, check=False)
    if done.returncode in (1, 77) and "Operation not permitted" in done.stderr:
        pytest.skip("mounts are not permitted here")
    assert done.returncode == 0, done.stderr
    return done.stdout


def overlay(folder: Path, lower: Path, upper: Path) -> str:
    """Overlay of two folders, for `mount`."""
    work = folder.with_name(f"{folder.name}-work")
    for one in (folder, lower, upper, work):
        one.mkdir(parents=True, exist_ok=True)
    return f"-t overlay overlay -o lowerdir={lower},upperdir={upper},workdir={work} {folder}"
