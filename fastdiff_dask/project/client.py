"""The Dask client of a project: given, the current one, or started here."""

import os
import sys
from typing import TYPE_CHECKING

from ..config import check_whole
from ..errors import UsageError
from ..outputs.progress_bar import show_address, waiting
from .arguments import name_of
from .options import ClientOptions

if TYPE_CHECKING:
    from distributed import Client

    from ..runtime.performance_report import PerformanceReport
    from ..stages.sources import Origin

__all__ = ["ProjectClient"]


class ProjectClient:
    """Find or start the client, check once that its workers can do the work, and end it if it was started here.

    Parameters
    ----------
    options
        The client to use, or how to start one, see `connection.embedded_client`.
    in_memory
        The store is in the memory of this process.

    Attributes
    ----------
    started
        The client that was started here, if any.

    Raises
    ------
    UsageError
        If an option cannot be used, or is for a client that is started here, and another one was given.
    """

    def __init__(self, options: ClientOptions, in_memory: bool = False) -> None:
        given = options.client
        if given is not None:
            _check_client(given)
        for name, value in (("workers", options.workers), ("threads", options.threads)):
            if value is not None:
                check_whole(name, value)
                if options.client is not None:
                    raise UsageError(f"{name} is for a client that is started here; leave it out with one of your own")
        if in_memory and (options.workers is not None or (given is not None and not _is_embedded(given))):
            cluster = "a client= of other processes" if options.workers is None else "workers="
            raise UsageError(f"workers in other processes see no store in memory; leave out in_memory= or {cluster}")
        if options.dashboard_address is not None:
            from ..runtime.connection import check_dashboard_address

            check_dashboard_address(options.dashboard_address)
        self._options = options
        self._checked = False
        self.started: Client | None = None
        # begun by the first use, written by `close`
        self._report = None if options.performance_report is None else _new_report(options.performance_report)

    @property
    def own(self) -> "Client | None":
        """The client that belongs to the project alone: given or started."""
        return self._options.client or self.started

    def find(self) -> "Client | None":
        """The client that is there already, if any: given, started here, or the current one."""
        if self.own is not None or "distributed" not in sys.modules:  # nobody has made a client without it
            return self.own
        from ..runtime.connection import current_client

        return current_client()

    @property
    def threads(self) -> int:
        """Threads of a worker that is started here."""
        return self._options.threads or os.cpu_count() or 1

    @property
    def is_to_be_started(self) -> bool:
        """True if the next `get` starts a worker of threads in this process."""
        return self._options.workers is None and self.find() is None

    def get(self, store_url: str, origin: "Origin", verbose: bool | None) -> "Client":
        """The client, which is started now if there is none.

        Parameters
        ----------
        store_url, origin
            The store and the images that its workers must see.
        verbose
            False does not print the address of its dashboard.

        Returns
        -------
        The client.

        Raises
        ------
        UsageError
            If its workers cannot do the work.
        """
        from ..runtime.connection import embedded_client
        from ..runtime.workers import capacity, check_package, is_embedded

        client = self.find()
        if client is None:
            asked = self._options
            client = self.started = embedded_client(asked.threads, asked.dashboard_address, processes=asked.workers)
            _show_progress(client, store_url, verbose)
        if not is_embedded(client):
            origin.check_shared(store_url)
            if not self._checked:
                with waiting("Waiting for workers", verbose):
                    capacity(client)
                check_package(client)
        self._checked = True
        if self._report is not None:
            self._report.begin(client)
        return client

    def close(self) -> None:
        """Write the performance report, if there is one, and end the client that was started here, if any."""
        if self._report is not None:
            self._report.write()
            self._report = None
        if self.started is not None:
            from ..runtime.connection import close_embedded

            close_embedded(self.started)
            self.started = None


def _check_client(given: object) -> None:
    from distributed import Client

    if not isinstance(given, Client):
        raise UsageError(f"client={given!r} is no Dask client; use Client('tcp://host:8786') of dask.distributed")


def _is_embedded(client: "Client") -> bool:
    from ..runtime.workers import is_embedded

    return is_embedded(client)


def _new_report(path: str | os.PathLike[str]) -> "PerformanceReport":
    from ..runtime.performance_report import PerformanceReport

    return PerformanceReport(name_of("performance_report", path))


def _show_progress(client: "Client", store_url: str, verbose: bool | None) -> None:
    """Serve the page of the store beside Dask's pages, and print the addresses of both."""
    from ..dashboard.on_request import ROUTE, add_pages
    from ..runtime.connection import dashboard_link

    add_pages(client, store_url)
    if verbose is not False:
        link = dashboard_link(client)
        show_address("Dashboard", link)
        show_address("Progress", f"{link.removesuffix('/status')}{ROUTE}")
