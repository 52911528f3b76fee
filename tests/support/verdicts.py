"""Plans of pictures of some eight pixels a side, in which thumbnails alone decide."""

import pytest

import fastdiff_dask as fd
from fastdiff_dask.cli.actions import apply

__all__ = ["let_thumbnails_decide"]


def let_thumbnails_decide(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let plans and the command apply include similar images by default."""
    monkeypatch.setitem(fd.FastDifPy.plan.__kwdefaults__, "include_similar", True)
    (option,) = [one for one in apply.params if one.name == "include"]
    monkeypatch.setattr(option, "default", "similar")
