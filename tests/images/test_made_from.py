"""The direction between two files of the same picture."""

import io

import numpy as np
import pytest
from PIL import Image, ImageEnhance, ImageFilter

from fastdiff_dask.images.frames import LUMA, look_at
from fastdiff_dask.images.made_from import MADE_A, MADE_B, NOT_KNOWN, Plane, which_was_made

SCALING = Image.Resampling


@pytest.fixture(scope="module")
def scene() -> Image.Image:
    """Leaves of all sizes before each other, with a little grain: the detail of photos is like that."""
    rng = np.random.default_rng(0)
    width, height = 317, 214
    pixels = np.full((height, width, 3), 128.0)
    rows, columns = np.mgrid[:height, :width]
    for radius in np.sort(60 / rng.uniform(1, 30, 900))[::-1]:
        y, x = rng.uniform(0, height), rng.uniform(0, width)
        pixels[(rows - y) ** 2 + (columns - x) ** 2 < radius**2] = rng.uniform(50, 190, 3)
    pixels += rng.normal(0, 5, (height, width, 1))
    return Image.fromarray(pixels.astype(np.uint8))


def saved(image: Image.Image, kind: str = "JPEG", **options) -> bytes:
    content = io.BytesIO()
    image.save(content, kind, **options)
    return content.getvalue()


def opened(content: bytes) -> Image.Image:
    return Image.open(io.BytesIO(content)).convert("RGB")


def plane(content: bytes) -> Plane:
    record, found = look_at(content, None, LUMA)
    assert not record.error
    return Plane.unpacked(found)


def made(original: bytes, copy: bytes) -> str:
    one, other = plane(original), plane(copy)
    found = which_was_made(one, other)
    assert which_was_made(other, one) == {MADE_A: MADE_B, MADE_B: MADE_A, NOT_KNOWN: NOT_KNOWN}[found]
    return {MADE_A: "original", MADE_B: "copy", NOT_KNOWN: ""}[found]


def scaled(image: Image.Image, factor: float, by: SCALING) -> Image.Image:
    return image.resize((round(image.width * factor), round(image.height * factor)), by)


@pytest.mark.parametrize("factor", [1.25, 1.5, 2, 3])
@pytest.mark.parametrize("by", [SCALING.NEAREST, SCALING.BILINEAR, SCALING.BICUBIC, SCALING.LANCZOS])
def test_an_enlarged_picture_is_seen(scene, factor, by):
    original = saved(scene, quality=85)
    larger = scaled(opened(original), factor, by)
    assert made(original, saved(larger, quality=90)) == "copy"
    assert made(original, saved(larger, "PNG")) == "copy"


@pytest.mark.parametrize(("factor", "blur"), [(0.5, 0), (0.5, 1), (0.66, 0), (0.66, 1), (0.8, 0)])
@pytest.mark.parametrize("by", [SCALING.BILINEAR, SCALING.BICUBIC, SCALING.LANCZOS])
def test_the_larger_original_of_a_reduced_picture_is_not_called_enlarged(scene, factor, by, blur):
    original = saved(scene.filter(ImageFilter.GaussianBlur(blur)), quality=85)
    assert made(original, saved(scaled(opened(original), factor, by), quality=95)) == ""


@pytest.mark.parametrize(("first", "second"), [(75, 90), (80, 95), (90, 97), (95, 80), (90, 70)])
@pytest.mark.parametrize(
    "change",
    [
        lambda image: image,
        lambda image: image.convert("L"),
        lambda image: ImageEnhance.Brightness(image).enhance(1.1),
    ],
    ids=["recompressed", "grey", "brightened"],
)
def test_a_recompressed_picture_is_seen(scene, first, second, change):
    original = saved(scene, quality=first)
    assert made(original, saved(change(opened(original)), quality=second)) == "copy"


@pytest.mark.parametrize(("first", "second"), [(75, 90), (80, 95), (90, 97)])
def test_a_sharpened_picture_is_seen(scene, first, second):
    original = saved(scene, quality=first)
    assert made(original, saved(opened(original).filter(ImageFilter.SHARPEN), quality=second)) == "copy"


def test_of_nearly_equal_tables_nothing_is_said(scene):
    for first, second in ((85, 85), (85, 86), (86, 85), (90, 92)):
        original = saved(scene, quality=first)
        assert made(original, saved(opened(original), quality=second)) == ""


@pytest.mark.parametrize("quality", [70, 90, 95])
def test_lossless_and_other_formats(scene, quality):
    jpeg = saved(scene, quality=quality)
    assert made(jpeg, saved(opened(jpeg), "PNG")) == "copy"
    png = saved(scene, "PNG")
    assert made(png, saved(scene, quality=quality)) == "copy"
    webp = saved(scene, "WEBP", quality=quality)
    assert made(webp, saved(opened(webp), quality=80)) == "copy"


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize(("quarters", "mirrored"), [(0, False), (1, False), (2, True), (3, True)])
def test_blocks_are_found_in_any_position(scene, orientation, quarters, mirrored):
    """Sides are no multiples of 8, so that the blocks of a turned picture begin elsewhere."""
    exif = Image.Exif()
    exif[274] = orientation
    original = saved(scene, quality=88, exif=exif)
    upright = np.asarray(plane(original).turned(quarters, mirrored).luma)
    copy = plane(saved(Image.fromarray(upright), quality=88))
    assert which_was_made(plane(original).turned(quarters, mirrored), copy) in (MADE_B, NOT_KNOWN)
    finer = plane(saved(Image.fromarray(upright), quality=96))
    assert which_was_made(plane(original).turned(quarters, mirrored), finer) == MADE_B
    coarser = plane(saved(Image.fromarray(upright), quality=70))
    assert which_was_made(plane(original).turned(quarters, mirrored), coarser) == MADE_B


@pytest.mark.parametrize("size", [(47, 300), (300, 20), (1, 1)])
def test_small_pictures_have_no_plane(size):
    assert look_at(saved(Image.new("RGB", size)), None, LUMA)[1] == b""


def test_pictures_without_detail_and_of_other_shapes_say_nothing(scene):
    flat = saved(Image.new("RGB", (200, 100), "red"))
    assert made(flat, saved(Image.new("RGB", (400, 200), "red"), "PNG")) == ""
    assert made(flat, flat) == ""
    assert made(saved(scene), saved(scene.resize((90, 300)))) == ""
    animation = io.BytesIO()
    scene.save(animation, "GIF", save_all=True, append_images=[scene.rotate(90)])
    assert look_at(animation.getvalue(), None, LUMA)[1] == b""
    assert look_at(saved(Image.new("I;16", (200, 100)), "PNG"), None, LUMA)[1] == b""
