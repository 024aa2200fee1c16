"""A small OpenAI-compatible server on the loopback for tests: a toy model whose every answer is known, and faults on demand.

Its tokens are words with the space before them; log P(token | before) depends on the token's letters alone, and a word that
begins with a capital or a digit is the most probable one. A text is answered with its length and its last word.
"""

from __future__ import annotations

import json
import re
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal

Body = Mapping[str, Any]


@dataclass(frozen=True)
class Fault:
    """What the server does in place of a good answer.

    Attributes:
        status: HTTP status.
        content: Body; None sends an error in OpenAI's form.
        headers: Besides the usual ones.
        how: `reply` sends it; `reset` breaks the connection; `hang` says nothing; `drip` sends byte after byte, slowly;
            `cut` promises more bytes than it sends.
    """

    status: int = 500
    content: bytes | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    how: Literal["reply", "reset", "hang", "drip", "cut"] = "reply"


Behaviour = Callable[[str, Body, int], Fault | None]
"""(path, body, how often this very body came before) -> a fault, or None for a good answer."""


@dataclass
class Server:
    """The running server.

    Attributes:
        url: Its base.
        apis: Paths that it has.
        behave: Decides about each request.
        asked: Bodies of all requests, in order.
        under_way: Requests being answered.
        most: The most there were at once.
        seconds: Time that a good answer takes.
        scores: Whether it gives log-probabilities of prompts; `shifted` gives those of the next token.
        many: Whether it gives several completions.
        refuses: Parameters that it refuses.
    """

    url: str = ""
    apis: tuple[str, ...] = ("/completions", "/chat/completions")
    behave: Behaviour = lambda path, body, before: None
    asked: list[tuple[str, Body]] = field(default_factory=list)
    headers: list[Mapping[str, str]] = field(default_factory=list)
    under_way: int = 0
    most: int = 0
    seconds: float = 0.0
    scores: bool | Literal["shifted"] = True
    many: bool = True
    refuses: tuple[str, ...] = ()
    stop: threading.Event = field(default_factory=threading.Event)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def prompts(self, marker: str = "question") -> list[str]:
        """The prompts of all requests that are no probes: those with the marker in them."""
        texts = [body.get("prompt") or body["messages"][-1]["content"] for _, body in self.asked]
        return [text for text in texts if isinstance(text, str) and marker in text]


def answer_to(text: str) -> str:
    """What the toy model says."""
    return f" {len(text)} after {text.split()[-1]}\n\nNext: nothing"


def tokens_of(text: str) -> list[str]:
    return re.findall(r"\s*\S+|\s+$", text)


def log_probability(token: str) -> float:
    return -(sum(map(ord, token)) % 37) / 10 - 0.1


@contextmanager
def serve(**settings: Any) -> Iterator[Server]:
    """Runs a server until the block is left; hanging requests are let go then."""
    server = Server(**settings)
    http = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"server_state": server}))
    http.daemon_threads = True
    server.url = f"http://127.0.0.1:{http.server_address[1]}/v1"
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.stop.set()
        http.shutdown()
        http.server_close()
        thread.join(5)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_state: Server

    def log_message(self, format: str, *arguments: Any) -> None:
        pass

    def do_GET(self) -> None:
        self._send(200, {"data": [{"id": "toy", "max_model_len": 64}]})

    def do_POST(self) -> None:
        state = self.server_state
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        path = self.path.split("?")[0].removeprefix("/v1")
        with state.lock:
            before = sum(other == body for _, other in state.asked)
            state.asked.append((path, body))
            state.headers.append(dict(self.headers))
            state.under_way += 1
            state.most = max(state.most, state.under_way)
        try:
            fault = state.behave(path, body, before)
            if fault is not None:
                self._fail(fault)
                return
            state.stop.wait(state.seconds)
            self._send(*_good(state, path, body))
        finally:
            with state.lock:
                state.under_way -= 1

    def _fail(self, fault: Fault) -> None:
        content = fault.content
        if content is None:
            content = json.dumps({"error": {"message": f"fault {fault.status}"}}).encode()
        if fault.how == "hang":
            self.server_state.stop.wait(30)
            self.close_connection = True
            return
        if fault.how == "reset":
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.close()
            self.close_connection = True
            return
        self.send_response(fault.status)
        for name, value in fault.headers.items():
            self.send_header(name, value)
        self.send_header("Connection", "close")
        self.send_header("Content-Length", str(len(content) + (10 if fault.how == "cut" else 0)))
        self.end_headers()
        self.close_connection = True
        if fault.how == "drip":
            for byte in content:
                if self.server_state.stop.wait(0.05):
                    return
                try:
                    self.wfile.write(bytes([byte]))
                    self.wfile.flush()
                except OSError:
                    return
        else:
            self.wfile.write(content)

    def _send(self, status: int, content: Any) -> None:
        encoded = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(encoded)))
        self.end_headers()
        try:
            self.wfile.write(encoded)
        except OSError:
            self.close_connection = True


