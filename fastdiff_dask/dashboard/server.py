"""The server of the live page: one of its own, or that of Dask's dashboard."""

import asyncio
import functools
import logging
import os
import re
import signal
import socket
import warnings
from collections.abc import Callable
from typing import Any

import psutil
from bokeh.application import Application
from bokeh.application.handlers.function import FunctionHandler
from bokeh.server.server import BaseServer
from bokeh.server.tornado import BokehTornado
from tornado.httpserver import HTTPServer
from tornado.httputil import HTTPMessageDelegate, HTTPServerRequest
from tornado.ioloop import IOLoop
from tornado.routing import Router
from tornado.web import ErrorHandler

from ..errors import UsageError
from ..storage.store import Store
from .monitor import Monitor
from .page import make_page

__all__ = ["add_page", "serve"]

_V4, _V6 = socket.AF_INET, socket.AF_INET6
_HOST, _PORT = "127.0.0.1", 8788
_ALL = ("0.0.0.0", "::")


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
    asyncio.run(_serve(url, _listen(address), started))


async def _serve(url: str, listening: socket.socket, started: Callable[[str], None]) -> None:
    host, port = listening.getsockname()[:2]
    loop, stopped = asyncio.get_running_loop(), asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: loop.call_soon_threadsafe(stopped.set))
    origins = _origins(host, port)
    pages = _pages("/", url, origins)
    http = HTTPServer(_KnownHosts(pages, origins))
    http.add_socket(listening)
    server = BaseServer(IOLoop.current(), pages, http)
    server.start()
    started(f"http://{_host_name(host)}:{port}/")
    await stopped.wait()
    server.stop()


class _KnownHosts(Router):
    """Serves only requests to a name of this host, so that no foreign site whose name leads here can read the page.

    The port may differ, as behind a tunnel.
    """

    def __init__(self, pages: BokehTornado, origins: set[str]) -> None:
        self._pages = pages
        self._hosts = {origin.rpartition(":")[0] for origin in origins}

    def find_handler(self, request: HTTPServerRequest, **options: Any) -> HTTPMessageDelegate | None:
        if re.sub(r":\d+$", "", request.host.lower()) in self._hosts:
            return self._pages.find_handler(request, **options)
        return self._pages.get_handler_delegate(request, ErrorHandler, {"status_code": 403})


def _pages(route: str, url: str, origins: set[str]) -> BokehTornado:
    application = Application(FunctionHandler(functools.partial(make_page, monitor=Monitor(url))))
    # without an absolute address, scripts and styles come from the address of the page
    return BokehTornado({route: application}, extra_websocket_origins=sorted(origins), use_index=False, absolute_url="")


def _listen(address: str | None) -> socket.socket:
    """Make a socket that listens at an address."""
    host, ports = _HOST, [_PORT, 0]
    if address is not None:
        host, _, number = address.rpartition(":")
        host = host.strip("[]")
        if not host or not number.isdecimal() or int(number) > 65_535:
            raise UsageError(f"address {address!r} is not of the form host:port; name one such as {_HOST}:{_PORT}")
        ports = [int(number)]
    for port in ports:
        try:
            listening = socket.create_server(
                (host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET, backlog=128
            )
        except (OSError, UnicodeError) as error:
            reason = os.strerror(error.errno) if isinstance(error, OSError) and error.errno else str(error)
        else:
            listening.setblocking(False)
            return listening
    raise UsageError(f"the page cannot be served at {host}:{ports[0]} ({reason}); name another address=")


def _host_name(host: str) -> str:
    """Write a host as in an address; the name of this machine if all of its addresses are served."""
    if host in _ALL:
        host = socket.gethostname()
    return f"[{host}]" if ":" in host else host


def _origins(host: str, port: int) -> set[str]:
    """Collect the addresses of this host, from which pages may open a websocket."""
    hosts = {host}
    if host in _ALL or host == "::1" or host.startswith("127."):
        hosts |= {"localhost"}
    if host in _ALL:
        of_machine = psutil.net_if_addrs().values()
        hosts |= {one.address for several in of_machine for one in several if one.family in (_V4, _V6)}
    return {f"{_host_name(one)}:{port}".lower() for one in hosts}


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
    origins = {origin for host, port in sockets for origin in _origins(host, port)}
    pages = _pages(route, url, origins)
    scheduler.http_application.add_application(pages)
    pages.initialize(IOLoop.current())
    pages.start()
