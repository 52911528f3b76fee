"""Texts of the live page."""

import pytest

from fastdiff_dask.config import ThumbnailSettings
from fastdiff_dask.dashboard.monitor import Monitor
from fastdiff_dask.dashboard.page_texts import header_text
from fastdiff_dask.runtime.activity import stage
from fastdiff_dask.storage.store import Store


@pytest.mark.parametrize("name", ["contents", "views", "align", "edited"])
def test_the_page_tells_that_edited_copies_are_looked_for(tmp_path, name):
    store = Store.open_or_create(str(tmp_path / "store"), {"a": ["/x"], "b": []}, ThumbnailSettings())
    with Store.lock(store.url), stage(store.files, name):
        text = header_text(store.url, Monitor(store.url).snapshot(0))
    assert "edited copies" in text
    assert "Running: listing folders" not in text
