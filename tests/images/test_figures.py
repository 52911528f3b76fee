"""Figures of a picture are those of their formulas, for every mode."""

import math

import numpy as np
import pytest
from PIL import Image, ImageFilter

from fastdiff_dask.images.decode import read_image
from fastdiff_dask.images.figures import UNKNOWN, blur_of, figures_of, figures_of_thumbnails


def random():
    """The same numbers in each test, in whatever order they run."""
    return np.random.default_rng(5)


def percentile(values, share):
    """The lowest level that at least so large a share of the pixels does not exceed."""
    ordered = np.sort(values, axis=None)
    return int(ordered[math.ceil(share * ordered.size) - 1])


def plain_figures(thumbnail):
    """The formulas as the docstring states them."""
    red, green, blue = (thumbnail[..., k].astype(float) for k in range(3))
    luma = 0.299 * red + 0.587 * green + 0.114 * blue
    cb = 128 - 0.168736 * red - 0.331264 * green + 0.5 * blue
    cr = 128 + 0.5 * red - 0.418688 * green - 0.081312 * blue
    off = np.concatenate([abs(cb - 128), abs(cr - 128)])
    return {
        "brightness": luma.mean() / 255,
        "shadows": percentile(luma, 0.05) / 255,
        "highlights": percentile(luma, 0.99) / 255,
        "contrast": (percentile(luma, 0.99) - percentile(luma, 0.01)) / 255,
        "value_range": max(np.ptp(channel) for channel in (luma, cb, cr)) / 255,
        "colour": min(percentile(off, 0.99) / 127, 1),
    }


def plain_blur(values):
    """The formula over all lines of a picture that is not to be reduced."""
    found = []
    for lines in (values.astype(float), values.T.astype(float)):
        above = below = 0.0
        for line in lines:
            for i in range(3, len(line) - 4):
                step, far = abs(line[i + 1] - line[i]), abs(line[i + 4] - line[i - 3]) / 7
                above += step * min(step, far)
                below += step * step
        found.append(above / below if below else 0.0)
    return max(found)


THUMBNAILS = {
    "noise": random().integers(0, 256, (64, 64, 3), np.uint8),
    "dark": random().integers(0, 30, (64, 64, 3), np.uint8),
    "a bright corner": np.pad(np.full((8, 8, 3), 255, np.uint8), ((0, 56), (0, 56), (0, 0))),
    "small": random().integers(0, 256, (3, 5, 3), np.uint8),
    "a pixel": np.array([[[200, 3, 90]]], np.uint8),
    "pure colours": np.eye(3, dtype=np.uint8)[random().integers(0, 3, (32, 32))] * np.uint8(255),
}


@pytest.mark.parametrize("name", THUMBNAILS)
def test_figures_of_a_thumbnail_are_those_of_the_formulas(name):
    (found,) = figures_of_thumbnails(THUMBNAILS[name][None])
    for figure, wanted in plain_figures(THUMBNAILS[name]).items():
        # values of JPEG are whole numbers
        assert getattr(found, figure) == pytest.approx(wanted, abs=1.1 / 127), figure
    assert math.isnan(found.blur)


def test_blur_is_that_of_the_formula():
    values = random().integers(0, 256, (16, 16), np.uint8)
    for picture in (Image.fromarray(values), Image.fromarray(values).filter(ImageFilter.GaussianBlur(2))):
        assert blur_of(picture) == pytest.approx(plain_blur(np.asarray(picture)))


