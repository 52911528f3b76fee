"""Films made of pictures, each shown for some seconds."""

import av
import numpy as np
from PIL import Image

RATE = 10


def scene(seed, size=(160, 120)):
    """Make a picture with soft shapes, as films keep them."""
    small = np.random.default_rng(seed).integers(20, 236, (4, 5, 3), np.uint8)
    return Image.fromarray(small).resize(size, Image.Resampling.BICUBIC)


def write_film(path, pictures, seconds=2.0, codec="mpeg4"):
    """Write a film that shows each picture for so long."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=RATE)
        stream.width, stream.height = pictures[0].size
        stream.pix_fmt = "yuv420p"
        stream.bit_rate = 4_000_000
        for picture in pictures:
            for _ in range(round(seconds * RATE)):
                for packet in stream.encode(av.VideoFrame.from_image(picture)):
                    container.mux(packet)
        for packet in stream.encode():
            container.mux(packet)
