"""Every format and mode gives the thumbnail that a viewer would show."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image, ImageCms, features
from support.pictures import mse

from fastdiff_dask.images.decode import read_image
from fastdiff_dask.images.opening import image_extensions
from fastdiff_dask.testing import simulate_photo

SIZE = (32, 24)


@pytest.fixture
def picture(rng):
    return Image.fromarray(simulate_photo(rng, 120, 90))


def thumbnail(path, **options):
    record, found = read_image(str(path), *SIZE, **options)
    assert record.error == ""
    assert (record.width, record.height) == (120, 90)
    return found.astype(np.int64)


def shown(image, tmp_path):
    """The thumbnail of a picture in the plainest form."""
    image.convert("RGB").save(tmp_path / "plain.png")
    return thumbnail(tmp_path / "plain.png")


# Form, options, and the modes that it holds without loss.
LOSSLESS = [
    ("bmp", {}, "RGB L 1 RGBA"),
    ("dds", {}, "RGB L RGBA"),
    ("dib", {}, "RGB L 1"),
    ("gif", {}, "L 1"),
    ("ico", {"sizes": [(120, 90)]}, "RGB L RGBA"),
    ("j2k", {}, "RGB L RGBA"),
    ("jp2", {}, "RGB L RGBA"),
    ("jxl", {"lossless": True}, "RGB L RGBA"),
    ("pbm", {}, "1"),
    ("pcx", {}, "RGB L 1"),
    ("pgm", {}, "L"),
    ("png", {}, "RGB L 1 RGBA"),
    ("png", {"compress_level": 0}, "RGB L 1 RGBA"),
    ("ppm", {}, "RGB L 1"),
    ("qoi", {}, "RGB RGBA"),
    ("sgi", {}, "RGB L RGBA"),
    ("tga", {}, "RGB L 1 RGBA"),
    ("tga", {"compression": "tga_rle"}, "RGB L RGBA"),
    ("tif", {}, "RGB L 1 RGBA"),
    ("tif", {"compression": "group4"}, "1"),
    ("tif", {"compression": "packbits"}, "RGB L 1 RGBA"),
    ("tif", {"compression": "tiff_adobe_deflate"}, "RGB L 1 RGBA"),
    ("tif", {"compression": "tiff_lzw"}, "RGB L 1 RGBA"),
    ("webp", {"lossless": True}, "RGB RGBA"),
]


def needs(kind):
    if f".{kind}" not in image_extensions():
        pytest.skip(f"no decoder for {kind} is installed here")


@pytest.mark.parametrize(
    ("kind", "options", "mode"), [(kind, options, mode) for kind, options, modes in LOSSLESS for mode in modes.split()]
)
def test_one_picture_in_each_lossless_form(kind, options, mode, picture, tmp_path):
    needs(kind)
    image = picture.convert(mode)  # opaque, if it has an alpha channel
    image.save(tmp_path / f"a.{kind}", **options)
    with Image.open(tmp_path / f"a.{kind}") as saved:
        np.testing.assert_array_equal(np.asarray(saved.convert("RGB")), np.asarray(image.convert("RGB")))
    np.testing.assert_array_equal(thumbnail(tmp_path / f"a.{kind}"), shown(image, tmp_path))


LOSSY = [
    ("jpg", {"quality": 98, "subsampling": 0}),
    ("webp", {"quality": 98}),
    ("avif", {"quality": 98}),
    ("heic", {"quality": 98}),
    ("heif", {"quality": 98}),
    ("jp2", {"irreversible": True}),
    ("tif", {"compression": "jpeg", "quality": 98}),
]


@pytest.mark.parametrize(("kind", "options"), LOSSY)
def test_one_picture_in_each_lossy_form(kind, options, picture, tmp_path):
    needs(kind)
    picture.save(tmp_path / f"a.{kind}", **options)
    assert mse(thumbnail(tmp_path / f"a.{kind}"), shown(picture, tmp_path)) < 10


def test_formats_of_the_extras_are_there():
    pytest.importorskip("pillow_heif")
    pytest.importorskip("pillow_jxl")
    assert {".heic", ".heif", ".jxl"} <= image_extensions()
    if features.check("avif"):
        assert ".avif" in image_extensions()


def test_photoshop(picture, tmp_path):
    # Pillow reads PSD and does not write it: header, no colour map, no resources, no layers, planes without compression
    planes = np.asarray(picture).transpose(2, 0, 1).tobytes()
    header = b"8BPS" + struct.pack(">H6xHIIHH", 1, 3, 90, 120, 8, 3)
    (tmp_path / "a.psd").write_bytes(header + struct.pack(">III", 0, 0, 0) + struct.pack(">H", 0) + planes)
    np.testing.assert_array_equal(thumbnail(tmp_path / "a.psd"), shown(picture, tmp_path))


# -- modes -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["png", "gif", "tif", "bmp", "tga", "pcx"])
def test_palette(kind, picture, tmp_path):
    image = picture.quantize(32)
    image.save(tmp_path / f"a.{kind}")
    np.testing.assert_array_equal(thumbnail(tmp_path / f"a.{kind}"), shown(image, tmp_path))


@pytest.mark.parametrize("kind", ["png", "gif"])
def test_palette_with_a_transparent_colour_shows_white(kind, picture, tmp_path):
    image = picture.quantize(8)
    image.save(tmp_path / f"a.{kind}", transparency=3)
    white = np.where((np.asarray(image) == 3)[..., None], 255, np.asarray(image.convert("RGB"))).astype(np.uint8)
    # blending before and after reducing differ where the filter overshoots
    assert mse(thumbnail(tmp_path / f"a.{kind}"), shown(Image.fromarray(white), tmp_path)) < 20


@pytest.mark.parametrize("mode", ["LA", "RGBA"])
@pytest.mark.parametrize("kind", ["png", "tif", "webp", "tga", "jp2"])
def test_half_transparent(kind, mode, picture, tmp_path):
    image = picture.convert(mode)
    image.putalpha(Image.linear_gradient("L").resize((120, 90)))
    image.save(tmp_path / f"a.{kind}", **({"lossless": True, "exact": True} if kind == "webp" else {}))
    alpha = np.asarray(image.getchannel("A"))[..., None] / 255
    blended = np.asarray(image.convert("RGB")) * alpha + 255 * (1 - alpha)
    assert (
        mse(thumbnail(tmp_path / f"a.{kind}"), shown(Image.fromarray(blended.round().astype(np.uint8)), tmp_path)) < 10
    )


@pytest.mark.parametrize("kind", ["tif", "jpg"])
def test_cmyk(kind, picture, tmp_path):
    image = picture.convert("CMYK")
    image.save(tmp_path / f"a.{kind}", quality=98)
    assert mse(thumbnail(tmp_path / f"a.{kind}"), shown(picture, tmp_path)) < 20


def test_ycbcr(picture, tmp_path):
    image = picture.convert("YCbCr")
    image.save(tmp_path / "a.tif")
    assert mse(thumbnail(tmp_path / "a.tif"), shown(picture, tmp_path)) < 10


def test_lab(picture, tmp_path):
    transform = ImageCms.buildTransform(ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), "RGB", "LAB")
    image = ImageCms.applyTransform(picture, transform)
    image.save(tmp_path / "a.tif")
    assert mse(thumbnail(tmp_path / "a.tif"), shown(picture, tmp_path)) < 40


@pytest.mark.parametrize(("kind", "mode"), [("png", "I;16"), ("tif", "I;16"), ("tif", "I;16B"), ("pgm", "I;16")])
def test_16_bit_grey_is_the_same_as_8_bit(kind, mode, picture, tmp_path):
    grey = np.asarray(picture.convert("L"))
    values = grey.astype(np.uint16) * 257
    image = Image.fromarray(values)
    if mode == "I;16B":
        image = Image.frombytes(mode, (120, 90), values.astype(">u2").tobytes())
    image.save(tmp_path / f"a.{kind}")
    np.testing.assert_array_equal(thumbnail(tmp_path / f"a.{kind}"), shown(Image.fromarray(grey), tmp_path))


def test_transparent_16_bit_grey_shows_white(picture, tmp_path):
    grey = np.asarray(picture.convert("L")).astype(np.uint16) * 257
    grey[:, :60] = 999
    Image.fromarray(grey).save(tmp_path / "a.png", transparency=999)
    found = thumbnail(tmp_path / "a.png")
    assert (found[:, :14] == 255).all()
    assert not (found[:, 20:] == 255).all()


@pytest.mark.parametrize(("bits", "white_is_zero"), [(16, False), (16, True), (12, False)])
def test_depths_of_tiff(bits, white_is_zero, picture, tmp_path):
    grey = np.asarray(picture.convert("L")).astype(np.uint16)
    values = grey * 257 if bits == 16 else (grey.astype(int) * 4095 // 255).astype(np.uint16)
    if white_is_zero:
        values = 65535 - values
    if bits == 12:
        first, second = values[:, ::2].astype(int), values[:, 1::2].astype(int)
        packed = np.stack([first >> 4, (first & 15) << 4 | second >> 8, second & 255], axis=-1)
        data = packed.astype(np.uint8).tobytes()
    else:
        data = values.astype("<u2").tobytes()
    tags = [(256, 120), (257, 90), (258, bits), (259, 1), (262, 0 if white_is_zero else 1), (273, 8), (277, 1)]
    tags += [(278, 90), (279, len(data))]
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags)
    directory = struct.pack("<H", len(tags)) + entries + bytes(4)
    (tmp_path / "a.tif").write_bytes(struct.pack("<2sHI", b"II", 42, 8 + len(data)) + data + directory)
    off = np.abs(thumbnail(tmp_path / "a.tif") - shown(Image.fromarray(grey.astype(np.uint8)), tmp_path))
    assert off.max() <= 1


def test_16_bit_colour_is_the_same_as_8_bit(picture, tmp_path):
    def chunk(name, data):
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    values = (np.asarray(picture).astype(np.uint16) * 257).astype(">u2")
    rows = b"".join(b"\0" + row.tobytes() for row in values)
    header = struct.pack(">IIBBBBB", 120, 90, 16, 2, 0, 0, 0)
    chunks = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n" + chunks)
    np.testing.assert_array_equal(thumbnail(tmp_path / "a.png"), shown(picture, tmp_path))


@pytest.mark.parametrize("mode", ["I", "F"])
def test_wide_numbers_are_stretched(mode, picture, tmp_path):
    grey = np.asarray(picture.convert("L")).astype(np.float64)
    values = (grey - grey.min()) * 1000 - 5000
    Image.fromarray(values.astype(np.int32 if mode == "I" else np.float32)).save(tmp_path / "a.tif")
    low, high = np.quantile(grey, (0.005, 0.995))
    stretched = np.clip((grey - low) * 255 / (high - low), 0, 255)
    wanted = shown(Image.fromarray(stretched.round().astype(np.uint8)), tmp_path)
    assert mse(thumbnail(tmp_path / "a.tif"), wanted) < 10


# -- frames, profiles ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["gif", "png", "webp", "tif", "avif"])
def test_first_frame(kind, picture, tmp_path):
    needs(kind)
    first, second = picture.quantize(16).convert("RGB"), picture.transpose(Image.Transpose.ROTATE_180)
    lossless = {"webp": {"lossless": True}, "avif": {"quality": 100}}.get(kind, {})
    first.save(tmp_path / f"a.{kind}", save_all=True, append_images=[second], **lossless)
    assert mse(thumbnail(tmp_path / f"a.{kind}"), shown(first, tmp_path)) < 10
    with Image.open(tmp_path / f"a.{kind}") as saved:
        assert saved.n_frames == 2


def profile(kind, tags):
    """An ICC profile (ICC.1:2001-04): header, table of tags, tags."""
    place, table, data = 128 + 4 + 12 * len(tags), b"", b""
    for name, value in tags.items():
        table += name + struct.pack(">II", place + len(data), len(value))
        data += value + bytes(-len(value) % 4)
    body = struct.pack(">I", len(tags)) + table + data
    space = b"Lab " if kind == b"CMYK" else b"XYZ "
    device = b"prtr" if kind == b"CMYK" else b"mntr"
    header = struct.pack(">I4xI4s4s4s12x4s", 128 + len(body), 0x02100000, device, kind, space, b"acsp")
    header = header.ljust(68, b"\0") + fixed(0.9642, 1, 0.8249)
    return header.ljust(128, b"\0") + body


def fixed(*values):
    return b"".join(struct.pack(">i", round(value * 65536)) for value in values)


TEXTS = {b"desc": b"desc\0\0\0\0" + struct.pack(">I", 5) + b"test\0" + bytes(78), b"cprt": b"text\0\0\0\0none\0"}


def linear_profile():
    """A profile with the primaries of sRGB and linear values."""

    def xyz(*values):
        return b"XYZ \0\0\0\0" + fixed(*values)

    curves = {name: b"curv\0\0\0\0" + struct.pack(">I", 0) for name in (b"rTRC", b"gTRC", b"bTRC")}
    primaries = {
        b"rXYZ": xyz(0.4360, 0.2225, 0.0139),
        b"gXYZ": xyz(0.3851, 0.7169, 0.0971),
        b"bXYZ": xyz(0.1431, 0.0606, 0.7141),
    }
    return profile(b"RGB ", TEXTS | {b"wtpt": xyz(0.9642, 1, 0.8249)} | primaries | curves)


# Colours of a press whose inks are all wrong: full ink of each alone, and none.
INKS = {
    (255, 0, 0, 0): (200, 40, 40),
    (0, 255, 0, 0): (30, 160, 50),
    (0, 0, 255, 0): (60, 60, 180),
    (0, 0, 0, 0): (250, 240, 230),
}


def press_profile():
    """A profile of CMYK whose table has the 16 corners alone."""
    to_lab = ImageCms.buildTransform(ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), "RGB", "LAB")
    table = b""
    for corner in np.ndindex(2, 2, 2, 2):
        colour = INKS.get(tuple(255 * ink for ink in corner), (20, 20, 20))
        (lab,) = ImageCms.applyTransform(Image.new("RGB", (1, 1), colour), to_lab).get_flattened_data()
        table += bytes([lab[0], (lab[1] + 128) % 256, (lab[2] + 128) % 256]) if lab_is_signed() else bytes(lab)
    identity = bytes(range(256))
    lut = b"mft1\0\0\0\0" + bytes([4, 3, 2, 0]) + fixed(1, 0, 0, 0, 1, 0, 0, 0, 1) + identity * 4 + table + identity * 3
    white = b"XYZ \0\0\0\0" + fixed(0.9642, 1, 0.8249)
    return profile(b"CMYK", TEXTS | {b"wtpt": white, b"A2B0": lut})


def lab_is_signed():
    """Tell whether Pillow keeps a* and b* of LAB as signed bytes: white has none of either."""
    to_lab = ImageCms.buildTransform(ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), "RGB", "LAB")
    (white,) = ImageCms.applyTransform(Image.new("RGB", (1, 1), "white"), to_lab).get_flattened_data()
    return white[1] < 64


@pytest.mark.parametrize("inks", [inks for inks in INKS if any(inks)])
@pytest.mark.parametrize("kind", ["tif", "jpg"])
def test_cmyk_is_converted_by_its_profile(kind, inks, tmp_path):
    Image.new("CMYK", (120, 90), inks).save(tmp_path / f"a.{kind}", icc_profile=press_profile(), quality=100)
    # black and white of the press are stretched to those of the screen; by the formula, it would be off by 200 and more
    assert np.abs(thumbnail(tmp_path / f"a.{kind}") - INKS[inks]).max() <= 20


@pytest.mark.parametrize("mode", ["RGB", "L"])
@pytest.mark.parametrize("kind", ["png", "jpg", "tif", "webp"])
def test_a_copy_that_lost_its_profile_is_the_same(kind, mode, picture, tmp_path):
    lossless = {"lossless": True} if kind == "webp" else {}
    picture.convert(mode).save(tmp_path / f"a.{kind}", icc_profile=linear_profile(), **lossless)
    picture.convert(mode).save(tmp_path / f"b.{kind}", **lossless)
    np.testing.assert_array_equal(thumbnail(tmp_path / f"a.{kind}"), thumbnail(tmp_path / f"b.{kind}"))


@pytest.mark.parametrize("content", [b"nonsense", press_profile()[:200], linear_profile()])
def test_profiles_that_cannot_be_used_are_a_warning(content, picture, tmp_path):
    image = picture.convert("CMYK")
    image.save(tmp_path / "a.tif", icc_profile=content)
    image.save(tmp_path / "b.tif")
    record, found = read_image(str(tmp_path / "a.tif"), *SIZE)
    assert record.error == ""
    assert "colour profile cannot be used" in record.warnings
    np.testing.assert_array_equal(found, thumbnail(tmp_path / "b.tif"))


# -- fast and exact --------------------------------------------------------------------------------------------------


def test_exact_decode_is_plain_bicubic(rng, tmp_path):
    Image.fromarray(simulate_photo(rng, 1200, 900)).save(tmp_path / "a.jpg", quality=90)
    with Image.open(tmp_path / "a.jpg") as saved:
        plain = np.asarray(saved.resize(SIZE, Image.Resampling.BICUBIC))
    record, exact = read_image(str(tmp_path / "a.jpg"), *SIZE, exact_decode=True)
    assert (record.width, record.height) == (1200, 900)
    np.testing.assert_array_equal(exact, plain)
    record, fast = read_image(str(tmp_path / "a.jpg"), *SIZE)
    assert (record.width, record.height) == (1200, 900)
    assert 0 < mse(fast.astype(int), exact.astype(int)) < 10


@pytest.mark.parametrize("orientation", [1, 6])
def test_reduced_decoding_keeps_the_size_and_orientation(orientation, rng, tmp_path):
    image = Image.fromarray(simulate_photo(rng, 2000, 1000))
    exif = Image.Exif()
    exif[0x0112] = orientation
    image.save(tmp_path / "a.jpg", exif=exif)
    record, found = read_image(str(tmp_path / "a.jpg"), 64, 48)
    assert (record.width, record.height) == ((1000, 2000) if orientation == 6 else (2000, 1000))
    upright = image.transpose(Image.Transpose.ROTATE_270) if orientation == 6 else image
    assert mse(found.astype(int), np.asarray(upright.resize((64, 48), Image.Resampling.BICUBIC)).astype(int)) < 20


def test_large_pictures_are_off_by_little(rng, tmp_path):
    for number in range(3):
        Image.fromarray(simulate_photo(rng, 4000, 3000)).save(tmp_path / "a.jpg", quality=90)
        _, fast = read_image(str(tmp_path / "a.jpg"), 64, 64)
        _, exact = read_image(str(tmp_path / "a.jpg"), 64, 64, exact_decode=True)
        assert 0 < mse(fast.astype(np.int64), exact.astype(np.int64)) <= 10, number


def test_real_photos_are_off_by_little(photos):
    off = []
    for path in sorted(photos.rglob("*.jpg")):
        _, fast = read_image(str(path), 64, 64)
        _, exact = read_image(str(path), 64, 64, exact_decode=True)
        off.append(mse(fast.astype(np.int64), exact.astype(np.int64)))
    assert np.percentile(off, 99) <= 10
    assert np.median(off) < 3


def test_warnings_are_kept_and_not_shown(tmp_path, recwarn, capfd):
    image = Image.new("RGB", (120, 90))
    image.save(tmp_path / "a.jpg", exif=b"Exif\0\0II*\0\x08\0\0\0\xff\xff")
    record, _ = read_image(str(tmp_path / "a.jpg"), *SIZE)
    assert record.error == ""
    assert "EXIF" in record.warnings.upper()
    assert not recwarn.list
    assert capfd.readouterr() == ("", "")


def test_content_hash(tmp_path):
    import hashlib

    Image.new("RGB", (120, 90)).save(tmp_path / "a.png")
    record, _ = read_image(str(tmp_path / "a.png"), *SIZE)
    assert record.content_hash == hashlib.sha256((tmp_path / "a.png").read_bytes()).hexdigest()
    (tmp_path / "b.png").write_bytes(b"no picture")
    record, _ = read_image(str(tmp_path / "b.png"), *SIZE)
    assert record.error
    assert record.content_hash == hashlib.sha256(b"no picture").hexdigest()


def test_large_files_are_not_held_as_a_whole(tmp_path, monkeypatch):
    import hashlib

    buffer = io.BytesIO()
    Image.new("RGB", (120, 90), (200, 100, 0)).save(buffer, "PNG")
    (tmp_path / "a.png").write_bytes(buffer.getvalue() + bytes(5000))
    whole, found = read_image(str(tmp_path / "a.png"), *SIZE)
    monkeypatch.setattr("fastdiff_dask.images.decode._WHOLE_BYTES", 1000)
    record, same = read_image(str(tmp_path / "a.png"), *SIZE)
    assert record == whole
    assert record.content_hash == hashlib.sha256((tmp_path / "a.png").read_bytes()).hexdigest()
    np.testing.assert_array_equal(found, same)
