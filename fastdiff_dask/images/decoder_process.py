"""The decoder process: requests come in on standard input, answers go out on standard output.

Decoders are written in C, and a broken picture may crash or hang them. Then this process is lost, not the worker that
started it, and `decoder_pool` starts another one. It imports Pillow and NumPy only, so that it starts in a tenth of a
second, and fsspec when it has to read from a URL.
"""

import io
import os
import pickle
import signal
import struct
import sys
import threading
import time
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import nullcontext, suppress
from functools import cache
from typing import Any, BinaryIO, NamedTuple

from PIL import EpsImagePlugin, Image, ImageFile

from ..config import PIXEL_LIMIT
from ..errors import FastDiffError
from ..text import printable
from ..urls import ChangedError, describe, fetch, is_url
from .decode import (
    ImageRecord,
    changed_record,
    failed_record,
    open_file,
    oversized_record,
    read_opened,
    state_of,
    unopened_record,
)
from .films import FILM_FRAME, frame_content, frame_hash, length_of, split_frame

__all__ = ["LENGTH", "READY", "Answer", "ListedFile", "Request", "answers", "fetched", "main"]

READY = "ready"
# Stands for a size of a second look: the length of a film in seconds, and no picture.
LENGTH = (0, 2)
# Files from afar that are fetched while earlier ones are read, and their bytes (one may be larger): a request takes
# some ten times as long as decoding a small picture.
_FETCHED, _FETCHED_BYTES = 32, 1 << 26
_FEED_BYTES = 1 << 20
_WATCH_SECONDS = 0.5
# Memory of a decoder process: for itself and the files that are open, and for each pixel that a picture may have. A
# picture with an alpha channel takes 12 bytes a pixel, see `resize`, and 32-bit values 16.
_OWN_BYTES, _PIXEL_BYTES, _MOST_BYTES = 1 << 30, 16, 1 << 62


class ListedFile(NamedTuple):
    """A file, and its size (bytes) and time of modification (nanoseconds) as they were listed.

    Attributes
    ----------
    path
        Path, or URL; or the name of a frame of a film, see `films.frame_name`.
    size, mtime_ns
        As they were listed; of a frame, those of the film.
    content
        Its content, or the record of a failure, if it was read already.
    look
        Width and height of its frames for a second look, see `frames.look_at`; `LENGTH`; or None for a thumbnail.
    """

    path: bytes
    size: int
    mtime_ns: int
    content: bytes | ImageRecord | None = None
    look: tuple[int, int] | None = None


class Request(NamedTuple):
    """Files to read, one after the other, and the settings for it.

    Attributes
    ----------
    files
        The files.
    width, height, exact_decode, pixel_limit
        See `decode.read_opened`.
    time_limit
        Seconds for a file, after which this process ends itself; 0 for no limit. Systems without alarms
        ignore it.
    ahead
        Local files that are opened while an earlier one is read; more are fetched from afar, unless it is 0.
    at_once
        Files that are answered together.
    """

    files: list[ListedFile]
    width: int
    height: int
    exact_decode: bool = False
    pixel_limit: int = PIXEL_LIMIT
    time_limit: float = 0.0
    ahead: int = 0
    at_once: int = 1


class Answer(NamedTuple):
    """The results of reading some files.

    Attributes
    ----------
    records
        One for each file.
    thumbnails
        Those of the records without an error, one after the other: (height, width, 3) uint8 each. For a second look
        the frames, as `frames.look_at` gives them.
    """

    records: list[ImageRecord]
    thumbnails: bytes


_Opened = io.FileIO | bytes | ImageRecord


def answers(request: Request) -> Iterator[Answer]:
    """Read the files, some at a time."""
    opened: deque[_Opened | Future[_Opened]] = deque()
    records: list[ImageRecord] = []
    thumbnails: list[bytes] = []
    for index, listed in enumerate(request.files):
        # the default action of the alarm ends the process even in the middle of a decoder's loop
        _set_alarm(request.time_limit)
        _open_ahead(opened, request, index)
        first = opened.popleft()
        record, thumbnail = _read(first.result() if isinstance(first, Future) else first, listed, request)
        records.append(record)
        thumbnails.append(thumbnail)
        if len(records) == request.at_once or index == len(request.files) - 1:
            _set_alarm(0)  # waiting for the other side does not count
            yield Answer(records, b"".join(thumbnails))
            records, thumbnails = [], []


def _open_ahead(opened: "deque[_Opened | Future[_Opened]]", request: Request, index: int) -> None:
    """Open the file of this index, if it is not open, and some after it; threads fetch those at URLs."""
    while index + len(opened) < len(request.files):
        soon = request.files[index + len(opened)]
        remote = soon.content is None and is_url(os.fsdecode(soon.path))
        if opened:
            if len(opened) > (_FETCHED if remote and request.ahead else request.ahead):
                return
            ahead = request.files[index : index + len(opened) + 1]
            if remote and sum(max(file.size, 0) for file in ahead) > _FETCHED_BYTES:
                return
        opened.append(_threads().submit(fetched, soon) if remote else _open(soon))


@cache
def _threads() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(_FETCHED, thread_name_prefix="fetch")


