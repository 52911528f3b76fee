"""Dask's performance report of a job, as a file."""

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from distributed import Client
from distributed.metrics import time

from ..errors import UsageError
from ..local_files import replace_file
from ..text import one_line

__all__ = ["PerformanceReport"]


class PerformanceReport:
    """Dask's performance report of the tasks of a client, from `begin` to `write`: an HTML page that needs no network.

    The same as `distributed.performance_report`, which works only with the default client.

    Parameters
    ----------
    path
        File to write.

    Raises
    ------
    UsageError
        If it cannot be written there.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(os.path.expanduser(path)).absolute()  # noqa: PTH111 - Path raises for users without a home
        folder = self.path.parent
        try:
            if self.path.is_dir():
                raise UsageError(f"{path} is a folder; name a file for the performance report")
            if not folder.is_dir():
                raise UsageError(f"no folder for {path}; make it first")
            if not os.access(folder, os.W_OK, effective_ids=os.access in os.supports_effective_ids):
                raise UsageError(
                    f"cannot write {path}: Permission denied; name another file for the performance report"
                )
        except (OSError, ValueError) as error:
            if isinstance(error, UsageError):
                raise
            raise UsageError(
                f"cannot write {path}: {getattr(error, 'strerror', None) or error}; name another"
            ) from None
        self._client: Client | None = None
        self._start, self._count = 0.0, 0

    def begin(self, client: Client) -> None:
        """Report from now on, if there is no report yet."""
        if self._client is None:
            self._client, self._start = client, time()
            self._count = client.run_on_scheduler(lambda dask_scheduler: dask_scheduler.monitor.count)
            client.get_task_stream(start=0, stop=0)  # makes the scheduler record from now on

    def write(self) -> None:
        """Write the report, if it was begun; print a line if it cannot be written, which is no error of the job."""
        client, self._client = self._client, None
        if client is None:
            print(f"Nothing was computed: no performance report at {self.path}", file=sys.stderr)
            return
        report: Callable[..., Any] = client.scheduler.performance_report
        try:
            page = client.sync(report, start=self._start, last_count=self._count, code="fastdiff_dask", mode="inline")
            replace_file(self.path, page.encode())
        except Exception as error:  # whatever it is, the job is done, or has an error of its own
            reason = one_line(error, 200, kind=True)
            print(f"The performance report could not be written to {self.path} ({reason})", file=sys.stderr)
