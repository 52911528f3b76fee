"""Nothing is lost by SIGKILL at any moment, and only what was in flight is done again."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from support.kill_driver import BLOCK_SIZE

from fastdiff_dask.testing import simulate_images

IMAGES = 50

SUPPORT = Path(__file__).parents[1] / "support"


@pytest.mark.timeout(400)
@pytest.mark.parametrize("moments", [10, pytest.param(24, marks=pytest.mark.slow)])
def test_killed_at_many_moments_of_all_stages(tmp_path, moments):
    simulate_images(tmp_path / "photos", images=40, duplicates=9, size=(80, 60))
    (tmp_path / "photos" / "bad.jpg").write_text("no picture")
    driver = SUPPORT / "kill_driver.py"
    command = [sys.executable, str(driver), str(tmp_path / "photos"), str(tmp_path), str(moments)]
    # the pool of BLAS is started in each child, and ended at once by the job
    environment = os.environ | {"OPENBLAS_NUM_THREADS": "1"}
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, env=environment)
    reports = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(reports) == moments
    assert len({report["moment"] for report in reports}) == moments
    all_tiles = reports[0]["stats"]["tiles"]
    for report in reports:
        assert report["killed by"] == signal.SIGKILL, report
        assert report["resumed"] == 0, report
        assert report["bytes equal"], report
        assert not report["redone"], report
        assert not report["looked twice"], report
        stats = report["stats"]
        rows_done = sum(min(BLOCK_SIZE, IMAGES - block * BLOCK_SIZE) for block in report["blocks"])
        assert stats["images_read"] == IMAGES - rows_done, report
        assert stats["tiles_resumed"] == report["tiles"], report
    # the moments were spread over all stages
    assert not reports[0]["blocks"]
    assert any(0 < len(report["blocks"]) < 7 for report in reports)
    assert any(0 < report["tiles"] < all_tiles for report in reports)
    assert reports[-1]["tiles"] == all_tiles
    assert any(0 < report["looked"] < max(one["looked"] for one in reports) for report in reports)
