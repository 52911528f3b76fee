"""Raw files of a camera that never was: DNG with or without a preview."""

import io
import struct

import numpy as np
from PIL import Image

_FORMS = {3: "H", 4: "I", 5: "I", 10: "i"}


def dng(picture, preview=None, orientation=1):
    """Make a DNG file of a picture (even sides) whose first directory holds the values of an RGGB sensor.

    `preview` is a picture that is put into the file as JPEG.
    """
    values = np.asarray(picture).astype("<u2") * 256
    sensor = values[..., 1].copy()
    sensor[0::2, 0::2], sensor[1::2, 1::2] = values[0::2, 0::2, 0], values[1::2, 1::2, 2]
    height, width = sensor.shape
    out = bytearray(b"II*\0\0\0\0\0")
    tags = [(256, 4, [width]), (257, 4, [height]), (258, 3, [16]), (259, 3, [1]), (262, 3, [32803])]
    tags += [(273, 4, [_put(out, sensor.tobytes())]), (277, 3, [1]), (278, 4, [height]), (279, 4, [sensor.nbytes])]
    tags += [(33421, 3, [2, 2]), (33422, 1, [0, 1, 1, 2]), (50714, 3, [0]), (50717, 4, [65535]), (254, 4, [0])]
    tags += [(50706, 1, [1, 4, 0, 0]), (50707, 1, [1, 1, 0, 0]), (50708, 2, b"Nobody One\0"), (271, 2, b"Nobody\0")]
    tags += [(272, 2, b"One\0"), (274, 3, [orientation]), (50778, 3, [21]), (50728, 5, [1, 1] * 3)]
    tags += [(50721, 10, [1, 1, 0, 1, 0, 1, 0, 1, 1, 1, 0, 1, 0, 1, 0, 1, 1, 1])]
    if preview is not None:
        file = io.BytesIO()
        preview.save(file, "JPEG", quality=95)
        size = [(256, 4, [preview.width]), (257, 4, [preview.height]), (278, 4, [preview.height])]
        kind = [(254, 4, [1]), (258, 3, [8, 8, 8]), (259, 3, [7]), (262, 3, [6]), (277, 3, [3])]
        place = [(273, 4, [_put(out, file.getvalue())]), (279, 4, [len(file.getvalue())])]
        tags.append((330, 4, [_directory(out, size + kind + place)]))
    out[4:8] = struct.pack("<I", _directory(out, tags))
    return bytes(out)


def _put(out, data):
    place = len(out)
    out.extend(data + b"\0" * (len(data) % 2))
    return place


def _directory(out, tags):
    rows = []
    for tag, kind, values in sorted(tags):
        count = len(values) // 2 if kind in (5, 10) else len(values)
        data = bytes(values) if kind in (1, 2) else struct.pack(f"<{len(values)}{_FORMS[kind]}", *values)
        data = data if len(data) <= 4 else struct.pack("<I", _put(out, data))
        rows.append(struct.pack("<HHI", tag, kind, count) + data.ljust(4, b"\0"))
    return _put(out, struct.pack("<H", len(rows)) + b"".join(rows) + b"\0\0\0\0")


def gentle(width, height, seed=0):
    """Make a picture without fine detail, which a developed sensor shows as well."""
    small = np.random.default_rng(seed).integers(40, 216, (4, 5, 3), np.uint8)
    return Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC)
