"""The store of a project while it is written: held once, whoever asks, and saved at the end of a stage."""

import pytest

from fastdiff_dask.config import ThumbnailSettings
from fastdiff_dask.errors import FastDiffError, StoreLockedError, UsageError
from fastdiff_dask.project.session import StoreSession
from fastdiff_dask.storage.store import Store


def make(kept: StoreSession) -> None:
    Store.open_or_create(kept.url, {"a": ["/photos"], "b": []}, ThumbnailSettings())


def test_held_once_until_the_outermost_lets_go(tmp_path):
    url = str(tmp_path / "store")
    kept, other = StoreSession(url, False, 30.0), StoreSession(url, False, 30.0)
    with kept.writing():
        with kept.writing(), kept.stage(None, first=True):
            pass
        with pytest.raises(StoreLockedError), other.writing():
            pass
    with other.writing():
        pass


def test_only_the_first_stage_makes_a_store(tmp_path):
    kept = StoreSession(str(tmp_path / "store"), False, 30.0)
    with pytest.raises(UsageError, match="no store at"), kept.stage(None, first=False):
        pass
    assert not (tmp_path / "store").exists()


def test_in_memory_it_is_saved_whatever_happens_and_errors_name_its_place(tmp_path):
    kept = StoreSession(str(tmp_path / "store"), True, 30.0)
    assert kept.url.startswith("memory:")
    assert kept.newest_url == kept.saved_url

    def stage() -> None:
        with kept.stage(None, first=True):
            assert kept.newest_url == kept.url
            make(kept)
            assert not Store.exists(kept.saved_url)
            raise FastDiffError(f"{kept.url} is full")

    with pytest.raises(FastDiffError, match=f"^{tmp_path}/store is full$"):
        stage()
    assert Store.exists(kept.saved_url)
    again = StoreSession(kept.saved_url, True, 30.0)
    assert again.url == kept.url
    with again.writing():
        assert Store(again.url).thumbnail_settings == ThumbnailSettings()


def test_steps_of_a_bar_save_it_when_that_is_due(tmp_path):
    kept = StoreSession(str(tmp_path / "store"), True, 1e-9)
    with kept.writing(), kept.bar("index", None, "images", False) as step:
        make(kept)
        step(1)
        assert Store.exists(kept.saved_url)
