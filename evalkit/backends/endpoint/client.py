"""One request to the server, tried again while there is hope, and what the server's replies mean.

Three things can go wrong: what is worth another try (`Retryable`, kept inside), what this request will never get
(`Unanswered`), and what no request will get (`ModelError`, which ends the run).
"""

from __future__ import annotations

import asyncio
import json
import logging
import math
import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import cache
from typing import TYPE_CHECKING, Any, TypeVar

from evalkit.backends.endpoint.address import Address
from evalkit.backends.endpoint.concurrency import Limiter
from evalkit.errors import ModelError

if TYPE_CHECKING:
    import ssl

    import httpx2

Answer = TypeVar("Answer")

_OVERLOADED = frozenset({429, 503, 529})
_PASSING = frozenset({408, 409, 425, 429, 500, 502, 503, 504, 520, 522, 524, 529})
_NO_MONEY = ("insufficient_quota", "billing_hard_limit", "billing_not_active")
_MESSAGE_LENGTH = 300

CONTINUE = "what was answered is kept: the same command asks only for the rest"


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """When to try again.

    Attributes:
        tries: Times that one request is sent at most.
        first_wait: Upper bound (seconds) of the wait before the second try; it doubles with each try. The wait is drawn
            evenly between 0 and the bound (full jitter).
        longest_wait: Where that bound stops doubling (seconds).
        timeout: Seconds for one try, from the first byte sent to the last received.
        longest_pause: A server that asks for a longer pause (seconds) ends the run.
    """

    tries: int = 8
    first_wait: float = 1.0
    longest_wait: float = 60.0
    timeout: float = 600.0
    longest_pause: float = 900.0

    def hasty(self, tries: int) -> RetryPolicy:
        """The same with fewer tries, for questions that a live server answers at once."""
        return replace(self, tries=min(tries, self.tries))

    def wait(self, tried: int) -> float:
        """Seconds before the next try, after so many."""
        return random.uniform(0, min(self.longest_wait, self.first_wait * 2 ** (tried - 1)))


class Retryable(Exception):
    """A try that failed in a way that may pass.

    Attributes:
        reason: One clause.
        overloaded: Whether the server has too much to do.
        pause: Seconds that the server asked to wait.
        lost: Whether the server gave no reply at all.
    """

    def __init__(
        self, reason: str, *, overloaded: bool = False, pause: float | None = None, lost: bool = False
    ) -> None:
        super().__init__(reason)
        self.reason = reason
        self.overloaded = overloaded
        self.pause = pause
        self.lost = lost


class Unanswered(Exception):
    """What a request will never get.

    Attributes:
        reason: One sentence, without secrets.
        status: HTTP status of a refusal; None after all tries failed.
        lost: Whether the server gave no reply at all.
    """

    def __init__(self, reason: str, *, status: int | None = None, lost: bool = False) -> None:
        super().__init__(reason)
        self.reason = reason
        self.status = status
        self.lost = lost