def _open(listed: ListedFile) -> _Opened:
    if listed.content is not None:
        return listed.content
    try:
        return open_file(listed.path)
    except FileNotFoundError as error:
        film, seconds = split_frame(os.fsdecode(listed.path))
        if seconds is None:
            return unopened_record(error)
        with suppress(OSError):
            return open_file(os.fsencode(film))
        return unopened_record(error)
    except OSError as error:
        return unopened_record(error)


def fetched(listed: ListedFile) -> bytes | ImageRecord:
    """Fetch the content of a file at a URL; if that fails, give a record with the reason."""
    try:
        return fetch(os.fsdecode(listed.path), listed.size, listed.mtime_ns)
    except ChangedError:
        return changed_record()
    except Exception as error:  # backends raise errors of any kind; a file that cannot be fetched costs one row
        return unopened_record(describe(error))


def _set_alarm(seconds: float) -> None:
    if hasattr(signal, "setitimer"):
        signal.setitimer(signal.ITIMER_REAL, seconds)


def _limit_memory(pixel_limit: int) -> None:
    """Limit the memory of this process, where the system can: a file that needs more is an error."""
    with suppress(ImportError):  # Windows
        import resource

        hard = resource.getrlimit(resource.RLIMIT_DATA)[1]
        limit = min(_OWN_BYTES + _PIXEL_BYTES * pixel_limit, _MOST_BYTES)
        resource.setrlimit(resource.RLIMIT_DATA, (limit if hard < 0 else min(limit, hard), hard))


def _read(file: _Opened, listed: ListedFile, request: Request) -> tuple[ImageRecord, bytes]:
    if isinstance(file, ImageRecord):
        return file, b""
    state = None if isinstance(file, bytes) else (listed.size, listed.mtime_ns)
    with nullcontext() if isinstance(file, bytes) else file:
        if not isinstance(file, bytes) and _is_of_film(listed):
            return _read_film(file, state, listed, request)
        if listed.look is not None:
            from .frames import look_at

            return look_at(file, state, listed.look, request.pixel_limit)
        record, thumbnail = read_opened(
            file,
            state,
            request.width,
            request.height,
            exact_decode=request.exact_decode,
            pixel_limit=request.pixel_limit,
        )
    return record, b"" if thumbnail is None else thumbnail.tobytes()


def _is_of_film(listed: ListedFile) -> bool:
    """Tell if a frame or the length of a film is asked for; a file that has the name of a frame is a file."""
    return listed.look == LENGTH or (b"#t=" in listed.path and not os.path.lexists(listed.path))


def _read_film(
    file: io.FileIO, state: tuple[int, int] | None, listed: ListedFile, request: Request
) -> tuple[ImageRecord, bytes]:
    """Read a frame of a film as if it were a file, or the length of a film, 8 bytes."""
    if state_of(file) != state:
        return changed_record(), b""
    try:
        if listed.look == LENGTH:
            return ImageRecord(), struct.pack("<d", length_of(file))
        _, seconds = split_frame(os.fsdecode(listed.path))
        content = frame_content(file, seconds or 0.0, request.pixel_limit)
    except Image.DecompressionBombError:
        return oversized_record(request.pixel_limit), b""
    except FastDiffError as error:
        return ImageRecord(error=printable(str(error))), b""
    except Exception as error:  # as in `decode.read_opened`: a broken film costs its rows
        return failed_record(error), b""
    record, pixels = _read(content, listed._replace(content=content), request)
    if record.error:
        return record, pixels
    made = frame_hash(listed.path, state, content)
    return record._replace(format="FILM", extras=FILM_FRAME, content_hash=made), pixels


def main() -> None:
    """Answer requests until the other side closes the pipe, or ends, which closes it too."""
    # by default, a JPEG file is fed to its decoder by 64 KiB, each of which costs 100 µs of starting in the middle
    ImageFile.MAXBLOCK = _FEED_BYTES
    EpsImagePlugin.gs_binary = False  # no picture inside another one may start Ghostscript either
    threading.Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the process that has the work
    if hasattr(signal, "setitimer"):
        signal.signal(signal.SIGALRM, signal.SIG_DFL)  # may be inherited otherwise
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGALRM})
    output = os.fdopen(os.dup(1), "wb", buffering=1 << 16)
    with open(os.devnull, "wb") as nothing:  # noqa: PTH123
        os.dup2(nothing.fileno(), 1)  # texts that a decoder prints must not end up between the answers
    with suppress(BrokenPipeError):
        _send(output, READY)
        while True:
            try:
                request: Request = pickle.load(sys.stdin.buffer)
            except EOFError:
                return
            _limit_memory(request.pixel_limit)
            for answer in answers(request):
                _send(output, answer)


def _end_with(parent: int) -> None:
    """End this process soon after its parent has ended, in the middle of its work if need be."""
    while os.getppid() == parent:
        time.sleep(_WATCH_SECONDS)
    os._exit(1)


def _send(output: BinaryIO, message: Any) -> None:
    pickle.dump(message, output, protocol=pickle.HIGHEST_PROTOCOL)
    output.flush()