def _good(state: Server, path: str, body: Body) -> tuple[int, Any]:
    if path not in state.apis:
        return 404, {"error": {"message": f"{path} is not here"}}
    if body["model"] != "toy":
        return 404, {"error": {"message": f"The model `{body['model']}` does not exist"}}
    for name in state.refuses:
        if name in body:
            return 400, {"error": {"message": f"Unsupported parameter: '{name}' is not supported with this model."}}
    if path == "/chat/completions":
        return 200, _generated(state, body, body["messages"][-1]["content"], chat=True)
    if body.get("echo") or "prompt_logprobs" in body:
        if not state.scores:
            return 400, {"error": {"message": "echo is not supported"}}
        return 200, _echoed(state, body)
    return 200, _generated(state, body, body["prompt"], chat=False)


def _generated(state: Server, body: Body, prompt: str, *, chat: bool) -> dict[str, Any]:
    whole = answer_to(prompt)
    limit = body.get("max_tokens") or body["max_completion_tokens"]
    words = tokens_of(whole)
    text, finish = ("".join(words[:limit]), "length") if len(words) > limit else (whole, "stop")
    for stop in body.get("stop", ()):
        if stop in text:
            text, finish = text[: text.index(stop)], "stop"
    count = body.get("n", 1) if state.many else 1
    logprobs = {"tokens": words[:1], "token_logprobs": [log_probability(words[0])], "top_logprobs": [{}]}
    choices = []
    for index in range(count):
        own = {"message": {"role": "assistant", "content": text}} if chat else {"text": text, "logprobs": logprobs}
        choices.append({"index": index, "finish_reason": finish, **own})
    usage = {"prompt_tokens": len(tokens_of(prompt)), "completion_tokens": count * len(tokens_of(text))}
    return {"choices": choices, "usage": usage, "system_fingerprint": "toy-1"}


def _echoed(state: Server, body: Body) -> dict[str, Any]:
    prompt = body["prompt"]
    tokens = tokens_of(prompt) if isinstance(prompt, str) else [f"<{token}>" for token in prompt]
    generated = tokens_of(answer_to(prompt))[0] if isinstance(prompt, str) else "!"
    tokens = [*tokens, generated]
    values: Sequence[float | None] = [None, *map(log_probability, tokens[1:])]
    if state.scores == "shifted":
        values = [None, *map(log_probability, tokens[2:]), -1.0]
    tops = [
        None if value is None else {"x": value if _likeliest(token) else value + 1}
        for token, value in zip(tokens, values, strict=True)
    ]
    logprobs = {"tokens": tokens, "token_logprobs": values, "top_logprobs": tops}
    usage = {"prompt_tokens": len(tokens) - 1, "completion_tokens": 1}
    return {"choices": [{"index": 0, "text": "", "finish_reason": "length", "logprobs": logprobs}], "usage": usage}


def _likeliest(token: str) -> bool:
    return token.strip()[:1].isupper() or token.strip().isdigit()


def wait_until(true: Callable[[], bool], seconds: float = 5.0) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end
        time.sleep(0.01)
