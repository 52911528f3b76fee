import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from fastdiff_dask.edits.blocks import compare_blocks
from fastdiff_dask.edits.description import inverse_matrix
from fastdiff_dask.testing import KINDS
from tests.support.edited_pairs import UNCHANGED, a_photo, as_jpeg, edited

# The caption of the screenshot kind is placed by rules of its own; tests of real photos have it.
PLACED = [kind for kind in KINDS if kind != "screenshot"]


@pytest.mark.parametrize("kind", PLACED)
@pytest.mark.parametrize("swapped", [False, True])
def test_copies_of_every_kind_are_edited_copies(kind, swapped):
    for seed in range(2):
        picture = a_photo(seed)
        copy, matrix = edited(picture, kind, seed)
        found = (
            compare_blocks(copy, picture, inverse_matrix(matrix)) if swapped else compare_blocks(picture, copy, matrix)
        )
        assert found.edited
        assert found.confidence > 0.5


def test_other_pictures_are_not():
    for seed in range(5):
        found = compare_blocks(a_photo(seed), a_photo(seed + 50), UNCHANGED)
        assert not found.edited
        assert found.confidence < 0.3


@pytest.mark.parametrize("kind", ["brighter", "noisy", "grey", "caption"])
def test_a_wrong_place_is_none(kind):
    copy, _ = edited(a_photo(1), kind)
    assert not compare_blocks(a_photo(1), copy, np.array([[1.0, 0, 0.03], [0, 1, 0.03]])).edited


def lines(draw, rng, left, letters=26):
    for row in range(14):
        text = "".join(rng.choice(list("abcdefghijklmnop   "), int(rng.integers(8, letters))))
        draw.text((left, 20 + 24 * row), text, fill=(20, 20, 20), font=ImageFont.load_default(16))


def form(seed):
    image = Image.new("RGB", (480, 360), (255, 255, 255))
    draw = ImageDraw.Draw(image)
    for row in range(14):
        draw.text((20, 20 + 24 * row), f"Question {row}:", fill=(0, 0, 0), font=ImageFont.load_default(16))
        draw.line((120, 38 + 24 * row, 460, 38 + 24 * row), fill=(0, 0, 0))
    lines(draw, np.random.default_rng(seed), 130)
    return np.asarray(image)


def slide(seed):
    image = Image.fromarray((a_photo(3) // 3).astype(np.uint8))
    draw = ImageDraw.Draw(image)
    rng = np.random.default_rng(seed)
    for row in range(6):
        text = "".join(rng.choice(list("abcdefghijklmnop   "), 24))
        draw.text((30, 30 + 50 * row), text, fill=(255, 255, 255), font=ImageFont.load_default(28))
    return np.asarray(image)


def gradient(seed):
    corners = np.random.default_rng(seed).integers(90, 170, (2, 2, 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(corners).resize((480, 360), Image.Resampling.BICUBIC))


def screen_at(seed):
    image = Image.fromarray(form(0))
    ImageDraw.Draw(image).rectangle((430, 2, 478, 18), fill=(255, 255, 255))
    ImageDraw.Draw(image).text((430, 2), f"12:{10 + seed}", fill=(0, 0, 0), font=ImageFont.load_default(12))
    return np.asarray(image)


@pytest.mark.parametrize("template", [form, slide, gradient, screen_at])
@pytest.mark.parametrize("kind", [None, "brighter", "noisy", "blurred", "grey", "caption", "watermark", "crop 10"])
def test_another_filling_of_a_template_is_no_copy(template, kind):
    for seed in range(4):
        other = as_jpeg(template(seed + 20))
        copy, matrix = edited(other, kind, seed) if kind else (other, UNCHANGED)
        assert not compare_blocks(as_jpeg(template(seed)), copy, matrix).edited


def test_the_next_shot_with_something_moved_is_no_copy():
    for seed in range(4):
        first, thing = a_photo(seed), a_photo(seed + 90)[:90, :70]
        second = first.copy()
        first, second = first.copy(), second
        first[120:210, 100:170] = thing
        second[140:230, 260:330] = thing
        assert not compare_blocks(as_jpeg(first), as_jpeg(second), UNCHANGED).edited


@pytest.mark.parametrize(("kind", "overlay"), [("caption", "caption"), ("watermark", "watermark"), ("sepia", "")])
def test_what_is_laid_over_is_named_with_its_side(kind, overlay):
    picture = a_photo(4)
    copy, matrix = edited(picture, kind)
    found = compare_blocks(picture, copy, matrix)
    assert (found.overlay, found.overlaid) == (overlay, "b" if overlay else "")
    found = compare_blocks(copy, picture, matrix)
    assert (found.overlay, found.overlaid) == (overlay, "a" if overlay else "")


@pytest.mark.parametrize(
    "matrix",
    [
        [[1, 0, 2.0], [0, 1, 0]],
        [[1e-6, 0, 0.5], [0, 1e-6, 0.5]],
        [[100, 0, 0], [0, 100.0, 0]],
        [[0, 0, 0], [0, 0, 0.0]],
    ],
)
def test_a_matrix_that_leaves_nothing_shared_is_no_copy(matrix):
    found = compare_blocks(a_photo(0), a_photo(0), np.array(matrix, float))
    assert not found.edited
    assert found.confidence == 0


def test_plain_colours_are_no_copies():
    plain = np.full((300, 400, 3), 90, np.uint8)
    assert not compare_blocks(plain, plain + np.uint8(20), UNCHANGED).edited


@pytest.mark.parametrize("kind", ["crop 10", "watermark", "blurred", "turned 3"])
def test_a_matrix_that_is_off_by_a_pixel_or_two_is_mended(kind):
    picture = a_photo(2)
    copy, exact = edited(picture, kind)
    found = compare_blocks(picture, copy, exact + np.array([[0.003, -0.002, 0.001], [0.002, -0.003, 0.002]]))
    assert found.edited
    assert np.abs(found.matrix - exact).max() < 0.003


def test_a_turned_hue_is_no_other_content():
    picture = a_photo(6) // 2 + np.array([90, 10, 0], np.uint8)
    copy, matrix = edited(picture, "hue")
    assert compare_blocks(picture, copy, matrix).edited
