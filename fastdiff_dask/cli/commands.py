"""All commands, and the end of each: exit code, and an error in one line."""

import contextlib
import io
import os
import shlex
import signal
import sys
import warnings
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

import click

from ..errors import FastDiffError, UsageError
from ..text import printable
from .actions import apply, decisions, undo
from .difpy import difpy
from .encode import encode
from .find import compare, estimate, find
from .guide import completion, guide
from .inspect import inspect
from .lookup import lookup, neighbours
from .review import review
from .store import calibrate, dashboard, evaluate, export, report, status, thresholds
from .stores import stores
from .streams import check_output, keep_on_writing
from .texts.help_texts import EXIT_CODES, SECTIONS, describe_versions, format_sections, give_examples
from .texts.option_names import with_options

__all__ = ["commands", "main"]


class _Commands(click.Group):
    """Commands with errors that name options, where errors of the library name arguments."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and self.get_command(ctx, args[0]) is None and Path(args[0]).is_dir():
            meant = shlex.join(["fastdiff-dask", "find", *args])
            raise UsageError(f"no command {printable(args[0])!r}, which is a folder; did you mean {printable(meant)} ?")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        format_sections(formatter, self.commands, SECTIONS)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except FastDiffError as error:
            error.args = (with_options(str(error), self, ctx.invoked_subcommand),)
            raise


def _print_versions(ctx: click.Context, param: click.Parameter, wanted: bool) -> None:
    if wanted and not ctx.resilient_parsing:
        click.echo(describe_versions())
        ctx.exit()


@click.group(
    cls=_Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog=EXIT_CODES,
)
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_print_versions,
    help="Show the versions of this program and of what it is built on, and exit.",
)
def commands() -> None:
    """Find duplicate and similar images by comparing all with all, exactly."""


for command in (
    find,
    compare,
    lookup,
    neighbours,
    estimate,
    encode,
    status,
    dashboard,
    review,
    report,
    thresholds,
    inspect,
    export,
    evaluate,
    calibrate,
    apply,
    undo,
    decisions,
    stores,
    difpy,
    guide,
    completion,
):
    commands.add_command(command)
    give_examples(str(command.name), command)


def _stopped(number: int, _: FrameType | None) -> NoReturn:
    # What is finished is committed and the rest is redone anyway, so there is nothing to wait for: neither for
    # decoders that are in the middle of a picture nor for the scheduler's farewell.
    shown = "\x1b[?25h" if sys.stderr.isatty() else ""  # the progress bar hides the cursor
    text = f"{shown}\nStopped. Finished work is kept in the store; the same command goes on from there.\n"
    with contextlib.suppress(OSError, ValueError, AttributeError):  # there may be no standard error
        os.write(sys.stderr.fileno(), text.encode())  # its buffer may be just written to, which allows no second call
    os._exit(128 + number)


_stopped.ends_at_once = True  # type: ignore[attr-defined]  # so that a stage may end what is in flight before, see `signals`


def main() -> NoReturn:
    """Run the command line and exit: 0 after a run to the end, 1 if the job failed, 2 if it cannot be run at all."""
    if sys.getfilesystemencoding() != "utf-8" and os.environ.get("PYTHONUTF8") != "1":
        # PYTHONUTF8=0 in the C locale: names would be bytes without meaning, and of other images in another locale
        os.environ["PYTHONUTF8"] = "1"
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])
    for number in (signal.SIGINT, signal.SIGTERM):
        if signal.getsignal(number) != signal.SIG_IGN:  # as SIGINT is of jobs in the background of a script
            signal.signal(number, _stopped)
    warnings.filterwarnings("ignore", module=r"PIL\.")  # noise about single files, whose errors are listed
    warnings.filterwarnings("ignore", "resource_tracker: process died")  # as workers did, which has its own line
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a terminal that knows less than Unicode
    keep_on_writing()
    try:
        commands.main(standalone_mode=False)
        check_output()
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        sys.exit(2)
    except (KeyboardInterrupt, click.exceptions.Abort):
        _stopped(signal.SIGINT, None)
    except SystemExit as error:
        if error.code == 128 + signal.SIGTERM:
            _stopped(signal.SIGTERM, None)
        raise
    except UsageError as error:
        _fail(str(error), 2)
    except FastDiffError as error:
        _fail(str(error), 1)
    except click.ClickException as error:
        _fail(f"{error.format_message().rstrip('.')}{_help_of(error)}", 2)
    except BrokenPipeError:
        os._exit(1)  # the reader of our output has gone; flushing to it at exit would only fail again
    except (OSError, MemoryError) as error:
        _fail(f"{type(error).__name__}: {error}; finished work is kept, the same command goes on", 1)
    except Exception as error:
        from ..urls import is_remote_error

        if not is_remote_error(error):
            raise
        _fail(f"{type(error).__name__}: {error}; finished work is kept, the same command goes on", 1)
    sys.exit(0)


def _help_of(error: click.ClickException) -> str:
    """Give the way out of an error of click."""
    ctx, names = error.ctx if isinstance(error, click.UsageError) else None, [""]
    while ctx is not None and ctx.parent is not None:
        names.insert(1, str(ctx.info_name))
        ctx = ctx.parent
    return f"; fastdiff-dask{' '.join(names)} --help shows how"


def _fail(message: str, code: int) -> NoReturn:
    click.echo(f"fastdiff-dask: {' '.join(message.split())}", err=True)
    sys.exit(code)
