"""Frames of films and animations, each an image of its own: its name, its time, its picture. PyAV, and Pillow."""

import hashlib
import io
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, BinaryIO

from PIL import Image, ImageSequence

from ..errors import FastDiffError
from .opening import MissingDecoderError

__all__ = ["ANIMATIONS", "FILMS", "FILM_FRAME", "frame_content", "frame_hash", "frame_name", "length_of", "split_frame"]

# The word for a frame among the parts of a picture that a plain file lacks, see `contents`.
FILM_FRAME = "frame of a film"
# Endings of films, and of pictures that may be animated: of these, the first frame is an image in any case.
FILMS = (
    *(".3g2", ".3gp", ".avi", ".flv", ".m2ts", ".m4v", ".mkv", ".mov", ".mp4"),
    *(".mpeg", ".mpg", ".mts", ".ogv", ".ts", ".vob", ".webm", ".wmv"),
)
ANIMATIONS = (".apng", ".gif", ".webp")
# A time in the name of a frame, as in addresses of media (W3C, Media Fragments URI 1.0).
_TIME = re.compile(r"#t=(\d{1,9}(?:\.\d{1,3})?)\Z")
# Formats of animations.
_ANIMATED = ("GIF", "PNG", "WEBP")
# Seconds of a frame of an animation that names none, as browsers show it.
_FRAME_SECONDS = 0.1
# Turns that a film asks for, in degrees counter-clockwise.
_TURNS = {
    90: Image.Transpose.ROTATE_90,
    180: Image.Transpose.ROTATE_180,
    270: Image.Transpose.ROTATE_270,
}


def frame_name(path: str, seconds: float) -> str:
    """Give the name of the frame of a film at a time.

    Examples
    --------
    >>> frame_name("a.mp4", 10.0), frame_name("a.mp4", 2.5)
    ('a.mp4#t=10', 'a.mp4#t=2.5')
    """
    return f"{path}#t={round(seconds, 3):.10g}"


def split_frame(path: str) -> tuple[str, float | None]:
    """Split the name of a frame into that of its film and its time in seconds; None of another file.

    Examples
    --------
    >>> split_frame("a.mp4#t=2.5"), split_frame("a.mp4"), split_frame("notes#t=1")
    (('a.mp4', 2.5), ('a.mp4', None), ('notes#t=1', None))
    """
    found = _TIME.search(path)
    if not found or not path[: found.start()].lower().endswith((*FILMS, *ANIMATIONS)):
        return path, None
    return path[: found.start()], float(found[1])


def frame_hash(path: bytes, listed: tuple[int, int] | None, pixels: bytes) -> str:
    """Content hash of a frame, which no file has, and no frame of another film.

    Two frames are never the same file, however equal they look. So the name of the frame, and the size and the time of
    modification of its film, are a part of what is hashed (SHA-256).
    """
    return hashlib.sha256(b"\0".join([FILM_FRAME.encode(), path, repr(listed).encode(), pixels])).hexdigest()


def length_of(file: BinaryIO) -> float:
    """Length of a film or an animation in seconds; 0 of a single picture.

    Raises
    ------
    MissingDecoderError, FastDiffError
        If PyAV is not installed, or there is no film in the file.
    """
    animation = _animation(file)
    if animation is not None:
        return sum(seconds for seconds, _ in _shown(animation))
    with _film(file) as (container, stream):
        if stream.duration:
            return float(stream.duration * stream.time_base)
        if container.duration:
            return container.duration / 1e6
        # as files from a browser's recorder, which do not tell
        return max(
            (packet.pts * float(packet.time_base) for packet in container.demux(stream) if packet.pts), default=0
        )


def frame_content(file: BinaryIO, seconds: float, pixel_limit: int) -> bytes:
    """Read the frame that is shown at a time, upright, as the content of a BMP file.

    Memory: a frame and a copy.

    Parameters
    ----------
    file
        The film.
    seconds
        The time from its beginning.
    pixel_limit
        Pixels of a frame, at most.

    Returns
    -------
    The content, of 24 bits a pixel.

    Raises
    ------
    MissingDecoderError, FastDiffError
        If PyAV is not installed, or there is no frame at this time.
    PIL.Image.DecompressionBombError
        If a frame has more pixels.
    """
    animation = _animation(file)
    frame = _film_frame(file, seconds, pixel_limit) if animation is None else _animation_frame(animation, seconds)
    if frame is None:
        raise FastDiffError(f"there is no frame at {seconds:g} seconds")
    content = io.BytesIO()
    frame.save(content, "BMP")
    return content.getvalue()


def _animation(file: BinaryIO) -> Image.Image | None:
    """Open an animation; None of another file."""
    file.seek(0)
    with suppress(Exception):  # Pillow raises nearly every type for a file that is something else
        return Image.open(file, formats=_ANIMATED)
    return None


def _shown(animation: Image.Image) -> Iterator[tuple[float, Image.Image]]:
    """Frames of an animation, with the seconds for which each one is shown; a single picture has none."""
    if getattr(animation, "n_frames", 1) > 1:
        for frame in ImageSequence.Iterator(animation):
            frame.load()
            yield (frame.info.get("duration") or 0) / 1000 or _FRAME_SECONDS, frame


def _animation_frame(animation: Image.Image, seconds: float) -> Image.Image | None:
    end = 0.0
    for shown, frame in _shown(animation):
        end += shown
        if end > seconds + 1e-6:
            whole = frame.convert("RGBA")
            return Image.alpha_composite(Image.new("RGBA", whole.size, "white"), whole).convert("RGB")
    return None


@contextmanager
def _film(file: BinaryIO) -> Iterator[tuple[Any, Any]]:
    """Open a film: its container, and its first stream of pictures."""
    try:
        import av
    except Exception:  # it may be installed and not load, for want of a library
        raise MissingDecoderError("films cannot be read here: pip install 'fastdiff_dask[video]'") from None
    file.seek(0)
    try:
        # what a playlist names is not opened: a film in a folder of pictures must not lead anywhere else
        container = av.open(file, mode="r", options={"protocol_whitelist": "none"})
    except (av.FFmpegError, ValueError, OSError) as error:
        raise FastDiffError(f"not a film that can be read ({getattr(error, 'strerror', None) or error})") from None
    with container:
        if not container.streams.video:
            raise FastDiffError("the film has no pictures, only sound")
        stream = container.streams.video[0]
        if stream.codec_context is None:
            raise FastDiffError("the film is of a kind that PyAV cannot decode")
        stream.codec_context.thread_count = 1  # a decoder process is one of as many as there are threads
        try:
            yield container, stream
        except av.FFmpegError as error:
            raise FastDiffError(f"the film is broken ({error.strerror or error})") from None


def _film_frame(file: BinaryIO, seconds: float, pixel_limit: int) -> Image.Image | None:
    """Decode the last frame that begins at a time or before, from the key frame before it on."""
    with _film(file) as (container, stream):
        if stream.width * stream.height > pixel_limit:
            raise Image.DecompressionBombError
        start = stream.start_time or 0
        wanted = start + round(seconds / stream.time_base)
        if seconds:
            container.seek(wanted, stream=stream, backward=True)
        found = None
        for frame in container.decode(stream):
            if found is not None and frame.pts is not None and frame.pts > wanted:
                break
            found = frame
        if found is None:
            return None
        if found.width * found.height > pixel_limit:
            raise Image.DecompressionBombError
        picture: Image.Image = found.to_image()
        turn = _TURNS.get(round(getattr(found, "rotation", 0)) % 360)
        return picture if turn is None else picture.transpose(turn)
