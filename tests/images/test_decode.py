"""One file → record and thumbnail: orientation, modes, and every kind of broken file."""

import io
import zlib

import numpy as np
import pytest
from PIL import ExifTags, Image
from support.pictures import mse

from fastdiff_dask.images.decode import read_image
from fastdiff_dask.images.opening import image_extensions
from fastdiff_dask.testing import simulate_photo
from fastdiff_dask.text import printable


@pytest.fixture
def picture(rng):
    return Image.fromarray(simulate_photo(rng, 90, 60))


def read(path, width=64, height=64):
    record, thumbnail = read_image(str(path), width, height)
    assert (thumbnail is None) == bool(record.error)
    return record, thumbnail


def test_thumbnail_is_pillows_bicubic(picture, tmp_path):
    picture.save(tmp_path / "a.png")
    record, thumbnail = read(tmp_path / "a.png", 32, 48)
    assert record[:6] == (90, 60, "PNG", "RGB", "", False)
    assert thumbnail.shape == (48, 32, 3)
    assert thumbnail.dtype == np.uint8
    np.testing.assert_array_equal(thumbnail, np.asarray(picture.resize((32, 48), Image.Resampling.BICUBIC)))


@pytest.mark.parametrize("size", [(64, 64), (40, 64)])
@pytest.mark.parametrize("kind", ["png", "tif", "jpg", "webp"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied_once(orientation, kind, size, picture, tmp_path):
    stored = {
        1: lambda p: p,
        2: lambda p: p.transpose(Image.Transpose.FLIP_LEFT_RIGHT),
        3: lambda p: p.transpose(Image.Transpose.ROTATE_180),
        4: lambda p: p.transpose(Image.Transpose.FLIP_TOP_BOTTOM),
        5: lambda p: p.transpose(Image.Transpose.TRANSPOSE),
        6: lambda p: p.transpose(Image.Transpose.ROTATE_90),
        7: lambda p: p.transpose(Image.Transpose.TRANSVERSE),
        8: lambda p: p.transpose(Image.Transpose.ROTATE_270),
    }[orientation](picture)
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"jpg": {"quality": 100, "subsampling": 0}, "webp": {"lossless": True}}.get(kind, {})
    stored.save(tmp_path / f"turned.{kind}", exif=exif, **options)
    picture.save(tmp_path / "upright.png")
    record, thumbnail = read(tmp_path / f"turned.{kind}", *size)
    _, upright = read(tmp_path / "upright.png", *size)
    assert (record.width, record.height) == (90, 60)
    assert thumbnail.shape == (size[1], size[0], 3)
    assert mse(thumbnail, upright) < (5 if kind == "jpg" else 1)


def test_16_bits_are_scaled_not_clipped(tmp_path):
    ramp = np.linspace(0, 65535, 64 * 64).reshape(64, 64).astype(np.uint16)
    Image.fromarray(ramp).save(tmp_path / "deep.png")
    Image.fromarray((ramp // 257).astype(np.uint8)).save(tmp_path / "flat.png")
    _, deep = read(tmp_path / "deep.png")
    _, flat = read(tmp_path / "flat.png")
    assert mse(deep, flat) <= 3


@pytest.mark.parametrize("mode", ["I", "F"])
def test_wide_values_are_scaled_to_their_range(mode, tmp_path):
    values = np.linspace(-3e6, 5e6, 64 * 64).reshape(64, 64)
    Image.fromarray(values.astype(np.int32 if mode == "I" else np.float32)).save(tmp_path / "wide.tif")
    record, thumbnail = read(tmp_path / "wide.tif")
    assert record.mode == mode
    assert (int(thumbnail.min()), int(thumbnail.max())) == (0, 255)
    assert abs(float(thumbnail.mean()) - 127.5) < 1


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_transparency_shows_white(mode, tmp_path):
    clear = Image.new("RGBA", (64, 64), (0, 0, 0, 0))
    clear.paste((200, 200, 200, 255), (0, 0, 64, 32))
    clear.convert(mode).save(tmp_path / "clear.png", **({"transparency": 0} if mode == "P" else {}))
    _, thumbnail = read(tmp_path / "clear.png")
    assert thumbnail[60, 30].tolist() == [255, 255, 255]
    if mode != "P":
        assert thumbnail[3, 30].tolist() == [200, 200, 200]


def test_transparency_blends_before_or_after_reducing(tmp_path, rng):
    pixels = rng.integers(0, 256, (120, 90, 4), dtype=np.uint8)
    pixels[:, :, 3] = np.linspace(0, 255, 90)
    clear = Image.fromarray(pixels)
    clear.save(tmp_path / "clear.png")
    white = Image.alpha_composite(Image.new("RGBA", clear.size, (255, 255, 255, 255)), clear).convert("RGB")
    _, thumbnail = read(tmp_path / "clear.png")
    assert mse(thumbnail, np.asarray(white.resize((64, 64), Image.Resampling.BICUBIC))) < 12


def test_odd_values_of_floating_point_pictures(tmp_path):
    values = np.linspace(0, 1, 64 * 64, dtype=np.float32).reshape(64, 64)
    values[5, 5], values[6, 6], values[7, 7] = np.nan, np.inf, -np.inf
    Image.fromarray(values).save(tmp_path / "odd.tif")
    record, _ = read(tmp_path / "odd.tif")
    assert (record.mode, record.error) == ("F", "")


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "CMYK", "YCbCr", "LAB"])
def test_every_mode_becomes_rgb(mode, picture, tmp_path):
    if mode == "LAB":
        pytest.importorskip("PIL.ImageCms")
        from PIL import ImageCms

        rgb, lab = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
        picture = ImageCms.applyTransform(picture, ImageCms.buildTransform(rgb, lab, "RGB", "LAB"))
    picture.convert(mode).save(tmp_path / "a.tif")
    record, thumbnail = read(tmp_path / "a.tif")
    assert record.error == ""
    assert thumbnail.shape == (64, 64, 3)


def test_first_frame_of_an_animation(picture, tmp_path):
    frames = [Image.new("RGB", (64, 64), colour) for colour in ("red", "blue")]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    _, thumbnail = read(tmp_path / "a.gif")
    assert thumbnail[32, 32].tolist() == [255, 0, 0]


def encoded(picture, kind):
    sink = io.BytesIO()
    picture.save(sink, kind)
    return sink.getvalue()


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "WEBP", "TIFF", "BMP"])
@pytest.mark.parametrize("share", [0.05, 0.5, 0.9])
def test_truncated_files_are_errors(kind, share, picture, tmp_path):
    data = encoded(picture, kind)
    path = tmp_path / "a.bin"
    path.write_bytes(data[: int(len(data) * share)])
    record, _ = read(path)
    assert record.error
    assert not record.retry
    assert str(tmp_path) not in record.error
    assert "\n" not in record.error