def test_blur_grows_with_the_radius_and_depends_neither_on_contrast_nor_on_size():
    sharp = Image.fromarray(random().integers(0, 2, (32, 40, 3), np.uint8) * np.uint8(255)).resize((320, 256), 0)
    found = [blur_of(sharp.filter(ImageFilter.GaussianBlur(radius))) for radius in (0, 1, 2, 4)]
    assert found == sorted(found)
    assert found[0] < 0.25
    assert found[2] > 0.5
    blurred = sharp.filter(ImageFilter.GaussianBlur(4))
    assert blur_of(blurred.point(lambda value: 100 + value // 2)) == pytest.approx(found[3], abs=0.1)
    assert blur_of(blurred.resize((1920, 1536), Image.Resampling.BICUBIC)) == pytest.approx(found[3], abs=0.05)


def test_motion_blur_in_one_direction_counts():
    values = np.kron(random().integers(0, 256, (16, 16)), np.ones((16, 16)))
    moved = np.mean([np.roll(values, shift, axis=1) for shift in range(12)], axis=0).astype(np.uint8)
    assert blur_of(Image.fromarray(values.astype(np.uint8))) < 0.2
    assert blur_of(Image.fromarray(moved)) > 0.5


@pytest.mark.parametrize("size", [(1, 1), (7, 7), (1, 4000), (300, 8)])
def test_blur_of_odd_sizes_and_of_one_colour(size):
    assert blur_of(Image.new("RGB", size, (9, 200, 30))) == 0


def saved(folder, image, name, **options):
    image.save(folder / name, **options)
    return read_image(str(folder / name), 64, 64)


def modes():
    """The same picture in many modes and formats."""
    colours = Image.fromarray(random().integers(0, 256, (30, 40, 3), np.uint8)).resize((320, 240), 0)
    grey = colours.convert("L")
    deep = Image.fromarray(np.asarray(grey).astype(np.uint16) * 257)
    alpha = colours.convert("RGBA")
    return {
        "rgb.png": (colours, {}),
        "grey.png": (grey, {}),
        "deep.png": (deep, {}),
        "alpha.png": (alpha, {}),
        "both.png": (alpha.convert("LA"), {}),
        "bits.png": (grey.convert("1"), {}),
        "palette.gif": (colours.quantize(64), {}),
        "moving.gif": (colours.quantize(64), {"save_all": True, "append_images": [Image.new("P", (320, 240))]}),
        "ink.jpg": (colours.convert("CMYK"), {"quality": 95}),
        "float.tif": (Image.fromarray(np.asarray(grey).astype(np.float32)), {}),
    }


@pytest.mark.parametrize("name", modes())
def test_each_mode_is_measured_as_it_is_shown(tmp_path, name):
    image, options = modes()[name]
    record, thumbnail = saved(tmp_path, image, name, **options)
    (wanted,) = figures_of_thumbnails(thumbnail[None])
    assert (record.error, record.warnings) == ("", "")
    assert tuple(record)[-7:-1] == wanted[:-1]
    assert 0 < record.blur < 0.5
    assert (record.colour < 0.02) == (name.partition(".")[0] in ("grey", "deep", "both", "bits", "float"))


def test_a_reduced_jpeg_has_the_figures_of_the_whole_one(tmp_path):
    noise = Image.fromarray(random().integers(0, 256, (75, 100, 3), np.uint8)).resize((2000, 1500))
    noise.filter(ImageFilter.GaussianBlur(25)).save(tmp_path / "a.jpg", quality=95)
    (fast, _), (exact, _) = (read_image(str(tmp_path / "a.jpg"), 64, 64, exact_decode=exact) for exact in (False, True))
    assert tuple(fast)[-7:] == pytest.approx(tuple(exact)[-7:], abs=0.08)
    assert exact.blur > 0.5


def test_blur_is_not_known_of_a_picture_that_was_decoded_too_small(tmp_path):
    Image.fromarray(random().integers(0, 256, (1500, 2000, 3), np.uint8)).save(tmp_path / "a.jpg")
    assert math.isnan(read_image(str(tmp_path / "a.jpg"), 8, 8)[0].blur)
    assert not math.isnan(read_image(str(tmp_path / "a.jpg"), 64, 64)[0].blur)


def test_a_file_that_cannot_be_read_has_no_figures(tmp_path):
    (tmp_path / "a.jpg").write_text("no picture")
    record, _ = read_image(str(tmp_path / "a.jpg"), 64, 64)
    assert all(math.isnan(value) for value in tuple(record)[-7:])


def test_a_picture_that_cannot_be_measured_is_read_all_the_same(tmp_path, monkeypatch):
    monkeypatch.setattr("fastdiff_dask.images.decode.figures_of", lambda *_: 1 / 0)
    record, thumbnail = saved(tmp_path, Image.new("RGB", (20, 20)), "a.png")
    assert thumbnail is not None
    assert "cannot be measured" in record.warnings
    assert math.isnan(record.blur)


def test_figures_of_an_unmeasured_thumbnail_are_unknown():
    assert all(math.isnan(value) for value in UNKNOWN)
    assert figures_of(Image.new("RGB", (8, 8), "white"), None).shadows == 1
