"""The process that decodes: requests come in on standard input, results go out on standard output.

Decoders are written in C, and a broken picture may crash or hang them. Here that costs this process, not the one that
has the work; `readers` starts another. Imports nothing but Pillow and NumPy, so that it starts in a tenth of a second.
"""

import io
import os
import pickle
import signal
import sys
from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from typing import Any, BinaryIO, NamedTuple

from PIL import ImageFile

from .config import PIXEL_LIMIT
from .images import ImageRecord, open_file, read_opened

__all__ = ["READY", "ListedFile", "Request", "main"]

READY = "ready"
_FEED_BYTES = 1 << 20


class ListedFile(NamedTuple):
    """A file, and its size (bytes) and time of modification (nanoseconds) as they were listed."""

    path: bytes
    size: int
    mtime_ns: int


class Request(NamedTuple):
    """Files to read, one after the other, and how.

    Attributes
    ----------
    files
        The files.
    width, height, exact_decode, pixel_limit
        See `images.read_opened`.
    time_limit
        Seconds for a file, after which this process ends itself; 0 for no limit. Nothing on systems without alarms.
    ahead
        Files that are opened while an earlier one is read.
    """

    files: list[ListedFile]
    width: int
    height: int
    exact_decode: bool = False
    pixel_limit: int = PIXEL_LIMIT
    time_limit: float = 0.0
    ahead: int = 0


def _answers(request: Request) -> Iterator[tuple[ImageRecord, bytes]]:
    opened: deque[io.FileIO | OSError] = deque()
    for index, listed in enumerate(request.files):
        # the default action of the alarm ends the process even in the middle of a decoder's loop
        if hasattr(signal, "setitimer"):
            signal.setitimer(signal.ITIMER_REAL, request.time_limit)
        for soon in request.files[index + len(opened) : index + 1 + request.ahead]:
            try:
                opened.append(open_file(soon.path))
            except OSError as error:
                opened.append(error)
        yield _read(opened.popleft(), listed, request)


def _read(file: io.FileIO | OSError, listed: ListedFile, request: Request) -> tuple[ImageRecord, bytes]:
    if isinstance(file, OSError):
        error = f"{type(file).__name__}: {file.strerror}"
        return ImageRecord(error=error, retry=True), b""
    with file:
        record, thumbnail = read_opened(
            file,
            (listed.size, listed.mtime_ns),
            request.width,
            request.height,
            exact_decode=request.exact_decode,
            pixel_limit=request.pixel_limit,
        )
    return record, b"" if thumbnail is None else thumbnail.tobytes()


def main() -> None:
    """Answer requests until the other side closes the pipe; its death closes it too."""
    # by default, a JPEG file is fed to its decoder by 64 KiB, each of which costs 100 µs of starting in the middle
    ImageFile.MAXBLOCK = _FEED_BYTES
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the process that has the work
    if hasattr(signal, "setitimer"):
        signal.signal(signal.SIGALRM, signal.SIG_DFL)  # may be inherited otherwise
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGALRM})
    answers = os.fdopen(os.dup(1), "wb", buffering=1 << 16)
    with open(os.devnull, "wb") as nothing:  # noqa: PTH123
        os.dup2(nothing.fileno(), 1)  # whatever a decoder prints must not end up between the answers
    with suppress(BrokenPipeError):
        _send(answers, READY)
        while True:
            try:
                request: Request = pickle.load(sys.stdin.buffer)
            except EOFError:
                return
            for answer in _answers(request):
                if hasattr(signal, "setitimer"):
                    signal.setitimer(signal.ITIMER_REAL, 0)  # waiting for the other side is nobody's fault
                _send(answers, answer)


def _send(answers: BinaryIO, answer: Any) -> None:
    pickle.dump(answer, answers, protocol=pickle.HIGHEST_PROTOCOL)
    answers.flush()
