"""Standard output and standard error that fail, as a closed pipe or a full log does: the work goes on without them."""

import io
import select
import sys
from typing import Any

from ..errors import FastDiffError

__all__ = ["check_output", "keep_on_writing", "nobody_reads"]


class _Output(io.FileIO):
    """A file descriptor whose errors are noted and stop nothing; what cannot be written is dropped."""

    error: OSError | None = None

    def write(self, data: Any) -> int:
        try:
            return super().write(data)
        except OSError as error:
            self.error = error
            return memoryview(data).nbytes


_outputs: list[_Output] = []


def keep_on_writing() -> None:
    """Let no error of standard output or standard error stop the work; `check_output` tells of it in the end."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        # neither the stream of a test or a notebook, nor the console of Windows, which takes no bytes
        ours = stream is getattr(sys, f"__{name}__") and type(stream) is io.TextIOWrapper
        if ours and not (sys.platform == "win32" and stream.isatty()):
            setattr(sys, name, _safe(stream))


def check_output() -> None:
    """Write what waits to be written.

    Raises
    ------
    FastDiffError
        If anything could not be written until now.
    """
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            stream.flush()
    for output in _outputs:
        if output.error is not None:
            reason = output.error.strerror
            raise FastDiffError(f"the work is done, but some of what was to be said could not be written: {reason}")


def nobody_reads() -> bool:
    """Tell whether what reads standard output has gone, as far as is known: a command that never ends ends then."""
    if any(output.error is not None for output in _outputs):
        return True
    if not hasattr(select, "poll"):  # Windows
        return False
    try:
        poll = select.poll()
        poll.register(sys.stdout.fileno(), 0)  # errors are told in any case
        return any(state & (select.POLLERR | select.POLLNVAL) for _, state in poll.poll(0))
    except (OSError, ValueError, AttributeError):  # it is no file, as in a test or a notebook
        return False


def _safe(stream: io.TextIOWrapper) -> io.TextIOWrapper:
    output = _Output(stream.fileno(), "w", closefd=False)
    _outputs.append(output)
    return io.TextIOWrapper(
        io.BufferedWriter(output),
        encoding=stream.encoding,
        errors=stream.errors,
        line_buffering=stream.line_buffering,
        write_through=stream.write_through,
    )
