"""Ctrl-C and SIGTERM within a stage: tasks in flight end, then the run ends; a second signal ends it at once."""

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Iterator
from types import FrameType
from typing import Any

__all__ = ["check", "dask_setup", "is_asked", "stoppable"]

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
# The signal that asked the stage of the main thread to stop; 0 for none.
_asked: int = 0


def dask_setup(worker: Any) -> None:
    """Let a worker process that was started here ignore Ctrl-C, which a terminal sends to all processes.

    Dask calls it, see its ``preload``. The process that started the workers ends them.
    """
    with contextlib.suppress(ValueError):  # not in the main thread
        signal.signal(signal.SIGINT, signal.SIG_IGN)


def is_asked() -> bool:
    """Tell whether the stage of this thread was asked to stop."""
    return bool(_asked) and threading.current_thread() is threading.main_thread()


def check() -> None:
    """Stop here if the stage was asked to.

    Raises
    ------
    KeyboardInterrupt
        After SIGINT.
    SystemExit
        After SIGTERM, with 143.
    """
    if is_asked():
        if _asked == signal.SIGTERM:
            raise SystemExit(128 + _asked)
        raise KeyboardInterrupt


@contextlib.contextmanager
def stoppable() -> Iterator[None]:
    """Let the first signal ask the block to stop, and the second one do what it did before.

    Nothing changes:

    - in other threads than the main one;
    - for a signal with a handler of someone else's: a server that runs this knows better. A handler that ends the
      process in any case may have an attribute ``ends_at_once``, and is replaced;
    - for a signal that is ignored, as SIGINT is in the background of a script.

    Raises
    ------
    KeyboardInterrupt, SystemExit
        At the end of the block, if it was asked to stop; see `check`.
    """
    global _asked
    former: dict[int, Any] = {}
    if threading.current_thread() is threading.main_thread():
        for number in _SIGNALS:
            handler = signal.getsignal(number)
            usual = handler in (signal.default_int_handler, signal.SIG_DFL) or getattr(handler, "ends_at_once", False)
            if usual:
                former[number] = handler

    def ask(number: int, frame: FrameType | None) -> None:
        global _asked
        if _asked:
            signal.signal(number, former[number])
            os.kill(os.getpid(), number)
            return
        _asked = int(number)
        if sys.stderr is not None:
            with contextlib.suppress(OSError, ValueError, RuntimeError):  # the last: its buffer is just written to
                print("\nStopping when what is in flight is done; again stops at once.", file=sys.stderr, flush=True)

    for replaced in former:
        signal.signal(replaced, ask)
    try:
        yield
        check()
    finally:
        for replaced, handler in former.items():
            signal.signal(replaced, handler)
        if former:
            _asked = 0
