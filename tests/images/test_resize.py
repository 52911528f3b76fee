"""Little contrast, broken pixels, and light or dark drawings on transparency."""

from itertools import combinations

import numpy as np
import pytest
from PIL import Image, ImageDraw
from support.pictures import mse

from fastdiff_dask.images.decode import read_image
from fastdiff_dask.testing import simulate_photo


def thumbnail(image, path, **options):
    image.save(path, **options)
    record, found = read_image(str(path), 64, 64)
    assert not record.error
    return found.astype(int)


def grey(seed):
    return np.asarray(Image.fromarray(simulate_photo(np.random.default_rng(seed), 200, 150)).convert("L")) / 255


@pytest.mark.parametrize("kind", ["png", "tif"])
@pytest.mark.parametrize(("low", "high"), [(300, 3800), (51200, 52100), (0, 4095), (0, 60), (65000, 65535)])
def test_narrow_16_bit_ranges_are_stretched(low, high, kind, tmp_path):
    values = [(grey(seed) * (high - low) + low).astype(np.uint16) for seed in range(3)]
    found = [thumbnail(Image.fromarray(one), tmp_path / f"a.{kind}") for one in values]
    assert min(mse(a, b) for a, b in combinations(found, 2)) > 1000
    wide = thumbnail(Image.fromarray((values[0] - low).astype(np.float32)), tmp_path / "b.tif")
    assert mse(found[0], wide) < 2


def test_one_level_of_16_bits_is_not_stretched(tmp_path):
    found = thumbnail(Image.fromarray(np.full((40, 40), 51200, np.uint16)), tmp_path / "a.png")
    assert (found == 51200 // 257).all()


@pytest.mark.parametrize("odd", [1e6, -1e6, np.inf, -np.inf, np.nan])
def test_hot_pixels_do_not_set_the_range(odd, tmp_path):
    values = grey(1).astype(np.float32)
    plain = thumbnail(Image.fromarray(values), tmp_path / "a.tif")
    values[10:14, 20:24] = odd
    assert mse(thumbnail(Image.fromarray(values), tmp_path / "b.tif"), plain) < 80
    deep = (grey(1) * 900 + 51200).astype(np.uint16)
    plain = thumbnail(Image.fromarray(deep), tmp_path / "a.png")
    deep[10:12, 20:22] = 65535
    assert mse(thumbnail(Image.fromarray(deep), tmp_path / "b.png"), plain) < 80


def test_a_range_survives_resizing(tmp_path):
    values = (grey(2) * 3000 + 1000).astype(np.uint16)
    small = Image.fromarray(values.astype(np.float32)).resize((100, 75), Image.Resampling.BICUBIC)
    small = Image.fromarray(np.asarray(small).clip(0, 65535).astype(np.uint16))
    assert mse(thumbnail(Image.fromarray(values), tmp_path / "a.png"), thumbnail(small, tmp_path / "b.png")) < 60


def test_dark_photos_of_8_bits_stay_dark(tmp_path):
    dark = Image.fromarray((grey(3) * 20).astype(np.uint8))
    assert thumbnail(dark, tmp_path / "a.png").max() <= 22


def test_unsigned_32_bits(tmp_path):
    tifffile = pytest.importorskip("tifffile")
    values = (grey(4) * (2**32 - 1)).astype(np.uint32)
    tifffile.imwrite(tmp_path / "a.tif", values)
    record, found = read_image(str(tmp_path / "a.tif"), 64, 64)
    assert not record.error
    assert mse(found, thumbnail(Image.fromarray(grey(4).astype(np.float32)), tmp_path / "b.tif")) < 2


def drawing(colour, seed, ground=None):
    image = Image.new("RGBA", (256, 256), (*colour, 0) if ground is None else (*ground, 255))
    draw, rng = ImageDraw.Draw(image), np.random.default_rng(seed)
    for _ in range(6):
        draw.line([int(value) for value in rng.integers(20, 236, 4)], fill=(*colour, 255), width=14)
    return image


@pytest.mark.parametrize("colour", [(0, 0, 0), (255, 255, 255), (245, 245, 245), (128, 128, 128), (255, 255, 0)])
@pytest.mark.parametrize("options", [{"format": "PNG"}, {"format": "WEBP", "lossless": True}, {"format": "GIF"}])
def test_drawings_on_transparency_differ(colour, options, tmp_path):
    found = [thumbnail(drawing(colour, seed), tmp_path / "a", **options) for seed in range(3)]
    assert min(mse(a, b) for a, b in combinations(found, 2)) > 1000


def test_drawings_of_black_and_white_on_transparency_differ(tmp_path):
    def two(white, black):
        image = drawing((255, 255, 255), white)
        image.alpha_composite(drawing((0, 0, 0), black).rotate(90))
        return thumbnail(image, tmp_path / "a.png")

    assert min(mse(a, b) for a, b in combinations([two(1, 2), two(3, 2), two(1, 4)], 2)) > 500


@pytest.mark.parametrize("colour", [(0, 0, 0), (255, 255, 255), (250, 200, 20)])
def test_the_ground_survives_resizing_and_recompression(colour, tmp_path):
    image = drawing(colour, 5)
    whole = thumbnail(image, tmp_path / "a.png")
    assert mse(whole, thumbnail(image.resize((128, 128)), tmp_path / "b.png")) < 60
    assert mse(whole, thumbnail(image, tmp_path / "b.webp", quality=80)) < 60


def test_copies_on_white_and_without_alpha_are_found(tmp_path):
    colour = (20, 60, 140)
    whole = thumbnail(drawing(colour, 6), tmp_path / "a.png")
    assert mse(whole, thumbnail(drawing(colour, 6, (255, 255, 255)).convert("RGB"), tmp_path / "b.png")) < 10
    opaque = drawing(colour, 6, (255, 255, 255))
    with_alpha = thumbnail(opaque, tmp_path / "c.png")
    np.testing.assert_array_equal(with_alpha, thumbnail(opaque.convert("RGB"), tmp_path / "d.png"))


def test_what_is_transparent_all_over_is_shown_by_its_colours(tmp_path):
    opaque = drawing((20, 60, 140), 6, (255, 255, 255)).convert("RGB")
    hidden = opaque.convert("RGBA")
    hidden.putalpha(0)
    whole = thumbnail(opaque, tmp_path / "a.png")
    np.testing.assert_array_equal(thumbnail(hidden, tmp_path / "b.png"), whole)


@pytest.mark.parametrize("none", [-9999, -3.4e38, 1e6])
@pytest.mark.parametrize("share", [0.02, 0.3])
def test_a_value_for_no_data_does_not_flatten_the_others(none, share, rng, tmp_path):
    few = Image.fromarray(rng.random((5, 6)).astype(np.float32) * 30 + 200)
    values = np.asarray(few.resize((120, 100), Image.Resampling.BILINEAR)).copy()
    values[:, : int(120 * share)] = none
    right = thumbnail(Image.fromarray(values), tmp_path / "a.tif")[:, 32:]
    assert right.max() > 200
    assert right.min() < 55
