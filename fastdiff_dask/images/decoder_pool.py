"""Decoder processes, and their reuse: a decoder that crashes or hangs costs one file."""

import os
import pickle
import queue
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from ..errors import FastDiffError
from .decode import ImageRecord
from .decoder_process import READY, Answer, ListedFile, Request, fetched

__all__ = ["TRIM_VARIABLE", "ImageReader", "close_readers", "own_environment", "reader", "start_readers"]

_START = "import sys; sys.path.insert(0, sys.argv[1]); from fastdiff_dask.images.decoder_process import main; main()"
# A process may be killed while it starts, if memory is short.
_STARTS = 3
# Some dozen thumbnails: the decoder goes on while the other side computes (F_SETPIPE_SZ of Linux).
_SET_PIPE_SIZE, _PIPE_BYTES = 1031, 1 << 20
_AHEAD = 8
_MEMORY = b"memory://"
TRIM_VARIABLE = "MALLOC_TRIM_THRESHOLD_"


class ImageReader:
    """Reads files by a decoder process, which it starts when needed, and again when it was lost.

    It is not for several threads at a time, see `reader`.
    """

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._begun: subprocess.Popen[bytes] | None = None

    def begin(self) -> None:
        """Start a process, and do not wait until it can read; the first file does."""
        with suppress(OSError, TypeError):  # tried again, and explained, when it is needed
            self._begun = _new_process(subprocess.DEVNULL)

    def read(self, request: Request) -> Iterator[Answer]:
        """Read files, in their order.

        If the process is lost, or a file takes too long, the next files without an answer are read one by one. A file
        is an error if it takes too long again, or if two more processes are lost at it, and the others go on.

        Yields
        ------
        Answers for some of the files each, at most `Request.at_once`.

        Raises
        ------
        FastDiffError
            If no process can be started.
        """
        for files in _parts(request):
            yield from self._read(request._replace(files=files))

    def _read(self, request: Request) -> Iterator[Answer]:
        left = request.files
        while left:
            for answer in self._answers(request._replace(files=left, ahead=_AHEAD)):
                left = left[len(answer.records) :]
                yield answer
            careful, left = left[: request.at_once], left[request.at_once :]
            if careful:
                self._end()
            for file in careful:
                yield self._alone(request._replace(files=[file], ahead=0, at_once=1))

    def _alone(self, request: Request) -> Answer:
        """Read one file; if the process is lost, the record says so."""
        record = ImageRecord()
        for _ in range(2):
            for answer in self._answers(request):
                return answer
            record = self._lost(request)
            if record.time_limit:
                break
        return Answer([record], b"")

    def _answers(self, request: Request) -> Iterator[Answer]:
        """Give the answers of the process to a request, until it is lost."""
        process = self._process or self._start()
        assert process.stdin is not None
        try:
            pickle.dump(request, process.stdin, protocol=pickle.HIGHEST_PROTOCOL)
            process.stdin.flush()
        except BrokenPipeError:
            return
        for _ in range(0, len(request.files), request.at_once):
            answer = _receive(process)
            if answer is None:
                return
            yield answer

    def _start(self) -> subprocess.Popen[bytes]:
        begun, self._begun = self._begun, None
        if begun is not None and self._is_ready(begun):
            return begun
        with tempfile.TemporaryFile() as complaints:
            for _ in range(_STARTS):
                try:
                    process = _new_process(complaints)
                except (OSError, TypeError) as error:
                    raise FastDiffError(f"no process to decode pictures could be started ({error})") from None
                if self._is_ready(process):
                    return process
                code = process.returncode
            complaints.seek(0)
            last = complaints.read().decode(errors="replace").strip().splitlines()[-1:]
        raise FastDiffError(
            f"the process to decode pictures ended at its start ({' '.join(last) or f'exit code {code}'}); check the "
            f"installation"
        )

    def _is_ready(self, process: subprocess.Popen[bytes]) -> bool:
        """Wait until a process can read, and use it; end it if it cannot."""
        self._process = process
        if _receive(process) != READY:
            self._end()
            return False
        _enlarge(process)
        return True

    def _lost(self, request: Request) -> ImageRecord:
        """Make the record of a file at which the process was lost."""
        code = self._end()
        if code == -getattr(signal, "SIGALRM", 0) and request.time_limit:
            error = f"reading took longer than {request.time_limit:g} s; a higher time limit tries again"
            return ImageRecord(error=error, time_limit=request.time_limit)
        try:
            name = signal.Signals(-code).name
        except ValueError:
            name = f"exit code {code}"
        # out of memory, or somebody's hand, rather than the picture
        killed = name in ("SIGKILL", "SIGTERM")
        return ImageRecord(error=f"the decoder crashed ({name})", retry=killed)

    def _end(self) -> int:
        """End the process, and give its exit code."""
        process, self._process = self._process, None
        if process is None:
            return 0
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                with suppress(BrokenPipeError):
                    pipe.close()
        try:
            return process.wait(timeout=1)
        except subprocess.TimeoutExpired:
            process.kill()
            return process.wait()

    def close(self) -> None:
        """End the process."""
        self._process, self._begun = self._process or self._begun, None
        self._end()


def _new_process(complaints: int | IO[bytes]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-P", "-c", _START, str(Path(__file__).parents[2])],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=complaints,
        bufsize=1 << 16,
        env=own_environment(),
    )


def _parts(request: Request) -> Iterator[list[ListedFile]]:
    """Split the files of a request; those in the memory of this process are read here, some at a time."""
    if not any(file.path.startswith(_MEMORY) for file in request.files):
        yield request.files
        return
    for first in range(0, len(request.files), request.at_once):
        some = request.files[first : first + request.at_once]
        yield [file._replace(content=fetched(file)) if file.path.startswith(_MEMORY) else file for file in some]


def _enlarge(process: subprocess.Popen[bytes]) -> None:
    """Make the pipe of a process so large that answers for some dozen pictures can wait in it."""
    if sys.platform == "linux" and process.stdout is not None:
        import fcntl

        with suppress(OSError):  # more than the system allows
            fcntl.fcntl(process.stdout, _SET_PIPE_SIZE, _PIPE_BYTES)


def _receive(process: subprocess.Popen[bytes]) -> Any:
    assert process.stdout is not None
    try:
        return pickle.load(process.stdout)
    except (EOFError, pickle.UnpicklingError):
        return None


_idle: queue.SimpleQueue[ImageReader] = queue.SimpleQueue()


@contextmanager
def reader() -> Iterator[ImageReader]:
    """Lend a reader to this thread, and reuse it afterwards unless an error was raised."""
    try:
        one = _idle.get_nowait()
    except queue.Empty:
        one = ImageReader()
    try:
        yield one
    except BaseException:
        one.close()
        raise
    _idle.put(one)


def start_readers(number: int) -> None:
    """Start some decoder processes that will be needed, while this process does something else."""
    for _ in range(number):
        one = ImageReader()
        one.begin()
        _idle.put(one)


def close_readers() -> None:
    """End the readers of this process that nobody uses."""
    with suppress(queue.Empty):
        while True:
            _idle.get_nowait().close()


def own_environment() -> dict[str, str]:
    """Environment for a process that is started here: this one's without `TRIM_VARIABLE`."""
    return {name: value for name, value in os.environ.items() if name != TRIM_VARIABLE}
