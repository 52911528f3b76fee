import numpy as np
import pytest

from fastdiff_dask.edits.blocks import compare_blocks
from fastdiff_dask.edits.description import WORDS, describe, inverse_matrix
from tests.support.edited_pairs import a_photo, edited


def told(picture, kind, *, swapped=False, seed=0):
    copy, matrix = edited(picture, kind, seed)
    if swapped:
        picture, copy, matrix = copy, picture, inverse_matrix(matrix)
    return describe(picture, copy, matrix, compare_blocks(picture, copy, matrix))


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("recompressed", ()),
        ("half size", ()),
        ("enlarged", ()),
        ("mirrored", ("mirrored",)),
        ("rotated", ("turned by 90°",)),
        ("brighter", ("brighter",)),
        ("darker", ("darker",)),
        ("contrast", ("more contrast",)),
        ("gamma", ("brighter",)),
        ("grey", ("grey",)),
        ("sepia", ("sepia",)),
        ("hue", ("other colours",)),
        ("saturated", ("other colours",)),
        ("blurred", ("blurred",)),
        ("noisy", ("noise",)),
        ("border", ("white border",)),
        ("letterbox", ("black bars",)),
        ("crop 10", ("cropped to 81 %",)),
        ("crop 20", ("cropped to 64 %",)),
        ("turned 3", ("cropped to 88 %", "turned by 3°")),
        ("watermark", ("watermark",)),
        ("caption", ("caption or sticker",)),
    ],
)
def test_words_of_each_kind(kind, words):
    assert told(a_photo(1), kind).words == words


@pytest.mark.parametrize(
    "kind", ["grey", "sepia", "noisy", "blurred", "border", "letterbox", "crop 10", "turned 3", "watermark", "caption"]
)
def test_the_copy_is_found_on_either_side(kind):
    first, second = told(a_photo(2), kind), told(a_photo(2), kind, swapped=True)
    assert (first.copy, second.copy) == ("b", "a")
    assert first.words == second.words
    assert first.mirrored == second.mirrored
    assert first.angle == pytest.approx(second.angle, abs=0.2)


def test_the_part_is_the_picture_that_lacks_something():
    assert told(a_photo(3), "crop 20").part == "b"
    assert told(a_photo(3), "crop 20", swapped=True).part == "a"
    assert told(a_photo(3), "border").part == ""


def test_two_crops_of_one_picture_lack_something_both():
    picture = a_photo(5)
    a, b = picture[:, :400], picture[:, 80:]
    matrix = np.array([[1.0, 0, 0], [0, 1, 0.2]])
    said = describe(a, b, matrix, compare_blocks(a, b, matrix))
    assert (said.part, said.words) == ("both", ("cropped to 80 %",))


def test_the_box_is_in_pixels_of_the_original():
    picture = a_photo(6)
    crop = picture[30:300, 60:420]
    matrix = np.array([[270 / 360, 0, 30 / 360], [0, 360 / 480, 60 / 480]])
    assert describe(picture, crop, matrix, compare_blocks(picture, crop, matrix)).box == (30, 60, 300, 420)
    swapped = describe(crop, picture, inverse_matrix(matrix), compare_blocks(crop, picture, inverse_matrix(matrix)))
    assert swapped.box == (30, 60, 300, 420)


@pytest.mark.parametrize("turns", [1, 2, 3])
@pytest.mark.parametrize("mirrored", [False, True])
def test_turns_are_those_of_numpy_after_mirroring(turns, mirrored):
    picture = a_photo(7)
    y, x = np.meshgrid((np.arange(360) + 0.5) / 360, (np.arange(480) + 0.5) / 480, indexing="ij")
    copy, y, x = (np.rot90(layer[:, ::-1] if mirrored else layer, turns) for layer in (picture, y, x))
    rows = np.stack(np.meshgrid(*((np.arange(n) + 0.5) / n for n in y.shape), [1.0], indexing="ij"), -1).reshape(-1, 3)
    matrix = np.stack([np.linalg.lstsq(rows, layer.ravel(), rcond=None)[0] for layer in (y, x)])
    said = describe(picture, copy, matrix, compare_blocks(picture, copy, matrix))
    assert said.mirrored == mirrored
    assert said.angle % 360 == pytest.approx(90 * turns, abs=0.1)
    assert said.words == (f"turned by {90 * turns}°", *(["mirrored"] if mirrored else []))


def test_stretched_copies_are_said_to_be():
    picture = a_photo(8)
    copy = np.repeat(picture, 2, 1)
    matrix = np.array([[1.0, 0, 0], [0, 1, 0]])
    assert "stretched" in describe(picture, copy, matrix, compare_blocks(picture, copy, matrix)).words


def test_words_come_once():
    assert len(set(WORDS)) == len(WORDS)
