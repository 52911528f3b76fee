"""All frames of a picture, upright and on both grounds, as a second look compares them."""

import hashlib
import io

import numpy as np
import pytest
from PIL import Image

from fastdiff_dask.images import frames as frames_module
from fastdiff_dask.images.frames import PIXELS, frame_size, look_at

LEVELS = (0, 100, 250)


def encoded(form: str, first: Image.Image, *others: Image.Image, **options) -> bytes:
    file = io.BytesIO()
    first.save(file, form, **({"save_all": True, "append_images": others} if others else {}), **options)
    return file.getvalue()


def look(content: bytes, size: tuple[int, int], frames: int = 1) -> np.ndarray:
    record, pixels = look_at(content, None, size)
    assert not record.error
    assert record.frames == frames
    assert record.content_hash == hashlib.sha256(content).hexdigest()
    width, height = frame_size(frames, size)
    return np.frombuffer(pixels, np.uint8).reshape(frames, -1, height, width, 3)


def digest(content: bytes) -> bytes:
    record, found = look_at(content, None, PIXELS)
    assert not record.error
    assert len(found) == 32
    return found


def plain(level: int, size: tuple[int, int] = (40, 30)) -> Image.Image:
    return Image.new("RGB", size, (level, level // 2, 255 - level))


@pytest.fixture
def picture(rng) -> Image.Image:
    few = Image.fromarray(rng.integers(0, 256, (3, 4, 3), np.uint8))
    return few.resize((64, 48), Image.Resampling.BICUBIC)


@pytest.mark.parametrize(
    ("form", "options"),
    [
        ("GIF", {"duration": 50}),
        ("WEBP", {"lossless": True}),
        ("PNG", {}),
        ("TIFF", {}),
        ("TIFF", {"compression": "tiff_lzw"}),
    ],
)
def test_all_frames_of_animations_and_documents(form, options):
    seen = look(encoded(form, *map(plain, LEVELS), **options), (20, 15), len(LEVELS))
    assert seen.shape == (3, 1, 15, 20, 3)
    for frame, level in zip(seen, LEVELS, strict=True):
        assert np.abs(frame.astype(int) - (level, level // 2, 255 - level)).max() <= 4


def test_pages_of_several_sizes_and_modes_are_brought_to_one():
    pages = [plain(100), plain(100, (60, 80)).convert("L"), Image.new("1", (9, 7), 1)]
    seen = look(encoded("TIFF", *pages), (16, 12), 3)
    assert seen[:, 0, 6, 8].tolist() == [[100, 50, 155], [77] * 3, [255] * 3]
    assert (seen == seen[:, :, :1, :1]).all()


def test_frames_that_are_many_are_not_compared(monkeypatch):
    content = encoded("GIF", *map(plain, (0, 50, 100, 150)))
    monkeypatch.setattr(frames_module, "MOST_FRAMES", 3)
    record, pixels = look_at(content, None, (20, 15))
    assert (record.frames, pixels, record.error) == (4, b"", "")


@pytest.mark.parametrize("frames", [1, 2, 50, 300])
@pytest.mark.parametrize("size", [(512, 512), (512, 3), (1, 1), (384, 512)])
def test_frames_take_no_more_memory_than_said(frames, size):
    width, height = frame_size(frames, size)
    assert 1 <= width <= size[0]
    assert 1 <= height <= size[1]
    assert 6 * frames * width * height <= 1 << 26


@pytest.mark.parametrize("form", ["PNG", "WEBP", "TIFF"])
def test_transparent_parts_are_seen_on_white_and_on_black(form):
    white = Image.new("RGBA", (40, 30), (255, 255, 255, 0))
    white.paste((255, 255, 255, 255), (0, 0, 20, 30))
    seen = look(encoded(form, white, **({"lossless": True} if form == "WEBP" else {})), (20, 15))
    assert seen.shape[1] == 2
    on_white, on_black = seen[0]
    assert on_white.min() == 255
    assert on_black[:, :9].min() == 255
    assert on_black[:, 11:].max() == 0


def test_a_transparent_colour_of_a_palette_is_seen_on_both_grounds():
    picture = Image.new("P", (40, 30), 1)
    picture.putpalette([0, 0, 0, 200, 10, 10])
    picture.paste(0, (20, 0, 40, 30))
    white, black = look(encoded("PNG", picture, transparency=0), (20, 15))[0]
    assert white[7, 15].tolist() == [255] * 3
    assert black[7, 15].tolist() == [0] * 3
    assert white[7, 5].tolist() == black[7, 5].tolist() == [200, 10, 10]


def test_an_alpha_channel_that_hides_nothing_counts_as_none(picture):
    whole, plain_one = encoded("PNG", picture.convert("RGBA")), encoded("PNG", picture)
    np.testing.assert_array_equal(look(whole, (32, 24)), look(plain_one, (32, 24)))
    assert digest(whole) == digest(plain_one)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_pictures_are_seen_upright(form, orientation, picture):
    undo = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}  # Pillow's transpositions that undo an orientation
    stored = picture.transpose(Image.Transpose(undo[orientation])) if orientation in undo else picture
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"JPEG": {"quality": 95, "subsampling": 0}, "WEBP": {"lossless": True}}.get(form, {})
    seen = look(encoded(form, stored, exif=exif, **options), (32, 24))[0, 0]
    expected = look(encoded("PNG", picture), (32, 24))[0, 0]
    assert np.abs(seen.astype(int) - expected).max() <= (16 if form == "JPEG" else 2)
    if form != "JPEG":
        assert digest(encoded(form, stored, exif=exif, **options)) == digest(encoded("PNG", picture))


@pytest.mark.parametrize("form", ["PNG", "TIFF"])
def test_the_digest_of_deep_pictures_is_that_of_the_upright_one(form, rng):
    pixels = rng.integers(0, 1 << 16, (6, 8), np.uint16)
    exif = Image.Exif()
    exif[0x0112] = 3
    turned = encoded(form, Image.fromarray(np.ascontiguousarray(pixels[::-1, ::-1])), exif=exif)
    assert digest(turned) == digest(encoded("TIFF", Image.fromarray(pixels)))
    assert digest(turned) != digest(encoded("TIFF", Image.fromarray(pixels ^ 1)))


@pytest.mark.parametrize("form", ["JPEG", "WEBP"])
def test_the_digest_of_a_copy_without_loss_is_equal(form, picture):
    content = encoded(form, picture, quality=80)
    decoded = Image.open(io.BytesIO(content)).convert("RGB")
    for other in ("PNG", "BMP", "TIFF"):
        assert digest(encoded(other, decoded)) == digest(content)
    assert digest(encoded("PNG", picture)) != digest(content)


def test_the_digest_tells_sizes_frames_and_single_bits_apart(picture):
    pixels = np.asarray(picture).copy()
    pixels[-1, -1, -1] ^= 1
    contents = [
        encoded("PNG", picture),
        encoded("PNG", Image.fromarray(pixels)),
        encoded("PNG", Image.fromarray(pixels.reshape(64, 48, 3))),
        encoded("TIFF", picture, picture),
        encoded("TIFF", picture, Image.fromarray(pixels)),
    ]
    assert len({digest(content) for content in contents}) == len(contents)


def test_what_cannot_be_read_is_told_in_one_line(picture, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10**8)  # a reader sets it, in a process of its own
    content = encoded("PNG", picture)
    for size in ((32, 24), PIXELS):
        record, pixels = look_at(content[: len(content) // 2], None, size)
        assert record.error
        assert "\n" not in record.error
        assert pixels == b""
        assert look_at(content, None, size, pixel_limit=10)[0].error
