"""Frames, and parts that a plain copy would lack; the main picture of files with several."""

import io
import struct

import numpy as np
import pytest
from PIL import Image, ImageCms, TiffImagePlugin
from support.pictures import mse

from fastdiff_dask.images.decode import read_image
from fastdiff_dask.testing import simulate_photo

MP4 = struct.pack(">I", 24) + b"ftypmp42" + bytes(12) + struct.pack(">I", 16) + b"moov" + bytes(8)


@pytest.fixture
def picture():
    return Image.fromarray(simulate_photo(np.random.default_rng(7), 300, 200))


def saved(image, form, **options):
    file = io.BytesIO()
    image.save(file, form, **options)
    return file.getvalue()


def read(content, tmp_path, name="a"):
    (tmp_path / name).write_bytes(content)
    record, thumbnail = read_image(str(tmp_path / name), 32, 32)
    assert not record.error
    return record, thumbnail


def transparent(image, level):
    image = image.convert("RGBA")
    image.putpixel((5, 5), (1, 2, 3, level))
    return image


def deep():
    return Image.fromarray(np.arange(10000, dtype=np.uint16).reshape(100, 100))


def profile(name):
    return ImageCms.ImageCmsProfile(ImageCms.createProfile(name)).tobytes()


@pytest.mark.parametrize(
    ("content", "extras"),
    [
        (lambda p: saved(p, "JPEG"), ""),
        (lambda p: saved(p, "JPEG", icc_profile=profile("sRGB")), ""),
        (lambda p: saved(p, "JPEG", icc_profile=profile("LAB")), "colour profile"),
        (lambda p: saved(p, "PNG"), ""),
        (lambda p: saved(transparent(p, 255), "PNG"), ""),
        (lambda p: saved(transparent(p, 254), "PNG"), "transparency"),
        (lambda p: saved(transparent(p, 254), "WEBP", lossless=True), "transparency"),
        (lambda p: saved(p.quantize(8), "PNG", transparency=3), "transparency"),
        (
            lambda p: saved(Image.fromarray(np.arange(10000, dtype=np.uint16).reshape(100, 100)), "PNG"),
            "more than 8 bits",
        ),
        (lambda p: saved(p.convert("F"), "TIFF"), "more than 8 bits"),
        (lambda p: saved(p, "JPEG") + MP4, "motion picture"),
        (lambda p: saved(p, "JPEG") + b"SoundShot_000....SEFT", "sound"),
        (lambda p: saved(p, "JPEG") + bytes(20), ""),
        (lambda p: saved(p, "JPEG", xmp=b'<x GDepth:Format="RangeInverse"/>'), "depth map"),
        (lambda p: saved(p, "MPO", save_all=True, append_images=[p]), "depth map"),
        (lambda p: saved(p, "TIFF", tiffinfo={37724: b"Adobe Photoshop Document Data Block\0"}), "layers"),
        (lambda p: saved(p, "TIFF", tiffinfo={50706: b"\1\4\0\0"}), "raw data"),
        (lambda p: saved(transparent(p, 9), "PNG", icc_profile=profile("LAB")), "transparency, colour profile"),
    ],
)
def test_extras(content, extras, picture, tmp_path):
    assert read(content(picture), tmp_path)[0].extras == extras


def test_16_bit_colour(tmp_path):
    tifffile = pytest.importorskip("tifffile")
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((20, 20), np.uint16))
    assert read((tmp_path / "a.tif").read_bytes(), tmp_path)[0].extras == "more than 8 bits"


@pytest.mark.parametrize("form", ["HEIF", "AVIF"])
def test_deep_modern_formats(form, picture, tmp_path):
    pytest.importorskip("pillow_heif").register_heif_opener()
    content = saved(picture, form)
    assert read(content, tmp_path)[0].extras == ""
    film = struct.pack(">I", 8 + len(MP4)) + b"mpvd" + MP4
    assert read(content + film, tmp_path)[0].extras == "motion picture"


@pytest.mark.parametrize("form", ["GIF", "PNG", "WEBP", "TIFF", "AVIF"])
def test_frames(form, picture, tmp_path):
    others = [picture.rotate(angle) for angle in (90, 180)]
    assert read(saved(picture, form), tmp_path)[0].frames == 1
    assert read(saved(picture, form, save_all=True, append_images=others), tmp_path)[0].frames == 3


@pytest.mark.parametrize("form", ["MPO", "ICO"])
def test_forms_of_one_picture_are_one_frame(form, picture, tmp_path):
    options = {"save_all": True, "append_images": [picture]} if form == "MPO" else {"sizes": [(16, 16), (64, 64)]}
    assert read(saved(picture, form, **options), tmp_path)[0].frames == 1