@pytest.mark.parametrize("content", [b"", b"\0" * 1000, b"just text"])
def test_what_is_no_image_is_an_error(content, tmp_path):
    path = tmp_path / "a.jpg"
    path.write_bytes(content)
    record, _ = read(path)
    assert record.error.startswith("UnidentifiedImageError: not an image")


def test_the_wrong_extension_does_not_matter(picture, tmp_path):
    path = tmp_path / "a.png"
    path.write_bytes(encoded(picture, "JPEG"))
    assert read(path)[0].format == "JPEG"


def test_a_decompression_bomb_is_an_error(tmp_path):
    def chunk(name, data):
        return len(data).to_bytes(4, "big") + name + data + zlib.crc32(name + data).to_bytes(4, "big")

    header = (60_000).to_bytes(4, "big") * 2 + bytes([8, 2, 0, 0, 0])
    path = tmp_path / "bomb.png"
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(bytes(10**6)))
        + chunk(b"IEND", b"")
    )
    record, _ = read(path)
    assert record.error == "more than 178956970 pixels; a higher pixel limit reads it"
    assert record.pixel_limit == 178_956_970


def test_eps_is_not_run_under_any_name(tmp_path):
    path = tmp_path / "a.jpg"
    path.write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\nshowpage\n")
    assert read(path)[0].error.startswith("UnidentifiedImageError")


