"""The server of the live page: one of its own, or that of Dask's dashboard."""

import asyncio
import functools
import logging
import socket
import warnings
from collections.abc import Callable
from typing import Any

from bokeh.application import Application
from bokeh.application.handlers.function import FunctionHandler
from bokeh.server.server import BaseServer
from bokeh.server.tornado import BokehTornado
from tornado.httpserver import HTTPServer
from tornado.ioloop import IOLoop

from ..storage.store import Store
from .listening import KnownHosts, host_name, listen, origins_of, until_signal
from .monitor import Monitor
from .page import make_page

__all__ = ["add_page", "serve"]

_PORT = 8788


def serve(url: str, address: str | None = None, started: Callable[[str], None] = print) -> None:
    """Serve the page of a store until SIGINT or SIGTERM, in the main thread.

    The page loads nothing from elsewhere; its websocket answers only to pages from the served address.

    Parameters
    ----------
    url
        Folder or fsspec URL of the store.
    address
        ``host:port`` to listen at; by default port 8788 of the loopback address, or any free one if that is taken.
    started
        Called with the address of the page once it is there.

    Raises
    ------
    UsageError
        If there is no store, or the address cannot be used.
    """
    Store(url)
    # the last one by its name, as distributed sets its level
    for name in ("bokeh", "tornado", "tornado.application"):
        logging.getLogger(name).setLevel(logging.CRITICAL)  # of a browser that asks for another page, or goes away
    # of a page that gets an update while the server ends
    warnings.filterwarnings("ignore", "coroutine 'WSHandler.send_message' was never awaited", RuntimeWarning)
    asyncio.run(_serve(url, listen(address, _PORT), started))


async def _serve(url: str, listening: socket.socket, started: Callable[[str], None]) -> None:
    host, port = listening.getsockname()[:2]
    stopped = until_signal()
    origins = origins_of(host, port)
    pages = _pages("/", url, origins)
    http = HTTPServer(KnownHosts(pages, origins))
    http.add_socket(listening)
    server = BaseServer(IOLoop.current(), pages, http)
    server.start()
    started(f"http://{host_name(host)}:{port}/")
    await stopped.wait()
    server.stop()


def _pages(route: str, url: str, origins: set[str]) -> BokehTornado:
    application = Application(FunctionHandler(functools.partial(make_page, monitor=Monitor(url))))
    # without an absolute address, scripts and styles come from the address of the page
    return BokehTornado({route: application}, extra_websocket_origins=sorted(origins), use_index=False, absolute_url="")


def add_page(scheduler: Any, route: str, url: str) -> None:
    """Add the page of a store to the dashboard of a scheduler, in the thread of its loop.

    Parameters
    ----------
    scheduler
        A scheduler of Dask in this process.
    route
        Path of the page.
    url
        Folder or fsspec URL of the store.
    """
    sockets = [found.getsockname()[:2] for found in scheduler.http_server._sockets.values()]
    origins = {origin for host, port in sockets for origin in origins_of(host, port)}
    pages = _pages(route, url, origins)
    scheduler.http_application.add_application(pages)
    pages.initialize(IOLoop.current())
    pages.start()
