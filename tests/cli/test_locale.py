"""Names that are no ASCII in the C locale, in which Python would take them for bytes without a meaning."""

import os
import subprocess
import sys

from fastdiff_dask.testing import simulate_images


def run(tmp_path, *arguments, **more):
    environment = {**os.environ, "LC_ALL": "C", "PYTHONUTF8": "0", **more}
    command = [sys.executable, "-m", "fastdiff_dask", *arguments]
    return subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, encoding="utf-8")


def test_names_in_the_c_locale(tmp_path):
    simulate_images(tmp_path / "Größe", images=2, duplicates=1)
    (tmp_path / "Größe" / "picture_00001.jpg").rename(tmp_path / "Größe" / "Äpfel.jpg")
    for _ in range(2):
        done = run(tmp_path, "find", "Größe", "--store", "store", "--threads", "1")
        assert (done.returncode, "Traceback" in done.stderr) == (0, False)
    done = run(tmp_path, "apply", "store", "--trash", "--yes", XDG_DATA_HOME=str(tmp_path / "data"))
    assert (done.returncode, "Traceback" in done.stderr) == (0, False)
    assert len(list((tmp_path / "Größe").iterdir())) == 2
