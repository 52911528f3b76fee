"""The command line, within the process of the tests."""

import signal
import sys
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


def invoke(*arguments: object, answer: str | None = None) -> tuple[int, str]:
    """Run a command as a function; gives its exit code, and what it printed with its error, if there is one."""
    done = CliRunner().invoke(commands.commands, [*map(str, arguments)], input=answer)
    error = "" if done.exception is None or isinstance(done.exception, SystemExit) else str(done.exception)
    return done.exit_code, done.output + error
