"""The command line, within the process of the tests."""

import os
import re
import select
import signal
import sys
import time
from collections.abc import Callable, Iterator

import pytest
from click.testing import CliRunner

from fastdiff_dask.cli import commands


@pytest.fixture
def run(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], decoders_stay: None
) -> Iterator[Callable[..., tuple[int, str, str]]]:
    """Run a command line as the script does; gives exit code, standard output and standard error."""
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["fastdiff-dask", *map(str, arguments)])
        with pytest.raises(SystemExit) as end:
            commands.main()
        out, err = capfd.readouterr()
        return end.value.code, out, err

    yield run
    for number, handler in handlers.items():
        signal.signal(number, handler)


def on_terminal(
    *arguments: object, columns: int = 80, timeout: float = 100, clean: bool = True, **environment: str
) -> str:
    """Run a command line in a process of its own on a terminal of some width; gives all that it printed there."""
    import pty

    process, terminal = pty.fork()
    if process == 0:
        environment = os.environ | {"TERM": "xterm", "COLUMNS": str(columns)} | environment
        command = [sys.executable, "-m", "fastdiff_dask", *map(str, arguments)]
        os.execve(sys.executable, command, environment)
    printed, end = b"", time.monotonic() + 100
    try:
        while select.select([terminal], [], [], max(end - time.monotonic(), 0))[0]:
            part = os.read(terminal, 1 << 16)
            if not part:
                break
            printed += part
    except OSError:  # the process has ended
        pass
    finally:
        os.close(terminal)
        os.waitpid(process, 0)
    text = printed.decode().replace("\r", "")
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text) if clean else text


def invoke(*arguments: object, answer: str | None = None) -> tuple[int, str]:
    """Run a command as a function; gives its exit code, and what it printed with its error, if there is one."""
    done = CliRunner().invoke(commands.commands, [*map(str, arguments)], input=answer)
    error = "" if done.exception is None or isinstance(done.exception, SystemExit) else str(done.exception)
    return done.exit_code, done.output + error
