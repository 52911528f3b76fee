"""All frames of a picture, upright and on both grounds, as a second look compares them."""

import hashlib
import io
import struct
import zlib

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


def png_of_16_bits(values: np.ndarray, transparent: tuple[int, ...] = ()) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    height, width, colours = values.shape
    head = struct.pack(">IIBBBBB", width, height, 16, {3: 2, 4: 6}[colours], 0, 0, 0)
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    key = chunk(b"tRNS", struct.pack(">HHH", *transparent)) if transparent else b""
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + key + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def ppm_of_16_bits(values: np.ndarray) -> bytes:
    return b"P6 %d %d 65535\n" % values.shape[1::-1] + values.astype(">u2").tobytes()


def tiff_of_16_bits(values: np.ndarray, order: str = "<") -> bytes:
    """A strip without compression (TIFF 6.0, section 6)."""
    height, width, colours = values.shape
    bits = struct.pack(f"{order}3H", 16, 16, 16)
    tags = [(256, 3, 1, width), (257, 3, 1, height), (258, 3, 3, 8), (259, 3, 1, 1), (262, 3, 1, 2), (273, 4, 1, 200)]
    tags += [(277, 3, 1, colours), (278, 3, 1, height), (279, 4, 1, values.size * 2)]
    entries = b"".join(
        struct.pack(f"{order}HHI", tag, kind, count)
        + (struct.pack(f"{order}HH", value, 0) if kind == 3 and count == 1 else struct.pack(f"{order}I", value))
        for tag, kind, count, value in tags
    )
    start = {"<": b"II*\0", ">": b"MM\0*"}[order] + struct.pack(f"{order}I", 16) + bits.ljust(8, b"\0")
    content = start + struct.pack(f"{order}H", len(tags)) + entries + bytes(4)
    return content.ljust(200, b"\0") + values.astype(f"{order}u2").tobytes()


@pytest.mark.parametrize(
    "encode", [png_of_16_bits, ppm_of_16_bits, tiff_of_16_bits, lambda values: tiff_of_16_bits(values, ">")]
)
def test_narrow_colours_of_16_bits_are_told_apart(encode, picture):
    wide = np.asarray(picture).astype(np.uint16)
    seen = look(encode(wide + 1024), (64, 48))[0, 0]
    # stretched, and so as the picture of 8 bits is once it is stretched
    assert seen.min() < 20
    assert seen.max() > 235
    assert np.corrcoef(seen.ravel(), wide.ravel())[0, 1] > 0.99
    assert digest(encode(wide)) != digest(encode(wide ^ 1))
    assert digest(encode(wide)) == digest(png_of_16_bits(wide))
    # a wide range is shown as Pillow shows it
    whole = look(encode(wide * 257), (64, 48))[0, 0]
    np.testing.assert_array_equal(whole, look(encoded("PNG", picture), (64, 48))[0, 0])


def test_colours_and_opacity_of_16_bits(picture):
    colours = np.asarray(picture).astype(np.uint16)
    seen = look(png_of_16_bits(np.dstack([colours * 257, np.full((48, 64), 30000)])), (64, 48))
    assert seen.shape == (1, 2, 48, 64, 3)
    assert (seen[0, 0] > seen[0, 1]).all()


def test_a_transparent_colour_of_16_bits_is_that_colour_only():
    values = np.full((8, 8, 3), 0x80FF)
    values[2:5, 2:5] = 0x8000
    white, black = look(png_of_16_bits(values, (0x8000,) * 3), (8, 8))[0]
    assert white[3, 3].tolist() == [255] * 3
    assert black[3, 3].tolist() == [0] * 3
    assert white[7, 7].tolist() == black[7, 7].tolist() == [128] * 3


@pytest.mark.parametrize("kind", [np.uint16, np.int32, np.float32])
def test_a_measurement_that_is_the_same_everywhere_is_like_no_other(kind):
    content = encoded("TIFF", Image.fromarray(np.full((8, 8), 1000, kind)))
    record, pixels = look_at(content, None, (8, 8))
    assert (record.error, pixels) == ("", b"")


def test_what_is_transparent_all_over_is_seen_by_its_colours(picture):
    hidden = picture.convert("RGBA")
    hidden.putalpha(0)
    np.testing.assert_array_equal(look(encoded("PNG", hidden), (64, 48)), look(encoded("PNG", picture), (64, 48)))


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
