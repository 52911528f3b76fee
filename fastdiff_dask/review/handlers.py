"""The addresses of the server: static files, questions, pictures, and what people decide."""

import asyncio
import contextlib
import hmac
import json
import logging
from collections.abc import Callable
from concurrent.futures import Executor
from importlib.resources import files
from typing import Any, NamedTuple

from tornado.iostream import StreamClosedError
from tornado.web import Application, HTTPError, RequestHandler

from ..errors import FastDiffError, UsageError
from ..text import one_line
from .choosing import Suggestion, by_folder, by_rules
from .desk import Desk, MissingError, whole
from .jobs import Jobs

__all__ = ["Serving", "make_application"]

_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'"
)
_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
# Seconds that a page waits for a change before it asks again, and that a browser keeps a picture.
_WAIT, _KEEP = 25.0, 31_536_000
_log = logging.getLogger(__name__)


class Serving(NamedTuple):
    """Parts that all handlers need.

    Attributes
    ----------
    desk
        Gives the answers.
    jobs
        Carry out what was decided.
    token
        The first part of all paths.
    questions, pictures
        Threads for questions, and for pictures, which may take long.
    framed
        Pages of others may show this one in a frame, as notebooks do.
    """

    desk: Desk
    jobs: Jobs
    token: str
    questions: Executor
    pictures: Executor
    framed: bool


