"""Verdicts at random, and plans of pictures of some eight pixels a side, in which thumbnails alone decide."""

import numpy as np
import pandas as pd
import pytest
from support.groups import Expanded, rows_in

import fastdiff_dask as fd
from fastdiff_dask.cli.actions import apply
from fastdiff_dask.results.verdicts import PairVerdicts
from fastdiff_dask.storage.derived.verdicts import SAME_PICTURE, SAME_PIXELS, SIMILAR, Verdicts

__all__ = ["drawn_verdicts", "let_most_go", "let_thumbnails_decide"]


def let_most_go(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let Python carry out plans that take more than half of the few pictures of a test."""
    monkeypatch.setitem(fd.FastDifPy.apply.__kwdefaults__, "yes_really", True)


def let_thumbnails_decide(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let plans and the command apply include similar images by default."""
    monkeypatch.setitem(fd.FastDifPy.plan.__kwdefaults__, "include_similar", True)
    (option,) = [one for one in apply.params if one.name == "include"]
    monkeypatch.setattr(option, "default", ("similar",))


def drawn_verdicts(case: Expanded, seed: int) -> PairVerdicts:
    """Verdicts of some pairs; equal numbers of contents for some images."""
    rng, images = np.random.default_rng(seed), rows_in(case)
    every = sorted({tuple(sorted(pair)) for pair in case.pairs})
    known = [(*pair, int(rng.choice([SAME_PIXELS, SAME_PICTURE, SIMILAR, SIMILAR])), 1.0, 512) for pair in every]
    known = [row for row in known if rng.random() < 0.8]
    return PairVerdicts(
        Verdicts(pd.DataFrame(known, columns=["a", "b", "verdict", "block", "size"]).assign(made=0)),
        np.arange(images),
        np.where(rng.random(images) < 0.8, np.arange(images), 0),
    )
