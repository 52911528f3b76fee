"""Originals are told from what was made of them."""

import io

import numpy as np
import pytest
from PIL import Image, ImageFilter

from fastdiff_dask.images.provenance import signs_of_original, was_jpeg


def scene(rng: np.random.Generator, width: int = 300, height: int = 200) -> Image.Image:
    """Noise of all frequencies, more of the low ones, as in photos."""
    total = np.zeros((height, width, 3))
    for side in (2, 8, 32, 128):
        noise = Image.fromarray(rng.integers(0, 256, (height // side + 2, width // side + 2, 3), np.uint8))
        total += np.asarray(noise.resize((width, height), Image.Resampling.BICUBIC), float) * side**0.5
    total += rng.normal(0, 12, total.shape)
    total -= total.min()
    return Image.fromarray((total / total.max() * 255).astype(np.uint8))


def reopened(image: Image.Image, kind: str, **options) -> Image.Image:
    content = io.BytesIO()
    image.save(content, kind, **options)
    found = Image.open(content)
    found.load()
    return found


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF"])
@pytest.mark.parametrize("quality", [60, 75, 90, 95])
def test_a_lossless_copy_of_a_jpeg_is_seen(rng, kind, quality):
    original = scene(rng)
    jpeg = reopened(original, "JPEG", quality=quality)
    assert signs_of_original(reopened(jpeg, kind)) == -1
    assert signs_of_original(reopened(jpeg.transpose(Image.Transpose.FLIP_TOP_BOTTOM), kind)) == -1
    assert signs_of_original(reopened(original, kind)) == 0
    assert signs_of_original(reopened(original.filter(ImageFilter.GaussianBlur(2)), kind)) == 0


@pytest.mark.parametrize("size", [(1, 1), (8, 8), (15, 300), (72, 72), (4000, 9)])
@pytest.mark.parametrize("mode", ["RGB", "L", "RGBA", "P", "1", "LA", "I;16"])
def test_any_size_and_mode_is_told(size, mode):
    assert signs_of_original(reopened(Image.new(mode, size), "PNG")) == 0


def test_flat_pictures_and_screens_are_no_copies_of_a_jpeg():
    screen = np.full((400, 600, 3), 240, np.uint8)
    screen[::16, ::3] = 20
    screen[80:120, 100:300] = (10, 90, 200)
    assert not was_jpeg(Image.fromarray(screen))
    assert not was_jpeg(Image.new("RGB", (600, 600), "red"))


def test_notes_are_counted(rng):
    plain = reopened(scene(rng), "JPEG")
    assert signs_of_original(plain) == 0
    assert signs_of_original(reopened(plain, "JPEG", dpi=(72, 72))) == 1
    exif = Image.Exif()
    exif[271] = "Canon"
    assert signs_of_original(reopened(plain, "JPEG", dpi=(72, 72), exif=exif, comment=b"by me")) == 3
    # a copy that has notes of its own is not suspected
    assert signs_of_original(reopened(plain, "PNG", exif=exif)) == 1
