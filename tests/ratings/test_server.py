from __future__ import annotations

import http.client
import json
import socket
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest

from evalkit.errors import OutputError, UsageError
from evalkit.ratings.items import Output, RatingItem
from evalkit.ratings.model import Rating
from evalkit.ratings.server import POLICY, RatingServer
from evalkit.ratings.session import Session

ITEMS = [
    RatingItem(
        "task",
        str(number),
        None,
        "q",
        "the prompt q",
        "42",
        {"base": Output("one", "stop"), "tuned": Output("two", "stop")},
    )
    for number in range(3)
]


class Client:
    """Sends requests to a server as a browser would."""

    def __init__(self, server: RatingServer) -> None:
        self.parts = urlsplit(server.address)
        self.origin = f"http://{self.parts.netloc}"

    def __call__(
        self, path: str = "", body: Any = None, headers: dict[str, str] | None = None, root: str | None = None
    ) -> tuple[int, dict[str, str], str]:
        connection = http.client.HTTPConnection("127.0.0.1", self.parts.port, timeout=10)
        try:
            sent = {"Origin": self.origin, "Content-Type": "application/json"} if body is not None else {}
            data = body if isinstance(body, bytes | None) else json.dumps(body).encode()
            method = "GET" if body is None else "POST"
            connection.request(method, (root or self.parts.path) + path, data, {**sent, **(headers or {})})
            response = connection.getresponse()
            return response.status, dict(response.getheaders()), response.read().decode()
        finally:
            connection.close()


@pytest.fixture
def saved() -> list[Rating]:
    return []


@pytest.fixture
def server(saved: list[Rating]) -> Iterator[RatingServer]:
    with RatingServer(Session(ITEMS, "<b>Ann & Co</b>", "choice", saved.extend)) as running:
        yield running


@pytest.fixture
def client(server: RatingServer) -> Client:
    return Client(server)


def rate(place: int = 0, choice: str = "tie", **changes: Any) -> dict[str, Any]:
    return {"action": "rate", "item": place, "answer": {"choice": choice}, "seconds": 1.5, **changes}


def test_only_this_machine_is_listened_to(server: RatingServer) -> None:
    assert server.address.startswith("http://127.0.0.1:")
    assert server._server.server_address[0] == "127.0.0.1"


def test_the_page_and_its_parts_are_locked_down(client: Client) -> None:
    for path in ("", "page.css", "page.js", "icon.svg", "view"):
        status, headers, text = client(path)
        assert status == 200
        assert headers["Content-Security-Policy"] == POLICY
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Cache-Control"] == "no-store"
        assert "http://" not in text.replace("http://www.w3.org/2000/svg", "")
        assert "https://" not in text
    assert "unsafe" not in POLICY
    assert "default-src 'none'" in POLICY


def test_the_page_escapes_what_comes_from_outside(client: Client) -> None:
    _, _, text = client()
    assert "&lt;b&gt;Ann &amp; Co&lt;/b&gt;" in text
    assert "<b>Ann" not in text
    assert "style=" not in text
    assert " onclick" not in text


def test_rating_goes_to_the_file_and_on(client: Client, saved: list[Rating]) -> None:
    assert json.loads(client("view")[2])["item"]["position"] == 0
    status, _, text = client("act", rate(0, "left"))
    assert status == 200
    assert json.loads(text)["item"]["position"] == 1
    assert [rating.choice for rating in saved] in (["base"], ["tuned"])
    assert json.loads(client("act", {"action": "skip", "item": 1})[2])["item"]["position"] == 2
    assert json.loads(client("act", {"action": "back"})[2])["item"]["position"] == 1
    assert json.loads(client("act", {"action": "forward"})[2])["item"]["position"] == 2
    assert json.loads(client("act", {"action": "undo"})[2])["rated"] == 0
    assert json.loads(client("reference?item=1")[2]) == {"reference": "42"}


def test_no_answer_names_a_model(client: Client) -> None:
    everything = [client(path) for path in ("", "page.css", "page.js", "view", "reference?item=0")]
    everything.append(client("act", rate(0, "left")))
    everything.append(client("act", {"action": "back"}))
    for _, headers, text in everything:
        for word in ("tuned", "base_", '"base"'):
            assert word not in text
            assert word not in str(headers)


def test_without_the_token_there_is_nothing(client: Client, saved: list[Rating]) -> None:
    for root in ("/", "/wrong/", "/page.js", "/" + client.parts.path.strip("/")[:-1] + "/"):
        assert client("view", root=root)[0] == 404
        assert client("act", rate(), root=root)[0] == 404
    assert saved == []


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "evil.example"},
        {"Host": "evil.example:80"},
        {"Host": "127.0.0.1"},
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "https://127.0.0.1"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
def test_requests_from_elsewhere_are_refused(client: Client, saved: list[Rating], headers: dict[str, str]) -> None:
    assert client("view", headers=headers)[0] == 403
    assert client("act", rate(), headers=headers)[0] == 403
    assert saved == []


def test_localhost_is_this_machine_too(client: Client) -> None:
    host = f"localhost:{client.parts.port}"
    assert client("act", rate(), headers={"Host": host, "Origin": f"http://{host}"})[0] == 200


@pytest.mark.parametrize(
    "body",
    [
        b"not json",
        b"[]",
        b"\xff",
        b"[" * 9_000,
        b'{"action": "rate"}',
        {"action": "delete"},
        rate(99),
        rate(-1),
        rate(choice="base"),
        rate(seconds="long"),
        rate(item="0"),
        rate(answer=[]),
        {"action": "rate", "padding": "x" * 20_000},
    ],
)
def test_what_is_no_rating_is_refused(client: Client, saved: list[Rating], body: Any) -> None:
    status, _, text = client("act", body)
    assert status == 400
    assert "error" in json.loads(text)
    assert saved == []


def test_a_form_of_another_site_cannot_rate(client: Client, saved: list[Rating]) -> None:
    status, _, _ = client("act", rate(), headers={"Content-Type": "text/plain"})
    assert status == 400
    assert saved == []


def test_only_known_paths(client: Client) -> None:
    for path in ("../model.py", "page.html", "__init__.py", "page/page.js", "%2e%2e/model.py"):
        assert client(path)[0] == 404
    assert client("view", {"action": "undo"})[0] == 400
    assert client("reference?item=x")[0] == 400
    assert client("reference")[0] == 400


def test_finishing(client: Client, server: RatingServer) -> None:
    assert not server.finished.is_set()
    assert client("act", {"action": "finish"})[0] == 200
    assert server.finished.is_set()
    assert server.failure is None


def test_a_full_disk_ends_the_session() -> None:
    def refuse(ratings: object) -> None:
        if list(ratings):  # type: ignore[call-overload]
            raise OutputError("ratings.jsonl cannot be written: no space left")

    with RatingServer(Session(ITEMS, "ann", "choice", refuse)) as server:
        status, _, text = Client(server)("act", rate())
        assert status == 507
        assert "not saved" in text
        assert server.finished.wait(5)
        assert server.failure is not None


def test_a_taken_port_is_an_error() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(UsageError, match=f"port {port} cannot be used"):
            RatingServer(Session(ITEMS, "ann", "choice", lambda ratings: None), port)


def test_progress_is_told(saved: list[Rating]) -> None:
    told: list[int] = []
    session = Session(ITEMS, "ann", "choice", saved.extend)
    with RatingServer(session, changed=lambda: told.append(session.rated)) as server:
        Client(server)("act", rate(0))
        Client(server)("act", rate(1))
    assert told == [1, 2]
