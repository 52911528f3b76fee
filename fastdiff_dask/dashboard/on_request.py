"""Pages of a cluster in this process, made when somebody asks for the first one.

Bokeh takes half a second to import, as long as a small job, and most jobs end before anybody has looked.
"""

import importlib
from collections.abc import Callable
from typing import Any

from distributed import Client
from tornado.ioloop import IOLoop
from tornado.web import Application, RequestHandler

__all__ = ["ROUTE", "add_pages"]

ROUTE = "/fastdiff"


def add_pages(client: Client, url: str) -> None:
    """Add the page of a store, and Dask's own pages, to a scheduler in this process and to its workers in it.

    Parameters
    ----------
    client
        Client of a cluster that was started without pages.
    url
        Folder or fsspec URL of the store.
    """
    client.run_on_scheduler(_add_to_scheduler, url=url)
    if client.scheduler.address.startswith("inproc:"):
        client.run(_add_to_worker)


def _add_to_scheduler(dask_scheduler: Any, url: str) -> None:
    def make() -> None:
        from distributed.dashboard import scheduler

        from .server import add_page

        scheduler.connect(dask_scheduler.http_application, dask_scheduler.http_server, dask_scheduler, prefix="/")
        add_page(dask_scheduler, ROUTE, url)

    _make_later(dask_scheduler, ["distributed.dashboard.scheduler", f"{__package__}.server"], make)


def _add_to_worker(dask_worker: Any) -> None:
    def make() -> None:
        from distributed.dashboard import worker

        worker.connect(dask_worker.http_application, dask_worker.http_server, dask_worker, prefix="/")

    _make_later(dask_worker, ["distributed.dashboard.worker"], make)


def _make_later(server: Any, modules: list[str], make: Callable[[], None]) -> None:
    """Have the pages of a server made by its first request that nothing else answers."""
    pages = server.http_application
    first = Application([(r"/.*", _FirstRequest, {"pages": pages, "modules": modules, "make": make})])
    pages.add_application(first)


class _FirstRequest(RequestHandler):
    """Makes all pages, and sends the browser to the one that it asked for."""

    def initialize(self, pages: Any, modules: list[str], make: Callable[[], None]) -> None:
        self._pages, self._modules, self._make = pages, modules, make

    async def get(self) -> None:
        """Answer a request, of whatever path."""
        for module in self._modules:  # not in the thread of the scheduler, which has tasks to hand out
            await IOLoop.current().run_in_executor(None, importlib.import_module, module)
        if self.application in self._pages.applications:  # else another request was faster
            self._pages.applications.remove(self.application)
            self._make()
        self.redirect(f"/{str(self.request.uri).lstrip('/')}")