class _Handler(RequestHandler):
    """Checks the token, the origin and the type of a request; errors are a line of JSON."""

    def initialize(self, serving: Serving) -> None:
        self.serving, self.desk, self.jobs = serving, serving.desk, serving.jobs

    def set_default_headers(self) -> None:
        self.clear_header("Server")
        for name, value in (
            ("Content-Security-Policy", _POLICY),
            ("Referrer-Policy", "no-referrer"),
            ("X-Content-Type-Options", "nosniff"),
            ("Cross-Origin-Resource-Policy", "same-origin"),
            ("Cross-Origin-Opener-Policy", "same-origin"),
            ("Cache-Control", "no-store"),
        ):
            self.set_header(name, value)

    def prepare(self) -> None:
        if not self.serving.framed:
            self.set_header("Content-Security-Policy", f"{_POLICY}; frame-ancestors 'none'")
            self.set_header("X-Frame-Options", "DENY")
        token = self.path_kwargs.pop("token")
        if not hmac.compare_digest(token.encode(), self.serving.token.encode()):
            raise HTTPError(404)
        origin = self.request.headers.get("Origin")
        # the hosts that are known were checked before; behind a tunnel the port is another one
        if origin is not None and origin.lower() != f"{self.request.protocol}://{self.request.host}".lower():
            raise HTTPError(403)
        if self.request.method == "POST":
            kind = self.request.headers.get("Content-Type", "").partition(";")[0].strip().lower()
            if kind != "application/json":
                raise HTTPError(415)

    def write_error(self, status_code: int, **options: Any) -> None:
        """Write an error as JSON, in one line."""
        _, error, _ = options.get("exc_info", (None, None, None))
        message = self._reason
        if isinstance(error, FastDiffError):
            message = one_line(error)
        elif isinstance(error, OSError):
            message = one_line(error, kind=True)
        self.set_header("Content-Type", "application/json")
        self.finish(json.dumps({"error": message}))

    def log_exception(self, kind: Any, error: Any, trace: Any) -> None:
        """Log what is a fault of this program, without the address, which has the token."""
        if not isinstance(error, HTTPError | FastDiffError | StreamClosedError | OSError):
            _log.error("review: %s", one_line(error, kind=True), exc_info=(kind, error, trace))

    async def call(self, function: Callable[..., Any], *arguments: Any, threads: Executor | None = None) -> Any:
        """Call a function in a thread, never in the loop."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(threads or self.serving.questions, function, *arguments)

    def send_error(self, status_code: int = 500, **options: Any) -> None:
        """Send an error: 404 for what is missing, 400 for a wrong request, 409 for what cannot be done now."""
        _, error, _ = options.get("exc_info", (None, None, None))
        kinds = ((MissingError, 404), (UsageError, 400), (FastDiffError, 409))
        status_code = next((status for kind, status in kinds if isinstance(error, kind)), status_code)
        super().send_error(status_code, **options)

    def body(self) -> dict[str, Any]:
        """Give the JSON object that was sent.

        Raises
        ------
        UsageError
            If it is none.
        """
        with contextlib.suppress(ValueError, RecursionError):
            values = json.loads(self.request.body)
            if isinstance(values, dict):
                return values
        raise UsageError("the request is no JSON object")


class _Static(_Handler):
    async def get(self, name: str) -> None:
        """Send a file of the page; others are not known by name."""
        name = name or "index.html"
        known = {one.name: one for one in files("fastdiff_dask").joinpath("templates", "review").iterdir()}
        ending = name[name.rfind(".") :]
        if name not in known or ending not in _TYPES:
            raise HTTPError(404)
        self.set_header("Content-Type", _TYPES[ending])
        self.finish(await self.call(known[name].read_bytes))


class _Start(_Handler):
    def get(self) -> None:
        """Send a browser to the page, whose addresses are relative."""
        self.redirect(f"/{self.serving.token}/")


class _Question(_Handler):
    async def get(self, name: str) -> None:
        """Answer a question."""
        asked = {key: self.get_query_argument(key) for key in self.request.query_arguments}
        desk = self.desk
        if name == "state":
            self.finish_json(await self.call(lambda: desk.state() | self.jobs.state()))
        elif name == "groups":
            self.finish_json(await self.call(desk.groups, asked))
        elif name == "groups/details":
            numbers = [whole(part) for part in asked.get("ids", "").split(",") if part]
            self.finish_json(await self.call(desk.details, numbers))
        elif name == "events":
            known = whole(asked.get("revision", "0"))
            self.finish_json({"revision": await desk.revision.after(known, _WAIT)})
        else:
            raise HTTPError(404)

    async def post(self, name: str) -> None:
        """Do what was decided."""
        decide = _DECISIONS.get(name)
        if decide is None:
            raise HTTPError(404)
        self.finish_json(await self.call(decide, self.serving, self.body()))

    def finish_json(self, values: Any) -> None:
        """Send an answer."""
        self.set_header("Content-Type", "application/json")
        self.finish(json.dumps(values, allow_nan=False, separators=(",", ":")))


def _field(values: dict[str, Any], name: str, kind: type) -> Any:
    """Give a field of a request.

    Raises
    ------
    UsageError
        If it lacks, or is something else.
    """
    if not isinstance(values.get(name), kind):
        raise UsageError(f"{name!r} lacks in the request, or is of another type")
    return values[name]


def _marks(serving: Serving, values: dict[str, Any]) -> dict[str, Any]:
    if values.get("clear") is True:
        serving.desk.clear()
    seen = {} if values.get("contents") is None else _field(values, "contents", dict)
    return serving.desk.mark(_field(values, "marks", dict), seen)


def _apart(serving: Serving, values: dict[str, Any]) -> dict[str, Any]:
    return serving.desk.set_apart(_field(values, "pairs", list), _field(values, "on", bool))


def _prefer(serving: Serving, values: dict[str, Any]) -> dict[str, Any]:
    view = serving.desk.needs_view()
    return _suggested(serving, values, by_folder(view, _field(values, "folder", str)))


def _suggest(serving: Serving, values: dict[str, Any]) -> dict[str, Any]:
    suggestion = by_rules(serving.desk.needs_view(), values)
    serving.desk.looked()
    return _suggested(serving, values, suggestion)


def _suggested(serving: Serving, values: dict[str, Any], suggestion: Suggestion) -> dict[str, Any]:
    """Set the marks of a suggestion, unless only a preview of it was asked for."""
    preview = values.get("preview", False)
    if not isinstance(preview, bool):
        raise UsageError("'preview' is true or false")
    return suggestion.described() | serving.desk.marked({} if preview else suggestion.marks)


def _plan(serving: Serving, values: dict[str, Any]) -> dict[str, Any]:
    return serving.jobs.plan()


def _apply(serving: Serving, values: dict[str, Any]) -> dict[str, Any]:
    folder = _field(values, "folder", str) if values.get("folder") is not None else None
    action, files = _field(values, "action", str), whole(values.get("files"))
    serving.jobs.apply(action, folder, files, _field(values, "plan", str))
    return {"revision": serving.desk.revision.number}


def _undo(serving: Serving, values: dict[str, Any]) -> dict[str, Any]:
    serving.jobs.undo(_field(values, "journal", str))
    return {"revision": serving.desk.revision.number}


_DECISIONS: dict[str, Callable[[Serving, dict[str, Any]], dict[str, Any]]] = {
    "marks": _marks,
    "apart": _apart,
    "prefer": _prefer,
    "suggest": _suggest,
    "plan": _plan,
    "apply": _apply,
    "undo": _undo,
}


class _Picture(_Handler):
    async def get(self, kind: str, number: str) -> None:
        """Send a picture; browsers keep it as long as its content is the same."""
        asked = whole(number), kind == "picture"
        picture, content = await self.call(self._picture, *asked, threads=self.serving.pictures)
        self.set_header("Content-Type", picture.type)
        if content and self.get_query_argument("v", "") == content:
            self.set_header("Cache-Control", f"private, max-age={_KEEP}, immutable")
        self.finish(picture.content)

    def _picture(self, number: int, original: bool) -> Any:
        if self.request.connection.stream.closed():  # scrolled away
            raise MissingError("nobody waits for it any more")
        return self.desk.picture(number, original=original)


def make_application(serving: Serving) -> Application:
    """Make the application; nothing of it logs addresses."""
    options = {"serving": serving}
    return Application(
        [
            (r"/(?P<token>[^/]+)", _Start, options),
            (r"/(?P<token>[^/]+)/api/(?P<name>[a-z/]+)", _Question, options),
            (r"/(?P<token>[^/]+)/(?P<kind>thumb|picture)/(?P<number>\d{1,18})", _Picture, options),
            (r"/(?P<token>[^/]+)/(?P<name>[A-Za-z0-9_.-]*)", _Static, options),
        ],
        default_handler_class=_Unknown,
        default_handler_args=options,
        log_function=lambda handler: None,
        compress_response=False,
    )


class _Unknown(_Handler):
    def prepare(self) -> None:
        """Answer any address that is none."""
        raise HTTPError(404)
