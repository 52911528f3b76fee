"""Copies pass the second look, different pictures of a kind do not; pictures of at most 600 pixels are drawn here."""

import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageDraw, ImageEnhance, ImageFont

from fastdiff_dask.images import second_look
from fastdiff_dask.images.resize import reduce_picture
from fastdiff_dask.images.second_look import Difference, difference, is_same_picture

Filter = Image.Resampling


def is_same(one: Image.Image, other: Image.Image) -> bool:
    """Look at two pictures at the size of the smaller one, both ways round."""
    size = min(one.size, other.size)
    share = min(1.0, 512 / max(size))
    size = round(size[0] * share), round(size[1] * share)
    a, b = (np.asarray(reduce_picture(picture, size)) for picture in (one, other))
    found = is_same_picture(difference(a, b))
    assert found == is_same_picture(difference(b, a))
    return found


def write(draw: ImageDraw.ImageDraw, at: tuple[int, int], text: str, size: int = 14, fill: object = 0) -> None:
    draw.text(at, text, font=ImageFont.load_default(size), fill=fill)


def words(rng: np.random.Generator, letters: int) -> str:
    return "".join(rng.choice(list("abcdefghijklmnopqrstuvwxyz    "), letters))


def sheet(size: tuple[int, int], level: object = 250) -> tuple[Image.Image, ImageDraw.ImageDraw]:
    picture = Image.new("RGB", size, (level,) * 3 if isinstance(level, int) else level)
    return picture, ImageDraw.Draw(picture)


# -- pictures of a kind, a number each -----------------------------------------------------------------------------


