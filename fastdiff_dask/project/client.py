"""The Dask client of a project: the one that it was given, the current one, or one that is started for it."""

from distributed import Client

from ..config import check_whole
from ..errors import UsageError
from ..outputs.progress_bar import show_address
from ..runtime.connection import check_dashboard_address, current_client, dashboard_link, embedded_client
from ..runtime.performance_report import PerformanceReport
from ..runtime.workers import capacity, check_package, is_embedded
from ..stages.sources import Origin

__all__ = ["ProjectClient"]


class ProjectClient:
    """Find or start the client, see once that its workers can do the work, and end it if it was started here.

    Parameters
    ----------
    client
        The one to use, if it was given.
    workers, threads, dashboard_address
        Of the one that is started otherwise, see `connection.embedded_client`.

    Attributes
    ----------
    started
        The client that was started here, if any.
    report
        Dask's performance report, which the first use begins and `close` writes.

    Raises
    ------
    UsageError
        If one of these cannot be used, or is not for the client that was given.
    """

    def __init__(
        self, client: Client | None, workers: int | None, threads: int | None, dashboard_address: str | None
    ) -> None:
        for name, value in (("workers", workers), ("threads", threads)):
            if value is not None:
                check_whole(name, value)
                if client is not None:
                    raise UsageError(f"{name} is for a client that is started here; leave it out with one of your own")
        if dashboard_address is not None:
            check_dashboard_address(dashboard_address)
        self._given, self._workers, self._threads = client, workers, threads
        self._dashboard_address = dashboard_address
        self._checked = False
        self.started: Client | None = None
        self.report: PerformanceReport | None = None

    @property
    def own(self) -> Client | None:
        """The client that belongs to the project alone: given or started."""
        return self._given or self.started

    def find(self) -> Client | None:
        """The client that is there already."""
        return self.own or current_client()

    def get(self, store_url: str, origin: Origin, verbose: bool | None) -> Client:
        """The client; started now if there is none.

        Parameters
        ----------
        store_url, origin
            The store and the images that its workers must see.
        verbose
            Whether to say where its dashboard is; False says nothing.

        Raises
        ------
        UsageError
            If its workers cannot do the work.
        """
        client = self.find()
        if client is None:
            client = self.started = embedded_client(self._threads, self._dashboard_address, processes=self._workers)
            _show_progress(client, store_url, verbose)
        if not is_embedded(client):
            origin.check_shared(store_url)
            if not self._checked:
                capacity(client)  # waits for workers
                check_package(client)
        self._checked = True
        if self.report is not None:
            self.report.begin(client)
        return client

    def close(self) -> None:
        """Write the performance report, if there is one, and end the client that was started here, if any."""
        if self.report is not None:
            self.report.write()
            self.report = None
        if self.started is not None:
            cluster = self.started.cluster
            self.started.close()
            cluster.close()
            self.started = None


def _show_progress(client: Client, store_url: str, verbose: bool | None) -> None:
    """Serve the page of the store beside Dask's pages, and say where they are."""
    from ..dashboard.server import ROUTE, add_page

    page = add_page(client, store_url)
    if verbose is not False:
        link = dashboard_link(client)
        show_address("Dashboard", link)
        if page:
            show_address("Progress", f"{link.removesuffix('/status')}{ROUTE}")
