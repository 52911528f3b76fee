"""PNG files with large texts, wrong checksums and transparent colours of all depths."""

import os
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from fastdiff_dask.images.decode import read_image
from fastdiff_dask.testing import simulate_photo


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def texts(size):
    text = zlib.compress(os.urandom(1000).hex().encode() * (size // 2000))
    return {
        "zTXt": chunk(b"zTXt", b"workflow\0\0" + text),
        "iTXt": chunk(b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + text),
        "iCCP": chunk(b"iCCP", b"p\0\0" + text),
        "tEXt": chunk(b"tEXt", b"parameters\0" + b"x" * size),
    }


@pytest.fixture
def png(tmp_path):
    Image.fromarray(simulate_photo(np.random.default_rng(0), 60, 40)).save(tmp_path / "a.png")
    return (tmp_path / "a.png").read_bytes()


def read(content, path):
    path.write_bytes(content)
    return read_image(str(path), 32, 32)


@pytest.mark.parametrize("kind", ["zTXt", "iTXt", "iCCP", "tEXt"])
@pytest.mark.parametrize("size", [1_500_000, 40_000_000])
@pytest.mark.parametrize("place", [33, -12])
def test_large_texts_do_not_matter(kind, size, place, png, tmp_path):
    plain = read(png, tmp_path / "b.png")[1]
    record, found = read(png[:place] + texts(size)[kind] + png[place:], tmp_path / "c.png")
    assert not record.error
    np.testing.assert_array_equal(found, plain)


def test_many_large_texts_do_not_matter(png, tmp_path):
    record, _ = read(png[:33] + texts(9_000_000)["zTXt"] * 20 + png[33:], tmp_path / "c.png")
    assert not record.error


def test_many_small_texts_that_are_large_once_decompressed_do_not_matter(png, tmp_path):
    text = chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(900_000)))
    assert len(text) < 1024
    record, _ = read(png[:33] + text * 100 + png[33:], tmp_path / "c.png")
    assert not record.error


@pytest.mark.parametrize(
    "bad",
    [
        chunk(b"pHYs", b""),
        chunk(b"gAMA", b""),
        chunk(b"tEXt", b"") + chunk(b"zTXt", b"") + chunk(b"iTXt", b"") + chunk(b"iCCP", b""),
        chunk(b"zTXt", b"a\0\x09of a method that is not known"),
    ],
)
def test_chunks_cut_short_or_of_another_kind_do_not_matter(bad, png, tmp_path):
    record, found = read(png[:33] + bad + png[33:], tmp_path / "c.png")
    assert not record.error
    np.testing.assert_array_equal(found, read(png, tmp_path / "b.png")[1])


@pytest.mark.parametrize("place", [33, -12])
def test_a_wrong_checksum_of_what_is_no_pixel_is_a_warning(place, png, tmp_path):
    bad = bytearray(chunk(b"pHYs", struct.pack(">IIB", 2835, 2835, 1)))
    bad[-1] ^= 1
    record, found = read(png[:place] + bytes(bad) + png[place:], tmp_path / "b.png")
    assert not record.error
    if place > 0:  # Pillow does not look at what comes after the pixels
        assert record.warnings == "the PNG chunk pHYs has a wrong checksum, and was left out"
    np.testing.assert_array_equal(found, read(png, tmp_path / "c.png")[1])


def test_a_wrong_checksum_of_pixels_is_an_error(png, tmp_path):
    place = png.index(b"IDAT") + 20
    assert read(png[:place] + bytes([png[place] ^ 1]) + png[place + 1 :], tmp_path / "b.png")[0].error


def picture(depth, colours, values, transparent):
    """A PNG file of 32 × 32 pixels, of these rows of bytes."""
    rows = b"".join(b"\0" + row for row in values)
    header = struct.pack(">IIBBBBB", 32, 32, depth, colours, 0, 0, 0)
    parts = chunk(b"IHDR", header) + chunk(b"tRNS", struct.pack(f">{len(transparent)}H", *transparent))
    return b"\x89PNG\r\n\x1a\n" + parts + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


@pytest.mark.parametrize("transparent", [0, 1])
@pytest.mark.parametrize("depth", [1, 2, 4, 8, 16])
def test_transparent_grey(depth, transparent, tmp_path):
    """The left half has level 1, the right half 0: one of them is transparent, so that white shows, or grey."""
    left = {1: b"\xff\xff", 2: b"\x55" * 4, 4: b"\x11" * 8, 8: b"\1" * 16, 16: b"\0\1" * 16}[depth]
    record, found = read(picture(depth, 0, [left + bytes(len(left))] * 32, [transparent]), tmp_path / "a.png")
    assert not record.error
    level = {1: 255, 2: 85, 4: 17, 8: 1, 16: 0}[depth]
    shown, ground = (found[:, 17:], found[:, :14]) if transparent else (found[:, :14], found[:, 17:])
    assert abs(int(shown.mean()) - (0 if transparent else level)) <= 1
    assert (ground == (0 if level == 255 and not transparent else 255)).all()


def test_transparent_colour_of_16_bits(tmp_path):
    left, right = struct.pack(">3H", 0x1234, 0x5678, 0x9ABC) * 16, struct.pack(">3H", 0, 0, 0x8000) * 16
    record, found = read(picture(16, 2, [left + right] * 32, [0x1234, 0x5678, 0x9ABC]), tmp_path / "a.png")
    assert not record.error
    assert (found[:, :14] == 255).all()
    assert (found[:, 18:] == [0, 0, 128]).all()
