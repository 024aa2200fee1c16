"""The local page: a web server for one rater on this machine, and for nobody else.

It listens on the loopback address only. Every address under it begins with a random token, so that other users of the
machine find nothing; requests must name this very host (no DNS rebinding) and come from this very page (no forgery from
other sites). Its pages may load nothing from elsewhere, and run no script but their own file.
"""

from __future__ import annotations

import json
import secrets
import threading
from collections.abc import Callable, Mapping
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.resources import files
from typing import Any
from urllib.parse import parse_qs, urlsplit

from evalkit.errors import OutputError, UsageError
from evalkit.ratings.model import CRITERIA, HIGHEST, LOWEST
from evalkit.ratings.session import Session

LARGEST_BODY = 10_000
"""Bytes: a rating has a few hundred."""

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"
)

_HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}

_ASSETS = {
    "page.css": "text/css; charset=utf-8",
    "page.js": "text/javascript; charset=utf-8",
    "icon.svg": "image/svg+xml",
}


class RatingServer:
    """Serves a session's page until it is finished.

    Args:
        session: What is asked.
        port: Port to listen on; 0 takes a free one.
        changed: Called after each rating, skip or undo.

    Attributes:
        address: What to open in a browser.
        finished: Set when the rater has pressed "finish", or a rating could not be saved.
        failure: Why a rating could not be saved.

    Raises:
        UsageError: The port is taken or not allowed.
    """

    def __init__(self, session: Session, port: int = 0, changed: Callable[[], None] = lambda: None) -> None:
        self.finished = threading.Event()
        self.failure: OutputError | None = None
        self._session = session
        self._changed = changed
        self._lock = threading.Lock()
        self._token = secrets.token_urlsafe(16)
        try:
            self._server = ThreadingHTTPServer(("127.0.0.1", port), self._handler())
        except (OSError, OverflowError) as error:
            raise UsageError(
                f"port {port} cannot be used: {getattr(error, 'strerror', None) or error}",
                hint="leave --port out to take a free one",
            ) from error
        self._server.daemon_threads = True
        self._port = self._server.server_address[1]
        self.address = f"http://127.0.0.1:{self._port}/{self._token}/"
        self._hosts = {f"{host}:{self._port}" for host in ("127.0.0.1", "localhost")}
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.1}, daemon=True)

    def __enter__(self) -> RatingServer:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        owner = self

        class Handler(_Handler):
            server_of = owner

        return Handler

    def refusal(self, headers: Mapping[str, str], path: str) -> HTTPStatus | None:
        """Why a request is not answered; None where it is."""
        host, origin = headers.get("Host", ""), headers.get("Origin")
        if host not in self._hosts or (origin is not None and origin != f"http://{host}"):
            return HTTPStatus.FORBIDDEN
        if headers.get("Sec-Fetch-Site", "none") not in ("none", "same-origin"):
            return HTTPStatus.FORBIDDEN
        token = path.lstrip("/").partition("/")[0]
        return None if secrets.compare_digest(token.encode(), self._token.encode()) else HTTPStatus.NOT_FOUND

    def page(self) -> str:
        """The page without any item; those come by `view`."""
        from jinja2 import Environment, StrictUndefined

        text = files("evalkit.ratings").joinpath("page/page.html").read_text(encoding="utf-8")
        template = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
        return template.from_string(text).render(
            mode=self._session.mode,
            rater=self._session.rater,
            criteria=CRITERIA,
            lowest=LOWEST,
            highest=HIGHEST,
            identical=self._session.identical,
        )

    def view(self) -> dict[str, Any]:
        """What the page shows now."""
        with self._lock:
            return self._session.view()

    def reference(self, place: int) -> dict[str, Any]:
        """The reference answer of an item."""
        with self._lock:
            return {"reference": self._session.reference(place)}

    def act(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Does what the page asks, and says what it shows then.

        Raises:
            ValueError: It is nothing that can be done.
        """
        with self._lock:
            match request:
                case {
                    "action": "rate",
                    "item": int(place),
                    "answer": dict(answer),
                    "seconds": int() | float() as seconds,
                }:
                    self._session.rate(place, answer, seconds)
                case {"action": "skip", "item": int(place)}:
                    self._session.skip(place)
                case {"action": "undo" | "back" | "forward" as action}:
                    {"undo": self._session.undo, "back": self._session.back, "forward": self._session.forward}[action]()
                case {"action": "finish"}:
                    self.finished.set()
                case _:
                    raise ValueError("not an action")
            self._changed()
            return self._session.view()

    def fail(self, error: OutputError) -> None:
        """Ends the session: nothing can be saved any more."""
        self.failure = error
        self.finished.set()


class _Handler(BaseHTTPRequestHandler):
    """Answers one request."""

    server_of: RatingServer
    server_version = "evalkit"
    sys_version = ""
    timeout = 30

    def do_GET(self) -> None:
        self._answer(self._get)

    def do_POST(self) -> None:
        self._answer(self._post)

    def log_message(self, format: str, *args: object) -> None:
        """Says nothing: stderr shows the progress."""

    def _answer(self, respond: Callable[[str], None]) -> None:
        refusal = self.server_of.refusal(self.headers, self.path)  # type: ignore[arg-type]
        if refusal is not None:
            self._send(refusal, "text/plain; charset=utf-8", refusal.phrase.encode())
            return
        try:
            respond(urlsplit(self.path).path.lstrip("/").partition("/")[2])
        except (ValueError, RecursionError) as error:
            self._send_json({"error": str(error)}, HTTPStatus.BAD_REQUEST)
        except OutputError as error:
            self._send_json({"error": f"{error.message}; this rating is not saved"}, HTTPStatus.INSUFFICIENT_STORAGE)
            self.server_of.fail(error)

    def _get(self, name: str) -> None:
        if name == "":
            self._send(HTTPStatus.OK, "text/html; charset=utf-8", self.server_of.page().encode())
        elif name in _ASSETS:
            content = files("evalkit.ratings").joinpath("page", name).read_bytes()
            self._send(HTTPStatus.OK, _ASSETS[name], content)
        elif name == "view":
            self._send_json(self.server_of.view())
        elif name == "reference":
            (place,) = parse_qs(urlsplit(self.path).query).get("item", ["-1"])
            self._send_json(self.server_of.reference(int(place)))
        else:
            self._send(HTTPStatus.NOT_FOUND, "text/plain; charset=utf-8", b"Not Found")

    def _post(self, name: str) -> None:
        length = int(self.headers.get("Content-Length", 0))
        if name != "act" or self.headers.get_content_type() != "application/json" or not 0 < length <= LARGEST_BODY:
            raise ValueError("not an action")
        request = json.loads(self.rfile.read(length))
        if not isinstance(request, dict):
            raise ValueError("not an action")
        self._send_json(self.server_of.act(request))

    def _send_json(self, value: Mapping[str, Any], status: HTTPStatus = HTTPStatus.OK) -> None:
        self._send(status, "application/json; charset=utf-8", json.dumps(value).encode())

    def _send(self, status: HTTPStatus, kind: str, content: bytes) -> None:
        self.send_response(status)
        for name, value in {**_HEADERS, "Content-Type": kind, "Content-Length": str(len(content))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)
