"""Tries to lose a picture: random files, links, names and dates, random `find`, `apply` and `undo`, changes between."""

import pytest
from support.losing import try_to_lose
from support.mounted import overlay, with_mounts

MOUNTED = """
import sys
from pathlib import Path
from fastdiff_dask.runtime.connection import embedded_client
from support.losing import try_to_lose

client = embedded_client(2, "127.0.0.1:0")
try_to_lose(client, int(sys.argv[2]), int(sys.argv[3]), Path(sys.argv[1]))
client.close()
print("nothing is lost")
"""


@pytest.fixture(autouse=True)
def _thumbnails_decide():
    """Here the second look decides."""


@pytest.fixture(autouse=True, scope="module")
def _decoders_stay_for_actions(decoders_stay):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("fastdiff_dask.actions.apply.close_readers", lambda: None)
        yield


def mounted(tmp_path, kind, examples, number):
    """Try where the second folder shows the files of the first one, with other numbers if it is an overlay."""
    base = tmp_path / "base"
    for name in ("photos", "incoming", "lower"):
        (base / name).mkdir(parents=True)
    mount = f"--bind {base / 'photos'} {base / 'incoming'}"
    if kind == "overlay":
        mount = overlay(base / "incoming", base / "lower", base / "photos")
    assert "nothing is lost" in with_mounts([mount], MOUNTED, base, examples, number)


def test_no_picture_is_lost(client):
    try_to_lose(client, 12, 1)


@pytest.mark.parametrize("kind", ["bind", "overlay"])
def test_no_picture_is_lost_where_it_is_seen_twice(tmp_path, kind):
    mounted(tmp_path, kind, 3, 1)


@pytest.mark.slow
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("number", range(10))
def test_no_picture_is_lost_in_many_worlds(client, number):
    try_to_lose(client, 150, 100 + number)


@pytest.mark.slow
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("kind", ["bind", "overlay"])
def test_no_picture_is_lost_in_many_worlds_seen_twice(tmp_path, kind):
    mounted(tmp_path, kind, 150, 100)
