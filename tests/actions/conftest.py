"""Pictures of these tests have eight pixels a side: thumbnails alone decide, but where a test asks for verdicts."""

import pytest

import fastdiff_dask as fd
from fastdiff_dask.cli.actions import apply


@pytest.fixture(autouse=True)
def _thumbnails_decide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(fd.FastDifPy.plan.__kwdefaults__, "include_similar", True)
    (option,) = [one for one in apply.params if one.name == "include"]
    monkeypatch.setattr(option, "default", "similar")
