"""The server of the review page: in the main thread of a command, or in a thread beside a notebook."""

import asyncio
import hmac
import html
import os
import secrets
import socket
import tempfile
import threading
import webbrowser
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

from tornado.httpserver import HTTPServer
from tornado.httputil import HTTPMessageDelegate, HTTPServerRequest
from tornado.routing import Router

from ..dashboard.listening import KnownHosts, host_name, is_loopback, listen, origins_of, until_signal
from ..images.decoder_pool import close_readers
from .desk import Desk
from .handlers import Serving, make_application
from .jobs import Jobs

__all__ = ["ReviewServer", "risk_of", "serve", "serve_in_thread"]

_PORT = 8789
# Bytes of a request with the token, and of one without, at most; seconds until it must be there.
_LARGEST_BODY, _LARGEST_FOREIGN, _ARRIVES = 32 << 20, 1 << 16, 60.0
# Seconds until a browser has read the file that leads it to the page.
_READ = 30.0


class ReviewServer:
    """The review page of a store, served in a thread of this process.

    Attributes
    ----------
    url
        Address of the page. Whoever knows it can look at the pictures and move them to the trash.
    """

    def __init__(self, url: str, end: Callable[[], None]) -> None:
        self.url, self._end = url, end
        self._closed = False

    def close(self) -> None:
        """End the server; a job that runs goes on to the end of its present file."""
        if not self._closed:
            self._closed = True
            self._end()

    def __enter__(self) -> "ReviewServer":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        where = self.url.rsplit("/", 2)[0]
        return f"<review page, closed, was at {where}/>" if self._closed else f"<review page at {where}/, see .url>"

    def _repr_html_(self) -> str:
        """Show the page in a notebook."""
        if self._closed:
            return "<p>The review page was closed.</p>"
        address = html.escape(self.url, quote=True)
        return f'<iframe src="{address}" width="100%" height="800" style="border: 0"></iframe>'


def serve(
    url: str,
    address: str | None = None,
    started: Callable[[str], None] = print,
    *,
    browse: bool = False,
    threshold: float | None = None,
) -> None:
    """Serve the review page of a store until SIGINT or SIGTERM, in the main thread.

    Parameters
    ----------
    url
        Folder or fsspec URL of the store.
    address
        ``host:port`` to listen at; by default port 8789 of the loopback address, or any free one if that is taken.
    started
        Called with the address of the page once it is there.
    browse
        Open the page in a browser as well.
    threshold
        Largest MSE, or other value, of a pair; by default that of the result that was shown last.

    Raises
    ------
    UsageError
        If there is no store or no result, or the address cannot be used.
    """
    listening, desk = _open(url, address, threshold)

    async def run() -> None:
        stopped = until_signal()
        server = _Server(desk, listening, framed=False)
        started(server.url)
        opened = _open_browser(server.url) if browse else None
        try:
            await stopped.wait()
        finally:
            await server.end()
            if opened is not None:
                opened()

    try:
        asyncio.run(run())
    finally:
        _end(desk)


def serve_in_thread(url: str, address: str | None = None, threshold: float | None = None) -> ReviewServer:
    """Serve the review page of a store in a thread of this process; parameters and errors as of `serve`."""
    listening, desk = _open(url, address, threshold)
    ready: Future[tuple[str, asyncio.AbstractEventLoop, asyncio.Event]] = Future()

    async def run() -> None:
        stopped = asyncio.Event()
        server = _Server(desk, listening, framed=True)
        ready.set_result((server.url, asyncio.get_running_loop(), stopped))
        await stopped.wait()
        await server.end()

    thread = threading.Thread(target=lambda: asyncio.run(run()), name="fastdiff_dask-review-server", daemon=True)
    thread.start()
    page, loop, stopped = ready.result()

    def end() -> None:
        loop.call_soon_threadsafe(stopped.set)
        thread.join()
        _end(desk)

    return ReviewServer(page, end)


def _open(url: str, address: str | None, threshold: float | None) -> tuple[socket.socket, Desk]:
    listening = listen(address, _PORT)
    try:
        return listening, Desk(url, threshold)
    except BaseException:
        listening.close()
        raise


def _end(desk: Desk) -> None:
    desk.close()
    close_readers()


def risk_of(address: str | None) -> str | None:
    """Describe the risk of an address to listen at, in a line; None for one that only this machine reaches."""
    host = "" if address is None else address.rpartition(":")[0].strip("[]")
    if not host or host == "localhost" or is_loopback(host):
        return None
    return (
        f"{host} is reached by other machines, unencrypted: whoever has the address below, or listens on the way, can "
        f"look at the pictures and move them to the trash"
    )


class _Limited(Router):
    """Reads no large request without the token: other users of the machine would fill its memory."""

    def __init__(self, pages: Router, token: str) -> None:
        self._pages, self._start = pages, f"/{token}/".encode()

    def find_handler(self, request: HTTPServerRequest, **options: Any) -> HTTPMessageDelegate | None:
        """Choose who answers a request."""
        start = request.path.encode(errors="replace")[: len(self._start)]
        if not hmac.compare_digest(start, self._start):
            request.connection.set_max_body_size(_LARGEST_FOREIGN)
        return self._pages.find_handler(request, **options)


class _Server:
    """The server in a running loop."""

    def __init__(self, desk: Desk, listening: socket.socket, *, framed: bool) -> None:
        host, port = listening.getsockname()[:2]
        token = secrets.token_urlsafe(24)
        self.url = f"http://{host_name(host)}:{port}/{token}/"
        threads = os.cpu_count() or 1
        self._questions = ThreadPoolExecutor(4, "fastdiff_dask-review-question")
        self._pictures = ThreadPoolExecutor(threads, "fastdiff_dask-review-picture")
        self._jobs = Jobs(desk)
        serving = Serving(desk, self._jobs, token, self._questions, self._pictures, framed)
        application = make_application(serving)
        router = _Limited(KnownHosts(application, origins_of(host, port)), token)
        limits = {"max_body_size": _LARGEST_BODY, "max_buffer_size": _LARGEST_BODY}
        self._http = HTTPServer(router, **limits, idle_connection_timeout=_ARRIVES, body_timeout=_ARRIVES)
        self._http.add_socket(listening)

    async def end(self) -> None:
        """Take no more requests, and end the threads."""
        self._http.stop()
        await asyncio.get_running_loop().run_in_executor(None, self._jobs.close)
        await self._http.close_all_connections()
        for threads in (self._questions, self._pictures):
            threads.shutdown(wait=True, cancel_futures=True)


def _open_browser(url: str) -> Callable[[], None]:
    """Open a page in a browser; gives a function that clears up.

    The browser gets the name of a file that only this user can read, as others see the arguments of its process.
    """
    folder = Path(tempfile.mkdtemp(prefix="fastdiff-review-"))
    file = folder / "open.html"
    target = html.escape(url, quote=True)
    file.write_text(f'<!doctype html><meta charset="utf-8"><meta http-equiv="refresh" content="0; url={target}">')
    file.chmod(0o600)

    def clear() -> None:
        file.unlink(missing_ok=True)
        if folder.exists():
            folder.rmdir()

    def open_it() -> None:
        webbrowser.open(file.as_uri())

    threading.Thread(target=open_it, daemon=True).start()
    timer = threading.Timer(_READ, clear)
    timer.daemon = True
    timer.start()

    def end() -> None:
        timer.cancel()
        clear()

    return end