def test_16_bit_pgm_is_scaled(tmp_path):
    ramp = np.linspace(10_000, 20_000, 64 * 64).reshape(64, 64).astype(">u2")
    (tmp_path / "a.pgm").write_bytes(b"P5 64 64 65535\n" + ramp.tobytes())
    _, thumbnail = read(tmp_path / "a.pgm")
    np.testing.assert_array_equal(thumbnail[:, :, 0], ramp // 257)


def test_a_file_that_is_gone_is_worth_another_try(tmp_path):
    record, _ = read(tmp_path / "gone.jpg")
    assert record.error == "FileNotFoundError: No such file or directory"
    assert record.retry


def test_extensions_are_those_that_pillow_decodes():
    assert {".jpg", ".jpeg", ".png", ".gif", ".webp", ".tiff", ".bmp", ".avif"} <= image_extensions()
    assert not {".pdf", ".eps", ".mpg", ".h5", ".txt"} & image_extensions()


def test_eps_inside_another_file_is_not_run(tmp_path, picture, monkeypatch):
    # an IPTC record whose picture is EPS: Pillow would start Ghostscript on it
    def field(record, number, data):
        return bytes([0x1C, record, number]) + len(data).to_bytes(2, "big") + data

    eps = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\nshowpage\n"
    fields = field(3, 60, b"\1\0") + field(3, 20, b"\0\x0a") + field(3, 30, b"\0\x0a") + field(3, 120, b"\5")
    (tmp_path / "a.jpg").write_bytes(fields + field(8, 10, eps))
    record, _ = read(tmp_path / "a.jpg")
    assert "UnidentifiedImageError" in record.error


@pytest.mark.parametrize("kind", ["png", "webp", "jpg", "tif", "jxl", "heic"])
@pytest.mark.parametrize("exif", [b"Exif\0\0garbage!", b"Exif\0\0II"])
def test_a_picture_with_broken_exif_is_read(kind, exif, picture, tmp_path):
    if f".{kind}" not in readable_extensions():
        pytest.skip(f"no decoder for {kind} is installed here")
    picture.save(tmp_path / f"a.{kind}", **({} if kind == "tif" else {"exif": exif}))
    record, _ = read(tmp_path / f"a.{kind}")
    assert record.error == ""
    assert (record.width, record.height) == (90, 60)


def readable_extensions():
    return {end for end, name in Image.registered_extensions().items() if name in Image.OPEN}


def test_broken_exif_is_a_warning(picture, tmp_path):
    picture.save(tmp_path / "a.png", exif=b"Exif\0\0garbage!")
    record, _ = read(tmp_path / "a.png")
    assert "EXIF data cannot be read" in record.warnings


@pytest.mark.parametrize(
    ("start", "package"),
    [(b"\xff\x0a", "jxl"), (b"\0\0\0\x0cJXL \r\n\x87\n", "jxl"), (b"\0\0\0\x18ftypheic", "heif")],
)
def test_a_missing_extra_is_named_and_tried_again(start, package, tmp_path, monkeypatch):
    image_extensions()
    for name in ("JXL", "HEIF"):
        monkeypatch.delitem(Image.OPEN, name, raising=False)
    monkeypatch.setattr(
        "fastdiff_dask.images.opening._decoders", lambda: tuple(name for name in Image.OPEN if name != "EPS")
    )
    (tmp_path / "a.jpg").write_bytes(start + bytes(100))
    record, _ = read(tmp_path / "a.jpg")
    assert f"pip install 'fastdiff_dask[{package}]'" in record.error
    assert record.retry


def test_memory_that_is_short_is_worth_another_try(picture, tmp_path, monkeypatch):
    def fail(*_, **__):
        raise MemoryError

    picture.save(tmp_path / "a.png")
    monkeypatch.setattr("fastdiff_dask.images.decode.reduce_picture", fail)
    record, _ = read(tmp_path / "a.png")
    assert record.error.startswith("MemoryError")
    assert record.retry


def test_pictures_of_several_views_are_images(picture, tmp_path):
    picture.save(tmp_path / "a.mpo", save_all=True, append_images=[picture.rotate(180)], quality=98, subsampling=0)
    assert ".mpo" in image_extensions()
    record, thumbnail = read(tmp_path / "a.mpo")
    assert (record.width, record.height) == (90, 60)
    assert mse(thumbnail, np.asarray(picture.resize((64, 64), Image.Resampling.BICUBIC))) < 20


@pytest.mark.parametrize("size", [(1, 1), (1, 3000), (3000, 1), (20_000, 3), (3, 20_000)])
@pytest.mark.parametrize("kind", ["png", "jpg"])
def test_thin_and_tiny_pictures(kind, size, tmp_path, rng):
    Image.fromarray(simulate_photo(rng, *size)).save(tmp_path / f"a.{kind}")
    record, thumbnail = read(tmp_path / f"a.{kind}")
    assert (record.width, record.height) == size
    _, exact = read_image(str(tmp_path / f"a.{kind}"), 64, 64, exact_decode=True)
    assert mse(thumbnail, exact) < 100


def test_printable_leaves_spaces_and_emoji():
    assert printable("写真　旅行 Fam👨\u200d👩 a\u00a0b") == "写真　旅行 Fam👨\u200d👩 a\u00a0b"
    assert printable("\u202eabc\x1b[31m\udcff") == "\\u202eabc\\x1b[31m\\udcff"


def exif_of(**tags):
    exif = Image.Exif()
    details = exif.get_ifd(ExifTags.IFD.Exif)
    for name, value in tags.items():
        tag = int(ExifTags.Base[name])
        (details if name.startswith("DateTime") and name != "DateTime" else exif)[tag] = value
    if details:
        exif[int(ExifTags.IFD.Exif)] = dict(details)
    return exif


@pytest.mark.parametrize(
    ("tags", "camera", "captured"),
    [
        ({}, "", ""),
        ({"Make": "NIKON CORPORATION", "Model": "NIKON D90"}, "NIKON CORPORATION NIKON D90", ""),
        ({"Make": "Canon", "Model": "Canon EOS 5D"}, "Canon EOS 5D", ""),
        ({"Make": "Apple", "Model": "iPhone 12\0\0"}, "Apple iPhone 12", ""),
        ({"Model": "X\n\x1b[31m"}, r"X \x1b[31m", ""),
        ({"DateTimeOriginal": "2019:02:03 04:05:06"}, "", "2019-02-03T04:05:06"),
        ({"DateTimeDigitized": "2018:02:03 04:05:06"}, "", "2018-02-03T04:05:06"),
        (
            {"DateTimeOriginal": "2019:02:03 04:05:06", "DateTimeDigitized": "2020:02:03 04:05:06"},
            "",
            "2019-02-03T04:05:06",
        ),
        ({"DateTimeOriginal": "0000:00:00 00:00:00"}, "", ""),
        (
            {"DateTimeOriginal": "    :  :     :  :  ", "DateTimeDigitized": "2020:02:03 04:05:06"},
            "",
            "2020-02-03T04:05:06",
        ),
        # when the file was changed last says nothing
        ({"DateTime": "2020:02:03 04:05:06"}, "", ""),
    ],
)
@pytest.mark.parametrize("kind", ["jpg", "png", "tiff", "webp"])
def test_camera_and_date(tags, camera, captured, kind, tmp_path):
    path = tmp_path / f"one.{kind}"
    Image.new("RGB", (40, 30)).save(path, exif=exif_of(**tags))
    record, _ = read_image(path, 16, 16)
    assert (record.camera, record.captured, record.error) == (camera, captured, "")


def test_broken_details_cost_the_camera_alone(tmp_path):
    path = tmp_path / "one.jpg"
    Image.new("RGB", (40, 30)).save(path, exif=exif_of(Make="Me", Orientation=6))
    content = path.read_bytes()
    # the entry of the maker points out of the data
    place = content.index(b"\x0f\x01\x02\x00") if b"\x0f\x01\x02\x00" in content else content.index(b"\x01\x0f\x00\x02")
    path.write_bytes(content[: place + 4] + b"\x7f\xff\xff\x7f" * 2 + content[place + 12 :])
    record, _ = read_image(path, 16, 16)
    assert (record.width, record.height, record.error) == (30, 40, "")
