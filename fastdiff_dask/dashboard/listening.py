"""Addresses of this machine at which pages are served: listening, known hosts, signals."""

import asyncio
import os
import re
import signal
import socket
from typing import Any

import psutil
from tornado.httputil import HTTPMessageDelegate, HTTPServerRequest
from tornado.routing import Router
from tornado.web import Application, ErrorHandler

from ..errors import UsageError

__all__ = ["KnownHosts", "host_name", "is_loopback", "listen", "origins_of", "until_signal"]

_V4, _V6 = socket.AF_INET, socket.AF_INET6
_HOST = "127.0.0.1"
_ALL = ("0.0.0.0", "::")


class KnownHosts(Router):
    """Serves only requests to a name of this host, so that no foreign site whose name leads here can read the page.

    The port may differ, as behind a tunnel.
    """

    def __init__(self, pages: Application, origins: set[str]) -> None:
        self._pages = pages
        self._hosts = {origin.rpartition(":")[0] for origin in origins}

    def find_handler(self, request: HTTPServerRequest, **options: Any) -> HTTPMessageDelegate | None:
        """Choose who answers a request."""
        if re.sub(r":\d+$", "", request.host.lower()) in self._hosts:
            return self._pages.find_handler(request, **options)
        return self._pages.get_handler_delegate(request, ErrorHandler, {"status_code": 403})


def listen(address: str | None, port: int) -> socket.socket:
    """Make a socket that listens at ``host:port``; by default at a port of the loopback address, or any if it is taken.

    Raises
    ------
    UsageError
        If the address cannot be used.
    """
    host, ports = _HOST, [port, 0]
    if address is not None:
        host, _, number = address.rpartition(":")
        host = host.strip("[]")
        if not host or not number.isdecimal() or int(number) > 65_535:
            raise UsageError(f"address {address!r} is not of the form host:port; name one such as {_HOST}:{port}")
        ports = [int(number)]
    for one in ports:
        try:
            listening = socket.create_server((host, one), family=_V6 if ":" in host else _V4, backlog=128)
        except (OSError, UnicodeError) as error:
            reason = os.strerror(error.errno) if isinstance(error, OSError) and error.errno else str(error)
        else:
            listening.setblocking(False)
            return listening
    raise UsageError(f"the page cannot be served at {host}:{ports[0]} ({reason}); name another address=")


def is_loopback(host: str) -> bool:
    """Tell whether only this machine reaches a host, an address as a socket has it."""
    return host == "::1" or host.startswith("127.")


def host_name(host: str) -> str:
    """Write a host as in an address; the name of this machine if all of its addresses are served."""
    if host in _ALL:
        host = socket.gethostname()
    return f"[{host}]" if ":" in host else host


def origins_of(host: str, port: int) -> set[str]:
    """Collect the addresses of this host, ``host:port``, from which pages may ask for something."""
    hosts = {host}
    if host in _ALL or is_loopback(host):
        hosts |= {"localhost"}
    if host in _ALL:
        of_machine = psutil.net_if_addrs().values()
        hosts |= {one.address for several in of_machine for one in several if one.family in (_V4, _V6)}
    return {f"{host_name(one)}:{port}".lower() for one in hosts}


def until_signal() -> asyncio.Event:
    """Make an event that SIGINT and SIGTERM set, in the loop of the main thread."""
    loop, stopped = asyncio.get_running_loop(), asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: loop.call_soon_threadsafe(stopped.set))
    return stopped