class Client:
    """Sends requests to one endpoint; to be used within one event loop.

    Args:
        address: Where.
        policy: When to try again.
        most: Requests under way at once, at most.
        replied: Is told every reply that came, also those that cannot be used: they cost money too.

    Attributes:
        sent: Requests sent, retries included.
        retried: Tries after the first one of a request.
    """

    def __init__(
        self, address: Address, policy: RetryPolicy, most: int, replied: Callable[[Mapping[str, Any]], None]
    ) -> None:
        self.address = address
        self._replied = replied
        self.policy = policy
        self.limiter = Limiter(most)
        self.sent = 0
        self.retried = 0
        self._http = _http_client(address, policy, most)

    async def __aenter__(self) -> Client:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._http.aclose()

    async def ask(self, path: str, body: Mapping[str, Any], read: Callable[[dict[str, Any]], Answer]) -> Answer:
        """Sends a request until it is answered in a form that can be read.

        Args:
            path: Of the API, as `/completions`.
            body: JSON.
            read: Takes the reply apart; raises `Retryable` where it is not what was asked for.

        Raises:
            Unanswered: The server refuses it, or all tries failed.
            ModelError: The server will answer no request at all.
        """
        tried = 0
        while True:
            problem = None
            async with self.limiter.slot() as slot:
                try:
                    answer = read(await self._post(path, body))
                    slot.succeeded()
                    return answer
                except Retryable as error:
                    problem = error
                    if error.overloaded:
                        slot.overloaded()
                    if error.pause is not None:
                        self._pause(error.pause)
            tried += 1
            if tried >= self.policy.tries:
                raise Unanswered(f"{problem.reason} ({_times(tried)})", lost=problem.lost) from problem
            self.retried += 1
            await asyncio.sleep(self.policy.wait(tried))

    async def look(self, path: str) -> dict[str, Any] | None:
        """What a GET request gives, tried once; None if it is no JSON object."""
        import httpx2

        try:
            async with asyncio.timeout(min(10.0, self.policy.timeout)):
                response = await self._http.get(self.address.url + path)
            content = json.loads(response.content) if response.status_code == 200 else None
        except (TimeoutError, httpx2.HTTPError, ValueError):
            return None
        return content if isinstance(content, dict) else None

    def _pause(self, seconds: float) -> None:
        if seconds > self.policy.longest_pause:
            raise ModelError(
                f"{self.address.name} asks to wait {seconds:,.0f} seconds before the next request", hint=CONTINUE
            )
        self.limiter.pause(seconds)

    async def _post(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        import httpx2

        self.sent += 1
        try:
            async with asyncio.timeout(self.policy.timeout):
                response = await self._http.post(self.address.url + path, json=body)
        except TimeoutError:
            reason = f"no complete answer within {self.policy.timeout:g} seconds"
            raise Retryable(reason, overloaded=True, lost=True) from None
        except httpx2.ConnectError as error:
            raise Retryable(f"no connection: {self._shown(str(error))}", lost=True) from None
        except httpx2.TransportError as error:
            what = self._shown(str(error)) or type(error).__name__
            raise Retryable(f"the connection broke: {what}", lost=True) from None
        if response.status_code == 200:
            return self._content(response)
        raise self._refusal(response)

    def _content(self, response: httpx2.Response) -> dict[str, Any]:
        try:
            content = json.loads(response.content)
        except ValueError:
            raise Retryable("the reply is not JSON, or was cut off") from None
        if not isinstance(content, dict):
            raise Retryable("the reply is not a JSON object")
        self._replied(content)
        if content.get("error") and not content.get("choices"):  # some routers report a failure with status 200
            raise Retryable(f"an error in place of an answer: {self._shown(_message(content))}")
        return content

    def _refusal(self, response: httpx2.Response) -> Exception:
        """What a status other than 200 means: to be raised."""
        status = response.status_code
        try:
            content: Any = json.loads(response.content)
        except ValueError:
            content = response.text
        message = self._shown(_message(content))
        said = f"status {status}" + (f": {message}" if message else "")
        if status in (401, 403):
            return ModelError(
                f"{self.address.name} refuses access ({said})",
                hint="put the API key into the environment variable OPENAI_API_KEY or EVALKIT_API_KEY"
                if self.address.key is None
                else "the API key in the environment is not the right one for this endpoint, or may not use this model",
            )
        if status == 402 or any(word in str(content) for word in _NO_MONEY):
            return ModelError(f"the account at {self.address.url} has no money left ({said})", hint=CONTINUE)
        if status in _PASSING:
            pause = _retry_after(response.headers.get("retry-after"), response.headers.get("date"))
            return Retryable(said, overloaded=status in _OVERLOADED, pause=pause)
        return Unanswered(f"the endpoint refused the request ({said})", status=status)

    def _shown(self, text: str) -> str:
        line = " ".join(self.address.redacted(text).split())
        return line if len(line) <= _MESSAGE_LENGTH else line[:_MESSAGE_LENGTH] + " ..."


def _http_client(address: Address, policy: RetryPolicy, most: int) -> httpx2.AsyncClient:
    import httpx2

    for name in ("httpx2", "httpcore2"):  # their lines hold whole URLs, and URLs may hold tokens
        logging.getLogger(name).setLevel(logging.WARNING)
    headers = {} if address.key is None else {"Authorization": f"Bearer {address.key}"}
    return httpx2.AsyncClient(
        headers=headers,
        params=dict(address.query) or None,
        auth=address.credentials,
        timeout=policy.timeout,
        limits=httpx2.Limits(max_connections=most, max_keepalive_connections=most),
        follow_redirects=False,
        verify=_tls(),
    )


@cache
def _tls() -> ssl.SSLContext:
    """The system's certificates, read once."""
    import httpx2

    return httpx2.create_ssl_context()


def _message(content: Any) -> str:
    """What a server says about an error, in the several places where servers put it."""
    for name in ("error", "detail", "message"):
        if isinstance(content, dict) and content.get(name):
            return _message(content[name])
    return content if isinstance(content, str) else json.dumps(content)


def _retry_after(value: str | None, sent: str | None = None) -> float | None:
    """Seconds in a Retry-After header (RFC 9110: a number or a date); None without one that can be read.

    Args:
        value: The header.
        sent: The server's own time, its Date header: a date is taken from there, as clocks here and there may differ.
    """
    if value is None:
        return None
    try:
        seconds = float(value)
    except ValueError:
        date = _moment(value)
        if date is None:
            return None
        seconds = (date - (_moment(sent) or datetime.fromtimestamp(time.time(), UTC))).total_seconds()
    return max(0.0, seconds) if math.isfinite(seconds) else None


def _moment(text: str | None) -> datetime | None:
    try:
        date = parsedate_to_datetime(text or "")
    except ValueError:
        return None
    return date if date.tzinfo else date.replace(tzinfo=UTC)


def _times(tried: int) -> str:
    return "tried once" if tried == 1 else f"tried {tried} times"
