"""Looks at edited copies: boxes in pixels of the files, tiny pictures, and copies known by a third image."""

import numpy as np
import pytest
from PIL import Image
from support.edited_pairs import a_photo

import fastdiff_dask as fd
from fastdiff_dask.testing import make_edited_copy


def test_a_box_is_in_pixels_of_the_file(tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    picture = Image.fromarray(a_photo(3, 960, 720))
    picture.save(folder / "a.png")
    picture.crop((96, 36, 864, 612)).convert("L").save(folder / "b.png")
    (row,) = fd.find_duplicates(folder, edited=True, store=tmp_path / "store", verbose=False).edited.itertuples()
    assert (row.original, row.copy) == (str(folder / "a.png"), str(folder / "b.png"))
    assert row.part == "copy"
    assert np.abs(np.array([row.top, row.left, row.bottom, row.right]) - [36, 96, 612, 864]).max() <= 12
    assert row.words == "cropped to 64 %, grey"


@pytest.mark.parametrize("side", [32, 48])
def test_tiny_pictures(tmp_path, side):
    folder = tmp_path / "photos"
    folder.mkdir()
    for number in range(5):
        picture = Image.fromarray(a_photo(number))
        for kind in ("", "crop 10", "mirrored"):
            made = picture if not kind else make_edited_copy(picture, kind, number)
            made.convert("RGB").resize((side, side), Image.Resampling.LANCZOS).save(folder / f"{number}{kind}.png")
    found = fd.find_duplicates(folder, edited=True, store=tmp_path / "store", verbose=False).edited
    ends = [frame.str.removeprefix(f"{folder}/") for frame in (found["original"], found["copy"])]
    assert (ends[0].str[0] == ends[1].str[0]).all()
    assert len(found) >= 9  # of 10 with the originals


def test_copies_of_one_picture_are_pairs_by_a_third_one(tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    picture = Image.fromarray(a_photo(1))
    picture.save(folder / "0.png")
    for kind in ("border", "brighter", "grey", "mirrored", "sepia", "turned 3"):
        make_edited_copy(picture, kind, 1).save(folder / f"{kind}.jpg", quality=92)
    found = fd.find_duplicates(folder, edited=True, store=tmp_path / "store", verbose=False).edited
    by_third = found[found.via != ""]
    assert len(found) == 7 * 6 / 2
    assert 0 < len(by_third) < len(found)
    assert set(by_third.words) == {""}
    assert set(by_third.part) == {"both"}
    known = {frozenset(ends) for ends in found.loc[found.via == "", ["original", "copy"]].to_numpy().tolist()}
    for row in by_third.itertuples():
        assert {frozenset((row.original, row.via)), frozenset((row.copy, row.via))} <= known
        assert row.confidence < found.confidence.max()