def smooth(number: int, cells: int = 8, size: tuple[int, int] = (600, 450)) -> np.ndarray:
    few = np.random.default_rng(number).integers(0, 256, (cells * 3 // 4, cells, 3), np.uint8)
    return np.asarray(Image.fromarray(few).resize(size, Filter.BICUBIC), np.float32)


def photo(number: int) -> Image.Image:
    """Details of several sizes, as a photo has them."""
    layers = [smooth(10 * number + k, cells) for k, cells in enumerate((4, 16, 64, 200))]
    return Image.fromarray(np.average(layers, 0, (4, 3, 2, 1)).astype(np.uint8))


def moved(number: int) -> Image.Image:
    """The photo with a patch of it that moves, softly cut out."""
    pixels, y, x = np.asarray(photo(0)).copy(), np.mgrid[-1:1:75j], np.mgrid[-1:1:100j]
    opacity = np.clip(1.6 * np.exp(-3 * (y[:, None] ** 2 + x**2)), 0, 1)[..., None]
    patch, top, left = pixels[40:115, 50:150].copy(), 200 + 25 * number, 150 + 40 * number
    pixels[top : top + 75, left : left + 100] = patch * opacity + pixels[top : top + 75, left : left + 100] * (
        1 - opacity
    )
    return Image.fromarray(pixels)


def chat(number: int) -> Image.Image:
    (picture, draw), rng = sheet((360, 600), (236, 229, 221)), np.random.default_rng(number)
    draw.rectangle([0, 0, 360, 60], fill=(7, 94, 84))
    for row in range(11):
        left, top = 100 if row % 2 else 14, 72 + 48 * row
        draw.rounded_rectangle([left, top, left + 246, top + 37], 8, fill=(220, 248, 198) if row % 2 else "white")
        write(draw, (left + 10, top + 10), words(rng, int(rng.integers(10, 28))))
    return picture


def form(number: int) -> Image.Image:
    """One digit differs."""
    picture, draw = sheet((420, 600), 255)
    for row in range(14):
        write(draw, (30, 30 + 40 * row), f"Field {row}:")
        draw.line([110, 48 + 40 * row, 380, 48 + 40 * row], fill=0)
        write(draw, (120, 30 + 40 * row), f"{7031 * row + 1210}{number if row == 8 else 5}")
    return picture


def text(number: int) -> Image.Image:
    (picture, draw), rng = sheet((420, 600), 255), np.random.default_rng(number)
    for top in range(30, 560, 18):
        write(draw, (30, top), words(rng, 60)[: int(rng.integers(40, 60))], 12, 20)
    return picture


def page(number: int) -> Image.Image:
    """A blank page with one mark."""
    picture, draw = sheet((420, 600), 252)
    x, y = np.random.default_rng(number).integers(30, 380, 2).tolist()
    draw.ellipse([x, y, x + 8, y + 8], fill=(60,) * 3)
    return picture


def receipt(number: int) -> Image.Image:
    (picture, draw), rng = sheet((260, 600), 245), np.random.default_rng(number)
    write(draw, (80, 14), "MARKET", 22)
    for top in range(60, 560, 20):
        write(draw, (16, top), words(rng, int(rng.integers(6, 14))))
        write(draw, (200, top), f"{rng.integers(1, 99)}.{rng.integers(10, 99)}")
    return picture


def night(number: int) -> Image.Image:
    return Image.fromarray((smooth(number) * 0.08).astype(np.uint8))


def gradient(number: int) -> Image.Image:
    return Image.fromarray(np.random.default_rng(number).integers(90, 170, (2, 2, 3), np.uint8)).resize((500, 400))


def colour(number: int) -> Image.Image:
    return sheet((400, 300), tuple(np.random.default_rng(number).integers(100, 130, 3).tolist()))[0]


def xray(number: int) -> Image.Image:
    rng, y, x = np.random.default_rng(number), np.mgrid[:400][:, None], np.mgrid[:400]
    pixels = 150 * np.exp(-(((x - 200) / 140) ** 4) - ((y - 200) / 165) ** 4)
    for _ in range(8):
        left, top, width = rng.normal(200, 70), rng.normal(200, 80), rng.uniform(8, 30)
        pixels += rng.uniform(-25, 25) * np.exp(-((x - left) ** 2 + (y - top) ** 2) / (2 * width**2))
    return Image.fromarray(np.clip(pixels + rng.normal(0, 3, pixels.shape), 0, 255).astype(np.uint8))


def icon(number: int) -> Image.Image:
    (picture, draw), rng = sheet((128, 128), 255), np.random.default_rng(number)
    for _ in range(4):
        draw.line(rng.integers(30, 98, 4).tolist(), fill=0, width=5)
    return picture


KINDS = [chat, form, text, page, receipt, night, gradient, colour, xray, icon, moved, photo]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_different_pictures_of_a_kind_are_not_the_same(kind):
    pictures = [kind(number) for number in range(4)]
    same = [(a, b) for b in range(4) for a in range(b) if is_same(pictures[a], pictures[b])]
    assert not same
    # nor if one was saved as JPEG and is smaller
    other = resized(saved(pictures[1], "JPEG", quality=85), 0.7)
    assert not is_same(pictures[0], other)


def test_gradients_of_few_levels_are_told_apart():
    corners = [
        [[[126, 127, 128], [122, 139, 124]], [[130, 125, 126], [140, 119, 131]]],
        [[[126, 126, 123], [126, 138, 121]], [[129, 126, 126], [137, 116, 124]]],
    ]
    one, other = (Image.fromarray(np.array(c, np.uint8)).resize((256, 256), Image.Resampling.BICUBIC) for c in corners)
    assert not is_same(one, other)
    assert is_same(one, resized(one, 0.5))


def test_a_clock_of_a_few_pixels_tells_screens_apart():
    screens = []
    for minute in (10, 11, 15, 18):
        screen = chat(5).convert("RGB")
        draw = ImageDraw.Draw(screen)
        draw.rectangle([0, 0, screen.width, 12], fill=(7, 94, 84))
        draw.text((8, 2), f"08:{minute}", font=ImageFont.load_default(7), fill=(255, 255, 255))
        screens.append(screen)
    assert [(a, b) for b in range(4) for a in range(b) if is_same(screens[a], screens[b])] == []


# -- copies --------------------------------------------------------------------------------------------------------


def saved(picture: Image.Image, form: str, **options: int) -> Image.Image:
    file = io.BytesIO()
    picture.convert("RGB").save(file, form, **options)
    return Image.open(file)


def resized(picture: Image.Image, share: float, by: Filter = Filter.LANCZOS) -> Image.Image:
    return picture.resize((round(picture.width * share), round(picture.height * share)), by)


COPIES = {
    "itself": lambda picture: picture.copy(),
    **{f"q{quality}": lambda picture, q=quality: saved(picture, "JPEG", quality=q) for quality in (20, 50, 90)},
    "webp": lambda picture: saved(picture, "WEBP", quality=60),
    **{f"x{share}": lambda picture, s=share: resized(picture, s) for share in (0.15, 0.25, 0.5, 0.75, 2)},
    "0.4 q60": lambda picture: saved(resized(picture, 0.4, Filter.BICUBIC), "JPEG", quality=60),
    **{
        f"0.5 {by.name}": lambda picture, by=by: resized(picture, 0.5, by)
        for by in (Filter.BOX, Filter.BILINEAR, Filter.NEAREST)
    },
    "brighter": lambda picture: ImageEnhance.Brightness(picture).enhance(1.05),
}


# Copies of what has strokes of a pixel, and little or no contrast beside them.
MILD = ["itself", "q50", "q90", "webp", "x0.5", "x0.75", "x2"]


@pytest.mark.parametrize("copy", COPIES)
@pytest.mark.parametrize("kind", [photo, night, xray], ids=lambda kind: kind.__name__)
def test_copies_are_the_same_picture(kind, copy):
    picture = kind(1)
    # at quality 20, the grain of a night is no more than what compression leaves of it
    assert is_same(picture, COPIES[copy](picture)) == ((kind, copy) != (night, "q20"))


@pytest.mark.parametrize("kind", [chat, form, text, page, receipt, gradient, icon], ids=lambda kind: kind.__name__)
def test_mild_copies_of_any_kind_are_the_same_picture(kind):
    picture = kind(1)
    assert [copy for copy in MILD if not is_same(picture, COPIES[copy](picture))] == []


def test_of_a_plain_colour_only_equal_pixels_are_the_same_picture():
    picture = colour(1)
    lossless = ["itself", "x0.5", "x0.75", "x2"]
    assert [copy for copy in MILD if not is_same(picture, COPIES[copy](picture))] == ["q50", "q90", "webp"]
    assert [copy for copy in lossless if not is_same(picture, COPIES[copy](picture))] == []


@pytest.mark.parametrize("kind", [chat, form, text, receipt], ids=lambda kind: kind.__name__)
def test_text_that_is_brighter_is_the_same_picture(kind):
    assert is_same(kind(1), COPIES["brighter"](kind(1)))


@pytest.mark.parametrize("kind", [colour, page, gradient], ids=lambda kind: kind.__name__)
def test_brightness_tells_pictures_of_little_contrast_apart(kind):
    assert not is_same(kind(1), COPIES["brighter"](kind(1)))


# -- the numbers ---------------------------------------------------------------------------------------------------


@given(st.integers(1, 11), st.integers(0, 14), st.integers(0, 14), st.integers(0, 10**6))
def test_sums_by_doubling_equal_a_sliding_window(side, more_rows, more_columns, seed):
    values = np.random.default_rng(seed).integers(0, 256, (side + more_rows, side + more_columns)).astype(np.float32)
    expected = [
        [values[top : top + side, left : left + side].sum() for left in range(more_columns + 1)]
        for top in range(more_rows + 1)
    ]
    np.testing.assert_array_equal(second_look._sums(values, side), expected)


@pytest.mark.parametrize("shape", [(1, 1), (1, 2), (2, 1), (3, 3), (1, 40), (7, 5), (2, 301), (33, 64)])
def test_pictures_of_any_size_are_compared(shape, rng):
    one = rng.integers(0, 256, (*shape, 3), np.uint8)
    nothing = difference(one, one)
    assert nothing[:9] == (0,) * 9
    assert is_same_picture(nothing)
    assert not is_same_picture(difference(one, 255 - one))


def test_arrays_that_may_not_be_written_are_compared(rng):
    one, other = rng.integers(0, 256, (2, 20, 30, 3), np.uint8)
    expected = difference(one, other)
    one.flags.writeable = other.flags.writeable = False
    assert difference(one, other) == expected


@pytest.mark.parametrize(
    ("name", "limit"),
    [
        *(("block", 13.0), ("outlier", 5.5), ("colour", 16.0), ("colour_outlier", 7.5), ("patch", 6.0)),
        *(("drift", 1.55), ("share", 0.2), ("brightness", 4.0)),
    ],
)
def test_each_limit_decides_alone(name, limit):
    at = Difference(1, 1, 1, 1, patch=1, drift=1, share=0.01, noise=3, brightness=0, contrast=10, texture=5)
    assert is_same_picture(at._replace(**{name: limit}))
    assert not is_same_picture(at._replace(**{name: limit * 1.001}))
    assert is_same_picture(at._replace(share=5, noise=1.0))  # noise below a level is no picture
    assert not is_same_picture(at._replace(patch=4.6, outlier=4.5))  # both are much for a copy