def tiff(*pages):
    """Pages with their tags: (picture, {tag: value})."""
    file = io.BytesIO()
    with TiffImagePlugin.AppendingTiffWriter(file, True) as writer:
        for image, tags in pages:
            directory = TiffImagePlugin.ImageFileDirectory_v2()
            for tag, value in tags.items():
                directory[tag] = value
            image.save(writer, "TIFF", tiffinfo=directory)
            writer.newFrame()
    return file.getvalue()


@pytest.mark.parametrize("tags", [{254: 1}, {255: 2}, {}])
def test_a_preview_first_is_not_the_picture(tags, picture, tmp_path):
    small = Image.new("RGB", (75, 50), (255, 0, 0))
    record, found = read(tiff((small, tags), (picture, {})), tmp_path)
    assert (record.width, record.height) == (300, 200)
    assert record.frames == (1 if tags else 2)
    assert mse(found, read(saved(picture, "PNG"), tmp_path)[1]) < 1


def test_a_mask_first_and_previews_after(picture, tmp_path):
    mask = Image.new("L", (300, 200), 255)
    small = picture.resize((150, 100))
    record, found = read(tiff((mask, {254: 4}), (picture, {}), (small, {254: 1})), tmp_path)
    assert (record.width, record.mode, record.frames) == (300, "RGB", 1)
    assert mse(found, read(saved(picture, "PNG"), tmp_path)[1]) < 1


def test_a_document_is_shown_by_its_first_page(picture, tmp_path):
    cover = Image.new("L", (300, 200), 200)
    record, found = read(tiff((cover, {254: 2}), (picture, {254: 2})), tmp_path)
    assert (record.mode, record.frames) == ("L", 2)
    assert (found == 200).all()


def test_a_mask_that_cannot_be_read_is_passed_over(picture, tmp_path):
    content = bytearray(tiff((Image.new("L", (300, 200), 255), {254: 4}), (picture, {})))
    place = content.index(struct.pack("<HHI", 262, 3, 1)) + 8
    content[place : place + 2] = struct.pack("<H", 4)  # a mask by its colours, which Pillow does not know
    record, found = read(bytes(content), tmp_path)
    assert (record.width, record.mode, record.frames) == (300, "RGB", 1)
    assert mse(found, read(saved(picture, "PNG"), tmp_path)[1]) < 1


@pytest.mark.parametrize(
    "start", [b"\0\0\0\x18ftypcrx \0\0\0\1", b"FUJIFILMCCD-RAW ", b"II*\0\x10\0\0\0CR\2\0", b"IIU\0\x18\0\0\0", b"IIRO"]
)
def test_a_raw_file_without_a_picture_is_told_as_that(start, tmp_path):
    (tmp_path / "a.jpg").write_bytes(start + bytes(range(256)) * 8)
    record, thumbnail = read_image(str(tmp_path / "a.jpg"), 32, 32)
    assert thumbnail is None
    assert record.error.startswith("a raw file of a camera")
    assert (record.extras, record.retry) == ("raw data", False)


@pytest.mark.parametrize("raw", [{}, {262: 32803}])
def test_the_picture_in_a_directory_below(raw, picture, tmp_path):
    tifffile = pytest.importorskip("tifffile")
    with tifffile.TiffWriter(tmp_path / "a.tif") as file:
        file.write(np.asarray(picture.resize((75, 50))), photometric="rgb", subifds=1, subfiletype=1)
        file.write(np.asarray(picture), photometric="rgb", extratags=())
    content = bytearray((tmp_path / "a.tif").read_bytes())
    if raw:  # colours of the larger directory, as DNG has them
        place = content.rindex(struct.pack("<HHI", 262, 3, 1)) + 8
        content[place : place + 2] = struct.pack("<H", 32803)
    record, found = read(bytes(content), tmp_path)
    assert record.extras == ("raw data" if raw else "")
    if not raw:
        assert (record.width, record.height, record.frames) == (300, 200, 1)
        assert mse(found, read(saved(picture, "PNG"), tmp_path)[1]) < 1


def test_broken_directories_cost_nothing(picture, tmp_path, rng):
    content = tiff((picture.resize((75, 50)), {254: 1}), (picture, {}))
    for _ in range(60):
        broken = bytearray(content)
        for place in (
            rng.integers(4, len(content), 3).tolist() + rng.integers(len(content) - 300, len(content), 3).tolist()
        ):
            broken[place] = rng.integers(256)
        (tmp_path / "b.tif").write_bytes(broken)
        record, thumbnail = read_image(str(tmp_path / "b.tif"), 32, 32)
        assert (thumbnail is None) == bool(record.error)
